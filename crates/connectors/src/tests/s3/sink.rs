//! What is written: each row once, whatever call fails, and nothing by a node that was given up.

use super::*;
use arrow_array::{Int64Array, StringArray};
use bucket::Fails;
use dataflow::sink::{OutboxSink, Sink};

fn sink(node: &Node, memory: &Memory, options: &[(&str, &str)], partitions: &[&str]) -> Box<dyn OutboxSink> {
    let table = Arc::new(files(&memory.url(), options, partitions));
    match node.connector("filesystem").sink(&table, "job-7").unwrap() {
        Sink::Outbox(sink) => sink,
        _ => panic!("another sink"),
    }
}

/// Rows of ids in the outbox; `t` is even or odd.
fn write(node: &Node, sink: &mut dyn OutboxSink, ids: std::ops::Range<i64>) {
    if node.log.topic("outbox").is_none() {
        node.create_topic("outbox", 1);
    }
    let texts = StringArray::from_iter_values(ids.clone().map(|id| if id % 2 == 0 { "e=v" } else { "odd" }));
    let columns: Vec<arrow_array::ArrayRef> =
        vec![Arc::new(Int64Array::from_iter_values(ids)), Arc::new(texts)];
    let schema = schema(&[("id", DataType::Int64), ("t", DataType::Utf8)]);
    let batches = sink.encode(&batch(RecordBatch::try_new(schema, columns).unwrap()), 1).unwrap();
    node.append("outbox", batches);
}

/// Opens the sink and gives it what it needs, with a commit behind each batch of the outbox.
fn run(node: &Node, sink: &mut dyn OutboxSink) -> Result<i64, dataflow::sink::SinkError> {
    let from = sink.open()?;
    let partition = node.log.topic("outbox").unwrap().partitions[0];
    let mut committed = from;
    for slice in node.log.read(partition, base::Offset(from), 1 << 26).unwrap() {
        let mut bytes = Vec::new();
        slice.read(&mut bytes).unwrap();
        sink.apply(&bytes)?;
        committed = sink.commit(true, 1)?;
    }
    Ok(committed)
}

/// The ids in all files.
fn ids(memory: &Memory) -> Vec<i64> {
    let mut ids = Vec::new();
    for (_, bytes) in memory.seen() {
        for line in String::from_utf8(bytes).unwrap().lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            ids.push(row["id"].as_i64().unwrap());
        }
    }
    ids.sort();
    ids
}

#[test]
fn each_row_is_there_once_whatever_call_fails() {
    let node = Node::start();
    let writer = Memory::start();
    for from in [0, 10, 20] {
        write(&node, &mut *sink(&node, &writer, &[], &["t"]), from..from + 10);
    }
    for fails in [Fails::Before, Fails::Behind] {
        for at in 0.. {
            let memory = Memory::start();
            let mut first = sink(&node, &memory, &[], &["t"]);
            memory.state.lock().unwrap().fails_at = Some((at, fails));
            let whole = run(&node, &mut *first);
            let calls = std::mem::take(&mut memory.state.lock().unwrap().calls);
            memory.state.lock().unwrap().fails_at = None;
            let seen = ids(&memory);
            assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{fails:?} {at} {calls:?}: {seen:?}");
            if whole.is_ok() {
                // All calls were tried.
                assert!(at > 20, "{calls:?}");
                break;
            }
            // The same node goes on, or another life of it.
            let mut second = sink(&node, &memory, &[], &["t"]);
            let again: &mut dyn OutboxSink = if at % 2 == 0 { &mut *first } else { &mut *second };
            assert_eq!(run(&node, again).unwrap(), 30, "{fails:?} {at} {calls:?}");
            assert_eq!(ids(&memory), (0..30).collect::<Vec<i64>>(), "{fails:?} {at} {calls:?}");
            let state = memory.state.lock().unwrap();
            assert!(state.uploads.is_empty(), "uploads are left: {:?}", state.uploads);
            let commits = state.objects.keys().filter(|key| key.contains("/.commit-")).count();
            assert_eq!(commits, 1, "{:?}", state.objects.keys());
        }
    }
}

#[test]
fn partitions_are_folders_and_names_are_of_the_job_and_the_first_row() {
    let (memory, node) = (Memory::start(), Node::start());
    let mut sink = sink(&node, &memory, &[], &["t"]);
    write(&node, &mut *sink, 0..4);
    run(&node, &mut *sink).unwrap();
    let seen = memory.seen();
    let names: Vec<&str> = seen.iter().map(|(key, _)| key.as_str()).collect();
    let expected =
        ["in/t=e%3Dv/part-job-7-00000000000000000000.json", "in/t=odd/part-job-7-00000000000000000001.json"];
    assert_eq!(names, expected);
    assert_eq!(seen[0].1, b"{\"id\":0}\n{\"id\":2}\n");
}

#[test]
fn a_node_that_was_given_up_commits_nothing_more() {
    let (memory, node) = (Memory::start(), Node::start());
    let mut first = sink(&node, &memory, &[], &[]);
    write(&node, &mut *first, 0..4);
    first.open().unwrap();
    let partition = node.log.topic("outbox").unwrap().partitions[0];
    let mut bytes = Vec::new();
    node.log.read(partition, base::Offset(0), 1 << 20).unwrap()[0].read(&mut bytes).unwrap();
    first.apply(&bytes).unwrap();
    let mut second = sink(&node, &memory, &[], &[]);
    assert_eq!(second.open().unwrap(), 0);
    let error = first.commit(true, 1).unwrap_err();
    assert_eq!(error.kind, base::ErrorKind::Fenced, "{}", error.message);
    assert!(error.message.contains("stop one of them"), "{}", error.message);
    assert!(memory.seen().is_empty());
    second.apply(&bytes).unwrap();
    assert_eq!(second.commit(true, 1).unwrap(), 4);
    assert_eq!(ids(&memory), [0, 1, 2, 3]);
}

/// Gives an open sink a batch of the outbox, and commits it.
fn commit_next(node: &Node, sink: &mut dyn OutboxSink, from: i64) -> i64 {
    let partition = node.log.topic("outbox").unwrap().partitions[0];
    let mut bytes = Vec::new();
    node.log.read(partition, base::Offset(from), 1).unwrap()[0].read(&mut bytes).unwrap();
    sink.apply(&bytes).unwrap();
    sink.commit(true, 1).unwrap()
}

#[test]
fn a_node_that_was_given_up_long_ago_commits_nothing_and_leaves_nothing() {
    let (memory, node) = (Memory::start(), Node::start());
    let mut first = sink(&node, &memory, &[], &[]);
    for from in [0, 4, 8] {
        write(&node, &mut *first, from..from + 4);
    }
    first.open().unwrap();
    let partition = node.log.topic("outbox").unwrap().partitions[0];
    let mut bytes = Vec::new();
    node.log.read(partition, base::Offset(0), 1 << 20).unwrap()[0].read(&mut bytes).unwrap();
    first.apply(&bytes).unwrap();
    // The number that the first would take is free again.
    let mut second = sink(&node, &memory, &[], &[]);
    second.open().unwrap();
    assert_eq!(commit_next(&node, &mut *second, 0), 4);
    assert_eq!(commit_next(&node, &mut *second, 4), 8);
    // Its readers have moved a file away, so that its name is free, too.
    memory.state.lock().unwrap().objects.retain(|key, _| !key.contains("/part-"));
    let error = first.commit(true, 1).unwrap_err();
    assert_eq!(error.kind, base::ErrorKind::Fenced, "{}", error.message);
    assert!(memory.seen().is_empty(), "{:?}", memory.seen());
    assert!(memory.state.lock().unwrap().uploads.is_empty());
    assert_eq!(commit_next(&node, &mut *second, 8), 12);
    assert_eq!(ids(&memory), [8, 9, 10, 11]);
}

#[test]
fn files_may_be_taken_away_as_soon_as_they_are_there() {
    let (memory, node) = (Memory::start(), Node::start());
    write(&node, &mut *sink(&node, &memory, &[], &[]), 0..4);
    assert_eq!(run(&node, &mut *sink(&node, &memory, &[], &[])).unwrap(), 4);
    memory.state.lock().unwrap().objects.retain(|key, _| !key.contains("/part-"));
    for _ in 0..2 {
        assert_eq!(sink(&node, &memory, &[], &[]).open().unwrap(), 4);
    }
    assert!(memory.seen().is_empty());
}

#[test]
fn an_object_of_somebody_else_does_not_stand_for_a_file() {
    let (memory, node) = (Memory::start(), Node::start());
    write(&node, &mut *sink(&node, &memory, &[], &[]), 0..4);
    memory.put("in/part-job-7-00000000000000000000.json", b"{\"id\":9}\n");
    run(&node, &mut *sink(&node, &memory, &[], &[])).unwrap();
    assert_eq!(ids(&memory), [0, 1, 2, 3]);
}

#[test]
fn puts_that_meet_others_are_tried_again() {
    let (memory, node) = (Memory::start(), Node::start());
    write(&node, &mut *sink(&node, &memory, &[], &[]), 0..4);
    memory.state.lock().unwrap().conflicts = 2;
    assert_eq!(run(&node, &mut *sink(&node, &memory, &[], &[])).unwrap(), 4);
    // More than that is for the job's restarts.
    memory.state.lock().unwrap().conflicts = 100;
    let error = sink(&node, &memory, &[], &[]).open().unwrap_err();
    assert_eq!(error.kind, base::ErrorKind::Retry, "{}", error.message);
}

#[test]
fn large_files_go_in_parts_and_small_ones_wait_for_their_time() {
    let (memory, node) = (Memory::start(), Node::start());
    let mut sink = sink(&node, &memory, &[("sink.rolling-policy.file-size", "17 mb")], &[]);
    node.create_topic("outbox", 1);
    let text = "x".repeat(700_000);
    let mut expected = Vec::new();
    for id in 0..30 {
        let columns: Vec<arrow_array::ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![id])), Arc::new(StringArray::from(vec![text.as_str()]))];
        let schema = schema(&[("id", DataType::Int64), ("t", DataType::Utf8)]);
        node.append(
            "outbox",
            sink.encode(&batch(RecordBatch::try_new(schema, columns).unwrap()), 1).unwrap(),
        );
        expected.extend_from_slice(format!("{{\"id\":{id},\"t\":\"{text}\"}}\n").as_bytes());
    }
    sink.open().unwrap();
    let partition = node.log.topic("outbox").unwrap().partitions[0];
    let mut committed = Vec::new();
    for slice in node.log.read(partition, base::Offset(0), 1 << 26).unwrap() {
        let mut bytes = Vec::new();
        slice.read(&mut bytes).unwrap();
        sink.apply(&bytes).unwrap();
        committed.push(sink.commit(false, 1).unwrap());
    }
    // Files are finished by their size alone; the rest waits.
    assert_eq!((committed[0], committed[29]), (0, 26));
    assert_eq!(memory.seen().len(), 1);
    assert_eq!(sink.commit(true, 1).unwrap(), 30);
    let seen = memory.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().flat_map(|(_, bytes)| bytes).eq(&expected), "other bytes");
    let parts = memory.state.lock().unwrap().calls.iter().filter(|call| call.contains("partNumber")).count();
    assert_eq!(parts, 4, "two full parts, and what is left of each file");
}

#[test]
fn a_bucket_that_is_not_there_or_shut_is_said() {
    let (memory, node) = (Memory::start(), Node::start());
    let error = sink(&node, &memory, &[("path", "s3://missing/in")], &[]).open().unwrap_err();
    assert_eq!(error.kind, base::ErrorKind::NotFound);
    assert!(error.message.contains("create the bucket"), "{}", error.message);
    memory.state.lock().unwrap().fails_at = Some((0, Fails::Before));
    let error = sink(&node, &memory, &[], &[]).open().unwrap_err();
    assert_eq!(error.kind, base::ErrorKind::Invalid);
    assert!(error.message.contains("AccessDenied"), "{}", error.message);
}
