//! How far a feed has come: a place in the server's log, and what is known of the tables that were read whole.
//!
//! Tables consist of pieces (`row_changes::pieces`) that were read under snapshots. A change whose transaction a piece's
//! snapshot sees is in the piece already; any other is not. That decides, for each row that the slot sends, whether it is
//! new, exactly and also for pieces that were read long after the slot was made.

use crate::row_changes::pieces;
use base::codec::{CodecError, FieldReader, FieldWriter};

const VERSION: u8 = 1;

/// A piece has the number of its snapshot.
pub(super) type Table = pieces::Table<usize>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The database system that the place belongs to.
    pub system: String,
    /// All transactions that were committed before this place have landed.
    pub lsn: u64,
    /// So many changes of the transaction whose commit lies at the place have landed, too.
    pub changes: u64,
    /// None when all that a snapshot may have seen has passed by.
    pub tables: Option<Tables>,
}

/// The tables that are, or were, read whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tables {
    pub snapshots: Vec<Snapshot>,
    /// Transactions that were committed behind this place are seen by none of the snapshots.
    pub settled_lsn: u64,
    pub tables: Vec<Table>,
}

/// Which transactions are seen: those before `first_unseen` but those that were under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub first_unseen: u64,
    pub under_way: Vec<u64>,
}

impl Snapshot {
    /// From PostgreSQL's own form, `10:20:10,14,15`.
    pub(super) fn parse(text: &str) -> Option<Snapshot> {
        let mut parts = text.split(':');
        let (_, first_unseen) = (parts.next()?, parts.next()?.parse().ok()?);
        let under_way = parts.next()?.split(',').filter(|xid| !xid.is_empty());
        let under_way = under_way.map(|xid| xid.parse().ok()).collect::<Option<Vec<u64>>>()?;
        Some(Snapshot { first_unseen, under_way })
    }

    /// Whether it sees what a committed transaction did. The slot tells the lower half of its number, which is near the
    /// snapshot's: numbers that are 2^31 apart are never in use together.
    pub(super) fn sees(&self, xid: u32) -> bool {
        let distance = (self.first_unseen as u32).wrapping_sub(xid) as i32;
        distance > 0 && !self.under_way.iter().any(|other| *other as u32 == xid)
    }
}

impl Tables {
    /// The rest is read under another snapshot; not under one that does not see what the first one saw, which a commit that
    /// waits for a standby can bring about: answers the number of that transaction.
    pub(super) fn go_on_under(&mut self, snapshot: Snapshot) -> Result<(), u64> {
        if let Some(first) = self.snapshots.first()
            && let Some(xid) = snapshot.under_way.iter().find(|xid| first.sees(**xid as u32))
        {
            return Err(*xid);
        }
        self.snapshots.push(snapshot);
        let newest = self.snapshots.len() - 1;
        self.tables.iter_mut().for_each(|table| table.go_on_under(&newest));
        Ok(())
    }

    pub(super) fn are_read(&self) -> bool {
        self.tables.iter().all(|table| table.is_read)
    }

    /// For each piece of a table: whether it holds what the transaction did. None where no snapshot can have seen it: a
    /// server that falls over may give numbers of transactions that came to nothing once more.
    pub(super) fn seen_in(
        &self,
        schema: &str,
        name: &str,
        commit_lsn: u64,
        xid: u32,
    ) -> Option<(&Table, Vec<bool>)> {
        if commit_lsn >= self.settled_lsn {
            return None;
        }
        let table = self.tables.iter().find(|table| table.is(schema, name))?;
        let sees = |piece: &pieces::Piece<usize>| {
            self.snapshots.get(piece.snapshot).is_some_and(|one| one.sees(xid))
        };
        Some((table, table.pieces.iter().map(sees).collect()))
    }
}

impl Position {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.u8(VERSION).text(&self.system).u64(self.lsn).u64(self.changes);
        let Some(tables) = &self.tables else {
            out.u8(0);
            return out.finish();
        };
        out.u8(1).u64(tables.settled_lsn).u32(tables.snapshots.len() as u32);
        for snapshot in &tables.snapshots {
            out.u64(snapshot.first_unseen).u32(snapshot.under_way.len() as u32);
            snapshot.under_way.iter().for_each(|xid| {
                out.u64(*xid);
            });
        }
        pieces::write_tables(&mut out, &tables.tables, |out, snapshot| {
            out.u32(*snapshot as u32);
        });
        out.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Position, CodecError> {
        let mut reader = FieldReader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(CodecError { what: "an unknown version" });
        }
        let (system, lsn, changes) = (reader.text()?, reader.u64()?, reader.u64()?);
        let tables = match reader.u8()? {
            0 => None,
            _ => Some(read_tables(&mut reader)?),
        };
        reader.finish()?;
        Ok(Position { system, lsn, changes, tables })
    }
}

fn read_tables(reader: &mut FieldReader<'_>) -> Result<Tables, CodecError> {
    let mut read = Tables { settled_lsn: reader.u64()?, ..Tables::default() };
    for _ in 0..reader.count(12)? {
        let first_unseen = reader.u64()?;
        let count = reader.count(8)?;
        let under_way = (0..count).map(|_| reader.u64()).collect::<Result<Vec<u64>, _>>()?;
        read.snapshots.push(Snapshot { first_unseen, under_way });
    }
    read.tables = pieces::read_tables(reader, |reader| Ok(reader.u32()? as usize))?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> Table {
        Table::unread("public", name)
    }

    #[test]
    fn a_snapshot_sees_what_was_committed_before_it() {
        let snapshot = Snapshot::parse("10:20:10,14").unwrap();
        let seen: Vec<u32> = (8..22).filter(|xid| snapshot.sees(*xid)).collect();
        assert_eq!(seen, [8, 9, 11, 12, 13, 15, 16, 17, 18, 19]);
        assert_eq!(Snapshot::parse("10:10:").unwrap(), Snapshot { first_unseen: 10, under_way: vec![] });
        assert_eq!(Snapshot::parse("10"), None);
        // Numbers begin anew after 2^32.
        let late = Snapshot { first_unseen: (1 << 32) + 5, under_way: vec![(1 << 32) + 3] };
        assert!(late.sees(u32::MAX) && late.sees(4) && !late.sees(3) && !late.sees(5) && !late.sees(100));
    }

    #[test]
    fn what_is_left_of_a_table_is_a_piece_of_its_own() {
        let all = vec![table("a"), table("b"), table("c")];
        let mut tables = Tables { tables: all, settled_lsn: 100, ..Tables::default() };
        assert_eq!(tables.go_on_under(Snapshot { first_unseen: 10, under_way: vec![] }), Ok(()));
        tables.tables[0].is_read = true;
        tables.tables[1].last = Some(vec!["7".into()]);
        assert_eq!(tables.go_on_under(Snapshot { first_unseen: 20, under_way: vec![12, 9] }), Err(9));
        assert_eq!(tables.go_on_under(Snapshot { first_unseen: 20, under_way: vec![12] }), Ok(()));
        let seen = |name: &str, xid: u32| tables.seen_in("public", name, 99, xid).map(|(_, seen)| seen);
        assert_eq!(tables.seen_in("public", "c", 100, 15), None);
        assert_eq!(seen("a", 15), Some(vec![false]));
        assert_eq!(seen("b", 15), Some(vec![false, true]));
        assert_eq!(seen("b", 12), Some(vec![false, false]));
        assert_eq!(seen("c", 15), Some(vec![true]));
        assert_eq!(seen("d", 15), None);
        assert_eq!(tables.tables[1].pieces[0].until, Some(vec!["7".to_string()]));
        let position = Position { system: "7".into(), lsn: 8, changes: 9, tables: Some(tables) };
        let bytes = position.encode();
        assert_eq!(Position::decode(&bytes), Ok(position));
        for length in 0..bytes.len() {
            assert!(Position::decode(&bytes[..length]).is_err());
        }
    }
}
