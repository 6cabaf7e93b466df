//! How a log is opened: where it lies, how large its parts are, who commits.

use std::path::PathBuf;

/// Who runs the group commit and the upkeep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committer {
    /// Threads of the log; for a real node.
    Thread,
    /// Nobody: the caller runs `commit_pending`. For simulations, which must be deterministic.
    Manual,
}

#[derive(Debug, Clone)]
pub struct LogOptions {
    pub directory: PathBuf,
    /// The size of a log file. A frame may make its file larger; it never spans two.
    pub file_bytes: u64,
    /// The size of the very first file, small so that the first start is quick.
    pub first_file_bytes: u64,
    /// Appends wait (or fail with `Busy` when nobody commits) beyond this many bytes that are not yet synced.
    pub unsynced_bytes_max: u64,
    /// The largest batch or layer entry.
    pub entry_bytes_max: usize,
    pub committer: Committer,
    /// How often retention is enforced by the log's own thread; 0 = never by itself.
    pub retention_check_ms: u64,
    /// Bytes of sealed files' indexes that are kept in memory.
    pub index_cache_bytes: usize,
    /// Sealed files that are kept open.
    pub open_files_max: usize,
    /// How compaction begins; [`crate::EventLog::set_compaction`] changes it while the log runs.
    pub compaction: CompactionOptions,
    /// Who pins all of the log from the very start on, until it says otherwise ([`crate::EventLog::pin_lsn`]).
    pub pinned_by: Option<String>,
}

/// How much compaction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionOptions {
    /// How often the log's own thread looks for what is to be compacted; 0 = never.
    pub check_ms: u64,
    /// Memory for the keys of one pass; more keys need more passes.
    pub keys_bytes_max: usize,
    /// Bytes that are read and written in a second at most, so that others are not in want; 0 = no limit.
    pub bytes_per_second: u64,
}

impl Default for CompactionOptions {
    fn default() -> CompactionOptions {
        CompactionOptions { check_ms: 15_000, keys_bytes_max: 32 << 20, bytes_per_second: 64 << 20 }
    }
}

impl LogOptions {
    /// A real node's defaults.
    pub fn new(directory: impl Into<PathBuf>) -> LogOptions {
        LogOptions {
            directory: directory.into(),
            file_bytes: 64 << 20,
            first_file_bytes: 4 << 20,
            unsynced_bytes_max: 64 << 20,
            entry_bytes_max: 32 << 20,
            committer: Committer::Thread,
            retention_check_ms: 30_000,
            index_cache_bytes: 8 << 20,
            open_files_max: 128,
            compaction: CompactionOptions::default(),
            pinned_by: None,
        }
    }
}
