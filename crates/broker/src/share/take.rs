//! Delivers records of one partition to a member of a share group.
//!
//! 1. Under the state's lock it is planned what comes again, and where to read on.
//! 2. Without any lock the batches are read, and their records looked at: markers and aborted records are nothing to
//!    deliver, and a record may say that it is to be held back.
//! 3. Under the append lock the plan is checked against what others did meanwhile, written and applied.

use super::contents::fresh_from;
use super::options::{Reset, ShareGroupConfig};
use super::partition::{Delivered, Fresh, Lease};
use super::settle::Settle;
use super::state::ShareChange;
use crate::batches::first_record_at;
use crate::broker::Broker;
use crate::call::Now;
use crate::errors::ApiError;
use crate::sync::lock;
use base::{Lsn, Offset, PartitionId};
use bytes::Bytes;
use eventlog::{BatchSlice, Bounds, Layer};
use kafka_wire::error_code::ErrorCode;
use kafka_wire::records::BatchHeader;
use std::sync::Arc;

/// How often a delivery is planned before others are given their turn.
const ROUNDS_MAX: usize = 16;
/// Records of one answer, whatever the client asks for.
const RECORDS_MAX: usize = 10_000;

/// Who is to be given records, and of which partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub group: &'a str,
    pub member: &'a Arc<str>,
    pub partition: PartitionId,
}

/// How much is to be given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub records: usize,
    pub bytes: usize,
    /// No record more than asked for, also if that cuts a batch.
    pub strict: bool,
}

/// What is given.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Whole batches, one behind the other.
    pub batches: Vec<u8>,
    pub delivered: Vec<Delivered>,
    /// The answer may leave when the log is durable up to here.
    pub lsn: Lsn,
    /// There was much to look at and nothing to deliver yet: ask again.
    pub unfinished: bool,
    /// When something that is held back becomes ready, by the wall clock.
    pub next_held_ms: Option<i64>,
}

/// A batch that is read, and what it has to deliver.
struct Source {
    first: i64,
    last: i64,
    bytes: Bytes,
}

/// What comes again, and where to read on.
struct Plan {
    again: Vec<i64>,
    end: i64,
    /// How many records the group may work on beyond those.
    room: usize,
    /// How many more may be held back.
    held_room: usize,
}

/// What was read.
#[derive(Default)]
struct Read {
    sources: Vec<Source>,
    fresh: Vec<Fresh>,
    /// All before it was looked at.
    end: i64,
}

impl Broker {
    pub(crate) fn take(
        &self,
        place: Place<'_>,
        limits: Limits,
        config: &ShareGroupConfig,
        now: Now,
    ) -> Result<Taken, ApiError> {
        let limits = Limits { records: limits.records.min(RECORDS_MAX), ..limits };
        let mut lsn = self.bury_over_the_limit(place, config, now)?;
        for _ in 0..ROUNDS_MAX {
            let bounds = self.log.bounds(place.partition)?;
            let (plan, next_held_ms) = match self.plan(place, limits, config, &bounds, now) {
                Some(planned) => planned,
                None => {
                    lsn = lsn.max(self.begin_partition(place, config, &bounds, now)?);
                    continue;
                }
            };
            let read = self.read_plan(place, &plan, limits, config, &bounds, now)?;
            let nothing = plan.again.is_empty() && read.end == plan.end;
            if nothing {
                return Ok(Taken { lsn, next_held_ms, ..Taken::default() });
            }
            let (delivered, written) = self.deliver(place, &plan, &read, config, now)?;
            lsn = lsn.max(written);
            if delivered.is_empty() {
                continue;
            }
            let mut batches = Vec::new();
            for source in &read.sources {
                let given = |one: &Delivered| one.first <= source.last && one.last >= source.first;
                if delivered.iter().any(given) {
                    batches.extend_from_slice(&source.bytes);
                }
            }
            return Ok(Taken { batches, delivered, lsn, unfinished: false, next_held_ms });
        }
        Ok(Taken { lsn, unfinished: true, ..Taken::default() })
    }

    /// Where the limit of deliveries was lowered, what has had more of them is not delivered again.
    fn bury_over_the_limit(
        &self,
        place: Place<'_>,
        config: &ShareGroupConfig,
        now: Now,
    ) -> Result<Lsn, ApiError> {
        let any = {
            let shared = lock(&self.share.0);
            let known = shared.groups.partition(place.group, place.partition);
            known.is_some_and(|known| known.any_over_the_limit(config.retry.delivery_limit))
        };
        if any { self.settle(place.group, place.partition, Settle::Overdue, now) } else { Ok(Lsn(0)) }
    }

    fn plan(
        &self,
        place: Place<'_>,
        limits: Limits,
        config: &ShareGroupConfig,
        bounds: &Bounds,
        now: Now,
    ) -> Option<(Plan, Option<i64>)> {
        let limit = config.retry.delivery_limit;
        let mut shared = lock(&self.share.0);
        let known = shared.groups.partition_mut(place.group, place.partition)?;
        known.trim(bounds.log_start.0);
        known.ripen(now.wall_ms);
        let again = known.deliverable(limits.records, limit);
        let is_alone = again.first().is_some_and(|offset| known.is_last_delivery(*offset, limit));
        let working = known.unfinished().saturating_sub(known.held_back());
        // What fails often comes in small portions, with nothing new beside it.
        let throttled = is_alone || again.len() < known.ready(limit).min(limits.records);
        let room = if throttled { 0 } else { config.locks_max.saturating_sub(working) };
        let held_room = config.delayed_max.saturating_sub(known.held_back());
        let plan = Plan { again, end: known.end(), room, held_room };
        Some((plan, known.next_held_ms()))
    }

    /// The group has not read the partition before: where to begin stands in its configuration.
    fn begin_partition(
        &self,
        place: Place<'_>,
        config: &ShareGroupConfig,
        bounds: &Bounds,
        now: Now,
    ) -> Result<Lsn, ApiError> {
        let start = match config.reset {
            Reset::Earliest => bounds.log_start.0,
            Reset::Latest => bounds.high_watermark.0,
            Reset::ByDuration(before_ms) => {
                let time_ms = now.wall_ms.saturating_sub(before_ms).max(0);
                match self.log.find_by_time(place.partition, time_ms)? {
                    None => bounds.high_watermark.0,
                    Some(slice) => {
                        let mut bytes = Vec::new();
                        slice.read(&mut bytes)?;
                        let found = first_record_at(bytes.into(), time_ms)?;
                        found.map_or(bounds.high_watermark.0, |(_, offset)| offset)
                    }
                }
            }
        };
        let ((), lsn) = self.log.append(|frame| {
            let mut state = lock(&self.state.0);
            let mut shared = lock(&self.share.0);
            // Somebody else was faster.
            if shared.groups.partition(place.group, place.partition).is_some() {
                return Ok(());
            }
            let change =
                ShareChange::Reset { group: place.group.to_string(), partition: place.partition, start };
            frame.layer(Layer::SHARE_GROUPS, &change.encode())?;
            shared.apply(&change);
            state.share_groups.insert(place.group.to_string());
            Ok::<_, ApiError>(())
        })?;
        Ok(lsn)
    }

    fn read_plan(
        &self,
        place: Place<'_>,
        plan: &Plan,
        limits: Limits,
        config: &ShareGroupConfig,
        bounds: &Bounds,
        now: Now,
    ) -> Result<Read, ApiError> {
        let mut read = Read { end: plan.end, ..Read::default() };
        let mut left = limits.bytes;
        let mut index = 0;
        while let Some(offset) = plan.again.get(index) {
            let slices = match self.log.read(place.partition, Offset(*offset), left) {
                Ok(slices) => slices,
                // Deleted meanwhile: the next round knows.
                Err(eventlog::LogError::OffsetOutOfRange { .. }) => return Ok(read),
                Err(error) => return Err(error.into()),
            };
            let Some(before) = plan.again.get(index).copied() else { break };
            for slice in slices {
                let Some(next) = plan.again.get(index) else { break };
                if slice.last_offset.0 < *next {
                    continue;
                }
                if slice.base_offset.0 > *next {
                    break;
                }
                read.sources.push(source(&slice)?);
                left = left.saturating_sub(slice.len as usize);
                index += plan.again[index..].partition_point(|again| *again <= slice.last_offset.0);
            }
            if left == 0 || plan.again.get(index).copied() == Some(before) {
                break;
            }
        }
        if index < plan.again.len() {
            return Ok(read);
        }
        self.read_fresh(place, plan, limits, config, bounds, now, left, &mut read)?;
        Ok(read)
    }

    /// Reads on behind what the group has seen.
    #[expect(
        clippy::too_many_arguments,
        reason = "what was planned, what is allowed, and what is left of it"
    )]
    fn read_fresh(
        &self,
        place: Place<'_>,
        plan: &Plan,
        limits: Limits,
        config: &ShareGroupConfig,
        bounds: &Bounds,
        now: Now,
        bytes_left: usize,
        read: &mut Read,
    ) -> Result<(), ApiError> {
        let mut wanted = limits.records.saturating_sub(plan.again.len());
        let mut room = plan.room;
        let mut held_room = plan.held_room;
        let ceiling = match config.read_committed {
            true => self.last_stable_offset(place.partition, bounds),
            false => bounds.high_watermark.0,
        };
        if wanted == 0 || room == 0 || bytes_left == 0 || plan.end >= ceiling {
            return Ok(());
        }
        let mut slices = match self.log.read(place.partition, Offset(plan.end), bytes_left) {
            Ok(slices) => slices,
            Err(eventlog::LogError::OffsetOutOfRange { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        slices.retain(|slice| slice.last_offset.0 < ceiling);
        let aborted = match (config.read_committed, slices.last()) {
            (true, Some(last)) => {
                lock(&self.state.0).partitions.aborted(place.partition, plan.end, last.last_offset.0 + 1)
            }
            _ => Vec::new(),
        };
        for slice in slices {
            let source = source(&slice)?;
            let from = read.end.max(source.first);
            let is_aborted = BatchHeader::parse(&source.bytes).is_ok_and(|header| {
                header.is_transactional()
                    && aborted.iter().any(|one| {
                        one.producer_id == header.producer_id
                            && (one.first_offset..=one.last_offset).contains(&source.first)
                    })
            });
            if is_aborted {
                read.end = source.last + 1;
                continue;
            }
            // Those that are held back take no room, so it may take several looks to fill it.
            let most = if limits.strict { wanted.min(room) } else { room };
            let (found, mut next) = fresh_from(&source.bytes, from, most.saturating_add(held_room));
            let whole = next > source.last;
            let mut delivers = false;
            for mut one in found {
                one.not_before_ms = one.not_before_ms.filter(|time_ms| *time_ms > now.wall_ms);
                let is_held = one.not_before_ms.is_some();
                let is_full =
                    if is_held { held_room == 0 } else { room == 0 || (limits.strict && wanted == 0) };
                if is_full {
                    next = one.offset;
                    break;
                }
                if is_held {
                    held_room -= 1;
                } else {
                    delivers = true;
                    room -= 1;
                    wanted = wanted.saturating_sub(1);
                }
                read.fresh.push(one);
            }
            let ended = !whole || next <= source.last;
            read.end = next;
            // A batch of which something comes again and something is new is given once.
            if delivers && read.sources.last().is_none_or(|last| last.first != source.first) {
                read.sources.push(source);
            }
            if ended || wanted == 0 || room == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Writes and applies the delivery, as far as nobody else was faster.
    fn deliver(
        &self,
        place: Place<'_>,
        plan: &Plan,
        read: &Read,
        config: &ShareGroupConfig,
        now: Now,
    ) -> Result<(Vec<Delivered>, Lsn), ApiError> {
        let until_ms = now.monotonic_ms.saturating_add(config.lock_ms);
        let covered = |offset: &i64| read.sources.iter().any(|one| (one.first..=one.last).contains(offset));
        let again: Vec<i64> = plan.again.iter().copied().filter(covered).collect();
        let mut hastens = false;
        let (delivered, lsn) = self.log.append(|frame| {
            let mut shared = lock(&self.share.0);
            let known = shared.groups.partition_mut(place.group, place.partition);
            let known = known.ok_or(ErrorCode::UnknownTopicOrPartition)?;
            let (fresh, end) = match known.end() == plan.end {
                true => (&read.fresh[..], read.end),
                false => (&[][..], known.end()),
            };
            let again = known.still_ready(&again);
            let (delivered, runs) = known.deliver(&again, fresh);
            if runs.is_empty() && end == known.end() {
                return Ok(delivered);
            }
            let (group, partition) = (place.group.to_string(), place.partition);
            let change = ShareChange::Updated { group, partition, end, runs };
            frame.layer(Layer::SHARE_GROUPS, &change.encode())?;
            shared.apply(&change);
            if let Some(known) = shared.groups.partition_mut(place.group, place.partition) {
                known.lock(&delivered, Lease { member: place.member, until_ms });
            }
            if !delivered.is_empty() {
                let records = delivered.iter().map(|run| (run.last - run.first + 1).unsigned_abs());
                shared.counts(place.group).delivered += records.sum::<u64>();
                hastens = shared.alarm(until_ms);
            }
            Ok::<_, ApiError>(delivered)
        })?;
        if hastens {
            self.hasten(until_ms);
        }
        Ok((delivered, lsn))
    }
}

fn source(slice: &BatchSlice) -> Result<Source, ApiError> {
    let mut bytes = Vec::with_capacity(slice.len as usize);
    slice.read(&mut bytes)?;
    Ok(Source { first: slice.base_offset.0, last: slice.last_offset.0, bytes: bytes.into() })
}
