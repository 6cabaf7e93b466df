//! Records in every format that has a decoder, into rows of one table.

use crate::telemetry;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use base::options::Options;
use formats::{
    FormatKind, RegisteredSchema, RegistryError, RowDecoder, SchemaFile, SchemaKind, SchemaRegistry,
    Surroundings,
};
use std::collections::BTreeMap;
use std::sync::Arc;

const PROTO: &str = "syntax = \"proto3\"; message Row { int64 id = 1; string name = 2; repeated int32 numbers = 3; \
                     Inner inner = 4; message Inner { double x = 1; bytes y = 2; } bool flag = 5; }";
const AVRO: &str = r#"{"type":"record","name":"Row","fields":[{"name":"id","type":["null","long"]},
{"name":"name","type":"string"},{"name":"numbers","type":{"type":"array","items":"int"}},
{"name":"inner","type":["null",{"type":"record","name":"Inner","fields":[{"name":"x","type":"double"},
{"name":"y","type":"bytes"}]}]},{"name":"flag","type":"boolean"}]}"#;

/// Knows one schema for all numbers.
struct OneSchema(Arc<RegisteredSchema>);

impl SchemaRegistry for OneSchema {
    fn schema(&self, _: u32) -> Result<Arc<RegisteredSchema>, RegistryError> {
        Ok(self.0.clone())
    }

    fn id(&self, _: &str, _: &RegisteredSchema) -> Result<u32, RegistryError> {
        Err(RegistryError::Refused("nothing is written here".to_owned()))
    }
}

fn schema(kind: FormatKind) -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    if kind == FormatKind::Raw {
        return Arc::new(Schema::new(vec![field("value", DataType::Utf8)]));
    }
    let inner = Fields::from(vec![field("x", DataType::Float64), field("y", DataType::Binary)]);
    let numbers = DataType::List(Arc::new(field("element", DataType::Int32)));
    let mut columns = vec![
        field("id", DataType::Int64),
        field("name", DataType::Utf8),
        field("numbers", numbers),
        field("inner", DataType::Struct(inner)),
        field("flag", DataType::Boolean),
    ];
    if !matches!(kind, FormatKind::Protobuf | FormatKind::ProtobufConfluent | FormatKind::AvroConfluent) {
        columns.push(field("price", DataType::Decimal128(10, 2)));
        columns.push(field("at_time", DataType::Timestamp(TimeUnit::Millisecond, None)));
        columns.push(field("day", DataType::Date32));
    }
    Arc::new(Schema::new(columns))
}

/// A format of records with the options that it cannot do without.
fn decoder(kind: FormatKind) -> Option<Box<dyn RowDecoder>> {
    let given: &[(&str, &str)] = match kind {
        FormatKind::Protobuf => &[("message-class-name", "Row")],
        FormatKind::AvroConfluent | FormatKind::ProtobufConfluent | FormatKind::DebeziumAvroConfluent => {
            &[("url", "http://registry")]
        }
        _ => &[],
    };
    let given: BTreeMap<String, String> =
        given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let options = Options::check(&given, kind.specs()).ok()?;
    let (language, text) = match kind {
        FormatKind::ProtobufConfluent => (SchemaKind::Protobuf, PROTO),
        _ => (SchemaKind::Avro, AVRO),
    };
    let registered = RegisteredSchema { kind: language, text: text.to_owned(), references: Vec::new() };
    let file = SchemaFile { path: "row.proto".to_owned(), bytes: PROTO.into(), is_root: true };
    let surroundings = Surroundings {
        registry: Some(Arc::new(OneSchema(Arc::new(registered)))),
        schema_files: if kind == FormatKind::Protobuf { vec![file] } else { Vec::new() },
        ..Surroundings::default()
    };
    let schema = schema(kind);
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    kind.decoder(&options, &schema, &all, &[], &surroundings).ok()
}

fn kinds() -> Vec<FormatKind> {
    FormatKind::all().filter(|kind| *kind != FormatKind::Parquet).collect()
}

/// Between the headers of a record, their names and values, and the record.
const BETWEEN: u8 = 0;

type Headers<'a> = Vec<(&'a [u8], Option<&'a [u8]>)>;

/// Headers and the record, where the format looks at headers.
fn with_headers(bytes: &[u8]) -> (Headers<'_>, &[u8]) {
    let mut parts: Vec<&[u8]> = bytes.split(|byte| *byte == BETWEEN).collect();
    let record = parts.pop().unwrap_or_default();
    (parts.chunks(2).map(|pair| (pair[0], pair.get(1).copied())).collect(), record)
}

/// The first byte is the format, the rest a record; it is read twice, for what a failure leaves behind. What observability
/// sends has bytes of its own.
pub fn decode(data: &[u8]) {
    let Some((number, record)) = crate::choice(data) else { return };
    if let Some(kind) = number.checked_sub(telemetry::FIRST) {
        return telemetry::read(kind, record);
    }
    let kinds = kinds();
    let kind = kinds[usize::from(number) % kinds.len()];
    let Some(mut decoder) = decoder(kind) else { return };
    for _ in 0..2 {
        let before = decoder.len();
        let is_ok = if decoder.wants_headers() {
            let (headers, record) = with_headers(record);
            decoder.decode_with_headers(record, &headers).is_ok()
        } else {
            decoder.decode(record).is_ok()
        };
        assert!(is_ok || decoder.len() == before, "{}: rows of a record that is wrong", kind.name());
    }
    let rows = decoder.len();
    if let Ok(batch) = decoder.finish() {
        assert_eq!(batch.num_rows(), rows, "{}", kind.name());
    }
    assert!(decoder.is_empty());
}

pub fn seeds() -> Vec<Vec<u8>> {
    let row = r#"{"id":1,"name":"a","numbers":[1,2],"inner":{"x":1.5,"y":"AQ=="},"flag":true,"price":"1.20","at_time":"2024-01-01 00:00:00.5","day":"2024-02-29"}"#;
    let avro = [&[2, 2, 2, b'a', 4, 2, 4, 0, 2][..], &1.5f64.to_le_bytes(), &[2, 1, 1]].concat();
    let proto = [&[8, 1, 18, 1, b'a', 26, 2, 1, 2, 34, 12, 9][..], &1.5f64.to_le_bytes(), &[18, 1, 1, 40, 1]]
        .concat();
    let of = |kind| match kind {
        FormatKind::Json => row.as_bytes().to_vec(),
        FormatKind::Csv => b"1,\"a\",1;2,1.5;AQ==,true,1.20,2024-01-01 00:00:00.5,2024-02-29".to_vec(),
        FormatKind::Avro => avro.clone(),
        FormatKind::AvroConfluent | FormatKind::DebeziumAvroConfluent => {
            [&[0, 0, 0, 0, 1][..], &avro].concat()
        }
        FormatKind::Protobuf => proto.clone(),
        FormatKind::ProtobufConfluent => [&[0, 0, 0, 0, 1, 0][..], &proto].concat(),
        FormatKind::CloudEvents => {
            format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{row}}}"#).into_bytes()
        }
        FormatKind::DebeziumJson => format!(r#"{{"before":{row},"after":{row},"op":"u"}}"#).into_bytes(),
        FormatKind::CanalJson => {
            format!(r#"{{"data":[{row}],"old":[{{"id":2}}],"type":"UPDATE"}}"#).into_bytes()
        }
        FormatKind::MaxwellJson => {
            format!(r#"{{"data":{row},"old":{{"id":2}},"type":"update"}}"#).into_bytes()
        }
        FormatKind::OggJson => format!(r#"{{"before":{row},"after":{row},"op_type":"U"}}"#).into_bytes(),
        FormatKind::Raw | FormatKind::Parquet => b"any bytes".to_vec(),
    };
    let kinds = kinds();
    let mut seeds: Vec<Vec<u8>> =
        kinds.iter().enumerate().map(|(number, kind)| [&[number as u8], &of(*kind)[..]].concat()).collect();
    if let Some(number) = kinds.iter().position(|kind| *kind == FormatKind::CloudEvents) {
        let headers = [
            "ce_specversion",
            "1.0",
            "ce_id",
            "1",
            "ce_source",
            "/s",
            "ce_type",
            "t",
            "content-type",
            "application/json",
            row,
        ];
        seeds.push([&[number as u8], headers.join("\0").as_bytes()].concat());
    }
    seeds.extend(telemetry::seeds());
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_a_decoder_here() {
        for kind in kinds() {
            assert!(decoder(kind).is_some(), "{}", kind.name());
        }
    }
}
