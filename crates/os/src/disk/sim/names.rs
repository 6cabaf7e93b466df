//! The simulated disk as its users see it: names, directories, locks.

use super::file::SimFile;
use super::inode::{Change, Inode};
use super::state::{NameChange, device_error, not_found, stands_in};
use super::{Shared, SimDisk, SyncFault};
use crate::disk::{Disk, DiskFile, Lock};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.shared.reach();
        let inode = state.inode_of(path)?;
        Ok(Arc::new(SimFile { shared: self.shared.clone(), inode, boot: state.boot }))
    }

    fn create(&self, path: &Path, length: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.shared.reach();
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
        let mut state = self.shared.reach();
        state.begin()?;
        state.inode_of(path)?;
        state.names.remove(path);
        state.name_changes.push(NameChange::Remove(path.to_path_buf()));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.shared.reach();
        state.begin()?;
        state.check_parent(to)?;
        let inode = state.inode_of(from)?;
        state.names.remove(from);
        state.names.insert(to.to_path_buf(), inode);
        state.name_changes.push(NameChange::Rename(from.to_path_buf(), to.to_path_buf(), inode));
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let state = self.shared.reach();
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
        let mut state = self.shared.reach();
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
        let mut state = self.shared.reach();
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
        let mut state = self.shared.reach();
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
        let state = self.shared.reach();
        Ok(state.names.contains_key(path) || state.has_directory(path))
    }

    fn try_lock(&self, path: &Path) -> io::Result<Lock> {
        let mut state = self.shared.reach();
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
        let state = self.shared.reach();
        Ok(state.bytes_max.unwrap_or(1 << 40).saturating_sub(state.used_bytes()))
    }
}

struct SimLock {
    shared: Arc<Shared>,
    path: PathBuf,
    id: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.shared.now();
        if state.locks.get(&self.path) == Some(&self.id) {
            state.locks.remove(&self.path);
        }
    }
}
