//! One share-partition (KIP-932): which records of a partition a share group is done with, which it waits for, and
//! which some member holds a lock on. A pure machine: times are given, and what it decides comes back as a list.
//!
//! 1. `end` is the first offset that nobody has looked at. What lies before it and is not in `records` is done:
//!    acknowledged, archived, or no record at all. So a queue that is worked off costs nothing.
//! 2. A record is ready, held back until a time, locked by a member, or dead: to be buried as soon as its dead-letter
//!    topic takes it.
//! 3. A decision (`deliver`, `acknowledge`, `release`, …) changes nothing. It is written to the log and then applied,
//!    while the state does not move: the caller holds the log's append lock.
//! 4. Locks are not in the log. After a restart their records are ready, with the deliveries they have had.

use kafka_wire::error_code::ErrorCode;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Why a record is not delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Rejected,
    /// It was delivered as often as the group allows, and not acknowledged.
    DeliveryLimit,
}

/// What becomes of a record, as it stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Acknowledged, archived, or deleted.
    Done,
    /// It has been delivered so often, and is delivered again, but not before this time (milliseconds since 1970).
    Again { deliveries: i16, not_before_ms: i64 },
    /// It waits for a dead-letter topic that takes it.
    Dead { deliveries: i16, cause: Cause },
}

/// Consecutive offsets with the same fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub first: i64,
    pub last: i64,
    pub fate: Fate,
}

/// Where a record that is not done stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Ready,
    /// Until a time of the wall clock.
    Held(i64),
    Locked {
        member: Arc<str>,
        /// In monotonic time.
        until_ms: i64,
    },
    Dead(Cause),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    deliveries: i16,
    standing: Standing,
}

/// A record that nobody has looked at before, and until when it is held back, if so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fresh {
    pub offset: i64,
    pub not_before_ms: Option<i64>,
}

/// How records are given to a member.
#[derive(Debug, Clone, Copy)]
pub struct Lease<'a> {
    pub member: &'a Arc<str>,
    /// When the locks end, in monotonic time.
    pub until_ms: i64,
}

/// Offsets that were delivered together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    pub first: i64,
    pub last: i64,
    /// This delivery included.
    pub deliveries: i16,
}

/// What a member says of consecutive records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    pub first: i64,
    pub last: i64,
    /// One for all, or one for each offset.
    pub types: Vec<i8>,
}

/// Kafka's numbers: 0 stands for an offset without a record.
pub const GAP: i8 = 0;
pub const ACCEPT: i8 = 1;
pub const RELEASE: i8 = 2;
pub const REJECT: i8 = 3;
pub const RENEW: i8 = 4;

/// What is decided of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// Back to the queue, not before this time of the wall clock.
    Again {
        not_before_ms: i64,
    },
    /// No more deliveries: it is archived, through the dead-letter topic if the group has one.
    Bury(Cause),
    /// The lock is prolonged.
    Renew,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    pub offset: i64,
    pub deliveries: i16,
    pub verdict: Verdict,
}

/// When a record that was not acknowledged is delivered again, and when not at all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    pub delivery_limit: i16,
    pub backoff_ms: i64,
    pub backoff_ms_max: i64,
    pub factor: f64,
}

impl Retry {
    fn verdict(&self, deliveries: i16, wall_ms: i64) -> Verdict {
        if deliveries >= self.delivery_limit {
            return Verdict::Bury(Cause::DeliveryLimit);
        }
        if self.backoff_ms <= 0 {
            return Verdict::Again { not_before_ms: 0 };
        }
        let exponent = f64::from(deliveries.saturating_sub(1).max(0));
        let grown = (self.backoff_ms as f64 * self.factor.powf(exponent)).min(self.backoff_ms_max as f64);
        Verdict::Again { not_before_ms: wall_ms.saturating_add(grown as i64) }
    }
}

/// A refused acknowledgement, in Kafka's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: ErrorCode,
    pub message: &'static str,
}

fn wrong_state(message: &'static str) -> Refusal {
    Refusal { code: ErrorCode::InvalidRecordState, message }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharePartition {
    end: i64,
    records: BTreeMap<i64, Record>,
    ready: BTreeSet<i64>,
    /// How many of the ready ones have been delivered so often: there may be many, and every take asks.
    ready_by_deliveries: BTreeMap<i16, usize>,
    held: BTreeSet<(i64, i64)>,
    locks: BTreeSet<(i64, i64)>,
    dead: BTreeSet<i64>,
}

impl SharePartition {
    /// The records from `start` on are to be delivered.
    pub fn new(start: i64) -> SharePartition {
        SharePartition {
            end: start,
            records: BTreeMap::new(),
            ready: BTreeSet::new(),
            ready_by_deliveries: BTreeMap::new(),
            held: BTreeSet::new(),
            locks: BTreeSet::new(),
            dead: BTreeSet::new(),
        }
    }

    /// All before it is done.
    pub fn start(&self) -> i64 {
        self.records.first_key_value().map_or(self.end, |(offset, _)| *offset)
    }

    /// The first offset that nobody has looked at.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// Records before `end` that are not done.
    pub fn unfinished(&self) -> usize {
        self.records.len()
    }

    /// Those of them that are held back.
    pub fn held_back(&self) -> usize {
        self.held.len()
    }

    /// When the first lock ends, in monotonic time.
    pub fn next_lock_end_ms(&self) -> Option<i64> {
        self.locks.first().map(|(until_ms, _)| *until_ms)
    }

    /// When the first record that is held back is to be delivered, by the wall clock.
    pub fn next_held_ms(&self) -> Option<i64> {
        self.held.first().map(|(until_ms, _)| *until_ms)
    }

    /// Records that a member works on.
    pub fn locked(&self) -> usize {
        self.locks.len()
    }

    /// Records given up that wait for their burial.
    pub fn dead_count(&self) -> usize {
        self.dead.len()
    }

    pub fn has_dead(&self) -> bool {
        !self.dead.is_empty()
    }

    fn set(&mut self, offset: i64, record: Option<Record>) {
        if let Some(before) = self.records.remove(&offset) {
            match before.standing {
                Standing::Ready => {
                    self.ready.remove(&offset);
                    if let Some(count) = self.ready_by_deliveries.get_mut(&before.deliveries) {
                        *count -= 1;
                        if *count == 0 {
                            self.ready_by_deliveries.remove(&before.deliveries);
                        }
                    }
                }
                Standing::Held(until_ms) => drop(self.held.remove(&(until_ms, offset))),
                Standing::Locked { until_ms, .. } => drop(self.locks.remove(&(until_ms, offset))),
                Standing::Dead(_) => drop(self.dead.remove(&offset)),
            }
        }
        let Some(record) = record else { return };
        match &record.standing {
            Standing::Ready => {
                self.ready.insert(offset);
                *self.ready_by_deliveries.entry(record.deliveries).or_default() += 1;
            }
            Standing::Held(until_ms) => drop(self.held.insert((*until_ms, offset))),
            Standing::Locked { until_ms, .. } => drop(self.locks.insert((*until_ms, offset))),
            Standing::Dead(_) => drop(self.dead.insert(offset)),
        }
        self.records.insert(offset, record);
    }

    /// The log begins later now; what was before is gone.
    pub fn trim(&mut self, log_start: i64) {
        while let Some((offset, _)) = self.records.first_key_value()
            && *offset < log_start
        {
            let offset = *offset;
            self.set(offset, None);
        }
        self.end = self.end.max(log_start);
    }

    /// Lets go of what was held back until now.
    pub fn ripen(&mut self, wall_ms: i64) {
        while let Some((until_ms, offset)) = self.held.first().copied()
            && until_ms <= wall_ms
        {
            if let Some(record) = self.records.get(&offset) {
                let deliveries = record.deliveries;
                self.set(offset, Some(Record { deliveries, standing: Standing::Ready }));
            }
        }
    }

    /// The records that may be delivered again, at most `count`. Those that failed often come in small portions, and
    /// for the last time alone, so that one that kills its consumers takes no others along.
    pub fn deliverable(&self, count: usize, delivery_limit: i16) -> Vec<i64> {
        let often = delivery_limit.saturating_add(1).saturating_div(2).max(2);
        let mut found: Vec<i64> = Vec::new();
        let mut count = count;
        let mut throttled = false;
        for offset in &self.ready {
            let Some(record) = self.records.get(offset) else { continue };
            if found.len() >= count {
                break;
            }
            // The limit was lowered: these are buried and not delivered.
            if record.deliveries >= delivery_limit {
                continue;
            }
            let is_last = delivery_limit > 2 && record.deliveries == delivery_limit - 1;
            if is_last {
                if found.is_empty() {
                    found.push(*offset);
                }
                break;
            }
            if record.deliveries >= often && !throttled {
                let shift = u32::try_from(record.deliveries - often + 1).unwrap_or(1).min(16);
                count = count.min((self.ready.len() >> shift).max(found.len() + 1));
                throttled = true;
            }
            found.push(*offset);
        }
        found
    }

    /// How many records are ready that may be delivered again.
    pub fn ready(&self, delivery_limit: i16) -> usize {
        self.ready_by_deliveries.range(..delivery_limit).map(|(_, count)| count).sum()
    }

    /// Whether any record is ready that has been delivered too often.
    pub fn any_over_the_limit(&self, delivery_limit: i16) -> bool {
        self.ready_by_deliveries.range(delivery_limit..).next().is_some()
    }

    /// Whether a record is on its last delivery, which it is to have alone.
    pub fn is_last_delivery(&self, offset: i64, delivery_limit: i16) -> bool {
        delivery_limit > 2
            && self.records.get(&offset).is_some_and(|record| record.deliveries == delivery_limit - 1)
    }

    /// Of these offsets, those that are still ready.
    pub fn still_ready(&self, offsets: &[i64]) -> Vec<i64> {
        offsets.iter().copied().filter(|offset| self.ready.contains(offset)).collect()
    }

    /// The deliveries of records that are ready, and of fresh ones that are not held back; and what stands in the log
    /// of both and of those that are.
    pub fn deliver(&self, again: &[i64], fresh: &[Fresh]) -> (Vec<Delivered>, Vec<Run>) {
        let mut delivered: Vec<Delivered> = Vec::new();
        let mut runs = Runs::default();
        let mut push = |offset: i64, deliveries: i16| match delivered.last_mut() {
            Some(last) if last.last + 1 == offset && last.deliveries == deliveries => last.last = offset,
            _ => delivered.push(Delivered { first: offset, last: offset, deliveries }),
        };
        for offset in again {
            let before = self.records.get(offset).map_or(0, |record| record.deliveries);
            let deliveries = before.saturating_add(1);
            push(*offset, deliveries);
            runs.push(*offset, Fate::Again { deliveries, not_before_ms: 0 });
        }
        for Fresh { offset, not_before_ms } in fresh {
            match not_before_ms {
                Some(not_before_ms) => {
                    runs.push(*offset, Fate::Again { deliveries: 0, not_before_ms: *not_before_ms })
                }
                None => {
                    push(*offset, 1);
                    runs.push(*offset, Fate::Again { deliveries: 1, not_before_ms: 0 });
                }
            }
        }
        (delivered, runs.0)
    }

    /// What the group is given is locked from now on.
    pub fn lock(&mut self, delivered: &[Delivered], lease: Lease<'_>) {
        for one in delivered {
            for offset in one.first..=one.last {
                let standing = Standing::Locked { member: lease.member.clone(), until_ms: lease.until_ms };
                self.set(offset, Some(Record { deliveries: one.deliveries, standing }));
            }
        }
    }

    /// What a member's acknowledgements come to: all of them or none.
    pub fn acknowledge(
        &self,
        member: &str,
        batches: &[Acknowledgement],
        retry: &Retry,
        may_renew: bool,
        wall_ms: i64,
    ) -> Result<Vec<Decided>, Refusal> {
        let mut decided: Vec<Decided> = Vec::new();
        for batch in batches {
            // What has been deleted meanwhile is nobody's business any more.
            if batch.last < self.start() {
                continue;
            }
            if batch.first >= self.end {
                let message = "Batch record not found. The request batch offsets are not found in the cache.";
                return Err(wrong_state(message));
            }
            if batch.last >= self.end {
                let message = "Batch record not found. The last offset in request is past acquired records.";
                return Err(Refusal { code: ErrorCode::InvalidRequest, message });
            }
            self.acknowledge_batch(member, batch, retry, may_renew, wall_ms, &mut decided)?;
        }
        Ok(decided)
    }

    fn acknowledge_batch(
        &self,
        member: &str,
        batch: &Acknowledgement,
        retry: &Retry,
        may_renew: bool,
        wall_ms: i64,
        decided: &mut Vec<Decided>,
    ) -> Result<(), Refusal> {
        let mut known = self.records.range(batch.first..=batch.last);
        let mut next = batch.first.max(self.start());
        let type_at = |offset: i64| match batch.types.as_slice() {
            [one] => *one,
            types => usize::try_from(offset - batch.first)
                .ok()
                .and_then(|at| types.get(at).copied())
                .unwrap_or(GAP),
        };
        loop {
            let found = known.next();
            // What lies between is done already, which is well only where there is no record.
            let until = found.map_or(batch.last + 1, |(offset, _)| *offset);
            if batch.types.len() > 1 {
                for offset in next..until {
                    if type_at(offset) != GAP {
                        return Err(wrong_state(
                            "The offset cannot be acknowledged. The offset is not acquired.",
                        ));
                    }
                }
            } else if next < until && batch.types.first().is_some_and(|kind| *kind != GAP) {
                let message = "The batch cannot be acknowledged. The batch is not in the acquired state.";
                return Err(wrong_state(message));
            }
            let Some((offset, record)) = found else { return Ok(()) };
            next = offset + 1;
            match &record.standing {
                Standing::Locked { member: owner, .. } if **owner == *member => {}
                Standing::Locked { .. } => {
                    return Err(wrong_state("Member is not the owner of batch record"));
                }
                _ => {
                    let message = "The batch cannot be acknowledged. The batch is not in the acquired state.";
                    return Err(wrong_state(message));
                }
            }
            let verdict = match type_at(*offset) {
                GAP | ACCEPT => Verdict::Done,
                RELEASE => retry.verdict(record.deliveries, wall_ms),
                REJECT => Verdict::Bury(Cause::Rejected),
                RENEW if may_renew => Verdict::Renew,
                RENEW => {
                    let message = "Renewing acquisition locks is not enabled for the group.";
                    return Err(Refusal { code: ErrorCode::InvalidRequest, message });
                }
                _ => {
                    let message = "The acknowledge type is not known.";
                    return Err(Refusal { code: ErrorCode::InvalidRequest, message });
                }
            };
            decided.push(Decided { offset: *offset, deliveries: record.deliveries, verdict });
        }
    }

    /// What becomes of the locks of a member that is gone.
    pub fn release(&self, member: &str, retry: &Retry, wall_ms: i64) -> Vec<Decided> {
        let locked = self.locks.iter().map(|(_, offset)| *offset);
        let own = locked.filter(|offset| match self.records.get(offset).map(|record| &record.standing) {
            Some(Standing::Locked { member: owner, .. }) => **owner == *member,
            _ => false,
        });
        self.give_back(own.collect(), retry, wall_ms)
    }

    /// What becomes of the locks that have ended by now (monotonic time).
    pub fn expired(&self, monotonic_ms: i64, retry: &Retry, wall_ms: i64) -> Vec<Decided> {
        let due = self.locks.iter().take_while(|(until_ms, _)| *until_ms <= monotonic_ms);
        self.give_back(due.map(|(_, offset)| *offset).collect(), retry, wall_ms)
    }

    fn give_back(&self, mut offsets: Vec<i64>, retry: &Retry, wall_ms: i64) -> Vec<Decided> {
        offsets.sort_unstable();
        let known = offsets.iter().filter_map(|offset| Some((*offset, self.records.get(offset)?.deliveries)));
        known
            .map(|(offset, deliveries)| Decided {
                offset,
                deliveries,
                verdict: retry.verdict(deliveries, wall_ms),
            })
            .collect()
    }

    /// The records that wait to be buried.
    pub fn dead(&self) -> Vec<Decided> {
        let known = self.dead.iter().filter_map(|offset| Some((*offset, self.records.get(offset)?)));
        let dead = known.filter_map(|(offset, record)| match record.standing {
            Standing::Dead(cause) => {
                Some(Decided { offset, deliveries: record.deliveries, verdict: Verdict::Bury(cause) })
            }
            _ => None,
        });
        dead.collect()
    }

    /// Records beyond the limit, which was lowered, in place of delivering them.
    pub fn over_the_limit(&self, delivery_limit: i16) -> Vec<Decided> {
        if !self.any_over_the_limit(delivery_limit) {
            return Vec::new();
        }
        let known =
            self.ready.iter().filter_map(|offset| Some((*offset, self.records.get(offset)?.deliveries)));
        let over = known.filter(|(_, deliveries)| *deliveries >= delivery_limit);
        over.map(|(offset, deliveries)| Decided {
            offset,
            deliveries,
            verdict: Verdict::Bury(Cause::DeliveryLimit),
        })
        .collect()
    }

    /// The locks of these records are prolonged.
    pub fn renew(&mut self, decided: &[Decided], until_ms: i64) {
        for one in decided.iter().filter(|one| one.verdict == Verdict::Renew) {
            let Some(Record { deliveries, standing: Standing::Locked { member, .. } }) =
                self.records.get(&one.offset).cloned()
            else {
                continue;
            };
            self.set(
                one.offset,
                Some(Record { deliveries, standing: Standing::Locked { member, until_ms } }),
            );
        }
    }

    /// Takes what stands in the log. It may be applied twice in the order of the log.
    pub fn apply(&mut self, end: i64, runs: &[Run]) {
        self.end = self.end.max(end);
        for run in runs {
            let standing = match run.fate {
                Fate::Done => {
                    let known: Vec<i64> =
                        self.records.range(run.first..=run.last).map(|(at, _)| *at).collect();
                    known.into_iter().for_each(|offset| self.set(offset, None));
                    continue;
                }
                Fate::Again { not_before_ms, .. } if not_before_ms > 0 => Standing::Held(not_before_ms),
                Fate::Again { .. } => Standing::Ready,
                Fate::Dead { cause, .. } => Standing::Dead(cause),
            };
            let (Fate::Again { deliveries, .. } | Fate::Dead { deliveries, .. }) = run.fate else { continue };
            for offset in run.first..=run.last {
                self.set(offset, Some(Record { deliveries, standing: standing.clone() }));
            }
        }
    }

    /// All that is to be known after a restart.
    pub fn runs(&self) -> Vec<Run> {
        let mut runs = Runs::default();
        for (offset, record) in &self.records {
            let deliveries = record.deliveries;
            let fate = match record.standing {
                Standing::Ready | Standing::Locked { .. } => Fate::Again { deliveries, not_before_ms: 0 },
                Standing::Held(not_before_ms) => Fate::Again { deliveries, not_before_ms },
                Standing::Dead(cause) => Fate::Dead { deliveries, cause },
            };
            runs.push(*offset, fate);
        }
        runs.0
    }
}

/// What is decided, as it goes into the log. Renewed locks are not in it; what is buried is done with.
pub fn runs_of<'a>(
    decided: impl IntoIterator<Item = &'a Decided>,
    is_buried: impl Fn(i64) -> bool,
) -> Vec<Run> {
    let mut runs = Runs::default();
    for one in decided {
        let deliveries = one.deliveries;
        let fate = match one.verdict {
            Verdict::Renew => continue,
            Verdict::Done => Fate::Done,
            Verdict::Again { not_before_ms } => Fate::Again { deliveries, not_before_ms },
            Verdict::Bury(_) if is_buried(one.offset) => Fate::Done,
            Verdict::Bury(cause) => Fate::Dead { deliveries, cause },
        };
        runs.push(one.offset, fate);
    }
    runs.0
}

/// Collects offsets into runs.
#[derive(Default)]
struct Runs(Vec<Run>);

impl Runs {
    fn push(&mut self, offset: i64, fate: Fate) {
        match self.0.last_mut() {
            Some(last) if last.last + 1 == offset && last.fate == fate => last.last = offset,
            _ => self.0.push(Run { first: offset, last: offset, fate }),
        }
    }
}
