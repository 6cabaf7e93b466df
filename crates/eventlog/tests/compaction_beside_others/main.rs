//! Compaction beside others: while a pass reads, writes or syncs, everybody else goes on; and what cannot be read ends a
//! pass and nothing else.

mod hooked_disk;

use base::{Offset, PartitionId};
use bytes::Bytes;
use eventlog::{Committer, CompactionOptions, EventLog, LogError, LogOptions, Recovery};
use hooked_disk::{HookedDisk, Operation, hooked};
use kafka_wire::records::{Batch, BatchBuilder, Compression};
use os::sim::SimOs;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

const KEYS: u64 = 40;
const NOW_MS: i64 = 1_000_000;
/// Nothing here takes so long; a lock that is held for ever does.
const STALLED: Duration = Duration::from_secs(60);
/// An entry that puts a segment in force, with its frame around it.
const FRAME_BYTES_MAX: u64 = 512;

struct World {
    sim: SimOs,
    log: EventLog,
    partition: PartitionId,
    other: PartitionId,
}

fn options() -> LogOptions {
    LogOptions {
        file_bytes: 16 << 10,
        first_file_bytes: 8 << 10,
        committer: Committer::Manual,
        retention_check_ms: 0,
        ..LogOptions::new("/data")
    }
}

fn open(sim: &SimOs) -> EventLog {
    let os = sim.os();
    let os = os::Os { disk: Arc::new(HookedDisk(os.disk.clone())), ..os };
    Recovery::open(&os, options()).unwrap().start(Vec::new()).unwrap()
}

fn batch(number: u64) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::Lz4);
    for record in 0..5 {
        let key = (number * 5 + record) % KEYS;
        let value = format!("{number:040}");
        builder.append(NOW_MS, Some(&key.to_be_bytes()), Some(value.as_bytes()), &[]).unwrap();
    }
    builder.build().unwrap()
}

impl World {
    /// A compacted partition with much to do, and one that is not compacted.
    fn new(batches: u64) -> World {
        let sim = SimOs::new(3);
        let log = open(&sim);
        let config = [("cleanup.policy", "compact"), ("segment.bytes", "300"), ("segment.ms", "1")];
        let config = config.map(|(key, value)| (key.to_string(), value.to_string()));
        log.append::<_, LogError>(|frame| {
            frame.create_topic("compacted", 1, BTreeMap::from(config))?;
            frame.create_topic("other", 1, BTreeMap::new())
        })
        .unwrap();
        let partition = log.topic("compacted").unwrap().partitions[0];
        let other = log.topic("other").unwrap().partitions[0];
        let world = World { sim, log, partition, other };
        for number in 0..batches {
            append(&world.log, world.partition, number);
            world.log.commit_pending().unwrap();
        }
        world
    }

    fn compact(&self, later_ms: i64) -> Result<eventlog::CompactionReport, LogError> {
        self.log.compact(NOW_MS + later_ms)
    }
}

fn append(log: &EventLog, partition: PartitionId, number: u64) -> Offset {
    log.append::<_, LogError>(|frame| frame.batch(partition, 5, NOW_MS, &batch(number))).unwrap().0
}

/// The last value of each key, and how many records there are.
fn values(log: &EventLog, partition: PartitionId) -> (BTreeMap<Vec<u8>, Vec<u8>>, usize) {
    let (mut last, mut records) = (BTreeMap::new(), 0);
    let end = log.bounds(partition).unwrap().high_watermark;
    let mut next = Offset(0);
    while next < end {
        for slice in log.read(partition, next, 1 << 20).unwrap() {
            let mut bytes = Vec::new();
            slice.read(&mut bytes).unwrap();
            for record in &Batch::parse(&Bytes::from(bytes)).unwrap().records(1 << 20).unwrap() {
                let record = record.unwrap();
                last.insert(record.key.unwrap().to_vec(), record.value.unwrap().to_vec());
                records += 1;
            }
            next = Offset(slice.last_offset.0 + 1);
        }
    }
    (last, records)
}

/// At every operation on the disk the pass stops until a producer has appended and committed to two partitions, a
/// consumer has read, and an administrator has created a topic: none of them waits for a lock of the pass.
#[test]
fn a_pass_stalls_nobody() {
    let world = World::new(200);
    let before = values(&world.log, world.partition);
    let (ask, asked) = mpsc::channel::<u64>();
    let (answer, answered) = mpsc::channel();
    let others = {
        let (log, partition, other) = (world.log.clone(), world.partition, world.other);
        std::thread::spawn(move || {
            for number in asked {
                let at = append(&log, partition, 1_000 + number);
                append(&log, other, number);
                if number.is_multiple_of(50) {
                    let name = format!("made-{number}");
                    log.append::<_, LogError>(|frame| frame.create_topic(&name, 1, BTreeMap::new())).unwrap();
                }
                log.commit_pending().unwrap();
                assert_eq!(log.read(partition, at, 1).unwrap()[0].base_offset, at);
                assert!(!log.read(partition, Offset(0), 1).unwrap().is_empty());
                answer.send(()).unwrap();
            }
        })
    };
    let operations = Rc::new(Cell::new(0));
    let count = operations.clone();
    let hook = move |_: Operation| {
        ask.send(count.get()).unwrap();
        count.set(count.get() + 1);
        answered
            .recv_timeout(STALLED)
            .expect("somebody waits for a lock that the pass holds over an operation");
        Ok(())
    };
    let report = hooked(hook, || world.compact(10)).unwrap();
    others.join().unwrap();
    let count = operations.get();
    assert!(count > 200 && report.segments_written > 2, "{count} {report:?}");
    // What came in between is there, and of what was there before the last of each key.
    world.log.commit_pending().unwrap();
    let (mut expected, _) = before;
    for number in 1_000..1_000 + count {
        let parsed = Batch::parse(&batch(number)).unwrap();
        for record in &parsed.records(1 << 20).unwrap() {
            let record = record.unwrap();
            expected.insert(record.key.unwrap().to_vec(), record.value.unwrap().to_vec());
        }
    }
    let (found, records) = values(&world.log, world.partition);
    assert_eq!(found, expected);
    assert!(records < 200 * 5 + count as usize * 5, "something went");
    assert_eq!(values(&world.log, world.other).1, count as usize * 5);
}

/// What a pass does under the append lock does not grow with what it has gone through: one small frame for each segment
/// and one for the clean point.
#[test]
fn a_pass_holds_the_lock_for_small_frames_only() {
    for batches in [100, 600] {
        let world = World::new(batches);
        let before = world.log.metrics();
        let report = world.compact(10).unwrap();
        let after = world.log.metrics();
        let frames = after.appended_frames - before.appended_frames;
        assert_eq!(frames, report.segments_written + report.passes, "{report:?}");
        let bytes = after.appended_bytes - before.appended_bytes;
        assert!(report.bytes_read > batches * 50 && bytes <= frames * FRAME_BYTES_MAX, "{bytes} {report:?}");
    }
}

/// Each read of a pass fails in turn: nothing is damaged, it is told, and the next round makes it good.
#[test]
fn what_cannot_be_read_ends_a_pass_and_nothing_else() {
    let mut failures = 0;
    for nth in 0.. {
        let world = World::new(24);
        // The second pass reads segments as well.
        world.compact(10).unwrap();
        for number in 100..124 {
            append(&world.log, world.partition, number);
            world.log.commit_pending().unwrap();
        }
        let before = values(&world.log, world.partition).0;
        let reads = Rc::new(Cell::new(0));
        let count = reads.clone();
        let hook = move |operation: Operation| {
            if operation != Operation::Read {
                return Ok(());
            }
            count.set(count.get() + 1);
            if count.get() == nth + 1 { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
        };
        let result = hooked(hook, || world.compact(20));
        if reads.get() <= nth {
            result.unwrap();
            break;
        }
        failures += 1;
        let error = result.unwrap_err();
        assert!(matches!(error, LogError::Io { .. }), "{error}");
        let told = world.log.metrics().compaction_trouble.expect("it is told");
        assert!(told.contains("/data/") && told.contains("os error 5"), "{told}");
        assert_eq!(world.log.fenced(), None);
        assert_eq!(values(&world.log, world.partition).0, before);
        // Also after a power cut right then.
        let World { sim, log, partition, other } = world;
        drop(log);
        sim.disk.power_cut(nth);
        let world = World { log: open(&sim), sim, partition, other };
        assert_eq!(values(&world.log, partition).0, before);
        world.compact(30).unwrap();
        world.log.commit_pending().unwrap();
        assert_eq!(world.log.metrics().compaction_trouble, None);
        assert_eq!(values(&world.log, partition).0, before);
        let bounds = world.log.bounds(partition).unwrap();
        assert!(bounds.clean_to.0 > 24 * 5, "{bounds:?}");
    }
    assert!(failures > 40, "a pass reads often: {failures}");
}

/// A thread that would come in an hour comes at once when it is to come every millisecond.
#[test]
fn the_next_round_comes_when_it_is_said_to() {
    let sim = SimOs::new(3);
    let hourly = CompactionOptions { check_ms: 3_600_000, ..CompactionOptions::default() };
    let options = LogOptions { committer: Committer::Thread, compaction: hourly, ..options() };
    let log = Recovery::open(&sim.os(), options).unwrap().start(Vec::new()).unwrap();
    let config = [("cleanup.policy", "compact"), ("segment.bytes", "300"), ("segment.ms", "1")];
    let config = config.map(|(key, value)| (key.to_string(), value.to_string()));
    log.append::<_, LogError>(|frame| frame.create_topic("compacted", 1, BTreeMap::from(config))).unwrap();
    let partition = log.topic("compacted").unwrap().partitions[0];
    for number in 0..50 {
        append(&log, partition, number);
    }
    log.wait_durable(log.appended()).unwrap();
    log.allow_removal();
    log.set_compaction(CompactionOptions { check_ms: 1, ..hourly });
    let clock = os::Os::real().clock;
    let begun = Duration::from_nanos(clock.monotonic_ns());
    while log.metrics().compaction.passes == 0 {
        assert!(Duration::from_nanos(clock.monotonic_ns()) < begun + STALLED, "nothing is compacted");
        std::thread::yield_now();
    }
    log.shutdown().unwrap();
}
