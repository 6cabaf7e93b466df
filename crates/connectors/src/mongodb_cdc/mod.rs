//! `mongodb-cdc`: the documents of a collection and then all their changes, under the option names of Flink CDC.
//!
//! A replica set tells the changes of a collection with tokens from which it goes on. They land in the log with the token
//! behind them (ADR 0041), so that each is read once whatever dies meanwhile. The server does not tell what a document was
//! before, so changes are upserts by `_id`.

mod changes;
mod documents;
mod feed;
mod options;
mod position;
mod record;

use crate::kafka::{KafkaSource, Landed};
use crate::mongodb::Session;
use crate::option_problem;
use crate::row_changes::ChangeSource;
use arrow_schema::{DataType, TimeUnit};
use base::ErrorKind;
use dataflow::connector::{
    Connector, ConnectorError, ConnectorSpec, MetadataSpec, Probed, Role, SourceRequest,
};
use dataflow::feed::{Feed, FeedRequest};
use dataflow::plan::Changelog;
use dataflow::sink::Sink;
use dataflow::source::Source;
use dataflow::table::TableDefinition;
use eventlog::EventLog;
use options::{OPTIONS, Settings};
use os::Os;
use std::sync::Arc;
use std::time::Duration;

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "mongodb-cdc",
    doc: "The documents of a collection in MongoDB and then their changes, as a replica set or a cluster tells them. Columns are \
          fields of the document, and `_id` is the primary key; a STRING takes any value, a document or an array as JSON.",
    options: OPTIONS,
    formats: &[],
    reads: true,
    writes: false,
    source_guarantee: "exactly once (changes land in the log with the server's resume token)",
    sink_guarantee: "",
};

pub(crate) struct MongoDbCdc {
    os: Os,
    log: Option<EventLog>,
}

impl MongoDbCdc {
    pub(crate) fn new(os: Os, log: Option<EventLog>) -> MongoDbCdc {
        MongoDbCdc { os, log }
    }

    fn session(&self, settings: &Settings, timeout: Duration) -> Session {
        let Settings { address, database, collection, .. } = settings;
        Session::new(&self.os, address.clone(), database, collection, timeout)
    }
}

fn ready(table: &TableDefinition) -> Result<Settings, ConnectorError> {
    options::checked(table).map_err(|mut errors| errors.remove(0))
}

impl Connector for MongoDbCdc {
    fn spec(&self) -> &'static ConnectorSpec {
        &SPEC
    }

    fn metadata(&self) -> Vec<MetadataSpec> {
        let spec =
            |key, data_type, doc| MetadataSpec { key, data_type, nullable: false, writable: false, doc };
        let ltz = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        vec![
            spec("collection_name", DataType::Utf8, "The collection of the document."),
            spec("database_name", DataType::Utf8, "The database of the collection."),
            spec(
                "op_ts",
                ltz,
                "When the change was made; 1970-01-01 for documents that were there when the job began.",
            ),
            spec("row_kind", DataType::Utf8, "`+I`, `+U` or `-D`."),
        ]
    }

    fn check(&self, table: &TableDefinition, role: Role) -> Result<(), Vec<ConnectorError>> {
        match role {
            Role::Sink => Err(vec![cannot_write(table)]),
            Role::Source | Role::Lookup => options::checked(table).map(drop),
        }
    }

    fn is_bounded(&self, _table: &TableDefinition) -> bool {
        false
    }

    fn source_changelog(&self, _table: &TableDefinition) -> Changelog {
        Changelog::Upsert
    }

    fn lands(&self, _table: &TableDefinition) -> bool {
        true
    }

    fn feed(&self, request: FeedRequest) -> Result<Box<dyn Feed>, ConnectorError> {
        let settings = ready(&request.table)?;
        let session = self.session(&settings, settings.timeout);
        Ok(Box::new(feed::CdcFeed::new(self.os.clone(), request.table, settings, session)))
    }

    fn probe(&self, table: &TableDefinition, role: Role, timeout_ms: u64) -> Vec<Probed> {
        let settings = match role {
            Role::Sink => Err(cannot_write(table)),
            Role::Source | Role::Lookup => ready(table),
        };
        match settings {
            Err(error) => vec![Probed::failed("declared", error)],
            Ok(settings) => changes::probe(self.session(&settings, Duration::from_millis(timeout_ms)), role),
        }
    }

    fn source(&self, request: SourceRequest) -> Result<Box<dyn Source>, ConnectorError> {
        let SourceRequest { table, projection, metadata } = request;
        let settings = ready(&table)?;
        let log = self.log.clone().ok_or_else(|| ConnectorError {
            kind: ErrorKind::Unavailable,
            message: format!("table '{}': there is no node to read the changes from", table.name),
            option: None,
        })?;
        let decoder = record::DocumentDecoder::new(&table, &projection, &metadata)
            .map_err(|message| option_problem(&table, "connector", message))?;
        let landed = Landed {
            decoder: Box::new(decoder),
            dead_letter_topic: settings.dead_letter_topic,
            has_bare_keys: true,
        };
        let request = SourceRequest { table: table.clone(), projection, metadata };
        let landed = KafkaSource::landed(log, request, landed);
        Ok(Box::new(ChangeSource { table, landed, shown: |record, _| record::as_json(record) }))
    }

    fn sink(&self, table: &Arc<TableDefinition>, _job: &str) -> Result<Sink, ConnectorError> {
        Err(cannot_write(table))
    }
}

fn cannot_write(table: &TableDefinition) -> ConnectorError {
    let message = "the connector 'mongodb-cdc' can only be read; write with 'mongodb'";
    option_problem(table, "connector", message)
}
