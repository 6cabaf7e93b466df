//! `explain`: the plans of a file, or what the operators of a running job have done.

use crate::analyze::Analysis;
use crate::changes;
use crate::cli::{ExplainArguments, Form, JobsArguments, ScriptArguments};
use crate::jobs::Jobs;
use crate::script::Script;
use anyhow::bail;
use connectors::Connectors;
use os::Os;
use serde_json::{Value, json};
use sql::session::Session;
use std::path::PathBuf;

pub fn explain(arguments: &ExplainArguments) -> anyhow::Result<()> {
    if arguments.analyze { analyze(arguments) } else { plans(arguments) }
}

fn analyze(arguments: &ExplainArguments) -> anyhow::Result<()> {
    let jobs = JobsArguments {
        data: arguments.data.clone(),
        http: arguments.http.clone(),
        command_config: arguments.command_config.clone(),
        output: arguments.output,
    };
    let analysis = Analysis::of_json(&Jobs::open(&jobs)?.details(&arguments.target)?);
    match arguments.output {
        Form::Json => println!("{}", analysis.json()),
        Form::Text => print!("{}", analysis.text()),
    }
    Ok(())
}

fn plans(arguments: &ExplainArguments) -> anyhow::Result<()> {
    let file = PathBuf::from(&arguments.target);
    if !file.exists() {
        bail!("there is no file {}; a running job is explained by --analyze", file.display());
    }
    let script_file = file.clone();
    let script = Script::read(&ScriptArguments {
        file,
        init: arguments.init.clone(),
        variables: arguments.variables.clone(),
    })?;
    let connectors = connectors::table(Connectors { os: Os::real(), log: None });
    let report = Session::new(connectors).check_script(&script.source);
    if !report.diagnostics.is_empty() {
        return Err(script.failure(&report.diagnostics));
    }
    let changes = match &arguments.data {
        Some(data) => changes::of_jobs(data, &script_file, &report.jobs)?,
        None => report.jobs.iter().map(|_| None).collect(),
    };
    match arguments.output {
        Form::Text => {
            for (job, change) in report.jobs.iter().zip(&changes) {
                println!("job {}\n{}", job.name, job.explain);
                if let Some((name, comparison)) = change {
                    println!("{}", changes::text(name, comparison));
                }
            }
        }
        Form::Json => {
            let parsed = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
            let advice = |job: &sql::session::JobRequest| {
                let advice = job.warnings.iter().chain(&job.advice);
                advice.map(|advice| super::check::describe(advice, &script)).collect::<Vec<_>>()
            };
            let described = |(job, change): (&sql::session::JobRequest, &changes::OfJob)| {
                let mut described =
                    json!({"job": job.name, "plan": parsed(&job.json), "advice": advice(job)});
                if let Some((name, comparison)) = change {
                    described["change"] = changes::json(name, comparison);
                }
                described
            };
            let jobs: Vec<Value> = report.jobs.iter().zip(&changes).map(described).collect();
            println!("{}", json!({ "jobs": jobs }));
        }
    }
    Ok(())
}
