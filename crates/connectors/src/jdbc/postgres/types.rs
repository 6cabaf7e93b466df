//! Which types of PostgreSQL fit the declared ones.

use arrow_schema::{DataType, TimeUnit};

/// The types of `pg_type` that are told apart.
const TYPES: &[(u32, &str)] = &[
    (16, "boolean"),
    (17, "bytea"),
    (18, "\"char\""),
    (19, "name"),
    (20, "bigint"),
    (21, "smallint"),
    (23, "integer"),
    (25, "text"),
    (114, "json"),
    (700, "real"),
    (701, "double precision"),
    (1042, "character"),
    (1043, "character varying"),
    (1082, "date"),
    (1083, "time"),
    (1114, "timestamp"),
    (1184, "timestamptz"),
    (1700, "numeric"),
    (2950, "uuid"),
    (3802, "jsonb"),
];

/// Types that were made in the database (enumerations, domains) have greater numbers.
const FIRST_OWN: u32 = 16_384;

pub(crate) fn type_name(oid: u32) -> String {
    let found = TYPES.iter().find(|(known, _)| *known == oid);
    found.map_or_else(|| format!("of the type with oid {oid}"), |(_, name)| (*name).to_string())
}

/// Whether all values of a column can be read as the declared type, or those that cannot are refused one by one.
pub(crate) fn fits(data_type: &DataType, oid: u32) -> bool {
    let names: &[&str] = match data_type {
        DataType::Boolean => &["boolean"],
        DataType::Int8 | DataType::Int16 => &["smallint"],
        DataType::Int32 => &["integer", "smallint"],
        DataType::Int64 => &["bigint", "integer", "smallint"],
        DataType::Float32 => &["real"],
        DataType::Float64 => &["double precision", "real"],
        DataType::Decimal128(..) => &["numeric", "bigint", "integer", "smallint"],
        DataType::Binary => &["bytea"],
        DataType::Date32 => &["date"],
        DataType::Time32(_) => &["time"],
        DataType::Timestamp(_, None) => &["timestamp"],
        DataType::Timestamp(_, Some(_)) => &["timestamptz"],
        DataType::Utf8 => {
            let texts =
                ["text", "character varying", "character", "name", "uuid", "json", "jsonb", "\"char\""];
            return oid >= FIRST_OWN || texts.contains(&type_name(oid).as_str());
        }
        _ => &[],
    };
    names.contains(&type_name(oid).as_str())
}

/// Whether a column takes values of the declared type: what fits, and wider numbers. `item` is the type of an array's
/// items.
pub(crate) fn takes(data_type: &DataType, oid: u32, item: Option<u32>) -> bool {
    let wider: &[&str] = match data_type {
        DataType::List(field) => {
            let mut inner = field.data_type();
            // An array of arrays is one of more dimensions.
            while let DataType::List(field) = inner {
                inner = field.data_type();
            }
            return item.is_some_and(|item| takes(inner, item, None));
        }
        DataType::Int8 | DataType::Int16 => &["integer", "bigint", "numeric"],
        DataType::Int32 => &["bigint", "numeric"],
        DataType::Int64 => &["numeric"],
        DataType::Float32 => &["double precision"],
        _ => &[],
    };
    fits(data_type, oid) || wider.contains(&type_name(oid).as_str())
}

/// The type of a column for values of the declared type; none where there is none.
pub(crate) fn declared(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Boolean => "boolean".into(),
        DataType::Int8 | DataType::Int16 => "smallint".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Float32 => "real".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Decimal128(precision, scale) => format!("numeric({precision}, {scale})"),
        DataType::Utf8 => "text".into(),
        DataType::Binary => "bytea".into(),
        DataType::Date32 => "date".into(),
        DataType::Time32(TimeUnit::Millisecond) => "time(3)".into(),
        DataType::Timestamp(_, None) => "timestamp".into(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".into(),
        DataType::List(item) => format!("{}[]", declared(item.data_type())?),
        _ => return None,
    })
}
