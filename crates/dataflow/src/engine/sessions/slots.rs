//! What the sessions of a step have added up, side by side.
//!
//! Rows and merges are noted first and done for a whole chunk at once. A session that others were merged into takes its
//! next rows in the phase after that, and so do merges of what has been merged; in each phase rows come first. So every
//! session sees its rows and merges in the order in which they were noted, and there are as many phases as one session
//! was merged in a row, which is seldom more than one.

use super::super::error::DataflowError;
use super::super::window::{Accumulators, Argument};
use super::spec::Spec;
use arrow_array::ArrayRef;
use state::Columns;
use std::ops::Range;

#[derive(Debug)]
pub(super) struct Slots {
    accumulators: Accumulators,
    /// The phase in which a slot takes its next row.
    phase_of: Vec<u32>,
    phases: Vec<Phase>,
    /// Sums as they lie in the state.
    stored: Vec<u8>,
    /// Which of them are to be read into which slots.
    unread: Vec<(u32, Range<usize>)>,
}

#[derive(Debug, Default)]
struct Phase {
    slots: Vec<u32>,
    rows: Vec<u32>,
    /// Slots that end here, and those that take them in.
    merged: Vec<u32>,
    into: Vec<u32>,
}

/// Where the sums of a session are.
#[derive(Debug, Clone)]
pub(super) enum Sums {
    Stored(Range<usize>),
    In(u32),
}

impl Slots {
    pub(super) fn new(spec: &Spec) -> Slots {
        Slots {
            accumulators: Accumulators::new(spec.aggregates.clone()),
            phase_of: Vec::new(),
            phases: Vec::new(),
            stored: Vec::new(),
            unread: Vec::new(),
        }
    }

    /// Sums that lie in the state; most of them are never looked at.
    pub(super) fn keep_stored(&mut self, sums: &[u8]) -> Sums {
        let start = self.stored.len();
        self.stored.extend_from_slice(sums);
        Sums::Stored(start..self.stored.len())
    }

    pub(super) fn new_slot(&mut self) -> u32 {
        self.phase_of.push(0);
        self.phase_of.len() as u32 - 1
    }

    /// The slot of a session; stored sums get one now.
    pub(super) fn slot(&mut self, sums: &mut Sums) -> u32 {
        match sums {
            Sums::In(slot) => *slot,
            Sums::Stored(range) => {
                let slot = self.new_slot();
                self.unread.push((slot, range.clone()));
                *sums = Sums::In(slot);
                slot
            }
        }
    }

    pub(super) fn note_row(&mut self, slot: u32, row: u32) {
        let phase = self.phase(self.phase_of[slot as usize]);
        phase.slots.push(slot);
        phase.rows.push(row);
    }

    pub(super) fn note_merge(&mut self, merged: u32, into: u32) {
        let number = self.phase_of[merged as usize].max(self.phase_of[into as usize]);
        let phase = self.phase(number);
        phase.merged.push(merged);
        phase.into.push(into);
        self.phase_of[into as usize] = number + 1;
    }

    fn phase(&mut self, number: u32) -> &mut Phase {
        let number = number as usize;
        if self.phases.len() <= number {
            self.phases.resize_with(number + 1, Phase::default);
        }
        &mut self.phases[number]
    }

    /// Does what was noted of a chunk. `numbers`: those of its rows, if any aggregate asks for them.
    pub(super) fn take_in(
        &mut self,
        spec: &Spec,
        arguments: &[Argument],
        numbers: &[u64],
    ) -> Result<(), DataflowError> {
        self.read(spec)?;
        if self.phases.len() > 1 {
            self.phase_of.fill(0);
        } else if let Some(Phase { into, .. }) = self.phases.first() {
            into.iter().for_each(|slot| self.phase_of[*slot as usize] = 0);
        }
        for phase in std::mem::take(&mut self.phases) {
            for (accumulator, argument) in self.accumulators.each.iter_mut().zip(arguments) {
                accumulator.update(&phase.slots, &phase.rows, argument, numbers, 0)?;
            }
            self.accumulators.merge_slots(&phase.merged, &phase.into)?;
        }
        Ok(())
    }

    /// Puts all stored sums that somebody asked for into their slots.
    fn read(&mut self, spec: &Spec) -> Result<(), DataflowError> {
        self.accumulators.grow(self.phase_of.len());
        let unread = std::mem::take(&mut self.unread);
        if unread.is_empty() {
            return Ok(());
        }
        let columns = spec.saved.decode(unread.iter().map(|(_, range)| &self.stored[range.clone()]))?;
        let slots: Vec<u32> = unread.iter().map(|(slot, _)| *slot).collect();
        self.accumulators.restore(&slots, &columns)
    }

    /// The results of some slots, in their order: a column for each aggregate.
    pub(super) fn results(&mut self, spec: &Spec, slots: &[u32]) -> Result<Vec<ArrayRef>, DataflowError> {
        self.read(spec)?;
        self.accumulators.each.iter().map(|accumulator| accumulator.finish(slots)).collect()
    }

    /// The sums of some slots as columns of [`Spec::saved`].
    pub(super) fn save(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, DataflowError> {
        self.accumulators.save(slots)
    }
}
