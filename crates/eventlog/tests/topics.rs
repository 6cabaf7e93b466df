//! Topics by the thousands, and several changes of topics in one frame.

mod common;

use base::{Offset, PartitionId};
use common::{batch, small_options};
use eventlog::{EventLog, LogError, Recovery};
use os::Os;
use os::sim::{SimOs, SplitMix};
use std::collections::BTreeMap;

fn open(os: &Os) -> EventLog {
    Recovery::open(os, small_options()).unwrap().start(Vec::new()).unwrap()
}

fn partitions(log: &EventLog, name: &str) -> Vec<PartitionId> {
    log.topic(name).map(|topic| topic.partitions.clone()).unwrap_or_default()
}

#[test]
fn a_frame_sees_its_own_changes_of_topics() {
    let sim = SimOs::new(11);
    let log = open(&sim.os());
    let mut random = SplitMix(1);
    let bytes = batch(&mut random, 60);
    log.append(|frame| frame.create_topic("old", 2, BTreeMap::new())).unwrap();
    let old = partitions(&log, "old");
    let version = log.topics_version();
    log.append(|frame| {
        frame.batch(old[0], 3, 1, &bytes)?;
        assert_eq!(frame.partition_count(), 2);
        frame.delete_topic("old")?;
        assert!(matches!(frame.next_offset(old[1]), Err(LogError::NotFound(_))));
        frame.create_topic("old", 1, BTreeMap::new())?;
        frame.add_partitions("old", 3)?;
        let topic = frame.topic("old").unwrap();
        assert_eq!((topic.partitions.len(), frame.partition_count()), (3, 3));
        assert_eq!(frame.batch(topic.partitions[2], 1, 1, &bytes)?, Offset(0));
        // Nobody else sees any of it yet.
        assert_eq!(partitions(&log, "old"), old);
        Ok::<_, LogError>(())
    })
    .unwrap();
    let new = partitions(&log, "old");
    assert!(new.iter().all(|id| !old.contains(id)), "{new:?} reuses one of {old:?}");
    assert_eq!(
        log.partition_topic(new[2]).map(|(topic, index)| (topic.name.clone(), index)),
        Some(("old".into(), 2))
    );
    assert_eq!((log.partition_count(), log.partition_topic(old[0])), (3, None));
    assert!(matches!(log.bounds(old[0]), Err(LogError::NotFound(_))));
    assert_eq!(log.bounds(new[2]).unwrap().end, Offset(1));
    assert_ne!(log.topics_version(), version);
    log.commit_pending().unwrap();
    drop(log);
    let log = open(&sim.os());
    assert_eq!(partitions(&log, "old"), new);
    assert_eq!(log.bounds(new[2]).unwrap().end, Offset(1));
}

#[test]
fn a_frame_that_is_given_up_changes_no_topic() {
    let sim = SimOs::new(12);
    let log = open(&sim.os());
    log.append(|frame| frame.create_topic("kept", 2, BTreeMap::new())).unwrap();
    let (kept, version) = (log.topic("kept"), log.topics_version());
    let given_up = log.append(|frame| {
        frame.create_topic("none", 5, BTreeMap::new())?;
        frame.delete_topic("kept")?;
        Err::<(), _>(LogError::Invalid("given up".into()))
    });
    assert!(given_up.is_err());
    assert_eq!((log.topic("kept"), log.topic("none"), log.topics_version()), (kept, None, version));
    let id = log.append(|frame| frame.create_topic("next", 1, BTreeMap::new())).unwrap().0;
    // The ids that were given up are not wasted.
    assert_eq!(log.topic_by_id(id).unwrap().partitions, [PartitionId(2)]);
}

#[test]
fn thousands_of_topics_come_and_go_and_survive_restarts() {
    const TOPICS: usize = 10_000;
    let sim = SimOs::new(13);
    let log = open(&sim.os());
    for number in 0..TOPICS {
        log.append(|frame| frame.create_topic(&format!("t-{number:05}"), 1, BTreeMap::new())).unwrap();
        if number % 100 == 0 {
            log.commit_pending().unwrap();
        }
    }
    for number in (0..TOPICS).step_by(2) {
        log.append(|frame| frame.delete_topic(&format!("t-{number:05}"))).unwrap();
        if number % 100 == 0 {
            log.commit_pending().unwrap();
        }
    }
    log.commit_pending().unwrap();
    let before = log.topics();
    assert_eq!((before.len(), log.partition_count()), (TOPICS / 2, TOPICS / 2));
    drop(log);
    let log = open(&sim.os());
    assert_eq!(log.topics(), before);
    for topic in &before {
        assert_eq!(log.partition_topic(topic.partitions[0]), Some((topic.clone(), 0)));
        assert_eq!(log.bounds(topic.partitions[0]).unwrap().end, Offset(0));
    }
}
