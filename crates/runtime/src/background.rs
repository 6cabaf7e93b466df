//! Threads that work for a job beside its steps: the drivers of outboxes, the writer of direct sinks.
//!
//! When one of them fails or panics, the job is stopped at once, also if it would wait for input for ever, and the
//! first such error is the job's result: results that reach nobody must not look like a job that runs well.

use crate::error::RuntimeError;
use crate::job::{Wakeup, lock, panic_text, spawn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

pub(crate) struct Background {
    job: String,
    stop: Arc<AtomicBool>,
    wakeup: Arc<Wakeup>,
    failure: Arc<Mutex<Option<RuntimeError>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Background {
    /// For a job that ends when `stop` is set and looks at it whenever `wakeup` says so.
    pub(crate) fn new(job: &str, stop: &Arc<AtomicBool>, wakeup: &Arc<Wakeup>) -> Background {
        let (stop, wakeup) = (stop.clone(), wakeup.clone());
        Background { job: job.into(), stop, wakeup, failure: Arc::default(), threads: Vec::new() }
    }

    pub(crate) fn spawn(
        &mut self,
        part: &str,
        run: impl FnOnce() -> Result<(), RuntimeError> + Send + 'static,
    ) -> Result<(), RuntimeError> {
        let (job, failure) = (self.job.clone(), self.failure.clone());
        let (stop, wakeup) = (self.stop.clone(), self.wakeup.clone());
        let thread = spawn(&self.job, part, move || {
            let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
                Err(RuntimeError::Internal { job, reason: panic_text(panic.as_ref()) })
            });
            if let Err(error) = result {
                lock(&failure).get_or_insert(error);
                stop.store(true, Ordering::Release);
                wakeup.notify();
            }
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// Waits for the threads, which somebody has told to end; the first failure.
    pub(crate) fn join(self) -> Result<(), RuntimeError> {
        for thread in self.threads {
            // Panics were caught and are the failure.
            let _ = thread.join();
        }
        lock(&self.failure).take().map_or(Ok(()), Err)
    }
}
