//! The operators of a job as Flink's vertices: `/jobs/:jobid/vertices/:vertexid…` and the metrics of jobs and vertices.
//!
//! A vertex is one node of the plan. It has one subtask that stands for all workers: a step runs on all of them, so
//! none of them has numbers of its own.

use super::details::{vertex_id, vertex_metrics, with_job};
use super::{duration_ms, end_ms, start_ms, task_state};
use crate::reply::Reply;
use crate::router::{Site, query_value};
use hyper::StatusCode;
use runtime::status::OperatorStatus;
use runtime::{JobStatus, OperatorProgress};
use serde_json::{Value, json};

fn with_vertex(
    site: &Site,
    job: &str,
    vertex: &str,
    answer: impl FnOnce(&JobStatus, &OperatorStatus) -> Value,
) -> Reply {
    let Some(job) = site.runtime.find(job) else { return Reply::no_job(job) };
    match job.operators.iter().find(|operator| vertex_id(operator.node) == vertex) {
        Some(operator) => Reply::ok(answer(&job, operator)),
        None => Reply::error(
            StatusCode::NOT_FOUND,
            format!("JobVertex {vertex} is not a vertex of job {}", job.id),
        ),
    }
}

pub(crate) fn vertex(site: &Site, job: &str, vertex: &str) -> Reply {
    let now_ms = site.os.clock.now_ms();
    with_vertex(site, job, vertex, |job, operator| {
        let status = task_state(job.state).to_uppercase();
        json!({
            "id": vertex_id(operator.node),
            "name": operator.summary,
            "parallelism": job.workers,
            "maxParallelism": super::details::PARALLELISM_MAX,
            "now": now_ms,
            "subtasks": [{
                "subtask": 0,
                "status": status,
                "attempt": job.restarts,
                "host": "localhost",
                "endpoint": "localhost",
                "start-time": start_ms(job),
                "end-time": end_ms(job),
                "duration": duration_ms(job, now_ms),
                "metrics": vertex_metrics(job, operator),
                "taskmanager-id": "(embedded)",
                "status-duration": { status.as_str(): duration_ms(job, now_ms) },
                "other-concurrent-attempts": [],
            }],
        })
    })
}

pub(crate) fn watermarks(site: &Site, job: &str, vertex: &str) -> Reply {
    with_vertex(site, job, vertex, |job, operator| {
        let watermark = progress(job, operator).watermark_ms;
        let entry = |ms: i64| json!({ "id": "0.currentInputWatermark", "value": ms.to_string() });
        Value::Array(watermark.map(entry).into_iter().collect())
    })
}

/// A job reads what it can commit: nothing is queued between operators, so none is ever held up by the next one.
pub(crate) fn backpressure(site: &Site, job: &str, vertex: &str) -> Reply {
    let now_ms = site.os.clock.now_ms();
    with_vertex(site, job, vertex, |job, operator| {
        let busy = busy_ratio(job, operator);
        json!({
            "status": "ok",
            "backpressureLevel": "ok",
            "backpressure-level": "ok",
            "end-timestamp": now_ms,
            "subtasks": [{
                "subtask": 0,
                "backpressureLevel": "ok",
                "backpressure-level": "ok",
                "ratio": 0.0,
                "idleRatio": 1.0 - busy,
                "busyRatio": busy,
            }],
        })
    })
}

pub(crate) fn accumulators(site: &Site, job: &str, vertex: &str) -> Reply {
    with_vertex(
        site,
        job,
        vertex,
        |_, operator| json!({ "id": vertex_id(operator.node), "user-accumulators": [] }),
    )
}

pub(crate) fn job_accumulators(site: &Site, job: &str) -> Reply {
    with_job(site, job, |_| {
        json!({
            "job-accumulators": [],
            "user-task-accumulators": [],
            "serialized-user-task-accumulators": {},
        })
    })
}

fn progress(job: &JobStatus, operator: &OperatorStatus) -> OperatorProgress {
    job.progress.operators.get(operator.node as usize).copied().unwrap_or_default()
}

/// The part of the time that the job has run that was spent in the node.
fn busy_ratio(job: &JobStatus, operator: &OperatorStatus) -> f64 {
    let busy_ns = progress(job, operator).busy_ns as f64;
    (busy_ns / (job.progress.run_ns.max(1) as f64)).clamp(0.0, 1.0)
}

type Metrics = Vec<(String, String)>;

fn metrics_of_vertex(job: &JobStatus, operator: &OperatorStatus) -> Metrics {
    let progress = progress(job, operator);
    let seconds = (job.progress.run_ns as f64 / 1e9).max(1e-3);
    let rate = |rows: u64| format!("{:.3}", rows as f64 / seconds);
    let mut metrics = vec![
        ("numRecordsIn".to_string(), progress.rows_in.to_string()),
        ("numRecordsOut".to_string(), progress.rows_out.to_string()),
        ("numRecordsInPerSecond".to_string(), rate(progress.rows_in)),
        ("numRecordsOutPerSecond".to_string(), rate(progress.rows_out)),
        ("numLateRecordsDropped".to_string(), progress.late_rows.to_string()),
        ("busyTimeMsPerSecond".to_string(), format!("{:.3}", busy_ratio(job, operator) * 1000.0)),
        ("accumulateBusyTimeMs".to_string(), format!("{:.3}", progress.busy_ns as f64 / 1e6)),
        ("stateKeys".to_string(), progress.state.keys.to_string()),
        ("stateMemoryBytes".to_string(), progress.state.memory_bytes.to_string()),
        ("stateRunEntries".to_string(), progress.state.run_entries.to_string()),
        ("stateRunBytes".to_string(), progress.state.run_bytes.to_string()),
    ];
    if let Some(watermark_ms) = progress.watermark_ms {
        metrics.push(("currentInputWatermark".to_string(), watermark_ms.to_string()));
    }
    metrics
}

fn metrics_of_job(job: &JobStatus, now_ms: i64) -> Metrics {
    let mut metrics = vec![
        ("numRestarts".to_string(), job.restarts.to_string()),
        ("fullRestarts".to_string(), job.restarts.to_string()),
        ("uptime".to_string(), duration_ms(job, now_ms).to_string()),
        ("steps".to_string(), job.progress.steps.to_string()),
        ("lagRecords".to_string(), job.progress.lag_records.to_string()),
        ("stateMemoryBytes".to_string(), job.progress.state_memory_bytes.to_string()),
    ];
    if let Some(step) = job.snapshot_step {
        metrics.push(("lastSnapshotStep".to_string(), step.to_string()));
    }
    metrics
}

/// The names of all metrics, or the values of those that `?get=a,b` asks for; unknown ones are left out, as in Flink.
fn selected(metrics: &Metrics, query: &str, prefix: &str) -> Value {
    let wanted = query_value(query, "get").filter(|wanted| !wanted.is_empty());
    let entries = match &wanted {
        None => metrics.iter().map(|(name, _)| json!({ "id": format!("{prefix}{name}") })).collect(),
        Some(wanted) => {
            let wanted = wanted.split(',').filter_map(|id| {
                let (_, value) = metrics.iter().find(|(name, _)| id.strip_prefix(prefix) == Some(name))?;
                Some(json!({ "id": id, "value": value }))
            });
            wanted.collect()
        }
    };
    Value::Array(entries)
}

pub(crate) fn vertex_metrics_list(site: &Site, job: &str, vertex: &str, query: &str) -> Reply {
    with_vertex(site, job, vertex, |job, operator| selected(&metrics_of_vertex(job, operator), query, "0."))
}

/// The same over the subtasks, of which there is one.
pub(crate) fn subtask_metrics(site: &Site, job: &str, vertex: &str, query: &str) -> Reply {
    with_vertex(site, job, vertex, |job, operator| {
        let mut found = selected(&metrics_of_vertex(job, operator), query, "");
        for entry in found.as_array_mut().into_iter().flatten() {
            let number = entry["value"].as_str().and_then(|value| value.parse::<f64>().ok());
            if let (Some(number), Some(entry)) = (number, entry.as_object_mut()) {
                entry.remove("value");
                for statistic in ["min", "max", "avg", "sum"] {
                    entry.insert(statistic.into(), number.into());
                }
            }
        }
        found
    })
}

pub(crate) fn job_metrics(site: &Site, job: &str, query: &str) -> Reply {
    let now_ms = site.os.clock.now_ms();
    with_job(site, job, |job| selected(&metrics_of_job(job, now_ms), query, ""))
}
