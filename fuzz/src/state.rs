//! What keyed state leaves on disk: sorted runs, the manifests of snapshots, the descriptions of savepoints.

use base::codec::FieldWriter;
use os::Disk;
use os::sim::{SimDisk, SimOs};
use runtime::Savepoint;
use state::Manifest;
use state::run::{Run, RunOptions, RunWriter, SortedSource};
use std::path::Path;
use std::sync::Arc;

const DIRECTORY: &str = "/state";
const PATH: &str = "/state/run";
const MANIFEST: u8 = 0;
const SAVEPOINT: u8 = 2;

/// A manifest or a description without its checksum, which is put right, or a file with a run.
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
    if kind == SAVEPOINT {
        return savepoint(rest);
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

fn savepoint(description: &[u8]) {
    let sim = SimOs::new(1);
    let folder = Path::new(DIRECTORY);
    sim.disk.create_dir_all(folder).expect("a folder");
    let file = sim.disk.create(&folder.join("savepoint"), 0).expect("a new file");
    let summed = [description, &crc32c::crc32c(description).to_le_bytes()].concat();
    file.write_all_at(&summed, 0).expect("a write");
    if let Ok(savepoint) = Savepoint::open(&sim.os(), folder) {
        assert!(savepoint.info.id() > 0);
    }
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
    let mut savepoint = FieldWriter::new();
    savepoint.text("eventwright savepoint 1").text("job").u32(3).u64(1).u64(2).u64(3).i64(4).u32(0).u32(0);
    (0..9).for_each(|_| _ = savepoint.u64(0));
    vec![
        [&[1], &run[..]].concat(),
        [&[MANIFEST], manifest].concat(),
        [&[SAVEPOINT], &savepoint.finish()[..]].concat(),
    ]
}
