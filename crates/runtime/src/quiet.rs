//! How long nothing came from a split, and when that makes it idle.
//!
//! The time begins when the split was first found to have nothing, as in Flink, so a split is never idle earlier than
//! the time-out after its last row. It is measured from one question to the next, and of the time in between at most
//! [`GAP_MS_MAX`] counts: a job that was kept from asking (a full disk, a machine asleep, a clock that was set) has not
//! seen that nothing came. A job that starts again begins to count anew.

/// A job that has nothing to do asks several times a second.
const GAP_MS_MAX: i64 = 1000;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Quiet {
    /// For how long (ms), once the split was found to have nothing.
    for_ms: Option<u64>,
    is_idle: bool,
}

impl Quiet {
    pub(crate) fn rows_came(&mut self) {
        *self = Quiet::default();
    }

    /// `since_ms` after the question before there is nothing; answers how many ms are left, with 0 the one time that
    /// the split falls idle, and `None` once it is.
    pub(crate) fn nothing_came(&mut self, since_ms: i64, idle_ms: u64) -> Option<i64> {
        if self.is_idle {
            return None;
        }
        let counted = since_ms.clamp(0, GAP_MS_MAX) as u64;
        let for_ms = self.for_ms.map_or(0, |for_ms| for_ms.saturating_add(counted));
        self.for_ms = Some(for_ms);
        // The readings are rounded down: only more than the time-out is surely as much.
        self.is_idle = for_ms > idle_ms;
        let left_ms = idle_ms.saturating_add(1).saturating_sub(for_ms);
        Some(i64::try_from(left_ms).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_begins_when_nothing_is_found_and_ends_with_a_row() {
        let mut quiet = Quiet::default();
        assert_eq!(
            quiet.nothing_came(500, 1000),
            Some(1001),
            "the time before may have had a row at its end"
        );
        assert_eq!(quiet.nothing_came(600, 1000), Some(401));
        quiet.rows_came();
        assert_eq!(quiet.nothing_came(600, 1000), Some(1001));
        assert_eq!(quiet.nothing_came(1000, 1000), Some(1), "no earlier than Flink: more than the time-out");
        assert_eq!(quiet.nothing_came(1, 1000), Some(0));
        assert_eq!(quiet.nothing_came(1000, 1000), None, "it is said once");
    }

    #[test]
    fn the_time_that_nobody_asked_in_counts_little_and_a_clock_that_goes_back_not_at_all() {
        let mut quiet = Quiet::default();
        quiet.nothing_came(0, 10_000);
        assert_eq!(quiet.nothing_came(3_600_000, 10_000), Some(9001));
        assert_eq!(quiet.nothing_came(-5, 10_000), Some(9001));
    }
}
