//! Brings messages: taken, landed, and then confirmed to the server, or read on behind their position.

use super::HAUL_BYTES_MAX;
use super::error::Done;
use super::reading::Reading;
use dataflow::feed::{Feed, FeedRecord, Haul};
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Who takes messages from a server.
pub(crate) trait Subscriber: Send {
    type Connection: Send;

    /// Connects; what was taken before and not confirmed is void. `position` is one that [`Subscriber::position`] gave.
    fn open(&mut self, position: Option<&[u8]>) -> Done<Self::Connection>;

    /// The next message, after waiting for it for so long at most.
    fn take(&mut self, connection: &mut Self::Connection, wait: Duration) -> Done<Option<Delivered>>;

    /// Where to go on behind what was taken, for servers that can be read again.
    fn position(&self) -> Option<Vec<u8>> {
        None
    }

    /// The ticket of a change of the position that no message brought, if there was one since the last haul.
    fn settled(&mut self) -> Option<u64> {
        None
    }

    /// All messages up to this ticket have landed.
    fn confirm(&mut self, connection: &mut Self::Connection, ticket: u64) -> Done<()>;

    /// Keeps the connection alive, and what it holds.
    fn tend(&mut self, connection: &mut Self::Connection) -> Done<()>;
}

/// A message that was taken.
pub(crate) struct Delivered {
    /// No smaller than the one before on this connection.
    pub ticket: u64,
    /// About what it takes in memory.
    pub bytes: usize,
    pub record: FeedRecord,
}

pub(crate) struct MessageFeed<S: Subscriber> {
    reading: Reading<S::Connection>,
    subscriber: S,
    /// The position is not in the log yet.
    is_new: bool,
}

impl<S: Subscriber> MessageFeed<S> {
    pub(crate) fn new(table: Arc<TableDefinition>, subscriber: S) -> MessageFeed<S> {
        MessageFeed { reading: Reading::new(table), subscriber, is_new: false }
    }
}

impl<S: Subscriber> Feed for MessageFeed<S> {
    fn open(&mut self, position: Option<&[u8]>) -> Result<(), SourceError> {
        self.reading.close();
        self.is_new = position.is_none();
        let opened = self.subscriber.open(position);
        self.reading.open(opened)
    }

    fn poll(&mut self, wait_ms: u64) -> Result<Haul, SourceError> {
        let mut haul = Haul::default();
        if std::mem::take(&mut self.is_new) {
            haul.position = self.subscriber.position();
            if haul.position.is_some() {
                return Ok(haul);
            }
        }
        let mut wait = Duration::from_millis(wait_ms);
        let mut bytes = 0;
        let subscriber = &mut self.subscriber;
        while bytes < HAUL_BYTES_MAX {
            let taken = self.reading.with(|connection| subscriber.take(connection, wait))?;
            let Some(delivered) = taken else { break };
            haul.ticket = delivered.ticket;
            bytes += delivered.bytes;
            haul.records.push(delivered.record);
            // What else has come is taken as well.
            wait = Duration::ZERO;
        }
        let settled = subscriber.settled();
        haul.ticket = haul.ticket.max(settled.unwrap_or(0));
        if !haul.records.is_empty() || settled.is_some() {
            haul.position = subscriber.position();
        }
        Ok(haul)
    }

    fn confirm(&mut self, ticket: u64) -> Result<(), SourceError> {
        let subscriber = &mut self.subscriber;
        self.reading.with(|connection| subscriber.confirm(connection, ticket))
    }

    fn keep_alive(&mut self) -> Result<(), SourceError> {
        let subscriber = &mut self.subscriber;
        self.reading.with(|connection| subscriber.tend(connection))
    }
}

/// What has to be said to the server of each message that was taken, by ticket.
#[derive(Debug)]
pub(crate) struct Tickets<T> {
    waiting: VecDeque<(u64, T)>,
    last: u64,
}

impl<T> Default for Tickets<T> {
    fn default() -> Tickets<T> {
        Tickets { waiting: VecDeque::new(), last: 0 }
    }
}

impl<T> Tickets<T> {
    /// The ticket of the message.
    pub(crate) fn give(&mut self, what: T) -> u64 {
        self.last += 1;
        self.waiting.push_back((self.last, what));
        self.last
    }

    /// Those up to a ticket, which wait no more.
    pub(crate) fn settle(&mut self, ticket: u64) -> impl Iterator<Item = T> {
        let count = self.waiting.partition_point(|(waiting, _)| *waiting <= ticket);
        self.waiting.drain(..count).map(|(_, what)| what)
    }
}
