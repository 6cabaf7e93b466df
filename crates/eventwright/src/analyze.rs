//! EXPLAIN ANALYZE: what each operator of a job has done, where the time went, and what is kept.

use crate::output::{thousands, timestamp};
use runtime::JobStatus;
use serde_json::{Value, json};
use std::fmt::Write;

/// A job, measured; from a node's answer or from a job of this process.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    job: String,
    state: String,
    steps: u64,
    /// Rows of the last step.
    step_rows: u64,
    workers: u64,
    run_ns: u64,
    commit_ns: u64,
    upkeep_ns: u64,
    now_ms: i64,
    /// Inputs before their readers.
    operators: Vec<Operator>,
}

#[derive(Debug, Clone, PartialEq)]
struct Operator {
    node: u64,
    text: String,
    inputs: Vec<u64>,
    keeps: Option<String>,
    rows_in: u64,
    rows_out: u64,
    late_rows: u64,
    busy_ns: u64,
    watermark_ms: Option<i64>,
    keys: u64,
    memory_bytes: u64,
    run_entries: u64,
    run_bytes: u64,
}

/// What lines of the tree take at most, the numbers behind them included.
const LINE_COLUMNS_MAX: usize = 100;

/// What stands behind the operator.
const NUMBER_COLUMNS: usize = 46;

impl Analysis {
    /// From `GET /jobs/:id`.
    pub fn of_json(job: &Value) -> Analysis {
        let number = |value: &Value, key: &str| value[key].as_u64().unwrap_or(0);
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_string();
        let operator = |operator: &Value| Operator {
            node: number(operator, "node"),
            text: text(operator, "operator"),
            inputs: operator["inputs"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect(),
            keeps: operator["keeps"].as_str().map(str::to_string),
            rows_in: number(operator, "rows-in"),
            rows_out: number(operator, "rows-out"),
            late_rows: number(operator, "late-rows"),
            busy_ns: number(operator, "busy-ns"),
            watermark_ms: operator["watermark"].as_i64(),
            keys: number(operator, "state-keys"),
            memory_bytes: number(operator, "state-memory-bytes"),
            run_entries: number(operator, "state-run-entries"),
            run_bytes: number(operator, "state-run-bytes"),
        };
        Analysis {
            job: text(job, "name"),
            state: text(job, "state"),
            steps: number(job, "steps").saturating_sub(number(job, "replayed-steps")),
            step_rows: number(job, "step-rows"),
            workers: number(job, "workers"),
            run_ns: number(job, "run-ns"),
            commit_ns: number(job, "commit-ns"),
            upkeep_ns: number(job, "upkeep-ns"),
            now_ms: job["now"].as_i64().unwrap_or(0),
            operators: job["operators"].as_array().into_iter().flatten().map(operator).collect(),
        }
    }

    pub fn of_status(status: &JobStatus, now_ms: i64) -> Analysis {
        let progress = &status.progress;
        let operator = |operator: &runtime::status::OperatorStatus| {
            let done = progress.operators.get(operator.node as usize).copied().unwrap_or_default();
            Operator {
                node: u64::from(operator.node),
                text: operator.summary.clone(),
                inputs: operator.inputs.iter().map(|input| u64::from(*input)).collect(),
                keeps: operator.keeps.clone(),
                rows_in: done.rows_in,
                rows_out: done.rows_out,
                late_rows: done.late_rows,
                busy_ns: done.busy_ns,
                watermark_ms: done.watermark_ms,
                keys: done.state.keys,
                memory_bytes: done.state.memory_bytes,
                run_entries: done.state.run_entries,
                run_bytes: done.state.run_bytes,
            }
        };
        Analysis {
            job: status.name.clone(),
            state: status.state.name().to_string(),
            steps: progress.steps.saturating_sub(progress.replayed_steps),
            step_rows: progress.step_rows,
            workers: status.workers as u64,
            run_ns: progress.run_ns,
            commit_ns: progress.commit_ns,
            upkeep_ns: progress.upkeep_ns,
            now_ms,
            operators: status.operators.iter().map(operator).collect(),
        }
    }

    /// The time of all operators, and of what the job does between them.
    fn total_ns(&self) -> u64 {
        self.operators.iter().map(|operator| operator.busy_ns).sum::<u64>() + self.commit_ns + self.upkeep_ns
    }

    fn rows_read(&self) -> u64 {
        let scans = self.operators.iter().filter(|operator| operator.inputs.is_empty());
        scans.map(|scan| scan.rows_out).sum()
    }

    pub fn json(&self) -> Value {
        let operator = |operator: &Operator| {
            json!({
                "node": operator.node, "operator": operator.text, "inputs": operator.inputs,
                "keeps": operator.keeps, "rows_in": operator.rows_in, "rows_out": operator.rows_out,
                "late_rows": operator.late_rows, "busy_ns": operator.busy_ns,
                "watermark_ms": operator.watermark_ms,
                "state": {
                    "keys": operator.keys, "memory_bytes": operator.memory_bytes,
                    "run_entries": operator.run_entries, "run_bytes": operator.run_bytes,
                },
            })
        };
        json!({
            "job": self.job, "state": self.state, "steps": self.steps, "last_step_rows": self.step_rows,
            "workers": self.workers, "run_ns": self.run_ns, "commit_ns": self.commit_ns,
            "upkeep_ns": self.upkeep_ns, "operators": self.operators.iter().map(operator).collect::<Vec<_>>(),
        })
    }

    /// At most 100 columns wide.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let seconds = self.run_ns as f64 / 1e9;
        let rows = self.rows_read();
        let rate = if seconds > 0.0 { rows as f64 / seconds } else { 0.0 };
        let workers = if self.workers == 1 { "1 worker".into() } else { format!("{} workers", self.workers) };
        let _ = writeln!(
            out,
            "job {}: {}, {seconds:.1} s on {workers}, {} rows in, {} rows/s",
            self.job,
            self.state,
            thousands(rows),
            thousands(rate as u64)
        );
        let total = self.total_ns();
        let share = |ns: u64| if total == 0 { 0.0 } else { ns as f64 * 100.0 / total as f64 };
        let _ = writeln!(
            out,
            "{} steps of {} rows on average, the last of {}; commits {:.1} %, upkeep of state {:.1} % of the time",
            thousands(self.steps),
            thousands(rows / self.steps.max(1)),
            thousands(self.step_rows),
            share(self.commit_ns),
            share(self.upkeep_ns)
        );
        let width = LINE_COLUMNS_MAX - NUMBER_COLUMNS;
        let _ = writeln!(
            out,
            "\n{:<width$} {:>13} {:>13} {:>7} {:>9}",
            "OPERATOR", "ROWS IN", "ROWS OUT", "TIME", "\u{b5}s/ROW"
        );
        let consumed = |node: u64| self.operators.iter().any(|operator| operator.inputs.contains(&node));
        let mut written = Vec::new();
        for root in self.operators.iter().filter(|operator| !consumed(operator.node)) {
            self.write(root, 0, total, &mut written, &mut out);
        }
        out
    }

    fn write(&self, operator: &Operator, depth: usize, total: u64, written: &mut Vec<u64>, out: &mut String) {
        let width = LINE_COLUMNS_MAX - NUMBER_COLUMNS;
        let branch = if depth > 0 { "+- " } else { "" };
        // Plans are deep and lines are short.
        let head = format!("{}{branch}#{} ", " ".repeat(depth.saturating_sub(1)), operator.node);
        if written.contains(&operator.node) {
            let _ = writeln!(out, "{head}(see above)");
            return;
        }
        written.push(operator.node);
        let rows = operator.rows_in.max(operator.rows_out);
        let per_row = if rows == 0 { 0.0 } else { operator.busy_ns as f64 / 1e3 / rows as f64 };
        let share = if total == 0 { 0.0 } else { operator.busy_ns as f64 * 100.0 / total as f64 };
        let _ = writeln!(
            out,
            "{:<width$} {:>13} {:>13} {:>5.1} % {per_row:>9.3}",
            cut(&format!("{head}{}", operator.text), width),
            thousands(operator.rows_in),
            thousands(operator.rows_out),
            share
        );
        let below = format!("{}   ", " ".repeat(depth));
        let mut note = |text: String| {
            let _ = writeln!(out, "{below}{}", cut(&text, LINE_COLUMNS_MAX.saturating_sub(below.len())));
        };
        if let Some(keeps) = &operator.keeps {
            let runs = match operator.run_entries {
                0 => String::new(),
                entries => format!("; runs: {} entries, {}", thousands(entries), bytes(operator.run_bytes)),
            };
            note(format!(
                "state: {} keys, {} in memory{runs}",
                thousands(operator.keys),
                bytes(operator.memory_bytes)
            ));
            note(format!("keeps {keeps}"));
        }
        let is_source = operator.text.starts_with("Watermark") || operator.text.starts_with("ProcessingTime");
        match operator.watermark_ms {
            Some(i64::MAX) if is_source => note("watermark: the input has ended".into()),
            Some(ms) if is_source => {
                let behind = if self.now_ms > ms {
                    format!(", {} behind the clock", span(self.now_ms - ms))
                } else {
                    String::new()
                };
                note(format!("watermark: {}{behind}", timestamp(ms)));
            }
            None if is_source => note("watermark: none yet; it waits for a row of every split".into()),
            _ => {}
        }
        if operator.late_rows > 0 {
            note(format!("late rows: {}, dropped", thousands(operator.late_rows)));
        }
        for input in &operator.inputs {
            if let Some(input) = self.operators.iter().find(|other| other.node == *input) {
                self.write(input, depth + 1, total, written, out);
            }
        }
    }
}

/// At most so many letters, the last of them a dot each where something is left out.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_string();
    }
    let kept: String = text.chars().take(columns.saturating_sub(1)).collect();
    format!("{kept}\u{2026}")
}

fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")];
    match UNITS.iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", bytes as f64 / *size as f64),
        None => format!("{bytes} B"),
    }
}

/// A span of time in the largest unit that it fills.
fn span(ms: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    match UNITS.iter().find(|(size, _)| ms >= *size) {
        Some((size, unit)) => format!("{} {unit}", ms / size),
        None => format!("{ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_analysis_fits_into_100_columns() {
        let operator = |node: u64, text: &str, inputs: &[u64]| {
            json!({"node": node, "operator": text, "inputs": inputs, "keeps": null, "rows-in": 1_234_567,
                   "rows-out": 12, "late-rows": 0, "busy-ns": 2_000_000_000_u64, "watermark": null})
        };
        let mut aggregate =
            operator(2, &format!("WindowAggregate(TUMBLE(ts, size=1 h), {})", "k".repeat(80)), &[1]);
        aggregate["keeps"] =
            "the aggregates of each window by (k), until the watermark passes the window's end".into();
        aggregate["late-rows"] = 3.into();
        aggregate["state-keys"] = 1000.into();
        aggregate["state-memory-bytes"] = 3_500_000.into();
        aggregate["state-run-entries"] = 20.into();
        aggregate["state-run-bytes"] = 2048.into();
        let mut watermark = operator(1, "Watermark(ts AS (ts - INTERVAL '5' SECOND))", &[0]);
        watermark["watermark"] = 1_359_633_599_000_i64.into();
        let job = json!({
            "name": "sums", "state": "RUNNING", "steps": 10, "replayed-steps": 2, "step-rows": 64, "workers": 2,
            "run-ns": 4_000_000_000_u64, "commit-ns": 1_000_000_000_u64, "upkeep-ns": 1_000_000_000_u64,
            "now": 1_359_633_600_000_i64 + 3_600_000,
            "operators": [operator(0, "Scan(`orders`)", &[]), watermark, aggregate, operator(3, "Sink(`out`)", &[2])],
        });
        let analysis = Analysis::of_json(&job);
        let text = analysis.text();
        assert!(text.lines().all(|line| line.chars().count() <= LINE_COLUMNS_MAX + 10), "{text}");
        let tree: Vec<&str> = text.lines().skip(3).collect();
        assert!(tree.iter().all(|line| line.chars().count() <= LINE_COLUMNS_MAX), "{text}");
        let expected = "job sums: RUNNING, 4.0 s on 2 workers, 12 rows in, 3 rows/s\n\
            8 steps of 1 rows on average, the last of 64; commits 10.0 %, upkeep of state 10.0 % of the time\n";
        assert!(text.starts_with(expected), "{text}");
        for line in [
            "    state: 1,000 keys, 3.3 MB in memory; runs: 20 entries, 2.0 KB",
            "    late rows: 3, dropped",
            "     watermark: 2013-01-31 11:59:59, 1 h behind the clock",
            " +- #1 Watermark(ts AS (ts - INTERVAL '5' SECOND))         1,234,567            12  20.0 %     1.620",
        ] {
            assert!(tree.contains(&line), "{line}\n{text}");
        }
        assert_eq!(analysis.json()["operators"][2]["state"]["keys"], 1000);
    }
}
