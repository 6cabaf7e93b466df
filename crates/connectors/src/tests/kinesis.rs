//! Streams of Kinesis without AWS: what a table may say, and a feed and a sink against a scripted server.

use super::*;
use crate::kinesis::packed;
use crate::service::testing::Served;
use arrow_array::{Int64Array, StringArray};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dataflow::connector::Role;
use dataflow::feed::{Feed, FeedRecord, FeedRequest};
use dataflow::sink::{OutboxSink, Sink, SinkError};
use dataflow::table::MetadataColumn;
use serde_json::{Value, json};
use std::collections::BTreeMap as Map;
use std::sync::Mutex;

const ARN: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders";

fn orders(options: &[(&str, &str)], metadata: &[(&str, DataType)], keys: &[&str]) -> Arc<TableDefinition> {
    let mut all = vec![("connector", "kinesis"), ("stream.arn", ARN), ("format", "json")];
    all.extend_from_slice(options);
    let table = table(schema(&[("id", DataType::Int64), ("t", DataType::Utf8)]), &all);
    let column = |(key, data_type): &(&str, DataType)| MetadataColumn {
        name: key.to_string(),
        key: key.to_string(),
        data_type: data_type.clone(),
        is_virtual: false,
    };
    Arc::new(TableDefinition {
        metadata: metadata.iter().map(column).collect(),
        partition_keys: keys.iter().map(|key| key.to_string()).collect(),
        ..(*table).clone()
    })
}

#[test]
fn what_a_table_says_wrong_is_told_at_once() {
    type Case<'a> = (Role, &'a [(&'a str, &'a str)], &'a [(&'a str, DataType)], &'a [&'a str], &'a str);
    let node = Node::start();
    let cases: &[Case<'_>] = &[
        (Role::Source, &[], &[], &[], ""),
        (Role::Sink, &[("sink.partitioner", "fixed")], &[], &[], ""),
        (Role::Sink, &[("sink.partitioner", "fixed")], &[], &["t"], "without PARTITIONED BY"),
        (Role::Sink, &[], &[("partition-key", DataType::Utf8)], &["t"], ""),
        (Role::Sink, &[], &[("sequence-number", DataType::Utf8)], &[], "'sequence-number' cannot be written"),
        (Role::Source, &[("stream.arn", "orders")], &[], &[], "arn:aws:kinesis:REGION:ACCOUNT:stream/NAME"),
        (Role::Source, &[("source.reader.type", "EFO")], &[], &[], "POLLING"),
        (
            Role::Source,
            &[("source.init.position", "AT_TIMESTAMP")],
            &[],
            &[],
            "needs 'source.init.timestamp'",
        ),
        (Role::Source, &[("source.init.timestamp", "7")], &[], &[], "is for 'source.init.position'"),
        (
            Role::Source,
            &[("source.init.position", "AT_TIMESTAMP"), ("source.init.timestamp", "yesterday")],
            &[],
            &[],
            "is no time",
        ),
        (
            Role::Source,
            &[
                ("source.init.position", "AT_TIMESTAMP"),
                ("source.init.timestamp", "2026-01-01T00:00:00.000+01:00"),
            ],
            &[],
            &[],
            "",
        ),
        (Role::Source, &[("stream", "orders")], &[], &[], "'stream'"),
    ];
    for (role, options, metadata, keys, words) in cases {
        let checked = node.connector("kinesis").check(&orders(options, metadata, keys), *role);
        let told: Vec<String> =
            checked.err().unwrap_or_default().into_iter().map(|error| error.message).collect();
        let told = told.join("; ");
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{options:?}: {told}");
    }
}

/// A stream in memory. Iterators are `SHARD/INDEX`; sequence numbers are indexes.
#[derive(Default)]
struct Stream {
    shards: Vec<Value>,
    records: Map<String, Vec<(String, String)>>,
    ended: Vec<String>,
    /// What a text stands for, where it is not itself.
    packed: Map<String, Vec<u8>>,
    /// Records of one answer.
    page: usize,
    /// By action: answers in place of the right ones.
    wrong: Map<&'static str, Vec<Value>>,
    calls: Vec<(String, Value)>,
}

impl Stream {
    fn of(shards: &[(&str, &[&str])]) -> Arc<Mutex<Stream>> {
        let mut stream = Stream { page: 2, ..Stream::default() };
        for (id, parents) in shards {
            stream.add(id, parents);
        }
        Arc::new(Mutex::new(stream))
    }

    fn add(&mut self, id: &str, parents: &[&str]) {
        let mut shard = json!({
            "ShardId": id, "SequenceNumberRange": {"StartingSequenceNumber": "0"},
            "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": u128::MAX.to_string()},
        });
        for (name, parent) in ["ParentShardId", "AdjacentParentShardId"].iter().zip(parents) {
            shard[*name] = (*parent).into();
            self.ended.push(parent.to_string());
        }
        self.shards.push(shard);
        self.records.entry(id.into()).or_default();
    }

    fn put(&mut self, shard: &str, texts: &[&str]) {
        let own = self.records.get_mut(shard).unwrap();
        own.extend(texts.iter().map(|text| (format!("k{text}"), text.to_string())));
    }

    fn answer(&mut self, action: &str, body: &Value) -> Value {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_string();
        match action {
            "ListShards" => json!({"Shards": self.shards}),
            "GetShardIterator" => {
                let shard = text("ShardId");
                let index = match text("ShardIteratorType").as_str() {
                    "AFTER_SEQUENCE_NUMBER" => text("StartingSequenceNumber").parse::<usize>().unwrap() + 1,
                    "AT_TIMESTAMP" => self.records[&shard].len(),
                    _ => 0,
                };
                json!({"ShardIterator": format!("{shard}/{index}")})
            }
            "GetRecords" => {
                let iterator = text("ShardIterator");
                let (shard, index) = iterator.split_once('/').unwrap();
                let index: usize = index.parse().unwrap();
                let all = &self.records[shard];
                let records: Vec<Value> = (all.iter().enumerate().skip(index).take(self.page))
                    .map(|(place, (key, text))| {
                        let data = self.packed.get(text).map_or(text.as_bytes(), Vec::as_slice);
                        json!({"SequenceNumber": place.to_string(), "PartitionKey": key, "Data": STANDARD.encode(data),
                               "ApproximateArrivalTimestamp": 5.25})
                    })
                    .collect();
                let next = index + records.len();
                let is_ended = self.ended.iter().any(|ended| ended == shard) && next >= all.len();
                let next = (!is_ended).then(|| format!("{shard}/{next}"));
                json!({"Records": records, "NextShardIterator": next})
            }
            "PutRecords" => {
                let count = body["Records"].as_array().unwrap().len();
                let all: Vec<Value> =
                    (0..count).map(|n| json!({"SequenceNumber": n.to_string(), "ShardId": "s"})).collect();
                json!({"FailedRecordCount": 0, "Records": all})
            }
            _ => json!({}),
        }
    }
}

fn serve(stream: &Arc<Mutex<Stream>>) -> Served {
    let stream = stream.clone();
    Served::start(move |request| {
        let mut stream = stream.lock().unwrap();
        let action =
            request.split("Kinesis_20131202.").nth(1).unwrap().split("\r\n").next().unwrap().to_string();
        let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        stream.calls.push((action.clone(), body.clone()));
        if let Some(wrong) = stream.wrong.get_mut(action.as_str())
            && !wrong.is_empty()
        {
            let wrong = wrong.remove(0);
            let status =
                wrong["status"].as_u64().unwrap_or(if wrong["__type"].is_string() { 400 } else { 200 });
            return (status as u16, wrong.to_string());
        }
        (200, stream.answer(&action, &body).to_string())
    })
}

fn calls(stream: &Mutex<Stream>, action: &str) -> Vec<Value> {
    let stream = stream.lock().unwrap();
    stream.calls.iter().filter(|(called, _)| called == action).map(|(_, body)| body.clone()).collect()
}

fn options(served: &Served) -> Vec<(&str, &str)> {
    vec![
        ("aws.endpoint", served.url.as_str()),
        ("aws.credentials.basic.accesskeyid", "id"),
        ("aws.credentials.basic.secretkey", "secret"),
        ("timeout", "5 s"),
    ]
}

fn feed(node: &Node, served: &Served, more: &[(&str, &str)]) -> Box<dyn Feed> {
    let quick =
        [("source.reader.empty-records-fetch-interval", "5 ms"), ("source.init.position", "TRIM_HORIZON")];
    let mut all: Map<&str, &str> = options(served).into_iter().chain(quick).collect();
    all.extend(more.iter().copied());
    let all: Vec<(&str, &str)> = all.into_iter().collect();
    let metadata: Vec<(&str, DataType)> =
        ["shard-id", "sequence-number", "partition-key"].map(|key| (key, DataType::Utf8)).into();
    let table = orders(&all, &metadata, &[]);
    node.connector("kinesis").feed(FeedRequest { table, identity: "job".into() }).unwrap()
}

/// Polls until so many records have come; answers them and the last position.
fn until(feed: &mut dyn Feed, count: usize) -> (Vec<FeedRecord>, Option<Vec<u8>>) {
    let (mut records, mut position) = (Vec::new(), None);
    for _ in 0..3000 {
        let haul = feed.poll(20).unwrap();
        assert!(haul.records.is_empty() || haul.position.is_some(), "records without a position behind them");
        records.extend(haul.records);
        position = haul.position.or(position);
        if records.len() >= count {
            return (records, position);
        }
    }
    panic!("{} records instead of {count}", records.len());
}

fn texts(records: &[FeedRecord]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.value.clone().unwrap()).unwrap()).collect()
}

#[test]
fn shards_are_read_in_order_and_go_on_behind_the_position() {
    let stream = Stream::of(&[("a", &[])]);
    stream.lock().unwrap().put("a", &["1", "2", "3", "4", "5"]);
    let (node, served) = (Node::start(), serve(&stream));
    let mut first = feed(&node, &served, &[]);
    assert_eq!(first.partitions().unwrap(), 1);
    first.has_partitions(1);
    first.open(None).unwrap();
    let begun = first.poll(0).unwrap();
    assert!(begun.position.is_some() && begun.records.is_empty(), "where to begin lies in the log first");
    let (records, position) = until(&mut *first, 3);
    let came = texts(&records);
    assert_eq!(records[0].timestamp_ms, 5250);
    let header = |name: &str| {
        let mut headers = records[0].headers.iter();
        headers.find(|(key, _)| key == name).and_then(|(_, value)| value.clone())
    };
    assert_eq!(header("m:shard-id").as_deref(), Some(&b"a"[..]));
    assert_eq!(
        (header("m:sequence-number"), header("m:partition-key")),
        (Some(b"0".to_vec()), Some(b"k1".to_vec()))
    );
    stream.lock().unwrap().put("a", &["6"]);
    let mut second = feed(&node, &served, &[]);
    second.has_partitions(1);
    second.open(position.as_deref()).unwrap();
    let (rest, _) = until(&mut *second, 6 - came.len());
    assert_eq!([came, texts(&rest)].concat(), ["1", "2", "3", "4", "5", "6"]);
}

#[test]
fn children_come_behind_the_end_of_their_parents_also_after_a_restart() {
    let stream = Stream::of(&[("a", &[]), ("b", &[])]);
    let (node, served) = (Node::start(), serve(&stream));
    let mut reading = feed(&node, &served, &[]);
    reading.has_partitions(2);
    reading.open(None).unwrap();
    {
        let mut stream = stream.lock().unwrap();
        stream.put("a", &["a1", "a2", "a3", "a4", "a5"]);
        stream.put("b", &["b1"]);
        stream.add("c", &["a", "b"]);
        stream.put("c", &["c1", "c2"]);
        stream.add("d", &["c"]);
        stream.put("d", &["d1"]);
    }
    let (mut came, position) = until(&mut *reading, 4);
    let mut again = feed(&node, &served, &[]);
    again.has_partitions(2);
    again.open(position.as_deref()).unwrap();
    came.extend(until(&mut *again, 9 - came.len()).0);
    let came = texts(&came);
    let place = |text: &str| came.iter().position(|one| one == text).unwrap();
    assert_eq!(came.len(), 9, "{came:?}");
    for (before, behind) in [("a1", "a2"), ("a5", "c1"), ("b1", "c1"), ("c1", "c2"), ("c2", "d1")] {
        assert!(place(before) < place(behind), "{before} behind {behind}: {came:?}");
    }
    // Ends are known after another restart, and nothing of them comes again.
    let mut ended = None;
    for _ in 0..5 {
        ended = again.poll(10).unwrap().position.or(ended);
    }
    stream.lock().unwrap().put("d", &["d2"]);
    let (_, behind) = until(&mut *again, 1);
    let position = behind.or(ended);
    let mut last = feed(&node, &served, &[]);
    last.has_partitions(2);
    last.open(position.as_deref()).unwrap();
    stream.lock().unwrap().put("d", &["d3"]);
    assert_eq!(texts(&until(&mut *last, 1).0), ["d3"]);
}

#[test]
fn records_that_a_producer_has_packed_are_unpacked_and_those_of_other_shards_left_out() {
    let stream = Stream::of(&[("a", &[])]);
    {
        let mut stream = stream.lock().unwrap();
        stream.shards[0]["HashKeyRange"]["EndingHashKey"] = "1000".into();
        let data =
            packed(&[("x", Some(7), b"1"), ("y", Some(1001), b"of another shard"), ("x", Some(7), b"2")]);
        stream.packed.insert("p".into(), data);
        stream.put("a", &["p", "3"]);
    }
    let (node, served) = (Node::start(), serve(&stream));
    let mut feed = feed(&node, &served, &[]);
    feed.open(None).unwrap();
    let (records, _) = until(&mut *feed, 3);
    assert_eq!(texts(&records), ["1", "2", "3"]);
    let keys: Vec<_> = (records[1].headers.iter()).filter(|(name, _)| name == "m:partition-key").collect();
    assert_eq!(keys[0].1.as_deref(), Some(&b"x"[..]));
}

#[test]
fn what_comes_after_the_start_is_read_by_latest_also_when_it_is_tried_again() {
    let stream = Stream::of(&[("a", &[])]);
    stream.lock().unwrap().put("a", &["old"]);
    let (node, served) = (Node::start(), serve(&stream));
    let mut first = feed(&node, &served, &[("source.init.position", "LATEST")]);
    first.open(None).unwrap();
    let position = first.poll(0).unwrap().position;
    let mut second = feed(&node, &served, &[("source.init.position", "LATEST")]);
    second.open(position.as_deref()).unwrap();
    second.poll(10).unwrap();
    stream.lock().unwrap().put("a", &["new"]);
    assert_eq!(texts(&until(&mut *second, 1).0), ["new"]);
    let asked = calls(&stream, "GetShardIterator");
    assert_eq!(asked[0]["ShardIteratorType"], "AT_TIMESTAMP");
    assert!(asked[0]["Timestamp"].as_f64().unwrap() > 1.7e9 && asked[0]["StreamARN"] == ARN, "{}", asked[0]);
}

#[test]
fn expired_iterators_are_made_anew_and_throttled_shards_left_alone() {
    let stream = Stream::of(&[("a", &[])]);
    stream.lock().unwrap().put("a", &["1", "2", "3"]);
    let (node, served) = (Node::start(), serve(&stream));
    let mut feed = feed(&node, &served, &[]);
    feed.open(None).unwrap();
    let (first, _) = until(&mut *feed, 2);
    let expired = json!({"__type": "ExpiredIteratorException", "message": "Iterator expired."});
    let throttled = json!({"__type": "ProvisionedThroughputExceededException", "message": "Rate exceeded."});
    stream.lock().unwrap().wrong.insert("GetRecords", vec![expired, throttled]);
    let (second, _) = until(&mut *feed, 1);
    assert_eq!([texts(&first), texts(&second)].concat(), ["1", "2", "3"]);
    let iterators = calls(&stream, "GetShardIterator");
    assert_eq!(iterators.len(), 2);
    assert_eq!(
        (&iterators[1]["ShardIteratorType"], &iterators[1]["StartingSequenceNumber"]),
        (&"AFTER_SEQUENCE_NUMBER".into(), &"1".into())
    );
}

#[test]
fn a_service_that_fails_is_asked_again_and_said_when_it_goes_on() {
    let stream = Stream::of(&[("a", &[])]);
    stream.lock().unwrap().put("a", &["1"]);
    let (node, served) = (Node::start(), serve(&stream));
    let mut reading = feed(&node, &served, &[]);
    reading.open(None).unwrap();
    let failed = json!({"__type": "InternalFailure", "message": "no", "status": 500});
    {
        let mut stream = stream.lock().unwrap();
        stream.wrong.insert("GetRecords", vec![failed.clone()]);
        stream.wrong.insert("GetShardIterator", vec![failed.clone()]);
    }
    assert_eq!(texts(&until(&mut *reading, 1).0), ["1"]);
    stream.lock().unwrap().wrong.insert("GetRecords", vec![failed; 100]);
    let error = (0..100).find_map(|_| reading.poll(1000).err()).unwrap();
    assert_eq!(error.kind, base::ErrorKind::Unavailable, "{}", error.message);
}

#[test]
fn a_clock_that_is_ahead_is_waited_for_and_the_time_of_the_first_start_holds() {
    let stream = Stream::of(&[("a", &[])]);
    let (node, served) = (Node::start(), serve(&stream));
    let mut reading = feed(&node, &served, &[("source.init.position", "LATEST")]);
    let failed = json!({"__type": "AccessDeniedException", "message": "not yet"});
    let to_come =
        json!({"__type": "InvalidArgumentException", "message": "The timestampInMillis is greater than now"});
    {
        let mut stream = stream.lock().unwrap();
        stream.wrong.insert("ListShards", vec![failed]);
        stream.wrong.insert("GetShardIterator", vec![to_come.clone(), to_come.clone()]);
    }
    reading.open(None).unwrap_err();
    let clock = os::Os::real().clock;
    let first_ms = clock.now_ms();
    while clock.now_ms() <= first_ms {}
    reading.open(None).unwrap();
    let asked = || calls(&stream, "GetShardIterator");
    while asked().len() < 3 {
        assert!(reading.poll(100).unwrap().records.is_empty());
    }
    assert!(asked()[2]["Timestamp"].as_f64().unwrap() * 1000.0 <= first_ms as f64 + 0.5, "{}", asked()[2]);
    stream.lock().unwrap().put("a", &["new"]);
    assert_eq!(texts(&until(&mut *reading, 1).0), ["new"]);
    // It is no reason for a time that has long passed.
    let past = [("source.init.position", "AT_TIMESTAMP"), ("source.init.timestamp", "7")];
    let mut reading = feed(&node, &served, &past);
    stream.lock().unwrap().wrong.insert("GetShardIterator", vec![to_come]);
    reading.open(None).unwrap();
    let error = (0..3).find_map(|_| reading.poll(1).err()).unwrap();
    assert!(error.message.contains("InvalidArgumentException"), "{}", error.message);
}

#[test]
fn nothing_is_fetched_while_much_waits() {
    let ids = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let stream = Stream::of(&ids.map(|id| (id, &[][..])));
    {
        let mut stream = stream.lock().unwrap();
        stream.packed.insert("much".into(), vec![b'x'; 10 << 20]);
        for id in ids {
            stream.put(id, &["much"]);
        }
    }
    let (node, served) = (Node::start(), serve(&stream));
    let mut reading = feed(&node, &served, &[("timeout", "60 s")]);
    reading.open(None).unwrap();
    assert!(reading.poll(0).unwrap().records.is_empty());
    // Of eight shards one has landed when the next are due: 70 MB wait.
    for _ in 0..2 {
        assert_eq!(reading.poll(0).unwrap().records.len(), 1);
        assert_eq!(calls(&stream, "GetRecords").len(), 8);
    }
    until(&mut *reading, 7);
    assert!(calls(&stream, "GetRecords").iter().any(|call| call["ShardIterator"] == "i/0"));
}

#[test]
fn each_shard_has_its_turn() {
    let ids = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let stream = Stream::of(&ids.map(|id| (id, &[][..])));
    {
        let mut stream = stream.lock().unwrap();
        for id in ids {
            stream.packed.insert(id.into(), id.repeat(600_000).into_bytes());
            stream.put(id, &[id, id]);
        }
    }
    let (node, served) = (Node::start(), serve(&stream));
    let mut reading = feed(&node, &served, &[]);
    reading.open(None).unwrap();
    reading.poll(0).unwrap();
    let mut next = || -> Vec<u8> {
        reading.poll(0).unwrap().records.iter().map(|record| record.value.as_ref().unwrap()[0]).collect()
    };
    assert_eq!((next(), next()), (b"abcdefg".to_vec(), b"habcdef".to_vec()));
}

#[test]
fn a_stream_that_is_not_there_and_a_shard_that_is_gone_are_said() {
    let stream = Stream::of(&[("a", &[])]);
    let missing = json!({"__type": "ResourceNotFoundException", "message": "Stream orders not found."});
    stream.lock().unwrap().wrong.insert("ListShards", vec![missing]);
    let (node, served) = (Node::start(), serve(&stream));
    let mut reading = feed(&node, &served, &[]);
    let error = reading.open(None).unwrap_err();
    assert_eq!(error.kind, base::ErrorKind::NotFound);
    assert!(error.message.contains("create the stream"), "{}", error.message);
    reading.open(None).unwrap();
    let position = reading.poll(0).unwrap().position;
    {
        let mut stream = stream.lock().unwrap();
        stream.shards.clear();
        stream.add("z", &[]);
    }
    let error = reading.open(position.as_deref()).unwrap_err();
    assert!(
        error.message.contains("shard=a is gone") && error.message.contains("'skip'"),
        "{}",
        error.message
    );
    let mut skipping = feed(&node, &served, &[("source.lost-shards", "skip")]);
    skipping.open(position.as_deref()).unwrap();
}

fn sink(node: &Node, served: &Served, more: &[(&str, &str)], keys: &[&str]) -> Box<dyn OutboxSink> {
    let all: Vec<(&str, &str)> = options(served).into_iter().chain(more.iter().copied()).collect();
    match node.connector("kinesis").sink(&orders(&all, &[], keys), "job").unwrap() {
        Sink::Outbox(sink) => sink,
        _ => panic!("another sink"),
    }
}

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

/// The calls that were sent: of each record its key and its id.
fn sent(stream: &Mutex<Stream>) -> Vec<Vec<(String, i64)>> {
    let one = |record: &Value| {
        let data = STANDARD.decode(record["Data"].as_str().unwrap()).unwrap();
        let row: Value = serde_json::from_slice(&data).unwrap();
        (record["PartitionKey"].as_str().unwrap().to_string(), row["id"].as_i64().unwrap())
    };
    calls(stream, "PutRecords")
        .iter()
        .map(|call| call["Records"].as_array().unwrap().iter().map(one).collect())
        .collect()
}

fn failing(ids: &[usize], count: usize) -> Value {
    let one = |index: usize| match ids.contains(&index) {
        true => json!({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slowly"}),
        false => json!({"SequenceNumber": "1", "ShardId": "s"}),
    };
    json!({"FailedRecordCount": ids.len(), "Records": (0..count).map(one).collect::<Vec<_>>()})
}

#[test]
fn rows_of_one_partition_key_are_sent_one_behind_the_other() {
    let stream = Stream::of(&[("a", &[])]);
    // Of the first call the row of x is not taken for now.
    stream.lock().unwrap().wrong.insert("PutRecords", vec![failing(&[0], 2)]);
    let (node, served) = (Node::start(), serve(&stream));
    let mut sink = sink(&node, &served, &[], &["t"]);
    assert_eq!(write(&node, &mut *sink, &["x", "y", "x", "z", "x"]).unwrap(), 5);
    let own =
        |pairs: &[(&str, i64)]| pairs.iter().map(|(key, id)| (key.to_string(), *id)).collect::<Vec<_>>();
    let expected =
        [own(&[("x", 0), ("y", 1)]), own(&[("x", 0)]), own(&[("x", 2), ("z", 3)]), own(&[("x", 4)])];
    assert_eq!(sent(&stream), expected);
}

#[test]
fn without_an_order_rows_go_together_and_what_is_not_taken_goes_again() {
    let stream = Stream::of(&[("a", &[])]);
    stream.lock().unwrap().wrong.insert("PutRecords", vec![failing(&[1, 2], 4)]);
    let (node, served) = (Node::start(), serve(&stream));
    let mut sink = sink(
        &node,
        &served,
        &[("sink.ordering", "none"), ("sink.partitioner-field-delimiter", "/")],
        &["t", "id"],
    );
    assert_eq!(write(&node, &mut *sink, &["x", "x", "x", "y"]).unwrap(), 4);
    let sent = sent(&stream);
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [4, 2]);
    assert_eq!((sent[0][1].clone(), sent[1][0].clone()), (("x/1".to_string(), 1), ("x/1".to_string(), 1)));
}

#[test]
fn keys_are_of_the_row_or_of_the_sink_and_the_same_when_sent_again() {
    let (node, other) = (Node::start(), Node::start());
    let stream = Stream::of(&[("a", &[])]);
    let served = serve(&stream);
    write(&node, &mut *sink(&node, &served, &[], &[]), &["x", "y"]).unwrap();
    write(&other, &mut *sink(&other, &served, &[], &[]), &["x", "y"]).unwrap();
    let all = sent(&stream);
    assert_eq!(all[0], all[1]);
    assert_ne!(all[0][0].0, all[0][1].0);
    let fixed = Node::start();
    write(&fixed, &mut *sink(&fixed, &served, &[("sink.partitioner", "fixed")], &[]), &["x", "y"]).unwrap();
    let all = sent(&stream);
    assert_eq!(all[2][0].0, all[3][0].0);
}

#[test]
fn what_is_not_taken_fails_the_job_where_that_is_wanted_or_becomes_a_dead_letter() {
    let stream = Stream::of(&[("a", &[])]);
    stream.lock().unwrap().wrong.insert("PutRecords", vec![failing(&[0], 1)]);
    let (node, served) = (Node::start(), serve(&stream));
    let error =
        write(&node, &mut *sink(&node, &served, &[("sink.fail-on-error", "true")], &[]), &["x"]).unwrap_err();
    assert_eq!(error.kind, base::ErrorKind::Invalid);
    assert!(error.message.contains("slowly"), "{}", error.message);
    let node = Node::start();
    let mut sink = sink(&node, &served, &[("dead-letter.topic", "letters")], &["t"]);
    write(&node, &mut *sink, &["", "x"]).unwrap();
    let letters = sink.take_rejected();
    assert!(letters.len() == 1 && letters[0].reason.contains("partition key is empty"));
    assert_eq!(sink.commit(false, 1).unwrap(), 2);
}
