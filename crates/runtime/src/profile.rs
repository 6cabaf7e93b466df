//! Where the time of a job goes, node by node.
//!
//! Operators read no clock. The job's thread marks the time before a step, and the watch takes what has passed since the
//! last mark whenever the engine says that a node has run: one look at the monotonic clock per node and step. Reading
//! and decoding, which happen on the reader's thread, count for the scans, and encoding for the sinks. Nothing of it is
//! journalled: the numbers begin when this process takes the job up, and replayed steps are not among them.

use crate::progress::{JobProgress, OperatorProgress};
use dataflow::engine::{Dataflow, NodeRun, StepWatch};
use dataflow::plan::NodeId;
use os::Os;

pub(crate) struct Profile {
    os: Os,
    begun_ns: u64,
    marked_ns: u64,
    step_begun_ns: u64,
    step_rows: u64,
    commit_ns: u64,
    upkeep_ns: u64,
    nodes: Vec<OperatorProgress>,
}

impl Profile {
    pub(crate) fn new(os: &Os, nodes: usize) -> Profile {
        let now_ns = os.clock.monotonic_ns();
        Profile {
            os: os.clone(),
            begun_ns: now_ns,
            marked_ns: now_ns,
            step_begun_ns: now_ns,
            step_rows: 0,
            commit_ns: 0,
            upkeep_ns: 0,
            nodes: vec![OperatorProgress::default(); nodes],
        }
    }

    /// What comes next is timed from here.
    pub(crate) fn mark(&mut self) {
        self.marked_ns = self.os.clock.monotonic_ns();
    }

    fn passed_ns(&mut self) -> u64 {
        let now_ns = self.os.clock.monotonic_ns();
        now_ns.saturating_sub(std::mem::replace(&mut self.marked_ns, now_ns))
    }

    /// A step begins, whose input took so long to read.
    pub(crate) fn begin_step(&mut self, rows: u64, read_ns: &[(NodeId, u64)]) {
        self.step_rows = rows;
        for (node, ns) in read_ns {
            self.add(*node, *ns);
        }
        self.mark();
        self.step_begun_ns = self.marked_ns;
    }

    fn add(&mut self, node: NodeId, ns: u64) {
        if let Some(node) = self.nodes.get_mut(node.0) {
            node.busy_ns += ns;
        }
    }

    /// The time since the last mark went into a node.
    pub(crate) fn spent(&mut self, node: NodeId) {
        let ns = self.passed_ns();
        self.add(node, ns);
    }

    /// The step is in the log; answers how long it took.
    pub(crate) fn committed(&mut self) -> u64 {
        self.commit_ns += self.passed_ns();
        self.marked_ns.saturating_sub(self.step_begun_ns)
    }

    pub(crate) fn kept(&mut self) {
        self.upkeep_ns += self.passed_ns();
    }

    pub(crate) fn publish(&self, progress: &mut JobProgress, dataflow: &Dataflow) {
        progress.operators.clone_from(&self.nodes);
        let behind = |node: NodeId| self.nodes.get(node.0).and_then(|node| node.watermark_ms);
        for (node, (operator, size)) in progress.operators.iter_mut().zip(dataflow.state_sizes()).enumerate()
        {
            operator.state = *size;
            operator.waits_until_ms = dataflow.waits_until(NodeId(node), behind);
        }
        progress.split_watermarks.clear();
        progress.split_watermarks.extend(dataflow.split_watermarks());
        progress.step_rows = self.step_rows;
        progress.commit_ns = self.commit_ns;
        progress.upkeep_ns = self.upkeep_ns;
        progress.run_ns = self.os.clock.monotonic_ns().saturating_sub(self.begun_ns);
    }
}

impl StepWatch for Profile {
    fn ran(&mut self, node: NodeId, run: NodeRun) {
        self.spent(node);
        let Some(node) = self.nodes.get_mut(node.0) else { return };
        node.rows_in += run.rows_in;
        node.rows_out += run.rows_out;
        node.late_rows += run.late_rows;
        node.watermark_ms = run.watermark;
    }
}
