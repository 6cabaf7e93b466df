//! Why a call to a service did not succeed, and what the client itself can do about it.

use base::ErrorKind;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ServiceError {
    pub kind: ErrorKind,
    /// As the service names it; empty for what is not the service's.
    pub code: String,
    pub message: String,
    pub cause: Cause,
    /// How long the service wants to be left alone, if it says so.
    pub pause: Option<Duration>,
    /// It has not answered at all.
    pub is_silence: bool,
}

/// What the client itself can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Too much is asked for, or the service fails: the same call after a pause.
    Passing,
    /// The keys are old, or wrong: the same call with others.
    Keys,
    Other,
}

pub(crate) type Done<T> = Result<T, ServiceError>;

impl ServiceError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> ServiceError {
        let (code, message, cause) = (String::new(), message.into(), Cause::Other);
        ServiceError { kind, code, message, cause, pause: None, is_silence: false }
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> ServiceError {
        ServiceError::new(ErrorKind::Unavailable, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> ServiceError {
        ServiceError::new(ErrorKind::Invalid, message)
    }

    /// What comes is not what the service's reference says.
    pub(crate) fn malformed(what: &str) -> ServiceError {
        ServiceError::unavailable(format!("the answer is not one of the service: {what}"))
    }

    /// Whether the service has named one of these, behind whatever namespace.
    pub(crate) fn is_one_of(&self, codes: &[&str]) -> bool {
        codes.contains(&self.code.rsplit('.').next().unwrap_or_default())
    }

    /// Whether we may not do that, though others may.
    pub(crate) fn is_denied(&self) -> bool {
        self.code.starts_with("AccessDenied") || self.is_one_of(&["AuthorizationError", "PERMISSION_DENIED"])
    }
}
