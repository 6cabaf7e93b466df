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
    /// Whether nothing is expected of the flow, so that others need not wait for it: when the step began, and after
    /// which rows that changed.
    pub(crate) idleness: Idleness,
}

/// Where in a step a flow was idle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Idleness {
    pub(crate) initial: bool,
    /// Ascending: after the row with this ordinal.
    pub(crate) changes: Vec<(u64, bool)>,
}

impl Idleness {
    pub(crate) fn end(&self) -> bool {
        self.changes.last().map_or(self.initial, |change| change.1)
    }

    /// What happens with one row at once counts as it is behind it.
    pub(crate) fn set(&mut self, ordinal: u64, is_idle: bool) {
        if is_idle == self.end() {
            return;
        }
        match self.changes.last() {
            Some(last) if last.0 == ordinal => {
                self.changes.pop();
            }
            _ => self.changes.push((ordinal, is_idle)),
        }
    }

    /// Before the row `ordinal`.
    pub(crate) fn before(&self, ordinal: u64) -> bool {
        let passed = self.changes.partition_point(|change| change.0 < ordinal);
        if passed == 0 { self.initial } else { self.changes[passed - 1].1 }
    }
}

impl Track {
    pub(crate) fn constant(watermark: i64) -> Track {
        Track { initial: watermark, changes: Vec::new(), idleness: Idleness::default() }
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
        Arc::new(self.map(|watermark| zone.passed_wall_ms(watermark)))
    }

    /// The same with other watermarks; `change` must not turn their order.
    pub(crate) fn map(&self, change: impl Fn(i64) -> i64) -> Track {
        let mut track = Track { idleness: self.idleness.clone(), ..Track::constant(change(self.initial)) };
        for (ordinal, watermark) in &self.changes {
            track.advance(*ordinal, change(*watermark));
        }
        track
    }

    /// The rows after which something changes, in order.
    pub(crate) fn positions(tracks: &[Arc<Track>]) -> Vec<u64> {
        let moves = tracks.iter().flat_map(|track| track.changes.iter().map(|change| change.0));
        let turns = tracks.iter().flat_map(|track| track.idleness.changes.iter().map(|change| change.0));
        let mut positions: Vec<u64> = moves.chain(turns).collect();
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    /// The minimum at every position, of flows that are never idle; where some are, [`super::meeting`] has made one
    /// track of all before.
    pub(crate) fn minimum(tracks: &[Arc<Track>]) -> Track {
        if let Some((first, others)) = tracks.split_first()
            && others.iter().all(|other| Arc::ptr_eq(first, other))
        {
            return Track::clone(first);
        }
        let initial = tracks.iter().map(|track| track.initial).min().unwrap_or(i64::MIN);
        let mut combined = Track::constant(initial);
        let mut next = vec![0usize; tracks.len()];
        let mut current: Vec<i64> = tracks.iter().map(|track| track.initial).collect();
        for position in Track::positions(tracks) {
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
