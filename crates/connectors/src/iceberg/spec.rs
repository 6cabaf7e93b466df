//! How an Iceberg table is partitioned, and what stands of partitions and bounds in its manifests.

use super::schema::id_of;
use crate::lake::Part;
use crate::lake::transforms::{Transform, shortest};
use crate::lake::values::Value;
use arrow_schema::{DataType, Fields};
use formats::AvroValue;
use serde_json::{Value as Json, json};

/// The ids of partitions begin behind this one.
pub(super) const LAST_ID_BEFORE: i64 = 999;

/// A table's way to part rows.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub id: i64,
    pub fields: Vec<SpecField>,
    /// As the table's metadata have them.
    pub json: Json,
}

#[derive(Debug, Clone)]
pub(super) struct SpecField {
    pub id: i64,
    pub part: Part,
    /// What the transform gives.
    pub result: DataType,
}

impl Spec {
    /// From a table's metadata, and the columns that we know.
    pub(super) fn of(spec: &Json, columns: &Fields) -> Result<Spec, String> {
        let id = spec["spec-id"].as_i64().ok_or("its partitioning has no id")?;
        let list = spec["fields"].as_array().ok_or("its partitioning has no fields")?;
        let mut fields = Vec::new();
        for field in list {
            let name = field["name"].as_str().ok_or("a partition has no name")?;
            let refuse =
                |what: &str| format!("it is partitioned by '{name}' ({what}), which cannot be written here");
            let text = field["transform"].as_str().unwrap_or_default();
            let transform = Transform::parse(text).ok_or_else(|| refuse(text))?;
            let source = field["source-id"].as_i64();
            let column =
                columns.iter().find(|column| source.is_some() && id_of(column).map(i64::from) == source);
            let column = column.ok_or_else(|| refuse("of a column within another, or of another type"))?;
            let result = match transform {
                Transform::Identity | Transform::Truncate(_) | Transform::Void => column.data_type().clone(),
                Transform::Day => DataType::Date32,
                Transform::Year | Transform::Month | Transform::Hour | Transform::Bucket(_) => {
                    DataType::Int32
                }
            };
            fields.push(SpecField {
                id: field["field-id"].as_i64().ok_or("a partition has no id")?,
                part: Part { name: name.to_string(), field: column.as_ref().clone(), transform },
                result,
            });
        }
        let json = spec["fields"].clone();
        Ok(Spec { id, fields, json })
    }

    /// Of a table that is made: by the values of columns.
    pub(super) fn of_columns(schema: &Json, keys: &[String]) -> Json {
        let columns = schema["fields"].as_array().map_or(&[][..], Vec::as_slice);
        let source = |key: &String| columns.iter().find(|column| column["name"] == key.as_str());
        let fields = keys.iter().zip(LAST_ID_BEFORE + 1..).map(|(key, id)| {
            let source = source(key).map_or(Json::Null, |column| column["id"].clone());
            json!({"name": key, "transform": "identity", "source-id": source, "field-id": id})
        });
        json!({"spec-id": 0, "fields": fields.collect::<Vec<Json>>()})
    }

    /// By what its columns are parted, for messages.
    pub(super) fn columns(&self) -> Vec<&str> {
        let fields = self.fields.iter().filter(|field| field.part.transform != Transform::Void);
        fields.map(|field| field.part.field.name().as_str()).collect()
    }
}

/// A type of Avro for what a transform gives.
pub(super) fn avro_type(data_type: &DataType, id: i64) -> Json {
    match data_type {
        DataType::Boolean => "boolean".into(),
        DataType::Int32 => "int".into(),
        DataType::Int64 => "long".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Utf8 => "string".into(),
        DataType::Date32 => json!({"type": "int", "logicalType": "date"}),
        DataType::Time64(_) => json!({"type": "long", "logicalType": "time-micros"}),
        DataType::Timestamp(_, zone) => {
            json!({"type": "long", "logicalType": "timestamp-micros", "adjust-to-utc": zone.is_some()})
        }
        DataType::Decimal128(digits, scale) => json!({
            "type": "fixed", "name": format!("decimal_{digits}_{scale}_{id}"), "size": decimal_bytes(*digits),
            "logicalType": "decimal", "precision": digits, "scale": scale,
        }),
        _ => "bytes".into(),
    }
}

/// The fewest bytes that hold all numbers of so many digits.
fn decimal_bytes(digits: u8) -> usize {
    let most = 10i128.checked_pow(digits.into()).unwrap_or(i128::MAX) - 1;
    shortest(most).len()
}

/// A value as Avro has it.
pub(super) fn avro_value(value: &Value, data_type: &DataType) -> AvroValue {
    match value {
        Value::Null => AvroValue::Null,
        Value::Boolean(value) => AvroValue::Boolean(*value),
        Value::Int(number) | Value::Date(number) => AvroValue::Long((*number).into()),
        Value::Long(number) | Value::Time(number) | Value::Timestamp(number) => AvroValue::Long(*number),
        Value::Float(bits) => AvroValue::Float(f32::from_bits(*bits)),
        Value::Double(bits) => AvroValue::Double(f64::from_bits(*bits)),
        Value::Decimal(number, _) => {
            let bytes = number.to_be_bytes();
            let digits = if let DataType::Decimal128(digits, _) = data_type { *digits } else { 38 };
            AvroValue::Bytes(bytes[16 - decimal_bytes(digits)..].to_vec())
        }
        Value::Text(text) => AvroValue::Text(text.clone()),
        Value::Bytes(bytes) => AvroValue::Bytes(bytes.clone()),
    }
}

/// A value from Avro; none of another type.
pub(super) fn value_of(value: &AvroValue, data_type: &DataType) -> Option<Value> {
    Some(match (value, data_type) {
        (AvroValue::Null, _) => Value::Null,
        (AvroValue::Boolean(value), DataType::Boolean) => Value::Boolean(*value),
        (AvroValue::Long(number), DataType::Int32) => Value::Int(i32::try_from(*number).ok()?),
        (AvroValue::Long(number), DataType::Date32) => Value::Date(i32::try_from(*number).ok()?),
        (AvroValue::Long(number), DataType::Int64) => Value::Long(*number),
        (AvroValue::Long(number), DataType::Time64(_)) => Value::Time(*number),
        (AvroValue::Long(number), DataType::Timestamp(..)) => Value::Timestamp(*number),
        (AvroValue::Float(value), DataType::Float32) => Value::Float(value.to_bits()),
        (AvroValue::Double(value), DataType::Float64) => Value::Double(value.to_bits()),
        (AvroValue::Text(text), DataType::Utf8) => Value::Text(text.clone()),
        (AvroValue::Bytes(bytes), DataType::Binary) => Value::Bytes(bytes.clone()),
        (AvroValue::Bytes(bytes), DataType::Decimal128(_, scale)) => {
            let fill = if bytes.first()? & 0x80 == 0 { 0 } else { 0xff };
            let mut whole = [fill; 16];
            whole.get_mut(16usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
            Value::Decimal(i128::from_be_bytes(whole), *scale)
        }
        _ => return None,
    })
}

/// A value by itself, as bounds are written.
pub(super) fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    Some(match value {
        Value::Null => return None,
        Value::Boolean(value) => vec![u8::from(*value)],
        Value::Int(number) | Value::Date(number) => number.to_le_bytes().to_vec(),
        Value::Long(number) | Value::Time(number) | Value::Timestamp(number) => number.to_le_bytes().to_vec(),
        Value::Float(bits) => bits.to_le_bytes().to_vec(),
        Value::Double(bits) => bits.to_le_bytes().to_vec(),
        Value::Decimal(number, _) => shortest(*number),
        Value::Text(text) => text.clone().into_bytes(),
        Value::Bytes(bytes) => bytes.clone(),
    })
}

/// Whether values of a type are ordered as their numbers are: NaN is not.
pub(super) fn is_ordered(data_type: &DataType) -> bool {
    !matches!(data_type, DataType::Float32 | DataType::Float64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iceberg::schema;
    use arrow_schema::Field;

    #[test]
    fn a_spec_is_read_and_what_cannot_be_written_is_named() {
        let fields: Fields =
            vec![Field::new("a", DataType::Utf8, true), Field::new("b", DataType::Date32, true)].into();
        let (schema, _) = schema::schema_of(&fields).unwrap();
        let columns = schema::columns(&schema).unwrap().fields;
        let made = Spec::of_columns(&schema, &["b".into()]);
        let spec = Spec::of(&made, &columns).unwrap();
        assert_eq!((spec.columns(), spec.fields[0].id), (vec!["b"], 1000));
        let field = |transform: &str, source: i64| {
            let field = json!({"name": "p", "transform": transform, "source-id": source, "field-id": 1000});
            Spec::of(&json!({"spec-id": 3, "fields": [field]}), &columns)
        };
        assert_eq!(field("day", 2).unwrap().fields[0].result, DataType::Date32);
        assert_eq!(field("bucket[8]", 1).unwrap().fields[0].result, DataType::Int32);
        assert!(field("zorder", 1).unwrap_err().contains("'p' (zorder)"));
        assert!(field("identity", 9).unwrap_err().contains("a column within another"));
    }

    #[test]
    fn values_of_partitions_come_back_from_avro() {
        for (value, data_type) in [
            (Value::Int(-3), DataType::Int32),
            (Value::Decimal(-12345, 2), DataType::Decimal128(9, 2)),
            (Value::Decimal(i128::from(i64::MIN), 2), DataType::Decimal128(38, 2)),
            (Value::Text("ü".into()), DataType::Utf8),
            (Value::Null, DataType::Utf8),
            (Value::Bytes(vec![1]), DataType::Binary),
        ] {
            assert_eq!(value_of(&avro_value(&value, &data_type), &data_type), Some(value));
        }
        assert_eq!((decimal_bytes(9), decimal_bytes(18), decimal_bytes(38)), (4, 8, 16));
        assert_eq!(value_of(&AvroValue::Bytes(vec![0; 17]), &DataType::Decimal128(9, 2)), None);
        assert_eq!(bytes_of(&Value::Decimal(1420, 2)), Some(vec![0x05, 0x8c]));
    }
}
