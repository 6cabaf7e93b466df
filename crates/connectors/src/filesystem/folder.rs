//! A folder as a file sink's target: files become visible all together, and the folder remembers the offset.
//!
//! 1. The unfinished files (hidden names) are synced.
//! 2. A commit file (hidden too) is written, synced and renamed into place: it lists what becomes of
//!    each unfinished file, and the outbox offset up to which the files hold the rows. This is the commit.
//! 3. The renames are carried out.
//!
//! After a crash, whoever opens the target finds the last commit file, carries out the renames that
//! are still open (doing one twice is harmless), and removes unfinished files that it does not list.

use super::target::{FileTarget, GrowingFile, finished, join};
use base::codec::{CodecError, FieldReader, FieldWriter};
use os::{DiskFile, Os};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one commit says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Commit {
    /// The outbox offset of the first record that is not in the files.
    pub next_offset: i64,
    /// (unfinished, finished), relative to the target's folder.
    pub renames: Vec<(String, String)>,
}

impl Commit {
    fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.i64(self.next_offset).u32(self.renames.len() as u32);
        for (from, to) in &self.renames {
            out.text(from).text(to);
        }
        out.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Commit, CodecError> {
        let mut reader = FieldReader::new(bytes);
        let next_offset = reader.i64()?;
        let count = reader.count(8)?;
        let renames =
            (0..count).map(|_| Ok((reader.text()?, reader.text()?))).collect::<Result<_, CodecError>>()?;
        reader.finish()?;
        Ok(Commit { next_offset, renames })
    }
}

/// The folder of a file sink and its commit file.
pub(super) struct Folder {
    os: Os,
    folder: PathBuf,
    /// Part of every name of this job: `part-IDENTITY-…`.
    identity: String,
    files: Vec<Unfinished>,
}

struct Unfinished {
    names: (String, String),
    folder: PathBuf,
    file: Arc<FolderFile>,
}

/// A file of the node's disk that grows.
struct FolderFile {
    file: Arc<dyn DiskFile>,
    written: AtomicU64,
}

impl GrowingFile for FolderFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.written.load(Ordering::Relaxed))?;
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

impl Folder {
    pub(super) fn new(os: Os, folder: PathBuf, identity: String) -> Folder {
        Folder { os, folder, identity, files: Vec::new() }
    }

    fn commit_path(&self) -> PathBuf {
        self.folder.join(format!(".commit-{}", self.identity))
    }

    /// The name of an unfinished file, within a partition's folder.
    fn unfinished(&self, partition: &str, number: i64) -> String {
        join(partition, &format!(".part-{}-{number:020}.unfinished", self.identity))
    }

    /// Makes a commit durable, then carries it out.
    fn keep(&self, commit: &Commit) -> io::Result<()> {
        let bytes = commit.encode();
        let path = self.commit_path();
        let new = self.folder.join(format!(".commit-{}.new", self.identity));
        if self.os.disk.exists(&new)? {
            self.os.disk.remove(&new)?;
        }
        let file = self.os.disk.create(&new, bytes.len() as u64)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_data()?;
        drop(file);
        self.os.disk.rename(&new, &path)?;
        self.os.disk.sync_directory(&self.folder)?;
        self.carry_out(commit)
    }

    fn carry_out(&self, commit: &Commit) -> io::Result<()> {
        for (from, to) in &commit.renames {
            let (from, to) = (self.folder.join(from), self.folder.join(to));
            // Neither may be there: the finished file is the user's to move or to delete.
            if self.os.disk.exists(&from)? {
                self.os.disk.rename(&from, &to)?;
                self.os.disk.sync_directory(to.parent().unwrap_or(&self.folder))?;
            }
        }
        Ok(())
    }

    /// Makes a partition's folder, so that it outlives a power cut.
    fn create_folder(&self, partition: &str) -> io::Result<()> {
        self.os.disk.create_dir_all(&self.folder.join(partition))
    }

    /// Finds the last commit, completes it, and removes what it does not list.
    fn last_commit(&self) -> io::Result<Commit> {
        self.create_folder("")?;
        let path = self.commit_path();
        let commit = if self.os.disk.exists(&path)? {
            let file = self.os.disk.open(&path)?;
            let mut bytes = vec![0; usize::try_from(file.length()?).unwrap_or(0)];
            file.read_exact_at(&mut bytes, 0)?;
            Commit::decode(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
        } else {
            Commit::default()
        };
        self.carry_out(&commit)?;
        self.remove_unfinished(&self.folder, 0)?;
        Ok(commit)
    }

    fn remove_unfinished(&self, folder: &Path, depth: usize) -> io::Result<()> {
        /// Partition folders are nested no deeper than a table has columns.
        const DEPTH_MAX: usize = 64;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                if depth < DEPTH_MAX {
                    self.remove_unfinished(&entry.path(), depth + 1)?;
                }
            } else if self.is_unfinished(&entry.file_name().to_string_lossy()) {
                self.os.disk.remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Whether a name is one that `unfinished` gives. Another job's identity may begin with ours.
    fn is_unfinished(&self, name: &str) -> bool {
        let number = name
            .strip_prefix(".part-")
            .and_then(|rest| rest.strip_prefix(self.identity.as_str()))
            .and_then(|rest| rest.strip_prefix('-'))
            .and_then(|rest| rest.strip_suffix(".unfinished"));
        number.is_some_and(|number| number.len() == 20 && number.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

impl FileTarget for Folder {
    fn place(&self) -> String {
        self.folder.display().to_string()
    }

    fn open(&mut self) -> io::Result<i64> {
        self.files.clear();
        self.last_commit().map(|commit| commit.next_offset)
    }

    fn create(&mut self, partition: &str, number: i64, suffix: &str) -> io::Result<Arc<dyn GrowingFile>> {
        let unfinished = self.unfinished(partition, number);
        self.create_folder(partition)?;
        let file = self.os.disk.create(&self.folder.join(&unfinished), 0)?;
        let file = Arc::new(FolderFile { file, written: AtomicU64::new(0) });
        self.files.push(Unfinished {
            names: (unfinished, finished(partition, &self.identity, number, suffix)),
            folder: self.folder.join(partition),
            file: file.clone(),
        });
        Ok(file)
    }

    fn commit(&mut self, next_offset: i64) -> io::Result<()> {
        for unfinished in &self.files {
            unfinished.file.file.sync_data()?;
        }
        for unfinished in &self.files {
            self.os.disk.sync_directory(&unfinished.folder)?;
        }
        let renames = self.files.iter().map(|unfinished| unfinished.names.clone()).collect();
        self.keep(&Commit { next_offset, renames })?;
        self.files.clear();
        Ok(())
    }
}
