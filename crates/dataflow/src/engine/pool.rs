//! Threads that run the parts of a step beside the caller.
//!
//! Tasks own what they work on and give it back as their result, so nothing is shared but immutable
//! arrays. Task `n` always runs on the same thread, and results come back in the order of the tasks:
//! which of them ends first is not visible. A panic in a task becomes an error.

use super::error::DataflowError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

type Job = Box<dyn FnOnce() + Send>;

/// A task of [`Pool::run`].
pub(crate) type Task<T> = Box<dyn FnOnce() -> T + Send>;

struct Thread {
    jobs: Option<Sender<Job>>,
    handle: Option<JoinHandle<()>>,
}

/// `workers - 1` threads; the caller is the remaining worker.
pub(crate) struct Pool {
    threads: Vec<Thread>,
}

impl Pool {
    pub(crate) fn new(workers: usize) -> Result<Pool, DataflowError> {
        let start = |number: usize| {
            let (jobs, inbox) = channel::<Job>();
            let work = move || inbox.into_iter().for_each(|job| job());
            let handle = std::thread::Builder::new().name(format!("worker-{number}")).spawn(work);
            let handle = handle.map_err(|error| {
                DataflowError::new(
                    base::ErrorKind::Unavailable,
                    format!("cannot start a worker thread: {error}"),
                )
            })?;
            Ok(Thread { jobs: Some(jobs), handle: Some(handle) })
        };
        Ok(Pool { threads: (1..workers).map(start).collect::<Result<_, DataflowError>>()? })
    }

    /// Runs all tasks and answers their results in order.
    pub(crate) fn run<T: Send + 'static>(&self, tasks: Vec<Task<T>>) -> Result<Vec<T>, DataflowError> {
        let workers = self.threads.len() + 1;
        let (sender, results) = channel::<(usize, Option<T>)>();
        let mut slots: Vec<Option<T>> = Vec::with_capacity(tasks.len());
        let mut own = Vec::new();
        let mut handed_out = 0;
        for (index, task) in tasks.into_iter().enumerate() {
            slots.push(None);
            let Some(thread) = (index % workers).checked_sub(1).map(|number| &self.threads[number]) else {
                own.push((index, task));
                continue;
            };
            let sender = sender.clone();
            let job: Job = Box::new(move || {
                let result = catch_unwind(AssertUnwindSafe(task)).ok();
                let _ = sender.send((index, result));
            });
            handed_out += 1;
            if thread.jobs.as_ref().is_none_or(|jobs| jobs.send(job).is_err()) {
                return Err(DataflowError::internal("a worker thread has ended"));
            }
        }
        drop(sender);
        for (index, task) in own {
            slots[index] = catch_unwind(AssertUnwindSafe(task)).ok();
        }
        for (index, result) in results.into_iter().take(handed_out) {
            slots[index] = result;
        }
        let complete: Option<Vec<T>> = slots.into_iter().collect();
        complete.ok_or_else(|| DataflowError::internal("a worker panicked; please report this as a bug"))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for thread in &mut self.threads {
            thread.jobs = None;
        }
        for thread in &mut self.threads {
            if let Some(handle) = thread.handle.take() {
                let _ = handle.join();
            }
        }
    }
}
