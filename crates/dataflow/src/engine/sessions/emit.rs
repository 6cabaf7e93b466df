//! What the sessions that have fired give, as one batch.

use super::super::batches::{empty, record_batch};
use super::super::error::DataflowError;
use super::super::stateless::window_time;
use super::super::time::{before_end, timestamps};
use super::super::track::Track;
use super::super::window::tie_prefix;
use super::slots::Slots;
use super::spec::Spec;
use crate::batch::Batch;
use arrow_array::builder::BinaryBuilder;
use arrow_array::{ArrayRef, Int64Array, UInt64Array};
use state::KeyMap;

/// A session whose time has passed.
#[derive(Debug)]
pub(super) struct Fired {
    /// Its number.
    pub(super) key: u32,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) slot: u32,
}

pub(super) fn batch(
    spec: &Spec,
    keys: &KeyMap,
    slots: &mut Slots,
    mut fired: Vec<Fired>,
    track: &Track,
) -> Result<Batch, DataflowError> {
    if fired.is_empty() {
        return Ok(empty(&spec.schema));
    }
    // A session that ends later fires behind the same row or a later one.
    fired.sort_unstable_by(|one, other| {
        let by_key = || keys.key(one.key).cmp(keys.key(other.key));
        one.end.cmp(&other.end).then_with(by_key).then_with(|| one.start.cmp(&other.start))
    });
    let rows = fired.len();
    let mut columns: Vec<ArrayRef> = spec.keys.decode(fired.iter().map(|session| keys.key(session.key)))?;
    columns.extend(slots.results(spec, &fired.iter().map(|session| session.slot).collect::<Vec<u32>>())?);
    let first = columns.len();
    let data_type = |bound: usize| spec.schema.field(first + bound).data_type();
    let ends = || fired.iter().map(|session| session.end);
    columns.push(timestamps(fired.iter().map(|session| session.start), data_type(0))?);
    columns.push(timestamps(ends(), data_type(1))?);
    columns.push(timestamps(ends().map(|end| window_time(end, data_type(2), spec.zone)), data_type(2))?);
    let mut ties = BinaryBuilder::with_capacity(rows, rows * 32);
    let mut tie = Vec::new();
    for session in &fired {
        tie.clear();
        tie.extend_from_slice(&tie_prefix(session.end));
        tie.extend_from_slice(keys.key(session.key));
        tie.extend_from_slice(&tie_prefix(session.start));
        ties.append_value(&tie);
    }
    Ok(Batch {
        rows: record_batch(&spec.schema, columns, rows)?,
        kinds: None,
        ordinals: UInt64Array::from_iter_values(ends().map(|end| track.reached_after(end - 1))),
        ties: Some(ties.finish()),
        watermarks: Some(Int64Array::from_iter_values(ends().map(|end| before_end(end, spec.zone)))),
        traces: None,
    })
}
