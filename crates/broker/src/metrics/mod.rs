//! What the broker counts and measures: requests, connections, log-ins, topics, groups, share groups, transactions.
//!
//! `counters` holds what is counted as it happens: at most an addition to one atomic for each partition of a fetch and
//! two for each request. `groups` and `measured` read everything else from the state when somebody scrapes. Series whose
//! names clients choose (topics, partitions, groups) are as many as `metrics.series.max` says; the rest is in one series
//! more.

mod counters;
mod groups;
mod measured;

pub(crate) use counters::{Counters, ShareCounts, count, read};

use metrics::Family;

/// Everything that the broker measures.
pub fn metric_families() -> Vec<Family> {
    measured::families().into_iter().chain(groups::families()).collect()
}
