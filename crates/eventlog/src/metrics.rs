//! What the log counts while it runs.

use crate::compaction::CompactionReport;
use crate::files::lock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A snapshot of the counters; counts are since the log was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogMetrics {
    pub appended_frames: u64,
    pub appended_bytes: u64,
    pub syncs: u64,
    /// The time of one group commit: write and sync.
    pub sync_latency_ns_p50: u64,
    pub sync_latency_ns_p99: u64,
    pub sync_latency_ns_max: u64,
    pub unsynced_bytes: u64,
    pub files: u64,
    /// Files of single partitions, which compaction has made.
    pub segments: u64,
    /// What compaction has done.
    pub compaction: CompactionReport,
    /// Why partitions are not compacted, if so.
    pub compaction_trouble: Option<String>,
    pub spare_files_bytes: u64,
    pub disk_bytes: u64,
    pub index_cache_bytes: u64,
    /// Damaged places met, at the start and by reads (again by each read).
    pub damaged: u64,
    /// Why no next log file can be prepared at the moment, if so.
    pub disk_trouble: Option<String>,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) appended_frames: AtomicU64,
    pub(crate) appended_bytes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    latencies: Mutex<Histogram>,
}

impl Counters {
    pub(crate) fn synced(&self, latency_ns: u64) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        lock(&self.latencies).record(latency_ns);
    }

    pub(crate) fn latencies(&self) -> (u64, u64, u64) {
        let latencies = lock(&self.latencies);
        (latencies.quantile(0.5), latencies.quantile(0.99), latencies.max)
    }
}

/// Eight buckets for each power of two: a quantile is right to within 12.5 %.
struct Histogram {
    buckets: Box<[u64; 512]>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: Box::new([0; 512]), count: 0, max: 0 }
    }
}

impl Histogram {
    fn bucket(value: u64) -> usize {
        if value < 8 {
            return value as usize;
        }
        let power = 63 - value.leading_zeros() as usize;
        (power - 2) * 8 + ((value >> (power - 3)) & 7) as usize
    }

    /// The greatest value of a bucket.
    fn upper(bucket: usize) -> u64 {
        if bucket < 8 {
            return bucket as u64;
        }
        let (power, part) = (bucket / 8 + 2, (bucket % 8) as u128);
        let upper = (1u128 << power) + ((part + 1) << (power - 3)) - 1;
        u64::try_from(upper).unwrap_or(u64::MAX)
    }

    fn record(&mut self, value: u64) {
        self.buckets[Histogram::bucket(value).min(511)] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    fn quantile(&self, quantile: f64) -> u64 {
        let wanted = (self.count as f64 * quantile).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= wanted {
                return Histogram::upper(bucket).min(self.max);
            }
        }
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::Histogram;

    #[test]
    fn quantiles_are_right_to_an_eighth() {
        let mut histogram = Histogram::default();
        for value in 1..=100_000u64 {
            histogram.record(value);
        }
        for (quantile, exact) in [(0.5, 50_000), (0.99, 99_000), (1.0, 100_000)] {
            let found = histogram.quantile(quantile);
            assert!(found >= exact && found <= exact + exact / 8, "{quantile}: {found}");
        }
        histogram.record(u64::MAX);
        assert_eq!(histogram.quantile(1.0), u64::MAX);
    }
}
