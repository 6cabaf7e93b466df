//! Types as Flink prints them.

use super::commas;
use crate::ast::{DataType, DataTypeKind, RowField, TimeUnit};
use std::fmt::{self, Display, Formatter};

impl Display for DataType {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind, if self.nullable { "" } else { " NOT NULL" })
    }
}

impl Display for DataTypeKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            DataTypeKind::Boolean => f.write_str("BOOLEAN"),
            DataTypeKind::TinyInt => f.write_str("TINYINT"),
            DataTypeKind::SmallInt => f.write_str("SMALLINT"),
            DataTypeKind::Int => f.write_str("INT"),
            DataTypeKind::BigInt => f.write_str("BIGINT"),
            DataTypeKind::Float => f.write_str("FLOAT"),
            DataTypeKind::Double => f.write_str("DOUBLE"),
            DataTypeKind::Decimal { precision, scale } => write!(f, "DECIMAL({precision}, {scale})"),
            DataTypeKind::Char { length } => write!(f, "CHAR({length})"),
            DataTypeKind::VarChar { length } => write!(f, "VARCHAR({length})"),
            DataTypeKind::Binary { length } => write!(f, "BINARY({length})"),
            DataTypeKind::VarBinary { length } => write!(f, "VARBINARY({length})"),
            DataTypeKind::Date => f.write_str("DATE"),
            DataTypeKind::Time { precision } => write!(f, "TIME({precision})"),
            DataTypeKind::Timestamp { precision } => write!(f, "TIMESTAMP({precision})"),
            DataTypeKind::TimestampWithTimeZone { precision } => {
                write!(f, "TIMESTAMP({precision}) WITH TIME ZONE")
            }
            DataTypeKind::TimestampLtz { precision } => {
                write!(f, "TIMESTAMP({precision}) WITH LOCAL TIME ZONE")
            }
            DataTypeKind::IntervalYearMonth { from, to, precision } => {
                write!(f, "INTERVAL {}({precision})", from.name())?;
                end(f, *to, None)
            }
            DataTypeKind::IntervalDayTime { from: TimeUnit::Second, precision, fraction, .. } => {
                write!(f, "INTERVAL SECOND({precision}, {fraction})")
            }
            DataTypeKind::IntervalDayTime { from, to, precision, fraction } => {
                write!(f, "INTERVAL {}({precision})", from.name())?;
                end(f, *to, Some(*fraction))
            }
            DataTypeKind::Array(element) => write!(f, "ARRAY<{element}>"),
            DataTypeKind::Multiset(element) => write!(f, "MULTISET<{element}>"),
            DataTypeKind::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            DataTypeKind::Row(fields) => write!(f, "ROW<{}>", commas(fields)),
            DataTypeKind::Raw { class, serializer } => write!(f, "RAW({class}, {serializer})"),
            DataTypeKind::Variant => f.write_str("VARIANT"),
            DataTypeKind::Bitmap => f.write_str("BITMAP"),
            DataTypeKind::Null => f.write_str("NULL"),
            DataTypeKind::Descriptor => f.write_str("DESCRIPTOR"),
            DataTypeKind::Named(name) => write!(f, "{name}"),
        }
    }
}

/// ` TO unit` of an interval, with the digits of its seconds.
fn end(f: &mut Formatter<'_>, to: Option<TimeUnit>, fraction: Option<u8>) -> fmt::Result {
    match (to, fraction) {
        (Some(TimeUnit::Second), Some(fraction)) => write!(f, " TO SECOND({fraction})"),
        (Some(unit), _) => write!(f, " TO {}", unit.name()),
        (None, _) => Ok(()),
    }
}

impl Display for RowField {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.data_type)?;
        match &self.comment {
            Some(comment) => write!(f, " {comment}"),
            None => Ok(()),
        }
    }
}
