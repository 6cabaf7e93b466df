//! A finished span.

use crate::context::{SpanId, TraceContext};

/// What a span is linked with at most; the rest is counted.
pub const LINKS_MAX: usize = 32;

/// Bytes of a text that a span carries.
const TEXT_BYTES_MAX: usize = 512;

/// Who a span stands for, as OpenTelemetry numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    Text(String),
    Number(i64),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Attribute {
        Attribute::Text(shortened(text))
    }
}

impl From<i64> for Attribute {
    fn from(number: i64) -> Attribute {
        Attribute::Number(number)
    }
}

/// Times are nanoseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub context: TraceContext,
    pub parent: Option<SpanId>,
    pub name: String,
    pub kind: Kind,
    pub begin_ns: u64,
    pub end_ns: u64,
    pub attributes: Vec<(&'static str, Attribute)>,
    pub links: Vec<TraceContext>,
    pub links_left_out: u32,
    /// What went wrong.
    pub error: Option<String>,
}

impl Span {
    pub fn new(context: TraceContext, name: &str, kind: Kind) -> Span {
        Span {
            context,
            parent: None,
            name: shortened(name),
            kind,
            begin_ns: 0,
            end_ns: 0,
            attributes: Vec::new(),
            links: Vec::new(),
            links_left_out: 0,
            error: None,
        }
    }

    pub fn under(self, parent: Option<SpanId>) -> Span {
        Span { parent, ..self }
    }

    pub fn lasting(self, begin_ns: u64, end_ns: u64) -> Span {
        Span { begin_ns, end_ns: end_ns.max(begin_ns), ..self }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<Attribute>) -> Span {
        self.attributes.push((name, value.into()));
        self
    }

    pub fn linked(mut self, links: impl IntoIterator<Item = TraceContext>) -> Span {
        for link in links {
            match self.links.len() < LINKS_MAX {
                true => self.links.push(link),
                false => self.links_left_out += 1,
            }
        }
        self
    }

    pub fn failed(self, error: &str) -> Span {
        Span { error: Some(shortened(error)), ..self }
    }
}

/// As much of a text as a span carries.
fn shortened(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_string()
}
