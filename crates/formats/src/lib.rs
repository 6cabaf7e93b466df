//! JSON, CSV and raw bytes to Arrow builders, and back.
//!
//! A format turns the bytes of one record into one row of Arrow builders, of the wanted columns
//! only, and a row back into bytes. Behaviour is that of Flink's formats of the same names. A format
//! is one file here and one line in [`FormatKind`].

mod base64;
mod builder;
mod cell;
mod csv;
mod error;
mod json;
mod names;
mod number_text;
pub mod print;
mod raw;
mod scalar;
mod splitter;
mod time_text;

pub use error::{DecodeError, EncodeError, FormatError};
pub use splitter::RecordSplitter;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use base::options::{OptionSpec, Options};

/// Appends one row per record to the builders of the wanted columns.
pub trait RowDecoder: Send {
    /// Appends one row. None on an error, and none where the record is no row: a comment of CSV, an empty
    /// record of JSON; `len` tells.
    fn decode(&mut self, record: &[u8]) -> Result<(), DecodeError>;
    /// Rows since the last `finish`.
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The rows so far, columns in the order of the projection.
    fn finish(&mut self) -> Result<RecordBatch, DecodeError>;
    /// How records are told apart in a file.
    fn splitter(&self) -> RecordSplitter {
        RecordSplitter::lines()
    }
}

/// Writes rows as bytes.
pub trait RowEncoder: Send {
    /// Appends the bytes of one row, without a line end.
    fn encode(&mut self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError>;
}

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatKind {
    Json,
    Csv,
    Raw,
}

impl FormatKind {
    const ALL: [FormatKind; 3] = [FormatKind::Json, FormatKind::Csv, FormatKind::Raw];

    pub fn name(self) -> &'static str {
        match self {
            FormatKind::Json => "json",
            FormatKind::Csv => "csv",
            FormatKind::Raw => "raw",
        }
    }

    pub fn names() -> &'static [&'static str] {
        &["json", "csv", "raw"]
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
        }
    }

    /// A decoder of the columns `projection` (indices) of records of `schema`.
    pub fn decoder(
        self,
        options: &Options,
        schema: &SchemaRef,
        projection: &[usize],
    ) -> Result<Box<dyn RowDecoder>, FormatError> {
        Ok(match self {
            FormatKind::Json => Box::new(json::JsonDecoder::new(options, schema, projection)?),
            FormatKind::Csv => Box::new(csv::CsvDecoder::new(options, schema, projection)?),
            FormatKind::Raw => Box::new(raw::RawDecoder::new(options, schema, projection)?),
        })
    }

    pub fn encoder(self, options: &Options, schema: &SchemaRef) -> Result<Box<dyn RowEncoder>, FormatError> {
        Ok(match self {
            FormatKind::Json => Box::new(json::JsonEncoder::new(options, schema)?),
            FormatKind::Csv => Box::new(csv::CsvEncoder::new(options, schema)?),
            FormatKind::Raw => Box::new(raw::RawEncoder::new(options, schema)?),
        })
    }
}

#[cfg(test)]
mod tests;
