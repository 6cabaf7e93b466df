//! The broker over real sockets: order, waiting, hostile bytes, limits, stopping.

mod served;

use broker::server::{ServerConfig, ServerError, start};
use broker::{Broker, BrokerConfig, Recovered};
use bytes::Bytes;
use eventlog::{LogOptions, Recovery};
use kafka_wire::header::encode_request;
use kafka_wire::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_wire::messages::*;
use served::{Node, PATIENCE, fetch, produce};
use std::io::Write;
use std::sync::Arc;

#[test]
fn answers_come_in_the_order_of_the_requests() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path(), &[]);
    let mut client = node.connect();
    client.create_topic("t");
    // All at once: produce with and without an answer, a fetch that waits for what follows it.
    let mut expected = Vec::new();
    for index in 0..40 {
        client.send(&produce("t", 0, 1), 7);
        expected.push((client.send(&produce("t", -1, 2), 7), index));
    }
    for (sent, index) in expected {
        let (received, response) = client.receive::<ProduceRequest>(7);
        assert_eq!(received, sent);
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!((answer.error_code, answer.base_offset), (0, index * 3 + 1));
    }
    let parked = client.send(&fetch("t", 120, 10_000), 11);
    let after = client.send(&produce("t", 1, 1), 7);
    let (first, data) = client.receive::<FetchRequest>(11);
    assert_eq!(first, parked);
    assert!(data.responses[0].partitions[0].records.as_ref().is_some_and(|records| !records.is_empty()));
    assert_eq!(client.receive::<ProduceRequest>(7).0, after);
    node.stop();
}

#[test]
fn a_fetch_is_woken_by_another_connections_record() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path(), &[]);
    let (mut reader, mut writer) = (node.connect(), node.connect());
    writer.create_topic("t");
    for offset in 0..20 {
        // Much longer than the test's patience: only the record can end the wait.
        reader.send(&fetch("t", offset, 120_000), 11);
        writer.call(&produce("t", -1, 1), 7);
        let (_, response) = reader.receive::<FetchRequest>(11);
        assert_eq!(response.responses[0].partitions[0].high_watermark, offset + 1);
    }
    node.stop();
}

#[test]
fn hostile_frames_end_their_connection_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path(), &[]);
    let mut bystander = node.connect();
    bystander.create_topic("t");
    for size in [-1i32, 0, i32::MAX, 104_857_601] {
        let mut client = node.connect();
        client.stream.write_all(&size.to_be_bytes()).unwrap();
        client.expect_end();
    }
    // An HTTP request, a TLS hello, noise.
    for bytes in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00", &[0xff; 64]] {
        let mut client = node.connect();
        client.stream.write_all(bytes).unwrap();
        client.expect_end();
    }
    // A count of 2^31-1 topics in a frame of a few bytes.
    let mut client = node.connect();
    client.stream.write_all(b"\0\0\0\x0e\0\x03\0\x01\0\0\0\x01\xff\xff\x7f\xff\xff\xff").unwrap();
    client.expect_end();
    assert_eq!(bystander.call(&produce("t", -1, 1), 7).responses[0].partition_responses[0].error_code, 0);
    let said = node.said.lock().unwrap().clone();
    assert_eq!(said.len(), 8, "{said:#?}");
    assert!(said.iter().all(|line| line.starts_with("connection closed: peer=127.0.0.1:")), "{said:#?}");
    node.stop();
}

#[test]
fn state_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path(), &[]);
    let mut client = node.connect();
    client.create_topic("t");
    for _ in 0..10 {
        client.call(&produce("t", -1, 100), 7);
    }
    let before = client.call(&MetadataRequest { topics: None, ..Default::default() }, 12);
    node.stop();
    let node = Node::start(directory.path(), &[]);
    let mut client = node.connect();
    let after = client.call(&MetadataRequest { topics: None, ..Default::default() }, 12);
    assert_eq!((&after.topics, &after.cluster_id), (&before.topics, &before.cluster_id));
    assert_eq!(after.brokers[0].port, i32::from(node.address.port()));
    let data = client.call(&fetch("t", 999, 0), 11);
    assert_eq!(data.responses[0].partitions[0].high_watermark, 1_000);
    node.stop();
}

#[test]
fn members_meet_over_the_network_and_deadlines_fire() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path(), &[("group.min.session.timeout.ms", "50")]);
    let join = |session_timeout_ms| JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata: Bytes::new() }],
        ..Default::default()
    };
    let (mut a, mut b) = (node.connect(), node.connect());
    // Version 3 joins without being told an id first.
    a.send(&join(50), 3);
    b.send(&join(60_000), 3);
    let (first, second) = (a.receive::<JoinGroupRequest>(3).1, b.receive::<JoinGroupRequest>(3).1);
    assert_eq!((first.generation_id, second.generation_id), (1, 1));
    assert_eq!(first.leader, second.leader);
    // "a" falls silent; its session ends, and "b" is alone in the next generation.
    let again = JoinGroupRequest { member_id: second.member_id.clone(), ..join(60_000) };
    let next = loop {
        let beat = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: 1,
            member_id: second.member_id.clone(),
            ..Default::default()
        };
        // 27 = REBALANCE_IN_PROGRESS.
        if b.call(&beat, 0).error_code == 27 {
            break b.call(&again, 3);
        }
    };
    assert_eq!((next.error_code, next.generation_id, next.members.len()), (0, 2, 1));
    node.stop();
}

#[test]
fn connections_are_limited() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path(), &[("max.connections", "2")]);
    let (mut first, mut second) = (node.connect(), node.connect());
    for client in [&mut first, &mut second] {
        client.call(&ApiVersionsRequest::default(), 0);
    }
    node.connect().expect_end();
    drop(first);
    // The place is free as soon as the server has noticed.
    let deadline = os::Os::real();
    let until = deadline.clock.monotonic_ns() + PATIENCE.as_nanos() as u64;
    while node.server.as_ref().unwrap().connections() > 1 {
        assert!(deadline.clock.monotonic_ns() < until, "the place is not given back");
        std::thread::yield_now();
    }
    node.connect().call(&ApiVersionsRequest::default(), 0);
    node.stop();
}

#[test]
fn clients_are_told_the_advertised_address() {
    let addresses = |settings: &[(&str, &str)]| {
        let directory = tempfile::tempdir().unwrap();
        let node = Node::start(directory.path(), settings);
        let mut client = node.connect();
        let metadata = client.call(&MetadataRequest { topics: None, ..Default::default() }, 12);
        let broker = &metadata.brokers[0];
        let cluster = client.call(&DescribeClusterRequest::default(), 0);
        let described = &cluster.brokers[0];
        let request = FindCoordinatorRequest { coordinator_keys: vec!["g".into()], ..Default::default() };
        let found = client.call(&request, 4).coordinators.remove(0);
        let all = [
            format!("{}:{}", broker.host, broker.port),
            format!("{}:{}", described.host, described.port),
            format!("{}:{}", found.host, found.port),
        ];
        let own = node.address.to_string();
        node.stop();
        (all, own)
    };
    let (told, own) = addresses(&[]);
    assert!(told.iter().all(|address| *address == own), "{told:?}");
    let (told, _) = addresses(&[("advertised.listeners", "PLAINTEXT://node.example.org:19092")]);
    assert!(told.iter().all(|address| address == "node.example.org:19092"), "{told:?}");
}

#[test]
fn a_client_above_its_quota_is_not_read_for_as_long_as_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path(), &[]);
    let mut client = node.connect();
    client.create_topic("t");
    let quota = |value: Option<f64>| {
        use kafka_wire::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
        let entity = EntityData { entity_type: "client-id".into(), entity_name: Some("test".into()) };
        let (remove, value) = (value.is_none(), value.unwrap_or_default());
        let op = OpData { key: "producer_byte_rate".into(), value, remove };
        let entry = EntryData { entity: vec![entity], ops: vec![op] };
        AlterClientQuotasRequest { entries: vec![entry], validate_only: false }
    };
    let request = produce("t", -1, 500);
    let bytes = encode_request(&request, 7, 1, Some("test")).unwrap().concat().len() - 4;
    // Half a second more than the ten that the window lets pass at once.
    let limit = (bytes as f64 / 10.5).round();
    assert_eq!(client.call(&quota(Some(limit)), 1).entries[0].error_code, 0);
    // Read at one go: those behind the first are held back although they are there already.
    client.send(&request, 7);
    client.send(&ListGroupsRequest::default(), 4);
    let clock = os::Os::real().clock;
    let (_, told) = client.receive::<ProduceRequest>(7);
    let began_ns = clock.monotonic_ns();
    let throttle_ms = u64::try_from(told.throttle_time_ms).unwrap();
    // A busy machine may have used up some of it.
    assert!((1..600).contains(&throttle_ms), "{told:?}");
    // Other connections go on.
    assert_eq!(node.connect().call(&quota(None), 1).entries[0].error_code, 0);
    client.receive::<ListGroupsRequest>(4);
    // The connection is muted from the moment of the answer, which is here a little later.
    let waited_ms = (clock.monotonic_ns() - began_ns) / 1_000_000;
    assert!(waited_ms + 300 >= throttle_ms, "waited_ms={waited_ms} throttle_ms={throttle_ms}");
    node.stop();
}

#[test]
fn a_stopping_server_answers_what_it_has_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path(), &[]);
    let mut client = node.connect();
    client.create_topic("t");
    client.call(&produce("t", -1, 1), 7);
    let Node { server, log, .. } = node;
    server.unwrap().shutdown();
    client.expect_end();
    log.shutdown().unwrap();
}

#[test]
fn an_address_that_others_can_reach_needs_the_callers_word() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(directory.path(), &[]);
    let os = os::Os::real();
    let other = tempfile::tempdir().unwrap();
    let recovery = Recovery::open(&os, LogOptions::new(other.path())).unwrap();
    let recovered = Recovered::from_checkpoint(&recovery).unwrap();
    let log = recovery.start(recovered.folds()).unwrap();
    let broker = Arc::new(Broker::new(log, recovered, BrokerConfig::default(), os).unwrap());
    let everywhere = ServerConfig::new("0.0.0.0:0".parse().unwrap());
    let refused = start(everywhere.clone(), broker.clone()).err().unwrap();
    assert!(matches!(refused, ServerError::NotLoopback { .. }));
    assert!(refused.to_string().contains("--insecure"), "{refused}");
    start(ServerConfig { insecure: true, ..everywhere }, broker.clone()).unwrap().shutdown();
    let taken = start(ServerConfig::new(node.address), broker).err().unwrap();
    assert!(taken.to_string().contains("choose another port"), "{taken}");
    node.stop();
}
