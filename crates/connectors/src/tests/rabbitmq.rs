//! Queues of RabbitMQ without a server: what a table may say, and what landed messages and an outbox carry.

use super::*;
use crate::positions::Position;
use arrow_array::builder::{BinaryBuilder, MapBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, Int32Array, Int64Array, StringArray};
use arrow_schema::TimeUnit;
use dataflow::connector::{Role, SourceRequest};
use dataflow::sink::Sink;
use dataflow::table::MetadataColumn;
use kafka_wire::records::{Batch as RecordBatches, Record};

fn orders(options: &[(&str, &str)], metadata: Vec<MetadataColumn>) -> Arc<TableDefinition> {
    let mut all = vec![("connector", "rabbitmq"), ("url", "amqp://mq"), ("format", "json")];
    all.extend_from_slice(options);
    let table = table(schema(&[("id", DataType::Int64)]), &all);
    Arc::new(TableDefinition { metadata, ..(*table).clone() })
}

fn column(key: &str, data_type: DataType) -> MetadataColumn {
    MetadataColumn { name: key.into(), key: key.into(), data_type, is_virtual: false }
}

fn headers_type() -> DataType {
    let pair = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair.into()), false)), false)
}

/// Options, and what has to be told of them.
type Wrong<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    let node = Node::start();
    let queue = ("queue", "orders");
    let long = "q".repeat(256);
    let cases: &[(Role, Wrong<'_>)] = &[
        (Role::Source, (&[queue], &[])),
        (Role::Source, (&[], &["'queue' = 'orders'"])),
        (Role::Sink, (&[], &["'queue', 'exchange' or 'routing-key'"])),
        (Role::Sink, (&[("routing-key", "x")], &[])),
        (Role::Source, (&[queue, ("url", "http://mq")], &["another scheme"])),
        (Role::Source, (&[("queue", &long)], &["longer than the 255 bytes"])),
        (Role::Source, (&[queue, ("auth-mechanism", "EXTERNAL")], &["logs in with a certificate"])),
        (Role::Source, (&[queue, ("tls.root-cas-file", "ca.pem")], &["write 'amqps://"])),
        (Role::Source, (&[queue, ("tls.cert-file", "c.pem"), ("url", "amqps://mq")], &["belong together"])),
        (
            Role::Source,
            (&[queue, ("prefetch-coun", "1"), ("format", "jsn")], &["'prefetch-count'", "'json'"]),
        ),
        (Role::Sink, (&[("routing-key", "x"), ("queue-declare.enabled", "true")], &["needs 'queue'"])),
    ];
    for (role, (options, words)) in cases {
        let checked = node.connector("rabbitmq").check(&orders(options, Vec::new()), *role);
        let errors = checked.err().unwrap_or_default();
        let told: Vec<String> = errors.iter().map(|error| error.message.clone()).collect();
        assert_eq!(told.len(), words.len(), "{options:?}: {told:?}");
        for word in *words {
            assert!(told.iter().any(|message| message.contains(word)), "{options:?}: {word} in {told:?}");
        }
    }
    let written = orders(&[queue], vec![column("redelivered", DataType::Boolean)]);
    let errors = node.connector("rabbitmq").check(&written, Role::Sink).unwrap_err();
    assert!(errors[0].message.contains("'redelivered' cannot be written"), "{errors:?}");
}

#[test]
fn what_a_stream_says_wrong_is_told_at_once() {
    let node = Node::start();
    let stream = ("stream", "clicks");
    let cases: &[Wrong<'_>] = &[
        (&[stream], &[]),
        (&[], &["'stream' is missing"]),
        (&[("stream", "")], &["1 to 255 bytes"]),
        (&[stream, ("url", "amqp://mq")], &["or the same with rabbitmq-stream+tls for TLS"]),
        (&[stream, ("tls.root-cas-file", "ca.pem")], &["write 'rabbitmq-stream+tls://"]),
        (&[stream, ("scan.startup.mode", "timestamp")], &["needs 'scan.startup.timestamp-millis'"]),
        (
            &[
                stream,
                ("scan.startup.mode", "specific-offsets"),
                ("scan.startup.specific-offsets", "partition:1,offset:4"),
            ],
            &["'partition:0,offset:42'"],
        ),
    ];
    for (options, words) in cases {
        let mut all =
            vec![("connector", "rabbitmq-stream"), ("url", "rabbitmq-stream://mq"), ("format", "json")];
        all.extend_from_slice(options);
        let table = table(schema(&[("id", DataType::Int64)]), &all);
        let errors = node.connector("rabbitmq-stream").check(&table, Role::Source).err().unwrap_or_default();
        let told: Vec<String> = errors.iter().map(|error| error.message.clone()).collect();
        assert_eq!(told.len(), words.len(), "{options:?}: {told:?}");
        assert!(words.iter().all(|word| told[0].contains(word)), "{options:?}: {told:?}");
    }
}

fn headers(entries: &[(&str, Option<&[u8]>)]) -> ArrayRef {
    let mut builder = MapBuilder::new(None, StringBuilder::new(), BinaryBuilder::new());
    for (name, value) in entries {
        builder.keys().append_value(name);
        builder.values().append_option(*value);
    }
    builder.append(true).unwrap();
    builder.append(false).unwrap();
    arrow_cast::cast(&builder.finish(), &headers_type()).unwrap()
}

/// What a sink puts into its outbox is read as if it had landed: both carry metadata in the same way.
#[test]
fn metadata_goes_through_the_outbox_and_through_what_has_landed() {
    let node = Node::start();
    node.create_topic("landed", 1);
    let instant = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let metadata = vec![
        column("routing-key", DataType::Utf8),
        column("priority", DataType::Int32),
        column("timestamp", instant),
        column("headers", headers_type()),
    ];
    let table = orders(&[("queue", "orders"), ("dead-letter.topic", "dead")], metadata);
    let mut fields: Vec<Field> = vec![Field::new("id", DataType::Int64, true)];
    fields
        .extend(table.metadata.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true)));
    let times = arrow_array::TimestampMillisecondArray::from(vec![Some(1_234), None]).with_timezone("UTC");
    let rows = RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        vec![
            Arc::new(Int64Array::from(vec![7, 8])),
            Arc::new(StringArray::from(vec![Some("new"), None])),
            Arc::new(Int32Array::from(vec![Some(9), None])),
            Arc::new(times),
            headers(&[("a", Some(b"x")), ("b", None)]),
        ],
    )
    .unwrap();
    let Sink::Outbox(mut sink) = node.connector("rabbitmq").sink(&table, "job").unwrap() else {
        panic!("an outbox sink")
    };
    let batches = sink.encode(&batch(rows), 5_000).unwrap();
    assert_eq!(sink.encode(&batch(RecordBatch::new_empty(table.schema.clone())), 1).unwrap().len(), 0);
    node.append("landed", batches);
    let poison = b"{\"id\": \"x\"";
    let mut builder = kafka_wire::records::BatchBuilder::new(kafka_wire::records::Compression::None);
    builder.append(1, None, Some(poison), &[]).unwrap();
    let bytes = builder.build().unwrap().into();
    let bad = dataflow::sink::TopicBatch { partition: 0, records: 1, max_timestamp_ms: 1, bytes };
    node.append("landed", vec![bad]);

    let request = SourceRequest { table: table.clone(), projection: vec![0], metadata: vec![0, 1, 2, 3] };
    let mut source = node.connector("rabbitmq").source(request).unwrap();
    let split = Split { id: "landed/0".into(), start: Position(0), end: None, fingerprint: String::new() };
    let read = source.read(&split, Position(0), None, limits(100)).unwrap();
    let columns = read.rows.columns();
    assert_eq!(columns[0].as_primitive::<Int64Type>().values(), &[7, 8]);
    assert_eq!(columns[1].as_string::<i32>().iter().collect::<Vec<_>>(), [Some("new"), None]);
    assert_eq!(columns[2].as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(9), None]);
    let times = columns[3].as_primitive::<TimestampMillisecondType>();
    assert_eq!(times.iter().collect::<Vec<_>>(), [Some(1_234), None]);
    let own = columns[4].as_map().value(0);
    assert_eq!(own.column(0).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(own.column(1).as_binary::<i32>().iter().collect::<Vec<_>>(), [Some(&b"x"[..]), None]);
    assert_eq!(columns[4].as_map().value(1).len(), 0);
    let [rejected] = &read.rejected[..] else { panic!("{:?}", read.rejected) };
    assert_eq!((rejected.value.as_deref(), rejected.topic.as_str()), (Some(&poison[..]), "dead"));
}

#[test]
fn a_position_is_the_last_that_was_set_of_its_sink() {
    let node = Node::start();
    let positions =
        |name: &str| crate::positions::Positions::new(Os::real(), node.log.clone(), name.to_string());
    let (one, other) = (positions("one"), positions("other"));
    let at = |offset, mark| Position { offset, mark };
    assert_eq!(one.get().unwrap(), at(0, 0));
    one.set(at(5, 0)).unwrap();
    other.set(at(3, 70)).unwrap();
    one.set(at(12, 0)).unwrap();
    assert_eq!((one.get().unwrap(), positions("one").get().unwrap()), (at(12, 0), at(12, 0)));
    assert_eq!(other.get().unwrap(), at(3, 70));
}

#[test]
fn rows_that_change_need_a_format_that_says_so() {
    let node = Node::start();
    let table = orders(&[("queue", "orders")], Vec::new());
    let Sink::Outbox(mut sink) = node.connector("rabbitmq").sink(&table, "job").unwrap() else {
        panic!("an outbox sink")
    };
    let rows = RecordBatch::try_new(table.schema.clone(), vec![Arc::new(Int64Array::from(vec![1]))]).unwrap();
    let kinds = arrow_array::Int8Array::from(vec![dataflow::batch::RowKind::Delete as i8]);
    let error = sink.encode(&Batch { kinds: Some(kinds), ..batch(rows.clone()) }, 1).unwrap_err();
    assert!(error.message.contains("a changelog format like 'debezium-json'"), "{error}");
    let encoded = sink.encode(&batch(rows), 42).unwrap();
    let parsed = RecordBatches::parse(&encoded[0].bytes.clone().into()).unwrap();
    let records = parsed.records(1 << 20).unwrap();
    let first: Vec<Record<'_>> = records.iter().map(|record| record.unwrap()).collect();
    assert_eq!((first[0].value, first[0].timestamp), (Some(&b"{\"id\":1}"[..]), 42));
}
