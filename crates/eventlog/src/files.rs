//! Log files by name, their handles, and the spare files that wait to become log files.
//!
//! A handle is opened when it is needed and a bounded number stay open. A file is only recycled under a new name when
//! nobody holds a handle of it; otherwise it is unlinked, and whoever still reads it reads the old bytes to the end.

use crate::LogError;
use crate::format::{FILE_HEADER_BYTES, FileHeader};
use crate::segment::{Segment, segment_name, segment_sequence};
use base::Lsn;
use os::{Disk, DiskFile};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Locks, whatever a thread that panicked may have left: every structure here is valid between its statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn log_name(sequence: u64) -> String {
    format!("{sequence:016x}.log")
}

pub(crate) fn index_name(sequence: u64) -> String {
    format!("{sequence:016x}.index")
}

fn spare_name(number: u64) -> String {
    format!("{number:016x}.spare")
}

/// The number in a name such as `000000000000002a.log`.
pub(crate) fn parse_name(name: &str, extension: &str) -> Option<u64> {
    let digits = name.strip_suffix(extension)?.strip_suffix('.')?;
    let canonical = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    canonical.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// Sealed files whose handles are open, the least recently opened first.
pub(crate) struct HandlePool {
    open_max: usize,
    open: Mutex<VecDeque<Weak<LogFile>>>,
    /// Damaged places met so far; here because whoever reads from a file can reach it.
    pub(crate) damaged: AtomicU64,
}

impl HandlePool {
    pub(crate) fn new(open_max: usize) -> Arc<HandlePool> {
        Arc::new(HandlePool { open_max: open_max.max(1), open: Mutex::default(), damaged: AtomicU64::new(0) })
    }
}

/// One log file, active or sealed, or a segment of one partition.
pub(crate) struct LogFile {
    pub(crate) header: FileHeader,
    /// What a segment holds; nothing of a log file.
    pub(crate) segment: Option<Segment>,
    pub(crate) path: PathBuf,
    /// The file's length; only the active file's grows.
    pub(crate) length: AtomicU64,
    disk: Arc<dyn Disk>,
    pub(crate) pool: Arc<HandlePool>,
    handles: Mutex<Handles>,
}

#[derive(Default)]
struct Handles {
    current: Option<Arc<dyn DiskFile>>,
    /// Every handle ever given out that may still be held by a reader.
    given: Vec<Weak<dyn DiskFile>>,
    /// The file is given back; its name may belong to another by now.
    retired: bool,
}

impl std::fmt::Debug for LogFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogFile({})", self.path.display())
    }
}

impl LogFile {
    pub(crate) fn new(
        disk: &Arc<dyn Disk>,
        pool: &Arc<HandlePool>,
        directory: &Path,
        header: FileHeader,
        length: u64,
    ) -> Arc<LogFile> {
        Arc::new(LogFile {
            header,
            segment: None,
            path: directory.join(log_name(header.sequence)),
            length: AtomicU64::new(length),
            disk: disk.clone(),
            pool: pool.clone(),
            handles: Mutex::default(),
        })
    }

    pub(crate) fn of_segment(
        disk: &Arc<dyn Disk>,
        pool: &Arc<HandlePool>,
        directory: &Path,
        segment: Segment,
    ) -> Arc<LogFile> {
        let header = FileHeader {
            generation: segment.generation,
            sequence: segment_sequence(segment.number),
            base_lsn: Lsn(0),
            checkpoint_bytes: 0,
            created_ms: 0,
        };
        Arc::new(LogFile {
            header,
            segment: Some(segment),
            path: directory.join(segment_name(segment.number)),
            length: AtomicU64::new(segment.file_bytes()),
            disk: disk.clone(),
            pool: pool.clone(),
            handles: Mutex::default(),
        })
    }

    /// The number of a log file; that of a segment is greater than all of them.
    pub(crate) fn sequence(&self) -> u64 {
        self.header.sequence
    }

    pub(crate) fn base_lsn(&self) -> Lsn {
        self.header.base_lsn
    }

    pub(crate) fn name(&self) -> String {
        self.segment.map_or_else(|| log_name(self.header.sequence), |segment| segment_name(segment.number))
    }

    /// A handle for reading; an error when the file was given back meanwhile.
    pub(crate) fn handle(self: &Arc<Self>) -> Result<Arc<dyn DiskFile>, LogError> {
        if let Some(handle) = self.current(&lock(&self.handles))? {
            return Ok(handle);
        }
        // Outside of the lock: it may take long. What the name opened is ours only if it was not given back meanwhile.
        let opened = self.disk.open(&self.path);
        let handle = {
            let mut handles = lock(&self.handles);
            if let Some(handle) = self.current(&handles)? {
                return Ok(handle);
            }
            let handle = opened.map_err(|error| LogError::io("open", &self.path, error))?;
            handles.given.retain(|given| given.strong_count() > 0);
            handles.given.push(Arc::downgrade(&handle));
            handles.current = Some(handle.clone());
            handle
        };
        let mut open = lock(&self.pool.open);
        open.push_back(Arc::downgrade(self));
        while open.len() > self.pool.open_max {
            let Some(oldest) = open.pop_front().and_then(|oldest| oldest.upgrade()) else { continue };
            if !Arc::ptr_eq(&oldest, self) {
                lock(&oldest.handles).current = None;
            }
        }
        Ok(handle)
    }

    fn current(&self, handles: &Handles) -> Result<Option<Arc<dyn DiskFile>>, LogError> {
        if handles.retired {
            return Err(LogError::NotFound(format!(
                "log file {} was recycled: its records are below the log start",
                self.name()
            )));
        }
        Ok(handles.current.clone())
    }

    /// Ends the file's life under this name. True when no reader holds it, so that its space may be written again.
    pub(crate) fn retire(&self) -> bool {
        let mut handles = lock(&self.handles);
        handles.retired = true;
        handles.current = None;
        handles.given.iter().all(|given| given.strong_count() == 0)
    }

    pub(crate) fn is_retired(&self) -> bool {
        lock(&self.handles).retired
    }
}

/// A file that waits to become the next log file.
pub(crate) struct Spare {
    pub(crate) path: PathBuf,
    pub(crate) handle: Arc<dyn DiskFile>,
    pub(crate) bytes: u64,
}

/// The spare files of a data directory.
pub(crate) struct Spares {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    state: Mutex<SparesState>,
}

#[derive(Default)]
struct SparesState {
    ready: VecDeque<Spare>,
    number_next: u64,
    /// Why no spare could be made, while that lasts.
    trouble: Option<String>,
}

/// Enough to roll while the next one is being zero-filled; more would only hold space.
const SPARES_MAX: usize = 2;

impl Spares {
    pub(crate) fn new(disk: &Arc<dyn Disk>, directory: &Path) -> Spares {
        Spares { disk: disk.clone(), directory: directory.to_path_buf(), state: Mutex::default() }
    }

    /// Takes in the spare files found in the directory; what cannot be used is removed.
    ///
    /// A file whose new name was lost in a power cut may hold a complete beginning of the file after `newest`. It was
    /// given up, so it must not come back when it gets the same name again: its header is wiped.
    pub(crate) fn adopt(&self, names: &[String], file_bytes: u64, newest: u64) -> Result<(), LogError> {
        for name in names {
            let Some(number) = parse_name(name, "spare") else { continue };
            {
                let mut state = lock(&self.state);
                state.number_next = state.number_next.max(number.saturating_add(1));
            }
            let path = self.directory.join(name);
            let wiped = self.disk.open(&path).and_then(|handle| {
                let mut block = vec![0; handle.length()?.min(FILE_HEADER_BYTES) as usize];
                handle.read_exact_at(&mut block, 0)?;
                if FileHeader::decode(&block).is_some_and(|header| header.sequence > newest) {
                    handle.write_all_at(&vec![0; block.len()], 0)?;
                    handle.sync_data()?;
                }
                Ok(())
            });
            wiped.map_err(|error| LogError::io("wipe", &path, error))?;
            self.offer(path, file_bytes);
        }
        Ok(())
    }

    /// Takes a file that lies under a spare's name; removes it when it is too large or one too many.
    fn offer(&self, path: PathBuf, file_bytes: u64) {
        let opened = self.disk.open(&path).and_then(|handle| Ok((handle.length()?, handle)));
        if let Ok((bytes, handle)) = opened
            && bytes >= FILE_HEADER_BYTES
            && bytes <= file_bytes.saturating_mul(2)
        {
            let mut state = lock(&self.state);
            if state.ready.len() < SPARES_MAX {
                state.ready.push_back(Spare { path, handle, bytes });
                state.trouble = None;
                return;
            }
        }
        // Space is only won by this; that it fails is no reason to stop.
        let _ = self.disk.remove(&path);
    }

    pub(crate) fn has_ready(&self) -> bool {
        !lock(&self.state).ready.is_empty()
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        lock(&self.state).trouble.clone()
    }

    pub(crate) fn bytes(&self) -> u64 {
        lock(&self.state).ready.iter().map(|spare| spare.bytes).sum()
    }

    pub(crate) fn take(&self) -> Option<Spare> {
        lock(&self.state).ready.pop_front()
    }

    pub(crate) fn put_back(&self, spare: Spare) {
        lock(&self.state).ready.push_front(spare);
    }

    /// Makes a new file; zero-filled when there is time for it, since writing into zeros syncs fastest.
    pub(crate) fn create(&self, bytes: u64, zero_fill: bool) -> Result<Spare, LogError> {
        let path = {
            let mut state = lock(&self.state);
            state.number_next += 1;
            self.directory.join(spare_name(state.number_next))
        };
        let made = match zero_fill {
            true => self.disk.create_zero_filled(&path, bytes),
            false => self.disk.create(&path, bytes),
        };
        match made {
            Ok(handle) => {
                lock(&self.state).trouble = None;
                Ok(Spare { path, handle, bytes })
            }
            Err(error) => {
                let error = LogError::io("prepare the next log file", &path, error);
                lock(&self.state).trouble = Some(error.to_string());
                Err(error)
            }
        }
    }

    /// Has a spare ready; what stands in the way is kept for `trouble` and tried again later.
    pub(crate) fn prepare(&self, file_bytes: u64, zero_fill: bool) {
        if let Ok(spare) = self.create(file_bytes, zero_fill) {
            lock(&self.state).ready.push_back(spare);
        }
    }

    /// Turns a log file that nobody needs into a spare, or removes it.
    pub(crate) fn recycle(&self, path: &Path, unread: bool, file_bytes: u64) -> Result<(), LogError> {
        let full = lock(&self.state).ready.len() >= SPARES_MAX;
        if full || !unread {
            return self.disk.remove(path).map_err(|error| LogError::io("remove", path, error));
        }
        let number = {
            let mut state = lock(&self.state);
            state.number_next += 1;
            state.number_next
        };
        let spare_path = self.directory.join(spare_name(number));
        self.disk.rename(path, &spare_path).map_err(|error| LogError::io("recycle", path, error))?;
        // The old name must be gone for good before the file's bytes change, or a power cut would bring back a log
        // file with foreign contents.
        self.disk
            .sync_directory(&self.directory)
            .map_err(|error| LogError::io("sync", &self.directory, error))?;
        self.offer(spare_path, file_bytes);
        Ok(())
    }
}
