//! Values between two nodes of an expression: a column, or one constant for all rows; and typed views of them.
//!
//! Constants stay one value until somebody needs the column, so that `a = 'x'` compares with one string.

use crate::types::{LogicalType, TypeKind};
use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Datum, PrimitiveArray, StringArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt32Array,
    new_null_array,
};
use arrow_schema::{DataType, TimeUnit};
use base::Zone;
use std::sync::Arc;

/// The values of an expression for some rows.
#[derive(Debug, Clone)]
pub enum Value {
    /// One value per row.
    Column(ArrayRef),
    /// The only value of this array holds for every row.
    Constant(ArrayRef),
}

impl Value {
    pub fn array(&self) -> &ArrayRef {
        match self {
            Value::Column(array) | Value::Constant(array) => array,
        }
    }

    pub fn is_constant(&self) -> bool {
        matches!(self, Value::Constant(_))
    }

    /// One value per row.
    pub fn into_column(self, rows: usize) -> Result<ArrayRef, String> {
        match self {
            Value::Column(array) => Ok(array),
            Value::Constant(array) => spread(&array, rows),
        }
    }

    /// Where the value of `row` lies in the array.
    pub fn slot(&self, row: usize) -> usize {
        if self.is_constant() { 0 } else { row }
    }

    pub fn is_null(&self, row: usize) -> bool {
        // Arrow's array of NULLs has no validity of its own.
        self.array().data_type() == &DataType::Null || self.array().is_null(self.slot(row))
    }
}

/// Repeats the only value of `array`.
fn spread(array: &ArrayRef, rows: usize) -> Result<ArrayRef, String> {
    if array.is_null(0) {
        return Ok(new_null_array(array.data_type(), rows));
    }
    if rows == 1 {
        return Ok(array.clone());
    }
    arrow_select::take::take(array, &UInt32Array::from_value(0, rows), None)
        .map_err(|error| error.to_string())
}

impl Datum for Value {
    fn get(&self) -> (&dyn Array, bool) {
        (self.array().as_ref(), self.is_constant())
    }
}

/// Answers a constant when all inputs were constants.
pub fn wrap(array: ArrayRef, constant: bool) -> Value {
    if constant { Value::Constant(array) } else { Value::Column(array) }
}

macro_rules! view {
    ($(#[$doc:meta])* $name:ident, $array:ty, $item:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name<'a> {
            array: &'a $array,
            constant: bool,
        }

        impl<'a> $name<'a> {
            #[inline]
            pub fn get(&self, row: usize) -> Option<$item> {
                let slot = if self.constant { 0 } else { row };
                if self.array.is_null(slot) { None } else { Some(self.array.value(slot)) }
            }
        }
    };
}

view!(
    /// Texts by row.
    Texts, StringArray, &'a str
);
view!(
    /// Byte strings by row.
    Blobs, BinaryArray, &'a [u8]
);
view!(
    /// Truth values by row.
    Truths, BooleanArray, bool
);

/// Numbers of one Arrow type by row.
#[derive(Clone, Copy)]
pub struct Numbers<'a, T: ArrowPrimitiveType> {
    array: &'a PrimitiveArray<T>,
    constant: bool,
}

impl<T: ArrowPrimitiveType> Numbers<'_, T> {
    #[inline]
    pub fn get(&self, row: usize) -> Option<T::Native> {
        let slot = if self.constant { 0 } else { row };
        if self.array.is_null(slot) { None } else { Some(self.array.value(slot)) }
    }
}

fn mismatch(value: &Value, wanted: &str) -> String {
    format!("expected {wanted} but found a column of type {}", value.array().data_type())
}

impl Value {
    pub fn texts(&self) -> Result<Texts<'_>, String> {
        let array = self.array().as_string_opt().ok_or_else(|| mismatch(self, "texts"))?;
        Ok(Texts { array, constant: self.is_constant() })
    }

    pub fn blobs(&self) -> Result<Blobs<'_>, String> {
        let array = self.array().as_binary_opt().ok_or_else(|| mismatch(self, "bytes"))?;
        Ok(Blobs { array, constant: self.is_constant() })
    }

    pub fn truths(&self) -> Result<Truths<'_>, String> {
        let array = self.array().as_boolean_opt().ok_or_else(|| mismatch(self, "booleans"))?;
        Ok(Truths { array, constant: self.is_constant() })
    }

    pub fn numbers<T: ArrowPrimitiveType>(&self) -> Result<Numbers<'_, T>, String> {
        let array = self.array().as_primitive_opt::<T>().ok_or_else(|| mismatch(self, "numbers"))?;
        Ok(Numbers { array, constant: self.is_constant() })
    }

    pub fn numbers_of_int(&self) -> Result<Numbers<'_, Int32Type>, String> {
        self.numbers()
    }

    pub fn numbers_of_double(&self) -> Result<Numbers<'_, Float64Type>, String> {
        self.numbers()
    }

    /// Integers of any width.
    pub fn integers(&self) -> Result<Integers<'_>, String> {
        Ok(match self.array().data_type() {
            DataType::Int8 => Integers::I8(self.numbers()?),
            DataType::Int16 => Integers::I16(self.numbers()?),
            DataType::Int32 => Integers::I32(self.numbers()?),
            DataType::Int64 => Integers::I64(self.numbers()?),
            DataType::Date32 => Integers::Date(self.numbers()?),
            DataType::Time32(TimeUnit::Millisecond) => Integers::Time(self.numbers()?),
            _ => return Err(mismatch(self, "integers")),
        })
    }

    pub fn moments(&self) -> Result<Moments<'_>, String> {
        Ok(match self.array().data_type() {
            DataType::Timestamp(TimeUnit::Millisecond, _) => Moments::Milli(self.numbers()?),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Moments::Micro(self.numbers()?),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Moments::Nano(self.numbers()?),
            DataType::Date32 => Moments::Date(self.numbers()?),
            _ => return Err(mismatch(self, "timestamps")),
        })
    }
}

/// Integers of any width by row; dates are days and times are milliseconds.
pub enum Integers<'a> {
    I8(Numbers<'a, Int8Type>),
    I16(Numbers<'a, Int16Type>),
    I32(Numbers<'a, Int32Type>),
    I64(Numbers<'a, Int64Type>),
    Date(Numbers<'a, Date32Type>),
    Time(Numbers<'a, Time32MillisecondType>),
}

impl Integers<'_> {
    #[inline]
    pub fn get(&self, row: usize) -> Option<i64> {
        match self {
            Integers::I8(numbers) => numbers.get(row).map(i64::from),
            Integers::I16(numbers) => numbers.get(row).map(i64::from),
            Integers::I32(numbers) => numbers.get(row).map(i64::from),
            Integers::I64(numbers) => numbers.get(row),
            Integers::Date(numbers) => numbers.get(row).map(i64::from),
            Integers::Time(numbers) => numbers.get(row).map(i64::from),
        }
    }
}

/// A point of the time line: milliseconds since 1970 and the nanoseconds within the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    pub ms: i64,
    pub nanos: u32,
}

impl Moment {
    pub fn from_ms(ms: i64) -> Moment {
        Moment { ms, nanos: 0 }
    }

    /// What the clocks of a zone show at an instant.
    pub fn on_clock(self, zone: Zone) -> Moment {
        Moment { ms: zone.wall_ms(self.ms), nanos: self.nanos }
    }

    /// The instant at which the clocks of a zone show a time.
    pub fn at_clock(self, zone: Zone) -> Moment {
        Moment { ms: zone.instant_ms(self.ms), nanos: self.nanos }
    }
}

pub const DAY_MS: i64 = 86_400_000;

/// Timestamps of any precision by row; a date is its midnight.
pub enum Moments<'a> {
    Milli(Numbers<'a, TimestampMillisecondType>),
    Micro(Numbers<'a, TimestampMicrosecondType>),
    Nano(Numbers<'a, TimestampNanosecondType>),
    Date(Numbers<'a, Date32Type>),
}

impl Moments<'_> {
    #[inline]
    pub fn get(&self, row: usize) -> Option<Moment> {
        match self {
            Moments::Milli(numbers) => numbers.get(row).map(Moment::from_ms),
            Moments::Micro(numbers) => numbers.get(row).map(|micros| Moment {
                ms: micros.div_euclid(1_000),
                nanos: micros.rem_euclid(1_000) as u32 * 1_000,
            }),
            Moments::Nano(numbers) => numbers.get(row).map(|nanos| Moment {
                ms: nanos.div_euclid(1_000_000),
                nanos: nanos.rem_euclid(1_000_000) as u32,
            }),
            Moments::Date(numbers) => numbers.get(row).map(|day| Moment::from_ms(i64::from(day) * DAY_MS)),
        }
    }
}

/// Builds a column of timestamps; digits beyond the precision are cut, and what the unit cannot hold is NULL.
pub fn moments_column(
    moments: impl Iterator<Item = Option<Moment>>,
    to: &LogicalType,
) -> Result<ArrayRef, String> {
    let (precision, zone) = match to.kind {
        TypeKind::Timestamp(precision) => (precision, None),
        TypeKind::TimestampLtz(precision) => (precision, Some("UTC")),
        _ => return Err(format!("{to} is no type of timestamps")),
    };
    Ok(match precision {
        0..=3 => {
            let unit = 10_i64.pow(3 - u32::from(precision));
            let array: TimestampMillisecondArray =
                moments.map(|moment| moment.map(|m| m.ms - m.ms.rem_euclid(unit))).collect();
            Arc::new(array.with_timezone_opt(zone))
        }
        4..=6 => {
            let unit = 10_i64.pow(6 - u32::from(precision));
            let array: TimestampMicrosecondArray = moments
                .map(|moment| {
                    let moment = moment?;
                    let micros =
                        moment.ms.checked_mul(1_000)?.checked_add(i64::from(moment.nanos) / 1_000)?;
                    Some(micros - micros.rem_euclid(unit))
                })
                .collect();
            Arc::new(array.with_timezone_opt(zone))
        }
        _ => {
            let unit = 10_i64.pow(9 - u32::from(precision.min(9)));
            let array: TimestampNanosecondArray = moments
                .map(|moment| {
                    let moment = moment?;
                    let nanos = moment.ms.checked_mul(1_000_000)?.checked_add(i64::from(moment.nanos))?;
                    Some(nanos - nanos.rem_euclid(unit))
                })
                .collect();
            Arc::new(array.with_timezone_opt(zone))
        }
    })
}

/// Builds a column of integers in the width of the type; values that do not fit wrap, as Java's do.
pub fn integers_column(
    values: impl Iterator<Item = Option<i64>>,
    to: &LogicalType,
) -> Result<ArrayRef, String> {
    Ok(match to.to_arrow() {
        DataType::Int8 => {
            Arc::new(values.map(|v| v.map(|v| v as i8)).collect::<PrimitiveArray<Int8Type>>()) as ArrayRef
        }
        DataType::Int16 => {
            Arc::new(values.map(|v| v.map(|v| v as i16)).collect::<PrimitiveArray<Int16Type>>())
        }
        DataType::Int32 => {
            Arc::new(values.map(|v| v.map(|v| v as i32)).collect::<PrimitiveArray<Int32Type>>())
        }
        DataType::Int64 => Arc::new(values.collect::<PrimitiveArray<Int64Type>>()),
        DataType::Date32 => {
            Arc::new(values.map(|v| v.map(|v| v as i32)).collect::<PrimitiveArray<Date32Type>>())
        }
        DataType::Time32(TimeUnit::Millisecond) => {
            Arc::new(values.map(|v| v.map(|v| v as i32)).collect::<PrimitiveArray<Time32MillisecondType>>())
        }
        other => return Err(format!("{other} is no integer type")),
    })
}

/// Builds a column of texts; `write` appends the text of a row, or answers false for NULL.
pub fn texts_column(
    rows: usize,
    mut write: impl FnMut(usize, &mut String) -> bool,
) -> Result<ArrayRef, String> {
    let mut builder = StringBuilder::with_capacity(rows, rows * 8);
    let mut text = String::new();
    for row in 0..rows {
        text.clear();
        if write(row, &mut text) {
            if builder.values_slice().len() + text.len() > TEXTS_BYTES_MAX {
                return Err(format!(
                    "the texts of one column and step have more than {TEXTS_BYTES_MAX} bytes; make them \
                     shorter, or give a step fewer rows (--step-rows-max)"
                ));
            }
            builder.append_value(&text);
        } else {
            builder.append_null();
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// What the offsets of an array of texts can tell apart.
const TEXTS_BYTES_MAX: usize = i32::MAX as usize;
