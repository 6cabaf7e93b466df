//! The log survives power cuts: nothing acknowledged is lost, no frame is half there, the log goes on.

mod common;

use base::{Offset, PartitionId};
use common::World;
use eventlog::{Committer, EventLog, LogError, LogOptions, Recovery};
use os::sim::{SimOs, SplitMix};
use std::collections::BTreeMap;

/// Works until the disk stops, cuts the power, and opens again; the cut may also hit the opening.
fn live_and_die(world: &mut World, operations: u64) {
    let seed = world.random.next_u64();
    let disk = world.sim.disk.clone();
    disk.stop_at_operation(Some(disk.operations() + 1 + operations));
    loop {
        match world.step() {
            Ok(()) => {}
            Err(LogError::Fenced(_) | LogError::Io { .. }) => break,
            Err(other) => panic!("{}: {other}", world.name()),
        }
    }
    world.log = None;
    if world.random.one_in(3) {
        // The process is killed first, and the machine loses power later: what the page cache held is served by the
        // restarted process, so it must have been synced before.
        disk.stop_at_operation(None);
        world.open().unwrap_or_else(|error| panic!("{}: cannot open after a kill: {error}", world.name()));
        world.log = None;
    }
    disk.power_cut(seed);
    while world.random.one_in(3) {
        disk.stop_at_operation(Some(disk.operations() + 1 + world.random.below(6)));
        // Opening may need fewer operations than that; then it has succeeded, and checked itself.
        let _ = world.open();
        world.log = None;
        disk.power_cut(world.random.next_u64());
    }
    world.open().unwrap_or_else(|error| panic!("{}: cannot open: {error}", world.name()));
}

fn run(seed: u64) -> World {
    let mut world = World::new(seed);
    world.open().unwrap();
    for _ in 0..1 + seed % 3 {
        let operations = world.random.below(120);
        live_and_die(&mut world, operations);
    }
    // The reopened log takes more, and closes and opens cleanly.
    for _ in 0..20 {
        world.step().unwrap_or_else(|error| panic!("{}: {error}", world.name()));
    }
    world.commit().unwrap();
    world.check();
    world.log().shutdown().unwrap();
    world.open().unwrap();
    assert_eq!(world.reports.last().unwrap().torn_tail_bytes, 0, "{}: a clean end", world.name());
    world
}

/// EVENTWRIGHT_SEEDS=first..last runs other seeds.
fn seeds() -> std::ops::Range<u64> {
    let given = std::env::var("EVENTWRIGHT_SEEDS").ok();
    let range = given.and_then(|text| {
        let (first, last) = text.split_once("..")?;
        Some(first.parse().ok()?..last.parse().ok()?)
    });
    range.unwrap_or(0..1_000)
}

#[test]
fn a_thousand_power_cuts_lose_nothing_acknowledged() {
    let (mut torn, mut rolled, mut cuts) = (0, 0, 0);
    for seed in seeds() {
        let world = run(seed);
        cuts += world.reports.len() - 2;
        torn += world.reports.iter().filter(|report| report.torn_tail_bytes > 0).count();
        rolled += usize::from(world.reports.iter().any(|report| report.checkpoint_lsn.0 > 0));
    }
    println!("cuts={cuts} torn_tails={torn} seeds_with_rolls={rolled}");
    // The test is worth something only if it meets what it is about.
    assert!(torn > cuts / 50, "torn tails must occur: {torn} of {cuts}");
    assert!(rolled > cuts / 10, "files must roll: {rolled} of {cuts}");
}

/// The same workload, cut at each operation in turn.
#[test]
fn a_cut_at_every_operation_loses_nothing_acknowledged() {
    let mut operation = 1;
    loop {
        let mut world = World::new(77);
        let disk = world.sim.disk.clone();
        disk.stop_at_operation(Some(operation));
        let opened = world.open();
        let mut stopped = opened.is_err();
        for _ in 0..450 {
            if stopped {
                break;
            }
            stopped = match world.step() {
                Ok(()) => false,
                Err(LogError::Fenced(_) | LogError::Io { .. }) => true,
                Err(other) => panic!("operation={operation}: {other}"),
            };
        }
        world.log = None;
        if !stopped {
            assert!(operation > 150, "the workload has many operations: {operation}");
            println!("operations={operation}");
            return;
        }
        disk.power_cut(SplitMix(operation).next_u64());
        world.open().unwrap_or_else(|error| panic!("operation={operation}: {error}"));
        for _ in 0..5 {
            world.append_some().unwrap_or_else(|error| panic!("operation={operation}: {error}"));
        }
        world.commit().unwrap();
        world.check();
        operation += 1;
    }
}

/// With the log's own threads and several appenders the interleaving is not repeatable, but what was acknowledged is
/// known all the same.
#[test]
fn with_threads_power_cuts_lose_nothing_acknowledged() {
    const THREADS: usize = 4;
    for seed in 0..60 {
        let sim = SimOs::new(seed);
        let options = LogOptions { committer: Committer::Thread, ..common::small_options() };
        let mut random = SplitMix(seed);
        let mut ids = Vec::new();
        let mut acknowledged = [0i64; THREADS];
        for round in 0..4 {
            let recovery = Recovery::open(&sim.os(), options.clone()).unwrap();
            assert_eq!(recovery.report().damaged_count, 0, "seed={seed}: {:?}", recovery.report());
            let log = recovery.start(Vec::new()).unwrap();
            if round == 0 {
                let config = BTreeMap::from([("retention.bytes".to_string(), "6000".to_string())]);
                let (_, lsn) = log
                    .append::<_, LogError>(|frame| frame.create_topic("t", THREADS as u32, config))
                    .unwrap();
                log.wait_durable(lsn).unwrap();
                ids = log.topic("t").unwrap().partitions.clone();
            }
            for (id, acknowledged) in ids.iter().zip(&acknowledged) {
                check_numbered(&log, *id, *acknowledged, seed);
            }
            let disk = &sim.disk;
            disk.stop_at_operation(Some(disk.operations() + 1 + random.below(200)));
            std::thread::scope(|scope| {
                let log = &log;
                for (id, acknowledged) in ids.iter().zip(&mut acknowledged) {
                    scope.spawn(move || {
                        loop {
                            let appended = log.append::<_, LogError>(|frame| {
                                let number = frame.next_offset(*id)?.0;
                                frame.batch(*id, 1, 0, &numbered(number))
                            });
                            match appended.and_then(|(offset, lsn)| log.wait_durable(lsn).map(|()| offset)) {
                                Ok(offset) => *acknowledged = offset.0 + 1,
                                Err(_) => return,
                            }
                            if *acknowledged % 7 == 0 && log.enforce_retention(0).is_err() {
                                return;
                            }
                        }
                    });
                }
            });
            drop(log);
            disk.power_cut(random.next_u64());
        }
        // A round may stop before anything of a thread was acknowledged; all four rarely do.
        assert!(acknowledged.iter().sum::<i64>() > 0, "seed={seed}");
    }
}

/// A batch whose length and contents follow from its offset.
fn numbered(number: i64) -> Vec<u8> {
    let mut random = SplitMix(number as u64);
    let length = 100 + random.below(900) as usize;
    common::batch(&mut random, length)
}

fn check_numbered(log: &EventLog, id: PartitionId, acknowledged: i64, seed: u64) {
    let bounds = log.bounds(id).unwrap();
    assert!(bounds.high_watermark.0 >= acknowledged, "seed={seed}: {bounds:?} acknowledged={acknowledged}");
    let mut next = bounds.log_start;
    while next < bounds.high_watermark {
        for slice in log.read(id, next, 2_000).unwrap_or_else(|error| panic!("seed={seed}: {error}")) {
            let mut bytes = Vec::new();
            slice.read(&mut bytes).unwrap();
            assert_eq!(bytes, common::patched(&numbered(next.0), next.0), "seed={seed} offset={next}");
            next = Offset(slice.last_offset.0 + 1);
        }
    }
}
