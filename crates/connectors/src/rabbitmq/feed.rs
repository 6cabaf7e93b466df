//! Brings the messages of a queue: delivered, landed, then acknowledged up to the last of them.

use super::amqp::{Connection, Event, Message, Table};
use super::messages::Described;
use super::options::{QUEUE, QUEUE_ARGUMENTS};
use super::server::Login;
use crate::landed::Landing;
use crate::messages::{Access, Delivered, Done, ServerError, Subscriber, is_time, keeps_headers, short_name};
use base::ErrorKind;
use base::options::Options;
use dataflow::feed::FeedRecord;
use dataflow::table::TableDefinition;
use std::sync::Arc;
use std::time::Duration;

/// The server's count of how often a message of a quorum queue came back.
const DELIVERY_COUNT: &str = "x-delivery-count";

pub(super) struct QueueFeed {
    table: Arc<TableDefinition>,
    access: Access,
    login: Login,
    queue: Queue,
    consumer_tag: String,
    prefetch: u16,
    deduplicates: bool,
    keeps_headers: bool,
}

/// A queue, and how it is made if it is to be.
#[derive(Default)]
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
    pub(super) fn declare(&self, connection: &mut Connection) -> Result<(), ServerError> {
        let declared = connection.declare_queue(&self.name, !self.declares, &self.arguments);
        declared.map(drop).map_err(|error| match error.kind {
            ErrorKind::NotFound => ServerError {
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
        options: &Options,
        identity: &str,
    ) -> QueueFeed {
        let prefetch = options.integer("prefetch-count").and_then(|count| u16::try_from(count).ok());
        QueueFeed {
            access,
            login: Login::of(options),
            // The table was checked: a source has a queue.
            queue: Queue::of(options).unwrap_or_default(),
            consumer_tag: options.text("consumer-tag").map_or_else(|| short_name(identity), str::to_string),
            prefetch: prefetch.unwrap_or(1),
            deduplicates: options.boolean("deduplicate"),
            keeps_headers: keeps_headers(&table),
            table,
        }
    }

    fn record(&self, message: Message, redelivered: bool) -> FeedRecord {
        let Message { exchange, routing_key, properties, body } = message;
        let mut landing = Landing::new(&self.table);
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
        let headers = properties.headers.into_iter();
        let kept = headers.filter(|(name, _)| crate::landed::keeps_header(name, self.keeps_headers));
        let headers = kept.map(|(name, value)| (name, value.shown())).collect();
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

impl Subscriber for QueueFeed {
    type Connection = Connection;

    fn open(&mut self, _position: Option<&[u8]>) -> Done<Connection> {
        let mut connection = super::server::open(&self.access, &self.login, &self.consumer_tag)?;
        self.queue.declare(&mut connection)?;
        connection.consume(&self.queue.name, &self.consumer_tag, self.prefetch)?;
        Ok(connection)
    }

    fn take(&mut self, connection: &mut Connection, wait: Duration) -> Done<Option<Delivered>> {
        loop {
            match connection.take_event(wait)? {
                Some(Event::Delivery { tag, redelivered, message }) => {
                    let bytes = message.bytes();
                    let record = self.record(message, redelivered);
                    return Ok(Some(Delivered { ticket: tag, bytes, record }));
                }
                // Whether the queue is gone is seen when it is declared again.
                Some(Event::Cancelled) => {
                    let message = "the server has cancelled the consumer: the queue was deleted, or moves";
                    return Err(ServerError::new(ErrorKind::Retry, message));
                }
                Some(Event::Returned { .. } | Event::Confirmed { .. } | Event::Refused { .. }) => {}
                None => return Ok(None),
            }
        }
    }

    fn confirm(&mut self, connection: &mut Connection, ticket: u64) -> Done<()> {
        connection.acknowledge(ticket)
    }

    fn tend(&mut self, connection: &mut Connection) -> Done<()> {
        connection.tend()
    }
}
