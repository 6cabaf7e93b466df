//! The packets of MQTT 3.1.1 and 5, as far as a client needs them.
//!
//! Both versions are OASIS standards: <https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html>. What version 5 adds are
//! properties and reasons; a packet of version 3.1.1 has none.

use super::properties::{Properties, Reader, put_text, put_varint, varint};
use crate::messages::{Done, EVENTS_BYTES_MAX, ServerError};

/// No packet can say that it is longer.
pub(super) const PACKET_BYTES_MAX: usize = 5 + 268_435_455;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// 3.1.1.
    Four,
    Five,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet {
    Connected { has_session: bool, code: u8, properties: Properties },
    Publish(Publish),
    Ack { kind: AckKind, id: u16, code: u8, properties: Properties },
    Subscribed { id: u16, codes: Vec<u8>, properties: Properties },
    Unsubscribed { id: u16 },
    Pong,
    Disconnect { code: u8, properties: Properties },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AckKind {
    Ack = 4,
    Received = 5,
    Release = 6,
    Complete = 7,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Publish {
    pub is_duplicate: bool,
    pub qos: u8,
    pub retains: bool,
    pub topic: String,
    /// 0 of a message that nobody acknowledges.
    pub id: u16,
    pub properties: Properties,
    pub payload: Vec<u8>,
    /// Why the properties cannot be read, which then are part of the payload.
    pub problem: Option<String>,
}

impl Publish {
    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.bytes() + 96
    }
}

/// The first packet of `bytes` and its length, if it is there as a whole.
pub(super) fn parse(bytes: &[u8], version: Version) -> Done<Option<(Packet, usize)>> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let Some((length, digits)) = varint(rest).map_err(malformed)? else { return Ok(None) };
    let length = length as usize;
    if length > EVENTS_BYTES_MAX {
        return Err(malformed(format!("a packet of bytes={length} exceeds limit={EVENTS_BYTES_MAX}")));
    }
    let Some(body) = rest[digits..].get(..length) else { return Ok(None) };
    let packet = whole(first, body, version).map_err(malformed)?;
    Ok(Some((packet, 1 + digits + length)))
}

fn malformed(what: impl AsRef<str>) -> ServerError {
    ServerError::malformed(what.as_ref())
}

fn whole(first: u8, body: &[u8], version: Version) -> Result<Packet, String> {
    let mut reader = Reader(body);
    let reader = &mut reader;
    let (kind, flags) = (first >> 4, first & 0x0f);
    if kind == 3 {
        return publish(flags, reader, version).map(Packet::Publish);
    }
    if flags != if kind == 6 { 2 } else { 0 } {
        return Err(format!("a packet of kind={kind} has the flags {flags:#x}"));
    }
    // What is left out at the end is as if it were nothing.
    let properties = |reader: &mut Reader<'_>| match version {
        Version::Five if !reader.0.is_empty() => Properties::read(reader),
        _ => Ok(Properties::default()),
    };
    let packet = match kind {
        2 => {
            let has_session = reader.u8()? & 1 == 1;
            Packet::Connected { has_session, code: reader.u8()?, properties: properties(reader)? }
        }
        4..=7 => {
            let kind = match kind {
                4 => AckKind::Ack,
                5 => AckKind::Received,
                6 => AckKind::Release,
                _ => AckKind::Complete,
            };
            let id = packet_id(reader)?;
            let code = if reader.0.is_empty() { 0 } else { reader.u8()? };
            Packet::Ack { kind, id, code, properties: properties(reader)? }
        }
        9 => {
            let id = packet_id(reader)?;
            let properties = properties(reader)?;
            Packet::Subscribed { id, codes: std::mem::take(&mut reader.0).to_vec(), properties }
        }
        11 => {
            let id = packet_id(reader)?;
            reader.0 = &[];
            Packet::Unsubscribed { id }
        }
        13 => Packet::Pong,
        14 if version == Version::Five => {
            let code = if reader.0.is_empty() { 0 } else { reader.u8()? };
            Packet::Disconnect { code, properties: properties(reader)? }
        }
        _ => return Err(format!("a packet of kind={kind} is none that a server sends")),
    };
    if reader.0.is_empty() { Ok(packet) } else { Err(format!("a packet of kind={kind} is too long")) }
}

fn packet_id(reader: &mut Reader<'_>) -> Result<u16, String> {
    match reader.u16()? {
        0 => Err("a packet has no id".into()),
        id => Ok(id),
    }
}

fn publish(flags: u8, reader: &mut Reader<'_>, version: Version) -> Result<Publish, String> {
    let qos = flags >> 1 & 3;
    if qos == 3 {
        return Err("a message has the quality of service 3".into());
    }
    let topic = reader.text()?;
    let id = if qos == 0 { 0 } else { packet_id(reader)? };
    let behind = reader.0;
    let properties = match version {
        Version::Five => Properties::read(reader),
        Version::Four => Ok(Properties::default()),
    };
    // Who can be told from others can be acknowledged: it does not stop those behind it.
    let (properties, payload, problem) = match properties {
        Ok(properties) => (properties, reader.0, None),
        Err(problem) => (Properties::default(), behind, Some(problem)),
    };
    let (is_duplicate, retains) = (flags & 8 != 0, flags & 1 != 0);
    Ok(Publish { is_duplicate, qos, retains, topic, id, properties, payload: payload.to_vec(), problem })
}

/// How a session begins.
pub(super) struct Hello<'a> {
    pub client_id: &'a str,
    pub user: Option<&'a str>,
    pub password: Option<&'a str>,
    pub is_clean: bool,
    pub keep_alive_s: u16,
    /// Version 5: how long the server keeps the session, how many messages may be unacknowledged, and how long one may be.
    pub expiry_s: u32,
    pub receive_max: u16,
    pub packet_bytes_max: u32,
}

fn put(out: &mut Vec<u8>, first: u8, body: &[u8]) {
    out.push(first);
    put_varint(out, body.len());
    out.extend_from_slice(body);
}

pub(super) fn put_connect(out: &mut Vec<u8>, version: Version, hello: &Hello<'_>) {
    let mut body = Vec::new();
    put_text(&mut body, "MQTT");
    body.push(if version == Version::Five { 5 } else { 4 });
    let flag = |is_set: bool, bit: u8| u8::from(is_set) << bit;
    // Version 3.1.1 has no password without a user.
    let user = hello.user.or(hello.password.map(|_| ""));
    body.push(flag(hello.is_clean, 1) | flag(user.is_some(), 7) | flag(hello.password.is_some(), 6));
    body.extend_from_slice(&hello.keep_alive_s.to_be_bytes());
    if version == Version::Five {
        let mut properties = Properties::default();
        properties.set_number(super::properties::SESSION_EXPIRY, hello.expiry_s);
        properties.set_number(super::properties::RECEIVE_MAX, hello.receive_max.into());
        properties.set_number(super::properties::PACKET_MAX, hello.packet_bytes_max);
        properties.put(&mut body);
    }
    put_text(&mut body, hello.client_id);
    for text in [user, hello.password].into_iter().flatten() {
        put_text(&mut body, text);
    }
    put(out, 0x10, &body);
}

pub(super) fn put_subscribe(out: &mut Vec<u8>, version: Version, id: u16, filters: &[String], qos: u8) {
    let mut body = id.to_be_bytes().to_vec();
    if version == Version::Five {
        Properties::default().put(&mut body);
    }
    for filter in filters {
        put_text(&mut body, filter);
        // Version 5: retained messages for subscriptions alone that are new, and as they were published.
        body.push(if version == Version::Five { qos | 1 << 3 | 1 << 4 } else { qos });
    }
    put(out, 0x82, &body);
}

pub(super) fn put_unsubscribe(out: &mut Vec<u8>, version: Version, id: u16, filters: &[String]) {
    let mut body = id.to_be_bytes().to_vec();
    if version == Version::Five {
        Properties::default().put(&mut body);
    }
    for filter in filters {
        put_text(&mut body, filter);
    }
    put(out, 0xa2, &body);
}

pub(super) fn put_ack(out: &mut Vec<u8>, kind: AckKind, id: u16) {
    let flags = if kind == AckKind::Release { 2 } else { 0 };
    put(out, (kind as u8) << 4 | flags, &id.to_be_bytes());
}

pub(super) fn put_ping(out: &mut Vec<u8>) {
    put(out, 0xc0, &[]);
}

/// In good order: version 5 then keeps the session as it was told, and both send no will.
pub(super) fn put_disconnect(out: &mut Vec<u8>) {
    put(out, 0xe0, &[]);
}

/// The body of a message as it goes to the server; its length is what a server bounds.
pub(super) fn encode_publish(message: &Publish, version: Version) -> Vec<u8> {
    let mut body = Vec::with_capacity(message.bytes());
    put_text(&mut body, &message.topic);
    if message.qos > 0 {
        body.extend_from_slice(&message.id.to_be_bytes());
    }
    if version == Version::Five {
        message.properties.put(&mut body);
    }
    body.extend_from_slice(&message.payload);
    let flags = u8::from(message.is_duplicate) << 3 | message.qos << 1 | u8::from(message.retains);
    let mut out = Vec::with_capacity(body.len() + 5);
    put(&mut out, 0x30 | flags, &body);
    out
}

/// A text of a packet has its length in two bytes, and no NUL.
pub(super) fn fits_text(text: &str) -> bool {
    text.len() <= u16::MAX.into() && !text.contains('\0')
}

pub(super) fn fits_binary(bytes: &[u8]) -> bool {
    bytes.len() <= u16::MAX.into()
}

/// Whether messages can be published to it.
pub(super) fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && fits_text(topic) && !topic.contains(['+', '#'])
}

/// Whether it can be subscribed to: `+` stands for a level, and `#` at the end for all that follow.
pub(super) fn is_filter(filter: &str) -> bool {
    let plain = match filter.strip_prefix("$share/") {
        Some(rest) => match rest.split_once('/') {
            Some((group, plain)) if !group.is_empty() && !group.contains(['+', '#']) => plain,
            _ => return false,
        },
        None => filter,
    };
    let levels: Vec<&str> = plain.split('/').collect();
    let last = levels.len() - 1;
    let is_level = |(index, level): (usize, &&str)| {
        *level == "+" || (*level == "#" && index == last) || !level.contains(['+', '#'])
    };
    !plain.is_empty() && fits_text(filter) && levels.iter().enumerate().all(is_level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::properties::CONTENT_TYPE;

    #[test]
    fn a_message_is_read_as_it_was_written_when_it_is_whole() {
        let mut properties = Properties::default();
        properties.user.push(("k".into(), "v".into()));
        properties.set_text(CONTENT_TYPE, "json");
        for version in [Version::Four, Version::Five] {
            let of_version =
                if version == Version::Five { properties.clone() } else { Properties::default() };
            for (qos, id) in [(0, 0), (1, 7), (2, 65535)] {
                let message = Publish {
                    is_duplicate: qos > 0,
                    qos,
                    retains: true,
                    topic: "a/b".into(),
                    id,
                    properties: of_version.clone(),
                    payload: b"{}".repeat(100),
                    problem: None,
                };
                let bytes = encode_publish(&message, version);
                for cut in 0..bytes.len() {
                    assert_eq!(parse(&bytes[..cut], version).unwrap(), None, "cut to {cut}");
                }
                let found = parse(&bytes, version).unwrap().unwrap();
                assert_eq!(found, (Packet::Publish(message), bytes.len()));
            }
        }
    }

    #[test]
    fn acknowledgements_are_read_with_a_reason_and_without() {
        let cases: &[(&[u8], AckKind, u8)] = &[
            (&[0x40, 2, 0, 9], AckKind::Ack, 0),
            (&[0x50, 3, 0, 9, 0x87], AckKind::Received, 0x87),
            (&[0x62, 4, 0, 9, 0, 0], AckKind::Release, 0),
            (&[0x70, 8, 0, 9, 0x92, 4, 0x1f, 0, 1, b'x'], AckKind::Complete, 0x92),
        ];
        for (bytes, kind, code) in cases {
            let (packet, length) = parse(bytes, Version::Five).unwrap().unwrap();
            let Packet::Ack { kind: found, id: 9, code: said, .. } = packet else { panic!("{packet:?}") };
            assert_eq!((found, said, length), (*kind, *code, bytes.len()));
        }
        let mut out = Vec::new();
        put_ack(&mut out, AckKind::Release, 9);
        assert_eq!(out, [0x62, 2, 0, 9]);
    }

    #[test]
    fn what_no_server_says_is_an_error_before_anything_is_made_of_it() {
        for said in [
            &[0x30, 0xff, 0xff, 0xff, 0xff, 1][..],
            &[0x30, 0xff, 0xff, 0xff, 0x7f],
            &[0x36, 5, 0, 1, b'a', 0, 1],
            &[0x32, 5, 0, 1, b'a', 0, 0],
            &[0x30, 3, 0, 9, b'a'],
            &[0x40, 2, 0, 0],
            &[0x41, 2, 0, 1],
            &[0x60, 2, 0, 1],
            &[0x20, 1, 0],
            &[0xd0, 1, 0],
            &[0x10, 0],
            &[0xf0, 0],
            &[0x40, 7, 0, 9, 0, 2, 0x1f, 0, 1],
        ] {
            assert!(parse(said, Version::Five).is_err(), "{said:x?}");
        }
        assert!(parse(&[0xe0, 0], Version::Four).is_err() && parse(&[0xe0, 0], Version::Five).is_ok());
    }

    #[test]
    fn a_message_whose_properties_are_odd_does_not_stop_the_others() {
        let said = [0x32, 8, 0, 1, b'a', 0, 7, 5, 0x26, 0];
        let Some((Packet::Publish(message), 10)) = parse(&said, Version::Five).unwrap() else {
            panic!("one")
        };
        assert_eq!((message.id, message.payload.as_slice()), (7, &[5, 0x26, 0][..]));
        assert!(message.problem.is_some());
    }

    #[test]
    fn a_session_begins_as_the_standards_say() {
        let hello = Hello {
            client_id: "c",
            user: Some("u"),
            password: Some("p"),
            is_clean: false,
            keep_alive_s: 60,
            expiry_s: 1,
            receive_max: 2,
            packet_bytes_max: 3,
        };
        let mut four = Vec::new();
        put_connect(&mut four, Version::Four, &hello);
        assert_eq!(four, b"\x10\x13\0\x04MQTT\x04\xc0\0\x3c\0\x01c\0\x01u\0\x01p");
        let mut five = Vec::new();
        put_connect(&mut five, Version::Five, &hello);
        assert_eq!(
            five,
            b"\x10\x21\0\x04MQTT\x05\xc0\0\x3c\x0d\x11\0\0\0\x01\x21\0\x02\x27\0\0\0\x03\0\x01c\0\x01u\0\x01p"
        );
        let mut out = Vec::new();
        put_subscribe(&mut out, Version::Five, 1, &["a/#".into()], 2);
        assert_eq!(out, b"\x82\x09\0\x01\0\0\x03a/#\x1a");
    }

    #[test]
    fn topics_and_filters_are_those_of_the_standard() {
        for (filter, is_right) in [
            ("a", true),
            ("a/+/b", true),
            ("#", true),
            ("a/#", true),
            ("$share/g/a/#", true),
            ("", false),
            ("a/#/b", false),
            ("a+", false),
            ("a/b#", false),
            ("$share/g", false),
            ("$share//a", false),
            ("$share/g/", false),
            ("$share/+/a", false),
        ] {
            assert_eq!(is_filter(filter), is_right, "{filter}");
        }
        assert!(is_topic("a/b") && !is_topic("a/+") && !is_topic("") && !is_topic("a\0"));
        assert!(!is_topic(&"a".repeat(65536)));
    }
}
