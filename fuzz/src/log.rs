//! The log on a damaged disk: it opens or says why not, and reads or says what is damaged.

use base::{Offset, PartitionId};
use eventlog::{Committer, EventLog, Layer, LogError, LogOptions, Recovery};
use kafka_wire::records::{BatchBuilder, Compression};
use os::sim::{SimDisk, SimOs};
use os::{Disk, Os};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub const DIRECTORY: &str = "/data";
const PARTITIONS: u32 = 2;
const FRAMES: i64 = 8;
/// Edits, as opposed to a whole file.
const EDITS: u8 = 0;
/// Besides the kind: what was changed has the right checksums.
const MENDED: u8 = 0x80;
const EDIT_BYTES: usize = 4;

/// Of an empty log, on a disk in memory, which is made again and again.
pub fn small_log(committer: Committer) -> LogOptions {
    let mut options = LogOptions::new(DIRECTORY);
    options.committer = committer;
    options.file_bytes = 1 << 20;
    options.first_file_bytes = 16 << 10;
    options.retention_check_ms = 0;
    options
}

fn options() -> LogOptions {
    let mut options = small_log(Committer::Manual);
    options.file_bytes = 8 << 10;
    options.first_file_bytes = 2 << 10;
    options.index_cache_bytes = 4 << 10;
    options.open_files_max = 3;
    options
}

/// A disk with a log of two partitions and of an upper layer, in several files.
fn sound() -> &'static SimDisk {
    static SOUND: OnceLock<Arc<SimDisk>> = OnceLock::new();
    SOUND.get_or_init(|| {
        let sim = SimOs::new(1);
        let log =
            Recovery::open(&sim.os(), options()).expect("an empty disk").start(Vec::new()).expect("a log");
        log.append::<_, LogError>(|frame| frame.create_topic("t", PARTITIONS, BTreeMap::new()))
            .expect("a topic");
        for number in 0..FRAMES {
            let mut batch = BatchBuilder::new(Compression::None);
            batch.append(number, Some(b"key"), Some(&[b'v'; 90]), &[]).expect("a small record");
            let batch = batch.build().expect("a small batch");
            log.append::<_, LogError>(|frame| {
                for partition in 0..PARTITIONS {
                    frame.batch(PartitionId(partition), 1, number, &batch)?;
                }
                frame.layer(Layer::STEPS, &number.to_le_bytes())
            })
            .expect("a frame");
            log.commit_pending().expect("a commit");
        }
        drop(log);
        sim.disk
    })
}

fn files(disk: &SimDisk) -> Vec<PathBuf> {
    let names = disk.list(Path::new(DIRECTORY)).unwrap_or_default();
    names.iter().filter(|name| name.ends_with(".log")).map(|name| Path::new(DIRECTORY).join(name)).collect()
}

/// Edits of the sound log (file, position, mask; a mask of zero cuts the file there), or a whole file in place of one.
/// Checksums keep most changes from all that lies behind them, so they may be put right.
pub fn recover(data: &[u8]) {
    let Some((choice, rest)) = crate::choice(data) else { return };
    let (kind, is_mended) = (choice & !MENDED, choice & MENDED != 0);
    let disk = sound().fork();
    let files = files(&disk);
    if kind == EDITS {
        for edit in rest.chunks_exact(EDIT_BYTES) {
            let path = &files[usize::from(edit[0]) % files.len()];
            let position = u64::from(u16::from_le_bytes([edit[1], edit[2]]));
            if edit[3] == 0 {
                let file = disk.open(path).expect("a file of the log");
                file.set_length(position).expect("a cut");
            } else {
                // Behind the end there is nothing to flip.
                let _ = disk.flip(path, position, edit[3]);
            }
        }
    } else {
        let file = disk.open(&files[usize::from(kind) % files.len()]).expect("a file of the log");
        file.set_length(0).expect("a cut");
        file.write_all_at(rest, 0).expect("a write");
    }
    if is_mended {
        for path in &files {
            let mut bytes = disk.contents(path).expect("a file of the log");
            eventlog::mend_checksums(&mut bytes);
            let file = disk.open(path).expect("a file of the log");
            file.write_all_at(&bytes, 0).expect("a write");
        }
    }
    let os = Os { disk: Arc::new(disk), ..SimOs::new(1).os() };
    let Ok(log) = open(&os) else { return };
    for partition in 0..PARTITIONS {
        for offset in 0..=FRAMES {
            let Ok(slices) = log.read(PartitionId(partition), Offset(offset), 1) else { continue };
            for slice in slices {
                let mut bytes = Vec::new();
                let _ = slice.read(&mut bytes);
            }
        }
    }
}

fn open(os: &Os) -> Result<EventLog, LogError> {
    let mut recovery = Recovery::open(os, options())?;
    recovery.replay(&mut |_, _| Ok(()))?;
    recovery.start(Vec::new())
}

pub fn seeds() -> Vec<Vec<u8>> {
    let disk = sound();
    let mut seeds = vec![vec![EDITS], vec![EDITS, 0, 0, 1, 0], vec![EDITS, 1, 40, 0, 255, 0, 9, 0, 1]];
    for (index, path) in files(disk).iter().enumerate() {
        let mut seed = vec![index as u8 + 1];
        seed.extend(disk.contents(path).expect("a file of the log"));
        seeds.push(seed);
    }
    let mended: Vec<Vec<u8>> = seeds.iter().map(|seed| [&[seed[0] | MENDED], &seed[1..]].concat()).collect();
    seeds.extend(mended);
    seeds
}
