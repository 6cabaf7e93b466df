//! Every kind of change, and what a wrong table is told.

use crate::server::{apply, people, server, sink, write};
use base::ErrorKind;
use dataflow::batch::RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};

#[test]
fn changes_are_applied_by_key_and_the_last_of_a_transaction_counts() {
    let server = server();
    server.run("CREATE TABLE by_key (id bigint PRIMARY KEY, name text, other int DEFAULT 7)");
    let mut sink = sink(&server.people("by_key", &["id"], &[]), "by-key");
    assert_eq!(sink.open().unwrap(), 0);
    let first = [
        (Insert, 1, "one"),
        (Insert, 2, "two"),
        (UpdateBefore, 1, "one"),
        (UpdateAfter, 1, "ONE"),
        (Delete, 2, "two"),
        (Delete, 7, "never there"),
        (UpdateAfter, 3, "without an insert"),
    ];
    assert_eq!(write(&mut *sink, &first, 0), Ok(7));
    assert_eq!(server.run("SELECT * FROM by_key ORDER BY id"), "1|ONE|7\n3|without an insert|7");
    let second = [(Delete, 3, ""), (Insert, 3, "three"), (Insert, 4, "fo\tu\\r\n\"'"), (Delete, 1, "")];
    assert_eq!(write(&mut *sink, &second, 7), Ok(11));
    assert_eq!(
        server.run("SELECT id, to_json(name) FROM by_key ORDER BY id"),
        r#"3|"three"
4|"fo\tu\\r\n\"'""#
    );
    assert_eq!(server.offset("by-key"), 11);
    // Many rows of few keys.
    let many: Vec<_> =
        (0..5000).map(|n| (if n % 7 == 6 { Delete } else { UpdateAfter }, n % 10, "x")).collect();
    assert_eq!(write(&mut *sink, &many, 11), Ok(5011));
    let deleted = (4990..5000).filter(|n| n % 7 == 6).count();
    assert_eq!(server.run("SELECT count(*) FROM by_key"), (10 - deleted).to_string());
}

#[test]
fn rows_without_a_key_are_appended_whatever_they_hold() {
    let server = server();
    server.run(
        "CREATE SCHEMA \"Odd\"; CREATE TABLE \"Odd\".\"a \"\"b\" (other int DEFAULT 7, name text, id bigint)",
    );
    let mut sink = sink(&server.people("Odd.a \"b", &[], &[]), "appended");
    assert_eq!(sink.open().unwrap(), 0);
    let rows = [(Insert, 1, "a"), (Insert, 1, "a"), (Insert, 2, "\\.\n\\N\t"), (Insert, 3, "")];
    assert_eq!(write(&mut *sink, &rows, 0), Ok(4));
    let found = server.run("SELECT id, to_json(name), other FROM \"Odd\".\"a \"\"b\" ORDER BY id");
    assert_eq!(found, "1|\"a\"|7\n1|\"a\"|7\n2|\"\\\\.\\n\\\\N\\t\"|7\n3|\"\"|7");
    // The offsets lie in the schema of the table.
    assert_eq!(server.run("SELECT outbox_offset FROM \"Odd\".eventwright_offsets"), "4");
    let error = sink.encode(&people(&[(Delete, 1, "")]), 0).unwrap_err();
    assert!(error.message.contains("without a PRIMARY KEY a database takes inserts only"), "{error}");
}

#[test]
fn keys_that_are_equal_to_the_server_alone_are_written_in_their_order() {
    let server = server();
    let columns = crate::server::schema(&[
        ("id", arrow_schema::DataType::Decimal128(5, 2)),
        ("name", arrow_schema::DataType::Utf8),
    ]);
    server.run("CREATE TABLE rounded (id numeric(5, 0) PRIMARY KEY, name text)");
    let mut sink = sink(&server.table("rounded", columns.clone(), &["id"], &[]), "rounded");
    sink.open().unwrap();
    let ids =
        arrow_array::Decimal128Array::from(vec![110, 120, 300, 90]).with_precision_and_scale(5, 2).unwrap();
    let names = arrow_array::StringArray::from(vec!["a", "b", "c", "d"]);
    let rows =
        crate::server::batch(&columns, vec![std::sync::Arc::new(ids), std::sync::Arc::new(names)], None);
    apply(&mut *sink, &rows, 0);
    assert_eq!(sink.commit(true, 0), Ok(4));
    assert_eq!(server.run("SELECT * FROM rounded ORDER BY id"), "1|d\n3|c");
}

#[test]
fn a_wrong_table_says_what_to_do() {
    let server = server();
    let place = format!("PostgreSQL 127.0.0.1:{}/shop", server.port);
    let opened = |name: &str, key: &[&str]| {
        let error = sink(&server.people(name, key, &[]), "wrong").open().unwrap_err();
        (error.kind, error.message)
    };
    let create = "CREATE TABLE \"missing\" (\"id\" bigint, \"name\" text, PRIMARY KEY (\"id\"))";
    let message = format!("table 't': there is no table 'missing' in {place}; create it with: {create}");
    assert_eq!(opened("missing", &["id"]), (ErrorKind::NotFound, message));
    server.run(create);
    assert_eq!(sink(&server.people("missing", &["id"], &[]), "wrong").open(), Ok(0));

    server.run("CREATE TABLE without_name (id bigint PRIMARY KEY, title text)");
    let (kind, message) = opened("without_name", &["id"]);
    assert_eq!(kind, ErrorKind::NotFound);
    assert!(message.contains("has no column 'name'; it has id, title; add it with ALTER TABLE"), "{message}");

    server.run("CREATE TABLE other_type (id text PRIMARY KEY, name text)");
    let (_, message) = opened("other_type", &["id"]);
    assert!(message.contains("the column 'id' of the table 'other_type'"), "{message}");
    assert!(message.contains("is declared BIGINT and is text; declare it as it is there"), "{message}");

    server.run("CREATE TABLE without_index (id bigint, name text)");
    let (kind, message) = opened("without_index", &["id"]);
    let index = "CREATE UNIQUE INDEX ON \"without_index\" (\"id\")";
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(
        message.ends_with(&format!("no unique index on the declared primary key; create it with: {index}"))
    );
    server.run(index);
    assert_eq!(sink(&server.people("without_index", &["id"], &[]), "wrong-2").open(), Ok(0));

    server.run("CREATE TABLE made (id bigint PRIMARY KEY, name text GENERATED ALWAYS AS ('x') STORED)");
    let (_, message) = opened("made", &["id"]);
    assert!(message.contains("is generated and cannot be written; leave it out"), "{message}");

    let rights = "CREATE ROLE reader LOGIN PASSWORD 'reads'; CREATE TABLE closed (id bigint PRIMARY KEY, name text); \
                  GRANT SELECT ON closed TO reader";
    server.run(rights);
    let reader = server.people("closed", &["id"], &[("username", "reader"), ("password", "reads")]);
    let error = sink(&reader, "wrong-3").open().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("lacks a right: permission denied for"), "{error}");
    server.run("GRANT ALL ON closed, eventwright_offsets TO reader");
    assert_eq!(sink(&reader, "wrong-3").open(), Ok(0));
}

#[test]
fn who_is_not_let_in_is_told_and_no_password_is() {
    let server = server();
    server.run("CREATE TABLE secret (id bigint PRIMARY KEY, name text)");
    let planted = "planted-5up3r-secret";
    let open = |options: &[(&str, &str)]| {
        let error = sink(&server.people("secret", &["id"], options), "secret").open().unwrap_err();
        assert!(!format!("{error} {error:?}").contains(planted), "{error}");
        (error.kind, error.message)
    };
    let (kind, message) = open(&[("password", planted)]);
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(message.contains("password authentication failed for user"), "{message}");
    let url = format!("{}?user={}&password={planted}", server.url(), server.user);
    let (kind, message) = open(&[("url", &url), ("username", "nobody"), ("password", planted)]);
    assert_eq!(kind, ErrorKind::Invalid, "{message}");
    let nowhere = format!("jdbc:postgresql://127.0.0.1:1/shop?password={planted}");
    let (kind, message) = open(&[("url", &nowhere), ("password", planted)]);
    assert_eq!(kind, ErrorKind::Unavailable);
    assert!(message.contains("cannot connect to 127.0.0.1:1"), "{message}");
    let elsewhere = format!("jdbc:postgresql://127.0.0.1:{}/nowhere", server.port);
    let (kind, message) = open(&[("url", &elsewhere)]);
    assert_eq!(kind, ErrorKind::NotFound, "{message}");
}
