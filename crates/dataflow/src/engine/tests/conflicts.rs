//! Conflicts of rows that have one primary key, decided when the watermark moves, against a model.

use super::changelogs::*;
use super::fixtures::*;
use crate::batch::RowKind;
use crate::engine::StepInput;
use crate::plan::{Changelog, NodeId, NodeKind, OnConflict, Plan};
use arrow_schema::DataType;
use std::collections::BTreeMap;
use std::sync::Arc;

const COLUMNS: &[(&str, DataType)] =
    &[("k", DataType::Utf8), ("t", TIMESTAMP), ("own", DataType::Int32), ("v", DataType::Int32)];

/// By `k`, where `own` tells the rows of the input apart.
fn plan_of(own_key: Vec<usize>, on_conflict: OnConflict, output: Changelog) -> (Arc<Plan>, NodeId) {
    let mut planner = Planner::default();
    let scan = planner.scan("rows", COLUMNS, true);
    planner.plan.nodes[scan.0].changelog = Changelog::Retract;
    let marked = planner.watermark(scan, 1, 0);
    planner.plan.nodes[marked.0].changelog = Changelog::Retract;
    let schema = planner.schema(marked);
    let kind = NodeKind::ConflictMaterialize { keys: vec![0], own_key, on_conflict };
    let node = planner.add(kind, &[marked], schema);
    planner.plan.nodes[node.0].changelog = output;
    planner.sink(node, "out");
    (planner.build(), scan)
}

fn cell(line: &str, index: usize) -> String {
    line.split(' ').nth(index).unwrap().to_string()
}

/// What the sink has after each change; the watermark is the greatest time so far.
fn model(feed: &[Change]) -> Vec<BTreeMap<String, String>> {
    let mut shown: BTreeMap<String, String> = BTreeMap::new();
    let mut waiting: BTreeMap<String, Vec<Change>> = BTreeMap::new();
    let (mut watermark, mut history) = (i64::MIN, vec![shown.clone()]);
    for (kind, line) in feed {
        waiting.entry(cell(line, 0)).or_default().push((*kind, line.clone()));
        let time: i64 = cell(line, 1).parse().unwrap();
        if time > watermark {
            watermark = time;
            for (key, changes) in std::mem::take(&mut waiting) {
                let mut rows: Vec<String> = shown.get(&key).cloned().into_iter().collect();
                let mut left: Vec<(bool, String)> = Vec::new();
                for (kind, line) in changes {
                    let comes = matches!(kind, RowKind::Insert | RowKind::UpdateAfter);
                    match left.iter().position(|(other, row)| *other != comes && *row == line) {
                        Some(place) => drop(left.remove(place)),
                        None => left.push((comes, line)),
                    }
                }
                for (comes, line) in left {
                    let place = rows.iter().position(|row| cell(row, 2) == cell(&line, 2));
                    match (comes, place) {
                        (true, Some(place)) => rows[place] = line,
                        (true, None) => rows.push(line),
                        (false, Some(place)) => drop(rows.remove(place)),
                        (false, None) => {}
                    }
                }
                match (rows.len(), shown.contains_key(&key)) {
                    (0, _) => drop(shown.remove(&key)),
                    (1, _) | (_, false) => drop(shown.insert(key, rows.remove(0))),
                    _ => {}
                }
            }
        }
        history.push(shown.clone());
    }
    history
}

fn random_feed(seed: u64) -> Vec<Change> {
    let mut clock = 0;
    retracting_feed(&mut Random(seed), 200, &mut |random| {
        // The watermark stands still for some rows.
        clock += random.below(3) / 2;
        let key = ["a", "b", "c", "d"][random.below(4) as usize];
        format!("{key} {clock} {} {}", random.below(3), random.below(2))
    })
}

#[test]
fn the_first_row_of_a_key_stays() {
    for seed in 0..3 {
        let feed = random_feed(seed);
        let history = model(&feed);
        for output in [Changelog::Upsert, Changelog::Retract] {
            let (plan, scan) = plan_of(vec![2], OnConflict::Nothing, output);
            check(&plan, scan, &feed, (output, 1), &|fed| {
                let rows = history[fed].values().cloned();
                rows.map(|row| (cell(&row, 0), row)).collect()
            });
        }
    }
}

/// The changes of a step, or why it failed.
fn steps(
    (plan, scan): &(Arc<Plan>, NodeId),
    steps: &[&[(RowKind, &str)]],
) -> Vec<Result<Vec<String>, String>> {
    let mut dataflow = dataflow(plan);
    let step = |changes: &&[(RowKind, &str)]| {
        let changes: Vec<Change> = changes.iter().map(|(kind, row)| (*kind, row.to_string())).collect();
        let reads = vec![changes_read(plan, *scan, &changes)];
        let output = dataflow.step(StepInput { clock_ms: 0, reads }).map_err(|error| error.message)?;
        let shown = output.outputs.iter().flat_map(|sink| changes_of(&sink.rows));
        Ok(shown.map(|(kind, line)| format!("{} {line}", kind.short())).collect())
    };
    steps.iter().map(step).collect()
}

#[test]
fn changes_wait_for_the_watermark() {
    use RowKind::{Delete, Insert};
    let given = steps(
        &plan_of(vec![2], OnConflict::Nothing, Changelog::Upsert),
        &[
            // The watermark of the row itself lets it go.
            &[(Insert, "a 1 1 10")],
            // The same time: nothing moves.
            &[(Insert, "a 1 2 20"), (Delete, "a 1 1 10")],
            &[(Insert, "b 2 1 1")],
            // Two new rows for one that goes: a conflict, and what is there stays.
            &[(Delete, "a 1 2 20"), (Insert, "a 2 3 1"), (Insert, "a 2 4 1"), (Insert, "c 3 1 1")],
            &[(Delete, "a 2 3 1"), (Insert, "a 3 5 1"), (Delete, "a 3 5 1"), (Insert, "c 4 1 2")],
        ],
    );
    let expected: [&[&str]; 5] = [
        &["+I a 1 1 10"],
        &[],
        &["+U a 1 2 20", "+I b 2 1 1"],
        &["+I c 3 1 1"],
        // What goes is no longer there.
        &["+U c 4 1 2"],
    ];
    let expected: Vec<Result<Vec<String>, String>> =
        expected.iter().map(|lines| Ok(lines.iter().map(|line| line.to_string()).collect())).collect();
    assert_eq!(given, expected);
}

#[test]
fn a_conflict_is_an_error_that_names_the_key() {
    use RowKind::{Delete, Insert};
    let plan = plan_of(vec![2], OnConflict::Error, Changelog::Upsert);
    let given = steps(
        &plan,
        &[&[(Insert, "a 1 1 10")], &[(Insert, "a 1 2 20"), (Delete, "a 1 1 10"), (Insert, "b 2 7 1")]],
    );
    assert_eq!(given[1], Ok(vec!["+U a 1 2 20".into(), "+I b 2 7 1".into()]));
    let given = steps(&plan, &[&[(Insert, "a 1 1 10"), (Insert, "a 1 2 20"), (Insert, "b 2 7 1")]]);
    let error = given[0].as_ref().unwrap_err();
    assert!(error.contains("(k = a)") && error.contains("DO NOTHING"), "{error}");
    // Rows without a key of their own are different rows, however equal.
    let plan = plan_of(Vec::new(), OnConflict::Error, Changelog::Upsert);
    let given = steps(&plan, &[&[(Insert, "a 1 1 10"), (Insert, "a 1 1 10"), (Insert, "b 2 7 1")]]);
    assert!(given[0].is_err(), "{given:?}");
}
