//! Requests as OpenTelemetry's and Prometheus' own documents have them, both ways.

use super::remote_write::{Counts, Version, Written, read, write};
use super::*;

const ALL: Limits = Limits { parts: 100, bytes: 1 << 20 };

/// From opentelemetry-proto's examples, shortened; with every kind of value.
const LOGS: &str = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},{"key":"service.instance.id","value":{"stringValue":"7"}}]},"scopeLogs":[{"scope":{"name":"lib","version":"1.0"},"logRecords":[{"timeUnixNano":"1544712660300000000","observedTimeUnixNano":"1544712660300000000","severityNumber":10,"severityText":"Information","body":{"stringValue":"ä \"log\""},"attributes":[{"key":"b","value":{"boolValue":true}},{"key":"i","value":{"intValue":"-10"}},{"key":"d","value":{"doubleValue":637.704}},{"key":"a","value":{"arrayValue":{"values":[{"stringValue":"many"},{"intValue":"0"}]}}},{"key":"m","value":{"kvlistValue":{"values":[{"key":"k","value":{"bytesValue":"AP8="}}]}}}],"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174"},{"body":{"stringValue":"two"}}]}],"schemaUrl":"u"}]}"#;

const METRICS: &str = r#"{"resourceMetrics":[{"resource":{},"scopeMetrics":[{"metrics":[{"name":"c","unit":"1","sum":{"dataPoints":[{"startTimeUnixNano":"1","timeUnixNano":"2","asDouble":5.0},{"timeUnixNano":"3","asInt":"-6"}],"aggregationTemporality":1,"isMonotonic":true}},{"name":"h","histogram":{"dataPoints":[{"timeUnixNano":"2","count":"2","sum":2.0,"bucketCounts":["1","1"],"explicitBounds":[1.0],"min":0.0,"max":2.0}],"aggregationTemporality":1}},{"name":"e","exponentialHistogram":{"dataPoints":[{"count":"3","scale":-1,"positive":{"offset":-2,"bucketCounts":["0","2"]}}],"aggregationTemporality":1}},{"name":"s","summary":{"dataPoints":[{"quantileValues":[{"quantile":0.5,"value":"NaN"},{"quantile":1.0,"value":"-Infinity"}]}]}}]}]}]}"#;

const SPANS: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","parentSpanId":"eee19b7ec3c1b173","flags":1,"name":"I'm a server span","kind":2,"startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"18446744073709551615","events":[{"timeUnixNano":"4","name":"e"}],"links":[{"traceId":"00","flags":1}],"status":{"message":"m","code":2}}]}]}]}"#;

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

#[test]
fn json_comes_back_as_it_was() {
    for (signal, json) in [(Signal::Logs, LOGS), (Signal::Metrics, METRICS), (Signal::Spans, SPANS)] {
        let message = signal.of_json(json.as_bytes()).unwrap();
        assert_eq!(text(&signal.to_json(&message).unwrap()), json);
    }
}

/// The bytes as `protoc --encode` makes them.
#[test]
fn the_bytes_are_protobufs() {
    let json = r#"{"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"severityNumber": "9", "unknown": [{"x": null}], "body": {"intValue": 3}, "traceId": null, "spanId": "FF01"}]}]}]}"#;
    let message = Signal::Logs.of_json(json.as_bytes()).unwrap();
    assert_eq!(message, b"\x0a\x0e\x12\x0c\x12\x0a\x10\x09\x2a\x02\x18\x03\x52\x02\xff\x01");
}

#[test]
fn numbers_may_be_packed_or_not_and_fields_come_in_any_order() {
    let point = |inside: &[u8]| {
        let around = [(1u8, 1usize), (9, 1), (2, 1), (2, 1), (1, 1)];
        around.iter().fold(inside.to_vec(), |inside, (number, _)| {
            [&[number << 3 | 2, inside.len() as u8], inside.as_slice()].concat()
        })
    };
    let bounds = |first: f64| [&[7 << 3 | 1], first.to_le_bytes().as_slice()].concat();
    let message = point(&[bounds(1.0), vec![3 << 3 | 1, 9, 0, 0, 0, 0, 0, 0, 0], bounds(2.5)].concat());
    let json = Signal::Metrics.to_json(&message).unwrap();
    assert!(text(&json).contains(r#"[{"timeUnixNano":"9","explicitBounds":[1.0,2.5]}]"#), "{}", text(&json));
}

#[test]
fn each_record_is_a_request_of_its_own() {
    let split = |signal: Signal, json: &str| -> Vec<(Option<String>, String)> {
        let parts = signal.split(&signal.of_json(json.as_bytes()).unwrap(), ALL).unwrap();
        let shown = |part: &Part| text(&signal.to_json(&part.message).unwrap()).to_owned();
        parts.iter().map(|part| (part.key.clone(), shown(part))).collect()
    };
    let logs = split(Signal::Logs, LOGS);
    assert_eq!(logs.len(), 2);
    assert_eq!(logs[0].0.as_deref(), Some("shop/7"));
    let second =
        LOGS.find(r#"{"timeUnixNano""#).unwrap()..LOGS.find(r#"{"body":{"stringValue":"two"#).unwrap();
    assert_eq!(logs[1].1, [&LOGS[..second.start], &LOGS[second.end..]].concat());

    let points = split(Signal::Metrics, METRICS);
    assert_eq!(points.len(), 5);
    assert_eq!(points[1], (None, r#"{"resourceMetrics":[{"resource":{},"scopeMetrics":[{"metrics":[{"name":"c","unit":"1","sum":{"dataPoints":[{"timeUnixNano":"3","asInt":"-6"}],"aggregationTemporality":1,"isMonotonic":true}}]}]}]}"#.to_owned()));
    let spans = split(Signal::Spans, SPANS);
    assert_eq!(spans, [(Some("5b8efff798038103d269b633813fc60c".into()), SPANS.to_owned())]);
}

#[test]
fn what_is_no_request_or_too_much_says_why() {
    for (json, why) in [
        ("{", "not valid JSON at byte 1"),
        ("[]", "expected an object"),
        ("{}{}", "more than one value"),
        (r#"{"resourceLogs":{}}"#, "expected an array"),
        (
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"5b8"}]}]}]}"#,
            "'traceId': is no hexadecimal",
        ),
        (r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":"INFO"}]}]}]}"#, "whole number"),
        (r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":-1}]}]}]}"#, "whole number"),
        (r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"bytesValue":"?"}}]}]}]}"#, "no base64"),
    ] {
        let error = Signal::Logs.of_json(json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(why), "{json}: {error}");
    }
    let deep = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{}}}]}}]}}]}}"#,
        r#"{"arrayValue":{"values":["#.repeat(80) + &"]}}".repeat(80)
    );
    assert!(Signal::Logs.of_json(deep.as_bytes()).unwrap_err().to_string().contains("too deeply"));
    assert!(Signal::Logs.to_json(&[0x0a, 9]).unwrap_err().to_string().contains("beyond the message"));
    assert!(Signal::Logs.to_json(&[0x08, 1]).unwrap_err().to_string().contains("another kind"));
    let message = Signal::Logs.of_json(LOGS.as_bytes()).unwrap();
    for limits in [Limits { parts: 1, ..ALL }, Limits { bytes: message.len(), ..ALL }] {
        let error = Signal::Logs.split(&message, limits).unwrap_err().to_string();
        assert!(error.contains("send less at once"), "{error}");
    }
}

fn samples(version: Version, message: &[u8]) -> Result<(Vec<(String, String)>, Counts), String> {
    let mut found = Vec::new();
    let counts = read(version, message, &mut |sample| {
        found.push((sample.key(), text(&sample.to_json()).to_owned()));
        Ok(())
    });
    counts.map(|counts| (found, counts)).map_err(|error| error.to_string())
}

fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn samples_are_written_and_read() {
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let series = [
        Written {
            labels: labels(&[("__name__", "up"), ("job", "a\"b")]),
            samples: vec![(1.0, 1_795_910_400_123), (stale, 0)],
        },
        Written { labels: labels(&[("le", "1")]), samples: vec![(f64::INFINITY, -1)] },
    ];
    let (found, counts) = samples(Version::V1, &write(&series)).unwrap();
    assert_eq!(counts, Counts { samples: 3, ..Counts::default() });
    assert_eq!(found[0].0, r#"up{job="a\"b"}"#);
    assert_eq!(
        found[0].1,
        r#"{"timestamp":"2026-11-29T00:00:00.123Z","value":"1.0","name":"up","labels":{"__name__":"up","job":"a\"b"}}"#
    );
    assert!(
        found[1].1.contains(r#""value":"NaN""#) && found[1].1.ends_with(r#","stale":true}"#),
        "{}",
        found[1].1
    );
    assert_eq!(
        found[2].1,
        r#"{"timestamp":"1969-12-31T23:59:59.999Z","value":"+Inf","name":"","labels":{"le":"1"}}"#
    );
}

#[test]
fn labels_of_version_2_are_symbols() {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8], bytes].concat();
    let sample = [&[9][..], &2.5f64.to_le_bytes(), &[0x10, 5]].concat();
    let series = [field(1, &[3, 4, 1, 2]), field(2, &sample), field(3, &[]), field(4, &[])].concat();
    let symbols: Vec<u8> =
        ["", "__name__", "up", "job", "a"].iter().flat_map(|text| field(4, text.as_bytes())).collect();
    // Symbols may come behind their series.
    let (found, counts) = samples(Version::V2, &[field(5, &series), symbols.clone()].concat()).unwrap();
    assert_eq!(counts, Counts { samples: 1, histograms: 1, exemplars: 1 });
    assert_eq!(
        found[0].1,
        r#"{"timestamp":"1970-01-01T00:00:00.005Z","value":"2.5","name":"up","labels":{"__name__":"up","job":"a"}}"#
    );
    for (series, why) in [
        (field(1, &[1]), "has no value"),
        (field(1, &[1, 9]), "no symbol 9"),
        (field(1, &[1, 2, 1, 2]), "twice"),
        (field(1, &[0, 2]), "has no name"),
        (field(2, &[0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), "no year"),
    ] {
        let error = samples(Version::V2, &[symbols.clone(), field(5, &series)].concat()).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    for (name, value, is_taken) in [(1024, 65_536, true), (1025, 1, false), (1, 65_537, false)] {
        let labels = vec![("n".repeat(name), "v".repeat(value))];
        let found = samples(Version::V1, &write(&[Written { labels, samples: vec![(1.0, 1)] }]));
        assert_eq!(found.is_ok(), is_taken, "{name} {value}");
    }
}

#[test]
fn answers_say_what_was_refused() {
    use answers::{Form, status, taken};
    assert_eq!(taken(Form::Protobuf, Signal::Logs, 0, ""), b"");
    assert_eq!(taken(Form::Json, Signal::Logs, 0, ""), b"{}");
    assert_eq!(taken(Form::Protobuf, Signal::Spans, 300, "w"), b"\x0a\x06\x08\xac\x02\x12\x01w");
    assert_eq!(
        text(&taken(Form::Json, Signal::Metrics, 2, "a\"b")),
        r#"{"partialSuccess":{"rejectedDataPoints":"2","errorMessage":"a\"b"}}"#
    );
    assert_eq!(status(Form::Protobuf, "no"), b"\x12\x02no");
    assert_eq!(status(Form::Json, "no"), br#"{"message":"no"}"#);
}
