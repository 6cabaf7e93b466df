//! A bucket of tokens that fills at the limit's rate: for changes that come in bursts, as in Kafka (KIP-599).

use super::Window;

#[derive(Debug)]
pub struct Bucket {
    tokens: f64,
    filled_ms: i64,
}

impl Bucket {
    /// A full one: nothing has been done yet.
    pub fn new(limit: f64, window: Window, now_ms: i64) -> Bucket {
        Bucket { tokens: burst(limit, window), filled_ms: now_ms }
    }

    /// Takes tokens out, also more than are there.
    pub fn record(&mut self, tokens: f64, limit: f64, window: Window, now_ms: i64) {
        self.fill(limit, window, now_ms);
        self.tokens -= tokens;
    }

    /// The time until what was taken too much has come in; 0 if nothing was.
    pub fn throttle_ms(&mut self, limit: f64, window: Window, now_ms: i64) -> i64 {
        self.fill(limit, window, now_ms);
        if self.tokens >= 0.0 { 0 } else { (-self.tokens / limit * 1_000.0).round() as i64 }
    }

    fn fill(&mut self, limit: f64, window: Window, now_ms: i64) {
        let passed_ms = (now_ms - self.filled_ms).max(0);
        self.tokens = (self.tokens + limit * passed_ms as f64 / 1_000.0).min(burst(limit, window));
        self.filled_ms = now_ms;
    }
}

/// What the bucket holds.
fn burst(limit: f64, window: Window) -> f64 {
    limit * window.whole_ms() as f64 / 1_000.0
}
