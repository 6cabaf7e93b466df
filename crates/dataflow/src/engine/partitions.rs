//! The parts of a keyed operator, one per worker: each owns a range of key groups and its tables.

use super::error::DataflowError;
use super::exchange::Exchange;
use std::ops::Range;
use std::sync::Arc;

pub(crate) struct Partitions<P> {
    parts: Vec<P>,
}

impl<P: Send + 'static> Partitions<P> {
    /// Makes a part for each worker from its key groups.
    pub(crate) fn new(
        workers: usize,
        make: impl Fn(Range<usize>) -> Result<P, DataflowError>,
    ) -> Result<Partitions<P>, DataflowError> {
        let part = |worker| make(state::groups_of_worker(worker, workers));
        Ok(Partitions { parts: (0..workers).map(part).collect::<Result<_, _>>()? })
    }

    /// The number of workers.
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &P> {
        self.parts.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut P> {
        self.parts.iter_mut()
    }

    /// Runs a step over `rows` rows on all parts, worker `n` on part `n`, where the exchange sees fit.
    /// The first error in the order of the workers is the answer; the parts are there again afterwards.
    pub(crate) fn run<T: Send + 'static>(
        &mut self,
        exchange: &Exchange,
        rows: usize,
        each: impl Fn(usize, &mut P) -> Result<T, DataflowError> + Send + Sync + 'static,
    ) -> Result<Vec<T>, DataflowError> {
        let each = Arc::new(each);
        let tasks = std::mem::take(&mut self.parts).into_iter().enumerate().map(|(worker, mut part)| {
            let each = each.clone();
            move || {
                let result = each(worker, &mut part);
                (part, result)
            }
        });
        let done = exchange.run(tasks.collect(), rows)?;
        let (kept, results): (Vec<P>, Vec<_>) = done.into_iter().unzip();
        self.parts = kept;
        results.into_iter().collect()
    }
}
