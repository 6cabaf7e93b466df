//! A Flink SQL file as the command line takes it: read, variables filled in, parsed, its errors shown.

use crate::cli::ScriptArguments;
use anyhow::{Context, bail};
use connectors::Connectors;
use dataflow::plan::{NodeKind, Plan};
use os::Os;
use sql::ast::Statement;
use sql::diagnostic::{Diagnostic, render_all};
use sql::session::{JobRequest, Session};
use sql::source::SourceText;
use std::collections::BTreeMap;
use std::path::Path;

pub struct Script {
    pub source: SourceText,
}

impl Script {
    /// Reads the files; variables are NAME=value pairs, which the environment stands behind.
    pub fn read(arguments: &ScriptArguments) -> anyhow::Result<Script> {
        let files = arguments.init.iter().chain([&arguments.file]);
        let files = files.map(|file| read_text(file)).collect::<anyhow::Result<Vec<_>>>()?;
        let mut given = BTreeMap::new();
        for variable in &arguments.variables {
            let Some((name, value)) = variable.split_once('=') else {
                bail!("--var '{variable}' has no '=': write --var NAME=value");
            };
            given.insert(name, value);
        }
        let lookup = |name: &str| given.get(name).map(|v| v.to_string()).or_else(|| std::env::var(name).ok());
        let (source, diagnostics) = SourceText::files_with_variables(files, &lookup);
        let script = Script { source };
        if diagnostics.is_empty() { Ok(script) } else { Err(script.failure(&diagnostics)) }
    }

    /// The statements and how many jobs they make, once the whole file was planned without an error.
    pub fn check(&self, os: &Os) -> anyhow::Result<(Vec<Statement>, usize)> {
        let connectors = connectors::table(Connectors { os: os.clone(), log: None });
        let report = Session::new(connectors).check_script(&self.source);
        if !report.diagnostics.is_empty() {
            return Err(self.failure(&report.diagnostics));
        }
        Ok((sql::parser::parse_script(&self.source).0, report.jobs.len()))
    }

    /// Diagnostics as one error; the first line's `error: ` is added by `main`.
    pub fn failure(&self, diagnostics: &[Diagnostic]) -> anyhow::Error {
        let text = render_all(diagnostics, &self.source);
        let text = text.trim_end();
        anyhow::anyhow!("{}", text.strip_prefix("error: ").unwrap_or(text))
    }
}

/// The names of jobs in the order of a file: the n-th of one name gets its number.
#[derive(Default)]
pub struct JobNames(BTreeMap<String, u32>);

impl JobNames {
    /// `pipeline.name`, or the file's name and the statement.
    pub fn name(&mut self, file: &Path, job: &JobRequest) -> String {
        let base = match job.settings.get("pipeline.name") {
            Some(name) => name.clone(),
            None => format!("{}-{}", file.file_stem().unwrap_or_default().to_string_lossy(), job.name),
        };
        let count = self.0.entry(base.clone()).or_default();
        *count += 1;
        if *count == 1 { base } else { format!("{base}-{count}") }
    }
}

/// A file's name and text.
fn read_text(file: &Path) -> anyhow::Result<(String, String)> {
    let name = file.display().to_string();
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {name}"))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        anyhow::anyhow!("{name} is not a text in UTF-8 (byte {})", error.utf8_error().valid_up_to())
    })?;
    Ok((name, text))
}

/// The topics of the embedded log that a plan writes.
pub fn topics_written(plan: &Plan) -> Vec<String> {
    let tables = plan.nodes.iter().filter_map(|node| match &node.kind {
        NodeKind::Sink { table } => Some(table),
        _ => None,
    });
    tables.filter_map(|table| table.options.get("topic").cloned()).collect()
}
