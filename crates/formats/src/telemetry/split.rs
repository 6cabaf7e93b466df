//! Takes a request of OTLP apart: each log record, data point and span becomes a request of its own, with the resource, the
//! scope and the metric that stand around it. So each of them is a record that consumers of OTLP read as it is.

use super::{Limits, Part, Signal};
use crate::DecodeError;
use crate::protobuf::wire::{Fault, Input, WireType, write_bytes, write_tag};

/// By level, the fields that hold the next one.
type Levels = &'static [&'static [u32]];

const OF_RECORDS: Levels = &[&[1], &[2], &[2]];
/// The kinds of metrics have their points in fields of their own.
const OF_POINTS: Levels = &[&[1], &[2], &[2], &[5, 7, 9, 10, 11], &[1]];

const TRACE_ID: u32 = 1;
const RESOURCE: u32 = 1;
const ATTRIBUTES: u32 = 1;
const SERVICE: &str = "service.name";
const INSTANCE: &str = "service.instance.id";
/// Longer names of services are no keys.
const KEY_BYTES_MAX: usize = 1024;

/// What stands around the level below: all its other fields, and the number of the one that goes on.
struct Around {
    rest: Vec<u8>,
    number: u32,
}

struct Splitter {
    signal: Signal,
    levels: Levels,
    limits: Limits,
    around: Vec<Around>,
    /// The service that the resource names.
    service: Option<String>,
    parts: Vec<Part>,
    bytes: usize,
}

pub(super) fn split(signal: Signal, message: &[u8], limits: Limits) -> Result<Vec<Part>, DecodeError> {
    let levels = if signal == Signal::Metrics { OF_POINTS } else { OF_RECORDS };
    let (around, parts) = (Vec::new(), Vec::new());
    let mut splitter = Splitter { signal, levels, limits, around, service: None, parts, bytes: 0 };
    splitter.take(message)?;
    Ok(splitter.parts)
}

impl Splitter {
    fn take(&mut self, message: &[u8]) -> Result<(), Fault> {
        let depth = self.around.len();
        let Some(numbers) = self.levels.get(depth) else { return self.part(message) };
        let mut input = Input::new(message);
        let (mut rest, mut inner) = (Vec::new(), Vec::new());
        while !input.is_at_end() {
            let begin = input.at;
            let (number, wire) = input.tag()?;
            if wire == WireType::Bytes && numbers.contains(&number) {
                if inner.len() >= self.limits.parts {
                    return Err(too_much(self.limits));
                }
                inner.push((number, input.bytes()?));
            } else {
                input.skip(number, wire, 0)?;
                rest.extend_from_slice(&message[begin..input.at]);
            }
        }
        if depth == 1 {
            self.service = service(&rest)?;
        }
        self.around.push(Around { rest, number: 0 });
        for (number, message) in inner {
            if let Some(around) = self.around.last_mut() {
                around.number = number;
            }
            self.take(message)?;
        }
        self.around.pop();
        Ok(())
    }

    fn part(&mut self, message: &[u8]) -> Result<(), Fault> {
        let around: usize = self.around.iter().map(|around| around.rest.len()).sum();
        self.bytes = self.bytes.saturating_add(around).saturating_add(message.len());
        if self.parts.len() >= self.limits.parts || self.bytes > self.limits.bytes {
            return Err(too_much(self.limits));
        }
        let mut whole = message.to_vec();
        for Around { rest, number } in self.around.iter().rev() {
            let mut outer = Vec::with_capacity(rest.len() + whole.len() + 8);
            outer.extend_from_slice(rest);
            write_tag(*number, WireType::Bytes, &mut outer);
            write_bytes(&whole, &mut outer);
            whole = outer;
        }
        let key = match self.signal {
            Signal::Spans => field(message, TRACE_ID)?.filter(|id| !id.is_empty() && id.len() <= 16).map(hex),
            _ => self.service.clone(),
        };
        self.parts.push(Part { key, message: whole });
        Ok(())
    }
}

fn too_much(limits: Limits) -> Fault {
    Fault::value(limits.exceeded())
}

/// The last field of a number that is bytes.
fn field(message: &[u8], wanted: u32) -> Result<Option<&[u8]>, Fault> {
    let mut found = None;
    each(message, wanted, |bytes| {
        found = Some(bytes);
        Ok(())
    })?;
    Ok(found)
}

fn each<'a>(
    message: &'a [u8],
    wanted: u32,
    mut take: impl FnMut(&'a [u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut input = Input::new(message);
    while !input.is_at_end() {
        let (number, wire) = input.tag()?;
        if number == wanted && wire == WireType::Bytes {
            take(input.bytes()?)?;
        } else {
            input.skip(number, wire, 0)?;
        }
    }
    Ok(())
}

/// `service.name`, with `/` and `service.instance.id` where there is one.
fn service(around_scopes: &[u8]) -> Result<Option<String>, Fault> {
    let Some(resource) = field(around_scopes, RESOURCE)? else { return Ok(None) };
    let (mut service, mut instance) = (None, None);
    each(resource, ATTRIBUTES, |attribute| {
        let name = field(attribute, 1)?.unwrap_or_default();
        let place = match str::from_utf8(name) {
            Ok(SERVICE) => &mut service,
            Ok(INSTANCE) => &mut instance,
            _ => return Ok(()),
        };
        let text = field(field(attribute, 2)?.unwrap_or_default(), 1)?;
        *place = text.and_then(|text| str::from_utf8(text).ok()).filter(|text| !text.is_empty());
        Ok(())
    })?;
    let key = service.map(|service| match instance {
        Some(instance) => format!("{service}/{instance}"),
        None => service.to_owned(),
    });
    Ok(key.filter(|key| key.len() <= KEY_BYTES_MAX))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into memory does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
