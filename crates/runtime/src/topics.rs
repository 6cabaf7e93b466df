//! A job's internal topics: their names, and how they go with the job.

use base::PartitionId;
use eventlog::{EventLog, LogError};

use crate::error::RuntimeError;

/// What kinds of topics belong to one job alone.
pub(crate) const LOOKUP: &str = "lookup";
pub(crate) const SOURCE: &str = "source";
pub(crate) const IDS: &str = "ids";

/// What the names of a job's internal topics of a kind begin with. Two names may give the same: see [`own_prefix`].
pub(crate) fn prefix(kind: &str, job: &str) -> String {
    let name: String = job
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' })
        .collect();
    format!("__{kind}.{name}.")
}

/// The same of a kind whose topics no other job may have: a name that loses characters gets its hash.
pub(crate) fn own_prefix(kind: &str, job: &str) -> String {
    let prefix = prefix(kind, job);
    match prefix == format!("__{kind}.{job}.") {
        true => prefix,
        false => format!("{prefix}{:016x}.", state::hash(job.as_bytes())),
    }
}

/// The topic of a node of a job's plan, by its tag: internal, never listed to clients as a user's topic.
pub(crate) fn own(kind: &str, job: &str, tag: u32) -> String {
    format!("{}{tag}", own_prefix(kind, job))
}

/// The topics of a kind that a job has.
fn names(log: &EventLog, kind: &str, job: &str) -> Vec<String> {
    let prefix = own_prefix(kind, job);
    let names = log.topics().into_iter().map(|topic| topic.name.to_string());
    names
        .filter(|name| name.strip_prefix(&prefix).is_some_and(|node| node.parse::<usize>().is_ok()))
        .collect()
}

/// Removes what belongs to a job that has ended.
pub(crate) fn remove(log: &EventLog, job: &str) -> Result<(), LogError> {
    let topics: Vec<String> = [LOOKUP, SOURCE, IDS].iter().flat_map(|kind| names(log, kind, job)).collect();
    if topics.is_empty() {
        return Ok(());
    }
    let removed = log.append(|frame| {
        for topic in topics.iter().filter(|topic| log.topic(topic).is_some()) {
            frame.delete_own_topic(topic)?;
        }
        Ok::<_, LogError>(())
    });
    removed.map(|_| ())
}

/// The partitions of a topic that a job cannot do without.
pub(crate) fn partitions(log: &EventLog, topic: &str) -> Result<Vec<PartitionId>, RuntimeError> {
    let found = log.topic(topic).map(|topic| topic.partitions.clone()).filter(|found| !found.is_empty());
    found.ok_or_else(|| {
        RuntimeError::Source(dataflow::source::SourceError {
            kind: base::ErrorKind::NotFound,
            message: format!("topic '{topic}' was deleted while a job reads it"),
        })
    })
}
