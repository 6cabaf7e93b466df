//! What a receiver of OTLP says: how many it refused of a request that it took, or why it took none.

use super::Signal;
use crate::json::quote;
use crate::protobuf::wire::{WireType, write_bytes, write_tag, write_varint};

/// In which form a request comes, and its answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Protobuf,
    Json,
}

/// An `Export…ServiceResponse`; `words` say why some were refused.
pub fn taken(form: Form, signal: Signal, refused: u64, words: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match form {
        Form::Protobuf if refused == 0 => {}
        Form::Protobuf => {
            let mut partial = Vec::new();
            write_tag(1, WireType::Varint, &mut partial);
            write_varint(refused, &mut partial);
            write_tag(2, WireType::Bytes, &mut partial);
            write_bytes(words.as_bytes(), &mut partial);
            write_tag(1, WireType::Bytes, &mut out);
            write_bytes(&partial, &mut out);
        }
        Form::Json if refused == 0 => out.extend_from_slice(b"{}"),
        Form::Json => {
            let name = match signal {
                Signal::Logs => "rejectedLogRecords",
                Signal::Metrics => "rejectedDataPoints",
                Signal::Spans => "rejectedSpans",
            };
            let begin = format!("{{\"partialSuccess\":{{\"{name}\":\"{refused}\",\"errorMessage\":");
            out.extend_from_slice(begin.as_bytes());
            quote(words, &mut out);
            out.extend_from_slice(b"}}");
        }
    }
    out
}

/// A `google.rpc.Status` without a code, which the status of HTTP says.
pub fn status(form: Form, words: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match form {
        Form::Protobuf => {
            write_tag(2, WireType::Bytes, &mut out);
            write_bytes(words.as_bytes(), &mut out);
        }
        Form::Json => {
            out.extend_from_slice(b"{\"message\":");
            quote(words, &mut out);
            out.push(b'}');
        }
    }
    out
}
