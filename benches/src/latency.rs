//! Samples of one quantity and what is said of them: median, quantiles, extremes.

use std::time::Duration;

/// Measured values in any order.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    values: Vec<f64>,
}

impl Samples {
    pub fn push(&mut self, value: f64) {
        self.values.push(value);
    }

    /// Adds a time in milliseconds.
    pub fn push_ms(&mut self, time: Duration) {
        self.values.push(time.as_secs_f64() * 1e3);
    }

    pub fn extend(&mut self, other: &Samples) {
        self.values.extend_from_slice(&other.values);
    }

    pub fn count(&self) -> usize {
        self.values.len()
    }

    /// How many of them are not greater.
    pub fn count_up_to(&self, bound: f64) -> usize {
        self.values.iter().filter(|value| **value <= bound).count()
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The smallest value that at least this share of all values does not exceed; NaN without values.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).or(sorted.last()).copied().unwrap_or(f64::NAN)
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<T: IntoIterator<Item = f64>>(values: T) -> Samples {
        Samples { values: values.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::Samples;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let samples: Samples = (1..=100).rev().map(f64::from).collect();
        assert_eq!(samples.median(), 50.0);
        assert_eq!(samples.quantile(0.99), 99.0);
        assert_eq!(samples.quantile(1.0), 100.0);
        assert_eq!(samples.quantile(0.0), 1.0);
        assert!(Samples::default().median().is_nan());
    }
}
