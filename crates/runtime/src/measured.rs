//! The jobs' part of the page of metrics: jobs, the vertices of their plans, and outboxes of outside sinks.
//!
//! Beside our own names there are those of Flink's reporter for Prometheus, in its camel case and with the labels that
//! mean something here: a vertex is one node of the plan, whose one subtask stands for all workers.

use crate::job::Runtime;
use crate::outbox;
use crate::progress::{FeedProgress, OperatorProgress, SinkProgress};
use crate::status::{JobState, JobStatus};
use base::Offset;
use dataflow::plan::NodeId;
use metrics::{
    COUNTS, Family, Histogram, LATENCIES, Page, Table, Value, counter, gauge, gauge_of_max, gauge_of_sum,
    histogram,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

/// Flink cuts the names of operators so; the descriptions of ours can be as long as a query.
const OPERATOR_NAME_CHARS_MAX: usize = 80;

/// What is measured of a job as long as this process knows it, through all its attempts.
#[derive(Debug)]
pub struct Meters {
    /// From the input's being read until what the step wrote is in the log.
    pub step: Histogram,
    pub step_rows: Histogram,
    /// From the fixing of the state until the snapshot is durable.
    pub snapshot: Histogram,
    /// By sink: the first offset of the outbox that the target does not have for good.
    /// By sink, with the sink's tag.
    outboxes: Mutex<BTreeMap<NodeId, (u32, Arc<AtomicI64>)>>,
}

impl Default for Meters {
    fn default() -> Meters {
        Meters {
            step: Histogram::new(LATENCIES),
            step_rows: Histogram::new(COUNTS),
            snapshot: Histogram::new(LATENCIES),
            outboxes: Mutex::default(),
        }
    }
}

impl Meters {
    /// Where the driver of a sink's outbox writes how far its target is; below 0 until it has been asked.
    pub(crate) fn outbox(&self, sink: NodeId, tag: u32) -> Arc<AtomicI64> {
        let mut outboxes = crate::job::lock(&self.outboxes);
        let (known, meter) = outboxes.entry(sink).or_insert_with(|| (tag, Arc::new(AtomicI64::new(-1))));
        *known = tag;
        meter.clone()
    }

    fn outboxes(&self) -> Vec<(NodeId, u32, i64)> {
        let outboxes = crate::job::lock(&self.outboxes);
        outboxes.iter().map(|(sink, (tag, next))| (*sink, *tag, next.load(Ordering::Relaxed))).collect()
    }
}

const STATES: Table<usize> = Table {
    labels: &["state"],
    rows: &[gauge("eventwright_jobs", "Jobs, by Flink's name of their state.", |count| {
        Some((*count).into())
    })],
};

const STATE: Table<bool> = Table {
    labels: &["job_name", "state"],
    rows: &[gauge("eventwright_job_state", "1 for the state that the job is in, 0 for the others.", |is| {
        Some((*is).into())
    })],
};

const CLUSTER: Table<usize> = Table {
    labels: &[],
    rows: &[gauge("flink_jobmanager_numRunningJobs", "Jobs that run.", |running| Some((*running).into()))],
};

/// A job that this process has run, at a moment.
struct Measured {
    status: JobStatus,
    meters: Arc<Meters>,
    now_ms: i64,
}

impl Measured {
    fn state_bytes(&self) -> u64 {
        self.status.progress.operators.iter().map(|operator| operator.state.run_bytes).sum()
    }

    fn state_keys(&self) -> u64 {
        self.status.progress.operators.iter().map(|operator| operator.state.keys).sum()
    }

    fn uptime_ms(&self) -> u64 {
        let ended_ms = self.status.ended_ms.unwrap_or(self.now_ms);
        let ms = self.status.started_ms.map_or(0, |started_ms| ended_ms.saturating_sub(started_ms));
        u64::try_from(ms).unwrap_or(0)
    }
}

/// How far a watermark is behind the clock; of a job that does not run, nothing.
fn delay(watermark_ms: Option<i64>, now_ms: i64, state: JobState) -> Option<Value> {
    // The least and the greatest watermark stand for none and for the end of the input.
    let watermark_ms = watermark_ms.filter(|ms| *ms > i64::MIN && *ms < i64::MAX && state.is_active())?;
    Some(Value::Real(now_ms.saturating_sub(watermark_ms) as f64 / 1e3))
}

fn seconds(ns: u64) -> Option<Value> {
    Some(Value::Real(ns as f64 / 1e9))
}

const JOBS: Table<Measured> = Table {
    labels: &["job_name"],
    rows: &[
        counter("eventwright_job_steps_total", "Steps, over the life of the job.", |job| {
            Some(job.status.progress.steps.into())
        }),
        counter(
            "eventwright_job_replayed_steps_total",
            "Steps that were run again from the journal when the job was resumed.",
            |job| Some(job.status.progress.replayed_steps.into()),
        ),
        histogram(
            "eventwright_job_step_seconds",
            "Time of a step, from its input being read until what it wrote is in the log.",
            |job| Some(job.meters.step.snapshot().into()),
        ),
        histogram("eventwright_job_step_rows", "Rows that a step took in.", |job| {
            Some(job.meters.step_rows.snapshot().into())
        }),
        counter(
            "eventwright_job_rows_in_total",
            "Rows read from all tables, over the life of the job.",
            |job| Some(job.status.rows_in().into()),
        ),
        counter(
            "eventwright_job_rows_out_total",
            "Rows written to all tables, over the life of the job.",
            |job| Some(job.status.rows_out().into()),
        ),
        counter(
            "eventwright_job_late_rows_total",
            "Rows that came too late for what they belong to.",
            |job| Some(job.status.progress.late_rows.into()),
        ),
        counter(
            "eventwright_job_skipped_records_total",
            "Records that could not be decoded and were skipped, as the table says.",
            |job| Some(job.status.progress.skipped_records.into()),
        ),
        counter(
            "eventwright_job_dead_letters_total",
            "Records that could not be decoded and went to a dead-letter topic.",
            |job| Some(job.status.progress.dead_letters.into()),
        ),
        gauge_of_max(
            "eventwright_job_watermark_delay_seconds",
            "How far the least watermark of the job is behind the clock.",
            |job| delay(job.status.progress.watermark_ms, job.now_ms, job.status.state),
        ),
        gauge_of_sum(
            "eventwright_job_lag_records",
            "Records ahead of the job in its sources, where these know.",
            |job| job.status.state.is_active().then(|| job.status.progress.lag_records.into()),
        ),
        gauge_of_sum("eventwright_job_state_memory_bytes", "State in memory, about.", |job| {
            Some(job.status.progress.state_memory_bytes.into())
        }),
        gauge_of_sum("eventwright_job_state_disk_bytes", "State in files.", |job| {
            Some(job.state_bytes().into())
        }),
        gauge_of_sum("eventwright_job_state_keys", "Keys of the state that are in memory.", |job| {
            Some(job.state_keys().into())
        }),
        gauge_of_max(
            "eventwright_job_waits_for_disk",
            "1 while the job waits until the disk has room.",
            |job| Some(job.status.progress.waits_for_disk.into()),
        ),
        counter("eventwright_job_restarts_total", "How often this process has run the job again.", |job| {
            Some(job.status.restarts.into())
        }),
        counter("eventwright_job_failures_total", "Failures of the job in this process.", |job| {
            Some(job.status.failures.last().map_or(0, |failure| failure.number).into())
        }),
        histogram(
            "eventwright_job_snapshot_seconds",
            "Time of a snapshot, from the fixing of the state until it is durable; steps go on meanwhile.",
            |job| Some(job.meters.snapshot.snapshot().into()),
        ),
        gauge(
            "eventwright_job_snapshot_step",
            "The step of the snapshot that a recovery begins with.",
            |job| job.status.snapshot_step.map(Value::Count),
        ),
        counter("eventwright_job_run_seconds_total", "Time that the job has run.", |job| {
            seconds(job.status.progress.run_ns)
        }),
        counter(
            "eventwright_job_commit_seconds_total",
            "Time of steps that went into appending to the log, with the wait for room in it.",
            |job| seconds(job.status.progress.commit_ns),
        ),
        counter(
            "eventwright_job_upkeep_seconds_total",
            "Time that went into keeping state: spilling, fixing snapshots.",
            |job| seconds(job.status.progress.upkeep_ns),
        ),
    ],
};

/// The same in the words of Flink.
const JOBS_AS_FLINK: Table<Measured> = Table {
    labels: &["job_id", "job_name"],
    rows: &[
        gauge("flink_jobmanager_job_uptime", "Milliseconds since the job was submitted.", |job| {
            Some(job.uptime_ms().into())
        }),
        gauge("flink_jobmanager_job_numRestarts", "How often the job was run again.", |job| {
            Some(job.status.restarts.into())
        }),
        gauge("flink_jobmanager_job_fullRestarts", "The same.", |job| Some(job.status.restarts.into())),
        gauge("flink_jobmanager_job_numberOfCompletedCheckpoints", "Snapshots that became durable.", |job| {
            Some(job.meters.snapshot.snapshot().count().into())
        }),
    ],
};

/// A vertex of a job.
struct Vertex {
    progress: OperatorProgress,
    state: JobState,
    now_ms: i64,
}

impl Vertex {
    fn watermark(&self) -> Option<Value> {
        self.progress.watermark_ms.map(|ms| Value::Real(ms as f64))
    }
}

const VERTICES: Table<Vertex> = Table {
    labels: &["job_name", "vertex", "operator"],
    rows: &[
        counter("eventwright_job_vertex_rows_in_total", "Rows that the operator took in.", |vertex| {
            Some(vertex.progress.rows_in.into())
        }),
        counter("eventwright_job_vertex_rows_out_total", "Rows that the operator gave.", |vertex| {
            Some(vertex.progress.rows_out.into())
        }),
        counter(
            "eventwright_job_vertex_late_rows_total",
            "Rows that came too late for the operator.",
            |vertex| Some(vertex.progress.late_rows.into()),
        ),
        counter(
            "eventwright_job_vertex_busy_seconds_total",
            "Time in the operator; of a source with reading and decoding, of a sink with encoding.",
            |vertex| seconds(vertex.progress.busy_ns),
        ),
        gauge_of_sum("eventwright_job_vertex_state_memory_bytes", "Its state in memory, about.", |vertex| {
            Some(vertex.progress.state.memory_bytes.into())
        }),
        gauge_of_sum("eventwright_job_vertex_state_disk_bytes", "Its state in files.", |vertex| {
            Some(vertex.progress.state.run_bytes.into())
        }),
        gauge_of_max(
            "eventwright_job_vertex_watermark_delay_seconds",
            "How far the watermark behind the operator is behind the clock.",
            |vertex| delay(vertex.progress.watermark_ms, vertex.now_ms, vertex.state),
        ),
    ],
};

const VERTICES_AS_FLINK: Table<Vertex> = Table {
    labels: &["job_id", "job_name", "operator_id", "operator_name", "subtask_index"],
    rows: &[
        gauge("flink_taskmanager_job_task_operator_numRecordsIn", "Rows taken in.", |vertex| {
            Some(vertex.progress.rows_in.into())
        }),
        gauge("flink_taskmanager_job_task_operator_numRecordsOut", "Rows given.", |vertex| {
            Some(vertex.progress.rows_out.into())
        }),
        gauge(
            "flink_taskmanager_job_task_operator_numLateRecordsDropped",
            "Rows that came too late.",
            |vertex| Some(vertex.progress.late_rows.into()),
        ),
        gauge(
            "flink_taskmanager_job_task_operator_currentOutputWatermark",
            "The watermark behind the operator, in milliseconds since the epoch.",
            Vertex::watermark,
        ),
    ],
};

const TASKS_AS_FLINK: Table<Vertex> = Table {
    labels: &["job_id", "job_name", "task_id", "task_name", "subtask_index"],
    rows: &[
        gauge("flink_taskmanager_job_task_numRecordsIn", "Rows taken in.", |vertex| {
            Some(vertex.progress.rows_in.into())
        }),
        gauge("flink_taskmanager_job_task_numRecordsOut", "Rows given.", |vertex| {
            Some(vertex.progress.rows_out.into())
        }),
    ],
};

/// An outside sink, and how far its target is behind the outbox.
struct Outbox {
    sink: SinkProgress,
    lag: u64,
    lag_ms: i64,
}

const OUTBOXES: Table<Outbox> = Table {
    labels: &["job_name", "vertex"],
    rows: &[
        gauge_of_sum(
            "eventwright_job_outbox_lag_records",
            "Records of the outbox that the outside target does not have for good yet.",
            |outbox| Some(outbox.lag.into()),
        ),
        gauge_of_max(
            "eventwright_job_outbox_lag_seconds",
            "How long ago the first of these was written; 0 if there is none.",
            |outbox| Some(Value::Real(outbox.lag_ms as f64 / 1e3)),
        ),
        counter(
            "eventwright_job_outbox_failures_total",
            "How often the outside target has failed.",
            |outbox| Some(outbox.sink.failures.into()),
        ),
        gauge_of_max("eventwright_job_outbox_failing", "1 while the outside target fails.", |outbox| {
            Some(outbox.sink.failure.is_some().into())
        }),
        counter(
            "eventwright_job_outbox_dead_letters_total",
            "Records that the outside target refused and that are dead letters.",
            |outbox| Some(outbox.sink.dead_letters.into()),
        ),
    ],
};

/// What comes from an outside source and lands in the log.
const FEEDS: Table<FeedProgress> = Table {
    labels: &["job_name", "vertex"],
    rows: &[
        counter("eventwright_job_feed_records_total", "Records landed from an outside source.", |feed| {
            Some(feed.records.into())
        }),
        counter("eventwright_job_feed_bytes_total", "Bytes landed from an outside source.", |feed| {
            Some(feed.bytes.into())
        }),
        counter(
            "eventwright_job_feed_doubles_total",
            "Records left out because one of the same id had landed before.",
            |feed| Some(feed.doubles.into()),
        ),
        counter(
            "eventwright_job_feed_lost_total",
            "Records that came by themselves, as datagrams do, and found no room.",
            |feed| Some(feed.lost.into()),
        ),
        counter("eventwright_job_feed_failures_total", "How often the outside source has failed.", |feed| {
            Some(feed.failures.into())
        }),
        gauge_of_max("eventwright_job_feed_failing", "1 while the outside source fails.", |feed| {
            Some(feed.failure.is_some().into())
        }),
    ],
};

/// Everything that the runtime measures.
pub fn metric_families() -> Vec<Family> {
    let mut families: Vec<Family> =
        STATES.families().chain(STATE.families()).chain(JOBS.families()).collect();
    families.extend(VERTICES.families().chain(OUTBOXES.families()).chain(FEEDS.families()));
    families.extend(CLUSTER.families().chain(JOBS_AS_FLINK.families()));
    families.extend(VERTICES_AS_FLINK.families().chain(TASKS_AS_FLINK.families()));
    families
}

impl Runtime {
    /// Writes the metrics of the jobs; those that only the journal knows have a state and nothing else.
    pub fn write_metrics(&self, page: &mut Page) {
        let now_ms = self.os.clock.now_ms();
        let jobs = self.jobs();
        let count = |state: JobState| jobs.iter().filter(|job| job.state == state).count();
        let states = JobState::ALL.map(|state| (vec![state.name().to_string()], count(state)));
        page.table(&STATES, &states);
        let state = jobs.iter().flat_map(|job| {
            let names = |state: JobState| vec![job.name.clone(), state.name().to_string()];
            JobState::ALL.map(|state| (names(state), job.state == state))
        });
        page.table(&STATE, &state.collect::<Vec<_>>());
        let running = count(JobState::Running);
        let measured: Vec<Measured> = jobs
            .into_iter()
            .filter_map(|status| Some(Measured { meters: status.meters.clone()?, status, now_ms }))
            .collect();
        let by_name: Vec<(Vec<String>, &Measured)> =
            measured.iter().map(|job| (vec![job.status.name.clone()], job)).collect();
        page.table::<Measured>(&JOBS, &by_name);
        let vertices = |names: fn(&JobStatus, &crate::status::OperatorStatus) -> Vec<String>| {
            let of_job = move |job: &Measured| -> Vec<(Vec<String>, Vertex)> {
                let progress = &job.status.progress.operators;
                let of = |operator: &crate::status::OperatorStatus| {
                    let progress = *progress.get(operator.node as usize)?;
                    let vertex = Vertex { progress, state: job.status.state, now_ms };
                    Some((names(&job.status, operator), vertex))
                };
                job.status.operators.iter().filter_map(of).collect()
            };
            measured.iter().flat_map(of_job).collect::<Vec<_>>()
        };
        page.table(
            &VERTICES,
            &vertices(|job, operator| {
                vec![job.name.clone(), operator.node.to_string(), cut(&operator.summary)]
            }),
        );
        page.table(&OUTBOXES, &measured.iter().flat_map(|job| self.outboxes(job)).collect::<Vec<_>>());
        let feeds = measured.iter().flat_map(|job| {
            let names = |feed: &FeedProgress| vec![job.status.name.clone(), feed.node.to_string()];
            job.status.progress.feeds.iter().map(move |feed| (names(feed), feed.clone()))
        });
        page.table(&FEEDS, &feeds.collect::<Vec<_>>());
        page.one(&CLUSTER, &running);
        let by_id: Vec<(Vec<String>, &Measured)> =
            measured.iter().map(|job| (vec![job.status.id.clone(), job.status.name.clone()], job)).collect();
        page.table::<Measured>(&JOBS_AS_FLINK, &by_id);
        let as_flink = vertices(|job, operator| {
            let id = format!("{:032x}", operator.node);
            vec![job.id.clone(), job.name.clone(), id, cut(&operator.summary), "0".to_string()]
        });
        page.table(&VERTICES_AS_FLINK, &as_flink);
        page.table(&TASKS_AS_FLINK, &as_flink);
    }

    fn outboxes(&self, job: &Measured) -> Vec<(Vec<String>, Outbox)> {
        let mut outboxes = Vec::new();
        for (sink, tag, next) in job.meters.outboxes() {
            let topic = self.log.topic(&outbox::topic(&job.status.name, tag));
            let Some(partition) = topic.and_then(|topic| topic.partitions.first().copied()) else { continue };
            let Ok(bounds) = self.log.bounds(partition) else { continue };
            // Before the target was asked, it may lack everything that is there.
            let next = next.max(bounds.log_start.0);
            let lag = u64::try_from(bounds.high_watermark.0 - next).unwrap_or(0);
            let written_ms =
                if lag > 0 { self.log.time_at(partition, Offset(next)).ok().flatten() } else { None };
            let lag_ms = written_ms.map_or(0, |written_ms| job.now_ms.saturating_sub(written_ms).max(0));
            let known = job.status.progress.sinks.iter().find(|known| known.node as usize == sink.0);
            let outbox = Outbox { sink: known.cloned().unwrap_or_default(), lag, lag_ms };
            outboxes.push((vec![job.status.name.clone(), sink.0.to_string()], outbox));
        }
        outboxes
    }
}

fn cut(name: &str) -> String {
    name.chars().take(OPERATOR_NAME_CHARS_MAX).collect()
}
