//! The node at a glance: how safe what it is told is, what it takes of the machine, what runs, and what wants looking at.

use super::{Answered, Asked, Console, letters};
use broker::security::{Operation, ResourceType};
use eventlog::{Durability, LogMetrics};
use metrics::Snapshot;
use os::process::Usage;
use runtime::{JobState, JobStatus};
use serde_json::{Value, json};

/// Below this, a node soon cannot take appends any more; `eventwright doctor` warns at the same.
const FREE_BYTES_MIN: u64 = 1 << 30;
const NAMES_MAX: usize = 20;

pub(super) fn overview(console: &Console, asked: &Asked<'_>) -> Answered {
    asked.permit(Operation::Describe, ResourceType::Cluster, "kafka-cluster")?;
    let Console { log, broker, os, .. } = console;
    let now_ms = os.clock.now_ms();
    let metrics = log.metrics();
    let fenced = log.fenced();
    let free_bytes = log.disk_free_bytes();
    let usage = Usage::of_this_process();
    let topics = log.topics();
    let own = topics.iter().filter(|topic| !topic.internal);
    let relaxed: Vec<&str> = own
        .clone()
        .filter(|topic| topic.config.durability == Durability::Relaxed)
        .map(|topic| &*topic.name)
        .collect();
    let may = |operation, topic: &str| asked.visitor.may(operation, ResourceType::Topic, topic);
    let relaxed_names = relaxed.iter().filter(|name| may(Operation::Describe, name)).take(NAMES_MAX);
    let jobs = asked.site.runtime.jobs();
    let groups = broker.groups();
    let traffic = broker.traffic();
    let mut attention = Attention(Vec::new());
    attention.of_log(&metrics, fenced.as_deref(), free_bytes);
    attention.of_jobs(&jobs);
    for letters::Known { topic, waiting: letters, .. } in letters::known(console, asked) {
        if letters > 0 {
            let words = match letters {
                1 => format!("1 dead letter waits in {}", topic.name),
                _ => format!("{letters} dead letters wait in {}", topic.name),
            };
            attention.say("note", words, format!("#/letters/{}", topic.name));
        }
    }
    let views = console.given.views.as_ref().map(::views::Views::snapshot);
    for view in views.iter().flat_map(::views::Snapshot::views) {
        // Whoever may not read it is not told that it is there.
        if let Some(reason) = view.broken().filter(|_| may(Operation::Read, view.name())) {
            attention.say(
                "problem",
                format!("view {} is given up: {reason}", view.name()),
                format!("#/views/{}", view.name()),
            );
        }
    }
    let state = |wanted: JobState| jobs.iter().filter(|job| job.state == wanted).count();
    let states: serde_json::Map<String, Value> =
        JobState::ALL.iter().map(|wanted| (wanted.name().to_owned(), state(*wanted).into())).collect();
    Ok(json!({
        "now_ms": now_ms,
        "started_ms": usage.map(|usage| (usage.started_seconds * 1e3) as i64),
        "durability": {
            "fenced": fenced,
            "last_sync_ns": metrics.last_sync_ns,
            "synced_ms": metrics.synced_ms,
            "unsynced_bytes": metrics.unsynced_bytes,
            "syncs": metrics.syncs,
            "sync": histogram(&metrics.sync_latency),
            "frames": metrics.appended_frames,
            "bytes": metrics.appended_bytes,
            "relaxed_topics": relaxed.len(),
            "relaxed_names": relaxed_names.collect::<Vec<_>>(),
            "remote": metrics.remote.as_ref().map(|remote| json!({
                "shipped_lsn": remote.shipped_lsn.0,
                "lag_bytes": remote.lag_bytes,
                "lag_ms": remote.lag_ms,
                "epoch": remote.epoch,
                "trouble": remote.trouble,
            })),
        },
        "disk": {
            "free_bytes": free_bytes,
            "log_bytes": metrics.disk_bytes,
            "spare_bytes": metrics.spare_files_bytes,
            "files": metrics.files,
            "segments": metrics.segments,
        },
        "process": usage.map(|usage| json!({
            "memory_bytes": usage.resident_bytes,
            "cpu_seconds": usage.cpu_seconds,
            "threads": usage.threads,
            "open_files": usage.open_files,
            "open_files_max": usage.open_files_max,
        })),
        "traffic": {
            "records_in": log.appended_in_all().records,
            "bytes_in": log.appended_in_all().bytes,
            "kafka_records_in": traffic.records_in,
            "bytes_out": traffic.bytes_out,
        },
        "topics": own.clone().count(),
        "partitions": own.map(|topic| topic.partitions.len()).sum::<usize>(),
        "groups": groups.iter().filter(|group| group.group_type != broker::group::GroupType::Share).count(),
        "share_groups": groups.iter().filter(|group| group.group_type == broker::group::GroupType::Share).count(),
        "users": broker.rules().users().count(),
        "jobs": states,
        "attention": attention.0,
    }))
}

/// What wants looking at: how much, why, and where.
struct Attention(Vec<Value>);

impl Attention {
    fn say(&mut self, level: &str, text: String, link: String) {
        self.0.push(json!({ "level": level, "text": text, "link": link }));
    }

    fn of_log(&mut self, log: &LogMetrics, fenced: Option<&str>, free_bytes: Option<u64>) {
        let here = || "#/".to_owned();
        if let Some(reason) = fenced {
            self.say("problem", format!("the log takes nothing any more: {reason}"), here());
        }
        if let Some(reason) = &log.disk_trouble {
            self.say("problem", format!("no next log file can be prepared: {reason}"), here());
        }
        if let Some(reason) = &log.compaction_trouble {
            self.say("warning", format!("partitions are not compacted: {reason}"), here());
        }
        let trouble = log.remote.as_ref().and_then(|remote| Some((remote, remote.trouble.as_ref()?)));
        if let Some((remote, reason)) = trouble {
            let bytes = remote.lag_bytes;
            self.say(
                "warning",
                format!("the log is not shipped, {bytes} bytes are here alone: {reason}"),
                here(),
            );
        }
        if log.damaged > 0 {
            self.say("problem", format!("{} damaged places were met in the log", log.damaged), here());
        }
        if let Some(free) = free_bytes.filter(|free| *free < FREE_BYTES_MIN) {
            self.say(
                "warning",
                format!("{} MiB are free; appends stop when the disk is full", free >> 20),
                here(),
            );
        }
    }

    fn of_jobs(&mut self, jobs: &[JobStatus]) {
        for job in jobs {
            let link = || format!("#/jobs/{}", job.id);
            let why = job.failures.last().map_or(String::new(), |failure| format!(": {}", failure.reason));
            match job.state {
                JobState::Failed => self.say("problem", format!("job {} has failed{why}", job.name), link()),
                JobState::Restarting => {
                    self.say("warning", format!("job {} is run again{why}", job.name), link())
                }
                _ if job.progress.waits_for_disk => {
                    self.say("problem", format!("job {} waits for room on the disk", job.name), link());
                }
                _ => {}
            }
            if job.progress.dead_letters > 0 {
                let words = format!(
                    "job {} put {} records aside that it could not read",
                    job.name, job.progress.dead_letters
                );
                self.say("note", words, link());
            }
        }
    }
}

/// Bounds in nanoseconds, and how many lie up to each; the last is of what lies above.
fn histogram(snapshot: &Snapshot) -> Value {
    json!({ "bounds_ns": snapshot.buckets.bounds, "counts": snapshot.counts, "sum_ns": snapshot.sum })
}

/// What runs and what ran, in a line each.
pub(super) fn jobs(asked: &Asked<'_>) -> Answered {
    asked.permit(Operation::Describe, ResourceType::Cluster, "kafka-cluster")?;
    let row = |job: &JobStatus| {
        let progress = &job.progress;
        json!({
            "id": job.id,
            "name": job.name,
            "state": job.state.name(),
            "since_ms": job.since_ms,
            "started_ms": job.started_ms,
            "ended_ms": job.ended_ms,
            "rows_in": job.rows_in(),
            "rows_out": job.rows_out(),
            "lag_records": job.state.is_active().then_some(progress.lag_records),
            "watermark_ms": progress.watermark_ms,
            "late_rows": progress.late_rows,
            "dead_letters": progress.dead_letters,
            "state_bytes": progress.state_memory_bytes,
            "restarts": job.restarts,
            "steps": progress.steps,
        })
    };
    Ok(json!({ "jobs": asked.site.runtime.jobs().iter().map(row).collect::<Vec<_>>() }))
}
