//! OpenSearch without a cluster: what a table may say, and a sink against a scripted server.

use super::stores::{Stored, people_table, told};
use super::*;
use crate::service::testing::Served;
use base::ErrorKind;
use dataflow::batch::RowKind::{Delete, Insert, UpdateAfter};
use dataflow::connector::Role;
use serde_json::{Value, json};

fn options<'a>(url: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all: BTreeMap<&str, &str> = [("hosts", url), ("index", "people")].into();
    all.extend(more.iter().copied());
    let connector = all.remove("connector").unwrap_or("opensearch");
    [("connector", connector)].into_iter().chain(all).collect()
}

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    let node = Node::start();
    type Case<'a> = (Role, &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        (Role::Sink, &[], ""),
        (Role::Sink, &[("connector", "elasticsearch-7"), ("format", "json")], ""),
        (Role::Sink, &[("hosts", "https://a:9200;http://b"), ("index", "i-{name}")], ""),
        (Role::Source, &[], "can be written, not read"),
        (Role::Sink, &[("format", "csv")], "documents are JSON"),
        (Role::Sink, &[("hosts", "http://u:secret@a")], "options of their own"),
        (Role::Sink, &[("password", "secret")], "needs 'username'"),
        (Role::Sink, &[("index", "a-{nam}")], "did you mean 'name'?"),
        (Role::Sink, &[("index", "a-{name|yyyy}")], "takes no pattern"),
        (Role::Sink, &[("index", "a-{name")], "without its '}'"),
        (Role::Sink, &[("index", "a-{now()|YYYY}")], "several indices"),
        (Role::Sink, &[("connection.path-prefix", "search")], "begin with '/'"),
        (Role::Sink, &[("tls.root-cas-file", "ca.pem")], "write 'https://…' in 'hosts'"),
        (Role::Sink, &[("sink.bulk-flush.max-action", "1")], "did you mean 'sink.bulk-flush.max-actions'?"),
    ];
    for (role, more, words) in cases {
        let told = told(&node, &people_table(&options("http://localhost:9200", more), true), *role);
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{more:?}: {told}");
        assert!(!told.contains("secret"), "{told}");
    }
}

/// The lines of each bulk request, and who asked.
fn bulks(served: &Served) -> Vec<(String, Vec<Value>)> {
    let bulk = |request: &String| {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let lines = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        head.starts_with("POST").then(|| (head.to_string(), lines))
    };
    served.asked().iter().filter_map(bulk).collect()
}

/// A cluster that says of the documents of each bulk request what `say` makes of its number and theirs: a status, and the type of
/// an error.
fn serve(mut say: impl FnMut(usize, usize) -> (u16, &'static str) + Send + 'static) -> Served {
    let mut count = 0;
    Served::start(move |request| {
        if request.starts_with("GET") {
            return (200, r#"{"version":{"distribution":"opensearch","number":"2.19.1"}}"#.into());
        }
        let lines = request.split_once("\r\n\r\n").unwrap().1.lines();
        let actions = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let names: Vec<String> = actions
            .filter_map(|action| {
                let (name, target) = action.as_object()?.iter().next()?;
                target.get("_index").map(|_| name.clone())
            })
            .collect();
        let items: Vec<Value> = names
            .iter()
            .enumerate()
            .map(|(index, name)| match say(count, index) {
                (status, "") => json!({ name: { "status": status } }),
                (status, kind) => json!({ name: { "status": status, "error": {
                    "type": kind, "reason": "failed to parse", "caused_by": { "type": "number_format", "reason": "x" },
                } } }),
            })
            .collect();
        count += 1;
        (200, json!({ "items": items }).to_string())
    })
}

#[test]
fn changes_go_by_key_with_versions_that_grow_over_restarts() {
    let (node, served) = (Node::start(), serve(|_, _| (200, "")));
    let options = options(&served.url, &[("username", "shop"), ("password", "pencil")]);
    let mut people = Stored::new(&node, &options, true);
    assert_eq!(people.open().unwrap(), 0);
    people.apply(&[(Insert, 1, "one"), (UpdateAfter, 1, "ONE"), (Delete, 2, "two")]);
    assert_eq!(people.commit().unwrap(), 3);
    // The node dies before it has noted that, and another sink of the same job goes on with the same versions.
    let mut again = Stored::new(&node, &options, true);
    assert_eq!(again.open().unwrap(), 3);
    again.apply(&[(Insert, 2, "two")]);
    assert_eq!(again.commit().unwrap(), 4);
    let bulks = bulks(&served);
    assert!(bulks[0].0.contains("authorization: Basic c2hvcDpwZW5jaWw="), "{}", bulks[0].0);
    let lines = &bulks[0].1;
    assert_eq!(lines.len(), 5);
    let version = |line: &Value, name: &str| line[name]["version"].as_u64().unwrap();
    let first = version(&lines[0], "index");
    assert_eq!(
        lines[0],
        json!({ "index": { "_index": "people", "_id": "1", "version": first, "version_type": "external" } })
    );
    assert_eq!((&lines[1], &lines[3]["name"]), (&json!({ "id": 1, "name": "one" }), &json!("ONE")));
    assert_eq!(
        (version(&lines[2], "index"), version(&lines[4], "delete"), &lines[4]["delete"]["_id"]),
        (first + 1, first + 2, &json!("2"))
    );
    assert_eq!(version(&bulks[1].1[0], "index"), first + 3);
}

#[test]
fn rows_without_a_key_have_ids_of_their_place_and_indices_of_their_columns() {
    let (node, served) =
        (Node::start(), serve(|_, index| if index == 0 { (409, "version_conflict") } else { (201, "") }));
    let options = options(
        &served.url,
        &[("index", "p-{name}-{now()|yyyy.MM.dd}"), ("connection.path-prefix", "/search/")],
    );
    let mut people = Stored::new(&node, &options, false);
    people.open().unwrap();
    people.add(&[1, 2]);
    // What is there already was written before.
    assert_eq!(people.commit().unwrap(), 2);
    let bulks = bulks(&served);
    assert!(bulks[0].0.starts_with("POST /search/_bulk?"), "{}", bulks[0].0);
    let lines = &bulks[0].1;
    assert_eq!(lines[0]["create"]["_index"], json!("p-x-1970.01.01"));
    let id = |line: usize| lines[line]["create"]["_id"].as_str().unwrap().to_string();
    assert!(id(0).ends_with("-0") && id(2).ends_with("-1") && id(0).len() > 20, "{} {}", id(0), id(2));
    assert_eq!(lines[0]["create"].get("version"), None);
}

#[test]
fn of_a_request_what_passes_is_sent_again_and_what_is_refused_becomes_a_dead_letter() {
    let (node, served) = (
        Node::start(),
        serve(|request, index| match (request, index) {
            (0, 1) => (429, "rejected_execution_exception"),
            (0, 2) => (400, "mapper_parsing_exception"),
            _ => (201, ""),
        }),
    );
    let letters = ("dead-letter.topic", "letters");
    let short = ("sink.bulk-flush.backoff.delay", "1 ms");
    let mut people = Stored::new(&node, &options(&served.url, &[letters, short]), true);
    people.open().unwrap();
    people.add(&[1, 2, 3]);
    assert_eq!(people.commit().unwrap(), 0, "what is refused lies in no topic yet");
    let rejected = people.sink.take_rejected();
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].value.as_deref(), Some(&br#"{"id":3,"name":"x"}"#[..]));
    let reason = &rejected[0].reason;
    assert!(reason.contains("mapper_parsing_exception: failed to parse; number_format: x"), "{reason}");
    assert_eq!(people.commit().unwrap(), 3);
    let sent: Vec<usize> = bulks(&served).iter().map(|(_, lines)| lines.len() / 2).collect();
    assert_eq!(sent, [3, 1]);
    // Without the topic it fails the job.
    let served = serve(|_, _| (400, "mapper_parsing_exception"));
    let mut people = Stored::new(&node, &options(&served.url, &[]), false);
    people.open().unwrap();
    people.add(&[1]);
    let error = people.commit().unwrap_err();
    assert!(error.kind == ErrorKind::Invalid && error.message.contains("'dead-letter.topic'"), "{error}");
}

#[test]
fn a_cluster_that_takes_nothing_for_long_is_left_to_the_job() {
    let (node, served) = (
        Node::start(),
        serve(|request, _| if request < 2 { (503, "unavailable_shards") } else { (201, "") }),
    );
    let few = [("sink.bulk-flush.backoff.max-retries", "1"), ("sink.bulk-flush.backoff.delay", "1 ms")];
    let mut people = Stored::new(&node, &options(&served.url, &few), true);
    people.open().unwrap();
    people.add(&[1]);
    let error = people.commit().unwrap_err();
    assert!(error.kind == ErrorKind::Retry && error.message.contains("unavailable_shards"), "{error}");
    assert_eq!(people.commit().unwrap_err().kind, ErrorKind::Unavailable, "it is opened first");
    assert_eq!(people.open().unwrap(), 0);
    people.add(&[1]);
    assert_eq!(people.commit().unwrap(), 1);
}

#[test]
fn behind_a_server_that_is_silent_the_next_one_is_asked() {
    // It takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let served = serve(|_, _| (201, ""));
    let hosts = format!("http://{};{}", silent.local_addr().unwrap(), served.url);
    let node = Node::start();
    let mut people = Stored::new(&node, &options(&hosts, &[("socket.timeout", "200 ms")]), true);
    let error = people.open().unwrap_err();
    assert!(
        error.kind == ErrorKind::Unavailable && error.message.contains("not answered in time"),
        "{error}"
    );
    assert_eq!(people.open().unwrap(), 0);
    people.add(&[1]);
    assert_eq!(people.commit().unwrap(), 1);
    assert_eq!(bulks(&served).len(), 1);
}

#[test]
fn a_request_that_is_refused_whole_is_sent_in_parts() {
    let node = Node::start();
    let served = Served::start(|request| {
        let bodies = request.split_once("\r\n\r\n").unwrap().1.lines().count();
        match bodies {
            _ if request.starts_with("GET") => (200, "{}".into()),
            2 if request.contains(r#""_id":"2""#) => (400, "id is too long".into()),
            2 => (200, json!({ "items": [{ "index": { "status": 201 } }] }).to_string()),
            _ => (413, "too much".into()),
        }
    });
    let mut people = Stored::new(&node, &options(&served.url, &[("dead-letter.topic", "letters")]), true);
    people.open().unwrap();
    people.add(&[1, 2, 3]);
    people.commit().unwrap();
    let rejected = people.sink.take_rejected();
    assert!(rejected.len() == 1 && rejected[0].reason.contains("400: id is too long"), "{rejected:?}");
    assert_eq!(people.commit().unwrap(), 3);
}

#[test]
fn what_is_wrong_for_good_ends_the_job_and_says_what_to_do() {
    let node = Node::start();
    let answer = |status: u16, body: &'static str| Served::start(move |_| (status, body.into()));
    let refused = answer(401, "wrong user or password");
    let login = [("username", "shop"), ("password", "pencil")];
    let error = Stored::new(&node, &options(&refused.url, &login), true).open().unwrap_err();
    assert!(
        error.kind == ErrorKind::Invalid && error.message.contains("the log-in of the user 'shop'"),
        "{error}"
    );
    assert!(!error.message.contains("pencil"), "{error}");
    // A proxy in front of the cluster wants another path.
    let elsewhere = answer(404, "nothing here");
    let error = Stored::new(&node, &options(&elsewhere.url, &[]), true).open().unwrap_err();
    assert!(error.message.contains("'connection.path-prefix'"), "{error}");
    let missing = serve(|_, _| (404, "index_not_found_exception"));
    let mut people = Stored::new(&node, &options(&missing.url, &[]), true);
    people.open().unwrap();
    people.add(&[1]);
    let error = people.commit().unwrap_err();
    assert!(error.kind == ErrorKind::NotFound && error.message.contains("create the index"), "{error}");
    // What does not say what became of the documents is tried again.
    let odd = Served::start(|_| (200, r#"{"items":[]}"#.into()));
    let mut people = Stored::new(&node, &options(&odd.url, &[]), true);
    people.open().unwrap();
    people.add(&[1]);
    assert_eq!(people.commit().unwrap_err().kind, ErrorKind::Unavailable);
}

#[test]
fn a_column_that_never_fits_its_field_is_said_before_the_first_row() {
    let node = Node::start();
    for (mapping, words) in [
        (r#"{"properties":{"id":{"type":"long"},"name":{"type":"text"}}}"#, ""),
        (
            r#"{"properties":{"id":{"properties":{"x":{"type":"long"}}}}}"#,
            "'id' is BIGINT, and the field in the index people-1 is of type object",
        ),
        (r#"{"dynamic":"strict","properties":{"id":{"type":"long"}}}"#, "'name' is none of them"),
        (r#"{"dynamic":"true","properties":{"id":{"type":"geo_point"}}}"#, ""),
    ] {
        let served = Served::start(move |request| match request.starts_with("GET /people/_mapping ") {
            true => (200, format!(r#"{{"people-1":{{"mappings":{mapping}}}}}"#)),
            false => (200, "{}".into()),
        });
        let told = Stored::new(&node, &options(&served.url, &[]), true).open().err();
        let told = told.map_or(String::new(), |error| error.message);
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{mapping}: {told}");
    }
}

#[test]
fn requests_are_bounded_and_wait_for_more() {
    let (node, served) = (Node::start(), serve(|_, _| (201, "")));
    let mut people = Stored::new(&node, &options(&served.url, &[("sink.bulk-flush.max-actions", "2")]), true);
    people.open().unwrap();
    people.add(&[1]);
    assert_eq!(people.sink.commit(false, 1_000).unwrap(), 0, "it waits for a second");
    people.add(&[2, 3, 4, 5]);
    assert_eq!(people.sink.commit(false, 1_000).unwrap(), 5);
    let sent: Vec<usize> = bulks(&served).iter().map(|(_, lines)| lines.len() / 2).collect();
    assert_eq!(sent, [2, 2, 1]);
    people.add(&[6]);
    assert_eq!(people.sink.commit(false, 1_500).unwrap(), 5);
    assert_eq!(people.sink.commit(false, 2_500).unwrap(), 6, "a second has passed");
}

#[test]
fn a_probe_says_what_is_there() {
    let node = Node::start();
    let served = Served::start(|request| match request.starts_with("GET / ") {
        true => (200, r#"{"version":{"distribution":"opensearch","number":"2.19.1"}}"#.into()),
        false => (404, "{}".into()),
    });
    let table = people_table(&options(&served.url, &[]), true);
    let probed = node.connector("opensearch").probe(&table, Role::Sink, 5_000);
    assert_eq!(probed[0].found, Ok("opensearch 2.19.1".into()));
    assert!(probed[1].found.as_ref().unwrap().contains("people is not there"), "{probed:?}");
}
