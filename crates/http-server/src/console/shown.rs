//! A record as the console shows it: its bytes as they are, as a text or in base64, and never parsed and written again, so
//! that numbers keep all their digits.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kafka_wire::records::Record;
use serde_json::{Value, json};

/// Of a key, a value or a header in a list.
const LINE_BYTES_MAX: usize = 2 << 10;
/// Of those of a single record.
const WHOLE_BYTES_MAX: usize = 1 << 20;
const HEADERS_MAX: usize = 1_000;

/// In a list.
pub(super) fn line(partition: usize, record: &Record<'_>) -> Value {
    shown(partition, record, LINE_BYTES_MAX)
}

/// The same as a text.
pub(super) fn line_text(partition: usize, record: &Record<'_>) -> String {
    line(partition, record).to_string()
}

/// By itself.
pub(super) fn whole(partition: usize, record: &Record<'_>) -> Value {
    shown(partition, record, WHOLE_BYTES_MAX)
}

fn shown(partition: usize, record: &Record<'_>, bytes_max: usize) -> Value {
    let headers: Vec<Value> = record
        .headers
        .take(HEADERS_MAX)
        .map(|header| json!([String::from_utf8_lossy(header.key), bytes(header.value, bytes_max)]))
        .collect();
    json!({
        "partition": partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": bytes(record.key, bytes_max),
        "value": bytes(record.value, bytes_max),
        "headers": headers,
        // Those behind are not shown.
        "headers_left": record.headers.len().saturating_sub(HEADERS_MAX),
        "size": crate::events::bytes_of(record),
    })
}

/// None is null; of what is too long, the beginning.
fn bytes(given: Option<&[u8]>, bytes_max: usize) -> Value {
    let Some(all) = given else { return Value::Null };
    let part = &all[..all.len().min(bytes_max)];
    let mut shown = match std::str::from_utf8(part) {
        Ok(text) => json!({ "text": text }),
        // It was cut within a character.
        Err(error) if error.error_len().is_none() && part.len() < all.len() => {
            json!({ "text": String::from_utf8_lossy(&part[..error.valid_up_to()]) })
        }
        Err(_) => json!({ "base64": STANDARD.encode(part) }),
    };
    shown["bytes"] = all.len().into();
    if part.len() < all.len() {
        shown["cut"] = true.into();
    }
    if let Some(id) = schema_id(all) {
        shown["schema"] = id.into();
        shown["base64"] = STANDARD.encode(part).into();
    }
    shown
}

/// What Confluent's serializers write before what they have encoded: a zero, and the number of the schema.
pub(super) fn schema_id(bytes: &[u8]) -> Option<u32> {
    let rest = bytes.strip_prefix(&[0])?;
    rest.first_chunk::<4>().map(|id| u32::from_be_bytes(*id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_what_they_are() {
        assert_eq!(bytes(None, 9), Value::Null);
        assert_eq!(
            bytes(Some(b"12345678901234567890"), 99),
            json!({"text": "12345678901234567890", "bytes": 20})
        );
        assert_eq!(bytes(Some("aäöü".as_bytes()), 4), json!({"text": "aä", "bytes": 7, "cut": true}));
        assert_eq!(bytes(Some(&[0xff, 0xfe]), 9), json!({"base64": "//4=", "bytes": 2}));
        let framed = bytes(Some(&[0, 0, 0, 1, 2, b'x']), 99);
        assert_eq!(framed["schema"], 258);
    }
}
