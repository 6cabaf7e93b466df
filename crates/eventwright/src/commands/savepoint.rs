//! `savepoint`: create, list, and run a file from one.

use crate::cli::{Form, RunArguments, SavepointVerb};
use crate::jobs::Jobs;
use crate::output::{print_table, thousands, timestamp};
use anyhow::bail;
use os::Os;
use runtime::Savepoint;
use serde_json::json;
use std::path::Path;

pub fn savepoint(verb: &SavepointVerb) -> anyhow::Result<()> {
    match verb {
        SavepointVerb::Create { job, to, jobs } => {
            let folder = Jobs::open(jobs)?.savepoint(job, to.as_deref())?;
            match jobs.output {
                Form::Json => println!("{}", json!({"job": job, "savepoint": folder})),
                Form::Text => println!("{folder}"),
            }
            Ok(())
        }
        SavepointVerb::List { folder, output } => list(folder, *output),
        SavepointVerb::Restore { savepoint, run } => {
            if run.from_savepoint.is_some() {
                bail!("the savepoint stands before the file; leave out --from-savepoint");
            }
            super::run::run(&RunArguments { from_savepoint: Some(savepoint.clone()), ..(**run).clone() })
        }
    }
}

fn list(folder: &Path, output: Form) -> anyhow::Result<()> {
    let savepoints = Savepoint::list(&Os::real(), folder)?;
    match output {
        Form::Json => {
            let entry = |savepoint: &Savepoint| {
                json!({
                    "savepoint": savepoint.folder.display().to_string(),
                    "job": savepoint.info.job,
                    "step": savepoint.info.step,
                    "clock_ms": savepoint.info.clock_ms,
                    "bytes": savepoint.bytes,
                    "rows_in": savepoint.info.counts.rows_in.values().sum::<u64>(),
                })
            };
            println!("{}", json!(savepoints.iter().map(entry).collect::<Vec<_>>()));
        }
        Form::Text => {
            let row = |savepoint: &Savepoint| {
                // Before its first step a job has no clock.
                let clock = match savepoint.info.step {
                    0 => "-".to_string(),
                    _ => timestamp(savepoint.info.clock_ms),
                };
                vec![
                    savepoint.folder.display().to_string(),
                    savepoint.info.job.clone(),
                    thousands(savepoint.info.step),
                    clock,
                    thousands(savepoint.info.counts.rows_in.values().sum()),
                    thousands(savepoint.bytes),
                ]
            };
            let rows: Vec<_> = savepoints.iter().map(row).collect();
            let header = ["SAVEPOINT", "JOB", "STEP", "TAKEN", "ROWS IN", "BYTES"];
            print_table(&mut std::io::stdout(), &header, &rows)?;
        }
    }
    Ok(())
}
