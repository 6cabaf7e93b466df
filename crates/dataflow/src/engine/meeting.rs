//! Where several inputs meet of which some may be idle: the watermark of all of them together.
//!
//! 1. It is the least of the inputs that are not idle, and never goes back: what was idle comes in again with what it
//!    has, which may be less. So it is state, unlike the minimum of inputs that are never idle.
//! 2. A union waits for an input that was idle only when that has caught up. When the last of its inputs falls idle
//!    and was the one to be waited for, it moves to what the furthest of them had reached. In front of a join neither
//!    is so. Both are Flink's rules, of the channels of one input and of two inputs.
//! 3. An input that has ended has nothing to say: while another one is idle, time does not end.
//! 4. The operators then see one track for all inputs, and rows with the watermark of all before them.
//!
//! Idleness comes with the inputs of a step and lies at a place among its rows; so the result depends neither on where a
//! step ends nor on a clock.

use super::operator::Flow;
use super::track::Track;
use crate::plan::{NodeId, NodeKind, Plan};
use arrow_array::Int64Array;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One node whose inputs may be idle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meeting {
    /// Of all inputs, after the last step.
    pub(crate) watermark: i64,
    is_union: bool,
}

/// The nodes where inputs meet that may be idle.
pub(crate) fn meetings(plan: &Plan) -> BTreeMap<NodeId, Meeting> {
    let mut may_idle = vec![false; plan.nodes.len()];
    let mut found = BTreeMap::new();
    for (index, node) in plan.nodes.iter().enumerate() {
        let below = node.inputs.iter().any(|input| may_idle[input.0]);
        may_idle[index] = match node.kind {
            NodeKind::Watermark { idle_ms, .. } => idle_ms.is_some(),
            NodeKind::ProcessingTime => false,
            _ => below,
        };
        // The table of a bounded join is read to its end first and holds nothing back.
        let meet = node.inputs.len() > 1 && !matches!(node.kind, NodeKind::BoundedJoin { .. });
        if below && meet {
            let is_union = matches!(node.kind, NodeKind::Union);
            found.insert(NodeId(index), Meeting { watermark: i64::MIN, is_union });
        }
    }
    found
}

/// An input while a step is gone through.
#[derive(Debug, Clone, Copy)]
struct Side {
    watermark: i64,
    is_idle: bool,
}

impl Side {
    fn has_ended(&self) -> bool {
        self.watermark == i64::MAX
    }

    fn is_active(&self) -> bool {
        !self.is_idle && !self.has_ended()
    }
}

impl Meeting {
    /// The inputs with one track.
    pub(crate) fn meet(&mut self, mut inputs: Vec<Flow>) -> Vec<Flow> {
        let tracks: Option<Vec<Arc<Track>>> = inputs.iter().map(|input| input.track.clone()).collect();
        // Without a watermark on each side there is none behind them.
        let Some(tracks) = tracks else { return inputs };
        let together = Arc::new(self.combine(&tracks));
        for input in &mut inputs {
            for chunk in &mut input.chunks {
                let Some(own) = &chunk.batch.watermarks else { continue };
                let rows = chunk.batch.ordinals.values().iter().zip(own.values());
                let before = rows.map(|(row, own)| before_row(&together, *row, *own));
                chunk.batch.watermarks = Some(Int64Array::from_iter_values(before));
            }
            input.track = Some(together.clone());
        }
        inputs
    }

    fn combine(&mut self, tracks: &[Arc<Track>]) -> Track {
        let begin = |track: &Arc<Track>| Side { watermark: track.initial, is_idle: track.idleness.initial };
        let mut sides: Vec<Side> = tracks.iter().map(begin).collect();
        self.watermark = self.watermark.max(self.reached(&sides));
        let mut together = Track::constant(self.watermark);
        together.idleness.initial = is_idle(&sides);
        for position in Track::positions(tracks) {
            // What is in force behind the row is what would be before the next one.
            let next = position.saturating_add(1);
            let mut fell_idle = None;
            for (side, track) in sides.iter_mut().zip(tracks) {
                let is_idle = track.idleness.before(next);
                *side = Side { watermark: track.before(next), is_idle: side.is_idle };
                if is_idle && !side.is_idle {
                    fell_idle = fell_idle.max(Some(side.watermark));
                }
                side.is_idle = is_idle;
            }
            self.watermark = self.watermark.max(self.reached(&sides));
            let all_idle = is_idle(&sides);
            if self.is_union && all_idle && fell_idle == Some(self.watermark) {
                let open = sides.iter().filter(|side| !side.has_ended()).map(|side| side.watermark);
                self.watermark = open.max().unwrap_or(self.watermark);
            }
            together.advance(position, self.watermark);
            together.idleness.set(position, all_idle);
        }
        together
    }

    fn reached(&self, sides: &[Side]) -> i64 {
        let at_rest = if sides.iter().all(Side::has_ended) { i64::MAX } else { self.watermark };
        let counts = |side: &&Side| side.is_active() && (!self.is_union || side.watermark >= self.watermark);
        sides.iter().filter(counts).map(|side| side.watermark).min().unwrap_or(at_rest)
    }
}

/// Nothing is expected of any input, though not all have ended.
fn is_idle(sides: &[Side]) -> bool {
    !sides.iter().any(Side::is_active) && !sides.iter().all(Side::has_ended)
}

/// What a timer emits stands behind a watermark of its own, less than the one that it went off at, and all inputs may
/// together be anywhere. It lies between what was in force before and behind the row that moved the watermark, so that
/// watermarks never go back from one row to the next.
fn before_row(together: &Track, row: u64, own: i64) -> i64 {
    own.clamp(together.before(row), together.before(row.saturating_add(1)))
}
