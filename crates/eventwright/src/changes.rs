//! What becomes of an unfinished job when its file has changed, as text and as JSON.

use crate::node::Silent;
use crate::script::JobNames;
use anyhow::Context;
use eventlog::LogError;
use os::Os;
use runtime::{Comparison, JobOptions, JobRequest, Runtime, RuntimeError};
use serde_json::{Value, json};
use std::path::Path;

/// The setting of Flink by which the owner of a job agrees to lose state.
pub const CONSENT: &str = "execution.state-recovery.ignore-unclaimed-state";

/// A job's name in its data directory, and what becomes of it; nothing where nothing does.
pub type OfJob = Option<(String, Comparison)>;

/// What becomes of a job that is run with this request.
pub fn of(runtime: &Runtime, request: &JobRequest) -> anyhow::Result<Option<Comparison>> {
    match runtime.compare_job(request) {
        Ok(comparison) => Ok(comparison),
        // It is said when the job is run.
        Err(RuntimeError::ChangeUnknown { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The same of the jobs of a file in a data directory that no node serves.
pub fn of_jobs(data: &Path, file: &Path, jobs: &[sql::session::JobRequest]) -> anyhow::Result<Vec<OfJob>> {
    if !data.join("log").is_dir() {
        anyhow::bail!("{} is not a data directory; --data DIR of `run` or `start` made it", data.display());
    }
    let node = Silent::open(&Os::real(), data).map_err(|error| match error.downcast_ref() {
        Some(LogError::InUse { .. }) => error.context(format!(
            "a node serves {}; stop it first: what becomes of its jobs is decided when they are run again",
            data.display()
        )),
        _ => error,
    })?;
    let mut names = JobNames::default();
    let compared = jobs.iter().map(|job| {
        let name = names.name(file, job);
        let request = JobRequest {
            name: name.clone(),
            plan: job.plan.clone(),
            fingerprint: job.fingerprint.clone(),
            connectors: node.connectors(),
            options: JobOptions::default(),
            from_savepoint: None,
            late_rows_topic: None,
            observer: None,
        };
        let comparison = node.runtime.compare_job(&request);
        let comparison = comparison.with_context(|| format!("job {name}"))?;
        Ok(comparison.map(|comparison| (name, comparison)))
    });
    let compared = compared.collect::<anyhow::Result<Vec<OfJob>>>();
    node.close()?;
    compared
}

/// A line for each operator.
pub fn text(job: &str, comparison: &Comparison) -> String {
    let mut text = format!("job {job} goes on with another statement:\n");
    for operator in &comparison.operators {
        let number = operator.node.map_or(String::new(), |node| format!("#{node} "));
        let consent = if operator.needs_consent { " (needs --allow-non-restored-state)" } else { "" };
        text.push_str(&format!(
            "  {:<10} {number}{}\n             {}{consent}\n",
            operator.fate.name(),
            operator.operator,
            operator.reason
        ));
    }
    text
}

pub fn json(job: &str, comparison: &Comparison) -> Value {
    let operators = comparison.operators.iter().map(|operator| {
        json!({
            "node": operator.node,
            "operator": operator.operator,
            "fate": operator.fate.name(),
            "reason": operator.reason,
            "needs_consent": operator.needs_consent,
        })
    });
    json!({
        "job": job,
        "possible": comparison.is_possible(),
        "needs_consent": comparison.needs_consent(),
        "operators": operators.collect::<Vec<_>>(),
    })
}
