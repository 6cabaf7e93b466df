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
    /// When the next attempt begins, while the job waits for it.
    pub again_at_ms: Option<i64>,
    /// No row of an earlier time is expected; none before the first row and after the last one.
    pub watermark_ms: Option<i64>,
    pub lag_records: Option<u64>,
    pub late_rows: Option<u64>,
    pub skipped_records: Option<u64>,
    pub dead_letters: Option<u64>,
    pub waits_for_disk: bool,
    pub rebuild: Option<RebuildView>,
    pub splits: Vec<SplitView>,
}

/// How much of its input a changed job has read again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RebuildView {
    pub rows: u64,
    pub percent: u64,
}

/// Where a job is in a part of its input.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitView {
    pub split: String,
    pub position: i64,
    pub end: Option<i64>,
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

impl SplitView {
    fn of_json(split: &Value) -> SplitView {
        SplitView {
            split: split["split"].as_str().unwrap_or_default().to_string(),
            position: split["position"].as_i64().unwrap_or(0),
            end: split["end"].as_i64(),
        }
    }
}

/// Behind the last row of an input that has ended, the watermark is at the end of time.
fn watermark(ms: Option<i64>) -> Option<i64> {
    ms.filter(|ms| *ms != i64::MAX)
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
            again_at_ms: job["next-attempt"].as_i64(),
            watermark_ms: watermark(job["watermark"].as_i64()),
            lag_records: job["lag-records"].as_u64(),
            late_rows: job["late-rows"].as_u64(),
            skipped_records: job["skipped-records"].as_u64(),
            dead_letters: job["dead-letters"].as_u64(),
            waits_for_disk: job["waits-for-disk"].as_bool().unwrap_or(false),
            rebuild: job["rebuild"]["rows"]
                .as_u64()
                .map(|rows| RebuildView { rows, percent: job["rebuild"]["percent"].as_u64().unwrap_or(0) }),
            splits: job["splits"].as_array().into_iter().flatten().map(SplitView::of_json).collect(),
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
            again_at_ms: status.again_at_ms,
            watermark_ms: watermark(status.progress.watermark_ms),
            // Nobody looks at the ends of the inputs of a job that does not run.
            lag_records: status.state.is_active().then_some(status.progress.lag_records),
            late_rows: Some(status.progress.late_rows),
            skipped_records: Some(status.progress.skipped_records),
            dead_letters: Some(status.progress.dead_letters),
            waits_for_disk: status.progress.waits_for_disk,
            rebuild: status
                .progress
                .rebuild
                .map(|rebuild| RebuildView { rows: rebuild.rows, percent: rebuild.percent() }),
            splits: status
                .splits
                .iter()
                .map(|split| SplitView {
                    split: split.split.clone(),
                    position: split.position,
                    end: split.end,
                })
                .collect(),
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
            "next_attempt_ms": self.again_at_ms,
            "watermark_ms": self.watermark_ms,
            "lag_records": self.lag_records,
            "late_rows": self.late_rows,
            "skipped_records": self.skipped_records,
            "dead_letters": self.dead_letters,
            "waits_for_disk": self.waits_for_disk,
            "rebuild": self.rebuild.map(|rebuild| json!({"rows": rebuild.rows, "percent": rebuild.percent})),
            "positions": self.splits.iter().map(|split| json!({
                "split": split.split, "position": split.position, "end": split.end,
            })).collect::<Vec<_>>(),
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
        line(out, "next attempt", self.again_at_ms.map(timestamp))?;
        line(out, "watermark", self.watermark_ms.map(timestamp))?;
        line(out, "lag", self.lag_records.map(|records| format!("{} records", thousands(records))))?;
        if self.waits_for_disk {
            writeln!(out, "  waits until the disk has room again")?;
        }
        if let Some(RebuildView { rows, percent }) = self.rebuild {
            writeln!(out, "  makes state anew: {}{percent} %", rows_read_again(rows))?;
        }
        let width = self.tables.iter().map(|table| table.name.chars().count()).max().unwrap_or(0);
        for table in &self.tables {
            let direction = if table.is_read { "in" } else { "out" };
            writeln!(out, "  {:<width$}  {:>12} rows {direction}", table.name, thousands(table.rows))?;
        }
        if let (Some(late), Some(letters), Some(skipped)) =
            (self.late_rows, self.dead_letters, self.skipped_records)
        {
            let (late, letters, skipped) = (thousands(late), thousands(letters), thousands(skipped));
            writeln!(out, "  late rows {late}, dead letters {letters}, skipped records {skipped}")?;
        }
        for SplitView { split, position, end } in &self.splits {
            let of = end.map_or(String::new(), |end| format!(" of {end}"));
            writeln!(out, "  at {position}{of} in {split}")?;
        }
        for failure in &self.failures {
            writeln!(out, "  failed {}: {}", timestamp(failure.at_ms), failure.reason)?;
        }
        Ok(())
    }
}

/// In front of how far a job that makes state anew is; what is made of the old state reads no row.
pub fn rows_read_again(rows: u64) -> String {
    if rows == 0 { String::new() } else { format!("{} rows read again, ", thousands(rows)) }
}

/// The list, as people read it.
pub fn print_list(out: &mut dyn Write, jobs: &[JobView]) -> std::io::Result<()> {
    let time = |ms: Option<i64>| ms.map_or("-".to_string(), timestamp);
    let row = |job: &JobView| {
        vec![job.name.clone(), job.state.clone(), time(job.started_ms), time(job.ended_ms), job.id.clone()]
    };
    print_table(out, &["JOB", "STATE", "STARTED", "ENDED", "ID"], &jobs.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_reads_the_same_from_a_node_and_in_text() {
        let job = json!({
            "name": "sums", "jid": "ab", "state": "RESTARTING", "start-time": 1_359_633_600_000_i64, "end-time": -1,
            "restarts": 2, "steps": 1234, "snapshot-step": 1000, "next-attempt": 1_359_633_601_000_i64,
            "watermark": 1_359_633_599_000_i64, "lag-records": 1500, "late-rows": 1, "dead-letters": 2,
            "skipped-records": 3, "waits-for-disk": true, "rebuild": {"rows": 8192, "percent": 40},
            "tables-in": [{"node": 0, "table": "in", "rows": 10}], "tables-out": [{"node": 3, "table": "", "rows": 7}],
            "splits": [{"node": 0, "split": "in/0", "position": 10, "end": 20, "finished": false},
                       {"node": 0, "split": "in/1", "position": 5, "end": null, "finished": false}],
        });
        let exceptions = json!({"exceptionHistory": {"entries": [
            {"timestamp": 1_359_633_600_500_i64, "stacktrace": "second\n"},
            {"timestamp": 1_359_633_600_100_i64, "stacktrace": "first"},
        ]}});
        let view = JobView::of_json(&job).with_exceptions(&exceptions);
        let mut text = Vec::new();
        view.print(&mut text).unwrap();
        let expected = "job sums: RESTARTING\n  id ab\n  started 2013-01-31 12:00:00\n  restarts 2\n  steps 1,234\n  \
            last snapshot at step 1,000\n  next attempt 2013-01-31 12:00:01\n  watermark 2013-01-31 11:59:59\n  \
            lag 1,500 records\n  waits until the disk has room again\n  makes state anew: 8,192 rows read again, 40 %\n  \
            in                10 rows in\n  node 3             7 rows out\n  late rows 1, dead letters 2, skipped records 3\n  \
            at 10 of 20 in in/0\n  at 5 in in/1\n  failed 2013-01-31 12:00:00: first\n  \
            failed 2013-01-31 12:00:00: second\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
        assert_eq!(view.json()["positions"][1], json!({"split": "in/1", "position": 5, "end": null}));
        assert_eq!(JobView::of_json(&json!({"watermark": i64::MAX})).watermark_ms, None);
    }
}
