//! The watermark operator: per split the running maximum, over the splits the minimum, per row.
//!
//! It runs on one thread, over the reads of the step in their order: that order decides what the
//! watermark was before each row, and it is the one thing that no worker may see differently.

use super::batches::Chunk;
use super::error::DataflowError;
use super::time::{as_milliseconds, milliseconds};
use super::track::Track;
use crate::batch::Batch;
use arrow_array::{Array, ArrayRef, Int64Array};
use arrow_buffer::{NullBuffer, ScalarBuffer};

/// What the engine knows of one read of the step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadInfo {
    pub(crate) scan: usize,
    pub(crate) split: usize,
    /// The ordinal of its last row, or of the row before it if it has none.
    pub(crate) last_ordinal: u64,
    pub(crate) finished: bool,
    pub(crate) idle: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SplitWatermark {
    pub(crate) maximum: i64,
    pub(crate) finished: bool,
    /// It is left out until its next row. A step is told so, and it is in the journal; so a replay sees the same.
    pub(crate) idle: bool,
}

/// The state of one watermark node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WatermarkState {
    pub(crate) splits: Vec<SplitWatermark>,
    /// The watermark that left the node last; never goes back.
    pub(crate) combined: i64,
}

/// The watermark expression's values of one chunk.
pub(crate) struct Candidates {
    values: ScalarBuffer<i64>,
    nulls: Option<NullBuffer>,
}

impl Candidates {
    /// Checks the row times of the chunk on the way.
    pub(crate) fn new(
        batch: &Batch,
        column: usize,
        watermark: &ArrayRef,
    ) -> Result<Candidates, DataflowError> {
        milliseconds(&batch.rows, column)?;
        Ok(Candidates { values: as_milliseconds(watermark)?, nulls: watermark.nulls().cloned() })
    }
}

impl WatermarkState {
    pub(crate) fn new(splits: usize) -> WatermarkState {
        let split = SplitWatermark { maximum: i64::MIN, finished: false, idle: false };
        let mut state = WatermarkState { splits: vec![split; splits], combined: i64::MIN };
        state.combined = state.minimum();
        state
    }

    /// Over the splits that are neither finished nor idle. When all have finished it is the end of time; when all
    /// that are left are idle it stays where it is.
    fn minimum(&self) -> i64 {
        let active = self.splits.iter().filter(|split| !split.finished && !split.idle);
        let at_rest = if self.is_idle() { self.combined } else { i64::MAX };
        active.map(|split| split.maximum).min().unwrap_or(at_rest)
    }

    /// Nothing is expected of any split, though not all have ended.
    pub(crate) fn is_idle(&self) -> bool {
        let mut open = self.splits.iter().filter(|split| !split.finished).peekable();
        open.peek().is_some() && open.all(|split| split.idle)
    }

    /// Gives every row the watermark before it, and tells how the watermark moved.
    pub(crate) fn advance(
        &mut self,
        scan: usize,
        reads: &[ReadInfo],
        chunks: Vec<(Chunk, Candidates)>,
    ) -> Result<(Vec<Chunk>, Track), DataflowError> {
        let mut track = Track::constant(self.combined);
        track.idleness.initial = self.is_idle();
        let mut out = Vec::with_capacity(chunks.len());
        let mut chunks = chunks.into_iter().peekable();
        for (index, read) in reads.iter().enumerate().filter(|(_, read)| read.scan == scan) {
            while let Some((chunk, candidates)) = chunks.next_if(|(chunk, _)| chunk.read == index) {
                let watermarks = self.advance_rows(read.split, &chunk.batch, &candidates, &mut track);
                let batch = Batch { watermarks: Some(watermarks), ..chunk.batch };
                out.push(Chunk { read: chunk.read, batch });
            }
            if read.finished || read.idle {
                let split = &mut self.splits[read.split];
                split.finished |= read.finished;
                split.idle |= read.idle;
                self.combined = self.combined.max(self.minimum());
                track.advance(read.last_ordinal, self.combined);
                track.idleness.set(read.last_ordinal, self.is_idle());
            }
        }
        if chunks.next().is_some() {
            return Err(DataflowError::internal("rows reached the watermark out of the order of the reads"));
        }
        Ok((out, track))
    }

    fn advance_rows(
        &mut self,
        split: usize,
        batch: &Batch,
        candidates: &Candidates,
        track: &mut Track,
    ) -> Int64Array {
        // The first row takes an idle split in again.
        let mut is_back = self.splits[split].idle && !batch.is_empty();
        if is_back {
            self.splits[split].idle = false;
            track.idleness.set(batch.ordinals.value(0), false);
        }
        let mut before = Vec::with_capacity(batch.len());
        for (row, candidate) in candidates.values.iter().enumerate() {
            before.push(self.combined);
            let rises = *candidate > self.splits[split].maximum
                && candidates.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            if !rises && !is_back {
                continue;
            }
            let held_back =
                is_back || self.splits[split].maximum <= self.combined || self.combined == i64::MIN;
            if rises {
                self.splits[split].maximum = *candidate;
            }
            is_back = false;
            // Only the split that was the last one can let the minimum move, or one that all waited for to come back.
            if held_back {
                let minimum = self.minimum();
                if minimum > self.combined {
                    self.combined = minimum;
                    track.advance(batch.ordinals.value(row), minimum);
                }
            }
        }
        before.into()
    }
}

/// Moves a watermark to the step's clock, less one ms, before the rows of the step: their time is the clock, so none is
/// late. When all scans have ended, the last of them with the row `ended`, it moves to the end of time.
pub(crate) fn follow_clock(
    before: i64,
    clock_ms: i64,
    ended: Option<u64>,
    chunks: Vec<Chunk>,
) -> (Vec<Chunk>, Track) {
    let mut track = Track::constant(before);
    track.advance(0, clock_ms.saturating_sub(1));
    let watermark = track.end();
    if let Some(last_ordinal) = ended {
        track.advance(last_ordinal, i64::MAX);
    }
    let follow = |mut chunk: Chunk| {
        chunk.batch.watermarks = Some(Int64Array::from_value(watermark, chunk.batch.len()));
        chunk
    };
    (chunks.into_iter().map(follow).collect(), track)
}
