//! A disk in memory that remembers what was synced and what was not, and can lose the difference.
//!
//! 1. Every file (inode) has two images: what a reader sees now, and what is durable. A write changes the first and is
//!    noted; `sync_data` applies the notes to the second. Names work alike, those of directories too: creations, renames
//!    and removals are noted per directory until `sync_directory`.
//! 2. `power_cut` throws the visible images away. Of the unsynced writes an arbitrary part survives, in units of a
//!    512-byte sector and in any order; where a file had grown, sectors may be zeros. Of the unsynced names an
//!    arbitrary subset survives; with a directory goes all that is in it. Open handles die: everything done through them fails.
//! 3. Faults are armed by the test: the n-th sync fails once (and what it should have written is dropped although
//!    later syncs succeed, as Linux does), writes fail half-way, space runs out, bits flip.
//! 4. Every operation that changes the disk is counted, so that a test can stop the world at each of them in turn.

use super::{Disk, DiskFile, Lock};
use crate::random::SplitMix;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The unit that a real disk writes whole.
const SECTOR_BYTES: u64 = 512;

/// How an armed sync failure leaves the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncFault {
    /// EIO, and the unsynced writes are silently forgotten: later syncs succeed without them (fsyncgate).
    DropsWrites,
    /// EIO, and the unsynced writes stay unsynced.
    KeepsWrites,
}

/// The simulated disk; share it by `Arc`.
pub struct SimDisk {
    shared: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    inode_next: u64,
    /// Those that are there from the beginning are not in here.
    directories: BTreeSet<PathBuf>,
    durable_directories: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    name_changes: Vec<NameChange>,
    /// Counts power cuts; handles and locks of an earlier boot are dead.
    boot: u64,
    locks: BTreeMap<PathBuf, u64>,
    lock_next: u64,
    operations: u64,
    syncs: u64,
    writes: u64,
    cut_at: Option<u64>,
    sync_fault: Option<(u64, SyncFault)>,
    write_fault: Option<u64>,
    bytes_max: Option<u64>,
    short_reads: Option<SplitMix>,
}

#[derive(Default, Clone)]
struct Inode {
    visible: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { position: u64, bytes: Vec<u8> },
    Length(u64),
}

enum NameChange {
    AddDirectory(PathBuf),
    RemoveDirectory(PathBuf),
    Add(PathBuf, u64),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, u64),
}

impl NameChange {
    fn touches(&self, directory: &Path) -> bool {
        match self {
            NameChange::AddDirectory(path)
            | NameChange::RemoveDirectory(path)
            | NameChange::Add(path, _)
            | NameChange::Remove(path) => stands_in(path, directory),
            NameChange::Rename(from, to, _) => stands_in(from, directory) || stands_in(to, directory),
        }
    }

    fn apply(&self, state: &mut State) {
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

fn stands_in(path: &Path, directory: &Path) -> bool {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => is_root(directory) && directory.is_relative(),
        parent => parent == Some(directory),
    }
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Change::Write { position, bytes } => {
                let start = *position as usize;
                if image.len() < start + bytes.len() {
                    image.resize(start + bytes.len(), 0);
                }
                image[start..start + bytes.len()].copy_from_slice(bytes);
            }
            Change::Length(length) => image.resize(*length as usize, 0),
        }
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        SimDisk::new()
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

impl SimDisk {
    pub fn new() -> SimDisk {
        SimDisk { shared: Arc::new(Mutex::new(State::default())) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many changing operations were begun so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// How many syncs of files and directories were begun so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// From the given operation (counted from 1) on, everything fails, as if the machine had stopped; the operation
    /// itself does not happen. Ends with `power_cut`.
    pub fn stop_at_operation(&self, operation: Option<u64>) {
        self.state().cut_at = operation;
    }

    /// The n-th sync from now (1 = the next) fails once.
    pub fn fail_sync(&self, nth: u64, fault: SyncFault) {
        let mut state = self.state();
        let at = state.syncs + nth;
        state.sync_fault = Some((at, fault));
    }

    /// The n-th write from now (1 = the next) writes half of its bytes and fails once with EIO.
    pub fn fail_write(&self, nth: u64) {
        let mut state = self.state();
        let at = state.writes + nth;
        state.write_fault = Some(at);
    }

    /// Limits the sum of all file lengths; `None` lifts the limit.
    pub fn limit_bytes(&self, bytes_max: Option<u64>) {
        self.state().bytes_max = bytes_max;
    }

    /// Lets reads answer less than was asked for, from a seed.
    pub fn short_reads(&self, seed: Option<u64>) {
        self.state().short_reads = seed.map(SplitMix);
    }

    /// The sum of all file lengths.
    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// Inverts bits of one byte, on the disk and in what readers see.
    pub fn flip(&self, path: &Path, position: u64, mask: u8) -> io::Result<()> {
        let mut state = self.state();
        let inode = state.inode_of(path)?;
        let inode = state.inodes.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
        let position = position as usize;
        for image in [&mut inode.visible, &mut inode.durable] {
            if let Some(byte) = image.get_mut(position) {
                *byte ^= mask;
            }
        }
        Ok(())
    }

    /// A copy of what a reader sees in a file.
    pub fn contents(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.state();
        let inode = state.inode_of(path)?;
        Ok(state.inodes[&inode].visible.clone())
    }

    /// A disk with the same durable and visible contents and no armed faults, for trying several ends of one story.
    pub fn fork(&self) -> SimDisk {
        let state = self.state();
        let copy = State {
            inodes: state.inodes.clone(),
            inode_next: state.inode_next,
            directories: state.directories.clone(),
            durable_directories: state.directories.clone(),
            names: state.names.clone(),
            durable_names: state.names.clone(),
            boot: state.boot + 1,
            ..State::default()
        };
        SimDisk { shared: Arc::new(Mutex::new(copy)) }
    }

    /// Cuts the power: what was not synced survives in part, as the seed says; open handles die, locks are free,
    /// armed faults are disarmed.
    pub fn power_cut(&self, seed: u64) {
        let mut random = SplitMix(seed);
        let mut state = self.state();
        let state = &mut *state;
        state.boot += 1;
        state.locks.clear();
        state.cut_at = None;
        state.sync_fault = None;
        state.write_fault = None;

        let changes = std::mem::take(&mut state.name_changes);
        // A journalling file system keeps a prefix; the standard promises nothing at all.
        let keep_prefix = random.one_in(2);
        let kept = random.below(changes.len() as u64 + 1) as usize;
        for (number, change) in changes.iter().enumerate() {
            if if keep_prefix { number < kept } else { random.one_in(2) } {
                change.apply(state);
            }
        }
        state.lose_directories();
        for inode in state.inodes.values_mut() {
            inode.lose_power(&mut random);
        }
        state.names = state.durable_names.clone();
        let alive: BTreeSet<u64> = state.names.values().copied().collect();
        state.inodes.retain(|number, _| alive.contains(number));
    }
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.visible);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    fn lose_power(&mut self, random: &mut SplitMix) {
        let mut changes = std::mem::take(&mut self.unsynced);
        match random.below(5) {
            // Nothing reached the disk.
            0 => changes.clear(),
            // Everything did.
            1 => {}
            // A prefix did, and the last of it is torn.
            2 => {
                changes.truncate(random.below(changes.len() as u64 + 1) as usize);
                let torn = changes.pop();
                for change in changes.drain(..) {
                    change.apply(&mut self.durable);
                }
                if let Some(torn) = torn {
                    tear(&torn, &mut self.durable, random, 2, 0);
                }
            }
            // Any sectors, in any order.
            _ => {
                for index in (1..changes.len()).rev() {
                    changes.swap(index, random.below(index as u64 + 1) as usize);
                }
                let lost_one_in = 1 + random.below(6);
                let zero_one_in = if random.one_in(2) { 4 } else { 0 };
                for change in changes.drain(..) {
                    tear(&change, &mut self.durable, random, lost_one_in, zero_one_in);
                }
            }
        }
        for change in changes {
            change.apply(&mut self.durable);
        }
        self.visible.clone_from(&self.durable);
    }
}

/// Applies some of the sectors of a change. Where the file did not reach before, a sector may become zeros.
fn tear(change: &Change, image: &mut Vec<u8>, random: &mut SplitMix, lost_one_in: u64, zero_one_in: u64) {
    let Change::Write { position, bytes } = change else {
        if random.one_in(2) {
            change.apply(image);
        }
        return;
    };
    let end = position + bytes.len() as u64;
    let mut at = *position;
    while at < end {
        let sector_end = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
        if !random.one_in(lost_one_in) {
            let part = &bytes[(at - position) as usize..(sector_end - position) as usize];
            let is_new = at as usize >= image.len();
            let zeros = is_new && zero_one_in > 0 && random.one_in(zero_one_in);
            let part = if zeros { vec![0; part.len()] } else { part.to_vec() };
            Change::Write { position: at, bytes: part }.apply(image);
        }
        at = sector_end;
    }
}

impl State {
    fn used_bytes(&self) -> u64 {
        self.names.values().filter_map(|inode| self.inodes.get(inode)).map(|i| i.visible.len() as u64).sum()
    }

    fn has_directory(&self, directory: &Path) -> bool {
        is_root(directory) || self.directories.contains(directory)
    }

    /// A directory whose name, or that of one above it, is not durable is gone with all that was in it.
    fn lose_directories(&mut self) {
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

    fn inode_of(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| not_found(path))
    }

    /// Counts a changing operation; fails when the world has stopped.
    fn begin(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.cut_at {
            Some(at) if self.operations >= at => Err(io::Error::other("simulated power cut")),
            _ => Ok(()),
        }
    }

    fn check_space(&self, grows_by: u64) -> io::Result<()> {
        match self.bytes_max {
            Some(bytes_max) if grows_by > 0 && self.used_bytes() + grows_by > bytes_max => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    fn check_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if !self.has_directory(parent) => Err(not_found(parent)),
            _ => Ok(()),
        }
    }

    /// Whether this sync is the one that was armed to fail.
    fn begin_sync(&mut self) -> Option<SyncFault> {
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

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", path.display()))
}

fn device_error() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state();
        let inode = state.inode_of(path)?;
        Ok(Arc::new(SimFile { shared: self.shared.clone(), inode, boot: state.boot }))
    }

    fn create(&self, path: &Path, length: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.begin()?;
        state.check_parent(path)?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.check_space(length)?;
        state.inode_next += 1;
        let inode = state.inode_next;
        let mut created = Inode::default();
        if length > 0 {
            created.change(Change::Length(length));
        }
        state.inodes.insert(inode, created);
        state.names.insert(path.to_path_buf(), inode);
        state.name_changes.push(NameChange::Add(path.to_path_buf(), inode));
        Ok(Arc::new(SimFile { shared: self.shared.clone(), inode, boot: state.boot }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        state.inode_of(path)?;
        state.names.remove(path);
        state.name_changes.push(NameChange::Remove(path.to_path_buf()));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        state.check_parent(to)?;
        let inode = state.inode_of(from)?;
        state.names.remove(from);
        state.names.insert(to.to_path_buf(), inode);
        state.name_changes.push(NameChange::Rename(from.to_path_buf(), to.to_path_buf(), inode));
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        if !state.has_directory(directory) {
            return Err(not_found(directory));
        }
        let mut names: Vec<String> = state
            .names
            .keys()
            .chain(&state.directories)
            .filter(|path| stands_in(path, directory))
            .filter_map(|path| path.file_name()?.to_str().map(str::to_string))
            .collect();
        names.sort();
        Ok(names)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        if !state.has_directory(directory) {
            return Err(not_found(directory));
        }
        let fault = state.begin_sync();
        if fault == Some(SyncFault::KeepsWrites) {
            return Err(device_error());
        }
        let state = &mut *state;
        let (synced, rest) =
            state.name_changes.drain(..).partition(|change: &NameChange| change.touches(directory));
        state.name_changes = rest;
        if fault.is_some() {
            return Err(device_error());
        }
        let synced: Vec<NameChange> = synced;
        for change in synced {
            change.apply(state);
        }
        Ok(())
    }

    fn create_dir(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        state.check_parent(directory)?;
        if state.has_directory(directory) || state.names.contains_key(directory) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.directories.insert(directory.to_path_buf());
        state.name_changes.push(NameChange::AddDirectory(directory.to_path_buf()));
        Ok(())
    }

    fn remove_dir(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        if !state.directories.contains(directory) {
            return Err(not_found(directory));
        }
        if state.names.keys().chain(&state.directories).any(|path| stands_in(path, directory)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.directories.remove(directory);
        state.name_changes.push(NameChange::RemoveDirectory(directory.to_path_buf()));
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.state();
        Ok(state.names.contains_key(path) || state.has_directory(path))
    }

    fn try_lock(&self, path: &Path) -> io::Result<Lock> {
        let mut state = self.state();
        state.check_parent(path)?;
        if state.locks.contains_key(path) {
            return Ok(Lock::Busy { pid: std::process::id() });
        }
        state.lock_next += 1;
        let id = state.lock_next;
        state.locks.insert(path.to_path_buf(), id);
        Ok(Lock::Held(Box::new(SimLock { shared: self.shared.clone(), path: path.to_path_buf(), id })))
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let state = self.state();
        Ok(state.bytes_max.unwrap_or(1 << 40).saturating_sub(state.used_bytes()))
    }
}

struct SimLock {
    shared: Arc<Mutex<State>>,
    path: PathBuf,
    id: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if state.locks.get(&self.path) == Some(&self.id) {
            state.locks.remove(&self.path);
        }
    }
}

struct SimFile {
    shared: Arc<Mutex<State>>,
    inode: u64,
    boot: u64,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFile {{ inode: {} }}", self.inode)
    }
}

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if state.boot != self.boot {
            return Err(io::Error::other("the handle was opened before a simulated power cut"));
        }
        Ok(state)
    }

    /// Changes the file's length or bytes after the checks that every change needs.
    fn change(&self, length_after: u64, change: Change) -> io::Result<()> {
        let mut state = self.state()?;
        state.begin()?;
        let is_write = matches!(change, Change::Write { .. });
        let length = self.inode(&mut state)?.visible.len() as u64;
        state.check_space(length_after.saturating_sub(length))?;
        state.writes += u64::from(is_write);
        if is_write && state.write_fault == Some(state.writes) {
            state.write_fault = None;
            if let Change::Write { position, mut bytes } = change {
                bytes.truncate(bytes.len() / 2);
                self.inode(&mut state)?.change(Change::Write { position, bytes });
            }
            return Err(device_error());
        }
        self.inode(&mut state)?.change(change);
        Ok(())
    }

    fn inode<'a>(&self, state: &'a mut State) -> io::Result<&'a mut Inode> {
        state.inodes.get_mut(&self.inode).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, out: &mut [u8], position: u64) -> io::Result<usize> {
        let mut state = self.state()?;
        let length = self.inode(&mut state)?.visible.len();
        let start = usize::try_from(position).unwrap_or(usize::MAX).min(length);
        let mut count = out.len().min(length - start);
        if count > 1
            && let Some(random) = &mut state.short_reads
        {
            count = 1 + random.below(count as u64) as usize;
        }
        out[..count].copy_from_slice(&self.inode(&mut state)?.visible[start..start + count]);
        Ok(count)
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.change(position + bytes.len() as u64, Change::Write { position, bytes: bytes.to_vec() })
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state()?;
        state.begin()?;
        let fault = state.begin_sync();
        let inode = self.inode(&mut state)?;
        match fault {
            None => {
                inode.sync();
                Ok(())
            }
            Some(SyncFault::DropsWrites) => {
                inode.unsynced.clear();
                Err(device_error())
            }
            Some(SyncFault::KeepsWrites) => Err(device_error()),
        }
    }

    fn length(&self) -> io::Result<u64> {
        let mut state = self.state()?;
        Ok(self.inode(&mut state)?.visible.len() as u64)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.change(length, Change::Length(length))
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        if self.length()? >= length {
            return Ok(());
        }
        self.change(length, Change::Length(length))
    }
}
