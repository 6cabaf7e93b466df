//! Publishes messages to a queue or an exchange; the server confirms each. The property `message-id` of one that is sent
//! again is the same, by which a reader may tell.

use super::amqp::{Connection, Event, Message, Properties, Publish, Value};
use super::feed::Queue;
use super::messages::Described;
use super::options::{EXCHANGE, ROUTING_KEY};
use super::server::{self, Login};
use crate::landed::Carried;
use crate::messages::{Access, Done, Outcome, Publisher, Sent, SinkParts, short_name};
use crate::positions::Position;
use kafka_wire::records::Record;
use std::time::Duration;

const PERSISTENT: u8 = 2;

pub(super) struct QueuePublisher {
    access: Access,
    login: Login,
    /// Tells this sink of this job from all others; message ids begin with it.
    name: String,
    queue: Option<Queue>,
    exchange: String,
    routing_key: String,
    is_mandatory: bool,
    is_persistent: bool,
    content_type: Option<String>,
    /// The tag of the last message that was published.
    last_tag: u64,
}

impl QueuePublisher {
    pub(super) fn new(parts: &SinkParts) -> QueuePublisher {
        let options = &parts.options;
        let text = |key: &str| options.text(key).map(str::to_string);
        let queue = Queue::of(options);
        let exchange = text(EXCHANGE).unwrap_or_default();
        let to_queue = queue.as_ref().filter(|_| exchange.is_empty()).map(|queue| queue.name.clone());
        QueuePublisher {
            access: parts.access.clone(),
            login: Login::of(options),
            routing_key: text(ROUTING_KEY).or(to_queue).unwrap_or_default(),
            exchange,
            queue,
            is_mandatory: options.boolean("mandatory"),
            is_persistent: options.boolean("persistent"),
            content_type: text("content-type"),
            name: short_name(&parts.job),
            last_tag: 0,
        }
    }
}

impl Publisher for QueuePublisher {
    type Connection = Connection;

    const OTHERWISE: &'static str =
        ", or have those dropped that are routed to no queue with 'mandatory' = 'false'";

    fn open(&mut self, known: Position) -> Done<(Connection, Position)> {
        let mut connection = server::open(&self.access, &self.login, &self.name)?;
        if let Some(queue) = &self.queue {
            queue.declare(&mut connection)?;
        }
        if !self.exchange.is_empty() {
            connection.find_exchange(&self.exchange)?;
        }
        connection.confirm_publishes()?;
        self.last_tag = 0;
        Ok((connection, known))
    }

    fn publish(&mut self, connection: &mut Connection, record: &Record<'_>) -> Done<Sent> {
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
            return Ok(Sent::Refused(reason));
        }
        self.last_tag += 1;
        connection.publish(&publish)?;
        Ok(Sent::Tag(self.last_tag))
    }

    fn outcome(&mut self, connection: &mut Connection, wait: Duration) -> Done<Option<Outcome>> {
        loop {
            match connection.take_event(wait)? {
                Some(Event::Confirmed { tag, multiple }) => {
                    return Ok(Some(Outcome::Confirmed { tag, multiple, mark: 0 }));
                }
                Some(Event::Refused { tag, multiple }) => {
                    let reason = "the server could not take a message (basic.nack): a queue is full and refuses more, or \
                                  a queue could not store it";
                    return Ok(Some(Outcome::NotTaken { tag, multiple, reason: reason.into() }));
                }
                Some(Event::Returned { reason, message }) => return Ok(Some(returned(&reason, message))),
                Some(Event::Delivery { .. } | Event::Cancelled) => {}
                None => return Ok(None),
            }
        }
    }

    fn tend(&mut self, connection: &mut Connection) -> Done<()> {
        connection.tend()
    }

    fn hindrance(&self, connection: &Connection) -> Option<String> {
        connection.blocked().map(str::to_string)
    }
}

fn returned(reason: &str, message: Message) -> Outcome {
    let Message { exchange, routing_key, properties, body } = message;
    let reason = format!(
        "exchange='{exchange}' routing-key='{routing_key}' leads to no queue: the server says {reason}"
    );
    Outcome::Refused {
        which: format!("message-id={}", properties.message_id.unwrap_or_default()),
        body,
        reason,
    }
}
