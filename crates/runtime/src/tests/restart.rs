//! Restart strategies: their settings and their arithmetic.

use crate::restart::{ExponentialDelay, RestartPolicy, RestartStrategy};
use std::collections::BTreeMap;

const MIDDLE: u64 = 1 << 63;

fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (format!("restart-strategy{key}"), value.to_string())).collect()
}

fn read(pairs: &[(&str, &str)]) -> RestartStrategy {
    RestartStrategy::from_settings(&settings(pairs)).unwrap()
}

fn refused(pairs: &[(&str, &str)]) -> String {
    RestartStrategy::from_settings(&settings(pairs)).unwrap_err().to_string()
}

#[test]
fn settings_are_read_with_flinks_names_and_defaults() {
    assert_eq!(read(&[]), RestartStrategy::ExponentialDelay(ExponentialDelay::default()));
    assert_eq!(read(&[(".type", "exponential-delay")]), read(&[]));
    for name in ["none", "off", "Disable"] {
        assert_eq!(read(&[(".type", name)]), RestartStrategy::None);
    }
    let fixed = RestartStrategy::FixedDelay { attempts: 1, delay_ms: 1_000 };
    assert_eq!(read(&[(".type", "fixed-delay")]), fixed);
    assert_eq!(read(&[("", "fixeddelay")]), fixed);
    assert_eq!(
        read(&[(".type", "fixed-delay"), (".fixed-delay.attempts", "3"), (".fixed-delay.delay", "10 s")]),
        RestartStrategy::FixedDelay { attempts: 3, delay_ms: 10_000 }
    );
    assert_eq!(
        read(&[
            (".type", "failure-rate"),
            (".failure-rate.max-failures-per-interval", "5"),
            (".failure-rate.failure-rate-interval", "5 min"),
            (".failure-rate.delay", "2 s"),
        ]),
        RestartStrategy::FailureRate { failures_max: 5, interval_ms: 300_000, delay_ms: 2_000 }
    );
    assert_eq!(
        read(&[
            (".exponential-delay.initial-backoff", "10 ms"),
            (".exponential-delay.max-backoff", "2 min"),
            (".exponential-delay.backoff-multiplier", "2"),
            (".exponential-delay.reset-backoff-threshold", "10 min"),
            (".exponential-delay.jitter-factor", "0.5"),
            (".exponential-delay.attempts-before-reset-backoff", "7"),
        ]),
        RestartStrategy::ExponentialDelay(ExponentialDelay {
            initial_ms: 10,
            max_ms: 120_000,
            multiplier: 2.0,
            reset_threshold_ms: 600_000,
            jitter: 0.5,
            attempts_max: Some(7),
        })
    );
}

#[test]
fn wrong_settings_say_what_is_expected() {
    assert_eq!(
        refused(&[(".type", "sometimes")]),
        "setting 'restart-strategy.type' = 'sometimes' is not valid: expected one of exponential-delay, \
         fixed-delay, failure-rate, none, off, disable"
    );
    assert_eq!(
        refused(&[(".exponential-delay.jitter-factor", "1.5")]),
        "setting 'restart-strategy.exponential-delay.jitter-factor' = '1.5' is not valid: expected a number from 0 to 1"
    );
    // Also where the strategy is not chosen.
    let refused_multiplier = refused(&[(".type", "none"), (".exponential-delay.backoff-multiplier", "NaN")]);
    assert!(refused_multiplier.ends_with("expected a number of 1 or more"), "{refused_multiplier}");
    let misspelt = refused(&[(".fixed-delay.attempt", "3")]);
    assert!(misspelt.contains("perhaps 'restart-strategy.fixed-delay.attempts'"), "{misspelt}");
    let order =
        refused(&[(".exponential-delay.initial-backoff", "10 s"), (".exponential-delay.max-backoff", "1 s")]);
    assert!(order.ends_with("expected at least the initial-backoff of 10000 ms"), "{order}");
}

#[test]
fn exponential_delays_grow_to_their_limit_and_begin_anew_after_a_rest() {
    let mut policy = RestartPolicy::new(RestartStrategy::default());
    let mut now_ms = 0;
    let mut delays = Vec::new();
    for _ in 0..12 {
        let delay_ms = policy.failure(now_ms, MIDDLE).unwrap();
        delays.push(delay_ms);
        now_ms += delay_ms + 10;
    }
    assert_eq!(delays, [1000, 1500, 2250, 3375, 5062, 7593, 11390, 17085, 25628, 38443, 57665, 60000]);
    // An hour without a failure, less a millisecond: no rest yet.
    let restarted_ms = now_ms - 10;
    let mut tired = policy.clone();
    assert_eq!(tired.failure(restarted_ms + 3_599_999, MIDDLE), Some(60_000));
    assert_eq!(policy.failure(restarted_ms + 3_600_000, MIDDLE), Some(1_000));
    assert_eq!(policy.failure(restarted_ms + 3_602_000, MIDDLE), Some(1_500));
}

#[test]
fn jitter_stays_within_its_share_and_the_limits() {
    let delay =
        ExponentialDelay { initial_ms: 100, max_ms: 1_000, multiplier: 2.0, ..ExponentialDelay::default() };
    let second = |random| {
        let mut policy = RestartPolicy::new(RestartStrategy::ExponentialDelay(delay));
        policy.failure(0, random);
        policy.failure(100, random).unwrap()
    };
    assert_eq!((second(0), second(MIDDLE)), (180, 200));
    assert!((219..=220).contains(&second(u64::MAX)));
    let mut policy = RestartPolicy::new(RestartStrategy::ExponentialDelay(delay));
    for _ in 0..5000 {
        // However many failures: no overflow, never beyond the limits.
        assert!((100..=1_000).contains(&policy.failure(0, u64::MAX).unwrap()));
    }
    assert_eq!(policy.failure(0, 0), Some(900));
}

#[test]
fn attempts_are_counted() {
    let limited = ExponentialDelay { attempts_max: Some(2), ..ExponentialDelay::default() };
    let mut policy = RestartPolicy::new(RestartStrategy::ExponentialDelay(limited));
    assert_eq!(policy.failure(0, MIDDLE), Some(1_000));
    assert_eq!(policy.failure(2_000, MIDDLE), Some(1_500));
    assert_eq!(policy.clone().failure(4_000, MIDDLE), None);
    assert_eq!(policy.failure(3_603_500, MIDDLE), Some(1_000));
    let mut policy = RestartPolicy::new(RestartStrategy::FixedDelay { attempts: 2, delay_ms: 5 });
    assert_eq!([0, 10, 20].map(|now_ms| policy.failure(now_ms, 0)), [Some(5), Some(5), None]);
    assert_eq!(RestartPolicy::new(RestartStrategy::None).failure(0, 0), None);
}

#[test]
fn a_failure_rate_looks_at_the_interval_before_each_failure() {
    let strategy = RestartStrategy::FailureRate { failures_max: 2, interval_ms: 100, delay_ms: 7 };
    let mut policy = RestartPolicy::new(strategy);
    assert_eq!(policy.failure(0, 0), Some(7));
    assert_eq!(policy.failure(50, 0), Some(7));
    assert_eq!(policy.clone().failure(100, 0), None);
    assert_eq!(policy.failure(101, 0), Some(7));
    assert_eq!(policy.clone().failure(150, 0), None);
    assert_eq!(policy.failure(151, 0), Some(7));
}
