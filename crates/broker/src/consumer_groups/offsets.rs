//! Who may commit a group's offsets, and read them.

use crate::broker::Broker;
use crate::call::Now;
use crate::group::consumer::{self, Commit};
use crate::sync::lock;
use kafka_wire::error_code::ErrorCode;

impl Broker {
    /// Whether offsets may be committed for the group, and the protocol type that the group has.
    pub(crate) fn check_commit(
        &self,
        name: &str,
        commit: &Commit<'_>,
        now: Now,
    ) -> Result<String, ErrorCode> {
        let mut coordinator = lock(&self.coordinator);
        let state = lock(&self.state.0);
        if let Some(known) = state.groups.consumer(name) {
            consumer::check_commit(name, &known.group, commit)?;
            return Ok(consumer::CONSUMER.to_string());
        }
        let Commit { member_id, instance_id, epoch, is_transactional, version, .. } = *commit;
        if is_transactional {
            coordinator.check_transactional_commit(name, member_id, instance_id, epoch)?;
        } else {
            let checked = coordinator.check_commit(name, member_id, instance_id, epoch, now.monotonic_ms);
            checked.map_err(|error| match error {
                // From version 9 on the member may be one of a consumer group, which has no generations.
                ErrorCode::IllegalGeneration if version >= 9 && coordinator.state(name).is_none() => {
                    ErrorCode::GroupIdNotFound
                }
                other => other,
            })?;
        }
        Ok(coordinator.state(name).map(|(_, protocol_type)| protocol_type).unwrap_or_default())
    }

    /// Whether a member may read the group's offsets; who names no member may.
    pub(crate) fn check_offset_fetch(
        &self,
        name: &str,
        member_id: Option<&str>,
        epoch: i32,
    ) -> Result<(), ErrorCode> {
        let state = lock(&self.state.0);
        let Some(known) = state.groups.consumer(name) else { return Ok(()) };
        if member_id.is_none_or(str::is_empty) && epoch < 0 {
            return Ok(());
        }
        let member = member_id.and_then(|member_id| known.group.members.get(member_id));
        let member = member.ok_or(ErrorCode::UnknownMemberId)?;
        match member.current.epoch == epoch {
            true => Ok(()),
            false if member.about.classic.is_some() => Err(ErrorCode::IllegalGeneration),
            false => Err(ErrorCode::StaleMemberEpoch),
        }
    }
}
