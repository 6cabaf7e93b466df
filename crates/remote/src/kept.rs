//! A disk that keeps what is removed until it is shipped.
//!
//! A snapshot or a segment is removed when the log says that it is replaced. The store may not have come so far: to it the removed
//! file may still be what counts. So a file beside the log that is not in the store goes aside instead, and the shipper removes it
//! when the store has the frame that replaced it.

use crate::object::SideFile;
use os::disk::{Disk, DiskFile, Lock};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Below the data directory.
const ASIDE: &str = "unshipped";

/// The endings of files that the log names: snapshots and runs of jobs, segments.
const ENDINGS: [&str; 3] = [".snapshot", ".run", ".segment"];

/// What is beside the log, as far as shipping is concerned.
#[derive(Default)]
struct Beside {
    /// What the store has of what is there, by path below the data directory.
    shipped: BTreeMap<String, SideFile>,
    /// Removed, and in the store.
    removed: Vec<SideFile>,
    /// Removed, and not in the store: where it lies now.
    aside: BTreeMap<String, PathBuf>,
    /// More of the same path, which nothing names any more.
    forgotten: Vec<PathBuf>,
    number_next: u64,
}

/// A file beside the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where its bytes are.
    pub place: PathBuf,
    /// What lay aside under its path at that time; an older one, if that is another place.
    aside: Option<PathBuf>,
}

/// The disk of a node whose log is shipped.
#[derive(Clone)]
pub struct KeptDisk {
    below: Arc<dyn Disk>,
    data: PathBuf,
    beside: Arc<Mutex<Beside>>,
}

impl KeptDisk {
    /// What an earlier process has left aside is found again. The disk is that of one data directory.
    pub fn new(below: Arc<dyn Disk>, data: &Path) -> io::Result<KeptDisk> {
        let disk = KeptDisk { below, data: data.to_path_buf(), beside: Arc::default() };
        let folder = data.join(ASIDE);
        if disk.below.exists(&folder)? {
            let mut beside = disk.lock();
            for name in disk.below.list(&folder)? {
                let Some((number, path)) = name.split_once('-') else { continue };
                let Ok(number) = u64::from_str_radix(number, 16) else { continue };
                beside.number_next = beside.number_next.max(number + 1);
                // Those of a later number came later.
                if let Some(before) = beside.aside.insert(path.replace('~', "/"), folder.join(&name)) {
                    beside.forgotten.push(before);
                }
            }
        }
        Ok(disk)
    }

    fn lock(&self) -> MutexGuard<'_, Beside> {
        self.beside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The path below the data directory of a file that the log may name.
    fn named(&self, path: &Path) -> Option<String> {
        let relative = path.strip_prefix(&self.data).ok()?.to_str()?;
        let counts = ENDINGS.iter().any(|ending| relative.ends_with(ending)) && !relative.contains('~');
        (counts && (relative.starts_with("state/") || relative.starts_with("log/")))
            .then(|| relative.to_string())
    }

    /// The store has what was found there now.
    pub(crate) fn is_shipped(&self, side: SideFile, found: &Found) {
        let mut beside = self.lock();
        let lies_aside = beside.aside.get(&side.path).cloned();
        // It lay aside, or went there while it was read. Another one of its path that lies aside is not this one.
        let is_aside = match found.aside.as_ref() == Some(&found.place) {
            true => lies_aside == found.aside,
            false => lies_aside.is_some() && lies_aside != found.aside,
        };
        if is_aside && let Some(aside) = beside.aside.remove(&side.path) {
            beside.forgotten.push(aside);
            beside.removed.push(side);
        } else if found.aside.as_ref() == Some(&found.place) {
            beside.removed.push(side);
        } else {
            beside.shipped.insert(side.path.clone(), side);
        }
    }

    pub(crate) fn shipped(&self, path: &str) -> bool {
        self.lock().shipped.contains_key(path)
    }

    /// Where its bytes are: under its own name, or aside.
    pub(crate) fn find(&self, path: &str) -> io::Result<Option<Found>> {
        // Whoever removes it holds the lock.
        let beside = self.lock();
        let own = self.data.join(path);
        let aside = beside.aside.get(path).cloned();
        if self.below.exists(&own)? {
            return Ok(Some(Found { place: own, aside }));
        }
        Ok(aside.map(|aside| Found { place: aside.clone(), aside: Some(aside) }))
    }

    /// The names in a folder below the data directory, those that went aside too.
    pub(crate) fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        let beside = self.lock();
        let path = self.data.join(folder);
        let mut names = if self.below.exists(&path)? { self.below.list(&path)? } else { Vec::new() };
        let prefix = format!("{folder}/");
        let aside = beside.aside.keys().filter_map(|path| path.strip_prefix(&prefix));
        names.extend(aside.filter(|name| !name.contains('/')).map(str::to_string));
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The folders below one, of files that went aside too.
    pub(crate) fn folders(&self, folder: &str) -> io::Result<Vec<String>> {
        let beside = self.lock();
        let path = self.data.join(folder);
        let mut names = if self.below.exists(&path)? { self.below.list(&path)? } else { Vec::new() };
        let prefix = format!("{folder}/");
        let aside = beside.aside.keys().filter_map(|path| path.strip_prefix(&prefix)?.split_once('/'));
        names.extend(aside.map(|(inner, _)| inner.to_string()));
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// What the store has of what is there, or was a moment ago.
    pub(crate) fn all_shipped(&self) -> Vec<SideFile> {
        let beside = self.lock();
        // Of the same path, what is there counts.
        beside.removed.iter().chain(beside.shipped.values()).cloned().collect()
    }

    /// What has gone since the last call: of files that the store has, and where files lie aside that it has not.
    pub(crate) fn take_removed(&self) -> (Vec<SideFile>, Vec<(String, PathBuf)>) {
        let mut beside = self.lock();
        let removed = std::mem::take(&mut beside.removed);
        let forgotten = std::mem::take(&mut beside.forgotten);
        let aside = beside.aside.iter().map(|(path, aside)| (path.clone(), aside.clone()));
        let all = aside.chain(forgotten.into_iter().map(|aside| (String::new(), aside))).collect();
        (removed, all)
    }

    /// Removes what lies aside.
    pub(crate) fn forget(&self, gone: &[(String, PathBuf)]) {
        for (path, aside) in gone {
            // What stays only takes space until the next start.
            let _ = self.below.remove(aside);
            let mut beside = self.lock();
            if beside.aside.get(path) == Some(aside) {
                beside.aside.remove(path);
            }
        }
    }

    fn put_aside(&self, path: &Path, named: String) -> io::Result<()> {
        let folder = self.data.join(ASIDE);
        if !self.below.exists(&folder)? {
            self.below.create_dir_all(&folder)?;
        }
        let mut beside = self.lock();
        if let Some(shipped) = beside.shipped.remove(&named) {
            self.below.remove(path)?;
            beside.removed.push(shipped);
            return Ok(());
        }
        let number = beside.number_next;
        beside.number_next += 1;
        let aside = folder.join(format!("{number:016x}-{}", named.replace('/', "~")));
        self.below.rename(path, &aside)?;
        self.below.sync_directory(&folder)?;
        if let Some(before) = beside.aside.insert(named, aside) {
            beside.forgotten.push(before);
        }
        Ok(())
    }
}

impl Disk for KeptDisk {
    fn remove(&self, path: &Path) -> io::Result<()> {
        match self.named(path) {
            Some(named) => self.put_aside(path, named),
            None => self.below.remove(path),
        }
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.below.open(path)
    }

    fn create(&self, path: &Path, length: u64) -> io::Result<Arc<dyn DiskFile>> {
        self.below.create(path, length)
    }

    fn create_zero_filled(&self, path: &Path, length: u64) -> io::Result<Arc<dyn DiskFile>> {
        self.below.create_zero_filled(path, length)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if let Some(named) = self.named(to) {
            // Another of this name: what the store has under it is the one before.
            let mut beside = self.lock();
            let before = beside.shipped.remove(&named);
            beside.removed.extend(before);
            return self.below.rename(from, to);
        }
        self.below.rename(from, to)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.below.list(directory)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.below.sync_directory(directory)
    }

    fn create_dir(&self, directory: &Path) -> io::Result<()> {
        self.below.create_dir(directory)
    }

    fn remove_dir(&self, directory: &Path) -> io::Result<()> {
        self.below.remove_dir(directory)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.below.exists(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Lock> {
        self.below.try_lock(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.below.free_bytes(path)
    }
}
