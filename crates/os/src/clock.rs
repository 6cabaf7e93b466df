//! Time: the wall clock, which may jump, and a monotonic clock, which may not.
//!
//! Record timestamps and retention use the wall clock; latencies and time-outs use the monotonic one.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01 UTC; jumps when somebody sets the clock.
    fn now_ms(&self) -> i64;
    /// Nanoseconds since an arbitrary moment; never goes back.
    fn monotonic_ns(&self) -> u64;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct RealClock {
    started: std::time::Instant,
}

impl RealClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place where the machine's clock is read")]
    pub fn new() -> RealClock {
        RealClock { started: std::time::Instant::now() }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        RealClock::new()
    }
}

impl Clock for RealClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place where the machine's clock is read")]
    fn now_ms(&self) -> i64 {
        match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        }
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct SimClock {
    wall_ms: AtomicI64,
    monotonic_ns: AtomicU64,
}

impl SimClock {
    pub fn new(wall_ms: i64) -> SimClock {
        SimClock { wall_ms: AtomicI64::new(wall_ms), monotonic_ns: AtomicU64::new(0) }
    }

    /// Lets time pass on both clocks.
    pub fn advance_ms(&self, ms: u64) {
        self.wall_ms.fetch_add(i64::try_from(ms).unwrap_or(i64::MAX), Ordering::SeqCst);
        self.monotonic_ns.fetch_add(ms.saturating_mul(1_000_000), Ordering::SeqCst);
    }

    /// Sets the wall clock, as an operator or a time server would; the monotonic clock does not notice.
    pub fn jump_to_ms(&self, wall_ms: i64) {
        self.wall_ms.store(wall_ms, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn now_ms(&self) -> i64 {
        self.wall_ms.load(Ordering::SeqCst)
    }

    fn monotonic_ns(&self) -> u64 {
        self.monotonic_ns.load(Ordering::SeqCst)
    }
}
