//! What members of the consumer protocol (KIP-848) ask for: they say that they are there, and that they go.

use super::scene::Scene;
use crate::broker::Broker;
use crate::call::Now;
use crate::errors::ApiError;
use crate::group::consumer::{self, Beat, ConsumerGroup, Decision, Heartbeat, LEFT_EPOCH, Owners, Timer};
use crate::group::{Convertible, GroupType};
use base::Lsn;
use kafka_wire::error_code::ErrorCode;

impl Broker {
    /// A heartbeat of the consumer protocol, and how long until the next one is due.
    pub(crate) fn consumer_heartbeat(
        &self,
        name: &str,
        beat: &Heartbeat,
        may_see: &dyn Fn(&str) -> bool,
        now: Now,
    ) -> Result<(Beat, i32, Lsn), ApiError> {
        let ((answer, interval_ms), lsn) = self.in_group(name, now.monotonic_ms, |scene| {
            if beat.epoch <= LEFT_EPOCH {
                let answer = scene.leave(beat)?;
                return Ok::<_, ApiError>((answer, 0));
            }
            let answer = scene.heartbeat(beat, may_see)?;
            Ok((answer, scene.setting("consumer.heartbeat.interval.ms")))
        })?;
        Ok((answer, interval_ms, lsn))
    }
}

impl Scene<'_, '_> {
    /// The group that a member joins or beats in; one that comes from the other protocol is marked as such.
    fn group_for(&self, joins: bool) -> Result<(ConsumerGroup, bool), ApiError> {
        let name = self.name;
        if let Some(known) = self.consumer() {
            return Ok((known.group.clone(), false));
        }
        let refused = |message| Err(ApiError::new(ErrorCode::GroupIdNotFound, message));
        if self.state.logged_group_type(name).is_some_and(|kind| kind != GroupType::Consumer) {
            return refused(format!("Group {name} is not a consumer group."));
        }
        if !joins {
            let is_classic =
                self.coordinator.state(name).is_some() || self.state.offsets.group(name).is_some();
            return refused(match is_classic {
                true => format!("Group {name} is not a consumer group."),
                false => format!("Consumer group {name} not found."),
            });
        }
        let cannot = |why: &str| {
            refused(format!("Cannot upgrade classic group {name} to consumer group because {why}."))
        };
        match self.coordinator.convertible(name) {
            Convertible::Vacant if self.state.groups.consumers().len() >= self.coordinator.groups_max() => {
                Err(ErrorCode::CoordinatorNotAvailable.into())
            }
            Convertible::Vacant => Ok((ConsumerGroup::default(), false)),
            _ if !self.broker.may_upgrade() => cannot("online upgrade is disabled"),
            Convertible::NotConsumers => cannot("the group does not use the consumer embedded protocol"),
            Convertible::Group(classic) => {
                let most = self.broker.number("group.consumer.max.size");
                if i64::try_from(classic.members.len()).is_ok_and(|members| members > most) {
                    return cannot("the group size exceeds the consumer group maximum size");
                }
                Ok((consumer::upgraded(name, classic, &self.broker.log)?, true))
            }
        }
    }

    fn heartbeat(&mut self, beat: &Heartbeat, may_see: &dyn Fn(&str) -> bool) -> Result<Beat, ApiError> {
        let session_ms = self.setting("consumer.session.timeout.ms");
        if let Some(known) = self.consumer() {
            let quiet = consumer::quiet(&known.group, beat, &self.world(may_see).0);
            if let Some(answer) = quiet {
                self.set_timer(&beat.member_id, Timer::Session, session_ms);
                return Ok(answer);
            }
        }
        let (group, is_upgrade) = self.group_for(beat.epoch == 0)?;
        let before = group.clone();
        let (answer, after) = self.decide(group, may_see, |decision, name| decision.heartbeat(name, beat))?;
        // Now that it is written: the classic group is no more.
        self.coordinator.hand_over(self.name, self.actions);
        if is_upgrade {
            for (id, _, classic) in after.classic_members() {
                self.set_timer(id, Timer::Session, classic.session_timeout_ms);
            }
        }
        self.follow_member(&before, &after, &beat.member_id);
        self.set_timer(&beat.member_id, Timer::Session, session_ms);
        Ok(answer)
    }

    fn leave(&mut self, beat: &Heartbeat) -> Result<Beat, ApiError> {
        let (group, _) = self.group_for(false)?;
        let before = group.clone();
        let answer = Beat { member_id: beat.member_id.clone(), epoch: beat.epoch, assignment: None };
        let stays = beat.instance_id.is_some() && beat.epoch == consumer::LEFT_STATIC_EPOCH;
        let leave = |decision: &mut Decision<'_>, name: &str| {
            decision.leave(name, &beat.member_id, beat.instance_id.as_deref(), beat.epoch)
        };
        if stays {
            let (_, after) = self.decide(group, &|_| true, leave)?;
            self.follow_member(&before, &after, &beat.member_id);
            return Ok(answer);
        }
        // Only to find out whether the member may leave; a downgrade writes something else.
        let nobody = Owners::default();
        let (world, _) = self.world(&|_| true);
        leave(&mut Decision::new(group, &nobody, &world), self.name)?;
        self.remove(std::slice::from_ref(&beat.member_id))?;
        Ok(answer)
    }
}
