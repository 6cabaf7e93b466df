//! The rows of COPY TO STDOUT: text, CSV and binary, as PostgreSQL writes them.

use crate::statement::{CopyFormat, CopyOptions};
use crate::types::{self, Style};
use crate::wire::Column;
use arrow_array::{Array, ArrayRef};
use bytes::{BufMut, BytesMut};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// What stands before the first row.
pub fn begin(options: &CopyOptions, columns: &[Column], out: &mut BytesMut) {
    match options.format {
        CopyFormat::Binary => {
            out.put_slice(SIGNATURE);
            out.put_u32(0);
            out.put_u32(0);
        }
        _ if options.header => {
            for (index, column) in columns.iter().enumerate() {
                if index > 0 {
                    out.put_u8(options.delimiter);
                }
                write_field(column.name.as_bytes(), options, columns.len() == 1, out);
            }
            out.put_u8(b'\n');
        }
        _ => {}
    }
}

/// What stands behind the last row.
pub fn end(options: &CopyOptions, out: &mut BytesMut) {
    if options.format == CopyFormat::Binary {
        out.put_i16(-1);
    }
}

pub fn row(
    options: &CopyOptions,
    arrays: &[ArrayRef],
    row: usize,
    columns: &[Column],
    style: &Style,
    out: &mut BytesMut,
) {
    if options.format == CopyFormat::Binary {
        out.put_u16(columns.len() as u16);
    }
    for (index, (array, column)) in arrays.iter().zip(columns).enumerate() {
        if options.format == CopyFormat::Binary {
            if array.is_null(row) {
                out.put_i32(-1);
                continue;
            }
            let start = out.len();
            out.put_i32(0);
            types::write_binary(array, row, column.oid, out);
            let length = (out.len() - start - 4) as i32;
            out[start..start + 4].copy_from_slice(&length.to_be_bytes());
            continue;
        }
        if index > 0 {
            out.put_u8(options.delimiter);
        }
        if array.is_null(row) {
            out.put_slice(options.null.as_bytes());
            continue;
        }
        let mut text = BytesMut::new();
        types::write_text(array, row, style, &mut text);
        write_field(&text, options, columns.len() == 1, out);
    }
    if options.format != CopyFormat::Binary {
        out.put_u8(b'\n');
    }
}

fn write_field(text: &[u8], options: &CopyOptions, is_only: bool, out: &mut BytesMut) {
    match options.format {
        CopyFormat::Csv => write_csv(text, options, is_only, out),
        _ => write_escaped(text, options.delimiter, out),
    }
}

fn write_escaped(text: &[u8], delimiter: u8, out: &mut BytesMut) {
    for byte in text {
        let escaped = match byte {
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0b => b'v',
            0x0c => b'f',
            byte if *byte == delimiter => delimiter,
            byte => {
                out.put_u8(*byte);
                continue;
            }
        };
        out.put_u8(b'\\');
        out.put_u8(escaped);
    }
}

/// Quoted where it could be misread: as NULL, as the end of a field or a row, or as the end of the data.
fn write_csv(text: &[u8], options: &CopyOptions, is_only: bool, out: &mut BytesMut) {
    let CopyOptions { delimiter, quote, escape, null, .. } = options;
    let needs_quotes = text == null.as_bytes()
        || (is_only && text == b"\\.")
        || text.iter().any(|byte| byte == delimiter || byte == quote || *byte == b'\n' || *byte == b'\r');
    if !needs_quotes {
        return out.put_slice(text);
    }
    out.put_u8(*quote);
    for byte in text {
        if byte == quote || byte == escape {
            out.put_u8(*escape);
        }
        out.put_u8(*byte);
    }
    out.put_u8(*quote);
}
