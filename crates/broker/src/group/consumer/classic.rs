//! Members that speak the classic protocol in a consumer group, and the way of a whole group from one protocol to the
//! other (KIP-848, "online upgrade").
//!
//! Such a member joins as ever, but it waits for nobody and is never the leader: the broker assigns, and SyncGroup
//! fetches the assignment. Its generation is its member epoch, and what it says in JoinGroup that it has is what other
//! members say in their heartbeats.

use super::decide::{Decision, Update, check_instance, unknown_member};
use super::model::*;
use super::reconcile::Reconciliation;
use super::topics::Topics;
use crate::errors::ApiError;
use crate::group::{JoinEvent, JoinReply, LeavingMember, Protocol, SyncEvent, SyncReply};
use bytes::Bytes;
use kafka_wire::consumer_protocol::{decode_assignment, decode_subscription, encode_assignment};
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::consumer_protocol_assignment::TopicPartition;
use kafka_wire::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The protocol type of consumers.
pub const CONSUMER: &str = "consumer";

impl Decision<'_> {
    /// JoinGroup; the bool says whether the group goes back to the classic protocol with it.
    pub fn join_classic(
        &mut self,
        join: &JoinEvent,
        may_downgrade: bool,
    ) -> Result<(JoinReply, bool), ErrorCode> {
        let is_new = join.member_id.is_empty();
        let member_id = if is_new { &join.fresh_member_id } else { &join.member_id };
        self.check_size(member_id).map_err(|error| error.code)?;
        if !self.supports_classic(&join.protocol_type, &join.protocols) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if is_new && join.instance_id.is_none() && join.require_known_member_id {
            return Ok((JoinReply::refused(ErrorCode::MemberIdRequired, member_id), false));
        }
        let offer = join.protocols.first().ok_or(ErrorCode::InconsistentGroupProtocol)?;
        let subscription =
            decode_subscription(offer.metadata.clone()).map_err(|_| ErrorCode::InconsistentGroupProtocol)?;
        let mut downgrades = false;
        let before = match &join.instance_id {
            None => self.group.members.get(member_id).cloned().unwrap_or_default(),
            Some(instance_id) => {
                let known = self.group.static_member(instance_id);
                let known = known.map(|(id, member)| (id.clone(), member.clone()));
                match known {
                    None if is_new => Member::default(),
                    None => return Err(ErrorCode::UnknownMemberId),
                    Some((known_id, known)) if is_new => {
                        downgrades = may_downgrade
                            && known.about.classic.is_none()
                            && all_classic_but(&self.group, std::slice::from_ref(&known_id));
                        self.replace(known_id, known, member_id)
                    }
                    Some((known_id, known)) => {
                        check_instance(&known_id, member_id, instance_id).map_err(|error| error.code)?;
                        known
                    }
                }
            }
        };
        let mut about = About::clone(&before.about);
        about.instance_id = join.instance_id.clone().or(about.instance_id);
        about.rack_id = subscription.rack_id.clone().or(about.rack_id);
        about.rebalance_timeout_ms = join.rebalance_timeout_ms;
        about.topics = subscription.topics.iter().cloned().collect();
        about.pattern = None;
        about.client = join.client.clone();
        about.classic =
            Some(Classic { session_timeout_ms: join.session_timeout_ms, protocols: join.protocols.clone() });
        let owned = owned_partitions(&subscription, self.world.topics);
        let update = Update { about, owned: Some(owned) };
        let changed = self.update(member_id, &before, &update).map_err(|error| error.code)?;
        if !downgrades {
            self.assign();
        }
        if !(downgrades && changed) {
            self.reconcile(member_id, changed, update.owned.as_ref());
        }
        let current = &self.group.members[member_id].current;
        let reply = JoinReply {
            error: ErrorCode::None,
            generation: current.epoch,
            protocol_type: Some(CONSUMER.to_string()),
            protocol_name: Some(offer.name.clone()),
            leader: String::new(),
            skip_assignment: false,
            member_id: member_id.clone(),
            members: Vec::new(),
        };
        Ok((reply, downgrades))
    }

    /// Whether a member with these protocols can live with the classic members that there are.
    fn supports_classic(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        protocol_type == CONSUMER
            && protocols.iter().any(|offer| {
                self.group
                    .classic_members()
                    .all(|(_, _, classic)| classic.protocols.iter().any(|known| known.name == offer.name))
            })
    }
}

/// Whether all who stay when these go speak the classic protocol, and these do not.
pub fn all_classic_but(group: &ConsumerGroup, going: &[String]) -> bool {
    group.members.iter().all(|(id, member)| going.contains(id) != member.about.classic.is_some())
}

/// LeaveGroup: who is to go, and the answer for each that was named.
pub fn leaving_classic(
    group: &ConsumerGroup,
    leaving: &[LeavingMember],
) -> (Vec<String>, Vec<(LeavingMember, ErrorCode)>) {
    let mut going: Vec<String> = Vec::new();
    let mut answers = Vec::with_capacity(leaving.len());
    for member in leaving {
        let found = match &member.instance_id {
            None if group.members.contains_key(&member.member_id) => Ok(member.member_id.clone()),
            None => Err(ErrorCode::UnknownMemberId),
            Some(instance_id) => match group.static_member(instance_id) {
                None => Err(ErrorCode::UnknownMemberId),
                Some((id, _)) if member.member_id.is_empty() || *id == member.member_id => Ok(id.clone()),
                Some(_) => Err(ErrorCode::FencedInstanceId),
            },
        };
        let error = match found {
            Ok(id) => {
                if !going.contains(&id) {
                    going.push(id);
                }
                ErrorCode::None
            }
            Err(error) => error,
        };
        answers.push((member.clone(), error));
    }
    (going, answers)
}

/// The classic member that a request is from.
fn classic_member<'a>(
    group: &'a ConsumerGroup,
    member_id: &str,
    instance_id: Option<&str>,
    generation: i32,
) -> Result<(&'a Member, &'a Classic), ErrorCode> {
    let member = match instance_id {
        None => group.members.get(member_id).ok_or(ErrorCode::UnknownMemberId)?,
        Some(instance_id) => {
            let (id, member) = group.static_member(instance_id).ok_or(ErrorCode::UnknownMemberId)?;
            check_instance(id, member_id, instance_id).map_err(|error| error.code)?;
            member
        }
    };
    let classic = member.about.classic.as_ref().ok_or(ErrorCode::UnknownMemberId)?;
    if member.current.epoch != generation {
        return Err(ErrorCode::IllegalGeneration);
    }
    Ok((member, classic))
}

/// What SyncGroup answers; nothing changes by it.
pub fn sync_classic(
    group: &ConsumerGroup,
    sync: &SyncEvent,
    topics: &dyn Topics,
) -> Result<SyncReply, ErrorCode> {
    let (member, classic) =
        classic_member(group, &sync.member_id, sync.instance_id.as_deref(), sync.generation)?;
    let offer = classic.protocols.first().ok_or(ErrorCode::InconsistentGroupProtocol)?;
    let differs = |given: &Option<String>, ours: &str| given.as_deref().is_some_and(|given| given != ours);
    if differs(&sync.protocol_type, CONSUMER) || differs(&sync.protocol_name, &offer.name) {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    if group.epoch > member.current.epoch && member.current.state != MemberState::Unrevoked {
        return Err(ErrorCode::RebalanceInProgress);
    }
    Ok(SyncReply {
        error: ErrorCode::None,
        protocol_type: Some(CONSUMER.to_string()),
        protocol_name: Some(offer.name.clone()),
        assignment: assignment_of(member, offer, topics)?,
    })
}

/// A Heartbeat of a classic member.
pub struct ClassicBeat<'a> {
    pub member_id: &'a str,
    pub instance_id: Option<&'a str>,
    pub generation: i32,
    /// Topics or partitions have come or gone since the group was looked at last.
    pub topics_changed: bool,
}

/// What Heartbeat answers: whether the member has to join again. In Kafka new topics are found by members of the other
/// protocol only; here a group without them finds them too.
pub fn heartbeat_classic(
    group: &ConsumerGroup,
    owners: &Owners,
    topics: &dyn Topics,
    beat: &ClassicBeat<'_>,
) -> Result<(), ErrorCode> {
    let (member, _) = classic_member(group, beat.member_id, beat.instance_id, beat.generation)?;
    let reconciliation = Reconciliation {
        group,
        member_id: beat.member_id,
        member,
        owners,
        replaces: None,
        topics,
        subscription_changed: false,
        owned: None,
    };
    let has_to_join = member.current.epoch < group.epoch
        || member.current.state == MemberState::Unrevoked
        || (member.current.state == MemberState::Unreleased && !reconciliation.waits_for_others())
        || (beat.topics_changed && super::topics::hash(group, topics) != group.topics_hash);
    if has_to_join { Err(ErrorCode::RebalanceInProgress) } else { Ok(()) }
}

/// The member's partitions as a message of its version of the consumers' protocol.
fn assignment_of(member: &Member, offer: &Protocol, topics: &dyn Topics) -> Result<Bytes, ErrorCode> {
    let assigned_partitions = member
        .current
        .assigned
        .iter()
        .filter_map(|(id, partitions)| {
            let topic = topics.name_of(*id)?;
            Some(TopicPartition { topic, partitions: partitions.keys().copied().collect() })
        })
        .collect();
    let assignment = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
    let version = offer.metadata.get(..2).map_or(0, |bytes| i16::from_be_bytes([bytes[0], bytes[1]]));
    encode_assignment(&assignment, version.clamp(0, 3)).map_err(|_| ErrorCode::UnknownServerError)
}

fn owned_partitions(subscription: &ConsumerProtocolSubscription, topics: &dyn Topics) -> Partitions {
    let mut owned = Partitions::new();
    for named in &subscription.owned_partitions {
        if let Some((id, _)) = topics.find(&named.topic) {
            owned.entry(id).or_default().extend(&named.partitions);
        }
    }
    owned
}

/// A classic group, as far as it goes over into the other protocol.
#[derive(Debug, Clone)]
pub struct ClassicGroup {
    pub generation: i32,
    pub members: Vec<ClassicGroupMember>,
}

#[derive(Debug, Clone)]
pub struct ClassicGroupMember {
    pub member_id: String,
    pub about: About,
    /// The subscription that counts.
    pub metadata: Bytes,
    pub assignment: Bytes,
}

/// The consumer group that a classic one becomes: all members have what they had, and nothing is yet to be done.
pub fn upgraded(name: &str, classic: ClassicGroup, topics: &dyn Topics) -> Result<ConsumerGroup, ApiError> {
    let refused = |why: &str| {
        let message = format!("Cannot upgrade classic group {name} to consumer group because {why}.");
        ApiError::new(ErrorCode::GroupIdNotFound, message)
    };
    let malformed = |_| refused("the embedded consumer protocol is malformed");
    let mut group =
        ConsumerGroup { epoch: classic.generation, target_epoch: classic.generation, ..Default::default() };
    let mut taken: BTreeSet<(base::TopicId, i32)> = BTreeSet::new();
    for ClassicGroupMember { member_id, mut about, metadata, assignment } in classic.members {
        let subscription = decode_subscription(metadata).map_err(malformed)?;
        let assignment = decode_assignment(assignment).map_err(malformed)?;
        if assignment.user_data.is_some_and(|data| !data.is_empty()) {
            return Err(refused(
                "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default \
                 assignor before re-attempting the upgrade",
            ));
        }
        about.topics = subscription.topics.into_iter().collect();
        about.rack_id = subscription.rack_id;
        let mut assigned = Owned::new();
        for named in assignment.assigned_partitions {
            let Some((id, _)) = topics.find(&named.topic) else { continue };
            // The leader was a client: it may have given a partition to two.
            for partition in named.partitions.into_iter().filter(|partition| taken.insert((id, *partition))) {
                assigned.entry(id).or_default().insert(partition, classic.generation);
            }
        }
        let current = Current {
            epoch: classic.generation,
            previous_epoch: classic.generation,
            state: MemberState::Stable,
            assigned,
            revoking: Owned::new(),
        };
        let target = Arc::new(partitions_of(&current.assigned));
        let member = Member { about: Arc::new(about), current: Arc::new(current), target };
        group.members.insert(member_id, member);
    }
    group.topics_hash = super::topics::hash(&group, topics);
    Ok(group)
}

/// The classic group that a consumer group becomes when only classic members are left.
pub fn downgraded(group: &ConsumerGroup, topics: &dyn Topics) -> Result<ClassicGroup, ErrorCode> {
    let members = group
        .classic_members()
        .map(|(id, member, classic)| {
            let offer = classic.protocols.first().ok_or(ErrorCode::InconsistentGroupProtocol)?;
            Ok(ClassicGroupMember {
                member_id: id.clone(),
                about: About::clone(&member.about),
                metadata: offer.metadata.clone(),
                assignment: assignment_of(member, offer, topics)?,
            })
        })
        .collect::<Result<_, ErrorCode>>()?;
    Ok(ClassicGroup { generation: group.epoch, members })
}

/// Whether a commit of offsets may go through (KIP-848, KIP-1251). An older epoch will do for partitions that the
/// member has had since.
pub fn check_commit(name: &str, group: &ConsumerGroup, commit: &Commit<'_>) -> Result<(), ErrorCode> {
    let Commit { member_id, instance_id, epoch, is_transactional, version, partitions } = commit;
    if *epoch < 0 && group.members.is_empty() {
        return Ok(());
    }
    if *is_transactional && *epoch == -1 && member_id.is_empty() && instance_id.is_none() {
        return Ok(());
    }
    let member = group.members.get(*member_id).ok_or_else(|| unknown_member(member_id, name).code)?;
    let classic = member.about.classic.is_some();
    if !is_transactional && !classic && *version < 9 {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let stale = if classic { ErrorCode::IllegalGeneration } else { ErrorCode::StaleMemberEpoch };
    let current = &member.current;
    if *epoch == current.epoch {
        return Ok(());
    }
    if *epoch > current.epoch {
        return Err(stale);
    }
    let since = |(topic, partition): &(base::TopicId, i32)| {
        let place = [&current.assigned, &current.revoking];
        place.into_iter().find_map(|owned| owned.get(topic)?.get(partition))
    };
    match partitions.iter().all(|one| since(one).is_some_and(|since| epoch >= since)) {
        true => Ok(()),
        false => Err(stale),
    }
}

/// Who commits what.
pub struct Commit<'a> {
    pub member_id: &'a str,
    pub instance_id: Option<&'a str>,
    pub epoch: i32,
    pub is_transactional: bool,
    pub version: i16,
    pub partitions: Vec<(base::TopicId, i32)>,
}
