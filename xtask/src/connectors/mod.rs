//! Connectors against their real servers: one suite of cases for all of them.
//!
//! [`outside`] is what the suite needs of a system, [`cases`] what every connector must do, [`trial`] one of these with
//! one connector. To add a system: a file with its `Outside`, and a line in [`SYSTEMS`].

mod cases;
mod filesystem;
mod gate;
mod kafka;
mod matrix;
mod nats;
mod outside;
mod postgres;
mod postgres_cdc;
mod rabbitmq;
mod sqlite;
mod sqs;
mod trial;

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use clap::Args;

use self::cases::{CASES, Case};
use self::matrix::Results;
use self::nats::Reading;
use self::outside::{Direction, Outside, Place};
use self::rabbitmq::Kind;
use self::trial::{Trial, WrongNumbers};
use crate::counts::Counts;
use crate::proofs::{self, Proof};
use crate::{peers, stages};

#[derive(Args)]
pub struct Options {
    /// The systems to run, all if there are none: kafka, postgresql, postgresql-changes, sqlite, rabbitmq, rabbitmq-stream, nats, nats-durable, sqs, sqs-fifo, filesystem
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

/// In a run of all tests.
const KILLS: u64 = 6;
const RESTARTS: u64 = 1;

/// Starts a system; its logs go into the folder.
type System = fn(&Path) -> Result<Box<dyn Outside>>;

const SYSTEMS: &[(&str, System)] = &[
    ("kafka", |_| Ok(Box::new(kafka::Kafka::new()?))),
    ("postgresql", |folder| Ok(Box::new(postgres::Postgres::new(folder)?))),
    ("postgresql-changes", |folder| Ok(Box::new(postgres_cdc::Changes::new(folder)?))),
    ("sqlite", |_| Ok(Box::new(sqlite::Sqlite::default()))),
    ("rabbitmq", |_| Ok(Box::new(rabbitmq::RabbitMq::new(Kind::Queue)?))),
    ("rabbitmq-stream", |_| Ok(Box::new(rabbitmq::RabbitMq::new(Kind::Stream)?))),
    ("nats", |_| Ok(Box::new(nats::Nats::new(Reading::Ordered)?))),
    ("nats-durable", |_| Ok(Box::new(nats::Nats::new(Reading::Durable)?))),
    ("sqs", |folder| Ok(Box::new(sqs::Sqs::new(folder, false)?))),
    ("sqs-fifo", |folder| Ok(Box::new(sqs::Sqs::new(folder, true)?))),
    ("filesystem", |_| Ok(Box::new(filesystem::Filesystem))),
];

/// What became of a case.
enum Outcome {
    Passed,
    Exempt(&'static str),
    Failed,
}

pub fn run(options: &Options) -> Result<Counts> {
    let Options { names, kills, restarts, seed, .. } = options;
    let known = |name: &String| SYSTEMS.iter().any(|(system, _)| system == name);
    if let Some(name) = names.iter().find(|name| !known(name)) {
        let known: Vec<&str> = SYSTEMS.iter().map(|(system, _)| *system).collect();
        bail!("there is no system={name}; there are {}", known.join(", "));
    }
    peers::install(&["debian".to_owned(), "nats".to_owned(), "aws".to_owned()])?;
    let begun = Instant::now();
    let seed = seed.unwrap_or_else(stages::seed);
    let mut suite = Suite {
        case: options.case.clone(),
        faults: (kills.unwrap_or(KILLS), restarts.unwrap_or(RESTARTS), seed),
        counts: Counts::default(),
        kills: 0,
    };
    let mut ran = Vec::new();
    for (name, system) in SYSTEMS {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            println!("connectors: {name} seed={seed}");
            ran.push(*name);
            let folder = tempfile::Builder::new().prefix("connectors-").tempdir()?;
            let mut outside = system(folder.path())?;
            let results = suite.system(&mut *outside, folder.path())?;
            if options.record {
                ensure!(
                    suite.counts.failed() == 0 && options.case.is_none(),
                    "only a whole run that passes is kept"
                );
                results.save(&*outside)?;
            }
        }
    }
    if options.record {
        matrix::write()?;
    }
    // A run with more than the tests' own faults proves something.
    if kills.is_some() || restarts.is_some() {
        let (kills, restarts, _) = suite.faults;
        proofs::append(&Proof {
            command: format!(
                "connectors {} --kills {kills} --restarts {restarts} --seed {seed}",
                ran.join(" ")
            ),
            kills: suite.kills,
            minutes: begun.elapsed().as_secs_f64() / 60.0,
            failures: suite.counts.failed(),
            ..Proof::default()
        })?;
    }
    Ok(suite.counts)
}

struct Suite {
    case: Option<String>,
    faults: (u64, u64, u64),
    counts: Counts,
    /// Of the node and of servers.
    kills: u64,
}

impl Suite {
    /// All cases in each direction.
    fn system(&mut self, outside: &mut dyn Outside, folder: &Path) -> Result<Results> {
        let mut results = Results::default();
        for direction in outside.directions() {
            for (number, case) in CASES.iter().enumerate() {
                if self.case.as_ref().is_some_and(|part| !case.name.contains(part.as_str())) {
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

/// All of them, as the test command runs them.
pub fn stage() -> Result<Counts> {
    run(&Options { names: Vec::new(), case: None, kills: None, restarts: None, seed: None, record: false })
}
