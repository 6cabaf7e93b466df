//! The search against a model that tries every way to map rows to variables.

use super::automaton::Automaton;
use super::queue::{MatchQueue, PartialMatch, Start};
use super::search::{PARTIAL_MATCHES_MAX, Search};
use crate::plan::{AfterMatch, RowPattern, RowVariable};
use std::collections::BTreeSet;

/// A small generator, so that a failing seed is all there is to know.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn variable(name: &str, least: u32, most: Option<u32>, greedy: bool) -> RowVariable {
    RowVariable { name: name.into(), least, most, greedy, row_condition: None, condition: None }
}

fn pattern(variables: Vec<RowVariable>, after_match: AfterMatch, within_ms: Option<i64>) -> RowPattern {
    RowPattern { variables, after_match, within_ms }
}

/// A row: its time, and which variables it satisfies, a bit for each.
type Row = (i64, u64);

fn satisfies(row: &Row, variable: usize) -> bool {
    row.1 & (1 << variable) != 0
}

/// What is found, as the first row and the number behind the last.
fn found(pattern: &RowPattern, rows: &[Row]) -> Vec<(usize, usize)> {
    let automaton = Automaton::new(pattern);
    let mut search = Search::new(pattern, &automaton);
    let mut all: Vec<PartialMatch> = Vec::new();
    for row in rows {
        all.extend(search.time(pattern, row.0).unwrap());
        all.extend(search.row(pattern, &automaton, row.0, &|_, variable| satisfies(row, variable)).unwrap());
        // A search that is taken up again goes on in the same way.
        search = Search::restore(&search.save(), pattern, &automaton).unwrap();
    }
    all.iter().map(|one| (one.start.unwrap().sequence as usize, one.end() as usize)).collect()
}

/// The rows of one start under one pattern, tried in every way.
struct Model<'a> {
    pattern: &'a RowPattern,
    rows: &'a [Row],
    start: usize,
    ends: BTreeSet<usize>,
    /// A way goes on behind the last row.
    is_open: bool,
}

impl Model<'_> {
    fn greedy(&self, variable: usize) -> bool {
        let own = &self.pattern.variables[variable];
        own.greedy && own.most != Some(own.least) && (own.least, own.most) != (0, Some(1))
    }

    /// The rows before `at` are mapped; the last of them is the `count`th of `variable`.
    fn go(&mut self, at: usize, variable: Option<usize>, count: u32) {
        let variables = &self.pattern.variables;
        if let Some(own) = variable {
            let last = &self.rows[at - 1];
            let complete = count >= variables[own].least
                && variables[own + 1..].iter().all(|later| later.least == 0)
                // Behind a greedy variable only a row that it does not take ends the pattern.
                && (own..variables.len()).all(|later| !self.greedy(later) || !satisfies(last, later));
            if complete {
                self.ends.insert(at);
            }
        }
        let Some(row) = self.rows.get(at) else {
            // Nothing more is wanted behind the last variable's last row.
            let full = variable.is_some_and(|own| {
                own + 1 == variables.len() && variables[own].most.is_some_and(|most| count >= most)
            });
            self.is_open |= !full;
            return;
        };
        let is_late = self.pattern.within_ms.is_some_and(|ms| row.0 - self.rows[self.start].0 >= ms);
        if is_late && at > self.start {
            return;
        }
        let first = variable.map_or(0, |own| own);
        for next in first..variables.len() {
            let stays = variable == Some(next);
            let allowed = match variable {
                Some(own) if stays => variables[own].most.is_none_or(|most| count < most),
                Some(own) => {
                    count >= variables[own].least
                        && variables[own + 1..next].iter().all(|skipped| skipped.least == 0)
                        && (own..next).all(|left| !self.greedy(left) || !satisfies(row, left))
                }
                None => {
                    variables[..next].iter().all(|skipped| skipped.least == 0)
                        && (0..next).all(|left| !self.greedy(left) || !satisfies(row, left))
                }
            };
            if allowed && satisfies(row, next) {
                self.go(at + 1, Some(next), if stays { count + 1 } else { 1 });
            }
        }
    }
}

/// Each start has its shortest match; a start that may still match holds up what begins behind it.
fn model(pattern: &RowPattern, rows: &[Row]) -> Vec<(usize, usize)> {
    let mut all = Vec::new();
    let mut start = 0;
    while start < rows.len() {
        let mut one = Model { pattern, rows, start, ends: BTreeSet::new(), is_open: false };
        one.go(start, None, 0);
        match one.ends.first() {
            Some(end) => {
                all.push((start, *end));
                start = if pattern.after_match == AfterMatch::PastLastRow { *end } else { start + 1 };
            }
            None if one.is_open => break,
            None => start += 1,
        }
    }
    all
}

#[test]
fn finds_what_the_model_finds() {
    let quantifiers = [
        (1, Some(1), false),
        (1, Some(1), false),
        (0, Some(1), false),
        (1, None, true),
        (0, None, true),
        (1, None, false),
        (0, None, false),
        (2, Some(2), false),
        (1, Some(3), true),
        (0, Some(2), true),
        (0, Some(2), false),
        (2, None, true),
        (2, None, false),
    ];
    let mut matches = 0;
    for seed in 0..600 {
        let mut random = Random(seed);
        let count = 1 + random.below(4) as usize;
        let variables: Vec<RowVariable> = (0..count)
            .map(|number| {
                let (least, most, greedy) = quantifiers[random.below(quantifiers.len() as u64) as usize];
                variable(["a", "b", "c", "d"][number], least, most, greedy)
            })
            .collect();
        let last_is_greedy =
            variables.last().is_some_and(|last| last.greedy && last.most != Some(last.least));
        if variables.iter().all(|one| one.least == 0) || last_is_greedy {
            continue;
        }
        let after_match = if random.below(2) == 0 { AfterMatch::ToNextRow } else { AfterMatch::PastLastRow };
        let within_ms = (random.below(3) == 0).then(|| 2 + random.below(6) as i64);
        let pattern = pattern(variables, after_match, within_ms);
        let mut time = 0;
        let rows: Vec<Row> = (0..14)
            .map(|_| {
                time += random.below(3) as i64;
                (time, random.below(16) | random.below(16))
            })
            .collect();
        let expected = model(&pattern, &rows);
        assert_eq!(found(&pattern, &rows), expected, "seed {seed}: {} over {rows:?}", pattern.describe());
        matches += expected.len();
    }
    assert!(matches > 800, "only {matches} matches were tried");
}

#[test]
fn the_time_lets_out_what_waited_for_an_earlier_match() {
    // The first row could still begin a longer match, so the second waits.
    let variables = vec![variable("a", 3, Some(3), false), variable("b", 1, Some(1), false)];
    let pattern = pattern(variables, AfterMatch::PastLastRow, Some(10));
    let automaton = Automaton::new(&pattern);
    let mut search = Search::new(&pattern, &automaton);
    let rows: [Row; 3] = [(0, 1), (1, 1), (2, 1)];
    for row in &rows {
        let none = search.row(&pattern, &automaton, row.0, &|_, variable| satisfies(row, variable)).unwrap();
        assert!(none.is_empty());
    }
    assert_eq!(search.deadline(&pattern), Some(10));
    assert_eq!(search.first_needed(), 0);
    assert!(search.time(&pattern, 9).unwrap().is_empty());
    assert_eq!(search.open.len(), 4);
    search.time(&pattern, 10).unwrap();
    assert_eq!((search.open.len(), search.first_needed()), (3, 1));
    search.time(&pattern, 12).unwrap();
    assert!(search.is_idle());
}

#[test]
fn skips_to_a_variable() {
    let abc = || {
        vec![
            variable("a", 1, Some(1), false),
            variable("b", 2, Some(2), false),
            variable("c", 0, Some(1), false),
        ]
    };
    let rows: Vec<Row> = (0..6).map(|time| (time, 3)).collect();
    let to_first = pattern(abc(), AfterMatch::ToFirst(1), None);
    assert_eq!(found(&to_first, &rows), [(0, 3), (1, 4), (2, 5), (3, 6)]);
    let to_last = pattern(abc(), AfterMatch::ToLast(1), None);
    assert_eq!(found(&to_last, &rows), [(0, 3), (2, 5)]);
    let fails = |after_match| {
        let pattern = pattern(abc(), after_match, None);
        let automaton = Automaton::new(&pattern);
        let mut search = Search::new(&pattern, &automaton);
        let all = |row: &Row| {
            search.row(&pattern, &automaton, row.0, &|_, variable| satisfies(row, variable)).err()
        };
        rows.iter().find_map(all).unwrap().message
    };
    let nowhere = fails(AfterMatch::ToLast(2));
    assert!(
        nowhere.contains("cannot skip to `c`: a match of `a b{2} c?` was found that has no row"),
        "{nowhere}"
    );
    let itself = fails(AfterMatch::ToFirst(0));
    assert!(itself.contains("cannot skip to `a`: it is the first row of a match"), "{itself}");
}

#[test]
fn too_many_matches_under_way_are_an_error() {
    let variables = vec![variable("a", 1, None, true), variable("b", 1, Some(1), false)];
    let pattern = pattern(variables, AfterMatch::ToNextRow, None);
    let automaton = Automaton::new(&pattern);
    let mut search = Search::new(&pattern, &automaton);
    // As if so many rows had begun a match already.
    let start = |sequence| Some(Start { sequence, time_ms: 0 });
    let open = (0..PARTIAL_MATCHES_MAX as u64).map(|sequence| PartialMatch {
        state: automaton.start,
        start: start(sequence),
        counts: vec![1, 0].into(),
    });
    let before = search.open.items().to_vec();
    search.open = MatchQueue::restored(open.chain(before).collect());
    let error = search.row(&pattern, &automaton, 1, &|_, variable| variable == 0).unwrap_err();
    assert!(error.message.starts_with("more than 65536 matches of `a+ b` are under way"), "{error}");
}

#[test]
fn a_damaged_search_is_an_error() {
    let variables = vec![variable("a", 1, Some(1), false), variable("b", 1, Some(1), false)];
    let pattern = pattern(variables, AfterMatch::ToNextRow, None);
    let automaton = Automaton::new(&pattern);
    let mut search = Search::new(&pattern, &automaton);
    search.row(&pattern, &automaton, 0, &|_, _| true).unwrap();
    let bytes = search.save();
    for length in 0..bytes.len() {
        assert!(Search::restore(&bytes[..length], &pattern, &automaton).is_err());
    }
    assert_eq!(Search::restore(&bytes, &pattern, &automaton).unwrap(), search);
}

#[test]
fn the_queue_keeps_the_order_of_javas_heap() {
    // What java.util.PriorityQueue gives for the same calls; equal keys tell the insertions apart.
    let item = |key: u64, number: usize| PartialMatch {
        state: number,
        start: Some(Start { sequence: key, time_ms: 0 }),
        counts: Box::new([]),
    };
    let shown = |queue: &MatchQueue| {
        let items = queue.items().iter();
        items
            .map(|item| format!("{}.{}", item.start.unwrap().sequence, item.state))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut queue = MatchQueue::default();
    for (number, key) in [5, 3, 3, 8, 1, 3, 1, 5, 0].into_iter().enumerate() {
        queue.push(item(key, number));
    }
    assert_eq!(shown(&queue), "0.8 1.4 1.6 3.1 5.0 3.5 3.2 8.3 5.7");
    assert_eq!(queue.pop().unwrap().state, 8);
    assert_eq!(shown(&queue), "1.4 3.1 1.6 5.7 5.0 3.5 3.2 8.3");
    queue.remove_if(|item| item.state == 4 || item.state == 7);
    assert_eq!(shown(&queue), "1.6 3.1 5.0 3.5 3.2 8.3");
}
