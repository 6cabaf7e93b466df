//! What observability sends, into topics: OTLP over HTTP (`POST /v1/logs`, `/v1/metrics`, `/v1/traces`) and Prometheus'
//! remote-write (`POST /api/v1/write`).
//!
//! Records go the way of events: rights on the topic, one frame for a request, an answer when it is on the disk. What they
//! look like is what others write into Kafka already: OpenTelemetry Collector's exporter, prometheus-kafka-adapter.

mod otlp;
mod remote_write;

use crate::events::{Events, Rights};
use bytes::Bytes;
use formats::telemetry::{Limits, Signal};
use http_body_util::Full;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::http::request::Parts;
use hyper::{Method, Response};
use std::sync::Arc;

/// Bytes of a request, and of what it is when unpacked.
pub(crate) const BODY_BYTES_MAX: usize = 8 << 20;
const PLAIN_BYTES_MAX: usize = 16 << 20;

/// What one request becomes.
const LIMITS: Limits = Limits { parts: 50_000, bytes: 32 << 20 };

const PREFIX: &str = "otlp_";
const SAMPLES: &str = "prometheus_samples";

/// Where it goes, and in which form.
#[derive(Debug, Clone)]
pub struct TelemetryTopics {
    /// By `Signal`.
    otlp: [String; 3],
    encoding: Encoding,
    samples: String,
}

/// Of the values of OTLP's records, under the names that the collector's Kafka exporter and receiver have for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Json,
    Protobuf,
}

impl TelemetryTopics {
    /// Those that are not given have the names of OpenTelemetry Collector's Kafka exporter.
    pub fn parse(
        prefix: Option<&str>,
        encoding: Option<&str>,
        samples: Option<&str>,
    ) -> Result<TelemetryTopics, String> {
        let encoding = match encoding {
            None | Some("otlp_json") => Encoding::Json,
            Some("otlp_proto") => Encoding::Protobuf,
            Some(other) => {
                return Err(format!("the encoding '{other}' is not known: otlp_json or otlp_proto"));
            }
        };
        let prefix = prefix.unwrap_or(PREFIX);
        let otlp = ["logs", "metrics", "spans"].map(|signal| format!("{prefix}{signal}"));
        let samples = samples.unwrap_or(SAMPLES).to_owned();
        for topic in otlp.iter().chain([&samples]) {
            eventlog::check_topic_name(topic).map_err(|error| error.to_string())?;
        }
        Ok(TelemetryTopics { otlp, encoding, samples })
    }

    pub(crate) fn of(&self, sent: Sent) -> &str {
        match sent {
            Sent::Otlp(signal) => &self.otlp[signal as usize],
            Sent::Samples => &self.samples,
        }
    }
}

impl Default for TelemetryTopics {
    fn default() -> TelemetryTopics {
        let otlp = ["logs", "metrics", "spans"].map(|signal| format!("{PREFIX}{signal}"));
        TelemetryTopics { otlp, encoding: Encoding::Json, samples: SAMPLES.to_owned() }
    }
}

/// By its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Otlp(Signal),
    Samples,
}

/// What a request sends, if it is one of these.
pub(crate) fn sent(head: &Parts) -> Option<Sent> {
    let sent = match head.uri.path() {
        "/v1/logs" => Sent::Otlp(Signal::Logs),
        "/v1/metrics" => Sent::Otlp(Signal::Metrics),
        "/v1/traces" => Sent::Otlp(Signal::Spans),
        "/api/v1/write" => Sent::Samples,
        _ => return None,
    };
    (head.method == Method::POST).then_some(sent)
}

/// Takes a request in, and answers when it is on the disk.
pub(crate) async fn answer(
    events: Arc<Events>,
    sent: Sent,
    head: &Parts,
    body: Bytes,
    rights: Rights,
) -> Result<Response<Full<Bytes>>, Response<Full<Bytes>>> {
    match sent {
        Sent::Otlp(signal) => otlp::answer(events, signal, head, body, rights).await,
        Sent::Samples => remote_write::answer(events, head, body, rights).await,
    }
}

/// A refusal in the form that its sender reads.
pub(crate) async fn refusal(
    sent: Sent,
    head: &Parts,
    refusal: Response<Full<Bytes>>,
) -> Response<Full<Bytes>> {
    match sent {
        Sent::Otlp(_) => otlp::refusal(head, refusal).await,
        Sent::Samples => refusal,
    }
}

/// The kind of the body, without its parameters; and those.
fn content_type(head: &Parts) -> (&str, &str) {
    let whole = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (kind, parameters) = whole.split_once(';').unwrap_or((whole, ""));
    (kind.trim(), parameters.trim())
}

fn content_encoding(head: &Parts) -> &str {
    let value = head.headers.get(CONTENT_ENCODING);
    value.map_or("identity", |value| value.to_str().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_have_a_prefix_and_names_that_are_checked() {
        let topics = TelemetryTopics::parse(Some("prod."), Some("otlp_proto"), Some("samples")).unwrap();
        assert_eq!(topics.of(Sent::Otlp(Signal::Spans)), "prod.spans");
        assert_eq!((topics.of(Sent::Samples), topics.encoding), ("samples", Encoding::Protobuf));
        let usual = TelemetryTopics::parse(None, None, None).unwrap();
        for sent in [Sent::Otlp(Signal::Logs), Sent::Otlp(Signal::Metrics), Sent::Samples] {
            assert_eq!(usual.of(sent), TelemetryTopics::default().of(sent));
        }
        assert_eq!(usual.of(Sent::Otlp(Signal::Logs)), "otlp_logs");
        for (given, why) in [
            ((Some("a b"), None, None), "a b"),
            ((None, Some("json"), None), "otlp_json or otlp_proto"),
            ((None, None, Some("")), "name"),
        ] {
            let error = TelemetryTopics::parse(given.0, given.1, given.2).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
