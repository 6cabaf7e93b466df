//! How a job and its helpers wait for the log, with threads and without.

use crate::error::RuntimeError;
use crate::job::Wakeup;
use crate::machine::Wait;
use base::{ErrorKind, Lsn};
use eventlog::{EventLog, Frame, LogError};
use std::sync::atomic::{AtomicBool, Ordering};

/// How long they wait before they try again when the log takes no appends.
const UNAVAILABLE_MS: u64 = 100;

/// Waits until the log is durable up to `lsn`.
pub(crate) fn wait_durable(log: &EventLog, wakeup: &Wakeup, lsn: Lsn) -> Result<(), LogError> {
    loop {
        match (log.wait_durable(lsn), &wakeup.patience) {
            (Err(LogError::Busy { .. }), Some(patience)) if patience(Wait::Durable(lsn)) => {}
            (waited, _) => return waited,
        }
    }
}

/// Appends a frame; none if the job is stopped while the log takes none (too much unsynced, a full disk).
pub(crate) fn append(
    log: &EventLog,
    wakeup: &Wakeup,
    stopped: &AtomicBool,
    mut build: impl FnMut(&mut Frame<'_>) -> Result<(), RuntimeError>,
) -> Result<Option<Lsn>, RuntimeError> {
    loop {
        let error = match log.append(&mut build) {
            Ok(((), lsn)) => return Ok(Some(lsn)),
            Err(error) => error,
        };
        let wait = match error.kind() {
            ErrorKind::Retry => Wait::Synced,
            ErrorKind::Unavailable => Wait::Room,
            _ => return Err(error),
        };
        let goes_on = match &wakeup.patience {
            Some(patience) => patience(wait),
            None => !stopped.load(Ordering::Acquire),
        };
        if !goes_on {
            return if stopped.load(Ordering::Acquire) { Ok(None) } else { Err(error) };
        }
        if wait == Wait::Room && wakeup.patience.is_none() {
            let seen = wakeup.generation();
            wakeup.wait(seen, UNAVAILABLE_MS);
        }
    }
}
