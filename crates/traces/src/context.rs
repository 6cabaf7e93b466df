//! The trace context of a record or a request: `traceparent` and `tracestate` as the W3C defines them.

use std::fmt;
use std::sync::Arc;

pub const TRACEPARENT: &str = "traceparent";
pub const TRACESTATE: &str = "tracestate";

/// What whoever hands a `tracestate` on must take at least; a longer one is left out.
const STATE_BYTES_MAX: usize = 512;

/// The length of `00-TRACE-SPAN-FLAGS`.
const PARENT_BYTES: usize = 55;
const SAMPLED: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub [u8; 16]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(pub [u8; 8]);

/// A place in a trace: the span that whatever carries this comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TraceContext {
    pub trace: TraceId,
    pub span: SpanId,
    /// Whether its spans are kept.
    pub sampled: bool,
    /// What tracing systems add for themselves, handed on as it is.
    pub state: Option<Arc<str>>,
}

impl TraceContext {
    /// Reads a `traceparent`; `None` for what is none. Of a later version only what this one knows is read.
    pub fn parse(text: &[u8]) -> Option<TraceContext> {
        let is_whole =
            text.len() == PARENT_BYTES || (text.len() > PARENT_BYTES && text[PARENT_BYTES] == b'-');
        let dashes = is_whole && [2, 35, 52].iter().all(|place| text[*place] == b'-');
        if !dashes {
            return None;
        }
        let [version] = hexadecimal(&text[..2])?;
        let (trace, span) = (hexadecimal::<16>(&text[3..35])?, hexadecimal::<8>(&text[36..52])?);
        let [flags] = hexadecimal(&text[53..55])?;
        let is_known = version != 0xff && (version > 0 || text.len() == PARENT_BYTES);
        let names_something = trace != [0; 16] && span != [0; 8];
        (is_known && names_something).then_some(TraceContext {
            trace: TraceId(trace),
            span: SpanId(span),
            sampled: flags & SAMPLED != 0,
            state: None,
        })
    }

    /// The same with a `tracestate`, unless that is no text or too long.
    pub fn with_state(self, state: Option<&[u8]>) -> TraceContext {
        let state = state.filter(|state| !state.is_empty() && state.len() <= STATE_BYTES_MAX);
        let state = state.and_then(|state| std::str::from_utf8(state).ok());
        TraceContext { state: state.filter(|state| state.is_ascii()).map(Arc::from), ..self }
    }

    /// Another span of the same trace.
    pub fn child(&self, span: SpanId) -> TraceContext {
        TraceContext { span, ..self.clone() }
    }
}

impl fmt::Display for TraceContext {
    /// As a `traceparent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("-")?;
        self.span.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{:02x}", u8::from(self.sampled))
    }
}

/// The context in a record's headers. The last header of a name goes before the others, as with Kafka's clients.
pub fn of_headers<'a>(headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Option<TraceContext> {
    let (mut parent, mut state) = (None, None);
    for (name, value) in headers {
        if name == TRACEPARENT.as_bytes() {
            parent = value;
        } else if name == TRACESTATE.as_bytes() {
            state = value;
        }
    }
    Some(TraceContext::parse(parent?)?.with_state(state))
}

/// Lower case only, as the W3C has it.
fn hexadecimal<const BYTES: usize>(text: &[u8]) -> Option<[u8; BYTES]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}
