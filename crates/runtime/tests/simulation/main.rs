//! Node and job under a simulated disk and clock, from seeds: whatever happens, every result is there once.
//!
//! Seeds that have found something stand in `seeds.txt` and are run first. `EVENTWRIGHT_SEEDS=first..last` runs others
//! than the first thousand.

mod connector;
mod inputs;
mod jobs;
mod readers;
mod recomputed;
mod rows;
mod world;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use world::Story;

const SEEDS: u64 = 300;

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("EVENTWRIGHT_SEEDS") else { return 0..SEEDS };
    let range = text.split_once("..").and_then(|(first, last)| Some(first.parse().ok()?..last.parse().ok()?));
    range.unwrap_or_else(|| panic!("EVENTWRIGHT_SEEDS is FIRST..LAST, not {text}"))
}

/// The seeds that have failed before, one to a line, `#` before the reason.
fn kept() -> Vec<u64> {
    let lines = include_str!("seeds.txt").lines();
    let seeds = lines.map(|line| line.split('#').next().unwrap_or("").trim()).filter(|line| !line.is_empty());
    seeds.map(|line| line.parse().expect("a seed is a number")).collect()
}

/// Runs seeds on all cores; the sum of their stories, and the seeds that failed.
fn run_all(seeds: &[u64]) -> (Story, Vec<u64>) {
    let next = AtomicU64::new(0);
    let outcome = Mutex::new((Story::default(), Vec::new()));
    let threads = std::thread::available_parallelism().map_or(2, |count| count.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let story = catch_unwind(AssertUnwindSafe(|| world::run(*seed)));
                    let mut outcome = outcome.lock().expect("nobody panics with it");
                    match story {
                        Ok(story) => outcome.0.add(&story),
                        Err(_) => {
                            println!("simulation: seed={seed} failed");
                            outcome.1.push(*seed);
                        }
                    }
                }
            });
        }
    });
    let (story, mut failed) = outcome.into_inner().expect("nobody panics with it");
    failed.sort_unstable();
    (story, failed)
}

#[test]
fn every_result_is_there_once_whatever_happens() {
    let (_, failed) = run_all(&kept());
    assert!(failed.is_empty(), "seeds that failed before fail again: {failed:?}");
    let seeds: Vec<u64> = seeds().collect();
    let (story, failed) = run_all(&seeds);
    // The tool that runs many seeds reads this line.
    println!(
        "simulation: seeds={} failures={} kills={} cuts={} steps={} replayed_steps={} records={} moves={} {story:?}",
        seeds.len(),
        failed.len(),
        story.kills,
        story.cuts,
        story.steps,
        story.replayed_steps,
        story.records,
        story.moves,
    );
    assert!(failed.is_empty(), "failing seeds, to be written into seeds.txt: {failed:?}");
    if seeds.len() as u64 >= SEEDS {
        // The test is worth something only if it meets what it is about.
        let each = seeds.len() as u64;
        assert!(story.kills > each && story.cuts > each, "the node must die: {story:?}");
        assert!(story.replayed_steps > each && story.snapshots > each, "jobs must be restored: {story:?}");
        assert!(
            story.moves > each / 10 && story.full_disks > each / 10,
            "disks must be full and left: {story:?}"
        );
        assert!(story.failed_calls > each / 2 && story.digests > each, "faults must show: {story:?}");
        assert!(story.looked_back > each, "steps must be run again: {story:?}");
        assert!(story.changes > each / 5, "statements must change: {story:?}");
    }
}

/// One job with all operators, and every operation of the disk in turn the last one before a kill or a power cut.
#[test]
fn any_operation_can_be_the_last() {
    const OPERATIONS_MIN: u64 = 200;
    for cut in [false, true] {
        let (next, reached) = (AtomicU64::new(1), AtomicU64::new(0));
        let threads = std::thread::available_parallelism().map_or(2, |count| count.get());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let operation = next.fetch_add(1, Ordering::Relaxed);
                        if !world::run_stopped_at(operation, cut) {
                            return;
                        }
                        reached.fetch_max(operation, Ordering::Relaxed);
                    }
                });
            }
        });
        let reached = reached.into_inner();
        println!("operations={reached} cut={cut}");
        assert!(reached > OPERATIONS_MIN, "the job has many operations: {reached}");
    }
}

#[test]
fn a_seed_tells_everything() {
    for seed in 0..12 {
        let (one, other) = (world::run(seed), world::run(seed));
        assert_eq!(one.trace, other.trace, "seed={seed} has two stories: {one:?} {other:?}");
    }
}
