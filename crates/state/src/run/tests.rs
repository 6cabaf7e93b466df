//! Runs give back what was put in, on any disk, and notice every damage.

mod damage;
mod disks;
mod reads;

use super::{Merge, Run, RunOptions, RunWriter, SortedSource};
use crate::error::StateError;
use os::Disk;
use os::disk::real::RealDisk;
use os::disk::sim::SimDisk;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

type Entries = BTreeMap<Vec<u8>, (Option<Vec<u8>>, i64)>;

const PATH: &str = "runs/one.run";

/// Small enough for several blocks, large enough for several restart points in one.
const BLOCK_BYTES: [usize; 3] = [64, 400, 4096];

/// The first byte stands for the key that others hash.
fn hash_of(key: &[u8]) -> u64 {
    crate::hash(&key[..key.len().min(1)])
}

fn write_blocks(
    disk: &Arc<dyn Disk>,
    path: &Path,
    entries: &Entries,
    block_bytes: usize,
) -> Result<Arc<Run>, StateError> {
    let mut writer = RunWriter::create(disk, path, &RunOptions { block_bytes })?;
    for (key, (value, expires)) in entries {
        writer.add(hash_of(key), key, value.as_deref(), *expires)?;
    }
    writer.finish()
}

fn write(disk: &Arc<dyn Disk>, path: &str, entries: &Entries) -> Result<Arc<Run>, StateError> {
    write_blocks(disk, Path::new(path), entries, 100)
}

fn memory() -> Arc<dyn Disk> {
    simulated()
}

fn simulated() -> Arc<SimDisk> {
    let disk = Arc::new(SimDisk::new());
    disk.create_dir_all(Path::new("runs")).unwrap();
    disk
}

fn collect(mut source: impl SortedSource) -> Result<Entries, StateError> {
    let mut entries = Entries::new();
    while source.advance()? {
        assert_eq!(source.hash(), hash_of(source.key()));
        assert!(entries.last_key_value().is_none_or(|(last, _)| last.as_slice() < source.key()));
        let value = source.value().map(<[u8]>::to_vec);
        entries.insert(source.key().to_vec(), (value, source.expires()));
    }
    assert!(!source.advance()?, "the end is the end");
    Ok(entries)
}

fn entries() -> impl Strategy<Value = Entries> {
    let key = prop::collection::vec(0..6u8, 0..12);
    let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
    let expires = prop_oneof![Just(i64::MAX), any::<i64>()];
    prop::collection::btree_map(key, (value, expires), 0..200)
}

/// A run answers all questions as the map that it was written from.
fn check(run: &Arc<Run>, entries: &Entries, probes: &[Vec<u8>]) -> Result<(), TestCaseError> {
    prop_assert_eq!(&collect(run.scan(&[], None)).unwrap(), entries);
    prop_assert_eq!(run.entries(), entries.len() as u64);
    prop_assert_eq!(run.expires_max(), entries.values().map(|entry| entry.1).max().unwrap_or(i64::MIN));
    prop_assert_eq!(run.first_key(), entries.keys().next().map_or(&[][..], |key| key));
    prop_assert_eq!(run.last_key(), entries.keys().next_back().map_or(&[][..], |key| key));
    run.verify().unwrap();
    for key in entries.keys().chain(probes) {
        let expected = entries.get(key).map(|(value, _)| value.clone());
        prop_assert_eq!(run.get(hash_of(key), key).unwrap(), expected);
    }
    // Bounds that are keys, and bounds that are not.
    let bounds: Vec<&Vec<u8>> = probes.iter().chain(entries.keys().step_by(17)).collect();
    for lower in &bounds {
        for upper in &bounds {
            let expected: Entries = entries
                .iter()
                .filter(|(key, _)| key >= lower && key < upper)
                .map(|(key, entry)| (key.clone(), entry.clone()))
                .collect();
            prop_assert_eq!(collect(run.scan(lower, Some(upper))).unwrap(), expected);
        }
        let expected: Entries =
            entries.range((*lower).clone()..).map(|(key, entry)| (key.clone(), entry.clone())).collect();
        prop_assert_eq!(collect(run.scan(lower, None)).unwrap(), expected);
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_put_in_comes_out(
        entries in entries(),
        probes in prop::collection::vec(prop::collection::vec(0..7u8, 0..12), 1..8),
        block_bytes in prop::sample::select(&BLOCK_BYTES[..]),
        short_reads in prop::option::of(any::<u64>()),
    ) {
        let simulated = simulated();
        simulated.short_reads(short_reads);
        let disk: Arc<dyn Disk> = simulated.clone();
        let written = write_blocks(&disk, Path::new(PATH), &entries, block_bytes).unwrap();
        prop_assert_eq!(written.bytes(), simulated.contents(Path::new(PATH)).unwrap().len() as u64);
        check(&written, &entries, &probes)?;
        let opened = Arc::new(Run::open(&disk, Path::new(PATH)).unwrap());
        prop_assert_eq!(opened.bytes(), written.bytes());
        check(&opened, &entries, &probes)?;
    }

    #[test]
    fn of_equal_keys_the_newest_counts(
        parts in prop::collection::vec(entries(), 0..9),
        lower in prop::collection::vec(0..6u8, 0..3),
    ) {
        let disk = memory();
        let mut sources: Vec<Box<dyn SortedSource + Send>> = Vec::new();
        let mut expected = Entries::new();
        for (number, entries) in parts.iter().enumerate() {
            let run = write(&disk, &format!("runs/{number}.run"), entries).unwrap();
            sources.insert(0, Box::new(run.scan(&lower, None)));
            expected.extend(entries.range(lower.clone()..).map(|(key, entry)| (key.clone(), entry.clone())));
        }
        let mut merge = Merge::new(sources);
        let mut merged = Vec::new();
        while let Some(entry) = merge.next().unwrap() {
            prop_assert_eq!(entry.hash, hash_of(entry.key));
            merged.push((entry.key.to_vec(), (entry.value.map(<[u8]>::to_vec), entry.expires)));
        }
        prop_assert_eq!(merge.next().unwrap(), None);
        prop_assert_eq!(merged, expected.into_iter().collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn what_is_put_in_comes_out_of_a_real_disk(
        entries in entries(),
        probes in prop::collection::vec(prop::collection::vec(0..7u8, 0..12), 1..8),
        block_bytes in prop::sample::select(&BLOCK_BYTES[..]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.run");
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::private());
        let written = write_blocks(&disk, &path, &entries, block_bytes).unwrap();
        check(&written, &entries, &probes)?;
        let opened = Arc::new(Run::open(&disk, &path).unwrap());
        check(&opened, &entries, &probes)?;
    }
}

fn sample() -> Entries {
    let entry = |number: u32| {
        let value = (!number.is_multiple_of(7)).then(|| vec![number as u8; number as usize % 30]);
        let expires = if number.is_multiple_of(3) { i64::from(number) } else { i64::MAX };
        (number.wrapping_mul(0x9e37_79b1).to_be_bytes().to_vec(), (value, expires))
    };
    (0..60).map(entry).collect()
}

#[test]
fn values_larger_than_blocks_and_than_what_is_read_ahead_come_out() {
    let disk = memory();
    let entry = |number: u32| {
        let value = vec![number as u8; if number.is_multiple_of(5) { 300_000 } else { 9 }];
        (number.to_be_bytes().to_vec(), (Some(value), i64::MAX))
    };
    let entries: Entries = (0..40).map(entry).collect();
    let run = write(&disk, PATH, &entries).unwrap();
    check(&run, &entries, &[vec![0, 0, 0, 10, 1]]).unwrap();
}

#[test]
fn keys_that_do_not_ascend_are_refused() {
    let disk = memory();
    let mut writer = RunWriter::create(&disk, Path::new(PATH), &RunOptions::default()).unwrap();
    writer.add(1, b"b", None, i64::MAX).unwrap();
    assert!(writer.add(1, b"b", None, i64::MAX).is_err());
    assert!(writer.add(1, b"a", None, i64::MAX).is_err());
    assert!(writer.add(1, b"", None, i64::MAX).is_err());
    writer.add(1, b"b\0", None, i64::MAX).unwrap();
    assert!(writer.add(1, b"b", None, i64::MAX).is_err());
    assert_eq!(writer.finish().unwrap().entries(), 2);
}

#[test]
fn the_filter_lets_few_strangers_through() {
    let disk = memory();
    let mut writer = RunWriter::create(&disk, Path::new(PATH), &RunOptions::default()).unwrap();
    for number in 0..20_000u32 {
        let key = number.to_be_bytes();
        writer.add(crate::hash(&key), &key, Some(b"value"), i64::MAX).unwrap();
    }
    let run = writer.finish().unwrap();
    let strangers = (20_000..120_000u32).filter(|number| run.may_contain(crate::hash(&number.to_be_bytes())));
    let share = strangers.count() as f64 / 100_000.0;
    assert!(share < 0.02, "{share} of all strangers pass");
    assert!((0..20_000u32).all(|number| run.may_contain(crate::hash(&number.to_be_bytes()))));
    // An empty run knows nobody.
    let empty = write(&disk, "runs/empty.run", &Entries::new()).unwrap();
    assert!((0..1000u32).all(|number| !empty.may_contain(crate::hash(&number.to_be_bytes()))));
}

#[test]
fn many_entries_of_one_key_are_one_hash_in_the_filter() {
    let disk = memory();
    let mut writer = RunWriter::create(&disk, Path::new(PATH), &RunOptions::default()).unwrap();
    for number in 0..10_000u32 {
        writer.add(7, &number.to_be_bytes(), Some(b"value"), i64::MAX).unwrap();
    }
    let run = writer.finish().unwrap();
    assert!(run.memory_bytes() < 4096, "{} bytes", run.memory_bytes());
    assert!(run.may_contain(7));
}

#[test]
fn a_filter_is_the_same_however_it_is_made() {
    let simulated = simulated();
    let disk: Arc<dyn Disk> = simulated.clone();
    let mut contents = Vec::new();
    let ways =
        [(usize::MAX, 0), (100, 0), (0, 0), (0, 1000), (100, 1000), (100, 10_000), (100, 999), (0, 1300)];
    for (number, (hashes_max, expected)) in ways.into_iter().enumerate() {
        let path = format!("runs/{number}.run");
        let options = RunOptions { block_bytes: 300 };
        let mut writer = RunWriter::with_hashes_max(&disk, Path::new(&path), &options, hashes_max).unwrap();
        writer.expect(expected);
        for number in 0..3000u32 {
            // Neighbours share a hash.
            let (hash, key) = (crate::hash(&(number / 3).to_be_bytes()), number.to_be_bytes());
            writer.add(hash, &key, Some(&key), i64::MAX).unwrap();
        }
        let run = writer.finish().unwrap();
        run.verify().unwrap();
        let last = run.get(crate::hash(&999u32.to_be_bytes()), &2999u32.to_be_bytes());
        assert_eq!(last.unwrap(), Some(Some(2999u32.to_be_bytes().to_vec())));
        for number in 0..1000u32 {
            assert!(run.may_contain(crate::hash(&number.to_be_bytes())));
        }
        contents.push(simulated.contents(Path::new(&path)).unwrap());
    }
    // Only the last was told of somewhat more hashes than there were, and its filter has room for them.
    let (last, others) = contents.split_last().unwrap();
    assert!(others.iter().all(|content| content == &others[0]));
    assert!(last.len() > others[0].len());
}
