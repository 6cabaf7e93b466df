//! The contexts that wait in the nodes of a plan: in memory by key, and in a table of the state.

use super::super::error::DataflowError;
use super::{CONTINUED_MAX, KEPT_MAX, PER_KEY_MAX};
use ::traces::{SpanId, TraceContext, TraceId};
use base::codec::{FieldReader, FieldWriter};
use state::{KEY_GROUPS, Key, KeyedMap, StateError, Store, TableId};
use std::collections::{BTreeMap, HashMap};

/// The owner of the table; nodes own the numbers below, and the engine the one above.
const OWNER: u32 = u32::MAX - 1;

/// Nothing here is forgotten by the clock.
const NOW_MS: i64 = 0;

/// A node's input, and the hash of what tells its rows apart.
pub(super) type Place = (u32, u64);

/// Nodes have two inputs at most that contexts are kept of.
pub(super) fn place(node: usize, side: usize) -> u32 {
    (node * 2 + side) as u32
}

#[derive(Debug)]
struct Entry {
    sequence: u64,
    context: TraceContext,
    /// When its row was, where windows ask.
    time_ms: i64,
    /// How many rows went on from it after it had waited.
    continued: u8,
}

/// An entry that was found.
pub(super) type Found = (Place, u64);

pub(super) struct Kept {
    table: KeyedMap,
    /// By place, the oldest first.
    entries: HashMap<Place, Vec<Entry>>,
    /// Where each entry is, the oldest first.
    order: BTreeMap<u64, Place>,
    /// How many entries there are of each input of a node.
    counts: HashMap<u32, usize>,
    next: u64,
    /// The first entry of this step.
    fresh: u64,
    forgotten: Vec<Place>,
}

/// All entries lie under one key.
fn key() -> Key<'static> {
    Key { hash: state::hash(&[]), bytes: &[] }
}

fn sub_key(place: Place, sequence: u64) -> [u8; 20] {
    let mut sub = [0; 20];
    sub[..4].copy_from_slice(&place.0.to_be_bytes());
    sub[4..12].copy_from_slice(&place.1.to_be_bytes());
    sub[12..].copy_from_slice(&sequence.to_be_bytes());
    sub
}

fn encode(entry: &Entry) -> Vec<u8> {
    let mut out = FieldWriter::new();
    out.bytes(&entry.context.trace.0).bytes(&entry.context.span.0);
    out.u8(u8::from(entry.context.sampled)).u8(entry.continued).i64(entry.time_ms);
    out.bytes(entry.context.state.as_deref().unwrap_or_default().as_bytes());
    out.finish()
}

fn decode(sub: &[u8], value: &[u8]) -> Result<(Place, Entry), StateError> {
    let damaged = || StateError::damaged("a trace context that waits has no sense");
    let (place, rest) = sub.split_first_chunk().ok_or_else(damaged)?;
    let (hash, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
    let sequence = u64::from_be_bytes(rest.try_into().map_err(|_| damaged())?);
    let mut reader = FieldReader::new(value);
    let trace = TraceId(reader.bytes()?.try_into().map_err(|_| damaged())?);
    let span = SpanId(reader.bytes()?.try_into().map_err(|_| damaged())?);
    let (sampled, continued, time_ms) = (reader.u8()? != 0, reader.u8()?, reader.i64()?);
    let context = TraceContext { trace, span, sampled, state: None }.with_state(Some(reader.bytes()?));
    reader.finish()?;
    let place = (u32::from_be_bytes(*place), u64::from_be_bytes(*hash));
    Ok((place, Entry { sequence, context, time_ms, continued }))
}

impl Kept {
    pub(super) fn open(store: &Store) -> Result<Kept, DataflowError> {
        let mut table = KeyedMap::new(store, TableId { owner: OWNER, table: 0 }, 0..KEY_GROUPS, None)?;
        let (mut found, mut failure) = (Vec::new(), None);
        table.scan(key(), NOW_MS, None, &mut |sub, value| {
            match decode(sub, value) {
                Ok(entry) => found.push(entry),
                Err(error) => failure = Some(error),
            }
            failure.is_none()
        })?;
        if let Some(error) = failure {
            return Err(error.into());
        }
        let mut kept = Kept {
            table,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            counts: HashMap::new(),
            next: 0,
            fresh: 0,
            forgotten: Vec::new(),
        };
        // Sub keys of one place are in the order of their sequence.
        for (place, entry) in found {
            kept.next = kept.next.max(entry.sequence + 1);
            kept.insert(place, entry);
        }
        Ok(kept)
    }

    pub(super) fn table(&mut self) -> &mut KeyedMap {
        &mut self.table
    }

    pub(super) fn has_any(&self, place: u32) -> bool {
        self.counts.get(&place).is_some_and(|count| *count > 0)
    }

    pub(super) fn begin_step(&mut self) {
        self.fresh = self.next;
        self.forgotten.clear();
    }

    pub(super) fn finish_step(&mut self) -> Result<(), DataflowError> {
        for place in std::mem::take(&mut self.forgotten) {
            let sequences: Vec<u64> =
                self.entries.get(&place).into_iter().flatten().map(|entry| entry.sequence).collect();
            for sequence in sequences {
                self.remove(place, sequence)?;
            }
        }
        Ok(())
    }

    pub(super) fn forget_after_step(&mut self, place: Place) {
        self.forgotten.push(place);
    }

    fn insert(&mut self, place: Place, entry: Entry) {
        self.order.insert(entry.sequence, place);
        *self.counts.entry(place.0).or_default() += 1;
        self.entries.entry(place).or_default().push(entry);
    }

    pub(super) fn add(
        &mut self,
        place: Place,
        context: &TraceContext,
        time_ms: i64,
    ) -> Result<(), DataflowError> {
        let entry = Entry { sequence: self.next, context: context.clone(), time_ms, continued: 0 };
        self.next += 1;
        self.table.put(key(), &sub_key(place, entry.sequence), &encode(&entry), NOW_MS)?;
        self.insert(place, entry);
        if let Some(of_place) = self.entries.get(&place)
            && of_place.len() > PER_KEY_MAX
        {
            let oldest = of_place[0].sequence;
            self.remove(place, oldest)?;
        }
        if self.order.len() > KEPT_MAX
            && let Some((sequence, place)) = self.order.first_key_value().map(|(at, place)| (*at, *place))
        {
            self.remove(place, sequence)?;
        }
        Ok(())
    }

    fn remove(&mut self, place: Place, sequence: u64) -> Result<(), DataflowError> {
        let Some(of_place) = self.entries.get_mut(&place) else { return Ok(()) };
        let before = of_place.len();
        of_place.retain(|entry| entry.sequence != sequence);
        let removed = before - of_place.len();
        if of_place.is_empty() {
            self.entries.remove(&place);
        }
        if let Some(count) = self.counts.get_mut(&place.0) {
            *count = count.saturating_sub(removed);
        }
        self.order.remove(&sequence);
        self.table.remove(key(), &sub_key(place, sequence))?;
        Ok(())
    }

    /// What is kept of these places, within a range of times; the latest comes last.
    pub(super) fn find(&self, places: impl Iterator<Item = Place>, range: Option<(i64, i64)>) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        for place in places {
            let of_place = self.entries.get(&place).into_iter().flatten();
            let is_in = |entry: &&Entry| {
                range.is_none_or(|(start, end)| start <= entry.time_ms && entry.time_ms < end)
            };
            found.extend(of_place.filter(is_in).map(|entry| (place, entry.sequence)));
        }
        found.sort_unstable_by_key(|(_, sequence)| *sequence);
        found
    }

    fn entry(&self, (place, sequence): &Found) -> Option<&Entry> {
        self.entries.get(place)?.iter().find(|entry| entry.sequence == *sequence)
    }

    pub(super) fn contexts<'a>(&'a self, found: &'a [Found]) -> impl Iterator<Item = &'a TraceContext> {
        found.iter().filter_map(|found| Some(&self.entry(found)?.context))
    }

    /// The context that a row goes on with, if it does with any.
    pub(super) fn go_on(
        &mut self,
        found: &[Found],
        needs_fresh: bool,
    ) -> Result<Option<TraceContext>, DataflowError> {
        let Some((place, sequence)) = found.last().copied() else { return Ok(None) };
        let is_fresh = sequence >= self.fresh;
        if needs_fresh && !is_fresh {
            return Ok(None);
        }
        let mut of_place = self.entries.get_mut(&place).into_iter().flatten();
        let Some(entry) = of_place.find(|entry| entry.sequence == sequence) else { return Ok(None) };
        if !is_fresh {
            if entry.continued >= CONTINUED_MAX {
                return Ok(None);
            }
            entry.continued += 1;
            self.table.put(key(), &sub_key(place, sequence), &encode(entry), NOW_MS)?;
        }
        Ok(Some(entry.context.clone()))
    }

    pub(super) fn take_away(&mut self, found: &[Found]) -> Result<(), DataflowError> {
        for (place, sequence) in found {
            self.remove(*place, *sequence)?;
        }
        Ok(())
    }
}
