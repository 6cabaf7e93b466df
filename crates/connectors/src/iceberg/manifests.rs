//! Manifests and their lists: files of Avro that say which files a snapshot of an Iceberg table has.
//!
//! What we write has the schemas of the specification's version 2. What is read may be of any writer: lists are taken by the
//! names of their fields; of manifests those alone that we wrote, to join small ones.

use super::spec::{Spec, avro_type, avro_value, bytes_of, is_ordered, value_of};
use crate::filesystem::avro::{MARK_BYTES, file_of, values_of, write_bytes, write_long};
use crate::lake::corrupt;
use crate::lake::values::Value;
use crate::service::Done;
use arrow_schema::DataType;
use formats::AvroValue;
use serde_json::{Value as Json, json};

pub(super) const EXISTING: i64 = 0;
pub(super) const ADDED: i64 = 1;

/// A manifest as a list has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Manifest {
    pub path: String,
    pub bytes: i64,
    pub spec_id: i64,
    /// 0 for files of rows, 1 for files of deletions.
    pub content: i64,
    pub sequence: i64,
    pub sequence_min: i64,
    pub snapshot_id: i64,
    /// Added, existing, deleted.
    pub files: [i64; 3],
    pub rows: [i64; 3],
    /// The list does not say how many they are, as lists of version 1 need not: 0 would hide them from readers.
    pub is_uncounted: bool,
    pub partitions: Option<Vec<Summary>>,
    pub key_metadata: Option<Vec<u8>>,
}

/// Between which values a partition's values lie in a manifest.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Summary {
    pub has_null: bool,
    pub has_nan: Option<bool>,
    pub lower: Option<Vec<u8>>,
    pub upper: Option<Vec<u8>>,
}

/// A file as a manifest has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub status: i64,
    /// Those of an added file are the manifest's.
    pub snapshot_id: Option<i64>,
    pub sequence: Option<i64>,
    pub file_sequence: Option<i64>,
    pub path: String,
    pub partition: Vec<Value>,
    pub rows: i64,
    pub bytes: i64,
    pub column_bytes: Vec<(i32, i64)>,
    pub value_counts: Vec<(i32, i64)>,
    pub null_counts: Vec<(i32, i64)>,
    pub lower: Vec<(i32, Vec<u8>)>,
    pub upper: Vec<(i32, Vec<u8>)>,
    pub split_offsets: Vec<i64>,
}

/// Writes values one behind the other.
#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn long(&mut self, value: i64) -> &mut Out {
        write_long(value, &mut self.0);
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Out {
        write_bytes(bytes, &mut self.0);
        self
    }

    /// A value that may be missing: the branch of a union, and what stands in it.
    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Out, T)) -> &mut Out {
        match value {
            None => self.long(0),
            Some(value) => {
                self.long(1);
                write(self, value);
                self
            }
        }
    }

    /// An array that is missing where it is empty.
    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Out, &T)) -> &mut Out {
        if items.is_empty() {
            return self.long(0);
        }
        self.long(1).long(items.len() as i64);
        items.iter().for_each(|item| write(self, item));
        self.long(0)
    }

    fn value(&mut self, value: &AvroValue, is_fixed: bool) {
        match value {
            AvroValue::Boolean(value) => self.0.push(u8::from(*value)),
            AvroValue::Long(value) => {
                self.long(*value);
            }
            AvroValue::Float(value) => self.0.extend_from_slice(&value.to_le_bytes()),
            AvroValue::Double(value) => self.0.extend_from_slice(&value.to_le_bytes()),
            AvroValue::Text(text) => {
                self.bytes(text.as_bytes());
            }
            AvroValue::Bytes(bytes) if is_fixed => self.0.extend_from_slice(bytes),
            AvroValue::Bytes(bytes) => {
                self.bytes(bytes);
            }
            AvroValue::Null | AvroValue::Array(_) | AvroValue::Map(_) | AvroValue::Record(_) => {}
        }
    }
}

fn field(name: &str, id: i64, of: Json) -> Json {
    json!({"name": name, "type": of, "field-id": id})
}

fn optional(name: &str, id: i64, of: Json) -> Json {
    json!({"name": name, "type": ["null", of], "default": null, "field-id": id})
}

/// A map with numbers as keys, which Avro does not have.
fn map(name: &str, id: i64, of: &str) -> Json {
    let (key, value) = (id_of_key(id), id_of_key(id) + 1);
    let pair = json!({"type": "record", "name": format!("k{key}_v{value}"),
        "fields": [field("key", key, "int".into()), field("value", value, of.into())]});
    optional(name, id, json!({"type": "array", "logicalType": "map", "items": pair}))
}

/// The specification has not counted them on.
fn id_of_key(id: i64) -> i64 {
    match id {
        108 => 117,
        109 => 119,
        110 => 121,
        125 => 126,
        128 => 129,
        other => other * 10,
    }
}

/// A name as Avro takes it, made as Iceberg's own writers make it.
fn avro_name(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.chars().enumerate() {
        match letter {
            'a'..='z' | 'A'..='Z' | '_' => out.push(letter),
            '0'..='9' if at > 0 => out.push(letter),
            '0'..='9' => out.extend(['_', letter]),
            other => out.push_str(&format!("_x{:X}", u32::from(other))),
        }
    }
    out
}

fn entry_schema(spec: &Spec) -> Json {
    let partition =
        spec.fields.iter().map(|it| optional(&avro_name(&it.part.name), it.id, avro_type(&it.result, it.id)));
    let partition: Vec<Json> = partition.collect();
    let file = json!({"type": "record", "name": "r2", "fields": [
        field("content", 134, "int".into()),
        field("file_path", 100, "string".into()),
        field("file_format", 101, "string".into()),
        field("partition", 102, json!({"type": "record", "name": "r102", "fields": partition})),
        field("record_count", 103, "long".into()),
        field("file_size_in_bytes", 104, "long".into()),
        map("column_sizes", 108, "long"),
        map("value_counts", 109, "long"),
        map("null_value_counts", 110, "long"),
        map("lower_bounds", 125, "bytes"),
        map("upper_bounds", 128, "bytes"),
        optional("split_offsets", 132, json!({"type": "array", "items": "long", "element-id": 133})),
    ]});
    json!({"type": "record", "name": "manifest_entry", "fields": [
        field("status", 0, "int".into()),
        optional("snapshot_id", 1, "long".into()),
        optional("sequence_number", 3, "long".into()),
        optional("file_sequence_number", 4, "long".into()),
        field("data_file", 2, file),
    ]})
}

impl Entry {
    fn encode(&self, spec: &Spec) -> Vec<u8> {
        let mut out = Out::default();
        out.long(self.status);
        for number in [self.snapshot_id, self.sequence, self.file_sequence] {
            out.optional(number, |out, number| {
                out.long(number);
            });
        }
        out.long(0).bytes(self.path.as_bytes()).bytes(b"PARQUET");
        for (field, value) in spec.fields.iter().zip(&self.partition) {
            let value = Some(avro_value(value, &field.result)).filter(|value| *value != AvroValue::Null);
            let is_fixed = matches!(field.result, DataType::Decimal128(..));
            out.optional(value, |out, value| out.value(&value, is_fixed));
        }
        out.long(self.rows).long(self.bytes);
        for counts in [&self.column_bytes, &self.value_counts, &self.null_counts] {
            out.list(counts, |out, (id, count)| {
                out.long((*id).into()).long(*count);
            });
        }
        for bounds in [&self.lower, &self.upper] {
            out.list(bounds, |out, (id, bound)| {
                out.long((*id).into()).bytes(bound);
            });
        }
        out.list(&self.split_offsets, |out, offset| {
            out.long(*offset);
        });
        out.0
    }

    fn decode(value: &AvroValue, spec: &Spec) -> Option<Entry> {
        let file = value.field("data_file")?;
        let long = |of: &AvroValue, name: &str| of.field(name).and_then(AvroValue::long);
        let partition = file.field("partition")?;
        let values = spec
            .fields
            .iter()
            .map(|field| value_of(partition.field(&avro_name(&field.part.name))?, &field.result));
        let AvroValue::Text(path) = file.field("file_path")? else { return None };
        if long(file, "content")? != 0 {
            return None;
        }
        Some(Entry {
            status: long(value, "status")?,
            snapshot_id: long(value, "snapshot_id"),
            sequence: long(value, "sequence_number"),
            file_sequence: long(value, "file_sequence_number"),
            path: path.clone(),
            partition: values.collect::<Option<Vec<Value>>>()?,
            rows: long(file, "record_count")?,
            bytes: long(file, "file_size_in_bytes")?,
            column_bytes: pairs(file.field("column_sizes"), AvroValue::long)?,
            value_counts: pairs(file.field("value_counts"), AvroValue::long)?,
            null_counts: pairs(file.field("null_value_counts"), AvroValue::long)?,
            lower: pairs(file.field("lower_bounds"), bytes)?,
            upper: pairs(file.field("upper_bounds"), bytes)?,
            split_offsets: match file.field("split_offsets") {
                Some(AvroValue::Array(offsets)) => {
                    offsets.iter().map(AvroValue::long).collect::<Option<Vec<i64>>>()?
                }
                _ => Vec::new(),
            },
        })
    }
}

fn bytes(value: &AvroValue) -> Option<Vec<u8>> {
    if let AvroValue::Bytes(bytes) = value { Some(bytes.clone()) } else { None }
}

/// The pairs of a map with numbers as keys; none of another type.
fn pairs<T>(map: Option<&AvroValue>, read: impl Fn(&AvroValue) -> Option<T>) -> Option<Vec<(i32, T)>> {
    let Some(AvroValue::Array(pairs)) = map else { return Some(Vec::new()) };
    let pair = |pair: &AvroValue| {
        let key = i32::try_from(pair.field("key")?.long()?).ok()?;
        Some((key, read(pair.field("value")?)?))
    };
    pairs.iter().map(pair).collect()
}

/// The bytes of a manifest, and what its list says of its partitions.
pub(super) fn manifest(
    spec: &Spec,
    schema: &Json,
    entries: &[Entry],
    mark: [u8; MARK_BYTES],
) -> Done<(Vec<u8>, Vec<Summary>)> {
    let (schema_text, spec_text) = (schema.to_string(), spec.json.to_string());
    let (schema_id, spec_id) = (schema["schema-id"].to_string(), spec.id.to_string());
    let head = [
        ("schema", schema_text.as_str()),
        ("schema-id", &schema_id),
        ("partition-spec", &spec_text),
        ("partition-spec-id", &spec_id),
        ("format-version", "2"),
        ("content", "data"),
    ];
    let values: Vec<Vec<u8>> = entries.iter().map(|entry| entry.encode(spec)).collect();
    let bytes = file_of(&entry_schema(spec).to_string(), &head, &values, mark);
    let bytes = bytes.map_err(|error| corrupt(format!("a manifest cannot be written: {error}")))?;
    let summaries = spec.fields.iter().enumerate().map(|(at, field)| {
        let values =
            || entries.iter().map(|entry| &entry.partition[at]).filter(|value| **value != Value::Null);
        let is_ordered = is_ordered(&field.result);
        Summary {
            has_null: entries.iter().any(|entry| entry.partition[at] == Value::Null),
            has_nan: is_ordered.then_some(false),
            lower: values().min().filter(|_| is_ordered).and_then(bytes_of),
            upper: values().max().filter(|_| is_ordered).and_then(bytes_of),
        }
    });
    Ok((bytes, summaries.collect()))
}

/// The files of a manifest of ours.
pub(super) fn entries(bytes: &[u8], spec: &Spec) -> Done<Vec<Entry>> {
    let values =
        values_of(bytes).map_err(|reason| corrupt(format!("a manifest cannot be read: {reason}")))?;
    let entry = |value: &AvroValue| {
        Entry::decode(value, spec).ok_or_else(|| corrupt("a manifest of ours is not what we write"))
    };
    values.iter().map(entry).collect()
}

fn list_schema() -> Json {
    let summary = json!({"type": "record", "name": "r508", "fields": [
        field("contains_null", 509, "boolean".into()),
        optional("contains_nan", 518, "boolean".into()),
        optional("lower_bound", 510, "bytes".into()),
        optional("upper_bound", 511, "bytes".into()),
    ]});
    json!({"type": "record", "name": "manifest_file", "fields": [
        field("manifest_path", 500, "string".into()),
        field("manifest_length", 501, "long".into()),
        field("partition_spec_id", 502, "int".into()),
        field("content", 517, "int".into()),
        field("sequence_number", 515, "long".into()),
        field("min_sequence_number", 516, "long".into()),
        field("added_snapshot_id", 503, "long".into()),
        field("added_files_count", 504, "int".into()),
        field("existing_files_count", 505, "int".into()),
        field("deleted_files_count", 506, "int".into()),
        field("added_rows_count", 512, "long".into()),
        field("existing_rows_count", 513, "long".into()),
        field("deleted_rows_count", 514, "long".into()),
        optional("partitions", 507, json!({"type": "array", "items": summary, "element-id": 508})),
        optional("key_metadata", 519, "bytes".into()),
    ]})
}

impl Manifest {
    fn encode(&self) -> Vec<u8> {
        let mut out = Out::default();
        out.bytes(self.path.as_bytes()).long(self.bytes).long(self.spec_id).long(self.content);
        out.long(self.sequence).long(self.sequence_min).long(self.snapshot_id);
        for count in self.files.iter().chain(&self.rows) {
            out.long(*count);
        }
        out.optional(self.partitions.as_ref(), |out, summaries| {
            if !summaries.is_empty() {
                out.long(summaries.len() as i64);
            }
            for summary in summaries {
                out.0.push(u8::from(summary.has_null));
                out.optional(summary.has_nan, |out, has_nan| out.0.push(u8::from(has_nan)));
                for bound in [&summary.lower, &summary.upper] {
                    out.optional(bound.as_ref(), |out, bound| {
                        out.bytes(bound);
                    });
                }
            }
            out.long(0);
        });
        out.optional(self.key_metadata.as_ref(), |out, key| {
            out.bytes(key);
        });
        out.0
    }

    /// Of any writer; what older ones leave out is what it was before there were names for it.
    fn decode(value: &AvroValue) -> Option<Manifest> {
        let long = |names: &[&str]| names.iter().find_map(|name| value.field(name)?.long());
        let AvroValue::Text(path) = value.field("manifest_path")? else { return None };
        let summary = |summary: &AvroValue| {
            let flag = |name: &str| match summary.field(name) {
                Some(AvroValue::Boolean(value)) => Some(*value),
                _ => None,
            };
            Some(Summary {
                has_null: flag("contains_null")?,
                has_nan: flag("contains_nan"),
                lower: summary.field("lower_bound").and_then(bytes),
                upper: summary.field("upper_bound").and_then(bytes),
            })
        };
        let partitions = match value.field("partitions") {
            Some(AvroValue::Array(summaries)) => {
                Some(summaries.iter().map(summary).collect::<Option<Vec<Summary>>>()?)
            }
            _ => None,
        };
        let mut is_uncounted = false;
        let mut count = |name: &str, old: &str| {
            let found = long(&[name, old]);
            is_uncounted |= found.is_none();
            found.unwrap_or(0)
        };
        let files = [
            count("added_files_count", "added_data_files_count"),
            count("existing_files_count", "existing_data_files_count"),
            count("deleted_files_count", "deleted_data_files_count"),
        ];
        let rows = [
            count("added_rows_count", ""),
            count("existing_rows_count", ""),
            count("deleted_rows_count", ""),
        ];
        Some(Manifest {
            path: path.clone(),
            bytes: long(&["manifest_length"])?,
            spec_id: long(&["partition_spec_id"])?,
            content: long(&["content"]).unwrap_or(0),
            sequence: long(&["sequence_number"]).unwrap_or(0),
            sequence_min: long(&["min_sequence_number"]).unwrap_or(0),
            snapshot_id: long(&["added_snapshot_id"])?,
            files,
            rows,
            is_uncounted,
            partitions,
            key_metadata: value.field("key_metadata").and_then(bytes),
        })
    }
}

impl Manifest {
    /// Counts what it has, from its own bytes, whoever wrote them.
    pub(super) fn count(&mut self, bytes: &[u8]) -> Done<()> {
        let unreadable =
            |reason: &str| corrupt(format!("the manifest {} cannot be read: {reason}", self.path));
        let (mut files, mut rows) = ([0i64; 3], [0i64; 3]);
        for entry in values_of(bytes).map_err(|reason| unreadable(&reason))? {
            let long = |of: Option<&AvroValue>, name: &str| of?.field(name)?.long();
            // Existing, added, deleted; we have the first two the other way round.
            let at = match long(Some(&entry), "status") {
                Some(EXISTING) => 1,
                Some(ADDED) => 0,
                Some(2) => 2,
                _ => return Err(unreadable("an entry has no status")),
            };
            let count = long(entry.field("data_file"), "record_count");
            files[at] += 1;
            rows[at] = rows[at].saturating_add(count.ok_or_else(|| unreadable("a file has no count"))?);
        }
        (self.files, self.rows, self.is_uncounted) = (files, rows, false);
        Ok(())
    }
}

/// The bytes of a list of manifests.
pub(super) fn list(manifests: &[Manifest], head: &[(&str, &str)], mark: [u8; MARK_BYTES]) -> Done<Vec<u8>> {
    let values: Vec<Vec<u8>> = manifests.iter().map(Manifest::encode).collect();
    let bytes = file_of(&list_schema().to_string(), head, &values, mark);
    bytes.map_err(|error| corrupt(format!("a list of manifests cannot be written: {error}")))
}

/// The manifests of a snapshot.
pub(super) fn listed(bytes: &[u8]) -> Done<Vec<Manifest>> {
    let values = values_of(bytes)
        .map_err(|reason| corrupt(format!("a list of manifests cannot be read: {reason}")))?;
    let manifest = |value: &AvroValue| {
        Manifest::decode(value).ok_or_else(|| corrupt("a list of manifests has other fields than it should"))
    };
    values.iter().map(manifest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iceberg::schema;
    use arrow_schema::{Field, Fields};

    #[test]
    fn manifests_are_read_as_they_were_written() {
        let columns = |data_type: DataType| Field::new("a b", data_type, true);
        for (data_type, value) in [
            (DataType::Utf8, Value::Text("x".into())),
            (DataType::Decimal128(9, 2), Value::Decimal(-7, 2)),
            (DataType::Int64, Value::Null),
        ] {
            let fields: Fields = vec![columns(data_type)].into();
            let (schema, _) = schema::schema_of(&fields).unwrap();
            let spec = Spec::of_columns(&schema, &["a b".into()]);
            let spec = Spec::of(&spec, &schema::columns(&schema).unwrap().fields).unwrap();
            let entry = Entry {
                status: ADDED,
                snapshot_id: Some(9),
                sequence: None,
                file_sequence: None,
                path: "s3://x/y".into(),
                partition: vec![value.clone()],
                rows: 3,
                bytes: 400,
                column_bytes: vec![(1, 30)],
                value_counts: vec![(1, 3)],
                null_counts: Vec::new(),
                lower: vec![(1, vec![0])],
                upper: vec![(1, vec![255])],
                split_offsets: vec![4],
            };
            let (bytes, summaries) =
                manifest(&spec, &schema, &[entry.clone(), entry.clone()], [7; 16]).unwrap();
            assert_eq!(entries(&bytes, &spec).unwrap(), [entry.clone(), entry]);
            let mut unsaid = Manifest { is_uncounted: true, ..Manifest::default() };
            unsaid.count(&bytes).unwrap();
            assert_eq!((unsaid.files, unsaid.rows, unsaid.is_uncounted), ([2, 0, 0], [6, 0, 0], false));
            assert!(unsaid.count(b"Obj").is_err());
            assert_eq!(
                (summaries[0].has_null, &summaries[0].lower),
                (value == Value::Null, &bytes_of(&value))
            );
            for length in 0..bytes.len() {
                // Cut between its head and its block it is a file of nothing.
                assert!(
                    entries(&bytes[..length], &spec).is_ok_and(|found| found.is_empty())
                        || entries(&bytes[..length], &spec).is_err()
                );
            }
        }
    }

    #[test]
    fn lists_are_read_as_they_were_written() {
        let manifest = Manifest {
            path: "s3://x/m".into(),
            bytes: 5,
            spec_id: 1,
            sequence: 4,
            sequence_min: 3,
            snapshot_id: -8,
            files: [1, 2, 3],
            rows: [10, 20, 30],
            partitions: Some(vec![Summary {
                has_null: true,
                has_nan: None,
                lower: Some(vec![1]),
                upper: None,
            }]),
            ..Manifest::default()
        };
        let other = Manifest { partitions: Some(Vec::new()), content: 1, ..manifest.clone() };
        let plain = Manifest { partitions: None, key_metadata: Some(vec![1]), ..manifest.clone() };
        let all = [manifest, other, plain];
        let bytes = list(&all, &[("format-version", "2")], [1; 16]).unwrap();
        assert_eq!(listed(&bytes).unwrap(), all);
        assert!(listed(b"Obj\x01").is_err());
        // A list that does not say how many files there are.
        let short = json!({"type": "record", "name": "manifest_file", "fields": [
            field("manifest_path", 500, "string".into()),
            field("manifest_length", 501, "long".into()),
            field("partition_spec_id", 502, "int".into()),
            field("added_snapshot_id", 503, "long".into()),
            optional("added_data_files_count", 504, "int".into()),
        ]});
        let mut value = Out::default();
        value.bytes(b"m").long(5).long(0).long(7).long(0);
        let bytes = file_of(&short.to_string(), &[], &[value.0], [1; 16]).unwrap();
        let found = listed(&bytes).unwrap();
        assert!(found[0].is_uncounted && found[0].snapshot_id == 7, "{found:?}");
        assert_eq!((avro_name("a b"), avro_name("1x")), ("a_x20b".into(), "_1x".into()));
    }
}
