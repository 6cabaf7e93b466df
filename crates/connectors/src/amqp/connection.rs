//! A connection with one session and one link: it logs in, attaches, receives or sends messages, and settles them.
//!
//! Nothing runs in the background: whoever holds it calls [`Connection::take_event`] or [`Connection::tend`] often enough for
//! heartbeats to go both ways.

mod login;

pub(super) use login::Login;

use super::error::Condition;
use super::frames::{self, Frame};
use super::message::Message;
use super::performatives::{self as performative, Attach, Fields, Flow, Node, State};
use super::values::Writer;
use crate::messages::{Credentials, Done, EVENTS_BYTES_MAX, Line, MESSAGE_BYTES_MAX, ServerError};
use auth::socket::Secured;
use base::ErrorKind;
use os::Clock;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// The frames that we agree to; a server may want smaller ones.
const FRAME_BYTES_MAX: usize = 128 << 10;
/// What stands around a part of a message.
const TRANSFER_BYTES: usize = frames::OVERHEAD + 64;
/// How the server calls itself that has what was given back come behind others.
const ACTIVEMQ_CLASSIC: &str = "ActiveMQ";
/// What is to be sent is sent when it has grown to this size.
const OUTGOING_BYTES: usize = 256 << 10;

/// What the server sends by itself.
#[derive(Debug)]
pub(super) enum Event {
    Delivery {
        id: u32,
        is_settled: bool,
        message: Box<Message>,
    },
    /// What became of messages that were sent, by their tags, both ends included.
    Outcome {
        first: u64,
        last: u64,
        state: State,
    },
}

impl Event {
    fn bytes(&self) -> usize {
        let content = match self {
            Event::Delivery { message, .. } => message.bytes(),
            Event::Outcome { .. } => 0,
        };
        size_of::<Event>() + content
    }
}

/// A message of which not all frames are there.
struct Assembling {
    id: u32,
    is_settled: bool,
    is_too_long: bool,
    bytes: Vec<u8>,
}

/// What is known of the link.
#[derive(Debug, Default)]
struct Link {
    is_receiver: bool,
    /// So many messages may be delivered and not settled.
    prefetch: u32,
    delivery_count: u32,
    /// So many messages the other side may have, or we may send.
    credit: u32,
    /// Deliveries that are not settled, of which the first has this id.
    unsettled: u32,
    oldest: u32,
    /// The server is to use the credit up: by messages that it has, and the rest by saying so.
    drains: bool,
    /// The longest message that a target takes.
    message_bytes_max: Option<u64>,
}

pub(super) struct Connection {
    line: Line,
    frame_bytes_max: usize,
    /// What the server calls itself.
    product: String,
    /// What it wants in front of the addresses of queues and topics.
    queue_prefix: String,
    topic_prefix: String,
    next_incoming_id: u32,
    next_outgoing_id: u32,
    /// So many frames the server takes.
    remote_window: u32,
    link: Link,
    /// How many messages were sent; their ids are counted from 0, their tags from 1.
    sent: u64,
    assembling: Option<Assembling>,
    events: VecDeque<Event>,
    events_bytes: usize,
    reply: Option<(u64, Fields)>,
    is_open: bool,
}

impl Connection {
    /// Logs in over a stream, and begins the session. A call that takes longer than `timeout` fails.
    pub(super) fn open(
        stream: Secured,
        clock: Arc<dyn Clock>,
        timeout: Duration,
        credentials: &Credentials<'_>,
        login: &Login<'_>,
    ) -> Done<Connection> {
        let mut connection = Connection {
            line: Line::new(stream, clock, timeout),
            frame_bytes_max: FRAME_BYTES_MAX,
            product: String::new(),
            queue_prefix: String::new(),
            topic_prefix: String::new(),
            next_incoming_id: 0,
            next_outgoing_id: 0,
            remote_window: 0,
            link: Link::default(),
            sent: 0,
            assembling: None,
            events: VecDeque::new(),
            events_bytes: 0,
            reply: None,
            is_open: false,
        };
        connection.log_in(credentials, login)?;
        connection.begin(credentials, login)?;
        Ok(connection)
    }

    /// What the server calls itself.
    pub(super) fn product(&self) -> &str {
        &self.product
    }

    /// Has messages delivered, so many at once that are not settled.
    pub(super) fn receive_from(&mut self, attach: &Attach<'_>, prefetch: u32) -> Done<()> {
        const SOURCE: usize = 5;
        let address = self.full(attach);
        let attach = Attach { address: &address, ..attach.clone() };
        self.put(frames::AMQP, performative::ATTACH, |out| {
            attach.put_receiver(out, MESSAGE_BYTES_MAX as u64);
        });
        let answer = self.attached(SOURCE)?;
        self.link = Link {
            is_receiver: true,
            prefetch,
            delivery_count: answer.u32(9).unwrap_or(0),
            ..Link::default()
        };
        self.grant()
    }

    /// Messages that are sent go there from now on; the first has the tag 1.
    pub(super) fn send_to(&mut self, attach: &Attach<'_>) -> Done<()> {
        const TARGET: usize = 6;
        let address = self.full(attach);
        let attach = Attach { address: &address, ..attach.clone() };
        self.put(frames::AMQP, performative::ATTACH, |out| attach.put_sender(out));
        let answer = self.attached(TARGET)?;
        let limit = answer.get(10).and_then(|value| u64::try_from(value.number()?).ok());
        self.link.message_bytes_max = limit.filter(|bytes| *bytes > 0);
        Ok(())
    }

    /// The address as the server wants it; others go by the capability alone.
    fn full(&self, attach: &Attach<'_>) -> String {
        let prefix = match attach.node {
            Node::Queue => &self.queue_prefix,
            Node::Topic => &self.topic_prefix,
        };
        if attach.address.starts_with(prefix.as_str()) {
            attach.address.to_string()
        } else {
            format!("{prefix}{}", attach.address)
        }
    }

    /// A server that refuses a link attaches it without its end, and then says why.
    fn attached(&mut self, end: usize) -> Done<Fields> {
        self.flush()?;
        let answer = self.answer(performative::ATTACH)?;
        if answer.get(end).is_some() {
            return Ok(answer);
        }
        self.answer(performative::DETACH)?;
        Err(ServerError::malformed("it neither attaches the link nor says why not"))
    }

    pub(super) fn message_bytes_max(&self) -> Option<u64> {
        self.link.message_bytes_max
    }

    /// Puts a message on its way, when the server takes one; answers its tag. [`Connection::take_event`] sends what is left.
    pub(super) fn send(&mut self, message: &[u8]) -> Done<u64> {
        self.wait_for_room(|connection| connection.link.credit > 0)?;
        let id = self.sent as u32;
        let mut rest = message;
        let mut is_first = true;
        while is_first || !rest.is_empty() {
            self.wait_for_room(|connection| connection.remote_window > 0)?;
            let (piece, behind) = rest.split_at(rest.len().min(self.frame_bytes_max - TRANSFER_BYTES));
            frames::put(&mut self.line.outgoing, frames::AMQP, |out| {
                Writer::new(out).described(performative::TRANSFER, |transfer| {
                    let more = !behind.is_empty();
                    transfer.list(|fields| performative::put_transfer(fields, id, is_first, more));
                });
                out.extend_from_slice(piece);
            });
            self.next_outgoing_id = self.next_outgoing_id.wrapping_add(1);
            self.remote_window -= 1;
            (rest, is_first) = (behind, false);
            if self.line.outgoing.len() >= OUTGOING_BYTES {
                self.flush()?;
            }
        }
        self.link.credit -= 1;
        self.link.delivery_count = self.link.delivery_count.wrapping_add(1);
        self.sent += 1;
        Ok(self.sent)
    }

    fn wait_for_room(&mut self, has_room: impl Fn(&Connection) -> bool) -> Done<()> {
        if has_room(self) {
            return Ok(());
        }
        self.flush()?;
        let (mut until, mut events) = (self.line.answer_until(), self.events.len());
        while !has_room(self) {
            // A server that says what became of messages is at work.
            if self.events.len() > events {
                (until, events) = (self.line.answer_until(), self.events.len());
            }
            let left = self.line.left(until).map_err(|_| {
                ServerError::unavailable(
                    "the server takes no messages for now (it gives no credit): the queue or the disk may be full",
                )
            })?;
            self.receive(left)?;
            self.nobody_answers()?;
            self.beat()?;
        }
        Ok(())
    }

    /// Settles deliveries, both ends included.
    pub(super) fn settle(&mut self, first: u32, last: u32, state: &State) -> Done<()> {
        self.put_disposition(first, last, state);
        let count = last.wrapping_sub(first).wrapping_add(1);
        self.link.unsettled = self.link.unsettled.saturating_sub(count);
        self.link.oldest = last.wrapping_add(1);
        self.grant()?;
        self.flush()
    }

    fn put_disposition(&mut self, first: u32, last: u32, state: &State) {
        self.put(frames::AMQP, performative::DISPOSITION, |out| {
            performative::put_disposition(out, first, last, state);
        });
    }

    /// Lets the server deliver more, when much of what it may is used up.
    fn grant(&mut self) -> Done<()> {
        let Link { prefetch, credit, unsettled, .. } = self.link;
        let wanted = prefetch.saturating_sub(unsettled);
        if wanted.saturating_sub(credit) >= (prefetch / 4).max(1) {
            self.link.credit = wanted;
            self.link.drains = false;
            self.put_flow();
            self.flush()?;
        }
        Ok(())
    }

    fn put_flow(&mut self) {
        let flow = Flow {
            next_incoming_id: self.next_incoming_id,
            next_outgoing_id: self.next_outgoing_id,
            delivery_count: self.link.delivery_count,
            credit: self.link.credit,
            drain: self.link.drains,
        };
        self.put(frames::AMQP, performative::FLOW, |out| flow.put(out));
    }

    /// Gives back what was delivered and not taken, for others, and lets nothing more come until [`Connection::take_event`] is
    /// asked.
    ///
    /// What was on its way meanwhile would be taken before what comes again: so the server first uses its credit up, and
    /// nothing is given back before that. The last goes first, for a server that puts each in front of what waits.
    pub(super) fn give_back(&mut self) -> Done<()> {
        if self.keeps_places() {
            if self.link.credit > 0 && !self.link.drains {
                self.link.drains = true;
                self.put_flow();
            }
            if self.link.credit == 0 && self.assembling.is_none() {
                self.release();
            }
        }
        self.tend()
    }

    /// What the server has settled it would not send again: that stays, and what lies before it.
    fn release(&mut self) {
        while let Some(event) = self.events.pop_back() {
            let Event::Delivery { id, is_settled: false, .. } = event else {
                self.events.push_back(event);
                return;
            };
            self.events_bytes -= event.bytes();
            self.put_disposition(id, id, &State::Released);
            self.link.unsettled = self.link.unsettled.saturating_sub(1);
        }
    }

    /// Whether what is given back comes again before what lay behind it.
    fn keeps_places(&self) -> bool {
        self.product != ACTIVEMQ_CLASSIC
    }

    /// The next thing that the server has sent by itself, after waiting for it for so long at most.
    pub(super) fn take_event(&mut self, wait: Duration) -> Done<Option<Event>> {
        if self.events.is_empty() {
            if self.link.is_receiver {
                self.grant()?;
            }
            self.wait(wait)?;
        }
        let event = self.events.pop_front();
        self.events_bytes -= event.as_ref().map_or(0, Event::bytes);
        Ok(event)
    }

    /// Keeps the connection alive.
    pub(super) fn tend(&mut self) -> Done<()> {
        self.wait(Duration::ZERO)
    }

    /// Reads what has come, after waiting for it for so long at most; nothing while much waits to be taken.
    fn wait(&mut self, wait: Duration) -> Done<()> {
        self.flush()?;
        if self.events_bytes < EVENTS_BYTES_MAX {
            self.receive(wait)?;
        }
        self.nobody_answers()?;
        self.beat()
    }

    /// An answer that nobody waits for: nobody would take it, and nothing behind it would be read.
    fn nobody_answers(&self) -> Done<()> {
        match &self.reply {
            Some((code, _)) => Err(unexpected(*code)),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> Done<()> {
        let Err(error) = self.line.send() else { return Ok(()) };
        // A server that closes the connection has said why.
        self.receive(Duration::ZERO)?;
        Err(error)
    }

    /// Sends a heartbeat in good time, and notices when none comes.
    fn beat(&mut self) -> Done<()> {
        if self.line.beat(self.events_bytes >= EVENTS_BYTES_MAX)? {
            frames::put(&mut self.line.outgoing, frames::AMQP, |_| {});
            self.flush()?;
        }
        Ok(())
    }

    fn put(&mut self, kind: u8, code: u64, fill: impl FnOnce(&mut Writer<'_>)) {
        frames::put(&mut self.line.outgoing, kind, |out| {
            Writer::new(out).described(code, |performative| {
                performative.list(fill);
            });
        });
    }

    fn answer(&mut self, wanted: u64) -> Done<Fields> {
        self.answer_of(&[wanted]).map(|(_, fields)| fields)
    }

    fn answer_of(&mut self, wanted: &[u64]) -> Done<(u64, Fields)> {
        let until = self.line.answer_until();
        loop {
            if let Some((code, fields)) = self.reply.take() {
                return if wanted.contains(&code) { Ok((code, fields)) } else { Err(unexpected(code)) };
            }
            let left = self.line.left(until)?;
            self.receive(left)?;
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

    /// Whether there was one. Nothing is taken between the outcome of the log-in and the header behind it.
    fn take_frames(&mut self) -> Done<bool> {
        let incoming = std::mem::take(&mut self.line.incoming);
        let mut start = 0;
        while self.reply.is_none()
            && let Some((frame, length)) = frames::parse(&incoming[start..], FRAME_BYTES_MAX)?
        {
            start += length;
            self.take(frame)?;
        }
        self.line.incoming = incoming;
        self.line.incoming.drain(..start);
        Ok(start > 0)
    }

    fn take(&mut self, frame: Frame<'_>) -> Done<()> {
        if frame.body.is_empty() {
            return Ok(());
        }
        let (code, fields, payload) = Fields::read(frame.body)?;
        if (frame.kind == frames::SASL) == self.is_open {
            return Err(unexpected(code));
        }
        match code {
            performative::TRANSFER => self.take_transfer(&fields, payload)?,
            performative::DISPOSITION => self.take_disposition(&fields)?,
            performative::FLOW => self.take_flow(&fields)?,
            performative::CLOSE => {
                self.is_open = false;
                self.put(frames::AMQP, performative::CLOSE, |_| {});
                // Whether it still hears this is of no account.
                let _ = self.line.send();
                return Err(ended("the connection", &fields.condition(0)));
            }
            performative::END => return Err(ended("the session", &fields.condition(0))),
            performative::DETACH => return Err(ended("the link", &fields.condition(2))),
            _ => self.reply = Some((code, fields)),
        }
        if self.events_bytes >= EVENTS_BYTES_MAX * 2 {
            return Err(ServerError::malformed("it sends more than it was asked for"));
        }
        Ok(())
    }

    fn take_transfer(&mut self, fields: &Fields, payload: &[u8]) -> Done<()> {
        const IS_SETTLED: usize = 4;
        const MORE: usize = 5;
        const IS_ABORTED: usize = 9;
        if !self.link.is_receiver {
            return Err(ServerError::malformed("a message comes over a link that sends"));
        }
        self.next_incoming_id = self.next_incoming_id.wrapping_add(1);
        let mut assembling = match self.assembling.take() {
            Some(assembling) => {
                if fields.u32(1).is_some_and(|id| id != assembling.id) {
                    return Err(ServerError::malformed("a message begins in another one"));
                }
                assembling
            }
            None => {
                let id = fields.wanted_u32(1)?;
                // Servers differ in whether one that was begun and taken back has used up credit.
                if self.link.credit == 0 && self.link.unsettled > self.link.prefetch {
                    return Err(ServerError::malformed("it delivers more than it may"));
                }
                self.link.credit = self.link.credit.saturating_sub(1);
                self.link.delivery_count = self.link.delivery_count.wrapping_add(1);
                Assembling { id, is_settled: false, is_too_long: false, bytes: Vec::new() }
            }
        };
        assembling.is_settled |= fields.is_true(IS_SETTLED);
        if assembling.bytes.len() + payload.len() > MESSAGE_BYTES_MAX {
            (assembling.is_too_long, assembling.bytes) = (true, Vec::new());
        }
        if !assembling.is_too_long {
            assembling.bytes.extend_from_slice(payload);
        }
        if fields.is_true(IS_ABORTED) {
            return Ok(());
        }
        if fields.is_true(MORE) {
            self.assembling = Some(assembling);
            return Ok(());
        }
        self.deliver(assembling)
    }

    fn deliver(&mut self, whole: Assembling) -> Done<()> {
        let Assembling { id, is_settled, is_too_long, bytes } = whole;
        // A value becomes JSON, which may be six times as long.
        let message = (!is_too_long)
            .then(|| Message::of(&bytes))
            .filter(|message| message.bytes() <= MESSAGE_BYTES_MAX);
        let Some(message) = message else {
            // The server keeps it with its dead letters.
            let condition = Condition {
                name: "amqp:link:message-size-exceeded".into(),
                description: format!("longer than limit={MESSAGE_BYTES_MAX} bytes"),
            };
            if !is_settled {
                self.put_disposition(id, id, &State::Rejected(condition));
            }
            return Ok(());
        };
        if !is_settled {
            if self.link.unsettled == 0 {
                self.link.oldest = id;
            }
            self.link.unsettled += 1;
        }
        let event = Event::Delivery { id, is_settled, message: Box::new(message) };
        self.events_bytes += event.bytes();
        self.events.push_back(event);
        Ok(())
    }

    fn take_disposition(&mut self, fields: &Fields) -> Done<()> {
        // A server says of its own messages when it has settled them; they were settled by us.
        if !fields.is_true(0) || self.link.is_receiver {
            return Ok(());
        }
        let first = fields.wanted_u32(1)?;
        let last = fields.u32(2).unwrap_or(first);
        let tag = |id: u32| {
            let back = u64::from((self.sent as u32).wrapping_sub(id));
            self.sent.checked_sub(back).map(|before| before + 1).filter(|_| back > 0)
        };
        let (Some(first_tag), Some(last_tag)) = (tag(first), tag(last)) else {
            return Err(ServerError::malformed("it settles messages that were not sent"));
        };
        let Some(state) = fields.state(4) else {
            return match fields.is_true(3) {
                true => Err(ServerError::unavailable("the server has settled a message without an outcome")),
                // It has come in part.
                false => Ok(()),
            };
        };
        if first_tag > last_tag {
            return Err(ServerError::malformed("it settles messages in the wrong order"));
        }
        let event = Event::Outcome { first: first_tag, last: last_tag, state };
        self.events_bytes += event.bytes();
        self.events.push_back(event);
        Ok(())
    }

    fn take_flow(&mut self, fields: &Fields) -> Done<()> {
        let window = fields.wanted_u32(1)?;
        // Where the server has not seen our first frame, it counts from there.
        let from = fields.u32(0).unwrap_or(0);
        let room = from.wrapping_add(window).wrapping_sub(self.next_outgoing_id);
        // A window that was closed behind what is on its way.
        self.remote_window = if room > i32::MAX as u32 && window < i32::MAX as u32 { 0 } else { room };
        if let Some(credit) = fields.u32(6).filter(|_| fields.u32(4).is_some() && !self.link.is_receiver) {
            let counted = fields.u32(5).unwrap_or(0);
            let left = counted.wrapping_add(credit).wrapping_sub(self.link.delivery_count);
            self.link.credit = if left > credit { 0 } else { left };
            const DRAIN: usize = 8;
            if fields.is_true(DRAIN) {
                self.link.delivery_count = self.link.delivery_count.wrapping_add(self.link.credit);
                self.link.credit = 0;
                self.put_flow();
            }
        }
        // What is left of our credit, when the server was to use it up.
        if let Some(counted) = fields.u32(5).filter(|_| self.link.drains) {
            let used = counted.wrapping_sub(self.link.delivery_count);
            if let Some(left) = self.link.credit.checked_sub(used) {
                (self.link.credit, self.link.delivery_count) = (left, counted);
            }
        }
        const ECHO: usize = 9;
        if fields.is_true(ECHO) {
            self.put_flow();
        }
        Ok(())
    }
}

impl Drop for Connection {
    /// Gives back what was delivered, so that it does not count as an attempt that failed, and says good-bye.
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        if self.link.unsettled > 0 && self.keeps_places() {
            let last = self.link.oldest.wrapping_add(self.link.unsettled - 1);
            self.put_disposition(self.link.oldest, last, &State::Released);
        }
        self.put(frames::AMQP, performative::CLOSE, |_| {});
        let _ = self.line.send();
    }
}

fn ended(what: &str, condition: &Condition) -> ServerError {
    let error = condition.error();
    ServerError { message: format!("the server has ended {what}: {}", error.message), ..error }
}

fn unexpected(code: u64) -> ServerError {
    ServerError::malformed(&format!("it says {code:#x}, which nobody asked for"))
}

/// A table's node that the server does not know.
pub(super) fn missing(error: ServerError, what: &str) -> ServerError {
    match error.kind {
        ErrorKind::NotFound => {
            ServerError { message: format!("{}; create the {what}", error.message), ..error }
        }
        _ => error,
    }
}
