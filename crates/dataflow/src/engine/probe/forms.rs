//! What the bytes of each operator's entries mean.
//!
//! The encodings are those of the operators, who say in their own words what lies where. An entry is the key, then what
//! tells the entries of a key apart. Where the types of a key do not tell its length, an entry is shown as it is.

use super::super::error::DataflowError;
use super::super::group::{GroupShown, tables};
use super::super::over::OverShown;
use super::super::sessions::is_numbered;
use super::super::window::{AggregateShown, tie_time};
use super::columns::Columns;
use super::{ProbedEntry, ProbedField};
use crate::plan::{Keep, NodeId, NodeKind, OverOrder, Plan, WindowKind};
use arrow_array::{ArrayRef, StringArray, TimestampMillisecondArray, UInt64Array};
use arrow_schema::{Schema, SchemaRef};
use base::codec::FieldReader;
use state::{Change, StateError};
use std::fmt::Write;
use std::sync::Arc;

type Fields = Vec<ProbedField>;
type Read = dyn Fn(&Change) -> Result<Found, DataflowError>;

/// Bytes of a value that is shown as bytes.
const RAW_BYTES_MAX: usize = 64;

/// The form of a table's entries.
pub(super) struct Form {
    pub(super) table: u32,
    read: Box<Read>,
}

enum Found {
    Shown(ProbedEntry),
    Bookkeeping,
    /// The bytes of the key do not say where it ends.
    Unreadable,
}

impl Form {
    fn new(table: u32, read: impl Fn(&Change) -> Result<Found, DataflowError> + 'static) -> Form {
        Form { table, read: Box::new(read) }
    }

    /// Nothing where the entry is bookkeeping.
    pub(super) fn read(&self, change: &Change) -> Result<Option<ProbedEntry>, DataflowError> {
        Ok(match (self.read)(change)? {
            Found::Shown(entry) => Some(entry),
            Found::Bookkeeping => None,
            Found::Unreadable => Some(raw(change)),
        })
    }
}

/// An entry as bytes.
pub(super) fn raw(change: &Change) -> ProbedEntry {
    let value = |bytes: &Vec<u8>| vec![bytes_field("value", bytes)];
    ProbedEntry {
        what: "entry",
        key: vec![bytes_field("key", &change.entry)],
        before: change.before.as_ref().map(value),
        after: change.after.as_ref().map(value),
    }
}

fn shown(
    what: &'static str,
    key: Fields,
    change: &Change,
    value: impl Fn(&[u8]) -> Result<Fields, DataflowError>,
) -> Result<Found, DataflowError> {
    let read = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(&value).transpose();
    let (before, after) = (read(&change.before)?, read(&change.after)?);
    Ok(Found::Shown(ProbedEntry { what, key, before, after }))
}

fn field(name: &str, value: ArrayRef) -> ProbedField {
    ProbedField { name: name.to_owned(), value }
}

fn number_field(name: &str, value: u64) -> ProbedField {
    field(name, Arc::new(UInt64Array::from(vec![value])))
}

/// A time (ms); what is no moment of a calendar is NULL.
fn time_field(name: &str, ms: i64) -> ProbedField {
    const CALENDAR_MS_MAX: u64 = 253_402_300_800_000;
    let ms = (ms.unsigned_abs() < CALENDAR_MS_MAX).then_some(ms);
    field(name, Arc::new(TimestampMillisecondArray::from(vec![ms])))
}

fn bytes_field(name: &str, bytes: &[u8]) -> ProbedField {
    let mut text = String::from("0x");
    for byte in bytes.iter().take(RAW_BYTES_MAX) {
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > RAW_BYTES_MAX {
        let _ = write!(text, "… ({} bytes)", bytes.len());
    }
    field(name, Arc::new(StringArray::from(vec![text])))
}

fn damaged() -> DataflowError {
    StateError::damaged("an entry of an operator is cut off").into()
}

/// Takes the first bytes off.
fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Result<&'a [u8; N], DataflowError> {
    let (first, rest) = bytes.split_first_chunk::<N>().ok_or_else(damaged)?;
    *bytes = rest;
    Ok(first)
}

fn take_time(bytes: &mut &[u8]) -> Result<i64, DataflowError> {
    take::<8>(bytes).map(|prefix| tie_time(*prefix))
}

/// The forms of a node's tables.
pub(super) fn forms(plan: &Plan, id: NodeId, schemas: &[SchemaRef]) -> Result<Vec<Form>, DataflowError> {
    let node = plan.node(id);
    let own: &Schema = &schemas[id.0];
    let input = |side: usize| -> &Schema { &schemas[node.inputs[side].0] };
    Ok(match &node.kind {
        NodeKind::Scan { .. }
        | NodeKind::LookupAnswers
        | NodeKind::Watermark { .. }
        | NodeKind::ProcessingTime
        | NodeKind::Project { .. }
        | NodeKind::Filter { .. }
        | NodeKind::WindowAssign { .. }
        | NodeKind::Union
        | NodeKind::Unnest(_)
        | NodeKind::Replicate
        | NodeKind::Sink { .. } => Vec::new(),
        NodeKind::GroupAggregate { keys, .. } => group(plan, id, schemas, (input(0), keys))?,
        NodeKind::WindowAggregate { window, keys, .. } => {
            vec![slices(AggregateShown::new(plan, id, schemas)?, *window, Columns::of(input(0), keys)?)]
        }
        NodeKind::ChangelogNormalize { keys } => {
            vec![rows(0, "row", Columns::of(own, keys)?, Columns::all(own)?)]
        }
        NodeKind::UpsertMaterialize { keys } => {
            vec![materialized(Columns::of(own, keys)?, Columns::all(own)?)]
        }
        NodeKind::Rank { partition, .. } => {
            vec![sorted(Columns::of(input(0), partition)?, Columns::all(input(0))?)]
        }
        NodeKind::BoundedJoin { .. } => {
            let rows = Columns::all(input(1))?;
            vec![Form::new(0, move |change| {
                shown("row of the table", Vec::new(), change, |bytes| rows.read(bytes))
            })]
        }
        NodeKind::Join { left_keys, right_keys, .. } => vec![
            joined(0, "left row", Columns::of(input(0), left_keys)?, Columns::all(input(0))?),
            joined(1, "right row", Columns::of(input(1), right_keys)?, Columns::all(input(1))?),
        ],
        NodeKind::SessionWindow { keys, .. } => vec![
            sessions(Columns::of(input(0), keys)?, Columns::all(input(0))?),
            timers(1, Columns::of(input(0), keys)?),
        ],
        NodeKind::SessionAggregate { keys, aggregates, .. } => {
            let results = AggregateShown::new(plan, id, schemas)?;
            vec![
                summed_sessions(Columns::of(input(0), keys)?, results, is_numbered(aggregates)),
                timers(1, Columns::of(input(0), keys)?),
            ]
        }
        NodeKind::WindowRank { partition, .. } => vec![
            rows(0, "row", Columns::of(input(0), partition)?, Columns::all(input(0))?),
            timers(1, Columns::of(input(0), partition)?),
        ],
        NodeKind::WindowJoin { left_keys, .. } => {
            let sides = [Columns::all(input(0))?, Columns::all(input(1))?];
            vec![
                window_join(Columns::of(input(0), left_keys)?, sides),
                timers(1, Columns::of(input(0), left_keys)?),
            ]
        }
        NodeKind::IntervalJoin { left_keys, .. } => {
            let sides = [Columns::all(input(0))?, Columns::all(input(1))?];
            vec![
                interval_join(Columns::of(input(0), left_keys)?, sides),
                timers(1, Columns::of(input(0), left_keys)?),
            ]
        }
        NodeKind::TemporalJoin { left_keys, right_keys, .. } => vec![
            rows(0, "waiting row", Columns::of(input(0), left_keys)?, Columns::all(input(0))?),
            timers(1, Columns::of(input(0), left_keys)?),
            versions(Columns::of(input(1), right_keys)?, Columns::all(input(1))?),
        ],
        NodeKind::Deduplicate { keys, keep: Keep::Earliest(_) } => vec![
            seen(Columns::of(own, keys)?),
            earliest(Columns::of(own, keys)?, Columns::all(own)?),
            timers(2, Columns::of(own, keys)?),
        ],
        NodeKind::Deduplicate { keys, .. } => vec![seen(Columns::of(own, keys)?)],
        NodeKind::Over { partition, order: OverOrder::Columns { .. }, .. } => {
            vec![sorted(Columns::of(input(0), partition)?, Columns::all(input(0))?)]
        }
        NodeKind::Over { partition, .. } => {
            let sums = OverShown::new(plan, id, schemas)?;
            let read = Columns::of(input(0), sums.read())?;
            vec![
                over(Columns::of(input(0), partition)?, read, sums),
                rows(1, "waiting row", Columns::of(input(0), partition)?, Columns::all(input(0))?),
                timers(2, Columns::of(input(0), partition)?),
            ]
        }
        NodeKind::TemporalSort { .. } => vec![time_sorted(Columns::all(own)?)],
        NodeKind::MatchRecognize { partition, .. } => vec![
            matches(Columns::of(input(0), partition)?, Columns::all(input(0))?),
            timers(1, Columns::of(input(0), partition)?),
        ],
        NodeKind::LookupJoin(join) => vec![
            questions(Columns::all(input(0))?),
            answers(Columns::of(input(0), &join.stream_keys)?),
            Form::new(2, |_| Ok(Found::Bookkeeping)),
        ],
        NodeKind::ConflictMaterialize { keys, .. } => vec![
            conflicts(0, "row", Columns::of(own, keys)?, Columns::all(own)?),
            conflicts(1, "waiting change", Columns::of(own, keys)?, Columns::all(own)?),
            timers(2, Columns::of(own, keys)?),
        ],
    })
}

/// The value is a row; what follows the key in an entry puts it into its place.
fn rows(table: u32, what: &'static str, keys: Columns, rows: Columns) -> Form {
    Form::new(table, move |change| {
        let Some(key) = keys.take(&mut change.entry.as_slice())? else { return Ok(Found::Unreadable) };
        shown(what, key, change, |bytes| rows.read(bytes))
    })
}

/// The same, beside the next number under the key alone.
fn sorted(keys: Columns, rows: Columns) -> Form {
    Form::new(0, move |change| {
        let mut rest = change.entry.as_slice();
        let Some(key) = keys.take(&mut rest)? else { return Ok(Found::Unreadable) };
        if rest.is_empty() {
            return Ok(Found::Bookkeeping);
        }
        shown("row", key, change, |bytes| rows.read(bytes))
    })
}

/// The key is the group's, or that of a value that it keeps.
fn group(
    plan: &Plan,
    id: NodeId,
    schemas: &[SchemaRef],
    (input, keys): (&Schema, &[usize]),
) -> Result<Vec<Form>, DataflowError> {
    let results = GroupShown::new(plan, id, schemas, true)?;
    let own = Columns::of(input, keys)?;
    let values = |table, shares| {
        let (keys, values) = (Columns::of(input, keys)?, GroupShown::new(plan, id, schemas, shares)?);
        Ok::<_, DataflowError>(group_values(table, keys, values))
    };
    Ok(vec![
        Form::new(tables::COLUMNS, move |change| {
            let Some(key) = own.take(&mut change.entry.as_slice())? else { return Ok(Found::Unreadable) };
            shown("aggregates", key, change, |bytes| results.results(bytes))
        }),
        values(tables::VALUES, false)?,
        values(tables::SHARED_VALUES, true)?,
    ])
}

fn group_values(table: u32, keys: Columns, values: GroupShown) -> Form {
    Form::new(table, move |change| {
        let mut rest = change.entry.as_slice();
        let Some(mut key) = keys.take(&mut rest)? else { return Ok(Found::Unreadable) };
        let Some(kept) = values.kept(rest)? else { return Ok(Found::Bookkeeping) };
        let counts = kept.value.is_some();
        key.extend(kept.value);
        let what = if counts { "value" } else { "value in order" };
        shown(what, key, change, |bytes| values.kept_value(rest, bytes))
    })
}

fn slices(results: AggregateShown, window: WindowKind, keys: Columns) -> Form {
    let end = if matches!(window, WindowKind::Tumble { .. }) { "window_end" } else { "slice_end" };
    Form::new(0, move |change| {
        let mut rest = change.entry.as_slice();
        let window = time_field(end, take_time(&mut rest)?);
        let mut key = keys.read(rest)?;
        key.push(window);
        shown("aggregates", key, change, |bytes| results.results(bytes))
    })
}

/// The list of a key's rows; the index leads to their places.
fn materialized(keys: Columns, rows: Columns) -> Form {
    const LIST: u8 = 0;
    Form::new(0, move |change| {
        let mut rest = change.entry.as_slice();
        let Some(key) = keys.take(&mut rest)? else { return Ok(Found::Unreadable) };
        if rest.first() != Some(&LIST) {
            return Ok(Found::Bookkeeping);
        }
        shown("row", key, change, |bytes| rows.read(bytes))
    })
}

/// The row stands behind the key, the value says how often it is there.
fn joined(table: u32, what: &'static str, keys: Columns, rows: Columns) -> Form {
    Form::new(table, move |change| {
        let mut rest = change.entry.as_slice();
        if keys.split(&mut rest).is_none() {
            return Ok(Found::Unreadable);
        }
        shown(what, rows.read(rest)?, change, |bytes| {
            let mut rest = bytes;
            let mut counts = vec![number_field("times", count(&mut rest)?)];
            if !rest.is_empty() {
                counts.push(number_field("matches", count(&mut rest)?));
            }
            Ok(counts)
        })
    })
}

/// A number as LEB128.
fn count(bytes: &mut &[u8]) -> Result<u64, DataflowError> {
    let mut count = 0u64;
    for shift in (0..u64::BITS).step_by(7) {
        let [byte] = *take::<1>(bytes)?;
        count |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(count);
        }
    }
    Err(damaged())
}

/// Keys by the time when there is something to do for them, all below a key group.
fn timers(table: u32, keys: Columns) -> Form {
    Form::new(table, move |change| {
        let mut rest = change.entry.as_slice();
        take::<1>(&mut rest)?;
        let time = time_field("at", take_time(&mut rest)?);
        let mut key = keys.read(rest)?;
        key.push(time);
        shown("timer", key, change, |_| Ok(Vec::new()))
    })
}

fn sessions(keys: Columns, rows: Columns) -> Form {
    const SESSION: u8 = 0;
    Form::new(0, move |change| {
        let mut rest = change.entry.as_slice();
        let Some(mut key) = keys.take(&mut rest)? else { return Ok(Found::Unreadable) };
        let [kind] = *take::<1>(&mut rest)?;
        if kind != SESSION {
            return shown("row", key, change, |bytes| rows.read(bytes));
        }
        key.push(time_field("from", take_time(&mut rest)?));
        shown("session", key, change, |bytes| {
            let mut rest = bytes;
            Ok(vec![time_field("until", take_time(&mut rest)?)])
        })
    })
}

/// Sessions with what their rows add up to; `is_numbered`: the number of the last row stands in between.
fn summed_sessions(keys: Columns, results: AggregateShown, is_numbered: bool) -> Form {
    Form::new(0, move |change| {
        let mut rest = change.entry.as_slice();
        let Some(mut key) = keys.take(&mut rest)? else { return Ok(Found::Unreadable) };
        key.push(time_field("from", take_time(&mut rest)?));
        shown("session", key, change, |bytes| {
            let mut rest = bytes;
            let until = time_field("until", take_time(&mut rest)?);
            if is_numbered {
                take::<8>(&mut rest)?;
            }
            let mut fields = results.results(rest)?;
            fields.push(until);
            Ok(fields)
        })
    })
}

fn window_join(keys: Columns, sides: [Columns; 2]) -> Form {
    Form::new(0, move |change| {
        let mut rest = change.entry.as_slice();
        let Some(key) = keys.take(&mut rest)? else { return Ok(Found::Unreadable) };
        let [side] = *take::<1>(&mut rest)?;
        let (what, rows) = side_of(usize::from(side) % 2, &sides);
        shown(what, key, change, |bytes| rows.read(bytes))
    })
}

fn side_of(side: usize, sides: &[Columns; 2]) -> (&'static str, &Columns) {
    if side == 0 { ("left row", &sides[0]) } else { ("right row", &sides[1]) }
}

fn interval_join(keys: Columns, sides: [Columns; 2]) -> Form {
    Form::new(0, move |change| {
        let mut rest = change.entry.as_slice();
        let Some(key) = keys.take(&mut rest)? else { return Ok(Found::Unreadable) };
        let [side] = *take::<1>(&mut rest)?;
        let (what, rows) = side_of(usize::from(side), &sides);
        shown(what, key, change, |bytes| {
            let mut rest = bytes;
            let [matched] = *take::<1>(&mut rest)?;
            let mut row = rows.read(rest)?;
            row.push(number_field("matched", matched.into()));
            Ok(row)
        })
    })
}

/// Of a table's keys, from when on what holds; without columns the key is not there from then on.
fn versions(keys: Columns, rows: Columns) -> Form {
    const BEGIN: u8 = 1;
    Form::new(2, move |change| {
        let mut rest = change.entry.as_slice();
        let Some(mut key) = keys.take(&mut rest)? else { return Ok(Found::Unreadable) };
        key.push(time_field("from", take_time(&mut rest)?));
        shown("version", key, change, |bytes| match bytes.split_first() {
            Some((&BEGIN, row)) => rows.read(row),
            _ => Ok(Vec::new()),
        })
    })
}

/// Keys of which a row has passed; where its time counts, that too.
fn seen(keys: Columns) -> Form {
    Form::new(0, move |change| {
        let Some(key) = keys.take(&mut change.entry.as_slice())? else { return Ok(Found::Unreadable) };
        shown("seen", key, change, |bytes| match <[u8; 8]>::try_from(bytes) {
            Ok(time) => Ok(vec![time_field("latest", tie_time(time))]),
            Err(_) => Ok(Vec::new()),
        })
    })
}

fn earliest(keys: Columns, rows: Columns) -> Form {
    Form::new(1, move |change| {
        let Some(key) = keys.take(&mut change.entry.as_slice())? else { return Ok(Found::Unreadable) };
        shown("waiting row", key, change, |bytes| {
            let mut rest = bytes;
            take_time(&mut rest)?;
            rows.read(rest)
        })
    })
}

/// What an OVER keeps of a key: under the key alone where it stands, behind it what the frame still needs of rows.
fn over(keys: Columns, read: Columns, sums: OverShown) -> Form {
    Form::new(0, move |change| {
        let mut rest = change.entry.as_slice();
        let Some(mut key) = keys.take(&mut rest)? else { return Ok(Found::Unreadable) };
        if rest.is_empty() {
            return shown("aggregates", key, change, |bytes| {
                let mut rest = bytes;
                let last = i64::from_le_bytes(*take::<8>(&mut rest)?);
                let forget_at = i64::from_le_bytes(*take::<8>(&mut rest)?);
                let [has_sums] = *take::<1>(&mut rest)?;
                let mut fields = if has_sums == 0 { Vec::new() } else { sums.sums(rest)? };
                fields.push(time_field("last row", last));
                if forget_at > i64::MIN {
                    fields.push(time_field("forgotten at", forget_at));
                }
                Ok(fields)
            });
        }
        take::<1>(&mut rest)?;
        key.push(time_field("at", take_time(&mut rest)?));
        shown("row of the frame", key, change, |bytes| read.read(bytes))
    })
}

fn time_sorted(rows: Columns) -> Form {
    const WAITING: u8 = 1;
    Form::new(0, move |change| {
        let mut rest = change.entry.as_slice();
        if *take::<1>(&mut rest)? != [WAITING] {
            return Ok(Found::Bookkeeping);
        }
        let at = time_field("at", take_time(&mut rest)?);
        shown("waiting row", vec![at], change, |bytes| rows.read(bytes))
    })
}

fn matches(keys: Columns, rows: Columns) -> Form {
    const SEARCH: u8 = 0;
    const KEPT: u8 = 1;
    Form::new(0, move |change| {
        let mut rest = change.entry.as_slice();
        let Some(key) = keys.take(&mut rest)? else { return Ok(Found::Unreadable) };
        match *take::<1>(&mut rest)? {
            [SEARCH] => {
                shown("matches under way", key, change, |bytes| Ok(vec![bytes_field("search", bytes)]))
            }
            [KEPT] => shown("row of a match", key, change, |bytes| rows.read(bytes)),
            _ => shown("waiting row", key, change, |bytes| rows.read(bytes)),
        }
    })
}

/// Rows that wait for an answer.
fn questions(rows: Columns) -> Form {
    const ROW: u8 = 1;
    Form::new(0, move |change| {
        if change.entry.first() != Some(&ROW) {
            return Ok(Found::Bookkeeping);
        }
        shown("waiting row", Vec::new(), change, |bytes| {
            let mut reader = FieldReader::new(bytes);
            let mut row = || -> Result<(u64, &[u8]), StateError> {
                let question = reader.u64()?;
                reader.i64()?;
                reader.bytes()?;
                Ok((question, reader.bytes()?))
            };
            let (question, row) = row()?;
            let mut fields = rows.read(row)?;
            fields.push(number_field("question", question));
            Ok(fields)
        })
    })
}

fn answers(keys: Columns) -> Form {
    Form::new(1, move |change| {
        let Some(key) = keys.take(&mut change.entry.as_slice())? else { return Ok(Found::Unreadable) };
        shown("answer", key, change, |bytes| {
            let mut reader = FieldReader::new(bytes);
            let times = reader.i64().and_then(|written| Ok((written, reader.i64()?)));
            let (written, used) = times.map_err(StateError::from)?;
            Ok(vec![time_field("written at", written), time_field("used at", used)])
        })
    })
}

/// A row behind the query's own key; of a change that waits, behind whether it comes or goes.
fn conflicts(table: u32, what: &'static str, keys: Columns, rows: Columns) -> Form {
    Form::new(table, move |change| {
        let Some(key) = keys.take(&mut change.entry.as_slice())? else { return Ok(Found::Unreadable) };
        shown(what, key, change, |bytes| {
            let mut rest = bytes;
            let comes = if table == 0 { None } else { Some(*take::<1>(&mut rest)? != [0]) };
            let own_key = u32::from_le_bytes(*take::<4>(&mut rest)?) as usize;
            let mut fields = rows.read(rest.get(own_key..).ok_or_else(damaged)?)?;
            if let Some(comes) = comes {
                let word = if comes { "comes" } else { "goes" };
                fields.push(field("change", Arc::new(StringArray::from(vec![word]))));
            }
            Ok(fields)
        })
    })
}
