//! What keyed state leaves on disk: sorted runs and the manifests of snapshots.

use os::Disk;
use os::sim::SimDisk;
use state::Manifest;
use state::run::{Run, RunOptions, RunWriter, SortedSource};
use std::path::Path;
use std::sync::Arc;

const DIRECTORY: &str = "/state";
const PATH: &str = "/state/run";
const MANIFEST: u8 = 0;

/// A manifest without its checksum, which is put right, or a file with a run.
pub fn read(data: &[u8]) {
    let Some((kind, rest)) = crate::choice(data) else { return };
    if kind == MANIFEST {
        let _ = Manifest::decode(rest);
        let summed = [rest, &crc32c::crc32c(rest).to_le_bytes()].concat();
        if let Ok(manifest) = Manifest::decode(&summed) {
            let again = Manifest::decode(&manifest.encode()).expect("what was written can be read");
            assert_eq!(manifest, again);
        }
        return;
    }
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let path = Path::new(PATH);
    disk.create_dir_all(Path::new(DIRECTORY)).expect("a folder");
    let file = disk.create(path, 0).expect("a new file");
    file.write_all_at(rest, 0).expect("a write");
    let Ok(run) = Run::open(&disk, path) else { return };
    let run = Arc::new(run);
    let _ = run.verify();
    let _ = run.get(7, b"key 3");
    let mut scan = run.scan(b"", None);
    // An entry takes a byte at least.
    for _ in 0..=rest.len() {
        if !matches!(scan.advance(), Ok(true)) {
            return;
        }
    }
    panic!("a run of {} bytes has more entries than bytes", rest.len());
}

pub fn seeds() -> Vec<Vec<u8>> {
    let disk = Arc::new(SimDisk::new());
    let shared: Arc<dyn Disk> = disk.clone();
    let path = Path::new(PATH);
    disk.create_dir_all(Path::new(DIRECTORY)).expect("a folder");
    let mut writer = RunWriter::create(&shared, path, &RunOptions { block_bytes: 128 }).expect("a new run");
    for number in 0..20 {
        let value = (number % 5 != 0).then_some(&b"some value"[..]);
        writer.add(number, format!("key {number:02}").as_bytes(), value, i64::MAX).expect("an entry");
    }
    writer.finish().expect("a run");
    let run = disk.contents(path).expect("the run's file");
    let mut manifest = Manifest::default();
    manifest.fingerprint = 7;
    let manifest = manifest.encode();
    // Its last four bytes are the checksum.
    let manifest = &manifest[..manifest.len().saturating_sub(4)];
    vec![[&[1], &run[..]].concat(), [&[MANIFEST], manifest].concat()]
}
