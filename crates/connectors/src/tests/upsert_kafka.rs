//! Topics that hold the last row of each key: changes written, read back, folded; what is refused.

use super::*;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int8Array, Int64Array, StringArray};
use dataflow::batch::RowKind::{self, Delete, Insert, UpdateAfter, UpdateBefore};
use dataflow::connector::{Role, SourceRequest};
use dataflow::plan::Changelog;
use dataflow::sink::{Sink, TopicBatch, TopicSink};
use dataflow::table::MetadataColumn;
use kafka_wire::records::{BatchBuilder, Compression};

/// In the year 2096: retention by time leaves such records alone.
const PRODUCED_MS: i64 = 4_000_000_000_000;

fn cities_schema() -> SchemaRef {
    let fields = [
        Field::new("id", DataType::Int64, false),
        Field::new("city", DataType::Utf8, false),
        Field::new("people", DataType::Int64, true),
    ];
    Arc::new(Schema::new(fields.to_vec()))
}

fn cities(options: &[(&str, &str)]) -> Arc<TableDefinition> {
    let mut all = vec![
        ("connector", "upsert-kafka"),
        ("topic", "cities"),
        ("key.format", "json"),
        ("value.format", "json"),
    ];
    all.extend_from_slice(options);
    let mut definition = (*table(cities_schema(), &all)).clone();
    definition.primary_key = vec!["id".into()];
    Arc::new(definition)
}

fn changes(rows: &[(RowKind, i64, &str, Option<i64>)]) -> Batch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.3))),
    ];
    let kinds = Int8Array::from_iter_values(rows.iter().map(|row| row.0 as i8));
    Batch { kinds: Some(kinds), ..batch(RecordBatch::try_new(cities_schema(), columns).unwrap()) }
}

fn sink(node: &Node, table: &Arc<TableDefinition>) -> Box<dyn TopicSink> {
    match node.connector("upsert-kafka").sink(table, "job").unwrap() {
        Sink::Topic(sink) => sink,
        _ => panic!("a topic sink"),
    }
}

fn write(node: &Node, table: &Arc<TableDefinition>, rows: &[(RowKind, i64, &str, Option<i64>)]) {
    let partitions = node.log.topic("cities").unwrap().partitions.len() as u32;
    let batches = sink(node, table).encode(&changes(rows), partitions, PRODUCED_MS).unwrap();
    node.append("cities", batches);
}

/// Appends records as they are to partition 0.
fn produce(node: &Node, records: &[(Option<&str>, Option<&str>)]) {
    let mut builder = BatchBuilder::new(Compression::None);
    for (key, value) in records {
        builder.append(PRODUCED_MS, key.map(str::as_bytes), value.map(str::as_bytes), &[]).unwrap();
    }
    let bytes = builder.build().unwrap().to_vec();
    let batch =
        TopicBatch { partition: 0, records: records.len() as u32, max_timestamp_ms: PRODUCED_MS, bytes };
    node.append("cities", vec![batch]);
}

fn source(node: &Node, table: &Arc<TableDefinition>, projection: &[usize]) -> Box<dyn Source> {
    let metadata = (0..table.metadata.len()).collect();
    let request = SourceRequest { table: table.clone(), projection: projection.to_vec(), metadata };
    node.connector("upsert-kafka").source(request).unwrap()
}

/// Rows as `print` shows them: `+U[1, Rome, 3]`.
fn shown(read: &Read) -> Vec<String> {
    let printer = formats::print::RowPrinter::new(&read.rows);
    let kinds = read.kinds.as_ref().unwrap();
    (0..read.rows.num_rows())
        .map(|row| {
            let mut text = RowKind::from_code(kinds.value(row)).unwrap().short().to_string();
            printer.print(row, &mut text);
            text
        })
        .collect()
}

#[test]
fn changes_become_records_and_come_back_as_changes() {
    let node = Node::start();
    node.create_topic("cities", 1);
    let table = cities(&[("scan.bounded.mode", "latest-offset")]);
    write(
        &node,
        &table,
        &[
            (Insert, 1, "Rome", Some(3)),
            (Insert, 2, "Oslo", None),
            (UpdateBefore, 1, "Rome", Some(3)),
            (UpdateAfter, 1, "Rome", Some(4)),
            (Delete, 2, "Oslo", None),
        ],
    );
    let mut reader = source(&node, &table, &[0, 1, 2]);
    let split = reader.splits().unwrap().remove(0);
    assert_eq!((split.start, split.end), (Position(0), Some(Position(4))));
    let expected =
        ["+U[1, Rome, 3]", "+U[2, Oslo, null]", "+U[1, Rome, 4]", "-D[2, null, null]"].map(str::to_string);
    for rows_max in [1, 3, 100] {
        let reads = read_all(reader.as_mut(), &split, Position(0), rows_max);
        assert_eq!(reads.iter().flat_map(shown).collect::<Vec<String>>(), expected);
        assert!(reads.last().unwrap().finished);
    }
    // The same range again gives the same rows.
    let again = reader.read(&split, Position(2), Some(Position(4)), limits(usize::MAX)).unwrap();
    assert_eq!(shown(&again), expected[2..]);
    // Columns in another order, without the value's.
    let mut some = source(&node, &table, &[2, 0]);
    let read = some.read(&split, Position(0), None, limits(100)).unwrap();
    assert_eq!(shown(&read), ["+U[3, 1]", "+U[null, 2]", "+U[4, 1]", "-D[null, 2]"]);
    let mut keys = source(&node, &table, &[0]);
    let read = keys.read(&split, Position(0), None, limits(100)).unwrap();
    assert_eq!(shown(&read), ["+U[1]", "+U[2]", "+U[1]", "-D[2]"]);
    assert_eq!(read.rows.column(0).null_count(), 0);
}

#[test]
fn a_row_whose_successor_has_another_key_or_was_not_let_through_goes() {
    let node = Node::start();
    node.create_topic("cities", 1);
    let table = cities(&[("scan.bounded.mode", "latest-offset")]);
    write(
        &node,
        &table,
        &[
            (UpdateBefore, 1, "Rome", Some(3)),
            (UpdateAfter, 2, "Rome", Some(3)),
            (UpdateBefore, 3, "Oslo", None),
            (Insert, 3, "Bergen", None),
            (UpdateBefore, 4, "Paris", None),
        ],
    );
    let mut reader = source(&node, &table, &[0, 1, 2]);
    let split = reader.splits().unwrap().remove(0);
    let reads = read_all(reader.as_mut(), &split, Position(0), 100);
    assert_eq!(
        reads.iter().flat_map(shown).collect::<Vec<String>>(),
        [
            "-D[1, null, null]",
            "+U[2, Rome, 3]",
            "-D[3, null, null]",
            "+U[3, Bergen, null]",
            "-D[4, null, null]"
        ]
    );
}

#[test]
fn the_bytes_are_what_others_expect() {
    let node = Node::start();
    node.create_topic("cities", 1);
    let bytes = |options: &[(&str, &str)]| {
        let rows = changes(&[(Insert, 1, "Rome", Some(3)), (Delete, 1, "Rome", Some(3))]);
        let batch = sink(&node, &cities(options)).encode(&rows, 1, 7).unwrap().remove(0);
        let records =
            kafka_wire::records::Batch::parse(&batch.bytes.into()).unwrap().records(1 << 20).unwrap();
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        records
            .iter()
            .map(Result::unwrap)
            .map(|record| (text(record.key).unwrap(), text(record.value), record.timestamp))
            .collect::<Vec<_>>()
    };
    let key = || r#"{"id":1}"#.to_string();
    assert_eq!(
        bytes(&[]),
        [(key(), Some(r#"{"id":1,"city":"Rome","people":3}"#.into()), 7), (key(), None, 7)]
    );
    assert_eq!(
        bytes(&[("value.fields-include", "EXCEPT_KEY"), ("properties.compression.type", "lz4")]),
        [(key(), Some(r#"{"city":"Rome","people":3}"#.into()), 7), (key(), None, 7)]
    );
    assert_eq!(bytes(&[("key.format", "raw")])[0].0.as_bytes(), 1i64.to_be_bytes());
}

#[test]
fn a_key_keeps_to_one_partition_and_its_order() {
    let node = Node::start();
    node.create_topic("cities", 4);
    let table = cities(&[("key.format", "csv"), ("scan.bounded.mode", "latest-offset")]);
    for round in 0..5 {
        let rows: Vec<_> = (0..40).map(|id| (UpdateAfter, id, "x", Some(round))).collect();
        write(&node, &table, &rows);
    }
    let mut reader = source(&node, &table, &[0, 2]);
    let mut seen = 0;
    for (index, split) in reader.splits().unwrap().iter().enumerate() {
        let mut last = BTreeMap::new();
        for read in read_all(reader.as_mut(), split, Position(0), 7) {
            let (ids, rounds) = (
                read.rows.column(0).as_primitive::<Int64Type>(),
                read.rows.column(1).as_primitive::<Int64Type>(),
            );
            for (id, round) in ids.values().iter().zip(rounds.values()) {
                let key = id.to_string();
                assert_eq!(kafka_wire::partitioner::partition_of_key(key.as_bytes(), 4) as usize, index);
                assert_eq!(last.insert(*id, *round), round.checked_sub(1).filter(|before| *before >= 0));
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 200);
}

#[test]
fn the_key_decides_where_the_value_repeats_it() {
    let node = Node::start();
    node.create_topic("cities", 1);
    produce(&node, &[(Some(r#"{"id":1}"#), Some(r#"{"id":9,"city":"Rome"}"#)), (Some(r#"{"id":1}"#), None)]);
    let table = cities(&[]);
    let mut reader = source(&node, &table, &[0, 1]);
    let split = reader.splits().unwrap().remove(0);
    let read = reader.read(&split, Position(0), None, limits(10)).unwrap();
    assert_eq!(shown(&read), ["+U[1, Rome]", "-D[1, null]"]);
}

#[test]
fn names_of_the_key_bear_a_prefix_and_metadata_belongs_to_removed_rows_too() {
    let node = Node::start();
    node.create_topic("cities", 1);
    let given = [
        ("connector", "upsert-kafka"),
        ("topic", "cities"),
        ("key.format", "json"),
        ("value.format", "json"),
        ("key.fields-prefix", "k_"),
        ("value.fields-include", "EXCEPT_KEY"),
    ];
    let columns = [("id", DataType::Int64), ("k_b", DataType::Int64), ("k_id", DataType::Utf8)];
    let mut definition = (*table(schema(&columns), &given)).clone();
    // The key's columns stand in the order of the primary key.
    definition.primary_key = vec!["k_id".into(), "k_b".into()];
    definition.metadata = vec![MetadataColumn {
        name: "place".into(),
        key: "offset".into(),
        data_type: DataType::Int64,
        is_virtual: true,
    }];
    let table = Arc::new(definition);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![10, 20])),
        Arc::new(Int64Array::from(vec![7, 8])),
        Arc::new(StringArray::from(vec!["a", "b"])),
    ];
    let rows = RecordBatch::try_new(table.schema.clone(), columns).unwrap();
    let rows = Batch { kinds: Some(Int8Array::from(vec![Insert as i8, Delete as i8])), ..batch(rows) };
    let batches = sink(&node, &table).encode(&rows, 1, PRODUCED_MS).unwrap();
    let bytes = batches[0].bytes.clone();
    let records = kafka_wire::records::Batch::parse(&bytes.into()).unwrap().records(1 << 20).unwrap();
    let first = records.iter().next().unwrap().unwrap();
    assert_eq!(first.key, Some(&br#"{"id":"a","b":7}"#[..]));
    assert_eq!(first.value, Some(&br#"{"id":10}"#[..]));
    node.append("cities", batches);
    let mut reader = source(&node, &table, &[0, 1, 2]);
    let split = reader.splits().unwrap().remove(0);
    let read = reader.read(&split, Position(0), None, limits(10)).unwrap();
    assert_eq!(shown(&read), ["+U[10, 7, a, 0]", "-D[null, 8, b, 1]"]);
}

/// Good, without a key, bad value, bad key of a removal, an empty value, good.
const MIXED: [(Option<&str>, Option<&str>); 6] = [
    (Some(r#"{"id":1}"#), Some(r#"{"city":"Rome"}"#)),
    (None, Some(r#"{"id":2,"city":"Bonn"}"#)),
    (Some(r#"{"id":3}"#), Some("{oops")),
    (Some("{key"), None),
    (Some(r#"{"id":4}"#), Some("")),
    (Some(r#"{"id":5}"#), Some(r#"{"city":"Oslo"}"#)),
];

#[test]
fn bad_records_fail_are_skipped_or_go_to_the_dead_letters() {
    let node = Node::start();
    node.create_topic("cities", 1);
    produce(&node, &MIXED);
    let read = |options: &[(&str, &str)], from: i64| {
        let mut reader = source(&node, &cities(options), &[0, 1]);
        let split = reader.splits().unwrap().remove(0);
        reader.read(&split, Position(from), None, limits(10))
    };
    let value = read(&[], 0).unwrap_err().message;
    assert!(
        value.starts_with("table 't': topic=cities partition=0 offset=2 cannot be read: not valid JSON"),
        "{value}"
    );
    let key = read(&[], 3).unwrap_err().message;
    assert!(key.contains("offset=3 cannot be read: the key: not valid JSON"), "{key}");
    assert!(key.contains(r#"the bytes are "{key""#), "{key}");
    let lenient = read(&[("value.json.ignore-parse-errors", "true")], 0).unwrap();
    assert_eq!(shown(&lenient), ["+U[1, Rome]", "+U[5, Oslo]"]);
    assert_eq!((lenient.skipped, lenient.next), (4, Position(6)));
    let kept = read(&[("dead-letter.topic", "rejected")], 0).unwrap();
    assert_eq!(shown(&kept), ["+U[1, Rome]", "+U[5, Oslo]"]);
    let rejected: Vec<_> =
        kept.rejected.iter().map(|one| (one.key.as_deref().unwrap(), one.value.as_deref())).collect();
    assert_eq!(rejected, [(&br#"{"id":3}"#[..], Some(&b"{oops"[..])), (&b"{key"[..], None)]);
    assert_eq!(kept.skipped, 2);
}

#[test]
fn a_topic_that_is_created_keeps_the_last_row_of_each_key() {
    let node = Node::start();
    let table = cities(&[]);
    let wanted = BTreeMap::from([("cleanup.policy".to_string(), "compact".to_string())]);
    assert_eq!(sink(&node, &table).configs_wanted(), wanted);
    let splits = source(&node, &table, &[0]).splits().unwrap();
    assert_eq!((splits.len(), splits[0].end), (1, None));
    let config = node.log.topic("cities").unwrap().config.clone();
    assert!(config.cleanup_compact && !config.cleanup_delete);
    let append = node.connector("kafka").sink(
        &self::table(cities_schema(), &[("connector", "kafka"), ("topic", "x"), ("format", "json")]),
        "job",
    );
    let Ok(Sink::Topic(append)) = append else { panic!("a topic sink") };
    assert_eq!(append.configs_wanted(), BTreeMap::new());
}

#[test]
fn each_connector_says_which_changes_it_gives_and_takes() {
    let connectors = crate::table(Connectors { os: Os::real(), log: None });
    let (plain, keyed) = (table(cities_schema(), &[]), cities(&[]));
    let of = |name: &str, table: &TableDefinition| {
        let connector = connectors.find(name).unwrap();
        (connector.source_changelog(table), connector.sink_changelog(table))
    };
    use Changelog::{Insert, Retract, Upsert};
    assert_eq!(of("upsert-kafka", &keyed), (Upsert, Upsert));
    assert_eq!(of("kafka", &keyed), (Insert, Insert));
    assert_eq!(of("filesystem", &keyed), (Insert, Insert));
    assert_eq!(of("jdbc", &keyed), (Insert, Upsert));
    assert_eq!(of("jdbc", &plain), (Insert, Insert));
    assert_eq!(of("print", &plain), (Insert, Retract));
    assert_eq!(of("blackhole", &plain), (Insert, Retract));
}

#[test]
fn wrong_declarations_say_what_to_do() {
    let connectors = crate::table(Connectors { os: Os::real(), log: None });
    let upsert = connectors.find("upsert-kafka").unwrap();
    let messages = |key: &[&str], options: &[(&str, &str)]| {
        let mut all = vec![("connector", "upsert-kafka"), ("topic", "cities")];
        all.extend_from_slice(options);
        let mut definition = (*table(cities_schema(), &all)).clone();
        definition.primary_key = key.iter().map(|name| name.to_string()).collect();
        let checked = upsert.check(&definition, Role::Source);
        checked.err().unwrap_or_default().into_iter().map(|error| error.message).collect::<Vec<String>>()
    };
    let formats = [("key.format", "json"), ("value.format", "json")];
    assert_eq!(messages(&["id"], &formats), [""; 0]);
    assert_eq!(
        messages(
            &["id"],
            &[&formats[..], &[("sink.buffer-flush.max-rows", "9"), ("sink.parallelism", "2")]].concat()
        ),
        [""; 0]
    );
    assert_eq!(
        messages(&[], &formats),
        [
            "table 't': the connector 'upsert-kafka' needs a primary key, which is the record's key; declare PRIMARY \
             KEY (…) NOT ENFORCED"
        ]
    );
    assert_eq!(
        messages(&["id"], &[("format", "json"), ("key.format", "json")]),
        [
            "table 't': the connector 'upsert-kafka' has no option 'format': give 'key.format' and 'value.format' \
             instead",
            "table 't': the option 'value.format' is missing; the formats are 'json', 'csv', 'raw', 'avro', 'avro-confluent', 'protobuf', 'protobuf-confluent', 'cloudevents', 'debezium-json', 'canal-json', 'maxwell-json', 'ogg-json', 'debezium-avro-confluent', for example \
             'value.format' = 'json'"
        ]
    );
    assert_eq!(
        messages(
            &["id"],
            &[&formats[..], &[("scan.startup.mode", "latest-offset"), ("key.fields", "id")]].concat()
        ),
        [
            "table 't': the connector 'upsert-kafka' has no option 'key.fields': the primary key is the record's key; \
             leave it out",
            "table 't': the connector 'upsert-kafka' has no option 'scan.startup.mode': a table is read from the \
             topic's beginning; leave it out"
        ]
    );
    assert_eq!(
        messages(
            &["id"],
            &[&formats[..], &[("key.fields-prefix", "k_"), ("value.fields-include", "EXCEPT_KEY")]].concat()
        ),
        ["table 't': the column 'id' does not begin with 'key.fields-prefix' = 'k_'"]
    );
    // A raw value is one column: two of three are left without the key.
    let raw = messages(
        &["id"],
        &[("key.format", "raw"), ("value.format", "raw"), ("value.fields-include", "EXCEPT_KEY")],
    );
    assert_eq!(raw.len(), 1);
    assert_eq!(
        messages(
            &["id", "city"],
            &[("key.format", "json"), ("value.format", "raw"), ("value.fields-include", "EXCEPT_KEY")]
        ),
        [""; 0]
    );
    assert_eq!(messages(&["id", "city"], &[("key.format", "raw"), ("value.format", "json")]).len(), 1);
}
