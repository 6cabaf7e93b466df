//! Steps with state of half to ten times the memory that it may take, and what the disk can do by itself.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use anyhow::Result;
use benches::report::{Table, rounded};

use crate::Site;
use crate::job::{Draw, Job, Kind, STEP_ROWS, Taken, Work};
use crate::recovery::forget;

const BUDGET_BYTES: usize = 128 << 20;
const PAYLOAD_BYTES: usize = 100;
/// What a key takes in memory with its row, about: measured, see `memory_bytes` of a job.
const ENTRY_BYTES: usize = 270;
const ROWS: usize = 2_000_000;
const TIMES: [f64; 5] = [0.5, 1.0, 2.0, 5.0, 10.0];
/// Steps whose reads all come from the disk.
const COLD_STEPS: usize = 16;
const BLOCK_BYTES: usize = 8 << 10;

pub fn run(site: &Site) -> Result<Vec<Table>> {
    let budget = site.size(BUDGET_BYTES);
    let mut table = Table::new(
        format!("Updates of keys that are there, {} MB of memory, steps of {STEP_ROWS} rows", budget >> 20),
        &[
            "state / memory",
            "keys",
            "evenly, rows/s",
            "of 0.5",
            "skewed, rows/s",
            "of 0.5",
            "longest step, ms",
            "MB on disk",
        ],
    );
    let mut first = None;
    for times in TIMES {
        let keys = (budget as f64 * times) as usize / ENTRY_BYTES;
        let scratch = site.scratch()?;
        let work = Work { kind: Kind::LastRow, keys, payload_bytes: PAYLOAD_BYTES };
        let mut job = Job::open(scratch.path(), budget, work, None)?;
        job.fill()?;
        let evenly = update(site, &mut job, Draw::Evenly)?;
        let skewed = update(site, &mut job, Draw::Skewed)?;
        job.store.wait_idle();
        let disk: u64 = std::fs::read_dir(scratch.path())?
            .filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()))
            .sum();
        let (even, skew) = (evenly.rows_per_second(), skewed.rows_per_second());
        let (even_first, skew_first) = *first.get_or_insert((even, skew));
        let longest_ms = evenly.longest_ms.max(skewed.longest_ms);
        let values =
            [keys as f64, even, even / even_first, skew, skew / skew_first, longest_ms, disk as f64 / 1e6];
        table.row(format!("{times}"), values.into_iter().map(rounded).collect());
    }
    Ok(vec![table, cold(site)?, disk(site)?])
}

/// The largest state again, with nothing of its files in the page cache when a step begins.
fn cold(site: &Site) -> Result<Table> {
    let times = TIMES.into_iter().fold(0.0, f64::max);
    let budget = site.size(BUDGET_BYTES);
    let keys = (budget as f64 * times) as usize / ENTRY_BYTES;
    let work = Work { kind: Kind::LastRow, keys, payload_bytes: PAYLOAD_BYTES };
    let scratch = site.scratch()?;
    let mut job = Job::open(scratch.path(), budget, work, None)?;
    job.fill()?;
    // Merges would bring the files back into the page cache.
    job.store.wait_idle();
    let mut table = Table::new(
        format!("The same with {times} times the memory, files out of the page cache before each step"),
        &["keys drawn", "rows/s", "longest step, ms"],
    );
    for (name, draw) in [("evenly", Draw::Evenly), ("skewed", Draw::Skewed)] {
        let mut taken = Taken::default();
        for _ in 0..COLD_STEPS {
            forget(scratch.path())?;
            job.step(STEP_ROWS, draw, &mut taken)?;
        }
        table.row(name, vec![rounded(taken.rows_per_second()), rounded(taken.longest_ms)]);
    }
    Ok(table)
}

fn update(site: &Site, job: &mut Job, draw: Draw) -> Result<Taken> {
    // Once through without a clock, so that what is used often is in memory.
    let rows = site.size(ROWS).max(4 * STEP_ROWS);
    let mut taken = Taken::default();
    for _ in 0..rows / STEP_ROWS / 2 {
        job.step(STEP_ROWS, draw, &mut taken)?;
    }
    let mut taken = Taken::default();
    for _ in 0..rows / STEP_ROWS {
        job.step(STEP_ROWS, draw, &mut taken)?;
    }
    Ok(taken)
}

/// Blocks read at random places, from the page cache and from the disk, and a file written in order.
fn disk(site: &Site) -> Result<Table> {
    let scratch = site.scratch()?;
    let path = scratch.path().join("file");
    let bytes = site.size(1 << 30).next_multiple_of(1 << 20);
    let mut file = File::create(&path)?;
    let chunk: Vec<u8> =
        (0..1 << 20).map(|byte: u32| (byte.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let begun = Instant::now();
    for _ in 0..bytes / chunk.len() {
        file.write_all(&chunk)?;
    }
    file.sync_data()?;
    let write = bytes as f64 / 1e6 / begun.elapsed().as_secs_f64();
    let mut table = Table::new("The disk by itself", &["", "per second", "MB/s"]);
    table.row("written in order and synced", vec![rounded(f64::NAN), rounded(write)]);
    let cached = blocks(&File::open(&path)?, bytes, 200_000)?;
    table.row(
        "blocks of 8 KiB, from the page cache",
        vec![rounded(cached), rounded(cached * BLOCK_BYTES as f64 / 1e6)],
    );
    let file = File::open(&path)?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random)?;
    let cold = blocks(&file, bytes, 10_000)?;
    table
        .row("blocks of 8 KiB, from the disk", vec![rounded(cold), rounded(cold * BLOCK_BYTES as f64 / 1e6)]);
    Ok(table)
}

fn blocks(file: &File, bytes: usize, count: usize) -> Result<f64> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut random = 1u64;
    let begun = Instant::now();
    for _ in 0..count {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let place = (random >> 33) as usize % (bytes / BLOCK_BYTES);
        file.read_exact_at(&mut block, (place * BLOCK_BYTES) as u64)?;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}
