//! The second half of a rebalance: the leader hands in the assignment, every member gets its part.

use super::machine::{Actions, Group, answer};
use super::types::*;
use bytes::Bytes;
use kafka_wire::error_code::ErrorCode;

impl Group {
    pub(super) fn sync(&mut self, ticket: Ticket, sync: SyncEvent, now: i64, actions: &mut Actions) {
        let refuse = |actions: &mut Actions, error| {
            answer(actions, ticket, Reply::Sync(SyncReply::refused(error)));
        };
        if let Err(error) = self.check_identity(&sync.member_id, sync.instance_id.as_deref()) {
            return refuse(actions, error);
        }
        if sync.generation != self.generation {
            return refuse(actions, ErrorCode::IllegalGeneration);
        }
        let differs = |given: &Option<String>, ours: &Option<String>| given.is_some() && given != ours;
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol_name, &self.protocol) {
            return refuse(actions, ErrorCode::InconsistentGroupProtocol);
        }
        match self.state {
            GroupState::Empty | GroupState::Dead => refuse(actions, ErrorCode::UnknownMemberId),
            GroupState::PreparingRebalance => refuse(actions, ErrorCode::RebalanceInProgress),
            GroupState::CompletingRebalance => {
                self.mark_synced(&sync.member_id, now);
                if let Some(member) = self.members.get_mut(&sync.member_id)
                    && let Some(old) = member.awaiting_sync.replace(ticket)
                {
                    answer(actions, old, Reply::Sync(SyncReply::refused(ErrorCode::UnknownMemberId)));
                }
                if self.leader.as_deref() == Some(&sync.member_id) {
                    self.assign(sync.assignments, now, actions);
                }
            }
            GroupState::Stable => {
                self.mark_synced(&sync.member_id, now);
                if let Some(member) = self.members.get(&sync.member_id) {
                    let assignment = member.assignment.clone();
                    answer(actions, ticket, Reply::Sync(self.sync_reply(assignment)));
                }
            }
        }
    }

    /// The leader's assignment makes the group stable. Members it left out get an empty one.
    fn assign(&mut self, assignments: Vec<(String, Bytes)>, now: i64, actions: &mut Actions) {
        // Until here a member keeps what it had: that counts if the group goes over to the other protocol.
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
        }
        for (member_id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(&member_id) {
                member.assignment = assignment;
            }
        }
        self.state = GroupState::Stable;
        let mut waiting = Vec::new();
        for member in self.members.values_mut() {
            if let Some(ticket) = member.awaiting_sync.take() {
                member.expires_at_ms = now + member.session_timeout_ms;
                waiting.push((ticket, member.assignment.clone()));
            }
        }
        for (ticket, assignment) in waiting {
            answer(actions, ticket, Reply::Sync(self.sync_reply(assignment)));
        }
    }

    fn mark_synced(&mut self, member_id: &str, now: i64) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.synced = true;
            member.expires_at_ms = now + member.session_timeout_ms;
        }
        if self.members.values().all(|member| member.synced) {
            self.sync_deadline_ms = None;
        }
    }

    fn sync_reply(&self, assignment: Bytes) -> SyncReply {
        SyncReply {
            error: ErrorCode::None,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment,
        }
    }
}
