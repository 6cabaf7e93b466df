//! What can go wrong with a view, and what its reader can do about it.

use arrow_schema::ArrowError;
use base::{ErrorKind, Lsn};
use eventlog::LogError;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    #[error("there is no view '{name}'{}", nearest.as_ref().map(|name| format!("; did you mean '{name}'?")).unwrap_or_default())]
    Unknown { name: String, nearest: Option<String> },
    #[error("there is a view '{0}' already; drop it first, or write CREATE OR ALTER MATERIALIZED TABLE")]
    Exists(String),
    #[error("{0}")]
    Invalid(String),
    #[error("view '{view}': {reason}")]
    Broken { view: String, reason: String },
    #[error(
        "after {waited_ms} ms the views are at lsn={reached}, and lsn={wanted} was waited for; wait longer, or look \
         whether the job of the view runs and keeps up"
    )]
    NotReached { wanted: Lsn, reached: Lsn, waited_ms: u64 },
    #[error("view '{view}' does not move: its job '{job}' is {state}, so lsn={wanted} will not be reached")]
    Stands { view: String, job: String, state: String, wanted: Lsn },
    #[error("the views do not follow the log any more; start the node again: {0}")]
    Failed(String),
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("internal error: {0}")]
    Internal(String),
}

impl ViewError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            ViewError::Unknown { .. } => ErrorKind::NotFound,
            ViewError::Exists(_) => ErrorKind::Conflict,
            ViewError::Invalid(_) => ErrorKind::Invalid,
            ViewError::Broken { .. } | ViewError::Stands { .. } | ViewError::Failed(_) => {
                ErrorKind::Unavailable
            }
            ViewError::NotReached { .. } => ErrorKind::Retry,
            ViewError::Log(error) => error.kind(),
            ViewError::Internal(_) => ErrorKind::Internal,
        }
    }
}

impl From<ArrowError> for ViewError {
    fn from(error: ArrowError) -> ViewError {
        ViewError::Internal(error.to_string())
    }
}
