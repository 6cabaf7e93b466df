//! Loses machines: kills a node that ships its log to a bucket, or stops it in its tracks, and has another one take over from
//! there into an empty directory.
//!
//! 1. Producers write all the while: into a topic with `durability=remote` as idempotent ones, which send until they are answered,
//!    and into one without, which note when they were answered. They go where the node is that writes.
//! 2. What was shown is sampled all the while: how many bytes, and of how many seconds, are not in the store.
//! 3. After each take-over the topic without is read: of what was acknowledged only what was not shipped may be missing, the newest
//!    of each producer, and no more than was shown. In the end the other one is read: nothing that was acknowledged is missing,
//!    nothing is there twice or out of order.
//! 4. A job reads the topic with `durability=remote` all the while, copies it and counts by producer. In the end its results are
//!    those of every record, once and in order: state, positions and outputs have moved from machine to machine.
//! 5. A node that was only stopped goes on when another one has taken over: it acknowledges nothing more of the topic with
//!    `durability=remote`, and ends by itself, fenced.
//!
//! The stores are stand-ins of S3, of Google Cloud Storage and of Azure Blob Storage, which keep the condition of a put as those do.

mod audit;
mod jobs;
mod node;
mod shown;
mod stores;
mod writers;

pub use self::stores::Kind;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use verify::Random;

use self::node::{Bucket, Life};
use self::shown::Sampler;
use self::stores::Store;
use self::writers::Writers;
use crate::proofs::{self, Proof};

/// How often machines are lost on one log.
const DEATHS_PER_RUN: u64 = 10;
const LOAD_MS_MIN: u64 = 200;
const LOAD_MS_MAX: u64 = 1_500;

/// What all runs came to.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub kills: u64,
    /// Of them those that were stopped only, and found themselves fenced.
    pub fenced: u64,
    /// Those that a standby took over from, and those that came back by a restore.
    pub by_standby: u64,
    pub by_restore: u64,
    pub runs: u64,
    pub remote_records: u64,
    pub plain_records: u64,
    /// Acknowledged without `durability=remote` and lost with a machine.
    pub lost_records: u64,
    pub lost_bytes: u64,
    /// From the death until clients were served again, of each.
    pub gone_ms: Vec<u64>,
}

impl Tally {
    fn text(&self) -> String {
        let mut gone_ms = self.gone_ms.clone();
        gone_ms.sort_unstable();
        let median = gone_ms.get(gone_ms.len() / 2).copied().unwrap_or(0);
        format!(
            "{} machines lost in {} runs ({} by standby, {} by restore; {} went on and were fenced); {} records acknowledged by the \
             store are all there once, and in the job's results, of {} others {} ({} bytes) were lost, never more than was shown; served again after {median} \
             ms (median), {} ms (longest)",
            self.kills,
            self.runs,
            self.by_standby,
            self.by_restore,
            self.fenced,
            self.remote_records,
            self.plain_records,
            self.lost_records,
            self.lost_bytes,
            gone_ms.last().copied().unwrap_or(0),
        )
    }
}

/// Loses at least so many machines that ship to a store of this kind, or to one of each; fails at the first violation.
/// Answers how many it were.
pub fn run(kills: u64, kind: Option<Kind>, seed: u64) -> Result<u64> {
    let kinds = Kind::ALL.into_iter().filter(|one| kind.is_none_or(|kind| kind == *one));
    kinds.map(|kind| run_with(kills, kind, seed)).sum()
}

fn run_with(kills: u64, kind: Kind, seed: u64) -> Result<u64> {
    eprintln!("kill-remote: seed={seed} kills={kills} store={}", kind.name());
    let mut folder = tempfile::tempdir().context("cannot make a working folder")?;
    let store = Store::start(kind, folder.path())?;
    let mut random = Random(seed);
    let mut tally = Tally::default();
    while tally.kills < kills {
        tally.runs += 1;
        let path = folder.path().join(format!("run-{}", tally.runs));
        let bucket = Bucket { store: &store, prefix: format!("run-{}", tally.runs) };
        let deaths = DEATHS_PER_RUN.min(kills - tally.kills);
        let done = one_run(&bucket, &path, deaths, &mut random, &mut tally)
            .with_context(|| format!("seed={seed} run={}, data in {}", tally.runs, path.display()));
        // The data folder of a failure is worth more than a clean temporary directory.
        folder.disable_cleanup(done.is_err());
        done?;
        std::fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        eprintln!("kill-remote: {} machines lost", tally.kills);
    }
    println!("kill-remote: {}: {}", kind.name(), tally.text());
    Ok(tally.kills)
}

/// Like [`run`], as a proof in the ledger.
pub fn prove(kills: u64, kind: Option<Kind>, seed: u64) -> Result<()> {
    let begun = Instant::now();
    let result = run(kills, kind, seed);
    let of_kind = kind.map_or_else(String::new, |kind| format!(" --store {}", kind.name()));
    proofs::append(&Proof {
        command: format!("kill-remote --kills {kills}{of_kind} --seed {seed}"),
        kills: result.as_ref().copied().unwrap_or(0),
        minutes: begun.elapsed().as_secs_f64() / 60.0,
        failures: u64::from(result.is_err()),
        ..Proof::default()
    })?;
    result.map(|_| ())
}

fn one_run(
    bucket: &Bucket<'_>,
    folder: &Path,
    deaths: u64,
    random: &mut Random,
    tally: &mut Tally,
) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let first = Life::start(bucket, folder, 0)?;
    writers::create_topics(&first.address()?)?;
    first.stop()?;
    let mut active = Life::run(bucket, folder, 0)?;
    let writers = Writers::start(&active.address()?)?;
    let mut lived = Ok(());
    for death in 1..=deaths {
        // Each second one with a store that may be older.
        lived = bucket.store.know_start(death % 2 == 1);
        if lived.is_err() {
            break;
        }
        lived = lose(bucket, (folder, death), (&mut active, &writers), random, tally);
        if lived.is_err() {
            break;
        }
    }
    // Also after an error: the threads must end.
    let written = writers.stop(lived.is_err());
    lived?;
    let written = written?;
    let found = audit::remote(&active.address()?, &written)?;
    tally.remote_records += found;
    tally.plain_records += written.plain.iter().map(|acknowledged| acknowledged.len() as u64).sum::<u64>();
    active.stop()
}

/// Loses the machine of the active node, and has another one take over.
fn lose(
    bucket: &Bucket<'_>,
    (folder, death): (&Path, u64),
    (active, writers): (&mut Life, &Writers),
    random: &mut Random,
    tally: &mut Tally,
) -> Result<()> {
    let has_standby = random.below(3) > 0;
    let goes_on = random.below(3) == 0;
    let standby = has_standby.then(|| Life::start_standby(bucket, folder, death)).transpose()?;
    let sampler = Sampler::start(&active.http()?);
    sampler.wait_first()?;
    std::thread::sleep(Duration::from_millis(LOAD_MS_MIN + random.below(LOAD_MS_MAX - LOAD_MS_MIN)));
    active.check_alive()?;
    // The last sample counts: what is acknowledged behind it is not judged by it.
    let begun = Instant::now();
    if goes_on {
        active.freeze()?;
    } else {
        active.kill();
    }
    let sample = sampler.last().context("nothing was shown before the death")?;
    let next = match standby {
        Some(mut standby) => {
            tally.by_standby += 1;
            if random.below(2) == 0 {
                standby.take_over()?;
            }
            standby.wait_serving()?;
            standby
        }
        None => {
            tally.by_restore += 1;
            node::restore(bucket, folder, death)?;
            Life::run(bucket, folder, death)?
        }
    };
    writers.go_to(&next.address()?);
    tally.gone_ms.push(u64::try_from(begun.elapsed().as_millis())?);
    let mut before = std::mem::replace(active, next);
    if goes_on {
        before.thaw()?;
        let acknowledged = writers::try_remote(&before.address()?);
        ensure!(!acknowledged, "the old node has acknowledged a record of durability=remote");
        before.wait_fenced()?;
        tally.fenced += 1;
    }
    // What it has answered by now it will not take back, and more it does not answer.
    let lost = audit::plain(&active.address()?, writers, &sample, begun)?;
    tally.lost_records += lost.records;
    tally.lost_bytes += lost.bytes;
    tally.kills += 1;
    Ok(())
}
