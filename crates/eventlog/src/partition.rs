//! One partition: its bounds and the spans of log files in which its batches lie.
//!
//! The spans are in offset order; only the last one grows. 48 bytes and a pointer for each pair of file and partition
//! stay in memory, the entries of sealed files do not.

use crate::catalog::CatalogChange;
use crate::files::{LogFile, lock};
use crate::index::{Entries, IndexEntry, Section, Span};
use crate::log::Bounds;
use crate::metrics::Appended;
use base::{Offset, PartitionId};
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
    /// Compaction has gone through everything before it: of no key is there more than one record.
    pub(crate) clean_to: i64,
    /// Segments, if the partition was ever compacted, then log files.
    pub(crate) spans: VecDeque<Span>,
    pub(crate) appended: Appended,
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

    /// Puts a segment in the place of what lies from `from` up to `to`. Of a span that reaches beyond, the rest stays,
    /// which takes `rest_bytes`.
    pub(crate) fn replace(&mut self, from: i64, to: i64, segment: Option<Span>, rest_bytes: u64) {
        self.spans.retain(|span| span.first < from || span.end > to);
        for span in self.spans.iter_mut().filter(|span| (from..to).contains(&span.first)) {
            span.cut(to, rest_bytes);
        }
        if let Some(segment) = segment.filter(|segment| segment.end > self.log_start) {
            let place = self.spans.partition_point(|span| span.first < from);
            self.spans.insert(place, segment);
        }
    }

    /// What a change by compaction says; `file` is that of its segment.
    pub(crate) fn compacted(&mut self, change: &CatalogChange, file: Option<&Arc<LogFile>>) {
        let CatalogChange::Compacted { from, to, segment, rest_bytes, clean_to, .. } = change else { return };
        let span = segment.as_ref().zip(file).map(|(segment, file)| Span::of_segment(file, segment));
        self.replace(from.0, to.0, span, *rest_bytes);
        self.clean_to = self.clean_to.max(clean_to.0);
    }

    /// The spans of segments, which come first.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter().take_while(|span| span.file.segment.is_some())
    }

    /// The end of what lies in segments; the beginning if nothing does.
    pub(crate) fn segments_end(&self) -> i64 {
        self.segments().last().map_or(i64::MIN, |span| span.end)
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            log_start: Offset(self.log_start),
            high_watermark: Offset(self.durable),
            end: Offset(self.end),
            clean_to: Offset(self.clean_to),
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
        // It is one of the last.
        if let Some(span) = self.spans.iter_mut().rev().find(|span| span.file.sequence() == sequence) {
            span.entries = Entries::Stored(section);
        }
    }
}
