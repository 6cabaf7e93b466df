//! Clients that ask for much and take nothing cost the node a bounded amount of memory, and keep nobody else up.

mod served;

use kafka_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_wire::messages::*;
use kafka_wire::records::{BatchBuilder, Compression};
use os::Os;
use served::{Client, Node, PATIENCE, fetch, produce};

const CLIENTS: usize = 16;
const BATCHES: usize = 64;
const BATCH_BYTES: usize = 64 << 10;
/// Much less than the clients ask for, and more than one batch.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Requests of one connection: more than the sockets' own memory holds of their answers.
const REQUESTS: usize = 400;

/// A node with a topic of 4 MiB.
fn node(folder: &std::path::Path, settings: &[(&str, &str)]) -> (Node, Client) {
    let node = Node::start(folder, settings);
    let mut client = node.connect();
    client.create_topic("t");
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(1_700_000_000_000, None, Some(&vec![7; BATCH_BYTES]), &[]).unwrap();
    let batch = builder.build().unwrap();
    for _ in 0..BATCHES {
        let mut request = produce("t", -1, 1);
        request.topic_data[0].partition_data[0].records = Some(batch.clone());
        let answer = client.call(&request, 7);
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
    (node, client)
}

/// Asks for all there is, so often that the socket cannot hold the answers.
fn ask_for_much(client: &mut Client) {
    let all = FetchPartition { partition_max_bytes: 8 << 20, ..Default::default() };
    let request = FetchRequest {
        min_bytes: 1,
        max_bytes: 8 << 20,
        topics: vec![FetchTopic { topic: "t".into(), partitions: vec![all], ..Default::default() }],
        ..Default::default()
    };
    for _ in 0..REQUESTS {
        client.send(&request, 11);
    }
}

/// Looks at the bytes of answers until there are so many; returns the most that it saw.
fn most_until(node: &Node, enough: usize) -> usize {
    let clock = Os::real().clock;
    let give_up = clock.monotonic_ns() + PATIENCE.as_nanos() as u64;
    let mut most = 0;
    while most < enough {
        assert!(clock.monotonic_ns() < give_up, "answers never had {enough} bytes, but {most}");
        most = most.max(node.server.as_ref().unwrap().answer_bytes());
        std::thread::yield_now();
    }
    most
}

#[test]
fn without_a_limit_that_matters_they_take_much_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (node, _known) = node(folder.path(), &[]);
    let mut slow: Vec<Client> = (0..CLIENTS).map(|_| node.connect()).collect();
    slow.iter_mut().for_each(ask_for_much);
    most_until(&node, 4 * ANSWER_BYTES_MAX);
    drop(slow);
    node.stop();
}

#[test]
fn with_a_limit_they_take_no_more_and_others_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let limit = ANSWER_BYTES_MAX.to_string();
    let (node, mut known) = node(folder.path(), &[("queued.max.response.bytes", &limit)]);
    let mut slow: Vec<Client> = (0..CLIENTS).map(|_| node.connect()).collect();
    slow.iter_mut().for_each(ask_for_much);
    // Seven eighths are for records; what is left of them is less than a batch when nobody finds room any more.
    let mut most = most_until(&node, ANSWER_BYTES_MAX * 7 / 8 - BATCH_BYTES - 1_024);
    for _ in 0..20 {
        let all = MetadataRequest { topics: None, ..Default::default() };
        assert_eq!(known.call(&all, 12).topics.len(), 1);
        let beat = HeartbeatRequest { group_id: "g".into(), member_id: "m".into(), ..Default::default() };
        assert_eq!(known.call(&beat, 0).error_code, 25, "UNKNOWN_MEMBER_ID");
        let produced = known.call(&produce("t", -1, 1), 7);
        assert_eq!(produced.responses[0].partition_responses[0].error_code, 0);
        most = most.max(node.server.as_ref().unwrap().answer_bytes());
    }
    assert!(most <= ANSWER_BYTES_MAX, "{most}");
    // Who has to wait gets its records when the others are gone.
    known.send(&fetch("t", 0, 0), 11);
    drop(slow);
    let (_, answer) = known.receive::<FetchRequest>(11);
    assert!(
        answer.responses[0].partitions[0]
            .records
            .as_ref()
            .is_some_and(|records| records.len() >= BATCH_BYTES)
    );
    drop(known);
    let server = node.server.as_ref().unwrap();
    let clock = Os::real().clock;
    let give_up = clock.monotonic_ns() + PATIENCE.as_nanos() as u64;
    while server.answer_bytes() > 0 {
        assert!(clock.monotonic_ns() < give_up, "room is not given back: {}", server.answer_bytes());
        std::thread::yield_now();
    }
    node.stop();
}
