//! Polls a feed, lands what it brought, and confirms what is durable.

use super::Landing;
use crate::error::RuntimeError;
use crate::ids::{Ids, NewIds};
use crate::job::{Wakeup, lock};
use crate::journal::{FeedPosition, Journal, LAYER, Record};
use crate::patience;
use crate::progress::SharedProgress;
use crate::rate::Rate;
use crate::retries::Retries;
use crate::steps::Context;
use crate::topics;
use base::{ErrorKind, Lsn, PartitionId};
use dataflow::connector::SCAN_RATE;
use dataflow::feed::{Feed, FeedRecord, Haul, RECORD_BYTES_MAX};
use dataflow::sink::TopicBatch;
use dataflow::source::SourceError;
use eventlog::EventLog;
use kafka_wire::records::{BatchBuilder, Compression};
use os::Os;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How long a poll waits when nothing is there.
const POLL_MS: u64 = 200;
/// A batch of several records is not larger.
const BATCH_BYTES_WANTED: usize = 768 << 10;
/// Hauls that may wait for the disk before no more is polled.
const UNCONFIRMED_MAX: usize = 64;
/// Records that may have landed and not been read before no more is polled; the job's options bound their bytes.
const UNREAD_RECORDS_MAX: u64 = 1 << 20;

pub(crate) struct Driver {
    job: String,
    log: EventLog,
    os: Os,
    wakeup: Arc<Wakeup>,
    stopped: Arc<AtomicBool>,
    journal: Arc<Journal>,
    progress: SharedProgress,
    landing: Arc<Landing>,
    partitions: Vec<PartitionId>,
    ids_partition: PartitionId,
    feed: Box<dyn Feed>,
    is_open: bool,
    retries: Retries,
    rate: Rate,
    unread_bytes_max: u64,
    /// What has landed, read when the first record with an id comes.
    ids: Option<Ids>,
    /// Hauls that are not known to be durable: where they end in the log, and their tickets.
    unconfirmed: VecDeque<(Lsn, u64)>,
    landed_records: u64,
    landed_bytes: u64,
    /// What the feed has lost, as it was told last.
    lost: u64,
}

/// What a driver did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polling {
    /// Something landed.
    Landed,
    /// Nothing is to be done before so many ms have passed.
    Idle(u64),
    /// The feed has ended, or the job stops.
    Done,
}

impl Driver {
    pub(super) fn new(
        context: &Context,
        landing: &Arc<Landing>,
        stopped: &Arc<AtomicBool>,
    ) -> Result<Driver, RuntimeError> {
        let partitions = topics::partitions(&context.log, &landing.topic)?;
        let ids_partition = topics::partitions(&context.log, &landing.ids_topic)?[0];
        let job = context.request.name.clone();
        let ended = context.journal.feed(&job, landing.tag).is_some_and(|feed| feed.ended);
        landing.ended.store(ended, Ordering::Release);
        let mut feed = landing.feed()?;
        feed.has_partitions(partitions.len() as u32);
        Ok(Driver {
            job,
            log: context.log.clone(),
            os: context.os.clone(),
            wakeup: context.wakeup.clone(),
            stopped: stopped.clone(),
            journal: context.journal.clone(),
            progress: context.progress.clone(),
            landing: landing.clone(),
            partitions,
            ids_partition,
            feed,
            is_open: false,
            retries: Retries::new(&context.os, context.request.options.restart),
            rate: Rate::of(&context.os, &landing.table.options, SCAN_RATE),
            unread_bytes_max: context.request.options.unread_bytes_max,
            ids: None,
            unconfirmed: VecDeque::new(),
            landed_records: 0,
            landed_bytes: 0,
            lost: 0,
        })
    }

    /// Runs until the feed ends or the job does.
    pub(crate) fn run(mut self) -> Result<(), RuntimeError> {
        loop {
            let seen = self.wakeup.generation();
            match self.turn(POLL_MS)? {
                Polling::Landed => {}
                Polling::Idle(wait_ms) => self.wakeup.wait(seen, wait_ms),
                Polling::Done => return Ok(()),
            }
        }
    }

    /// Polls once, waiting for `wait_ms` at most. What may pass by itself is tried again in a later turn.
    pub(crate) fn turn(&mut self, wait_ms: u64) -> Result<Polling, RuntimeError> {
        if self.stopped.load(Ordering::Acquire) {
            self.confirm_durable()?;
            return Ok(Polling::Done);
        }
        if let Some(pause_ms) = self.retries.pause_ms() {
            return Ok(Polling::Idle(pause_ms.min(POLL_MS)));
        }
        match self.work(wait_ms) {
            Ok(polling) => {
                if polling == Polling::Landed {
                    self.retries.succeeded();
                }
                Ok(polling)
            }
            Err(error @ RuntimeError::Source(_)) => {
                // The outside will deliver again what it was not told to forget.
                self.is_open = false;
                self.unconfirmed.clear();
                let message = error.to_string();
                self.retries.failed(error, self.feed.pause_ms())?;
                self.note(|feed| {
                    feed.failures += 1;
                    feed.failure = Some(message);
                });
                Ok(Polling::Idle(0))
            }
            Err(error) => Err(error),
        }
    }

    fn work(&mut self, wait_ms: u64) -> Result<Polling, RuntimeError> {
        let scan = self.landing.tag;
        if self.landing.ended.load(Ordering::Acquire) {
            self.wait_confirmed()?;
            return Ok(Polling::Done);
        }
        if !self.is_open {
            // The outside may forget what lies before the position that it is opened with, so no power cut may take that back.
            patience::wait_durable(&self.log, &self.wakeup, self.log.appended())?;
            let known = self.journal.feed(&self.job, scan);
            self.feed.open(known.as_ref().and_then(|known| known.position.as_deref()))?;
            self.is_open = true;
            self.note(|feed| feed.failure = None);
        }
        self.confirm_durable()?;
        let lost = self.feed.lost();
        if lost > self.lost {
            let more = lost - self.lost;
            self.note(|feed| feed.lost += more);
            self.lost = lost;
        }
        let pause_ms = if self.unread() { Some(POLL_MS) } else { self.rate.pause_ms() };
        if let Some(pause_ms) = pause_ms {
            self.feed.keep_alive()?;
            return Ok(Polling::Idle(pause_ms.min(POLL_MS)));
        }
        if self.unconfirmed.len() >= UNCONFIRMED_MAX {
            self.wait_confirmed()?;
        }
        let wait_ms = if self.unconfirmed.is_empty() { wait_ms } else { 0 };
        let haul = self.feed.poll(wait_ms)?;
        if haul.is_empty() {
            return match self.unconfirmed.is_empty() {
                // The poll has waited.
                true => Ok(Polling::Idle(0)),
                false => self.wait_confirmed().map(|()| Polling::Idle(0)),
            };
        }
        self.land(haul)
    }

    /// Whether the job is so far behind that no more should land.
    fn unread(&self) -> bool {
        let read = lock(&self.landing.read);
        let mut records = 0;
        for (index, partition) in self.partitions.iter().enumerate() {
            let Some(Some(next)) = read.get(index) else { continue };
            let end = self.log.bounds(*partition).map_or(*next, |bounds| bounds.end.0);
            records += end.saturating_sub(*next).max(0) as u64;
        }
        let record_bytes = self.landed_bytes / self.landed_records.max(1);
        records >= UNREAD_RECORDS_MAX || records.saturating_mul(record_bytes) >= self.unread_bytes_max
    }

    /// One frame: the records, their ids, and the position behind them.
    fn land(&mut self, haul: Haul) -> Result<Polling, RuntimeError> {
        let Haul { records, mut batches, position, ticket, ended } = haul;
        let now_ms = self.os.clock.now_ms();
        let polled = records.len();
        let (records, new_ids) = self.without_doubles(records)?;
        let doubles = (polled - records.len()) as u64;
        self.encode(records, &mut batches)?;
        let landed = batches.iter().map(|batch| u64::from(batch.records)).sum::<u64>();
        let bytes = batches.iter().map(|batch| batch.bytes.len() as u64).sum::<u64>();
        let feed = FeedPosition { scan: self.landing.tag, position, ended };
        let record = Record::Fed { job: self.job.clone(), feed };
        let mut ids_at = 0;
        let appended = patience::append(&self.log, &self.wakeup, &self.stopped, |frame| {
            for batch in &batches {
                let index = batch.partition as usize;
                let partition = self.partitions.get(index).ok_or_else(|| RuntimeError::Internal {
                    job: self.job.clone(),
                    reason: format!("a feed names partition {index}, and has {}", self.partitions.len()),
                })?;
                // They expire by when they landed, whatever they say of their own time.
                frame.batch(*partition, batch.records, now_ms, &batch.bytes)?;
            }
            if let Some(ids) = self.ids.as_ref().filter(|_| !new_ids.is_empty()) {
                ids_at = ids.write(&new_ids, frame, now_ms)?;
            }
            frame.layer(LAYER, &record.encode())?;
            self.journal.apply(&record);
            Ok(())
        })?;
        // A job that stops loses nothing: what has not landed is delivered again.
        let Some(lsn) = appended else { return Ok(Polling::Done) };
        if let Some(ids) = self.ids.as_mut().filter(|_| !new_ids.is_empty()) {
            ids.landed(new_ids, ids_at, now_ms);
        }
        self.rate.took(landed);
        self.unconfirmed.push_back((lsn, ticket));
        self.landed_records += landed;
        self.landed_bytes += bytes;
        self.note(|feed| {
            feed.records += landed;
            feed.bytes += bytes;
            feed.doubles += doubles;
        });
        if ended {
            self.wait_confirmed()?;
            self.landing.ended.store(true, Ordering::Release);
            self.wakeup.notify();
            return Ok(Polling::Done);
        }
        Ok(Polling::Landed)
    }

    /// The records whose ids have not landed before, and their ids.
    fn without_doubles(
        &mut self,
        mut records: Vec<FeedRecord>,
    ) -> Result<(Vec<FeedRecord>, NewIds), RuntimeError> {
        let mut new = NewIds::default();
        if records.iter().all(|record| record.id.is_none()) {
            return Ok((records, new));
        }
        let ids = match &mut self.ids {
            Some(ids) => ids,
            None => self.ids.insert(Ids::load(&self.log, &self.landing.ids_topic, self.ids_partition)?),
        };
        records.retain(|record| record.id.as_ref().is_none_or(|id| ids.is_new(id, &mut new)));
        Ok((records, new))
    }

    /// Records become batches of their partitions, in the order in which they came.
    fn encode(&self, records: Vec<FeedRecord>, batches: &mut Vec<TopicBatch>) -> Result<(), RuntimeError> {
        let mut open: Vec<Option<BatchBuilder>> = Vec::new();
        let mut latest_ms: Vec<i64> = Vec::new();
        for record in records {
            let index = record.partition as usize;
            if open.len() <= index {
                open.resize_with(index + 1, || None);
                latest_ms.resize(index + 1, i64::MIN);
            }
            let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
            let bytes = length(&record.key) + length(&record.value);
            if bytes > RECORD_BYTES_MAX {
                return Err(
                    self.invalid(format!("a record of bytes={bytes} exceeds limit={RECORD_BYTES_MAX}"))
                );
            }
            let is_full = |builder: &BatchBuilder| builder.size_bytes() + bytes > BATCH_BYTES_WANTED;
            if open[index].as_ref().is_some_and(is_full) {
                self.close(index, open[index].take(), &mut latest_ms[index], batches)?;
            }
            let builder = open[index].get_or_insert_with(|| BatchBuilder::new(Compression::None));
            let headers: Vec<(&str, Option<&[u8]>)> =
                record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            builder
                .append(record.timestamp_ms, record.key.as_deref(), record.value.as_deref(), &headers)
                .map_err(|error| self.invalid(error.to_string()))?;
            latest_ms[index] = latest_ms[index].max(record.timestamp_ms);
        }
        for (index, builder) in open.into_iter().enumerate() {
            self.close(index, builder, &mut latest_ms[index], batches)?;
        }
        Ok(())
    }

    fn close(
        &self,
        index: usize,
        builder: Option<BatchBuilder>,
        latest_ms: &mut i64,
        batches: &mut Vec<TopicBatch>,
    ) -> Result<(), RuntimeError> {
        let Some(builder) = builder else { return Ok(()) };
        let records = builder.count() as u32;
        let bytes = builder.build().map_err(|error| self.invalid(error.to_string()))?;
        let max_timestamp_ms = std::mem::replace(latest_ms, i64::MIN);
        batches.push(TopicBatch { partition: index as u32, records, max_timestamp_ms, bytes: bytes.into() });
        Ok(())
    }

    fn invalid(&self, message: String) -> RuntimeError {
        let message =
            format!("table '{}': what came from outside cannot be kept: {message}", self.landing.table.name);
        RuntimeError::Source(SourceError { kind: ErrorKind::Invalid, message })
    }

    /// Tells the outside what is durable by now.
    fn confirm_durable(&mut self) -> Result<(), RuntimeError> {
        let durable = self.log.durable();
        let mut ticket = None;
        while let Some((_, next)) = self.unconfirmed.front().filter(|(lsn, _)| *lsn <= durable) {
            ticket = Some(*next);
            self.unconfirmed.pop_front();
        }
        match ticket {
            Some(ticket) if self.is_open => Ok(self.feed.confirm(ticket)?),
            _ => Ok(()),
        }
    }

    fn wait_confirmed(&mut self) -> Result<(), RuntimeError> {
        let Some((last, _)) = self.unconfirmed.back() else { return Ok(()) };
        patience::wait_durable(&self.log, &self.wakeup, *last)?;
        self.confirm_durable()
    }

    fn note(&self, change: impl FnOnce(&mut crate::progress::FeedProgress)) {
        let (node, table) = (self.landing.scan.0 as u32, &self.landing.table.name);
        self.progress.update(|progress| change(progress.feed(node, table)));
    }
}
