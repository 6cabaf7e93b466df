//! The outputs of a job: rows of a step become batches of topics, inside the step's own frame.
//!
//! Topic sinks and outboxes are encoded here and committed with the step. Direct sinks get their
//! rows from a thread of their own, in order, once the step that made them is durable.

use crate::background::Background;
use crate::error::RuntimeError;
use crate::job::Wakeup;
use crate::late::LateTopic;
use crate::outbox::{self, OutboxSignals};
use crate::profile::Profile;
use base::{ErrorKind, Lsn, PartitionId};
use dataflow::batch::Batch;
use dataflow::connector::{Connector, ConnectorError, ConnectorTable};
use dataflow::engine::{LateRows, SinkOutput};
use dataflow::plan::{NodeId, NodeKind, Plan};
use dataflow::sink::{DirectSink, OutboxSink, Sink, TopicBatch, TopicSink, TraceHeaders};
use dataflow::table::TableDefinition;
use eventlog::EventLog;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Steps that may wait for a direct sink before the job waits for it.
const DIRECT_QUEUE_STEPS_MAX: usize = 64;

pub(crate) struct Outputs {
    log: EventLog,
    sinks: Vec<Output>,
    direct: Option<DirectQueue>,
    dead_letter_topics: BTreeMap<String, PartitionId>,
    late: Option<LateTopic>,
    signals: Arc<OutboxSignals>,
}

struct Output {
    node: NodeId,
    /// What it is called on disk.
    tag: u32,
    address: SinkAddress,
    target: Target,
}

enum Target {
    Topic {
        sink: Box<dyn TopicSink>,
        partitions: Vec<PartitionId>,
    },
    Outbox {
        sink: Box<dyn OutboxSink>,
        partition: Option<PartitionId>,
    },
    /// An index into the direct queue's sinks.
    Direct(usize),
}

/// Rows for direct sinks: which one, and what.
pub(crate) type DirectRows = Vec<(usize, Batch)>;

/// A batch on its way into a frame.
pub(crate) struct Encoded {
    pub partition: PartitionId,
    pub batch: TopicBatch,
}

/// Where a sink's records go, as spans have it.
#[derive(Debug, Clone)]
pub(crate) struct SinkAddress {
    pub(crate) table: String,
    pub(crate) system: String,
    pub(crate) destination: String,
}

impl SinkAddress {
    pub(crate) fn of(table: &TableDefinition) -> SinkAddress {
        let connector = table.options.get("connector").map_or("", String::as_str);
        // As OpenTelemetry calls the system of both.
        let system = if connector == "upsert-kafka" { "kafka" } else { connector };
        let destination = table.options.get("topic").unwrap_or(&table.name);
        SinkAddress { table: table.name.clone(), system: system.into(), destination: destination.clone() }
    }
}

/// What tells the files and offsets of one sink of a job from those of its others.
pub(crate) fn sink_identity(job: &str, tag: u32) -> String {
    format!("{job}-{tag}")
}

/// The connector that a table names.
pub(crate) fn connector_of<'a>(
    connectors: &'a ConnectorTable,
    table: &TableDefinition,
) -> Result<&'a Arc<dyn Connector>, ConnectorError> {
    let name = table.options.get("connector").map_or("", String::as_str);
    connectors.find(name).ok_or_else(|| ConnectorError {
        kind: ErrorKind::NotFound,
        message: format!("table '{}': there is no connector '{name}'", table.name),
        option: Some("connector".into()),
    })
}

impl Outputs {
    pub(crate) fn open(
        plan: &Plan,
        connectors: &ConnectorTable,
        job: &str,
        log: &EventLog,
        stop: &Arc<AtomicBool>,
        wakeup: &Arc<Wakeup>,
        signals: &Arc<OutboxSignals>,
    ) -> Result<Outputs, RuntimeError> {
        let mut sinks = Vec::new();
        let mut direct = Vec::new();
        for (index, node) in plan.nodes.iter().enumerate() {
            let NodeKind::Sink { table } = &node.kind else { continue };
            let target = match connector_of(connectors, table)?
                .sink(table, &sink_identity(job, plan.tag(NodeId(index))))?
            {
                Sink::Topic(sink) => Target::Topic { sink, partitions: Vec::new() },
                Sink::Outbox(sink) => Target::Outbox { sink, partition: None },
                Sink::Direct(sink) => {
                    direct.push(sink);
                    Target::Direct(direct.len() - 1)
                }
            };
            sinks.push(Output {
                node: NodeId(index),
                tag: plan.tag(NodeId(index)),
                address: SinkAddress::of(table),
                target,
            });
        }
        let direct = if direct.is_empty() {
            None
        } else {
            Some(DirectQueue::start(Background::new(job, stop, wakeup), direct, log.clone())?)
        };
        Ok(Outputs {
            log: log.clone(),
            sinks,
            direct,
            dead_letter_topics: BTreeMap::new(),
            late: None,
            signals: signals.clone(),
        })
    }

    /// The sinks with their tables' names.
    pub(crate) fn sinks(&self) -> impl Iterator<Item = (NodeId, &str)> {
        self.sinks.iter().map(|output| (output.node, output.address.table.as_str()))
    }

    /// The topics of the log that rows are written to.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &str> {
        self.sinks.iter().filter_map(|output| match &output.target {
            Target::Topic { sink, .. } => Some(sink.topic()),
            Target::Outbox { .. } | Target::Direct(_) => None,
        })
    }

    /// Where each sink's records go.
    pub(crate) fn addresses(&self) -> BTreeMap<NodeId, SinkAddress> {
        self.sinks.iter().map(|output| (output.node, output.address.clone())).collect()
    }

    pub(crate) fn have_outboxes(&self) -> bool {
        self.sinks.iter().any(|output| matches!(output.target, Target::Outbox { .. }))
    }

    /// The topics that the job writes, with the partitions they are created with.
    pub(crate) fn topics_wanted(&self, job: &str) -> Vec<TopicWanted> {
        let wanted = self.sinks.iter().filter_map(|output| match &output.target {
            Target::Topic { sink, .. } => Some(TopicWanted {
                name: sink.topic().to_string(),
                partitions: sink.partitions_wanted(),
                configs: sink.configs_wanted(),
            }),
            Target::Outbox { .. } => Some(TopicWanted::plain(outbox::topic(job, output.tag))),
            Target::Direct(_) => None,
        });
        let late = self.late.iter().map(|late| TopicWanted::plain(late.topic.clone()));
        wanted.chain(late).collect()
    }

    /// Looks up the partitions of the topics, which exist by now.
    pub(crate) fn bind(&mut self, job: &str) -> Result<(), RuntimeError> {
        for output in &mut self.sinks {
            match &mut output.target {
                Target::Topic { sink, partitions } => *partitions = partitions_of(&self.log, sink.topic())?,
                Target::Outbox { partition, .. } => {
                    *partition = partitions_of(&self.log, &outbox::topic(job, output.tag))?.first().copied();
                }
                Target::Direct(_) => {}
            }
        }
        Ok(())
    }

    /// Encodes what a step put out; direct sinks' rows are left in the answer's second part.
    pub(crate) fn encode(
        &mut self,
        outputs: &[SinkOutput],
        carried: &mut BTreeMap<NodeId, TraceHeaders>,
        clock_ms: i64,
        profile: &mut Profile,
    ) -> Result<(Vec<Encoded>, DirectRows), RuntimeError> {
        let mut encoded = Vec::new();
        let mut direct = Vec::new();
        for output in outputs.iter().filter(|output| !output.rows.is_empty()) {
            let Some(sink) = self.sinks.iter_mut().find(|sink| sink.node == output.sink) else { continue };
            match &mut sink.target {
                Target::Topic { sink, partitions } => {
                    carried.remove(&output.sink).into_iter().for_each(|carried| sink.carry(carried));
                    for batch in sink.encode(&output.rows, partitions.len() as u32, clock_ms)? {
                        let partition = partitions[batch.partition as usize % partitions.len()];
                        encoded.push(Encoded { partition, batch });
                    }
                }
                Target::Outbox { sink, partition } => {
                    let Some(partition) = *partition else { continue };
                    carried.remove(&output.sink).into_iter().for_each(|carried| sink.carry(carried));
                    let batches = sink.encode(&output.rows, clock_ms)?;
                    for batch in &batches {
                        self.signals.appended(output.sink, batch.records, batch.bytes.len());
                    }
                    encoded.extend(batches.into_iter().map(|batch| Encoded { partition, batch }));
                }
                Target::Direct(index) => direct.push((*index, output.rows.clone())),
            }
            profile.spent(output.sink);
        }
        Ok((encoded, direct))
    }

    /// From now on late rows go into a topic of their own.
    pub(crate) fn keep_late_rows(&mut self, late: LateTopic) {
        self.late = Some(late);
    }

    pub(crate) fn encode_late(
        &mut self,
        rows: &[LateRows],
        clock_ms: i64,
    ) -> Result<Vec<Encoded>, RuntimeError> {
        let Some(late) = self.late.as_mut().filter(|_| !rows.is_empty()) else { return Ok(Vec::new()) };
        let batches = late.encode(rows, clock_ms);
        let topic = late.topic.clone();
        let partition = self.dead_letter_partition(&topic)?;
        Ok(batches.into_iter().map(|batch| Encoded { partition, batch }).collect())
    }

    /// The first partition of a dead-letter topic, which is created on first use.
    pub(crate) fn dead_letter_partition(&mut self, topic: &str) -> Result<PartitionId, RuntimeError> {
        if let Some(partition) = self.dead_letter_topics.get(topic) {
            return Ok(*partition);
        }
        // Its frame stands before that of the step, so nobody need wait for it.
        create_topics(&self.log, &[TopicWanted::letters(topic.to_string())])?;
        let partition = partitions_of(&self.log, topic)?[0];
        self.dead_letter_topics.insert(topic.to_string(), partition);
        Ok(partition)
    }

    /// Hands direct rows over; they are written when `lsn` is durable.
    pub(crate) fn publish(&self, lsn: Lsn, rows: DirectRows) {
        if let Some(queue) = self.direct.as_ref().filter(|_| !rows.is_empty()) {
            queue.push(lsn, rows);
        }
    }

    /// Waits until every direct row is written.
    pub(crate) fn finish(&mut self) -> Result<(), RuntimeError> {
        self.direct.take().map_or(Ok(()), DirectQueue::finish)
    }
}

/// A topic as it is created if it does not exist.
pub(crate) struct TopicWanted {
    name: String,
    partitions: u32,
    configs: BTreeMap<String, String>,
}

/// How long records stay that a job needs no more.
const SHORT_LIVED_MS: u64 = 60_000;

impl TopicWanted {
    pub(crate) fn plain(name: String) -> TopicWanted {
        TopicWanted { name, partitions: 1, configs: BTreeMap::new() }
    }

    /// Dead letters stay until somebody has dealt with them. They have the times of their records, which may be older than
    /// any retention.
    pub(crate) fn letters(name: String) -> TopicWanted {
        let configs = BTreeMap::from([("retention.ms".to_string(), "-1".to_string())]);
        TopicWanted { name, partitions: 1, configs }
    }

    /// One whose records are of no use once the job has gone on.
    pub(crate) fn short_lived(name: String) -> TopicWanted {
        TopicWanted::kept_for(name, SHORT_LIVED_MS)
    }

    /// One whose records stay for a while, and as long as somebody has pinned them.
    pub(crate) fn kept_for(name: String, retention_ms: u64) -> TopicWanted {
        let configs = BTreeMap::from([("retention.ms".to_string(), retention_ms.to_string())]);
        TopicWanted { name, partitions: 1, configs }
    }

    pub(crate) fn with_partitions(self, partitions: u32) -> TopicWanted {
        TopicWanted { partitions, ..self }
    }
}

/// Creates the topics that do not exist yet, in one frame; answers its place if there is one.
pub(crate) fn create_topics(log: &EventLog, topics: &[TopicWanted]) -> Result<Option<Lsn>, RuntimeError> {
    let missing: Vec<_> = topics.iter().filter(|topic| log.topic(&topic.name).is_none()).collect();
    if missing.is_empty() {
        return Ok(None);
    }
    let ((), lsn) = log.append(|frame| {
        for topic in &missing {
            if frame.topic(&topic.name).is_none() {
                frame.create_topic(&topic.name, topic.partitions, topic.configs.clone())?;
            }
        }
        Ok::<_, RuntimeError>(())
    })?;
    Ok(Some(lsn))
}

fn partitions_of(log: &EventLog, topic: &str) -> Result<Vec<PartitionId>, RuntimeError> {
    match log.topic(topic) {
        Some(topic) if !topic.partitions.is_empty() => Ok(topic.partitions.clone()),
        _ => Err(RuntimeError::Sink(dataflow::sink::SinkError {
            kind: ErrorKind::NotFound,
            message: format!("topic '{topic}' was deleted while a job writes it"),
        })),
    }
}

type DirectItem = (Lsn, DirectRows);

/// Writes direct sinks behind the durable end of the log.
struct DirectQueue {
    queue: SyncSender<DirectItem>,
    writer: Background,
}

impl DirectQueue {
    fn start(
        mut writer: Background,
        sinks: Vec<Box<dyn DirectSink>>,
        log: EventLog,
    ) -> Result<DirectQueue, RuntimeError> {
        let (queue, items) = sync_channel(DIRECT_QUEUE_STEPS_MAX);
        writer.spawn("direct", move || write_direct(sinks, &items, &log))?;
        Ok(DirectQueue { queue, writer })
    }

    fn push(&self, lsn: Lsn, rows: DirectRows) {
        // The receiver is only gone after a failure, which stops the job and is told by `finish`.
        let _ = self.queue.send((lsn, rows));
    }

    fn finish(self) -> Result<(), RuntimeError> {
        drop(self.queue);
        self.writer.join()
    }
}

fn write_direct(
    mut sinks: Vec<Box<dyn DirectSink>>,
    items: &Receiver<DirectItem>,
    log: &EventLog,
) -> Result<(), RuntimeError> {
    while let Ok((lsn, rows)) = items.recv() {
        log.wait_durable(lsn)?;
        for (sink, batch) in rows {
            sinks[sink].write(&batch).map_err(RuntimeError::Direct)?;
            sinks[sink].flush().map_err(RuntimeError::Direct)?;
        }
    }
    for sink in &mut sinks {
        sink.flush().map_err(RuntimeError::Direct)?;
    }
    Ok(())
}
