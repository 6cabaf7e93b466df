//! A job as the command line shows it, whether a node told of it or the journal of a stopped data directory.

use crate::output::{print_table, thousands, timestamp};
use runtime::JobStatus;
use serde_json::{Value, json};
use std::io::Write;

/// What `job list` and `job describe` say; what is not known is none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JobView {
    pub name: String,
    pub id: String,
    pub state: String,
    pub started_ms: Option<i64>,
    pub ended_ms: Option<i64>,
    pub restarts: Option<u64>,
    pub tables: Vec<TableView>,
    pub failures: Vec<FailureView>,
    /// Steps so far, and the step of the last snapshot.
    pub steps: Option<u64>,
    pub snapshot_step: Option<u64>,
}

/// A table that a job reads or writes, with the rows so far.
#[derive(Debug, Clone, PartialEq)]
pub struct TableView {
    pub name: String,
    pub rows: u64,
    pub is_read: bool,
}

/// The journal does not know the tables' names, but their places in the plan.
fn table_name(node: u32, table: &str) -> String {
    if table.is_empty() { format!("node {node}") } else { table.to_string() }
}

#[derive(Debug, Clone, PartialEq)]
pub struct FailureView {
    pub at_ms: i64,
    pub reason: String,
}

impl JobView {
    /// From an element of `GET /jobs/overview` or from `GET /jobs/:id`.
    pub fn of_json(job: &Value) -> JobView {
        let text = |key: &str| job[key].as_str().unwrap_or_default().to_string();
        // Flink says -1 where there is no time.
        let time = |key: &str| job[key].as_i64().filter(|ms| *ms >= 0);
        let tables = |key: &str| job[key].as_array().into_iter().flatten();
        let table = |table: &Value| {
            let node = table["node"].as_u64().unwrap_or(0) as u32;
            (
                table_name(node, table["table"].as_str().unwrap_or_default()),
                table["rows"].as_u64().unwrap_or(0),
            )
        };
        let read = tables("tables-in").map(table).map(|(name, rows)| TableView { name, rows, is_read: true });
        let written =
            tables("tables-out").map(table).map(|(name, rows)| TableView { name, rows, is_read: false });
        JobView {
            name: text("name"),
            id: text("jid"),
            state: text("state"),
            started_ms: time("start-time"),
            ended_ms: time("end-time"),
            restarts: job["restarts"].as_u64(),
            tables: read.chain(written).collect(),
            failures: Vec::new(),
            steps: job["steps"].as_u64(),
            snapshot_step: job["snapshot-step"].as_u64(),
        }
    }

    /// Adds what `GET /jobs/:id/exceptions` says, oldest first.
    pub fn with_exceptions(mut self, exceptions: &Value) -> JobView {
        let entries = exceptions["exceptionHistory"]["entries"].as_array();
        let failure = |entry: &Value| FailureView {
            at_ms: entry["timestamp"].as_i64().unwrap_or(0),
            reason: entry["stacktrace"].as_str().unwrap_or_default().trim_end().to_string(),
        };
        self.failures = entries.into_iter().flatten().map(failure).collect();
        self.failures.sort_by_key(|failure| failure.at_ms);
        self
    }

    /// From a data directory that no node serves: the journal does not know the tables' names.
    pub fn of_status(status: &JobStatus) -> JobView {
        let read = status.progress.scans.iter().map(|scan| TableView {
            name: table_name(scan.node, &scan.table),
            rows: scan.rows,
            is_read: true,
        });
        let written = status.progress.sinks.iter().map(|sink| TableView {
            name: table_name(sink.node, &sink.table),
            rows: sink.rows,
            is_read: false,
        });
        JobView {
            name: status.name.clone(),
            id: status.id.clone(),
            state: status.state.name().to_string(),
            started_ms: status.started_ms,
            ended_ms: status.ended_ms,
            restarts: Some(status.restarts),
            tables: read.chain(written).collect(),
            failures: status
                .failures
                .iter()
                .map(|failure| FailureView { at_ms: failure.at_ms, reason: failure.reason.clone() })
                .collect(),
            steps: Some(status.progress.steps),
            snapshot_step: status.snapshot_step,
        }
    }

    pub fn json(&self) -> Value {
        let tables = |is_read: bool| {
            let tables = self.tables.iter().filter(|table| table.is_read == is_read);
            tables.map(|table| json!({"table": table.name, "rows": table.rows})).collect::<Vec<_>>()
        };
        let failure = |failure: &FailureView| json!({"at_ms": failure.at_ms, "reason": failure.reason});
        json!({
            "job": self.name,
            "id": self.id,
            "state": self.state,
            "started_ms": self.started_ms,
            "ended_ms": self.ended_ms,
            "restarts": self.restarts,
            "steps": self.steps,
            "snapshot_step": self.snapshot_step,
            "rows_in": tables(true),
            "rows_out": tables(false),
            "failures": self.failures.iter().map(failure).collect::<Vec<_>>(),
        })
    }

    /// What `job list` says of it in JSON.
    pub fn list_json(&self) -> Value {
        json!({
            "job": self.name,
            "id": self.id,
            "state": self.state,
            "started_ms": self.started_ms,
            "ended_ms": self.ended_ms,
        })
    }

    pub fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "job {}: {}", self.name, self.state)?;
        writeln!(out, "  id {}", self.id)?;
        let line = |out: &mut dyn Write, label: &str, value: Option<String>| match value {
            Some(value) => writeln!(out, "  {label} {value}"),
            None => Ok(()),
        };
        line(out, "started", self.started_ms.map(timestamp))?;
        line(out, "ended", self.ended_ms.map(timestamp))?;
        line(out, "restarts", self.restarts.map(thousands))?;
        line(out, "steps", self.steps.map(thousands))?;
        line(out, "last snapshot at step", self.snapshot_step.map(thousands))?;
        let width = self.tables.iter().map(|table| table.name.chars().count()).max().unwrap_or(0);
        for table in &self.tables {
            let direction = if table.is_read { "in" } else { "out" };
            writeln!(out, "  {:<width$}  {:>12} rows {direction}", table.name, thousands(table.rows))?;
        }
        for failure in &self.failures {
            writeln!(out, "  failed {}: {}", timestamp(failure.at_ms), failure.reason)?;
        }
        Ok(())
    }
}

/// The list, as people read it.
pub fn print_list(out: &mut dyn Write, jobs: &[JobView]) -> std::io::Result<()> {
    let time = |ms: Option<i64>| ms.map_or("-".to_string(), timestamp);
    let row = |job: &JobView| {
        vec![job.name.clone(), job.state.clone(), time(job.started_ms), time(job.ended_ms), job.id.clone()]
    };
    print_table(out, &["JOB", "STATE", "STARTED", "ENDED", "ID"], &jobs.iter().map(row).collect::<Vec<_>>())
}
