//! The registry: one write at a time, so that each decides on the state that it then changes; looks wait for none.
//!
//! Comparing schemas may take long, and so may a sync: the lock around what is folded is held for neither. Who looks
//! takes the state along as it is then; what is folded meanwhile goes into a copy.

use crate::api;
use crate::records::Record;
use crate::refusal::Refusal;
use crate::request::{Answer, Request};
use crate::state::State;
use crate::store::{self, Folded};
use eventlog::EventLog;
use os::Os;
use std::sync::{Arc, Mutex, PoisonError};

pub struct SchemaRegistry {
    log: EventLog,
    os: Os,
    /// What the Kafka side of the node calls its cluster.
    cluster_id: String,
    version: String,
    folded: Mutex<Folded>,
    /// Held by the write under way.
    writing: Mutex<()>,
    tell: Arc<Tell>,
}

/// Takes a line for the operator.
type Tell = dyn Fn(&str) + Send + Sync;

impl SchemaRegistry {
    /// Reads nothing yet: the topic is read with the first request.
    pub fn new(log: EventLog, os: Os, cluster_id: String, version: String) -> SchemaRegistry {
        let (folded, writing) = (Mutex::default(), Mutex::default());
        SchemaRegistry { log, os, cluster_id, version, folded, writing, tell: Arc::new(|_| {}) }
    }

    /// Has a line taken about each batch of the topic that cannot be read and is passed over.
    pub fn telling(self, tell: Arc<Tell>) -> SchemaRegistry {
        SchemaRegistry { tell, ..self }
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
        let (state, _) = self.refreshed()?;
        look(&state)
    }

    /// The state with all that is durable, and whether somebody's open transaction hides more.
    fn refreshed(&self) -> Result<(Arc<State>, bool), Refusal> {
        let mut folded = self.folded.lock().unwrap_or_else(PoisonError::into_inner);
        folded.refresh(&self.log, &*self.tell)?;
        Ok((folded.state.clone(), folded.waits))
    }

    /// Decides on records and appends them; nobody else writes in between.
    pub(crate) fn write<R>(
        &self,
        decide: impl FnOnce(&State) -> Result<(Vec<Record>, R), Refusal>,
    ) -> Result<R, Refusal> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, waits) = self.refreshed()?;
        if waits {
            return Err(Refusal::undecided());
        }
        let (records, result) = decide(&state)?;
        if !records.is_empty() {
            store::append(&self.log, &self.os, &records)?;
        }
        Ok(result)
    }
}
