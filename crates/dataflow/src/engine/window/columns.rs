//! Accumulators as Arrow columns, for snapshots: one row per key, in the order that the caller names.

use super::super::error::DataflowError;
use super::super::keys::KeyEncoder;
use super::accumulator::Accumulator;
use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float32Type, Float64Type, Int64Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, Decimal128Array, Float64Array, Int64Array, ListArray,
    PrimitiveArray, UInt32Array, UInt64Array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field};
use arrow_select::take::take;
use state::StateError;
use std::sync::Arc;

/// More rows than any key ever counts; a snapshot that says otherwise is damaged.
const COUNT_MAX: i64 = 1 << 50;

/// Sums are kept in the widest decimal; its scale has no meaning here.
const WIDE: DataType = DataType::Decimal128(38, 0);

pub(crate) fn bytes_column<'a>(
    values: impl Iterator<Item = Option<&'a [u8]>>,
    data_type: &DataType,
) -> Result<ArrayRef, DataflowError> {
    if *data_type != DataType::Utf8 {
        let mut builder = BinaryBuilder::new();
        values.for_each(|value| builder.append_option(value));
        return Ok(Arc::new(builder.finish()));
    }
    let mut builder = StringBuilder::new();
    for value in values {
        let text = value.map(std::str::from_utf8).transpose();
        builder.append_option(text.map_err(|_| DataflowError::internal("a string is not UTF-8"))?);
    }
    Ok(Arc::new(builder.finish()))
}

/// Decodes values of one column that were encoded as keys.
pub(crate) fn encoded_column<'a>(
    encoder: &KeyEncoder,
    values: impl Iterator<Item = Option<&'a [u8]>>,
    data_type: &DataType,
) -> Result<ArrayRef, DataflowError> {
    let values: Vec<Option<&[u8]>> = values.collect();
    let mut columns = encoder.decode(values.iter().copied().flatten())?;
    let present = columns.pop().ok_or_else(|| DataflowError::internal("a value has no column"))?;
    if present.len() == values.len() {
        return Ok(present);
    }
    if present.is_empty() {
        return Ok(arrow_array::new_null_array(data_type, values.len()));
    }
    let mut next = 0;
    let place = |value: &Option<&[u8]>| {
        value.map(|_| {
            next += 1;
            next - 1
        })
    };
    let places: UInt32Array = values.iter().map(place).collect();
    Ok(take(&present, &places, None)?)
}

fn gather<T: ArrowPrimitiveType>(values: &[T::Native], slots: &[u32]) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter_values(slots.iter().map(|slot| values[*slot as usize])))
}

fn wide(values: impl Iterator<Item = Option<i128>>) -> ArrayRef {
    Arc::new(values.collect::<Decimal128Array>().with_data_type(WIDE))
}

impl Accumulator {
    /// The types of [`Accumulator::save`]'s columns.
    pub(crate) fn saved_types(&self) -> Vec<DataType> {
        use DataType::{Float32, Float64, Int64, UInt64};
        match self {
            Accumulator::Count { .. } => vec![Int64],
            Accumulator::SumIntegers { .. } | Accumulator::AvgIntegers { .. } => vec![Int64, Int64],
            Accumulator::SumFloats32 { .. } => vec![Float32, Int64],
            Accumulator::Floats { .. } => vec![Float64, Int64],
            Accumulator::Decimals { .. } => vec![WIDE, Int64, Int64],
            Accumulator::ExtremeIntegers { .. } => vec![Int64],
            Accumulator::ExtremeDecimals { .. } => vec![WIDE],
            Accumulator::ExtremeFloats { .. } => vec![Float64],
            Accumulator::ExtremeBytes { result, .. } => vec![result.clone()],
            Accumulator::Ordered { result, .. } => vec![UInt64, result.clone()],
            Accumulator::Deviations { .. } => vec![Int64, Float64, Float64],
            Accumulator::Gathered(gathered) => gathered.saved_types(),
            Accumulator::Distinct(distinct) => {
                let mut types =
                    vec![DataType::List(Arc::new(Field::new("item", distinct.value_type(), true)))];
                types.extend(distinct.inner.saved_types());
                types
            }
        }
    }

    /// About how much memory the slots hold.
    pub(crate) fn memory_bytes(&self) -> usize {
        /// What a value of any length takes, by rule of thumb.
        const VALUE_BYTES: usize = 48;
        fn bytes<T>(values: &Vec<T>) -> usize {
            values.capacity() * size_of::<T>()
        }
        match self {
            Accumulator::Count { counts } => bytes(counts),
            Accumulator::SumIntegers { sums, counts, .. } | Accumulator::AvgIntegers { sums, counts, .. } => {
                bytes(sums) + bytes(counts)
            }
            Accumulator::SumFloats32 { sums, counts } => bytes(sums) + bytes(counts),
            Accumulator::Floats { sums, counts, .. } => bytes(sums) + bytes(counts),
            Accumulator::Decimals { sums, wraps, counts, .. } => bytes(sums) + bytes(wraps) + bytes(counts),
            Accumulator::ExtremeIntegers { values, seen, .. } => bytes(values) + bytes(seen),
            Accumulator::ExtremeFloats { values, seen, .. } => bytes(values) + bytes(seen),
            Accumulator::ExtremeDecimals { values, .. } => bytes(values),
            Accumulator::ExtremeBytes { values, .. } => bytes(values) + values.len() * VALUE_BYTES,
            Accumulator::Ordered { values, .. } => bytes(values) + values.len() * VALUE_BYTES,
            Accumulator::Deviations { counts, means, squares } => {
                bytes(counts) + bytes(means) + bytes(squares)
            }
            Accumulator::Gathered(gathered) => gathered.memory_bytes(),
            Accumulator::Distinct(distinct) => distinct.memory_bytes(),
        }
    }

    /// The state of some slots.
    pub(crate) fn save(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, DataflowError> {
        let slots_of = || slots.iter().map(|slot| *slot as usize);
        Ok(match self {
            Accumulator::Count { counts } => vec![gather::<Int64Type>(counts, slots)],
            Accumulator::SumIntegers { sums, counts, .. } | Accumulator::AvgIntegers { sums, counts, .. } => {
                vec![gather::<Int64Type>(sums, slots), gather::<Int64Type>(counts, slots)]
            }
            Accumulator::SumFloats32 { sums, counts } => {
                vec![gather::<Float32Type>(sums, slots), gather::<Int64Type>(counts, slots)]
            }
            Accumulator::Floats { sums, counts, .. } => {
                vec![gather::<Float64Type>(sums, slots), gather::<Int64Type>(counts, slots)]
            }
            Accumulator::Decimals { sums, wraps, counts, .. } => vec![
                wide(slots_of().map(|slot| Some(sums[slot]))),
                gather::<Int64Type>(wraps, slots),
                gather::<Int64Type>(counts, slots),
            ],
            Accumulator::ExtremeIntegers { values, seen, .. } => {
                let values = slots_of().map(|slot| seen[slot].then_some(values[slot]));
                vec![Arc::new(values.collect::<Int64Array>())]
            }
            Accumulator::ExtremeFloats { values, seen, .. } => {
                let values = slots_of().map(|slot| seen[slot].then_some(values[slot]));
                vec![Arc::new(values.collect::<Float64Array>())]
            }
            Accumulator::ExtremeDecimals { values, .. } => vec![wide(slots_of().map(|slot| values[slot]))],
            Accumulator::ExtremeBytes { values, result, .. } => {
                vec![bytes_column(slots_of().map(|slot| values[slot].as_deref()), result)?]
            }
            Accumulator::Ordered { values, encoder, result, .. } => {
                let encoder = encoder.as_ref().ok_or_else(|| DataflowError::internal("no encoder"))?;
                let numbers = slots_of().map(|slot| values[slot].as_ref().map(|value| value.0));
                let values = slots_of().map(|slot| values[slot].as_ref().map(|value| &*value.1));
                vec![Arc::new(numbers.collect::<UInt64Array>()), encoded_column(encoder, values, result)?]
            }
            Accumulator::Deviations { counts, means, squares } => vec![
                gather::<Int64Type>(counts, slots),
                gather::<Float64Type>(means, slots),
                gather::<Float64Type>(squares, slots),
            ],
            Accumulator::Gathered(gathered) => gathered.save(slots),
            Accumulator::Distinct(distinct) => {
                let (lengths, values) = distinct.values(slots)?;
                let field = Arc::new(Field::new("item", distinct.value_type(), true));
                let total: usize = lengths.iter().sum();
                if i32::try_from(total).is_err() {
                    return Err(DataflowError::internal("a key group holds more than 2^31 distinct values"));
                }
                let lists = ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), values, None)?;
                let mut columns: Vec<ArrayRef> = vec![Arc::new(lists)];
                columns.extend(distinct.inner.save(slots)?);
                columns
            }
        })
    }

    /// Puts saved state back: row `n` of the columns belongs to slot `slots[n]`, which has room and
    /// holds nothing yet.
    pub(crate) fn restore(&mut self, slots: &[u32], columns: &[ArrayRef]) -> Result<(), DataflowError> {
        let types = self.saved_types();
        let fits = columns.len() == types.len()
            && columns.iter().zip(&types).all(|(column, data_type)| {
                column.len() == slots.len() && column.data_type().equals_datatype(data_type)
            });
        if !fits {
            return Err(StateError::damaged("an aggregate's columns do not fit").into());
        }
        let slots_of = || slots.iter().map(|slot| *slot as usize);
        match self {
            Accumulator::Count { counts } => restore_counts(counts, slots, &columns[0])?,
            Accumulator::SumIntegers { sums, counts, .. } | Accumulator::AvgIntegers { sums, counts, .. } => {
                scatter::<Int64Type>(sums, slots, &columns[0]);
                restore_counts(counts, slots, &columns[1])?;
            }
            Accumulator::SumFloats32 { sums, counts } => {
                scatter::<Float32Type>(sums, slots, &columns[0]);
                restore_counts(counts, slots, &columns[1])?;
            }
            Accumulator::Floats { sums, counts, .. } => {
                scatter::<Float64Type>(sums, slots, &columns[0]);
                restore_counts(counts, slots, &columns[1])?;
            }
            Accumulator::Decimals { sums, wraps, counts, .. } => {
                scatter::<Decimal128Type>(sums, slots, &columns[0]);
                scatter::<Int64Type>(wraps, slots, &columns[1]);
                restore_counts(counts, slots, &columns[2])?;
            }
            Accumulator::ExtremeIntegers { values, seen, .. } => {
                scatter::<Int64Type>(values, slots, &columns[0]);
                slots_of().enumerate().for_each(|(row, slot)| seen[slot] = columns[0].is_valid(row));
            }
            Accumulator::ExtremeFloats { values, seen, .. } => {
                scatter::<Float64Type>(values, slots, &columns[0]);
                slots_of().enumerate().for_each(|(row, slot)| seen[slot] = columns[0].is_valid(row));
            }
            Accumulator::ExtremeDecimals { values, .. } => {
                let column = columns[0].as_primitive::<Decimal128Type>();
                slots_of().zip(column).for_each(|(slot, value)| values[slot] = value);
            }
            Accumulator::ExtremeBytes { values, .. } => {
                for (row, slot) in slots_of().enumerate().filter(|(row, _)| columns[0].is_valid(*row)) {
                    values[slot] = Some(match columns[0].data_type() {
                        DataType::Utf8 => columns[0].as_string::<i32>().value(row).as_bytes().into(),
                        _ => columns[0].as_binary::<i32>().value(row).into(),
                    });
                }
            }
            Accumulator::Ordered { values, encoder, .. } => {
                let encoder = encoder.as_ref().ok_or_else(|| DataflowError::internal("no encoder"))?;
                let numbers = columns[0].as_primitive::<UInt64Type>();
                let encoded = encoder.encode_columns(&columns[1..], slots.len())?;
                for (row, slot) in slots_of().enumerate().filter(|(row, _)| numbers.is_valid(*row)) {
                    values[slot] = Some((numbers.value(row), encoded.bytes(row).into()));
                }
            }
            Accumulator::Deviations { counts, means, squares } => {
                scatter::<Int64Type>(counts, slots, &columns[0]);
                scatter::<Float64Type>(means, slots, &columns[1]);
                scatter::<Float64Type>(squares, slots, &columns[2]);
            }
            Accumulator::Gathered(gathered) => gathered.restore(slots, columns)?,
            Accumulator::Distinct(distinct) => {
                let lists = columns[0].as_list::<i32>();
                let owners = slots.iter().zip(lists.value_offsets().windows(2));
                let owners: Vec<u32> = owners
                    .flat_map(|(slot, pair)| {
                        std::iter::repeat_n(*slot, usize::try_from(pair[1] - pair[0]).unwrap_or(0))
                    })
                    .collect();
                let first = lists.value_offsets().first().map_or(0, |first| *first as usize);
                distinct.restore(&owners, &lists.values().slice(first, owners.len()))?;
                distinct.inner.restore(slots, &columns[1..])?;
            }
        }
        Ok(())
    }
}

fn scatter<T: ArrowPrimitiveType>(values: &mut [T::Native], slots: &[u32], column: &ArrayRef) {
    for (slot, value) in slots.iter().zip(column.as_primitive::<T>().values()) {
        values[*slot as usize] = *value;
    }
}

fn restore_counts(counts: &mut [i64], slots: &[u32], column: &ArrayRef) -> Result<(), DataflowError> {
    let column = column.as_primitive::<Int64Type>();
    if column.values().iter().any(|count| !(0..=COUNT_MAX).contains(count)) {
        return Err(StateError::damaged("a count is out of range").into());
    }
    scatter::<Int64Type>(counts, slots, &(Arc::new(column.clone()) as ArrayRef));
    Ok(())
}
