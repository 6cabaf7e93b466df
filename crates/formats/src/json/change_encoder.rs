//! A row and its kind as a record of a changelog. As in Flink, an update is two records: the row
//! before it as a delete, the row after it as an insert.

use super::JsonEncoder;
use super::changes::{Envelope, Shape};
use crate::{ChangeKind, EncodeError, FormatError, RowEncoder};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use base::options::Options;

pub(crate) struct ChangeEncoder {
    envelope: &'static Envelope,
    json: JsonEncoder,
}

impl ChangeEncoder {
    pub(crate) fn new(
        envelope: &'static Envelope,
        options: &Options,
        schema: &SchemaRef,
    ) -> Result<ChangeEncoder, FormatError> {
        if options.boolean("schema-include") {
            let message = "'schema-include' is only for reading: records are written without a schema";
            return Err(FormatError(message.into()));
        }
        Ok(ChangeEncoder { envelope, json: JsonEncoder::new(options, schema)? })
    }
}

impl RowEncoder for ChangeEncoder {
    fn encode(&mut self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encode_change(rows, row, ChangeKind::Insert, out)
    }

    fn encode_change(
        &mut self,
        rows: &RecordBatch,
        row: usize,
        kind: ChangeKind,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let is_insert = matches!(kind, ChangeKind::Insert | ChangeKind::UpdateAfter);
        let names_null = !self.json.style.ignore_null_fields;
        let mut close: &[u8] = b",";
        match (self.envelope.shape, is_insert) {
            (Shape::BeforeAfter, true) if names_null => out.extend_from_slice(b"{\"before\":null,\"after\":"),
            (Shape::BeforeAfter, true) => out.extend_from_slice(b"{\"after\":"),
            (Shape::BeforeAfter, false) => {
                out.extend_from_slice(b"{\"before\":");
                if names_null {
                    close = b",\"after\":null,";
                }
            }
            (Shape::DataOld, _) => out.extend_from_slice(b"{\"data\":"),
            (Shape::DataOldArrays, _) => {
                out.extend_from_slice(b"{\"data\":[");
                close = b"],";
            }
        }
        self.json.encode(rows, row, out)?;
        out.extend_from_slice(close);
        let kinds = if is_insert { self.envelope.inserts } else { self.envelope.deletes };
        for part in
            ["\"", self.envelope.kind_field, "\":\"", kinds.first().copied().unwrap_or_default(), "\"}"]
        {
            out.extend_from_slice(part.as_bytes());
        }
        Ok(())
    }
}
