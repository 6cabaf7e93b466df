//! What a session keeps in memory: the messages that it is being sent, statements, portals, and the rows of queries that
//! have been begun. All of it comes out of one budget, and out of what all queries may have.

use crate::error::{Code, PgError};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A session has at most this part of what all have.
const PART: usize = 4;
/// And so much in any case.
const BYTES_MIN: usize = 1 << 20;
/// What a statement's tree and plan take beside its text: so much at least, and so many times the text.
const PLAN_BYTES: usize = 2 << 10;
const PLAN_FACTOR: usize = 32;

pub(crate) struct Budget {
    pool: Arc<dyn MemoryPool>,
    bytes_max: usize,
    used: AtomicUsize,
}

/// Of a budget; given back when it is dropped.
pub(crate) struct Held {
    budget: Arc<Budget>,
    reservation: MemoryReservation,
}

impl Budget {
    /// For one session, of a pool with so many bytes.
    pub(crate) fn new((pool, bytes): (Arc<dyn MemoryPool>, usize)) -> Arc<Budget> {
        Arc::new(Budget { pool, bytes_max: (bytes / PART).max(BYTES_MIN), used: AtomicUsize::new(0) })
    }

    /// Room that has still to be asked for.
    pub(crate) fn nothing(self: &Arc<Budget>) -> Held {
        let reservation = MemoryConsumer::new("session").register(&self.pool);
        Held { budget: self.clone(), reservation }
    }

    pub(super) fn hold(self: &Arc<Budget>, bytes: usize) -> Result<Held, PgError> {
        let held = self.nothing();
        held.resize(bytes)?;
        Ok(held)
    }

    /// For a statement with its plan.
    pub(super) fn hold_statement(self: &Arc<Budget>, text: &str) -> Result<Held, PgError> {
        self.hold(PLAN_BYTES + text.len().saturating_mul(PLAN_FACTOR))
    }
}

impl Held {
    pub(super) fn resize(&self, bytes: usize) -> Result<(), PgError> {
        let held = self.reservation.size();
        let Some(more) = bytes.checked_sub(held) else {
            self.reservation.shrink(held - bytes);
            self.budget.used.fetch_sub(held - bytes, Ordering::Relaxed);
            return Ok(());
        };
        let used = self.budget.used.fetch_add(more, Ordering::Relaxed).saturating_add(more);
        let fits = used <= self.budget.bytes_max;
        if fits && self.reservation.try_grow(more).is_ok() {
            return Ok(());
        }
        self.budget.used.fetch_sub(more, Ordering::Relaxed);
        Err(match fits {
            true => PgError::new(
                Code::OUT_OF_MEMORY,
                "what sessions keep and queries need is more than they may have together",
            )
            .hint("try again when others have ended, or start the node with a larger --pg-memory"),
            false => PgError::new(
                Code::OUT_OF_MEMORY,
                format!(
                    "the session's messages, statements, portals and rows need more than {} KiB, which is the most",
                    self.budget.bytes_max >> 10
                ),
            )
            .hint("close cursors, DEALLOCATE statements, or start the node with a larger --pg-memory"),
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.reservation.size(), Ordering::Relaxed);
    }
}
