//! How far sinks are whose targets store no offset: the last outbox offset of each, in an internal topic of the log.
//!
//! It is set when the target has said that it holds what lies before it. A node that dies in between sends that again:
//! such a sink is at least once.

use crate::internal_topic;
use base::ErrorKind;
use dataflow::sink::SinkError;
use eventlog::EventLog;
use os::Os;

const TOPIC: &str = "__positions";

pub(crate) struct Positions {
    os: Os,
    log: EventLog,
    /// Of the sink.
    name: String,
}

impl Positions {
    pub(crate) fn new(os: Os, log: EventLog, name: String) -> Positions {
        Positions { os, log, name }
    }

    /// The offset from which the target needs records; 0 for a sink that is new.
    pub(crate) fn get(&self) -> Result<i64, SinkError> {
        let mut found = 0;
        let read = internal_topic::read(&self.log, TOPIC, &mut |key, value| {
            if key == self.name.as_bytes() {
                let text = std::str::from_utf8(value).ok();
                found = text.and_then(|text| text.parse().ok()).ok_or("a position is no number")?;
            }
            Ok(())
        });
        read.map(|()| found).map_err(|error| self.error(error))
    }

    /// Durable afterwards.
    pub(crate) fn set(&self, offset: i64) -> Result<(), SinkError> {
        let (now_ms, value) = (self.os.clock.now_ms(), offset.to_string());
        internal_topic::put(&self.log, TOPIC, now_ms, self.name.as_bytes(), value.as_bytes())
            .map_err(|error| self.error(error))
    }

    fn error(&self, error: String) -> SinkError {
        let message = format!("the position of the sink {} cannot be kept: {error}", self.name);
        SinkError { kind: ErrorKind::Unavailable, message }
    }
}
