//! The jobs' part of the page of metrics.

use crate::job::Runtime;
use crate::status::JobState;
use metrics::{Family, Page, Table, gauge};

const STATES: Table<usize> = Table {
    labels: &["state"],
    rows: &[gauge("eventwright_jobs", "Jobs, by Flink's name of their state.", |count| {
        Some((*count).into())
    })],
};

/// Everything that the runtime measures.
pub fn metric_families() -> Vec<Family> {
    STATES.families().collect()
}

impl Runtime {
    /// Writes the metrics of the jobs that this process has run, and of those that only the journal knows their states.
    pub fn write_metrics(&self, page: &mut Page) {
        let jobs = self.jobs();
        let count = |state: JobState| jobs.iter().filter(|job| job.state == state).count();
        let states = JobState::ALL.map(|state| (vec![state.name().to_string()], count(state)));
        page.table(&STATES, &states);
    }
}
