//! Publishes messages to a stream, each once: a message's publishing id is its outbox offset, of which the stream itself
//! keeps the highest by the publisher's name, and takes none twice.

use super::connection::{Connection, Event};
use super::feed::missing;
use super::message::StreamMessage;
use super::open;
use super::options::{PRODUCER, STREAM};
use crate::landed::Carried;
use crate::messages::{Access, Done, Outcome, Publisher, Sent, ServerError, SinkParts, short_name};
use crate::positions::Position;
use crate::rabbitmq::messages::Described;
use crate::rabbitmq::server::Login;
use kafka_wire::records::Record;
use std::collections::VecDeque;
use std::time::Duration;

pub(super) struct StreamPublisher {
    access: Access,
    login: Login,
    stream: String,
    /// The publisher's name.
    name: String,
    content_type: Option<String>,
    /// Ids that were confirmed together with one that was told.
    confirmed: VecDeque<u64>,
}

impl StreamPublisher {
    pub(super) fn new(parts: &SinkParts) -> StreamPublisher {
        let options = &parts.options;
        let text = |key: &str| options.text(key).map(str::to_string);
        let prefix = options.text(PRODUCER).unwrap_or("eventwright");
        StreamPublisher {
            access: parts.access.clone(),
            login: Login::of(options),
            stream: text(STREAM).unwrap_or_default(),
            name: short_name(&format!("{prefix}-{}", parts.job)),
            content_type: text("content-type"),
            confirmed: VecDeque::new(),
        }
    }
}

impl Publisher for StreamPublisher {
    type Connection = Connection;

    const TARGET_KNOWS: bool = true;

    fn open(&mut self, _known: Position) -> Done<(Connection, Position)> {
        self.confirmed.clear();
        let mut connection = open(&self.access, &self.login, &self.name)?;
        let known = connection.declare_publisher(&self.name, &self.stream);
        let known = known.map_err(|error| missing(error, &self.stream))?;
        // The id is one more than the offset, and so the offset of the next.
        Ok((connection, Position { offset: known as i64, mark: 0 }))
    }

    fn publish(&mut self, connection: &mut Connection, record: &Record<'_>) -> Done<Sent> {
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
        if connection.is_too_long(&bytes) {
            let reason = format!("a message of bytes={} is longer than a frame of the server", bytes.len());
            return Ok(Sent::Refused(reason));
        }
        // The first outbox record has the id 1: a stream that knows nobody of the name answers 0.
        let id = record.offset as u64 + 1;
        connection.publish(id, &bytes)?;
        Ok(Sent::Tag(id))
    }

    fn outcome(&mut self, connection: &mut Connection, wait: Duration) -> Done<Option<Outcome>> {
        loop {
            if let Some(tag) = self.confirmed.pop_front() {
                return Ok(Some(Outcome::Confirmed { tag, multiple: false, mark: 0 }));
            }
            match connection.take_event(wait)? {
                Some(Event::Confirmed(ids)) => self.confirmed.extend(ids),
                Some(Event::Refused { id, error }) => {
                    let message =
                        format!("the message with the publishing id {id} was not taken: {}", error.message);
                    return Err(ServerError { message, ..error });
                }
                Some(Event::Chunk(_)) => {}
                None => return Ok(None),
            }
        }
    }

    fn tend(&mut self, connection: &mut Connection) -> Done<()> {
        connection.tend()
    }
}
