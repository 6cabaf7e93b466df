//! Messages that a server refuses for good, on their way to the dead-letter topic.

use super::error::ServerError;
use super::options::DEAD_LETTER_TOPIC;
use base::ErrorKind;
use base::options::Options;
use dataflow::source::Rejected;
use dataflow::table::TableDefinition;

pub(crate) struct RefusedMessages {
    table: String,
    topic: Option<String>,
    /// What a user may do instead of keeping them, if anything.
    otherwise: &'static str,
    rejected: Vec<Rejected>,
}

impl RefusedMessages {
    pub(crate) fn new(
        table: &TableDefinition,
        options: &Options,
        otherwise: &'static str,
    ) -> RefusedMessages {
        let topic = options.text(DEAD_LETTER_TOPIC).map(str::to_string);
        RefusedMessages { table: table.name.clone(), topic, otherwise, rejected: Vec::new() }
    }

    /// Keeps a message, which `which` names; an error where the table declares no topic.
    pub(crate) fn keep(
        &mut self,
        which: String,
        body: Vec<u8>,
        timestamp_ms: i64,
        reason: String,
    ) -> Result<(), ServerError> {
        let Some(topic) = self.topic.clone() else {
            let message = format!(
                "the message {which} is refused: {reason}; keep such messages with '{DEAD_LETTER_TOPIC}' = '…'{}",
                self.otherwise
            );
            return Err(ServerError::new(ErrorKind::Invalid, message));
        };
        self.rejected.push(Rejected {
            origin: format!("{} {which}", self.table),
            key: None,
            value: Some(body),
            timestamp_ms,
            reason,
            topic,
        });
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rejected.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.rejected.clear();
    }

    pub(crate) fn take(&mut self) -> Vec<Rejected> {
        std::mem::take(&mut self.rejected)
    }
}
