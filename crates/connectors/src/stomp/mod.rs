//! `stomp`: queues and topics of servers that speak STOMP 1.2, such as ActiveMQ Classic, Artemis and RabbitMQ.
//!
//! Reading is a feed: what is delivered lands in the log and is acknowledged, message by message, when it is durable there.
//! What comes again is left out by the id that each server keeps for a message, where it keeps one. Writing is an outbox whose
//! messages are confirmed by receipts; Artemis takes none twice.

mod brand;
mod connection;
mod error;
mod feed;
mod frames;
mod options;
mod sink;

#[cfg(test)]
mod tests;

use crate::landed::{HEADERS, headers_type, instant_type};
use crate::messages::{Access, ConfirmedSink, Done, MessageFeed, Scheme, SinkParts, System};
use arrow_schema::DataType;
use base::options::Options;
use brand::Place;
use connection::{Connection, Login};
use dataflow::connector::{ConnectorError, ConnectorSpec, MetadataSpec, Role};
use dataflow::feed::Feed;
use dataflow::sink::OutboxSink;
use dataflow::table::TableDefinition;
use std::sync::Arc;

const SCHEME: Scheme = Scheme {
    plain: "stomp",
    secured: "stomps",
    port: 61613,
    secured_port: 61614,
    path: "/VIRTUAL-HOST",
    greets_in_the_clear: false,
};

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "stomp",
    doc: "A queue or a topic of a server that speaks STOMP 1.2: Apache ActiveMQ Classic, Apache Artemis, RabbitMQ with its \
          plugin. Its messages are acknowledged when they lie in the log. (Where the server has AMQP 1.0, `amqp` says more of \
          what became of each message; RabbitMQ has connectors of its own.)",
    options: options::OPTIONS,
    formats: formats::FormatKind::names(),
    reads: true,
    writes: true,
    source_guarantee: "effectively once from ActiveMQ Classic and Artemis, from RabbitMQ for messages with an \
                       amqp-message-id, from others with 'id-header'; at least once for messages without an id \
                       (acknowledged when they lie in the log)",
    sink_guarantee: "exactly once at Artemis (duplicate ids), within what it remembers; at least once elsewhere (receipts; \
                     what is sent again has the same id). Servers confirm and drop what goes to a topic or an exchange that \
                     no queue is bound to",
};

pub(crate) struct Stomp;

impl System for Stomp {
    const SPEC: &'static ConnectorSpec = &SPEC;
    const SCHEME: &'static Scheme = &SCHEME;

    fn metadata() -> Vec<MetadataSpec> {
        let spec =
            |key, data_type, writable, doc| MetadataSpec { key, data_type, nullable: true, writable, doc };
        let text = |key, writable, doc| spec(key, DataType::Utf8, writable, doc);
        vec![
            text(
                "message-id",
                false,
                "What the message is known by, however often it is delivered: see `id-header`. NULL where nothing is.",
            ),
            text("destination", false, "Where the message was sent to, in the server's words."),
            text("correlation-id", true, "The header `correlation-id`."),
            text("reply-to", true, "The header `reply-to`, a destination in the server's words."),
            text("type", true, "The header `type` (JMSType)."),
            text("content-type", true, "The header `content-type`."),
            text(
                "group-id",
                true,
                "The header `JMSXGroupID`: messages of a group keep their order. ActiveMQ Classic takes it and does not show it.",
            ),
            spec(
                "timestamp",
                instant_type(),
                true,
                "When the message was made; a sink gives the time of the step. Artemis puts its own time, RabbitMQ keeps seconds.",
            ),
            spec(
                "persistent",
                DataType::Boolean,
                false,
                "Whether the message survives a restart of the server.",
            ),
            spec("priority", DataType::Int32, true, "From 0 to 9, which comes first; 4 if nothing is said."),
            spec(
                "ttl",
                DataType::Int64,
                true,
                "For how many milliseconds it may wait on the server, from its time on.",
            ),
            spec("redelivered", DataType::Boolean, false, "Whether it was delivered before in vain."),
            MetadataSpec {
                key: HEADERS,
                data_type: headers_type(),
                nullable: false,
                writable: true,
                doc: "The message's other headers. A sink leaves out those that are the protocol's own.",
            },
        ]
    }

    fn subject(options: &Options) -> &str {
        let named = |key: &str| options.text(key).filter(|name| !name.is_empty());
        [options::DESTINATION, options::TOPIC, options::QUEUE].into_iter().find_map(named).unwrap_or_default()
    }

    fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError> {
        options::problems(table, options, role)
    }

    fn feed(table: Arc<TableDefinition>, access: Access, options: &Options, identity: &str) -> Box<dyn Feed> {
        let feed = feed::SubscriptionFeed::new(table.clone(), Server::new(access, options), identity);
        Box::new(MessageFeed::new(table, feed))
    }

    fn sink(parts: SinkParts) -> Box<dyn OutboxSink> {
        let publisher = sink::FramePublisher::new(&parts);
        Box::new(ConfirmedSink::new(parts, publisher))
    }
}

/// How a table's server is reached.
struct Server {
    access: Access,
    options: Options,
}

impl Server {
    fn new(access: Access, options: &Options) -> Server {
        Server { access, options: options.clone() }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.options.text(key)
    }

    fn place(&self) -> Place {
        Place::of(&self.options)
    }

    fn connect(&self, client_id: Option<&str>) -> Done<Connection> {
        let (os, timeout) = (self.access.os(), self.access.timeout());
        let login = Login { client_id, heartbeat: self.access.heartbeat() };
        self.access.connect(&mut |stream, credentials| {
            Connection::open(stream, os.clock.clone(), timeout, credentials, &login)
        })
    }
}
