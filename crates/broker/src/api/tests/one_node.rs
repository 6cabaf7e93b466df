//! What Kafka has for several nodes: on one node it says that nothing is to be done, or why it cannot be.

use crate::testing::Node;
use kafka_wire::error_code::ErrorCode as E;
use kafka_wire::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_wire::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use kafka_wire::messages::elect_leaders_request::TopicPartitions;
use kafka_wire::messages::*;

fn number(error: E) -> i16 {
    error.number()
}

#[test]
fn there_is_nothing_to_elect() {
    let node = Node::new();
    node.create_topic("t", 2, &[]);
    let elect = |election_type, topic: &str, partitions: &[i32]| {
        let asked = TopicPartitions { topic: topic.into(), partitions: partitions.to_vec() };
        let topic_partitions = Some(vec![asked]);
        let request = ElectLeadersRequest { election_type, topic_partitions, ..Default::default() };
        let answer = node.call(&request, 2).replica_election_results.remove(0);
        answer.partition_result.iter().map(|partition| partition.error_code).collect::<Vec<_>>()
    };
    assert_eq!(
        elect(0, "t", &[0, 1, 2]),
        [E::ElectionNotNeeded, E::ElectionNotNeeded, E::UnknownTopicOrPartition].map(number)
    );
    assert_eq!(elect(1, "absent", &[0]), [number(E::UnknownTopicOrPartition)]);
    assert_eq!(elect(7, "t", &[0]), [number(E::InvalidRequest)]);
    let all = ElectLeadersRequest { topic_partitions: None, ..Default::default() };
    assert!(node.call(&all, 2).replica_election_results.is_empty());
}

#[test]
fn a_partition_stays_on_the_node() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    let own = node.broker.config.node_id;
    let move_to = |topic: &str, partition_index, replicas: Option<Vec<i32>>| {
        let partitions = vec![ReassignablePartition { partition_index, replicas }];
        let topics = vec![ReassignableTopic { name: topic.into(), partitions }];
        let request = AlterPartitionReassignmentsRequest { topics, ..Default::default() };
        let answer = node.call(&request, 1).responses.remove(0);
        (answer.name, answer.partitions[0].error_code)
    };
    assert_eq!(move_to("t", 0, Some(vec![own])), ("t".to_owned(), 0));
    for elsewhere in [vec![], vec![own + 1], vec![own, own + 1], vec![own, own]] {
        assert_eq!(move_to("t", 0, Some(elsewhere)).1, number(E::InvalidReplicaAssignment));
    }
    assert_eq!(move_to("t", 0, None).1, number(E::NoReassignmentInProgress));
    assert_eq!(move_to("t", 1, Some(vec![own])).1, number(E::UnknownTopicOrPartition));
    assert_eq!(move_to("absent", 0, None).1, number(E::UnknownTopicOrPartition));
    let listed = node.call(&ListPartitionReassignmentsRequest::default(), 0);
    assert_eq!((listed.error_code, listed.topics), (0, Vec::new()));
}

#[test]
fn a_partition_stays_in_the_directory() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    let directory = node.call(&DescribeLogDirsRequest { topics: None }, 5).results.remove(0).log_dir;
    let move_to = |path: &str, topic: &str, index| {
        let topics = vec![AlterReplicaLogDirTopic { name: topic.into(), partitions: vec![index] }];
        let dirs = vec![AlterReplicaLogDir { path: path.into(), topics }];
        node.call(&AlterReplicaLogDirsRequest { dirs }, 2).results[0].partitions[0].error_code
    };
    assert_eq!(move_to(&directory, "t", 0), 0);
    assert_eq!(move_to("elsewhere", "t", 0), number(E::LogDirNotFound));
    assert_eq!(move_to(&directory, "t", 1), number(E::UnknownTopicOrPartition));
    assert_eq!(move_to(&directory, "absent", 0), number(E::UnknownTopicOrPartition));
}

#[test]
fn the_quorum_is_the_node() {
    use kafka_wire::messages::describe_quorum_request::{PartitionData, TopicData};
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    let ask = |name: &str| {
        let partitions = vec![PartitionData { partition_index: 0 }];
        let request =
            DescribeQuorumRequest { topics: vec![TopicData { topic_name: name.into(), partitions }] };
        let mut answer = node.call(&request, 2);
        (answer.topics.remove(0).partitions.remove(0), answer.nodes)
    };
    let own = node.broker.config.node_id;
    let (partition, nodes) = ask("__cluster_metadata");
    assert_eq!((partition.error_code, partition.leader_id), (0, own));
    assert_eq!(partition.current_voters.iter().map(|voter| voter.replica_id).collect::<Vec<_>>(), [own]);
    // The topic has been created, which is in the log.
    assert!(partition.high_watermark > 0);
    assert_eq!(nodes.iter().map(|node| node.node_id).collect::<Vec<_>>(), [own]);
    let (partition, _) = ask("t");
    assert_eq!(partition.error_code, number(E::UnknownTopicOrPartition));
}

#[test]
fn what_has_a_configuration_is_listed() {
    let node = Node::new();
    node.create_topic("t", 1, &[]);
    let list = |resource_types: Vec<i8>, version| {
        let answer = node.call(&ListConfigResourcesRequest { resource_types }, version);
        let resources = answer.config_resources.into_iter();
        let resources = resources.map(|resource| (resource.resource_type, resource.resource_name));
        (answer.error_code, resources.collect::<Vec<_>>())
    };
    let own = node.broker.config.node_id.to_string();
    assert_eq!(list(vec![2, 4], 1), (0, vec![(2, "t".to_owned()), (4, own.clone())]));
    let everything = list(Vec::new(), 1).1;
    assert_eq!(everything, [(2, "t".to_owned()), (4, own.clone()), (8, own)]);
    // The first version lists client metrics alone.
    assert_eq!(list(Vec::new(), 0), (0, Vec::new()));
    assert_eq!(list(vec![3], 1), (number(E::UnsupportedVersion), Vec::new()));
}
