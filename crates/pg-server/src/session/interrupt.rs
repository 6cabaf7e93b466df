//! Ends what a session is doing: from another connection with its secret, by a time-out, because the client has gone or
//! the node stops.

use super::gone::Gone;
use crate::error::{Code, PgError};
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Of one session.
#[derive(Debug)]
pub struct Interrupt {
    is_asked_for: AtomicBool,
    notify: Notify,
    client: Gone,
    stop: watch::Receiver<bool>,
}

impl Interrupt {
    pub(super) fn new(client: Gone, stop: watch::Receiver<bool>) -> Interrupt {
        Interrupt { is_asked_for: AtomicBool::new(false), notify: Notify::new(), client, stop }
    }

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

    /// What the work comes to, unless somebody cancels it, its time is over, or nobody is there to be told.
    pub(super) async fn guard<T>(
        &self,
        deadline: Option<Instant>,
        work: impl Future<Output = Result<T, PgError>>,
    ) -> Result<T, PgError> {
        self.guard_until(std::future::pending(), deadline, work).await
    }

    /// The same of what does not end by itself: it ends with the node, which lets other statements end first.
    pub(super) async fn guard_endless<T>(
        &self,
        deadline: Option<Instant>,
        work: impl Future<Output = Result<T, PgError>>,
    ) -> Result<T, PgError> {
        let mut stop = self.stop.clone();
        let stopped = async {
            let _ = stop.wait_for(|stop| *stop).await;
        };
        self.guard_until(stopped, deadline, work).await
    }

    async fn guard_until<T>(
        &self,
        stopped: impl Future<Output = ()>,
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
            () = stopped => Err(PgError::new(Code::ADMIN_SHUTDOWN, "the node stops")),
            done = work => done,
            // Where the work is done there is no need to ask.
            () = self.client.wait() => Err(PgError::new(Code::CONNECTION_FAILURE, "the client has gone")),
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
        let (stop, stopped) = watch::channel(false);
        let interrupt = Interrupt::new(Gone::default(), stopped);
        let ready = || std::future::ready(Ok(()));
        assert_eq!(interrupt.guard(None, ready()).await, Ok(()));
        let over = interrupt.guard(Some(Instant::now()), ready()).await;
        assert_eq!(over.map_err(|error| error.code), Err(Code::QUERY_CANCELED));
        interrupt.ask();
        let asked = interrupt.guard(None, ready()).await;
        assert_eq!(asked.map_err(|error| error.code), Err(Code::QUERY_CANCELED));
        interrupt.clear();
        assert_eq!(interrupt.guard(None, ready()).await, Ok(()));
        // A node that stops ends what is endless, and nothing else.
        stop.send_replace(true);
        assert_eq!(interrupt.guard(None, ready()).await, Ok(()));
        let endless = interrupt.guard_endless(None, ready()).await;
        assert_eq!(endless.map_err(|error| error.code), Err(Code::ADMIN_SHUTDOWN));
    }
}
