//! Snapshot files: written whole beside the log, named in the journal only once they are durable.

use crate::error::RuntimeError;
use crate::journal::SnapshotRecord;
use base::ErrorKind;
use os::Os;
use std::path::{Path, PathBuf};

/// The folder of one job's snapshots.
pub(crate) struct SnapshotFolder {
    os: Os,
    folder: PathBuf,
    job: String,
}

impl SnapshotFolder {
    pub(crate) fn open(os: &Os, data: &Path, job: &str) -> Result<SnapshotFolder, RuntimeError> {
        // A job's name may hold any character: the folder's name keeps the letters and adds a hash.
        let letters: String = job.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let folder = data.join("snapshots").join(format!("{letters}-{:016x}", state::hash(job.as_bytes())));
        let opened = SnapshotFolder { os: os.clone(), folder, job: job.to_string() };
        opened
            .os
            .disk
            .create_dir_all(&opened.folder)
            .map_err(|error| opened.error(&opened.folder, &error))?;
        Ok(opened)
    }

    /// Writes the snapshot that covers `step`; it is durable when this returns its file's name.
    pub(crate) fn write(&self, step: u64, bytes: &[u8]) -> Result<String, RuntimeError> {
        let name = format!("{step:020}.snapshot");
        let path = self.folder.join(&name);
        let unfinished = self.folder.join(format!("{name}.unfinished"));
        let written = (|| {
            if self.os.disk.exists(&unfinished)? {
                self.os.disk.remove(&unfinished)?;
            }
            let file = self.os.disk.create(&unfinished, bytes.len() as u64)?;
            file.write_all_at(bytes, 0)?;
            file.sync_data()?;
            drop(file);
            self.os.disk.rename(&unfinished, &path)?;
            self.os.disk.sync_directory(&self.folder)
        })();
        written.map_err(|error| self.error(&path, &error))?;
        Ok(name)
    }

    pub(crate) fn read(&self, snapshot: &SnapshotRecord) -> Result<Vec<u8>, RuntimeError> {
        let path = self.folder.join(&snapshot.file);
        let read = (|| {
            let file = self.os.disk.open(&path)?;
            let mut bytes = vec![0; usize::try_from(file.length()?).unwrap_or(usize::MAX)];
            file.read_exact_at(&mut bytes, 0)?;
            Ok(bytes)
        })();
        read.map_err(|error| self.error(&path, &error))
    }

    /// Removes every file but `keep`: older snapshots and what a crash left unfinished.
    pub(crate) fn remove_others(&self, keep: Option<&str>) -> Result<(), RuntimeError> {
        let names = self.os.disk.list(&self.folder).map_err(|error| self.error(&self.folder, &error))?;
        for name in names.iter().filter(|name| Some(name.as_str()) != keep) {
            let path = self.folder.join(name);
            self.os.disk.remove(&path).map_err(|error| self.error(&path, &error))?;
        }
        Ok(())
    }

    fn error(&self, path: &Path, error: &std::io::Error) -> RuntimeError {
        RuntimeError::Snapshot {
            job: self.job.clone(),
            file: path.display().to_string(),
            reason: error.to_string(),
            kind: if error.kind() == std::io::ErrorKind::StorageFull {
                ErrorKind::Unavailable
            } else {
                ErrorKind::Corrupt
            },
        }
    }
}
