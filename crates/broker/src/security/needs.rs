//! What each API needs: the one table. A handler asks `Call::permit` for a kind of resource, which
//! looks up the operation here; an API that has no entry for the kind is refused.
//!
//! Where an API needs either of two things, or more than the table can say, the handler's own words do.

use super::acl::{Operation, ResourceType};
use kafka_wire::ApiKey;

/// An operation on each resource of this type that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need(pub Operation, pub ResourceType);

use Operation::{
    Alter, AlterConfigs, ClusterAction, Create, Delete, Describe, DescribeConfigs, IdempotentWrite, Read,
    Write,
};
use ResourceType::{Cluster, Group, Topic, TransactionalId};

/// By API; an empty list is an API that everybody may call.
pub const NEEDS: &[(ApiKey, &[Need])] = &[
    (ApiKey::Produce, &[Need(Write, Topic), Need(Write, TransactionalId)]),
    (ApiKey::Fetch, &[Need(Read, Topic)]),
    (ApiKey::ListOffsets, &[Need(Describe, Topic)]),
    // Topics that may not be described are left out; creation needs Create on the topic or the cluster.
    (ApiKey::Metadata, &[Need(Describe, Topic)]),
    (ApiKey::OffsetCommit, &[Need(Read, Group), Need(Read, Topic)]),
    (ApiKey::OffsetFetch, &[Need(Describe, Group), Need(Describe, Topic)]),
    (ApiKey::FindCoordinator, &[Need(Describe, Group), Need(Describe, TransactionalId)]),
    (ApiKey::JoinGroup, &[Need(Read, Group)]),
    (ApiKey::Heartbeat, &[Need(Read, Group)]),
    (ApiKey::LeaveGroup, &[Need(Read, Group)]),
    (ApiKey::SyncGroup, &[Need(Read, Group)]),
    (ApiKey::DescribeGroups, &[Need(Describe, Group)]),
    // Describe on the cluster shows all groups, otherwise those that may be described.
    (ApiKey::ListGroups, &[Need(Describe, Group), Need(Describe, Cluster)]),
    (ApiKey::SaslHandshake, &[]),
    (ApiKey::ApiVersions, &[]),
    // On the topic or the cluster.
    (ApiKey::CreateTopics, &[Need(Create, Topic), Need(Create, Cluster)]),
    (ApiKey::DeleteTopics, &[Need(Delete, Topic)]),
    (ApiKey::DeleteRecords, &[Need(Delete, Topic)]),
    // Without a transactional id: IdempotentWrite on the cluster, or Write on some topic.
    (ApiKey::InitProducerId, &[Need(Write, TransactionalId), Need(IdempotentWrite, Cluster)]),
    (ApiKey::OffsetForLeaderEpoch, &[Need(Describe, Topic)]),
    (ApiKey::AddPartitionsToTxn, &[Need(Write, TransactionalId), Need(Write, Topic)]),
    (ApiKey::AddOffsetsToTxn, &[Need(Write, TransactionalId), Need(Read, Group)]),
    (ApiKey::EndTxn, &[Need(Write, TransactionalId)]),
    (ApiKey::WriteTxnMarkers, &[Need(ClusterAction, Cluster)]),
    (ApiKey::TxnOffsetCommit, &[Need(Write, TransactionalId), Need(Read, Group), Need(Read, Topic)]),
    (ApiKey::DescribeAcls, &[Need(Describe, Cluster)]),
    (ApiKey::CreateAcls, &[Need(Alter, Cluster)]),
    (ApiKey::DeleteAcls, &[Need(Alter, Cluster)]),
    (
        ApiKey::DescribeConfigs,
        &[Need(DescribeConfigs, Topic), Need(DescribeConfigs, Cluster), Need(DescribeConfigs, Group)],
    ),
    (
        ApiKey::AlterConfigs,
        &[Need(AlterConfigs, Topic), Need(AlterConfigs, Cluster), Need(AlterConfigs, Group)],
    ),
    (ApiKey::AlterReplicaLogDirs, &[Need(Alter, Cluster)]),
    (ApiKey::DescribeLogDirs, &[Need(Describe, Cluster)]),
    (ApiKey::SaslAuthenticate, &[]),
    (ApiKey::CreatePartitions, &[Need(Alter, Topic)]),
    (ApiKey::DeleteGroups, &[Need(Delete, Group)]),
    (
        ApiKey::IncrementalAlterConfigs,
        &[Need(AlterConfigs, Topic), Need(AlterConfigs, Cluster), Need(AlterConfigs, Group)],
    ),
    (ApiKey::ElectLeaders, &[Need(Alter, Cluster)]),
    (ApiKey::AlterPartitionReassignments, &[Need(Alter, Cluster)]),
    (ApiKey::ListPartitionReassignments, &[Need(Describe, Cluster)]),
    (ApiKey::OffsetDelete, &[Need(Delete, Group), Need(Read, Topic)]),
    (ApiKey::DescribeClientQuotas, &[Need(DescribeConfigs, Cluster)]),
    (ApiKey::AlterClientQuotas, &[Need(AlterConfigs, Cluster)]),
    (ApiKey::DescribeUserScramCredentials, &[Need(Describe, Cluster)]),
    (ApiKey::AlterUserScramCredentials, &[Need(Alter, Cluster)]),
    (ApiKey::DescribeQuorum, &[Need(Describe, Cluster)]),
    (ApiKey::ListConfigResources, &[Need(DescribeConfigs, Cluster)]),
    // Every client that has logged in may see where the node is.
    (ApiKey::DescribeCluster, &[]),
    (ApiKey::DescribeProducers, &[Need(Read, Topic)]),
    (ApiKey::DescribeTransactions, &[Need(Describe, TransactionalId), Need(Describe, Topic)]),
    // Transactions that may not be described are left out.
    (ApiKey::ListTransactions, &[Need(Describe, TransactionalId)]),
    (ApiKey::ConsumerGroupHeartbeat, &[Need(Read, Group), Need(Describe, Topic)]),
    (ApiKey::ConsumerGroupDescribe, &[Need(Describe, Group), Need(Describe, Topic)]),
    (ApiKey::ShareGroupHeartbeat, &[Need(Read, Group), Need(Describe, Topic)]),
    (ApiKey::ShareGroupDescribe, &[Need(Describe, Group), Need(Describe, Topic)]),
    (ApiKey::ShareFetch, &[Need(Read, Group), Need(Read, Topic)]),
    (ApiKey::ShareAcknowledge, &[Need(Read, Group), Need(Read, Topic)]),
    (ApiKey::DescribeShareGroupOffsets, &[Need(Describe, Group), Need(Describe, Topic)]),
    (ApiKey::AlterShareGroupOffsets, &[Need(Read, Group), Need(Read, Topic)]),
    (ApiKey::DeleteShareGroupOffsets, &[Need(Delete, Group), Need(Read, Topic)]),
    // Topics that may not be described are left out.
    (ApiKey::DescribeTopicPartitions, &[Need(Describe, Topic)]),
];

/// The operation that an API needs on resources of this type.
pub(super) fn need(api: ApiKey, resource: ResourceType) -> Option<Operation> {
    let (_, needs) = NEEDS.iter().find(|(key, _)| *key == api)?;
    needs.iter().find(|Need(_, kind)| *kind == resource).map(|Need(operation, _)| *operation)
}
