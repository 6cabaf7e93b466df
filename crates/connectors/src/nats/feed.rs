//! Brings the messages of a stream: in its order and exactly once by a consumer of our own, or by a durable one that others
//! may share.

use super::connection::Connection;
use super::consumer::{Consumer, Place, nanoseconds};
use super::frames::Message;
use super::options::{ACK_PENDING, ACK_WAIT, DURABLE, LOST_SEQUENCES, SEQUENCE, STARTUP, SUBJECT, TIMESTAMP};
use super::stream::Stream;
use super::{ID, Server};
use crate::landed::Landing;
use crate::messages::{Delivered, Done, ServerError, Subscriber, Tickets, keeps_headers};
use base::ErrorKind;
use base::codec::{CodecError, FieldReader, FieldWriter};
use chrono::DateTime;
use dataflow::feed::FeedRecord;
use dataflow::table::TableDefinition;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Where reading goes on, and in which stream of the name: by when it was made, if that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Spot {
    next: Next,
    created: String,
}

/// A position of this kind says when the stream was made; older ones did not.
const WITH_CREATED: u8 = 2;

impl Spot {
    fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.u8(WITH_CREATED).text(&self.created);
        [out.finish(), self.next.encode()].concat()
    }

    fn decode(bytes: &[u8]) -> Result<Spot, CodecError> {
        if bytes.first() != Some(&WITH_CREATED) {
            return Ok(Spot { next: Next::decode(bytes)?, created: String::new() });
        }
        let mut reader = FieldReader::new(bytes);
        reader.u8()?;
        let created = reader.text()?.to_string();
        let mut head = FieldWriter::new();
        head.u8(WITH_CREATED).text(&created);
        let next = Next::decode(bytes.get(head.finish().len()..).unwrap_or_default())?;
        Ok(Spot { next, created })
    }
}

/// Where reading goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Sequence(u64),
    TimestampMs(i64),
}

impl Default for Next {
    fn default() -> Next {
        Next::Sequence(1)
    }
}

impl Next {
    /// Where something begins that is new.
    fn of(server: &Server, stream: &Stream) -> Next {
        match server.text(STARTUP) {
            Some("latest-offset") => Next::Sequence(stream.last + 1),
            Some("timestamp") => Next::TimestampMs(server.options.integer(TIMESTAMP).unwrap_or(0)),
            Some("specific-offsets") => {
                let sequence =
                    server.options.integer(SEQUENCE).and_then(|sequence| u64::try_from(sequence).ok());
                Next::Sequence(sequence.unwrap_or(1))
            }
            _ => Next::Sequence(stream.first.max(1)),
        }
    }

    /// As JetStream names it.
    fn policy(self) -> (&'static str, Value) {
        match self {
            Next::Sequence(sequence) => ("by_start_sequence", sequence.into()),
            Next::TimestampMs(ms) => {
                let time = DateTime::from_timestamp_millis(ms).unwrap_or_default();
                ("by_start_time", time.to_rfc3339().into())
            }
        }
    }

    fn encode(self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        match self {
            Next::Sequence(sequence) => out.u8(0).u64(sequence),
            Next::TimestampMs(ms) => out.u8(1).i64(ms),
        };
        out.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Next, CodecError> {
        let mut reader = FieldReader::new(bytes);
        let next = match reader.u8()? {
            0 => Next::Sequence(reader.u64()?),
            1 => Next::TimestampMs(reader.i64()?),
            _ => return Err(CodecError { what: "an unknown position" }),
        };
        reader.finish()?;
        Ok(next)
    }
}

/// Reads in the order of the stream.
pub(super) struct Ordered {
    records: Records,
    server: Server,
    spot: Spot,
    /// Of the consumer: nothing may be left out.
    consumed: u64,
    /// With a subject: when it was asked last how far the stream is, and whether the spot has moved by that.
    asked: Duration,
    has_moved: bool,
}

/// How often to ask, while nothing comes, whether the stream has grown by messages with other subjects.
const ASK_INTERVAL: Duration = Duration::from_secs(5);

impl Ordered {
    pub(super) fn new(table: Arc<TableDefinition>, server: Server) -> Ordered {
        Ordered {
            records: Records::new(table),
            server,
            spot: Spot::default(),
            consumed: 0,
            asked: Duration::ZERO,
            has_moved: false,
        }
    }

    /// Makes sure that nothing from the next on was lost before it was read: a server begins with what it still has.
    fn check(&mut self, stream: &Stream) -> Done<()> {
        let name = self.server.stream().to_string();
        let bears_losses = self.server.text(LOST_SEQUENCES) == Some("earliest");
        if !self.spot.created.is_empty() && self.spot.created != stream.created {
            if !bears_losses {
                return Err(ServerError::invalid(format!(
                    "stream={name} was made anew at {}, and the job has read the one that was made at {}; with \
                     '{LOST_SEQUENCES}' = 'earliest' it goes on at the beginning of the new one",
                    stream.created, self.spot.created
                )));
            }
            self.spot.next = Next::Sequence(stream.first.max(1));
        }
        self.spot.created.clone_from(&stream.created);
        let Next::Sequence(next) = self.spot.next else { return Ok(()) };
        if next > stream.last + 1 {
            return Err(ServerError::invalid(format!(
                "stream={name} ends at sequence={}, and the job has read up to sequence={}: it was made anew, or its server \
                 has lost what it had; start a new job",
                stream.last,
                next - 1
            )));
        }
        if next < stream.first && !bears_losses {
            // Nobody knows the subjects of what is deleted.
            let what = match self.server.text(SUBJECT) {
                None => "messages were deleted before they were read".to_string(),
                Some(subject) => format!(
                    "messages were deleted before they were looked at, which may have had the subject '{subject}' or others"
                ),
            };
            return Err(ServerError::invalid(format!(
                "stream={name} sequence={next} is not on the server any more (it begins at sequence={}): {what}; with \
                 '{LOST_SEQUENCES}' = 'earliest' the job goes on without them",
                stream.first
            )));
        }
        Ok(())
    }

    /// What the stream has got of other subjects is passed over, so that nobody misses it when it is deleted. The stream is
    /// asked first: what the consumer then has left to deliver came later.
    fn pass_over(&mut self, connection: &mut Connection, consumer: &Consumer) -> Done<()> {
        if self.server.text(SUBJECT).is_none() || connection.now().saturating_sub(self.asked) < ASK_INTERVAL {
            return Ok(());
        }
        self.asked = connection.now();
        let stream = Stream::find(connection, self.server.stream())?;
        let has_all = consumer.has_delivered(connection, self.consumed)?;
        if let Next::Sequence(next) = self.spot.next
            && has_all
            && stream.last >= next
            && connection.waiting().next().is_none()
        {
            self.spot.next = Next::Sequence(stream.last + 1);
            self.has_moved = true;
        }
        Ok(())
    }
}

impl Subscriber for Ordered {
    type Connection = (Connection, Consumer);

    fn open(&mut self, position: Option<&[u8]>) -> Done<(Connection, Consumer)> {
        let mut connection = self.server.connect()?;
        let stream = Stream::find(&mut connection, self.server.stream())?;
        (self.asked, self.has_moved) = (connection.now(), false);
        match position.map(Spot::decode) {
            None => {
                let next = Next::of(&self.server, &stream);
                self.spot = Spot { next, created: stream.created.clone() };
            }
            Some(Ok(spot)) => {
                self.spot = spot;
                self.check(&stream)?;
            }
            Some(Err(error)) => return Err(ServerError::new(ErrorKind::Corrupt, error.to_string())),
        }
        self.consumed = 0;
        let filter = self.server.text(SUBJECT);
        let made =
            Consumer::make(&mut connection, self.server.stream(), self.spot.next.policy(), filter, false);
        let consumer = made.map_err(|error| match error.kind {
            ErrorKind::Invalid => ServerError {
                message: format!(
                    "{}; a stream that is a work queue is read with '{DURABLE}' = '…'",
                    error.message
                ),
                ..error
            },
            _ => error,
        })?;
        Ok((connection, consumer))
    }

    fn take(
        &mut self,
        (connection, consumer): &mut Self::Connection,
        wait: Duration,
    ) -> Done<Option<Delivered>> {
        let Some((place, message)) = consumer.take(connection, wait)? else {
            self.pass_over(connection, consumer)?;
            return Ok(None);
        };
        if place.consumed != self.consumed + 1 {
            let message = format!("messages are missing behind the consumer's sequence={}", self.consumed);
            return Err(ServerError::new(ErrorKind::Retry, message));
        }
        self.consumed = place.consumed;
        self.spot.next = Next::Sequence(place.sequence + 1);
        let bytes = message.bytes();
        Ok(Some(Delivered { ticket: 0, bytes, record: self.records.of(message, place, None) }))
    }

    fn position(&self) -> Option<Vec<u8>> {
        Some(self.spot.encode())
    }

    fn settled(&mut self) -> Option<u64> {
        std::mem::take(&mut self.has_moved).then_some(0)
    }

    /// The position says it.
    fn confirm(&mut self, _connection: &mut Self::Connection, _ticket: u64) -> Done<()> {
        Ok(())
    }

    fn tend(&mut self, (connection, _): &mut Self::Connection) -> Done<()> {
        connection.tend()
    }
}

/// Reads by a durable consumer, and acknowledges what has landed.
pub(super) struct Acknowledged {
    records: Records,
    server: Server,
    /// The subjects by which messages are acknowledged.
    tickets: Tickets<String>,
    ack_wait: Duration,
    /// When the server was told last that messages are held.
    told: Duration,
    /// When the stream was made: sequences of another one are no messages that were there before.
    created: String,
}

impl Acknowledged {
    pub(super) fn new(table: Arc<TableDefinition>, server: Server) -> Acknowledged {
        let (tickets, told) = (Tickets::default(), Duration::ZERO);
        let created = String::new();
        Acknowledged {
            records: Records::new(table),
            server,
            tickets,
            ack_wait: Duration::ZERO,
            told,
            created,
        }
    }

    /// Finds the consumer, or makes it.
    fn consumer(&self, connection: &mut Connection) -> Done<Value> {
        let (stream, name) = (self.server.stream(), self.server.text(DURABLE).unwrap_or_default());
        let found = connection.ask(&format!("CONSUMER.INFO.{stream}.{name}"), &Value::Null);
        if !matches!(&found, Err(error) if error.kind == ErrorKind::NotFound) {
            return Ok(found?["config"].take());
        }
        let about = Stream::find(connection, stream)?;
        let (policy, from) = Next::of(&self.server, &about).policy();
        let ack_wait = Duration::from_millis(self.server.options.duration_ms(ACK_WAIT).unwrap_or(30_000));
        let mut config = json!({
            "durable_name": name, "deliver_policy": policy, "ack_policy": "explicit", "replay_policy": "instant",
            "ack_wait": nanoseconds(ack_wait), "max_ack_pending": self.server.options.integer(ACK_PENDING),
        });
        config[if policy == "by_start_time" { "opt_start_time" } else { "opt_start_seq" }] = from;
        if self.server.text(STARTUP) == Some("earliest-offset") {
            // Work queues take no other policy.
            config["deliver_policy"] = "all".into();
            config.as_object_mut().map(|config| config.remove("opt_start_seq"));
        }
        if let Some(filter) = self.server.text(SUBJECT) {
            config["filter_subject"] = filter.into();
        }
        let request = json!({"stream_name": stream, "config": config});
        let answer = connection.ask(&format!("CONSUMER.DURABLE.CREATE.{stream}.{name}"), &request);
        Ok(answer?["config"].take())
    }
}

impl Subscriber for Acknowledged {
    type Connection = (Connection, Consumer);

    fn open(&mut self, _position: Option<&[u8]>) -> Done<(Connection, Consumer)> {
        let mut connection = self.server.connect()?;
        self.tickets = Tickets::default();
        let config = self.consumer(&mut connection)?;
        let name = self.server.text(DURABLE).unwrap_or_default();
        if config["deliver_subject"].is_string() || config["ack_policy"] != "explicit" {
            return Err(ServerError::invalid(format!(
                "the consumer '{name}' is no pull consumer that acknowledges each message; name another in '{DURABLE}'"
            )));
        }
        self.ack_wait = Duration::from_nanos(config["ack_wait"].as_u64().unwrap_or(30_000_000_000));
        self.told = connection.now();
        self.created = Stream::find(&mut connection, self.server.stream())?.created;
        Ok((connection, Consumer::of(self.server.stream(), name)))
    }

    fn take(
        &mut self,
        (connection, consumer): &mut Self::Connection,
        wait: Duration,
    ) -> Done<Option<Delivered>> {
        let Some((place, message)) = consumer.take(connection, wait)? else { return Ok(None) };
        let bytes = message.bytes();
        let ticket = self.tickets.give(message.reply.clone().unwrap_or_default());
        let id = format!("{}@{}:{}", self.server.stream(), self.created, place.sequence).into_bytes();
        Ok(Some(Delivered { ticket, bytes, record: self.records.of(message, place, Some(id)) }))
    }

    fn confirm(&mut self, (connection, _): &mut Self::Connection, ticket: u64) -> Done<()> {
        for subject in self.tickets.settle(ticket) {
            connection.put(&subject, None, &[], b"+ACK")?;
        }
        connection.flush()
    }

    /// What was delivered and is not taken yet would come again after a while: the server is told that it is held.
    fn tend(&mut self, (connection, _): &mut Self::Connection) -> Done<()> {
        connection.tend()?;
        if connection.now().saturating_sub(self.told) < self.ack_wait / 3 {
            return Ok(());
        }
        self.told = connection.now();
        let held: Vec<String> = connection.waiting().filter_map(|message| message.reply.clone()).collect();
        for subject in held.iter().filter(|subject| Place::parse(subject).is_some()) {
            connection.put(subject, None, &[], b"+WPI")?;
        }
        connection.flush()
    }
}

/// Makes records of messages.
struct Records {
    table: Arc<TableDefinition>,
    keeps_headers: bool,
}

impl Records {
    fn new(table: Arc<TableDefinition>) -> Records {
        Records { keeps_headers: keeps_headers(&table), table }
    }

    fn of(&self, message: Message, place: Place, id: Option<Vec<u8>>) -> FeedRecord {
        let timestamp_ms = i64::try_from(place.timestamp_ns / 1_000_000).unwrap_or(0);
        let number = |number: u64| i64::try_from(number).ok();
        let mut landing = Landing::new(&self.table);
        landing.text("subject", Some(&message.subject));
        landing.number("sequence", number(place.sequence));
        landing.number("delivery-count", number(place.deliveries));
        landing.number("timestamp", Some(timestamp_ms));
        landing.text("message-id", message.header(ID).as_deref());
        if let Some(problem) = &message.problem {
            landing.unreadable(&format!("the headers of the message cannot be read: {problem}"));
        }
        landing.headers(message.headers, self.keeps_headers);
        FeedRecord {
            partition: 0,
            timestamp_ms,
            key: None,
            value: Some(message.payload),
            headers: landing.finish(),
            id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        for next in [Next::Sequence(7), Next::TimestampMs(1_700_000_000_000)] {
            let bytes = next.encode();
            assert_eq!(Next::decode(&bytes), Ok(next));
            for length in 0..bytes.len() {
                assert!(Next::decode(&bytes[..length]).is_err(), "cut to {length} bytes");
            }
        }
        assert!(Next::decode(&[9; 9]).is_err());
        let spot = Spot { next: Next::Sequence(7), created: "2026-11-29T12:00:00Z".into() };
        let bytes = spot.encode();
        assert_eq!(Spot::decode(&bytes), Ok(spot));
        for length in 0..bytes.len() {
            assert!(Spot::decode(&bytes[..length]).is_err(), "cut to {length} bytes");
        }
        // As it was written before.
        let older = Spot { next: Next::Sequence(7), created: String::new() };
        assert_eq!(Spot::decode(&Next::Sequence(7).encode()), Ok(older));
        assert_eq!(Next::TimestampMs(1).policy().1, "1970-01-01T00:00:00.001+00:00");
    }
}
