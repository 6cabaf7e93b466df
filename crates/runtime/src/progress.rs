//! What a running job shows of itself: counters that the command line and the metrics read.

use crate::job::lock;
use crate::journal::Counts;
use crate::measured::Meters;
use dataflow::engine::{SplitRun, StateSize};
use std::fmt;
use std::sync::{Arc, Mutex};

/// A snapshot of a job's counters.
#[derive(Debug, Clone, Default)]
pub struct JobProgress {
    pub job: String,
    pub scans: Vec<ScanProgress>,
    /// What the scans of outside systems have brought into the log, since this process took the job up.
    pub feeds: Vec<FeedProgress>,
    pub sinks: Vec<SinkProgress>,
    pub topics: JobTopics,
    pub steps: u64,
    pub late_rows: u64,
    pub skipped_records: u64,
    pub dead_letters: u64,
    /// The least watermark of the plan's row-time columns (ms since the epoch); none before the first row.
    pub watermark_ms: Option<i64>,
    /// Records ahead of the position, where the source knows.
    pub lag_records: u64,
    /// Rows that had been read before this process took the job up; none until it has.
    pub rows_before: Option<u64>,
    /// Steps that were run again from the journal when the job was resumed.
    pub replayed_steps: u64,
    /// While a changed job makes state anew.
    pub rebuild: Option<RebuildProgress>,
    /// About how much memory the operators' state takes.
    pub state_memory_bytes: u64,
    /// The job goes on when the disk has room again.
    pub waits_for_disk: bool,
    /// By node of the plan, since this process took the job up; empty before the first step.
    pub operators: Vec<OperatorProgress>,
    /// The splits whose rows say what time it is, after the last step.
    pub split_watermarks: Vec<SplitRun>,
    /// Rows of the last step.
    pub step_rows: u64,
    /// Since this process took the job up: how long it has run, and what of it went into commits (with the wait for
    /// room in the log) and into keeping state (spilling, snapshots).
    pub run_ns: u64,
    pub commit_ns: u64,
    pub upkeep_ns: u64,
}

/// How far a changed job is with making state, from the old one or from its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RebuildProgress {
    /// Of its input, that have been read again.
    pub rows: u64,
    /// Positions of its splits (offsets of topics, bytes of files) that lie behind it, of all that are read again; or
    /// entries of the old state.
    pub passed: u64,
    pub all: u64,
}

impl RebuildProgress {
    pub fn percent(&self) -> u64 {
        let (passed, all) = (u128::from(self.passed), u128::from(self.all));
        (passed * 100).checked_div(all).map_or(100, |percent| percent as u64)
    }
}

impl fmt::Display for RebuildProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is made of the old state reads no row.
        match self.rows {
            0 => write!(f, "{} %", self.percent()),
            rows => write!(f, "{rows} rows of its input read again, {} %", self.percent()),
        }
    }
}

/// Topics of the log that a job has to do with; empty before it was opened in this process.
#[derive(Debug, Clone, Default)]
pub struct JobTopics {
    pub reads: Vec<String>,
    pub writes: Vec<String>,
    /// Where records go that cannot be read, or that a target refuses.
    pub letters: Vec<String>,
}

/// What a node of the plan has done.
#[derive(Debug, Clone, Copy, Default)]
pub struct OperatorProgress {
    pub rows_in: u64,
    pub rows_out: u64,
    pub late_rows: u64,
    /// Time in the node; of a scan reading and decoding are part, of a sink encoding.
    pub busy_ns: u64,
    pub state: StateSize,
    /// The watermark behind the node (ms), where there is one.
    pub watermark_ms: Option<i64>,
    /// What the watermark must reach before the next row leaves, where rows wait for that.
    pub waits_until_ms: Option<i64>,
}

#[derive(Debug, Clone, Default)]
pub struct ScanProgress {
    pub node: u32,
    pub table: String,
    pub rows: u64,
}

#[derive(Debug, Clone, Default)]
pub struct FeedProgress {
    pub node: u32,
    pub table: String,
    pub records: u64,
    pub bytes: u64,
    /// Records that were left out because one of the same id had landed before.
    pub doubles: u64,
    /// Records that came by themselves and found no room.
    pub lost: u64,
    /// How often the outside system failed, and how it does now.
    pub failures: u64,
    pub failure: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct SinkProgress {
    pub node: u32,
    pub table: String,
    pub rows: u64,
    /// Of an outside sink: records in the outbox that the target does not have.
    pub waiting_records: u64,
    /// Records that the target refused and that are dead letters.
    pub dead_letters: u64,
    /// How often the target failed, and how it does now.
    pub failures: u64,
    pub failure: Option<String>,
}

impl JobProgress {
    pub(crate) fn feed(&mut self, node: u32, table: &str) -> &mut FeedProgress {
        let known = self.feeds.iter().position(|feed| feed.node == node);
        let index = known.unwrap_or_else(|| {
            self.feeds.push(FeedProgress { node, table: table.into(), ..FeedProgress::default() });
            self.feeds.len() - 1
        });
        &mut self.feeds[index]
    }
}

/// The counters, shared between the job's thread and those who look.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedProgress {
    progress: Arc<Mutex<JobProgress>>,
    pub(crate) meters: Arc<Meters>,
}

impl SharedProgress {
    pub(crate) fn new(progress: JobProgress) -> SharedProgress {
        SharedProgress { progress: Arc::new(Mutex::new(progress)), meters: Arc::default() }
    }

    pub(crate) fn read(&self) -> JobProgress {
        lock(&self.progress).clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut JobProgress)) {
        change(&mut lock(&self.progress));
    }

    /// The job is run again: its counters come from the journal once more, what was there before it stays.
    pub(crate) fn begin_again(&self) {
        self.update(|progress| {
            *progress = JobProgress {
                job: std::mem::take(&mut progress.job),
                rows_before: progress.rows_before,
                replayed_steps: progress.replayed_steps,
                ..JobProgress::default()
            };
        });
    }

    pub(crate) fn add(&self, counts: &Counts) {
        self.update(|progress| {
            for scan in &mut progress.scans {
                scan.rows += counts.rows_in.get(&scan.node).copied().unwrap_or(0);
            }
            for sink in &mut progress.sinks {
                sink.rows += counts.rows_out.get(&sink.node).copied().unwrap_or(0);
            }
            progress.late_rows += counts.late_rows;
            progress.skipped_records += counts.skipped_records;
            progress.dead_letters += counts.dead_letters;
        });
    }
}
