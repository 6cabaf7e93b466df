//! Types as written, with Flink's defaults filled in (`DECIMAL` is `DECIMAL(10, 0)`, `STRING` is
//! `VARCHAR(2147483647)` and so is `VARCHAR`, `CHAR` is `CHAR(1)`, `TIMESTAMP` is `TIMESTAMP(6)`).
//!
//! Lengths and precisions are checked by the parser, so the bounds named here hold.

use super::{Identifier, ObjectName, Text};
use crate::span::Span;

/// The length of STRING and BYTES, and the greatest of CHAR, VARCHAR, BINARY and VARBINARY.
pub const LENGTH_MAX: u32 = i32::MAX as u32;

#[derive(Debug, Clone)]
pub struct DataType {
    pub kind: DataTypeKind,
    /// False where NOT NULL was written.
    pub nullable: bool,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum DataTypeKind {
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Float,
    Double,
    /// Precision 1 to 38, scale 0 to precision.
    Decimal {
        precision: u8,
        scale: u8,
    },
    /// Lengths in code points, 1 to `LENGTH_MAX`.
    Char {
        length: u32,
    },
    VarChar {
        length: u32,
    },
    /// Lengths in bytes, 1 to `LENGTH_MAX`.
    Binary {
        length: u32,
    },
    VarBinary {
        length: u32,
    },
    Date,
    /// Precision 0 to 9, like those of the timestamps.
    Time {
        precision: u8,
    },
    Timestamp {
        precision: u8,
    },
    TimestampWithTimeZone {
        precision: u8,
    },
    TimestampLtz {
        precision: u8,
    },
    /// `INTERVAL YEAR(p) TO MONTH` and its kin: months.
    IntervalYearMonth {
        from: TimeUnit,
        to: Option<TimeUnit>,
        /// Digits of the leading field, 1 to 4, default 2.
        precision: u8,
    },
    /// `INTERVAL DAY(p) TO SECOND(f)` and its kin.
    IntervalDayTime {
        from: TimeUnit,
        to: Option<TimeUnit>,
        /// Digits of the leading field, 1 to 6, default 2.
        precision: u8,
        /// Digits of the fraction of a second, 0 to 9, default 6.
        fraction: u8,
    },
    Array(Box<DataType>),
    Multiset(Box<DataType>),
    Map(Box<DataType>, Box<DataType>),
    Row(Vec<RowField>),
    Raw {
        class: Text,
        serializer: Text,
    },
    Variant,
    Bitmap,
    Null,
    /// The type of a DESCRIPTOR argument in a model's or function's signature.
    Descriptor,
    /// A name that is none of the built-in types: a structured type of the catalog.
    Named(ObjectName),
}

#[derive(Debug, Clone)]
pub struct RowField {
    pub name: Identifier,
    pub data_type: DataType,
    pub comment: Option<Text>,
}

/// The units of intervals, EXTRACT, FLOOR … TO, TIMESTAMPADD and TIMESTAMPDIFF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    Millennium,
    Century,
    Decade,
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
    DayOfWeek,
    DayOfYear,
    IsoDayOfWeek,
    IsoYear,
    Epoch,
}

impl TimeUnit {
    pub const ALL: [TimeUnit; 19] = [
        TimeUnit::Millennium,
        TimeUnit::Century,
        TimeUnit::Decade,
        TimeUnit::Year,
        TimeUnit::Quarter,
        TimeUnit::Month,
        TimeUnit::Week,
        TimeUnit::Day,
        TimeUnit::Hour,
        TimeUnit::Minute,
        TimeUnit::Second,
        TimeUnit::Millisecond,
        TimeUnit::Microsecond,
        TimeUnit::Nanosecond,
        TimeUnit::DayOfWeek,
        TimeUnit::DayOfYear,
        TimeUnit::IsoDayOfWeek,
        TimeUnit::IsoYear,
        TimeUnit::Epoch,
    ];

    /// As written in SQL.
    pub fn name(self) -> &'static str {
        match self {
            TimeUnit::Millennium => "MILLENNIUM",
            TimeUnit::Century => "CENTURY",
            TimeUnit::Decade => "DECADE",
            TimeUnit::Year => "YEAR",
            TimeUnit::Quarter => "QUARTER",
            TimeUnit::Month => "MONTH",
            TimeUnit::Week => "WEEK",
            TimeUnit::Day => "DAY",
            TimeUnit::Hour => "HOUR",
            TimeUnit::Minute => "MINUTE",
            TimeUnit::Second => "SECOND",
            TimeUnit::Millisecond => "MILLISECOND",
            TimeUnit::Microsecond => "MICROSECOND",
            TimeUnit::Nanosecond => "NANOSECOND",
            TimeUnit::DayOfWeek => "DOW",
            TimeUnit::DayOfYear => "DOY",
            TimeUnit::IsoDayOfWeek => "ISODOW",
            TimeUnit::IsoYear => "ISOYEAR",
            TimeUnit::Epoch => "EPOCH",
        }
    }
}
