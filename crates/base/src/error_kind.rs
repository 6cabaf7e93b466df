//! The small set of error kinds: a kind exists only where its reader would act differently.
//!
//! Every library crate has its own error type; each of them answers `kind()`, and the protocol
//! front ends map the kind to their own codes in one table each.

/// What the receiver of an error can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The same call may succeed later without a change.
    Retry,
    /// The call, the statement or the data is wrong; repeating it is useless.
    Invalid,
    /// What was named does not exist.
    NotFound,
    /// It exists already, or somebody else holds it.
    Conflict,
    /// The caller or this node has lost the right to write.
    Fenced,
    /// A resource (disk space, a peer) is missing for now.
    Unavailable,
    /// Stored or received bytes fail their checks.
    Corrupt,
    /// A programmer's error on our side.
    Internal,
}

impl ErrorKind {
    /// The kind's name as it is printed (`kind=not-found`).
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Retry => "retry",
            ErrorKind::Invalid => "invalid",
            ErrorKind::NotFound => "not-found",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Fenced => "fenced",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Internal => "internal",
        }
    }
}
