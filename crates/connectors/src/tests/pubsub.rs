//! Pub/Sub without Google: what a table may say, and a feed and a sink against a scripted server.

use super::*;
use crate::service::testing::{Answer, Served};
use arrow_array::{Int64Array, StringArray};
use base::ErrorKind;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dataflow::connector::Role;
use dataflow::feed::{Feed, FeedRequest, Haul};
use dataflow::sink::{OutboxSink, Sink, SinkError};
use dataflow::table::MetadataColumn;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

fn orders(options: &[(&str, &str)], metadata: &[(&str, DataType)]) -> Arc<TableDefinition> {
    let mut all: BTreeMap<&str, &str> =
        [("connector", "pubsub"), ("project", "p"), ("topic", "orders"), ("subscription", "to-shop")].into();
    all.insert("format", "json");
    all.extend(options.iter().copied());
    let all: Vec<(&str, &str)> = all.into_iter().filter(|(_, value)| *value != "-").collect();
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
    let cases: &[Case<'_>] = &[
        (Role::Source, &[], &[], ""),
        (Role::Sink, &[("key.fields", "t;id")], &[("ordering-key", DataType::Utf8)], ""),
        (Role::Source, &[("subscription", "-")], &[], "needs 'subscription'"),
        (Role::Sink, &[("topic", "-")], &[], "needs 'topic'"),
        (Role::Sink, &[("topic", "x")], &[], "is no name"),
        (Role::Sink, &[("key.fields", "x")], &[], "no column 'x'"),
        (
            Role::Sink,
            &[],
            &[("publish-time", crate::landed::instant_type())],
            "'publish-time' cannot be written",
        ),
        (Role::Sink, &[("id-attribute", "google")], &[], "does not begin with 'goog'"),
        (Role::Sink, &[("sink.batching.element-count-threshold", "1001")], &[], "from 1 to 1000"),
        (Role::Sink, &[("sink.batching.request-byte-threshold", "11 mb")], &[], "to 10000000 bytes"),
        (
            Role::Source,
            &[("emulator-endpoint", "h:1"), ("endpoint", "https://h")],
            &[],
            "exclude one another",
        ),
        (Role::Source, &[("endpoint", "h:1")], &[], ""),
        (Role::Source, &[("subscriptions", "s")], &[], "'subscription'"),
    ];
    for (role, options, metadata, words) in cases {
        let checked = node.connector("pubsub").check(&orders(options, metadata), *role);
        let told: Vec<String> =
            checked.err().unwrap_or_default().into_iter().map(|error| error.message).collect();
        let told = told.join("; ");
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{options:?}: {told}");
    }
}

/// A status, headers and a body.
type Refusal = (u16, &'static [(&'static str, &'static str)], Value);

/// A subscription and a topic in memory.
#[derive(Default)]
struct Server {
    facts: Value,
    waiting: VecDeque<Value>,
    leased: BTreeMap<String, Value>,
    receipts: u64,
    /// By method: answers in place of the right ones, with the status.
    wrong: BTreeMap<&'static str, VecDeque<Refusal>>,
    calls: Vec<(String, Value)>,
}

type Shared = Arc<Mutex<Server>>;

impl Server {
    fn answer(&mut self, method: &str, body: &Value) -> Value {
        let receipts = || body["ackIds"].as_array().cloned().unwrap_or_default();
        match method {
            "pull" => {
                let count = body["maxMessages"].as_u64().unwrap() as usize;
                let taken: Vec<Value> = self.waiting.drain(..count.min(self.waiting.len())).collect();
                let mut received = Vec::new();
                for message in taken {
                    self.receipts += 1;
                    let receipt = format!("r-{}", self.receipts);
                    received.push(json!({"ackId": receipt, "message": message}));
                    self.leased.insert(receipt, message);
                }
                json!({"receivedMessages": received})
            }
            "acknowledge" => {
                for receipt in receipts() {
                    self.leased.remove(receipt.as_str().unwrap());
                }
                json!({})
            }
            "publish" => {
                let count = body["messages"].as_array().unwrap().len();
                json!({"messageIds": vec!["1"; count]})
            }
            _ => self.facts.clone(),
        }
    }
}

fn message(id: u64, key: &str) -> Value {
    json!({"messageId": id.to_string(), "data": STANDARD.encode(id.to_string()), "orderingKey": key,
           "publishTime": "1970-01-01T00:00:05Z", "attributes": {"a": "x", "own": format!("own-{id}")}})
}

fn server() -> (Shared, Served) {
    let facts = json!({"name": "projects/p/subscriptions/to-shop", "topic": "t", "ackDeadlineSeconds": 10});
    let shared = Arc::new(Mutex::new(Server { facts, ..Server::default() }));
    let server = shared.clone();
    let served = Served::start_with(move |asked| -> Answer {
        let mut server = server.lock().unwrap();
        let path = asked.head.split(' ').nth(1).unwrap();
        let (name, method) = path.split_once(':').unwrap_or((path, ""));
        let is_topic = name == "/v1/projects/p/topics/orders";
        assert!(is_topic || name == "/v1/projects/p/subscriptions/to-shop", "{name}");
        assert!(!asked.head.contains("authorization"), "an emulator was told a token");
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        server.calls.push((method.to_string(), body.clone()));
        if let Some((status, headers, body)) = server.wrong.get_mut(method).and_then(VecDeque::pop_front) {
            let headers = headers.iter().map(|(name, value)| (*name, value.to_string())).collect();
            return Some((status, headers, body.to_string().into_bytes()));
        }
        Some((200, Vec::new(), server.answer(method, &body).to_string().into_bytes()))
    });
    (shared, served)
}

fn options(served: &Served) -> Vec<(&str, &str)> {
    vec![("emulator-endpoint", served.url.as_str()), ("timeout", "5 s")]
}

fn feed(node: &Node, served: &Served, more: &[(&str, &str)]) -> Box<dyn Feed> {
    let all: Vec<(&str, &str)> = options(served).into_iter().chain(more.iter().copied()).collect();
    let metadata = [("ordering-key", DataType::Utf8), ("publish-time", crate::landed::instant_type())];
    let request = FeedRequest { table: orders(&all, &metadata), identity: "job".into() };
    node.connector("pubsub").feed(request).unwrap()
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

fn calls(server: &Shared, method: &str) -> Vec<Value> {
    let server = server.lock().unwrap();
    server.calls.iter().filter(|(called, _)| called == method).map(|(_, body)| body.clone()).collect()
}

fn receipts(calls: &[Value]) -> usize {
    calls.iter().map(|call| call["ackIds"].as_array().unwrap().len()).sum()
}

fn values(haul: &Haul) -> Vec<u64> {
    let texts = haul.records.iter().map(|record| String::from_utf8(record.value.clone().unwrap()).unwrap());
    texts.map(|text| text.parse().unwrap()).collect()
}

#[test]
fn messages_are_acknowledged_once_they_have_landed() {
    let (server, served) = server();
    server.lock().unwrap().waiting = (0..2500).map(|n| message(n, "")).collect();
    let node = Node::start();
    let mut feed = feed(&node, &served, &[]);
    feed.open(None).unwrap();
    let haul = until(&mut *feed, 2500);
    let first = &haul.records[0];
    assert_eq!((first.id.as_deref(), first.timestamp_ms, &first.key), (Some(&b"0"[..]), 5000, &None));
    let names: Vec<&str> = first.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["m:publish-time"]);
    let mut all = values(&haul);
    // Pulls that are made at once may be served in any order.
    all.sort();
    assert_eq!(all, (0..2500).collect::<Vec<_>>());
    assert!(calls(&server, "acknowledge").is_empty(), "acknowledged before they landed");
    feed.confirm(haul.ticket).unwrap();
    assert_eq!(receipts(&calls(&server, "acknowledge")), 2500);
    assert!(server.lock().unwrap().leased.is_empty());
}

#[test]
fn an_attribute_that_is_empty_makes_no_message_a_double() {
    let (server, served) = server();
    let mut messages = [message(1, ""), message(2, ""), message(3, "")];
    messages[0]["attributes"]["own"] = "".into();
    messages[1]["attributes"]["own"] = "".into();
    server.lock().unwrap().waiting = messages.into();
    let node = Node::start();
    let mut feed = feed(&node, &served, &[("id-attribute", "own")]);
    feed.open(None).unwrap();
    let haul = until(&mut *feed, 3);
    let ids: Vec<&[u8]> = haul.records.iter().map(|record| record.id.as_deref().unwrap()).collect();
    assert_eq!(ids, [&b"1"[..], b"2", b"own-3"]);
}

#[test]
fn where_messages_have_keys_one_pull_is_under_way_and_the_key_lands() {
    let (server, served) = server();
    server.lock().unwrap().waiting = (0..2500).map(|n| message(n, "k")).collect();
    let node = Node::start();
    let mut feed = feed(&node, &served, &[("id-attribute", "own")]);
    feed.open(None).unwrap();
    let haul = until(&mut *feed, 2500);
    assert_eq!(values(&haul), (0..2500).collect::<Vec<_>>());
    let record = &haul.records[2499];
    assert_eq!((record.key.as_deref(), record.id.as_deref()), (Some(&b"k"[..]), Some(&b"own-2499"[..])));
    assert!(record.headers.contains(&("m:ordering-key".into(), Some(b"k".to_vec()))));
}

#[test]
fn what_is_held_keeps_its_lease_and_no_more_is_pulled_than_may_be_outstanding() {
    let (server, served) = server();
    server.lock().unwrap().waiting = (0..40).map(|n| message(n, "")).collect();
    server.lock().unwrap().facts["ackDeadlineSeconds"] = 4.into();
    let node = Node::start();
    let mut feed = feed(&node, &served, &[("scan.flow-control.max-outstanding-element-count", "20")]);
    feed.open(None).unwrap();
    let first = until(&mut *feed, 20);
    for _ in 0..4 {
        assert!(feed.poll(10).unwrap().records.is_empty(), "more than may be outstanding");
    }
    std::thread::sleep(Duration::from_millis(2_400));
    feed.keep_alive().unwrap();
    let renewed = calls(&server, "modifyAckDeadline");
    assert_eq!((receipts(&renewed), &renewed[0]["ackDeadlineSeconds"]), (20, &json!(4)));
    // Receipts that hold no more are no error: those messages come again.
    let gone = json!({"error": {"status": "INVALID_ARGUMENT", "message": "some",
                                "details": [{"metadata": {"r-1": "PERMANENT_FAILURE_INVALID_ACK_ID"}}]}});
    server.lock().unwrap().wrong.insert("acknowledge", [(400, &[][..], gone)].into());
    feed.confirm(first.ticket).unwrap();
    until(&mut *feed, 20);
}

#[test]
fn bytes_bound_what_is_outstanding_as_well() {
    let (server, served) = server();
    server.lock().unwrap().waiting = (0..2000).map(|n| message(n, "")).collect();
    let node = Node::start();
    let limit = ("scan.flow-control.max-outstanding-request-bytes", "1 kb");
    let mut feed = feed(&node, &served, &[limit]);
    feed.open(None).unwrap();
    let first = until(&mut *feed, 1000);
    for _ in 0..4 {
        assert!(feed.poll(10).unwrap().records.is_empty(), "more than may be outstanding");
    }
    feed.confirm(first.ticket).unwrap();
    until(&mut *feed, 1000);
}

#[test]
fn who_may_only_pull_need_not_be_told_what_the_subscription_is() {
    let (server, served) = server();
    let denied = json!({"error": {"status": "PERMISSION_DENIED", "message": "no"}});
    let missing = json!({"error": {"status": "NOT_FOUND", "message": "Resource not found"}});
    let wrong = [(403, &[][..], denied), (404, &[], missing)];
    server.lock().unwrap().wrong.insert("", wrong.into());
    server.lock().unwrap().waiting = [message(1, "")].into();
    let node = Node::start();
    let mut feed = feed(&node, &served, &[]);
    feed.open(None).unwrap();
    assert_eq!(values(&until(&mut *feed, 1)), [1]);
    let error = feed.open(None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.message.contains("create the subscription"), "{}", error.message);
}

fn sink(
    node: &Node,
    served: &Served,
    more: &[(&str, &str)],
    metadata: &[(&str, DataType)],
) -> Box<dyn OutboxSink> {
    let all: Vec<(&str, &str)> = options(served).into_iter().chain(more.iter().copied()).collect();
    match node.connector("pubsub").sink(&orders(&all, metadata), "job").unwrap() {
        Sink::Outbox(sink) => sink,
        _ => panic!("another sink"),
    }
}

/// The rows through an outbox into the sink.
fn write(node: &Node, sink: &mut dyn OutboxSink, texts: &[&str]) -> Result<i64, SinkError> {
    let ids = Int64Array::from_iter_values(0..texts.len() as i64);
    let columns: Vec<arrow_array::ArrayRef> =
        vec![Arc::new(ids), Arc::new(StringArray::from_iter_values(texts))];
    let schema = schema(&[("id", DataType::Int64), ("t", DataType::Utf8)]);
    let batches = sink.encode(&batch(RecordBatch::try_new(schema, columns).unwrap()), 1).unwrap();
    node.create_topic("outbox", 1);
    node.append("outbox", batches);
    sink.open()?;
    let partition = node.log.topic("outbox").unwrap().partitions[0];
    for slice in node.log.read(partition, base::Offset(0), 1 << 20).unwrap() {
        let mut bytes = Vec::new();
        slice.read(&mut bytes).unwrap();
        sink.apply(&bytes)?;
    }
    sink.commit(false, 1)
}

/// By call: the ordering keys, and the ids of the rows.
fn published(server: &Shared) -> Vec<(Vec<String>, Vec<u64>)> {
    let of = |call: &Value| {
        let messages = call["messages"].as_array().unwrap().iter();
        let row = |message: &Value| {
            let data = STANDARD.decode(message["data"].as_str().unwrap()).unwrap();
            serde_json::from_slice::<Value>(&data).unwrap()["id"].as_u64().unwrap()
        };
        let key = |message: &Value| message["orderingKey"].as_str().unwrap_or_default().to_string();
        let mut keys: Vec<String> = messages.clone().map(key).collect();
        keys.dedup();
        (keys, messages.map(row).collect())
    };
    let mut found: Vec<_> = calls(server, "publish").iter().map(of).collect();
    // Calls that are made at once come in any order.
    found.sort();
    found
}

#[test]
fn rows_of_one_key_go_together_and_in_their_order() {
    let (server, served) = server();
    let node = Node::start();
    let options = [("key.fields", "t"), ("id-attribute", "own")];
    let mut sink = sink(&node, &served, &options, &[]);
    assert_eq!(write(&node, &mut *sink, &["a", "b", "a", "c", "b", "a"]).unwrap(), 6);
    let keys = |key: &str| vec![key.to_string()];
    assert_eq!(
        published(&server),
        [(keys("a"), vec![0, 2, 5]), (keys("b"), vec![1, 4]), (keys("c"), vec![3])]
    );
    let ids: Vec<String> = calls(&server, "publish")
        .iter()
        .flat_map(|call| call["messages"].as_array().unwrap().clone())
        .map(|message| message["attributes"]["own"].as_str().unwrap().to_string())
        .collect();
    let first = ids.iter().find(|id| id.ends_with("-0")).unwrap();
    assert!(first.len() > 10 && ids.iter().all(|id| id[..10] == first[..10]), "{ids:?}");
    assert_eq!(sink.open().unwrap(), 6);
}

#[test]
fn a_key_whose_call_is_full_goes_on_when_that_was_taken() {
    let (server, served) = server();
    let node = Node::start();
    let options = [("key.fields", "t"), ("sink.batching.element-count-threshold", "2")];
    let mut sink = sink(&node, &served, &options, &[]);
    assert_eq!(write(&node, &mut *sink, &["a", "a", "a", "a", "a"]).unwrap(), 5);
    let rows: Vec<Vec<u64>> = published(&server).into_iter().map(|(_, rows)| rows).collect();
    assert_eq!(rows, [vec![0, 1], vec![2, 3], vec![4]]);
}

#[test]
fn of_a_call_that_is_refused_each_message_goes_alone_and_in_its_order() {
    let (server, served) = server();
    let refused = || json!({"error": {"status": "INVALID_ARGUMENT", "message": "not that one"}});
    let wrong = [(400, &[][..], refused()), (400, &[], refused())];
    server.lock().unwrap().wrong.insert("publish", wrong.into());
    let node = Node::start();
    let options = [("key.fields", "t"), ("dead-letter.topic", "letters")];
    let mut sink = sink(&node, &served, &options, &[]);
    assert_eq!(write(&node, &mut *sink, &["a", "a", "a"]).unwrap(), 0, "a letter is in no topic yet");
    let letters = sink.take_rejected();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].reason.contains("not that one"), "{}", letters[0].reason);
    assert_eq!(letters[0].value.as_deref(), Some(&br#"{"id":0,"t":"a"}"#[..]));
    assert_eq!(sink.commit(false, 1).unwrap(), 3);
    let rows: Vec<Value> = calls(&server, "publish");
    let sizes: Vec<usize> = rows.iter().map(|call| call["messages"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [3, 1, 1, 1]);
    assert_eq!(published(&server).iter().map(|(_, rows)| rows[0]).collect::<Vec<_>>(), [0, 0, 1, 2]);
}

#[test]
fn a_service_that_wants_to_be_left_alone_is_asked_later() {
    let (server, served) = server();
    let busy = json!({"error": {"status": "RESOURCE_EXHAUSTED", "message": "slowly"}});
    let wrong = [(429, &[("Retry-After", "0")][..], busy), (503, &[], json!({}))];
    server.lock().unwrap().wrong.insert("publish", wrong.into());
    let node = Node::start();
    let mut sink = sink(&node, &served, &[], &[]);
    assert_eq!(write(&node, &mut *sink, &["a", "b"]).unwrap(), 2);
    assert_eq!(calls(&server, "publish").len(), 3);
}

#[test]
fn a_service_that_names_a_long_pause_is_asked_nothing_before_it_is_over() {
    let (server, served) = server();
    let busy = json!({"error": {"status": "UNAVAILABLE", "message": "in an hour"}});
    server.lock().unwrap().wrong.insert("publish", [(503, &[("Retry-After", "600")][..], busy)].into());
    let node = Node::start();
    let mut sink = sink(&node, &served, &[], &[]);
    let error = write(&node, &mut *sink, &["a", "b"]).unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("in an hour"), "{error}");
    let asked = served.asked().len();
    let error = sink.open().unwrap_err();
    assert!(error.kind == ErrorKind::Retry && error.message.contains("asked again in"), "{error}");
    assert_eq!((served.asked().len(), calls(&server, "publish").len()), (asked, 1));
}

#[test]
fn a_topic_that_is_not_there_is_said_at_once() {
    let (server, served) = server();
    let missing = json!({"error": {"status": "NOT_FOUND", "message": "Resource not found"}});
    server.lock().unwrap().wrong.insert("", [(404, &[][..], missing)].into());
    let node = Node::start();
    let error = sink(&node, &served, &[], &[]).open().unwrap_err();
    assert!(error.message.contains("create the topic"), "{}", error.message);
}

#[test]
fn a_probe_says_what_is_read_and_takes_nothing() {
    let (server, served) = server();
    let node = Node::start();
    let table = orders(&options(&served), &[]);
    let found = node.connector("pubsub").probe(&table, Role::Source, 1000);
    assert_eq!(found.len(), 1);
    assert!(found[0].found.as_ref().unwrap().contains("leased for 10 s"), "{found:?}");
    let found = node.connector("pubsub").probe(&table, Role::Sink, 1000);
    assert_eq!((found[0].step, found[0].found.as_deref()), ("topic", Ok("projects/p/topics/orders")));
    assert!(calls(&server, "pull").is_empty());
}
