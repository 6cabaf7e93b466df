//! `rabbitmq-stream`: streams of RabbitMQ over their own protocol, exactly once both ways.
//!
//! A stream can be read again: the position of the feed is an offset. What is written has ids, of which the stream takes
//! none twice.

mod chunk;
mod connection;
mod feed;
mod message;
mod options;
mod sink;

use super::error::AmqpError;
use super::messages::{self, MessageEncoder};
use super::server::Access;
use crate::kafka::{Node, landed_source, parse_offsets};
use crate::option_problem;
use crate::table_format::{self, Checked, Formats};
use arrow_schema::DataType;
use base::options::Options;
use connection::{Connection, Login};
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, MetadataSpec, Role, SourceRequest};
use dataflow::feed::{Feed, FeedRequest};
use dataflow::plan::Changelog;
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use std::sync::Arc;

pub(super) const SCHEME: &str = "rabbitmq-stream";

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

pub(crate) struct RabbitMqStream {
    node: Node,
}

impl RabbitMqStream {
    pub(crate) fn new(node: Node) -> RabbitMqStream {
        RabbitMqStream { node }
    }

    fn checked(&self, table: &TableDefinition, role: Role) -> Result<Checked, Vec<ConnectorError>> {
        let mut checked = table_format::check(table, options::STREAMS, Formats::Message)?;
        let mut errors = options::problems(table, &checked, &self.metadata(), role);
        let letters = checked.options.text(super::options::DEAD_LETTER_TOPIC);
        let keeps_going = checked.value.ignores_errors() || letters.is_some();
        let subject = format!("{}-value", checked.options.text(options::STREAM).unwrap_or_default());
        errors.extend(self.node.give_registry(table, &mut checked.value, subject, keeps_going).err());
        errors.extend(checked.value.schema_problem(table, &table.schema, &[], role));
        if errors.is_empty() { Ok(checked) } else { Err(errors) }
    }

    /// The same where the first problem is enough, and how the server is reached.
    fn ready(&self, table: &TableDefinition, role: Role) -> Result<(Checked, Access), ConnectorError> {
        let checked = self.checked(table, role).map_err(|mut errors| errors.remove(0))?;
        let access = Access::new(self.node.os(), &checked.options, SCHEME);
        let access = access.map_err(|message| option_problem(table, super::options::URL, message))?;
        Ok((checked, access))
    }
}

impl Connector for RabbitMqStream {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn metadata(&self) -> Vec<MetadataSpec> {
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

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        self.checked(table, role).map(drop)
    }

    fn is_bounded(&self, _table: &TableDefinition) -> bool {
        false
    }

    fn source_changelog(&self, table: &TableDefinition) -> Changelog {
        table_format::changelog(table, &["format"])
    }

    fn sink_changelog(&self, table: &TableDefinition) -> Changelog {
        table_format::changelog(table, &["format"])
    }

    fn lands(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn feed(&self, request: FeedRequest) -> Result<Box<dyn Feed>, ConnectorError> {
        let FeedRequest { table, identity } = request;
        let (checked, access) = self.ready(&table, Role::Source)?;
        let name = super::feed::short_name(&identity);
        Ok(Box::new(feed::StreamFeed::new(table, access, checked.options, name)))
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let checked = self.checked(&request.table, Role::Source).map_err(|mut errors| errors.remove(0))?;
        let log = self.node.log(&request.table)?;
        landed_source(log, request, checked, self.metadata())
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        self.node.log(table)?;
        let (checked, access) = self.ready(table, Role::Sink)?;
        let rows = MessageEncoder::new(table, &checked)?;
        Ok(Sink::Outbox(Box::new(sink::StreamSink::new(table.clone(), access, rows, &checked.options, job))))
    }
}

/// The offset in `scan.startup.specific-offsets`.
fn specific_offset(options: &Options) -> Option<i64> {
    let offsets = parse_offsets(options.text("scan.startup.specific-offsets")?)?;
    offsets.get(&0).copied().filter(|_| offsets.len() == 1)
}

/// A connection that speaks the stream protocol.
fn open(access: &Access, name: &str) -> Result<Connection, AmqpError> {
    access.connect(&mut |stream, credentials| {
        let login = Login {
            user: credentials.user,
            password: credentials.password,
            virtual_host: credentials.virtual_host,
            heartbeat: access.heartbeat(),
            name,
        };
        Connection::open(stream, access.os().clock.clone(), access.timeout(), &login)
    })
}
