//! How fast an edge of a job may take or give records: an option of its table, kept by the drivers.
//!
//! What is taken at once counts from when it was taken: nothing more until its time has passed. Time in which nothing came
//! is not saved up, so that the rate holds after a pause too.

use os::Os;
use std::collections::BTreeMap;

const NS_PER_SECOND: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;

pub(crate) struct Rate {
    os: Os,
    per_second: Option<u64>,
    /// When more may be taken, by the monotonic clock.
    due_ns: u64,
}

impl Rate {
    /// By an option of the table; without it as fast as it goes.
    pub(crate) fn of(os: &Os, options: &BTreeMap<String, String>, option: &str) -> Rate {
        let per_second =
            options.get(option).and_then(|text| text.trim().parse().ok()).filter(|rate| *rate > 0);
        Rate { os: os.clone(), per_second, due_ns: 0 }
    }

    /// In how many ms more may be taken; none if it may now.
    pub(crate) fn pause_ms(&self) -> Option<u64> {
        self.per_second?;
        let left_ns = self.due_ns.saturating_sub(self.os.clock.monotonic_ns());
        (left_ns > 0).then(|| left_ns.div_ceil(NS_PER_MS))
    }

    /// So many records were taken.
    pub(crate) fn took(&mut self, records: u64) {
        let Some(per_second) = self.per_second else { return };
        let time_ns = u128::from(records) * u128::from(NS_PER_SECOND) / u128::from(per_second);
        let from_ns = self.due_ns.max(self.os.clock.monotonic_ns());
        self.due_ns = from_ns.saturating_add(u64::try_from(time_ns).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use os::sim::SimOs;

    fn rate(os: &Os, text: &str) -> Rate {
        Rate::of(os, &BTreeMap::from([("rate".to_string(), text.to_string())]), "rate")
    }

    #[test]
    fn what_was_taken_is_waited_for() {
        let sim = SimOs::new(1);
        let os = sim.os();
        let mut rate = rate(&os, "100");
        assert_eq!(rate.pause_ms(), None);
        rate.took(50);
        assert_eq!(rate.pause_ms(), Some(500));
        rate.took(1);
        assert_eq!(rate.pause_ms(), Some(510));
        sim.clock.advance_ms(510);
        assert_eq!(rate.pause_ms(), None);
        // A rest is not saved up.
        sim.clock.advance_ms(60_000);
        rate.took(100);
        assert_eq!(rate.pause_ms(), Some(1_000));
        rate.took(u64::MAX);
        assert!(rate.pause_ms().is_some());
    }

    #[test]
    fn without_the_option_nothing_waits() {
        let os = SimOs::new(1).os();
        let mut none = Rate::of(&os, &BTreeMap::new(), "rate");
        none.took(1_000_000);
        assert_eq!(none.pause_ms(), None);
    }
}
