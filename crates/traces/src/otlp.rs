//! Spans as OTLP's `ExportTraceServiceRequest`, in Protobuf; and what its answer says of spans that were refused.

use crate::context::TraceContext;
use crate::span::{Attribute, Span};

const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const BYTES: u32 = 2;
const FIXED_32: u32 = 5;

/// Bit 0 of a span's flags is that of its `traceparent`.
const SAMPLED: u32 = 1;
const STATUS_ERROR: u64 = 2;

/// One request for all spans. `resource` says who sends them.
pub(crate) fn encode(resource: &[(String, String)], version: &str, spans: &[Span]) -> Vec<u8> {
    let mut out = Message::default();
    out.message(1, |resource_spans| {
        resource_spans.message(1, |out| {
            for (name, value) in resource {
                out.message(1, |out| out.attribute(name, &Attribute::Text(value.clone())));
            }
        });
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| {
                scope.text(1, "eventwright");
                scope.text(2, version);
            });
            for span in spans {
                scope_spans.message(2, |out| encode_span(out, span));
            }
        });
    });
    out.0
}

fn encode_span(out: &mut Message, span: &Span) {
    out.place(&span.context);
    if let Some(parent) = &span.parent {
        out.bytes(4, &parent.0);
    }
    out.text(5, &span.name);
    out.number(6, span.kind as u64);
    out.fixed_64(7, span.begin_ns);
    out.fixed_64(8, span.end_ns);
    for (name, value) in &span.attributes {
        out.message(9, |out| out.attribute(name, value));
    }
    for link in &span.links {
        out.message(13, |out| {
            out.place(link);
            out.fixed_32(6, if link.sampled { SAMPLED } else { 0 });
        });
    }
    out.number(14, u64::from(span.links_left_out));
    if let Some(error) = &span.error {
        out.message(15, |status| {
            status.text(2, error);
            status.number(3, STATUS_ERROR);
        });
    }
    out.fixed_32(16, if span.context.sampled { SAMPLED } else { 0 });
}

/// How many spans an answer says were refused.
pub(crate) fn refused(answer: &[u8]) -> u64 {
    let partial = field(answer, 1).and_then(|field| match field {
        Field::Bytes(bytes) => Some(bytes),
        Field::Number(_) => None,
    });
    match partial.and_then(|partial| field(partial, 1)) {
        Some(Field::Number(refused)) => refused,
        _ => 0,
    }
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The first field of a number; `None` also where the bytes are no message.
fn field(mut bytes: &[u8], wanted: u64) -> Option<Field<'_>> {
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let found = match (tag & 7) as u32 {
            VARINT => Field::Number(varint(&mut bytes)?),
            BYTES => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Field::Bytes(value)
            }
            kind @ (FIXED_64 | FIXED_32) => {
                bytes = bytes.get(if kind == FIXED_64 { 8 } else { 4 }..)?;
                continue;
            }
            _ => return None,
        };
        if tag >> 3 == wanted {
            return Some(found);
        }
    }
    None
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A message in the making.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn tag(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    fn number(&mut self, field: u32, number: u64) {
        if number != 0 {
            self.tag(field, VARINT);
            self.varint(number);
        }
    }

    fn fixed_64(&mut self, field: u32, number: u64) {
        self.tag(field, FIXED_64);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn fixed_32(&mut self, field: u32, number: u32) {
        self.tag(field, FIXED_32);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u32, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn message(&mut self, field: u32, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }

    /// What spans and links have in common.
    fn place(&mut self, context: &TraceContext) {
        self.bytes(1, &context.trace.0);
        self.bytes(2, &context.span.0);
        if let Some(state) = &context.state {
            self.text(3, state);
        }
    }

    /// A `KeyValue`.
    fn attribute(&mut self, name: &str, value: &Attribute) {
        self.text(1, name);
        self.message(2, |any| match value {
            Attribute::Text(text) => any.text(1, text),
            Attribute::Number(number) => {
                // An `AnyValue` has a value even if it is 0.
                any.tag(3, VARINT);
                any.varint(*number as u64);
            }
        });
    }
}
