//! What a job must have done, computed again from the records alone: step by step over the same ranges, and in a few
//! large steps, as if nothing had ever disturbed it.

use crate::connector::Range;
use crate::inputs::Inputs;
use crate::jobs::{JobPlan, ORDERS, Shown, SinkPlan};
use crate::rows::{DELETE, END, INSERT, Row, UPDATE, columns, rows_of};
use dataflow::batch::RowKind;
use dataflow::engine::{Dataflow, DataflowOptions, ScanInput, StepInput};
use dataflow::plan::{NodeId, NodeKind};
use state::Store;
use std::collections::BTreeMap;

/// A step as the test saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub clock_ms: i64,
    pub ranges: Vec<Range>,
    /// What the job said of its watermark after the step.
    pub watermark_ms: Option<Option<i64>>,
    /// The state after it, where somebody looked.
    pub digest: Option<u64>,
}

/// The rows that a job wrote into each sink, step by step.
pub type Outputs = BTreeMap<NodeId, Vec<Vec<Row>>>;

fn scans(job: &JobPlan) -> BTreeMap<String, NodeId> {
    let scans = job.plan.scans().into_iter();
    let named = |id: NodeId| match &job.plan.node(id).kind {
        NodeKind::Scan { table, .. } => (table.name.clone(), id),
        _ => unreachable!("it is a scan"),
    };
    scans.map(named).collect()
}

/// A dataflow without a budget on one thread.
fn begin(job: &JobPlan, inputs: &Inputs) -> Dataflow {
    let store = Store::volatile(usize::MAX);
    let mut dataflow =
        Dataflow::new(job.plan.clone(), DataflowOptions::default(), &store).expect("it begins");
    for (table, scan) in scans(job) {
        dataflow.set_splits(scan, inputs.partitions[table.as_str()].len() as u32);
    }
    dataflow
}

fn read(job: &JobPlan, inputs: &Inputs, range: &Range) -> ScanInput {
    let scan = scans(job)[&range.topic];
    let sent = &inputs.partitions[range.topic.as_str()][range.split as usize].rows;
    let rows = sent[range.from as usize..range.to as usize].iter();
    let rows: Vec<Row> = rows.filter(|row| row[0] != END).cloned().collect();
    let (rows, kinds) = columns(&job.plan.node(scan).schema, &rows);
    let kinds = (range.topic != ORDERS).then_some(kinds);
    ScanInput { scan, split: range.split, rows, kinds, finished: range.finished, idle: false }
}

fn run(job: &JobPlan, inputs: &Inputs, steps: &[Step], context: &str) -> Outputs {
    let mut dataflow = begin(job, inputs);
    let mut outputs: Outputs = job.sinks.iter().map(|sink| (sink.node, Vec::new())).collect();
    for (number, step) in (1..).zip(steps) {
        let reads = step.ranges.iter().map(|range| read(job, inputs, range)).collect();
        let output = dataflow.step(StepInput { clock_ms: step.clock_ms, reads }).expect("a step runs");
        for (sink, rows) in &mut outputs {
            let of_sink = output.outputs.iter().find(|output| output.sink == *sink);
            rows.push(of_sink.map_or(Vec::new(), |output| rows_of(&output.rows)));
        }
        if let Some(watermark) = step.watermark_ms {
            assert_eq!(output.watermark, watermark, "{context}: the watermark after step {number}");
        }
        if let Some(digest) = step.digest {
            let parts = dataflow.snapshot().expect("the state can be looked at");
            let now = parts.digest().expect("the state has a digest");
            assert_eq!(now, digest, "{context}: the state after step {number} is not what its records give");
        }
    }
    outputs
}

/// The outputs of the very steps of a job; their watermarks and states are compared.
pub fn stepped(job: &JobPlan, inputs: &Inputs, steps: &[Step], context: &str) -> Outputs {
    run(job, inputs, steps, context)
}

/// The outputs of a job over complete inputs, of which each step takes up to `rows` records of each partition.
pub fn undisturbed(job: &JobPlan, inputs: &Inputs, rows: usize) -> Outputs {
    let mut steps = Vec::new();
    let mut from = 0;
    loop {
        let mut ranges = Vec::new();
        for table in scans(job).keys() {
            for (split, sent) in (0..).zip(&inputs.partitions[table.as_str()]) {
                let to = sent.rows.len().min(from + rows);
                if from < to {
                    let finished = to == sent.rows.len();
                    let (from, to) = (from as i64, to as i64);
                    ranges.push(Range { topic: table.clone(), split, from, to, finished });
                }
            }
        }
        if ranges.is_empty() {
            return run(job, inputs, &steps, "undisturbed");
        }
        steps.push(Step { clock_ms: 0, ranges, watermark_ms: None, digest: None });
        from += rows;
    }
}

/// What readers of a sink are left with: rows and how often they are there. Fails if the changes are none.
pub fn fold(sink: &SinkPlan, outputs: &Outputs, context: &str) -> BTreeMap<Row, i64> {
    let mut bag: BTreeMap<Row, i64> = BTreeMap::new();
    let mut by_key: BTreeMap<Row, Row> = BTreeMap::new();
    let context = format!("{context}: {}", sink.name);
    for change in outputs[&sink.node].iter().flatten() {
        let row = change[1..].to_vec();
        let adds = change[0] == INSERT || change[0] == UPDATE;
        match &sink.shown {
            Shown::Append => {
                assert_eq!(change[0], INSERT, "{context}: only inserts, not {change:?}");
                *bag.entry(row).or_default() += 1;
            }
            Shown::Bag => {
                let count = bag.entry(row).or_default();
                *count += if adds { 1 } else { -1 };
                assert!(*count >= 0, "{context}: {change:?} went and was not there");
            }
            Shown::ByKey(key) => {
                let key: Row = key.iter().map(|column| row[*column]).collect();
                let known = by_key.get(&key);
                if change[0] == INSERT {
                    assert_eq!(known, None, "{context}: {change:?} came and was there");
                } else {
                    assert!(known.is_some(), "{context}: {change:?} of a key that was not there");
                }
                if change[0] == RowKind::UpdateBefore as i64 {
                    assert_eq!(known, Some(&row), "{context}: {change:?} is not the row before");
                }
                match change[0] {
                    DELETE => by_key.remove(&key),
                    _ => by_key.insert(key, row),
                };
            }
        }
    }
    bag.retain(|_, count| *count > 0);
    bag.extend(by_key.into_values().map(|row| (row, 1)));
    bag
}
