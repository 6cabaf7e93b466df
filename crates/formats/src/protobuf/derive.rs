//! The `.proto` text of a table's columns, which is registered for what is written.

use arrow_schema::{DataType, Field, Fields};
use std::fmt::Write;

/// A file whose first message is the row; each ROW within it is a message of its own.
pub(super) fn derive(fields: &Fields) -> Result<String, String> {
    let mut text = String::from("syntax = \"proto3\";\npackage eventwright.generated;\n\n");
    message("Row", fields.iter().map(|field| field.as_ref()), 0, &mut text)?;
    Ok(text)
}

fn message<'a>(
    name: &str,
    fields: impl Iterator<Item = &'a Field>,
    depth: usize,
    text: &mut String,
) -> Result<(), String> {
    let indent = "  ".repeat(depth);
    // Writing to a text cannot fail.
    let _ = writeln!(text, "{indent}message {name} {{");
    for (index, field) in fields.enumerate() {
        let column = field.name();
        let is_name = column.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && column.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name {
            return Err(format!(
                "column '{column}': it is no name that Protobuf takes: letters of ASCII, digits and underscores, no digit first"
            ));
        }
        let inner = format!("Row_{column}");
        let within = |reason: String| format!("column '{column}': {reason}");
        let (label, kind) = match field.data_type() {
            DataType::List(item) => {
                ("repeated ", kind_of(item.data_type(), &inner, depth, text).map_err(within)?)
            }
            DataType::Map(entries, _) => {
                let DataType::Struct(pair) = entries.data_type() else {
                    return Err("a map without entries".into());
                };
                let [key, value] = pair.as_ref() else { return Err("a map without key and value".into()) };
                let key = match key.data_type() {
                    DataType::Utf8 => "string",
                    DataType::Int32 => "int32",
                    DataType::Int64 => "int64",
                    DataType::Boolean => "bool",
                    _ => {
                        return Err(within(
                            "the keys of a map are of type STRING, INT, BIGINT or BOOLEAN".into(),
                        ));
                    }
                };
                let value = kind_of(value.data_type(), &inner, depth, text).map_err(within)?;
                ("", format!("map<{key}, {value}>"))
            }
            other => {
                let label = if field.is_nullable() && !matches!(other, DataType::Struct(_)) {
                    "optional "
                } else {
                    ""
                };
                (label, kind_of(other, &inner, depth, text).map_err(within)?)
            }
        };
        let _ = writeln!(text, "{indent}  {label}{kind} {column} = {};", index + 1);
    }
    let _ = writeln!(text, "{indent}}}");
    Ok(())
}

fn kind_of(data_type: &DataType, inner: &str, depth: usize, text: &mut String) -> Result<String, String> {
    Ok(match data_type {
        DataType::Boolean => "bool",
        DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Utf8 => "string",
        DataType::Binary => "bytes",
        DataType::Struct(fields) => {
            message(inner, fields.iter().map(|field| field.as_ref()), depth + 1, text)?;
            return Ok(inner.to_string());
        }
        _ => {
            return Err(
                "Protobuf has no such type; use BOOLEAN, INT, BIGINT, FLOAT, DOUBLE, STRING, BYTES, ROW, \
                        ARRAY or MAP"
                    .into(),
            );
        }
    }
    .into())
}
