//! Events in both modes: read, written, and what is none.

use super::*;
use crate::{RowEncoder, WantedMetadata};

const KIND: FormatKind = FormatKind::CloudEvents;

type Headers<'a> = &'a [(&'a [u8], Option<&'a [u8]>)];

fn wanted() -> Vec<WantedMetadata> {
    let text = || DataType::Utf8;
    let map = map_of(DataType::Utf8);
    let columns = [
        ("id", text()),
        ("source", text()),
        ("type", text()),
        ("subject", text()),
        ("time", timestamp_ltz(TimeUnit::Millisecond)),
        ("datacontenttype", text()),
        ("extensions", map),
    ];
    let of = |(key, data_type): (&str, DataType)| WantedMetadata {
        key: key.into(),
        field: Arc::new(column(key, data_type)),
    };
    columns.into_iter().map(of).collect()
}

fn order() -> SchemaRef {
    schema_of(vec![column("n", DataType::Int64), column("city", DataType::Utf8)])
}

fn events(given: &[(&str, &str)]) -> Box<dyn RowDecoder> {
    KIND.decoder(&options(KIND, given), &order(), &[0, 1], &wanted(), &Surroundings::default()).unwrap()
}

fn outcome_of(decoder: &mut dyn RowDecoder, record: &str, headers: Headers<'_>) -> String {
    match decoder.decode_with_headers(record.as_bytes(), headers) {
        Ok(()) => printed(&decoder.finish().unwrap()).join(" "),
        Err(error) => {
            assert_eq!(decoder.len(), 0);
            format!("error: {error}")
        }
    }
}

/// What the specification's SDK for Python wrote.
const OF_THE_SDK: &str = r#"{"type": "com.example.order", "source": "/shop", "id": "A-1", "time": "2026-11-28T12:00:00.5+01:00", "subject": "o/7", "traceparent": "00-ab", "count": "3", "specversion": "1.0", "data": {"n": 7, "city": "Bern"}}"#;

const BINARY: Headers<'static> = &[
    (b"ce_specversion", Some(b"1.0")),
    (b"ce_id", Some(b"A-1")),
    (b"ce_source", Some("/ü".as_bytes())),
    (b"ce_type", Some(b"t")),
    (b"ce_time", Some(b"2026-11-28t11:00:00z")),
    (b"Content-Type", Some(b"application/json; charset=utf-8")),
    (b"ce_traceparent", Some(b"00")),
    (b"other", Some(b"x")),
];

#[test]
fn events_are_read_in_both_modes() {
    let mut decoder = events(&[]);
    assert!(decoder.wants_headers());
    let cases: &[(&str, Headers<'_>, &str)] = &[
        (
            OF_THE_SDK,
            &[],
            "[7, Bern, A-1, /shop, com.example.order, o/7, 2026-11-28T11:00:00.500Z, null, {traceparent=00-ab, count=3}]",
        ),
        (
            r#"{"n":1,"city":null}"#,
            BINARY,
            "[1, null, A-1, /ü, t, null, 2026-11-28T11:00:00Z, application/json; charset=utf-8, {traceparent=00}]",
        ),
        (
            "",
            BINARY,
            "[null, null, A-1, /ü, t, null, 2026-11-28T11:00:00Z, application/json; charset=utf-8, {traceparent=00}]",
        ),
        (
            r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"eyJuIjo5fQ==","subject":null,"flag":true,"num":5}"#,
            &[(b"content-type", Some(b"application/cloudevents+json"))],
            "[9, null, 1, s, t, null, null, null, {flag=true, num=5}]",
        ),
        (
            r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data":null,"datacontenttype":"application/vnd.shop+json"}"#,
            &[],
            "[null, null, 1, s, t, null, null, application/vnd.shop+json, {}]",
        ),
    ];
    for (record, headers, expected) in cases {
        assert_eq!(outcome_of(decoder.as_mut(), record, headers), *expected);
    }
}

#[test]
fn what_is_no_event_says_why_and_leaves_no_trace() {
    let mut decoder = events(&[]);
    let event = |rest: &str| format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t"{rest}}}"#);
    let cases: &[(String, Headers<'_>, &str)] = &[
        ("".into(), &[], "error: not valid JSON at byte 0: the text ends too early"),
        ("{}".into(), &[], "error: it is no event: the attribute 'specversion' is missing"),
        (
            r#"{"specversion":"1.0","id":"","source":"s","type":"t"}"#.into(),
            &[],
            "error: it is no event: the attribute 'id' is missing",
        ),
        (
            r#"{"specversion":"0.3","id":"1","source":"s","type":"t"}"#.into(),
            &[],
            "error: the version '0.3' of CloudEvents is not known",
        ),
        (
            event(r#","data":"<a/>","datacontenttype":"text/xml""#),
            &[],
            "error: its data is 'text/xml', and only JSON is read",
        ),
        (event(r#","data":5"#), &[], "error: not valid JSON at byte 0: expected an object"),
        (event(r#","data":{},"data_base64":"AA==""#), &[], "error: it has both 'data' and 'data_base64'"),
        (event(r#","data_base64":"A""#), &[], "error: 'data_base64' is no base64"),
        (
            event(r#","time":"yesterday","data":{"n":1}"#),
            &[],
            "error: field 'time': 'yesterday' is no time of RFC 3339",
        ),
        (
            event(r#","time":"2026-11-28T12:00:00+25:00""#),
            &[],
            "error: field 'time': '2026-11-28T12:00:00+25:00' is no time of RFC 3339",
        ),
        (event(r#","data":{"n":"x"}"#), &[], "error: field 'n': 'x' is no BIGINT"),
        (
            "[]".into(),
            &[(b"content-type", Some(b"application/cloudevents-batch+json"))],
            "error: it is a batch of events, which has no place in a record of Kafka",
        ),
        (
            "{}".into(),
            &[(b"ce_specversion", Some(b"1.0"))],
            "error: it is no event: the attribute 'id' is missing",
        ),
    ];
    for (record, headers, expected) in cases {
        assert_eq!(outcome_of(decoder.as_mut(), record, headers), *expected);
    }
}

fn encoder(
    given: &[(&str, &str)],
    metadata: &[WantedMetadata],
) -> Result<Box<dyn RowEncoder>, crate::FormatError> {
    KIND.encoder_with_metadata(&options(KIND, given), &order(), metadata, &Surroundings::default())
}

#[test]
fn events_are_written_in_both_modes_and_read_back() {
    let mut decoder = events(&[]);
    decoder.decode(OF_THE_SDK.as_bytes()).unwrap();
    let rows = decoder.finish().unwrap();
    // The content type is the format's own to write.
    let writable: Vec<WantedMetadata> =
        wanted().into_iter().filter(|column| column.key != "datacontenttype").collect();
    let columns: Vec<usize> = (0..rows.num_columns()).filter(|index| *index != 7).collect();
    let written = rows.project(&columns).unwrap();
    let mut structured = encoder(&[], &writable).unwrap();
    let mut out = Vec::new();
    structured.encode(&written, 0, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"specversion":"1.0","id":"A-1","source":"/shop","type":"com.example.order","subject":"o/7","time":"2026-11-28T11:00:00.5Z","traceparent":"00-ab","count":"3","datacontenttype":"application/json","data":{"n":7,"city":"Bern"}}"#
    );
    assert_eq!(
        structured.headers(),
        [("content-type".to_string(), b"application/cloudevents+json; charset=UTF-8".to_vec())]
    );
    let mut binary = encoder(&[("mode", "binary")], &writable).unwrap();
    let mut out = Vec::new();
    binary.encode(&written, 0, &mut out).unwrap();
    assert_eq!(out, br#"{"n":7,"city":"Bern"}"#);
    let names: Vec<&str> = binary.headers().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "content-type",
            "ce_specversion",
            "ce_id",
            "ce_source",
            "ce_type",
            "ce_subject",
            "ce_time",
            "ce_traceparent",
            "ce_count"
        ]
    );
    let headers: Vec<(&[u8], Option<&[u8]>)> =
        binary.headers().iter().map(|(name, value)| (name.as_bytes(), Some(value.as_slice()))).collect();
    decoder.decode_with_headers(&out, &headers).unwrap();
    assert_eq!(decoder.finish().unwrap().project(&columns).unwrap(), written);
    // Source and type may be the table's own.
    let id = [writable[0].clone()];
    let mut fixed = encoder(&[("source", "/here"), ("type", "it")], &id).unwrap();
    let mut out = Vec::new();
    fixed.encode(&rows.project(&[0, 1, 2]).unwrap(), 0, &mut out).unwrap();
    assert!(
        out.starts_with(br#"{"specversion":"1.0","id":"A-1","source":"/here","type":"it","data"#),
        "{}",
        out.escape_ascii()
    );
}

#[test]
fn what_makes_no_event_is_refused() {
    let no_id = encoder(&[("source", "s"), ("type", "t")], &[]).err().unwrap().to_string();
    assert_eq!(no_id, "an event has an 'id': declare a column id STRING METADATA FROM 'value.id'");
    let no_type = encoder(&[("source", "s")], &wanted()[..1]).err().unwrap().to_string();
    assert_eq!(
        no_type,
        "an event has an 'type': declare a column type STRING METADATA FROM 'value.type', or give 'cloudevents.type'"
    );
    let mut decoder = events(&[]);
    decoder.decode(br#"{"specversion":"1.0","id":"1","source":"s","type":"t","Bad":"x","data":{}}"#).unwrap();
    let rows = decoder.finish().unwrap().project(&[0, 1, 2, 8]).unwrap();
    let metadata = [wanted()[0].clone(), wanted()[6].clone()];
    let mut bad = encoder(&[("source", "s"), ("type", "t")], &metadata).unwrap();
    let refused = bad.encode(&rows, 0, &mut Vec::new()).unwrap_err();
    assert!(refused.reason.starts_with("'Bad' is no name of an extension"), "{refused}");
    let unknown = WantedMetadata { key: "kind".into(), field: Arc::new(column("k", DataType::Utf8)) };
    let refused = KIND.decoder(&options(KIND, &[]), &order(), &[0], &[unknown], &Surroundings::default());
    assert!(
        refused.err().unwrap().to_string().starts_with(
            "column 'k': the format 'cloudevents' has no metadata 'kind'; it has: specversion, id"
        )
    );
}

#[test]
fn mutated_events_do_no_harm() {
    let base64 = br#"{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"eyJuIjo5fQ=="}"#;
    properties::fuzz_with(&|| events(&[]), &[OF_THE_SDK.as_bytes(), base64], 30_000);
}
