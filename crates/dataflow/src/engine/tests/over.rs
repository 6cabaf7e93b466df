//! OVER against models that work each row out anew, and the rules for late rows as Flink has them.

use super::changelogs::*;
use super::fixtures::*;
use crate::batch::RowKind;
use crate::engine::StepInput;
use crate::plan::AggregateFunction::{Count, FirstValue, Lag, LastValue, ListAgg, Max, Min, Sum};
use crate::plan::Changelog::{self, Retract, Upsert};
use crate::plan::{Aggregate, AggregateOptions, NodeId, NodeKind, OverFrame, OverOrder, Plan, SortKey};
use arrow_schema::DataType;
use std::collections::BTreeMap;
use std::sync::Arc;

const COLUMNS: &[(&str, DataType)] =
    &[("id", DataType::Int32), ("k", DataType::Utf8), ("v", DataType::Int32), ("t", TIMESTAMP)];

const ALL_ROWS: OverFrame = OverFrame { rows: true, preceding: None };
const ALL_RANGE: OverFrame = OverFrame { rows: false, preceding: None };

fn rows_back(rows: i64) -> OverFrame {
    OverFrame { rows: true, preceding: Some(rows) }
}

fn range_back(ms: i64) -> OverFrame {
    OverFrame { rows: false, preceding: Some(ms) }
}

fn sum() -> Vec<Aggregate> {
    vec![call(Sum, Some(2), DataType::Int32)]
}

/// By event time, the watermark one second behind; in ms.
fn timed(frame: OverFrame, calls: Vec<Aggregate>) -> (Arc<Plan>, NodeId) {
    let mut planner = Planner::default();
    let scan = planner.scan("rows", COLUMNS, true);
    let marked = planner.watermark(scan, 3, 1000);
    let over = planner.over(marked, &[1], OverOrder::Time { column: 3 }, frame, calls);
    planner.sink(over, "out");
    (planner.build(), scan)
}

/// Rows as Flink was given them: id, key, value, seconds.
const ROWS: &str = "1 a 10 1000\n2 a 20 2000\n3 b 5 2000\n4 a 20 2000\n5 a 7 5000\n6 b 9 4000\n7 a - 3000\n8 a 1 9000\n9 b 2 12000";

/// Runs rows, cut into steps of one size; answers the rows by id (the id and the results), and how many were late.
fn run_timed(frame: OverFrame, calls: &[Aggregate], text: &str, size: usize) -> (Vec<String>, u64) {
    let (plan, scan) = timed(frame, calls.to_vec());
    let mut dataflow = dataflow(&plan);
    let all: Vec<&str> = text.lines().collect();
    let (mut found, mut late) = (Vec::new(), 0);
    let parts: Vec<&[&str]> = all.chunks(size).collect();
    for (number, part) in parts.iter().enumerate() {
        let rows = rows(&plan.node(scan).schema, &part.join("\n"));
        let output = step(&mut dataflow, vec![read(scan, 0, rows, number + 1 == parts.len())]).unwrap();
        late += output.late_rows;
        found.extend(output_lines(&plan, &output).into_iter().map(|line| {
            let cells: Vec<&str> = line.split(' ').skip(1).collect();
            format!("{} {}", cells[0], cells[4..].join(" "))
        }));
    }
    (found, late)
}

fn check_timed(frame: OverFrame, calls: &[Aggregate], expected: &[&str], late: u64) {
    for size in [1, 2, 4, 100] {
        assert_eq!(
            run_timed(frame, calls, ROWS, size),
            (expected.iter().map(|line| line.to_string()).collect(), late)
        );
    }
}

#[test]
fn a_range_shows_rows_of_one_time_each_other_and_drops_late_ones() {
    let calls = [sum(), vec![call(Count, None, DataType::Int64)]].concat();
    let expected = ["1 10 1", "2 50 3", "4 50 3", "3 5 1", "5 57 4", "8 58 5", "9 7 2"];
    check_timed(ALL_RANGE, &calls, &expected, 2);
}

#[test]
fn rows_stand_by_themselves() {
    check_timed(ALL_ROWS, &sum(), &["1 10", "2 30", "4 50", "3 5", "5 57", "8 58", "9 7"], 2);
}

#[test]
fn a_frame_with_a_begin_takes_rows_that_are_later_than_the_last_of_their_key() {
    let expected = ["1 10", "2 30", "4 40", "3 5", "7 20", "6 14", "5 7", "8 8", "9 11"];
    check_timed(rows_back(1), &sum(), &expected, 0);
    let expected = ["1 10", "2 50", "4 50", "3 5", "7 50", "6 14", "5 7", "8 1", "9 2"];
    check_timed(range_back(2000), &sum(), &expected, 0);
}

#[test]
fn ends_lags_and_lists_follow_the_frame() {
    let lag = |offset, default| {
        let options = AggregateOptions { offset, default, ..AggregateOptions::default() };
        Aggregate { options, ..call(Lag, Some(2), DataType::Int32) }
    };
    let calls = [
        lag(1, None),
        lag(2, Some(0)),
        call(FirstValue, Some(2), DataType::Int32),
        call(LastValue, Some(2), DataType::Int32),
    ];
    let expected = [
        "1 - 1 10 10",
        "2 20 10 10 20",
        "4 20 10 10 20",
        "3 - 3 5 5",
        "5 20 20 10 7",
        "8 7 20 10 1",
        "9 5 9 5 2",
    ];
    check_timed(ALL_RANGE, &calls, &expected, 2);
    let separator = AggregateOptions { separator: ",".into(), ..AggregateOptions::default() };
    let calls = [
        call(FirstValue, Some(2), DataType::Int32),
        call(Min, Some(2), DataType::Int32),
        call(Max, Some(2), DataType::Int32),
        Aggregate { distinct: true, ..call(Sum, Some(2), DataType::Int32) },
        Aggregate { options: separator, ..call(ListAgg, Some(1), DataType::Utf8) },
    ];
    let expected = [
        "1 10 10 10 10 a",
        "2 10 10 20 30 a,a",
        "4 20 20 20 20 a,a",
        "3 5 5 5 5 b",
        "7 20 20 20 20 a,a",
        "6 5 5 9 14 b,b",
        "5 7 7 7 7 a,a",
        "8 7 1 7 8 a,a",
        "9 9 2 9 11 b,b",
    ];
    check_timed(rows_back(1), &calls, &expected, 0);
}

#[test]
fn a_range_of_time_is_forgotten_when_it_is_long_gone() {
    let (plan, scan) = timed(range_back(2000), sum());
    let mut dataflow = dataflow(&plan);
    let empty = digest(&mut dataflow);
    let feed = |dataflow: &mut crate::engine::Dataflow, text: &str| {
        let rows = rows(&plan.node(scan).schema, text);
        let output = step(dataflow, vec![read(scan, 0, rows, false)]).unwrap();
        (output_lines(&plan, &output), output.late_rows)
    };
    feed(&mut dataflow, "1 a 10 1000\n2 b 1 3000");
    // 1000 + 2000 + 1000 + 1: what `a` keeps is not needed any more.
    assert_eq!(feed(&mut dataflow, "3 b 2 5001").0, ["out: 2 b 1 3000 1"]);
    // As in Flink a row that comes later still begins anew.
    assert_eq!(feed(&mut dataflow, "4 a 5 900").1, 0);
    assert_eq!(feed(&mut dataflow, "5 b 3 90000").0, ["out: 4 a 5 900 5", "out: 3 b 2 5001 2"]);
    assert_ne!(digest(&mut dataflow), empty);
}

/// The results of the rows of one key up to each of them, worked out anew.
fn model(rows: &[(i64, Option<i64>)], frame: OverFrame) -> Vec<String> {
    let result = |place: usize| {
        let end = match frame.rows {
            true => place + 1,
            false => rows.iter().rposition(|row| row.0 == rows[place].0).unwrap() + 1,
        };
        let begin = match (frame.preceding, frame.rows) {
            (None, _) => 0,
            (Some(back), true) => place.saturating_sub(back as usize),
            (Some(back), false) => rows.iter().position(|row| row.0 >= rows[place].0 - back).unwrap(),
        };
        let all = &rows[begin..end];
        let values: Vec<i64> = all.iter().filter_map(|row| row.1).collect();
        let or_null = |value: Option<i64>| value.map_or("-".into(), |value| value.to_string());
        let mut distinct = values.clone();
        distinct.sort_unstable();
        distinct.dedup();
        [
            all.len().to_string(),
            or_null((!values.is_empty()).then(|| values.iter().sum())),
            or_null(values.iter().min().copied()),
            or_null(values.iter().max().copied()),
            or_null(values.first().copied()),
            or_null(values.last().copied()),
            distinct.len().to_string(),
        ]
        .join(" ")
    };
    (0..rows.len()).map(result).collect()
}

fn modelled() -> Vec<Aggregate> {
    let of = |function| call(function, Some(2), DataType::Int32);
    vec![
        call(Count, None, DataType::Int64),
        of(Sum),
        of(Min),
        of(Max),
        of(FirstValue),
        of(LastValue),
        Aggregate { distinct: true, ..call(Count, Some(2), DataType::Int64) },
    ]
}

#[test]
fn frames_over_times_are_those_of_the_model() {
    for seed in 0..6 {
        let mut random = Random(seed);
        // No row is late: the watermark is one second behind.
        let rows: Vec<(usize, u64, Option<i64>, i64)> = (0..120)
            .map(|n| {
                let value = (random.below(5) > 0).then(|| random.below(9) as i64);
                (n, random.below(3), value, n as i64 * 40 + random.below(950) as i64 / 30 * 30)
            })
            .collect();
        let text: Vec<String> = rows
            .iter()
            .map(|(id, key, value, time)| {
                format!("{id} k{key} {} {time}", value.map_or("-".into(), |value| value.to_string()))
            })
            .collect();
        for frame in [ALL_ROWS, ALL_RANGE, rows_back(0), rows_back(3), range_back(0), range_back(200)] {
            let mut expected: BTreeMap<usize, String> = BTreeMap::new();
            for key in 0..3 {
                let mut own: Vec<_> = rows.iter().filter(|row| row.1 == key).collect();
                own.sort_by_key(|row| row.3);
                let values: Vec<(i64, Option<i64>)> = own.iter().map(|row| (row.3, row.2)).collect();
                expected.extend(own.iter().map(|row| row.0).zip(model(&values, frame)));
            }
            for size in [1, 7, 200] {
                let (found, late) = run_timed(frame, &modelled(), &text.join("\n"), size);
                let found: BTreeMap<usize, String> = found
                    .iter()
                    .map(|line| line.split_once(' ').unwrap())
                    .map(|(id, results)| (id.parse().unwrap(), results.to_string()))
                    .collect();
                assert_eq!(late, 0);
                assert_eq!(found, expected, "seed {seed}, {frame:?}, steps of {size}");
            }
        }
    }
}

fn sorted(frame: OverFrame, input: Changelog, output: Changelog) -> (Arc<Plan>, NodeId) {
    let mut planner = Planner::default();
    let scan = planner.scan("rows", COLUMNS, false);
    planner.plan.nodes[scan.0].changelog = input;
    let keys = vec![SortKey { column: 2, descending: false, nulls_first: true }];
    let over = planner.over(scan, &[1], OverOrder::Columns { keys, ties: vec![0] }, frame, modelled());
    planner.plan.nodes[over.0].changelog = output;
    planner.sink(over, "out");
    (planner.build(), scan)
}

#[test]
fn an_order_of_columns_follows_rows_that_come_and_go() {
    for (seed, frame, input, output) in [
        (1, ALL_ROWS, Retract, Retract),
        (2, ALL_RANGE, Retract, Upsert),
        (3, ALL_RANGE, Changelog::Insert, Retract),
        (4, ALL_ROWS, Changelog::Insert, Upsert),
    ] {
        let mut random = Random(seed);
        let mut id = 0;
        let mut row = |random: &mut Random| {
            id += 1;
            let value = match random.below(6) {
                0 => "-".to_string(),
                _ => random.below(7).to_string(),
            };
            format!("{id} k{} {value} 0", random.below(3))
        };
        let feed = match input {
            Changelog::Insert => inserting_feed(&mut random, 80, &mut row),
            _ => retracting_feed(&mut random, 110, &mut row),
        };
        let expected = |fed: usize| {
            let mut live: Vec<Vec<&str>> = Vec::new();
            for (kind, line) in &feed[..fed] {
                let cells: Vec<&str> = line.split(' ').collect();
                match kind {
                    RowKind::Insert | RowKind::UpdateAfter => live.push(cells),
                    _ => live.retain(|other| other[0] != cells[0]),
                }
            }
            let mut rows = BTreeMap::new();
            for key in ["k0", "k1", "k2"] {
                let number = |row: &Vec<&str>| row[2].parse::<i64>().ok();
                let mut own: Vec<_> = live.iter().filter(|row| row[1] == key).collect();
                own.sort_by_key(|row| (number(row), row[0].parse::<i64>().unwrap()));
                let values: Vec<(i64, Option<i64>)> =
                    own.iter().map(|row| (number(row).unwrap_or(-1), number(row))).collect();
                for (row, results) in own.iter().zip(model(&values, frame)) {
                    rows.insert(row[0].to_string(), format!("{} {results}", row.join(" ")));
                }
            }
            rows
        };
        let (plan, scan) = sorted(frame, input, output);
        check(&plan, scan, &feed, (output, 1), &expected);
    }
}

#[test]
fn processing_times_leave_at_once_and_ranges_when_the_clock_has_passed() {
    let mut planner = Planner::default();
    let scan = planner.scan("rows", COLUMNS, true);
    let columns = planner.schema(scan);
    let clocked = planner.add(NodeKind::ProcessingTime, &[scan], columns);
    let at_once = planner.over(scan, &[1], OverOrder::Arrival, rows_back(1), sum());
    planner.sink(at_once, "at_once");
    let range = planner.over(clocked, &[1], OverOrder::Time { column: 3 }, range_back(10), sum());
    planner.sink(range, "range");
    let plan = planner.build();
    let mut dataflow = dataflow(&plan);
    let mut at = |clock_ms: i64, text: &str, finished: bool| {
        let rows = rows(&plan.node(scan).schema, text);
        let reads = vec![read(scan, 0, rows, finished)];
        let output = dataflow.step(StepInput { clock_ms, reads }).unwrap();
        (output_lines(&plan, &output), dataflow.due_ms())
    };
    let (lines, due_ms) = at(100, "1 a 1 100\n2 a 2 100", false);
    assert_eq!(
        (lines.as_slice(), due_ms),
        (["at_once: 1 a 1 100 1", "at_once: 2 a 2 100 3"].map(String::from).as_slice(), Some(101))
    );
    let (lines, _) = at(101, "", false);
    assert_eq!(lines, ["range: 1 a 1 100 3", "range: 2 a 2 100 3"]);
    let (lines, _) = at(110, "3 a 4 110", false);
    assert_eq!(lines, ["at_once: 3 a 4 110 6"]);
    let (lines, _) = at(130, "4 a 8 130", true);
    assert_eq!(lines, ["at_once: 4 a 8 130 12", "range: 3 a 4 110 7", "range: 4 a 8 130 8"]);
}

#[test]
fn state_that_lives_for_a_time_is_forgotten_as_a_whole() {
    let mut planner = Planner::default();
    let scan = planner.scan("rows", COLUMNS, true);
    let calls = vec![call(Sum, Some(2), DataType::Int32), call(Max, Some(2), DataType::Int32)];
    let over = planner.over(scan, &[1], OverOrder::Arrival, rows_back(2), calls);
    planner.sink(over, "out");
    let plan = Arc::new(Plan { state_ttl_ms: Some(100), ..Plan::clone(&planner.build()) });
    let mut dataflow = dataflow(&plan);
    let mut at = |clock_ms: i64, text: &str| {
        let reads = vec![read(scan, 0, rows(&plan.node(scan).schema, text), false)];
        output_lines(&plan, &dataflow.step(StepInput { clock_ms, reads }).unwrap())
    };
    assert_eq!(at(0, "1 a 9 0\n2 b 1 0"), ["out: 1 a 9 0 9 9", "out: 2 b 1 0 1 1"]);
    // The first row of `a` lives on with its key.
    assert_eq!(at(60, "3 a 1 0"), ["out: 3 a 1 0 10 9"]);
    assert_eq!(at(120, "4 a 2 0\n5 b 7 0"), ["out: 4 a 2 0 12 9", "out: 5 b 7 0 7 7"]);
    assert_eq!(at(300, "6 a 3 0"), ["out: 6 a 3 0 3 3"]);
}
