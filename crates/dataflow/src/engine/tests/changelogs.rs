//! Feeds of changes for tests: made at random, cut into steps, folded and held to what a changelog is.

use super::fixtures::*;
use crate::batch::RowKind;
use crate::engine::{DataflowOptions, StepInput};
use crate::plan::{Changelog, NodeId, Plan};
use arrow_array::Int8Array;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A small generator, so that a failing seed is all there is to know.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A row and what becomes of it; cells are separated by blanks, `-` is NULL.
pub type Change = (RowKind, String);

/// Random changes: rows come, go, and become others. `row` makes one.
pub fn retracting_feed(
    random: &mut Random,
    count: usize,
    row: &mut dyn FnMut(&mut Random) -> String,
) -> Vec<Change> {
    let (mut feed, mut live) = (Vec::new(), Vec::<String>::new());
    while feed.len() < count {
        // Now and then nearly everything goes, so that keys empty and come back.
        let shrinks = (feed.len() / 40) % 2 == 1;
        let fate = random.below(10);
        if live.is_empty() || fate < if shrinks { 2 } else { 6 } {
            live.push(row(random));
            feed.push((RowKind::Insert, live.last().unwrap().clone()));
        } else {
            let gone = live.swap_remove(random.below(live.len() as u64) as usize);
            if fate == 9 {
                live.push(row(random));
                feed.push((RowKind::UpdateBefore, gone));
                feed.push((RowKind::UpdateAfter, live.last().unwrap().clone()));
            } else {
                feed.push((RowKind::Delete, gone));
            }
        }
    }
    feed
}

pub fn inserting_feed(
    random: &mut Random,
    count: usize,
    row: &mut dyn FnMut(&mut Random) -> String,
) -> Vec<Change> {
    (0..count).map(|_| (RowKind::Insert, row(random))).collect()
}

/// How a feed is run.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    pub workers: usize,
    /// The seed of the cut into steps of up to so many rows.
    pub cuts: (u64, u64),
    /// Ends now and then, and goes on from a snapshot with another number of workers.
    pub restores: bool,
    pub budget_bytes: usize,
}

impl Manner {
    pub fn plain(workers: usize, cuts: (u64, u64)) -> Manner {
        Manner { workers, cuts, restores: false, budget_bytes: usize::MAX }
    }
}

/// What a step took (how many changes of the feed so far) and gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub fed: usize,
    pub changes: Vec<Change>,
}

/// Runs a feed through a plan with one scan and one sink, step by step.
pub fn run(plan: &Arc<Plan>, scan: NodeId, feed: &[Change], manner: Manner) -> Vec<Step> {
    let mut random = Random(manner.cuts.0);
    let options = |workers| DataflowOptions { workers, parallel_rows_min: 1 };
    let mut home = Home::new(manner.budget_bytes);
    let (mut dataflow, mut store) = home.begin(plan, options(manner.workers));
    let (mut steps, mut fed) = (Vec::new(), 0);
    while fed < feed.len() {
        let size = 1 + random.below(manner.cuts.1) as usize;
        let now = &feed[fed..(fed + size).min(feed.len())];
        // Two reads a step, so that chunks are put together.
        let (one, two) = now.split_at(random.below(now.len() as u64 + 1) as usize);
        let reads =
            [one, two].into_iter().filter(|part| !part.is_empty()).map(|part| changes_read(plan, scan, part));
        let output = dataflow.step(StepInput { clock_ms: 0, reads: reads.collect() }).unwrap();
        fed += now.len();
        let changes = output.outputs.iter().flat_map(|sink| changes_of(&sink.rows)).collect();
        steps.push(Step { fed, changes });
        dataflow.relieve().unwrap();
        if manner.restores && random.below(4) == 0 {
            let before = digest(&mut dataflow);
            let workers = 1 << random.below(3);
            (dataflow, store) = home.restore(plan, options(workers), (dataflow, store));
            assert_eq!(digest(&mut dataflow), before, "a restored dataflow has the same state");
        }
    }
    drop((dataflow, store));
    steps
}

pub fn changes_read(plan: &Plan, scan: NodeId, changes: &[Change]) -> crate::engine::ScanInput {
    let text: Vec<&str> = changes.iter().map(|(_, row)| row.as_str()).collect();
    let rows = rows(&plan.node(scan).schema, &text.join("\n"));
    let kinds = Int8Array::from_iter_values(changes.iter().map(|(kind, _)| *kind as i8));
    crate::engine::ScanInput { scan, split: 0, rows, kinds: Some(kinds), finished: false, idle: false }
}

pub fn changes_of(batch: &crate::batch::Batch) -> Vec<Change> {
    lines(batch).into_iter().enumerate().map(|(row, line)| (batch.kind(row), line)).collect()
}

/// The rows that changes make, by the first `key_cells` cells; panics where they are no changelog of
/// the declared kind.
pub struct Fold {
    pub changelog: Changelog,
    pub key_cells: usize,
    pub rows: BTreeMap<String, String>,
    /// Keys whose row went by -U and has to come back by +U.
    updating: Option<String>,
}

impl Fold {
    pub fn new(changelog: Changelog, key_cells: usize) -> Fold {
        Fold { changelog, key_cells, rows: BTreeMap::new(), updating: None }
    }

    pub fn apply(&mut self, changes: &[Change]) {
        for (kind, line) in changes {
            let key = line.split(' ').take(self.key_cells).collect::<Vec<_>>().join(" ");
            let what = format!("{} {line}", kind.short());
            if let Some(updating) = self.updating.take() {
                assert_eq!((*kind, &key), (RowKind::UpdateAfter, &updating), "-U without its +U: {what}");
                self.rows.insert(key, line.clone());
                continue;
            }
            match kind {
                RowKind::Insert => {
                    assert_eq!(self.rows.insert(key, line.clone()), None, "a row that is there came: {what}");
                }
                RowKind::UpdateAfter => {
                    assert_eq!(self.changelog, Changelog::Upsert, "+U without its -U: {what}");
                    let old = self.rows.insert(key, line.clone());
                    assert!(old.is_some_and(|old| old != *line), "an update of nothing: {what}");
                }
                RowKind::UpdateBefore => {
                    assert_eq!(self.changelog, Changelog::Retract, "{what}");
                    assert_eq!(self.rows.remove(&key).as_ref(), Some(line), "another row is there: {what}");
                    self.updating = Some(key);
                }
                RowKind::Delete => {
                    assert_eq!(self.rows.remove(&key).as_ref(), Some(line), "another row is there: {what}");
                }
            }
        }
        assert_eq!(self.updating, None, "a step ends within an update");
    }
}

/// Runs a feed in many ways. `expected` gives the rows by key after so many changes of the feed.
pub fn check(
    plan: &Arc<Plan>,
    scan: NodeId,
    feed: &[Change],
    (changelog, key_cells): (Changelog, usize),
    expected: &dyn Fn(usize) -> BTreeMap<String, String>,
) {
    let check_steps = |steps: &[Step], manner: Manner| {
        let mut fold = Fold::new(changelog, key_cells);
        for step in steps {
            fold.apply(&step.changes);
            let expected = expected(step.fed);
            for (key, row) in &expected {
                let found = fold.rows.get(key).map(String::as_str).unwrap_or_default();
                let cells = row.split(' ').zip(found.split(' ')).enumerate();
                let different: Vec<_> = cells.filter(|(_, (want, found))| want != found).collect();
                assert!(found == row, "key {key} after {} changes: {different:?}, {manner:?}", step.fed);
            }
            assert_eq!(fold.rows, expected, "after {} changes, {manner:?}", step.fed);
        }
    };
    for rows_max in [1, 7, 60, 1 << 20] {
        let cuts = (rows_max, rows_max);
        let one = Manner::plain(1, cuts);
        let steps = run(plan, scan, feed, one);
        check_steps(&steps, one);
        for workers in [2, 4] {
            let manner = Manner::plain(workers, cuts);
            assert_eq!(run(plan, scan, feed, manner), steps, "{manner:?}");
        }
    }
    for budget_bytes in [usize::MAX, 4096, 0] {
        let manner = Manner { workers: 2, cuts: (5, 20), restores: true, budget_bytes };
        check_steps(&run(plan, scan, feed, manner), manner);
    }
}
