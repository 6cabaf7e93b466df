//! `nats`: streams of JetStream, exactly once both ways.
//!
//! A stream can be read again: the position of the feed is a sequence. A durable consumer, which others may share, is
//! acknowledged behind the log, and what it delivers again is left out by its sequence. What is written has ids, of which a
//! stream takes none twice for a while; what it took before that is asked.

mod connection;
mod consumer;
mod feed;
mod frames;
mod options;
mod sink;
mod stream;

use crate::landed::{HEADERS, headers_type, instant_type};
use crate::messages::{
    Access, ConfirmedSink, Done, MessageFeed, Scheme, ServerError, SinkParts, System, short_name,
};
use arrow_schema::DataType;
use base::options::Options;
use connection::{Connection, Login};
use dataflow::connector::{ConnectorError, ConnectorSpec, MetadataSpec, Role};
use dataflow::feed::Feed;
use dataflow::sink::OutboxSink;
use dataflow::table::TableDefinition;
use std::sync::Arc;

const SCHEME: Scheme = Scheme {
    plain: "nats",
    secured: "tls",
    port: 4222,
    secured_port: 4222,
    path: "",
    greets_in_the_clear: true,
};

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "nats",
    doc: "A stream of NATS JetStream, read by its sequence or by a durable consumer. It must be there.",
    options: options::OPTIONS,
    formats: formats::FormatKind::names(),
    reads: true,
    writes: true,
    source_guarantee: "exactly once (sequence in the job's journal; a durable consumer is acknowledged when messages lie in the \
                       log, and what it delivers again is left out by its sequence)",
    sink_guarantee: "exactly once (message ids that the stream takes once within its duplicate window; what it has from before \
                     is looked up in it)",
};

pub(crate) struct Nats;

/// The header by which a stream knows what it has.
const ID: &str = "Nats-Msg-Id";

impl System for Nats {
    const SPEC: &'static ConnectorSpec = &SPEC;
    const SCHEME: &'static Scheme = &SCHEME;

    fn metadata() -> Vec<MetadataSpec> {
        let spec = |key, data_type, nullable, writable, doc| MetadataSpec {
            key,
            data_type,
            nullable,
            writable,
            doc,
        };
        vec![
            spec("subject", DataType::Utf8, false, true, "The message's subject."),
            spec("sequence", DataType::Int64, false, false, "The message's sequence in the stream."),
            spec(
                "delivery-count",
                DataType::Int64,
                false,
                false,
                "How often it was delivered, this time included.",
            ),
            spec("timestamp", instant_type(), false, false, "When the stream has stored the message."),
            spec(
                "message-id",
                DataType::Utf8,
                true,
                true,
                "The header `Nats-Msg-Id`; a sink makes one from its job and the row's offset.",
            ),
            spec(HEADERS, headers_type(), false, true, "The message's headers."),
        ]
    }

    fn subject(options: &Options) -> &str {
        options.text(options::STREAM).unwrap_or_default()
    }

    fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError> {
        options::problems(table, options, role)
    }

    fn feed(table: Arc<TableDefinition>, access: Access, options: &Options, identity: &str) -> Box<dyn Feed> {
        let server = Server { access, options: options.clone(), name: short_name(identity) };
        if options.text(options::DURABLE).is_some() {
            let feed = feed::Acknowledged::new(table.clone(), server);
            return Box::new(MessageFeed::new(table, feed));
        }
        let feed = feed::Ordered::new(table.clone(), server);
        Box::new(MessageFeed::new(table, feed))
    }

    fn sink(parts: SinkParts) -> Box<dyn OutboxSink> {
        let publisher = sink::StreamPublisher::new(&parts);
        Box::new(ConfirmedSink::new(parts, publisher))
    }
}

/// How a table's server is reached.
struct Server {
    access: Access,
    options: Options,
    /// How connections are called in the server's lists.
    name: String,
}

impl Server {
    fn text(&self, key: &str) -> Option<&str> {
        self.options.text(key)
    }

    /// The stream's name.
    fn stream(&self) -> &str {
        self.text(options::STREAM).unwrap_or_default()
    }

    fn connect(&self) -> Done<Connection> {
        let token = self.access.secret(options::TOKEN)?;
        let nkey = self.access.secret(options::NKEY)?;
        let file = match self.text(options::CREDENTIALS) {
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
                ServerError::invalid(format!("cannot read '{}' = '{path}': {error}", options::CREDENTIALS))
            })?),
            None => None,
        };
        let login = Login {
            token: token.as_deref(),
            nkey: nkey.as_deref(),
            file: file.as_deref(),
            heartbeat: self.access.heartbeat(),
            name: &self.name,
        };
        let (os, timeout) = (self.access.os(), self.access.timeout());
        let domain = self.text(options::DOMAIN);
        self.access.connect(&mut |stream, credentials| {
            Connection::open(stream, os, timeout, credentials, &login, domain)
        })
    }
}
