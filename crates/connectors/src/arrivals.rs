//! What has come from outside by itself and waits to be polled: a queue that is bounded by bytes, between the threads that
//! hear and the feed.
//!
//! Who can wait does, so that the other side is held back by its connection or its pipe; who cannot is told that there is no
//! room.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What one thing takes besides its bytes.
const OVERHEAD_BYTES: usize = 128;

/// Something as it came, and why no record can be made of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Framed {
    pub bytes: Vec<u8>,
    pub problem: Option<String>,
}

pub(crate) struct Arrivals<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    bytes_max: usize,
}

struct State<T> {
    waiting: VecDeque<(T, usize)>,
    bytes: usize,
    lost: u64,
    /// One was taken and is being worked on.
    in_use: bool,
    is_closed: bool,
}

impl<T> Arrivals<T> {
    pub(crate) fn new(bytes_max: usize) -> Arc<Arrivals<T>> {
        let state = State { waiting: VecDeque::new(), bytes: 0, lost: 0, in_use: false, is_closed: false };
        Arc::new(Arrivals { state: Mutex::new(state), changed: Condvar::new(), bytes_max })
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing is left half done by a thread that panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room; false when nobody polls any more.
    pub(crate) fn push(&self, item: T, bytes: usize) -> bool {
        let is_full = |state: &mut State<T>| state.bytes >= self.bytes_max && !state.is_closed;
        let state = self.changed.wait_while(self.state(), is_full);
        self.put(state.unwrap_or_else(PoisonError::into_inner), item, bytes)
    }

    /// Waits for room for so long at most; false when there is none, or nobody takes anything any more.
    pub(crate) fn push_within(&self, item: T, bytes: usize, wait: Duration) -> bool {
        let is_full = |state: &mut State<T>| state.bytes >= self.bytes_max && !state.is_closed;
        let waited = self.changed.wait_timeout_while(self.state(), wait, is_full);
        let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out() && self.put(state, item, bytes)
    }

    /// Without room the item is lost, and counted.
    pub(crate) fn push_or_lose(&self, item: T, bytes: usize) -> bool {
        let mut state = self.state();
        if state.bytes >= self.bytes_max && !state.is_closed {
            state.lost += 1;
            return true;
        }
        self.put(state, item, bytes)
    }

    fn put(&self, mut state: MutexGuard<'_, State<T>>, item: T, bytes: usize) -> bool {
        if state.is_closed {
            return false;
        }
        let bytes = bytes + OVERHEAD_BYTES;
        state.bytes += bytes;
        state.waiting.push_back((item, bytes));
        self.changed.notify_all();
        true
    }

    /// The next, after waiting for it for so long at most.
    pub(crate) fn take(&self, wait: Duration) -> Option<T> {
        let is_empty = |state: &mut State<T>| state.waiting.is_empty() && !state.is_closed;
        let waited = self.changed.wait_timeout_while(self.state(), wait, is_empty);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let (item, bytes) = state.waiting.pop_front()?;
        state.bytes -= bytes;
        self.changed.notify_all();
        Some(item)
    }

    /// Waits for the next and works on it; false when it is closed, which work closes that does not go on.
    pub(crate) fn use_next(&self, work: impl FnOnce(&T) -> bool) -> bool {
        let is_empty = |state: &mut State<T>| state.waiting.is_empty() && !state.is_closed;
        let waited = self.changed.wait_while(self.state(), is_empty);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.is_closed {
            return false;
        }
        let Some((item, bytes)) = state.waiting.pop_front() else { return false };
        state.in_use = true;
        drop(state);
        let goes_on = work(&item);
        let mut state = self.state();
        state.in_use = false;
        state.bytes -= bytes;
        state.is_closed |= !goes_on;
        self.changed.notify_all();
        goes_on
    }

    /// Waits until all is worked on, or it is closed, for so long at most.
    pub(crate) fn wait_idle(&self, wait: Duration) -> bool {
        let is_busy = |state: &mut State<T>| (state.in_use || !state.waiting.is_empty()) && !state.is_closed;
        let waited = self.changed.wait_timeout_while(self.state(), wait, is_busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// How many found no room.
    pub(crate) fn lost(&self) -> u64 {
        self.state().lost
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// Nobody polls any more: those who wait for room go on.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_all();
    }

    /// Waits until it is closed, for so long at most.
    pub(crate) fn wait_closed(&self, wait: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), wait, |state| !state.is_closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn who_can_wait_waits_for_room_and_the_others_lose() {
        let arrivals = Arrivals::new(OVERHEAD_BYTES + 1);
        assert!(arrivals.push(1, 1) && arrivals.push_or_lose(2, 1));
        assert_eq!(arrivals.lost(), 1);
        let pusher = arrivals.clone();
        let thread = std::thread::spawn(move || pusher.push(3, 1) && pusher.push(4, 1));
        let taken: Vec<i32> = std::iter::from_fn(|| arrivals.take(LONG)).take(3).collect();
        assert_eq!(taken, [1, 3, 4]);
        assert!(thread.join().unwrap());
        assert_eq!(arrivals.take(Duration::ZERO), None);
    }

    #[test]
    fn what_is_worked_on_is_known_to_be_done() {
        let arrivals = Arrivals::new(1);
        assert!(arrivals.push_within(1, 1, LONG) && !arrivals.push_within(2, 1, Duration::ZERO));
        assert!(!arrivals.wait_idle(Duration::ZERO));
        assert!(arrivals.use_next(|item| *item == 1));
        assert!(arrivals.wait_idle(LONG) && arrivals.push_within(3, 1, LONG));
        // Work that does not go on is the end.
        assert!(!arrivals.use_next(|_| false));
        assert!(
            arrivals.wait_idle(LONG) && !arrivals.push_within(4, 1, LONG) && !arrivals.use_next(|_| true)
        );
    }

    #[test]
    fn nobody_waits_for_who_has_gone() {
        let arrivals = Arrivals::new(1);
        assert!(arrivals.push(1, 1));
        let pusher = arrivals.clone();
        let thread = std::thread::spawn(move || pusher.push(2, 1));
        arrivals.close();
        assert!(!thread.join().unwrap());
        assert!(!arrivals.push_or_lose(3, 1) && arrivals.is_closed() && arrivals.wait_closed(LONG));
        // What had come is there.
        assert_eq!((arrivals.take(LONG), arrivals.take(LONG)), (Some(1), None));
    }
}
