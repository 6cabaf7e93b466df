//! Queues of SQS without AWS: what a table may say, and a feed and a sink against a scripted server.

use super::*;
use crate::service::testing::Served;
use arrow_array::{Int64Array, StringArray};
use dataflow::connector::Role;
use dataflow::feed::{Feed, FeedRequest, Haul};
use dataflow::sink::{OutboxSink, Sink};
use dataflow::table::MetadataColumn;
use serde_json::{Value, json};
use std::collections::BTreeMap as Map;
use std::sync::Mutex;
use std::time::Duration;

const URL: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders";

fn orders(options: &[(&str, &str)], metadata: &[(&str, DataType)]) -> Arc<TableDefinition> {
    let mut all = vec![("connector", "sqs"), ("queue-url", URL), ("format", "json")];
    all.extend_from_slice(options);
    let table = table(schema(&[("id", DataType::Int64), ("t", DataType::Utf8)]), &all);
    let column = |(key, data_type): &(&str, DataType)| MetadataColumn {
        name: key.to_string(),
        key: key.to_string(),
        data_type: data_type.clone(),
        is_virtual: false,
    };
    Arc::new(TableDefinition { metadata: metadata.iter().map(column).collect(), ..(*table).clone() })
}

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    type Case<'a> = (Role, &'a [(&'a str, &'a str)], &'a [(&'a str, DataType)], &'a str);
    let node = Node::start();
    let fifo = ("queue-url", "https://sqs.eu-west-1.amazonaws.com/1/orders.fifo");
    let cases: &[Case<'_>] = &[
        (Role::Source, &[], &[], ""),
        (Role::Sink, &[], &[], ""),
        (Role::Source, &[fifo], &[], ""),
        (Role::Sink, &[fifo], &[], "give 'message-group-id'"),
        (Role::Sink, &[fifo, ("message-group-id", "g")], &[], ""),
        (Role::Sink, &[fifo], &[("message-group-id", DataType::Utf8)], ""),
        (
            Role::Sink,
            &[fifo, ("message-group-id", "g"), ("delay-seconds", "5")],
            &[],
            "delays all of its messages alike",
        ),
        (Role::Sink, &[], &[("message-deduplication-id", DataType::Utf8)], "only a FIFO queue"),
        (Role::Sink, &[], &[("message-id", DataType::Utf8)], "'message-id' cannot be written"),
        (Role::Source, &[("queue-url", "orders")], &[], "not an address of the web"),
        (Role::Source, &[("queue-url", "https://sqs.eu-west-1.amazonaws.com/")], &[], "names no queue"),
        (Role::Source, &[("message-timeout", "13 h")], &[], "from 1 s to 12 h"),
        (Role::Source, &[("wait-time-second", "1")], &[], "'wait-time-seconds'"),
        (Role::Source, &[("max-number-of-messages", "11")], &[], "from 1 to 10"),
        (Role::Sink, &[("aws.credentials.basic.secretkey", "x")], &[], "belong together"),
    ];
    for (role, options, metadata, words) in cases {
        let checked = node.connector("sqs").check(&orders(options, metadata), *role);
        let told: Vec<String> =
            checked.err().unwrap_or_default().into_iter().map(|error| error.message).collect();
        let told = told.join("; ");
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{options:?}: {told}");
    }
}

/// A queue in memory: messages by receipt, when they are seen again, and what is said wrong of the next calls.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) waiting: Vec<String>,
    pub(super) received: Map<String, String>,
    /// By action: answers in place of the right ones.
    pub(super) wrong: Map<&'static str, Vec<Value>>,
    pub(super) calls: Vec<(String, Value)>,
}

pub(super) fn serve(queue: &Arc<Mutex<Queue>>) -> Served {
    let queue = queue.clone();
    Served::start(move |request| {
        let mut queue = queue.lock().unwrap();
        let action = request.split("AmazonSQS.").nth(1).unwrap().split("\r\n").next().unwrap().to_string();
        let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        queue.calls.push((action.clone(), body.clone()));
        if let Some(wrong) = queue.wrong.get_mut(action.as_str())
            && !wrong.is_empty()
        {
            let wrong = wrong.remove(0);
            return (if wrong["__type"].is_string() { 400 } else { 200 }, wrong.to_string());
        }
        let entries = body["Entries"].as_array().cloned().unwrap_or_default();
        let all =
            |entries: &[Value]| entries.iter().map(|entry| json!({"Id": entry["Id"]})).collect::<Vec<_>>();
        let answer = match action.as_str() {
            "ReceiveMessage" => {
                let count = (body["MaxNumberOfMessages"].as_u64().unwrap() as usize).min(queue.waiting.len());
                let taken: Vec<String> = queue.waiting.drain(..count).collect();
                let mut messages = Vec::new();
                for text in taken {
                    let id = format!("id-{text}");
                    messages.push(json!({"MessageId": id, "ReceiptHandle": format!("r-{text}"), "Body": text,
                                         "Attributes": {"SentTimestamp": "5", "ApproximateReceiveCount": "1"}}));
                    queue.received.insert(format!("r-{text}"), text);
                }
                json!({"Messages": messages})
            }
            "DeleteMessageBatch" => {
                for entry in &entries {
                    queue.received.remove(entry["ReceiptHandle"].as_str().unwrap());
                }
                json!({"Successful": all(&entries), "Failed": []})
            }
            _ => json!({"Successful": all(&entries), "Failed": []}),
        };
        (200, answer.to_string())
    })
}

fn options(served: &Served) -> Vec<(&str, &str)> {
    vec![
        ("aws.endpoint", served.url.as_str()),
        ("aws.credentials.basic.accesskeyid", "id"),
        ("aws.credentials.basic.secretkey", "secret"),
        ("wait-time-seconds", "0"),
        ("timeout", "5 s"),
    ]
}

fn feed(node: &Node, served: &Served, more: &[(&str, &str)]) -> Box<dyn Feed> {
    let all: Vec<(&str, &str)> = options(served).into_iter().chain(more.iter().copied()).collect();
    let mut table = (*orders(&all, &[])).clone();
    table.metadata.clear();
    let request = FeedRequest { table: Arc::new(table), identity: "job".into() };
    node.connector("sqs").feed(request).unwrap()
}

fn until(feed: &mut dyn Feed, count: usize) -> Haul {
    let mut all = Haul::default();
    for _ in 0..3000 {
        let haul = feed.poll(20).unwrap();
        all.ticket = haul.ticket;
        all.records.extend(haul.records);
        if all.records.len() >= count {
            return all;
        }
    }
    panic!("{} records instead of {count}", all.records.len());
}

fn actions(queue: &Mutex<Queue>, action: &str) -> Vec<Value> {
    let queue = queue.lock().unwrap();
    queue.calls.iter().filter(|(called, _)| called == action).map(|(_, body)| body.clone()).collect()
}

#[test]
fn messages_are_deleted_once_they_have_landed_and_single_failures_are_tried_again() {
    let queue = Arc::new(Mutex::new(Queue::default()));
    queue.lock().unwrap().waiting = (0..57).map(|n| n.to_string()).collect();
    let failed = json!({"Successful": [], "Failed": [
        {"Id": "3", "Code": "InternalError", "SenderFault": false}, {"Id": "4", "Code": "ReceiptHandleIsInvalid", "SenderFault": true}]});
    queue.lock().unwrap().wrong.insert("DeleteMessageBatch", vec![failed]);
    let (node, served) = (Node::start(), serve(&queue));
    let mut feed = feed(&node, &served, &[]);
    feed.open(None).unwrap();
    let haul = until(&mut *feed, 57);
    // Calls that are made at once may be served in any order.
    let mut numbers: Vec<u32> = haul
        .records
        .iter()
        .map(|record| String::from_utf8(record.value.clone().unwrap()).unwrap().parse().unwrap())
        .collect();
    let first = &haul.records[0];
    assert_eq!(first.id, Some(format!("id-{}", numbers[0]).into_bytes()));
    assert_eq!(first.timestamp_ms, 5);
    numbers.sort();
    assert_eq!(numbers, (0..57).collect::<Vec<_>>());
    assert!(actions(&queue, "DeleteMessageBatch").is_empty(), "deleted before they landed");
    feed.confirm(haul.ticket).unwrap();
    // Of the batch that failed in part, what passes was tried again, and what is gone was not.
    let deletes = actions(&queue, "DeleteMessageBatch");
    assert_eq!(deletes.len(), 7);
    assert_eq!(deletes[6]["Entries"].as_array().unwrap().len(), 1);
    assert_eq!(deletes[6]["Entries"][0]["ReceiptHandle"], deletes[0]["Entries"][3]["ReceiptHandle"]);
}

#[test]
fn what_is_held_is_renewed_and_no_more_is_received_than_may_be_outstanding() {
    let queue = Arc::new(Mutex::new(Queue::default()));
    queue.lock().unwrap().waiting = (0..40).map(|n| n.to_string()).collect();
    let (node, served) = (Node::start(), serve(&queue));
    let mut feed = feed(&node, &served, &[("max-outstanding-messages", "20"), ("message-timeout", "4 s")]);
    feed.open(None).unwrap();
    let first = until(&mut *feed, 20);
    for _ in 0..4 {
        assert!(feed.poll(10).unwrap().records.is_empty(), "more than may be outstanding");
    }
    std::thread::sleep(Duration::from_millis(2_400));
    feed.keep_alive().unwrap();
    let renewed: usize = actions(&queue, "ChangeMessageVisibilityBatch")
        .iter()
        .map(|call| call["Entries"].as_array().unwrap().len())
        .sum();
    assert_eq!(renewed, 20);
    feed.confirm(first.ticket).unwrap();
    assert!(queue.lock().unwrap().received.is_empty());
    until(&mut *feed, 20);
}

#[test]
fn what_lay_in_the_socket_counts_as_held_since_it_may_have_come() {
    let queue = Arc::new(Mutex::new(Queue::default()));
    let (node, served) = (Node::start(), serve(&queue));
    let mut feed = feed(&node, &served, &[("message-timeout", "4 s")]);
    feed.open(None).unwrap();
    queue.lock().unwrap().waiting = vec!["0".into()];
    // The call that waits is answered at once, and looked at late.
    let haul = feed.poll(0).unwrap();
    std::thread::sleep(Duration::from_millis(2_400));
    feed.keep_alive().unwrap();
    let renewed = actions(&queue, "ChangeMessageVisibilityBatch");
    assert_eq!(renewed.len(), 1, "{} records were polled", haul.records.len());
    assert_eq!(renewed[0]["Entries"][0]["ReceiptHandle"], "r-0");
}

#[test]
fn fewer_messages_may_be_outstanding_than_one_call_can_bring() {
    let queue = Arc::new(Mutex::new(Queue::default()));
    queue.lock().unwrap().waiting = (0..3).map(|n| n.to_string()).collect();
    let (node, served) = (Node::start(), serve(&queue));
    let mut feed = feed(&node, &served, &[("max-outstanding-messages", "1")]);
    feed.open(None).unwrap();
    for n in 0..3 {
        let haul = until(&mut *feed, 1);
        assert_eq!(haul.records[0].value.as_deref(), Some(n.to_string().as_bytes()));
        feed.confirm(haul.ticket).unwrap();
    }
}

#[test]
fn a_queue_that_is_not_there_is_said_at_once() {
    let queue = Arc::new(Mutex::new(Queue::default()));
    let missing = json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "The specified queue does not exist."});
    queue.lock().unwrap().wrong.insert("ReceiveMessage", vec![missing]);
    let (node, served) = (Node::start(), serve(&queue));
    let error = feed(&node, &served, &[]).open(None).unwrap_err();
    assert_eq!(error.kind, base::ErrorKind::NotFound);
    assert!(error.message.contains("create the queue"), "{}", error.message);
}

#[test]
fn binary_bodies_are_decoded_from_base64() {
    let queue = Arc::new(Mutex::new(Queue::default()));
    queue.lock().unwrap().waiting = vec!["/wA=".into(), "?".into()];
    let (node, served) = (Node::start(), serve(&queue));
    let mut feed = feed(&node, &served, &[("body-encoding", "base64"), ("deduplicate", "false")]);
    feed.open(None).unwrap();
    let records = until(&mut *feed, 2).records;
    assert_eq!(records[0].value.as_deref(), Some(&[0xff, 0][..]));
    assert_eq!((records[1].value.as_deref(), &records[1].id), (Some(&b"?"[..]), &None));
}

fn sink(node: &Node, served: &Served, more: &[(&str, &str)]) -> Box<dyn OutboxSink> {
    let all: Vec<(&str, &str)> = options(served).into_iter().chain(more.iter().copied()).collect();
    let table = orders(&all, &[]);
    match node.connector("sqs").sink(&table, "job").unwrap() {
        Sink::Outbox(sink) => sink,
        _ => panic!("another sink"),
    }
}

/// The rows through an outbox into the sink.
fn write(node: &Node, sink: &mut dyn OutboxSink, texts: &[&str]) {
    let ids = Int64Array::from_iter_values(0..texts.len() as i64);
    let columns: Vec<arrow_array::ArrayRef> =
        vec![Arc::new(ids), Arc::new(StringArray::from_iter_values(texts))];
    let schema = schema(&[("id", DataType::Int64), ("t", DataType::Utf8)]);
    let rows = batch(RecordBatch::try_new(schema, columns).unwrap());
    let batches = sink.encode(&rows, 1).unwrap();
    if node.log.topic("outbox").is_none() {
        node.create_topic("outbox", 1);
    }
    node.append("outbox", batches);
}

fn apply(node: &Node, sink: &mut dyn OutboxSink) -> Result<(), dataflow::sink::SinkError> {
    let partition = node.log.topic("outbox").unwrap().partitions[0];
    for slice in node.log.read(partition, base::Offset(0), 1 << 20).unwrap() {
        let mut bytes = Vec::new();
        slice.read(&mut bytes).unwrap();
        sink.apply(&bytes)?;
    }
    Ok(())
}

fn sent(queue: &Mutex<Queue>) -> Vec<Vec<String>> {
    let bodies = |call: &Value| {
        let entries = call["Entries"].as_array().unwrap();
        entries.iter().map(|entry| entry["MessageBody"].as_str().unwrap().to_string()).collect()
    };
    actions(queue, "SendMessageBatch").iter().map(bodies).collect()
}

#[test]
fn of_a_batch_what_passes_is_sent_again_and_what_is_refused_becomes_a_dead_letter() {
    let queue = Arc::new(Mutex::new(Queue::default()));
    let answer = json!({
        "Successful": [{"Id": "0"}],
        "Failed": [{"Id": "1", "Code": "InternalError", "SenderFault": false, "Message": "later"},
                   {"Id": "2", "Code": "InvalidMessageContents", "SenderFault": true, "Message": "never"}],
    });
    queue.lock().unwrap().wrong.insert("SendMessageBatch", vec![answer]);
    let (node, served) = (Node::start(), serve(&queue));
    let mut sink = sink(&node, &served, &[("dead-letter.topic", "letters")]);
    write(&node, &mut *sink, &["a", "b", "c"]);
    assert_eq!(sink.open().unwrap(), 0);
    apply(&node, &mut *sink).unwrap();
    assert_eq!(sink.commit(false, 1).unwrap(), 0, "a position behind a letter that is in no topic");
    let letters = sink.take_rejected();
    assert_eq!(letters.len(), 1);
    assert!(
        letters[0].reason.contains("never") && letters[0].value.as_deref() == Some(br#"{"id":2,"t":"c"}"#)
    );
    assert_eq!(sink.commit(false, 1).unwrap(), 3);
    let sent = sent(&queue);
    assert_eq!((sent[0].len(), sent[1].as_slice()), (3, &[r#"{"id":1,"t":"b"}"#.to_string()][..]));
    assert_eq!(sink.open().unwrap(), 3);
}

#[test]
fn a_batch_that_is_refused_as_a_whole_is_sent_one_by_one() {
    let queue = Arc::new(Mutex::new(Queue::default()));
    let whole = json!({"__type": "com.amazonaws.sqs#BatchRequestTooLong", "message": "too long"});
    let one = json!({"__type": "com.amazonaws.sqs#InvalidParameterValueException", "message": "this one"});
    queue.lock().unwrap().wrong.insert("SendMessageBatch", vec![whole, one]);
    let (node, served) = (Node::start(), serve(&queue));
    let mut sink = sink(&node, &served, &[("sink.requests.max-inflight", "1")]);
    write(&node, &mut *sink, &["a", "b"]);
    sink.open().unwrap();
    apply(&node, &mut *sink).unwrap();
    let error = sink.commit(false, 1).unwrap_err();
    assert!(
        error.message.contains("this one") && error.message.contains("'dead-letter.topic'"),
        "{}",
        error.message
    );
    assert_eq!(sent(&queue).iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1]);
}

#[test]
fn characters_that_no_queue_takes_and_groups_of_fifo_queues_are_looked_at_before() {
    let queue = Arc::new(Mutex::new(Queue::default()));
    let (node, served) = (Node::start(), serve(&queue));
    let fifo = [
        ("queue-url", "http://x/1/orders.fifo"),
        ("message-group-id", "g"),
        ("dead-letter.topic", "letters"),
        ("format", "raw"),
    ];
    let all: Vec<(&str, &str)> = options(&served).into_iter().chain(fifo).collect();
    let mut table = (*orders(&all, &[])).clone();
    table.schema = schema(&[("t", DataType::Utf8)]);
    let Sink::Outbox(mut sink) = node.connector("sqs").sink(&Arc::new(table), "job").unwrap() else {
        panic!()
    };
    let texts: arrow_array::ArrayRef = Arc::new(StringArray::from(vec!["good", "bad\u{1}", "better"]));
    let rows = batch(RecordBatch::try_new(schema(&[("t", DataType::Utf8)]), vec![texts]).unwrap());
    let batches = sink.encode(&rows, 1).unwrap();
    node.create_topic("outbox", 1);
    node.append("outbox", batches);
    sink.open().unwrap();
    apply(&node, &mut *sink).unwrap();
    sink.commit(false, 1).unwrap();
    assert!(sink.take_rejected()[0].reason.contains("U+0001"));
    let call = actions(&queue, "SendMessageBatch").remove(0);
    let ids: Vec<&str> = call["Entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["MessageDeduplicationId"].as_str().unwrap())
        .collect();
    assert!(ids[0].ends_with("-0") && ids[1].ends_with("-2") && ids[0].len() <= 128, "{ids:?}");
    assert_eq!(call["Entries"][0]["MessageGroupId"], "g");
}
