//! A connection with one channel: it logs in, calls methods, and gathers what the server sends by itself.
//!
//! Nothing runs in the background: whoever holds it calls [`Connection::wait`] or [`Connection::tend`] often enough for
//! heartbeats to go both ways.

use super::fields::{Reader, Table, Value, put_long_bytes, put_short_text, put_table};
use super::frames::{self, Frame};
use super::properties::Properties;
use crate::messages::Line;
use crate::messages::{Done, ServerError};
use auth::socket::Secured;
use base::ErrorKind;
use os::Clock;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const PROTOCOL: &[u8] = b"AMQP\0\0\x09\x01";
const CHANNEL: u16 = 1;
/// The frames that we agree to; a server may want smaller ones.
const FRAME_BYTES_MAX: usize = 128 << 10;
/// The least that the specification allows.
const FRAME_BYTES_MIN: usize = 4096;
/// What is to be sent is sent when it has grown to this size.
const OUTGOING_BYTES: usize = 256 << 10;
/// A longer message fits into no record of the log.
const MESSAGE_BYTES_MAX: u64 = 16 << 20;
/// While so much waits to be taken, nothing more is read.
const EVENTS_BYTES_MAX: usize = 64 << 20;

/// A method: its class and its number in it.
type Method = (u16, u16);

const START: Method = (10, 10);
const START_OK: Method = (10, 11);
const SECURE: Method = (10, 20);
const TUNE: Method = (10, 30);
const TUNE_OK: Method = (10, 31);
const OPEN: Method = (10, 40);
const OPEN_OK: Method = (10, 41);
const CLOSE: Method = (10, 50);
const CLOSE_OK: Method = (10, 51);
const BLOCKED: Method = (10, 60);
const UNBLOCKED: Method = (10, 61);
const CHANNEL_OPEN: Method = (20, 10);
const CHANNEL_OPEN_OK: Method = (20, 11);
const CHANNEL_FLOW: Method = (20, 20);
const CHANNEL_FLOW_OK: Method = (20, 21);
const CHANNEL_CLOSE: Method = (20, 40);
const EXCHANGE_DECLARE: Method = (40, 10);
const EXCHANGE_DECLARE_OK: Method = (40, 11);
const QUEUE_DECLARE: Method = (50, 10);
const QUEUE_DECLARE_OK: Method = (50, 11);
const QOS: Method = (60, 10);
const QOS_OK: Method = (60, 11);
const CONSUME: Method = (60, 20);
const CONSUME_OK: Method = (60, 21);
const CANCEL: Method = (60, 30);
const PUBLISH: Method = (60, 40);
const RETURN: Method = (60, 50);
const DELIVER: Method = (60, 60);
const ACK: Method = (60, 80);
const NACK: Method = (60, 120);
const CONFIRM_SELECT: Method = (85, 10);
const CONFIRM_SELECT_OK: Method = (85, 11);

/// Who logs in, and to what.
pub(in crate::rabbitmq) struct Login<'a> {
    /// `PLAIN` or `EXTERNAL`.
    pub mechanism: &'a str,
    pub user: &'a str,
    pub password: &'a str,
    pub virtual_host: &'a str,
    /// Zero is none.
    pub heartbeat: Duration,
    /// How the connection is called in the server's lists.
    pub name: &'a str,
}

/// What the server sends by itself.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::rabbitmq) enum Event {
    Delivery {
        tag: u64,
        redelivered: bool,
        message: Message,
    },
    /// A message that could not be routed.
    Returned {
        reason: String,
        message: Message,
    },
    Confirmed {
        tag: u64,
        multiple: bool,
    },
    /// The server could not take these messages.
    Refused {
        tag: u64,
        multiple: bool,
    },
    /// The consumer is no more: the queue was deleted, or its node went away.
    Cancelled,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::rabbitmq) struct Message {
    pub exchange: String,
    pub routing_key: String,
    pub properties: Properties,
    pub body: Vec<u8>,
}

impl Message {
    /// About what it takes in memory.
    pub(in crate::rabbitmq) fn bytes(&self) -> usize {
        self.body.len() + self.exchange.len() + self.routing_key.len() + self.properties.bytes()
    }
}

/// What is published.
pub(in crate::rabbitmq) struct Publish<'a> {
    pub exchange: &'a str,
    pub routing_key: &'a str,
    pub mandatory: bool,
    pub properties: &'a Properties,
    pub body: &'a [u8],
}

/// A message of which not all frames are there.
struct Assembling {
    event: Event,
    /// None before the header.
    body_left: Option<u64>,
}

pub(in crate::rabbitmq) struct Connection {
    line: Line,
    frame_bytes_max: usize,
    assembling: Option<Assembling>,
    events: VecDeque<Event>,
    events_bytes: usize,
    reply: Option<(Method, Vec<u8>)>,
    /// Why the server takes no messages for now.
    blocked: Option<String>,
    is_open: bool,
}

impl Connection {
    /// Logs in over a stream, and opens the channel. A call that takes longer than `timeout` fails.
    pub(in crate::rabbitmq) fn open(
        stream: Secured,
        clock: Arc<dyn Clock>,
        timeout: Duration,
        login: &Login<'_>,
    ) -> Done<Connection> {
        let mut connection = Connection {
            line: Line::new(stream, clock, timeout),
            frame_bytes_max: FRAME_BYTES_MAX,
            assembling: None,
            events: VecDeque::new(),
            events_bytes: 0,
            reply: None,
            blocked: None,
            is_open: false,
        };
        connection.log_in(login)?;
        connection.call(CHANNEL, CHANNEL_OPEN, |out| put_short_text(out, ""), CHANNEL_OPEN_OK)?;
        Ok(connection)
    }

    fn log_in(&mut self, login: &Login<'_>) -> Done<()> {
        self.line.outgoing.extend_from_slice(PROTOCOL);
        self.flush()?;
        let start = self.answer(START)?;
        let mut reader = Reader(&start);
        reader.u16()?;
        reader.table()?;
        let offered = String::from_utf8_lossy(reader.long_bytes()?).into_owned();
        if !offered.split(' ').any(|name| name == login.mechanism) {
            return Err(ServerError::new(
                ErrorKind::Invalid,
                format!(
                    "the server does not offer 'auth-mechanism' = '{}'; it offers {offered}",
                    login.mechanism
                ),
            ));
        }
        let response = match login.mechanism {
            "PLAIN" => format!("\0{}\0{}", login.user, login.password).into_bytes(),
            _ => Vec::new(),
        };
        self.send(0, START_OK, |out| {
            put_table(out, &client_properties(login.name));
            put_short_text(out, login.mechanism);
            put_long_bytes(out, &response);
            put_short_text(out, "en_US");
        });
        self.flush()?;
        let (method, tune) = self.answer_of(&[TUNE, SECURE])?;
        if method == SECURE {
            return Err(ServerError::new(ErrorKind::Invalid, "the server wants a second step to log in"));
        }
        let mut reader = Reader(&tune);
        let (channels_max, frame_bytes_max, heartbeat_s) = (reader.u16()?, reader.u32()?, reader.u16()?);
        // Zero is no limit.
        if frame_bytes_max != 0 {
            self.frame_bytes_max = (frame_bytes_max as usize).clamp(FRAME_BYTES_MIN, FRAME_BYTES_MAX);
        }
        let wanted_s = u16::try_from(login.heartbeat.as_secs()).unwrap_or(u16::MAX);
        let heartbeat_s = if heartbeat_s == 0 { wanted_s } else { wanted_s.min(heartbeat_s) };
        let agreed = self.frame_bytes_max as u32;
        self.send(0, TUNE_OK, |out| {
            out.extend_from_slice(&channels_max.to_be_bytes());
            out.extend_from_slice(&agreed.to_be_bytes());
            out.extend_from_slice(&heartbeat_s.to_be_bytes());
        });
        self.line.set_heartbeat(Duration::from_secs(heartbeat_s.into()));
        let open = |out: &mut Vec<u8>| {
            put_short_text(out, login.virtual_host);
            put_short_text(out, "");
            out.push(0);
        };
        self.call(0, OPEN, open, OPEN_OK)?;
        self.is_open = true;
        Ok(())
    }

    /// Makes sure that the queue is there; with `passive` it is not made. Answers how many messages wait in it.
    pub(in crate::rabbitmq) fn declare_queue(
        &mut self,
        name: &str,
        passive: bool,
        arguments: &Table,
    ) -> Done<u32> {
        const PASSIVE: u8 = 1;
        const DURABLE: u8 = 2;
        let declare = |out: &mut Vec<u8>| {
            out.extend_from_slice(&[0; 2]);
            put_short_text(out, name);
            out.push(if passive { PASSIVE } else { DURABLE });
            put_table(out, arguments);
        };
        let declared = self.call(CHANNEL, QUEUE_DECLARE, declare, QUEUE_DECLARE_OK)?;
        let mut reader = Reader(&declared);
        reader.short_text()?;
        reader.u32()
    }

    /// Makes sure that an exchange is there.
    pub(in crate::rabbitmq) fn find_exchange(&mut self, name: &str) -> Done<()> {
        const PASSIVE: u8 = 1;
        let declare = |out: &mut Vec<u8>| {
            out.extend_from_slice(&[0; 2]);
            put_short_text(out, name);
            put_short_text(out, "direct");
            out.push(PASSIVE);
            put_table(out, &[]);
        };
        self.call(CHANNEL, EXCHANGE_DECLARE, declare, EXCHANGE_DECLARE_OK).map(drop)
    }

    /// Has the messages of a queue delivered, so many without an acknowledgement at once.
    pub(in crate::rabbitmq) fn consume(
        &mut self,
        queue: &str,
        consumer_tag: &str,
        prefetch: u16,
    ) -> Done<()> {
        let qos = |out: &mut Vec<u8>| {
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&prefetch.to_be_bytes());
            out.push(0);
        };
        self.call(CHANNEL, QOS, qos, QOS_OK)?;
        let consume = |out: &mut Vec<u8>| {
            out.extend_from_slice(&[0; 2]);
            put_short_text(out, queue);
            put_short_text(out, consumer_tag);
            out.push(0);
            put_table(out, &[]);
        };
        self.call(CHANNEL, CONSUME, consume, CONSUME_OK).map(drop)
    }

    /// Acknowledges all deliveries up to this one.
    pub(in crate::rabbitmq) fn acknowledge(&mut self, tag: u64) -> Done<()> {
        self.send(CHANNEL, ACK, |out| {
            out.extend_from_slice(&tag.to_be_bytes());
            out.push(1);
        });
        self.flush()
    }

    /// From now on the server confirms what is published; the first message has the tag 1.
    pub(in crate::rabbitmq) fn confirm_publishes(&mut self) -> Done<()> {
        self.call(CHANNEL, CONFIRM_SELECT, |out| out.push(0), CONFIRM_SELECT_OK).map(drop)
    }

    /// Puts a message on its way; [`Connection::flush`] sends what is left.
    pub(in crate::rabbitmq) fn publish(&mut self, publish: &Publish<'_>) -> Done<()> {
        let Publish { exchange, routing_key, mandatory, properties, body } = publish;
        self.send(CHANNEL, PUBLISH, |out| {
            out.extend_from_slice(&[0; 2]);
            put_short_text(out, exchange);
            put_short_text(out, routing_key);
            out.push(u8::from(*mandatory));
        });
        frames::put(&mut self.line.outgoing, frames::HEADER, CHANNEL, |out| {
            out.extend_from_slice(&PUBLISH.0.to_be_bytes());
            out.extend_from_slice(&[0; 2]);
            out.extend_from_slice(&(body.len() as u64).to_be_bytes());
            properties.write(out);
        });
        for piece in body.chunks(self.frame_bytes_max - frames::OVERHEAD) {
            frames::put(&mut self.line.outgoing, frames::BODY, CHANNEL, |out| out.extend_from_slice(piece));
        }
        if self.line.outgoing.len() >= OUTGOING_BYTES { self.flush() } else { Ok(()) }
    }

    /// The next thing that the server has sent by itself, of those that were read.
    pub(in crate::rabbitmq) fn next_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.events_bytes -= bytes_of(&event);
        Some(event)
    }

    /// The same, after waiting for it for so long at most.
    pub(in crate::rabbitmq) fn take_event(&mut self, wait: Duration) -> Done<Option<Event>> {
        if self.events.is_empty() {
            self.wait(wait)?;
        }
        Ok(self.next_event())
    }

    /// Reads what has come, after waiting for it for so long at most; nothing while much waits to be taken.
    pub(in crate::rabbitmq) fn wait(&mut self, wait: Duration) -> Done<()> {
        self.flush()?;
        if self.events_bytes < EVENTS_BYTES_MAX {
            self.receive(wait)?;
        }
        // Nobody would take it, and nothing behind it would be read.
        if let Some((method, _)) = &self.reply {
            return Err(unexpected(*method));
        }
        self.beat()
    }

    /// Keeps the connection alive.
    pub(in crate::rabbitmq) fn tend(&mut self) -> Done<()> {
        self.wait(Duration::ZERO)
    }

    /// Why the server takes no messages for now.
    pub(in crate::rabbitmq) fn blocked(&self) -> Option<&str> {
        self.blocked.as_deref()
    }

    /// Sends all that is on its way.
    pub(in crate::rabbitmq) fn flush(&mut self) -> Done<()> {
        let Err(error) = self.line.send() else { return Ok(()) };
        // A server that closes the connection has said why.
        self.receive(Duration::ZERO)?;
        let blocked = self.blocked.as_ref().map_or(String::new(), |why| format!(" (it is blocked: {why})"));
        Err(ServerError { message: format!("{}{blocked}", error.message), ..error })
    }

    /// Sends a heartbeat in good time, and notices when none comes.
    fn beat(&mut self) -> Done<()> {
        if self.line.beat(self.events_bytes >= EVENTS_BYTES_MAX)? {
            frames::put(&mut self.line.outgoing, frames::HEARTBEAT, 0, |_| {});
            self.flush()?;
        }
        Ok(())
    }

    fn send(&mut self, channel: u16, method: Method, arguments: impl FnOnce(&mut Vec<u8>)) {
        frames::put(&mut self.line.outgoing, frames::METHOD, channel, |out| {
            out.extend_from_slice(&method.0.to_be_bytes());
            out.extend_from_slice(&method.1.to_be_bytes());
            arguments(out);
        });
    }

    fn call(
        &mut self,
        channel: u16,
        method: Method,
        arguments: impl FnOnce(&mut Vec<u8>),
        reply: Method,
    ) -> Done<Vec<u8>> {
        self.send(channel, method, arguments);
        self.flush()?;
        self.answer(reply)
    }

    fn answer(&mut self, wanted: Method) -> Done<Vec<u8>> {
        self.answer_of(&[wanted]).map(|(_, arguments)| arguments)
    }

    fn answer_of(&mut self, wanted: &[Method]) -> Done<(Method, Vec<u8>)> {
        let until = self.line.answer_until();
        loop {
            if let Some((method, arguments)) = self.reply.take() {
                if wanted.contains(&method) {
                    return Ok((method, arguments));
                }
                return Err(unexpected(method));
            }
            self.receive(self.line.left(until)?)?;
            self.beat()?;
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
            && let Some((frame, length)) = frames::parse(&incoming[start..], self.frame_bytes_max)?
        {
            self.take(frame)?;
            start += length;
        }
        self.line.incoming = incoming;
        self.line.incoming.drain(..start);
        Ok(start > 0)
    }

    fn take(&mut self, frame: Frame<'_>) -> Done<()> {
        match (frame.kind, frame.channel) {
            (frames::HEARTBEAT, _) => Ok(()),
            (frames::METHOD, 0 | CHANNEL) => self.take_method(frame.payload),
            (frames::HEADER, CHANNEL) => self.take_header(frame.payload),
            (frames::BODY, CHANNEL) => self.take_body(frame.payload),
            _ => Err(ServerError::malformed("a frame of a channel that is not open")),
        }
    }

    fn take_method(&mut self, payload: &[u8]) -> Done<()> {
        let mut reader = Reader(payload);
        let method = (reader.u16()?, reader.u16()?);
        match method {
            CLOSE | CHANNEL_CLOSE => {
                let (code, text) = (reader.u16()?, reader.short_text()?);
                if method == CLOSE {
                    self.is_open = false;
                    self.send(0, CLOSE_OK, |_| {});
                    // Whether it still hears this is of no account.
                    let _ = self.line.send();
                }
                return Err(crate::rabbitmq::error::closed(code, &text));
            }
            BLOCKED => self.blocked = Some(reader.short_text()?),
            UNBLOCKED => self.blocked = None,
            CHANNEL_FLOW => {
                let active = reader.u8()?;
                self.send(CHANNEL, CHANNEL_FLOW_OK, |out| out.push(active));
                self.flush()?;
            }
            DELIVER => {
                reader.short_text()?;
                let (tag, redelivered) = (reader.u64()?, reader.u8()? != 0);
                let message = addressed(&mut reader)?;
                self.begin(Event::Delivery { tag, redelivered, message })?;
            }
            RETURN => {
                let (code, text) = (reader.u16()?, reader.short_text()?);
                let message = addressed(&mut reader)?;
                self.begin(Event::Returned { reason: format!("{text} (code {code})"), message })?;
            }
            ACK => {
                let (tag, multiple) = (reader.u64()?, reader.u8()? & 1 != 0);
                self.events.push_back(Event::Confirmed { tag, multiple });
            }
            NACK => {
                let (tag, multiple) = (reader.u64()?, reader.u8()? & 1 != 0);
                self.events.push_back(Event::Refused { tag, multiple });
            }
            CANCEL => self.events.push_back(Event::Cancelled),
            _ => self.reply = Some((method, reader.0.to_vec())),
        }
        Ok(())
    }

    fn begin(&mut self, event: Event) -> Done<()> {
        if self.assembling.is_some() {
            return Err(ServerError::malformed("a message begins in another one"));
        }
        self.assembling = Some(Assembling { event, body_left: None });
        Ok(())
    }

    fn take_header(&mut self, payload: &[u8]) -> Done<()> {
        let Some(assembling) = self.assembling.as_mut().filter(|one| one.body_left.is_none()) else {
            return Err(ServerError::malformed("a header without a message"));
        };
        let mut reader = Reader(payload);
        reader.take(4)?;
        let size = reader.u64()?;
        if size > MESSAGE_BYTES_MAX {
            return Err(ServerError::new(
                ErrorKind::Invalid,
                format!(
                    "a message of bytes={size} exceeds limit={MESSAGE_BYTES_MAX}; take it out of the queue, or let the \
                     queue refuse such messages"
                ),
            ));
        }
        if let Some(message) = message_of(&mut assembling.event) {
            message.properties = Properties::read(&mut reader)?;
        }
        assembling.body_left = Some(size);
        self.finish_if_whole();
        Ok(())
    }

    fn take_body(&mut self, payload: &[u8]) -> Done<()> {
        let beyond = || ServerError::malformed("a body that belongs to no message");
        let assembling = self.assembling.as_mut().ok_or_else(beyond)?;
        let left = assembling.body_left.ok_or_else(beyond)?;
        assembling.body_left = Some(left.checked_sub(payload.len() as u64).ok_or_else(beyond)?);
        if let Some(message) = message_of(&mut assembling.event) {
            message.body.extend_from_slice(payload);
        }
        self.finish_if_whole();
        Ok(())
    }

    fn finish_if_whole(&mut self) {
        if let Some(whole) = self.assembling.take_if(|one| one.body_left == Some(0)) {
            self.events_bytes += bytes_of(&whole.event);
            self.events.push_back(whole.event);
        }
    }
}

impl Publish<'_> {
    /// What is too long for a short text, if anything is.
    pub(in crate::rabbitmq) fn too_long(&self) -> Option<&'static str> {
        let Publish { exchange, routing_key, properties, .. } = self;
        let fits = |text: &str| text.len() <= u8::MAX.into();
        let texts = [("exchange", Some(*exchange)), ("routing-key", Some(*routing_key))];
        let wrong =
            texts.into_iter().chain(properties.short_texts()).find(|(_, text)| !text.is_none_or(fits));
        let long_header = properties.headers.iter().any(|(name, _)| !fits(name));
        wrong.map(|(name, _)| name).or(long_header.then_some("headers"))
    }
}

impl Drop for Connection {
    /// Says good-bye, so that the server need not find out, and log, that we are gone.
    fn drop(&mut self) {
        if self.is_open {
            self.send(0, CLOSE, |out| {
                out.extend_from_slice(&200_u16.to_be_bytes());
                put_short_text(out, "bye");
                out.extend_from_slice(&[0; 4]);
            });
            let _ = self.line.send();
        }
    }
}

fn addressed(reader: &mut Reader<'_>) -> Done<Message> {
    Ok(Message { exchange: reader.short_text()?, routing_key: reader.short_text()?, ..Message::default() })
}

fn unexpected(method: Method) -> ServerError {
    ServerError::malformed(&format!("it answers with the method {method:?}"))
}

fn message_of(event: &mut Event) -> Option<&mut Message> {
    match event {
        Event::Delivery { message, .. } | Event::Returned { message, .. } => Some(message),
        Event::Confirmed { .. } | Event::Refused { .. } | Event::Cancelled => None,
    }
}

fn bytes_of(event: &Event) -> usize {
    match event {
        Event::Delivery { message, .. } | Event::Returned { message, .. } => message.bytes(),
        Event::Confirmed { .. } | Event::Refused { .. } | Event::Cancelled => 0,
    }
}

fn client_properties(name: &str) -> Table {
    let capabilities = [
        "publisher_confirms",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "authentication_failure_close",
    ];
    let capabilities = capabilities.map(|name| (name.to_string(), Value::Bool(true))).to_vec();
    vec![
        ("product".into(), Value::text("eventwright")),
        ("version".into(), Value::text(env!("CARGO_PKG_VERSION"))),
        ("connection_name".into(), Value::text(name)),
        ("capabilities".into(), Value::Table(capabilities)),
    ]
}
