//! Delta: what lies in the log and in the files, commits beside others, checkpoints, and what is refused.

use super::*;
use base::ErrorKind;
use dataflow::connector::Role;
use serde_json::{Value, json};

const TABLE: &str = "s3://orders/lake/t";

fn delta(path: &str, options: &[(&str, &str)], partitions: &[&str]) -> Arc<TableDefinition> {
    let mut all = vec![("connector", "delta"), ("table-path", path)];
    all.extend_from_slice(options);
    numbers(&all, partitions)
}

/// The actions of all versions, in their order.
fn actions(files: &Files) -> Vec<Value> {
    let versions =
        files.iter().filter(|(name, _)| name.starts_with("_delta_log/") && name.ends_with(".json"));
    let lines = versions.flat_map(|(_, bytes)| std::str::from_utf8(bytes).unwrap().lines());
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// All that actions of a kind say.
fn said(files: &Files, kind: &str) -> Vec<Value> {
    actions(files).iter().filter_map(|action| action.get(kind).cloned()).collect()
}

/// The rows of the files that the log has.
fn rows(files: &Files) -> Vec<RecordBatch> {
    let decoded = |add: &Value| crate::percent::percent_decoded(add["path"].as_str().unwrap()).unwrap();
    said(files, "add").iter().flat_map(|add| rows_of(&files[&decoded(add)])).collect()
}

fn ids(files: &Files) -> Vec<i64> {
    let mut ids = ids_of(&rows(files));
    ids.sort();
    ids
}

fn path_of(folder: &tempfile::TempDir) -> String {
    folder.path().join("t").to_str().unwrap().to_string()
}

#[test]
fn each_row_is_in_the_bucket_once_whatever_call_fails() {
    each_row_is_there_once_whatever_call_fails(
        |url| delta(TABLE, &in_bucket(url, &[]), &["t"]),
        |memory| ids(&files_in(memory, "lake/t/")),
    );
}

#[test]
fn a_table_is_made_and_its_log_says_what_its_files_have() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let table = delta(&path_of(&folder), &[("delta.appendOnly", "true")], &["t"]);
    write(&node, &table, 0..5);
    assert_eq!(run(&node, &mut *sink(&node, &table)).unwrap(), 1);
    let files = files_below(&folder.path().join("t"));
    assert_eq!(said(&files, "protocol"), [json!({"minReaderVersion": 1, "minWriterVersion": 2})]);
    let metadata = &said(&files, "metaData")[0];
    assert_eq!(metadata["partitionColumns"], json!(["t"]));
    assert_eq!(metadata["configuration"], json!({"delta.appendOnly": "true"}));
    let schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
    assert_eq!(schema["fields"][0], json!({"name": "id", "type": "long", "nullable": true, "metadata": {}}));
    let added = said(&files, "add");
    let stats: Value = serde_json::from_str(added[0]["stats"].as_str().unwrap()).unwrap();
    let expected =
        json!({"numRecords": 3, "minValues": {"id": 0}, "maxValues": {"id": 4}, "nullCount": {"id": 0}});
    assert_eq!((added.len(), &stats), (2, &expected));
    assert_eq!(added[0]["partitionValues"], json!({"t": "e=v"}));
    let path = added[0]["path"].as_str().unwrap();
    // The folder is `t=e%3Dv`, and a path in the log is that of a URL.
    assert!(path.starts_with("t%3De%253Dv/eventwright-job-7-00000000000000000000-"), "{path}");
    let txn = &said(&files, "txn")[0];
    assert_eq!((&txn["appId"], &txn["version"]), (&json!("eventwright-job-7"), &json!(1)));
    // The partition's column stands in the log alone.
    assert_eq!(rows(&files)[0].num_columns(), 1);
    assert_eq!(ids(&files), [0, 1, 2, 3, 4]);
}

#[test]
fn others_may_commit_meanwhile_and_our_own_other_life_may_not() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let table = delta(&path_of(&folder), &[], &[]);
    write(&node, &table, 0..4);
    let mut first = sink(&node, &table);
    first.open().unwrap();
    let version = |number: i64| folder.path().join(format!("t/_delta_log/{number:020}.json"));
    std::fs::write(version(1), r#"{"txn":{"appId":"another","version":99}}"#).unwrap();
    first.apply(&outbox(&node, 0)[0]).unwrap();
    assert_eq!(first.commit(true, 1).unwrap(), 1);
    assert!(version(2).exists());
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
    assert_eq!(ids(&files_below(&folder.path().join("t"))), (0..8).collect::<Vec<i64>>());
    // A table whose columns were changed is opened anew.
    write(&node, &table, 8..9);
    let bytes = &outbox(&node, 2)[0];
    second.apply(bytes).unwrap();
    let metadata = said(&files_below(&folder.path().join("t")), "metaData").remove(0);
    std::fs::write(version(4), json!({"metaData": metadata}).to_string()).unwrap();
    let error = second.commit(true, 1).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retry, "{}", error.message);
    assert_eq!(run(&node, &mut *second).unwrap(), 3);
    assert_eq!(ids(&files_below(&folder.path().join("t"))), (0..9).collect::<Vec<i64>>());
}

#[test]
fn many_versions_of_others_are_passed_by_and_a_log_that_is_gone_takes_none() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let table = delta(&path_of(&folder), &[], &[]);
    write(&node, &table, 0..4);
    let mut first = sink(&node, &table);
    first.open().unwrap();
    let log = folder.path().join("t/_delta_log");
    for version in 1..=300 {
        std::fs::write(log.join(format!("{version:020}.json")), r#"{"txn":{"appId":"another","version":1}}"#)
            .unwrap();
    }
    first.apply(&outbox(&node, 0)[0]).unwrap();
    assert_eq!(first.commit(true, 1).unwrap(), 1);
    assert!(log.join(format!("{:020}.json", 301)).exists());
    // Somebody removes the table: rows behind a version that is not there would be lost.
    write(&node, &table, 4..8);
    first.apply(&outbox(&node, 1)[0]).unwrap();
    std::fs::remove_dir_all(&log).unwrap();
    let error = first.commit(true, 1).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retry, "{}", error.message);
    assert!(!log.exists());
}

/// The numbers of its versions are those of the one before.
#[test]
fn a_table_that_was_removed_and_made_again_is_looked_at_anew() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let table = delta(&path_of(&folder), &[], &[]);
    write(&node, &table, 0..4);
    let mut first = sink(&node, &table);
    first.open().unwrap();
    first.apply(&outbox(&node, 0)[0]).unwrap();
    assert_eq!(first.commit(true, 1).unwrap(), 1);
    let (log, version) = (folder.path().join("t/_delta_log"), |number: i64| format!("{number:020}.json"));
    let mut metadata = said(&files_below(&folder.path().join("t")), "metaData").remove(0);
    let protocol = said(&files_below(&folder.path().join("t")), "protocol").remove(0);
    metadata["id"] = json!("another");
    std::fs::remove_dir_all(folder.path().join("t")).unwrap();
    std::fs::create_dir_all(&log).unwrap();
    let made = format!("{}\n{}", json!({ "protocol": protocol }), json!({ "metaData": metadata }));
    std::fs::write(log.join(version(0)), made).unwrap();
    std::fs::write(log.join(version(1)), r#"{"txn":{"appId":"another","version":1}}"#).unwrap();
    write(&node, &table, 4..8);
    first.apply(&outbox(&node, 1)[0]).unwrap();
    let error = first.commit(true, 1).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retry, "{}", error.message);
    assert!(!log.join(version(2)).exists());
    // The new one gets all rows.
    assert_eq!(run(&node, &mut *first).unwrap(), 2);
    assert_eq!(ids(&files_below(&folder.path().join("t"))), (0..8).collect::<Vec<i64>>());
}

#[test]
fn files_of_a_life_that_died_before_its_commit_are_no_rows() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let table = delta(&path_of(&folder), &[], &[]);
    write(&node, &table, 0..4);
    let mut first = sink(&node, &table);
    first.open().unwrap();
    first.apply(&outbox(&node, 0)[0]).unwrap();
    // The folder of the log takes nothing, so that the files are whole and the commit is not.
    let log = folder.path().join("t/_delta_log");
    std::fs::rename(&log, folder.path().join("kept")).unwrap();
    std::fs::write(&log, "in the way").unwrap();
    let error = first.commit(true, 1).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{}", error.message);
    std::fs::remove_file(&log).unwrap();
    std::fs::rename(folder.path().join("kept"), &log).unwrap();
    assert_eq!(run(&node, &mut *sink(&node, &table)).unwrap(), 1);
    let files = files_below(&folder.path().join("t"));
    assert_eq!(files.keys().filter(|name| name.ends_with(".parquet")).count(), 2);
    assert_eq!(ids(&files), [0, 1, 2, 3]);
}

#[test]
fn a_checkpoint_stands_for_the_versions_before_it() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let table = delta(&path_of(&folder), &[("delta.checkpointInterval", "3")], &["t"]);
    for from in 0..8 {
        write(&node, &table, from * 4..from * 4 + 4);
    }
    let mut first = sink(&node, &table);
    assert_eq!(run(&node, &mut *first).unwrap(), 8);
    let log = folder.path().join("t/_delta_log");
    let hint: Value = serde_json::from_slice(&std::fs::read(log.join("_last_checkpoint")).unwrap()).unwrap();
    // Protocol, metadata, one application and two files of each commit.
    assert_eq!((&hint["version"], &hint["size"]), (&json!(6), &json!(15)));
    for version in 0..=6 {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    assert_eq!(sink(&node, &table).open().unwrap(), 8);
    // Without the hint the names are listed.
    std::fs::remove_file(log.join("_last_checkpoint")).unwrap();
    assert_eq!(sink(&node, &table).open().unwrap(), 8);
    // The next checkpoint is made of the one before.
    write(&node, &table, 32..36);
    assert_eq!(run(&node, &mut *first).unwrap(), 9);
    let hint: Value = serde_json::from_slice(&std::fs::read(log.join("_last_checkpoint")).unwrap()).unwrap();
    assert_eq!((&hint["version"], &hint["size"]), (&json!(9), &json!(21)));
}

#[test]
fn rows_wait_until_they_are_old_or_many() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let table = delta(&path_of(&folder), &[("sink.commit.interval", "1 s")], &[]);
    for from in 0..3 {
        write(&node, &table, from..from + 1);
    }
    let mut first = sink(&node, &table);
    first.open().unwrap();
    let batches = outbox(&node, 0);
    first.apply(&batches[0]).unwrap();
    assert_eq!(first.commit(false, 1_000).unwrap(), 0);
    first.apply(&batches[1]).unwrap();
    assert_eq!((first.commit(false, 1_999).unwrap(), first.commit(false, 2_000).unwrap()), (0, 2));
    let small = delta(&path_of(&folder), &[("sink.commit.size", "1 b")], &[]);
    let mut second = sink(&node, &small);
    assert_eq!(second.open().unwrap(), 2);
    second.apply(&batches[2]).unwrap();
    assert_eq!(second.commit(false, 0).unwrap(), 3);
}

#[test]
fn a_table_that_does_not_fit_is_told() {
    let (node, folder) = (Node::start(), tempfile::tempdir().unwrap());
    let path = path_of(&folder);
    let absent = delta(&path, &[("sink.create-table", "false")], &[]);
    let error = sink(&node, &absent).open().unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.message.contains("there is no such table: create it"), "{}", error.message);
    let connector = node.connector("delta");
    assert!(connector.probe(&absent, Role::Sink, 1000).iter().all(|probed| probed.found.is_err()));
    let table = delta(&path, &[], &["t"]);
    assert!(connector.probe(&table, Role::Sink, 1000).iter().all(|probed| probed.found.is_ok()));
    assert!(!folder.path().join("t").exists());
    sink(&node, &table).open().unwrap();
    assert!(connector.probe(&absent, Role::Sink, 1000).iter().all(|probed| probed.found.is_ok()));
    let mut other = (*table).clone();
    other.schema = schema(&[("id", DataType::Utf8), ("t", DataType::Utf8)]);
    let error = sink(&node, &Arc::new(other)).open().unwrap_err();
    let words = "column 'id': it is declared as STRING, and the table has BIGINT";
    assert!(error.message.contains(words), "{}", error.message);
    let error = sink(&node, &delta(&path, &[], &["id"])).open().unwrap_err();
    assert!(
        error.message.contains("it is partitioned by (t), and declared as PARTITIONED BY (id)"),
        "{error}"
    );
    let version = folder.path().join(format!("t/_delta_log/{:020}.json", 1));
    std::fs::write(&version, r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["v2Checkpoint"],"writerFeatures":[]}}"#).unwrap();
    let error = sink(&node, &table).open().unwrap_err();
    assert!(error.message.contains("the table feature 'v2Checkpoint'"), "{}", error.message);
    std::fs::write(&version, "{").unwrap();
    assert_eq!(sink(&node, &table).open().unwrap_err().kind, ErrorKind::Corrupt);
}

#[test]
fn what_is_declared_wrong_is_told_at_once() {
    let node = Node::start();
    let refused = |table: &TableDefinition| {
        let errors = node.connector("delta").check(table, Role::Sink).err().unwrap_or_default();
        errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; ")
    };
    for (path, options, words) in [
        ("t", &[][..], ""),
        ("hdfs://orders/t", &[], "s3://BUCKET/FOLDER"),
        ("s3://orders", &[], "a table cannot be a whole bucket"),
        (
            "t",
            &[("delta.enableDeletionVectors", "true")],
            "a table cannot be made with 'delta.enableDeletionVectors'",
        ),
        ("t", &[("delta.deletedFileRetentionDuration", "interval 1 week")], ""),
        ("t", &[("delta.deletedFileRetentionDuration", "soon")], "it has to be an interval"),
        (TABLE, &[("aws.credentials.provider", "ASSUME_ROLE")], "needs 'aws.credentials.role.arn'"),
    ] {
        let told = refused(&delta(path, options, &[]));
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{path} {options:?}: {told}");
    }
    let mut table = (*delta("t", &[], &[])).clone();
    table.primary_key = vec!["id".into()];
    assert!(refused(&table).contains("no PRIMARY KEY"));
    table.primary_key.clear();
    table.schema =
        schema(&[("a", DataType::Time32(arrow_schema::TimeUnit::Millisecond)), ("A", DataType::Int8)]);
    let told = refused(&table);
    assert!(told.contains("no type for TIME") && told.contains("differ in their case alone"), "{told}");
}
