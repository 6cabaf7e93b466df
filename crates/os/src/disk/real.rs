//! The machine's file system, through std and rustix.
//!
//! What is created is its owner's alone (0700, 0600): a data directory holds everybody's records, and what lets users in.
//! Outputs for other programs are made by a disk that leaves the mode to the umask.
//!
//! On a worker (see `blocking`) a read takes what the page cache has, and goes to the disk as work that may block; so do
//! all changes.
//!
//! Durability is `fdatasync`: it writes the file's length too, and leaves out the times that nobody needs.

use super::{Disk, DiskFile, Lock, ZERO_FILL_BYTES, remove_half_made, zero_fill};
use crate::blocking::{is_worker, may_block};
use rustix::fs::OFlags;
use rustix::io::ReadWriteFlags;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// Paths are taken as they are.
#[derive(Debug, Default)]
pub struct RealDisk {
    /// Leaves it to the umask who may read what is created.
    shared: bool,
}

impl RealDisk {
    /// What it creates only its owner can open.
    pub const fn private() -> RealDisk {
        RealDisk { shared: false }
    }

    /// What it creates others can open, as far as the umask lets them.
    pub const fn shared() -> RealDisk {
        RealDisk { shared: true }
    }

    fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(if self.shared { 0o666 } else { 0o600 });
        options
    }
}

#[derive(Debug)]
struct RealFile(File);

/// Holds the flock for as long as the file is open.
struct RealLock(#[allow(dead_code, reason = "kept open: closing it releases the lock")] File);

impl Disk for RealDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = may_block(|| OpenOptions::new().read(true).write(true).open(path))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn create(&self, path: &Path, length: u64) -> io::Result<Arc<dyn DiskFile>> {
        let file = RealFile(may_block(|| self.options().create_new(true).open(path))?);
        if length > 0
            && let Err(error) = file.allocate(length)
        {
            remove_half_made(self, path);
            return Err(error);
        }
        Ok(Arc::new(file))
    }

    /// The zeros go past the page cache where the file system lets them (O_DIRECT): there they would cost a copy, and
    /// memory that nobody reads from.
    fn create_zero_filled(&self, path: &Path, length: u64) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.create(path, length)?;
        let filled = match zero_fill_directly(path, length) {
            Err(error) if cannot_be_direct(&error) => zero_fill(&*file, 0..length),
            Err(error) => Err(error),
            Ok(done) => zero_fill(&*file, done..length),
        };
        filled.inspect_err(|_| remove_half_made(self, path))?;
        Ok(file)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        may_block(|| std::fs::remove_file(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        may_block(|| std::fs::rename(from, to))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            // A name that is not UTF-8 is not one of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        may_block(|| File::open(directory)?.sync_all())
    }

    fn create_dir(&self, directory: &Path) -> io::Result<()> {
        may_block(|| DirBuilder::new().mode(if self.shared { 0o777 } else { 0o700 }).create(directory))
    }

    fn remove_dir(&self, directory: &Path) -> io::Result<()> {
        may_block(|| std::fs::remove_dir(directory))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn try_lock(&self, path: &Path) -> io::Result<Lock> {
        let mut file = self.options().create(true).truncate(false).open(path)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                // Who holds it is a courtesy; a file that cannot be read only costs the number.
                let _ = file.take(32).read_to_string(&mut text);
                return Ok(Lock::Busy { pid: text.trim().parse().unwrap_or(0) });
            }
            Err(error) => return Err(error.into()),
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
        match written {
            // The lock itself does not need the text: a full disk must not keep the node from starting.
            Err(error) if !super::is_full(&error) => Err(error),
            _ => Ok(Lock::Held(Box::new(RealLock(file)))),
        }
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// What direct writes ask of positions, lengths and places in memory: as much as any disk's blocks have.
const DIRECT_ALIGNMENT: usize = 4096;

/// Writes zeros to all whole blocks of a file; answers how far that went.
fn zero_fill_directly(path: &Path, length: u64) -> io::Result<u64> {
    let direct = OpenOptions::new().write(true).custom_flags(OFlags::DIRECT.bits() as i32).open(path)?;
    let zeros = vec![0; ZERO_FILL_BYTES + DIRECT_ALIGNMENT];
    let start = zeros.as_ptr().align_offset(DIRECT_ALIGNMENT);
    let whole = length - length % DIRECT_ALIGNMENT as u64;
    let mut position = 0;
    while position < whole {
        let piece = ZERO_FILL_BYTES.min((whole - position) as usize);
        let aligned = zeros.get(start..start + piece).ok_or(io::ErrorKind::InvalidInput)?;
        direct.write_all_at(aligned, position)?;
        position += piece as u64;
        direct.sync_data()?;
    }
    Ok(whole)
}

fn cannot_be_direct(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

/// The most pieces that Linux takes in one call (IOV_MAX).
const CALL_PIECES_MAX: usize = 1024;

/// Long writes go in parts that end at multiples of this. For a long part the page cache takes memory in one piece, and
/// where that is scarce or new to the machine, finding it costs many times the copy (docs/benchmarks.md).
const CALL_BYTES_MAX: usize = 256 << 10;

impl DiskFile for RealFile {
    fn read_at(&self, out: &mut [u8], position: u64) -> io::Result<usize> {
        if is_worker() {
            let cached =
                rustix::io::preadv2(&self.0, &mut [IoSliceMut::new(out)], position, ReadWriteFlags::NOWAIT);
            // Fewer bytes than were asked for are an answer; where it is none, the disk has to be asked.
            if let Ok(count) = cached {
                return Ok(count);
            }
        }
        may_block(|| self.0.read_at(out, position))
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.write_all_vectored_at(&[IoSlice::new(bytes)], position)
    }

    fn write_all_vectored_at(&self, pieces: &[IoSlice<'_>], mut position: u64) -> io::Result<()> {
        // The piece where the rest begins, and how much of it is written already.
        let (mut index, mut done) = (0, 0);
        let mut call: Vec<IoSlice<'_>> = Vec::new();
        loop {
            let room = CALL_BYTES_MAX - (position % CALL_BYTES_MAX as u64) as usize;
            call.clear();
            let (mut bytes, mut from) = (0, done);
            for piece in &pieces[index..] {
                let part = &piece[from..piece.len().min(from + room - bytes)];
                if !part.is_empty() {
                    call.push(IoSlice::new(part));
                }
                bytes += part.len();
                from = 0;
                if bytes == room || call.len() == CALL_PIECES_MAX {
                    break;
                }
            }
            if bytes == 0 {
                return Ok(());
            }
            let written = match may_block(|| rustix::io::pwritev(&self.0, &call, position)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            position += written as u64;
            done += written;
            while let Some(piece) = pieces.get(index).filter(|piece| piece.len() <= done) {
                done -= piece.len();
                index += 1;
            }
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        may_block(|| self.0.sync_data())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        may_block(|| self.0.set_len(length))
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        loop {
            let allocated =
                may_block(|| rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::empty(), 0, length));
            match allocated {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                // Some file systems cannot allocate in advance; then the length alone must do.
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                    return if self.length()? < length { self.set_length(length) } else { Ok(()) };
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
