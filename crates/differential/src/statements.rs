//! Files of statements: declarations, and queries whose net rows Flink gave.
//!
//! A file in `tests/flink/statements` is a script. Its queries run one by one over what was declared before them, and
//! over what `data/declarations.sql` declares for all; `${data}` stands for the folder with the inputs. In the golden file stands for each query its text, the
//! columns and the net rows, or the error.

use crate::compare::types_agree;
use crate::evaluate::CLOCK_MS;
use crate::run::{Inputs, MANNERS, Manner, run};
use anyhow::{Context, Result, bail, ensure};
use connectors::Connectors;
use os::Os;
use sql::ast::StatementKind;
use sql::binder::Column;
use sql::parser::parse_script;
use sql::session::{JobRequest, Outcome, Session};
use sql::source::SourceText;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// What Flink or we gave for a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    Rows {
        /// Name and type.
        columns: Vec<(String, String)>,
        rows: Vec<String>,
    },
    Error(String),
}

pub struct Compared {
    pub query: String,
    pub golden: Given,
    pub found: Given,
    /// Why they differ.
    pub difference: Option<String>,
}

pub fn data_folder() -> PathBuf {
    crate::folder().join("statements/data")
}

pub fn topics() -> Result<Vec<String>> {
    crate::expressions::names(&crate::folder().join("statements"))
}

pub fn written_file(topic: &str) -> PathBuf {
    crate::folder().join("statements").join(format!("{topic}.sql"))
}

pub fn golden_file(topic: &str) -> PathBuf {
    crate::folder().join("golden/statements").join(format!("{topic}.txt"))
}

/// Runs every query of a file in every manner, beside what Flink gave.
pub fn compare(written: &Path, golden: &Path) -> Result<Vec<Compared>> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| {
            format!("cannot read file={}; run: cargo xtask flink statements", path.display())
        })
    };
    let goldens = parse_golden(&read(golden)?)?;
    let folder = data_folder().display().to_string();
    let declarations = read(&data_folder().join("declarations.sql"))?;
    let statements = split(&format!("{declarations};\n{}", read(written)?).replace("${data}", &folder));
    let mut goldens = goldens.into_iter();
    let mut runner = Runner::default();
    let mut compared = Vec::new();
    for statement in statements {
        if !is_query(&statement) {
            runner.declare(&statement).with_context(|| statement.clone())?;
            continue;
        }
        let query = one_line(&statement);
        let Some((text, golden)) = goldens.next().filter(|(text, _)| *text == query) else {
            bail!("the golden file is older than {}: it has not {query}", written.display());
        };
        let found = runner.query(&statement);
        let difference = match &found {
            Ok(found) => difference(&golden, found),
            Err(message) => Some(message.clone()),
        };
        let found = found.unwrap_or_else(Given::Error);
        compared.push(Compared { query: text, golden, found, difference });
    }
    ensure!(goldens.next().is_none(), "{} has queries that the other has not", golden.display());
    Ok(compared)
}

pub fn difference(golden: &Given, found: &Given) -> Option<String> {
    match (golden, found) {
        (Given::Error(_), Given::Error(_)) => None,
        (Given::Error(message), Given::Rows { .. }) => Some(format!("Flink refuses it: {message}")),
        (Given::Rows { .. }, Given::Error(message)) => Some(format!("we refuse it: {message}")),
        (
            Given::Rows { columns: wanted_columns, rows: wanted },
            Given::Rows { columns: found_columns, rows: found },
        ) => {
            let same = wanted_columns.len() == found_columns.len();
            let columns = wanted_columns.iter().zip(found_columns);
            let same = same
                && columns
                    .clone()
                    .all(|(wanted, found)| wanted.0 == found.0 && types_agree(&wanted.1, &found.1));
            if !same {
                let shown = columns.filter(|(wanted, found)| wanted != found);
                let shown: Vec<String> = shown
                    .map(|(wanted, found)| {
                        format!("`{}` {} not `{}` {}", found.0, found.1, wanted.0, wanted.1)
                    })
                    .collect();
                return Some(format!("columns: {}", shown.join(", ")));
            }
            rows_difference(wanted, found)
        }
    }
}

/// The query with what differs, or with everything.
pub fn show(compared: &Compared, all: bool) -> String {
    let difference = compared.difference.as_deref().unwrap_or("equal");
    let mut text = format!("{}\n    {difference}", compared.query);
    if all {
        for (who, given) in [("Flink", &compared.golden), ("ours", &compared.found)] {
            let given = match given {
                Given::Error(message) => format!("error: {message}"),
                Given::Rows { columns, rows } => {
                    let columns: Vec<String> =
                        columns.iter().map(|(name, data_type)| format!("`{name}` {data_type}")).collect();
                    format!("{}\n        {}", columns.join(", "), rows.join("\n        "))
                }
            };
            text.push_str(&format!("\n    {who}: {given}"));
        }
    }
    text
}

/// The first rows that only one of two sorted lists has.
fn rows_difference(wanted: &[String], found: &[String]) -> Option<String> {
    let (mut missing, mut extra) = (wanted.to_vec(), Vec::new());
    for row in found {
        match missing.iter().position(|wanted| wanted == row) {
            Some(index) => drop(missing.remove(index)),
            None => extra.push(row.clone()),
        }
    }
    if missing.is_empty() && extra.is_empty() {
        return None;
    }
    let few = |rows: &[String]| {
        let more = if rows.len() > 5 { format!(" and {} more", rows.len() - 5) } else { String::new() };
        rows.iter().take(5).cloned().collect::<Vec<_>>().join(" ") + &more
    };
    Some(format!("only Flink: {}; only ours: {}", few(&missing), few(&extra)))
}

/// The queries of a golden file, in order.
fn parse_golden(text: &str) -> Result<Vec<(String, Given)>> {
    let mut queries = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let query = line.strip_prefix("== ").with_context(|| format!("not the line of a query: {line}"))?;
        let head = lines.next().with_context(|| format!("nothing behind: {query}"))?;
        if let Some(message) = head.strip_prefix("error: ") {
            queries.push((query.to_string(), Given::Error(message.to_string())));
            continue;
        }
        let columns = head.strip_prefix("columns ").with_context(|| format!("no columns in: {head}"))?;
        let columns = columns.split('\t').map(|column| {
            let (name, data_type) = column.rsplit_once('|').context("a column without type")?;
            Ok((name.to_string(), data_type.to_string()))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let mut rows = Vec::new();
        while let Some(row) = lines.next_if(|line| !line.starts_with("== ")) {
            rows.push(row.to_string());
        }
        queries.push((query.to_string(), Given::Rows { columns, rows }));
    }
    Ok(queries)
}

/// A session with the connectors of the binary, but for the log.
pub struct Runner {
    session: Session,
    connectors: dataflow::connector::ConnectorTable,
}

impl Default for Runner {
    fn default() -> Runner {
        let connectors = connectors::table(Connectors { os: Os::real(), log: None });
        Runner { session: Session::new(connectors.clone()), connectors }
    }
}

impl Runner {
    pub fn declare(&mut self, statement: &str) -> Result<()> {
        let source = SourceText::new("statement", statement);
        let (statements, problems) = parse_script(&source);
        if let Some(problem) = problems.first() {
            bail!("{problem}");
        }
        for statement in &statements {
            self.session.execute(statement).map_err(|problems| anyhow::anyhow!("{}", problems[0]))?;
        }
        Ok(())
    }

    /// The columns and the net rows of a query; an error where it is wrong in itself, whatever Flink gave.
    pub fn query(&mut self, text: &str) -> Result<Given, String> {
        match catch_unwind(AssertUnwindSafe(|| self.run(text))) {
            Ok(Ok(given)) => Ok(given),
            Ok(Err(error)) => Err(format!("{error:#}")),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                Err(format!("PANIC: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?")))
            }
        }
    }

    /// The net rows of a query that is run in one manner.
    pub fn rows_in(&mut self, text: &str, manner: Manner) -> Result<Vec<String>> {
        let (job, columns) = match self.planned(text)? {
            Ok(planned) => planned,
            Err(message) => bail!("{message}"),
        };
        let inputs = Inputs::read(&job.plan, &self.connectors, CLOCK_MS)?;
        let types: Vec<_> = columns.iter().map(|column| column.data_type.clone()).collect();
        run(&job.plan, &inputs, &types, manner, CLOCK_MS)
    }

    /// The job of a query and its columns, or what is wrong with it.
    fn planned(&mut self, text: &str) -> Result<Result<(JobRequest, Vec<Column>), String>> {
        let source = SourceText::new("query", text);
        let (statements, problems) = parse_script(&source);
        if let Some(problem) = problems.first() {
            return Ok(Err(format!("parse: {problem}")));
        }
        let [statement] = statements.as_slice() else { bail!("not one statement") };
        let StatementKind::Query(query) = &statement.kind else { bail!("not a query") };
        let columns = match self.session.query_columns(query) {
            Ok(columns) => columns,
            Err(problem) => return Ok(Err(format!("plan: {problem}"))),
        };
        match self.session.execute(statement) {
            Ok(Outcome::Job(job)) => Ok(Ok((job, columns))),
            Ok(_) => bail!("a query gave no job"),
            Err(problems) => Ok(Err(format!("plan: {}", problems[0]))),
        }
    }

    fn run(&mut self, text: &str) -> Result<Given> {
        let (job, columns) = match self.planned(text)? {
            Ok(planned) => planned,
            Err(message) => return Ok(Given::Error(message)),
        };
        let inputs = Inputs::read(&job.plan, &self.connectors, CLOCK_MS)?;
        let types: Vec<_> = columns.iter().map(|column| column.data_type.clone()).collect();
        let mut rows: Option<Vec<String>> = None;
        for manner in MANNERS {
            let found = run(&job.plan, &inputs, &types, *manner, CLOCK_MS);
            let found = match (found, &rows) {
                (Ok(found), _) => found,
                // The first run decides what a query gives; the others must give it too.
                (Err(error), None) if !format!("{error:#}").starts_with("invalid changelog") => {
                    return Ok(Given::Error(format!("run: {error:#}")));
                }
                (Err(error), _) => bail!("{manner:?}: {error:#}"),
            };
            match &rows {
                None => rows = Some(found),
                Some(rows) => {
                    if let Some(difference) = rows_difference(rows, &found) {
                        let difference =
                            difference.replace("only Flink", "only whole").replace("only ours", "only here");
                        bail!("not the rows of the whole run in {manner:?}: {difference}");
                    }
                }
            }
        }
        let columns = columns.iter().map(|column| (column.name.clone(), column.data_type.to_string()));
        Ok(Given::Rows { columns: columns.collect(), rows: rows.unwrap_or_default() })
    }
}

pub fn is_query(statement: &str) -> bool {
    let start = statement.trim_start();
    let word =
        start.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default().to_ascii_uppercase();
    start.starts_with('(') || matches!(word.as_str(), "SELECT" | "WITH" | "VALUES")
}

pub fn one_line(statement: &str) -> String {
    statement.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Cuts a script at its semicolons and drops the comments, as `FlinkRun.java` does.
pub fn split(script: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut current = String::new();
    let mut rest = script;
    while let Some(character) = rest.chars().next() {
        let end_of = |text: &str, end: &str, from: usize| text[from..].find(end).map(|at| from + at);
        let length = if rest.starts_with("--") {
            let length = rest.find('\n').unwrap_or(rest.len());
            rest = &rest[length..];
            continue;
        } else if rest.starts_with("/*") && !rest.starts_with("/*+") {
            let length = end_of(rest, "*/", 2).map_or(rest.len(), |end| end + 2);
            rest = &rest[length..];
            continue;
        } else if matches!(character, '\'' | '`' | '"') {
            end_of(rest, &character.to_string(), 1).map_or(rest.len(), |end| end + 1)
        } else if character == ';' {
            statements.push(std::mem::take(&mut current));
            rest = &rest[1..];
            continue;
        } else {
            character.len_utf8()
        };
        current.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    statements.push(current);
    let trimmed = statements.iter().map(|statement| statement.trim().to_string());
    trimmed.filter(|statement| !statement.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_cut_outside_quotes_and_comments() {
        let script = "-- a;\nSELECT ';', `;` /* ; */ FROM t;\n\nSET 'a' = 'b';";
        assert_eq!(split(script), ["SELECT ';', `;`  FROM t", "SET 'a' = 'b'"]);
        assert!(is_query("select 1") && is_query("(SELECT 1)") && !is_query("CREATE TABLE x (a INT)"));
    }

    #[test]
    fn golden_files_are_read() {
        let text = "== SELECT 1\ncolumns EXPR$0|INT NOT NULL\n(1)\n(1)\n== SELECT x\nerror: no\n";
        let queries = parse_golden(text).unwrap();
        let Given::Rows { columns, rows } = &queries[0].1 else { panic!("{queries:?}") };
        assert_eq!((columns[0].1.as_str(), rows.len()), ("INT NOT NULL", 2));
        assert_eq!(queries[1].1, Given::Error("no".into()));
        assert_eq!(difference(&queries[0].1, &queries[0].1), None);
        assert!(difference(&queries[0].1, &queries[1].1).is_some());
    }
}
