//! Files in a bucket without AWS, against a bucket in memory: written once whatever call fails, and read once.

pub(super) mod bucket;
mod notices;
mod sink;
mod source;

use super::*;
use bucket::Memory;
use dataflow::connector::Role;

/// Columns, options and partition columns.
fn files(served: &str, options: &[(&str, &str)], partitions: &[&str]) -> TableDefinition {
    let mut all: BTreeMap<&str, &str> = [
        ("connector", "filesystem"),
        ("path", "s3://orders/in"),
        ("format", "json"),
        ("s3.endpoint", served),
        ("aws.credentials.basic.accesskeyid", "id"),
        ("aws.credentials.basic.secretkey", "secret"),
        ("timeout", "5 s"),
    ]
    .into();
    all.extend(options.iter().copied());
    let all: Vec<(&str, &str)> = all.into_iter().collect();
    let table = table(schema(&[("id", DataType::Int64), ("t", DataType::Utf8)]), &all);
    TableDefinition {
        partition_keys: partitions.iter().map(|key| key.to_string()).collect(),
        ..(*table).clone()
    }
}

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    let node = Node::start();
    type Case<'a> = (Role, &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        (Role::Source, &[], ""),
        (Role::Sink, &[], ""),
        (Role::Source, &[("source.monitor-interval", "1 s"), ("dead-letter.topic", "letters")], ""),
        (Role::Source, &[("path", "s3:///in")], "names no bucket"),
        (Role::Sink, &[("path", "hdfs://orders/in")], "in a bucket (s3://BUCKET/FOLDER"),
        (Role::Source, &[("s3.endpoint", "localhost")], "not an address of the web"),
        (Role::Source, &[("aws.credentials.provider", "ASSUME_ROLE")], "needs 'aws.credentials.role.arn'"),
        (Role::Source, &[("path", "in"), ("source.monitor-interval", "1 s")], "is for buckets"),
        (Role::Source, &[("source.notifications.queue-url", "https://sqs.eu-west-1.amazonaws.com/1/q")], ""),
        (
            Role::Source,
            &[("source.notifications.queue-url", "https://sqs.eu-west-1.amazonaws.com")],
            "names no queue",
        ),
        (Role::Source, &[("source.notifications.queue-url", "orders")], "not an address of the web"),
        (Role::Sink, &[("source.notifications.queue-url", "https://a/1/q")], "is for tables that are read"),
    ];
    for (role, options, words) in cases {
        let checked = node.connector("filesystem").check(&files("http://localhost:1", options, &[]), *role);
        let told: Vec<String> =
            checked.err().unwrap_or_default().into_iter().map(|error| error.message).collect();
        let told = told.join("; ");
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{options:?}: {told}");
    }
    let connector = node.connector("filesystem");
    let table = |options| files("http://localhost:1", options, &[]);
    assert!(connector.is_bounded(&table(&[])) && connector.lands(&table(&[])));
    assert!(!connector.is_bounded(&table(&[("source.monitor-interval", "1 s")])));
    assert!(!connector.is_bounded(&table(&[("source.notifications.queue-url", "https://a/1/q")])));
    assert!(!connector.lands(&table(&[("path", "in")])));
}

#[test]
fn a_probe_says_what_it_finds() {
    let memory = Memory::start();
    let node = Node::start();
    let probe = |path: &str| {
        let table = files(&memory.url(), &[("path", path)], &[]);
        node.connector("filesystem").probe(&table, Role::Source, 5_000).remove(0).found
    };
    assert!(probe("s3://orders/in").is_ok_and(|found| found.contains("nothing is there yet")));
    memory.put("in/a.json", b"{}");
    assert!(probe("s3://orders/in").is_ok_and(|found| found.contains("there are objects")));
    assert!(probe("s3://missing/in").is_err_and(|found| found.contains("create the bucket")));
}
