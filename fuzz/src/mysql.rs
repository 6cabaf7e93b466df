//! What a MySQL server says to a lookup, to who reads a table, and to a feed of changes: the log-in, columns, rows, and the
//! events of its log.

use crate::script;
use crate::tables::{all_columns, table};
use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use connectors::Connectors;
use dataflow::connector::ConnectorTable;
use dataflow::feed::FeedRequest;
use dataflow::lookup::LookupRequest;
use dataflow::table::TableDefinition;
use std::sync::Arc;

/// What an input for us begins with; no other server begins so.
pub const FIRST: u8 = b'M';
const HAULS_MAX: usize = 100;

pub fn answers(data: &[u8]) {
    let connectors = connectors::table(Connectors { os: script::os(data), log: None });
    look_up(&connectors);
    scan(&connectors);
    follow(&connectors, "initial");
    follow(&connectors, "latest-offset");
}

/// Reads the tables and the changes that the script has, to its end.
fn follow(connectors: &ConnectorTable, mode: &str) {
    let mut table = table(&[
        ("connector", "mysql-cdc"),
        ("hostname", "database"),
        ("username", "user"),
        ("password", "secret"),
        ("database-name", "d"),
        ("table-name", "things"),
        ("scan.startup.mode", mode),
        ("truncate.handling.mode", "skip"),
    ]);
    Arc::make_mut(&mut table).primary_key = vec!["id".into()];
    bring(connectors, "mysql-cdc", table);
}

/// Reads a table whole.
fn scan(connectors: &ConnectorTable) {
    bring(connectors, "jdbc", things());
}

fn bring(connectors: &ConnectorTable, connector: &str, table: Arc<TableDefinition>) {
    let connector = connectors.find(connector).expect("a connector");
    let request = FeedRequest { table, identity: String::new() };
    let mut feed = connector.feed(request).expect("a table of a database");
    let mut position = None;
    // The second time it goes on where the first one ended.
    for _ in 0..2 {
        if feed.open(position.as_deref()).is_err() {
            return;
        }
        for _ in 0..HAULS_MAX {
            let Ok(haul) = feed.poll(0) else { break };
            assert!(haul.records.is_empty() || haul.position.is_some(), "rows landed without a place");
            position = haul.position.or(position);
        }
    }
}

fn things() -> Arc<TableDefinition> {
    table(&[
        ("connector", "jdbc"),
        ("url", "jdbc:mysql://database/d"),
        ("table-name", "things"),
        ("username", "user"),
        ("password", "secret"),
    ])
}

fn look_up(connectors: &ConnectorTable) {
    let table = things();
    let projection = all_columns(&table);
    let request = LookupRequest { table, projection, keys: vec![0], timeout_ms: 1000 };
    let jdbc = connectors.find("jdbc").expect("a connector");
    let mut lookup = jdbc.lookup(request).expect("a table of a database");
    let key = Schema::new(vec![Field::new("id", DataType::Int64, false)]);
    let keys = Arc::new(Int64Array::from(vec![1, 2]));
    let keys = RecordBatch::try_new(Arc::new(key), vec![keys]).expect("two keys");
    if let Ok(found) = lookup.find(&keys) {
        let rows: usize = found.counts.iter().map(|count| *count as usize).sum();
        assert_eq!((found.counts.len(), found.rows.num_rows()), (keys.num_rows(), rows));
    }
}

fn packets(first: u8, bodies: &[&[u8]]) -> Vec<u8> {
    let numbered = bodies.iter().zip(first..);
    let packet =
        |(body, number): (&&[u8], u8)| [&(body.len() as u32).to_le_bytes()[..3], &[number], body].concat();
    numbered.map(packet).collect::<Vec<_>>().concat()
}

fn ok() -> Vec<u8> {
    packets(1, &[b"\0\0\0\x02\0\0\0"])
}

fn text(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

/// The bodies of a result; `end` is 8 where another one follows.
fn bodies(rows: &[&[Option<&str>]], end: u8) -> Vec<Vec<u8>> {
    let columns = rows.first().map_or(1, |row| row.len());
    let column = [b"\x03def\0\0\0\x01c\0\x0c\x2d\0\x04\0\0\0\xfd\0\0\0\0\0".to_vec()];
    let eof = |state: u8| vec![0xfe, 0, 0, state, 0];
    let row = |row: &&[Option<&str>]| {
        row.iter().map(|value| value.map_or(vec![0xfb], text)).collect::<Vec<_>>().concat()
    };
    let head = std::iter::once(vec![columns as u8]).chain(column.into_iter().cycle().take(columns));
    head.chain([eof(2)]).chain(rows.iter().map(row)).chain([eof(2 | end)]).collect()
}

fn result(rows: &[&[Option<&str>]]) -> Vec<u8> {
    let bodies = bodies(rows, 0);
    packets(1, &bodies.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn logged_in() -> Vec<u8> {
    let mut greeting = b"\x0a5.5.5-10.11.6-MariaDB\0\x07\0\0\0abcdefgh\0".to_vec();
    greeting.extend([0xfe, 0xf7, 45, 2, 0, 0xff, 0x81, 21]);
    greeting.extend([0; 10]);
    greeting.extend(b"ijklmnopqrst\0mysql_native_password\0");
    let answer: &[u8] = b"\0\0\0\x02\0\0\0";
    [packets(0, &[&greeting]), packets(2, &[answer]), ok()].concat()
}

/// The columns of the table, as `information_schema` has them; its name is of the given type.
fn columns(name: (&'static str, &'static str)) -> Vec<u8> {
    let utf8 = (Some("utf8mb4"), Some("utf8mb4_bin"));
    let rows = [
        ("id", "bigint", "bigint(20)", (None, None)),
        ("name", name.0, name.1, utf8),
        ("price", "decimal", "decimal(10,2)", (None, None)),
        ("at_time", "datetime", "datetime(6)", (None, None)),
    ];
    let rows = rows.map(|(name, kind, whole, (charset, collation))| {
        [Some(name), Some(kind), Some(whole), charset, collation, Some(""), None, Some("YES")]
    });
    result(&rows.each_ref().map(<[Option<&str>; 8]>::as_slice))
}

const TEXT: (&str, &str) = ("varchar", "varchar(80)");
const JSON: (&str, &str) = ("json", "json");

fn event(kind: u8, end: u32, body: &[u8]) -> Vec<u8> {
    let head = [&7u32.to_le_bytes()[..], &[kind], &[0; 8], &end.to_le_bytes(), &[0, 0]].concat();
    [&[0], head.as_slice(), body].concat()
}

/// A table that is read, and then the server's log; its name is of the type that is given, and logged as one that is told.
fn changes(name: (&'static str, &'static str), logged: (&[u8], &[u8], &[u8])) -> Vec<u8> {
    let (kind, meta, value) = logged;
    let variables: [&[Option<&str>]; 3] = [
        &[Some("server_id"), Some("1")],
        &[Some("binlog_format"), Some("ROW")],
        &[Some("binlog_row_image"), Some("FULL")],
    ];
    let snapshot: [&[Option<&str>]; 2] = [
        &[Some("Binlog_snapshot_file"), Some("binlog.000001")],
        &[Some("Binlog_snapshot_position"), Some("100")],
    ];
    let row: &[Option<&str>] = &[Some("1"), Some("a"), Some("1.20"), Some("2024-01-01 00:00:00"), Some("1")];
    let read = [
        logged_in(),
        ok(),
        result(&variables),
        result(&[&[Some("d"), Some("things")]]),
        columns(name),
        result(&[&[Some("id")]]),
        result(&[&[Some("BASE TABLE"), Some("InnoDB"), Some("YES")]]),
        result(&[]),
        ok(),
        ok(),
        result(&snapshot),
        result(&[&[Some("0-1-7")]]),
        result(&[row]),
        result(&[]),
        ok(),
        ok(),
    ];
    let gtid = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut told = b"\x2a\0\0\0\0\0\x01\0\x01d\0\x06things\0\x04\x08".to_vec();
    told.extend([kind, b"\xf6\x12", &[meta.len() as u8 + 3], meta, b"\x0a\x02\x06\x0e"].concat());
    told.extend([1, 1, 0, 4, 0x16, 2, b'i', b'd', 4]);
    told.extend(b"name\x05price\x07at_time");
    let image = [&[0x08, 1, 0, 0, 0, 0, 0, 0, 0][..], value, &[0x80, 0, 0, 1, 20]].concat();
    let image = image.as_slice();
    let rows =
        |columns: &[u8], images: &[&[u8]]| [b"\x2a\0\0\0\0\0\x01\0\x04", columns, &images.concat()].concat();
    let events = [
        event(4, 0, b"\x64\0\0\0\0\0\0\0binlog.000001"),
        event(15, 0, &[0; 60]),
        event(162, 120, &gtid),
        event(19, 130, &told),
        event(23, 140, &rows(b"\x0f", &[image, image])),
        event(24, 150, &rows(b"\x0f\x0f", &[image, image])),
        event(16, 160, &[0; 8]),
        event(162, 170, &gtid),
        event(19, 180, &told),
        event(25, 190, &rows(b"\x0f", &[image])),
        event(2, 200, b"\x01\0\0\0\0\0\0\0\x01\0\0\0\0d\0COMMIT"),
        event(27, 210, b"binlog.000001"),
    ];
    [read.concat(), packets(1, &events.each_ref().map(Vec::as_slice))].concat()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let row: &[Option<&str>] = &[Some("1"), Some("a"), Some("1.20"), None];
    let found = [bodies(&[row], 8), bodies(&[row, row], 0)].concat();
    let found = packets(1, &found.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let error = packets(1, &[b"\xff\x7a\x04#42S02Table 'x' doesn't exist"]);
    let asked =
        [&packets(0, &[b"\x0a5.7\0"])[..], &packets(2, &[b"\xfecaching_sha2_password\0abc\0"])].concat();
    // {"a": [1, "b", 12.50]}
    let json: &[u8] = b"\x00\x01\0\x21\0\x0b\0\x01\0\x02\x0c\0a\
        \x03\0\x15\0\x05\x01\0\x0c\x0d\0\x0f\x0f\0\x01b\xf6\x04\x04\x02\x8c\x32";
    let json = [&(json.len() as u32).to_le_bytes()[..], json].concat();
    let more: &[u8] = b"\0\0\0\x0a\0\0\0";
    let settings = packets(1, &[more, more, b"\0\0\0\x02\0\0\0"]);
    let key: &[Option<&str>] = &[Some("id")];
    let row: &[Option<&str>] = &[Some("1"), Some("a"), Some("1.20"), Some("2024-01-01 00:00:00"), Some("1")];
    let scanned =
        [logged_in(), settings, columns(TEXT), result(&[key]), ok(), result(&[row, row]), result(&[])];
    [
        scanned.concat(),
        changes(TEXT, (b"\x0f", b"\x40\x01", b"\x01\0a")),
        changes(JSON, (b"\xf5", b"\x04", &json)),
        [logged_in(), ok(), columns(TEXT), found].concat(),
        [logged_in(), ok(), columns(TEXT), error].concat(),
        asked,
    ]
    .map(|said| [&[FIRST], said.as_slice()].concat())
    .into()
}
