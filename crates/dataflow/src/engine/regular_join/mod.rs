//! The regular join: pairs of rows of two changelogs, both of which are kept.
//!
//! 1. Each side is a table of the state: under the join key a multiset of whole rows, as `arrow-row`
//!    bytes, with the number of times that a row is there. Where rows leave without a match (LEFT, RIGHT, FULL, ANTI) or
//!    because of one (SEMI), they also have the number of rows that match them.
//! 2. Both inputs of a step are numbered as one. A worker goes through the rows of its keys in this
//!    order: a row meets the other side as it is at the row's place in the order. The rows of the
//!    other side come in the order of their bytes, so that neither the cut into steps nor the place
//!    where state lies shows in the output.
//! 3. The work is done in three passes over a step, so that values are touched by columns only: find
//!    the candidates of each row; decide the residual condition for all of them; emit, and count the
//!    matches. What the step changed is written once per row at the end.
//!
//! Kinds: what an INNER JOIN emits has the kind of the row that came in, as in Flink; where readers
//! know updates by their key only, -U becomes -D, because nothing says that the pair comes back. The
//! others emit +I and -D only, as Flink does: a padded row goes when the first match comes, and
//! comes back when the last one goes; SEMI shows a row with its first match and ANTI without any.
//!
//! Rows with a NULL in the key match nothing and are not kept: what shows them (padded, or by ANTI)
//! takes them back without looking. Where state is forgotten, a row that goes takes its pairs along
//! although it was forgotten itself, as in Flink; otherwise a row that goes without being there is
//! dropped.

mod partition;
mod rows;
mod spec;

use super::batches::Chunk;
use super::changelog::{merge_caused, number_both, system_columns};
use super::error::DataflowError;
use super::exchange::Exchange;
use super::operator::Flow;
use super::partitions::Partitions;
use super::track::Track;
use crate::batch::Batch;
use crate::plan::{NodeId, Plan};
use arrow_array::Int64Array;
use arrow_schema::SchemaRef;
use partition::{Partition, StepRows};
use spec::{LEFT, RIGHT, RegularJoinSpec};
use state::{Store, Table};
use std::sync::Arc;

/// The state of one join: a partition per worker.
pub(crate) struct RegularJoinNode {
    spec: Arc<RegularJoinSpec>,
    partitions: Partitions<Partition>,
}

impl RegularJoinNode {
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        schemas: &[SchemaRef],
        workers: usize,
        store: &Store,
    ) -> Result<RegularJoinNode, DataflowError> {
        let spec = RegularJoinSpec::new(plan, id, schemas)?;
        let ttls_ms = [LEFT, RIGHT].map(|side| plan.ttl_ms(id, side));
        let partition = |groups| Partition::new(store, id, groups, ttls_ms);
        let partitions = Partitions::new(workers, partition)?;
        Ok(RegularJoinNode { spec: Arc::new(spec), partitions })
    }

    pub(crate) fn tables(&mut self) -> Vec<&mut dyn Table> {
        self.partitions.iter_mut().flat_map(Partition::tables).collect()
    }

    /// One step: the pairs that come and go, in canonical order.
    pub(crate) fn step(
        &mut self,
        exchange: &Exchange,
        left: Flow,
        right: Flow,
        clock_ms: i64,
    ) -> Result<Flow, DataflowError> {
        let track = combined(&left.track, &right.track);
        if left.chunks.is_empty() && right.chunks.is_empty() {
            return Ok(Flow { chunks: Vec::new(), track });
        }
        let (left_system, right_system) = (system_columns(&left.chunks)?, system_columns(&right.chunks)?);
        let left_rows = left_system.len();
        let numbered = number_both(&left_system, &right_system)?;
        let tracks = [&left.track, &right.track];
        let watermarks = match &track {
            Some(_) => watermarks(&numbered.system, &numbered.places, left_rows, tracks),
            None => None,
        };
        let system = Batch { watermarks, ..numbered.system };
        let sides = std::iter::repeat_n(0, left.chunks.len()).chain(std::iter::repeat(1));
        let chunks: Vec<(usize, Chunk)> = sides.zip(left.chunks.into_iter().chain(right.chunks)).collect();
        let prepared = self.prepare(exchange, chunks)?;
        let rows = StepRows::new(prepared, &numbered.places, system.clone());
        let (spec, workers) = (self.spec.clone(), self.partitions.len());
        let parts = self.partitions.run(exchange, system.len(), move |worker, partition| {
            partition.step(&spec, &rows, (worker, workers), clock_ms)
        })?;
        let batch = merge_caused(&system, &self.spec.schema, parts)?;
        let chunks = if batch.is_empty() { Vec::new() } else { vec![Chunk { read: 0, batch }] };
        Ok(Flow { chunks, track })
    }

    fn prepare(
        &self,
        exchange: &Exchange,
        chunks: Vec<(usize, Chunk)>,
    ) -> Result<Vec<spec::Prepared>, DataflowError> {
        let rows = chunks.iter().map(|(_, chunk)| chunk.batch.len()).sum();
        let task = |(side, chunk): (usize, Chunk)| {
            let spec = self.spec.clone();
            move || spec.prepare(side, &chunk.batch)
        };
        exchange.run(chunks.into_iter().map(task).collect(), rows)?.into_iter().collect()
    }
}

/// The watermark of the pairs: the minimum of both sides, if both have one.
fn combined(left: &Option<Arc<Track>>, right: &Option<Arc<Track>>) -> Option<Arc<Track>> {
    let (left, right) = (left.as_ref()?, right.as_ref()?);
    if Arc::ptr_eq(left, right) {
        return Some(left.clone());
    }
    Some(Arc::new(Track::minimum(&[left.clone(), right.clone()])))
}

/// Before each row: its own watermark, or what the other side had there if that is less.
fn watermarks(
    system: &Batch,
    places: &[u32],
    left_rows: usize,
    tracks: [&Option<Arc<Track>>; 2],
) -> Option<Int64Array> {
    let own = system.watermarks.as_ref()?;
    let rows = system.ordinals.values().iter().zip(own.values()).zip(places);
    let before = rows.map(|((ordinal, own), place)| {
        let other = if (*place as usize) < left_rows { tracks[1] } else { tracks[0] };
        other.as_ref().map_or(*own, |other| other.before(*ordinal).min(*own))
    });
    Some(Int64Array::from_iter_values(before))
}
