//! Where the work of an operator runs: here, or on all workers.
//!
//! A hand-off to threads costs more than a few thousand rows do, so small steps stay on the caller.
//! Either way the results stand in the order of the input.

use super::batches::Chunk;
use super::error::DataflowError;
use super::pool::{Pool, Task};
use super::stateless::cut;
use std::sync::Arc;

pub(crate) struct Exchange {
    pool: Pool,
    workers: usize,
    parallel_rows_min: usize,
}

impl Exchange {
    pub(crate) fn new(workers: usize, parallel_rows_min: usize) -> Result<Exchange, DataflowError> {
        Ok(Exchange { pool: Pool::new(workers)?, workers, parallel_rows_min: parallel_rows_min.max(1) })
    }

    /// Cuts what a scan read into pieces for the workers.
    pub(crate) fn spread(&self, chunk: Chunk) -> Vec<Chunk> {
        cut(chunk, self.workers, self.parallel_rows_min)
    }

    /// Runs tasks that together work on `rows` rows.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        tasks: Vec<impl FnOnce() -> T + Send + 'static>,
        rows: usize,
    ) -> Result<Vec<T>, DataflowError> {
        if self.workers == 1 || tasks.len() < 2 || rows < self.parallel_rows_min {
            return Ok(tasks.into_iter().map(|task| task()).collect());
        }
        self.pool.run(tasks.into_iter().map(|task| Box::new(task) as Task<T>).collect())
    }

    /// Applies a function to every chunk; the first error in the order of the chunks is the answer.
    pub(crate) fn map<T: Send + 'static>(
        &self,
        chunks: Vec<Chunk>,
        each: impl Fn(Chunk) -> Result<T, DataflowError> + Send + Sync + 'static,
    ) -> Result<Vec<T>, DataflowError> {
        let rows = chunks.iter().map(|chunk| chunk.batch.len()).sum();
        let each = Arc::new(each);
        let task = |chunk: Chunk| {
            let each = each.clone();
            move || each(chunk)
        };
        self.run(chunks.into_iter().map(task).collect(), rows)?.into_iter().collect()
    }
}
