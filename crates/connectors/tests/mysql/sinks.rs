//! What a sink writes, who may write, and rows that the server refuses.

use crate::server::{Row, connector, run, schema, server, sink, write};
use arrow_schema::DataType;
use base::ErrorKind;
use dataflow::batch::RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
use dataflow::connector::Role;
use dataflow::source::Rejected;

fn values(rejected: &[Rejected]) -> Vec<String> {
    rejected.iter().map(|one| String::from_utf8(one.value.clone().unwrap_or_default()).unwrap()).collect()
}

#[test]
fn changes_are_applied_by_key_in_their_order() {
    let server = server();
    server.run("CREATE TABLE changed (id BIGINT PRIMARY KEY, name VARCHAR(20))");
    let mut sink = sink(&server.people("changed", &["id"], &[]), "changed");
    assert_eq!(sink.open(), Ok(0));
    let rows = [
        (Insert, 1, "one"),
        (Insert, 2, "two"),
        (UpdateBefore, 1, "one"),
        (UpdateAfter, 1, "it's \\1"),
        (Delete, 2, "two"),
        (Delete, 7, "never there"),
        (UpdateAfter, 3, "without an insert"),
        (Insert, 4, ""),
    ];
    assert_eq!(write(&mut *sink, &rows, 0), Ok(8));
    let read = || server.run("SELECT id, name FROM changed ORDER BY id");
    assert_eq!(read(), "1|it's \\1\n3|without an insert\n4|");
    // The same row once more is no error, and moves the offset.
    assert_eq!(write(&mut *sink, &[(UpdateAfter, 1, "it's \\1"), (Delete, 4, "")], 8), Ok(10));
    assert_eq!((read().as_str(), server.offset("changed")), ("1|it's \\1\n3|without an insert", 10));
    assert_eq!(crate::server::sink(&server.people("changed", &["id"], &[]), "changed").open(), Ok(10));
}

#[test]
fn zero_is_a_number_like_others() {
    let server = server();
    server.run("CREATE TABLE counted (id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20))");
    let mut sink = sink(&server.people("counted", &["id"], &[]), "counted");
    sink.open().unwrap();
    assert_eq!(write(&mut *sink, &[(Insert, 7, "seven"), (Insert, 0, "zero")], 0), Ok(2));
    assert_eq!(server.run("SELECT id, name FROM counted ORDER BY id"), "0|zero\n7|seven");
}

#[test]
fn keys_that_are_equal_for_the_server_are_changed_in_their_order() {
    let server = server();
    server.run("CREATE TABLE letters (name VARCHAR(20) PRIMARY KEY, id BIGINT) COLLATE utf8mb4_general_ci");
    let mut sink = sink(&server.people("letters", &["name"], &[]), "letters");
    sink.open().unwrap();
    assert_eq!(write(&mut *sink, &[(Insert, 1, "a"), (Insert, 2, "A"), (Delete, 2, "a")], 0), Ok(3));
    assert_eq!(server.run("SELECT COUNT(*) FROM letters"), "0");
    assert_eq!(write(&mut *sink, &[(Delete, 1, "a"), (Insert, 3, "A")], 3), Ok(5));
    assert_eq!(server.run("SELECT name, id FROM letters"), "A|3");
}

#[test]
fn a_large_transaction_goes_in_parts() {
    let server = server();
    server.run("CREATE TABLE bulky (id BIGINT, name LONGTEXT)");
    let mut sink = sink(&server.people("bulky", &[], &[("sink.buffer-flush.max-rows", "0")]), "bulky");
    sink.open().unwrap();
    let name = "x".repeat(300_000);
    let rows: Vec<Row<'_>> = (0..20).map(|id| (Insert, id, name.as_str())).collect();
    assert_eq!(write(&mut *sink, &rows, 0), Ok(20));
    assert_eq!(server.run("SELECT COUNT(*), SUM(LENGTH(name)) FROM bulky"), "20|6000000");
}

#[test]
fn refused_rows_are_found_in_a_transaction_and_the_others_are_written() {
    let server = server();
    server.run(
        "CREATE TABLE parents (id BIGINT PRIMARY KEY); INSERT INTO parents VALUES (1), (2); \
         CREATE TABLE children (id BIGINT PRIMARY KEY, name VARCHAR(5), FOREIGN KEY (id) REFERENCES parents (id)); \
         CREATE TRIGGER children BEFORE INSERT ON children FOR EACH ROW IF NEW.name = 'no' THEN \
         SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF",
    );
    let told = |letters: &[(&str, &str)]| sink(&server.people("children", &["id"], letters), "children");
    let rows = [
        (Insert, 1, "one"),
        (Insert, 9, "orph"),
        (UpdateAfter, 1, "much too long"),
        (Insert, 2, "no"),
        (Insert, 2, "two"),
    ];
    let mut strict = told(&[]);
    strict.open().unwrap();
    let error = write(&mut *strict, &rows, 0).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("a row cannot be written to 'children' in MySQL 127.0.0.1:"), "{error}");
    assert!(error.message.contains("the row is (id=9, name='orph')"), "{error}");
    let mut sink = told(&[("dead-letter.topic", "refused")]);
    sink.open().unwrap();
    // Nothing is written before those lie in the topic; then the change before a refused one counts.
    assert_eq!(write(&mut *sink, &rows, 0), Ok(0));
    assert_eq!((server.run("SELECT COUNT(*) FROM children").as_str(), server.offset("children")), ("0", 0));
    let rejected = sink.take_rejected();
    let expected =
        [r#"{"id":9,"name":"orph"}"#, r#"{"id":1,"name":"much too long"}"#, r#"{"id":2,"name":"no"}"#];
    assert_eq!(values(&rejected), expected);
    for (one, reason) in rejected.iter().zip(["foreign key", "Data too long", "not this one"]) {
        assert!(one.reason.contains(reason), "{}", one.reason);
    }
    assert_eq!(sink.commit(false, 0), Ok(5));
    assert_eq!(server.run("SELECT id, name FROM children ORDER BY id"), "1|one\n2|two");
}

#[test]
fn a_row_that_is_larger_than_a_packet_is_refused_and_not_sent() {
    let server = server();
    server.run("CREATE TABLE packets (id BIGINT, name LONGTEXT)");
    let table = server.people("packets", &[], &[("dead-letter.topic", "refused")]);
    let mut sink = sink(&table, "packets");
    sink.open().unwrap();
    // MariaDB takes 16 MB at once.
    let large = "x".repeat(17 << 20);
    let rows = [(Insert, 1, "a"), (Insert, 2, large.as_str()), (Insert, 3, "c")];
    assert_eq!(write(&mut *sink, &rows, 0), Ok(0));
    assert!(sink.take_rejected()[0].reason.contains("max_allowed_packet"));
    assert_eq!(sink.commit(false, 0), Ok(3));
    assert_eq!(server.run("SELECT id FROM packets ORDER BY id"), "1\n3");
}

#[test]
fn who_was_opened_earlier_writes_no_more() {
    let server = server();
    server.run("CREATE TABLE fenced (id BIGINT PRIMARY KEY, name TEXT)");
    let table = server.people("fenced", &["id"], &[]);
    let (mut earlier, mut later) = (sink(&table, "fenced"), sink(&table, "fenced"));
    earlier.open().unwrap();
    assert_eq!(write(&mut *earlier, &[(Insert, 1, "a")], 0), Ok(1));
    assert_eq!(later.open(), Ok(1));
    let error = write(&mut *earlier, &[(Insert, 2, "b")], 1).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fenced);
    assert!(error.message.contains("outbox_offset=1 expected=1 epoch=2 expected=1"), "{error}");
    assert_eq!(write(&mut *later, &[(Insert, 3, "c")], 1), Ok(2));
    assert_eq!(server.run("SELECT id FROM fenced ORDER BY id"), "1\n3");
}

#[test]
fn a_lock_of_others_is_waited_for_and_tried_again() {
    let server = server();
    server.run("CREATE TABLE locked (id BIGINT PRIMARY KEY, name TEXT); INSERT INTO locked VALUES (1, 'a')");
    let options = [("connection.max-retry-timeout", "8 s"), ("sink.max-retries", "0")];
    let mut sink = sink(&server.people("locked", &["id"], &options), "locked");
    sink.open().unwrap();
    let mut other = server.session();
    run(&mut other, "START TRANSACTION; UPDATE locked SET name = 'b' WHERE id = 1");
    let error = write(&mut *sink, &[(UpdateAfter, 1, "c")], 0).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retry);
    assert!(error.message.contains("Lock wait timeout"), "{error}");
    run(&mut other, "COMMIT");
    assert_eq!(sink.commit(true, 0), Ok(1));
    assert_eq!(server.run("SELECT name FROM locked"), "c");
}

#[test]
fn tables_that_do_not_fit_are_told_when_the_sink_opens() {
    let server = server();
    server.run(
        "CREATE TABLE no_key (id BIGINT, name VARCHAR(9)); CREATE TABLE two_keys (id BIGINT PRIMARY KEY, name VARCHAR(9) UNIQUE); \
         CREATE TABLE own_key (number BIGINT AUTO_INCREMENT PRIMARY KEY, id BIGINT UNIQUE, name VARCHAR(9)); \
         CREATE TABLE no_transactions (id BIGINT PRIMARY KEY, name VARCHAR(9)) ENGINE=MyISAM",
    );
    let cases = [
        ("nowhere", "there is no table 'nowhere'"),
        ("no_key", "has no unique index on the declared primary key; create it with: CREATE UNIQUE INDEX"),
        ("two_keys", "has the unique index 'name' besides the declared primary key"),
        ("no_transactions", "has ENGINE=MyISAM, which has no transactions"),
    ];
    let mut cases = cases.to_vec();
    if !server.is_old() {
        server.run("CREATE TABLE made (id BIGINT PRIMARY KEY, name VARCHAR(9) AS (CONCAT(id, 'x')))");
        cases.push(("made", "is generated and cannot be written"));
    }
    for (name, told) in cases {
        let error = sink(&server.people(name, &["id"], &[]), name).open().unwrap_err();
        assert!(error.message.contains(told), "{name}: {error}");
    }
    assert_eq!(sink(&server.people("own_key", &["id"], &[]), "own_key").open(), Ok(0));
    let unique = |name: &str, columns: &str| {
        server.run(&format!("CREATE TABLE {name} (id BIGINT PRIMARY KEY, name VARCHAR(9), {columns})"));
        sink(&server.people(name, &["id"], &[]), name).open()
    };
    // Rows of two keys may be equal in these.
    let mut equal = vec![
        ("of_begin", "UNIQUE (name(2))"),
        ("of_default", "other INT DEFAULT 0, UNIQUE (other)"),
        ("of_first", "mood ENUM('good', 'bad') NOT NULL, UNIQUE (mood)"),
    ];
    if !server.is_old() {
        equal.push(("of_made", "half VARCHAR(9) AS (LEFT(name, 2)) STORED, UNIQUE (half)"));
    }
    for (name, columns) in equal {
        let error = unique(name, columns).unwrap_err();
        assert!(error.message.contains("besides the declared primary key"), "{name}: {error}");
    }
    // And not in these.
    assert_eq!(unique("of_null", "other INT, UNIQUE (other)"), Ok(0));
    assert_eq!(unique("of_more", "UNIQUE (id, name)"), Ok(0));
    server.run("CREATE TABLE key_begin (name VARCHAR(9), id BIGINT, UNIQUE (name(3)))");
    let error = sink(&server.people("key_begin", &["name"], &[]), "key_begin").open().unwrap_err();
    assert!(error.message.contains("has no unique index on the declared primary key"), "{error}");
    assert_eq!(sink(&server.people("no_key", &[], &[]), "no_key_appended").open(), Ok(0));
    let wrong = schema(&[("id", DataType::Int64), ("name", DataType::Date32)]);
    let error = sink(&server.table("no_key", wrong, &[], &[]), "wrong").open().unwrap_err();
    assert!(error.message.contains("is declared DATE and is varchar(9)"), "{error}");
}

#[test]
fn rights_and_passwords_are_looked_at_when_the_sink_opens() {
    let server = server();
    server.run(
        "CREATE TABLE guarded (id BIGINT PRIMARY KEY, name TEXT); CREATE USER weak IDENTIFIED BY 'weak'; \
         GRANT SELECT ON shop.guarded TO weak; GRANT ALL ON shop.eventwright_offsets TO weak; GRANT CREATE ON shop.* TO weak",
    );
    let open = |who: &str, password: &str| {
        let url = format!("jdbc:mariadb://127.0.0.1:{}/shop?user={who}&password={password}", server.port);
        let mut table = (*server.people("guarded", &["id"], &[("url", url.as_str())])).clone();
        table.options.retain(|key, _| key != "username" && key != "password");
        let table = std::sync::Arc::new(table);
        assert!(connector().check(&table, Role::Sink).is_ok());
        sink(&table, "guarded").open().unwrap_err()
    };
    let error = open("weak", "weak");
    assert!(
        error.message.contains("the user of 'guarded'") && error.message.contains("lacks a right"),
        "{error}"
    );
    let error = open("weak", "not-it");
    assert!(error.message.contains("Access denied for user") && !error.message.contains("not-it"), "{error}");
}
