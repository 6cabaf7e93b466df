//! Work that may wait for the disk, done beside the server's thread.
//!
//! A thread that has begun goes on with what has come meanwhile: many small requests wake one thread once, and a few
//! large ones have several.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Threads that work at once.
const THREADS_MAX: usize = 4;
/// So many pieces of work may wait for each thread before there is another one.
const WAITING_EACH: usize = 16;

type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(crate) struct Desk(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    threads: usize,
}

impl Desk {
    /// What the work comes to; none if it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        let work: Work = Box::new(move || {
            // Nobody waits any more if the client has gone.
            let _ = sender.send(work());
        });
        if self.wants_thread_for(work) {
            let desk = self.clone();
            tokio::task::spawn_blocking(move || desk.work());
        }
        answer.await.ok()
    }

    /// Takes the work in; whether a thread is to begin.
    fn wants_thread_for(&self, work: Work) -> bool {
        let mut state = self.state();
        state.waiting.push_back(work);
        let wants_thread = state.threads < THREADS_MAX && state.waiting.len() > state.threads * WAITING_EACH;
        state.threads += usize::from(wants_thread);
        wants_thread
    }

    fn work(&self) {
        loop {
            let mut state = self.state();
            let Some(work) = state.waiting.pop_front() else {
                state.threads -= 1;
                return;
            };
            drop(state);
            // The panic has been printed, and its client is told.
            let _ = catch_unwind(AssertUnwindSafe(work));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn all_work_is_done_by_few_threads_and_a_panic_harms_nobody() {
        let (desk, most) = (Arc::new(Desk::default()), Arc::new(AtomicUsize::new(0)));
        let together = Arc::new(Barrier::new(2));
        let first = {
            let (desk, together) = (desk.clone(), together.clone());
            tokio::spawn(async move { desk.run(move || together.wait().is_leader()).await })
        };
        let all: Vec<_> = (0..500usize)
            .map(|number| {
                let (desk, most, inner) = (desk.clone(), most.clone(), desk.clone());
                tokio::spawn(async move {
                    let work = move || {
                        most.fetch_max(inner.state().threads, Ordering::Relaxed);
                        assert!(number != 7, "a panic on purpose");
                        number
                    };
                    desk.run(work).await
                })
            })
            .collect();
        for (number, one) in all.into_iter().enumerate() {
            assert_eq!(one.await.unwrap(), (number != 7).then_some(number));
        }
        // The first thread was held up all the time, and the others went on.
        together.wait();
        assert!(first.await.unwrap().is_some());
        assert!((2..=THREADS_MAX).contains(&most.load(Ordering::Relaxed)));
    }

    #[tokio::test]
    async fn threads_go_when_there_is_no_work() {
        let desk = Arc::new(Desk::default());
        for number in 0..100 {
            assert_eq!(desk.run(move || number).await, Some(number));
        }
        while desk.state().threads > 0 {
            tokio::task::yield_now().await;
        }
    }
}
