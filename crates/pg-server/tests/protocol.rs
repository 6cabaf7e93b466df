//! The protocol over a real socket: log-in, both kinds of queries, cursors, copies, cancels, and what is refused.

mod site;

use site::{Client, Site, message, startup};
use std::io::{Read, Write};
use std::time::Duration;

const UTF8: u16 = 0;
const BINARY: u16 = 1;

#[test]
fn a_simple_query_has_columns_rows_and_a_tag() {
    let site = Site::new();
    let mut client = site.client();
    assert_eq!(client.told["server_version"], "17.5");
    let got = client.query("SELECT 1 AS a, 'x' AS b, NULL AS c, 1.50 AS d, true AS e");
    assert!(got.errors.is_empty(), "{got:?}");
    assert_eq!(got.texts(), [["1", "x", "NULL", "1.50", "t"]]);
    let types: Vec<u32> = got.columns.iter().map(|column| column.1).collect();
    assert_eq!(types, [20, 25, 25, 1700, 16]);
    let got = client.query("SELECT 1, 2, upper('a'), count(*), 'x'::text AS upper");
    let names: Vec<&str> = got.columns.iter().map(|column| column.0.as_str()).collect();
    assert_eq!(names, ["?column?", "?column?", "upper", "count", "upper"], "{got:?}");
    assert_eq!((got.tags.as_slice(), got.status), (&["SELECT 1".to_string()][..], 'I'));
    let got = client.query("SELECT 1; SELECT 2; SELEC 3; SELECT 4");
    assert_eq!((got.rows.len(), got.code(), got.errors[0].3.as_str()), (2, "42601", "21"), "{got:?}");
    assert_eq!(client.query("").kinds, "IZ");
    assert_eq!(client.query("  ; -- nothing\n").kinds, "IZ");
}

#[test]
fn errors_have_codes_positions_and_hints() {
    let site = Site::new();
    site.topic("orders", 1);
    let mut client = site.client();
    for (statement, code, hint, position) in [
        ("SELECT * FROM", "42601", "", ""),
        ("SELECT * FROM ordres", "42P01", "did you mean \"orders\"?", "15"),
        ("SELECT valeu FROM orders", "42703", "", "8"),
        ("SELECT nofunction(1)", "42883", "", ""),
        ("INSERT INTO orders VALUES (1)", "25006", "write with a Kafka client", "1"),
        ("CREATE TABLE t (a int)", "25006", "CREATE MATERIALIZED TABLE", "1"),
        ("COPY orders FROM STDIN", "25006", "produce", "13"),
        ("COPY orders TO '/tmp/x'", "42501", "\\copy", "16"),
        ("SELECT 'abc", "42601", "", "8"),
        ("SET nonsense = 1", "42704", "", ""),
        ("SET statement_timeot = 1", "42704", "statement_timeout", ""),
        ("SET TimeZone = 'Mars/Base'", "22023", "Europe/Berlin", ""),
        ("SET client_encoding = 'LATIN1'", "22023", "UTF8", ""),
        ("SELECT CAST('x' AS int)", "22P02", "", ""),
        ("SELECT 1 / 0", "22012", "", ""),
        ("FETCH 1 FROM nothing", "34000", "", ""),
        ("FETCH BACKWARD 1 FROM c", "0A000", "FETCH", "7"),
        ("WAIT FOR LSN 'nonsense'", "22P02", "", ""),
    ] {
        let got = client.query(statement);
        assert_eq!(got.code(), code, "{statement}: {got:?}");
        assert!(got.errors[0].2.contains(hint), "{statement}: {got:?}");
        if !position.is_empty() {
            assert_eq!(got.errors[0].3, position, "{statement}: {got:?}");
        }
    }
    let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert_eq!(client.query(&deep).code(), "54001");
    let chain = format!("SELECT 1 WHERE {}", vec!["1 = 1"; 20_000].join(" AND "));
    assert_eq!(client.query(&chain).code(), "54001");
    assert_eq!(client.one("SELECT 1"), "1");
}

#[test]
fn parameters_are_inferred_and_travel_in_both_formats() {
    let site = Site::new();
    site.sell(1, &[("Rome", 1, Some(5)), ("Oslo", 2, None)]);
    let mut client = site.client();
    client.parse("s", "SELECT total, city FROM sales WHERE city = $1 AND day = $2", &[]);
    client.describe("s");
    let got = client.sync();
    assert_eq!(got.parameters, [25, 20], "{got:?}");
    assert_eq!(got.columns, [("total".to_string(), 20), ("city".to_string(), 25)]);
    client.bind("s", &[Some(b"Rome"), Some(b"1")], UTF8, UTF8);
    client.execute(0);
    assert_eq!(client.sync().texts(), [["5", "Rome"]]);
    client.bind("s", &[Some(b"Rome"), Some(&1_i64.to_be_bytes())], BINARY, BINARY);
    client.execute(0);
    let got = client.sync();
    assert_eq!(got.texts(), [["0000000000000005", "Rome"]], "{got:?}");
    client.bind("s", &[Some(b"Rome"), Some(b"one")], UTF8, UTF8);
    client.execute(0);
    assert_eq!(client.sync().code(), "22P02");
    client.bind("s", &[Some(b"Rome"), None], UTF8, UTF8);
    client.execute(0);
    assert_eq!(client.sync().rows.len(), 0);
    client.bind("s", &[Some(b"Rome")], UTF8, UTF8);
    assert_eq!(client.sync().code(), "08P01");
    client.parse("", "SELECT day FROM sales ORDER BY day LIMIT $1", &[]);
    client.bind("", &[Some(b"1")], UTF8, UTF8);
    client.execute(0);
    assert_eq!(client.sync().texts(), [["1"]]);
}

#[test]
fn a_portal_gives_some_rows_at_a_time_and_an_error_skips_to_sync() {
    let site = Site::new();
    let mut client = site.client();
    client.query("BEGIN");
    client.parse("", "SELECT * FROM generate_series(1, 5)", &[]);
    client.bind("", &[], UTF8, UTF8);
    client.execute(2);
    client.execute(2);
    client.execute(2);
    let got = client.sync();
    assert_eq!(got.kinds, "12DDsDDsDCZ", "{got:?}");
    assert_eq!((got.rows.len(), got.status), (5, 'T'));
    client.query("COMMIT");
    client.parse("", "SELECT nothing", &[]);
    client.bind("", &[], UTF8, UTF8);
    client.execute(0);
    let got = client.sync();
    assert_eq!((got.kinds.as_str(), got.code()), ("EZ", "42703"));
}

#[test]
fn a_transaction_sees_one_snapshot() {
    let site = Site::new();
    site.topic("t", 2);
    site.produce("t", 0, &["a", "b"]);
    let (mut client, mut other) = (site.client(), site.client());
    let count = "SELECT count(*) FROM topics.t";
    assert_eq!(client.query("BEGIN").status, 'T');
    assert_eq!(client.one(count), "2");
    site.produce("t", 1, &["c"]);
    site.sell(1, &[("Rome", 1, Some(5))]);
    assert_eq!((client.one(count), other.one(count)), ("2".into(), "3".into()));
    assert_eq!(client.one("SELECT count(*) FROM sales"), "0");
    assert_eq!(client.query("SELECT x").status, 'E');
    assert_eq!(client.query("SELECT 1").code(), "25P02");
    let got = client.query("COMMIT");
    assert_eq!((got.tags[0].as_str(), got.status), ("ROLLBACK", 'I'));
    assert_eq!(client.one(count), "3");
    assert_eq!(client.query("COMMIT").notices.len(), 1);
    client.query("BEGIN; SET LOCAL application_name = 'a'; SET bytea_output = 'escape'");
    assert_eq!(client.one("SHOW application_name"), "a");
    client.query("ROLLBACK");
    assert_eq!(
        (client.one("SHOW application_name"), client.one("SHOW bytea_output")),
        ("".into(), "hex".into())
    );
}

#[test]
fn cursors_go_forward_and_end_with_their_transaction() {
    let site = Site::new();
    let mut client = site.client();
    assert_eq!(client.query("DECLARE c CURSOR FOR SELECT 1").code(), "25P01");
    client.query("BEGIN");
    client.query("DECLARE c NO SCROLL CURSOR FOR SELECT * FROM generate_series(1, 5)");
    let got = client.query("FETCH FORWARD 2 FROM c");
    assert_eq!((got.texts(), got.tags[0].as_str()), (vec![vec!["1"], vec!["2"]], "FETCH 2"));
    assert_eq!(client.query("MOVE 1 IN c").tags, ["MOVE 1"]);
    assert_eq!(client.query("FETCH ALL c").texts(), [["4"], ["5"]]);
    assert_eq!(client.query("FETCH c").tags, ["FETCH 0"]);
    assert_eq!(client.query("DECLARE c CURSOR FOR SELECT 1").code(), "42P03");
    client.query("ROLLBACK");
    assert_eq!(client.query("FETCH c").code(), "34000");
    client.query("DECLARE h CURSOR WITH HOLD FOR SELECT 7");
    assert_eq!(client.one("FETCH h"), "7");
    assert_eq!(client.query("CLOSE ALL").tags, ["CLOSE CURSOR ALL"]);
}

#[test]
fn copy_writes_text_csv_and_binary() {
    let site = Site::new();
    let mut client = site.client();
    let query = "(SELECT 1::int AS a, E'x\\ty,\"z\"' AS b, NULL::text AS c)";
    let got = client.query(&format!("COPY {query} TO STDOUT"));
    assert_eq!(
        (got.copied.as_slice(), got.tags[0].as_str()),
        (&b"1\tx\\ty,\"z\"\t\\N\n"[..], "COPY 1"),
        "{got:?}"
    );
    let got = client.query(&format!("COPY {query} TO STDOUT WITH (FORMAT csv, HEADER)"));
    assert_eq!(String::from_utf8_lossy(&got.copied), "a,b,c\n1,\"x\ty,\"\"z\"\"\",\n");
    let got = client.query(&format!("COPY {query} TO STDOUT WITH (FORMAT csv, DELIMITER ';', NULL 'none')"));
    assert_eq!(String::from_utf8_lossy(&got.copied), "1;\"x\ty,\"\"z\"\"\";none\n");
    let got = client.query("COPY (SELECT 7::int) TO STDOUT (FORMAT binary)");
    let wanted =
        [&b"PGCOPY\n\xff\r\n\0"[..], &[0; 8], &[0, 1, 0, 0, 0, 4, 0, 0, 0, 7], &[0xff, 0xff]].concat();
    assert_eq!(got.copied, wanted);
}

#[test]
fn a_query_ends_when_it_is_cancelled_or_its_time_is_over() {
    let site = Site::new();
    let mut client = site.client();
    let endless = "SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 1000000000) b";
    client.query("SET statement_timeout = '100ms'");
    let got = client.query(endless);
    assert_eq!((got.code(), got.errors[0].2.contains("statement_timeout")), ("57014", true), "{got:?}");
    client.query("SET statement_timeout = 0");
    let (process, secret) = (client.process, client.secret);
    let cancel = |secret: u32| {
        let mut stream = Client::connect(site.server.local_addr());
        let packet: Vec<u8> =
            [16_u32, 80_877_102, process, secret].iter().flat_map(|part| part.to_be_bytes()).collect();
        stream.write_all(&packet).expect("it reads");
        // The server hangs up without a word.
        assert_eq!(stream.read(&mut [0; 1]).expect("it ends"), 0);
    };
    // A guess changes nothing.
    cancel(secret ^ 1);
    assert_eq!(client.one("SELECT 1"), "1");
    std::thread::scope(|threads| {
        let asked = threads.spawn(|| client.query(endless));
        // Until it has begun, a cancel is about nothing: it is sent again.
        while !asked.is_finished() {
            cancel(secret);
        }
        assert_eq!(asked.join().expect("an answer").code(), "57014");
    });
    assert_eq!(client.one("SELECT 2"), "2");
}

#[test]
fn users_log_in_by_scram_and_rules_bind_them() {
    use broker::security::{
        Acl, Operation, PatternType, Permission, ResourceType, RulesChange, acl::Pattern,
    };
    let site = Site::with(&[("security.protocol", "SASL_PLAINTEXT")]);
    site.topic("open", 1);
    site.topic("closed", 1);
    site.user("alice", "secret");
    let rule = Acl {
        pattern: Pattern { resource: ResourceType::Topic, kind: PatternType::Literal, name: "open".into() },
        principal: "User:alice".into(),
        host: "*".into(),
        operation: Operation::Read,
        permission: Permission::Allow,
    };
    site.broker
        .change_rules(vec![RulesChange::AclsAdded(vec![rule.clone()])])
        .unwrap_or_else(|_| panic!("a rule"));
    let address = site.server.local_addr();
    for (user, password) in [("alice", "wrong"), ("nobody", "secret")] {
        let refused = Client::log_in(address, user, Some(password)).err().expect("it is refused");
        assert_eq!(refused, format!("password authentication failed for user \"{user}\""));
    }
    let mut alice = Client::log_in(address, "alice", Some("secret")).expect("it lets in");
    assert_eq!(alice.one("SELECT count(*) FROM open"), "0");
    assert_eq!(alice.query("SELECT * FROM closed").code(), "42P01");
    assert_eq!(alice.query("SELECT * FROM sales").code(), "42P01");
    assert_eq!(alice.query("SUBSCRIBE TO sales").code(), "42P01");
    // What may not be read is not told of.
    let tables = alice.query("SELECT table_name FROM information_schema.tables");
    assert_eq!(tables.texts(), [["open"]]);
    // Rules that change hold for connections that are open.
    site.broker
        .change_rules(vec![RulesChange::AclsRemoved(vec![rule])])
        .unwrap_or_else(|_| panic!("no rule"));
    assert_eq!(alice.query("SELECT count(*) FROM open").code(), "42P01");
}

#[test]
fn what_breaks_the_protocol_is_refused_before_anything_is_allocated() {
    let site = Site::new();
    let address = site.server.local_addr();
    let answer = |bytes: &[u8]| {
        let mut stream = Client::connect(address);
        stream.write_all(bytes).expect("it reads");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    for first in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0], &[0xff; 16], &[0, 0, 0, 9, 0, 2, 0, 0, 0]]
    {
        assert!(answer(first).contains("08P01"), "{first:?}");
    }
    // TLS is refused in one letter, and the client may go on.
    let mut stream = Client::connect(address);
    for request in [80_877_104_u32, 80_877_103] {
        stream.write_all(&[8_u32.to_be_bytes(), request.to_be_bytes()].concat()).expect("it reads");
        let mut letter = [0];
        stream.read_exact(&mut letter).expect("an answer");
        assert_eq!(&letter, b"N");
    }
    stream.write_all(&startup(&[("user", "ada")])).expect("it reads");
    let mut letter = [0];
    stream.read_exact(&mut letter).expect("an answer");
    assert_eq!(&letter, b"R");
    for bad in [
        vec![b'Q', 0xff, 0xff, 0xff, 0xff],
        vec![b'Q', 0, 0, 0, 0],
        vec![b'Q', 0x7f, 0xff, 0xff, 0xff],
        message(b'Q', b"no zero"),
        message(b'B', &[0, 0, 0, 0, 0xff, 0xff]),
        message(b'?', b""),
    ] {
        let mut client = site.client();
        client.send(&bad);
        let (kind, body) = client.next();
        assert!(kind == b'E' && String::from_utf8_lossy(&body).contains("08P01"), "{bad:?}");
    }
    assert_eq!(site.client().one("SELECT 1"), "1");
}

#[test]
fn a_session_that_is_idle_for_too_long_ends() {
    let site = Site::new();
    let mut client = site.client();
    client.query("SET idle_session_timeout = '50ms'");
    client.stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
    let (kind, body) = client.next();
    assert!(kind == b'E' && String::from_utf8_lossy(&body).contains("57P05"));
}

/// An open transaction holds the rows of its moment.
#[test]
fn a_transaction_that_is_idle_for_too_long_ends() {
    let site = Site::new();
    let mut client = site.client();
    assert_eq!(client.one("SHOW idle_in_transaction_session_timeout"), "1h");
    client.query("SET idle_in_transaction_session_timeout = '50ms'");
    client.query("BEGIN");
    client.stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
    let (kind, body) = client.next();
    assert!(kind == b'E' && String::from_utf8_lossy(&body).contains("25P03"));
}

#[test]
fn addresses_that_others_reach_want_tls_and_log_in() {
    use pg_server::{Counters, PgServerError, ServerConfig};
    let site = Site::new();
    let config = ServerConfig::new(([0, 0, 0, 0], 0).into());
    let os = os::Os::real();
    let started = pg_server::start(config, site.broker.clone(), os, std::sync::Arc::new(Counters::default()));
    assert!(matches!(started, Err(PgServerError::NotLoopback { .. })));
}
