//! Messages of AMQP 1.0 (section 3.2 of the specification): what they say of themselves, and a body as bytes.

use super::values::{Reader, Value, Writer};
use crate::landed::Headers;
use crate::messages::{Done, ServerError, is_time};

/// Sections, by the number of their descriptor.
mod section {
    pub(super) const HEADER: u64 = 0x70;
    pub(super) const MESSAGE_ANNOTATIONS: u64 = 0x72;
    pub(super) const PROPERTIES: u64 = 0x73;
    pub(super) const APPLICATION_PROPERTIES: u64 = 0x74;
    pub(super) const DATA: u64 = 0x75;
    pub(super) const SEQUENCE: u64 = 0x76;
    pub(super) const VALUE: u64 = 0x77;
}

/// What the names of annotations begin with.
const ANNOTATION: &str = "x-opt-";
/// An annotation that is a time.
const SCHEDULED: &str = "x-opt-scheduled-enqueue-time";
/// Annotations that ask a server for something. All others are its own words.
const ASKED: [&str; 5] = [
    SCHEDULED,
    "x-opt-delivery-time",
    "x-opt-delivery-delay",
    "x-opt-partition-key",
    "x-opt-via-partition-key",
];

/// Whether a header is an annotation of a server that nobody may write.
pub(super) fn is_servers(name: &str) -> bool {
    name.starts_with(ANNOTATION) && !ASKED.contains(&name)
}

/// All of it may be absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Message {
    pub durable: Option<bool>,
    pub priority: Option<u8>,
    pub ttl_ms: Option<u32>,
    /// How often it was delivered before without being taken.
    pub delivery_count: Option<u32>,
    pub message_id: Option<String>,
    pub user_id: Option<String>,
    pub to: Option<String>,
    pub subject: Option<String>,
    pub reply_to: Option<String>,
    pub correlation_id: Option<String>,
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    /// Milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    pub group_id: Option<String>,
    pub group_sequence: Option<u32>,
    /// Application properties, and annotations, whose names begin with `x-opt-`.
    pub headers: Headers,
    pub body: Vec<u8>,
}

impl Message {
    /// A message, or as its body the bytes of what is none: the table's format says what becomes of those.
    pub(crate) fn of(bytes: &[u8]) -> Message {
        Message::parse(bytes).unwrap_or_else(|_| Message { body: bytes.to_vec(), ..Message::default() })
    }

    pub(crate) fn parse(bytes: &[u8]) -> Done<Message> {
        if bytes.is_empty() {
            return Err(ServerError::malformed("a message has no sections"));
        }
        let mut message = Message::default();
        let mut reader = Reader::new(bytes);
        let mut sequences = Vec::new();
        while !reader.rest().is_empty() {
            match reader.described()? {
                (section::SEQUENCE, value) => sequences.push(value),
                (section, content) => message.take(section, content),
            }
        }
        match sequences.len() {
            0 => {}
            1 => message.body = sequences.remove(0).shown().unwrap_or_default(),
            _ => message.body = Value::List(sequences).shown().unwrap_or_default(),
        }
        Ok(message)
    }

    fn take(&mut self, section: u64, content: Value) {
        match (section, content) {
            (section::DATA, Value::Bytes(bytes)) if self.body.is_empty() => self.body = bytes,
            (section::DATA, Value::Bytes(bytes)) => self.body.extend_from_slice(&bytes),
            (section::VALUE, value) => self.body = value.shown().unwrap_or_default(),
            (section::MESSAGE_ANNOTATIONS | section::APPLICATION_PROPERTIES, Value::Map(pairs)) => {
                let header = |(name, value): (Value, Value)| Some((name.shown_text()?, value.shown()));
                self.headers.extend(pairs.into_iter().filter_map(header));
            }
            (section::HEADER, Value::List(fields)) => self.take_header(&fields),
            (section::PROPERTIES, Value::List(fields)) => self.take_properties(&fields),
            // Delivery annotations and footers are of no account here.
            _ => {}
        }
    }

    fn take_header(&mut self, fields: &[Value]) {
        let number = |index: usize| fields.get(index).and_then(Value::number);
        self.durable = match fields.first() {
            Some(Value::Bool(durable)) => Some(*durable),
            _ => None,
        };
        self.priority = number(1).and_then(|number| u8::try_from(number).ok());
        self.ttl_ms = number(2).and_then(|number| u32::try_from(number).ok());
        self.delivery_count = number(4).and_then(|number| u32::try_from(number).ok());
    }

    fn take_properties(&mut self, fields: &[Value]) {
        let text = |index: usize| fields.get(index)?.shown_text();
        let number = |index: usize| fields.get(index).and_then(Value::number);
        self.message_id = text(0);
        self.user_id = text(1);
        self.to = text(2);
        self.subject = text(3);
        self.reply_to = text(4);
        self.correlation_id = text(5);
        self.content_type = text(6);
        self.content_encoding = text(7);
        self.timestamp_ms = number(9).filter(is_time);
        self.group_id = text(10);
        self.group_sequence = number(11).and_then(|number| u32::try_from(number).ok());
    }

    /// About what it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let texts = [
            &self.message_id,
            &self.user_id,
            &self.to,
            &self.subject,
            &self.reply_to,
            &self.correlation_id,
            &self.content_type,
            &self.content_encoding,
            &self.group_id,
        ];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        let headers = self.headers.iter().map(|(name, value)| {
            size_of::<(String, Option<Vec<u8>>)>() + name.len() + value.as_ref().map_or(0, Vec::len)
        });
        size_of::<Message>() + texts + headers.sum::<usize>() + self.body.len()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 256);
        let mut writer = Writer::new(&mut out);
        if self.durable.is_some() || self.priority.is_some() || self.ttl_ms.is_some() {
            writer.described(section::HEADER, |section| {
                section.list(|fields| {
                    fields.bool(self.durable.unwrap_or(false));
                    fields.or_null(self.priority, Writer::ubyte).or_null(self.ttl_ms, Writer::uint);
                });
            });
        }
        let is_annotation = |(name, _): &&(String, Option<Vec<u8>>)| ASKED.contains(&name.as_str());
        if self.headers.iter().any(|header| is_annotation(&header)) {
            writer.described(section::MESSAGE_ANNOTATIONS, |section| {
                section.map(|map| {
                    for (name, value) in self.headers.iter().filter(is_annotation) {
                        put_annotation(map.symbol(name), name, value.as_deref());
                    }
                });
            });
        }
        writer.described(section::PROPERTIES, |section| {
            section.list(|fields| self.put_properties(fields));
        });
        if self.headers.iter().any(|header| !is_annotation(&header)) {
            writer.described(section::APPLICATION_PROPERTIES, |section| {
                section.map(|map| {
                    for (name, value) in self.headers.iter().filter(|header| !is_annotation(header)) {
                        put_header(map.string(name), value.as_deref());
                    }
                });
            });
        }
        writer.described(section::DATA, |section| {
            section.binary(&self.body);
        });
        out
    }

    fn put_properties(&self, fields: &mut Writer<'_>) {
        fields.or_null(self.message_id.as_deref(), Writer::string);
        fields.or_null(self.user_id.as_deref().map(str::as_bytes), Writer::binary);
        for text in [&self.to, &self.subject, &self.reply_to, &self.correlation_id] {
            fields.or_null(text.as_deref(), Writer::string);
        }
        for symbol in [&self.content_type, &self.content_encoding] {
            fields.or_null(symbol.as_deref(), Writer::symbol);
        }
        fields.null().or_null(self.timestamp_ms, Writer::timestamp);
        fields.or_null(self.group_id.as_deref(), Writer::string);
        fields.or_null(self.group_sequence, Writer::uint);
    }
}

/// Bytes that are a text are sent as one.
fn put_header(out: &mut Writer<'_>, value: Option<&[u8]>) {
    match value.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
        None => out.null(),
        Some((Ok(text), _)) => out.string(text),
        Some((Err(_), bytes)) => out.binary(bytes),
    };
}

/// The annotations that servers act on are numbers and times.
fn put_annotation(out: &mut Writer<'_>, name: &str, value: Option<&[u8]>) {
    let number = value.and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse::<i64>().ok());
    match number {
        Some(ms) if name == SCHEDULED => {
            out.timestamp(ms);
        }
        Some(number) => {
            out.long(number);
        }
        None => put_header(out, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        let text = |text: &str| Some(text.to_string());
        Message {
            durable: Some(true),
            priority: Some(7),
            ttl_ms: Some(60_000),
            delivery_count: None,
            message_id: text("m"),
            user_id: text("u"),
            to: text("t"),
            subject: text("s"),
            reply_to: text("r"),
            correlation_id: text("c"),
            content_type: text("application/json"),
            content_encoding: text("identity"),
            timestamp_ms: Some(1_700_000_000_123),
            group_id: text("g"),
            group_sequence: Some(3),
            headers: vec![
                ("x-opt-delivery-delay".into(), Some(b"1500".to_vec())),
                ("x-opt-partition-key".into(), Some(b"p".to_vec())),
                ("x-opt-scheduled-enqueue-time".into(), Some(b"1700000000000".to_vec())),
                ("a".into(), Some(b"x".to_vec())),
                ("b".into(), Some(vec![0xff, 0])),
                ("none".into(), None),
            ],
            body: b"{}".to_vec(),
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        for message in [message(), Message::default()] {
            let bytes = message.encode();
            assert_eq!(Message::parse(&bytes).unwrap(), message);
            for length in 0..bytes.len() {
                // A message may end behind each of its sections.
                if let Ok(part) = Message::parse(&bytes[..length]) {
                    assert!(part.body.is_empty(), "cut to {length} bytes");
                }
            }
        }
    }

    #[test]
    fn bodies_of_all_kinds_are_bytes() {
        let cases: &[(&[u8], &str)] = &[
            (b"\0\x53\x75\xa0\x02{}", "{}"),
            (b"\0\x53\x75\xa0\x01{\0\x53\x75\xa0\x01}", "{}"),
            (b"\0\x53\x77\xa1\x02{}", "{}"),
            (b"\0\x53\x77\xa0\x02{}", "{}"),
            (b"\0\x53\x77\xc1\x06\x02\xa1\x01a\x54\x05", r#"{"a":5}"#),
            (b"\0\x53\x77\x40", ""),
            (b"\0\x53\x76\xc0\x03\x01\x54\x05", "[5]"),
            (b"\0\x53\x76\xc0\x03\x01\x54\x05\0\x53\x76\x45", "[[5],[]]"),
        ];
        for (bytes, body) in cases {
            let message = Message::parse(bytes).unwrap();
            assert_eq!(String::from_utf8(message.body).unwrap(), *body, "{bytes:x?}");
        }
    }

    #[test]
    fn what_is_no_message_is_its_bytes() {
        for bytes in [&b"{}"[..], b"", &[0, 0x53, 0x77, 0x01], &[0, 0xa1, 1, b'x', 0x40]] {
            assert!(Message::parse(bytes).is_err());
            assert_eq!(Message::of(bytes).body, bytes);
        }
    }
}
