//! The page of what was tried: `docs/connectors-matrix.md`, made of the results that recorded runs leave.
//!
//! A result is a file of `tests/connectors`, one for each system, so that a system can be run and recorded by itself. What
//! a connector promises is taken from the reference, which is made of its spec.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::cases::CASES;
use super::outside::{Direction, Outside};
use super::{Outcome, systems};
use crate::places;

const FOLDER: &str = "tests/connectors";
const PAGE: &str = "docs/connectors-matrix.md";
const REFERENCE: &str = "docs/reference/sql/connectors.md";
const PASSED: &str = "passed";

const HEAD: &str = "# Connectors and what they were tried with

Every connector goes through the same cases against a real server, which `cargo xtask connectors` runs. \
This page is made of the results of the last recorded run (`cargo xtask connectors --record`).
";

/// What a run of one system came to, by direction and case.
#[derive(Default)]
pub struct Results(BTreeMap<&'static str, BTreeMap<&'static str, String>>);

impl Results {
    pub fn add(&mut self, direction: Direction, case: &'static str, outcome: &Outcome) {
        let text = match outcome {
            Outcome::Passed => PASSED.to_owned(),
            Outcome::Exempt(why) => (*why).to_owned(),
            Outcome::Failed => "failed".to_owned(),
        };
        self.0.entry(direction.name()).or_default().insert(case, text);
    }

    /// Keeps them, for the page.
    pub fn save(&self, outside: &dyn Outside) -> Result<()> {
        let (connector, server) = (outside.connector(), outside.version()?);
        let value = json!({ "connector": connector, "server": server, "directions": self.0 });
        let path = file(outside.name());
        std::fs::write(&path, format!("{value:#}\n"))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Makes the page anew.
pub fn write() -> Result<()> {
    Ok(std::fs::write(places::root().join(PAGE), page()?)?)
}

fn file(system: &str) -> PathBuf {
    places::root().join(FOLDER).join(format!("{system}.json"))
}

/// A system in one direction: a column of the table of cases.
struct Column {
    title: String,
    line: String,
    /// By case: passed, or why it does not apply.
    cases: BTreeMap<String, String>,
}

fn columns() -> Result<Vec<Column>> {
    let reference = std::fs::read_to_string(places::root().join(REFERENCE))?;
    let mut columns = Vec::new();
    for (system, _) in systems::all() {
        let path = file(system);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("{} is missing; run: cargo xtask connectors {system} --record", path.display())
        })?;
        let results: Value = serde_json::from_str(&text)?;
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (connector, server) = (word(&results["connector"]), word(&results["server"]));
        for (direction, cases) in results["directions"].as_object().context("no directions")? {
            let cases = cases.as_object().context("no cases")?;
            let cases: BTreeMap<String, String> =
                cases.iter().map(|(case, outcome)| (case.clone(), word(outcome))).collect();
            for case in CASES {
                if !cases.contains_key(case.name) {
                    bail!("{system} {direction} was not recorded with the case '{}'", case.name);
                }
            }
            let passed = cases.values().filter(|outcome| *outcome == PASSED).count();
            let exempt = cases.len() - passed;
            let counted =
                if exempt == 0 { passed.to_string() } else { format!("{passed}, {exempt} do not apply") };
            let guarantee = guarantee(&reference, &connector, direction)?;
            columns.push(Column {
                title: format!("{system} {direction}"),
                line: format!(
                    "| {system} | `{connector}` | {direction} | {guarantee} | {server} | {counted} |"
                ),
                cases,
            });
        }
    }
    Ok(columns)
}

/// As the connector's spec has it, and EXPLAIN shows it.
fn guarantee(reference: &str, connector: &str, direction: &str) -> Result<String> {
    let begin = format!("## {connector}\n");
    let (_, section) = reference.split_once(&begin).with_context(|| format!("no connector {connector}"))?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let verb = if direction == Direction::Source.name() { "- read: " } else { "- written: " };
    let found = section.lines().find_map(|line| line.strip_prefix(verb));
    Ok(found.with_context(|| format!("{connector} promises nothing as a {direction}"))?.to_owned())
}

fn page() -> Result<String> {
    let columns = columns()?;
    let mut page = String::from(HEAD);
    page.push_str("\n| system | connector | direction | guarantee | tried with | cases passed |\n|---|---|---|---|---|---|\n");
    for column in &columns {
        writeln!(page, "{}", column.line)?;
    }
    page.push_str("\n## Cases\n\n| case |");
    for column in &columns {
        write!(page, " {} |", column.title)?;
    }
    page.push_str("\n|---|");
    page.push_str(&":-:|".repeat(columns.len()));
    page.push('\n');
    let mut notes: Vec<&str> = Vec::new();
    for case in CASES {
        write!(page, "| **{}**: {} |", case.name, case.doc)?;
        for column in &columns {
            let outcome = column.cases.get(case.name).map_or("", String::as_str);
            if outcome == PASSED {
                page.push_str(" passed |");
                continue;
            }
            let known = notes.iter().position(|note| *note == outcome);
            let number = known.unwrap_or_else(|| {
                notes.push(outcome);
                notes.len() - 1
            });
            write!(page, " – ({}) |", number + 1)?;
        }
        page.push('\n');
    }
    if !notes.is_empty() {
        page.push_str("\nCases that do not apply:\n\n");
        for (number, note) in (1..).zip(notes) {
            writeln!(page, "{number}. {note}")?;
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_made_of_the_recorded_results_of_all_cases() {
        let path = places::root().join(PAGE);
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == page().unwrap(), "{PAGE} is out of date; run: cargo xtask connectors --record");
    }

    #[test]
    fn nothing_that_failed_is_recorded() {
        for column in columns().unwrap() {
            assert!(column.cases.values().all(|outcome| outcome != "failed"), "{}", column.title);
        }
    }
}
