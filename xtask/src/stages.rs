//! The one test command: every stage that must pass, its time, and one sum at the end.
//!
//! A failed stage does not hide what the later ones have to say, unless they need what it makes: without a
//! binary neither clients nor the example can run, and that counts as failed, not as passed over. What runs at a time
//! writes between each other's lines; every stage says when it begins and what it came to.

mod amqp;
mod asyncapi;
mod cargo;
mod changes;
mod clients;
mod compared;
mod console;
mod example;
mod exec;
mod job;
mod lakes;
mod metrics;
mod mongodb;
mod mqtt;
mod mysql;
mod nats;
mod observability;
mod patterns;
mod postgres;
mod psql;
mod rabbitmq;
mod redis;
mod stomp;
mod suites;
mod syslog;
mod traces;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use clap::Args;

use crate::counts::Counts;
use crate::side_by_side::side_by_side;

pub use self::changes::{Faults, prove as prove_changes};
pub use self::compared::compare;
pub use self::example::run as example;

#[derive(Args)]
pub struct Options {
    /// The stages to run, all if there are none: format, house, clippy, tests, build, connectors, flink, clients, suites,
    /// kill, console, postgres, mysql, mongodb, lakes, amqp, stomp, kill-connectors, kill-producers, remote, changes, rabbitmq,
    /// patterns, metrics, syslog, exec, redis, observability, traces, example, mqtt, psql, nats, asyncapi
    stages: Vec<String>,
    /// Instead of the stages: all cases of a group of connectors, against their real servers
    #[arg(long, value_name = "GROUP", conflicts_with = "stages")]
    connectors: Vec<String>,
    /// After so many minutes no stage begins any more; those that are left count as failed
    #[arg(long)]
    minutes: Option<u64>,
}

type Stage = fn() -> Result<Counts>;

/// One after the other: the builds, and what they need whole cores for.
const FIRST: &[(&str, Stage)] = &[
    ("format", cargo::format),
    ("house", house),
    ("clippy", cargo::clippy),
    ("tests", cargo::tests),
    ("build", cargo::build),
];

/// With what was built. They wait for servers and clients more than they compute, so some of them run at a time, the
/// longest first.
const THEN: &[(&str, Stage)] = &[
    ("connectors", crate::connectors::stage),
    ("flink", compared::run),
    ("clients", clients::run),
    ("suites", suites::run),
    ("kill", kill),
    ("console", console::run),
    ("postgres", postgres::run),
    ("mysql", mysql::run),
    ("mongodb", mongodb::run),
    ("lakes", lakes::run),
    ("amqp", amqp::run),
    ("stomp", stomp::run),
    ("kill-connectors", kill_connectors),
    ("kill-producers", kill_producers),
    ("remote", remote),
    ("changes", changes::run),
    ("rabbitmq", rabbitmq::run),
    ("patterns", patterns::run),
    ("metrics", metrics::run),
    ("syslog", syslog::run),
    ("exec", exec::run),
    ("redis", redis::run),
    ("observability", observability::run),
    ("traces", traces::run),
    ("example", example::run),
    ("mqtt", mqtt::run),
    ("psql", psql::run),
    ("nats", nats::run),
    ("asyncapi", asyncapi::run),
];
const SIDE_BY_SIDE: usize = 2;

/// How often the node is killed in a run of all tests.
pub const KILLS: u64 = 120;

/// Runs the stages and sums up what they counted.
pub fn run(options: &Options) -> Result<Counts> {
    let all = || FIRST.iter().chain(THEN);
    for name in &options.stages {
        if !all().any(|(stage, _)| stage == name) {
            let known: Vec<&str> = all().map(|(stage, _)| *stage).collect();
            bail!("there is no stage={name}; there are {}", known.join(", "));
        }
    }
    if !options.connectors.is_empty() {
        let mut counts = cargo::build()?;
        counts.add(crate::connectors::run(&crate::connectors::Options::whole(&options.connectors))?);
        counts.name_failures();
        return Ok(counts);
    }
    let is_wanted =
        |name: &str| options.stages.is_empty() || options.stages.iter().any(|stage| stage == name);
    let wanted = |stages: &[(&'static str, Stage)]| -> Vec<(&'static str, Stage)> {
        stages.iter().filter(|(name, _)| is_wanted(name)).copied().collect()
    };
    let begun = Instant::now();
    let run_one = |stage: &(&'static str, Stage)| match options.minutes {
        Some(minutes) if begun.elapsed().as_secs() >= 60 * minutes => not_begun(stage.0, minutes),
        _ => run_one(stage),
    };
    let mut ran = side_by_side(&wanted(FIRST), 1, run_one);
    ran.extend(side_by_side(&wanted(THEN), SIDE_BY_SIDE, run_one));
    println!("== stages");
    let mut total = Counts::default();
    for (line, counts) in ran {
        println!("{line}");
        total.add(counts);
    }
    println!("{:<16} {:>7.1} s", "all", begun.elapsed().as_secs_f64());
    total.name_failures();
    Ok(total)
}

fn run_one((name, stage): &(&'static str, Stage)) -> (String, Counts) {
    println!("== {name}");
    let start = Instant::now();
    let counts = stage().unwrap_or_else(|error| Counts::failure(format!("{name}: {error:#}")));
    let line = told(name, start.elapsed().as_secs_f64(), &counts);
    println!("== done: {line}");
    (line, counts)
}

/// Whoever waits for the end is told what is left, rather than cut off.
fn not_begun(name: &str, minutes: u64) -> (String, Counts) {
    let counts = Counts::failure(format!("{name}: not begun within {minutes} minutes"));
    (told(name, 0.0, &counts), counts)
}

fn told(name: &str, seconds: f64, counts: &Counts) -> String {
    format!("{name:<16} {seconds:>7.1} s {:>6} passed {:>4} failed", counts.passed, counts.failed())
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

/// How many machines are lost in a run of all tests, with each kind of store.
const MACHINES: u64 = 3;

fn remote() -> Result<Counts> {
    crate::kill_remote::run(MACHINES, None, seed())?;
    Ok(Counts::one())
}

fn kill_connectors() -> Result<Counts> {
    crate::connectors::kills_stage(seed())
}

/// Another seed in every run; whoever uses it prints it.
pub fn seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.subsec_nanos().into())
}
