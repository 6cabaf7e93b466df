//! Iceberg in a folder: what lies in metadata, manifests and files, commits beside others, joined manifests, and what is refused.

use super::*;
use crate::filesystem::avro::values_of;
use base::ErrorKind;
use dataflow::connector::Role;
use formats::AvroValue;
use serde_json::{Value, json};

pub(super) fn iceberg(
    warehouse: &str,
    options: &[(&str, &str)],
    partitions: &[&str],
) -> Arc<TableDefinition> {
    let mut all = vec![
        ("connector", "iceberg"),
        ("catalog-type", "hadoop"),
        ("warehouse", warehouse),
        ("catalog-database", "shop"),
    ];
    all.extend_from_slice(options);
    numbers(&all, partitions)
}

/// The last metadata of a table's folder.
fn metadata(files: &Files) -> Option<Value> {
    let number =
        |name: &str| name.strip_prefix("metadata/v")?.strip_suffix(".metadata.json")?.parse::<i64>().ok();
    let last = files.keys().filter_map(|name| number(name)).max()?;
    Some(serde_json::from_slice(&files[&format!("metadata/v{last}.metadata.json")]).unwrap())
}

/// A file by its address in the table, whose location is given.
pub(super) fn file<'a>(files: &'a Files, location: &str, address: &str) -> &'a [u8] {
    &files[address.strip_prefix(location).unwrap().trim_start_matches('/')]
}

pub(super) fn text(value: &AvroValue, name: &str) -> String {
    match value.field(name) {
        Some(AvroValue::Text(text)) => text.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

/// The manifests of the last snapshot, and the entries of each.
pub(super) fn manifests(files: &Files, metadata: &Value) -> Vec<(AvroValue, Vec<AvroValue>)> {
    let current = metadata["refs"]["main"]["snapshot-id"].as_i64();
    let Some(current) = current else { return Vec::new() };
    let snapshots = metadata["snapshots"].as_array().unwrap();
    let snapshot = snapshots.iter().find(|snapshot| snapshot["snapshot-id"] == current).unwrap();
    let location = metadata["location"].as_str().unwrap();
    let list = values_of(file(files, location, snapshot["manifest-list"].as_str().unwrap())).unwrap();
    let with_entries = |manifest: AvroValue| {
        let entries = values_of(file(files, location, &text(&manifest, "manifest_path"))).unwrap();
        (manifest, entries)
    };
    list.into_iter().map(with_entries).collect()
}

/// The rows of the files that the last snapshot has.
pub(super) fn rows(files: &Files, metadata: &Value) -> Vec<RecordBatch> {
    let location = metadata["location"].as_str().unwrap();
    let entries = manifests(files, metadata).into_iter().flat_map(|(_, entries)| entries);
    let paths = entries.map(|entry| text(entry.field("data_file").unwrap(), "file_path"));
    paths.flat_map(|path| rows_of(file(files, location, &path))).collect()
}

fn ids(files: &Files) -> Vec<i64> {
    let Some(metadata) = metadata(files) else { return Vec::new() };
    let mut ids = ids_of(&rows(files, &metadata));
    ids.sort();
    ids
}

fn warehouse(folder: &tempfile::TempDir) -> String {
    folder.path().to_str().unwrap().to_string()
}

fn files_of(folder: &tempfile::TempDir) -> Files {
    files_below(&folder.path().join("shop/t"))
}

#[test]
fn each_row_is_in_the_bucket_once_whatever_call_fails() {
    each_row_is_there_once_whatever_call_fails(
        |url| iceberg("s3://orders/lake", &in_bucket(url, &[]), &["t"]),
        |memory| ids(&files_in(memory, "lake/shop/t/")),
    );
}

#[test]
fn a_table_is_made_and_its_metadata_say_what_its_files_have() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let table = iceberg(&warehouse(&folder), &[("write.parquet.compression-codec", "snappy")], &["t"]);
    write(&node, &table, 0..5);
    assert_eq!(run(&node, &mut *sink(&node, &table)).unwrap(), 1);
    let files = files_of(&folder);
    assert_eq!(files["metadata/version-hint.text"], b"2");
    let metadata = metadata(&files).unwrap();
    let location = format!("file://{}/shop/t", warehouse(&folder));
    assert_eq!((&metadata["format-version"], &metadata["location"]), (&json!(2), &json!(location)));
    assert_eq!(metadata["properties"]["write.parquet.compression-codec"], "snappy");
    assert_eq!(metadata["properties"]["eventwright.next-offset.job-7"], "1");
    let spec = json!({"name": "t", "transform": "identity", "source-id": 2, "field-id": 1000});
    assert_eq!(metadata["partition-specs"][0]["fields"][0], spec);
    let summary = &metadata["snapshots"][0]["summary"];
    let said =
        ["operation", "added-records", "total-data-files", "eventwright.sink", "eventwright.next-offset"];
    assert_eq!(said.map(|key| summary[key].as_str().unwrap()), ["append", "5", "2", "job-7", "1"]);
    let found = manifests(&files, &metadata);
    let (manifest, entries) = &found[0];
    let long = |value: &AvroValue, name: &str| value.field(name).and_then(AvroValue::long);
    assert_eq!((long(manifest, "sequence_number"), long(manifest, "added_rows_count")), (Some(1), Some(5)));
    assert_eq!((found.len(), entries.len(), long(&entries[0], "status")), (1, 2, Some(1)));
    let data = entries[0].field("data_file").unwrap();
    assert_eq!(text(data.field("partition").unwrap(), "t"), "e=v");
    let Some(AvroValue::Array(lower)) = data.field("lower_bounds") else { panic!("no bounds") };
    assert_eq!(lower[0].field("value"), Some(&AvroValue::Bytes(0i64.to_le_bytes().to_vec())));
    // The partition's column is in the file, too, and the columns have their ids.
    let rows = rows(&files, &metadata);
    let ids: Vec<&str> = rows[0]
        .schema_ref()
        .fields()
        .iter()
        .map(|field| field.metadata()["PARQUET:field_id"].as_str())
        .collect();
    assert_eq!(ids, ["1", "2"]);
    assert_eq!(super::iceberg::ids(&files), [0, 1, 2, 3, 4]);
}

#[test]
fn others_may_commit_meanwhile_and_our_own_other_life_may_not() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let table = iceberg(&warehouse(&folder), &[], &[]);
    write(&node, &table, 0..4);
    let other = |job: &str| match node.connector("iceberg").sink(&table, job).unwrap() {
        Sink::Outbox(sink) => sink,
        _ => panic!("another sink"),
    };
    let mut first = sink(&node, &table);
    first.open().unwrap();
    // Another job writes its own copy.
    assert_eq!(run(&node, &mut *other("other")).unwrap(), 1);
    first.apply(&outbox(&node, 0)[0]).unwrap();
    assert_eq!(first.commit(true, 1).unwrap(), 1);
    assert_eq!(ids(&files_of(&folder)), [0, 0, 1, 1, 2, 2, 3, 3]);
    assert_eq!(metadata(&files_of(&folder)).unwrap()["snapshots"][1]["summary"]["total-records"], "8");
    // Two lives write the next row.
    write(&node, &table, 4..8);
    let mut second = sink(&node, &table);
    assert_eq!(second.open().unwrap(), 1);
    let bytes = &outbox(&node, 1)[0];
    first.apply(bytes).unwrap();
    second.apply(bytes).unwrap();
    assert_eq!(second.commit(true, 1).unwrap(), 2);
    let error = first.commit(true, 1).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fenced, "{}", error.message);
    assert_eq!(ids(&files_of(&folder)).len(), 12);
    // A table whose columns were changed is opened anew.
    write(&node, &table, 8..9);
    second.apply(&outbox(&node, 2)[0]).unwrap();
    let mut changed = metadata(&files_of(&folder)).unwrap();
    let mut schema = changed["schemas"][0].clone();
    schema["schema-id"] = 1.into();
    schema["fields"]
        .as_array_mut()
        .unwrap()
        .push(json!({"id": 3, "name": "new", "type": "uuid", "required": false}));
    changed["schemas"].as_array_mut().unwrap().push(schema);
    changed["current-schema-id"] = 1.into();
    std::fs::write(folder.path().join("shop/t/metadata/v5.metadata.json"), changed.to_string()).unwrap();
    let error = second.commit(true, 1).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retry, "{}", error.message);
    assert_eq!(run(&node, &mut *second).unwrap(), 3);
    assert_eq!(ids(&files_of(&folder)).len(), 13);
    assert_eq!(metadata(&files_of(&folder)).unwrap()["snapshots"][3]["schema-id"], 1);
}

#[test]
fn small_manifests_are_joined() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let table = iceberg(&warehouse(&folder), &[], &["t"]);
    sink(&node, &table).open().unwrap();
    let path = folder.path().join("shop/t/metadata/v1.metadata.json");
    let mut metadata: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    metadata["properties"]["commit.manifest.min-count-to-merge"] = "3".into();
    std::fs::write(&path, metadata.to_string()).unwrap();
    for from in 0..5 {
        write(&node, &table, from * 4..from * 4 + 4);
    }
    assert_eq!(run(&node, &mut *sink(&node, &table)).unwrap(), 5);
    let files = files_of(&folder);
    let metadata = super::iceberg::metadata(&files).unwrap();
    let found = manifests(&files, &metadata);
    let long = |value: &AvroValue, name: &str| value.field(name).and_then(AvroValue::long).unwrap();
    // The first three became one with the fourth commit; the fourth and the fifth stand alone.
    let counts: Vec<(i64, i64)> = (found.iter())
        .map(|(manifest, _)| (long(manifest, "existing_files_count"), long(manifest, "added_files_count")))
        .collect();
    assert_eq!(counts, [(6, 0), (0, 2), (0, 2)]);
    let (joined, entries) = &found[0];
    assert_eq!((long(joined, "sequence_number"), long(joined, "min_sequence_number")), (4, 1));
    let sequences: Vec<i64> = entries.iter().map(|entry| long(entry, "sequence_number")).collect();
    assert_eq!(sequences, [1, 1, 2, 2, 3, 3]);
    let snapshots = metadata["snapshots"].as_array().unwrap();
    assert_eq!(long(&entries[0], "snapshot_id"), snapshots[0]["snapshot-id"].as_i64().unwrap());
    assert_eq!(ids(&files), (0..20).collect::<Vec<i64>>());
}

#[test]
fn a_manifest_that_cannot_be_joined_fails_no_commit() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let table = iceberg(&warehouse(&folder), &[], &[]);
    sink(&node, &table).open().unwrap();
    let metadata_folder = folder.path().join("shop/t/metadata");
    let path = metadata_folder.join("v1.metadata.json");
    let mut metadata: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    metadata["properties"]["commit.manifest.min-count-to-merge"] = "2".into();
    std::fs::write(&path, metadata.to_string()).unwrap();
    let is_manifest = |name: &str| name.starts_with("metadata/eventwright-");
    for from in 0..2 {
        write(&node, &table, from * 4..from * 4 + 4);
    }
    assert_eq!(run(&node, &mut *sink(&node, &table)).unwrap(), 2);
    let files = files_of(&folder);
    let name = files.keys().find(|name| is_manifest(name)).unwrap();
    std::fs::remove_file(folder.path().join("shop/t").join(name)).unwrap();
    write(&node, &table, 8..12);
    assert_eq!(run(&node, &mut *sink(&node, &table)).unwrap(), 3);
    let manifests = files_of(&folder).keys().filter(|name| is_manifest(name)).count();
    assert_eq!(manifests, 2, "none is joined");
}

#[test]
fn the_offset_outlives_the_snapshots_and_old_metadata_go() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let table = iceberg(&warehouse(&folder), &[], &[]);
    sink(&node, &table).open().unwrap();
    let metadata_folder = folder.path().join("shop/t/metadata");
    let set = |name: &str, change: &dyn Fn(&mut Value)| {
        let path = metadata_folder.join(name);
        let mut metadata: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut metadata);
        std::fs::write(&path, metadata.to_string()).unwrap();
    };
    set("v1.metadata.json", &|metadata| {
        metadata["properties"]["write.metadata.previous-versions-max"] = "2".into();
    });
    for from in 0..4 {
        write(&node, &table, from..from + 1);
    }
    assert_eq!(run(&node, &mut *sink(&node, &table)).unwrap(), 4);
    let names: Vec<String> = (1..=5)
        .filter(|version| metadata_folder.join(format!("v{version}.metadata.json")).exists())
        .map(|version| version.to_string())
        .collect();
    assert_eq!(names, ["3", "4", "5"]);
    set("v5.metadata.json", &|metadata| {
        metadata["snapshots"] = json!([]);
        metadata["refs"] = json!({});
        metadata["current-snapshot-id"] = json!(-1);
    });
    assert_eq!(sink(&node, &table).open().unwrap(), 4);
    // Without a hint the names are listed; one that is behind is gone on from.
    std::fs::write(metadata_folder.join("version-hint.text"), "3").unwrap();
    assert_eq!(sink(&node, &table).open().unwrap(), 4);
    assert_eq!(std::fs::read(metadata_folder.join("version-hint.text")).unwrap(), b"5");
    std::fs::remove_file(metadata_folder.join("version-hint.text")).unwrap();
    assert_eq!(sink(&node, &table).open().unwrap(), 4);
}

#[test]
fn a_table_that_does_not_fit_is_told() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let place = warehouse(&folder);
    let absent = iceberg(&place, &[("sink.create-table", "false")], &[]);
    let error = sink(&node, &absent).open().unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{}", error.message);
    let connector = node.connector("iceberg");
    assert!(connector.probe(&absent, Role::Sink, 1000).iter().all(|probed| probed.found.is_err()));
    let table = iceberg(&place, &[], &["t"]);
    assert!(connector.probe(&table, Role::Sink, 1000).iter().all(|probed| probed.found.is_ok()));
    assert!(!folder.path().join("shop").exists());
    sink(&node, &table).open().unwrap();
    assert!(connector.probe(&absent, Role::Sink, 1000).iter().all(|probed| probed.found.is_ok()));
    let mut other = (*table).clone();
    other.schema = schema(&[("id", DataType::Utf8), ("t", DataType::Utf8)]);
    let error = sink(&node, &Arc::new(other)).open().unwrap_err();
    let words = "column 'id': it is declared as STRING, and the table has BIGINT";
    assert!(error.message.contains(words), "{}", error.message);
    let error = sink(&node, &iceberg(&place, &[], &["id"])).open().unwrap_err();
    assert!(
        error.message.contains("it is partitioned by (t), and declared as PARTITIONED BY (id)"),
        "{error}"
    );
    let path = folder.path().join("shop/t/metadata/v2.metadata.json");
    std::fs::write(&path, r#"{"format-version":3}"#).unwrap();
    let error = sink(&node, &table).open().unwrap_err();
    assert!(error.message.contains("it has the format version 3"), "{}", error.message);
    std::fs::write(&path, "{").unwrap();
    assert_eq!(sink(&node, &table).open().unwrap_err().kind, ErrorKind::Corrupt);
}

#[test]
fn what_is_declared_wrong_is_told_at_once() {
    let node = Node::start();
    let rest = |more: &[(&'static str, &'static str)]| {
        let mut all = vec![("connector", "iceberg"), ("catalog-type", "rest")];
        all.extend_from_slice(more);
        numbers(&all, &[])
    };
    let uri = ("uri", "http://localhost:1");
    for (table, words) in [
        (iceberg("w", &[], &[]), ""),
        (rest(&[uri, ("credential", "me:pencil")]), ""),
        (iceberg("hdfs://orders/w", &[], &[]), "s3://BUCKET/FOLDER"),
        (iceberg("w", &[("catalog-table", "../x")], &[]), "no name of a folder"),
        (iceberg("w", &[("token", "pencil")], &[]), "'token' is for the catalog 'rest'"),
        (iceberg("w", &[("rest.local-files", "true")], &[]), "'rest.local-files' is for the catalog 'rest'"),
        (
            numbers(&[("connector", "iceberg"), ("catalog-type", "hadoop")], &[]),
            "the option 'warehouse' is missing",
        ),
        (rest(&[]), "the option 'uri' is missing"),
        (rest(&[("uri", "http://me:pencil@x y")]), "'uri' has to be http://HOST:PORT"),
        (rest(&[uri, ("catalog-database", "a..b")]), "a level without a name"),
        (rest(&[uri, ("token", "a"), ("credential", "b")]), "say the same"),
        (rest(&[uri, ("format-version", "3")]), "expected one of '2'"),
    ] {
        let errors = node.connector("iceberg").check(&table, Role::Sink).err().unwrap_or_default();
        let told = errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; ");
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{words}: {told}");
        assert!(!told.contains("pencil"), "{told}");
    }
}
