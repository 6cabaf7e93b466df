//! What observability sends: OTLP's logs, metrics and spans as Protobuf and as JSON, and Prometheus' remote-write.
//!
//! Both are a few messages that do not change but by new fields, so they are tables here (`tables`), walked by one reader
//! of JSON, one writer of it, and one that takes a request apart. Fields that the tables do not have stay in what is split
//! and are left out of JSON, as receivers of OTLP are to do.

pub mod answers;
mod json;
pub mod remote_write;
mod split;
mod tables;
mod text;

use crate::DecodeError;
use crate::protobuf::wire::Input;

/// Deeper nesting is refused: an attribute may hold lists of lists.
const DEPTH_MAX: usize = 64;

/// What a request of OTLP brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Logs,
    Metrics,
    Spans,
}

/// A log record, a data point or a span, with what stands around it: a whole request of OTLP for it alone.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// Of a span its trace, as hexadecimal digits; of all else the service that it comes from.
    pub key: Option<String>,
    /// Protobuf.
    pub message: Vec<u8>,
}

/// Limits of what a request becomes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub parts: usize,
    /// Of all parts together: each repeats what stands around it.
    pub bytes: usize,
}

impl Limits {
    /// What is said of a request that becomes more.
    pub fn exceeded(self) -> String {
        let Limits { parts, bytes } = self;
        format!(
            "the request becomes more than {parts} records or {bytes} bytes, with what stands around each of them: send \
             less at once"
        )
    }
}

impl Signal {
    /// A request's JSON as Protobuf.
    pub fn of_json(self, text: &[u8]) -> Result<Vec<u8>, DecodeError> {
        json::read(tables::of(self), text)
    }

    /// A request as OTLP's JSON. The error also of a message that is none.
    pub fn to_json(self, message: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let mut out = Vec::with_capacity(message.len() * 2);
        text::write(tables::of(self), Input::new(message), 0, &mut out)?;
        Ok(out)
    }

    pub fn split(self, message: &[u8], limits: Limits) -> Result<Vec<Part>, DecodeError> {
        split::split(self, message, limits)
    }
}

#[cfg(test)]
mod tests;
