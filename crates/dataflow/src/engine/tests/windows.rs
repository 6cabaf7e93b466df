//! Windows: when they fire, what is late for them, and what they hold.

use super::fixtures::*;
use crate::plan::AggregateFunction::{Count, Sum};
use crate::plan::{NodeId, Plan, WindowKind};
use arrow_schema::DataType;
use std::sync::Arc;

const COLUMNS: &[(&str, DataType)] = &[("t", TIMESTAMP), ("k", DataType::Utf8), ("v", DataType::Int32)];

pub const TUMBLE: WindowKind = WindowKind::Tumble { size_ms: 10, offset_ms: 0 };
pub const HOP: WindowKind = WindowKind::Hop { size_ms: 30, slide_ms: 10, offset_ms: 0 };

pub fn counting(window: WindowKind, delay_ms: i64) -> (Arc<Plan>, NodeId) {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let watermark = planner.watermark(scan, 0, delay_ms);
    let calls = vec![call(Count, None, DataType::Int64), call(Sum, Some(2), DataType::Int32)];
    let windows = planner.aggregate(watermark, 0, window, &[1], calls);
    planner.sink(windows, "out");
    (planner.build(), scan)
}

/// Runs one step per text; the last one finishes the split.
fn run(plan: &Arc<Plan>, scan: NodeId, steps: &[&str]) -> (Vec<String>, u64) {
    let mut dataflow = dataflow(plan);
    let (mut lines, mut late_rows) = (Vec::new(), 0);
    for (index, text) in steps.iter().enumerate() {
        let rows = rows(&plan.node(scan).schema, text);
        let output = step(&mut dataflow, vec![read(scan, 0, rows, index + 1 == steps.len())]).unwrap();
        lines.extend(output_lines(plan, &output));
        late_rows += output.late_rows;
    }
    (lines, late_rows)
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| format!("out: {line}")).collect()
}

/// The same rows in one step and in a step per row.
fn check(window: WindowKind, delay_ms: i64, rows: &str, expected: &[&str], late_rows: u64) {
    let (plan, scan) = counting(window, delay_ms);
    assert_eq!(run(&plan, scan, &[rows]), (owned(expected), late_rows), "in one step");
    let single: Vec<&str> = rows.lines().collect();
    assert_eq!(run(&plan, scan, &single), (owned(expected), late_rows), "in a step per row");
}

#[test]
fn tumbling_windows_fire_in_order_and_late_rows_are_dropped() {
    // From `11 b` on the watermark is 10, so [0, 10) has fired: `9 a` comes just in time at 10 - 2 = 8.
    let rows = "1 b 10\n5 a 20\n11 a 1\n9 a 7\n12 b 5\n3 a 100\n25 b 2\n12 a 9";
    let expected = ["a 2 27 0 10 9", "b 1 10 0 10 9", "a 1 1 10 20 19", "b 1 5 10 20 19", "b 1 2 20 30 29"];
    // `11 a` moves the watermark to 9, which is the last moment of [0, 10): `9 a` is late.
    let expected = [&["a 1 20 0 10 9"], &expected[1..]].concat();
    check(TUMBLE, 2, rows, &expected, 3);
    let on_time = rows.replace("11 a 1", "10 a 1");
    let expected = [&["a 2 27 0 10 9"], &expected[1..]].concat();
    check(TUMBLE, 2, &on_time, &expected, 2);
}

#[test]
fn a_row_late_for_some_hopping_windows_counts_in_the_others() {
    // After `31 a` the watermark is 31: the windows that end at 10, 20 and 30 have fired. `15 a` is
    // late for [-10, 20) and [0, 30) and counts in [10, 40); `5 a` is late for all its windows.
    let rows = "5 a 1\n31 a 2\n15 a 4\n5 a 8";
    let expected = [
        "a 1 1 -20 10 9",
        "a 1 1 -10 20 19",
        "a 1 1 0 30 29",
        "a 2 6 10 40 39",
        "a 1 2 20 50 49",
        "a 1 2 30 60 59",
    ];
    check(HOP, 0, rows, &expected, 1);
}

#[test]
fn windows_before_the_epoch_and_with_offsets_begin_where_flink_begins_them() {
    check(
        TUMBLE,
        0,
        "-11 a 1\n-10 a 2\n-1 a 4\n0 a 8",
        &["a 1 1 -20 -10 -11", "a 2 6 -10 0 -1", "a 1 8 0 10 9"],
        0,
    );
    let window = WindowKind::Tumble { size_ms: 10, offset_ms: 3 };
    check(
        window,
        0,
        "-8 a 1\n2 a 2\n3 a 4\n12 a 8",
        &["a 1 1 -17 -7 -8", "a 1 2 -7 3 2", "a 2 12 3 13 12"],
        0,
    );
    let window = WindowKind::Tumble { size_ms: 10, offset_ms: -7 };
    check(window, 0, "2 a 2\n3 a 4\n12 a 8", &["a 1 2 -7 3 2", "a 2 12 3 13 12"], 0);
}

#[test]
fn the_watermark_is_the_minimum_over_splits_that_are_not_finished() {
    let (plan, scan) = counting(TUMBLE, 0);
    let mut dataflow = dataflow(&plan);
    dataflow.set_splits(scan, 3);
    let schema = plan.node(scan).schema.clone();
    let mut go = |reads: &[(u32, &str, bool)]| {
        let reads =
            reads.iter().map(|(split, text, finished)| read(scan, *split, rows(&schema, text), *finished));
        let output = step(&mut dataflow, reads.collect()).unwrap();
        (output_lines(&plan, &output), output.watermark, output.late_rows)
    };
    assert_eq!(go(&[(0, "15 a 1", false), (1, "22 a 2", false)]), (vec![], None, 0));
    // A split without rows holds everything back until it is finished.
    assert_eq!(go(&[(0, "1 a 4", false)]), (vec![], None, 0));
    assert_eq!(go(&[(2, "", true)]), (owned(&["a 1 4 0 10 9"]), Some(15), 0));
    assert_eq!(go(&[(1, "3 a 9", false)]), (vec![], Some(15), 1));
    assert_eq!(go(&[(0, "40 b 1", true)]), (owned(&["a 1 1 10 20 19"]), Some(22), 0));
    assert_eq!(go(&[(1, "", true)]), (owned(&["a 1 2 20 30 29", "b 1 1 40 50 49"]), Some(i64::MAX), 0));
}

#[test]
fn a_null_row_time_fails_the_job_and_names_the_column() {
    let (plan, scan) = counting(TUMBLE, 0);
    let mut dataflow = dataflow(&plan);
    let rows = rows(&plan.node(scan).schema, "- a 1");
    let error = step(&mut dataflow, vec![read(scan, 0, rows, false)]).unwrap_err();
    assert_eq!(error.kind(), base::ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "Watermark(`t` AS $0 - 0ms): the row time column `t` is NULL in a row; row times must not be NULL: \
         filter such rows out ahead of the watermark, or give them a time"
    );
}

#[test]
fn row_times_at_the_ends_of_64_bits_are_refused() {
    for time in [i64::MIN, i64::MAX, i64::MIN / 2, i64::MAX / 2] {
        let (plan, scan) = counting(HOP, 0);
        let rows = rows(&plan.node(scan).schema, &format!("{time} a 1"));
        let error = step(&mut dataflow(&plan), vec![read(scan, 0, rows, false)]).unwrap_err();
        assert!(error.to_string().contains("out of range"), "{error}");
    }
}

#[test]
fn rows_of_no_key_make_one_group() {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let watermark = planner.watermark(scan, 0, 0);
    let windows = planner.aggregate(watermark, 0, TUMBLE, &[], vec![call(Count, None, DataType::Int64)]);
    planner.sink(windows, "out");
    let plan = planner.build();
    assert_eq!(run(&plan, scan, &["1 a 1\n2 b 1\n11 c 1"]).0, owned(&["2 0 10 9", "1 10 20 19"]));
    assert_eq!(run(&plan, scan, &[""]).0, owned(&[]));
}
