//! PostgreSQL's types for Arrow's: their numbers, and values on the wire in both directions.
//!
//! A batch is first brought into the few Arrow types that have a form on the wire (`canonical`); what is nested is JSON.

mod binary;
mod canonical;
mod decimal;
mod instants;
mod json;
mod parameter;
mod text;

use crate::wire::{Column, Format};
use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit};
pub use binary::write_binary;
pub use canonical::canonical;
pub use json::json_of;
pub use parameter::decode;
pub use text::{hex, write_text};

/// How values are written that a session's settings decide.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    pub zone: base::zone::Zone,
    pub is_bytea_escape: bool,
}

impl Default for Style {
    fn default() -> Style {
        Style { zone: base::zone::Zone::UTC, is_bytea_escape: false }
    }
}

/// The metadata key of a field whose type PostgreSQL tells apart from others of the same Arrow type.
pub const TYPE_KEY: &str = "postgresql.type";

/// A type of PostgreSQL that the node knows.
#[derive(Debug, PartialEq, Eq)]
pub struct PgType {
    pub oid: u32,
    pub name: &'static str,
    pub length: i16,
    /// `typcategory`.
    pub category: char,
    /// Of its arrays; 0 if it has none.
    pub array: u32,
}

const fn of(oid: u32, name: &'static str, length: i16, category: char, array: u32) -> PgType {
    PgType { oid, name, length, category, array }
}

pub const BOOL: u32 = 16;
pub const BYTEA: u32 = 17;
pub const CHAR: u32 = 18;
pub const NAME: u32 = 19;
pub const INT8: u32 = 20;
pub const INT2: u32 = 21;
pub const INT4: u32 = 23;
pub const REGPROC: u32 = 24;
pub const TEXT: u32 = 25;
pub const OID: u32 = 26;
pub const JSON: u32 = 114;
pub const FLOAT4: u32 = 700;
pub const FLOAT8: u32 = 701;
pub const UNKNOWN: u32 = 705;
pub const BPCHAR: u32 = 1042;
pub const VARCHAR: u32 = 1043;
pub const DATE: u32 = 1082;
pub const TIME: u32 = 1083;
pub const TIMESTAMP: u32 = 1114;
pub const TIMESTAMPTZ: u32 = 1184;
pub const INTERVAL: u32 = 1186;
pub const NUMERIC: u32 = 1700;
pub const REGCLASS: u32 = 2205;
pub const REGTYPE: u32 = 2206;
pub const UUID: u32 = 2950;
pub const PG_LSN: u32 = 3220;
pub const JSONB: u32 = 3802;

/// What `pg_type` lists: what columns, parameters and the catalog have, and their arrays.
pub const TYPES: &[PgType] = &[
    of(BOOL, "bool", 1, 'B', 1000),
    of(BYTEA, "bytea", -1, 'U', 1001),
    of(CHAR, "char", 1, 'Z', 1002),
    of(NAME, "name", 64, 'S', 1003),
    of(INT8, "int8", 8, 'N', 1016),
    of(INT2, "int2", 2, 'N', 1005),
    of(22, "int2vector", -1, 'A', 1006),
    of(INT4, "int4", 4, 'N', 1007),
    of(REGPROC, "regproc", 4, 'N', 1008),
    of(TEXT, "text", -1, 'S', 1009),
    of(OID, "oid", 4, 'N', 1028),
    of(28, "xid", 4, 'U', 1011),
    of(30, "oidvector", -1, 'A', 1013),
    of(JSON, "json", -1, 'U', 199),
    of(FLOAT4, "float4", 4, 'N', 1021),
    of(FLOAT8, "float8", 8, 'N', 1022),
    of(UNKNOWN, "unknown", -2, 'X', 0),
    of(BPCHAR, "bpchar", -1, 'S', 1014),
    of(VARCHAR, "varchar", -1, 'S', 1015),
    of(DATE, "date", 4, 'D', 1182),
    of(TIME, "time", 8, 'D', 1183),
    of(TIMESTAMP, "timestamp", 8, 'D', 1115),
    of(TIMESTAMPTZ, "timestamptz", 8, 'D', 1185),
    of(INTERVAL, "interval", 16, 'T', 1187),
    of(NUMERIC, "numeric", -1, 'N', 1231),
    of(REGCLASS, "regclass", 4, 'N', 2210),
    of(REGTYPE, "regtype", 4, 'N', 2211),
    of(UUID, "uuid", 16, 'U', 2951),
    of(PG_LSN, "pg_lsn", 8, 'U', 3221),
    of(JSONB, "jsonb", -1, 'U', 3807),
];

pub fn by_oid(oid: u32) -> Option<&'static PgType> {
    TYPES.iter().find(|known| known.oid == oid)
}

/// The type whose arrays have this number.
pub fn element_of(array: u32) -> Option<&'static PgType> {
    TYPES.iter().find(|known| known.array == array && array != 0)
}

/// By the names that `pg_type` has and those that SQL has; arrays with `[]` behind.
pub fn by_name(name: &str) -> Option<u32> {
    let name = name.trim().trim_start_matches("pg_catalog.").trim_matches('"').to_ascii_lowercase();
    if let Some(element) = name.strip_suffix("[]") {
        return by_name(element).and_then(by_oid).map(|element| element.array).filter(|array| *array != 0);
    }
    let name = name.split('(').next().unwrap_or_default().trim();
    let name = match name {
        "boolean" => "bool",
        "smallint" => "int2",
        "integer" | "int" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "double precision" => "float8",
        "decimal" => "numeric",
        "character varying" => "varchar",
        "character" => "bpchar",
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        "time without time zone" => "time",
        name => name,
    };
    if let Some(element) = name.strip_prefix('_') {
        return by_name(element).and_then(by_oid).map(|element| element.array);
    }
    TYPES.iter().find(|known| known.name == name).map(|known| known.oid)
}

/// What `format_type` says: SQL's name.
pub fn sql_name(oid: u32, modifier: i32) -> String {
    let Some(known) = by_oid(oid) else {
        return element_of(oid)
            .map_or_else(|| "???".to_string(), |element| format!("{}[]", sql_name(element.oid, -1)));
    };
    match known.name {
        "bool" => "boolean".into(),
        "int2" => "smallint".into(),
        "int4" => "integer".into(),
        "int8" => "bigint".into(),
        "float4" => "real".into(),
        "float8" => "double precision".into(),
        "bpchar" => "character".into(),
        "char" => "\"char\"".into(),
        "varchar" => "character varying".into(),
        "timestamp" => "timestamp without time zone".into(),
        "timestamptz" => "timestamp with time zone".into(),
        "time" => "time without time zone".into(),
        "numeric" if modifier > 4 => {
            let packed = modifier - 4;
            format!("numeric({},{})", packed >> 16, packed & 0xffff)
        }
        name => name.into(),
    }
}

/// The number of a field's type.
pub fn oid_of(field: &Field) -> u32 {
    if let Some(oid) = field.metadata().get(TYPE_KEY).and_then(|name| by_name(name)) {
        return oid;
    }
    oid_of_type(field.data_type())
}

pub fn oid_of_type(data_type: &DataType) -> u32 {
    match data_type {
        DataType::Boolean => BOOL,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => INT2,
        DataType::Int32 | DataType::UInt16 => INT4,
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => INT8,
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => NUMERIC,
        DataType::Float16 | DataType::Float32 => FLOAT4,
        DataType::Float64 => FLOAT8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            BYTEA
        }
        DataType::Date32 | DataType::Date64 => DATE,
        DataType::Time32(_) | DataType::Time64(_) => TIME,
        DataType::Timestamp(_, None) => TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => TIMESTAMPTZ,
        DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::ListView(field) => {
            by_oid(oid_of(field)).map(|element| element.array).filter(|array| *array != 0).unwrap_or(JSON)
        }
        DataType::Struct(_) | DataType::Map(..) => JSON,
        DataType::Dictionary(_, value) => oid_of_type(value),
        _ => TEXT,
    }
}

/// The Arrow type that a parameter or a cast of this number has.
pub fn arrow_of(oid: u32) -> Option<DataType> {
    let known = match oid {
        BOOL => DataType::Boolean,
        BYTEA => DataType::Binary,
        INT2 => DataType::Int16,
        INT4 | OID | REGPROC | REGCLASS | REGTYPE | 28 => DataType::Int32,
        INT8 => DataType::Int64,
        FLOAT4 => DataType::Float32,
        FLOAT8 => DataType::Float64,
        NUMERIC => DataType::Decimal128(38, 10),
        DATE => DataType::Date32,
        TIME => DataType::Time64(TimeUnit::Microsecond),
        TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        CHAR | NAME | TEXT | JSON | UNKNOWN | BPCHAR | VARCHAR | UUID | PG_LSN | JSONB => DataType::Utf8,
        array => {
            let element = arrow_of(element_of(array)?.oid)?;
            DataType::List(Field::new("item", element, true).into())
        }
    };
    Some(known)
}

/// Precision and scale as `atttypmod` has them.
pub fn modifier_of(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            ((i32::from(*precision) << 16) | i32::from((*scale).max(0))) + 4
        }
        _ => -1,
    }
}

pub fn column_of(field: &Field, format: Format) -> Column {
    let oid = oid_of(field);
    Column {
        name: field.name().split(crate::engine::NAME_END).next().unwrap_or_default().to_string(),
        oid,
        length: by_oid(oid).map_or(-1, |known| known.length),
        modifier: modifier_of(field.data_type()),
        format,
    }
}
