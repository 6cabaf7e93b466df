//! The end of a frame: its header, and what it changes, in force for the frames after it.

use super::changes::Replacement;
use super::frame::Frame;
use crate::catalog::CatalogChange;
use crate::format::{FRAME_HEADER_BYTES, FrameHeader};
use crate::metrics::Appended;
use crate::partition::{Partition, PartitionState};
use base::Lsn;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

impl Frame<'_> {
    /// Completes the frame's header and applies what the frame changes.
    pub(super) fn finish(mut self) {
        if self.entries == 0 {
            self.state.trim();
            return;
        }
        let start = self.start;
        let segment = self.state.segment();
        let frame_bytes = segment.bytes.len() - start;
        let header = FrameHeader {
            generation: segment.file.header.generation,
            lsn: Lsn(0),
            position: segment.position + start as u64,
            durable: self.durable,
            appended_ms: self.inner.os.clock.now_ms(),
            body_bytes: (frame_bytes - FRAME_HEADER_BYTES) as u32,
            entries: self.entries,
            flags: 0,
        };
        let header = FrameHeader { lsn: Lsn(self.state.last_lsn.0 + 1), ..header };
        let segment = self.state.segment();
        segment.bytes.patch(self.header_place, &header.encode());
        let file = segment.file.clone();
        self.publish_catalog();
        let mut appended = Appended::default();
        for (id, entry) in std::mem::take(&mut self.batches) {
            appended.add(entry.records, entry.length);
            if let Ok(partition) = self.inner.partition(id) {
                let mut state = partition.state();
                state.appended.add(entry.records, entry.length);
                state.push(&file, entry);
            }
        }
        for (id, end) in std::mem::take(&mut self.next) {
            self.state.pending.ends.insert(id, end);
        }
        let mut frees_space = false;
        for (id, log_start) in std::mem::take(&mut self.log_starts) {
            if let Ok(partition) = self.inner.partition(id) {
                partition.state().move_log_start(log_start);
                frees_space = true;
            }
        }
        if let Some(Replacement { change, file, .. }) = self.compacted.take() {
            if let CatalogChange::Compacted { partition, .. } = &change
                && let Ok(partition) = self.inner.partition(*partition)
            {
                partition.state().compacted(&change, file.as_ref());
            }
            // Told before the frame can be durable, so that whoever ships it has looked for the segment.
            self.inner.counters.compacted_lsn.store(self.state.last_lsn.0 + 1, Ordering::Release);
            frees_space = true;
        }
        if frees_space {
            self.inner.want_recycling();
        }
        self.inner.account(self.state, frame_bytes as u64, appended);
    }

    fn publish_catalog(&mut self) {
        let steps = std::mem::take(&mut self.draft.steps);
        if steps.is_empty() {
            return;
        }
        let mut deleted = false;
        {
            let mut partitions = self.inner.partitions.write().unwrap_or_else(PoisonError::into_inner);
            for step in &steps {
                for id in step.gone() {
                    deleted |= partitions.remove(id).is_some();
                }
                for id in step.added() {
                    partitions.insert(*id, Partition::new(*id, PartitionState::default()));
                }
            }
        }
        {
            let mut catalog = self.inner.catalog.write().unwrap_or_else(PoisonError::into_inner);
            steps.iter().for_each(|step| catalog.take(step));
        }
        if deleted {
            self.inner.want_recycling();
        }
    }
}
