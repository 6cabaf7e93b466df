//! Reads the events of the binary log: their heads, where they end, and what is in those that matter.
//!
//! All numbers are sent the least byte first. An event that ends too early, or counts more than it holds, is no event.

use super::gtid::{Gtid, Gtids};
use mysql_client::Rest;

/// The sum behind an event, over all that is before it.
const SUM_BYTES: usize = 4;
const SUM_IS_CRC32: u8 = 1;
const ROTATE: u8 = 4;
const FORMAT: u8 = 15;
const HEARTBEATS: [u8; 2] = [27, 41];
/// An event was made up by the server for its reader, and lies in no file.
const ARTIFICIAL: u16 = 0x20;
const COLUMNS_MAX: u64 = 4096;

/// What a file says of the events in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Format {
    /// There are sums behind them.
    pub has_sums: bool,
    /// MariaDB and MySQL do not tell the same columns' signs.
    pub is_mariadb: bool,
}

/// What stands before every event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub time_s: u32,
    kind: u8,
    /// The number of the server that wrote it.
    server: u32,
    size: u32,
    /// Where the event ends in its file; 0 where it lies in none.
    pub end: u32,
    pub is_artificial: bool,
}

impl Head {
    #[cfg(test)]
    pub(super) fn between(begin: u32, end: u32) -> Head {
        Head { time_s: 7, kind: 0, server: 1, size: end - begin, end, is_artificial: false }
    }

    /// Where the event begins in its file; none where it lies in none.
    pub(super) fn begin(&self) -> Option<u64> {
        self.end.checked_sub(self.size).filter(|begin| *begin > 0).map(u64::from)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// What follows lies in this file, from this place.
    Rotate {
        file: String,
        at: u64,
    },
    /// A file begins.
    Format(Format),
    /// The transactions before a file of MySQL; none where their form is not known.
    Before(Option<Gtids>),
    /// A transaction begins; with `is_alone` it is one statement, which nothing ends. One of two phases is prepared first.
    Begin {
        is_alone: bool,
        is_of_two_phases: bool,
        gtid: Option<Gtid>,
    },
    /// A statement as text, such as one that changes a table's columns. Names without a database are of `database`.
    Query {
        database: String,
        sql: String,
    },
    /// A transaction ends and is committed.
    Commit,
    /// A transaction of two phases is prepared, which another event may commit or take back.
    Prepare,
    Table(Table),
    Rows {
        table: u64,
        kind: RowsKind,
        rest: &'a [u8],
    },
    /// Nothing has happened; all before the place has been sent.
    Heartbeat,
    /// What we would have to read, and do not: why, and what to do.
    Unsupported(&'static str),
    /// What is of no interest.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowsKind {
    Insert,
    Update,
    Delete,
}

/// A table as it is for the rows that follow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Table {
    pub id: u64,
    pub database: String,
    pub name: String,
    pub columns: Vec<Column>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// The number of its type; for what is sent as a string, of the type that it is.
    pub kind: u8,
    pub meta: u16,
    /// Where the server tells more (`binlog_row_metadata`).
    pub name: Option<String>,
    pub is_unsigned: Option<bool>,
    /// The values of an ENUM or SET.
    pub values: Option<Vec<String>>,
}

/// Numbers of types.
pub(super) mod kind {
    pub(in super::super) const TINY: u8 = 1;
    pub(in super::super) const SHORT: u8 = 2;
    pub(in super::super) const LONG: u8 = 3;
    pub(in super::super) const FLOAT: u8 = 4;
    pub(in super::super) const DOUBLE: u8 = 5;
    pub(in super::super) const TIMESTAMP: u8 = 7;
    pub(in super::super) const LONGLONG: u8 = 8;
    pub(in super::super) const INT24: u8 = 9;
    pub(in super::super) const DATE: u8 = 10;
    pub(in super::super) const TIME: u8 = 11;
    pub(in super::super) const DATETIME: u8 = 12;
    pub(in super::super) const YEAR: u8 = 13;
    pub(in super::super) const NEWDATE: u8 = 14;
    pub(in super::super) const VARCHAR: u8 = 15;
    pub(in super::super) const BIT: u8 = 16;
    pub(in super::super) const TIMESTAMP2: u8 = 17;
    pub(in super::super) const DATETIME2: u8 = 18;
    pub(in super::super) const TIME2: u8 = 19;
    pub(in super::super) const JSON: u8 = 245;
    pub(in super::super) const DECIMAL: u8 = 246;
    pub(in super::super) const ENUM: u8 = 247;
    pub(in super::super) const SET: u8 = 248;
    pub(in super::super) const BLOB: u8 = 252;
    pub(in super::super) const VAR_STRING: u8 = 253;
    pub(in super::super) const STRING: u8 = 254;
    pub(in super::super) const GEOMETRY: u8 = 255;
    /// MariaDB's compressed columns.
    pub(in super::super) const BLOB_COMPRESSED: u8 = 140;
    pub(in super::super) const VARCHAR_COMPRESSED: u8 = 141;
}

/// `format` is what the file has said. What the server makes up itself may be without sums.
pub(super) fn event(bytes: &[u8], format: Format) -> Option<(Head, Event<'_>)> {
    let mut rest = Rest(bytes);
    let time_s = rest.u32()?;
    let kind = rest.u8()?;
    let (server, size) = (rest.u32()?, rest.u32()?);
    let end = rest.u32()?;
    let is_artificial = rest.u16()? & ARTIFICIAL != 0;
    let head = Head { time_s, kind, server, size, end, is_artificial };
    // The first event of a flow comes before its file has said anything, and is made up with a sum or without.
    if kind == ROTATE || format.has_sums && kind != FORMAT {
        match summed(bytes) {
            Some(whole) => rest = Rest(rest.0.get(..rest.0.len().checked_sub(bytes.len() - whole.len())?)?),
            None if kind == ROTATE || HEARTBEATS.contains(&kind) => {}
            None => return None,
        }
    }
    Some((head, body(&head, rest, format)?))
}

/// An event without its sum, if that is right.
fn summed(bytes: &[u8]) -> Option<&[u8]> {
    let (whole, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM_BYTES)?)?;
    let mut crc = flate2::Crc::new();
    crc.update(whole);
    (crc.sum().to_le_bytes() == sum).then_some(whole)
}

fn body<'a>(head: &Head, mut rest: Rest<'a>, format: Format) -> Option<Event<'a>> {
    let kind = head.kind;
    Some(match kind {
        2 => query(&mut rest, 0)?,
        // LOAD DATA, with a number, two places in the statement and a choice more.
        18 => query(&mut rest, 13)?,
        ROTATE => {
            let at = rest.number(8)?;
            Event::Rotate { file: text(rest.0), at }
        }
        FORMAT => {
            let algorithm = rest.0.len().checked_sub(1 + SUM_BYTES).and_then(|place| rest.0.get(place));
            let has_sums = algorithm == Some(&SUM_IS_CRC32);
            rest.take(2)?;
            let version = text(rest.take(50)?);
            Event::Format(Format { has_sums, is_mariadb: version.contains("MariaDB") })
        }
        16 => Event::Commit,
        19 => Event::Table(table(&mut rest, format.is_mariadb)?),
        // Version 1 (MariaDB's, and MySQL's 5.5) and version 2, which has more before the columns.
        23..=25 | 30..=32 => {
            let table = rest.number(6)?;
            rest.take(2)?;
            if kind >= 30 {
                let length = usize::from(rest.u16()?);
                rest.take(length.checked_sub(2)?)?;
            }
            let kind = match kind {
                23 | 30 => RowsKind::Insert,
                24 | 31 => RowsKind::Update,
                _ => RowsKind::Delete,
            };
            Event::Rows { table, kind, rest: rest.0 }
        }
        _ if HEARTBEATS.contains(&kind) => Event::Heartbeat,
        // MySQL's transactions with a global identifier, and without.
        33 => {
            rest.take(1)?;
            let server = rest.take(16)?.try_into().ok()?;
            let number = rest.number(8)?;
            Event::Begin {
                is_alone: true,
                is_of_two_phases: false,
                gtid: Some(Gtid::MySql { server, number }),
            }
        }
        // Without one, or with one that has a tag.
        34 | 42 => Event::Begin { is_alone: true, is_of_two_phases: false, gtid: None },
        35 => Event::Before(Gtids::decode(rest.0)),
        38 => Event::Prepare,
        39 => Event::Unsupported("set binlog_row_value_options = '', so that whole rows are logged"),
        40 => Event::Unsupported("set binlog_transaction_compression = OFF"),
        // MariaDB's.
        162 => {
            let (number, domain, flags) = (rest.number(8)?, rest.u32()?, rest.u8()?);
            let gtid = Gtid::MariaDb { domain, server: head.server, number };
            Event::Begin { is_alone: flags & 1 != 0, is_of_two_phases: flags & 0x40 != 0, gtid: Some(gtid) }
        }
        164 => Event::Unsupported("set encrypt_binlog = OFF"),
        165..=171 => Event::Unsupported("set log_bin_compress = OFF"),
        _ => Event::Other,
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `more` bytes stand before the status.
fn query<'a>(rest: &mut Rest<'a>, more: usize) -> Option<Event<'a>> {
    rest.take(8)?;
    let database = usize::from(rest.u8()?);
    rest.take(2)?;
    let status = usize::from(rest.u16()?);
    rest.take(more)?;
    rest.take(status)?;
    let database = text(rest.take(database)?);
    rest.take(1)?;
    Some(Event::Query { database, sql: text(rest.0) })
}

fn name(rest: &mut Rest<'_>) -> Option<String> {
    let length = usize::from(rest.u8()?);
    let name = text(rest.take(length)?);
    rest.take(1)?;
    Some(name)
}

fn table(rest: &mut Rest<'_>, is_mariadb: bool) -> Option<Table> {
    let id = rest.number(6)?;
    rest.take(2)?;
    let (database, name) = (name(rest)?, name(rest)?);
    let count = rest.length().filter(|count| *count <= COLUMNS_MAX)? as usize;
    let kinds = rest.take(count)?;
    let mut metas = Rest(rest.bytes()?);
    rest.take(count.div_ceil(8))?;
    let mut columns = Vec::with_capacity(count);
    for kind in kinds {
        let (kind, meta) = type_of(*kind, &mut metas)?;
        columns.push(Column { kind, meta, name: None, is_unsigned: None, values: None });
    }
    while !rest.is_empty() {
        let field = rest.u8()?;
        more(field, Rest(rest.bytes()?), &mut columns, is_mariadb)?;
    }
    Some(Table { id, database, name, columns })
}

/// The type that a column really has, and what else must be known of it.
fn type_of(sent: u8, metas: &mut Rest<'_>) -> Option<(u8, u16)> {
    use kind::*;
    Some(match sent {
        FLOAT | DOUBLE | BLOB | JSON | GEOMETRY | TIMESTAMP2 | DATETIME2 | TIME2 | BLOB_COMPRESSED => {
            (sent, metas.u8()?.into())
        }
        VARCHAR | VAR_STRING | BIT | VARCHAR_COMPRESSED => (sent, metas.u16()?),
        DECIMAL => (sent, u16::from(metas.u8()?) << 8 | u16::from(metas.u8()?)),
        STRING | ENUM | SET => {
            let (real, length) = (metas.u8()?, u16::from(metas.u8()?));
            match real & 0x30 {
                0x30 => (real, length),
                // Two bits of a long string's length hide in its type.
                bits => (real | 0x30, length | u16::from(bits ^ 0x30) << 4),
            }
        }
        _ => (sent, 0),
    })
}

/// What the server tells besides.
fn more(field: u8, mut rest: Rest<'_>, columns: &mut [Column], is_mariadb: bool) -> Option<()> {
    use kind::*;
    match field {
        1 => {
            let is_number = |column: &&mut Column| {
                matches!(column.kind, TINY | SHORT | INT24 | LONG | LONGLONG | FLOAT | DOUBLE | DECIMAL)
                    || is_mariadb && column.kind == YEAR
            };
            for (place, column) in columns.iter_mut().filter(is_number).enumerate() {
                let byte = rest.0.get(place / 8)?;
                column.is_unsigned = Some(byte & (0x80 >> (place % 8)) != 0);
            }
        }
        4 => {
            for column in columns {
                column.name = Some(text(rest.bytes()?));
            }
        }
        5 | 6 => {
            let wanted = if field == 5 { SET } else { ENUM };
            for column in columns.iter_mut().filter(|column| column.kind == wanted) {
                let count = rest.length()?;
                let values = (0..count).map(|_| rest.bytes().map(text)).collect::<Option<Vec<_>>>()?;
                column.values = Some(values);
            }
        }
        _ => {}
    }
    Some(())
}

/// What the rows of an event hold: for each column whether it is there, before and after the change.
pub(super) struct Rows<'a> {
    pub rest: Rest<'a>,
    pub before: &'a [u8],
    pub after: &'a [u8],
}

/// `columns` is how many the table has.
pub(super) fn rows(kind: RowsKind, rest: &[u8], columns: usize) -> Option<Rows<'_>> {
    let mut rest = Rest(rest);
    if rest.length()? != columns as u64 {
        return None;
    }
    let before = rest.take(columns.div_ceil(8))?;
    let after = if kind == RowsKind::Update { rest.take(columns.div_ceil(8))? } else { before };
    Some(Rows { rest, before, after })
}

pub(super) fn bit(bits: &[u8], place: usize) -> bool {
    bits.get(place / 8).is_some_and(|byte| byte & (1 << (place % 8)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Format = Format { has_sums: false, is_mariadb: false };
    const SUMMED: Format = Format { has_sums: true, is_mariadb: false };

    fn sent(kind: u8, end: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = 7u32.to_le_bytes().to_vec();
        bytes.push(kind);
        bytes.extend(9u32.to_le_bytes());
        bytes.extend((19 + body.len() as u32).to_le_bytes());
        bytes.extend(end.to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(body);
        bytes
    }

    /// `CREATE TABLE t (id INT UNSIGNED, name VARCHAR(80), e ENUM('a','b'), c CHAR(200))` under utf8mb4, with all that is told.
    fn told() -> Vec<u8> {
        let mut body = b"\x2a\0\0\0\0\0\x01\0\x04shop\0\x01t\0\x04\x03\x0f\xfe\xfe".to_vec();
        body.extend([6, 0x40, 0x01, 0xf7, 1, 0xce, 0x20, 0x0f]);
        body.extend([1, 1, 0x80]);
        body.extend(b"\x04\x0c\x02id\x04name\x01e\x01c");
        body.extend(b"\x06\x05\x02\x01a\x01b");
        body
    }

    #[test]
    fn a_table_is_told_with_its_columns() {
        let bytes = sent(19, 100, &told());
        let Some((head, Event::Table(table))) = event(&bytes, PLAIN) else {
            panic!("{:?}", event(&bytes, PLAIN))
        };
        assert_eq!((head.time_s, head.end, head.is_artificial), (7, 100, false));
        assert_eq!(head.begin(), Some(100 - bytes.len() as u64));
        assert_eq!((table.id, table.database.as_str(), table.name.as_str()), (42, "shop", "t"));
        let kinds: Vec<(u8, u16)> = table.columns.iter().map(|column| (column.kind, column.meta)).collect();
        assert_eq!(kinds, [(kind::LONG, 0), (kind::VARCHAR, 320), (kind::ENUM, 1), (kind::STRING, 800)]);
        assert_eq!(table.columns[0].is_unsigned, Some(true));
        assert_eq!(table.columns[1].name.as_deref(), Some("name"));
        assert_eq!(table.columns[2].values, Some(vec!["a".to_string(), "b".to_string()]));
        // The parts that are told besides may be missing as a whole.
        let whole = told();
        let ends: Vec<usize> = (0..whole.len())
            .filter(|length| event(&sent(19, 100, &whole[..*length]), PLAIN).is_some())
            .collect();
        assert_eq!(ends, [whole.len() - 24, whole.len() - 21, whole.len() - 7]);
    }

    /// `(y YEAR, n INT UNSIGNED)`, of which MariaDB tells two signs and MySQL one.
    #[test]
    fn a_year_has_a_sign_with_mariadb_alone() {
        let body = b"\x2a\0\0\0\0\0\x01\0\x04shop\0\x01t\0\x02\x0d\x03\0\x03\x01\x01";
        let signs = |is_mariadb, bits| {
            let bytes = sent(19, 100, &[&body[..], &[bits]].concat());
            match event(&bytes, Format { is_mariadb, ..PLAIN }) {
                Some((_, Event::Table(table))) => table.columns[1].is_unsigned,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((signs(true, 0x40), signs(true, 0x80)), (Some(true), Some(false)));
        assert_eq!((signs(false, 0x80), signs(false, 0x40)), (Some(true), Some(false)));
        let format = |version: &[u8]| sent(FORMAT, 9, &[&b"\x04\0"[..], version, &[0; 50]].concat());
        let read = Event::Format(Format { has_sums: false, is_mariadb: true });
        assert_eq!(event(&format(b"10.11.6-MariaDB-log"), PLAIN).unwrap().1, read);
        assert_eq!(event(&format(b"8.0.40"), PLAIN).unwrap().1, Event::Format(PLAIN));
    }

    #[test]
    fn events_are_told_apart() {
        let rotate = sent(4, 0, b"\x04\0\0\0\0\0\0\0binlog.000002");
        assert_eq!(event(&rotate, PLAIN).unwrap().1, Event::Rotate { file: "binlog.000002".into(), at: 4 });
        let query = sent(2, 9, b"\x01\0\0\0\0\0\0\0\x04\0\0\x02\0xxshop\0BEGIN");
        let read = Event::Query { database: "shop".into(), sql: "BEGIN".into() };
        assert_eq!(event(&query, PLAIN).unwrap().1, read);
        let load = sent(18, 9, b"\x01\0\0\0\0\0\0\0\x01\0\0\x01\0abcdefghijklmxd\0LOAD DATA");
        let read = Event::Query { database: "d".into(), sql: "LOAD DATA".into() };
        assert_eq!(event(&load, PLAIN).unwrap().1, read);
        for length in 0..19 + 20 {
            assert!(event(&query[..length], PLAIN).is_none(), "{length}");
        }
        let begin = sent(162, 9, b"\x01\0\0\0\0\0\0\0\0\0\0\0\x01");
        let gtid = Some(Gtid::MariaDb { domain: 0, server: 9, number: 1 });
        let read = Event::Begin { is_alone: true, is_of_two_phases: false, gtid };
        assert_eq!(event(&begin, PLAIN).unwrap().1, read);
        let begin = sent(33, 9, b"\x010123456789abcdef\x07\0\0\0\0\0\0\0\x02");
        let gtid = Some(Gtid::MySql { server: *b"0123456789abcdef", number: 7 });
        let read = Event::Begin { is_alone: true, is_of_two_phases: false, gtid };
        assert_eq!(event(&begin, PLAIN).unwrap().1, read);
        assert_eq!(event(&sent(35, 9, &[0; 8]), PLAIN).unwrap().1, Event::Before(Gtids::parse("", false)));
        let rows = sent(30, 9, b"\x2a\0\0\0\0\0\x01\0\x02\0\x01\xff\0");
        let Some((_, Event::Rows { table: 42, kind: RowsKind::Insert, rest })) = event(&rows, PLAIN) else {
            panic!()
        };
        let found = super::rows(RowsKind::Insert, rest, 1).unwrap();
        assert!(bit(found.before, 0) && found.rest.0 == b"\0");
        assert!(super::rows(RowsKind::Insert, rest, 2).is_none());
        assert!(matches!(event(&sent(40, 9, b""), PLAIN).unwrap().1, Event::Unsupported(_)));
        assert_eq!(event(&sent(160, 9, b"x"), PLAIN).unwrap().1, Event::Other);
    }

    #[test]
    fn a_sum_behind_an_event_must_be_right() {
        let mut bytes = sent(16, 9, &[0; 8]);
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        bytes.extend(crc.sum().to_le_bytes());
        assert_eq!(event(&bytes, SUMMED).unwrap().1, Event::Commit);
        bytes[5] ^= 1;
        assert!(event(&bytes, SUMMED).is_none());
        let mut rotate = sent(ROTATE, 0, b"\x04\0\0\0\0\0\0\0binlog.000002");
        let read = Event::Rotate { file: "binlog.000002".into(), at: 4 };
        assert_eq!(event(&rotate, SUMMED).unwrap().1, read);
        let mut crc = flate2::Crc::new();
        crc.update(&rotate);
        rotate.extend(crc.sum().to_le_bytes());
        assert_eq!(event(&rotate, PLAIN).unwrap().1, read);
        let format = |algorithm| sent(FORMAT, 9, &[&[0; 60][..], &[algorithm, 1, 2, 3, 4]].concat());
        assert_eq!(event(&format(1), PLAIN).unwrap().1, Event::Format(SUMMED));
        assert_eq!(event(&format(0), SUMMED).unwrap().1, Event::Format(PLAIN));
    }
}
