//! Many partitions, many threads, retention, pins: the log as a busy node uses it.

mod common;

use base::{ErrorKind, Lsn, Offset, PartitionId};
use common::{World, small_options};
use eventlog::{Appended, Committer, Durable, EventLog, LogError, LogOptions, Recovery};
use os::sim::{SimOs, SplitMix};
use os::{Disk, Os};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

fn open(os: &Os, options: LogOptions) -> EventLog {
    Recovery::open(os, options).unwrap().start(Vec::new()).unwrap()
}

fn create(log: &EventLog, name: &str, partitions: u32, config: &[(&str, &str)]) -> Vec<PartitionId> {
    let config: BTreeMap<String, String> =
        config.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    log.append::<_, LogError>(|frame| frame.create_topic(name, partitions, config)).unwrap();
    log.topic(name).unwrap().partitions.clone()
}

fn append(log: &EventLog, partition: PartitionId, timestamp_ms: i64, length: usize) -> (Offset, Lsn) {
    log.append::<_, LogError>(|frame| frame.batch(partition, 1, timestamp_ms, &vec![7; length])).unwrap()
}

#[test]
fn a_hundred_interleaved_partitions_keep_their_orders() {
    let mut world = World::new(100);
    world.options.index_cache_bytes = 2 << 10;
    world.open().unwrap();
    let ids = create(world.log(), "wide", 100, &[("retention.ms", "-1")]);
    world.model.apply(&common::Noted::Created { name: "wide".into(), partitions: ids.clone() });
    world.noted.insert(1, common::Noted::Created { name: "wide".into(), partitions: ids });
    for _ in 0..1_500 {
        world.append_some().unwrap();
        if world.random.one_in(5) {
            world.commit().unwrap();
        }
    }
    world.commit().unwrap();
    world.check();
    assert!(world.log().metrics().files > 20);
    assert!(world.log().metrics().index_cache_bytes <= 4 << 10);
    world.open().unwrap();
}

/// Threads append to the real disk at once; each sees its own order, one sync serves many.
#[test]
fn concurrent_appenders_share_syncs() {
    const THREADS: usize = 8;
    const EACH: i64 = 200;
    let directory = tempfile::tempdir().unwrap();
    let options =
        LogOptions { file_bytes: 256 << 10, first_file_bytes: 64 << 10, ..LogOptions::new(directory.path()) };
    let log = open(&Os::real(), options.clone());
    let ids = create(&log, "t", THREADS as u32, &[]);
    let told: Arc<Mutex<Vec<Durable>>> = Arc::default();
    let listener = told.clone();
    log.subscribe(Arc::new(move |durable: &Durable| listener.lock().unwrap().push(durable.clone())));
    let now_ms = Os::real().clock.now_ms();
    std::thread::scope(|scope| {
        for id in &ids {
            let log = log.clone();
            scope.spawn(move || {
                for number in 0..EACH {
                    let (offset, lsn) = append(&log, *id, now_ms, 500);
                    assert_eq!(offset, Offset(number));
                    log.wait_durable(lsn).unwrap();
                    // What is durable is visible at once, by offset.
                    let slices = log.read(*id, offset, 1).unwrap();
                    assert_eq!(slices[0].base_offset, offset);
                    let mut bytes = Vec::new();
                    slices[0].read(&mut bytes).unwrap();
                    assert_eq!(bytes.len(), 500);
                }
            });
        }
    });
    let metrics = log.metrics();
    let appended = THREADS as u64 * EACH as u64 + 1;
    assert_eq!(metrics.appended_frames, appended);
    assert!(metrics.syncs < appended, "{} syncs for {appended} frames", metrics.syncs);
    assert_eq!(
        (metrics.commit_latency.count(), metrics.commit_bytes.count()),
        (metrics.syncs, metrics.syncs)
    );
    assert_eq!(metrics.commit_frames.sum, appended, "each frame became durable in one group");
    assert!(metrics.sync_latency.count() >= metrics.syncs && metrics.sync_latency.sum > 0);
    assert!(metrics.sync_latency.sum < metrics.commit_latency.sum && metrics.synced_ms >= Some(now_ms));
    for id in &ids {
        let each = EACH as u64;
        assert_eq!(
            log.appended_to(*id).unwrap(),
            Appended { batches: each, records: each, bytes: each * 500 }
        );
    }
    let told = std::mem::take(&mut *told.lock().unwrap());
    assert!(told.windows(2).all(|pair| pair[0].lsn < pair[1].lsn), "listeners are told in order");
    assert!(ids.iter().all(|id| told.iter().any(|durable| durable.partitions.contains(id))));
    log.close().unwrap();
    let log = open(&Os::real(), options);
    for id in ids {
        assert_eq!(log.bounds(id).unwrap().high_watermark, Offset(EACH));
    }
}

fn manual(file_bytes: u64) -> LogOptions {
    LogOptions { file_bytes, first_file_bytes: file_bytes, ..small_options() }
}

#[test]
fn retention_by_time_moves_log_starts_and_gives_files_back() {
    let sim = SimOs::new(6);
    let log = open(&sim.os(), manual(8 << 10));
    let short = create(&log, "short", 1, &[("retention.ms", "1000")])[0];
    let long = create(&log, "long", 1, &[("retention.ms", "-1")])[0];
    let compacted = create(&log, "compacted", 1, &[("cleanup.policy", "compact"), ("retention.ms", "1")])[0];
    append(&log, long, 0, 100);
    append(&log, compacted, 0, 100);
    for number in 0..200 {
        append(&log, short, number * 100, 400);
        log.commit_pending().unwrap();
    }
    let files = log.metrics().files;
    assert!(files > 10, "{files}");
    // The newest record is of 19,900 ms; those older than 11,500 ms go.
    let report = log.enforce_retention(12_500).unwrap();
    assert_eq!(report.moved.len(), 1);
    let bounds = log.bounds(short).unwrap();
    assert!(bounds.log_start > Offset(90) && bounds.log_start <= Offset(115), "{bounds:?}");
    assert_eq!(report.moved, [(short, bounds.log_start)]);
    assert!(report.files_recycled > 3, "{report:?}");
    assert!(matches!(log.read(short, Offset(0), 1), Err(LogError::OffsetOutOfRange { .. })));
    assert_eq!(log.read(long, Offset(0), 1).unwrap().len(), 1, "its file stays");
    assert_eq!(log.bounds(compacted).unwrap().log_start, Offset(0));
    // All of it, the active file's batches too; then the clock goes back, and nothing comes back.
    log.enforce_retention(1_000_000).unwrap();
    assert_eq!(log.bounds(short).unwrap().log_start, Offset(200));
    assert_eq!(log.enforce_retention(-5).unwrap(), Default::default());
    append(&log, short, i64::MAX, 100);
    append(&log, short, i64::MIN, 100);
    log.commit_pending().unwrap();
    log.enforce_retention(i64::MAX).unwrap();
    log.enforce_retention(i64::MIN).unwrap();
    let start = log.bounds(short).unwrap().log_start;
    drop(log);
    let log = open(&sim.os(), manual(8 << 10));
    assert_eq!(log.bounds(short).unwrap().log_start, start);
}

#[test]
fn retention_by_size_keeps_at_least_that_much() {
    let sim = SimOs::new(6);
    let log = open(&sim.os(), manual(8 << 10));
    let id = create(&log, "sized", 1, &[("retention.bytes", "20000"), ("retention.ms", "-1")])[0];
    for _ in 0..200 {
        append(&log, id, 0, 500);
        log.commit_pending().unwrap();
    }
    let before = log.metrics().disk_bytes;
    log.enforce_retention(0).unwrap();
    let bytes = log.partition_bytes(id).unwrap();
    assert!((20_000..20_000 + (8 << 10)).contains(&bytes), "{bytes}");
    assert!(log.metrics().disk_bytes < before / 2, "{} of {before}", log.metrics().disk_bytes);
}

#[test]
fn pins_hold_retention_recycling_and_deletion_back() {
    let sim = SimOs::new(6);
    let log = open(&sim.os(), manual(8 << 10));
    let id = create(&log, "t", 1, &[("retention.ms", "1000")])[0];
    let mut lsn_of_60 = Lsn(0);
    for number in 0..100 {
        let (_, lsn) = append(&log, id, number, 500);
        if number == 60 {
            lsn_of_60 = lsn;
        }
        log.commit_pending().unwrap();
    }
    log.pin("job-a", id, Some(Offset(50)));
    log.pin("job-b", id, Some(Offset(70)));
    log.enforce_retention(1_000_000).unwrap();
    assert_eq!(log.bounds(id).unwrap().log_start, Offset(50));
    let delete = |before| log.append::<_, LogError>(|frame| frame.delete_records(id, Offset(before)));
    let error = delete(60).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(
        error.to_string(),
        "the records before offset=60 cannot go: job-a still needs partition=0 from offset=50 on, and must come \
         to its end first"
    );
    let delete_topic = || log.append::<_, LogError>(|frame| frame.delete_topic("t"));
    let error = delete_topic().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(
        error.to_string(),
        "topic 't' cannot go: job-a still needs partition=0 from offset=50 on, and must come to its end first"
    );
    assert!(log.topic("t").is_some());
    log.pin("job-a", id, None);
    delete(60).unwrap();
    log.pin_lsn("job-c", Some(lsn_of_60));
    log.pin("job-b", id, None);
    log.enforce_retention(1_000_000).unwrap();
    assert_eq!(log.bounds(id).unwrap().log_start, Offset(100));
    let pinned = log.metrics().files;
    log.pin("job-d", id, Some(Offset(100)));
    delete_topic().unwrap_err();
    log.pin("job-d", id, None);
    delete_topic().unwrap();
    assert!(log.topic("t").is_none());
    let own = create(&log, "own", 1, &[])[0];
    log.pin("job-d", own, Some(Offset(0)));
    log.append::<_, LogError>(|frame| frame.delete_own_topic("own")).unwrap();
    assert!(log.topic("own").is_none());
    log.pin_lsn("job-c", None);
    log.commit_pending().unwrap();
    assert!(log.metrics().files < pinned, "{} of {pinned}", log.metrics().files);
}

/// A batch that somebody still reads keeps its bytes when its file is given back and written again.
#[test]
fn a_reader_keeps_its_bytes_while_the_file_is_given_back() {
    let sim = SimOs::new(6);
    let log = open(&sim.os(), manual(8 << 10));
    let id = create(&log, "t", 1, &[("retention.ms", "1000")])[0];
    append(&log, id, 0, 600);
    log.commit_pending().unwrap();
    let slice = log.read(id, Offset(0), 1).unwrap().remove(0);
    for round in 0..100 {
        append(&log, id, round * 100, 600);
        log.commit_pending().unwrap();
        log.enforce_retention(round * 100 + 1_000_000).unwrap();
    }
    assert!(!sim.disk.exists(&common::log_path(1)).unwrap(), "the file is gone");
    let mut bytes = Vec::new();
    slice.read(&mut bytes).unwrap();
    assert_eq!(bytes[16..], [7; 584]);
}

#[test]
fn a_clock_that_jumps_ahead_deletes_nothing_early() {
    let sim = SimOs::new(6);
    let options = LogOptions { retention_check_ms: 1_000, ..manual(8 << 10) };
    let log = open(&sim.os(), options);
    log.allow_removal();
    let id = create(&log, "t", 1, &[("retention.ms", "86400000")])[0];
    let now_ms = sim.os().clock.now_ms();
    for _ in 0..50 {
        append(&log, id, now_ms, 500);
        log.commit_pending().unwrap();
    }
    // To the year 2106 and back to 1970: the log's own retention does not follow.
    for wall_ms in [4_294_967_295_000, 0, i64::MAX, i64::MIN] {
        sim.clock.jump_to_ms(wall_ms);
        sim.clock.advance_ms(2_000);
        log.commit_pending().unwrap();
        assert_eq!(log.bounds(id).unwrap().log_start, Offset(0), "wall_ms={wall_ms}");
    }
    // A day later by both clocks the records are due.
    sim.clock.jump_to_ms(now_ms);
    sim.clock.advance_ms(86_400_000 + 1_000);
    log.commit_pending().unwrap();
    assert_eq!(log.bounds(id).unwrap().log_start, Offset(50));
}

#[test]
fn nothing_expires_before_those_who_need_it_have_pinned_it() {
    let sim = SimOs::new(7);
    let options = LogOptions { retention_check_ms: 1_000, ..manual(8 << 10) };
    let log = open(&sim.os(), options);
    let id = create(&log, "t", 1, &[("retention.ms", "1000")])[0];
    for _ in 0..50 {
        append(&log, id, 0, 500);
        log.commit_pending().unwrap();
    }
    let step = || {
        sim.clock.advance_ms(2_000);
        log.commit_pending().unwrap();
        log.bounds(id).unwrap().log_start
    };
    assert_eq!(step(), Offset(0));
    log.pin("a job", id, Some(Offset(20)));
    log.allow_removal();
    assert_eq!(step(), Offset(20));
    log.pin("a job", id, None);
    assert_eq!(step(), Offset(50));
}

#[test]
fn batches_are_found_by_time_and_by_greatest_time() {
    let sim = SimOs::new(6);
    let log = open(&sim.os(), manual(8 << 10));
    let id = create(&log, "t", 1, &[("retention.ms", "-1")])[0];
    assert!(log.find_by_time(id, 0).unwrap().is_none());
    assert!(log.max_timestamp(id).unwrap().is_none());
    let mut random = SplitMix(3);
    let mut timestamps = Vec::new();
    for number in 0..300i64 {
        let timestamp_ms = number * 10 + random.below(300) as i64;
        timestamps.push(timestamp_ms);
        append(&log, id, timestamp_ms, 300);
    }
    log.commit_pending().unwrap();
    // Not yet durable, so not yet there.
    append(&log, id, 1 << 40, 300);
    for log_start in [0, 37, 150, 299] {
        log.append::<_, LogError>(|frame| frame.delete_records(id, Offset(log_start))).unwrap();
        let visible = &timestamps[log_start as usize..];
        for wanted in (-10..3_400).step_by(7) {
            let expected = visible.iter().position(|t| *t >= wanted).map(|i| Offset(i as i64 + log_start));
            let found = log.find_by_time(id, wanted).unwrap().map(|slice| slice.base_offset);
            assert_eq!(found, expected, "wanted={wanted} log_start={log_start}");
        }
        let greatest = visible.iter().max().unwrap();
        let expected = visible.iter().position(|t| t == greatest).unwrap() as i64 + log_start;
        let found = log.max_timestamp(id).unwrap().unwrap();
        assert_eq!((found.base_offset, found.max_timestamp_ms), (Offset(expected), *greatest));
    }
}

/// The last handle stops the threads and releases the directory, closed or not.
#[test]
fn dropping_the_last_handle_releases_the_directory() {
    let sim = SimOs::new(6);
    let options = LogOptions { committer: Committer::Thread, ..small_options() };
    let log = open(&sim.os(), options.clone());
    let other = log.clone();
    let id = create(&log, "t", 1, &[("retention.ms", "-1")])[0];
    let (_, lsn) = append(&log, id, 0, 100);
    drop(log);
    other.wait_durable(lsn).unwrap();
    append(&other, id, 0, 100);
    drop(other);
    let log = open(&sim.os(), options);
    assert_eq!(log.bounds(id).unwrap().end, Offset(2), "an orderly end syncs what is pending");
    log.shutdown().unwrap();
    let error = log.append::<_, LogError>(|frame| frame.batch(id, 1, 0, &[0; 61])).unwrap_err();
    assert_eq!(error, LogError::Closed);
}

#[test]
fn internal_are_the_topics_that_the_node_makes_and_kafkas_own() {
    for name in [
        "__outbox.a.2",
        "__lookup.a.1",
        "__source.a.0",
        "__ids.a.0",
        "__schemas",
        "__view.totals",
        "__views",
        "__event_ids",
        "__consumer_offsets",
    ] {
        assert!(eventlog::is_internal_topic(name), "{name}");
    }
    for name in ["_schemas", "__debezium-heartbeat.shop", "__outbox", "orders", "x__outbox.", "__schemas2"] {
        assert!(!eventlog::is_internal_topic(name), "{name}");
    }
}

#[test]
fn topics_and_configurations_survive_rolls_and_restarts() {
    let sim = SimOs::new(6);
    let log = open(&sim.os(), manual(8 << 10));
    let ids = create(&log, "a", 2, &[("retention.ms", "-1"), ("durability", "relaxed")]);
    create(&log, "__internal", 1, &[]);
    let id = log.topic("a").unwrap().id;
    log.append::<_, LogError>(|frame| frame.add_partitions("a", 3)).unwrap();
    // In one frame: a topic is made, written to and configured.
    let (offset, _) = log
        .append::<_, LogError>(|frame| {
            frame.create_topic("b", 1, BTreeMap::new())?;
            let partition = frame.topic("b").unwrap().partitions[0];
            frame.batch(partition, 4, 0, &[0; 61])?;
            frame.set_topic_config("b", BTreeMap::from([("max.message.bytes".into(), "99".into())]))?;
            frame.batch(partition, 1, 0, &[0; 61])
        })
        .unwrap();
    assert_eq!(offset, Offset(4));
    log.append::<_, LogError>(|frame| frame.delete_topic("__internal")).unwrap();
    let check = |log: &EventLog| {
        let a = log.topic("a").unwrap();
        assert_eq!((a.id, a.partitions.len(), a.partitions[..2].to_vec()), (id, 3, ids.clone()));
        assert_eq!(log.topic_by_id(id).unwrap(), a);
        assert_eq!(a.config.retention_ms, None);
        assert_eq!(a.config.durability, eventlog::Durability::Relaxed);
        assert_eq!(a.config.text("retention.bytes").unwrap(), "-1");
        let b = log.topic("b").unwrap();
        assert_eq!((b.config.max_message_bytes, b.internal), (99, false));
        assert_eq!(log.bounds(b.partitions[0]).unwrap().end, Offset(5));
        assert_eq!(log.partition_topic(b.partitions[0]).unwrap(), (b, 0));
        assert_eq!(log.topics().len(), 2);
    };
    check(&log);
    log.commit_pending().unwrap();
    drop(log);
    let log = open(&sim.os(), manual(8 << 10));
    check(&log);
    for _ in 0..50 {
        append(&log, ids[0], 0, 600);
        log.commit_pending().unwrap();
    }
    drop(log);
    let log = open(&sim.os(), manual(8 << 10));
    check(&log);
    // Ids are never used again.
    let again = create(&log, "__internal", 1, &[]);
    assert_eq!(again, [PartitionId(5)]);
}

#[test]
fn a_checkpoint_larger_than_a_file_is_written_and_read() {
    struct Large;
    impl eventlog::Fold for Large {
        fn checkpoint(&self, out: &mut Vec<u8>) {
            out.extend((0..3_500_000u32).map(|number| (number % 251) as u8));
        }
    }
    let sim = SimOs::new(6);
    let options = manual(64 << 10);
    let log =
        Recovery::open(&sim.os(), options.clone()).unwrap().start(vec![("large", Arc::new(Large))]).unwrap();
    let id = create(&log, "t", 1, &[("retention.ms", "-1")])[0];
    while log.metrics().files < 3 {
        append(&log, id, 0, 20_000);
        log.commit_pending().unwrap();
    }
    let end = log.bounds(id).unwrap().end;
    drop(log);
    let recovery = Recovery::open(&sim.os(), options).unwrap();
    let mut expected = Vec::new();
    eventlog::Fold::checkpoint(&Large, &mut expected);
    assert_eq!(recovery.checkpoint("large"), Some(&expected[..]));
    assert_eq!(recovery.checkpoint("other"), None);
    let log = recovery.start(Vec::new()).unwrap();
    assert_eq!(log.bounds(id).unwrap().end, end);
}

/// The next file's zeros are written before it is needed, unless groups are so long that they gain nothing by it.
#[test]
fn long_groups_are_not_written_twice() {
    // Syncs beside those of the groups, for each file of four pieces of zeros.
    let syncs_per_file = |batch_bytes: usize| {
        let sim = SimOs::new(6);
        let log = open(&sim.os(), manual(4 << 20));
        let id = create(&log, "t", 1, &[])[0];
        let mut before = (0, 0);
        let mut groups = 0;
        while log.metrics().files < 12 {
            append(&log, id, 0, batch_bytes);
            log.commit_pending().unwrap();
            groups += 1;
            // The first files were prepared before anything was known.
            if log.metrics().files == 4 && before.0 == 0 {
                (before, groups) = ((sim.disk.syncs(), log.metrics().files), 0);
            }
        }
        (sim.disk.syncs() - before.0 - groups) as f64 / (log.metrics().files - before.1) as f64
    };
    let (short, long) = (syncs_per_file(200 << 10), syncs_per_file(900 << 10));
    assert!(short >= long + 4.0, "short={short} long={long}");
}
