//! What a request publishes: CloudEvents in the modes of their HTTP binding, or any other body.
//!
//! An event becomes a record as the Kafka binding has it in its binary mode: the attributes are headers `ce_…`, the data is
//! the value, `partitionkey` is the key as well. Any other body is the value of one record; `key` of the query is its key,
//! and `Idempotency-Key` its id.

use super::text_of;
use crate::router::{decoded, query_value};
use bytes::Bytes;
use formats::CloudEvent;
use hyper::header::{CONTENT_TYPE, HeaderName};
use hyper::http::request::Parts;
use traces::{TRACEPARENT, TRACESTATE, TraceContext};

pub(super) const EVENTS_MAX: usize = 10_000;
const KEY_BYTES_MAX: usize = 4 << 10;
/// Handed on to whoever reads the record (W3C Trace Context).
const TRACE_HEADERS: [&str; 2] = [TRACEPARENT, TRACESTATE];
/// As much as whoever hands `tracestate` on must take; it stands in each record of a batch.
const TRACE_BYTES_MAX: usize = 512;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const STRUCTURED: &str = "application/cloudevents";
const BATCHED: &str = "application/cloudevents-batch";

/// A record to be, and what tells it from all others.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Posted {
    pub id: Option<Vec<u8>>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// The records of a request, and whether it may be several. With `span`, the trace goes on from there.
pub(super) fn read(
    head: &Parts,
    body: &Bytes,
    span: Option<&TraceContext>,
) -> Result<(Vec<Posted>, bool), String> {
    let content_type = text_of(head, &CONTENT_TYPE);
    let kind = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    let trace = trace_headers(head, span);
    let (mut posted, is_batch) = match kind.as_str() {
        kind if kind.starts_with(BATCHED) => {
            json_only(kind)?;
            let events = CloudEvent::batch_of_json(body, EVENTS_MAX)?;
            (events.into_iter().map(of_event).collect::<Result<Vec<_>, _>>()?, true)
        }
        kind if kind.starts_with(STRUCTURED) => {
            json_only(kind)?;
            (vec![of_event(CloudEvent::of_json(body)?)?], false)
        }
        _ if head.headers.contains_key("ce-specversion") || head.headers.contains_key("ce-id") => {
            (vec![of_event(binary(head, content_type, body)?)?], false)
        }
        _ => (vec![plain(head, content_type, body)?], false),
    };
    for posted in &mut posted {
        // What an event says of its own trace goes before that of the request that carries it.
        let has = |posted: &Posted, name: &str| posted.headers.iter().any(|(known, _)| known == name);
        if span.is_none() {
            for (name, value) in &trace {
                if !has(posted, name) {
                    posted.headers.push((name.clone(), value.clone()));
                }
            }
        } else if !has(posted, TRACEPARENT) {
            // A state belongs to its parent.
            posted.headers.retain(|(known, _)| known != TRACESTATE);
            posted.headers.extend(trace.iter().cloned());
        }
    }
    Ok((posted, is_batch))
}

/// What a request says of its trace.
pub(super) fn trace_of(head: &Parts) -> Option<TraceContext> {
    let value = |name: &str| head.headers.get(name).map(|value| value.as_bytes());
    Some(TraceContext::parse(value(TRACEPARENT)?)?.with_state(value(TRACESTATE)))
}

/// What an event says of its own.
pub(super) fn trace_of_event(posted: &Posted) -> Option<TraceContext> {
    traces::of_headers(posted.headers.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_slice()))))
}

/// Those of a record whose event says nothing of a trace.
pub(super) fn trace_headers(head: &Parts, span: Option<&TraceContext>) -> Vec<(String, Vec<u8>)> {
    if let Some(span) = span {
        let state = span.state.iter().map(|state| (TRACESTATE.to_owned(), state.as_bytes().to_vec()));
        return [(TRACEPARENT.to_owned(), span.to_string().into_bytes())].into_iter().chain(state).collect();
    }
    let given = TRACE_HEADERS.iter().filter_map(|name| {
        let value = head.headers.get(*name).filter(|value| value.len() <= TRACE_BYTES_MAX)?;
        Some(((*name).to_owned(), value.as_bytes().to_vec()))
    });
    given.collect()
}

fn json_only(kind: &str) -> Result<(), String> {
    match kind.ends_with("+json") {
        true => Ok(()),
        false => Err(format!("events come as JSON ({STRUCTURED}+json, {BATCHED}+json), not as '{kind}'")),
    }
}

fn binary(head: &Parts, content_type: Option<&str>, body: &Bytes) -> Result<CloudEvent, String> {
    let mut attributes = Vec::new();
    for (name, value) in &head.headers {
        if let Some(attribute) = name.as_str().strip_prefix("ce-") {
            // What is not printable ASCII stands as `%41` (HTTP binding 3.1.3.2); some send it as it is.
            let value = decoded(value.as_bytes(), false)
                .ok_or_else(|| format!("the header {name} is no text with percent signs"))?;
            attributes.push((attribute.to_owned(), value));
        }
    }
    let content_type = content_type.map(|value| ("datacontenttype".to_owned(), value.to_owned()));
    attributes.extend(content_type);
    CloudEvent::of_attributes(attributes, (!body.is_empty()).then(|| body.to_vec()))
}

fn of_event(event: CloudEvent) -> Result<Posted, String> {
    let attribute = |name: &str| event.attribute(name).unwrap_or_default();
    let id = [attribute("source"), "\0", attribute("id")].concat().into_bytes();
    let key = event.attribute("partitionkey").map(|key| key.as_bytes().to_vec());
    let mut headers = Vec::new();
    for (name, value) in event.attributes() {
        let name = match name {
            "datacontenttype" => "content-type".to_owned(),
            _ if TRACE_HEADERS.contains(&name) => name.to_owned(),
            name => format!("ce_{name}"),
        };
        headers.push((name, value.as_bytes().to_vec()));
    }
    Posted { id: Some(id), key, value: event.into_data(), headers }.checked()
}

fn plain(head: &Parts, content_type: Option<&str>, body: &Bytes) -> Result<Posted, String> {
    let key = query_value(head.uri.query().unwrap_or_default(), "key").map(String::into_bytes);
    let id = head.headers.get(IDEMPOTENCY_KEY).map(|id| [b"\0\0", id.as_bytes()].concat());
    let headers = content_type.map(|kind| ("content-type".to_owned(), kind.as_bytes().to_vec()));
    let headers = headers.into_iter().collect();
    Posted { id, key, value: Some(body.to_vec()), headers }.checked()
}

impl Posted {
    /// One that has nothing but a value, and may have a key.
    pub(crate) fn plain(key: Option<Vec<u8>>, value: Vec<u8>) -> Posted {
        Posted { id: None, key, value: Some(value), headers: Vec::new() }
    }

    fn checked(self) -> Result<Posted, String> {
        match self.key.as_ref().map_or(0, Vec::len) {
            bytes if bytes > KEY_BYTES_MAX => {
                Err(format!("its key has {bytes} bytes, and at most {KEY_BYTES_MAX} are taken"))
            }
            _ => Ok(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn post(target: &str, headers: &[(&str, &str)], body: &str) -> Result<(Vec<Posted>, bool), String> {
        let mut request = Request::post(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        read(&head, &Bytes::copy_from_slice(body.as_bytes()), None)
    }

    fn one(target: &str, headers: &[(&str, &str)], body: &str) -> Posted {
        let (mut posted, is_batch) = post(target, headers, body).unwrap();
        assert!(!is_batch && posted.len() == 1);
        posted.remove(0)
    }

    fn header<'a>(posted: &'a Posted, name: &str) -> Option<&'a str> {
        let found = posted.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| str::from_utf8(value).unwrap())
    }

    const BINARY: [(&str, &str); 6] = [
        ("ce-specversion", "1.0"),
        ("ce-id", "7"),
        ("ce-source", "/shop"),
        ("ce-type", "sold"),
        ("ce-partitionkey", "k%20%C3%A4"),
        ("content-type", "application/json; charset=utf-8"),
    ];

    #[test]
    fn the_modes_give_the_same_record() {
        let binary = one("/topics/t", &BINARY, r#"{"n": 1.0}"#);
        let structured = r#"{"specversion":"1.0","id":"7","source":"/shop","type":"sold","partitionkey":"k ä",
            "datacontenttype":"application/json; charset=utf-8","data":{"n": 1.0}}"#;
        let structured = [
            one("/topics/t", &[("content-type", "application/cloudevents+json; charset=utf-8")], structured),
            post(
                "/topics/t",
                &[("content-type", "application/cloudevents-batch+json")],
                &format!("[{structured}]"),
            )
            .unwrap()
            .0
            .remove(0),
        ];
        for posted in structured {
            assert_eq!((&posted.id, &posted.key, &posted.value), (&binary.id, &binary.key, &binary.value));
            for name in ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_partitionkey", "content-type"]
            {
                assert_eq!(header(&posted, name), header(&binary, name), "{name}");
            }
            assert_eq!(posted.headers.len(), 6);
        }
        assert_eq!(binary.key.as_deref(), Some("k ä".as_bytes()));
        assert_eq!(binary.value.as_deref(), Some(br#"{"n": 1.0}"#.as_slice()));
    }

    #[test]
    fn any_other_body_is_a_value() {
        let posted =
            one("/topics/t?key=a%2Fb", &[("content-type", "text/csv"), ("idempotency-key", "9")], "1,2");
        assert_eq!(posted.key.as_deref(), Some(b"a/b".as_slice()));
        assert_eq!(posted.id.as_deref(), Some(b"\0\x009".as_slice()));
        assert_eq!(
            (posted.value.as_deref(), header(&posted, "content-type")),
            (Some(b"1,2".as_slice()), Some("text/csv"))
        );
        assert_eq!(one("/topics/t", &[], "").id, None);
    }

    #[test]
    fn the_trace_of_the_request_goes_with_its_events_unless_they_have_their_own() {
        let trace = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert_eq!(header(&one("/topics/t", &[trace], "x"), "traceparent"), Some(trace.1));
        let own = r#"{"specversion":"1.0","id":"7","source":"/s","type":"t","traceparent":"00-1-2-01"}"#;
        let own = one("/topics/t", &[trace, ("content-type", "application/cloudevents+json")], own);
        assert_eq!(header(&own, "traceparent"), Some("00-1-2-01"));
        let state = r#"{"specversion":"1.0","id":"7","source":"/s","type":"t","tracestate":"own=1"}"#;
        let kind = ("content-type", "application/cloudevents+json");
        let both = one("/topics/t", &[trace, ("tracestate", "a=1"), kind], state);
        assert_eq!(
            (header(&both, "traceparent"), header(&both, "tracestate")),
            (Some(trace.1), Some("own=1"))
        );
    }

    #[test]
    fn with_a_span_of_the_node_the_trace_goes_on_from_there() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let request = Request::post("/topics/t").header("traceparent", parent).header("tracestate", "a=1");
        let (head, ()) = request.body(()).unwrap().into_parts();
        let known = trace_of(&head).unwrap();
        let span = known.child(traces::SpanId([1; 8]));
        let posted = read(&head, &Bytes::from_static(b"x"), Some(&span)).unwrap().0.remove(0);
        assert_eq!(trace_of_event(&posted), Some(span.clone()));
        let own = r#"{"specversion":"1.0","id":"7","source":"/s","type":"t","traceparent":"PARENT"}"#;
        let event = CloudEvent::of_json(own.replace("PARENT", parent).as_bytes()).unwrap();
        let posted = of_event(event).unwrap();
        assert_eq!(trace_of_event(&posted).unwrap().span, known.span);
    }

    #[test]
    fn what_cannot_be_taken_says_why() {
        let json = ("content-type", "application/cloudevents+json");
        for (headers, body, why) in [
            (&[("ce-specversion", "1.0")][..], "", "'id' is missing"),
            (&[("ce-id", "1")][..], "", "'specversion' is missing"),
            (&[json][..], "{", "no JSON"),
            (&[("content-type", "application/cloudevents+avro")][..], "", "as JSON"),
            (&[("content-type", "application/cloudevents-batch+json")][..], "[{}]", "event 0"),
            (&[("ce-specversion", "1.0"), ("ce-id", "%4")][..], "", "percent"),
        ] {
            let error = post("/topics/t", headers, body).unwrap_err();
            assert!(error.contains(why), "{headers:?}: {error}");
        }
        let long = format!("/topics/t?key={}", "k".repeat(KEY_BYTES_MAX + 1));
        assert!(post(&long, &[], "").unwrap_err().contains("at most 4096"));
    }
}
