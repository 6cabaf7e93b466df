//! Random expressions and queries, on Flink and on our side, for a while; every difference made small and told.
//!
//! Expressions come as trees, so that a difference is looked for in the smallest part that still differs; queries come as
//! parts that can be left out one by one. Differences of one kind are told once: the kind is the outermost operation
//! with the types under it, or the features of the smallest query. What is known stands in `gaps.txt`.

#![allow(clippy::disallowed_methods, reason = "how long it goes on is real time; nothing here is replayed")]

mod expressions;
mod queries;

use crate::evaluate::{Evaluated, Evaluator};
use crate::flink::Flink;
use crate::run::Random;
use crate::{compare, gaps, statements};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How many go to Flink at once.
const EXPRESSIONS: usize = 240;
const QUERIES: usize = 24;
/// The classes that a Flink has generated fill it up.
const ROUNDS_OF_A_FLINK: u64 = 20;
/// Rounds of making queries smaller.
const SHRINK_ROUNDS: usize = 4;

/// What a run came to.
#[derive(Debug, Default)]
pub struct Sum {
    pub expressions: u64,
    pub queries: u64,
    /// Kinds of differences.
    pub mismatches: BTreeSet<String>,
    /// Differences of kinds that `gaps.txt` explains.
    pub known: u64,
}

pub struct Fuzz {
    flink: Flink,
    random: Random,
    evaluator: Evaluator,
    known: BTreeMap<String, String>,
    folder: PathBuf,
    sum: Sum,
}

impl Fuzz {
    pub fn new(seed: u64) -> Result<Fuzz> {
        let folder = std::env::temp_dir().join(format!("flink-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Fuzz {
            flink: Flink::start()?,
            random: Random(seed),
            evaluator: Evaluator::default(),
            known: gaps::read()?,
            folder,
            sum: Sum::default(),
        })
    }

    /// Goes on until the time is over.
    pub fn run(mut self, length: Duration) -> Result<Sum> {
        let start = Instant::now();
        for round in 1u64.. {
            if start.elapsed() >= length {
                break;
            }
            if round.is_multiple_of(ROUNDS_OF_A_FLINK) {
                self.flink = Flink::start()?;
            }
            self.expressions()?;
            if start.elapsed() < length {
                self.queries()?;
            }
            let Sum { expressions, queries, mismatches, known } = &self.sum;
            println!(
                "fuzz: {:.1} min, {expressions} expressions, {queries} queries, {} mismatches, {known} known",
                start.elapsed().as_secs_f64() / 60.0,
                mismatches.len()
            );
        }
        let _ = std::fs::remove_dir_all(&self.folder);
        Ok(self.sum)
    }

    fn expressions(&mut self) -> Result<()> {
        let trees: Vec<expressions::Tree> =
            (0..EXPRESSIONS).map(|_| expressions::random(&mut self.random)).collect();
        self.sum.expressions += trees.len() as u64;
        let texts: Vec<String> = trees.iter().map(|tree| tree.text.clone()).collect();
        let different = self.different(&texts)?;
        if different.is_empty() {
            return Ok(());
        }
        // The parts of all that differ, the smaller ones first.
        let parts: Vec<Vec<&expressions::Tree>> =
            different.keys().map(|index| trees[*index].parts()).collect();
        let all: BTreeSet<&str> = parts.iter().flatten().map(|part| part.text.as_str()).collect();
        let all: Vec<String> = all.into_iter().map(str::to_string).collect();
        let different_parts = self.different(&all)?;
        let by_text: BTreeMap<&str, &String> =
            different_parts.iter().map(|(index, shown)| (all[*index].as_str(), shown)).collect();
        for parts in parts {
            let smallest = parts.iter().find(|part| by_text.contains_key(part.text.as_str()));
            if let Some(part) = smallest {
                let shown = by_text[part.text.as_str()].clone();
                self.tell(&part.kind(), &shown);
            }
        }
        Ok(())
    }

    /// Which of the expressions differ, by their places.
    fn different(&mut self, texts: &[String]) -> Result<BTreeMap<usize, String>> {
        let (written, results) = (self.folder.join("expressions.sql"), self.folder.join("expressions.txt"));
        std::fs::write(&written, texts.join("\n"))?;
        self.flink.expressions(&written, &results)?;
        let results = std::fs::read_to_string(&results)?;
        let mut different = BTreeMap::new();
        for (index, (text, line)) in texts.iter().zip(results.lines()).enumerate() {
            let result = line.strip_prefix(text.as_str()).and_then(|line| line.strip_prefix(" => "));
            let result = result.with_context(|| format!("Flink answered {line} to {text}"))?;
            let golden = compare::Golden::parse(result).with_context(|| line.to_string())?;
            let found = self.evaluator.evaluate(text);
            let limit = matches!(&found, Evaluated::Error(message) if message.contains("not supported"));
            if !golden.admits_loosely(&found) && !limit {
                different.insert(index, format!("{text}\n    Flink {result}\n    ours  {}", found.shown()));
            }
        }
        Ok(different)
    }

    fn queries(&mut self) -> Result<()> {
        let mut open: Vec<queries::Query> = (0..QUERIES).map(|_| queries::random(&mut self.random)).collect();
        self.sum.queries += open.len() as u64;
        let mut found: Vec<Option<String>> = vec![None; open.len()];
        for round in 0..=SHRINK_ROUNDS {
            // Each query that differs with its smaller ones; in the first round there are no smaller ones.
            let candidates: Vec<Vec<queries::Query>> = open
                .iter()
                .map(|query| if round == 0 { vec![query.clone()] } else { query.smaller() })
                .collect();
            let texts: Vec<String> = candidates.iter().flatten().map(queries::Query::text).collect();
            if texts.is_empty() {
                break;
            }
            let differences = self.query_differences(&texts)?;
            let mut at = 0;
            let mut next = Vec::new();
            let mut next_found = Vec::new();
            for (index, candidates) in candidates.into_iter().enumerate() {
                let count = candidates.len();
                let smaller = (at..at + count).find(|place| differences[*place].is_some());
                at += count;
                match smaller {
                    Some(place) => {
                        next.push(candidates[place - (at - count)].clone());
                        next_found.push(differences[place].clone());
                    }
                    None if round == 0 => {}
                    None => {
                        // Nothing smaller differs.
                        let shown = found[index].clone().unwrap_or_default();
                        self.tell(&open[index].kind(), &shown);
                    }
                }
            }
            (open, found) = (next, next_found);
        }
        for (query, shown) in open.iter().zip(found) {
            self.tell(&query.kind(), &shown.unwrap_or_default());
        }
        Ok(())
    }

    fn query_differences(&mut self, texts: &[String]) -> Result<Vec<Option<String>>> {
        let (written, results) = (self.folder.join("queries.sql"), self.folder.join("queries.txt"));
        std::fs::write(&written, texts.join(";\n"))?;
        self.flink.statements(&written, &results)?;
        let compared = statements::compare(Path::new(&written), Path::new(&results))?;
        Ok(compared
            .iter()
            .map(|one| {
                let limit = matches!(&one.found, statements::Given::Error(message)
                    if message.contains("not supported"));
                // Names and lengths of types are for the golden files, and FINDINGS.md has the queries of which Flink's
                // planner makes a constant.
                let columns = one.difference.as_ref().is_some_and(|text| text.starts_with("columns: "));
                let passed = limit || columns || is_constant(&one.golden, &one.found);
                one.difference.as_ref().filter(|_| !passed).map(|_| statements::show(one, false))
            })
            .collect())
    }

    fn tell(&mut self, kind: &str, shown: &str) {
        if self.known.contains_key(&format!("fuzz/{kind}")) {
            self.sum.known += 1;
        } else if self.sum.mismatches.insert(kind.to_string()) {
            println!("MISMATCH {kind}\n{shown}");
        }
    }
}

/// Whether Flink gave the one row of an aggregate over nothing, and we nothing.
fn is_constant(golden: &statements::Given, found: &statements::Given) -> bool {
    let (statements::Given::Rows { rows: wanted, .. }, statements::Given::Rows { rows: found, .. }) =
        (golden, found)
    else {
        return false;
    };
    let [row] = wanted.as_slice() else { return false };
    let mut cells = row.trim_matches(['(', ')']).split(", ");
    found.is_empty() && cells.all(|cell| cell == "0" || cell == "NULL")
}
