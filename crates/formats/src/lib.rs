//! JSON, its changelogs (Debezium, Canal, Maxwell, Ogg), CSV, Avro, Protobuf, BSON and raw bytes to Arrow builders, and back.
//!
//! A format turns the bytes of one record into one row of Arrow builders, of the wanted columns
//! only, and a row back into bytes. Behaviour is that of Flink's formats of the same names. A format
//! is one file here and one line in [`FormatKind`].

mod avro;
mod base64;
pub mod bson;
mod builder;
mod cell;
mod cloud_events;
mod confluent;
mod csv;
mod error;
mod json;
mod names;
mod number_text;
mod parquet;
pub mod print;
mod protobuf;
mod raw;
mod scalar;
mod splitter;
mod surroundings;
pub mod telemetry;
mod time_text;

pub use avro::{AvroFileDecoder, AvroValue, AvroValues, avro_as_json, avro_file_schema};
pub use cloud_events::CloudEvent;
pub use error::{DecodeError, EncodeError, FormatError};
pub use protobuf::compile_proto;
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
    /// Whether the format looks at the headers of a record.
    fn wants_headers(&self) -> bool {
        false
    }
    /// The same with the record's headers, for a format that wants them.
    fn decode_with_headers(
        &mut self,
        record: &[u8],
        _headers: &[(&[u8], Option<&[u8]>)],
    ) -> Result<(), DecodeError> {
        self.decode(record)
    }
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

    /// The headers that the row that was written last has.
    fn headers(&self) -> &[(String, Vec<u8>)] {
        &[]
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
    Protobuf,
    ProtobufConfluent,
    CloudEvents,
    DebeziumJson,
    CanalJson,
    MaxwellJson,
    OggJson,
    DebeziumAvroConfluent,
    /// Of whole files, not of records.
    Parquet,
}

impl FormatKind {
    const ALL: [FormatKind; 14] = [
        FormatKind::Json,
        FormatKind::Csv,
        FormatKind::Raw,
        FormatKind::Avro,
        FormatKind::AvroConfluent,
        FormatKind::Protobuf,
        FormatKind::ProtobufConfluent,
        FormatKind::CloudEvents,
        FormatKind::DebeziumJson,
        FormatKind::CanalJson,
        FormatKind::MaxwellJson,
        FormatKind::OggJson,
        FormatKind::DebeziumAvroConfluent,
        FormatKind::Parquet,
    ];

    pub fn name(self) -> &'static str {
        match self {
            FormatKind::Json => "json",
            FormatKind::Csv => "csv",
            FormatKind::Raw => "raw",
            FormatKind::Avro => "avro",
            FormatKind::AvroConfluent => "avro-confluent",
            FormatKind::Protobuf => "protobuf",
            FormatKind::ProtobufConfluent => "protobuf-confluent",
            FormatKind::CloudEvents => "cloudevents",
            FormatKind::DebeziumJson => "debezium-json",
            FormatKind::CanalJson => "canal-json",
            FormatKind::MaxwellJson => "maxwell-json",
            FormatKind::OggJson => "ogg-json",
            FormatKind::DebeziumAvroConfluent => "debezium-avro-confluent",
            FormatKind::Parquet => "parquet",
        }
    }

    pub const fn names() -> &'static [&'static str] {
        &[
            "json",
            "csv",
            "raw",
            "avro",
            "avro-confluent",
            "protobuf",
            "protobuf-confluent",
            "cloudevents",
            "debezium-json",
            "canal-json",
            "maxwell-json",
            "ogg-json",
            "debezium-avro-confluent",
        ]
    }

    /// What files may hold.
    pub const fn names_of_files() -> &'static [&'static str] {
        &["json", "csv", "raw", "avro", "debezium-json", "canal-json", "maxwell-json", "ogg-json", "parquet"]
    }

    /// All formats, of records and of files.
    pub fn all() -> impl Iterator<Item = FormatKind> {
        FormatKind::ALL.into_iter()
    }

    /// What the format is, for the reference.
    pub fn doc(self) -> &'static str {
        match self {
            FormatKind::Json => "An object for each record, its fields matched to columns by name.",
            FormatKind::Csv => "A line of values for each record, in the order of the columns.",
            FormatKind::Raw => "The record's bytes are the value of the table's one column.",
            FormatKind::Avro => {
                "A record of the Avro schema that Flink derives from the table, without a header. Files are Avro's own \
                 container files, whose schema is resolved against the table's."
            }
            FormatKind::AvroConfluent => {
                "An Avro record that carries the number of its schema in a registry (Confluent's wire format). What was \
                 written with another schema is resolved against the table's. The registry is asked once for each \
                 schema; the node remembers the answers, so that it can restart without it."
            }
            FormatKind::Protobuf => {
                "A message of Protocol Buffers, found by the name that its class has in Java. It is described by the \
                 `.proto` files in the folder `proto` of the working directory, unless `schema-path` says otherwise. \
                 Its fields are matched to columns by name, with Flink's types: an enum is a STRING or a number, a \
                 message a ROW, a `repeated` field an ARRAY, a `map` a MAP."
            }
            FormatKind::ProtobufConfluent => {
                "A message of Protocol Buffers that carries the number of its `.proto` file in a registry (Confluent's \
                 wire format). A field whose presence is known is NULL where it is absent, and so is a column that the \
                 writer's message does not have."
            }
            FormatKind::CloudEvents => {
                "An event of the CloudEvents specification 1.0 in its Kafka binding: all in the value (structured), or \
                 the attributes in headers (binary). The columns are the fields of the data, which is JSON; the \
                 attributes are metadata, and those of an event that is written too: it needs at least an `id`."
            }
            FormatKind::DebeziumJson => {
                "Changes as Debezium's connectors write them: the row `before` and `after`."
            }
            FormatKind::CanalJson => {
                "Changes as Canal writes them: rows, and the `old` values of what changed."
            }
            FormatKind::MaxwellJson => {
                "Changes as Maxwell writes them: a row, and the `old` values of what changed."
            }
            FormatKind::OggJson => "Changes as Oracle GoldenGate writes them: the row `before` and `after`.",
            FormatKind::DebeziumAvroConfluent => {
                "Debezium's changes as Avro records that carry the number of their schema in a registry."
            }
            FormatKind::Parquet => {
                "Files of columns, only for `filesystem`. Columns are matched by name, those of a ROW too; one that a \
                 file does not have is NULL. A large file is read in many steps."
            }
        }
    }

    /// The formats whose records are lines of text, so that files may hold them.
    pub const fn names_of_lines() -> &'static [&'static str] {
        &["json", "csv", "raw", "debezium-json", "canal-json", "maxwell-json", "ogg-json"]
    }

    /// Whether records carry the number of a schema in a registry.
    pub fn has_registry(self) -> bool {
        matches!(
            self,
            FormatKind::AvroConfluent | FormatKind::ProtobufConfluent | FormatKind::DebeziumAvroConfluent
        )
    }

    /// The option that says where the messages of the format are described, with its default.
    pub fn schema_path(self, options: &Options) -> Option<String> {
        match self {
            FormatKind::Protobuf => options.text("schema-path").map(str::to_string),
            _ => None,
        }
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
            FormatKind::CloudEvents => cloud_events::metadata(),
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
            FormatKind::Protobuf => protobuf::SPECS,
            FormatKind::ProtobufConfluent => protobuf::CONFLUENT_SPECS,
            FormatKind::CloudEvents => cloud_events::SPECS,
            FormatKind::Parquet => parquet::SPECS,
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
        if self == FormatKind::Parquet {
            return Err(FormatError("the format 'parquet' is of whole files, not of records".into()));
        }
        if self == FormatKind::CloudEvents {
            let decoder = cloud_events::CloudEventDecoder::new(options, schema, projection, metadata)?;
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
            FormatKind::Protobuf => {
                Box::new(protobuf::ProtobufDecoder::new(options, schema, projection, surroundings)?)
            }
            FormatKind::ProtobufConfluent => {
                Box::new(protobuf::ConfluentDecoder::new(options, schema, projection, surroundings)?)
            }
            _ => Box::new(json::JsonDecoder::new(options, schema, projection)?),
        })
    }

    /// An encoder of rows of `schema`.
    pub fn encoder(
        self,
        options: &Options,
        schema: &SchemaRef,
        surroundings: &Surroundings,
    ) -> Result<Box<dyn RowEncoder>, FormatError> {
        self.encoder_with_metadata(options, schema, &[], surroundings)
    }

    /// The same where columns of the format's metadata stand behind the others in the rows that are written.
    pub fn encoder_with_metadata(
        self,
        options: &Options,
        schema: &SchemaRef,
        metadata: &[WantedMetadata],
        surroundings: &Surroundings,
    ) -> Result<Box<dyn RowEncoder>, FormatError> {
        if self == FormatKind::Parquet {
            return Err(FormatError("the format 'parquet' is of whole files, not of records".into()));
        }
        if self == FormatKind::CloudEvents {
            return Ok(Box::new(cloud_events::CloudEventEncoder::new(options, schema, metadata)?));
        }
        if let Some(wanted) = metadata.first() {
            let message =
                format!("the format '{}' has no metadata '{}' that can be written", self.name(), wanted.key);
            return Err(FormatError(message));
        }
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
            FormatKind::Protobuf => Box::new(protobuf::ProtobufEncoder::new(options, schema, surroundings)?),
            FormatKind::ProtobufConfluent => {
                Box::new(protobuf::ConfluentEncoder::new(options, schema, surroundings)?)
            }
            FormatKind::DebeziumAvroConfluent => {
                Box::new(avro::DebeziumEncoder::new(options, schema, surroundings)?)
            }
            _ => Box::new(json::JsonEncoder::new(options, schema)?),
        })
    }
}

/// The bytes of a base64 text with padding; none if it is no such text.
pub fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    base64::decode(text.as_bytes(), &mut bytes).then_some(bytes)
}

/// Bytes as base64 with padding.
pub fn base64_text(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    base64::encode(bytes, &mut text);
    text.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests;
