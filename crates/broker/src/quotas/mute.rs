//! Until when a connection is not read, because its client has used more than its quota.

use std::sync::atomic::{AtomicI64, Ordering};

/// Shared by those who answer and the one who reads.
#[derive(Debug)]
pub struct Mute(AtomicI64);

impl Default for Mute {
    fn default() -> Mute {
        Mute(AtomicI64::new(i64::MIN))
    }
}

impl Mute {
    /// The latest time counts.
    pub fn extend(&self, until_ms: i64) {
        self.0.fetch_max(until_ms, Ordering::Relaxed);
    }

    /// The time that is left.
    pub fn left_ms(&self, now_ms: i64) -> Option<u64> {
        let until_ms = self.0.load(Ordering::Relaxed);
        u64::try_from(until_ms.saturating_sub(now_ms)).ok().filter(|left_ms| *left_ms > 0)
    }
}
