//! How one edge of a job (a feed, an outbox) is tried again while the rest of the job goes on.
//!
//! The job's restart strategy decides about pauses and how often, as it does for the whole job; an edge that works
//! again begins anew. So nothing but the edge waits for a server that is away.

use crate::error::RuntimeError;
use crate::restart::{RestartPolicy, RestartStrategy};
use os::Os;

const NS_PER_MS: u64 = 1_000_000;

pub(crate) struct Retries {
    os: Os,
    strategy: RestartStrategy,
    policy: RestartPolicy,
    /// When the next try is due, by the monotonic clock.
    due_ns: Option<u64>,
}

impl Retries {
    pub(crate) fn new(os: &Os, strategy: RestartStrategy) -> Retries {
        Retries { os: os.clone(), strategy, policy: RestartPolicy::new(strategy), due_ns: None }
    }

    /// In how many ms the edge may be tried again; none if it may now.
    pub(crate) fn pause_ms(&self) -> Option<u64> {
        let left_ns = self.due_ns?.saturating_sub(self.os.clock.monotonic_ns());
        (left_ns > 0).then(|| left_ns.div_ceil(NS_PER_MS))
    }

    /// Something went through.
    pub(crate) fn succeeded(&mut self) {
        if self.due_ns.take().is_some() {
            self.policy = RestartPolicy::new(self.strategy);
        }
    }

    /// Something failed: sets the time of the next try, or answers the error, which then is the job's. Where the outside has
    /// named a pause, the next try is due behind it, and this was none.
    pub(crate) fn failed(&mut self, error: RuntimeError, pause_ms: Option<u64>) -> Result<(), RuntimeError> {
        if !error.may_pass() {
            return Err(error);
        }
        let now_ns = self.os.clock.monotonic_ns();
        if let Some(pause_ms) = pause_ms {
            self.due_ns = Some(now_ns.saturating_add(pause_ms.saturating_mul(NS_PER_MS)));
            return Ok(());
        }
        match self.policy.failure(now_ns / NS_PER_MS, self.os.random.next_u64()) {
            Some(delay_ms) => {
                self.due_ns = Some(now_ns.saturating_add(delay_ms.max(1).saturating_mul(NS_PER_MS)));
                Ok(())
            }
            None => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::ErrorKind;
    use dataflow::source::SourceError;
    use os::sim::SimOs;

    fn error(kind: ErrorKind) -> RuntimeError {
        RuntimeError::Source(SourceError { kind, message: "not now".into() })
    }

    /// A server may keep us waiting as long as it says so.
    #[test]
    fn a_pause_that_the_outside_names_is_no_try() {
        let sim = SimOs::new(1);
        let mut retries = Retries::new(&sim.os(), RestartStrategy::FixedDelay { attempts: 1, delay_ms: 5 });
        for _ in 0..3 {
            retries.failed(error(ErrorKind::Retry), Some(60_000)).unwrap();
            assert_eq!(retries.pause_ms(), Some(60_000));
            sim.clock.advance_ms(60_000);
            assert_eq!(retries.pause_ms(), None);
        }
        retries.failed(error(ErrorKind::Unavailable), None).unwrap();
        assert_eq!(retries.pause_ms(), Some(5));
        sim.clock.advance_ms(5);
        retries.failed(error(ErrorKind::Retry), Some(1)).unwrap();
        assert!(retries.failed(error(ErrorKind::Unavailable), None).is_err(), "the one try is spent");
        // What does not pass by itself is no matter of time.
        assert!(retries.failed(error(ErrorKind::Invalid), Some(1)).is_err());
    }
}
