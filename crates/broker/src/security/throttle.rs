//! Slows down those who try passwords: each failure from an address doubles the delay of the next
//! answer, until a quarter of an hour has passed without one.
//!
//! Only answers to failed attempts wait. Who has the password gets in at once, so nobody can be locked
//! out by another's failures.

use std::collections::HashMap;

const FORGET_MS: i64 = 15 * 60_000;
const DELAY_MS_MAX: i64 = 10_000;
/// Beyond so many addresses the ones that failed longest ago are forgotten.
const ADDRESSES_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub(crate) struct Throttle {
    failures: HashMap<String, (u32, i64)>,
}

impl Throttle {
    /// Counts a failure, and says for how long its answer waits.
    pub(crate) fn failed(&mut self, host: &str, first_delay_ms: i64, now_ms: i64) -> i64 {
        if self.failures.len() >= ADDRESSES_MAX && !self.failures.contains_key(host) {
            self.failures.retain(|_, (_, at)| now_ms - *at < FORGET_MS);
            if self.failures.len() >= ADDRESSES_MAX {
                let oldest =
                    self.failures.iter().min_by_key(|(_, (_, at))| *at).map(|(host, _)| host.clone());
                if let Some(host) = oldest {
                    self.failures.remove(&host);
                }
            }
        }
        let (count, at) = self.failures.entry(host.to_string()).or_insert((0, now_ms));
        if now_ms - *at >= FORGET_MS {
            *count = 0;
        }
        *at = now_ms;
        let delay =
            first_delay_ms.saturating_mul(1 << (*count).min(20)).min(DELAY_MS_MAX.max(first_delay_ms));
        *count = count.saturating_add(1);
        delay
    }

    pub(crate) fn succeeded(&mut self, host: &str) {
        self.failures.remove(host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_bound_and_are_forgotten() {
        let mut throttle = Throttle::default();
        let delays: Vec<i64> = (0..9).map(|_| throttle.failed("a", 100, 0)).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        assert_eq!(throttle.failed("b", 100, 0), 100);
        assert_eq!(throttle.failed("a", 100, FORGET_MS), 100);
        throttle.succeeded("b");
        assert_eq!(throttle.failed("b", 100, 0), 100);
        for host in 0..2 * ADDRESSES_MAX {
            throttle.failed(&host.to_string(), 100, 1);
        }
        assert!(throttle.failures.len() <= ADDRESSES_MAX);
    }
}
