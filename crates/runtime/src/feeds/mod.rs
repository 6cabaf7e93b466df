//! Feeds of a job: who brings what comes from outside into the log, and how the job reads it there.
//!
//! 1. A driver polls the feed and appends what it brought to the internal topic `__source.JOB.NODE`, together with the
//!    feed's new position (a record of the journal) and the ids of the records (topic `__ids.JOB.NODE`), in one frame.
//! 2. When the frame is durable, the feed tells the outside system that it may forget them.
//! 3. The job reads the topic as a source whose splits are its partitions; retention keeps what a recovery needs.
//!
//! While the job is far behind, the driver polls no more, so that the outside system holds back what it has.

mod driver;
mod source;

pub(crate) use driver::Driver;

use crate::error::RuntimeError;
use crate::ids;
use crate::job::lock;
use crate::outputs::{TopicWanted, connector_of, sink_identity};
use crate::steps::Context;
use crate::topics;
use dataflow::connector::{Connector, ConnectorTable};
use dataflow::feed::{Feed, FeedRequest};
use dataflow::plan::{NodeId, NodeKind, Plan};
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use eventlog::EventLog;
use source::LandedSource;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// The feeds of one job.
pub(crate) struct Feeds {
    landings: Vec<Arc<Landing>>,
    stopped: Arc<AtomicBool>,
}

/// What the driver and the reader of one feed know together.
pub(crate) struct Landing {
    scan: NodeId,
    /// What the scan is called on disk.
    tag: u32,
    table: Arc<TableDefinition>,
    connector: Arc<dyn Connector>,
    identity: String,
    topic: String,
    ids_topic: String,
    /// The feed has brought all there is, and the log holds it.
    ended: AtomicBool,
    /// By partition: where the job's reader is; none before its first read.
    read: Mutex<Vec<Option<i64>>>,
}

impl Landing {
    fn has_read(&self, partition: usize, next: i64) {
        let mut read = lock(&self.read);
        if read.len() <= partition {
            read.resize(partition + 1, None);
        }
        read[partition] = Some(next);
    }

    fn feed(&self) -> Result<Box<dyn Feed>, RuntimeError> {
        let request = FeedRequest { table: self.table.clone(), identity: self.identity.clone() };
        Ok(self.connector.feed(request)?)
    }
}

impl Feeds {
    /// `identity` tells this run of the job from any other.
    pub(crate) fn new(
        plan: &Plan,
        connectors: &ConnectorTable,
        job: &str,
        identity: &str,
    ) -> Result<Feeds, RuntimeError> {
        let mut landings = Vec::new();
        for (index, node) in plan.nodes.iter().enumerate() {
            let NodeKind::Scan { table, .. } = &node.kind else { continue };
            let connector = connector_of(connectors, table)?;
            if connector.lands(table) {
                let scan = NodeId(index);
                let tag = plan.tag(scan);
                landings.push(Arc::new(Landing {
                    scan,
                    tag,
                    table: table.clone(),
                    connector: connector.clone(),
                    identity: sink_identity(identity, tag),
                    topic: topics::own(topics::SOURCE, job, tag),
                    ids_topic: topics::own(topics::IDS, job, tag),
                    ended: AtomicBool::new(false),
                    read: Mutex::default(),
                }));
            }
        }
        Ok(Feeds { landings, stopped: Arc::default() })
    }

    /// The topics that are not there yet; asks the outside systems how many partitions they need.
    pub(crate) fn topics_wanted(&self, log: &EventLog) -> Result<Vec<TopicWanted>, RuntimeError> {
        let mut wanted = Vec::new();
        for landing in &self.landings {
            if log.topic(&landing.topic).is_none() {
                let partitions = landing.feed()?.partitions()?.max(1);
                wanted.push(TopicWanted::short_lived(landing.topic.clone()).with_partitions(partitions));
                wanted.push(TopicWanted::kept_for(landing.ids_topic.clone(), ids::RETENTION_MS));
            }
        }
        Ok(wanted)
    }

    /// The source that a scan reads: the connector's own, or the same over what has landed.
    pub(crate) fn over(
        &self,
        log: &EventLog,
        scan: NodeId,
        source: Box<dyn Source>,
    ) -> Result<Box<dyn Source>, RuntimeError> {
        let Some(landing) = self.landings.iter().find(|landing| landing.scan == scan) else {
            return Ok(source);
        };
        let partitions = topics::partitions(log, &landing.topic)?;
        Ok(Box::new(LandedSource { log: log.clone(), landing: landing.clone(), partitions, source }))
    }

    /// The tables that are read from outside.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &str> {
        self.landings.iter().map(|landing| landing.table.name.as_str())
    }

    pub(crate) fn drivers(&self, context: &Context) -> Result<Vec<Driver>, RuntimeError> {
        self.landings.iter().map(|landing| Driver::new(context, landing, &self.stopped)).collect()
    }

    /// Nothing more is polled.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, std::sync::atomic::Ordering::Release);
    }
}
