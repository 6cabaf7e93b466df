//! A disk that does not answer holds up those who need it, and nobody else.

mod served;

use bytes::Bytes;
use eventlog::LogOptions;
use kafka_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_wire::messages::metadata_request::MetadataRequestTopic;
use kafka_wire::messages::*;
use kafka_wire::records::{BatchBuilder, Compression};
use os::Os;
use os::sim::SimOs;
use served::{Client, Node, PATIENCE, fetch, produce};

/// More than the server lets wait inside the broker, and many more than it has workers.
const CLIENTS: usize = 60;

/// Holds the disk; lets it go also when the test fails, or nothing could end.
struct Held<'a>(&'a SimOs);

impl Held<'_> {
    fn hold(sim: &SimOs) -> Held<'_> {
        sim.disk.hold();
        Held(sim)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.disk.let_go();
    }
}

/// The machine's clock and threads on a simulated disk.
fn world() -> (SimOs, Os) {
    let sim = SimOs::new(1);
    let os = Os { disk: sim.disk.clone(), ..Os::real() };
    (sim, os)
}

fn large(topic: &str) -> ProduceRequest {
    let value = vec![7; 16 << 10];
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(1_700_000_000_000, None, Some(&value), &[]).unwrap();
    let mut request = produce(topic, -1, 1);
    request.topic_data[0].partition_data[0].records = Some(builder.build().unwrap());
    request
}

fn error_code(response: &ProduceResponse) -> i16 {
    response.responses[0].partition_responses[0].error_code
}

/// Waits for what other threads bring about.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let clock = Os::real().clock;
    let give_up = clock.monotonic_ns() + PATIENCE.as_nanos() as u64;
    while !is_so() {
        assert!(clock.monotonic_ns() < give_up, "{what}: it did not come about");
        std::thread::yield_now();
    }
}

/// Clients that need no disk are served as if nothing were the matter.
fn others_are_served(node: &Node, known: &mut Client) {
    for _ in 0..50 {
        let all = MetadataRequest { topics: None, ..Default::default() };
        assert!(!known.call(&all, 12).topics.is_empty());
        let mut new = node.connect();
        assert_eq!(new.call(&ApiVersionsRequest::default(), 0).error_code, 0);
        // The group does not exist: 25 = UNKNOWN_MEMBER_ID.
        let beat = HeartbeatRequest { group_id: "g".into(), member_id: "m".into(), ..Default::default() };
        assert_eq!(known.call(&beat, 0).error_code, 25);
    }
}

/// Producers beyond what the log takes while the disk is held, in a log with these options.
fn producers_wait_alone(options: LogOptions) {
    let (sim, os) = world();
    let node = Node::start_on(os, options, &[]);
    let mut known = node.connect();
    known.create_topic("t");
    let mut producers: Vec<Client> = (0..CLIENTS).map(|_| node.connect()).collect();
    for producer in &mut producers {
        producer.call(&ApiVersionsRequest::default(), 0);
    }
    let held = Held::hold(&sim);
    for producer in &mut producers {
        producer.send(&large("t"), 7);
    }
    // As many as find no room any more, and then some.
    until("somebody waits for the disk", || sim.disk.waiting() > 0);
    others_are_served(&node, &mut known);
    drop(held);
    for producer in &mut producers {
        assert_eq!(error_code(&producer.receive::<ProduceRequest>(7).1), 0);
    }
    let data = known.call(&fetch("t", 0, 0), 11);
    assert_eq!(data.responses[0].partitions[0].high_watermark, CLIENTS as i64);
    node.stop();
}

#[test]
fn producers_wait_for_room_in_the_log_and_keep_nobody_up() {
    producers_wait_alone(LogOptions { unsynced_bytes_max: 64 << 10, ..LogOptions::new("/data") });
}

#[test]
fn who_asks_for_new_topics_keeps_nobody_up_who_asks_for_others() {
    let (sim, os) = world();
    let node =
        Node::start_on(os, LogOptions { unsynced_bytes_max: 4 << 10, ..LogOptions::new("/data") }, &[]);
    let mut known = node.connect();
    known.create_topic("t");
    let mut curious: Vec<Client> = (0..CLIENTS).map(|_| node.connect()).collect();
    let asks_for = |name: String| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { name: Some(name), ..Default::default() }]),
        allow_auto_topic_creation: true,
        ..Default::default()
    };
    let held = Held::hold(&sim);
    // What is created fills the log's room, so that the next ones wait inside.
    for (index, client) in curious.iter_mut().enumerate() {
        client.send(&asks_for(format!("{index}-{}", "n".repeat(200))), 12);
    }
    until("somebody waits for the disk", || sim.disk.waiting() > 0);
    others_are_served(&node, &mut known);
    drop(held);
    for client in &mut curious {
        let (_, answer) = client.receive::<MetadataRequest>(12);
        assert_eq!(answer.topics[0].error_code, 0);
    }
    node.stop();
}

#[test]
fn producers_wait_for_the_next_log_file_and_keep_nobody_up() {
    let small = LogOptions { file_bytes: 64 << 10, first_file_bytes: 64 << 10, ..LogOptions::new("/data") };
    producers_wait_alone(small);
}

#[test]
fn consumers_wait_for_records_on_the_disk_and_keep_nobody_up() {
    let (sim, os) = world();
    let node = Node::start_on(os, LogOptions::new("/data"), &[]);
    let mut known = node.connect();
    known.create_topic("t");
    let relaxed = CreatableTopic {
        name: "relaxed".into(),
        num_partitions: 1,
        replication_factor: 1,
        configs: vec![
            CreatableTopicConfig { name: "durability".into(), value: Some("relaxed".into()) },
            CreatableTopicConfig { name: "retention.ms".into(), value: Some("-1".into()) },
        ],
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![relaxed], ..Default::default() };
    assert_eq!(known.call(&request, 5).topics[0].error_code, 0);
    assert_eq!(error_code(&known.call(&produce("t", -1, 3), 7)), 0);
    let mut consumers: Vec<Client> = (0..CLIENTS).map(|_| node.connect()).collect();
    for consumer in &mut consumers {
        consumer.call(&ApiVersionsRequest::default(), 0);
    }
    let held = Held::hold(&sim);
    for consumer in &mut consumers {
        consumer.send(&fetch("t", 0, 0), 11);
    }
    until("consumers wait for the disk", || sim.disk.waiting() > 8);
    others_are_served(&node, &mut known);
    // Nor are producers that do not wait for the disk.
    for _ in 0..20 {
        assert_eq!(error_code(&known.call(&produce("relaxed", 1, 1), 7)), 0);
    }
    drop(held);
    for consumer in &mut consumers {
        let (_, data) = consumer.receive::<FetchRequest>(11);
        let records: Option<&Bytes> = data.responses[0].partitions[0].records.as_ref();
        assert!(records.is_some_and(|records| !records.is_empty()));
    }
    node.stop();
}
