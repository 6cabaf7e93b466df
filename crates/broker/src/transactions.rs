//! The transaction coordinator (KIP-98, KIP-360, KIP-890): who may write under a transactional id, and how a
//! transaction ends.
//!
//! Everything is decided under the log's append lock and written as one frame: a request that comes later finds
//! all of it or, after a crash, nothing. So there is no state in which a transaction is prepared but not done, and
//! nobody is ever asked to come back (CONCURRENT_TRANSACTIONS).
//!
//! 1. `InitProducerId` gives the id to a producer with the next epoch; what the one before left open is aborted.
//! 2. Partitions and groups are added, by request or (from version 2 of the protocol on) by being written to.
//! 3. The end writes a marker into each partition, makes pending offsets valid or void, and with version 2
//!    moves the epoch on, so that nothing late can slip into the next transaction.
//! 4. A transaction that lasts longer than its producer said is aborted. Its epoch is over; with version 2 the producer
//!    is told the next one when it aborts, too, and goes on.

mod deadlines;

pub(crate) use deadlines::Deadlines;

use crate::broker::Broker;
use crate::call::Now;
use crate::errors::ApiError;
use crate::metrics::count;
use crate::state::BrokerState;
use crate::state::offsets::{CommittedOffset, TopicPartition};
use crate::state::producers::{Heard, Marker};
use crate::state::transactions::{
    Identity, NO_EPOCH, NO_PRODUCER_ID, Transaction, TransactionChange, TransactionState,
};
use crate::sync::lock;
use crate::undecided::Undecided;
use base::{Lsn, PartitionId};
use eventlog::{Bounds, Durability, Frame, Layer, Topic};
use kafka_wire::error_code::ErrorCode;
use kafka_wire::records::{ControlKind, control_batch};

/// There has been one coordinator only.
pub(crate) const COORDINATOR_EPOCH: i32 = 0;
/// Partitions of one transaction: its end must fit into one frame of the log.
const PARTITIONS_MAX: usize = 50_000;
/// A producer that makes up ids without end must not fill the memory: beyond this the ids that were unused for
/// longest are forgotten.
const IDS_MAX: usize = 1_000_000;
/// How many make room at once, so that not every new id has to look for the oldest one.
const EVICTED_AT_ONCE: usize = 1_000;
/// When the log cannot take an abort now, it is tried again after this time.
const ABORT_RETRY_MS: i64 = 1_000;
/// Who says that it is the producer of a transactional id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub id: &'a str,
    pub producer_id: i64,
    pub epoch: i16,
}

impl Claim<'_> {
    /// The transaction, if it is this producer's turn.
    pub(crate) fn check<'a>(&self, state: &'a BrokerState) -> Result<&'a Transaction, ErrorCode> {
        if self.id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let transaction = state.transactions.get(self.id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        if transaction.identity.producer_id != self.producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if transaction.identity.epoch != self.epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        Ok(transaction)
    }
}

/// What takes part in a transaction from now on.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub partitions: Vec<PartitionId>,
    pub groups: Vec<String>,
}

/// A decision needs a new producer id.
struct NewProducerId;

impl Broker {
    /// Gives the id to whoever asks, unless `expected`, what the asking producer believes to be, is out of date.
    pub(crate) fn take_transactional_id(
        &self,
        id: &str,
        timeout_ms: i32,
        expected: Option<(i64, i16)>,
        now: Now,
    ) -> Result<(Identity, Lsn), ApiError> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest.into());
        }
        if timeout_ms <= 0 || timeout_ms > self.config.transaction_timeout_ms_max {
            let message = format!(
                "the transaction time-out of {timeout_ms} ms is not between 1 and transaction.max.timeout.ms={}",
                self.config.transaction_timeout_ms_max
            );
            return Err(ApiError::new(ErrorCode::InvalidTransactionTimeout, message));
        }
        self.decide(|frame, fresh| {
            let mut state = lock(&self.state.0);
            let known = state.transactions.get(id);
            let (identity, fences) = match known {
                // All of them are busy; otherwise the id makes room for itself below.
                None if state.transactions.count() >= IDS_MAX && !state.transactions.any_unused() => {
                    return Err(ErrorCode::CoordinatorNotAvailable.into());
                }
                None => (first_identity(fresh)?, None),
                Some(transaction) => match next_identity(transaction, expected, fresh)? {
                    Some(next) => next,
                    None => return Ok(transaction.identity),
                },
            };
            let evicted = match known {
                None if state.transactions.count() >= IDS_MAX => {
                    state.transactions.longest_unused(EVICTED_AT_ONCE)
                }
                _ => Vec::new(),
            };
            let evicted: Vec<_> = evicted.into_iter().map(|id| TransactionChange::Forgotten { id }).collect();
            for forgotten in &evicted {
                frame.layer(Layer::TRANSACTIONS, &forgotten.encode())?;
            }
            let change =
                TransactionChange::Taken { id: id.to_string(), identity, timeout_ms, at_ms: now.wall_ms };
            let mut end = None;
            if let Some(marker_epoch) = fences {
                end = Some(self.write_end(
                    frame,
                    &mut state,
                    id,
                    ControlKind::Abort,
                    marker_epoch,
                    identity,
                    now,
                )?);
            }
            frame.layer(Layer::TRANSACTIONS, &change.encode())?;
            if let Some(end) = end {
                self.apply_end(&mut state, end);
            }
            evicted.iter().for_each(|forgotten| state.apply_transaction(forgotten));
            state.apply_transaction(&change);
            Ok(identity)
        })
    }

    /// Adds partitions and groups to the producer's transaction, which they begin if there is none.
    pub(crate) fn add_to_transaction(
        &self,
        claim: &Claim<'_>,
        parts: Parts,
        now: Now,
    ) -> Result<Lsn, ApiError> {
        let ((), lsn) = self.log.append(|frame| {
            let mut state = lock(&self.state.0);
            claim.check(&state)?;
            if let Some(change) = self.write_added(frame, &state, claim.id, parts, now)? {
                self.apply_added(&mut state, &change, now);
            }
            Ok::<_, ApiError>(())
        })?;
        Ok(lsn)
    }

    /// Writes that something takes part, if that is news. The caller applies it when nothing can fail any more.
    pub(crate) fn write_added(
        &self,
        frame: &mut Frame<'_>,
        state: &BrokerState,
        id: &str,
        parts: Parts,
        now: Now,
    ) -> Result<Option<TransactionChange>, ApiError> {
        let Some(transaction) = state.transactions.get(id) else {
            return Err(ErrorCode::InvalidProducerIdMapping.into());
        };
        let Parts { mut partitions, mut groups } = parts;
        if transaction.state == TransactionState::Ongoing {
            partitions.retain(|partition| !transaction.partitions.contains(partition));
            groups.retain(|group| !transaction.groups.contains(group));
            if partitions.is_empty() && groups.is_empty() {
                return Ok(None);
            }
        }
        if transaction.partitions.len() + partitions.len() > PARTITIONS_MAX {
            let message = format!("a transaction has at most {PARTITIONS_MAX} partitions");
            return Err(ApiError::new(ErrorCode::PolicyViolation, message));
        }
        let change = TransactionChange::Added { id: id.to_string(), partitions, groups, at_ms: now.wall_ms };
        frame.layer(Layer::TRANSACTIONS, &change.encode())?;
        Ok(Some(change))
    }

    /// Applies what `write_added` wrote; the time-out of a transaction that begins starts to run.
    pub(crate) fn apply_added(&self, state: &mut BrokerState, change: &TransactionChange, now: Now) {
        state.apply_transaction(change);
        let TransactionChange::Added { id, .. } = change else { return };
        let Some(transaction) = state.transactions.get(id) else { return };
        let at = now.monotonic_ms.saturating_add(i64::from(transaction.timeout_ms));
        if lock(&self.deadlines).begin(id, at) {
            self.hasten(at);
        }
    }

    /// Offsets that are committed with the transaction; `check` says whether the group lets the producer commit.
    pub(crate) fn commit_in_transaction(
        &self,
        claim: &Claim<'_>,
        group: &str,
        joins: Joins,
        offsets: Vec<(TopicPartition, CommittedOffset)>,
        check: impl FnOnce() -> Result<(), ErrorCode>,
        now: Now,
    ) -> Result<Lsn, ApiError> {
        let ((), lsn) = self.log.append(|frame| {
            check()?;
            let mut state = lock(&self.state.0);
            let transaction = claim.check(&state).map_err(|error| match error {
                // As Kafka: the group's partition knows the producer by its epoch, not by its transactional id.
                ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
                other => other,
            })?;
            let takes_part =
                transaction.state == TransactionState::Ongoing && transaction.groups.contains(group);
            let added = match joins {
                Joins::Already(refusal) if !takes_part => return Err(ApiError::from(refusal)),
                Joins::Already(_) => None,
                Joins::Now => {
                    let parts = Parts { groups: vec![group.to_string()], ..Parts::default() };
                    self.write_added(frame, &state, claim.id, parts, now)?
                }
            };
            let change =
                TransactionChange::Offsets { id: claim.id.to_string(), group: group.to_string(), offsets };
            frame.layer(Layer::TRANSACTIONS, &change.encode())?;
            if let Some(added) = added {
                self.apply_added(&mut state, &added, now);
            }
            state.apply_transaction(&change);
            Ok::<_, ApiError>(())
        })?;
        Ok(lsn)
    }

    /// Commits or aborts. With version 2 of the protocol the epoch moves on at each end; the answer is the identity
    /// with which the producer goes on.
    pub(crate) fn end_transaction(
        &self,
        claim: &Claim<'_>,
        kind: ControlKind,
        moves_epoch: bool,
        now: Now,
    ) -> Result<(Identity, Lsn), ApiError> {
        if claim.id.is_empty() {
            return Err(ErrorCode::InvalidRequest.into());
        }
        self.decide(|frame, fresh| {
            let mut state = lock(&self.state.0);
            let transaction = state.transactions.get(claim.id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
            let known = transaction.identity;
            if let Some(done) = ended_before(transaction, claim, kind, moves_epoch)? {
                if !moves_epoch || done.epoch < i16::MAX {
                    return Ok(done);
                }
                // A time-out at the last epoch: it ended the transaction, and the producer goes on with a new id.
                let next = rotated(known, Some(claim.epoch), fresh)?;
                let end = self.write_end(frame, &mut state, claim.id, kind, done.epoch, next, now)?;
                self.apply_end(&mut state, end);
                return Ok(next);
            }
            // The last epoch of an id is only ever that of a marker, which fences it.
            let epoch = known.epoch.saturating_add(1);
            let (marker_epoch, next) = match moves_epoch {
                false => (known.epoch, known),
                true if known.is_exhausted() => (epoch, rotated(known, Some(known.epoch), fresh)?),
                true => (epoch, Identity { epoch, last_epoch: known.epoch, ..known }),
            };
            let end = self.write_end(frame, &mut state, claim.id, kind, marker_epoch, next, now)?;
            self.apply_end(&mut state, end);
            Ok(next)
        })
    }

    /// Whether the end of a transaction is only told when the store elsewhere has it: it is that of a topic with
    /// `durability=remote`, or it was decided before, of which nobody knows any more what it was.
    pub(crate) fn ends_in_store(&self, id: &str) -> bool {
        if !self.log.is_shipped_somewhere() {
            return false;
        }
        let is_remote = |topic: &Topic| topic.config.durability == Durability::Remote;
        let partitions = {
            let state = lock(&self.state.0);
            state.transactions.get(id).map(|known| known.partitions.clone()).unwrap_or_default()
        };
        if partitions.is_empty() {
            return self.log.topics().iter().any(|topic| is_remote(topic));
        }
        let of = |partition: &PartitionId| self.log.partition_topic(*partition);
        partitions.iter().filter_map(of).any(|(topic, _)| is_remote(&topic))
    }

    /// Runs a decision under the append lock, again with a new producer id if it turns out to need one.
    fn decide<R>(
        &self,
        mut decision: impl FnMut(&mut Frame<'_>, Option<i64>) -> Result<R, Undecided<NewProducerId>>,
    ) -> Result<(R, Lsn), ApiError> {
        let mut fresh = None;
        loop {
            match self.log.append(|frame| decision(frame, fresh)) {
                Ok(decided) => return Ok(decided),
                Err(Undecided::Refused(error)) => return Err(error),
                // Its reservation lies in the log before what is decided with it.
                Err(Undecided::Needs(NewProducerId)) => fresh = Some(self.allocate_producer_id()?.0),
            }
        }
    }

    /// Writes markers into all partitions of the transaction, and its end.
    #[expect(clippy::too_many_arguments, reason = "an end has so many parts")]
    fn write_end(
        &self,
        frame: &mut Frame<'_>,
        state: &mut BrokerState,
        id: &str,
        kind: ControlKind,
        marker_epoch: i16,
        identity: Identity,
        now: Now,
    ) -> Result<End, ApiError> {
        let mut markers = Vec::new();
        let producer_id =
            state.transactions.get(id).map_or(NO_PRODUCER_ID, |known| known.identity.producer_id);
        let marker = Marker {
            producer_id,
            epoch: marker_epoch,
            kind,
            coordinator_epoch: COORDINATOR_EPOCH,
            timestamp_ms: now.wall_ms,
        };
        let bytes = marker_bytes(&marker)?;
        let partitions = state.transactions.get(id).into_iter().flat_map(|known| &known.partitions);
        for partition in partitions {
            // A topic that was deleted meanwhile takes its part of the transaction along.
            if self.log.bounds(*partition).is_ok() {
                let offset = frame.batch(*partition, 1, now.wall_ms, &bytes)?;
                markers.push((*partition, offset.0));
            }
        }
        let heard = markers.iter().map(|(partition, _)| (*partition, producer_id));
        let forgotten = self.write_room_for_producers(frame, state, heard)?;
        let committed = kind == ControlKind::Commit;
        let change = TransactionChange::Ended { id: id.to_string(), committed, identity, at_ms: now.wall_ms };
        frame.layer(Layer::TRANSACTIONS, &change.encode())?;
        Ok(End { id: id.to_string(), lsn: frame.lsn(), marker, markers, forgotten, change })
    }

    fn apply_end(&self, state: &mut BrokerState, end: End) {
        count(match end.marker.kind {
            ControlKind::Commit => &self.counters.transactions_committed,
            _ => &self.counters.transactions_aborted,
        });
        for (partition, offset) in end.markers {
            self.apply_marker(state, end.lsn, partition, offset, &end.marker);
        }
        if let Some(until) = end.forgotten {
            state.forget_producers(until);
        }
        state.apply_transaction(&end.change);
        lock(&self.deadlines).end(&end.id);
    }

    fn apply_marker(
        &self,
        state: &mut BrokerState,
        lsn: Lsn,
        partition: PartitionId,
        offset: i64,
        marker: &Marker,
    ) {
        state.apply_marker(lsn, partition, offset, marker);
        if let Ok(bounds) = self.log.bounds(partition) {
            state.partitions.tidy(partition, kept_from(&bounds), bounds.high_watermark.0);
        }
    }

    /// Ends what a producer has open in one partition, whatever the coordinator knows of it: an operator's tool.
    pub(crate) fn write_marker(&self, partition: PartitionId, marker: &Marker) -> Result<Lsn, ApiError> {
        if marker.coordinator_epoch < COORDINATOR_EPOCH {
            return Err(ErrorCode::TransactionCoordinatorFenced.into());
        }
        let bytes = marker_bytes(marker)?;
        let ((), lsn) = self.log.append(|frame| {
            let mut state = lock(&self.state.0);
            state.producers.check_marker(partition, marker.producer_id, marker.epoch)?;
            let offset = frame.batch(partition, 1, marker.timestamp_ms, &bytes)?;
            let forgotten = self.write_room_for_producers(
                frame,
                &mut state,
                [(partition, marker.producer_id)].into_iter(),
            )?;
            self.apply_marker(&mut state, frame.lsn(), partition, offset.0, marker);
            if let Some(until) = forgotten {
                state.forget_producers(until);
            }
            Ok::<_, ApiError>(())
        })?;
        Ok(lsn)
    }

    /// The time-outs of the transactions that were going on when the node stopped. The wall clock says how long
    /// they have lasted, but none gets more time than its producer asked for.
    pub(crate) fn arm_recovered(&self, now: Now) {
        let state = lock(&self.state.0);
        let mut deadlines = lock(&self.deadlines);
        for (id, transaction) in state.transactions.iter() {
            if transaction.state == TransactionState::Ongoing {
                let timeout_ms = i64::from(transaction.timeout_ms).max(0);
                let lasted_ms = now.wall_ms.saturating_sub(transaction.started_at_ms);
                let left_ms = timeout_ms.saturating_sub(lasted_ms).clamp(0, timeout_ms);
                deadlines.begin(id, now.monotonic_ms.saturating_add(left_ms));
            }
        }
    }

    /// Aborts what has lasted too long.
    pub(crate) fn tick_transactions(&self, now: Now) {
        let due = lock(&self.deadlines).due(now.monotonic_ms);
        for id in due {
            let aborted = self.log.append(|frame| {
                let mut state = lock(&self.state.0);
                // It may have ended, and another may have begun, since the deadlines were looked at.
                if !lock(&self.deadlines).is_due(&id, now.monotonic_ms) {
                    return Ok(());
                }
                let Some(known) = state.transactions.get(&id).map(|transaction| transaction.identity) else {
                    return Ok(());
                };
                // At most one beyond the exhausted epoch, which is the greatest there is.
                let epoch = known.epoch.saturating_add(1);
                // The producer is still the last one: what it says next is answered with the new epoch.
                let identity = Identity { epoch, last_epoch: known.epoch, ..known };
                let end = self.write_end(frame, &mut state, &id, ControlKind::Abort, epoch, identity, now)?;
                self.apply_end(&mut state, end);
                Ok::<_, ApiError>(())
            });
            // A full disk passes; a fenced log is for the operator, and the next start aborts.
            if aborted.is_err() {
                lock(&self.deadlines).postpone(&id, now.monotonic_ms.saturating_add(ABORT_RETRY_MS));
            }
        }
    }

    /// Forgets what readers do not need any more in partitions that no transaction ends in, too.
    pub(crate) fn tidy_partitions(&self) {
        lock(&self.state.0).partitions.tidy_all(|partition| {
            let bounds = self.log.bounds(partition).ok()?;
            Some((kept_from(&bounds), bounds.high_watermark.0))
        });
    }
}

/// Whether a group's offsets may bring the group into the transaction (version 2 of the protocol), or must find it
/// there, and what they are told if they do not.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Joins {
    Now,
    Already(ErrorCode),
}

/// A written end that is not applied yet.
struct End {
    id: String,
    lsn: Lsn,
    marker: Marker,
    markers: Vec<(PartitionId, i64)>,
    /// Who makes room for the producers of the markers.
    forgotten: Option<Heard>,
    change: TransactionChange,
}

/// What was aborted before it is deleted, or compaction has taken it away.
fn kept_from(bounds: &Bounds) -> i64 {
    bounds.log_start.0.max(bounds.clean_to.0)
}

fn marker_bytes(marker: &Marker) -> Result<bytes::Bytes, ApiError> {
    let Marker { kind, producer_id, epoch, coordinator_epoch, timestamp_ms } = *marker;
    Ok(control_batch(kind, producer_id, epoch, coordinator_epoch, timestamp_ms)?)
}

fn first_identity(fresh: Option<i64>) -> Result<Identity, Undecided<NewProducerId>> {
    let producer_id = fresh.ok_or(Undecided::Needs(NewProducerId))?;
    let (last_epoch, previous_producer_id) = (NO_EPOCH, NO_PRODUCER_ID);
    Ok(Identity { producer_id, epoch: 0, last_epoch, previous_producer_id })
}

/// A new producer id, because the old one's epochs are used up.
fn rotated(
    known: Identity,
    last_epoch: Option<i16>,
    fresh: Option<i64>,
) -> Result<Identity, Undecided<NewProducerId>> {
    let last_epoch = last_epoch.unwrap_or(NO_EPOCH);
    Ok(Identity { last_epoch, previous_producer_id: known.producer_id, ..first_identity(fresh)? })
}

/// Who owns the id next, and with which epoch the one before is fenced if it has a transaction open. `None` if
/// the request has been granted before, and stands.
fn next_identity(
    transaction: &Transaction,
    expected: Option<(i64, i16)>,
    fresh: Option<i64>,
) -> Result<Option<(Identity, Option<i16>)>, Undecided<NewProducerId>> {
    let known = transaction.identity;
    if let Some((producer_id, epoch)) = expected {
        let is_current = producer_id == known.producer_id;
        // The answer to a request that gave the producer a new id was lost.
        let was_rotated = producer_id == known.previous_producer_id && epoch >= i16::MAX - 1;
        if !is_current && !was_rotated {
            return Err(ErrorCode::ProducerFenced.into());
        }
        if epoch != known.epoch {
            // A request that is sent again gets the same answer; everybody else has been fenced. Where the answer
            // has been used for a transaction, it did arrive: a late copy must not touch the transaction.
            let is_ongoing = transaction.state == TransactionState::Ongoing;
            if epoch != known.last_epoch || is_ongoing {
                return Err(ErrorCode::ProducerFenced.into());
            }
            // Nobody is given the epoch that a time-out at the last one leaves.
            return match known.epoch {
                i16::MAX => Ok(Some((rotated(known, Some(epoch), fresh)?, None))),
                _ => Ok(None),
            };
        }
    }
    let last_epoch = expected.map(|_| known.epoch);
    let identity = match known.is_exhausted() {
        true => rotated(known, last_epoch, fresh)?,
        false => Identity { epoch: known.epoch + 1, last_epoch: last_epoch.unwrap_or(NO_EPOCH), ..known },
    };
    let is_ongoing = transaction.state == TransactionState::Ongoing;
    Ok(Some((identity, is_ongoing.then(|| known.epoch.saturating_add(1)))))
}

/// Checks the one who ends a transaction. If it has been ended already by the same request, the answer of then.
fn ended_before(
    transaction: &Transaction,
    claim: &Claim<'_>,
    kind: ControlKind,
    moves_epoch: bool,
) -> Result<Option<Identity>, ErrorCode> {
    let known = transaction.identity;
    let is_complete =
        matches!(transaction.state, TransactionState::CompleteCommit | TransactionState::CompleteAbort);
    let same_id = claim.producer_id == known.producer_id;
    let before_rotation =
        claim.producer_id == known.previous_producer_id && claim.epoch == i16::MAX - 1 && known.epoch == 0;
    // A time-out moves the epoch on as well: then an abort is answered with it, and the producer goes on. Where
    // somebody else has taken the id, there is no last epoch.
    let epoch_moved =
        same_id && known.last_epoch == claim.epoch && i32::from(known.epoch) == i32::from(claim.epoch) + 1;
    let is_retry = moves_epoch && is_complete && (epoch_moved || before_rotation);
    if !same_id && !is_retry {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if claim.epoch != known.epoch && !is_retry {
        return Err(ErrorCode::ProducerFenced);
    }
    let same_end = match transaction.state {
        TransactionState::Ongoing => return Ok(None),
        TransactionState::CompleteCommit => kind == ControlKind::Commit,
        TransactionState::CompleteAbort => kind == ControlKind::Abort,
        TransactionState::Empty => false,
    };
    let is_abort = kind == ControlKind::Abort;
    match (moves_epoch, is_retry) {
        (true, true) | (false, _) if same_end => Ok(Some(known)),
        // An abort of nothing moves the epoch on, which is what the producer is after.
        (true, false) if is_abort => Ok(None),
        _ => Err(ErrorCode::InvalidTxnState),
    }
}

#[cfg(test)]
mod tests;
