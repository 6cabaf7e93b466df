//! Outboxes: what a job sends outside lies in an internal topic until the target has it.
//!
//! A driver thread per outside sink reads the outbox by offset and applies it. The offset is stored
//! by the target itself, so a driver that starts again asks the target where it was. A slow or dead
//! target delays nobody else: it is tried again by the job's restart strategy, and only when very much waits for it does
//! the job take no more input.

use crate::dead_letters;
use crate::error::RuntimeError;
use crate::job::{Wakeup, lock};
use crate::journal::Journal;
use crate::outputs::SinkAddress;
use crate::patience;
use crate::progress::{SharedProgress, SinkProgress};
use crate::rate::Rate;
use crate::retries::Retries;
use crate::spans::Deliveries;
use crate::steps::Context;
use crate::topics;
use base::{Offset, PartitionId};
use dataflow::connector::SINK_RATE;
use dataflow::plan::NodeId;
use dataflow::sink::OutboxSink;
use dataflow::table::TableDefinition;
use eventlog::EventLog;
use os::Os;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Bytes of outbox batches that are applied before the target may commit.
const READ_BYTES_MAX: usize = 1 << 20;

/// How long a driver sleeps when nothing happens, so that time-based rolling still takes place.
const IDLE_MS_MAX: u64 = 200;

/// The outbox's topic: internal, never listed to clients as a user's topic.
pub(crate) fn topic(job: &str, tag: u32) -> String {
    format!("{}{tag}", topic_prefix(job))
}

/// What the names of all outboxes of a job begin with; a number follows. A job is refused whose prefix is another's.
pub(crate) fn topic_prefix(job: &str) -> String {
    topics::prefix("outbox", job)
}

/// Whether no other job has outboxes of the same names.
pub(crate) fn check_alone(journal: &Journal, job: &str) -> Result<(), RuntimeError> {
    let alike = |other: &String| other != job && topic_prefix(other) == topic_prefix(job);
    match journal.jobs().into_iter().map(|(other, _)| other).find(alike) {
        Some(other) => Err(RuntimeError::Alike { job: job.into(), other }),
        None => Ok(()),
    }
}

/// Under which the outboxes of a job are pinned.
pub(crate) fn pin(job: &str) -> String {
    format!("the outbox of job {job}")
}

/// What a job and the drivers of its outboxes tell each other.
#[derive(Debug, Default)]
pub(crate) struct OutboxSignals {
    /// The outboxes get no more records.
    pub ended: AtomicBool,
    /// The node stops.
    pub stopped: AtomicBool,
    /// What this process has put into the outboxes.
    records: AtomicU64,
    bytes: AtomicU64,
    /// By sink.
    backlogs: Mutex<BTreeMap<usize, Backlog>>,
}

/// What the target of one outbox does not have. The driver may hang in a call, so what came since it looked is counted too.
#[derive(Debug, Default, Clone, Copy)]
struct Backlog {
    records: u64,
    /// From how many bytes on the job takes no more input; none before the driver has looked.
    bytes_max: Option<u64>,
}

impl OutboxSignals {
    pub(crate) fn appended(&self, sink: NodeId, records: u32, bytes: usize) {
        self.records.fetch_add(records.into(), Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        lock(&self.backlogs).entry(sink.0).or_default().records += u64::from(records);
    }

    /// A driver has looked: so much waits.
    fn waiting(&self, sink: NodeId, records: u64, bytes_max: u64) {
        lock(&self.backlogs).insert(sink.0, Backlog { records, bytes_max: Some(bytes_max) });
    }

    /// Whether the job should take no more input for now.
    pub(crate) fn are_full(&self) -> bool {
        let is_full =
            |backlog: &Backlog| backlog.bytes_max.is_some_and(|max| self.bytes_of(backlog.records) >= max);
        lock(&self.backlogs).values().any(is_full)
    }

    /// About how many bytes so many records take.
    fn bytes_of(&self, records: u64) -> u64 {
        let record_bytes = self.bytes.load(Ordering::Relaxed) / self.records.load(Ordering::Relaxed).max(1);
        records.saturating_mul(record_bytes)
    }
}

pub(crate) struct Driver {
    log: EventLog,
    os: Os,
    wakeup: Arc<Wakeup>,
    signals: Arc<OutboxSignals>,
    progress: SharedProgress,
    node: NodeId,
    /// Under which the outbox is pinned.
    pin: String,
    partition: PartitionId,
    sink: Box<dyn OutboxSink>,
    /// Told how far the target is.
    meter: Arc<AtomicI64>,
    retries: Retries,
    rate: Rate,
    waiting_bytes_max: u64,
    /// The next record for the target, once it was asked.
    next: Option<Offset>,
    /// Up to where the target had all when it was last heard.
    durable: Option<Offset>,
    bytes: Vec<u8>,
    deliveries: Option<Deliveries>,
}

/// What a driver did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DriverTurn {
    /// Records went to the target.
    Applied,
    /// Nothing is to be done before so many ms have passed.
    Idle(u64),
    /// The target has all of an outbox that has ended, or the node stops.
    Done,
}

impl Driver {
    /// To be made before a step writes into the outbox: nothing of it may go before the target has said where it is.
    pub(crate) fn new(
        context: &Context,
        signals: &Arc<OutboxSignals>,
        node: NodeId,
        partition: PartitionId,
        sink: Box<dyn OutboxSink>,
        table: &TableDefinition,
    ) -> Result<Driver, RuntimeError> {
        let driver = Driver {
            log: context.log.clone(),
            os: context.os.clone(),
            wakeup: context.wakeup.clone(),
            signals: signals.clone(),
            progress: context.progress.clone(),
            node,
            pin: pin(&context.request.name),
            partition,
            sink,
            meter: context.progress.meters.outbox(node, context.request.plan.tag(node)),
            retries: Retries::new(&context.os, context.request.options.restart),
            rate: Rate::of(&context.os, &table.options, SINK_RATE),
            waiting_bytes_max: context.request.options.waiting_bytes_max,
            next: None,
            durable: None,
            bytes: Vec::new(),
            deliveries: context.job_spans().map(|spans| Deliveries::new(spans, SinkAddress::of(table))),
        };
        let start = driver.log.bounds(partition)?.log_start;
        driver.log.pin(&driver.pin, partition, Some(start));
        // A target that hangs when it is opened is waited for too.
        signals.waiting(node, 0, driver.waiting_bytes_max);
        Ok(driver)
    }

    /// Asks the target, which alone knows, where it is.
    fn open(&mut self) -> Result<Offset, RuntimeError> {
        let next = Offset(self.sink.open()?);
        self.deliveries.iter_mut().for_each(Deliveries::begin_again);
        self.log.pin(&self.pin, self.partition, Some(next));
        self.durable = Some(next);
        Ok(next)
    }

    /// Runs until the outbox has ended and the target has all of it, or until it is stopped.
    pub(crate) fn run(mut self) -> Result<(), RuntimeError> {
        loop {
            let seen = self.wakeup.generation();
            match self.turn()? {
                DriverTurn::Applied => {}
                DriverTurn::Idle(wait_ms) => self.wakeup.wait(seen, wait_ms),
                DriverTurn::Done => return Ok(()),
            }
        }
    }

    /// Applies what is there, up to a limit, and lets the target commit. A target that is away is asked again later.
    pub(crate) fn turn(&mut self) -> Result<DriverTurn, RuntimeError> {
        let ended = self.signals.ended.load(Ordering::Acquire);
        let stops = self.signals.stopped.load(Ordering::Acquire) && !ended;
        if let Some(pause_ms) = self.retries.pause_ms() {
            self.note_waiting()?;
            return Ok(if stops { DriverTurn::Done } else { DriverTurn::Idle(pause_ms.min(IDLE_MS_MAX)) });
        }
        let failed = match self.work(ended, stops) {
            Ok(turn) => {
                if self.next.is_some() {
                    self.retries.succeeded();
                }
                return Ok(turn);
            }
            Err(error @ RuntimeError::Sink(_)) => error,
            Err(error) => return Err(error),
        };
        // What it holds is not what was applied any more: it is asked.
        self.next = None;
        let message = failed.to_string();
        self.retries.failed(failed, self.sink.pause_ms())?;
        self.note(|sink| {
            sink.failures += 1;
            sink.failure = Some(message);
        });
        self.note_waiting()?;
        Ok(if stops { DriverTurn::Done } else { DriverTurn::Idle(0) })
    }

    fn work(&mut self, ended: bool, stops: bool) -> Result<DriverTurn, RuntimeError> {
        let mut next = match self.next {
            Some(next) => next,
            None if stops => return Ok(DriverTurn::Done),
            None => self.open()?,
        };
        if stops {
            self.commit(false)?;
            return Ok(DriverTurn::Done);
        }
        let high_watermark = self.log.bounds(self.partition)?.high_watermark;
        let batches = if next < high_watermark && self.rate.pause_ms().is_none() {
            self.log.read(self.partition, next, READ_BYTES_MAX)?
        } else {
            Vec::new()
        };
        for batch in &batches {
            self.bytes.clear();
            batch.read(&mut self.bytes)?;
            self.sink.apply(&self.bytes)?;
            self.deliveries.iter_mut().for_each(|deliveries| deliveries.applied(&self.bytes, next.0));
            let end = Offset(batch.last_offset.0 + 1);
            self.rate.took((end.0 - next.0).max(0) as u64);
            next = end;
            // The rest of what was read is for later.
            if self.rate.pause_ms().is_some() {
                break;
            }
        }
        let drained = ended && next >= high_watermark;
        let Some(durable) = self.commit(drained)? else { return Ok(DriverTurn::Idle(0)) };
        self.deliveries.iter_mut().for_each(|deliveries| deliveries.committed(durable.0));
        if self.next.replace(next).is_none() {
            self.note(|sink| sink.failure = None);
        }
        self.log.pin(&self.pin, self.partition, (!drained).then_some(durable));
        self.durable = Some(durable);
        self.note_waiting()?;
        Ok(match (drained, batches.is_empty()) {
            // What the target refuses is kept before it goes on behind it, so it may not be done with one commit.
            (true, _) if durable >= high_watermark => DriverTurn::Done,
            (_, true) => DriverTurn::Idle(self.rate.pause_ms().map_or(IDLE_MS_MAX, |ms| ms.min(IDLE_MS_MAX))),
            (_, false) => DriverTurn::Applied,
        })
    }

    /// Lets the target commit. What it refuses is in the log before the target stores an offset behind it; none if the job
    /// stops while the log takes nothing. Then the target is asked again before anything else: it must not commit.
    fn commit(&mut self, finish: bool) -> Result<Option<Offset>, RuntimeError> {
        loop {
            let durable = Offset(self.sink.commit(finish, self.os.clock.now_ms())?);
            let rejected = self.sink.take_rejected();
            if rejected.is_empty() {
                return Ok(Some(durable));
            }
            let count = rejected.len() as u64;
            let lsn = dead_letters::append(&self.log, &self.wakeup, &self.signals.stopped, &rejected)?;
            let Some(lsn) = lsn else {
                // The sink has given them away: only one that is opened anew meets them again.
                self.next = None;
                return Ok(None);
            };
            patience::wait_durable(&self.log, &self.wakeup, lsn)?;
            self.note(|sink| sink.dead_letters += count);
        }
    }

    /// Looks how much the target does not have; a job whose targets are too far behind takes no more input.
    fn note_waiting(&mut self) -> Result<(), RuntimeError> {
        let bounds = self.log.bounds(self.partition)?;
        let durable = self.durable.unwrap_or(bounds.log_start);
        self.meter.store(durable.0, Ordering::Relaxed);
        let waiting = bounds.end.0.saturating_sub(durable.0).max(0) as u64;
        let were_full = self.signals.are_full();
        self.signals.waiting(self.node, waiting, self.waiting_bytes_max);
        if were_full && !self.signals.are_full() {
            self.wakeup.notify();
        }
        self.note(|sink| sink.waiting_records = waiting);
        Ok(())
    }

    fn note(&self, change: impl FnOnce(&mut SinkProgress)) {
        let node = self.node.0 as u32;
        self.progress.update(|progress| {
            if let Some(sink) = progress.sinks.iter_mut().find(|sink| sink.node == node) {
                change(sink);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restart::RestartStrategy;
    use dataflow::batch::Batch;
    use dataflow::sink::{SinkError, TopicBatch};
    use dataflow::source::Rejected;
    use eventlog::{Committer, LogError, LogOptions, Recovery};
    use os::sim::SimOs;

    const OUTBOX: &str = "outbox";
    const LETTERS: &str = "letters";
    /// Of the log: a frame of that size leaves no room for another before a sync.
    const UNSYNCED_BYTES_MAX: u64 = 64 << 10;

    /// Refuses the first record, and forgets that once it was asked.
    struct Refuses {
        signals: Arc<OutboxSignals>,
        refused: Vec<Rejected>,
        next: i64,
        stored: Arc<AtomicI64>,
    }

    impl OutboxSink for Refuses {
        fn encode(&mut self, _: &Batch, _: i64) -> Result<Vec<TopicBatch>, SinkError> {
            panic!("nothing is written here")
        }

        fn open(&mut self) -> Result<i64, SinkError> {
            self.next = self.stored.load(Ordering::SeqCst);
            self.refused.clear();
            Ok(self.next)
        }

        fn apply(&mut self, _: &[u8]) -> Result<(), SinkError> {
            if self.next == 0 {
                let (topic, origin, reason) = (LETTERS.into(), "outbox".into(), "refused".into());
                self.refused.push(Rejected {
                    topic,
                    origin,
                    reason,
                    key: None,
                    value: None,
                    timestamp_ms: 0,
                });
            }
            self.next += 1;
            Ok(())
        }

        fn commit(&mut self, _: bool, _: i64) -> Result<i64, SinkError> {
            if self.refused.is_empty() {
                self.stored.store(self.next, Ordering::SeqCst);
            }
            Ok(self.stored.load(Ordering::SeqCst))
        }

        fn take_rejected(&mut self) -> Vec<Rejected> {
            // The job is stopped just now.
            self.signals.stopped.store(!self.refused.is_empty(), Ordering::SeqCst);
            std::mem::take(&mut self.refused)
        }
    }

    fn log(os: &Os) -> EventLog {
        let options = LogOptions {
            committer: Committer::Manual,
            first_file_bytes: 256 << 10,
            unsynced_bytes_max: UNSYNCED_BYTES_MAX,
            retention_check_ms: 0,
            ..LogOptions::new("/log")
        };
        let log = Recovery::open(os, options).unwrap().start(Vec::new()).unwrap();
        let create = |frame: &mut eventlog::Frame<'_>| {
            frame.create_topic(OUTBOX, 1, BTreeMap::new())?;
            frame.create_topic(LETTERS, 1, BTreeMap::new()).map(drop)
        };
        log.append::<_, LogError>(create).unwrap();
        log.commit_pending().unwrap();
        log
    }

    #[test]
    fn a_record_that_is_refused_while_the_job_stops_is_not_passed_by() {
        let os = SimOs::new(1).os();
        let log = log(&os);
        let partition = log.topic(OUTBOX).unwrap().partitions[0];
        let one = |frame: &mut eventlog::Frame<'_>| frame.batch(partition, 1, 0, &[0; 100]).map(drop);
        log.append::<_, LogError>(one).unwrap();
        log.commit_pending().unwrap();
        // From here on the log takes nothing before it is synced.
        let much = |frame: &mut eventlog::Frame<'_>| {
            frame.batch(partition, 1, 0, &[0; UNSYNCED_BYTES_MAX as usize]).map(drop)
        };
        log.append::<_, LogError>(much).unwrap();
        let signals = Arc::new(OutboxSignals::default());
        let stored = Arc::new(AtomicI64::new(0));
        let (refused, sink_signals) = (Vec::new(), signals.clone());
        let mut driver = Driver {
            log: log.clone(),
            os: os.clone(),
            wakeup: Arc::default(),
            signals: signals.clone(),
            progress: SharedProgress::new(Default::default()),
            node: NodeId(0),
            pin: pin("job"),
            partition,
            sink: Box::new(Refuses { signals: sink_signals, refused, next: 0, stored: stored.clone() }),
            meter: Arc::default(),
            retries: Retries::new(&os, RestartStrategy::None),
            rate: Rate::of(&os, &BTreeMap::new(), SINK_RATE),
            waiting_bytes_max: 1 << 20,
            next: None,
            durable: None,
            bytes: Vec::new(),
            deliveries: None,
        };
        driver.turn().unwrap();
        assert!(signals.stopped.load(Ordering::SeqCst));
        assert_eq!(driver.turn().unwrap(), DriverTurn::Done);
        assert_eq!(stored.load(Ordering::SeqCst), 0, "the record is in no topic");
        // The job goes on later: what is refused is met again, and lands.
        signals.stopped.store(false, Ordering::SeqCst);
        log.commit_pending().unwrap();
        let commits = log.clone();
        let patience: crate::machine::Patience = Arc::new(move |_| commits.commit_pending().is_ok());
        let mut wakeup = Wakeup::default();
        wakeup.patience = Some(patience);
        driver.wakeup = Arc::new(wakeup);
        assert_eq!(driver.turn().unwrap(), DriverTurn::Applied);
        assert_eq!(stored.load(Ordering::SeqCst), 2);
        let letters = log.topic(LETTERS).unwrap().partitions[0];
        assert_eq!(log.bounds(letters).unwrap().high_watermark, Offset(1));
        log.shutdown().unwrap();
    }
}
