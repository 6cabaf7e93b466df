//! Sends messages to a queue or a topic; the server says of each what becomes of it. A message that is sent again has the same
//! ids: Artemis knows the last ones of each address, Service Bus those of some time, and readers may tell.

use super::Server;
use super::connection::{Connection, Event, missing};
use super::error::Condition;
use super::message::{Message, is_servers};
use super::performatives::{Attach, State};
use crate::landed::{Carried, Headers};
use crate::messages::{Done, Outcome, Publisher, Sent, SinkParts, short_name};
use crate::positions::Position;
use kafka_wire::records::Record;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How Artemis calls itself, and the property by which it takes a message once.
const ARTEMIS: &str = "artemis";
const DUPLICATE_ID: &str = "_AMQ_DUPL_ID";

pub(super) struct LinkPublisher {
    server: Server,
    /// Tells this sink of this job from all others; message ids begin with it.
    name: String,
    is_persistent: bool,
    content_type: Option<String>,
    /// Bodies of messages of which the server has said nothing, by tag: it may refuse them.
    unsettled: BTreeMap<u64, Kept>,
    outcomes: VecDeque<Outcome>,
}

struct Kept {
    offset: i64,
    body: Vec<u8>,
}

impl LinkPublisher {
    pub(super) fn new(parts: &SinkParts) -> LinkPublisher {
        LinkPublisher {
            server: Server::new(parts.access.clone(), &parts.options),
            name: short_name(&parts.job),
            is_persistent: parts.options.boolean("persistent"),
            content_type: parts.options.text("content-type").map(str::to_string),
            unsettled: BTreeMap::new(),
            outcomes: VecDeque::new(),
        }
    }

    fn message(&self, connection: &Connection, record: &Record<'_>) -> Message {
        let carried = Carried::of(record);
        let id = format!("{}-{}", self.name, record.offset);
        let small = |key: &str| carried.number(key).and_then(|number| u32::try_from(number).ok());
        let mut headers: Headers = carried
            .headers
            .iter()
            .filter(|(name, _)| !is_servers(name) && *name != DUPLICATE_ID)
            .map(|(name, value)| (name.to_string(), value.map(<[u8]>::to_vec)))
            .collect();
        if connection.product().contains(ARTEMIS) {
            headers.push((DUPLICATE_ID.into(), Some(id.clone().into_bytes())));
        }
        Message {
            durable: Some(self.is_persistent),
            priority: carried.number("priority").and_then(|priority| u8::try_from(priority).ok()),
            ttl_ms: small("ttl"),
            delivery_count: None,
            message_id: carried.text("message-id").or(Some(id)),
            user_id: None,
            to: carried.text("to"),
            subject: carried.text("subject"),
            reply_to: carried.text("reply-to"),
            correlation_id: carried.text("correlation-id"),
            content_type: carried.text("content-type").or_else(|| self.content_type.clone()),
            content_encoding: carried.text("content-encoding"),
            timestamp_ms: Some(carried.number("timestamp").unwrap_or(record.timestamp)),
            group_id: carried.text("group-id"),
            group_sequence: small("group-sequence"),
            headers,
            body: record.value.unwrap_or_default().to_vec(),
        }
    }

    fn settled(&mut self, first: u64, last: u64, state: &State) {
        let tags: Vec<u64> = self.unsettled.range(first..=last).map(|(tag, _)| *tag).collect();
        for tag in tags {
            let Some(kept) = self.unsettled.remove(&tag) else { continue };
            let confirmed = Outcome::Confirmed { tag, multiple: false, mark: 0 };
            match state {
                State::Accepted => self.outcomes.push_back(confirmed),
                State::Rejected(condition) if is_known(condition) => self.outcomes.push_back(confirmed),
                State::Rejected(condition) if condition.is_final() => {
                    let which = format!("outbox-offset={}", kept.offset);
                    let reason = condition.told();
                    self.outcomes.push_back(Outcome::Refused { which, body: kept.body, reason });
                    // Nothing more is heard of it.
                    self.outcomes.push_back(confirmed);
                }
                State::Rejected(condition) => {
                    let reason = format!("a message was not taken: {}", condition.told());
                    self.outcomes.push_back(Outcome::NotTaken { tag, multiple: false, reason });
                }
                State::Released => {
                    let reason = "the server could not take a message, and gave it back".to_string();
                    self.outcomes.push_back(Outcome::NotTaken { tag, multiple: false, reason });
                }
            }
        }
    }
}

/// Whether the server refuses a message because it has it.
fn is_known(condition: &Condition) -> bool {
    condition.description.to_ascii_lowercase().contains("duplicate message detected")
}

impl Publisher for LinkPublisher {
    type Connection = Connection;

    /// Artemis keeps 20,000 ids of each address, which others may write to as well.
    const AT_ONCE_MAX: i64 = 5_000;

    fn open(&mut self, known: Position) -> Done<(Connection, Position)> {
        self.unsettled.clear();
        self.outcomes.clear();
        let own = self.server.own_name(&self.name);
        let mut connection = self.server.connect(&own)?;
        let place = self.server.place();
        let attach = Attach { name: &own, address: place.0, node: place.1, selector: None };
        connection.send_to(&attach).map_err(|error| missing(error, &place.told()))?;
        Ok((connection, known))
    }

    fn publish(&mut self, connection: &mut Connection, record: &Record<'_>) -> Done<Sent> {
        let message = self.message(connection, record);
        let bytes = message.encode();
        if let Some(limit) = connection.message_bytes_max().filter(|limit| bytes.len() as u64 > *limit) {
            return Ok(Sent::Refused(format!(
                "a message of bytes={} is longer than the server takes (limit={limit})",
                bytes.len()
            )));
        }
        let tag = connection.send(&bytes)?;
        self.unsettled.insert(tag, Kept { offset: record.offset, body: message.body });
        Ok(Sent::Tag(tag))
    }

    fn outcome(&mut self, connection: &mut Connection, wait: Duration) -> Done<Option<Outcome>> {
        loop {
            if let Some(outcome) = self.outcomes.pop_front() {
                return Ok(Some(outcome));
            }
            match connection.take_event(wait)? {
                Some(Event::Outcome { first, last, state }) => self.settled(first, last, &state),
                Some(Event::Delivery { .. }) => {}
                None => return Ok(None),
            }
        }
    }

    fn tend(&mut self, connection: &mut Connection) -> Done<()> {
        connection.tend()
    }
}
