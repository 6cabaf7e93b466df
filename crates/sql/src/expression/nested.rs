//! Rows, arrays and maps: their constructors and the access to their parts.

use super::evaluate::text;
use super::value::{Value, wrap};
use crate::types::LogicalType;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, MapArray, StructArray, UInt32Array};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_ord::ord::make_comparator;
use arrow_schema::{DataType, SortOptions};
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
        let order = make_comparator(map.keys().as_ref(), index.array().as_ref(), SortOptions::default())
            .map_err(text)?;
        let slots: UInt32Array = (0..rows)
            .map(|row| {
                let slot = base.slot(row);
                if map.is_null(slot) || index.is_null(row) {
                    return None;
                }
                let (start, end) =
                    (map.value_offsets()[slot] as usize, map.value_offsets()[slot + 1] as usize);
                (start..end).find(|&entry| order(entry, index.slot(row)).is_eq()).map(|entry| entry as u32)
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
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(keys.len(), rows));
    let (keys, values) = (weave(&keys, rows)?, weave(&values, rows)?);
    if keys.null_count() > 0 {
        return Err("the key of a map is NULL".into());
    }
    let entries = StructArray::try_new(fields, vec![keys, values], None).map_err(text)?;
    Ok(Arc::new(MapArray::try_new(field, offsets, entries, None, sorted).map_err(text)?))
}
