//! Changes on their way: numbered, emitted as the changelog wants them, merged whatever the workers.

use super::fixtures::*;
use crate::batch::{Batch, RowKind};
use crate::engine::batches::Chunk;
use crate::engine::changelog::*;
use crate::plan::Changelog;
use arrow_array::{ArrayRef, BinaryArray, Float64Array, Int32Array, Int64Array, ListArray, UInt64Array};
use arrow_schema::{DataType, SchemaRef};
use std::sync::Arc;

fn one_column() -> SchemaRef {
    schema(&[("v", DataType::Int32)])
}

/// Rows with ordinals, ties and watermarks.
fn batch(values: &[i32], ordinals: &[u64], ties: Option<&[&str]>) -> Batch {
    let text: Vec<String> = values.iter().map(i32::to_string).collect();
    Batch {
        rows: rows(&one_column(), &text.join("\n")),
        kinds: None,
        ordinals: UInt64Array::from(ordinals.to_vec()),
        ties: ties.map(|ties| BinaryArray::from_iter_values(ties.iter().map(|tie| tie.as_bytes()))),
        watermarks: Some(Int64Array::from_iter_values(ordinals.iter().map(|ordinal| *ordinal as i64 * 10))),
        traces: None,
    }
}

fn integers(values: &[i32]) -> Vec<ArrayRef> {
    vec![Arc::new(Int32Array::from(values.to_vec()))]
}

fn caused(causes: &[u32], kinds: &[RowKind], values: &[i32]) -> Caused {
    let kinds = kinds.iter().map(|kind| *kind as i8).collect();
    Caused { causes: causes.to_vec(), kinds, columns: integers(values) }
}

fn shown(batch: &Batch) -> Vec<String> {
    let cells = lines(batch).into_iter().enumerate();
    cells
        .map(|(row, line)| format!("{}{line}@{}", batch.kind(row).short(), batch.ordinals.value(row)))
        .collect()
}

#[test]
fn what_workers_emit_stands_in_the_order_of_its_causes() {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let chunk = |batch: Batch| Chunk { read: 0, batch };
    let chunks = [chunk(batch(&[0, 0], &[1, 3], None)), chunk(batch(&[0, 0], &[3, 7], Some(&["a", "b"])))];
    let system = system_columns(&chunks).unwrap();
    let one = caused(&[1, 1, 3], &[UpdateBefore, UpdateAfter, Insert], &[10, 11, 30]);
    let two = caused(&[0, 2], &[Insert, Delete], &[0, 20]);
    let expected = ["+I0@1", "-U10@3", "+U11@3", "-D20@3", "+I30@7"];
    for parts in [vec![one.clone(), two.clone()], vec![two, Caused::default(), one]] {
        let merged = merge_caused(&system, &one_column(), parts).unwrap();
        assert_eq!(shown(&merged), expected);
        assert_eq!(merged.watermarks.unwrap().values(), &[10, 30, 30, 30, 70]);
        let ties = merged.ties.unwrap();
        assert_eq!((ties.value(2), ties.value(3), ties.value(4)), (&b""[..], &b"a"[..], &b"b"[..]));
    }
    let inserts = caused(&[0, 3], &[Insert, Insert], &[1, 2]);
    assert!(merge_caused(&system, &one_column(), vec![inserts]).unwrap().kinds.is_none());
    assert!(merge_caused(&system, &one_column(), Vec::new()).unwrap().is_empty());
    assert!(merge_caused(&system, &one_column(), vec![caused(&[4], &[Insert], &[1])]).is_err());
}

#[test]
fn two_inputs_are_numbered_as_one() {
    let left = batch(&[0, 0, 0], &[1, 5, 5], Some(&["", "a", "c"]));
    let right = batch(&[0, 0, 0], &[1, 4, 5], Some(&["", "", "b"]));
    let numbered = number_both(&left, &right).unwrap();
    assert_eq!(numbered.places, [0, 3, 4, 1, 5, 2]);
    assert_eq!(numbered.system.ordinals.values(), &[1, 1, 4, 5, 5, 5]);
    assert_eq!(numbered.system.watermarks.unwrap().values(), &[10, 10, 40, 50, 50, 50]);
}

#[test]
fn updates_show_what_was_before_only_where_the_changelog_wants_it() {
    let emitted = |changelog: Changelog| {
        let mut changes = Changes::new(changelog);
        changes.push(0, None, Some(0));
        changes.push(1, None, None);
        changes.push(2, Some(0), Some(1));
        changes.push(3, Some(1), None);
        let caused = changes.finish(&integers(&[100, 101]), &integers(&[200, 201])).unwrap();
        let system = batch(&[0; 4], &[1, 2, 3, 4], None);
        shown(&merge_caused(&system, &one_column(), vec![caused]).unwrap())
    };
    assert_eq!(emitted(Changelog::Retract), ["+I200@1", "-U100@3", "+U201@3", "-D101@4"]);
    assert_eq!(emitted(Changelog::Upsert), ["+I200@1", "+U201@3", "-D101@4"]);
}

#[test]
fn rows_are_the_same_when_all_their_bits_are() {
    let floats = |values: &[Option<f64>]| -> ArrayRef { Arc::new(Float64Array::from(values.to_vec())) };
    let list = |values: &[i32]| -> ArrayRef {
        let lists = values.iter().map(|value| Some(vec![Some(*value), None]));
        Arc::new(ListArray::from_iter_primitive::<arrow_array::types::Int32Type, _, _>(lists))
    };
    let one = [floats(&[Some(0.0), Some(f64::NAN), None, Some(1.0), None]), list(&[1, 2, 3, 4, 5])];
    let other = [floats(&[Some(-0.0), Some(f64::NAN), None, Some(1.0), Some(0.0)]), list(&[1, 2, 3, 9, 5])];
    let same: Vec<bool> = same_rows(&one, &other, 5).unwrap().iter().collect();
    assert_eq!(same, [false, true, true, false, false]);
    assert_eq!(same_rows(&[], &[], 2).unwrap().count_set_bits(), 2);
}
