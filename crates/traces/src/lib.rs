//! Traces: the context that records and requests carry (W3C Trace Context), spans, which of them are kept, and their way
//! to an OpenTelemetry collector.
//!
//! Whoever does something worth a span asks the [`Tracer`] and hands it the finished span; that never waits. A thread of
//! the exporter's sends what has come. Without a collector the tracer is off and all of it costs one look at an option.

mod context;
mod exporter;
mod otlp;
mod sampler;
mod settings;
mod span;
mod tracer;

pub use context::{SpanId, TRACEPARENT, TRACESTATE, TraceContext, TraceId, of_headers};
pub use exporter::{Exporter, metric_families};
pub use sampler::Sampler;
pub use settings::{Given, SettingsError, TraceSettings};
pub use span::{Attribute, Kind, LINKS_MAX, Span};
pub use tracer::{Collected, Tracer};

#[cfg(test)]
mod tests;
