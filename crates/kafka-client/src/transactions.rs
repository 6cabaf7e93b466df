//! A transactional producer: batches for any partitions, and offsets of a group, in one transaction after the other.
//!
//! With nodes that speak version 2 of the protocol (KIP-890) a partition joins a transaction by being written to and
//! each end moves the producer's epoch on; older nodes are told of partitions and groups first. Nothing is retried in
//! silence: after an error the caller takes the id anew, which ends what was left open.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use kafka_wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_wire::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, ProduceRequest, TxnOffsetCommitRequest,
};
use kafka_wire::records::{BatchBuilder, Compression};

use crate::client::{Client, ProducerId};
use crate::error::{ClientError, check};
use crate::groups::{GROUP, OffsetToCommit, TRANSACTION};

/// From these versions on the node adds partitions and groups by itself, and moves the epoch on.
const END_VERSION: i16 = 5;
const PRODUCE_VERSION: i16 = 12;
const OFFSETS_VERSION: i16 = 5;
/// The versions before.
const OLD_PRODUCE_VERSION: i16 = 11;
const OLD_OFFSETS_VERSION: i16 = 4;
const ADD_PARTITIONS_VERSION: i16 = 3;

/// A producer that owns a transactional id.
#[derive(Debug)]
pub struct TransactionalProducer {
    client: Client,
    id: String,
    /// The node that coordinates the id.
    coordinator: i32,
    identity: ProducerId,
    /// The node adds partitions and groups by itself.
    adds_itself: bool,
    /// The next sequence in each partition, within the epoch.
    sequences: BTreeMap<(String, i32), i32>,
    /// What the node was told of, within the transaction.
    partitions: BTreeSet<(String, i32)>,
    groups: BTreeSet<String>,
    is_open: bool,
}

impl TransactionalProducer {
    /// Takes the id; whoever had it before is fenced.
    pub fn new(
        mut client: Client,
        id: &str,
        timeout: Duration,
    ) -> Result<TransactionalProducer, ClientError> {
        let identity = client.init_producer_id(Some(id), timeout)?;
        let coordinator = client.coordinator(id, TRANSACTION)?;
        let adds_itself = client.node(coordinator)?.version::<EndTxnRequest>()? >= END_VERSION;
        Ok(TransactionalProducer {
            client,
            id: id.to_owned(),
            coordinator,
            identity,
            adds_itself,
            sequences: BTreeMap::new(),
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
            is_open: false,
        })
    }

    /// The client that it works with.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Writes values as one batch of the transaction, and waits for the acknowledgement.
    pub fn write(
        &mut self,
        topic: &str,
        partition: i32,
        timestamp_ms: i64,
        values: &[String],
    ) -> Result<i64, ClientError> {
        let records =
            |reason| ClientError::Records { what: format!("topic={topic} partition={partition}"), reason };
        let mut builder = BatchBuilder::new(Compression::None);
        for value in values {
            builder.append(timestamp_ms, None, Some(value.as_bytes()), &[]).map_err(records)?;
        }
        let offsets = self.write_all(topic, vec![(partition, builder)])?;
        Ok(offsets.first().copied().unwrap_or(-1))
    }

    /// Writes batches, one for a partition, and waits for all acknowledgements; answers their base offsets, by
    /// partition. Each node that leads some is asked before the first answers.
    pub fn write_all(
        &mut self,
        topic: &str,
        batches: Vec<(i32, BatchBuilder)>,
    ) -> Result<Vec<i64>, ClientError> {
        let mut by_node: BTreeMap<i32, Vec<PartitionProduceData>> = BTreeMap::new();
        self.add_partitions(topic, batches.iter().map(|(partition, _)| *partition))?;
        for (partition, builder) in batches {
            let sequence = self.sequences.entry((topic.to_owned(), partition)).or_default();
            let records = builder.count() as i32;
            let builder = builder.producer(self.identity.id, self.identity.epoch, *sequence).transactional();
            let what = || format!("topic={topic} partition={partition}");
            let built: Bytes =
                builder.build().map_err(|reason| ClientError::Records { what: what(), reason })?;
            *sequence = sequence.wrapping_add(records) & i32::MAX;
            let (node, _) = self.client.leader(topic, partition)?;
            by_node
                .entry(node)
                .or_default()
                .push(PartitionProduceData { index: partition, records: Some(built) });
        }
        self.is_open = true;
        let version = if self.adds_itself { PRODUCE_VERSION } else { OLD_PRODUCE_VERSION };
        let mut pending = Vec::with_capacity(by_node.len());
        for (node, partition_data) in by_node {
            let topic_data =
                vec![TopicProduceData { name: topic.to_owned(), partition_data, ..Default::default() }];
            let request = ProduceRequest {
                transactional_id: Some(self.id.clone()),
                acks: -1,
                timeout_ms: 30_000,
                topic_data,
            };
            let connection = self.client.node(node)?;
            let version = connection.version_up_to::<ProduceRequest>(version)?;
            pending.push((node, connection.send_version(&request, version)?));
        }
        let mut offsets = BTreeMap::new();
        for (node, pending) in pending {
            let response = self.client.node(node)?.receive(pending)?;
            for answer in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
                let what = || format!("topic={topic} partition={}", answer.index);
                self.client.forget_if_stale(topic, answer.error_code);
                check(answer.error_code, answer.error_message.as_ref(), what)?;
                offsets.insert(answer.index, answer.base_offset);
            }
        }
        Ok(offsets.into_values().collect())
    }

    /// Tells an older node which partitions are going to be written.
    fn add_partitions(
        &mut self,
        topic: &str,
        partitions: impl Iterator<Item = i32>,
    ) -> Result<(), ClientError> {
        if self.adds_itself {
            return Ok(());
        }
        let new = partitions.filter(|partition| self.partitions.insert((topic.to_owned(), *partition)));
        let new: Vec<i32> = new.collect();
        if new.is_empty() {
            return Ok(());
        }
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.id.clone(),
            v3_and_below_producer_id: self.identity.id,
            v3_and_below_producer_epoch: self.identity.epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic { name: topic.to_owned(), partitions: new }],
            ..Default::default()
        };
        let connection = self.client.node(self.coordinator)?;
        let version = connection.version_up_to::<AddPartitionsToTxnRequest>(ADD_PARTITIONS_VERSION)?;
        let response = connection.call_version(&request, version)?;
        for topic in &response.results_by_topic_v3_and_below {
            for part in &topic.results_by_partition {
                let what = || format!("topic={} partition={}", topic.name, part.partition_index);
                check(part.partition_error_code, None, what)?;
            }
        }
        Ok(())
    }

    /// Commits a group's position with the transaction.
    pub fn commit_offset(&mut self, group: &str, position: &OffsetToCommit) -> Result<(), ClientError> {
        if !self.adds_itself && self.groups.insert(group.to_owned()) {
            let request = AddOffsetsToTxnRequest {
                transactional_id: self.id.clone(),
                producer_id: self.identity.id,
                producer_epoch: self.identity.epoch,
                group_id: group.to_owned(),
            };
            let response = self.client.node(self.coordinator)?.call(&request)?;
            check(response.error_code, None, || format!("group={group}"))?;
        }
        let partition = TxnOffsetCommitRequestPartition {
            partition_index: position.partition,
            committed_offset: position.offset,
            ..Default::default()
        };
        let request = TxnOffsetCommitRequest {
            transactional_id: self.id.clone(),
            group_id: group.to_owned(),
            producer_id: self.identity.id,
            producer_epoch: self.identity.epoch,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: position.topic.clone(),
                partitions: vec![partition],
                ..Default::default()
            }],
            ..Default::default()
        };
        let node = self.client.coordinator(group, GROUP)?;
        let version = if self.adds_itself { OFFSETS_VERSION } else { OLD_OFFSETS_VERSION };
        let connection = self.client.node(node)?;
        let version = connection.version_up_to::<TxnOffsetCommitRequest>(version)?;
        let response = connection.call_version(&request, version)?;
        self.is_open = true;
        for answer in response.topics.iter().flat_map(|topic| &topic.partitions) {
            check(answer.error_code, None, || format!("group={group} topic={}", position.topic))?;
        }
        Ok(())
    }

    pub fn commit(&mut self) -> Result<(), ClientError> {
        self.end(true)
    }

    pub fn abort(&mut self) -> Result<(), ClientError> {
        self.end(false)
    }

    fn end(&mut self, committed: bool) -> Result<(), ClientError> {
        // An older node knows nothing of a transaction in which nothing was written.
        if !self.is_open && !self.adds_itself {
            return Ok(());
        }
        let request = EndTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: self.identity.id,
            producer_epoch: self.identity.epoch,
            committed,
        };
        let connection = self.client.node(self.coordinator)?;
        let version = connection.version_up_to::<EndTxnRequest>(END_VERSION)?;
        let response = connection.call_version(&request, version)?;
        check(response.error_code, None, || format!("transactional_id={}", self.id))?;
        if self.adds_itself {
            // Sequences belong to an epoch.
            self.identity = ProducerId { id: response.producer_id, epoch: response.producer_epoch };
            self.sequences.clear();
        }
        self.partitions.clear();
        self.groups.clear();
        self.is_open = false;
        Ok(())
    }
}
