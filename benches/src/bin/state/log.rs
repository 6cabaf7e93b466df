//! The log by itself: opened again with nothing of it in the page cache.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use benches::GIGABYTE;
use benches::load::batch;
use benches::report::{Table, rounded};
use eventlog::{EventLog, LogError, LogOptions, Recovery};
use os::Os;

use crate::Site;
use crate::recovery::forget;

const BATCH_BYTES: usize = 1 << 20;
const VALUE_BYTES: usize = 1_000;
const PARTITIONS: u32 = 4;
/// Frames between two waits for the disk, so that the log is never full of what is not synced.
const WINDOW: u64 = 32;
const ROUNDS: usize = 3;

pub fn run(site: &Site, gigabytes: f64) -> Result<Table> {
    let mut table = Table::new(
        format!("Opening the log again, median of {ROUNDS} rounds"),
        &["GB of log", "files", "frames read", "open, ms", "start, ms", "written, MB/s"],
    );
    for gigabytes in [gigabytes / 10.0, gigabytes] {
        let bytes = gigabytes * GIGABYTE / if site.small { 100.0 } else { 1.0 };
        let scratch = site.scratch()?;
        let written = write(scratch.path(), bytes as u64)?;
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            forget(scratch.path())?;
            rounds.push(open(scratch.path())?);
        }
        rounds.sort_by(|left, right| left.open_ms.total_cmp(&right.open_ms));
        let Round { files, frames, open_ms, start_ms } = rounds[ROUNDS / 2];
        let values = [files, frames, open_ms, start_ms, written];
        table.row(rounded(bytes / GIGABYTE).to_string(), values.into_iter().map(rounded).collect());
    }
    Ok(table)
}

struct Round {
    files: f64,
    frames: f64,
    open_ms: f64,
    start_ms: f64,
}

/// Appends batches until there are so many bytes; MB/s.
fn write(folder: &Path, bytes: u64) -> Result<f64> {
    let (batch, records) = batch(VALUE_BYTES, BATCH_BYTES)?;
    let records = u32::try_from(records)?;
    // Retention would take older ones away.
    let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64;
    let (log, _) = begin(folder)?;
    log.append::<_, LogError>(|frame| frame.create_topic("events", PARTITIONS, BTreeMap::new()))?;
    let partitions = log.topic("events").context("the topic is there")?.partitions.clone();
    let begun = Instant::now();
    let count = bytes / batch.len() as u64;
    for number in 0..count {
        let partition = partitions[(number % u64::from(PARTITIONS)) as usize];
        let (_, lsn) = log.append::<_, LogError>(|frame| frame.batch(partition, records, now_ms, &batch))?;
        if number % WINDOW == WINDOW - 1 || number + 1 == count {
            log.wait_durable(lsn)?;
        }
    }
    let rate = (count * batch.len() as u64) as f64 / 1e6 / begun.elapsed().as_secs_f64();
    log.close()?;
    Ok(rate)
}

fn open(folder: &Path) -> Result<Round> {
    let (log, round) = begin(folder)?;
    ensure!(log.topic("events").is_some(), "the topic is gone");
    log.close()?;
    Ok(round)
}

/// Opens what is there and goes on with it.
fn begin(folder: &Path) -> Result<(EventLog, Round)> {
    let options = LogOptions::new(folder);
    let begun = Instant::now();
    let mut recovery = Recovery::open(&Os::real(), options)?;
    recovery.replay(&mut |_, _| Ok(()))?;
    let open_ms = begun.elapsed().as_secs_f64() * 1e3;
    let report = recovery.report();
    ensure!(report.damaged_count == 0, "the log is damaged: {:?}", report.damaged);
    let (files, frames) = (report.files as f64, report.frames as f64);
    let begun = Instant::now();
    let log = recovery.start(vec![])?;
    let start_ms = begun.elapsed().as_secs_f64() * 1e3;
    Ok((log, Round { files, frames, open_ms, start_ms }))
}
