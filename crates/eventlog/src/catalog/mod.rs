//! Topics and partitions as the log knows them, and the changes that lead from one catalog to the next.
//!
//! An appender keeps its changes in a draft beside the catalog and puts them into it when its frame is complete: a frame
//! that is given up leaves no trace, and a change costs what it changes, not what there is. Partition ids are dense and
//! never reused in a data directory.

mod draft;

pub(crate) use draft::{Draft, Step};

use crate::LogError;
use crate::bytes::{Reader, put_i64, put_text, put_u32, put_u64};
use crate::segment::Segment;
use crate::topic_config::TopicConfig;
use base::{Offset, PartitionId, TopicId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    pub name: String,
    pub id: TopicId,
    /// By partition index.
    pub partitions: Vec<PartitionId>,
    pub config: TopicConfig,
    /// One of the node's own: see [`is_internal_topic`].
    pub internal: bool,
}

/// One change of the catalog, as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogChange {
    TopicCreated {
        name: String,
        id: TopicId,
        partitions: Vec<PartitionId>,
        config: BTreeMap<String, String>,
    },
    TopicDeleted {
        name: String,
        id: TopicId,
    },
    PartitionsAdded {
        name: String,
        id: TopicId,
        added: Vec<PartitionId>,
    },
    ConfigSet {
        name: String,
        id: TopicId,
        config: BTreeMap<String, String>,
    },
    /// Records before the offset are gone, by request or by retention.
    LogStartMoved {
        partition: PartitionId,
        log_start: Offset,
    },
    /// Compaction has put a segment in the place of the batches from `from` up to `to`.
    Compacted {
        partition: PartitionId,
        from: Offset,
        to: Offset,
        segment: Option<Segment>,
        /// Bytes of the rest of what was cut in two at `to`.
        rest_bytes: u64,
        /// Everything before it is compacted.
        clean_to: Offset,
    },
}

/// Kafka's limit, from the length of a file name.
const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Partitions of one topic; a request beyond this is a mistake, not a wish.
pub const PARTITIONS_PER_TOPIC_MAX: u32 = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) topics: BTreeMap<String, Arc<Topic>>,
    pub(crate) by_id: HashMap<TopicId, Arc<Topic>>,
    /// The topic, and the index in it.
    pub(crate) by_partition: HashMap<PartitionId, (TopicId, u32)>,
    pub(crate) partition_next: u32,
    /// Counts the changes to which topics and partitions there are, since the start.
    pub(crate) version: u64,
    /// The configuration of topics where they say nothing themselves; the node's own topics have none of it.
    defaults: BTreeMap<String, String>,
}

impl Catalog {
    /// Applies a change; an error says why it does not fit (on recovery that is damage).
    pub(crate) fn apply(&mut self, change: &CatalogChange) -> Result<(), LogError> {
        if let Some(step) = Step::of(change, |name| self.topics.get(name).cloned())? {
            self.take(&step);
        }
        Ok(())
    }

    /// Costs what the step changes, however many topics there are.
    pub(crate) fn take(&mut self, step: &Step) {
        if let (Some(before), None) = (&step.before, &step.after) {
            self.topics.remove(&before.name);
            self.by_id.remove(&before.id);
        }
        for partition in step.gone() {
            self.by_partition.remove(partition);
        }
        let Some(topic) = &step.after else {
            self.version += 1;
            return;
        };
        let topic = self.with_defaults(topic);
        let added = step.added();
        let known = topic.partitions.len() - added.len();
        for (index, partition) in added.iter().enumerate() {
            self.by_partition.insert(*partition, (topic.id, (known + index) as u32));
            self.partition_next = self.partition_next.max(partition.0.saturating_add(1));
        }
        if !added.is_empty() {
            self.version += 1;
        }
        self.by_id.insert(topic.id, topic.clone());
        self.topics.insert(topic.name.clone(), topic);
    }

    fn with_defaults(&self, topic: &Arc<Topic>) -> Arc<Topic> {
        if topic.internal || self.defaults.is_empty() {
            return topic.clone();
        }
        let config = topic.config.with_defaults(&self.defaults);
        Arc::new(Topic { config, ..Topic::clone(topic) })
    }

    pub(crate) fn default_config(&self) -> TopicConfig {
        TopicConfig::lenient(&BTreeMap::new()).with_defaults(&self.defaults)
    }

    /// Other defaults, for all the topics that there are and will be.
    pub(crate) fn set_defaults(&mut self, defaults: BTreeMap<String, String>) {
        if defaults == self.defaults {
            return;
        }
        self.defaults = defaults;
        // Most topics say the same, which is nothing.
        let mut known: BTreeMap<BTreeMap<String, String>, TopicConfig> = BTreeMap::new();
        for topic in self.topics.values_mut().filter(|topic| !topic.internal) {
            let given = &topic.config.given;
            let config = match known.get(given) {
                Some(config) => config.clone(),
                None => {
                    let config = topic.config.with_defaults(&self.defaults);
                    known.insert(given.clone(), config.clone());
                    config
                }
            };
            *topic = Arc::new(Topic { config, ..Topic::clone(topic) });
            self.by_id.insert(topic.id, topic.clone());
        }
    }

    /// The topic that a partition belongs to, and its index there.
    pub(crate) fn topic_of(&self, partition: PartitionId) -> Option<(Arc<Topic>, u32)> {
        let (id, index) = self.by_partition.get(&partition)?;
        Some((self.by_id.get(id)?.clone(), *index))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_u32(out, self.partition_next);
        put_u32(out, self.topics.len() as u32);
        for topic in self.topics.values() {
            put_text(out, &topic.name);
            out.extend_from_slice(&topic.id.0);
            put_partitions(out, &topic.partitions);
            put_config(out, &topic.config.given);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Catalog> {
        let mut catalog = Catalog::default();
        let partition_next = reader.u32()?;
        for _ in 0..reader.count(28)? {
            let name = reader.text()?;
            let id = TopicId(reader.array()?);
            let partitions = take_partitions(reader)?;
            let config = TopicConfig::lenient(&take_config(reader)?);
            let internal = is_internal_topic(&name);
            let topic = Arc::new(Topic { name, id, partitions, config, internal });
            catalog.take(&Step { before: None, after: Some(topic) });
        }
        catalog.partition_next = partition_next;
        Some(catalog)
    }
}

/// What the names of the topics begin with in which the rows of materialized tables lie.
pub const VIEW_TOPIC_PREFIX: &str = "__view.";

/// What the names of the topics begin with that jobs make for themselves.
const INTERNAL_PREFIXES: [&str; 5] = ["__outbox.", "__lookup.", "__source.", "__ids.", VIEW_TOPIC_PREFIX];

/// The node's own topics, and those that Kafka's brokers keep for themselves.
const INTERNAL_NAMES: [&str; 6] = [
    "__schemas",
    "__views",
    "__event_ids",
    "__consumer_offsets",
    "__transaction_state",
    "__share_group_state",
];

/// Whether a topic of this name is the node's own, which no client changes. Two underscores alone do not make one:
/// clients have topics like `__debezium-heartbeat.x`.
pub fn is_internal_topic(name: &str) -> bool {
    INTERNAL_NAMES.contains(&name) || INTERNAL_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Kafka's rule for topic names: letters, digits, '.', '_' and '-', not '.' or '..', at most 249 characters.
pub fn check_topic_name(name: &str) -> Result<(), LogError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let problem = if name.is_empty() {
        "it is empty"
    } else if name.len() > TOPIC_NAME_BYTES_MAX {
        "it is longer than 249 characters"
    } else if name == "." || name == ".." {
        "it is a directory's name"
    } else if !name.chars().all(legal) {
        "only letters, digits, '.', '_' and '-' are allowed"
    } else {
        return Ok(());
    };
    let shown: String = name.chars().take(60).flat_map(char::escape_default).collect();
    Err(LogError::Invalid(format!("topic name '{shown}' is not valid: {problem}")))
}

impl CatalogChange {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            CatalogChange::TopicCreated { name, id, partitions, config } => {
                out.push(1);
                put_text(out, name);
                out.extend_from_slice(&id.0);
                put_partitions(out, partitions);
                put_config(out, config);
            }
            CatalogChange::TopicDeleted { name, id } => {
                out.push(2);
                put_text(out, name);
                out.extend_from_slice(&id.0);
            }
            CatalogChange::PartitionsAdded { name, id, added } => {
                out.push(3);
                put_text(out, name);
                out.extend_from_slice(&id.0);
                put_partitions(out, added);
            }
            CatalogChange::ConfigSet { name, id, config } => {
                out.push(4);
                put_text(out, name);
                out.extend_from_slice(&id.0);
                put_config(out, config);
            }
            CatalogChange::LogStartMoved { partition, log_start } => {
                out.push(5);
                put_u32(out, partition.0);
                put_i64(out, log_start.0);
            }
            CatalogChange::Compacted { partition, from, to, segment, rest_bytes, clean_to } => {
                out.push(6);
                put_u32(out, partition.0);
                put_i64(out, from.0);
                put_i64(out, to.0);
                put_u64(out, *rest_bytes);
                put_i64(out, clean_to.0);
                out.push(u8::from(segment.is_some()));
                if let Some(segment) = segment {
                    segment.encode(out);
                }
            }
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<CatalogChange> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        let change = if kind == 5 {
            let partition = PartitionId(reader.u32()?);
            CatalogChange::LogStartMoved { partition, log_start: Offset(reader.i64()?) }
        } else if kind == 6 {
            CatalogChange::Compacted {
                partition: PartitionId(reader.u32()?),
                from: Offset(reader.i64()?),
                to: Offset(reader.i64()?),
                rest_bytes: reader.u64()?,
                clean_to: Offset(reader.i64()?),
                segment: match reader.u8()? {
                    0 => None,
                    _ => Some(Segment::decode(&mut reader)?),
                },
            }
        } else {
            let name = reader.text()?;
            let id = TopicId(reader.array()?);
            match kind {
                1 => {
                    let partitions = take_partitions(&mut reader)?;
                    CatalogChange::TopicCreated { name, id, partitions, config: take_config(&mut reader)? }
                }
                2 => CatalogChange::TopicDeleted { name, id },
                3 => CatalogChange::PartitionsAdded { name, id, added: take_partitions(&mut reader)? },
                4 => CatalogChange::ConfigSet { name, id, config: take_config(&mut reader)? },
                _ => return None,
            }
        };
        reader.is_empty().then_some(change)
    }
}

fn put_partitions(out: &mut Vec<u8>, partitions: &[PartitionId]) {
    put_u32(out, partitions.len() as u32);
    for partition in partitions {
        put_u32(out, partition.0);
    }
}

fn take_partitions(reader: &mut Reader<'_>) -> Option<Vec<PartitionId>> {
    let count = reader.count(4)?;
    (0..count).map(|_| reader.u32().map(PartitionId)).collect()
}

fn put_config(out: &mut Vec<u8>, config: &BTreeMap<String, String>) {
    put_u32(out, config.len() as u32);
    for (key, value) in config {
        put_text(out, key);
        put_text(out, value);
    }
}

fn take_config(reader: &mut Reader<'_>) -> Option<BTreeMap<String, String>> {
    let count = reader.count(8)?;
    (0..count).map(|_| Some((reader.text()?, reader.text()?))).collect()
}
