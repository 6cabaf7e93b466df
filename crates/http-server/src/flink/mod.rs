//! The shapes of Flink's REST API, made of jobs.
//!
//! One file per family: `cluster` (the node as a cluster), `jobs` (lists), `details` (one job), `commands` (what changes
//! a job). The names of fields are Flink's; `-1` stands for a time that is not known, as it does there.

pub(crate) mod cluster;
pub(crate) mod commands;
pub(crate) mod details;
pub(crate) mod jobs;
pub(crate) mod vertices;

use runtime::{JobState, JobStatus};
use serde_json::{Map, Value};

/// Every job is one, bounded or not.
const JOB_TYPE: &str = "STREAMING";

/// Flink's clients want one of its schedulers.
const SCHEDULER: &str = "Default";

/// The states of tasks, in Flink's order.
const TASK_STATES: [&str; 10] = [
    "created",
    "scheduled",
    "deploying",
    "running",
    "finished",
    "canceling",
    "canceled",
    "failed",
    "reconciling",
    "initializing",
];

/// The state that the tasks of a job in this state have.
fn task_state(state: JobState) -> &'static str {
    match state {
        JobState::Created | JobState::Restarting => "created",
        JobState::Running => "running",
        JobState::Failed => "failed",
        JobState::Canceled | JobState::Suspended => "canceled",
        JobState::Finished => "finished",
    }
}

/// How many of `tasks` tasks are in which state.
fn task_counts(state: JobState, tasks: usize) -> Map<String, Value> {
    let count = |name: &&str| if *name == task_state(state) { tasks } else { 0 };
    TASK_STATES.iter().map(|name| (name.to_string(), count(name).into())).collect()
}

/// The tasks of a job: each node of the plan on each worker.
fn tasks(job: &JobStatus) -> usize {
    job.operators.len() * job.workers
}

fn start_ms(job: &JobStatus) -> i64 {
    job.started_ms.unwrap_or(-1)
}

fn end_ms(job: &JobStatus) -> i64 {
    job.ended_ms.unwrap_or(-1)
}

/// From the start to the end, or until now.
fn duration_ms(job: &JobStatus, now_ms: i64) -> i64 {
    job.started_ms.map_or(0, |started_ms| job.ended_ms.unwrap_or(now_ms).saturating_sub(started_ms).max(0))
}
