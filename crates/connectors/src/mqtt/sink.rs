//! Publishes rows to topics, and waits until the server has confirmed them.
//!
//! With QoS 2 a packet id is made of the outbox offset, so a message that is sent again has the id of before. A server keeps
//! the ids that it has received until they are released, and takes none twice meanwhile. So they are released when the log
//! knows that the server has them (the position), and not before: whatever dies in between, what is sent again is known to
//! the server by its id, and what it has received is released later.
//!
//! A session that the server has lost is noticed by the `CONNECT` that makes another. That one is ended at once, and the next
//! is made when something is published: then the log knows how far to go back.

use super::Server;
use super::connection::{Connection, kind_of, reason};
use super::options::{RETAIN, TOPIC, qos, version};
use super::packets::{
    self, AckKind, Packet, Publish, Version, encode_publish, fits_binary, fits_text, is_topic,
};
use super::properties::{CONTENT_TYPE, EXPIRY, Properties, RESPONSE_TOPIC};
use crate::landed::Carried;
use crate::messages::{Done, Outcome, Publisher, Sent, ServerError, SinkParts};
use crate::positions::Position;
use base::ErrorKind;
use kafka_wire::records::Record;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

const IDS: i64 = 65_535;
/// Codes by which the server says that it has nobody for a message, which is no failure.
const FAILURES: u8 = 0x80;
/// Of a message that is sent again some servers say by this that they have received it before.
const ID_IN_USE: u8 = 0x91;

pub(super) struct TopicPublisher {
    server: Server,
    topic: String,
    qos: u8,
    retains: bool,
    /// Sent, and not answered: their outbox offsets and bodies, by packet id.
    sent: BTreeMap<u16, (i64, Vec<u8>)>,
    /// With QoS 2: what the server has received, and has to be told that it may let go.
    received: Vec<u16>,
    /// With QoS 2: behind what is let go. The log has it as one more, because 0 is none.
    mark: i64,
    /// Before which messages may have been sent on a connection before.
    again_to: i64,
    /// The session was lost, and none is made yet.
    is_bare: bool,
    ready: VecDeque<Outcome>,
}

fn packet_id(offset: i64) -> u16 {
    // From 1 on: 0 is no id.
    (offset.rem_euclid(IDS) + 1) as u16
}

impl TopicPublisher {
    pub(super) fn new(parts: &SinkParts) -> TopicPublisher {
        let options = &parts.options;
        TopicPublisher {
            topic: options.text(TOPIC).unwrap_or_default().to_string(),
            qos: qos(options),
            retains: options.boolean(RETAIN),
            server: Server::new(parts.access.clone(), options, &parts.job),
            sent: BTreeMap::new(),
            received: Vec::new(),
            mark: 0,
            again_to: 0,
            is_bare: false,
            ready: VecDeque::new(),
        }
    }

    /// A connection with the session of before, and where to go on.
    fn resume(&mut self, known: Position) -> Done<(Connection, Position)> {
        let Some(mark) = known.mark.checked_sub(1) else {
            // What another sink of the same client id has left would hide what is sent under its packet ids.
            self.server.connect(true, false)?.close()?;
            let connection = self.server.connect(false, true)?;
            return Ok((connection, Position { mark: known.offset as u64 + 1, ..known }));
        };
        let mark = i64::try_from(mark).unwrap_or(known.offset).min(known.offset);
        let mut connection = self.server.connect(false, true)?;
        if !connection.has_session {
            // What the server had received and not let go is gone with the session.
            if mark < known.offset {
                connection.close()?;
                connection = self.server.connect(true, false)?;
                self.is_bare = true;
            }
            return Ok((connection, Position { offset: mark, ..known }));
        }
        let ids: Vec<u16> = (mark.max(known.offset - IDS)..known.offset).map(packet_id).collect();
        release(&mut connection, &ids)?;
        self.again_to = known.offset + connection.limits.receive_max as i64;
        Ok((connection, known))
    }

    fn message(&self, record: &Record<'_>, version: Version) -> Result<Publish, String> {
        let carried = Carried::of(record);
        let topic = carried.text("topic").unwrap_or_else(|| self.topic.clone());
        if !is_topic(&topic) {
            return Err(format!(
                "'{}' is no topic to publish to: it may not be empty, nor have '+' or '#'",
                topic.escape_debug()
            ));
        }
        let mut properties = Properties::default();
        if version == Version::Five {
            for (key, id) in [("content-type", CONTENT_TYPE), ("response-topic", RESPONSE_TOPIC)] {
                let Some(text) = carried.text(key) else { continue };
                if !fits_text(&text) {
                    return Err(format!("'{key}' has more than 65535 bytes, or a NUL"));
                }
                properties.set_text(id, &text);
            }
            if let Some(seconds) = carried.number("message-expiry") {
                let seconds = u32::try_from(seconds);
                properties
                    .set_number(EXPIRY, seconds.map_err(|_| "'message-expiry' is no number of seconds")?);
            }
            for (name, value) in &carried.headers {
                let value = value.unwrap_or_default();
                let text = std::str::from_utf8(value).ok().filter(|text| fits_text(text));
                let text = text.filter(|_| fits_text(name) && fits_binary(name.as_bytes()));
                let text = text.ok_or_else(|| {
                    format!(
                        "the header '{}' cannot be written: a user property has texts of up to 65535 bytes",
                        name.escape_debug()
                    )
                })?;
                properties.user.push((name.to_string(), text.to_string()));
            }
        }
        Ok(Publish {
            is_duplicate: self.qos == 2 && record.offset < self.again_to,
            qos: self.qos,
            retains: self.retains,
            topic,
            id: packet_id(record.offset),
            properties,
            payload: record.value.unwrap_or_default().to_vec(),
            problem: None,
        })
    }

    /// Takes what the server says of a message.
    fn hear(&mut self, packet: Packet) -> Done<()> {
        let Packet::Ack { kind, id, code, properties } = packet else { return Ok(()) };
        match kind {
            AckKind::Ack if self.qos == 1 => {}
            AckKind::Received if self.qos == 2 => {}
            // Of a release that was sent before it was heard.
            AckKind::Complete => return Ok(()),
            _ => return Err(ServerError::malformed("it acknowledges what was not sent so")),
        }
        let Some((offset, body)) = self.sent.remove(&id) else {
            // A server that goes on with a session says again what it has received: what is sent again is confirmed by that.
            return Ok(());
        };
        let tag = offset as u64;
        let is_known = code == ID_IN_USE && self.qos == 2 && offset < self.again_to;
        if code < FAILURES || is_known {
            if self.qos == 2 {
                self.received.push(id);
            }
            let mark = if self.qos == 2 { self.mark as u64 + 1 } else { 0 };
            self.ready.push_back(Outcome::Confirmed { tag, multiple: false, mark });
            return Ok(());
        }
        let reason = format!("the server refuses it: {}", reason(Version::Five, code, &properties));
        if kind_of(code) == ErrorKind::Invalid {
            self.ready.push_back(Outcome::Refused { which: format!("outbox-offset={offset}"), body, reason });
            // It is settled by the dead letter.
            self.ready.push_back(Outcome::Confirmed { tag, multiple: false, mark: 0 });
        } else {
            self.ready.push_back(Outcome::NotTaken { tag, multiple: false, reason });
        }
        Ok(())
    }

    /// Waits until fewer messages are on their way than the server takes.
    fn make_room(&mut self, connection: &mut Connection) -> Done<()> {
        let until = connection.answer_until();
        while self.qos > 0 && self.sent.len() >= connection.limits.receive_max {
            let left = connection.left(until)?;
            if let Some(packet) = connection.take(left)? {
                self.hear(packet)?;
            }
        }
        Ok(())
    }
}

/// Tells the server that it may let ids go, and waits until it has; of one that it does not know it says so too.
fn release(connection: &mut Connection, ids: &[u16]) -> Done<()> {
    // No more at once than may be on their way.
    for ids in ids.chunks(connection.limits.receive_max) {
        for id in ids {
            connection.acknowledge(AckKind::Release, *id)?;
        }
        let mut left = ids.len();
        let until = connection.answer_until();
        while left > 0 {
            let wait = connection.left(until)?;
            if let Some(Packet::Ack { kind: AckKind::Complete, .. }) = connection.take(wait)? {
                left -= 1;
            }
        }
    }
    Ok(())
}

impl Publisher for TopicPublisher {
    type Connection = Connection;

    fn open(&mut self, known: Position) -> Done<(Connection, Position)> {
        (self.sent, self.received, self.ready) = (BTreeMap::new(), Vec::new(), VecDeque::new());
        (self.again_to, self.is_bare) = (0, false);
        let (connection, position) = match self.qos {
            2 => self.resume(known)?,
            _ => {
                // With QoS 2 before, the session goes, and with it what was not let go.
                let mark = known.mark.checked_sub(1).and_then(|mark| i64::try_from(mark).ok());
                let offset = mark.map_or(known.offset, |mark| mark.min(known.offset));
                (self.server.connect(true, false)?, Position { offset, mark: 0 })
            }
        };
        let limits = connection.limits;
        if self.qos > limits.qos_max {
            return Err(ServerError::invalid(format!(
                "the server takes messages up to QoS {0}; write 'qos' = '{0}'",
                limits.qos_max
            )));
        }
        if self.retains && !limits.retains {
            return Err(ServerError::invalid(format!(
                "the server retains no messages; leave '{RETAIN}' away"
            )));
        }
        self.mark = position.offset;
        Ok((connection, position))
    }

    fn is_full(&self, connection: &Connection) -> bool {
        self.qos == 2 && self.sent.len() + self.received.len() >= connection.limits.receive_max
    }

    fn publish(&mut self, connection: &mut Connection, record: &Record<'_>) -> Done<Sent> {
        let message = match self.message(record, version(&self.server.options)) {
            Ok(message) => message,
            Err(reason) => return Ok(Sent::Refused(reason)),
        };
        let encoded = encode_publish(&message, connection.version);
        let limit = connection.limits.packet_bytes_max.min(packets::PACKET_BYTES_MAX);
        if encoded.len() > limit {
            let bytes = encoded.len();
            let reason =
                format!("a message of bytes={bytes} is longer than the server takes (limit={limit})");
            return Ok(Sent::Refused(reason));
        }
        if std::mem::take(&mut self.is_bare) {
            *connection = self.server.connect(false, true)?;
        }
        self.make_room(connection)?;
        connection.publish(&encoded)?;
        let tag = record.offset as u64;
        if self.qos == 0 {
            self.ready.push_back(Outcome::Confirmed { tag, multiple: false, mark: 0 });
        } else {
            self.sent.insert(message.id, (record.offset, message.payload));
        }
        Ok(Sent::Tag(tag))
    }

    fn outcome(&mut self, connection: &mut Connection, wait: Duration) -> Done<Option<Outcome>> {
        connection.flush()?;
        loop {
            if let Some(outcome) = self.ready.pop_front() {
                return Ok(Some(outcome));
            }
            let Some(packet) = connection.take(wait)? else { return Ok(None) };
            self.hear(packet)?;
        }
    }

    fn kept(&mut self, connection: &mut Connection, offset: i64) -> Done<()> {
        let received = std::mem::take(&mut self.received);
        self.mark = offset;
        release(connection, &received)
    }

    fn tend(&mut self, connection: &mut Connection) -> Done<()> {
        connection.tend()
    }
}
