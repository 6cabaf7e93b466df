//! Rows, arrays and maps: their constructors and the access to their parts.

use super::equality::{equality, range};
use super::evaluate::text;
use super::value::{Value, wrap};
use crate::types::LogicalType;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, MapArray, StructArray, UInt32Array};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::DataType;
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use std::sync::Arc;

/// A field of a row; NULL where the row is NULL.
pub(super) fn field(base: Value, index: usize) -> Result<Value, String> {
    let constant = base.is_constant();
    let row = base.array().as_struct_opt().ok_or("expected a row")?;
    let column = row.columns().get(index).ok_or("the row has no such field")?;
    let nulls = NullBuffer::union(row.nulls(), column.nulls());
    if nulls.as_ref().map(NullBuffer::null_count) == column.nulls().map(NullBuffer::null_count) {
        return Ok(wrap(column.clone(), constant));
    }
    let data = column.to_data().into_builder().nulls(nulls).build().map_err(text)?;
    Ok(wrap(arrow_array::make_array(data), constant))
}

/// `array[n]`, counted from 1, or `map[key]`; NULL where there is none.
pub(super) fn element(base: Value, index: Value, rows: usize) -> Result<ArrayRef, String> {
    if let Some(map) = base.array().as_map_opt() {
        let is_key = equality(map.keys(), index.array())?;
        let slots: UInt32Array = (0..rows)
            .map(|row| {
                let slot = base.slot(row);
                if map.is_null(slot) || index.is_null(row) {
                    return None;
                }
                let mut entries = range(map.value_offsets(), slot);
                entries.find(|entry| is_key(*entry, index.slot(row))).map(|entry| entry as u32)
            })
            .collect();
        return take(map.values().as_ref(), &slots, None).map_err(text);
    }
    let list = base.array().as_list_opt::<i32>().ok_or("expected an array or a map")?;
    let positions = index.integers()?;
    let slots: UInt32Array = (0..rows)
        .map(|row| {
            let slot = base.slot(row);
            let position = positions.get(row)?;
            if list.is_null(slot) || position < 1 {
                return None;
            }
            let (start, end) =
                (i64::from(list.value_offsets()[slot]), i64::from(list.value_offsets()[slot + 1]));
            let entry = start.checked_add(position - 1)?;
            (entry < end).then_some(entry as u32)
        })
        .collect();
    take(list.values().as_ref(), &slots, None).map_err(text)
}

pub(super) fn row(columns: Vec<ArrayRef>, data_type: &LogicalType, rows: usize) -> Result<ArrayRef, String> {
    let DataType::Struct(fields) = data_type.to_arrow() else { return Err("expected a row type".into()) };
    let array = StructArray::try_new_with_length(fields, columns, None, rows).map_err(text)?;
    Ok(Arc::new(array))
}

/// One value of each column in turn, row by row.
fn weave(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef, String> {
    let sources: Vec<&dyn Array> = columns.iter().map(|column| column.as_ref()).collect();
    let indices: Vec<(usize, usize)> =
        (0..rows).flat_map(|row| (0..columns.len()).map(move |column| (column, row))).collect();
    interleave(&sources, &indices).map_err(text)
}

pub(super) fn array(
    columns: Vec<ArrayRef>,
    data_type: &LogicalType,
    rows: usize,
) -> Result<ArrayRef, String> {
    let DataType::List(item) = data_type.to_arrow() else { return Err("expected an array type".into()) };
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(columns.len(), rows));
    let values = weave(&columns, rows)?;
    Ok(Arc::new(ListArray::try_new(item, offsets, values, None).map_err(text)?))
}

pub(super) fn map(
    keys: Vec<ArrayRef>,
    values: Vec<ArrayRef>,
    data_type: &LogicalType,
    rows: usize,
) -> Result<ArrayRef, String> {
    let DataType::Map(field, sorted) = data_type.to_arrow() else { return Err("expected a map type".into()) };
    let DataType::Struct(fields) = field.data_type().clone() else { return Err("expected entries".into()) };
    let count = keys.len();
    let (keys, values) = (weave(&keys, rows)?, weave(&values, rows)?);
    if keys.null_count() > 0 {
        return Err("the key of a map is NULL".into());
    }
    // Of equal keys the last value stands, where the first one stood.
    let same = equality(&keys, &keys)?;
    let mut chosen: Vec<(u32, u32)> = Vec::with_capacity(keys.len());
    let mut lengths = Vec::with_capacity(rows);
    for first in (0..rows).map(|row| row * count) {
        let begin = chosen.len();
        for slot in first..first + count {
            match chosen[begin..].iter_mut().find(|(key, _)| same(*key as usize, slot)) {
                Some(known) => known.1 = slot as u32,
                None => chosen.push((slot as u32, slot as u32)),
            }
        }
        lengths.push(chosen.len() - begin);
    }
    let offsets = OffsetBuffer::from_lengths(lengths);
    let (keys, values) = if chosen.len() == keys.len() {
        (keys, values)
    } else {
        let picked = |column: &ArrayRef, slots: UInt32Array| take(column, &slots, None).map_err(text);
        let keys = picked(&keys, chosen.iter().map(|(key, _)| *key).collect())?;
        (keys, picked(&values, chosen.iter().map(|(_, value)| *value).collect())?)
    };
    let entries = StructArray::try_new(fields, vec![keys, values], None).map_err(text)?;
    Ok(Arc::new(MapArray::try_new(field, offsets, entries, None, sorted).map_err(text)?))
}
