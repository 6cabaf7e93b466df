//! The registry: one lock around what is folded, so that a write decides on the state that it then changes.

use crate::api;
use crate::records::Record;
use crate::refusal::Refusal;
use crate::request::{Answer, Request};
use crate::state::State;
use crate::store::{self, Folded};
use eventlog::EventLog;
use os::Os;
use std::sync::{Mutex, PoisonError};

pub struct SchemaRegistry {
    log: EventLog,
    os: Os,
    /// What the Kafka side of the node calls its cluster.
    cluster_id: String,
    version: String,
    folded: Mutex<Folded>,
}

impl SchemaRegistry {
    /// Reads nothing yet: the topic is read with the first request.
    pub fn new(log: EventLog, os: Os, cluster_id: String, version: String) -> SchemaRegistry {
        SchemaRegistry { log, os, cluster_id, version, folded: Mutex::default() }
    }

    /// Answers a request; what it changes is durable when the answer is there. It may take as long as a sync of the log.
    pub fn answer(&self, request: &Request) -> Answer {
        api::answer(self, request)
    }

    pub(crate) fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Looks at all that is durable.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&State) -> Result<R, Refusal>) -> Result<R, Refusal> {
        let mut folded = self.folded.lock().unwrap_or_else(PoisonError::into_inner);
        folded.refresh(&self.log)?;
        look(&folded.state)
    }

    /// Decides on records and appends them; nobody else writes in between.
    pub(crate) fn write<R>(
        &self,
        decide: impl FnOnce(&State) -> Result<(Vec<Record>, R), Refusal>,
    ) -> Result<R, Refusal> {
        let mut folded = self.folded.lock().unwrap_or_else(PoisonError::into_inner);
        folded.refresh(&self.log)?;
        if folded.waits {
            return Err(Refusal::undecided());
        }
        let (records, result) = decide(&folded.state)?;
        if !records.is_empty() {
            store::append(&self.log, &self.os, &records)?;
            folded.refresh(&self.log)?;
        }
        Ok(result)
    }
}
