//! The store of a job's state: its folder of runs, and the thread that writes and merges them.
//!
//! Runs are immutable and have numbers that are never used twice, so a snapshot is a list of runs and
//! costs only what changed since the one before. A run's file lives as long as somebody holds it
//! ([`StoredRun`]) or a durable snapshot names it ([`StoredRun::keep`]); what a crash leaves behind is
//! removed when the folder is opened again.

use crate::error::StateError;
use crate::frozen::Frozen;
use crate::run::{Run, RunOptions, RunWriter};
use crate::snapshot::{Manifest, Snapshot, TableManifest};
use crate::table::TableId;
use crate::worker::Worker;
use os::Disk;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The name of a run's file ends so.
const EXTENSION: &str = ".run";

#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// What the tables of the job may hold in memory, in bytes; what is beyond lies on disk.
    pub budget_bytes: usize,
    /// Write and merge runs on a thread of their own. Without it everything happens in the caller, in
    /// an order that a simulation can repeat.
    pub background: bool,
    pub run: RunOptions,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions { budget_bytes: 1 << 30, background: true, run: RunOptions::default() }
    }
}

/// A handle to the store; clones are the same store.
#[derive(Clone)]
pub struct Store {
    pub(crate) files: Arc<Files>,
    writer: Arc<Worker>,
    merger: Arc<Worker>,
    budget_bytes: usize,
    /// By owner, under what its tables lie; those beyond lie under themselves.
    tags: Arc<[u32]>,
    /// What the snapshot that the store was opened from holds for each table, until the tables take it.
    restored: Arc<Mutex<BTreeMap<TableId, Vec<RestoredTable>>>>,
}

/// A part of a table as a snapshot had it.
#[derive(Clone)]
pub(crate) struct RestoredTable {
    pub(crate) groups: Range<usize>,
    pub(crate) meta: Vec<u8>,
    pub(crate) runs: Runs,
}

/// Newest first, each with the key groups of it that are meant.
pub(crate) type Runs = Vec<(Range<usize>, Arc<StoredRun>)>;

/// The folder; shared with the runs, which remove their own files.
pub(crate) struct Files {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    next_number: AtomicU64,
    pub(crate) run: RunOptions,
    /// Bytes written into runs since the store was opened.
    pub(crate) written_bytes: AtomicU64,
}

impl Files {
    pub(crate) fn path(&self, number: u64) -> PathBuf {
        self.folder.join(run_name(number))
    }

    /// Begins a run under a new number.
    pub(crate) fn create(&self) -> Result<(u64, RunWriter), StateError> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        Ok((number, RunWriter::create(&self.disk, &self.path(number), &self.run)?))
    }

    pub(crate) fn finish(
        self: &Arc<Files>,
        number: u64,
        writer: RunWriter,
    ) -> Result<Arc<StoredRun>, StateError> {
        let run = writer.finish()?;
        self.written_bytes.fetch_add(run.bytes(), Ordering::Relaxed);
        Ok(Arc::new(StoredRun { run, number, files: self.clone(), kept: AtomicBool::new(false) }))
    }
}

pub(crate) fn run_name(number: u64) -> String {
    format!("{number:016x}{EXTENSION}")
}

/// A run in the store's folder.
pub struct StoredRun {
    pub(crate) run: Arc<Run>,
    pub(crate) number: u64,
    files: Arc<Files>,
    kept: AtomicBool,
}

impl StoredRun {
    /// Whether a durable snapshot names the run, so that its file outlives the process.
    pub(crate) fn keep(&self, kept: bool) {
        self.kept.store(kept, Ordering::Release);
    }
}

impl std::fmt::Debug for StoredRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredRun({})", self.number)
    }
}

impl Drop for StoredRun {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Acquire) {
            // A file that stays is removed when the folder is opened the next time.
            let _ = self.files.disk.remove(&self.files.path(self.number));
        }
    }
}

impl Store {
    /// Opens the folder with the state of a snapshot, or empty. Runs that the snapshot does not name
    /// are removed.
    pub fn open(
        disk: &Arc<dyn Disk>,
        folder: &Path,
        options: StoreOptions,
        snapshot: Option<&Manifest>,
    ) -> Result<Store, StateError> {
        Store::open_keeping(disk, folder, options, snapshot, Vec::new()).map(|(store, _)| store)
    }

    /// The same, with older snapshots whose runs stay too; in their order, nothing for one whose runs cannot be opened.
    pub fn open_keeping(
        disk: &Arc<dyn Disk>,
        folder: &Path,
        options: StoreOptions,
        snapshot: Option<&Manifest>,
        older: Vec<Manifest>,
    ) -> Result<(Store, Vec<Option<Snapshot>>), StateError> {
        let failed = |error: std::io::Error| StateError::io(folder, &error);
        disk.create_dir_all(folder).map_err(failed)?;
        let named: Vec<u64> = snapshot.into_iter().chain(&older).flat_map(Manifest::numbers).collect();
        let mut next_number = named.iter().max().map_or(1, |number| number + 1);
        for name in disk.list(folder).map_err(failed)? {
            let Some(stem) = name.strip_suffix(EXTENSION) else { continue };
            let number = u64::from_str_radix(stem, 16).ok();
            next_number = next_number.max(number.map_or(0, |number| number.saturating_add(1)));
            if number.is_none_or(|number| !named.contains(&number)) {
                disk.remove(&folder.join(&name)).map_err(failed)?;
            }
        }
        let files = Arc::new(Files {
            disk: disk.clone(),
            folder: folder.to_path_buf(),
            next_number: AtomicU64::new(next_number),
            run: options.run.clone(),
            written_bytes: AtomicU64::new(0),
        });
        let mut opened = OpenedRuns { files: &files, runs: BTreeMap::new() };
        let restored = match snapshot {
            Some(manifest) => open_tables(&mut opened, &manifest.tables)?,
            None => BTreeMap::new(),
        };
        let older = older.into_iter().map(|manifest| {
            let runs = manifest.numbers().into_iter().map(|number| opened.run(number));
            runs.collect::<Result<Vec<_>, _>>().ok().map(|runs| Snapshot::of(manifest, runs))
        });
        let older = older.collect();
        let store = Store {
            files,
            writer: Arc::new(Worker::new("state-write", options.background)),
            merger: Arc::new(Worker::new("state-merge", options.background)),
            budget_bytes: options.budget_bytes,
            tags: Arc::default(),
            restored: Arc::new(Mutex::new(restored)),
        };
        Ok((store, older))
    }

    /// A store on a disk in memory, for tests and benches that measure no disk.
    pub fn volatile(budget_bytes: usize) -> Store {
        let disk: Arc<dyn Disk> = Arc::new(os::disk::sim::SimDisk::new());
        let options = StoreOptions { budget_bytes, background: false, ..StoreOptions::default() };
        Store::open(&disk, Path::new("state"), options, None).expect("a disk in memory does not fail")
    }

    /// The same store for owners whose tables lie under these tags, by owner: so a table keeps its place while the
    /// number of its owner changes.
    pub fn tagged(&self, tags: &[u32]) -> Store {
        Store { tags: tags.into(), ..self.clone() }
    }

    /// Where a table lies.
    pub(crate) fn place_of(&self, id: TableId) -> TableId {
        let tag = self.tags.get(id.owner as usize).copied();
        TableId { owner: tag.unwrap_or(id.owner), ..id }
    }

    pub fn budget_bytes(&self) -> usize {
        self.budget_bytes
    }

    /// Bytes written into runs since the store was opened.
    pub fn written_bytes(&self) -> u64 {
        self.files.written_bytes.load(Ordering::Relaxed)
    }

    /// Waits until everything that was handed over is written: frozen entries, snapshots, savepoints.
    pub fn wait_written(&self) {
        self.writer.wait_idle();
    }

    /// Waits until everything is written and merged.
    pub fn wait_idle(&self) {
        self.writer.wait_idle();
        self.merger.wait_idle();
    }

    /// To be done after everything that was handed over to be written before.
    pub(crate) fn submit_write(&self, task: impl FnOnce() + Send + 'static) {
        self.writer.submit(Box::new(task));
    }

    pub(crate) fn submit_merge(&self, task: impl FnOnce() + Send + 'static) {
        self.merger.submit(Box::new(task));
    }

    /// Has frozen entries written as a run.
    pub(crate) fn write(&self, frozen: &Arc<Frozen>) {
        let (files, frozen) = (self.files.clone(), frozen.clone());
        self.submit_write(move || frozen.write(&files));
    }

    /// What a snapshot held for the key groups of a table.
    pub(crate) fn restored(&self, id: TableId, groups: &Range<usize>) -> Vec<RestoredTable> {
        let restored = self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = restored.get(&id).into_iter().flatten();
        let overlaps = |own: &Range<usize>| own.start < groups.end && groups.start < own.end;
        let parts = parts.filter(|part| overlaps(&part.groups));
        let clip = |own: &Range<usize>| own.start.max(groups.start)..own.end.min(groups.end);
        parts
            .map(|part| RestoredTable {
                groups: clip(&part.groups),
                meta: part.meta.clone(),
                runs: part
                    .runs
                    .iter()
                    .filter(|(own, _)| overlaps(own))
                    .map(|(own, run)| (clip(own), run.clone()))
                    .collect(),
            })
            .collect()
    }

    /// Whether the snapshot that the store was opened with has the table, as long as it remembers it.
    pub fn has_restored(&self, id: TableId) -> bool {
        let restored = self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        restored.contains_key(&self.place_of(id))
    }

    /// As if the store had been opened with this snapshot, which it has written; for the tables that are opened from now
    /// on.
    pub fn restore(&self, snapshot: &Snapshot) -> Result<(), StateError> {
        let runs = snapshot.runs().iter().map(|run| (run.number, run.clone())).collect();
        let mut opened = OpenedRuns { files: &self.files, runs };
        let tables = &snapshot.manifest.tables;
        let tables = tables.iter().filter(|table| !table.runs.is_empty() || !table.meta.is_empty());
        let restored = open_tables(&mut opened, tables)?;
        *self.restored.lock().unwrap_or_else(PoisonError::into_inner) = restored;
        Ok(())
    }

    /// What the snapshot that the store was opened with has of a table, as it lies on disk.
    pub(crate) fn restored_parts(&self, id: TableId) -> Vec<RestoredTable> {
        let restored = self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        restored.get(&id).cloned().unwrap_or_default()
    }

    /// As if that snapshot had had this of a table.
    pub(crate) fn restore_as(&self, id: TableId, parts: Vec<RestoredTable>) {
        let mut restored = self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        // A table of which there is nothing has not been restored.
        if parts.is_empty() {
            restored.remove(&id)
        } else {
            restored.insert(id, parts)
        };
    }

    /// All runs of the snapshot that the store was opened with, as long as it remembers them.
    pub(crate) fn restored_runs(&self) -> Vec<Arc<StoredRun>> {
        let restored = self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = restored.values().flatten();
        parts.flat_map(|part| part.runs.iter().map(|(_, run)| run.clone())).collect()
    }

    /// Forgets what the tables have taken by now: runs that none of them holds may go.
    pub fn restore_done(&self) {
        self.restored.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The runs that snapshots name; each is opened once, whoever names it.
struct OpenedRuns<'a> {
    files: &'a Arc<Files>,
    runs: BTreeMap<u64, Arc<StoredRun>>,
}

impl OpenedRuns<'_> {
    fn run(&mut self, number: u64) -> Result<Arc<StoredRun>, StateError> {
        if let Some(run) = self.runs.get(&number) {
            return Ok(run.clone());
        }
        let run = Run::open(&self.files.disk, &self.files.path(number))?;
        let run =
            StoredRun { run: Arc::new(run), number, files: self.files.clone(), kept: AtomicBool::new(true) };
        let run = Arc::new(run);
        self.runs.insert(number, run.clone());
        Ok(run)
    }
}

fn open_tables<'a>(
    opened: &mut OpenedRuns<'_>,
    tables: impl IntoIterator<Item = &'a TableManifest>,
) -> Result<BTreeMap<TableId, Vec<RestoredTable>>, StateError> {
    let mut restored: BTreeMap<TableId, Vec<RestoredTable>> = BTreeMap::new();
    for table in tables {
        let runs = table.runs.iter().map(|(groups, number)| Ok((groups.clone(), opened.run(*number)?)));
        let part = RestoredTable {
            groups: table.groups.clone(),
            meta: table.meta.clone(),
            runs: runs.collect::<Result<_, StateError>>()?,
        };
        restored.entry(table.id).or_default().push(part);
    }
    Ok(restored)
}
