//! Connectors against their real servers: one suite of cases for all of them.
//!
//! [`outside`] is what the suite needs of a system, [`cases`] what every connector must do, [`trial`] one of these with
//! one connector. To add a system: a file with its `Outside`, and a line in [`systems::GROUPS`].

mod amqp;
mod cases;
mod clickhouse;
mod clouds;
mod filesystem;
mod gate;
mod http;
mod kafka;
mod kills;
mod kinesis;
mod lakes;
mod matrix;
mod mongodb;
mod mqtt;
mod mysql;
mod mysql_cdc;
mod nats;
mod opensearch;
mod outside;
mod postgres;
mod postgres_cdc;
mod prometheus;
mod pubsub;
mod rabbitmq;
mod redis;
mod s3;
mod sns;
mod sqlite;
mod sqs;
mod stomp;
mod streams;
mod systems;
mod trial;

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;

use self::cases::{CASES, Case};
use self::matrix::Results;
use self::outside::{Direction, Outside, Place};
use self::systems::System;
use self::trial::{Trial, WrongNumbers};
use crate::counts::Counts;
use crate::proofs::{self, Proof};
use crate::side_by_side::side_by_side;
use crate::{peers, stages};

pub use self::kills::{Faults, KILLS as CONNECTOR_KILLS, PARTITIONS, RESTARTS as SERVER_RESTARTS};
pub use self::kills::{prove as prove_kills, stage as kills_stage};

#[derive(Args, Default)]
pub struct Options {
    /// The systems to run, or groups of them, all if there are none: kafka, databases, rabbitmq, activemq, streams, aws, clouds,
    /// http, lakes, documents
    names: Vec<String>,
    /// Only the cases whose names hold this
    #[arg(long)]
    case: Option<String>,
    /// How often our node is killed in the case `killed`
    #[arg(long)]
    kills: Option<u64>,
    /// How often the server is killed and started again in it
    #[arg(long)]
    restarts: Option<u64>,
    /// Where the kills are placed; printed by every run, and the clock's choice if not given
    #[arg(long)]
    seed: Option<u64>,
    /// Keep the results, and make docs/connectors-matrix.md anew
    #[arg(long)]
    record: bool,
}

impl Options {
    /// All cases of the systems or groups.
    pub fn whole(names: &[String]) -> Options {
        Options { names: names.to_vec(), ..Options::default() }
    }
}

const KILLS: u64 = 6;
const RESTARTS: u64 = 1;
/// In a run of all tests.
const STAGE_KILLS: u64 = 2;
/// So many systems run at a time: they mostly wait.
const SIDE_BY_SIDE: usize = 2;

/// What became of a case.
enum Outcome {
    Passed,
    Exempt(&'static str),
    Failed,
}

/// The whole suite: every case of the systems or groups that are named, or of all.
pub fn run(options: &Options) -> Result<Counts> {
    let cases = options.case.as_deref().map_or(Cases::All, Cases::Named);
    run_cases(options, cases, (KILLS, RESTARTS))
}

/// What every run of all tests does with every system: a job stops and goes on, and both sides are killed.
pub fn stage() -> Result<Counts> {
    run_cases(&Options::default(), Cases::OfEveryRun, (STAGE_KILLS, RESTARTS))
}

fn run_cases(options: &Options, cases: Cases<'_>, faults: (u64, u64)) -> Result<Counts> {
    let Options { names, kills, restarts, seed, .. } = options;
    let systems::Chosen { systems, peers } = systems::choose(names)?;
    peers::install(&peers)?;
    let begun = Instant::now();
    let seed = seed.unwrap_or_else(stages::seed);
    let faults = (kills.unwrap_or(faults.0), restarts.unwrap_or(faults.1), seed);
    let ran = side_by_side(&systems, SIDE_BY_SIDE, |(name, system)| {
        println!("connectors: {name} seed={seed}");
        let mut suite = Suite { cases, faults, counts: Counts::default(), kills: 0 };
        let result = suite.run(*system, options.record);
        if let Err(error) = result {
            suite.counts.fail(format!("connectors: {name}: {error:#}"));
        }
        suite
    });
    let (mut counts, mut all_kills) = (Counts::default(), 0);
    for suite in ran {
        all_kills += suite.kills;
        counts.add(suite.counts);
    }
    if options.record {
        matrix::write()?;
    }
    // A run with more than the tests' own faults proves something.
    if kills.is_some() || restarts.is_some() {
        let (kills, restarts, _) = faults;
        let ran: Vec<&str> = systems.iter().map(|(name, _)| *name).collect();
        proofs::append(&Proof {
            command: format!(
                "connectors {} --kills {kills} --restarts {restarts} --seed {seed}",
                ran.join(" ")
            ),
            kills: all_kills,
            minutes: begun.elapsed().as_secs_f64() / 60.0,
            failures: counts.failed(),
            ..Proof::default()
        })?;
    }
    Ok(counts)
}

/// Which cases run.
#[derive(Clone, Copy)]
enum Cases<'a> {
    All,
    /// Those whose names hold this.
    Named(&'a str),
    OfEveryRun,
}

impl Cases<'_> {
    fn hold(self, case: &Case) -> bool {
        match self {
            Cases::All => true,
            Cases::Named(part) => case.name.contains(part),
            Cases::OfEveryRun => cases::OF_EVERY_RUN.contains(&case.name),
        }
    }
}

struct Suite<'a> {
    cases: Cases<'a>,
    faults: (u64, u64, u64),
    counts: Counts,
    /// Of the node and of servers.
    kills: u64,
}

impl Suite<'_> {
    /// Starts the system, and keeps what came of it.
    fn run(&mut self, start: System, records: bool) -> Result<()> {
        let folder = tempfile::Builder::new().prefix("connectors-").tempdir()?;
        let mut outside = start(folder.path())?;
        let results = self.system(&mut *outside, folder.path())?;
        if records {
            let is_whole = self.counts.failed() == 0 && matches!(self.cases, Cases::All);
            ensure!(is_whole, "only a whole run that passes is kept");
            results.save(&*outside)?;
        }
        Ok(())
    }

    /// All cases in each direction.
    fn system(&mut self, outside: &mut dyn Outside, folder: &Path) -> Result<Results> {
        let mut results = Results::default();
        for direction in outside.directions() {
            for (number, case) in CASES.iter().enumerate() {
                if !self.cases.hold(case) {
                    continue;
                }
                let name = format!("case_{}_{number}", direction.name());
                let place = Place { folder: folder.join(&name), name };
                let begun = Instant::now();
                let what = format!("{} {}: {}", outside.name(), direction.name(), case.name);
                let outcome = self.case(outside, *direction, case, place, &what);
                results.add(*direction, case.name, &outcome);
                let seconds = begun.elapsed().as_secs_f64();
                match outcome {
                    Outcome::Passed => println!("connectors: {what}: passed, {seconds:.1} s"),
                    Outcome::Exempt(why) => println!("connectors: {what}: does not apply: {why}"),
                    Outcome::Failed => {}
                }
            }
        }
        Ok(results)
    }

    fn case(
        &mut self,
        outside: &mut dyn Outside,
        direction: Direction,
        case: &Case,
        place: Place,
        what: &str,
    ) -> Outcome {
        if let Some(why) = outside.exempt(direction, case.name) {
            return Outcome::Exempt(why);
        }
        outside.begin(case.name);
        let mut once = |place: Place| {
            Trial::new(outside, direction, place, self.faults).and_then(|mut trial| (case.run)(&mut trial))
        };
        let mut tried = once(place.clone());
        // Servers have races of their own when they come up. What is lost or doubled is none of them, and what does not
        // come after kills may be lost.
        if let Err(error) = &tried
            && !error.is::<WrongNumbers>()
            && case.name != "killed"
        {
            println!("connectors: {what}: is tried again: {error:#}");
            let name = format!("{}_again", place.name);
            tried = once(Place { folder: place.folder.with_file_name(&name), name });
        }
        let (kills, restarts, _) = self.faults;
        match tried {
            Ok(()) => {
                self.counts.pass();
                let restarts = if outside.has_server() { restarts } else { 0 };
                self.kills += if case.name == "killed" { kills + restarts } else { 0 };
                Outcome::Passed
            }
            Err(error) => {
                self.counts.fail(format!("connectors: {what}: {error:#}"));
                Outcome::Failed
            }
        }
    }
}
