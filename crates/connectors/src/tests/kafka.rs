//! Topics of the embedded log: written and read back, in pieces and again; bad records; metadata.

use super::*;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, StringArray};
use dataflow::connector::SourceRequest;
use dataflow::sink::Sink;
use dataflow::table::MetadataColumn;

fn orders(options: &[(&str, &str)]) -> Arc<TableDefinition> {
    let mut all = vec![("connector", "kafka"), ("topic", "orders"), ("format", "json")];
    all.extend_from_slice(options);
    table(schema(&[("id", DataType::Int64), ("city", DataType::Utf8)]), &all)
}

fn rows(range: std::ops::Range<i64>) -> RecordBatch {
    let cities: Vec<String> = range.clone().map(|id| format!("city {id}")).collect();
    let schema = schema(&[("id", DataType::Int64), ("city", DataType::Utf8)]);
    RecordBatch::try_new(
        schema,
        vec![Arc::new(Int64Array::from_iter_values(range)), Arc::new(StringArray::from(cities))],
    )
    .unwrap()
}

fn write(node: &Node, table: &Arc<TableDefinition>, rows: RecordBatch) {
    let Sink::Topic(mut sink) = node.connector("kafka").sink(table, "job").unwrap() else {
        panic!("a topic sink")
    };
    let partitions = node.log.topic("orders").unwrap().partitions.len() as u32;
    let batches = sink.encode(&batch(rows), partitions, 5_000).unwrap();
    node.append("orders", batches);
}

fn source(node: &Node, table: &Arc<TableDefinition>, metadata: Vec<usize>) -> Box<dyn Source> {
    let projection = (0..table.schema.fields().len()).collect();
    node.connector("kafka").source(SourceRequest { table: table.clone(), projection, metadata }).unwrap()
}

fn ids(reads: &[Read]) -> Vec<i64> {
    reads.iter().flat_map(|read| read.rows.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

#[test]
fn what_is_written_comes_back_in_any_pieces_and_again() {
    let node = Node::start();
    node.create_topic("orders", 1);
    let bounded = orders(&[("scan.startup.mode", "earliest-offset"), ("scan.bounded.mode", "latest-offset")]);
    for begin in [0, 100, 200] {
        write(&node, &bounded, rows(begin..begin + 100));
    }
    for rows_max in [1, 7, 100, 1000] {
        let mut source = source(&node, &bounded, Vec::new());
        let splits = source.splits().unwrap();
        assert_eq!((splits[0].start, splits[0].end), (Position(0), Some(Position(300))));
        let reads = read_all(source.as_mut(), &splits[0], Position(0), rows_max);
        assert!(reads.iter().all(|read| read.rows.num_rows() <= rows_max));
        assert_eq!(ids(&reads), (0..300).collect::<Vec<i64>>());
        assert!(reads.last().unwrap().finished);
        // The same range again gives the same rows.
        let again = source.read(&splits[0], Position(50), Some(Position(130)), limits(usize::MAX)).unwrap();
        assert_eq!(ids(&[again]), (50..130).collect::<Vec<i64>>());
    }
}

#[test]
fn binary_records_come_back_and_bad_ones_are_skipped_or_named() {
    let node = Node::start();
    node.create_topic("orders", 1);
    let avro = [("format", "avro"), ("scan.startup.mode", "earliest-offset")];
    let table = orders(&avro);
    write(&node, &table, rows(0..10));
    write(&node, &orders(&[]), rows(10..11));
    write(&node, &table, rows(11..13));
    let mut strict = source(&node, &table, Vec::new());
    let split = strict.splits().unwrap().remove(0);
    let failed = strict.read(&split, Position(0), None, limits(100)).unwrap_err();
    assert!(
        failed.message.contains("topic=orders partition=0 offset=10 cannot be read: not valid Avro"),
        "{failed}"
    );
    assert!(failed.message.contains("'avro.ignore-parse-errors' = 'true'"), "{failed}");
    let lenient = orders(&[&avro[..], &[("avro.ignore-parse-errors", "true")]].concat());
    let reads = read_all(source(&node, &lenient, Vec::new()).as_mut(), &split, Position(0), 100);
    assert_eq!(ids(&reads), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12]);
    assert_eq!(reads.iter().map(|read| read.skipped).sum::<u64>(), 1);
}

#[test]
fn an_unbounded_topic_says_to_wait_and_goes_on() {
    let node = Node::start();
    node.create_topic("orders", 1);
    let table = orders(&[("scan.startup.mode", "latest-offset")]);
    write(&node, &table, rows(0..10));
    let mut source = source(&node, &table, Vec::new());
    let split = source.splits().unwrap().remove(0);
    assert_eq!((split.start, split.end), (Position(10), None));
    let nothing = source.read(&split, Position(10), None, limits(100)).unwrap();
    assert_eq!(
        (nothing.next, nothing.finished, nothing.idle),
        (Position(10), false, dataflow::source::Idle::UntilLogGrows)
    );
    write(&node, &table, rows(10..13));
    assert_eq!(ids(&read_all(source.as_mut(), &split, Position(10), 100)), [10, 11, 12]);
}

#[test]
fn startup_and_bounded_modes_resolve_offsets() {
    let node = Node::start();
    node.create_topic("orders", 2);
    let plain = orders(&[("sink.partitioner", "round-robin")]);
    write(&node, &plain, rows(0..20));
    let cases = [
        (vec![("scan.startup.mode", "earliest-offset")], [(0, None), (0, None)]),
        (vec![("scan.startup.mode", "latest-offset")], [(10, None), (10, None)]),
        (
            vec![
                ("scan.startup.mode", "specific-offsets"),
                ("scan.startup.specific-offsets", "partition:0,offset:3;partition:1,offset:99"),
                ("scan.bounded.mode", "latest-offset"),
            ],
            [(3, Some(10)), (10, Some(10))],
        ),
        (
            vec![("scan.startup.mode", "timestamp"), ("scan.startup.timestamp-millis", "5001")],
            [(10, None), (10, None)],
        ),
        (
            vec![("scan.startup.mode", "timestamp"), ("scan.startup.timestamp-millis", "5000")],
            [(0, None), (0, None)],
        ),
    ];
    for (options, expected) in cases {
        let table = orders(&options);
        let splits = source(&node, &table, Vec::new()).splits().unwrap();
        let found: Vec<_> = splits.iter().map(|split| (split.start.0, split.end.map(|end| end.0))).collect();
        assert_eq!(found, expected, "{options:?}");
    }
}

/// Two good records with a bad one between them.
fn with_a_bad_record(node: &Node) {
    use kafka_wire::records::{BatchBuilder, Compression};
    node.create_topic("orders", 1);
    let mut builder = BatchBuilder::new(Compression::Lz4);
    for value in [&br#"{"id":1}"#[..], b"{oops", br#"{"id":3}"#] {
        builder.append(7, Some(b"k"), Some(value), &[]).unwrap();
    }
    let bytes = builder.build().unwrap().to_vec();
    node.append(
        "orders",
        vec![dataflow::sink::TopicBatch { partition: 0, records: 3, max_timestamp_ms: 7, bytes }],
    );
}

#[test]
fn a_bad_record_fails_is_skipped_or_goes_to_the_dead_letters() {
    let node = Node::start();
    with_a_bad_record(&node);
    let from_start = ("scan.startup.mode", "earliest-offset");

    let strict = orders(&[from_start]);
    let source_of = |table: &Arc<TableDefinition>| {
        let mut source = source(&node, table, Vec::new());
        let split = source.splits().unwrap().remove(0);
        source.read(&split, Position(0), None, limits(100))
    };
    let message = source_of(&strict).unwrap_err().message;
    assert_eq!(
        message,
        "table 't': topic=orders partition=0 offset=1 cannot be read: not valid JSON at byte 1: expected a field's \
         name in double quotes; the bytes are \"{oops\"; skip such records with 'json.ignore-parse-errors' = 'true', or keep them with \
         'dead-letter.topic' = '…'"
    );

    let lenient = source_of(&orders(&[from_start, ("json.ignore-parse-errors", "true")])).unwrap();
    assert_eq!((ids(std::slice::from_ref(&lenient)), lenient.skipped), (vec![1, 3], 1));

    let keeping = orders(&[from_start, ("dead-letter.topic", "rejected")]);
    let read = source_of(&keeping).unwrap();
    assert_eq!(ids(std::slice::from_ref(&read)), [1, 3]);
    let rejected = &read.rejected[0];
    assert_eq!(
        (rejected.origin.as_str(), rejected.topic.as_str()),
        ("orders partition=0 offset=1", "rejected")
    );
    assert_eq!((rejected.key.as_deref(), rejected.value.as_deref()), (Some(&b"k"[..]), Some(&b"{oops"[..])));
    let encoded = source(&node, &keeping, Vec::new()).encode_rejected(&[rejected]).unwrap();
    assert_eq!((encoded.len(), encoded[0].records), (1, 1));
}

#[test]
fn metadata_and_keys_become_columns() {
    let node = Node::start();
    node.create_topic("orders", 1);
    let mut definition = (*orders(&[
        ("scan.startup.mode", "earliest-offset"),
        ("key.format", "raw"),
        ("key.fields", "city"),
        ("value.fields-include", "EXCEPT_KEY"),
    ]))
    .clone();
    let ltz = DataType::Timestamp(arrow_schema::TimeUnit::Millisecond, Some("UTC".into()));
    let column = |name: &str, data_type: DataType| MetadataColumn {
        name: name.into(),
        key: name.into(),
        data_type,
        is_virtual: true,
    };
    definition.metadata =
        vec![column("offset", DataType::Int64), column("timestamp", ltz), column("topic", DataType::Utf8)];
    let table = Arc::new(definition);
    write(&node, &table, rows(5..7));
    let mut source = source(&node, &table, vec![1, 0, 2]);
    let split = source.splits().unwrap().remove(0);
    let read = source.read(&split, Position(0), None, limits(10)).unwrap();
    let shown: Vec<String> = (0..2)
        .map(|row| {
            let mut text = String::new();
            formats::print::RowPrinter::new(&read.rows).print(row, &mut text);
            text
        })
        .collect();
    assert_eq!(
        shown,
        ["[5, city 5, 1970-01-01T00:00:05Z, 0, orders]", "[6, city 6, 1970-01-01T00:00:05Z, 1, orders]"]
    );
}

#[test]
fn keyed_rows_go_where_kafka_puts_them() {
    let node = Node::start();
    node.create_topic("orders", 4);
    let table =
        orders(&[("key.format", "raw"), ("key.fields", "city"), ("scan.startup.mode", "earliest-offset")]);
    write(&node, &table, rows(0..50));
    let mut source = source(&node, &table, Vec::new());
    let mut total = 0;
    for (index, split) in source.splits().unwrap().iter().enumerate() {
        for id in ids(&read_all(source.as_mut(), split, Position(0), 100)) {
            let key = format!("city {id}");
            assert_eq!(kafka_wire::partitioner::partition_of_key(key.as_bytes(), 4) as usize, index);
            total += 1;
        }
    }
    assert_eq!(total, 50);
}

/// In the year 2096: retention by time leaves such records alone.
const PRODUCED_MS: i64 = 4_000_000_000_000;

/// Appends values to partition 0 of `orders`, with their keys.
fn produce(node: &Node, records: &[(Option<&[u8]>, &[u8])]) {
    let mut builder = kafka_wire::records::BatchBuilder::new(kafka_wire::records::Compression::None);
    for (key, value) in records {
        builder.append(PRODUCED_MS, *key, Some(value), &[]).unwrap();
    }
    let bytes = builder.build().unwrap().to_vec();
    let records = records.len() as u32;
    node.append(
        "orders",
        vec![dataflow::sink::TopicBatch { partition: 0, records, max_timestamp_ms: PRODUCED_MS, bytes }],
    );
}

#[test]
fn records_that_are_no_rows_count_towards_the_size_of_a_step() {
    let node = Node::start();
    node.create_topic("orders", 1);
    let mut records: Vec<(Option<&[u8]>, &[u8])> = vec![(None, b"{oops"); 25];
    records.extend([(None, &b""[..]), (None, &br#"{"id":1}"#[..])]);
    produce(&node, &records);
    let table = orders(&[
        ("scan.startup.mode", "earliest-offset"),
        ("scan.bounded.mode", "latest-offset"),
        ("json.ignore-parse-errors", "true"),
    ]);
    let mut source = source(&node, &table, Vec::new());
    let split = source.splits().unwrap().remove(0);
    let reads = read_all(source.as_mut(), &split, Position(0), 10);
    let seen: Vec<_> = reads.iter().map(|read| (read.next.0, read.skipped, read.rows.num_rows())).collect();
    assert_eq!(seen, [(10, 10, 0), (20, 10, 0), (27, 6, 1)]);
    let again = source.read(&split, Position(0), Some(Position(27)), limits(usize::MAX)).unwrap();
    assert_eq!((again.skipped, ids(&[again])), (26, vec![1]));
}

#[test]
fn a_step_is_bounded_by_bytes_too() {
    let node = Node::start();
    node.create_topic("orders", 1);
    let large = format!(r#"{{"id":1,"city":"{}"}}"#, "x".repeat(5 << 20));
    for _ in 0..9 {
        produce(&node, &[(None, large.as_bytes())]);
    }
    let table = orders(&[("scan.startup.mode", "earliest-offset"), ("scan.bounded.mode", "latest-offset")]);
    let mut source = source(&node, &table, Vec::new());
    let split = source.splits().unwrap().remove(0);
    let reads = read_all(source.as_mut(), &split, Position(0), 1000);
    let counts: Vec<usize> = reads.iter().map(|read| read.rows.num_rows()).collect();
    assert_eq!(counts, [7, 2]);
}

#[test]
fn the_names_of_the_key_bear_a_prefix_in_the_table_only() {
    let node = Node::start();
    node.create_topic("orders", 1);
    let given = [
        ("connector", "kafka"),
        ("topic", "orders"),
        ("key.format", "json"),
        ("value.format", "json"),
        ("key.fields", "k_id"),
        ("key.fields-prefix", "k_"),
        ("value.fields-include", "EXCEPT_KEY"),
        ("key.json.ignore-parse-errors", "true"),
        ("scan.startup.mode", "earliest-offset"),
    ];
    let table = table(schema(&[("k_id", DataType::Int64), ("id", DataType::Int64)]), &given);
    let two = RecordBatch::try_new(
        table.schema.clone(),
        vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(Int64Array::from(vec![10, 20]))],
    );
    write(&node, &table, two.unwrap());
    // Of these, the first has no key and so is no row, as in Flink; the second is written as the sink writes.
    produce(&node, &[(None, br#"{"id":30}"#), (Some(br#"{"id":4}"#), br#"{"id":40}"#)]);
    let mut source = source(&node, &table, Vec::new());
    let split = source.splits().unwrap().remove(0);
    let read = source.read(&split, Position(0), None, limits(10)).unwrap();
    assert_eq!((read.next, read.skipped), (Position(4), 1));
    assert_eq!(read.rows.column(0).as_primitive::<Int64Type>().values(), &[1, 2, 4]);
    assert_eq!(read.rows.column(1).as_primitive::<Int64Type>().values(), &[10, 20, 40]);
}

#[test]
fn rows_without_a_key_go_to_all_partitions_even_one_by_one() {
    let node = Node::start();
    node.create_topic("orders", 3);
    let table = orders(&[]);
    let Sink::Topic(mut sink) = node.connector("kafka").sink(&table, "job").unwrap() else {
        panic!("a topic sink")
    };
    let mut partitions: Vec<u32> =
        (0..6).map(|clock_ms| sink.encode(&batch(rows(0..1)), 3, clock_ms).unwrap()[0].partition).collect();
    partitions.sort();
    assert_eq!(partitions, [0, 0, 1, 1, 2, 2]);
    // The same clock gives the same bytes: a replay must.
    let bytes = |sink: &mut Box<dyn dataflow::sink::TopicSink>| {
        let batches = sink.encode(&batch(rows(0..5)), 3, 77).unwrap();
        batches.into_iter().map(|batch| (batch.partition, batch.bytes)).collect::<Vec<_>>()
    };
    assert_eq!(bytes(&mut sink), bytes(&mut sink));
}

#[test]
fn several_topics_are_read_as_one_table() {
    let node = Node::start();
    for (topic, partitions) in
        [("orders", 1), ("orders-eu", 2), ("orders-us", 1), ("other", 1), ("__orders-x", 1)]
    {
        node.create_topic(topic, partitions);
    }
    write(&node, &orders(&[]), rows(0..2));
    let splits = |options: &[(&str, &str)]| {
        let mut all =
            vec![("connector", "kafka"), ("format", "json"), ("scan.startup.mode", "earliest-offset")];
        all.extend_from_slice(options);
        let mut definition =
            (*table(schema(&[("id", DataType::Int64), ("city", DataType::Utf8)]), &all)).clone();
        definition.metadata = vec![MetadataColumn {
            name: "topic".into(),
            key: "topic".into(),
            data_type: DataType::Utf8,
            is_virtual: true,
        }];
        let definition = Arc::new(definition);
        let mut source = source(&node, &definition, vec![0]);
        let splits = source.splits();
        (source, splits)
    };
    let ids_of = |found: Result<Vec<dataflow::source::Split>, dataflow::source::SourceError>| {
        found.unwrap().into_iter().map(|split| split.id).collect::<Vec<_>>()
    };
    let (mut both, found) = splits(&[("topic", "other; orders")]);
    let found = found.unwrap();
    assert_eq!(found.iter().map(|split| split.id.as_str()).collect::<Vec<_>>(), ["other/0", "orders/0"]);
    let read = both.read(&found[1], Position(0), None, limits(10)).unwrap();
    let topics = read.rows.column(2).as_string::<i32>();
    assert_eq!(topics.iter().collect::<Vec<_>>(), [Some("orders"), Some("orders")]);
    let (_, found) = splits(&[("topic-pattern", "orders-.*")]);
    assert_eq!(ids_of(found), ["orders-eu/0", "orders-eu/1", "orders-us/0"]);
    let (_, found) = splits(&[("topic-pattern", "nothing")]);
    assert!(found.unwrap_err().message.contains("no topic matches 'topic-pattern' = 'nothing'"));
}

#[test]
fn topics_and_offsets_that_make_no_sense_are_refused() {
    let connectors = crate::table(Connectors { os: Os::real(), log: None });
    let kafka = connectors.find("kafka").unwrap();
    let problems = |role, options: &[(&str, &str)]| {
        let mut all = vec![("connector", "kafka"), ("format", "json")];
        all.extend_from_slice(options);
        let checked = table(schema(&[("id", DataType::Int64)]), &all);
        let found = kafka.check(&checked, role).err().unwrap_or_default();
        found.into_iter().map(|error| error.message).collect::<Vec<_>>().join("\n")
    };
    use dataflow::connector::Role::{Sink, Source};
    type Given<'a> = &'a [(&'a str, &'a str)];
    let fine: &[(dataflow::connector::Role, Given<'_>)] = &[
        (Source, &[("topic", "a;b")]),
        (Source, &[("topic-pattern", "a.*")]),
        (
            Source,
            &[
                ("topic", "a"),
                ("scan.startup.mode", "group-offsets"),
                ("properties.auto.offset.reset", "latest"),
            ],
        ),
        (
            Sink,
            &[
                ("topic", "a"),
                ("sink.delivery-guarantee", "exactly-once"),
                ("sink.transactional-id-prefix", "x"),
            ],
        ),
    ];
    for (role, options) in fine {
        assert_eq!(problems(*role, options), "", "{options:?}");
    }
    let wrong: &[(dataflow::connector::Role, Given<'_>, &str)] = &[
        (Source, &[], "the option 'topic' is missing"),
        (Source, &[("topic", "a"), ("topic-pattern", "b")], "'topic' and 'topic-pattern' exclude each other"),
        (Source, &[("topic", " ; ")], "'topic' names no topic"),
        (Source, &[("topic-pattern", "(")], "'topic-pattern' = '(' is no regular expression"),
        (Sink, &[("topic-pattern", "a")], "rows are written to one topic"),
        (Sink, &[("topic", "a;b")], "rows are written to one topic, and 'topic' names several"),
        (
            Source,
            &[
                ("topic", "a;b"),
                ("scan.startup.mode", "specific-offsets"),
                ("scan.startup.specific-offsets", "partition:0,offset:1"),
            ],
            "'scan.startup.mode' = 'specific-offsets' is for a single topic",
        ),
        (
            Source,
            &[("topic", "a"), ("scan.startup.mode", "group-offsets")],
            "say with 'properties.auto.offset.reset'",
        ),
        (Source, &[("topic", "a"), ("properties.auto.offset.reset", "none")], "use earliest or latest"),
        (
            Source,
            &[("topic", "a"), ("scan.watermark.alignment.group", "g")],
            "is not supported: a step takes from every split",
        ),
    ];
    for (role, options, expected) in wrong {
        let found = problems(*role, options);
        assert!(found.contains(expected), "{options:?}: {found}");
    }
}

/// A job reads the node's own topics, and writes to none: an outbox with foreign rows would be delivered.
#[test]
fn jobs_do_not_write_to_the_nodes_own_topics() {
    use dataflow::connector::Role::{Sink, Source};
    let connectors = crate::table(Connectors { os: Os::real(), log: None });
    let problems = |connector: &str, role, options: &[(&str, &str)]| {
        let mut definition =
            (*table(schema(&[("id", DataType::Int64)]), &[&[("connector", connector)], options].concat()))
                .clone();
        if connector == "upsert-kafka" {
            definition.primary_key = vec!["id".into()];
        }
        let found = connectors.find(connector).unwrap().check(&definition, role).err().unwrap_or_default();
        found.into_iter().map(|error| error.message).collect::<Vec<_>>().join("\n")
    };
    let json = ("format", "json");
    for topic in ["__outbox.1.t", "__schemas", "__consumer_offsets"] {
        let refused = format!(
            "table 't': '{topic}' is one of the node's own topics, which a job does not write to; give another name"
        );
        assert_eq!(problems("kafka", Sink, &[json, ("topic", topic)]), refused);
        let upsert = [("topic", topic), ("key.format", "json"), ("value.format", "json")];
        assert_eq!(problems("upsert-kafka", Sink, &upsert), refused);
        assert_eq!(problems("kafka", Source, &[json, ("topic", "a"), ("dead-letter.topic", topic)]), refused);
        assert_eq!(problems("kafka", Source, &[json, ("topic", topic)]), "");
        // Another cluster's are its own affair.
        let outside = [json, ("topic", topic), ("properties.bootstrap.servers", "example.org:9092")];
        assert_eq!(problems("kafka", Sink, &outside), "");
    }
    assert_eq!(problems("kafka", Sink, &[json, ("topic", "__debezium-heartbeat.x")]), "");
}

#[test]
fn a_new_job_of_a_group_begins_where_the_client_says() {
    let node = Node::start();
    node.create_topic("orders", 1);
    write(&node, &orders(&[]), rows(0..5));
    for (reset, start) in [("earliest", 0), ("latest", 5)] {
        let table =
            orders(&[("scan.startup.mode", "group-offsets"), ("properties.auto.offset.reset", reset)]);
        assert_eq!(source(&node, &table, Vec::new()).splits().unwrap()[0].start, Position(start));
    }
}

#[test]
fn events_keep_their_attributes_in_headers_and_their_data_in_the_value() {
    let node = Node::start();
    node.create_topic("orders", 1);
    for mode in ["structured", "binary"] {
        let mut definition = (*orders(&[
            ("format", "cloudevents"),
            ("cloudevents.mode", mode),
            ("cloudevents.source", "/shop"),
            ("scan.startup.mode", "earliest-offset"),
        ]))
        .clone();
        let column = |name: &str, key: &str, is_virtual| MetadataColumn {
            name: name.into(),
            key: key.into(),
            data_type: DataType::Utf8,
            is_virtual,
        };
        definition.metadata = vec![
            column("event_id", "value.id", false),
            column("kind", "value.type", false),
            column("origin", "value.source", true),
        ];
        let definition = Arc::new(definition);
        let plain = rows(3..4);
        let mut columns = plain.columns().to_vec();
        columns.push(Arc::new(StringArray::from(vec!["id-3"])));
        columns.push(Arc::new(StringArray::from(vec![mode])));
        let written = schema(&[
            ("id", DataType::Int64),
            ("city", DataType::Utf8),
            ("event_id", DataType::Utf8),
            ("kind", DataType::Utf8),
        ]);
        write(&node, &definition, RecordBatch::try_new(written, columns).unwrap());
        let reads = read_all(
            source(&node, &definition, vec![0, 1, 2]).as_mut(),
            &dataflow::source::Split {
                id: "orders/0".into(),
                start: Position(0),
                end: None,
                fingerprint: String::new(),
            },
            Position(0),
            10,
        );
        let last = &reads.last().unwrap().rows;
        let row = last.num_rows() - 1;
        let text = |column: usize| last.column(column).as_string::<i32>().value(row).to_string();
        assert_eq!([text(1), text(2), text(3), text(4)], ["city 3", "id-3", mode, "/shop"]);
    }
}

/// Offsets 0 and 1 of producer 7 are aborted by the marker at 3; offset 4 is of a transaction that is open.
struct Decided(std::sync::atomic::AtomicI64);

impl eventlog::Transactions for Decided {
    fn last_stable_offset(&self, _: base::PartitionId, _: &eventlog::Bounds) -> base::Offset {
        base::Offset(self.0.load(std::sync::atomic::Ordering::Relaxed))
    }

    fn aborted(
        &self,
        _: base::PartitionId,
        from: base::Offset,
        to: base::Offset,
    ) -> Vec<eventlog::AbortedRange> {
        let aborted = eventlog::AbortedRange {
            producer_id: 7,
            first_offset: base::Offset(0),
            last_offset: base::Offset(3),
        };
        let overlaps = aborted.first_offset < to && aborted.last_offset >= from;
        overlaps.then_some(aborted).into_iter().collect()
    }
}

#[test]
fn control_batches_are_no_rows_and_the_isolation_level_decides_about_the_rest() {
    use kafka_wire::records::{BatchBuilder, Compression, ControlKind, control_batch};
    let node = Node::start();
    node.create_topic("orders", 1);
    let data = |producer_id: i64, ids: std::ops::Range<i64>| {
        let mut builder = BatchBuilder::new(Compression::None).producer(producer_id, 0, 0).transactional();
        for id in ids.clone() {
            let value = format!(r#"{{"id": {id}, "city": "x"}}"#);
            builder.append(5, None, Some(value.as_bytes()), &[]).unwrap();
        }
        dataflow::sink::TopicBatch {
            partition: 0,
            records: ids.count() as u32,
            max_timestamp_ms: 5,
            bytes: builder.build().unwrap().to_vec(),
        }
    };
    let abort = dataflow::sink::TopicBatch {
        partition: 0,
        records: 1,
        max_timestamp_ms: 5,
        bytes: control_batch(ControlKind::Abort, 7, 0, 0, 5).unwrap().to_vec(),
    };
    node.append("orders", vec![data(7, 0..2), data(8, 2..3), abort, data(8, 4..5), data(9, 5..6)]);
    let decided = Arc::new(Decided(4.into()));
    node.log.answer_for_transactions(decided.clone());
    let earliest = ("scan.startup.mode", "earliest-offset");
    let isolation = "properties.isolation.level";
    // As for every Kafka consumer, and so in Flink, the default is to read everything.
    for options in [vec![earliest], vec![earliest, (isolation, "read_uncommitted")]] {
        let mut source = source(&node, &orders(&options), Vec::new());
        let split = source.splits().unwrap().remove(0);
        let reads = read_all(source.as_mut(), &split, Position(0), 100);
        assert_eq!(ids(&reads), [0, 1, 2, 4, 5]);
    }
    let committed = orders(&[earliest, (isolation, "read_committed")]);
    // Records before it were deleted: the last stable offset lies in the middle of the first batch.
    decided.0.store(1, std::sync::atomic::Ordering::Relaxed);
    let mut early = source(&node, &committed, Vec::new());
    let split = early.splits().unwrap().remove(0);
    let read = early.read(&split, Position(0), None, limits(usize::MAX)).unwrap();
    assert_eq!(read.next, Position(0));
    decided.0.store(4, std::sync::atomic::Ordering::Relaxed);
    for rows_max in [1, 100] {
        let mut source = source(&node, &committed, Vec::new());
        let split = source.splits().unwrap().remove(0);
        let reads = read_all(source.as_mut(), &split, Position(0), rows_max);
        assert_eq!((ids(&reads), reads.last().unwrap().next), (vec![2], Position(4)));
        assert_eq!(source.lag(&split, Position(4)), Some(0));
        // A replay of a part of the aborted transaction gives nothing either.
        let again = source.read(&split, Position(1), Some(Position(3)), limits(usize::MAX)).unwrap();
        assert_eq!(ids(&[again]), [2]);
        // The open one is waited for, and then read on from.
        decided.0.store(6, std::sync::atomic::Ordering::Relaxed);
        let reads = read_all(source.as_mut(), &split, Position(4), rows_max);
        assert_eq!(ids(&reads), [4, 5]);
        decided.0.store(4, std::sync::atomic::Ordering::Relaxed);
    }
    let bounded = orders(&[earliest, (isolation, "read_committed"), ("scan.bounded.mode", "latest-offset")]);
    let splits = source(&node, &bounded, Vec::new()).splits().unwrap();
    assert_eq!(splits[0].end, Some(Position(4)));
}
