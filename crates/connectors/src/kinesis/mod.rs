//! `kinesis`: streams of Amazon Kinesis.
//!
//! Reading is a feed: the shards' records land in the log, with the sequence numbers behind which it goes on. Writing is an
//! outbox, sent in batches.

mod aggregated;
mod feed;
mod options;
mod record;
mod shards;
mod sink;

use crate::aws;
use crate::landed::instant_type;
use crate::service::{Access, Call, Client, Done, Service};
use arrow_schema::DataType;
use base::options::Options;
use dataflow::connector::{ConnectorError, ConnectorSpec, MetadataSpec, Role};
use dataflow::feed::Feed;
use dataflow::table::TableDefinition;
use options::{PARTITION_KEY, StreamName};
use os::Os;
use serde_json::{Map, Value};
use std::sync::Arc;

#[cfg(test)]
pub(crate) use aggregated::packed;

const SPEC: ConnectorSpec = ConnectorSpec {
    name: "kinesis",
    doc: "A stream of Amazon Kinesis. Read: shard by shard, children after their parents. Written: with the columns of PARTITIONED \
          BY as partition key.",
    options: options::STREAMS,
    formats: formats::FormatKind::names(),
    reads: true,
    writes: true,
    source_guarantee: "exactly once (sequence numbers, stored with the records in the log)",
    sink_guarantee: "at least once (what was taken and not yet noted when the node dies is sent again); rows with one partition key \
                     in their order",
};

pub(crate) struct Kinesis;

impl Service for Kinesis {
    type Target = sink::Stream;

    const SPEC: &'static ConnectorSpec = &SPEC;
    const PLACE: &'static str = options::ARN;
    const REACHED_BY: &'static str = aws::options::REGION;

    fn metadata() -> Vec<MetadataSpec> {
        let spec = |key, data_type, writable, doc| MetadataSpec {
            key,
            data_type,
            nullable: writable,
            writable,
            doc,
        };
        vec![
            spec("timestamp", instant_type(), false, "About when the record came to the stream."),
            spec("shard-id", DataType::Utf8, false, "The shard that it was read from."),
            spec(
                "sequence-number",
                DataType::Utf8,
                false,
                "Its place in the shard: a number of up to 128 digits.",
            ),
            spec(
                PARTITION_KEY,
                DataType::Utf8,
                true,
                "By which its shard was chosen. Written, it goes before PARTITIONED BY; NULL is as if it were not declared.",
            ),
        ]
    }

    fn problems(table: &TableDefinition, options: &Options, role: Role) -> Vec<ConnectorError> {
        let mut errors = aws::options::problems(table, options);
        errors.extend(options::problems(table, options, role));
        errors
    }

    fn name(options: &Options, _role: Role) -> Result<String, String> {
        StreamName::of(options).map(|stream| stream.name)
    }

    fn access(os: &Os, options: &Options) -> Result<Access, String> {
        let stream = StreamName::of(options)?;
        aws::access(os, options, "kinesis", Some(&stream.region), None)
    }

    fn feed(table: Arc<TableDefinition>, access: Access, options: &Options) -> Option<Box<dyn Feed>> {
        Some(Box::new(feed::StreamFeed::new(table, access, options)))
    }

    fn target(_table: &TableDefinition, options: &Options, job: &str) -> sink::Stream {
        sink::Stream::new(options, job)
    }

    fn key(table: &TableDefinition, options: &Options) -> Option<(Vec<usize>, String)> {
        let place = |name: &String| table.schema.index_of(name).ok();
        let columns: Vec<usize> = table.partition_keys.iter().filter_map(place).collect();
        let delimiter = options.text(options::DELIMITER).unwrap_or("|").to_string();
        (!columns.is_empty()).then_some((columns, delimiter))
    }

    fn look(client: &mut Client, options: &Options, _role: Role) -> (&'static str, Done<String>) {
        let found = shards::list(client, &stream(options)).map(|found| {
            let open = found.iter().filter(|shard| shard.is_open).count();
            format!("{}, {open} open shards", options.text(options::ARN).unwrap_or_default())
        });
        ("stream", found)
    }
}

/// The table was checked before.
fn stream(options: &Options) -> StreamName {
    let none = StreamName { arn: String::new(), name: String::new(), region: String::new() };
    StreamName::of(options).unwrap_or(none)
}

/// A call about a stream.
fn call(action: &str, mut stream: Value, fields: &[(&str, Value)]) -> Call {
    let mut own = Map::new();
    own.extend(fields.iter().map(|(name, value)| (name.to_string(), value.clone())));
    if let Some(all) = stream.as_object_mut() {
        all.extend(own);
    }
    Call::json("1.1", &format!("Kinesis_20131202.{action}"), &stream)
}
