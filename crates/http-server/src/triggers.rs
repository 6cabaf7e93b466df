//! Savepoints that somebody asked for over HTTP, by the id under which their outcome is asked for.

use crate::reply::Reply;
use hyper::StatusCode;
use runtime::{RuntimeError, SavepointTicket};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Outcomes that are kept for those who ask; the oldest go first.
const TRIGGERS_MAX: usize = 256;

#[derive(Default)]
pub(crate) struct Triggers {
    known: Mutex<VecDeque<Trigger>>,
}

struct Trigger {
    id: String,
    job: String,
    ticket: SavepointTicket,
}

impl Triggers {
    /// Begins a savepoint under an id, unless the id has one: a client that repeats itself gets what it has.
    pub(crate) fn begin(
        &self,
        id: &str,
        job: &str,
        begin: impl FnOnce() -> Result<SavepointTicket, RuntimeError>,
    ) -> Result<(), RuntimeError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.iter().any(|trigger| trigger.id == id && trigger.job == job) {
            return Ok(());
        }
        let ticket = begin()?;
        if known.len() >= TRIGGERS_MAX {
            known.pop_front();
        }
        known.push_back(Trigger { id: id.to_string(), job: job.to_string(), ticket });
        Ok(())
    }

    /// What has become of a savepoint.
    pub(crate) fn status(&self, id: &str, job: &str) -> Reply {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(trigger) = known.iter().find(|trigger| trigger.id == id && trigger.job == job) else {
            let message = format!("there is no savepoint with the request-id '{id}' for this job");
            return Reply::error(StatusCode::NOT_FOUND, message);
        };
        let operation = match trigger.ticket.wait_timeout(0) {
            None => return Reply::ok(json!({ "status": { "id": "IN_PROGRESS" }, "operation": Value::Null })),
            Some(Ok(savepoint)) => json!({ "location": savepoint.folder.display().to_string() }),
            Some(Err(error)) => json!({
                "failure-cause": {
                    "class": "eventwright.SavepointFailed",
                    "stack-trace": error.to_string(),
                    "serialized-throwable": Value::Null,
                }
            }),
        };
        Reply::ok(json!({ "status": { "id": "COMPLETED" }, "operation": operation }))
    }
}
