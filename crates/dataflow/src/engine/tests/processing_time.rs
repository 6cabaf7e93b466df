//! Windows on processing time: the clock of the steps fires them, with or without rows.

use super::fixtures::*;
use super::windows::{HOP, TUMBLE};
use crate::engine::{DataflowOptions, StepInput};
use crate::plan::AggregateFunction::{Count, Sum};
use crate::plan::{NodeId, NodeKind, Plan, SortKey, WindowKind};
use arrow_schema::DataType;
use std::sync::Arc;

const COLUMNS: &[(&str, DataType)] = &[("t", TIMESTAMP), ("k", DataType::Utf8), ("v", DataType::Int32)];

fn counting(window: Option<WindowKind>) -> (Arc<Plan>, NodeId) {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let columns = planner.schema(scan);
    let mut input = planner.add(NodeKind::ProcessingTime, &[scan], columns);
    let calls = vec![call(Count, None, DataType::Int64), call(Sum, Some(2), DataType::Int32)];
    match window {
        Some(window) => input = planner.aggregate(input, 0, window, &[1], calls),
        None => {
            let columns: Vec<_> =
                COLUMNS.iter().cloned().chain(["s", "e", "w"].map(|name| (name, TIMESTAMP))).collect();
            let kind =
                NodeKind::SessionWindow { time_column: 0, gap_ms: 10, zone: base::Zone::UTC, keys: vec![1] };
            input = planner.add(kind, &[input], schema(&columns));
        }
    }
    planner.sink(input, "out");
    (planner.build(), scan)
}

/// Steps with their clocks, the keys of their rows, and what they give; the last one ends the input. Each row has the
/// clock as its time.
type Steps<'a> = &'a [(i64, &'a str, &'a [&'a str])];

/// With other workers and restored after every step.
fn check(window: Option<WindowKind>, steps: Steps<'_>) {
    check_plan(counting(window), steps);
}

fn check_plan((plan, scan): (Arc<Plan>, NodeId), steps: Steps<'_>) {
    for workers in [[1, 1], [1, 4], [3, 2]] {
        let options = |workers| DataflowOptions { workers, ..DataflowOptions::default() };
        let mut home = Home::new(usize::MAX);
        let (mut dataflow, mut store) = home.begin(&plan, options(1));
        for (index, (clock_ms, keys, expected)) in steps.iter().enumerate() {
            let due_ms = dataflow.due_ms();
            let text: String = keys.chars().map(|key| format!("{clock_ms} {key} 1\n")).collect();
            let rows = rows(&plan.node(scan).schema, &text);
            let is_last = index + 1 == steps.len();
            let reads = match rows.num_rows() > 0 || is_last {
                true => vec![read(scan, 0, rows, is_last)],
                false => Vec::new(),
            };
            let output = dataflow.step(StepInput { clock_ms: *clock_ms, reads }).unwrap();
            let lines = output_lines(&plan, &output);
            let expected: Vec<String> = expected.iter().map(|line| format!("out: {line}")).collect();
            assert_eq!(lines, expected, "clock_ms={clock_ms} workers={workers:?}");
            assert_eq!(output.late_rows, 0);
            if !expected.is_empty() && !is_last {
                assert!(due_ms.is_some_and(|due_ms| due_ms <= *clock_ms), "due_ms={due_ms:?} at {clock_ms}");
            } else if !is_last {
                assert!(due_ms.is_none_or(|due_ms| due_ms > *clock_ms), "due_ms={due_ms:?} at {clock_ms}");
            }
            (dataflow, store) = home.restore(&plan, options(workers[index % 2]), (dataflow, store));
        }
    }
}

#[test]
fn rows_in_the_order_of_the_clock_leave_when_it_has_passed() {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let columns = planner.schema(scan);
    let clocked = planner.add(NodeKind::ProcessingTime, &[scan], columns.clone());
    let order = vec![SortKey { column: 1, descending: true, nulls_first: false }];
    let sort = planner.add(NodeKind::TemporalSort { time_column: 0, order }, &[clocked], columns);
    planner.sink(sort, "out");
    check_plan(
        (planner.build(), scan),
        &[
            (3, "ab", &[]),
            (4, "", &["3 b 1", "3 a 1"]),
            (9, "a", &[]),
            (9, "c", &[]),
            (12, "d", &["9 c 1", "9 a 1"]),
            (20, "", &["12 d 1"]),
        ],
    );
}

#[test]
fn a_step_without_rows_fires_what_is_over() {
    check(
        Some(TUMBLE),
        &[
            (3, "ab", &[]),
            (9, "a", &[]),
            (10, "", &["a 2 2 0 10 9", "b 1 1 0 10 9"]),
            (12, "a", &[]),
            (20, "b", &["a 1 1 10 20 19"]),
            (20, "b", &[]),
            // The input ends, and with it every window.
            (31, "c", &["b 2 2 20 30 29", "c 1 1 30 40 39"]),
        ],
    );
}

#[test]
fn hopping_windows_fire_one_after_the_other() {
    check(
        Some(HOP),
        &[
            (5, "a", &[]),
            (10, "", &["a 1 1 -20 10 9"]),
            (15, "a", &[]),
            (31, "", &["a 2 2 -10 20 19", "a 2 2 0 30 29"]),
            (32, "", &[]),
            (33, "", &["a 1 1 10 40 39"]),
        ],
    );
}

#[test]
fn sessions_end_with_the_clock() {
    check(
        None,
        &[
            (1, "a", &[]),
            (8, "ab", &[]),
            (18, "b", &["1 a 1 1 18 17", "8 a 1 1 18 17", "8 b 1 8 18 17"]),
            (19, "", &[]),
            (28, "", &["18 b 1 18 28 27"]),
            (29, "", &[]),
        ],
    );
}

#[test]
fn sums_of_sessions_leave_with_the_clock() {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let columns = planner.schema(scan);
    let clocked = planner.add(NodeKind::ProcessingTime, &[scan], columns);
    let sums = planner.session_sums(clocked, 10, &[1], vec![call(Count, None, DataType::Int64)]);
    planner.sink(sums, "out");
    check_plan(
        (planner.build(), scan),
        &[
            (1, "a", &[]),
            (8, "ab", &[]),
            (18, "b", &["a 2 1 18 17", "b 1 8 18 17"]),
            (19, "", &[]),
            (28, "", &["b 1 18 28 27"]),
            (29, "", &[]),
        ],
    );
}
