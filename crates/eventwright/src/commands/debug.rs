//! `debug`: a step of a job, run again beside it and looked into.

mod shown;

use crate::cli::{DebugPlace, DebugVerb, Form, JobsArguments, ScriptArguments};
use crate::commands::trace;
use crate::http_client::{HttpClient, segment};
use crate::jobs::Jobs;
use crate::node::Silent;
use crate::script::{JobNames, Script};
use anyhow::{Context, bail};
use base::Offset;
use os::Os;
use runtime::{JobOptions, JobRequest, StepWanted};
use serde_json::Value;
use sql::session::{Outcome, Session, groups};
use std::path::Path;

pub fn debug(verb: &DebugVerb) -> anyhow::Result<()> {
    match verb {
        DebugVerb::List { job, place } => {
            let known = match Place::open(place)? {
                Place::Node(client) => {
                    let path = format!("/console/api/jobs/{}/steps{}", segment(job), query(place, &[])?);
                    client.patiently().get(&path)?
                }
                Place::Directory(node) => {
                    let known = node.runtime.known_steps(job, place.savepoint.as_deref());
                    let known = known.map(|known| http_server::known_json(&known));
                    node.close()?;
                    known?
                }
            };
            tell(&place.jobs, &known, shown::known);
        }
        DebugVerb::Step { number, at, job, rows, entries, place } => {
            let opened = Place::open(place)?;
            let (job, number) = match (at, number, job) {
                (Some(record), _, job) => opened.step_at(record, job.as_deref())?,
                (None, Some(number), Some(job)) => (job.clone(), *number),
                (None, ..) => bail!("name the step and its job: debug step N --job NAME"),
            };
            let step = match opened {
                Place::Node(client) => {
                    let counts = [("rows", *rows), ("entries", *entries)];
                    let query = query(place, &counts)?;
                    let path = format!("/console/api/jobs/{}/steps/{number}{query}", segment(&job));
                    client.patiently().get(&path)?
                }
                Place::Directory(node) => {
                    let wanted = StepWanted {
                        step: number,
                        rows_max: *rows as usize,
                        entries_max: *entries as usize,
                        savepoint: place.savepoint.clone(),
                    };
                    let step = request(&node, place, &job)
                        .and_then(|request| Ok(node.runtime.debug_step_of(&request, &wanted)?))
                        .map(|step| http_server::step_json(&step));
                    node.close()?;
                    step?
                }
            };
            tell(&place.jobs, &step, shown::step);
        }
    }
    Ok(())
}

fn tell(jobs: &JobsArguments, answer: &Value, text: impl Fn(&Value) -> String) {
    match jobs.output {
        Form::Json => println!("{answer}"),
        Form::Text => print!("{}", text(answer)),
    }
}

/// Where the job is.
enum Place {
    Node(HttpClient),
    /// No node runs there.
    Directory(Silent),
}

impl Place {
    fn open(place: &DebugPlace) -> anyhow::Result<Place> {
        match Jobs::open(&place.jobs)? {
            Jobs::Node(client) => Ok(Place::Node(client)),
            Jobs::Stopped(data, _) => Ok(Place::Directory(Silent::open(&Os::real(), &data)?)),
        }
    }

    /// The step that wrote a record, or else the first one that took it; of one job, if that is named.
    fn step_at(&self, record: &str, job: Option<&str>) -> anyhow::Result<(String, u64)> {
        let (topic, partition, offset) = trace::parse(record)?;
        let found: Vec<(String, u64)> = match self {
            Place::Node(client) => {
                let answer = client.get(&trace::path(&(topic, partition, offset)))?;
                let taken = answer["taken_by"].as_array().into_iter().flatten();
                let steps = std::iter::once(&answer["written_by"]).chain(taken);
                let step = |step: &Value| Some((step["job"].as_str()?.to_owned(), step["step"].as_u64()?));
                steps.filter_map(step).collect()
            }
            Place::Directory(node) => {
                let known = node.log.topic(&topic).with_context(|| format!("there is no topic '{topic}'"))?;
                let id = known.partitions.get(partition as usize);
                let id =
                    id.with_context(|| format!("there is no partition {partition} of topic '{topic}'"))?;
                let lineage = node.runtime.lineage(*id, Offset(offset))?;
                let steps = lineage.written_by.into_iter().chain(lineage.taken_by);
                steps.map(|step| (step.job, step.number)).collect()
            }
        };
        let step = found.into_iter().find(|(own, _)| job.is_none_or(|job| job == own));
        step.with_context(|| match job {
            Some(job) => format!("no step of job '{job}' is known that wrote or took {record}"),
            None => format!("no step of a job is known that wrote or took {record}"),
        })
    }
}

fn query(place: &DebugPlace, counts: &[(&str, u32)]) -> anyhow::Result<String> {
    let mut pairs: Vec<String> = counts.iter().map(|(name, count)| format!("{name}={count}")).collect();
    if let Some(savepoint) = &place.savepoint {
        // The node may have been started in another directory than this command.
        let savepoint = std::path::absolute(savepoint).context("cannot tell where this directory is")?;
        let savepoint = savepoint.to_str().context("the savepoint's folder must have a name in UTF-8")?;
        pairs.push(format!("savepoint={}", segment(savepoint)));
    }
    Ok(if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) })
}

/// The job of a file, by its name.
fn request(node: &Silent, place: &DebugPlace, name: &str) -> anyhow::Result<JobRequest> {
    let Some(file) = &place.file else {
        bail!("no node runs on that directory: name the job's Flink SQL file by --file FILE")
    };
    let arguments = ScriptArguments { file: file.clone(), init: None, variables: place.variables.clone() };
    let script = Script::read(&arguments)?;
    let (statements, _) = script.check(&Os::real())?;
    let connectors = node.connectors();
    let mut session = Session::new(connectors.clone());
    let (mut names, mut known) = (JobNames::default(), Vec::new());
    for group in groups(&statements) {
        let outcome = session.execute_group(group).map_err(|diagnostics| script.failure(&diagnostics))?;
        let Outcome::Job(job) = outcome else { continue };
        let own = names.name(Path::new(file), &job);
        if own == name {
            return Ok(JobRequest {
                name: own,
                plan: job.plan,
                fingerprint: job.fingerprint,
                connectors,
                options: JobOptions::default(),
                from_savepoint: None,
                late_rows_topic: None,
                observer: None,
            });
        }
        known.push(own);
    }
    bail!("{} has no job '{name}'; its jobs are: {}", file.display(), known.join(", "))
}
