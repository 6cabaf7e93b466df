//! Sends messages to a queue or a topic; the server answers each with a receipt when it has it. A message that is sent again
//! has the same id: Artemis knows the last ones of each address, and readers of others may tell.

use super::Server;
use super::brand::{AMQP_MESSAGE_ID, Brand, DUPLICATE_ID, Place};
use super::connection::{Connection, Event};
use super::error::missing;
use super::frames::escaped_bytes;
use super::options::{MESSAGE_TYPE, TEXT};
use crate::landed::Carried;
use crate::messages::{Done, Outcome, Publisher, Sent, ServerError, SinkParts, short_name};
use crate::positions::Position;
use kafka_wire::records::Record;
use std::time::Duration;

/// Headers that are the protocol's or the servers' own: a row does not write them.
const RESERVED: &[&str] = &[
    "destination",
    "destination-type",
    "receipt",
    "transaction",
    "content-length",
    "message-id",
    "subscription",
    "ack",
    "redelivered",
    "amq-msg-type",
    AMQP_MESSAGE_ID,
    DUPLICATE_ID,
    OWN_ID,
];
/// The id of a message where the server has no header for it.
const OWN_ID: &str = "eventwright-id";
/// What RabbitMQ sends to a queue that nobody made is gone, and it says nothing of it.
const UNSEEN: &str = "/amq/queue/";
/// What ActiveMQ Classic takes, a little less.
const HEADER_BYTES_MAX: usize = 10_000;
const HEADERS_MAX: usize = 900;

pub(super) struct FramePublisher {
    server: Server,
    /// Tells this sink of this job from all others; message ids begin with it.
    name: String,
    is_persistent: bool,
    is_text: bool,
    content_type: Option<String>,
    place: Place,
}

impl FramePublisher {
    pub(super) fn new(parts: &SinkParts) -> FramePublisher {
        FramePublisher {
            server: Server::new(parts.access.clone(), &parts.options),
            name: short_name(&parts.job),
            is_persistent: parts.options.boolean("persistent"),
            is_text: parts.options.text(MESSAGE_TYPE) == Some(TEXT),
            content_type: parts.options.text("content-type").map(str::to_string),
            place: Place::of(&parts.options),
        }
    }

    /// The headers of a record's message, or why no server takes it.
    fn headers(&self, brand: Brand, record: &Record<'_>) -> Result<Vec<(String, String)>, String> {
        let carried = Carried::of(record);
        let mut headers: Vec<(String, String)> = Vec::new();
        let mut put = |name: &str, value: String| headers.push((name.to_string(), value));
        put("destination", self.place.destination(brand));
        if let Some(kind) = self.place.routing_type(brand) {
            put("destination-type", kind.into());
        }
        put("persistent", self.is_persistent.to_string());
        let id = match brand {
            Brand::Artemis => DUPLICATE_ID,
            Brand::RabbitMq => AMQP_MESSAGE_ID,
            Brand::ActiveMq | Brand::Other => OWN_ID,
        };
        put(id, format!("{}-{}", self.name, record.offset));
        for key in ["correlation-id", "reply-to", "type"] {
            if let Some(text) = carried.text(key) {
                put(key, text);
            }
        }
        if let Some(text) = carried.text("content-type").or_else(|| self.content_type.clone()) {
            put("content-type", text);
        }
        if let Some(group) = carried.text("group-id") {
            put("JMSXGroupID", group);
        }
        if let Some(priority) = carried.number("priority") {
            put("priority", priority.clamp(0, 9).to_string());
        }
        let time_ms = carried.number("timestamp").unwrap_or(record.timestamp);
        put("timestamp", brand.time(time_ms));
        if let Some(ttl_ms) = carried.number("ttl").filter(|ttl| *ttl > 0) {
            let (name, value) = brand.expiry(self.now_ms(), ttl_ms);
            put(name, value);
        }
        let body = record.value.unwrap_or_default();
        if !self.is_text || body.contains(&0) {
            put("content-length", body.len().to_string());
        }
        for (name, value) in carried.headers.iter().filter(|(name, _)| !RESERVED.contains(name)) {
            let value = std::str::from_utf8(value.unwrap_or_default()).map_err(|_| {
                format!("the header '{}' is no text, and STOMP has no others", name.escape_debug())
            })?;
            put(name, value.to_string());
        }
        let wrong = |(name, value): &&(String, String)| {
            name.is_empty()
                || name.contains('\0')
                || value.contains('\0')
                || header_bytes(name, value) > HEADER_BYTES_MAX
        };
        if let Some((name, value)) = headers.iter().find(wrong) {
            return Err(format!(
                "the header '{}' with bytes={} cannot be written: a name may not be empty, there may be no zero in it, and \
                 limit={HEADER_BYTES_MAX}",
                name.chars().take(100).collect::<String>().escape_debug(),
                header_bytes(name, value)
            ));
        }
        if headers.len() > HEADERS_MAX {
            return Err(format!(
                "a message with headers={} has more than servers take (limit={HEADERS_MAX})",
                headers.len()
            ));
        }
        Ok(headers)
    }

    fn now_ms(&self) -> i64 {
        self.server.access.os().clock.now_ms()
    }
}

/// As the server counts them: on their way.
fn header_bytes(name: &str, value: &str) -> usize {
    escaped_bytes(name) + escaped_bytes(value)
}

impl Publisher for FramePublisher {
    type Connection = Connection;

    /// Artemis keeps 20,000 ids of each address, which others may write to as well.
    const AT_ONCE_MAX: i64 = 5_000;

    fn open(&mut self, known: Position) -> Done<(Connection, Position)> {
        let connection = self.server.connect(None)?;
        let destination = self.place.destination(connection.brand());
        if connection.brand() == Brand::RabbitMq && destination.starts_with(UNSEEN) {
            return Err(ServerError::invalid(format!(
                "RabbitMQ confirms messages to '{UNSEEN}…' also when there is no such queue, and drops them: write \
                 'queue' = '…', an exchange as 'destination', or a table with 'connector' = 'rabbitmq'"
            )));
        }
        Ok((connection, known))
    }

    fn publish(&mut self, connection: &mut Connection, record: &Record<'_>) -> Done<Sent> {
        let headers = match self.headers(connection.brand(), record) {
            Ok(headers) => headers,
            Err(reason) => return Ok(Sent::Refused(reason)),
        };
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let sent = connection.send(&headers, record.value.unwrap_or_default());
        sent.map(Sent::Tag).map_err(|error| missing(error, &self.place.told()))
    }

    fn outcome(&mut self, connection: &mut Connection, wait: Duration) -> Done<Option<Outcome>> {
        loop {
            match connection.take_event(wait).map_err(|error| missing(error, &self.place.told()))? {
                Some(Event::Receipt(id)) => {
                    let tag =
                        id.parse().map_err(|_| ServerError::malformed("a receipt that was not asked for"))?;
                    return Ok(Some(Outcome::Confirmed { tag, multiple: false, mark: 0 }));
                }
                Some(Event::Message(_)) => {}
                None => return Ok(None),
            }
        }
    }

    fn tend(&mut self, connection: &mut Connection) -> Done<()> {
        connection.tend().map_err(|error| missing(error, &self.place.told()))
    }
}
