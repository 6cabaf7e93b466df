//! Files as a log needs them: positioned reads and writes, explicit syncs of data and of directories.
//!
//! The contract is what POSIX promises and no more: bytes are durable after `sync_data`; a created, renamed or removed
//! name, of a file or a directory, is durable after `sync_directory` of its directory. After a failed sync nothing is known about the bytes, and a
//! later sync that succeeds proves nothing; callers must treat the first failure as final.

pub mod real;
pub mod shadow;
pub mod sim;

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A file system.
pub trait Disk: Send + Sync {
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates a file of `length` zero bytes whose space is allocated; an error if the name exists.
    fn create(&self, path: &Path, length: u64) -> io::Result<Arc<dyn DiskFile>>;
    /// `create`, and the zeros are written and durable: a later sync in them has no metadata to write.
    fn create_zero_filled(&self, path: &Path, length: u64) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.create(path, length)?;
        zero_fill(&*file, 0..length).inspect_err(|_| remove_half_made(self, path))?;
        Ok(file)
    }
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Renames, replacing what has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// The names in a directory, sorted.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// Makes created, renamed and removed names of this directory durable.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
    /// Makes one directory in a directory that is there; an error if the name exists.
    fn create_dir(&self, directory: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, directory: &Path) -> io::Result<()>;
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Takes the exclusive lock that lives in the file `path` (created when missing) without waiting.
    fn try_lock(&self, path: &Path) -> io::Result<Lock>;
    /// Bytes that may still be written to the file system that holds `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Makes a directory and those above it that are missing; their names are durable then.
    ///
    /// Each name is synced before the next one is made. So at most one that is found may not be durable, the lowest: who
    /// made it may have died before the sync. A name whose sync failed is taken back while nothing is in it: a later sync
    /// would succeed and prove nothing, but the name is written anew by the next attempt.
    fn create_dir_all(&self, directory: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        for ancestor in directory.ancestors().filter(|ancestor| !ancestor.as_os_str().is_empty()) {
            if self.exists(ancestor)? {
                self.sync_name(ancestor, true)?;
                break;
            }
            missing.push(ancestor);
        }
        for made in missing.into_iter().rev() {
            match self.create_dir(made) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other?,
            }
            self.sync_name(made, false)?;
        }
        Ok(())
    }

    /// Makes the name of a directory durable, or takes it back.
    fn sync_name(&self, directory: &Path, was_found: bool) -> io::Result<()> {
        match self.sync_directory(parent(directory)) {
            // Whoever may not sync it has made nothing in it.
            Err(error) if was_found && is_anothers(&error) => Ok(()),
            Err(error) => {
                // One that is not empty had a durable name before it was filled, and stays.
                let _ = self.remove_dir(directory);
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }
}

fn is_anothers(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | InvalidInput | Unsupported)
}

/// The directory that a path's name stands in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        // The root stands in itself.
        None => path,
    }
}

/// What became of an attempt to take a lock.
pub enum Lock {
    /// Ours until the guard is dropped or the process ends.
    Held(Box<dyn Send + Sync>),
    /// Somebody else's; the process id that they left, 0 when it cannot be read.
    Busy { pid: u32 },
}

impl Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Lock::Held(_) => f.write_str("Held"),
            Lock::Busy { pid } => write!(f, "Busy {{ pid: {pid} }}"),
        }
    }
}

/// An open file; all calls take positions, so that it can be shared.
pub trait DiskFile: Send + Sync + Debug {
    /// Reads some bytes, 0 at the end of the file.
    fn read_at(&self, out: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes all or fails; after a failure any part of the range may have been written.
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Writes the pieces one behind the other as if they were one.
    fn write_all_vectored_at(&self, pieces: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        self.write_all_at(&bytes, position)
    }
    /// Makes the bytes written so far and the length durable.
    fn sync_data(&self) -> io::Result<()>;
    fn length(&self) -> io::Result<u64>;
    /// Cuts the file or extends it with zeros, without allocating space.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Makes sure that the file has at least `length` bytes and space for all of them; what is new reads as zeros.
    fn allocate(&self, length: u64) -> io::Result<()>;

    /// Fills `out` or fails with `UnexpectedEof`.
    fn read_exact_at(&self, out: &mut [u8], position: u64) -> io::Result<()> {
        let mut filled = 0;
        while filled < out.len() {
            match self.read_at(&mut out[filled..], position + filled as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Zeros are written and synced in pieces of this size: who else syncs waits behind one piece at most.
const ZERO_FILL_BYTES: usize = 1 << 20;

fn zero_fill(file: &dyn DiskFile, range: Range<u64>) -> io::Result<()> {
    let zeros = vec![0; ZERO_FILL_BYTES.min((range.end - range.start) as usize)];
    let mut position = range.start;
    while position < range.end {
        let piece = zeros.len().min((range.end - position) as usize);
        file.write_all_at(&zeros[..piece], position)?;
        position += piece as u64;
        file.sync_data()?;
    }
    Ok(())
}

/// A half-made file would hold space on a disk that has none; the error before is the one to report.
fn remove_half_made(disk: &(impl Disk + ?Sized), path: &Path) {
    let _ = disk.remove(path);
}

/// Whether the error says that the file system (or the owner's quota) is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
