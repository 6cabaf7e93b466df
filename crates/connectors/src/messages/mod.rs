//! Connectors of systems that carry messages: RabbitMQ, NATS, AMQP 1.0, STOMP.
//!
//! What they share is here once: a blocking connection with time-outs, TLS and heartbeats ([`Access`], [`Line`]), a feed of
//! messages ([`MessageFeed`]), a sink whose messages are confirmed ([`ConfirmedSink`]), and the connector around them
//! ([`MessageConnector`]). A system adds its protocol, its options and the traits [`System`], [`Subscriber`] and
//! [`Publisher`].
//!
//! The protocols are spoken by small blocking clients of our own, as Kafka's and PostgreSQL's are: the crates that there
//! are bring an asynchronous runtime, which this floor of the house does not have.

mod connector;
mod encoder;
mod error;
mod feed;
mod line;
pub(crate) mod options;
mod reading;
mod refused;
mod server;
mod sink;

pub(crate) use connector::{MessageConnector, SinkParts, System};
pub(crate) use encoder::{MessageEncoder, is_time, keeps_headers};
pub(crate) use error::{Done, ServerError};
pub(crate) use feed::{Delivered, MessageFeed, Subscriber, Tickets};
pub(crate) use line::Line;
pub(crate) use options::written_problems;
pub(crate) use refused::RefusedMessages;
pub(crate) use server::{Access, Credentials, Scheme, not_connected, tls};
pub(crate) use sink::{ConfirmedSink, Outcome, Publisher, Sent};

use base::ErrorKind;
use dataflow::table::TableDefinition;

/// What one haul of a feed may bring.
pub(crate) const HAUL_BYTES_MAX: usize = 4 << 20;
/// A longer message fits into no record of the log.
pub(crate) const MESSAGE_BYTES_MAX: usize = dataflow::feed::RECORD_BYTES_MAX;
/// While so much waits to be taken, nothing more is read.
pub(crate) const EVENTS_BYTES_MAX: usize = 64 << 20;

/// What an error of the server means for a table: whether another try may help, and the table's name.
pub(crate) fn told(table: &TableDefinition, error: ServerError) -> (ErrorKind, String) {
    let connector = table.options.get("connector").map_or("", String::as_str);
    (error.kind, format!("table '{}': {connector}: {}", table.name, error.message))
}

/// A name of a job's part that fits into a short text together with a number.
pub(crate) fn short_name(identity: &str) -> String {
    const BYTES_MAX: usize = 200;
    if identity.len() <= BYTES_MAX { identity.to_string() } else { hashed(identity) }
}

/// A name of letters and digits alone, for systems that take nothing else.
pub(crate) fn hashed(identity: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(identity.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
