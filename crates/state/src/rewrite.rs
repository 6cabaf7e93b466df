//! A table of a snapshot made into another one: with some of its columns, with another time to live.
//!
//! The keys stay as they are, so one pass over the runs of the old table gives the run of the new one, in bounded memory.
//! The old table stays as it is: until a snapshot names the new run, a crash leaves nothing but a file that is removed.

use crate::error::StateError;
use crate::keyed_columns::RowCodec;
use crate::layers::{Body, Layer};
use crate::run::{Merge, RunWriter};
use crate::store::{RestoredTable, Store, StoredRun};
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
    /// Has the table `to` begin with what the snapshot has in `from`, both named as they lie on disk; to be done before
    /// `to` is opened. `now_ms` is the clock of the snapshot. `goes_on` is asked now and then; the answer is false if it
    /// said no.
    pub fn rewrite(
        &self,
        (from, to): (TableId, TableId),
        rewrite: &Rewrite,
        now_ms: i64,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<bool, StateError> {
        let mut parts = Vec::new();
        for part in self.restored_parts(from) {
            let runs = match Pass::new(rewrite, now_ms)?.run(self, &part, goes_on)? {
                Some(run) => run.map(|run| (part.groups.clone(), run)).into_iter().collect(),
                None => return Ok(false),
            };
            parts.push(RestoredTable { runs, ..part });
        }
        self.restore_as(to, parts);
        Ok(true)
    }
}

/// One pass over a part of a table.
struct Pass<'a> {
    rewrite: &'a Rewrite,
    /// How the values are read, and how they are written.
    codecs: Option<[RowCodec; 2]>,
    old: TimeToLive,
    new: TimeToLive,
    now_ms: i64,
}

impl Pass<'_> {
    fn new(rewrite: &Rewrite, now_ms: i64) -> Result<Pass<'_>, StateError> {
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
        Ok(Pass { rewrite, codecs, old, new, now_ms })
    }

    /// The new run, none of it if nothing is left; no answer if it is to stop.
    fn run(
        &self,
        store: &Store,
        part: &RestoredTable,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Option<Arc<StoredRun>>>, StateError> {
        let layer = |(groups, run): &(Range<usize>, Arc<StoredRun>)| {
            Layer { groups: groups.clone(), body: Body::Run(run.clone()) }.scan(&[], None)
        };
        let mut entries = Merge::new(part.runs.iter().map(layer).collect());
        let hashes = part.runs.iter().fold(0, |sum: u64, (_, run)| sum.saturating_add(run.run.hashes()));
        let mut output = None;
        let mut batch = Vec::with_capacity(BATCH_ENTRIES);
        let mut done = 0_u64;
        loop {
            let entry = entries.next()?;
            let is_end = entry.is_none();
            if let Some(entry) = entry {
                done += 1;
                batch.extend(entry.value.and_then(|value| {
                    let expires = self.expires(value, entry.expires);
                    // What lives without a time to live may expire by another clock.
                    let stays = !self.new.is_set() || expires > self.now_ms;
                    let value = self.old.live(value, self.now_ms).filter(|_| stays)?;
                    Some(Entry { hash: entry.hash, key: entry.key.to_vec(), value: value.to_vec(), expires })
                }));
            }
            if batch.len() >= BATCH_ENTRIES || is_end {
                self.write(store, hashes, &batch, &mut output)?;
                batch.clear();
            }
            if is_end {
                break;
            }
            if done % BATCH_ENTRIES as u64 == 0 && !goes_on() {
                return Ok(None);
            }
        }
        let run = output.map(|(number, writer)| store.files.finish(number, writer)).transpose()?;
        Ok(Some(run))
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
