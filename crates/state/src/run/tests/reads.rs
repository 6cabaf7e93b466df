//! How much is read for a question.

use super::{PATH, memory};
use crate::run::{Run, RunOptions, RunWriter, SortedSource};
use os::{Disk, DiskFile, Lock};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

type Reads = Arc<Mutex<Vec<usize>>>;

/// A disk that notes how long each read is.
struct Noting {
    disk: Arc<dyn Disk>,
    reads: Reads,
}

#[derive(Debug)]
struct NotingFile {
    file: Arc<dyn DiskFile>,
    reads: Reads,
}

impl Noting {
    fn noting(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(NotingFile { file, reads: self.reads.clone() })
    }
}

impl Disk for Noting {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.noting(self.disk.open(path)?))
    }

    fn create(&self, path: &Path, length: u64) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.noting(self.disk.create(path, length)?))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.disk.list(directory)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.disk.sync_directory(directory)
    }

    fn create_dir(&self, directory: &Path) -> io::Result<()> {
        self.disk.create_dir(directory)
    }

    fn remove_dir(&self, directory: &Path) -> io::Result<()> {
        self.disk.remove_dir(directory)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Lock> {
        self.disk.try_lock(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_bytes(path)
    }
}

impl DiskFile for NotingFile {
    fn read_at(&self, out: &mut [u8], position: u64) -> io::Result<usize> {
        self.reads.lock().unwrap().push(out.len());
        self.file.read_at(out, position)
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, position)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_length(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.file.allocate(length)
    }
}

fn key(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

/// A run of two megabytes, and the reads that are made from now on.
fn run() -> (Arc<Run>, Reads) {
    let reads = Reads::default();
    let disk: Arc<dyn Disk> = Arc::new(Noting { disk: memory(), reads: reads.clone() });
    let mut writer = RunWriter::create(&disk, Path::new(PATH), &RunOptions::default()).unwrap();
    for number in 0..20_000 {
        writer.add(crate::hash(&key(number)), &key(number), Some(&[7; 90]), i64::MAX).unwrap();
    }
    let run = writer.finish().unwrap();
    assert!(run.bytes() > 2_000_000);
    assert!(reads.lock().unwrap().is_empty(), "a writer has no need to read");
    (run, reads)
}

fn taken(reads: &Reads) -> Vec<usize> {
    std::mem::take(&mut reads.lock().unwrap())
}

#[test]
fn a_point_read_reads_one_block_and_strangers_none() {
    let (run, reads) = run();
    for number in [0, 7777, 19_999] {
        assert!(run.get(crate::hash(&key(number)), &key(number)).unwrap().is_some());
        let read = taken(&reads);
        assert!(read.len() == 1 && read[0] <= 8192, "{read:?}");
    }
    let strangers = 20_000..21_000;
    assert!(
        strangers
            .clone()
            .all(|number| { run.get(crate::hash(&key(number)), &key(number)).unwrap().is_none() })
    );
    // Greater than the greatest key: not even those that the filter takes for known.
    assert_eq!(taken(&reads), Vec::<usize>::new());
}

#[test]
fn a_long_scan_reads_ahead_and_a_short_one_does_not() {
    let (run, reads) = run();
    let mut scan = run.scan(&[], None);
    while scan.advance().unwrap() {}
    let long = taken(&reads);
    assert!(long[0] <= 8192 && long.len() < 14, "{long:?}");
    assert!(long.iter().all(|read| *read <= 256 * 1024), "{long:?}");
    let middle = 100 * 1024..=256 * 1024;
    assert!(long[3..long.len() - 1].iter().all(|read| middle.contains(read)), "{long:?}");

    let mut scan = run.scan(&key(9000), Some(&key(9005)));
    let mut count = 0;
    while scan.advance().unwrap() {
        count += 1;
    }
    let short = taken(&reads);
    assert_eq!(count, 5);
    assert!(short.len() <= 2 && short.iter().sum::<usize>() <= 2 * 8192, "{short:?}");

    // No more than the range, and nothing for one that is empty.
    let mut scan = run.scan(&key(5000), Some(&key(6000)));
    while scan.advance().unwrap() {}
    let range: usize = taken(&reads).iter().sum();
    assert!(range < 1000 * 110 + 2 * 8192, "{range}");
    for (lower, upper) in [(key(20_000), None), (key(9), Some([0; 4])), (key(30_000), Some(key(40_000)))] {
        let upper = upper.as_ref().map(|upper| &upper[..]);
        assert!(!run.scan(&lower, upper).advance().unwrap());
    }
    assert_eq!(taken(&reads), Vec::<usize>::new());
}
