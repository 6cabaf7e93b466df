//! Disks that fail, fill up, or belong to somebody else.

mod common;

use base::{ErrorKind, Offset, PartitionId};
use common::{DIRECTORY, World, log_path, small_options};
use eventlog::{Committer, Durable, LogError, LogOptions, Recovery};
use os::Os;
use os::sim::{SimOs, SyncFault};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Whatever sync it is that fails, once: nothing is acknowledged from there on, although later syncs would succeed.
#[test]
fn the_first_failed_sync_fences_the_log() {
    let mut fenced = 0;
    for (nth, fault) in (1..40).flat_map(|n| [(n, SyncFault::DropsWrites), (n, SyncFault::KeepsWrites)]) {
        let mut world = World::new(nth);
        world.open().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let listener = told.clone();
        world.log().subscribe(Arc::new(move |durable: &Durable| {
            listener.lock().unwrap().push(durable.clone());
        }));
        world.sim.disk.fail_sync(nth, fault);
        let armed = world.sim.disk.syncs() + nth;
        let error = loop {
            if let Err(error) = world.append_some().and_then(|()| world.commit()) {
                break Some(error);
            }
            if world.sim.disk.syncs() > armed {
                break None;
            }
        };
        let Some(error) = error else {
            // Preparing a spare and writing an index sync too; they are done again, and nothing acknowledged hangs on
            // them.
            assert_eq!(world.log().fenced(), None);
            world.log = None;
            world.sim.disk.power_cut(nth);
            world.open().unwrap();
            continue;
        };
        fenced += 1;
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        let acknowledged = world.acknowledged;
        assert!(world.log().fenced().unwrap().contains("sync"), "{:?}", world.log().fenced());
        for _ in 0..3 {
            assert_eq!(world.append_some().unwrap_err().kind(), ErrorKind::Fenced);
            assert_eq!(world.log().commit_pending().unwrap_err().kind(), ErrorKind::Fenced);
        }
        assert_eq!(world.log().durable(), acknowledged);
        assert!(told.lock().unwrap().last().unwrap().fenced);
        assert!(told.lock().unwrap().iter().all(|durable| durable.lsn <= acknowledged));
        // What was acknowledged is served, now and after the machine is gone.
        let high = world.log().bounds(PartitionId(0)).unwrap();
        if high.log_start < high.high_watermark {
            assert!(!world.log().read(PartitionId(0), high.log_start, 1).unwrap().is_empty());
        }
        world.log = None;
        world.sim.disk.power_cut(nth);
        world.open().unwrap();
    }
    assert!(fenced > 60, "most syncs are the log's own: {fenced}");
}

#[test]
fn a_failed_write_fences_the_log() {
    let mut world = World::new(5);
    world.open().unwrap();
    world.append_some().unwrap();
    world.commit().unwrap();
    world.append_some().unwrap();
    world.sim.disk.fail_write(1);
    let error = world.commit().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("takes no more appends: a write has failed, restart the node: cannot write"),
        "{error}"
    );
    world.log = None;
    world.sim.disk.power_cut(1);
    world.open().unwrap();
}

#[test]
fn with_threads_a_failed_sync_reaches_every_waiter() {
    let sim = SimOs::new(3);
    let options = LogOptions { committer: Committer::Thread, ..small_options() };
    let log = Recovery::open(&sim.os(), options).unwrap().start(Vec::new()).unwrap();
    let (_, lsn) = log.append::<_, LogError>(|frame| frame.create_topic("t", 1, BTreeMap::new())).unwrap();
    log.wait_durable(lsn).unwrap();
    // Syncs of the spare may come in between; each of them is armed to be the one.
    let error = std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| -> LogError {
                    loop {
                        let appended =
                            log.append::<_, LogError>(|frame| frame.batch(PartitionId(0), 1, 0, &[0; 64]));
                        match appended.and_then(|(_, lsn)| log.wait_durable(lsn)) {
                            Ok(()) => sim.disk.fail_sync(1, SyncFault::DropsWrites),
                            Err(error) => return error,
                        }
                    }
                })
            })
            .collect();
        waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(error.iter().all(|error| error.kind() == ErrorKind::Fenced), "{error:?}");
}

/// Appends until nothing fits any more; a single long frame may be refused earlier.
fn fill(world: &mut World) -> LogError {
    let mut refused = 0;
    for _ in 0..5_000 {
        match world.append_some() {
            Ok(()) => refused = 0,
            Err(error) if refused == 20 => return error,
            Err(error) => {
                assert!(matches!(error, LogError::DiskFull(_)), "{error}");
                refused += 1;
            }
        }
        world.commit().unwrap();
    }
    panic!("the disk does not fill up");
}

#[test]
fn a_full_disk_refuses_appends_and_recovers_by_itself() {
    let mut world = World::new(11);
    world.open().unwrap();
    world.create_topic().unwrap();
    world.sim.disk.limit_bytes(Some(150 << 10));
    let error = fill(&mut world);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    assert!(
        text.starts_with("disk full: cannot prepare the next log file") || text.contains("extend"),
        "{text}"
    );
    assert!(
        text.ends_with("free space or lower retention.ms or retention.bytes, or delete topics or records")
    );
    assert!(world.log().metrics().disk_trouble.is_some());
    assert_eq!(world.log().fenced(), None, "a full disk is no reason to fence");
    world.check();

    // The log opens again on the full disk, and is as full as before.
    world.open().unwrap();
    assert_eq!(fill(&mut world).kind(), ErrorKind::Unavailable);

    // Deleting records works, and their space is used again.
    for id in world.model.partitions.keys().copied().collect::<Vec<_>>() {
        let high = world.log().bounds(id).unwrap().high_watermark;
        let (start, lsn) = world.log().append::<_, LogError>(|frame| frame.delete_records(id, high)).unwrap();
        assert_eq!(start, high);
        let noted = common::Noted::LogStart { partition: id, log_start: high.0 };
        world.model.apply(&noted);
        world.noted.insert(lsn.0, noted);
    }
    world.commit().unwrap();
    for _ in 0..10 {
        world.append_some().unwrap();
        world.commit().unwrap();
    }
    world.check();
    world.open().unwrap();

    // Full again; this time the operator gives the disk more space.
    assert_eq!(fill(&mut world).kind(), ErrorKind::Unavailable);
    world.sim.disk.limit_bytes(None);
    world.commit().unwrap();
    assert_eq!(world.log().metrics().disk_trouble, None);
    world.append_some().unwrap();
    world.commit().unwrap();
    world.open().unwrap();
}

#[test]
fn deleting_a_topic_frees_a_full_disk() {
    let mut world = World::new(12);
    world.open().unwrap();
    world.create_topic().unwrap();
    world.sim.disk.limit_bytes(Some(150 << 10));
    fill(&mut world);
    for name in world.model.topics.keys().cloned().collect::<Vec<_>>() {
        let (_, lsn) = world.log().append::<_, LogError>(|frame| frame.delete_topic(&name)).unwrap();
        let noted = common::Noted::Deleted { name };
        world.model.apply(&noted);
        world.noted.insert(lsn.0, noted);
    }
    world.commit().unwrap();
    let mut appended = 0;
    for _ in 0..50 {
        // A long frame may be refused at the end of a file; it fits into the next.
        appended += u32::from(world.append_some().is_ok());
        world.commit().unwrap();
    }
    assert!(appended > 45, "{appended}");
    world.open().unwrap();
}

#[test]
fn a_second_opener_is_told_who_holds_the_directory() {
    let sim = SimOs::new(1);
    let first = Recovery::open(&sim.os(), small_options()).unwrap();
    let Err(error) = Recovery::open(&sim.os(), small_options()) else { panic!("opened twice") };
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let pid = std::process::id();
    assert_eq!(
        error.to_string(),
        format!(
            "the data directory {DIRECTORY} is in use by the process pid={pid}; stop it or choose another directory"
        )
    );
    drop(first);
    Recovery::open(&sim.os(), small_options()).unwrap();
}

/// Run by `two_processes_cannot_share_a_directory` in a process of its own; without the variable it has no work.
#[test]
fn second_process() {
    let Ok(directory) = std::env::var("EVENTLOG_TEST_DIRECTORY") else { return };
    match Recovery::open(&Os::real(), LogOptions::new(directory)) {
        Err(LogError::InUse { pid, .. }) => println!("in-use-by={pid};"),
        Err(other) => println!("error={other};"),
        Ok(_) => println!("opened;"),
    }
}

#[test]
fn two_processes_cannot_share_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "second_process", "--nocapture"])
            .env("EVENTLOG_TEST_DIRECTORY", directory.path())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let options = LogOptions { first_file_bytes: 64 << 10, ..LogOptions::new(directory.path()) };
    let log = Recovery::open(&Os::real(), options).unwrap().start(Vec::new()).unwrap();
    assert!(open().contains(&format!("in-use-by={};", std::process::id())), "{}", open());
    log.close().unwrap();
    assert!(open().contains("opened;"), "{}", open());
}

#[test]
fn a_newer_format_is_refused_and_a_damaged_one_named() {
    let sim = SimOs::new(1);
    drop(Recovery::open(&sim.os(), small_options()).unwrap());
    let path = Path::new(DIRECTORY).join("format");
    let file = sim.os().disk.open(&path).unwrap();
    file.write_all_at(b"eventwright log format 9\n", 0).unwrap();
    let Err(error) = Recovery::open(&sim.os(), small_options()) else { panic!("opened") };
    assert!(
        error.to_string().contains("was written by a newer version (format=9, this version knows format=2)")
    );
    file.write_all_at(b"something else         9\n", 0).unwrap();
    let Err(error) = Recovery::open(&sim.os(), small_options()) else { panic!("opened") };
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn too_many_unsynced_bytes_are_refused_until_a_commit() {
    let mut world = World::new(9);
    world.options.unsynced_bytes_max = 4_000;
    world.open().unwrap();
    let error = loop {
        if let Err(error) = world.append_some() {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    world.commit().unwrap();
    world.append_some().unwrap();
}

#[test]
fn what_is_wrong_is_refused_and_leaves_no_trace() {
    let mut world = World::new(9);
    world.options.entry_bytes_max = 1_000;
    world.open().unwrap();
    world.create_topic().unwrap();
    let id = PartitionId(0);
    let attempt = |records, bytes: &[u8], partition| {
        world
            .log()
            .append::<_, LogError>(|frame| frame.batch(partition, records, 0, bytes))
            .unwrap_err()
            .kind()
    };
    assert_eq!(attempt(1, &[0; 15], id), ErrorKind::Invalid);
    assert_eq!(attempt(0, &[0; 61], id), ErrorKind::Invalid);
    assert_eq!(attempt(u32::MAX, &[0; 61], id), ErrorKind::Invalid);
    assert_eq!(attempt(1, &[0; 1_001], id), ErrorKind::Invalid);
    assert_eq!(attempt(1, &[0; 61], PartitionId(99)), ErrorKind::NotFound);
    for name in ["", ".", "..", "a/b", "a b", "\0", "ä", &"x".repeat(250)] {
        let error = world
            .log()
            .append::<_, LogError>(|frame| frame.create_topic(name, 1, BTreeMap::new()))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name}");
    }
    let create = |name: &str, partitions, key: &str, value: &str| {
        let config = BTreeMap::from([(key.to_string(), value.to_string())]);
        world.log().append::<_, LogError>(|frame| frame.create_topic(name, partitions, config)).unwrap_err()
    };
    assert_eq!(create("topic-0", 1, "retention.ms", "1").kind(), ErrorKind::Conflict);
    assert_eq!(create("new", 0, "retention.ms", "1").kind(), ErrorKind::Invalid);
    assert_eq!(
        create("new", 1, "retention.msec", "1").to_string(),
        "unknown option 'retention.msec'; did you mean 'retention.ms'?"
    );
    assert_eq!(
        create("new", 1, "retention.ms", "-2").to_string(),
        "option 'retention.ms' = '-2' is not valid: expected a whole number of at least -1"
    );
    let out_of_range =
        world.log().append::<_, LogError>(|frame| frame.delete_records(id, Offset(1))).unwrap_err();
    assert!(matches!(out_of_range, LogError::OffsetOutOfRange { .. }));
    world.commit().unwrap();
    assert_eq!(world.log().durable().0, 1, "only the topic was created");
    world.check();
    assert!(world.sim.disk.contents(&log_path(1)).is_ok());
}
