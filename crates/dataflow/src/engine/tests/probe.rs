//! A step under the glass: what each operator's state was and became, in its own words, and nothing else is different.

use super::fixtures::*;
use crate::engine::{DataflowOptions, ProbeLimits, ProbedField, ProbedNode, ScanInput, StepInput};
use crate::plan::AggregateFunction::{Count, LastValue, Max, Sum};
use crate::plan::{Changelog, JoinKind, NodeId, NodeKind, OverFrame, OverOrder, Plan, SortKey, WindowKind};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, Field, Schema};
use std::sync::Arc;

const LIMITS: ProbeLimits = ProbeLimits { rows: 100, entries: 100, clock_ms: 0 };

/// A plan beside itself: one that is looked at in every step and restored before it, and one that is not.
struct Pair {
    plan: Arc<Plan>,
    scans: Vec<NodeId>,
    home: Home,
    probed: Option<(crate::engine::Dataflow, state::Store)>,
    plain: crate::engine::Dataflow,
}

impl Pair {
    fn new(plan: Arc<Plan>, scans: &[NodeId]) -> Pair {
        let home = Home::new(usize::MAX);
        let probed = Some(home.begin(&plan, DataflowOptions { workers: 2, ..DataflowOptions::default() }));
        let plain = dataflow(&plan);
        Pair { plan, scans: scans.to_vec(), home, probed, plain }
    }

    /// Rows of each scan as text; what the glass shows.
    fn step(&mut self, texts: &[&str], limits: ProbeLimits) -> Vec<ProbedNode> {
        let reads: Vec<ScanInput> = self
            .scans
            .iter()
            .zip(texts)
            .filter(|(_, text)| !text.is_empty())
            .map(|(scan, text)| read(*scan, 0, rows(&self.plan.nodes[scan.0].schema, text), false))
            .collect();
        let probed = self.probed.take().unwrap();
        let options = DataflowOptions { workers: 1, ..DataflowOptions::default() };
        let (mut probed, store) = self.home.restore(&self.plan, options, probed);
        let input = StepInput { clock_ms: 0, reads: reads.clone() };
        let (output, nodes) = probed.step_probed(input, limits).unwrap();
        let plain = self.plain.step(StepInput { clock_ms: 0, reads }).unwrap();
        assert_eq!(output.hash, plain.hash);
        assert_eq!(output_lines(&self.plan, &output), output_lines(&self.plan, &plain));
        assert_eq!(digest(&mut probed), digest(&mut self.plain), "looking changes nothing");
        self.probed = Some((probed, store));
        nodes
    }
}

fn fields(fields: &[ProbedField]) -> String {
    let text = |field: &ProbedField| {
        assert_eq!(field.value.len(), 1);
        let value = array_value_to_string(&field.value, 0).unwrap();
        format!("{}={}", field.name, if field.value.is_null(0) { "-" } else { &value })
    };
    fields.iter().map(text).collect::<Vec<_>>().join(" ")
}

/// `what key: before -> after`, sorted.
fn told(node: &ProbedNode) -> Vec<String> {
    assert!(node.state.is_whole);
    let side = |side: &Option<Vec<ProbedField>>| side.as_deref().map_or("nothing".into(), fields);
    let entries = node.state.entries.iter();
    let mut lines: Vec<String> = entries
        .map(|entry| {
            format!(
                "{} {}: {} -> {}",
                entry.what,
                fields(&entry.key),
                side(&entry.before),
                side(&entry.after)
            )
        })
        .collect();
    lines.sort();
    lines
}

fn given(node: &ProbedNode) -> Vec<String> {
    let row = |row: &crate::engine::ProbedRow| {
        let schema = row.columns.schema();
        let values = row.columns.columns().iter().zip(schema.fields());
        let values =
            values.map(|(value, field)| ProbedField { name: field.name().clone(), value: value.clone() });
        format!("{} {}", row.kind.short(), fields(&values.collect::<Vec<_>>()))
    };
    node.rows.iter().map(row).collect()
}

#[test]
fn a_filter_and_an_aggregate_tell_their_rows_and_results() {
    let mut planner = Planner::default();
    let scan = planner.scan("t", &[("k", DataType::Utf8), ("v", DataType::Int32)], false);
    let filter = planner.filter(scan, greater(1, 0));
    let schema = schema(&[("k", DataType::Utf8), ("n", DataType::Int64), ("total", DataType::Int32)]);
    let aggregates = vec![call(Count, None, DataType::Int64), call(Sum, Some(1), DataType::Int32)];
    let group = planner.add(NodeKind::GroupAggregate { keys: vec![0], aggregates }, &[filter], schema);
    planner.plan.nodes[group.0].changelog = Changelog::Retract;
    let sink = planner.sink(group, "out");
    planner.plan.nodes[sink.0].changelog = Changelog::Retract;
    let mut pair = Pair::new(planner.build(), &[scan]);

    let nodes = pair.step(&["a 1\na -5\na 2"], LIMITS);
    assert_eq!(given(&nodes[scan.0]), ["+I k=a v=1", "+I k=a v=-5", "+I k=a v=2"]);
    assert_eq!(given(&nodes[filter.0]), ["+I k=a v=1", "+I k=a v=2"]);
    assert_eq!((nodes[filter.0].run.rows_in, nodes[filter.0].run.rows_out), (3, 2));
    assert!(nodes[filter.0].state.entries.is_empty());
    assert_eq!(told(&nodes[group.0]), ["aggregates k=a: nothing -> rows=2 n=2 total=3"]);
    assert_eq!(given(&nodes[sink.0]), ["+I k=a n=2 total=3"]);

    let nodes = pair.step(&["b 7\na 10"], LIMITS);
    let wanted = [
        "aggregates k=a: rows=2 n=2 total=3 -> rows=3 n=3 total=13",
        "aggregates k=b: nothing -> rows=1 n=1 total=7",
    ];
    assert_eq!(told(&nodes[group.0]), wanted);
    assert_eq!(given(&nodes[sink.0]), ["+I k=b n=1 total=7", "-U k=a n=2 total=3", "+U k=a n=3 total=13"]);

    // What is too much is counted, and a key that is only looked at is none that changed.
    let nodes = pair.step(&["c 1\nd 1\na -1"], ProbeLimits { rows: 1, entries: 1, clock_ms: 0 });
    assert_eq!((nodes[group.0].state.entries.len(), nodes[group.0].state.left_off), (1, 1));
    assert_eq!((nodes[scan.0].rows.len(), nodes[scan.0].run.rows_out), (1, 3));
}

#[test]
fn values_that_a_group_keeps_are_told_with_how_often_they_are_there() {
    let mut planner = Planner::default();
    let scan = planner.scan("t", &[("k", DataType::Utf8), ("v", DataType::Int32)], false);
    planner.plan.nodes[scan.0].changelog = Changelog::Retract;
    let schema = schema(&[("k", DataType::Utf8), ("most", DataType::Int32)]);
    let aggregates = vec![call(Max, Some(1), DataType::Int32)];
    let group = planner.add(NodeKind::GroupAggregate { keys: vec![0], aggregates }, &[scan], schema);
    planner.plan.nodes[group.0].changelog = Changelog::Retract;
    let sink = planner.sink(group, "out");
    planner.plan.nodes[sink.0].changelog = Changelog::Retract;
    let mut pair = Pair::new(planner.build(), &[scan]);
    let nodes = pair.step(&["a 1\na 9\na 9"], LIMITS);
    let wanted = [
        "aggregates k=a: nothing -> rows=3 most=9",
        "value k=a v=1: nothing -> times=1",
        "value k=a v=9: nothing -> times=2",
    ];
    assert_eq!(told(&nodes[group.0]), wanted);
}

#[test]
fn a_window_tells_its_slices_until_it_has_fired() {
    let mut planner = Planner::default();
    let scan = planner.scan("t", &[("k", DataType::Utf8), ("t", TIMESTAMP), ("v", DataType::Int32)], false);
    let watermark = planner.watermark(scan, 1, 0);
    let window = WindowKind::Tumble { size_ms: 10, offset_ms: 0 };
    let calls = vec![call(Sum, Some(2), DataType::Int32)];
    let aggregate = planner.aggregate(watermark, 1, window, &[0], calls);
    planner.sink(aggregate, "out");
    let mut pair = Pair::new(planner.build(), &[scan]);
    let end = |ms: u32| format!("window_end=1970-01-01T00:00:00.0{ms:02}");

    let nodes = pair.step(&["a 1 5\na 2 6\nb 3 1"], LIMITS);
    let wanted = [
        format!("aggregates k=a {}: nothing -> a0=11", end(10)),
        format!("aggregates k=b {}: nothing -> a0=1", end(10)),
    ];
    assert_eq!(told(&nodes[aggregate.0]), wanted);
    assert_eq!((nodes[watermark.0].watermark_before, nodes[watermark.0].run.watermark), (None, Some(3)));

    let nodes = pair.step(&["a 15 1"], LIMITS);
    let wanted = [
        format!("aggregates k=a {}: a0=11 -> nothing", end(10)),
        format!("aggregates k=a {}: nothing -> a0=1", end(20)),
        format!("aggregates k=b {}: a0=1 -> nothing", end(10)),
    ];
    assert_eq!(told(&nodes[aggregate.0]), wanted);
    assert_eq!(nodes[aggregate.0].rows.len(), 2);
    assert_eq!((nodes[watermark.0].watermark_before, nodes[watermark.0].run.watermark), (Some(3), Some(15)));
}

#[test]
fn a_join_tells_the_rows_of_both_sides() {
    let mut planner = Planner::default();
    let left = planner.scan("l", &[("k", DataType::Utf8), ("a", DataType::Int32)], false);
    let right = planner.scan("r", &[("k2", DataType::Utf8), ("b", DataType::Int32)], false);
    let fields: Vec<_> = [left, right].iter().flat_map(|id| planner.schema(*id).fields().to_vec()).collect();
    let kind =
        NodeKind::Join { kind: JoinKind::Left, left_keys: vec![0], right_keys: vec![0], residual: None };
    let join = planner.add(kind, &[left, right], Arc::new(Schema::new(fields)));
    planner.plan.nodes[join.0].changelog = Changelog::Retract;
    let sink = planner.sink(join, "out");
    planner.plan.nodes[sink.0].changelog = Changelog::Retract;
    let mut pair = Pair::new(planner.build(), &[left, right]);
    let nodes = pair.step(&["x 1\nx 1\ny 2", ""], LIMITS);
    let wanted =
        ["left row k=x a=1: nothing -> times=2 matches=0", "left row k=y a=2: nothing -> times=1 matches=0"];
    assert_eq!(told(&nodes[join.0]), wanted);
    let nodes = pair.step(&["", "x 5"], LIMITS);
    let wanted = [
        "left row k=x a=1: times=2 matches=0 -> times=2 matches=1",
        "right row k2=x b=5: nothing -> times=1",
    ];
    assert_eq!(told(&nodes[join.0]), wanted);
}

#[test]
fn a_top_n_tells_which_rows_it_keeps() {
    let mut planner = Planner::default();
    let scan = planner.scan("t", &[("k", DataType::Utf8), ("v", DataType::Int32)], false);
    let schema = planner.schema(scan);
    let order = vec![SortKey { column: 1, descending: true, nulls_first: false }];
    let kind = NodeKind::Rank {
        partition: vec![0],
        order,
        first: 1,
        last: 2,
        with_number: false,
        latest_first: false,
    };
    let rank = planner.add(kind, &[scan], schema);
    planner.plan.nodes[rank.0].changelog = Changelog::Retract;
    let sink = planner.sink(rank, "out");
    planner.plan.nodes[sink.0].changelog = Changelog::Retract;
    let mut pair = Pair::new(planner.build(), &[scan]);
    pair.step(&["a 1\na 3"], LIMITS);
    let nodes = pair.step(&["a 2\nb 1"], LIMITS);
    let wanted =
        ["row k=a: k=a v=1 -> nothing", "row k=a: nothing -> k=a v=2", "row k=b: nothing -> k=b v=1"];
    assert_eq!(told(&nodes[rank.0]), wanted);
}

#[test]
fn an_over_tells_its_sums_and_who_waits() {
    let mut planner = Planner::default();
    let scan = planner.scan("t", &[("k", DataType::Utf8), ("t", TIMESTAMP), ("v", DataType::Int32)], false);
    let watermark = planner.watermark(scan, 1, 3);
    let frame = OverFrame { rows: true, preceding: Some(1) };
    let calls = vec![call(Sum, Some(2), DataType::Int32), call(Count, None, DataType::Int64)];
    let over = planner.over(watermark, &[0], OverOrder::Time { column: 1 }, frame, calls);
    planner.sink(over, "out");
    let mut pair = Pair::new(planner.build(), &[scan]);
    pair.step(&["a 1 10\na 5 20"], LIMITS);
    let nodes = pair.step(&["a 8 30"], LIMITS);
    let at = |ms| format!("1970-01-01T00:00:00.00{ms}");
    let wanted = [
        format!("aggregates k=a: o0=10 o1=1 last row={} -> o0=30 o1=2 last row={}", at(1), at(5)),
        format!("row of the frame k=a at={}: nothing -> v=20", at(5)),
        format!("timer k=a at={}:  -> nothing", at(6)),
        format!("timer k=a at={}: nothing -> ", at(9)),
        format!("waiting row k=a: k=a t={} v=20 -> nothing", at(5)),
        format!("waiting row k=a: nothing -> k=a t={} v=30", at(8)),
    ];
    assert_eq!(told(&nodes[over.0]), wanted);
}

#[test]
fn what_waits_for_a_time_is_told_with_it() {
    let mut planner = Planner::default();
    let columns = [("k", DataType::Utf8), ("t", TIMESTAMP), ("v", DataType::Int32)];
    let scan = planner.scan("t", &columns, false);
    let watermark = planner.watermark(scan, 1, 0);
    let mut fields = planner.schema(watermark).fields().to_vec();
    for name in ["window_start", "window_end", "window_time"] {
        fields.push(Arc::new(Field::new(name, TIMESTAMP, true)));
    }
    let kind = NodeKind::SessionWindow { time_column: 1, gap_ms: 5, zone: base::Zone::UTC, keys: vec![0] };
    let session = planner.add(kind, &[watermark], Arc::new(Schema::new(fields)));
    planner.sink(session, "out");
    let mut pair = Pair::new(planner.build(), &[scan]);
    let nodes = pair.step(&["a 1 10"], LIMITS);
    let at = |ms| format!("1970-01-01T00:00:00.00{ms}");
    let wanted = [
        format!("row k=a: nothing -> k=a t={} v=10", at(1)),
        format!("session k=a from={}: nothing -> until={}", at(1), at(6)),
        format!("timer k=a at={}: nothing -> ", at(6)),
    ];
    assert_eq!(told(&nodes[session.0]), wanted);
}

#[test]
fn sessions_are_told_with_what_they_add_up_to() {
    let mut planner = Planner::default();
    let columns = [("t", TIMESTAMP), ("k", DataType::Utf8), ("v", DataType::Int32)];
    let scan = planner.scan("t", &columns, false);
    let watermark = planner.watermark(scan, 0, 5);
    let calls = vec![call(Count, None, DataType::Int64), call(LastValue, Some(2), DataType::Int32)];
    let sums = planner.session_sums(watermark, 3, &[1], calls);
    planner.sink(sums, "out");
    let mut pair = Pair::new(planner.build(), &[scan]);
    pair.step(&["3 a 10"], LIMITS);
    let nodes = pair.step(&["1 a 20"], LIMITS);
    let at = |ms| format!("1970-01-01T00:00:00.00{ms}");
    let wanted = [
        format!("session k=a from={}: a0=1 a1=10 until={} -> nothing", at(3), at(6)),
        format!("session k=a from={}: nothing -> a0=2 a1=20 until={}", at(1), at(6)),
    ];
    assert_eq!(told(&nodes[sums.0]).into_iter().collect::<std::collections::BTreeSet<_>>(), wanted.into());
}
