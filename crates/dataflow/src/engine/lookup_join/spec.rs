//! What a lookup join is, and everything about a batch that needs no state.

use super::super::error::DataflowError;
use super::super::join::only_inserts;
use super::super::keys::{KeyEncoder, Keys};
use super::super::rows::RowEncoder;
use crate::batch::Batch;
use crate::expression::Expression;
use crate::plan::{JoinKind, LookupCache, NodeId, NodeKind, Plan};
use arrow_array::{Array, BooleanArray};
use arrow_schema::SchemaRef;
use base::codec::{CodecError, FieldReader, FieldWriter};
use std::sync::Arc;

/// What stays the same over the life of the operator.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) kind: JoinKind,
    pub(crate) ordered: bool,
    pub(crate) cache: Option<LookupCache>,
    pub(crate) stream_keys: KeyEncoder,
    /// All columns of the stream, as rows wait.
    pub(crate) stream_rows: RowEncoder,
    pub(crate) found_rows: RowEncoder,
    pub(crate) input_schema: SchemaRef,
    pub(crate) found_schema: SchemaRef,
    pub(crate) residual: Option<Arc<dyn Expression>>,
    pub(crate) schema: SchemaRef,
}

/// A batch made ready.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) batch: Batch,
    pub(crate) keys: Keys,
    /// Rows without a NULL in their key; `None` when all are.
    complete: Option<BooleanArray>,
}

impl Prepared {
    pub(crate) fn can_match(&self, row: usize) -> bool {
        self.complete.as_ref().is_none_or(|complete| complete.value(row))
    }

    /// In force before the row.
    pub(crate) fn watermark(&self, row: usize) -> i64 {
        self.batch.watermarks.as_ref().map_or(i64::MIN, |watermarks| watermarks.value(row))
    }

    pub(crate) fn tie(&self, row: usize) -> &[u8] {
        self.batch.ties.as_ref().filter(|ties| ties.is_valid(row)).map_or(&[], |ties| ties.value(row))
    }
}

impl Spec {
    pub(crate) fn new(plan: &Plan, id: NodeId, schemas: &[SchemaRef]) -> Result<Spec, DataflowError> {
        let node = plan.node(id);
        let NodeKind::LookupJoin(join) = &node.kind else {
            return Err(DataflowError::internal("the node looks nothing up"));
        };
        let input_schema = schemas[node.inputs[0].0].clone();
        let found_schema = super::super::batches::relaxed(&join.found_schema());
        let stream_keys = {
            let types = join.stream_keys.iter().map(|key| input_schema.field(*key).data_type().clone());
            KeyEncoder::new(join.stream_keys.clone(), types.collect())?
        };
        Ok(Spec {
            kind: join.kind,
            ordered: join.ordered,
            cache: join.cache,
            stream_keys,
            stream_rows: RowEncoder::of(&input_schema)?,
            found_rows: RowEncoder::of(&found_schema)?,
            input_schema,
            found_schema,
            residual: join.residual.clone(),
            schema: schemas[id.0].clone(),
        })
    }

    pub(crate) fn prepare(&self, batch: Batch) -> Result<Prepared, DataflowError> {
        only_inserts(&batch)?;
        let keys = self.stream_keys.encode(&batch.rows)?;
        Ok(Prepared { keys, complete: self.stream_keys.complete(&batch.rows), batch })
    }

    /// Whether rows leave without a match too.
    pub(crate) fn pads(&self) -> bool {
        self.kind == JoinKind::Left
    }
}

/// The rows under a key as one value: how many, then each.
pub(crate) fn pack<'a>(rows: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = FieldWriter::new();
    out.u32(rows.len() as u32);
    rows.for_each(|row| {
        out.bytes(row);
    });
    out.finish()
}

/// Calls back for each row of a packed value.
pub(crate) fn unpack(packed: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), CodecError> {
    let mut reader = FieldReader::new(packed);
    for _ in 0..reader.count(4)? {
        each(reader.bytes()?);
    }
    reader.finish()
}
