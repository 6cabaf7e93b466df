//! Reads the answers of a lookup join from their topic: one split, positions are offsets.

use crate::error::RuntimeError;
use crate::{records, topics};
use base::{ErrorKind, PartitionId};
use dataflow::lookup::AnswerRows;
use dataflow::source::{Idle, Position, Read, ReadLimits, Source, SourceError, Split};
use eventlog::EventLog;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A read ends when its answers have so many bytes, however few they are.
const STEP_BYTES_MAX: usize = 32 << 20;
pub(crate) struct AnswerSource {
    log: EventLog,
    topic: String,
    table: String,
    partition: PartitionId,
    is_done: Arc<AtomicBool>,
}

impl AnswerSource {
    pub(super) fn new(
        log: &EventLog,
        topic: &str,
        table: &str,
        is_done: Arc<AtomicBool>,
    ) -> Result<AnswerSource, RuntimeError> {
        let partition = topics::partitions(log, topic)?[0];
        Ok(AnswerSource { log: log.clone(), topic: topic.into(), table: table.into(), partition, is_done })
    }

    fn error(&self, kind: ErrorKind, message: impl std::fmt::Display) -> SourceError {
        let message = format!("the answers of table '{}' (topic {}): {message}", self.table, self.topic);
        SourceError { kind, message }
    }

    /// Which questions have an answer from a position on.
    pub(super) fn questions_from(&mut self, from: Position) -> Result<BTreeSet<u64>, SourceError> {
        let mut questions = BTreeSet::new();
        self.records(from, i64::MAX, &mut |record| {
            questions.extend(AnswerRows::question(record));
            Ok(true)
        })?;
        Ok(questions)
    }

    /// Calls back for each durable record of `[from, end)` with its value, until the answer is false; the answer is
    /// where the next record stands.
    fn records(
        &self,
        from: Position,
        end: i64,
        each: &mut dyn FnMut(&[u8]) -> Result<bool, String>,
    ) -> Result<i64, SourceError> {
        let error = |kind, message: String| self.error(kind, message);
        records::each(&self.log, self.partition, from.0, end, &error, &mut |record| {
            each(record.value.unwrap_or_default())
        })
    }
}

impl Source for AnswerSource {
    /// From the end that the topic has now: what lies before is another job's.
    fn splits(&mut self) -> Result<Vec<Split>, SourceError> {
        let bounds = self.log.bounds(self.partition).map_err(|error| self.error(error.kind(), &error))?;
        let id = format!("{}/0", self.topic);
        Ok(vec![Split { id, start: Position(bounds.end.0), end: None, fingerprint: String::new() }])
    }

    fn read(
        &mut self,
        _split: &Split,
        from: Position,
        until: Option<Position>,
        limits: ReadLimits,
    ) -> Result<Read, SourceError> {
        // What still lies there when nothing waits any more was asked twice.
        let finished = until.is_none() && self.is_done.load(Ordering::Acquire);
        let (count_max, bytes_max) = match until {
            Some(_) => (usize::MAX, usize::MAX),
            None => (limits.rows_max, STEP_BYTES_MAX),
        };
        let end = if finished { from.0 } else { until.map_or(i64::MAX, |until| until.0) };
        let mut answers = AnswerRows::default();
        let mut bytes = 0;
        let next = self.records(from, end, &mut |record| {
            if answers.len() >= count_max || bytes >= bytes_max {
                return Ok(false);
            }
            bytes += record.len();
            answers.push(record).map(|()| true)
        })?;
        if let Some(until) = until.filter(|until| until.0 != next) {
            let message = format!("offset={next} of a step that is run again up to {} is missing", until.0);
            return Err(self.error(ErrorKind::Corrupt, message));
        }
        let idle = if answers.is_empty() { Idle::UntilLogGrows } else { Idle::Ready };
        let rows = answers.finish().map_err(|error| self.error(ErrorKind::Internal, &error))?;
        Ok(Read { rows, kinds: None, next: Position(next), finished, skipped: 0, rejected: Vec::new(), idle })
    }

    fn log_partition(&self, _: &Split) -> Option<PartitionId> {
        Some(self.partition)
    }
}
