//! `mqtt`: topics of a server of MQTT 3.1.1 or 5.
//!
//! Reading is a feed with a session that the server keeps while we are away: a message is acknowledged when it lies in the
//! log, and with QoS 2 its packet id lies there too until the server has let it go, so that it comes once. Writing is an
//! outbox whose messages the server confirms; with QoS 2 nothing is released before the log knows that the server has it.

mod connection;
mod feed;
mod options;
mod packets;
mod properties;
mod sink;

use crate::landed::{HEADERS, headers_type};
use crate::messages::{
    Access, ConfirmedSink, Done, MESSAGE_BYTES_MAX, MessageFeed, Scheme, SinkParts, System, hashed,
};
use arrow_schema::DataType;
use base::options::Options;
use connection::Connection;
use dataflow::connector::{ConnectorError, ConnectorSpec, MetadataSpec, Role};
use dataflow::feed::Feed;
use dataflow::sink::OutboxSink;
use dataflow::table::TableDefinition;
use packets::Hello;
use std::sync::Arc;

const SCHEME: Scheme = Scheme {
    plain: "mqtt",
    secured: "mqtts",
    port: 1883,
    secured_port: 8883,
    path: "",
    greets_in_the_clear: false,
};

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "mqtt",
    doc: "Topics of a server of MQTT 3.1.1 or 5, such as Mosquitto, EMQX or HiveMQ.",
    options: options::OPTIONS,
    formats: formats::FormatKind::names(),
    reads: true,
    writes: true,
    source_guarantee: "QoS 2: exactly once, QoS 1: at least once (acknowledged when messages lie in the log), QoS 0: at most once; \
                       as long as the server keeps the session",
    sink_guarantee: "QoS 2: exactly once as long as the server keeps the session, QoS 1: at least once, QoS 0: at most once",
};

/// Every server takes client ids of so many letters and digits.
const CLIENT_LETTERS: usize = 23;

pub(crate) struct Mqtt;

impl System for Mqtt {
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
            spec("topic", DataType::Utf8, false, true, "The topic that the message was published to."),
            spec("qos", DataType::Int32, false, false, "The quality of service that it came with."),
            spec(
                "retained",
                DataType::Boolean,
                false,
                false,
                "Whether the server had kept it for who subscribes later.",
            ),
            spec("duplicate", DataType::Boolean, false, false, "Whether the server may have sent it before."),
            spec("content-type", DataType::Utf8, true, true, "The property of that name (version 5)."),
            spec("response-topic", DataType::Utf8, true, true, "The property of that name (version 5)."),
            spec(
                "message-expiry",
                DataType::Int64,
                true,
                true,
                "Within how many seconds it is to be delivered (version 5).",
            ),
            spec(HEADERS, headers_type(), false, true, "The message's user properties (version 5)."),
        ]
    }

    fn subject(options: &Options) -> &str {
        options.text(options::TOPIC).or(options.text(options::TOPICS)).unwrap_or_default()
    }

    fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError> {
        options::problems(table, options, role)
    }

    fn feed(table: Arc<TableDefinition>, access: Access, options: &Options, identity: &str) -> Box<dyn Feed> {
        let server = Server::new(access, options, identity);
        Box::new(MessageFeed::new(table.clone(), feed::Subscription::new(table, server)))
    }

    fn sink(parts: SinkParts) -> Box<dyn OutboxSink> {
        let publisher = sink::TopicPublisher::new(&parts);
        Box::new(ConfirmedSink::new(parts, publisher))
    }
}

/// How a table's server is reached.
struct Server {
    access: Access,
    options: Options,
    client_id: String,
}

impl Server {
    fn new(access: Access, options: &Options, identity: &str) -> Server {
        let mut own = hashed(identity);
        own.truncate(CLIENT_LETTERS);
        let client_id = options.text(options::CLIENT).map_or(own, str::to_string);
        Server { access, options: options.clone(), client_id }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.options.text(key)
    }

    /// Begins a session, or goes on with it unless it is to be clean; the server keeps it if it is kept.
    fn connect(&self, is_clean: bool, is_kept: bool) -> Done<Connection> {
        let version = options::version(&self.options);
        let expiry = self.options.duration_ms(options::EXPIRY).unwrap_or(0) / 1000;
        let receive_max = self.options.integer(options::RECEIVE_MAX).unwrap_or(20);
        let heartbeat = self.access.heartbeat();
        self.access.connect(&mut |stream, credentials| {
            let hello = Hello {
                client_id: &self.client_id,
                user: credentials.user,
                password: credentials.password,
                is_clean,
                keep_alive_s: u16::try_from(heartbeat.as_millis().div_ceil(1000)).unwrap_or(u16::MAX),
                expiry_s: if is_kept { u32::try_from(expiry).unwrap_or(u32::MAX) } else { 0 },
                receive_max: u16::try_from(receive_max).unwrap_or(u16::MAX),
                packet_bytes_max: MESSAGE_BYTES_MAX as u32,
            };
            let (clock, timeout) = (self.access.os().clock.clone(), self.access.timeout());
            Connection::open(stream, clock, timeout, heartbeat, version, credentials, &hello)
        })
    }
}
