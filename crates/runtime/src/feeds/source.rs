//! Reads what a feed has landed: the connector's source over the feed's topic, which ends when the feed has.

use super::Landing;
use base::PartitionId;
use dataflow::sink::TopicBatch;
use dataflow::source::{Position, Read, ReadLimits, Rejected, Source, SourceError, SourceTraces, Split};
use eventlog::EventLog;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(crate) struct LandedSource {
    pub(super) log: EventLog,
    pub(super) landing: Arc<Landing>,
    pub(super) partitions: Vec<PartitionId>,
    pub(super) source: Box<dyn Source>,
}

impl LandedSource {
    fn index(&self, split: &Split) -> Option<usize> {
        split.id.strip_prefix(&self.landing.topic)?.strip_prefix('/')?.parse().ok()
    }

    fn end(&self, split: &Split) -> Result<i64, SourceError> {
        let Some(partition) = self.log_partition(split) else { return Ok(0) };
        let bounds = self.log.bounds(partition);
        bounds
            .map(|bounds| bounds.end.0)
            .map_err(|error| SourceError { kind: error.kind(), message: error.to_string() })
    }
}

impl Source for LandedSource {
    /// From where the topic begins: nobody but this job's feed writes it.
    fn splits(&mut self) -> Result<Vec<Split>, SourceError> {
        let split = |index: usize| Split {
            id: format!("{}/{index}", self.landing.topic),
            start: Position(0),
            end: None,
            fingerprint: String::new(),
        };
        let mut splits: Vec<Split> = (0..self.partitions.len()).map(split).collect();
        for split in &mut splits {
            split.start = Position(self.end(split)?);
        }
        Ok(splits)
    }

    fn read(
        &mut self,
        split: &Split,
        from: Position,
        until: Option<Position>,
        limits: ReadLimits,
    ) -> Result<Read, SourceError> {
        // Asked before reading: what lands until the feed ends lies before the end.
        let has_ended = self.landing.ended.load(Ordering::Acquire);
        let mut read = self.source.read(split, from, until, limits)?;
        if until.is_none() {
            read.finished = has_ended && read.next.0 >= self.end(split)?;
            if let Some(index) = self.index(split) {
                self.landing.has_read(index, read.next.0);
            }
        }
        Ok(read)
    }

    fn log_partition(&self, split: &Split) -> Option<PartitionId> {
        self.partitions.get(self.index(split)?).copied()
    }

    fn encode_rejected(&self, rejected: &[&Rejected]) -> Result<Vec<TopicBatch>, SourceError> {
        self.source.encode_rejected(rejected)
    }

    fn trace(&mut self) {
        self.source.trace();
    }

    fn take_traces(&mut self) -> SourceTraces {
        self.source.take_traces()
    }

    fn lag(&self, split: &Split, from: Position) -> Option<u64> {
        self.source.lag(split, from)
    }
}
