//! One partition: its bounds and the spans of log files in which its batches lie.
//!
//! The spans are in offset order; only the last one grows. 48 bytes and a pointer for each pair of file and partition
//! stay in memory, the entries of sealed files do not.

use crate::files::{LogFile, lock};
use crate::index::{Entries, IndexEntry, Section, Span};
use base::PartitionId;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

pub(crate) struct Partition {
    pub(crate) id: PartitionId,
    state: Mutex<PartitionState>,
}

#[derive(Default)]
pub(crate) struct PartitionState {
    pub(crate) log_start: i64,
    /// The durable end: what readers may see.
    pub(crate) durable: i64,
    /// The appended end.
    pub(crate) end: i64,
    pub(crate) spans: VecDeque<Span>,
}

impl Partition {
    pub(crate) fn new(id: PartitionId, state: PartitionState) -> Arc<Partition> {
        Arc::new(Partition { id, state: Mutex::new(state) })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, PartitionState> {
        lock(&self.state)
    }
}

impl PartitionState {
    pub(crate) fn push(&mut self, file: &Arc<LogFile>, entry: IndexEntry) {
        self.end = entry.end();
        match self.spans.back_mut() {
            Some(last) if last.file.sequence() == file.sequence() => last.push(entry),
            _ => self.spans.push_back(Span::begin(file, entry)),
        }
    }

    /// Moves the log start forward and lets go of the spans that lie wholly before it.
    pub(crate) fn move_log_start(&mut self, log_start: i64) {
        if log_start <= self.log_start {
            return;
        }
        self.log_start = log_start;
        while self.spans.front().is_some_and(|span| span.end <= log_start) {
            self.spans.pop_front();
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.spans.iter().map(|span| span.bytes).sum()
    }

    /// The number of the span that holds the offset, or of the first behind it.
    pub(crate) fn span_at(&self, offset: i64) -> usize {
        self.spans.partition_point(|span| span.end <= offset)
    }

    /// The entries of a sealed file are on the disk now.
    pub(crate) fn stored(&mut self, sequence: u64, section: Section) {
        if let Some(span) = self.spans.iter_mut().find(|span| span.file.sequence() == sequence) {
            span.entries = Entries::Stored(section);
        }
    }
}
