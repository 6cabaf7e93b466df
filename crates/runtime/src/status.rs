//! What a job looks like from outside: state, counters, failures, positions.
//!
//! A status is put together when somebody asks: from what this process knows of a job that it ran, and from the
//! journal for everything that outlives a process. Jobs that only the journal knows are listed too.

use crate::coordinates::{Cursor, ScanSplits};
use crate::error::RuntimeError;
use crate::job::{JobRequest, lock};
use crate::journal::{Counts, JournalState};
use crate::measured::Meters;
use crate::progress::SharedProgress;
use crate::progress::{JobProgress, ScanProgress, SinkProgress};
use crate::savepoint::Requests;
use crate::supervisor::Stop;
use base::ErrorKind;
use dataflow::plan::{Gate, Plan};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// Failures that are kept for those who look.
pub const FAILURES_KEPT_MAX: usize = 16;

/// Flink's names of the states that a job can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Taken, and not yet begun.
    Created,
    Running,
    /// It failed and waits for its next attempt.
    Restarting,
    /// It failed and is not run again by itself.
    Failed,
    /// Somebody stopped it; the journal has all that it takes to resume it.
    Canceled,
    /// Its input is done.
    Finished,
    /// The journal has it, unfinished, and it does not run.
    Suspended,
}

impl JobState {
    pub const ALL: [JobState; 7] = [
        JobState::Created,
        JobState::Running,
        JobState::Restarting,
        JobState::Failed,
        JobState::Canceled,
        JobState::Finished,
        JobState::Suspended,
    ];

    /// As Flink writes it.
    pub fn name(self) -> &'static str {
        match self {
            JobState::Created => "CREATED",
            JobState::Running => "RUNNING",
            JobState::Restarting => "RESTARTING",
            JobState::Failed => "FAILED",
            JobState::Canceled => "CANCELED",
            JobState::Finished => "FINISHED",
            JobState::Suspended => "SUSPENDED",
        }
    }

    /// It runs, or will by itself.
    pub fn is_active(self) -> bool {
        match self {
            JobState::Created | JobState::Running | JobState::Restarting => true,
            JobState::Failed | JobState::Canceled | JobState::Finished | JobState::Suspended => false,
        }
    }
}

/// One failure of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFailure {
    /// Counted from 1 since the job was submitted.
    pub number: u64,
    pub at_ms: i64,
    /// The last step that was run.
    pub step: u64,
    pub kind: ErrorKind,
    pub reason: String,
    /// After how long the job starts again; none if it does not.
    pub restart_after_ms: Option<u64>,
}

/// A node of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorStatus {
    pub node: u32,
    pub description: String,
    /// The same, shorter, as EXPLAIN has it.
    pub summary: String,
    /// What it keeps, by which key and until when.
    pub keeps: Option<String>,
    /// Nodes whose rows it takes.
    pub inputs: Vec<u32>,
    pub gate: Gate,
    /// What it reads or writes.
    pub topic: Option<String>,
}

/// Where a job is in one split of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitStatus {
    /// The scan's node in the plan.
    pub node: u32,
    pub split: String,
    pub position: i64,
    /// One past the last position, where that is known.
    pub end: Option<i64>,
    pub finished: bool,
    /// Of a job that runs: whether its rows say what time it is, the greatest watermark that they gave (ms), and whether it
    /// is not waited for.
    pub tells_time: bool,
    pub watermark_ms: Option<i64>,
    pub is_idle: bool,
}

/// A job as it is at this moment.
#[derive(Debug, Clone)]
pub struct JobStatus {
    /// 32 hexadecimal digits, the same for a job as long as its data directory has it.
    pub id: String,
    pub name: String,
    pub state: JobState,
    /// When the state was entered; none where only the journal knows the job.
    pub since_ms: Option<i64>,
    /// When this process took the job up.
    pub started_ms: Option<i64>,
    pub ended_ms: Option<i64>,
    pub progress: JobProgress,
    /// The last failures in this process, oldest first.
    pub failures: Vec<JobFailure>,
    /// How often this process has run the job again.
    pub restarts: u64,
    /// When the next attempt begins, while the job waits for it.
    pub again_at_ms: Option<i64>,
    /// Threads that a step runs on; 0 where only the journal knows the job.
    pub workers: usize,
    /// The name of the restart strategy; empty where only the journal knows the job.
    pub restart_strategy: &'static str,
    /// The plan, inputs before their readers; empty where only the journal knows the job.
    pub operators: Vec<OperatorStatus>,
    pub splits: Vec<SplitStatus>,
    /// The step of the snapshot that a recovery would begin with, and the clock of that step.
    pub snapshot_step: Option<u64>,
    pub snapshot_clock_ms: Option<i64>,
    /// Histograms of this process; none where only the journal knows the job.
    pub meters: Option<Arc<Meters>>,
}

/// The id of a job: its name and, once it has begun, what tells it from others of that name.
pub(crate) fn job_id(name: &str, instance: u64) -> String {
    let mut bytes = instance.to_le_bytes().to_vec();
    bytes.extend_from_slice(name.as_bytes());
    let high = state::hash(&bytes);
    bytes.extend_from_slice(&high.to_le_bytes());
    format!("{high:016x}{:016x}", state::hash(&bytes))
}

/// The topic of the node's own log that a table of a plan lies in.
pub fn topic_of(node: &dataflow::plan::Node) -> Option<&str> {
    use dataflow::plan::NodeKind;
    let (NodeKind::Scan { table, .. } | NodeKind::Sink { table }) = &node.kind else { return None };
    let option = |key: &str| table.options.get(key).map(String::as_str);
    let is_ours = matches!(option("connector"), Some("kafka" | "upsert-kafka"))
        && option("properties.bootstrap.servers").is_none();
    option("topic").filter(|_| is_ours)
}

/// The nodes of a plan.
fn operators(plan: &Plan) -> Vec<OperatorStatus> {
    let operator = |(index, node): (usize, &dataflow::plan::Node)| OperatorStatus {
        node: index as u32,
        description: plan.describe_node(node),
        summary: dataflow::plan::tree::line(plan, node),
        keeps: plan.kept(dataflow::plan::NodeId(index)).map(|kept| kept.to_string()),
        inputs: node.inputs.iter().map(|input| input.0 as u32).collect(),
        gate: node.kind.gate(),
        topic: topic_of(node).map(str::to_string),
    };
    plan.nodes.iter().enumerate().map(operator).collect()
}

/// A job of this process: running, between two attempts, or ended.
pub(crate) struct Tracked {
    pub name: String,
    pub instance: u64,
    pub request: JobRequest,
    pub progress: SharedProgress,
    pub stop: Stop,
    created_ms: i64,
    workers: usize,
    restart_strategy: &'static str,
    operators: Vec<OperatorStatus>,
    life: Mutex<Life>,
    /// None when the job has ended: nobody would answer.
    savepoints: Mutex<Option<Arc<Requests>>>,
}

/// What has become of a job so far.
#[derive(Debug, Clone)]
struct Life {
    state: JobState,
    since_ms: i64,
    ended_ms: Option<i64>,
    /// The last failures, oldest first.
    failures: VecDeque<JobFailure>,
    failure_count: u64,
    restarts: u64,
    again_at_ms: Option<i64>,
}

impl Tracked {
    pub(crate) fn new(request: &JobRequest, instance: u64, now_ms: i64) -> Tracked {
        let name = request.name.clone();
        Tracked {
            name: name.clone(),
            instance,
            request: request.clone(),
            progress: SharedProgress::new(JobProgress { job: name, ..JobProgress::default() }),
            stop: Stop::default(),
            created_ms: now_ms,
            workers: request.options.workers,
            restart_strategy: request.options.restart.name(),
            operators: operators(&request.plan),
            life: Mutex::new(Life {
                state: JobState::Created,
                since_ms: now_ms,
                ended_ms: None,
                failures: VecDeque::new(),
                failure_count: 0,
                restarts: 0,
                again_at_ms: None,
            }),
            savepoints: Mutex::new(Some(Arc::default())),
        }
    }

    pub(crate) fn state(&self) -> JobState {
        lock(&self.life).state
    }

    /// Where to ask for savepoints, as long as somebody answers.
    pub(crate) fn savepoints(&self) -> Option<Arc<Requests>> {
        lock(&self.savepoints).clone()
    }

    pub(crate) fn enter(&self, state: JobState, now_ms: i64) {
        let mut life = lock(&self.life);
        (life.state, life.since_ms, life.again_at_ms) = (state, now_ms, None);
    }

    pub(crate) fn failed(&self, error: &RuntimeError, restart_after_ms: Option<u64>, now_ms: i64) {
        let step = self.progress.read().steps;
        let mut life = lock(&self.life);
        life.failure_count += 1;
        let failure = JobFailure {
            number: life.failure_count,
            at_ms: now_ms,
            step,
            kind: error.kind(),
            reason: error.to_string(),
            restart_after_ms,
        };
        life.failures.push_back(failure);
        if life.failures.len() > FAILURES_KEPT_MAX {
            life.failures.pop_front();
        }
        if let Some(delay_ms) = restart_after_ms {
            (life.state, life.since_ms) = (JobState::Restarting, now_ms);
            life.again_at_ms = Some(now_ms.saturating_add(i64::try_from(delay_ms).unwrap_or(i64::MAX)));
        }
    }

    /// The failures behind the first `seen` ones that are still kept.
    pub(crate) fn failures_after(&self, seen: u64) -> Vec<JobFailure> {
        lock(&self.life).failures.iter().filter(|failure| failure.number > seen).cloned().collect()
    }

    pub(crate) fn begin_again(&self) {
        self.progress.begin_again();
        lock(&self.life).restarts += 1;
    }

    pub(crate) fn end(&self, state: JobState, now_ms: i64) {
        // Those who wait for a savepoint are told when the last owner of the requests is gone.
        lock(&self.savepoints).take();
        self.enter(state, now_ms);
        lock(&self.life).ended_ms = Some(now_ms);
    }

    pub(crate) fn status(&self, journalled: Option<&JournalState>) -> JobStatus {
        let life = lock(&self.life).clone();
        let instance = journalled.map_or(self.instance, |state| state.instance);
        let progress = self.progress.read();
        let mut splits = journalled.map_or(Vec::new(), splits);
        for known in &progress.split_watermarks {
            let of_scan = splits.iter_mut().filter(|split| split.node as usize == known.scan.0);
            if let Some(split) = of_scan.into_iter().nth(known.split as usize) {
                split.tells_time = true;
                (split.watermark_ms, split.is_idle) = (known.watermark_ms, known.is_idle);
            }
        }
        JobStatus {
            id: job_id(&self.name, instance),
            name: self.name.clone(),
            state: life.state,
            since_ms: Some(life.since_ms),
            started_ms: Some(self.created_ms),
            ended_ms: life.ended_ms,
            progress,
            failures: life.failures.into(),
            restarts: life.restarts,
            again_at_ms: life.again_at_ms,
            workers: self.workers,
            restart_strategy: self.restart_strategy,
            operators: self.operators.clone(),
            splits,
            snapshot_step: journalled.and_then(|state| Some(state.snapshot.as_ref()?.step)),
            snapshot_clock_ms: journalled.and_then(|state| Some(state.snapshot.as_ref()?.clock_ms)),
            meters: Some(self.progress.meters.clone()),
        }
    }
}

/// A job that only the journal knows.
pub(crate) fn of_journal(name: &str, state: &JournalState) -> JobStatus {
    JobStatus {
        id: job_id(name, state.instance),
        name: name.to_string(),
        state: if state.finished { JobState::Finished } else { JobState::Suspended },
        since_ms: None,
        started_ms: None,
        ended_ms: None,
        progress: counted(name, state.last_step, &state.counts.by_node(|tag| state.node_of(tag))),
        failures: Vec::new(),
        restarts: 0,
        again_at_ms: None,
        workers: 0,
        restart_strategy: "",
        operators: Vec::new(),
        splits: splits(state),
        snapshot_step: state.snapshot.as_ref().map(|snapshot| snapshot.step),
        snapshot_clock_ms: state.snapshot.as_ref().map(|snapshot| snapshot.clock_ms),
        meters: None,
    }
}

impl JobStatus {
    /// The rows that were read, over all tables.
    pub fn rows_in(&self) -> u64 {
        self.progress.scans.iter().map(|scan| scan.rows).sum()
    }

    /// The rows that were written, over all tables.
    pub fn rows_out(&self) -> u64 {
        self.progress.sinks.iter().map(|sink| sink.rows).sum()
    }
}

/// The journal's counts as a running job would show them; it does not know the tables' names.
fn counted(name: &str, steps: u64, counts: &Counts) -> JobProgress {
    let table = String::new;
    JobProgress {
        job: name.to_string(),
        scans: counts
            .rows_in
            .iter()
            .map(|(node, rows)| ScanProgress { node: *node, table: table(), rows: *rows })
            .collect(),
        sinks: counts
            .rows_out
            .iter()
            .map(|(node, rows)| SinkProgress {
                node: *node,
                table: table(),
                rows: *rows,
                ..SinkProgress::default()
            })
            .collect(),
        steps,
        late_rows: counts.late_rows,
        skipped_records: counts.skipped_records,
        dead_letters: counts.dead_letters,
        rows_before: Some(counts.rows_in.values().sum()),
        ..JobProgress::default()
    }
}

/// The splits with the positions behind the last journalled step. A job that has finished keeps none.
fn splits(state: &JournalState) -> Vec<SplitStatus> {
    let mut splits = Vec::new();
    for ScanSplits { scan, splits: of_scan } in &state.scans {
        for (index, split) in (0u32..).zip(of_scan) {
            let taken = |cursor: &&Cursor| cursor.scan == *scan && cursor.split == index;
            let snapshot = state.snapshot.iter().flat_map(|snapshot| &snapshot.cursors).find(taken);
            let (mut position, mut finished) =
                snapshot.map_or((split.start, false), |cursor| (cursor.position, cursor.finished));
            for range in state.steps.iter().flat_map(|step| &step.ranges) {
                if range.scan == *scan && range.split == index {
                    (position, finished) = (range.to, range.finished);
                }
            }
            if state.finished {
                (position, finished) = (split.end.unwrap_or(position), true);
            }
            splits.push(SplitStatus {
                node: state.node_of(*scan),
                split: split.id.clone(),
                position: position.0,
                end: split.end.map(|end| end.0),
                finished,
                tells_time: false,
                watermark_ms: None,
                is_idle: false,
            });
        }
    }
    splits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_and_tell_jobs_apart() {
        assert_eq!(job_id("sums", 7), job_id("sums", 7));
        let ids = [job_id("sums", 7), job_id("sums", 8), job_id("sum", 7), job_id("", 0)];
        for (index, id) in ids.iter().enumerate() {
            assert!(id.len() == 32 && id.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)));
            assert!(!ids[..index].contains(id), "{id}");
        }
    }
}
