//! A SQLite database as a target: every kind of change, every type, every moment of a crash.

use super::*;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int64Array, StringArray, Time32MillisecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray,
};
use arrow_schema::TimeUnit;
use base::ErrorKind;
use dataflow::batch::RowKind;
use dataflow::connector::Role;
use dataflow::plan::Changelog;
use dataflow::sink::{OutboxSink, Sink, TopicBatch};
use rusqlite::Connection;
use std::path::{Path, PathBuf};

const CREATE: &str = r#"CREATE TABLE "people" ("id" INTEGER, "name" TEXT, PRIMARY KEY ("id"))"#;

/// A database with a table, in a folder of its own.
struct Shop {
    path: PathBuf,
    connection: Connection,
    _folder: tempfile::TempDir,
}

impl Shop {
    fn new(create: &str) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(create).unwrap();
        Shop { path, connection, _folder: folder }
    }

    fn people(&self, key: &[&str], options: &[(&str, &str)]) -> Arc<TableDefinition> {
        people_at(&self.path, key, options)
    }

    fn rows(&self) -> Vec<(i64, String)> {
        let mut query = self.connection.prepare("SELECT id, name FROM people ORDER BY id, rowid").unwrap();
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn offset(&self) -> i64 {
        let sql = "SELECT outbox_offset FROM eventwright_offsets WHERE job = 'job-1' AND sink = 't'";
        self.connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

pub(super) fn people_at(path: &Path, key: &[&str], options: &[(&str, &str)]) -> Arc<TableDefinition> {
    let url = format!("jdbc:sqlite:{}", path.display());
    let mut all = vec![("connector", "jdbc"), ("url", url.as_str()), ("table-name", "people")];
    all.extend_from_slice(options);
    keyed(people_schema(), key, &all)
}

fn people_schema() -> SchemaRef {
    schema(&[("id", DataType::Int64), ("name", DataType::Utf8)])
}

fn keyed(schema: SchemaRef, key: &[&str], options: &[(&str, &str)]) -> Arc<TableDefinition> {
    let mut definition = (*table(schema, options)).clone();
    definition.primary_key = key.iter().map(|name| name.to_string()).collect();
    Arc::new(definition)
}

fn connector() -> Arc<dyn Connector> {
    crate::table(Connectors { os: Os::real(), log: None }).find("jdbc").unwrap().clone()
}

pub(super) fn sink(table: &Arc<TableDefinition>) -> Box<dyn OutboxSink> {
    match connector().sink(table, "job-1").unwrap() {
        Sink::Outbox(sink) => sink,
        _ => panic!("an outbox sink"),
    }
}

pub(super) fn changes(rows: &[(RowKind, i64, &str)]) -> Batch {
    let ids = Int64Array::from_iter_values(rows.iter().map(|(_, id, _)| *id));
    let names = StringArray::from_iter_values(rows.iter().map(|(_, _, name)| *name));
    let kinds = Int8Array::from_iter_values(rows.iter().map(|(kind, _, _)| *kind as i8));
    let rows = RecordBatch::try_new(people_schema(), vec![Arc::new(ids), Arc::new(names)]).unwrap();
    Batch { kinds: Some(kinds), ..batch(rows) }
}

/// One outbox batch with its offset patched as the log does.
pub(super) fn outbox(table: &Arc<TableDefinition>, rows: &Batch, base_offset: i64) -> TopicBatch {
    let mut encoded = sink(table).encode(rows, 0).unwrap();
    assert_eq!(encoded.len(), 1);
    kafka_wire::records::set_base_offset(&mut encoded[0].bytes, base_offset).unwrap();
    encoded.remove(0)
}

pub(super) use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};

#[test]
fn every_kind_of_change_is_applied_by_key() {
    let shop = Shop::new(CREATE);
    let table = shop.people(&["id"], &[]);
    let mut sink = sink(&table);
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
    let first = outbox(&table, &changes(&first), 0);
    sink.apply(&first.bytes).unwrap();
    assert_eq!(sink.commit(true, 0).unwrap(), 7);
    assert_eq!(shop.rows(), [(1, "ONE".into()), (3, "without an insert".into())]);
    let second = [(Insert, 2, "two again"), (Insert, 3, "three"), (Insert, 4, "four")];
    sink.apply(&outbox(&table, &changes(&second), 7).bytes).unwrap();
    assert_eq!(sink.commit(true, 0).unwrap(), 10);
    assert_eq!(shop.rows().len(), 4);
    // A row whose successor has another key, or was not let through by a condition, goes.
    let third = [(UpdateBefore, 4, "four"), (UpdateAfter, 5, "five"), (UpdateBefore, 3, "three")];
    sink.apply(&outbox(&table, &changes(&third), 10).bytes).unwrap();
    assert_eq!(sink.commit(true, 0).unwrap(), 13);
    assert_eq!(shop.rows(), [(1, "ONE".into()), (2, "two again".into()), (5, "five".into())]);
    assert_eq!(shop.offset(), 13);
}

#[test]
fn a_delete_needs_the_key_only() {
    let shop = Shop::new(CREATE);
    let table = shop.people(&["id"], &[]);
    let mut sink = sink(&table);
    sink.open().unwrap();
    sink.apply(&outbox(&table, &changes(&[(Insert, 1, "one"), (Insert, 2, "two")]), 0).bytes).unwrap();
    let key_only: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::new_null(1))];
    let key_only = Batch {
        kinds: Some(Int8Array::from(vec![Delete as i8])),
        ..batch(RecordBatch::try_new(people_schema(), key_only).unwrap())
    };
    sink.apply(&outbox(&table, &key_only, 2).bytes).unwrap();
    sink.commit(true, 0).unwrap();
    assert_eq!(shop.rows(), [(2, "two".into())]);
}

#[test]
fn a_table_of_nothing_but_its_key_and_one_without_a_key() {
    let shop = Shop::new("CREATE TABLE people (name TEXT, id INTEGER, PRIMARY KEY (name, id))");
    let table = shop.people(&["id", "name"], &[]);
    let mut only_key = sink(&table);
    only_key.open().unwrap();
    let rows = [(Insert, 1, "one"), (UpdateAfter, 1, "one"), (Insert, 2, "two"), (Delete, 2, "two")];
    only_key.apply(&outbox(&table, &changes(&rows), 0).bytes).unwrap();
    only_key.commit(true, 0).unwrap();
    assert_eq!(shop.rows(), [(1, "one".into())]);

    let shop = Shop::new("CREATE TABLE people (id INTEGER, name TEXT)");
    let table = shop.people(&[], &[]);
    let mut append = sink(&table);
    append.open().unwrap();
    append.apply(&outbox(&table, &changes(&[(Insert, 1, "a"), (Insert, 1, "b")]), 0).bytes).unwrap();
    append.commit(true, 0).unwrap();
    assert_eq!(shop.rows(), [(1, "a".into()), (1, "b".into())]);
    let error = append.encode(&changes(&[(UpdateAfter, 1, "c")]), 0).unwrap_err();
    assert_eq!(
        error.message,
        "table 't': without a PRIMARY KEY a database takes inserts only, and the query also updates or deletes rows"
    );
    let jdbc = connector();
    assert_eq!(jdbc.sink_changelog(&shop.people(&["id"], &[])), Changelog::Upsert);
    assert_eq!(jdbc.sink_changelog(&table), Changelog::Insert);
}

/// Rows are appended without a key, so that a repeated one would show.
#[test]
fn every_row_is_in_the_table_once_wherever_the_sink_dies() {
    for die_after in 1..12 {
        let shop = Shop::new("CREATE TABLE people (id INTEGER, name TEXT)");
        let table = shop.people(&[], &[("sink.buffer-flush.max-rows", "25")]);
        let batches: Vec<TopicBatch> = (0..10)
            .map(|number| {
                let rows: Vec<_> = (number * 10..number * 10 + 10).map(|id| (Insert, id, "x")).collect();
                outbox(&table, &changes(&rows), number * 10)
            })
            .collect();
        let mut lives = 0;
        loop {
            lives += 1;
            assert!(lives < 60, "no progress when dying after {die_after} calls");
            let mut sink = sink(&table);
            let mut next = sink.open().unwrap();
            // What is stored is what is there.
            assert_eq!((shop.rows().len() as i64, shop.offset()), (next, next));
            if next == 100 {
                break;
            }
            for call in 0..die_after {
                if next == 100 {
                    sink.commit(true, 1).unwrap();
                    break;
                }
                sink.apply(&batches[next as usize / 10].bytes).unwrap();
                next += 10;
                // Some lives end between applying and committing; the last call of a long one commits.
                if (call + lives) % 3 == 0 || call == 11 {
                    let finish = lives % 2 == 0 || die_after == 1;
                    let durable = sink.commit(finish, 1).unwrap();
                    assert_eq!(shop.offset(), durable);
                    assert_eq!(shop.rows().len() as i64, durable);
                }
            }
        }
        let ids: Vec<i64> = shop.rows().into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, (0..100).collect::<Vec<i64>>(), "died after {die_after} calls");
    }
}

#[test]
fn a_batch_that_begins_before_the_stored_offset_is_applied_from_there() {
    let shop = Shop::new("CREATE TABLE people (id INTEGER, name TEXT)");
    let table = shop.people(&[], &[]);
    sink(&table).open().unwrap();
    shop.connection.execute_batch("UPDATE eventwright_offsets SET outbox_offset = 2").unwrap();
    let mut sink = sink(&table);
    assert_eq!(sink.open().unwrap(), 2);
    let rows = changes(&[(Insert, 0, "a"), (Insert, 1, "b"), (Insert, 2, "c"), (Insert, 3, "d")]);
    let whole = outbox(&table, &rows, 0);
    sink.apply(&whole.bytes).unwrap();
    sink.apply(&whole.bytes).unwrap();
    assert_eq!(sink.commit(true, 0).unwrap(), 4);
    assert_eq!(shop.rows(), [(2, "c".into()), (3, "d".into())]);
}

#[test]
fn rows_wait_for_their_number_or_their_age() {
    let shop = Shop::new(CREATE);
    let flushed = |options: &[(&str, &str)], rows: usize, clocks: &[i64]| {
        shop.connection.execute_batch("DROP TABLE IF EXISTS eventwright_offsets").unwrap();
        let table = shop.people(&["id"], options);
        let mut sink = sink(&table);
        sink.open().unwrap();
        let rows: Vec<_> = (0..rows as i64).map(|id| (Insert, id, "x")).collect();
        sink.apply(&outbox(&table, &changes(&rows), 0).bytes).unwrap();
        clocks.iter().map(|clock_ms| sink.commit(false, *clock_ms).unwrap()).collect::<Vec<i64>>()
    };
    assert_eq!(flushed(&[], 99, &[5000, 5999, 6000]), [0, 0, 99]);
    assert_eq!(flushed(&[], 100, &[5000]), [100]);
    let by_rows = [("sink.buffer-flush.max-rows", "3"), ("sink.buffer-flush.interval", "0 s")];
    assert_eq!(flushed(&by_rows, 2, &[0, i64::MAX]), [0, 0]);
    assert_eq!(flushed(&by_rows, 3, &[0]), [3]);
    let at_once = [("sink.buffer-flush.max-rows", "0"), ("sink.buffer-flush.interval", "0 s")];
    assert_eq!(flushed(&at_once, 1, &[0]), [1]);
}

#[test]
fn others_see_whole_transactions_only() {
    let shop = Shop::new("PRAGMA journal_mode = WAL; CREATE TABLE people (id INTEGER, name TEXT)");
    let table = shop.people(&[], &[]);
    let mut sink = sink(&table);
    sink.open().unwrap();
    let batches: Vec<TopicBatch> =
        (0..40).map(|n| outbox(&table, &changes(&[(Insert, n, "x"), (Insert, n, "y")]), n * 2)).collect();
    let reader = Connection::open(&shop.path).unwrap();
    let (ready, started) = std::sync::mpsc::channel();
    let watching = std::thread::spawn(move || {
        let sql = "SELECT (SELECT outbox_offset FROM eventwright_offsets), (SELECT count(*) FROM people)";
        let mut seen = Vec::new();
        loop {
            let (offset, rows): (i64, i64) =
                reader.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            assert_eq!(offset, rows);
            assert_eq!(rows % 4, 0, "half of a transaction is visible");
            if seen.is_empty() {
                ready.send(()).unwrap();
            }
            seen.push(rows);
            if rows == 80 {
                return seen;
            }
        }
    });
    started.recv().unwrap();
    for pair in batches.chunks(2) {
        for batch in pair {
            sink.apply(&batch.bytes).unwrap();
        }
        sink.commit(true, 0).unwrap();
    }
    let seen = watching.join().unwrap();
    assert_eq!((seen.first(), seen.last()), (Some(&0), Some(&80)));
}

#[test]
fn a_lock_is_waited_for_and_then_told_and_nothing_is_lost() {
    let shop = Shop::new(CREATE);
    let table = shop.people(&["id"], &[("sink.max-retries", "0")]);
    let mut sink = sink(&table);
    sink.open().unwrap();
    sink.apply(&outbox(&table, &changes(&[(Insert, 1, "one")]), 0).bytes).unwrap();
    shop.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = sink.commit(true, 0).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(
        error.message,
        format!(
            "table 't': cannot write rows in {}: database is locked; another process holds a lock: let it finish, \
             or raise 'sink.max-retries'",
            shop.path.display()
        )
    );
    shop.connection.execute_batch("COMMIT").unwrap();
    assert_eq!(sink.commit(true, 0).unwrap(), 1);
    assert_eq!(shop.rows(), [(1, "one".into())]);
}

#[test]
fn a_row_that_the_table_refuses_is_named_and_takes_its_transaction_back() {
    let shop = Shop::new(
        "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT CHECK (length(name) < 5), age INTEGER DEFAULT 7)",
    );
    let table = shop.people(&["id"], &[]);
    let mut sink = sink(&table);
    sink.open().unwrap();
    let long = "x".repeat(70);
    sink.apply(&outbox(&table, &changes(&[(Insert, 1, "one"), (Insert, 2, &long)]), 0).bytes).unwrap();
    let error = sink.commit(true, 0).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert_eq!(
        error.message,
        format!(
            "table 't': a row cannot be written to 'people' in {}: CHECK constraint failed: length(name) < 5; the row \
             is (id=2, name='{}…')",
            shop.path.display(),
            "x".repeat(60)
        )
    );
    assert_eq!((shop.rows().len(), shop.offset()), (0, 0));
}

#[test]
fn refused_rows_go_to_the_dead_letters_before_the_offset_passes_them() {
    let shop = Shop::new("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT CHECK (length(name) < 5))");
    let table = shop.people(&["id"], &[("dead-letter.topic", "refused")]);
    let mut sink = sink(&table);
    sink.open().unwrap();
    let rows = [(Insert, 1, "one"), (Insert, 2, "much too long"), (Insert, 3, "three"), (Insert, 3, "tre")];
    sink.apply(&outbox(&table, &changes(&rows), 0).bytes).unwrap();
    assert_eq!(sink.commit(true, 0).unwrap(), 0);
    // Nobody has taken them, so nothing is written.
    assert_eq!(sink.commit(true, 0).unwrap(), 0);
    assert_eq!((shop.rows().len(), shop.offset()), (0, 0));
    let rejected = sink.take_rejected();
    let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap_or_default()).unwrap();
    let values: Vec<String> = rejected.iter().map(|one| text(&one.value)).collect();
    assert_eq!(values, [r#"{"id":2,"name":"much too long"}"#, r#"{"id":3,"name":"three"}"#]);
    assert_eq!((rejected[0].topic.as_str(), rejected[0].origin.as_str()), ("refused", "t outbox-offset=1"));
    assert!(
        rejected[0].reason.contains("CHECK constraint failed: length(name) < 5"),
        "{}",
        rejected[0].reason
    );
    assert_eq!(sink.commit(false, 0).unwrap(), 4);
    assert_eq!(shop.rows(), [(1, "one".into()), (3, "tre".into())]);
    assert_eq!((sink.take_rejected().len(), shop.offset()), (0, 4));
}

#[test]
fn the_second_writer_of_a_job_is_turned_away() {
    let shop = Shop::new("CREATE TABLE people (id INTEGER, name TEXT)");
    let table = shop.people(&[], &[]);
    let (mut first, mut second) = (sink(&table), sink(&table));
    first.open().unwrap();
    second.open().unwrap();
    let rows = outbox(&table, &changes(&[(Insert, 1, "one")]), 0);
    first.apply(&rows.bytes).unwrap();
    second.apply(&rows.bytes).unwrap();
    assert_eq!(second.commit(true, 0).unwrap(), 1);
    let error = first.commit(true, 0).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fenced);
    assert!(error.message.contains("outbox_offset=1 expected=0"), "{error}");
    assert_eq!(shop.rows().len(), 1);
    assert_eq!(first.open().unwrap(), 1);
}

#[test]
fn a_missing_or_wrong_table_says_what_to_create() {
    let open = |table: &Arc<TableDefinition>| sink(table).open().unwrap_err();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.db");
    let error = open(&people_at(&path, &["id"], &[]));
    assert_eq!(
        (error.kind, error.message),
        (
            ErrorKind::NotFound,
            format!(
                "table 't': there is no database {0}; create it with: sqlite3 {0} '{CREATE}'",
                path.display()
            )
        )
    );
    assert!(!path.exists());

    let shop = Shop::new("CREATE TABLE persons (id INTEGER)");
    let shown = shop.path.display();
    let error = open(&shop.people(&["id"], &[]));
    assert_eq!(
        error.message,
        format!("table 't': there is no table 'people' in {shown}; create it with: {CREATE}")
    );
    let tables: i64 =
        shop.connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1, "a wrong database is left as it is");
    // The statement that is shown does what it says.
    shop.connection.execute_batch(CREATE).unwrap();
    assert_eq!(sink(&shop.people(&["id"], &[])).open().unwrap(), 0);

    let shop = Shop::new("CREATE TABLE people (ID INTEGER PRIMARY KEY)");
    let error = open(&shop.people(&["id"], &[]));
    assert!(error.message.contains("has no column 'name'; add it with ALTER TABLE"), "{error}");

    let shop = Shop::new("CREATE TABLE people (id INTEGER, name TEXT)");
    let error = open(&shop.people(&["id"], &[]));
    let index = r#"CREATE UNIQUE INDEX "people_key" ON "people" ("id")"#;
    assert!(
        error.message.ends_with(&format!("no unique index on its primary key; create it with: {index}")),
        "{error}"
    );
    shop.connection.execute_batch(index).unwrap();
    assert_eq!(sink(&shop.people(&["id"], &[])).open().unwrap(), 0);

    let shop = Shop::new("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT AS (id || 'x'))");
    let error = open(&shop.people(&["id"], &[]));
    assert!(error.message.contains("the column 'name' of the table 'people'"), "{error}");

    std::fs::write(&path, "this is no database, whatever its name says".repeat(100)).unwrap();
    let error = open(&people_at(&path, &["id"], &[]));
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(error.message.ends_with("file is not a database; is it the right file?"), "{error}");
}

#[test]
fn names_may_hold_any_letters() {
    let shop = Shop::new(r#"CREATE TABLE "select ""x"" " ("a ""b"" c" INTEGER PRIMARY KEY, "order" TEXT)"#);
    let url = format!("jdbc:sqlite:{}", shop.path.display());
    let names = schema(&[("a \"b\" c", DataType::Int64), ("order", DataType::Utf8)]);
    let options = [("connector", "jdbc"), ("url", url.as_str()), ("table-name", "select \"x\" ")];
    let table = keyed(names.clone(), &["a \"b\" c"], &options);
    let mut sink = sink(&table);
    sink.open().unwrap();
    let rows = changes(&[(Insert, 1, "a'b"), (Insert, 2, "x"), (Delete, 2, "x")]);
    sink.apply(&outbox(&table, &rows, 0).bytes).unwrap();
    sink.commit(true, 0).unwrap();
    let found: (i64, String) = shop
        .connection
        .query_row(r#"SELECT * FROM "select ""x"" ""#, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(found, (1, "a'b".into()));
}

/// Name, declared type in the database, values, and how SQLite shows type and value of each.
type TypeCase = (ArrayRef, [&'static str; 3]);

#[test]
fn every_type_has_its_place() {
    let zone: Arc<str> = "UTC".into();
    let decimals =
        Decimal128Array::from(vec![Some(-5), Some(123_456), None]).with_precision_and_scale(38, 7).unwrap();
    let cases: Vec<TypeCase> = vec![
        (
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
            ["integer 1", "integer 0", "null"],
        ),
        (Arc::new(Int8Array::from(vec![Some(-128), Some(7), None])), ["integer -128", "integer 7", "null"]),
        (
            Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None])),
            ["integer -9223372036854775808", "integer 9223372036854775807", "null"],
        ),
        (Arc::new(Float32Array::from(vec![Some(0.5), Some(f32::NAN), None])), ["real 0.5", "null", "null"]),
        (
            Arc::new(Float64Array::from(vec![Some(-1.25), Some(f64::INFINITY), None])),
            ["real -1.25", "real Inf", "null"],
        ),
        (Arc::new(decimals), ["text -0.0000005", "text 0.0123456", "null"]),
        (Arc::new(StringArray::from(vec![Some("ä 'x'"), Some(""), None])), ["text ä 'x'", "text ", "null"]),
        (
            Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), Some(b""), None])),
            ["blob 00FF", "blob ", "null"],
        ),
        (
            Arc::new(Date32Array::from(vec![Some(15_736), Some(-719_162), None])),
            ["text 2013-01-31", "text 0001-01-01", "null"],
        ),
        (
            Arc::new(Time32MillisecondArray::from(vec![Some(45_296_000), Some(45_296_789), None])),
            ["text 12:34:56", "text 12:34:56.789", "null"],
        ),
        (
            Arc::new(TimestampMillisecondArray::from(vec![Some(1_359_635_696_789), Some(-1), None])),
            ["text 2013-01-31 12:34:56.789", "text 1969-12-31 23:59:59.999", "null"],
        ),
        (
            Arc::new(TimestampMicrosecondArray::from(vec![Some(1_000_001), Some(0), None])),
            ["text 1970-01-01 00:00:01.000001", "text 1970-01-01 00:00:00.000000", "null"],
        ),
        (
            Arc::new(TimestampNanosecondArray::from(vec![Some(1), Some(2), None]).with_timezone(zone)),
            ["text 1970-01-01 00:00:00.000000001Z", "text 1970-01-01 00:00:00.000000002Z", "null"],
        ),
    ];
    for (column, expected) in cases {
        let data_type = column.data_type().clone();
        let fields = schema(&[("id", DataType::Int64), ("value", data_type.clone())]);
        // A strict table takes values of the declared type only: the CREATE TABLE that is shown fits them.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("types.db");
        let url = format!("jdbc:sqlite:{}", path.display());
        let options = [("connector", "jdbc"), ("url", url.as_str()), ("table-name", "types")];
        let table = keyed(fields.clone(), &["id"], &options);
        let connection = Connection::open(&path).unwrap();
        let advice = sink(&table).open().unwrap_err().message;
        let (_, create) = advice.split_once("create it with: ").unwrap();
        connection.execute_batch(&format!("{create} STRICT")).unwrap();
        let rows =
            RecordBatch::try_new(fields, vec![Arc::new(Int64Array::from(vec![0, 1, 2])), column]).unwrap();
        let mut sink = sink(&table);
        sink.open().unwrap();
        sink.apply(&outbox(&table, &batch(rows), 0).bytes).unwrap();
        sink.commit(true, 0).unwrap();
        let sql = "SELECT CASE typeof(value) WHEN 'null' THEN 'null' WHEN 'blob' THEN 'blob ' || hex(value) \
                   ELSE typeof(value) || ' ' || value END FROM types ORDER BY id";
        let mut query = connection.prepare(sql).unwrap();
        let found: Vec<String> = query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(found, expected, "{data_type}");
    }
}

#[test]
fn damaged_outbox_records_are_errors() {
    let shop = Shop::new(CREATE);
    let table = shop.people(&["id"], &[]);
    let good = sink(&table).encode(&changes(&[(Insert, 1, "one")]), 0).unwrap().remove(0);
    let records =
        kafka_wire::records::Batch::parse(&good.bytes.clone().into()).unwrap().records(1 << 20).unwrap();
    let value = records.iter().next().unwrap().unwrap().value.unwrap().to_vec();
    let applied = |value: &[u8]| {
        let mut builder = kafka_wire::records::BatchBuilder::new(kafka_wire::records::Compression::None);
        builder.append(0, None, Some(value), &[]).unwrap();
        let mut sink = sink(&table);
        sink.open().unwrap();
        sink.apply(&builder.build().unwrap())?;
        sink.commit(true, 0)
    };
    for length in 0..value.len() {
        let error = applied(&value[..length]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
    }
    let mut longer = value.clone();
    longer.push(0);
    assert_eq!(applied(&longer).unwrap_err().kind, ErrorKind::Corrupt);
    assert_eq!(applied(&[9]).unwrap_err().kind, ErrorKind::Corrupt);
    assert_eq!(applied(&value), Ok(1));
    assert!(sink(&table).apply(&good.bytes[..40]).is_err());
}

#[test]
fn wrong_options_say_what_works() {
    let messages = |options: &[(&str, &str)], role| {
        let mut all = vec![("connector", "jdbc"), ("table-name", "people")];
        all.extend_from_slice(options);
        let checked = connector().check(&table(people_schema(), &all), role);
        checked.err().unwrap_or_default().into_iter().map(|error| error.message).collect::<Vec<String>>()
    };
    let sqlite = ("url", "jdbc:sqlite:shop.db");
    assert_eq!(
        messages(&[sqlite, ("driver", "org.sqlite.JDBC"), ("scan.fetch-size", "9")], Role::Sink),
        [""; 0]
    );
    assert_eq!(messages(&[sqlite], Role::Source), [""; 0]);
    assert_eq!(
        messages(&[("url", "jdbc:oracle:thin:me/secret@host"), ("password", "secret")], Role::Sink),
        [
            "table 't': the connector 'jdbc' knows SQLite, PostgreSQL, MySQL and MariaDB: 'url' must be 'jdbc:sqlite:PATH', 'jdbc:postgresql://HOST:PORT/DATABASE' or 'jdbc:mysql://HOST:PORT/DATABASE', and begins with 'jdbc:oracle'",
            "table 't': a SQLite database has no users; leave 'password' out"
        ]
    );
    let mysql = [("url", "jdbc:mariadb://host/db"), ("username", "me"), ("password", "secret")];
    assert_eq!(messages(&mysql, Role::Lookup), [""; 0]);
    assert_eq!(messages(&mysql, Role::Sink), [""; 0]);
    assert_eq!(
        messages(&[("url", "jdbc:mysql://me:secret@host/db"), ("password", "secret")], Role::Sink),
        [
            "table 't': 'url' must be 'jdbc:mysql://HOST:PORT/DATABASE'; who asks stands in 'username' and 'password'"
        ]
    );
    let postgres = [("url", "jdbc:postgresql://host/db"), ("username", "me"), ("password", "secret")];
    assert_eq!(messages(&postgres, Role::Lookup), [""; 0]);
    assert_eq!(messages(&postgres, Role::Sink), [""; 0]);
    let form = "table 't': 'url' must be 'jdbc:postgresql://HOST:PORT/DATABASE'";
    let apart = format!("{form}; who asks stands in 'username' and 'password'");
    let apart = apart.as_str();
    for (url, message) in [
        ("jdbc:postgresql://me:secret@host/db", apart),
        ("jdbc:postgresql://me:secret@host:5432/db", apart),
        ("jdbc:postgresql://host", form),
        ("jdbc:postgresql:", form),
        (
            "jdbc:postgresql://a,b/db",
            "table 't': 'url' must be 'jdbc:postgresql://HOST:PORT/DATABASE', with one host",
        ),
        (
            "jdbc:postgresql://host/db?sslmode=require&password=secret",
            "table 't': 'sslmode' of 'url' is disable or verify-full: the others let anybody answer in place of the \
             server",
        ),
        (
            "jdbc:postgresql://host/db?sslrootcert=ca.pem",
            "table 't': 'sslrootcert' of 'url' wants sslmode=verify-full",
        ),
        (
            "jdbc:postgresql://host/db?sslkey=key.pem",
            "table 't': the parameter 'sslkey' of 'url' is not supported; there are user, password, sslmode=disable or \
             verify-full, sslrootcert with sslmode=verify-full, ApplicationName",
        ),
    ] {
        assert_eq!(messages(&[("url", url), ("username", "me")], Role::Lookup), [message]);
    }
    assert_eq!(
        messages(&[("url", "jdbc:postgresql://[::1]:5433/db")], Role::Lookup),
        ["table 't': a PostgreSQL database needs 'username'"]
    );
    for parameters in ["sslmode=disable", "sslmode=verify-full", "sslrootcert=a%20b.pem&sslmode=verify-full"]
    {
        let url = format!("jdbc:postgresql:db?user=me&{parameters}");
        assert_eq!(messages(&[("url", &url)], Role::Lookup), [""; 0], "{parameters}");
    }
    assert_eq!(
        messages(&[("url", "jdbc:sqlite::memory:")], Role::Sink),
        [
            "table 't': 'url' must name a file, 'jdbc:sqlite:PATH': what is in memory would not outlive the process"
        ]
    );
    for url in ["jdbc:sqlite:file:x?mode=ro", "jdbc:sqlite:x.db?cache=shared"] {
        assert_eq!(
            messages(&[("url", url)], Role::Sink),
            [
                "table 't': 'url' must be 'jdbc:sqlite:PATH' with a plain path, without 'file:' and without '?'"
            ]
        );
    }
    let list = DataType::List(Arc::new(Field::new("item", DataType::Int64, true)));
    let with_list =
        table(schema(&[("tags", list)]), &[("connector", "jdbc"), ("table-name", "people"), sqlite]);
    let errors = connector().check(&with_list, Role::Sink).unwrap_err();
    assert!(errors[0].message.starts_with("table 't': the column 'tags' of type List"), "{errors:?}");
    // PostgreSQL has arrays, and no maps.
    let texts = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
    let in_postgres = |data_type: DataType| {
        let options = [&[("connector", "jdbc"), ("table-name", "people")][..], &postgres].concat();
        connector().check(&table(schema(&[("tags", data_type)]), &options), Role::Sink)
    };
    assert_eq!(in_postgres(texts), Ok(()));
    let row = DataType::Struct(vec![Field::new("a", DataType::Int64, true)].into());
    let errors = in_postgres(row).unwrap_err();
    assert!(errors[0].message.ends_with("write its parts to columns of their own"), "{errors:?}");
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let fine = table(schema(&[("at", micros)]), &[("connector", "jdbc"), ("table-name", "people"), sqlite]);
    assert_eq!(connector().check(&fine, Role::Sink), Ok(()));
}
