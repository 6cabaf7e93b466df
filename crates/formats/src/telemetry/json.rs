//! OTLP's JSON as Protobuf. Unknown names are left out; 64-bit numbers may be texts or numbers.

use super::DEPTH_MAX;
use super::tables::{Field, Kind, Message};
use super::text::wire_of;
use crate::DecodeError;
use crate::base64;
use crate::json::{Next, Scanner, SyntaxError, unescape};
use crate::number_text::parse_float;
use crate::protobuf::wire::{Fault, WireType, write_bytes, write_tag, write_varint, zigzag};

pub(super) fn read(message: &Message, text: &[u8]) -> Result<Vec<u8>, DecodeError> {
    if str::from_utf8(text).is_err() {
        return Err(DecodeError::Syntax { format: "JSON", position: 0, reason: "the text is no UTF-8" });
    }
    let mut scanner = Scanner::new(text);
    let mut out = Vec::with_capacity(text.len() / 2);
    object(message, &mut scanner, 0, &mut out)?;
    if scanner.peek() != 0 || scanner.at < text.len() {
        scanner.error("there is more than one value")?;
    }
    Ok(out)
}

/// JSON's faults are told as JSON's.
struct Failed(DecodeError);

impl From<SyntaxError> for Failed {
    fn from(error: SyntaxError) -> Failed {
        Failed(error.into())
    }
}

impl From<SyntaxError> for DecodeError {
    fn from(error: SyntaxError) -> DecodeError {
        DecodeError::Syntax { format: "JSON", position: error.position, reason: error.reason }
    }
}

impl From<Failed> for DecodeError {
    fn from(failed: Failed) -> DecodeError {
        failed.0
    }
}

fn wrong(field: &Field, reason: &str) -> Failed {
    Failed(Fault::value(reason).within(field.name).into())
}

fn object(
    message: &Message,
    scanner: &mut Scanner<'_>,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), Failed> {
    let mut next = scanner.enter(b'{', b'}')?;
    if depth >= DEPTH_MAX {
        scanner.error("objects and arrays are nested too deeply")?;
    }
    let mut name = Vec::new();
    while next == Next::Element {
        name.clear();
        unescape(scanner.name()?, &mut name);
        let field = message.fields.iter().find(|field| field.name.as_bytes() == name);
        match (field, scanner.peek()) {
            (None, _) => scanner.skip()?,
            (Some(_), b'n') => scanner.word("null")?,
            (Some(field), _) if field.repeated => list(field, scanner, depth, out)?,
            (Some(field), _) => {
                write_tag(field.number, wire_of(field.kind), out);
                value(field, scanner, depth, out)?;
            }
        }
        next = scanner.next(b'}')?;
    }
    Ok(())
}

fn list(field: &Field, scanner: &mut Scanner<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), Failed> {
    let wire = wire_of(field.kind);
    let mut packed = Vec::new();
    let mut next = scanner.enter(b'[', b']')?;
    while next == Next::Element {
        if wire == WireType::Bytes {
            write_tag(field.number, wire, out);
            value(field, scanner, depth, out)?;
        } else {
            value(field, scanner, depth, &mut packed)?;
        }
        next = scanner.next(b']')?;
    }
    if !packed.is_empty() {
        write_tag(field.number, WireType::Bytes, out);
        write_bytes(&packed, out);
    }
    Ok(())
}

fn value(field: &Field, scanner: &mut Scanner<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), Failed> {
    match field.kind {
        Kind::Of(message) => {
            let mut inner = Vec::new();
            object(message, scanner, depth + 1, &mut inner)?;
            write_bytes(&inner, out);
        }
        Kind::Text => write_bytes(&text(scanner)?, out),
        Kind::Base64 => {
            let mut bytes = Vec::new();
            if !base64::decode(&text(scanner)?, &mut bytes) {
                return Err(wrong(field, "is no base64"));
            }
            write_bytes(&bytes, out);
        }
        Kind::Hex => {
            let bytes = unhexed(&text(scanner)?).ok_or_else(|| wrong(field, "is no hexadecimal number"))?;
            write_bytes(&bytes, out);
        }
        Kind::Bool => {
            let is_true = scanner.peek() == b't';
            scanner.word(if is_true { "true" } else { "false" })?;
            out.push(u8::from(is_true));
        }
        Kind::Double => {
            let written = written(scanner)?;
            let written = String::from_utf8_lossy(&written);
            let number = match &*written {
                "NaN" => Some(f64::NAN),
                "Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                written => parse_float::<f64>(written),
            };
            let number = number.ok_or_else(|| wrong(field, "is no number"))?;
            out.extend_from_slice(&number.to_le_bytes());
        }
        _ => integer(field, &written(scanner)?, out)?,
    }
    Ok(())
}

fn integer(field: &Field, written: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
    let range = match field.kind {
        Kind::Uint32 | Kind::Fixed32 => 0..=i128::from(u32::MAX),
        Kind::Sint32 | Kind::Enum => i128::from(i32::MIN)..=i128::from(i32::MAX),
        Kind::Int64 | Kind::Sfixed64 => i128::from(i64::MIN)..=i128::from(i64::MAX),
        _ => 0..=i128::from(u64::MAX),
    };
    let number = str::from_utf8(written).ok().and_then(|text| text.parse::<i128>().ok());
    let number = number.filter(|number| range.contains(number));
    let number = number.ok_or_else(|| wrong(field, "is no whole number of its size"))?;
    match (field.kind, wire_of(field.kind)) {
        (_, WireType::Fixed32) => out.extend_from_slice(&(number as u32).to_le_bytes()),
        (_, WireType::Fixed64) => out.extend_from_slice(&(number as u64).to_le_bytes()),
        (Kind::Sint32, _) => write_varint(zigzag(number as i64), out),
        _ => write_varint(number as u64, out),
    }
    Ok(())
}

fn text(scanner: &mut Scanner<'_>) -> Result<Vec<u8>, Failed> {
    if scanner.peek() != b'"' {
        scanner.error("expected a text")?;
    }
    let mut text = Vec::new();
    unescape(scanner.text()?, &mut text);
    Ok(text)
}

/// A number, or a text that has one.
fn written(scanner: &mut Scanner<'_>) -> Result<Vec<u8>, Failed> {
    match scanner.peek() {
        b'"' => text(scanner),
        b'-' | b'0'..=b'9' => Ok(scanner.number()?.text.to_vec()),
        _ => Ok(scanner.error("expected a number")?),
    }
}

fn unhexed(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pairs = digits.chunks(2);
    pairs.map(|pair| Some((digit(&pair[0])? << 4 | digit(pair.get(1)?)?) as u8)).collect()
}
