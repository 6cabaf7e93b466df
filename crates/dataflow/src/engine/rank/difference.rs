//! What a partition shows before a step and after it, and the changes that lead from one to the other.

use super::partition::{Emitted, EmittedRow, Place, StepRows};
use super::spec::RankSpec;
use crate::batch::RowKind;
use crate::plan::Changelog;
use state::KeyMap;

/// The rows from the first number that is shown on.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) places: Vec<Place>,
}

impl Shown {
    /// Emits what makes `self` into `after`.
    pub(crate) fn difference(
        &self,
        after: &Shown,
        spec: &RankSpec,
        step: &StepRows<'_>,
        cause: u32,
        emitted: &mut Emitted,
    ) {
        let number_first = spec.shown.start as i64 + 1;
        let mut emit = |kind: RowKind, place: Place, index: usize| {
            emitted.push(EmittedRow { cause, kind: kind as i8, place, number: number_first + index as i64 });
        };
        let (old, new) = (&self.places, &after.places);
        if spec.with_number {
            for index in 0..old.len().max(new.len()) {
                match (old.get(index), new.get(index)) {
                    (Some(old), Some(new)) if step.row(*old) == step.row(*new) => {}
                    (Some(old), Some(new)) => {
                        if spec.changelog == Changelog::Retract {
                            emit(RowKind::UpdateBefore, *old, index);
                        }
                        emit(RowKind::UpdateAfter, *new, index);
                    }
                    (Some(old), None) => emit(RowKind::Delete, *old, index),
                    (None, Some(new)) => emit(RowKind::Insert, *new, index),
                    (None, None) => {}
                }
            }
            return;
        }
        let same = |(old, new): &(&Place, &Place)| step.row(**old) == step.row(**new);
        let first = old.iter().zip(new).take_while(same).count();
        let (old, new) = (&old[first..], &new[first..]);
        if old.is_empty() && new.is_empty() {
            return;
        }
        // How often each row goes, less how often it comes.
        let mut index = KeyMap::new();
        let mut counts: Vec<i64> = Vec::new();
        let mut slots = |place: &Place, change: i64| {
            let row = step.row(*place);
            let (slot, is_new) = index.insert(state::hash(row), row);
            if is_new {
                counts.push(0);
            }
            counts[slot as usize] += change;
            slot as usize
        };
        let old_slots: Vec<usize> = old.iter().map(|place| slots(place, 1)).collect();
        let new_slots: Vec<usize> = new.iter().map(|place| slots(place, -1)).collect();
        for (number, (place, slot)) in old.iter().zip(old_slots).enumerate() {
            if counts[slot] > 0 {
                counts[slot] -= 1;
                emit(RowKind::Delete, *place, first + number);
            }
        }
        for (number, (place, slot)) in new.iter().zip(new_slots).enumerate() {
            if counts[slot] < 0 {
                counts[slot] += 1;
                emit(RowKind::Insert, *place, first + number);
            }
        }
    }
}
