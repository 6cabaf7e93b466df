//! What one frame changes in the catalog, kept beside it until the frame is complete.

use super::{CatalogChange, Topic};
use crate::LogError;
use crate::topic_config::TopicConfig;
use base::PartitionId;
use std::collections::HashMap;
use std::sync::Arc;

/// What one change makes of one topic.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) before: Option<Arc<Topic>>,
    pub(crate) after: Option<Arc<Topic>>,
}

impl Step {
    /// `None` for a change that leaves all topics as they are; an error says why the change does not fit.
    pub(crate) fn of(
        change: &CatalogChange,
        find: impl FnOnce(&str) -> Option<Arc<Topic>>,
    ) -> Result<Option<Step>, LogError> {
        let existing = |name: &str, found: Option<Arc<Topic>>| {
            found.ok_or_else(|| LogError::NotFound(format!("topic '{name}' does not exist")))
        };
        let (before, after) = match change {
            CatalogChange::TopicCreated { name, id, partitions, config } => {
                if find(name).is_some() {
                    return Err(LogError::Conflict(format!("topic '{name}' already exists")));
                }
                let after = Topic {
                    name: name.clone(),
                    id: *id,
                    partitions: partitions.clone(),
                    config: TopicConfig::lenient(config),
                    internal: super::is_internal_topic(name),
                };
                (None, Some(after))
            }
            CatalogChange::TopicDeleted { name, .. } => (Some(existing(name, find(name))?), None),
            CatalogChange::PartitionsAdded { name, added, .. } => {
                let before = existing(name, find(name))?;
                let mut after = Topic::clone(&before);
                after.partitions.extend(added);
                (Some(before), Some(after))
            }
            CatalogChange::ConfigSet { name, config, .. } => {
                let before = existing(name, find(name))?;
                let after = Topic { config: TopicConfig::lenient(config), ..Topic::clone(&before) };
                (Some(before), Some(after))
            }
            CatalogChange::LogStartMoved { .. } | CatalogChange::Compacted { .. } => return Ok(None),
        };
        Ok(Some(Step { before, after: after.map(Arc::new) }))
    }

    /// The partitions that come: behind those that the topic has.
    pub(crate) fn added(&self) -> &[PartitionId] {
        let known = self.before.as_ref().map_or(0, |topic| topic.partitions.len());
        self.after.as_ref().and_then(|topic| topic.partitions.get(known..)).unwrap_or_default()
    }

    /// The partitions that go: all of the topic's, with it.
    pub(crate) fn gone(&self) -> &[PartitionId] {
        match (&self.before, &self.after) {
            (Some(before), None) => &before.partitions,
            _ => &[],
        }
    }
}

/// The changes of a frame, in order, and what they make of the topics that they touch.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) steps: Vec<Step>,
    topics: HashMap<String, Option<Arc<Topic>>>,
    /// Whether a partition comes or goes.
    partitions: HashMap<PartitionId, bool>,
    partition_next: u32,
}

impl Draft {
    pub(crate) fn push(&mut self, step: Step) {
        for partition in step.gone() {
            self.partitions.insert(*partition, false);
        }
        for partition in step.added() {
            self.partitions.insert(*partition, true);
            self.partition_next = self.partition_next.max(partition.0.saturating_add(1));
        }
        if let Some(topic) = step.after.as_ref().or(step.before.as_ref()) {
            self.topics.insert(topic.name.clone(), step.after.clone());
        }
        self.steps.push(step);
    }

    /// The topic as the draft has left it; `None` if it does not touch it.
    pub(crate) fn topic(&self, name: &str) -> Option<Option<Arc<Topic>>> {
        self.topics.get(name).cloned()
    }

    /// Whether the draft brings the partition (true) or takes it away.
    pub(crate) fn partition(&self, partition: PartitionId) -> Option<bool> {
        self.partitions.get(&partition).copied()
    }

    /// The least id that no partition has ever had, given the one before the draft.
    pub(crate) fn partition_next(&self, before: u32) -> u32 {
        self.partition_next.max(before)
    }

    /// How many partitions there are, given how many there were before.
    pub(crate) fn partition_count(&self, before: usize) -> usize {
        let added: usize = self.steps.iter().map(|step| step.added().len()).sum();
        let gone: usize = self.steps.iter().map(|step| step.gone().len()).sum();
        (before + added).saturating_sub(gone)
    }
}
