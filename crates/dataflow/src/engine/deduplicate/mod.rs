//! Deduplication of rows that only come, as a filter: rows pass as they are, in their order, or do not pass at all.
//!
//! The first row of each key passes, or every row that is not older than the rows of its key before it: each replaces the
//! one before, which is how the latest row of each key looks while rows come. What is kept of a key is no row but one byte
//! or one time. The earliest row by event time must wait for the watermark and is another operator (`earliest`).

mod earliest;

use super::batches::{Chunk, filter_batch};
use super::changelog::rows_of_worker;
use super::error::DataflowError;
use super::exchange::Exchange;
use super::join::only_inserts;
use super::keys::{KeyEncoder, Keys};
use super::late::LateKeeper;
use super::operator::Flow;
use super::partitions::Partitions;
use super::time::milliseconds;
use super::window::tie_prefix;
use crate::plan::{Keep, NodeId, NodeKind, Plan};
use arrow_array::BooleanArray;
use arrow_schema::SchemaRef;
use earliest::EarliestNode;
use state::{Key, KeyedMap, Store, Table, TableId};
use std::sync::Arc;

#[derive(Debug)]
struct Spec {
    keys: KeyEncoder,
    time_column: Option<usize>,
}

/// A batch made ready for all workers.
#[derive(Debug)]
struct Prepared {
    keys: Keys,
    rows: usize,
    times: Option<Vec<i64>>,
}

pub(crate) enum DeduplicateNode {
    Filter(FilterNode),
    Earliest(EarliestNode),
}

/// A partition per worker.
pub(crate) struct FilterNode {
    spec: Arc<Spec>,
    partitions: Partitions<Partition>,
}

/// What was seen of one worker's keys, under the empty sub key.
struct Partition {
    seen: KeyedMap,
}

impl DeduplicateNode {
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        schemas: &[SchemaRef],
        workers: usize,
        store: &Store,
    ) -> Result<DeduplicateNode, DataflowError> {
        let NodeKind::Deduplicate { keys, keep } = &plan.node(id).kind else {
            return Err(DataflowError::internal("the node deduplicates nothing"));
        };
        let time_column = match keep {
            Keep::First => None,
            Keep::NotOlderThan(time) => Some(*time),
            Keep::Earliest(time) => {
                let wanted = (keys.as_slice(), *time);
                let node = EarliestNode::new(plan, id, &schemas[id.0], wanted, workers, store)?;
                return Ok(DeduplicateNode::Earliest(node));
            }
        };
        let types = keys.iter().map(|key| schemas[id.0].field(*key).data_type().clone()).collect();
        let spec = Spec { keys: KeyEncoder::new(keys.clone(), types)?, time_column };
        let partition = |groups| {
            let table = TableId { owner: id.0 as u32, table: 0 };
            Ok(Partition { seen: KeyedMap::new(store, table, groups, plan.ttl_ms(id, 0))? })
        };
        let partitions = Partitions::new(workers, partition)?;
        Ok(DeduplicateNode::Filter(FilterNode { spec: Arc::new(spec), partitions }))
    }

    pub(crate) fn tables(&mut self) -> Vec<&mut dyn Table> {
        match self {
            DeduplicateNode::Filter(node) => node.tables(),
            DeduplicateNode::Earliest(node) => node.tables(),
        }
    }

    /// One step: the rows that pass, and how many were late.
    pub(crate) fn step(
        &mut self,
        exchange: &Exchange,
        Flow { chunks, track }: Flow,
        (sequence, clock_ms): (u64, i64),
        keeper: &LateKeeper,
    ) -> Result<(Flow, u64), DataflowError> {
        match self {
            DeduplicateNode::Filter(node) => {
                Ok((Flow { chunks: node.step(exchange, chunks, clock_ms)?, track }, 0))
            }
            DeduplicateNode::Earliest(node) => {
                node.step(exchange, Flow { chunks, track }, (sequence, clock_ms), keeper)
            }
        }
    }
}

impl FilterNode {
    fn tables(&mut self) -> Vec<&mut dyn Table> {
        self.partitions.iter_mut().map(|partition| &mut partition.seen as &mut dyn Table).collect()
    }

    fn step(
        &mut self,
        exchange: &Exchange,
        chunks: Vec<Chunk>,
        clock_ms: i64,
    ) -> Result<Vec<Chunk>, DataflowError> {
        if chunks.is_empty() {
            return Ok(chunks);
        }
        let spec = self.spec.clone();
        let prepared = exchange.map(chunks.clone(), move |chunk| spec.prepare(&chunk))?;
        let (rows, workers) = (prepared.iter().map(|chunk| chunk.rows).sum(), self.partitions.len());
        let passing = self.partitions.run(exchange, rows, move |worker, partition| {
            prepared.iter().map(|chunk| partition.step(chunk, (worker, workers), clock_ms)).collect()
        })?;
        let mut passed = Vec::new();
        for (index, chunk) in chunks.into_iter().enumerate() {
            let mut keep = vec![false; chunk.batch.len()];
            let rows = passing.iter().flat_map(|parts: &Vec<Vec<u32>>| &parts[index]);
            rows.for_each(|row| keep[*row as usize] = true);
            let batch = filter_batch(&chunk.batch, &BooleanArray::from(keep))?;
            if !batch.is_empty() {
                passed.push(Chunk { read: chunk.read, batch });
            }
        }
        Ok(passed)
    }
}

impl Spec {
    fn prepare(&self, chunk: &Chunk) -> Result<Prepared, DataflowError> {
        only_inserts(&chunk.batch)?;
        let times = match self.time_column {
            Some(column) => Some(milliseconds(&chunk.batch.rows, column)?.to_vec()),
            None => None,
        };
        Ok(Prepared { keys: self.keys.encode(&chunk.batch.rows)?, rows: chunk.batch.len(), times })
    }
}

impl Partition {
    /// The rows of a chunk that pass.
    fn step(
        &mut self,
        chunk: &Prepared,
        (worker, workers): (usize, usize),
        clock_ms: i64,
    ) -> Result<Vec<u32>, DataflowError> {
        let mut passing = Vec::new();
        for row in rows_of_worker(&chunk.keys, chunk.rows, worker, workers) {
            let at = row as usize;
            let key = Key { hash: chunk.keys.hash(at), bytes: chunk.keys.bytes(at) };
            let time = chunk.times.as_ref().map(|times| tie_prefix(times[at]));
            let blocks = |latest: &[u8]| time.is_none_or(|time| *latest > time[..]);
            let passes = self.seen.get_with(key, &[], clock_ms, blocks)? != Some(true);
            let note = time.unwrap_or_default();
            if passes {
                let note = if chunk.times.is_some() { &note[..] } else { &note[..1] };
                self.seen.put(key, &[], note, clock_ms)?;
                passing.push(row);
            }
        }
        Ok(passing)
    }
}
