//! Runs give back what was put in, on any disk, and notice every damage.

use super::{Merge, Run, RunOptions, RunWriter, SortedSource};
use crate::error::StateError;
use os::Disk;
use os::disk::sim::SimDisk;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

type Entries = BTreeMap<Vec<u8>, (Option<Vec<u8>>, i64)>;

const PATH: &str = "runs/one.run";

/// The first byte stands for the key that others hash.
fn hash_of(key: &[u8]) -> u64 {
    crate::hash(&key[..key.len().min(1)])
}

fn write(disk: &Arc<dyn Disk>, path: &str, entries: &Entries) -> Result<Arc<Run>, StateError> {
    let mut writer = RunWriter::create(disk, Path::new(path), &RunOptions { block_bytes: 100 })?;
    for (key, (value, expires)) in entries {
        writer.add(hash_of(key), key, value.as_deref(), *expires)?;
    }
    writer.finish()
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
    Ok(entries)
}

fn entries() -> impl Strategy<Value = Entries> {
    let key = prop::collection::vec(0..6u8, 0..7);
    let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
    let expires = prop_oneof![Just(i64::MAX), any::<i64>()];
    prop::collection::btree_map(key, (value, expires), 0..120)
}

proptest! {
    #[test]
    fn what_is_put_in_comes_out(
        entries in entries(),
        probes in prop::collection::vec(prop::collection::vec(0..7u8, 0..7), 1..20),
    ) {
        let disk = memory();
        let written = write(&disk, PATH, &entries).unwrap();
        let opened = Arc::new(Run::open(&disk, Path::new(PATH)).unwrap());
        for run in [written, opened] {
            prop_assert_eq!(&collect(run.scan(&[], None)).unwrap(), &entries);
            prop_assert_eq!(run.entries(), entries.len() as u64);
            prop_assert_eq!(run.bytes(), disk.open(Path::new(PATH)).unwrap().length().unwrap());
            run.verify().unwrap();
            for key in entries.keys().chain(&probes) {
                let expected = entries.get(key).map(|(value, _)| value.clone());
                prop_assert_eq!(run.get(hash_of(key), key).unwrap(), expected);
            }
            for pair in probes.windows(2) {
                let (lower, upper) = (&pair[0], &pair[1]);
                let expected: Entries = entries
                    .iter()
                    .filter(|(key, _)| *key >= lower && *key < upper)
                    .map(|(key, entry)| (key.clone(), entry.clone()))
                    .collect();
                prop_assert_eq!(collect(run.scan(lower, Some(upper))).unwrap(), expected);
                let expected: Entries =
                    entries.range(lower.clone()..).map(|(k, entry)| (k.clone(), entry.clone())).collect();
                prop_assert_eq!(collect(run.scan(lower, None)).unwrap(), expected);
            }
        }
    }

    #[test]
    fn of_equal_keys_the_newest_counts(parts in prop::collection::vec(entries(), 0..5)) {
        let disk = memory();
        let mut sources: Vec<Box<dyn SortedSource + Send>> = Vec::new();
        let mut expected = Entries::new();
        for (number, entries) in parts.iter().enumerate() {
            let run = write(&disk, &format!("runs/{number}.run"), entries).unwrap();
            sources.insert(0, Box::new(run.scan(&[], None)));
            expected.extend(entries.clone());
        }
        let mut merge = Merge::new(sources);
        let mut merged = Entries::new();
        while let Some(entry) = merge.next().unwrap() {
            merged.insert(entry.key.to_vec(), (entry.value.map(<[u8]>::to_vec), entry.expires));
        }
        prop_assert_eq!(merged, expected);
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
fn every_damaged_byte_is_noticed() {
    let entries = sample();
    let shared = memory();
    write(&shared, PATH, &entries).unwrap();
    let file = shared.open(Path::new(PATH)).unwrap();
    let mut bytes = vec![0; file.length().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let read = |bytes: &[u8]| -> Result<Entries, StateError> {
        let disk = memory();
        let file = disk.create(Path::new(PATH), 0).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        let run = Arc::new(Run::open(&disk, Path::new(PATH))?);
        for key in entries.keys() {
            // A wrong answer is worse than none.
            if let Ok(found) = run.get(hash_of(key), key) {
                assert_eq!(found, entries.get(key).map(|(value, _)| value.clone()));
            }
        }
        collect(run.scan(&[], None))
    };
    assert_eq!(read(&bytes).unwrap(), entries);
    for position in 0..bytes.len() {
        let mut mutated = bytes.clone();
        mutated[position] ^= 1 << (position % 8);
        let error = read(&mutated).expect_err("damage is noticed");
        assert!(matches!(error.kind(), base::ErrorKind::Corrupt | base::ErrorKind::Invalid), "{error}");
        assert!(read(&bytes[..position]).is_err(), "cut off at {position}");
    }
}

#[test]
fn a_full_disk_is_an_error_and_leaves_no_file() {
    let disk = simulated();
    let shared: Arc<dyn Disk> = disk.clone();
    disk.limit_bytes(Some(500));
    let error = write(&shared, PATH, &sample()).unwrap_err();
    assert_eq!(error.kind(), base::ErrorKind::Unavailable);
    assert!(error.to_string().contains(PATH), "{error}");
    assert!(!shared.exists(Path::new(PATH)).unwrap());
}

#[test]
fn keys_that_do_not_ascend_are_refused() {
    let disk = memory();
    let mut writer = RunWriter::create(&disk, Path::new(PATH), &RunOptions::default()).unwrap();
    writer.add(1, b"b", None, i64::MAX).unwrap();
    assert!(writer.add(1, b"b", None, i64::MAX).is_err());
    assert!(writer.add(1, b"a", None, i64::MAX).is_err());
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
    assert!(share < 0.03, "{share} of all strangers pass");
    assert!((0..20_000u32).all(|number| run.may_contain(crate::hash(&number.to_be_bytes()))));
}
