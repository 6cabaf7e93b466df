//! Connectors against their real servers: what they read and write is complete, whatever is killed meanwhile.

mod kafka;

use anyhow::{Result, bail};
use clap::Args;

use crate::counts::Counts;
use crate::stages;

#[derive(Args)]
pub struct Options {
    /// The connectors to run, all if there are none: kafka
    names: Vec<String>,
    /// How often our node is killed
    #[arg(long, default_value_t = Faults::IN_TESTS.kills)]
    kills: u64,
    /// How often the server is killed and started again
    #[arg(long, default_value_t = Faults::IN_TESTS.restarts)]
    restarts: u64,
    /// Where the kills are placed; printed by every run, and the clock's choice if not given
    #[arg(long)]
    seed: Option<u64>,
}

/// What befalls a connector.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    pub kills: u64,
    pub restarts: u64,
    pub seed: u64,
}

impl Faults {
    /// Of a run of all tests.
    const IN_TESTS: Faults = Faults { kills: 30, restarts: 2, seed: 0 };
}

type Suite = fn(Faults) -> Result<Counts>;

const SUITES: &[(&str, Suite)] = &[("kafka", kafka::run)];

pub fn run(options: &Options) -> Result<Counts> {
    let Options { names, kills, restarts, seed } = options;
    let known = |name: &String| SUITES.iter().any(|(suite, _)| suite == name);
    if let Some(name) = names.iter().find(|name| !known(name)) {
        let known: Vec<&str> = SUITES.iter().map(|(suite, _)| *suite).collect();
        bail!("there is no connector={name}; there are {}", known.join(", "));
    }
    let faults = Faults { kills: *kills, restarts: *restarts, seed: seed.unwrap_or_else(stages::seed) };
    let mut counts = Counts::default();
    for (name, suite) in SUITES {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            eprintln!("connectors: {name} seed={}", faults.seed);
            counts.add(suite(faults)?);
        }
    }
    Ok(counts)
}

/// All of them, as the test command runs them.
pub fn stage() -> Result<Counts> {
    let Faults { kills, restarts, .. } = Faults::IN_TESTS;
    run(&Options { names: Vec::new(), kills, restarts, seed: None })
}
