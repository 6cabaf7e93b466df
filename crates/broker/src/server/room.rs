//! Those who wait until there is memory for their requests or answers, one after the other.

use crate::budget::{Budget, Room};
use std::sync::Arc;
use tokio::sync::{Mutex, Notify};

#[derive(Default)]
pub(super) struct Queue {
    /// Held by who is next; others wait for it in the order in which they came.
    next: Mutex<()>,
    freed: Notify,
}

impl Queue {
    /// Waits for its turn, and then until it is so.
    pub(super) async fn until(&self, is_so: impl Fn() -> bool) {
        let _next = self.next.lock().await;
        while !is_so() {
            // Keeps what was freed since it was last woken.
            self.freed.notified().await;
        }
    }

    /// It may be so now.
    pub(super) fn freed(&self) {
        self.freed.notify_one();
    }
}

/// The memory for the requests of all connections, and those who wait for a part of it.
pub(super) struct Requests {
    bytes: Arc<Budget>,
    queue: Queue,
}

impl Requests {
    pub(super) fn new(bytes: Arc<Budget>) -> Arc<Requests> {
        let requests = Arc::new(Requests { bytes, queue: Queue::default() });
        let waiting = Arc::downgrade(&requests);
        requests.bytes.watch(move || {
            if let Some(requests) = waiting.upgrade() {
                requests.queue.freed();
            }
        });
        requests
    }

    /// Room for a request, once there is.
    pub(super) async fn take(&self, bytes: usize) -> Room {
        loop {
            if let Some(room) = self.bytes.take(bytes) {
                return room;
            }
            self.queue.until(|| self.bytes.has_room(bytes)).await;
        }
    }
}
