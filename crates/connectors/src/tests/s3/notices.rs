//! What S3 tells of new objects by a queue: read without lists, deleted when it lies in the log.

use super::source::{feed, texts, until};
use super::*;
use crate::messages::HAUL_BYTES_MAX;
use crate::tests::sqs::{Queue, serve};
use dataflow::feed::{FeedRecord, FeedRequest};
use os::sim::SimOs;
use serde_json::{Value, json};
use std::sync::Mutex;

/// What S3 writes of a new object.
fn created(memory: &Memory, key: &str) -> String {
    let tag = memory.state.lock().unwrap().objects[key].tag.clone();
    let (bytes, encoded) = (memory.state.lock().unwrap().objects[key].bytes.len(), key.replace(' ', "+"));
    let object = json!({"key": encoded, "size": bytes, "eTag": tag.trim_matches('"'), "sequencer": "0"});
    record(&json!({"bucket": {"name": "orders"}, "object": object})).to_string()
}

fn record(s3: &Value) -> Value {
    json!({"Records": [{"eventName": "ObjectCreated:Put", "eventTime": "2026-11-29T12:00:00.000Z", "s3": s3}]})
}

struct World {
    memory: Memory,
    node: Node,
    queue: Arc<Mutex<Queue>>,
    table: Arc<TableDefinition>,
    _served: crate::service::testing::Served,
}

impl World {
    fn new() -> World {
        let (memory, node, queue) = (Memory::start(), Node::start(), Arc::new(Mutex::new(Queue::default())));
        let served = serve(&queue);
        let url = format!("{}/1/notices", served.url);
        let table = Arc::new(files(&memory.url(), &[("source.notifications.queue-url", &url)], &[]));
        World { memory, node, queue, table, _served: served }
    }

    fn tell(&self, message: String) {
        self.queue.lock().unwrap().waiting.push(message);
    }

    /// How often the bucket was listed.
    fn lists(&self) -> usize {
        self.memory.state.lock().unwrap().calls.iter().filter(|call| call.contains("list-type=2")).count()
    }

    /// Messages that were received and not deleted.
    fn left(&self) -> Vec<String> {
        self.queue.lock().unwrap().received.values().cloned().collect()
    }

    /// Those come again.
    fn lose_leases(&self) {
        let mut queue = self.queue.lock().unwrap();
        let received = std::mem::take(&mut queue.received);
        queue.waiting.extend(received.into_values());
    }
}

#[test]
fn objects_are_read_as_they_are_told_of() {
    let world = World::new();
    world.memory.put("in/a.json", b"1\n");
    let mut feed = feed(&world.node, &world.table);
    feed.open(None).unwrap();
    assert_eq!(texts(&until(&mut *feed, 1).0), ["1"]);
    let lists = world.lists();
    // One that is known, one that is not, others that are none of the table's, and what is no notice.
    world.memory.put("in/b c.json", b"2\n3\n");
    world.memory.put("in/_hidden", b"9\n");
    world.memory.put("elsewhere", b"9\n");
    for key in ["in/a.json", "in/b c.json", "in/_hidden", "elsewhere"] {
        world.tell(created(&world.memory, key));
    }
    world.tell(json!({"Event": "s3:TestEvent"}).to_string());
    world.tell("no notice".into());
    assert_eq!(texts(&until(&mut *feed, 2).0), ["2", "3"]);
    // Told of twice it is read once.
    world.tell(created(&world.memory, "in/b c.json"));
    world.memory.put("in/d.json", b"4\n");
    world.tell(created(&world.memory, "in/d.json"));
    assert_eq!(texts(&until(&mut *feed, 1).0), ["4"]);
    // The end of an object is seen, and noted, with the haul behind it.
    for _ in 0..3 {
        let haul = feed.poll(1).unwrap();
        assert!(haul.records.is_empty());
        feed.confirm(haul.ticket).unwrap();
    }
    assert_eq!(world.left(), ["no notice"], "the queue's own dead letters will have it");
    assert_eq!(world.lists(), lists, "nothing is listed again");
}

#[test]
fn a_message_stays_until_its_object_is_in_the_log() {
    let world = World::new();
    let mut one = feed(&world.node, &world.table);
    one.open(None).unwrap();
    assert!(one.poll(1).unwrap().records.is_empty());
    world.memory.put("in/a.json", b"1\n2\n");
    world.tell(created(&world.memory, "in/a.json"));
    let mut position = None;
    let mut read = Vec::new();
    while read.len() < 2 {
        let haul = one.poll(20).unwrap();
        position = haul.position.or(position);
        read.extend(texts(&haul.records));
    }
    assert_eq!((read.as_slice(), world.left().len()), (&["1".to_string(), "2".to_string()][..], 1));
    // The node dies when it is in the log, and before that is noted: the message comes again, and the object is known.
    drop(one);
    world.lose_leases();
    let mut other = feed(&world.node, &world.table);
    other.open(position.as_deref()).unwrap();
    for _ in 0..5 {
        let haul = other.poll(5).unwrap();
        assert!(haul.records.is_empty(), "{:?}", texts(&haul.records));
        other.confirm(haul.ticket).unwrap();
    }
    assert!(world.left().is_empty() && world.queue.lock().unwrap().waiting.is_empty());
}

/// A job that lands nothing confirms nothing.
#[test]
fn what_was_read_before_a_crash_is_noted_without_anything_new() {
    let world = World::new();
    let mut one = feed(&world.node, &world.table);
    one.open(None).unwrap();
    world.memory.put("in/a.json", b"1\n");
    world.tell(created(&world.memory, "in/a.json"));
    let (mut position, mut read) = (None, 0);
    for _ in 0..3000 {
        let haul = one.poll(20).unwrap();
        read += haul.records.len();
        if read == 1 && haul.is_empty() {
            break;
        }
        position = haul.position.or(position);
    }
    assert_eq!(read, 1);
    drop(one);
    world.lose_leases();
    let mut other = feed(&world.node, &world.table);
    other.open(position.as_deref()).unwrap();
    for _ in 0..5 {
        assert!(other.poll(5).unwrap().is_empty());
    }
    assert!(world.left().is_empty() && world.queue.lock().unwrap().waiting.is_empty());
    // The position is not needed for it.
    other.open(None).unwrap();
    assert!(other.poll(5).unwrap().records.is_empty());
}

#[test]
fn messages_stay_ours_while_a_long_object_is_read() {
    let world = World::new();
    let sim = SimOs::new(1);
    let os = os::Os { clock: sim.clock.clone(), ..os::Os::real() };
    let connectors = crate::table(crate::Connectors { os, log: Some(world.node.log.clone()) });
    let request = FeedRequest { table: world.table.clone(), identity: "job/0".into() };
    let mut feed = connectors.find("filesystem").unwrap().feed(request).unwrap();
    let renewed = || -> Vec<Value> {
        let queue = world.queue.lock().unwrap();
        let calls = queue.calls.iter().filter(|(action, _)| action == "ChangeMessageVisibilityBatch");
        calls
            .flat_map(|(_, body)| body["Entries"].as_array().unwrap())
            .map(|entry| entry["ReceiptHandle"].clone())
            .collect()
    };
    let long = |text: &str| format!("{}\n", text.repeat(HAUL_BYTES_MAX / 4)).repeat(12);
    // Of the first nobody has looked at the message yet: what is listed is read before.
    world.memory.put("in/a.json", long("1").as_bytes());
    let a = created(&world.memory, "in/a.json");
    world.tell(a.clone());
    feed.open(None).unwrap();
    assert!(!feed.poll(0).unwrap().records.is_empty());
    assert!(renewed().is_empty());
    sim.clock.advance_ms(31_000);
    assert!(!feed.poll(0).unwrap().records.is_empty());
    assert_eq!(renewed(), [json!(format!("r-{a}"))]);
    // Another one is read because of its message.
    world.memory.put("in/b.json", long("2").as_bytes());
    let b = created(&world.memory, "in/b.json");
    world.tell(b.clone());
    let is_of_b = |record: &FeedRecord| record.value.as_ref().is_some_and(|value| value.starts_with(b"2"));
    assert!((0..3000).any(|_| feed.poll(1).unwrap().records.iter().any(is_of_b)));
    sim.clock.advance_ms(31_000);
    feed.poll(0).unwrap();
    assert!(renewed().contains(&json!(format!("r-{b}"))));
}

#[test]
fn an_object_that_has_gone_and_a_queue_that_is_not_there_are_told_apart() {
    let world = World::new();
    let mut feed = feed(&world.node, &world.table);
    feed.open(None).unwrap();
    world.memory.put("in/a.json", b"1\n");
    world.tell(created(&world.memory, "in/a.json"));
    world.memory.state.lock().unwrap().objects.remove("in/a.json");
    for _ in 0..5 {
        let haul = feed.poll(5).unwrap();
        assert!(haul.records.is_empty());
        feed.confirm(haul.ticket).unwrap();
    }
    assert!(world.left().is_empty(), "nothing is left to do of it");
    let missing = json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no such queue"});
    // A call of before may be under way, and take the first.
    world.queue.lock().unwrap().wrong.insert("ReceiveMessage", vec![missing.clone(), missing]);
    let error = feed.open(None).unwrap_err();
    assert!(error.message.contains("no such queue"), "{error}");
}
