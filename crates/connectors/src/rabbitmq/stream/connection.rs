//! RabbitMQ's stream protocol from a client's side, blocking: a connection that logs in, subscribes to a stream or
//! publishes to it. The protocol is described in RabbitMQ's own sources (`rabbitmq_stream/docs/PROTOCOL.adoc`).

use super::super::amqp::Reader;
use crate::messages::Line;
use crate::messages::{Done, ServerError};
use auth::socket::Secured;
use base::ErrorKind;
use os::Clock;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A chunk comes in one frame, whatever was agreed on for others.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// What we agree to for what we send, if the server allows more.
const SENT_BYTES_MAX: u32 = 1 << 20;
/// The least that a server may ask for.
const SENT_BYTES_MIN: u32 = 4096;
/// While so much waits to be taken, nothing more is read.
const EVENTS_BYTES_MAX: usize = 64 << 20;
const VERSION: u16 = 1;
/// By user and password; RabbitMQ 3.10 crashes at EXTERNAL in this protocol.
const MECHANISM: &str = "PLAIN";
const IS_ANSWER: u16 = 0x8000;
/// The only publisher and the only subscription of a connection.
const ID: u8 = 1;

mod key {
    pub(super) const DECLARE_PUBLISHER: u16 = 1;
    pub(super) const PUBLISH: u16 = 2;
    pub(super) const PUBLISH_CONFIRM: u16 = 3;
    pub(super) const PUBLISH_ERROR: u16 = 4;
    pub(super) const QUERY_PUBLISHER_SEQUENCE: u16 = 5;
    pub(super) const SUBSCRIBE: u16 = 7;
    pub(super) const DELIVER: u16 = 8;
    pub(super) const CREDIT: u16 = 9;
    pub(super) const UNSUBSCRIBE: u16 = 12;
    pub(super) const METADATA_UPDATE: u16 = 16;
    pub(super) const PEER_PROPERTIES: u16 = 17;
    pub(super) const SASL_HANDSHAKE: u16 = 18;
    pub(super) const SASL_AUTHENTICATE: u16 = 19;
    pub(super) const TUNE: u16 = 20;
    pub(super) const OPEN: u16 = 21;
    pub(super) const CLOSE: u16 = 22;
    pub(super) const HEARTBEAT: u16 = 23;
}

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    First,
    /// With the chunk that holds it.
    Offset(i64),
    /// With the first chunk that was written then or later.
    TimestampMs(i64),
}

/// Who logs in, and to what.
pub(super) struct Login<'a> {
    pub user: &'a str,
    pub password: &'a str,
    pub virtual_host: &'a str,
    pub heartbeat: Duration,
    pub name: &'a str,
}

/// What the server sends by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    Chunk(Vec<u8>),
    Confirmed(Vec<u64>),
    /// A message was not taken, with the server's reason.
    Refused {
        id: u64,
        error: ServerError,
    },
}

pub(super) struct Connection {
    line: Line,
    /// What we send in one frame at most.
    sent_bytes_max: usize,
    correlation: u32,
    reply: Option<(u16, Vec<u8>)>,
    events: VecDeque<Event>,
    events_bytes: usize,
    is_open: bool,
    /// Messages of a frame that is not complete, and how many.
    publishing: Vec<u8>,
    publishing_count: u32,
}

impl Connection {
    pub(super) fn open(
        stream: Secured,
        clock: Arc<dyn Clock>,
        timeout: Duration,
        login: &Login<'_>,
    ) -> Done<Connection> {
        let mut connection = Connection {
            line: Line::new(stream, clock, timeout),
            sent_bytes_max: SENT_BYTES_MIN as usize,
            correlation: 0,
            reply: None,
            events: VecDeque::new(),
            events_bytes: 0,
            is_open: false,
            publishing: Vec::new(),
            publishing_count: 0,
        };
        connection.introduce(login.name)?;
        connection.log_in(login)?;
        connection.tune(login)?;
        connection.call(key::OPEN, |out| put_text(out, login.virtual_host))?;
        connection.is_open = true;
        Ok(connection)
    }

    /// Says how the connection is called in the server's lists.
    fn introduce(&mut self, name: &str) -> Done<()> {
        let properties = [("product", "eventwright"), ("connection_name", name)];
        self.call(key::PEER_PROPERTIES, |out| {
            out.extend_from_slice(&(properties.len() as u32).to_be_bytes());
            for (name, value) in properties {
                put_text(out, name);
                put_text(out, value);
            }
        })
        .map(drop)
    }

    fn log_in(&mut self, login: &Login<'_>) -> Done<()> {
        let offered = self.call(key::SASL_HANDSHAKE, |_| {})?;
        let mut reader = Reader(&offered);
        let count = reader.u32()?;
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(text(&mut reader)?);
        }
        if !names.iter().any(|name| name == MECHANISM) {
            let message =
                format!("the server does not let in by {MECHANISM}, but only by {}", names.join(" "));
            return Err(ServerError::new(ErrorKind::Invalid, message));
        }
        let response = format!("\0{}\0{}", login.user, login.password).into_bytes();
        self.call(key::SASL_AUTHENTICATE, |out| {
            put_text(out, MECHANISM);
            put_bytes(out, &response);
        })
        .map(drop)
    }

    fn tune(&mut self, login: &Login<'_>) -> Done<()> {
        let until = self.line.answer_until();
        let tune = loop {
            match self.reply.take() {
                Some((key::TUNE, content)) => break content,
                Some((key, _)) => return Err(unexpected(key)),
                None => self.receive(self.line.left(until)?)?,
            }
        };
        let mut reader = Reader(&tune);
        let (frame_bytes_max, heartbeat_s) = (reader.u32()?, reader.u32()?);
        // Zero is no limit, and no heartbeat.
        let agreed = match frame_bytes_max {
            0 => SENT_BYTES_MAX,
            limit => limit.clamp(SENT_BYTES_MIN, SENT_BYTES_MAX),
        };
        let wanted_s = u32::try_from(login.heartbeat.as_secs()).unwrap_or(u32::MAX);
        let heartbeat_s = if heartbeat_s == 0 { wanted_s } else { wanted_s.min(heartbeat_s) };
        self.sent_bytes_max = agreed as usize;
        self.line.set_heartbeat(Duration::from_secs(heartbeat_s.into()));
        self.put(key::TUNE, |out| {
            out.extend_from_slice(&agreed.to_be_bytes());
            out.extend_from_slice(&heartbeat_s.to_be_bytes());
        });
        self.flush()
    }

    /// Has the chunks of a stream delivered, so many until more credit is given.
    pub(super) fn subscribe(&mut self, stream: &str, start: Start, credit: u16) -> Done<()> {
        self.call(key::SUBSCRIBE, |out| {
            out.push(ID);
            put_text(out, stream);
            let (kind, value) = match start {
                Start::First => (1_u16, None),
                Start::Offset(offset) => (4, Some(offset)),
                Start::TimestampMs(ms) => (5, Some(ms)),
            };
            out.extend_from_slice(&kind.to_be_bytes());
            out.extend(value.iter().flat_map(|value| value.to_be_bytes()));
            out.extend_from_slice(&credit.to_be_bytes());
        })
        .map(drop)
    }

    /// Ends the subscription; what was delivered of it and not taken is void.
    pub(super) fn unsubscribe(&mut self) -> Done<()> {
        self.call(key::UNSUBSCRIBE, |out| out.push(ID))?;
        self.events.clear();
        self.events_bytes = 0;
        Ok(())
    }

    /// Allows so many more chunks.
    pub(super) fn credit(&mut self, chunks: u16) -> Done<()> {
        self.put(key::CREDIT, |out| {
            out.push(ID);
            out.extend_from_slice(&chunks.to_be_bytes());
        });
        self.flush()
    }

    /// Publishes under a name from now on; answers the highest id that the stream has of it, or 0.
    pub(super) fn declare_publisher(&mut self, name: &str, stream: &str) -> Done<u64> {
        self.call(key::DECLARE_PUBLISHER, |out| {
            out.push(ID);
            put_text(out, name);
            put_text(out, stream);
        })?;
        let known = self.call(key::QUERY_PUBLISHER_SEQUENCE, |out| {
            put_text(out, name);
            put_text(out, stream);
        })?;
        Reader(&known).u64()
    }

    /// Whether a message is so long that it fits into no frame.
    pub(super) fn is_too_long(&self, message: &[u8]) -> bool {
        message.len() + PUBLISH_OVERHEAD + MESSAGE_OVERHEAD > self.sent_bytes_max
    }

    /// Puts a message on its way; its id is higher than those before. [`Connection::flush`] sends what is left.
    pub(super) fn publish(&mut self, id: u64, message: &[u8]) -> Done<()> {
        let bytes = self.publishing.len() + message.len() + MESSAGE_OVERHEAD + PUBLISH_OVERHEAD;
        if bytes > self.sent_bytes_max {
            self.flush()?;
        }
        self.publishing.extend_from_slice(&id.to_be_bytes());
        put_bytes(&mut self.publishing, message);
        self.publishing_count += 1;
        Ok(())
    }

    /// Sends all that is on its way.
    pub(super) fn flush(&mut self) -> Done<()> {
        let (messages, count) = (std::mem::take(&mut self.publishing), self.publishing_count);
        self.publishing_count = 0;
        if count > 0 {
            self.put(key::PUBLISH, |out| {
                out.push(ID);
                out.extend_from_slice(&count.to_be_bytes());
                out.extend_from_slice(&messages);
            });
        }
        let Err(error) = self.line.send() else { return Ok(()) };
        // A server that closes the connection has said why.
        self.receive(Duration::ZERO)?;
        Err(error)
    }

    /// The next thing that the server has sent by itself, after waiting for it for so long at most.
    pub(super) fn take_event(&mut self, wait: Duration) -> Done<Option<Event>> {
        if self.events.is_empty() {
            self.wait(wait)?;
        }
        let event = self.events.pop_front();
        if let Some(Event::Chunk(bytes)) = &event {
            self.events_bytes -= bytes.len();
        }
        Ok(event)
    }

    /// Whether a part of a frame has come.
    pub(super) fn is_receiving(&self) -> bool {
        !self.line.incoming.is_empty()
    }

    /// Reads what has come, after waiting for it for so long at most; nothing while much waits to be taken.
    fn wait(&mut self, wait: Duration) -> Done<()> {
        self.flush()?;
        if self.events_bytes < EVENTS_BYTES_MAX {
            self.receive(wait)?;
        }
        // Nobody would take it, and nothing behind it would be read.
        if let Some((key, _)) = &self.reply {
            return Err(unexpected(*key));
        }
        self.beat()
    }

    /// Sends a heartbeat in good time, and notices when none comes.
    fn beat(&mut self) -> Done<()> {
        if self.line.beat(self.events_bytes >= EVENTS_BYTES_MAX)? {
            self.put(key::HEARTBEAT, |_| {});
            self.flush()?;
        }
        Ok(())
    }

    /// Keeps the connection alive.
    pub(super) fn tend(&mut self) -> Done<()> {
        self.wait(Duration::ZERO)
    }

    /// A frame without a correlation.
    fn put(&mut self, key: u16, content: impl FnOnce(&mut Vec<u8>)) {
        let out = &mut self.line.outgoing;
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&key.to_be_bytes());
        out.extend_from_slice(&VERSION.to_be_bytes());
        content(out);
        let length = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Asks, and waits for what stands behind the answer's code.
    fn call(&mut self, key: u16, content: impl FnOnce(&mut Vec<u8>)) -> Done<Vec<u8>> {
        self.correlation = self.correlation.wrapping_add(1);
        let correlation = self.correlation;
        self.put(key, |out| {
            out.extend_from_slice(&correlation.to_be_bytes());
            content(out);
        });
        self.flush()?;
        let until = self.line.answer_until();
        loop {
            match self.reply.take() {
                None => {
                    self.receive(self.line.left(until)?)?;
                    self.beat()?;
                }
                Some((found, content)) if found == key | IS_ANSWER => {
                    let mut reader = Reader(&content);
                    if reader.u32()? == correlation {
                        answered(reader.u16()?)?;
                        return Ok(reader.0.to_vec());
                    }
                }
                Some((found, _)) => return Err(unexpected(found)),
            }
        }
    }

    /// Reads once, and takes the frames that are whole, up to an answer.
    fn receive(&mut self, wait: Duration) -> Done<()> {
        // An answer was taken, and frames may lie behind it.
        if self.take_frames()? {
            return Ok(());
        }
        if self.line.receive(wait)? {
            self.take_frames()?;
        }
        Ok(())
    }

    /// Whether there was one.
    fn take_frames(&mut self) -> Done<bool> {
        let incoming = std::mem::take(&mut self.line.incoming);
        let mut start = 0;
        while self.reply.is_none()
            && let Some(frame) = parse(&incoming[start..])?
        {
            self.take(frame)?;
            start += frame.len() + 4;
        }
        self.line.incoming = incoming;
        self.line.incoming.drain(..start);
        Ok(start > 0)
    }

    fn take(&mut self, frame: &[u8]) -> Done<()> {
        let mut reader = Reader(frame);
        let (key, version) = (reader.u16()?, reader.u16()?);
        match key {
            key::HEARTBEAT => {}
            key::DELIVER => {
                reader.u8()?;
                if version > 1 {
                    // The committed chunk.
                    reader.u64()?;
                }
                self.events_bytes += reader.0.len();
                self.events.push_back(Event::Chunk(reader.0.to_vec()));
            }
            key::PUBLISH_CONFIRM => {
                reader.u8()?;
                let count = reader.u32()? as usize;
                let ids = reader.take(count.saturating_mul(8))?.chunks_exact(8);
                let ids = ids.map(|id| Reader(id).u64()).collect::<Done<_>>()?;
                self.events.push_back(Event::Confirmed(ids));
            }
            key::PUBLISH_ERROR => {
                reader.u8()?;
                for _ in 0..reader.u32()? {
                    let (id, code) = (reader.u64()?, reader.u16()?);
                    if let Err(error) = answered(code) {
                        self.events.push_back(Event::Refused { id, error });
                    }
                }
            }
            key::METADATA_UPDATE => {
                // Whether the stream is gone is seen when it is opened again.
                return Err(ServerError::new(
                    ErrorKind::Retry,
                    "the server says that the stream was deleted, or moves",
                ));
            }
            key::CLOSE => {
                reader.u32()?;
                let (code, reason) = (reader.u16()?, text(&mut reader)?);
                self.is_open = false;
                let error = answered(code).err().map_or(ErrorKind::Unavailable, |error| error.kind);
                return Err(ServerError::new(
                    error,
                    format!("the server has closed the connection: {reason}"),
                ));
            }
            // Only an error is answered to credit.
            key if key == key::CREDIT | IS_ANSWER => answered(reader.u16()?)?,
            key => self.reply = Some((key, reader.0.to_vec())),
        }
        Ok(())
    }
}

/// What a frame of messages has around them, and a message around its bytes.
const PUBLISH_OVERHEAD: usize = 4 + 2 + 2 + 1 + 4;
const MESSAGE_OVERHEAD: usize = 8 + 4;

impl Drop for Connection {
    /// Says good-bye, so that the server need not find out, and log, that we are gone.
    fn drop(&mut self) {
        if self.is_open {
            let correlation = self.correlation.wrapping_add(1);
            self.put(key::CLOSE, |out| {
                out.extend_from_slice(&correlation.to_be_bytes());
                out.extend_from_slice(&1_u16.to_be_bytes());
                put_text(out, "bye");
            });
            let _ = self.line.send();
        }
    }
}

/// The first frame of `bytes` without its length, if it is there as a whole.
fn parse(bytes: &[u8]) -> Done<Option<&[u8]>> {
    let Some(length) = bytes.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(ServerError::malformed(&format!(
            "a frame of bytes={length} exceeds limit={FRAME_BYTES_MAX}"
        )));
    }
    Ok(bytes.get(4..4 + length))
}

fn unexpected(key: u16) -> ServerError {
    ServerError::malformed(&format!("it answers with the command {key:#x}"))
}

/// What a response code means; 1 is no error.
fn answered(code: u16) -> Done<()> {
    let (kind, words) = match code {
        1 => return Ok(()),
        2 => (ErrorKind::NotFound, "there is no such stream"),
        6 => (ErrorKind::Unavailable, "the stream is not available on this node"),
        8 | 9 | 11 => (ErrorKind::Invalid, "Login was refused"),
        12 => (ErrorKind::Invalid, "there is no such virtual host, or the user may not enter it"),
        14 => (ErrorKind::Invalid, "a frame is longer than the server takes"),
        16 => (ErrorKind::Invalid, "the user may not do that with the stream"),
        17 => (ErrorKind::Invalid, "a condition is not met"),
        13 => (ErrorKind::Internal, "the server does not know the command"),
        _ => return Err(ServerError::unavailable(format!("the server answers with code={code}"))),
    };
    Err(ServerError::new(kind, format!("the server says: {words} (code {code})")))
}

fn text(reader: &mut Reader<'_>) -> Done<String> {
    let length = reader.u16()? as i16;
    let bytes = reader.take(usize::try_from(length).unwrap_or(0))?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as i16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_when_it_is_whole() {
        let bytes = [0, 0, 0, 4, 0, 23, 0, 1, 9];
        for length in 0..8 {
            assert_eq!(parse(&bytes[..length]).unwrap(), None, "{length}");
        }
        assert_eq!(parse(&bytes).unwrap(), Some(&[0, 23, 0, 1][..]));
        assert!(parse(&[255; 8]).is_err());
    }

    #[test]
    fn what_may_pass_is_told_from_what_does_not() {
        for (code, kind) in [
            (2, ErrorKind::NotFound),
            (6, ErrorKind::Unavailable),
            (8, ErrorKind::Invalid),
            (15, ErrorKind::Unavailable),
            (99, ErrorKind::Unavailable),
        ] {
            assert_eq!(answered(code).unwrap_err().kind, kind, "{code}");
        }
        answered(1).unwrap();
    }
}
