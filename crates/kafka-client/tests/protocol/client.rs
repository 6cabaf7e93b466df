//! The client's calls against a node inside the test that keeps one topic in memory.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::fake_node::{FakeNode, Reply, answer, request, versions};
use bytes::Bytes;
use kafka_client::{
    Client, ClientError, ConfigResource, FetchedRecord, Isolation, OffsetSpec, OffsetToCommit,
};
use kafka_wire::header::RequestHeader;
use kafka_wire::messages::*;
use kafka_wire::records::{
    BatchBuilder, BatchHeader, Compression, ControlKind, control_batch, set_base_offset,
};
use kafka_wire::{ApiKey, ErrorCode};

const TOPIC_ID: [u8; 16] = [7; 16];

/// What the node keeps, and what it was asked.
#[derive(Default)]
struct State {
    port: i32,
    topic_id: [u8; 16],
    batches: Vec<Bytes>,
    aborted: Vec<(i64, i64)>,
    metadata_requests: usize,
    /// The next produce is refused with this code.
    refusal: i16,
    committed: Vec<(String, i32, i64)>,
    /// The last versions of Produce and Fetch.
    versions: Vec<(ApiKey, i16)>,
}

impl State {
    fn next_offset(&self) -> i64 {
        self.batches.last().map_or(0, |batch| BatchHeader::parse(batch).expect("a batch").next_offset())
    }

    fn append(&mut self, batch: Bytes) -> i64 {
        let offset = self.next_offset();
        let mut batch = batch.to_vec();
        set_base_offset(&mut batch, offset).expect("a batch");
        self.batches.push(batch.into());
        offset
    }

    fn metadata(&mut self, request: MetadataRequest) -> MetadataResponse {
        use metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
        self.metadata_requests += 1;
        let names = request.topics.unwrap_or_default().into_iter().filter_map(|topic| topic.name);
        let topic = |name: String| {
            if name != "flights" {
                let error_code = ErrorCode::UnknownTopicOrPartition.number();
                return MetadataResponseTopic { error_code, name: Some(name), ..Default::default() };
            }
            let partition = MetadataResponsePartition { leader_id: 1, ..Default::default() };
            let (topic_id, partitions) = (self.topic_id, vec![partition]);
            MetadataResponseTopic { name: Some(name), topic_id, partitions, ..Default::default() }
        };
        let topics = names.map(topic).collect();
        let broker = MetadataResponseBroker {
            node_id: 1,
            host: "127.0.0.1".into(),
            port: self.port,
            ..Default::default()
        };
        MetadataResponse { brokers: vec![broker], topics, ..Default::default() }
    }

    fn produce(&mut self, header: &RequestHeader, request: ProduceRequest) -> Option<ProduceResponse> {
        use produce_response::{PartitionProduceResponse, TopicProduceResponse};
        let topic = &request.topic_data[0];
        if header.api_version >= 13 {
            assert_eq!(topic.topic_id, TOPIC_ID);
        } else {
            assert_eq!(topic.name, "flights");
        }
        let error_code = std::mem::take(&mut self.refusal);
        let base_offset = match error_code {
            0 => self.append(topic.partition_data[0].records.clone().expect("records")),
            _ => -1,
        };
        let part = PartitionProduceResponse { base_offset, error_code, ..Default::default() };
        let responses = vec![TopicProduceResponse { partition_responses: vec![part], ..Default::default() }];
        (request.acks != 0).then_some(ProduceResponse { responses, ..Default::default() })
    }

    fn fetch(&self, request: FetchRequest) -> FetchResponse {
        use fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
        let asked = &request.topics[0].partitions[0];
        let from =
            |batch: &&Bytes| BatchHeader::parse(batch).expect("a batch").last_offset() >= asked.fetch_offset;
        let mut records: Vec<u8> = self.batches.iter().filter(from).flatten().copied().collect();
        // The node cuts the last batch off where it likes.
        records.truncate(asked.partition_max_bytes as usize);
        let aborted = |(producer_id, first_offset): &(i64, i64)| AbortedTransaction {
            producer_id: *producer_id,
            first_offset: *first_offset,
        };
        let out_of_range = asked.fetch_offset > self.next_offset();
        let part = PartitionData {
            error_code: if out_of_range { ErrorCode::OffsetOutOfRange.number() } else { 0 },
            high_watermark: self.next_offset(),
            records: Some(records.into()),
            aborted_transactions: Some(self.aborted.iter().map(aborted).collect()),
            ..Default::default()
        };
        let responses = vec![FetchableTopicResponse { partitions: vec![part], ..Default::default() }];
        FetchResponse { responses, ..Default::default() }
    }

    fn offset_commit(&mut self, request: OffsetCommitRequest) -> OffsetCommitResponse {
        use offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
        let mut topics = vec![];
        for topic in request.topics {
            let mut partitions = vec![];
            for part in &topic.partitions {
                self.committed.push((topic.name.clone(), part.partition_index, part.committed_offset));
                partitions.push(OffsetCommitResponsePartition {
                    partition_index: part.partition_index,
                    error_code: if part.committed_offset > 1000 {
                        ErrorCode::UnknownMemberId.number()
                    } else {
                        0
                    },
                });
            }
            topics.push(OffsetCommitResponseTopic { name: topic.name, partitions, ..Default::default() });
        }
        OffsetCommitResponse { topics, ..Default::default() }
    }

    fn offset_fetch(&self, version: i16) -> OffsetFetchResponse {
        use offset_fetch_response::*;
        if version >= 8 {
            let topic = |(name, partition_index, offset): &(String, i32, i64)| OffsetFetchResponseTopics {
                name: name.clone(),
                partitions: vec![OffsetFetchResponsePartitions {
                    partition_index: *partition_index,
                    committed_offset: *offset,
                    ..Default::default()
                }],
                ..Default::default()
            };
            let topics = self.committed.iter().map(topic).collect();
            let groups =
                vec![OffsetFetchResponseGroup { group_id: "g".into(), topics, ..Default::default() }];
            return OffsetFetchResponse { groups, ..Default::default() };
        }
        let topic = |(name, partition_index, offset): &(String, i32, i64)| OffsetFetchResponseTopic {
            name: name.clone(),
            partitions: vec![OffsetFetchResponsePartition {
                partition_index: *partition_index,
                committed_offset: *offset,
                ..Default::default()
            }],
        };
        OffsetFetchResponse { topics: self.committed.iter().map(topic).collect(), ..Default::default() }
    }

    fn handle(&mut self, header: &RequestHeader, body: Bytes) -> Reply {
        let api = ApiKey::from_number(header.api_key).expect("a known API");
        self.versions.push((api, header.api_version));
        match api {
            ApiKey::Metadata => answer(header, &self.metadata(request(header, body))),
            ApiKey::Produce => match self.produce(header, request(header, body)) {
                Some(response) => answer(header, &response),
                None => Reply::Nothing,
            },
            ApiKey::Fetch => answer(header, &self.fetch(request(header, body))),
            ApiKey::ListOffsets => {
                use list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
                let request: ListOffsetsRequest = request(header, body);
                let offset = match request.topics[0].partitions[0].timestamp {
                    -1 => self.next_offset(),
                    -2 => 0,
                    timestamp => timestamp / 100,
                };
                let partitions = vec![ListOffsetsPartitionResponse { offset, ..Default::default() }];
                let topics = vec![ListOffsetsTopicResponse { partitions, ..Default::default() }];
                answer(header, &ListOffsetsResponse { topics, ..Default::default() })
            }
            ApiKey::FindCoordinator => {
                let (node_id, host, port) = (1, "127.0.0.1".to_owned(), self.port);
                let response = if header.api_version >= 4 {
                    let found =
                        find_coordinator_response::Coordinator { node_id, host, port, ..Default::default() };
                    FindCoordinatorResponse { coordinators: vec![found], ..Default::default() }
                } else {
                    FindCoordinatorResponse { node_id, host, port, ..Default::default() }
                };
                answer(header, &response)
            }
            ApiKey::OffsetCommit => answer(header, &self.offset_commit(request(header, body))),
            ApiKey::OffsetFetch => answer(header, &self.offset_fetch(header.api_version)),
            ApiKey::CreateTopics => {
                let request: CreateTopicsRequest = request(header, body);
                let asked = &request.topics[0];
                let taken = asked.name == "flights";
                let topic = create_topics_response::CreatableTopicResult {
                    name: asked.name.clone(),
                    error_code: if taken { ErrorCode::TopicAlreadyExists.number() } else { 0 },
                    error_message: taken.then(|| "it is there".to_owned()),
                    ..Default::default()
                };
                answer(header, &CreateTopicsResponse { topics: vec![topic], ..Default::default() })
            }
            ApiKey::DeleteTopics => {
                let request: DeleteTopicsRequest = request(header, body);
                let names = request.topics.into_iter().filter_map(|topic| topic.name);
                let result = |name: String| delete_topics_response::DeletableTopicResult {
                    error_code: if name == "flights" { 0 } else { 3 },
                    name: Some(name),
                    ..Default::default()
                };
                let responses = names.chain(request.topic_names).map(result).collect();
                answer(header, &DeleteTopicsResponse { responses, ..Default::default() })
            }
            ApiKey::DescribeConfigs => {
                use describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
                let request: DescribeConfigsRequest = request(header, body);
                let config = DescribeConfigsResourceResult {
                    name: "retention.ms".into(),
                    value: Some(request.resources[0].resource_name.clone()),
                    ..Default::default()
                };
                let results = vec![DescribeConfigsResult { configs: vec![config], ..Default::default() }];
                answer(header, &DescribeConfigsResponse { results, ..Default::default() })
            }
            ApiKey::InitProducerId => answer(
                header,
                &InitProducerIdResponse { producer_id: 55, producer_epoch: 2, ..Default::default() },
            ),
            ApiKey::DescribeGroups => {
                let request: DescribeGroupsRequest = request(header, body);
                let group = |group_id: String| describe_groups_response::DescribedGroup {
                    group_id,
                    group_state: "Stable".into(),
                    ..Default::default()
                };
                let groups = request.groups.into_iter().map(group).collect();
                answer(header, &DescribeGroupsResponse { groups, ..Default::default() })
            }
            ApiKey::ConsumerGroupDescribe => {
                let request: ConsumerGroupDescribeRequest = request(header, body);
                let group = |group_id: String| consumer_group_describe_response::DescribedGroup {
                    error_code: match group_id.as_str() {
                        "modern" => 0,
                        "hidden" => ErrorCode::GroupAuthorizationFailed.number(),
                        _ => ErrorCode::GroupIdNotFound.number(),
                    },
                    group_id,
                    group_state: "Reconciling".into(),
                    ..Default::default()
                };
                let groups = request.group_ids.into_iter().map(group).collect();
                answer(header, &ConsumerGroupDescribeResponse { groups, ..Default::default() })
            }
            other => panic!("not expected: {other:?}"),
        }
    }
}

fn start(changed: &'static [(ApiKey, i16, i16)]) -> (FakeNode, Arc<Mutex<State>>, Client) {
    let state = Arc::new(Mutex::new(State { topic_id: TOPIC_ID, ..State::default() }));
    let shared = state.clone();
    let node = FakeNode::start(move |header, body| match ApiKey::from_number(header.api_key) {
        Some(ApiKey::ApiVersions) => answer(header, &versions(changed)),
        _ => shared.lock().expect("no test panics with it").handle(header, body),
    });
    state.lock().expect("nobody else has it").port = i32::from(node.address.port());
    let client = Client::connect(&node.address.to_string(), "test").expect("it answers");
    (node, state, client)
}

fn batch(compression: Compression, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    for value in values {
        builder.append(1000, Some(b"key"), Some(value.as_bytes()), &[("h", Some(b"v"))]).expect("it fits");
    }
    builder.build().expect("it has records")
}

fn values(records: impl Iterator<Item = Result<FetchedRecord, ClientError>>) -> Vec<(i64, String)> {
    records
        .map(|record| record.expect("well-formed"))
        .map(|record| {
            (record.offset, String::from_utf8(record.value.expect("a value").to_vec()).expect("a text"))
        })
        .collect()
}

fn text(pairs: &[(i64, &str)]) -> Vec<(i64, String)> {
    pairs.iter().map(|(offset, value)| (*offset, (*value).to_owned())).collect()
}

const WAIT: Duration = Duration::from_millis(100);

#[test]
fn records_go_out_and_come_back_by_id_and_by_name() {
    for (old, version) in [(&[][..], 13), (&[(ApiKey::Produce, 0, 8), (ApiKey::Fetch, 4, 11)][..], 8)] {
        let (_node, state, mut client) = start(old);
        let first =
            client.produce("flights", 0, batch(Compression::Lz4, &["a", "b", "c"]), -1).expect("appended");
        assert_eq!(first.base_offset, 0);
        let second =
            client.produce("flights", 0, batch(Compression::None, &["d", "e"]), 1).expect("appended");
        assert_eq!(second.base_offset, 3);
        let mut fetched = client.fetch("flights", 0, 1, 1 << 20, WAIT).expect("fetched");
        assert_eq!((fetched.high_watermark, fetched.next_offset()), (5, 1));
        let record = fetched.next().expect("a record").expect("well-formed");
        assert_eq!((record.offset, record.timestamp, record.key.as_deref()), (1, 1000, Some(&b"key"[..])));
        assert_eq!(record.headers, [(Bytes::from("h"), Some(Bytes::from("v")))]);
        assert_eq!(values(&mut fetched), text(&[(2, "c"), (3, "d"), (4, "e")]));
        assert_eq!(fetched.next_offset(), 5);
        let state = state.lock().expect("no test panics with it");
        assert!(state.versions.contains(&(ApiKey::Produce, version)), "{:?}", state.versions);
        assert_eq!(state.metadata_requests, 1, "the leader is remembered");
    }
}

#[test]
fn a_topic_without_an_id_is_named() {
    let (_node, state, mut client) = start(&[]);
    state.lock().expect("nobody else has it").topic_id = [0; 16];
    client.produce("flights", 0, batch(Compression::None, &["a"]), -1).expect("appended");
    assert_eq!(client.fetch("flights", 0, 0, 1 << 20, WAIT).expect("fetched").count(), 1);
    let state = state.lock().expect("no test panics with it");
    assert!(state.versions.contains(&(ApiKey::Produce, 12)) && state.versions.contains(&(ApiKey::Fetch, 12)));
}

#[test]
fn produce_is_pipelined_and_acks_zero_is_not_waited_for() {
    let (_node, _state, mut client) = start(&[]);
    let unanswered = client.produce("flights", 0, batch(Compression::None, &["x"]), 0).expect("sent");
    assert_eq!(unanswered.base_offset, -1);
    let tickets: Vec<_> = (0..20)
        .map(|_| client.send_produce("flights", 0, batch(Compression::None, &["y"]), -1).expect("sent"))
        .collect();
    for (index, ticket) in tickets.into_iter().enumerate() {
        assert_eq!(client.receive_produce(ticket).expect("appended").base_offset, index as i64 + 1);
    }
}

#[test]
fn a_refusal_names_the_partition_and_drops_what_was_remembered() {
    let (_node, state, mut client) = start(&[]);
    state.lock().expect("nobody else has it").refusal = ErrorCode::NotLeaderOrFollower.number();
    let error = client.produce("flights", 0, batch(Compression::None, &["a"]), -1).expect_err("refused");
    assert_eq!(error.to_string(), "the node refuses: topic=flights partition=0 code=NOT_LEADER_OR_FOLLOWER");
    assert_eq!(error.code(), Some(ErrorCode::NotLeaderOrFollower));
    client.produce("flights", 0, batch(Compression::None, &["a"]), -1).expect("appended");
    assert_eq!(state.lock().expect("no test panics with it").metadata_requests, 2);
    let error = client.produce("nowhere", 0, batch(Compression::None, &["a"]), -1).expect_err("unknown");
    assert_eq!(error.to_string(), "the node refuses: topic=nowhere code=UNKNOWN_TOPIC_OR_PARTITION");
    let error = client.fetch("flights", 9, 0, 100, WAIT).expect_err("unknown");
    assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
    let error = client.fetch("flights", 0, 99, 100, WAIT).expect_err("out of range");
    assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange));
}

#[test]
fn a_cut_off_batch_is_left_for_the_next_fetch() {
    let (_node, state, mut client) = start(&[]);
    let (first, second) = (batch(Compression::None, &["a", "b"]), batch(Compression::None, &["c", "d"]));
    let bytes_max = (first.len() + second.len() - 1) as i32;
    state.lock().expect("nobody else has it").append(first);
    state.lock().expect("nobody else has it").append(second);
    let mut fetched = client.fetch("flights", 0, 0, bytes_max, WAIT).expect("fetched");
    assert_eq!(values(&mut fetched), text(&[(0, "a"), (1, "b")]));
    let next = fetched.next_offset();
    assert_eq!(
        values(client.fetch("flights", 0, next, 1 << 20, WAIT).expect("fetched")),
        text(&[(2, "c"), (3, "d")])
    );
}

#[test]
fn a_damaged_batch_is_an_error_and_ends_the_records() {
    let (_node, state, mut client) = start(&[]);
    let mut damaged = batch(Compression::None, &["a", "b"]).to_vec();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    state.lock().expect("nobody else has it").append(damaged.into());
    let mut fetched = client.fetch("flights", 0, 0, 1 << 20, WAIT).expect("fetched");
    let error = fetched.next().expect("an error").expect_err("the CRC is wrong");
    let text = error.to_string();
    assert!(text.starts_with("records cannot be read: topic=flights partition=0 offset=0 reason="), "{text}");
    assert!(fetched.next().is_none());
}

#[test]
fn a_reader_of_committed_data_sees_no_aborted_records() {
    let (_node, state, mut client) = start(&[]);
    let transactional = |producer: i64, value: &str| {
        let mut builder = BatchBuilder::new(Compression::None).producer(producer, 0, 0).transactional();
        builder.append(1, None, Some(value.as_bytes()), &[]).expect("it fits");
        builder.build().expect("it has a record")
    };
    let marker = |kind, producer| control_batch(kind, producer, 0, 0, 1).expect("it can be built");
    {
        let mut state = state.lock().expect("nobody else has it");
        state.append(transactional(5, "aborted"));
        state.append(transactional(6, "committed"));
        state.append(marker(ControlKind::Abort, 5));
        state.append(batch(Compression::None, &["plain"]));
        state.append(transactional(5, "committed later"));
        state.append(marker(ControlKind::Commit, 5));
        state.append(marker(ControlKind::Commit, 6));
        state.aborted = vec![(5, 0)];
    }
    let committed = client.fetch_isolated("flights", 0, 0, 1 << 20, WAIT, Isolation::ReadCommitted);
    let mut committed = committed.expect("fetched");
    assert_eq!(values(&mut committed), text(&[(1, "committed"), (3, "plain"), (4, "committed later")]));
    assert_eq!(committed.next_offset(), 7, "the markers are passed");
    assert_eq!(client.fetch("flights", 0, 0, 1 << 20, WAIT).expect("fetched").count(), 4);
}

#[test]
fn offsets_are_looked_up() {
    let (_node, _state, mut client) = start(&[]);
    client.produce("flights", 0, batch(Compression::None, &["a", "b"]), -1).expect("appended");
    for (spec, expected) in
        [(OffsetSpec::Earliest, 0), (OffsetSpec::Latest, 2), (OffsetSpec::Timestamp(700), 7)]
    {
        assert_eq!(client.list_offsets("flights", 0, spec).expect("found").offset, expected);
    }
}

#[test]
fn group_offsets_in_old_and_new_versions() {
    let old: &[(ApiKey, i16, i16)] = &[(ApiKey::OffsetFetch, 1, 7), (ApiKey::FindCoordinator, 0, 3)];
    for changed in [&[][..], old] {
        let (_node, state, mut client) = start(changed);
        let offset =
            |topic: &str, partition, offset| OffsetToCommit { topic: topic.into(), partition, offset };
        let offsets = [offset("flights", 0, 5), offset("other", 2, 6), offset("flights", 1, 7)];
        client.offset_commit("g", &offsets).expect("committed");
        assert_eq!(state.lock().expect("no test panics with it").committed.len(), 3);
        state.lock().expect("no test panics with it").committed.push(("unset".into(), 0, -1));
        let fetched = client.offset_fetch("g").expect("fetched");
        let mut fetched: Vec<_> =
            fetched.iter().map(|offset| (offset.topic.as_str(), offset.partition, offset.offset)).collect();
        fetched.sort_unstable();
        assert_eq!(fetched, [("flights", 0, 5), ("flights", 1, 7), ("other", 2, 6)]);
        let error = client.offset_commit("g", &[offset("flights", 0, 2000)]).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "the node refuses: group=g topic=flights partition=0 code=UNKNOWN_MEMBER_ID"
        );
        let described = client.describe_groups(&["g", "h"]).expect("described");
        assert_eq!(described.iter().map(|group| group.group_id.as_str()).collect::<Vec<_>>(), ["g", "h"]);
    }
}

#[test]
fn a_consumer_group_is_told_from_other_groups() {
    let (_node, _state, mut client) = start(&[]);
    let described = client.describe_consumer_group("modern").expect("an answer").expect("it is one");
    assert_eq!((described.group_id.as_str(), described.group_state.as_str()), ("modern", "Reconciling"));
    assert_eq!(client.describe_consumer_group("classic").expect("an answer"), None);
    let error = client.describe_consumer_group("hidden").expect_err("it may not be seen");
    assert_eq!(error.to_string(), "the node refuses: group=hidden code=GROUP_AUTHORIZATION_FAILED");
}

#[test]
fn topics_and_configurations() {
    for changed in [&[][..], &[(ApiKey::DeleteTopics, 1, 5)][..]] {
        let (_node, _state, mut client) = start(changed);
        client.create_topic("new", 3, 1, &[("retention.ms", "1000")]).expect("created");
        let error = client.create_topic("flights", 1, 1, &[]).expect_err("it exists");
        assert_eq!(
            error.to_string(),
            "the node refuses: topic=flights code=TOPIC_ALREADY_EXISTS message=it is there"
        );
        client.delete_topics(&["flights"]).expect("deleted");
        let error = client.delete_topics(&["flights", "gone"]).expect_err("one is unknown");
        assert!(error.to_string().starts_with("the node refuses: topic=gone"), "{error}");
        let configs = client.describe_configs(ConfigResource::Topic("flights")).expect("described");
        assert_eq!(configs[0].value.as_deref(), Some("flights"));
        let configs = client.describe_configs(ConfigResource::Broker(1)).expect("described");
        assert_eq!(configs[0].value.as_deref(), Some("1"));
        let producer = client.init_producer_id(None, Duration::from_secs(60)).expect("given");
        assert_eq!((producer.id, producer.epoch), (55, 2));
        let producer = client.init_producer_id(Some("t"), Duration::from_secs(60)).expect("given");
        assert_eq!(producer.id, 55);
    }
}

#[test]
fn the_first_address_that_answers_is_taken() {
    let (node, _state, _client) = start(&[]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let dead = free.local_addr().expect("it is bound");
    drop(free);
    assert!(Client::connect(&format!("{dead}, {}", node.address), "test").is_ok());
    assert!(matches!(Client::connect(&dead.to_string(), "test"), Err(ClientError::Unreachable { .. })));
    assert!(matches!(Client::connect(" , ", "test"), Err(ClientError::Address { .. })));
}
