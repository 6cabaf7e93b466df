//! Consumer groups: list, describe, read and set their offsets, delete.
//!
//! A group's calls go to its coordinator, which any node names.

use kafka_wire::messages::consumer_group_describe_response::DescribedGroup as DescribedConsumerGroup;
use kafka_wire::messages::describe_groups_response::DescribedGroup;
use kafka_wire::messages::list_groups_response::ListedGroup;
use kafka_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_wire::messages::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest,
    ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest, consumer_group_describe_response,
    describe_groups_response,
};
use kafka_wire::{ErrorCode, Message};

use crate::client::Client;
use crate::error::{ClientError, check};

/// The kinds of keys that a coordinator is looked up by.
pub(crate) const GROUP: i8 = 0;
pub(crate) const TRANSACTION: i8 = 1;

/// From this version on topics are named by their ids alone, in OffsetCommit and in OffsetFetch.
const TOPIC_ID_VERSION: i16 = 10;

/// An offset that a group has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: String,
}

/// An offset that a group is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetToCommit {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

/// What groups of both protocols have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLook {
    pub state: String,
    pub members: Vec<MemberLook>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberLook {
    pub id: String,
    pub client: String,
    pub host: String,
    /// Of a member of a consumer group.
    pub epoch: Option<i32>,
}

impl Client {
    /// State and members of a group, whichever protocol it follows; none if the node does not answer for it.
    pub fn look_at_group(&mut self, group: &str) -> Result<Option<GroupLook>, ClientError> {
        if let Some(found) = self.describe_consumer_group(group)? {
            let member = |member: consumer_group_describe_response::Member| MemberLook {
                id: member.member_id,
                client: member.client_id,
                host: member.client_host,
                epoch: Some(member.member_epoch),
            };
            let members = found.members.into_iter().map(member).collect();
            return Ok(Some(GroupLook { state: found.group_state, members }));
        }
        let found = self.describe_groups(&[group])?.into_iter().next();
        let member = |member: describe_groups_response::DescribedGroupMember| MemberLook {
            id: member.member_id,
            client: member.client_id,
            host: member.client_host,
            epoch: None,
        };
        Ok(found.map(|found| GroupLook {
            state: found.group_state,
            members: found.members.into_iter().map(member).collect(),
        }))
    }

    /// The id of the node that coordinates a group or a transactional producer.
    pub(crate) fn coordinator(&mut self, key: &str, key_type: i8) -> Result<i32, ClientError> {
        let version = self.bootstrap.version::<FindCoordinatorRequest>()?;
        let mut request = FindCoordinatorRequest { key_type, ..Default::default() };
        // Version 4 asks for many keys at once.
        if version >= 4 {
            request.coordinator_keys = vec![key.to_owned()];
        } else {
            request.key = key.to_owned();
        }
        let response = self.bootstrap.call_version(&request, version)?;
        let what = || format!("the coordinator of {key}");
        if version < 4 {
            check(response.error_code, response.error_message.as_ref(), what)?;
            self.remember_node(response.node_id, &response.host, response.port);
            return Ok(response.node_id);
        }
        let Some(found) = response.coordinators.first() else {
            return Err(self.missing(FindCoordinatorRequest::NAME, "the key is not in the answer"));
        };
        check(found.error_code, found.error_message.as_ref(), what)?;
        self.remember_node(found.node_id, &found.host, found.port);
        Ok(found.node_id)
    }

    /// The groups that the node of the first connection coordinates.
    pub fn list_groups(&mut self) -> Result<Vec<ListedGroup>, ClientError> {
        let response = self.call(&ListGroupsRequest::default())?;
        check(response.error_code, None, || "the list of groups".to_owned())?;
        Ok(response.groups)
    }

    /// State and members of groups; a group with an error of its own carries its code.
    pub fn describe_groups(&mut self, groups: &[&str]) -> Result<Vec<DescribedGroup>, ClientError> {
        let mut described = Vec::with_capacity(groups.len());
        for group in groups {
            let node = self.coordinator(group, GROUP)?;
            let request = DescribeGroupsRequest { groups: vec![(*group).to_owned()], ..Default::default() };
            described.extend(self.node(node)?.call(&request)?.groups);
        }
        Ok(described)
    }

    /// A group of the consumer protocol (KIP-848); `None` if the group follows another one, or the node knows none.
    pub fn describe_consumer_group(
        &mut self,
        group: &str,
    ) -> Result<Option<DescribedConsumerGroup>, ClientError> {
        let node = self.coordinator(group, GROUP)?;
        let connection = self.node(node)?;
        if connection.node_versions(ConsumerGroupDescribeRequest::API_KEY).is_none() {
            return Ok(None);
        }
        let request =
            ConsumerGroupDescribeRequest { group_ids: vec![group.to_owned()], ..Default::default() };
        let described = connection.call(&request)?.groups.into_iter().next();
        let Some(described) =
            described.filter(|group| group.error_code != ErrorCode::GroupIdNotFound.number())
        else {
            return Ok(None);
        };
        check(described.error_code, described.error_message.as_ref(), || format!("group={group}"))?;
        Ok(Some(described))
    }

    /// All offsets that a group has committed.
    pub fn offset_fetch(&mut self, group: &str) -> Result<Vec<CommittedOffset>, ClientError> {
        let node = self.coordinator(group, GROUP)?;
        let connection = self.node(node)?;
        let version = connection.version_up_to::<OffsetFetchRequest>(TOPIC_ID_VERSION - 1)?;
        let mut request = OffsetFetchRequest::default();
        // Version 8 asks for many groups at once.
        if version >= 8 {
            let asked =
                OffsetFetchRequestGroup { group_id: group.to_owned(), topics: None, ..Default::default() };
            request.groups = vec![asked];
        } else {
            request.group_id = group.to_owned();
            request.topics = None;
        }
        let response = connection.call_version(&request, version)?;
        let what = || format!("group={group}");
        check(response.error_code, None, what)?;
        let mut committed = vec![];
        for topic in response.topics {
            for part in topic.partitions {
                check(part.error_code, None, || format!("group={group} topic={}", topic.name))?;
                committed.push(CommittedOffset {
                    topic: topic.name.clone(),
                    partition: part.partition_index,
                    offset: part.committed_offset,
                    leader_epoch: part.committed_leader_epoch,
                    metadata: part.metadata.unwrap_or_default(),
                });
            }
        }
        for fetched in response.groups {
            check(fetched.error_code, None, what)?;
            for topic in fetched.topics {
                for part in topic.partitions {
                    check(part.error_code, None, || format!("group={group} topic={}", topic.name))?;
                    committed.push(CommittedOffset {
                        topic: topic.name.clone(),
                        partition: part.partition_index,
                        offset: part.committed_offset,
                        leader_epoch: part.committed_leader_epoch,
                        metadata: part.metadata.unwrap_or_default(),
                    });
                }
            }
        }
        // A partition without a commit may be listed with the offset -1.
        committed.retain(|offset| offset.offset >= 0);
        Ok(committed)
    }

    /// Sets offsets of a group that has no members, as an operator does.
    pub fn offset_commit(&mut self, group: &str, offsets: &[OffsetToCommit]) -> Result<(), ClientError> {
        let mut topics: Vec<OffsetCommitRequestTopic> = vec![];
        for offset in offsets {
            let partition = OffsetCommitRequestPartition {
                partition_index: offset.partition,
                committed_offset: offset.offset,
                ..Default::default()
            };
            match topics.iter_mut().find(|topic| topic.name == offset.topic) {
                Some(topic) => topic.partitions.push(partition),
                None => topics.push(OffsetCommitRequestTopic {
                    name: offset.topic.clone(),
                    partitions: vec![partition],
                    ..Default::default()
                }),
            }
        }
        let request = OffsetCommitRequest { group_id: group.to_owned(), topics, ..Default::default() };
        let node = self.coordinator(group, GROUP)?;
        let connection = self.node(node)?;
        let version = connection.version_up_to::<OffsetCommitRequest>(TOPIC_ID_VERSION - 1)?;
        let response = connection.call_version(&request, version)?;
        for topic in &response.topics {
            for part in &topic.partitions {
                let (name, index) = (&topic.name, part.partition_index);
                check(part.error_code, None, || format!("group={group} topic={name} partition={index}"))?;
            }
        }
        Ok(())
    }

    /// Deletes a group that has no members.
    pub fn delete_group(&mut self, group: &str) -> Result<(), ClientError> {
        let node = self.coordinator(group, GROUP)?;
        let request = DeleteGroupsRequest { groups_names: vec![group.to_owned()] };
        let response = self.node(node)?.call(&request)?;
        let Some(deleted) = response.results.first() else {
            return Err(self.missing(DeleteGroupsRequest::NAME, "the group is not in the answer"));
        };
        check(deleted.error_code, deleted.error_message.as_ref(), || format!("group={group}"))
    }
}
