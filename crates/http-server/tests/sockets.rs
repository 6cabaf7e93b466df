//! WebSockets over a real socket: topics and views that are followed, who may, and how a talk ends.

#[allow(dead_code, reason = "the tests of events use the rest of the fixture")]
mod site;

use arrow_schema::{DataType, Field, Schema};
use auth::plain::Login;
use auth::{Credential, Mechanism};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker::security::acl::Pattern;
use broker::security::{Acl, Operation, PatternType, Permission, ResourceType, RulesChange};
use http_server::{Front, ServerConfig};
use kafka_wire::records::{BatchBuilder, Compression};
use os::sim::SimOs;
use runtime::{Journal, Runtime};
use serde_json::{Value, json};
use site::{LIMIT, Site};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tungstenite::protocol::{Role, WebSocket};
use tungstenite::{Error, Message};
use views::{Follower, FollowerHandle, ViewDefinition, ViewKey};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Asks for a WebSocket; the head of the answer, and the stream behind it.
fn ask(site: &Site, path: &str, headers: &[(&str, &str)]) -> (u16, String, TcpStream) {
    let mut all = vec![
        ("Host", "127.0.0.1"),
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "WebSocket"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
    ];
    all.retain(|(name, _)| !headers.iter().any(|(other, _)| other == name));
    all.extend(headers.iter().filter(|(_, value)| !value.is_empty()));
    let lines: String = all.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut stream = TcpStream::connect(site.server.local_addr()).expect("the server listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a time-out");
    stream.write_all(format!("GET {path} HTTP/1.1\r\n{lines}\r\n").as_bytes()).expect("the server reads");
    let mut head = Vec::new();
    // No byte behind the head is taken: it belongs to the frames.
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("a text");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, head.to_lowercase(), stream)
}

struct Talk(WebSocket<TcpStream>);

impl Talk {
    fn begin(site: &Site, path: &str, headers: &[(&str, &str)]) -> Talk {
        let (status, head, stream) = ask(site, path, headers);
        assert_eq!(status, 101, "{head}");
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
        Talk(WebSocket::from_raw_socket(stream, Role::Client, None))
    }

    fn next(&mut self) -> Value {
        loop {
            match self.0.read().expect("a message") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The code and the words with which the server closes; what comes before is passed over.
    fn closed(mut self) -> (u16, String) {
        loop {
            match self.0.read() {
                Ok(Message::Close(frame)) => {
                    let frame = frame.expect("a reason");
                    // The server ends the connection behind our answer.
                    while self.0.read().is_ok() {}
                    return (frame.code.into(), frame.reason.to_string());
                }
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("the server reads");
    }
}

fn publish(site: &Site, topic: &str, number: i64) {
    site.post(&format!("/topics/{topic}"), &[JSON], &json!({ "n": number }).to_string());
}

#[test]
fn records_come_as_messages_and_who_comes_again_goes_on() {
    let site = Site::new();
    publish(&site, "t", 1);
    let mut talk = Talk::begin(&site, "/topics/t?from=earliest", &[]);
    assert_eq!(talk.next(), json!({"next": "0:0,1:0,2:0"}));
    let first = talk.next();
    assert_eq!(first["value"], json!({"n": 1}));
    // The same record as in an answer, and the position behind it.
    let mut known = site.get("/topics/t?from=earliest")["records"][0].take();
    known["next"] = first["next"].clone();
    assert_eq!(first, known);
    publish(&site, "t", 2);
    let second = talk.next();
    assert_eq!(second["value"], json!({"n": 2}));
    drop(talk);
    publish(&site, "t", 3);
    let from = |next: &Value| format!("/topics/t?from={}", next["next"].as_str().expect("a position"));
    for (next, wanted) in [(&first, vec![2, 3]), (&second, vec![3])] {
        let mut talk = Talk::begin(&site, &from(next), &[]);
        assert_eq!(talk.next()["next"], next["next"]);
        let mut seen: Vec<i64> =
            wanted.iter().map(|_| talk.next()["value"]["n"].as_i64().expect("a number")).collect();
        seen.sort_unstable();
        assert_eq!(seen, wanted);
    }
    // Unless it is said otherwise, what comes from now on.
    let mut talk = Talk::begin(&site, "/topics/t", &[]);
    talk.next();
    publish(&site, "t", 4);
    assert_eq!(talk.next()["value"], json!({"n": 4}));
    site.end();
}

#[test]
fn what_is_no_handshake_is_refused_in_http() {
    let site = Site::new();
    publish(&site, "t", 1);
    let refused = |path: &str, headers: &[(&str, &str)]| {
        let (status, head, _) = ask(&site, path, headers);
        assert!(!head.contains("sec-websocket-accept"), "{head}");
        (status, head)
    };
    let (status, head) = refused("/topics/t", &[("Sec-WebSocket-Version", "8")]);
    assert!(status == 426 && head.contains("sec-websocket-version: 13"), "{head}");
    for (wrong, wanted) in [
        (("Sec-WebSocket-Key", "c2hvcnQ="), 400),
        (("Sec-WebSocket-Key", ""), 400),
        (("Connection", "close"), 400),
        (("Origin", "http://evil.example"), 403),
        (("Host", "evil.example"), 403),
        (("Sec-WebSocket-Protocol", "base64url.bearer.authorization.eventwright.YQ"), 400),
    ] {
        assert_eq!(refused("/topics/t", &[wrong]).0, wanted, "{wrong:?}");
    }
    for (path, wanted) in
        [("/topics/none", 404), ("/views/none", 404), ("/topics/t?from=x", 400), ("/jobs/overview", 200)]
    {
        assert_eq!(refused(path, &[]).0, wanted, "{path}");
    }
    // A protocol is named if it is one of ours.
    let (_, head, _) = ask(&site, "/topics/t", &[("Sec-WebSocket-Protocol", "other, eventwright.json")]);
    assert!(head.contains("sec-websocket-protocol: eventwright.json"), "{head}");
    let (status, head, _) = ask(&site, "/topics/t", &[("Sec-WebSocket-Protocol", "other")]);
    assert!(status == 101 && !head.contains("sec-websocket-protocol"), "{head}");
    let (status, ..) = ask(&site, "/topics/t", &[("Origin", "http://127.0.0.1")]);
    assert_eq!(status, 101);
    site.end();
}

#[test]
fn a_talk_ends_with_the_code_that_says_why() {
    let site = Site::new();
    publish(&site, "t", 1);
    let begin = || Talk::begin(&site, "/topics/t", &[]);
    let with_bytes = |bytes: &[u8]| {
        let mut talk = begin();
        talk.next();
        talk.write(bytes);
        talk.closed().0
    };
    let masked = |first: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).expect("a short frame");
        [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
    };
    assert_eq!(with_bytes(&masked(0x81, b"hello")), 1008, "nothing is to be sent");
    assert_eq!(with_bytes(&[0x82, 0xfe, 0x20, 0x00, 0, 0, 0, 0]), 1009, "a long frame, told from its head");
    assert_eq!(with_bytes(&[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]), 1009);
    assert_eq!(with_bytes(&[0x81, 0x01, b'a']), 1002, "no mask");
    assert_eq!(with_bytes(&masked(0xc1, b"a")), 1002, "a reserved bit");
    assert_eq!(with_bytes(&masked(0x80, b"a")), 1002, "nothing is continued");
    assert_eq!(with_bytes(&masked(0x88, b"\x03\xe8\xff")), 1007, "words that are no text");
    assert_eq!(with_bytes(&masked(0x09, b"ping")), 1002, "a ping in pieces");

    // A ping is answered, and a close too.
    let mut talk = begin();
    talk.next();
    talk.0.send(Message::Ping("are you there".into())).expect("it is sent");
    match talk.0.read().expect("an answer") {
        Message::Pong(words) => assert_eq!(&words[..], b"are you there"),
        other => panic!("{other:?}"),
    }
    talk.0.close(None).expect("it is sent");
    assert!(matches!(talk.0.read(), Ok(Message::Close(None))));
    assert!(matches!(talk.0.read(), Err(Error::ConnectionClosed)));

    // One that goes away without a word holds up nobody.
    let talk = begin();
    talk.0.get_ref().shutdown(Shutdown::Both).expect("it is open");

    let mut of_topic = begin();
    of_topic.next();
    publish(&site, "other", 1);
    let mut others = Talk::begin(&site, "/topics/other", &[]);
    others.next();
    site.broker.log().append(|frame| frame.delete_topic("t")).expect("it goes");
    let (code, words) = of_topic.closed();
    assert!(code == 1001 && words.contains("come again"), "{code} {words}");
    site.server.shutdown();
    assert_eq!(others.closed(), (1001, "the node stops".into()));
    site.log.shutdown().expect("the log closes");
}

#[test]
fn who_reads_late_holds_up_nobody_and_misses_nothing() {
    let site = Site::new();
    let topic = site.broker.topic_for_records("large", true).expect("a topic");
    // More than sockets keep.
    const COUNT: i64 = 16;
    let value = vec![b'x'; 900_000];
    for _ in 0..COUNT {
        let mut batch = BatchBuilder::new(Compression::None);
        batch.append(0, None, Some(&value), &[]).expect("it fits");
        let taken = site.broker.take_in(&topic, vec![(0, batch.build().expect("a batch"))], |_| Ok(()));
        let lsn = taken.unwrap_or_else(|_| panic!("it is taken")).lsn.expect("a place");
        site.log.wait_durable(lsn).expect("it is durable");
    }
    let mut talks: Vec<Talk> =
        (0..3).map(|_| Talk::begin(&site, "/topics/large?from=earliest", &[])).collect();
    talks.reverse();
    for talk in &mut talks {
        talk.next();
        for number in 0..COUNT {
            assert_eq!(talk.next()["offset"], number);
        }
    }
    site.end();
}

/// The minute is one of tokio's clock, which goes on when nothing else does.
#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_loses_its_place() {
    let site = Site::new();
    site.post("/topics/t", &[], &"x".repeat(900_000));
    let config =
        ServerConfig { broker: Some(site.broker.clone()), ..ServerConfig::new(([127, 0, 0, 1], 0).into()) };
    let journal = Journal::restore(None).expect("no checkpoint");
    let runtime = Runtime::new(site.log.clone(), site.world.os(), "/data".into(), journal);
    let front = Front::new(config, Arc::new(runtime), site.world.os()).expect("no TLS, no error");
    let (mut client, server) = tokio::io::duplex(1024);
    let request = format!(
        "GET /topics/t?from=earliest HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    client.write_all(request.as_bytes()).await.expect("it has room");
    let begun = tokio::time::Instant::now();
    front.serve(server).await;
    let borne = begun.elapsed();
    assert!((Duration::from_secs(60)..Duration::from_secs(62)).contains(&borne), "{borne:?}");
    let mut taken = Vec::new();
    client.read_to_end(&mut taken).await.expect("what there was");
    assert!(taken.starts_with(b"HTTP/1.1 101") && taken.len() <= 1024, "{}", taken.len());
    tokio::task::spawn_blocking(move || site.end()).await.expect("it ends");
}

fn with_users() -> Site {
    let settings = [("security.protocol", "SASL_PLAINTEXT"), ("super.users", "User:admin")];
    let site = Site::on(SimOs::new(5), &settings);
    let set = |user: &str| RulesChange::CredentialSet {
        user: user.into(),
        credential: Credential::from_password(Mechanism::Sha256, b"salt", 4_096, "secret"),
    };
    let changes = vec![set("admin"), set("alice"), RulesChange::AclsAdded(vec![read_rule()])];
    site.broker.change_rules(changes).expect("it is taken");
    site
}

fn read_rule() -> Acl {
    Acl {
        pattern: Pattern { resource: ResourceType::Topic, kind: PatternType::Literal, name: "t".into() },
        principal: "User:alice".into(),
        host: "*".into(),
        operation: Operation::Read,
        permission: Permission::Allow,
    }
}

#[test]
fn who_asks_is_told_by_a_header_a_protocol_or_the_consoles_session() {
    let site = with_users();
    let admin = Login::basic("admin", "secret");
    for topic in ["t", "closed"] {
        site.post(&format!("/topics/{topic}"), &[JSON, ("Authorization", &admin)], "{}");
    }
    let coded = |user: &str, password: &str| URL_SAFE_NO_PAD.encode(format!("{user}:{password}"));
    let protocol = |user: &str, password: &str| {
        format!("eventwright.json, base64url.basic.authorization.eventwright.{}", coded(user, password))
    };
    let status = |path: &str, header: (&str, &str)| ask(&site, path, &[header]).0;
    let alice = protocol("alice", "secret");
    let (is, head, _) = ask(&site, "/topics/t", &[("Sec-WebSocket-Protocol", &alice)]);
    assert!(is == 101 && head.contains("sec-websocket-protocol: eventwright.json\r\n"), "{head}");
    assert!(!head.contains(&coded("alice", "secret").to_lowercase()), "{head}");
    assert_eq!(status("/topics/closed", ("Sec-WebSocket-Protocol", &alice)), 403);
    assert_eq!(status("/topics/t", ("Sec-WebSocket-Protocol", &protocol("alice", "wrong"))), 401);
    assert_eq!(status("/topics/t", ("Sec-WebSocket-Protocol", "eventwright.json")), 401);
    assert_eq!(status("/topics/t", ("Authorization", &Login::basic("alice", "secret"))), 101);

    // The console's session counts below its own path, and there only.
    let body = json!({"user": "alice", "password": "secret"}).to_string();
    let request = format!(
        "POST /console/api/session HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nX-Eventwright-Console: 1\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut answer = String::new();
    site.connect(&request).read_to_string(&mut answer).expect("a text");
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    let cookie = cookie.split(';').next().expect("a pair");
    assert_eq!(status("/topics/t", ("Cookie", cookie)), 401);
    assert_eq!(status("/console/api/topics/closed/tail", ("Cookie", cookie)), 403);
    let mut tail = Talk::begin(&site, "/console/api/topics/t/tail?from=earliest", &[("Cookie", cookie)]);
    tail.next();
    assert_eq!(tail.next()["value"]["text"], "{}");
    let (is, ..) =
        ask(&site, "/console/api/topics/t/tail", &[("Cookie", cookie), ("Origin", "http://evil.example")]);
    assert_eq!(is, 403);

    // A right that goes ends it.
    site.broker.change_rules(vec![RulesChange::AclsRemoved(vec![read_rule()])]).expect("it is taken");
    let (code, words) = tail.closed();
    assert!(code == 1008 && words.contains("right"), "{code} {words}");
    site.end();
}

fn cities() -> ViewDefinition {
    let fields = vec![Field::new("city", DataType::Utf8, false), Field::new("n", DataType::Int64, true)];
    ViewDefinition {
        name: "cities".into(),
        schema: Arc::new(Schema::new(fields)),
        types: vec!["STRING".into(), "BIGINT".into()],
        key: ViewKey::Columns(vec![0]),
        statement: "CREATE MATERIALIZED TABLE cities AS SELECT 1".into(),
        comment: None,
        job: "a-job".into(),
        topic: views::topic_of("cities").expect("a topic's name"),
    }
}

/// A view, and what brings changes of its topic into it.
struct Cities<'a> {
    site: &'a Site,
    _follower: FollowerHandle,
}

impl Cities<'_> {
    fn declare(site: &Site) -> Cities<'_> {
        let follower = Follower::open(site.log.clone(), site.views.clone()).expect("a follower");
        let follower = follower.run().expect("a thread");
        let lsn = views::declare(&site.log, &site.world.os(), &[cities()], true).expect("a view");
        let cities = Cities { site, _follower: follower };
        cities.await_lsn(lsn);
        cities
    }

    fn await_lsn(&self, lsn: base::Lsn) {
        self.site.log.wait_durable(lsn).expect("it is durable");
        self.site.views.wait_for(lsn, &[], LIMIT).expect("the view has it");
    }

    /// What a step of the job would write.
    fn put(&self, changes: &[(&str, Option<i64>)]) {
        let mut batch = BatchBuilder::new(Compression::None);
        for (city, n) in changes {
            let key = json!({ "city": city }).to_string();
            let row = n.map(|n| json!({ "city": city, "n": n }).to_string());
            batch.append(0, Some(key.as_bytes()), row.as_deref().map(str::as_bytes), &[]).expect("it fits");
        }
        let batch = batch.build().expect("a batch");
        let partition = self.site.log.topic(&cities().topic).expect("the topic").partitions[0];
        let count = u32::try_from(changes.len()).expect("few");
        let put = self.site.log.append(|frame| frame.batch(partition, count, 0, &batch).map(drop));
        self.await_lsn(put.expect("it is appended").1);
    }
}

fn row(city: &str, n: i64) -> Value {
    json!({"row": {"city": city, "n": n}})
}

/// Without the position.
fn change(mut message: Value) -> Value {
    message.as_object_mut().expect("an object").remove("next").expect("a position");
    message
}

#[test]
fn a_view_is_followed_by_its_rows_and_then_its_changes() {
    let site = Site::new();
    let view = Cities::declare(&site);
    view.put(&[("Rome", Some(1)), ("Oslo", Some(2)), ("Bern", Some(3))]);
    view.put(&[("Bern", None), ("Rome", Some(5))]);
    let mut talk = Talk::begin(&site, "/views/cities", &[]);
    assert_eq!(talk.next(), json!({"rows": 2}));
    assert_eq!((talk.next(), talk.next()), (row("Oslo", 2), row("Rome", 5)));
    let begin = talk.next()["next"].take();
    view.put(&[("Oslo", None), ("Paris", Some(12_345_678_901_234_567))]);
    let gone = talk.next();
    let next = gone["next"].as_str().expect("a position").to_owned();
    assert_eq!(change(gone), json!({"deleted": {"city": "Oslo"}}));
    assert_eq!(change(talk.next()), row("Paris", 12_345_678_901_234_567));
    // Who comes again gets the rest, and not the rows.
    let mut again = Talk::begin(&site, &format!("/views/cities?from={next}"), &[]);
    assert_eq!(again.next(), json!({ "next": next }));
    assert_eq!(change(again.next()), row("Paris", 12_345_678_901_234_567));
    // The same over HTTP, in one answer and as a stream.
    let all = site.get("/views/cities");
    assert_eq!(
        (&all["rows"], &all["changes"]),
        (&json!(2), &json!([row("Paris", 12_345_678_901_234_567), row("Rome", 5)]))
    );
    let rest = site.get(&format!("/views/cities?from={next}"));
    assert_eq!(
        (&rest["rows"], &rest["changes"]),
        (&Value::Null, &json!([row("Paris", 12_345_678_901_234_567)]))
    );
    assert_eq!(
        (&rest["next"], site.get("/views/cities?from=latest")["changes"].clone()),
        (&all["next"], json!([]))
    );
    let waiting = format!("/views/cities?from={}&wait_ms=60000", all["next"].as_str().expect("a position"));
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| site.get(&waiting));
        view.put(&[("Rome", Some(6))]);
        assert_eq!(answer.join().expect("an answer")["changes"], json!([row("Rome", 6)]));
    });
    let stream = |headers: &str, wanted: &str| {
        let mut answer = site.connect(&format!(
            "GET /views/cities HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n{headers}\r\n"
        ));
        let mut text = String::new();
        while !text.contains(wanted) {
            let mut line = String::new();
            assert_ne!(std::io::BufRead::read_line(&mut answer, &mut line).expect("a line"), 0, "{text}");
            text += &line;
        }
        text
    };
    let text = stream("", "event: begin");
    let wanted = ["id:\nevent: rows\ndata: {\"rows\":2}\n", "data: {\"row\":{\"city\":\"Rome\",\"n\":6}}\n"];
    assert!(wanted.iter().all(|wanted| text.contains(wanted)), "{text}");
    let text = stream(&format!("Last-Event-ID: {next}\r\n"), "\"n\":6}}");
    assert!(
        text.contains(&format!("id: {next}\ndata:\nevent: begin\n")) && !text.contains("event: rows"),
        "{text}"
    );

    // A position of another topic of the name, or of a place that is not there, begins anew.
    let begun_anew = |from: &str| Talk::begin(&site, &format!("/views/cities?from={from}"), &[]).next();
    let begin = begin.as_str().expect("a position");
    let tag = begin.split_once('@').expect("a tag").1;
    assert_eq!(begun_anew(begin), json!({ "next": begin }));
    assert_eq!(begun_anew(&format!("0:99@{tag}")), json!({"rows": 2}));
    assert_eq!(begun_anew("0:1@0000000000"), json!({"rows": 2}));
    for wrong in ["x", "0:1", "0:@a", "0:0,1:0@a", "earliest@a"] {
        assert_eq!(site.refused("GET", &format!("/views/cities?from={wrong}"), &[], "").0, 400, "{wrong}");
    }
    assert_eq!(site.refused("GET", "/views/none", &[], "").0, 404);
    assert_eq!(site.refused("POST", "/views/cities", &[JSON], "{}").0, 405);
    // One that is made anew, or cannot be read.
    let lsn = views::declare(&site.log, &site.world.os(), &[cities()], true).expect("it is made anew");
    view.await_lsn(lsn);
    assert_eq!(talk_end(talk), 1001);
    assert_eq!(begun_anew(begin), json!({"rows": 0}));
    site.views.commit(site.log.durable(), |fold| fold.break_off("cities", "too large".into()));
    let (status, words) = site.refused("GET", "/views/cities", &[], "");
    assert!(status == 409 && words.contains("too large"), "{status} {words}");
    drop(view);
    site.end();
}

fn talk_end(talk: Talk) -> u16 {
    talk.closed().0
}

#[test]
fn a_view_that_is_too_large_for_one_answer_comes_as_a_stream() {
    let site = Site::new();
    let view = Cities::declare(&site);
    let names: Vec<String> = (0..10_001).map(|number| format!("{number:05}")).collect();
    for names in names.chunks(1_000) {
        let rows: Vec<(&str, Option<i64>)> = names.iter().map(|name| (name.as_str(), Some(1))).collect();
        view.put(&rows);
    }
    let (status, words) = site.refused("GET", "/views/cities", &[], "");
    assert!(status == 413 && words.contains("10001 rows"), "{status} {words}");
    let mut talk = Talk::begin(&site, "/views/cities", &[]);
    assert_eq!(talk.next(), json!({"rows": 10_001}));
    for name in &names {
        assert_eq!(talk.next(), row(name, 1));
    }
    assert!(talk.next()["next"].is_string());
    drop(view);
    site.end();
}

#[test]
fn a_view_is_followed_with_the_right_to_read_it() {
    let site = with_users();
    let _view = Cities::declare(&site);
    let alice = Login::basic("alice", "secret");
    let status = |path: &str, user: &str| {
        site.ask("GET", path, &[("Authorization", &Login::basic(user, "secret"))], "").0
    };
    assert_eq!((status("/views/cities", "admin"), status("/views/cities", "alice")), (200, 403));
    assert_eq!(ask(&site, "/views/cities", &[("Authorization", &alice)]).0, 403);
    let mut rule = read_rule();
    rule.pattern.name = "cities".into();
    site.broker.change_rules(vec![RulesChange::AclsAdded(vec![rule])]).expect("it is taken");
    assert_eq!(status("/views/cities", "alice"), 200);
    assert_eq!(status("/topics/__view.cities", "alice"), 403, "the topic has a right of its own");
}
