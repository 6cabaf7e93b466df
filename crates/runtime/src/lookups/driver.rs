//! Asks the outside system and appends what it says.
//!
//! Questions are taken in groups. A call that fails for a reason that may pass is tried again, each time after twice the
//! pause; where nothing was found, the statement may want the key to be asked for again after a while, and other questions
//! do not wait for that. A job that is to stop leaves its questions: its state knows them.

use super::Queue;
use super::queue::Asked;
use crate::error::RuntimeError;
use crate::job::Wakeup;
use crate::outputs::Encoded;
use crate::patience;
use crate::steps::Context;
use base::{ErrorKind, PartitionId};
use dataflow::lookup::{Lookup, LookupCodec};
use dataflow::plan::LookupAsking;
use dataflow::sink::TopicBatch;
use dataflow::source::SourceError;
use eventlog::EventLog;
use kafka_wire::records::{BatchBuilder, Compression};
use os::Os;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Keys that are asked for in one call.
const KEYS_MAX: usize = 512;
/// A batch of several answers is not larger.
const BATCH_BYTES_WANTED: usize = 768 << 10;
/// The rows under one key must fit into an entry of the log, which takes twice as much.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Several batches that are appended together are not larger.
const FRAME_BYTES_WANTED: usize = 4 << 20;
/// The pause after the first call that failed.
const PAUSE_MS: u64 = 100;
/// No pause is longer.
const PAUSE_MS_MAX: u64 = 10_000;
/// How long a driver sleeps when nothing happens.
const IDLE_MS_MAX: u64 = 200;

const NS_PER_MS: u64 = 1_000_000;

pub(crate) struct Driver {
    log: EventLog,
    os: Os,
    wakeup: Arc<Wakeup>,
    table: String,
    queue: Arc<Queue>,
    stopped: Arc<AtomicBool>,
    partition: PartitionId,
    lookup: Box<dyn Lookup>,
    codec: LookupCodec,
    asking: LookupAsking,
    keys_max: usize,
    /// A call that failed: what it asked, how often it did, and when it is tried again.
    failed: Option<(Vec<Asked>, u32, u64)>,
}

/// What a driver did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    /// Some questions were asked.
    Asked,
    /// Nothing is to be done before this moment of the monotonic clock.
    Idle(Option<u64>),
    Stopped,
}

impl Driver {
    pub(crate) fn new(
        context: &Context,
        table: String,
        (queue, stopped): (Arc<Queue>, Arc<AtomicBool>),
        partition: PartitionId,
        (lookup, codec): (Box<dyn Lookup>, LookupCodec),
        (asking, threads): (LookupAsking, usize),
    ) -> Driver {
        // Without 'async' one call answers many keys, which no row can tell from one call for each.
        let keys_max = if asking.is_async { (asking.capacity as usize / threads).max(1) } else { KEYS_MAX };
        Driver {
            log: context.log.clone(),
            os: context.os.clone(),
            wakeup: context.wakeup.clone(),
            table,
            queue,
            stopped,
            partition,
            lookup,
            codec,
            asking,
            keys_max: keys_max.min(KEYS_MAX),
            failed: None,
        }
    }

    /// Runs until it is stopped.
    pub(crate) fn run(mut self) -> Result<(), RuntimeError> {
        loop {
            let seen = self.wakeup.generation();
            match self.turn()? {
                Asking::Asked => {}
                Asking::Idle(due_ns) => {
                    let wait_ns = due_ns.map_or(u64::MAX, |due_ns| due_ns.saturating_sub(self.now_ns()));
                    self.wakeup.wait(seen, (wait_ns / NS_PER_MS).clamp(1, IDLE_MS_MAX));
                }
                Asking::Stopped => return Ok(()),
            }
        }
    }

    fn now_ns(&self) -> u64 {
        self.os.clock.monotonic_ns()
    }

    /// Asks once, if there is something to ask.
    pub(crate) fn turn(&mut self) -> Result<Asking, RuntimeError> {
        if self.stopped.load(Ordering::Acquire) {
            return Ok(Asking::Stopped);
        }
        let now_ns = self.now_ns();
        let (asked, failures) = match self.failed.take() {
            Some((asked, failures, due_ns)) if due_ns > now_ns => {
                self.failed = Some((asked, failures, due_ns));
                return Ok(Asking::Idle(Some(due_ns)));
            }
            Some((asked, failures, _)) => (asked, failures),
            None => match self.queue.take(self.keys_max, now_ns) {
                Ok(asked) => (asked, 0),
                Err(due_ns) => return Ok(Asking::Idle(due_ns)),
            },
        };
        self.ask(asked, failures)?;
        Ok(Asking::Asked)
    }

    fn ask(&mut self, asked: Vec<Asked>, failures: u32) -> Result<(), RuntimeError> {
        let keys = self.codec.keys(asked.iter().map(|asked| asked.question.key.as_slice()))?;
        let found = match self.lookup.find(&keys) {
            Ok(found) => found,
            Err(error) => return self.failed(asked, failures + 1, error),
        };
        self.check_time(&asked, None)?;
        let mut counts = Vec::with_capacity(asked.len());
        let mut questions = Vec::with_capacity(asked.len());
        let now_ns = self.now_ns();
        for (index, mut asked) in asked.into_iter().enumerate() {
            let count = found.counts.get(index).copied().unwrap_or(0);
            asked.misses += u32::from(count == 0);
            match self.asking.retry {
                // Nobody waits for the last attempt's answer but the rows.
                Some(retry) if count == 0 && asked.misses < retry.attempts_max => {
                    self.queue
                        .ask_later(asked, now_ns.saturating_add(retry.delay_ms.saturating_mul(NS_PER_MS)));
                }
                _ => {
                    questions.push(asked.question.number);
                    counts.push(count);
                }
            }
        }
        if questions.is_empty() {
            return Ok(());
        }
        let found = dataflow::lookup::Found { rows: found.rows, counts };
        let answers = self.codec.answers(&questions, &found)?;
        let batches = self.batches(&answers)?;
        self.append(&batches)
    }

    /// A call has failed: tries it again after a pause, or fails the job.
    fn failed(&mut self, asked: Vec<Asked>, failures: u32, error: SourceError) -> Result<(), RuntimeError> {
        let may_pass = matches!(error.kind, ErrorKind::Retry | ErrorKind::Unavailable);
        let named_ms = self.lookup.pause_ms();
        // Where the outside has named a pause, this was no try.
        let failures = if named_ms.is_some() { failures - 1 } else { failures };
        if !may_pass || failures > self.lookup.retries_max() {
            return Err(error.into());
        }
        self.check_time(&asked, Some(&error))?;
        let own_ms = PAUSE_MS.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(PAUSE_MS_MAX);
        let pause_ms = named_ms.unwrap_or(own_ms);
        self.failed =
            Some((asked, failures, self.now_ns().saturating_add(pause_ms.saturating_mul(NS_PER_MS))));
        Ok(())
    }

    /// Fails the job when a question has had no answer for too long.
    fn check_time(&self, asked: &[Asked], error: Option<&SourceError>) -> Result<(), RuntimeError> {
        let begun_ns = asked.iter().filter_map(|asked| asked.begun_ns).min();
        let taken_ms = begun_ns.map_or(0, |begun_ns| self.now_ns().saturating_sub(begun_ns) / NS_PER_MS);
        // Attempts that the statement wants take the time that they take.
        let pauses_ms = self.asking.retry.map_or(0, |retry| {
            let misses = asked.iter().map(|asked| u64::from(asked.misses)).max().unwrap_or(0);
            misses.saturating_mul(retry.delay_ms)
        });
        if taken_ms.saturating_sub(pauses_ms) <= self.asking.timeout_ms {
            return Ok(());
        }
        let cause = error.map_or_else(String::new, |error| format!(": {error}"));
        Err(RuntimeError::Source(SourceError {
            kind: ErrorKind::Unavailable,
            message: format!(
                "table '{}': a lookup took taken_ms={taken_ms} and may take timeout_ms={}{cause}; raise 'timeout' in \
                 the LOOKUP hint, or 'table.exec.async-lookup.timeout'",
                self.table, self.asking.timeout_ms
            ),
        }))
    }

    fn batches(&self, answers: &[Vec<u8>]) -> Result<Vec<Encoded>, RuntimeError> {
        let now_ms = self.os.clock.now_ms();
        let invalid = |message: String| {
            let message = format!("table '{}': an answer cannot be kept: {message}", self.table);
            RuntimeError::Source(SourceError { kind: ErrorKind::Invalid, message })
        };
        let mut batches = Vec::new();
        let mut open = answers.iter().peekable();
        while open.peek().is_some() {
            let mut builder = BatchBuilder::new(Compression::None);
            // An answer that would make a batch too large begins the next, so that each fits into an entry of the log.
            while let Some(answer) = open.next_if(|answer| {
                builder.count() == 0 || builder.size_bytes() + answer.len() <= BATCH_BYTES_WANTED
            }) {
                if answer.len() > ANSWER_BYTES_MAX {
                    return Err(invalid(format!(
                        "the rows under one key take bytes={} of limit={ANSWER_BYTES_MAX}",
                        answer.len()
                    )));
                }
                builder
                    .append(now_ms, None, Some(answer), &[])
                    .map_err(|error| invalid(error.to_string()))?;
            }
            let records = builder.count() as u32;
            let bytes = builder.build().map_err(|error| invalid(error.to_string()))?;
            let batch = TopicBatch { partition: 0, records, max_timestamp_ms: now_ms, bytes: bytes.into() };
            batches.push(Encoded { partition: self.partition, batch });
        }
        Ok(batches)
    }

    /// Appends in frames of some megabytes: one for all could be larger than a frame may be.
    fn append(&self, batches: &[Encoded]) -> Result<(), RuntimeError> {
        let mut bytes = 0;
        let same_frame = |_: &Encoded, next: &Encoded| {
            bytes += next.batch.bytes.len();
            bytes <= FRAME_BYTES_WANTED || {
                bytes = next.batch.bytes.len();
                false
            }
        };
        batches.chunk_by(same_frame).try_for_each(|frame| self.append_frame(frame))
    }

    /// Who stops loses nothing: what is not answered is asked anew.
    fn append_frame(&self, batches: &[Encoded]) -> Result<(), RuntimeError> {
        let appended = patience::append(&self.log, &self.wakeup, &self.stopped, |frame| {
            for encoded in batches {
                let batch = &encoded.batch;
                frame.batch(encoded.partition, batch.records, batch.max_timestamp_ms, &batch.bytes)?;
            }
            Ok(())
        });
        appended.map(drop)
    }
}
