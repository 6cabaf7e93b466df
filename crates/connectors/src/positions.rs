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

/// Where a sink goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The outbox offset from which the target needs records.
    pub offset: i64,
    /// The target's own word for the last that it has, if it has one: with it the target can be asked what came behind.
    pub mark: u64,
}

impl Position {
    fn read(text: &str) -> Option<Position> {
        match text.split_once(' ') {
            Some((offset, mark)) => Some(Position { offset: offset.parse().ok()?, mark: mark.parse().ok()? }),
            None => Some(Position { offset: text.parse().ok()?, mark: 0 }),
        }
    }
}

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

    /// The beginning for a sink that is new.
    pub(crate) fn get(&self) -> Result<Position, SinkError> {
        let mut found = Position::default();
        let read = internal_topic::read(&self.log, TOPIC, &mut |key, value| {
            if key == self.name.as_bytes() {
                let text = std::str::from_utf8(value).ok();
                found = text.and_then(Position::read).ok_or("a position is no number")?;
            }
            Ok(())
        });
        read.map(|()| found).map_err(|error| self.error(error))
    }

    /// Durable afterwards.
    pub(crate) fn set(&self, position: Position) -> Result<(), SinkError> {
        let Position { offset, mark } = position;
        let value = if mark == 0 { offset.to_string() } else { format!("{offset} {mark}") };
        let now_ms = self.os.clock.now_ms();
        internal_topic::put(&self.log, TOPIC, now_ms, self.name.as_bytes(), value.as_bytes())
            .map_err(|error| self.error(error))
    }

    fn error(&self, error: String) -> SinkError {
        let message = format!("the position of the sink {} cannot be kept: {error}", self.name);
        SinkError { kind: ErrorKind::Unavailable, message }
    }
}
