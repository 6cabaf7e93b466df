//! What the node answers, written behind one another into one buffer.

use crate::error::PgError;
use bytes::{BufMut, BytesMut};

/// How values travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    Text,
    Binary,
}

impl Format {
    pub(crate) fn code(self) -> u16 {
        match self {
            Format::Text => 0,
            Format::Binary => 1,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    Open,
    Failed,
}

/// A column as RowDescription tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub oid: u32,
    /// Bytes of a value, -1 where they differ, -2 for a C string.
    pub length: i16,
    /// Precision and scale of a decimal; -1 where there are none.
    pub modifier: i32,
    pub format: Format,
}

/// Writes answers. A length that does not fit is cut to what does: names and words, never values.
pub struct Answer<'a>(pub &'a mut BytesMut);

impl Answer<'_> {
    fn message(&mut self, kind: u8, body: impl FnOnce(&mut BytesMut)) {
        self.0.put_u8(kind);
        let start = self.0.len();
        self.0.put_u32(0);
        body(self.0);
        let length = (self.0.len() - start) as u32;
        self.0[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    pub fn authentication_ok(&mut self) {
        self.message(b'R', |out| out.put_u32(0));
    }

    pub fn authentication_sasl(&mut self, mechanisms: &[&str]) {
        self.message(b'R', |out| {
            out.put_u32(10);
            mechanisms.iter().for_each(|mechanism| put_text(out, mechanism));
            out.put_u8(0);
        });
    }

    pub fn authentication_sasl_continue(&mut self, data: &[u8]) {
        self.message(b'R', |out| {
            out.put_u32(11);
            out.put_slice(data);
        });
    }

    pub fn authentication_sasl_final(&mut self, data: &[u8]) {
        self.message(b'R', |out| {
            out.put_u32(12);
            out.put_slice(data);
        });
    }

    /// The node speaks an older minor version than the client, and knows none of its options.
    pub fn negotiate_version(&mut self, unknown: &[&str]) {
        self.message(b'v', |out| {
            out.put_u32(3 << 16);
            out.put_u32(unknown.len() as u32);
            unknown.iter().for_each(|option| put_text(out, option));
        });
    }

    pub fn parameter_status(&mut self, name: &str, value: &str) {
        self.message(b'S', |out| {
            put_text(out, name);
            put_text(out, value);
        });
    }

    pub fn backend_key(&mut self, process: u32, secret: u32) {
        self.message(b'K', |out| {
            out.put_u32(process);
            out.put_u32(secret);
        });
    }

    pub fn ready(&mut self, status: TransactionStatus) {
        let status = match status {
            TransactionStatus::Idle => b'I',
            TransactionStatus::Open => b'T',
            TransactionStatus::Failed => b'E',
        };
        self.message(b'Z', |out| out.put_u8(status));
    }

    pub fn row_description(&mut self, columns: &[Column]) {
        self.message(b'T', |out| {
            out.put_u16(columns.len() as u16);
            for column in columns {
                put_text(out, &column.name);
                out.put_u32(0);
                out.put_u16(0);
                out.put_u32(column.oid);
                out.put_i16(column.length);
                out.put_i32(column.modifier);
                out.put_u16(column.format.code());
            }
        });
    }

    pub fn parameter_description(&mut self, types: &[u32]) {
        self.message(b't', |out| {
            out.put_u16(types.len() as u16);
            types.iter().for_each(|oid| out.put_u32(*oid));
        });
    }

    /// A row whose values `body` writes, each with its length.
    pub fn row(&mut self, columns: usize, body: impl FnOnce(&mut BytesMut)) {
        self.message(b'D', |out| {
            out.put_u16(columns as u16);
            body(out);
        });
    }

    pub fn copy_out(&mut self, format: Format, columns: usize) {
        self.message(b'H', |out| {
            out.put_u8(format.code() as u8);
            out.put_u16(columns as u16);
            (0..columns).for_each(|_| out.put_u16(format.code()));
        });
    }

    pub fn copy_data(&mut self, body: impl FnOnce(&mut BytesMut)) {
        self.message(b'd', body);
    }

    pub fn copy_done(&mut self) {
        self.message(b'c', |_| {});
    }

    pub fn complete(&mut self, tag: &str) {
        self.message(b'C', |out| put_text(out, tag));
    }

    pub fn empty_query(&mut self) {
        self.message(b'I', |_| {});
    }

    pub fn no_data(&mut self) {
        self.message(b'n', |_| {});
    }

    pub fn parse_complete(&mut self) {
        self.message(b'1', |_| {});
    }

    pub fn bind_complete(&mut self) {
        self.message(b'2', |_| {});
    }

    pub fn close_complete(&mut self) {
        self.message(b'3', |_| {});
    }

    pub fn suspended(&mut self) {
        self.message(b's', |_| {});
    }

    pub fn error(&mut self, error: &PgError) {
        self.fields(b'E', error.severity(), error);
    }

    pub fn notice(&mut self, notice: &PgError) {
        self.fields(b'N', "WARNING", notice);
    }

    fn fields(&mut self, kind: u8, severity: &str, error: &PgError) {
        self.message(kind, |out| {
            let mut field = |code: u8, text: &str| {
                out.put_u8(code);
                put_text(out, text);
            };
            field(b'S', severity);
            field(b'V', severity);
            field(b'C', error.code.0);
            field(b'M', &error.message);
            if let Some(detail) = &error.detail {
                field(b'D', detail);
            }
            if let Some(hint) = &error.hint {
                field(b'H', hint);
            }
            if let Some(position) = error.position {
                field(b'P', &position.to_string());
            }
            out.put_u8(0);
        });
    }
}

/// A zero inside would end it early.
fn put_text(out: &mut BytesMut, text: &str) {
    for part in text.split('\0') {
        out.put_slice(part.as_bytes());
    }
    out.put_u8(0);
}
