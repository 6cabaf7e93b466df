//! What is read: each object once, lines and columns, and on from any position.

use super::*;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, StringArray};
use dataflow::connector::SourceRequest;
use dataflow::feed::{Feed, FeedRecord, FeedRequest};
use dataflow::sink::{Sink, TopicBatch};
use dataflow::table::MetadataColumn;
use flate2::Compression;
use flate2::write::GzEncoder;
use kafka_wire::records::BatchBuilder;
use std::io::Write;

pub(super) fn feed(node: &Node, table: &Arc<TableDefinition>) -> Box<dyn Feed> {
    let request = FeedRequest { table: table.clone(), identity: "job/0".into() };
    node.connector("filesystem").feed(request).unwrap()
}

/// Polls until the end or until so many records have come, and confirms all of it.
pub(super) fn until(feed: &mut dyn Feed, count: usize) -> (Vec<FeedRecord>, Option<Vec<u8>>, bool) {
    let (mut records, mut position) = (Vec::new(), None);
    for _ in 0..3000 {
        let haul = feed.poll(20).unwrap();
        records.extend(haul.records);
        position = haul.position.or(position);
        feed.confirm(haul.ticket).unwrap();
        if haul.ended || records.len() >= count {
            return (records, position, haul.ended);
        }
    }
    panic!("{} records instead of {count}", records.len());
}

pub(super) fn texts(records: &[FeedRecord]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.value.clone().unwrap()).unwrap()).collect()
}

#[test]
fn objects_are_read_once_in_order_and_hidden_ones_passed_over() {
    let (memory, node) = (Memory::start(), Node::start());
    memory.put("in/b.json", b"3\n4\n");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(b"1\r\n2").unwrap();
    memory.put("in/a.json.gz", &gzip.finish().unwrap());
    for hidden in ["in/_SUCCESS", "in/.commit-x", "in/_tmp/x.json", "in/empty/", "inside/x.json"] {
        memory.put(hidden, if hidden.ends_with('/') { b"" } else { b"9\n" });
    }
    memory.put("in/day=1/c.json", b"5\n");
    let table = Arc::new(files(&memory.url(), &[], &[]));
    let mut reading = feed(&node, &table);
    reading.open(None).unwrap();
    let (records, _, ended) = until(&mut *reading, 100);
    assert_eq!((texts(&records).concat().as_str(), ended), ("12345", true));
    // A path may be that of one object.
    let one = Arc::new(files(&memory.url(), &[("path", "s3://orders/in/b.json")], &[]));
    let mut reading = feed(&node, &one);
    reading.open(None).unwrap();
    assert_eq!(texts(&until(&mut *reading, 100).0).concat(), "34");
}

#[test]
fn reading_goes_on_from_any_position() {
    let memory = Memory::start();
    // Hauls end at four megabytes.
    let line = "x".repeat(300_000);
    let mut expected = Vec::new();
    for name in ["a", "b"] {
        let lines: Vec<String> = (0..20).map(|n| format!("{name}{n}{line}")).collect();
        memory.put(&format!("in/{name}"), (lines.join("\n") + "\n").as_bytes());
        expected.extend(lines);
    }
    for monitors in [false, true] {
        let options: &[(&str, &str)] = if monitors { &[("source.monitor-interval", "1 ms")] } else { &[] };
        let table = Arc::new(files(&memory.url(), options, &[]));
        let node = Node::start();
        let (mut came, mut position, mut hauls) = (Vec::new(), None, 0);
        while came.len() < expected.len() {
            // Each haul is taken by another life.
            let mut reading = feed(&node, &table);
            reading.open(position.as_deref()).unwrap();
            let haul = reading.poll(10).unwrap();
            came.extend(texts(&haul.records));
            position = haul.position.or(position);
            hauls += 1;
            assert!(hauls < 50, "{} lines", came.len());
        }
        assert_eq!(came, expected);
        assert!(hauls > 2, "no haul ended within an object");
        let mut reading = feed(&node, &table);
        reading.open(position.as_deref()).unwrap();
        for _ in 0..3 {
            assert!(reading.poll(5).unwrap().records.is_empty(), "read twice");
        }
    }
}

#[test]
fn what_comes_later_is_found_and_nothing_is_read_again_after_a_restart() {
    let (memory, node) = (Memory::start(), Node::start());
    memory.put("in/z.json", b"1\n");
    let table = Arc::new(files(&memory.url(), &[("source.monitor-interval", "1 ms")], &[]));
    let mut reading = feed(&node, &table);
    reading.open(None).unwrap();
    assert_eq!(texts(&until(&mut *reading, 1).0), ["1"]);
    // Its key is before the one that was read.
    memory.put("in/a.json", b"2\n");
    let (records, position, ended) = until(&mut *reading, 1);
    assert_eq!((texts(&records), ended), (vec!["2".to_string()], false));
    let mut again = feed(&node, &table);
    again.open(position.as_deref()).unwrap();
    memory.put("in/b.json", b"3\n");
    assert_eq!(texts(&until(&mut *again, 1).0), ["3"]);
    // What was confirmed is known without the position, too.
    let mut last = feed(&node, &table);
    last.open(None).unwrap();
    for _ in 0..3 {
        assert!(last.poll(5).unwrap().records.is_empty(), "read again");
    }
}

#[test]
fn an_object_that_changes_while_it_is_read_is_said() {
    let (memory, node) = (Memory::start(), Node::start());
    let big = ("x".repeat(1_000_000) + "\n").repeat(12);
    memory.put("in/a.json", big.as_bytes());
    let table = Arc::new(files(&memory.url(), &[], &[]));
    let mut reading = feed(&node, &table);
    reading.open(None).unwrap();
    assert!(!reading.poll(5).unwrap().records.is_empty());
    memory.put("in/a.json", big.as_bytes());
    let error = loop {
        match reading.poll(5) {
            Ok(haul) => assert!(!haul.ended),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, base::ErrorKind::Invalid);
    assert!(error.message.contains("was changed when some of it had been read"), "{}", error.message);
}

/// What a feed brought, as the runtime lands it.
fn land(node: &Node, topic: &str, records: &[FeedRecord]) {
    node.create_topic(topic, 1);
    let mut batch = BatchBuilder::new(kafka_wire::records::Compression::None);
    for record in records {
        let headers: Vec<(&str, Option<&[u8]>)> =
            record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        batch.append(record.timestamp_ms, None, record.value.as_deref(), &headers).unwrap();
    }
    let bytes = batch.build().unwrap().into();
    node.append(
        topic,
        vec![TopicBatch { partition: 0, records: records.len() as u32, max_timestamp_ms: 0, bytes }],
    );
}

#[test]
fn lines_and_columns_become_rows_with_the_metadata_of_their_files() {
    for format in ["json", "csv", "parquet", "avro"] {
        let (memory, node) = (Memory::start(), Node::start());
        let mut table = files(&memory.url(), &[("format", format)], &[]);
        // Written by the sink, read by the source.
        let ids = Int64Array::from_iter_values(0..3000);
        let names = StringArray::from_iter_values((0..3000).map(|id| format!("name {id}")));
        let columns: Vec<arrow_array::ArrayRef> = vec![Arc::new(ids), Arc::new(names)];
        let rows = batch(RecordBatch::try_new(table.schema.clone(), columns).unwrap());
        let Sink::Outbox(mut sink) =
            node.connector("filesystem").sink(&Arc::new(table.clone()), "job").unwrap()
        else {
            panic!()
        };
        node.create_topic("outbox", 1);
        node.append("outbox", sink.encode(&rows, 1).unwrap());
        sink.open().unwrap();
        let partition = node.log.topic("outbox").unwrap().partitions[0];
        for slice in node.log.read(partition, base::Offset(0), 1 << 26).unwrap() {
            let mut bytes = Vec::new();
            slice.read(&mut bytes).unwrap();
            sink.apply(&bytes).unwrap();
        }
        sink.commit(true, 1).unwrap();
        let column = |key: &str, data_type: DataType| MetadataColumn {
            name: key.to_string(),
            key: key.to_string(),
            data_type,
            is_virtual: true,
        };
        table.metadata = vec![column("file.path", DataType::Utf8), column("file.size", DataType::Int64)];
        let table = Arc::new(table);
        let mut reading = feed(&node, &table);
        reading.open(None).unwrap();
        let (records, _, ended) = until(&mut *reading, usize::MAX);
        assert!(ended);
        land(&node, "landed", &records);
        let request = SourceRequest { table: table.clone(), projection: vec![1, 0], metadata: vec![1, 0] };
        let mut source = node.connector("filesystem").source(request).unwrap();
        let split =
            Split { id: "landed/0".into(), start: Position(0), end: None, fingerprint: String::new() };
        let reads = read_all(source.as_mut(), &split, Position(0), 700);
        let mut next = 0;
        for read in &reads {
            let rows = &read.rows;
            for row in 0..rows.num_rows() {
                assert_eq!(rows.column(0).as_string::<i32>().value(row), format!("name {next}"), "{format}");
                assert_eq!(rows.column(1).as_primitive::<Int64Type>().value(row), next, "{format}");
                let path = rows.column(3).as_string::<i32>().value(row);
                assert!(path.starts_with("s3://orders/in/part-job-"), "{path}");
                assert!(rows.column(2).as_primitive::<Int64Type>().value(row) > 1000);
                next += 1;
            }
        }
        assert_eq!(next, 3000, "{format}");
    }
}

#[test]
fn a_connection_that_is_lost_is_no_fault_of_the_file() {
    for format in ["json", "parquet", "avro"] {
        let (memory, node) = (Memory::start(), Node::start());
        memory.put("in/a", &b"PAR1 is no such file".repeat(50));
        let table =
            Arc::new(files(&memory.url(), &[("format", format), ("source.monitor-interval", "1 s")], &[]));
        let mut reading = feed(&node, &table);
        reading.open(None).unwrap();
        memory.state.lock().unwrap().is_cut = true;
        let error = reading.poll(5).unwrap_err();
        assert_eq!(error.kind, base::ErrorKind::Unavailable, "{format}: {}", error.message);
    }
}

#[test]
fn a_broken_file_of_columns_is_said_with_its_name() {
    for format in ["parquet", "avro"] {
        let (memory, node) = (Memory::start(), Node::start());
        memory.put("in/broken", &b"PAR1 is no such file".repeat(50));
        let table = Arc::new(files(&memory.url(), &[("format", format)], &[]));
        let mut reading = feed(&node, &table);
        reading.open(None).unwrap();
        let error = reading.poll(5).unwrap_err();
        assert_eq!(error.kind, base::ErrorKind::Invalid);
        assert!(error.message.contains("s3://orders/in/broken"), "{}", error.message);
    }
}

#[test]
fn many_small_objects_are_several_hauls_and_noted_together() {
    let (memory, node) = (Memory::start(), Node::start());
    for number in 0..1500 {
        memory.put(&format!("in/{number:05}"), format!("{number}\n").as_bytes());
    }
    let table = Arc::new(files(&memory.url(), &[("source.monitor-interval", "1 ms")], &[]));
    let mut reading = feed(&node, &table);
    reading.open(None).unwrap();
    let (mut came, mut position, mut hauls) = (Vec::new(), None, 0);
    while came.len() < 1500 {
        let haul = reading.poll(5).unwrap();
        assert!(haul.records.len() <= 1000, "{} objects in one haul", haul.records.len());
        came.extend(texts(&haul.records));
        position = haul.position.or(position);
        reading.confirm(haul.ticket).unwrap();
        hauls += 1;
    }
    assert_eq!(came, (0..1500).map(|number| number.to_string()).collect::<Vec<_>>());
    let partition = node.log.topic("__files").unwrap().partitions[0];
    let batches = node.log.read(partition, base::Offset(0), 1 << 26).unwrap().len();
    assert!(batches <= hauls, "{batches} appends for {hauls} hauls");
    for position in [None, position.as_deref()] {
        let mut again = feed(&node, &table);
        again.open(position).unwrap();
        assert!(again.poll(5).unwrap().records.is_empty(), "read again");
    }
}

#[test]
fn long_rows_of_columns_come_in_small_hauls() {
    for format in ["parquet", "avro"] {
        let (memory, node) = (Memory::start(), Node::start());
        let table = Arc::new(files(&memory.url(), &[("format", format)], &[]));
        let long = "x".repeat(100_000);
        let columns: Vec<arrow_array::ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(0..200)),
            Arc::new(StringArray::from_iter_values((0..200).map(|id| format!("{id}{long}")))),
        ];
        let rows = batch(RecordBatch::try_new(table.schema.clone(), columns).unwrap());
        let Sink::Outbox(mut sink) = node.connector("filesystem").sink(&table, "job").unwrap() else {
            panic!()
        };
        node.create_topic("outbox", 1);
        node.append("outbox", sink.encode(&rows, 1).unwrap());
        sink.open().unwrap();
        let partition = node.log.topic("outbox").unwrap().partitions[0];
        for slice in node.log.read(partition, base::Offset(0), 1 << 30).unwrap() {
            let mut bytes = Vec::new();
            slice.read(&mut bytes).unwrap();
            sink.apply(&bytes).unwrap();
        }
        sink.commit(true, 1).unwrap();
        assert_eq!(memory.seen().len(), 1);
        let mut reading = feed(&node, &table);
        reading.open(None).unwrap();
        let mut hauls = Vec::new();
        loop {
            let haul = reading.poll(5).unwrap();
            hauls.push(haul.records.iter().map(|record| record.value.as_ref().unwrap().len()).sum::<usize>());
            if haul.ended {
                break;
            }
        }
        assert!(hauls.iter().sum::<usize>() > 200 * long.len(), "{format}: {hauls:?}");
        assert!(hauls.iter().all(|bytes| *bytes < 10 << 20), "{format}: {hauls:?}");
    }
}

#[test]
fn a_line_that_is_too_long_for_the_log_is_said_with_its_place() {
    let (memory, node) = (Memory::start(), Node::start());
    let longest = "x".repeat(dataflow::feed::RECORD_BYTES_MAX);
    memory.put("in/a", format!("1\n{longest}\r\n{longest}").as_bytes());
    memory.put("in/b", format!("2\n{longest}x\n").as_bytes());
    let table = Arc::new(files(&memory.url(), &[("timeout", "60 s")], &[]));
    let mut reading = feed(&node, &table);
    reading.open(None).unwrap();
    let mut lengths = Vec::new();
    let error = loop {
        match reading.poll(5) {
            Ok(haul) => {
                assert!(!haul.ended);
                lengths.extend(texts(&haul.records).iter().map(String::len));
            }
            Err(error) => break error,
        }
    };
    assert_eq!(lengths[..3], [1, longest.len(), longest.len()]);
    assert_eq!(error.kind, base::ErrorKind::Invalid);
    assert!(error.message.contains("s3://orders/in/b cannot be read from byte 2 on"), "{}", error.message);
}

#[test]
fn a_server_that_always_lists_from_the_beginning_is_refused() {
    let node = Node::start();
    for interval in [None, Some(("source.monitor-interval", "1 ms"))] {
        let memory = Memory::start();
        for number in 0..1001 {
            memory.put(&format!("in/{number:05}/"), b"");
        }
        memory.state.lock().unwrap().ignores_start = true;
        let options: Vec<(&str, &str)> = interval.into_iter().collect();
        let mut reading = feed(&node, &Arc::new(files(&memory.url(), &options, &[])));
        reading.open(None).unwrap();
        let error = reading.poll(5).unwrap_err();
        assert_eq!(error.kind, base::ErrorKind::Invalid);
        assert!(error.message.contains("in the order of their keys"), "{}", error.message);
    }
}

#[test]
fn what_comes_while_a_folder_is_read_once_is_read_where_it_is_behind() {
    let (memory, node) = (Memory::start(), Node::start());
    memory.put("in/b", ("x".repeat(1_000_000) + "\n").repeat(6).as_bytes());
    let mut reading = feed(&node, &Arc::new(files(&memory.url(), &[], &[])));
    reading.open(None).unwrap();
    let began = reading.poll(5).unwrap().records.len();
    memory.put("in/a", b"before\n");
    memory.put("in/c", b"behind\n");
    let (records, _, ended) = until(&mut *reading, 100);
    assert_eq!((began + records.len(), ended), (7, true));
    assert_eq!(texts(&records).last().map(String::as_str), Some("behind"));
}
