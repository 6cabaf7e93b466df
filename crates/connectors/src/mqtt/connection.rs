//! A connection to a server of MQTT: it begins a session, and packets go both ways.
//!
//! Nothing runs in the background: whoever holds it calls it often enough for pings to go both ways. What a packet means
//! for a message is known by whoever takes it: nothing is acknowledged here.

use super::packets::{self, AckKind, Hello, Packet, Publish, Version};
use super::properties::{
    PACKET_MAX, Properties, QOS_MAX, REASON, RECEIVE_MAX, RETAIN_AVAILABLE, SERVER_KEEP_ALIVE,
};
use crate::messages::{Credentials, Done, EVENTS_BYTES_MAX, Line, ServerError};
use auth::socket::Secured;
use base::ErrorKind;
use os::Clock;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What is to be sent is sent when it has grown to this size.
const OUTGOING_BYTES: usize = 256 << 10;
/// What a packet that is no message takes in memory.
const PACKET_BYTES: usize = 128;

/// What the server allows; in version 3.1.1 it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub receive_max: usize,
    pub qos_max: u8,
    pub packet_bytes_max: usize,
    pub retains: bool,
}

/// Messages on their way to a server that does not say how many it takes.
const RECEIVE_MAX_UNSAID: usize = 20;
/// More would not be faster, and packet ids are no more than 65,535.
const ON_THEIR_WAY_MAX: usize = 10_000;

pub(super) struct Connection {
    line: Line,
    pub(super) version: Version,
    /// The server knows the session from before.
    pub(super) has_session: bool,
    pub(super) limits: Limits,
    packets: VecDeque<Packet>,
    packets_bytes: usize,
    last_request: u16,
}

impl Connection {
    pub(super) fn open(
        stream: Secured,
        clock: Arc<dyn Clock>,
        timeout: Duration,
        heartbeat: Duration,
        version: Version,
        credentials: &Credentials<'_>,
        hello: &Hello<'_>,
    ) -> Done<Connection> {
        let mut connection = Connection {
            line: Line::new(stream, clock, timeout),
            version,
            has_session: false,
            limits: Limits {
                receive_max: RECEIVE_MAX_UNSAID,
                qos_max: 2,
                packet_bytes_max: usize::MAX,
                retains: true,
            },
            packets: VecDeque::new(),
            packets_bytes: 0,
            last_request: 0,
        };
        packets::put_connect(&mut connection.line.outgoing, version, hello);
        connection.line.send()?;
        let until = connection.line.answer_until();
        while connection.packets.is_empty() {
            let left = connection.line.left(until)?;
            connection.receive(left)?;
        }
        match connection.pop() {
            Some(Packet::Connected { code: 0, has_session, properties }) => {
                connection.begin(has_session, &properties, heartbeat);
                Ok(connection)
            }
            Some(Packet::Connected { code, properties, .. }) => {
                Err(not_let_in(version, code, &properties, credentials))
            }
            _ => Err(ServerError::malformed("it does not begin with CONNACK")),
        }
    }

    fn begin(&mut self, has_session: bool, properties: &Properties, heartbeat: Duration) {
        let number = |id| properties.number(id).map(|number| number as usize);
        self.has_session = has_session;
        if self.version == Version::Five {
            self.limits = Limits {
                receive_max: number(RECEIVE_MAX).unwrap_or(ON_THEIR_WAY_MAX).clamp(1, ON_THEIR_WAY_MAX),
                qos_max: number(QOS_MAX).map_or(2, |qos| qos.min(2) as u8),
                packet_bytes_max: number(PACKET_MAX).unwrap_or(usize::MAX),
                retains: number(RETAIN_AVAILABLE) != Some(0),
            };
        }
        // The server may want to hear of us more often.
        let heartbeat = match number(SERVER_KEEP_ALIVE) {
            None | Some(0) => heartbeat,
            Some(seconds) if heartbeat.is_zero() => Duration::from_secs(seconds as u64),
            Some(seconds) => heartbeat.min(Duration::from_secs(seconds as u64)),
        };
        self.line.set_heartbeat(heartbeat);
    }

    /// Subscribes; an error where the server does not grant all of it.
    pub(super) fn subscribe(&mut self, filters: &[String], qos: u8) -> Done<()> {
        let id = self.request();
        packets::put_subscribe(&mut self.line.outgoing, self.version, id, filters, qos);
        let (codes, properties) = match self.answer(id)? {
            Packet::Subscribed { codes, properties, .. } => (codes, properties),
            _ => return Err(ServerError::malformed("it answers a subscription with something else")),
        };
        if codes.len() != filters.len() {
            return Err(ServerError::malformed("it does not answer all of a subscription"));
        }
        for (filter, code) in filters.iter().zip(codes) {
            if code >= 0x80 {
                let why = reason(self.version, code, &properties);
                let message = format!(
                    "the server refuses the subscription to '{filter}': {why}; look at what the user may read"
                );
                return Err(ServerError::new(kind_of(code), message));
            }
            if code < qos {
                return Err(ServerError::invalid(format!(
                    "the server grants the subscription to '{filter}' with QoS {code} alone; write 'qos' = '{code}'"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, filters: &[String]) -> Done<()> {
        let id = self.request();
        packets::put_unsubscribe(&mut self.line.outgoing, self.version, id, filters);
        self.answer(id).map(drop)
    }

    fn request(&mut self) -> u16 {
        self.last_request = self.last_request.checked_add(1).unwrap_or(1);
        self.last_request
    }

    /// The answer to a request; messages that come before it are kept.
    fn answer(&mut self, request: u16) -> Done<Packet> {
        self.flush()?;
        let until = self.line.answer_until();
        loop {
            let is_answer = |packet: &Packet| match packet {
                Packet::Subscribed { id, .. } | Packet::Unsubscribed { id } => *id == request,
                _ => false,
            };
            if let Some(index) = self.packets.iter().position(is_answer)
                && let Some(packet) = self.packets.remove(index)
            {
                self.packets_bytes -= bytes_of(&packet);
                return Ok(packet);
            }
            let left = self.line.left(until)?;
            self.receive(left)?;
            self.beat()?;
            if self.packets_bytes > 2 * EVENTS_BYTES_MAX {
                return Err(ServerError::malformed("it sends messages, and no answer"));
            }
        }
    }

    pub(super) fn acknowledge(&mut self, kind: AckKind, id: u16) -> Done<()> {
        packets::put_ack(&mut self.line.outgoing, kind, id);
        if self.line.outgoing.len() >= OUTGOING_BYTES { self.flush() } else { Ok(()) }
    }

    /// Puts a message on its way, as [`packets::encode_publish`] made it.
    pub(super) fn publish(&mut self, encoded: &[u8]) -> Done<()> {
        self.line.outgoing.extend_from_slice(encoded);
        if self.line.outgoing.len() >= OUTGOING_BYTES { self.flush() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> Done<()> {
        let Err(error) = self.line.send() else { return Ok(()) };
        // A server that closes the connection has said why, in version 5.
        self.receive(Duration::ZERO)?;
        Err(error)
    }

    /// The next packet, after waiting for it for so long at most.
    pub(super) fn take(&mut self, wait: Duration) -> Done<Option<Packet>> {
        self.flush()?;
        if self.packets.is_empty() {
            self.receive(wait)?;
            self.beat()?;
        }
        Ok(self.pop())
    }

    fn pop(&mut self) -> Option<Packet> {
        let packet = self.packets.pop_front();
        self.packets_bytes -= packet.as_ref().map_or(0, bytes_of);
        packet
    }

    /// Keeps the connection alive.
    pub(super) fn tend(&mut self) -> Done<()> {
        self.flush()?;
        if self.packets_bytes < EVENTS_BYTES_MAX {
            self.receive(Duration::ZERO)?;
        }
        self.beat()
    }

    fn beat(&mut self) -> Done<()> {
        if self.line.beat(self.packets_bytes >= EVENTS_BYTES_MAX)? {
            packets::put_ping(&mut self.line.outgoing);
            self.line.send()?;
        }
        Ok(())
    }

    /// Says that it is the end, so that the server does not look for it.
    pub(super) fn close(mut self) -> Done<()> {
        packets::put_disconnect(&mut self.line.outgoing);
        self.line.send()
    }

    pub(super) fn answer_until(&self) -> Duration {
        self.line.answer_until()
    }

    /// How long to wait at once for what has to be there until then.
    pub(super) fn left(&self, until: Duration) -> Done<Duration> {
        self.line.left(until)
    }

    /// Reads once, and takes the packets that are whole.
    fn receive(&mut self, wait: Duration) -> Done<()> {
        if !self.line.receive(wait)? {
            return Ok(());
        }
        let incoming = std::mem::take(&mut self.line.incoming);
        let mut start = 0;
        while let Some((packet, length)) = packets::parse(&incoming[start..], self.version)? {
            start += length;
            match packet {
                Packet::Pong => {}
                Packet::Disconnect { code, properties } => {
                    let why = reason(self.version, code, &properties);
                    let message = format!("the server has ended the connection: {why}");
                    return Err(ServerError::new(kind_of(code), message));
                }
                packet => {
                    self.packets_bytes += bytes_of(&packet);
                    self.packets.push_back(packet);
                }
            }
        }
        self.line.incoming = incoming;
        self.line.incoming.drain(..start);
        Ok(())
    }
}

fn bytes_of(packet: &Packet) -> usize {
    if let Packet::Publish(message) = packet { Publish::bytes(message) } else { PACKET_BYTES }
}

fn not_let_in(
    version: Version,
    code: u8,
    properties: &Properties,
    credentials: &Credentials<'_>,
) -> ServerError {
    let why = reason(version, code, properties);
    match (version, code) {
        (Version::Four, 4 | 5) | (Version::Five, 0x86 | 0x87 | 0x8c) => credentials.refused(why),
        (Version::Four, 1) | (Version::Five, 0x84 | 1) => ServerError::invalid(format!(
            "the server does not speak this version of MQTT; write another in 'protocol-version' ({why})"
        )),
        (Version::Four, 3) => ServerError::unavailable(format!("the server lets nobody in: {why}")),
        (Version::Four, _) => ServerError::invalid(format!("the server does not begin a session: {why}")),
        (Version::Five, code) => {
            ServerError::new(kind_of(code), format!("the server does not begin a session: {why}"))
        }
    }
}

/// What a reason of version 5 means for another try.
pub(super) fn kind_of(code: u8) -> ErrorKind {
    match code {
        // What a client has done wrong, or may not do.
        0x81
        | 0x82
        | 0x84..=0x87
        | 0x8a
        | 0x8c
        | 0x8f
        | 0x90
        | 0x94
        | 0x95
        | 0x99..=0x9b
        | 0x9e
        | 0xa1
        | 0xa2 => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    }
}

/// The reason's name, and the server's words if it has any.
pub(super) fn reason(version: Version, code: u8, properties: &Properties) -> String {
    let name = match (version, code) {
        (Version::Four, 1) => "unacceptable protocol version",
        (Version::Four, 2) => "identifier rejected",
        (Version::Four, 3) => "server unavailable",
        (Version::Four, 4) => "bad user name or password",
        (Version::Four, 5) => "not authorized",
        (_, 0x80) => "unspecified error",
        (_, 0x81) => "malformed packet",
        (_, 0x82) => "protocol error",
        (_, 0x83) => "implementation specific error",
        (_, 0x84) => "unsupported protocol version",
        (_, 0x85) => "client identifier not valid",
        (_, 0x86) => "bad user name or password",
        (_, 0x87) => "not authorized",
        (_, 0x88) => "server unavailable",
        (_, 0x89) => "server busy",
        (_, 0x8a) => "banned",
        (_, 0x8b) => "server shutting down",
        (_, 0x8d) => "keep alive timeout",
        (_, 0x8e) => "session taken over: another client has the same client id",
        (_, 0x8f) => "topic filter invalid",
        (_, 0x90) => "topic name invalid",
        (_, 0x93) => "receive maximum exceeded",
        (_, 0x95) => "packet too large",
        (_, 0x96) => "message rate too high",
        (_, 0x97) => "quota exceeded",
        (_, 0x98) => "administrative action",
        (_, 0x99) => "payload format invalid",
        (_, 0x9a) => "retain not supported",
        (_, 0x9b) => "QoS not supported",
        (_, 0x9c) => "use another server",
        (_, 0x9d) => "server moved",
        (_, 0x9e) => "shared subscriptions not supported",
        (_, 0x9f) => "connection rate exceeded",
        (_, 0xa2) => "wildcard subscriptions not supported",
        _ => "a reason without a name",
    };
    match properties.text(REASON) {
        Some(words) => format!("{name} (code {code:#04x}): {words}"),
        None => format!("{name} (code {code:#04x})"),
    }
}
