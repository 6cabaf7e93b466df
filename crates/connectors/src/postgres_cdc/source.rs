//! Reads what has landed: records of the topic become rows, and what is given up becomes JSON.

use super::change;
use crate::kafka::KafkaSource;
use base::PartitionId;
use dataflow::sink::TopicBatch;
use dataflow::source::{Position, Read, ReadLimits, Rejected, Source, SourceError, Split};
use dataflow::table::TableDefinition;
use std::sync::Arc;

pub(super) struct CdcSource {
    pub(super) table: Arc<TableDefinition>,
    pub(super) landed: KafkaSource,
}

impl Source for CdcSource {
    fn splits(&mut self) -> Result<Vec<Split>, SourceError> {
        self.landed.splits()
    }

    fn read(
        &mut self,
        split: &Split,
        from: Position,
        until: Option<Position>,
        limits: ReadLimits,
    ) -> Result<Read, SourceError> {
        self.landed.read(split, from, until, limits)
    }

    fn log_partition(&self, split: &Split) -> Option<PartitionId> {
        self.landed.log_partition(split)
    }

    fn encode_rejected(&self, rejected: &[&Rejected]) -> Result<Vec<TopicBatch>, SourceError> {
        let shown = |one: &&Rejected| {
            let value = one.value.as_deref().and_then(|value| change::as_json(value, &self.table));
            Rejected { value: value.or_else(|| one.value.clone()), ..(*one).clone() }
        };
        let shown: Vec<Rejected> = rejected.iter().map(shown).collect();
        self.landed.encode_rejected(&shown.iter().collect::<Vec<_>>())
    }

    fn lag(&self, split: &Split, from: Position) -> Option<u64> {
        self.landed.lag(split, from)
    }
}
