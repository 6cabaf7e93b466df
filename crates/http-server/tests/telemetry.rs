//! OTLP and remote-write over a real socket, on a simulated disk that loses its power.

#[allow(dead_code, reason = "the tests of events and of the console use the rest of the fixture")]
mod site;

use formats::telemetry::Signal;
use formats::telemetry::remote_write::{Written, write};
use kafka_wire::records::Compression;
use os::sim::SimOs;
use serde_json::{Value, json};
use site::Site;

const JSON: (&str, &str) = ("Content-Type", "application/json");
const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");
const GZIP: (&str, &str) = ("Content-Encoding", "gzip");
const SNAPPY: (&str, &str) = ("Content-Encoding", "snappy");

fn logs(bodies: &[&str]) -> String {
    let records: Vec<Value> =
        bodies.iter().map(|body| json!({"severityNumber": 9, "body": {"stringValue": body}})).collect();
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]});
    json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}).to_string()
}

fn bodies(site: &Site) -> Vec<String> {
    let values = site.values("otlp_logs");
    let body = |value: &Value| {
        value["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["body"]["stringValue"].clone()
    };
    values.iter().map(|value| body(value).as_str().expect("a text").to_owned()).collect()
}

/// Labels, a value and its time.
type Sample<'a> = (&'a [(&'a str, &'a str)], f64, i64);

fn samples(of: &[Sample<'_>]) -> Vec<u8> {
    let series = of.iter().map(|(labels, value, timestamp_ms)| Written {
        labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        samples: vec![(*value, *timestamp_ms)],
    });
    write(&series.collect::<Vec<_>>())
}

/// A block of snappy that is one literal, for its length is known: Prometheus sends a block without a frame.
fn snappy(plain: &[u8]) -> Vec<u8> {
    assert!(plain.len() < 1 << 14);
    let length = plain.len();
    let mut packed = vec![length as u8 & 0x7f | 0x80, (length >> 7) as u8];
    packed.extend([61 << 2, (length - 1) as u8, ((length - 1) >> 8) as u8]);
    packed.extend_from_slice(plain);
    packed
}

#[test]
fn logs_come_as_json_and_as_protobuf_and_packed() {
    let site = Site::new();
    let (status, answer) = site.ask("POST", "/v1/logs", &[JSON], &logs(&["one", "two"]));
    assert_eq!((status, answer), (200, json!({})));
    let message = Signal::Logs.of_json(logs(&["three"]).as_bytes()).expect("a request");
    let packed = Compression::Gzip.compress(&message).expect("bytes");
    let (status, head, body) = site.post_bytes("/v1/logs", &[PROTOBUF, GZIP], &packed);
    assert_eq!((status, body.as_slice()), (200, b"".as_slice()), "{head}");
    assert!(head.to_lowercase().contains("content-type: application/x-protobuf"), "{head}");
    assert_eq!(bodies(&site), ["one", "three", "two"]);
    let records = site.get("/topics/otlp_logs?from=earliest")["records"].take();
    assert!(records.as_array().expect("a list").iter().all(|record| record["key"] == "shop"), "{records}");
    // What was answered is there after a power cut.
    let site = site.power_cut();
    assert_eq!(bodies(&site), ["one", "three", "two"]);
    site.end();
}

#[test]
fn points_and_spans_have_topics_of_their_own() {
    let site = Site::new();
    let points = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"asInt":"1"},{"asDouble":2.5}]}}]}]}]}"#;
    assert_eq!(site.ask("POST", "/v1/metrics", &[JSON], points), (200, json!({})));
    let found = site.values("otlp_metrics");
    let of = |value: &Value| value["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0].clone();
    assert_eq!(
        found.iter().map(of).collect::<Vec<_>>(),
        [
            json!({"name": "m", "gauge": {"dataPoints": [{"asDouble": 2.5}]}}),
            json!({"name": "m", "gauge": {"dataPoints": [{"asInt": "1"}]}})
        ]
    );
    let spans = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174","name":"s"}]}]}]}"#;
    assert_eq!(site.ask("POST", "/v1/traces", &[JSON], spans), (200, json!({})));
    let record = site.get("/topics/otlp_spans?from=earliest")["records"][0].take();
    assert_eq!(record["key"], "5b8efff798038103d269b633813fc60c");
    site.end();
}

#[test]
fn what_is_too_long_for_the_topic_is_refused_by_itself() {
    let site = Site::on(SimOs::new(5), &[("message.max.bytes", "2000")]);
    let long = "x".repeat(3000);
    let (status, answer) = site.ask("POST", "/v1/logs", &[JSON], &logs(&["short", &long]));
    assert_eq!((status, &answer["partialSuccess"]["rejectedLogRecords"]), (200, &json!("1")));
    let words = answer["partialSuccess"]["errorMessage"].as_str().expect("words");
    assert!(words.contains("max.message.bytes=2000"), "{words}");
    assert_eq!(bodies(&site), ["short"]);
    site.end();
}

#[test]
fn refusals_have_the_form_of_their_sender() {
    let site = Site::new();
    let (status, answer) = site.ask("POST", "/v1/logs", &[JSON], "{");
    assert_eq!(status, 400);
    assert!(answer["message"].as_str().expect("words").contains("JSON"), "{answer}");
    let (status, head, body) = site.post_bytes("/v1/traces", &[PROTOBUF], b"\x0a\x05");
    assert_eq!((status, body[0]), (400, 0x12), "field 2 of google.rpc.Status is a text");
    assert!(head.to_lowercase().contains("content-type: application/x-protobuf"), "{head}");
    let bomb = Compression::Gzip.compress(&vec![0; 20 << 20]).expect("bytes");
    assert_eq!(site.post_bytes("/v1/logs", &[PROTOBUF, GZIP], &bomb).0, 413);
    assert_eq!(site.post_bytes("/v1/logs", &[PROTOBUF, GZIP], b"no gzip").0, 400);
    assert_eq!(site.post_bytes("/v1/logs", &[PROTOBUF, SNAPPY], b"").0, 415);
    assert_eq!(site.refused("POST", "/v1/logs", &[("Content-Type", "text/plain")], "").0, 415);
    assert!(site.log.topic("otlp_logs").is_none(), "nothing was taken");
    site.end();
    let site = Site::on(SimOs::new(5), &[("auto.create.topics.enable", "false")]);
    let (status, answer) = site.ask("POST", "/v1/logs", &[JSON], &logs(&["one"]));
    assert_eq!(status, 404);
    assert!(answer["message"].as_str().expect("words").contains("otlp_logs"), "{answer}");
    site.end();
    let site = Site::on(
        SimOs::new(5),
        &[("security.protocol", "SASL_PLAINTEXT"), ("sasl.enabled.mechanisms", "SCRAM-SHA-256")],
    );
    for path in ["/v1/logs", "/v1/metrics", "/v1/traces"] {
        let (status, answer) = site.ask("POST", path, &[JSON], "{}");
        assert!(status == 401 && answer["message"].is_string(), "{path}: {answer}");
    }
    assert_eq!(site.post_bytes("/api/v1/write", &[PROTOBUF, SNAPPY], b"").0, 401);
    site.end();
}

#[test]
fn samples_of_remote_write_are_records() {
    let site = Site::new();
    let up: &[(&str, &str)] = &[("__name__", "up"), ("job", "node")];
    let message = samples(&[(up, 1.0, 1_795_910_400_000), (&[("__name__", "b")], f64::NAN, 1)]);
    let (status, head, body) = site.post_bytes("/api/v1/write", &[PROTOBUF, SNAPPY], &snappy(&message));
    assert_eq!((status, body.len()), (204, 0), "{head}");
    assert!(head.to_lowercase().contains("x-prometheus-remote-write-samples-written: 2"), "{head}");
    assert_eq!(
        site.values("prometheus_samples"),
        [
            json!({"timestamp": "1970-01-01T00:00:00.001Z", "value": "NaN", "name": "b", "labels": {"__name__": "b"}}),
            json!({"timestamp": "2026-11-29T00:00:00Z", "value": "1.0", "name": "up", "labels": {"__name__": "up", "job": "node"}})
        ]
    );
    let records = site.get("/topics/prometheus_samples?from=earliest")["records"].take();
    let keys: Vec<&Value> = records.as_array().expect("a list").iter().map(|record| &record["key"]).collect();
    assert!(keys.contains(&&json!("up{job=\"node\"}")) && keys.contains(&&json!("b{}")), "{keys:?}");
    site.end();
}

#[test]
fn what_has_no_form_is_left_out_and_told() {
    let site = Site::new();
    // A series with a sample and an exemplar of two bytes.
    let mut message = samples(&[(&[("__name__", "up")], 1.0, 5)]);
    message.extend([0x1a, 0]);
    message[1] += 2;
    let (status, head, body) = site.post_bytes("/api/v1/write", &[PROTOBUF, SNAPPY], &snappy(&message));
    let words = String::from_utf8_lossy(&body);
    assert!(status == 400 && words.contains("0 native histograms and 1 exemplars"), "{head} {words}");
    assert!(head.to_lowercase().contains("x-prometheus-remote-write-samples-written: 1"), "{head}");
    assert_eq!(site.values("prometheus_samples").len(), 1);
    let v2 = ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");
    assert_eq!(site.post_bytes("/api/v1/write", &[v2, SNAPPY], &snappy(b"\x22\x00")).0, 204);
    let other = ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v3.Request");
    for (headers, body, status) in [
        (&[PROTOBUF, GZIP][..], &b""[..], 415),
        (&[other, SNAPPY][..], b"", 415),
        (&[PROTOBUF, SNAPPY][..], b"\xff\xff\xff\xff\x0f", 413),
        (&[PROTOBUF, SNAPPY][..], &snappy(&samples(&[(&[("", "x")], 1.0, 5)])), 400),
    ] {
        assert_eq!(site.post_bytes("/api/v1/write", headers, body).0, status, "{headers:?}");
    }
    assert_eq!(site.values("prometheus_samples").len(), 1, "nothing more was taken");
    site.end();
}

#[test]
fn the_openapi_document_names_what_is_there() {
    let site = Site::new();
    let document = site.get("/openapi.json");
    for (path, name, encoding) in [
        ("/v1/logs", "200", "identity"),
        ("/v1/metrics", "200", "identity"),
        ("/v1/traces", "200", "identity"),
        ("/api/v1/write", "204", "snappy"),
    ] {
        let answers = &document["paths"][path]["post"]["responses"];
        let encoding = ("Content-Encoding", encoding);
        // An empty message is one that brings nothing.
        let body = if name == "204" { b"\0".as_slice() } else { b"" };
        for (headers, body, status) in [
            (&[PROTOBUF, encoding][..], body, name),
            (&[PROTOBUF, encoding], b"\xff", "400"),
            (&[("Content-Type", "text/csv")], b"", "415"),
        ] {
            let found = site.post_bytes(path, headers, body).0.to_string();
            assert_eq!(found, status, "{path}");
            assert!(answers[status].is_object(), "{path} {status}: {answers}");
        }
        assert!(["401", "403", "404", "413", "429", "503"].iter().all(|status| answers[*status].is_object()));
    }
    site.end();
}
