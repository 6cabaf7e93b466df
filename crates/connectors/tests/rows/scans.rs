//! Tables that are read: each row once, whatever dies meanwhile, and rows that come later. The same at each server, whose own
//! words are in its `server.rs`.

use crate::server::scan::scan;
use crate::server::{COUNTING, LONG_TEXT, SCANNED, TEXT, schema, server};
use arrow_schema::DataType;
use base::ErrorKind;

const SMALL: (&str, &str) = ("scan.fetch-size", "7");

#[test]
fn a_table_is_read_once_in_the_order_of_its_key() {
    let server = server();
    for (name, key) in SCANNED {
        server.run(&format!("CREATE TABLE {name} ({key}, name {TEXT})"));
        let all: Vec<String> = (0..60).map(|n| format!("({n}, 'it''s {n}')")).collect();
        server.run(&format!("INSERT INTO {name} (id, name) VALUES {}", all.join(", ")));
        let id = if *name == "scan_letters" { DataType::Utf8 } else { DataType::Int64 };
        let columns = schema(&[("id", id), ("name", DataType::Utf8)]);
        for dies in [false, true] {
            let mut scan = scan(server.table(name, columns.clone(), &[], &[SMALL]));
            let mut rows = scan.all(dies).unwrap().to_vec();
            rows.sort();
            let mut expected: Vec<String> = (0..60).map(|n| format!("{n}|it's {n}")).collect();
            expected.sort();
            assert_eq!(rows, expected, "{name}");
        }
    }
}

#[test]
fn what_changes_meanwhile_is_not_seen_until_another_connection_is_made() {
    let server = server();
    server.run(&format!("CREATE TABLE scan_changes (id BIGINT PRIMARY KEY, name {TEXT})"));
    let all: Vec<String> = (0..60).map(|n| format!("({n}, 'old')")).collect();
    server.run(&format!("INSERT INTO scan_changes VALUES {}", all.join(", ")));
    let mut scan = scan(server.people("scan_changes", &[], &[SMALL]));
    scan.open().unwrap();
    scan.poll().unwrap();
    server.run("UPDATE scan_changes SET name = 'new'; INSERT INTO scan_changes VALUES (-1, 'new')");
    scan.poll().unwrap();
    let rows = scan.all(true).unwrap();
    let count = |name: &str| rows.iter().filter(|row| row.ends_with(name)).count();
    assert_eq!((count("old"), count("new")), (14, 46));
}

#[test]
fn a_table_without_a_key_is_read_at_once_or_by_what_is_declared() {
    let server = server();
    server.run(&format!(
        "CREATE TABLE scan_bare (id BIGINT, name {LONG_TEXT}); INSERT INTO scan_bare VALUES (1, 'a'), (NULL, 'b')"
    ));
    let columns = schema(&[("id", DataType::Int64), ("name", DataType::Utf8)]);
    let mut rows = scan(server.table("scan_bare", columns.clone(), &[], &[])).all(true).unwrap().to_vec();
    rows.sort();
    assert_eq!(rows, ["1|a", "NULL|b"]);
    let error = scan(server.table("scan_bare", columns.clone(), &["id"], &[])).all(false).unwrap_err();
    assert!(error.message.contains("a row has NULL in the declared key"), "{error}");
    server.run("DELETE FROM scan_bare WHERE id IS NULL");
    for n in 2..12 {
        server.run(&format!("INSERT INTO scan_bare VALUES ({n}, REPEAT('x', 1000000))"));
    }
    let error = scan(server.table("scan_bare", columns.clone(), &[], &[])).all(false).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("has no primary key whose order is plain"), "{error}");
    assert_eq!(scan(server.table("scan_bare", columns.clone(), &["id"], &[])).all(true).unwrap().len(), 11);
    let bounds = [
        ("scan.partition.column", "id"),
        ("scan.partition.num", "2"),
        ("scan.partition.lower-bound", "0"),
        ("scan.partition.upper-bound", "1"),
    ];
    assert_eq!(scan(server.table("scan_bare", columns, &[], &bounds)).all(false).unwrap(), ["1|a"]);
}

#[test]
fn a_column_that_counts_up_is_read_on_for_ever() {
    let server = server();
    server.run(&format!(
        "CREATE TABLE scan_outbox (n {}, id BIGINT, name {TEXT}); \
         INSERT INTO scan_outbox (id, name) VALUES (1, 'a'), (2, 'b')",
        COUNTING[0]
    ));
    let options = [("scan.incrementing.column", "n"), ("scan.poll-interval", "50 ms"), SMALL];
    let mut scan = scan(server.people("scan_outbox", &[], &options));
    scan.open().unwrap();
    assert_eq!(scan.until(2), ["1|a", "2|b"]);
    let rows: Vec<String> = (3..50).map(|n| format!("({n}, 'c')")).collect();
    server.run(&format!("INSERT INTO scan_outbox (id, name) VALUES {}", rows.join(", ")));
    scan.open().unwrap();
    assert_eq!(scan.until(49).len(), 49);
    server
        .run("UPDATE scan_outbox SET name = 'changed'; INSERT INTO scan_outbox (id, name) VALUES (50, 'd')");
    assert_eq!(scan.until(50)[49], "50|d");
    let options = [("scan.incrementing.column", "name")];
    let error = crate::server::scan::scan(server.people("scan_outbox", &[], &options)).open().unwrap_err();
    assert!(error.message.contains("holds no whole numbers"), "{error}");
}

/// A transaction holds a number for longer than many looks, and others commit greater ones.
#[test]
fn numbers_that_are_committed_late_are_waited_for() {
    let server = server();
    server.run(&format!("CREATE TABLE scan_held (n {}, id BIGINT, name {TEXT})", COUNTING[1]));
    let mut holder = server.holding("INSERT INTO scan_held (id, name) VALUES (1, 'held')");
    server.run("INSERT INTO scan_held (id, name) VALUES (2, 'free')");
    let options = [("scan.incrementing.column", "n"), ("scan.poll-interval", "20 ms")];
    let mut scan = scan(server.people("scan_held", &[], &options));
    scan.open().unwrap();
    for _ in 0..8 {
        scan.poll().unwrap();
    }
    assert_eq!(scan.rows, [""; 0]);
    holder.run("COMMIT");
    assert_eq!(scan.until(2), ["1|held", "2|free"]);
    server.run(&format!("CREATE TABLE scan_twice (n BIGINT, id BIGINT, name {TEXT})"));
    let error = crate::server::scan::scan(server.people("scan_twice", &[], &options)).open().unwrap_err();
    assert!(error.message.contains("the column 'n' has no unique index by itself"), "{error}");
}
