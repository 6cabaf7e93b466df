//! Damaged bytes are found, named and confined; what is torn at the end is simply the end.

mod common;

use base::{ErrorKind, Offset, PartitionId};
use common::{DIRECTORY, World, log_path, patched, small_options};
use eventlog::{Entry, EventLog, Layer, LogError, LogOptions, OpenReport, Recovery};
use os::sim::{SimOs, SplitMix};
use os::{Disk, Os};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const PARTITIONS: u32 = 3;
const FRAMES: i64 = 12;

fn options() -> LogOptions {
    LogOptions { file_bytes: 8 << 10, first_file_bytes: 2 << 10, ..small_options() }
}

fn content(partition: u32, number: i64) -> Vec<u8> {
    let mut random = SplitMix(u64::from(partition) << 32 | number as u64);
    common::batch(&mut random, 40 + (number as usize * 13 + partition as usize * 7) % 60)
}

/// Twelve frames with one batch of two records for each of three partitions, and a layer entry.
fn small_log(sim: &SimOs) -> EventLog {
    let log = Recovery::open(&sim.os(), options()).unwrap().start(Vec::new()).unwrap();
    log.append::<_, LogError>(|frame| frame.create_topic("t", PARTITIONS, BTreeMap::new())).unwrap();
    for number in 0..FRAMES {
        log.append::<_, LogError>(|frame| {
            for partition in 0..PARTITIONS {
                frame.batch(PartitionId(partition), 2, number, &content(partition, number))?;
            }
            frame.layer(Layer::STEPS, &number.to_le_bytes())
        })
        .unwrap();
        log.commit_pending().unwrap();
    }
    log
}

struct Survey {
    report: OpenReport,
    intact: u32,
    /// Not served; each with an error that names the damage, or counted by `silent`.
    refused: u32,
    /// Not served, as if it had never been there.
    silent: u32,
    /// The log's own count.
    damaged: u64,
}

/// What can be read of the log; wrong bytes are a failure.
fn survey(os: &Os, case: &str) -> Result<Survey, LogError> {
    let mut recovery = Recovery::open(os, options())?;
    let report = recovery.report().clone();
    recovery.replay(&mut |_, entry| {
        match entry {
            Entry::Batch { partition, base_offset, bytes, .. } => {
                let expected = patched(&content(partition.0, base_offset.0 / 2), base_offset.0);
                assert_eq!(bytes, expected, "{case}: wrong bytes in the replay");
            }
            Entry::Layer { bytes, .. } => {
                let number = i64::from_le_bytes(bytes.try_into().unwrap());
                assert!((0..FRAMES).contains(&number), "{case}: wrong layer entry in the replay");
            }
            Entry::Catalog(_) => {}
        }
        Ok(())
    })?;
    let log = recovery.start(Vec::new())?;
    let (mut intact, mut refused, mut silent) = (0, 0, 0);
    for partition in 0..PARTITIONS {
        for number in 0..FRAMES {
            let offset = Offset(number * 2 + 1);
            let read = log.read(PartitionId(partition), offset, 1).and_then(|slices| {
                let mut bytes = Vec::new();
                let Some(slice) = slices.first() else { return Ok(None) };
                slice.read(&mut bytes).map(|()| Some(bytes))
            });
            match read {
                Ok(Some(bytes)) => {
                    let expected = patched(&content(partition, number), number * 2);
                    assert_eq!(bytes, expected, "{case}: wrong data, silently");
                    intact += 1;
                }
                Ok(None) | Err(LogError::OffsetOutOfRange { .. } | LogError::NotFound(_)) => {
                    refused += 1;
                    silent += 1;
                }
                Err(LogError::Corrupt(damage)) => {
                    assert_eq!(damage.partition, Some(PartitionId(partition)), "{case}: {damage}");
                    let (first, last) = damage.offsets.expect("the offsets are named");
                    assert!(first <= offset && offset <= last, "{case}: {damage}");
                    refused += 1;
                }
                Err(error) => panic!("{case}: {error}"),
            }
        }
    }
    Ok(Survey { report, intact, refused, silent, damaged: log.metrics().damaged })
}

#[test]
fn no_flipped_byte_of_a_closed_log_goes_unnoticed_or_spreads() {
    let sim = SimOs::new(4);
    let log = small_log(&sim);
    log.close().unwrap();
    let names: Vec<String> = sim.disk.list(Path::new(DIRECTORY)).unwrap();
    let total = PARTITIONS * FRAMES as u32;
    let (mut harmless, mut noticed, mut refused_to_open, mut flips) = (0, 0, 0, 0);
    for name in names.iter().filter(|name| !name.ends_with(".spare")) {
        let path = Path::new(DIRECTORY).join(name);
        let Ok(bytes) = sim.disk.contents(&path) else { continue };
        for position in 0..bytes.len() as u64 {
            // Where nothing was ever written there is nothing to damage; a few such places are enough.
            if bytes[position as usize] == 0 && position % 61 != 0 && !near_data(&bytes, position) {
                continue;
            }
            let mask = 1u8 << (position % 8);
            let case = format!("{name} position={position} mask={mask}");
            let disk = sim.disk.fork();
            disk.flip(&path, position, mask).unwrap();
            let os = Os { disk: Arc::new(disk), ..sim.os() };
            flips += 1;
            match survey(&os, &case) {
                Ok(Survey { report, intact, refused, silent, damaged }) => {
                    assert_eq!(intact + refused, total);
                    // A flipped bit costs one entry of one frame; with it goes what comes before the next header when
                    // it is an entry's own header.
                    assert!(refused <= 1, "{case}: damage spreads to {refused} batches: {report:?}");
                    if refused > 0 {
                        assert!(damaged > 0, "{case}: lost without being counted");
                    }
                    if silent > 0 {
                        assert!(report.damaged_count > 0, "{case}: lost without a word");
                    }
                    if damaged + report.indexes_rebuilt > 0 {
                        noticed += 1;
                    } else {
                        harmless += 1;
                    }
                }
                Err(error) => {
                    assert_eq!(name, "format", "{case}: the log must open: {error}");
                    refused_to_open += 1;
                }
            }
        }
    }
    println!("flips={flips} noticed={noticed} harmless={harmless} refused_to_open={refused_to_open}");
    assert!(noticed > 2_000, "{noticed}");
    assert!(refused_to_open > 10);
}

fn near_data(bytes: &[u8], position: u64) -> bool {
    let from = position.saturating_sub(16) as usize;
    let to = (position as usize + 16).min(bytes.len());
    bytes[from..to].iter().any(|byte| *byte != 0)
}

/// Everything in the middle of a file that is not a header of the file or its checkpoint, in pieces of a sector.
#[test]
fn a_lost_sector_in_the_middle_costs_what_lay_in_it_and_no_more() {
    let sim = SimOs::new(4);
    small_log(&sim).close().unwrap();
    let total = PARTITIONS * FRAMES as u32;
    let mut lost_any = 0;
    for sequence in 1..4 {
        let path = log_path(sequence);
        let Ok(bytes) = sim.disk.contents(&path) else { continue };
        for sector in 8..bytes.len() / 512 {
            let disk = sim.disk.fork();
            let written = bytes[sector * 512..(sector + 1) * 512].iter().any(|byte| *byte != 0);
            disk.open(&path).unwrap().write_all_at(&[0; 512], sector as u64 * 512).unwrap();
            let os = Os { disk: Arc::new(disk), ..sim.os() };
            let case = format!("sequence={sequence} sector={sector}");
            let Survey { report, intact, refused, silent, damaged } =
                survey(&os, &case).unwrap_or_else(|error| panic!("{case}: {error}"));
            assert_eq!(intact + refused, total);
            // 512 bytes hold parts of at most seven of these small batches and the rest of two frames.
            assert!(refused <= 9, "{case}: {refused} {report:?}");
            // When the closing mark is lost together with the last frame, nothing tells that from a torn tail.
            let is_end = bytes[(sector + 1) * 512..].iter().all(|byte| *byte == 0);
            if refused > 0 && !is_end {
                assert!(written && damaged > 0, "{case}: lost without being counted: {report:?}");
                assert!(silent == 0 || report.damaged_count > 0, "{case}: lost without a word: {report:?}");
                lost_any += 1;
            }
        }
    }
    assert!(lost_any > 4, "{lost_any}");
}

/// A log that was not closed, with its last frame cut off in every way: the end is the end, without a complaint.
#[test]
fn a_torn_or_zero_tail_is_simply_the_end() {
    let sim = SimOs::new(4);
    let log = small_log(&sim);
    drop(log);
    let sequence = (1..9).rev().find(|s| sim.disk.contents(&log_path(*s)).is_ok()).unwrap();
    let path = log_path(sequence);
    let bytes = sim.disk.contents(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let total = PARTITIONS * FRAMES as u32;
    let mut torn = 0;
    for cut in end - 150..=end {
        for fill in [0u8, 0xff, 0x5a] {
            let disk = sim.disk.fork();
            let rest = vec![fill; bytes.len() - cut];
            disk.open(&path).unwrap().write_all_at(&rest, cut as u64).unwrap();
            let os = Os { disk: Arc::new(disk), ..sim.os() };
            let case = format!("cut={cut} fill={fill}");
            let Survey { report, intact, refused, .. } =
                survey(&os, &case).unwrap_or_else(|error| panic!("{case}: {error}"));
            assert_eq!(report.damaged_count, 0, "{case}: {report:?}");
            // The last frame is there with all of its batches or with none.
            assert!(intact == total || intact + PARTITIONS == total, "{case}: {intact} of {total}");
            assert_eq!(refused, total - intact);
            torn += usize::from(report.torn_tail_bytes > 0);
            // What is opened goes on.
            let log = Recovery::open(&os, options()).unwrap().start(Vec::new()).unwrap();
            let end = log.bounds(PartitionId(0)).unwrap().end;
            let (base, _) =
                log.append::<_, LogError>(|frame| frame.batch(PartitionId(0), 1, 0, &[1; 99])).unwrap();
            assert_eq!(base, end);
            log.commit_pending().unwrap();
        }
    }
    assert!(torn > 50, "{torn}");
}

/// Frames of the file's former life lie exactly where the new ones end, and do not come back.
#[test]
fn stale_frames_of_a_recycled_file_never_parse() {
    let mut world = World::new(21);
    world.options = LogOptions { file_bytes: 24 << 10, first_file_bytes: 2 << 10, ..small_options() };
    world.open().unwrap();
    world.create_topic().unwrap();
    let mut recycled = 0;
    for _ in 0..400 {
        world.append_some().unwrap();
        world.commit().unwrap();
        for id in world.model.partitions.keys().copied().collect::<Vec<_>>() {
            let high = world.log().bounds(id).unwrap().high_watermark;
            let known = world.log().bounds(id).unwrap().log_start;
            let (_, lsn) = world.log().append::<_, LogError>(|frame| frame.delete_records(id, high)).unwrap();
            if high > known {
                let noted = common::Noted::LogStart { partition: id, log_start: high.0 };
                world.model.apply(&noted);
                world.noted.insert(lsn.0, noted);
            }
        }
        world.commit().unwrap();
        // The file behind the active end is full of whole frames of earlier lives.
        let sequence = (1..900).rev().find(|s| world.sim.disk.contents(&log_path(*s)).is_ok()).unwrap();
        let bytes = world.sim.disk.contents(&log_path(sequence)).unwrap();
        let magic = b"\xf5EvF";
        let generation = &bytes[16..24];
        let stale = bytes.windows(16).filter(|w| w[..4] == *magic && w[8..16] != *generation).count();
        recycled += usize::from(stale > 0);
        world.open().unwrap();
        assert_eq!(world.reports.last().unwrap().torn_tail_bytes, 0);
    }
    assert!(recycled > 20, "files must be recycled with stale frames in them: {recycled}");
}

/// The newest checkpoint is damaged: the one before it serves.
#[test]
fn recovery_falls_back_to_the_checkpoint_before() {
    let mut world = World::new(8);
    world.open().unwrap();
    while world.log().metrics().files < 4 {
        world.append_some().unwrap();
        world.commit().unwrap();
    }
    world.append_some().unwrap();
    world.commit().unwrap();
    world.log().shutdown().unwrap();
    world.log = None;
    let sequence = (1..90).rev().find(|s| world.sim.disk.contents(&log_path(*s)).is_ok()).unwrap();
    let before = world.reports.len();
    world.sim.disk.flip(&log_path(sequence), 4096 + 300, 1).unwrap();
    world.open().unwrap();
    let fallen_back = world.reports[before].checkpoint_lsn;
    world.log().shutdown().unwrap();
    world.log = None;
    world.sim.disk.flip(&log_path(sequence), 4096 + 300, 1).unwrap();
    world.open().unwrap();
    assert!(fallen_back < world.reports[before + 1].checkpoint_lsn, "the older checkpoint was used");
}

/// Also when retention has given back all that it may: the file before the newest checkpoint is kept for this.
#[test]
fn recycling_leaves_the_checkpoint_before_the_newest() {
    let mut world = World::new(9);
    world.open().unwrap();
    world.create_topic().unwrap();
    let id = PartitionId(0);
    for round in 0..200 {
        world.append_some().unwrap();
        world.commit().unwrap();
        let (known, high) = {
            let bounds = world.log().bounds(id).unwrap();
            (bounds.log_start, bounds.high_watermark)
        };
        if high > known {
            let (_, lsn) = world.log().append::<_, LogError>(|frame| frame.delete_records(id, high)).unwrap();
            let noted = common::Noted::LogStart { partition: id, log_start: high.0 };
            world.model.apply(&noted);
            world.noted.insert(lsn.0, noted);
        }
        for (other, _) in world.model.partitions.clone().iter().filter(|(other, _)| **other != id) {
            let bounds = world.log().bounds(*other).unwrap();
            if bounds.high_watermark > bounds.log_start {
                let before = bounds.high_watermark;
                let (_, lsn) =
                    world.log().append::<_, LogError>(|frame| frame.delete_records(*other, before)).unwrap();
                let noted = common::Noted::LogStart { partition: *other, log_start: before.0 };
                world.model.apply(&noted);
                world.noted.insert(lsn.0, noted);
            }
        }
        world.commit().unwrap();
        assert!(world.log().metrics().files <= 4, "round={round}: {}", world.log().metrics().files);
        if round % 10 == 9 {
            let sequence = (1..900).rev().find(|s| world.sim.disk.contents(&log_path(*s)).is_ok()).unwrap();
            world.log().shutdown().unwrap();
            world.log = None;
            world.sim.disk.flip(&log_path(sequence), 4096 + 64 + 40 + 8, 1).unwrap();
            world.open().unwrap_or_else(|error| panic!("round={round}: {error}"));
            world.log = None;
            world.sim.disk.flip(&log_path(sequence), 4096 + 64 + 40 + 8, 1).unwrap();
            world.open().unwrap();
        }
    }
}

/// Both copies of the newest file's header are gone: that is not mistaken for a file that was just being begun.
#[test]
fn a_lost_header_of_the_newest_file_is_not_taken_for_a_torn_roll() {
    for files in [1, 3] {
        let mut world = World::new(8);
        world.open().unwrap();
        world.create_topic().unwrap();
        while world.log().metrics().files < files {
            world.append_some().unwrap();
            world.commit().unwrap();
        }
        for _ in 0..3 {
            world.append_some().unwrap();
            world.commit().unwrap();
        }
        world.log = None;
        let sequence = (1..90).rev().find(|s| world.sim.disk.contents(&log_path(*s)).is_ok()).unwrap();
        world.sim.os().disk.open(&log_path(sequence)).unwrap().write_all_at(&[0; 4096], 0).unwrap();
        let Err(error) = Recovery::open(&world.sim.os(), world.options.clone()) else { panic!("opened") };
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("both copies of the file's header are damaged"), "{error}");
    }
}

/// Index files are a convenience: without them, or with any byte of them damaged, the same is served.
#[test]
fn indexes_are_rebuilt_when_missing_or_damaged() {
    let mut world = World::new(31);
    world.open().unwrap();
    while world.log().metrics().files < 6 {
        world.append_some().unwrap();
        world.commit().unwrap();
    }
    let directory = Path::new(DIRECTORY);
    let names = world.sim.disk.list(directory).unwrap();
    let indexes: Vec<String> = names.into_iter().filter(|name| name.ends_with(".index")).collect();
    assert!(indexes.len() >= 3, "{indexes:?}");
    // While the log runs: the cache is small, so the sections are read again.
    for name in &indexes {
        let bytes = world.sim.disk.contents(&directory.join(name)).unwrap();
        world.sim.disk.flip(&directory.join(name), bytes.len() as u64 - 3, 4).unwrap();
    }
    world.check();
    world.commit().unwrap();
    world.check();
    // At the start: every byte in turn for one of them, then all of them gone.
    let path = directory.join(&indexes[1]);
    let bytes = world.sim.disk.contents(&path).unwrap();
    for position in 0..bytes.len() as u64 {
        world.sim.disk.flip(&path, position, 0x10).unwrap();
        world.open().unwrap();
        world.commit().unwrap();
        let repaired = world.sim.disk.contents(&path).unwrap();
        if repaired != bytes {
            // Nobody has needed the section yet; it is damaged as it was.
            world.sim.disk.flip(&path, position, 0x10).unwrap();
        }
        assert_eq!(world.sim.disk.contents(&path).unwrap(), bytes);
    }
    for name in &indexes {
        world.sim.os().disk.remove(&directory.join(name)).unwrap();
    }
    world.open().unwrap();
    assert!(world.reports.last().unwrap().indexes_rebuilt >= indexes.len() as u64 - 2);
    world.commit().unwrap();
    world.open().unwrap();
    assert_eq!(world.reports.last().unwrap().indexes_rebuilt, 0, "they were written again");
}

/// Random bytes in place of any file never bring the log down; it opens or says what is wrong.
#[test]
fn garbage_in_any_file_is_an_error_and_no_panic() {
    let sim = SimOs::new(4);
    small_log(&sim).close().unwrap();
    let names = sim.disk.list(Path::new(DIRECTORY)).unwrap();
    let mut random = SplitMix(99);
    for round in 0..300 {
        let disk = sim.disk.fork();
        for _ in 0..1 + random.below(3) {
            let name = &names[random.below(names.len() as u64) as usize];
            let Ok(file) = disk.open(&Path::new(DIRECTORY).join(name)) else { continue };
            let length = file.length().unwrap();
            if random.one_in(4) {
                file.set_length(random.below(length + 1)).unwrap();
                continue;
            }
            let start = random.below(length + 1);
            let garbage = common::batch(&mut random, 16 + (round as usize % 3_000));
            file.write_all_at(&garbage, start).unwrap();
        }
        let os = Os { disk: Arc::new(disk), ..sim.os() };
        if let Err(error) = survey(&os, &format!("round={round}")) {
            let known =
                matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Invalid | ErrorKind::Unavailable);
            assert!(known, "round={round}: {error}");
        }
    }
}
