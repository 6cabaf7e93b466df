//! The shortest way through the log, on the simulated and on the real disk.

use base::{Lsn, Offset, PartitionId};
use eventlog::{
    Committer, Entry, EventLog, Fold, FramesEnd, Layer, LogError, LogOptions, Recovery, WrittenBatch,
};
use os::Os;
use os::sim::SimOs;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

struct Count(Mutex<u64>);

impl Fold for Count {
    fn checkpoint(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.lock().unwrap().to_le_bytes());
    }
}

fn open(os: &Os, directory: &Path, committer: Committer) -> (EventLog, Arc<Count>) {
    let mut options = LogOptions::new(directory);
    options.committer = committer;
    options.file_bytes = 64 << 10;
    options.first_file_bytes = 16 << 10;
    options.retention_check_ms = 0;
    let mut recovery = Recovery::open(os, options).unwrap();
    assert_eq!(recovery.report().damaged_count, 0, "{:?}", recovery.report());
    let restored = recovery.checkpoint("count").map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap()));
    let count = Arc::new(Count(Mutex::new(restored)));
    recovery
        .replay(&mut |_, entry| {
            if let Entry::Layer { layer: Layer::STEPS, .. } = entry {
                *count.0.lock().unwrap() += 1;
            }
            Ok(())
        })
        .unwrap();
    let log = recovery.start(vec![("count", count.clone() as Arc<dyn Fold>)]).unwrap();
    (log, count)
}

fn story(os: &Os, directory: &Path, committer: Committer) {
    let (log, count) = open(os, directory, committer);
    let (_, created) =
        log.append::<_, LogError>(|frame| frame.create_topic("events", 2, BTreeMap::new())).unwrap();
    assert_eq!(created, Lsn(1));
    let partitions = log.topic("events").unwrap().partitions.clone();
    assert_eq!(partitions, [PartitionId(0), PartitionId(1)]);
    let mut last = created;
    for number in 0..500u32 {
        let batch = vec![number as u8; 200];
        let ((offset, ()), lsn) = log
            .append::<_, LogError>(|frame| {
                let offset = frame.batch(partitions[(number % 2) as usize], 3, i64::from(number), &batch)?;
                frame.layer(Layer::STEPS, b"step")?;
                *count.0.lock().unwrap() += 1;
                Ok((offset, ()))
            })
            .unwrap();
        assert_eq!(offset, Offset(i64::from(number / 2) * 3));
        last = lsn;
    }
    if committer == Committer::Manual {
        log.commit_pending().unwrap();
    }
    log.wait_durable(last).unwrap();
    assert_eq!(log.durable(), last);
    check(&log, &count, &partitions);
    log.close().unwrap();
    let (log, count) = open(os, directory, committer);
    check(&log, &count, &partitions);
    assert!(log.metrics().files > 1, "the files are small enough for several");
    log.close().unwrap();
}

fn check(log: &EventLog, count: &Count, partitions: &[PartitionId]) {
    assert_eq!(*count.0.lock().unwrap(), 500);
    frames_are_read_again(log, partitions);
    for (index, partition) in partitions.iter().enumerate() {
        assert_eq!(log.bounds(*partition).unwrap().high_watermark, Offset(750));
        let mut from = Offset(1);
        let mut seen = 0;
        while from < Offset(750) {
            let slices = log.read(*partition, from, 1_000).unwrap();
            assert!(!slices.is_empty() && slices.len() <= 5);
            for slice in slices {
                let mut bytes = Vec::new();
                slice.read(&mut bytes).unwrap();
                assert_eq!(bytes[..8], slice.base_offset.0.to_be_bytes());
                assert_eq!(bytes[12..16], [0; 4]);
                assert!(bytes[16..].iter().all(|b| *b == (seen * 2 + index) as u8), "{seen}");
                assert_eq!(slice.base_offset, Offset(seen as i64 * 3));
                from = Offset(slice.last_offset.0 + 1);
                seen += 1;
            }
        }
        assert_eq!(seen, 250);
        assert!(log.read(*partition, Offset(750), 1).unwrap().is_empty());
        assert!(matches!(log.read(*partition, Offset(751), 1), Err(LogError::OffsetOutOfRange { .. })));
        let found = log.find_by_time(*partition, 400).unwrap().unwrap();
        assert_eq!(found.base_offset, Offset(200 * 3));
        assert_eq!(log.max_timestamp(*partition).unwrap().unwrap().base_offset, Offset(747));
    }
}

#[test]
fn appended_batches_are_read_back_from_the_simulated_disk() {
    story(&SimOs::new(1).os(), Path::new("/data"), Committer::Manual);
}

#[test]
fn appended_batches_are_read_back_with_threads_on_the_simulated_disk() {
    story(&SimOs::new(1).os(), Path::new("/data"), Committer::Thread);
}

#[test]
fn appended_batches_are_read_back_from_the_real_disk() {
    let directory = tempfile::tempdir().unwrap();
    story(&Os::real(), directory.path(), Committer::Thread);
}

fn frames_are_read_again(log: &EventLog, partitions: &[PartitionId]) {
    // Number 101 of the story: the second partition's batch with the offsets from 150 on.
    let place = log.frame_of(partitions[1], Offset(151)).unwrap().expect("it lies in a log file");
    assert_eq!(place.lsn, Lsn(1 + 102));
    let mut seen = Vec::new();
    let mut all = |bytes_max: u64| {
        seen.clear();
        let end = log.frames(&place, Layer::STEPS, bytes_max, &mut |frame| {
            seen.push(frame);
            ControlFlow::Continue(())
        });
        (end.unwrap(), seen.clone())
    };
    let (end, frames) = all(u64::MAX);
    assert_eq!((end, frames.len()), (FramesEnd::Durable, 399 + usize::from(log.durable() > Lsn(501))));
    for (number, frame) in (101..500).zip(&frames) {
        assert_eq!(frame.lsn, Lsn(2 + number));
        let batch = WrittenBatch {
            partition: partitions[(number % 2) as usize],
            base_offset: Offset(number as i64 / 2 * 3),
            records: 3,
        };
        assert_eq!((&frame.batches[..], &frame.entries[..]), (&[batch][..], &[b"step".to_vec()][..]));
    }
    let (end, frames) = all(1_000);
    assert_eq!((end, frames.len()), (FramesEnd::Limit, 2));
    let other = log.frames(&place, Layer::USERS, u64::MAX, &mut |frame| {
        assert!(frame.entries.is_empty());
        ControlFlow::Break(())
    });
    assert_eq!(other.unwrap(), FramesEnd::Enough);
    assert!(log.frame_of(partitions[0], Offset(750)).is_ok_and(|place| place.is_none()), "not there yet");
    assert!(matches!(log.frame_of(partitions[0], Offset(751)), Err(LogError::OffsetOutOfRange { .. })));
}
