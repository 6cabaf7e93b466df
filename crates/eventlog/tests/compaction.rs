//! Compaction beside a model: whoever reads a compacted partition, from wherever, comes to the same last value of each
//! key as a reader of everything that was ever written; whatever befalls the disk in between.

mod common;

use base::{Lsn, Offset, PartitionId};
use bytes::Bytes;
use common::small_options;
use eventlog::{
    AbortedRange, Bounds, EventLog, LogError, LogOptions, Recovery, Transactions as AnswersForTransactions,
};
use kafka_wire::records::{Batch, BatchBuilder, Compression, ControlKind, control_batch};
use os::sim::{SimOs, SplitMix, SyncFault};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const LIMIT_BYTES: usize = 1 << 20;
const RETENTION_MS: i64 = 400;

/// What is written, and what became of it.
#[derive(Debug, Clone)]
struct Written {
    lsn: u64,
    base: i64,
    records: Vec<(Option<u8>, Option<u64>)>,
    producer: Option<i64>,
    /// A marker, and whether it commits.
    marker: Option<bool>,
    at_ms: i64,
}

/// Decides transactions as the broker does, from the batches that are in the log.
#[derive(Default)]
struct Decisions {
    open: BTreeMap<i64, i64>,
    aborted: Vec<AbortedRange>,
}

#[derive(Default)]
struct Shared(Mutex<Decisions>);

impl Decisions {
    fn take(&mut self, written: &Written) {
        match (written.producer, written.marker) {
            (Some(producer), None) => {
                self.open.entry(producer).or_insert(written.base);
            }
            (Some(producer), Some(commits)) => {
                let first = self.open.remove(&producer);
                if let Some(first) = first.filter(|_| !commits) {
                    self.aborted.push(AbortedRange {
                        producer_id: producer,
                        first_offset: Offset(first),
                        last_offset: Offset(written.base),
                    });
                }
            }
            _ => {}
        }
    }
}

impl AnswersForTransactions for Shared {
    fn last_stable_offset(&self, _: PartitionId, bounds: &Bounds) -> Offset {
        let decisions = self.0.lock().unwrap();
        let first = decisions.open.values().min().map_or(bounds.high_watermark, |first| Offset(*first));
        first.min(bounds.high_watermark)
    }

    fn aborted(&self, _: PartitionId, from: Offset, to: Offset) -> Vec<AbortedRange> {
        let decisions = self.0.lock().unwrap();
        let within = |range: &&AbortedRange| range.last_offset >= from && range.first_offset < to;
        decisions.aborted.iter().filter(within).copied().collect()
    }
}

struct World {
    seed: u64,
    sim: SimOs,
    random: SplitMix,
    options: LogOptions,
    log: Option<EventLog>,
    partition: PartitionId,
    history: Vec<Written>,
    decisions: Arc<Shared>,
    acknowledged: Lsn,
    value_next: u64,
    now_ms: i64,
    keys: u64,
    removed: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = SplitMix(seed);
        let mut options = small_options();
        // Sometimes so few keys at once that it takes several passes.
        options.compaction.keys_bytes_max = if random.one_in(3) { 24 * 16 } else { 1 << 20 };
        World {
            seed,
            sim: SimOs::new(seed),
            keys: 3 + random.below(20),
            random,
            options,
            log: None,
            partition: PartitionId(0),
            history: Vec::new(),
            decisions: Arc::default(),
            acknowledged: Lsn(0),
            value_next: 0,
            now_ms: 1_000,
            removed: 0,
        }
    }

    fn log(&self) -> &EventLog {
        self.log.as_ref().expect("the log is open")
    }

    fn open(&mut self) -> Result<(), LogError> {
        self.log = None;
        let recovery = Recovery::open(&self.sim.os(), self.options.clone())?;
        let report = recovery.report().clone();
        assert_eq!(report.damaged_count, 0, "seed={}: {:?}", self.seed, report.damaged);
        let log = recovery.start(Vec::new())?;
        assert!(report.last_lsn >= self.acknowledged, "seed={}", self.seed);
        self.acknowledged = report.last_lsn;
        self.history.retain(|written| written.lsn <= report.last_lsn.0);
        let decisions = Arc::new(Shared::default());
        self.history.iter().for_each(|written| decisions.0.lock().unwrap().take(written));
        log.answer_for_transactions(decisions.clone());
        self.decisions = decisions;
        if log.topic("compacted").is_none() {
            let config = [
                ("cleanup.policy", "compact"),
                ("delete.retention.ms", "400"),
                ("segment.ms", "50"),
                ("segment.bytes", "900"),
                ("min.cleanable.dirty.ratio", "0.2"),
                ("max.compaction.lag.ms", "600"),
            ];
            let config = config.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
            let (_, lsn) = log.append::<_, LogError>(|frame| frame.create_topic("compacted", 1, config))?;
            // Shares the log files, and goes by retention.
            let config = BTreeMap::from([("retention.bytes".to_string(), "2000".to_string())]);
            let (_, lsn) = log
                .append::<_, LogError>(|frame| frame.create_topic("deleted", 1, config))
                .map(|(_, other)| ((), lsn.max(other)))?;
            self.acknowledged = self.acknowledged.max(log.commit_pending()?);
            assert!(self.acknowledged >= lsn);
        }
        self.partition = log.topic("compacted").unwrap().partitions[0];
        self.log = Some(log);
        self.check();
        Ok(())
    }

    fn commit(&mut self) -> Result<(), LogError> {
        self.acknowledged = self.acknowledged.max(self.log().commit_pending()?);
        Ok(())
    }

    fn write(&mut self, batch: Bytes, mut written: Written) -> Result<(), LogError> {
        let count = written.records.len().max(1) as u32;
        let partition = self.partition;
        let (base, lsn) =
            self.log().append::<_, LogError>(|frame| frame.batch(partition, count, written.at_ms, &batch))?;
        (written.base, written.lsn) = (base.0, lsn.0);
        self.decisions.0.lock().unwrap().take(&written);
        self.history.push(written);
        Ok(())
    }

    fn produce(&mut self) -> Result<(), LogError> {
        let compression = Compression::ALL[self.random.below(5) as usize];
        let mut builder = BatchBuilder::new(compression);
        let producer = self.random.one_in(3).then(|| 100 + self.random.below(3) as i64);
        let mut records = Vec::new();
        for _ in 0..1 + self.random.below(6) {
            let key = self.random.below(self.keys) as u8;
            self.value_next += 1;
            let value = (!self.random.one_in(5)).then_some(self.value_next);
            records.push((Some(key), value));
            let text = value.map(|value| format!("{value:040}"));
            builder.append(self.now_ms, Some(&[key]), text.as_deref().map(str::as_bytes), &[]).unwrap();
        }
        if let Some(id) = producer {
            builder = builder.producer(id, 0, 0).transactional();
        }
        let at_ms = self.now_ms;
        let written = Written { lsn: 0, base: 0, records, producer, marker: None, at_ms };
        self.write(builder.build().unwrap(), written)
    }

    fn decide(&mut self) -> Result<(), LogError> {
        let open = self.decisions.0.lock().unwrap().open.keys().next().copied();
        let Some(producer) = open else { return Ok(()) };
        let commits = self.random.one_in(2);
        let kind = if commits { ControlKind::Commit } else { ControlKind::Abort };
        let batch = control_batch(kind, producer, 0, 0, self.now_ms).unwrap();
        let (producer, marker, at_ms) = (Some(producer), Some(commits), self.now_ms);
        let written = Written { lsn: 0, base: 0, records: Vec::new(), producer, marker, at_ms };
        self.write(batch, written)
    }

    fn step(&mut self) -> Result<(), LogError> {
        self.now_ms += self.random.below(12) as i64;
        match self.random.below(100) {
            0..20 => self.commit(),
            20..30 => self.decide(),
            30..36 => {
                let report = self.log().compact(self.now_ms)?;
                self.removed += report.batches_removed + report.batches_cut;
                Ok(())
            }
            36..38 => self.log().enforce_retention(self.now_ms).map(|_| ()),
            38..50 => {
                let other = self.log().topic("deleted").unwrap().partitions[0];
                let bytes = vec![9; 200 + self.random.below(900) as usize];
                self.log().append::<_, LogError>(|frame| frame.batch(other, 1, 0, &bytes)).map(|_| ())
            }
            _ => self.produce(),
        }
    }

    /// The last value of each key from an offset on, of what is committed and before `end`.
    fn expected(&self, from: i64, end: i64) -> BTreeMap<u8, (Option<u64>, i64)> {
        let decisions = self.decisions.0.lock().unwrap();
        let mut last = BTreeMap::new();
        for written in &self.history {
            let is_aborted = decisions.aborted.iter().any(|range| {
                Some(range.producer_id) == written.producer
                    && (range.first_offset.0..=range.last_offset.0).contains(&written.base)
            });
            if is_aborted {
                continue;
            }
            for (offset, (key, value)) in (written.base..).zip(&written.records) {
                if offset >= from && offset < end {
                    last.insert(key.unwrap(), (*value, written.at_ms));
                }
            }
        }
        last
    }

    /// Reads from an offset up to the last stable one as a reader of committed records does.
    fn read(&self, from: i64, end: i64) -> BTreeMap<u8, Option<u64>> {
        let (log, seed) = (self.log(), self.seed);
        let mut last = BTreeMap::new();
        let mut next = from;
        while next < end {
            let slices = log.read(self.partition, Offset(next), 700).unwrap();
            assert!(!slices.is_empty(), "seed={seed}: nothing at offset={next} of {end}");
            for slice in slices {
                assert!(slice.last_offset.0 >= next, "seed={seed}: offsets rise");
                let mut bytes = Vec::new();
                slice.read(&mut bytes).unwrap();
                assert_eq!(bytes.len(), slice.len as usize);
                let batch = Batch::parse(&Bytes::from(bytes)).unwrap();
                batch.check_crc().unwrap();
                let header = batch.header;
                assert_eq!(
                    (header.base_offset, header.last_offset()),
                    (slice.base_offset.0, slice.last_offset.0)
                );
                let aborted = log.aborted(self.partition, slice.base_offset, Offset(slice.last_offset.0 + 1));
                let is_aborted = aborted.iter().any(|range| range.producer_id == header.producer_id);
                if !header.is_control() && !is_aborted && header.last_offset() < end {
                    for record in &batch.records(LIMIT_BYTES).unwrap() {
                        let record = record.unwrap();
                        if record.offset >= next {
                            let value = record.value.map(|value| {
                                String::from_utf8_lossy(value).parse::<u64>().expect("a number")
                            });
                            last.insert(record.key.unwrap()[0], value);
                        }
                    }
                }
                next = slice.last_offset.0 + 1;
            }
        }
        last
    }

    fn check(&self) {
        let (log, seed) = (self.log(), self.seed);
        let bounds = log.bounds(self.partition).unwrap();
        assert_eq!(bounds.log_start, Offset(0), "seed={seed}");
        let end = self.history.last().map_or(0, |w| w.base + w.records.len().max(1) as i64);
        assert_eq!(bounds.end.0, end, "seed={seed}: offsets never change");
        let stable = log.last_stable_offset(self.partition).unwrap().0;
        assert!(bounds.clean_to.0 <= stable, "seed={seed}");
        for from in [0, stable / 3, stable / 2, (stable - 7).max(0), bounds.clean_to.0] {
            let (expected, found) = (self.expected(from, stable), self.read(from, stable));
            for (key, (value, at_ms)) in &expected {
                // A tombstone that has had its time is as good as no record.
                let is_gone =
                    value.is_none() && !found.contains_key(key) && self.now_ms - at_ms >= RETENTION_MS;
                let context =
                    || format!("seed={seed} from={from} stable={stable} key={key} at={at_ms} {bounds:?}");
                assert!(
                    is_gone || found.get(key) == Some(value),
                    "{}: {value:?} {:?}",
                    context(),
                    found.get(key)
                );
            }
            assert!(found.keys().all(|key| expected.contains_key(key)), "seed={seed}");
        }
    }

    /// Every record that is in the way of nothing has gone: one for each key, and tombstones not at all.
    fn check_tightly(&self) {
        let bounds = self.log().bounds(self.partition).unwrap();
        let mut seen: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        let mut next = 0;
        while next < bounds.clean_to.0 {
            for slice in self.log().read(self.partition, Offset(next), 700).unwrap() {
                next = slice.last_offset.0 + 1;
                if next > bounds.clean_to.0 {
                    break;
                }
                let mut bytes = Vec::new();
                slice.read(&mut bytes).unwrap();
                let batch = Batch::parse(&Bytes::from(bytes)).unwrap();
                assert!(
                    !batch.header.is_control() || batch.header.records_count == 0,
                    "markers have had their time"
                );
                for record in &batch.records(LIMIT_BYTES).unwrap() {
                    let record = record.unwrap();
                    assert!(record.value.is_some(), "tombstones have had their time");
                    *seen.entry(record.key.unwrap().to_vec()).or_default() += 1;
                }
            }
        }
        assert!(seen.values().all(|count| *count == 1), "seed={}: {seen:?}", self.seed);
    }

    fn end_all(&mut self) {
        while !self.decisions.0.lock().unwrap().open.is_empty() {
            self.decide().unwrap();
        }
        self.commit().unwrap();
    }

    fn segments(&self) -> Vec<String> {
        let names = os::Disk::list(&*self.sim.disk, std::path::Path::new(common::DIRECTORY)).unwrap();
        names.into_iter().filter(|name| name.contains(".segment")).collect()
    }
}

fn seeds(all: u64) -> std::ops::Range<u64> {
    let given = std::env::var("EVENTWRIGHT_SEEDS").ok();
    let range = given.and_then(|text| {
        let (first, last) = text.split_once("..")?;
        Some(first.parse().ok()?..last.parse().ok()?)
    });
    range.unwrap_or(0..all)
}

#[test]
fn a_reader_from_anywhere_comes_to_the_same_values() {
    let (mut removed, mut segments) = (0, 0);
    for seed in seeds(60) {
        let mut world = World::new(seed);
        world.sim.disk.short_reads(seed.is_multiple_of(4).then_some(seed));
        world.open().unwrap();
        for number in 0..400 {
            world.step().unwrap_or_else(|error| panic!("seed={seed}: {error}"));
            if number % 40 == 0 {
                world.check();
            }
            match world.random.below(120) {
                0 => {
                    world.log().shutdown().unwrap();
                    world.acknowledged = world.log().durable();
                    world.open().unwrap();
                }
                1 => world.open().unwrap(),
                _ => {}
            }
        }
        world.end_all();
        // The first pass gives tombstones and markers their time, the second one takes them.
        world.now_ms += 1_000;
        world.log().compact(world.now_ms).unwrap();
        world.commit().unwrap();
        world.now_ms += 1_000;
        world.log().compact(world.now_ms).unwrap();
        world.commit().unwrap();
        world.check();
        world.check_tightly();
        let bounds = world.log().bounds(world.partition).unwrap();
        assert_eq!(bounds.clean_to, bounds.end, "seed={seed}: everything is at rest");
        assert_eq!(world.log().metrics().compaction_trouble, None);
        segments += world.log().metrics().segments;
        world.log().enforce_retention(world.now_ms).unwrap();
        assert_eq!(
            world.segments().len() as u64,
            world.log().metrics().segments,
            "seed={seed}: nothing is left over"
        );
        world.open().unwrap();
        world.check_tightly();
        removed += world.removed;
    }
    println!("removed={removed} segments={segments}");
    assert!(removed > 1_000 && segments > 60, "removed={removed} segments={segments}");
}

fn live_and_die(world: &mut World, operations: u64) {
    let seed = world.random.next_u64();
    let disk = world.sim.disk.clone();
    disk.stop_at_operation(Some(disk.operations() + 1 + operations));
    loop {
        match world.step() {
            Ok(()) => {}
            Err(LogError::Fenced(_) | LogError::Io { .. }) => break,
            Err(other) => panic!("seed={}: {other}", world.seed),
        }
    }
    world.log = None;
    disk.stop_at_operation(None);
    if world.random.one_in(3) {
        world.open().unwrap_or_else(|error| panic!("seed={}: after a kill: {error}", world.seed));
        world.log = None;
    }
    disk.power_cut(seed);
    while world.random.one_in(3) {
        disk.stop_at_operation(Some(disk.operations() + 1 + world.random.below(6)));
        let _ = world.open();
        world.log = None;
        disk.power_cut(world.random.next_u64());
    }
    world.open().unwrap_or_else(|error| panic!("seed={}: {error}", world.seed));
}

#[test]
fn power_cuts_lose_no_last_value() {
    let mut removed = 0;
    for seed in seeds(150) {
        let mut world = World::new(seed);
        world.open().unwrap();
        for _ in 0..1 + seed % 3 {
            let operations = world.random.below(250);
            live_and_die(&mut world, operations);
        }
        for _ in 0..40 {
            world.step().unwrap_or_else(|error| panic!("seed={seed}: {error}"));
        }
        world.end_all();
        world.check();
        world.now_ms += 1_000;
        world.log().compact(world.now_ms).unwrap();
        world.commit().unwrap();
        world.check();
        removed += world.removed;
    }
    assert!(removed > 400, "removed={removed}");
}

/// One history, and its compaction stopped at each operation on the disk in turn: by a kill, and by a power cut.
#[test]
fn compaction_may_end_at_every_operation() {
    let mut ends = 0;
    for kill in [true, false] {
        for operation in 1.. {
            let mut world = World::new(5);
            world.open().unwrap();
            while world.history.len() < 150 {
                world.produce().unwrap();
                world.decide().unwrap();
                world.now_ms += 3;
                if world.history.len().is_multiple_of(8) {
                    world.commit().unwrap();
                }
                if world.history.len() == 60 {
                    world.log().compact(world.now_ms).unwrap();
                }
            }
            world.end_all();
            world.now_ms += 700;
            let disk = world.sim.disk.clone();
            disk.stop_at_operation(Some(disk.operations() + operation));
            let result = world.log().compact(world.now_ms).map(|_| ()).and_then(|()| world.commit());
            let retained = result.and_then(|()| world.log().enforce_retention(world.now_ms).map(|_| ()));
            let stopped = retained.is_err();
            world.log = None;
            disk.stop_at_operation(None);
            if !kill {
                disk.power_cut(SplitMix(operation).next_u64());
            }
            world.open().unwrap_or_else(|error| panic!("kill={kill} operation={operation}: {error}"));
            world.now_ms += 10;
            world.log().compact(world.now_ms).unwrap();
            world.commit().unwrap();
            world.check();
            world.now_ms += 1_000;
            world.log().compact(world.now_ms).unwrap();
            world.commit().unwrap();
            world.check_tightly();
            if !stopped {
                break;
            }
            ends += 1;
        }
    }
    println!("ends={ends}");
    assert!(ends > 40, "a compaction has many operations: {ends}");
}

/// Whatever sync or write of it fails, a compaction is given up and made again; the log goes on.
#[test]
fn a_disk_that_fails_once_costs_a_pass() {
    let mut failed = 0;
    for nth in 1..60 {
        let mut world = World::new(nth);
        world.open().unwrap();
        while world.history.len() < 80 {
            world.produce().unwrap();
            world.decide().unwrap();
            world.commit().unwrap();
        }
        world.end_all();
        world.now_ms += 700;
        match nth % 3 {
            0 => world.sim.disk.fail_write(nth / 3),
            1 => world.sim.disk.fail_sync(nth / 3, SyncFault::DropsWrites),
            _ => world.sim.disk.fail_sync(nth / 3, SyncFault::KeepsWrites),
        }
        match world.log().compact(world.now_ms) {
            Ok(_) => {}
            Err(error) => {
                failed += 1;
                assert!(
                    error.to_string().contains("segment") || error.to_string().contains("/data"),
                    "{error}"
                );
                assert!(world.log().metrics().compaction_trouble.is_some());
                assert_eq!(world.log().fenced(), None, "nobody was told of anything");
                world.check();
                world.log().compact(world.now_ms).unwrap();
                assert_eq!(world.log().metrics().compaction_trouble, None);
            }
        }
        world.log = None;
        world.sim.disk.power_cut(nth);
        world.open().unwrap();
    }
    assert!(failed > 10, "failed={failed}");
}

#[test]
fn a_full_disk_costs_a_pass() {
    let mut world = World::new(3);
    world.open().unwrap();
    while world.history.len() < 120 {
        world.produce().unwrap();
        world.decide().unwrap();
        world.commit().unwrap();
    }
    world.end_all();
    world.now_ms += 700;
    let used = world.sim.disk.used_bytes();
    world.sim.disk.limit_bytes(Some(used + 1_000));
    let error = world.log().compact(world.now_ms).unwrap_err();
    assert!(matches!(error, LogError::DiskFull(_)), "{error}");
    assert!(world.segments().iter().all(|name| !name.ends_with("-new")), "what was begun is gone");
    world.check();
    world.sim.disk.limit_bytes(None);
    world.log().compact(world.now_ms).unwrap();
    world.commit().unwrap();
    world.check();
    assert!(world.log().metrics().segments > 0);
}

/// A job that must see its records again keeps them, also those before its position that later ones have replaced.
#[test]
fn what_is_pinned_stays_as_it_is() {
    let mut world = World::new(9);
    world.open().unwrap();
    while world.history.len() < 80 {
        world.produce().unwrap();
        world.decide().unwrap();
        world.commit().unwrap();
    }
    world.end_all();
    world.now_ms += 700;
    let pinned = world.history[40].base;
    world.log().pin("job", world.partition, Some(Offset(pinned)));
    world.log().compact(world.now_ms).unwrap();
    let bounds = world.log().bounds(world.partition).unwrap();
    assert!(bounds.clean_to.0 <= pinned && bounds.clean_to.0 > 0, "{bounds:?} pinned={pinned}");
    let mut next = pinned;
    for written in world.history.iter().filter(|written| written.base >= pinned) {
        let slices = world.log().read(world.partition, Offset(next), 1).unwrap();
        assert_eq!(slices[0].base_offset.0, written.base, "no batch is missing");
        next = slices[0].last_offset.0 + 1;
    }
    world.log().pin("job", world.partition, None);
    world.log().compact(world.now_ms).unwrap();
    assert!(world.log().bounds(world.partition).unwrap().clean_to.0 > pinned);
    world.check();
}

/// An index that cannot be read is made anew from the batches; a batch that is damaged is named, the others are served.
#[test]
fn damage_in_a_segment_costs_what_is_damaged() {
    let mut world = World::new(2);
    world.options.index_cache_bytes = 1;
    world.open().unwrap();
    while world.history.len() < 80 {
        world.produce().unwrap();
        world.decide().unwrap();
        world.commit().unwrap();
    }
    world.end_all();
    world.now_ms += 700;
    world.log().compact(world.now_ms).unwrap();
    world.commit().unwrap();
    world.log().enforce_retention(world.now_ms).unwrap();
    let name = world.segments()[0].clone();
    let path = std::path::Path::new(common::DIRECTORY).join(&name);
    let length = world.sim.disk.contents(&path).unwrap().len() as u64;
    world.sim.disk.flip(&path, length - 5, 1).unwrap();
    world.open().unwrap();
    assert!(world.log().metrics().damaged > 0, "the index was found damaged");
    // The first batch behind the header: its records.
    world.sim.disk.flip(&path, 64 + 63, 1).unwrap();
    world.log = None;
    let log = Recovery::open(&world.sim.os(), world.options.clone()).unwrap().start(Vec::new()).unwrap();
    let end = log.bounds(world.partition).unwrap().high_watermark;
    let (mut next, mut errors) = (Offset(0), Vec::new());
    while next < end {
        for slice in log.read(world.partition, next, 1 << 20).unwrap() {
            errors.extend(slice.read(&mut Vec::new()).err());
            next = Offset(slice.last_offset.0 + 1);
        }
    }
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].to_string().contains(&name), "{errors:?}");
    // A segment that is gone is told at the start.
    drop(log);
    os::Disk::remove(&*world.sim.disk, &path).unwrap();
    let recovery = Recovery::open(&world.sim.os(), world.options.clone()).unwrap();
    assert!(recovery.report().damaged[0].to_string().contains("the segment is missing"));
}

/// Batches that are none are left alone, and said to be; other partitions are compacted.
#[test]
fn what_cannot_be_understood_is_left_alone() {
    let mut world = World::new(4);
    world.open().unwrap();
    let config = BTreeMap::from([("cleanup.policy".to_string(), "compact".to_string())]);
    let config: BTreeMap<String, String> =
        config.into_iter().chain([("segment.ms".to_string(), "1".to_string())]).collect();
    world.log().append::<_, LogError>(|frame| frame.create_topic("strange", 1, config)).unwrap();
    let strange = world.log().topic("strange").unwrap().partitions[0];
    world.log().append::<_, LogError>(|frame| frame.batch(strange, 3, 0, &[1; 90])).unwrap();
    while world.history.len() < 80 {
        world.produce().unwrap();
        world.decide().unwrap();
    }
    world.end_all();
    world.now_ms += 700;
    world.log().compact(world.now_ms).unwrap();
    let trouble = world.log().metrics().compaction_trouble.unwrap();
    assert!(trouble.contains("cannot be compacted: the batch at offset=0"), "{trouble}");
    assert_eq!(world.log().read(strange, Offset(0), 1).unwrap().len(), 1);
    assert!(world.log().bounds(world.partition).unwrap().clean_to.0 > 0);
}

/// Deleted topics, and records that retention takes, take their segments along.
#[test]
fn segments_go_with_their_records() {
    let mut world = World::new(6);
    world.open().unwrap();
    while world.history.len() < 80 {
        world.produce().unwrap();
        world.decide().unwrap();
        world.commit().unwrap();
    }
    world.end_all();
    world.now_ms += 700;
    world.log().compact(world.now_ms).unwrap();
    let end = world.log().bounds(world.partition).unwrap().end;
    let (_, _) = world
        .log()
        .append::<_, LogError>(|frame| frame.delete_records(world.partition, Offset(end.0 / 2)))
        .unwrap();
    world.commit().unwrap();
    world.log().enforce_retention(world.now_ms).unwrap();
    let left = world.segments().len();
    assert!(left > 0);
    world.log().append::<_, LogError>(|frame| frame.delete_topic("compacted")).unwrap();
    world.log().enforce_retention(world.now_ms).unwrap();
    assert_eq!(world.segments(), Vec::<String>::new());
}

/// A topic that says nothing is compacted as the log's defaults of topics say.
#[test]
fn what_a_topic_does_not_say_is_said_by_the_log() {
    for (lag_ms, own, is_compacted) in
        [("0", None, true), ("100000", None, false), ("100000", Some("0"), true)]
    {
        let log = Recovery::open(&SimOs::new(1).os(), small_options()).unwrap().start(Vec::new()).unwrap();
        log.set_topic_defaults(BTreeMap::from([("min.compaction.lag.ms".into(), lag_ms.into())]));
        let mut config = BTreeMap::from([
            ("cleanup.policy".to_string(), "compact".to_string()),
            ("segment.bytes".to_string(), "200".to_string()),
        ]);
        config.extend(own.map(|own| ("min.compaction.lag.ms".to_string(), own.to_string())));
        log.append::<_, LogError>(|frame| frame.create_topic("t", 1, config)).unwrap();
        let partition = log.topic("t").unwrap().partitions[0];
        for _ in 0..20 {
            let mut builder = BatchBuilder::new(Compression::None);
            builder.append(1_000, Some(b"k"), Some(b"v"), &[]).unwrap();
            let batch = builder.build().unwrap();
            log.append::<_, LogError>(|frame| frame.batch(partition, 1, 1_000, &batch)).unwrap();
        }
        log.commit_pending().unwrap();
        let report = log.compact(2_000).unwrap();
        assert_eq!(report.batches_removed > 0, is_compacted, "{lag_ms} {own:?} {report:?}");
        // What the topic says is its own alone.
        assert_eq!(log.topic("t").unwrap().config.given.contains_key("min.compaction.lag.ms"), own.is_some());
    }
}
