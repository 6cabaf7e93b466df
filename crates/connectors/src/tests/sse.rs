//! Streams of events: what lands of them, how they go on, and what is none.

use super::script::{self, Script};
use super::streams::{Streams, header, say};
use super::*;
use base::ErrorKind;
use dataflow::connector::Role;
use dataflow::feed::{Feed, FeedRequest, Haul};
use dataflow::table::MetadataColumn;
use std::net::TcpStream;

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n";

fn events(url: &str, options: &[(&str, &str)], metadata: &[&str]) -> Arc<TableDefinition> {
    let own = [("connector", "sse"), ("url", url), ("format", "raw"), ("timeout", "5 s")];
    let mut all: BTreeMap<&str, &str> = own.into();
    all.extend(options.iter().copied());
    let all: Vec<(&str, &str)> = all.into_iter().collect();
    let table = table(schema(&[("text", DataType::Utf8)]), &all);
    let column = |key: &&str| MetadataColumn {
        name: key.to_string(),
        key: key.to_string(),
        data_type: DataType::Utf8,
        is_virtual: true,
    };
    Arc::new(TableDefinition { metadata: metadata.iter().map(column).collect(), ..(*table).clone() })
}

fn feed(streams: &Streams, options: &[(&str, &str)], metadata: &[&str]) -> Box<dyn Feed> {
    let table = events(&format!("http://{}/events?of=shop", streams.address), options, metadata);
    Node::start().connector("sse").feed(FeedRequest { table, identity: "job".into() }).unwrap()
}

/// Polls until so many records have come.
fn until(feed: &mut dyn Feed, count: usize) -> Haul {
    let mut all = Haul::default();
    for _ in 0..1200 {
        let haul = feed.poll(50).unwrap();
        all.position = haul.position.or(all.position);
        all.records.extend(haul.records);
        if all.records.len() >= count {
            return all;
        }
    }
    panic!("{} records instead of {count}", all.records.len());
}

fn values(haul: &Haul) -> Vec<String> {
    haul.records.iter().map(|record| String::from_utf8(record.value.clone().unwrap()).unwrap()).collect()
}

/// A chunk, in two writes.
fn chunk(stream: &mut TcpStream, text: &str) {
    let (left, right) = text.split_at(text.len() / 2);
    say(stream, format!("{:x}\r\n{left}", text.len()));
    say(stream, format!("{right}\r\n"));
}

#[test]
fn a_stream_that_ends_is_followed_behind_its_last_whole_event() {
    let streams = Streams::start(|number, mut stream, _| {
        say(&mut stream, format!("{STREAM}Transfer-Encoding: chunked\r\n\r\n"));
        if number == 0 {
            chunk(&mut stream, "retry: 0\n\nid: 1\ndata: a\ndata: b\n\nid: 2\ndata: half");
            return None;
        }
        chunk(&mut stream, "id: 2\ndata: whole\n\n");
        Some(stream)
    });
    let mut first = feed(&streams, &[("http.source.header.X-Key", "k")], &[]);
    first.open(None).unwrap();
    let haul = until(&mut *first, 2);
    assert_eq!(values(&haul), ["a\nb", "whole"]);
    let heads = streams.heads();
    assert!(heads[0].starts_with("GET /events?of=shop HTTP/1.1\r\n"), "{}", heads[0]);
    assert_eq!(
        (header(&heads[0], "Accept"), header(&heads[0], "X-Key")),
        (Some("text/event-stream"), Some("k"))
    );
    assert_eq!((header(&heads[0], "Last-Event-ID"), header(&heads[1], "Last-Event-ID")), (None, Some("1")));
    // What the log holds is enough to go on.
    let mut again = feed(&streams, &[], &[]);
    again.open(haul.position.as_deref()).unwrap();
    assert_eq!(header(&streams.heads()[2], "Last-Event-ID"), Some("2"));
}

#[test]
fn of_an_event_its_type_and_its_id_are_known_and_others_are_left_out() {
    let streams = Streams::start(|_, mut stream, _| {
        say(&mut stream, format!("{STREAM}\r\n: hello\n\nid: 5\nevent: order\ndata: a\n\ndata: b\n\n"));
        say(&mut stream, "event: ping\nid: 6\ndata: c\n\nid\ndata: d\n\n");
        Some(stream)
    });
    let options = [("deduplicate", "true"), ("events", "order, message"), ("last-event-id", "4")];
    let mut feed = feed(&streams, &options, &["event", "id"]);
    feed.open(None).unwrap();
    assert_eq!(header(&streams.heads()[0], "Last-Event-ID"), Some("4"));
    let haul = until(&mut *feed, 3);
    assert_eq!(values(&haul), ["a", "b", "d"]);
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let of = |index: usize| haul.records[index].headers.clone();
    assert_eq!(of(0), [("m:event".to_string(), text("order")), ("m:id".to_string(), text("5"))]);
    assert_eq!(of(1), [("m:event".to_string(), text("message")), ("m:id".to_string(), text("5"))]);
    assert_eq!(of(2), [("m:event".to_string(), text("message"))]);
    // The second has an id of another event, which makes it no double.
    let ids: Vec<Option<Vec<u8>>> = haul.records.iter().map(|record| record.id.clone()).collect();
    assert_eq!(ids, [text("5"), None, None]);
}

#[test]
fn what_is_no_stream_says_so_and_passes_where_it_may() {
    let answers = [
        ("503 X\r\nContent-Length: 4\r\n\r\nbusy", ErrorKind::Unavailable, "answers 503: busy"),
        ("429 X\r\nContent-Length: 0\r\n\r\n", ErrorKind::Retry, "answers 429"),
        ("401 X\r\nContent-Length: 3\r\n\r\nwho", ErrorKind::Invalid, "answers 401: who"),
        ("404 X\r\nContent-Length: 0\r\n\r\n", ErrorKind::NotFound, "answers 404"),
        (
            "307 X\r\nLocation: /b?key=pencil\r\nContent-Length: 0\r\n\r\n",
            ErrorKind::NotFound,
            "answers 307 to /b",
        ),
        ("204 X\r\n\r\n", ErrorKind::NotFound, "wants nobody to come again"),
        (
            "200 X\r\nContent-Type: text/html\r\n\r\n<html>",
            ErrorKind::Invalid,
            "answers with text/html, not with",
        ),
        (
            "200 X\r\nContent-Type: text/event-stream\r\nContent-Length: 0\r\n\r\n",
            ErrorKind::Unavailable,
            "before anything came",
        ),
    ];
    let mut next = answers.into_iter();
    let streams = Streams::start(move |_, mut stream, _| {
        let (answer, ..) = next.next()?;
        say(&mut stream, format!("HTTP/1.1 {answer}"));
        Some(stream)
    });
    let mut feed = feed(&streams, &[], &[]);
    for (answer, kind, words) in answers {
        let error = feed.open(None).and_then(|()| feed.poll(1000)).unwrap_err();
        assert!(error.kind == kind && error.message.contains(words), "{answer}: {error}");
        assert!(!error.message.contains("pencil"), "{error}");
    }
}

#[test]
fn a_server_that_wants_to_be_left_alone_is() {
    let streams = Streams::start(|_, mut stream, _| {
        say(&mut stream, "HTTP/1.1 503 X\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n");
        Some(stream)
    });
    let mut feed = feed(&streams, &[], &[]);
    assert!(feed.open(None).is_err());
    feed.open(None).unwrap();
    assert!(feed.poll(1).unwrap().is_empty());
    assert_eq!(streams.heads().len(), 1);
}

#[test]
fn a_connection_over_which_nothing_comes_is_lost() {
    let head = format!("{STREAM}\r\n: hello\n\n").into_bytes();
    let (script, os) = Script::new(Some(vec![head]));
    let options = [("connector", "sse"), ("url", "http://server/"), ("idle-timeout", "45 s")];
    let mut feed = script::feed(os, &options);
    feed.open(None).unwrap();
    assert!(feed.poll(30_000).unwrap().is_empty());
    // The job is behind: that nothing is heard then says nothing.
    script.pass(600_000);
    feed.keep_alive().unwrap();
    assert!(feed.poll(30_000).unwrap().is_empty());
    let error = feed.poll(30_000).unwrap_err();
    assert!(
        error.kind == ErrorKind::Unavailable && error.message.contains("sent nothing for 45s"),
        "{error}"
    );
}

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    let node = Node::start();
    type Case<'a> = (Role, &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        (Role::Source, &[], ""),
        (Role::Source, &[("url", "https://a/b"), ("token", "t"), ("events", "a,b")], ""),
        (Role::Sink, &[], "can be read, not written"),
        (Role::Lookup, &[], "nor asked for single rows"),
        (Role::Source, &[("url", "ws://a")], "the scheme is https, or http"),
        (Role::Source, &[("events", "a,,b")], "has an empty name"),
        (Role::Source, &[("last-event-id", "a\nb")], "one line"),
        (Role::Source, &[("http.source.header.Last-Event-ID", "a")], "the connector sets it itself"),
        (Role::Source, &[("http.source.header.Idempotency-Key", "a")], ""),
        (Role::Source, &[("password", "a")], "needs 'username'"),
        (Role::Source, &[("idle-timeouts", "1 s")], "did you mean 'idle-timeout'?"),
    ];
    for (role, options, words) in cases {
        let checked = node.connector("sse").check(&events("http://a/b", options, &[]), *role);
        let told: Vec<String> =
            checked.err().unwrap_or_default().into_iter().map(|error| error.message).collect();
        let told = told.join("; ");
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{options:?}: {told}");
    }
}

#[test]
fn a_probe_says_whether_there_is_a_stream() {
    let streams = Streams::start(|number, mut stream, _| {
        let answer = if number == 0 { STREAM } else { "HTTP/1.1 401 X\r\nContent-Length: 0\r\n" };
        say(&mut stream, format!("{answer}\r\n"));
        Some(stream)
    });
    let table = events(&format!("http://{}/", streams.address), &[], &[]);
    let probe = || Node::start().connector("sse").probe(&table, Role::Source, 5_000);
    assert_eq!(probe()[1].found, Ok("text/event-stream".into()));
    let refused = probe().remove(1);
    assert!(refused.step == "logged in" && refused.found.is_err_and(|words| words.contains("401")));
}
