//! `amqp`: queues and topics of servers that speak AMQP 1.0, such as ActiveMQ, Artemis and Azure Service Bus.
//!
//! Reading is a feed: what is delivered lands in the log and is accepted when it is durable there; a message that comes
//! again is left out by its id, if it has one. Writing is an outbox whose messages the server accepts, with ids by which
//! Artemis and Service Bus take none twice.

mod connection;
mod error;
mod feed;
mod frames;
mod message;
mod options;
mod performatives;
mod sink;
mod values;

#[cfg(test)]
mod tests;

pub(crate) use message::Message;

use crate::landed::{HEADERS, headers_type, instant_type};
use crate::messages::{Access, ConfirmedSink, Done, MessageFeed, Scheme, SinkParts, System};
use arrow_schema::DataType;
use base::options::Options;
use connection::{Connection, Login};
use dataflow::connector::{ConnectorError, ConnectorSpec, MetadataSpec, Role};
use dataflow::feed::Feed;
use dataflow::sink::OutboxSink;
use dataflow::table::TableDefinition;
use performatives::Node;
use std::sync::Arc;

const SCHEME: Scheme = Scheme {
    plain: "amqp",
    secured: "amqps",
    port: 5672,
    secured_port: 5671,
    path: "",
    greets_in_the_clear: false,
};

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "amqp",
    doc: "A queue or a topic of a server that speaks AMQP 1.0: Apache ActiveMQ Classic, Apache Artemis, Azure Service Bus. \
          Its messages are accepted when they lie in the log. (RabbitMQ has connectors of its own.)",
    options: options::OPTIONS,
    formats: formats::FormatKind::names(),
    reads: true,
    writes: true,
    source_guarantee: "effectively once for messages with a message-id, at least once for others (accepted when they lie in \
                       the log)",
    sink_guarantee: "exactly once at Artemis (duplicate ids) and at Service Bus where the queue has duplicate detection \
                     (message ids), within what they remember; at least once elsewhere (accepted by the server; what is \
                     sent again has the same message-id)",
};

pub(crate) struct Amqp;

impl System for Amqp {
    const SPEC: &'static ConnectorSpec = &SPEC;
    const SCHEME: &'static Scheme = &SCHEME;

    fn metadata() -> Vec<MetadataSpec> {
        let spec =
            |key, data_type, writable, doc| MetadataSpec { key, data_type, nullable: true, writable, doc };
        let text = |key, writable, doc| spec(key, DataType::Utf8, writable, doc);
        vec![
            text(
                "message-id",
                true,
                "The property `message-id`; a sink makes one from its job and the row's offset. Numbers and UUIDs are \
                 shown as text.",
            ),
            text("correlation-id", true, "The property `correlation-id`."),
            text(
                "group-id",
                true,
                "The property `group-id`: messages of a group keep their order (JMSXGroupID; the session of \
                 Service Bus).",
            ),
            spec(
                "group-sequence",
                DataType::Int64,
                true,
                "The property `group-sequence`: the message's place in its group.",
            ),
            text("to", true, "The property `to`."),
            text("subject", true, "The property `subject` (JMSType; the label of Service Bus)."),
            text("reply-to", true, "The property `reply-to`."),
            text("content-type", true, "The property `content-type`."),
            text("content-encoding", true, "The property `content-encoding`."),
            text("user-id", false, "The property `user-id`."),
            spec(
                "timestamp",
                instant_type(),
                true,
                "When the message was made, as its sender says (`creation-time`); a sink gives the time of the step.",
            ),
            spec(
                "durable",
                DataType::Boolean,
                false,
                "Whether the message survives a restart of the server.",
            ),
            spec("priority", DataType::Int32, true, "From 0 to 9, which comes first; 4 if nothing is said."),
            spec("ttl", DataType::Int64, true, "For how many milliseconds it may wait on the server."),
            spec(
                "delivery-count",
                DataType::Int64,
                false,
                "How often it was delivered before in vain, as the server counts.",
            ),
            MetadataSpec {
                key: HEADERS,
                data_type: headers_type(),
                nullable: false,
                writable: true,
                doc: "The message's application properties, and its annotations, whose names begin with `x-opt-`; what is no \
                      text is shown as one. Of annotations a sink writes those that ask the server for something \
                      (`x-opt-delivery-time`, `x-opt-delivery-delay`, `x-opt-scheduled-enqueue-time`, \
                      `x-opt-partition-key`, `x-opt-via-partition-key`), and leaves out the others.",
            },
        ]
    }

    fn subject(options: &Options) -> &str {
        Place::of(options).0
    }

    fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError> {
        options::problems(table, options, role)
    }

    fn feed(table: Arc<TableDefinition>, access: Access, options: &Options, identity: &str) -> Box<dyn Feed> {
        let feed = feed::LinkFeed::new(table.clone(), Server::new(access, options), identity);
        Box::new(MessageFeed::new(table, feed))
    }

    fn sink(parts: SinkParts) -> Box<dyn OutboxSink> {
        let publisher = sink::LinkPublisher::new(&parts);
        Box::new(ConfirmedSink::new(parts, publisher))
    }
}

/// A queue or a topic.
struct Place<'a>(&'a str, Node);

impl<'a> Place<'a> {
    fn of(options: &'a Options) -> Place<'a> {
        match options.text(options::TOPIC) {
            Some(topic) => Place(topic, Node::Topic),
            None => Place(options.text(options::QUEUE).unwrap_or_default(), Node::Queue),
        }
    }

    /// For the words to a user.
    fn told(&self) -> String {
        let kind = match self.1 {
            Node::Queue => "queue",
            Node::Topic => "topic",
        };
        format!("{kind} '{}'", self.0)
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

    fn place(&self) -> Place<'_> {
        Place::of(&self.options)
    }

    /// A name that no other connection has: a server may take two with one name for a mistake.
    fn own_name(&self, identity: &str) -> String {
        format!("{identity}-{:016x}", self.access.os().random.next_u64())
    }

    fn connect(&self, container: &str) -> Done<Connection> {
        let (os, timeout) = (self.access.os(), self.access.timeout());
        self.access.connect(&mut |stream, credentials| {
            let without = if credentials.user.is_some() { "PLAIN" } else { "ANONYMOUS" };
            let mechanism = self.text(options::MECHANISM).unwrap_or(without);
            let login = Login { mechanism, container, heartbeat: self.access.heartbeat() };
            Connection::open(stream, os.clock.clone(), timeout, credentials, &login)
        })
    }
}
