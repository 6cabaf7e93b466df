//! Tables of a SQLite database that are read: each row once, whatever dies meanwhile, and rows that come later.

use super::*;
use base::ErrorKind;
use base::codec::FieldReader;
use dataflow::connector::Role;
use dataflow::feed::{Feed, FeedRequest, Haul};
use dataflow::source::SourceError;
use rusqlite::Connection;

const POLLS_MAX: usize = 1_000;

struct Shop {
    connection: Connection,
    url: String,
    _folder: tempfile::TempDir,
}

impl Shop {
    fn new(sql: &str) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        Shop { connection, url: format!("jdbc:sqlite:{}", path.display()), _folder: folder }
    }

    fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    fn scan(&self, name: &str, columns: &[(&str, DataType)], key: &[&str], options: &[(&str, &str)]) -> Scan {
        let mut all = vec![("connector", "jdbc"), ("url", self.url.as_str()), ("table-name", name)];
        all.extend_from_slice(options);
        let mut table = (*table(schema(columns), &all)).clone();
        table.primary_key = key.iter().map(|name| name.to_string()).collect();
        let request = FeedRequest { table: Arc::new(table), identity: "scan".into() };
        let connectors = crate::table(Connectors { os: Os::real(), log: None });
        let feed = connectors.find("jdbc").unwrap().feed(request).unwrap();
        Scan { feed, position: None, rows: Vec::new() }
    }
}

struct Scan {
    feed: Box<dyn Feed>,
    /// The last one that landed.
    position: Option<Vec<u8>>,
    rows: Vec<String>,
}

impl Scan {
    fn open(&mut self) -> Result<(), SourceError> {
        self.feed.open(self.position.as_deref())
    }

    fn poll(&mut self) -> Result<Haul, SourceError> {
        let haul = self.feed.poll(10)?;
        assert!(haul.records.is_empty() || haul.position.is_some());
        self.position = haul.position.clone().or(self.position.take());
        self.rows.extend(haul.records.iter().filter_map(|record| record.value.as_deref()).map(shown));
        Ok(haul)
    }

    /// Reads to the end; with `dies` over another connection for each haul.
    fn all(&mut self, dies: bool) -> Result<Vec<String>, SourceError> {
        self.open()?;
        for _ in 0..POLLS_MAX {
            if self.poll()?.ended {
                return Ok(self.rows.clone());
            }
            if dies {
                self.open()?;
            }
        }
        panic!("it has no end: {} rows", self.rows.len());
    }

    fn until(&mut self, rows: usize) -> Vec<String> {
        for _ in 0..POLLS_MAX {
            if self.rows.len() >= rows {
                return self.rows.clone();
            }
            self.poll().unwrap();
        }
        panic!("{} rows came, and not {rows}", self.rows.len());
    }
}

fn shown(value: &[u8]) -> String {
    let mut reader = FieldReader::new(value);
    assert_eq!((reader.u8().unwrap(), reader.u8().unwrap()), (1, 0));
    reader.i64().unwrap();
    let (_, _) = (reader.text().unwrap(), reader.text().unwrap());
    let count = reader.u32().unwrap();
    let values = (0..count).map(|_| match reader.u8().unwrap() {
        0 => "NULL".to_string(),
        _ => reader.text().unwrap(),
    });
    values.collect::<Vec<_>>().join("|")
}

const ID: (&str, DataType) = ("id", DataType::Int64);
const NAME: (&str, DataType) = ("name", DataType::Utf8);
const SMALL: (&str, &str) = ("scan.fetch-size", "7");
const HUNDRED: &str = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99)";

#[test]
fn a_table_is_read_once_whatever_dies_meanwhile() {
    // By keys of three kinds, by one that is declared over a view, and without any at once.
    let shop = Shop::new(&format!(
        "CREATE TABLE plain (name TEXT, id INTEGER); \
         INSERT INTO plain (id, name) {HUNDRED} SELECT i * 10, 'it''s ' || i FROM n; \
         CREATE TABLE numbered (name TEXT, id INTEGER PRIMARY KEY); INSERT INTO numbered SELECT * FROM plain; \
         CREATE TABLE strict (name TEXT NOT NULL PRIMARY KEY, id INTEGER); INSERT INTO strict SELECT * FROM plain; \
         CREATE TABLE keyed (name TEXT, id INTEGER, PRIMARY KEY (name, id)) WITHOUT ROWID; \
         INSERT INTO keyed (id, name) SELECT id, name FROM plain; CREATE VIEW seen AS SELECT id, name FROM plain; \
         CREATE TABLE none (id INTEGER, name TEXT)"
    ));
    let mut expected: Vec<String> = (0..100).map(|i| format!("{}|it's {i}", i * 10)).collect();
    expected.sort();
    for (name, key) in [
        ("plain", &[][..]),
        ("numbered", &[]),
        ("strict", &[]),
        ("keyed", &[]),
        ("seen", &["id"]),
        ("seen", &[]),
    ] {
        for dies in [false, true] {
            let mut rows = shop.scan(name, &[ID, NAME], key, &[SMALL]).all(dies).unwrap();
            rows.sort();
            assert_eq!(rows, expected, "{name}");
        }
    }
    assert_eq!(shop.scan("none", &[ID, NAME], &[], &[]).all(true).unwrap(), [""; 0]);
}

#[test]
fn rows_that_come_and_go_meanwhile_do_not_move_the_others() {
    let shop = Shop::new(&format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t {HUNDRED} SELECT i, 'old' FROM n"
    ));
    let mut scan = shop.scan("t", &[ID, NAME], &[], &[SMALL]);
    scan.open().unwrap();
    for round in 0..5 {
        scan.poll().unwrap();
        shop.run(&format!(
            "DELETE FROM t WHERE id = {round}; INSERT INTO t VALUES (-{round} - 1, 'before'), (200 + {round}, 'behind')"
        ));
    }
    let rows = scan.all(true).unwrap();
    assert_eq!(rows.iter().filter(|row| row.ends_with("|old")).count(), 100);
    assert_eq!(rows.iter().filter(|row| row.ends_with("|behind")).count(), 5);
    assert_eq!(rows.iter().filter(|row| row.ends_with("|before")).count(), 0);
}

#[test]
fn only_what_lies_within_the_bounds_is_read() {
    let shop = Shop::new(&format!(
        "CREATE TABLE t (id INTEGER, name TEXT); INSERT INTO t {HUNDRED} SELECT i, NULL FROM n; \
         INSERT INTO t VALUES (NULL, 'none')"
    ));
    let bounds = [
        SMALL,
        ("scan.partition.column", "id"),
        ("scan.partition.num", "3"),
        ("scan.partition.lower-bound", "-5"),
        ("scan.partition.upper-bound", "20"),
    ];
    let rows = shop.scan("t", &[ID, NAME], &[], &bounds).all(true).unwrap();
    assert_eq!((rows.len(), rows[20].as_str()), (21, "20|NULL"));
}

#[test]
fn a_column_that_counts_up_is_read_on_for_ever() {
    let shop = Shop::new(
        "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT); \
         INSERT INTO outbox VALUES (1, 'a'), (5, 'b')",
    );
    let options = [("scan.incrementing.column", "id"), ("scan.poll-interval", "5 ms"), SMALL];
    // It need not be declared.
    let mut scan = shop.scan("outbox", &[NAME], &[], &options);
    scan.open().unwrap();
    assert_eq!(scan.until(2), ["a", "b"]);
    shop.run("INSERT INTO outbox VALUES (3, 'too late'), (6, 'c'); DELETE FROM outbox WHERE id = 5");
    assert_eq!(scan.until(3), ["a", "b", "c"]);
    scan.open().unwrap();
    shop.run(&format!("INSERT INTO outbox {HUNDRED} SELECT i + 10, 'd' FROM n"));
    assert_eq!(scan.until(103).len(), 103);
    scan.open().unwrap();
    shop.run("INSERT INTO outbox VALUES (1000, 'last')");
    assert_eq!(scan.until(104)[103], "last");
    // A column whose numbers its author vouches for.
    shop.run(
        "CREATE TABLE own (number INTEGER UNIQUE, name TEXT); INSERT INTO own VALUES (NULL, 'x'), (7, 'y')",
    );
    let options = [("scan.incrementing.column", "Number"), ("scan.poll-interval", "5 ms")];
    let mut scan = shop.scan("own", &[NAME], &[], &options);
    scan.open().unwrap();
    assert_eq!(scan.until(1), ["y"]);
}

#[test]
fn what_cannot_be_read_is_named() {
    let shop = Shop::new(
        "CREATE TABLE t (id INTEGER, name TEXT); CREATE VIEW large AS \
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 19) \
         SELECT i AS id, CAST(zeroblob(1000000) AS TEXT) AS name FROM n; \
         CREATE TABLE letters (id TEXT UNIQUE); INSERT INTO letters VALUES ('a'); \
         CREATE TABLE again (id INTEGER PRIMARY KEY); CREATE TABLE twice (id INTEGER, n INTEGER, UNIQUE (id, n)); \
         INSERT INTO t VALUES (NULL, 'none')",
    );
    let mut gone = shop.scan("nowhere", &[ID], &[], &[]);
    let error = gone.all(false).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.message.contains("there is no table 'nowhere'"), "{error}");
    let error = shop.scan("t", &[ID, ("nam", DataType::Utf8)], &[], &[]).all(false).unwrap_err();
    assert!(error.message.contains("has no column 'nam'; it has id, name"), "{error}");
    let error = shop.scan("large", &[ID, NAME], &[], &[]).all(false).unwrap_err();
    assert!(error.message.contains("has no primary key whose order is plain"), "{error}");
    assert_eq!(shop.scan("large", &[ID, NAME], &["id"], &[]).all(true).unwrap().len(), 20);
    let counts = |name: &str, column: &str| {
        let mut scan = shop.scan(name, &[ID], &[], &[("scan.incrementing.column", column)]);
        scan.open().and_then(|()| scan.poll()).unwrap_err()
    };
    assert!(counts("t", "number").message.contains("there is no column 'number' that could count up"));
    assert!(counts("letters", "id").message.contains("counts up in whole numbers only"));
    assert!(counts("again", "id").message.contains("make it INTEGER PRIMARY KEY AUTOINCREMENT"));
    assert!(counts("twice", "id").message.contains("the column 'id' has no unique index by itself"));
    let error = shop.scan("t", &[ID, NAME], &["id"], &[]).all(false).unwrap_err();
    assert!(error.message.contains("a row has NULL in the declared key"), "{error}");
}

#[test]
fn wrong_options_of_a_scan_are_named() {
    let check = |options: &[(&str, &str)]| {
        let mut all = vec![("connector", "jdbc"), ("url", "jdbc:sqlite:shop.db"), ("table-name", "t")];
        all.extend_from_slice(options);
        let connectors = crate::table(Connectors { os: Os::real(), log: None });
        let jdbc = connectors.find("jdbc").unwrap();
        let table = table(schema(&[ID]), &all);
        assert_eq!(jdbc.is_bounded(&table), !table.options.contains_key("scan.incrementing.column"));
        let checked = jdbc.check(&table, Role::Source);
        checked.err().unwrap_or_default().into_iter().map(|error| error.message).collect::<Vec<_>>()
    };
    assert_eq!(check(&[]), [""; 0]);
    assert_eq!(check(&[("scan.incrementing.column", "id"), ("scan.poll-interval", "1 s")]), [""; 0]);
    assert_eq!(
        check(&[("scan.partition.column", "id"), ("scan.partition.num", "2")]),
        [
            "table 't': 'scan.partition.column' wants 'scan.partition.lower-bound' as well",
            "table 't': 'scan.partition.column' wants 'scan.partition.upper-bound' as well"
        ]
    );
    assert_eq!(
        check(&[("scan.poll-interval", "1 s")]),
        ["table 't': 'scan.poll-interval' wants 'scan.incrementing.column'"]
    );
    let bounds = [
        ("scan.partition.column", "id"),
        ("scan.partition.num", "2"),
        ("scan.partition.lower-bound", "3"),
        ("scan.partition.upper-bound", "2"),
        ("scan.incrementing.column", "id"),
    ];
    let said = check(&bounds);
    assert!(said.len() == 2 && said[0].contains("is 3, and 'scan.partition.upper-bound' only 2"), "{said:?}");
    assert!(said[1].contains("is for a table that is read once"), "{said:?}");
}
