//! What comes back from the store.

use super::node::{DATA, TOPICS, expected, open_log, restored, settings, values};
use super::{Memory, Model, SimNode};
use crate::shipper::Settings;
use crate::store::SharedPlace;
use base::Offset;
use eventlog::LogError;
use os::Disk;
use os::sim::SimOs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A node that has written, with a second between the frames; times of the frames.
pub fn written(store: &Memory, settings: &Settings, count: u64) -> (SimNode, Model, Vec<(u64, i64)>) {
    let mut node = SimNode::open(&SimOs::new(1), store, settings).unwrap();
    node.create_topics();
    let (mut model, mut times) = (Model::new(), Vec::new());
    for value in 0..count {
        node.sim.clock.advance_ms(1000);
        let topic = (value % 2) as usize;
        let lsn = node.append(topic, value).unwrap();
        times.push((lsn.0, os::Clock::now_ms(&*node.sim.clock)));
        model.insert(lsn.0, (topic, value));
        node.log.commit_pending().unwrap();
        while node.shipper.step().unwrap() {}
        while node.keeper.step().unwrap() {}
    }
    (node, model, times)
}

#[test]
fn a_log_comes_back_as_it_was_at_a_time() {
    let store = Memory::new(1);
    let all = Settings { history: Duration::from_secs(1 << 30), ..settings() };
    let (node, model, times) = written(&store, &all, 300);
    assert!(node.log.log_files().len() > 3);
    for (lsn, time_ms) in times.iter().step_by(23) {
        let (log, copied) = restored(&store, Some(*time_ms)).unwrap();
        assert_eq!(copied.lsn, *lsn);
        for topic in 0..2 {
            assert_eq!(values(&log, topic), expected(&model, topic, *lsn), "lsn={lsn}");
        }
        // Just before it the frame was not there.
        let (log, _) = restored(&store, Some(*time_ms - 1)).unwrap();
        assert_eq!(log.durable().0, lsn - 1);
    }
    let early = restored(&store, Some(1_000)).err().unwrap();
    assert!(early.to_string().contains("history begins"), "{early}");
}

#[test]
fn without_history_the_store_has_little_more_than_the_log() {
    let store = Memory::new(2);
    let (node, model, _) = written(&store, &settings(), 600);
    assert!(store.keys("base/").len() <= 3, "{:?}", store.keys("base/"));
    // One file's worth of objects at most, and a file for each that is sealed.
    assert!(store.keys("log/").len() < 60, "{}", store.keys("log/").len());
    assert!(store.keys("files/").len() <= 2 * node.log.log_files().len() + 8);
    let (log, copied) = restored(&store, None).unwrap();
    assert_eq!(copied.lsn, node.log.durable().0);
    for topic in 0..2 {
        assert_eq!(values(&log, topic), expected(&model, topic, copied.lsn));
    }
}

#[test]
fn what_retention_gives_up_goes_from_the_store_too() {
    let store = Memory::new(3);
    let (mut node, _, _) = written(&store, &settings(), 300);
    let before = store.keys("files/");
    for (topic, _) in TOPICS {
        let partition = node.log.topic(topic).unwrap().partitions[0];
        let end = node.log.bounds(partition).unwrap().high_watermark;
        node.log.append::<_, LogError>(|frame| frame.delete_records(partition, end)).unwrap();
    }
    node.log.commit_pending().unwrap();
    for value in 300..420 {
        node.sim.clock.advance_ms(1000);
        node.append(1, value).unwrap();
        node.log.commit_pending().unwrap();
        node.log.enforce_retention(0).unwrap();
        while node.shipper.step().unwrap() {}
        while node.keeper.step().unwrap() {}
    }
    let after = store.keys("files/");
    let left = before.iter().filter(|key| after.contains(key)).count();
    assert!(left < before.len() / 2, "{left} of {}", before.len());
    let (log, _) = restored(&store, None).unwrap();
    assert_eq!(values(&log, 1), (300..420).collect::<Vec<u64>>());
}

#[test]
fn snapshots_come_along_and_stay_until_the_store_knows_better() {
    let store = Memory::new(4);
    let mut node = SimNode::open(&SimOs::new(4), &store, &settings()).unwrap();
    node.create_topics();
    let disk = node.keeper.os.disk.clone();
    let folder = Path::new(DATA).join("state/job-1");
    disk.create_dir_all(&folder).unwrap();
    // A run that nothing names is not shipped.
    manifest_at(&disk, &folder, "1.snapshot");
    manifest_at(&disk, &folder, "0000000000000009.run");
    node.append(1, 1).unwrap();
    node.log.commit_pending().unwrap();
    while node.shipper.step().unwrap() {}
    assert_eq!(store.keys("side/").len(), 1);
    let (log, _) = restored(&store, None).unwrap();
    drop(log);
    // Another takes its place; the store has not heard of it yet.
    store.go_away(true);
    manifest_at(&disk, &folder, "2.snapshot");
    node.append(1, 2).unwrap();
    disk.remove(&folder.join("1.snapshot")).unwrap();
    manifest_at(&disk, &folder, "3.snapshot");
    node.append(1, 3).unwrap();
    disk.remove(&folder.join("2.snapshot")).unwrap();
    node.log.commit_pending().unwrap();
    assert!(node.shipper.step().is_err());
    assert_eq!(disk.list(&Path::new(DATA).join("unshipped")).unwrap().len(), 1);
    store.go_away(false);
    while node.shipper.step().unwrap() {}
    // The second went aside, and came to the store with the frame that could have named it.
    assert_eq!(store.keys("side/").len(), 3);
    for value in 4..200 {
        node.sim.clock.advance_ms(1000);
        node.append(1, value).unwrap();
        node.log.commit_pending().unwrap();
        while node.shipper.step().unwrap() {}
        while node.keeper.step().unwrap() {}
    }
    assert_eq!(store.keys("side/").len(), 1);
    assert!(disk.list(&Path::new(DATA).join("unshipped")).unwrap().is_empty());
    let sim = SimOs::new(5);
    let place: SharedPlace = Arc::new(store.clone());
    crate::restore(&sim.os(), Path::new(DATA), &place, None).unwrap();
    assert_eq!(sim.disk.list(&folder).unwrap(), ["3.snapshot"]);
}

/// A manifest that names nothing, as one that cannot be read does.
pub fn manifest_at(disk: &Arc<dyn Disk>, folder: &Path, name: &str) {
    let file = disk.create(&folder.join(name), 0).unwrap();
    file.write_all_at(name.as_bytes(), 0).unwrap();
    file.sync_data().unwrap();
}

#[test]
fn compacted_partitions_come_back_with_their_segments() {
    let store = Memory::new(6);
    let mut node = SimNode::open(&SimOs::new(6), &store, &settings()).unwrap();
    let config = [("cleanup.policy", "compact"), ("segment.bytes", "14"), ("min.cleanable.dirty.ratio", "0")];
    let config = config.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    node.log.append::<_, LogError>(|frame| frame.create_topic("keys", 1, config)).unwrap();
    let partition = node.log.topic("keys").unwrap().partitions[0];
    for value in 0..400u64 {
        let mut builder = kafka_wire::records::BatchBuilder::new(kafka_wire::records::Compression::None);
        let key = format!("key-{}", value % 10);
        let text = format!("value={value:020};");
        builder.append(1, Some(key.as_bytes()), Some(text.as_bytes()), &[]).unwrap();
        let bytes = builder.build().unwrap();
        node.log.append::<_, LogError>(|frame| frame.batch(partition, 1, 1, &bytes)).unwrap();
        node.log.commit_pending().unwrap();
        if value % 50 == 49 {
            node.log.compact(os::Clock::now_ms(&*node.sim.clock)).unwrap();
            node.log.commit_pending().unwrap();
        }
        while node.shipper.step().unwrap() {}
        while node.keeper.step().unwrap() {}
    }
    assert!(node.log.metrics().segments > 0);
    assert!(!store.keys("side/").is_empty());
    let (log, _) = restored(&store, None).unwrap();
    let end = log.bounds(partition).unwrap().high_watermark;
    let (mut next, mut batches) = (Offset(0), 0);
    while next < end {
        for slice in log.read(partition, next, 4000).unwrap() {
            slice.read(&mut Vec::new()).unwrap();
            next = Offset(slice.last_offset.0 + 1);
            batches += 1;
        }
    }
    assert!(batches < 200, "{batches}");
}

#[test]
fn what_is_damaged_is_said() {
    let store = Memory::new(7);
    written(&store, &settings(), 3);
    let key = store.keys("log/").pop().unwrap();
    store.damage(&key);
    let damaged = restored(&store, None).err().unwrap();
    assert!(damaged.to_string().contains(&key), "{damaged}");
}

#[test]
fn a_directory_that_holds_a_log_is_not_written_over() {
    let store = Memory::new(8);
    let (node, _, _) = written(&store, &settings(), 3);
    let place: SharedPlace = Arc::new(store.clone());
    let refused = crate::restore(&node.sim.os(), Path::new(DATA), &place, None).err().unwrap();
    assert!(refused.to_string().contains("holds a log already"), "{refused}");
    let empty = Memory::new(9);
    let nothing = restored(&empty, None).err().unwrap();
    assert!(nothing.to_string().contains("holds no log"), "{nothing}");
}

#[test]
fn a_restored_node_goes_on_in_the_store_unless_it_has_gone_on() {
    let store = Memory::new(10);
    let (node, mut model, _) = written(&store, &settings(), 40);
    drop(node);
    let place: SharedPlace = Arc::new(store.clone());
    let (first, second) = (SimOs::new(11), SimOs::new(12));
    for sim in [&first, &second] {
        crate::restore(&sim.os(), Path::new(DATA), &place, None).unwrap();
    }
    let mut node = SimNode::open(&first, &store, &settings()).unwrap();
    let lsn = node.append(0, 77).unwrap();
    model.insert(lsn.0, (0, 77));
    node.log.commit_pending().unwrap();
    while node.shipper.step().unwrap() {}
    assert_eq!(node.values(0), expected(&model, 0, lsn.0));
    let late = SimNode::open(&second, &store, &settings()).err().unwrap();
    assert!(late.to_string().contains("restore again"), "{late}");
    // A new directory is not mixed up with what is there.
    let other = SimNode::open(&SimOs::new(13), &store, &settings()).err().unwrap();
    assert!(other.to_string().contains("another data directory"), "{other}");
    // Nor one whose disk was set back.
    let back = first.disk.fork();
    node.append(0, 78).unwrap();
    node.log.commit_pending().unwrap();
    while node.shipper.step().unwrap() {}
    drop(node);
    let sim = SimOs { disk: Arc::new(back), ..SimOs::new(14) };
    let behind = SimNode::open(&sim, &store, &settings()).err().unwrap();
    assert!(behind.to_string().contains("set back"), "{behind}");
}

#[test]
fn topics_are_only_remote_where_the_log_is_shipped() {
    let sim = SimOs::new(15);
    let log = open_log(&sim.os()).unwrap();
    let config = || [("durability".to_string(), "remote".to_string())].into();
    let refused = log.append::<_, LogError>(|frame| frame.create_topic("t", 1, config())).err().unwrap();
    assert!(refused.to_string().contains("--remote"), "{refused}");
}
