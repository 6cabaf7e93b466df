//! Steps with and without snapshots: what a snapshot costs the steps beside which it is written.

use std::time::Instant;

use anyhow::{Result, anyhow};
use benches::report::{Table, rounded};
use state::Snapshot;

use crate::Site;
use crate::job::{Draw, Job, Kind, STEP_ROWS, Taken, Work};

const KEYS: usize = 1_000_000;
const STEPS: usize = 640;
const PAYLOAD_BYTES: usize = 100;
const ROUNDS: usize = 3;

/// Steps between two snapshots; the first is none, the second the default of jobs.
const EVERY: [Option<usize>; 3] = [None, Some(256), Some(32)];

pub fn run(site: &Site) -> Result<Vec<Table>> {
    let jobs = [
        ("the last row of each key", Kind::LastRow),
        ("COUNT and SUM for each key", Kind::Aggregate),
        ("a stream joined with a table, both kept", Kind::Join),
    ];
    jobs.into_iter().map(|(name, kind)| job(site, name, kind)).collect()
}

fn job(site: &Site, name: &str, kind: Kind) -> Result<Table> {
    let mut table = Table::new(
        format!("{name}: steps of {STEP_ROWS} rows over {} keys, median of {ROUNDS} rounds", site.size(KEYS)),
        &["", "rows/s", "of none", "longest step, ms", "snapshots", "MB written per snapshot"],
    );
    let mut rounds: Vec<Vec<Round>> = EVERY.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (every, rounds) in EVERY.iter().zip(&mut rounds) {
            rounds.push(round(site, kind, *every)?);
        }
    }
    let mut none = f64::NAN;
    for (every, mut rounds) in EVERY.iter().zip(rounds) {
        rounds.sort_by(|left, right| left.rate.total_cmp(&right.rate));
        let Round { rate, longest_ms, snapshots, megabytes } = rounds[ROUNDS / 2];
        let name = match every {
            None => {
                none = rate;
                "no snapshots".to_owned()
            }
            Some(every) => format!("every {every} steps"),
        };
        let values = [rate, rate / none, longest_ms, snapshots, megabytes / snapshots];
        table.row(name, values.into_iter().map(rounded).collect());
    }
    Ok(table)
}

#[derive(Debug, Clone, Copy)]
struct Round {
    rate: f64,
    longest_ms: f64,
    snapshots: f64,
    megabytes: f64,
}

fn round(site: &Site, kind: Kind, every: Option<usize>) -> Result<Round> {
    let scratch = site.scratch()?;
    let work = Work { kind, keys: site.size(KEYS), payload_bytes: PAYLOAD_BYTES };
    let mut job = Job::open(scratch.path(), usize::MAX, work, None)?;
    job.fill()?;
    // The state so far is on disk, as in a job that has been running.
    let mut durable = job.snapshot()?;
    let written_before = job.store.written_bytes();
    let (mut taken, mut snapshots, mut pending) = (Taken::default(), 0, None);
    for step in 1..=site.size(STEPS).max(32) {
        job.step(STEP_ROWS, Draw::Evenly, &mut taken)?;
        let begun = Instant::now();
        if let Some(written) = pending.as_ref().and_then(state::PendingSnapshot::take) {
            let newer: Snapshot = written.map_err(|error| anyhow!(error))?;
            newer.keep();
            durable.release(Some(&newer));
            durable = newer;
            pending = None;
            snapshots += 1;
        }
        if every.is_some_and(|every| step % every == 0) && pending.is_none() {
            pending = Some(job.begin_snapshot()?);
        }
        taken.add(0, begun);
    }
    job.store.wait_idle();
    snapshots += u32::from(pending.is_some());
    Ok(Round {
        rate: taken.rows_per_second(),
        longest_ms: taken.longest_ms,
        snapshots: f64::from(snapshots),
        megabytes: (job.store.written_bytes() - written_before) as f64 / 1e6,
    })
}
