//! Brings the lines that a command writes.
//!
//! A command that writes the same from its beginning each time can be read again: the position is how many records have
//! landed and a hash over them, by which those are passed over that a later run writes again.

use super::child::{Child, exit};
use super::options::{Restart, Settings};
use crate::arrivals::Framed;
use crate::landed::Landing;
use crate::messages::{Done, HAUL_BYTES_MAX, ServerError};
use crate::text_stream::{Heard, Records};
use auth::socket::monotonic;
use base::ErrorKind;
use dataflow::feed::{Feed, FeedRecord, Haul};
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use formats::RecordSplitter;
use os::Os;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

pub(super) struct CommandFeed {
    table: Arc<TableDefinition>,
    os: Os,
    settings: Settings,
    splitter: RecordSplitter,
    record_bytes_max: usize,
    child: Option<Child>,
    /// What was taken of this run.
    taken: Taken,
    /// What landed of an earlier run, while it is passed over.
    known: Option<Taken>,
    /// When the next run begins, by the monotonic clock.
    next_run: Option<Duration>,
    /// It has written everything.
    is_at_end: bool,
    /// Why nothing more of this run can be read.
    unreadable: Option<String>,
}

/// So many records, and a hash over them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Taken {
    count: u64,
    hash: u64,
}

impl Taken {
    fn add(&mut self, record: &[u8]) {
        let digest = Sha256::new().chain_update(self.hash.to_be_bytes()).chain_update(record).finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        self.hash = u64::from_be_bytes(first);
        self.count += 1;
    }

    fn position(self) -> Vec<u8> {
        [self.count.to_be_bytes(), self.hash.to_be_bytes()].concat()
    }

    fn read(position: &[u8]) -> Option<Taken> {
        let (count, hash) = position.split_first_chunk::<8>()?;
        let hash = u64::from_be_bytes(hash.try_into().ok()?);
        Some(Taken { count: u64::from_be_bytes(*count), hash })
    }
}

impl CommandFeed {
    pub(super) fn new(
        table: Arc<TableDefinition>,
        os: Os,
        settings: Settings,
        (splitter, record_bytes_max): (RecordSplitter, usize),
    ) -> CommandFeed {
        CommandFeed {
            table,
            os,
            settings,
            splitter,
            record_bytes_max,
            child: None,
            taken: Taken::default(),
            known: None,
            next_run: None,
            is_at_end: false,
            unreadable: None,
        }
    }

    fn error(&self, error: ServerError) -> SourceError {
        let message = format!("table '{}': exec: {}", self.table.name, error.message);
        SourceError { kind: error.kind, message }
    }

    fn start(&mut self) -> Done<()> {
        let records = Records::new(self.splitter.clone(), self.record_bytes_max);
        (self.taken, self.is_at_end, self.next_run) = (Taken::default(), false, None);
        self.unreadable = None;
        self.child = Some(Child::start(&self.os, &self.settings, Some(records))?);
        Ok(())
    }

    /// Whether a record is new: of a run that is read again the first ones are not.
    fn is_new(&mut self, record: &[u8]) -> Done<bool> {
        if !self.settings.replays {
            return Ok(true);
        }
        self.taken.add(record);
        let Some(known) = self.known else { return Ok(true) };
        if self.taken.count == known.count {
            if self.taken != known {
                return Err(ServerError::invalid(format!(
                    "the command has not written the same {} lines again; without 'scan.replays' it is read from now on",
                    known.count
                )));
            }
            self.known = None;
        }
        Ok(false)
    }

    fn record(&self, framed: Framed) -> FeedRecord {
        let mut landing = Landing::new(&self.table);
        if let Some(problem) = &framed.problem {
            landing.unreadable(problem);
        }
        FeedRecord {
            partition: 0,
            timestamp_ms: self.os.clock.now_ms(),
            key: None,
            value: Some(framed.bytes),
            headers: landing.finish(),
            id: None,
        }
    }

    /// It writes nothing more: what follows, when it has ended. Whether the table has.
    fn at_end(&mut self, wait: Duration) -> Done<bool> {
        let Some(child) = &mut self.child else { return Ok(false) };
        if !child.has_ended(wait) {
            return Ok(false);
        }
        let status = child.status()?;
        if !status.success() && !matches!(self.settings.restart, Restart::Always(_)) {
            let error = child.told(format!("the command has ended with {}", exit(status)));
            let kind = match self.settings.restart {
                Restart::Never => ErrorKind::Invalid,
                _ => ErrorKind::Unavailable,
            };
            return Err(ServerError { kind, ..error });
        }
        if let Some(known) = self.known {
            return Err(ServerError::invalid(format!(
                "the command has written {} lines, and wrote {} before; without 'scan.replays' it is read from now on",
                self.taken.count, known.count
            )));
        }
        match self.settings.restart {
            Restart::Always(delay) => {
                self.child = None;
                self.next_run = Some(monotonic(&*self.os.clock).saturating_add(delay));
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    fn haul(&mut self, wait: Duration) -> Done<Haul> {
        let mut haul = Haul::default();
        if let Some(at) = self.next_run {
            let left = at.saturating_sub(monotonic(&*self.os.clock));
            if !left.is_zero() {
                std::thread::sleep(left.min(wait));
                return Ok(haul);
            }
            self.start()?;
        }
        let (mut wait, mut bytes) = (wait, 0);
        while bytes < HAUL_BYTES_MAX && !self.is_at_end {
            let Some(child) = &self.child else { break };
            match child.output.take(wait) {
                Some(Heard::Record(framed)) => {
                    bytes += framed.bytes.len() + 64;
                    if self.is_new(&framed.bytes)? {
                        haul.records.push(self.record(framed));
                    }
                }
                Some(Heard::End(None)) => self.is_at_end = true,
                // What is an error comes behind what was written before it.
                Some(Heard::End(Some(problem))) => {
                    self.unreadable = Some(problem);
                    break;
                }
                None => break,
            }
            // What else has come is taken as well.
            wait = Duration::ZERO;
        }
        if let Some(problem) = self.unreadable.take_if(|_| haul.records.is_empty()) {
            return Err(ServerError::unavailable(format!("its output cannot be read: {problem}")));
        }
        if self.is_at_end && haul.records.is_empty() {
            haul.ended = self.at_end(wait)?;
        }
        if self.settings.replays && !haul.records.is_empty() {
            haul.position = Some(self.taken.position());
        }
        Ok(haul)
    }
}

impl Feed for CommandFeed {
    fn open(&mut self, position: Option<&[u8]>) -> Result<(), SourceError> {
        self.child = None;
        let known = position.filter(|_| self.settings.replays);
        let known = known.map(|position| Taken::read(position).ok_or("a position that is none"));
        let known = known.transpose().map_err(|error| self.error(ServerError::invalid(error)))?;
        self.known = known.filter(|known| known.count > 0);
        self.start().map_err(|error| self.error(error))
    }

    fn poll(&mut self, wait_ms: u64) -> Result<Haul, SourceError> {
        let haul = self.haul(Duration::from_millis(wait_ms));
        haul.map_err(|error| {
            self.child = None;
            self.error(error)
        })
    }
}
