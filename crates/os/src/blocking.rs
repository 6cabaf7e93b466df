//! Work that may take long, on threads that others depend on.
//!
//! A worker of an asynchronous server serves many connections; while it waits for the disk or for a lock, none of them
//! is served. So a worker says at its start how its other work is handed off, and whoever may block says so where it
//! happens: the code in between stays synchronous, and what does not block costs nothing. On all other threads the
//! work is simply done.

use std::cell::Cell;

/// Has the thread's other work done elsewhere, and runs what it is given here. For tokio: `block_in_place`.
pub type HandOff = fn(&mut dyn FnMut());

thread_local! {
    static HAND_OFF: Cell<Option<HandOff>> = const { Cell::new(None) };
}

/// Called once by a thread that others depend on.
pub fn serves_others(hand_off: HandOff) {
    HAND_OFF.set(Some(hand_off));
}

/// Whether others depend on this thread.
pub fn is_worker() -> bool {
    HAND_OFF.get().is_some()
}

/// Does what may take long.
pub fn may_block<R>(work: impl FnOnce() -> R) -> R {
    let Some(hand_off) = HAND_OFF.get() else { return work() };
    let mut work = Some(work);
    let mut result = None;
    hand_off(&mut || {
        if let Some(work) = work.take() {
            result = Some(work());
        }
    });
    match (result, work) {
        (Some(result), _) => result,
        (None, Some(work)) => work(),
        (None, None) => unreachable!("work that was taken has a result"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static HANDED_OFF: Cell<u32> = const { Cell::new(0) };
    }

    #[test]
    fn a_worker_hands_off_and_others_just_work() {
        assert_eq!(may_block(|| 1), 1);
        assert_eq!(HANDED_OFF.get(), 0);
        serves_others(|work| {
            HANDED_OFF.set(HANDED_OFF.get() + 1);
            work();
        });
        assert_eq!((may_block(|| 2), is_worker()), (2, true));
        assert_eq!(HANDED_OFF.get(), 1);
    }

    #[test]
    fn work_that_is_not_taken_is_done_all_the_same() {
        serves_others(|_| {});
        assert_eq!(may_block(|| 3), 3);
    }
}
