//! Tables made of tables with more columns, or with another time to live.

use super::tables::open;
use crate::snapshot::{Manifest, SnapshotParts};
use crate::{
    Columns, Key, KeyedColumns, KeyedMap, KeyedWindows, PickedColumns, Rewrite, StateError, Store, Table,
    TableId, groups_of_worker,
};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, StringArray};
use arrow_schema::DataType;
use os::Disk;
use os::disk::sim::SimDisk;
use std::sync::Arc;

const TABLE: TableId = TableId { owner: 3, table: 1 };

/// More keys than are decoded at once.
const KEYS: i64 = 10_000;

/// A store that begins with what the tables have.
fn reopened<T: Table>(disk: &Arc<dyn Disk>, before: Store, tables: Vec<T>) -> (Store, Manifest) {
    let mut snapshot = SnapshotParts::new(1);
    let mut tables = tables;
    tables.iter_mut().for_each(|table| snapshot.table(table).unwrap());
    let pending = snapshot.write(&before, "state/now.snapshot".into());
    let snapshot = pending.take().unwrap().unwrap();
    snapshot.keep();
    let manifest = Manifest::decode(&snapshot.manifest.encode()).unwrap();
    (open(disk, false, Some(&manifest)), manifest)
}

fn rewritten(store: &Store, rewrite: &Rewrite, now_ms: i64) {
    assert!(store.rewrite(TABLE, rewrite, (now_ms, now_ms), &mut |_| true).unwrap());
}

/// Numbers and texts, of which a table has some.
#[derive(Debug, Default, Clone)]
struct Values {
    types: Vec<DataType>,
    rows: Vec<Vec<Option<String>>>,
}

fn values(types: &[DataType]) -> Values {
    Values { types: types.to_vec(), rows: Vec::new() }
}

impl Columns for Values {
    type Error = StateError;

    fn fresh(&self) -> Values {
        values(&self.types)
    }

    fn types(&self) -> Vec<DataType> {
        self.types.clone()
    }

    fn grow(&mut self, slots: usize) {
        self.rows.resize(slots, vec![None; self.types.len()]);
    }

    fn save(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, StateError> {
        let column = |(place, own): (usize, &DataType)| -> ArrayRef {
            let texts = slots.iter().map(|slot| self.rows[*slot as usize][place].clone());
            match own {
                DataType::Int64 => {
                    Arc::new(texts.map(|text| Some(text?.parse().unwrap())).collect::<Int64Array>())
                }
                _ => Arc::new(texts.collect::<StringArray>()),
            }
        };
        Ok(self.types.iter().enumerate().map(column).collect())
    }

    fn restore(&mut self, slots: &[u32], columns: &[ArrayRef]) -> Result<(), StateError> {
        for (place, column) in columns.iter().enumerate() {
            for (row, slot) in slots.iter().enumerate() {
                let text = match column.data_type() {
                    DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
                    _ => column.as_string::<i32>().value(row).to_string(),
                };
                self.rows[*slot as usize][place] = column.is_valid(row).then_some(text);
            }
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.rows.len() * 64
    }
}

fn key_of(number: i64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn row_of(number: i64) -> Vec<Option<String>> {
    let text = (number % 3 != 0).then(|| "x".repeat(number as usize % 40));
    vec![Some(number.to_string()), text, Some((-number).to_string())]
}

const ALL: [DataType; 3] = [DataType::Int64, DataType::Utf8, DataType::Int64];

#[test]
fn columns_are_picked_from_groups_that_lie_in_several_runs_of_several_workers() {
    for (picked, types) in [(vec![2, 1], vec![DataType::Int64, DataType::Utf8]), (vec![], vec![])] {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let before = open(&disk, false, None);
        let part = |worker| {
            KeyedColumns::new(&before, TABLE, groups_of_worker(worker, 2), None, values(&ALL)).unwrap()
        };
        let mut parts: Vec<KeyedColumns<Values>> = (0..2).map(part).collect();
        let mut slots = Vec::new();
        for round in 0..3 {
            for number in (0..KEYS).filter(|number| number % 3 >= round) {
                let bytes = key_of(number);
                let key = Key::new(&bytes);
                let table = &mut parts[crate::worker_of_hash(key.hash, 2)];
                table.slots(&[key], 0, &mut slots).unwrap();
                if number % 5 == 4 && round == 2 {
                    table.remove(slots[0]);
                } else {
                    table.columns_mut().rows[slots[0] as usize] = row_of(number * (round + 1));
                }
            }
            parts.iter_mut().for_each(|part| part.shrink(0).unwrap());
        }
        let (after, manifest) = reopened(&disk, before, parts);
        let columns = Some(PickedColumns { types: ALL.to_vec(), picked: picked.clone() });
        rewritten(&after, &Rewrite { columns, old_ttl_ms: None, ttl_ms: None }, 0);
        let mut table = KeyedColumns::new(&after, TABLE, 0..crate::KEY_GROUPS, None, values(&types)).unwrap();
        for number in 0..KEYS {
            let bytes = key_of(number);
            table.slots(&[Key::new(&bytes)], 0, &mut slots).unwrap();
            let is_there = number % 3 != 2 || number % 5 != 4;
            let row = row_of(number * (number % 3 + 1));
            let expected = picked.iter().map(|place| row[*place].clone().filter(|_| is_there));
            assert_eq!(table.columns().rows[slots[0] as usize], expected.collect::<Vec<_>>(), "{number}");
        }
        // The snapshot has what it had.
        let again = open(&disk, false, Some(&manifest));
        let mut old = KeyedColumns::new(&again, TABLE, 0..crate::KEY_GROUPS, None, values(&ALL)).unwrap();
        old.slots(&[Key::new(&key_of(1))], 0, &mut slots).unwrap();
        assert_eq!(old.columns().rows[slots[0] as usize], row_of(2));
    }
}

#[test]
fn windows_keep_their_ends() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let before = open(&disk, false, None);
    let mut windows = KeyedWindows::new(&before, TABLE, 0..crate::KEY_GROUPS, values(&ALL)).unwrap();
    let mut slots = Vec::new();
    for number in 0..100 {
        let bytes = key_of(number % 10);
        let columns = windows.slots(number / 10 - 5, &[Key::new(&bytes)], &mut slots).unwrap();
        columns.rows[slots[0] as usize] = row_of(number);
    }
    windows.shrink(0).unwrap();
    windows.expire(-4);
    let (after, _) = reopened(&disk, before, vec![windows]);
    let columns = Some(PickedColumns { types: ALL.to_vec(), picked: vec![2] });
    // The clock has nothing to do with the ends of windows.
    rewritten(&after, &Rewrite { columns, old_ttl_ms: None, ttl_ms: None }, i64::MAX);
    let picked = values(&[DataType::Int64]);
    let mut windows = KeyedWindows::new(&after, TABLE, 0..crate::KEY_GROUPS, picked).unwrap();
    assert_eq!((windows.first(), windows.horizon()), (Some(-3), -4));
    for end in -3..5 {
        let whole = windows.whole(end).unwrap();
        assert_eq!(whole.keys().len(), 10);
        for slot in 0..10 {
            let number = i64::from_be_bytes(whole.key(slot).try_into().unwrap()) + (end + 5) * 10;
            assert_eq!(whole.columns().rows[slot as usize], row_of(number)[2..]);
        }
    }
}

/// What has had its time is said by one clock, when a first time begins by another.
#[test]
fn a_table_that_nobody_wrote_for_long_begins_to_forget_when_it_is_said() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let before = open(&disk, false, None);
    let mut map = KeyedMap::new(&before, TABLE, 0..crate::KEY_GROUPS, None).unwrap();
    map.put(Key::new(b"key"), b"", b"1", 100).unwrap();
    let (after, _) = reopened(&disk, before, vec![map]);
    let rewrite = Rewrite { columns: None, old_ttl_ms: None, ttl_ms: Some(50) };
    assert!(after.rewrite(TABLE, &rewrite, (200, 1000), &mut |_| true).unwrap());
    for (now_ms, is_there) in [(1049, true), (1050, false)] {
        let mut map = KeyedMap::new(&after, TABLE, 0..crate::KEY_GROUPS, Some(50)).unwrap();
        assert_eq!(map.get(Key::new(b"key"), b"", now_ms).unwrap().is_some(), is_there, "{now_ms}");
    }
}

/// An entry that was written at 100 and one that was written at 150 are made others at 200; each is there up to so long.
#[test]
fn a_new_time_to_live_counts_from_the_last_writing_or_from_now() {
    let forever = i64::MAX;
    for (old_ttl_ms, ttl_ms, ends) in [
        (Some(110), Some(300), [400, 450]),
        (Some(1000), Some(80), [0, 230]),
        (Some(100), Some(300), [0, 450]),
        (Some(110), Some(110), [210, 260]),
        (Some(110), None, [forever, forever]),
        (Some(90), None, [0, forever]),
        (None, Some(300), [500, 500]),
        (None, None, [forever, forever]),
    ] {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let before = open(&disk, false, None);
        let mut map = KeyedMap::new(&before, TABLE, 0..crate::KEY_GROUPS, old_ttl_ms).unwrap();
        let key = Key::new(b"key");
        map.put(key, b"first", b"1", 100).unwrap();
        map.put(key, b"second", b"2", 150).unwrap();
        let (after, _) = reopened(&disk, before, vec![map]);
        rewritten(&after, &Rewrite { columns: None, old_ttl_ms, ttl_ms }, 200);
        let context = format!("{old_ttl_ms:?} to {ttl_ms:?}");
        for ((name, value), end) in [(b"first".as_slice(), b"1"), (b"second", b"2")].into_iter().zip(ends) {
            for (now_ms, is_there) in [(200, end > 200), (end - 1, end > 200), (end, end == forever)] {
                let mut map = KeyedMap::new(&after, TABLE, 0..crate::KEY_GROUPS, ttl_ms).unwrap();
                let found = map.get(key, name, now_ms.max(200)).unwrap();
                assert_eq!(found.as_deref(), is_there.then_some(value.as_slice()), "{context} at {now_ms}");
            }
        }
    }
}

#[test]
fn nothing_is_made_of_nothing_and_a_table_that_is_not_done_is_as_it_was() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let before = open(&disk, false, None);
    let mut map = KeyedMap::new(&before, TABLE, 0..crate::KEY_GROUPS, None).unwrap();
    (0..KEYS).for_each(|number| map.put(Key::new(&key_of(number)), b"", b"1", 0).unwrap());
    let (after, _) = reopened(&disk, before, vec![map]);
    let rewrite = Rewrite { columns: None, old_ttl_ms: None, ttl_ms: Some(1) };
    assert!(!after.rewrite(TABLE, &rewrite, (0, 0), &mut |_| false).unwrap());
    let mut map = KeyedMap::new(&after, TABLE, 0..crate::KEY_GROUPS, None).unwrap();
    assert_eq!(map.get(Key::new(&key_of(1)), b"", 0).unwrap().as_deref(), Some(b"1".as_slice()));
    let nothing = TableId { owner: 4, table: 1 };
    assert!(after.rewrite(nothing, &rewrite, (0, 0), &mut |_| true).unwrap());
    assert!(!after.has_restored(nothing));
    // Columns that are not there are damage.
    let columns = Some(PickedColumns { types: vec![DataType::Int64], picked: vec![1] });
    assert!(after.rewrite(TABLE, &Rewrite { columns, ..rewrite }, (0, 0), &mut |_| true).is_err());
}
