//! Cancels what a session is doing: from another connection with its secret, by a time-out, or because the node stops.

use crate::error::{Code, PgError};
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Of one session.
#[derive(Debug, Default)]
pub struct Interrupt {
    is_asked_for: AtomicBool,
    notify: Notify,
}

impl Interrupt {
    pub fn ask(&self) {
        self.is_asked_for.store(true, Ordering::SeqCst);
        self.notify.notify_waiters();
    }

    /// A statement begins: what was asked for before is not about it.
    pub(super) fn clear(&self) {
        self.is_asked_for.store(false, Ordering::SeqCst);
    }

    async fn asked(&self) {
        loop {
            let notified = self.notify.notified();
            let mut notified = std::pin::pin!(notified);
            notified.as_mut().enable();
            if self.is_asked_for.load(Ordering::SeqCst) {
                return;
            }
            notified.await;
        }
    }

    /// What the work comes to, unless somebody cancels it or its time is over.
    pub(super) async fn guard<T>(
        &self,
        deadline: Option<Instant>,
        work: impl Future<Output = Result<T, PgError>>,
    ) -> Result<T, PgError> {
        let is_over = async {
            match deadline {
                // A busy thread's timer may lag behind.
                Some(deadline) if deadline <= Instant::now() => {}
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.asked() => {
                Err(PgError::new(Code::QUERY_CANCELED, "canceling statement due to user request"))
            }
            // Before the work: that of a stream is ready each time it is asked.
            () = is_over => {
                let error = PgError::new(Code::QUERY_CANCELED, "canceling statement due to statement timeout");
                Err(error.hint("SET statement_timeout allows more time; a narrower range of offsets or times needs less"))
            }
            done = work => done,
        }
    }
}

pub(super) fn deadline_after(ms: u64) -> Option<Instant> {
    (ms > 0).then(|| Instant::now() + Duration::from_millis(ms))
}

/// The sessions that can be cancelled, by process number and secret.
#[derive(Debug, Default)]
pub struct Sessions {
    next: AtomicU32,
    known: Mutex<HashMap<u32, (u32, Arc<Interrupt>)>>,
}

impl Sessions {
    /// A process number for a session with this secret.
    pub(super) fn enter(&self, secret: u32, interrupt: Arc<Interrupt>) -> u32 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // Positive: clients show it as a signed number.
            let process = (self.next.fetch_add(1, Ordering::Relaxed) & 0x7fff_ffff).max(1);
            if let std::collections::hash_map::Entry::Vacant(free) = known.entry(process) {
                free.insert((secret, interrupt));
                return process;
            }
        }
    }

    pub(super) fn leave(&self, process: u32) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&process);
    }

    /// Cancels if the secret is right; whoever asks is told nothing.
    pub fn cancel(&self, process: u32, secret: u32) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((own, interrupt)) = known.get(&process)
            && *own == secret
        {
            interrupt.ask();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_is_ready_ends_with_its_time() {
        let interrupt = Interrupt::default();
        let ready = || std::future::ready(Ok(()));
        assert_eq!(interrupt.guard(None, ready()).await, Ok(()));
        let over = interrupt.guard(Some(Instant::now()), ready()).await;
        assert_eq!(over.map_err(|error| error.code), Err(Code::QUERY_CANCELED));
        interrupt.ask();
        let asked = interrupt.guard(None, ready()).await;
        assert_eq!(asked.map_err(|error| error.code), Err(Code::QUERY_CANCELED));
        interrupt.clear();
        assert_eq!(interrupt.guard(None, ready()).await, Ok(()));
    }
}
