//! A list that grows past what it keeps for itself.

use crate::snapshot::{Manifest, SnapshotParts};
use crate::{AppendLog, StateError, Store, StoreOptions, Table, TableId};
use os::Disk;
use os::disk::sim::SimDisk;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const TABLE: TableId = TableId { owner: 1, table: 0 };
const ITEM_BYTES: usize = 1000;
const ITEMS: u32 = 60_000;
/// Of 60 MB.
const MEMORY_BYTES_MAX: usize = 24 << 20;

fn item(number: u32) -> Vec<u8> {
    let mut item = vec![number as u8; ITEM_BYTES];
    item[..4].copy_from_slice(&number.to_be_bytes());
    item
}

#[test]
fn items_leave_memory_and_come_back_in_order() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let options = StoreOptions { background: false, ..StoreOptions::default() };
    let open = |manifest: Option<&Manifest>| {
        Store::open(&disk, Path::new("state"), options.clone(), manifest).unwrap()
    };
    let store = open(None);
    let restored = |store: &Store| {
        let mut items = Vec::new();
        let list = AppendLog::new(store, TABLE, |piece| {
            items.extend_from_slice(piece);
            Ok::<_, StateError>(())
        });
        (list.unwrap(), items)
    };
    let (mut list, items) = restored(&store);
    assert!(items.is_empty());
    for number in 0..ITEMS {
        list.append(&item(number)).unwrap();
        if number % 1000 == 0 {
            list.layers_mut().settle().unwrap();
        }
        assert!(list.memory_bytes() < MEMORY_BYTES_MAX, "{} bytes behind {number}", list.memory_bytes());
    }
    assert!(list.layers().disk_entries() > u64::from(ITEMS / 2));
    let mut snapshot = SnapshotParts::new(1);
    snapshot.table(&mut list).unwrap();
    let snapshot = snapshot.write(&store, PathBuf::from("state/1.snapshot")).take().unwrap().unwrap();
    snapshot.keep();
    let manifest = Manifest::decode(&snapshot.manifest.encode()).unwrap();
    drop((list, store, snapshot));
    let (_, items) = restored(&open(Some(&manifest)));
    assert_eq!(items.len(), ITEMS as usize);
    assert!((0..ITEMS).zip(&items).all(|(number, found)| *found == item(number)));
}
