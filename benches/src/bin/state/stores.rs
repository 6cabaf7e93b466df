//! Our tables over sorted runs beside fjall and redb, at what state does: batches of changes, gets, and a durable point.
//!
//! Each has the same memory for its caches, and each may use the page cache. Batches are written as a step would write
//! them; the durable point is a snapshot here, a synced journal in fjall, a synced commit in redb. Only the
//! first can be gone back to later.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use benches::report::{Table, rounded};
use fjall::{Database as Fjall, Keyspace, KeyspaceCreateOptions, PersistMode};
use os::Os;
use redb::{Database as Redb, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use state::run::{Merge, Run, SortedSource};
use state::{
    Key, KeyedMap, PendingSnapshot, Snapshot, SnapshotParts, Store, StoreOptions, Table as _, TableId,
};

use crate::Site;

const ENTRIES: usize = 4_000_000;
const VALUE_BYTES: usize = 80;
const BATCH: usize = 8_192;
const GETS: usize = 200_000;
const MEMORY_BYTES: usize = 64 << 20;
/// Entries that change before the durable point that is measured.
const CHANGED: usize = 100_000;
/// More merges than follow from each other.
const MERGES_MAX: usize = 8;
const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");

trait Contender {
    fn put(&mut self, entries: &[([u8; 16], [u8; VALUE_BYTES])]) -> Result<()>;
    fn get(&mut self, keys: &[[u8; 16]]) -> Result<usize>;
    /// What was put is durable after this.
    fn durable(&mut self) -> Result<()>;
    /// Ends what goes on in the background, if that can be waited for.
    fn rest(&mut self) -> Result<()> {
        Ok(())
    }
    /// Reads everything that is durable in the order of the keys; how many entries there are.
    fn scan(&mut self) -> Result<usize>;
}

pub fn run(site: &Site) -> Result<Table> {
    let entries = site.size(ENTRIES);
    let mut table = Table::new(
        format!("{entries} entries of 16 and {VALUE_BYTES} bytes, {} MB of cache", MEMORY_BYTES >> 20),
        &[
            "",
            "put, per s",
            "hit, µs",
            "miss, µs",
            "scan, per s",
            "overwrite, per s",
            "durable point, ms",
            "both, per s",
            "MB on disk",
        ],
    );
    for (name, open) in CONTENDERS {
        let scratch = site.scratch()?;
        let mut contender = open(scratch.path())?;
        let mut values = measure(contender.as_mut(), entries, site.size(GETS).max(BATCH))?;
        drop(contender);
        values.push(folder_bytes(scratch.path())? as f64 / 1e6);
        table.row(*name, values.into_iter().map(rounded).collect());
    }
    Ok(table)
}

type Open = fn(&Path) -> Result<Box<dyn Contender>>;

const CONTENDERS: &[(&str, Open)] =
    &[("our runs", Ours::open), ("fjall", InFjall::open), ("redb", InRedb::open)];

fn measure(contender: &mut dyn Contender, entries: usize, gets: usize) -> Result<Vec<f64>> {
    let put = rate(contender, 0..entries, 1)?;
    contender.durable()?;
    let (found, hit_us) = timed_gets(contender, gets, |place| key(place * 7919 % entries))?;
    ensure!(found == gets, "{found} of {gets} entries are there");
    let (found, miss_us) = timed_gets(contender, gets, |place| key(entries + place))?;
    ensure!(found == 0, "{found} entries are there that were never put");
    contender.rest()?;
    let begun = Instant::now();
    let scanned = contender.scan()?;
    let scan = scanned as f64 / begun.elapsed().as_secs_f64();
    ensure!(scanned == entries, "{scanned} of {entries} entries are read");
    let changed = CHANGED.min(entries);
    let overwrite = rate(contender, 0..changed, entries / changed)?;
    let begun = Instant::now();
    contender.durable()?;
    let durable_ms = begun.elapsed().as_secs_f64() * 1e3;
    // Where a store does its work differs: in the puts, or when it must be durable.
    let both = changed as f64 / (changed as f64 / overwrite + durable_ms / 1e3);
    Ok(vec![put, hit_us, miss_us, scan, overwrite, durable_ms, both])
}

/// Puts entries in the order of their numbers, which is no order of their keys.
fn rate(contender: &mut dyn Contender, numbers: std::ops::Range<usize>, stride: usize) -> Result<f64> {
    let (count, mut seconds) = (numbers.len(), 0.0);
    let numbers: Vec<usize> = numbers.collect();
    for part in numbers.chunks(BATCH) {
        let batch: Vec<_> = part.iter().map(|number| (key(number * stride), value(*number))).collect();
        let begun = Instant::now();
        contender.put(&batch)?;
        seconds += begun.elapsed().as_secs_f64();
    }
    Ok(count as f64 / seconds)
}

fn timed_gets(
    contender: &mut dyn Contender,
    gets: usize,
    of: impl Fn(usize) -> [u8; 16],
) -> Result<(usize, f64)> {
    let places: Vec<usize> = (0..gets).collect();
    let (mut found, mut seconds) = (0, 0.0);
    for part in places.chunks(BATCH) {
        let keys: Vec<_> = part.iter().map(|place| of(*place)).collect();
        let begun = Instant::now();
        found += contender.get(&keys)?;
        seconds += begun.elapsed().as_secs_f64();
    }
    Ok((found, seconds * 1e6 / gets as f64))
}

fn key(number: usize) -> [u8; 16] {
    let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mixed.to_be_bytes());
    key[8..].copy_from_slice(&(number as u64).to_be_bytes());
    key
}

fn value(number: usize) -> [u8; VALUE_BYTES] {
    let mut value = [0; VALUE_BYTES];
    let mut random = number as u64 + 1;
    for part in value.chunks_mut(8) {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        part.copy_from_slice(&random.to_le_bytes()[..part.len()]);
    }
    value
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes +=
            if entry.file_type()?.is_dir() { folder_bytes(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

struct Ours {
    store: Store,
    map: KeyedMap,
    folder: std::path::PathBuf,
    durable: Option<Snapshot>,
    snapshots: u64,
}

impl Ours {
    fn open(folder: &Path) -> Result<Box<dyn Contender>> {
        let options = StoreOptions { budget_bytes: MEMORY_BYTES, ..StoreOptions::default() };
        let store = Store::open(&Os::real().disk, folder, options, None)?;
        let map = KeyedMap::new(&store, TableId { owner: 0, table: 0 }, 0..state::KEY_GROUPS, None)?;
        Ok(Box::new(Ours { store, map, folder: folder.to_owned(), durable: None, snapshots: 0 }))
    }

    /// As a dataflow does it after each step.
    fn relieve(&mut self) -> Result<()> {
        self.map.layers_mut().settle()?;
        if self.map.memory_bytes() > MEMORY_BYTES {
            self.map.shrink(MEMORY_BYTES / 2)?;
            self.store.wait_written();
            self.map.layers_mut().settle()?;
        }
        Ok(())
    }
}

impl Contender for Ours {
    fn put(&mut self, entries: &[([u8; 16], [u8; VALUE_BYTES])]) -> Result<()> {
        for (key, value) in entries {
            self.map.put(Key::new(key), &[], value, 0)?;
        }
        self.relieve()
    }

    fn get(&mut self, keys: &[[u8; 16]]) -> Result<usize> {
        let mut found = 0;
        for key in keys {
            found += usize::from(self.map.get(Key::new(key), &[], 0)?.is_some());
        }
        self.relieve()?;
        Ok(found)
    }

    fn durable(&mut self) -> Result<()> {
        self.snapshots += 1;
        let mut parts = SnapshotParts::new(1);
        parts.table(&mut self.map)?;
        let path = self.folder.join(format!("{}.snapshot", self.snapshots));
        let pending: PendingSnapshot = parts.write(&self.store, path);
        self.store.wait_idle();
        let written = pending.take().context("the store is idle, but the snapshot is not written")?;
        let snapshot = written.map_err(|error| anyhow!(error))?;
        snapshot.keep();
        if let Some(old) = self.durable.take() {
            old.release(Some(&snapshot));
        }
        self.durable = Some(snapshot);
        Ok(())
    }

    /// A merge may call for another one; in the end a snapshot lets go what the one before needed.
    fn rest(&mut self) -> Result<()> {
        for _ in 0..MERGES_MAX {
            self.store.wait_idle();
            self.map.layers_mut().settle()?;
        }
        self.durable()
    }

    /// Tables have no scan over all keys, because no operator needs one: it is what a merge of all runs reads.
    fn scan(&mut self) -> Result<usize> {
        let mut sources: Vec<Box<dyn SortedSource + Send>> = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "run") {
                sources.push(Box::new(Arc::new(Run::open(&Os::real().disk, &path)?).scan(&[], None)));
            }
        }
        let (mut merge, mut count) = (Merge::new(sources), 0);
        while let Some(entry) = merge.next()? {
            count += usize::from(entry.value.is_some());
        }
        Ok(count)
    }
}

struct InFjall {
    database: Fjall,
    rows: Keyspace,
}

impl InFjall {
    fn open(folder: &Path) -> Result<Box<dyn Contender>> {
        let database = Fjall::builder(folder).cache_size(MEMORY_BYTES as u64).open()?;
        let rows = database.keyspace("rows", KeyspaceCreateOptions::default)?;
        Ok(Box::new(InFjall { database, rows }))
    }
}

impl Contender for InFjall {
    fn put(&mut self, entries: &[([u8; 16], [u8; VALUE_BYTES])]) -> Result<()> {
        let mut batch = self.database.batch();
        for (key, value) in entries {
            batch.insert(&self.rows, key, value);
        }
        Ok(batch.commit()?)
    }

    fn get(&mut self, keys: &[[u8; 16]]) -> Result<usize> {
        let mut found = 0;
        for key in keys {
            found += usize::from(self.rows.get(key)?.is_some());
        }
        Ok(found)
    }

    fn durable(&mut self) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    fn scan(&mut self) -> Result<usize> {
        let mut count = 0;
        for entry in self.rows.iter() {
            let (_, value) = entry.into_inner()?;
            count += usize::from(!value.is_empty());
        }
        Ok(count)
    }
}

struct InRedb {
    database: Redb,
}

impl InRedb {
    fn open(folder: &Path) -> Result<Box<dyn Contender>> {
        let database = Redb::builder().set_cache_size(MEMORY_BYTES).create(folder.join("rows.redb"))?;
        Ok(Box::new(InRedb { database }))
    }

    fn write(&mut self, entries: &[([u8; 16], [u8; VALUE_BYTES])], durability: Durability) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(durability)?;
        {
            let mut rows = transaction.open_table(ROWS)?;
            for (key, value) in entries {
                rows.insert(key.as_slice(), value.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }
}

impl Contender for InRedb {
    fn put(&mut self, entries: &[([u8; 16], [u8; VALUE_BYTES])]) -> Result<()> {
        self.write(entries, Durability::None)
    }

    fn get(&mut self, keys: &[[u8; 16]]) -> Result<usize> {
        let rows = self.database.begin_read()?.open_table(ROWS)?;
        let mut found = 0;
        for key in keys {
            found += usize::from(rows.get(key.as_slice())?.is_some());
        }
        Ok(found)
    }

    fn durable(&mut self) -> Result<()> {
        self.write(&[], Durability::Immediate)
    }

    fn scan(&mut self) -> Result<usize> {
        let rows = self.database.begin_read()?.open_table(ROWS)?;
        let mut count = 0;
        for entry in rows.iter()? {
            let (_, value) = entry?;
            count += usize::from(!value.value().is_empty());
        }
        Ok(count)
    }
}
