//! The one test command: every stage that must pass, its time, and one sum at the end.
//!
//! A failed stage does not hide what the later ones have to say, unless they need what it makes: without a
//! binary neither clients nor the example can run, and that counts as failed, not as passed over.

mod cargo;
mod changes;
mod clients;
mod compared;
mod console;
mod example;
mod job;
mod metrics;
mod nats;
mod postgres;
mod psql;
mod rabbitmq;
mod suites;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use clap::Args;

use crate::counts::Counts;

pub use self::changes::{Faults, prove as prove_changes};
pub use self::compared::compare;
pub use self::example::run as example;

#[derive(Args)]
pub struct Options {
    /// The stages to run, all if there are none: format, house, clippy, tests, build, clients, suites, example, postgres,
    /// psql, changes, rabbitmq, nats, metrics, console, flink,
    /// kill, kill-producers, connectors
    stages: Vec<String>,
}

type Stage = fn() -> Result<Counts>;

const STAGES: &[(&str, Stage)] = &[
    ("format", cargo::format),
    ("house", house),
    ("clippy", cargo::clippy),
    ("tests", cargo::tests),
    ("build", cargo::build),
    ("clients", clients::run),
    ("suites", suites::run),
    ("example", example::run),
    ("postgres", postgres::run),
    ("psql", psql::run),
    ("changes", changes::run),
    ("rabbitmq", rabbitmq::run),
    ("nats", nats::run),
    ("metrics", metrics::run),
    ("console", console::run),
    ("flink", compared::run),
    ("kill", kill),
    ("kill-producers", kill_producers),
    ("connectors", crate::connectors::stage),
];

/// How often the node is killed in a run of all tests.
pub const KILLS: u64 = 200;

/// Runs the stages in order and sums up what they counted.
pub fn run(options: &Options) -> Result<Counts> {
    for name in &options.stages {
        if !STAGES.iter().any(|(stage, _)| stage == name) {
            let known: Vec<&str> = STAGES.iter().map(|(stage, _)| *stage).collect();
            bail!("there is no stage={name}; there are {}", known.join(", "));
        }
    }
    let mut total = Counts::default();
    let mut lines = Vec::new();
    for (name, stage) in STAGES {
        if !options.stages.is_empty() && !options.stages.iter().any(|wanted| wanted == name) {
            continue;
        }
        println!("== {name}");
        let start = Instant::now();
        let counts = stage().unwrap_or_else(|error| Counts::failure(format!("{name}: {error:#}")));
        let seconds = start.elapsed().as_secs_f64();
        lines.push(format!(
            "{name:<8} {seconds:>7.1} s {:>6} passed {:>4} failed",
            counts.passed,
            counts.failed()
        ));
        total.add(counts);
    }
    println!("== stages");
    for line in lines {
        println!("{line}");
    }
    total.name_failures();
    Ok(total)
}

fn house() -> Result<Counts> {
    crate::house::check()
}

fn kill() -> Result<Counts> {
    crate::kill::run(KILLS, seed())?;
    Ok(Counts::one())
}

/// How often it is killed under producers.
pub const PRODUCER_KILLS: u64 = 48;
pub const POWER_CUTS: u64 = 48;

fn kill_producers() -> Result<Counts> {
    let wanted = verify::Wanted { kills: PRODUCER_KILLS, power_cuts: POWER_CUTS, seed: seed() };
    crate::kill_producers::run(wanted)?;
    Ok(Counts::one())
}

/// Another seed in every run; whoever uses it prints it.
pub fn seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.subsec_nanos().into())
}
