//! Trace contexts on their way through operators: where they wait, what they find, and that results know nothing of them.

use super::fixtures::*;
use super::windows::{HOP, TUMBLE, counting};
use crate::engine::{
    Dataflow, DataflowOptions, ReadTrace, RowTrace, STEP_CONTEXTS_MAX, StepInput, StepOutput,
};
use crate::plan::AggregateFunction::Count;
use crate::plan::{JoinKind, NodeId, NodeKind, Plan, SortKey};
use ::traces::{SpanId, TraceContext, TraceId};
use arrow_schema::{DataType, Schema};
use state::Store;
use std::sync::Arc;

const COLUMNS: &[(&str, DataType)] = &[("t", TIMESTAMP), ("k", DataType::Utf8), ("v", DataType::Int32)];

fn context(number: u8) -> TraceContext {
    let state = number.is_multiple_of(2).then(|| Arc::from("vendor=1"));
    TraceContext { trace: TraceId([number; 16]), span: SpanId([number; 8]), sampled: true, state }
}

/// Rows of a scan with the contexts of some of them, by row.
type Rows<'a> = (NodeId, &'a str, &'a [(u32, u8)]);

fn run(dataflow: &mut Dataflow, plan: &Plan, reads: &[Rows<'_>], finished: bool) -> StepOutput {
    let mut traces = Vec::new();
    let mut inputs = Vec::new();
    for (index, (scan, text, contexts)) in reads.iter().enumerate() {
        inputs.push(read(*scan, 0, rows(&plan.node(*scan).schema, text), finished));
        for (row, number) in *contexts {
            traces.push(ReadTrace { read: index, row: *row, context: context(*number) });
        }
    }
    dataflow.step_traced(StepInput { clock_ms: 0, reads: inputs }, &traces, &mut ()).unwrap()
}

/// Each row that left, and behind it its parent and its links by their numbers.
fn shown(plan: &Plan, output: &StepOutput) -> Vec<String> {
    let number = |context: &TraceContext| context.trace.0[0].to_string();
    let words = |trace: &RowTrace| {
        let mut words = vec![number(&trace.parent)];
        words.extend(trace.links.iter().map(number));
        words.join("+")
    };
    let traces = output.outputs.iter().flat_map(|sink| {
        (0..sink.rows.len()).map(|row| {
            match sink.rows.traces.as_ref().map_or(0, |traces| traces.value(row)) {
                0 => "-".to_string(),
                place => words(&output.traces[place as usize - 1]),
            }
        })
    });
    output_lines(plan, output).iter().zip(traces).map(|(line, trace)| format!("{line} | {trace}")).collect()
}

fn traced(plan: &Arc<Plan>) -> Dataflow {
    let mut dataflow = dataflow(plan);
    dataflow.trace().unwrap();
    dataflow
}

fn join(kind: JoinKind) -> (Arc<Plan>, [NodeId; 2]) {
    let mut planner = Planner::default();
    let scans = ["left", "right"].map(|name| planner.scan(name, COLUMNS, false));
    let fields: Vec<_> = scans.iter().flat_map(|scan| planner.schema(*scan).fields().to_vec()).collect();
    let kind = NodeKind::Join { kind, left_keys: vec![1], right_keys: vec![1], residual: None };
    let join = planner.add(kind, &scans, Arc::new(Schema::new(fields)));
    planner.sink(join, "out");
    (planner.build(), scans)
}

#[test]
fn rows_keep_their_contexts_where_nothing_is_kept() {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, false);
    let filter = planner.filter(scan, greater(2, 1));
    let project = planner.project(filter, &[("k", column(1, DataType::Utf8))]);
    let both = planner.union(&[project, project]);
    planner.sink(both, "out");
    let plan = planner.build();
    let output = run(&mut traced(&plan), &plan, &[(scan, "1 a 1\n2 b 2\n3 c 3", &[(0, 1), (1, 2)])], false);
    assert_eq!(shown(&plan, &output), ["out: b | 2", "out: b | 2", "out: c | -", "out: c | -"]);
}

#[test]
fn rows_of_one_context_count_as_one() {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, false);
    planner.sink(scan, "out");
    let plan = planner.build();
    let count = STEP_CONTEXTS_MAX as u32 + 500;
    let text = (0..=count).map(|row| format!("{row} a 1")).collect::<Vec<_>>().join("\n");
    let contexts: Vec<(u32, u8)> = (0..count).map(|row| (row, 1)).chain([(count, 2)]).collect();
    let output = run(&mut traced(&plan), &plan, &[(scan, &text, &contexts)], false);
    assert_eq!(output.traces.len(), 2);
    let shown = shown(&plan, &output);
    let of = |number: &str| shown.iter().filter(|line| line.ends_with(number)).count();
    assert_eq!((of(" | 1"), of(" | 2")), (count as usize, 1));
}

#[test]
fn a_pair_goes_on_from_the_later_row_and_links_the_one_that_waited() {
    let (plan, [left, right]) = join(JoinKind::Inner);
    let mut home = Home::new(0);
    home.traced = true;
    let options = |workers| DataflowOptions { workers, parallel_rows_min: 1 };
    let (mut dataflow, mut store) = home.begin(&plan, options(2));
    let waiting = "1 a 1\n2 a 2\n3 b 3";
    assert!(
        shown(&plan, &run(&mut dataflow, &plan, &[(left, waiting, &[(0, 1), (2, 2)])], false)).is_empty()
    );
    for workers in [1, 3] {
        (dataflow, store) = home.restore(&plan, options(workers), (dataflow, store));
    }
    let output = run(&mut dataflow, &plan, &[(right, "9 a 7", &[(0, 3)])], false);
    assert_eq!(shown(&plan, &output), ["out: 1 a 1 9 a 7 | 3+1", "out: 2 a 2 9 a 7 | 3"]);
    // Nobody brings a context: the row that waited goes on with its own, which has kept its state.
    let output = run(&mut dataflow, &plan, &[(right, "9 b 8", &[])], false);
    assert_eq!(shown(&plan, &output), ["out: 3 b 3 9 b 8 | 2"]);
    assert_eq!(output.traces[0].parent, context(2));
    drop(store);
}

#[test]
fn what_waits_goes_on_with_some_rows_and_not_for_ever() {
    let (plan, [left, right]) = join(JoinKind::Inner);
    let mut dataflow = traced(&plan);
    run(&mut dataflow, &plan, &[(left, "1 a 1", &[(0, 1)])], false);
    let goes_on = |dataflow: &mut Dataflow, number: usize| {
        let output = run(dataflow, &plan, &[(right, &format!("{number} a 1"), &[])], false);
        shown(&plan, &output)[0].ends_with("| 1")
    };
    let going: Vec<bool> = (0..20).map(|number| goes_on(&mut dataflow, number)).collect();
    assert_eq!(going, [vec![true; 16], vec![false; 4]].concat());
    // For one that has its own it is a link still.
    let output = run(&mut dataflow, &plan, &[(right, "99 a 1", &[(0, 9)])], false);
    assert!(shown(&plan, &output)[0].ends_with("| 9+1"));
}

#[test]
fn a_row_that_goes_is_forgotten() {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, false);
    let order = vec![SortKey { column: 2, descending: true, nulls_first: false }];
    let (first, last) = (1, 1);
    let rank =
        NodeKind::Rank { partition: vec![1], order, first, last, with_number: false, latest_first: false };
    let schema = planner.schema(scan);
    let rank = planner.add(rank, &[scan], schema);
    planner.plan.nodes[rank.0].changelog = crate::plan::Changelog::Retract;
    planner.sink(rank, "out");
    let plan = planner.build();
    let mut dataflow = traced(&plan);
    let output = run(&mut dataflow, &plan, &[(scan, "1 a 1", &[(0, 1)])], false);
    assert_eq!(shown(&plan, &output), ["out: 1 a 1 | 1"]);
    let output = run(&mut dataflow, &plan, &[(scan, "2 a 5", &[(0, 2)])], false);
    assert_eq!(shown(&plan, &output), ["out: 1 a 1 | 1", "out: 2 a 5 | 2"]);
}

#[test]
fn windows_go_on_from_their_latest_row_and_link_the_others_of_theirs() {
    for (window, expected) in [
        (TUMBLE, vec!["out: a 2 3 0 10 9 | 2+1", "out: b 1 4 0 10 9 | -"]),
        // Each window that the rows are in is made of them.
        (HOP, vec!["out: a 2 3 -20 10 9 | 2+1", "out: b 1 4 -20 10 9 | -"]),
    ] {
        let (plan, scan) = counting(window, 0);
        let mut home = Home::new(0);
        home.traced = true;
        let (mut dataflow, mut store) = home.begin(&plan, DataflowOptions::default());
        run(&mut dataflow, &plan, &[(scan, "1 a 1", &[(0, 1)])], false);
        (dataflow, store) = home.restore(&plan, DataflowOptions::default(), (dataflow, store));
        run(&mut dataflow, &plan, &[(scan, "5 a 2\n6 b 4", &[(0, 2)])], false);
        (dataflow, store) = home.restore(&plan, DataflowOptions::default(), (dataflow, store));
        // The row that ends the window is of another one, and has no part in it.
        let output = run(&mut dataflow, &plan, &[(scan, "15 a 8", &[(0, 3)])], false);
        assert_eq!(shown(&plan, &output), expected);
        drop(store);
    }
}

#[test]
fn sums_of_sessions_go_on_from_the_rows_that_they_are_made_of() {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, false);
    let marked = planner.watermark(scan, 0, 0);
    let sums = planner.session_sums(marked, 9, &[1], vec![call(Count, None, DataType::Int64)]);
    planner.sink(sums, "out");
    let plan = planner.build();
    let mut dataflow = traced(&plan);
    run(&mut dataflow, &plan, &[(scan, "1 a 1", &[(0, 1)])], false);
    run(&mut dataflow, &plan, &[(scan, "5 a 2\n6 b 4", &[(0, 2)])], false);
    let output = run(&mut dataflow, &plan, &[(scan, "15 a 8", &[(0, 3)])], false);
    assert_eq!(shown(&plan, &output), ["out: a 2 1 14 13 | 2+1", "out: b 1 6 15 14 | -"]);
    let output = run(&mut dataflow, &plan, &[(scan, "40 b 8", &[])], false);
    assert_eq!(shown(&plan, &output), ["out: a 1 15 24 23 | 3"]);
}

#[test]
fn a_running_aggregate_goes_on_with_what_came_in_the_step_alone() {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, false);
    let fields = schema(&[("k", DataType::Utf8), ("n", DataType::Int64)]);
    let kind =
        NodeKind::GroupAggregate { keys: vec![1], aggregates: vec![call(Count, None, DataType::Int64)] };
    let group = planner.add(kind, &[scan], fields);
    planner.plan.nodes[group.0].changelog = crate::plan::Changelog::Upsert;
    planner.sink(group, "out");
    let plan = planner.build();
    let mut dataflow = traced(&plan);
    let mut step = |text: &str, contexts: &[(u32, u8)]| {
        shown(&plan, &run(&mut dataflow, &plan, &[(scan, text, contexts)], false))
    };
    assert_eq!(step("1 a 1\n1 b 1\n1 a 1", &[(0, 1)]), ["out: b 1 | -", "out: a 2 | 1"]);
    assert_eq!(step("1 a 1", &[]), ["out: a 3 | -"]);
    assert_eq!(step("1 a 1", &[(0, 2)]), ["out: a 4 | 2+1"]);
    // Of a key the latest eight are kept.
    for number in 3..20 {
        step("1 a 1", &[(0, number)]);
    }
    assert_eq!(step("1 a 1", &[(0, 20)]), ["out: a 22 | 20+13+14+15+16+17+18+19"]);
}

#[test]
fn results_and_snapshots_know_nothing_of_traces() {
    let (plan, [left, right]) = join(JoinKind::Left);
    let steps: [&[Rows<'_>]; 2] =
        [&[(left, "1 a 1\n2 b 2", &[(0, 1), (1, 2)])], &[(right, "3 a 3", &[(0, 3)])]];
    let mut without = dataflow(&plan);
    let mut with = traced(&plan);
    for reads in steps {
        let bare: Vec<Rows<'_>> = reads.iter().map(|(scan, text, _)| (*scan, *text, &[][..])).collect();
        let (one, other) = (run(&mut without, &plan, &bare, false), run(&mut with, &plan, reads, false));
        assert_eq!((one.hash, output_lines(&plan, &one)), (other.hash, output_lines(&plan, &other)));
        assert!(one.outputs.iter().all(|sink| sink.rows.traces.is_none()) && one.traces.is_empty());
    }
    // A job that was traced goes on without, and one that was not goes on with: what waited has no context.
    let mut home = Home::new(0);
    home.traced = true;
    let options = DataflowOptions::default;
    let (mut dataflow, store) = home.begin(&plan, options());
    run(&mut dataflow, &plan, steps[0], false);
    home.traced = false;
    let (dataflow, store) = home.restore(&plan, options(), (dataflow, store));
    home.traced = true;
    let (mut dataflow, store) = home.restore(&plan, options(), (dataflow, store));
    let output = run(&mut dataflow, &plan, steps[1], false);
    assert_eq!(shown(&plan, &output), ["out: 1 a 1 - - - | -", "out: 1 a 1 3 a 3 | 3"]);
    drop(store);
}

#[test]
fn a_replay_makes_the_same_of_contexts() {
    let (plan, [left, right]) = join(JoinKind::Inner);
    let run_all = || {
        let mut dataflow = traced(&plan);
        run(&mut dataflow, &plan, &[(left, "1 a 1\n2 a 2", &[(0, 1), (1, 2)])], false);
        let output = run(&mut dataflow, &plan, &[(right, "3 a 3", &[])], false);
        (shown(&plan, &output), digest(&mut dataflow))
    };
    assert_eq!(run_all(), run_all());
    let mut other = Dataflow::new(
        plan.clone(),
        DataflowOptions { workers: 4, parallel_rows_min: 1 },
        &Store::volatile(0),
    );
    let other = other.as_mut().unwrap();
    other.trace().unwrap();
    run(other, &plan, &[(left, "1 a 1\n2 a 2", &[(0, 1), (1, 2)])], false);
    let output = run(other, &plan, &[(right, "3 a 3", &[])], false);
    assert_eq!(shown(&plan, &output), run_all().0);
}
