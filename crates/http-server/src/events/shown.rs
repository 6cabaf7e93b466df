//! A record as JSON shows it: `value` is JSON where the bytes are, a text where they are UTF-8, else `value_base64`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kafka_wire::records::Record;
use serde_json::{Map, Value, json};

/// How much of a record is shown, about.
pub(crate) fn bytes(record: &Record<'_>) -> usize {
    let of = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    let headers = record.headers.map(|header| header.key.len() + of(header.value)).sum::<usize>();
    64 + of(record.key) + of(record.value) + headers
}

pub(super) fn record(partition: usize, record: &Record<'_>) -> Value {
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
