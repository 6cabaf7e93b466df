//! MySQL's protocol (version 10 of the handshake) from the client's side: what connectors ask MySQL and MariaDB by.
//!
//! It is blocking and small: one connection, statements as text, several of them in one round trip, rows as text, and the
//! flow of the binary log.

mod connection;
mod login;
mod message;
mod statements;

pub use connection::Connection;
pub use message::{Described, Rest, server_error};
pub use statements::{Answer, Stopped, identifier, literal};

use base::ErrorKind;
use std::path::PathBuf;

/// Where the database is, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
    pub database: Option<String>,
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
    /// What asks for TLS, such as `sslMode=VERIFY_IDENTITY in 'url'`.
    pub tls: &'static str,
}

impl Address {
    /// For messages; nobody's name or password is in it.
    pub fn shown(&self) -> String {
        let database = self.database.as_ref().map_or(String::new(), |database| format!("/{database}"));
        format!("MySQL {}:{}{database}", self.host, self.port)
    }
}

/// Why the server does not do what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError {
    pub kind: ErrorKind,
    pub message: String,
    /// The server's number of the error; 0 where it is not the server who complains. Then the connection is of no more use.
    pub code: u16,
    /// Its SQLSTATE; empty with older servers, and where it is not the server who complains.
    pub state: String,
}

impl WireError {
    /// The row that is written is to blame, and not the table, the user, the server or others who write.
    pub fn is_of_row(&self) -> bool {
        // Values that are cut off or wrong for their column, checks that fail, what a trigger says no to.
        const OF_ROWS: &[u16] = &[1265, 1364, 1366, 1411, 1644, 1690, 3140, 3819, 4025];
        let class = self.state.get(..2).unwrap_or_default();
        ["22", "23", "45"].contains(&class) || OF_ROWS.contains(&self.code) || self.is_of_text()
    }

    /// A text holds letters that the character set of the column has not: no row there can be equal to it.
    pub fn is_of_text(&self) -> bool {
        [1267, 3854, 3988].contains(&self.code)
    }
}

pub type Wired<T> = Result<T, WireError>;

pub fn broken(message: impl std::fmt::Display) -> WireError {
    WireError { kind: ErrorKind::Unavailable, message: message.to_string(), code: 0, state: String::new() }
}

pub fn wrong(message: impl std::fmt::Display) -> WireError {
    WireError { kind: ErrorKind::Invalid, message: message.to_string(), code: 0, state: String::new() }
}
