//! One partition in one step: the rows that are due, and where the search stands among them.

use super::super::error::DataflowError;
use super::super::track::Track;
use super::super::window::tie_prefix;
use super::super::window_rows::PLACE_BYTES;
use super::queue::PartialMatch;
use super::search::Search;
use super::spec::Spec;
use std::cmp::Ordering;

/// Where in the step something happens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// The row of input behind which it does.
    pub(crate) ordinal: u64,
    /// The watermark before it.
    pub(crate) watermark: i64,
}

/// A row that is to be looked at.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) time_ms: i64,
    pub(crate) order: Box<[u8]>,
    pub(crate) place: [u8; PLACE_BYTES],
    /// Its number in the frame.
    pub(crate) row: u32,
    /// Of a row that is looked at as it comes.
    pub(crate) arrived: Option<Point>,
}

impl Due {
    pub(crate) fn compare(&self, other: &Due) -> Ordering {
        let times = self.time_ms.cmp(&other.time_ms);
        times.then_with(|| self.order.cmp(&other.order)).then_with(|| self.place.cmp(&other.place))
    }
}

/// A match on its way out.
#[derive(Debug)]
pub(crate) struct Found {
    /// The partition, by its number in the step.
    pub(crate) run: u32,
    /// Its first row, by its place among the partition's.
    pub(crate) first: usize,
    pub(crate) counts: Box<[u32]>,
    pub(crate) point: Point,
    pub(crate) row_time: i64,
    pub(crate) tie: Vec<u8>,
}

/// A partition that has something to do.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) key: Vec<u8>,
    pub(crate) hash: u64,
    pub(crate) search: Search,
    /// The state that it was loaded from.
    pub(crate) saved: Option<Vec<u8>>,
    /// Rows that are kept, and those looked at in this step; by numbers in the frame.
    pub(crate) rows: Vec<u32>,
    /// The number of the first of them in the partition, and of the first that is not stored.
    pub(crate) first: u64,
    pub(crate) stored_to: u64,
    pub(crate) due: Vec<Due>,
    at: usize,
    /// When the next waiting row is due.
    pub(crate) waits_until: Option<i64>,
    found: u32,
}

impl Run {
    pub(crate) fn new(key: Vec<u8>, hash: u64, search: Search) -> Run {
        Run {
            key,
            hash,
            search,
            saved: None,
            rows: Vec::new(),
            first: 0,
            stored_to: 0,
            due: Vec::new(),
            at: 0,
            waits_until: None,
            found: 0,
        }
    }

    /// The next row, with time having passed up to it; `None` when all is done.
    pub(crate) fn next(
        &mut self,
        number: u32,
        spec: &Spec,
        track: &Track,
        found: &mut Vec<Found>,
    ) -> Result<Option<u32>, DataflowError> {
        let Some(due) = self.due.get(self.at) else {
            self.time_out(number, spec, track, usize::MAX, found)?;
            return Ok(None);
        };
        let (time_ms, row) = (due.time_ms, due.row);
        let before = match due.arrived {
            // What the watermark said before the row came.
            Some(point) => track.changes.partition_point(|change| change.0 < point.ordinal) + 1,
            None => position(track, time_ms),
        };
        self.time_out(number, spec, track, before, found)?;
        if self.search.deadline(&spec.pattern).is_some_and(|deadline| deadline <= time_ms) {
            let (point, place) = self.here(track);
            let matches = self.search.time(&spec.pattern, time_ms)?;
            self.leave(number, matches, point, time_ms, place, found);
        }
        Ok(Some(row))
    }

    /// Looks at the row that `next` named.
    pub(crate) fn take(
        &mut self,
        number: u32,
        spec: &Spec,
        track: &Track,
        satisfies: &dyn Fn(usize, usize) -> bool,
        found: &mut Vec<Found>,
    ) -> Result<(), DataflowError> {
        let (point, place) = self.here(track);
        let Some(due) = self.due.get(self.at) else {
            return Err(DataflowError::internal("a partition has no row left"));
        };
        let (time_ms, row) = (due.time_ms, due.row);
        self.at += 1;
        self.rows.push(row);
        let matches = self.search.row(&spec.pattern, &spec.automaton, time_ms, satisfies)?;
        self.leave(number, matches, point, time_ms, place, found);
        Ok(())
    }

    /// Where the current row is looked at.
    fn here(&self, track: &Track) -> (Point, [u8; PLACE_BYTES]) {
        match self.due.get(self.at) {
            Some(Due { arrived: Some(point), place, .. }) => (*point, *place),
            Some(due) => (point(track, position(track, due.time_ms)), [0; PLACE_BYTES]),
            None => (point(track, track.changes.len()), [0; PLACE_BYTES]),
        }
    }

    /// Lets the watermark pass, at the positions before `before`, where a match gets too old by it.
    fn time_out(
        &mut self,
        number: u32,
        spec: &Spec,
        track: &Track,
        before: usize,
        found: &mut Vec<Found>,
    ) -> Result<(), DataflowError> {
        while let Some(deadline) = self.search.deadline(&spec.pattern) {
            let position = position(track, deadline);
            if position >= before || position > track.changes.len() {
                return Ok(());
            }
            let watermark = match position.checked_sub(1) {
                Some(change) => track.changes[change].1,
                None => track.initial,
            };
            let matches = self.search.time(&spec.pattern, watermark)?;
            let place = [u8::MAX; PLACE_BYTES];
            self.leave(number, matches, point(track, position), watermark, place, found);
        }
        Ok(())
    }

    fn leave(
        &mut self,
        number: u32,
        matches: Vec<PartialMatch>,
        point: Point,
        row_time: i64,
        place: [u8; PLACE_BYTES],
        found: &mut Vec<Found>,
    ) {
        for complete in matches {
            let tie = [&tie_prefix(row_time)[..], &place, &self.key, &self.found.to_be_bytes()].concat();
            self.found += 1;
            let first = complete.start.map_or(0, |start| start.sequence.saturating_sub(self.first)) as usize;
            found.push(Found { run: number, first, counts: complete.counts, point, row_time, tie });
        }
    }

    /// When there is something to do next, should no row come.
    pub(crate) fn wake(&self, spec: &Spec) -> Option<i64> {
        [self.waits_until, self.search.deadline(&spec.pattern)].into_iter().flatten().min()
    }
}

/// The first position at which the watermark has reached a time: 0 where it had before the step, else one more than the
/// number of the change.
fn position(track: &Track, time_ms: i64) -> usize {
    if track.initial >= time_ms {
        return 0;
    }
    track.changes.partition_point(|change| change.1 < time_ms) + 1
}

fn point(track: &Track, position: usize) -> Point {
    let before = |position: usize| match position.checked_sub(2) {
        Some(change) => track.changes.get(change).map_or(track.initial, |change| change.1),
        None => track.initial,
    };
    let ordinal = match position.checked_sub(1) {
        Some(change) => track.changes.get(change).map_or(u64::MAX, |change| change.0),
        None => 0,
    };
    Point { ordinal, watermark: before(position) }
}
