//! Feeds of `mysql-cdc`: what is read of every type, of tables that change while they are read, and of what cannot be read.

use crate::server::{Server, run, server};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use base::ErrorKind;
use base::codec::FieldReader;
use connectors::Connectors;
use dataflow::feed::{Feed, FeedRequest, Haul};
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use os::Os;
use std::collections::BTreeMap;
use std::sync::Arc;

const POLLS_MAX: usize = 500;

/// A feed over a table of the server.
struct Fed {
    feed: Box<dyn Feed>,
    /// The last one that landed.
    position: Option<Vec<u8>>,
    rows: Vec<String>,
}

type Columns<'a> = &'a [(&'a str, DataType, bool)];

fn fed(name: &str, columns: Columns<'_>, options: &[(&str, &str)]) -> Fed {
    fed_by(&server(), name, columns, options)
}

fn fed_by(server: &Server, name: &str, columns: Columns<'_>, options: &[(&str, &str)]) -> Fed {
    let mut all = vec![
        ("connector", "mysql-cdc"),
        ("hostname", "127.0.0.1"),
        ("port", server.port.as_str()),
        ("username", server.user.as_str()),
        ("password", server.password.as_str()),
        ("database-name", "shop"),
        ("table-name", name),
    ];
    all.retain(|(key, _)| options.iter().all(|(other, _)| other != key));
    all.extend_from_slice(options);
    let fields =
        columns.iter().map(|(name, data_type, nullable)| Field::new(*name, data_type.clone(), *nullable));
    let table = Arc::new(TableDefinition {
        name: "t".into(),
        schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        metadata: Vec::new(),
        primary_key: vec![columns[0].0.into()],
        partition_keys: Vec::new(),
        options: all.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
    });
    let connectors = connectors::table(Connectors { os: Os::real(), log: None });
    let request = FeedRequest { table, identity: format!("cdc {name}") };
    let feed = connectors.find("mysql-cdc").unwrap().feed(request).unwrap();
    Fed { feed, position: None, rows: Vec::new() }
}

impl Fed {
    /// Connects (again) at the last position; what is not in it comes again.
    fn open(&mut self) -> Result<(), SourceError> {
        self.feed.open(self.position.as_deref())
    }

    fn poll(&mut self) -> Result<Haul, SourceError> {
        let haul = self.feed.poll(100)?;
        self.position = haul.position.clone().or(self.position.take());
        self.rows.extend(haul.records.iter().filter_map(|record| record.value.as_deref()).map(shown));
        Ok(haul)
    }

    /// Polls until so many rows have come in all.
    fn until(&mut self, rows: usize) -> Result<&[String], SourceError> {
        for _ in 0..POLLS_MAX {
            if self.rows.len() >= rows {
                return Ok(&self.rows);
            }
            self.poll()?;
        }
        panic!("{} rows came, and not {rows}: {:?}", self.rows.len(), self.rows.last());
    }

    /// Polls until a row has come.
    fn until_row(&mut self, row: &str) -> Result<&[String], SourceError> {
        for _ in 0..POLLS_MAX {
            if self.rows.iter().any(|come| come == row) {
                return Ok(&self.rows);
            }
            self.poll()?;
        }
        panic!("{row} did not come; the last of {} rows is {:?}", self.rows.len(), self.rows.last());
    }

    fn error(&mut self) -> SourceError {
        match self.open() {
            Err(error) => error,
            Ok(()) => self.until(usize::MAX).unwrap_err(),
        }
    }
}

/// A record of the log: `+I 1|a|NULL`.
fn shown(value: &[u8]) -> String {
    let mut reader = FieldReader::new(value);
    reader.u8().unwrap();
    let kind = ["+I", "-U", "+U", "-D"][usize::from(reader.u8().unwrap())];
    reader.i64().unwrap();
    let (_, _) = (reader.text().unwrap(), reader.text().unwrap());
    let count = reader.u32().unwrap();
    let values = (0..count).map(|_| match reader.u8().unwrap() {
        0 => "NULL".to_string(),
        _ => reader.text().unwrap(),
    });
    format!("{kind} {}", values.collect::<Vec<_>>().join("|"))
}

const ID: (&str, DataType, bool) = ("id", DataType::Int64, false);
const NAME: (&str, DataType, bool) = ("name", DataType::Utf8, true);

#[test]
fn every_type_has_the_same_text_in_the_table_and_in_the_log() {
    let server = server();
    let types = "id BIGINT PRIMARY KEY, a TINYINT, b SMALLINT UNSIGNED, c MEDIUMINT, d INT UNSIGNED, e BIGINT UNSIGNED, f FLOAT, \
         g DOUBLE, h DECIMAL(20, 6), i BIT(10), j YEAR, k DATE, l TIME(2), m DATETIME, n DATETIME(6), o TIMESTAMP(3) NULL, \
         p CHAR(5), q VARCHAR(300) CHARACTER SET utf8mb4, r VARCHAR(20) CHARACTER SET latin1, s TEXT, t BINARY(4), u VARBINARY(9), v LONGBLOB, \
         w ENUM('x', 'it''s'), x SET('a', 'b', 'c'), y JSON, z BOOLEAN";
    let values = [
        "-128, 65535, -8388608, 4294967295, 18446744073709551615, 0.1, -1.5e300, -12345678901234.5, b'1000000001', 2024, \
         '2024-02-29', '-838:59:58.25', '0001-01-01 00:00:00', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.125', 'ab  ', \
         'größe \u{1f600}', 'größe €', 'text', x'0100', x'00ff', x'', 'it''s', 'a,c', '{\"a\": 1}', TRUE",
        "1, 2, 3, 4, 5, 16777216, 0.1, 0.000001, b'0', 1901, '1000-01-01', '00:00:00.01', '2024-01-01 12:00:00', \
         '2024-01-01 12:00:00', '1970-01-01 00:00:01', '', '', '', '', x'', x'', x'ff', 'x', '', '[]', FALSE",
        "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
         NULL, NULL, NULL, NULL, NULL, NULL, NULL",
    ];
    let types = if server.is_old() { types.replace("JSON", "TEXT") } else { types.to_string() };
    server.run(&format!("CREATE TABLE cdc_types ({types})"));
    let letters: Vec<String> = ('a'..='z').map(|letter| letter.to_string()).collect();
    let typed = |name: &str| match name {
        "z" => DataType::Boolean,
        "t" | "u" | "v" => DataType::Binary,
        "o" => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        _ => DataType::Utf8,
    };
    let mut columns = vec![ID];
    columns.extend(letters.iter().map(|name| (name.as_str(), typed(name), true)));
    let insert = |first: usize| {
        for (place, values) in values.iter().enumerate() {
            server.run(&format!("INSERT INTO cdc_types VALUES ({}, {values})", first + place));
        }
    };
    insert(0);
    let mut fed = fed("cdc_types", &columns, &[]);
    fed.open().unwrap();
    fed.until(3).unwrap();
    insert(10);
    let rows = fed.until(6).unwrap();
    let behind_id = |row: &String| row.split_once('|').unwrap().1.to_string();
    let texts: Vec<String> = rows.iter().map(behind_id).collect();
    assert_eq!(texts[..3], texts[3..]);
    let expected = "-128|65535|-8388608|4294967295|18446744073709551615|0.1|-1.5e300|-12345678901234.500000|513|2024|2024-02-29|\
         -838:59:58.25|0001-01-01 00:00:00|9999-12-31 23:59:59.999999|2038-01-19 03:14:07.125|ab|größe \u{1f600}|größe €|text|\
         \\x01000000|\\x00ff|\\x|it's|a,c|{\"a\": 1}|t";
    assert_eq!(texts[0], expected);
}

#[test]
fn changes_come_in_order_and_another_key_is_another_row() {
    let server = server();
    server.run("CREATE TABLE cdc_kinds (id BIGINT PRIMARY KEY, name VARCHAR(20)); INSERT INTO cdc_kinds VALUES (1, 'a')");
    let mut fed = fed("cdc_kinds", &[ID, NAME], &[]);
    fed.open().unwrap();
    fed.until(1).unwrap();
    server.run(
        "UPDATE cdc_kinds SET name = NULL; UPDATE cdc_kinds SET id = 2; INSERT INTO cdc_kinds VALUES (3, 'c'), (4, 'd'); \
         START TRANSACTION; DELETE FROM cdc_kinds WHERE id = 4; ROLLBACK; DELETE FROM cdc_kinds WHERE id = 3",
    );
    let expected = ["+I 1|a", "-U 1|a", "+U 1|NULL", "-D 1|NULL", "+I 2|NULL", "+I 3|c", "+I 4|d", "-D 3|c"];
    assert_eq!(fed.until(8).unwrap(), expected);
}

/// A table is read in small parts, every one after a new connection, while others change it on both sides of what was
/// read: what has come is what the table is.
#[test]
fn a_table_that_changes_while_it_is_read_is_whole() {
    let server = server();
    for (name, key) in [
        ("cdc_numbers", "BIGINT"),
        ("cdc_letters", "VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_german1_ci"),
        ("cdc_bytes", "VARBINARY(20)"),
    ] {
        server.run(&format!("CREATE TABLE {name} (id {key} PRIMARY KEY, name VARCHAR(20))"));
        let all: Vec<String> = (0..60).map(|n| format!("({}, 'first')", n * 10)).collect();
        server.run(&format!("INSERT INTO {name} VALUES {}", all.join(", ")));
        let id = match name {
            "cdc_bytes" => ("id", DataType::Binary, false),
            _ => ("id", DataType::Utf8, false),
        };
        let mut fed = fed(name, &[id, NAME], &[("scan.snapshot.fetch.size", "7")]);
        let mut other = server.session();
        for round in 0..6 {
            fed.open().unwrap();
            fed.poll().unwrap();
            fed.poll().unwrap();
            for n in [5, 300, 595, round * 50 + 10] {
                let sql = format!(
                    "INSERT INTO {name} VALUES ({}, 'new'); UPDATE {name} SET name = 'round {round}' WHERE id = {n}; \
                     DELETE FROM {name} WHERE id = {}",
                    1_000 + round * 10_000 + n,
                    n + 20 + round * 10
                );
                run(&mut other, &sql);
            }
        }
        fed.open().unwrap();
        run(&mut other, &format!("INSERT INTO {name} VALUES (999999, 'last')"));
        let last = if name == "cdc_bytes" { "+I \\x393939393939|last" } else { "+I 999999|last" };
        fed.until_row(last).unwrap();
        let mut table: BTreeMap<String, i32> = BTreeMap::new();
        for row in &fed.rows {
            let (kind, row) = row.split_once(' ').unwrap();
            let count = table.entry(row.to_string()).or_default();
            *count += if kind == "+I" || kind == "+U" { 1 } else { -1 };
            assert!((0..2).contains(count), "{name}: {row} is there {count} times");
        }
        let mut found: Vec<String> =
            table.into_iter().filter(|(_, count)| *count == 1).map(|(row, _)| row).collect();
        let id = if name == "cdc_bytes" { "CONCAT('\\x', LOWER(HEX(id)))" } else { "id" };
        let rows = server.run(&format!("SELECT CONCAT({id}, '|', name) FROM {name}"));
        let mut wanted: Vec<String> = rows.lines().map(str::to_string).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{name}");
    }
}

#[test]
fn a_large_transaction_that_is_cut_off_comes_once() {
    let server = server();
    server.run("CREATE TABLE cdc_large (id BIGINT PRIMARY KEY, name TEXT)");
    let mut fed = fed("cdc_large", &[ID, NAME], &[("scan.startup.mode", "latest-offset")]);
    fed.open().unwrap();
    fed.poll().unwrap();
    let rows: Vec<String> = (1..=5000).map(|n| format!("({n}, REPEAT('x', 1000))")).collect();
    server.run(&format!("INSERT INTO cdc_large VALUES {}", rows.join(", ")));
    server.run("INSERT INTO cdc_large VALUES (0, 'last')");
    let mut connections = 0;
    while !fed.rows.iter().any(|row| row == "+I 0|last") {
        fed.open().unwrap();
        connections += 1;
        for _ in 0..POLLS_MAX {
            if !fed.poll().unwrap().records.is_empty() {
                break;
            }
        }
    }
    assert!(connections > 3, "it came in {connections} parts");
    let mut ids: Vec<&str> = fed.rows.iter().map(|row| row[3..].split('|').next().unwrap()).collect();
    assert_eq!(ids.len(), 5001);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5001);
}

#[test]
fn large_rows_behind_small_ones_come_in_hauls_that_fit_a_frame() {
    const ROW_BYTES: usize = 1 << 20;
    let server = server();
    server.run("CREATE TABLE cdc_big (id BIGINT PRIMARY KEY, name LONGTEXT)");
    let rows: Vec<String> = (0..200).map(|n| format!("({n}, 'small')")).collect();
    server.run(&format!("INSERT INTO cdc_big VALUES {}", rows.join(", ")));
    for n in 200..240 {
        server.run(&format!("INSERT INTO cdc_big VALUES ({n}, REPEAT('x', {ROW_BYTES}))"));
    }
    let mut fed = fed("cdc_big", &[ID, NAME], &[]);
    fed.open().unwrap();
    while fed.rows.len() < 240 {
        let haul = fed.poll().unwrap();
        let bytes: usize = haul.records.iter().filter_map(|record| record.value.as_ref()).map(Vec::len).sum();
        assert!(bytes <= (8 << 20) + 2 * ROW_BYTES, "{} records of {bytes} bytes", haul.records.len());
    }
    let mut ids: Vec<&str> = fed.rows.iter().map(|row| row[3..].split('|').next().unwrap()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((fed.rows.len(), ids.len()), (240, 240));
}

#[test]
fn columns_come_and_go() {
    let server = server();
    server.run("CREATE TABLE cdc_columns (id BIGINT PRIMARY KEY, name VARCHAR(9), other INT)");
    let mut fed = fed("cdc_columns", &[ID, NAME], &[]);
    fed.open().unwrap();
    fed.poll().unwrap();
    server.run("INSERT INTO cdc_columns VALUES (1, 'a', 1)");
    fed.until(1).unwrap();
    server.run("ALTER TABLE cdc_columns ADD COLUMN first INT FIRST, DROP COLUMN other");
    server.run("INSERT INTO cdc_columns VALUES (7, 2, 'b')");
    fed.until(2).unwrap();
    server.run("ALTER TABLE cdc_columns DROP COLUMN name");
    server.run("INSERT INTO cdc_columns VALUES (7, 3)");
    assert_eq!(fed.until(3).unwrap(), ["+I 1|a", "+I 2|b", "+I 3|NULL"]);
    // What is read later than its table changed is not guessed at.
    server.run("INSERT INTO cdc_columns VALUES (8, 4)");
    server.run("ALTER TABLE cdc_columns ADD COLUMN more INT");
    fed.open().unwrap();
    let error = fed.until(4).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("set binlog_row_metadata = FULL"), "{error}");
    // With names it is.
    if server.is_old() {
        return;
    }
    let mut session = server.session();
    server.run(
        "CREATE TABLE cdc_signs (id BIGINT PRIMARY KEY, y YEAR, a INT UNSIGNED, b INT, c TINYINT UNSIGNED)",
    );
    run(&mut session, "SET GLOBAL binlog_row_metadata = FULL");
    let latest = [("scan.startup.mode", "latest-offset")];
    let mut fed = self::fed("cdc_columns", &[ID], &latest);
    fed.open().unwrap();
    fed.poll().unwrap();
    server.run("INSERT INTO cdc_columns VALUES (8, 5, 1)");
    server.run("ALTER TABLE cdc_columns ADD COLUMN again INT FIRST");
    let came = fed.until(1).map(<[String]>::to_vec);
    let texts = ["y", "a", "b", "c"].map(|name| (name, DataType::Utf8, true));
    let mut signs = self::fed("cdc_signs", &[&[ID][..], &texts].concat(), &latest);
    signs.open().unwrap();
    signs.poll().unwrap();
    server.run("INSERT INTO cdc_signs VALUES (1, 2024, 4294967295, -1, 255)");
    let signed = signs.until(1).map(<[String]>::to_vec);
    run(&mut session, "SET GLOBAL binlog_row_metadata = NO_LOG");
    assert_eq!(came.unwrap(), ["+I 5"]);
    assert_eq!(signed.unwrap(), ["+I 1|2024|4294967295|-1|255"]);
}

/// What is read on lies in another file then, and so does the first transaction that the snapshot has not seen.
#[test]
fn a_transaction_at_the_begin_of_a_file_is_not_lost() {
    let server = server();
    server.run("CREATE TABLE cdc_files (id BIGINT PRIMARY KEY, name VARCHAR(20))");
    let all: Vec<String> = (0..200).map(|n| format!("({n}, 'first')")).collect();
    server.run(&format!("INSERT INTO cdc_files VALUES {}", all.join(", ")));
    let mut fed = fed("cdc_files", &[ID, NAME], &[("scan.snapshot.fetch.size", "10")]);
    for round in 0..8 {
        server.run("FLUSH BINARY LOGS");
        fed.open().unwrap();
        server.run(&format!("INSERT INTO cdc_files VALUES ({}, 'new')", 1_000 + round));
        fed.poll().unwrap();
        fed.poll().unwrap();
    }
    server.run("INSERT INTO cdc_files VALUES (2000, 'last')");
    fed.until_row("+I 2000|last").unwrap();
    let mut rows = fed.rows.clone();
    rows.sort();
    rows.dedup();
    assert_eq!((fed.rows.len(), rows.len()), (209, 209), "{rows:?}");
}

#[test]
fn what_cannot_be_read_ends_the_job_with_advice() {
    let server = server();
    server.run(
        "CREATE TABLE cdc_bare (id BIGINT, name TEXT); CREATE TABLE cdc_cut (id BIGINT PRIMARY KEY, name TEXT); \
         CREATE TABLE cdc_said (id BIGINT PRIMARY KEY, name TEXT); \
         CREATE TABLE cdc_place (id BIGINT PRIMARY KEY, place POINT, name VARCHAR(9) CHARACTER SET ucs2)",
    );
    let told = |mut fed: Fed, told: &str| {
        let error = fed.error();
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
        assert!(error.message.contains(told), "{error}");
    };
    told(fed("cdc_bare", &[ID, NAME], &[]), "has no primary key, by which its rows could be read");
    server.run(
        "CREATE TABLE cdc_parents (id BIGINT PRIMARY KEY); \
         CREATE TABLE cdc_cascades (id BIGINT PRIMARY KEY, parent BIGINT, CONSTRAINT goes FOREIGN KEY (parent) \
         REFERENCES cdc_parents (id) ON DELETE CASCADE); \
         CREATE TABLE cdc_strict (id BIGINT PRIMARY KEY, parent BIGINT, CONSTRAINT stays FOREIGN KEY (parent) \
         REFERENCES cdc_parents (id) ON DELETE RESTRICT); \
         CREATE TABLE cdc_plain (id BIGINT PRIMARY KEY) ENGINE=MyISAM",
    );
    let latest = ("scan.startup.mode", "latest-offset");
    // Who may only SELECT is told as well.
    let grants = "GRANT SELECT ON shop.* TO cdc_reader; GRANT REPLICATION SLAVE, REPLICATION CLIENT, RELOAD ON *.* TO cdc_reader";
    server.run(&format!("CREATE USER cdc_reader IDENTIFIED BY 'reader'; {grants}"));
    let reader = [("username", "cdc_reader"), ("password", "reader")];
    for options in [&[][..], &[latest], &reader] {
        told(
            fed("cdc_cascades", &[ID], options),
            "has the foreign key 'goes' with a rule (CASCADE, SET NULL)",
        );
    }
    assert!(fed("cdc_strict", &[ID], &reader).open().is_ok());
    told(fed("cdc_plain", &[ID], &reader), "has ENGINE=MyISAM, of which no snapshot shows the rows");
    assert!(fed("cdc_plain", &[ID], &[latest]).open().is_ok());
    let mut strict = fed("cdc_strict", &[ID], &[latest]);
    strict.open().unwrap();
    strict.poll().unwrap();
    server.run("ALTER TABLE cdc_strict DROP FOREIGN KEY stays");
    server.run(
        "ALTER TABLE cdc_strict ADD CONSTRAINT later FOREIGN KEY (parent) REFERENCES cdc_parents (id) ON DELETE SET NULL",
    );
    let error = strict.until(1).unwrap_err();
    assert!(error.message.contains("has the foreign key 'later' with a rule"), "{error}");
    told(fed("cdc_strict", &[ID], &[latest]), "has the foreign key 'later' with a rule");
    if !server.is_old() {
        server.run("CREATE TABLE cdc_versions (id BIGINT PRIMARY KEY) WITH SYSTEM VERSIONING");
        told(fed("cdc_versions", &[ID], &[latest]), "is WITH SYSTEM VERSIONING");
    }
    let mut unread = vec![("place", "is point"), ("name", "has the character set ucs2")];
    if !server.is_old() {
        server.run("ALTER TABLE cdc_place ADD COLUMN ids UUID");
        unread.push(("ids", "is uuid"));
    }
    for (name, part) in unread {
        told(fed("cdc_place", &[ID, (name, DataType::Utf8, true)], &[]), part);
    }
    told(fed("cdc_cut", &[ID, ("nam", DataType::Utf8, true)], &[]), "did you mean 'name'?");
    told(fed("cdc_cut", &[ID, ("name", DataType::Int32, true)], &[]), "is declared INT and is text");
    let gone =
        [("scan.startup.mode", "specific-offset"), ("scan.startup.specific-offset.file", "binlog.999999")];
    told(fed("cdc_cut", &[ID], &gone), "the server has removed what follows in its binary log");
    let error = fed("cdc_nowhere", &[ID], &[]).error();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");

    let truncate = |options: &[(&str, &str)]| {
        let mut fed = fed("cdc_cut", &[ID], options);
        fed.open().unwrap();
        fed.poll().unwrap();
        server.run("TRUNCATE TABLE `shop`.`cdc_cut`; INSERT INTO cdc_cut VALUES (1, 'a')");
        fed.until(1).map(<[String]>::to_vec)
    };
    let error = truncate(&[latest]).unwrap_err();
    assert!(error.message.contains("the table 'cdc_cut' was truncated"), "{error}");
    assert_eq!(truncate(&[latest, ("truncate.handling.mode", "skip")]).unwrap(), ["+I 1"]);

    server.run(
        "CREATE DATABASE cdc_other; CREATE TABLE cdc_other.`cdc-said` (id BIGINT PRIMARY KEY); \
         CREATE TABLE `cdc-said` (id BIGINT PRIMARY KEY); CREATE TABLE cdc_parts (id BIGINT PRIMARY KEY, name TEXT) \
         PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))",
    );
    let after = |name: &str, sql: &str| {
        let mut fed = fed(name, &[ID], &[latest]);
        fed.open().unwrap();
        fed.poll().unwrap();
        server.run(sql);
        fed.until(1).map(<[String]>::to_vec)
    };
    let said = "SET SESSION binlog_format = STATEMENT";
    for name in ["cdc_said", "cdc-said"] {
        let error = after(name, &format!("{said}; INSERT INTO `{name}` (id) VALUES (1)")).unwrap_err();
        assert!(error.message.contains("was logged as it is, and not by its rows"), "{error}");
    }
    // A MySQL with numbers of transactions refuses such a statement itself.
    if !server.is_old() {
        let made = format!("{said}; CREATE TABLE cdc_made (id BIGINT PRIMARY KEY) SELECT 1 AS id");
        let error = after("cdc_said|cdc_made", &made).unwrap_err();
        assert!(error.message.contains("names the table 'cdc_made' was logged as it is"), "{error}");
    }
    // Tables of another database are others.
    let others = "TRUNCATE TABLE cdc_other.`cdc-said`; USE cdc_other; SET SESSION binlog_format = STATEMENT; \
                  INSERT INTO `cdc-said` VALUES (7); SET SESSION binlog_format = ROW; INSERT INTO shop.`cdc-said` VALUES (2)";
    assert_eq!(after("cdc-said", others).unwrap(), ["+I 2"]);
    for sql in ["TRUNCATE PARTITION p0", "DROP PARTITION p0"] {
        let error = after("cdc_parts", &format!("ALTER TABLE cdc_parts {sql}")).unwrap_err();
        assert!(
            error.message.contains("the table 'cdc_parts' was truncated, or lost or got a partition"),
            "{error}"
        );
    }
}

#[test]
fn a_job_begins_behind_transactions_that_are_named() {
    let server = server();
    server.run(
        "CREATE TABLE cdc_named (id BIGINT PRIMARY KEY, name TEXT); INSERT INTO cdc_named VALUES (1, 'a')",
    );
    let done = if server.is_old() { "@@global.gtid_executed" } else { "@@global.gtid_binlog_pos" };
    let done = server.run(&format!("SELECT {done}"));
    server.run("FLUSH BINARY LOGS; INSERT INTO cdc_named VALUES (2, 'b'), (3, 'c')");
    let options =
        [("scan.startup.mode", "specific-offset"), ("scan.startup.specific-offset.gtid-set", done.as_str())];
    let mut fed = fed("cdc_named", &[ID], &options);
    fed.open().unwrap();
    fed.until(2).unwrap();
    // So it does from then on.
    fed.open().unwrap();
    server.run("DELETE FROM cdc_named WHERE id = 1");
    assert_eq!(fed.until(3).unwrap(), ["+I 2", "+I 3", "-D 1"]);
    let wrong = if server.is_old() { "0-1-1" } else { "3e11fa47-71ca-11e1-9e33-c80aa9429562:1" };
    let options = [options[0], ("scan.startup.specific-offset.gtid-set", wrong)];
    let error = self::fed("cdc_named", &[ID], &options).error();
    assert!(error.message.contains("which is no set of this server's"), "{error}");
}

/// The first server is away in the midst of a transaction; the other one has all of it, and goes on.
#[test]
fn another_server_goes_on_where_the_first_one_was() {
    let server = server();
    server.run(
        "CREATE TABLE cdc_moved (id BIGINT PRIMARY KEY, name TEXT); INSERT INTO cdc_moved VALUES (1, 'a')",
    );
    let mut fed = fed("cdc_moved", &[ID, NAME], &[]);
    fed.open().unwrap();
    fed.until(1).unwrap();
    server.run("INSERT INTO cdc_moved VALUES (2, 'b')");
    fed.until(2).unwrap();
    let rows: Vec<String> = (10..5_010).map(|n| format!("({n}, REPEAT('x', 1000))")).collect();
    server.run(&format!("INSERT INTO cdc_moved VALUES {}", rows.join(", ")));
    server.run("INSERT INTO cdc_moved VALUES (3, 'c')");
    fed.until(3).unwrap();
    assert!(fed.rows.len() < 5_000, "the transaction came at once");

    let replica = server.replica();
    server.run("INSERT INTO cdc_moved VALUES (4, 'never seen again')");
    replica.run("INSERT INTO cdc_moved VALUES (5, 'e')");
    let mut moved = fed_by(&replica, "cdc_moved", &[ID, NAME], &[]);
    // A MariaDB sends no second log to the same reader before the first one's last write has failed.
    drop(fed.feed);
    (moved.position, moved.rows) = (fed.position, fed.rows);
    moved.open().unwrap();
    moved.until_row("+I 5|e").unwrap();
    replica.run("FLUSH BINARY LOGS; INSERT INTO cdc_moved VALUES (6, 'f')");
    moved.open().unwrap();
    moved.until_row("+I 6|f").unwrap();
    let mut rows = moved.rows.clone();
    rows.sort();
    rows.dedup();
    assert_eq!((moved.rows.len(), rows.len()), (5_005, 5_005));

    // The first one has not what the other one did since.
    let mut back = fed_by(&server, "cdc_moved", &[ID, NAME], &[]);
    back.position = moved.position;
    let error = back.error();
    let told = ["has not what was read of the one before", "changes differ from those that were read"];
    assert!(told.iter().any(|told| error.message.contains(told)), "{error}");
}

#[test]
fn the_earliest_place_has_all_that_the_server_still_has() {
    let server: Server = server();
    server.run(
        "CREATE TABLE cdc_early (id BIGINT PRIMARY KEY, name TEXT); INSERT INTO cdc_early VALUES (1, 'a')",
    );
    server.run("FLUSH BINARY LOGS; DELETE FROM cdc_early");
    let mut fed = fed("cdc_early", &[ID], &[("scan.startup.mode", "earliest-offset")]);
    fed.open().unwrap();
    assert_eq!(fed.until(2).unwrap(), ["+I 1", "-D 1"]);
}
