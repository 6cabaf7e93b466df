//! Produce (0): record batches go into the log; acknowledged when they are durable.
//!
//! All partitions of a request become one frame of the log, so that a crash keeps all of them or
//! none. A batch stays as the producer sent it, compressed or not; its header, checksum and counts
//! are checked. Whether an idempotent producer's batch is new, and whether a transactional one may write,
//! is decided under the append lock, where its place in the log is decided too.

use super::{Api, NONE, code, some_text, typed};
use crate::batches::{self, CheckedBatch};
use crate::broker::{Broker, after_shipped};
use crate::call::{Call, Outcome};
use crate::errors::ApiError;
use crate::produce_spans::{ProduceSpans, Produced};
use crate::security::not_internal;
use crate::state::BrokerState;
use crate::state::producers::{SequencedBatch, Verdict};
use crate::state::transactions::TransactionState;
use crate::sync::lock;
use crate::transactions::{Claim, Parts};
use base::{Lsn, PartitionId, TopicId};
use bytes::Bytes;
use eventlog::{Durability, EventLog, SHIPS_NOTHING, TimestampType, Topic};
use kafka_wire::ApiKey;
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::produce_request::{PartitionProduceData, ProduceRequest};
use kafka_wire::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use std::collections::HashSet;
use std::sync::Arc;

/// Versions 0 to 2 are advertised because librdkafka and others conclude from their absence that
/// the broker lacks features it has (KAFKA-18659); nobody sends them any more, and they are refused.
pub const API: Api =
    Api { advertised_min: 0, ..Api::new(ApiKey::Produce, (3, 13), |call, body| typed(call, body, handle)) };

/// A batch that passed its checks and waits for its place in the log.
struct Ready {
    partition: PartitionId,
    batch: CheckedBatch,
    log_append_time_ms: i64,
    durability: Durability,
    topic: Option<Arc<Topic>>,
    /// Where its answer is.
    topic_index: usize,
    partition_index: usize,
}

fn handle(call: &Call<'_>, request: ProduceRequest) -> Outcome {
    let (acks, timeout_ms) = (request.acks, request.timeout_ms);
    let refusal = refusal_of_all(call, &request);
    let transactional_id = request.transactional_id;
    let parts = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    let frame_bytes = parts.map(|part| part.records.as_ref().map_or(0, Bytes::len)).sum();
    let mut ready = Vec::new();
    let mut taken = HashSet::new();
    let mut responses = Vec::with_capacity(request.topic_data.len());
    for (topic_index, data) in request.topic_data.into_iter().enumerate() {
        let topic = match (&refusal, call.version() >= 13) {
            (Some(error), _) => Err(error.clone()),
            (None, true) => call.topic_by_id(TopicId(data.topic_id)).and_then(not_internal),
            (None, false) => call.find_topic(&data.name).and_then(not_internal),
        };
        let mut partition_responses = Vec::with_capacity(data.partition_data.len());
        for (partition_index, part) in data.partition_data.into_iter().enumerate() {
            let index = part.index;
            let checked =
                topic.clone().and_then(|topic| check(call, &topic, part)).and_then(|checked| {
                    match (&transactional_id, checked.1.is_transactional()) {
                        (None, true) => Err(ErrorCode::TransactionalIdAuthorizationFailed.into()),
                        _ => Ok(checked),
                    }
                });
            let mut answer = PartitionProduceResponse { index, base_offset: -1, ..Default::default() };
            match checked {
                Err(error) => refuse(&mut answer, error, call.version()),
                Ok((partition, ..)) if !taken.insert(partition) => {
                    let error = ApiError::new(ErrorCode::InvalidRequest, "the partition is named twice");
                    refuse(&mut answer, error, call.version());
                }
                Ok((partition, batch, log_append_time_ms, durability)) => ready.push(Ready {
                    partition,
                    batch,
                    log_append_time_ms,
                    durability,
                    topic: topic.as_ref().ok().cloned(),
                    topic_index,
                    partition_index,
                }),
            }
            partition_responses.push(answer);
        }
        responses.push(TopicProduceResponse {
            name: data.name,
            topic_id: data.topic_id,
            partition_responses,
        });
    }
    let begin_ns = call.broker.produce_spans.as_ref().map_or(0, |spans| spans.now_ns());
    let lsn = append(call, transactional_id.as_deref(), (&ready, frame_bytes), &mut responses);
    let produced = produced(call, &ready, &responses, begin_ns);
    let response = ProduceResponse { responses, ..Default::default() };
    if acks == 0 {
        are_durable(produced);
        // Nobody reads an error; as Kafka, a refused batch closes the connection, which is a sign.
        return match response
            .responses
            .iter()
            .flat_map(|topic| &topic.partition_responses)
            .find(|answer| answer.error_code != NONE)
        {
            Some(answer) => Outcome::Close(format!(
                "a produce request with acks=0 was refused: error_code={}",
                answer.error_code
            )),
            None => Outcome::Silent,
        };
    }
    let remote: HashSet<(usize, usize)> = (ready.iter())
        .filter(|ready| ready.durability == Durability::Remote)
        .map(|ready| (ready.topic_index, ready.partition_index))
        .collect();
    let is_remote = !remote.is_empty();
    let answer = move |error| match error {
        None => {
            are_durable(produced);
            response
        }
        Some(ErrorCode::RequestTimedOut) => late(response, &remote),
        Some(error) => lost(response, error),
    };
    if !is_remote {
        return call.after_durable(lsn, answer);
    }
    let deadline_ms = call.now.monotonic_ms.saturating_add(timeout_ms.max(0).into());
    after_shipped(call.broker, call.reply_to, lsn, (deadline_ms, ErrorCode::RequestTimedOut), answer)
}

/// The batches that went into the log and may have spans.
fn produced(
    call: &Call<'_>,
    ready: &[Ready],
    responses: &[TopicProduceResponse],
    begin_ns: u64,
) -> Option<(Arc<ProduceSpans>, Vec<Produced>)> {
    let spans = call.broker.produce_spans.as_ref()?;
    let of_batch = |ready: &Ready| {
        let answer = &responses[ready.topic_index].partition_responses[ready.partition_index];
        let topic = ready.topic.as_ref().filter(|_| answer.error_code == NONE)?;
        let place = (&*topic.name, answer.index.unsigned_abs());
        spans.candidate(place, answer.base_offset, begin_ns, &ready.batch.bytes)
    };
    let produced: Vec<Produced> = ready.iter().filter_map(of_batch).collect();
    (!produced.is_empty()).then(|| (spans.clone(), produced))
}

fn are_durable(produced: Option<(Arc<ProduceSpans>, Vec<Produced>)>) {
    if let Some((spans, produced)) = produced {
        spans.are_durable(produced);
    }
}

fn refusal_of_all(call: &Call<'_>, request: &ProduceRequest) -> Option<ApiError> {
    if !matches!(request.acks, -1..=1) {
        return Some(ErrorCode::InvalidRequiredAcks.into());
    }
    if let Some(Err(error)) = request.transactional_id.as_deref().map(|id| call.permit_transaction(id)) {
        return Some(error.into());
    }
    None
}

/// The store did not have the batches in time; they are in the log. A producer sends them again, and if it is idempotent they
/// are known.
fn late(mut response: ProduceResponse, remote: &HashSet<(usize, usize)>) -> ProduceResponse {
    for (topic_index, topic) in response.responses.iter_mut().enumerate() {
        for (partition_index, answer) in topic.partition_responses.iter_mut().enumerate() {
            if answer.error_code == NONE && remote.contains(&(topic_index, partition_index)) {
                answer.error_code = code(ErrorCode::RequestTimedOut);
                answer.base_offset = -1;
            }
        }
    }
    response
}

/// The log was fenced before the batches were durable: they may or may not be in it.
fn lost(mut response: ProduceResponse, error: ErrorCode) -> ProduceResponse {
    for answer in response.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses) {
        if answer.error_code == NONE {
            answer.error_code = code(error);
            answer.base_offset = -1;
        }
    }
    response
}

fn refuse(answer: &mut PartitionProduceResponse, error: ApiError, version: i16) {
    answer.error_code = code(error.code);
    answer.base_offset = -1;
    if version >= 8 {
        answer.error_message = some_text(error.message);
        let of_record = |(index, message)| BatchIndexAndErrorMessage {
            batch_index: index,
            batch_index_error_message: some_text(message),
        };
        answer.record_errors = error.records.into_iter().map(of_record).collect();
    }
}

type Checked = (PartitionId, CheckedBatch, i64, Durability);

fn check(call: &Call<'_>, topic: &Arc<Topic>, part: PartitionProduceData) -> Result<Checked, ApiError> {
    let partition = partition_of(topic, part.index)?;
    permit_remote(&call.broker.log, topic)?;
    let mut batch = batches::check(part.records.unwrap_or_default(), &topic.config, call.now.wall_ms)?;
    let log_append_time_ms = match topic.config.timestamp_type {
        TimestampType::CreateTime => -1,
        TimestampType::LogAppendTime => {
            batch.stamp(call.now.wall_ms)?;
            call.now.wall_ms
        }
    };
    Ok((partition, batch, log_append_time_ms, topic.config.durability))
}

/// What a topic with `durability=remote` promises is not promised where nobody ships the log.
pub(crate) fn permit_remote(log: &EventLog, topic: &Topic) -> Result<(), ApiError> {
    if topic.config.durability == Durability::Remote && !log.is_shipped_somewhere() {
        return Err(ApiError::new(ErrorCode::InvalidConfig, SHIPS_NOTHING));
    }
    Ok(())
}

pub(crate) fn partition_of(topic: &Topic, index: i32) -> Result<PartitionId, ApiError> {
    let found = usize::try_from(index).ok().and_then(|index| topic.partitions.get(index));
    found.copied().ok_or_else(|| {
        let message = format!("topic '{}' has no partition {index}", topic.name);
        ApiError::new(ErrorCode::UnknownTopicOrPartition, message)
    })
}

/// From this version on a partition joins the transaction by being written to (KIP-890).
const JOINS_SINCE: i16 = 12;
/// From this version on clients know that they can go on after aborting.
const ABORTABLE_SINCE: i16 = 11;

/// What an entry of the log takes besides its bytes, rounded up.
const ENTRY_BYTES_MORE: usize = 64;

/// Appends what is ready as one frame and fills in the answers; returns what must become durable.
fn append(
    call: &Call<'_>,
    transactional_id: Option<&str>,
    (ready, frame_bytes): (&[Ready], usize),
    responses: &mut [TopicProduceResponse],
) -> Lsn {
    if ready.is_empty() {
        return Lsn(0);
    }
    // A batch that stays where it came in keeps the whole request in memory until it is written.
    let stays = 2 * ready.iter().map(|ready| ready.batch.bytes.len()).sum::<usize>() >= frame_bytes;
    let bytes_likely: usize = ready.iter().map(|ready| ready.batch.bytes.len() + ENTRY_BYTES_MORE).sum();
    let appended = call.broker.log.append_large(bytes_likely as u64, |frame| {
        let mut results = Vec::with_capacity(ready.len());
        let mut written: Vec<(PartitionId, i64, SequencedBatch)> = Vec::new();
        let mut joining = Vec::new();
        let mut state = lock(&call.broker.state.0);
        for Ready { partition, batch, .. } in ready {
            let verdict = match &batch.sequenced {
                Some(sequenced) => verdict(call, &state, transactional_id, *partition, sequenced),
                None => Verdict::Append,
            };
            let result = match verdict {
                Verdict::Duplicate(base_offset) => Ok(base_offset),
                Verdict::Refuse(error) => Err(ApiError::new(error, refusal_text(error))),
                Verdict::Append => {
                    let (records, time, bytes) = (batch.records, batch.max_timestamp_ms, &batch.bytes);
                    let placed = match stays {
                        true => frame.checked_batch(*partition, records, time, bytes),
                        false => frame.batch(*partition, records, time, bytes),
                    };
                    if placed.is_ok() {
                        call.broker.traffic.count_in(batch.records, batch.bytes.len());
                    }
                    match (placed, &batch.sequenced) {
                        (Ok(offset), Some(sequenced)) => {
                            if sequenced.is_transactional {
                                joining.push(*partition);
                            }
                            written.push((*partition, offset.0, *sequenced));
                            Ok(offset.0)
                        }
                        (Ok(offset), None) => Ok(offset.0),
                        (Err(error), _) => Err(ApiError::from(error)),
                    }
                }
            };
            results.push(result);
        }
        let added = match transactional_id.filter(|_| !joining.is_empty()) {
            Some(id) => {
                let parts = Parts { partitions: joining, ..Parts::default() };
                call.broker.write_added(frame, &state, id, parts, call.now)?
            }
            None => None,
        };
        let heard = written.iter().map(|(partition, _, batch)| (*partition, batch.producer_id));
        let forgotten = call.broker.write_room_for_producers(frame, &mut state, heard)?;
        // Last, since from here on nothing can fail: the state never runs ahead of the log.
        if let Some(added) = added {
            call.broker.apply_added(&mut state, &added, call.now);
        }
        for (partition, offset, sequenced) in written {
            state.apply_data(frame.lsn(), partition, offset, &sequenced);
        }
        if let Some(until) = forgotten {
            state.forget_producers(until);
        }
        Ok::<_, ApiError>(results)
    });
    let (results, lsn) = match appended {
        Ok((results, lsn)) => (results, lsn),
        Err(error) => (ready.iter().map(|_| Err(error.clone())).collect(), Lsn(0)),
    };
    let mut must_be_durable = false;
    for (ready, result) in ready.iter().zip(results) {
        let answer = &mut responses[ready.topic_index].partition_responses[ready.partition_index];
        match result {
            Err(error) => refuse(answer, error, call.version()),
            Ok(base_offset) => {
                answer.base_offset = base_offset;
                answer.log_append_time_ms = ready.log_append_time_ms;
                answer.log_start_offset = log_start(call.broker, ready.partition);
                must_be_durable |= ready.durability != Durability::Relaxed;
            }
        }
    }
    if must_be_durable { lsn } else { Lsn(0) }
}

/// Whether the batch of an idempotent or transactional producer goes into the log.
fn verdict(
    call: &Call<'_>,
    state: &BrokerState,
    transactional_id: Option<&str>,
    partition: PartitionId,
    batch: &SequencedBatch,
) -> Verdict {
    if !batch.is_transactional {
        return match state.partitions.open_since(partition, batch.producer_id) {
            // What it wrote would be part of the transaction for readers, and not for itself.
            Some(_) => Verdict::Refuse(ErrorCode::InvalidTxnState),
            None => state.producers.check(partition, batch),
        };
    }
    let claim = Claim {
        id: transactional_id.unwrap_or_default(),
        producer_id: batch.producer_id,
        epoch: batch.epoch,
    };
    let transaction = match claim.check(state) {
        Ok(transaction) => transaction,
        // As Kafka: for a producer of records this is the code after which it may abort and go on.
        Err(ErrorCode::ProducerFenced) => return Verdict::Refuse(ErrorCode::InvalidProducerEpoch),
        Err(error) => return Verdict::Refuse(error),
    };
    let verdict = state.producers.check(partition, batch);
    let takes_part =
        transaction.state == TransactionState::Ongoing && transaction.partitions.contains(&partition);
    match call.version() {
        _ if takes_part || verdict != Verdict::Append => verdict,
        // As Kafka: such a producer counts anew with each transaction, so something before the batch was lost.
        JOINS_SINCE.. if batch.base_sequence != 0 && state.producers.is_new(partition, batch.producer_id) => {
            Verdict::Refuse(ErrorCode::OutOfOrderSequenceNumber)
        }
        JOINS_SINCE.. => verdict,
        ABORTABLE_SINCE => Verdict::Refuse(ErrorCode::TransactionAbortable),
        _ => Verdict::Refuse(ErrorCode::InvalidTxnState),
    }
}

fn log_start(broker: &Broker, partition: PartitionId) -> i64 {
    broker.log.bounds(partition).map_or(-1, |bounds| bounds.log_start.0)
}

fn refusal_text(error: ErrorCode) -> &'static str {
    match error {
        ErrorCode::OutOfOrderSequenceNumber => "the batch's sequence number does not follow the last one",
        ErrorCode::InvalidProducerEpoch => "a producer with the same id and a newer epoch has taken over",
        ErrorCode::InvalidProducerIdMapping => "the producer id is not that of the transactional id",
        ErrorCode::InvalidTxnState | ErrorCode::TransactionAbortable => {
            "the partition was not added to the transaction"
        }
        _ => "the batch was refused",
    }
}
