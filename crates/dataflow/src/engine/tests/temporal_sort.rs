//! Rows in the order of their time and the earliest of each key, against models, and copies of rows.

use super::fixtures::*;
use crate::batch::RowKind;
use crate::engine::{DataflowOptions, StepInput};
use crate::plan::{Changelog, Keep, NodeId, NodeKind, Plan, SortKey};
use arrow_array::Int8Array;
use arrow_schema::DataType;
use std::sync::Arc;

const COLUMNS: &[(&str, DataType)] = &[("t", TIMESTAMP), ("k", DataType::Utf8), ("v", DataType::Int32)];

/// By the time, then by `v` downwards.
fn sorted(delay_ms: i64) -> (Arc<Plan>, NodeId) {
    let mut planner = Planner::default();
    let scan = planner.scan("in", COLUMNS, true);
    let marked = planner.watermark(scan, 0, delay_ms);
    let order = vec![SortKey { column: 2, descending: true, nulls_first: false }];
    let schema = planner.schema(marked);
    let sort = planner.add(NodeKind::TemporalSort { time_column: 0, order }, &[marked], schema);
    planner.sink(sort, "out");
    (planner.build(), scan)
}

/// The earliest row of each `v` modulo 7.
fn earliest(delay_ms: i64) -> (Arc<Plan>, NodeId) {
    let mut planner = Planner::default();
    let scan = planner.scan("in", COLUMNS, true);
    let marked = planner.watermark(scan, 0, delay_ms);
    let schema = planner.schema(marked);
    let keep = Keep::Earliest(0);
    let first = planner.add(NodeKind::Deduplicate { keys: vec![2], keep }, &[marked], schema);
    planner.sink(first, "out");
    (planner.build(), scan)
}

/// What left in its order, and how many rows were late.
fn run(
    (plan, scan): &(Arc<Plan>, NodeId),
    feed: &[(i64, i32)],
    (rows_max, workers, restores): (usize, usize, bool),
) -> (Vec<String>, u64) {
    let options = |workers| DataflowOptions { workers, parallel_rows_min: 1 };
    let mut home = Home::new(if restores { 0 } else { usize::MAX });
    let (mut dataflow, mut store) = home.begin(plan, options(workers));
    let (mut lines, mut late) = (Vec::new(), 0);
    let portions: Vec<&[(i64, i32)]> = feed.chunks(rows_max).collect();
    for (index, portion) in portions.iter().enumerate() {
        let text: Vec<String> = portion.iter().map(|(time, value)| format!("{time} a {value}")).collect();
        let is_last = index + 1 == portions.len();
        let reads = vec![read(*scan, 0, rows(&plan.node(*scan).schema, &text.join("\n")), is_last)];
        let output = dataflow.step(StepInput { clock_ms: 0, reads }).unwrap();
        lines.extend(output_lines(plan, &output));
        late += output.late_rows;
        dataflow.relieve().unwrap();
        if restores {
            let next = [3, 1, 2][index % 3];
            (dataflow, store) = home.restore(plan, options(next), (dataflow, store));
        }
    }
    drop((dataflow, store));
    (lines.into_iter().map(|line| line.trim_start_matches("out: ").to_string()).collect(), late)
}

fn random_feed(seed: u64, count: usize, disorder: u64) -> Vec<(i64, i32)> {
    let mut state = seed;
    let mut below = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    (0..count).map(|number| (number as i64 / 3 - below(disorder) as i64, below(100) as i32)).collect()
}

#[test]
fn rows_that_come_in_time_leave_in_order() {
    let plan = sorted(10);
    let feed = random_feed(5, 300, 9);
    let mut model = feed.clone();
    model.sort_by_key(|(time, value)| (*time, -value));
    let model: Vec<String> = model.iter().map(|(time, value)| format!("{time} a {value}")).collect();
    for way in [(1, 1, false), (7, 2, false), (1000, 4, false), (11, 2, true), (1, 1, true)] {
        assert_eq!(run(&plan, &feed, way), (model.clone(), 0), "{way:?}");
    }
}

#[test]
fn late_rows_are_dropped_where_they_would_break_the_order_and_nowhere_else() {
    let plan = sorted(0);
    // Without a delay a row leaves at once, and what comes behind it is late.
    let feed = [(10, 1), (20, 2), (15, 3), (20, 4), (25, 5), (5, 6), (25, 7)];
    let expected: Vec<String> =
        ["10 a 1", "20 a 2", "25 a 5"].iter().map(|line| (*line).to_string()).collect();
    assert_eq!(run(&plan, &feed, (1, 1, false)), (expected, 4));
    let fits = [(10, 1), (20, 2), (30, 3)];
    let mut wide = sorted(8);
    assert_eq!(run(&wide, &fits, (1, 1, false)).1, 0);
    // The watermark is 22 when 21 comes, and 20 was the last to leave.
    let feed = [(10, 1), (20, 2), (30, 3), (21, 4), (40, 5)];
    let expected = ["10 a 1", "20 a 2", "21 a 4", "30 a 3", "40 a 5"].map(str::to_string).to_vec();
    assert_eq!(run(&wide, &feed, (1, 1, false)), (expected, 0));
    wide = sorted(3);
    let feed = random_feed(9, 400, 30);
    let first = run(&wide, &feed, (1, 1, false));
    assert!(first.1 > 50, "{} late", first.1);
    for way in [(5, 2, false), (1000, 1, false), (13, 2, true)] {
        assert_eq!(run(&wide, &feed, way), first, "{way:?}");
    }
}

#[test]
fn the_earliest_row_of_a_key_leaves_once_and_is_never_changed() {
    let plan = earliest(10);
    let feed: Vec<(i64, i32)> =
        random_feed(11, 300, 9).into_iter().map(|(time, value)| (time, value % 23)).collect();
    let mut model: Vec<(i64, i32)> = Vec::new();
    for value in 0..23 {
        model.extend(feed.iter().filter(|row| row.1 == value).min_by_key(|row| row.0));
    }
    model.sort();
    let model: Vec<String> = model.iter().map(|(time, value)| format!("{time} a {value}")).collect();
    for way in [(1, 1, false), (7, 2, false), (1000, 4, false), (11, 2, true), (1, 1, true)] {
        assert_eq!(run(&plan, &feed, way), (model.clone(), 0), "{way:?}");
    }
    let plan = earliest(0);
    let feed = [(10, 1), (10, 2), (20, 3), (20, 4)];
    let expected = ["10 a 1", "10 a 2", "20 a 3", "20 a 4"].map(str::to_string).to_vec();
    for way in [(1, 1, false), (1, 2, true), (2, 2, true), (3, 1, false), (100, 4, false)] {
        assert_eq!(run(&plan, &feed, way), (expected.clone(), 0), "{way:?}");
    }
    let plan = earliest(2);
    let feed = [(10, 1), (9, 1), (12, 2), (5, 3), (11, 2), (14, 1), (20, 3), (1, 1)];
    let expected = ["9 a 1", "11 a 2", "20 a 3"].map(str::to_string).to_vec();
    for way in [(1, 1, false), (3, 2, true), (100, 4, false)] {
        assert_eq!(run(&plan, &feed, way), (expected.clone(), 2), "{way:?}");
    }
}

#[test]
fn copies_are_as_many_as_the_count_says() {
    let mut planner = Planner::default();
    let scan = planner.scan("in", &[("k", DataType::Utf8), ("n", DataType::Int64)], true);
    planner.plan.nodes[scan.0].changelog = Changelog::Retract;
    let copies = planner.add(NodeKind::Replicate, &[scan], schema(&[("k", DataType::Utf8)]));
    planner.plan.nodes[copies.0].changelog = Changelog::Retract;
    let sink = planner.sink(copies, "out");
    planner.plan.nodes[sink.0].changelog = Changelog::Retract;
    let plan = planner.build();
    let mut dataflow = dataflow(&plan);
    let mut read = read(scan, 0, rows(&plan.node(scan).schema, "a 2\nb 0\nc -\na 2\na 1\nd -3"), true);
    let kinds =
        [RowKind::Insert, RowKind::Insert, RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter];
    let kinds = kinds.into_iter().chain([RowKind::Delete]).map(|kind| kind as i8);
    read.kinds = Some(Int8Array::from_iter_values(kinds));
    let output = step(&mut dataflow, vec![read]).unwrap();
    let batch = &output.outputs[0].rows;
    let kinds: Vec<&str> = (0..batch.len()).map(|row| batch.kind(row).short()).collect();
    assert_eq!(lines(batch), ["a", "a", "a", "a", "a"]);
    assert_eq!(kinds, ["+I", "+I", "-D", "-D", "+I"]);
}
