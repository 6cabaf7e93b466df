//! Disks that are full, fail or lose power.

use super::{Entries, PATH, collect, sample, simulated, write};
use crate::error::StateError;
use crate::run::{Merge, Run, RunOptions, RunWriter, SortedSource};
use base::ErrorKind;
use os::Disk;
use os::disk::sim::SyncFault;
use std::path::Path;
use std::sync::Arc;

#[test]
fn a_full_disk_is_an_error_and_leaves_no_file() {
    let disk = simulated();
    let shared: Arc<dyn Disk> = disk.clone();
    disk.limit_bytes(Some(500));
    let error = write(&shared, PATH, &sample()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(PATH), "{error}");
    assert!(!shared.exists(Path::new(PATH)).unwrap());
    disk.limit_bytes(None);
    write(&shared, PATH, &sample()).unwrap().verify().unwrap();
}

/// Adds entries until one fails.
fn fill(writer: &mut RunWriter) -> StateError {
    let add = |number: u32| writer.add(1, &number.to_be_bytes(), Some(&[7; 1000]), i64::MAX).err();
    (0..10_000).find_map(add).expect("it fails before so many entries are added")
}

#[test]
fn a_disk_that_fills_up_while_a_run_is_written_stays_an_error() {
    let disk = simulated();
    let shared: Arc<dyn Disk> = disk.clone();
    disk.limit_bytes(Some(2_000_000));
    let mut writer = RunWriter::create(&shared, Path::new(PATH), &RunOptions::default()).unwrap();
    let error = fill(&mut writer);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    // Nobody knows what reached the file, so more space does not help this one.
    disk.limit_bytes(None);
    assert_eq!(writer.add(1, &[0xff; 8], None, 0).unwrap_err(), error);
    assert_eq!(writer.finish().unwrap_err(), error);
    assert_eq!(disk.used_bytes(), 0);
}

#[test]
fn failed_writes_and_syncs_are_errors_and_leave_no_file() {
    let disk = simulated();
    let shared: Arc<dyn Disk> = disk.clone();
    disk.fail_write(1);
    let error = write(&shared, PATH, &sample()).unwrap_err();
    assert!(matches!(error, StateError::Io { .. }), "{error}");
    for fault in [SyncFault::DropsWrites, SyncFault::KeepsWrites] {
        disk.fail_sync(1, fault);
        let error = write(&shared, PATH, &sample()).unwrap_err();
        assert!(matches!(error, StateError::Io { .. }), "{error}");
        assert!(!shared.exists(Path::new(PATH)).unwrap());
    }
}

#[test]
fn a_writer_that_is_dropped_takes_its_file_along_and_no_other() {
    let disk = simulated();
    let shared: Arc<dyn Disk> = disk.clone();
    let mut writer = RunWriter::create(&shared, Path::new(PATH), &RunOptions::default()).unwrap();
    writer.add(1, b"key", Some(b"value"), i64::MAX).unwrap();
    assert!(shared.exists(Path::new(PATH)).unwrap());
    drop(writer);
    assert!(!shared.exists(Path::new(PATH)).unwrap());

    let run = write(&shared, PATH, &sample()).unwrap();
    assert!(RunWriter::create(&shared, Path::new(PATH), &RunOptions::default()).is_err());
    run.verify().unwrap();
}

#[test]
fn a_finished_run_survives_a_power_cut() {
    for seed in 0..200 {
        let disk = simulated();
        let shared: Arc<dyn Disk> = disk.clone();
        write(&shared, PATH, &sample()).unwrap();
        disk.sync_directory(Path::new("runs")).unwrap();
        disk.power_cut(seed);
        let run = Arc::new(Run::open(&shared, Path::new(PATH)).unwrap());
        run.verify().unwrap();
        assert_eq!(collect(run.scan(&[], None)).unwrap(), sample());
    }
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let shared: Arc<dyn Disk> = simulated();
    let error = Run::open(&shared, Path::new(PATH)).unwrap_err();
    assert!(matches!(error, StateError::Io { .. }) && error.to_string().contains(PATH), "{error}");
}

#[test]
fn a_merge_that_failed_goes_on_failing() {
    let disk = simulated();
    let shared: Arc<dyn Disk> = disk.clone();
    let run = write(&shared, PATH, &sample()).unwrap();
    let other = write(&shared, "runs/other.run", &Entries::new()).unwrap();
    // The last block is damaged.
    let position = run.index().data_bytes() - 1;
    disk.flip(Path::new(PATH), position, 1).unwrap();
    let sources: Vec<Box<dyn SortedSource + Send>> =
        vec![Box::new(other.scan(&[], None)), Box::new(run.scan(&[], None))];
    let mut merge = Merge::new(sources);
    let mut count = 0;
    let error = loop {
        match merge.next() {
            Ok(Some(_)) => count += 1,
            Ok(None) => panic!("damage looked like the end"),
            Err(error) => break error,
        }
    };
    assert!(count > 0 && count < sample().len());
    assert_eq!(merge.next().unwrap_err(), error);
    let mut scan = run.scan(sample().keys().next_back().unwrap(), None);
    assert!(scan.advance().is_err() && scan.advance().is_err());
}
