//! Arguments of aggregates: a column widened once per batch to one of few representations.
//!
//! The accumulators then need one loop per representation and not one per type. Which rows count
//! (not NULL, and passing the FILTER) is worked out here too.

use super::super::error::DataflowError;
use super::super::keys::{KeyEncoder, Keys};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, Time32SecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, PrimitiveArray, StringArray,
};
use arrow_buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow_schema::{DataType, TimeUnit};
use std::sync::Arc;

/// How the values of an argument are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Representation {
    /// Only whether it is NULL matters.
    Nothing,
    /// Integers, booleans, dates, times and timestamps.
    Integers,
    Decimals,
    Floats,
    Strings,
    Bytes,
    /// Any type, encoded as keys are.
    Encoded,
    /// The same, and NULL is a value too.
    EncodedWithNulls,
}

impl Representation {
    /// The representation that keeps the order of a type's values, where there is one.
    pub(crate) fn ordered(data_type: &DataType) -> Option<Representation> {
        match data_type {
            DataType::Boolean | DataType::Date32 | DataType::Timestamp(..) | DataType::Time32(_) => {
                Some(Representation::Integers)
            }
            DataType::Utf8 => Some(Representation::Strings),
            DataType::Binary => Some(Representation::Bytes),
            other => Representation::numeric(other),
        }
    }

    pub(crate) fn numeric(data_type: &DataType) -> Option<Representation> {
        match data_type {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                Some(Representation::Integers)
            }
            DataType::Decimal128(..) => Some(Representation::Decimals),
            DataType::Float32 | DataType::Float64 => Some(Representation::Floats),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(crate) enum Values {
    Nothing,
    Integers(ScalarBuffer<i64>),
    Decimals(ScalarBuffer<i128>),
    Floats(ScalarBuffer<f64>),
    Strings(StringArray),
    Bytes(BinaryArray),
    Encoded(Keys),
}

/// The argument of one aggregate over one batch.
#[derive(Debug)]
pub(crate) struct Argument {
    pub(crate) values: Values,
    /// For DISTINCT: `values` are encoded, these are what the aggregate takes.
    pub(crate) plain: Option<Box<Argument>>,
    /// The rows that count; `None` when all do.
    pub(crate) selected: Option<BooleanBuffer>,
}

impl Argument {
    pub(crate) fn new(
        column: Option<&ArrayRef>,
        filter: Option<&BooleanArray>,
        representation: Representation,
        distinct: Option<&KeyEncoder>,
    ) -> Result<Argument, DataflowError> {
        let not_null = column
            .filter(|_| representation != Representation::EncodedWithNulls)
            .and_then(|column| column.logical_nulls())
            .filter(|nulls| nulls.null_count() > 0);
        let selected = match (not_null.map(NullBuffer::into_inner), filter.map(passing)) {
            (Some(left), Some(right)) => Some(&left & &right),
            (left, right) => left.or(right),
        };
        let Some(column) = column else {
            return Ok(Argument { values: Values::Nothing, plain: None, selected });
        };
        let plain = Argument { values: represent(column, representation, distinct)?, plain: None, selected };
        let is_encoded = matches!(representation, Representation::Encoded | Representation::EncodedWithNulls);
        let Some(encoder) = distinct.filter(|_| !is_encoded) else {
            return Ok(plain);
        };
        let values = Values::Encoded(encoder.encode_columns(std::slice::from_ref(column), column.len())?);
        Ok(Argument { values, selected: plain.selected.clone(), plain: Some(Box::new(plain)) })
    }

    /// Calls back for every pair of a slot and a row that counts.
    #[inline]
    pub(crate) fn for_each(&self, slots: &[u32], rows: &[u32], mut each: impl FnMut(usize, usize)) {
        match &self.selected {
            None => slots.iter().zip(rows).for_each(|(slot, row)| each(*slot as usize, *row as usize)),
            Some(selected) => {
                for (slot, row) in slots.iter().zip(rows) {
                    if selected.value(*row as usize) {
                        each(*slot as usize, *row as usize);
                    }
                }
            }
        }
    }
}

/// The rows for which a filter holds.
pub(crate) fn passing(filter: &BooleanArray) -> BooleanBuffer {
    match filter.nulls() {
        Some(nulls) => filter.values() & nulls.inner(),
        None => filter.values().clone(),
    }
}

fn represent(
    column: &ArrayRef,
    representation: Representation,
    encoder: Option<&KeyEncoder>,
) -> Result<Values, DataflowError> {
    let unfit = || DataflowError::internal(format!("{} is not {representation:?}", column.data_type()));
    Ok(match representation {
        Representation::Nothing => Values::Nothing,
        Representation::Integers => Values::Integers(integers(column.as_ref()).ok_or_else(unfit)?),
        Representation::Decimals => {
            Values::Decimals(column.as_primitive_opt::<Decimal128Type>().ok_or_else(unfit)?.values().clone())
        }
        Representation::Floats => Values::Floats(match column.data_type() {
            DataType::Float32 => {
                column.as_primitive::<Float32Type>().values().iter().map(|value| f64::from(*value)).collect()
            }
            DataType::Float64 => column.as_primitive::<Float64Type>().values().clone(),
            _ => return Err(unfit()),
        }),
        Representation::Strings => Values::Strings(column.as_string_opt::<i32>().ok_or_else(unfit)?.clone()),
        Representation::Bytes => Values::Bytes(column.as_binary_opt::<i32>().ok_or_else(unfit)?.clone()),
        Representation::Encoded | Representation::EncodedWithNulls => {
            let encoder = encoder.ok_or_else(unfit)?;
            Values::Encoded(encoder.encode_columns(std::slice::from_ref(column), column.len())?)
        }
    })
}

fn integers(column: &dyn Array) -> Option<ScalarBuffer<i64>> {
    fn widen<T: ArrowPrimitiveType>(column: &dyn Array) -> ScalarBuffer<i64>
    where
        T::Native: Into<i64>,
    {
        column.as_primitive::<T>().values().iter().map(|value| (*value).into()).collect()
    }
    Some(match column.data_type() {
        DataType::Boolean => column.as_boolean().values().iter().map(i64::from).collect(),
        DataType::Int8 => widen::<Int8Type>(column),
        DataType::Int16 => widen::<Int16Type>(column),
        DataType::Int32 => widen::<Int32Type>(column),
        DataType::Int64 => column.as_primitive::<Int64Type>().values().clone(),
        DataType::Date32 => widen::<Date32Type>(column),
        DataType::Time32(TimeUnit::Second) => widen::<Time32SecondType>(column),
        DataType::Time32(TimeUnit::Millisecond) => widen::<Time32MillisecondType>(column),
        DataType::Timestamp(TimeUnit::Second, _) => {
            column.as_primitive::<TimestampSecondType>().values().clone()
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            column.as_primitive::<TimestampMillisecondType>().values().clone()
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            column.as_primitive::<TimestampMicrosecondType>().values().clone()
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            column.as_primitive::<TimestampNanosecondType>().values().clone()
        }
        _ => return None,
    })
}

/// Integers back in the type that they came from; sums wrap to the type's width.
pub(crate) fn integer_column(
    values: Vec<i64>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef, DataflowError> {
    fn narrow<T: ArrowPrimitiveType>(
        values: Vec<i64>,
        nulls: Option<NullBuffer>,
        data_type: &DataType,
        cast: impl Fn(i64) -> T::Native,
    ) -> ArrayRef {
        let values: ScalarBuffer<T::Native> = values.into_iter().map(cast).collect();
        Arc::new(PrimitiveArray::<T>::new(values, nulls).with_data_type(data_type.clone()))
    }
    let same = |value: i64| value;
    Ok(match data_type {
        DataType::Boolean => {
            let values: BooleanBuffer = values.into_iter().map(|value| value != 0).collect();
            Arc::new(BooleanArray::new(values, nulls))
        }
        DataType::Int8 => narrow::<Int8Type>(values, nulls, data_type, |value| value as i8),
        DataType::Int16 => narrow::<Int16Type>(values, nulls, data_type, |value| value as i16),
        DataType::Int32 => narrow::<Int32Type>(values, nulls, data_type, |value| value as i32),
        DataType::Int64 => narrow::<Int64Type>(values, nulls, data_type, same),
        DataType::Date32 => narrow::<Date32Type>(values, nulls, data_type, |value| value as i32),
        DataType::Time32(TimeUnit::Second) => {
            narrow::<Time32SecondType>(values, nulls, data_type, |value| value as i32)
        }
        DataType::Time32(TimeUnit::Millisecond) => {
            narrow::<Time32MillisecondType>(values, nulls, data_type, |value| value as i32)
        }
        DataType::Timestamp(TimeUnit::Second, _) => {
            narrow::<TimestampSecondType>(values, nulls, data_type, same)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            narrow::<TimestampMillisecondType>(values, nulls, data_type, same)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            narrow::<TimestampMicrosecondType>(values, nulls, data_type, same)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            narrow::<TimestampNanosecondType>(values, nulls, data_type, same)
        }
        other => return Err(DataflowError::internal(format!("{other} does not hold integers"))),
    })
}

/// Floats back in the type that they came from.
pub(crate) fn float_column(
    values: Vec<f64>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef, DataflowError> {
    Ok(match data_type {
        DataType::Float32 => {
            let values: ScalarBuffer<f32> = values.into_iter().map(|value| value as f32).collect();
            Arc::new(PrimitiveArray::<Float32Type>::new(values, nulls))
        }
        DataType::Float64 => Arc::new(PrimitiveArray::<Float64Type>::new(values.into(), nulls)),
        other => return Err(DataflowError::internal(format!("{other} does not hold floats"))),
    })
}

/// Decimals with the type's precision and scale; what does not fit is NULL.
pub(crate) fn decimal_column(
    values: Vec<Option<i128>>,
    data_type: &DataType,
) -> Result<ArrayRef, DataflowError> {
    let DataType::Decimal128(precision, _) = data_type else {
        return Err(DataflowError::internal(format!("{data_type} does not hold decimals")));
    };
    let bound = 10i128.checked_pow(u32::from(*precision)).unwrap_or(i128::MAX);
    let fits = |value: &i128| *value < bound && *value > -bound;
    let values = values.into_iter().map(|value| value.filter(fits));
    Ok(Arc::new(values.collect::<PrimitiveArray<Decimal128Type>>().with_data_type(data_type.clone())))
}
