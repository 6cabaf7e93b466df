//! Why a connection is of no more use, and what that means for whoever used it.

use base::ErrorKind;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerError {
    pub kind: ErrorKind,
    pub message: String,
}

pub(crate) type Done<T> = Result<T, ServerError>;

impl ServerError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> ServerError {
        ServerError { kind, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> ServerError {
        ServerError::new(ErrorKind::Invalid, message)
    }

    /// It may pass.
    pub(crate) fn unavailable(message: impl Into<String>) -> ServerError {
        ServerError::new(ErrorKind::Unavailable, message)
    }

    /// What comes is not what the specification says.
    pub(crate) fn malformed(what: &str) -> ServerError {
        ServerError::unavailable(format!("the server does not speak the protocol: {what}"))
    }
}
