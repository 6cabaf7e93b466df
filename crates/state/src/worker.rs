//! A thread for work that the steps do not wait for. A store has two: one writes runs and snapshots, in order, and one
//! merges runs, which may take minutes.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

pub(crate) type Task = Box<dyn FnOnce() + Send>;

/// Runs tasks one after the other: on its thread, or at once in the caller.
pub(crate) struct Worker {
    thread: Option<(Sender<Task>, JoinHandle<()>)>,
    open: Arc<Open>,
}

/// How many tasks have not ended.
#[derive(Default)]
struct Open {
    tasks: Mutex<usize>,
    changed: Condvar,
}

impl Worker {
    /// Without `background`, or when the system gives no thread, tasks run in the caller.
    pub(crate) fn new(name: &str, background: bool) -> Worker {
        let open = Arc::new(Open::default());
        if !background {
            return Worker { thread: None, open };
        }
        let (sender, receiver) = channel();
        let ended = open.clone();
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || run(&receiver, &ended)).ok();
        Worker { thread: thread.map(|thread| (sender, thread)), open }
    }

    pub(crate) fn submit(&self, task: Task) {
        let Some((sender, _)) = &self.thread else { return task() };
        *self.open.tasks.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        if let Err(refused) = sender.send(task) {
            // The thread is gone; the work is not.
            (refused.0)();
            self.open.end();
        }
    }

    pub(crate) fn wait_idle(&self) {
        let tasks = self.open.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.open.changed.wait_while(tasks, |tasks| *tasks > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Open {
    fn end(&self) {
        *self.tasks.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.changed.notify_all();
    }
}

fn run(tasks: &Receiver<Task>, open: &Open) {
    while let Ok(task) = tasks.recv() {
        // A task tells its own outcome; one that panics leaves it untold, which its reader notices.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(task));
        open.end();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.thread.take() {
            drop(sender);
            let _ = thread.join();
        }
    }
}
