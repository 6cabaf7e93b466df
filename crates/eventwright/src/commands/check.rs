//! `check`: parses, plans, explains and lints a file without running anything of it.

use crate::cli::{CheckArguments, Form};
use crate::script::Script;
use anyhow::bail;
use connectors::Connectors;
use os::Os;
use serde_json::json;
use sql::diagnostic::Diagnostic;
use sql::session::Session;

pub fn check(arguments: &CheckArguments) -> anyhow::Result<()> {
    let script = Script::read(&arguments.script)?;
    let connectors = connectors::table(Connectors { os: Os::real(), log: None });
    let report = Session::new(connectors).check_script(&script.source);
    let (errors, warnings) = (report.diagnostics.len(), report.lints.len());
    match arguments.output {
        Form::Text => {
            for job in &report.jobs {
                println!("job {}\n{}", job.name, job.explain);
            }
            for diagnostic in report.diagnostics.iter().chain(&report.lints) {
                eprintln!("{}", diagnostic.render(&script.source));
            }
            if errors == 0 {
                println!(
                    "{}: {} jobs, no errors, {warnings} {}",
                    arguments.script.file.display(),
                    report.jobs.len(),
                    if warnings == 1 { "warning" } else { "warnings" }
                );
            }
        }
        Form::Json => {
            let diagnostics: Vec<_> =
                report.diagnostics.iter().chain(&report.lints).map(|d| describe(d, &script)).collect();
            let jobs: Vec<_> =
                report.jobs.iter().map(|job| json!({"job": job.name, "plan": job.explain})).collect();
            println!("{}", json!({ "errors": errors, "diagnostics": diagnostics, "jobs": jobs }));
        }
    }
    if errors > 0 {
        bail!(
            "{}: {errors} {}",
            arguments.script.file.display(),
            if errors == 1 { "error" } else { "errors" }
        );
    }
    Ok(())
}

pub(super) fn describe(diagnostic: &Diagnostic, script: &Script) -> serde_json::Value {
    let position = script.source.position(diagnostic.span.start);
    let end = script.source.position(diagnostic.span.end.max(diagnostic.span.start));
    json!({
        "severity": if diagnostic.is_error() { "error" } else { "warning" },
        "file": script.source.file_name(diagnostic.span.start),
        "line": position.line,
        "column": position.column,
        "end_line": end.line,
        "end_column": end.column,
        "code": diagnostic.kind.code(),
        "message": diagnostic.message,
        "label": diagnostic.label,
        "hint": diagnostic.hint,
    })
}
