//! Ends deliveries: acknowledgements, releases, locks that have run out, and the burial of dead records.
//!
//! What is decided, what the log says of it and the dead letters are one frame. Letters hold copies of records, which
//! are read from the disk; that happens before the append lock is taken. If the decision under the lock turns out to
//! need other letters, they are made and it is decided again.

use super::letters::{Letters, Origin, deaths, write_letters};
use super::options::ShareGroupConfig;
use super::partition::{Acknowledgement, Cause, Decided, Refusal, SharePartition, Verdict, runs_of};
use super::state::ShareChange;
use crate::broker::Broker;
use crate::call::Now;
use crate::errors::ApiError;
use crate::metrics::ShareCounts;
use crate::sync::lock;
use crate::undecided::Undecided;
use base::{Lsn, PartitionId};
use eventlog::Layer;
use kafka_wire::error_code::ErrorCode;
use std::collections::BTreeSet;

/// When a dead-letter topic did not take its letters, they are tried again after this time.
const BURIAL_RETRY_MS: i64 = 10_000;
/// What one frame ends at most of what nobody waits for. Letters have a limit of their own, in bytes: what they have no
/// room for stands dead in the log, and is buried by the next frames.
const BURIED_AT_ONCE: usize = 1_000;
/// Others may change the state between the making of letters and the decision, but not for ever.
const ATTEMPTS_MAX: usize = 8;

/// What ends deliveries.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Settle<'a> {
    Acknowledge {
        member: &'a str,
        batches: &'a [Acknowledgement],
    },
    /// The member is gone.
    Release {
        member: &'a str,
    },
    /// Locks have run out, or dead records wait for their topic.
    Overdue,
}

impl ShareCounts {
    fn settled(&mut self, what: Settle<'_>, verdict: Verdict) {
        let counter = match (what, verdict) {
            (_, Verdict::Renew) => return,
            (_, Verdict::Done) => &mut self.accepted,
            (_, Verdict::Bury(Cause::Rejected)) => &mut self.rejected,
            (_, Verdict::Bury(Cause::DeliveryLimit)) => &mut self.over_limit,
            (Settle::Overdue, Verdict::Again { .. }) => &mut self.expired,
            (_, Verdict::Again { .. }) => &mut self.released,
        };
        *counter += 1;
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> ApiError {
        ApiError::new(refusal.code, refusal.message)
    }
}

impl Broker {
    /// Ends deliveries in one partition; from where on the log has to be durable before it is told.
    pub(crate) fn settle(
        &self,
        group: &str,
        partition: PartitionId,
        what: Settle<'_>,
        now: Now,
    ) -> Result<Lsn, ApiError> {
        let config = self.share_config(group);
        let mut letters = Letters::default();
        let mut last = Lsn(0);
        for _ in 0..ATTEMPTS_MAX {
            let mut hastens = None;
            let settled = self.log.append(|frame| {
                let mut shared = lock(&self.share.0);
                let Some(known) = shared.groups.partition_mut(group, partition) else {
                    return match what {
                        Settle::Acknowledge { .. } => {
                            Err(ApiError::from(ErrorCode::UnknownTopicOrPartition).into())
                        }
                        _ => Ok(false),
                    };
                };
                let Ok(bounds) = self.log.bounds(partition) else {
                    // Its topic was deleted.
                    let (group, partitions) = (group.to_string(), vec![partition]);
                    let change = ShareChange::PartitionsForgotten { group, partitions };
                    frame.layer(Layer::SHARE_GROUPS, &change.encode())?;
                    shared.apply(&change);
                    return Ok(false);
                };
                known.trim(bounds.log_start.0);
                let dead_before: Vec<i64> = known.dead().iter().map(|one| one.offset).collect();
                let (decided, more) = decide(known, what, &config, now)?;
                if decided.is_empty() {
                    return Ok(false);
                }
                let dead = deaths(&decided);
                let mut buried = dead.len();
                let mut takes_letters = true;
                if let Some(topic) = config.dead_letters.as_ref().filter(|_| !dead.is_empty()) {
                    if letters.deaths != dead {
                        return Err(Undecided::Needs(dead));
                    }
                    let index = self.log.partition_topic(partition).map_or(0, |(_, index)| index);
                    takes_letters = letters.append(self, frame, topic, index)?;
                    buried = if takes_letters { letters.written } else { 0 };
                }
                let buried: BTreeSet<i64> = dead[..buried].iter().map(|death| death.offset).collect();
                // What was dead before, and has not been buried now either, stands in the log.
                let is_news = |one: &&Decided| {
                    buried.contains(&one.offset) || dead_before.binary_search(&one.offset).is_err()
                };
                let runs = runs_of(decided.iter().filter(is_news), |offset| buried.contains(&offset));
                let change =
                    ShareChange::Updated { group: group.to_string(), partition, end: known.end(), runs };
                if !matches!(&change, ShareChange::Updated { runs, .. } if runs.is_empty()) {
                    frame.layer(Layer::SHARE_GROUPS, &change.encode())?;
                    shared.apply(&change);
                }
                let lock_end_ms = now.monotonic_ms.saturating_add(config.lock_ms);
                if let Some(known) = shared.groups.partition_mut(group, partition) {
                    known.renew(&decided, lock_end_ms);
                }
                let counts = shared.counts(group);
                counts.dead_letters += if config.dead_letters.is_some() { buried.len() as u64 } else { 0 };
                // What was dead before has been counted then.
                let fresh = decided.iter().filter(|one| dead_before.binary_search(&one.offset).is_err());
                fresh.for_each(|one| counts.settled(what, one.verdict));
                let is_free = |one: &Decided| matches!(one.verdict, Verdict::Again { .. });
                // Also what is done makes room for others, where the group works on as many as it may.
                if decided.iter().any(|one| is_free(one) || one.verdict == Verdict::Done) {
                    shared.ring(group);
                }
                if buried.len() < dead.len() {
                    let wait_ms = if takes_letters { 0 } else { BURIAL_RETRY_MS };
                    let at_ms = now.monotonic_ms.saturating_add(wait_ms);
                    hastens = hastens.or(shared.alarm(at_ms).then_some(at_ms));
                }
                Ok(more && takes_letters)
            });
            if let Some(at_ms) = hastens {
                self.hasten(at_ms);
            }
            match settled {
                Ok((false, lsn)) => return Ok(last.max(lsn)),
                Ok((true, lsn)) => last = last.max(lsn),
                Err(Undecided::Refused(error)) => return Err(error),
                Err(Undecided::Needs(deaths)) => {
                    let Some(topic) = &config.dead_letters else { continue };
                    let name = self.log.partition_topic(partition);
                    let (name, index) =
                        name.map_or((String::new(), 0), |(topic, index)| (topic.name.clone(), index));
                    let origin = Origin { group, topic: &name, index, partition };
                    letters = write_letters(self, origin, topic, deaths, now.wall_ms)?;
                }
            }
        }
        match what {
            // The member must not take it for done.
            Settle::Acknowledge { .. } => {
                let message =
                    "the records changed while their dead letters were written; acknowledge them again";
                Err(ApiError::new(ErrorCode::InvalidRecordState, message))
            }
            // What is left is due again.
            Settle::Release { .. } | Settle::Overdue => Ok(last),
        }
    }

    /// The same in every partition of a group.
    pub(crate) fn settle_all(&self, group: &str, what: Settle<'_>, now: Now) -> Result<Lsn, ApiError> {
        let partitions: Vec<PartitionId> = {
            let shared = lock(&self.share.0);
            shared.groups.group(group).into_iter().flat_map(|known| known.keys().copied()).collect()
        };
        let mut last = Lsn(0);
        for partition in partitions {
            last = last.max(self.settle(group, partition, what, now)?);
        }
        Ok(last)
    }

    /// Ends the locks whose time is up, and buries what could not be buried before; when to come next.
    pub(crate) fn end_locks(&self, now: Now) -> Option<i64> {
        let due: Vec<(String, PartitionId)> = {
            let mut shared = lock(&self.share.0);
            match shared.alarm_ms {
                Some(at_ms) if at_ms <= now.monotonic_ms => shared.alarm_ms = None,
                other => return other,
            }
            let is_due = |known: &SharePartition| {
                known.has_dead() || known.next_lock_end_ms().is_some_and(|at_ms| at_ms <= now.monotonic_ms)
            };
            let due = shared.groups.iter().filter(|(_, _, known)| is_due(known));
            due.map(|(group, partition, _)| (group.to_string(), partition)).collect()
        };
        for (group, partition) in due {
            if self.settle(&group, partition, Settle::Overdue, now).is_err() {
                // A full disk passes.
                lock(&self.share.0).alarm(now.monotonic_ms.saturating_add(BURIAL_RETRY_MS));
            }
        }
        let mut shared = lock(&self.share.0);
        let next = shared.groups.iter().filter_map(|(_, _, known)| known.next_lock_end_ms()).min();
        // What is overdue still was not to be had; it must not make the clock spin.
        let next = next.map(|at_ms| at_ms.max(now.monotonic_ms.saturating_add(1)));
        if let Some(at_ms) = next {
            shared.alarm(at_ms);
        }
        shared.alarm_ms
    }
}

/// What is decided now, and whether there is more of it for another frame.
fn decide(
    known: &SharePartition,
    what: Settle<'_>,
    config: &ShareGroupConfig,
    now: Now,
) -> Result<(Vec<Decided>, bool), ApiError> {
    let mut decided = match what {
        Settle::Acknowledge { member, batches } => {
            let decided = known.acknowledge(member, batches, &config.retry, config.may_renew, now.wall_ms)?;
            return Ok((decided, false));
        }
        Settle::Release { member } => known.release(member, &config.retry, now.wall_ms),
        Settle::Overdue => {
            let mut decided = known.expired(now.monotonic_ms, &config.retry, now.wall_ms);
            decided.extend(known.dead());
            decided.extend(known.over_the_limit(config.retry.delivery_limit));
            decided.sort_by_key(|one| one.offset);
            decided
        }
    };
    let more = decided.len() > BURIED_AT_ONCE;
    decided.truncate(BURIED_AT_ONCE);
    Ok((decided, more))
}
