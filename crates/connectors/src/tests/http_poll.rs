//! A URL that is asked again and again: cursors, ids, validators, and what a scripted server says instead of records.

use super::*;
use crate::service::testing::{Answer, Asked, Served};
use base::ErrorKind;
use dataflow::connector::Role;
use dataflow::feed::{Feed, FeedRequest, Haul};

fn events(url: &str, options: &[(&str, &str)]) -> Arc<TableDefinition> {
    let own = [("connector", "http"), ("url", url), ("format", "json"), ("timeout", "5 s")];
    let mut all: BTreeMap<&str, &str> = own.into();
    all.extend(options.iter().copied());
    let all: Vec<(&str, &str)> = all.into_iter().collect();
    table(schema(&[("id", DataType::Int64)]), &all)
}

/// A server, and a feed that asks it without an interval.
fn feed(
    options: &[(&str, &str)],
    answer: impl FnMut(&Asked) -> Answer + Send + 'static,
) -> (Served, Box<dyn Feed>) {
    let served = Served::start_with(answer);
    let options = [&[("http.source.poll.interval", "0 s")], options].concat();
    let feed = another(&served, &options);
    (served, feed)
}

fn another(served: &Served, options: &[(&str, &str)]) -> Box<dyn Feed> {
    let table = events(&format!("{}/events?kind=all", served.url), options);
    let request = FeedRequest { table, identity: "job".into() };
    Node::start().connector("http").feed(request).unwrap()
}

fn values(haul: &Haul) -> Vec<String> {
    haul.records.iter().map(|record| String::from_utf8(record.value.clone().unwrap()).unwrap()).collect()
}

fn ok(body: &str) -> Answer {
    Some((200, Vec::new(), body.as_bytes().to_vec()))
}

/// The requests' first lines.
fn asked(served: &Served) -> Vec<String> {
    let first = |asked: String| asked.split(" HTTP/").next().unwrap().to_string();
    served.asked().into_iter().map(first).collect()
}

const BY_ANSWER: [(&str, &str); 3] = [
    ("http.source.response.list.pointer", "/rows"),
    ("http.source.cursor.parameter", "after"),
    ("http.source.response.cursor.pointer", "/next"),
];

#[test]
fn a_cursor_goes_with_the_next_request_also_after_a_crash() {
    let mut pages = [
        r#"{"rows": [{"id": 1}, {"id": 2.0}], "next": "a b"}"#,
        r#"{"rows": [{"id": 3}], "next": 7}"#,
        r#"{"rows": [], "next": null}"#,
        r#"{"rows": [{"id": 4}], "next": 8}"#,
    ]
    .into_iter();
    let (served, mut feed) = feed(&BY_ANSWER, move |_| ok(pages.next().unwrap()));
    feed.open(None).unwrap();
    let first = feed.poll(0).unwrap();
    assert_eq!(values(&first), [r#"{"id": 1}"#, r#"{"id": 2.0}"#]);
    let second = feed.poll(0).unwrap();
    // The node dies before the second lies in the log.
    let interval = [&[("http.source.poll.interval", "0 s")], BY_ANSWER.as_slice()].concat();
    let mut again = another(&served, &interval);
    again.open(second.position.as_deref()).unwrap();
    let empty = again.poll(0).unwrap();
    assert!(empty.is_empty(), "{empty:?}");
    assert_eq!(values(&again.poll(0).unwrap()), [r#"{"id": 4}"#]);
    let path = "GET /events?kind=all";
    let wanted = ["", "&after=a%20b", "&after=7", "&after=7"].map(|cursor| format!("{path}{cursor}"));
    assert_eq!(asked(&served), wanted);
}

#[test]
fn the_last_record_may_say_the_cursor() {
    let options = [
        ("http.source.cursor.parameter", "after"),
        ("http.source.response.record.cursor.pointer", "/id"),
        ("http.source.cursor.initial", "0"),
    ];
    let mut pages = [r#"[{"id": 1}, {"id": 12345678901234567890}]"#, "[]"].into_iter();
    let (served, mut feed) = feed(&options, move |_| ok(pages.next().unwrap()));
    feed.open(None).unwrap();
    assert_eq!(feed.poll(0).unwrap().records.len(), 2);
    assert!(feed.poll(0).unwrap().is_empty());
    let path = "GET /events?kind=all&after=";
    assert_eq!(asked(&served), [format!("{path}0"), format!("{path}12345678901234567890")]);
}

#[test]
fn a_server_says_that_nothing_is_new() {
    let mut count = 0;
    let (served, mut feed) = feed(&[("http.source.response.record.id.pointer", "/id")], move |_| {
        count += 1;
        let headers = vec![("ETag", "\"v1\"".to_string()), ("Last-Modified", "yesterday".to_string())];
        Some(if count == 1 {
            (200, headers, br#"[{"id": "x"}]"#.to_vec())
        } else {
            (304, Vec::new(), Vec::new())
        })
    });
    feed.open(None).unwrap();
    let haul = feed.poll(0).unwrap();
    assert_eq!(haul.records[0].id.as_deref(), Some(br#""x""#.as_slice()));
    assert!(feed.poll(0).unwrap().is_empty());
    let second = served.asked().remove(1);
    assert!(
        second.contains("If-None-Match: \"v1\"") && second.contains("If-Modified-Since: yesterday"),
        "{second}"
    );
    // What the log knows of it is enough.
    let mut again = another(&served, &[]);
    again.open(haul.position.as_deref()).unwrap();
    assert!(again.poll(0).unwrap().is_empty());
    assert!(served.asked().remove(2).contains("If-None-Match"));
}

#[test]
fn an_id_that_says_nothing_makes_no_record_a_double() {
    let (_served, mut feed) = feed(&[("http.source.response.record.id.pointer", "/id")], |_| {
        ok(r#"[{"id": null}, {"id": null}, {"id": ""}, {}, {"id": 0}, {"id": "null"}]"#)
    });
    feed.open(None).unwrap();
    let haul = feed.poll(0).unwrap();
    let ids: Vec<Option<&[u8]>> = haul.records.iter().map(|record| record.id.as_deref()).collect();
    assert_eq!(ids, [None, None, None, None, Some(&b"0"[..]), Some(&b"\"null\""[..])]);
}

#[test]
fn between_two_requests_an_interval_passes() {
    let (served, mut feed) = feed(&[("http.source.poll.interval", "1 h")], |_| ok(r#"{"id": 1}"#));
    feed.open(None).unwrap();
    assert_eq!(values(&feed.poll(0).unwrap()), [r#"{"id": 1}"#]);
    assert!(feed.poll(0).unwrap().is_empty() && feed.poll(1).unwrap().is_empty());
    assert_eq!(asked(&served).len(), 1);
}

#[test]
fn what_is_no_record_says_so_and_passes_where_it_may() {
    let answers = [
        (503, "busy", ErrorKind::Unavailable, "answers 503: busy"),
        (429, "slowly", ErrorKind::Retry, "answers 429: slowly"),
        (401, "who", ErrorKind::Invalid, "answers 401: who"),
        (404, "", ErrorKind::NotFound, "answers 404"),
        (200, "{\"rows\": [1", ErrorKind::Invalid, "no JSON"),
        (200, "{\"rows\": [], \"next\": {}}", ErrorKind::Invalid, "no string and no number"),
    ];
    let mut next = answers.into_iter();
    let (_served, mut feed) = feed(&BY_ANSWER, move |_| {
        next.next().map_or_else(
            || ok(r#"{"rows": [1], "next": 1}"#),
            |(status, body, ..)| Some((status, Vec::new(), body.into())),
        )
    });
    for (_, _, kind, words) in answers {
        feed.open(None).unwrap();
        let error = feed.poll(0).unwrap_err();
        assert!(error.kind == kind && error.message.contains(words), "{words}: {error}");
    }
    feed.open(None).unwrap();
    assert_eq!(values(&feed.poll(0).unwrap()), ["1"]);
}

#[test]
fn another_format_has_one_record_in_an_answer() {
    let (_served, mut feed) = feed(&[("format", "raw")], |_| ok("[not, json"));
    feed.open(None).unwrap();
    assert_eq!(values(&feed.poll(0).unwrap()), ["[not, json"]);
}

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    let node = Node::start();
    let (parameter, of_record) =
        (("http.source.cursor.parameter", "after"), ("http.source.response.record.cursor.pointer", "/id"));
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], ""),
        (&[parameter, of_record], ""),
        (&[parameter], "needs one of"),
        (&[of_record], "needs one of"),
        (&[parameter, of_record, BY_ANSWER[2]], "needs one of"),
        (&[("http.source.cursor.initial", "0")], "needs one of"),
        (&[("http.source.response.list.pointer", "rows")], "'rows' is no JSON pointer"),
        (&[BY_ANSWER[0], ("format", "raw")], "for answers of JSON"),
        (&[("url", "http://a/{id}")], "the key of a lookup"),
    ];
    for (options, words) in cases {
        let checked = node.connector("http").check(&events("http://a/b", options), Role::Source);
        let told: Vec<String> =
            checked.err().unwrap_or_default().into_iter().map(|error| error.message).collect();
        let told = told.join("; ");
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{options:?}: {told}");
    }
}
