//! One job: `/jobs/:jobid` and what is below it to read.

use super::{JOB_TYPE, SCHEDULER, duration_ms, end_ms, start_ms, task_counts, task_state};
use crate::reply::Reply;
use crate::router::{Site, query_value};
use runtime::status::{OperatorStatus, SplitStatus};
use runtime::{JobState, JobStatus};
use serde_json::{Map, Value, json};

/// Key groups, which bound how far a job spreads.
pub(super) const PARALLELISM_MAX: u64 = 128;

/// The exceptions that are shown unless the request says otherwise.
const EXCEPTIONS_MAX: usize = 20;

pub(super) fn with_job(site: &Site, name_or_id: &str, answer: impl FnOnce(&JobStatus) -> Value) -> Reply {
    match site.runtime.find(name_or_id) {
        Some(job) => Reply::ok(answer(&job)),
        None => Reply::no_job(name_or_id),
    }
}

pub(crate) fn job(site: &Site, name_or_id: &str) -> Reply {
    let now_ms = site.os.clock.now_ms();
    with_job(site, name_or_id, |job| {
        json!({
            "jid": job.id,
            "name": job.name,
            "isStoppable": true,
            "state": job.state.name(),
            "job-type": JOB_TYPE,
            "schedulerType": SCHEDULER,
            "start-time": start_ms(job),
            "end-time": end_ms(job),
            "duration": duration_ms(job, now_ms),
            "maxParallelism": PARALLELISM_MAX,
            "now": now_ms,
            "timestamps": timestamps(job),
            "vertices": job.operators.iter().map(|node| vertex(job, node, now_ms)).collect::<Vec<_>>(),
            "status-counts": upper(&task_counts(job.state, job.operators.len())),
            "plan": plan_of(job),
            "pending-operators": 0,
            // What Flink has no names for.
            "steps": job.progress.steps,
            "replayed-steps": job.progress.replayed_steps,
            "rebuild": job.progress.rebuild.map(|rebuild| json!({"rows": rebuild.rows, "percent": rebuild.percent()})),
            "restarts": job.restarts,
            "next-attempt": job.again_at_ms,
            "watermark": job.progress.watermark_ms,
            "lag-records": job.state.is_active().then_some(job.progress.lag_records),
            "late-rows": job.progress.late_rows,
            "skipped-records": job.progress.skipped_records,
            "dead-letters": job.progress.dead_letters,
            "state-memory-bytes": job.progress.state_memory_bytes,
            "waits-for-disk": job.progress.waits_for_disk,
            "tables-in": tables(job.progress.scans.iter().map(|scan| (scan.node, &scan.table, scan.rows))),
            "tables-out": tables(job.progress.sinks.iter().map(|sink| (sink.node, &sink.table, sink.rows))),
            "snapshot-step": job.snapshot_step,
            "snapshot-clock": job.snapshot_clock_ms,
            "splits": job.splits.iter().map(split).collect::<Vec<_>>(),
            "workers": job.workers,
            "step-rows": job.progress.step_rows,
            "run-ns": job.progress.run_ns,
            "commit-ns": job.progress.commit_ns,
            "upkeep-ns": job.progress.upkeep_ns,
            "operators": job.operators.iter().map(|operator| measured(job, operator)).collect::<Vec<_>>(),
        })
    })
}

fn split(split: &SplitStatus) -> Value {
    json!({
        "node": split.node,
        "split": split.split,
        "position": split.position,
        "end": split.end,
        "finished": split.finished,
        "watermark": split.watermark_ms,
        "idle": split.is_idle,
    })
}

fn tables<'a>(rows: impl Iterator<Item = (u32, &'a String, u64)>) -> Vec<Value> {
    rows.map(|(node, table, rows)| json!({ "node": node, "table": table, "rows": rows })).collect()
}

/// What EXPLAIN ANALYZE shows of a node.
fn measured(job: &JobStatus, operator: &OperatorStatus) -> Value {
    let progress = job.progress.operators.get(operator.node as usize).copied().unwrap_or_default();
    json!({
        "node": operator.node,
        "operator": operator.summary,
        "inputs": operator.inputs,
        "keeps": operator.keeps,
        "topic": operator.topic,
        "rows-in": progress.rows_in,
        "rows-out": progress.rows_out,
        "late-rows": progress.late_rows,
        "busy-ns": progress.busy_ns,
        "watermark": progress.watermark_ms,
        "waits-until": progress.waits_until_ms,
        "state-keys": progress.state.keys,
        "state-memory-bytes": progress.state.memory_bytes,
        "state-run-entries": progress.state.run_entries,
        "state-run-bytes": progress.state.run_bytes,
    })
}

/// When the job entered which state, as far as that is known; 0 is never.
fn timestamps(job: &JobStatus) -> Map<String, Value> {
    let others = ["INITIALIZING", "FAILING", "CANCELLING", "RECONCILING"];
    let mut times: Map<String, Value> = JobState::ALL
        .iter()
        .map(|state| state.name())
        .chain(others)
        .map(|name| (name.into(), 0.into()))
        .collect();
    let created_ms = job.started_ms.unwrap_or(0);
    for name in ["INITIALIZING", "CREATED"] {
        times.insert(name.into(), created_ms.into());
    }
    times.insert(job.state.name().into(), job.since_ms.unwrap_or(0).into());
    times
}

fn upper(counts: &Map<String, Value>) -> Map<String, Value> {
    counts.iter().map(|(name, count)| (name.to_uppercase(), count.clone())).collect()
}

/// The id of a node of the plan, in the form that Flink's ids have.
pub(super) fn vertex_id(node: u32) -> String {
    format!("{node:032x}")
}

fn vertex(job: &JobStatus, operator: &OperatorStatus, now_ms: i64) -> Value {
    json!({
        "id": vertex_id(operator.node),
        "slotSharingGroupId": vertex_id(0),
        "name": operator.description,
        "maxParallelism": PARALLELISM_MAX,
        "parallelism": job.workers,
        "status": task_state(job.state).to_uppercase(),
        "start-time": start_ms(job),
        "end-time": end_ms(job),
        "duration": duration_ms(job, now_ms),
        "tasks": upper(&task_counts(job.state, job.workers)),
        "metrics": vertex_metrics(job, operator),
    })
}

/// A scan puts out what it read and a sink takes in what it wrote, over the job's life; the other nodes are counted
/// since this process took the job up.
pub(super) fn vertex_metrics(job: &JobStatus, operator: &OperatorStatus) -> Value {
    let read = job.progress.scans.iter().find(|scan| scan.node == operator.node).map(|scan| scan.rows);
    let written = job.progress.sinks.iter().find(|sink| sink.node == operator.node).map(|sink| sink.rows);
    let counted = job.progress.operators.get(operator.node as usize);
    let rows_in = if read.is_some() { None } else { counted.map(|counted| counted.rows_in) };
    let rows_out = if written.is_some() { None } else { counted.map(|counted| counted.rows_out) };
    let busy_ms = counted.map_or(0.0, |counted| counted.busy_ns as f64 / 1e6);
    json!({
        "read-bytes": 0,
        "read-bytes-complete": false,
        "write-bytes": 0,
        "write-bytes-complete": false,
        "read-records": written.or(rows_in).unwrap_or(0),
        "read-records-complete": written.or(rows_in).is_some(),
        "write-records": read.or(rows_out).unwrap_or(0),
        "write-records-complete": read.or(rows_out).is_some(),
        "accumulated-backpressured-time": 0,
        "accumulated-idle-time": 0,
        "accumulated-busy-time": busy_ms,
    })
}

fn plan_of(job: &JobStatus) -> Value {
    let node = |operator: &OperatorStatus| {
        let input = |(number, node): (usize, &u32)| json!({ "num": number, "id": vertex_id(*node), "ship_strategy": "", "exchange": "pipelined_bounded" });
        json!({
            "id": vertex_id(operator.node),
            "parallelism": job.workers,
            "operator": "",
            "operator_strategy": "",
            "description": operator.description,
            "inputs": operator.inputs.iter().enumerate().map(input).collect::<Vec<_>>(),
            "optimizer_properties": {},
        })
    };
    let nodes: Vec<Value> = job.operators.iter().map(node).collect();
    json!({ "jid": job.id, "name": job.name, "type": JOB_TYPE, "nodes": nodes })
}

pub(crate) fn plan(site: &Site, name_or_id: &str) -> Reply {
    with_job(site, name_or_id, |job| json!({ "plan": plan_of(job) }))
}

pub(crate) fn status(site: &Site, name_or_id: &str) -> Reply {
    with_job(site, name_or_id, |job| json!({ "status": job.state.name() }))
}

/// What keeps rows from coming out of a job.
pub(crate) fn why(site: &Site, name_or_id: &str) -> Reply {
    with_job(site, name_or_id, |job| {
        let operator = |node: u32| job.operators.iter().find(|operator| operator.node == node);
        let finding = |finding: &runtime::Finding| {
            json!({
                "cause": finding.cause.name(),
                "sink": (!finding.sink.is_empty()).then_some(&finding.sink),
                "node": finding.node,
                "operator": finding.node.and_then(operator).map(|operator| &operator.summary),
                "what": finding.what,
                "advice": finding.advice,
            })
        };
        let findings: Vec<Value> = runtime::why(job).iter().map(finding).collect();
        json!({ "jid": job.id, "name": job.name, "state": job.state.name(), "findings": findings })
    })
}

/// The failures, the last one first.
pub(crate) fn exceptions(site: &Site, name_or_id: &str, query: &str) -> Reply {
    let shown_max = match query_value(query, "maxExceptions").map(|text| text.parse::<usize>()) {
        None => EXCEPTIONS_MAX,
        Some(Ok(number)) => number,
        Some(Err(_)) => {
            let message = "maxExceptions is not a whole number";
            return Reply::error(hyper::StatusCode::BAD_REQUEST, message);
        }
    };
    with_job(site, name_or_id, |job| {
        let entry = |failure: &runtime::JobFailure| {
            json!({
                "exceptionName": format!("eventwright.{}", failure.kind.name()),
                "stacktrace": failure.reason,
                "timestamp": failure.at_ms,
                "failureLabels": { "kind": failure.kind.name(), "step": failure.step.to_string() },
                "taskName": Value::Null,
                "location": Value::Null,
                "endpoint": Value::Null,
                "taskManagerId": Value::Null,
                "concurrentExceptions": [],
            })
        };
        let entries: Vec<Value> = job.failures.iter().rev().take(shown_max).map(entry).collect();
        let count = job.failures.last().map_or(0, |failure| failure.number);
        let truncated = count > entries.len() as u64;
        let last = job.failures.last();
        json!({
            "root-exception": last.map(|failure| &failure.reason),
            "timestamp": last.map(|failure| failure.at_ms),
            "all-exceptions": [],
            "truncated": truncated,
            "exceptionHistory": { "entries": entries, "truncated": truncated },
        })
    })
}

pub(crate) fn config(site: &Site, name_or_id: &str) -> Reply {
    with_job(site, name_or_id, |job| {
        json!({
            "jid": job.id,
            "name": job.name,
            "execution-config": {
                "restart-strategy": job.restart_strategy,
                "job-parallelism": job.workers,
                "object-reuse-mode": false,
                "user-config": {},
            },
        })
    })
}
