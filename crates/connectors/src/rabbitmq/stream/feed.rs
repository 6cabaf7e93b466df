//! Brings the messages of a stream. Its position is the offset of the next message.

use super::chunk::Chunk;
use super::connection::{Connection, Event, Start};
use super::open;
use super::options::{LOST_OFFSETS, STREAM};
use crate::amqp::Message;
use crate::landed::Landing;
use crate::messages::{Access, Delivered, Done, ServerError, Subscriber, is_time, keeps_headers};
use crate::rabbitmq::messages::Described;
use crate::rabbitmq::server::Login;
use auth::socket::monotonic;
use base::ErrorKind;
use base::codec::{CodecError, FieldReader, FieldWriter};
use base::options::Options;
use dataflow::feed::FeedRecord;
use dataflow::table::TableDefinition;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Chunks that the server sends ahead.
const CREDIT: u16 = 8;
/// How long the first chunk of a stream is waited for; none comes of one that is empty.
const FIRST_CHUNK_WAIT: Duration = Duration::from_secs(1);

pub(super) struct StreamFeed {
    table: Arc<TableDefinition>,
    access: Access,
    login: Login,
    options: Options,
    name: String,
    stream: String,
    keeps_headers: bool,
    /// Where it goes on.
    next: Start,
    /// Messages of a chunk, with their offsets.
    taken: VecDeque<(i64, Delivered)>,
}

impl StreamFeed {
    pub(super) fn new(
        table: Arc<TableDefinition>,
        access: Access,
        options: Options,
        name: String,
    ) -> StreamFeed {
        StreamFeed {
            stream: options.text(STREAM).unwrap_or_default().to_string(),
            keeps_headers: keeps_headers(&table),
            table,
            login: Login::of(&options),
            access,
            options,
            name,
            next: Start::First,
            taken: VecDeque::new(),
        }
    }

    /// Where a job begins that is new. What is latest now means the same after a restart, so it is said by the clock.
    fn begin(&self) -> Start {
        match self.options.text("scan.startup.mode") {
            Some("latest-offset") => Start::TimestampMs(self.access.os().clock.now_ms()),
            Some("timestamp") => {
                Start::TimestampMs(self.options.integer("scan.startup.timestamp-millis").unwrap_or(0))
            }
            Some("specific-offsets") => Start::Offset(super::specific_offset(&self.options).unwrap_or(0)),
            _ => Start::First,
        }
    }

    fn connect(&mut self) -> Done<Connection> {
        let mut connection = open(&self.access, &self.login, &self.name)?;
        if let Start::Offset(next) = self.next {
            self.find_first(&mut connection, next)?;
        }
        connection
            .subscribe(&self.stream, self.next, CREDIT)
            .map_err(|error| missing(error, &self.stream))?;
        Ok(connection)
    }

    /// Makes sure that nothing from `next` on was deleted before it was read: a server begins with what it still has.
    fn find_first(&self, connection: &mut Connection, next: i64) -> Done<()> {
        connection.subscribe(&self.stream, Start::First, 1).map_err(|error| missing(error, &self.stream))?;
        let first = self.first_offset(connection)?;
        connection.unsubscribe()?;
        match first {
            Some(first) if first > next && self.options.text(LOST_OFFSETS) != Some("earliest") => {
                Err(ServerError::new(
                    ErrorKind::Invalid,
                    format!(
                        "stream={} offset={next} is not on the server any more (it begins at offset={first}): messages \
                         were deleted before they were read; with '{LOST_OFFSETS}' = 'earliest' the job goes on without \
                         them",
                        self.stream
                    ),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Where the first chunk begins; none if none comes. One that has begun to come is waited for longer.
    fn first_offset(&self, connection: &mut Connection) -> Result<Option<i64>, ServerError> {
        let clock = self.access.os().clock.clone();
        let begun = monotonic(&*clock);
        loop {
            let limit = match connection.is_receiving() {
                true => self.access.timeout().max(FIRST_CHUNK_WAIT),
                false => FIRST_CHUNK_WAIT,
            };
            let left = limit.saturating_sub(monotonic(&*clock).saturating_sub(begun));
            // In short looks, so that heartbeats go on.
            match connection.take_event(left.min(FIRST_CHUNK_WAIT))? {
                Some(Event::Chunk(bytes)) => return Ok(Some(Chunk::parse(bytes)?.first_offset)),
                None if left.is_zero() && connection.is_receiving() => {
                    return Err(ServerError::unavailable(
                        "the first chunk of the stream has not come in time",
                    ));
                }
                None if left.is_zero() => return Ok(None),
                Some(Event::Confirmed(_) | Event::Refused { .. }) | None => {}
            }
        }
    }

    /// Takes a chunk's messages from the next offset on: a chunk begins before it, or at it.
    fn take_chunk(&mut self, bytes: Vec<u8>) -> Done<()> {
        let chunk = Chunk::parse(bytes)?;
        let end = chunk.first_offset.saturating_add(chunk.messages.len() as i64);
        for (offset, bytes) in (chunk.first_offset..).zip(&chunk.messages) {
            if matches!(self.next, Start::Offset(next) if offset < next) {
                continue;
            }
            let record = self.record(Message::of(bytes), offset, chunk.timestamp_ms);
            self.taken.push_back((offset, Delivered { ticket: 0, bytes: bytes.len(), record }));
        }
        if self.taken.is_empty() {
            self.next = match self.next {
                Start::Offset(next) => Start::Offset(next.max(end)),
                Start::First | Start::TimestampMs(_) => Start::Offset(end),
            };
        }
        Ok(())
    }

    fn record(&self, message: Message, offset: i64, written_ms: i64) -> FeedRecord {
        let described = Described {
            content_type: message.content_type,
            content_encoding: message.content_encoding,
            correlation_id: message.correlation_id,
            reply_to: message.reply_to,
            message_id: message.message_id,
            user_id: message.user_id,
            timestamp_ms: message.timestamp_ms,
            headers: message.headers,
        };
        let told_ms = described.timestamp_ms.or(Some(written_ms).filter(is_time));
        let timestamp_ms = told_ms.unwrap_or_else(|| self.access.os().clock.now_ms());
        let mut landing = Landing::new(&self.table);
        landing.number("offset", Some(offset));
        landing.text("to", message.to.as_deref());
        landing.text("subject", message.subject.as_deref());
        landing.text("group-id", message.group_id.as_deref());
        described.land(&mut landing, self.keeps_headers);
        FeedRecord {
            partition: 0,
            timestamp_ms,
            key: None,
            value: Some(message.body),
            headers: landing.finish(),
            id: None,
        }
    }
}

/// Says what to do about a stream that is not there.
pub(super) fn missing(error: ServerError, stream: &str) -> ServerError {
    match error.kind {
        ErrorKind::NotFound => {
            ServerError { message: format!("{}; create the stream '{stream}'", error.message), ..error }
        }
        _ => error,
    }
}

fn position(start: Start) -> Vec<u8> {
    let mut out = FieldWriter::new();
    match start {
        Start::First => out.u8(0).i64(0),
        Start::Offset(offset) => out.u8(1).i64(offset),
        Start::TimestampMs(ms) => out.u8(2).i64(ms),
    };
    out.finish()
}

fn read_position(bytes: &[u8]) -> Result<Option<Start>, CodecError> {
    let mut reader = FieldReader::new(bytes);
    let (kind, value) = (reader.u8()?, reader.i64()?);
    reader.finish()?;
    Ok(match kind {
        0 => Some(Start::First),
        1 => Some(Start::Offset(value)),
        2 => Some(Start::TimestampMs(value)),
        _ => None,
    })
}

impl Subscriber for StreamFeed {
    type Connection = Connection;

    fn open(&mut self, position: Option<&[u8]>) -> Done<Connection> {
        self.taken.clear();
        self.next = match position.map(read_position) {
            None => self.begin(),
            Some(Ok(Some(next))) => next,
            Some(_) => return Err(ServerError::new(ErrorKind::Corrupt, "its position cannot be read")),
        };
        self.connect()
    }

    fn take(&mut self, connection: &mut Connection, wait: Duration) -> Done<Option<Delivered>> {
        loop {
            if let Some((offset, delivered)) = self.taken.pop_front() {
                self.next = Start::Offset(offset.saturating_add(1));
                return Ok(Some(delivered));
            }
            match connection.take_event(wait)? {
                Some(Event::Chunk(chunk)) => {
                    self.take_chunk(chunk)?;
                    connection.credit(1)?;
                }
                Some(Event::Confirmed(_) | Event::Refused { .. }) => {}
                None => return Ok(None),
            }
        }
    }

    fn position(&self) -> Option<Vec<u8>> {
        Some(position(self.next))
    }

    /// The position says it.
    fn confirm(&mut self, _connection: &mut Connection, _ticket: u64) -> Done<()> {
        Ok(())
    }

    fn tend(&mut self, connection: &mut Connection) -> Done<()> {
        connection.tend()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        for start in [Start::First, Start::Offset(7), Start::TimestampMs(1_700_000_000_000)] {
            let bytes = position(start);
            assert_eq!(read_position(&bytes).unwrap(), Some(start));
            for length in 0..bytes.len() {
                assert!(read_position(&bytes[..length]).is_err(), "cut to {length} bytes");
            }
        }
        let mut unknown = FieldWriter::new();
        unknown.u8(9).i64(0);
        assert_eq!(read_position(&unknown.finish()).unwrap(), None);
    }
}
