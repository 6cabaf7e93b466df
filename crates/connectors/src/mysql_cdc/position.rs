//! How far a feed has come: a place in the server's binary log, and what is known of the tables that were read whole.
//!
//! Pieces of tables (`row_changes::pieces`) are read under snapshots that have a place in the log. A transaction that begins
//! before a piece's place is in the piece already; any other is not. That decides, for each row of the log, whether it is new.

use super::gtid::{Gtid, Gtids};
use crate::row_changes::pieces;
use base::codec::{CodecError, FieldReader, FieldWriter};
use std::cmp::Ordering;

const VERSION: u8 = 2;
/// Without numbers that transactions have on all servers.
const FIRST_VERSION: u8 = 1;
/// How a set of such numbers is written.
const UNKNOWN: u8 = 0;
const OF_MARIADB: u8 = 1;
const OF_MYSQL: u8 = 2;

pub(super) type Table = pieces::Table<Place>;

/// A place in the log: a file, and an offset in it. Files are numbered behind their last point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub file: String,
    pub at: u64,
}

impl Place {
    fn number(&self) -> u64 {
        self.file.rsplit('.').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Place) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Place) -> Ordering {
        (self.number(), self.at).cmp(&(other.number(), other.at))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}", self.file, self.at)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The server that the place belongs to.
    pub server: String,
    /// All transactions that end at this place, or before it, have landed.
    pub place: Place,
    /// So many rows of the transaction that begins at the place have landed, too.
    pub rows: u64,
    /// Which transaction that is.
    pub rows_of: Option<Gtid>,
    /// The same transactions by the numbers that they have on all servers; none where they have none, or it is not known.
    pub gtids: Option<Gtids>,
    /// The server is asked for all but those, since the place is another server's, or none.
    pub is_by_gtid: bool,
    /// When the server began the file; 0 where it has not said so yet.
    pub begun_s: u32,
    /// None when all that a snapshot may have seen has passed by.
    pub tables: Option<Tables>,
}

/// The tables that are, or were, read whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tables {
    /// No snapshot has seen what begins here or behind it.
    pub settled: Place,
    pub tables: Vec<Table>,
}

impl Tables {
    /// The rest is read under another snapshot.
    pub(super) fn go_on_under(&mut self, snapshot: &Place) {
        self.settled = self.settled.clone().max(snapshot.clone());
        self.tables.iter_mut().for_each(|table| table.go_on_under(snapshot));
    }

    pub(super) fn are_read(&self) -> bool {
        self.tables.iter().all(|table| table.is_read)
    }

    /// For each piece of a table: whether it holds what the transaction that begins at a place did.
    pub(super) fn seen_in(&self, database: &str, name: &str, begin: &Place) -> Option<(&Table, Vec<bool>)> {
        if *begin >= self.settled {
            return None;
        }
        let table = self.tables.iter().find(|table| table.is(database, name))?;
        Some((table, table.pieces.iter().map(|piece| *begin < piece.snapshot).collect()))
    }
}

impl Position {
    /// From now on another server is read, which has the same transactions in its own log.
    pub(super) fn move_to(&mut self, server: String) {
        self.server = server;
        self.is_by_gtid = true;
        self.forget_place();
    }

    /// Where the server begins to send is not known before it does.
    pub(super) fn forget_place(&mut self) {
        self.place = Place::default();
        self.begun_s = 0;
    }

    /// Forgets what the snapshots saw when all of it has passed by.
    pub(super) fn settle(&mut self) {
        let is_over = |tables: &Tables| tables.are_read() && self.place >= tables.settled;
        if self.rows == 0 && self.tables.as_ref().is_some_and(is_over) {
            self.tables = None;
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.u8(VERSION).text(&self.server);
        write_place(&mut out, &self.place);
        out.u64(self.rows).u32(self.begun_s);
        out.text(&self.rows_of.map_or(String::new(), |gtid| gtid.to_string()));
        match &self.gtids {
            None => out.u8(UNKNOWN),
            Some(gtids @ Gtids::MariaDb(_)) => out.u8(OF_MARIADB).text(&gtids.to_string()),
            Some(gtids @ Gtids::MySql(_)) => out.u8(OF_MYSQL).text(&gtids.to_string()),
        };
        out.u8(u8::from(self.is_by_gtid));
        let Some(tables) = &self.tables else {
            out.u8(0);
            return out.finish();
        };
        out.u8(1);
        write_place(&mut out, &tables.settled);
        pieces::write_tables(&mut out, &tables.tables, write_place);
        out.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Position, CodecError> {
        let mut reader = FieldReader::new(bytes);
        let version = reader.u8()?;
        if ![FIRST_VERSION, VERSION].contains(&version) {
            return Err(CodecError { what: "an unknown version" });
        }
        let (server, place) = (reader.text()?, read_place(&mut reader)?);
        let (rows, begun_s) = (reader.u64()?, reader.u32()?);
        let mut position = Position { server, place, rows, begun_s, ..Position::default() };
        if version == VERSION {
            let unknown = CodecError { what: "a transaction's number" };
            let rows_of = reader.text()?;
            if !rows_of.is_empty() {
                position.rows_of = Some(Gtid::parse(&rows_of).ok_or(unknown)?);
            }
            position.gtids = match reader.u8()? {
                UNKNOWN => None,
                kind => Some(Gtids::parse(&reader.text()?, kind == OF_MARIADB).ok_or(unknown)?),
            };
            position.is_by_gtid = reader.u8()? != 0;
        }
        position.tables = match reader.u8()? {
            0 => None,
            _ => {
                let settled = read_place(&mut reader)?;
                Some(Tables { settled, tables: pieces::read_tables(&mut reader, read_place)? })
            }
        };
        reader.finish()?;
        Ok(position)
    }
}

fn write_place(out: &mut FieldWriter, place: &Place) {
    out.text(&place.file).u64(place.at);
}

fn read_place(reader: &mut FieldReader<'_>) -> Result<Place, CodecError> {
    Ok(Place { file: reader.text()?, at: reader.u64()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u64, at: u64) -> Place {
        Place { file: format!("binlog.{number:06}"), at }
    }

    #[test]
    fn files_are_ordered_by_their_numbers() {
        assert!(place(999_999, 9) < place(1_000_000, 4) && place(2, 4) < place(2, 5));
        assert_eq!(place(2, 5).to_string(), "binlog.000002:5");
    }

    #[test]
    fn what_is_left_of_a_table_is_a_piece_of_its_own() {
        let table = |name: &str| Table::unread("shop", name);
        let mut tables = Tables { tables: vec![table("a"), table("b"), table("c")], ..Tables::default() };
        tables.go_on_under(&place(1, 100));
        tables.tables[0].is_read = true;
        tables.tables[1].last = Some(vec!["7".into()]);
        tables.go_on_under(&place(2, 50));
        let seen = |name: &str, begin: Place| tables.seen_in("shop", name, &begin).map(|(_, seen)| seen);
        assert_eq!(seen("a", place(1, 100)), Some(vec![false]));
        assert_eq!(seen("a", place(1, 99)), Some(vec![true]));
        assert_eq!(seen("b", place(1, 500)), Some(vec![false, true]));
        assert_eq!(seen("c", place(1, 500)), Some(vec![true]));
        assert_eq!(seen("c", place(2, 50)), None);
        assert_eq!(seen("d", place(1, 500)), None);
        assert_eq!(tables.tables[1].pieces[0].until, Some(vec!["7".to_string()]));
        let mut position = Position {
            server: "1".into(),
            place: place(2, 60),
            begun_s: 5,
            tables: Some(tables),
            ..Position::default()
        };
        let bytes = position.encode();
        assert_eq!(Position::decode(&bytes).as_ref(), Ok(&position));
        for length in 0..bytes.len() {
            assert!(Position::decode(&bytes[..length]).is_err());
        }
        position.settle();
        assert!(position.tables.is_some());
        position.tables.iter_mut().flat_map(|all| &mut all.tables).for_each(|table| table.is_read = true);
        position.settle();
        assert_eq!(position.tables, None);
        position.rows_of = Gtid::parse("0-1-28");
        position.gtids = Gtids::parse("0-1-27,1-1-4", true);
        position.is_by_gtid = true;
        assert_eq!(Position::decode(&position.encode()).as_ref(), Ok(&position));
    }

    #[test]
    fn what_was_written_without_numbers_is_read() {
        let mut out = FieldWriter::new();
        out.u8(FIRST_VERSION).text("server").text("binlog.000002").u64(60).u64(3).u32(5).u8(0);
        let read = Position::decode(&out.finish()).unwrap();
        assert_eq!(
            (read.server.as_str(), read.place, read.rows, read.begun_s),
            ("server", place(2, 60), 3, 5)
        );
        assert!(read.gtids.is_none() && !read.is_by_gtid && read.tables.is_none());
    }
}
