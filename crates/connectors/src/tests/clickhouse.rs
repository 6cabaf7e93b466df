//! ClickHouse without a server: what a table may say, and a sink against a scripted one.

use super::stores::{Stored, people as people_schema, people_table, told};
use super::*;
use crate::percent::percent_decoded;
use crate::service::testing::Served;
use arrow_array::{Int64Array, StringArray};
use base::ErrorKind;
use dataflow::connector::Role;

fn options<'a>(url: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all: BTreeMap<&str, &str> = [("url", url), ("table-name", "people")].into();
    all.extend(more.iter().copied());
    [("connector", "clickhouse")].into_iter().chain(all).collect()
}

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    let node = Node::start();
    type Case<'a> = (Role, &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        (Role::Sink, &[("properties.insert_quorum", "2")], ""),
        (Role::Source, &[], "can be written, not read"),
        (Role::Sink, &[("url", "clickhouse://a:9000")], "has to be http://HOST:PORT"),
        (Role::Sink, &[("url", "http://a:8123/shop")], "an option of its own"),
        (Role::Sink, &[("password", "secret")], "needs 'username'"),
        (Role::Sink, &[("properties.async_insert", "1")], "the connector needs it itself"),
        (Role::Sink, &[("tls.root-cas-file", "ca.pem")], "write 'https://…' in 'url'"),
        (Role::Sink, &[("sink.batch-sizes", "1")], "did you mean 'sink.batch-size'?"),
    ];
    for (role, more, words) in cases {
        let told = told(&node, &people_table(&options("http://localhost:8123", more), false), *role);
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{more:?}: {told}");
        assert!(!told.contains("secret"), "{told}");
    }
}

/// What an INSERT says in its target, and its rows.
#[derive(Debug)]
struct Insert {
    parameters: BTreeMap<String, String>,
    rows: String,
}

impl Insert {
    fn of(request: &str) -> Option<Insert> {
        let (head, rows) = request.split_once("\r\n\r\n")?;
        let target = head.split(' ').nth(1)?.strip_prefix("/?")?;
        let pairs = target.split('&').filter_map(|pair| pair.split_once('='));
        let parameters: BTreeMap<String, String> =
            pairs.map(|(name, value)| (name.into(), percent_decoded(value).unwrap())).collect();
        parameters.contains_key("query").then(|| Insert { parameters, rows: rows.into() })
    }

    fn token(&self) -> &str {
        &self.parameters["insert_deduplication_token"]
    }
}

fn inserts(served: &Served) -> Vec<Insert> {
    served.asked().iter().filter_map(|request| Insert::of(request)).collect()
}

/// A server whose table has these columns, and which says of each INSERT what `say` makes of its number and its rows.
fn serve(
    columns: &'static str,
    mut say: impl FnMut(usize, &str) -> (u16, String) + Send + 'static,
) -> Served {
    let mut count = 0;
    Served::start(move |request| {
        if let Some(insert) = Insert::of(request) {
            count += 1;
            return say(count - 1, &insert.rows);
        }
        let sql = request.split_once("\r\n\r\n").unwrap().1;
        let answer = match sql {
            "SELECT version()" => "26.9.2.1\n",
            _ if sql.contains("system.columns") => columns,
            _ if sql.contains("system.settings") => {
                "date_time_input_format\ninsert_deduplication_token\nasync_insert\nsend_progress_in_http_headers\n"
            }
            _ => {
                "MergeTree\tCREATE TABLE t (`id` Int64) SETTINGS non_replicated_deduplication_window = 100\n"
            }
        };
        (200, answer.into())
    })
}

const PEOPLE: &str = "id\tInt64\nname\tLowCardinality(Nullable(String))\n";

fn taken() -> (u16, String) {
    (200, String::new())
}

fn exception(code: u32, words: &str) -> (u16, String) {
    (500, format!("Code: {code}. DB::Exception: {words}"))
}

#[test]
fn an_insert_names_its_range_and_comes_again_as_it_was() {
    let node = Node::start();
    // The second INSERT is not confirmed.
    let served = serve(PEOPLE, |count, _| if count == 1 { exception(210, "network") } else { taken() });
    let login = [("username", "shop"), ("password", "pencil"), ("sink.max-retries", "0")];
    let options = options(&served.url, &login);
    let mut people = Stored::new(&node, &options, false);
    assert_eq!(people.open().unwrap(), 0);
    people.add(&[1, 2]);
    assert_eq!(people.commit().unwrap(), 2);
    people.add(&[3]);
    assert_eq!(people.commit().unwrap_err().kind, ErrorKind::Retry);
    // More waits when the job comes back; the group that may be there comes alone.
    let mut again = Stored::new(&node, &options, false);
    assert_eq!(again.open().unwrap(), 2);
    again.add(&[3, 4, 5]);
    assert_eq!(again.commit().unwrap(), 5);
    let inserts = inserts(&served);
    assert_eq!(inserts.len(), 4);
    assert_eq!(inserts[0].rows, "{\"id\":1,\"name\":\"x\"}\n{\"id\":2,\"name\":\"x\"}\n");
    assert_eq!(
        inserts[0].parameters["query"],
        "INSERT INTO `default`.`people` (`id`, `name`) FORMAT JSONEachRow"
    );
    assert_eq!(inserts[0].parameters["async_insert"], "0");
    // Else the status would come before what becomes of the rows.
    assert_eq!(inserts[0].parameters["send_progress_in_http_headers"], "0");
    assert_eq!(inserts[0].parameters["wait_end_of_query"], "1");
    assert!(inserts[0].token().ends_with("-0-1"), "{}", inserts[0].token());
    assert_eq!((&inserts[1].rows, inserts[1].token()), (&inserts[2].rows, inserts[2].token()));
    assert!(inserts[3].token().ends_with("-3-4"), "{}", inserts[3].token());
    assert!(served.asked()[0].contains("authorization: Basic c2hvcDpwZW5jaWw="));
}

#[test]
fn a_range_that_has_not_come_whole_is_waited_for() {
    let node = Node::start();
    let served = serve(PEOPLE, |count, _| if count == 0 { exception(210, "network") } else { taken() });
    let options = options(&served.url, &[("sink.max-retries", "0")]);
    let mut people = Stored::new(&node, &options, false);
    people.open().unwrap();
    people.add(&[1, 2, 3]);
    people.commit().unwrap_err();
    let mut again = Stored::new(&node, &options, false);
    again.open().unwrap();
    again.add(&[1, 2]);
    assert_eq!(again.commit().unwrap(), 0);
    assert_eq!(inserts(&served).len(), 1);
    again.add(&[3]);
    assert_eq!(again.commit().unwrap(), 3);
    let inserts = inserts(&served);
    assert_eq!(inserts[0].token(), inserts[1].token());
}

#[test]
fn a_row_that_is_refused_is_found_by_halves() {
    let node = Node::start();
    let served = serve(PEOPLE, |_, rows| match rows.contains("\"id\":3,") {
        true => exception(27, "Cannot parse input (at row 3)"),
        false => taken(),
    });
    let mut people = Stored::new(&node, &options(&served.url, &[("dead-letter.topic", "letters")]), false);
    people.open().unwrap();
    people.add(&[1, 2, 3, 4]);
    assert_eq!(people.commit().unwrap(), 0, "what is refused lies in no topic yet");
    let rejected = people.sink.take_rejected();
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].value.as_deref(), Some(&b"{\"id\":3,\"name\":\"x\"}"[..]));
    assert!(rejected[0].reason.contains("Cannot parse input"), "{}", rejected[0].reason);
    assert_eq!(people.commit().unwrap(), 4);
    let ranges: Vec<String> =
        inserts(&served).iter().map(|insert| insert.token().split_once('-').unwrap().1.to_string()).collect();
    assert_eq!(ranges, ["0-3", "0-1", "2-3", "2-2", "3-3"]);
    // Without the topic it fails the job.
    let served = serve(PEOPLE, |_, _| exception(349, "Cannot insert NULL value"));
    let mut people = Stored::new(&node, &options(&served.url, &[]), false);
    people.open().unwrap();
    people.add(&[1]);
    let error = people.commit().unwrap_err();
    assert!(error.kind == ErrorKind::Invalid && error.message.contains("'dead-letter.topic'"), "{error}");
}

#[test]
fn a_null_without_a_place_is_refused_and_becomes_no_zero() {
    let (node, served) = (Node::start(), serve(PEOPLE, |_, _| taken()));
    let mut people = Stored::new(&node, &options(&served.url, &[("dead-letter.topic", "letters")]), false);
    people.open().unwrap();
    let ids = Int64Array::from(vec![Some(1), None, Some(3)]);
    let names = StringArray::from(vec![None, Some("two"), Some("three")]);
    let rows = RecordBatch::try_new(people_schema(), vec![Arc::new(ids), Arc::new(names)]).unwrap();
    people.apply_batch(&batch(rows));
    people.commit().unwrap();
    let rejected = people.sink.take_rejected();
    assert!(
        rejected.len() == 1 && rejected[0].reason.contains("the column 'id' takes no NULL"),
        "{rejected:?}"
    );
    assert_eq!(people.commit().unwrap(), 3);
    let rows: Vec<String> = inserts(&served).into_iter().map(|insert| insert.rows).collect();
    assert_eq!(rows, ["{\"id\":1,\"name\":null}\n{\"id\":3,\"name\":\"three\"}\n"]);
}

#[test]
fn what_the_server_does_not_take_for_now_is_sent_again_with_the_same_token() {
    let node = Node::start();
    let served =
        serve(PEOPLE, |count, _| if count == 0 { exception(252, "Too many parts") } else { taken() });
    let mut people = Stored::new(&node, &options(&served.url, &[]), false);
    people.open().unwrap();
    people.add(&[1]);
    assert_eq!(people.commit().unwrap(), 1);
    let inserts = inserts(&served);
    assert!(inserts.len() == 2 && inserts[0].token() == inserts[1].token());
}

#[test]
fn an_exception_in_the_body_of_an_answer_that_seemed_well_is_one() {
    let node = Node::start();
    let late = |code: u32, words: &str| (200, format!("1\n\nCode: {code}. DB::Exception: {words}"));
    let served = serve(PEOPLE, move |count, rows| match rows.contains("\"id\":2,") {
        true => late(27, "Cannot parse input"),
        false if count == 0 => late(159, "Timeout exceeded"),
        false => (200, "Code: 7 is what a row may say".into()),
    });
    let mut people = Stored::new(&node, &options(&served.url, &[("dead-letter.topic", "letters")]), false);
    people.open().unwrap();
    people.add(&[1]);
    assert_eq!(people.commit().unwrap(), 1);
    assert_eq!(inserts(&served).len(), 2, "what was not taken for now was sent again");
    people.add(&[2]);
    people.commit().unwrap();
    let rejected = people.sink.take_rejected();
    assert_eq!(rejected[0].reason, "ClickHouse says: Code: 27. DB::Exception: Cannot parse input");
    // And so it is where something is asked.
    let served = Served::start(|_| (200, "26.9\nCode: 241. DB::Exception: Memory limit exceeded".into()));
    let error = Stored::new(&node, &options(&served.url, &[]), false).open().unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("says: Code: 241"), "{error}");
}

#[test]
fn what_does_not_fit_is_said_with_its_column() {
    let node = Node::start();
    for (columns, kind, words) in [
        ("", ErrorKind::NotFound, "no table default.people"),
        ("id\tInt64\n", ErrorKind::Invalid, "no column 'name'; it has id"),
        ("id\tNullable(Date)\nname\tString\n", ErrorKind::Invalid, "'id' is BIGINT here and Nullable(Date)"),
    ] {
        let served = serve(columns, |_, _| taken());
        let error = Stored::new(&node, &options(&served.url, &[]), false).open().unwrap_err();
        assert!(error.kind == kind && error.message.contains(words), "{error}");
    }
    let elsewhere = Served::start(|_| (404, "nothing here".into()));
    let error = Stored::new(&node, &options(&elsewhere.url, &[]), false).open().unwrap_err();
    assert!(error.kind == ErrorKind::NotFound && error.message.contains("look at 'url'"), "{error}");
    let refused = Served::start(|_| (403, "Code: 516. DB::Exception: shop: Authentication failed".into()));
    let login = [("username", "shop"), ("password", "pencil")];
    let error = Stored::new(&node, &options(&refused.url, &login), false).open().unwrap_err();
    assert!(
        error.kind == ErrorKind::Invalid && error.message.contains("the log-in of the user 'shop'"),
        "{error}"
    );
    assert!(!error.message.contains("pencil"), "{error}");
}

#[test]
fn a_probe_says_whether_inserts_are_deduplicated() {
    let (node, served) = (Node::start(), serve(PEOPLE, |_, _| taken()));
    let table = people_table(&options(&served.url, &[]), false);
    let probed = node.connector("clickhouse").probe(&table, Role::Sink, 5_000);
    assert_eq!(probed[0].found, Ok("default.people of ClickHouse 26.9.2.1".into()));
    assert_eq!(probed[1].found, Ok("inserts are deduplicated: exactly once".into()));
}
