//! Rows that the server refuses: found among others, named, and left out.

use crate::server::{Row, people, server, sink, write};
use base::ErrorKind;
use dataflow::batch::RowKind::{Delete, Insert, UpdateAfter};
use dataflow::source::Rejected;

fn text(bytes: &Option<Vec<u8>>) -> String {
    String::from_utf8(bytes.clone().unwrap_or_default()).unwrap()
}

fn values(rejected: &[Rejected]) -> Vec<String> {
    rejected.iter().map(|one| text(&one.value)).collect()
}

#[test]
fn without_dead_letters_the_row_and_the_reason_are_told() {
    let server = server();
    server.run("CREATE TABLE checked (id bigint PRIMARY KEY, name text CHECK (length(name) < 5))");
    let mut sink = sink(&server.people("checked", &["id"], &[]), "checked");
    sink.open().unwrap();
    let rows: Vec<Row<'_>> =
        (0..100).map(|id| (Insert, id, if id == 37 { "too long" } else { "x" })).collect();
    let error = write(&mut *sink, &rows, 0).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert_eq!(
        error.message,
        format!(
            "table 't': a row cannot be written to 'checked' in PostgreSQL 127.0.0.1:{}/shop: new row for relation \
             \"checked\" violates check constraint \"checked_name_check\" (SQLSTATE 23514); the row is (id=37, \
             name='too long')",
            server.port
        )
    );
    assert_eq!((server.run("SELECT count(*) FROM checked").as_str(), server.offset("checked")), ("0", 0));
}

#[test]
fn refused_rows_are_found_in_a_transaction_and_the_others_are_written() {
    let server = server();
    server.run(
        "CREATE TABLE parents (id bigint PRIMARY KEY); INSERT INTO parents VALUES (1), (2); \
         CREATE TABLE children (id bigint PRIMARY KEY REFERENCES parents DEFERRABLE INITIALLY DEFERRED, name varchar(5))",
    );
    let table = server.people("children", &["id"], &[("dead-letter.topic", "refused")]);
    let mut sink = sink(&table, "children");
    sink.open().unwrap();
    let rows = [
        (Insert, 1, "one"),
        (Insert, 9, "orphan"),
        (Insert, 8, "nul\0"),
        (UpdateAfter, 1, "much too long"),
        (Insert, 7, "x"),
        (Insert, 2, "two"),
    ];
    // Nothing is written before those lie in the topic; then the change before a refused one counts.
    assert_eq!(write(&mut *sink, &rows, 0), Ok(0));
    assert_eq!((server.run("SELECT count(*) FROM children").as_str(), server.offset("children")), ("0", 0));
    let rejected = sink.take_rejected();
    let expected = [
        r#"{"id":9,"name":"orphan"}"#,
        r#"{"id":8,"name":"nul\u0000"}"#,
        r#"{"id":1,"name":"much too long"}"#,
        r#"{"id":7,"name":"x"}"#,
    ];
    assert_eq!(values(&rejected), expected);
    let reasons =
        ["value too long", "invalid byte sequence", "value too long", "violates foreign key constraint"];
    for (one, reason) in rejected.iter().zip(reasons) {
        assert!(one.reason.contains(reason), "{}", one.reason);
        assert_eq!(one.topic, "refused");
    }
    assert_eq!(sink.commit(false, 0), Ok(6));
    assert_eq!(server.run("SELECT * FROM children ORDER BY id"), "1|one\n2|two");

    // A row that others refer to is not deleted.
    let mut parents = crate::server::sink(
        &server.table(
            "parents",
            crate::server::schema(&[("id", arrow_schema::DataType::Int64)]),
            &["id"],
            &[("dead-letter.topic", "refused")],
        ),
        "parents",
    );
    parents.open().unwrap();
    let ids = std::sync::Arc::new(arrow_array::Int64Array::from(vec![1, 3, 2]));
    let schema = crate::server::schema(&[("id", arrow_schema::DataType::Int64)]);
    let rows = crate::server::batch(&schema, vec![ids], Some(&[Delete, Insert, Delete]));
    crate::server::apply(&mut *parents, &rows, 0);
    assert_eq!(parents.commit(true, 0), Ok(0));
    assert_eq!(values(&parents.take_rejected()), [r#"{"id":1}"#, r#"{"id":2}"#]);
    assert_eq!(parents.commit(true, 0), Ok(3));
    assert_eq!(server.run("SELECT string_agg(id::text, ',' ORDER BY id) FROM parents"), "1,2,3");
}

#[test]
fn appended_rows_are_refused_one_by_one_too() {
    let server = server();
    server.run("CREATE TABLE small (id smallint UNIQUE, name text)");
    let table = server.table(
        "small",
        crate::server::people_schema(),
        &[],
        &[("dead-letter.topic", "refused"), ("sink.buffer-flush.max-rows", "1000")],
    );
    let mut sink = sink(&table, "small");
    sink.open().unwrap();
    let rows: Vec<Row<'_>> =
        (0..1000).map(|n| (Insert, if n % 250 == 9 { 40_000 + n } else { n / 2 * 2 }, "x")).collect();
    crate::server::apply(&mut *sink, &people(&rows), 0);
    assert_eq!(sink.commit(false, 0), Ok(0));
    let rejected = sink.take_rejected();
    // Each second row has a number that was there, and the first of some pairs is out of range… or the second.
    let (large, again): (Vec<_>, Vec<_>) =
        rejected.iter().partition(|one| one.reason.contains("out of range"));
    assert_eq!((large.len(), again.len()), (4, 496));
    assert!(again.iter().all(|one| one.reason.contains("duplicate key value violates unique constraint")));
    assert_eq!(sink.commit(false, 0), Ok(1000));
    assert_eq!(server.run("SELECT count(*), count(DISTINCT id) FROM small"), "500|500");
}
