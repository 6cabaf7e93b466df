//! Why a job, or one of its sinks, gives nothing: the way from each sink up to its scans, until something explains it.
//!
//! 1. What holds for the whole job comes first: it does not run, the disk is full, a source or a target fails.
//! 2. Then each sink. A node that took rows in and gave none explains it by what it is ([`Gate`]); the watermark, by the
//!    split that holds it back. Above such a node rows flow, so nobody looks further up.
//! 3. Where nothing explains it, rows do flow, or there was no input; that is said too.
//!
//! Rows of operators are counted since this process took the job up; a job that was resumed may have given rows before.

use crate::progress::OperatorProgress;
use crate::status::{JobState, JobStatus, OperatorStatus, SplitStatus};
use base::calendar::timestamp;
use dataflow::plan::Gate;
use std::collections::BTreeSet;

/// Splits that a finding names at most.
const SPLITS_NAMED_MAX: usize = 3;

const FURTHER_ROWS: &str = "the watermark moves with later rows: without them nothing more comes";

/// What kind of thing keeps rows from coming out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The job does not run.
    NotRunning,
    /// It failed, and will be run again.
    Restarting,
    /// Its statement has changed, and it makes state anew.
    Rebuilding,
    /// It waits until the disk has room.
    DiskFull,
    /// An outside system that it reads fails.
    SourceFails,
    /// An outside system that it writes fails.
    SinkFails,
    /// Rows are written for an outside system and are not there yet.
    SinkBehind,
    /// A condition was true for no row.
    Filtered,
    /// Rows wait for the watermark, which a split holds back.
    SplitHoldsWatermark,
    /// Rows wait for the watermark, which moves with further rows.
    WaitsForWatermark,
    /// Rows came too late.
    Late,
    /// No row has a partner in a join.
    NoPartner,
    /// Rows wait for answers of a look-up, or have none.
    NoAnswer,
    /// An operator took rows and gave none.
    Kept,
    /// Records could not be decoded.
    Undecodable,
    /// There was nothing to read.
    NoInput,
    /// The job is behind its input.
    Behind,
    /// Rows do come out.
    Flows,
}

impl Cause {
    /// As the command line and the HTTP port write it.
    pub fn name(self) -> &'static str {
        match self {
            Cause::NotRunning => "not-running",
            Cause::Restarting => "restarting",
            Cause::Rebuilding => "rebuilding",
            Cause::DiskFull => "disk-full",
            Cause::SourceFails => "source-fails",
            Cause::SinkFails => "sink-fails",
            Cause::SinkBehind => "sink-behind",
            Cause::Filtered => "filtered",
            Cause::SplitHoldsWatermark => "split-holds-watermark",
            Cause::WaitsForWatermark => "waits-for-watermark",
            Cause::Late => "late",
            Cause::NoPartner => "no-partner",
            Cause::NoAnswer => "no-answer",
            Cause::Kept => "kept",
            Cause::Undecodable => "undecodable",
            Cause::NoInput => "no-input",
            Cause::Behind => "behind",
            Cause::Flows => "flows",
        }
    }
}

/// One thing that was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub cause: Cause,
    /// The table that the sink writes; empty where it is about the whole job.
    pub sink: String,
    /// The node of the plan that it is about.
    pub node: Option<u32>,
    pub what: String,
    /// What can be done.
    pub advice: Option<&'static str>,
}

/// Everything that keeps rows from coming out, what matters most first.
pub fn why(job: &JobStatus) -> Vec<Finding> {
    let mut findings = of_job(job);
    let gives_nothing = job.state != JobState::Running || job.progress.rebuild.is_some();
    if !findings.is_empty() && gives_nothing {
        return findings;
    }
    for sink in &job.progress.sinks {
        let mut look = Look { job, sink: &sink.table, findings: Vec::new(), seen: BTreeSet::new() };
        if let Some(reason) = &sink.failure {
            let what = match sink.waiting_records {
                0 => reason.clone(),
                records => format!("{reason}; records that wait in the log: {records}"),
            };
            let advice = "it is tried again by itself; `eventwright connector test FILE` tells whether it can be reached";
            look.found(Cause::SinkFails, Some(sink.node), what, Some(advice));
        } else if sink.waiting_records > 0 {
            let what = format!("records that wait in the log for the target: {}", sink.waiting_records);
            look.found(Cause::SinkBehind, Some(sink.node), what, None);
        }
        look.up(sink.node, false);
        if look.findings.is_empty() {
            let given = look.measured(sink.node).rows_in;
            let (cause, what) = match given {
                0 => (Cause::NoInput, "no step has brought rows since the job was taken up".to_string()),
                rows => (Cause::Flows, format!("rows written since the job was taken up: {rows}")),
            };
            look.found(cause, Some(sink.node), what, None);
        }
        findings.append(&mut look.findings);
    }
    if job.progress.sinks.is_empty() && findings.is_empty() {
        let what = "the job begins, and has made no step yet".to_string();
        findings.push(Finding { cause: Cause::NoInput, sink: String::new(), node: None, what, advice: None });
    }
    if job.progress.lag_records > 0 {
        let what =
            format!("records in the input that the job has not read yet: {}", job.progress.lag_records);
        findings.push(Finding { cause: Cause::Behind, sink: String::new(), node: None, what, advice: None });
    }
    // What several sinks suffer from is explained once.
    let mut explained = BTreeSet::new();
    for finding in &mut findings {
        if finding.node.is_some() && !explained.insert((finding.cause.name(), finding.node)) {
            finding.advice = None;
        }
    }
    findings
}

fn of_job(job: &JobStatus) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |cause, node, what, advice| {
        findings.push(Finding { cause, sink: String::new(), node, what, advice });
    };
    let failure = job.failures.last().map_or(String::new(), |failure| format!(": {}", failure.reason));
    match job.state {
        JobState::Running => {}
        JobState::Created => {
            found(Cause::NotRunning, None, "the job was taken and has not begun yet".into(), None);
        }
        JobState::Restarting => {
            let what = format!("the job failed and waits for its next attempt{failure}");
            found(Cause::Restarting, None, what, None);
        }
        JobState::Failed => {
            let advice = "when its reason is gone, running the file again resumes it where it was";
            found(Cause::NotRunning, None, format!("the job failed{failure}"), Some(advice));
        }
        JobState::Canceled | JobState::Suspended => {
            let advice = "running its file again resumes it where it was";
            found(Cause::NotRunning, None, "the job was stopped".into(), Some(advice));
        }
        JobState::Finished => {
            found(Cause::NotRunning, None, "the job has taken all of its input and has ended".into(), None);
        }
    }
    if let Some(rebuild) = job.progress.rebuild {
        let what = format!("the job was changed and makes state anew: {rebuild}");
        found(Cause::Rebuilding, None, what, Some("it gives rows again when it is where it was"));
    }
    if job.progress.waits_for_disk {
        let advice = "make room on the disk of the data directory; the job goes on by itself";
        found(Cause::DiskFull, None, "the disk is full, and the job waits for room".into(), Some(advice));
    }
    for feed in &job.progress.feeds {
        if let Some(reason) = &feed.failure {
            let what = reason.clone();
            let advice = "it is tried again by itself; `eventwright connector test FILE` tells whether it can be reached";
            found(Cause::SourceFails, Some(feed.node), what, Some(advice));
        }
    }
    findings
}

/// One sink, and what was found on the way up from it.
struct Look<'a> {
    job: &'a JobStatus,
    sink: &'a str,
    findings: Vec<Finding>,
    seen: BTreeSet<u32>,
}

impl Look<'_> {
    fn found(&mut self, cause: Cause, node: Option<u32>, what: String, advice: Option<&'static str>) {
        self.findings.push(Finding { cause, sink: self.sink.to_string(), node, what, advice });
    }

    fn operator(&self, node: u32) -> Option<&OperatorStatus> {
        self.job.operators.iter().find(|operator| operator.node == node)
    }

    fn measured(&self, node: u32) -> OperatorProgress {
        self.job.progress.operators.get(node as usize).copied().unwrap_or_default()
    }

    /// `is_fed`: something below gives rows, so that the node itself may have none.
    fn up(&mut self, node: u32, is_fed: bool) {
        if !self.seen.insert(node) {
            return;
        }
        let Some(operator) = self.operator(node) else { return };
        let (gate, inputs, summary) = (operator.gate, operator.inputs.clone(), operator.summary.clone());
        let measured = self.measured(node);
        if gate == Gate::Source {
            if !is_fed && measured.rows_out == 0 {
                self.source(node);
            }
            return;
        }
        let has_stopped = measured.rows_in > 0 && measured.rows_out == 0;
        // Not every operator knows until when.
        let waits = gate == Gate::Watermark
            && (measured.waits_until_ms.is_some() || (has_stopped && measured.late_rows == 0));
        if waits {
            self.waits(node, &summary, measured);
        }
        if measured.late_rows > 0 && (has_stopped || measured.late_rows == measured.rows_in) {
            let what = format!(
                "{} of {} rows came too late for {summary}: the watermark had passed their time",
                measured.late_rows, measured.rows_in
            );
            let advice = "a watermark that lags further behind the rows lets later ones in";
            self.found(Cause::Late, Some(node), what, Some(advice));
        } else if has_stopped && !waits && !inputs.is_empty() {
            self.stopped(node, gate, &summary, measured.rows_in);
        }
        if !has_stopped {
            inputs.into_iter().for_each(|input| self.up(input, is_fed || measured.rows_out > 0));
        }
    }

    /// A node that took rows in and gave none.
    fn stopped(&mut self, node: u32, gate: Gate, summary: &str, rows: u64) {
        if gate == Gate::Partner {
            let sides = self.operator(node).map_or(Vec::new(), |operator| operator.inputs.clone());
            if let Some(empty) = sides.iter().position(|side| self.measured(*side).rows_out == 0) {
                let name = if empty == 0 { "left" } else { "right" };
                let what = format!("{summary} has had no rows on its {name} side");
                self.found(Cause::NoPartner, Some(node), what, None);
                return self.up(sides[empty], false);
            }
        }
        let (cause, what, advice) = match gate {
            Gate::Condition => (
                Cause::Filtered,
                format!("0 of {rows} rows fulfil the condition of {summary}"),
                Some("compare the condition with a few records: `eventwright topic consume TOPIC --max 5`"),
            ),
            Gate::Partner => (
                Cause::NoPartner,
                format!("0 of {rows} rows have a partner in {summary}"),
                Some("the keys of both sides must be equal, and of one type; NULL matches nothing"),
            ),
            Gate::Answer => (
                Cause::NoAnswer,
                format!(
                    "{rows} rows wait for answers in {summary}, or the outside table has no row for them"
                ),
                None,
            ),
            Gate::Source | Gate::Open | Gate::Watermark => {
                (Cause::Kept, format!("{summary} took in {rows} rows and has given none"), None)
            }
        };
        self.found(cause, Some(node), what, advice);
    }

    /// A scan that has given nothing.
    fn source(&mut self, node: u32) {
        let scan = self.job.progress.scans.iter().find(|scan| scan.node == node);
        // What a lookup join is answered is no table of anybody's.
        let Some(scan) = scan.filter(|scan| !scan.table.is_empty()) else { return };
        let table = &scan.table;
        let refused = self.job.progress.dead_letters + self.job.progress.skipped_records;
        let (cause, what, advice) = if refused > 0 && scan.rows == 0 {
            let what = format!(
                "table {table} has given no rows, and {} records of the job could not be decoded ({} dead letters, {} \
                 skipped)",
                refused, self.job.progress.dead_letters, self.job.progress.skipped_records
            );
            let advice = "`eventwright dlq list` shows dead letters with their reasons";
            (Cause::Undecodable, what, Some(advice))
        } else if scan.rows > 0 {
            let what = format!(
                "table {table} has given no rows since the job was taken up; before, it gave {}",
                scan.rows
            );
            (Cause::NoInput, what, None)
        } else {
            let advice =
                "where records were there before the job, 'scan.startup.mode' = 'earliest-offset' reads them";
            (Cause::NoInput, format!("table {table} has given no rows"), Some(advice))
        };
        self.found(cause, Some(node), what, advice);
    }

    /// Rows wait in a node for the watermark.
    fn waits(&mut self, node: u32, summary: &str, measured: OperatorProgress) {
        let mut above = BTreeSet::new();
        self.above(node, &mut above);
        let splits = self.job.splits.iter().filter(|split| split.tells_time && above.contains(&split.node));
        let splits: Vec<&SplitStatus> = splits.collect();
        let open: Vec<&&SplitStatus> =
            splits.iter().filter(|split| !split.finished && !split.is_idle).collect();
        let until = measured.waits_until_ms.map_or(String::new(), |ms| format!(" until {}", timestamp(ms)));
        if open.is_empty() {
            let (who, advice) = match splits.is_empty() {
                true => ("the clock decides", None),
                false => ("all that it reads is idle or has ended", Some(FURTHER_ROWS)),
            };
            let what = format!("rows wait in {summary}{until}; {who}");
            return self.found(Cause::WaitsForWatermark, Some(node), what, advice);
        }
        let least = open.iter().map(|split| split.watermark_ms).min().flatten();
        let greatest = open.iter().filter_map(|split| split.watermark_ms).max();
        let mut held: Vec<&str> = open
            .iter()
            .filter(|split| split.watermark_ms == least)
            .map(|split| split.split.as_str())
            .collect();
        let others = open.len() - held.len();
        let more = held.len().saturating_sub(SPLITS_NAMED_MAX);
        held.truncate(SPLITS_NAMED_MAX);
        let mut named = held.join(", ");
        if more > 0 {
            named.push_str(&format!(" and {more} more"));
        }
        match (least, greatest) {
            (None, None) => {
                let what = format!("rows wait in {summary}{until}, and no row has said yet what time it is");
                self.found(Cause::WaitsForWatermark, Some(node), what, None);
            }
            // Whoever is ahead could let the rows go.
            (least, Some(ahead))
                if others > 0 && measured.waits_until_ms.is_none_or(|until| ahead >= until - 1) =>
            {
                let stands =
                    least.map_or("has had no row".into(), |ms| format!("stands at {}", timestamp(ms)));
                let what = format!(
                    "rows wait in {summary}{until}; {named} {stands} and holds the watermark back, while others \
                     are at {}",
                    timestamp(ahead)
                );
                let advice =
                    "'scan.watermark.idle-timeout' = '30 s' in the table leaves out what gives nothing";
                self.found(Cause::SplitHoldsWatermark, Some(node), what, Some(advice));
            }
            (least, greatest) => {
                let stands = least.or(greatest).map_or(String::new(), timestamp);
                let what = format!("rows wait in {summary}{until}; the watermark is at {stands}");
                self.found(Cause::WaitsForWatermark, Some(node), what, Some(FURTHER_ROWS));
            }
        }
    }

    /// The node and all that its rows come from.
    fn above(&self, node: u32, into: &mut BTreeSet<u32>) {
        let Some(operator) = self.operator(node) else { return };
        if into.insert(node) {
            operator.inputs.iter().for_each(|input| self.above(*input, into));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{JobProgress, SinkProgress};

    fn operator(node: u32, gate: Gate, inputs: &[u32]) -> OperatorStatus {
        OperatorStatus {
            node,
            description: String::new(),
            summary: format!("#{node}"),
            keeps: None,
            inputs: inputs.to_vec(),
            gate,
            topic: None,
        }
    }

    fn split(node: u32, name: &str, watermark_ms: Option<i64>, is_idle: bool) -> SplitStatus {
        SplitStatus {
            node,
            split: name.into(),
            position: 0,
            end: None,
            finished: false,
            tells_time: true,
            watermark_ms,
            is_idle,
        }
    }

    /// A scan, a node of a gate, and a sink, of which the node has given nothing.
    fn job(gate: Gate, waits_until_ms: Option<i64>, splits: Vec<SplitStatus>) -> JobStatus {
        let rows = |rows_in, rows_out| OperatorProgress { rows_in, rows_out, ..OperatorProgress::default() };
        let sink = SinkProgress { node: 2, table: "out".into(), ..SinkProgress::default() };
        let operators = vec![rows(0, 5), OperatorProgress { waits_until_ms, ..rows(5, 0) }, rows(0, 0)];
        JobStatus {
            id: String::new(),
            name: "job".into(),
            state: JobState::Running,
            since_ms: None,
            started_ms: None,
            ended_ms: None,
            progress: JobProgress { sinks: vec![sink], operators, ..JobProgress::default() },
            failures: Vec::new(),
            restarts: 0,
            again_at_ms: None,
            workers: 1,
            restart_strategy: "",
            operators: vec![
                operator(0, Gate::Source, &[]),
                operator(1, gate, &[0]),
                operator(2, Gate::Open, &[1]),
            ],
            splits,
            snapshot_step: None,
            snapshot_clock_ms: None,
            meters: None,
        }
    }

    fn found(job: &JobStatus) -> (Cause, String) {
        let mut findings = why(job);
        assert_eq!(findings.len(), 1, "{findings:?}");
        let finding = findings.remove(0);
        (finding.cause, finding.what)
    }

    #[test]
    fn what_rows_wait_for_is_told_by_the_splits_that_say_the_time() {
        let ahead = || split(0, "a/0", Some(100_000), false);
        let (cause, what) =
            found(&job(Gate::Watermark, Some(60_000), vec![ahead(), split(0, "a/1", None, false)]));
        assert_eq!(cause, Cause::SplitHoldsWatermark);
        assert!(what.contains("a/1 has had no row"), "{what}");
        // An operator that does not know until when.
        let (cause, what) =
            found(&job(Gate::Watermark, None, vec![ahead(), split(0, "a/1", Some(1_000), false)]));
        assert_eq!(cause, Cause::SplitHoldsWatermark);
        assert!(what.contains("rows wait in #1; a/1 stands at 1970-01-01 00:00:01"), "{what}");
        // What is asked of an outside table has no time, and holds nothing.
        let answers = SplitStatus { tells_time: false, ..split(0, "answers", None, false) };
        let (cause, what) = found(&job(Gate::Watermark, Some(200_000), vec![ahead(), answers]));
        assert_eq!(cause, Cause::WaitsForWatermark);
        assert!(what.contains("the watermark is at 1970-01-01 00:01:40"), "{what}");
        let idle = split(0, "a/0", Some(100_000), true);
        let (cause, what) = found(&job(Gate::Watermark, Some(200_000), vec![idle]));
        assert_eq!(cause, Cause::WaitsForWatermark);
        assert!(what.contains("all that it reads is idle or has ended"), "{what}");
        assert!(found(&job(Gate::Watermark, Some(200_000), Vec::new())).1.contains("the clock decides"));
        assert_eq!(found(&job(Gate::Condition, None, vec![ahead()])).0, Cause::Filtered);
        assert_eq!(found(&job(Gate::Partner, None, vec![ahead()])).0, Cause::NoPartner);
        assert_eq!(found(&job(Gate::Open, None, vec![ahead()])).0, Cause::Kept);
    }
}
