//! `syslog`: takes messages of RFC 5424 and RFC 3164 over UDP, TCP and TLS.
//!
//! Reading is a feed that listens. What a message says of itself is metadata; its text is the value, which the table's format
//! reads. The protocol has no answers, so what has come and is not in the log when the node dies is lost.

mod feed;
mod framing;
mod message;
mod options;
mod server;

#[cfg(test)]
mod tests;

use crate::kafka::{Node, landed_source};
use crate::landed::instant_type;
use crate::messages::options::DEAD_LETTER_TOPIC;
use crate::option_problem;
use crate::table_format::{self, Checked, Formats};
use arrow_schema::{DataType, Field, Fields};
use dataflow::connector::{
    Connector, ConnectorError, ConnectorSpec, MetadataSpec, Probed, Role, SourceRequest,
};
use dataflow::feed::{Feed, FeedRequest};
use dataflow::plan::Changelog;
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use options::Settings;
use server::Server;
use std::sync::Arc;

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "syslog",
    doc: "Takes messages of syslog (RFC 5424, RFC 3164) over UDP, TCP and TLS. The text of a message is the value, which the \
          format reads (`raw`, or `json` where senders write JSON); all else is metadata.",
    options: options::OPTIONS,
    formats: formats::FormatKind::names(),
    reads: true,
    writes: false,
    source_guarantee: "at most once (syslog has no answers: what has come and is not in the log when the node dies is lost; \
                       datagrams are lost when there is no room)",
    sink_guarantee: "",
};

/// MAP<STRING, STRING>, as Arrow has it.
fn texts_type() -> DataType {
    let entry = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, true),
    ]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry), false)), false)
}

fn not_written(table: &TableDefinition) -> ConnectorError {
    option_problem(table, "connector", "the connector 'syslog' can be read, not written")
}

pub(crate) struct Syslog {
    node: Node,
}

impl Syslog {
    pub(crate) fn new(node: Node) -> Syslog {
        Syslog { node }
    }

    fn checked(
        &self,
        table: &TableDefinition,
        role: Role,
    ) -> Result<(Checked, Settings), Vec<ConnectorError>> {
        if role != Role::Source {
            return Err(vec![not_written(table)]);
        }
        let mut checked = table_format::check(table, options::OPTIONS, Formats::Message)?;
        let settings = Settings::new(&checked.options)
            .map_err(|(option, message)| vec![option_problem(table, option, message)])?;
        let mut errors = settings.problems(table);
        let letters = checked.options.text(DEAD_LETTER_TOPIC);
        let keeps_going = checked.value.ignores_errors() || letters.is_some();
        let subject = format!("{}-value", table.name);
        errors.extend(self.node.give_registry(table, &mut checked.value, subject, keeps_going).err());
        errors.extend(checked.value.schema_problem(table, &table.schema, &[], role));
        if errors.is_empty() { Ok((checked, settings)) } else { Err(errors) }
    }

    /// What the node may not do unless whoever starts it says so.
    fn exposed(&self, table: &TableDefinition, settings: &Settings) -> Option<ConnectorError> {
        settings.exposed(table).filter(|_| !self.node.os().permits.open_syslog)
    }

    fn ready(&self, table: &TableDefinition) -> Result<(Checked, Settings), ConnectorError> {
        self.checked(table, Role::Source).map_err(|mut errors| errors.remove(0))
    }
}

impl Connector for Syslog {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn metadata(&self) -> Vec<MetadataSpec> {
        let spec =
            |key, data_type, doc| MetadataSpec { key, data_type, nullable: true, writable: false, doc };
        vec![
            spec(
                "facility",
                DataType::Int32,
                "What kind of program speaks, from 0 (kernel) to 23 (local7); 1 is user, 3 daemon, 10 authpriv.",
            ),
            spec(
                "severity",
                DataType::Int32,
                "From 0 (emergency) to 7 (debug); 3 is error, 4 warning, 6 informational.",
            ),
            spec(
                "timestamp",
                instant_type(),
                "When the message was made, as it says. Without a year (RFC 3164) it is of the year that brings it nearest to now.",
            ),
            spec("hostname", DataType::Utf8, "The machine that it comes from, as it says."),
            spec("app-name", DataType::Utf8, "The program; of RFC 3164 what stands before `[` or `:`."),
            spec("proc-id", DataType::Utf8, "The process; of RFC 3164 what stands in brackets."),
            spec("msg-id", DataType::Utf8, "What kind of message it is (RFC 5424)."),
            spec(
                "structured-data",
                texts_type(),
                "Parameters of RFC 5424 by `ID.NAME`, such as `exampleSDID@32473.iut`; an element without parameters is `ID`.",
            ),
            spec("peer", DataType::Utf8, "Address and port that it came from: the last relay's."),
            spec("transport", DataType::Utf8, "`udp`, `tcp` or `tls`."),
            spec("received", instant_type(), "When it came, by the node's clock."),
        ]
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

    fn lands(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn feed(&self, request: FeedRequest) -> Result<Box<dyn Feed>, ConnectorError> {
        let (_, settings) = self.ready(&request.table)?;
        if let Some(error) = self.exposed(&request.table, &settings) {
            return Err(error);
        }
        Ok(Box::new(feed::SyslogFeed::new(request.table, self.node.os().clone(), settings)))
    }

    /// Whether the addresses are free: a job that listens there already is found so too.
    fn probe(&self, table: &TableDefinition, role: Role, _timeout_ms: u64) -> Vec<Probed> {
        match self.checked(table, role) {
            Err(errors) => errors.into_iter().map(|error| Probed::failed("declared", error)).collect(),
            Ok((_, settings)) if self.exposed(table, &settings).is_some() => self
                .exposed(table, &settings)
                .map(|error| Probed::failed("listens", error))
                .into_iter()
                .collect(),
            Ok((_, settings)) => vec![match Server::start(self.node.os(), &settings) {
                Ok(server) => Probed::well("listens", server.addresses.join(", ")),
                Err((_, message)) => Probed::failed("listens", message),
            }],
        }
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let (checked, _) = self.ready(&request.table)?;
        let log = self.node.log(&request.table)?;
        landed_source(log, request, checked, self.metadata())
    }

    fn sink(&self, table: &Arc<TableDefinition>, _job: &str) -> Result<Sink, ConnectorError> {
        Err(not_written(table))
    }
}
