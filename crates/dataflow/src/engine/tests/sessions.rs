//! Aggregates of sessions against the aggregates of the rows that sessions give.

use super::fixtures::*;
use crate::engine::{DataflowOptions, StepInput};
use crate::plan::AggregateFunction::{
    Avg, Collect, Count, FirstValue, LastValue, Max, Min, Percentile, SquaredDeviations, Sum,
};
use crate::plan::{Aggregate, AggregateFunction, AggregateOptions, NodeId, NodeKind, Plan, WindowKind};
use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_schema::DataType;
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

const GAP_MS: i64 = 6;

/// A small generator, so that a failing seed is all there is to know.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// All that depend neither on how sums are put together nor on which of two merged sessions comes first.
fn aggregates() -> Vec<Aggregate> {
    let decimal = DataType::Decimal128(38, 2);
    let distinct = |call: Aggregate| Aggregate { distinct: true, ..call };
    let filtered = |call: Aggregate| Aggregate { filter: Some(5), ..call };
    let part = AggregateOptions { percentages: vec![0.4], ..AggregateOptions::default() };
    vec![
        call(Count, None, DataType::Int64),
        call(Count, Some(2), DataType::Int64),
        call(Sum, Some(2), DataType::Int32),
        call(Avg, Some(2), DataType::Int32),
        call(Sum, Some(3), decimal),
        call(Avg, Some(4), DataType::Float64),
        call(Min, Some(1), DataType::Utf8),
        call(Max, Some(4), DataType::Float64),
        call(Min, Some(3), DataType::Decimal128(10, 2)),
        call(Max, Some(0), TIMESTAMP),
        call(FirstValue, Some(2), DataType::Int32),
        call(LastValue, Some(2), DataType::Int32),
        call(LastValue, Some(0), TIMESTAMP),
        distinct(call(Count, Some(2), DataType::Int64)),
        distinct(call(Sum, Some(4), DataType::Float64)),
        call(Collect, Some(2), multiset_of(DataType::Int32)),
        Aggregate { options: part, ..call(Percentile, Some(4), DataType::Float64) },
        filtered(call(Count, None, DataType::Int64)),
        filtered(distinct(call(Count, Some(2), DataType::Int64))),
        filtered(call(FirstValue, Some(2), DataType::Int32)),
    ]
}

/// The sink `sums` has the new aggregate, `rows` that of the rows. Each row of the scan is there a second time, a little
/// later, so that neighbours have their place in the input in common.
fn plan(keys: &[usize], aggregates: &[Aggregate]) -> (Arc<Plan>, NodeId) {
    let mut planner = Planner::default();
    let scan = planner.scan("events", COLUMNS, true);
    let marked = planner.watermark(scan, 0, 12);
    let mut again: Vec<(&str, _)> = vec![("t", minus(0, -7))];
    again.extend((1..COLUMNS.len()).map(|at| (COLUMNS[at].0, column(at, COLUMNS[at].1.clone()))));
    let again = planner.project(marked, &again);
    let both = planner.union(&[marked, again]);
    let sums = planner.session_sums(both, GAP_MS, keys, aggregates.to_vec());
    let width = planner.schema(sums).fields().len();
    let mut places: Vec<usize> = (0..keys.len()).collect();
    places.extend([width - 3, width - 2]);
    places.extend(keys.len()..width - 3);
    places.push(width - 1);
    let fields: Vec<(String, DataType)> = places
        .iter()
        .map(|place| planner.schema(sums).field(*place).clone())
        .map(|field| (field.name().clone(), field.data_type().clone()))
        .collect();
    let picks: Vec<(&str, _)> = fields
        .iter()
        .zip(&places)
        .map(|((name, data_type), place)| (name.as_str(), column(*place, data_type.clone())))
        .collect();
    let sums = planner.project(sums, &picks);
    planner.sink(sums, "sums");
    let rows = planner.session(both, GAP_MS, keys);
    let bounds = COLUMNS.len();
    let keyed: Vec<usize> = keys.iter().copied().chain([bounds, bounds + 1]).collect();
    let grouped = planner.aggregate(rows, bounds + 2, WindowKind::Attached, &keyed, aggregates.to_vec());
    let width = planner.schema(grouped).fields().len();
    let places = (0..width - 3).chain([width - 1]);
    let picks: Vec<(&str, _)> = fields
        .iter()
        .zip(places)
        .map(|((name, data_type), place)| (name.as_str(), column(place, data_type.clone())))
        .collect();
    let grouped = planner.project(grouped, &picks);
    planner.sink(grouped, "rows");
    (planner.build(), scan)
}

/// A row each `pace_ms` or so.
fn random_rows(random: &mut Random, count: u64, pace_ms: u64) -> Vec<String> {
    let row = |n: u64| {
        let time = (n * pace_ms + random.below(45)) as i64 - 20;
        let mut null_or = |text: String| if random.below(6) == 0 { "-".into() } else { text };
        let (key, value, truth) = (null_or("k".into()), null_or("v".into()), null_or("b".into()));
        let number = random.below(40) as i64 - 20;
        let key = if key == "-" { key } else { format!("k{}", random.below(6)) };
        let (value, float) = match value.as_str() {
            "-" => (value.clone(), value),
            _ => (number.to_string(), format!("{}", number as f64 / 4.0)),
        };
        let truth = if truth == "-" { truth } else { (random.below(2) == 0).to_string() };
        format!("{time} {key} {value} {value} {float} {truth}")
    };
    (0..count).map(row).collect()
}

/// By table, in the order in which they came out, and how many were late at each node.
type Results = (BTreeMap<String, Vec<String>>, BTreeMap<usize, usize>);

struct Manner {
    workers: usize,
    rows_max: u64,
    restore: bool,
    budget_bytes: usize,
}

fn run(
    (plan, scan): &(Arc<Plan>, NodeId),
    texts: &[String],
    manner: &Manner,
    random: &mut Random,
) -> Results {
    let options = |workers| DataflowOptions { workers, parallel_rows_min: 1 };
    let mut home = Home::new(manner.budget_bytes);
    let (mut dataflow, mut store) = home.begin(plan, options(manner.workers));
    dataflow.keep_late_rows();
    let (mut lines_of, mut late) = (BTreeMap::new(), BTreeMap::new());
    let mut rest = texts;
    loop {
        let size = 1 + random.below(manner.rows_max) as usize;
        let (now, later) = rest.split_at(size.min(rest.len()));
        rest = later;
        let batch = rows(&plan.node(*scan).schema, &now.join("\n"));
        let reads = vec![read(*scan, 0, batch, rest.is_empty())];
        let output = dataflow.step(StepInput { clock_ms: 0, reads }).unwrap();
        for rows in &output.late {
            *late.entry(rows.node.0).or_default() += rows.rows.num_rows();
        }
        for sink in &output.outputs {
            let NodeKind::Sink { table } = &plan.node(sink.sink).kind else { panic!("not a sink") };
            lines_of.entry(table.name.clone()).or_insert_with(Vec::new).extend(lines(&sink.rows));
        }
        if rest.is_empty() {
            return (lines_of, late);
        }
        dataflow.relieve().unwrap();
        if manner.restore && random.below(3) == 0 {
            let workers = 1 + random.below(4) as usize;
            (dataflow, store) = home.restore(plan, options(workers), (dataflow, store));
            dataflow.keep_late_rows();
        }
    }
}

#[test]
fn sums_are_those_of_the_rows() {
    let mut late_rows = 0;
    for seed in 1..=12 {
        let keys: &[usize] = [&[1][..], &[], &[1, 5]][seed as usize % 3];
        let plan = plan(keys, &aggregates());
        let pace_ms = if keys.is_empty() { 13 } else { 3 };
        let texts = random_rows(&mut Random(seed), 150, pace_ms);
        let whole = Manner { workers: 1, rows_max: 1 << 40, restore: false, budget_bytes: usize::MAX };
        let expected = run(&plan, &texts, &whole, &mut Random(seed));
        let (lines, late) = &expected;
        assert!(lines["sums"].len() > 5, "seed {seed}: {lines:?}");
        assert_eq!(lines["sums"], lines["rows"], "seed {seed}");
        let late: Vec<usize> = late.values().copied().collect();
        assert!(matches!(late.as_slice(), [] | [_, _]) && late.first() == late.last(), "late rows {late:?}");
        late_rows += late.first().unwrap_or(&0);
        for (workers, rows_max, restore, budget_bytes) in [
            (1, 1, false, usize::MAX),
            (3, 1, true, usize::MAX),
            (2, 5, true, 1 << 12),
            (4, 20, true, 1 << 12),
            (1, 50, false, usize::MAX),
            (4, 1 << 40, false, usize::MAX),
        ] {
            let manner = Manner { workers, rows_max, restore, budget_bytes };
            let found = run(&plan, &texts, &manner, &mut Random(seed));
            assert_eq!(found, expected, "seed {seed}, {workers} workers, steps up to {rows_max} rows");
        }
    }
    assert!(late_rows > 10, "{late_rows} late rows");
}

/// Deviations are put together from parts, so they are the same but for rounding.
#[test]
fn deviations_of_merged_sessions_are_those_of_their_rows() {
    let calls = [call(SquaredDeviations, Some(4), DataType::Float64)];
    let (plan, scan) = plan(&[1], &calls);
    let texts = random_rows(&mut Random(99), 400, 3);
    let mut dataflow = dataflow(&plan);
    let batch = rows(&plan.node(scan).schema, &texts.join("\n"));
    let output = step(&mut dataflow, vec![read(scan, 0, batch, true)]).unwrap();
    let [sums, of_rows] = output.outputs.as_slice() else { panic!("two sinks") };
    let values = |rows: &crate::batch::Batch| {
        let column = rows.rows.column(3).clone();
        (0..column.len())
            .map(|row| {
                column
                    .is_valid(row)
                    .then(|| column.as_primitive::<arrow_array::types::Float64Type>().value(row))
            })
            .collect::<Vec<_>>()
    };
    let (sums, of_rows) = (values(&sums.rows), values(&of_rows.rows));
    assert!(sums.len() > 10 && sums.len() == of_rows.len());
    for (one, other) in sums.into_iter().zip(of_rows) {
        let is_near = match (one, other) {
            (Some(one), Some(other)) => (one - other).abs() <= 1e-9 * other.abs().max(1.0),
            (one, other) => one == other,
        };
        assert!(is_near, "{one:?} is not {other:?}");
    }
}

/// More sessions than fire together, at the end of the input and before it.
#[test]
fn many_sessions_fire_at_once() {
    let plan = plan(&[1], &[call(Count, None, DataType::Int64), call(Sum, Some(2), DataType::Int32)]);
    let row = |n: u64| format!("{} k{} {} - - -", n % 3, n * 7919 % 20_000, n % 11);
    let texts: Vec<String> =
        (0..20_000).map(row).chain(["500 k1 1 - - -".into(), "500 k2 1 - - -".into()]).collect();
    let whole = Manner { workers: 1, rows_max: 1 << 40, restore: false, budget_bytes: usize::MAX };
    let expected = run(&plan, &texts, &whole, &mut Random(1)).0;
    assert!(expected["sums"].len() > 20_000 && expected["sums"] == expected["rows"]);
    for workers in [1, 2] {
        let manner = Manner { workers, rows_max: 9_000, restore: true, budget_bytes: 1 << 20 };
        assert_eq!(run(&plan, &texts, &manner, &mut Random(7)).0, expected, "{workers} workers");
    }
}

/// They need not be those of the rows, but the cut into steps and the workers change nothing about them.
#[test]
fn what_depends_on_the_order_of_merges_depends_on_nothing_else() {
    let calls = [
        call(Sum, Some(4), DataType::Float64),
        call(AggregateFunction::ArrayAgg, Some(2), array_of(DataType::Int32)),
        Aggregate { distinct: true, ..call(AggregateFunction::ArrayAgg, Some(2), array_of(DataType::Int32)) },
    ];
    let plan = plan(&[1], &calls);
    let texts: Vec<String> = random_rows(&mut Random(5), 200, 3);
    let whole = Manner { workers: 1, rows_max: 1 << 40, restore: false, budget_bytes: usize::MAX };
    let expected = run(&plan, &texts, &whole, &mut Random(5));
    for (workers, rows_max) in [(1, 1), (3, 7), (2, 60)] {
        let manner = Manner { workers, rows_max, restore: true, budget_bytes: usize::MAX };
        assert_eq!(run(&plan, &texts, &manner, &mut Random(5)), expected, "{workers} workers");
    }
}
