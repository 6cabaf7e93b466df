//! Types of SQL as JSON Schema, as the format `json` writes their values; and types of JSON Schema and Avro as SQL's.

use serde_json::{Map, Value, json};
use sql::ast::{DataType, DataTypeKind, LENGTH_MAX};

/// How deep a schema is looked into.
const DEPTH_MAX: usize = 32;

/// What a value of the type looks like in JSON.
pub(crate) fn json_schema(data_type: &DataType) -> Value {
    use DataTypeKind as Kind;
    let mut schema = Map::new();
    let name = match &data_type.kind {
        Kind::Boolean => "boolean",
        Kind::TinyInt | Kind::SmallInt | Kind::Int => {
            schema.insert("format".into(), json!("int32"));
            "integer"
        }
        Kind::BigInt => {
            schema.insert("format".into(), json!("int64"));
            "integer"
        }
        Kind::Float => {
            schema.insert("format".into(), json!("float"));
            "number"
        }
        Kind::Double => {
            schema.insert("format".into(), json!("double"));
            "number"
        }
        Kind::Decimal { .. } => "number",
        Kind::Char { length } | Kind::VarChar { length } => {
            if *length < LENGTH_MAX {
                schema.insert("maxLength".into(), json!(length));
            }
            "string"
        }
        Kind::Binary { .. } | Kind::VarBinary { .. } => {
            schema.insert("contentEncoding".into(), json!("base64"));
            "string"
        }
        Kind::Date => {
            schema.insert("format".into(), json!("date"));
            "string"
        }
        Kind::Time { .. }
        | Kind::Timestamp { .. }
        | Kind::TimestampWithTimeZone { .. }
        | Kind::TimestampLtz { .. } => "string",
        Kind::Array(element) => {
            schema.insert("items".into(), json_schema(element));
            "array"
        }
        Kind::Multiset(_) => {
            schema.insert("additionalProperties".into(), json!({"type": "integer"}));
            "object"
        }
        Kind::Map(_, value) => {
            schema.insert("additionalProperties".into(), json_schema(value));
            "object"
        }
        Kind::Row(fields) => {
            let of = fields.iter().map(|field| {
                (
                    field.name.value.as_str(),
                    &field.data_type,
                    field.comment.as_ref().map(|text| text.value.as_str()),
                )
            });
            return object(of, data_type.nullable);
        }
        // Whatever it is.
        _ => return json!({}),
    };
    typed(name, data_type.nullable, schema)
}

/// An object of named types, in their order, with comments.
pub(crate) fn object<'a>(
    fields: impl Iterator<Item = (&'a str, &'a DataType, Option<&'a str>)>,
    nullable: bool,
) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, data_type, comment) in fields {
        let mut property = json_schema(data_type);
        if let (Some(comment), Some(property)) = (comment, property.as_object_mut()) {
            property.insert("description".into(), json!(comment));
        }
        properties.insert(name.to_string(), property);
        if !data_type.nullable {
            required.push(json!(name));
        }
    }
    let mut schema = Map::new();
    schema.insert("properties".into(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".into(), Value::Array(required));
    }
    typed("object", nullable, schema)
}

fn typed(name: &str, nullable: bool, rest: Map<String, Value>) -> Value {
    let mut schema = Map::new();
    schema.insert("type".into(), if nullable { json!([name, "null"]) } else { json!(name) });
    schema.extend(rest);
    Value::Object(schema)
}

/// Columns of a table for a payload: name, type, comment; or why there are none.
pub(crate) type Columns = Result<Vec<(String, String, Option<String>)>, String>;

/// The columns that a JSON Schema of an object describes. A value that may be missing is nullable.
pub(crate) fn columns_of_json(schema: &Value) -> Columns {
    let properties = schema["properties"].as_object().filter(|properties| !properties.is_empty());
    let properties = properties.ok_or("its payload is no object with properties")?;
    let required = |name: &str| {
        let names = schema["required"].as_array();
        names.is_some_and(|names| names.iter().any(|one| one.as_str() == Some(name)))
    };
    let column = |(name, schema): (&String, &Value)| {
        let mut data_type =
            of_json(schema, DEPTH_MAX).ok_or_else(|| format!("'{name}' has no type that SQL has"))?;
        if required(name) && !is_nullable(schema) {
            data_type += " NOT NULL";
        }
        Ok((name.clone(), data_type, schema["description"].as_str().map(str::to_string)))
    };
    properties.iter().map(column).collect()
}

fn is_nullable(schema: &Value) -> bool {
    let types = schema["type"].as_array();
    types.is_some_and(|types| types.iter().any(|one| one == "null")) || schema["nullable"] == true
}

fn of_json(schema: &Value, depth: usize) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    let name = match &schema["type"] {
        Value::String(name) => name.as_str(),
        // One beside null; another choice has no type here.
        Value::Array(names) => {
            let mut names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            names.next().filter(|_| names.next().is_none())?
        }
        _ if schema["enum"].as_array()?.iter().all(Value::is_string) => "string",
        _ => return None,
    };
    let format = schema["format"].as_str().unwrap_or_default();
    Some(match name {
        "boolean" => "BOOLEAN".into(),
        "integer" if format == "int32" => "INT".into(),
        "integer" => "BIGINT".into(),
        "number" if format == "float" => "FLOAT".into(),
        "number" => "DOUBLE".into(),
        "string" if format == "date" => "DATE".into(),
        "string" if schema["contentEncoding"] == "base64" || format == "byte" => "BYTES".into(),
        // `date-time` has a zone and an exponent of its own; a text loses nothing of it.
        "string" => "STRING".into(),
        "array" => format!("ARRAY<{}>", of_json(&schema["items"], depth)?),
        "object" => match schema["properties"].as_object().filter(|properties| !properties.is_empty()) {
            Some(properties) => {
                let field = |(name, schema): (&String, &Value)| {
                    Some(format!("{} {}", sql::unparse::quoted(name), of_json(schema, depth)?))
                };
                format!("ROW<{}>", properties.iter().map(field).collect::<Option<Vec<_>>>()?.join(", "))
            }
            None => {
                let values = Some(&schema["additionalProperties"]).filter(|values| values.is_object())?;
                format!("MAP<STRING, {}>", of_json(values, depth)?)
            }
        },
        _ => return None,
    })
}

/// The columns that an Avro record describes.
pub(crate) fn columns_of_avro(schema: &Value) -> Columns {
    let fields =
        schema["fields"].as_array().filter(|fields| schema["type"] == "record" && !fields.is_empty());
    let column = |field: &Value| {
        let name = field["name"].as_str().ok_or("a field has no name")?;
        let (data_type, nullable) =
            of_avro(&field["type"], DEPTH_MAX).ok_or_else(|| format!("'{name}' has no type that SQL has"))?;
        let data_type = if nullable { data_type } else { data_type + " NOT NULL" };
        Ok((name.to_string(), data_type, field["doc"].as_str().map(str::to_string)))
    };
    fields.ok_or("its schema is no record with fields")?.iter().map(column).collect()
}

/// The type, and whether it may be null. Names of types that were defined before are not followed.
fn of_avro(schema: &Value, depth: usize) -> Option<(String, bool)> {
    let depth = depth.checked_sub(1)?;
    if let Some(choices) = schema.as_array() {
        let mut others = choices.iter().filter(|choice| *choice != "null");
        let (only, none) = (others.next()?, others.next());
        let nullable = choices.iter().any(|choice| choice == "null");
        return none
            .is_none()
            .then(|| of_avro(only, depth))
            .flatten()
            .map(|(data_type, _)| (data_type, nullable));
    }
    let name = schema.as_str().or_else(|| schema["type"].as_str())?;
    let number = |key: &str| schema[key].as_u64();
    let data_type = match (name, schema["logicalType"].as_str()) {
        (_, Some("decimal")) => {
            let (precision, scale) = (number("precision")?, number("scale").unwrap_or(0));
            (precision <= 38 && scale <= precision).then(|| format!("DECIMAL({precision}, {scale})"))?
        }
        ("int", Some("date")) => "DATE".into(),
        ("int", Some("time-millis")) => "TIME(3)".into(),
        ("long", Some("timestamp-millis" | "local-timestamp-millis")) => "TIMESTAMP(3)".into(),
        ("long", Some("timestamp-micros" | "local-timestamp-micros")) => "TIMESTAMP(6)".into(),
        ("boolean", _) => "BOOLEAN".into(),
        ("int", _) => "INT".into(),
        ("long", _) => "BIGINT".into(),
        ("float", _) => "FLOAT".into(),
        ("double", _) => "DOUBLE".into(),
        ("bytes", _) => "BYTES".into(),
        ("string" | "enum", _) => "STRING".into(),
        ("fixed", _) => {
            format!("BINARY({})", number("size").filter(|size| (1..=LENGTH_MAX.into()).contains(size))?)
        }
        ("array", _) => format!("ARRAY<{}>", with_null(of_avro(&schema["items"], depth)?)),
        ("map", _) => format!("MAP<STRING NOT NULL, {}>", with_null(of_avro(&schema["values"], depth)?)),
        ("record", _) => {
            let field = |field: &Value| {
                let data_type = with_null(of_avro(&field["type"], depth)?);
                Some(format!("{} {data_type}", sql::unparse::quoted(field["name"].as_str()?)))
            };
            let fields = schema["fields"].as_array().filter(|fields| !fields.is_empty())?;
            format!("ROW<{}>", fields.iter().map(field).collect::<Option<Vec<_>>>()?.join(", "))
        }
        _ => return None,
    };
    Some((data_type, false))
}

fn with_null((data_type, nullable): (String, bool)) -> String {
    if nullable { data_type } else { data_type + " NOT NULL" }
}
