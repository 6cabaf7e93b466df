//! A table of a snapshot made into another one: with some of its columns, with another time to live.
//!
//! The keys stay as they are, so one pass over the runs of the table gives the run that it goes on with, in bounded
//! memory. The snapshot has the old runs: until another one names the new run, a crash leaves nothing but a file that is
//! removed.

use crate::error::StateError;
use crate::keyed_columns::RowCodec;
use crate::layers::{Body, Layer};
use crate::run::{Merge, RunWriter};
use crate::store::{RestoredTable, Runs, Store, StoredRun};
use crate::table::TableId;
use crate::ttl::TimeToLive;
use arrow_schema::DataType;
use std::ops::Range;
use std::sync::Arc;

/// Entries that are decoded at once.
const BATCH_ENTRIES: usize = 4096;

/// What becomes of the values of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// Without it values stay as they are.
    pub columns: Option<PickedColumns>,
    pub old_ttl_ms: Option<u64>,
    /// Counted from when a value was last written; where there was no time to live, from now on.
    pub ttl_ms: Option<u64>,
}

/// Some of the columns that the values of a table are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PickedColumns {
    /// Of all columns that are there.
    pub types: Vec<DataType>,
    /// Those that stay, in their new order.
    pub picked: Vec<usize>,
}

/// An entry that is on its way.
struct Entry {
    hash: u64,
    key: Vec<u8>,
    /// Without its stamp.
    value: Vec<u8>,
    expires: i64,
}

impl Store {
    /// Has a table, named as it lies on disk, begin with what becomes of what the snapshot has of it; to be done before it
    /// is opened. `clock_ms` says what has had its time by then; a first time to live begins at `now_ms`. `goes_on` is told now and then how many entries have passed, and asked;
    /// the answer is false if it said no, and the table is as it was.
    pub fn rewrite(
        &self,
        id: TableId,
        rewrite: &Rewrite,
        (clock_ms, now_ms): (i64, i64),
        goes_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, StateError> {
        let pass = Pass::new(rewrite, (clock_ms, now_ms))?;
        let mut parts = Vec::new();
        for part in self.restored_parts(id) {
            let Some(runs) = pass.runs(self, &part, goes_on)? else { return Ok(false) };
            parts.push(RestoredTable { runs, ..part });
        }
        self.restore_as(id, parts);
        Ok(true)
    }

    /// How many entries, older and deleted ones among them, the snapshot has of a table that is named as it lies on disk.
    pub fn restored_entries(&self, id: TableId) -> u64 {
        let parts = self.restored_parts(id);
        parts.iter().flat_map(|part| &part.runs).map(|(_, run)| run.run.entries()).sum()
    }
}

/// One pass over a part of a table.
struct Pass<'a> {
    rewrite: &'a Rewrite,
    /// How the values are read, and how they are written.
    codecs: Option<[RowCodec; 2]>,
    old: TimeToLive,
    new: TimeToLive,
    clock_ms: i64,
    now_ms: i64,
}

impl Pass<'_> {
    fn new(rewrite: &Rewrite, (clock_ms, now_ms): (i64, i64)) -> Result<Pass<'_>, StateError> {
        let codecs = match &rewrite.columns {
            Some(PickedColumns { types, picked }) => {
                let stay: Option<Vec<DataType>> =
                    picked.iter().map(|place| types.get(*place).cloned()).collect();
                let stay = stay.ok_or_else(|| StateError::damaged("a column that stays is not there"))?;
                Some([RowCodec::new(types.clone())?, RowCodec::new(stay)?])
            }
            None => None,
        };
        let (old, new) = (TimeToLive::new(rewrite.old_ttl_ms), TimeToLive::new(rewrite.ttl_ms));
        Ok(Pass { rewrite, codecs, old, new, clock_ms, now_ms })
    }

    /// The runs of the part from now on, one or none; no answer if it is to stop.
    fn runs(
        &self,
        store: &Store,
        part: &RestoredTable,
        goes_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Runs>, StateError> {
        let layer = |(groups, run): &(Range<usize>, Arc<StoredRun>)| {
            Layer { groups: groups.clone(), body: Body::Run(run.clone()) }.scan(&[], None)
        };
        let mut entries = Merge::new(part.runs.iter().map(layer).collect());
        let hashes = part.runs.iter().fold(0, |sum: u64, (_, run)| sum.saturating_add(run.run.hashes()));
        let mut output = None;
        let mut batch = Vec::with_capacity(BATCH_ENTRIES);
        loop {
            batch.clear();
            let passed = self.read(&mut entries, &mut batch)?;
            if passed == 0 {
                break;
            }
            self.write(store, hashes, &batch, &mut output)?;
            if !goes_on(passed) {
                return Ok(None);
            }
        }
        let run = output.map(|(number, writer)| store.files.finish(number, writer)).transpose()?;
        Ok(Some(run.into_iter().map(|run| (part.groups.clone(), run)).collect()))
    }

    /// The entries of the next batch that stay; answers how many have passed.
    fn read(&self, entries: &mut Merge, batch: &mut Vec<Entry>) -> Result<u64, StateError> {
        let mut passed = 0;
        while passed < BATCH_ENTRIES as u64 {
            let Some(entry) = entries.next()? else { break };
            passed += 1;
            let Some(stored) = entry.value else { continue };
            let expires = self.expires(stored, entry.expires);
            // What lives without a time to live may expire by another clock.
            let stays = !self.new.is_set() || expires > self.clock_ms;
            if let Some(value) = self.old.live(stored, self.clock_ms).filter(|_| stays) {
                let (key, value) = (entry.key.to_vec(), value.to_vec());
                batch.push(Entry { hash: entry.hash, key, value, expires });
            }
        }
        Ok(passed)
    }

    /// When the new value expires; what expires by itself and not by a time to live stays as it is.
    fn expires(&self, stored: &[u8], expires: i64) -> i64 {
        match (self.rewrite.old_ttl_ms, self.rewrite.ttl_ms) {
            (old, new) if old == new => expires,
            (_, None) => i64::MAX,
            (None, Some(_)) => self.new.expires_at(self.now_ms),
            (Some(old_ms), Some(_)) => {
                self.new.expires_at(self.old.expires(Some(stored)).saturating_sub_unsigned(old_ms))
            }
        }
    }

    fn write(
        &self,
        store: &Store,
        hashes: u64,
        batch: &[Entry],
        output: &mut Option<(u64, RunWriter)>,
    ) -> Result<(), StateError> {
        if batch.is_empty() {
            return Ok(());
        }
        let rows = match &self.codecs {
            Some([old, new]) => {
                let columns = old.decode(batch.iter().map(|entry| entry.value.as_slice()))?;
                let picked = self.rewrite.columns.iter().flat_map(|columns| &columns.picked);
                let picked: Vec<_> = picked.map(|place| columns[*place].clone()).collect();
                new.encode(&picked)?
            }
            None => None,
        };
        if output.is_none() {
            let (number, mut writer) = store.files.create()?;
            writer.expect(hashes);
            *output = Some((number, writer));
        }
        let Some((_, writer)) = output else { return Ok(()) };
        let mut value = Vec::new();
        for (row, entry) in batch.iter().enumerate() {
            value.clear();
            if self.new.is_set() {
                value.extend_from_slice(&entry.expires.to_le_bytes());
            }
            match (&rows, &self.codecs) {
                (Some(rows), _) => value.extend_from_slice(rows.row(row).data()),
                // No column is left.
                (None, Some(_)) => {}
                (None, None) => value.extend_from_slice(&entry.value),
            }
            writer.add(entry.hash, &entry.key, Some(&value), entry.expires)?;
        }
        Ok(())
    }
}
