//! A node on a simulated disk: its log, and who ships it.

use super::Memory;
use crate::copy::Copied;
use crate::error::RemoteError;
use crate::keeper::Keeper;
use crate::kept::KeptDisk;
use crate::shipper::{Settings, Shipper};
use crate::store::SharedPlace;
use base::{Lsn, Offset, PartitionId};
use eventlog::{Committer, EventLog, LogError, LogOptions, Recovery};
use kafka_wire::records::{BatchBuilder, Compression};
use os::Os;
use os::sim::SimOs;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub const DATA: &str = "/data";
pub const TOPICS: [(&str, &str); 2] = [("kept", "remote"), ("plain", "fsync")];

/// What was appended: by its frame, the topic and the value.
pub type Model = BTreeMap<u64, (usize, u64)>;

pub fn settings() -> Settings {
    Settings {
        object_bytes_max: 700,
        merge_after: 4,
        history: Duration::ZERO,
        patience: Duration::ZERO,
        ..Settings::default()
    }
}

pub struct SimNode {
    pub sim: SimOs,
    pub log: EventLog,
    pub shipper: Shipper,
    pub keeper: Keeper,
    pub epoch: u64,
}

pub fn options() -> LogOptions {
    LogOptions {
        committer: Committer::Manual,
        file_bytes: 16 << 10,
        first_file_bytes: 6 << 10,
        retention_check_ms: 0,
        ..LogOptions::new(Path::new(DATA).join("log"))
    }
}

pub fn open_log(os: &Os) -> Result<EventLog, LogError> {
    let log = Recovery::open(os, options())?.start(Vec::new())?;
    log.allow_removal();
    Ok(log)
}

impl SimNode {
    /// Opens what is on the disk and makes it the writer; ships what is there.
    pub fn open(sim: &SimOs, store: &Memory, settings: &Settings) -> Result<SimNode, RemoteError> {
        let disk = KeptDisk::new(sim.disk.clone(), Path::new(DATA)).unwrap();
        let os = Os { disk: Arc::new(disk.clone()), ..sim.os() };
        let log = open_log(&os)?;
        let place: SharedPlace = Arc::new(store.clone());
        let (mut shipper, keeper, epoch) =
            crate::thread::open(&os, (Path::new(DATA), disk), &log, &place, settings)?;
        while shipper.step()? {}
        log.begin_shipping(shipper.shipped(), epoch);
        Ok(SimNode { sim: sim.clone(), log, shipper, keeper, epoch })
    }

    /// Tries until the store's faults let it through.
    pub fn open_patiently(sim: &SimOs, store: &Memory, settings: &Settings) -> Result<SimNode, RemoteError> {
        loop {
            match SimNode::open(sim, store, settings) {
                Err(RemoteError::Store(_)) => {}
                other => return other,
            }
        }
    }

    pub fn create_topics(&self) {
        for (name, durability) in TOPICS {
            if self.log.topic(name).is_none() {
                let config = BTreeMap::from([("durability".to_string(), durability.to_string())]);
                self.log.append::<_, LogError>(|frame| frame.create_topic(name, 1, config)).unwrap();
            }
        }
        self.log.commit_pending().unwrap();
    }

    fn partition(&self, topic: usize) -> PartitionId {
        self.log.topic(TOPICS[topic].0).unwrap().partitions[0]
    }

    pub fn append(&self, topic: usize, value: u64) -> Result<Lsn, LogError> {
        let mut builder = BatchBuilder::new(Compression::None);
        let text = format!("value={value:020};{}", "x".repeat((value % 400) as usize));
        builder.append(self.sim.os().clock.now_ms(), None, Some(text.as_bytes()), &[]).unwrap();
        let bytes = builder.build().unwrap();
        let partition = self.partition(topic);
        let now_ms = self.sim.os().clock.now_ms();
        Ok(self.log.append::<_, LogError>(|frame| frame.batch(partition, 1, now_ms, &bytes))?.1)
    }

    /// The values of a topic, up to what consumers see.
    pub fn values(&self, topic: usize) -> Vec<u64> {
        values(&self.log, topic)
    }
}

pub fn values(log: &EventLog, topic: usize) -> Vec<u64> {
    let partition = log.topic(TOPICS[topic].0).unwrap().partitions[0];
    let bounds = log.bounds(partition).unwrap();
    let mut found = Vec::new();
    let mut next = bounds.log_start;
    while next < bounds.high_watermark {
        for slice in log.read(partition, next, 4000).unwrap() {
            let mut bytes = Vec::new();
            slice.read(&mut bytes).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            let at = text.find("value=").unwrap() + 6;
            found.push(text[at..at + 20].parse().unwrap());
            next = Offset(slice.last_offset.0 + 1);
        }
    }
    found
}

/// The values of a topic that a log has with the frames up to one.
pub fn expected(model: &Model, topic: usize, last: u64) -> Vec<u64> {
    model.range(..=last).filter(|(_, (of, _))| *of == topic).map(|(_, (_, value))| *value).collect()
}

/// A copy of what the store has, opened alone.
pub fn restored(store: &Memory, until_ms: Option<i64>) -> Result<(EventLog, Copied), RemoteError> {
    let sim = SimOs::new(99);
    let place: SharedPlace = Arc::new(store.clone());
    let copied = crate::restore(&sim.os(), Path::new(DATA), &place, until_ms)?;
    sim.disk.power_cut(7);
    Ok((open_log(&sim.os())?, copied))
}
