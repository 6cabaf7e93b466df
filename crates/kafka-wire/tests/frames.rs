//! Frames written down byte by byte from Kafka's protocol guide, and the rules of headers and frame sizes.

use bytes::Bytes;
use kafka_wire::header::{
    RequestHeader, decode_response_header, encode_request, encode_response, frame_size,
    request_header_version, response_header_version,
};
use kafka_wire::messages::metadata_request::MetadataRequestTopic;
use kafka_wire::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};
use kafka_wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, FetchResponse, MetadataRequest, MetadataResponse,
};
use kafka_wire::{ApiKey, DecodeError, EncodeError, ErrorCode, Message, Reader};

fn joined(chunks: Vec<Bytes>) -> Vec<u8> {
    chunks.concat()
}

#[test]
fn a_flexible_request_has_compact_texts_and_an_old_client_id() {
    let request = ApiVersionsRequest {
        client_software_name: "lib".into(),
        client_software_version: "2.1".into(),
        ..Default::default()
    };
    let frame = joined(encode_request(&request, 3, 7, Some("me")).expect("it can be written"));
    #[rustfmt::skip]
    let expected = [
        0, 0, 0, 22, // size
        0, 18, 0, 3, 0, 0, 0, 7, // ApiVersions, version 3, correlation id 7
        0, 2, b'm', b'e', 0, // the client id with a two-byte length; no tagged fields
        4, b'l', b'i', b'b', 4, b'2', b'.', b'1', 0,
    ];
    assert_eq!(frame, expected);

    let mut reader = Reader::new(Bytes::from(frame).slice(4..));
    let header = RequestHeader::decode(&mut reader).expect("it can be read");
    assert_eq!((header.api_key, header.api_version, header.correlation_id), (18, 3, 7));
    assert_eq!(header.client_id.as_deref(), Some("me"));
    assert_eq!(ApiVersionsRequest::from_bytes(reader.take_rest(), 3), Ok(request));
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_with_version_zero() {
    let response =
        ApiVersionsResponse { error_code: ErrorCode::UnsupportedVersion.number(), ..Default::default() };
    let frame =
        joined(encode_response(&response, ApiKey::ApiVersions, 0, 9).expect("it can be written").chunks);
    assert_eq!(frame, [0, 0, 0, 10, 0, 0, 0, 9, 0, 35, 0, 0, 0, 0]);
    // The header of a request of a version to come can still be read.
    let request = Bytes::from_static(&[0, 18, 0, 99, 0, 0, 0, 9, 0xff, 0xff, 0, 1, 2, 3]);
    let header = RequestHeader::decode(&mut Reader::new(request)).expect("it can be read");
    assert_eq!((header.api_version, header.correlation_id, header.client_id), (99, 9, None));
}

#[test]
fn metadata_of_version_one() {
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { name: Some("t".into()), ..Default::default() }]),
        ..Default::default()
    };
    assert_eq!(request.to_bytes(1).as_deref(), Ok(&[0, 0, 0, 1, 0, 1, b't'][..]));
    let all = MetadataRequest { topics: None, ..Default::default() };
    assert_eq!(all.to_bytes(1).as_deref(), Ok(&[0xff; 4][..]));
    let field = "MetadataRequest.topics";
    assert_eq!(all.to_bytes(0), Err(EncodeError::UnexpectedNull { field, version: 0 }));

    let response = MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id: 1,
            host: "h".into(),
            port: 9092,
            ..Default::default()
        }],
        controller_id: 1,
        topics: vec![MetadataResponseTopic { name: Some("t".into()), ..Default::default() }],
        ..Default::default()
    };
    #[rustfmt::skip]
    let expected = [
        0, 0, 0, 1, 0, 0, 0, 1, 0, 1, b'h', 0, 0, 0x23, 0x84, 0xff, 0xff, // a broker without a rack
        0, 0, 0, 1, // the controller
        0, 0, 0, 1, 0, 0, 0, 1, b't', 0, 0, 0, 0, 0, // a topic: no error, not internal, no partitions
    ];
    assert_eq!(response.to_bytes(1).as_deref(), Ok(&expected[..]));
}

#[test]
fn a_version_that_cannot_carry_a_value_refuses_it() {
    let request = MetadataRequest { include_topic_authorized_operations: true, ..Default::default() };
    let field = "MetadataRequest.include_topic_authorized_operations";
    assert_eq!(request.to_bytes(7), Err(EncodeError::UnsupportedField { field, version: 7 }));
    assert!(request.to_bytes(8).is_ok());
    // An ignorable field is dropped.
    let response = MetadataResponse { throttle_time_ms: 5, ..Default::default() };
    assert_eq!(response.to_bytes(2), MetadataResponse::default().to_bytes(2));
    let long = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { name: Some("x".repeat(40_000)), ..Default::default() }]),
        ..Default::default()
    };
    assert_eq!(long.to_bytes(1), Err(EncodeError::TooLong { length: 40_000 }));
}

#[test]
fn unknown_tagged_fields_are_skipped_and_known_ones_must_fit() {
    // Software name "a", version "b", then two tagged fields that do not exist.
    let bytes = Bytes::from_static(&[2, b'a', 2, b'b', 2, 0, 1, 9, 200, 1, 2, 8, 8]);
    let request = ApiVersionsRequest::from_bytes(bytes, 3).expect("unknown fields are no error");
    assert_eq!(request.client_software_name, "a");
    // A fetch response whose tagged field 0 (node endpoints, an empty array) has a byte too many.
    let bytes = Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 2, 1, 1]);
    assert_eq!(FetchResponse::from_bytes(bytes, 16), Err(DecodeError::TrailingBytes { count: 1 }));
}

#[test]
fn large_records_are_shared_and_not_copied() {
    use kafka_wire::messages::fetch_response::{FetchableTopicResponse, PartitionData};
    let records = Bytes::from(vec![7u8; 100_000]);
    let partition = PartitionData { records: Some(records.clone()), ..Default::default() };
    let responses = vec![FetchableTopicResponse { partitions: vec![partition], ..Default::default() }];
    let response = FetchResponse { responses, ..Default::default() };
    let chunks = encode_response(&response, ApiKey::Fetch, 11, 1).expect("it can be written").chunks;
    assert!(chunks.iter().any(|chunk| chunk.as_ptr() == records.as_ptr() && chunk.len() == records.len()));
    let frame = Bytes::from(joined(chunks));
    let size = frame_size(*frame.first_chunk().expect("a size"), 1 << 20).expect("it is small enough");
    assert_eq!(size, frame.len() - 4);
    let mut reader = Reader::new(frame.slice(4..));
    assert_eq!(decode_response_header(&mut reader, ApiKey::Fetch, 11), Ok(1));
    let decoded = FetchResponse::from_bytes(reader.take_rest(), 11).expect("it can be read");
    let part = decoded.responses[0].partitions[0].records.as_ref().expect("records");
    assert_eq!(*part, records);
    let frame_range = frame.as_ptr_range();
    assert!(frame_range.contains(&part.as_ptr()), "decoding slices the frame");
}

#[test]
fn a_throttle_time_is_put_into_a_frame_that_is_written() {
    use kafka_wire::messages::produce_response::{
        PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
    };
    use kafka_wire::messages::sasl_handshake_response::SaslHandshakeResponse;
    let part = PartitionProduceResponse { base_offset: 7, ..Default::default() };
    let topic = TopicProduceResponse { partition_responses: vec![part], ..Default::default() };
    let mut response = ProduceResponse { responses: vec![topic], throttle_time_ms: 3, ..Default::default() };
    for version in [3, 9, 13] {
        let mut frame = encode_response(&response, ApiKey::Produce, version, 1).expect("it can be written");
        assert_eq!(frame.throttle_time_ms(), 3);
        frame.set_throttle_time_ms(70_000);
        assert_eq!(frame.throttle_time_ms(), 70_000);
        let mut reader = Reader::new(Bytes::from(joined(frame.chunks)).slice(4..));
        assert_eq!(decode_response_header(&mut reader, ApiKey::Produce, version), Ok(1));
        let told = ProduceResponse::from_bytes(reader.take_rest(), version).expect("it can be read");
        response.throttle_time_ms = 70_000;
        assert_eq!(told, response);
        response.throttle_time_ms = 3;
    }
    let mute = SaslHandshakeResponse::default();
    let mut frame = encode_response(&mute, ApiKey::SaslHandshake, 1, 1).expect("it can be written");
    let before = frame.clone();
    frame.set_throttle_time_ms(5);
    assert_eq!((frame.throttle_time_ms(), &frame), (0, &before));
}

#[test]
fn header_versions() {
    assert_eq!(request_header_version(7, 0), 0);
    assert_eq!(request_header_version(17, 1), 1);
    assert_eq!(request_header_version(1, 11), 1);
    assert_eq!(request_header_version(1, 12), 2);
    assert_eq!(request_header_version(9999, 3), 1);
    assert_eq!(response_header_version(ApiKey::ApiVersions, 4), 0);
    assert_eq!(response_header_version(ApiKey::Fetch, 11), 0);
    assert_eq!(response_header_version(ApiKey::Fetch, 12), 1);
    for api in ApiKey::ALL {
        assert_eq!(ApiKey::from_number(api.number()), Some(api));
    }
}

#[test]
fn frame_sizes_are_limited() {
    assert_eq!(frame_size([0, 0, 1, 0], 256), Ok(256));
    for (prefix, size) in [
        ([0, 0, 1, 1], 257),
        ([0xff; 4], -1),
        ([0x7f, 0xff, 0xff, 0xff], i32::MAX),
        ([0x80, 0, 0, 0], i32::MIN),
    ] {
        assert_eq!(frame_size(prefix, 256), Err(DecodeError::FrameSize { size, size_max: 256 }));
    }
}

#[test]
fn error_codes_have_their_numbers_and_names() {
    for (number, name, retriable) in [
        (-1, "UNKNOWN_SERVER_ERROR", false),
        (0, "NONE", false),
        (3, "UNKNOWN_TOPIC_OR_PARTITION", true),
        (35, "UNSUPPORTED_VERSION", false),
        (79, "MEMBER_ID_REQUIRED", false),
        (100, "UNKNOWN_TOPIC_ID", true),
        (133, "SHARE_SESSION_LIMIT_REACHED", true),
    ] {
        let code = ErrorCode::from_number(number).expect("it is assigned");
        assert_eq!((code.number(), code.name(), code.is_retriable()), (number, name, retriable));
    }
    assert_eq!(ErrorCode::from_number(134), None);
    assert_eq!(ErrorCode::from_number(-2), None);
    assert_eq!(ErrorCode::from_number(i16::MIN), None);
    let numbers: Vec<i16> = ErrorCode::all().map(ErrorCode::number).collect();
    assert_eq!(numbers, (-1..=133).collect::<Vec<i16>>());
}

#[test]
fn group_members_read_assignments_of_later_versions() {
    use kafka_wire::consumer_protocol::{decode_assignment, decode_subscription, encode_assignment};
    use kafka_wire::messages::ConsumerProtocolAssignment;
    use kafka_wire::messages::consumer_protocol_assignment::TopicPartition;
    let assigned_partitions = vec![TopicPartition { topic: "t".into(), partitions: vec![2] }];
    let assignment = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
    let bytes = encode_assignment(&assignment, 0).expect("it can be written");
    #[rustfmt::skip]
    let expected = [0, 0, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(bytes, &expected[..]);
    let mut later = bytes.to_vec();
    later[1] = 9;
    later.extend_from_slice(b"a field to come");
    assert_eq!(decode_assignment(later.into()), Ok(assignment));
    assert_eq!(decode_assignment(Bytes::new()), Ok(ConsumerProtocolAssignment::default()));
    assert!(decode_assignment(Bytes::from_static(&[0])).is_err());
    assert!(decode_subscription(Bytes::from_static(&[0xff, 0xff, 0, 0])).is_err());
}
