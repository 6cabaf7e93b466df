//! JSON, its changelogs (Debezium, Canal, Maxwell, Ogg), CSV, Avro and raw bytes to Arrow builders, and back.
//!
//! A format turns the bytes of one record into one row of Arrow builders, of the wanted columns
//! only, and a row back into bytes. Behaviour is that of Flink's formats of the same names. A format
//! is one file here and one line in [`FormatKind`].

mod avro;
mod base64;
mod builder;
mod cell;
mod confluent;
mod csv;
mod error;
mod json;
mod names;
mod number_text;
pub mod print;
mod raw;
mod scalar;
mod splitter;
mod surroundings;
mod time_text;

pub use error::{DecodeError, EncodeError, FormatError};
pub use splitter::RecordSplitter;
pub use surroundings::{
    RegisteredSchema, RegistryError, SchemaFile, SchemaKind, SchemaReference, SchemaRegistry, Surroundings,
};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, FieldRef, SchemaRef};
use base::options::{OptionSpec, Options};

/// What a row of a changelog says; the codes are those of Flink's row kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum ChangeKind {
    Insert = 0,
    UpdateBefore = 1,
    UpdateAfter = 2,
    Delete = 3,
}

/// What a format knows of a record besides the columns, under Flink's key.
#[derive(Debug, Clone)]
pub struct FormatMetadata {
    pub key: &'static str,
    pub data_type: DataType,
    pub doc: &'static str,
}

/// A metadata column that a table declares: the format's key, and the column.
#[derive(Debug, Clone)]
pub struct WantedMetadata {
    pub key: String,
    pub field: FieldRef,
}

/// Appends the rows of records to the builders of the wanted columns.
pub trait RowDecoder: Send {
    /// Appends one row; a format of changes, any number. None on an error, and none where the record is no
    /// row: a comment of CSV, an empty record of JSON; `len` tells.
    fn decode(&mut self, record: &[u8]) -> Result<(), DecodeError>;
    /// Rows since the last `finish`.
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The kinds of the rows so far, where the format has changes; asked for before `finish`.
    fn kinds(&self) -> Option<&[ChangeKind]> {
        None
    }
    /// The rows so far, columns in the order of the projection, then the wanted metadata.
    fn finish(&mut self) -> Result<RecordBatch, DecodeError>;
    /// How records are told apart in a file.
    fn splitter(&self) -> RecordSplitter {
        RecordSplitter::lines()
    }
}

/// Writes rows as bytes.
pub trait RowEncoder: Send {
    /// Asks for what the format needs from outside before the first row: the number of its schema.
    fn prepare(&mut self) -> Result<(), RegistryError> {
        Ok(())
    }

    /// Appends the bytes of one row, without a line end.
    fn encode(&mut self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// The same with what the row says; only formats of changes write it.
    fn encode_change(
        &mut self,
        rows: &RecordBatch,
        row: usize,
        _kind: ChangeKind,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.encode(rows, row, out)
    }
}

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatKind {
    Json,
    Csv,
    Raw,
    Avro,
    AvroConfluent,
    DebeziumJson,
    CanalJson,
    MaxwellJson,
    OggJson,
    DebeziumAvroConfluent,
}

impl FormatKind {
    const ALL: [FormatKind; 10] = [
        FormatKind::Json,
        FormatKind::Csv,
        FormatKind::Raw,
        FormatKind::Avro,
        FormatKind::AvroConfluent,
        FormatKind::DebeziumJson,
        FormatKind::CanalJson,
        FormatKind::MaxwellJson,
        FormatKind::OggJson,
        FormatKind::DebeziumAvroConfluent,
    ];

    pub fn name(self) -> &'static str {
        match self {
            FormatKind::Json => "json",
            FormatKind::Csv => "csv",
            FormatKind::Raw => "raw",
            FormatKind::Avro => "avro",
            FormatKind::AvroConfluent => "avro-confluent",
            FormatKind::DebeziumJson => "debezium-json",
            FormatKind::CanalJson => "canal-json",
            FormatKind::MaxwellJson => "maxwell-json",
            FormatKind::OggJson => "ogg-json",
            FormatKind::DebeziumAvroConfluent => "debezium-avro-confluent",
        }
    }

    pub const fn names() -> &'static [&'static str] {
        &[
            "json",
            "csv",
            "raw",
            "avro",
            "avro-confluent",
            "debezium-json",
            "canal-json",
            "maxwell-json",
            "ogg-json",
            "debezium-avro-confluent",
        ]
    }

    /// The formats whose records are lines of text, so that files may hold them.
    pub const fn names_of_lines() -> &'static [&'static str] {
        &["json", "csv", "raw", "debezium-json", "canal-json", "maxwell-json", "ogg-json"]
    }

    /// Whether records carry the number of a schema in a registry.
    pub fn has_registry(self) -> bool {
        matches!(self, FormatKind::AvroConfluent | FormatKind::DebeziumAvroConfluent)
    }

    /// The envelope of a format of changes.
    fn envelope(self) -> Option<&'static json::Envelope> {
        match self {
            FormatKind::DebeziumJson => Some(&json::DEBEZIUM),
            FormatKind::CanalJson => Some(&json::CANAL),
            FormatKind::MaxwellJson => Some(&json::MAXWELL),
            FormatKind::OggJson => Some(&json::OGG),
            _ => None,
        }
    }

    /// Whether rows of the format say what kind of change they are: inserts, updates with the row before
    /// them, and deletes.
    pub fn has_changes(self) -> bool {
        self.envelope().is_some() || self == FormatKind::DebeziumAvroConfluent
    }

    /// What else the format knows of a record.
    pub fn metadata(self) -> Vec<FormatMetadata> {
        match self {
            FormatKind::DebeziumAvroConfluent => avro::debezium_metadata(),
            _ => self.envelope().map_or_else(Vec::new, json::Envelope::metadata),
        }
    }

    pub fn lookup(name: &str) -> Option<FormatKind> {
        FormatKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The options of the format, without a prefix.
    pub fn specs(self) -> &'static [OptionSpec] {
        match self {
            FormatKind::Json => json::SPECS,
            FormatKind::Csv => csv::SPECS,
            FormatKind::Raw => raw::SPECS,
            FormatKind::Avro => avro::SPECS,
            FormatKind::AvroConfluent => avro::CONFLUENT_SPECS,
            FormatKind::DebeziumAvroConfluent => avro::DEBEZIUM_SPECS,
            FormatKind::DebeziumJson => json::DEBEZIUM.specs,
            FormatKind::CanalJson => json::CANAL.specs,
            FormatKind::MaxwellJson => json::MAXWELL.specs,
            FormatKind::OggJson => json::OGG.specs,
        }
    }

    /// A decoder of the columns `projection` (indices) of records of `schema`, with columns of the format's metadata
    /// behind them.
    pub fn decoder(
        self,
        options: &Options,
        schema: &SchemaRef,
        projection: &[usize],
        metadata: &[WantedMetadata],
        surroundings: &Surroundings,
    ) -> Result<Box<dyn RowDecoder>, FormatError> {
        if let Some(envelope) = self.envelope() {
            let decoder = json::ChangeDecoder::new(envelope, options, schema, projection, metadata)?;
            return Ok(Box::new(decoder));
        }
        if self == FormatKind::DebeziumAvroConfluent {
            let decoder = avro::DebeziumDecoder::new(options, schema, projection, metadata, surroundings)?;
            return Ok(Box::new(decoder));
        }
        if let Some(wanted) = metadata.first() {
            let message = format!("the format '{}' has no metadata '{}'", self.name(), wanted.key);
            return Err(FormatError(message));
        }
        Ok(match self {
            FormatKind::Csv => Box::new(csv::CsvDecoder::new(options, schema, projection)?),
            FormatKind::Raw => Box::new(raw::RawDecoder::new(options, schema, projection)?),
            FormatKind::Avro => Box::new(avro::AvroDecoder::new(options, schema, projection)?),
            FormatKind::AvroConfluent => {
                Box::new(avro::ConfluentDecoder::new(options, schema, projection, surroundings)?)
            }
            _ => Box::new(json::JsonDecoder::new(options, schema, projection)?),
        })
    }

    pub fn encoder(
        self,
        options: &Options,
        schema: &SchemaRef,
        surroundings: &Surroundings,
    ) -> Result<Box<dyn RowEncoder>, FormatError> {
        if let Some(envelope) = self.envelope() {
            return Ok(Box::new(json::ChangeEncoder::new(envelope, options, schema)?));
        }
        Ok(match self {
            FormatKind::Csv => Box::new(csv::CsvEncoder::new(options, schema)?),
            FormatKind::Raw => Box::new(raw::RawEncoder::new(options, schema)?),
            FormatKind::Avro => Box::new(avro::AvroEncoder::new(options, schema)?),
            FormatKind::AvroConfluent => {
                Box::new(avro::ConfluentEncoder::new(options, schema, surroundings)?)
            }
            FormatKind::DebeziumAvroConfluent => {
                Box::new(avro::DebeziumEncoder::new(options, schema, surroundings)?)
            }
            _ => Box::new(json::JsonEncoder::new(options, schema)?),
        })
    }
}

/// Bytes as base64 with padding.
pub fn base64_text(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    base64::encode(bytes, &mut text);
    text.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests;
