//! Results do not depend on step boundaries, on workers, or on snapshots in between.
//!
//! Random rows, out of order and late, go through a plan with every operator; the order of reads is
//! fixed, as a journal fixes it, and everything else varies.

use super::fixtures::*;
use super::windows::{HOP, TUMBLE};
use crate::batch::Batch;
use crate::engine::{Dataflow, DataflowOptions, ScanInput, StepInput};
use crate::plan::AggregateFunction::{
    ArrayAgg, Avg, Collect, Count, FirstValue, Lag, LastValue, ListAgg, Max, Min, Percentile,
    SquaredDeviations, Sum,
};
use crate::plan::{
    Aggregate, AggregateOptions, JoinKind, NodeId, NodeKind, OverFrame, OverOrder, Plan, WindowKind,
};
use arrow_array::RecordBatch;
use arrow_schema::DataType;
use arrow_select::concat::concat_batches;
use base::ErrorKind;
use std::collections::BTreeMap;
use std::sync::Arc;

const COLUMNS: &[(&str, DataType)] = &[
    ("t", TIMESTAMP),
    ("k", DataType::Utf8),
    ("v", DataType::Int32),
    ("d", DataType::Decimal128(10, 2)),
    ("f", DataType::Float64),
    ("b", DataType::Boolean),
];

/// A small generator, so that a failing seed is all there is to know.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

struct Scans {
    left: NodeId,
    right: NodeId,
    table: NodeId,
}

fn all_aggregates() -> Vec<Aggregate> {
    let decimal = DataType::Decimal128(38, 2);
    let distinct = |call: Aggregate| Aggregate { distinct: true, ..call };
    vec![
        call(Count, None, DataType::Int64),
        call(Sum, Some(2), DataType::Int32),
        call(Avg, Some(2), DataType::Int32),
        call(Sum, Some(3), decimal),
        call(Avg, Some(3), DataType::Decimal128(38, 6)),
        call(Sum, Some(4), DataType::Float64),
        call(Avg, Some(4), DataType::Float64),
        call(Min, Some(4), DataType::Float64),
        call(Max, Some(1), DataType::Utf8),
        call(Min, Some(3), DataType::Decimal128(10, 2)),
        call(FirstValue, Some(2), DataType::Int32),
        call(LastValue, Some(1), DataType::Utf8),
        call(Max, Some(0), TIMESTAMP),
        distinct(call(Count, Some(2), DataType::Int64)),
        distinct(call(Sum, Some(4), DataType::Float64)),
        call(SquaredDeviations, Some(4), DataType::Float64),
        Aggregate { options: separated("|"), ..call(ListAgg, Some(1), DataType::Utf8) },
        distinct(Aggregate { options: separated(","), ..call(ListAgg, Some(1), DataType::Utf8) }),
        call(ArrayAgg, Some(2), array_of(DataType::Int32)),
        distinct(call(ArrayAgg, Some(2), array_of(DataType::Int32))),
        call(Collect, Some(2), multiset_of(DataType::Int32)),
        Aggregate { options: part(0.4), ..call(Percentile, Some(4), DataType::Float64) },
        Aggregate { filter: Some(5), ..call(Sum, Some(2), DataType::Int32) },
    ]
}

fn separated(separator: &str) -> AggregateOptions {
    AggregateOptions { separator: separator.into(), ..AggregateOptions::default() }
}

fn part(part: f64) -> AggregateOptions {
    AggregateOptions { percentages: vec![part], ..AggregateOptions::default() }
}

/// What can stand OVER a window; LAG where nothing leaves it.
fn over_aggregates(frame: OverFrame) -> Vec<Aggregate> {
    let mut calls = all_aggregates();
    calls.retain(|call| !matches!(call.function, Avg | SquaredDeviations));
    if frame.preceding.is_none() {
        let options = AggregateOptions { offset: 2, default: Some(2), ..AggregateOptions::default() };
        calls.push(Aggregate { options, ..call(Lag, Some(2), DataType::Int32) });
    }
    calls
}

/// OVER rows that come, and over rows that timers let go.
fn overs(planner: &mut Planner, both: NodeId, mixed: NodeId) {
    let rows = |preceding| OverFrame { rows: true, preceding };
    let range = |preceding| OverFrame { rows: false, preceding };
    let time = || OverOrder::Time { column: 0 };
    let frames = [
        ("over_rows", time(), rows(Some(2))),
        ("over_range", time(), range(Some(15))),
        ("over_all_rows", time(), rows(None)),
        ("over_all_range", time(), range(None)),
        ("over_arrivals", OverOrder::Arrival, rows(Some(3))),
        ("over_all_arrivals", OverOrder::Arrival, range(None)),
    ];
    for (name, order, frame) in frames {
        let over = planner.over(both, &[1], order, frame, over_aggregates(frame));
        planner.sink(over, name);
    }
    let again = planner.over(mixed, &[1], time(), range(Some(20)), vec![call(Sum, Some(2), DataType::Int32)]);
    planner.sink(again, "over_mixed");
    let hops = planner.aggregate(again, 0, HOP, &[1], vec![call(Sum, Some(3), DataType::Int32)]);
    planner.sink(hops, "over_hop");
}

/// Two streams with watermarks, a table, and every operator, windows over windows included.
fn everything() -> (Arc<Plan>, Scans) {
    everything_with(Planner::watermark)
}

fn everything_with(mark: impl Fn(&mut Planner, NodeId, usize, i64) -> NodeId) -> (Arc<Plan>, Scans) {
    let mut planner = Planner::default();
    let left = planner.scan("left", COLUMNS, true);
    let right = planner.scan("right", COLUMNS, true);
    let table = planner.scan("table", &[("id", DataType::Utf8), ("n", DataType::Int32)], true);
    let left_marked = mark(&mut planner, left, 0, 4);
    let right_marked = mark(&mut planner, right, 0, 15);
    let kept = planner.filter(left_marked, greater(2, -40));
    planner.sink(kept, "kept");
    let joined = planner.join([kept, table], JoinKind::Left, (1, 0), None);
    planner.sink(joined, "joined");
    let sums = planner.aggregate(joined, 0, HOP, &[1, 7], vec![call(Count, None, DataType::Int64)]);
    planner.sink(sums, "joined_hop");
    let both = planner.union(&[kept, right_marked]);
    planner.sink(both, "both");
    let hops = planner.aggregate(both, 0, HOP, &[1], all_aggregates());
    planner.sink(hops, "hop");
    let tumbles = planner.aggregate(both, 0, TUMBLE, &[1], all_aggregates());
    planner.sink(tumbles, "tumble");
    // Windows over what windows emitted, and over that mixed with rows that never waited.
    let time = tumbles_time(&planner, tumbles);
    let again = planner.aggregate(tumbles, time, HOP, &[0], vec![call(Sum, Some(2), DataType::Int32)]);
    planner.sink(again, "again");
    let short = |planner: &mut Planner, input, time, sum| {
        planner.project(
            input,
            &[
                ("t", column(time, TIMESTAMP)),
                ("k", column(0, DataType::Utf8)),
                ("v", column(sum, DataType::Int32)),
            ],
        )
    };
    let emitted = short(&mut planner, tumbles, time, 2);
    let plain = planner.project(
        right_marked,
        &[("t", column(0, TIMESTAMP)), ("k", column(1, DataType::Utf8)), ("v", column(2, DataType::Int32))],
    );
    let mixed = planner.union(&[emitted, plain, emitted]);
    planner.sink(mixed, "mixed");
    let last = planner.aggregate(
        mixed,
        0,
        HOP,
        &[1],
        vec![
            call(Count, None, DataType::Int64),
            call(Sum, Some(2), DataType::Int32),
            call(FirstValue, Some(2), DataType::Int32),
        ],
    );
    planner.sink(last, "mixed_hop");
    rows_of_windows(&mut planner, [both, right_marked], mixed);
    overs(&mut planner, both, mixed);
    (planner.build(), Scans { left, right, table })
}

/// Sessions, cumulating windows, the Top-N and the join of windows; over rows, and over what timers emitted.
fn rows_of_windows(planner: &mut Planner, [both, right]: [NodeId; 2], mixed: NodeId) {
    let cumulate = WindowKind::Cumulate { size_ms: 30, step_ms: 10, offset_ms: 7 };
    let sums = planner.aggregate(both, 0, cumulate, &[1], all_aggregates());
    planner.sink(sums, "cumulate");
    let sessions = planner.session(both, 6, &[1]);
    planner.sink(sessions, "session");
    let count = vec![call(Count, None, DataType::Int64), call(FirstValue, Some(2), DataType::Int32)];
    let counted = planner.aggregate(sessions, 8, WindowKind::Attached, &[1, 6, 7], count);
    planner.sink(counted, "session_counts");
    let sums = planner.session_sums(both, 6, &[1], all_aggregates());
    planner.sink(sums, "session_sums");
    let calls = vec![
        call(Sum, Some(2), DataType::Int32),
        call(FirstValue, Some(2), DataType::Int32),
        call(LastValue, Some(2), DataType::Int32),
    ];
    let again = planner.session_sums(mixed, 9, &[1], calls);
    planner.sink(again, "mixed_session_sums");
    let again = planner.session(mixed, 9, &[1]);
    planner.sink(again, "mixed_session");
    let assigned = planner.assign(mixed, HOP);
    let top = planner.window_rank(assigned, 3, &[1], 2, (1, 2));
    planner.sink(top, "top");
    let other = planner.assign(right, HOP);
    let pairs = planner.window_join([assigned, other], JoinKind::Full, [3, 6], 1, None);
    planner.sink(pairs, "pairs");
    let falls = super::match_recognize::looks(planner, both, Some(0), 1, 2, Vec::new());
    planner.sink(falls, "falls");
    let again = super::match_recognize::looks(planner, mixed, Some(0), 1, 2, Vec::new());
    planner.sink(again, "mixed_falls");
}

fn tumbles_time(planner: &Planner, node: NodeId) -> usize {
    planner.schema(node).fields().len() - 1
}

/// A read of one row, or of none.
#[derive(Clone)]
struct Item {
    scan: NodeId,
    split: u32,
    rows: RecordBatch,
    finished: bool,
    idle: bool,
}

/// The order of all rows: the table first, then both streams mixed, then the ends.
fn journal(plan: &Plan, scans: &Scans, random: &mut Random, count: u64) -> (Vec<Item>, Vec<Item>) {
    let table_schema = plan.node(scans.table).schema.clone();
    let mut tables = Vec::new();
    for n in 0..6 {
        let text = format!("k{} {n}", random.below(4));
        tables.push(Item {
            scan: scans.table,
            split: 0,
            rows: rows(&table_schema, &text),
            finished: n == 5,
            idle: false,
        });
    }
    let schema = plan.node(scans.left).schema.clone();
    let mut items = Vec::new();
    let mut ended = [false; 3];
    for n in 0..count {
        let source = random.below(3) as usize;
        let (scan, split) = [(scans.left, 0), (scans.left, 1), (scans.right, 0)][source];
        if ended[source] {
            continue;
        }
        let time = (n * 2 + random.below(70)) as i64 - 30;
        let null_or =
            |random: &mut Random, text: String| if random.below(8) == 0 { "-".into() } else { text };
        let key = random.below(5);
        let value = random.below(100) as i64 - 50;
        let exponent = random.below(17);
        let cells = [
            null_or(random, format!("k{key}")),
            null_or(random, value.to_string()),
            null_or(random, (value * 3).to_string()),
            null_or(random, format!("{value}e{exponent}")),
            null_or(random, (key < 3).to_string()),
        ];
        let text = format!("{time} {}", cells.join(" "));
        ended[source] = random.below(3 * count) == 0;
        items.push(Item { scan, split, rows: rows(&schema, &text), finished: ended[source], idle: false });
    }
    for (source, (scan, split)) in
        [(scans.left, 0), (scans.left, 1), (scans.right, 0)].into_iter().enumerate()
    {
        if !ended[source] {
            items.push(Item {
                scan,
                split,
                rows: RecordBatch::new_empty(schema.clone()),
                finished: true,
                idle: false,
            });
        }
    }
    (tables, items)
}

/// The reads of one step: neighbours of one split become one read.
fn reads(items: &[Item]) -> Vec<ScanInput> {
    let groups = items.chunk_by(|left, right| {
        (left.scan, left.split, left.finished) == (right.scan, right.split, false)
            && !left.idle
            && !right.idle
    });
    groups
        .map(|group| {
            let parts: Vec<_> = group.iter().map(|item| &item.rows).collect();
            let rows = concat_batches(&parts[0].schema(), parts).unwrap();
            let finished = group.iter().any(|item| item.finished);
            ScanInput { idle: group[0].idle, ..read(group[0].scan, group[0].split, rows, finished) }
        })
        .collect()
}

#[derive(Debug, PartialEq, Eq, Clone, Default)]
struct Results {
    /// By table, in the order in which they came out.
    lines: BTreeMap<String, Vec<String>>,
    late_rows: u64,
    /// The rows themselves, in any order: those of several operators come step by step.
    late: std::collections::BTreeSet<String>,
}

/// How a run cuts the journal and what happens to it on the way.
struct Manner {
    workers: usize,
    rows_max: u64,
    restore: bool,
    /// What the state may take in memory.
    budget_bytes: usize,
}

/// As much as there is.
const UNLIMITED: usize = usize::MAX;

fn run(
    plan: &Arc<Plan>,
    scans: &Scans,
    (tables, items): &(Vec<Item>, Vec<Item>),
    manner: &Manner,
    random: &mut Random,
) -> (Results, Vec<u64>, u64) {
    let options = |workers| DataflowOptions { workers, parallel_rows_min: 1 };
    let mut home = Home::new(manner.budget_bytes);
    let (mut dataflow, mut store) = home.begin(plan, options(manner.workers));
    dataflow.set_splits(scans.left, 2);
    dataflow.keep_late_rows();
    let (mut results, mut hashes) = (Results::default(), Vec::new());
    for phase in [tables, items] {
        let mut rest = &phase[..];
        while !rest.is_empty() {
            let size = if manner.rows_max == 1 { 1 } else { 1 + random.below(manner.rows_max) as usize };
            let (now, later) = rest.split_at(size.min(rest.len()));
            rest = later;
            let output = dataflow.step(StepInput { clock_ms: 0, reads: reads(now) }).unwrap();
            results.late_rows += output.late_rows;
            assert_eq!(
                output.late.iter().map(|late| late.rows.num_rows() as u64).sum::<u64>(),
                output.late_rows
            );
            for late in &output.late {
                let ordinals = arrow_array::UInt64Array::from(vec![1; late.rows.num_rows()]);
                let rows = Batch {
                    rows: late.rows.clone(),
                    kinds: None,
                    ordinals,
                    ties: None,
                    watermarks: None,
                    traces: None,
                };
                for ((line, time), watermark) in lines(&rows).iter().zip(&late.times).zip(&late.watermarks) {
                    assert!(time <= watermark, "{line}: {time} is not late at {watermark}");
                    results.late.insert(format!("{:?} {} {line} {time} {watermark}", late.node, late.input));
                }
            }
            hashes.push(output.hash);
            for sink in &output.outputs {
                let NodeKind::Sink { table } = &plan.node(sink.sink).kind else { panic!("not a sink") };
                results.lines.entry(table.name.clone()).or_default().extend(lines(&sink.rows));
            }
            dataflow.relieve().unwrap();
            if manner.restore && random.below(3) == 0 {
                let before = digest(&mut dataflow);
                let workers = 1 + random.below(4) as usize;
                (dataflow, store) = home.restore(plan, options(workers), (dataflow, store));
                dataflow.keep_late_rows();
                assert_eq!(digest(&mut dataflow), before, "a restored dataflow has the same state");
            }
        }
    }
    (results, hashes, digest(&mut dataflow))
}

#[test]
fn results_depend_on_the_rows_and_their_order_alone() {
    for seed in 1..=8 {
        let (plan, scans) = everything();
        let journal = journal(&plan, &scans, &mut Random(seed), 150);
        let whole = Manner { workers: 1, rows_max: 1 << 40, restore: false, budget_bytes: UNLIMITED };
        let (expected, _, end) = run(&plan, &scans, &journal, &whole, &mut Random(seed));
        assert!(expected.late_rows > 0, "seed {seed} has no late rows");
        let windows = [
            "cumulate",
            "session",
            "session_counts",
            "session_sums",
            "mixed_session",
            "mixed_session_sums",
            "top",
            "pairs",
        ];
        let others = ["kept", "joined", "joined_hop", "both", "hop", "tumble", "again", "mixed", "mixed_hop"];
        let overs =
            ["over_rows", "over_range", "over_all_rows", "over_all_range", "over_arrivals", "over_hop"];
        for table in windows.into_iter().chain(others).chain(overs) {
            assert!(expected.lines.contains_key(table), "seed {seed} has no rows in {table}");
        }
        for rows_max in [1, 7, 60] {
            let mut hashes_of_one = None;
            for workers in [1, 2, 4] {
                let manner = Manner { workers, rows_max, restore: false, budget_bytes: UNLIMITED };
                let (results, hashes, bytes) = run(&plan, &scans, &journal, &manner, &mut Random(seed));
                assert_eq!(results, expected, "seed {seed}, {workers} workers, steps up to {rows_max} rows");
                assert_eq!(bytes, end, "seed {seed}, {workers} workers: the state at the end");
                // Equal cuts give equal hashes, whatever the number of workers.
                let first = hashes_of_one.get_or_insert_with(|| hashes.clone());
                assert_eq!(*first, hashes, "seed {seed}, {workers} workers, steps up to {rows_max} rows");
            }
            for budget_bytes in [UNLIMITED, 1 << 12] {
                let workers = 1 + (seed as usize) % 4;
                let manner = Manner { workers, rows_max, restore: true, budget_bytes };
                let (results, _, state) = run(&plan, &scans, &journal, &manner, &mut Random(seed));
                assert_eq!(results, expected, "seed {seed}, restored, steps up to {rows_max} rows");
                assert_eq!(state, end, "seed {seed}, restored");
            }
        }
    }
}

/// The same journal in which splits fall idle now and then.
fn with_idle_splits(scans: &Scans, items: Vec<Item>, random: &mut Random) -> Vec<Item> {
    let mut open = vec![(scans.left, 0), (scans.left, 1), (scans.right, 0)];
    let mut with = Vec::new();
    for item in items {
        if item.finished {
            open.retain(|split| *split != (item.scan, item.split));
        }
        let nothing = RecordBatch::new_empty(item.rows.schema());
        with.push(item);
        while !open.is_empty() && random.below(4) == 0 {
            let (scan, split) = open[random.below(open.len() as u64) as usize];
            with.push(Item { scan, split, rows: nothing.clone(), finished: false, idle: true });
        }
    }
    with
}

#[test]
fn which_splits_are_idle_is_part_of_the_input_and_nothing_else_decides() {
    for seed in 1..=2 {
        let (plan, scans) = everything_with(Planner::watermark_with_idleness);
        let random = &mut Random(seed);
        let (tables, items) = journal(&plan, &scans, random, 120);
        let waiting = (tables.clone(), items.clone());
        let journal = (tables, with_idle_splits(&scans, items, random));
        let whole = Manner { workers: 1, rows_max: 1 << 40, restore: false, budget_bytes: UNLIMITED };
        let (expected, _, end) = run(&plan, &scans, &journal, &whole, &mut Random(seed));
        let (others, _, _) = run(&plan, &scans, &waiting, &whole, &mut Random(seed));
        assert!(expected.late_rows > others.late_rows, "seed {seed}: nobody waits for what is idle");
        for (rows_max, workers, restore) in [(1, 1, false), (7, 2, false), (1, 3, true), (9, 1, true)] {
            let manner = Manner { workers, rows_max, restore, budget_bytes: UNLIMITED };
            let (results, _, state) = run(&plan, &scans, &journal, &manner, &mut Random(seed));
            assert_eq!(
                results, expected,
                "seed {seed}, {workers} workers, steps up to {rows_max} rows, {restore}"
            );
            assert_eq!(state, end, "seed {seed}, {workers} workers: the state at the end");
        }
    }
}

#[test]
fn the_state_is_the_same_at_any_number_of_workers() {
    let (plan, scans) = everything();
    let (tables, mut items) = journal(&plan, &scans, &mut Random(5), 40);
    items.truncate(25);
    let halfway = |workers| {
        let manner = Manner { workers, rows_max: 10, restore: false, budget_bytes: UNLIMITED };
        run(&plan, &scans, &(tables.clone(), items.clone()), &manner, &mut Random(5)).2
    };
    let one = halfway(1);
    for workers in [2, 3, 4, 128] {
        assert_eq!(halfway(workers), one, "{workers} workers");
    }
}

#[test]
fn a_snapshot_of_another_plan_is_refused() {
    let (mut plan, _) = everything();
    let home = Home::new(UNLIMITED);
    let (mut dataflow, store) = home.begin(&plan, DataflowOptions::default());
    let written = dataflow.snapshot().unwrap().write(&store, "state/one.snapshot".into());
    let manifest = written.take().unwrap().unwrap().manifest;
    Arc::make_mut(&mut plan).nodes.pop();
    let error = Dataflow::restore(plan, DataflowOptions::default(), &store, &manifest).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
