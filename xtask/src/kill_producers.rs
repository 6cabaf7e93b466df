//! Kills the node with SIGKILL while transactional and idempotent producers write, and reads what is left as a
//! consumer of committed records does.
//!
//! 1. A run is a data folder on which the node is killed a dozen times: at random times under load, and some times
//!    while it recovers. The producers go on with the node's next life.
//! 2. A transactional producer writes into two topics, commits a group's position with each transaction, and commits
//!    or aborts; after a kill it takes its id anew. An idempotent producer keeps its identity and sends what was not
//!    acknowledged again.
//! 3. At the end of a run everything is read: a transaction that was acknowledged is there whole, one that was aborted
//!    or left open is not, one whose commit was not answered is whole or not there at all; each record is there once and
//!    in order; the group's position is that of the last transaction that is there. Nothing stays open.

mod audit;
mod writers;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kafka_client::{Client, ClientOptions};

use crate::kill::Random;
use crate::process::{Group, Server};
use crate::proofs::{self, Proof};
use crate::{kafka, node};

use writers::{Ended, Written};

/// How often one data folder is killed on.
const KILLS_PER_RUN: u64 = 12;
/// One of so many kills comes while the node recovers …
const EARLY_EVERY: u64 = 6;
/// … within so many milliseconds of its start; the others after so many milliseconds of load.
const EARLY_MS_MAX: u64 = 60;
const LOAD_MS_MAX: u64 = 500;
const TRANSACTIONAL: u64 = 3;
const IDEMPOTENT: u64 = 2;
const START_LIMIT: Duration = Duration::from_secs(60);
/// Between two attempts to reach a node that is down.
const PAUSE: Duration = Duration::from_millis(5);
const TIMEOUT: Duration = Duration::from_secs(20);
/// Each is one partition, so that order can be compared.
const TOPICS: [&str; 2] = ["one", "two"];
const IDEMPOTENT_TOPIC: &str = "idempotent";

/// What all runs came to.
#[derive(Debug, Default)]
pub struct Tally {
    pub kills: u64,
    pub runs: u64,
    pub committed: u64,
    pub aborted: u64,
    /// Asked to commit, killed before the answer, and found whole.
    pub unanswered_there: u64,
    /// The same, and found nowhere.
    pub unanswered_gone: u64,
    /// Left open by a kill.
    pub left: u64,
    pub idempotent_batches: u64,
    /// Batches that were sent again after a kill.
    pub sent_again: u64,
}

impl Tally {
    pub fn text(&self) -> String {
        format!(
            "{} kills in {} runs; {} transactions committed and {} aborted, {} left open, of {} unanswered commits {} \
             were there; {} idempotent batches, {} of them sent again",
            self.kills,
            self.runs,
            self.committed,
            self.aborted,
            self.left,
            self.unanswered_there + self.unanswered_gone,
            self.unanswered_there,
            self.idempotent_batches,
            self.sent_again
        )
    }
}

/// Kills at least `cycles` times; fails at the first violation.
pub fn run(cycles: u64, seed: u64) -> Result<Tally> {
    let mut folder = tempfile::tempdir().context("cannot make a working folder")?;
    eprintln!("kill-producers: seed={seed} cycles={cycles}");
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    while tally.kills < cycles {
        tally.runs += 1;
        let data = folder.path().join(format!("run-{}", tally.runs));
        let kills = KILLS_PER_RUN.min(cycles - tally.kills);
        let done = one_run(&data, kills, &mut random, &mut tally)
            .with_context(|| format!("seed={seed} run={}, data in {}", tally.runs, data.display()));
        if let Err(error) = done {
            // The data folder of a failure is worth more than a clean temporary directory.
            folder.disable_cleanup(true);
            return Err(error);
        }
        std::fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
    }
    println!("kill-producers: {}; nothing lost, nothing twice", tally.text());
    Ok(tally)
}

/// Like [`run`], as a proof in the ledger.
pub fn prove(cycles: u64, seed: u64) -> Result<()> {
    let begun = Instant::now();
    let result = run(cycles, seed);
    proofs::append(&Proof {
        command: format!("kill-producers --cycles {cycles} --seed {seed}"),
        kills: result.as_ref().map_or(0, |tally| tally.kills),
        minutes: begun.elapsed().as_secs_f64() / 60.0,
        failures: u64::from(result.is_err()),
        ..Proof::default()
    })?;
    result.map(|_| ())
}

fn one_run(data: &Path, kills: u64, random: &mut Random, tally: &mut Tally) -> Result<()> {
    let address = format!("127.0.0.1:{}", kafka::lasting_port()?);
    let log = data.with_extension("log");
    let first = start(data, &address, &log)?;
    let mut client = connect(&address)?;
    for topic in TOPICS.into_iter().chain([IDEMPOTENT_TOPIC]) {
        client.create_topic(topic, 1, 1, &[])?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let transactional: Vec<JoinHandle<Result<Vec<Ended>>>> = (0..TRANSACTIONAL)
        .map(|number| {
            let (address, stop, seed) = (address.clone(), Arc::clone(&stop), random.below(u64::MAX));
            std::thread::spawn(move || writers::transactional(number, &address, &stop, seed))
        })
        .collect();
    let idempotent: Vec<JoinHandle<Result<Written>>> = (0..IDEMPOTENT)
        .map(|number| {
            let (address, stop, seed) = (address.clone(), Arc::clone(&stop), random.below(u64::MAX));
            std::thread::spawn(move || writers::idempotent(number, &address, &stop, seed))
        })
        .collect();
    let lived = lives(first, kills, data, &address, &log, random, tally);
    // Also after an error: the threads must end. They need a node to finish what is under way.
    let last = lived.and_then(|()| start(data, &address, &log));
    stop.store(true, Ordering::Release);
    if last.is_err() {
        return last.map(|_| ());
    }
    let transactions: Vec<Vec<Ended>> = transactional.into_iter().map(join).collect::<Result<_>>()?;
    let written: Vec<Written> = idempotent.into_iter().map(join).collect::<Result<_>>()?;
    audit::check(&address, &transactions, &written, tally)
}

/// One life after the other, each ended by a kill.
fn lives(
    first: Server,
    kills: u64,
    data: &Path,
    address: &str,
    log: &Path,
    random: &mut Random,
    tally: &mut Tally,
) -> Result<()> {
    let mut server = Some(first);
    for _ in 0..kills {
        if random.below(EARLY_EVERY) == 0 {
            // What runs now dies first; then one more dies while it recovers.
            drop(server.take());
            let process = Group::spawn(&mut command(data, address)?)?;
            std::thread::sleep(Duration::from_millis(random.below(EARLY_MS_MAX)));
            drop(process);
        } else {
            let alive = match server.take() {
                Some(alive) => alive,
                None => start(data, address, log)?,
            };
            std::thread::sleep(Duration::from_millis(5 + random.below(LOAD_MS_MAX)));
            // Dropping it is the kill.
            drop(alive);
        }
        tally.kills += 1;
    }
    Ok(())
}

fn command(data: &Path, address: &str) -> Result<Command> {
    let mut command = node::command()?;
    command.arg("start").arg("--data").arg(data).args(["--kafka", address]);
    Ok(command)
}

fn start(data: &Path, address: &str, log: &Path) -> Result<Server> {
    let listening = |line: &str| line.contains("listening on").then_some(());
    let (server, ()) = Server::start(&mut command(data, address)?, log, START_LIMIT, listening)?;
    Ok(server)
}

fn join<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| bail!("a producer's thread panicked"))
}

fn connect(address: &str) -> Result<Client, kafka_client::ClientError> {
    let mut options = ClientOptions::new("kill-producers");
    (options.connect_timeout, options.request_timeout) = (TIMEOUT, TIMEOUT);
    Client::connect_with(address, options)
}
