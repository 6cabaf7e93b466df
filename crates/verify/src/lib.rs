//! Kills a node with SIGKILL, or cuts its power, while transactional and idempotent producers write, and reads what is
//! left as a consumer of committed records does.
//!
//! 1. A run is a data folder on which the node dies a dozen times: at random times under load, and some times while it
//!    recovers. The producers go on with the node's next life. In a run of power cuts each death also takes away what was
//!    not synced: a shadow of the disk knows what that is (`os::disk::shadow`), or a file system of the machine's own
//!    loses its power ([`Machine`]).
//! 2. A transactional producer writes into two topics, commits a group's position with each transaction, and commits
//!    or aborts; after a death it takes its id anew. An idempotent producer keeps its identity and sends what was not
//!    acknowledged again.
//! 3. At the end of a run everything is read: a transaction that was acknowledged is there whole, one that was aborted
//!    or left open is not, one whose commit was not answered is whole or not there at all; each record is there once and
//!    in order; the group's position is that of the last transaction that is there. Nothing stays open.

mod audit;
mod lives;
mod writers;

pub use os::random::SplitMix as Random;

use anyhow::{Context, Result, bail};
use kafka_client::{Client, ClientOptions};
use lives::{Lives, Power};
use os::Clock;
use os::clock::RealClock;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use writers::{Ended, Written};

/// How often the node dies on one data folder.
const DEATHS_PER_RUN: u64 = 12;
const TRANSACTIONAL: u64 = 3;
const IDEMPOTENT: u64 = 2;
/// Between two attempts to reach a node that is down.
const PAUSE: Duration = Duration::from_millis(5);
const TIMEOUT: Duration = Duration::from_secs(20);
/// Each is one partition, so that order can be compared.
const TOPICS: [&str; 2] = ["one", "two"];
const IDEMPOTENT_TOPIC: &str = "idempotent";

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub kills: u64,
    pub power_cuts: u64,
    pub seed: u64,
}

/// How a node is started.
#[derive(Debug, Clone, Copy)]
pub struct Life<'a> {
    pub data: &'a Path,
    /// Of Kafka clients.
    pub address: &'a str,
    /// Where the disk keeps what is durable, so that the power can be cut.
    pub shadow: Option<&'a Path>,
}

impl Life<'_> {
    /// Of `eventwright`.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["start".into(), "--data".into(), self.data.into()];
        arguments.extend(["--kafka", self.address, "--http", "none"].map(OsString::from));
        if let Some(shadow) = self.shadow {
            arguments.extend([OsString::from("--shadow"), shadow.into()]);
        }
        arguments
    }
}

/// The program that runs a node until it is killed; it prints `listening on` when clients may come.
pub type Program<'a> = &'a dyn Fn(Life<'_>) -> Result<Command>;

/// A file system whose power can be cut.
pub trait Machine {
    /// Where data may lie.
    fn folder(&self) -> &Path;
    /// Stops it at once, while programs use it; with `journal`, what its journal holds in memory is written before.
    fn cut(&self, journal: bool) -> Result<()>;
    /// Makes it what is found when the power is back. No program uses it.
    fn restore(&self) -> Result<()>;
}

/// What all runs came to.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub kills: u64,
    pub power_cuts: u64,
    pub runs: u64,
    pub committed: u64,
    pub aborted: u64,
    /// Asked to commit, killed before the answer, and found whole.
    pub unanswered_there: u64,
    /// The same, and found nowhere.
    pub unanswered_gone: u64,
    /// Left open by a death.
    pub left: u64,
    pub idempotent_batches: u64,
    /// Batches that were sent again after a death.
    pub sent_again: u64,
    /// From the start of the process until clients may come, of every life that came so far.
    pub ready_ms: Vec<u64>,
}

impl Tally {
    pub fn deaths(&self) -> u64 {
        self.kills + self.power_cuts
    }

    /// Median and longest time until a node was ready again.
    pub fn ready_ms(&self) -> Option<(u64, u64)> {
        let mut sorted = self.ready_ms.clone();
        sorted.sort_unstable();
        Some((*sorted.get(sorted.len() / 2)?, *sorted.last()?))
    }

    pub fn text(&self) -> String {
        format!(
            "{} kills and {} power cuts in {} runs; {} transactions committed and {} aborted, {} left open, of {} \
             unanswered commits {} were there; {} idempotent batches, {} of them sent again",
            self.kills,
            self.power_cuts,
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

/// Runs in `folder`, and fails at the first violation: the data of that run stays there. Power cuts are those of `machine`,
/// and its file system has the data then. `told` hears of every run's end.
pub fn run(
    wanted: Wanted,
    folder: &Path,
    machine: Option<&dyn Machine>,
    program: Program<'_>,
    told: &mut dyn FnMut(&Tally),
) -> Result<Tally> {
    let mut random = Random(wanted.seed);
    let mut tally = Tally::default();
    while tally.kills < wanted.kills || tally.power_cuts < wanted.power_cuts {
        tally.runs += 1;
        let kills_left = wanted.kills - tally.kills;
        let cuts_left = wanted.power_cuts - tally.power_cuts;
        let cuts_power = random.below(kills_left + cuts_left) < cuts_left;
        let deaths = DEATHS_PER_RUN.min(if cuts_power { cuts_left } else { kills_left });
        let name = format!("run-{}", tally.runs);
        let (data, power) = match machine.filter(|_| cuts_power) {
            Some(machine) => (machine.folder().join(&name), Power::Of(machine)),
            None => {
                let data = folder.join(&name);
                let power = if cuts_power { Power::Shadowed(shadow_of(&data)) } else { Power::Stays };
                (data, power)
            }
        };
        let lives = Lives::new(&data, folder.join(format!("{name}.log")), power, program)?;
        one_run(lives, deaths, &mut random, &mut tally).with_context(|| {
            format!("seed={} run={}, data in {}", wanted.seed, tally.runs, data.display())
        })?;
        for gone in [data.clone(), shadow_of(&data)] {
            if gone.exists() {
                std::fs::remove_dir_all(&gone)
                    .with_context(|| format!("cannot remove {}", gone.display()))?;
            }
        }
        told(&tally);
    }
    Ok(tally)
}

fn shadow_of(data: &Path) -> PathBuf {
    data.with_extension("durable")
}

fn one_run(mut lives: Lives<'_>, deaths: u64, random: &mut Random, tally: &mut Tally) -> Result<()> {
    lives.start(tally)?;
    let address = lives.address().to_owned();
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
    let lived = lives.die(deaths, random, tally);
    // Also after an error: the threads must end. They need a node to finish what is under way.
    let last = lived.and_then(|()| lives.start(tally));
    stop.store(true, Ordering::Release);
    last?;
    let transactions: Vec<Vec<Ended>> = transactional.into_iter().map(join).collect::<Result<_>>()?;
    let written: Vec<Written> = idempotent.into_iter().map(join).collect::<Result<_>>()?;
    audit::check(&address, &transactions, &written, tally)
}

fn join<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| bail!("a producer's thread panicked"))
}

fn connect(address: &str) -> Result<Client, kafka_client::ClientError> {
    let mut options = ClientOptions::new("verify");
    (options.connect_timeout, options.request_timeout) = (TIMEOUT, TIMEOUT);
    Client::connect_with(address, options)
}

/// Records of another age would fall to retention.
fn now_ms() -> i64 {
    RealClock::new().now_ms()
}
