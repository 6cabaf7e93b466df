//! A histogram with fixed bounds: two relaxed additions for each value, on a part of its own for each writer.

use std::sync::atomic::{AtomicU64, Ordering};

/// The upper bounds of a histogram's buckets, in whole units such as nanoseconds, and how many of these make one unit
/// of the page (1e9 for seconds).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Buckets {
    pub bounds: &'static [u64],
    pub divisor: f64,
}

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// Nanoseconds, shown as seconds: from what a sync of a fast disk takes to what a client waits at most.
pub const LATENCIES: Buckets = Buckets {
    bounds: &[
        50 * MICROSECOND,
        100 * MICROSECOND,
        250 * MICROSECOND,
        500 * MICROSECOND,
        MILLISECOND,
        2_500 * MICROSECOND,
        5 * MILLISECOND,
        10 * MILLISECOND,
        25 * MILLISECOND,
        50 * MILLISECOND,
        100 * MILLISECOND,
        250 * MILLISECOND,
        500 * MILLISECOND,
        SECOND,
        2_500 * MILLISECOND,
        5 * SECOND,
        10 * SECOND,
        30 * SECOND,
        60 * SECOND,
    ],
    divisor: 1e9,
};

pub const BYTES: Buckets = Buckets {
    bounds: &[
        256,
        1 << 10,
        4 << 10,
        16 << 10,
        64 << 10,
        256 << 10,
        1 << 20,
        4 << 20,
        16 << 20,
        64 << 20,
        256 << 20,
    ],
    divisor: 1.0,
};

/// Of things that are taken together: frames of a group commit, rows of a step.
pub const COUNTS: Buckets =
    Buckets { bounds: &[1, 2, 5, 10, 25, 100, 250, 1_000, 5_000, 25_000, 100_000, 1_000_000], divisor: 1.0 };

/// Counts values by size. Writers that name different parts do not wait for each other's cache lines.
#[derive(Debug)]
pub struct Histogram {
    buckets: Buckets,
    parts: Box<[Part]>,
}

/// Two cache lines apart, as processors fetch lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Part {
    sum: AtomicU64,
    /// One more than there are bounds: the last is of what lies above all of them.
    counts: Box<[AtomicU64]>,
}

/// What a histogram has counted: by bucket, each without the ones below it, and the sum of all values.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub buckets: Buckets,
    pub counts: Vec<u64>,
    pub sum: u64,
}

impl Histogram {
    /// For one writer at a time.
    pub fn new(buckets: Buckets) -> Histogram {
        Histogram::of_parts(buckets, 1)
    }

    /// For many writers at once.
    pub fn of_parts(buckets: Buckets, parts: usize) -> Histogram {
        let part = |_| Part {
            sum: AtomicU64::new(0),
            counts: (0..=buckets.bounds.len()).map(|_| AtomicU64::new(0)).collect(),
        };
        Histogram { buckets, parts: (0..parts.max(1)).map(part).collect() }
    }

    pub fn record(&self, value: u64) {
        self.record_in(0, value);
    }

    /// Any number names a part.
    pub fn record_in(&self, part: usize, value: u64) {
        let part = &self.parts[part % self.parts.len()];
        let bucket = self.buckets.bounds.partition_point(|bound| *bound < value);
        part.counts[bucket].fetch_add(1, Ordering::Relaxed);
        part.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot =
            Snapshot { buckets: self.buckets, counts: vec![0; self.buckets.bounds.len() + 1], sum: 0 };
        for part in &self.parts {
            for (sum, count) in snapshot.counts.iter_mut().zip(&part.counts) {
                *sum += count.load(Ordering::Relaxed);
            }
            snapshot.sum = snapshot.sum.wrapping_add(part.sum.load(Ordering::Relaxed));
        }
        snapshot
    }
}

impl Snapshot {
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_rise_and_include_their_value() {
        for buckets in [LATENCIES, BYTES, COUNTS] {
            assert!(buckets.bounds.is_sorted_by(|a, b| a < b));
        }
        let histogram = Histogram::new(Buckets { bounds: &[10, 20], divisor: 1.0 });
        [0, 10, 11, 20, 21, 1_000].into_iter().for_each(|value| histogram.record(value));
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.counts.clone(), snapshot.sum), (vec![2, 2, 2], 1_062));
        assert_eq!(snapshot.count(), 6);
    }

    #[test]
    fn no_value_of_many_writers_is_lost() {
        let histogram = Histogram::of_parts(COUNTS, 3);
        std::thread::scope(|scope| {
            for part in 0..8 {
                let histogram = &histogram;
                scope.spawn(move || (0..1_000).for_each(|value| histogram.record_in(part, value)));
            }
        });
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.count(), snapshot.sum), (8_000, 8 * 999 * 500));
    }
}
