//! The settings of a client, with defaults that suit a person at a terminal.

use crate::security::Security;
use os::Destinations;
use std::time::Duration;

/// How a client connects and how long it waits.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Shows up in the node's logs.
    pub client_id: String,
    pub connect_timeout: Duration,
    /// How long a response may take, and how long a write may block. A fetch waits longer by its own
    /// waiting time.
    pub request_timeout: Duration,
    /// A response above this size closes the connection.
    pub response_bytes_max: usize,
    /// A batch that decompresses to more is an error.
    pub decompressed_bytes_max: usize,
    pub security: Security,
    /// The addresses that may be connected to, those among them that the cluster names.
    pub destinations: Destinations,
}

impl ClientOptions {
    pub fn new(client_id: &str) -> ClientOptions {
        ClientOptions {
            client_id: client_id.to_owned(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            response_bytes_max: 128 * 1024 * 1024,
            decompressed_bytes_max: 256 * 1024 * 1024,
            security: Security::default(),
            destinations: Destinations::Any,
        }
    }
}

/// Whether a reader sees the records of transactions that are open or were aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    #[default]
    ReadUncommitted,
    ReadCommitted,
}

impl Isolation {
    pub(crate) fn number(self) -> i8 {
        match self {
            Isolation::ReadUncommitted => 0,
            Isolation::ReadCommitted => 1,
        }
    }
}
