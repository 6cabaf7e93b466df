//! What a regular join is, and everything about a batch that needs no state.

use super::super::error::DataflowError;
use super::super::join::only_inserts;
use super::super::keys::{KeyEncoder, Keys};
use crate::batch::{Batch, RowKind};
use crate::expression::Expression;
use crate::plan::{Changelog, JoinKind, NodeId, NodeKind, Plan};
use arrow_array::{BooleanArray, Int8Array};
use arrow_schema::{DataType, Schema, SchemaRef};
use std::sync::Arc;

pub(crate) const LEFT: usize = 0;
pub(crate) const RIGHT: usize = 1;

/// What stays the same over the life of the operator.
#[derive(Debug)]
pub(crate) struct RegularJoinSpec {
    pub(crate) sides: [Side; 2],
    pub(crate) kind: JoinKind,
    pub(crate) residual: Option<Arc<dyn Expression>>,
    /// What may leave the node.
    pub(crate) changelog: Changelog,
    /// By side, whether state is forgotten; see the module.
    pub(crate) forgets: [bool; 2],
    /// The columns of both sides, over which the residual is decided, and those that leave.
    pub(crate) pairs: SchemaRef,
    pub(crate) schema: SchemaRef,
}

#[derive(Debug)]
pub(crate) struct Side {
    keys: KeyEncoder,
    /// Whole rows.
    pub(crate) rows: KeyEncoder,
    pub(crate) types: Vec<DataType>,
    /// Rows of the input may go again.
    retracts: bool,
}

/// A batch of one side made ready for all workers.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) side: usize,
    pub(crate) keys: Keys,
    pub(crate) rows: Keys,
    /// Which rows have no NULL in their key; `None` when all of them.
    pub(crate) complete: Option<BooleanArray>,
    kinds: Option<Int8Array>,
    count: usize,
}

impl Prepared {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn kind(&self, row: usize) -> RowKind {
        let kind = self.kinds.as_ref().and_then(|kinds| RowKind::from_code(kinds.value(row)));
        kind.unwrap_or(RowKind::Insert)
    }
}

impl RegularJoinSpec {
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        schemas: &[SchemaRef],
    ) -> Result<RegularJoinSpec, DataflowError> {
        let node = plan.node(id);
        let NodeKind::Join { kind, left_keys, right_keys, residual } = &node.kind else {
            return Err(DataflowError::internal("the node is no regular join"));
        };
        let side = |side: usize, keys: &[usize]| {
            let input = node.inputs[side];
            let types: Vec<DataType> =
                schemas[input.0].fields().iter().map(|field| field.data_type().clone()).collect();
            let key_types = keys.iter().map(|key| types[*key].clone()).collect();
            let retracts = match plan.node(input).changelog {
                Changelog::Insert => false,
                Changelog::Retract => true,
                Changelog::Upsert => {
                    return Err(DataflowError::internal("an upsert changelog must be normalized before it"));
                }
            };
            Ok(Side {
                keys: KeyEncoder::new(keys.to_vec(), key_types)?,
                rows: KeyEncoder::new((0..types.len()).collect(), types.clone())?,
                types,
                retracts,
            })
        };
        let columns = node.inputs.iter().flat_map(|input| schemas[input.0].fields().iter().cloned());
        Ok(RegularJoinSpec {
            sides: [side(LEFT, left_keys)?, side(RIGHT, right_keys)?],
            kind: *kind,
            pairs: Arc::new(Schema::new(columns.collect::<Vec<_>>())),
            residual: residual.clone(),
            changelog: node.changelog,
            forgets: [LEFT, RIGHT].map(|side| plan.ttl_ms(id, side).is_some()),
            schema: schemas[id.0].clone(),
        })
    }

    pub(crate) fn prepare(&self, number: usize, batch: &Batch) -> Result<Prepared, DataflowError> {
        let side = &self.sides[number];
        if !side.retracts {
            only_inserts(batch)?;
        }
        Ok(Prepared {
            side: number,
            keys: side.keys.encode(&batch.rows)?,
            rows: side.rows.encode(&batch.rows)?,
            complete: side.keys.complete(&batch.rows),
            kinds: if side.retracts { batch.kinds.clone() } else { None },
            count: batch.len(),
        })
    }

    /// Whether the matches of a side's rows are counted, because rows leave or stay away without one.
    pub(crate) fn counts_matches(&self, side: usize) -> bool {
        self.kind.pads(side) || (side == LEFT && self.kind.tests_left())
    }

    /// The kind of a pair that a row of this kind brings or takes.
    pub(crate) fn pair_kind(&self, kind: RowKind) -> RowKind {
        let is_inner = self.kind == JoinKind::Inner;
        match kind {
            RowKind::Insert | RowKind::UpdateAfter if !is_inner => RowKind::Insert,
            RowKind::UpdateBefore if !is_inner || self.changelog == Changelog::Upsert => RowKind::Delete,
            kind => kind,
        }
    }
}
