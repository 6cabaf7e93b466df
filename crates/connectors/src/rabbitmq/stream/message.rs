//! Messages of streams: AMQP 1.0, as far as a message has it (sections 1.6 and 3.2 of the specification).

use super::super::amqp::{Reader, Value};
use super::super::messages::Described;
use crate::messages::is_time;
use crate::messages::{Done, ServerError};

/// Lists and maps in one another are read so deep.
const DEPTH_MAX: usize = 16;

const DESCRIBED: u8 = 0x00;
const SMALL_ULONG: u8 = 0x53;

/// Sections of a message, by the number of their descriptor.
mod section {
    pub(super) const MESSAGE_ANNOTATIONS: u64 = 0x72;
    pub(super) const PROPERTIES: u64 = 0x73;
    pub(super) const APPLICATION_PROPERTIES: u64 = 0x74;
    pub(super) const DATA: u64 = 0x75;
    pub(super) const VALUE: u64 = 0x77;
}

/// What a message of a stream is and says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct StreamMessage {
    pub described: Described,
    pub to: Option<String>,
    pub subject: Option<String>,
    pub group_id: Option<String>,
    pub body: Vec<u8>,
}

impl StreamMessage {
    /// A message, or as its body the bytes of what is none: the table's format says what becomes of those.
    pub(super) fn of(bytes: &[u8]) -> StreamMessage {
        let raw = |_| StreamMessage { body: bytes.to_vec(), ..StreamMessage::default() };
        StreamMessage::parse(bytes).unwrap_or_else(raw)
    }

    fn parse(bytes: &[u8]) -> Done<StreamMessage> {
        let mut message = StreamMessage::default();
        let mut reader = Reader(bytes);
        while !reader.0.is_empty() {
            if reader.u8()? != DESCRIBED {
                return Err(ServerError::malformed("a message of a stream is not AMQP 1.0"));
            }
            let descriptor = value(&mut reader, DEPTH_MAX)?.number();
            let content = value(&mut reader, DEPTH_MAX)?;
            message.take(descriptor.unwrap_or(0) as u64, content);
        }
        Ok(message)
    }

    fn take(&mut self, section: u64, content: Value) {
        match (section, content) {
            (section::DATA, Value::Bytes(bytes)) => self.body.extend_from_slice(&bytes),
            (section::VALUE, value) => self.body = value.shown().unwrap_or_default(),
            (section::MESSAGE_ANNOTATIONS | section::APPLICATION_PROPERTIES, Value::Table(table)) => {
                let headers = table.into_iter().map(|(name, value)| (name, value.shown()));
                self.described.headers.extend(headers);
            }
            (section::PROPERTIES, Value::Array(fields)) => self.take_properties(&fields),
            // Headers, delivery annotations and footers are of no account here.
            _ => {}
        }
    }

    fn take_properties(&mut self, fields: &[Value]) {
        let text = |index: usize| {
            let bytes = fields.get(index)?.shown()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let headers = std::mem::take(&mut self.described.headers);
        (self.to, self.subject, self.group_id) = (text(2), text(3), text(10));
        self.described = Described {
            message_id: text(0),
            user_id: text(1),
            reply_to: text(4),
            correlation_id: text(5),
            content_type: text(6),
            content_encoding: text(7),
            timestamp_ms: fields.get(9).and_then(Value::number).filter(is_time),
            headers,
        };
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let StreamMessage { described, to, subject, group_id, body } = self;
        let mut out = Vec::with_capacity(body.len() + 128);
        begin(&mut out, section::PROPERTIES);
        compound(&mut out, LIST_32, 11, |out| {
            put_text(out, STRING_32, described.message_id.as_deref());
            put_text(out, BINARY_32, described.user_id.as_deref());
            put_text(out, STRING_32, to.as_deref());
            put_text(out, STRING_32, subject.as_deref());
            put_text(out, STRING_32, described.reply_to.as_deref());
            put_text(out, STRING_32, described.correlation_id.as_deref());
            put_text(out, SYMBOL_32, described.content_type.as_deref());
            put_text(out, SYMBOL_32, described.content_encoding.as_deref());
            out.push(NULL);
            match described.timestamp_ms {
                Some(ms) => {
                    out.push(TIMESTAMP);
                    out.extend_from_slice(&ms.to_be_bytes());
                }
                None => out.push(NULL),
            }
            put_text(out, STRING_32, group_id.as_deref());
        });
        if !described.headers.is_empty() {
            begin(&mut out, section::APPLICATION_PROPERTIES);
            compound(&mut out, MAP_32, described.headers.len() as u32 * 2, |out| {
                for (name, value) in &described.headers {
                    put_text(out, STRING_32, Some(name));
                    match value.as_deref().map(|bytes| (std::str::from_utf8(bytes), bytes)) {
                        None => out.push(NULL),
                        Some((Ok(text), _)) => put_text(out, STRING_32, Some(text)),
                        Some((Err(_), bytes)) => put_bytes(out, BINARY_32, bytes),
                    }
                }
            });
        }
        begin(&mut out, section::DATA);
        put_bytes(&mut out, BINARY_32, body);
        out
    }
}

const NULL: u8 = 0x40;
const TIMESTAMP: u8 = 0x83;
const BINARY_32: u8 = 0xb0;
const STRING_32: u8 = 0xb1;
const SYMBOL_32: u8 = 0xb3;
const LIST_32: u8 = 0xd0;
const MAP_32: u8 = 0xd1;

fn begin(out: &mut Vec<u8>, section: u64) {
    out.extend_from_slice(&[DESCRIBED, SMALL_ULONG, section as u8]);
}

fn put_bytes(out: &mut Vec<u8>, code: u8, bytes: &[u8]) {
    out.push(code);
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn put_text(out: &mut Vec<u8>, code: u8, text: Option<&str>) {
    match text {
        Some(text) => put_bytes(out, code, text.as_bytes()),
        None => out.push(NULL),
    }
}

fn compound(out: &mut Vec<u8>, code: u8, count: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    out.push(code);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&count.to_be_bytes());
    fill(out);
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn value(reader: &mut Reader<'_>, depth: usize) -> Done<Value> {
    let code = reader.u8()?;
    value_of(code, reader, depth)
}

/// The value behind its constructor. Numbers that no other type here holds are shown as bytes or floating-point.
fn value_of(code: u8, reader: &mut Reader<'_>, depth: usize) -> Done<Value> {
    let depth =
        depth.checked_sub(1).ok_or_else(|| ServerError::malformed("values are too deep in one another"))?;
    Ok(match code {
        DESCRIBED => {
            value(reader, depth)?;
            value(reader, depth)?
        }
        0x40 => Value::Nothing,
        0x41 => Value::Bool(true),
        0x42 => Value::Bool(false),
        0x56 => Value::Bool(reader.u8()? != 0),
        0x43..=0x44 => Value::Int(0),
        0x50 | 0x52 | 0x53 => Value::Int(reader.u8()?.into()),
        0x51 | 0x54 | 0x55 => Value::Int((reader.u8()? as i8).into()),
        0x60 => Value::Int(reader.u16()?.into()),
        0x61 => Value::Int((reader.u16()? as i16).into()),
        0x70 => Value::Int(reader.u32()?.into()),
        0x71 => Value::Int((reader.u32()? as i32).into()),
        0x80 => {
            let number = reader.u64()?;
            i64::try_from(number).map_or_else(|_| Value::text(&number.to_string()), Value::Int)
        }
        0x81 | 0x83 => Value::Int(reader.u64()? as i64),
        0x72 => Value::Float(f32::from_bits(reader.u32()?).into()),
        0x82 => Value::Float(f64::from_bits(reader.u64()?)),
        0x73 => {
            let letter = char::from_u32(reader.u32()?).unwrap_or(char::REPLACEMENT_CHARACTER);
            Value::text(&letter.to_string())
        }
        0x74 => Value::Bytes(reader.take(4)?.to_vec()),
        0x84 => Value::Bytes(reader.take(8)?.to_vec()),
        0x94 => Value::Bytes(reader.take(16)?.to_vec()),
        0x98 => Value::text(&uuid(reader.take(16)?)),
        0xa0 | 0xa1 | 0xa3 => {
            let length = reader.u8()?;
            Value::Bytes(reader.take(length.into())?.to_vec())
        }
        0xb0 | 0xb1 | 0xb3 => {
            let length = reader.u32()?;
            Value::Bytes(reader.take(length as usize)?.to_vec())
        }
        0x45 => Value::Array(Vec::new()),
        0xc0 | 0xd0 => {
            let (mut content, count) = counted(code, reader)?;
            Value::Array(values(&mut content, count, depth)?)
        }
        0xc1 | 0xd1 => {
            let (mut content, count) = counted(code, reader)?;
            let mut table = Vec::new();
            for _ in 0..count / 2 {
                let name = value(&mut content, depth)?.shown().unwrap_or_default();
                table.push((String::from_utf8_lossy(&name).into_owned(), value(&mut content, depth)?));
            }
            Value::Table(table)
        }
        0xe0 | 0xf0 => {
            let (mut content, count) = counted(code, reader)?;
            let code = content.u8()?;
            let mut all = Vec::new();
            // Values that take no room would make an array without end.
            if count as usize > content.0.len() {
                return Err(ServerError::malformed("an array has more values than bytes"));
            }
            for _ in 0..count {
                all.push(value_of(code, &mut content, depth)?);
            }
            Value::Array(all)
        }
        other => return Err(ServerError::malformed(&format!("a value of the unknown type {other:#x}"))),
    })
}

/// The content of a list, a map or an array, and how many values it has.
fn counted<'a>(code: u8, reader: &mut Reader<'a>) -> Done<(Reader<'a>, u32)> {
    // The upper half of the code says how wide length and count are.
    let is_wide = code >> 4 == 0xd || code >> 4 == 0xf;
    let length = if is_wide { reader.u32()? } else { reader.u8()?.into() };
    let mut content = Reader(reader.take(length as usize)?);
    let count = if is_wide { content.u32()? } else { content.u8()?.into() };
    Ok((content, count))
}

fn values(reader: &mut Reader<'_>, count: u32, depth: usize) -> Done<Vec<Value>> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(value(reader, depth)?);
    }
    Ok(all)
}

fn uuid(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> StreamMessage {
        let text = |text: &str| Some(text.to_string());
        StreamMessage {
            described: Described {
                content_type: text("application/json"),
                content_encoding: None,
                correlation_id: text("c"),
                reply_to: text("r"),
                message_id: text("m"),
                user_id: None,
                timestamp_ms: Some(1_700_000_000_123),
                headers: vec![
                    ("a".into(), Some(b"x".to_vec())),
                    ("b".into(), Some(vec![0xff, 0])),
                    ("none".into(), None),
                ],
            },
            to: None,
            subject: text("s"),
            group_id: text("g"),
            body: b"{}".to_vec(),
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let bytes = message().encode();
        assert_eq!(StreamMessage::parse(&bytes).unwrap(), message());
        for length in 0..bytes.len() {
            // A message may end behind each of its sections.
            if let Ok(part) = StreamMessage::parse(&bytes[..length]) {
                assert!(part.body.is_empty(), "cut to {length} bytes");
            }
        }
    }

    #[test]
    fn values_of_all_types_are_shown() {
        let cases: &[(&[u8], &str)] = &[
            (&[0x41], "true"),
            (&[0x56, 0], "false"),
            (&[0x44], "0"),
            (&[0x54, 0xff], "-1"),
            (&[0x80, 255, 255, 255, 255, 255, 255, 255, 255], "18446744073709551615"),
            (&[0x73, 0, 0, 0, 0x41], "A"),
            (&[0x82, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0], "0.5"),
            (&[0xa1, 2, b'h', b'i'], "hi"),
            (&[0xc0, 4, 2, 0x41, 0x52, 7], "[true,7]"),
            (&[0xc1, 5, 2, 0xa1, 1, b'k', 0x41], r#"{"k":true}"#),
            (&[0xe0, 4, 2, 0x50, 1, 2], "[1,2]"),
            (&[0x00, 0x53, 1, 0x52, 9], "9"),
            (
                &[0x98, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
                "00010203-0405-0607-0809-0a0b0c0d0e0f",
            ),
        ];
        for (bytes, shown) in cases {
            let read = value(&mut Reader(bytes), DEPTH_MAX).unwrap().shown().unwrap();
            assert_eq!(String::from_utf8(read).unwrap(), *shown, "{bytes:x?}");
            for length in 0..bytes.len() {
                assert!(
                    value(&mut Reader(&bytes[..length]), DEPTH_MAX).is_err(),
                    "{bytes:x?} cut to {length}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert!(StreamMessage::parse(b"{}").is_err());
        assert!(StreamMessage::parse(&[0, 0x53, 0x77, 0x01]).is_err());
        let deep = [vec![0; DEPTH_MAX * 2], vec![0x40; 3]].concat();
        assert!(StreamMessage::parse(&deep).is_err());
        // Arrays of four billion values that take no room, with nothing behind them and with a byte that nobody reads.
        let endless = [0x00, 0x53, 0x77, 0xf0, 0, 0, 0, 5, 255, 255, 255, 255, 0x41];
        assert!(StreamMessage::parse(&endless).is_err());
        for code in [0x40, 0x41, 0x42, 0x43, 0x44, 0x45] {
            let endless = [0x00, 0x53, 0x77, 0xf0, 0, 0, 0, 6, 255, 255, 255, 255, code, 0];
            assert!(StreamMessage::parse(&endless).is_err(), "{code:#x}");
        }
        assert!(StreamMessage::parse(&[0x00, 0x53, 0x77, 0xd0, 0, 0, 0, 4, 255, 255, 255, 255]).is_err());
    }
}
