//! For how long a server wants to be left alone, by its own words: kept in one way, whoever it is that asks it.
//!
//! While a pause lasts nothing is asked. A feed and a sink say so to the job (`pause_ms`), which opens them again when it is over
//! and counts no try; whoever asks all the same is told how long it is.

use crate::http_answers::not_before;
use crate::messages::ServerError;
use base::ErrorKind;
use os::Os;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Of a table: all that ask for it know one pause.
#[derive(Clone, Default)]
pub(crate) struct NamedPause {
    /// Before this moment of the monotonic clock, in nanoseconds, the server wants nothing of us.
    until_ns: Arc<AtomicU64>,
}

impl NamedPause {
    /// From now on; one that lasts longer goes on.
    pub(crate) fn begin(&self, os: &Os, pause: Duration) {
        let pause_ns = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
        let until_ns = os.clock.monotonic_ns().saturating_add(pause_ns);
        self.until_ns.fetch_max(until_ns, Ordering::Relaxed);
    }

    /// Zero when it is over.
    pub(crate) fn left(&self, os: &Os) -> Duration {
        let until_ns = self.until_ns.load(Ordering::Relaxed);
        Duration::from_nanos(until_ns.saturating_sub(os.clock.monotonic_ns()))
    }

    /// As the job wants to know it: whole milliseconds, of which the last ends behind the pause.
    pub(crate) fn left_ms(&self, os: &Os) -> Option<u64> {
        let left_ns = u64::try_from(self.left(os).as_nanos()).unwrap_or(u64::MAX);
        (left_ns > 0).then(|| left_ns.div_ceil(1_000_000))
    }

    /// An error while it lasts longer than `longest`, which is waited for.
    pub(crate) fn wait(&self, os: &Os, longest: Duration, place: &str) -> Result<(), ServerError> {
        let left = self.left(os);
        if left > longest {
            return Err(ServerError::new(ErrorKind::Retry, not_before(place, left)));
        }
        std::thread::sleep(left);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use os::sim::SimOs;

    #[test]
    fn the_longest_pause_lasts_and_all_know_it() {
        let sim = SimOs::new(1);
        let os = sim.os();
        let pause = NamedPause::default();
        assert_eq!((pause.left(&os), pause.left_ms(&os)), (Duration::ZERO, None));
        pause.begin(&os, Duration::from_micros(2_500));
        pause.clone().begin(&os, Duration::from_millis(1));
        assert_eq!((pause.left(&os), pause.left_ms(&os)), (Duration::from_micros(2_500), Some(3)));
        let error = pause.wait(&os, Duration::ZERO, "place").unwrap_err();
        assert!(
            error.kind == ErrorKind::Retry && error.message.contains("place wants to be asked again in 1 s")
        );
        sim.clock.advance_ms(3);
        assert_eq!(pause.left_ms(&os), None);
        pause.wait(&os, Duration::ZERO, "place").unwrap();
    }
}
