//! Fetch (1): whole record batches from the log, at once or as soon as there are enough.
//!
//! A fetch is evaluated when its answer's turn to be sent has come, so that a connection never holds
//! more than one answer's records in memory, and takes room for them (`crate::answers`). If too little is there, it waits until one of its
//! partitions moves or its time is up, and is evaluated again. With a session (KIP-227) partitions
//! without news are left out of the answer.

use super::metadata::LEADER_EPOCH;
use super::{Api, NONE, code, typed};
use crate::broker::Broker;
use crate::budget::{self, Room};
use crate::call::{Call, Outcome, ReplyTo, Until, Woken};
use crate::errors::{self, ApiError};
use crate::quotas::Meter;
use crate::security::{Access, ResourceType};
use crate::sessions::{Asked, FetchSpec, SessionContext, Told, TopicRef};
use crate::state::partition_transactions::AbortedTransaction;
use crate::sync::lock;
use base::{Offset, PartitionId, TopicId};
use bytes::Bytes;
use eventlog::{BatchSlice, Bounds};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::fetch_request::FetchRequest;
use kafka_wire::messages::fetch_response::{
    AbortedTransaction as Aborted, FetchResponse, FetchableTopicResponse, PartitionData,
};

pub const API: Api = Api::new(ApiKey::Fetch, (4, 18), |call, body| typed(call, body, handle));

/// Kafka's longest wait is not limited; ours is, so that a connection's deadline stays a real time.
const MAX_WAIT_MS: i64 = 300_000;

struct Pending {
    reply_to: ReplyTo,
    access: Access,
    meter: Option<Meter>,
    session: SessionContext,
    specs: Vec<FetchSpec>,
    bytes_min: usize,
    bytes_max: usize,
    deadline_ms: i64,
    read_committed: bool,
}

fn handle(call: &Call<'_>, request: FetchRequest) -> Outcome {
    let broker = call.broker;
    let by_id = call.version() >= 13;
    let topic_ref = |name: String, id| if by_id { TopicRef::Id(id) } else { TopicRef::Name(name.into()) };
    let mut specs = Vec::new();
    for topic in request.topics {
        let reference = topic_ref(topic.topic, topic.topic_id);
        for partition in topic.partitions {
            specs.push(FetchSpec {
                topic: reference.clone(),
                partition: partition.partition,
                fetch_offset: partition.fetch_offset,
                partition_max_bytes: partition.partition_max_bytes,
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
            });
        }
    }
    let mut forgotten = Vec::new();
    for topic in request.forgotten_topics_data {
        let reference = topic_ref(topic.topic, topic.topic_id);
        forgotten.extend(topic.partitions.into_iter().map(|partition| (reference.clone(), partition)));
    }
    // Before version 7 there are no sessions: the request's epoch has the value "none".
    let opens = request.session_epoch == 0;
    let permitted = !opens || specs.iter().any(|spec| may_read(broker, call.access, &spec.topic));
    let asked = Asked {
        owner: call.access.principal(),
        id: request.session_id,
        epoch: request.session_epoch,
        by_id,
        specs,
        forgotten: &forgotten,
        permitted,
    };
    let begun = lock(&broker.sessions).begin(asked, call.now.monotonic_ms);
    let (session, specs) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            return call.reply(&FetchResponse { error_code: code(error), ..Default::default() });
        }
    };
    let limit = |bytes: i32| usize::try_from(bytes).unwrap_or(0);
    let quota_bytes = call.meter.map_or(usize::MAX, |meter| meter.fetch_bytes_max(broker));
    let bytes_max = limit(request.max_bytes).min(broker.config.fetch_bytes_max).min(quota_bytes);
    let pending = Pending {
        reply_to: call.reply_to,
        access: call.access.clone(),
        meter: call.meter.cloned(),
        session,
        specs,
        bytes_min: limit(request.min_bytes).min(bytes_max),
        bytes_max,
        deadline_ms: call
            .now
            .monotonic_ms
            .saturating_add(i64::from(request.max_wait_ms).clamp(0, MAX_WAIT_MS)),
        read_committed: request.isolation_level == 1,
    };
    Outcome::wait(Until::Turn, None, move |broker, now, _| evaluate(broker, pending, now))
}

fn may_read(broker: &Broker, access: &Access, topic: &TopicRef) -> bool {
    let may = |name: &str| access.permit(ApiKey::Fetch, ResourceType::Topic, name).is_ok();
    match topic {
        TopicRef::Name(name) => may(name),
        TopicRef::Id(id) => broker.log.topic_by_id(TopicId(*id)).is_some_and(|topic| may(&topic.name)),
    }
}

/// What one partition has for the client.
struct Found {
    partition: Option<PartitionId>,
    high_watermark: i64,
    last_stable_offset: i64,
    log_start: i64,
    slices: Vec<BatchSlice>,
    /// `None` if it was not asked for.
    aborted: Option<Vec<AbortedTransaction>>,
    error: Option<ErrorCode>,
}

impl Found {
    fn failed(error: ErrorCode) -> Found {
        Found {
            partition: None,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start: -1,
            slices: Vec::new(),
            aborted: None,
            error: Some(error),
        }
    }
}

fn evaluate(broker: &Broker, pending: Pending, now: i64) -> Outcome {
    // Taken before looking, so that what becomes durable meanwhile wakes the wait below.
    let seen = broker.log.seen();
    let bytes_max = pending.bytes_max.min(broker.answers.answer_bytes_max());
    let mut bytes = 0;
    let mut failed = false;
    let mut found = Vec::with_capacity(pending.specs.len());
    for spec in &pending.specs {
        let left = bytes_max.saturating_sub(bytes);
        let part = look_up(broker, &pending, spec, left, bytes == 0);
        let part = part.unwrap_or_else(|error| Found::failed(error.code));
        bytes += part.slices.iter().map(|slice| slice.len as usize).sum::<usize>();
        failed |= part.error.is_some();
        found.push(part);
    }
    let satisfied = bytes >= pending.bytes_min.min(bytes_max) || failed || pending.specs.is_empty();
    if satisfied || now >= pending.deadline_ms {
        let Some(room) = broker.answers.take(bytes) else {
            let deadline_ms = now.saturating_add(budget::WAIT_MS_MAX);
            return Outcome::wait(
                Until::Room(bytes),
                Some(deadline_ms),
                move |broker, now, woken| match woken {
                    Woken::Deadline => empty(broker, &pending, 0),
                    _ => evaluate(broker, pending, now),
                },
            );
        };
        if let Some(throttle_ms) = throttled(broker, &pending, &found, bytes, now) {
            return empty(broker, &pending, throttle_ms);
        }
        return answer(broker, pending, found, room);
    }
    let partitions = found.iter().filter_map(|part| part.partition).collect();
    let deadline_ms = pending.deadline_ms;
    Outcome::wait(Until::Data { seen, partitions }, Some(deadline_ms), move |broker, now, woken| {
        let now = if woken == Woken::Deadline { now.max(deadline_ms) } else { now };
        evaluate(broker, pending, now)
    })
}

/// The batches from the wanted offset on, as far as the limits allow; the first batch of the whole
/// answer is given even if it is larger than them (KIP-74).
fn look_up(
    broker: &Broker,
    pending: &Pending,
    spec: &FetchSpec,
    bytes_left: usize,
    nothing_yet: bool,
) -> Result<Found, ApiError> {
    if let TopicRef::Name(name) = &spec.topic {
        pending.access.permit(ApiKey::Fetch, ResourceType::Topic, name)?;
    }
    let (topic, unknown) = match &spec.topic {
        TopicRef::Name(name) => (broker.log.topic(name), ErrorCode::UnknownTopicOrPartition),
        TopicRef::Id(id) => (broker.log.topic_by_id(TopicId(*id)), ErrorCode::UnknownTopicId),
    };
    let topic = topic.ok_or(unknown)?;
    if let TopicRef::Id(_) = &spec.topic {
        pending.access.permit(ApiKey::Fetch, ResourceType::Topic, &topic.name)?;
    }
    let partition = super::produce::partition_of(&topic, spec.partition)?;
    if spec.current_leader_epoch > LEADER_EPOCH {
        return Err(ErrorCode::UnknownLeaderEpoch.into());
    }
    loop {
        let bounds = broker.log.bounds(partition)?;
        let found = read(broker, pending, spec, partition, &bounds, bytes_left, nothing_yet)?;
        // What compaction has gone through meanwhile may have been read as it was before, but asked about afterwards.
        if found.aborted.is_none() || broker.log.bounds(partition)?.clean_to == bounds.clean_to {
            return Ok(found);
        }
    }
}

fn read(
    broker: &Broker,
    pending: &Pending,
    spec: &FetchSpec,
    partition: PartitionId,
    bounds: &Bounds,
    bytes_left: usize,
    nothing_yet: bool,
) -> Result<Found, ApiError> {
    let read_committed = pending.read_committed;
    let partition_max = usize::try_from(spec.partition_max_bytes).unwrap_or(0);
    let limit = bytes_left.min(partition_max);
    let last_stable_offset = broker.last_stable_offset(partition, bounds);
    let mut found = Found {
        partition: Some(partition),
        high_watermark: bounds.high_watermark.0,
        last_stable_offset,
        log_start: bounds.log_start.0,
        slices: Vec::new(),
        aborted: None,
        error: None,
    };
    match broker.log.read(partition, Offset(spec.fetch_offset), limit) {
        Ok(mut slices) => {
            if read_committed {
                // It lies in the middle of a batch if the records before it were deleted.
                slices.retain(|slice| slice.last_offset.0 < last_stable_offset);
            }
            found.slices = within(slices, limit, nothing_yet);
            if let (true, Some(last)) = (read_committed, found.slices.last()) {
                let (from, to) = (spec.fetch_offset, last.last_offset.0 + 1);
                // What was aborted before the clean point is gone, and in time its markers are, with which readers
                // forget about the producer.
                let aborted =
                    lock(&broker.state.0).partitions.aborted(partition, from.max(bounds.clean_to.0), to);
                found.aborted = Some(aborted);
                // What is deleted by now may have left the list of aborted transactions before it was looked at.
                if broker.log.bounds(partition)?.log_start.0 > from {
                    return Err(ErrorCode::OffsetOutOfRange.into());
                }
            }
        }
        Err(error) => {
            found.error = Some(errors::code_of(&error));
            if found.error == Some(ErrorCode::OffsetOutOfRange) {
                found.high_watermark = -1;
                found.last_stable_offset = -1;
                found.log_start = -1;
            }
        }
    }
    Ok(found)
}

fn within(mut slices: Vec<BatchSlice>, limit: usize, at_least_one: bool) -> Vec<BatchSlice> {
    let mut bytes = 0;
    let fitting = slices.iter().take_while(|slice| {
        bytes += slice.len as usize;
        bytes <= limit
    });
    let count = fitting.count().max(usize::from(at_least_one));
    slices.truncate(count);
    slices
}

fn answer(broker: &Broker, pending: Pending, found: Vec<Found>, mut room: Room) -> Outcome {
    let record_bytes = |data: &PartitionData| data.records.as_ref().map_or(0, Bytes::len);
    let data = pending.specs.iter().zip(found).map(|(spec, part)| {
        let partition = part.partition;
        let data = partition_data(broker, &pending, spec, part, &mut room);
        if let (Some(partition), bytes @ 1..) = (partition, record_bytes(&data)) {
            broker.counters.fetched(partition, bytes);
        }
        data
    });
    let data: Vec<PartitionData> = data.collect();
    let SessionContext { id, incremental } = pending.session;
    let mut news = Vec::new();
    if id != 0 {
        let mut sessions = lock(&broker.sessions);
        let key = |spec: &FetchSpec| (spec.topic.clone(), spec.partition);
        let parts = pending.specs.iter().zip(&data);
        let told = parts.clone().map(|(spec, data)| {
            (key(spec), Told { high_watermark: data.high_watermark, log_start: data.log_start_offset })
        });
        news = sessions.tell(id, told);
        let given = parts.filter(|(_, data)| record_bytes(data) > 0).map(|(spec, _)| key(spec));
        sessions.move_to_end(id, &given.collect::<Vec<_>>());
    }
    let mut responses: Vec<FetchableTopicResponse> = Vec::new();
    let mut last: Option<&TopicRef> = None;
    for (index, (spec, data)) in pending.specs.iter().zip(data).enumerate() {
        let is_told = record_bytes(&data) > 0 || data.error_code != NONE || news.get(index) != Some(&false);
        if incremental && !is_told {
            continue;
        }
        if last != Some(&spec.topic) {
            let (topic, topic_id) = match &spec.topic {
                TopicRef::Name(name) => (name.to_string(), [0; 16]),
                TopicRef::Id(id) => (String::new(), *id),
            };
            responses.push(FetchableTopicResponse { topic, topic_id, partitions: Vec::new() });
            last = Some(&spec.topic);
        }
        if let Some(topic) = responses.last_mut() {
            topic.partitions.push(data);
        }
    }
    pending.reply_to.encode(broker, &FetchResponse { session_id: id, responses, ..Default::default() })
}

/// About so many bytes stand around the records of a partition.
const PARTITION_BYTES: usize = 40;

/// For how long the client gets nothing, if it has used more than its quotas or would do so now.
fn throttled(
    broker: &Broker,
    pending: &Pending,
    found: &[Found],
    record_bytes: usize,
    now_ms: i64,
) -> Option<i64> {
    let meter = pending.meter.as_ref()?;
    let overtime_ms = meter.overtime_ms(broker, now_ms);
    let throttle_ms = match overtime_ms {
        0 => meter.fetched(broker, record_bytes + found.len() * PARTITION_BYTES, now_ms),
        overtime_ms => overtime_ms,
    };
    (throttle_ms > 0).then_some(throttle_ms)
}

/// An answer without partitions, after which the client asks again for what it asked (KIP-219).
fn empty(broker: &Broker, pending: &Pending, throttle_ms: i64) -> Outcome {
    let SessionContext { id, incremental } = pending.session;
    // A full answer would have to name all partitions, so that no session comes of it.
    if id != 0 && !incremental {
        lock(&broker.sessions).close(id);
    }
    let response = FetchResponse {
        throttle_time_ms: i32::try_from(throttle_ms).unwrap_or(i32::MAX),
        session_id: if incremental { id } else { 0 },
        ..Default::default()
    };
    pending.reply_to.encode(broker, &response)
}

fn partition_data(
    broker: &Broker,
    pending: &Pending,
    spec: &FetchSpec,
    part: Found,
    room: &mut Room,
) -> PartitionData {
    let mut error_code = part.error.map_or(NONE, code);
    let mut records = broker.buffers.take(part.slices.iter().map(|slice| slice.len as usize).sum());
    let mut whole = 0;
    for slice in &part.slices {
        let end = whole + slice.len as usize;
        if let Err(error) = slice.read_into(&mut records.bytes_mut()[whole..end]) {
            // What lies before the damage is given; the next fetch meets the damage first.
            if whole == 0 {
                error_code = code(errors::code_of(&error));
            }
            break;
        }
        whole = end;
    }
    PartitionData {
        partition_index: spec.partition,
        error_code,
        high_watermark: part.high_watermark,
        last_stable_offset: part.last_stable_offset,
        log_start_offset: part.log_start,
        aborted_transactions: pending
            .read_committed
            .then(|| part.aborted.iter().flatten().map(aborted).collect()),
        records: Some(room.split(whole).hold(records.freeze(whole))),
        ..Default::default()
    }
}

fn aborted(transaction: &AbortedTransaction) -> Aborted {
    Aborted { producer_id: transaction.producer_id, first_offset: transaction.first_offset }
}
