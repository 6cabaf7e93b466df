//! Prometheus' remote-write, 1.0 and 2.0: each sample becomes a record, in JSON, with its series as the key, so that the
//! samples of a series stay in their order.

use super::otlp::unpacked;
use super::{LIMITS, Sent, content_encoding, content_type};
use crate::events::{Events, Posted, Rights, land};
use crate::reply::Reply;
use bytes::Bytes;
use formats::telemetry::remote_write::{Counts, Version, read};
use http_body_util::Full;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use kafka_wire::records::Compression;
use std::sync::Arc;

const V1: &str = "prometheus.WriteRequest";
const V2: &str = "io.prometheus.write.v2.Request";

const SAMPLES_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

pub(super) async fn answer(
    events: Arc<Events>,
    head: &Parts,
    body: Bytes,
    rights: Rights,
) -> Result<Response<Full<Bytes>>, Response<Full<Bytes>>> {
    let refusal = |words: String| Reply::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, words).into_response();
    let version = version(head).ok_or_else(|| {
        refusal(format!("remote-write comes as application/x-protobuf, with proto={V1} or {V2} or none"))
    })?;
    if content_encoding(head) != "snappy" {
        return Err(refusal("remote-write is packed with snappy".to_owned()));
    }
    let topic = events.telemetry().of(Sent::Samples).to_owned();
    let landed = land(events, topic, rights, move |_, _| {
        let message = unpacked(Compression::Snappy, body)?;
        let (mut posted, mut bytes) = (Vec::new(), 0);
        let counts = read(version, &message, &mut |sample| {
            let (key, value) = (sample.key().into_bytes(), sample.to_json());
            bytes += key.len() + value.len();
            if posted.len() >= LIMITS.parts || bytes > LIMITS.bytes {
                return Err(LIMITS.exceeded());
            }
            posted.push(Posted::plain(Some(key), value));
            Ok(())
        });
        let counts = counts.map_err(|error| Reply::error(StatusCode::BAD_REQUEST, error.to_string()))?;
        Ok((posted, counts))
    });
    let (_, counts) = landed.await?;
    Ok(written(counts))
}

/// What has no form here is told as an error, which Prometheus logs and does not send again.
fn written(counts: Counts) -> Response<Full<Bytes>> {
    let Counts { samples, histograms, exemplars } = counts;
    let mut response = if histograms + exemplars > 0 {
        let words = format!(
            "the samples were taken, and {histograms} native histograms and {exemplars} exemplars were left out: turn \
             send_native_histograms and send_exemplars off"
        );
        Reply::error(StatusCode::BAD_REQUEST, words).into_response()
    } else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    };
    let headers = response.headers_mut();
    headers.insert(SAMPLES_WRITTEN, HeaderValue::from(samples));
    headers.insert(HISTOGRAMS_WRITTEN, HeaderValue::from(0));
    headers.insert(EXEMPLARS_WRITTEN, HeaderValue::from(0));
    response
}

fn version(head: &Parts) -> Option<Version> {
    let (kind, parameters) = content_type(head);
    let proto = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("proto="));
    match (kind, proto) {
        ("application/x-protobuf", None | Some(V1)) => Some(Version::V1),
        ("application/x-protobuf", Some(V2)) => Some(Version::V2),
        _ => None,
    }
}
