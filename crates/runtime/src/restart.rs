//! Restart strategies: whether a job that failed is run again, and after how long.
//!
//! The strategies, their options, defaults and arithmetic are Flink's (`restart-strategy.*`), so that a file behaves
//! here as it does there. A [`RestartPolicy`] is pure: it is told the time of a failure and a random number and
//! answers the delay, so that its tests need neither a clock nor patience.

use base::{nearest, units};
use std::collections::{BTreeMap, VecDeque};

/// Failures that a failure-rate policy remembers at most.
const FAILURES_REMEMBERED_MAX: u32 = 100_000;

/// When a job that failed is run again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RestartStrategy {
    /// Never.
    None,
    ExponentialDelay(ExponentialDelay),
    FixedDelay {
        /// Restarts before the job fails for good.
        attempts: u32,
        delay_ms: u64,
    },
    FailureRate {
        /// The job fails for good at the failure that exceeds this number within the interval.
        failures_max: u32,
        interval_ms: u64,
        delay_ms: u64,
    },
}

/// Delays that grow from failure to failure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExponentialDelay {
    pub initial_ms: u64,
    pub max_ms: u64,
    pub multiplier: f64,
    /// A job that ran this long without a failure begins with the initial delay again.
    pub reset_threshold_ms: u64,
    /// The share of the delay that is added or taken away at random, 0 to 1.
    pub jitter: f64,
    /// Restarts without such a rest before the job fails for good; none is without end.
    pub attempts_max: Option<u32>,
}

impl Default for ExponentialDelay {
    fn default() -> ExponentialDelay {
        ExponentialDelay {
            initial_ms: 1_000,
            max_ms: 60_000,
            multiplier: 1.5,
            reset_threshold_ms: 3_600_000,
            jitter: 0.1,
            attempts_max: None,
        }
    }
}

impl Default for RestartStrategy {
    /// Flink's for a job with checkpoints, which every job here is.
    fn default() -> RestartStrategy {
        RestartStrategy::ExponentialDelay(ExponentialDelay::default())
    }
}

/// A setting of the strategy that is no value of its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("setting '{key}' = '{value}' is not valid: expected {expected}")]
pub struct RestartSettingError {
    pub key: String,
    pub value: String,
    pub expected: String,
}

const PREFIX: &str = "restart-strategy.";

/// The names of the strategies; those with a hyphen are the ones to write.
const TYPES: [&str; 6] = ["exponential-delay", "fixed-delay", "failure-rate", "none", "off", "disable"];

/// Every key below the prefix.
const KEYS: [&str; 12] = [
    "type",
    "exponential-delay.initial-backoff",
    "exponential-delay.max-backoff",
    "exponential-delay.backoff-multiplier",
    "exponential-delay.reset-backoff-threshold",
    "exponential-delay.jitter-factor",
    "exponential-delay.attempts-before-reset-backoff",
    "fixed-delay.attempts",
    "fixed-delay.delay",
    "failure-rate.delay",
    "failure-rate.failure-rate-interval",
    "failure-rate.max-failures-per-interval",
];

impl RestartStrategy {
    /// Reads the `restart-strategy.*` keys of a session's settings; other keys are passed over. All that are given
    /// are checked, also those of a strategy that is not chosen.
    pub fn from_settings(
        settings: &BTreeMap<String, String>,
    ) -> Result<RestartStrategy, RestartSettingError> {
        for (key, value) in settings {
            let Some(rest) = key.strip_prefix(PREFIX) else { continue };
            if !KEYS.contains(&rest) {
                let near =
                    nearest(rest, KEYS).map_or(String::new(), |near| format!(", perhaps '{PREFIX}{near}'"));
                return Err(RestartSettingError {
                    key: key.clone(),
                    value: value.clone(),
                    expected: format!("a key of a restart strategy{near}"),
                });
            }
        }
        let read = Read(settings);
        let exponential = read.exponential()?;
        let fixed = RestartStrategy::FixedDelay {
            attempts: read.count("fixed-delay.attempts", 0)?.unwrap_or(1),
            delay_ms: read.duration("fixed-delay.delay", 0)?.unwrap_or(1_000),
        };
        let rate = RestartStrategy::FailureRate {
            failures_max: read
                .count("failure-rate.max-failures-per-interval", 1)?
                .unwrap_or(1)
                .min(FAILURES_REMEMBERED_MAX),
            interval_ms: read.duration("failure-rate.failure-rate-interval", 1)?.unwrap_or(60_000),
            delay_ms: read.duration("failure-rate.delay", 0)?.unwrap_or(1_000),
        };
        // Flink before 2.0 called the key as its prefix is called.
        let given = ["restart-strategy.type", "restart-strategy"];
        let Some((key, name)) = given.iter().find_map(|key| Some((*key, settings.get(*key)?))) else {
            return Ok(RestartStrategy::ExponentialDelay(exponential));
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "none" | "off" | "disable" => Ok(RestartStrategy::None),
            "exponential-delay" | "exponentialdelay" => Ok(RestartStrategy::ExponentialDelay(exponential)),
            "fixed-delay" | "fixeddelay" => Ok(fixed),
            "failure-rate" | "failurerate" => Ok(rate),
            _ => Err(RestartSettingError {
                key: key.into(),
                value: name.clone(),
                expected: format!("one of {}", TYPES.join(", ")),
            }),
        }
    }

    /// The strategy's name as it is set.
    pub fn name(&self) -> &'static str {
        match self {
            RestartStrategy::None => "none",
            RestartStrategy::ExponentialDelay(_) => "exponential-delay",
            RestartStrategy::FixedDelay { .. } => "fixed-delay",
            RestartStrategy::FailureRate { .. } => "failure-rate",
        }
    }
}

/// The settings, read with their types.
struct Read<'a>(&'a BTreeMap<String, String>);

impl Read<'_> {
    fn value<T>(
        &self,
        key: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, RestartSettingError> {
        let key = format!("{PREFIX}{key}");
        let Some(value) = self.0.get(&key) else { return Ok(None) };
        match parse(value.trim()) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(RestartSettingError { key, value: value.clone(), expected: expected.into() }),
        }
    }

    fn count(&self, key: &str, min: u32) -> Result<Option<u32>, RestartSettingError> {
        let expected = format!("a whole number of {min} or more");
        self.value(key, &expected, |text| text.parse().ok().filter(|count| *count >= min))
    }

    fn duration(&self, key: &str, min_ms: u64) -> Result<Option<u64>, RestartSettingError> {
        let expected = match min_ms {
            0 => "a duration such as '10 s'".to_string(),
            _ => format!("a duration of {min_ms} ms or more, such as '10 s'"),
        };
        self.value(key, &expected, |text| units::parse_duration_ms(text).filter(|ms| *ms >= min_ms))
    }

    fn number(&self, key: &str, min: f64, max: f64) -> Result<Option<f64>, RestartSettingError> {
        let expected = match max.is_finite() {
            true => format!("a number from {min} to {max}"),
            false => format!("a number of {min} or more"),
        };
        let fits = |number: &f64| number.is_finite() && (min..=max).contains(number);
        self.value(key, &expected, |text| text.parse().ok().filter(fits))
    }

    fn exponential(&self) -> Result<ExponentialDelay, RestartSettingError> {
        let default = ExponentialDelay::default();
        let initial_ms = self.duration("exponential-delay.initial-backoff", 1)?.unwrap_or(default.initial_ms);
        let max_key = "exponential-delay.max-backoff";
        // A long first delay is not cut by a limit that nobody has set.
        let max_ms = self.duration(max_key, 1)?.unwrap_or(default.max_ms.max(initial_ms));
        if max_ms < initial_ms {
            return Err(RestartSettingError {
                key: format!("{PREFIX}{max_key}"),
                value: self.0.get(&format!("{PREFIX}{max_key}")).cloned().unwrap_or_default(),
                expected: format!("at least the initial-backoff of {initial_ms} ms"),
            });
        }
        Ok(ExponentialDelay {
            initial_ms,
            max_ms,
            multiplier: self
                .number("exponential-delay.backoff-multiplier", 1.0, f64::INFINITY)?
                .unwrap_or(default.multiplier),
            reset_threshold_ms: self
                .duration("exponential-delay.reset-backoff-threshold", 1)?
                .unwrap_or(default.reset_threshold_ms),
            jitter: self.number("exponential-delay.jitter-factor", 0.0, 1.0)?.unwrap_or(default.jitter),
            attempts_max: self.count("exponential-delay.attempts-before-reset-backoff", 1)?,
        })
    }
}

/// A strategy at work for one job.
#[derive(Debug, Clone)]
pub struct RestartPolicy {
    strategy: RestartStrategy,
    /// Restarts so far; for exponential delays, since the last rest.
    attempts: u32,
    /// When the job last began to run again.
    restarted_ms: Option<u64>,
    /// Times of the last failures, oldest first.
    failures_ms: VecDeque<u64>,
}

impl RestartPolicy {
    pub fn new(strategy: RestartStrategy) -> RestartPolicy {
        RestartPolicy { strategy, attempts: 0, restarted_ms: None, failures_ms: VecDeque::new() }
    }

    /// The job failed at `now_ms` of a clock that never goes back: after how many milliseconds it is run again, or
    /// nothing if it is not. `random` decides the jitter.
    pub fn failure(&mut self, now_ms: u64, random: u64) -> Option<u64> {
        let delay_ms = match self.strategy {
            RestartStrategy::None => None,
            RestartStrategy::FixedDelay { attempts, delay_ms } => {
                (self.attempts < attempts).then_some(delay_ms)
            }
            RestartStrategy::FailureRate { failures_max, interval_ms, delay_ms } => {
                self.failures_ms.push_back(now_ms);
                if self.failures_ms.len() <= failures_max as usize {
                    Some(delay_ms)
                } else {
                    let first_ms = self.failures_ms.pop_front().unwrap_or(now_ms);
                    (now_ms.saturating_sub(first_ms) > interval_ms).then_some(delay_ms)
                }
            }
            RestartStrategy::ExponentialDelay(delay) => {
                let ran_ms = self.restarted_ms.map(|restarted_ms| now_ms.saturating_sub(restarted_ms));
                if ran_ms.is_some_and(|ran_ms| ran_ms >= delay.reset_threshold_ms) {
                    self.attempts = 0;
                }
                match delay.attempts_max {
                    Some(max) if self.attempts >= max => None,
                    _ => Some(delay.after(self.attempts, random)),
                }
            }
        }?;
        self.attempts = self.attempts.saturating_add(1);
        self.restarted_ms = Some(now_ms.saturating_add(delay_ms));
        Some(delay_ms)
    }
}

impl ExponentialDelay {
    /// The delay after so many restarts. Flink adds the jitter before it applies the limits, so do we.
    fn after(&self, attempts: u32, random: u64) -> u64 {
        let exponent = i32::try_from(attempts).unwrap_or(i32::MAX);
        let max_ms = self.max_ms as f64;
        let delay_ms = (self.initial_ms as f64 * self.multiplier.powi(exponent)).min(max_ms);
        // 53 random bits, as many as a double holds, from -1 to 1.
        let share = (random >> 11) as f64 / (1_u64 << 53) as f64 * 2.0 - 1.0;
        let jittered = delay_ms + delay_ms * self.jitter * share;
        (jittered as u64).clamp(self.initial_ms, self.max_ms)
    }
}
