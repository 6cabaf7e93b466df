//! Rows become documents, and documents go to the server.

use super::options::ID;
use super::session::{Session, server_error};
use super::writes;
use crate::jdbc::key_columns;
use crate::messages::Done;
use crate::store::{Change, Encoded, Store, Verdict};
use arrow_array::RecordBatch;
use dataflow::table::TableDefinition;
use formats::bson::{Bson, Document, bson_document, bson_value};
use os::Clock;
use sha2::{Digest, Sha256};
use std::sync::Arc;

pub(super) struct Documents {
    session: Session,
    key: Vec<(usize, String)>,
    clock: Arc<dyn Clock>,
    /// The job, with the sink's place in it.
    job: String,
    /// Five bytes that stand for this sink in ids.
    maker: [u8; 5],
}

impl Documents {
    pub(super) fn new(
        table: &TableDefinition,
        session: Session,
        clock: Arc<dyn Clock>,
        job: &str,
    ) -> Documents {
        let named = |column: usize| (column, table.schema.field(column).name().clone());
        let key = key_columns(table).into_iter().map(named).collect();
        Documents { session, key, clock, job: job.into(), maker: [0; 5] }
    }

    /// The key of a row, as the server has it under `_id`.
    fn id(&self, rows: &RecordBatch, row: usize) -> Result<Option<Bson>, String> {
        let value = |column: usize, name: &str| match bson_value(rows.column(column).as_ref(), row)? {
            Bson::Null => Err(format!("the column '{name}' of the primary key is NULL")),
            value => Ok(value),
        };
        Ok(match self.key.as_slice() {
            [] => None,
            [(column, name)] => Some(object_id(value(*column, name)?)),
            several => {
                let values = several.iter().map(|(column, name)| Ok((name.clone(), value(*column, name)?)));
                Some(Bson::Document(Document(values.collect::<Result<_, String>>()?)))
            }
        })
    }
}

/// As Flink's connector does, a text that reads as an ObjectId is taken for one.
pub(super) fn object_id(value: Bson) -> Bson {
    match &value {
        Bson::String(text) => read_object_id(text).map_or(value, Bson::ObjectId),
        _ => value,
    }
}

pub(super) fn read_object_id(text: &str) -> Option<[u8; 12]> {
    if text.len() != 24 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut id = [0; 12];
    for (place, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(place * 2..place * 2 + 2)?, 16).ok()?;
    }
    Some(id)
}

/// An id for a row without a key, which it has whenever it is sent: the second at which it was written to the outbox, who sends
/// it, and the end of its offset, of which no second has as many. Ids of one sink grow with their rows, as those of drivers do.
fn made_id(maker: [u8; 5], timestamp_ms: i64, offset: i64) -> [u8; 12] {
    let mut id = [0; 12];
    id[..4].copy_from_slice(&(timestamp_ms.div_euclid(1000) as u32).to_be_bytes());
    id[4..9].copy_from_slice(&maker);
    id[9..].copy_from_slice(&(offset as u32).to_be_bytes()[1..]);
    id
}

impl Store for Documents {
    fn encode(
        &mut self,
        rows: &RecordBatch,
        row: usize,
        is_deleted: bool,
        _clock_ms: i64,
    ) -> Result<Encoded, String> {
        let key = self.id(rows, row)?.map(|id| Document::new().with(ID, id).to_bytes());
        let value = match is_deleted {
            true => None,
            false => {
                let mut document = bson_document(rows, row)?;
                // It cannot be set, and is in the key.
                document.0.retain(|(name, _)| name != ID);
                Some(document.to_bytes())
            }
        };
        Ok(Encoded { key, value, note: None })
    }

    fn open(&mut self, mark: u64) -> Done<u64> {
        self.session.reopen().map_err(server_error)?;
        self.session.look().map_err(server_error)?;
        let mark = match mark {
            0 => u64::try_from(self.clock.now_ms()).unwrap_or(0).max(1),
            kept => kept,
        };
        // Another run of a job of this name, on other data, is another maker.
        let digest = Sha256::digest(format!("{} {mark}", self.job));
        self.maker.copy_from_slice(&digest[..5]);
        Ok(mark)
    }

    fn write(&mut self, changes: &[Change]) -> Done<Vec<Verdict>> {
        let maker = self.maker;
        let written = match self.key.is_empty() {
            true => writes::insert(&mut self.session, changes, |change| {
                made_id(maker, change.timestamp_ms, change.offset)
            }),
            false => writes::upsert(&mut self.session, changes),
        };
        written.map_err(server_error)
    }

    fn letter(&self, change: &Change) -> Vec<u8> {
        let read = |bytes: &Option<Vec<u8>>| {
            bytes.as_deref().and_then(|bytes| Document::from_bytes(bytes).ok()).unwrap_or_default()
        };
        let mut document = read(&change.encoded.key);
        document.0.extend(read(&change.encoded.value).0);
        document.to_json().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_drivers_and_grow() {
        let maker = [1, 2, 3, 4, 5];
        let id = made_id(maker, 1_700_000_000_999, 0x01_02_03_04);
        assert_eq!(id, [0x65, 0x53, 0xf1, 0x00, 1, 2, 3, 4, 5, 2, 3, 4]);
        assert!(made_id(maker, 1_700_000_000_000, 7) < made_id(maker, 1_700_000_000_000, 8));
        assert_eq!(object_id("6553F100010203040502 0304".into()), "6553F100010203040502 0304".into());
        let text: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(object_id(text.as_str().into()), Bson::ObjectId(id));
        assert_eq!(read_object_id("é553f1000102030405020304"), None);
    }
}
