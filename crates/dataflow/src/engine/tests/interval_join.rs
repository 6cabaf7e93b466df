//! Interval joins against a model that joins all rows, and in golden places.

use super::fixtures::*;
use crate::engine::{DataflowOptions, StepInput};
use crate::plan::{JoinKind, NodeId, NodeKind, Plan};
use arrow_schema::{DataType, Schema};
use std::sync::Arc;

const COLUMNS: &[(&str, DataType)] = &[("t", TIMESTAMP), ("k", DataType::Utf8), ("v", DataType::Int32)];

/// `right - 5 <= left <= right + 3`.
const LOWER_MS: i64 = -5;
const UPPER_MS: i64 = 3;

struct Joined {
    plan: Arc<Plan>,
    scans: [NodeId; 2],
}

fn joined(kind: JoinKind, delay_ms: i64, residual: bool) -> Joined {
    let mut planner = Planner::default();
    let scans = ["left", "right"].map(|name| planner.scan(name, COLUMNS, true));
    let sides = scans.map(|scan| planner.watermark(scan, 0, delay_ms));
    let fields: Vec<_> = sides.iter().flat_map(|side| planner.schema(*side).fields().to_vec()).collect();
    let kind = NodeKind::IntervalJoin {
        kind,
        times: [0, 0],
        lower_ms: LOWER_MS,
        upper_ms: UPPER_MS,
        left_keys: vec![1],
        right_keys: vec![1],
        residual: residual.then(|| greater(2, 5)),
    };
    let join = planner.add(kind, &sides, Arc::new(Schema::new(fields)));
    planner.sink(join, "out");
    Joined { plan: planner.build(), scans }
}

type Row = (usize, i64, &'static str, i32);

fn cells(row: &Row) -> String {
    format!("{} {} {}", row.1, row.2, row.3)
}

/// `order` is that of arrival; answers what left, in its order.
fn run(joined: &Joined, feed: &[Row], rows_max: usize, workers: usize, restores: bool) -> Vec<String> {
    let options = |workers| DataflowOptions { workers, parallel_rows_min: 1 };
    let mut home = Home::new(if restores { 0 } else { usize::MAX });
    let (mut dataflow, mut store) = home.begin(&joined.plan, options(workers));
    let mut lines = Vec::new();
    let portions: Vec<&[Row]> = feed.chunks(rows_max).collect();
    for (index, portion) in portions.iter().enumerate() {
        let mut reads = Vec::new();
        for run in portion.chunk_by(|one, other| one.0 == other.0) {
            let text: Vec<String> = run.iter().map(cells).collect();
            let scan = joined.scans[run[0].0];
            reads.push(read(scan, 0, rows(&joined.plan.node(scan).schema, &text.join("\n")), false));
        }
        if index + 1 == portions.len() {
            for scan in joined.scans {
                reads.push(read(scan, 0, rows(&joined.plan.node(scan).schema, ""), true));
            }
        }
        let output = dataflow.step(StepInput { clock_ms: 0, reads }).unwrap();
        lines.extend(output_lines(&joined.plan, &output));
        dataflow.relieve().unwrap();
        if restores {
            let next = [1, 4, 2][index % 3];
            (dataflow, store) = home.restore(&joined.plan, options(next), (dataflow, store));
        }
    }
    drop((dataflow, store));
    lines.into_iter().map(|line| line.trim_start_matches("out: ").to_string()).collect()
}

fn model(kind: JoinKind, feed: &[Row], residual: bool) -> Vec<String> {
    let side = |side: usize| feed.iter().filter(move |row| row.0 == side);
    let matches = |left: &Row, right: &Row| {
        let distance = left.1 - right.1;
        left.2 == right.2
            && left.2 != "-"
            && (LOWER_MS..=UPPER_MS).contains(&distance)
            && (!residual || left.3 > 5)
    };
    let mut lines = Vec::new();
    for left in side(0) {
        for right in side(1).filter(|right| matches(left, right)) {
            lines.push(format!("{} {}", cells(left), cells(right)));
        }
        if kind.pads(0) && !side(1).any(|right| matches(left, right)) {
            lines.push(format!("{} - - -", cells(left)));
        }
    }
    for right in side(1).filter(|right| kind.pads(1) && !side(0).any(|left| matches(left, right))) {
        lines.push(format!("- - - {}", cells(right)));
    }
    lines.sort();
    lines
}

fn random_feed(seed: u64, count: usize, disorder: u64) -> Vec<Row> {
    let mut state = seed;
    let mut below = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    (0..count)
        .map(|number| {
            let time = number as i64 / 2 - below(disorder) as i64;
            (below(2) as usize, time, ["a", "b", "c", "-"][below(4) as usize], below(10) as i32)
        })
        .collect()
}

#[test]
fn rows_that_come_in_time_are_joined_as_the_model_does() {
    use JoinKind::{Full, Inner, Left, Right};
    for (kind, residual) in [(Inner, false), (Left, true), (Right, false), (Full, true), (Full, false)] {
        let joined = joined(kind, 10, residual);
        let feed = random_feed(7, 300, 9);
        let expected = model(kind, &feed, residual);
        let first = run(&joined, &feed, 1, 1, false);
        let mut sorted = first.clone();
        sorted.sort();
        assert_eq!(sorted, expected, "{} residual={residual}", kind.name());
        assert!(expected.len() > 100, "{} pairs", expected.len());
        for (rows_max, workers, restores) in [(7, 2, false), (1000, 4, false), (11, 2, true), (1, 1, true)] {
            let again = run(&joined, &feed, rows_max, workers, restores);
            assert_eq!(again, first, "{} rows_max={rows_max} workers={workers}", kind.name());
        }
    }
}

#[test]
fn late_rows_give_the_same_however_the_rows_are_cut() {
    let joined = joined(JoinKind::Full, 2, false);
    let feed = random_feed(3, 300, 30);
    let first = run(&joined, &feed, 1, 1, false);
    for (rows_max, workers, restores) in [(5, 2, false), (1000, 1, false), (13, 2, true)] {
        assert_eq!(run(&joined, &feed, rows_max, workers, restores), first, "rows_max={rows_max}");
    }
}

#[test]
fn a_row_without_a_match_leaves_when_nothing_can_come_any_more() {
    let joined = joined(JoinKind::Left, 0, false);
    // After `16` on both sides the watermark is 16: `10 a` could match up to 15, `11 a` up to 16.
    let feed: &[Row] = &[
        (0, 10, "a", 1),
        (0, 11, "a", 2),
        (0, 12, "b", 3),
        (1, 14, "b", 4),
        (0, 16, "c", 5),
        (1, 16, "c", 6),
    ];
    let expected = ["12 b 3 14 b 4", "16 c 5 16 c 6", "10 a 1 - - -", "11 a 2 - - -"];
    assert_eq!(run(&joined, feed, 1, 1, false), expected);
    assert_eq!(run(&joined, feed, 10, 2, false), expected);
}
