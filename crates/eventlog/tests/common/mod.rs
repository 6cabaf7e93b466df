//! A log on a simulated disk beside a simple model of it: every frame is noted, and after any end of the log the model
//! of the first frames up to the recovered LSN must be what the log shows.
#![allow(dead_code, reason = "each test file uses its part")]

use base::{Lsn, Offset, PartitionId};
use eventlog::{Committer, Entry, EventLog, Fold, Layer, LogError, LogOptions, OpenReport, Recovery};
use os::sim::{SimOs, SplitMix};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub const DIRECTORY: &str = "/data";

/// Small files, so that rolls and recycling happen all the time.
pub fn small_options() -> LogOptions {
    let mut options = LogOptions::new(DIRECTORY);
    options.committer = Committer::Manual;
    options.file_bytes = 16 << 10;
    options.first_file_bytes = 6 << 10;
    options.retention_check_ms = 0;
    options.index_cache_bytes = 4 << 10;
    options.open_files_max = 3;
    options
}

pub fn log_path(sequence: u64) -> PathBuf {
    Path::new(DIRECTORY).join(format!("{sequence:016x}.log"))
}

/// The batch that a test appends; what is read back must be the same with the offset and the epoch patched.
pub fn batch(random: &mut SplitMix, length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..length.max(16)).map(|_| random.next_u64() as u8).collect();
    if length >= LONG_BYTES {
        // As Kafka's: the checksum of what follows it.
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    bytes
}

/// A batch of this length has a checksum of its own, with which it is appended; the log does not copy the longer ones.
pub const LONG_BYTES: usize = 1000;

pub fn patched(bytes: &[u8], base: i64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[..8].copy_from_slice(&base.to_be_bytes());
    bytes[12..16].copy_from_slice(&[0; 4]);
    bytes
}

/// A fold over the layer entries: how many there were, and a hash of them in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Folded {
    pub count: u64,
    pub hash: u64,
}

impl Folded {
    pub fn add(&mut self, bytes: &[u8]) {
        self.count += 1;
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3).rotate_left(7);
        }
    }
}

pub struct SharedFold(pub Mutex<Folded>);

impl Fold for SharedFold {
    fn checkpoint(&self, out: &mut Vec<u8>) {
        let folded = *self.0.lock().unwrap();
        out.extend_from_slice(&folded.count.to_le_bytes());
        out.extend_from_slice(&folded.hash.to_le_bytes());
        // Long enough that a checkpoint spans several sectors.
        out.resize(out.len() + 700, 7);
    }
}

/// One frame as the model knows it.
#[derive(Debug, Clone)]
pub enum Noted {
    Append { batches: Vec<(PartitionId, i64, u32, Vec<u8>)>, layer: Option<Vec<u8>> },
    Created { name: String, partitions: Vec<PartitionId> },
    Deleted { name: String },
    Added { name: String, partitions: Vec<PartitionId> },
    LogStart { partition: PartitionId, log_start: i64 },
}

#[derive(Debug, Default, Clone)]
pub struct ModelPartition {
    pub batches: Vec<(i64, u32, Vec<u8>)>,
    pub end: i64,
    /// Moved by request: the log start is at least this.
    pub log_start: i64,
}

#[derive(Debug, Default, Clone)]
pub struct Model {
    pub topics: BTreeMap<String, Vec<PartitionId>>,
    pub partitions: BTreeMap<PartitionId, ModelPartition>,
    pub folded: Folded,
}

impl Model {
    pub fn apply(&mut self, noted: &Noted) {
        match noted {
            Noted::Append { batches, layer } => {
                for (id, base, records, bytes) in batches {
                    let partition = self.partitions.get_mut(id).unwrap();
                    assert_eq!(*base, partition.end, "offsets are contiguous");
                    partition.batches.push((*base, *records, patched(bytes, *base)));
                    partition.end += i64::from(*records);
                }
                if let Some(layer) = layer {
                    self.folded.add(layer);
                }
            }
            Noted::Created { name, partitions } => {
                self.topics.insert(name.clone(), partitions.clone());
                self.partitions.extend(partitions.iter().map(|id| (*id, ModelPartition::default())));
            }
            Noted::Added { name, partitions } => {
                self.topics.get_mut(name).unwrap().extend(partitions);
                self.partitions.extend(partitions.iter().map(|id| (*id, ModelPartition::default())));
            }
            Noted::Deleted { name } => {
                for id in self.topics.remove(name).unwrap() {
                    self.partitions.remove(&id);
                }
            }
            Noted::LogStart { partition, log_start } => {
                let partition = self.partitions.get_mut(partition).unwrap();
                partition.log_start = partition.log_start.max(*log_start);
            }
        }
    }
}

/// The log, its world and its model.
pub struct World {
    pub seed: u64,
    pub sim: SimOs,
    pub options: LogOptions,
    pub random: SplitMix,
    pub log: Option<EventLog>,
    pub fold: Arc<SharedFold>,
    /// By LSN; frames that the log appends by itself (marks, retention) are not in it.
    pub noted: BTreeMap<u64, Noted>,
    pub acknowledged: Lsn,
    pub model: Model,
    pub topic_next: u32,
    pub reports: Vec<OpenReport>,
}

impl World {
    pub fn new(seed: u64) -> World {
        World {
            seed,
            sim: SimOs::new(seed),
            options: small_options(),
            random: SplitMix(seed),
            log: None,
            fold: Arc::new(SharedFold(Mutex::default())),
            noted: BTreeMap::new(),
            acknowledged: Lsn(0),
            model: Model::default(),
            topic_next: 0,
            reports: Vec::new(),
        }
    }

    pub fn log(&self) -> &EventLog {
        self.log.as_ref().expect("the log is open")
    }

    /// Opens the log and checks it against the model of what must be there.
    pub fn open(&mut self) -> Result<(), LogError> {
        self.log = None;
        let mut recovery = Recovery::open(&self.sim.os(), self.options.clone())?;
        let mut folded = Folded::default();
        if let Some(bytes) = recovery.checkpoint("fold") {
            folded.count = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            folded.hash = u64::from_le_bytes(bytes[8..16].try_into().unwrap());
        }
        recovery.replay(&mut |_, entry| {
            if let Entry::Layer { bytes, .. } = entry {
                folded.add(bytes);
            }
            Ok(())
        })?;
        let report = recovery.report().clone();
        let fold = Arc::new(SharedFold(Mutex::new(folded)));
        let log = recovery.start(vec![("fold", fold.clone() as Arc<dyn Fold>)])?;
        // Only now is the recovered tail durable, so only now does it count.
        let last = report.last_lsn;
        assert_eq!(report.damaged_count, 0, "{}: a crash is not damage: {:?}", self.name(), report.damaged);
        assert!(
            last >= self.acknowledged,
            "{}: acknowledged lsn={} is lost, the log ends at lsn={last}",
            self.name(),
            self.acknowledged
        );
        self.noted.retain(|lsn, _| *lsn <= last.0);
        self.acknowledged = last;
        let mut model = Model::default();
        self.noted.values().for_each(|noted| model.apply(noted));
        self.model = model;
        self.fold = fold;
        self.log = Some(log);
        self.reports.push(report);
        self.check();
        Ok(())
    }

    pub fn name(&self) -> String {
        format!("seed={}", self.seed)
    }

    /// Compares everything that is durable with the model.
    pub fn check(&self) {
        let (log, name) = (self.log(), self.name());
        assert_eq!(*self.fold.0.lock().unwrap(), self.model.folded, "{name}: folded state");
        let topics: BTreeMap<String, Vec<PartitionId>> =
            log.topics().iter().map(|topic| (topic.name.clone(), topic.partitions.clone())).collect();
        assert_eq!(topics, self.model.topics, "{name}: topics");
        for (id, model) in &self.model.partitions {
            let bounds = log.bounds(*id).unwrap();
            assert_eq!(bounds.end.0, model.end, "{name}: end of partition={id}");
            assert!(bounds.log_start.0 >= model.log_start, "{name}: deleted records are back");
            assert!(
                bounds.log_start <= bounds.high_watermark && bounds.high_watermark <= bounds.end,
                "{name}"
            );
            self.check_partition(*id, model, bounds.log_start, bounds.high_watermark);
        }
    }

    fn check_partition(&self, id: PartitionId, model: &ModelPartition, log_start: Offset, high: Offset) {
        let (log, name) = (self.log(), self.name());
        let mut next = log_start;
        let mut expected =
            model.batches.iter().filter(|(base, records, _)| base + i64::from(*records) > log_start.0);
        while next < high {
            let slices = log.read(id, next, 3_000).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!slices.is_empty(), "{name}: nothing at offset={next} below the high watermark");
            for slice in slices {
                let (base, records, bytes) = expected.next().expect("no more batches than in the model");
                assert_eq!(slice.base_offset.0, *base, "{name}: partition={id}");
                assert_eq!(slice.last_offset.0, base + i64::from(*records) - 1, "{name}");
                let mut found = Vec::new();
                slice.read(&mut found).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(found, *bytes, "{name}: partition={id} offset={base}");
                next = Offset(slice.last_offset.0 + 1);
            }
        }
        assert_eq!(next, high, "{name}: batches end at the high watermark");
    }

    /// One random step; an error means that the simulated machine has stopped.
    pub fn step(&mut self) -> Result<(), LogError> {
        match self.random.below(100) {
            0..3 => self.create_topic(),
            3 => self.delete_topic(),
            4 => self.add_partitions(),
            5..8 => self.delete_records(),
            8..10 => {
                let now_ms = self.random.below(3_000) as i64;
                self.log().enforce_retention(now_ms).map(|_| ())
            }
            10..35 => self.commit(),
            35..38 => self.given_up_append(),
            _ => self.append_some(),
        }
    }

    pub fn commit(&mut self) -> Result<(), LogError> {
        self.acknowledged = self.acknowledged.max(self.log().commit_pending()?);
        Ok(())
    }

    fn note(&mut self, lsn: Lsn, noted: Noted) {
        self.model.apply(&noted);
        let before = self.noted.insert(lsn.0, noted);
        assert!(before.is_none(), "{}: lsn={lsn} was given twice", self.name());
    }

    pub fn create_topic(&mut self) -> Result<(), LogError> {
        let name = format!("topic-{}", self.topic_next);
        self.topic_next += 1;
        let count = 1 + self.random.below(4) as u32;
        // Retention by times and sizes that a test's clock and files reach.
        let config = match self.random.below(3) {
            0 => BTreeMap::from([("retention.ms".to_string(), "500".to_string())]),
            1 => BTreeMap::from([("retention.bytes".to_string(), "4000".to_string())]),
            _ => BTreeMap::from([("retention.ms".to_string(), "-1".to_string())]),
        };
        let (_, lsn) =
            self.log().append::<_, LogError>(|frame| frame.create_topic(&name, count, config.clone()))?;
        let partitions = self.log().topic(&name).expect("just created").partitions.clone();
        self.note(lsn, Noted::Created { name, partitions });
        Ok(())
    }

    fn any_topic(&mut self) -> Option<String> {
        let count = self.model.topics.len() as u64;
        let number = self.random.below(count) as usize;
        self.model.topics.keys().nth(number).cloned()
    }

    fn any_partition(&mut self) -> Option<PartitionId> {
        let count = self.model.partitions.len() as u64;
        let number = self.random.below(count) as usize;
        self.model.partitions.keys().nth(number).copied()
    }

    fn delete_topic(&mut self) -> Result<(), LogError> {
        let Some(name) = self.any_topic() else { return Ok(()) };
        let (_, lsn) = self.log().append::<_, LogError>(|frame| frame.delete_topic(&name))?;
        self.note(lsn, Noted::Deleted { name });
        Ok(())
    }

    fn add_partitions(&mut self) -> Result<(), LogError> {
        let Some(name) = self.any_topic() else { return Ok(()) };
        let before = self.model.topics[&name].len();
        let total = before as u32 + 1;
        let (_, lsn) = self.log().append::<_, LogError>(|frame| frame.add_partitions(&name, total))?;
        let partitions = self.log().topic(&name).expect("it exists").partitions[before..].to_vec();
        self.note(lsn, Noted::Added { name, partitions });
        Ok(())
    }

    fn delete_records(&mut self) -> Result<(), LogError> {
        let Some(partition) = self.any_partition() else { return Ok(()) };
        let high = self.log().bounds(partition)?.high_watermark.0;
        let before = self.random.below(high as u64 + 1) as i64;
        let known = self.log().bounds(partition)?.log_start.0;
        let (start, lsn) =
            self.log().append::<_, LogError>(|frame| frame.delete_records(partition, Offset(before)))?;
        if before > known {
            assert_eq!(start.0, before);
            self.note(lsn, Noted::LogStart { partition, log_start: before });
        }
        Ok(())
    }

    /// An append whose `build` fails half-way leaves no trace.
    fn given_up_append(&mut self) -> Result<(), LogError> {
        let Some(partition) = self.any_partition() else { return Ok(()) };
        let bytes = batch(&mut self.random, 300);
        let end = self.log().bounds(partition)?.end;
        let result = self.log().append::<(), LogError>(|frame| {
            assert_eq!(frame.batch(partition, 5, 1, &bytes)?, end);
            frame.layer(Layer::STEPS, b"never")?;
            frame.create_topic("never", 1, BTreeMap::new())?;
            Err(LogError::Conflict("the test gives up".into()))
        });
        match result {
            Err(LogError::Conflict(_)) => {}
            Err(other) => return Err(other),
            Ok(_) => panic!("{}: the append was given up", self.name()),
        }
        assert_eq!(self.log().bounds(partition)?.end, end);
        assert!(self.log().topic("never").is_none());
        Ok(())
    }

    pub fn append_some(&mut self) -> Result<(), LogError> {
        if self.model.partitions.is_empty() {
            return self.create_topic();
        }
        let mut planned = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            let Some(partition) = self.any_partition() else { continue };
            let length = match self.random.below(40) {
                0 => 5_000 + self.random.below(6_000),
                _ => 16 + self.random.below(600),
            };
            let records = 1 + self.random.below(9) as u32;
            let timestamp_ms = self.random.below(2_000) as i64;
            planned.push((partition, records, timestamp_ms, batch(&mut self.random, length as usize)));
        }
        let layer = self.random.one_in(3).then(|| batch(&mut self.random, 24));
        let fold = self.fold.clone();
        let (batches, lsn) = self.log().append::<_, LogError>(|frame| {
            let mut batches = Vec::new();
            for (partition, records, timestamp_ms, bytes) in &planned {
                let base = match bytes.len() {
                    LONG_BYTES.. => {
                        frame.checked_batch(*partition, *records, *timestamp_ms, &bytes.clone().into())?
                    }
                    _ => frame.batch(*partition, *records, *timestamp_ms, bytes)?,
                };
                batches.push((*partition, base.0, *records, bytes.clone()));
            }
            if let Some(layer) = &layer {
                frame.layer(Layer::STEPS, layer)?;
                fold.0.lock().unwrap().add(layer);
            }
            Ok(batches)
        })?;
        self.note(lsn, Noted::Append { batches, layer });
        Ok(())
    }
}
