//! Values as the server reads them: in the rows of a COPY, and as items of an array.

use rusqlite::types::ValueRef;
use std::io::Write;

/// A row of COPY's text format; so many values as there are columns.
pub(super) fn copy_row(values: &[ValueRef<'_>], out: &mut Vec<u8>) {
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            out.push(b'\t');
        }
        match value {
            ValueRef::Null => out.extend_from_slice(b"\\N"),
            ValueRef::Integer(value) => integer(*value, out),
            ValueRef::Real(value) => real(*value, out),
            ValueRef::Text(text) => escaped(text, out, |byte| match byte {
                b'\\' => Some(b'\\'),
                b'\n' => Some(b'n'),
                b'\r' => Some(b'r'),
                b'\t' => Some(b't'),
                _ => None,
            }),
            ValueRef::Blob(bytes) => hex(bytes, out),
        }
    }
    out.push(b'\n');
}

/// One more item of an array that is closed with `}`.
pub(super) fn array_item(value: &ValueRef<'_>, out: &mut Vec<u8>) {
    out.push(if out.is_empty() { b'{' } else { b',' });
    match value {
        ValueRef::Null => out.extend_from_slice(b"NULL"),
        ValueRef::Integer(value) => integer(*value, out),
        ValueRef::Real(value) => real(*value, out),
        ValueRef::Text(text) => {
            out.push(b'"');
            escaped(text, out, |byte| matches!(byte, b'\\' | b'"').then_some(byte));
            out.push(b'"');
        }
        ValueRef::Blob(bytes) => {
            out.push(b'"');
            hex(bytes, out);
            out.push(b'"');
        }
    }
}

/// Bytes with a backslash and a letter for each that has a meaning.
fn escaped(bytes: &[u8], out: &mut Vec<u8>, letter: impl Fn(u8) -> Option<u8>) {
    let mut rest = bytes;
    while let Some((at, letter)) = rest.iter().enumerate().find_map(|(at, byte)| Some((at, letter(*byte)?))) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[b'\\', letter]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

// Writing to a buffer cannot fail.

fn integer(value: i64, out: &mut Vec<u8>) {
    let _ = write!(out, "{value}");
}

/// The shortest digits that give the same number again.
fn real(value: f64, out: &mut Vec<u8>) {
    let _ = match value {
        value if value.is_nan() => write!(out, "NaN"),
        f64::INFINITY => write!(out, "Infinity"),
        f64::NEG_INFINITY => write!(out, "-Infinity"),
        value => write!(out, "{value:e}"),
    };
}

/// A bytea, whose backslash is escaped in rows and in arrays alike.
fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\\\x");
    out.extend(
        bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_is_escaped() {
        let values = [
            ValueRef::Text(b"a\tb\nc\rd\\e\"f,g{}"),
            ValueRef::Null,
            ValueRef::Integer(-7),
            ValueRef::Real(0.1),
            ValueRef::Real(f64::NAN),
            ValueRef::Real(f64::NEG_INFINITY),
            ValueRef::Blob(b"\x00\xff"),
            ValueRef::Text(b""),
            ValueRef::Text(b"\\."),
        ];
        let mut row = Vec::new();
        copy_row(&values, &mut row);
        let expected = "a\\tb\\nc\\rd\\\\e\"f,g{}\t\\N\t-7\t1e-1\tNaN\t-Infinity\t\\\\x00ff\t\t\\\\.\n";
        assert_eq!(String::from_utf8(row).unwrap(), expected);
        let mut array = Vec::new();
        values.iter().for_each(|value| array_item(value, &mut array));
        let expected =
            "{\"a\tb\nc\rd\\\\e\\\"f,g{}\",NULL,-7,1e-1,NaN,-Infinity,\"\\\\x00ff\",\"\",\"\\\\.\"";
        assert_eq!(String::from_utf8(array).unwrap(), expected);
    }
}
