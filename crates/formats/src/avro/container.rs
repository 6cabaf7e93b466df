//! Files of Avro: the values of their blocks, whose schema stands in the file's head; the head itself is the file's own.

use super::decoder::Rows;
use super::resolve::{Plan, Resolver};
use super::schema::AvroSchema;
use super::wire::Input;
use super::{derive, projected, table_schema};
use crate::{DecodeError, FormatError};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use base::options::Options;

/// Appends the values of one file's blocks to the builders of the wanted columns.
pub struct AvroFileDecoder {
    rows: Rows,
    writer: AvroSchema,
    plan: Plan,
    /// Elements of arrays and maps that the rest of the block may have: together no more than it has bytes.
    items_left: usize,
}

impl AvroFileDecoder {
    /// `writer` is the schema of the file; it is resolved against that of the table, by name.
    pub fn new(
        options: &Options,
        schema: &SchemaRef,
        projection: &[usize],
        writer: &str,
    ) -> Result<AvroFileDecoder, FormatError> {
        let rows = Rows::new(schema, projection)?;
        let reader = table_schema(options, schema)?;
        let writer = AvroSchema::parse(writer)
            .map_err(|reason| FormatError(format!("the schema of the file: {reason}")))?;
        let columns = projected(schema, projection);
        let plan = Resolver::new(&writer, &reader).row(writer.root, reader.root, &columns);
        let plan = plan.map_err(|reason| {
            FormatError(format!("the schema of the file does not fit the table: {reason}"))
        })?;
        Ok(AvroFileDecoder { rows, writer, plan, items_left: 0 })
    }

    /// A block of so many bytes begins.
    pub fn begin_block(&mut self, bytes: usize) {
        self.items_left = bytes;
    }

    /// Appends the row that begins at a place of the block; where the next one begins.
    pub fn decode(&mut self, block: &[u8], at: usize) -> Result<usize, DecodeError> {
        let mut input = Input::new(block, at);
        input.share_items(self.items_left);
        self.rows.append(&mut input, &self.plan, &self.writer)?;
        self.items_left = input.items_left();
        Ok(input.at)
    }

    /// Passes over a row.
    pub fn skip(&mut self, block: &[u8], at: usize) -> Result<usize, DecodeError> {
        let mut input = Input::new(block, at);
        input.skip(&self.writer, self.writer.root, 0)?;
        Ok(input.at)
    }

    /// The rows so far.
    pub fn finish(&mut self) -> Result<RecordBatch, DecodeError> {
        self.rows.finish()
    }
}

/// The schema of files that are written, as their head has it.
pub fn avro_file_schema(options: &Options, schema: &SchemaRef) -> Result<String, FormatError> {
    let is_legacy = super::is_legacy(options);
    derive::derive(schema.fields(), is_legacy).map(|schema| schema.to_string()).map_err(FormatError)
}
