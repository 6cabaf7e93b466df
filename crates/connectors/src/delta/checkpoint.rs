//! Checkpoints of a Delta table's log: the sum of its actions as rows of Parquet, of which each is one action.

use super::log::{self, State};
use crate::filesystem::parquet::ParquetFiles;
use crate::lake::columns::{list_of, map_of};
use crate::lake::corrupt;
use crate::lake::storage::{Stores, below};
use crate::service::Done;
use arrow_array::builder::{BooleanBuilder, Int32Builder, Int64Builder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, ListArray, MapArray, RecordBatch, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields, Schema};
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const ROWS_AT_ONCE: usize = 4096;
/// For so long files that were removed are remembered, where the table says nothing else.
const REMOVED_MS: i64 = 7 * 24 * 60 * 60 * 1000;
pub(super) const RETENTION: &str = "delta.deletedFileRetentionDuration";

fn texts(name: &str) -> Field {
    Field::new(name, list_of(Field::new("element", DataType::Utf8, true)), true)
}

fn map(name: &str) -> Field {
    let key = Field::new("key", DataType::Utf8, false);
    Field::new(name, map_of(key, Field::new("value", DataType::Utf8, true)), true)
}

fn row(name: &str, fields: Vec<Field>) -> Field {
    Field::new(name, DataType::Struct(fields.into()), true)
}

/// The columns of a checkpoint: one for each kind of action.
fn columns(with_files: bool) -> Vec<Field> {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let long = |name: &str| Field::new(name, DataType::Int64, true);
    let int = |name: &str| Field::new(name, DataType::Int32, true);
    let flag = |name: &str| Field::new(name, DataType::Boolean, true);
    let mut columns = vec![
        row("txn", vec![text("appId"), long("version"), long("lastUpdated")]),
        row(
            "metaData",
            vec![
                text("id"),
                text("name"),
                text("description"),
                row("format", vec![text("provider"), map("options")]),
                text("schemaString"),
                texts("partitionColumns"),
                long("createdTime"),
                map("configuration"),
            ],
        ),
        row(
            "protocol",
            vec![
                int("minReaderVersion"),
                int("minWriterVersion"),
                texts("readerFeatures"),
                texts("writerFeatures"),
            ],
        ),
    ];
    if with_files {
        columns.push(row(
            "add",
            vec![
                text("path"),
                map("partitionValues"),
                long("size"),
                long("modificationTime"),
                flag("dataChange"),
                map("tags"),
                text("stats"),
            ],
        ));
        columns.push(row(
            "remove",
            vec![
                text("path"),
                long("deletionTimestamp"),
                flag("dataChange"),
                flag("extendedFileMetadata"),
                map("partitionValues"),
                long("size"),
            ],
        ));
    }
    columns
}

/// Gives each action of one part of a checkpoint.
pub(super) fn read(
    stores: &mut Stores,
    address: &str,
    with_files: bool,
    each: &mut dyn FnMut(Value) -> Done<()>,
) -> Done<()> {
    let wanted = columns(with_files);
    let file = Arc::new(stores.pieces(address)?);
    let mut files = ParquetFiles::new(file.clone(), wanted.clone());
    let mut position = 0;
    loop {
        let (arrays, rows, is_over) = files.read(address, position, ROWS_AT_ONCE).map_err(|reason| {
            file.take_failure().unwrap_or_else(|| corrupt(format!("{address} cannot be read: {reason}")))
        })?;
        for at in 0..rows {
            for (field, array) in wanted.iter().zip(&arrays) {
                let value = value_of(array, at);
                if !value.is_null() {
                    each(Value::Object(Map::from_iter([(field.name().clone(), value)])))?;
                }
            }
        }
        position += rows as i64;
        if is_over || rows == 0 {
            return Ok(());
        }
    }
}

/// A value as JSON; what is NULL in a row is left out of it.
fn value_of(array: &ArrayRef, at: usize) -> Value {
    if array.is_null(at) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(at).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(at).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(at).into(),
        DataType::Boolean => array.as_boolean().value(at).into(),
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            let values = columns.map(|(field, column)| (field.name().clone(), value_of(column, at)));
            Value::Object(values.filter(|(_, value)| !value.is_null()).collect())
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(at);
            (0..items.len()).map(|item| value_of(&items, item)).collect()
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(at);
            let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1));
            let entry = |entry: usize| (keys.value(entry).to_string(), value_of(values, entry));
            Value::Object((0..entries.len()).map(entry).collect())
        }
        _ => Value::Null,
    }
}

/// Values of JSON as a column; one of another type is NULL.
fn array_of(field: &Field, values: &[&Value]) -> Result<ArrayRef, arrow_schema::ArrowError> {
    let is_there: NullBuffer = values.iter().map(|value| !value.is_null()).collect();
    Ok(match field.data_type() {
        DataType::Utf8 => {
            let mut builder = StringBuilder::new();
            values.iter().for_each(|value| builder.append_option(value.as_str()));
            Arc::new(builder.finish())
        }
        DataType::Int64 => {
            let mut builder = Int64Builder::new();
            values.iter().for_each(|value| builder.append_option(value.as_i64()));
            Arc::new(builder.finish())
        }
        DataType::Int32 => {
            let number = |value: &Value| value.as_i64().and_then(|number| i32::try_from(number).ok());
            let mut builder = Int32Builder::new();
            values.iter().for_each(|value| builder.append_option(number(value)));
            Arc::new(builder.finish())
        }
        DataType::Boolean => {
            let mut builder = BooleanBuilder::new();
            values.iter().for_each(|value| builder.append_option(value.as_bool()));
            Arc::new(builder.finish())
        }
        DataType::Struct(fields) => {
            let column = |field: &Field| {
                let within: Vec<&Value> = values.iter().map(|value| &value[field.name().as_str()]).collect();
                array_of(field, &within)
            };
            let columns = fields.iter().map(|field| column(field)).collect::<Result<Vec<_>, _>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, Some(is_there))?)
        }
        DataType::List(item) => {
            let lists: Vec<&[Value]> = values.iter().map(|value| slice(value.as_array())).collect();
            let offsets = OffsetBuffer::from_lengths(lists.iter().map(|list| list.len()));
            let items: Vec<&Value> = lists.into_iter().flatten().collect();
            Arc::new(ListArray::try_new(item.clone(), offsets, array_of(item, &items)?, Some(is_there))?)
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(pair) = entries.data_type() else {
                return Err(arrow_schema::ArrowError::SchemaError("a map without entries".into()));
            };
            let maps: Vec<Option<&Map<String, Value>>> =
                values.iter().map(|value| value.as_object()).collect();
            let offsets = OffsetBuffer::from_lengths(maps.iter().map(|map| map.map_or(0, Map::len)));
            let mut keys = StringBuilder::new();
            let mut within = Vec::new();
            for (key, value) in maps.into_iter().flatten().flatten() {
                keys.append_value(key);
                within.push(value);
            }
            let columns: Vec<ArrayRef> = vec![Arc::new(keys.finish()), array_of(&pair[1], &within)?];
            let pairs = StructArray::try_new(pair.clone(), columns, None)?;
            Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, Some(is_there), false)?)
        }
        other => return Err(arrow_schema::ArrowError::SchemaError(format!("no column of {other}"))),
    })
}

fn slice(list: Option<&Vec<Value>>) -> &[Value] {
    list.map_or(&[], Vec::as_slice)
}

/// Writes the checkpoint of a version.
pub(super) fn write(stores: &mut Stores, root: &str, version: i64) -> Done<()> {
    let state = State::read_to(stores, root, true, version)?;
    if state.version != version {
        return Ok(());
    }
    let now_ms = stores.os().clock.now_ms();
    let (bytes, rows) = encoded(state, now_ms)?;
    // Another writer may have written it meanwhile: it says the same.
    stores.put_new(&below(&log::folder(root), &log::checkpoint_name(version)), bytes)?;
    let hint = json!({"version": version, "size": rows});
    stores.put(&log::hint_address(root), hint.to_string().into_bytes())
}

/// An interval as Delta writes it: `interval 1 week 12 hours`. None where it is none, or has months.
pub(super) fn interval_ms(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    let mut words = text.strip_prefix("interval ").unwrap_or(&text).split_whitespace();
    let mut sum: Option<i64> = None;
    while let Some(number) = words.next() {
        let number = number.parse::<u32>().ok()?;
        let unit_ms = match words.next()?.trim_end_matches('s') {
            "week" => 7 * 24 * 60 * 60 * 1000,
            "day" => 24 * 60 * 60 * 1000,
            "hour" => 60 * 60 * 1000,
            "minute" => 60 * 1000,
            "second" => 1000,
            "millisecond" => 1,
            _ => return None,
        };
        sum = Some(sum.unwrap_or(0).checked_add(i64::from(number) * unit_ms)?);
    }
    sum
}

/// The actions go out of the state as they are written: a second copy of them would not fit where the first just does.
fn encoded(state: State, now_ms: i64) -> Done<(Vec<u8>, usize)> {
    let failed = |error: &dyn std::fmt::Display| corrupt(format!("a checkpoint cannot be written: {error}"));
    // Of a setting that we do not understand all are kept: what it means is for its engine to say.
    let kept_ms = match &state.metadata["configuration"][RETENTION] {
        Value::Null => Some(REMOVED_MS),
        said => said.as_str().and_then(interval_ms),
    };
    let is_kept = |said: &Value| {
        let removed_ms = said["deletionTimestamp"].as_i64();
        kept_ms.zip(removed_ms).is_none_or(|(kept, at)| at > now_ms.saturating_sub(kept))
    };
    let action = |kind: &str, said: Value| Value::Object(Map::from_iter([(kind.to_string(), said)]));
    let State { protocol, metadata, applications, files, removed, .. } = state;
    let mut actions = [action("protocol", protocol), action("metaData", metadata)]
        .into_iter()
        .chain(applications.into_values().map(|said| action("txn", said)))
        .chain(files.into_values().map(|said| action("add", in_checkpoint(said))))
        .chain(removed.into_values().filter(is_kept).map(|said| action("remove", in_checkpoint(said))));
    let schema = Arc::new(Schema::new(Fields::from(columns(true))));
    let properties =
        WriterProperties::builder().set_compression(Compression::SNAPPY).set_coerce_types(true).build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema.clone(), options)
        .map_err(|error| failed(&error))?;
    let mut count = 0;
    loop {
        let some: Vec<Value> = actions.by_ref().take(ROWS_AT_ONCE).collect();
        if some.is_empty() {
            break;
        }
        count += some.len();
        let columns = schema.fields().iter().map(|field| {
            let values: Vec<&Value> = some.iter().map(|action| &action[field.name().as_str()]).collect();
            array_of(field, &values)
        });
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|error| failed(&error))?;
        let rows = RecordBatch::try_new(schema.clone(), columns).map_err(|error| failed(&error))?;
        writer.write(&rows).map_err(|error| failed(&error))?;
    }
    Ok((writer.into_inner().map_err(|error| failed(&error))?, count))
}

/// What stands in a checkpoint changes nothing.
fn in_checkpoint(mut said: Value) -> Value {
    if let Some(said) = said.as_object_mut() {
        said.insert("dataChange".into(), false.into());
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use os::Os;

    #[test]
    fn a_checkpoint_says_what_the_log_says() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_str().unwrap().to_string();
        let mut stores = Stores::new(&Os::real(), &base::options::Options::default());
        let old = json!({"path": "old", "deletionTimestamp": 1, "dataChange": false});
        let state = State {
            version: 4,
            protocol: json!({"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["a"], "writerFeatures": ["a", "b"]}),
            metadata: json!({"id": "x", "format": {"provider": "parquet", "options": {}}, "schemaString": "{}",
                "partitionColumns": ["day"], "configuration": {"k": "v"}, "createdTime": 5}),
            digest: None,
            applications: [("me".to_string(), json!({"appId": "me", "version": 7}))].into(),
            files: [(
                "f".to_string(),
                json!({"path": "f", "partitionValues": {"day": null}, "size": 9, "modificationTime": 1,
                    "dataChange": false, "stats": "{}"}),
            )]
            .into(),
            removed: [("old".to_string(), old)].into(),
            bytes: 0,
        };
        let (bytes, rows) = encoded(state.clone(), REMOVED_MS * 2).unwrap();
        assert_eq!(rows, 4);
        std::fs::create_dir(folder.path().join("_delta_log")).unwrap();
        std::fs::write(below(&log::folder(&root), &log::checkpoint_name(4)), bytes).unwrap();
        let found = State::read(&mut stores, &root, true).unwrap();
        // What was removed long ago is forgotten.
        assert_eq!(found, State { removed: Default::default(), bytes: found.bytes, ..state.clone() });
        let found = State::read(&mut stores, &root, false).unwrap();
        assert_eq!((found.applications, found.files.len()), (state.applications.clone(), 0));
        // As long as the table says, and for ever where it says what we do not know.
        for (said, rows) in [("interval 1 week", 4), ("interval 15 days", 5), ("interval 1 month", 5)] {
            let mut state = state.clone();
            state.metadata["configuration"][RETENTION] = said.into();
            assert_eq!(encoded(state, REMOVED_MS * 2).unwrap().1, rows, "{said}");
        }
    }

    #[test]
    fn intervals_are_those_of_delta() {
        for (text, expected) in [
            ("interval 7 days", Some(REMOVED_MS)),
            ("INTERVAL 1 WEEK", Some(REMOVED_MS)),
            ("1 hour 30 minutes", Some(5_400_000)),
            ("interval 4294967295 weeks 1 millisecond", Some(4_294_967_295 * REMOVED_MS + 1)),
            ("interval", None),
            ("interval 2 months", None),
            ("interval -1 days", None),
            ("7 d", None),
            ("", None),
        ] {
            assert_eq!(interval_ms(text), expected, "{text}");
        }
    }
}
