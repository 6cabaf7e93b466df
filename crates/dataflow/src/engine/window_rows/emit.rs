//! What the windows of a step gave, as one batch.
//!
//! The rows of all windows are decoded at once. Of a join the pairs are made in portions, so that one
//! window with many rows on both sides needs no memory for the pairs that its condition throws away.

use super::super::batches::{empty, record_batch};
use super::super::error::DataflowError;
use super::super::stateless::{holds, window_time};
use super::super::time::{before_end, timestamps};
use super::super::window::tie_prefix;
use super::spec::{Mode, Spec};
use crate::batch::Batch;
use crate::expression::Expression;
use crate::plan::JoinKind;
use arrow_array::builder::BinaryBuilder;
use arrow_array::{ArrayRef, BooleanArray, Int64Array, UInt32Array, UInt64Array};
use arrow_schema::SchemaRef;
use arrow_select::take::take;
use state::Key;
use std::ops::Range;
use std::sync::Arc;

/// So many pairs are looked at together.
const PAIRS: usize = 8192;

/// Stands for the side of an outer join that has no row.
const NONE: u32 = u32::MAX;

/// A key's window that has fired.
#[derive(Debug)]
struct Window {
    key: Vec<u8>,
    end: i64,
    /// The ordinal behind which it fired.
    after: u64,
    /// Of a session.
    start: i64,
    lefts: Range<u32>,
    rights: Range<u32>,
    /// Its rows match nothing.
    lonely: bool,
}

/// A row on its way out.
#[derive(Debug)]
struct Out {
    window: u32,
    left: u32,
    right: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Fired {
    windows: Vec<Window>,
    lefts: Vec<Vec<u8>>,
    rights: Vec<Vec<u8>>,
    outs: Vec<Out>,
}

impl Fired {
    /// Begins a window; rows that are named after it are its own.
    pub(super) fn window(&mut self, key: Key<'_>, (end, after): (i64, u64), start: Option<i64>) {
        let (lefts, rights) = (self.lefts.len() as u32, self.rights.len() as u32);
        self.windows.push(Window {
            key: key.bytes.to_vec(),
            end,
            after,
            start: start.unwrap_or(0),
            lefts: lefts..lefts,
            rights: rights..rights,
            lonely: false,
        });
    }

    pub(super) fn lonely(&mut self, lonely: bool) {
        if let Some(window) = self.windows.last_mut() {
            window.lonely = lonely;
        }
    }

    pub(super) fn left(&mut self, row: Vec<u8>) {
        self.lefts.push(row);
        if let Some(window) = self.windows.last_mut() {
            window.lefts.end += 1;
        }
    }

    pub(super) fn right(&mut self, row: Vec<u8>) {
        self.rights.push(row);
        if let Some(window) = self.windows.last_mut() {
            window.rights.end += 1;
        }
    }

    /// The rows of the last window leave as they are.
    pub(super) fn each_left(&mut self) {
        let number = self.windows.len().saturating_sub(1) as u32;
        if let Some(window) = self.windows.last() {
            let own = window.lefts.clone();
            self.outs.extend(own.map(|left| Out { window: number, left, right: NONE }));
        }
    }

    pub(super) fn finish(mut self, spec: &Spec, clock_ms: i64) -> Result<Batch, DataflowError> {
        if self.windows.is_empty() {
            return Ok(empty(&spec.schema));
        }
        let decode = |side: usize, rows: &[Vec<u8>]| match spec.sides.get(side) {
            Some(side) => side.rows.decode(rows.iter().map(Vec::as_slice)),
            None => Ok(Vec::new()),
        };
        let lefts = decode(0, &self.lefts)?;
        let rights = decode(1, &self.rights)?;
        if let Mode::Join { kind, residual, pairs } = &spec.mode {
            let join = Join { kind: *kind, residual: residual.as_deref(), pairs, sides: [&lefts, &rights] };
            self.outs = join.run(&self.windows, clock_ms)?;
        }
        self.batch(spec, &lefts, &rights)
    }

    /// The order within a window is that of the left rows, then of the right ones; rows without a partner
    /// on the left come last.
    fn batch(mut self, spec: &Spec, lefts: &[ArrayRef], rights: &[ArrayRef]) -> Result<Batch, DataflowError> {
        let windows = &self.windows;
        self.outs.sort_by(|one, other| {
            let (a, b) = (&windows[one.window as usize], &windows[other.window as usize]);
            let windows = (a.after, a.end).cmp(&(b.after, b.end)).then_with(|| a.key.cmp(&b.key));
            windows
                .then_with(|| a.start.cmp(&b.start))
                .then_with(|| (one.left, one.right).cmp(&(other.left, other.right)))
        });
        let outs = &self.outs;
        let rows = outs.len();
        let of = |out: &Out| &windows[out.window as usize];
        let picked = |columns: &[ArrayRef], side: fn(&Out) -> u32| {
            let places = outs.iter().map(|out| Some(side(out)).filter(|place| *place != NONE));
            let places: UInt32Array = places.collect();
            columns.iter().map(|column| Ok(take(column, &places, None)?)).collect::<Result<Vec<_>, _>>()
        };
        let mut columns: Vec<ArrayRef> =
            picked(lefts, |out| out.left).map_err(|error: DataflowError| error)?;
        match &spec.mode {
            Mode::Session { .. } => {
                let first = columns.len();
                let data_type = |index: usize| spec.schema.field(first + index).data_type();
                columns.push(timestamps(outs.iter().map(|out| of(out).start), data_type(0))?);
                columns.push(timestamps(outs.iter().map(|out| of(out).end), data_type(1))?);
                columns.push({
                    let time = |out: &Out| window_time(of(out).end, data_type(2), spec.zone);
                    timestamps(outs.iter().map(time), data_type(2))?
                });
            }
            Mode::Top { shown, with_number: true, .. } => {
                let number = |out: &Out| i64::from(out.left - of(out).lefts.start) + shown.start as i64 + 1;
                columns.push(Arc::new(Int64Array::from_iter_values(outs.iter().map(number))));
            }
            Mode::Join { kind: JoinKind::Semi | JoinKind::Anti, .. } | Mode::Top { .. } => {}
            Mode::Join { .. } => columns.extend(picked(rights, |out| out.right)?),
        }
        let mut ties = BinaryBuilder::with_capacity(rows, rows * 32);
        let mut tie = Vec::new();
        for out in outs {
            let window = of(out);
            let place = |row: u32, own: &Range<u32>| if row == NONE { NONE } else { row - own.start };
            tie.clear();
            tie.extend_from_slice(&tie_prefix(window.end));
            tie.extend_from_slice(&window.key);
            tie.extend_from_slice(&tie_prefix(window.start));
            tie.extend_from_slice(&place(out.left, &window.lefts).to_be_bytes());
            tie.extend_from_slice(&place(out.right, &window.rights).to_be_bytes());
            ties.append_value(&tie);
        }
        Ok(Batch {
            rows: record_batch(&spec.schema, columns, rows)?,
            kinds: None,
            ordinals: UInt64Array::from_iter_values(outs.iter().map(|out| of(out).after)),
            ties: Some(ties.finish()),
            watermarks: Some(Int64Array::from_iter_values(
                outs.iter().map(|out| before_end(of(out).end, spec.zone)),
            )),
            traces: None,
        })
    }
}

/// The pairs of all windows that have fired.
struct Join<'a> {
    kind: JoinKind,
    residual: Option<&'a dyn Expression>,
    pairs: &'a SchemaRef,
    sides: [&'a [ArrayRef]; 2],
}

impl Join<'_> {
    fn run(&self, windows: &[Window], clock_ms: i64) -> Result<Vec<Out>, DataflowError> {
        use JoinKind::{Anti, Full, Inner, Left, Right, Semi};
        let mut outs = Vec::new();
        for (number, window) in windows.iter().enumerate() {
            let number = number as u32;
            let mut left_matched = vec![false; window.lefts.len()];
            let mut right_matched = vec![false; window.rights.len()];
            let mut portion: Vec<(u32, u32)> = Vec::new();
            let mut settle = |portion: &mut Vec<(u32, u32)>, outs: &mut Vec<Out>| {
                let keep = self.keep(portion, clock_ms)?;
                for ((left, right), _) in portion.iter().zip(&keep).filter(|(_, keep)| **keep) {
                    left_matched[(left - window.lefts.start) as usize] = true;
                    right_matched[(right - window.rights.start) as usize] = true;
                    if !matches!(self.kind, Semi | Anti) {
                        outs.push(Out { window: number, left: *left, right: *right });
                    }
                }
                portion.clear();
                Ok::<(), DataflowError>(())
            };
            for left in window.lefts.clone().filter(|_| !window.lonely) {
                for right in window.rights.clone() {
                    portion.push((left, right));
                    if portion.len() == PAIRS {
                        settle(&mut portion, &mut outs)?;
                    }
                }
            }
            settle(&mut portion, &mut outs)?;
            let keeps_left = |matched: bool| match self.kind {
                Left | Full | Anti => !matched,
                Semi => matched,
                Inner | Right => false,
            };
            for (left, matched) in window.lefts.clone().zip(left_matched) {
                if keeps_left(matched) {
                    outs.push(Out { window: number, left, right: NONE });
                }
            }
            for (right, matched) in window.rights.clone().zip(right_matched) {
                if matches!(self.kind, Right | Full) && !matched {
                    outs.push(Out { window: number, left: NONE, right });
                }
            }
        }
        Ok(outs)
    }

    /// Which pairs the condition holds for.
    fn keep(&self, portion: &[(u32, u32)], clock_ms: i64) -> Result<Vec<bool>, DataflowError> {
        let Some(residual) = self.residual.filter(|_| !portion.is_empty()) else {
            return Ok(vec![true; portion.len()]);
        };
        let mut columns = Vec::new();
        let indices: [UInt32Array; 2] =
            [portion.iter().map(|pair| pair.0).collect(), portion.iter().map(|pair| pair.1).collect()];
        for (side, places) in self.sides.iter().zip(&indices) {
            for column in *side {
                columns.push(take(column, places, None)?);
            }
        }
        let rows = record_batch(self.pairs, columns, portion.len())?;
        let truth: BooleanArray = holds(residual, &rows, None, clock_ms)?;
        Ok(truth.values().iter().collect())
    }
}
