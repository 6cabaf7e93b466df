//! Snapshots: sections of bytes, and for every table the runs that hold its entries.
//!
//! A snapshot is incremental by itself: runs are immutable, and what changed since the last snapshot
//! is one more run per table. Taking one costs the steps the handing over of what changed
//! ([`Table::freeze`]); the writing, the syncs and the manifest follow in the background
//! ([`SnapshotParts::write`]).
//!
//! The manifest is one file: a header, sections addressed by owner and part, a checksum over
//! everything. An owner is an operator (or the engine itself), a part is a key group or a piece that
//! is not keyed. Sections stand in ascending order, so that the same state gives the same bytes.

mod manifest;

pub use manifest::{Manifest, TableManifest};

use crate::error::StateError;
use crate::layers::{Body, Layer};
use crate::run::Merge;
use crate::store::{Store, StoredRun};
use crate::table::{Table, TableId};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The part number of a section that belongs to no key group.
pub const UNKEYED: u32 = u32::MAX;

/// A snapshot in the making: all of its content is fixed, its files are not written yet.
pub struct SnapshotParts {
    fingerprint: u64,
    sections: BTreeMap<(u32, u32), Vec<u8>>,
    tables: Vec<TableParts>,
}

struct TableParts {
    id: TableId,
    groups: Range<usize>,
    meta: Vec<u8>,
    horizon: i64,
    layers: Vec<Layer>,
}

impl SnapshotParts {
    /// `fingerprint` names the plan whose state this is.
    pub fn new(fingerprint: u64) -> SnapshotParts {
        SnapshotParts { fingerprint, sections: BTreeMap::new(), tables: Vec::new() }
    }

    /// Adds a section; an owner's part is written once.
    pub fn section(&mut self, owner: u32, part: u32, bytes: Vec<u8>) {
        self.sections.insert((owner, part), bytes);
    }

    /// Adds a worker's part of a table as it is now.
    pub fn table(&mut self, table: &mut dyn Table) -> Result<(), StateError> {
        table.freeze()?;
        let layers = table.layers();
        self.tables.push(TableParts {
            id: layers.id(),
            groups: layers.groups().clone(),
            meta: table.meta(),
            horizon: layers.horizon(),
            layers: layers.all().to_vec(),
        });
        Ok(())
    }

    /// A hash of everything that the state holds: equal states have equal digests, however they lie in
    /// runs and whatever the number of workers. State with a time to live has no such digest.
    pub fn digest(&self) -> Result<u64, StateError> {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for ((owner, part), bytes) in &self.sections {
            hash.update(&[owner.to_le_bytes(), part.to_le_bytes()].concat());
            hash.update(bytes);
        }
        let mut tables: Vec<&TableParts> = self.tables.iter().collect();
        tables.sort_by_key(|table| (table.id, table.groups.start));
        for table in tables {
            let mut entries = Merge::new(table.layers.iter().map(|layer| layer.scan(&[], None)).collect());
            while let Some(entry) = entries.next()? {
                let Some(value) = entry.value.filter(|_| entry.expires > table.horizon) else { continue };
                hash.update(&[table.id.owner.to_le_bytes(), table.id.table.to_le_bytes()].concat());
                for part in [entry.key, value] {
                    hash.update(&(part.len() as u64).to_le_bytes());
                    hash.update(part);
                }
            }
        }
        Ok(hash.digest())
    }

    /// Has the snapshot completed in the background: `path` is the manifest's file, which appears
    /// whole, and last. Tables may change meanwhile.
    pub fn write(self, store: &Store, path: PathBuf) -> PendingSnapshot {
        let pending = PendingSnapshot::default();
        let outcome = pending.outcome.clone();
        let files = store.files.clone();
        // The store's tasks run in order: what was frozen before is written when this runs.
        store.submit_write(move || {
            let written = self.complete().and_then(|snapshot| {
                let synced = files.disk.sync_directory(&files.folder);
                synced.map_err(|error| StateError::io(&files.folder, &error))?;
                write_whole(&files.disk, &path, &snapshot.manifest.encode())?;
                Ok(snapshot)
            });
            *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(written);
        });
        pending
    }

    /// Has a copy made in a folder of its own, in the background: the runs, the manifest under `name`,
    /// then `files`, the last of which appears last.
    pub fn export(
        self,
        store: &Store,
        folder: PathBuf,
        name: &'static str,
        files: Vec<(String, Vec<u8>)>,
        done: impl FnOnce(Result<(), StateError>) + Send + 'static,
    ) {
        let disk = store.files.disk.clone();
        store.submit_write(move || {
            let written = self.complete().and_then(|snapshot| {
                disk.create_dir_all(&folder).map_err(|error| StateError::io(&folder, &error))?;
                snapshot.copy_runs(&disk, &folder)?;
                write_whole(&disk, &folder.join(name), &snapshot.manifest.encode())?;
                files.iter().try_for_each(|(name, bytes)| write_whole(&disk, &folder.join(name), bytes))
            });
            done(written);
        });
    }

    /// The runs by name, now that all of them are written.
    fn complete(self) -> Result<Snapshot, StateError> {
        let mut runs = Vec::new();
        let mut tables = Vec::with_capacity(self.tables.len());
        for table in self.tables {
            let mut named = Vec::with_capacity(table.layers.len());
            for layer in table.layers {
                let run = match layer.body {
                    Body::Run(run) => run,
                    Body::Frozen(frozen) => frozen.run()?,
                };
                named.push((layer.groups, run.number));
                runs.push(run);
            }
            tables.push(TableManifest { id: table.id, groups: table.groups, meta: table.meta, runs: named });
        }
        Ok(Snapshot {
            manifest: Manifest { fingerprint: self.fingerprint, sections: self.sections, tables },
            runs,
        })
    }
}

/// Writes a file that is there whole or not at all, durably.
pub fn write_whole(disk: &Arc<dyn os::Disk>, path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".unfinished");
    let unfinished = folder.join(name);
    let written = (|| {
        if disk.exists(&unfinished)? {
            disk.remove(&unfinished)?;
        }
        let file = disk.create(&unfinished, bytes.len() as u64)?;
        file.write_all_at(bytes, 0)?;
        file.sync_data()?;
        drop(file);
        disk.rename(&unfinished, path)?;
        disk.sync_directory(folder)
    })();
    written.map_err(|error| StateError::io(path, &error))
}

/// A snapshot that is being written.
#[derive(Default)]
pub struct PendingSnapshot {
    outcome: Arc<Mutex<Option<Result<Snapshot, StateError>>>>,
}

impl PendingSnapshot {
    /// The snapshot once it is durable, or why it will not be; nothing as long as it is written.
    pub fn take(&self) -> Option<Result<Snapshot, StateError>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A durable snapshot; its runs are there as long as this is.
pub struct Snapshot {
    pub manifest: Manifest,
    runs: Vec<Arc<StoredRun>>,
}

impl Snapshot {
    /// The snapshot that a store was opened with.
    pub fn opened(store: &Store, manifest: Manifest) -> Snapshot {
        Snapshot { manifest, runs: store.restored_runs() }
    }

    pub(crate) fn of(manifest: Manifest, runs: Vec<Arc<StoredRun>>) -> Snapshot {
        Snapshot { manifest, runs }
    }

    pub(crate) fn runs(&self) -> &[Arc<StoredRun>] {
        &self.runs
    }

    /// Lets the files outlive the process: something durable is about to name the snapshot.
    pub fn keep(&self) {
        self.runs.iter().for_each(|run| run.keep(true));
    }

    /// Gives up a snapshot: files that neither one of the `others` nor a table needs are removed.
    pub fn release<'a>(self, others: impl IntoIterator<Item = &'a Snapshot>) {
        let others: Vec<&Snapshot> = others.into_iter().collect();
        for run in &self.runs {
            let mut needed = others.iter().flat_map(|other| &other.runs);
            if !needed.any(|other| other.number == run.number) {
                run.keep(false);
            }
        }
    }

    /// Bytes of all runs on disk.
    pub fn disk_bytes(&self) -> u64 {
        let mut seen = std::collections::BTreeSet::new();
        self.runs.iter().filter(|run| seen.insert(run.number)).map(|run| run.run.bytes()).sum()
    }

    /// Copies the runs into another folder, under their names, durably.
    fn copy_runs(&self, disk: &Arc<dyn os::Disk>, folder: &Path) -> Result<(), StateError> {
        let mut seen = std::collections::BTreeSet::new();
        for run in self.runs.iter().filter(|run| seen.insert(run.number)) {
            let from = run.run.path();
            let to = folder.join(from.file_name().unwrap_or_default());
            copy_file(disk, from, &to)?;
        }
        disk.sync_directory(folder).map_err(|error| StateError::io(folder, &error))
    }
}

/// Copies a file, durably but for its name.
pub fn copy_file(disk: &Arc<dyn os::Disk>, from: &Path, to: &Path) -> Result<(), StateError> {
    const PIECE_BYTES: usize = 1 << 20;
    let read = disk.open(from).and_then(|file| Ok((file.length()?, file)));
    let (length, source) = read.map_err(|error| StateError::io(from, &error))?;
    let copied = (|| {
        let target = disk.create(to, length)?;
        let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(length).unwrap_or(PIECE_BYTES))];
        let mut position = 0;
        while position < length {
            let count = (piece.len() as u64).min(length - position) as usize;
            source.read_exact_at(&mut piece[..count], position)?;
            target.write_all_at(&piece[..count], position)?;
            position += count as u64;
        }
        target.sync_data()
    })();
    copied.map_err(|error| StateError::io(to, &error))
}
