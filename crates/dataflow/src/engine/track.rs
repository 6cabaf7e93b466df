//! Tracks: how a watermark moved during a step, as a function of the input position.
//!
//! A row's own watermark says what was in force before it. Operators also need the watermark at
//! positions where they see no row: a filter may have dropped it, or it belongs to the other input of
//! a union. A track holds every change with the ordinal after which it took effect, so lateness and
//! the place where a window fires never depend on which rows reach an operator, on which worker, or
//! on where a step ends.

use base::Zone;
use std::sync::Arc;

/// The watermark of one flow of rows over one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Track {
    /// In force when the step began.
    pub(crate) initial: i64,
    /// Strictly ascending in both parts: after the row with this ordinal, this watermark.
    pub(crate) changes: Vec<(u64, i64)>,
}

impl Track {
    pub(crate) fn constant(watermark: i64) -> Track {
        Track { initial: watermark, changes: Vec::new() }
    }

    /// Raises the watermark after the row `ordinal`; ignores what does not raise it.
    pub(crate) fn advance(&mut self, ordinal: u64, watermark: i64) {
        if watermark <= self.end() {
            return;
        }
        match self.changes.last_mut() {
            Some(last) if last.0 == ordinal => last.1 = watermark,
            _ => self.changes.push((ordinal, watermark)),
        }
    }

    /// In force when the step is over.
    pub(crate) fn end(&self) -> i64 {
        self.changes.last().map_or(self.initial, |change| change.1)
    }

    /// In force before the row `ordinal`.
    pub(crate) fn before(&self, ordinal: u64) -> i64 {
        let passed = self.changes.partition_point(|change| change.0 < ordinal);
        if passed == 0 { self.initial } else { self.changes[passed - 1].1 }
    }

    /// The ordinal after which the watermark has reached `watermark`; 0 if it had before the step.
    pub(crate) fn reached_after(&self, watermark: i64) -> u64 {
        if self.initial >= watermark {
            return 0;
        }
        let before = self.changes.partition_point(|change| change.1 < watermark);
        self.changes.get(before).map_or(u64::MAX, |change| change.0)
    }

    /// The same on the wall clock of a zone: which of its times have passed for good.
    pub(crate) fn on_clock(self: &Arc<Track>, zone: Zone) -> Arc<Track> {
        if zone.is_utc() {
            return self.clone();
        }
        let mut track = Track::constant(zone.passed_wall_ms(self.initial));
        for (ordinal, watermark) in &self.changes {
            track.advance(*ordinal, zone.passed_wall_ms(*watermark));
        }
        Arc::new(track)
    }

    /// The minimum at every position.
    pub(crate) fn minimum(tracks: &[Arc<Track>]) -> Track {
        let initial = tracks.iter().map(|track| track.initial).min().unwrap_or(i64::MIN);
        let mut combined = Track::constant(initial);
        let mut positions: Vec<u64> =
            tracks.iter().flat_map(|track| track.changes.iter().map(|change| change.0)).collect();
        positions.sort_unstable();
        positions.dedup();
        let mut next = vec![0usize; tracks.len()];
        let mut current: Vec<i64> = tracks.iter().map(|track| track.initial).collect();
        for position in positions {
            for (index, track) in tracks.iter().enumerate() {
                if let Some(change) = track.changes.get(next[index]).filter(|change| change.0 == position) {
                    current[index] = change.1;
                    next[index] += 1;
                }
            }
            combined.advance(position, current.iter().copied().min().unwrap_or(i64::MIN));
        }
        combined
    }
}
