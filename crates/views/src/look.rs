//! What a view looks like from outside: its definition, what it takes, and how far it is behind what was written.

use crate::snapshot::View;
use crate::views::{Standing, Views};
use base::{Offset, PartitionId};
use eventlog::EventLog;
use serde_json::{Value, json};
use std::collections::HashMap;

/// How the job of a view does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Records in the partitions of the log that it reads and has not taken.
    pub lag_records: u64,
    /// How long ago the first of them was written, by the time in it; 0 where it has taken all.
    pub behind_ms: i64,
    /// It has read all that it was to read: the view stays as it is.
    pub finished: bool,
    /// Why it does not go on, if so: `stopped`, `failed`, or that this node does not know it.
    pub stands: Option<String>,
}

/// A view at a moment.
#[derive(Debug, Clone)]
pub struct Look {
    pub view: View,
    /// None where nobody knows of jobs: the data directory is not served.
    pub health: Option<Health>,
}

impl Views {
    /// All views as they are now, in the order of their names.
    pub fn look(&self) -> Vec<Look> {
        let snapshot = self.snapshot();
        let mut known: HashMap<String, Option<Health>> = HashMap::new();
        let look = |view: &View| {
            let job = &view.definition().job;
            let health = known.entry(job.clone()).or_insert_with(|| self.health_of(job)).clone();
            Look { view: view.clone(), health }
        };
        snapshot.views().iter().map(look).collect()
    }

    fn health_of(&self, job: &str) -> Option<Health> {
        let (log, jobs) = self.surroundings()?;
        let Some(standing) = jobs.standing(job) else {
            return Some(Health { stands: Some("unknown to this node".into()), ..Health::default() });
        };
        Some(health(log, standing, self.now_ms()))
    }
}

fn health(log: &EventLog, standing: Standing, now_ms: i64) -> Health {
    let mut health =
        Health { finished: standing.finished, stands: standing.stands.clone(), ..Health::default() };
    for (partition, next) in standing.taken.unwrap_or_default() {
        let (records, behind_ms) = behind(log, partition, next, now_ms);
        health.lag_records += records;
        health.behind_ms = health.behind_ms.max(behind_ms);
    }
    health
}

/// Records of a partition from an offset on, and how long ago the first of them was written.
fn behind(log: &EventLog, partition: PartitionId, next: Offset, now_ms: i64) -> (u64, i64) {
    // A topic that is gone, or a log that cannot be read, is told elsewhere.
    let Ok(end) = log.last_stable_offset(partition) else { return (0, 0) };
    let Some(records) = u64::try_from(end.0 - next.0).ok().filter(|records| *records > 0) else {
        return (0, 0);
    };
    let written_ms = log.time_at(partition, next).ok().flatten();
    (records, written_ms.map_or(0, |written_ms| now_ms.saturating_sub(written_ms).max(0)))
}

impl Look {
    /// For the console and the command line.
    pub fn json(&self) -> Value {
        let definition = self.view.definition();
        let key = definition.primary_key();
        let columns = definition.schema.fields().iter().zip(&definition.types);
        let columns = columns.map(|(field, of)| {
            json!({
                "name": field.name(),
                "type": of,
                "nullable": field.is_nullable(),
                "key": key.contains(&field.name().as_str()),
            })
        });
        let health = self.health.as_ref().map(|health| {
            json!({
                "lag_records": health.lag_records,
                "behind_ms": health.behind_ms,
                "finished": health.finished,
                "stands": health.stands,
            })
        });
        json!({
            "name": definition.name,
            "comment": definition.comment,
            "columns": columns.collect::<Vec<_>>(),
            "key": key,
            "keeps_every_row": definition.keeps_every_row(),
            "rows": self.view.rows(),
            "bytes": self.view.bytes(),
            "reads": self.view.reads(),
            "broken": self.view.broken(),
            "job": definition.job,
            "topic": definition.topic,
            "statement": definition.statement,
            "health": health,
        })
    }
}
