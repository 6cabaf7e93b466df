//! Normalizing an upsert changelog, and materializing one under another key, against models.

use super::changelogs::*;
use super::fixtures::*;
use crate::batch::RowKind;
use crate::engine::StepInput;
use crate::plan::{Changelog, NodeId, NodeKind, Plan};
use arrow_schema::DataType;
use std::collections::BTreeMap;
use std::sync::Arc;

const COLUMNS: &[(&str, DataType)] = &[
    ("k", DataType::Utf8),
    ("j", DataType::Int32),
    ("v", DataType::Utf8),
    ("f", DataType::Float64),
    ("d", DataType::Decimal128(10, 2)),
];

fn plan_of(kind: NodeKind, input: Changelog, output: Changelog) -> (Arc<Plan>, NodeId) {
    let mut planner = Planner::default();
    let scan = planner.scan("rows", COLUMNS, false);
    planner.plan.nodes[scan.0].changelog = input;
    let schema = planner.schema(scan);
    let node = planner.add(kind, &[scan], schema);
    planner.plan.nodes[node.0].changelog = output;
    planner.sink(node, "out");
    (planner.build(), scan)
}

fn random_row(random: &mut Random) -> String {
    let pick = |random: &mut Random, choices: &[&str]| {
        choices[random.below(choices.len() as u64) as usize].to_string()
    };
    let cells = [
        pick(random, &["a", "b", "c", "-"]),
        pick(random, &["1", "2", "-"]),
        pick(random, &["x", "a longer one, but of one cell".replace(' ', "_").as_str(), "-"]),
        pick(random, &["0.5", "-0.0", "0.0", "NaN"]),
        pick(random, &["-150", "-"]),
    ];
    cells.join(" ")
}

fn key_of(line: &str, cells: usize) -> String {
    line.split(' ').take(cells).collect::<Vec<_>>().join(" ")
}

/// Updates, and deletions that hold the key and nothing more, of keys that are there and of others.
fn upserting_feed(random: &mut Random, count: usize) -> Vec<Change> {
    let change = |random: &mut Random| {
        let line = random_row(random);
        match random.below(6) {
            0 => (RowKind::Delete, format!("{} - - -", key_of(&line, 2))),
            1 => (RowKind::Delete, line),
            2 | 3 => (RowKind::Insert, line),
            _ => (RowKind::UpdateAfter, line),
        }
    };
    (0..count).map(|_| change(random)).collect()
}

#[test]
fn an_upsert_changelog_is_made_complete() {
    for seed in 0..3 {
        let feed = upserting_feed(&mut Random(seed), 200);
        let mut history = vec![BTreeMap::new()];
        for (kind, line) in &feed {
            let mut rows: BTreeMap<String, String> = history.last().unwrap().clone();
            match kind {
                RowKind::Delete => rows.remove(&key_of(line, 2)),
                _ => rows.insert(key_of(line, 2), line.clone()),
            };
            history.push(rows);
        }
        for output in [Changelog::Retract, Changelog::Upsert] {
            let kind = NodeKind::ChangelogNormalize { keys: vec![0, 1] };
            let (plan, scan) = plan_of(kind, Changelog::Upsert, output);
            check(&plan, scan, &feed, (output, 2), &|fed| history[fed].clone());
        }
    }
}

#[test]
fn a_sink_sees_the_latest_row_that_is_left_of_its_key() {
    for seed in 0..3 {
        let feed = retracting_feed(&mut Random(seed), 200, &mut random_row);
        let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut history = vec![BTreeMap::new()];
        for (kind, line) in &feed {
            let list = lists.entry(key_of(line, 1)).or_default();
            match kind {
                RowKind::Insert | RowKind::UpdateAfter => list.push(line.clone()),
                _ => {
                    let place = list.iter().position(|row| row == line).expect("the feed is valid");
                    list.remove(place);
                }
            }
            let shown = lists.iter().filter_map(|(key, list)| Some((key.clone(), list.last()?.clone())));
            history.push(shown.collect());
        }
        for output in [Changelog::Upsert, Changelog::Retract] {
            let kind = NodeKind::UpsertMaterialize { keys: vec![0] };
            let (plan, scan) = plan_of(kind, Changelog::Retract, output);
            check(&plan, scan, &feed, (output, 1), &|fed| history[fed].clone());
        }
    }
}

/// Each step: what comes in and what goes out.
type GoldenStep<'a> = (&'a [(RowKind, &'a str)], &'a [&'a str]);

fn golden(kind: NodeKind, input: Changelog, output: Changelog, steps: &[GoldenStep]) {
    let steps: Vec<_> = steps.iter().map(|(changes, expected)| (0, *changes, *expected)).collect();
    golden_by_clock(kind, (input, output), None, &steps);
}

/// The clock before that.
type ClockStep<'a> = (i64, &'a [(RowKind, &'a str)], &'a [&'a str]);

/// The same with a clock and a time to live.
fn golden_by_clock(
    kind: NodeKind,
    (input, output): (Changelog, Changelog),
    state_ttl_ms: Option<u64>,
    steps: &[ClockStep],
) {
    let (plan, scan) = plan_of(kind, input, output);
    let plan = Arc::new(Plan { state_ttl_ms, ..Plan::clone(&plan) });
    let mut dataflow = dataflow(&plan);
    for (clock_ms, changes, expected) in steps {
        let changes: Vec<Change> = changes.iter().map(|(kind, row)| (*kind, row.to_string())).collect();
        let reads = vec![changes_read(&plan, scan, &changes)];
        let output = dataflow.step(StepInput { clock_ms: *clock_ms, reads }).unwrap();
        let shown = output.outputs.iter().flat_map(|sink| changes_of(&sink.rows));
        let shown: Vec<_> = shown.map(|(kind, line)| format!("{} {line}", kind.short())).collect();
        assert_eq!(shown, *expected, "at {clock_ms} ms");
    }
}

#[test]
fn a_deletion_by_key_takes_away_the_row_that_is_kept() {
    use RowKind::{Delete, Insert, UpdateAfter};
    golden(
        NodeKind::ChangelogNormalize { keys: vec![0] },
        Changelog::Upsert,
        Changelog::Retract,
        &[
            (&[(UpdateAfter, "a 1 x 0.5 1"), (Insert, "b 1 y 0.5 1")], &["+I a 1 x 0.5 1", "+I b 1 y 0.5 1"]),
            (&[(Delete, "a - - - -"), (Delete, "z - - - -")], &["-D a 1 x 0.5 1"]),
            (&[(UpdateAfter, "b 1 y 0.5 1"), (Insert, "c 1 z 0.5 1"), (Delete, "c - - - -")], &[]),
            (
                &[(Insert, "a 3 y 0.5 1"), (UpdateAfter, "b 2 y 0.5 1")],
                &["+I a 3 y 0.5 1", "-U b 1 y 0.5 1", "+U b 2 y 0.5 1"],
            ),
        ],
    );
}

#[test]
fn repeated_changes_of_a_changelog_change_nothing() {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    golden(
        NodeKind::ChangelogNormalize { keys: vec![0] },
        Changelog::Retract,
        Changelog::Retract,
        &[
            (&[(Insert, "a 1 x 0.5 1"), (Insert, "a 1 x 0.5 1")], &["+I a 1 x 0.5 1"]),
            (
                &[(UpdateBefore, "a 1 x 0.5 1"), (UpdateAfter, "a 2 x 0.5 1")],
                &["-U a 1 x 0.5 1", "+U a 2 x 0.5 1"],
            ),
            (&[(UpdateBefore, "a 1 x 0.5 1")], &[]),
            (&[(UpdateAfter, "a 2 x 0.5 1")], &[]),
            (&[(Delete, "a 2 x 0.5 1"), (Delete, "a 2 x 0.5 1")], &["-D a 2 x 0.5 1"]),
        ],
    );
}

#[test]
fn of_equal_rows_the_earliest_goes_and_an_unknown_one_is_dropped() {
    use RowKind::{Delete, Insert};
    golden(
        NodeKind::UpsertMaterialize { keys: vec![0] },
        Changelog::Retract,
        Changelog::Upsert,
        &[
            (&[(Insert, "a 1 x 0.5 1"), (Insert, "a 2 y 0.5 1")], &["+I a 2 y 0.5 1"]),
            (&[(Insert, "a 1 x 0.5 1")], &["+U a 1 x 0.5 1"]),
            // The earliest of the two goes: the latest is shown still.
            (&[(Delete, "a 1 x 0.5 1")], &[]),
            (&[(Delete, "a 7 x 0.5 1"), (Delete, "b 7 x 0.5 1")], &[]),
            (&[(Delete, "a 1 x 0.5 1")], &["+U a 2 y 0.5 1"]),
            (&[(Delete, "a 2 y 0.5 1")], &["-D a 2 y 0.5 1"]),
            (&[(Insert, "a 4 x 0.5 1")], &["+I a 4 x 0.5 1"]),
        ],
    );
}

#[test]
fn forgotten_rows_were_never_there_and_those_that_stay_are_emitted_to_live_on() {
    use RowKind::{Delete, Insert, UpdateAfter};
    golden_by_clock(
        NodeKind::ChangelogNormalize { keys: vec![0] },
        (Changelog::Upsert, Changelog::Retract),
        Some(100),
        &[
            (0, &[(UpdateAfter, "a 1 x 0.5 1")], &["+I a 1 x 0.5 1"]),
            (60, &[(UpdateAfter, "a 1 x 0.5 1")], &["-U a 1 x 0.5 1", "+U a 1 x 0.5 1"]),
            (159, &[(UpdateAfter, "a 2 x 0.5 1")], &["-U a 1 x 0.5 1", "+U a 2 x 0.5 1"]),
            (259, &[(Delete, "a - - - -")], &[]),
            (260, &[(UpdateAfter, "a 3 x 0.5 1")], &["+I a 3 x 0.5 1"]),
        ],
    );
    golden_by_clock(
        NodeKind::UpsertMaterialize { keys: vec![0] },
        (Changelog::Retract, Changelog::Upsert),
        Some(100),
        &[
            (0, &[(Insert, "a 1 x 0.5 1")], &["+I a 1 x 0.5 1"]),
            (60, &[(Insert, "a 2 x 0.5 1")], &["+U a 2 x 0.5 1"]),
            // The first row is forgotten by now.
            (110, &[(Delete, "a 1 x 0.5 1")], &[]),
            (115, &[(Insert, "a 2 x 0.5 1")], &["+U a 2 x 0.5 1"]),
            (116, &[(Delete, "a 2 x 0.5 1")], &[]),
            (120, &[(Delete, "a 2 x 0.5 1")], &["-D a 2 x 0.5 1"]),
        ],
    );
}
