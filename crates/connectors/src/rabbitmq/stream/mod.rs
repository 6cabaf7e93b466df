//! `rabbitmq-stream`: streams of RabbitMQ over their own protocol, exactly once both ways.
//!
//! A stream can be read again: the position of the feed is an offset. What is written has ids, of which the stream takes
//! none twice.

mod chunk;
mod connection;
mod feed;
mod options;
mod sink;

use super::messages;
use super::server::{Login, with_hint};
use crate::kafka::parse_offsets;
use crate::messages::{Access, ConfirmedSink, Done, MessageFeed, Scheme, SinkParts, System, short_name};
use arrow_schema::DataType;
use base::options::Options;
use connection::Connection;
use dataflow::connector::{ConnectorError, ConnectorSpec, MetadataSpec, Role};
use dataflow::feed::Feed;
use dataflow::sink::OutboxSink;
use dataflow::table::TableDefinition;
use std::sync::Arc;

const SCHEME: Scheme = Scheme {
    plain: "rabbitmq-stream",
    secured: "rabbitmq-stream+tls",
    port: 5552,
    secured_port: 5551,
    path: "/VIRTUAL-HOST",
    greets_in_the_clear: false,
};

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "rabbitmq-stream",
    doc: "A stream of RabbitMQ, by the protocol of the plugin `rabbitmq_stream`. It must be there.",
    options: options::STREAMS,
    formats: formats::FormatKind::names(),
    reads: true,
    writes: true,
    source_guarantee: "exactly once (offset in the job's journal)",
    sink_guarantee: "exactly once (publishing ids, of which the stream takes none twice)",
};

pub(crate) struct Streams;

impl System for Streams {
    const SPEC: &'static ConnectorSpec = &SPEC;
    const SCHEME: &'static Scheme = &SCHEME;

    fn metadata() -> Vec<MetadataSpec> {
        let text =
            |key, doc| MetadataSpec { key, data_type: DataType::Utf8, nullable: true, writable: true, doc };
        let mut all = vec![
            MetadataSpec {
                key: "offset",
                data_type: DataType::Int64,
                nullable: false,
                writable: false,
                doc: "The message's offset in the stream.",
            },
            text("to", "The property `to`."),
            text("subject", "The property `subject`."),
            text("group-id", "The property `group-id`."),
        ];
        all.extend(messages::common_metadata());
        all
    }

    fn subject(options: &Options) -> &str {
        options.text(options::STREAM).unwrap_or_default()
    }

    fn problems(table: &TableDefinition, options: &Options, _role: Role) -> Vec<ConnectorError> {
        options::problems(table, options)
    }

    fn feed(table: Arc<TableDefinition>, access: Access, options: &Options, identity: &str) -> Box<dyn Feed> {
        let feed = feed::StreamFeed::new(table.clone(), access, options.clone(), short_name(identity));
        Box::new(MessageFeed::new(table, feed))
    }

    fn sink(parts: SinkParts) -> Box<dyn OutboxSink> {
        let publisher = sink::StreamPublisher::new(&parts);
        Box::new(ConfirmedSink::new(parts, publisher))
    }
}

/// The offset in `scan.startup.specific-offsets`.
fn specific_offset(options: &Options) -> Option<i64> {
    let offsets = parse_offsets(options.text("scan.startup.specific-offsets")?)?;
    offsets.get(&0).copied().filter(|_| offsets.len() == 1)
}

/// A connection that speaks the stream protocol.
fn open(access: &Access, login: &Login, name: &str) -> Done<Connection> {
    access.connect(&mut |stream, credentials| {
        let user = login.user(credentials);
        let login = connection::Login {
            user: user.name,
            password: user.password,
            virtual_host: user.virtual_host,
            heartbeat: access.heartbeat(),
            name,
        };
        let opened = Connection::open(stream, access.os().clock.clone(), access.timeout(), &login);
        opened.map_err(|error| with_hint(error, &user))
    })
}
