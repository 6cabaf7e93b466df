//! The folder of one job's state: the store's runs, and the manifests of its snapshots.

use crate::error::RuntimeError;
use crate::history::{self, Chapter};
use crate::journal::SnapshotRecord;
use base::ErrorKind;
use os::Os;
use state::{Manifest, Snapshot, StateError, Store, StoreOptions};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// The name of a manifest ends so.
const EXTENSION: &str = ".snapshot";

pub(crate) struct StateFolder {
    os: Os,
    folder: PathBuf,
    job: String,
}

impl StateFolder {
    pub(crate) fn open(os: &Os, data: &Path, job: &str) -> Result<StateFolder, RuntimeError> {
        // A job's name may hold any character: the folder's name keeps the letters and adds a hash.
        let letters: String = job.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let folder = data.join("state").join(format!("{letters}-{:016x}", state::hash(job.as_bytes())));
        let opened = StateFolder { os: os.clone(), folder, job: job.to_string() };
        let made = opened.os.disk.create_dir_all(&opened.folder);
        made.map_err(|error| opened.error(&opened.folder, &StateError::io(&opened.folder, &error)))?;
        Ok(opened)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// The manifest's name and place for a snapshot that covers `step`.
    pub(crate) fn manifest(&self, step: u64) -> (String, PathBuf) {
        let name = manifest_name(step);
        let path = self.folder.join(&name);
        (name, path)
    }

    /// Opens the store, with what the journal's last snapshot holds, if there is one. Of the chapters those stay that are
    /// given, as far as their runs are there.
    pub(crate) fn store(
        &self,
        options: StoreOptions,
        snapshot: Option<&SnapshotRecord>,
        chapters: Vec<(Chapter, Option<Manifest>)>,
    ) -> Result<Opened, RuntimeError> {
        let manifest = snapshot.map(|snapshot| self.read(&snapshot.file)).transpose()?;
        let (steps, older): (Vec<u64>, Vec<Option<Manifest>>) =
            chapters.into_iter().map(|(chapter, manifest)| (chapter.step(), manifest)).unzip();
        self.forget_chapters(&steps)?;
        let is_snapshot: Vec<bool> = older.iter().map(Option::is_some).collect();
        let older = older.into_iter().flatten().collect();
        let opened = Store::open_keeping(&self.os.disk, &self.folder, options, manifest.as_ref(), older);
        let (store, older) = opened.map_err(|error| self.error(&self.folder, &error))?;
        let mut older = older.into_iter();
        let past = steps.into_iter().zip(is_snapshot).filter_map(|(step, is_snapshot)| {
            // Where the job began there is none.
            let snapshot = if is_snapshot { Some(older.next()??) } else { None };
            Some(PastSnapshot { step, snapshot })
        });
        Ok(Opened { past: past.collect(), store, manifest })
    }

    /// Removes the chapters that are not to stay, before their runs go and the numbers of those name others.
    fn forget_chapters(&self, kept: &[u64]) -> Result<(), RuntimeError> {
        let failed = |path: &Path, error: &std::io::Error| self.error(path, &StateError::io(path, error));
        let kept: Vec<String> = kept.iter().map(|step| Chapter::name(*step)).collect();
        let names = self.os.disk.list(&self.folder).map_err(|error| failed(&self.folder, &error))?;
        for name in names.iter().filter(|name| name.contains(history::EXTENSION) && !kept.contains(name)) {
            let path = self.folder.join(name);
            self.os.disk.remove(&path).map_err(|error| failed(&path, &error))?;
        }
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Manifest, RuntimeError> {
        let path = self.folder.join(name);
        read_manifest(&self.os, &path).map_err(|error| self.error(&path, &error))
    }

    /// Removes every manifest and chapter but `keep`: older ones and what a crash left unfinished.
    pub(crate) fn remove_others(&self, keep: &[String]) -> Result<(), RuntimeError> {
        let failed = |path: &Path, error: &std::io::Error| self.error(path, &StateError::io(path, error));
        let names = self.os.disk.list(&self.folder).map_err(|error| failed(&self.folder, &error))?;
        let is_own = |name: &str| name.contains(EXTENSION) || name.contains(history::EXTENSION);
        let others = names.iter().filter(|name| is_own(name) && !keep.contains(name));
        for name in others {
            let path = self.folder.join(name);
            self.os.disk.remove(&path).map_err(|error| failed(&path, &error))?;
        }
        Ok(())
    }

    /// Removes everything: the job has ended.
    pub(crate) fn clear(&self) -> std::io::Result<()> {
        for name in self.os.disk.list(&self.folder)? {
            self.os.disk.remove(&self.folder.join(name))?;
        }
        Ok(())
    }

    pub(crate) fn error(&self, path: &Path, error: &StateError) -> RuntimeError {
        RuntimeError::Snapshot {
            job: self.job.clone(),
            file: path.display().to_string(),
            reason: error.to_string(),
            kind: error.kind(),
        }
    }
}

/// Reads and checks a manifest.
pub(crate) fn read_manifest(os: &Os, path: &Path) -> Result<Manifest, StateError> {
    Manifest::decode(&read_file(os, path)?)
}

pub(crate) fn read_file(os: &Os, path: &Path) -> Result<Vec<u8>, StateError> {
    const MANIFEST_BYTES_MAX: u64 = 1 << 30;
    let read = (|| {
        let file = os.disk.open(path)?;
        let length = file.length()?;
        if length > MANIFEST_BYTES_MAX {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    })();
    read.map_err(|error: std::io::Error| StateError::io(path, &error))
}

/// A folder that is open.
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) manifest: Option<Manifest>,
    pub(crate) past: VecDeque<PastSnapshot>,
}

/// A snapshot that another one has replaced, kept so that the steps between them can be run again.
pub(crate) struct PastSnapshot {
    step: u64,
    /// None where the job began.
    snapshot: Option<Snapshot>,
}

impl PastSnapshot {
    /// The names of its files.
    fn names(&self) -> impl Iterator<Item = String> {
        let manifest = self.snapshot.as_ref().map(|_| manifest_name(self.step));
        std::iter::once(Chapter::name(self.step)).chain(manifest)
    }
}

fn manifest_name(step: u64) -> String {
    format!("{step:020}{EXTENSION}")
}

/// The durable snapshot of a job, those before it that are kept, and the one that is on its way.
///
/// 1. `begin`: the state after a step is fixed; the store writes it while steps go on.
/// 2. `Written`: the manifest is durable; the journal is to name it.
/// 3. `named`: the journal's record is on its way to the disk.
/// 4. `Durable`: the record is durable; the snapshot before is given up.
#[derive(Default)]
pub(crate) struct Snapshots {
    durable: Option<Snapshot>,
    /// The step that it covers.
    durable_step: u64,
    /// Oldest first, and how many there may be.
    past: VecDeque<PastSnapshot>,
    past_max: usize,
    next: Option<NextSnapshot>,
}

struct NextSnapshot {
    record: SnapshotRecord,
    stage: Stage,
}

enum Stage {
    Writing(state::PendingSnapshot),
    Named(Snapshot, base::Lsn),
}

/// What [`Snapshots::poll`] found.
pub(crate) enum Polled {
    /// Nothing new.
    Nothing,
    /// To be named in the journal; [`Snapshots::named`] is told the place.
    Written(SnapshotRecord, Snapshot),
    /// The journal's record is durable; what only older snapshots need may go.
    Durable(SnapshotRecord),
    /// The disk had no room; the next snapshot may find some.
    NoRoom,
}

impl Snapshots {
    /// `durable_step` is the step that the durable one covers; of those before it `past_max` stay at most.
    pub(crate) fn new(
        (durable, durable_step): (Option<Snapshot>, u64),
        past: VecDeque<PastSnapshot>,
        past_max: usize,
    ) -> Snapshots {
        let mut snapshots = Snapshots { durable, durable_step, past, past_max, next: None };
        snapshots.forget_oldest();
        snapshots
    }

    /// Whether what a new snapshot replaces stays.
    pub(crate) fn keep_past(&self) -> bool {
        self.past_max > 0
    }

    fn forget_oldest(&mut self) {
        while self.past.len() > self.past_max {
            let Some(PastSnapshot { snapshot: Some(old), .. }) = self.past.pop_front() else { continue };
            old.release(self.past.iter().filter_map(|past| past.snapshot.as_ref()).chain(&self.durable));
        }
    }

    /// What the last snapshot replaced has no chapter: nobody could run its steps again.
    pub(crate) fn forget_last(&mut self) {
        if let Some(PastSnapshot { snapshot: Some(old), .. }) = self.past.pop_back() {
            old.release(self.past.iter().filter_map(|past| past.snapshot.as_ref()).chain(&self.durable));
        }
    }

    /// The files that are needed beside the runs.
    pub(crate) fn names(&self) -> Vec<String> {
        let durable = self.durable.as_ref().map(|_| manifest_name(self.durable_step));
        self.past.iter().flat_map(PastSnapshot::names).chain(durable).collect()
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.next.is_some()
    }

    pub(crate) fn begin(&mut self, record: SnapshotRecord, pending: state::PendingSnapshot) {
        self.next = Some(NextSnapshot { record, stage: Stage::Writing(pending) });
    }

    pub(crate) fn poll(&mut self, is_durable: impl Fn(base::Lsn) -> bool) -> Result<Polled, StateError> {
        let Some(next) = self.next.take() else { return Ok(Polled::Nothing) };
        match next.stage {
            Stage::Writing(pending) => match pending.take() {
                None => {
                    self.next = Some(NextSnapshot { record: next.record, stage: Stage::Writing(pending) });
                    Ok(Polled::Nothing)
                }
                Some(Ok(snapshot)) => Ok(Polled::Written(next.record, snapshot)),
                Some(Err(error)) if error.kind() == ErrorKind::Unavailable => Ok(Polled::NoRoom),
                Some(Err(error)) => Err(error),
            },
            Stage::Named(snapshot, lsn) if is_durable(lsn) => {
                let old = self.durable.replace(snapshot);
                let step = std::mem::replace(&mut self.durable_step, next.record.step);
                self.past.push_back(PastSnapshot { step, snapshot: old });
                self.forget_oldest();
                Ok(Polled::Durable(next.record))
            }
            Stage::Named(..) => {
                self.next = Some(next);
                Ok(Polled::Nothing)
            }
        }
    }

    pub(crate) fn named(&mut self, record: SnapshotRecord, snapshot: Snapshot, lsn: base::Lsn) {
        self.next = Some(NextSnapshot { record, stage: Stage::Named(snapshot, lsn) });
    }

    /// The place of the record that is on its way to the disk.
    pub(crate) fn awaited(&self) -> Option<base::Lsn> {
        match &self.next.as_ref()?.stage {
            Stage::Named(_, lsn) => Some(*lsn),
            Stage::Writing(_) => None,
        }
    }

    /// Gives up all snapshots: the job has ended.
    pub(crate) fn release(&mut self) {
        let next = match self.next.take().map(|next| next.stage) {
            Some(Stage::Named(snapshot, _)) => Some(snapshot),
            Some(Stage::Writing(_)) | None => None,
        };
        let past = self.past.drain(..).filter_map(|past| past.snapshot);
        past.chain(next).chain(self.durable.take()).for_each(|snapshot| snapshot.release([]));
    }
}
