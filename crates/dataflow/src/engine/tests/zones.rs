//! Windows of instants lie on the wall clock of a zone: a day of 23 or 25 hours is one window, and so are two hours
//! that the clocks show alike.

use super::fixtures::*;
use crate::engine::{Dataflow, DataflowOptions};
use crate::plan::AggregateFunction::{Count, Sum};
use crate::plan::{NodeId, NodeKind, Plan, WindowKind};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use base::Zone;
use state::Store;
use std::sync::Arc;

const HOUR: i64 = 3_600_000;

/// 2021-10-31T01:00Z: in Berlin 03:00 becomes 02:00.
const AUTUMN: i64 = 1_635_642_000_000;
/// 2021-03-28T01:00Z: in Berlin 02:00 becomes 03:00.
const SPRING: i64 = 1_616_893_200_000;

fn instants() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// Counts and sums by key in windows of `size_ms` and in sessions, all on the clock of Berlin.
fn berlin(size_ms: i64, gap_ms: i64) -> (Arc<Plan>, NodeId) {
    let zone = Zone::parse("Europe/Berlin").unwrap();
    let columns = [("t", instants()), ("k", DataType::Utf8), ("v", DataType::Int32)];
    let mut planner = Planner::default();
    let scan = planner.scan("events", &columns, true);
    let marked = planner.watermark(scan, 0, 0);
    let bounds = [("window_start", TIMESTAMP), ("window_end", TIMESTAMP), ("window_time", instants())];
    let calls = || vec![call(Count, None, DataType::Int64), call(Sum, Some(2), DataType::Int32)];
    let mut fields = vec![("k", DataType::Utf8), ("n", DataType::Int64), ("sum", DataType::Int32)];
    fields.extend(bounds.clone());
    let window = WindowKind::Tumble { size_ms, offset_ms: 0 };
    let kind = NodeKind::WindowAggregate { time_column: 0, window, zone, keys: vec![1], aggregates: calls() };
    let sums = planner.add(kind, &[marked], schema(&fields));
    planner.sink(sums, "sums");
    let mut fields = columns.to_vec();
    fields.extend(bounds);
    let with_bounds = schema(&fields);
    let kind = NodeKind::SessionWindow { time_column: 0, gap_ms, zone, keys: vec![1] };
    let sessions = planner.add(kind, &[marked], with_bounds.clone());
    planner.sink(sessions, "session");
    let kind =
        NodeKind::SessionAggregate { time_column: 0, gap_ms, zone, keys: vec![1], aggregates: calls() };
    let mut fields = vec![("k", DataType::Utf8), ("n", DataType::Int64), ("sum", DataType::Int32)];
    fields.extend([("window_start", TIMESTAMP), ("window_end", TIMESTAMP), ("window_time", instants())]);
    let sums = planner.add(kind, &[marked], schema(&fields));
    planner.sink(sums, "session_sums");
    let assigned =
        planner.add(NodeKind::WindowAssign { time_column: 0, window, zone }, &[marked], with_bounds.clone());
    let numbered: Vec<_> = with_bounds
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .chain([Field::new("n", DataType::Int64, true)])
        .collect();
    let kind = NodeKind::WindowRank {
        end_column: 4,
        zone,
        partition: vec![3, 4],
        order: vec![crate::plan::SortKey { column: 2, descending: true, nulls_first: false }],
        first: 1,
        last: 1,
        with_number: true,
        latest_first: false,
    };
    let top = planner.add(kind, &[assigned], Arc::new(Schema::new(numbered)));
    planner.sink(top, "top");
    (planner.build(), scan)
}

/// Rows at instants that are given in minutes from `origin`; what leaves is told in the same way.
fn check(plan: &Arc<Plan>, scan: NodeId, origin: i64, input: &[(i64, i32)], expected: &[&str]) {
    let texts: Vec<String> = input.iter().map(|(at, v)| format!("{} a {v}", origin + at * 60_000)).collect();
    let run = |steps: &[String], workers: usize| {
        let options = DataflowOptions { workers, ..DataflowOptions::default() };
        let mut dataflow = Dataflow::new(plan.clone(), options, &Store::volatile(usize::MAX)).unwrap();
        let mut lines = Vec::new();
        for (index, text) in steps.iter().enumerate() {
            let rows = rows(&plan.node(scan).schema, text);
            let output = step(&mut dataflow, vec![read(scan, 0, rows, index + 1 == steps.len())]).unwrap();
            lines.extend(output_lines(plan, &output));
        }
        let relative = |cell: &str| match cell.parse::<i64>() {
            Ok(ms) if ms > HOUR => format!("{}", (ms + 1 - origin).div_euclid(60_000)),
            _ => cell.to_string(),
        };
        let line = |line: String| line.split(' ').map(relative).collect::<Vec<_>>().join(" ");
        let mut lines: Vec<String> = lines.into_iter().map(line).collect();
        lines.sort();
        lines
    };
    assert_eq!(run(&[texts.join("\n")], 1), expected, "in one step");
    assert_eq!(run(&texts, 1), expected, "in a step per row");
    assert_eq!(run(&texts, 4), expected, "on four workers");
}

#[test]
fn the_hour_that_comes_twice_is_one_window_which_fires_after_the_second() {
    // 01:30, 02:30 and 02:40 in summer, 02:20 and 03:05 in winter. The third row is late for no window: what has
    // passed of the hour will come again. The bounds are wall-clock times, told from 01:00.
    let (plan, scan) = berlin(HOUR, HOUR / 2);
    let rows = [(-90, 1), (-30, 2), (-20, 4), (20, 8), (65, 16)];
    let expected = [
        "session: -20 a 4 80 155 95",
        "session: -30 a 2 80 155 95",
        "session: -90 a 1 30 60 -60",
        "session: 20 a 8 80 155 95",
        "session: 65 a 16 80 155 95",
        "session_sums: a 1 1 30 60 -60",
        "session_sums: a 4 30 80 155 95",
        "sums: a 1 1 0 60 -60",
        "sums: a 1 16 120 180 120",
        "sums: a 3 14 60 120 0",
        "top: -90 a 1 0 60 -60 1",
        "top: 20 a 8 60 120 0 1",
        "top: 65 a 16 120 180 120 1",
    ];
    check(&plan, scan, AUTUMN, &rows, &expected);
}

#[test]
fn a_day_has_25_hours_in_autumn_and_23_in_spring() {
    let (plan, scan) = berlin(24 * HOUR, 3 * HOUR);
    // 00:00 in summer time and 23:59 in winter time of one day, then the next one's midnight.
    let rows = [(-180, 1), (22 * 60 - 1, 2), (22 * 60, 4)];
    let lines = |plan: &Arc<Plan>, scan, origin, rows: &[(i64, i32)], sums: &[&str]| {
        let texts: Vec<String> =
            rows.iter().map(|(at, v)| format!("{} a {v}", origin + at * 60_000)).collect();
        let mut dataflow = dataflow(plan);
        let batch = super::fixtures::rows(&plan.node(scan).schema, &texts.join("\n"));
        let output = step(&mut dataflow, vec![read(scan, 0, batch, true)]).unwrap();
        let found = output_lines(plan, &output);
        let found: Vec<&str> =
            found.iter().filter_map(|line| line.strip_prefix("sums: ")).map(|line| &line[..6]).collect();
        assert_eq!(found, sums);
    };
    lines(&plan, scan, AUTUMN, &rows, &["a 2 3 ", "a 1 4 "]);
    // 2021-03-28 in Berlin lasts from 23:00Z to 22:00Z.
    let rows = [(-120, 1), (21 * 60 - 1, 2), (21 * 60, 4)];
    lines(&plan, scan, SPRING, &rows, &["a 2 3 ", "a 1 4 "]);
}
