//! What can be wrong with stored state.

use base::ErrorKind;
use base::codec::CodecError;
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("the snapshot is damaged: {what}; restore the file from a copy or start anew")]
    Damaged { what: String },
    #[error(
        "the snapshot has format version {found}, this program reads version {known}; \
         use the program that wrote it"
    )]
    Version { found: u32, known: u32 },
    #[error("{path}: {reason}")]
    Io { path: String, reason: String, kind: ErrorKind },
    #[error("an operator's state cannot be saved or restored: {reason}")]
    Operator { reason: String },
    #[error("columns of type {data_type} cannot be kept in state")]
    Unsupported { data_type: String },
}

impl StateError {
    pub fn damaged(what: impl Into<String>) -> StateError {
        StateError::Damaged { what: what.into() }
    }

    /// An error of the disk at a path; a full disk may have room later.
    pub fn io(path: &Path, error: &std::io::Error) -> StateError {
        let kind = if os::disk::is_full(error) { ErrorKind::Unavailable } else { ErrorKind::Corrupt };
        StateError::Io { path: path.display().to_string(), reason: error.to_string(), kind }
    }

    pub fn kind(&self) -> ErrorKind {
        match self {
            StateError::Codec(_) | StateError::Damaged { .. } => ErrorKind::Corrupt,
            StateError::Version { .. } | StateError::Unsupported { .. } => ErrorKind::Invalid,
            StateError::Operator { .. } => ErrorKind::Internal,
            StateError::Io { kind, .. } => *kind,
        }
    }
}

impl From<arrow_schema::ArrowError> for StateError {
    fn from(error: arrow_schema::ArrowError) -> StateError {
        StateError::damaged(error.to_string())
    }
}
