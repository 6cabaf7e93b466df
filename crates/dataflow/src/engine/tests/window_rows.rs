//! Sessions, Top-N and joins of windows, and cumulating windows: what each gives, in one step and in many.

use super::fixtures::*;
use super::windows::TUMBLE;
use crate::plan::AggregateFunction::{Count, Sum};
use crate::plan::{Aggregate, JoinKind, NodeId, NodeKind, Plan, SortKey, WindowKind};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

const COLUMNS: &[(&str, DataType)] = &[("t", TIMESTAMP), ("k", DataType::Utf8), ("v", DataType::Int32)];

fn widened(schema: &SchemaRef, more: &[(&str, DataType)]) -> SchemaRef {
    let more = more.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true));
    let fields = schema.fields().iter().map(|field| field.as_ref().clone()).chain(more);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

const BOUNDS: &[(&str, DataType)] =
    &[("window_start", TIMESTAMP), ("window_end", TIMESTAMP), ("window_time", TIMESTAMP)];

impl Planner {
    pub fn session(&mut self, input: NodeId, gap_ms: i64, keys: &[usize]) -> NodeId {
        let schema = widened(&self.schema(input), BOUNDS);
        self.add(
            NodeKind::SessionWindow { time_column: 0, gap_ms, zone: base::Zone::UTC, keys: keys.to_vec() },
            &[input],
            schema,
        )
    }

    /// The aggregates of sessions by the time in the first column.
    pub fn session_sums(
        &mut self,
        input: NodeId,
        gap_ms: i64,
        keys: &[usize],
        aggregates: Vec<Aggregate>,
    ) -> NodeId {
        let from = self.schema(input);
        let keyed = Schema::new(keys.iter().map(|key| from.field(*key).clone()).collect::<Vec<_>>());
        let names: Vec<String> = (0..aggregates.len()).map(|index| format!("a{index}")).collect();
        let calls = names.iter().zip(&aggregates).map(|(name, call)| (name.as_str(), call.data_type.clone()));
        let more: Vec<(&str, DataType)> = calls.chain(BOUNDS.iter().cloned()).collect();
        let schema = widened(&Arc::new(keyed), &more);
        let zone = base::Zone::UTC;
        let kind =
            NodeKind::SessionAggregate { time_column: 0, gap_ms, zone, keys: keys.to_vec(), aggregates };
        self.add(kind, &[input], schema)
    }

    pub fn assign(&mut self, input: NodeId, window: WindowKind) -> NodeId {
        let schema = widened(&self.schema(input), BOUNDS);
        self.add(NodeKind::WindowAssign { time_column: 0, window, zone: base::Zone::UTC }, &[input], schema)
    }

    /// By the columns of the window and `partition`, the greatest of `order` first.
    pub fn window_rank(
        &mut self,
        input: NodeId,
        bounds: usize,
        partition: &[usize],
        order: usize,
        (first, last): (u64, u64),
    ) -> NodeId {
        let schema = widened(&self.schema(input), &[("n", DataType::Int64)]);
        let kind = NodeKind::WindowRank {
            end_column: bounds + 1,
            zone: base::Zone::UTC,
            partition: partition.iter().copied().chain([bounds, bounds + 1]).collect(),
            order: vec![SortKey { column: order, descending: true, nulls_first: false }],
            first,
            last,
            with_number: true,
            latest_first: false,
        };
        self.add(kind, &[input], schema)
    }

    /// Of inputs whose window columns begin at `bounds`, by their columns `key`.
    pub fn window_join(
        &mut self,
        inputs: [NodeId; 2],
        kind: JoinKind,
        bounds: [usize; 2],
        key: usize,
        residual: Option<Arc<dyn crate::expression::Expression>>,
    ) -> NodeId {
        let left = self.schema(inputs[0]);
        let right = self.schema(inputs[1]);
        let schema = match kind {
            JoinKind::Semi | JoinKind::Anti => left,
            _ => {
                let more: Vec<(&str, DataType)> =
                    right.fields().iter().map(|f| (f.name().as_str(), f.data_type().clone())).collect();
                widened(&left, &more)
            }
        };
        let keys = |side: usize| vec![key, bounds[side], bounds[side] + 1];
        let kind = NodeKind::WindowJoin {
            kind,
            ends: [bounds[0] + 1, bounds[1] + 1],
            zone: base::Zone::UTC,
            left_keys: keys(0),
            right_keys: keys(1),
            residual,
        };
        self.add(kind, &inputs, schema)
    }
}

/// Runs one step per text over the scans of the plan by turns; the last ones finish them.
fn run(plan: &Arc<Plan>, scans: &[NodeId], steps: &[(usize, &str)]) -> (Vec<String>, u64) {
    let mut dataflow = dataflow(plan);
    let (mut lines, mut late_rows) = (Vec::new(), 0);
    let last = |side: usize| steps.iter().rposition(|(own, _)| *own == side);
    for (index, (side, text)) in steps.iter().enumerate() {
        let rows = rows(&plan.node(scans[*side]).schema, text);
        let output =
            step(&mut dataflow, vec![read(scans[*side], 0, rows, last(*side) == Some(index))]).unwrap();
        lines.extend(output_lines(plan, &output));
        late_rows += output.late_rows;
    }
    (lines, late_rows)
}

/// The same rows in one step and in a step per row.
fn check(plan: &Arc<Plan>, scan: NodeId, rows: &str, expected: &[&str], late_rows: u64) {
    let expected: Vec<String> = expected.iter().map(|line| format!("out: {line}")).collect();
    assert_eq!(run(plan, &[scan], &[(0, rows)]), (expected.clone(), late_rows), "in one step");
    let single: Vec<(usize, &str)> = rows.lines().map(|line| (0, line)).collect();
    assert_eq!(run(plan, &[scan], &single), (expected, late_rows), "in a step per row");
}

fn sessions(delay_ms: i64) -> (Arc<Plan>, NodeId) {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let marked = planner.watermark(scan, 0, delay_ms);
    let sessions = planner.session(marked, 5, &[1]);
    let calls = vec![call(Count, None, DataType::Int64), call(Sum, Some(2), DataType::Int32)];
    let sums = planner.aggregate(sessions, 5, WindowKind::Attached, &[1, 3, 4], calls);
    let (text, count, sum) = (DataType::Utf8, DataType::Int64, DataType::Int32);
    let out = planner.project(
        sums,
        &[
            ("k", column(0, text)),
            ("start", column(1, TIMESTAMP)),
            ("end", column(2, TIMESTAMP)),
            ("n", column(3, count)),
            ("sum", column(4, sum)),
            ("time", column(7, TIMESTAMP)),
        ],
    );
    planner.sink(out, "out");
    (planner.build(), scan)
}

/// The same by an aggregate that keeps no rows.
fn summed_sessions(delay_ms: i64) -> (Arc<Plan>, NodeId) {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let marked = planner.watermark(scan, 0, delay_ms);
    let calls = vec![call(Count, None, DataType::Int64), call(Sum, Some(2), DataType::Int32)];
    let sums = planner.session_sums(marked, 5, &[1], calls);
    let (text, count, sum) = (DataType::Utf8, DataType::Int64, DataType::Int32);
    let out = planner.project(
        sums,
        &[
            ("k", column(0, text)),
            ("start", column(3, TIMESTAMP)),
            ("end", column(4, TIMESTAMP)),
            ("n", column(1, count)),
            ("sum", column(2, sum)),
            ("time", column(5, TIMESTAMP)),
        ],
    );
    planner.sink(out, "out");
    (planner.build(), scan)
}

#[test]
fn sessions_end_where_no_row_came_for_the_gap() {
    for (plan, scan) in [sessions(10), summed_sessions(10)] {
        // Rows at a distance of exactly the gap are in one session, as in Flink; `8 b` makes one of two.
        check(
            &plan,
            scan,
            "1 a 1\n6 a 2\n12 a 4\n3 b 1\n12 b 2\n8 b 4\n30 a 8",
            &["a 1 11 2 3 10", "a 12 17 1 4 16", "b 3 17 3 7 16", "a 30 35 1 8 34"],
            0,
        );
    }
}

#[test]
fn a_session_that_was_merged_is_merged_again() {
    for (plan, scan) in [sessions(40), summed_sessions(40)] {
        // `6 a` joins [1, 6) and [11, 16), and `21 a` what has come of it and [26, 31), all from and to the last moment.
        check(
            &plan,
            scan,
            "1 a 1\n11 a 2\n6 a 4\n16 a 8\n26 a 16\n21 a 32\n0 - 64\n10 - 64\n5 - -",
            &["- 0 15 3 128 14", "a 1 31 6 63 30"],
            0,
        );
    }
}

#[test]
fn a_row_behind_a_fired_session_begins_a_new_one_or_is_late() {
    // The session [1, 7) fires at 6; `5 a` is in time and its session overlaps the fired one. `1 a 32` is late.
    for (plan, scan) in [sessions(0), summed_sessions(0)] {
        check(
            &plan,
            scan,
            "1 a 1\n2 a 2\n6 b 4\n5 a 8\n11 a 16\n1 a 32\n40 b 1",
            &["a 1 7 2 3 6", "a 5 10 1 8 9", "b 6 11 1 4 10", "a 11 16 1 16 15", "b 40 45 1 1 44"],
            1,
        );
    }
}

#[test]
fn cumulating_windows_begin_together() {
    let cumulate = WindowKind::Cumulate { size_ms: 30, step_ms: 10, offset_ms: 0 };
    let (plan, scan) = super::windows::counting(cumulate, 0);
    // Behind `15 a` the window [0, 10) has fired: `5 b` counts in the larger ones only.
    check(
        &plan,
        scan,
        "1 a 1\n15 a 2\n5 b 4\n-3 a 9\n31 a 8",
        &[
            "a 1 1 0 10 9",
            "a 2 3 0 20 19",
            "b 1 4 0 20 19",
            "a 2 3 0 30 29",
            "b 1 4 0 30 29",
            "a 1 8 30 40 39",
            "a 1 8 30 50 49",
            "a 1 8 30 60 59",
        ],
        1,
    );
    let shifted = WindowKind::Cumulate { size_ms: 30, step_ms: 10, offset_ms: -5 };
    let (plan, scan) = super::windows::counting(shifted, 0);
    check(
        &plan,
        scan,
        "24 a 1\n25 a 2",
        &["a 1 1 -5 25 24", "a 1 2 25 35 34", "a 1 2 25 45 44", "a 1 2 25 55 54"],
        0,
    );
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let assigned = planner.assign(scan, cumulate);
    planner.sink(assigned, "out");
    let plan = planner.build();
    check(&plan, scan, "15 a 1", &["15 a 1 0 30 29", "15 a 1 0 20 19"], 0);
}

#[test]
fn a_window_shows_its_first_rows_once() {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let marked = planner.watermark(scan, 0, 0);
    let assigned = planner.assign(marked, TUMBLE);
    let top = planner.window_rank(assigned, 3, &[1], 2, (1, 2));
    planner.sink(top, "out");
    let plan = planner.build();
    check(
        &plan,
        scan,
        "1 a 5\n2 a 7\n3 a 6\n4 a 7\n4 b 1\n12 a 1\n5 a 99\n13 a -",
        &["2 a 7 0 10 9 1", "4 a 7 0 10 9 2", "4 b 1 0 10 9 1", "12 a 1 10 20 19 1", "13 a - 10 20 19 2"],
        1,
    );
}

fn joined(kind: JoinKind, residual: bool) -> (Arc<Plan>, [NodeId; 2]) {
    let mut planner = Planner::default();
    let scans = ["left", "right"].map(|name| planner.scan(name, COLUMNS, true));
    let sides = scans.map(|scan| {
        let marked = planner.watermark(scan, 0, 0);
        planner.assign(marked, TUMBLE)
    });
    let residual = residual.then(|| greater(8, 10));
    let pairs = planner.window_join(sides, kind, [3, 3], 1, residual);
    let left = [("v", column(2, DataType::Int32)), ("end", column(4, TIMESTAMP))];
    let mut columns = left.to_vec();
    if !matches!(kind, JoinKind::Semi | JoinKind::Anti) {
        columns.push(("w", column(8, DataType::Int32)));
        columns.push(("end", column(10, TIMESTAMP)));
    }
    let short = planner.project(pairs, &columns);
    planner.sink(short, "out");
    (planner.build(), scans)
}

#[test]
fn rows_of_one_window_are_joined() {
    use JoinKind::{Anti, Full, Inner, Left, Right, Semi};
    let cases: &[(JoinKind, bool, &[&str])] = &[
        (Inner, false, &["1 10 10 10", "1 10 20 10", "8 20 40 20"]),
        (Inner, true, &["1 10 20 10", "8 20 40 20"]),
        (Left, false, &["1 10 10 10", "1 10 20 10", "2 10 - -", "4 10 - -", "8 20 40 20"]),
        (Right, false, &["1 10 10 10", "1 10 20 10", "- - 30 10", "8 20 40 20", "- - 50 20"]),
        (
            Full,
            true,
            &["1 10 20 10", "2 10 - -", "4 10 - -", "- - 10 10", "- - 30 10", "8 20 40 20", "- - 50 20"],
        ),
        (Semi, true, &["1 10", "8 20"]),
        (Anti, false, &["2 10", "4 10"]),
    ];
    // `- ` in the key matches nothing; `5 a 99` comes when both sides have passed 10.
    let left = ["1 a 1\n2 b 2\n3 - 4\n11 a 8", "5 a 99"];
    let right = ["1 a 10\n2 a 20\n3 - 30\n12 a 40\n13 c 50"];
    for (kind, residual, expected) in cases {
        let (plan, scans) = joined(*kind, *residual);
        let (mut lines, late_rows) = run(&plan, &scans, &[(0, left[0]), (1, right[0]), (0, left[1])]);
        assert_eq!(late_rows, 1, "{kind:?}");
        let mut expected: Vec<String> = expected.iter().map(|line| format!("out: {line}")).collect();
        lines.sort();
        expected.sort();
        assert_eq!(lines, expected, "{kind:?}, condition: {residual}");
    }
}
