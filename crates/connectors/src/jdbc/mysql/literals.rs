//! Values as SQL writes them, and the statements that they make.
//!
//! Rows of one action that follow one another become one statement, up to a size; statements that fit go together. So the
//! server sees the changes in the order in which they came, also where it holds keys for equal that differ for us.

use crate::jdbc::changes::{Action, Change};
use arrow_schema::{DataType, Fields};
use rusqlite::types::ValueRef;
use std::io::Write;

/// Statements are sent when they have grown to this size, or to half of what the server takes.
pub(super) const SENT_BYTES_WANTED: usize = 1 << 20;

/// What stands around the rows of a statement.
pub(super) struct Frame {
    pub before: String,
    pub behind: String,
}

pub(super) struct Statements<'a> {
    pub write: &'a Frame,
    pub delete: &'a Frame,
    pub fields: &'a Fields,
    /// Places of the key's columns.
    pub key: &'a [usize],
    /// What the server takes at once.
    pub packet_bytes_max: usize,
}

impl Statements<'_> {
    /// Texts to be sent one after the other, each some statements.
    pub(super) fn of<'c>(&self, changes: impl Iterator<Item = &'c Change<'c>>) -> Vec<Vec<u8>> {
        let mut texts: Vec<Vec<u8>> = Vec::new();
        let mut text: Vec<u8> = Vec::new();
        let mut open: Option<Action> = None;
        for change in changes {
            if text.len() >= SENT_BYTES_WANTED.min(self.packet_bytes_max / 2) {
                self.close(&mut text, open.take());
                texts.push(std::mem::take(&mut text));
            }
            if open == Some(change.action) {
                text.push(b',');
            } else {
                self.close(&mut text, open);
                if !text.is_empty() {
                    text.push(b';');
                }
                text.extend_from_slice(self.frame(change.action).before.as_bytes());
                open = Some(change.action);
            }
            self.row(change, &mut text);
        }
        self.close(&mut text, open);
        if !text.is_empty() {
            texts.push(text);
        }
        texts
    }

    fn frame(&self, action: Action) -> &Frame {
        match action {
            Action::Write => self.write,
            Action::Delete => self.delete,
        }
    }

    fn close(&self, text: &mut Vec<u8>, open: Option<Action>) {
        if let Some(action) = open {
            text.extend_from_slice(self.frame(action).behind.as_bytes());
        }
    }

    fn row(&self, change: &Change<'_>, out: &mut Vec<u8>) {
        out.push(b'(');
        for (place, value) in change.values.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            let field = match change.action {
                Action::Write => self.fields.get(place),
                Action::Delete => self.key.get(place).and_then(|place| self.fields.get(*place)),
            };
            write(value, field.map(|field| field.data_type()), out);
        }
        out.push(b')');
    }
}

/// A value of a declared type. Decimals are numbers: as a text one would be compared as a floating point number.
pub(super) fn write(value: &ValueRef<'_>, data_type: Option<&DataType>, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = match value {
        ValueRef::Null => write!(out, "NULL"),
        ValueRef::Integer(value) => write!(out, "{value}"),
        // The server refuses what is no number.
        ValueRef::Real(value) if !value.is_finite() => write!(out, "'{value}'"),
        ValueRef::Real(value) => write!(out, "{value:e}"),
        ValueRef::Blob(bytes) => {
            out.extend_from_slice(b"x'");
            bytes.iter().for_each(|byte| {
                let _ = write!(out, "{byte:02x}");
            });
            write!(out, "'")
        }
        ValueRef::Text(text) => {
            match data_type {
                Some(DataType::Decimal128(..)) => out.extend_from_slice(text),
                Some(DataType::Timestamp(..)) => quoted(moment(text), out),
                _ => quoted(text, out),
            }
            Ok(())
        }
    };
}

/// A time as the server takes it: it has no `Z`, the session being in UTC, and no more than six digits of a second.
fn moment(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"Z").unwrap_or(text);
    match text.iter().position(|byte| *byte == b'.') {
        Some(point) => &text[..text.len().min(point + 7)],
        None => text,
    }
}

fn quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    for byte in text {
        if *byte == b'\'' {
            out.push(b'\'');
        }
        out.push(*byte);
    }
    out.push(b'\'');
}

/// What is wrong with a statement that a server would not even read: it would close the connection.
pub(super) fn too_large(text: &[u8], bytes_max: usize) -> Option<String> {
    // The command itself is a byte of the packet.
    (text.len() + 1 > bytes_max).then(|| {
        format!(
            "it needs a packet of {} bytes, and the server takes max_allowed_packet={bytes_max}",
            text.len() + 1
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::{Field, TimeUnit};

    fn shown(value: ValueRef<'_>, data_type: DataType) -> String {
        let mut out = Vec::new();
        write(&value, Some(&data_type), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_written_so_that_nothing_else_is_meant() {
        let text = |text: &'static str, data_type| shown(ValueRef::Text(text.as_bytes()), data_type);
        assert_eq!(text("it's \\'; DROP", DataType::Utf8), "'it''s \\''; DROP'");
        assert_eq!(text("12.50", DataType::Decimal128(4, 2)), "12.50");
        let nanos = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        assert_eq!(text("2024-01-01 00:00:00.123456789Z", nanos), "'2024-01-01 00:00:00.123456'");
        let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
        assert_eq!(text("2024-01-01 00:00:00.120", millis), "'2024-01-01 00:00:00.120'");
        assert_eq!(shown(ValueRef::Blob(b"\x00'"), DataType::Binary), "x'0027'");
        assert_eq!(shown(ValueRef::Real(0.1), DataType::Float64), "1e-1");
        assert_eq!(shown(ValueRef::Real(f64::NAN), DataType::Float64), "'NaN'");
        assert_eq!(shown(ValueRef::Null, DataType::Utf8), "NULL");
    }

    #[test]
    fn changes_keep_their_order() {
        let fields: Fields =
            vec![Field::new("name", DataType::Utf8, true), Field::new("id", DataType::Int64, false)].into();
        let frame = |before: &str, behind: &str| Frame { before: before.into(), behind: behind.into() };
        let (write, delete) = (frame("W", "!"), frame("D IN (", ")"));
        let statements = Statements {
            write: &write,
            delete: &delete,
            fields: &fields,
            key: &[1],
            packet_bytes_max: 4 << 20,
        };
        let row =
            |id| Change { action: Action::Write, values: vec![ValueRef::Text(b"a"), ValueRef::Integer(id)] };
        let gone = |id| Change { action: Action::Delete, values: vec![ValueRef::Integer(id)] };
        let changes = [row(1), row(2), gone(1), gone(2), row(3)];
        let texts = statements.of(changes.iter());
        assert_eq!(texts, [b"W('a',1),('a',2)!;D IN ((1),(2));W('a',3)!".to_vec()]);
        assert!(statements.of([].iter()).is_empty());
        let large = vec![b'x'; SENT_BYTES_WANTED];
        let large =
            Change { action: Action::Write, values: vec![ValueRef::Text(&large), ValueRef::Integer(1)] };
        let changes = [large, row(2)];
        let texts = statements.of(changes.iter());
        assert_eq!((texts.len(), texts[1].as_slice()), (2, &b"W('a',2)!"[..]));
        assert!(too_large(&texts[0], SENT_BYTES_WANTED).is_some());
    }
}
