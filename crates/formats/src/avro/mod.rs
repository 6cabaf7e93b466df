//! `avro`: one record without a header, by the schema that Flink derives from the table.
//!
//! A schema is read into a table of nodes (`schema`); how the writer's values become columns is planned
//! once (`resolve`) and carried out for each record (`decoder`); rows are written by the schema
//! (`encoder`). Avro's JSON encoding is a way to and from the binary one (`json_text`).

mod confluent;
mod container;
mod debezium;
mod decoder;
mod derive;
mod encoder;
mod json_text;
mod resolve;
mod schema;
mod value;
mod wire;

use crate::json::Scanner;
use crate::{DecodeError, EncodeError, FormatError, RowDecoder, RowEncoder};
use arrow_array::RecordBatch;
use arrow_schema::{Field, SchemaRef, TimeUnit};
use base::options::{OptionKind, OptionSpec, Options};
pub(crate) use confluent::{ConfluentDecoder, ConfluentEncoder, SPECS as CONFLUENT_SPECS};
pub use container::{AvroFileDecoder, avro_file_schema};
pub(crate) use debezium::{
    DebeziumDecoder, DebeziumEncoder, SPECS as DEBEZIUM_SPECS, metadata as debezium_metadata,
};
use decoder::Rows;
#[cfg(test)]
pub(crate) use derive::derive;
use resolve::{Plan, Resolver};
use schema::AvroSchema;
pub use value::{AvroValue, AvroValues};
use wire::Input;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

const IGNORE_PARSE_ERRORS: OptionSpec = OptionSpec {
    key: "ignore-parse-errors",
    kind: OptionKind::Boolean,
    required: false,
    default: Some("false"),
    doc: "Whether records that cannot be read are skipped; Flink does not have it for Avro.",
    example: "true",
};
const LEGACY_TIMESTAMPS: OptionSpec = OptionSpec {
    key: "timestamp_mapping.legacy",
    kind: OptionKind::Boolean,
    required: false,
    default: Some("true"),
    doc: "Whether a TIMESTAMP is Avro's `timestamp-millis`; otherwise a TIMESTAMP is a `local-timestamp-…` and a TIMESTAMP_LTZ a `timestamp-…`.",
    example: "false",
};

pub(crate) const SPECS: &[OptionSpec] = &[
    OptionSpec {
        key: "encoding",
        kind: OptionKind::OneOf(&["binary", "json"]),
        required: false,
        default: Some("binary"),
        doc: "Which of Avro's encodings the records have.",
        example: "json",
    },
    OptionSpec {
        key: "codec",
        kind: OptionKind::OneOf(&["null", "deflate", "snappy", "zstandard"]),
        required: false,
        default: Some("snappy"),
        doc: "How the blocks of files are compressed that are written; all of these are read. Records of topics have none.",
        example: "deflate",
    },
    LEGACY_TIMESTAMPS,
    IGNORE_PARSE_ERRORS,
];

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => NANOS_PER_SECOND,
    }
}

/// The bytes that a text stands for in Avro's JSON: one for each letter up to U+00FF.
fn latin_bytes(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect()
}

/// A format without the option has Flink's default.
fn is_legacy(options: &Options) -> bool {
    options.text("timestamp_mapping.legacy").is_none_or(|text| text.eq_ignore_ascii_case("true"))
}

/// The schema of a table, as Flink derives it.
fn table_schema(options: &Options, schema: &SchemaRef) -> Result<AvroSchema, FormatError> {
    let derived = derive::derive(schema.fields(), is_legacy(options)).map_err(FormatError)?;
    AvroSchema::parse(&derived.to_string())
        .map_err(|reason| FormatError(format!("the table's schema: {reason}")))
}

/// The columns of a projection, with their places in the table.
fn projected<'a>(schema: &'a SchemaRef, projection: &[usize]) -> Vec<(usize, &'a Field)> {
    projection.iter().map(|index| (*index, schema.field(*index))).collect()
}

pub(crate) struct AvroDecoder {
    rows: Rows,
    schema: AvroSchema,
    plan: Plan,
    /// The binary encoding of a record in JSON; none where records are binary.
    from_json: Option<Vec<u8>>,
}

impl AvroDecoder {
    pub(crate) fn new(
        options: &Options,
        schema: &SchemaRef,
        projection: &[usize],
    ) -> Result<AvroDecoder, FormatError> {
        let rows = Rows::new(schema, projection)?;
        let own = table_schema(options, schema)?;
        let columns = projected(schema, projection);
        let plan = Resolver::new(&own, &own).row(own.root, own.root, &columns).map_err(FormatError)?;
        let from_json = (options.text("encoding") == Some("json")).then(Vec::new);
        Ok(AvroDecoder { rows, schema: own, plan, from_json })
    }
}

impl RowDecoder for AvroDecoder {
    fn decode(&mut self, record: &[u8]) -> Result<(), DecodeError> {
        let AvroDecoder { rows, schema, plan, from_json } = self;
        if let Some(binary) = from_json {
            binary.clear();
            json_text::to_binary(schema, schema.root, &mut Scanner::new(record), binary).map_err(
                |fault| match DecodeError::from(fault) {
                    DecodeError::Syntax { position, reason, .. } => {
                        DecodeError::Syntax { format: "JSON", position, reason }
                    }
                    other => other,
                },
            )?;
            return Ok(rows.append(&mut Input::new(binary, 0), plan, schema)?);
        }
        let mut input = Input::new(record, 0);
        rows.append(&mut input, plan, schema)?;
        if !input.is_at_end() {
            rows.truncate(rows.rows - 1);
            return Err(behind(&input));
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.rows.rows
    }

    fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        self.rows.finish()
    }
}

/// A record of the binary encoding as a text of Avro's JSON encoding, by the schema that it was written with. The types of
/// other schemas that this one names stand in `references`. A text of more than `bytes_max` bytes is given up.
pub fn avro_as_json(
    references: &[&str],
    schema: &str,
    record: &[u8],
    bytes_max: usize,
) -> Result<String, DecodeError> {
    let schema = AvroSchema::parse_with(references, schema).map_err(DecodeError::Record)?;
    // What becomes JSON is sound, and not too deep.
    let mut checked = Input::new(record, 0);
    checked.skip(&schema, schema.root, 0)?;
    if !checked.is_at_end() {
        return Err(behind(&checked));
    }
    let mut text = Vec::new();
    json_text::from_binary(&schema, schema.root, &mut Input::new(record, 0), &mut text, bytes_max)?;
    if text.len() > bytes_max {
        return Err(DecodeError::Record(format!("its text is longer than {bytes_max} bytes")));
    }
    String::from_utf8(text).map_err(|error| DecodeError::Record(error.to_string()))
}

/// Bytes that belong to no field.
fn behind(input: &Input<'_>) -> DecodeError {
    let reason = "there are bytes behind the record: it was written with another schema";
    DecodeError::Syntax { format: "Avro", position: input.at, reason }
}

pub(crate) struct AvroEncoder {
    schema: AvroSchema,
    /// The binary encoding of a row that is written as JSON; none where records are binary.
    to_json: Option<Vec<u8>>,
}

impl AvroEncoder {
    pub(crate) fn new(options: &Options, schema: &SchemaRef) -> Result<AvroEncoder, FormatError> {
        let to_json = (options.text("encoding") == Some("json")).then(Vec::new);
        Ok(AvroEncoder { schema: table_schema(options, schema)?, to_json })
    }
}

impl RowEncoder for AvroEncoder {
    fn encode(&mut self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let Some(binary) = &mut self.to_json else {
            return encoder::write_row(&self.schema, rows, row, out);
        };
        binary.clear();
        encoder::write_row(&self.schema, rows, row, binary)?;
        let mut input = Input::new(binary, 0);
        json_text::from_binary(&self.schema, self.schema.root, &mut input, out, usize::MAX).map_err(|fault| {
            EncodeError { field: String::new(), reason: DecodeError::from(fault).to_string() }
        })
    }
}
