//! Work that may wait for the disk, done beside the server's thread.
//!
//! A thread that has begun goes on with what has come meanwhile, and there is another one, up to a number of them,
//! whenever all are at work: what is small does not wait for what is large.

use hyper::StatusCode;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Threads that work at once.
const THREADS_MAX: usize = 4;
/// Pieces of work that wait for a thread; who comes then is told to come again.
const WAITING_MAX: usize = 1024;

type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(crate) struct Desk(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    threads: usize,
    /// Threads that have taken a piece of work.
    busy: usize,
}

/// Why work has come to nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum NotDone {
    /// Too much waits.
    Full,
    Panicked,
}

impl NotDone {
    /// What its client is told.
    pub(crate) fn told(self) -> (StatusCode, &'static str) {
        match self {
            NotDone::Full => {
                (StatusCode::TOO_MANY_REQUESTS, "too many requests wait for their turn; send this again")
            }
            NotDone::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, "the request failed"),
        }
    }
}

impl Desk {
    /// What the work comes to. It is left out if nobody waits for it any more when its turn comes.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let (sender, answer) = oneshot::channel();
        let work: Work = Box::new(move || {
            if !sender.is_closed() {
                // Its client may go meanwhile.
                let _ = sender.send(work());
            }
        });
        if self.wants_thread_for(work)? {
            let desk = self.clone();
            tokio::task::spawn_blocking(move || desk.work());
        }
        answer.await.map_err(|_| NotDone::Panicked)
    }

    /// Takes the work in; whether a thread is to begin.
    fn wants_thread_for(&self, work: Work) -> Result<bool, NotDone> {
        let mut state = self.state();
        if state.waiting.len() >= WAITING_MAX {
            return Err(NotDone::Full);
        }
        state.waiting.push_back(work);
        // Those that are not busy are about to look for work.
        let wants_thread = state.threads < THREADS_MAX && state.waiting.len() > state.threads - state.busy;
        state.threads += usize::from(wants_thread);
        Ok(wants_thread)
    }

    fn work(&self) {
        loop {
            let mut state = self.state();
            let Some(work) = state.waiting.pop_front() else {
                state.threads -= 1;
                return;
            };
            state.busy += 1;
            drop(state);
            // The panic has been printed, and its client is told.
            let _ = catch_unwind(AssertUnwindSafe(work));
            self.state().busy -= 1;
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
            let expected = if number == 7 { Err(NotDone::Panicked) } else { Ok(number) };
            assert_eq!(one.await.unwrap(), expected);
        }
        // The first thread was held up all the time, and the others went on.
        together.wait();
        assert!(first.await.unwrap().is_ok());
        assert!((2..=THREADS_MAX).contains(&most.load(Ordering::Relaxed)));
    }

    /// Both are at work together, or neither ever ends.
    #[tokio::test]
    async fn small_work_does_not_wait_behind_other_work() {
        let (desk, together) = (Arc::new(Desk::default()), Arc::new(Barrier::new(THREADS_MAX)));
        let all: Vec<_> = (0..THREADS_MAX)
            .map(|_| {
                let (desk, together) = (desk.clone(), together.clone());
                tokio::spawn(async move { desk.run(move || together.wait().is_leader()).await })
            })
            .collect();
        let mut leaders = 0;
        for one in all {
            leaders += usize::from(one.await.unwrap().unwrap());
        }
        assert_eq!(leaders, 1);
    }

    #[tokio::test]
    async fn what_waits_is_bounded_and_left_out_when_its_client_has_gone() {
        let (desk, held) = (Arc::new(Desk::default()), Arc::new(Barrier::new(THREADS_MAX + 1)));
        let held_up: Vec<_> = (0..THREADS_MAX)
            .map(|_| {
                let (desk, held) = (desk.clone(), held.clone());
                tokio::spawn(async move { desk.run(move || held.wait().is_leader()).await })
            })
            .collect();
        while desk.state().busy < THREADS_MAX {
            tokio::task::yield_now().await;
        }
        let done = Arc::new(AtomicUsize::new(0));
        let waiting: Vec<_> = (0..WAITING_MAX)
            .map(|_| {
                let (desk, done) = (desk.clone(), done.clone());
                tokio::spawn(async move { desk.run(move || done.fetch_add(1, Ordering::Relaxed)).await })
            })
            .collect();
        while desk.state().waiting.len() < WAITING_MAX {
            tokio::task::yield_now().await;
        }
        assert_eq!(desk.run(|| ()).await, Err(NotDone::Full));
        for one in &waiting[10..] {
            one.abort();
        }
        let mut gone = 0;
        for one in waiting.into_iter().skip(10) {
            gone += usize::from(one.await.is_err());
        }
        assert_eq!(gone, WAITING_MAX - 10);
        held.wait();
        for one in held_up {
            one.await.unwrap().unwrap();
        }
        while desk.state().threads > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(done.load(Ordering::Relaxed), 10);
    }

    #[tokio::test]
    async fn threads_go_when_there_is_no_work() {
        let desk = Arc::new(Desk::default());
        for number in 0..100 {
            assert_eq!(desk.run(move || number).await, Ok(number));
        }
        while desk.state().threads > 0 {
            tokio::task::yield_now().await;
        }
    }
}
