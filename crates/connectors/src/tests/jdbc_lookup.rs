//! A SQLite database as an outside table: what the sink writes is found, and what does not fit is named.

use super::jdbc::sink;
use super::*;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, StringArray, Time32MillisecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow_schema::TimeUnit;
use base::ErrorKind;
use dataflow::connector::Role;
use dataflow::lookup::{Found, Lookup, LookupRequest};
use dataflow::plan::LookupCache;
use rusqlite::Connection;
use std::path::PathBuf;

struct Shop {
    path: PathBuf,
    connection: Connection,
    _folder: tempfile::TempDir,
}

impl Shop {
    fn new(sql: &str) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        Shop { path, connection, _folder: folder }
    }

    fn table(&self, columns: &[(&str, DataType)]) -> Arc<TableDefinition> {
        let url = format!("jdbc:sqlite:{}", self.path.display());
        table(schema(columns), &[("connector", "jdbc"), ("url", url.as_str()), ("table-name", "things")])
    }
}

fn connector() -> Arc<dyn Connector> {
    crate::table(Connectors { os: Os::real(), log: None }).find("jdbc").unwrap().clone()
}

fn lookup(table: &Arc<TableDefinition>, projection: &[usize], keys: &[usize]) -> Box<dyn Lookup> {
    let request = LookupRequest {
        table: table.clone(),
        projection: projection.to_vec(),
        keys: keys.to_vec(),
        timeout_ms: 1000,
    };
    connector().lookup(request).unwrap()
}

fn keys(columns: Vec<ArrayRef>) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|column| Field::new("k", column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn ids(ids: &[i64]) -> RecordBatch {
    keys(vec![Arc::new(Int64Array::from(ids.to_vec()))])
}

const THINGS: &[(&str, DataType)] = &[("id", DataType::Int64), ("name", DataType::Utf8)];

#[test]
fn each_key_gets_its_rows_in_the_order_of_the_keys() {
    let shop = Shop::new(
        "CREATE TABLE things (name TEXT, \"id\" INTEGER, other BLOB);
         INSERT INTO things VALUES ('a', 1, NULL), ('b', 2, NULL), ('c', 2, NULL), (NULL, 4, NULL)",
    );
    let table = shop.table(THINGS);
    let mut found = lookup(&table, &[1], &[0]);
    let Found { rows, counts } = found.find(&ids(&[2, 9, 1, 2, 4])).unwrap();
    assert_eq!(counts, [2, 0, 1, 2, 1]);
    let names: Vec<Option<&str>> = rows.column(0).as_string::<i32>().iter().collect();
    assert_eq!(names, [Some("b"), Some("c"), Some("a"), Some("b"), Some("c"), None]);
    // What changes meanwhile is seen.
    shop.connection.execute_batch("DELETE FROM things WHERE name = 'b'").unwrap();
    assert_eq!(found.find(&ids(&[2])).unwrap().counts, [1]);
    // Rows count also where no column of theirs is wanted, and a key may have several columns.
    let mut both = lookup(&table, &[], &[1, 0]);
    let pairs =
        keys(vec![Arc::new(StringArray::from(vec!["c", "a"])), Arc::new(Int64Array::from(vec![2, 2]))]);
    let Found { rows, counts } = both.find(&pairs).unwrap();
    assert_eq!((counts, rows.num_rows(), rows.num_columns()), (vec![1, 0], 1, 0));
}

#[test]
fn every_type_that_the_sink_writes_is_found_again() {
    let utc: Option<Arc<str>> = Some("UTC".into());
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2]))),
        ("truth", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("tiny", Arc::new(Int8Array::from(vec![Some(-128), None]))),
        ("small", Arc::new(Int16Array::from(vec![Some(-32768), None]))),
        ("whole", Arc::new(Int32Array::from(vec![Some(i32::MAX), None]))),
        ("single", Arc::new(Float32Array::from(vec![Some(0.1), None]))),
        ("double", Arc::new(Float64Array::from(vec![Some(1e300), None]))),
        ("text", Arc::new(StringArray::from(vec![Some("Grüße 'x'"), None]))),
        ("bytes", Arc::new(BinaryArray::from_opt_vec(vec![Some(&[0, 255][..]), None]))),
        (
            "money",
            Arc::new(Decimal128Array::from(vec![Some(-1250), None]).with_precision_and_scale(10, 2).unwrap()),
        ),
        ("day", Arc::new(Date32Array::from(vec![Some(-1), None]))),
        ("clock", Arc::new(Time32MillisecondArray::from(vec![Some(45_296_789), None]))),
        ("ms", Arc::new(TimestampMillisecondArray::from(vec![Some(-1), None]))),
        ("us", Arc::new(TimestampMicrosecondArray::from(vec![Some(1_359_635_696_789_123), None]))),
        ("ns", Arc::new(TimestampNanosecondArray::from(vec![Some(1_359_635_696_789_123_456), None]))),
        (
            "instant",
            Arc::new(
                TimestampMillisecondArray::from(vec![Some(1_359_635_696_789), None]).with_timezone_opt(utc),
            ),
        ),
    ];
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let shop = Shop::new(&format!("CREATE TABLE things ({})", names.join(", ")));
    let types: Vec<(&str, DataType)> =
        columns.iter().map(|(name, column)| (*name, column.data_type().clone())).collect();
    let table = shop.table(&types);
    let arrays: Vec<ArrayRef> = columns.iter().map(|(_, column)| column.clone()).collect();
    let rows = RecordBatch::try_new(schema(&types), arrays.clone()).unwrap();
    let mut written = sink(&table);
    written.open().unwrap();
    for encoded in written.encode(&batch(rows), 0).unwrap() {
        written.apply(&encoded.bytes).unwrap();
    }
    written.commit(true, 0).unwrap();
    let all: Vec<usize> = (0..types.len()).collect();
    let found = lookup(&table, &all, &[0]).find(&ids(&[1, 2])).unwrap();
    assert_eq!(found.counts, [1, 1]);
    for ((name, column), found) in columns.iter().zip(found.rows.columns()) {
        assert_eq!(found, column, "{name}");
    }
    // Each of them can be the key.
    for (index, (name, column)) in columns.iter().enumerate() {
        let found = lookup(&table, &[0], &[index]).find(&keys(vec![column.slice(0, 1)])).unwrap();
        assert_eq!(found.counts, [1], "{name}");
    }
}

#[test]
fn what_other_programs_write_is_read_where_it_fits() {
    let money = DataType::Decimal128(6, 2);
    let moment = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let columns = [("id", DataType::Int64), ("m", money), ("d", DataType::Float64), ("at", moment)];
    let shop = Shop::new(
        "CREATE TABLE things (id, m, d, at);
         INSERT INTO things VALUES (1, 12.345, 3, '2013-01-31T12:34:56+01:00'), (2, '-7', 1.5, '2013-01-31 11:34:56'),
         (3, 1e-7, NULL, NULL), (4, '9999.995', NULL, NULL)",
    );
    let mut found = lookup(&shop.table(&columns), &[1, 2, 3], &[0]);
    let rows = found.find(&ids(&[1, 2, 3])).unwrap().rows;
    assert_eq!(rows.column(0).as_primitive::<Decimal128Type>().values(), &[1235, -700, 0]);
    assert_eq!(rows.column(1).as_primitive::<Float64Type>().values()[..2], [3.0, 1.5]);
    let at = rows.column(2).as_primitive::<arrow_array::types::TimestampMillisecondType>();
    assert_eq!(at.values()[..2], [1_359_632_096_000; 2]);
    let error = found.find(&ids(&[4])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.ends_with(
        "the column 'm' is declared DECIMAL(6, 2) and holds the TEXT '9999.995'; declare it as it is there"
    ));
}

#[test]
fn what_does_not_fit_is_named() {
    let shop =
        Shop::new("CREATE TABLE things (id INTEGER, name); INSERT INTO things VALUES (1, 'x'), (2, 300)");
    let path = shop.path.display();
    let find = |columns: &[(&str, DataType)], id: i64| {
        let error = lookup(&shop.table(columns), &[1], &[0]).find(&ids(&[id])).unwrap_err();
        (error.kind, error.message)
    };
    let number = [("id", DataType::Int64), ("name", DataType::Int8)];
    let wrong = |holds: &str| {
        format!(
            "table 't': table 'things' in {path}: the column 'name' is declared TINYINT and holds {holds}; declare it as \
             it is there"
        )
    };
    assert_eq!(find(&number, 1), (ErrorKind::Invalid, wrong("the TEXT 'x'")));
    assert_eq!(find(&number, 2), (ErrorKind::Invalid, wrong("the INTEGER 300")));
    assert_eq!(
        find(&[("id", DataType::Int64), ("nam", DataType::Utf8)], 1),
        (
            ErrorKind::NotFound,
            format!("table 't': the table 'things' in {path} has no column 'nam'; it has id, name")
        )
    );
    shop.connection.execute_batch("ALTER TABLE things RENAME TO others").unwrap();
    assert_eq!(
        find(&number, 1),
        (
            ErrorKind::NotFound,
            format!("table 't': there is no table 'things' in {path}; is 'table-name' right?")
        )
    );
    let elsewhere =
        [("connector", "jdbc"), ("url", "jdbc:sqlite:/nowhere/shop.db"), ("table-name", "things")];
    let error = lookup(&table(schema(THINGS), &elsewhere), &[1], &[0]).find(&ids(&[1])).unwrap_err();
    // It may come.
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(
        error.message,
        "table 't': there is no database /nowhere/shop.db; 'url' is relative to the working directory"
    );
}

#[test]
fn an_error_that_passes_is_forgotten() {
    let shop = Shop::new("CREATE TABLE things (id INTEGER, name TEXT); INSERT INTO things VALUES (1, 'x')");
    let mut found = lookup(&shop.table(THINGS), &[0, 1], &[0]);
    assert_eq!(found.find(&ids(&[1])).unwrap().counts, [1]);
    shop.connection.execute_batch("ALTER TABLE things RENAME TO others").unwrap();
    assert!(found.find(&ids(&[1])).is_err());
    shop.connection.execute_batch("ALTER TABLE others RENAME TO things").unwrap();
    let rows = found.find(&ids(&[1])).unwrap().rows;
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().value(0), 1);
    assert_eq!(rows.column(1).as_string::<i32>().value(0), "x");
}

fn cached(options: &[(&str, &str)]) -> Result<Option<LookupCache>, String> {
    let mut all = vec![("connector", "jdbc"), ("url", "jdbc:sqlite:x.db"), ("table-name", "things")];
    all.extend_from_slice(options);
    let table = table(schema(THINGS), &all);
    let jdbc = connector();
    assert!(jdbc.looks_up(&table));
    jdbc.check(&table, Role::Lookup).map_err(|errors| errors[0].message.clone())?;
    jdbc.lookup_cache(&table).map_err(|error| error.message)
}

#[test]
fn the_cache_is_what_the_options_say() {
    let partial = |more: &[(&'static str, &'static str)]| {
        let mut options = vec![("lookup.cache", "PARTIAL")];
        options.extend_from_slice(more);
        cached(&options)
    };
    assert_eq!(cached(&[]), Ok(None));
    assert_eq!(cached(&[("lookup.cache", "NONE"), ("lookup.partial-cache.max-rows", "7")]), Ok(None));
    let full = LookupCache {
        keys_max: Some(7),
        expire_after_write_ms: Some(60_000),
        expire_after_access_ms: Some(5_000),
        caches_missing_keys: false,
    };
    let options = [
        ("lookup.partial-cache.max-rows", "7"),
        ("lookup.partial-cache.expire-after-write", "1 min"),
        ("lookup.partial-cache.expire-after-access", "5 s"),
        ("lookup.partial-cache.cache-missing-key", "false"),
    ];
    assert_eq!(partial(&options), Ok(Some(full)));
    assert_eq!(
        partial(&[]),
        Err("table 't': a cache that never forgets would grow and never see a change; set \
             'lookup.partial-cache.max-rows', 'lookup.partial-cache.expire-after-write' or \
             'lookup.partial-cache.expire-after-access'"
            .to_string())
    );
    let older = [("lookup.cache.max-rows", "5"), ("lookup.cache.ttl", "2 s")];
    let expected = LookupCache {
        keys_max: Some(5),
        expire_after_write_ms: Some(2_000),
        expire_after_access_ms: None,
        caches_missing_keys: true,
    };
    assert_eq!(cached(&older), Ok(Some(expected)));
    assert_eq!(cached(&older[..1]), Ok(None));
    assert!(cached(&[("lookup.cache", "FULL")]).is_err());
    assert!(cached(&[("lookup.partial-cache.max-rows", "many")]).is_err());
}
