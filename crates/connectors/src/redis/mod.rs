//! `redis-streams`: streams of Redis, read by id or by a consumer group, and written each row once.
//!
//! A stream can be read again: the position of the feed is an id, with how many entries there were before it, so that it is
//! noticed when some were trimmed unread. A consumer group, which others may share, is acknowledged behind the log. What is
//! written moves, in the same script, a key with the sink's offset.

mod connection;
mod entry;
mod group;
mod options;
mod ordered;
mod resp;
mod sink;
mod stream;

use crate::landed::{HEADERS, headers_type, instant_type};
use crate::messages::{
    Access, ConfirmedSink, Done, MessageFeed, Scheme, ServerError, SinkParts, System, short_name,
};
use arrow_schema::DataType;
use base::options::Options;
use connection::{Connection, failure, moved};
use dataflow::connector::{ConnectorError, ConnectorSpec, MetadataSpec, Role};
use dataflow::feed::Feed;
use dataflow::sink::OutboxSink;
use dataflow::table::TableDefinition;
use resp::Value;
use std::sync::Arc;
use stream::{Id, Lost, Stream};

const SCHEME: Scheme = Scheme {
    plain: "redis",
    secured: "rediss",
    port: 6379,
    secured_port: 6379,
    path: "/DATABASE",
    greets_in_the_clear: false,
};

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "redis-streams",
    doc: "A stream of Redis or Valkey, read by its ids or by a consumer group.",
    options: options::OPTIONS,
    formats: formats::FormatKind::names(),
    reads: true,
    writes: true,
    source_guarantee: "exactly once (id in the job's journal; a consumer group is acknowledged when entries lie in the log, and \
                       what it delivers again is left out by its id)",
    sink_guarantee: "exactly once (a key with the sink's offset is set in the script that adds the entries)",
};

/// A key moves, and moves again; more often than that, the cluster is broken.
const MOVES_MAX: usize = 5;

pub(crate) struct Redis;

impl System for Redis {
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
            spec("id", DataType::Utf8, false, false, "The entry's id."),
            spec(
                "timestamp",
                instant_type(),
                true,
                false,
                "The time in the entry's id; NULL where it is no time between 1970 and 9999.",
            ),
            spec(HEADERS, headers_type(), false, true, "The fields of the entry besides the row."),
        ]
    }

    fn subject(options: &Options) -> &str {
        options.text(options::STREAM).unwrap_or_default()
    }

    fn problems(table: &TableDefinition, options: &Options, _role: Role) -> Vec<ConnectorError> {
        options::problems(table, options)
    }

    fn feed(table: Arc<TableDefinition>, access: Access, options: &Options, identity: &str) -> Box<dyn Feed> {
        let server = Server { access, options: options.clone(), name: client_name(identity) };
        if options.text(options::GROUP).is_some() {
            let feed = group::Grouped::new(table.clone(), server);
            return Box::new(MessageFeed::new(table, feed));
        }
        let feed = ordered::Ordered::new(table.clone(), server);
        Box::new(MessageFeed::new(table, feed))
    }

    fn sink(parts: SinkParts) -> Box<dyn OutboxSink> {
        let publisher = sink::StreamPublisher::new(&parts);
        Box::new(ConfirmedSink::new(parts, publisher))
    }
}

/// Redis takes no spaces in the names of clients.
fn client_name(identity: &str) -> String {
    let graphic = |letter: char| if letter.is_ascii_graphic() { letter } else { '-' };
    short_name(identity).chars().map(graphic).collect()
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

    /// The stream's key.
    fn stream(&self) -> &str {
        self.text(options::STREAM).unwrap_or_default()
    }

    /// A connection to the server that has the stream's key, which is a stream if it is there.
    fn connect(&self, writes: bool) -> Done<Connection> {
        let mut access = self.access.clone();
        for _ in 0..=MOVES_MAX {
            let mut connection = access.connect(&mut |stream, credentials| {
                let (clock, timeout) = (access.os().clock.clone(), access.timeout());
                let heartbeat = access.heartbeat();
                let opened = Connection::open(stream, clock, timeout, credentials, heartbeat, &self.name)?;
                match opened.is_replica && writes {
                    true => Err(ServerError::unavailable("the server is a replica, which takes no writes")),
                    false => Ok(opened),
                }
            })?;
            match connection.ask(&[b"TYPE", self.stream().as_bytes()])? {
                Value::Error(words) => match moved(&words) {
                    Some((host, port)) => access = access.at(host, port),
                    None => return Err(failure(&words)),
                },
                kind => match kind.text() {
                    Some("stream" | "none") => return Ok(connection),
                    kind => {
                        return Err(ServerError::invalid(format!(
                            "the key '{}' holds a {}, and no stream; name another in '{}'",
                            self.stream(),
                            kind.unwrap_or("value"),
                            options::STREAM
                        )));
                    }
                },
            }
        }
        Err(ServerError::unavailable("the cluster moves the stream's key from server to server"))
    }

    /// Behind which entry something begins that is new.
    fn start(&self, stream: &Stream) -> Id {
        match self.text(options::STARTUP) {
            Some("latest-offset") => stream.last,
            Some("timestamp") => {
                let ms = self.options.integer(options::TIMESTAMP).and_then(|ms| u64::try_from(ms).ok());
                Id { ms: ms.unwrap_or(0), sequence: 0 }.before()
            }
            Some("specific-offsets") => {
                self.text(options::ENTRY).and_then(Id::parse).unwrap_or_default().before()
            }
            _ => Id::default(),
        }
    }

    /// Whether to go on where entries were lost.
    fn bears_losses(&self) -> bool {
        self.text(options::LOST_ENTRIES) == Some("earliest")
    }

    /// What was lost is an error, unless the table bears it.
    fn lost(&self, lost: Lost, read_to: Id, stream: &Stream) -> Done<()> {
        let name = self.stream();
        let what = match lost {
            Lost::Nothing => return Ok(()),
            _ if self.bears_losses() => return Ok(()),
            Lost::End => format!(
                "stream={name} ends at id={}, and was read up to id={read_to}: it was made anew, or its server has lost what \
                 it had",
                stream.last
            ),
            Lost::All => format!("stream={name} was made anew since it was read up to id={read_to}"),
            Lost::Entries(Some(count)) => format!(
                "entries={count} of stream={name} behind id={read_to} were trimmed or deleted before they were read"
            ),
            Lost::Entries(None) => format!(
                "entries of stream={name} behind id={read_to} may have been trimmed or deleted before they were read"
            ),
        };
        let hint =
            format!("with '{}' = 'earliest' the job goes on with what is there", options::LOST_ENTRIES);
        Err(ServerError::invalid(format!("{what}; {hint}")))
    }
}
