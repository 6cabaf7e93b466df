//! Every API in every version that is advertised: a request is decoded, an answer is encoded.

use crate::api::APIS;
use crate::call::Outcome;
use crate::testing::{Answer, Node, batch, produce_request, request_frame};
use base::TopicId;
use bytes::Bytes;
use kafka_wire::messages::*;
use kafka_wire::records::Compression;
use kafka_wire::{ApiKey, Reader, Request, Writer};

/// Sends the request in each advertised version; every answer decodes and uses up its bytes.
fn all_versions<R: Request>(node: &Node, request: impl Fn(i16) -> R) {
    let api = APIS.iter().find(|api| api.key as i16 == R::API_KEY).expect("the API is advertised");
    for version in api.versions.0..=api.versions.1 {
        node.call(&request(version), version);
    }
}

#[test]
fn every_version_of_every_api_is_answered() {
    let node = Node::new();
    node.create_topic("t", 2, &[]);
    node.produce("t", 0, batch(Compression::None, &[(1_700_000_000_000, "a")]));
    let id = node.log.topic("t").unwrap().id.0;
    let mut seen = Vec::new();
    macro_rules! check {
        ($request:expr) => {{
            let request = $request;
            all_versions(&node, &request);
            seen.push(api_key_of(&request));
        }};
    }
    check!(|_| {
        // Versions 0 to 2 are for clients whose software has no name.
        ApiVersionsRequest {
            client_software_name: "a-client".into(),
            client_software_version: "1.0".into(),
            ..Default::default()
        }
    });
    check!(|version: i16| {
        let mut request = produce_request("t", 0, batch(Compression::None, &[(1_700_000_000_000, "a")]));
        if version >= 13 {
            request.topic_data[0].topic_id = id;
        }
        request
    });
    check!(|version: i16| {
        let topic = fetch_request::FetchTopic {
            topic: if version < 13 { "t".into() } else { String::new() },
            topic_id: if version < 13 { [0; 16] } else { id },
            partitions: vec![fetch_request::FetchPartition {
                partition: 0,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
        };
        FetchRequest { max_bytes: 1 << 20, topics: vec![topic], ..Default::default() }
    });
    check!(|_| {
        let partitions = [-1, -2, -3, 0]
            .map(|timestamp| list_offsets_request::ListOffsetsPartition { timestamp, ..Default::default() });
        let topic =
            list_offsets_request::ListOffsetsTopic { name: "t".into(), partitions: partitions.into() };
        ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() }
    });
    check!(|_| MetadataRequest::default());
    check!(|version: i16| {
        let topic = metadata_request::MetadataRequestTopic { name: Some("t".into()), ..Default::default() };
        let allow_auto_topic_creation = true;
        let _ = version;
        MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation, ..Default::default() }
    });
    check!(|version: i16| {
        let key = String::from("g");
        match version {
            ..4 => FindCoordinatorRequest { key, ..Default::default() },
            _ => FindCoordinatorRequest { coordinator_keys: vec![key], ..Default::default() },
        }
    });
    check!(|_| JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        member_id: "ghost".into(),
        protocol_type: "consumer".into(),
        ..Default::default()
    });
    check!(|_| SyncGroupRequest { group_id: "g".into(), ..Default::default() });
    check!(|_| HeartbeatRequest { group_id: "g".into(), ..Default::default() });
    check!(|version: i16| {
        let member = leave_group_request::MemberIdentity { member_id: "x".into(), ..Default::default() };
        match version {
            ..3 => LeaveGroupRequest { group_id: "g".into(), member_id: "x".into(), ..Default::default() },
            _ => LeaveGroupRequest { group_id: "g".into(), members: vec![member], ..Default::default() },
        }
    });
    check!(|version: i16| {
        let topic = offset_commit_request::OffsetCommitRequestTopic {
            name: if version < 10 { "t".into() } else { String::new() },
            topic_id: if version < 10 { [0; 16] } else { id },
            partitions: vec![Default::default()],
        };
        OffsetCommitRequest { group_id: "g".into(), topics: vec![topic], ..Default::default() }
    });
    check!(|version: i16| match version {
        1 => OffsetFetchRequest { group_id: "g".into(), ..Default::default() },
        ..8 => OffsetFetchRequest { group_id: "g".into(), topics: None, ..Default::default() },
        _ => {
            let group = offset_fetch_request::OffsetFetchRequestGroup {
                group_id: "g".into(),
                topics: None,
                ..Default::default()
            };
            OffsetFetchRequest { groups: vec![group], ..Default::default() }
        }
    });
    check!(|_| OffsetDeleteRequest { group_id: "g".into(), ..Default::default() });
    check!(|_| DescribeGroupsRequest { groups: vec!["g".into(), "none".into()], ..Default::default() });
    check!(|_| ListGroupsRequest::default());
    check!(|_| DeleteGroupsRequest { groups_names: vec!["none".into()] });
    check!(|version: i16| {
        let topic = create_topics_request::CreatableTopic {
            name: format!("new-{version}"),
            num_partitions: 1,
            replication_factor: 3,
            ..Default::default()
        };
        let bad = create_topics_request::CreatableTopic { name: "a/b".into(), ..topic.clone() };
        CreateTopicsRequest { topics: vec![topic, bad], ..Default::default() }
    });
    check!(|version: i16| {
        let named = delete_topics_request::DeleteTopicState {
            name: Some(format!("new-{version}")),
            ..Default::default()
        };
        match version {
            ..6 => DeleteTopicsRequest {
                topic_names: vec![format!("new-{version}"), "none".into()],
                ..Default::default()
            },
            _ => DeleteTopicsRequest { topics: vec![named], ..Default::default() },
        }
    });
    check!(|version: i16| {
        let topic = create_partitions_request::CreatePartitionsTopic {
            name: "t".into(),
            count: 10 + i32::from(version),
            ..Default::default()
        };
        CreatePartitionsRequest { topics: vec![topic], ..Default::default() }
    });
    check!(|version: i16| {
        let resource =
            |resource_type, resource_name: &str| describe_configs_request::DescribeConfigsResource {
                resource_type,
                resource_name: resource_name.into(),
                configuration_keys: None,
            };
        DescribeConfigsRequest {
            resources: vec![resource(2, "t"), resource(4, "1"), resource(2, "none"), resource(99, "x")],
            include_synonyms: true,
            include_documentation: version >= 3,
        }
    });
    check!(|_| {
        let resource = alter_configs_request::AlterConfigsResource {
            resource_type: 2,
            resource_name: "t".into(),
            configs: vec![],
        };
        AlterConfigsRequest { resources: vec![resource], ..Default::default() }
    });
    check!(|_| {
        let resource = incremental_alter_configs_request::AlterConfigsResource {
            resource_type: 4,
            resource_name: "1".into(),
            configs: vec![],
        };
        IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() }
    });
    check!(|_| {
        let partitions = vec![Default::default()];
        let topic = delete_records_request::DeleteRecordsTopic { name: "t".into(), partitions };
        DeleteRecordsRequest { topics: vec![topic], ..Default::default() }
    });
    check!(|_| InitProducerIdRequest { transactional_id: None, ..Default::default() });
    check!(|_| InitProducerIdRequest { transactional_id: Some("tx".into()), ..Default::default() });
    check!(|_| {
        let partition = offset_for_leader_epoch_request::OffsetForLeaderPartition::default();
        let topic = offset_for_leader_epoch_request::OffsetForLeaderTopic {
            topic: "t".into(),
            partitions: vec![partition],
        };
        OffsetForLeaderEpochRequest { topics: vec![topic], ..Default::default() }
    });
    check!(|_| DescribeClusterRequest::default());
    check!(|_| DescribeTopicPartitionsRequest::default());
    check!(|_| DescribeLogDirsRequest { topics: None });
    check!(|_| {
        let topic =
            describe_producers_request::TopicRequest { name: "t".into(), partition_indexes: vec![0, 99] };
        DescribeProducersRequest { topics: vec![topic] }
    });
    check!(|version: i16| {
        let topics = vec![add_partitions_to_txn_request::AddPartitionsToTxnTopic {
            name: "t".into(),
            partitions: vec![0, 99],
        }];
        let transactional_id = String::from("x");
        match version {
            ..4 => AddPartitionsToTxnRequest {
                v3_and_below_transactional_id: transactional_id,
                v3_and_below_topics: topics,
                ..Default::default()
            },
            _ => AddPartitionsToTxnRequest {
                transactions: vec![add_partitions_to_txn_request::AddPartitionsToTxnTransaction {
                    transactional_id,
                    topics,
                    ..Default::default()
                }],
                ..Default::default()
            },
        }
    });
    check!(|_| AddOffsetsToTxnRequest { transactional_id: "x".into(), ..Default::default() });
    check!(|_| EndTxnRequest { transactional_id: "x".into(), ..Default::default() });
    check!(|version: i16| {
        let topic = txn_offset_commit_request::TxnOffsetCommitRequestTopic {
            name: if version < 6 { "t".into() } else { String::new() },
            topic_id: if version < 6 { [0; 16] } else { id },
            partitions: vec![txn_offset_commit_request::TxnOffsetCommitRequestPartition::default()],
        };
        TxnOffsetCommitRequest { group_id: "g".into(), topics: vec![topic], ..Default::default() }
    });
    check!(|_| {
        let topic = write_txn_markers_request::WritableTxnMarkerTopic {
            name: "t".into(),
            partition_indexes: vec![0],
        };
        let marker =
            write_txn_markers_request::WritableTxnMarker { topics: vec![topic], ..Default::default() };
        WriteTxnMarkersRequest { markers: vec![marker] }
    });
    check!(|_| DescribeTransactionsRequest { transactional_ids: vec!["x".into()] });
    check!(|version: i16| {
        let transactional_id_pattern = (version >= 2).then(|| "x.*".to_string());
        ListTransactionsRequest { transactional_id_pattern, ..Default::default() }
    });
    check!(|_| SaslHandshakeRequest { mechanism: "SCRAM-SHA-256".into() });
    check!(|_| SaslAuthenticateRequest::default());
    check!(|_| DescribeAclsRequest::default());
    check!(|_| CreateAclsRequest { creations: vec![Default::default()] });
    check!(|_| DeleteAclsRequest { filters: vec![Default::default()] });
    check!(|_| AlterClientQuotasRequest { entries: vec![Default::default()], ..Default::default() });
    check!(|_| DescribeClientQuotasRequest::default());
    check!(|_| DescribeUserScramCredentialsRequest { users: None });
    check!(|_| AlterUserScramCredentialsRequest {
        deletions: vec![Default::default()],
        ..Default::default()
    });
    check!(|_| ConsumerGroupHeartbeatRequest {
        group_id: "g".into(),
        member_id: "m".into(),
        ..Default::default()
    });
    check!(|_| AlterReplicaLogDirsRequest { dirs: vec![Default::default()] });
    check!(|_| ElectLeadersRequest {
        topic_partitions: Some(vec![Default::default()]),
        ..Default::default()
    });
    check!(|_| AlterPartitionReassignmentsRequest::default());
    check!(|_| ListPartitionReassignmentsRequest::default());
    check!(|_| DescribeQuorumRequest { topics: vec![Default::default()] });
    check!(|_| ListConfigResourcesRequest::default());
    check!(|_| ConsumerGroupDescribeRequest { group_ids: vec!["g".into()], ..Default::default() });
    let share_id = node.log.topic("t").unwrap().id.0;
    let (share_group, share_member) = (Some("share".to_string()), Some("m".to_string()));
    check!(|_| ShareGroupHeartbeatRequest {
        group_id: "share".into(),
        member_id: "m".into(),
        subscribed_topic_names: Some(vec!["t".into()]),
        ..Default::default()
    });
    check!(|_| ShareGroupDescribeRequest { group_ids: vec!["share".into()], ..Default::default() });
    check!(|_| {
        let partition = share_fetch_request::FetchPartition::default();
        let topics =
            vec![share_fetch_request::FetchTopic { topic_id: share_id, partitions: vec![partition] }];
        let (group_id, member_id) = (share_group.clone(), share_member.clone());
        ShareFetchRequest { group_id, member_id, topics, max_records: 1, ..Default::default() }
    });
    check!(|_| ShareAcknowledgeRequest {
        group_id: share_group.clone(),
        member_id: share_member.clone(),
        share_session_epoch: 1,
        ..Default::default()
    });
    check!(|_| {
        let group_id = "share".into();
        let group = describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup {
            group_id,
            topics: None,
        };
        DescribeShareGroupOffsetsRequest { groups: vec![group] }
    });
    check!(|_| AlterShareGroupOffsetsRequest { group_id: "share".into(), ..Default::default() });
    check!(|_| DeleteShareGroupOffsetsRequest { group_id: "share".into(), ..Default::default() });
    for api in APIS {
        assert!(seen.contains(&(api.key as i16)), "{:?} is advertised, but nobody tried it", api.key);
    }
}

fn api_key_of<R: Request>(_: &impl Fn(i16) -> R) -> i16 {
    R::API_KEY
}

#[test]
fn what_is_advertised_is_what_is_answered() {
    let node = Node::new();
    let response = node.call(&ApiVersionsRequest::default(), 2);
    assert_eq!(response.api_keys.len(), APIS.len());
    let range = |key: ApiKey| {
        let entry = response.api_keys.iter().find(|entry| entry.api_key == key as i16);
        entry.map(|entry| (entry.min_version, entry.max_version))
    };
    // librdkafka concludes from a missing Produce 0 that the broker is too old (KAFKA-18659).
    assert_eq!(range(ApiKey::Produce), Some((0, 13)));
    assert_eq!(range(ApiKey::Fetch), Some((4, 18)));
    // librdkafka takes a missing SaslHandshake 0 for a broker without SASL.
    assert_eq!(range(ApiKey::SaslHandshake), Some((0, 1)));
    assert!(APIS.is_sorted_by_key(|api| api.key as i16));
}

#[test]
fn features_are_finalized_so_that_clients_use_them() {
    let node = Node::new();
    for version in 3..=4 {
        let request = ApiVersionsRequest {
            client_software_name: "a-client".into(),
            client_software_version: "1.0".into(),
            ..Default::default()
        };
        let response = node.call(&request, version);
        // Java's clients begin with -1 and take what is newer.
        assert!(response.finalized_features_epoch >= 0);
        for (name, level) in [("group.version", 1), ("share.version", 1), ("transaction.version", 2)] {
            let finalized = response.finalized_features.iter().find(|feature| feature.name == name).unwrap();
            assert_eq!((finalized.min_version_level, finalized.max_version_level), (level, level));
            // KAFKA-17011: a least level of 0 breaks clients that ask in version 3.
            let supported = response.supported_features.iter().find(|feature| feature.name == name).unwrap();
            let least = if version < 4 { 1 } else { 0 };
            assert_eq!((supported.min_version, supported.max_version), (least, level));
        }
    }
}

/// A header by hand: key, version, correlation id 42, no client id.
fn raw(key: i16, version: i16, body: &[u8]) -> Bytes {
    let mut writer = Writer::new();
    writer.i16(key);
    writer.i16(version);
    writer.i32(42);
    writer.i16(-1);
    writer.raw(body);
    writer.into_bytes()
}

fn closed(node: &Node, frame: Bytes) -> Option<String> {
    match node.handle(frame) {
        Outcome::Close(reason) => Some(reason),
        _ => None,
    }
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let node = Node::new();
    let frame = raw(ApiKey::ApiVersions as i16, 99, b"whatever comes in years");
    let Answer::Frame(frame) = node.finish(node.handle(frame)) else { panic!("no answer") };
    let mut reader = Reader::new(frame.slice(4..));
    assert_eq!((reader.i32().unwrap(), reader.i16().unwrap()), (42, 35));
    assert_eq!(reader.i32().unwrap() as usize, APIS.len());
    assert_eq!(reader.remaining(), APIS.len() * 6);
}

#[test]
fn a_client_without_a_proper_name_is_refused_but_learns_the_versions() {
    let node = Node::new();
    for name in ["", "a\nb", "<script>", "-x", "x."] {
        let request = ApiVersionsRequest {
            client_software_name: name.into(),
            client_software_version: "1".into(),
            ..Default::default()
        };
        assert_eq!(node.call(&request, 3).error_code, 42, "{name:?}");
    }
}

#[test]
fn unknown_apis_and_versions_end_the_connection() {
    let node = Node::new();
    for (key, version) in [(-1, 0), (4, 0), (999, 0), (0, 0), (0, 2), (0, 14), (3, -1), (3, 14), (17, 2)] {
        let reason = closed(&node, raw(key, version, b"")).expect("the connection goes on");
        assert!(reason.contains("is not implemented"), "{reason}");
    }
}

#[test]
fn damaged_requests_end_the_connection_and_nothing_else() {
    let node = Node::new();
    let good = request_frame(&MetadataRequest::default(), 12);
    for length in 0..good.len() {
        assert!(closed(&node, good.slice(..length)).is_some(), "{length} bytes were taken for a request");
    }
    // Counts far beyond what the frame holds; taken at their word they would be 154 GB of memory.
    assert!(closed(&node, raw(3, 1, &i32::MAX.to_be_bytes())).is_some());
    assert!(closed(&node, raw(3, 9, &[0, 0xff, 0xff, 0xff, 0xff, 0x0f])).is_some());
    assert!(closed(&node, raw(1, 4, &[0x7f; 21])).is_some());
    // The broker goes on.
    assert_eq!(node.call(&MetadataRequest::default(), 12).brokers.len(), 1);
}

#[test]
fn a_client_id_cannot_forge_lines_in_the_log() {
    let node = Node::new();
    let mut writer = Writer::new();
    writer.i16(3);
    writer.i16(1);
    writer.i32(42);
    writer.nullable_string(Some("x\n2026-01-01 all is well\x1b[2J"), false).unwrap();
    writer.i32(i32::MAX);
    let reason = closed(&node, writer.into_bytes()).unwrap();
    assert!(!reason.contains(['\n', '\x1b']), "{reason:?}");
    assert!(reason.contains("client_id=\"x\\n2026-01-01 all is well"), "{reason}");
}

#[test]
fn bytes_behind_a_request_are_left_alone() {
    let node = Node::new();
    // What librdkafka 2.16 sends for all topics: the last three bytes are too many.
    let mut writer = Writer::new();
    writer.raw(&[0, 0, 0, 0, 0, 1, 0, 0]);
    let body = writer.into_bytes();
    assert!(closed(&node, raw(3, 13, &body)).is_none());
    assert_eq!(node.log.topic_by_id(TopicId([1; 16])), None);
}
