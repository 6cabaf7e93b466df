//! PostgreSQL's protocol (3.0) from the client's side: what connectors and the shell ask servers by.
//!
//! It is blocking and small: one connection, statements as text or prepared, rows as text.

mod connection;
mod message;
mod pipeline;
mod queries;
mod scram;

pub use connection::{CancelKey, Connection, cancel};
pub use message::{Described, Report, command_tag, described, row, server_error};
pub use pipeline::{Answers, Stopped};
pub use queries::{TextRows, literal};

use base::ErrorKind;
use std::path::PathBuf;

/// Where the database is, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
    pub password: Option<String>,
    /// Over TLS, by the authorities in this PEM file; an empty path is those of the system.
    pub authorities: Option<PathBuf>,
    pub options: OptionNames,
}

/// How whoever configures an address calls its parts, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionNames {
    /// Such as `'password'`.
    pub password: &'static str,
    /// Such as `'url' has sslmode=verify-full`.
    pub tls: &'static str,
}

impl Address {
    /// For messages; nobody's name or password is in it.
    pub fn shown(&self) -> String {
        format!("PostgreSQL {}:{}/{}", self.host, self.port, self.database)
    }
}

/// Why the server does not do what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError {
    pub kind: ErrorKind,
    pub message: String,
    /// The server's SQLSTATE; empty where it is not the server who complains. Then the connection is of no more use.
    pub state: String,
}

impl WireError {
    /// A value is none of the type that it is compared with.
    pub fn is_of_value(&self) -> bool {
        self.state.starts_with("22")
    }

    /// The row that is written is to blame, and not the table, the user, the server or others who write.
    pub fn is_of_row(&self) -> bool {
        const OTHERS: &[&str] = &[
            "08", "0A", "25", "26", "28", "2B", "2D", "3B", "3D", "3F", "40", "42", "53", "55", "57", "58",
            "F0", "XX",
        ];
        self.state.len() == 5 && !OTHERS.iter().any(|class| self.state.starts_with(class))
    }
}

pub type Wired<T> = Result<T, WireError>;

pub fn broken(message: impl std::fmt::Display) -> WireError {
    WireError { kind: ErrorKind::Unavailable, message: message.to_string(), state: String::new() }
}

pub fn wrong(message: impl std::fmt::Display) -> WireError {
    WireError { kind: ErrorKind::Invalid, message: message.to_string(), state: String::new() }
}
