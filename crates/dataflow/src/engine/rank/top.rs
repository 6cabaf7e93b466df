//! The first rows of one partition over inserts: loaded, worked on in memory, written back.

use super::super::error::DataflowError;
use super::difference::Shown;
use super::partition::{InputRow, Place, SEQUENCE_BYTES, StepRows};
use super::spec::RankSpec;
use state::{Key, KeyedMap, StateError};
use std::cmp::Ordering;
use std::ops::Range;

/// A row that is kept.
#[derive(Debug, Clone, Copy)]
struct Kept {
    order: Place,
    row: Place,
    sequence: u64,
}

/// A row as it lies in the state.
fn kept(spec: &RankSpec, step: &mut StepRows<'_>, sub: &[u8], row: &[u8]) -> Result<Kept, DataflowError> {
    let (order, sequence) = sub
        .split_last_chunk::<SEQUENCE_BYTES>()
        .ok_or_else(|| StateError::damaged("the key of a ranked row is too short"))?;
    let sequence = u64::from_be_bytes(*sequence);
    Ok(Kept { order: step.store(order), row: step.store_row(&spec.rows, row)?, sequence })
}

/// Used for one partition after the other.
#[derive(Debug, Default)]
pub(crate) struct Top {
    /// In order.
    kept: Vec<Kept>,
    /// Stored rows that fell out.
    fallen: Vec<Kept>,
    sub: Vec<u8>,
}

impl Top {
    pub(crate) fn load(
        &mut self,
        rows: &mut KeyedMap,
        (spec, step): (&RankSpec, &mut StepRows<'_>),
        key: Key<'_>,
        clock_ms: i64,
    ) -> Result<(), DataflowError> {
        self.kept.clear();
        self.fallen.clear();
        let mut loaded = Ok(());
        rows.scan(key, clock_ms, None, &mut |sub, row| {
            loaded = kept(spec, step, sub, row).map(|kept| self.kept.push(kept));
            loaded.is_ok()
        })?;
        loaded
    }

    pub(crate) fn show(&self, range: &Range<usize>, shown: &mut Shown) {
        shown.places.clear();
        let rows = self.kept.iter().take(range.end).skip(range.start);
        shown.places.extend(rows.map(|kept| kept.row));
    }

    /// A row comes; of more than `count` the last one falls out.
    pub(crate) fn insert(&mut self, spec: &RankSpec, step: &StepRows<'_>, row: InputRow) {
        let count = spec.shown.end;
        let place = Place::Input(row);
        let order = step.order(place);
        // Rows that compare equal and came before stand before, or behind.
        let is_before = |kept: &Kept| match step.order(kept.order).cmp(order) {
            Ordering::Less => true,
            Ordering::Equal => !spec.latest_first,
            Ordering::Greater => false,
        };
        if self.kept.len() >= count && self.kept.last().is_none_or(is_before) {
            return;
        }
        let at = self.kept.partition_point(is_before);
        let beside = if spec.latest_first { Some(at) } else { at.checked_sub(1) };
        let equal = beside.and_then(|beside| self.kept.get(beside));
        let equal = equal.filter(|equal| step.order(equal.order) == order);
        let sequence = match equal {
            Some(before) if !spec.latest_first => before.sequence.saturating_add(1),
            Some(behind) => behind.sequence.saturating_sub(1),
            None if spec.latest_first => u64::MAX,
            None => 0,
        };
        self.kept.insert(at, Kept { order: place, row: place, sequence });
        if self.kept.len() > count
            && let Some(last) = self.kept.pop()
            && let Place::Stored(_) = last.row
        {
            self.fallen.push(last);
        }
    }

    pub(crate) fn write(
        &mut self,
        rows: &mut KeyedMap,
        step: &StepRows<'_>,
        key: Key<'_>,
        clock_ms: i64,
    ) -> Result<(), DataflowError> {
        let sub = &mut self.sub;
        let mut sub_key = |kept: &Kept| {
            sub.clear();
            sub.extend_from_slice(step.order(kept.order));
            sub.extend_from_slice(&kept.sequence.to_be_bytes());
            std::mem::take(sub)
        };
        for kept in &self.fallen {
            rows.remove(key, &sub_key(kept))?;
        }
        for kept in &self.kept {
            if let Place::Input(_) = kept.row {
                rows.put(key, &sub_key(kept), step.row(kept.row), clock_ms)?;
            }
        }
        Ok(())
    }
}
