//! Outboxes: what a job sends outside lies in an internal topic until the target has it.
//!
//! A driver thread per outside sink reads the outbox by offset and applies it. The offset is stored
//! by the target itself, so a driver that starts again asks the target where it was. A slow or dead
//! target delays nobody else.

use crate::error::RuntimeError;
use crate::job::Wakeup;
use crate::steps::Context;
use base::{Offset, PartitionId};
use dataflow::plan::NodeId;
use dataflow::sink::OutboxSink;
use eventlog::EventLog;
use os::Os;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of outbox batches that are applied before the target may commit.
const READ_BYTES_MAX: usize = 1 << 20;

/// How long a driver sleeps when nothing happens, so that time-based rolling still takes place.
const IDLE_MS_MAX: u64 = 200;

/// The outbox's topic: internal, never listed to clients as a user's topic.
pub(crate) fn topic(job: &str, sink: NodeId) -> String {
    format!("{}{}", topic_prefix(job), sink.0)
}

/// What the names of all outboxes of a job begin with; a number follows. A job is refused whose prefix is another's.
pub(crate) fn topic_prefix(job: &str) -> String {
    job_topic_prefix("outbox", job)
}

/// What the names of a job's internal topics of a kind begin with. Two names may give the same: see
/// [`own_job_topic_prefix`].
fn job_topic_prefix(kind: &str, job: &str) -> String {
    let name: String = job
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' })
        .collect();
    format!("__{kind}.{name}.")
}

/// The same of a kind whose topics no other job may have: a name that loses characters gets its hash.
pub(crate) fn own_job_topic_prefix(kind: &str, job: &str) -> String {
    let prefix = job_topic_prefix(kind, job);
    match prefix == format!("__{kind}.{job}.") {
        true => prefix,
        false => format!("{prefix}{:016x}.", state::hash(job.as_bytes())),
    }
}

/// Under which the outboxes of a job are pinned.
pub(crate) fn pin(job: &str) -> String {
    format!("the outbox of job {job}")
}

/// Told by the job: the outbox gets no more records (`ended`), or the node stops (`stopped`).
#[derive(Debug, Default)]
pub(crate) struct OutboxSignals {
    pub ended: AtomicBool,
    pub stopped: AtomicBool,
}

pub(crate) struct Driver {
    log: EventLog,
    os: Os,
    wakeup: Arc<Wakeup>,
    signals: Arc<OutboxSignals>,
    /// Under which the outbox is pinned.
    pin: String,
    partition: PartitionId,
    sink: Box<dyn OutboxSink>,
    /// The next record for the target, once it was asked.
    next: Option<Offset>,
    bytes: Vec<u8>,
}

/// What a driver did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DriverTurn {
    /// Records went to the target.
    Applied,
    Idle,
    /// The target has all of an outbox that has ended, or the node stops.
    Done,
}

impl Driver {
    /// To be made before a step writes into the outbox: nothing of it may go before the target has said where it is.
    pub(crate) fn new(
        context: &Context,
        signals: &Arc<OutboxSignals>,
        partition: PartitionId,
        sink: Box<dyn OutboxSink>,
    ) -> Result<Driver, RuntimeError> {
        let driver = Driver {
            log: context.log.clone(),
            os: context.os.clone(),
            wakeup: context.wakeup.clone(),
            signals: signals.clone(),
            pin: pin(&context.request.name),
            partition,
            sink,
            next: None,
            bytes: Vec::new(),
        };
        let start = driver.log.bounds(partition)?.log_start;
        driver.log.pin(&driver.pin, partition, Some(start));
        Ok(driver)
    }

    /// Asks the target, which alone knows, where it is.
    fn open(&mut self) -> Result<Offset, RuntimeError> {
        let next = Offset(self.sink.open()?);
        self.log.pin(&self.pin, self.partition, Some(next));
        Ok(next)
    }

    /// Runs until the outbox has ended and the target has all of it, or until it is stopped.
    pub(crate) fn run(mut self) -> Result<(), RuntimeError> {
        loop {
            let seen = self.wakeup.generation();
            match self.turn()? {
                DriverTurn::Applied => {}
                DriverTurn::Idle => self.wakeup.wait(seen, IDLE_MS_MAX),
                DriverTurn::Done => return Ok(()),
            }
        }
    }

    /// Applies what is there, up to a limit, and lets the target commit.
    pub(crate) fn turn(&mut self) -> Result<DriverTurn, RuntimeError> {
        let mut next = match self.next {
            Some(next) => next,
            None => self.open()?,
        };
        let ended = self.signals.ended.load(Ordering::Acquire);
        if self.signals.stopped.load(Ordering::Acquire) && !ended {
            self.sink.commit(false, self.os.clock.now_ms())?;
            return Ok(DriverTurn::Done);
        }
        let high_watermark = self.log.bounds(self.partition)?.high_watermark;
        let batches = if next < high_watermark {
            self.log.read(self.partition, next, READ_BYTES_MAX)?
        } else {
            Vec::new()
        };
        for batch in &batches {
            self.bytes.clear();
            batch.read(&mut self.bytes)?;
            self.sink.apply(&self.bytes)?;
            next = Offset(batch.last_offset.0 + 1);
        }
        self.next = Some(next);
        let drained = ended && next >= high_watermark;
        let durable = Offset(self.sink.commit(drained, self.os.clock.now_ms())?);
        self.log.pin(&self.pin, self.partition, (!drained).then_some(durable));
        Ok(match (drained, batches.is_empty()) {
            (true, _) => DriverTurn::Done,
            (false, true) => DriverTurn::Idle,
            (false, false) => DriverTurn::Applied,
        })
    }
}
