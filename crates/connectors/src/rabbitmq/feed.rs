//! Brings the messages of a queue: delivered, landed, then acknowledged up to the last of them.

use super::amqp::{Connection, Event, Message, Table};
use super::error::AmqpError;
use super::messages::{Described, is_time, keeps_headers};
use super::options::{QUEUE, QUEUE_ARGUMENTS};
use super::reading::Reading;
use super::server::Access;
use crate::landed::Landing;
use base::ErrorKind;
use base::options::Options;
use dataflow::feed::{Feed, FeedRecord, Haul};
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use std::sync::Arc;
use std::time::Duration;

/// What one haul may bring.
const HAUL_BYTES_MAX: usize = 4 << 20;
/// The server's count of how often a message of a quorum queue came back.
const DELIVERY_COUNT: &str = "x-delivery-count";

pub(super) struct QueueFeed {
    reading: Reading<Connection>,
    access: Access,
    queue: Queue,
    consumer_tag: String,
    prefetch: u16,
    deduplicates: bool,
    keeps_headers: bool,
}

/// A queue, and how it is made if it is to be.
pub(super) struct Queue {
    pub name: String,
    declares: bool,
    arguments: Table,
}

impl Queue {
    pub(super) fn of(options: &Options) -> Option<Queue> {
        use super::amqp::Value;
        let name = options.text(QUEUE).filter(|name| !name.is_empty())?.to_string();
        let mut arguments: Table = options
            .with_prefix(QUEUE_ARGUMENTS)
            .map(|(key, value)| {
                let number = value.parse().map(Value::Int);
                (key[QUEUE_ARGUMENTS.len()..].to_string(), number.unwrap_or_else(|_| Value::text(value)))
            })
            .collect();
        let kind = options.text("queue-declare.type").unwrap_or("quorum");
        arguments.push(("x-queue-type".into(), Value::text(kind)));
        Some(Queue { name, declares: options.boolean("queue-declare.enabled"), arguments })
    }

    /// Makes it, or makes sure that it is there.
    pub(super) fn declare(&self, connection: &mut Connection) -> Result<(), AmqpError> {
        let declared = connection.declare_queue(&self.name, !self.declares, &self.arguments);
        declared.map(drop).map_err(|error| match error.kind {
            ErrorKind::NotFound => AmqpError {
                message: format!(
                    "{}; create the queue, or let 'queue-declare.enabled' = 'true' make it",
                    error.message
                ),
                ..error
            },
            _ => error,
        })
    }
}

impl QueueFeed {
    pub(super) fn new(
        table: Arc<TableDefinition>,
        access: Access,
        queue: Queue,
        options: &Options,
        identity: &str,
    ) -> QueueFeed {
        let prefetch = options.integer("prefetch-count").and_then(|count| u16::try_from(count).ok());
        QueueFeed {
            access,
            queue,
            consumer_tag: options.text("consumer-tag").map_or_else(|| short_name(identity), str::to_string),
            prefetch: prefetch.unwrap_or(1),
            deduplicates: options.boolean("deduplicate"),
            keeps_headers: keeps_headers(&table),
            reading: Reading::new(table),
        }
    }

    fn record(&self, message: Message, redelivered: bool) -> FeedRecord {
        let Message { exchange, routing_key, properties, body } = message;
        let mut landing = Landing::new(&self.reading.table);
        landing.text("exchange", Some(&exchange));
        landing.text("routing-key", Some(&routing_key));
        landing.boolean("redelivered", redelivered);
        let count = properties.headers.iter().find(|(name, _)| name == DELIVERY_COUNT);
        landing.number("delivery-count", count.and_then(|(_, value)| value.number()));
        landing.number("delivery-mode", properties.delivery_mode.map(i64::from));
        landing.number("priority", properties.priority.map(i64::from));
        landing.text("expiration", properties.expiration.as_deref());
        landing.text("type", properties.kind.as_deref());
        landing.text("app-id", properties.app_id.as_deref());
        let id = properties.message_id.clone().filter(|id| self.deduplicates && !id.is_empty());
        let timestamp_ms =
            properties.timestamp.and_then(|seconds| i64::try_from(seconds).ok()?.checked_mul(1000));
        let timestamp_ms = timestamp_ms.filter(is_time);
        let headers = match self.keeps_headers {
            true => properties.headers.into_iter().map(|(name, value)| (name, value.shown())).collect(),
            false => Vec::new(),
        };
        let described = Described {
            content_type: properties.content_type,
            content_encoding: properties.content_encoding,
            correlation_id: properties.correlation_id,
            reply_to: properties.reply_to,
            message_id: properties.message_id,
            user_id: properties.user_id,
            timestamp_ms,
            headers,
        };
        described.land(&mut landing, self.keeps_headers);
        FeedRecord {
            partition: 0,
            timestamp_ms: timestamp_ms.unwrap_or_else(|| self.access.os().clock.now_ms()),
            key: None,
            value: Some(body),
            headers: landing.finish(),
            id: id.map(String::into_bytes),
        }
    }
}

impl Feed for QueueFeed {
    fn open(&mut self, _position: Option<&[u8]>) -> Result<(), SourceError> {
        self.reading.close();
        let opened = self.access.open(&self.consumer_tag).and_then(|mut connection| {
            self.queue.declare(&mut connection)?;
            connection.consume(&self.queue.name, &self.consumer_tag, self.prefetch)?;
            Ok(connection)
        });
        self.reading.open(opened)
    }

    fn poll(&mut self, wait_ms: u64) -> Result<Haul, SourceError> {
        let mut haul = Haul::default();
        let mut wait = Duration::from_millis(wait_ms);
        let mut bytes = 0;
        while bytes < HAUL_BYTES_MAX {
            match self.reading.with(|connection| connection.take_event(wait))? {
                Some(Event::Delivery { tag, redelivered, message }) => {
                    haul.ticket = tag;
                    bytes += message.bytes();
                    haul.records.push(self.record(message, redelivered));
                    // What else has come is taken as well.
                    wait = Duration::ZERO;
                }
                // Whether the queue is gone is seen when it is declared again.
                Some(Event::Cancelled) => {
                    let message = "the server has cancelled the consumer: the queue was deleted, or moves";
                    return self.reading.with(|_| Err(AmqpError::new(ErrorKind::Retry, message)));
                }
                Some(Event::Returned { .. } | Event::Confirmed { .. } | Event::Refused { .. }) => {}
                None => break,
            }
        }
        Ok(haul)
    }

    fn confirm(&mut self, ticket: u64) -> Result<(), SourceError> {
        self.reading.with(|connection| connection.acknowledge(ticket))
    }

    fn keep_alive(&mut self) -> Result<(), SourceError> {
        self.reading.with(Connection::tend)
    }
}

/// A name of a job's part that fits into a short text together with a number.
pub(super) fn short_name(identity: &str) -> String {
    use sha2::{Digest, Sha256};
    const BYTES_MAX: usize = 200;
    if identity.len() <= BYTES_MAX {
        return identity.to_string();
    }
    let hash = Sha256::digest(identity.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
