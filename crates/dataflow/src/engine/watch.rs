//! Looking at steps and at state from outside, without any part in what they give.
//!
//! The engine reads no clock. Whoever wants to know where time goes hands in a watch, which is told when a node has
//! run and may look at a clock then.

use super::Dataflow;
use super::batches::Chunk;
use super::operator::Operator;
use crate::batch::Batch;
use crate::plan::NodeId;

/// Is told of each node of a step.
pub trait StepWatch {
    /// A node has run. Sinks follow when all others have.
    fn ran(&mut self, node: NodeId, run: NodeRun);

    /// The rows that left it, but of a sink, and the watermark behind it before the step (ms), where there is one.
    fn gave(&mut self, _: NodeId, _: &mut dyn Iterator<Item = &Batch>, _: Option<i64>) {}
}

/// Nobody looks.
impl StepWatch for () {
    fn ran(&mut self, _: NodeId, _: NodeRun) {}
}

/// What a node did in a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeRun {
    pub rows_in: u64,
    pub rows_out: u64,
    pub late_rows: u64,
    /// The watermark behind the node (ms), where there is one.
    pub watermark: Option<i64>,
}

/// What the tables of a node hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateSize {
    /// Keys in memory; a key of several tables or windows counts once in each.
    pub keys: u64,
    pub memory_bytes: u64,
    /// Entries in runs; what was overwritten counts until a merge leaves it out.
    pub run_entries: u64,
    pub run_bytes: u64,
}

/// What the watermark takes from a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitRun {
    pub scan: NodeId,
    pub split: u32,
    /// The greatest that its rows gave (ms); none before the first of them.
    pub watermark_ms: Option<i64>,
    /// It is not waited for.
    pub is_idle: bool,
}

pub(super) fn rows(chunks: &[Chunk]) -> u64 {
    chunks.iter().map(|chunk| chunk.batch.len() as u64).sum()
}

impl Dataflow {
    /// By node, what its tables held after the last [`Dataflow::relieve`].
    pub fn state_sizes(&self) -> &[StateSize] {
        &self.state_sizes
    }

    /// The splits of all scans whose rows say what time it is.
    pub fn split_watermarks(&self) -> impl Iterator<Item = SplitRun> + '_ {
        let of_node = |operator| match operator {
            &Operator::Watermark { scan, ref state } => Some((scan, state)),
            _ => None,
        };
        self.operators.iter().filter_map(of_node).flat_map(|(scan, state)| {
            (0..).zip(&state.splits).map(move |(split, own)| SplitRun {
                scan,
                split,
                watermark_ms: (own.maximum > i64::MIN).then_some(own.maximum),
                is_idle: own.idle,
            })
        })
    }

    /// The time that the watermark must reach before the next row leaves a node, if rows wait there for one; `behind` gives
    /// the watermark behind a node.
    pub fn waits_until(&self, node: NodeId, behind: impl Fn(NodeId) -> Option<i64>) -> Option<i64> {
        let fired =
            self.plan.node(node).inputs.iter().map(|input| behind(*input).unwrap_or(i64::MIN)).min()?;
        self.operators.get(node.0)?.next_window_end(fired)
    }

    pub(super) fn measure_state(&mut self) {
        let size = |operator: &mut Operator| {
            let mut size = StateSize::default();
            for table in operator.tables() {
                size.keys += table.keys() as u64;
                size.memory_bytes += table.memory_bytes() as u64;
                size.run_entries += table.layers().disk_entries();
                size.run_bytes += table.layers().disk_bytes();
            }
            size
        };
        self.state_sizes.clear();
        self.state_sizes.extend(self.operators.iter_mut().map(size));
    }
}
