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
    let script = Script::read(&arguments.file, &arguments.variables)?;
    let connectors = connectors::table(Connectors { os: Os::real(), log: None });
    let report = Session::new(connectors).check_script(&script.source);
    let errors = report.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    match arguments.output {
        Form::Text => {
            for plan in &report.plans {
                println!("{plan}");
            }
            for diagnostic in &report.diagnostics {
                eprintln!("{}", diagnostic.render(&script.source).trim_end());
                eprintln!();
            }
            if errors == 0 {
                let warnings = report.diagnostics.len();
                println!("{}: no errors, {warnings} warnings, {} jobs", arguments.file.display(), report.plans.len());
            }
        }
        Form::Json => {
            let diagnostics: Vec<_> = report.diagnostics.iter().map(|d| describe(d, &script)).collect();
            println!("{}", json!({ "errors": errors, "diagnostics": diagnostics, "plans": report.plans }));
        }
    }
    if errors > 0 {
        bail!("{}: {errors} {}", arguments.file.display(), if errors == 1 { "error" } else { "errors" });
    }
    Ok(())
}

fn describe(diagnostic: &Diagnostic, script: &Script) -> serde_json::Value {
    let position = script.source.position(diagnostic.span.start);
    json!({
        "severity": if diagnostic.is_error() { "error" } else { "warning" },
        "line": position.line,
        "column": position.column,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
    })
}
