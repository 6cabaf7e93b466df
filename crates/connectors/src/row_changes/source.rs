//! Reads what has landed: records of the topic become rows, and what is given up becomes JSON.

use super::change::{self, ChangeDecoder};
use crate::kafka::{KafkaSource, Landed};
use crate::option_problem;
use arrow_schema::{DataType, TimeUnit};
use base::{ErrorKind, PartitionId};
use dataflow::connector::{ConnectorError, MetadataSpec, SourceRequest};
use dataflow::plan::Changelog;
use dataflow::sink::TopicBatch;
use dataflow::source::{Position, Read, ReadLimits, Rejected, Source, SourceError, Split};
use dataflow::table::TableDefinition;
use eventlog::EventLog;
use std::sync::Arc;

pub(crate) struct ChangeSource {
    pub(crate) table: Arc<TableDefinition>,
    pub(crate) landed: KafkaSource,
    /// A record as JSON.
    pub(crate) shown: fn(&[u8], &TableDefinition) -> Option<Vec<u8>>,
}

/// How what has landed is read.
pub(crate) struct Reading<'a> {
    pub changelog: Changelog,
    /// None where the schema is the database.
    pub database: Option<&'a str>,
    pub dead_letter_topic: Option<String>,
}

/// The metadata of changes.
pub(crate) fn metadata(has_schemas: bool, op_ts: &'static str) -> Vec<MetadataSpec> {
    let spec = |key, data_type, doc| MetadataSpec { key, data_type, nullable: false, writable: false, doc };
    let ltz = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let schema = has_schemas.then(|| spec("schema_name", DataType::Utf8, "The schema of the table."));
    let table = spec("table_name", DataType::Utf8, "The table of the row.");
    let rest = [
        spec("database_name", DataType::Utf8, "The database of the table."),
        spec("op_ts", ltz, op_ts),
        spec("row_kind", DataType::Utf8, "`+I`, `-U`, `+U` or `-D`."),
    ];
    std::iter::once(table).chain(schema).chain(rest).collect()
}

/// Reads the topic in which the changes of a table land.
pub(crate) fn source(
    log: Option<&EventLog>,
    request: SourceRequest,
    reading: Reading<'_>,
) -> Result<Box<dyn Source>, ConnectorError> {
    let SourceRequest { table, projection, metadata } = request;
    let Reading { changelog, database, dead_letter_topic } = reading;
    let log = log.cloned().ok_or_else(|| ConnectorError {
        kind: ErrorKind::Unavailable,
        message: format!("table '{}': there is no node to read the changes from", table.name),
        option: None,
    })?;
    let decoder = ChangeDecoder::new(&table, &projection, &metadata, database, changelog)
        .map_err(|message| option_problem(&table, "connector", message))?;
    let landed = Landed {
        decoder: Box::new(decoder),
        dead_letter_topic,
        has_bare_keys: changelog == Changelog::Upsert,
    };
    let request = SourceRequest { table: table.clone(), projection, metadata };
    let landed = KafkaSource::landed(log, request, landed);
    Ok(Box::new(ChangeSource { table, landed, shown: change::as_json }))
}

impl Source for ChangeSource {
    fn splits(&mut self) -> Result<Vec<Split>, SourceError> {
        self.landed.splits()
    }

    fn read(
        &mut self,
        split: &Split,
        from: Position,
        until: Option<Position>,
        limits: ReadLimits,
    ) -> Result<Read, SourceError> {
        self.landed.read(split, from, until, limits)
    }

    fn log_partition(&self, split: &Split) -> Option<PartitionId> {
        self.landed.log_partition(split)
    }

    fn encode_rejected(&self, rejected: &[&Rejected]) -> Result<Vec<TopicBatch>, SourceError> {
        let shown = |one: &&Rejected| {
            let value = one.value.as_deref().and_then(|value| (self.shown)(value, &self.table));
            Rejected { value: value.or_else(|| one.value.clone()), ..(*one).clone() }
        };
        let shown: Vec<Rejected> = rejected.iter().map(shown).collect();
        self.landed.encode_rejected(&shown.iter().collect::<Vec<_>>())
    }

    fn lag(&self, split: &Split, from: Position) -> Option<u64> {
        self.landed.lag(split, from)
    }
}
