//! Questions from within the node: one statement, whose rows come as lines of JSON.

mod site;

use broker::security::{
    Acl, Operation, PatternType, Permission, Proof, ResourceType, RulesChange, Visitor, acl::Pattern,
};
use pg_server::{Question, Wanted};
use serde_json::{Value, json};
use site::Site;

const HOST: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn anybody(site: &Site) -> Visitor {
    site.broker.admit(&Proof::Nothing, HOST).unwrap_or_else(|_| panic!("all may come in"))
}

/// The columns, the rows, and the last line.
fn ask(site: &Site, visitor: Visitor, text: &str, at: usize, rows_max: usize) -> (Value, Vec<Value>, Value) {
    ask_for(site, Question { visitor, text: text.into(), at, explains: false, rows_max })
}

fn ask_for(site: &Site, question: Question) -> (Value, Vec<Value>, Value) {
    let mut lines = site.server.asker().ask(question);
    let (mut columns, mut rows) = (Value::Null, Vec::new());
    loop {
        let line = lines.blocking_recv().expect("an answer has a last line");
        let mut line: Value = serde_json::from_slice(&line).expect("a line of JSON");
        if let Value::Array(more) = line["rows"].take() {
            rows.extend(more);
        } else if line["columns"].is_array() {
            columns = line["columns"].take();
        } else if !line["ended"].is_null() || !line["error"].is_null() {
            return (columns, rows, line);
        }
    }
}

fn subscription(visitor: Visitor) -> Question {
    Question { visitor, text: "SUBSCRIBE TO sales".into(), at: 0, explains: false, rows_max: 1 }
}

fn asked(site: &Site, text: &str) -> (Vec<Value>, Value) {
    let (_, rows, last) = ask(site, anybody(site), text, 0, 1_000);
    (rows, last)
}

#[test]
fn rows_come_as_texts_with_their_columns() {
    let site = Site::new();
    site.sell(7, &[("Rome", 1, Some(12_345_678_901_234_567)), ("Oslo", 2, None)]);
    let (columns, rows, last) =
        ask(&site, anybody(&site), "SELECT city, total FROM sales ORDER BY city", 0, 10);
    let name =
        |name: &str, of: &str, is_number: bool| json!({"name": name, "type": of, "is_number": is_number});
    assert_eq!(columns, json!([name("city", "text", false), name("total", "bigint", true)]));
    assert_eq!(rows, [json!(["Oslo", null]), json!(["Rome", "12345678901234567"])]);
    assert_eq!((&last["ended"], &last["count"]), (&json!("all"), &json!(2)));
    // Of what is long the beginning is shown.
    let (rows, _) = asked(&site, "SELECT repeat('ä', 5000)");
    assert_eq!(rows[0][0]["characters"], 5000);
    assert_eq!(rows[0][0]["cut"].as_str().map(|text| text.chars().count()), Some(4096));
    // Of several statements that at the cursor is asked.
    let text = "SELECT 1;\nSELECT 2;";
    assert_eq!(ask(&site, anybody(&site), text, 12, 10).1, [json!(["2"])]);
    assert_eq!(asked(&site, text).0, [json!(["1"])]);
    let (columns, plan, _) = ask(&site, anybody(&site), "EXPLAIN SELECT * FROM sales", 0, 10);
    assert_eq!((&columns[0]["name"], &columns[1]["name"]), (&json!("plan_type"), &json!("plan")));
    assert!(plan[0][1].as_str().is_some_and(|plan| plan.contains("sales")), "{plan:?}");
    assert_eq!(site.views.look()[0].view.reads(), 1);
}

#[test]
fn an_answer_ends_at_its_limits() {
    let site = Site::new();
    let (rows, last) = asked(&site, "SELECT * FROM generate_series(1, 5000)");
    assert_eq!((rows.len(), &last["ended"]), (1_000, &json!("rows")));
    let (_, rows, last) = ask(&site, anybody(&site), "SELECT * FROM generate_series(1, 3)", 0, 3);
    assert_eq!((rows.len(), &last["ended"]), (3, &json!("all")));
    // Never more than the most, whatever is asked for.
    let (_, rows, last) =
        ask(&site, anybody(&site), "SELECT * FROM generate_series(1, 20000)", 0, usize::MAX);
    assert_eq!((rows.len(), &last["ended"]), (pg_server::ROWS_MAX, &json!("rows")));
    let large = "SELECT repeat('x', 4000) FROM generate_series(1, 9000)";
    let (_, rows, last) = ask(&site, anybody(&site), large, 0, 10_000);
    assert_eq!(last["ended"], "bytes");
    assert!((2_000..2_200).contains(&rows.len()), "{}", rows.len());
}

/// NULL takes a place in memory, and so does the beginning of each of many long values.
#[test]
fn rows_of_many_columns_are_bounded_whatever_is_in_them() {
    let site = Site::new();
    let row = |value: &str, count: usize| format!("SELECT {}", vec![value; count].join(", "));
    let nulls = format!("{} FROM generate_series(1, 10000)", row("NULL", 1_600));
    let (_, rows, last) = ask(&site, anybody(&site), &nulls, 0, 10_000);
    assert_eq!(last["ended"], "bytes", "{last}");
    assert!((500..1_400).contains(&rows.len()), "{}", rows.len());
    let (rows, last) = asked(&site, &row("1", 1_664));
    assert_eq!((rows[0].as_array().map(Vec::len), &last["ended"]), (Some(1_664), &json!("all")));
    let (_, last) = asked(&site, &row("1", 1_665));
    assert_eq!(last["error"]["code"], "54011", "{last}");
    // One row with a thousand long values: those behind the first mebibyte are only counted.
    let (rows, last) = asked(&site, &row("repeat('x', 4096)", 1_000));
    let cells = rows[0].as_array().expect("a row");
    let cut = cells.iter().filter(|cell| **cell == json!({"cut": "", "characters": 4_096})).count();
    assert_eq!((cells.len(), last["ended"].as_str()), (1_000, Some("all")));
    assert!((740..760).contains(&cut), "{cut}");
}

#[test]
fn the_statement_at_the_cursor_is_told_and_can_be_explained() {
    let site = Site::new();
    let text = "SELECT 'ä;';\n  SELECT city\nFROM sales ; SELECT 3";
    let question = |at: usize, explains: bool| {
        let (text, visitor) = (text.to_owned(), anybody(&site));
        Question { visitor, text, at, explains, rows_max: 1 }
    };
    let first = |question: Question| {
        let line = site.server.asker().ask(question).blocking_recv().expect("a line");
        serde_json::from_slice::<Value>(&line).expect("a line of JSON")
    };
    assert_eq!(first(question(20, false))["statement"], json!({"at": 15, "length": 22}));
    assert_eq!(first(question(0, true))["statement"], json!({"at": 0, "length": 11}));
    let (columns, plan, _) = ask_for(&site, question(20, true));
    assert_eq!((&columns[0]["name"], plan.len()), (&json!("plan_type"), 1));
    // Where it is wrong is told of the text as it was sent, with its statement.
    let wrong = Question { text: "SELECT 1; SELECT town FROM sales".into(), ..question(12, true) };
    let error = ask_for(&site, wrong).2;
    assert_eq!((&error["error"]["code"], &error["error"]["position"]), (&json!("42703"), &json!(17)));
    assert_eq!(error["statement"], json!({"at": 10, "length": 22}));
    assert_eq!(
        ask_for(&site, Question { text: "SUBSCRIBE TO sales".into(), ..question(0, true) }).2["error"]["code"],
        "42601"
    );
}

#[test]
fn what_is_wrong_is_told_where_it_is() {
    let site = Site::new();
    let error = |text: &str, at: usize| {
        let error = ask(&site, anybody(&site), text, at, 10).2["error"].take();
        (error["code"].as_str().unwrap_or_default().to_owned(), error["position"].as_u64(), error)
    };
    let (code, position, _) = error("SELECT 'ä';\nSELECT town FROM sales", 15);
    assert_eq!((code.as_str(), position), ("42703", Some(19)));
    let (code, position, whole) = error("SELECT * FROM saless", 0);
    assert_eq!((code.as_str(), position), ("42P01", Some(14)));
    assert!(whole["hint"].as_str().is_some_and(|hint| hint.contains("\"sales\"")), "{whole}");
    for (text, code, words) in [
        ("INSERT INTO sales VALUES (1)", "25006", "this port reads"),
        ("SET statement_timeout = 1", "0A000", "SELECT, VALUES, TABLE, EXPLAIN and SUBSCRIBE"),
        ("BEGIN", "0A000", "here are asked"),
        ("COPY sales TO STDOUT", "0A000", "here are asked"),
        ("SELECT $1", "42P02", "no parameter $1"),
        (" -- nothing\n", "42601", "no statement"),
        ("SELEC 1", "42601", "near \"selec\""),
        ("SELECT 'open", "42601", ""),
    ] {
        let (got, _, whole) = error(text, 0);
        assert_eq!(got, code, "{text}: {whole}");
        assert!(whole["message"].as_str().is_some_and(|message| message.contains(words)), "{whole}");
    }
    let (code, _, _) = error(&format!("SELECT '{}'", "x".repeat(300 << 10)), 0);
    assert_eq!(code, "54000");
}

#[test]
fn a_view_is_followed_until_nobody_takes_it() {
    let site = Site::new();
    site.sell(7, &[("Rome", 1, Some(5))]);
    let asker = site.server.asker();
    let follow = || asker.ask(subscription(anybody(&site)));
    let mut lines = follow();
    let mut next = || {
        let line = lines.blocking_recv().expect("it goes on");
        serde_json::from_slice::<Value>(&line).expect("a line of JSON")
    };
    let columns = next();
    assert_eq!((&columns["live"], &columns["columns"][1]["name"]), (&json!(true), &json!("mz_diff")));
    assert_eq!(next()["rows"], json!([["7", "1", "Rome", "1", "5"]]));
    site.sell(9, &[("Rome", 1, Some(6))]);
    assert_eq!(next()["rows"], json!([["9", "-1", "Rome", "1", "5"], ["9", "1", "Rome", "1", "6"]]));
    // The places are those of who takes what comes: many come and go, and those that stay have all of them.
    let is_taken = |lines: &mut tokio::sync::mpsc::Receiver<bytes::Bytes>| {
        let line = lines.blocking_recv().expect("an answer");
        let line: Value = serde_json::from_slice(&line).expect("a line of JSON");
        assert!(line["error"].is_null() || line["error"]["code"] == "53300", "{line}");
        line["error"].is_null()
    };
    // One that went may not be gone yet.
    let another =
        || std::iter::repeat_with(&follow).find_map(|mut lines| is_taken(&mut lines).then_some(lines));
    for _ in 0..200 {
        drop(another());
    }
    let held: Vec<_> = (0..63).map(|_| another()).collect();
    assert!(!is_taken(&mut follow()), "{} are followed", held.len() + 1);
}

/// What would run for days leaves its place, and the threads, when nobody waits for it.
#[test]
fn a_query_that_is_given_up_ends() {
    let site = Site::new();
    let endless = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    for _ in 0..2 {
        for _ in 0..8 {
            let visitor = anybody(&site);
            let question = Question { visitor, text: endless.into(), at: 0, explains: false, rows_max: 1 };
            drop(site.server.asker().ask(question).blocking_recv().expect("it begins"));
        }
        while asked(&site, "SELECT 1").1["error"]["code"] == "53300" {}
    }
    assert_eq!(
        asked(&site, "SELECT count(*) FROM generate_series(1, 100) a, generate_series(1, 7) b").0,
        [json!(["700"])]
    );
}

#[test]
fn a_view_with_many_rows_is_not_sent_whole() {
    let site = Site::new();
    let names: Vec<String> = (0..=pg_server::ROWS_MAX).map(|number| format!("{number:06}")).collect();
    let rows: Vec<(&str, i64, Option<i64>)> = names.iter().map(|name| (name.as_str(), 1, None)).collect();
    site.sell(7, &rows);
    let (_, last) = asked(&site, "SUBSCRIBE TO sales");
    let message = last["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("10001 rows") && last["error"]["code"] == "54000", "{last}");
}

#[test]
fn only_what_may_be_read_is_answered_and_named() {
    let site = Site::with(&[("security.protocol", "SASL_PLAINTEXT")]);
    for topic in ["open", "opening", "closed"] {
        site.topic(topic, 1);
    }
    site.user("alice", "secret");
    let rule = |name: &str| Acl {
        pattern: Pattern { resource: ResourceType::Topic, kind: PatternType::Literal, name: name.into() },
        principal: "User:alice".into(),
        host: "*".into(),
        operation: Operation::Read,
        permission: Permission::Allow,
    };
    let added = RulesChange::AclsAdded(vec![rule("open"), rule("sales")]);
    site.broker.change_rules(vec![added]).unwrap_or_else(|_| panic!("rules"));
    let alice = || site.broker.returning("alice", HOST);
    assert_eq!(ask(&site, alice(), "SELECT count(*) FROM open", 0, 1).1, [json!(["0"])]);
    for text in ["SELECT * FROM closed", "SELECT * FROM opening", "SELECT * FROM topics.closed"] {
        assert_eq!(ask(&site, alice(), text, 0, 1).2["error"]["code"], "42P01", "{text}");
    }
    let names = |wanted: &Wanted| {
        let found = site.server.asker().relations(&alice(), wanted, 10);
        let found = found["relations"].as_array().expect("a list").iter();
        found.map(|one| one["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&Wanted::Beginning("".into())), ["sales", "open"]);
    assert_eq!(names(&Wanted::Beginning("OP".into())), ["open"]);
    assert_eq!(names(&Wanted::Named(vec!["closed".into(), "sales".into(), "none".into()])), ["sales"]);
    let found = site.server.asker().relations(&alice(), &Wanted::Named(vec!["sales".into()]), 10);
    assert_eq!(found["relations"][0]["columns"][2], json!({"name": "total", "type": "bigint"}));
    let cut = site.server.asker().relations(&alice(), &Wanted::Beginning("".into()), 1);
    assert_eq!((cut["relations"].as_array().map(Vec::len), &cut["more"]), (Some(1), &json!(true)));
}

/// Whose right goes while a view is followed sees no further change of it.
#[test]
fn who_follows_a_view_loses_it_with_the_right() {
    let site = Site::with(&[("security.protocol", "SASL_PLAINTEXT")]);
    site.user("alice", "secret");
    let rule = |operation| Acl {
        pattern: Pattern { resource: ResourceType::Topic, kind: PatternType::Literal, name: "sales".into() },
        principal: "User:alice".into(),
        host: "*".into(),
        operation,
        permission: Permission::Allow,
    };
    let change = |change| site.broker.change_rules(vec![change]).unwrap_or_else(|_| panic!("rules"));
    change(RulesChange::AclsAdded(vec![rule(Operation::Read)]));
    site.sell(7, &[("Rome", 1, Some(5))]);
    let mut lines = site.server.asker().ask(subscription(site.broker.returning("alice", HOST)));
    let mut next = || {
        let line = lines.blocking_recv().expect("a line");
        serde_json::from_slice::<Value>(&line).expect("a line of JSON")
    };
    assert_eq!(next()["live"], true);
    assert_eq!(next()["rows"], json!([["7", "1", "Rome", "1", "5"]]));
    change(RulesChange::AclsRemoved(vec![rule(Operation::Read)]));
    site.sell(9, &[("Rome", 1, Some(6))]);
    assert_eq!(next()["error"]["code"], "42501");
}
