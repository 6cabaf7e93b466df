//! The folder of one job's state: the store's runs, and the manifests of its snapshots.

use crate::error::RuntimeError;
use crate::journal::SnapshotRecord;
use base::ErrorKind;
use os::Os;
use state::{Manifest, Snapshot, StateError, Store, StoreOptions};
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
        let name = format!("{step:020}{EXTENSION}");
        let path = self.folder.join(&name);
        (name, path)
    }

    /// Opens the store, with what the journal's last snapshot holds, if there is one.
    pub(crate) fn store(
        &self,
        options: StoreOptions,
        snapshot: Option<&SnapshotRecord>,
    ) -> Result<(Store, Option<Manifest>), RuntimeError> {
        let manifest = snapshot.map(|snapshot| self.read(&snapshot.file)).transpose()?;
        let store = Store::open(&self.os.disk, &self.folder, options, manifest.as_ref());
        Ok((store.map_err(|error| self.error(&self.folder, &error))?, manifest))
    }

    fn read(&self, name: &str) -> Result<Manifest, RuntimeError> {
        let path = self.folder.join(name);
        read_manifest(&self.os, &path).map_err(|error| self.error(&path, &error))
    }

    /// Removes every manifest but `keep`: older ones and what a crash left unfinished.
    pub(crate) fn remove_others(&self, keep: Option<&str>) -> Result<(), RuntimeError> {
        let failed = |path: &Path, error: &std::io::Error| self.error(path, &StateError::io(path, error));
        let names = self.os.disk.list(&self.folder).map_err(|error| failed(&self.folder, &error))?;
        let others = names.iter().filter(|name| name.contains(EXTENSION) && Some(name.as_str()) != keep);
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

/// The durable snapshot of a job and the one that is on its way.
///
/// 1. `begin`: the state after a step is fixed; the store writes it while steps go on.
/// 2. `Written`: the manifest is durable; the journal is to name it.
/// 3. `named`: the journal's record is on its way to the disk.
/// 4. `Durable`: the record is durable; the snapshot before is given up.
#[derive(Default)]
pub(crate) struct Snapshots {
    durable: Option<Snapshot>,
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
    pub(crate) fn new(durable: Option<Snapshot>) -> Snapshots {
        Snapshots { durable, next: None }
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
                if let Some(old) = self.durable.take() {
                    old.release(Some(&snapshot));
                }
                self.durable = Some(snapshot);
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
        if let Some(Stage::Named(snapshot, _)) = self.next.take().map(|next| next.stage) {
            snapshot.release(None);
        }
        if let Some(old) = self.durable.take() {
            old.release(None);
        }
    }
}
