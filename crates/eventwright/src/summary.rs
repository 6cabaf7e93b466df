//! What `run` says at its end: per job the rows in and out of each table, rates, losses, and what to try next.

use crate::analyze::Analysis;
use crate::cli::{Form, KAFKA_ADDRESS};
use crate::output::thousands;
use runtime::JobProgress;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

/// A job that has ended, or had ended before.
pub struct JobSummary {
    pub progress: JobProgress,
    /// How often the job was run again after a failure.
    pub restarts: u64,
    pub elapsed_ms: u64,
    pub state: JobState,
    /// What each operator has done, if that is asked for.
    pub analysis: Option<Analysis>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    Finished,
    FinishedBefore,
    Stopped,
    Failed,
}

impl JobState {
    fn text(self) -> &'static str {
        match self {
            JobState::Finished => "finished",
            JobState::FinishedBefore => "had finished before; nothing was emitted",
            JobState::Stopped => "stopped",
            JobState::Failed => "failed",
        }
    }
}

impl JobSummary {
    fn rows_in(&self) -> u64 {
        self.progress.scans.iter().map(|scan| scan.rows).sum()
    }

    fn rate(&self) -> u64 {
        let rows = self.rows_in().saturating_sub(self.progress.rows_before.unwrap_or(0));
        rows.saturating_mul(1000) / self.elapsed_ms.max(1)
    }
}

pub struct Summary<'a> {
    pub jobs: &'a [JobSummary],
    pub data: &'a Path,
    pub kafka: String,
    /// Whether the node goes on to serve its clients afterwards.
    pub stays_up: bool,
    /// Topics that the jobs wrote, for the suggestions.
    pub topics: &'a [String],
    pub file: &'a Path,
}

impl Summary<'_> {
    pub fn render(&self, form: Form) -> String {
        match form {
            Form::Text => self.text(),
            Form::Json => format!("{}\n", self.json()),
        }
    }

    /// What became of a job; one that has not finished can go on from this data directory alone.
    fn state(&self, state: JobState) -> String {
        match state {
            JobState::Stopped | JobState::Failed => {
                format!("{} (run it again with --data {} to resume)", state.text(), self.data.display())
            }
            JobState::Finished | JobState::FinishedBefore => state.text().to_string(),
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for job in self.jobs {
            let progress = &job.progress;
            if job.state == JobState::FinishedBefore {
                let _ = writeln!(out, "job {}: {}", progress.job, job.state.text());
                continue;
            }
            let _ = writeln!(
                out,
                "job {}: {} in {:.1} s, {} rows in, {} rows/s, {} steps{}",
                progress.job,
                self.state(job.state),
                job.elapsed_ms as f64 / 1000.0,
                thousands(job.rows_in()),
                thousands(job.rate()),
                thousands(progress.steps),
                if progress.replayed_steps > 0 {
                    format!(" ({} run again after the restart)", thousands(progress.replayed_steps))
                } else {
                    String::new()
                },
            );
            if job.restarts > 0 {
                let _ = writeln!(out, "  run again after {} failures", thousands(job.restarts));
            }
            let names =
                progress.scans.iter().map(|s| &s.table).chain(progress.sinks.iter().map(|s| &s.table));
            let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
            for scan in &progress.scans {
                let _ = writeln!(out, "  {:<width$}  {:>12} rows in", scan.table, thousands(scan.rows));
            }
            for sink in &progress.sinks {
                let _ = writeln!(out, "  {:<width$}  {:>12} rows out", sink.table, thousands(sink.rows));
            }
            let _ = writeln!(
                out,
                "  late rows {}, dead letters {}, skipped records {}",
                thousands(progress.late_rows),
                thousands(progress.dead_letters),
                thousands(progress.skipped_records),
            );
            if let Some(analysis) = &job.analysis {
                let _ = write!(out, "\n{}\n", analysis.text());
            }
        }
        let _ = writeln!(out, "data: {}", self.data.display());
        let _ = writeln!(out, "next:");
        if !self.stays_up {
            let _ = writeln!(out, "  eventwright start --data {}", self.data.display());
        }
        if let Some(topic) = self.topics.first() {
            let address = if self.stays_up { self.kafka.as_str() } else { KAFKA_ADDRESS };
            let bootstrap =
                if address == KAFKA_ADDRESS { String::new() } else { format!(" --bootstrap {address}") };
            let _ = writeln!(out, "  eventwright topic consume {topic} --max 5{bootstrap}");
            let _ = writeln!(out, "  kcat -b {address} -C -t {topic} -e");
        }
        let _ = writeln!(out, "  eventwright check {}", self.file.display());
        out
    }

    fn json(&self) -> Value {
        let jobs: Vec<Value> = self
            .jobs
            .iter()
            .map(|job| {
                let progress = &job.progress;
                json!({
                    "job": progress.job,
                    "state": match job.state {
                        JobState::Finished => "finished",
                        JobState::FinishedBefore => "finished-before",
                        JobState::Stopped => "stopped",
                        JobState::Failed => "failed",
                    },
                    "elapsed_ms": job.elapsed_ms,
                    "rows_per_second": job.rate(),
                    "steps": progress.steps,
                    "replayed_steps": progress.replayed_steps,
                    "state_memory_bytes": progress.state_memory_bytes,
                    "restarts": job.restarts,
                    "rows_in": progress.scans.iter().map(|s| json!({"table": s.table, "rows": s.rows})).collect::<Vec<_>>(),
                    "rows_out": progress.sinks.iter().map(|s| json!({"table": s.table, "rows": s.rows})).collect::<Vec<_>>(),
                    "late_rows": progress.late_rows,
                    "dead_letters": progress.dead_letters,
                    "skipped_records": progress.skipped_records,
                    "analysis": job.analysis.as_ref().map(Analysis::json),
                })
            })
            .collect();
        json!({ "jobs": jobs, "data": self.data.display().to_string(), "kafka": self.kafka })
    }
}
