//! What can be wrong with stored state.

use base::ErrorKind;
use base::codec::CodecError;

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
    #[error("columns of type {data_type} cannot be kept in state")]
    Unsupported { data_type: String },
}

impl StateError {
    pub fn damaged(what: impl Into<String>) -> StateError {
        StateError::Damaged { what: what.into() }
    }

    pub fn kind(&self) -> ErrorKind {
        match self {
            StateError::Codec(_) | StateError::Damaged { .. } => ErrorKind::Corrupt,
            StateError::Version { .. } | StateError::Unsupported { .. } => ErrorKind::Invalid,
        }
    }
}

impl From<arrow_schema::ArrowError> for StateError {
    fn from(error: arrow_schema::ArrowError) -> StateError {
        StateError::damaged(error.to_string())
    }
}
