//! Aggregates OVER a frame of rows that ends at each row.
//!
//! 1. In the order of a time, rows wait until the watermark passes their time; then they are worked on in the order of
//!    their times, and of their arrival where those are equal. A frame without a begin drops rows that the watermark
//!    had passed when they came. A frame with one drops what is not later than the last row of its key that has left,
//!    and takes other late rows in: they leave when the watermark moves next. Both are as in Flink.
//! 2. In the order of their arrival (processing time), rows leave at once.
//! 3. Under a key lie its running sums, and those rows (only the columns that calls read) that a later row may still
//!    need: of a frame with a begin the rows in it, else those that some call still shows or counts. Sums go on from
//!    where they were, adding and subtracting in the order of the rows, so floats do not show where a step ends;
//!    everything else is built anew of the rows.
//! 4. What a key keeps for a RANGE of time is forgotten when the watermark has passed it by half as much again.
//! 5. In an order of other columns a row that comes or goes changes the results of those behind it (`sorted`): all rows
//!    are kept, and a step emits the difference between the results before and after it.

mod evaluate;
mod partition;
mod running;
mod shown;
mod sorted;
mod spec;
mod state_of_key;

use super::batches::{Chunk, merge_in_order};
use super::changelog::{Caused, merge_caused, system_columns};
use super::error::DataflowError;
use super::exchange::Exchange;
use super::late::{Judged, LateKeeper};
use super::operator::Flow;
use super::partitions::Partitions;
use super::track::Track;
use super::window_rows::{Arrivals, Place, arrivals};
use crate::batch::Batch;
use crate::plan::{NodeId, Plan};
use partition::Partition;
pub(crate) use shown::OverShown;
use sorted::Sorted;
pub(crate) use spec::over_supports;
use spec::{Order, OverSpec, Prepared};
use state::{Store, Table};
use std::sync::Arc;

/// The state of one OVER: a partition per worker.
pub(crate) struct OverNode {
    id: NodeId,
    spec: Arc<OverSpec>,
    parts: Parts,
}

enum Parts {
    Timed(Partitions<Partition>),
    Sorted(Partitions<Sorted>),
}

/// The rows of a step, made ready for all workers.
struct Ready {
    track: Arc<Track>,
    prepared: Vec<Prepared>,
    judged: Vec<Judged>,
}

/// What a worker gave.
pub(crate) enum Part {
    /// Rows that timers let go.
    Fired(Box<Batch>),
    /// Rows that left at once.
    Caused(Caused),
}

impl OverNode {
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        schemas: &[arrow_schema::SchemaRef],
        workers: usize,
        store: &Store,
    ) -> Result<OverNode, DataflowError> {
        let spec = Arc::new(OverSpec::new(plan, id, schemas)?);
        let parts = match spec.order {
            Order::Columns { .. } => Parts::Sorted(Partitions::new(workers, |groups| {
                Sorted::new(store, id, groups, plan.state_ttl_ms)
            })?),
            Order::Time { .. } | Order::Arrival => Parts::Timed(Partitions::new(workers, |groups| {
                Partition::new(store, id, groups, plan.state_ttl_ms)
            })?),
        };
        Ok(OverNode { id, spec, parts })
    }

    pub(crate) fn tables(&mut self) -> Vec<&mut dyn Table> {
        match &mut self.parts {
            Parts::Timed(parts) => parts.iter_mut().flat_map(Partition::tables).collect(),
            Parts::Sorted(parts) => parts.iter_mut().map(Sorted::table).collect(),
        }
    }

    /// When the next timer goes off.
    pub(crate) fn next_window_end(&self) -> Option<i64> {
        match &self.parts {
            Parts::Timed(parts) => parts.iter().filter_map(Partition::next_timer).min(),
            Parts::Sorted(_) => None,
        }
    }

    /// One step; answers what leaves, in canonical order, and how many rows were late.
    pub(crate) fn step(
        &mut self,
        exchange: &Exchange,
        input: Flow,
        (sequence, clock_ms): (u64, i64),
        keeper: &LateKeeper,
    ) -> Result<(Flow, u64), DataflowError> {
        let track = input.track.clone();
        if track.is_none() && input.chunks.is_empty() {
            return Ok((input, 0));
        }
        let system = system_columns(&input.chunks)?;
        let Ready { track: moved, prepared, judged } = self.prepare(exchange, input, sequence, keeper)?;
        let rows = system.len();
        let (spec, workers) = (self.spec.clone(), self.workers());
        let done: Vec<(Part, Vec<(u32, u32)>)> = match &mut self.parts {
            Parts::Timed(parts) => parts.run(exchange, rows, move |worker, partition| {
                partition.step(&spec, &prepared, &moved, (worker, workers), clock_ms)
            })?,
            Parts::Sorted(parts) => parts.run(exchange, rows, move |worker, partition| {
                let caused = partition.step(&spec, &prepared, (worker, workers), clock_ms)?;
                Ok((Part::Caused(caused), Vec::new()))
            })?,
        };
        let late = done.iter().flat_map(|(_, late)| late.iter().copied());
        let late_rows = keeper.take(self.id, &judged, late)?;
        let (mut fired, mut caused) = (Vec::new(), Vec::new());
        for (part, _) in done {
            match part {
                Part::Fired(batch) => fired.push(*batch),
                Part::Caused(part) => caused.push(part),
            }
        }
        let batches = match &self.spec.order {
            Order::Time { .. } => merge_in_order(&self.spec.schema, fired)?,
            Order::Arrival | Order::Columns { .. } => vec![merge_caused(&system, &self.spec.schema, caused)?],
        };
        let full = batches.into_iter().filter(|batch| !batch.is_empty());
        let chunks = full.map(|batch| Chunk { read: 0, batch }).collect();
        Ok((Flow { chunks, track }, late_rows))
    }

    fn workers(&self) -> usize {
        match &self.parts {
            Parts::Timed(parts) => parts.len(),
            Parts::Sorted(parts) => parts.len(),
        }
    }

    /// The rows with their places in the order of arrival. Where no watermark is declared none is needed.
    fn prepare(
        &self,
        exchange: &Exchange,
        mut input: Flow,
        sequence: u64,
        keeper: &LateKeeper,
    ) -> Result<Ready, DataflowError> {
        if input.track.is_none() {
            input.track = Some(Arc::new(Track::constant(i64::MIN)));
        }
        for chunk in &mut input.chunks {
            let rows = chunk.batch.len();
            let marks = &mut chunk.batch.watermarks;
            marks.get_or_insert_with(|| arrow_array::Int64Array::from_value(i64::MIN, rows));
        }
        let Arrivals { track, chunks } = arrivals(vec![input], sequence)?;
        let rows = chunks.iter().map(|(_, places, _)| places.len()).sum();
        let judged = match self.spec.order {
            Order::Time { column } => keeper.judged(chunks.iter().map(|(.., chunk)| &chunk.batch), column)?,
            _ => Vec::new(),
        };
        let mut first = 0;
        let task = |(_, places, chunk): (usize, Vec<Place>, Chunk)| {
            let spec = self.spec.clone();
            let number = first;
            first += places.len() as u32;
            move || spec.prepare(number, places, &chunk.batch)
        };
        let tasks = chunks.into_iter().map(task).collect();
        let prepared = exchange.run(tasks, rows)?.into_iter().collect::<Result<_, _>>()?;
        Ok(Ready { track, prepared, judged })
    }
}
