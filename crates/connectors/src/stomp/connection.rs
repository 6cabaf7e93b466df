//! A connection: it logs in, subscribes, acknowledges messages or sends them, and hears what the server says.
//!
//! Nothing runs in the background: whoever holds it calls [`Connection::take_event`] or [`Connection::tend`] often enough for
//! heartbeats to go both ways.

use super::brand::Brand;
use super::error::{on_login, said};
use super::frames::{self, Decoder, Frame};
use crate::messages::{Credentials, Done, EVENTS_BYTES_MAX, Line, ServerError};
use auth::socket::Secured;
use os::Clock;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What is to be sent is sent when it has grown to this size.
const OUTGOING_BYTES: usize = 256 << 10;
const VERSION: &str = "1.2";
/// The only subscription of a connection, where no name is asked for.
pub(super) const SUBSCRIPTION_ID: &str = "0";

/// What the server sends by itself.
#[derive(Debug)]
pub(super) enum Event {
    Message(Box<Frame>),
    /// It has what this receipt was asked for.
    Receipt(String),
}

impl Event {
    fn bytes(&self) -> usize {
        match self {
            Event::Message(frame) => frame.bytes(),
            Event::Receipt(id) => id.len() + 64,
        }
    }
}

/// Who logs in, beyond user and password.
pub(super) struct Login<'a> {
    /// Whose subscriptions the server keeps.
    pub client_id: Option<&'a str>,
    pub heartbeat: Duration,
}

pub(super) struct Connection {
    line: Line,
    decoder: Decoder,
    brand: Brand,
    events: VecDeque<Event>,
    events_bytes: usize,
    connected: Option<Frame>,
    is_open: bool,
    receipts: u64,
}

impl Connection {
    /// Logs in over a stream. A call that takes longer than `timeout` fails.
    pub(super) fn open(
        stream: Secured,
        clock: Arc<dyn Clock>,
        timeout: Duration,
        credentials: &Credentials<'_>,
        login: &Login<'_>,
    ) -> Done<Connection> {
        let mut connection = Connection {
            line: Line::new(stream, clock, timeout),
            decoder: Decoder::default(),
            brand: Brand::Other,
            events: VecDeque::new(),
            events_bytes: 0,
            connected: None,
            is_open: false,
            receipts: 0,
        };
        connection.log_in(credentials, login)?;
        Ok(connection)
    }

    fn log_in(&mut self, credentials: &Credentials<'_>, login: &Login<'_>) -> Done<()> {
        let beat_ms = u64::try_from(login.heartbeat.as_millis()).unwrap_or(u64::MAX);
        let beats = format!("{beat_ms},{beat_ms}");
        // RabbitMQ takes the host for a virtual host; others do not look at it.
        let mut headers = vec![
            ("accept-version", VERSION),
            ("host", credentials.path.unwrap_or("/")),
            ("heart-beat", beats.as_str()),
        ];
        headers.extend(credentials.user.map(|user| ("login", user)));
        headers.extend(credentials.password.map(|password| ("passcode", password)));
        headers.extend(login.client_id.map(|id| ("client-id", id)));
        frames::put_connect(&mut self.line.outgoing, &headers)?;
        self.line.send()?;
        let until = self.line.answer_until();
        let connected = loop {
            if let Some(frame) = self.connected.take() {
                break frame;
            }
            let left = self.line.left(until)?;
            self.receive(left).map_err(|error| on_login(error, credentials))?;
        };
        let version = connected.header("version").unwrap_or("1.0");
        if version != VERSION {
            return Err(ServerError::invalid(format!(
                "the server speaks STOMP {version}, and {VERSION} is needed"
            )));
        }
        self.brand = Brand::of(connected.header("server").unwrap_or_default());
        // Of each direction the slower wish holds, and none where one side wants none.
        let (theirs, ours) =
            connected.header("heart-beat").and_then(|text| text.split_once(',')).unwrap_or(("0", "0"));
        let agreed = |other: &str| match other.trim().parse::<u64>() {
            Ok(ms) if ms > 0 && beat_ms > 0 => Duration::from_millis(ms.max(beat_ms)),
            _ => Duration::ZERO,
        };
        self.line.set_heartbeats(agreed(theirs), agreed(ours));
        Ok(())
    }

    pub(super) fn brand(&self) -> Brand {
        self.brand
    }

    /// Has messages delivered; done when the server has said so.
    pub(super) fn subscribe(&mut self, headers: &[(&str, &str)]) -> Done<()> {
        let receipt = self.next_receipt();
        let headers = [headers, &[("receipt", receipt.as_str())]].concat();
        frames::put(&mut self.line.outgoing, "SUBSCRIBE", &headers, &[]);
        self.flush()?;
        let until = self.line.answer_until();
        loop {
            // Messages may come before it.
            let is_it = |event: &Event| matches!(event, Event::Receipt(id) if *id == receipt);
            if let Some(event) = self.events.iter().position(is_it).and_then(|at| self.events.remove(at)) {
                self.events_bytes -= event.bytes();
                return Ok(());
            }
            if self.events_bytes >= EVENTS_BYTES_MAX * 2 {
                return Err(ServerError::malformed("it sends messages without end before it answers"));
            }
            let left = self.line.left(until)?;
            self.receive(left)?;
            self.beat()?;
        }
    }

    /// Puts the word on its way that a message has landed; [`Connection::flush`] sends what is left.
    pub(super) fn acknowledge(&mut self, id: &str) -> Done<()> {
        frames::put(&mut self.line.outgoing, "ACK", &[("id", id)], &[]);
        self.send_much()
    }

    /// Puts a message on its way, whose receipt has the number that is answered. [`Connection::take_event`] sends what is left.
    pub(super) fn send(&mut self, headers: &[(&str, &str)], body: &[u8]) -> Done<u64> {
        let receipt = self.next_receipt();
        let headers = [headers, &[("receipt", receipt.as_str())]].concat();
        frames::put(&mut self.line.outgoing, "SEND", &headers, body);
        self.send_much()?;
        Ok(self.receipts)
    }

    fn next_receipt(&mut self) -> String {
        self.receipts += 1;
        self.receipts.to_string()
    }

    fn send_much(&mut self) -> Done<()> {
        if self.line.outgoing.len() >= OUTGOING_BYTES { self.flush() } else { Ok(()) }
    }

    /// The next thing that the server has sent by itself, after waiting for it for so long at most.
    pub(super) fn take_event(&mut self, wait: Duration) -> Done<Option<Event>> {
        if self.events.is_empty() {
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
        self.beat()
    }

    pub(super) fn flush(&mut self) -> Done<()> {
        let Err(error) = self.line.send() else { return Ok(()) };
        // A server that closes the connection has said why.
        self.receive(Duration::ZERO)?;
        Err(error)
    }

    /// Sends a heartbeat in good time, and notices when none comes.
    fn beat(&mut self) -> Done<()> {
        if self.line.beat(self.events_bytes >= EVENTS_BYTES_MAX)? {
            self.line.outgoing.push(b'\n');
            self.flush()?;
        }
        Ok(())
    }

    /// Reads once, and takes the frames that are whole.
    fn receive(&mut self, wait: Duration) -> Done<()> {
        if self.line.receive(wait)? { self.take_frames() } else { Ok(()) }
    }

    fn take_frames(&mut self) -> Done<()> {
        let incoming = std::mem::take(&mut self.line.incoming);
        let mut start = 0;
        loop {
            let (taken, frame) = self.decoder.take(&incoming[start..])?;
            start += taken;
            let Some(frame) = frame else { break };
            self.take(frame)?;
        }
        self.line.incoming = incoming;
        self.line.incoming.drain(..start);
        Ok(())
    }

    fn take(&mut self, frame: Frame) -> Done<()> {
        let event = match frame.command.as_str() {
            "ERROR" => {
                // Behind it the server hears nothing more.
                self.is_open = false;
                return Err(said(&frame));
            }
            "CONNECTED" if !self.is_open => {
                self.is_open = true;
                self.connected = Some(frame);
                return Ok(());
            }
            "MESSAGE" if self.is_open => Event::Message(Box::new(frame)),
            "RECEIPT" if self.is_open => {
                let id = frame.header("receipt-id");
                Event::Receipt(
                    id.ok_or_else(|| ServerError::malformed("a receipt without receipt-id"))?.to_string(),
                )
            }
            _ => return Err(ServerError::malformed("it says a frame that nobody asked for")),
        };
        self.events_bytes += event.bytes();
        self.events.push_back(event);
        Ok(())
    }
}

impl Drop for Connection {
    /// Says good-bye; whether it is heard is of no account.
    fn drop(&mut self) {
        if self.is_open {
            frames::put(&mut self.line.outgoing, "DISCONNECT", &[], &[]);
            let _ = self.line.send();
        }
    }
}
