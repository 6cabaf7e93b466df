//! What can go wrong in the log, and what the caller can do about it.
//!
//! An error is cheap to clone: one failed sync is told to every waiting appender.

use base::{ErrorKind, Offset, PartitionId};
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    #[error(
        "the data directory {directory} is in use by the process pid={pid}; stop it or choose another directory"
    )]
    InUse { directory: String, pid: u32 },
    #[error(
        "the data directory {directory} was written by a newer version (format={found}, this version knows format={known}); upgrade this program or restore an older backup"
    )]
    NewerFormat { directory: String, found: u32, known: u32 },
    #[error("cannot {action} {path}: {reason}")]
    Io { action: &'static str, path: String, reason: String },
    #[error("{0}")]
    Corrupt(Damage),
    #[error(
        "offset={requested} of partition={partition} is out of range: log_start={log_start} high_watermark={high_watermark}"
    )]
    OffsetOutOfRange { partition: PartitionId, requested: Offset, log_start: Offset, high_watermark: Offset },
    #[error("the log is fenced and takes no more appends: {0}")]
    Fenced(String),
    #[error("{0}; free space or lower retention.ms or retention.bytes, or delete topics or records")]
    DiskFull(String),
    #[error("unsynced_bytes={unsynced_bytes} has reached its limit of {unsynced_bytes_max}; try again")]
    Busy { unsynced_bytes: u64, unsynced_bytes_max: u64 },
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Conflict(String),
    #[error(
        "{what} cannot go: {owner} still needs partition={partition} from offset={from} on, and must come to its end first"
    )]
    Pinned { what: String, owner: String, partition: PartitionId, from: Offset },
    #[error("the log is closed")]
    Closed,
    #[error("internal error: {0}")]
    Internal(String),
}

/// Stored bytes that fail their checks: where they lie and, as far as it is known, what they held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub file: String,
    pub position: u64,
    pub partition: Option<PartitionId>,
    /// First and last offset, both included.
    pub offsets: Option<(Offset, Offset)>,
    pub reason: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "damaged data: file={} position={}", self.file, self.position)?;
        if let Some(partition) = self.partition {
            write!(f, " partition={partition}")?;
        }
        if let Some((first, last)) = self.offsets {
            write!(f, " offsets={first}..={last}")?;
        }
        write!(f, ": {}; the rest of the log is served", self.reason)
    }
}

impl LogError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            LogError::InUse { .. } | LogError::Conflict(_) | LogError::Pinned { .. } => ErrorKind::Conflict,
            LogError::NewerFormat { .. } | LogError::Invalid(_) | LogError::OffsetOutOfRange { .. } => {
                ErrorKind::Invalid
            }
            LogError::Io { .. } | LogError::DiskFull(_) | LogError::Closed => ErrorKind::Unavailable,
            LogError::Corrupt(_) => ErrorKind::Corrupt,
            LogError::Fenced(_) => ErrorKind::Fenced,
            LogError::Busy { .. } => ErrorKind::Retry,
            LogError::NotFound(_) => ErrorKind::NotFound,
            LogError::Internal(_) => ErrorKind::Internal,
        }
    }

    /// An I/O error with what was being done to which file.
    pub(crate) fn io(action: &'static str, path: &Path, error: std::io::Error) -> LogError {
        if os::disk::is_full(&error) {
            return LogError::DiskFull(format!("disk full: cannot {action} {}", path.display()));
        }
        LogError::Io { action, path: path.display().to_string(), reason: error.to_string() }
    }
}
