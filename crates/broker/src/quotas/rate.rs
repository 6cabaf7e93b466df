//! How much there was in a second, over a window that slides by samples, as Kafka measures it.
//!
//! Kafka's clients and operators know its numbers, so the arithmetic is Kafka's: the sum of the samples by the time
//! since the oldest began, which counts as all but one whole samples at least.

use std::collections::VecDeque;

/// A window of so many samples of so many milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub samples: u32,
    pub sample_ms: i64,
}

impl Window {
    /// The longest time that is looked back.
    pub fn whole_ms(self) -> i64 {
        i64::from(self.samples).saturating_mul(self.sample_ms)
    }

    /// The time by which a sum is divided at the least.
    pub fn least_ms(self) -> i64 {
        i64::from(self.samples.saturating_sub(1)).saturating_mul(self.sample_ms)
    }
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    began_ms: i64,
    last_ms: i64,
    sum: f64,
}

#[derive(Debug, Default)]
pub struct Rate {
    samples: VecDeque<Sample>,
}

impl Rate {
    /// Counts `value`, which is negative if a count is taken back.
    pub fn record(&mut self, value: f64, window: Window, now_ms: i64) {
        self.forget(window, now_ms);
        match self.samples.back_mut() {
            Some(sample) if now_ms - sample.began_ms < window.sample_ms => {
                sample.sum += value;
                sample.last_ms = now_ms;
            }
            _ => {
                if self.samples.len() > window.samples as usize {
                    self.samples.pop_front();
                }
                self.samples.push_back(Sample { began_ms: now_ms, last_ms: now_ms, sum: value });
            }
        }
    }

    /// Whether nothing was counted within the window.
    pub fn is_idle(&mut self, window: Window, now_ms: i64) -> bool {
        self.forget(window, now_ms);
        self.samples.iter().all(|sample| sample.sum <= 0.0)
    }

    /// In a second.
    pub fn measure(&mut self, window: Window, now_ms: i64) -> f64 {
        let span_ms = self.span_ms(window, now_ms);
        let sum: f64 = self.samples.iter().map(|sample| sample.sum).sum();
        sum * 1_000.0 / span_ms as f64
    }

    /// How long a client has to do nothing for the rate to be the limit again; 0 if it is not above it.
    pub fn throttle_ms(&mut self, limit: f64, window: Window, now_ms: i64) -> i64 {
        let rate = self.measure(window, now_ms);
        if rate <= limit {
            return 0;
        }
        // A saturating cast.
        ((rate - limit) / limit * self.span_ms(window, now_ms) as f64).round() as i64
    }

    fn span_ms(&mut self, window: Window, now_ms: i64) -> i64 {
        self.forget(window, now_ms);
        let oldest_ms = self.samples.front().map_or(now_ms, |sample| sample.began_ms);
        let mut span_ms = (now_ms - oldest_ms).max(0);
        let whole = span_ms / window.sample_ms.max(1);
        let whole_min = i64::from(window.samples.saturating_sub(1));
        if whole < whole_min {
            span_ms += (whole_min - whole) * window.sample_ms;
        }
        span_ms.max(1)
    }

    fn forget(&mut self, window: Window, now_ms: i64) {
        while self.samples.front().is_some_and(|sample| now_ms - sample.last_ms >= window.whole_ms()) {
            self.samples.pop_front();
        }
    }
}
