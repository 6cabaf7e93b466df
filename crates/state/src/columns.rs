//! Arrow columns as bytes, for snapshots: canonical and read without trust.
//!
//! Canonical: equal columns give equal bytes, whatever lies under a NULL and however a column is
//! sliced. Read without trust: every length is checked against the bytes that remain before anything
//! is allocated, and arrays are built by arrow's checking constructors.
//!
//! A column is: its row count, a flag and a packed bitmap if it has NULLs, then the values that are
//! not NULL, by type: fixed-width values and booleans one after the other; strings and bytes as
//! lengths and one blob; lists and maps as lengths and a column of the elements; rows as columns.

use crate::error::StateError;
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, ByteArrayType};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, NullArray, PrimitiveArray, StringArray,
    StructArray, UInt32Array, downcast_primitive,
};
use arrow_buffer::{
    ArrowNativeType, BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer, ToByteSlice,
};
use arrow_schema::DataType;
use base::codec::{CodecError, FieldReader, FieldWriter};
use std::sync::Arc;

/// How deep types may nest.
const DEPTH_MAX: usize = 64;

/// Whether columns of this type can be kept in state.
pub fn supports(data_type: &DataType) -> bool {
    supports_at(data_type, 0)
}

fn supports_at(data_type: &DataType, depth: usize) -> bool {
    if depth > DEPTH_MAX {
        return false;
    }
    match data_type {
        DataType::Null | DataType::Boolean | DataType::Utf8 | DataType::Binary => true,
        DataType::List(field) => supports_at(field.data_type(), depth + 1),
        DataType::Map(entries, _) => {
            matches!(entries.data_type(), DataType::Struct(_)) && supports_at(entries.data_type(), depth + 1)
        }
        DataType::Struct(fields) => fields.iter().all(|field| supports_at(field.data_type(), depth + 1)),
        _ => data_type.is_primitive(),
    }
}

/// Appends a column.
pub fn write_column(out: &mut FieldWriter, column: &dyn Array) -> Result<(), StateError> {
    let rows = u32::try_from(column.len()).map_err(|_| StateError::damaged("a column is too long"))?;
    out.u32(rows);
    if let DataType::Null = column.data_type() {
        return Ok(());
    }
    let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
    out.u8(u8::from(nulls.is_some()));
    let Some(nulls) = nulls else { return write_values(out, column) };
    out.bytes(&pack(nulls.iter()));
    let valid = nulls.iter().enumerate().filter(|(_, valid)| *valid).map(|(row, _)| row as u32);
    let valid = UInt32Array::from_iter_values(valid);
    write_values(out, arrow_select::take::take(column, &valid, None)?.as_ref())
}

fn pack(bits: impl ExactSizeIterator<Item = bool>) -> Vec<u8> {
    let mut packed = vec![0u8; bits.len().div_ceil(8)];
    for (index, bit) in bits.enumerate() {
        packed[index / 8] |= u8::from(bit) << (index % 8);
    }
    packed
}

/// Values of a column without NULLs.
fn write_values(out: &mut FieldWriter, column: &dyn Array) -> Result<(), StateError> {
    macro_rules! fixed_width {
        ($t:ty) => {{
            out.bytes(column.as_primitive::<$t>().values().to_byte_slice());
        }};
    }
    downcast_primitive! {
        column.data_type() => (fixed_width),
        DataType::Boolean => {
            out.bytes(&pack(column.as_boolean().values().iter()));
        }
        DataType::Utf8 => write_blobs(out, column.as_string::<i32>()),
        DataType::Binary => write_blobs(out, column.as_binary::<i32>()),
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            write_lengths(out, list.value_offsets());
            let (first, last) = ends(list.value_offsets());
            write_column(out, list.values().slice(first, last - first).as_ref())?;
        }
        DataType::Map(_, _) => {
            let map = column.as_map();
            write_lengths(out, map.value_offsets());
            let (first, last) = ends(map.value_offsets());
            write_column(out, &map.entries().slice(first, last - first))?;
        }
        DataType::Struct(_) => {
            for child in column.as_struct().columns() {
                write_column(out, child.as_ref())?;
            }
        }
        other => return Err(StateError::Unsupported { data_type: other.to_string() }),
    }
    Ok(())
}

fn ends(offsets: &[i32]) -> (usize, usize) {
    (offsets.first().map_or(0, |first| first.as_usize()), offsets.last().map_or(0, |last| last.as_usize()))
}

fn write_lengths(out: &mut FieldWriter, offsets: &[i32]) {
    let lengths: Vec<u8> = offsets.windows(2).flat_map(|pair| (pair[1] - pair[0]).to_le_bytes()).collect();
    out.bytes(&lengths);
}

fn write_blobs<T: ByteArrayType<Offset = i32>>(
    out: &mut FieldWriter,
    array: &arrow_array::GenericByteArray<T>,
) {
    write_lengths(out, array.value_offsets());
    let (first, last) = ends(array.value_offsets());
    out.bytes(&array.value_data()[first..last]);
}

/// Reads a column of a known type.
pub fn read_column(reader: &mut FieldReader<'_>, data_type: &DataType) -> Result<ArrayRef, StateError> {
    read_at(reader, data_type, 0)
}

fn read_at(reader: &mut FieldReader<'_>, data_type: &DataType, depth: usize) -> Result<ArrayRef, StateError> {
    if depth > DEPTH_MAX {
        return Err(StateError::Unsupported { data_type: data_type.to_string() });
    }
    let rows = reader.u32()? as usize;
    if let DataType::Null = data_type {
        return Ok(Arc::new(NullArray::new(rows)));
    }
    if reader.u8()? == 0 {
        return read_values(reader, data_type, rows, depth);
    }
    let bitmap = reader.bytes()?;
    if bitmap.len() != rows.div_ceil(8) {
        return Err(CodecError { what: "a bitmap has the wrong length" }.into());
    }
    let valid = NullBuffer::new(BooleanBuffer::new(Buffer::from(bitmap), 0, rows));
    let values = read_values(reader, data_type, rows - valid.null_count(), depth)?;
    let mut next = 0;
    let indices = valid.iter().map(|valid| {
        valid.then(|| {
            next += 1;
            next - 1
        })
    });
    let indices: UInt32Array = indices.collect();
    Ok(arrow_select::take::take(values.as_ref(), &indices, None)?)
}

fn read_values(
    reader: &mut FieldReader<'_>,
    data_type: &DataType,
    rows: usize,
    depth: usize,
) -> Result<ArrayRef, StateError> {
    macro_rules! fixed_width {
        ($t:ty) => {{ read_primitive::<$t>(reader.bytes()?, data_type, rows)? }};
    }
    Ok(downcast_primitive! {
        data_type => (fixed_width),
        DataType::Boolean => {
            let packed = reader.bytes()?;
            if packed.len() != rows.div_ceil(8) {
                return Err(CodecError { what: "a boolean column has the wrong length" }.into());
            }
            Arc::new(BooleanArray::new(BooleanBuffer::new(Buffer::from(packed), 0, rows), None))
        }
        DataType::Utf8 => {
            let offsets = read_offsets(reader, rows)?;
            Arc::new(StringArray::try_new(offsets, Buffer::from(reader.bytes()?), None)?)
        }
        DataType::Binary => {
            let offsets = read_offsets(reader, rows)?;
            Arc::new(BinaryArray::try_new(offsets, Buffer::from(reader.bytes()?), None)?)
        }
        DataType::List(field) => {
            let offsets = read_offsets(reader, rows)?;
            let values = read_at(reader, field.data_type(), depth + 1)?;
            Arc::new(ListArray::try_new(field.clone(), offsets, values, None)?)
        }
        DataType::Map(field, ordered) => {
            let offsets = read_offsets(reader, rows)?;
            let entries = read_at(reader, field.data_type(), depth + 1)?;
            let entries = entries.as_struct_opt().ok_or_else(|| StateError::damaged("a map has no entries"))?;
            Arc::new(MapArray::try_new(field.clone(), offsets, entries.clone(), None, *ordered)?)
        }
        DataType::Struct(fields) => {
            let children = fields.iter().map(|field| read_at(reader, field.data_type(), depth + 1));
            let children = children.collect::<Result<Vec<_>, _>>()?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), children, None, rows)?)
        }
        other => return Err(StateError::Unsupported { data_type: other.to_string() }),
    })
}

fn read_primitive<T: ArrowPrimitiveType>(
    bytes: &[u8],
    data_type: &DataType,
    rows: usize,
) -> Result<ArrayRef, StateError> {
    if bytes.len() != rows.saturating_mul(size_of::<T::Native>()) {
        return Err(CodecError { what: "a column has the wrong length" }.into());
    }
    // Copying aligns the values.
    let values = ScalarBuffer::<T::Native>::new(Buffer::from(bytes), 0, rows);
    Ok(Arc::new(PrimitiveArray::<T>::try_new(values, None)?.with_data_type(data_type.clone())))
}

fn read_offsets(reader: &mut FieldReader<'_>, rows: usize) -> Result<OffsetBuffer<i32>, StateError> {
    let lengths = reader.bytes()?;
    if lengths.len() != rows.saturating_mul(4) {
        return Err(CodecError { what: "lengths are missing" }.into());
    }
    let mut offsets = Vec::with_capacity(rows + 1);
    let mut end = 0i32;
    offsets.push(end);
    for length in lengths.chunks_exact(4) {
        let length = i32::from_le_bytes(length.try_into().expect("chunks have four bytes"));
        end = (length >= 0)
            .then(|| end.checked_add(length))
            .flatten()
            .ok_or(CodecError { what: "a length is out of range" })?;
        offsets.push(end);
    }
    Ok(OffsetBuffer::new(ScalarBuffer::from(offsets)))
}
