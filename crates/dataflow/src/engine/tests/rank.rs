//! Top-N against a model that sorts all rows anew, and against golden changes.

use super::changelogs::*;
use super::fixtures::*;
use crate::batch::RowKind;
use crate::engine::{Dataflow, StepInput};
use crate::plan::{Changelog, NodeId, NodeKind, Plan, SortKey};
use arrow_schema::{DataType, Field, Schema};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The first column makes rows different from each other where a test needs it.
const COLUMNS: &[(&str, DataType)] = &[
    ("id", DataType::Int32),
    ("k", DataType::Utf8),
    ("v", DataType::Int32),
    ("s", DataType::Utf8),
    ("f", DataType::Float64),
];

#[derive(Debug, Clone)]
struct Ranking {
    partition: Vec<usize>,
    order: Vec<SortKey>,
    first: u64,
    last: u64,
    with_number: bool,
    latest_first: bool,
}

const fn by(column: usize, descending: bool, nulls_first: bool) -> SortKey {
    SortKey { column, descending, nulls_first }
}

/// Ranks one scan; the number, where there is one, is the first column of the sink.
fn ranked(ranking: &Ranking, input: Changelog, output: Changelog) -> (Arc<Plan>, NodeId) {
    let mut planner = Planner::default();
    let scan = planner.scan("rows", COLUMNS, false);
    planner.plan.nodes[scan.0].changelog = input;
    let mut fields = planner.schema(scan).fields().to_vec();
    if ranking.with_number {
        fields.push(Arc::new(Field::new("rn", DataType::Int64, false)));
    }
    let Ranking { partition, order, first, last, with_number, latest_first } = ranking.clone();
    let kind = NodeKind::Rank { partition, order, first, last, with_number, latest_first };
    let rank = planner.add(kind, &[scan], Arc::new(Schema::new(fields)));
    planner.plan.nodes[rank.0].changelog = output;
    let mut end = rank;
    if ranking.with_number {
        let number = ("rn", column(COLUMNS.len(), DataType::Int64));
        let group = ("g", column(ranking.partition.first().copied().unwrap_or(1), DataType::Utf8));
        let own =
            COLUMNS.iter().enumerate().map(|(index, (name, kind))| (*name, column(index, kind.clone())));
        let columns: Vec<_> = [number, group].into_iter().chain(own).collect();
        end = planner.project(rank, &columns);
        planner.plan.nodes[end.0].changelog = output;
    }
    planner.sink(end, "out");
    (planner.build(), scan)
}

fn random_row(random: &mut Random, id: Option<i32>) -> String {
    let mut cell = |choices: &[&str]| choices[random.below(choices.len() as u64) as usize].to_string();
    let cells = [
        id.map_or("0".into(), |id| id.to_string()),
        cell(&["a", "b", "-", "cccccccccccccccccccccccccccccccccccccc"]),
        cell(&["1", "2", "3", "-5", "-"]),
        cell(&["x", "xy", "", "y", "-"].map(|cell| if cell.is_empty() { "w" } else { cell })),
        cell(&["0.5", "-0.0", "0.0", "NaN", "-NaN", "inf", "-1e300", "-"]),
    ];
    cells.join(" ")
}

/// As Flink compares: NaN is the greatest number, and 0.0 is greater than -0.0.
fn compare_cells(one: &str, other: &str, column: usize) -> Ordering {
    match COLUMNS[column].1 {
        DataType::Int32 => one.parse::<i32>().unwrap().cmp(&other.parse().unwrap()),
        DataType::Float64 => {
            let value = |cell: &str| match cell.parse::<f64>().unwrap() {
                value if value.is_nan() => f64::NAN.abs(),
                value => value,
            };
            value(one).total_cmp(&value(other))
        }
        _ => one.as_bytes().cmp(other.as_bytes()),
    }
}

fn compare(one: &str, other: &str, order: &[SortKey]) -> Ordering {
    let (one, other): (Vec<&str>, Vec<&str>) = (one.split(' ').collect(), other.split(' ').collect());
    order.iter().fold(Ordering::Equal, |so_far, key| {
        so_far.then_with(|| match (one[key.column], other[key.column]) {
            ("-", "-") => Ordering::Equal,
            ("-", _) if key.nulls_first => Ordering::Less,
            ("-", _) => Ordering::Greater,
            (_, "-") if key.nulls_first => Ordering::Greater,
            (_, "-") => Ordering::Less,
            (one, other) if key.descending => compare_cells(other, one, key.column),
            (one, other) => compare_cells(one, other, key.column),
        })
    })
}

/// What is shown of each partition: its rows from the first number on.
fn model(ranking: &Ranking, feed: &[Change]) -> BTreeMap<Vec<String>, Vec<String>> {
    let mut partitions: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    for (kind, row) in feed {
        let cells: Vec<&str> = row.split(' ').collect();
        let key = ranking.partition.iter().map(|column| cells[*column].to_string()).collect();
        let rows = partitions.entry(key).or_default();
        if matches!(kind, RowKind::Insert | RowKind::UpdateAfter) {
            rows.push(row.clone());
        } else if let Some(place) = rows.iter().position(|known| known == row) {
            rows.remove(place);
        }
    }
    for rows in partitions.values_mut() {
        if ranking.latest_first {
            rows.reverse();
        }
        rows.sort_by(|one, other| compare(one, other, &ranking.order));
        // The sign of a NaN does not show.
        rows.iter_mut().for_each(|row| *row = row.replace("-NaN", "NaN"));
        rows.truncate(ranking.last as usize);
        rows.drain(..rows.len().min(ranking.first as usize - 1));
    }
    partitions
}

fn check_ranked(ranking: &Ranking, feed: &[Change], input: Changelog, output: Changelog) {
    let (plan, scan) = ranked(ranking, input, output);
    let expected = |fed: usize| {
        let mut rows = BTreeMap::new();
        for (key, shown) in model(ranking, &feed[..fed]) {
            for (number, row) in (ranking.first..).zip(shown) {
                if ranking.with_number {
                    let key = key.first().cloned().unwrap_or_else(|| row.split(' ').nth(1).unwrap().into());
                    let line = format!("{number} {key} {row}");
                    let folded = if ranking.partition.is_empty() {
                        number.to_string()
                    } else {
                        format!("{number} {key}")
                    };
                    rows.insert(folded, line);
                } else {
                    rows.insert(row.split(' ').next().unwrap().to_string(), row);
                }
            }
        }
        rows
    };
    let key_cells = if ranking.with_number { 1 + ranking.partition.len() } else { 1 };
    check(&plan, scan, feed, (output, key_cells), &expected);
}

fn feed(seed: u64, count: usize, inserts_only: bool) -> Vec<Change> {
    let mut id = 0;
    let mut row = |random: &mut Random| {
        id += 1;
        random_row(random, Some(id))
    };
    if inserts_only {
        inserting_feed(&mut Random(seed), count, &mut row)
    } else {
        retracting_feed(&mut Random(seed), count, &mut row)
    }
}

fn rankings() -> Vec<Ranking> {
    let ranking = |partition: &[usize], order: &[SortKey], first, last, with_number| Ranking {
        partition: partition.to_vec(),
        order: order.to_vec(),
        first,
        last,
        with_number,
        latest_first: false,
    };
    let latest = |ranking: Ranking| Ranking { latest_first: true, ..ranking };
    vec![
        ranking(&[1], &[by(2, true, false)], 1, 3, true),
        ranking(&[1], &[by(2, false, true), by(3, true, true)], 2, 4, true),
        ranking(&[1], &[by(4, false, false)], 1, 2, false),
        ranking(&[1], &[by(4, true, true), by(2, false, false)], 2, 2, false),
        ranking(&[], &[by(3, false, true)], 1, 5, true),
        ranking(&[1], &[], 1, 1, false),
        ranking(&[1], &[by(2, true, true)], 1, u64::MAX, true),
        latest(ranking(&[1], &[by(2, true, false)], 1, 1, false)),
        latest(ranking(&[], &[by(3, false, true)], 2, 5, true)),
    ]
}

#[test]
fn the_first_rows_over_inserts() {
    for (seed, ranking) in (1..).zip(rankings()) {
        let feed = feed(seed, 120, true);
        check_ranked(&ranking, &feed, Changelog::Insert, Changelog::Retract);
        if ranking.with_number {
            check_ranked(&ranking, &feed, Changelog::Insert, Changelog::Upsert);
        }
    }
}

#[test]
fn the_first_rows_over_rows_that_go_again() {
    for (seed, ranking) in (1..).zip(rankings()) {
        let feed = feed(seed, 240, false);
        check_ranked(&ranking, &feed, Changelog::Retract, Changelog::Retract);
        if ranking.with_number {
            check_ranked(&ranking, &feed, Changelog::Retract, Changelog::Upsert);
        }
    }
}

#[test]
fn equal_rows_are_counted() {
    for inserts_only in [true, false] {
        let mut row = |random: &mut Random| random_row(random, None);
        let feed = match inserts_only {
            true => inserting_feed(&mut Random(3), 150, &mut row),
            false => retracting_feed(&mut Random(3), 300, &mut row),
        };
        let input = if inserts_only { Changelog::Insert } else { Changelog::Retract };
        for ranking in rankings() {
            if ranking.with_number {
                check_ranked(&ranking, &feed, input, Changelog::Retract);
                continue;
            }
            let (plan, scan) = ranked(&ranking, input, Changelog::Retract);
            for rows_max in [1, 9, 1000] {
                let steps = run(&plan, scan, &feed, Manner::plain(2, (rows_max, rows_max)));
                let mut shown: BTreeMap<String, i64> = BTreeMap::new();
                for step in steps {
                    for (kind, row) in step.changes {
                        let count = shown.entry(row).or_default();
                        *count += if kind == RowKind::Insert { 1 } else { -1 };
                        assert!(*count >= 0, "a row went that was not there");
                    }
                    shown.retain(|_, count| *count > 0);
                    let mut expected: BTreeMap<String, i64> = BTreeMap::new();
                    for row in model(&ranking, &feed[..step.fed]).into_values().flatten() {
                        *expected.entry(row).or_default() += 1;
                    }
                    assert_eq!(shown, expected, "{ranking:?} after {} changes", step.fed);
                }
            }
        }
    }
}

fn go(plan: &Plan, scan: NodeId, dataflow: &mut Dataflow, feed: &str) -> Vec<String> {
    go_at(plan, scan, dataflow, 0, feed)
}

fn go_at(plan: &Plan, scan: NodeId, dataflow: &mut Dataflow, clock_ms: i64, feed: &str) -> Vec<String> {
    let change = |line: &str| {
        let (kind, row) = line.trim().split_once(' ').unwrap();
        let kind = if kind == "+I" { RowKind::Insert } else { RowKind::Delete };
        (kind, format!("{row} - -"))
    };
    let feed: Vec<Change> = feed.lines().map(change).collect();
    let reads = vec![changes_read(plan, scan, &feed)];
    let output = dataflow.step(StepInput { clock_ms, reads }).unwrap();
    let changes = output.outputs.iter().flat_map(|sink| changes_of(&sink.rows));
    changes.map(|(kind, row)| format!("{} {}", kind.short(), row.trim_end_matches(" -"))).collect()
}

#[test]
fn what_is_shown_changes_by_number() {
    let ranking = |with_number| Ranking {
        partition: vec![1],
        order: vec![by(2, true, false)],
        first: 1,
        last: 3,
        with_number,
        latest_first: false,
    };
    for input in [Changelog::Insert, Changelog::Retract] {
        let (plan, scan) = ranked(&ranking(true), input, Changelog::Retract);
        let mut dataflow = dataflow(&plan);
        assert_eq!(
            go(&plan, scan, &mut dataflow, "+I 1 a 5\n+I 2 b 1\n+I 3 a 7"),
            ["+I 1 b 2 b 1", "+I 1 a 3 a 7", "+I 2 a 1 a 5"]
        );
        // Equal ones stand behind, and what is behind the last number is not shown.
        assert_eq!(
            go(&plan, scan, &mut dataflow, "+I 4 a 7\n+I 5 a 5"),
            ["-U 2 a 1 a 5", "+U 2 a 4 a 7", "+I 3 a 1 a 5"]
        );
        assert!(go(&plan, scan, &mut dataflow, "+I 6 a 4\n+I 7 a 5").is_empty());
    }
    let (plan, scan) = ranked(&ranking(true), Changelog::Retract, Changelog::Upsert);
    let mut flow = dataflow(&plan);
    go(&plan, scan, &mut flow, "+I 1 a 5\n+I 2 a 6\n+I 3 a 7\n+I 4 a 8");
    assert_eq!(
        go(&plan, scan, &mut flow, "-D 4 a 8\n-D 2 a 6\n-D 99 a 6"),
        ["+U 1 a 3 a 7", "+U 2 a 1 a 5", "-D 3 a 2 a 6"]
    );
    let (plan, scan) = ranked(&ranking(false), Changelog::Retract, Changelog::Retract);
    let mut flow = dataflow(&plan);
    go(&plan, scan, &mut flow, "+I 1 a 5\n+I 2 a 6\n+I 3 a 7\n+I 4 a 4");
    assert_eq!(
        go(&plan, scan, &mut flow, "+I 5 a 9\n+I 6 a 9\n-D 3 a 7"),
        ["-D 3 a 7", "-D 1 a 5", "+I 5 a 9", "+I 6 a 9"]
    );
    assert_eq!(go(&plan, scan, &mut flow, "-D 5 a 9\n+I 5 a 9"), Vec::<String>::new());
    assert_eq!(
        go(&plan, scan, &mut flow, "-D 2 a 6\n-D 6 a 9"),
        ["-D 6 a 9", "-D 2 a 6", "+I 1 a 5", "+I 4 a 4"]
    );
}

#[test]
fn what_can_never_be_shown_is_not_kept() {
    let ranking = Ranking {
        partition: vec![1],
        order: vec![by(2, false, false)],
        first: 1,
        last: 2,
        with_number: false,
        latest_first: false,
    };
    let (plan, scan) = ranked(&ranking, Changelog::Insert, Changelog::Retract);
    let state_of = |feed: &str| {
        let mut dataflow = dataflow(&plan);
        for line in feed.lines() {
            go(&plan, scan, &mut dataflow, line);
        }
        digest(&mut dataflow)
    };
    // The same number of rows read, the same two rows left.
    let one = state_of("+I 1 a 1\n+I 2 a 2\n+I 3 a 3\n+I 4 a 4\n+I 5 a 2");
    assert_eq!(one, state_of("+I 9 a 9\n+I 1 a 1\n+I 8 a 8\n+I 2 a 2\n+I 7 a 7"));
    assert_ne!(one, state_of("+I 9 a 9\n+I 1 a 1\n+I 8 a 8\n+I 7 a 7\n+I 7 a 7"));
}

#[test]
fn an_empty_partition_leaves_nothing_behind() {
    let ranking = Ranking {
        partition: vec![1],
        order: vec![by(2, false, false)],
        first: 2,
        last: 2,
        with_number: true,
        latest_first: false,
    };
    let (plan, scan) = ranked(&ranking, Changelog::Retract, Changelog::Retract);
    let mut one = dataflow(&plan);
    go(&plan, scan, &mut one, "+I 1 a 1\n+I 2 a 2\n-D 1 a 1\n-D 2 a 2");
    let mut other = dataflow(&plan);
    go(&plan, scan, &mut other, "+I 7 b 1\n-D 7 b 1\n-D 7 b 1\n-D 7 b 1");
    assert_eq!(digest(&mut one), digest(&mut other));
}

#[test]
fn forgotten_rows_make_room_in_silence() {
    let ranking = Ranking {
        partition: vec![1],
        order: vec![by(2, false, false)],
        first: 1,
        last: 2,
        with_number: false,
        latest_first: false,
    };
    for input in [Changelog::Insert, Changelog::Retract] {
        let (mut plan, scan) = ranked(&ranking, input, Changelog::Retract);
        Arc::make_mut(&mut plan).state_ttl_ms = Some(10);
        let mut dataflow = dataflow(&plan);
        assert_eq!(go_at(&plan, scan, &mut dataflow, 0, "+I 1 a 1"), ["+I 1 a 1"]);
        assert_eq!(go_at(&plan, scan, &mut dataflow, 5, "+I 2 a 1"), ["+I 2 a 1"]);
        assert_eq!(go_at(&plan, scan, &mut dataflow, 12, "+I 3 a 2"), ["+I 3 a 2"]);
        assert_eq!(go_at(&plan, scan, &mut dataflow, 13, "+I 4 a 1"), ["-D 3 a 2", "+I 4 a 1"]);
        assert_eq!(go_at(&plan, scan, &mut dataflow, 40, "+I 5 a 7"), ["+I 5 a 7"]);
    }
}
