//! Avro's JSON encoding: between its text and the binary encoding, by the schema.
//!
//! A value of a union is `{"type": value}`, or null; bytes are a text of the letters of those codes. The
//! text becomes the binary encoding and that becomes rows, so that there is one decoder. Fields of a
//! record may stand in any order, and those that the schema does not have are passed over, as in Flink.

use super::latin_bytes;
use super::schema::{AvroSchema, Node, NodeId};
use super::wire::{Fault, Input, write_bytes, write_long};
use crate::json::{Next, Scanner, SyntaxError, quote, unescape};
use crate::number_text::{parse_float, parse_integer};
use base::java_number::{double_to_string, float_to_string};
use std::io::Write;

impl From<SyntaxError> for Fault {
    fn from(error: SyntaxError) -> Fault {
        Fault::Syntax { position: error.position, reason: error.reason }
    }
}

/// Appends the binary encoding of the next value of the text.
pub(crate) fn to_binary(
    schema: &AvroSchema,
    id: NodeId,
    scanner: &mut Scanner<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let first = scanner.peek();
    let expected = |scanner: &Scanner<'_>, reason| -> Result<(), Fault> { Ok(scanner.error(reason)?) };
    match schema.node(id) {
        Node::Null => scanner.word("null")?,
        Node::Boolean => {
            let value = first == b't';
            scanner.word(if value { "true" } else { "false" })?;
            out.push(u8::from(value));
        }
        Node::Int(_) => write_long(integer(scanner, i64::from(i32::MIN), i64::from(i32::MAX))?, out),
        Node::Long(_) => write_long(integer(scanner, i64::MIN, i64::MAX)?, out),
        Node::Float => out.extend_from_slice(&(float(scanner)? as f32).to_le_bytes()),
        Node::Double => out.extend_from_slice(&float(scanner)?.to_le_bytes()),
        Node::Text => write_bytes(text(scanner)?.as_bytes(), out),
        Node::Bytes(_) => write_bytes(&bytes(scanner)?, out),
        Node::Fixed { size, .. } => {
            let bytes = bytes(scanner)?;
            if bytes.len() != *size {
                return Err(Fault::value(format!("it has {} bytes instead of {size}", bytes.len())));
            }
            out.extend_from_slice(&bytes);
        }
        Node::Enum { symbols, .. } => {
            let text = text(scanner)?;
            match symbols.iter().position(|symbol| **symbol == *text) {
                Some(index) => write_long(index as i64, out),
                None => return Err(Fault::value("it is no symbol of the enum")),
            }
        }
        Node::Array(items) => {
            let mut next = scanner.enter(b'[', b']')?;
            while next == Next::Element {
                // Each element is a block of its own, so that they need not be counted ahead.
                write_long(1, out);
                to_binary(schema, *items, scanner, out)?;
                next = scanner.next(b']')?;
            }
            write_long(0, out);
        }
        Node::Map(values) => {
            let mut next = scanner.enter(b'{', b'}')?;
            while next == Next::Element {
                write_long(1, out);
                let name = name(scanner)?;
                write_bytes(name.as_bytes(), out);
                to_binary(schema, *values, scanner, out)?;
                next = scanner.next(b'}')?;
            }
            write_long(0, out);
        }
        Node::Record { fields, .. } => {
            let mut places: Vec<Option<usize>> = vec![None; fields.len()];
            let mut next = scanner.enter(b'{', b'}')?;
            while next == Next::Element {
                let name = name(scanner)?;
                if let Some(place) = fields.iter().position(|field| field.name == name) {
                    places[place] = Some(scanner.at);
                }
                scanner.skip()?;
                next = scanner.next(b'}')?;
            }
            for (field, place) in fields.iter().zip(places) {
                let Some(at) = place else {
                    return Err(Fault::value("the field is missing").within(&field.name));
                };
                let mut inner = Scanner { bytes: scanner.bytes, at, depth: scanner.depth + 1 };
                to_binary(schema, field.node, &mut inner, out).map_err(|fault| fault.within(&field.name))?;
            }
        }
        Node::Union(branches) => {
            let named = |name: &str| branches.iter().position(|branch| schema.type_name(*branch) == name);
            if first == b'n' {
                let Some(branch) = named("null") else { return expected(scanner, "the union has no null") };
                scanner.word("null")?;
                write_long(branch as i64, out);
                return Ok(());
            }
            if scanner.enter(b'{', b'}')? == Next::End {
                return expected(scanner, "a value of a union is an object of one field, named by its type");
            }
            let name = name(scanner)?;
            let Some(branch) = named(&name) else {
                let reason = format!("the union has no type '{}'", crate::scalar::shorten(&name));
                return Err(Fault::value(reason));
            };
            write_long(branch as i64, out);
            to_binary(schema, branches[branch], scanner, out)?;
            if scanner.next(b'}')? != Next::End {
                return expected(scanner, "a value of a union is an object of one field, named by its type");
            }
        }
    }
    Ok(())
}

fn name(scanner: &mut Scanner<'_>) -> Result<String, Fault> {
    let mut plain = Vec::new();
    unescape(scanner.name()?, &mut plain);
    String::from_utf8(plain).map_err(|_| Fault::value("a name is not valid UTF-8"))
}

fn text(scanner: &mut Scanner<'_>) -> Result<String, Fault> {
    if scanner.peek() != b'"' {
        return Ok(scanner.error("expected a text")?);
    }
    let mut plain = Vec::new();
    unescape(scanner.text()?, &mut plain);
    String::from_utf8(plain).map_err(|_| Fault::value("the text is not valid UTF-8"))
}

fn bytes(scanner: &mut Scanner<'_>) -> Result<Vec<u8>, Fault> {
    latin_bytes(&text(scanner)?).ok_or_else(|| Fault::value("a letter of the bytes is beyond \\u00ff"))
}

fn integer(scanner: &mut Scanner<'_>, min: i64, max: i64) -> Result<i64, Fault> {
    if !matches!(scanner.peek(), b'-' | b'0'..=b'9') {
        return Ok(scanner.error("expected a whole number")?);
    }
    let number = scanner.number()?;
    let value = if number.is_integer { parse_integer(number.text, min, max) } else { None };
    let shown = || crate::scalar::shorten(&String::from_utf8_lossy(number.text));
    value.ok_or_else(|| Fault::value(format!("{} is no whole number of the type's range", shown())))
}

fn float(scanner: &mut Scanner<'_>) -> Result<f64, Fault> {
    let number = match scanner.peek() {
        b'-' | b'0'..=b'9' => std::str::from_utf8(scanner.number()?.text).ok().and_then(parse_float),
        _ => match text(scanner)?.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
    };
    number.ok_or_else(|| Fault::value("it is no number"))
}

/// Appends the text of the next value of the binary encoding, which must be valid: the encoder made it.
pub(crate) fn from_binary(
    schema: &AvroSchema,
    id: NodeId,
    input: &mut Input<'_>,
    out: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<(), Fault> {
    if out.len() > bytes_max {
        return Err(Fault::value(format!("its text is longer than {bytes_max} bytes")));
    }
    // Writing to a vector cannot fail.
    match schema.node(id) {
        Node::Null => out.extend_from_slice(b"null"),
        Node::Boolean => out.extend_from_slice(if input.boolean()? { b"true" } else { b"false" }),
        Node::Int(_) | Node::Long(_) => drop(write!(out, "{}", input.long()?)),
        Node::Float => {
            let value = input.float()?;
            write_float(&float_to_string(value), value.is_finite(), out);
        }
        Node::Double => {
            let value = input.double()?;
            write_float(&double_to_string(value), value.is_finite(), out);
        }
        Node::Text => quote(&String::from_utf8_lossy(input.bytes()?), out),
        Node::Bytes(_) => quote(&latin_text(input.bytes()?), out),
        Node::Fixed { size, .. } => quote(&latin_text(input.take(*size)?), out),
        Node::Enum { symbols, .. } => quote(&symbols[input.index(symbols.len())?], out),
        Node::Array(items) => {
            out.push(b'[');
            let mut is_first = true;
            while let count @ 1.. = input.block()? {
                for _ in 0..count {
                    if !std::mem::take(&mut is_first) {
                        out.push(b',');
                    }
                    from_binary(schema, *items, input, out, bytes_max)?;
                }
            }
            out.push(b']');
        }
        Node::Map(values) => {
            out.push(b'{');
            let mut is_first = true;
            while let count @ 1.. = input.block()? {
                for _ in 0..count {
                    if !std::mem::take(&mut is_first) {
                        out.push(b',');
                    }
                    quote(&String::from_utf8_lossy(input.bytes()?), out);
                    out.push(b':');
                    from_binary(schema, *values, input, out, bytes_max)?;
                }
            }
            out.push(b'}');
        }
        Node::Record { fields, .. } => {
            out.push(b'{');
            for (index, field) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                quote(&field.name, out);
                out.push(b':');
                from_binary(schema, field.node, input, out, bytes_max)?;
            }
            out.push(b'}');
        }
        Node::Union(branches) => {
            let branch = branches[input.index(branches.len())?];
            if matches!(schema.node(branch), Node::Null) {
                out.extend_from_slice(b"null");
                return Ok(());
            }
            out.push(b'{');
            quote(schema.type_name(branch), out);
            out.push(b':');
            from_binary(schema, branch, input, out, bytes_max)?;
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_float(text: &str, is_finite: bool, out: &mut Vec<u8>) {
    if is_finite {
        out.extend_from_slice(text.as_bytes());
    } else {
        quote(text, out);
    }
}

fn latin_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}
