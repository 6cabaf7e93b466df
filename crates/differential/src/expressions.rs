//! Files of expressions and of their golden results.
//!
//! An expression stands on a line; `#` begins a line of remarks, and a line that begins with `SET` holds for the
//! expressions below it. In a golden file a result stands behind each expression.

use crate::compare::Golden;
use crate::evaluate::{Evaluated, Evaluator};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};

/// A line that means something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    Setting(String),
    Expression(String),
}

pub fn parse(text: &str) -> Vec<Line> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let is_setting = line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("SET "));
            if is_setting { Line::Setting(line.into()) } else { Line::Expression(line.into()) }
        })
        .collect()
}

/// The families: the files in `tests/flink/expressions`, in the order of their names.
pub fn families() -> Result<Vec<String>> {
    names(&crate::folder().join("expressions"))
}

/// The names of the files in a folder, in order.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("folder={}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            names.push(path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

pub fn written_file(family: &str) -> PathBuf {
    crate::folder().join("expressions").join(format!("{family}.sql"))
}

pub fn golden_file(family: &str) -> PathBuf {
    crate::folder().join("golden/expressions").join(format!("{family}.txt"))
}

/// An expression with both results.
pub struct Compared {
    pub expression: String,
    pub golden: String,
    pub found: Evaluated,
    pub is_equal: bool,
}

/// Evaluates every expression of a file on our side, beside the results that Flink gave.
pub fn compare(written: &Path, golden: &Path) -> Result<Vec<Compared>> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| {
            format!("cannot read file={}; run: cargo xtask flink expressions", path.display())
        })
    };
    let (lines, golden_text) = (parse(&read(written)?), read(golden)?);
    let mut golden_lines = golden_text.lines();
    let mut evaluator = Evaluator::default();
    let mut failed_setting = None;
    let mut compared = Vec::new();
    for line in lines {
        let golden_line = golden_lines.next().unwrap_or_default();
        let stale = || format!("{} is older than {}", golden.display(), written.display());
        match line {
            Line::Setting(setting) => {
                ensure!(golden_line == setting, "{}: no line {setting}", stale());
                failed_setting = evaluator.set(&setting).err();
            }
            Line::Expression(expression) => {
                let result = golden_line.strip_prefix(expression.as_str());
                let Some(result) = result.and_then(|result| result.strip_prefix(" => ")) else {
                    bail!("{}: no line {expression}; run: cargo xtask flink expressions", stale());
                };
                let wanted =
                    Golden::parse(result).with_context(|| format!("not a golden line: {golden_line}"))?;
                let found = match &failed_setting {
                    Some(message) => Evaluated::Error(message.clone()),
                    None => evaluator.evaluate(&expression),
                };
                let is_equal = failed_setting.is_none() && wanted.admits(&found);
                compared.push(Compared { expression, golden: result.to_string(), found, is_equal });
            }
        }
    }
    ensure!(golden_lines.next().is_none(), "{} has lines that the other has not", golden.display());
    Ok(compared)
}

/// Both results, one below the other.
pub fn show(compared: &Compared) -> String {
    let found = compared.found.shown();
    format!("{}\n    Flink {}\n    ours  {found}", compared.expression, compared.golden)
}
