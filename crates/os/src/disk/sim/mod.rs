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
//! 5. The disk can be held: whoever comes to it waits until it is let go, as with a device that does not answer.

mod file;
mod inode;
mod names;
mod state;

use crate::blocking;
use crate::random::SplitMix;
use state::State;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

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
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    released: Condvar,
}

impl Shared {
    fn now(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for a user of the disk, who waits while it is held.
    fn reach(&self) -> MutexGuard<'_, State> {
        let state = self.now();
        if !state.held {
            return state;
        }
        drop(state);
        blocking::may_block(|| {
            let mut state = self.now();
            state.waiting += 1;
            let free = self.released.wait_while(state, |state| state.held);
            let mut state = free.unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
            state
        })
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
        SimDisk { shared: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.now()
    }

    /// From now on whoever comes to the disk waits, until it is let go or the power is cut.
    pub fn hold(&self) {
        self.state().held = true;
    }

    /// How many wait for the disk now.
    pub fn waiting(&self) -> usize {
        self.state().waiting
    }

    /// Lets all go on who wait for the disk.
    pub fn let_go(&self) {
        self.state().held = false;
        self.shared.released.notify_all();
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
        SimDisk { shared: Arc::new(Shared { state: Mutex::new(copy), released: Condvar::new() }) }
    }

    /// Cuts the power: what was not synced survives in part, as the seed says; open handles die, locks are free,
    /// armed faults are disarmed.
    pub fn power_cut(&self, seed: u64) {
        self.state().power_cut(seed);
        self.shared.released.notify_all();
    }
}
