//! What can go wrong with copies, and what to do about it.

use crate::store::StoreError;
use base::ErrorKind;
use eventlog::LogError;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("cannot {action} {path}: {reason}")]
    Io { action: &'static str, path: String, reason: String },
    /// Another node writes.
    #[error("{0}")]
    Fenced(String),
    #[error("{0}")]
    Invalid(String),
    /// What the store has is not what was put there.
    #[error("object={key} of the store: {reason}; restore up to a time before it with --until")]
    Corrupt { key: String, reason: String },
}

impl RemoteError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            RemoteError::Store(error) => error.kind,
            RemoteError::Log(error) => error.kind(),
            RemoteError::Io { .. } => ErrorKind::Unavailable,
            RemoteError::Fenced(_) => ErrorKind::Fenced,
            RemoteError::Invalid(_) => ErrorKind::Invalid,
            RemoteError::Corrupt { .. } => ErrorKind::Corrupt,
        }
    }

    pub(crate) fn io(action: &'static str, path: &std::path::Path, error: &std::io::Error) -> RemoteError {
        RemoteError::Io { action, path: path.display().to_string(), reason: error.to_string() }
    }

    pub(crate) fn corrupt(key: &str, reason: impl Into<String>) -> RemoteError {
        RemoteError::Corrupt { key: key.to_string(), reason: reason.into() }
    }
}
