//! What the simulated disk knows: files, names, what of them is durable, and the faults that are armed.

use super::SyncFault;
use super::inode::Inode;
use crate::random::SplitMix;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

#[derive(Default)]
pub(super) struct State {
    pub(super) inodes: BTreeMap<u64, Inode>,
    pub(super) inode_next: u64,
    /// Those that are there from the beginning are not in here.
    pub(super) directories: BTreeSet<PathBuf>,
    pub(super) durable_directories: BTreeSet<PathBuf>,
    pub(super) names: BTreeMap<PathBuf, u64>,
    pub(super) durable_names: BTreeMap<PathBuf, u64>,
    pub(super) name_changes: Vec<NameChange>,
    /// Counts power cuts; handles and locks of an earlier boot are dead.
    pub(super) boot: u64,
    pub(super) locks: BTreeMap<PathBuf, u64>,
    pub(super) lock_next: u64,
    pub(super) operations: u64,
    pub(super) syncs: u64,
    pub(super) writes: u64,
    pub(super) cut_at: Option<u64>,
    pub(super) sync_fault: Option<(u64, SyncFault)>,
    pub(super) write_fault: Option<u64>,
    pub(super) bytes_max: Option<u64>,
    pub(super) short_reads: Option<SplitMix>,
    /// Whoever comes to the disk waits.
    pub(super) held: bool,
    pub(super) waiting: usize,
}

pub(super) enum NameChange {
    AddDirectory(PathBuf),
    RemoveDirectory(PathBuf),
    Add(PathBuf, u64),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, u64),
}

impl NameChange {
    pub(super) fn touches(&self, directory: &Path) -> bool {
        match self {
            NameChange::AddDirectory(path)
            | NameChange::RemoveDirectory(path)
            | NameChange::Add(path, _)
            | NameChange::Remove(path) => stands_in(path, directory),
            NameChange::Rename(from, to, _) => stands_in(from, directory) || stands_in(to, directory),
        }
    }

    pub(super) fn apply(&self, state: &mut State) {
        let names = &mut state.durable_names;
        match self {
            NameChange::AddDirectory(path) => {
                state.durable_directories.insert(path.clone());
            }
            NameChange::RemoveDirectory(path) => {
                state.durable_directories.remove(path);
            }
            NameChange::Add(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            NameChange::Remove(path) => {
                names.remove(path);
            }
            NameChange::Rename(_, to, inode) => {
                // A rename moves a file; that an earlier rename of it was lost must not leave it two names.
                names.retain(|_, other| other != inode);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

/// Where everything begins: the root, and the working directory.
fn is_root(directory: &Path) -> bool {
    [Path::new("/"), Path::new("."), Path::new("")].contains(&directory)
}

pub(super) fn stands_in(path: &Path, directory: &Path) -> bool {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => is_root(directory) && directory.is_relative(),
        parent => parent == Some(directory),
    }
}

impl State {
    pub(super) fn used_bytes(&self) -> u64 {
        self.names.values().filter_map(|inode| self.inodes.get(inode)).map(|i| i.visible.len() as u64).sum()
    }

    pub(super) fn has_directory(&self, directory: &Path) -> bool {
        is_root(directory) || self.directories.contains(directory)
    }

    /// A directory whose name, or that of one above it, is not durable is gone with all that was in it.
    pub(super) fn lose_directories(&mut self) {
        let durable = std::mem::take(&mut self.durable_directories);
        let is_there = |directory: &Path| {
            directory.ancestors().all(|ancestor| is_root(ancestor) || durable.contains(ancestor))
        };
        let survives: BTreeSet<PathBuf> =
            durable.iter().filter(|directory| is_there(directory)).cloned().collect();
        self.durable_names.retain(|path, _| path.parent().is_none_or(is_there));
        self.directories.clone_from(&survives);
        self.durable_directories = survives;
    }

    pub(super) fn inode_of(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| not_found(path))
    }

    /// Counts a changing operation; fails when the world has stopped.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.cut_at {
            Some(at) if self.operations >= at => Err(io::Error::other("simulated power cut")),
            _ => Ok(()),
        }
    }

    pub(super) fn check_space(&self, grows_by: u64) -> io::Result<()> {
        match self.bytes_max {
            Some(bytes_max) if grows_by > 0 && self.used_bytes() + grows_by > bytes_max => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if !self.has_directory(parent) => Err(not_found(parent)),
            _ => Ok(()),
        }
    }

    /// Whether this sync is the one that was armed to fail.
    pub(super) fn begin_sync(&mut self) -> Option<SyncFault> {
        self.syncs += 1;
        match self.sync_fault {
            Some((at, fault)) if at == self.syncs => {
                self.sync_fault = None;
                Some(fault)
            }
            _ => None,
        }
    }
}

pub(super) fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", path.display()))
}

pub(super) fn device_error() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl State {
    pub(super) fn power_cut(&mut self, seed: u64) {
        let mut random = SplitMix(seed);
        self.boot += 1;
        self.locks.clear();
        self.cut_at = None;
        self.sync_fault = None;
        self.write_fault = None;
        self.held = false;
        let changes = std::mem::take(&mut self.name_changes);
        // A journalling file system keeps a prefix; the standard promises nothing at all.
        let keep_prefix = random.one_in(2);
        let kept = random.below(changes.len() as u64 + 1) as usize;
        for (number, change) in changes.iter().enumerate() {
            if if keep_prefix { number < kept } else { random.one_in(2) } {
                change.apply(self);
            }
        }
        self.lose_directories();
        for inode in self.inodes.values_mut() {
            inode.lose_power(&mut random);
        }
        self.names = self.durable_names.clone();
        let alive: BTreeSet<u64> = self.names.values().copied().collect();
        self.inodes.retain(|number, _| alive.contains(number));
    }
}
