//! Logical types as Arrow columns.
//!
//! Timestamps take the coarsest unit that holds their precision: milliseconds up to 3 digits, microseconds up to
//! 6, nanoseconds up to 9. The inverse mapping loses what Arrow has no word for (lengths, CHAR, intervals).

use super::{LogicalType, RowField, TypeKind};
use arrow_schema::{DataType, Field, FieldRef, Fields, TimeUnit};
use std::sync::Arc;

/// The zone name that marks a TIMESTAMP_LTZ column; the values are instants.
pub(crate) const LTZ_ZONE: &str = "UTC";

impl LogicalType {
    /// The Arrow type of a column of this type.
    pub fn to_arrow(&self) -> DataType {
        match &self.kind {
            TypeKind::Boolean => DataType::Boolean,
            TypeKind::TinyInt => DataType::Int8,
            TypeKind::SmallInt => DataType::Int16,
            TypeKind::Int => DataType::Int32,
            TypeKind::BigInt => DataType::Int64,
            TypeKind::Float => DataType::Float32,
            TypeKind::Double => DataType::Float64,
            TypeKind::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale as i8),
            TypeKind::Char(_) | TypeKind::VarChar(_) | TypeKind::Variant => DataType::Utf8,
            TypeKind::Binary(_) | TypeKind::VarBinary(_) => DataType::Binary,
            TypeKind::Date => DataType::Date32,
            TypeKind::Time(_) => DataType::Time32(TimeUnit::Millisecond),
            TypeKind::Timestamp(precision) => DataType::Timestamp(unit_of(*precision), None),
            TypeKind::TimestampLtz(precision) => {
                DataType::Timestamp(unit_of(*precision), Some(LTZ_ZONE.into()))
            }
            TypeKind::IntervalYearMonth => DataType::Int32,
            TypeKind::IntervalDayTime => DataType::Int64,
            TypeKind::Array(element) => DataType::List(element.to_field("item")),
            TypeKind::Multiset(element) => map_type(element, &TypeKind::Int.not_null()),
            TypeKind::Map(key, value) => map_type(key, value),
            TypeKind::Row(fields) => {
                DataType::Struct(fields.iter().map(|field| field.data_type.to_field(&field.name)).collect())
            }
            TypeKind::Null => DataType::Null,
        }
    }

    pub fn to_field(&self, name: &str) -> FieldRef {
        Arc::new(Field::new(name, self.to_arrow(), self.nullable))
    }

    /// The logical type nearest to an Arrow type; `None` where there is none.
    pub fn from_arrow(data_type: &DataType, nullable: bool) -> Option<LogicalType> {
        let kind = match data_type {
            DataType::Null => TypeKind::Null,
            DataType::Boolean => TypeKind::Boolean,
            DataType::Int8 => TypeKind::TinyInt,
            DataType::Int16 => TypeKind::SmallInt,
            DataType::Int32 => TypeKind::Int,
            DataType::Int64 => TypeKind::BigInt,
            DataType::Float32 => TypeKind::Float,
            DataType::Float64 => TypeKind::Double,
            DataType::Decimal128(precision, scale) => {
                TypeKind::Decimal { precision: *precision, scale: u8::try_from(*scale).ok()? }
            }
            DataType::Utf8 => TypeKind::string(),
            DataType::Binary => TypeKind::bytes(),
            DataType::Date32 => TypeKind::Date,
            DataType::Time32(_) => TypeKind::Time(0),
            DataType::Timestamp(unit, None) => TypeKind::Timestamp(precision_of(*unit)),
            DataType::Timestamp(unit, Some(_)) => TypeKind::TimestampLtz(precision_of(*unit)),
            DataType::List(field) => TypeKind::Array(Box::new(LogicalType::from_field(field)?)),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => TypeKind::Map(
                    Box::new(LogicalType::from_field(&fields[0])?),
                    Box::new(LogicalType::from_field(&fields[1])?),
                ),
                _ => return None,
            },
            DataType::Struct(fields) => TypeKind::Row(
                fields
                    .iter()
                    .map(|field| {
                        Some(RowField {
                            name: field.name().clone(),
                            data_type: LogicalType::from_field(field)?,
                        })
                    })
                    .collect::<Option<_>>()?,
            ),
            _ => return None,
        };
        Some(LogicalType { kind, nullable })
    }

    fn from_field(field: &Field) -> Option<LogicalType> {
        LogicalType::from_arrow(field.data_type(), field.is_nullable())
    }
}

pub(crate) fn unit_of(precision: u8) -> TimeUnit {
    match precision {
        0..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

fn precision_of(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

fn map_type(key: &LogicalType, value: &LogicalType) -> DataType {
    // Arrow's maps have no NULL keys.
    let key = Arc::new(Field::new("key", key.to_arrow(), false));
    let entries = Fields::from(vec![key, value.to_field("value")]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}
