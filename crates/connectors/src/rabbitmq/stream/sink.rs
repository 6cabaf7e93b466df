//! Publishes the outbox's records to a stream, each once: a message's publishing id is its outbox offset, of which the
//! stream itself keeps the highest by the publisher's name, and takes none twice.

use super::super::error::AmqpError;
use super::super::feed::short_name;
use super::super::messages::{Described, MessageEncoder};
use super::super::refused::RefusedMessages;
use super::super::server::Access;
use super::super::told;
use super::connection::{Connection, Event};
use super::feed::missing;
use super::message::StreamMessage;
use super::open;
use super::options::{PRODUCER, STREAM};
use crate::landed::Carried;
use crate::record_batches::each_outbox_record;
use crate::socket::monotonic;
use base::ErrorKind;
use base::options::Options;
use dataflow::batch::Batch;
use dataflow::sink::{OutboxSink, SinkError, TopicBatch};
use dataflow::source::Rejected;
use dataflow::table::TableDefinition;
use kafka_wire::records::Record;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How long one look at the confirms takes, so that heartbeats go on.
const LOOK: Duration = Duration::from_millis(200);

pub(super) struct StreamSink {
    table: Arc<TableDefinition>,
    access: Access,
    rows: MessageEncoder,
    stream: String,
    /// The publisher's name.
    name: String,
    content_type: Option<String>,
    open: Option<Open>,
    /// What no stream takes, on its way to the dead-letter topic.
    refused: RefusedMessages,
    /// Batches of which nothing is published until that is in the topic: a stream that has a later id says nothing of
    /// what is missing before it. They are no more than what is applied between two commits.
    held: VecDeque<Vec<u8>>,
}

struct Open {
    connection: Connection,
    /// Ids that are not confirmed.
    unconfirmed: BTreeSet<u64>,
    next: i64,
    stored: i64,
}

impl StreamSink {
    pub(super) fn new(
        table: Arc<TableDefinition>,
        access: Access,
        rows: MessageEncoder,
        options: &Options,
        identity: &str,
    ) -> StreamSink {
        let text = |key: &str| options.text(key).map(str::to_string);
        let prefix = options.text(PRODUCER).unwrap_or("eventwright");
        StreamSink {
            stream: text(STREAM).unwrap_or_default(),
            name: short_name(&format!("{prefix}-{identity}")),
            content_type: text("content-type"),
            refused: RefusedMessages::new(&table, options, ""),
            table,
            access,
            rows,
            open: None,
            held: VecDeque::new(),
        }
    }

    fn error(&self, error: AmqpError) -> SinkError {
        let (kind, message) = told(&self.table.name, error);
        SinkError { kind, message }
    }

    /// The connection is of no more use.
    fn lost(&mut self, error: AmqpError) -> SinkError {
        self.open = None;
        self.error(error)
    }

    fn publish(&mut self, record: &Record<'_>) -> Result<(), SinkError> {
        let carried = Carried::of(record);
        let described = Described::of(&carried, record.timestamp);
        let message = StreamMessage {
            described: Described {
                message_id: described.message_id.or_else(|| Some(format!("{}-{}", self.name, record.offset))),
                content_type: described.content_type.or_else(|| self.content_type.clone()),
                ..described
            },
            to: carried.text("to"),
            subject: carried.text("subject"),
            group_id: carried.text("group-id"),
            body: record.value.unwrap_or_default().to_vec(),
        };
        let bytes = message.encode();
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.connection.is_too_long(&bytes) {
            let which = format!("outbox-offset={}", record.offset);
            let reason = format!("a message of bytes={} is longer than a frame of the server", bytes.len());
            let kept = self.refused.keep(which, message.body, record.timestamp, reason);
            return kept.map_err(|error| self.error(error));
        }
        // The first outbox record has the id 1: a stream that knows nobody of the name answers 0.
        let id = record.offset as u64 + 1;
        open.unconfirmed.insert(id);
        open.connection.publish(id, &bytes).map_err(|error| self.lost(error))
    }

    /// Publishes a batch's records, up to one that is refused; behind that the rest is held.
    fn publish_batch(&mut self, batch: &[u8]) -> Result<(), SinkError> {
        let Some(mut next) = self.open.as_ref().map(|open| open.next) else { return Ok(()) };
        let table = self.table.clone();
        let end = each_outbox_record(&table.name, batch, next, |record| {
            if self.refused.is_empty() {
                self.publish(record)?;
                next = record.offset + 1;
            }
            Ok(())
        })?;
        if !self.refused.is_empty() {
            self.held.push_front(batch.to_vec());
        } else {
            next = end;
        }
        if let Some(open) = &mut self.open {
            open.next = next;
        }
        Ok(())
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

    /// Waits until the server has confirmed every message.
    fn settle(&mut self) -> Result<(), SinkError> {
        let clock = self.access.os().clock.clone();
        let until = monotonic(&*clock) + self.access.timeout();
        loop {
            let Some(open) = self.open.as_mut().filter(|open| !open.unconfirmed.is_empty()) else {
                return Ok(());
            };
            let left = until.saturating_sub(monotonic(&*clock));
            match open.connection.take_event(left.min(LOOK)) {
                Ok(Some(Event::Confirmed(ids))) => {
                    for id in ids {
                        open.unconfirmed.remove(&id);
                    }
                }
                Ok(Some(Event::Refused { id, error })) => {
                    let message =
                        format!("the message with the publishing id {id} was not taken: {}", error.message);
                    return Err(self.lost(AmqpError { message, ..error }));
                }
                Ok(Some(Event::Chunk(_))) => {}
                Ok(None) if left.is_zero() => {
                    let message = "the server has not confirmed in time what was published";
                    return Err(self.lost(AmqpError::new(ErrorKind::Unavailable, message)));
                }
                Ok(None) => {}
                Err(error) => return Err(self.lost(error)),
            }
        }
    }
}

impl OutboxSink for StreamSink {
    fn encode(&mut self, rows: &Batch, clock_ms: i64) -> Result<Vec<TopicBatch>, SinkError> {
        self.rows.encode(rows, clock_ms)
    }

    fn open(&mut self) -> Result<i64, SinkError> {
        self.open = None;
        self.refused.clear();
        self.held.clear();
        let opened = open(&self.access, &self.name).and_then(|mut connection| {
            let known = connection.declare_publisher(&self.name, &self.stream);
            Ok((known.map_err(|error| missing(error, &self.stream))?, connection))
        });
        let (known, connection) = opened.map_err(|error| self.error(error))?;
        // The id is one more than the offset, and so the offset of the next.
        let stored = known as i64;
        self.open = Some(Open { connection, unconfirmed: BTreeSet::new(), next: stored, stored });
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
        if let Some(open) = &mut self.open
            && let Err(error) = open.connection.tend()
        {
            return Err(self.lost(error));
        }
        self.release()?;
        self.settle()?;
        let Some(open) = &mut self.open else { return Ok(0) };
        // What no stream takes is in no topic yet, and may not be left behind.
        if self.refused.is_empty() {
            open.stored = open.next;
        }
        Ok(open.stored)
    }

    fn take_rejected(&mut self) -> Vec<Rejected> {
        self.refused.take()
    }
}
