//! Those who wait until there is memory for their answers, one after the other.

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
