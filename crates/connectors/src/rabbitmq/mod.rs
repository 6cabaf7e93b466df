//! `rabbitmq`: queues of RabbitMQ, classic and quorum, over AMQP 0-9-1.
//!
//! Reading is a feed: what is delivered lands in the log and is acknowledged when it is durable there; a message that
//! comes again is left out by its id, if it has one. Writing is an outbox whose messages the server confirms.
//!
//! The protocol is spoken by a small blocking client of our own ([`amqp`]), as Kafka's and PostgreSQL's are: the crates
//! that there are bring an asynchronous runtime, which this floor of the house does not have.

mod amqp;
mod error;
mod feed;
mod line;
mod messages;
mod options;
mod reading;
mod refused;
mod server;
mod sink;
mod stream;

pub(crate) use stream::RabbitMqStream;

use crate::kafka::{Node, landed_source};
use crate::option_problem;
use crate::positions::Positions;
use crate::table_format::{self, Checked, Formats};
use arrow_schema::DataType;
use base::ErrorKind;
use dataflow::connector::{Connector, ConnectorError, ConnectorSpec, MetadataSpec, Role, SourceRequest};
use dataflow::feed::{Feed, FeedRequest};
use dataflow::plan::Changelog;
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use error::AmqpError;
use server::Access;
use std::sync::Arc;

const SCHEME: &str = "amqp";

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "rabbitmq",
    doc: "A queue of RabbitMQ, classic or quorum: its messages are acknowledged when they lie in the log. Written to is an \
          exchange, or a queue by its name.",
    options: options::QUEUES,
    formats: formats::FormatKind::names(),
    reads: true,
    writes: true,
    source_guarantee: "effectively once for messages with a message-id, at least once for others (acknowledged when they lie \
                       in the log)",
    sink_guarantee: "at least once (publisher confirms; what is sent again has the same message-id)",
};

pub(crate) struct RabbitMq {
    node: Node,
}

impl RabbitMq {
    pub(crate) fn new(node: Node) -> RabbitMq {
        RabbitMq { node }
    }

    fn checked(&self, table: &TableDefinition, role: Role) -> Result<Checked, Vec<ConnectorError>> {
        let mut checked = table_format::check(table, options::QUEUES, Formats::Message)?;
        let mut errors = options::problems(table, &checked, &self.metadata(), role);
        let keeps_going =
            checked.value.ignores_errors() || checked.options.text(options::DEAD_LETTER_TOPIC).is_some();
        let subject = checked.options.text(options::QUEUE).or(checked.options.text(options::EXCHANGE));
        let subject = format!("{}-value", subject.unwrap_or_default());
        errors.extend(self.node.give_registry(table, &mut checked.value, subject, keeps_going).err());
        errors.extend(checked.value.schema_problem(table, &table.schema, &[], role));
        if errors.is_empty() { Ok(checked) } else { Err(errors) }
    }

    /// The same where the first problem is enough, and how the server is reached.
    fn ready(&self, table: &TableDefinition, role: Role) -> Result<(Checked, Access), ConnectorError> {
        let checked = self.checked(table, role).map_err(|mut errors| errors.remove(0))?;
        let access = Access::new(self.node.os(), &checked.options, SCHEME);
        let access = access.map_err(|message| option_problem(table, options::URL, message))?;
        Ok((checked, access))
    }
}

impl Connector for RabbitMq {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn metadata(&self) -> Vec<MetadataSpec> {
        let spec =
            |key, data_type, writable, doc| MetadataSpec { key, data_type, nullable: true, writable, doc };
        let mut all = vec![
            spec("exchange", DataType::Utf8, false, "The exchange that the message was published to."),
            spec("routing-key", DataType::Utf8, true, "The routing key that it was published with."),
            spec("redelivered", DataType::Boolean, false, "Whether it may have been delivered before."),
            spec(
                "delivery-count",
                DataType::Int64,
                false,
                "How often it came back to its quorum queue; classic queues do not count.",
            ),
            spec(
                "delivery-mode",
                DataType::Int32,
                false,
                "2 for messages that survive a restart of the server.",
            ),
            spec("priority", DataType::Int32, true, "The property `priority`, from 0 to 255."),
            spec("expiration", DataType::Utf8, true, "The property `expiration`: milliseconds, as text."),
            spec("type", DataType::Utf8, true, "The property `type`."),
            spec("app-id", DataType::Utf8, true, "The property `app-id`."),
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
        let no_queue = || option_problem(&table, options::QUEUE, "'queue' is missing");
        let queue = feed::Queue::of(&checked.options).ok_or_else(no_queue)?;
        Ok(Box::new(feed::QueueFeed::new(table, access, queue, &checked.options, &identity)))
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let checked = self.checked(&request.table, Role::Source).map_err(|mut errors| errors.remove(0))?;
        let log = self.node.log(&request.table)?;
        landed_source(log, request, checked, self.metadata())
    }

    fn sink(&self, table: &Arc<TableDefinition>, job: &str) -> Result<Sink, ConnectorError> {
        let log = self.node.log(table)?;
        let (checked, access) = self.ready(table, Role::Sink)?;
        let rows = messages::MessageEncoder::new(table, &checked)?;
        let positions = Positions::new(self.node.os().clone(), log, format!("rabbitmq/{job}"));
        let sink = sink::QueueSink::new(table.clone(), access, rows, positions, &checked.options, job);
        Ok(Sink::Outbox(Box::new(sink)))
    }
}

/// What an error of the server means for a table: whether another try may help, and the table's name.
fn told(table: &str, error: AmqpError) -> (ErrorKind, String) {
    (error.kind, format!("table '{table}': rabbitmq: {}", error.message))
}
