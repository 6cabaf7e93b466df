//! The Avro schema of a table, as Flink derives it.
//!
//! 1. The record is `org.apache.flink.avro.generated.record`; a row within it is named by the path of
//!    its columns, parted by `_`.
//! 2. What may be NULL is a union with `null` first, and its field has the default null.
//! 3. With the legacy mapping, which is Flink's default, a TIMESTAMP of at most 3 digits is a
//!    `timestamp-millis`, and there is no TIMESTAMP_LTZ. Without it, a TIMESTAMP is a `local-timestamp-…`
//!    and a TIMESTAMP_LTZ a `timestamp-…`. Elements of arrays and maps always use the legacy mapping:
//!    Flink does not pass the setting on to them, and records must be understood on both sides.

use super::schema::{NAME_RULE, is_name};
use arrow_schema::{DataType, Field, Fields, TimeUnit};
use serde_json::{Value, json};

const RECORD_NAME: &str = "org.apache.flink.avro.generated.record";

/// The schema of rows of these columns.
pub(crate) fn derive(fields: &Fields, is_legacy: bool) -> Result<Value, String> {
    record(fields, RECORD_NAME, is_legacy)
}

fn record(fields: &Fields, name: &str, is_legacy: bool) -> Result<Value, String> {
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        if !is_name(field.name()) {
            return Err(format!("column '{}': it is no name that Avro takes: {NAME_RULE}", field.name()));
        }
        let inner = format!("{name}_{}", field.name());
        let kind = nullable(field, &inner, is_legacy).map_err(|reason| {
            if reason.starts_with("column '") {
                reason
            } else {
                format!("column '{}': {reason}", field.name())
            }
        })?;
        columns.push(if field.is_nullable() {
            json!({"name": field.name(), "type": kind, "default": null})
        } else {
            json!({"name": field.name(), "type": kind})
        });
    }
    // Java's Avro names a namespace only where it changes.
    Ok(match name.strip_prefix("org.apache.flink.avro.generated.") {
        Some(short) if name == RECORD_NAME => {
            json!({"type": "record", "name": short, "namespace": "org.apache.flink.avro.generated", "fields": columns})
        }
        short => json!({"type": "record", "name": short.unwrap_or(name), "fields": columns}),
    })
}

fn nullable(field: &Field, name: &str, is_legacy: bool) -> Result<Value, String> {
    let kind = kind_of(field.data_type(), name, is_legacy)?;
    Ok(if field.is_nullable() { json!(["null", kind]) } else { kind })
}

fn kind_of(data_type: &DataType, name: &str, is_legacy: bool) -> Result<Value, String> {
    let logical = |kind: &str, logical: &str| json!({"type": kind, "logicalType": logical});
    Ok(match data_type {
        DataType::Boolean => json!("boolean"),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => json!("int"),
        DataType::Int64 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Utf8 => json!("string"),
        DataType::Binary => json!("bytes"),
        DataType::Date32 => logical("int", "date"),
        DataType::Time32(TimeUnit::Millisecond) => logical("int", "time-millis"),
        DataType::Decimal128(precision, scale) => {
            json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
        }
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, None) if is_legacy => {
            logical("long", "timestamp-millis")
        }
        DataType::Timestamp(_, zone) if is_legacy => {
            let what = if zone.is_some() { "TIMESTAMP_LTZ" } else { "TIMESTAMP of more than 3 digits" };
            return Err(format!(
                "Avro has no {what} in the legacy mapping; use TIMESTAMP(3), or outside arrays and maps \
                 'avro.timestamp_mapping.legacy' = 'false'"
            ));
        }
        DataType::Timestamp(unit, zone) => {
            let unit = match unit {
                TimeUnit::Second | TimeUnit::Millisecond => "timestamp-millis",
                TimeUnit::Microsecond => "timestamp-micros",
                TimeUnit::Nanosecond => "timestamp-nanos",
            };
            logical("long", &if zone.is_some() { unit.to_string() } else { format!("local-{unit}") })
        }
        DataType::Struct(fields) => record(fields, name, is_legacy)?,
        DataType::List(item) => json!({"type": "array", "items": nullable(item, name, true)?}),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 && pair[0].data_type() == &DataType::Utf8 => {
                json!({"type": "map", "values": nullable(&pair[1], name, true)?})
            }
            _ => return Err("the keys of a MAP must be of type STRING".into()),
        },
        other => return Err(format!("no format takes the type {other}")),
    })
}
