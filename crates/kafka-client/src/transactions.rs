//! A transactional producer, for tests and benches: one batch at a time, version 2 of the protocol (KIP-890).
//!
//! A partition joins the transaction by being written to, and each end moves the producer's epoch on. Nothing is
//! retried in silence: after an error the caller takes the id anew, which ends what was left open.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_wire::messages::{EndTxnRequest, ProduceRequest, TxnOffsetCommitRequest};
use kafka_wire::records::{BatchBuilder, Compression};

use crate::client::{Client, ProducerId};
use crate::error::{ClientError, check};
use crate::groups::{OffsetToCommit, TRANSACTION};

/// From these versions on the node adds partitions and groups by itself, and moves the epoch on.
const END_VERSION: i16 = 5;
/// Up to here topics are named by their names.
const PRODUCE_VERSION: i16 = 12;
const OFFSETS_VERSION: i16 = 5;

/// A producer that owns a transactional id.
#[derive(Debug)]
pub struct TransactionalProducer {
    client: Client,
    id: String,
    /// The node that coordinates the id.
    coordinator: i32,
    identity: ProducerId,
    /// The next sequence in each partition, within the epoch.
    sequences: BTreeMap<(String, i32), i32>,
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
        let sequences = BTreeMap::new();
        Ok(TransactionalProducer { client, id: id.to_owned(), coordinator, identity, sequences })
    }

    /// Writes values as one batch of the transaction, and waits for the acknowledgement.
    pub fn write(
        &mut self,
        topic: &str,
        partition: i32,
        timestamp_ms: i64,
        values: &[String],
    ) -> Result<i64, ClientError> {
        let what = || format!("topic={topic} partition={partition}");
        let sequence = self.sequences.entry((topic.to_owned(), partition)).or_default();
        let builder = BatchBuilder::new(Compression::None);
        let mut builder = builder.producer(self.identity.id, self.identity.epoch, *sequence).transactional();
        let records = |reason| ClientError::Records { what: what(), reason };
        for value in values {
            builder.append(timestamp_ms, None, Some(value.as_bytes()), &[]).map_err(records)?;
        }
        let data =
            PartitionProduceData { index: partition, records: Some(builder.build().map_err(records)?) };
        let request = ProduceRequest {
            transactional_id: Some(self.id.clone()),
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name: topic.to_owned(),
                partition_data: vec![data],
                ..Default::default()
            }],
        };
        let (node, _) = self.client.leader(topic, partition)?;
        let response = self.client.node(node)?.call_version(&request, PRODUCE_VERSION)?;
        let answer = response.responses.iter().flat_map(|topic| &topic.partition_responses).next();
        let Some(answer) = answer else {
            return Err(self.client.missing("ProduceRequest", "the partition is not in the answer"));
        };
        check(answer.error_code, answer.error_message.as_ref(), what)?;
        *sequence += values.len() as i32;
        Ok(answer.base_offset)
    }

    /// Commits a group's position with the transaction.
    pub fn commit_offset(&mut self, group: &str, position: &OffsetToCommit) -> Result<(), ClientError> {
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
        let node = self.client.coordinator(group, crate::groups::GROUP)?;
        let response = self.client.node(node)?.call_version(&request, OFFSETS_VERSION)?;
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
        let request = EndTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: self.identity.id,
            producer_epoch: self.identity.epoch,
            committed,
        };
        let response = self.client.node(self.coordinator)?.call_version(&request, END_VERSION)?;
        check(response.error_code, None, || format!("transactional_id={}", self.id))?;
        self.identity = ProducerId { id: response.producer_id, epoch: response.producer_epoch };
        self.sequences.clear();
        Ok(())
    }
}
