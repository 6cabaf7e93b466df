//! Events over a real socket, on a simulated disk that loses its power.

#[allow(dead_code, reason = "the tests of the console use the rest of the fixture")]
mod site;

use kafka_client::{Client, TransactionalProducer};
use os::sim::SimOs;
use serde_json::{Value, json};
use site::{LIMIT, Site};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};

const CLOUD_EVENT: (&str, &str) = ("Content-Type", "application/cloudevents+json");
const BATCH: (&str, &str) = ("Content-Type", "application/cloudevents-batch+json");
fn event(id: &str, rest: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"{id}","source":"/shop","type":"sold"{rest}}}"#)
}

#[test]
fn an_event_is_a_record_with_its_attributes_as_headers() {
    let site = Site::new();
    let structured = event("1", r#","partitionkey":"k","data":{"n": 1.10}"#);
    assert_eq!(
        site.post("/topics/sales", &[CLOUD_EVENT], &structured),
        json!({"topic": "sales", "partition": 2, "offset": 0})
    );
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "2"),
        ("ce-source", "/shop"),
        ("ce-type", "sold"),
        ("ce-partitionkey", "k"),
    ];
    assert_eq!(
        site.post("/topics/sales", &binary, "plain"),
        json!({"topic": "sales", "partition": 2, "offset": 1})
    );
    site.post("/topics/sales?key=k", &[("Content-Type", "application/json")], "[7]");
    let answer = site.get("/topics/sales?from=earliest");
    assert_eq!(answer["next"], "0:0,1:0,2:3");
    let records = answer["records"].as_array().expect("a list");
    assert_eq!(records.len(), 3);
    let first = &records[0];
    assert_eq!((&first["key"], &first["value"]), (&json!("k"), &json!({"n": 1.1})), "{first}");
    assert_eq!(first["headers"]["ce_id"], "1");
    assert_eq!(first["headers"]["ce_source"], "/shop");
    assert_eq!((&records[1]["value"], &records[1]["headers"]["ce_id"]), (&json!("plain"), &json!("2")));
    assert_eq!(
        (&records[2]["value"], &records[2]["headers"]),
        (&json!([7]), &json!({"content-type": "application/json"}))
    );
    assert_eq!(site.get("/topics/sales?from=2:2")["records"].as_array().map(Vec::len), Some(1));
    assert_eq!(site.get("/topics/sales?from=earliest&max=2")["next"], "0:0,1:0,2:2");
    site.end();
}

#[test]
fn a_request_has_a_span_from_which_its_records_go_on() {
    let (site, spans) = Site::traced();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let own = "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01";
    let trace = [("traceparent", parent), ("tracestate", "a=1")];
    site.post("/topics/sales?key=k", &trace, "1");
    let span = spans.take(1, LIMIT).remove(0);
    assert_eq!(span.name, "send sales");
    assert_eq!(span.context.child(span.parent.expect("a parent")).to_string(), parent);
    let events = [
        event("1", r#","partitionkey":"k""#),
        event("2", &format!(r#","partitionkey":"k","traceparent":"{own}""#)),
    ];
    site.post("/topics/sales", &[trace[0], BATCH], &format!("[{}]", events.join(",")));
    let batch = spans.take(1, LIMIT).remove(0);
    assert_eq!(batch.links.iter().map(ToString::to_string).collect::<Vec<_>>(), [own]);
    // One that is refused has a span too; one that is not sampled has none, and says so to those behind.
    site.refused("POST", "/topics/sales", &[trace[0], CLOUD_EVENT], "{");
    assert_eq!(spans.take(1, LIMIT)[0].error.as_deref(), Some("400"));
    site.post("/topics/sales?key=k", &[], "2");
    let records = site.get("/topics/sales?from=earliest")["records"].take();
    let header = |record: usize, name: &str| records[record]["headers"][name].clone();
    assert_eq!(header(0, "traceparent"), span.context.to_string());
    assert_eq!(header(0, "tracestate"), "a=1");
    assert_eq!(
        (header(1, "traceparent"), header(2, "traceparent")),
        (json!(batch.context.to_string()), json!(own))
    );
    assert!(header(3, "traceparent").as_str().is_some_and(|header| header.ends_with("-00")), "{records}");
    site.end();
}

#[test]
fn an_event_is_taken_once_also_after_a_power_cut() {
    let mut site = Site::new();
    for id in 0..20 {
        let answer = site.post("/topics/sales", &[CLOUD_EVENT], &event(&id.to_string(), r#","data":1"#));
        assert!(answer["offset"].is_i64(), "{answer}");
    }
    let once = [("Idempotency-Key", "a")];
    site.post("/topics/sales", &once, "x");
    for round in 0..2 {
        let again = site.post("/topics/sales", &[CLOUD_EVENT], &event("7", r#","data":1"#));
        assert_eq!(again, json!({"topic": "sales", "duplicate": true}), "round {round}");
        assert_eq!(site.post("/topics/sales", &once, "x")["duplicate"], true);
        let mixed = format!("[{},{},{}]", event("7", ""), event(&format!("new-{round}"), ""), event("8", ""));
        let answer = site.post("/topics/sales", &[BATCH], &mixed);
        let places = answer["events"].as_array().expect("a list");
        assert_eq!((&places[0]["duplicate"], &places[2]["duplicate"]), (&json!(true), &json!(true)));
        assert!(places[1]["offset"].is_i64(), "{answer}");
        assert_eq!(site.values("sales").len(), 22 + round);
        site = site.power_cut();
    }
    // The same id in another topic is another event.
    assert!(site.post("/topics/other", &[CLOUD_EVENT], &event("7", ""))["offset"].is_i64());
    site.end();
}

#[test]
fn a_batch_is_taken_as_a_whole_or_not_at_all() {
    let site = Site::new();
    let large = "x".repeat(400_000);
    let events: Vec<String> =
        (0..6).map(|n| event(&n.to_string(), &format!(r#","data":"{n}{large}""#))).collect();
    let answer = site.post("/topics/sales", &[BATCH], &format!("[{}]", events.join(",")));
    assert_eq!(answer["events"].as_array().map(Vec::len), Some(6));
    let mut seen: Vec<i64> = site
        .values("sales")
        .iter()
        .map(|value| value.as_str().and_then(|text| text[..1].parse().ok()).expect("a number"))
        .collect();
    // An answer of the node is not longer than about a megabyte.
    assert!(!seen.is_empty() && seen.len() < 6);
    seen.dedup();
    let bounds = site
        .log
        .topic("sales")
        .expect("it is there")
        .partitions
        .iter()
        .map(|partition| site.log.bounds(*partition).expect("it is there").high_watermark.0)
        .sum::<i64>();
    assert_eq!(bounds, 6);
    let (status, words) =
        site.refused("POST", "/topics/sales", &[BATCH], &format!("[{},{{}}]", event("9", "")));
    assert!(status == 400 && words.contains("event 1: "), "{words}");
    let too_large =
        format!("[{},{}]", event("9", ""), event("10", &format!(r#","data":"{}""#, "x".repeat(1 << 20))));
    let (status, words) = site.refused("POST", "/topics/sales", &[BATCH], &too_large);
    assert!(status == 413 && words.contains("max.message.bytes"), "{words}");
    assert!(
        site.post("/topics/sales", &[CLOUD_EVENT], &event("9", ""))["offset"].is_i64(),
        "9 was not taken before"
    );
    assert_eq!(site.post("/topics/sales", &[BATCH], "[]"), json!({"topic": "sales", "events": []}));
    site.end();
}

#[test]
fn what_cannot_be_taken_says_why() {
    let site = Site::new();
    site.post("/topics/sales", &[], "x");
    for (method, target, headers, body, status, why) in [
        ("POST", "/topics/__event_ids", &[][..], "x", 400, "internal"),
        ("POST", "/topics/a%20b", &[], "x", 400, "a b"),
        ("POST", "/topics/sales", &[CLOUD_EVENT], "{", 400, "no JSON"),
        ("POST", "/topics/sales", &[CLOUD_EVENT], "{}", 400, "'specversion' is missing"),
        ("PUT", "/topics/sales", &[], "x", 405, "PUT is not a method"),
        ("GET", "/topics/nowhere", &[], "", 404, "'nowhere' does not exist"),
        ("GET", "/topics/sales?from=9:1", &[], "", 400, "no partition 9"),
        ("GET", "/topics/sales?from=x", &[], "", 400, "'earliest'"),
        ("GET", "/topics/sales?max=x", &[], "", 400, "'max'"),
        ("GET", "/topics/sales?wait_ms=99999999", &[], "", 400, "at most 60000"),
    ] {
        let (found, words) = site.refused(method, target, headers, body);
        assert!(found == status && words.contains(why), "{method} {target}: {found} {words}");
    }
    let (status, words) = site.refused("POST", "/topics/sales", &[], &"x".repeat((8 << 20) + 1));
    assert!(status == 413 && words.contains("longer than 8388608 bytes"), "{words}");
    site.end();
    let strict = Site::on(SimOs::new(6), &[("auto.create.topics.enable", "false")]);
    assert_eq!(strict.refused("POST", "/topics/sales", &[], "x").0, 404);
    strict.end();
}

#[test]
fn a_long_poll_waits_for_the_first_record() {
    let site = Site::new();
    site.post("/topics/sales", &[], "before");
    let next = site.get("/topics/sales?from=latest")["next"].as_str().expect("a position").to_string();
    let answer = std::thread::scope(|scope| {
        let poll = scope.spawn(|| site.get(&format!("/topics/sales?from={next}&wait_ms=60000")));
        // Whether it comes before the poll or after it, it is the answer.
        site.post("/topics/sales", &[], "after");
        poll.join().expect("an answer")
    });
    assert_eq!(answer["records"][0]["value"], "after", "{answer}");
    assert_eq!(site.get("/topics/sales?from=latest&wait_ms=1")["records"], json!([]));
    site.end();
}

/// What the document names is there, and what it does not name is not.
#[test]
fn the_openapi_document_is_true() {
    let site = Site::new();
    site.post("/topics/sales", &[], "1");
    let document = site.get("/openapi.json");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let path = &document["paths"]["/topics/{topic}"];
    for (method, operation) in
        path.as_object().expect("methods").iter().filter(|(name, _)| *name != "parameters")
    {
        let names =
            operation["parameters"].as_array().expect("a list").iter().filter(|one| one["in"] == "query");
        let names: Vec<&str> = names.map(|one| one["name"].as_str().expect("a name")).collect();
        assert_eq!(names, if method == "get" { vec!["from", "max", "wait_ms"] } else { vec!["key"] });
        for status in operation["responses"].as_object().expect("answers").keys() {
            let found = match (method.as_str(), status.as_str()) {
                // Who logs in, who comes too often, and a disk that fails are tried elsewhere.
                (_, "401" | "403" | "429" | "503") => continue,
                // `sockets.rs` has them.
                ("get", "101" | "426") => continue,
                ("get", "200") => site.ask("GET", "/topics/sales", &[], "").0,
                ("get", "400") => site.ask("GET", "/topics/sales?from=x", &[], "").0,
                ("get", "404") => site.ask("GET", "/topics/nowhere", &[], "").0,
                ("post", "200") => site.ask("POST", "/topics/sales", &[], "1").0,
                ("post", "400") => site.ask("POST", "/topics/sales", &[CLOUD_EVENT], "").0,
                ("post", "404") => continue,
                ("post", "413") => site.ask("POST", "/topics/sales", &[], &"x".repeat(2 << 20)).0,
                other => panic!("it names {other:?}"),
            };
            assert_eq!(found.to_string(), *status);
        }
        let record = &site.get("/topics/sales")["records"][0];
        let known = document["components"]["schemas"]["Record"]["properties"].as_object().expect("fields");
        assert!(record.as_object().expect("fields").keys().all(|name| known.contains_key(name)), "{record}");
    }
    site.end();
}

#[test]
fn a_webhook_needs_its_signature_and_nothing_else() {
    let site = Site::on(
        SimOs::new(5),
        &[("security.protocol", "SASL_PLAINTEXT"), ("sasl.enabled.mechanisms", "SCRAM-SHA-256")],
    );
    assert_eq!(site.refused("POST", "/topics/sales", &[], "x").0, 401, "others have to log in");
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers =
        [("X-Hub-Signature-256", signature), ("X-GitHub-Delivery", "d1"), ("X-GitHub-Event", "push")];
    let answer = site.post("/topics/pushes", &headers, "Hello, World!");
    assert!(answer["offset"].is_i64(), "{answer}");
    assert_eq!(site.post("/topics/pushes", &headers, "Hello, World!")["duplicate"], true);
    for (headers, body) in [(&headers[..], "Hello, World?"), (&headers[1..], "Hello, World!"), (&[][..], "")]
    {
        let (status, words) = site.refused("POST", "/topics/pushes", headers, body);
        assert!(status == 401 && words.contains("signature"), "{words}");
    }
    assert_eq!(site.refused("GET", "/topics/pushes", &headers, "Hello, World!").0, 401, "it does not read");
    site.end();
}

#[test]
fn a_webhooks_record_has_a_trace_only_where_somebody_wants_them() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers = [("X-Hub-Signature-256", signature), ("X-GitHub-Delivery", "d1"), ("traceparent", parent)];
    let (traced, _spans) = Site::traced();
    for (site, wanted) in [(Site::new(), false), (traced, true)] {
        site.post("/topics/pushes", &headers, "Hello, World!");
        let records = site.get("/topics/pushes?from=earliest")["records"].take();
        assert_eq!(records[0]["headers"]["traceparent"].is_string(), wanted, "{records}");
        site.end();
    }
}

#[test]
fn a_topic_that_was_made_anew_is_followed_from_its_beginning() {
    let site = Site::new();
    for n in 0..3 {
        site.post("/topics/sales?key=k", &[], &n.to_string());
    }
    let next = site.get("/topics/sales")["next"].as_str().expect("a position").to_string();
    let end = |name: &str| {
        let removed = site.log.append(|frame| frame.delete_topic(name)).expect("it is deleted");
        site.log.wait_durable(removed.1).expect("it is durable");
    };
    let mut stream =
        site.connect("GET /topics/sales HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n");
    assert_eq!(next_event(&mut stream).0, next);
    end("sales");
    site.post("/topics/sales?key=k", &[], "\"new\"");
    assert_eq!(site.get(&format!("/topics/sales?from={next}"))["records"][0]["value"], "new");
    // The stream ends, so that its client comes again.
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the end");
    site.end();
}

/// The next event of a stream: its id and its data.
fn next_event(stream: &mut BufReader<TcpStream>) -> (String, String) {
    let (mut id, mut data) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).expect("a line") > 0, "the stream has ended");
        if let Some(found) = line.strip_prefix("id: ") {
            id = found.trim().to_string();
        } else if let Some(found) = line.strip_prefix("data:") {
            data = found.trim().to_string();
        } else if line.trim().is_empty() && !id.is_empty() {
            return (id, data);
        }
    }
}

#[test]
fn a_stream_goes_on_where_it_was_cut_off() {
    let site = Site::new();
    site.post("/topics/sales?key=k", &[], "0");
    let follow = |more: &str| {
        site.connect(&format!(
            "GET /topics/sales HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n{more}\r\n"
        ))
    };
    let mut stream = follow("");
    assert_eq!(next_event(&mut stream), ("0:0,1:0,2:1".into(), String::new()), "it begins at the end");
    site.post("/topics/sales?key=k", &[], "1");
    let (id, data) = next_event(&mut stream);
    let data: Value = serde_json::from_str(&data).expect("JSON");
    assert_eq!((id.as_str(), &data["value"]), ("0:0,1:0,2:2", &json!(1)));
    drop(stream);
    for n in 2..5 {
        site.post("/topics/sales?key=k", &[], &n.to_string());
    }
    let mut stream = follow(&format!("Last-Event-ID: {id}\r\n"));
    assert_eq!(next_event(&mut stream).0, id);
    for n in 2..5 {
        let data: Value = serde_json::from_str(&next_event(&mut stream).1).expect("JSON");
        assert_eq!((&data["value"], &data["offset"]), (&json!(n), &json!(n)));
    }
    // A node that stops ends its streams.
    site.end();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the end");
    assert!(rest.ends_with("0\r\n\r\n"), "{rest:?}");
}

#[test]
fn what_was_taken_back_is_not_shown() {
    let site = Site::new();
    let kafka = broker::server::ServerConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    let kafka = broker::server::start(kafka, site.broker.clone()).expect("a port is free");
    let bootstrap = kafka.local_addr().to_string();
    let mut client = Client::connect(&bootstrap, "test").expect("a connection");
    client.create_topic("t", 1, 1, &[]).expect("a topic");
    let mut producer = TransactionalProducer::new(client, "writer", LIMIT).expect("a producer");
    for (value, is_kept) in [("no", false), ("yes", true)] {
        producer.write("t", 0, 0, &[value.to_string()]).expect("it is written");
        if is_kept { producer.commit() } else { producer.abort() }.expect("it ends");
    }
    site.post("/topics/t", &[], "open");
    assert_eq!(site.values("t"), [json!("open"), json!("yes")]);
    // More of it than one answer holds, and then something.
    for _ in 0..4 {
        producer.write("t", 0, 0, &["x".repeat(600_000)]).expect("it is written");
    }
    producer.abort().expect("it ends");
    site.post("/topics/t", &[], "behind");
    let answer = site.get("/topics/t?from=0:5");
    assert_eq!(answer["records"][0]["value"], "behind", "{answer}");
    drop(producer);
    kafka.shutdown();
    site.end();
}
