//! How far tables have been read that are read whole, in the order of their keys.
//!
//! Rows are read under a snapshot of the server. When the node dies meanwhile, the snapshot is gone, and the rest of a table
//! is read under a new one. So a table may consist of several *pieces*, ranges of keys that were read under different
//! snapshots.

use base::codec::{CodecError, FieldReader, FieldWriter};

/// Texts of a key's columns.
pub(crate) type Key = Vec<String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table<S> {
    /// With a server that has no schemas, the database.
    pub schema: String,
    pub name: String,
    /// In the order of their keys.
    pub pieces: Vec<Piece<S>>,
    /// The last key that has landed, while the table is read.
    pub last: Option<Key>,
    pub is_read: bool,
}

/// Rows that were read under one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece<S> {
    pub snapshot: S,
    /// The greatest key; none where the piece is the last.
    pub until: Option<Key>,
}

impl<S: Clone> Table<S> {
    pub(crate) fn unread(schema: &str, name: &str) -> Table<S> {
        Table { schema: schema.into(), name: name.into(), pieces: Vec::new(), last: None, is_read: false }
    }

    /// The rest is read under another snapshot.
    pub(crate) fn go_on_under(&mut self, snapshot: &S) {
        if self.is_read {
            return;
        }
        match (&self.last, self.pieces.last_mut()) {
            (Some(last), Some(piece)) => piece.until = Some(last.clone()),
            _ => self.pieces.clear(),
        }
        self.pieces.push(Piece { snapshot: snapshot.clone(), until: None });
    }

    pub(crate) fn is(&self, schema: &str, name: &str) -> bool {
        self.schema == schema && self.name == name
    }
}

pub(crate) fn write_tables<S>(
    out: &mut FieldWriter,
    tables: &[Table<S>],
    write_snapshot: impl Fn(&mut FieldWriter, &S),
) {
    out.u32(tables.len() as u32);
    for table in tables {
        out.text(&table.schema).text(&table.name).u8(u8::from(table.is_read));
        write_key(out, table.last.as_ref());
        out.u32(table.pieces.len() as u32);
        for piece in &table.pieces {
            write_snapshot(out, &piece.snapshot);
            write_key(out, piece.until.as_ref());
        }
    }
}

pub(crate) fn read_tables<'a, S>(
    reader: &mut FieldReader<'a>,
    read_snapshot: impl Fn(&mut FieldReader<'a>) -> Result<S, CodecError>,
) -> Result<Vec<Table<S>>, CodecError> {
    let mut tables = Vec::new();
    for _ in 0..reader.count(11)? {
        let (schema, name, is_read) = (reader.text()?, reader.text()?, reader.u8()? != 0);
        let last = read_key(reader)?;
        let mut pieces = Vec::new();
        for _ in 0..reader.count(5)? {
            pieces.push(Piece { snapshot: read_snapshot(reader)?, until: read_key(reader)? });
        }
        tables.push(Table { schema, name, pieces, last, is_read });
    }
    Ok(tables)
}

pub(crate) fn write_key(out: &mut FieldWriter, key: Option<&Key>) {
    let key = key.map_or(&[][..], Vec::as_slice);
    out.u32(key.len() as u32);
    key.iter().for_each(|text| {
        out.text(text);
    });
}

/// A key has at least one column.
pub(crate) fn read_key(reader: &mut FieldReader<'_>) -> Result<Option<Key>, CodecError> {
    let count = reader.count(1)?;
    let key = (0..count).map(|_| reader.text()).collect::<Result<Key, _>>()?;
    Ok((!key.is_empty()).then_some(key))
}
