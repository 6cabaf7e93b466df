//! `rabbitmq`: queues of RabbitMQ, classic and quorum, over AMQP 0-9-1.
//!
//! Reading is a feed: what is delivered lands in the log and is acknowledged when it is durable there; a message that
//! comes again is left out by its id, if it has one. Writing is an outbox whose messages the server confirms.

mod amqp;
mod error;
mod feed;
mod messages;
mod options;
mod server;
mod sink;
mod stream;

pub(crate) use stream::Streams;

use crate::messages::{Access, ConfirmedSink, MessageFeed, Scheme, SinkParts, System};
use arrow_schema::DataType;
use base::options::Options;
use dataflow::connector::{ConnectorError, ConnectorSpec, MetadataSpec, Role};
use dataflow::feed::Feed;
use dataflow::sink::OutboxSink;
use dataflow::table::TableDefinition;
use std::sync::Arc;

const SCHEME: Scheme = Scheme {
    plain: "amqp",
    secured: "amqps",
    port: 5672,
    secured_port: 5671,
    path: "/VIRTUAL-HOST",
    greets_in_the_clear: false,
};

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

pub(crate) struct Queues;

impl System for Queues {
    const SPEC: &'static ConnectorSpec = &SPEC;
    const SCHEME: &'static Scheme = &SCHEME;

    fn metadata() -> Vec<MetadataSpec> {
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

    fn subject(options: &Options) -> &str {
        options.text(options::QUEUE).or(options.text(options::EXCHANGE)).unwrap_or_default()
    }

    fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError> {
        options::problems(table, options, role)
    }

    fn feed(table: Arc<TableDefinition>, access: Access, options: &Options, identity: &str) -> Box<dyn Feed> {
        let feed = feed::QueueFeed::new(table.clone(), access, options, identity);
        Box::new(MessageFeed::new(table, feed))
    }

    fn sink(parts: SinkParts) -> Box<dyn OutboxSink> {
        let publisher = sink::QueuePublisher::new(&parts);
        Box::new(ConfirmedSink::new(parts, publisher))
    }
}
