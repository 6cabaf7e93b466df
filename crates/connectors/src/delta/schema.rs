//! The columns of a Delta table: its schema as the protocol writes it, and as arrow's fields.

use crate::lake::columns::{list_of, map_of, timestamp};
use arrow_schema::{DataType, Field, Fields};
use serde_json::{Map, Value, json};

/// Columns are nested no deeper.
const DEPTH_MAX: usize = 64;

/// What a table's schema says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Columns {
    pub fields: Fields,
    /// Names and types of those that we cannot write.
    pub unknown: Vec<(String, String)>,
}

/// The schema of a table that is made.
pub(super) fn schema_string(fields: &Fields) -> Result<String, String> {
    Ok(struct_of(fields)?.to_string())
}

fn struct_of(fields: &Fields) -> Result<Value, String> {
    let field = |field: &Field| -> Result<Value, String> {
        let of =
            type_of(field.data_type()).map_err(|reason| format!("column '{}': {reason}", field.name()))?;
        Ok(json!({"name": field.name(), "type": of, "nullable": field.is_nullable(), "metadata": {}}))
    };
    let fields = fields.iter().map(|it| field(it)).collect::<Result<Vec<Value>, String>>()?;
    Ok(json!({"type": "struct", "fields": fields}))
}

fn type_of(data_type: &DataType) -> Result<Value, String> {
    Ok(match data_type {
        DataType::Boolean => "boolean".into(),
        DataType::Int8 => "byte".into(),
        DataType::Int16 => "short".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int64 => "long".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Decimal128(digits, scale) => format!("decimal({digits},{scale})").into(),
        DataType::Utf8 => "string".into(),
        DataType::Binary => "binary".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(_, None) => "timestamp_ntz".into(),
        DataType::Timestamp(_, Some(_)) => "timestamp".into(),
        DataType::Struct(fields) => struct_of(fields)?,
        DataType::List(item) => json!({
            "type": "array", "elementType": type_of(item.data_type())?, "containsNull": item.is_nullable(),
        }),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => json!({
                "type": "map", "keyType": type_of(pair[0].data_type())?,
                "valueType": type_of(pair[1].data_type())?, "valueContainsNull": pair[1].is_nullable(),
            }),
            _ => return Err("it is no map".into()),
        },
        DataType::Time32(_) | DataType::Time64(_) => {
            return Err("Delta has no type for TIME: CAST it to STRING or INT".into());
        }
        other => return Err(format!("Delta has no type for {other}")),
    })
}

/// Whether a column has time stamps without a zone, which readers must know of.
pub(super) fn has_local_time(fields: &Fields) -> bool {
    fields.iter().any(|field| is_local_time(field.data_type()))
}

fn is_local_time(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(_, None) => true,
        DataType::Struct(fields) => has_local_time(fields),
        DataType::List(field) | DataType::Map(field, _) => is_local_time(field.data_type()),
        _ => false,
    }
}

/// The columns in a table's schema.
pub(super) fn columns(schema: &str) -> Result<Columns, String> {
    let schema: Value = serde_json::from_str(schema).map_err(|error| format!("it is no JSON: {error}"))?;
    let mut columns = (Vec::new(), Vec::new());
    for field in fields_of(&schema)? {
        let name = field["name"].as_str().ok_or("a column has no name")?;
        match data_type(&field["type"], 0) {
            Ok(data_type) => columns.0.push(Field::new(name, data_type, is_nullable(field, "nullable"))),
            Err(unknown) => columns.1.push((name.to_string(), unknown)),
        }
    }
    Ok(Columns { fields: columns.0.into(), unknown: columns.1 })
}

fn is_nullable(object: &Value, key: &str) -> bool {
    object[key].as_bool().unwrap_or(true)
}

fn fields_of(schema: &Value) -> Result<&Vec<Value>, String> {
    schema["fields"].as_array().ok_or_else(|| "it has no fields".to_string())
}

/// All fields of a schema with what is noted of them, also those within others.
pub(super) fn metadata_of(schema: &str) -> Vec<Map<String, Value>> {
    fn walk(of: &Value, depth: usize, found: &mut Vec<Map<String, Value>>) {
        // Most types have no others within them.
        if depth > DEPTH_MAX || !of.is_object() {
            return;
        }
        for field in of["fields"].as_array().into_iter().flatten() {
            found.extend(field["metadata"].as_object().cloned());
            walk(&field["type"], depth + 1, found);
        }
        for key in ["elementType", "keyType", "valueType"] {
            walk(&of[key], depth + 1, found);
        }
    }
    let mut found = Vec::new();
    if let Ok(schema) = serde_json::from_str(schema) {
        walk(&schema, 0, &mut found);
    }
    found
}

/// A type that we write, or what another one is called.
fn data_type(of: &Value, depth: usize) -> Result<DataType, String> {
    if depth > DEPTH_MAX {
        return Err("nested too deeply".into());
    }
    if let Some(name) = of.as_str() {
        return Ok(match name {
            "boolean" => DataType::Boolean,
            "byte" => DataType::Int8,
            "short" => DataType::Int16,
            "integer" => DataType::Int32,
            "long" => DataType::Int64,
            "float" => DataType::Float32,
            "double" => DataType::Float64,
            "string" => DataType::Utf8,
            "binary" => DataType::Binary,
            "date" => DataType::Date32,
            "timestamp" => timestamp(true),
            "timestamp_ntz" => timestamp(false),
            _ => return decimal(name).ok_or_else(|| name.to_string()),
        });
    }
    match of["type"].as_str() {
        Some("struct") => {
            let mut fields = Vec::new();
            for field in fields_of(of)? {
                let name = field["name"].as_str().ok_or("a struct with a field without a name")?;
                let within = data_type(&field["type"], depth + 1)?;
                fields.push(Field::new(name, within, is_nullable(field, "nullable")));
            }
            Ok(DataType::Struct(fields.into()))
        }
        Some("array") => {
            let item = data_type(&of["elementType"], depth + 1)?;
            Ok(list_of(Field::new("element", item, is_nullable(of, "containsNull"))))
        }
        Some("map") => {
            let key = Field::new("key", data_type(&of["keyType"], depth + 1)?, false);
            let value = data_type(&of["valueType"], depth + 1)?;
            Ok(map_of(key, Field::new("value", value, is_nullable(of, "valueContainsNull"))))
        }
        other => Err(other.unwrap_or("of no name").to_string()),
    }
}

fn decimal(name: &str) -> Option<DataType> {
    let (digits, scale) = name.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
    let digits: u8 = digits.trim().parse().ok().filter(|digits| (1..=38).contains(digits))?;
    let scale: i8 = scale.trim().parse().ok().filter(|scale| (0..=digits as i8).contains(scale))?;
    Some(DataType::Decimal128(digits, scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::TimeUnit;

    #[test]
    fn a_schema_is_read_as_it_was_written() {
        let row = DataType::Struct(vec![Field::new("x", DataType::Int8, false)].into());
        let fields: Fields = vec![
            Field::new("a", DataType::Int64, false),
            Field::new("b", DataType::Decimal128(10, 2), true),
            Field::new("c", list_of(Field::new("element", row, true)), true),
            Field::new(
                "d",
                map_of(Field::new("key", DataType::Utf8, false), Field::new("value", timestamp(true), true)),
                true,
            ),
            Field::new("e", timestamp(false), true),
        ]
        .into();
        let text = schema_string(&fields).unwrap();
        assert_eq!(columns(&text), Ok(Columns { fields: fields.clone(), unknown: Vec::new() }));
        assert!(has_local_time(&fields) && !has_local_time(&fields[..4].iter().cloned().collect()));
        let time: Fields = vec![Field::new("t", DataType::Time32(TimeUnit::Millisecond), true)].into();
        assert!(schema_string(&time).unwrap_err().contains("column 't': Delta has no type for TIME"));
    }

    #[test]
    fn other_types_are_named() {
        let text = r#"{"type":"struct","fields":[{"name":"v","type":"variant","nullable":true,"metadata":{"k":1}},
            {"name":"d","type":"decimal(99,1)"},{"name":"a","type":{"type":"array","elementType":"void"}}]}"#;
        let found = columns(text).unwrap();
        let unknown = [("v", "variant"), ("d", "decimal(99,1)"), ("a", "void")];
        assert_eq!(found.unknown, unknown.map(|(name, of)| (name.to_string(), of.to_string())));
        assert_eq!(metadata_of(text)[0]["k"], 1);
        assert!(columns("{}").is_err() && columns("[").is_err());
    }
}
