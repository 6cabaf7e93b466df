//! The metadata columns of a record: topic, partition, offset, timestamp, headers; and the keys of what
//! the value's format knows besides, which begin with `value.`, as in Flink.

use super::decoders::VALUE_PREFIX;
use crate::landed::{LandedRows, headers_type, instant_type};
use crate::timestamps::timestamps;
use arrow_array::builder::{BinaryBuilder, MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::{ArrayRef, Int32Array, Int64Array, StringArray};
use arrow_schema::{DataType, Field};
use dataflow::connector::MetadataSpec;
use dataflow::table::{MetadataColumn, TableDefinition};
use formats::{FormatKind, WantedMetadata};
use kafka_wire::records::Record;
use std::sync::Arc;

/// Attributes of events, which can be written too, unless the format sets them itself.
const OF_EVENTS: &[(&str, bool, &str)] = &[
    ("value.specversion", false, "cloudevents: the version of the specification."),
    ("value.id", true, "cloudevents: what tells the event from the others of its source."),
    ("value.source", true, "cloudevents: where the event comes from."),
    ("value.type", true, "cloudevents: what happened."),
    ("value.subject", true, "cloudevents: what it happened to."),
    ("value.time", true, "cloudevents: when it happened."),
    ("value.dataschema", true, "cloudevents: the schema of the data."),
    ("value.datacontenttype", false, "cloudevents: what the data is."),
    ("value.extensions", true, "cloudevents: the attributes that the specification does not name."),
];

/// What `value.format` can add, of all formats: which of them a table's format has is checked with it.
const OF_FORMATS: &[(&str, &str)] = &[
    ("value.schema", "debezium-json: the payload's schema, as JSON."),
    ("value.ingestion-timestamp", "Changelog formats: when the connector saw the change."),
    ("value.event-timestamp", "canal-json, ogg-json: when the change was made."),
    ("value.source.timestamp", "debezium-json, debezium-avro-confluent: when the change was made."),
    ("value.source.database", "debezium-json, debezium-avro-confluent: the database of the change."),
    ("value.source.schema", "debezium-json, debezium-avro-confluent: the database's schema."),
    ("value.source.table", "debezium-json, debezium-avro-confluent: the table of the change."),
    ("value.source.properties", "debezium-json: all that is known of the source."),
    ("value.database", "canal-json, maxwell-json: the database of the change."),
    ("value.table", "canal-json, maxwell-json, ogg-json: the table of the change."),
    ("value.sql-type", "canal-json: the columns' types, as JDBC numbers them."),
    ("value.pk-names", "canal-json: the columns of the primary key."),
    ("value.primary-key-columns", "maxwell-json, ogg-json: the columns of the primary key."),
];

/// The type of a format's metadata; the formats agree on it.
fn type_of(key: &str) -> Option<DataType> {
    let all = FormatKind::names().iter().filter_map(|name| FormatKind::lookup(name));
    all.flat_map(FormatKind::metadata)
        .find(|known| key.strip_prefix(VALUE_PREFIX) == Some(known.key))
        .map(|known| known.data_type)
}

/// The attributes of events.
pub(crate) fn of_events() -> Vec<MetadataSpec> {
    let of = |(key, writable, doc): &(&'static str, bool, &'static str)| {
        let (nullable, writable) = (true, *writable);
        Some(MetadataSpec { key, data_type: type_of(key)?, nullable, writable, doc })
    };
    OF_EVENTS.iter().filter_map(of).collect()
}

pub(super) fn specs() -> Vec<MetadataSpec> {
    let spec =
        |key, data_type, nullable, writable, doc| MetadataSpec { key, data_type, nullable, writable, doc };
    let of_formats =
        OF_FORMATS.iter().filter_map(|(key, doc)| Some(spec(*key, type_of(key)?, true, false, *doc)));
    let own = vec![
        spec("topic", DataType::Utf8, false, false, "The topic's name."),
        spec("partition", DataType::Int32, false, false, "The partition's number."),
        spec("offset", DataType::Int64, false, false, "The record's offset in its partition."),
        spec("timestamp", instant_type(), false, true, "The record's timestamp."),
        spec("timestamp-type", DataType::Utf8, false, false, "CreateTime or LogAppendTime."),
        spec("leader-epoch", DataType::Int32, true, false, "The partition leader's epoch; always 0 here."),
        spec("headers", headers_type(), false, true, "The record's headers."),
    ];
    own.into_iter().chain(of_formats).chain(of_events()).collect()
}

/// The metadata columns that the value's format writes, in declared order.
pub(crate) fn written_by_format(table: &TableDefinition) -> Vec<WantedMetadata> {
    let persisted = table.metadata.iter().filter(|column| !column.is_virtual);
    let of_format = persisted.filter_map(|column| {
        let key = column.key.strip_prefix(VALUE_PREFIX)?.to_string();
        let field = Arc::new(Field::new(&column.name, column.data_type.clone(), true));
        Some(WantedMetadata { key, field })
    });
    of_format.collect()
}

/// Collects the metadata of the records that became rows: what a record of a topic has, or what one that has landed
/// carries.
pub(super) enum RecordMetadata {
    OfTopic(Box<MetadataRows>),
    Landed(LandedRows),
}

impl RecordMetadata {
    pub(super) fn push(
        &mut self,
        record: &Record<'_>,
        is_log_append_time: bool,
        rows: usize,
    ) -> Result<(), String> {
        match self {
            RecordMetadata::OfTopic(metadata) => metadata.push(record, is_log_append_time, rows),
            RecordMetadata::Landed(metadata) => metadata.push(record, rows),
        }
    }

    /// One array per requested column, in order; none for those of the value's format.
    pub(super) fn finish(&mut self) -> Result<Vec<Option<ArrayRef>>, String> {
        match self {
            RecordMetadata::OfTopic(metadata) => metadata.finish(),
            RecordMetadata::Landed(metadata) => metadata.finish(),
        }
    }
}

/// Collects the metadata of a topic's records.
pub(super) struct MetadataRows {
    columns: Vec<MetadataColumn>,
    topic: String,
    partition: i32,
    log_append_time: Vec<bool>,
    offsets: Vec<i64>,
    timestamps: Vec<i64>,
    headers: Option<HeadersBuilder>,
}

type HeadersBuilder = MapBuilder<StringBuilder, BinaryBuilder>;

impl MetadataRows {
    pub(super) fn new(columns: Vec<MetadataColumn>, topic: &str, partition: i32) -> MetadataRows {
        let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
        let wants_headers = columns.iter().any(|column| column.key == "headers");
        let builder = || MapBuilder::new(Some(names), StringBuilder::new(), BinaryBuilder::new());
        MetadataRows {
            columns,
            topic: topic.into(),
            partition,
            log_append_time: Vec::new(),
            offsets: Vec::new(),
            timestamps: Vec::new(),
            headers: wants_headers.then(builder),
        }
    }

    /// Notes a record for each of the rows that it became.
    pub(super) fn push(
        &mut self,
        record: &Record<'_>,
        is_log_append_time: bool,
        rows: usize,
    ) -> Result<(), String> {
        (0..rows).try_for_each(|_| self.push_row(record, is_log_append_time))
    }

    fn push_row(&mut self, record: &Record<'_>, is_log_append_time: bool) -> Result<(), String> {
        if self.columns.is_empty() {
            return Ok(());
        }
        if let Some(builder) = &mut self.headers {
            for header in record.headers {
                builder.keys().append_value(String::from_utf8_lossy(header.key));
                builder.values().append_option(header.value);
            }
            builder.append(true).map_err(|error| error.to_string())?;
        }
        self.log_append_time.push(is_log_append_time);
        self.offsets.push(record.offset);
        self.timestamps.push(record.timestamp);
        Ok(())
    }

    /// One array per requested column, in order; none for those of the value's format.
    pub(super) fn finish(&mut self) -> Result<Vec<Option<ArrayRef>>, String> {
        let count = self.offsets.len();
        let headers = self.headers.as_mut().map(MapBuilder::finish);
        let mut arrays: Vec<Option<ArrayRef>> = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            if column.key.starts_with(VALUE_PREFIX) {
                arrays.push(None);
                continue;
            }
            let array: ArrayRef = match column.key.as_str() {
                "topic" => Arc::new(StringArray::from(vec![self.topic.as_str(); count])),
                "partition" => Arc::new(Int32Array::from(vec![self.partition; count])),
                "offset" => Arc::new(Int64Array::from(self.offsets.clone())),
                "timestamp" => timestamps("timestamp", &self.timestamps, &column.data_type)?,
                "timestamp-type" => {
                    let name = |log: &bool| if *log { "LogAppendTime" } else { "CreateTime" };
                    Arc::new(self.log_append_time.iter().map(|log| Some(name(log))).collect::<StringArray>())
                }
                "leader-epoch" => Arc::new(Int32Array::from(vec![0; count])),
                "headers" => Arc::new(headers.clone().ok_or("no headers were collected")?),
                other => return Err(format!("there is no metadata '{other}'")),
            };
            arrays.push(Some(array));
        }
        self.offsets.clear();
        self.timestamps.clear();
        self.log_append_time.clear();
        Ok(arrays)
    }
}
