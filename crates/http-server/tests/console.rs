//! What the console's page asks for, over a real socket: the rights, the sessions, pages of records, searches, and what
//! changes something.

#[allow(dead_code, reason = "the tests of events use the rest of the fixture")]
mod site;

use auth::{Credential, Mechanism};
use broker::security::acl::Pattern;
use broker::security::{Acl, Operation, PatternType, Permission, ResourceType, RulesChange};
use kafka_client::Client;
use kafka_wire::records::{BatchBuilder, Compression};
use os::sim::SimOs;
use serde_json::{Value, json};
use site::Site;
use std::io::Read;

const OWN: (&str, &str) = ("X-Eventwright-Console", "1");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const API: &str = "/console/api";

impl Site {
    /// The whole answer: status, headers in small letters, body.
    fn whole(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String, String) {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let mut answer = self.connect(&format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ));
        let mut text = Vec::new();
        answer.read_to_end(&mut text).expect("an answer");
        let text = String::from_utf8_lossy(&text).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, head.to_lowercase(), body.to_string())
    }

    fn api(&self, path: &str) -> Value {
        self.get(&format!("{API}/{path}"))
    }

    fn change(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask("POST", &format!("{API}/{path}"), &[OWN, JSON], &body.to_string());
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// A topic whose record `number` lies in partition `number % partitions` and has that time.
    fn filled(&self, topic: &str, partitions: i64, count: i64) -> Client {
        let kafka = self.broker.within(
            &self
                .broker
                .admit(&broker::security::Proof::Nothing, [127, 0, 0, 1].into())
                .unwrap_or_else(|_| panic!("all may come in")),
            kafka_client::WITHIN,
        );
        let mut client =
            Client::within(Box::new(kafka), kafka_client::ClientOptions::new("test")).expect("a client");
        client.create_topic(topic, partitions as i32, 1, &[]).expect("a new topic");
        for partition in 0..partitions.min(count) {
            let mut batch = BatchBuilder::new(Compression::None);
            for number in (partition..count).step_by(partitions as usize) {
                let value = format!("{{\"number\": {number}, \"said\": \"Hello {number}\"}}");
                let key = format!("k{number}");
                batch
                    .append(
                        1_000_000 + number,
                        Some(key.as_bytes()),
                        Some(value.as_bytes()),
                        &[("h", Some(b"v"))],
                    )
                    .expect("it fits");
            }
            client
                .produce(topic, partition as i32, batch.build().expect("a batch"), -1)
                .expect("it is taken");
        }
        client
    }
}

/// Appends records whose number is their time to partition 0, each in a batch of its own.
fn append(client: &mut Client, topic: &str, count: i64, value: &[u8], headers: &[(&str, Option<&[u8]>)]) {
    for number in 0..count {
        let mut batch = BatchBuilder::new(Compression::None);
        batch.append(1_000_000 + number, None, Some(value), headers).expect("it fits");
        client.produce(topic, 0, batch.build().expect("a batch"), -1).expect("it is taken");
    }
}

fn numbers(page: &Value) -> Vec<i64> {
    let records = page["records"].as_array().expect("records");
    records.iter().map(|record| record["timestamp"].as_i64().expect("a time") - 1_000_000).collect()
}

#[test]
fn the_page_is_served_with_headers_under_which_nothing_else_runs() {
    let site = Site::new();
    let (status, head, body) = site.whole("GET", "/console/", &[], "");
    assert!(status == 200 && body.starts_with("<!doctype html>"), "{head}");
    for wanted in [
        "script-src 'self'",
        "frame-ancestors 'none'",
        "nosniff",
        "content-type: text/html",
        "cache-control: no-cache",
    ] {
        assert!(head.contains(wanted), "{wanted}: {head}");
    }
    assert!(!body.contains("style=") && !body.contains("<style") && !body.contains("onload"), "{body}");
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag").to_string();
    assert_eq!(site.whole("GET", "/console/", &[("If-None-Match", &tag)], "").0, 304);
    assert_eq!(site.whole("GET", "/console/index.html", &[("If-None-Match", "\"other\"")], "").0, 200);
    for (path, kind) in
        [("app.js", "text/javascript"), ("console.css", "text/css"), ("pages/topic.js", "text/javascript")]
    {
        let (status, head, _) = site.whole("GET", &format!("/console/{path}"), &[], "");
        assert!(status == 200 && head.contains(kind), "{path}: {head}");
    }
    for path in [
        "/console/none.js",
        "/console/../Cargo.toml",
        "/console/%2e%2e/app.js",
        "/console/api/none",
        "/console/api/topics/a/b/c/d",
    ] {
        assert_eq!(site.whole("GET", path, &[], "").0, 404, "{path}");
    }
    assert_eq!(site.whole("POST", "/console/app.js", &[], "").0, 405);
    // A browser is led there; a client of the schema registry is not.
    let (status, head, _) = site.whole("GET", "/", &[("Accept", "text/html,application/xhtml+xml")], "");
    assert!(status == 302 && head.contains("location: /console/"), "{head}");
    assert_ne!(site.whole("GET", "/", &[("Accept", "application/vnd.schemaregistry.v1+json")], "").0, 302);
    site.end();
}

#[test]
fn what_changes_something_comes_from_the_page_alone() {
    let site = Site::new();
    let target = format!("{API}/topics");
    for (headers, why) in [
        (&[JSON][..], "has the header"),
        (&[OWN, ("Content-Type", "text/plain")], "is JSON"),
        (&[OWN, JSON, ("Sec-Fetch-Site", "cross-site")], "another origin"),
        (&[OWN, JSON, ("Sec-Fetch-Site", "same-site")], "another origin"),
        (&[OWN, JSON, ("Origin", "http://evil.example")], "another origin"),
        (&[OWN, JSON, ("Host", "evil.example")], ""),
    ] {
        let (status, words) = site.refused("POST", &target, headers, r#"{"name": "forged"}"#);
        assert!(matches!(status, 400 | 403) && words.contains(why), "{headers:?}: {status} {words}");
    }
    let (status, _) = site.refused("GET", &target, &[("Sec-Fetch-Site", "cross-site")], "");
    assert_eq!(status, 403);
    // The same holds where another part of the server answers.
    let (status, _) = site.refused("PATCH", &format!("{API}/flink/jobs/x?mode=cancel"), &[], "");
    assert_eq!(status, 403);
    assert!(site.log.topic("forged").is_none());
    site.change("topics", &json!({ "name": "made", "partitions": 2 }));
    assert_eq!(site.log.topic("made").expect("it is made").partitions.len(), 2);
    for (body, why) in [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "no 'name'"),
        (r#"{"name": "a b"}"#, "is not valid"),
    ] {
        let (status, words) = site.refused("POST", &target, &[OWN, JSON], body);
        assert!(status == 400 && words.contains(why), "{body}: {status} {words}");
    }
    site.end();
}

#[test]
fn pages_of_records_go_back_and_on_in_the_order_of_time() {
    let site = Site::new();
    site.filled("t", 3, 100);
    let first = site.api("topics/t/records?max=40");
    assert_eq!(numbers(&first), (60..100).rev().collect::<Vec<_>>());
    let mut seen = numbers(&first);
    let mut page = first;
    while let Some(next) = page["next"].as_str() {
        page = site.api(&format!("topics/t/records?max=40&at={next}"));
        seen.extend(numbers(&page));
    }
    assert_eq!(seen, (0..100).rev().collect::<Vec<_>>(), "none is left out or comes twice");
    let (mut seen, mut at) = (Vec::new(), String::new());
    loop {
        let page = site.api(&format!("topics/t/records?order=oldest&max=7{at}"));
        seen.extend(numbers(&page));
        match page["next"].as_str() {
            Some(next) => at = format!("&at={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    assert_eq!(numbers(&site.api("topics/t/records?order=oldest&time=1000095")), [95, 96, 97, 98, 99]);
    assert_eq!(numbers(&site.api("topics/t/records?order=oldest&time=9000000")), [0; 0]);
    assert_eq!(numbers(&site.api("topics/t/records?order=oldest&partition=1&max=2")), [1, 4]);
    assert_eq!(numbers(&site.api("topics/t/records?order=oldest&partition=1&at=1:32")), [97]);
    let whole = site.api("topics/t/records/1/2");
    assert_eq!(
        (&whole["key"]["text"], &whole["headers"][0]),
        (&json!("k7"), &json!(["h", {"text": "v", "bytes": 1}]))
    );
    for (path, status) in [
        ("topics/none/records", 404),
        ("topics/t/records/1/999", 404),
        ("topics/t/records/9/0", 404),
        ("topics/t/records/x/0", 400),
        ("topics/t/records?max=x", 400),
        ("topics/t/records?partition=3", 400),
        ("topics/t/records?at=nonsense", 400),
        ("topics/t/search?where=nonsense", 400),
        ("topics/t/search?since=nonsense", 400),
    ] {
        let (found, answer) = site.ask("GET", &format!("{API}/{path}"), &[], "");
        assert!(found == status && answer["errors"][0].is_string(), "{path}: {found} {answer}");
    }
    site.end();
}

#[test]
fn records_of_transactions_that_are_open_or_aborted_are_not_shown() {
    let site = Site::new();
    let kafka = broker::server::start(
        broker::server::ServerConfig::new(([127, 0, 0, 1], 0).into()),
        site.broker.clone(),
    )
    .expect("a port");
    let address = kafka.local_addr().to_string();
    site.filled("t", 1, 5);
    let producer = |id: &str| {
        let client = Client::connect(&address, "test").expect("it listens");
        kafka_client::TransactionalProducer::new(client, id, std::time::Duration::from_secs(60))
            .expect("a producer")
    };
    let mut aborted = producer("a");
    aborted.write("t", 0, 2_000_000, &["aborted".to_owned()]).expect("it is taken");
    aborted.abort().expect("it aborts");
    let mut committed = producer("c");
    committed.write("t", 0, 1_000_005, &["committed".to_owned()]).expect("it is taken");
    committed.commit().expect("it commits");
    let mut open = producer("o");
    open.write("t", 0, 3_000_000, &["open".to_owned()]).expect("it is taken");
    assert_eq!(numbers(&site.api("topics/t/records")), [5, 4, 3, 2, 1, 0]);
    assert_eq!(numbers(&site.api("topics/t/records?order=oldest")), [0, 1, 2, 3, 4, 5]);
    let (_, found) = search(&site, "t", "text=ed");
    assert_eq!(found.iter().filter(|line| line["record"].is_object()).count(), 1, "{found:?}");
    kafka.shutdown();
    site.end();
}

/// The lines of a search, the last of which says how it ended.
fn search(site: &Site, topic: &str, query: &str) -> (Value, Vec<Value>) {
    let (status, _, body) = site.whole("GET", &format!("{API}/topics/{topic}/search?{query}"), &[], "");
    assert_eq!(status, 200, "{body}");
    // The body is chunked: lines of JSON stand between the sizes.
    let lines: Vec<Value> =
        body.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect();
    (lines.last().expect("it ends").clone(), lines)
}

#[test]
fn a_search_finds_what_fits_and_goes_on_where_it_ended() {
    let site = Site::new();
    site.filled("t", 2, 1_000);
    let found = |query: &str| -> Vec<i64> {
        let (end, lines) = search(&site, "t", query);
        assert_eq!(end["ended"], "end", "{end}");
        let mut found: Vec<i64> = lines
            .iter()
            .filter_map(|line| line["record"]["timestamp"].as_i64())
            .map(|time| time - 1_000_000)
            .collect();
        found.sort_unstable();
        found
    };
    assert_eq!(found("text=HELLO%20777"), [777]);
    assert_eq!(found("key=k5"), [5]);
    assert_eq!(found("where=$.number%20%3E%20997"), [998, 999]);
    assert_eq!(found("where=$.said%20%3D%20%22Hello%2042%22&partition=0"), [42]);
    assert_eq!(found("where=$.said%20%3D%20%22Hello%2042%22&partition=1"), [0; 0]);
    assert_eq!(found("text=hello&since=1000010&until=1000012"), [10, 11, 12]);
    // More fit than are given at once.
    let (mut query, mut all) = ("text=hello".to_owned(), Vec::new());
    loop {
        let (end, lines) = search(&site, "t", &query);
        all.extend(lines.iter().filter_map(|line| line["record"]["timestamp"].as_i64()));
        match end["next"].as_str() {
            Some(next) => query = format!("text=hello&at={next}"),
            None => break,
        }
        assert_eq!(end["ended"], "enough");
    }
    all.sort_unstable();
    assert_eq!(all, (1_000_000..1_001_000).collect::<Vec<_>>());
    site.end();
}

/// What was found, and the bytes of the lines and those read between two messages of how far it has come.
fn portions(lines: &[Value]) -> (Vec<i64>, Vec<usize>, Vec<i64>) {
    let (mut found, mut shown, mut read) = (Vec::new(), vec![0], vec![0]);
    for line in lines {
        match line["record"]["timestamp"].as_i64() {
            Some(time) => {
                found.push(time - 1_000_000);
                *shown.last_mut().expect("one") += line.to_string().len();
            }
            None => {
                shown.push(0);
                read.push(line["bytes"].as_i64().expect("a number"));
            }
        }
    }
    let read = read.windows(2).map(|pair| pair[1] - pair[0]).collect();
    (found, shown, read)
}

#[test]
fn large_records_are_looked_at_in_bounded_pieces() {
    const COUNT: i64 = 40;
    let site = Site::new();
    let mut client = site.filled("t", 1, 0);
    append(&mut client, "t", COUNT, "x".repeat(1_000_000).as_bytes(), &[]);
    let (end, lines) = search(&site, "t", "key=none");
    let (_, _, read) = portions(&lines);
    assert_eq!(end["ended"], "end");
    assert!(read.iter().all(|bytes| *bytes <= 10 << 20), "{read:?}");
    let (_, lines) = search(&site, "t", "text=xx");
    assert_eq!(portions(&lines).0, (0..COUNT).rev().collect::<Vec<_>>(), "each is found once");
    // A page reads so much and no more, and the next one goes on.
    let (mut seen, mut at, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = site.api(&format!("topics/t/records?max=500{at}"));
        let numbers = numbers(&page);
        assert!((1..=33).contains(&numbers.len()), "{numbers:?}");
        assert!(page["next"].is_null() || page["cut"] == true);
        seen.extend(numbers);
        pages += 1;
        match page["next"].as_str() {
            Some(next) => at = format!("&at={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (0..COUNT).rev().collect::<Vec<_>>());
    assert!(pages <= 12, "{pages}");
    site.end();
}

#[test]
fn lines_of_what_was_found_are_bounded_together() {
    const COUNT: i64 = 300;
    let site = Site::new();
    let mut client = site.filled("t", 1, 0);
    let long = [b'h'; 3_000];
    append(&mut client, "t", COUNT, b"x", &[("h", Some(&long[..])); 5]);
    let (mut query, mut all) = ("text=x".to_owned(), Vec::new());
    loop {
        let (end, lines) = search(&site, "t", &query);
        let (found, shown, _) = portions(&lines);
        assert!(shown.iter().all(|bytes| *bytes <= 1 << 20), "{shown:?}");
        all.extend(found);
        match end["next"].as_str() {
            Some(next) => query = format!("text=x&at={next}"),
            None => break,
        }
    }
    assert_eq!(all, (0..COUNT).rev().collect::<Vec<_>>());
    site.end();
}

#[test]
fn a_page_of_large_letters_ends_early_and_says_which_of_them_wait() {
    let site = Site::new();
    let mut client = site.filled("dlq", 1, 0);
    let headers =
        [("topic", "t"), ("partition", "0"), ("offset", "7"), ("group", "g"), ("message", "it failed")];
    let headers = headers.map(|(name, value)| (format!("__dlq.errors.{name}"), value));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (&name[..], Some(value.as_bytes()))).collect();
    append(&mut client, "dlq", 20, "x".repeat(900_000).as_bytes(), &headers);
    let of_page = || {
        let page = site.api("letters/dlq");
        let letters = page["letters"].as_array().expect("a list").clone();
        let waiting = letters.iter().filter(|letter| letter["waiting"] == true).count();
        assert_eq!((&letters[0]["source_offset"], &letters[0]["cause"]), (&json!(7), &json!("it failed")));
        (letters.len(), waiting, page["waiting"].clone(), page["more"].clone())
    };
    assert_eq!(of_page(), (19, 19, json!(20), json!(true)));
    let reset = json!({ "topic": "dlq", "to": "offset", "offset": 5, "confirm": true });
    site.change("groups/eventwright-dlq-redrive/reset", &reset);
    assert_eq!(of_page(), (19, 14, json!(15), json!(true)));
    site.end();
}

#[test]
fn a_record_is_produced_and_a_group_set_back_after_a_look() {
    let site = Site::new();
    let mut client = site.filled("t", 1, 50);
    let place = site.change(
        "topics/t/records",
        &json!({"key": {"text": "k"}, "value": {"base64": "/w=="}, "headers": [["h", {"text": "v"}], ["n", null]]}),
    );
    assert_eq!(place, json!({"partition": 0, "offset": 50}));
    let record = site.api("topics/t/records/0/50");
    assert_eq!(
        (&record["value"], &record["headers"][1]),
        (&json!({"base64": "/w==", "bytes": 1}), &json!(["n", null]))
    );
    for (body, why) in [
        (json!({"value": {}}), "'text' or 'base64'"),
        (json!({"value": {"base64": "?"}}), "base64"),
        (json!({"partition": 9}), ""),
    ] {
        let (status, words) =
            site.refused("POST", &format!("{API}/topics/t/records"), &[OWN, JSON], &body.to_string());
        assert!((400..500).contains(&status) && words.contains(why), "{body}: {status} {words}");
    }
    client
        .offset_commit("g", &[kafka_client::OffsetToCommit { topic: "t".into(), partition: 0, offset: 40 }])
        .expect("it commits");
    assert_eq!(site.api("groups")["groups"][0]["lag"], 11);
    let asked = json!({"topic": "t", "to": "time", "time": 1_000_020});
    let plan = site.change("groups/g/reset", &asked);
    assert_eq!(
        plan,
        json!({"changes": [{"partition": 0, "before": 40, "after": 20}], "done": false, "members": 0})
    );
    assert_eq!(site.api("groups/g")["lags"][0]["committed"], 40, "a look changes nothing");
    let mut confirmed = asked;
    confirmed["confirm"] = true.into();
    assert_eq!(site.change("groups/g/reset", &confirmed)["done"], true);
    let group = site.api("groups/g");
    assert_eq!((&group["lags"][0]["committed"], &group["lags"][0]["lag"]), (&json!(20), &json!(31)));
    assert_eq!(site.refused("GET", &format!("{API}/groups/none"), &[], "").0, 404);
    site.end();
}

#[test]
fn lists_come_in_pages() {
    let site = Site::new();
    let mut client = site.filled("first", 1, 3);
    for number in 0..30 {
        client.create_topic(&format!("topic-{number:02}"), 1, 1, &[]).expect("a new topic");
    }
    let page = site.api("topics?filter=TOPIC-&skip=10&max=5");
    let names: Vec<&str> =
        page["topics"].as_array().unwrap().iter().map(|topic| topic["name"].as_str().unwrap()).collect();
    assert_eq!(
        (page["found"].as_i64(), names),
        (Some(30), vec!["topic-10", "topic-11", "topic-12", "topic-13", "topic-14"])
    );
    assert_eq!(site.api("topics?sort=records&max=1")["topics"][0]["name"], "first");
    let topic = site.api("topics/first");
    assert_eq!((&topic["partitions"][0]["end"], &topic["may"]["write"]), (&json!(3), &json!(true)));
    assert!(topic["configs"].as_array().unwrap().iter().any(|config| config["key"] == "retention.ms"));
    let node = site.api("node");
    assert!(
        node["durability"]["last_sync_ns"].is_number() && node["durability"]["fenced"].is_null(),
        "{node}"
    );
    assert_eq!(node["topics"], 31);
    site.end();
}

#[test]
fn letters_of_jobs_are_shown_and_sent_back_as_far_as_they_came_from_a_topic() {
    let site = Site::new();
    let mut client = site.filled("source", 2, 0);
    client.create_topic("unread", 1, 1, &[]).expect("a new topic");
    let mut letter = |origin: &str, reason: &str, value: &str| {
        let headers = [("origin", Some(origin.as_bytes())), ("reason", Some(reason.as_bytes()))];
        append(&mut client, "unread", 1, value.as_bytes(), &headers);
    };
    letter("source partition=1 offset=7", "no JSON", "{");
    letter("events.csv line=3", "no number", "x,y");
    letter("source partition=0 offset=9", "a column is missing", "{}");
    letter("__landed partition=0 offset=1", "no JSON", "[");
    let page = site.api("letters/unread");
    let seen = |page: &Value| {
        let letters = page["letters"].as_array().expect("a list").iter();
        letters.map(|one| (one["origin"].clone(), one["may_send"] == true)).collect::<Vec<_>>()
    };
    assert_eq!(
        seen(&page),
        [
            (json!("source-1@7"), true),
            (json!("events.csv line=3"), false),
            (json!("source-0@9"), true),
            (json!("__landed partition=0 offset=1"), false)
        ]
    );
    assert_eq!((&page["letters"][0]["cause"], &page["letters"][0]["group"]), (&json!("no JSON"), &json!("")));
    assert_eq!(seen(&site.api("letters/unread?text=no%20JSON")).len(), 2);
    assert_eq!(seen(&site.api("letters/unread?group=g")).len(), 0);

    let told = |name: &str| {
        let letters = page["letters"].as_array().expect("a list").iter();
        letters.map(|one| one[name] == true).collect::<Vec<_>>()
    };
    assert_eq!(told("of_job"), [true; 4]);
    assert_eq!((told("copy"), told("gone")), (vec![true; 4], vec![false; 4]));

    // A look sends nothing; a filter picks, and what it sent still waits.
    let redrive = |body: Value| site.change("letters/unread/redrive", &body);
    let to =
        |partition: i64, records: i64| json!({"topic": "source", "partition": partition, "records": records});
    let look = redrive(json!({"text": "no JSON"}));
    assert_eq!(
        (&look["to"], &look["done"], &look["noted"]),
        (&json!([to(1, 1)]), &json!(false), &json!(false))
    );
    assert_eq!(site.api("topics/source/records")["records"], json!([]));
    assert_eq!(redrive(json!({"text": "no JSON", "confirm": true}))["letters"], 1);
    let sent = site.api("topics/source/records");
    assert_eq!(
        (&sent["records"][0]["value"]["text"], &sent["records"][0]["headers"]),
        (&json!("{"), &json!([]))
    );
    let look = redrive(json!({}));
    assert_eq!((&look["to"], &look["left"]), (&json!([to(0, 1), to(1, 1)]), &json!(2)));
    let why = look["left_first"][0]["why"].as_str().unwrap_or_default();
    assert!(why.contains("events.csv line=3, which is no topic"), "{look}");
    assert_eq!(redrive(json!({"confirm": true}))["letters"], 2);
    assert_eq!(redrive(json!({}))["letters"], 0, "all that can be sent were");
    assert_eq!(redrive(json!({"again": true}))["letters"], 2);
    assert_eq!(redrive(json!({"partition": 0, "offset": 2}))["to"], json!([to(0, 1)]));
    let body = json!({"partition": 0, "offset": 1}).to_string();
    let (status, words) = site.refused("POST", &format!("{API}/letters/unread/redrive"), &[OWN, JSON], &body);
    assert!(status == 400 && words.contains("events.csv line=3, which is no topic"), "{status} {words}");
    site.end();
}

/// Headers of a share group's letter, which may say anything.
fn of_group(topic: &str, partition: &str, offset: &str) -> Vec<(String, String)> {
    let headers =
        [("topic", topic), ("partition", partition), ("offset", offset), ("group", "g"), ("message", "no")];
    headers.map(|(name, value)| (format!("__dlq.errors.{name}"), value.to_string())).into()
}

fn append_letter(client: &mut Client, headers: &[(String, String)], value: Option<&[u8]>) {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (&name[..], Some(value.as_bytes()))).collect();
    let mut batch = BatchBuilder::new(Compression::None);
    batch.append(1_000_000, None, value, &headers).expect("it fits");
    client.produce("dlq", 0, batch.build().expect("a batch"), -1).expect("it is taken");
}

/// What cannot go back is named and passed over: it neither holds up the others nor waits for ever.
#[test]
fn letters_that_cannot_go_back_hold_nobody_up() {
    let site = Site::new();
    let mut client = site.filled("source", 1, 3);
    client.create_topic("dlq", 1, 1, &[]).expect("a new topic");
    client.create_topic("narrow", 1, 1, &[("max.message.bytes", "200")]).expect("a new topic");
    append_letter(&mut client, &of_group("deleted", "0", "0"), Some(b"its topic is gone"));
    append_letter(&mut client, &of_group("source", "7", "0"), Some(b"its partition is gone"));
    append_letter(&mut client, &of_group("source", "0", "77"), None);
    append_letter(&mut client, &[("h".into(), "v".into())], Some(b"no letter"));
    append_letter(&mut client, &of_group("narrow", "0", "0"), Some("x".repeat(1_000).as_bytes()));
    append_letter(&mut client, &of_group("narrow", "0", "1"), Some(b"small enough"));
    for own in ["__consumer_offsets", "__view.totals", "_schemas"] {
        append_letter(&mut client, &of_group(own, "0", "0"), Some(b"forged"));
    }
    // A note alone stands for the record where it lay.
    append_letter(&mut client, &of_group("source", "0", "1"), None);
    let redrive = |body: Value| site.change("letters/dlq/redrive", &body);
    let look = redrive(json!({}));
    // That a topic refuses a record is found when it is sent.
    assert_eq!((&look["letters"], &look["left"]), (&json!(3), &json!(7)));
    let sent = redrive(json!({"confirm": true}));
    let to = |topic: &str| json!({"topic": topic, "partition": 0, "records": 1});
    assert_eq!((&sent["to"], &sent["left"]), (&json!([to("narrow"), to("source")]), &json!(8)));
    let whys: Vec<&str> = sent["left_first"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["why"].as_str().expect("words"))
        .collect();
    for wanted in [
        "from deleted-0, and there is no such partition any more",
        "from source-7",
        "no record at source-0@77 any more",
        "is no dead letter",
        "__consumer_offsets-0@0, which is no topic",
        "_schemas-0@0, which is no topic",
    ] {
        assert!(whys.iter().any(|why| why.contains(wanted)), "{wanted}: {whys:?}");
    }
    assert_eq!(
        site.api("topics/source/records")["records"][0]["value"]["text"],
        "{\"number\": 1, \"said\": \"Hello 1\"}"
    );
    // They are dealt with, all of them.
    let again = redrive(json!({}));
    assert_eq!((&again["letters"], &again["left"], &again["next"]), (&json!(0), &json!(0), &Value::Null));
    for offset in [0, 1, 2, 6] {
        let body = json!({"partition": 0, "offset": offset, "confirm": true}).to_string();
        let (status, words) =
            site.refused("POST", &format!("{API}/letters/dlq/redrive"), &[OWN, JSON], &body);
        assert!(status == 404 || status == 400, "{offset}: {status} {words}");
    }
    site.end();
}

#[test]
fn a_redrive_goes_on_where_the_one_before_ended() {
    let site = Site::new();
    let mut client = site.filled("source", 1, 0);
    client.create_topic("dlq", 2, 1, &[]).expect("a new topic");
    let mut fill = |partition: i32, count: usize, value: &str| {
        for first in (0..count).step_by(2_000) {
            let mut batch = BatchBuilder::new(Compression::None);
            for number in first..count.min(first + 2_000) {
                let origin = format!("source partition=0 offset={number}");
                let headers = [("origin", Some(origin.as_bytes())), ("reason", Some(&b"no"[..]))];
                batch.append(0, None, Some(value.as_bytes()), &headers).expect("it fits");
            }
            client.produce("dlq", partition, batch.build().expect("a batch"), -1).expect("it is taken");
        }
    };
    fill(0, 12_000, "many");
    fill(1, 50_000, "few");
    fill(1, 1, "last");
    let redrive = |body: Value| site.change("letters/dlq/redrive", &body);
    // Which are sent, in pieces.
    let pieces = |mut body: Value| {
        let mut all = Vec::new();
        loop {
            let answer = redrive(body.clone());
            all.push((
                answer["letters"].as_i64().expect("a count"),
                answer["looked_at"].as_i64().expect("a count"),
            ));
            body["from"] = answer["next"].clone();
            if body["from"].is_null() {
                return all;
            }
        }
    };
    assert_eq!(
        pieces(json!({"text": "many", "confirm": true})),
        [(10_000, 10_000), (2_000, 50_000), (0, 2_001)]
    );
    let ends = |topic: &str| site.api(&format!("topics/{topic}"))["partitions"][0]["end"].clone();
    assert_eq!(ends("source"), 12_000, "none went twice");
    // A filter that fits little looks at no more than so many at once.
    assert_eq!(pieces(json!({"text": "last"})), [(0, 50_000), (1, 12_001)]);
    // All, those among them that were sent before.
    let again = pieces(json!({"again": true}));
    assert_eq!(
        again.iter().map(|piece| piece.0).collect::<Vec<_>>(),
        [10_000, 10_000, 10_000, 10_000, 10_000, 10_000, 2_001]
    );
    // What waits goes on by itself.
    for wanted in [10_000, 10_000, 10_000, 10_000, 10_000, 10_000, 2_001, 0] {
        assert_eq!(redrive(json!({"confirm": true}))["letters"], wanted);
    }
    let body = json!({"from": {"x": 1}}).to_string();
    assert_eq!(site.refused("POST", &format!("{API}/letters/dlq/redrive"), &[OWN, JSON], &body).0, 400);
    site.end();
}

/// Two users: one may do everything, one may read a topic.
fn with_users() -> Site {
    let site =
        Site::on(SimOs::new(5), &[("security.protocol", "SASL_PLAINTEXT"), ("super.users", "User:admin")]);
    let set = |user: &str| RulesChange::CredentialSet {
        user: user.into(),
        credential: Credential::from_password(Mechanism::Sha256, b"salt", 4_096, "secret"),
    };
    let rule = Acl {
        pattern: Pattern { resource: ResourceType::Topic, kind: PatternType::Literal, name: "t".into() },
        principal: "User:alice".into(),
        host: "*".into(),
        operation: Operation::Read,
        permission: Permission::Allow,
    };
    site.broker
        .change_rules(vec![set("admin"), set("alice"), RulesChange::AclsAdded(vec![rule])])
        .expect("they are taken");
    site
}

fn log_in(site: &Site, user: &str, password: &str) -> (u16, Option<String>) {
    let body = json!({ "user": user, "password": password }).to_string();
    let (status, head, _) = site.whole("POST", &format!("{API}/session"), &[OWN, JSON], &body);
    // Their names are written in small letters above, their values must not be.
    let cookie = head.contains("set-cookie").then(|| head.clone());
    (status, cookie)
}

/// The cookie as a browser would send it.
fn cookie(site: &Site, user: &str) -> String {
    let body = json!({ "user": user, "password": "secret" }).to_string();
    let length = body.len();
    let mut answer = site.connect(&format!(
        "POST {API}/session HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nX-Eventwright-Console: 1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    let mut text = String::new();
    answer.read_to_string(&mut text).expect("a text");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))
        .unwrap_or_else(|| panic!("no cookie: {text}"));
    line.split(';').next().expect("a cookie").to_string()
}

#[test]
fn sessions_are_for_those_who_know_a_password_and_end() {
    let site = with_users();
    let status = |cookie: &str| site.whole("GET", &format!("{API}/session"), &[("Cookie", cookie)], "").0;
    assert_eq!(status(""), 401);
    assert_eq!(site.whole("GET", "/console/", &[], "").0, 200, "the page itself has no secrets");
    let (_, head, _) = site.whole("GET", &format!("{API}/topics"), &[], "");
    assert!(!head.contains("www-authenticate"), "a browser must not ask by itself: {head}");
    assert_eq!(log_in(&site, "alice", "wrong"), (401, None));
    assert_eq!(log_in(&site, "nobody", "secret"), (401, None));
    assert_eq!(
        log_in(&site, "alice", &"x".repeat(5_000)),
        (413, None),
        "it is not read by whoever it is from"
    );
    for wrong in ["", "[]", r#"{"user": "alice"}"#, r#"{"user": "alice", "password": {"deep": [1]}}"#] {
        let (status, _, words) = site.whole("POST", &format!("{API}/session"), &[OWN, JSON], wrong);
        assert!(status == 400 && words.contains("no user and password"), "{wrong}: {status} {words}");
    }
    let (_, told) = log_in(&site, "alice", "secret");
    let told = told.expect("a cookie");
    for wanted in ["httponly", "samesite=strict", "path=/console"] {
        assert!(told.contains(wanted), "{told}");
    }
    let mine = cookie(&site, "alice");
    assert_eq!((status(&mine), status(&format!("{mine}x"))), (200, 401));
    assert_ne!(mine, cookie(&site, "alice"), "each is another one");
    let other = cookie(&site, "admin");
    let (status_of_end, _, _) =
        site.whole("DELETE", &format!("{API}/session"), &[OWN, ("Cookie", &other)], "");
    assert_eq!((status_of_end, status(&other), status(&mine)), (200, 401, 200));
    // A password that was changed ends what was begun with the one before.
    let credential = Credential::from_password(Mechanism::Sha256, b"salt", 4_096, "another");
    site.broker
        .change_rules(vec![RulesChange::CredentialSet { user: "alice".into(), credential }])
        .expect("it is taken");
    assert_eq!(status(&mine), 401);
    let late = cookie(&site, "admin");
    site.world.clock.advance_ms(3_599_000);
    assert_eq!(status(&late), 200);
    site.world.clock.advance_ms(3_601_000);
    assert_eq!(status(&late), 401, "an hour without use");
    site.end();
}

#[test]
fn a_visitor_sees_and_does_what_the_rules_let_them() {
    let site = with_users();
    let admin = cookie(&site, "admin");
    let alice = cookie(&site, "alice");
    let ask = |who: &str, method: &str, path: &str, body: &str| {
        let (status, _, answer) =
            site.whole(method, &format!("{API}/{path}"), &[OWN, JSON, ("Cookie", who)], body);
        (status, serde_json::from_str::<Value>(&answer).unwrap_or_default())
    };
    for name in ["t", "secret"] {
        assert_eq!(ask(&admin, "POST", "topics", &json!({ "name": name }).to_string()).0, 200);
        assert_eq!(
            ask(&admin, "POST", &format!("topics/{name}/records"), r#"{"value": {"text": "x"}}"#).0,
            200
        );
    }
    let (_, mine) = ask(&alice, "GET", "session", "");
    assert_eq!((&mine["user"], &mine["may"]["see_jobs"]), (&json!("User:alice"), &json!(false)));
    assert_eq!(ask(&alice, "GET", "topics", "").1["topics"][0]["name"], "t");
    assert_eq!(ask(&alice, "GET", "topics", "").1["found"], 1);
    assert_eq!(
        ask(&alice, "GET", "topics/t", "").1["may"],
        json!({"read": true, "write": false, "configs": false})
    );
    assert_eq!(ask(&alice, "GET", "topics/t/records", "").1["records"][0]["value"]["text"], "x");
    for (method, path, body) in [
        ("GET", "topics/secret", ""),
        ("GET", "topics/secret/records", ""),
        ("GET", "topics/secret/records/0/0", ""),
        ("GET", "topics/secret/search?text=x", ""),
        ("GET", "topics/secret/tail", ""),
        ("GET", "letters/secret", ""),
        ("GET", "node", ""),
        ("GET", "jobs", ""),
        ("GET", "flink/jobs/overview", ""),
        ("GET", "groups/g", ""),
        ("POST", "topics", r#"{"name": "mine"}"#),
        ("POST", "topics/t/records", r#"{"value": {"text": "x"}}"#),
        ("POST", "groups/g/reset", r#"{"topic": "t", "to": "earliest", "confirm": true}"#),
        ("PATCH", "flink/jobs/x?mode=cancel", ""),
    ] {
        let (status, answer) = ask(&alice, method, path, body);
        assert_eq!(status, 403, "{method} {path}: {answer}");
        assert_ne!(
            ask(&admin, method, path.replace("tail", "search").as_str(), body).0,
            403,
            "{method} {path}"
        );
    }
    // Neither whether a topic is there nor what a group has left in it is told to who may not see it.
    for topic in ["secret", "absent"] {
        let reset = json!({ "topic": topic, "to": "earliest" }).to_string();
        let (status, answer) = ask(&alice, "POST", "groups/g/reset", &reset);
        let words = answer["errors"][0].as_str().unwrap_or_default().to_owned();
        assert!(status == 403 && words.contains("Describe on Topic"), "{topic}: {status} {words}");
    }
    let reset = json!({ "topic": "secret", "to": "earliest", "confirm": true }).to_string();
    assert_eq!(ask(&admin, "POST", "groups/g/reset", &reset).0, 200);
    let rule = Acl {
        pattern: Pattern { resource: ResourceType::Group, kind: PatternType::Literal, name: "g".into() },
        principal: "User:alice".into(),
        host: "*".into(),
        operation: Operation::Describe,
        permission: Permission::Allow,
    };
    site.broker.change_rules(vec![RulesChange::AclsAdded(vec![rule])]).expect("it is taken");
    let row = |who: &str| {
        let group = ask(who, "GET", "groups", "").1["groups"][0].take();
        (group["name"].clone(), group["lag"].clone(), group["topics"].clone())
    };
    assert_eq!(row(&admin), (json!("g"), json!(3), json!(["secret", "t"])));
    assert_eq!(row(&alice), (json!("g"), json!(2), json!(["t"])));
    // Elsewhere on the server the cookie says nothing.
    assert_eq!(site.whole("GET", "/jobs/overview", &[("Cookie", &admin)], "").0, 401);
    site.end();
}
