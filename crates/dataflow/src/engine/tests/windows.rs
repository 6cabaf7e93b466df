//! Windows: when they fire, what is late for them, and what they hold.

use super::fixtures::*;
use crate::plan::AggregateFunction::{Avg, Count, FirstValue, LastValue, Max, Min, Sum};
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

#[test]
fn tumbling_windows_fire_in_order_and_late_rows_are_dropped() {
    let (plan, scan) = counting(TUMBLE, 2);
    let rows = "1 b 10\n 5 a 20\n 12 a 1\n 9 a 7\n 11 b 5\n 3 a 100\n 25 b 2\n 12 a 9";
    let expected = [
        "out: a 2 27 0 10 9",
        "out: b 1 10 0 10 9",
        "out: a 1 1 10 20 19",
        "out: b 1 5 10 20 19",
        "out: b 1 2 20 30 29",
    ];
    // The watermark before `9 a` is 10 and before `3 a` too: window [0, 10) ended at 9.
    let expected: Vec<String> = expected.map(String::from).to_vec();
    let late = |lines: &[String]| lines.iter().map(|line| line.replace("a 2 27", "a 1 20")).collect::<Vec<_>>();
    assert_eq!(run(&plan, scan, &[rows]), (late(&expected), 3));
    let single: Vec<&str> = rows.lines().collect();
    let (lines, late_rows) = run(&plan, scan, &single);
    assert_eq!((lines, late_rows), (late(&expected), 3));
}
