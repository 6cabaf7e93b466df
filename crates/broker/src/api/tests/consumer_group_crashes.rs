//! Power cuts amid the rebalances of consumer groups: no partition is ever owned by two members that go by what they
//! were answered, and in the end all are owned.

use super::consumer_groups::{alive, beat, joining};
use crate::testing::Node;
use kafka_wire::error_code::ErrorCode as E;
use kafka_wire::messages::ConsumerGroupHeartbeatRequest;
use kafka_wire::messages::consumer_group_heartbeat_request::TopicPartitions;
use std::collections::BTreeSet;

const PARTITIONS: i32 = 6;

/// A member as its client sees it.
#[derive(Debug)]
struct Member {
    id: String,
    epoch: i32,
    owned: Vec<i32>,
    /// An answer got lost: it says everything, so that it is told everything, as Kafka's clients do.
    is_unsure: bool,
}

impl Member {
    fn request(&self, node: &Node) -> ConsumerGroupHeartbeatRequest {
        if self.epoch == 0 {
            return joining(&self.id, &["t"]);
        }
        let topic_id = node.log.topic("t").unwrap().id.0;
        let owned = match self.owned.is_empty() {
            true => Vec::new(),
            false => vec![TopicPartitions { topic_id, partitions: self.owned.clone() }],
        };
        let all = if self.is_unsure { joining(&self.id, &["t"]) } else { alive(&self.id, 0) };
        ConsumerGroupHeartbeatRequest { topic_partitions: Some(owned), member_epoch: self.epoch, ..all }
    }

    fn beat(&mut self, node: &Node) {
        let answer = beat(node, &self.request(node));
        self.is_unsure = false;
        if answer.error_code == 0 {
            self.epoch = answer.member_epoch;
            if let Some(assignment) = answer.assignment {
                self.owned =
                    assignment.topic_partitions.into_iter().flat_map(|topic| topic.partitions).collect();
            }
            return;
        }
        let fenced = [E::FencedMemberEpoch, E::UnknownMemberId, E::GroupIdNotFound];
        assert!(fenced.iter().any(|code| *code as i16 == answer.error_code), "{answer:?}");
        self.owned.clear();
        self.epoch = 0;
    }
}

fn check(members: &[Member], seed: u64) {
    let mut owned = BTreeSet::new();
    for partition in members.iter().flat_map(|member| &member.owned) {
        assert!(owned.insert(*partition), "seed {seed}: {partition} has two owners: {members:?}");
    }
}

#[test]
fn what_members_were_told_holds_through_power_cuts() {
    for seed in 0..40_u64 {
        let mut state = seed;
        let mut below = |bound: u64| {
            // A linear congruential generator; its high bits are good enough.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        let mut node = Node::new();
        node.create_topic("t", PARTITIONS, &[]);
        let mut members: Vec<Member> = Vec::new();
        let mut next = 0;
        for step in 0..80 {
            match below(20) {
                0..3 if members.len() < 4 => {
                    next += 1;
                    let mut member =
                        Member { id: format!("m{next}"), epoch: 0, owned: Vec::new(), is_unsure: false };
                    member.beat(&node);
                    members.push(member);
                }
                3 if !members.is_empty() => {
                    let member = members.remove(below(members.len() as u64) as usize);
                    beat(&node, &alive(&member.id, -1));
                }
                4..6 => node = node.crash(seed * 1_000 + step),
                6 => node = node.restart(),
                // Its answer never comes: it may or may not have been heard.
                7..10 if !members.is_empty() => {
                    let index = below(members.len() as u64) as usize;
                    let member = &mut members[index];
                    member.is_unsure = true;
                    drop(node.send(&member.request(&node), 1));
                }
                _ if !members.is_empty() => {
                    let index = below(members.len() as u64) as usize;
                    members[index].beat(&node);
                }
                _ => {}
            }
            check(&members, seed);
        }
        node = node.crash(seed);
        for _ in 0..12 {
            for index in 0..members.len() {
                members[index].beat(&node);
                check(&members, seed);
            }
        }
        let owned = members.iter().map(|member| member.owned.len()).sum::<usize>();
        assert!(members.is_empty() || owned == PARTITIONS as usize, "seed {seed}: {members:?}");
    }
}
