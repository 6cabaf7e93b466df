//! What a frame may change besides records: topics, their configuration, log starts, segments by compaction.

use super::frame::{Data, Frame, plain};
use crate::LogError;
use crate::catalog::{CatalogChange, PARTITIONS_PER_TOPIC_MAX, Step, Topic, check_topic_name};
use crate::files::{LogFile, lock};
use crate::format::EntryKind;
use crate::topic_config::{Durability, SHIPS_NOTHING, TopicConfig};
use crate::upkeep::Pins;
use base::{Offset, PartitionId, TopicId};
use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};

/// What compaction changes in a partition.
pub(super) struct Replacement<'a> {
    pub(super) change: CatalogChange,
    pub(super) file: Option<Arc<LogFile>>,
    /// Held until the change is in force, so that nobody pins what it takes away.
    _pins: MutexGuard<'a, Pins>,
}

impl Frame<'_> {
    /// Creates a topic; `Conflict` if the name exists, `Invalid` for a wrong name, number or configuration.
    pub fn create_topic(
        &mut self,
        name: &str,
        partitions: u32,
        config: BTreeMap<String, String>,
    ) -> Result<TopicId, LogError> {
        check_topic_name(name)?;
        self.check_config(&config)?;
        if self.topic(name).is_some() {
            return Err(LogError::Conflict(format!("topic '{name}' already exists")));
        }
        if partitions == 0 || partitions > PARTITIONS_PER_TOPIC_MAX {
            return Err(LogError::Invalid(format!(
                "partitions={partitions} is not valid: a topic has 1 to {PARTITIONS_PER_TOPIC_MAX}"
            )));
        }
        let mut id = TopicId([0; 16]);
        self.inner.os.random.fill(&mut id.0);
        // The marks of a random UUID (RFC 9562, version 4).
        id.0[6] = id.0[6] & 0x0f | 0x40;
        id.0[8] = id.0[8] & 0x3f | 0x80;
        let partitions = self.new_partitions(partitions)?;
        self.change(CatalogChange::TopicCreated { name: name.to_string(), id, partitions, config }, true)?;
        Ok(id)
    }

    /// Deletes a topic and its records; their space comes back by whole log files. `Pinned` when a pin needs one of them.
    pub fn delete_topic(&mut self, name: &str) -> Result<(), LogError> {
        let topic = self.existing(name)?;
        let pins = lock(&self.inner.pins);
        let pinned =
            topic.partitions.iter().find_map(|partition| Some((*partition, pins.lowest(*partition)?)));
        drop(pins);
        if let Some((partition, (owner, from))) = pinned {
            let from = Offset(from);
            return Err(LogError::Pinned { what: format!("topic '{name}'"), owner, partition, from });
        }
        self.delete_own_topic(name)
    }

    /// The same whatever is pinned: for whoever made the topic for itself and ends with it.
    pub fn delete_own_topic(&mut self, name: &str) -> Result<(), LogError> {
        let topic = self.existing(name)?;
        self.change(CatalogChange::TopicDeleted { name: name.to_string(), id: topic.id }, false)
    }

    /// Gives a topic more partitions, up to `total`.
    pub fn add_partitions(&mut self, name: &str, total: u32) -> Result<(), LogError> {
        let topic = self.existing(name)?;
        let now = topic.partitions.len() as u32;
        if total <= now || total > PARTITIONS_PER_TOPIC_MAX {
            return Err(LogError::Invalid(format!(
                "topic '{name}' has partitions={now}; the new total must be larger and at most \
                 {PARTITIONS_PER_TOPIC_MAX}, not {total}"
            )));
        }
        let added = self.new_partitions(total - now)?;
        self.change(CatalogChange::PartitionsAdded { name: name.to_string(), id: topic.id, added }, true)
    }

    /// Replaces a topic's configuration.
    pub fn set_topic_config(&mut self, name: &str, config: BTreeMap<String, String>) -> Result<(), LogError> {
        let topic = self.existing(name)?;
        self.check_config(&config)?;
        self.change(CatalogChange::ConfigSet { name: name.to_string(), id: topic.id, config }, false)
    }

    /// Deletes the records before an offset, at most those that are durable. Answers the new log start.
    /// `Pinned` when a pin needs one of them.
    pub fn delete_records(&mut self, partition: PartitionId, before: Offset) -> Result<Offset, LogError> {
        let (log_start, durable) = {
            let known = self.inner.partition(partition)?;
            let state = known.state();
            (state.log_start, state.durable)
        };
        if before.0 < 0 || before.0 > durable {
            return Err(LogError::OffsetOutOfRange {
                partition,
                requested: before,
                log_start: Offset(log_start),
                high_watermark: Offset(durable),
            });
        }
        if before.0 <= log_start {
            return Ok(Offset(log_start));
        }
        if let Some((owner, from)) =
            lock(&self.inner.pins).lowest(partition).filter(|(_, from)| *from < before.0)
        {
            let what = format!("the records before offset={before}");
            return Err(LogError::Pinned { what, owner, partition, from: Offset(from) });
        }
        self.move_log_start(partition, before.0)?;
        Ok(before)
    }

    pub(crate) fn move_log_start(&mut self, partition: PartitionId, log_start: i64) -> Result<(), LogError> {
        self.change(CatalogChange::LogStartMoved { partition, log_start: Offset(log_start) }, false)?;
        self.log_starts.push((partition, log_start));
        Ok(())
    }

    /// Puts a segment, whose file is durable, in the place of a partition's batches; one change for each frame.
    /// `Pinned` when a pin needs one of them.
    pub(crate) fn compacted(
        &mut self,
        change: CatalogChange,
        file: Option<Arc<LogFile>>,
    ) -> Result<(), LogError> {
        let CatalogChange::Compacted { partition, from, to, .. } = &change else {
            return Err(LogError::Internal("it is no change by compaction".into()));
        };
        self.inner.partition(*partition)?;
        let pins = lock(&self.inner.pins);
        if let Some((owner, pinned)) = pins.lowest(*partition).filter(|(_, pin)| from < to && *pin < to.0) {
            let what = format!("the records before offset={to}");
            return Err(LogError::Pinned { what, owner, partition: *partition, from: Offset(pinned) });
        }
        self.change(change.clone(), false)?;
        self.compacted = Some(Replacement { change, file, _pins: pins });
        Ok(())
    }

    /// A topic may only be given what this node keeps.
    fn check_config(&self, config: &BTreeMap<String, String>) -> Result<(), LogError> {
        let checked = TopicConfig::check(config)?;
        if checked.durability == Durability::Remote && lock(&self.inner.progress).shipped.is_none() {
            return Err(LogError::Invalid(SHIPS_NOTHING.into()));
        }
        Ok(())
    }

    fn existing(&self, name: &str) -> Result<Arc<Topic>, LogError> {
        self.topic(name).ok_or_else(|| LogError::NotFound(format!("topic '{name}' does not exist")))
    }

    fn new_partitions(&self, count: u32) -> Result<Vec<PartitionId>, LogError> {
        let next = self.draft.partition_next(self.inner.catalog().partition_next);
        let end =
            next.checked_add(count).ok_or_else(|| LogError::Invalid("no partition ids are left".into()))?;
        Ok((next..end).map(PartitionId).collect())
    }

    fn change(&mut self, change: CatalogChange, grows: bool) -> Result<(), LogError> {
        let mut bytes = Vec::new();
        change.encode(&mut bytes);
        // The callers have checked that the change fits; so this leaves the catalog as the entry says.
        let step = Step::of(&change, |name| self.topic(name))?;
        self.push(plain(EntryKind::Catalog), Data::Copied(&bytes), grows)?;
        if let Some(step) = step {
            self.draft.push(step);
        }
        Ok(())
    }
}
