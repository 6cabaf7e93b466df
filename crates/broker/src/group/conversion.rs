//! Classic groups that become consumer groups, and the other way round: what the coordinator hands over and takes in.

use super::Coordinator;
use super::consumer::{About, CONSUMER, Classic, ClassicGroup, ClassicGroupMember};
use super::machine::{Group, answer};
use super::member::Member;
use super::types::*;
use kafka_wire::error_code::ErrorCode;

/// A classic group as somebody sees it who would like it to follow the other protocol.
pub enum Convertible {
    /// There is none, or nobody is in it.
    Vacant,
    /// It has members that are not consumers.
    NotConsumers,
    Group(ClassicGroup),
}

impl Coordinator {
    pub fn convertible(&self, name: &str) -> Convertible {
        let Some(group) = self.groups.get(name).filter(|group| !group.members.is_empty()) else {
            return Convertible::Vacant;
        };
        if group.protocol_type.as_deref() != Some(CONSUMER) {
            return Convertible::NotConsumers;
        }
        let protocol = group.protocol.clone().or_else(|| group.select_protocol()).unwrap_or_default();
        let members = group
            .members
            .values()
            .map(|member| ClassicGroupMember {
                member_id: member.id.clone(),
                about: About {
                    instance_id: member.instance_id.clone(),
                    client: member.client.clone(),
                    rebalance_timeout_ms: i32::try_from(member.rebalance_timeout_ms).unwrap_or(i32::MAX),
                    classic: Some(Classic {
                        session_timeout_ms: i32::try_from(member.session_timeout_ms).unwrap_or(i32::MAX),
                        protocols: member.protocols.clone(),
                    }),
                    ..About::default()
                },
                metadata: member.metadata(&protocol),
                assignment: member.assignment.clone(),
            })
            .collect();
        Convertible::Group(ClassicGroup { generation: group.generation, members })
    }

    /// The group is a consumer group now: whoever waits has to join again.
    pub fn hand_over(&mut self, name: &str, actions: &mut Vec<Action>) {
        if let Some(group) = self.groups.get_mut(name) {
            for member in group.members.values_mut() {
                if let Some(ticket) = member.awaiting_join.take() {
                    let refused = JoinReply::refused(ErrorCode::RebalanceInProgress, &member.id);
                    answer(actions, ticket, Reply::Join(refused));
                }
                if let Some(ticket) = member.awaiting_sync.take() {
                    let refused = SyncReply::refused(ErrorCode::RebalanceInProgress);
                    answer(actions, ticket, Reply::Sync(refused));
                }
            }
        }
        self.forget(name);
    }

    /// A consumer group has become a classic one. Unless everybody has what it is meant to have, its members are asked
    /// to join again.
    pub fn take_in(
        &mut self,
        name: &str,
        classic: ClassicGroup,
        rebalances: bool,
        now: i64,
        actions: &mut Vec<Action>,
    ) {
        self.forget(name);
        let mut group = Group::new();
        group.generation = classic.generation;
        group.protocol_type = Some(CONSUMER.to_string());
        group.state = GroupState::Stable;
        for ClassicGroupMember { member_id, about, assignment, .. } in classic.members {
            let Some(Classic { session_timeout_ms, protocols }) = about.classic else { continue };
            if let Some(instance_id) = &about.instance_id {
                group.static_members.insert(instance_id.clone(), member_id.clone());
            }
            let session_timeout_ms = i64::from(session_timeout_ms);
            let member = Member {
                id: member_id.clone(),
                instance_id: about.instance_id,
                client: about.client,
                session_timeout_ms,
                rebalance_timeout_ms: i64::from(about.rebalance_timeout_ms),
                protocols,
                assignment,
                expires_at_ms: now + session_timeout_ms,
                awaiting_join: None,
                awaiting_sync: None,
                synced: true,
                is_new: false,
            };
            group.members.insert(member_id, member);
        }
        group.leader = group.members.keys().next().cloned();
        group.protocol = group.select_protocol();
        if rebalances {
            group.prepare_rebalance(&self.config, now, actions);
        }
        self.groups.insert(name.to_string(), group);
        self.arm(name);
    }

    /// How many members a classic group may have.
    pub fn members_max(&self) -> usize {
        self.config.members_max
    }

    /// How many groups of one kind there may be.
    pub fn groups_max(&self) -> usize {
        self.config.groups_max
    }

    /// Whether a member may ask for this session time-out.
    pub fn allows_session_timeout(&self, session_timeout_ms: i32) -> bool {
        (self.config.session_timeout_min_ms..=self.config.session_timeout_max_ms)
            .contains(&session_timeout_ms)
    }
}
