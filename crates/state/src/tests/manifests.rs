//! Manifests keep what they are given, and notice damage.

use crate::snapshot::{Manifest, SnapshotParts, UNKEYED};
use crate::{Key, KeyedMap, StateError, Store, Table, TableId};

const TABLE: TableId = TableId { owner: 2, table: 0 };

fn manifest() -> Manifest {
    let store = Store::volatile(usize::MAX);
    let mut map = KeyedMap::new(&store, TABLE, 0..128, None).unwrap();
    map.put(Key::new(b"key"), b"sub", b"value", 0).unwrap();
    let mut parts = SnapshotParts::new(99);
    parts.section(2, 7, b"seven".to_vec());
    parts.section(1, UNKEYED, Vec::new());
    parts.table(&mut map).unwrap();
    parts.write(&store, "state/one.snapshot".into()).take().unwrap().unwrap().manifest
}

#[test]
fn what_is_put_in_comes_out() {
    let manifest = manifest();
    let back = Manifest::decode(&manifest.encode()).unwrap();
    assert_eq!(back, manifest);
    assert_eq!((back.fingerprint, back.numbers().len()), (99, 1));
    assert_eq!(back.section(2, 7), Some(&b"seven"[..]));
    assert_eq!(back.unkeyed(1), Some(&b""[..]));
    assert_eq!(back.section(9, 9), None);
}

#[test]
fn damage_is_noticed_and_never_panics() {
    let bytes = manifest().encode();
    for position in 0..bytes.len() {
        assert!(Manifest::decode(&bytes[..position]).is_err());
        for mask in [0x01, 0x10, 0x80, 0xff] {
            let mut mutated = bytes.clone();
            mutated[position] ^= mask;
            assert!(Manifest::decode(&mutated).is_err(), "byte {position}");
            // With a checksum that fits, every field must look after itself.
            let _ = Manifest::decode(&with_checksum(mutated));
        }
    }
    let mut newer = bytes;
    newer[8] = 6;
    let error = Manifest::decode(&with_checksum(newer)).unwrap_err();
    assert_eq!(error, StateError::Version { found: 6, known: 5 });
}

#[test]
fn older_formats_are_still_read() {
    let manifest = manifest();
    for format in [2, 3, 4] {
        let mut older = manifest.encode();
        older[8] = format;
        assert_eq!(Manifest::decode(&with_checksum(older)).unwrap(), manifest);
    }
}

#[test]
fn a_table_lies_under_the_tag_of_its_owner() {
    let store = Store::volatile(usize::MAX);
    let mut map = KeyedMap::new(&store.tagged(&[7, 8, 9]), TABLE, 0..128, None).unwrap();
    map.put(Key::new(b"key"), b"", b"value", 0).unwrap();
    let mut parts = SnapshotParts::new(99);
    parts.table(&mut map).unwrap();
    let manifest = parts.write(&store, "state/one.snapshot".into()).take().unwrap().unwrap().manifest;
    let owners = |manifest: &Manifest| manifest.tables.iter().map(|table| table.id.owner).collect::<Vec<_>>();
    assert_eq!(owners(&manifest), [9]);
}

fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 4;
    let checksum = crc32c::crc32c(&bytes[..end]).to_le_bytes();
    bytes[end..].copy_from_slice(&checksum);
    bytes
}

#[test]
fn a_table_that_is_empty_writes_no_run() {
    let store = Store::volatile(usize::MAX);
    let mut map = KeyedMap::new(&store, TABLE, 0..128, None).unwrap();
    map.put(Key::new(b"key"), b"", b"value", 0).unwrap();
    map.remove(Key::new(b"key"), b"").unwrap();
    map.freeze().unwrap();
    assert_eq!(store.written_bytes(), 0);
}
