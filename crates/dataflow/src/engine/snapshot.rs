//! Snapshots of a dataflow, restores at any number of workers, and the memory budget.
//!
//! Operators keep their state in tables of the store, which know how to be written and restored by
//! themselves. The engine's own section holds the row count, the splits and the watermarks.

use super::error::DataflowError;
use super::operator::Operator;
use super::traced::Traced;
use super::watermark::{SplitWatermark, WatermarkState};
use super::{Dataflow, DataflowOptions};
use crate::plan::{NodeId, Plan};
use base::codec::{FieldReader, FieldWriter};
use state::{Manifest, SnapshotParts, StateError, Store, Table};
use std::sync::Arc;

/// The owner of the engine's own section; nodes own the numbers below.
const ENGINE: u32 = u32::MAX;

/// The part of it that says by tag what belongs to which node. Before there were tags the section was unkeyed, and its
/// nodes stood in the order of the plan.
const TAGGED: u32 = 0;

/// What changed is written each time that the state has grown by this part of its budget.
const FREEZES_PER_BUDGET: usize = 8;

/// Less is not worth a file.
const FREEZE_BYTES_MIN: usize = 4 << 10;

/// A table with more changed keys than this hands them over to be written, so that no step waits for the sorting and
/// copying of all that changed since the last snapshot.
const CHANGED_KEYS_MAX: usize = 1 << 19;

/// More rows than any job ever reads.
const SEQUENCE_MAX: u64 = 1 << 62;

/// A split: its maximum and its flags.
const SPLIT_BYTES: usize = 9;
const FINISHED: u8 = 1;
const IDLE: u8 = 2;

/// Tables that joins read first may have so much memory whatever the budget is.
const JOINED_BYTES_MIN: usize = 64 << 20;

/// All tables of a job.
fn tables<'a>(
    operators: &'a mut [Operator],
    traced: &'a mut Option<Traced>,
) -> impl Iterator<Item = &'a mut dyn Table> {
    let of_traces = traced.as_mut().map(Traced::table);
    operators.iter_mut().flat_map(Operator::tables).chain(of_traces)
}

impl Dataflow {
    /// Fixes the state after the last step as a snapshot that is still to be written; steps may go on
    /// at once.
    pub fn snapshot(&mut self) -> Result<SnapshotParts, DataflowError> {
        let mut snapshot = SnapshotParts::new(self.plan.fingerprint());
        snapshot.section(ENGINE, TAGGED, self.save_engine());
        for operator in &mut self.operators {
            for table in operator.tables() {
                snapshot.table(table)?;
            }
        }
        if let Some(traced) = &mut self.traced {
            snapshot.table(traced.table())?;
        }
        Ok(snapshot)
    }

    /// Takes over what the store has written meanwhile, and keeps to the memory budget: the largest
    /// tables give back first. To be called between steps; it may be called again after an error.
    pub fn relieve(&mut self) -> Result<(), DataflowError> {
        let mut failure = None;
        let mut total = 0;
        for table in tables(&mut self.operators, &mut self.traced) {
            failure = failure.or(table.layers_mut().settle().err());
            if failure.is_none() && table.changed() > CHANGED_KEYS_MAX {
                failure = table.freeze().err();
            }
            total += table.memory_bytes();
        }
        let joined = self.operators.iter().map(Operator::joined_bytes).sum::<usize>();
        self.memory_bytes = total + joined;
        self.measure_state();
        if joined > self.store.budget_bytes().max(JOINED_BYTES_MIN) {
            return Err(DataflowError::invalid(format!(
                "the tables that joins read first have {joined} bytes, which stay in memory; give --memory more, filter \
                 the table, or join it as a stream"
            )));
        }
        if let Some(error) = failure {
            return Err(error.into());
        }
        let budget = self.store.budget_bytes();
        if total > budget {
            // Half of the budget is given back at once, so that the cost is shared by many steps.
            self.shrink(total - budget / 2)?;
            self.frozen_at_bytes = self.memory_bytes;
        } else if total > budget / 2
            && total.saturating_sub(self.frozen_at_bytes) > FREEZE_BYTES_MIN.max(budget / FREEZES_PER_BUDGET)
        {
            // Written beside the steps, so that there is little to wait for when the budget is reached.
            let largest =
                tables(&mut self.operators, &mut self.traced).max_by_key(|table| table.memory_bytes());
            largest.map_or(Ok(()), |table| table.freeze())?;
            self.frozen_at_bytes = total;
        }
        Ok(())
    }

    /// About how many bytes the tables held after the last [`Dataflow::relieve`].
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    fn shrink(&mut self, mut excess: usize) -> Result<(), DataflowError> {
        let mut tables: Vec<_> = tables(&mut self.operators, &mut self.traced).collect();
        tables.sort_by_key(|table| std::cmp::Reverse(table.memory_bytes()));
        for table in &mut tables {
            let before = table.memory_bytes();
            // What waits to be written counts until it is.
            table.shrink(before.saturating_sub(excess))?;
            self.store.wait_written();
            table.layers_mut().settle()?;
            let freed = before.saturating_sub(table.memory_bytes());
            excess = excess.saturating_sub(freed);
            if excess == 0 {
                break;
            }
        }
        self.memory_bytes = tables.iter().map(|table| table.memory_bytes()).sum();
        Ok(())
    }

    fn save_engine(&self) -> Vec<u8> {
        let tag = |index: usize| self.plan.tag(NodeId(index));
        let mut out = FieldWriter::new();
        out.u64(self.sequence).u32(self.splits.len() as u32);
        for (scan, splits) in &self.splits {
            out.u32(self.plan.tag(*scan))
                .bytes(&splits.iter().map(|finished| u8::from(*finished)).collect::<Vec<_>>());
        }
        let mut watermarks = Vec::new();
        let mut clocks = Vec::new();
        for (index, operator) in self.operators.iter().enumerate() {
            match operator {
                Operator::Watermark { state, .. } => watermarks.push((tag(index), state)),
                Operator::ProcessingTime { watermark, .. } => clocks.push((tag(index), *watermark)),
                _ => {}
            }
        }
        let meetings = self.meetings.iter().map(|(id, meeting)| (self.plan.tag(*id), meeting.watermark));
        out.u32(watermarks.len() as u32);
        for (tag, state) in watermarks {
            out.u32(tag);
            save_watermark(state, &mut out);
        }
        for times in [clocks, meetings.collect()] {
            out.u32(times.len() as u32);
            for (tag, watermark) in times {
                out.u32(tag).i64(watermark);
            }
        }
        out.finish()
    }

    /// Begins where a snapshot of the same plan left off. The store was opened with the same snapshot.
    pub fn restore(
        plan: Arc<Plan>,
        options: DataflowOptions,
        store: &Store,
        snapshot: &Manifest,
    ) -> Result<Dataflow, DataflowError> {
        let mut dataflow = Dataflow::new(plan, options, store)?;
        let now = dataflow.plan.fingerprint();
        if snapshot.fingerprint != now {
            return Err(DataflowError::invalid(format!(
                "the snapshot belongs to another plan (plan {:016x}, now {now:016x}); restore the statement \
                 that it was taken from",
                snapshot.fingerprint
            )));
        }
        match snapshot.section(ENGINE, TAGGED) {
            Some(engine) => {
                let taken = dataflow.restore_tagged(engine)?;
                if taken != dataflow.expected() {
                    return Err(StateError::damaged("the engine's own section is of another plan").into());
                }
            }
            None => {
                let engine = snapshot.unkeyed(ENGINE);
                let engine =
                    engine.ok_or_else(|| StateError::damaged("the engine's own section is missing"))?;
                dataflow.restore_ordered(engine)?;
            }
        }
        Ok(dataflow)
    }

    /// What of a plan has a place in the engine's own section.
    fn expected(&self) -> usize {
        let timed = |operator: &&Operator| {
            matches!(operator, Operator::Watermark { .. } | Operator::ProcessingTime { .. })
        };
        self.splits.len() + self.operators.iter().filter(timed).count() + self.meetings.len()
    }

    /// Takes what belongs to the nodes of this plan, and answers how much that was.
    pub(super) fn restore_tagged(&mut self, bytes: &[u8]) -> Result<usize, StateError> {
        let mut reader = FieldReader::new(bytes);
        self.sequence = sequence(&mut reader)?;
        let mut taken = 0;
        for _ in 0..reader.count(8)? {
            let tag = reader.u32()?;
            let finished: Vec<bool> = reader.bytes()?.iter().map(|finished| *finished != 0).collect();
            let Some(scan) = self.plan.tagged(tag).filter(|scan| self.splits.contains_key(scan)) else {
                continue;
            };
            self.set_splits(scan, finished.len() as u32);
            self.splits.insert(scan, finished);
            taken += 1;
        }
        for _ in 0..reader.count(16)? {
            let tag = reader.u32()?;
            let restored = read_watermark(&mut reader)?;
            let Some(node) = self.plan.tagged(tag) else { continue };
            let Some(Operator::Watermark { scan, state }) = self.operators.get_mut(node.0) else { continue };
            if self.splits.get(scan).map(Vec::len) != Some(restored.splits.len()) {
                return Err(StateError::damaged("a watermark has another number of splits"));
            }
            *state = restored;
            taken += 1;
        }
        for _ in 0..reader.count(12)? {
            let (tag, restored) = (reader.u32()?, reader.i64()?);
            let Some(node) = self.plan.tagged(tag) else { continue };
            if let Some(Operator::ProcessingTime { watermark, .. }) = self.operators.get_mut(node.0) {
                *watermark = restored;
                taken += 1;
            }
        }
        for _ in 0..reader.count(12)? {
            let (tag, restored) = (reader.u32()?, reader.i64()?);
            let Some(node) = self.plan.tagged(tag) else { continue };
            if let Some(meeting) = self.meetings.get_mut(&node) {
                meeting.watermark = restored;
                taken += 1;
            }
        }
        reader.finish()?;
        Ok(taken)
    }

    /// The same of a section without tags.
    fn restore_ordered(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut reader = FieldReader::new(bytes);
        self.sequence = sequence(&mut reader)?;
        let scans = reader.u32()? as usize;
        if scans != self.splits.len() {
            return Err(StateError::damaged("it has another number of scans"));
        }
        for (scan, splits) in &mut self.splits {
            if reader.u32()? as usize != scan.0 {
                return Err(StateError::damaged("a scan is missing"));
            }
            *splits = reader.bytes()?.iter().map(|finished| *finished != 0).collect();
        }
        for operator in &mut self.operators {
            if let Operator::ProcessingTime { watermark, .. } = operator {
                *watermark = reader.i64()?;
            }
            let Operator::Watermark { scan, state } = operator else { continue };
            let restored = read_watermark(&mut reader)?;
            if self.splits.get(scan).map(Vec::len) != Some(restored.splits.len()) {
                return Err(StateError::damaged("a watermark has another number of splits"));
            }
            *state = restored;
        }
        for meeting in self.meetings.values_mut() {
            meeting.watermark = reader.i64()?;
        }
        Ok(reader.finish()?)
    }
}

/// What a snapshot says of the nodes of its plan, by their tags.
pub(super) fn engine_section(snapshot: &Manifest) -> Option<&[u8]> {
    snapshot.section(ENGINE, TAGGED)
}

fn sequence(reader: &mut FieldReader<'_>) -> Result<u64, StateError> {
    let sequence = reader.u64()?;
    if sequence > SEQUENCE_MAX {
        return Err(StateError::damaged("the number of rows is out of range"));
    }
    Ok(sequence)
}

fn save_watermark(state: &WatermarkState, out: &mut FieldWriter) {
    out.i64(state.combined).u32(state.splits.len() as u32);
    for split in &state.splits {
        let idle = if split.idle { IDLE } else { 0 };
        out.i64(split.maximum).u8(u8::from(split.finished) | idle);
    }
}

fn read_watermark(reader: &mut FieldReader<'_>) -> Result<WatermarkState, StateError> {
    let combined = reader.i64()?;
    let count = reader.count(SPLIT_BYTES)?;
    let mut splits = Vec::with_capacity(count);
    for _ in 0..count {
        let (maximum, flags) = (reader.i64()?, reader.u8()?);
        splits.push(SplitWatermark { maximum, finished: flags & FINISHED != 0, idle: flags & IDLE != 0 });
    }
    Ok(WatermarkState { splits, combined })
}
