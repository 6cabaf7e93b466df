//! A transactional producer and a reader of what it commits, for the tests of transactions.

use crate::call::Outcome;
use crate::testing::{Node, transactional_batch};
use kafka_wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_wire::messages::fetch_response::PartitionData;
use kafka_wire::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_wire::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_wire::messages::*;
use kafka_wire::records::{Batches, ControlKind};
use std::collections::{BTreeMap, BTreeSet};

/// A producer that keeps count of its sequences.
#[derive(Debug, Clone)]
pub(super) struct Producer {
    pub(super) id: String,
    pub(super) producer_id: i64,
    pub(super) epoch: i16,
    pub(super) sequences: BTreeMap<(String, i32), i32>,
}

pub(super) const TIMEOUT_MS: i32 = 60_000;

impl Producer {
    pub(super) fn init(node: &Node, id: &str) -> Producer {
        let response = init(node, id, None, 5);
        assert_eq!(response.error_code, 0);
        Producer::known(id, response.producer_id, response.producer_epoch)
    }

    pub(super) fn known(id: &str, producer_id: i64, epoch: i16) -> Producer {
        Producer { id: id.into(), producer_id, epoch, sequences: BTreeMap::new() }
    }

    /// A request that writes one batch; the partition joins the transaction by it from version 12 on.
    pub(super) fn batch(&mut self, topic: &str, partition: i32, values: &[&str]) -> ProduceRequest {
        let sequence = self.sequences.entry((topic.into(), partition)).or_default();
        let records = transactional_batch(self.producer_id, self.epoch, *sequence, values);
        *sequence += values.len() as i32;
        let partition_data = vec![PartitionProduceData { index: partition, records: Some(records) }];
        ProduceRequest {
            transactional_id: Some(self.id.clone()),
            acks: -1,
            timeout_ms: 1_000,
            topic_data: vec![TopicProduceData { name: topic.into(), partition_data, ..Default::default() }],
        }
    }

    pub(super) fn write(&mut self, node: &Node, topic: &str, partition: i32, values: &[&str]) -> i16 {
        self.write_version(node, topic, partition, values, 12)
    }

    pub(super) fn write_version(
        &mut self,
        node: &Node,
        topic: &str,
        partition: i32,
        values: &[&str],
        version: i16,
    ) -> i16 {
        let before = self.sequences.clone();
        let request = self.batch(topic, partition, values);
        let answer = node.call(&request, version).responses.remove(0).partition_responses.remove(0);
        if answer.error_code != 0 {
            self.sequences = before;
        }
        answer.error_code
    }

    pub(super) fn add(&self, node: &Node, topic: &str, partitions: &[i32], version: i16) -> Vec<i16> {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.id.clone(),
            v3_and_below_producer_id: self.producer_id,
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: topic.into(),
                partitions: partitions.into(),
            }],
            ..Default::default()
        };
        let topics = node.call(&request, version).results_by_topic_v3_and_below;
        topics[0].results_by_partition.iter().map(|result| result.partition_error_code).collect()
    }

    pub(super) fn add_group(&self, node: &Node, group: &str, version: i16) -> i16 {
        let request = AddOffsetsToTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            group_id: group.into(),
        };
        node.call(&request, version).error_code
    }

    pub(super) fn offset_request(&self, group: &str, topic: &str, offset: i64) -> TxnOffsetCommitRequest {
        let partitions =
            vec![TxnOffsetCommitRequestPartition { committed_offset: offset, ..Default::default() }];
        TxnOffsetCommitRequest {
            transactional_id: self.id.clone(),
            group_id: group.into(),
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: topic.into(),
                partitions,
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    /// Commits an offset of the topic's partition 0 with the transaction.
    pub(super) fn commit_offset(
        &self,
        node: &Node,
        group: &str,
        topic: &str,
        offset: i64,
        version: i16,
    ) -> i16 {
        let response = node.call(&self.offset_request(group, topic, offset), version);
        response.topics[0].partitions[0].error_code
    }

    pub(super) fn end_request(&self, kind: ControlKind) -> EndTxnRequest {
        EndTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            committed: kind == ControlKind::Commit,
        }
    }

    /// Ends the transaction with version 5, and goes on as the answer says.
    pub(super) fn end(&mut self, node: &Node, kind: ControlKind) -> i16 {
        let outcome = node.send(&self.end_request(kind), 5);
        self.take_end(node, outcome)
    }

    pub(super) fn take_end(&mut self, node: &Node, outcome: Outcome) -> i16 {
        let response = node.receive::<EndTxnRequest>(outcome, 5);
        if response.error_code == 0 {
            (self.producer_id, self.epoch) = (response.producer_id, response.producer_epoch);
            self.sequences.clear();
        }
        response.error_code
    }

    pub(super) fn end_version(&self, node: &Node, kind: ControlKind, version: i16) -> i16 {
        node.call(&self.end_request(kind), version).error_code
    }
}

pub(super) fn init(
    node: &Node,
    id: &str,
    expected: Option<(i64, i16)>,
    version: i16,
) -> InitProducerIdResponse {
    let (producer_id, producer_epoch) = expected.unwrap_or((-1, -1));
    let request = InitProducerIdRequest {
        transactional_id: Some(id.into()),
        transaction_timeout_ms: TIMEOUT_MS,
        producer_id,
        producer_epoch,
        ..Default::default()
    };
    node.call(&request, version)
}

pub(super) fn fetch_request(topic: &str, partition: i32, offset: i64, read_committed: bool) -> FetchRequest {
    let partition = FetchPartition {
        partition,
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    FetchRequest {
        replica_id: -1,
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: 1 << 20,
        isolation_level: i8::from(read_committed),
        topics: vec![FetchTopic { topic: topic.into(), partitions: vec![partition], ..Default::default() }],
        ..Default::default()
    }
}

pub(super) fn fetch(
    node: &Node,
    topic: &str,
    partition: i32,
    offset: i64,
    read_committed: bool,
) -> PartitionData {
    let response = node.call(&fetch_request(topic, partition, offset, read_committed), 12);
    let data = response.responses.into_iter().next().unwrap().partitions.into_iter().next().unwrap();
    assert_eq!(data.error_code, 0);
    data
}

/// The values that a consumer shows: control batches and, if only committed records are wanted, aborted ones are
/// left out as Kafka's clients do it, by the response's list and the markers.
pub(super) fn values(data: &PartitionData) -> Vec<String> {
    let mut listed = data.aborted_transactions.clone().unwrap_or_default();
    listed.sort_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
    let (mut aborting, mut values) = (BTreeSet::new(), Vec::new());
    for batch in Batches::new(data.records.clone().unwrap_or_default()) {
        let batch = batch.unwrap();
        batch.check_crc().unwrap();
        let header = batch.header;
        while listed.last().is_some_and(|aborted| aborted.first_offset <= header.last_offset()) {
            aborting.extend(listed.pop().map(|aborted| aborted.producer_id));
        }
        let records = batch.records(1 << 20).unwrap();
        if header.is_control() {
            let record = records.iter().next().unwrap().unwrap();
            if ControlKind::from_key(record.key.unwrap()) == Some(ControlKind::Abort) {
                aborting.remove(&header.producer_id);
            }
        } else if !header.is_transactional() || !aborting.contains(&header.producer_id) {
            let text = |record: kafka_wire::records::Record<'_>| {
                String::from_utf8(record.value.unwrap().to_vec()).unwrap()
            };
            values.extend(records.iter().map(|record| text(record.unwrap())));
        }
    }
    values
}

pub(super) fn committed_values(node: &Node, topic: &str, partition: i32) -> Vec<String> {
    values(&fetch(node, topic, partition, 0, true))
}

pub(super) fn end_offset(node: &Node, topic: &str, read_committed: bool, timestamp: i64) -> i64 {
    let partition = ListOffsetsPartition { timestamp, ..Default::default() };
    let topic = ListOffsetsTopic { name: topic.into(), partitions: vec![partition] };
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: i8::from(read_committed),
        topics: vec![topic],
        ..Default::default()
    };
    let found = node.call(&request, 8).topics.remove(0).partitions.remove(0);
    assert_eq!(found.error_code, 0);
    found.offset
}

/// Offset and error of the topic's partition 0.
pub(super) fn committed_offset(node: &Node, group: &str, topic: &str, require_stable: bool) -> (i64, i16) {
    let group = OffsetFetchRequestGroup {
        group_id: group.into(),
        topics: Some(vec![OffsetFetchRequestTopics {
            name: topic.into(),
            partition_indexes: vec![0],
            ..Default::default()
        }]),
        ..Default::default()
    };
    let request = OffsetFetchRequest { groups: vec![group], require_stable, ..Default::default() };
    let partition = node.call(&request, 8).groups.remove(0).topics.remove(0).partitions.remove(0);
    (partition.committed_offset, partition.error_code)
}
