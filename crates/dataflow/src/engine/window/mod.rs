//! Windows: slices, lateness, firing.
//!
//! 1. Time is cut into slices as long as the slide; a tumbling window is one slice, a hopping window
//!    several, and a cumulating one all slices from its begin on. A row is added to its slice only.
//! 2. A row is late for a window when `window end - 1 ms <= watermark before the row`. It is dropped,
//!    and counted as late, when it is late for all its windows (what Flink counts in
//!    `numLateRecordsDropped`). A row that is late for some of them must not reach those: they are
//!    fired before it is added.
//! 3. A window fires when the watermark reaches `window end - 1 ms`; its slices are merged from the
//!    latest to the earliest (those of cumulating windows the other way round), as in Flink. What it emits stands behind the row after which the
//!    watermark did so, ordered by window end and key, and the watermark before it is
//!    `window end - 2 ms`: what was in force was less than the window's last moment.
//!
//! 4. Windows of instants lie on the wall clock of the session's zone. All times in here are of that clock: row times
//!    and watermarks are moved to it when they come in, and what leaves is moved back. A watermark that lies in the
//!    first of two equal hours has not passed any of them (`Zone::passed_wall_ms`).
//!
//! Only tracks and ordinals decide where a window fires, so neither the cut into steps nor the number
//! of workers can be seen in the results.

mod accumulator;
mod accumulators;
mod aggregate;
mod argument;
mod columns;
mod distinct;
mod gather;
mod gathered;
mod partition;
mod retract;
mod shown;

pub(crate) use accumulator::{Accumulator, AccumulatorSpec, accumulator_supports, add_first, add_wide};
pub(crate) use accumulators::Accumulators;
pub(crate) use aggregate::AggregateNode;
pub(crate) use argument::{
    Argument, Representation, Values, decimal_column, float_column, integer_column, passing,
};
pub(crate) use columns::encoded_column;
pub(crate) use gather::{Gather, Lists};
pub(crate) use partition::AggregateSpec;
pub(crate) use partition::{tie_prefix, tie_time};
pub(crate) use retract::take_wide;
pub(crate) use shown::AggregateShown;

use crate::plan::WindowKind;
use base::Zone;

/// The shape of the windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WindowSpec {
    pub(crate) time_column: usize,
    pub(crate) size_ms: i64,
    /// Of a tumbling window its size, of cumulating ones their step.
    pub(crate) slide_ms: i64,
    offset_ms: i64,
    /// Windows that share slices begin together, not one slide apart.
    cumulates: bool,
    /// The slices are cut on its wall clock.
    pub(crate) zone: Zone,
}

impl WindowSpec {
    pub(crate) fn new(time_column: usize, window: WindowKind, zone: Zone) -> WindowSpec {
        let (size_ms, slide_ms, offset_ms) = window.size_slide_offset();
        let cumulates = matches!(window, WindowKind::Cumulate { .. });
        let offset_ms = offset_ms.rem_euclid(size_ms);
        WindowSpec { time_column, size_ms, slide_ms, offset_ms, cumulates, zone }
    }

    /// Every slice is a window.
    fn is_tumbling(&self) -> bool {
        self.size_ms == self.slide_ms
    }

    /// Slices are merged from the latest to the earliest; those of cumulating windows as they come.
    fn merges_backward(&self) -> bool {
        !self.cumulates
    }

    /// The last multiple of the size, shifted by the offset, that is not greater.
    fn period_start(&self, time_ms: i64) -> i64 {
        time_ms - (time_ms - self.offset_ms).rem_euclid(self.size_ms)
    }

    /// Where the window that ends here begins.
    pub(crate) fn window_start(&self, window_end: i64) -> i64 {
        if self.cumulates { self.period_start(window_end - 1) } else { window_end - self.size_ms }
    }

    /// The end of the slice that a time lies in: the first multiple of the slide, shifted by the
    /// offset, that is greater.
    pub(crate) fn slice_end(&self, time_ms: i64) -> i64 {
        time_ms - (time_ms - self.offset_ms).rem_euclid(self.slide_ms) + self.slide_ms
    }

    /// The end of the last window that has this slice.
    pub(crate) fn last_window_end(&self, slice_end: i64) -> i64 {
        match self.cumulates {
            true => self.period_start(slice_end - 1) + self.size_ms,
            false => slice_end + self.size_ms - self.slide_ms,
        }
    }

    /// All windows of the slices up to here have fired at this watermark.
    fn slices_fired(&self, watermark: i64) -> i64 {
        let next = watermark.saturating_add(1);
        let in_range = next > i64::MIN / 2 && next < i64::MAX / 2;
        match self.cumulates && in_range {
            true => self.period_start(next),
            false => next.saturating_sub(self.size_ms - self.slide_ms),
        }
    }

    /// The end of the earliest window of a slice that has not fired at this watermark; `None` if all have.
    fn next_window_end(&self, slice_end: i64, watermark: i64) -> Option<i64> {
        if slice_end - 1 > watermark {
            return Some(slice_end);
        }
        if self.last_window_end(slice_end) - 1 <= watermark {
            return None;
        }
        let fired = (watermark + 1 - slice_end) / self.slide_ms + 1;
        Some(slice_end + fired * self.slide_ms)
    }

    /// The first slice end whose window a watermark has not fired; `None` before any watermark.
    fn slice_end_after(&self, watermark: i64) -> Option<i64> {
        let in_range = watermark > i64::MIN / 2 && watermark < i64::MAX / 2;
        in_range.then(|| self.slice_end(watermark + 1))
    }
}
