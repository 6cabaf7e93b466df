//! A record as JSON shows it: `value` is JSON where the bytes are, a text where they are UTF-8, else `value_base64`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kafka_wire::records::Record;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// How much of a record is shown, about.
pub(crate) fn bytes(record: &Record<'_>) -> usize {
    let of = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    let headers = record.headers.map(|header| header.key.len() + of(header.value)).sum::<usize>();
    64 + of(record.key) + of(record.value) + headers
}

/// The same as a text.
pub(super) fn text(partition: usize, given: &Record<'_>) -> String {
    record(partition, given).to_string()
}

/// A record of a view's topic: a row in the place of the one with its key, or the key whose row is gone.
pub(super) fn change(_: usize, record: &Record<'_>) -> String {
    match record.value {
        Some(row) => format!("{{\"row\":{}}}", json_of(row)),
        None => format!("{{\"deleted\":{}}}", record.key.map_or(Cow::Borrowed("{}"), json_of)),
    }
}

/// JSON as it stands, so that numbers keep their digits; what is none becomes a text.
fn json_of(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(['\n', '\r']) && serde_json::from_str::<Value>(text).is_ok() => {
            Cow::Borrowed(text)
        }
        _ => Value::from(String::from_utf8_lossy(bytes)).to_string().into(),
    }
}

fn record(partition: usize, record: &Record<'_>) -> Value {
    let mut shown = json!({ "partition": partition, "offset": record.offset, "timestamp": record.timestamp });
    if let Some(fields) = shown.as_object_mut() {
        put_text(fields, "key", record.key);
        let mut headers = Map::new();
        for header in record.headers {
            put_text(&mut headers, &String::from_utf8_lossy(header.key), header.value);
        }
        if !headers.is_empty() {
            fields.insert("headers".to_owned(), headers.into());
        }
        match record.value.and_then(|value| serde_json::from_slice::<Value>(value).ok()) {
            Some(json) => drop(fields.insert("value".to_owned(), json)),
            None => put_text(fields, "value", record.value),
        }
    }
    shown
}

fn put_text(fields: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    let (name, value) = match bytes.map(|bytes| (bytes, str::from_utf8(bytes))) {
        None => (name.to_owned(), Value::Null),
        Some((_, Ok(text))) => (name.to_owned(), text.into()),
        Some((bytes, Err(_))) => (format!("{name}_base64"), STANDARD.encode(bytes).into()),
    };
    fields.insert(name, value);
}
