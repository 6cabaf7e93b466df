//! No damaged byte goes unnoticed, and no bytes make a reader panic.

use super::{Entries, PATH, collect, hash_of, memory, sample, write};
use crate::error::StateError;
use crate::run::format::{FOOTER_BYTES, Footer, VERSION};
use crate::run::index::Index;
use crate::run::{Run, SortedSource};
use proptest::prelude::*;
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// The bytes of a run with several blocks, some with several restart points.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let disk = memory();
    super::write_blocks(&disk, Path::new(PATH), &sample(), 600).unwrap();
    let file = disk.open(Path::new(PATH)).unwrap();
    let mut bytes = vec![0; file.length().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
});

fn open(bytes: &[u8]) -> Result<Arc<Run>, StateError> {
    let disk = memory();
    let file = disk.create(Path::new(PATH), 0).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    Run::open(&disk, Path::new(PATH)).map(Arc::new)
}

fn footer(bytes: &[u8]) -> Footer {
    Footer::decode(bytes.last_chunk().unwrap(), bytes.len() as u64).unwrap()
}

/// Asks every question; answers may be wrong or errors, but something must come back.
fn ask(run: &Arc<Run>) {
    for key in sample().keys() {
        let _ = run.get(hash_of(key), key);
        let mut scan = run.scan(key, None);
        while let Ok(true) = scan.advance() {
            assert!(scan.key().len() < BYTES.len());
        }
    }
    let _ = run.verify();
}

#[test]
fn every_damaged_byte_is_noticed() {
    let entries = sample();
    let read = |bytes: &[u8]| -> Result<Entries, StateError> {
        let run = open(bytes)?;
        for key in entries.keys() {
            // A wrong answer is worse than none.
            if let Ok(found) = run.get(hash_of(key), key) {
                assert_eq!(found, entries.get(key).map(|(value, _)| value.clone()));
            }
        }
        let verified = run.verify();
        let collected = collect(run.scan(&[], None));
        assert_eq!(verified.is_ok(), collected.is_ok());
        collected
    };
    assert!(footer(&BYTES).blocks > 3);
    assert_eq!(read(&BYTES).unwrap(), entries);
    for position in 0..BYTES.len() {
        for mask in [1 << (position % 8), 0xff] {
            let mut mutated = BYTES.clone();
            mutated[position] ^= mask;
            let error = read(&mutated).expect_err("damage is noticed");
            assert!(
                matches!(error, StateError::Damaged { .. } | StateError::Version { .. }),
                "position={position}: {error}"
            );
        }
        assert!(open(&BYTES[..position]).is_err(), "cut off at {position}");
        assert!(open(&BYTES[position + 1..]).is_err(), "begins at {position}");
    }
    assert!(open(&[&BYTES[..], &[0]].concat()).is_err());
}

#[test]
fn damage_names_the_file_and_the_position() {
    let mut bytes = BYTES.clone();
    let index = {
        let footer = footer(&bytes);
        let start = footer.index_position() as usize;
        let end = footer.filter_position() as usize;
        Index::decode(&bytes[start..end], footer.blocks, footer.data_bytes).unwrap()
    };
    let block = index.range(2);
    bytes[block.start as usize + 5] ^= 4;
    let error = open(&bytes).unwrap().verify().unwrap_err().to_string();
    let start = block.start;
    assert!(error.contains(&format!("file=`{PATH}` position=`{start}`")), "{error}");
}

#[test]
fn a_block_of_another_place_is_not_taken_for_the_right_one() {
    let disk = memory();
    // Blocks of the same length, and runs that differ in their values alone.
    let entries = |value: u8| -> Entries {
        (0..100u32).map(|key| (key.to_be_bytes().to_vec(), (Some(vec![value; 9]), i64::MAX))).collect()
    };
    write(&disk, "runs/1.run", &entries(1)).unwrap();
    write(&disk, "runs/2.run", &entries(2)).unwrap();
    let (one, other) = (disk.open(Path::new("runs/1.run")), disk.open(Path::new("runs/2.run")));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.length().unwrap(), other.length().unwrap());
    let run = Run::open(&disk, Path::new("runs/1.run")).unwrap();
    run.verify().unwrap();
    let block = run.index().range(1);
    let mut bytes = vec![0; (block.end - block.start) as usize];
    other.read_exact_at(&mut bytes, block.start).unwrap();
    one.write_all_at(&bytes, block.start).unwrap();
    assert!(run.verify().is_err());
}

#[test]
fn a_newer_version_is_refused_as_such() {
    let mut bytes = BYTES.clone();
    // The version stands before the footer's checksum and the magic.
    let version = bytes.len() - 8 - 4 - 4;
    assert_eq!(bytes[version..version + 4], VERSION.to_le_bytes());
    bytes[version..version + 4].copy_from_slice(&9u32.to_le_bytes());
    assert_eq!(open(&bytes).unwrap_err(), StateError::Version { found: 9, known: VERSION });
}

/// Makes the checksums fit whatever the data are now.
fn with_right_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut footer = footer(&bytes);
    let (start, end) = (footer.index_position() as usize, footer.filter_position() as usize);
    let old = Index::decode(&bytes[start..end], footer.blocks, footer.data_bytes).unwrap();
    let mut index = Index::default();
    index.first_key.clone_from(&old.first_key);
    index.last_key.clone_from(&old.last_key);
    for block in 0..old.len() {
        let range = old.range(block);
        let checksum = crc32c::crc32c(&bytes[range.start as usize..range.end as usize]);
        index.push(old.separator_of(block), range.end - range.start, checksum).unwrap();
    }
    let index = index.encode();
    bytes[start..end].copy_from_slice(&index);
    footer.index_checksum = crc32c::crc32c(&index);
    with_footer(bytes, &footer)
}

fn with_footer(mut bytes: Vec<u8>, footer: &Footer) -> Vec<u8> {
    let start = bytes.len() - FOOTER_BYTES;
    bytes[start..].copy_from_slice(&footer.encode());
    bytes
}

fn any_length() -> impl Strategy<Value = u64> {
    prop_oneof![0..5000u64, any::<u64>(), Just(u64::MAX), Just(1 << 63)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn blocks_that_no_writer_writes_never_make_a_reader_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = BYTES.clone();
        let data_bytes = footer(&bytes).data_bytes as usize;
        for (place, byte) in changes {
            bytes[place.index(data_bytes)] = byte;
        }
        ask(&open(&with_right_checksums(bytes)).unwrap());
    }

    #[test]
    fn an_index_that_no_writer_writes_never_makes_a_reader_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = BYTES.clone();
        let mut footer = footer(&bytes);
        let (start, end) = (footer.index_position() as usize, footer.filter_position() as usize);
        for (place, byte) in changes {
            bytes[start + place.index(end - start)] = byte;
        }
        footer.index_checksum = crc32c::crc32c(&bytes[start..end]);
        if let Ok(run) = open(&with_footer(bytes, &footer)) {
            ask(&run);
        }
    }

    #[test]
    fn lengths_are_checked_before_anything_is_allocated(
        lengths in prop::collection::vec(prop::option::of(any_length()), 6),
    ) {
        let mut footer = footer(&BYTES);
        let fields = [
            &mut footer.entries,
            &mut footer.hashes,
            &mut footer.blocks,
            &mut footer.data_bytes,
            &mut footer.index_bytes,
            &mut footer.filter_bytes,
        ];
        for (field, length) in fields.into_iter().zip(lengths) {
            *field = length.unwrap_or(*field);
        }
        if let Ok(run) = open(&with_footer(BYTES.clone(), &footer)) {
            ask(&run);
        }
    }

    #[test]
    fn any_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(open(&bytes).is_err());
    }
}
