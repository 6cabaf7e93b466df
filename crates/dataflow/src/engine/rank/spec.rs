//! What a Top-N is, and everything about a batch that needs no state.

use super::super::changelog::is_add_code;
use super::super::error::DataflowError;
use super::super::join::only_inserts;
use super::super::keys::{KeyEncoder, Keys, one_nan};
use super::super::rows::{EncodedRows, RowEncoder};
use crate::batch::Batch;
use crate::plan::{Changelog, NodeId, NodeKind, Plan, SortKey};
use arrow_array::ArrayRef;
use arrow_row::SortField;
use arrow_schema::{DataType, SchemaRef, SortOptions};
use std::ops::Range;

/// What stays the same over the life of the operator.
#[derive(Debug)]
pub(crate) struct RankSpec {
    keys: KeyEncoder,
    order: KeyEncoder,
    order_columns: Vec<usize>,
    pub(crate) rows: RowEncoder,
    /// Rows of the input may go again.
    pub(crate) retracts: bool,
    /// The places in the order that are shown, from 0.
    pub(crate) shown: Range<usize>,
    pub(crate) with_number: bool,
    /// Of rows that compare equal the latest stands first.
    pub(crate) latest_first: bool,
    /// What may leave the node.
    pub(crate) changelog: Changelog,
    pub(crate) schema: SchemaRef,
}

/// A batch made ready for all workers.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) keys: Keys,
    pub(crate) order: Keys,
    pub(crate) rows: EncodedRows,
    /// By row, whether it comes or goes; `None` when all come.
    adds: Option<Vec<bool>>,
    count: usize,
}

impl Prepared {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn adds(&self, row: usize) -> bool {
        self.adds.as_ref().is_none_or(|adds| adds[row])
    }
}

impl RankSpec {
    pub(crate) fn new(plan: &Plan, id: NodeId, schemas: &[SchemaRef]) -> Result<RankSpec, DataflowError> {
        let node = plan.node(id);
        let NodeKind::Rank { partition, order, first, last, with_number, latest_first } = &node.kind else {
            return Err(DataflowError::internal("the node is no Top-N"));
        };
        let input = node.inputs[0];
        let types: Vec<DataType> =
            schemas[input.0].fields().iter().map(|field| field.data_type().clone()).collect();
        let retracts = match plan.node(input).changelog {
            Changelog::Insert => false,
            Changelog::Retract => true,
            Changelog::Upsert => {
                return Err(DataflowError::internal("an upsert changelog must be normalized before it"));
            }
        };
        let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let sort_field = |key: &SortKey| {
            let options = SortOptions::new(key.descending, key.nulls_first);
            SortField::new_with_options(types[key.column].clone(), options)
        };
        let order_columns: Vec<usize> = order.iter().map(|key| key.column).collect();
        let key_types = partition.iter().map(|key| types[*key].clone()).collect();
        Ok(RankSpec {
            keys: KeyEncoder::new(partition.clone(), key_types)?,
            order: KeyEncoder::ordered(order_columns.clone(), order.iter().map(sort_field).collect())?,
            order_columns,
            rows: RowEncoder::new(types.clone())?,
            retracts,
            shown: place(first.saturating_sub(1))..place(*last),
            with_number: *with_number,
            latest_first: *latest_first,
            changelog: node.changelog,
            schema: schemas[id.0].clone(),
        })
    }

    pub(crate) fn prepare(&self, batch: &Batch) -> Result<Prepared, DataflowError> {
        if !self.retracts {
            only_inserts(batch)?;
        }
        let kinds = batch.kinds.as_ref().filter(|_| self.retracts);
        let order: Vec<ArrayRef> =
            self.order_columns.iter().map(|column| one_nan(batch.rows.column(*column))).collect();
        Ok(Prepared {
            keys: self.keys.encode(&batch.rows)?,
            order: self.order.encode_columns(&order, batch.len())?,
            rows: self.rows.encode(&batch.rows)?,
            adds: kinds.map(|kinds| kinds.values().iter().map(|kind| is_add_code(*kind)).collect()),
            count: batch.len(),
        })
    }
}
