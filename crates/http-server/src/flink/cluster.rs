//! The node as Flink shows a cluster: `/overview` and `/config`.

use crate::reply::Reply;
use crate::router::Site;
use runtime::JobState;
use serde_json::json;

/// How often a dashboard should ask again.
const REFRESH_INTERVAL_MS: u64 = 3000;

pub(crate) fn overview(site: &Site) -> Reply {
    let jobs = site.runtime.jobs();
    let count = |is: fn(JobState) -> bool| jobs.iter().filter(|job| is(job.state)).count();
    let slots: usize = jobs.iter().filter(|job| job.state.is_active()).map(|job| job.workers).sum();
    Reply::ok(json!({
        "taskmanagers": 1,
        "slots-total": slots,
        "slots-available": 0,
        "jobs-running": count(JobState::is_active),
        "jobs-finished": count(|state| state == JobState::Finished),
        "jobs-cancelled": count(|state| matches!(state, JobState::Canceled | JobState::Suspended)),
        "jobs-failed": count(|state| state == JobState::Failed),
        "flink-version": site.version,
        "flink-commit": "",
    }))
}

pub(crate) fn config(site: &Site) -> Reply {
    Reply::ok(json!({
        "refresh-interval": REFRESH_INTERVAL_MS,
        "timezone-name": "UTC",
        "timezone-offset": 0,
        "flink-version": site.version,
        "flink-revision": "",
        "features": {
            "web-submit": false,
            "web-cancel": true,
            "web-rescale": false,
            "web-history": false,
        },
    }))
}
