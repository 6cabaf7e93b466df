//! Temporal joins against a model that looks through all versions, and in golden places; and the filter of versions.

use super::fixtures::*;
use crate::batch::RowKind;
use crate::engine::{DataflowOptions, StepInput};
use crate::plan::{JoinKind, Keep, NodeId, NodeKind, Plan};
use arrow_array::Int8Array;
use arrow_schema::{DataType, Schema};
use std::sync::Arc;

const COLUMNS: &[(&str, DataType)] = &[("t", TIMESTAMP), ("k", DataType::Utf8), ("v", DataType::Int32)];

struct Joined {
    plan: Arc<Plan>,
    scans: [NodeId; 2],
}

/// With `filtered` the versions go through the filter of the latest first.
fn joined(kind: JoinKind, delay_ms: i64, residual: bool, filtered: bool) -> Joined {
    let mut planner = Planner::default();
    let scans = ["left", "right"].map(|name| planner.scan(name, COLUMNS, true));
    let [left, mut right] = scans.map(|scan| planner.watermark(scan, 0, delay_ms));
    if filtered {
        let schema = planner.schema(right);
        right = planner.add(
            NodeKind::Deduplicate { keys: vec![1], keep: Keep::NotOlderThan(0) },
            &[right],
            schema,
        );
    }
    let fields: Vec<_> =
        [left, right].iter().flat_map(|side| planner.schema(*side).fields().to_vec()).collect();
    let kind = NodeKind::TemporalJoin {
        kind,
        times: [0, 0],
        left_keys: vec![1],
        right_keys: vec![1],
        residual: residual.then(|| greater(2, 5)),
    };
    let join = planner.add(kind, &[left, right], Arc::new(Schema::new(fields)));
    planner.sink(join, "out");
    Joined { plan: planner.build(), scans }
}

#[derive(Clone, Copy)]
struct Row {
    side: usize,
    kind: RowKind,
    time: i64,
    key: &'static str,
    value: i32,
}

fn left(time: i64, key: &'static str, value: i32) -> Row {
    Row { side: 0, kind: RowKind::Insert, time, key, value }
}

fn right(kind: RowKind, time: i64, key: &'static str, value: i32) -> Row {
    Row { side: 1, kind, time, key, value }
}

fn cells(row: &Row) -> String {
    format!("{} {} {}", row.time, row.key, row.value)
}

/// `feed` is in the order of arrival; answers what left, in its order.
fn run(joined: &Joined, feed: &[Row], rows_max: usize, workers: usize, restores: bool) -> Vec<String> {
    let options = |workers| DataflowOptions { workers, parallel_rows_min: 1 };
    let mut home = Home::new(if restores { 0 } else { usize::MAX });
    let (mut dataflow, mut store) = home.begin(&joined.plan, options(workers));
    let mut lines = Vec::new();
    let portions: Vec<&[Row]> = feed.chunks(rows_max).collect();
    for (index, portion) in portions.iter().enumerate() {
        let mut reads = Vec::new();
        for run in portion.chunk_by(|one, other| one.side == other.side) {
            let text: Vec<String> = run.iter().map(cells).collect();
            let scan = joined.scans[run[0].side];
            let mut read = read(scan, 0, rows(&joined.plan.node(scan).schema, &text.join("\n")), false);
            let kinds = run.iter().map(|row| row.kind as i8);
            read.kinds = (run[0].side == 1).then(|| Int8Array::from_iter_values(kinds));
            reads.push(read);
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
    let mut lines = Vec::new();
    for row in feed.iter().filter(|row| row.side == 0) {
        let versions = feed.iter().filter(|version| {
            version.side == 1
                && version.kind != RowKind::UpdateBefore
                && version.key == row.key
                && row.key != "-"
                && version.time <= row.time
        });
        // Of equal times the last to come is the maximum.
        let valid = versions
            .max_by_key(|version| version.time)
            .filter(|version| version.kind != RowKind::Delete && (!residual || row.value > 5));
        match valid {
            Some(version) => lines.push(format!("{} {}", cells(row), cells(version))),
            None if kind == JoinKind::Left => lines.push(format!("{} - - -", cells(row))),
            None => {}
        }
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
            let kinds = [RowKind::Insert, RowKind::UpdateAfter, RowKind::UpdateBefore, RowKind::Delete];
            let side = below(2) as usize;
            let kind = if side == 0 { RowKind::Insert } else { kinds[below(4) as usize] };
            Row { side, kind, time, key: ["a", "b", "c", "-"][below(4) as usize], value: below(10) as i32 }
        })
        .collect()
}

#[test]
fn rows_that_come_in_time_meet_the_versions_that_the_model_finds() {
    for (kind, residual) in [(JoinKind::Inner, false), (JoinKind::Left, true), (JoinKind::Left, false)] {
        let joined = joined(kind, 10, residual, false);
        let feed = random_feed(7, 400, 9);
        let expected = model(kind, &feed, residual);
        let first = run(&joined, &feed, 1, 1, false);
        let mut sorted = first.clone();
        sorted.sort();
        assert_eq!(sorted, expected, "{} residual={residual}", kind.name());
        assert!(expected.iter().filter(|line| !line.ends_with("- - -")).count() > 25, "{expected:?}");
        for (rows_max, workers, restores) in [(7, 2, false), (1000, 4, false), (11, 2, true), (1, 1, true)] {
            let again = run(&joined, &feed, rows_max, workers, restores);
            assert_eq!(again, first, "{} rows_max={rows_max} workers={workers}", kind.name());
        }
    }
}

#[test]
fn late_rows_give_the_same_however_the_rows_are_cut() {
    for filtered in [false, true] {
        let joined = joined(JoinKind::Left, 2, false, filtered);
        let mut feed = random_feed(3, 300, 30);
        if filtered {
            feed.iter_mut().for_each(|row| row.kind = RowKind::Insert);
        }
        let first = run(&joined, &feed, 1, 1, false);
        for (rows_max, workers, restores) in [(5, 2, false), (1000, 1, false), (13, 2, true)] {
            assert_eq!(run(&joined, &feed, rows_max, workers, restores), first, "rows_max={rows_max}");
        }
    }
}

#[test]
fn a_row_waits_for_both_watermarks_and_a_deletion_ends_a_version() {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let joined = joined(JoinKind::Left, 0, false, false);
    let feed = [
        right(Insert, 10, "a", 1),
        left(9, "a", 1),
        left(12, "a", 2),
        // The version that a later one replaces is still that of 12.
        right(UpdateBefore, 10, "a", 1),
        right(UpdateAfter, 13, "a", 2),
        left(13, "a", 3),
        right(Delete, 15, "a", 2),
        left(15, "a", 4),
        left(16, "b", 5),
        right(Insert, 17, "a", 3),
    ];
    let expected = ["9 a 1 - - -", "12 a 2 10 a 1", "13 a 3 13 a 2", "15 a 4 - - -", "16 b 5 - - -"];
    assert_eq!(run(&joined, &feed, 1, 1, false), expected);
    assert_eq!(run(&joined, &feed, 100, 2, false), expected);
}

#[test]
fn versions_that_nobody_can_want_are_forgotten() {
    let joined = joined(JoinKind::Inner, 0, false, false);
    let options = DataflowOptions { workers: 1, parallel_rows_min: 1 };
    let mut digests = Vec::new();
    for first in [700, 997] {
        let mut dataflow = crate::engine::Dataflow::new(
            joined.plan.clone(),
            options.clone(),
            &state::Store::volatile(usize::MAX),
        )
        .unwrap();
        let schema = joined.plan.node(joined.scans[1]).schema.clone();
        for time in 700..1000 {
            let other = read(joined.scans[0], 0, rows(&schema, &format!("{time} x 1")), false);
            let mut version = read(joined.scans[1], 0, rows(&schema, &format!("{time} a 1")), false);
            let kind = if time < first { RowKind::UpdateBefore } else { RowKind::Insert };
            version.kinds = Some(Int8Array::from(vec![kind as i8]));
            dataflow.step(StepInput { clock_ms: 0, reads: vec![other, version] }).unwrap();
        }
        digests.push(digest(&mut dataflow));
    }
    assert_eq!(digests[0], digests[1], "more versions leave no more state");
}

#[test]
fn a_key_that_was_deleted_leaves_nothing_behind() {
    use RowKind::{Delete, Insert};
    let digest_of = |feed: &[Row]| {
        let joined = joined(JoinKind::Inner, 0, false, false);
        let options = DataflowOptions { workers: 1, parallel_rows_min: 1 };
        let store = state::Store::volatile(usize::MAX);
        let mut dataflow = crate::engine::Dataflow::new(joined.plan.clone(), options, &store).unwrap();
        for row in feed {
            let scan = joined.scans[row.side];
            let mut read = read(scan, 0, rows(&joined.plan.node(scan).schema, &cells(row)), false);
            read.kinds = (row.side == 1).then(|| Int8Array::from(vec![row.kind as i8]));
            dataflow.step(StepInput { clock_ms: 0, reads: vec![read] }).unwrap();
        }
        digest(&mut dataflow)
    };
    let around = |versions: [Row; 3]| {
        let [one, two, three] = versions;
        digest_of(&[one, two, three, left(40, "y", 1), right(Insert, 40, "x", 2), left(50, "y", 1)])
    };
    let nothing = around([1, 2, 3].map(|value| right(RowKind::UpdateBefore, 30, "a", value)));
    let versions = [right(Insert, 10, "a", 1), right(Insert, 20, "a", 2), right(Delete, 30, "a", 2)];
    assert_eq!(around(versions), nothing);
    let kept = [right(Insert, 10, "a", 1), right(Insert, 20, "a", 2), right(Insert, 30, "a", 2)];
    assert_ne!(around(kept), nothing);
}

#[test]
fn the_first_row_of_a_key_passes_and_no_other() {
    let mut planner = Planner::default();
    let scan = planner.scan("in", COLUMNS, true);
    let schema = planner.schema(scan);
    let first = planner.add(NodeKind::Deduplicate { keys: vec![1], keep: Keep::First }, &[scan], schema);
    planner.sink(first, "out");
    let plan = planner.build();
    let text = ["5 a 1", "3 b 2", "1 a 3", "4 - 4", "9 b 5", "2 - 6", "7 c 7"];
    let expected = ["out: 5 a 1", "out: 3 b 2", "out: 4 - 4", "out: 7 c 7"];
    for (rows_max, workers, restores) in [(1, 1, false), (3, 2, true), (10, 4, false)] {
        let options = |workers| DataflowOptions { workers, parallel_rows_min: 1 };
        let mut home = Home::new(if restores { 0 } else { usize::MAX });
        let (mut dataflow, mut store) = home.begin(&plan, options(workers));
        let mut found = Vec::new();
        for portion in text.chunks(rows_max) {
            let read = read(scan, 0, rows(&plan.node(scan).schema, &portion.join("\n")), false);
            found.extend(output_lines(&plan, &step(&mut dataflow, vec![read]).unwrap()));
            if restores {
                (dataflow, store) = home.restore(&plan, options(3), (dataflow, store));
            }
        }
        drop((dataflow, store));
        assert_eq!(found, expected, "rows_max={rows_max}");
    }
}
