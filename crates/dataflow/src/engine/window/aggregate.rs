//! The windowed aggregate as an operator: prepares chunks, hands keys to workers, merges what they emit.

use super::super::batches::{Chunk, merge_in_order};
use super::super::error::DataflowError;
use super::super::exchange::Exchange;
use super::super::join::only_inserts;
use super::super::late::LateKeeper;
use super::super::partitions::Partitions;
use super::super::time::{passed_times, wall_clock};
use super::super::track::Track;
use super::accumulators::Accumulators;
use super::partition::{AggregateSpec, Emitted, Partition, Prepared, Share};
use crate::batch::Batch;
use crate::plan::NodeId;
use state::{KeyedWindows, Store, Table, TableId};
use std::sync::Arc;

/// The state of one windowed aggregate: a partition per worker.
pub(crate) struct AggregateNode {
    id: NodeId,
    spec: Arc<AggregateSpec>,
    partitions: Partitions<Partition>,
}

impl AggregateNode {
    pub(crate) fn new(
        spec: AggregateSpec,
        store: &Store,
        table: TableId,
        workers: usize,
    ) -> Result<AggregateNode, DataflowError> {
        let spec = Arc::new(spec);
        let partition = |groups| {
            KeyedWindows::new(store, table, groups, Accumulators::new(spec.aggregates.clone()))
                .map(Partition::new)
        };
        let partitions = Partitions::new(workers, partition)?;
        Ok(AggregateNode { id: NodeId(table.owner as usize), spec, partitions })
    }

    pub(crate) fn tables(&mut self) -> Vec<&mut dyn Table> {
        self.partitions.iter_mut().map(Partition::table).collect()
    }

    pub(crate) fn next_window_end(&self, fired: i64) -> Option<i64> {
        let ends =
            self.partitions.iter().filter_map(|partition| partition.next_window_end(&self.spec, fired));
        ends.min()
    }

    /// One step; answers what was fired, in canonical order, and how many rows were late.
    pub(crate) fn step(
        &mut self,
        exchange: &Exchange,
        chunks: Vec<Chunk>,
        track: &Arc<Track>,
        sequence: u64,
        keeper: &LateKeeper,
    ) -> Result<(Vec<Chunk>, u64), DataflowError> {
        let rows: usize = chunks.iter().map(|chunk| chunk.batch.len()).sum();
        let batches = chunks.iter().map(|chunk| &chunk.batch);
        let judged = keeper.judged(batches, self.spec.window.time_column)?;
        let spec = self.spec.clone();
        let prepared = exchange.map(chunks, move |chunk| prepare(&spec, &chunk.batch))?;
        let (spec, track, workers) =
            (self.spec.clone(), track.on_clock(self.spec.window.zone), self.partitions.len());
        let done = self.partitions.run(exchange, rows, move |worker, partition| {
            partition.step(&spec, &prepared, &track, sequence, Share { worker, workers })
        })?;
        let mut all = Emitted::default();
        for emitted in done {
            all.batches.extend(emitted.batches);
            all.late.extend(emitted.late);
        }
        let late_rows = keeper.take(self.id, &judged, all.late.into_iter())?;
        let merged = merge_in_order(&self.spec.schema, all.batches)?;
        Ok((merged.into_iter().map(|batch| Chunk { read: 0, batch }).collect(), late_rows))
    }
}

/// Everything about a batch that needs no state.
fn prepare(spec: &AggregateSpec, batch: &Batch) -> Result<Prepared, DataflowError> {
    only_inserts(batch)?;
    let times = wall_clock(&batch.rows, spec.window.time_column, spec.window.zone)?;
    // No time lies in the slice that ends here.
    let mut last = i64::MIN / 2;
    let slice_ends = times.iter().map(|time| {
        // Neighbours mostly share a slice, and a division costs more than two comparisons.
        if *time >= last || *time < last - spec.window.slide_ms {
            last = spec.window.slice_end(*time);
        }
        last
    });
    let slice_ends = slice_ends.collect();
    let watermarks = batch.watermarks.clone();
    let watermarks = watermarks.ok_or_else(|| DataflowError::internal("rows without a watermark"))?;
    Ok(Prepared {
        keys: spec.keys.encode(&batch.rows)?,
        slice_ends,
        watermarks: passed_times(watermarks, spec.window.zone),
        ordinals: batch.ordinals.values().clone(),
        arguments: spec
            .aggregates
            .iter()
            .map(|call| call.argument_of(&batch.rows))
            .collect::<Result<_, _>>()?,
    })
}
