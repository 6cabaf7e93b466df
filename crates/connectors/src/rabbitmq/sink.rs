//! Publishes the outbox's records as messages, and waits until the server has confirmed them.
//!
//! A server has nowhere to keep an offset together with messages, so the position lies in the log (see `positions`), set
//! after the confirms: what was confirmed and not yet noted when the node dies is published again. The property
//! `message-id` is then the same, by which a reader may tell.

use super::amqp::{Connection, Event, Message, Properties, Publish, Value};
use super::error::AmqpError;
use super::feed::{Queue, short_name};
use super::messages::{Described, MessageEncoder};
use super::options::{EXCHANGE, ROUTING_KEY};
use super::refused::RefusedMessages;
use super::server::Access;
use super::told;
use crate::landed::Carried;
use crate::positions::Positions;
use crate::record_batches::each_outbox_record;
use crate::socket::monotonic;
use base::ErrorKind;
use base::options::Options;
use dataflow::batch::Batch;
use dataflow::sink::{OutboxSink, SinkError, TopicBatch};
use dataflow::source::Rejected;
use dataflow::table::TableDefinition;
use kafka_wire::records::Record;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const PERSISTENT: u8 = 2;
/// How long one look at the confirms takes, so that heartbeats go on.
const LOOK: Duration = Duration::from_millis(200);

pub(super) struct QueueSink {
    table: Arc<TableDefinition>,
    access: Access,
    rows: MessageEncoder,
    positions: Positions,
    /// Tells this sink of this job from all others; message ids begin with it.
    name: String,
    queue: Option<Queue>,
    exchange: String,
    routing_key: String,
    is_mandatory: bool,
    is_persistent: bool,
    content_type: Option<String>,
    open: Option<Open>,
    /// What went nowhere, on its way to the dead-letter topic.
    refused: RefusedMessages,
}

struct Open {
    connection: Connection,
    /// The tag of the last message that was published.
    last_tag: u64,
    /// The outbox offsets of messages that are not confirmed, by tag.
    unconfirmed: BTreeMap<u64, i64>,
    /// The first offset that the server could not take.
    not_taken: Option<i64>,
    next: i64,
    stored: i64,
}

impl Open {
    fn settle(&mut self, tag: u64, multiple: bool, is_taken: bool) {
        let settled = if multiple {
            let rest = self.unconfirmed.split_off(&tag.saturating_add(1));
            std::mem::replace(&mut self.unconfirmed, rest)
        } else {
            self.unconfirmed.remove_entry(&tag).into_iter().collect()
        };
        if !is_taken && let Some(first) = settled.values().min() {
            self.not_taken = Some(self.not_taken.map_or(*first, |known| known.min(*first)));
        }
    }

    /// The offset before which the server has everything.
    fn confirmed(&self) -> i64 {
        let waiting = self.unconfirmed.values().min().copied();
        [waiting, self.not_taken].into_iter().flatten().fold(self.next, i64::min)
    }
}

impl QueueSink {
    pub(super) fn new(
        table: Arc<TableDefinition>,
        access: Access,
        rows: MessageEncoder,
        positions: Positions,
        options: &Options,
        identity: &str,
    ) -> QueueSink {
        let text = |key: &str| options.text(key).map(str::to_string);
        let queue = Queue::of(options);
        let exchange = text(EXCHANGE).unwrap_or_default();
        let to_queue = queue.as_ref().filter(|_| exchange.is_empty()).map(|queue| queue.name.clone());
        QueueSink {
            routing_key: text(ROUTING_KEY).or(to_queue).unwrap_or_default(),
            exchange,
            queue,
            is_mandatory: options.boolean("mandatory"),
            is_persistent: options.boolean("persistent"),
            content_type: text("content-type"),
            name: short_name(identity),
            refused: RefusedMessages::new(
                &table,
                options,
                ", or have those dropped that are routed to no queue with 'mandatory' = 'false'",
            ),
            table,
            access,
            rows,
            positions,
            open: None,
        }
    }

    fn error(&self, error: AmqpError) -> SinkError {
        let (kind, message) = told(&self.table.name, error);
        SinkError { kind, message }
    }

    fn connect(&self) -> Result<Connection, AmqpError> {
        let mut connection = self.access.open(&self.name)?;
        if let Some(queue) = &self.queue {
            queue.declare(&mut connection)?;
        }
        if !self.exchange.is_empty() {
            connection.find_exchange(&self.exchange)?;
        }
        connection.confirm_publishes()?;
        Ok(connection)
    }

    fn publish(&mut self, record: &Record<'_>) -> Result<(), SinkError> {
        let carried = Carried::of(record);
        let body = record.value.unwrap_or_default();
        let described = Described::of(&carried, record.timestamp);
        let id = described.message_id.unwrap_or_else(|| format!("{}-{}", self.name, record.offset));
        let properties = Properties {
            content_type: described.content_type.or_else(|| self.content_type.clone()),
            content_encoding: described.content_encoding,
            headers: described
                .headers
                .into_iter()
                .map(|(name, value)| (name, value.map_or(Value::Nothing, Value::Bytes)))
                .collect(),
            delivery_mode: self.is_persistent.then_some(PERSISTENT),
            priority: carried.number("priority").and_then(|priority| u8::try_from(priority).ok()),
            correlation_id: described.correlation_id,
            reply_to: described.reply_to,
            expiration: carried.text("expiration"),
            message_id: Some(id),
            timestamp: described.timestamp_ms.and_then(|ms| u64::try_from(ms / 1000).ok()),
            kind: carried.text("type"),
            user_id: None,
            app_id: carried.text("app-id"),
        };
        let routing_key = carried.text("routing-key");
        let routing_key = routing_key.as_deref().unwrap_or(&self.routing_key);
        let publish = Publish {
            exchange: &self.exchange,
            routing_key,
            mandatory: self.is_mandatory,
            properties: &properties,
            body,
        };
        if let Some(long) = publish.too_long() {
            let reason = format!("its '{long}' is longer than the 255 bytes that AMQP has for it");
            let which = format!("outbox-offset={}", record.offset);
            let kept = self.refused.keep(which, body.to_vec(), record.timestamp, reason);
            return kept.map_err(|error| self.error(error));
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let published = open.connection.publish(&publish);
        open.last_tag += 1;
        open.unconfirmed.insert(open.last_tag, record.offset);
        published.map_err(|error| self.lost(error))
    }

    fn returned(&mut self, reason: String, message: Message) -> Result<(), SinkError> {
        let Message { exchange, routing_key, properties, body } = message;
        let reason = format!(
            "exchange='{exchange}' routing-key='{routing_key}' leads to no queue: the server says {reason}"
        );
        let timestamp_ms = self.access.os().clock.now_ms();
        let which = format!("message-id={}", properties.message_id.unwrap_or_default());
        let kept = self.refused.keep(which, body, timestamp_ms, reason);
        kept.map_err(|error| self.error(error))
    }

    /// Waits until the server has said of every message what became of it.
    fn settle(&mut self) -> Result<(), SinkError> {
        let clock = self.access.os().clock.clone();
        let until = monotonic(&*clock) + self.access.timeout();
        loop {
            let Some(open) = &mut self.open else { return Ok(()) };
            match open.connection.next_event() {
                Some(Event::Confirmed { tag, multiple }) => open.settle(tag, multiple, true),
                Some(Event::Refused { tag, multiple }) => open.settle(tag, multiple, false),
                Some(Event::Returned { reason, message }) => self.returned(reason, message)?,
                Some(Event::Delivery { .. } | Event::Cancelled) => {}
                None if open.unconfirmed.is_empty() => break,
                None => {
                    let left = until.saturating_sub(monotonic(&*clock));
                    if left.is_zero() {
                        let blocked = open.connection.blocked();
                        let why = blocked.map_or(String::new(), |why| format!(": it is blocked ({why})"));
                        let message = format!("the server has not confirmed in time what was published{why}");
                        return Err(self.lost(AmqpError::new(ErrorKind::Unavailable, message)));
                    }
                    if let Err(error) = open.connection.wait(left.min(LOOK)) {
                        return Err(self.lost(error));
                    }
                }
            }
        }
        if self.open.as_ref().is_some_and(|open| open.not_taken.is_some()) {
            let message = "the server could not take a message (basic.nack): a queue is full and refuses more, or a queue \
                           could not store it";
            return Err(self.lost(AmqpError::new(ErrorKind::Unavailable, message)));
        }
        Ok(())
    }

    /// The connection is of no more use: keeps as a position what was confirmed before.
    fn lost(&mut self, error: AmqpError) -> SinkError {
        let error = self.error(error);
        if let Some(open) = self.open.take()
            && self.refused.is_empty()
            && open.confirmed() > open.stored
            && let Err(unkept) = self.positions.set(open.confirmed())
        {
            return SinkError { message: format!("{}; {}", error.message, unkept.message), ..error };
        }
        error
    }
}

impl OutboxSink for QueueSink {
    fn encode(&mut self, rows: &Batch, clock_ms: i64) -> Result<Vec<TopicBatch>, SinkError> {
        self.rows.encode(rows, clock_ms)
    }

    fn open(&mut self) -> Result<i64, SinkError> {
        self.open = None;
        self.refused.clear();
        let stored = self.positions.get()?;
        let connection = self.connect().map_err(|error| self.error(error))?;
        self.open = Some(Open {
            connection,
            last_tag: 0,
            unconfirmed: BTreeMap::new(),
            not_taken: None,
            next: stored,
            stored,
        });
        Ok(stored)
    }

    fn apply(&mut self, batch: &[u8]) -> Result<(), SinkError> {
        let Some(next) = self.open.as_ref().map(|open| open.next) else { return Ok(()) };
        let table = self.table.clone();
        let end = each_outbox_record(&table.name, batch, next, |record| self.publish(record))?;
        if let Some(open) = &mut self.open {
            open.next = end;
        }
        Ok(())
    }

    fn commit(&mut self, _finish: bool, _clock_ms: i64) -> Result<i64, SinkError> {
        self.settle()?;
        let Some(open) = &mut self.open else { return Ok(0) };
        // What went nowhere is in no topic yet, and may not be left behind.
        if open.next > open.stored && self.refused.is_empty() {
            self.positions.set(open.next)?;
            open.stored = open.next;
        }
        let stored = open.stored;
        match open.connection.tend() {
            Ok(()) => Ok(stored),
            Err(error) => Err(self.lost(error)),
        }
    }

    fn take_rejected(&mut self) -> Vec<Rejected> {
        self.refused.take()
    }
}
