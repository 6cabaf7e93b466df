//! OTLP over HTTP: each log record, data point and span becomes a record, which is a whole request of OTLP for it alone.
//!
//! What is larger than the topic takes is refused by itself, as a partial success; all else is taken or nothing is.

use super::{Encoding, LIMITS, PLAIN_BYTES_MAX, Sent, content_encoding, content_type};
use crate::events::{Events, Posted, Rights, land, of_error};
use crate::reply::Reply;
use bytes::Bytes;
use formats::DecodeError;
use formats::telemetry::answers::{self, Form};
use formats::telemetry::{Part, Signal};
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use kafka_wire::records::{Compression, RecordsError};
use serde_json::Value;
use std::sync::Arc;

/// What a record takes in its batch besides its key and its value.
const RECORD_BYTES_MORE: usize = 128;

pub(super) async fn answer(
    events: Arc<Events>,
    signal: Signal,
    head: &Parts,
    body: Bytes,
    rights: Rights,
) -> Result<Response<Full<Bytes>>, Response<Full<Bytes>>> {
    let refusal = |status, words: String| Reply::error(status, words).into_response();
    let form = form(head).ok_or_else(|| {
        let words = format!(
            "OTLP comes as application/x-protobuf or application/json, not as '{}'",
            content_type(head).0
        );
        refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, words)
    })?;
    let packed = match content_encoding(head) {
        "identity" => Compression::None,
        "gzip" => Compression::Gzip,
        other => {
            let words = format!("a body is packed with gzip or not at all, not with '{other}'");
            return Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
        }
    };
    let topic = events.telemetry().of(Sent::Otlp(signal)).to_owned();
    let encoding = events.telemetry().encoding;
    let of_topic = topic.clone();
    let landed = land(events, topic, rights, move |events, may_create| {
        let parts = parts(signal, form, &unpacked(packed, body)?).map_err(|error| bad(&error))?;
        let topic = events.topic_for_records(&of_topic, may_create).map_err(|error| of_error(&error))?;
        let most = topic.config.max_message_bytes;
        let count = parts.len();
        let posted = posted(signal, encoding, parts, most)?;
        let refused = count - posted.len();
        Ok((posted, (refused, most)))
    });
    let (_, (refused, most)) = landed.await?;
    let words = format!("they are longer than the topic takes (max.message.bytes={most})");
    Ok(in_form(form, StatusCode::OK, answers::taken(form, signal, refused as u64, &words)))
}

/// What is unpacked, within its limit.
pub(super) fn unpacked(packed: Compression, body: Bytes) -> Result<Bytes, Reply> {
    packed.decompress(body, PLAIN_BYTES_MAX).map_err(|error| {
        let status = match error {
            RecordsError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Reply::error(status, format!("the body cannot be unpacked: {error}"))
    })
}

fn parts(signal: Signal, form: Form, body: &Bytes) -> Result<Vec<Part>, DecodeError> {
    match form {
        Form::Protobuf => signal.split(body, LIMITS),
        Form::Json => signal.split(&signal.of_json(body)?, LIMITS),
    }
}

/// The records, without those that are longer than the topic takes.
fn posted(signal: Signal, encoding: Encoding, parts: Vec<Part>, most: usize) -> Result<Vec<Posted>, Reply> {
    let (mut posted, mut bytes) = (Vec::with_capacity(parts.len()), 0);
    for Part { key, message } in parts {
        // As JSON it is half of it at least: lists of numbers are.
        if message.len() / 2 > most {
            continue;
        }
        // Also finds out whether it is a message of OTLP at all.
        let json = signal.to_json(&message).map_err(|error| bad(&error))?;
        let value = if encoding == Encoding::Json { json } else { message };
        let length = key.as_ref().map_or(0, String::len) + value.len();
        if length + RECORD_BYTES_MORE > most {
            continue;
        }
        bytes += length;
        if bytes > LIMITS.bytes {
            return Err(Reply::error(StatusCode::BAD_REQUEST, LIMITS.exceeded()));
        }
        posted.push(Posted::plain(key.map(String::into_bytes), value));
    }
    Ok(posted)
}

fn bad(error: &DecodeError) -> Reply {
    Reply::error(StatusCode::BAD_REQUEST, error.to_string())
}

fn form(head: &Parts) -> Option<Form> {
    match content_type(head).0 {
        "application/x-protobuf" => Some(Form::Protobuf),
        "application/json" => Some(Form::Json),
        _ => None,
    }
}

fn in_form(form: Form, status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    // The other headers of an answer are those of all answers.
    let mut response = Reply::ok(Value::Null).into_response();
    *response.status_mut() = status;
    *response.body_mut() = Full::new(Bytes::from(body));
    let kind = match form {
        Form::Protobuf => "application/x-protobuf",
        Form::Json => "application/json",
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A `google.rpc.Status` with the words of a refusal. Who sends neither form gets what all others get.
pub(super) async fn refusal(head: &Parts, refusal: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let Some(form) = form(head) else { return refusal };
    let (mut parts, body) = refusal.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let told: Value = serde_json::from_slice(&body).unwrap_or_default();
    let words = told["errors"][0].as_str().unwrap_or_default();
    let (kind, body) = in_form(form, parts.status, answers::status(form, words)).into_parts();
    parts.headers.extend(kind.headers);
    Response::from_parts(parts, body)
}
