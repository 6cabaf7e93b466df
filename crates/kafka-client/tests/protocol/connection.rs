//! The connection against nodes that behave, and against nodes that do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicI16, Ordering};
use std::time::Duration;

use crate::fake_node::{FakeNode, Reply, answer, versions};
use kafka_client::{ClientError, ClientOptions, Connection};
use kafka_wire::messages::{ApiVersionsResponse, ListGroupsRequest, ListGroupsResponse, MetadataRequest};
use kafka_wire::{ApiKey, ErrorCode};

fn options() -> ClientOptions {
    ClientOptions { request_timeout: Duration::from_secs(10), ..ClientOptions::new("test") }
}

/// A node whose answer to ListGroups is up to the test.
fn node_with(reply: impl Fn(i32) -> Reply + Send + Sync + 'static) -> FakeNode {
    FakeNode::start(move |header, _| match ApiKey::from_number(header.api_key) {
        Some(ApiKey::ApiVersions) => answer(header, &versions(&[])),
        _ => reply(header.correlation_id),
    })
}

fn ask(node: &FakeNode, options: &ClientOptions) -> (ClientError, ClientError) {
    let mut connection = Connection::open(&node.address.to_string(), options).expect("it answers");
    let first = connection.call(&ListGroupsRequest::default()).expect_err("the answer is wrong");
    let second = connection.call(&ListGroupsRequest::default()).expect_err("the connection is closed");
    (first, second)
}

#[test]
fn an_old_node_is_asked_again_in_version_zero() {
    let asked = Arc::new(AtomicI16::new(-1));
    let last_asked = asked.clone();
    let node = FakeNode::start(move |header, _| {
        let mut zero = header.clone();
        zero.api_version = 0;
        last_asked.store(header.api_version, Ordering::SeqCst);
        if header.api_version > 2 {
            let error_code = ErrorCode::UnsupportedVersion.number();
            return answer(&zero, &ApiVersionsResponse { error_code, ..Default::default() });
        }
        answer(header, &versions(&[(ApiKey::Metadata, 0, 5), (ApiKey::ListGroups, 7, 9)]))
    });
    let connection = Connection::open(&node.address.to_string(), &options()).expect("it answers");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    assert_eq!(connection.version::<MetadataRequest>().expect("common"), 5);
    assert_eq!(connection.version_up_to::<MetadataRequest>(4).expect("common"), 4);
    let error = connection.version::<ListGroupsRequest>().expect_err("nothing in common");
    assert_eq!(
        error.to_string(),
        "the node and this client share no version: request=ListGroupsRequest node=7..9 client=0..5"
    );
}

#[test]
fn an_unreachable_node_says_how_to_start_one() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let error = Connection::open(&address, &options()).expect_err("nobody listens");
    let text = error.to_string();
    assert!(text.starts_with(&format!("no node answers: address={address} reason=")), "{text}");
    assert!(text.ends_with("start one with `eventwright start`, or name another address"), "{text}");
    let error = Connection::open("no-port", &options()).expect_err("it is no address");
    assert!(error.to_string().contains("write it as HOST:PORT"), "{error}");
}

#[test]
fn pipelined_responses_come_in_order() {
    let node = FakeNode::start(|header, _| match ApiKey::from_number(header.api_key) {
        Some(ApiKey::ApiVersions) => answer(header, &versions(&[])),
        _ => answer(
            header,
            &ListGroupsResponse { throttle_time_ms: header.correlation_id, ..Default::default() },
        ),
    });
    let mut connection = Connection::open(&node.address.to_string(), &options()).expect("it answers");
    let request = ListGroupsRequest::default();
    let tickets: Vec<_> = (0..50).map(|_| connection.send(&request).expect("it is sent")).collect();
    for (index, ticket) in tickets.into_iter().enumerate() {
        let response = connection.receive(ticket).expect("it is answered");
        // The first correlation id went to the negotiation.
        assert_eq!(response.throttle_time_ms, index as i32 + 1);
    }
    let first = connection.send(&request).expect("it is sent");
    let second = connection.send(&request).expect("it is sent");
    let error = connection.receive(second).expect_err("it is not its turn");
    assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
    assert!(matches!(connection.receive(first), Err(ClientError::AlreadyClosed { .. })));
}

#[test]
fn silence_ends_with_a_timeout() {
    let node = node_with(|_| Reply::Nothing);
    let mut connection = Connection::open(&node.address.to_string(), &options()).expect("it answers");
    let ticket = connection.send(&ListGroupsRequest::default()).expect("it is sent");
    let error = connection.receive_within(ticket, Duration::from_millis(80)).expect_err("nothing comes");
    let expected = format!(
        "the node did not answer in time: address={} request=ListGroupsRequest timeout_ms=80; look whether the port is a Kafka \
         port, and whether it wants TLS (security.protocol in --command-config)",
        node.address
    );
    assert_eq!(error.to_string(), expected);
    assert!(error.closes_connection() && connection.is_closed());
}

#[test]
fn a_node_that_breaks_the_protocol_loses_its_connection() {
    type Frame = fn(i32) -> Vec<u8>;
    let cases: [(&str, Frame, &str); 6] = [
        ("a negative size", |_| vec![0xff; 4], "size=-1"),
        ("a size above the limit", |_| vec![0x7f, 0xff, 0xff, 0xff], "size=2147483647 size_max=1000"),
        (
            "a foreign correlation id",
            |id| [&[0, 0, 0, 5][..], &(id + 1).to_be_bytes(), &[0]].concat(),
            "expected=",
        ),
        ("no body", |id| [&[0, 0, 0, 5][..], &id.to_be_bytes(), &[0]].concat(), "needed=4 remaining=0"),
        (
            "a count beyond the body",
            |id| {
                [&[0, 0, 0, 15][..], &id.to_be_bytes(), &[0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0x7f, 0]].concat()
            },
            "a count does not fit",
        ),
        (
            "bytes after the body",
            |id| [&[0, 0, 0, 15][..], &id.to_be_bytes(), &[0, 0, 0, 0, 0, 0, 0, 1, 0, 9, 9]].concat(),
            "left over",
        ),
    ];
    for (what, frame, expected) in cases {
        let node = node_with(move |id| Reply::Frame(frame(id)));
        let options = ClientOptions { response_bytes_max: 1000, ..options() };
        let (first, second) = ask(&node, &options);
        assert!(first.to_string().contains(expected), "{what}: {first}");
        assert!(first.closes_connection(), "{what}");
        assert!(matches!(second, ClientError::AlreadyClosed { .. }), "{what}: {second}");
    }
    let node = node_with(|_| Reply::Close);
    let (first, _) = ask(&node, &options());
    assert!(matches!(first, ClientError::Closed { .. }), "{first}");
    // A frame that is cut off by the end of the connection.
    let node = node_with(|id| if id == 1 { Reply::Frame(vec![0, 0, 0, 100, 1, 2, 3]) } else { Reply::Close });
    let mut connection = Connection::open(&node.address.to_string(), &options()).expect("it answers");
    let ticket = connection.send(&ListGroupsRequest::default()).expect("it is sent");
    let _unanswered = connection.send(&ListGroupsRequest::default()).expect("it is sent");
    assert!(matches!(connection.receive(ticket), Err(ClientError::Closed { .. })));
}
