//! The logical types of Flink SQL: what a column or an expression is, with its nullability.
//!
//! `arrow` maps them to the columns that hold the values, `coercion` has the rules of implicit casts and common
//! types, `decimal` those of precision and scale. Two logical types can share one Arrow type (CHAR and VARCHAR,
//! BIGINT and a day-time interval), so the logical type travels beside the Arrow type until a plan is compiled.

mod arrow;
mod coercion;
pub mod decimal;

#[cfg(test)]
mod tests;

pub(crate) use coercion::exact_digits;
pub use coercion::{castable, common_type, implicitly_castable, needs_cast, wider_type};

use crate::ast::{self, DataTypeKind};
use std::fmt;

/// The length of STRING and BYTES.
pub const LENGTH_MAX: u32 = ast::LENGTH_MAX;

/// A type and whether its values may be NULL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogicalType {
    pub kind: TypeKind,
    pub nullable: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TypeKind {
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Char(u32),
    VarChar(u32),
    Binary(u32),
    VarBinary(u32),
    Date,
    Time(u8),
    Timestamp(u8),
    TimestampLtz(u8),
    IntervalYearMonth,
    IntervalDayTime,
    Array(Box<LogicalType>),
    Multiset(Box<LogicalType>),
    Map(Box<LogicalType>, Box<LogicalType>),
    Row(Vec<RowField>),
    /// A value of JSON: what PARSE_JSON gives. Its column holds the normal form of the text.
    Variant,
    /// The type of an untyped NULL.
    Null,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowField {
    pub name: String,
    pub data_type: LogicalType,
}

/// What a column is to event time. A cast, a computation or a join makes an ordinary column of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimeAttribute {
    #[default]
    None,
    RowTime,
    ProcessingTime,
}

impl TypeKind {
    pub fn nullable(self) -> LogicalType {
        LogicalType { kind: self, nullable: true }
    }

    pub fn not_null(self) -> LogicalType {
        LogicalType { kind: self, nullable: false }
    }

    pub fn with_nullable(self, nullable: bool) -> LogicalType {
        LogicalType { kind: self, nullable }
    }

    pub fn string() -> TypeKind {
        TypeKind::VarChar(LENGTH_MAX)
    }

    pub fn bytes() -> TypeKind {
        TypeKind::VarBinary(LENGTH_MAX)
    }

    pub fn is_integer(&self) -> bool {
        matches!(self, TypeKind::TinyInt | TypeKind::SmallInt | TypeKind::Int | TypeKind::BigInt)
    }

    pub fn is_decimal(&self) -> bool {
        matches!(self, TypeKind::Decimal { .. })
    }

    pub fn is_exact(&self) -> bool {
        self.is_integer() || self.is_decimal()
    }

    pub fn is_approximate(&self) -> bool {
        matches!(self, TypeKind::Float | TypeKind::Double)
    }

    pub fn is_numeric(&self) -> bool {
        self.is_exact() || self.is_approximate()
    }

    pub fn is_character(&self) -> bool {
        matches!(self, TypeKind::Char(_) | TypeKind::VarChar(_))
    }

    pub fn is_binary(&self) -> bool {
        matches!(self, TypeKind::Binary(_) | TypeKind::VarBinary(_))
    }

    pub fn is_timestamp(&self) -> bool {
        matches!(self, TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_))
    }

    pub fn is_temporal(&self) -> bool {
        self.is_timestamp() || matches!(self, TypeKind::Date | TypeKind::Time(_))
    }

    pub fn is_interval(&self) -> bool {
        matches!(self, TypeKind::IntervalYearMonth | TypeKind::IntervalDayTime)
    }

    /// Whether values can be sorted: what is made of other values cannot.
    pub fn has_order(&self) -> bool {
        !self.is_constructed() && !matches!(self, TypeKind::Variant | TypeKind::Null)
    }

    pub fn is_constructed(&self) -> bool {
        matches!(self, TypeKind::Array(_) | TypeKind::Multiset(_) | TypeKind::Map(..) | TypeKind::Row(_))
    }
}

impl LogicalType {
    pub fn as_nullable(&self) -> LogicalType {
        LogicalType { kind: self.kind.clone(), nullable: true }
    }

    pub fn with_nullable(&self, nullable: bool) -> LogicalType {
        LogicalType { kind: self.kind.clone(), nullable }
    }

    /// The type as Flink prints it in messages and schemas, without the NOT NULL.
    pub fn summary(&self) -> String {
        self.kind.to_string()
    }

    /// As DESCRIBE prints the type of a column.
    pub fn describe_column(&self, attribute: TimeAttribute) -> String {
        match attribute {
            TimeAttribute::None => self.kind.to_string(),
            TimeAttribute::RowTime => format!("{} *ROWTIME*", self.kind),
            TimeAttribute::ProcessingTime => format!("{} *PROCTIME*", self.kind),
        }
    }

    /// The type that was written, or what is wrong with it.
    pub fn from_ast(written: &ast::DataType) -> Result<LogicalType, UnsupportedType> {
        let kind = match &written.kind {
            DataTypeKind::Boolean => TypeKind::Boolean,
            DataTypeKind::TinyInt => TypeKind::TinyInt,
            DataTypeKind::SmallInt => TypeKind::SmallInt,
            DataTypeKind::Int => TypeKind::Int,
            DataTypeKind::BigInt => TypeKind::BigInt,
            DataTypeKind::Float => TypeKind::Float,
            DataTypeKind::Double => TypeKind::Double,
            DataTypeKind::Decimal { precision, scale } => {
                TypeKind::Decimal { precision: *precision, scale: *scale }
            }
            DataTypeKind::Char { length } => TypeKind::Char(*length),
            DataTypeKind::VarChar { length } => TypeKind::VarChar(*length),
            DataTypeKind::Binary { length } => TypeKind::Binary(*length),
            DataTypeKind::VarBinary { length } => TypeKind::VarBinary(*length),
            DataTypeKind::Date => TypeKind::Date,
            DataTypeKind::Time { precision } => TypeKind::Time((*precision).min(3)),
            DataTypeKind::Timestamp { precision } => TypeKind::Timestamp(*precision),
            DataTypeKind::TimestampLtz { precision } => TypeKind::TimestampLtz(*precision),
            DataTypeKind::IntervalYearMonth { .. } => TypeKind::IntervalYearMonth,
            DataTypeKind::IntervalDayTime { .. } => TypeKind::IntervalDayTime,
            DataTypeKind::Array(element) => TypeKind::Array(Box::new(LogicalType::from_ast(element)?)),
            DataTypeKind::Multiset(element) => TypeKind::Multiset(Box::new(LogicalType::from_ast(element)?)),
            DataTypeKind::Map(key, value) => {
                TypeKind::Map(Box::new(LogicalType::from_ast(key)?), Box::new(LogicalType::from_ast(value)?))
            }
            DataTypeKind::Row(fields) => TypeKind::Row(
                fields
                    .iter()
                    .map(|field| {
                        Ok(RowField {
                            name: field.name.value.clone(),
                            data_type: LogicalType::from_ast(&field.data_type)?,
                        })
                    })
                    .collect::<Result<_, UnsupportedType>>()?,
            ),
            DataTypeKind::Null => TypeKind::Null,
            DataTypeKind::TimestampWithTimeZone { .. } => {
                return Err(UnsupportedType::new(
                    written,
                    "TIMESTAMP WITH TIME ZONE",
                    "use TIMESTAMP_LTZ(3), which Flink supports everywhere",
                ));
            }
            DataTypeKind::Raw { .. } => {
                return Err(UnsupportedType::new(written, "RAW", "use BYTES and decode it in a function"));
            }
            DataTypeKind::Variant => {
                return Err(UnsupportedType::new(
                    written,
                    "VARIANT",
                    "it is what PARSE_JSON gives; a column is a STRING",
                ));
            }
            DataTypeKind::Bitmap => return Err(UnsupportedType::new(written, "BITMAP", "use BYTES")),
            DataTypeKind::Descriptor => {
                return Err(UnsupportedType::new(written, "DESCRIPTOR", "it is no type of a column"));
            }
            DataTypeKind::Named(name) => {
                let text = name.values().collect::<Vec<_>>().join(".");
                return Err(UnsupportedType {
                    span: written.span,
                    message: format!("unknown type '{text}'"),
                    hint: match base::nearest(&text, TYPE_NAMES.iter().copied()) {
                        Some(near) => format!("did you mean {near}?"),
                        None => "structured types of the catalog are not supported yet; use ROW<…>".into(),
                    },
                });
            }
        };
        Ok(LogicalType { kind, nullable: written.nullable })
    }
}

const TYPE_NAMES: &[&str] = &[
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INT",
    "INTEGER",
    "BIGINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "NUMERIC",
    "CHAR",
    "VARCHAR",
    "STRING",
    "BINARY",
    "VARBINARY",
    "BYTES",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "ARRAY",
    "MAP",
    "MULTISET",
    "ROW",
];

/// A type that was written and that we cannot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsupportedType {
    pub span: crate::span::Span,
    pub message: String,
    pub hint: String,
}

impl UnsupportedType {
    fn new(written: &ast::DataType, name: &str, hint: &str) -> UnsupportedType {
        UnsupportedType {
            span: written.span,
            message: format!("the type {name} is not supported yet"),
            hint: hint.to_string(),
        }
    }
}

impl fmt::Display for LogicalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        if self.nullable { Ok(()) } else { f.write_str(" NOT NULL") }
    }
}

impl fmt::Display for TypeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TypeKind::Boolean => f.write_str("BOOLEAN"),
            TypeKind::TinyInt => f.write_str("TINYINT"),
            TypeKind::SmallInt => f.write_str("SMALLINT"),
            TypeKind::Int => f.write_str("INT"),
            TypeKind::BigInt => f.write_str("BIGINT"),
            TypeKind::Float => f.write_str("FLOAT"),
            TypeKind::Double => f.write_str("DOUBLE"),
            TypeKind::Decimal { precision, scale } => write!(f, "DECIMAL({precision}, {scale})"),
            TypeKind::Char(length) => write!(f, "CHAR({length})"),
            TypeKind::VarChar(LENGTH_MAX) => f.write_str("STRING"),
            TypeKind::VarChar(length) => write!(f, "VARCHAR({length})"),
            TypeKind::Binary(length) => write!(f, "BINARY({length})"),
            TypeKind::VarBinary(LENGTH_MAX) => f.write_str("BYTES"),
            TypeKind::VarBinary(length) => write!(f, "VARBINARY({length})"),
            TypeKind::Date => f.write_str("DATE"),
            TypeKind::Time(precision) => write!(f, "TIME({precision})"),
            TypeKind::Timestamp(precision) => write!(f, "TIMESTAMP({precision})"),
            TypeKind::TimestampLtz(precision) => write!(f, "TIMESTAMP_LTZ({precision})"),
            TypeKind::IntervalYearMonth => f.write_str("INTERVAL YEAR TO MONTH"),
            TypeKind::IntervalDayTime => f.write_str("INTERVAL DAY TO SECOND(3)"),
            TypeKind::Array(element) => write!(f, "ARRAY<{element}>"),
            TypeKind::Multiset(element) => write!(f, "MULTISET<{element}>"),
            TypeKind::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            TypeKind::Row(fields) => {
                f.write_str("ROW<")?;
                for (index, field) in fields.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "`{}` {}", field.name, field.data_type)?;
                }
                f.write_str(">")
            }
            TypeKind::Variant => f.write_str("VARIANT"),
            TypeKind::Null => f.write_str("NULL"),
        }
    }
}
