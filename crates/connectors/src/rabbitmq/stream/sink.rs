//! Publishes messages to a stream, each once: a message's publishing id is its outbox offset, of which the stream itself
//! keeps the highest by the publisher's name, and takes none twice.
//!
//! A server that refuses one message and takes later ones takes the refused one no more: its id is below the highest. So the
//! log knows how far all is confirmed, and the highest that is; such a message is a dead letter.

use super::connection::{Connection, Event};
use super::feed::missing;
use super::open;
use super::options::{PRODUCER, STREAM};
use crate::amqp::Message;
use crate::landed::Carried;
use crate::messages::{Access, Done, Outcome, Publisher, Sent, SinkParts, short_name};
use crate::positions::Position;
use crate::rabbitmq::messages::Described;
use crate::rabbitmq::server::Login;
use kafka_wire::records::Record;
use std::collections::{BTreeSet, VecDeque};
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
    /// Outbox offsets that the server has refused.
    refused: BTreeSet<i64>,
    /// Before which the stream takes nothing more.
    taken_to: i64,
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
            refused: BTreeSet::new(),
            taken_to: 0,
        }
    }
}

impl Publisher for StreamPublisher {
    type Connection = Connection;

    const MARKS_GAPS: bool = true;

    fn open(&mut self, known: Position) -> Done<(Connection, Position)> {
        self.confirmed.clear();
        let mut connection = open(&self.access, &self.login, &self.name)?;
        let highest = connection.declare_publisher(&self.name, &self.stream);
        let highest = highest.map_err(|error| missing(error, &self.stream))?;
        // The id is one more than the offset, and so the offset of the next.
        self.taken_to = highest as i64;
        let mut offset = self.taken_to;
        if known.mark > known.offset as u64 && known.offset < self.taken_to {
            self.refused.insert(known.offset);
            offset = known.offset;
        }
        Ok((connection, Position { offset, mark: highest }))
    }

    fn publish(&mut self, connection: &mut Connection, record: &Record<'_>) -> Done<Sent> {
        if self.refused.contains(&record.offset) && record.offset < self.taken_to {
            let reason =
                "the server has refused it and taken later ones, and takes its publishing id no more";
            return Ok(Sent::Refused(reason.into()));
        }
        let carried = Carried::of(record);
        let described = Described::of(&carried, record.timestamp);
        let message = Message {
            message_id: described.message_id.or_else(|| Some(format!("{}-{}", self.name, record.offset))),
            to: carried.text("to"),
            subject: carried.text("subject"),
            reply_to: described.reply_to,
            correlation_id: described.correlation_id,
            content_type: described.content_type.or_else(|| self.content_type.clone()),
            content_encoding: described.content_encoding,
            timestamp_ms: described.timestamp_ms,
            group_id: carried.text("group-id"),
            headers: described.headers,
            body: record.value.unwrap_or_default().to_vec(),
            ..Message::default()
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
                return Ok(Some(Outcome::Confirmed { tag, multiple: false, mark: tag }));
            }
            match connection.take_event(wait)? {
                Some(Event::Confirmed(ids)) => self.confirmed.extend(ids),
                Some(Event::Refused { id, error }) => {
                    let reason =
                        format!("the message with the publishing id {id} was not taken: {}", error.message);
                    self.refused.insert(id as i64 - 1);
                    return Ok(Some(Outcome::NotTaken { tag: id, multiple: false, reason }));
                }
                Some(Event::Chunk(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// Until then a dead letter may not lie in its topic, and the message be asked for again.
    fn kept(&mut self, _connection: &mut Connection, offset: i64) -> Done<()> {
        self.refused = self.refused.split_off(&offset);
        Ok(())
    }

    fn tend(&mut self, connection: &mut Connection) -> Done<()> {
        connection.tend()
    }
}
