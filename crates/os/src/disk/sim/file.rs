//! An open file of the simulated disk.

use super::inode::{Change, Inode};
use super::state::{State, device_error};
use super::{Shared, SyncFault};
use crate::disk::DiskFile;
use std::fmt;
use std::io;
use std::sync::{Arc, MutexGuard};

pub(super) struct SimFile {
    pub(super) shared: Arc<Shared>,
    pub(super) inode: u64,
    pub(super) boot: u64,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFile {{ inode: {} }}", self.inode)
    }
}

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.shared.reach();
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
