//! Splits and sources from which nothing comes: the watermark does not wait for them.

use super::fixtures::*;
use crate::engine::{Dataflow, ScanInput};
use crate::plan::AggregateFunction::Count;
use crate::plan::{JoinKind, NodeId, NodeKind, Plan, WindowKind};
use arrow_schema::DataType;
use std::sync::Arc;

const COLUMNS: &[(&str, DataType)] = &[("t", TIMESTAMP), ("k", DataType::Utf8)];
const TENS: WindowKind = WindowKind::Tumble { size_ms: 10, offset_ms: 0 };

fn counts(planner: &mut Planner, input: NodeId) {
    let counts = planner.aggregate(input, 0, TENS, &[1], vec![call(Count, None, DataType::Int64)]);
    planner.sink(counts, "counts");
}

fn idle(plan: &Plan, scan: NodeId, split: u32) -> ScanInput {
    ScanInput { idle: true, ..read(scan, split, rows(&plan.node(scan).schema, ""), false) }
}

/// Rows `t k` of one split, and what they bring.
fn take(dataflow: &mut Dataflow, plan: &Plan, scan: NodeId, split: u32, text: &str) -> Vec<String> {
    let rows = rows(&plan.node(scan).schema, text);
    output_lines(plan, &step(dataflow, vec![read(scan, split, rows, false)]).unwrap())
}

fn fall_idle(dataflow: &mut Dataflow, plan: &Plan, scan: NodeId, split: u32) -> Vec<String> {
    output_lines(plan, &step(dataflow, vec![idle(plan, scan, split)]).unwrap())
}

#[test]
fn an_idle_split_is_left_out_until_a_row_comes_of_it() {
    let mut planner = Planner::default();
    let scan = planner.scan("s", COLUMNS, false);
    let marked = planner.watermark_with_idleness(scan, 0, 0);
    counts(&mut planner, marked);
    let plan = planner.build();
    let mut flow = dataflow(&plan);
    flow.set_splits(scan, 2);
    assert_eq!(take(&mut flow, &plan, scan, 0, "1 a\n25 a"), [""; 0], "nothing came of the other split yet");
    assert_eq!(fall_idle(&mut flow, &plan, scan, 1), ["counts: a 1 0 10 9"]);
    assert_eq!(take(&mut flow, &plan, scan, 0, "31 a"), ["counts: a 1 20 30 29"]);
    // It comes in again with what it has: 12 and 29 are late by the watermark, which does not go back, and then waits.
    assert_eq!(take(&mut flow, &plan, scan, 1, "12 b\n29 b\n35 b"), [""; 0]);
    assert_eq!(take(&mut flow, &plan, scan, 0, "60 a"), [""; 0], "the watermark is 35");
    assert_eq!(take(&mut flow, &plan, scan, 1, "41 b"), ["counts: a 1 30 40 39", "counts: b 1 30 40 39"]);
    // When all are idle it stays where it is.
    assert_eq!(fall_idle(&mut flow, &plan, scan, 0), [""; 0]);
    assert_eq!(fall_idle(&mut flow, &plan, scan, 1), [""; 0]);
    // The first to come back has the word alone.
    assert_eq!(take(&mut flow, &plan, scan, 0, "70 a"), ["counts: b 1 40 50 49", "counts: a 1 60 70 69"]);
}

#[test]
fn a_split_that_ends_leaves_the_word_to_those_that_are_not_idle() {
    let mut planner = Planner::default();
    let scan = planner.scan("s", COLUMNS, false);
    let marked = planner.watermark_with_idleness(scan, 0, 0);
    counts(&mut planner, marked);
    let plan = planner.build();
    let mut flow = dataflow(&plan);
    flow.set_splits(scan, 2);
    take(&mut flow, &plan, scan, 0, "5 a");
    fall_idle(&mut flow, &plan, scan, 1);
    let end = |split| read(scan, split, rows(&plan.node(scan).schema, ""), true);
    let output = step(&mut flow, vec![end(0)]).unwrap();
    assert_eq!(output_lines(&plan, &output), [""; 0], "the idle one may still give rows");
    let output = step(&mut flow, vec![end(1)]).unwrap();
    assert_eq!(output_lines(&plan, &output), ["counts: a 1 0 10 9"]);
    assert_eq!(output.watermark, Some(i64::MAX));
}

fn two_scans(planner: &mut Planner) -> ([NodeId; 2], [NodeId; 2]) {
    let scans = ["l", "r"].map(|name| planner.scan(name, COLUMNS, false));
    (scans, scans.map(|scan| planner.watermark_with_idleness(scan, 0, 0)))
}

#[test]
fn a_union_does_not_wait_for_an_idle_source_nor_for_one_that_has_not_caught_up() {
    let mut planner = Planner::default();
    let ([left, right], marked) = two_scans(&mut planner);
    let both = planner.union(&marked);
    counts(&mut planner, both);
    let plan = planner.build();
    let mut flow = dataflow(&plan);
    assert_eq!(take(&mut flow, &plan, left, 0, "1 a\n25 a"), [""; 0]);
    assert_eq!(fall_idle(&mut flow, &plan, right, 0), ["counts: a 1 0 10 9"]);
    // 8 is late; 27 is not, and lies before what the union has reached.
    assert_eq!(take(&mut flow, &plan, left, 0, "40 a"), ["counts: a 1 20 30 29"]);
    assert_eq!(take(&mut flow, &plan, right, 0, "8 b\n35 b"), [""; 0], "35 is late as well, at 40");
    assert_eq!(take(&mut flow, &plan, left, 0, "52 a"), ["counts: a 1 40 50 49"], "35 has not caught up");
    assert_eq!(take(&mut flow, &plan, right, 0, "53 b"), [""; 0]);
    assert_eq!(take(&mut flow, &plan, left, 0, "80 a"), [""; 0], "now it is waited for");
    assert_eq!(take(&mut flow, &plan, right, 0, "61 b"), ["counts: a 1 50 60 59", "counts: b 1 50 60 59"]);
    // The last to fall idle was the one to be waited for: what the other had reached holds.
    assert_eq!(fall_idle(&mut flow, &plan, left, 0), [""; 0]);
    assert_eq!(fall_idle(&mut flow, &plan, right, 0), ["counts: b 1 60 70 69"]);
}

#[test]
fn an_idle_side_of_a_join_holds_no_rows_back() {
    let mut planner = Planner::default();
    let ([left, right], marked) = two_scans(&mut planner);
    let joined = planner.add(
        NodeKind::IntervalJoin {
            kind: JoinKind::Left,
            times: [0, 0],
            lower_ms: 0,
            upper_ms: 5,
            left_keys: vec![1],
            right_keys: vec![1],
            residual: None,
        },
        &marked,
        schema(&[COLUMNS, COLUMNS].concat()),
    );
    planner.sink(joined, "joined");
    let plan: Arc<Plan> = planner.build();
    let mut flow = dataflow(&plan);
    assert_eq!(take(&mut flow, &plan, left, 0, "1 a\n30 a"), [""; 0]);
    assert_eq!(fall_idle(&mut flow, &plan, right, 0), ["joined: 1 a - -"]);
    assert_eq!(take(&mut flow, &plan, right, 0, "28 a"), ["joined: 30 a 28 a"]);
    // It is waited for again: the row of the left side may still find its partner.
    assert_eq!(take(&mut flow, &plan, left, 0, "40 b\n90 b"), [""; 0]);
    assert_eq!(take(&mut flow, &plan, right, 0, "39 b"), ["joined: 40 b 39 b"]);
}
