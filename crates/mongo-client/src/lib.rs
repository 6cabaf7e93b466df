//! MongoDB's protocol (OP_MSG, since 3.6) from the client's side: what connectors ask MongoDB by.
//!
//! It is blocking and small: one connection, to the server of a replica set that takes writes, commands as documents, and
//! cursors whose batches are asked for one by one. Documents are those of `formats::bson`.

mod answers;
mod connection;
mod login;
mod message;
mod place;
mod scram;

pub use answers::{Batch, WriteProblem, batch, write_problems};
pub use connection::Connection;
pub use message::reply;
pub use place::{Address, OptionNames, Parsed};

use base::ErrorKind;

/// Why the server does not do what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError {
    pub kind: ErrorKind,
    pub message: String,
    /// The server's number of the error; 0 where it is not the server who complains. Then the connection is of no more use.
    pub code: i64,
}

pub type Wired<T> = Result<T, WireError>;

pub fn broken(message: impl std::fmt::Display) -> WireError {
    WireError { kind: ErrorKind::Unavailable, message: message.to_string(), code: 0 }
}

pub fn wrong(message: impl std::fmt::Display) -> WireError {
    WireError { kind: ErrorKind::Invalid, message: message.to_string(), code: 0 }
}

/// Numbers of the server's errors.
pub mod code {
    pub const AUTHENTICATION_FAILED: i64 = 18;
    pub const COMMAND_NOT_FOUND: i64 = 59;
    pub const DUPLICATE_KEY: i64 = 11_000;
    /// Changes that a reader wants are not known any more.
    pub const HISTORY_LOST: &[i64] = &[286, 40_576];
    /// The server does not know a cursor any more, as when nothing was asked of it for ten minutes.
    pub const CURSOR_NOT_FOUND: i64 = 43;
    /// An option of a command that the server cannot keep.
    pub const INVALID_OPTIONS: i64 = 72;
    /// The server tells changes no further.
    pub const CHANGES_ENDED: &[i64] = &[260, 280];
    /// One server alone tells no changes.
    pub const NO_REPLICA_SET: &[i64] = &[40_573, 40_324];
    /// A change, with what the server says of it, is larger than a document may be.
    pub const TOO_LARGE: i64 = 10_334;

    /// The server is not the one that takes writes, or not for now: another one is to be looked for.
    pub const NOT_PRIMARY: &[i64] = &[91, 189, 10_058, 10_107, 11_600, 11_602, 13_435, 13_436];
    /// Trying again does not help.
    pub(crate) const LASTING: &[i64] = &[
        2, 9, 11, 13, 14, 18, 20, 26, 40, 59, 72, 73, 115, 166, 260, 280, 286, 334, 10_334, 40_324, 40_573,
        40_576,
    ];
}
