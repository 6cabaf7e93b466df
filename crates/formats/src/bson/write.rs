//! Values become bytes.

use super::{Bson, Document};

impl Document {
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        write_fields(self.0.iter().map(|(name, value)| (name.as_str(), value)), out);
    }
}

fn write_fields<'a>(fields: impl Iterator<Item = (&'a str, &'a Bson)>, out: &mut Vec<u8>) {
    sized(out, |out| {
        for (name, value) in fields {
            out.push(kind(value));
            write_name(name, out);
            write_value(value, out);
        }
        out.push(0);
    });
}

/// Writes something with its own length before it, the length included.
fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let length = (out.len() - begin) as u32;
    out[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
}

/// Up to a byte 0, which nothing within can be.
fn write_name(name: &str, out: &mut Vec<u8>) {
    out.extend(name.bytes().filter(|byte| *byte != 0));
    out.push(0);
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32 + 1).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

fn kind(value: &Bson) -> u8 {
    match value {
        Bson::Double(_) => 0x01,
        Bson::String(_) => 0x02,
        Bson::Document(_) => 0x03,
        Bson::Array(_) => 0x04,
        Bson::Binary { .. } => 0x05,
        Bson::Undefined => 0x06,
        Bson::ObjectId(_) => 0x07,
        Bson::Boolean(_) => 0x08,
        Bson::DateTime(_) => 0x09,
        Bson::Null => 0x0a,
        Bson::Regex { .. } => 0x0b,
        Bson::DbPointer { .. } => 0x0c,
        Bson::JavaScript(_) => 0x0d,
        Bson::Symbol(_) => 0x0e,
        Bson::JavaScriptWithScope { .. } => 0x0f,
        Bson::Int32(_) => 0x10,
        Bson::Timestamp { .. } => 0x11,
        Bson::Int64(_) => 0x12,
        Bson::Decimal128(_) => 0x13,
        Bson::MinKey => 0xff,
        Bson::MaxKey => 0x7f,
    }
}

fn write_value(value: &Bson, out: &mut Vec<u8>) {
    match value {
        Bson::Double(number) => out.extend_from_slice(&number.to_le_bytes()),
        Bson::String(text) | Bson::JavaScript(text) | Bson::Symbol(text) => write_text(text, out),
        Bson::Document(document) => document.write(out),
        Bson::Array(items) => {
            let names: Vec<String> = (0..items.len()).map(|place| place.to_string()).collect();
            write_fields(names.iter().map(String::as_str).zip(items), out);
        }
        Bson::Binary { subtype, bytes } => {
            let length = bytes.len() as u32;
            let is_old = *subtype == 2;
            out.extend_from_slice(&(length + if is_old { 4 } else { 0 }).to_le_bytes());
            out.push(*subtype);
            if is_old {
                out.extend_from_slice(&length.to_le_bytes());
            }
            out.extend_from_slice(bytes);
        }
        Bson::ObjectId(id) => out.extend_from_slice(id),
        Bson::Boolean(truth) => out.push(u8::from(*truth)),
        Bson::DateTime(number) | Bson::Int64(number) => out.extend_from_slice(&number.to_le_bytes()),
        Bson::Regex { pattern, options } => {
            write_name(pattern, out);
            write_name(options, out);
        }
        Bson::DbPointer { namespace, id } => {
            write_text(namespace, out);
            out.extend_from_slice(id);
        }
        Bson::JavaScriptWithScope { code, scope } => sized(out, |out| {
            write_text(code, out);
            scope.write(out);
        }),
        Bson::Int32(number) => out.extend_from_slice(&number.to_le_bytes()),
        Bson::Timestamp { seconds, increment } => {
            out.extend_from_slice(&increment.to_le_bytes());
            out.extend_from_slice(&seconds.to_le_bytes());
        }
        Bson::Decimal128(number) => out.extend_from_slice(&number.0.to_le_bytes()),
        Bson::Undefined | Bson::Null | Bson::MinKey | Bson::MaxKey => {}
    }
}
