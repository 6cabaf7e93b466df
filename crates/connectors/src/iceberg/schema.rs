//! The columns of an Iceberg table: its schema as the specification writes it, and as arrow's fields, whose ids go into files.

use crate::lake::columns::{list_of, map_of, timestamp};
use arrow_schema::{DataType, Field, Fields, TimeUnit};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Columns are nested no deeper.
const DEPTH_MAX: usize = 64;

/// What a table's schema says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Columns {
    pub fields: Fields,
    /// Names and types of those that we cannot write.
    pub unknown: Vec<(String, String)>,
}

/// The id of a column.
pub(super) fn id_of(field: &Field) -> Option<i32> {
    field.metadata().get(PARQUET_FIELD_ID_META_KEY)?.parse().ok()
}

fn with_id(field: Field, id: i32) -> Field {
    field.with_metadata(HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_string(), id.to_string())]))
}

/// The schema of a table that is made, and the last id that it gives.
pub(super) fn schema_of(fields: &Fields) -> Result<(Value, i32), String> {
    let mut last = 0;
    let fields = fields_json(fields, &mut last)?;
    Ok((json!({"type": "struct", "schema-id": 0, "fields": fields}), last))
}

/// The columns of a row get their ids before those within them.
fn fields_json(fields: &Fields, last: &mut i32) -> Result<Vec<Value>, String> {
    let first = *last + 1;
    *last += i32::try_from(fields.len()).map_err(|_| "it has too many columns")?;
    let mut all = Vec::new();
    for (id, field) in (first..).zip(fields) {
        let of = type_json(field.data_type(), last)
            .map_err(|reason| format!("column '{}': {reason}", field.name()))?;
        all.push(json!({"id": id, "name": field.name(), "required": !field.is_nullable(), "type": of}));
    }
    Ok(all)
}

fn type_json(data_type: &DataType, last: &mut i32) -> Result<Value, String> {
    let mut next = |count: i32| {
        *last += count;
        *last - count + 1
    };
    Ok(match data_type {
        DataType::Boolean => "boolean".into(),
        // There are no shorter ones.
        DataType::Int8 | DataType::Int16 | DataType::Int32 => "int".into(),
        DataType::Int64 => "long".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Decimal128(digits, scale) => format!("decimal({digits}, {scale})").into(),
        DataType::Utf8 => "string".into(),
        DataType::Binary => "binary".into(),
        DataType::Date32 => "date".into(),
        DataType::Time32(_) | DataType::Time64(_) => "time".into(),
        DataType::Timestamp(_, None) => "timestamp".into(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".into(),
        DataType::Struct(fields) => json!({"type": "struct", "fields": fields_json(fields, last)?}),
        DataType::List(item) => {
            let id = next(1);
            json!({"type": "list", "element-id": id, "element-required": !item.is_nullable(),
                "element": type_json(item.data_type(), last)?})
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                let id = next(2);
                let key = type_json(pair[0].data_type(), last)?;
                json!({"type": "map", "key-id": id, "key": key, "value-id": id + 1,
                    "value-required": !pair[1].is_nullable(), "value": type_json(pair[1].data_type(), last)?})
            }
            _ => return Err("it is no map".into()),
        },
        other => return Err(format!("Iceberg has no type for {other}")),
    })
}

/// The columns in a table's schema.
pub(super) fn columns(schema: &Value) -> Result<Columns, String> {
    let (mut fields, mut unknown) = (Vec::new(), Vec::new());
    for field in fields_of(schema)? {
        let name = field["name"].as_str().ok_or("a column has no name")?;
        match one(name, field, "id", "required", &field["type"], 0) {
            Ok(field) => fields.push(field),
            Err(of) => unknown.push((name.to_string(), of)),
        }
    }
    Ok(Columns { fields: fields.into(), unknown })
}

fn fields_of(of: &Value) -> Result<&Vec<Value>, String> {
    of["fields"].as_array().ok_or_else(|| "it has no fields".to_string())
}

/// A field of a type that we write, or what another one is called.
fn one(
    name: &str,
    object: &Value,
    id: &str,
    required: &str,
    of: &Value,
    depth: usize,
) -> Result<Field, String> {
    let number = object[id].as_i64().and_then(|id| i32::try_from(id).ok());
    let number = number.ok_or_else(|| "of no id".to_string())?;
    let is_nullable = !object[required].as_bool().unwrap_or(false);
    Ok(with_id(Field::new(name, data_type(of, depth)?, is_nullable), number))
}

fn data_type(of: &Value, depth: usize) -> Result<DataType, String> {
    if depth > DEPTH_MAX {
        return Err("nested too deeply".into());
    }
    if let Some(name) = of.as_str() {
        return Ok(match name {
            "boolean" => DataType::Boolean,
            "int" => DataType::Int32,
            "long" => DataType::Int64,
            "float" => DataType::Float32,
            "double" => DataType::Float64,
            "string" => DataType::Utf8,
            "binary" => DataType::Binary,
            "date" => DataType::Date32,
            "time" => DataType::Time64(TimeUnit::Microsecond),
            "timestamp" => timestamp(false),
            "timestamptz" => timestamp(true),
            _ => return decimal(name).ok_or_else(|| name.to_string()),
        });
    }
    match of["type"].as_str() {
        Some("struct") => {
            let mut fields = Vec::new();
            for field in fields_of(of)? {
                let name = field["name"].as_str().ok_or("a struct with a field without a name")?;
                fields.push(one(name, field, "id", "required", &field["type"], depth + 1)?);
            }
            Ok(DataType::Struct(fields.into()))
        }
        Some("list") => {
            Ok(list_of(one("element", of, "element-id", "element-required", &of["element"], depth + 1)?))
        }
        Some("map") => {
            let key = one("key", of, "key-id", "", &of["key"], depth + 1)?;
            Ok(map_of(key, one("value", of, "value-id", "value-required", &of["value"], depth + 1)?))
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

    #[test]
    fn a_schema_is_read_as_it_was_written_and_ids_are_given_from_without() {
        let row = DataType::Struct(vec![Field::new("x", DataType::Int8, false)].into());
        let pair = (Field::new("k", DataType::Utf8, false), Field::new("v", timestamp(true), true));
        let fields: Fields = vec![
            Field::new("a", list_of(Field::new("element", row, true)), false),
            Field::new("b", map_of(pair.0, pair.1), true),
            Field::new("c", DataType::Time32(TimeUnit::Millisecond), true),
        ]
        .into();
        let (schema, last) = schema_of(&fields).unwrap();
        assert_eq!(last, 7);
        assert_eq!(schema["fields"][0]["type"]["element-id"], 4);
        assert_eq!(schema["fields"][0]["type"]["element"]["fields"][0]["id"], 5);
        assert_eq!(
            (&schema["fields"][1]["type"]["key-id"], &schema["fields"][2]["id"]),
            (&json!(6), &json!(3))
        );
        let found = columns(&schema).unwrap();
        assert_eq!(
            found.fields.iter().map(|field| id_of(field)).collect::<Vec<_>>(),
            [Some(1), Some(2), Some(3)]
        );
        assert!(!found.fields[0].is_nullable() && found.unknown.is_empty());
        let DataType::List(item) = found.fields[0].data_type() else { panic!("no list") };
        assert_eq!((id_of(item), item.name().as_str()), (Some(4), "element"));
        assert_eq!(found.fields[2].data_type(), &DataType::Time64(TimeUnit::Microsecond));
        crate::lake::columns::written(&fields, &found.fields, &[]).unwrap();
    }

    #[test]
    fn other_types_are_named() {
        let schema = json!({"type": "struct", "fields": [
            {"id": 1, "name": "u", "type": "uuid"}, {"id": 2, "name": "f", "type": "fixed[4]"},
            {"id": 3, "name": "v", "type": {"type": "list", "element-id": 4, "element": "variant"}},
            {"name": "n", "type": "long"}]});
        let names: Vec<String> =
            columns(&schema).unwrap().unknown.into_iter().map(|(name, of)| format!("{name} {of}")).collect();
        assert_eq!(names, ["u uuid", "f fixed[4]", "v variant", "n of no id"]);
        assert!(columns(&json!({})).is_err());
    }
}
