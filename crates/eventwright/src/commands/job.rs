//! `job`: list, describe, stop and end jobs, of a running node or of a stopped data directory.

use crate::cli::{Form, JobVerb};
use crate::job_view::{JobView, print_list};
use crate::jobs::Jobs;
use serde_json::json;

pub fn job(verb: &JobVerb) -> anyhow::Result<()> {
    match verb {
        JobVerb::List { jobs: arguments } => {
            let jobs = Jobs::open(arguments)?.list()?;
            match arguments.output {
                Form::Json => println!("{}", json!(jobs.iter().map(JobView::list_json).collect::<Vec<_>>())),
                Form::Text => print_list(&mut std::io::stdout(), &jobs)?,
            }
        }
        JobVerb::Describe { job, jobs: arguments } => {
            let described = Jobs::open(arguments)?.describe(job)?;
            match arguments.output {
                Form::Json => println!("{}", described.json()),
                Form::Text => described.print(&mut std::io::stdout())?,
            }
        }
        JobVerb::End { job, jobs: arguments } => {
            let ended = Jobs::open(arguments)?.end(job)?;
            match arguments.output {
                Form::Json => println!("{}", json!({"job": ended.name, "id": ended.id})),
                Form::Text => println!("job {} has ended; nothing resumes it", ended.name),
            }
        }
        JobVerb::Stop { job, jobs: arguments } => {
            let stopped = Jobs::open(arguments)?.stop(job)?;
            match arguments.output {
                Form::Json => println!("{}", json!({"job": stopped.name, "id": stopped.id})),
                Form::Text => println!(
                    "job {} stops after its current step; running its file again resumes it",
                    stopped.name
                ),
            }
        }
    }
    Ok(())
}
