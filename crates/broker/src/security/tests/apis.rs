//! Every API of the registry: what the table says it needs, and what it answers to who has nothing.

use super::super::needs::NEEDS;
use super::super::{Operation, PatternType, Permission, ResourceType, RulesChange};
use super::{acl, node, peer};
use crate::api::APIS;
use crate::call::Peer;
use crate::testing::{Answer, Node, batch, produce_request};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode::{
    self, ClusterAuthorizationFailed, GroupAuthorizationFailed, TopicAuthorizationFailed,
    TransactionalIdAuthorizationFailed,
};
use kafka_wire::messages::*;
use kafka_wire::records::Compression;

const TOPIC: &str = "secret";
const GROUP: &str = "group";
const TXN: &str = "txn";

#[test]
fn every_api_stands_in_the_table_once() {
    for api in APIS {
        let entries = NEEDS.iter().filter(|(key, _)| *key == api.key).count();
        assert_eq!(entries, 1, "{:?} stands {entries} times in security/needs.rs", api.key);
    }
    for (key, needs) in NEEDS {
        for need in *needs {
            assert!(need.1.operations().contains(&need.0), "{key:?}: {need:?} makes no sense");
        }
    }
}

/// What an API answers to this client: `Err` with every code of the answer, `Ok` if it shows nothing of
/// the topic, the group and the transaction although it refuses nothing.
fn answers(node: &Node, who: &Peer, api: ApiKey) -> Vec<ErrorCode> {
    use add_partitions_to_txn_request::AddPartitionsToTxnTopic;
    use alter_configs_request::AlterConfigsResource;
    use create_acls_request::AclCreation;
    use create_partitions_request::CreatePartitionsTopic;
    use create_topics_request::CreatableTopic;
    use delete_acls_request::DeleteAclsFilter;
    use delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    use delete_topics_request::DeleteTopicState;
    use describe_configs_request::DescribeConfigsResource;
    use describe_producers_request::TopicRequest as DescribedTopic;
    use describe_topic_partitions_request::TopicRequest;
    use fetch_request::{FetchPartition, FetchTopic};
    use list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    use metadata_request::MetadataRequestTopic;
    use offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    use offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
    use offset_fetch_request::OffsetFetchRequestGroup;
    use offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
    use txn_offset_commit_request::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic};
    use write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};

    let (topic, group, txn) = (TOPIC.to_string(), GROUP.to_string(), TXN.to_string());
    let id = node.log.topic(TOPIC).unwrap().id.0;
    let codes: Vec<i16> = match api {
        ApiKey::Produce => {
            let mut codes = Vec::new();
            let mut request = produce_request(TOPIC, 0, batch(Compression::None, &[(1, "x")]));
            request.topic_data[0].topic_id = id;
            for version in [9, 13] {
                let answer = node.call_as(who, &request, version);
                codes.push(answer.responses[0].partition_responses[0].error_code);
            }
            let request = ProduceRequest { transactional_id: Some(txn), ..request };
            codes.push(node.call_as(who, &request, 9).responses[0].partition_responses[0].error_code);
            codes
        }
        ApiKey::Fetch => {
            let partitions = vec![FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() }];
            let topics = vec![FetchTopic { topic, topic_id: id, partitions }];
            let request =
                FetchRequest { max_bytes: 1 << 20, topics, session_epoch: -1, ..Default::default() };
            let code = |version| node.call_as(who, &request, version).responses[0].partitions[0].error_code;
            vec![code(12), code(13)]
        }
        ApiKey::ListOffsets => {
            let partitions = vec![ListOffsetsPartition { timestamp: -1, ..Default::default() }];
            let topics = vec![ListOffsetsTopic { name: topic, partitions }];
            let request = ListOffsetsRequest { topics, ..Default::default() };
            vec![node.call_as(who, &request, 7).topics[0].partitions[0].error_code]
        }
        ApiKey::Metadata => {
            assert!(
                node.call_as(who, &MetadataRequest { topics: None, ..Default::default() }, 12)
                    .topics
                    .is_empty()
            );
            let named = |topic: MetadataRequestTopic| {
                let request = MetadataRequest { topics: Some(vec![topic]), ..Default::default() };
                node.call_as(who, &request, 12).topics.remove(0).error_code
            };
            let by_id = named(MetadataRequestTopic { topic_id: id, name: None });
            assert_eq!(by_id, ErrorCode::UnknownTopicId.number());
            // A topic that is not there looks the same, and is not created.
            let absent = MetadataRequestTopic { name: Some("absent".into()), ..Default::default() };
            vec![named(MetadataRequestTopic { name: Some(topic), ..Default::default() }), named(absent)]
        }
        ApiKey::OffsetCommit => {
            let partitions = vec![OffsetCommitRequestPartition::default()];
            let topics = vec![OffsetCommitRequestTopic { name: topic, topic_id: id, partitions }];
            let request = OffsetCommitRequest {
                group_id: group,
                generation_id_or_member_epoch: -1,
                topics,
                ..Default::default()
            };
            let code = |version| node.call_as(who, &request, version).topics[0].partitions[0].error_code;
            vec![code(9), code(10)]
        }
        ApiKey::OffsetFetch => {
            let old = OffsetFetchRequest { group_id: group.clone(), topics: None, ..Default::default() };
            let asked = OffsetFetchRequestGroup { group_id: group, topics: None, ..Default::default() };
            let new = OffsetFetchRequest { groups: vec![asked], ..Default::default() };
            vec![node.call_as(who, &old, 7).error_code, node.call_as(who, &new, 8).groups[0].error_code]
        }
        ApiKey::FindCoordinator => {
            let code = |key: &str, key_type| {
                let old = FindCoordinatorRequest { key: key.into(), key_type, ..Default::default() };
                let new = FindCoordinatorRequest {
                    coordinator_keys: vec![key.into()],
                    key_type,
                    ..Default::default()
                };
                let code = node.call_as(who, &old, 3).error_code;
                assert_eq!(code, node.call_as(who, &new, 4).coordinators[0].error_code);
                code
            };
            vec![code(GROUP, 0), code(TXN, 1)]
        }
        ApiKey::JoinGroup => {
            let request =
                JoinGroupRequest { group_id: group, session_timeout_ms: 10_000, ..Default::default() };
            vec![node.call_as(who, &request, 7).error_code]
        }
        ApiKey::Heartbeat => {
            vec![node.call_as(who, &HeartbeatRequest { group_id: group, ..Default::default() }, 4).error_code]
        }
        ApiKey::LeaveGroup => {
            vec![
                node.call_as(who, &LeaveGroupRequest { group_id: group, ..Default::default() }, 4).error_code,
            ]
        }
        ApiKey::SyncGroup => {
            vec![node.call_as(who, &SyncGroupRequest { group_id: group, ..Default::default() }, 5).error_code]
        }
        ApiKey::DescribeGroups => {
            let request = DescribeGroupsRequest { groups: vec![group], ..Default::default() };
            vec![node.call_as(who, &request, 5).groups[0].error_code]
        }
        ApiKey::ListGroups => {
            assert!(node.call_as(who, &ListGroupsRequest::default(), 4).groups.is_empty());
            vec![]
        }
        ApiKey::CreateTopics => {
            let new = CreatableTopic {
                name: "new".into(),
                num_partitions: 1,
                replication_factor: 1,
                ..Default::default()
            };
            let request = CreateTopicsRequest { topics: vec![new], ..Default::default() };
            vec![node.call_as(who, &request, 7).topics[0].error_code]
        }
        ApiKey::DeleteTopics => {
            let code = |asked: DeleteTopicState| {
                let request = DeleteTopicsRequest { topics: vec![asked], ..Default::default() };
                let answer = node.call_as(who, &request, 6).responses.remove(0);
                answer.error_code
            };
            let by_name = DeleteTopicState { name: Some(topic), ..Default::default() };
            vec![code(by_name), code(DeleteTopicState { name: None, topic_id: id })]
        }
        ApiKey::DeleteRecords => {
            let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: -1 }];
            let topics = vec![DeleteRecordsTopic { name: topic, partitions }];
            let request = DeleteRecordsRequest { topics, ..Default::default() };
            vec![node.call_as(who, &request, 2).topics[0].partitions[0].error_code]
        }
        ApiKey::InitProducerId => {
            let code = |transactional_id| {
                let request = InitProducerIdRequest {
                    transactional_id,
                    transaction_timeout_ms: 1_000,
                    producer_id: -1,
                    producer_epoch: -1,
                    ..Default::default()
                };
                node.call_as(who, &request, 4).error_code
            };
            vec![code(None), code(Some(txn))]
        }
        ApiKey::OffsetForLeaderEpoch => {
            let partitions =
                vec![OffsetForLeaderPartition { current_leader_epoch: -1, ..Default::default() }];
            let topics = vec![OffsetForLeaderTopic { topic, partitions }];
            let request = OffsetForLeaderEpochRequest { topics, ..Default::default() };
            vec![node.call_as(who, &request, 4).topics[0].partitions[0].error_code]
        }
        ApiKey::AddPartitionsToTxn => {
            let topics = vec![AddPartitionsToTxnTopic { name: topic, partitions: vec![0] }];
            let request = AddPartitionsToTxnRequest {
                v3_and_below_transactional_id: txn,
                v3_and_below_topics: topics,
                ..Default::default()
            };
            let answer = node.call_as(who, &request, 3);
            vec![answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code]
        }
        ApiKey::AddOffsetsToTxn => {
            let request =
                AddOffsetsToTxnRequest { transactional_id: txn, group_id: group, ..Default::default() };
            vec![node.call_as(who, &request, 3).error_code]
        }
        ApiKey::EndTxn => {
            vec![
                node.call_as(who, &EndTxnRequest { transactional_id: txn, ..Default::default() }, 3)
                    .error_code,
            ]
        }
        ApiKey::WriteTxnMarkers => {
            let topics = vec![WritableTxnMarkerTopic { name: topic, partition_indexes: vec![0] }];
            let request =
                WriteTxnMarkersRequest { markers: vec![WritableTxnMarker { topics, ..Default::default() }] };
            vec![node.call_as(who, &request, 1).markers[0].topics[0].partitions[0].error_code]
        }
        ApiKey::TxnOffsetCommit => {
            // Bad input 13: the way round OffsetCommit.
            let partitions = vec![TxnOffsetCommitRequestPartition::default()];
            let topics = vec![TxnOffsetCommitRequestTopic { name: topic, topic_id: id, partitions }];
            let request = TxnOffsetCommitRequest {
                transactional_id: txn,
                group_id: group,
                generation_id_or_member_epoch: -1,
                topics,
                ..Default::default()
            };
            vec![node.call_as(who, &request, 5).topics[0].partitions[0].error_code]
        }
        ApiKey::DescribeAcls => {
            let request = DescribeAclsRequest {
                resource_type_filter: 1,
                pattern_type_filter: 1,
                operation: 1,
                permission_type: 1,
                ..Default::default()
            };
            vec![node.call_as(who, &request, 3).error_code]
        }
        ApiKey::CreateAcls => {
            let creation = AclCreation {
                resource_type: 2,
                resource_name: "*".into(),
                resource_pattern_type: 3,
                principal: "User:CN=nobody".into(),
                host: "*".into(),
                operation: 2,
                permission_type: 3,
            };
            vec![node.call_as(who, &CreateAclsRequest { creations: vec![creation] }, 3).results[0].error_code]
        }
        ApiKey::DeleteAcls => {
            let filter = DeleteAclsFilter {
                resource_type_filter: 1,
                pattern_type_filter: 1,
                operation: 1,
                permission_type: 1,
                ..Default::default()
            };
            vec![
                node.call_as(who, &DeleteAclsRequest { filters: vec![filter] }, 3).filter_results[0]
                    .error_code,
            ]
        }
        ApiKey::DescribeConfigs => {
            let code = |resource_type, name: &str| {
                let resource = DescribeConfigsResource {
                    resource_type,
                    resource_name: name.into(),
                    configuration_keys: None,
                };
                let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
                let result = node.call_as(who, &request, 4).results.remove(0);
                assert!(result.error_code == 0 || result.configs.is_empty());
                result.error_code
            };
            vec![code(2, TOPIC), code(4, "1"), code(32, GROUP)]
        }
        ApiKey::AlterConfigs => {
            let code = |resource_type, name: &str| {
                let resource =
                    AlterConfigsResource { resource_type, resource_name: name.into(), ..Default::default() };
                let request = AlterConfigsRequest { resources: vec![resource], validate_only: false };
                node.call_as(who, &request, 2).responses[0].error_code
            };
            vec![code(2, TOPIC), code(4, "1"), code(32, GROUP)]
        }
        ApiKey::IncrementalAlterConfigs => {
            let code = |resource_type, name: &str| {
                let resource = incremental_alter_configs_request::AlterConfigsResource {
                    resource_type,
                    resource_name: name.into(),
                    ..Default::default()
                };
                let request =
                    IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
                node.call_as(who, &request, 1).responses[0].error_code
            };
            vec![code(2, TOPIC), code(4, "1"), code(4, ""), code(32, GROUP)]
        }
        ApiKey::DescribeLogDirs => {
            let answer = node.call_as(who, &DescribeLogDirsRequest { topics: None }, 4);
            assert!(answer.error_code == 0 || answer.results.is_empty());
            vec![answer.error_code]
        }
        ApiKey::AlterReplicaLogDirs => {
            use alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
            let topics = vec![AlterReplicaLogDirTopic { name: topic, partitions: vec![0] }];
            let request = AlterReplicaLogDirsRequest {
                dirs: vec![AlterReplicaLogDir { path: "elsewhere".into(), topics }],
            };
            vec![node.call_as(who, &request, 2).results[0].partitions[0].error_code]
        }
        ApiKey::ElectLeaders => {
            use elect_leaders_request::TopicPartitions;
            let asked = TopicPartitions { topic, partitions: vec![0] };
            let request = ElectLeadersRequest { topic_partitions: Some(vec![asked]), ..Default::default() };
            let answer = node.call_as(who, &request, 2);
            vec![answer.error_code, answer.replica_election_results[0].partition_result[0].error_code]
        }
        ApiKey::AlterPartitionReassignments => {
            vec![node.call_as(who, &AlterPartitionReassignmentsRequest::default(), 1).error_code]
        }
        ApiKey::ListPartitionReassignments => {
            vec![node.call_as(who, &ListPartitionReassignmentsRequest::default(), 0).error_code]
        }
        ApiKey::DescribeQuorum => {
            vec![node.call_as(who, &DescribeQuorumRequest::default(), 2).error_code]
        }
        ApiKey::ListConfigResources => {
            let answer = node.call_as(who, &ListConfigResourcesRequest::default(), 1);
            assert!(answer.error_code == 0 || answer.config_resources.is_empty());
            vec![answer.error_code]
        }
        ApiKey::CreatePartitions => {
            let topics = vec![CreatePartitionsTopic { name: topic, count: 9, assignments: None }];
            let request = CreatePartitionsRequest { topics, ..Default::default() };
            vec![node.call_as(who, &request, 3).results[0].error_code]
        }
        ApiKey::DeleteGroups => {
            vec![
                node.call_as(who, &DeleteGroupsRequest { groups_names: vec![group] }, 2).results[0]
                    .error_code,
            ]
        }
        ApiKey::OffsetDelete => {
            let partitions = vec![OffsetDeleteRequestPartition { partition_index: 0 }];
            let topics = vec![OffsetDeleteRequestTopic { name: topic, partitions }];
            vec![node.call_as(who, &OffsetDeleteRequest { group_id: group, topics }, 0).error_code]
        }
        ApiKey::ShareGroupHeartbeat => {
            let request = ShareGroupHeartbeatRequest {
                group_id: group,
                member_id: "m".into(),
                subscribed_topic_names: Some(vec![topic]),
                ..Default::default()
            };
            vec![node.call_as(who, &request, 1).error_code]
        }
        ApiKey::ShareGroupDescribe => {
            let request = ShareGroupDescribeRequest { group_ids: vec![group], ..Default::default() };
            vec![node.call_as(who, &request, 1).groups[0].error_code]
        }
        ApiKey::ShareFetch => {
            let partition = share_fetch_request::FetchPartition::default();
            let topics = vec![share_fetch_request::FetchTopic { topic_id: id, partitions: vec![partition] }];
            let (group_id, member_id) = (Some(group), Some("m".into()));
            let request = ShareFetchRequest { group_id, member_id, topics, ..Default::default() };
            let answer = node.call_as(who, &request, 2);
            let parts = answer.responses.iter().flat_map(|topic| &topic.partitions);
            parts.map(|part| part.error_code).chain([answer.error_code]).collect()
        }
        ApiKey::ShareAcknowledge => {
            let (group_id, member_id) = (Some(group), Some("m".into()));
            let request = ShareAcknowledgeRequest { group_id, member_id, ..Default::default() };
            vec![node.call_as(who, &request, 2).error_code]
        }
        ApiKey::DescribeShareGroupOffsets => {
            use describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup as Asked;
            let groups = vec![Asked { group_id: group, topics: None }];
            vec![node.call_as(who, &DescribeShareGroupOffsetsRequest { groups }, 1).groups[0].error_code]
        }
        ApiKey::AlterShareGroupOffsets => {
            let request = AlterShareGroupOffsetsRequest { group_id: group, topics: vec![] };
            vec![node.call_as(who, &request, 0).error_code]
        }
        ApiKey::DeleteShareGroupOffsets => {
            let request = DeleteShareGroupOffsetsRequest { group_id: group, topics: vec![] };
            vec![node.call_as(who, &request, 0).error_code]
        }
        ApiKey::AlterClientQuotas => {
            let entity = alter_client_quotas_request::EntityData {
                entity_type: "user".into(),
                entity_name: Some("alice".into()),
            };
            let entry = alter_client_quotas_request::EntryData { entity: vec![entity], ops: Vec::new() };
            let request = AlterClientQuotasRequest { entries: vec![entry], validate_only: true };
            vec![node.call_as(who, &request, 1).entries[0].error_code]
        }
        ApiKey::DescribeClientQuotas => {
            vec![node.call_as(who, &DescribeClientQuotasRequest::default(), 1).error_code]
        }
        ApiKey::DescribeUserScramCredentials => {
            let request = DescribeUserScramCredentialsRequest { users: None };
            vec![node.call_as(who, &request, 0).error_code]
        }
        ApiKey::AlterUserScramCredentials => {
            let deletion = alter_user_scram_credentials_request::ScramCredentialDeletion {
                name: "alice".into(),
                mechanism: 1,
            };
            let request =
                AlterUserScramCredentialsRequest { deletions: vec![deletion], ..Default::default() };
            vec![node.call_as(who, &request, 0).results[0].error_code]
        }
        ApiKey::DescribeProducers => {
            let topics = vec![DescribedTopic { name: topic, partition_indexes: vec![0] }];
            vec![
                node.call_as(who, &DescribeProducersRequest { topics }, 0).topics[0].partitions[0].error_code,
            ]
        }
        ApiKey::DescribeTransactions => {
            let request = DescribeTransactionsRequest { transactional_ids: vec![txn] };
            vec![node.call_as(who, &request, 0).transaction_states[0].error_code]
        }
        ApiKey::ListTransactions => {
            let request = ListTransactionsRequest { duration_filter: -1, ..Default::default() };
            assert!(node.call_as(who, &request, 1).transaction_states.is_empty());
            vec![]
        }
        ApiKey::ConsumerGroupHeartbeat => {
            let request = ConsumerGroupHeartbeatRequest {
                group_id: group,
                member_id: "m".into(),
                rebalance_timeout_ms: 1_000,
                subscribed_topic_names: Some(vec![topic]),
                topic_partitions: Some(Vec::new()),
                ..Default::default()
            };
            vec![node.call_as(who, &request, 1).error_code]
        }
        ApiKey::ConsumerGroupDescribe => {
            let request = ConsumerGroupDescribeRequest { group_ids: vec![group], ..Default::default() };
            vec![node.call_as(who, &request, 1).groups[0].error_code]
        }
        ApiKey::DescribeTopicPartitions => {
            let all = DescribeTopicPartitionsRequest { response_partition_limit: 9, ..Default::default() };
            assert!(node.call_as(who, &all, 0).topics.is_empty());
            let request =
                DescribeTopicPartitionsRequest { topics: vec![TopicRequest { name: topic }], ..all };
            vec![node.call_as(who, &request, 0).topics[0].error_code]
        }
        // What everybody may do.
        ApiKey::ApiVersions | ApiKey::DescribeCluster | ApiKey::SaslHandshake | ApiKey::SaslAuthenticate => {
            vec![]
        }
    };
    codes.into_iter().map(|code| ErrorCode::from_number(code).unwrap()).collect()
}

fn refusals(api: ApiKey) -> Vec<ErrorCode> {
    let (topic, group, cluster, txn) = (
        TopicAuthorizationFailed,
        GroupAuthorizationFailed,
        ClusterAuthorizationFailed,
        TransactionalIdAuthorizationFailed,
    );
    match api {
        ApiKey::Produce => vec![topic, topic, txn],
        ApiKey::Fetch | ApiKey::Metadata | ApiKey::DeleteTopics => vec![topic, topic],
        ApiKey::OffsetCommit | ApiKey::OffsetFetch => vec![group, group],
        ApiKey::FindCoordinator => vec![group, txn],
        ApiKey::JoinGroup
        | ApiKey::Heartbeat
        | ApiKey::LeaveGroup
        | ApiKey::SyncGroup
        | ApiKey::DescribeGroups
        | ApiKey::DeleteGroups
        | ApiKey::ConsumerGroupHeartbeat
        | ApiKey::ConsumerGroupDescribe
        | ApiKey::ShareGroupHeartbeat
        | ApiKey::ShareGroupDescribe
        | ApiKey::ShareFetch
        | ApiKey::ShareAcknowledge
        | ApiKey::DescribeShareGroupOffsets
        | ApiKey::AlterShareGroupOffsets
        | ApiKey::DeleteShareGroupOffsets
        | ApiKey::OffsetDelete => vec![group],
        ApiKey::InitProducerId => vec![cluster, txn],
        ApiKey::ElectLeaders => vec![cluster, cluster],
        ApiKey::AddPartitionsToTxn
        | ApiKey::AddOffsetsToTxn
        | ApiKey::EndTxn
        | ApiKey::TxnOffsetCommit
        | ApiKey::DescribeTransactions => vec![txn],
        ApiKey::DescribeConfigs | ApiKey::AlterConfigs => vec![topic, cluster, group],
        ApiKey::IncrementalAlterConfigs => vec![topic, cluster, cluster, group],
        ApiKey::WriteTxnMarkers
        | ApiKey::DescribeAcls
        | ApiKey::CreateAcls
        | ApiKey::DeleteAcls
        | ApiKey::DescribeLogDirs
        | ApiKey::AlterReplicaLogDirs
        | ApiKey::AlterPartitionReassignments
        | ApiKey::ListPartitionReassignments
        | ApiKey::DescribeQuorum
        | ApiKey::ListConfigResources
        | ApiKey::AlterClientQuotas
        | ApiKey::DescribeClientQuotas
        | ApiKey::DescribeUserScramCredentials
        | ApiKey::AlterUserScramCredentials => vec![cluster],
        ApiKey::ListGroups
        | ApiKey::ListTransactions
        | ApiKey::ApiVersions
        | ApiKey::DescribeCluster
        | ApiKey::SaslHandshake
        | ApiKey::SaslAuthenticate => vec![],
        _ => vec![topic],
    }
}

/// A node with a topic, a group and a transaction of the super user's.
fn furnished() -> Node {
    let node = node();
    let admin = peer(&node, "admin");
    node.create_topic_as_admin(TOPIC);
    for api in [ApiKey::OffsetCommit, ApiKey::InitProducerId] {
        assert!(answers(&node, &admin, api).iter().all(|code| *code == ErrorCode::None));
    }
    super::set_user(&node, "alice", "secret", auth::Mechanism::Sha256);
    node
}

#[test]
fn who_has_nothing_is_refused_by_every_api_and_changes_nothing() {
    let node = furnished();
    let nobody = peer(&node, "nobody");
    let before = (node.broker.rules(), node.log.topics().len());
    for api in APIS {
        assert_eq!(answers(&node, &nobody, api.key), refusals(api.key), "{:?}", api.key);
    }
    assert_eq!((node.broker.rules(), node.log.topics().len()), before);
    // Neither is who did not say who they are, once there is a user.
    let metadata = MetadataRequest { topics: None, ..Default::default() };
    assert!(node.call_as(&Node::peer(), &metadata, 12).topics.is_empty());
    // The super user sees and may do all of it.
    let admin = peer(&node, "admin");
    let refusals = [
        TopicAuthorizationFailed,
        GroupAuthorizationFailed,
        ClusterAuthorizationFailed,
        TransactionalIdAuthorizationFailed,
    ];
    assert_eq!(node.call_as(&admin, &metadata, 12).topics.len(), 1);
    for api in
        [ApiKey::Produce, ApiKey::Fetch, ApiKey::DescribeAcls, ApiKey::DescribeConfigs, ApiKey::CreateAcls]
    {
        let codes = answers(&node, &admin, api);
        assert!(!codes.iter().any(|code| refusals.contains(code)), "{api:?}: {codes:?}");
    }
}

#[test]
fn nothing_is_refused_before_there_is_a_user_or_a_rule() {
    let node = Node::new();
    node.create_topic(TOPIC, 1, &[]);
    let refusals = [
        TopicAuthorizationFailed,
        GroupAuthorizationFailed,
        ClusterAuthorizationFailed,
        TransactionalIdAuthorizationFailed,
    ];
    for api in
        [ApiKey::Produce, ApiKey::Fetch, ApiKey::DescribeConfigs, ApiKey::DescribeAcls, ApiKey::OffsetCommit]
    {
        let codes = answers(&node, &Node::peer(), api);
        // A transactional producer without an identity is another matter.
        assert!(!codes[..1].iter().any(|code| refusals.contains(code)), "{api:?}: {codes:?}");
    }
}

#[test]
fn each_need_of_the_table_is_enough() {
    // With exactly the operations of the table on the named resources no answer is a refusal.
    for api in APIS {
        let (_, needs) = NEEDS.iter().find(|(key, _)| *key == api.key).unwrap();
        if matches!(
            api.key,
            ApiKey::Metadata
                | ApiKey::ListGroups
                | ApiKey::ListTransactions
                | ApiKey::DescribeTopicPartitions
        ) {
            // What they show is asserted to be empty in `answers`.
            continue;
        }
        let node = furnished();
        let rules = needs.iter().map(|need| {
            let name = match need.1 {
                ResourceType::Topic if api.key == ApiKey::CreateTopics => "new",
                ResourceType::Topic => TOPIC,
                ResourceType::Group => GROUP,
                ResourceType::TransactionalId => TXN,
                _ => super::super::acl::CLUSTER_NAME,
            };
            acl((need.1, PatternType::Literal, name), "User:CN=somebody", need.0, Permission::Allow)
        });
        let rules: Vec<_> = rules.collect();
        if !rules.is_empty() {
            node.broker.change_rules(vec![RulesChange::AclsAdded(rules)]).unwrap();
        }
        let codes = answers(&node, &peer(&node, "somebody"), api.key);
        for refusal in refusals(api.key) {
            // A batch that is not transactional, by a transactional producer, is refused by other words.
            assert!(!codes.contains(&refusal), "{:?}: {codes:?}", api.key);
        }
    }
}

#[test]
fn operations_are_told_to_who_asks() {
    let node = furnished();
    let rules = vec![
        acl(
            (ResourceType::Topic, PatternType::Literal, TOPIC),
            "User:CN=reader",
            Operation::Read,
            Permission::Allow,
        ),
        acl(
            (ResourceType::Group, PatternType::Prefixed, "gr"),
            "User:CN=reader",
            Operation::Delete,
            Permission::Allow,
        ),
    ];
    node.broker.change_rules(vec![RulesChange::AclsAdded(rules)]).unwrap();
    let reader = peer(&node, "reader");
    let bits = |operations: &[Operation]| operations.iter().fold(0, |bits, one| bits | 1 << one.number());
    let request = MetadataRequest {
        topics: None,
        include_topic_authorized_operations: true,
        include_cluster_authorized_operations: true,
        ..Default::default()
    };
    let answer = node.call_as(&reader, &request, 10);
    assert_eq!(answer.topics[0].topic_authorized_operations, bits(&[Operation::Read, Operation::Describe]));
    assert_eq!(answer.cluster_authorized_operations, 0);
    let request = DescribeGroupsRequest { groups: vec![GROUP.into()], include_authorized_operations: true };
    let answer = node.call_as(&reader, &request, 5);
    assert_eq!(answer.groups[0].authorized_operations, bits(&[Operation::Delete, Operation::Describe]));
    assert_eq!(node.call_as(&reader, &ListGroupsRequest::default(), 4).groups.len(), 1);
    let request = DescribeClusterRequest {
        include_cluster_authorized_operations: true,
        endpoint_type: 1,
        ..Default::default()
    };
    let answer = node.call_as(&peer(&node, "admin"), &request, 1);
    assert_eq!(answer.cluster_authorized_operations, bits(ResourceType::Cluster.operations()));
}

#[test]
fn rules_are_made_listed_and_deleted_over_the_wire() {
    use create_acls_request::AclCreation;
    use delete_acls_request::DeleteAclsFilter;
    let node = node();
    let admin = peer(&node, "admin");
    let creation = AclCreation {
        resource_type: 2,
        resource_name: "orders".into(),
        resource_pattern_type: 4,
        principal: "User:alice".into(),
        host: "*".into(),
        operation: 3,
        permission_type: 3,
    };
    let wrong = [
        AclCreation { resource_type: 1, ..creation.clone() },
        AclCreation { resource_pattern_type: 2, ..creation.clone() },
        AclCreation { operation: 1, ..creation.clone() },
        AclCreation { operation: 12, ..creation.clone() },
        AclCreation { permission_type: 1, ..creation.clone() },
        AclCreation { resource_name: String::new(), ..creation.clone() },
        AclCreation { resource_type: 4, operation: 7, ..creation.clone() },
        AclCreation { principal: "alice".into(), ..creation.clone() },
        AclCreation { host: "example.org".into(), ..creation.clone() },
    ];
    let mut creations = vec![creation];
    creations.extend(wrong);
    let results = node.call_as(&admin, &CreateAclsRequest { creations }, 3).results;
    assert_eq!(results[0].error_code, 0);
    assert!(
        results[1..].iter().all(|result| result.error_code != 0 && result.error_message.is_some()),
        "{results:?}"
    );
    let list = DescribeAclsRequest {
        resource_type_filter: 2,
        resource_name_filter: Some("orders-eu".into()),
        pattern_type_filter: 2,
        principal_filter: None,
        host_filter: None,
        operation: 1,
        permission_type: 1,
    };
    let found = node.call_as(&admin, &list, 3);
    assert_eq!((found.resources.len(), found.resources[0].acls[0].principal.as_str()), (1, "User:alice"));
    let filter = DeleteAclsFilter {
        resource_type_filter: 1,
        pattern_type_filter: 1,
        resource_name_filter: None,
        host_filter: None,
        principal_filter: Some("User:alice".into()),
        operation: 1,
        permission_type: 1,
    };
    let deleted = node.call_as(&admin, &DeleteAclsRequest { filters: vec![filter] }, 3);
    assert_eq!(deleted.filter_results[0].matching_acls.len(), 1);
    assert!(node.call_as(&admin, &list, 3).resources.is_empty());
    assert!(matches!(node.answer_to(&admin, &list, 3), Answer::Frame(_)));
}
