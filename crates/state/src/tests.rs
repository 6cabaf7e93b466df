//! Key groups are fixed, key maps dense and ordered on demand, columns canonical; tables are as their
//! models wherever their entries lie.

mod append_log;
mod changes;
mod manifests;
mod rewrite;
mod tables;

use crate::columns::{read_column, write_column};
use crate::{KEY_GROUPS, KeyMap, groups_of_worker, hash, key_group, worker_of_group};
use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, NullArray,
    StringArray, StructArray, TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, Fields};
use base::codec::{FieldReader, FieldWriter};
use std::sync::Arc;

#[test]
fn the_group_of_a_key_never_changes() {
    // Stored snapshots depend on these numbers.
    assert_eq!(hash(b""), 9_578_581_986_482_927_536);
    assert_eq!(key_group(hash(b"alpha")), 92);
    for workers in 1..=KEY_GROUPS {
        let owners: Vec<usize> = (0..KEY_GROUPS).map(|group| worker_of_group(group, workers)).collect();
        assert!(owners.is_sorted() && owners[0] == 0 && owners[KEY_GROUPS - 1] == workers - 1);
        for worker in 0..workers {
            let own = (0..KEY_GROUPS).filter(|group| owners[*group] == worker);
            assert!(groups_of_worker(worker, workers).eq(own), "{worker} of {workers}");
        }
    }
}

#[test]
fn a_key_map_numbers_keys_densely_and_sorts_on_demand() {
    let mut map = KeyMap::new();
    let keys: Vec<String> = (0..5000).map(|n| format!("key-{}", (n * 7919) % 5000)).collect();
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(map.insert(hash(key.as_bytes()), key.as_bytes()), (n as u32, true));
    }
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(map.insert(hash(key.as_bytes()), key.as_bytes()), (n as u32, false));
        assert_eq!(map.find(hash(key.as_bytes()), key.as_bytes()), Some(n as u32));
        assert_eq!(map.key(n as u32), key.as_bytes());
    }
    assert_eq!(map.find(hash(b"absent"), b"absent"), None);
    let sorted: Vec<&[u8]> = map.sorted_slots().into_iter().map(|slot| map.key(slot)).collect();
    assert!(sorted.is_sorted() && sorted.len() == 5000);
    let groups: Vec<usize> =
        map.slots_by_group().into_iter().map(|slot| key_group(map.hash_of(slot))).collect();
    assert!(groups.is_sorted());
}

fn samples() -> Vec<ArrayRef> {
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.append_value([Some("a"), None, Some("ccc")]);
    lists.append_null();
    lists.append_value([] as [Option<&str>; 0]);
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    maps.keys().append_value("k");
    maps.values().append_value(1);
    maps.append(true).unwrap();
    maps.append(false).unwrap();
    maps.append(true).unwrap();
    let fields =
        Fields::from(vec![Field::new("n", DataType::Int32, true), Field::new("s", DataType::Utf8, true)]);
    let rows = StructArray::new(
        fields,
        vec![
            Arc::new(Int32Array::from(vec![1, 2, 3])),
            Arc::new(StringArray::from(vec![Some("x"), None, None])),
        ],
        Some(vec![true, false, true].into()),
    );
    vec![
        Arc::new(Int32Array::from(vec![Some(1), None, Some(-3)])),
        Arc::new(Float64Array::from(vec![0.5, -0.0, f64::INFINITY])),
        Arc::new(
            Decimal128Array::from(vec![Some(12345), None, Some(-1)]).with_precision_and_scale(20, 2).unwrap(),
        ),
        Arc::new(TimestampMillisecondArray::from(vec![1, 2, 3]).with_timezone("UTC")),
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        Arc::new(StringArray::from(vec![Some("ä"), None, Some("")])),
        Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\xff".as_slice()), None, Some(b"ab")])),
        Arc::new(NullArray::new(3)),
        Arc::new(lists.finish()),
        Arc::new(maps.finish()),
        Arc::new(rows),
    ]
}

fn written(column: &dyn Array) -> Vec<u8> {
    let mut out = FieldWriter::new();
    write_column(&mut out, column).unwrap();
    out.finish()
}

#[test]
fn columns_come_back_and_slices_write_the_same_bytes() {
    for column in samples() {
        let bytes = written(column.as_ref());
        let mut reader = FieldReader::new(&bytes);
        let back = read_column(&mut reader, column.data_type()).unwrap();
        reader.finish().unwrap();
        assert_eq!(&back, &column);
        assert_eq!(written(back.as_ref()), bytes, "{}", column.data_type());
        let tail = column.slice(1, 2);
        let copy = arrow_select::concat::concat(&[tail.as_ref()]).unwrap();
        assert_eq!(written(tail.as_ref()), written(copy.as_ref()), "{}", column.data_type());
    }
}

#[test]
fn damaged_columns_are_errors_and_never_panics() {
    for column in samples() {
        let bytes = written(column.as_ref());
        for length in 0..bytes.len() {
            assert!(read_column(&mut FieldReader::new(&bytes[..length]), column.data_type()).is_err());
        }
        for position in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut mutated = bytes.clone();
                mutated[position] = value;
                // Any answer will do, as long as there is one.
                if let Ok(array) = read_column(&mut FieldReader::new(&mutated), column.data_type()) {
                    let _ = written(array.as_ref());
                }
            }
        }
    }
}
