//! Clients that begin long requests and do not end them cost the node a bounded amount of memory, and keep nobody else up.

mod served;

use kafka_wire::messages::*;
use os::Os;
use served::{Client, Node, PATIENCE, produce};
use std::io::Write;

const CLIENTS: usize = 16;
/// Half of what the memory for requests holds.
const REQUEST_BYTES: usize = 300 << 10;
const REQUESTS_BYTES_MAX: usize = 1 << 20;

/// A request that nobody knows, so that all that counts is its length; less its last byte.
fn begin_long(client: &mut Client) {
    let mut bytes = (REQUEST_BYTES as u32).to_be_bytes().to_vec();
    bytes.resize(4 + REQUEST_BYTES - 1, 0x7f);
    // The node may take only a part of it for now: who waits for the rest is not this thread.
    let mut stream = client.stream.try_clone().unwrap();
    std::thread::spawn(move || {
        // The node closes the connection when it has looked at the request.
        let _ = stream.write_all(&bytes);
        let _ = stream.write_all(&[0x7f]);
    });
}

#[test]
fn requests_take_no_more_memory_than_is_configured_and_short_ones_pass() {
    let folder = tempfile::tempdir().unwrap();
    let limit = REQUESTS_BYTES_MAX.to_string();
    let node = Node::start(folder.path(), &[("queued.max.request.bytes", &limit)]);
    let mut known = node.connect();
    known.create_topic("t");
    let used = || node.server.as_ref().unwrap().request_bytes();
    let mut held: Vec<Client> = Vec::new();
    for _ in 0..REQUESTS_BYTES_MAX / REQUEST_BYTES {
        let mut client = node.connect();
        let mut bytes = (REQUEST_BYTES as u32).to_be_bytes().to_vec();
        bytes.resize(20_000, 0x7f);
        client.stream.write_all(&bytes).unwrap();
        held.push(client);
    }
    let clock = Os::real().clock;
    let give_up = clock.monotonic_ns() + PATIENCE.as_nanos() as u64;
    while used() < held.len() * REQUEST_BYTES {
        assert!(clock.monotonic_ns() < give_up, "the requests do not take room: {}", used());
        std::thread::yield_now();
    }
    let mut waiting: Vec<Client> = (0..CLIENTS).map(|_| node.connect()).collect();
    waiting.iter_mut().for_each(begin_long);
    for _ in 0..50 {
        let produced = known.call(&produce("t", -1, 1), 7);
        assert_eq!(produced.responses[0].partition_responses[0].error_code, 0);
        let beat = HeartbeatRequest { group_id: "g".into(), member_id: "m".into(), ..Default::default() };
        assert_eq!(known.call(&beat, 0).error_code, 25, "UNKNOWN_MEMBER_ID");
        assert!(used() <= REQUESTS_BYTES_MAX, "{}", used());
    }
    // Those who hold the room go away; all others come through, one after the other, and end as unknown requests do.
    drop(held);
    for client in &mut waiting {
        client.expect_end();
    }
    let give_up = clock.monotonic_ns() + PATIENCE.as_nanos() as u64;
    while used() > 0 {
        assert!(clock.monotonic_ns() < give_up, "room is not given back: {}", used());
        std::thread::yield_now();
    }
    node.stop();
}
