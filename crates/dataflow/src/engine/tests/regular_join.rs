//! The regular join against a model that joins all rows anew, and against golden changes.

use super::changelogs::*;
use super::fixtures::*;
use crate::batch::RowKind;
use crate::engine::{Dataflow, DataflowOptions, ScanInput, StepInput};
use crate::expression::Expression;
use crate::plan::AggregateFunction::Count;
use crate::plan::{Changelog, JoinKind, Node, NodeId, NodeKind, Plan, SortKey};
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, BooleanArray};
use arrow_schema::{DataType, Schema};
use base::ErrorKind;
use std::collections::BTreeMap;
use std::sync::Arc;

const LEFT: &[(&str, DataType)] = &[("k", DataType::Utf8), ("a", DataType::Int32), ("s", DataType::Utf8)];
const RIGHT: &[(&str, DataType)] = &[("k2", DataType::Utf8), ("b", DataType::Int32)];

/// A join of two scans and what it is about.
struct Joined {
    plan: Arc<Plan>,
    scans: [NodeId; 2],
    kind: JoinKind,
    keys: Vec<(usize, usize)>,
    residual: bool,
}

/// `a < b`; NULL where one of them is.
fn less() -> Arc<dyn Expression> {
    closure("(`a` < `b`)", DataType::Boolean, |rows| {
        let (a, b) = (rows.column(1).as_primitive::<Int32Type>(), rows.column(4).as_primitive::<Int32Type>());
        let less = a.iter().zip(b.iter()).map(|(a, b)| Some(a? < b?));
        Ok(Arc::new(less.collect::<BooleanArray>()) as ArrayRef)
    })
}

fn add_join(
    planner: &mut Planner,
    inputs: [NodeId; 2],
    kind: JoinKind,
    keys: &[(usize, usize)],
    residual: bool,
) -> NodeId {
    let shown = if kind.tests_left() { &inputs[..1] } else { &inputs[..] };
    let fields: Vec<_> = shown.iter().flat_map(|id| planner.schema(*id).fields().to_vec()).collect();
    let kind = NodeKind::Join {
        kind,
        left_keys: keys.iter().map(|key| key.0).collect(),
        right_keys: keys.iter().map(|key| key.1).collect(),
        residual: residual.then(less),
    };
    planner.add(kind, &inputs, Arc::new(Schema::new(fields)))
}

fn joined(
    kind: JoinKind,
    keys: &[(usize, usize)],
    residual: bool,
    input: Changelog,
    output: Changelog,
) -> Joined {
    let mut planner = Planner::default();
    let left = planner.scan("left", LEFT, false);
    let right = planner.scan("right", RIGHT, false);
    for scan in [left, right] {
        planner.plan.nodes[scan.0].changelog = input;
    }
    let join = add_join(&mut planner, [left, right], kind, keys, residual);
    planner.plan.nodes[join.0].changelog = output;
    planner.sink(join, "out");
    Joined { plan: planner.build(), scans: [left, right], kind, keys: keys.to_vec(), residual }
}

/// A change of one side.
type SideChange = (usize, Change);

fn random_row(random: &mut Random, side: usize) -> String {
    let mut cell = |choices: &[&str]| choices[random.below(choices.len() as u64) as usize].to_string();
    let key = cell(&["a", "b", "c", "a", "dddddddddddddddddddddddddddddddddddddddd", "-"]);
    let number = cell(&["1", "2", "3", "4", "-"]);
    if side == 0 { format!("{key} {number} {}", cell(&["x", "y", "-"])) } else { format!("{key} {number}") }
}

fn random_feed(random: &mut Random, count: usize, inserts_only: bool) -> Vec<SideChange> {
    let feed = |random: &mut Random, side: usize| {
        let mut row = |random: &mut Random| random_row(random, side);
        if inserts_only {
            inserting_feed(random, count / 2, &mut row)
        } else {
            retracting_feed(random, count / 2, &mut row)
        }
    };
    let mut sides = [feed(random, 0).into_iter(), feed(random, 1).into_iter()];
    let mut mixed = Vec::new();
    let mut side = 0;
    while sides.iter().any(|rest| rest.len() > 0) {
        if random.below(3) == 0 {
            side = 1 - side;
        }
        mixed.extend(sides[side].next().map(|change| (side, change)));
    }
    mixed
}

/// Runs of changes of one side are one read.
fn reads(joined: &Joined, feed: &[SideChange]) -> Vec<ScanInput> {
    let runs = feed.chunk_by(|one, other| one.0 == other.0);
    runs.map(|run| {
        let changes: Vec<Change> = run.iter().map(|(_, change)| change.clone()).collect();
        changes_read(&joined.plan, joined.scans[run[0].0], &changes)
    })
    .collect()
}

fn run_joined(joined: &Joined, feed: &[SideChange], manner: Manner) -> Vec<Step> {
    let mut random = Random(manner.cuts.0);
    let options = |workers| DataflowOptions { workers, parallel_rows_min: 1 };
    let mut home = Home::new(manner.budget_bytes);
    let (mut dataflow, mut store) = home.begin(&joined.plan, options(manner.workers));
    let (mut steps, mut fed) = (Vec::new(), 0);
    while fed < feed.len() {
        let end = (fed + 1 + random.below(manner.cuts.1) as usize).min(feed.len());
        let output = dataflow.step(StepInput { clock_ms: 0, reads: reads(joined, &feed[fed..end]) }).unwrap();
        fed = end;
        let changes = output.outputs.iter().flat_map(|sink| changes_of(&sink.rows)).collect();
        steps.push(Step { fed, changes });
        dataflow.relieve().unwrap();
        if manner.restores && random.below(4) == 0 {
            let before = digest(&mut dataflow);
            let workers = 1 << random.below(3);
            (dataflow, store) = home.restore(&joined.plan, options(workers), (dataflow, store));
            assert_eq!(digest(&mut dataflow), before, "a restored dataflow has the same state");
        }
    }
    drop((dataflow, store));
    steps
}

/// How often each row is there.
type Rows = BTreeMap<String, u64>;

fn fold(rows: &mut Rows, (kind, row): &Change) {
    if matches!(kind, RowKind::Insert | RowKind::UpdateAfter) {
        *rows.entry(row.clone()).or_default() += 1;
        return;
    }
    let count = rows.get_mut(row).unwrap_or_else(|| panic!("{} {row} was not there", kind.short()));
    *count -= 1;
    if *count == 0 {
        rows.remove(row);
    }
}

/// The join of all rows that are there.
fn model(joined: &Joined, left: &Rows, right: &Rows) -> Rows {
    let holds = |left: &[&str], right: &[&str]| {
        let equal = joined.keys.iter().all(|(l, r)| left[*l] != "-" && left[*l] == right[*r]);
        let number = |cell: &str| cell.parse::<i32>().ok();
        let less = number(left[1]).zip(number(right[1])).is_some_and(|(a, b)| a < b);
        equal && (!joined.residual || less)
    };
    let padding =
        |side: usize| vec!["-"; joined.plan.node(joined.scans[side]).schema.fields().len()].join(" ");
    let matches = |left: &str, right: &str| {
        holds(&left.split(' ').collect::<Vec<_>>(), &right.split(' ').collect::<Vec<_>>())
    };
    let mut shown = Rows::new();
    for (left, left_count) in left {
        let mut matched = false;
        for (right, right_count) in right.iter().filter(|(right, _)| matches(left, right)) {
            matched = true;
            if !joined.kind.tests_left() {
                *shown.entry(format!("{left} {right}")).or_default() += left_count * right_count;
            }
        }
        match joined.kind {
            JoinKind::Semi if matched => *shown.entry(left.clone()).or_default() += left_count,
            JoinKind::Anti if !matched => *shown.entry(left.clone()).or_default() += left_count,
            kind if !matched && kind.pads(0) => {
                *shown.entry(format!("{left} {}", padding(1))).or_default() += left_count;
            }
            _ => {}
        }
    }
    for (right, right_count) in right {
        if joined.kind.pads(1) && !left.keys().any(|left| matches(left, right)) {
            *shown.entry(format!("{} {right}", padding(0))).or_default() += right_count;
        }
    }
    shown
}

fn check_joined(joined: &Joined, feed: &[SideChange], changelog: Changelog) {
    let mut flat: Option<Vec<Change>> = None;
    let mut check_steps = |steps: &[Step], manner: Manner| {
        let (mut rows, mut sides, mut fed) = (Rows::new(), [Rows::new(), Rows::new()], 0);
        for step in steps {
            for change in &step.changes {
                if changelog == Changelog::Upsert || joined.kind != JoinKind::Inner {
                    assert_ne!(change.0, RowKind::UpdateBefore, "{manner:?}");
                }
                // Panics where a row goes that was not there.
                fold(&mut rows, change);
            }
            for (side, change) in &feed[fed..step.fed] {
                fold(&mut sides[*side], change);
            }
            fed = step.fed;
            assert_eq!(rows, model(joined, &sides[0], &sides[1]), "after {fed} changes, {manner:?}");
        }
        let changes: Vec<Change> = steps.iter().flat_map(|step| step.changes.clone()).collect();
        assert!(!changes.is_empty());
        // Change by change the same, however the feed is cut.
        assert_eq!(*flat.get_or_insert_with(|| changes.clone()), changes, "{manner:?}");
    };
    for rows_max in [1, 7, 60, 1 << 20] {
        for workers in [1, 2, 4] {
            let manner = Manner::plain(workers, (rows_max, rows_max));
            check_steps(&run_joined(joined, feed, manner), manner);
        }
    }
    for budget_bytes in [usize::MAX, 4096, 0] {
        let manner = Manner { workers: 2, cuts: (5, 20), restores: true, budget_bytes };
        check_steps(&run_joined(joined, feed, manner), manner);
    }
}

#[test]
fn a_join_of_changing_rows_is_the_join_of_the_rows_that_are_there() {
    use JoinKind::{Anti, Full, Inner, Left, Right, Semi};
    for kind in [Inner, Left, Right, Full, Semi, Anti] {
        for (seed, output) in [(1, Changelog::Retract), (2, Changelog::Upsert)] {
            for (keys, residual) in [(&[(0, 0)][..], false), (&[(0, 0)], true), (&[(0, 0), (1, 1)], false)] {
                let feed = random_feed(&mut Random(seed), 200, false);
                check_joined(&joined(kind, keys, residual, Changelog::Retract, output), &feed, output);
            }
        }
    }
}

#[test]
fn a_join_of_rows_that_stay_only_inserts() {
    let feed = random_feed(&mut Random(11), 160, true);
    let inner = joined(JoinKind::Inner, &[(0, 0)], true, Changelog::Insert, Changelog::Insert);
    check_joined(&inner, &feed, Changelog::Insert);
    let steps = run_joined(&inner, &feed, Manner::plain(2, (3, 30)));
    assert!(steps.iter().all(|step| step.changes.iter().all(|change| change.0 == RowKind::Insert)));
    let left = joined(JoinKind::Left, &[(0, 0)], false, Changelog::Insert, Changelog::Retract);
    check_joined(&left, &feed, Changelog::Retract);
}

#[test]
fn without_keys_every_row_meets_every_row() {
    let feed = random_feed(&mut Random(5), 80, false);
    for (kind, residual) in [(JoinKind::Inner, false), (JoinKind::Left, true)] {
        check_joined(
            &joined(kind, &[], residual, Changelog::Retract, Changelog::Retract),
            &feed,
            Changelog::Retract,
        );
    }
}

#[test]
fn a_row_meets_itself_once() {
    let mut planner = Planner::default();
    let scan = planner.scan("rows", LEFT, false);
    planner.plan.nodes[scan.0].changelog = Changelog::Retract;
    let join = add_join(&mut planner, [scan, scan], JoinKind::Left, &[(0, 0)], true);
    planner.plan.nodes[join.0].changelog = Changelog::Retract;
    planner.sink(join, "out");
    let plan = planner.build();
    let joined =
        Joined { plan, scans: [scan, scan], kind: JoinKind::Left, keys: vec![(0, 0)], residual: true };
    let mut feed = random_feed(&mut Random(7), 160, false);
    feed.retain(|(side, _)| *side == 0);
    let mut whole: Option<Vec<Change>> = None;
    for (workers, rows_max) in [(1, 1), (1, 50), (2, 50), (4, 7)] {
        let (mut rows, mut side, mut fed) = (Rows::new(), Rows::new(), 0);
        let steps = run_joined(&joined, &feed, Manner::plain(workers, (9, rows_max)));
        for step in &steps {
            step.changes.iter().for_each(|change| fold(&mut rows, change));
            feed[fed..step.fed].iter().for_each(|(_, change)| fold(&mut side, change));
            fed = step.fed;
            let expected = model(&joined, &side, &side);
            assert_eq!(rows, expected, "{workers} workers, after {fed} changes");
        }
        let changes: Vec<Change> = steps.into_iter().flat_map(|step| step.changes).collect();
        assert_eq!(*whole.get_or_insert_with(|| changes.clone()), changes, "{workers} workers");
    }
}

#[test]
fn pairs_are_ranked_in_the_order_in_which_they_came() {
    // Several pairs come with one row, and stand in the order in which the join gave them.
    let mut joined = joined(JoinKind::Left, &[(0, 0)], false, Changelog::Retract, Changelog::Retract);
    let plan = Arc::make_mut(&mut joined.plan);
    let join = NodeId(2);
    let kind = NodeKind::Rank {
        partition: vec![2],
        order: vec![SortKey { column: 4, descending: true, nulls_first: false }],
        first: 1,
        last: 3,
        with_number: false,
        latest_first: false,
    };
    let schema = plan.nodes[join.0].schema.clone();
    plan.nodes[3] = Node { changelog: Changelog::Retract, ..Node::new(kind, vec![join], schema.clone()) };
    plan.nodes.push(Node::new(
        NodeKind::Sink { table: table("out", schema) },
        vec![NodeId(3)],
        plan.nodes[3].schema.clone(),
    ));
    let feed = random_feed(&mut Random(13), 240, false);
    for rows_max in [1, 9, 80] {
        let steps = run_joined(&joined, &feed, Manner::plain(1, (rows_max, rows_max)));
        let (mut rows, mut sides, mut fed) = (Rows::new(), [Rows::new(), Rows::new()], 0);
        for step in &steps {
            step.changes.iter().for_each(|change| fold(&mut rows, change));
            feed[fed..step.fed].iter().for_each(|(side, change)| fold(&mut sides[*side], change));
            fed = step.fed;
            // Of each partition the greatest three numbers; which of the equal ones is left open here.
            let numbers = |rows: &Rows| {
                let mut partitions: BTreeMap<String, Vec<i32>> = BTreeMap::new();
                for (row, count) in rows {
                    let cells: Vec<&str> = row.split(' ').collect();
                    let number = cells[4].parse().unwrap_or(i32::MIN);
                    let numbers = partitions.entry(cells[2].into()).or_default();
                    numbers.extend(std::iter::repeat_n(number, *count as usize));
                }
                for numbers in partitions.values_mut() {
                    numbers.sort_by_key(|number| std::cmp::Reverse(*number));
                    numbers.truncate(3);
                }
                partitions
            };
            let pairs = model(&joined, &sides[0], &sides[1]);
            assert_eq!(numbers(&rows), numbers(&pairs), "after {fed} changes");
            assert!(rows.iter().all(|(row, count)| pairs.get(row).is_some_and(|there| there >= count)));
        }
        for workers in [2, 4] {
            let manner = Manner::plain(workers, (rows_max, rows_max));
            assert_eq!(run_joined(&joined, &feed, manner), steps, "{manner:?}");
        }
        let cuts = (rows_max, rows_max);
        let whole = |manner: Manner| {
            let mut rows = Rows::new();
            let steps = run_joined(&joined, &feed, manner);
            steps.iter().flat_map(|step| &step.changes).for_each(|change| fold(&mut rows, change));
            rows
        };
        let restored = Manner { workers: 2, cuts, restores: true, budget_bytes: 1024 };
        assert_eq!(whole(restored), rows, "{restored:?}");
    }
}

fn changes(text: &str) -> Vec<Change> {
    let change = |line: &str| {
        let (kind, row) = line.trim().split_once(' ').unwrap();
        let kinds =
            [RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete].into_iter();
        let kind = kinds.clone().find(|known| known.short() == kind).unwrap();
        (kind, row.to_string())
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(change).collect()
}

/// One step of one side; the changes as text.
fn go(joined: &Joined, dataflow: &mut Dataflow, clock_ms: i64, side: usize, text: &str) -> Vec<String> {
    let reads = vec![changes_read(&joined.plan, joined.scans[side], &changes(text))];
    let output = dataflow.step(StepInput { clock_ms, reads }).unwrap();
    let changes = output.outputs.iter().flat_map(|sink| changes_of(&sink.rows));
    changes.map(|(kind, row)| format!("{} {row}", kind.short())).collect()
}

#[test]
fn an_inner_join_keeps_the_kinds_of_its_input() {
    let joined = joined(JoinKind::Inner, &[(0, 0)], false, Changelog::Retract, Changelog::Retract);
    let mut dataflow = dataflow(&joined.plan);
    assert!(go(&joined, &mut dataflow, 0, 1, "+I a 2\n+I a 1\n+I a 1\n+I b 7\n+I - 3").is_empty());
    assert_eq!(
        go(&joined, &mut dataflow, 0, 0, "+I a 0 x\n-U a 0 x\n+U b 0 x\n+I - 0 x"),
        [
            "+I a 0 x a 1",
            "+I a 0 x a 1",
            "+I a 0 x a 2",
            "-U a 0 x a 1",
            "-U a 0 x a 1",
            "-U a 0 x a 2",
            "+U b 0 x b 7"
        ]
    );
    assert_eq!(go(&joined, &mut dataflow, 0, 1, "-D b 7\n-D b 7\n-D - 3"), ["-D b 0 x b 7"]);
    // A row that goes without being there takes nothing along.
    assert!(go(&joined, &mut dataflow, 0, 0, "-D a 9 x").is_empty());
    assert_eq!(go(&joined, &mut dataflow, 0, 1, "-D a 1\n-D a 2\n-D a 1\n+I b 8"), ["+I b 0 x b 8"]);
}

#[test]
fn a_left_join_pads_while_nothing_matches() {
    let joined = joined(JoinKind::Left, &[(0, 0)], true, Changelog::Retract, Changelog::Retract);
    let mut dataflow = dataflow(&joined.plan);
    assert_eq!(
        go(&joined, &mut dataflow, 0, 0, "+I a 1 x\n+I a 1 x\n+I - 1 x\n+I a - x"),
        ["+I a 1 x - -", "+I a 1 x - -", "+I - 1 x - -", "+I a - x - -"]
    );
    // The residual condition is FALSE for 0 and NULL for what has no number.
    assert!(go(&joined, &mut dataflow, 0, 1, "+I a 0\n+I a -\n+I - 5").is_empty());
    assert_eq!(
        go(&joined, &mut dataflow, 0, 1, "+I a 4\n-U a 4\n+U a 5"),
        [
            "-D a 1 x - -",
            "-D a 1 x - -",
            "+I a 1 x a 4",
            "+I a 1 x a 4",
            "-D a 1 x a 4",
            "-D a 1 x a 4",
            "+I a 1 x - -",
            "+I a 1 x - -",
            "-D a 1 x - -",
            "-D a 1 x - -",
            "+I a 1 x a 5",
            "+I a 1 x a 5"
        ]
    );
    assert_eq!(go(&joined, &mut dataflow, 0, 1, "+I a 6"), ["+I a 1 x a 6", "+I a 1 x a 6"]);
    assert_eq!(
        go(&joined, &mut dataflow, 0, 0, "-D a 1 x\n-D - 1 x\n-U a - x\n+U b 1 x"),
        ["-D a 1 x a 5", "-D a 1 x a 6", "-D - 1 x - -", "-D a - x - -", "+I b 1 x - -"]
    );
    assert_eq!(
        go(&joined, &mut dataflow, 0, 1, "-D a 5\n-D a 6"),
        ["-D a 1 x a 5", "-D a 1 x a 6", "+I a 1 x - -"]
    );
}

#[test]
fn padding_has_the_types_of_the_other_side() {
    let columns: &[(&str, DataType)] = &[
        ("k2", DataType::Utf8),
        ("n", DataType::Int16),
        ("l", DataType::Int64),
        ("d", DataType::Decimal128(10, 2)),
        ("f", DataType::Float64),
        ("x", DataType::Binary),
        ("o", DataType::Boolean),
        ("t", TIMESTAMP),
    ];
    let mut planner = Planner::default();
    let left = planner.scan("left", LEFT, false);
    let right = planner.scan("right", columns, false);
    let join = add_join(&mut planner, [left, right], JoinKind::Left, &[(0, 0)], false);
    planner.plan.nodes[join.0].changelog = Changelog::Retract;
    planner.sink(join, "out");
    let joined = Joined {
        plan: planner.build(),
        scans: [left, right],
        kind: JoinKind::Left,
        keys: Vec::new(),
        residual: false,
    };
    let mut dataflow = dataflow(&joined.plan);
    assert_eq!(go(&joined, &mut dataflow, 0, 0, "+I a 1 x"), ["+I a 1 x - - - - - - - -"]);
    assert_eq!(
        go(&joined, &mut dataflow, 0, 1, "+I a 3 4 500 0.5 q true 77"),
        ["-D a 1 x - - - - - - - -", "+I a 1 x a 3 4 500 0.5 q true 77"]
    );
    assert_eq!(
        go(&joined, &mut dataflow, 0, 0, "+I b 1 x\n+I a - -"),
        ["+I b 1 x - - - - - - - -", "+I a - - a 3 4 500 0.5 q true 77"]
    );
}

#[test]
fn a_side_with_a_ttl_of_its_own_forgets_and_the_other_does_not() {
    let mut joined = joined(JoinKind::Inner, &[(0, 0)], false, Changelog::Retract, Changelog::Retract);
    let plan = Arc::make_mut(&mut joined.plan);
    plan.state_ttl_ms = Some(1000);
    let before = plan.fingerprint();
    let join = plan.nodes.iter_mut().find(|node| matches!(node.kind, NodeKind::Join { .. })).unwrap();
    join.hinted_ttls_ms = [Some(10), Some(0)];
    assert_ne!(plan.fingerprint(), before);
    let mut dataflow = dataflow(&joined.plan);
    assert!(go(&joined, &mut dataflow, 0, 0, "+I a 1 x").is_empty());
    assert_eq!(go(&joined, &mut dataflow, 5, 1, "+I a 2"), ["+I a 1 x a 2"]);
    // The row on the left was written at 0, that on the right is kept for ever.
    assert!(go(&joined, &mut dataflow, 12, 1, "+I a 3").is_empty());
    assert_eq!(go(&joined, &mut dataflow, 5000, 0, "+I a 4 y"), ["+I a 4 y a 2", "+I a 4 y a 3"]);
    // A row that was forgotten takes its pairs along; one that never was on the right takes nothing.
    assert_eq!(go(&joined, &mut dataflow, 6000, 0, "-D a 1 x"), ["-D a 1 x a 2", "-D a 1 x a 3"]);
    assert_eq!(go(&joined, &mut dataflow, 6000, 0, "+I a 5 z"), ["+I a 5 z a 2", "+I a 5 z a 3"]);
    assert!(go(&joined, &mut dataflow, 6001, 1, "-D a 9").is_empty());
}

#[test]
fn forgotten_rows_match_nothing_and_still_take_their_pairs_along() {
    let mut joined = joined(JoinKind::Inner, &[(0, 0)], false, Changelog::Retract, Changelog::Retract);
    Arc::make_mut(&mut joined.plan).state_ttl_ms = Some(10);
    let mut dataflow = dataflow(&joined.plan);
    assert!(go(&joined, &mut dataflow, 0, 0, "+I a 1 x").is_empty());
    assert_eq!(go(&joined, &mut dataflow, 5, 1, "+I a 2"), ["+I a 1 x a 2"]);
    assert_eq!(go(&joined, &mut dataflow, 9, 1, "+I a 3"), ["+I a 1 x a 3"]);
    // The row on the left was written at 0.
    assert!(go(&joined, &mut dataflow, 12, 1, "+I a 4").is_empty());
    assert_eq!(
        go(&joined, &mut dataflow, 12, 0, "-D a 1 x"),
        ["-D a 1 x a 2", "-D a 1 x a 3", "-D a 1 x a 4"]
    );
    // Written anew it lives on, although it is the same.
    assert_eq!(go(&joined, &mut dataflow, 20, 0, "+I b 1 x\n-U b 1 x\n+U b 1 x"), Vec::<String>::new());
    assert!(go(&joined, &mut dataflow, 28, 0, "-U b 1 x\n+U b 1 x").is_empty());
    assert_eq!(go(&joined, &mut dataflow, 35, 1, "+I b 2"), ["+I b 1 x b 2"]);
    assert!(go(&joined, &mut dataflow, 45, 1, "+I b 3").is_empty());
}

#[test]
fn the_watermark_of_pairs_is_the_lesser_one() {
    let columns: &[(&str, DataType)] = &[("t", TIMESTAMP), ("k", DataType::Utf8)];
    let mut planner = Planner::default();
    let left = planner.scan("left", columns, false);
    let right = planner.scan("right", columns, false);
    let inputs = [planner.watermark(left, 0, 0), planner.watermark(right, 0, 0)];
    let join = add_join(&mut planner, inputs, JoinKind::Inner, &[(1, 1)], false);
    let count = vec![call(Count, None, DataType::Int64)];
    let window = planner.aggregate(join, 0, super::windows::TUMBLE, &[1], count);
    planner.sink(window, "out");
    let plan = planner.build();
    let feed =
        [(left, "100 b"), (right, "3 a"), (left, "5 a"), (right, "4 a"), (right, "90 b"), (left, "7 a")];
    let run = |rows_max: usize, workers| {
        let options = DataflowOptions { workers, parallel_rows_min: 1 };
        let mut dataflow = Dataflow::new(plan.clone(), options, &state::Store::volatile(usize::MAX)).unwrap();
        let (mut outputs, mut late_rows) = (Vec::new(), 0);
        for part in feed.chunks(rows_max) {
            let read =
                |(scan, text): &(NodeId, &str)| read(*scan, 0, rows(&plan.node(*scan).schema, text), false);
            let output = step(&mut dataflow, part.iter().map(read).collect()).unwrap();
            late_rows += output.late_rows;
            outputs.push(output_lines(&plan, &output));
        }
        (outputs, late_rows)
    };
    let (outputs, late_rows) = run(1, 1);
    // The left side has long passed the pairs at 5, and they wait for the right side to do so.
    assert_eq!(outputs[..4], [const { Vec::<String>::new() }; 4]);
    assert_eq!(outputs[4], ["out: a 2 0 10 9"]);
    assert_eq!(late_rows, 2);
    for (rows_max, workers) in [(2, 1), (3, 2), (6, 4)] {
        let (lines, late) = run(rows_max, workers);
        assert_eq!((lines.concat(), late), (outputs.concat(), late_rows));
    }
}

#[test]
fn a_row_that_goes_is_refused_where_only_inserts_were_promised() {
    let joined = joined(JoinKind::Inner, &[(0, 0)], false, Changelog::Insert, Changelog::Insert);
    let mut dataflow = dataflow(&joined.plan);
    let reads = vec![changes_read(&joined.plan, joined.scans[1], &changes("-D a 1"))];
    let error = dataflow.step(StepInput { clock_ms: 0, reads }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("it takes only inserts"), "{error}");
}
