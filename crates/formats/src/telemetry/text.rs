//! OTLP's messages as its JSON: camel case, 64-bit numbers as texts, ids in hexadecimal digits.

use super::DEPTH_MAX;
use super::tables::{Field, Kind, Message};
use crate::base64;
use crate::json::quote;
use crate::protobuf::wire::{Fault, Input, WireType, unzigzag};
use std::io::Write;

/// A value as it lies in the message.
#[derive(Clone)]
enum Raw<'a> {
    Number(u64),
    Part(Input<'a>),
}

pub(super) fn write(
    message: &Message,
    mut input: Input<'_>,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    if depth >= DEPTH_MAX {
        return input.error("messages are nested too deeply");
    }
    // Fields may come in any order and be spread; JSON has each once.
    let mut found: Vec<(usize, Raw<'_>)> = Vec::new();
    while !input.is_at_end() {
        let (number, wire) = input.tag()?;
        let index = message.fields.iter().position(|field| field.number == number);
        let Some(index) = index else {
            input.skip(number, wire, 0)?;
            continue;
        };
        found.push((index, raw(&message.fields[index], wire, &mut input)?));
    }
    found.sort_by_key(|(index, _)| *index);
    out.push(b'{');
    let mut is_first = true;
    for group in found.chunk_by(|one, other| one.0 == other.0) {
        let Some((index, last)) = group.last() else { continue };
        let field = &message.fields[*index];
        if !is_first {
            out.push(b',');
        }
        is_first = false;
        let _ = write!(out, "\"{}\":", field.name);
        if !field.repeated {
            // Of a field that stands there several times the last one holds.
            value(field, last, depth, out)?;
            continue;
        }
        out.push(b'[');
        let begin = out.len();
        for (_, raw) in group {
            elements(field, raw, depth, begin, out)?;
        }
        out.push(b']');
    }
    out.push(b'}');
    Ok(())
}

/// One element of a list, or all of a packed one.
fn elements(
    field: &Field,
    raw: &Raw<'_>,
    depth: usize,
    begin: usize,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let comma = |out: &mut Vec<u8>| {
        if out.len() > begin {
            out.push(b',');
        }
    };
    match (raw, wire_of(field.kind)) {
        (Raw::Part(packed), wire) if wire != WireType::Bytes => {
            let mut packed = packed.clone();
            while !packed.is_at_end() {
                let number = number(wire, &mut packed)?;
                comma(out);
                value(field, &Raw::Number(number), depth, out)?;
            }
            Ok(())
        }
        _ => {
            comma(out);
            value(field, raw, depth, out)
        }
    }
}

pub(super) fn wire_of(kind: Kind) -> WireType {
    match kind {
        Kind::Bool | Kind::Enum | Kind::Uint32 | Kind::Sint32 | Kind::Int64 | Kind::Uint64 => {
            WireType::Varint
        }
        Kind::Fixed32 => WireType::Fixed32,
        Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => WireType::Fixed64,
        Kind::Text | Kind::Base64 | Kind::Hex | Kind::Of(_) => WireType::Bytes,
    }
}

fn number(wire: WireType, input: &mut Input<'_>) -> Result<u64, Fault> {
    Ok(match wire {
        WireType::Fixed32 => u64::from(u32::from_le_bytes(input.take(4)?.try_into().unwrap_or_default())),
        WireType::Fixed64 => u64::from_le_bytes(input.take(8)?.try_into().unwrap_or_default()),
        _ => input.varint()?,
    })
}

fn raw<'a>(field: &Field, wire: WireType, input: &mut Input<'a>) -> Result<Raw<'a>, Fault> {
    let wanted = wire_of(field.kind);
    if wire == WireType::Bytes && (wanted == wire || field.repeated) {
        return Ok(Raw::Part(input.part()?));
    }
    if wire != wanted {
        return input.error("a field has another kind of value than OTLP says");
    }
    Ok(Raw::Number(number(wire, input)?))
}

fn value(field: &Field, raw: &Raw<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    // Writing into memory does not fail.
    match (field.kind, raw) {
        (Kind::Of(message), Raw::Part(part)) => write(message, part.clone(), depth + 1, out)?,
        (Kind::Text, Raw::Part(part)) => {
            let text = str::from_utf8(part.rest());
            quote(text.map_err(|_| Fault::value("is no UTF-8").within(field.name))?, out);
        }
        (Kind::Base64, Raw::Part(part)) => {
            out.push(b'"');
            base64::encode(part.rest(), out);
            out.push(b'"');
        }
        (_, Raw::Part(part)) => {
            out.push(b'"');
            part.rest().iter().for_each(|byte| drop(write!(out, "{byte:02x}")));
            out.push(b'"');
        }
        (Kind::Bool, Raw::Number(number)) => {
            out.extend_from_slice(if *number == 0 { b"false" } else { b"true" });
        }
        (Kind::Sint32, Raw::Number(number)) => drop(write!(out, "{}", unzigzag(*number) as i32)),
        (Kind::Enum, Raw::Number(number)) => drop(write!(out, "{}", *number as i32)),
        (Kind::Int64 | Kind::Sfixed64, Raw::Number(number)) => drop(write!(out, "\"{}\"", *number as i64)),
        (Kind::Uint64 | Kind::Fixed64, Raw::Number(number)) => drop(write!(out, "\"{number}\"")),
        (Kind::Double, Raw::Number(number)) => double(f64::from_bits(*number), out),
        (_, Raw::Number(number)) => drop(write!(out, "{}", *number as u32)),
    }
    Ok(())
}

fn double(number: f64, out: &mut Vec<u8>) {
    let _ = match number {
        _ if number.is_nan() => write!(out, "\"NaN\""),
        _ if number.is_infinite() => write!(out, "\"{}Infinity\"", if number < 0.0 { "-" } else { "" }),
        // Rust's shortest text with an exponent where it is long is a number of JSON as well.
        _ => write!(out, "{number:?}"),
    };
}
