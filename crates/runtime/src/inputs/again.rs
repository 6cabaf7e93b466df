//! The inputs of a job that is changed: new scans beside known ones, and what was read before read again.

use super::Inputs;
use crate::coordinates::ScanSplits;
use crate::error::RuntimeError;
use crate::journal::StepRecord;
use base::PartitionId;
use dataflow::engine::ScanInput;
use dataflow::plan::NodeId;
use dataflow::source::{Position, ReadLimits, Split};

impl Inputs {
    /// Takes up the splits of a job that is changed: scans that are new resolve theirs. Answers all of them.
    pub(crate) fn alter(
        &mut self,
        job: &str,
        journalled: &[ScanSplits],
    ) -> Result<Vec<ScanSplits>, RuntimeError> {
        for scan in &mut self.scans {
            match journalled.iter().find(|known| known.scan == scan.tag) {
                Some(known) => scan.take_up(job, known)?,
                None => {
                    let splits = scan.source.splits()?;
                    scan.set_splits(splits);
                }
            }
        }
        Ok(self.scans.iter().map(|s| ScanSplits { scan: s.tag, splits: s.splits.clone() }).collect())
    }

    /// A step without the ranges of scans that there are no more.
    pub(crate) fn known_ranges(&self, step: &StepRecord) -> StepRecord {
        let mut known = step.clone();
        known.ranges.retain(|range| self.scans.iter().any(|scan| scan.tag == range.scan));
        known
    }

    /// The splits of a scan by their numbers, with the partitions of the log that they are.
    pub(crate) fn splits_of(&self, node: NodeId) -> Vec<(u32, Split, Option<PartitionId>)> {
        let Some(scan) = self.scans.iter().find(|scan| scan.node == node) else { return Vec::new() };
        let split = |(index, split): (u32, &Split)| (index, split.clone(), scan.source.log_partition(split));
        (0..).zip(&scan.splits).map(split).collect()
    }

    /// Where the job is in a split.
    pub(crate) fn position(&self, node: NodeId, split: u32) -> Position {
        let scan = self.scans.iter().find(|scan| scan.node == node);
        let cursor = scan.and_then(|scan| scan.cursors.get(split as usize));
        cursor.map_or(Position(0), |cursor| cursor.position)
    }

    pub(crate) fn split_id(&self, node: NodeId, split: u32) -> String {
        let scan = self.scans.iter().find(|scan| scan.node == node);
        let split = scan.and_then(|scan| scan.splits.get(split as usize));
        split.map_or(String::new(), |split| split.id.clone())
    }

    /// Reads what was read before, from a position of a split on but not beyond its cursor; answers the rows, and where
    /// to read on if the cursor lies further.
    pub(crate) fn read_again(
        &mut self,
        (node, split, from): (NodeId, u32, Position),
        rows_max: usize,
        clock_ms: i64,
    ) -> Result<(ScanInput, Option<Position>), RuntimeError> {
        let scan = self.scans.iter_mut().find(|scan| scan.node == node);
        let found = scan.and_then(|scan| Some((scan.cursors.get(split as usize).copied()?, scan)));
        let Some((cursor, scan)) = found else {
            let reason = format!("split {split} of #{} is read again and is not there", node.0);
            return Err(RuntimeError::Internal { job: String::new(), reason });
        };
        let mut input = ScanInput {
            scan: node,
            split,
            rows: scan.nothing.clone(),
            kinds: None,
            finished: cursor.finished,
            idle: false,
        };
        if from >= cursor.position {
            return Ok((input, None));
        }
        let of_split = &scan.splits[split as usize];
        let mut read = scan.source.read(of_split, from, None, ReadLimits { rows_max, clock_ms })?;
        if read.next > cursor.position {
            let limits = ReadLimits { rows_max: usize::MAX, clock_ms };
            read = scan.source.read(of_split, from, Some(cursor.position), limits)?;
        }
        (input.rows, input.kinds) = (read.rows, read.kinds);
        let is_there = read.next >= cursor.position;
        input.finished = is_there && cursor.finished;
        Ok((input, (!is_there).then_some(read.next)))
    }
}
