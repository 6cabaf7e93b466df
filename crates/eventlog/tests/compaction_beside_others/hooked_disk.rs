//! A disk that asks before each operation of one thread whether it may go on, and what it is to fail with.

use os::disk::Lock;
use os::{Disk, DiskFile};
use std::cell::RefCell;
use std::fmt::{Debug, Formatter};
use std::io;
use std::path::Path;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
    Sync,
    /// Opens, creations, renames and removals.
    Name,
}

type Hook = Box<dyn FnMut(Operation) -> io::Result<()>>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Runs `work`; each operation on the disk by this thread asks `hook` first.
pub fn hooked<R>(hook: impl FnMut(Operation) -> io::Result<()> + 'static, work: impl FnOnce() -> R) -> R {
    HOOK.set(Some(Box::new(hook)));
    let result = work();
    HOOK.set(None);
    result
}

fn ask(operation: Operation) -> io::Result<()> {
    HOOK.with_borrow_mut(|hook| hook.as_mut().map_or(Ok(()), |hook| hook(operation)))
}

pub struct HookedDisk(pub Arc<dyn Disk>);

struct HookedFile(Arc<dyn DiskFile>);

impl Debug for HookedFile {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Disk for HookedDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        ask(Operation::Name)?;
        Ok(Arc::new(HookedFile(self.0.open(path)?)))
    }

    fn create(&self, path: &Path, length: u64) -> io::Result<Arc<dyn DiskFile>> {
        ask(Operation::Name)?;
        Ok(Arc::new(HookedFile(self.0.create(path, length)?)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        ask(Operation::Name)?;
        self.0.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        ask(Operation::Name)?;
        self.0.rename(from, to)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.0.list(directory)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        ask(Operation::Sync)?;
        self.0.sync_directory(directory)
    }

    fn create_dir(&self, directory: &Path) -> io::Result<()> {
        self.0.create_dir(directory)
    }

    fn remove_dir(&self, directory: &Path) -> io::Result<()> {
        self.0.remove_dir(directory)
    }

    fn create_dir_all(&self, directory: &Path) -> io::Result<()> {
        self.0.create_dir_all(directory)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.exists(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Lock> {
        self.0.try_lock(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.0.free_bytes(path)
    }
}

impl DiskFile for HookedFile {
    fn read_at(&self, out: &mut [u8], position: u64) -> io::Result<usize> {
        ask(Operation::Read)?;
        self.0.read_at(out, position)
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        ask(Operation::Write)?;
        self.0.write_all_at(bytes, position)
    }

    fn sync_data(&self) -> io::Result<()> {
        ask(Operation::Sync)?;
        self.0.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_length(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.0.allocate(length)
    }
}
