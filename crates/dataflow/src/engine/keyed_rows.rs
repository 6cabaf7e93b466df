//! What the operators that keep whole rows by key have in common: rows as bytes, and the way of a step.
//!
//! A row is kept as the `arrow-row` bytes of all its columns: equal rows have equal bytes, down to the
//! bits of floats, and the columns come back from them as they were.

use super::batches::Chunk;
use super::changelog::{Caused, is_add_code, merge_caused, rows_of_worker, system_columns};
use super::error::DataflowError;
use super::exchange::Exchange;
use super::keys::{KeyEncoder, Keys};
use super::partitions::Partitions;
use crate::batch::{Batch, RowKind};
use crate::plan::{Changelog, NodeId, Plan};
use arrow_array::{ArrayRef, Int8Array, RecordBatch};
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::SchemaRef;
use state::{Key, KeyedMap, Store, Table, TableId};
use std::sync::Arc;

/// What stays the same over the life of such an operator.
#[derive(Debug)]
pub(crate) struct KeyedRowsSpec {
    keys: KeyEncoder,
    converter: RowConverter,
    /// What may leave the node.
    pub(crate) changelog: Changelog,
    /// State has a time to live: rows that did not change are emitted again, as Flink does, so that
    /// what stands behind does not forget them.
    pub(crate) forgets: bool,
    schema: SchemaRef,
}

/// A batch made ready for all workers.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) keys: Keys,
    pub(crate) rows: RecordBatch,
    pub(crate) encoded: Rows,
    /// Codes of row kinds; `None` when all rows come.
    kinds: Option<Int8Array>,
}

impl Prepared {
    pub(crate) fn adds(&self, row: usize) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| is_add_code(kinds.value(row)))
    }

    /// Whether it is the row before an update.
    pub(crate) fn is_before_update(&self, row: usize) -> bool {
        self.kinds.as_ref().is_some_and(|kinds| kinds.value(row) == RowKind::UpdateBefore as i8)
    }

    pub(crate) fn key(&self, row: usize) -> Key<'_> {
        Key { hash: self.keys.hash(row), bytes: self.keys.bytes(row) }
    }

    pub(crate) fn row(&self, row: usize) -> &[u8] {
        self.encoded.row(row).data()
    }
}

impl KeyedRowsSpec {
    fn prepare(&self, batch: Batch) -> Result<Prepared, DataflowError> {
        Ok(Prepared {
            keys: self.keys.encode(&batch.rows)?,
            encoded: self.converter.convert_columns(batch.rows.columns())?,
            kinds: batch.kinds,
            rows: batch.rows,
        })
    }

    /// Rows as columns again.
    pub(crate) fn decode<'a>(
        &self,
        rows: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>, DataflowError> {
        let parser = self.converter.parser();
        Ok(self.converter.convert_rows(rows.map(|row| parser.parse(row)))?)
    }
}

/// What one worker of an operator does in a step.
pub(crate) trait KeyedRows: Send + 'static {
    fn new(rows: KeyedMap) -> Self;

    fn table(&mut self) -> &mut KeyedMap;

    /// `own` names, chunk by chunk, the rows whose keys the worker owns; `first` is the number of a
    /// chunk's first row.
    fn step(
        &mut self,
        spec: &KeyedRowsSpec,
        chunks: &[OwnRows<'_>],
        clock_ms: i64,
    ) -> Result<Caused, DataflowError>;
}

/// A worker's rows of a chunk.
pub(crate) struct OwnRows<'a> {
    pub(crate) chunk: &'a Prepared,
    pub(crate) rows: Vec<u32>,
    /// The number of the chunk's first row in the step.
    pub(crate) first: u32,
}

/// An operator that keeps whole rows by key: a partition per worker.
pub(crate) struct KeyedRowsNode<P> {
    spec: Arc<KeyedRowsSpec>,
    partitions: Partitions<P>,
}

impl<P: KeyedRows> KeyedRowsNode<P> {
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        keys: &[usize],
        schema: &SchemaRef,
        workers: usize,
        store: &Store,
    ) -> Result<KeyedRowsNode<P>, DataflowError> {
        let type_of = |column: &usize| schema.field(*column).data_type().clone();
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        let spec = KeyedRowsSpec {
            keys: KeyEncoder::new(keys.to_vec(), keys.iter().map(type_of).collect())?,
            converter: RowConverter::new(fields.collect())?,
            changelog: plan.node(id).changelog,
            forgets: plan.ttl_ms(id, 0).is_some(),
            schema: schema.clone(),
        };
        let partition = |groups| {
            let table = TableId { owner: id.0 as u32, table: 0 };
            Ok(P::new(KeyedMap::new(store, table, groups, plan.ttl_ms(id, 0))?))
        };
        let partitions = Partitions::new(workers, partition)?;
        Ok(KeyedRowsNode { spec: Arc::new(spec), partitions })
    }

    pub(crate) fn tables(&mut self) -> Vec<&mut dyn Table> {
        self.partitions.iter_mut().map(|partition| partition.table() as &mut dyn Table).collect()
    }

    /// One step: the changes of the keys' rows, in canonical order.
    pub(crate) fn step(
        &mut self,
        exchange: &Exchange,
        chunks: Vec<Chunk>,
        clock_ms: i64,
    ) -> Result<Vec<Chunk>, DataflowError> {
        if chunks.is_empty() {
            return Ok(chunks);
        }
        let system = system_columns(&chunks)?;
        let spec = self.spec.clone();
        let prepared = exchange.map(chunks, move |chunk| spec.prepare(chunk.batch))?;
        let (spec, workers) = (self.spec.clone(), self.partitions.len());
        let step = move |worker: usize, partition: &mut P| {
            let mut first = 0;
            let own = prepared.iter().map(|chunk| {
                let count = chunk.rows.num_rows();
                let rows = rows_of_worker(&chunk.keys, count, worker, workers);
                first += count as u32;
                OwnRows { chunk, rows, first: first - count as u32 }
            });
            partition.step(&spec, &own.collect::<Vec<_>>(), clock_ms)
        };
        let parts = self.partitions.run(exchange, system.len(), step)?;
        let batch = merge_caused(&system, &self.spec.schema, parts)?;
        Ok(if batch.is_empty() { Vec::new() } else { vec![Chunk { read: 0, batch }] })
    }
}
