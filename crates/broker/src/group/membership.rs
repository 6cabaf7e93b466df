//! Who is in the group: heartbeats, leaving, commits, identities, and the choice of the protocol.

use super::machine::{Actions, Group, answer};
use super::types::*;
use bytes::Bytes;
use kafka_wire::error_code::ErrorCode;
use std::collections::{BTreeMap, BTreeSet};

impl Group {
    pub(super) fn heartbeat(&mut self, beat: &HeartbeatEvent, now: i64) -> ErrorCode {
        if let Err(error) = self.check_identity(&beat.member_id, beat.instance_id.as_deref()) {
            return error;
        }
        if beat.generation != self.generation {
            return ErrorCode::IllegalGeneration;
        }
        if let Some(member) = self.members.get_mut(&beat.member_id) {
            member.expires_at_ms = now + member.session_timeout_ms;
        }
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => ErrorCode::None,
            GroupState::PreparingRebalance => ErrorCode::RebalanceInProgress,
            GroupState::Empty | GroupState::Dead => ErrorCode::UnknownMemberId,
        }
    }

    pub(super) fn leave(
        &mut self,
        leaving: &LeavingMember,
        config: &GroupConfig,
        now: i64,
        actions: &mut Actions,
    ) -> ErrorCode {
        let member_id = match &leaving.instance_id {
            Some(instance_id) if leaving.member_id.is_empty() => match self.static_members.get(instance_id) {
                Some(member_id) => member_id.clone(),
                None => return ErrorCode::UnknownMemberId,
            },
            _ => leaving.member_id.clone(),
        };
        if self.pending.remove(&member_id).is_some() {
            self.finish_join_if_all_are_here(now, actions);
            return ErrorCode::None;
        }
        if let Err(error) = self.check_identity(&member_id, leaving.instance_id.as_deref()) {
            return error;
        }
        self.remove_and_rebalance(&member_id, config, now, actions);
        ErrorCode::None
    }

    /// Whether a commit of offsets may go through; hearing from a member keeps it alive.
    pub(super) fn check_commit(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: i64,
    ) -> Result<(), ErrorCode> {
        if generation < 0 && self.state == GroupState::Empty {
            // A tool, or a consumer that assigns its partitions itself.
            return Ok(());
        }
        if generation >= 0 || !member_id.is_empty() || instance_id.is_some() {
            self.check_identity(member_id, instance_id)?;
            if generation != self.generation {
                return Err(ErrorCode::IllegalGeneration);
            }
        } else {
            return Err(ErrorCode::UnknownMemberId);
        }
        if let Some(member) = self.members.get_mut(member_id) {
            member.expires_at_ms = now + member.session_timeout_ms;
        }
        match self.state {
            GroupState::Stable | GroupState::PreparingRebalance => Ok(()),
            GroupState::CompletingRebalance => Err(ErrorCode::RebalanceInProgress),
            GroupState::Empty | GroupState::Dead => Err(ErrorCode::UnknownMemberId),
        }
    }

    pub(super) fn check_transactional_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        if generation < 0 && member_id.is_empty() && instance_id.is_none() {
            return Ok(());
        }
        if generation < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        self.check_identity(member_id, instance_id)?;
        if generation == self.generation { Ok(()) } else { Err(ErrorCode::IllegalGeneration) }
    }

    pub(super) fn remove_and_rebalance(
        &mut self,
        member_id: &str,
        config: &GroupConfig,
        now: i64,
        actions: &mut Actions,
    ) {
        self.remove_member(member_id, actions);
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => {
                self.prepare_rebalance(config, now, actions)
            }
            GroupState::PreparingRebalance => self.finish_join_if_all_are_here(now, actions),
            GroupState::Empty | GroupState::Dead => {}
        }
    }

    pub(super) fn remove_member(&mut self, member_id: &str, actions: &mut Actions) {
        let Some(member) = self.members.remove(member_id) else { return };
        if let Some(ticket) = member.awaiting_join {
            let refused = JoinReply::refused(ErrorCode::UnknownMemberId, member_id);
            answer(actions, ticket, Reply::Join(refused));
        }
        if let Some(ticket) = member.awaiting_sync {
            answer(actions, ticket, Reply::Sync(SyncReply::refused(ErrorCode::UnknownMemberId)));
        }
        if let Some(instance_id) = &member.instance_id
            && self.static_members.get(instance_id).is_some_and(|current| current == member_id)
        {
            self.static_members.remove(instance_id);
        }
        if self.leader.as_deref() == Some(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// The member exists, and is the one that its instance id stands for.
    pub(super) fn check_identity(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if current != member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// Whether a member with these protocols can live with the present members.
    pub(super) fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if protocol_type.is_empty() || protocols.is_empty() {
            return false;
        }
        if self.members.is_empty() {
            return true;
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols
                .iter()
                .any(|protocol| self.members.values().all(|member| member.offers(&protocol.name)))
    }

    /// Every member votes for the first of its protocols that all have; ties go to the leader's order.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let choice = member
                .protocols
                .iter()
                .find(|offer| self.members.values().all(|other| other.offers(&offer.name)));
            if let Some(choice) = choice {
                *votes.entry(&choice.name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        let leader = self.leader.as_ref().and_then(|leader| self.members.get(leader));
        let preferred = leader.and_then(|leader| {
            leader.protocols.iter().find(|offer| votes.get(offer.name.as_str()) == Some(&most))
        });
        match preferred {
            Some(offer) => Some(offer.name.clone()),
            None => votes.iter().find(|(_, count)| **count == most).map(|(name, _)| name.to_string()),
        }
    }

    pub(super) fn member_list(&self) -> Vec<(String, Option<String>, Bytes)> {
        let protocol = self.protocol.clone().or_else(|| self.select_protocol()).unwrap_or_default();
        self.members
            .values()
            .map(|member| (member.id.clone(), member.instance_id.clone(), member.metadata(&protocol)))
            .collect()
    }

    pub(super) fn rebalance_timeout_ms(&self) -> i64 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }
}

impl Group {
    /// The topics that members subscribe to with any protocol they offer; `None` if that cannot be known.
    pub(super) fn subscriptions(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type.as_deref() != Some("consumer") {
            return None;
        }
        let mut topics = BTreeSet::new();
        for offer in self.members.values().flat_map(|member| &member.protocols) {
            topics.extend(subscribed_topics(&offer.metadata)?);
        }
        Some(topics)
    }

    /// The same, once the members have agreed.
    pub(super) fn subscribed(&self) -> Option<BTreeSet<String>> {
        if self.state == GroupState::Stable { self.subscriptions() } else { None }
    }
}

/// The topics of a `ConsumerProtocolSubscription`: a version, then an array of strings.
pub(super) fn subscribed_topics(metadata: &[u8]) -> Option<Vec<String>> {
    let (count, mut rest) = metadata.get(2..)?.split_first_chunk::<4>()?;
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    let mut topics = Vec::new();
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let name = after.get(..length)?;
        topics.push(std::str::from_utf8(name).ok()?.to_string());
        rest = &after[length..];
    }
    Some(topics)
}
