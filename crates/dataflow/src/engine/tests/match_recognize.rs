//! MATCH_RECOGNIZE in a plan: what waits and what is late, and that neither steps nor workers show.

use super::fixtures::*;
use crate::engine::{DataflowOptions, StepInput};
use crate::plan::{
    AfterMatch, AggregateFunction, MatchExpression, MatchInput, NodeId, NodeKind, Plan, RowPattern,
    RowVariable, SortKey,
};
use arrow_array::BooleanArray;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_schema::{DataType, Field, Schema};
use std::sync::Arc;

const COLUMNS: &[(&str, DataType)] = &[("t", TIMESTAMP), ("k", DataType::Utf8), ("v", DataType::Int32)];

/// `$0 < $1`; NULL where one is.
fn less() -> Arc<dyn crate::expression::Expression> {
    closure("($0 < $1)", DataType::Boolean, |rows| {
        let (left, right) =
            (rows.column(0).as_primitive::<Int32Type>(), rows.column(1).as_primitive::<Int32Type>());
        let pairs = left.iter().zip(right.iter());
        Ok(Arc::new(pairs.map(|(left, right)| Some(left? < right?)).collect::<BooleanArray>()))
    })
}

fn last(variable: usize, offset: u32, column: usize) -> MatchInput {
    MatchInput::Row { variable: Some(variable), from_first: false, offset, column }
}

fn value(input: MatchInput, data_type: DataType) -> MatchExpression {
    MatchExpression { inputs: vec![input], expression: column(0, data_type) }
}

/// `up down+ low?`: a row over 0, then ever lower ones, down to one that is less than -20.
pub fn falls(time_column: Option<usize>, value_column: usize) -> (Arc<RowPattern>, Vec<MatchExpression>) {
    let variable = |name: &str, least, most, row_condition, condition| RowVariable {
        name: name.into(),
        least,
        most,
        greedy: false,
        row_condition,
        condition,
    };
    let lower = MatchExpression {
        inputs: vec![
            last(1, 0, value_column),
            MatchInput::Row { variable: None, from_first: false, offset: 1, column: value_column },
        ],
        expression: less(),
    };
    let low = MatchExpression {
        inputs: vec![last(2, 0, value_column), last(1, 0, value_column)],
        expression: less(),
    };
    let pattern = RowPattern {
        variables: vec![
            variable("up", 1, Some(1), Some(greater(value_column, 0)), None),
            variable("down", 1, None, None, Some(lower)),
            variable("low", 1, Some(1), None, Some(low)),
        ],
        after_match: AfterMatch::PastLastRow,
        within_ms: Some(25),
    };
    let sum = MatchInput::Aggregate {
        variable: Some(1),
        function: AggregateFunction::Sum,
        columns: vec![value_column],
        argument: Some(column(0, DataType::Int32)),
        options: crate::plan::AggregateOptions::default(),
        data_type: DataType::Int32,
    };
    let mut measures = vec![
        value(last(0, 0, value_column), DataType::Int32),
        value(sum, DataType::Int32),
        value(
            MatchInput::Row { variable: Some(1), from_first: true, offset: 1, column: value_column },
            DataType::Int32,
        ),
    ];
    if time_column.is_some() {
        measures.push(value(MatchInput::RowTime { data_type: TIMESTAMP }, TIMESTAMP));
    }
    (Arc::new(pattern), measures)
}

/// A pattern over rows with a time, a key and a value in these columns.
pub fn looks(
    planner: &mut Planner,
    input: NodeId,
    time_column: Option<usize>,
    key: usize,
    value_column: usize,
    order: Vec<SortKey>,
) -> NodeId {
    let (pattern, measures) = falls(time_column, value_column);
    let mut fields = vec![planner.schema(input).field(key).clone()];
    for (number, measure) in measures.iter().enumerate() {
        fields.push(Field::new(format!("m{number}"), measure.expression.data_type().clone(), true));
    }
    let kind = NodeKind::MatchRecognize { pattern, partition: vec![key], time_column, order, measures };
    planner.add(kind, &[input], Arc::new(Schema::new(fields)))
}

fn plan(delay_ms: i64, order: Vec<SortKey>) -> (Arc<Plan>, NodeId) {
    let mut planner = Planner::default();
    let scan = planner.scan("rows", COLUMNS, true);
    let marked = planner.watermark(scan, 0, delay_ms);
    let found = looks(&mut planner, marked, Some(0), 1, 2, order);
    planner.sink(found, "out");
    (planner.build(), scan)
}

fn on_clock(order: Vec<SortKey>) -> (Arc<Plan>, NodeId) {
    let mut planner = Planner::default();
    let scan = planner.scan("rows", COLUMNS, true);
    let schema = planner.schema(scan);
    let clocked = planner.add(NodeKind::ProcessingTime, &[scan], schema);
    let found = looks(&mut planner, clocked, None, 1, 2, order);
    planner.sink(found, "out");
    (planner.build(), scan)
}

struct Ran {
    lines: Vec<String>,
    late_rows: u64,
    digests: Vec<u64>,
}

/// Each row with the clock at which it comes.
fn run(
    (plan, scan): &(Arc<Plan>, NodeId),
    feed: &[(i64, String)],
    rows_max: usize,
    workers: usize,
    restores: bool,
) -> Ran {
    let options = |workers| DataflowOptions { workers, parallel_rows_min: 1 };
    let mut home = Home::new(if restores { 0 } else { usize::MAX });
    let (mut dataflow, mut store) = home.begin(plan, options(workers));
    let mut ran = Ran { lines: Vec::new(), late_rows: 0, digests: Vec::new() };
    // Rows of one clock may share a step.
    let portions: Vec<&[(i64, String)]> =
        feed.chunk_by(|one, other| one.0 == other.0).flat_map(|same| same.chunks(rows_max)).collect();
    for (index, portion) in portions.iter().enumerate() {
        let text: Vec<&str> = portion.iter().map(|row| row.1.as_str()).collect();
        let batch = rows(&plan.node(*scan).schema, &text.join("\n"));
        let reads = vec![read(*scan, 0, batch, index + 1 == portions.len())];
        let output = dataflow.step(StepInput { clock_ms: portion[0].0, reads }).unwrap();
        ran.lines.extend(output_lines(plan, &output));
        ran.late_rows += output.late_rows;
        dataflow.relieve().unwrap();
        if restores {
            let next = [1, 4, 2][index % 3];
            (dataflow, store) = home.restore(plan, options(next), (dataflow, store));
        }
    }
    ran.digests.push(digest(&mut dataflow));
    drop((dataflow, store));
    ran
}

fn feed(rows: &[&str]) -> Vec<(i64, String)> {
    rows.iter().map(|row| (0, (*row).to_string())).collect()
}

#[test]
fn rows_wait_for_the_watermark_and_are_taken_in_the_order_of_time() {
    let plan = plan(3, Vec::new());
    let rows = feed(&["1 a 5", "4 a 3", "2 a 4", "5 b 9", "3 a 1", "7 b 8", "12 b 2", "6 b 7", "30 c 1"]);
    let ran = run(&plan, &rows, 1, 1, false);
    // 5 4 1 of a in the order of time; of b the row of 6 came behind the watermark 9.
    assert_eq!(ran.lines, ["out: a 5 4 - 3", "out: b 9 8 - 12"]);
    assert_eq!(ran.late_rows, 1);
}

#[test]
fn rows_of_one_time_stand_in_the_order_of_further_columns() {
    let descending = SortKey { column: 2, descending: true, nulls_first: false };
    let rows = feed(&["1 a 1", "1 a 9", "1 a 4", "2 a 0"]);
    assert_eq!(run(&plan(3, vec![descending]), &rows, 2, 1, false).lines, ["out: a 9 4 - 1"]);
    assert_eq!(run(&plan(3, Vec::new()), &rows, 2, 1, false).lines, ["out: a 9 4 - 2"]);
}

#[test]
fn a_match_that_waited_leaves_with_the_watermark_that_lets_it_out() {
    // The first row can begin a match as long as rows fall; it is too old at 26, when nothing has come.
    let rows = feed(&["1 a 99", "2 a 50", "3 b 1", "40 b 1"]);
    let ran = run(&plan(0, Vec::new()), &rows, 4, 1, false);
    assert!(ran.lines.is_empty());
    assert_eq!(ran.late_rows, 0);
}

#[test]
fn neither_steps_nor_workers_nor_restores_show() {
    let keys = ["a", "b", "c", "-", "d"];
    let mut total = 0;
    for seed in 0..8u64 {
        let mut state = seed;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        let mut time = 0;
        let mut clock = 1_000;
        let rows: Vec<(i64, String)> = (0..160)
            .map(|_| {
                time += below(3) as i64;
                clock += [0, 0, 0, 1, 7][below(5) as usize];
                let key = keys[below(keys.len() as u64) as usize];
                let value =
                    if below(12) == 0 { "-".to_string() } else { (below(60) as i64 - 30).to_string() };
                (clock, format!("{} {key} {value}", time - below(9) as i64))
            })
            .collect();
        let order = || match seed % 3 {
            0 => vec![SortKey { column: 2, descending: true, nulls_first: false }],
            _ => Vec::new(),
        };
        for plan in [plan(4, order()), on_clock(order())] {
            let expected = run(&plan, &rows, 1, 1, false);
            total += expected.lines.len();
            for (rows_max, workers, restores) in [(160, 1, false), (7, 3, false), (23, 2, true), (3, 4, true)]
            {
                let ran = run(&plan, &rows, rows_max, workers, restores);
                let what = format!("seed {seed}, {rows_max} rows, {workers} workers");
                assert_eq!(ran.lines, expected.lines, "{what}");
                assert_eq!(ran.late_rows, expected.late_rows, "{what}");
                assert_eq!(ran.digests, expected.digests, "{what}");
            }
        }
    }
    assert!(total > 100, "only {total} matches");
}

#[test]
fn nothing_is_kept_that_no_match_needs() {
    let plan = plan(0, Vec::new());
    let idle = run(&plan, &feed(&["1 a -5", "2 a -3", "3 a -1", "50 b -1", "90 b -1"]), 1, 1, false).digests;
    let done = run(&plan, &feed(&["1 a 9", "2 a 3", "3 a 1", "50 b -1", "90 b -1"]), 1, 1, false).digests;
    assert_eq!(done, idle);
}

#[test]
fn a_window_goes_on_with_the_time_of_the_match() {
    let mut planner = Planner::default();
    let scan = planner.scan("rows", COLUMNS, true);
    let marked = planner.watermark(scan, 0, 0);
    let found = looks(&mut planner, marked, Some(0), 1, 2, Vec::new());
    let count = vec![call(AggregateFunction::Count, None, DataType::Int64)];
    let counted = planner.aggregate(found, 4, super::windows::TUMBLE, &[], count);
    planner.sink(counted, "out");
    let plan = (planner.build(), scan);
    let rows = feed(&["1 a 9", "2 a 3", "3 a 1", "4 b 5", "5 b 2", "9 b 1", "11 a 9", "12 a 7", "13 a 5"]);
    let ran = run(&plan, &rows, 1, 1, false);
    assert_eq!(ran.late_rows, 0);
    assert_eq!(ran.lines.len(), 2, "{:?}", ran.lines);
    assert_eq!(run(&plan, &rows, 9, 2, false).lines, ran.lines);
}
