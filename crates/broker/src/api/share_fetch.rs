//! ShareFetch (78): records for a member of a share group, and its acknowledgements along with it.
//!
//! What is acknowledged is settled when the request comes; what is to be given is looked up when the answer's turn
//! has come, as for a plain fetch. Where there is nothing, the answer waits for new data, for records that others give
//! back, and for those that are held back to become ready.

use super::share_acknowledge::{acknowledge, group_and_member, none_or};
use super::{Api, NONE, code, some_text, typed};
use crate::broker::{Broker, after_durable};
use crate::budget::{self, Room};
use crate::call::{Call, Now, Outcome, ReplyTo, Until, Woken};
use crate::errors::ApiError;
use crate::quotas::Meter;
use crate::security::{Access, ResourceType};
use crate::share::bell::Bell;
use crate::share::options::ShareGroupConfig;
use crate::share::partition::{Acknowledgement, Delivered};
use crate::share::session::{FINAL_EPOCH, INITIAL_EPOCH, Place as Named, Wanted};
use crate::share::{Limits, Place};
use crate::sync::lock;
use base::{Lsn, PartitionId, TopicId};
use bytes::Bytes;
use eventlog::Seen;
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::share_fetch_request::ShareFetchRequest;
use kafka_wire::messages::share_fetch_response::{
    AcquiredRecords, PartitionData, ShareFetchResponse, ShareFetchableTopicResponse,
};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub const API: Api = Api::new(ApiKey::ShareFetch, (1, 2), |call, body| typed(call, body, handle));

/// As for a plain fetch.
const MAX_WAIT_MS: i64 = 300_000;
/// Kafka's number for "not more records than asked for".
const RECORD_LIMIT: i8 = 1;

struct Pending {
    reply_to: ReplyTo,
    access: Access,
    meter: Option<Meter>,
    group: String,
    member: Arc<str>,
    wanted: Wanted,
    limits: Limits,
    batch_size: i64,
    bytes_min: usize,
    deadline_ms: i64,
    config: ShareGroupConfig,
    /// What became of the acknowledgements, in the order in which they came.
    settled: Vec<(Named, (i16, Option<String>))>,
    /// The log has to be durable up to here before anything is answered.
    lsn: Lsn,
}

fn handle(call: &Call<'_>, request: ShareFetchRequest) -> Outcome {
    let broker = call.broker;
    let refused = |error: ErrorCode, message: &str| {
        call.reply(&ShareFetchResponse {
            error_code: code(error),
            error_message: some_text(message.into()),
            ..Default::default()
        })
    };
    let (group, member) = match group_and_member(call, request.group_id, request.member_id) {
        Ok(named) => named,
        Err(error) => return refused(error, ""),
    };
    let asks = request.max_bytes != 0 || request.min_bytes != 0 || request.max_records != 0;
    if request.is_renew_ack && (asks || request.max_wait_ms != 0) {
        return refused(ErrorCode::InvalidRequest, "a request that renews locks fetches nothing");
    }
    let epoch = request.share_session_epoch;
    let mut named: Vec<Named> = Vec::new();
    let mut acknowledged: Vec<(Named, Vec<Acknowledgement>)> = Vec::new();
    for topic in request.topics {
        for part in topic.partitions {
            let place = (TopicId(topic.topic_id), part.partition_index);
            named.push(place);
            if !part.acknowledgement_batches.is_empty() {
                let batches = part.acknowledgement_batches.into_iter().map(|batch| Acknowledgement {
                    first: batch.first_offset,
                    last: batch.last_offset,
                    types: batch.acknowledge_types,
                });
                acknowledged.push((place, batches.collect()));
            }
        }
    }
    let forgotten: HashSet<Named> = request
        .forgotten_topics_data
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|index| (TopicId(topic.topic_id), *index)))
        .collect();
    let connection = call.peer.connection();
    let begun = {
        let mut shared = lock(&broker.share.0);
        match epoch {
            INITIAL_EPOCH if !acknowledged.is_empty() => Err(ErrorCode::InvalidRequest),
            INITIAL_EPOCH => {
                named.retain(|place| !forgotten.contains(place));
                let sessions = broker.config.text("group.share.max.share.sessions");
                let sessions_max = sessions.and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
                shared.sessions.open(&group, &member, named, connection, sessions_max)
            }
            FINAL_EPOCH => {
                let none = Wanted { places: Vec::new(), is_new: false };
                shared.sessions.exists(&group, &member).map(|()| none)
            }
            _ => shared.sessions.go_on(&group, &member, epoch, named, &forgotten, connection),
        }
    };
    let mut wanted = match begun {
        Ok(wanted) => wanted,
        Err(error) => return refused(error, ""),
    };
    let mut lsn = Lsn(0);
    let mut settled = Vec::with_capacity(acknowledged.len());
    for (place, batches) in acknowledged {
        let result = acknowledge(call, &group, &member, place, batches, request.is_renew_ack);
        lsn = lsn.max(*result.as_ref().unwrap_or(&Lsn(0)));
        settled.push((place, none_or(&result)));
    }
    if epoch == FINAL_EPOCH {
        broker.let_go(&group, &member, call.now);
    }
    if request.is_renew_ack {
        wanted.places.clear();
    }
    let limit = |number: i32| usize::try_from(number).unwrap_or(0);
    let wait_ms = i64::from(request.max_wait_ms).clamp(0, MAX_WAIT_MS);
    let pending = Pending {
        reply_to: call.reply_to,
        access: call.access.clone(),
        meter: call.meter.cloned(),
        config: broker.share_config(&group),
        member: member.as_str().into(),
        group,
        wanted,
        limits: Limits {
            records: limit(request.max_records),
            bytes: limit(request.max_bytes).min(broker.config.fetch_bytes_max),
            strict: request.share_acquire_mode == RECORD_LIMIT,
        },
        batch_size: i64::from(request.batch_size).max(1),
        bytes_min: limit(request.min_bytes),
        deadline_ms: call.now.monotonic_ms.saturating_add(wait_ms),
        settled,
        lsn,
    };
    Outcome::wait(Until::Turn, None, move |broker, now, _| evaluate(broker, pending, now))
}

/// What one partition has for the member.
struct Part {
    place: Named,
    partition: Option<PartitionId>,
    batches: Vec<u8>,
    delivered: Vec<Delivered>,
    error: Option<ApiError>,
}

fn evaluate(broker: &Broker, mut pending: Pending, monotonic_ms: i64) -> Outcome {
    let now = Now { wall_ms: broker.os.clock.now_ms(), monotonic_ms };
    // Both before looking, so that what happens meanwhile wakes the wait below.
    let seen = broker.log.seen();
    let bell = lock(&broker.share.0).bell(&pending.group);
    let rung = bell.rung();
    let due = monotonic_ms >= pending.deadline_ms;
    let enough = due || pending.bytes_min <= 1 || waiting_bytes(broker, &pending) >= pending.bytes_min;
    let mut parts = Vec::with_capacity(pending.wanted.places.len());
    let bytes_max = pending.limits.bytes.min(broker.answers.answer_bytes_max().max(1));
    // Records are the member's once they are taken, so that there has to be room before.
    let Some(room) = broker.answers.take(bytes_max) else {
        let deadline_ms = monotonic_ms.saturating_add(budget::WAIT_MS_MAX);
        return Outcome::wait(
            Until::Room(bytes_max),
            Some(deadline_ms),
            move |broker, now, woken| match woken {
                Woken::Deadline => answer(broker, pending, Vec::new(), broker.answers.count(0)),
                _ => evaluate(broker, pending, now),
            },
        );
    };
    let mut left = Limits { bytes: bytes_max, ..pending.limits };
    let (mut unfinished, mut next_held_ms) = (false, None::<i64>);
    for place in pending.wanted.places.clone() {
        let mut part =
            Part { place, partition: None, batches: Vec::new(), delivered: Vec::new(), error: None };
        match look_up(broker, &pending, place, &mut part, left, enough, now) {
            Ok(Some(taken)) => {
                pending.lsn = pending.lsn.max(taken.lsn);
                unfinished |= taken.unfinished;
                next_held_ms = next_held_ms.into_iter().chain(taken.next_held_ms).min();
                let records: i64 = taken.delivered.iter().map(|run| run.last - run.first + 1).sum();
                left.records = left.records.saturating_sub(usize::try_from(records).unwrap_or(0));
                left.bytes = left.bytes.saturating_sub(taken.batches.len());
                (part.batches, part.delivered) = (taken.batches, taken.delivered);
            }
            Ok(None) => {}
            Err(error) => part.error = Some(error),
        }
        parts.push(part);
    }
    let news = parts.iter().any(|part| !part.delivered.is_empty() || part.error.is_some());
    if news || due || !pending.settled.is_empty() || parts.is_empty() {
        return answer(broker, pending, parts, room);
    }
    if unfinished {
        return Outcome::wait(Until::Turn, None, move |broker, now, _| evaluate(broker, pending, now));
    }
    wait(pending, parts, (seen, bell, rung), next_held_ms, now)
}

/// Waits for new data, for records that others give back, and for those that are held back.
fn wait(
    pending: Pending,
    parts: Vec<Part>,
    (seen, bell, rung): (Seen, Bell, u64),
    next_held_ms: Option<i64>,
    now: Now,
) -> Outcome {
    let partitions = parts.iter().filter_map(|part| part.partition).collect();
    let until_held = next_held_ms.map(|at_ms| at_ms.saturating_sub(now.wall_ms).max(1));
    let held_at_ms = until_held.map(|left_ms| now.monotonic_ms.saturating_add(left_ms));
    let deadline_ms = held_at_ms.unwrap_or(i64::MAX).min(pending.deadline_ms);
    let until = Until::Ready { seen, partitions, bell, rung };
    Outcome::wait(until, Some(deadline_ms), move |broker, now, woken| {
        let now = if woken == Woken::Deadline { now.max(deadline_ms) } else { now };
        evaluate(broker, pending, now)
    })
}

/// Bytes that lie behind what the group has seen, in all partitions that the member fetches.
fn waiting_bytes(broker: &Broker, pending: &Pending) -> usize {
    let mut bytes = 0;
    for (topic, index) in &pending.wanted.places {
        let topic = broker.log.topic_by_id(*topic);
        let index = usize::try_from(*index).ok();
        let Some(partition) =
            topic.zip(index).and_then(|(topic, index)| topic.partitions.get(index).copied())
        else {
            continue;
        };
        let from = {
            let shared = lock(&broker.share.0);
            let Some(known) = shared.groups.partition(&pending.group, partition) else { return usize::MAX };
            // What is given back does not wait for more.
            if !known.deliverable(1, pending.config.retry.delivery_limit).is_empty() {
                return usize::MAX;
            }
            known.end()
        };
        let slices = broker.log.read(partition, base::Offset(from), pending.bytes_min.saturating_sub(bytes));
        bytes += slices.unwrap_or_default().iter().map(|slice| slice.len as usize).sum::<usize>();
    }
    bytes
}

fn look_up(
    broker: &Broker,
    pending: &Pending,
    (topic, index): Named,
    part: &mut Part,
    left: Limits,
    enough: bool,
    now: Now,
) -> Result<Option<crate::share::Taken>, ApiError> {
    let topic = broker.log.topic_by_id(topic).ok_or(ErrorCode::UnknownTopicId)?;
    pending.access.permit(ApiKey::ShareFetch, ResourceType::Topic, &topic.name)?;
    let partition = super::produce::partition_of(&topic, index)?;
    part.partition = Some(partition);
    if !enough || left.records == 0 || left.bytes == 0 {
        return Ok(None);
    }
    let place = Place { group: &pending.group, member: &pending.member, partition };
    broker.take(place, left, &pending.config, now).map(Some)
}

fn answer(broker: &Broker, pending: Pending, parts: Vec<Part>, mut room: Room) -> Outcome {
    let Pending { reply_to, meter, wanted, settled, batch_size, config, lsn, .. } = pending;
    let mut answers = Answers::default();
    let mut bytes_out = 0;
    room.resize(parts.iter().map(|part| part.batches.len()).sum());
    let acknowledged: HashSet<Named> = settled.iter().map(|(place, _)| *place).collect();
    for part in parts {
        let is_acknowledged = acknowledged.contains(&part.place);
        if part.delivered.is_empty() && part.error.is_none() && !wanted.is_new && !is_acknowledged {
            continue;
        }
        bytes_out += part.batches.len();
        if let Some(partition) = part.partition {
            broker.counters.fetched(partition, part.batches.len());
        }
        let data = answers.of(part.place);
        if let Some(error) = part.error {
            data.error_code = code(error.code);
            data.error_message = some_text(error.message);
        }
        data.records = Some(room.split(part.batches.len()).hold(part.batches));
        data.acquired_records = part.delivered.iter().flat_map(|run| portions(run, batch_size)).collect();
    }
    for (place, (error, message)) in settled {
        let data = answers.of(place);
        (data.acknowledge_error_code, data.acknowledge_error_message) = (error, message);
    }
    // The records are the member's already, so that it gets them and waits afterwards.
    let throttle_time_ms = meter.map_or(0, |meter| meter.given(broker, bytes_out));
    let lock_ms = i32::try_from(config.lock_ms).unwrap_or(i32::MAX);
    after_durable(broker, reply_to, lsn, move |fenced| match fenced {
        Some(error) => ShareFetchResponse { error_code: code(error), ..Default::default() },
        None => ShareFetchResponse {
            error_code: NONE,
            throttle_time_ms,
            acquisition_lock_timeout_ms: lock_ms,
            responses: answers.topics,
            ..Default::default()
        },
    })
}

/// The answer's topics, and where in them each topic and partition stands.
#[derive(Default)]
struct Answers {
    topics: Vec<ShareFetchableTopicResponse>,
    topics_at: HashMap<TopicId, usize>,
    partitions_at: HashMap<Named, usize>,
}

impl Answers {
    /// The partition's place in the answer.
    fn of(&mut self, place: Named) -> &mut PartitionData {
        let (topic, partition_index) = place;
        let at = *self.topics_at.entry(topic).or_insert_with(|| {
            self.topics.push(ShareFetchableTopicResponse { topic_id: topic.0, partitions: Vec::new() });
            self.topics.len() - 1
        });
        let partitions = &mut self.topics[at].partitions;
        let at = *self.partitions_at.entry(place).or_insert_with(|| {
            let records = Some(Bytes::new());
            partitions.push(PartitionData { partition_index, records, ..Default::default() });
            partitions.len() - 1
        });
        &mut partitions[at]
    }
}

/// A run in portions of at most `size` records, which the client acknowledges by.
fn portions(run: &Delivered, size: i64) -> impl Iterator<Item = AcquiredRecords> {
    let Delivered { first, last, deliveries } = *run;
    let count = (last - first) / size + 1;
    (0..count).map(move |index| {
        let first_offset = first + index * size;
        let last_offset = (first_offset + size - 1).min(last);
        AcquiredRecords { first_offset, last_offset, delivery_count: deliveries }
    })
}
