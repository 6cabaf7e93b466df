//! Tables against models in memory, while they are frozen, shrunk, restored and dealt out anew.

use crate::snapshot::{Manifest, Snapshot, SnapshotParts};
use crate::{
    Columns, Key, KeyedColumns, KeyedMap, KeyedWindows, StateError, Store, StoreOptions, Table, TableId,
    groups_of_worker, key_group, worker_of_hash,
};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array};
use arrow_schema::DataType;
use os::Disk;
use os::disk::sim::SimDisk;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const TABLE: TableId = TableId { owner: 3, table: 1 };

/// The parts of a table on a disk in memory.
struct Parts<T> {
    disk: Arc<dyn Disk>,
    background: bool,
    store: Store,
    parts: Vec<T>,
    saved: Option<Snapshot>,
    make: fn(&Store, std::ops::Range<usize>) -> T,
}

impl<T: Table> Parts<T> {
    fn new(background: bool, make: fn(&Store, std::ops::Range<usize>) -> T) -> Parts<T> {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let store = open(&disk, background, None);
        let parts = vec![make(&store, 0..128)];
        Parts { disk, background, store, parts, saved: None, make }
    }

    fn part(&mut self, key: Key<'_>) -> &mut T {
        let workers = self.parts.len();
        &mut self.parts[worker_of_hash(key.hash, workers)]
    }

    fn settle(&mut self) {
        self.parts.iter_mut().for_each(|part| part.layers_mut().settle().unwrap());
    }

    fn shrink(&mut self, target_bytes: usize) {
        self.parts.iter_mut().for_each(|part| part.shrink(target_bytes).unwrap());
        self.settle();
    }

    /// Ends the process, as it were, and begins with another number of workers.
    fn restore(&mut self, workers: usize) {
        let mut snapshot = SnapshotParts::new(1);
        self.parts.iter_mut().for_each(|part| snapshot.table(part).unwrap());
        let before = {
            self.store.wait_idle();
            snapshot.digest().unwrap()
        };
        let pending = snapshot.write(&self.store, "state/now.snapshot".into());
        self.store.wait_idle();
        let snapshot = pending.take().unwrap().unwrap();
        snapshot.keep();
        if let Some(old) = self.saved.take() {
            old.release(Some(&snapshot));
        }
        let manifest = Manifest::decode(&snapshot.manifest.encode()).unwrap();
        self.parts.clear();
        drop(snapshot);
        self.store = open(&self.disk, self.background, Some(&manifest));
        let part = |worker| (self.make)(&self.store, groups_of_worker(worker, workers));
        self.parts = (0..workers).map(part).collect();
        self.saved = Some(Snapshot::opened(&self.store, manifest));
        self.store.restore_done();
        let mut snapshot = SnapshotParts::new(1);
        self.parts.iter_mut().for_each(|part| snapshot.table(part).unwrap());
        assert_eq!(snapshot.digest().unwrap(), before, "the restored state is the same");
    }

    /// Nothing lies on the disk but what is named.
    fn check_files(&mut self) {
        self.restore(1);
        self.restore(1);
        let names = self.disk.list(Path::new("state")).unwrap();
        let runs = names.iter().filter(|name| name.ends_with(".run")).count();
        let named = self.saved.as_ref().map_or(0, |saved| saved.manifest.numbers().len());
        assert!(runs <= named + 1, "{runs} runs on the disk, {named} are named");
    }
}

pub(super) fn open(disk: &Arc<dyn Disk>, background: bool, manifest: Option<&Manifest>) -> Store {
    let options = StoreOptions { budget_bytes: usize::MAX, background, ..StoreOptions::default() };
    Store::open(disk, Path::new("state"), options, manifest).unwrap()
}

#[derive(Debug, Clone)]
enum Change {
    Put(u8, u8, u16),
    Remove(u8, u8),
    Get(u8, u8),
    Scan(u8, u8),
    Freeze,
    Shrink(u16),
    Restore(u8),
}

fn change() -> impl Strategy<Value = Change> {
    let key = 0..12u8;
    prop_oneof![
        8 => (key.clone(), any::<u8>(), any::<u16>()).prop_map(|(k, s, v)| Change::Put(k, s % 40, v)),
        4 => (key.clone(), any::<u8>()).prop_map(|(k, s)| Change::Remove(k, s % 40)),
        4 => (key.clone(), any::<u8>()).prop_map(|(k, s)| Change::Get(k, s % 40)),
        4 => (key, any::<u8>()).prop_map(|(k, s)| Change::Scan(k, s % 40)),
        1 => Just(Change::Freeze),
        1 => any::<u16>().prop_map(|bytes| Change::Shrink(bytes % 4096)),
        1 => (1..5u8).prop_map(Change::Restore),
    ]
}

fn map(store: &Store, groups: std::ops::Range<usize>) -> KeyedMap {
    KeyedMap::new(store, TABLE, groups, None).unwrap()
}

fn check_map(changes: &[Change], background: bool) {
    let mut table = Parts::new(background, map);
    let mut model: BTreeMap<(u8, u8), Vec<u8>> = BTreeMap::new();
    for change in changes {
        match change {
            Change::Put(key, sub, value) => {
                let bytes = [*key];
                let value = vec![*value as u8; usize::from(*value) % 50];
                let key_of = Key::new(&bytes);
                table.part(key_of).put(key_of, &[*sub], &value, 0).unwrap();
                model.insert((*key, *sub), value);
            }
            Change::Remove(key, sub) => {
                let bytes = [*key];
                table.part(Key::new(&bytes)).remove(Key::new(&bytes), &[*sub]).unwrap();
                model.remove(&(*key, *sub));
            }
            Change::Get(key, sub) => {
                let bytes = [*key];
                let found = table.part(Key::new(&bytes)).get(Key::new(&bytes), &[*sub], 0).unwrap();
                assert_eq!(found.as_ref(), model.get(&(*key, *sub)));
            }
            Change::Scan(key, from) => {
                let bytes = [*key];
                let mut found = Vec::new();
                let mut each = |sub: &[u8], value: &[u8]| {
                    found.push((sub.to_vec(), value.to_vec()));
                    found.len() < 7
                };
                let part = table.part(Key::new(&bytes));
                part.scan(Key::new(&bytes), 0, Some(&[*from]), &mut each).unwrap();
                let expected = model.range((*key, *from)..=(*key, 255)).take(7);
                let expected: Vec<_> =
                    expected.map(|((_, sub), value)| (vec![*sub], value.clone())).collect();
                assert_eq!(found, expected);
            }
            Change::Freeze => {
                table.parts.iter_mut().for_each(|part| part.freeze().unwrap());
                table.settle();
            }
            Change::Shrink(bytes) => table.shrink(usize::from(*bytes)),
            Change::Restore(workers) => table.restore(usize::from(*workers)),
        }
    }
    table.check_files();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_map_is_as_its_model(changes in prop::collection::vec(change(), 1..200)) {
        check_map(&changes, false);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_map_is_as_its_model_with_a_thread(changes in prop::collection::vec(change(), 1..200)) {
        check_map(&changes, true);
    }

    #[test]
    fn columns_are_as_their_model(changes in prop::collection::vec(change(), 1..200)) {
        check_columns(&changes);
    }

    #[test]
    fn windows_are_as_their_model(changes in prop::collection::vec(change(), 1..200)) {
        check_windows(&changes);
    }
}

/// Sums.
#[derive(Default)]
struct Sums(Vec<i64>);

impl Columns for Sums {
    type Error = StateError;

    fn fresh(&self) -> Sums {
        Sums::default()
    }

    fn types(&self) -> Vec<DataType> {
        vec![DataType::Int64]
    }

    fn grow(&mut self, slots: usize) {
        self.0.resize(slots, 0);
    }

    fn save(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, StateError> {
        let sums = slots.iter().map(|slot| self.0[*slot as usize]);
        Ok(vec![Arc::new(Int64Array::from_iter_values(sums))])
    }

    fn restore(&mut self, slots: &[u32], columns: &[ArrayRef]) -> Result<(), StateError> {
        for (slot, sum) in slots.iter().zip(columns[0].as_primitive::<Int64Type>().values()) {
            assert_eq!(self.0[*slot as usize], 0, "a slot that is restored holds nothing yet");
            self.0[*slot as usize] = *sum;
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.0.capacity() * 8
    }
}

fn columns(store: &Store, groups: std::ops::Range<usize>) -> KeyedColumns<Sums> {
    KeyedColumns::new(store, TABLE, groups, None, Sums::default()).unwrap()
}

fn check_columns(changes: &[Change]) {
    let mut table = Parts::new(false, columns);
    let mut model: BTreeMap<[u8; 2], i64> = BTreeMap::new();
    let mut slots = Vec::new();
    for change in changes {
        match change {
            Change::Put(key, sub, value) => {
                let bytes = [*key, *sub];
                let part = table.part(Key::new(&bytes));
                part.slots(&[Key::new(&bytes), Key::new(&bytes)], 0, &mut slots).unwrap();
                assert_eq!(slots[0], slots[1]);
                assert_eq!(part.key(slots[0]), bytes);
                part.columns_mut().0[slots[0] as usize] += i64::from(*value);
                let sum = model.entry(bytes).or_default();
                *sum += i64::from(*value);
                assert_eq!(part.columns().0[slots[0] as usize], *sum);
            }
            Change::Remove(key, sub) | Change::Get(key, sub) | Change::Scan(key, sub) => {
                let bytes = [*key, *sub];
                let part = table.part(Key::new(&bytes));
                part.slots(&[Key::new(&bytes)], 0, &mut slots).unwrap();
                assert_eq!(part.columns().0[slots[0] as usize], model.get(&bytes).copied().unwrap_or(0));
                if let Change::Remove(..) = change {
                    part.remove(slots[0]);
                    model.remove(&bytes);
                } else {
                    model.entry(bytes).or_default();
                }
            }
            Change::Freeze => {
                table.parts.iter_mut().for_each(|part| part.freeze().unwrap());
                table.settle();
            }
            Change::Shrink(bytes) => table.shrink(usize::from(*bytes)),
            Change::Restore(workers) => table.restore(usize::from(*workers)),
        }
    }
    table.check_files();
}

fn windows(store: &Store, groups: std::ops::Range<usize>) -> KeyedWindows<Sums> {
    KeyedWindows::new(store, TABLE, groups, Sums::default()).unwrap()
}

fn check_windows(changes: &[Change]) {
    let mut table = Parts::new(false, windows);
    let mut model: BTreeMap<(i64, u8), i64> = BTreeMap::new();
    let mut fired = -1;
    let mut slots = Vec::new();
    for change in changes {
        match change {
            Change::Put(window, key, value) => {
                let window = fired + 1 + i64::from(window % 4);
                let bytes = [*key];
                let part = table.part(Key::new(&bytes));
                let sums = part.slots(window, &[Key::new(&bytes)], &mut slots).unwrap();
                sums.0[slots[0] as usize] += i64::from(*value);
                *model.entry((window, *key)).or_default() += i64::from(*value);
            }
            Change::Remove(..) => {
                let first = model.first_key_value().map(|((window, _), _)| *window);
                let Some(window) = first else { continue };
                let mut found = BTreeMap::new();
                for part in &mut table.parts {
                    let whole = part.whole(window).unwrap();
                    for slot in 0..whole.keys().len() as u32 {
                        found.insert((window, whole.key(slot)[0]), whole.columns().0[slot as usize]);
                    }
                    part.expire(window);
                }
                let rest = model.split_off(&(window + 1, 0));
                assert_eq!(found, model);
                model = rest;
                fired = window;
            }
            Change::Get(..) | Change::Scan(..) => {
                let first = table.parts.iter().filter_map(KeyedWindows::first).min();
                assert!(first.is_none_or(|first| first > fired));
                assert!(model.is_empty() || first.is_some());
            }
            Change::Freeze => {
                table.parts.iter_mut().for_each(|part| part.freeze().unwrap());
                table.settle();
            }
            Change::Shrink(bytes) => table.shrink(usize::from(*bytes)),
            Change::Restore(workers) => table.restore(usize::from(*workers)),
        }
    }
    table.check_files();
}

#[test]
fn entries_expire_in_silence_wherever_they_lie() {
    fn expiring(store: &Store, groups: std::ops::Range<usize>) -> KeyedMap {
        KeyedMap::new(store, TABLE, groups, Some(100)).unwrap()
    }
    let mut table = Parts::new(false, expiring);
    for place in 0..3 {
        let begin = 1000 * place;
        let key = Key::new(b"key");
        table.parts[0].put(key, b"old", b"1", begin).unwrap();
        table.parts[0].put(key, b"new", b"2", begin + 50).unwrap();
        match place {
            0 => {}
            1 => table.shrink(0),
            _ => table.restore(1),
        }
        let part = &mut table.parts[0];
        let mut live = |now_ms| {
            let mut subs = Vec::new();
            let mut each = |sub: &[u8], _: &[u8]| {
                subs.push(String::from_utf8_lossy(sub).into_owned());
                true
            };
            part.scan(key, now_ms, None, &mut each).unwrap();
            let found = part.get(key, b"old", now_ms).unwrap();
            assert_eq!(found.is_some(), subs.contains(&"old".to_string()));
            subs
        };
        assert_eq!(live(begin + 99), ["new", "old"]);
        assert_eq!(live(begin + 100), ["new"]);
        assert_eq!(live(begin + 150), [""; 0]);
    }
}

#[test]
fn expired_columns_begin_anew() {
    fn expiring(store: &Store, groups: std::ops::Range<usize>) -> KeyedColumns<Sums> {
        KeyedColumns::new(store, TABLE, groups, Some(100), Sums::default()).unwrap()
    }
    let mut table = Parts::new(false, expiring);
    let mut slots = Vec::new();
    let mut add = |table: &mut Parts<KeyedColumns<Sums>>, now_ms| {
        let part = &mut table.parts[0];
        part.slots(&[Key::new(b"key")], now_ms, &mut slots).unwrap();
        let sum = &mut part.columns_mut().0[slots[0] as usize];
        *sum += 1;
        *sum
    };
    assert_eq!(add(&mut table, 0), 1);
    assert_eq!(add(&mut table, 99), 2);
    table.restore(1);
    assert_eq!(add(&mut table, 198), 3, "each write begins the time anew");
    assert_eq!(add(&mut table, 298), 1, "expired in memory");
    table.shrink(0);
    assert_eq!(add(&mut table, 398), 1, "expired on the disk");
}

#[test]
fn a_key_with_very_many_entries_is_never_loaded_as_a_whole() {
    let mut table = Parts::new(false, map);
    let key = Key::new(b"all");
    let part = &mut table.parts[0];
    for number in 0..20_000u32 {
        part.put(key, &number.to_be_bytes(), &[0; 20], 0).unwrap();
    }
    table.shrink(0);
    let part = &mut table.parts[0];
    assert!(part.memory_bytes() < 200_000, "{} bytes", part.memory_bytes());
    let mut first = Vec::new();
    part.scan(key, 0, Some(&500u32.to_be_bytes()), &mut |sub, _| {
        first.push(sub.to_vec());
        first.len() < 3
    })
    .unwrap();
    assert_eq!(first, [500u32, 501, 502].map(|number| number.to_be_bytes().to_vec()));
    assert!(part.memory_bytes() < 400_000, "{} bytes", part.memory_bytes());
}

#[test]
fn memory_is_given_back_although_every_key_has_an_entry_to_be_written() {
    let mut table = Parts::new(false, map);
    let keys = [b"a", b"b", b"c", b"d"].map(|bytes| Key::new(bytes));
    let part = &mut table.parts[0];
    for key in keys {
        for number in 0..1000u32 {
            part.put(key, &number.to_be_bytes(), &[0; 20], 0).unwrap();
        }
    }
    part.freeze().unwrap();
    table.settle();
    let part = &mut table.parts[0];
    for key in keys {
        part.put(key, &500u32.to_be_bytes(), b"changed", 0).unwrap();
    }
    let target_bytes = part.memory_bytes() / 4;
    table.shrink(target_bytes);
    let part = &mut table.parts[0];
    let kept = part.memory_bytes();
    assert!(kept <= target_bytes + part.layers().memory_bytes(), "{kept} bytes, target_bytes={target_bytes}");
    for key in keys {
        assert_eq!(part.get(key, &500u32.to_be_bytes(), 0).unwrap(), Some(b"changed".to_vec()));
        assert_eq!(part.get(key, &501u32.to_be_bytes(), 0).unwrap(), Some(vec![0; 20]));
    }
}

#[test]
fn layers_are_merged_and_their_files_removed() {
    let mut table = Parts::new(false, map);
    for round in 0..200u32 {
        for number in 0..50u32 {
            let bytes = (number * 7 + round % 5).to_be_bytes();
            let key = Key::new(&bytes);
            table.part(key).put(key, b"", &round.to_be_bytes(), 0).unwrap();
        }
        table.shrink(0);
    }
    let runs = table.disk.list(Path::new("state")).unwrap().len();
    assert!(runs < 20, "{runs} runs");
    assert_eq!(key_group(Key::new(&7u32.to_be_bytes()).hash) / 128, 0);
    table.check_files();
}

#[test]
fn a_run_of_several_layers_may_be_merged_in_one_and_stay_in_another() {
    let mut table = Parts::new(false, map);
    let mut model = BTreeMap::new();
    let mut put = |table: &mut Parts<KeyedMap>, numbers: std::ops::Range<u32>, value: u8| {
        for number in numbers {
            let bytes = number.to_be_bytes();
            table.part(Key::new(&bytes)).put(Key::new(&bytes), b"", &[value], 0).unwrap();
            model.insert(number, value);
        }
        table.shrink(0);
    };
    put(&mut table, 0..4000, 0);
    put(&mut table, 0..60, 1);
    put(&mut table, 60..120, 2);
    // The runs of before stand in a layer of each worker, then in two layers of one.
    table.restore(2);
    table.restore(1);
    for value in 3..6 {
        put(&mut table, 120..130, value);
    }
    assert_eq!(table.parts[0].layers().all().len(), 6, "the newest layers were merged, the others not");
    for (number, value) in model {
        let bytes = number.to_be_bytes();
        assert_eq!(
            table.parts[0].get(Key::new(&bytes), b"", 0).unwrap(),
            Some(vec![value]),
            "number={number}"
        );
    }
}

#[test]
fn a_full_disk_loses_nothing_and_is_tried_again() {
    let disk = Arc::new(SimDisk::new());
    let shared: Arc<dyn Disk> = disk.clone();
    let store = open(&shared, false, None);
    let mut part = map(&store, 0..128);
    let key = Key::new(b"key");
    part.put(key, b"sub", &[7; 5000], 0).unwrap();
    disk.limit_bytes(Some(disk.used_bytes() + 100));
    part.freeze().unwrap();
    let error = part.layers_mut().settle().unwrap_err();
    assert_eq!(error.kind(), base::ErrorKind::Unavailable);
    assert_eq!(part.get(key, b"sub", 0).unwrap(), Some(vec![7; 5000]));
    disk.limit_bytes(None);
    // The second attempt was begun by the settling that told of the first.
    let _ = part.layers_mut().settle();
    part.layers_mut().settle().unwrap();
    part.shrink(0).unwrap();
    assert_eq!(part.get(key, b"sub", 0).unwrap(), Some(vec![7; 5000]));
}

#[test]
fn places_are_sorted_by_the_bytes_of_their_keys_however_long_they_are() {
    let mut keys: Vec<Vec<u8>> =
        vec![Vec::new(), vec![0], vec![0; 15], vec![0; 16], vec![0; 17], vec![255; 40]];
    for number in 0..2000_u64 {
        // Some differ early, some behind what is kept beside the places.
        let length = (number * 7 % 31) as usize;
        let mut key = vec![(number % 3) as u8; length];
        key.extend_from_slice(&number.to_be_bytes());
        keys.push(key);
    }
    let mut places: Vec<u32> = (0..keys.len() as u32).rev().collect();
    crate::table::sort_by_entry_key(&mut places, |place| Key::new(&keys[place as usize]));
    let entries: Vec<Vec<u8>> = places
        .iter()
        .map(|place| {
            let mut entry = Vec::new();
            crate::table::entry_key(&mut entry, Key::new(&keys[*place as usize]), &[]);
            entry
        })
        .collect();
    assert!(entries.is_sorted());
    assert_eq!(entries.len(), keys.len());
}
