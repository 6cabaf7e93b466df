//! Publishes the outbox's records as messages, and waits until the server has confirmed them.
//!
//! A target that can tell what it has is asked when it is opened. For others the position lies in the log (see
//! `positions`), set behind the confirms: what was confirmed and not yet noted when the node dies is sent again.
//!
//! Behind a message that is refused nothing is published before it lies in the dead-letter topic: a target that has a later
//! message says nothing of what is missing before it.

use super::connector::SinkParts;
use super::encoder::MessageEncoder;
use super::error::{Done, ServerError};
use super::refused::RefusedMessages;
use super::told;
use crate::positions::{Position, Positions};
use crate::record_batches::each_outbox_record;
use auth::socket::monotonic;
use base::ErrorKind;
use dataflow::batch::Batch;
use dataflow::sink::{OutboxSink, SinkError, TopicBatch, TraceHeaders};
use dataflow::source::Rejected;
use dataflow::table::TableDefinition;
use kafka_wire::records::Record;
use os::Clock;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How long one look at the confirms takes, so that heartbeats go on.
const LOOK: Duration = Duration::from_millis(200);

/// Who sends messages to a server.
pub(crate) trait Publisher: Send {
    type Connection: Send;

    /// Whether the target itself knows what it has, so that nothing need be kept of it in the log.
    const TARGET_KNOWS: bool = false;

    /// So many messages are sent behind what the log knows to be confirmed: a target that takes an id once knows the last of
    /// them only.
    const AT_ONCE_MAX: i64 = i64::MAX;

    /// Whether a mark beyond the offset says that the target has later messages than one that it did not take.
    const MARKS_GAPS: bool = false;

    /// What a user may do instead of keeping refused messages, if anything.
    const OTHERWISE: &'static str = "";

    /// Connects. `known` is what lies in the log; answers where to go on, which is there unless the target knows better.
    fn open(&mut self, known: Position) -> Done<(Self::Connection, Position)>;

    /// Puts a message on its way.
    fn publish(&mut self, connection: &mut Self::Connection, record: &Record<'_>) -> Done<Sent>;

    /// What the server says of messages, after waiting for it for so long at most.
    fn outcome(&mut self, connection: &mut Self::Connection, wait: Duration) -> Done<Option<Outcome>>;

    /// Whether no more may be on its way before [`Publisher::kept`].
    fn is_full(&self, _connection: &Self::Connection) -> bool {
        false
    }

    /// The log knows that what lies before this offset is confirmed.
    fn kept(&mut self, _connection: &mut Self::Connection, _offset: i64) -> Done<()> {
        Ok(())
    }

    /// Keeps the connection alive.
    fn tend(&mut self, connection: &mut Self::Connection) -> Done<()>;

    /// Why the server confirms nothing, if it has said so.
    fn hindrance(&self, _connection: &Self::Connection) -> Option<String> {
        None
    }
}

/// What became of a message on its way out.
pub(crate) enum Sent {
    /// It is on its way; its tag is higher than those before on this connection.
    Tag(u64),
    /// No server takes it, for this reason.
    Refused(String),
}

/// What the server says of messages.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The target has it, or with `multiple` all up to it. `mark` is what the target calls its place.
    Confirmed { tag: u64, multiple: bool, mark: u64 },
    /// The server could not take it now.
    NotTaken { tag: u64, multiple: bool, reason: String },
    /// The server will never take it.
    Refused { which: String, body: Vec<u8>, reason: String },
}

pub(crate) struct ConfirmedSink<P: Publisher> {
    table: Arc<TableDefinition>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    rows: MessageEncoder,
    positions: Positions,
    publisher: P,
    open: Option<Open<P::Connection>>,
    /// What was refused, on its way to the dead-letter topic.
    refused: RefusedMessages,
    /// Batches of which nothing is published until that is in the topic. They are no more than what is applied between
    /// two commits.
    held: VecDeque<Vec<u8>>,
}

struct Open<C> {
    connection: C,
    /// The outbox offsets of messages that are not confirmed, by tag.
    unconfirmed: BTreeMap<u64, i64>,
    /// The first offset that the server could not take, and why.
    not_taken: Option<(i64, String)>,
    next: i64,
    /// The target's word for the last message that it has confirmed.
    mark: u64,
    stored: i64,
}

impl<C> Open<C> {
    /// Takes what is settled; answers the first offset of it.
    fn settle(&mut self, tag: u64, multiple: bool) -> Option<i64> {
        let settled: BTreeMap<u64, i64> = if multiple {
            let rest = self.unconfirmed.split_off(&tag.saturating_add(1));
            std::mem::replace(&mut self.unconfirmed, rest)
        } else {
            self.unconfirmed.remove_entry(&tag).into_iter().collect()
        };
        settled.into_values().min()
    }

    fn not_taken(&mut self, offset: i64, reason: String) {
        if self.not_taken.as_ref().is_none_or(|(known, _)| offset < *known) {
            self.not_taken = Some((offset, reason));
        }
    }

    /// The offset before which the server has everything.
    fn confirmed(&self) -> i64 {
        let waiting = self.unconfirmed.values().min().copied();
        let not_taken = self.not_taken.as_ref().map(|(offset, _)| *offset);
        [waiting, not_taken].into_iter().flatten().fold(self.next, i64::min)
    }
}

impl<P: Publisher> ConfirmedSink<P> {
    pub(crate) fn new(parts: SinkParts, publisher: P) -> ConfirmedSink<P> {
        let SinkParts { table, access, rows, options, positions, .. } = parts;
        ConfirmedSink {
            clock: access.os().clock.clone(),
            timeout: access.timeout(),
            refused: RefusedMessages::new(&table, &options, P::OTHERWISE),
            table,
            rows,
            positions,
            publisher,
            open: None,
            held: VecDeque::new(),
        }
    }

    fn error(&self, error: ServerError) -> SinkError {
        let (kind, message) = told(&self.table, error);
        SinkError { kind, message }
    }

    /// The connection is of no more use: keeps as a position what was confirmed before.
    fn lost(&mut self, error: ServerError) -> SinkError {
        let error = self.error(error);
        let Some(open) = self.open.take() else { return error };
        let position = Position { offset: open.confirmed(), mark: open.mark };
        let has_gap = P::MARKS_GAPS && position.mark > position.offset as u64;
        if self.refused.is_empty()
            && (position.offset > open.stored || has_gap)
            && let Err(unkept) = self.keep(position)
        {
            return SinkError { message: format!("{}; {}", error.message, unkept.message), ..error };
        }
        error
    }

    fn keep(&self, position: Position) -> Result<(), SinkError> {
        if P::TARGET_KNOWS { Ok(()) } else { self.positions.set(position) }
    }

    /// All that was sent is settled: keeps that as the position.
    fn keep_confirmed(&mut self) -> Result<(), SinkError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        // What was refused is in no topic yet, and may not be left behind.
        if open.next <= open.stored || !self.refused.is_empty() {
            return Ok(());
        }
        let position = Position { offset: open.next, mark: open.mark };
        open.stored = open.next;
        self.keep(position)?;
        let Some(open) = &mut self.open else { return Ok(()) };
        let kept = self.publisher.kept(&mut open.connection, position.offset);
        kept.map_err(|error| self.lost(error))
    }

    fn refuse(
        &mut self,
        which: String,
        body: Vec<u8>,
        timestamp_ms: i64,
        reason: String,
    ) -> Result<(), SinkError> {
        let kept = self.refused.keep(which, body, timestamp_ms, reason);
        kept.map_err(|error| self.error(error))
    }

    fn publish(&mut self, record: &Record<'_>) -> Result<(), SinkError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        match self.publisher.publish(&mut open.connection, record) {
            Ok(Sent::Tag(tag)) => {
                open.unconfirmed.insert(tag, record.offset);
                Ok(())
            }
            Ok(Sent::Refused(reason)) => {
                let body = record.value.unwrap_or_default().to_vec();
                self.refuse(format!("outbox-offset={}", record.offset), body, record.timestamp, reason)
            }
            Err(error) => {
                // It may have gone out in part.
                open.next = open.next.min(record.offset);
                Err(self.lost(error))
            }
        }
    }

    /// Publishes a batch's records, up to one that is refused; behind that the rest is held.
    fn publish_batch(&mut self, batch: &[u8]) -> Result<(), SinkError> {
        let Some(from) = self.open.as_ref().map(|open| open.next) else { return Ok(()) };
        let table = self.table.clone();
        let end = each_outbox_record(&table.name, batch, from, |record| {
            let is_full = self.are_many_behind(record.offset)
                || self.open.as_ref().is_some_and(|open| self.publisher.is_full(&open.connection));
            if is_full && self.refused.is_empty() {
                self.settle()?;
                self.keep_confirmed()?;
            }
            if self.refused.is_empty() {
                self.publish(record)?;
                if let Some(open) = &mut self.open {
                    open.next = record.offset + 1;
                }
            }
            Ok(())
        })?;
        if !self.refused.is_empty() {
            self.held.push_front(batch.to_vec());
        } else if let Some(open) = &mut self.open {
            open.next = end;
        }
        Ok(())
    }

    /// Whether so many are sent and not known to be confirmed that no more may be.
    fn are_many_behind(&self, offset: i64) -> bool {
        self.open.as_ref().is_some_and(|open| offset - open.stored >= P::AT_ONCE_MAX)
    }

    /// Publishes what was held, when what was refused before it is in its topic.
    fn release(&mut self) -> Result<(), SinkError> {
        while self.refused.is_empty()
            && let Some(batch) = self.held.pop_front()
        {
            self.publish_batch(&batch)?;
        }
        Ok(())
    }

    fn take(&mut self, outcome: Outcome) -> Result<(), SinkError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        match outcome {
            Outcome::Confirmed { tag, multiple, mark } => {
                open.settle(tag, multiple);
                open.mark = open.mark.max(mark);
                Ok(())
            }
            Outcome::NotTaken { tag, multiple, reason } => {
                if let Some(first) = open.settle(tag, multiple) {
                    open.not_taken(first, reason);
                }
                Ok(())
            }
            Outcome::Refused { which, body, reason } => self.refuse(which, body, self.clock.now_ms(), reason),
        }
    }

    /// Waits until the server has said of every message what became of it.
    fn settle(&mut self) -> Result<(), SinkError> {
        let clock = self.clock.clone();
        let mut until = monotonic(&*clock) + self.timeout;
        while let Some(open) = self.open.as_mut().filter(|open| !open.unconfirmed.is_empty()) {
            let left = until.saturating_sub(monotonic(&*clock));
            match self.publisher.outcome(&mut open.connection, left.min(LOOK)) {
                Ok(Some(outcome)) => {
                    self.take(outcome)?;
                    until = monotonic(&*clock) + self.timeout;
                }
                Ok(None) if left.is_zero() => {
                    let why = self.publisher.hindrance(&open.connection);
                    let why = why.map_or(String::new(), |why| format!(": it is blocked ({why})"));
                    let message = format!("the server has not confirmed in time what was published{why}");
                    return Err(self.lost(ServerError::unavailable(message)));
                }
                Ok(None) => {}
                Err(error) => return Err(self.lost(error)),
            }
        }
        match self.open.as_ref().and_then(|open| open.not_taken.clone()) {
            Some((_, reason)) => Err(self.lost(ServerError::unavailable(reason))),
            None => Ok(()),
        }
    }
}

impl<P: Publisher> OutboxSink for ConfirmedSink<P> {
    fn carry(&mut self, carried: TraceHeaders) {
        self.rows.carry(carried);
    }

    fn encode(&mut self, rows: &Batch, clock_ms: i64) -> Result<Vec<TopicBatch>, SinkError> {
        self.rows.encode(rows, clock_ms)
    }

    fn open(&mut self) -> Result<i64, SinkError> {
        self.open = None;
        self.refused.clear();
        self.held.clear();
        let known = if P::TARGET_KNOWS { Position::default() } else { self.positions.get()? };
        let opened = self.publisher.open(known);
        let (connection, found) = opened.map_err(|error| self.error(error))?;
        // What the target has told is kept before anything is published behind it.
        if found != known {
            self.keep(found)?;
        }
        let (unconfirmed, stored) = (BTreeMap::new(), found.offset);
        let open = Open { connection, unconfirmed, not_taken: None, next: stored, mark: found.mark, stored };
        self.open = Some(open);
        Ok(stored)
    }

    fn apply(&mut self, batch: &[u8]) -> Result<(), SinkError> {
        if !self.refused.is_empty() || !self.held.is_empty() {
            self.held.push_back(batch.to_vec());
            return Ok(());
        }
        self.publish_batch(batch)
    }

    fn commit(&mut self, _finish: bool, _clock_ms: i64) -> Result<i64, SinkError> {
        let Some(open) = &mut self.open else {
            return Err(SinkError {
                kind: ErrorKind::Unavailable,
                message: format!("table '{}': the server is not connected", self.table.name),
            });
        };
        if let Err(error) = self.publisher.tend(&mut open.connection) {
            return Err(self.lost(error));
        }
        self.release()?;
        self.settle()?;
        self.keep_confirmed()?;
        Ok(self.open.as_ref().map_or(0, |open| open.stored))
    }

    fn take_rejected(&mut self) -> Vec<Rejected> {
        self.refused.take()
    }
}
