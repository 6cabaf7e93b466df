//! Lists of jobs: `/jobs` and `/jobs/overview`.

use super::{JOB_TYPE, SCHEDULER, duration_ms, end_ms, start_ms, task_counts, tasks};
use crate::reply::Reply;
use crate::router::Site;
use serde_json::{Value, json};

pub(crate) fn ids(site: &Site) -> Reply {
    let jobs = site.runtime.jobs();
    let jobs: Vec<Value> =
        jobs.iter().map(|job| json!({ "id": job.id, "status": job.state.name() })).collect();
    Reply::ok(json!({ "jobs": jobs }))
}

pub(crate) fn overview(site: &Site) -> Reply {
    let now_ms = site.os.clock.now_ms();
    let jobs = site.runtime.jobs();
    let row = |job: &runtime::JobStatus| {
        let mut counts = task_counts(job.state, tasks(job));
        counts.insert("total".into(), tasks(job).into());
        json!({
            "jid": job.id,
            "name": job.name,
            "jobType": JOB_TYPE,
            "schedulerType": SCHEDULER,
            "start-time": start_ms(job),
            "end-time": end_ms(job),
            "duration": duration_ms(job, now_ms),
            "state": job.state.name(),
            "last-modification": job.since_ms.unwrap_or(-1),
            "tasks": counts,
            "pending-operators": 0,
        })
    };
    Reply::ok(json!({ "jobs": jobs.iter().map(row).collect::<Vec<_>>() }))
}
