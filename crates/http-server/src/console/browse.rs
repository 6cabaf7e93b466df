//! Pages of records: the newest first, or from an offset or a time on.
//!
//! Of each partition a few records are read ahead, and those of all partitions are put in the order of their times. A page
//! says where the next one begins, by partition, as a follower's position does.

use super::wanted::partitions;
use super::{Answered, Asked, Console, Refused, decoded, shown};
use crate::committed;
use broker::errors::ApiError;
use broker::security::{Operation, ResourceType};
use eventlog::Topic;
use hyper::StatusCode;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

const RECORDS_MAX: usize = 500;
const RECORDS_DEFAULT: usize = 50;
/// What is read for one page.
const BYTES_MAX: usize = 32 << 20;
/// Looking for older records reads at least so much of a partition at once, also where there are many partitions.
const SHARE_BYTES_MIN: usize = 64 << 10;
/// What it costs to read batches of which nothing is shown.
const HIDDEN_BYTES: usize = 16 << 10;
/// A page of more partitions does not say where the next one begins: it would not fit into a request.
const POSITION_PARTITIONS_MAX: usize = 500;

/// The records of one partition that come next, in the order of the page.
struct Tail {
    index: usize,
    ready: VecDeque<Value>,
    /// Up to where it was read, and where it ends.
    next: i64,
    end: i64,
    /// Where a later page goes on.
    shown_to: i64,
}

/// The bytes that may still be read.
struct Budget(usize);

impl Console {
    pub(super) fn readable(&self, name: &str, asked: &Asked<'_>) -> Result<Arc<Topic>, Refused> {
        asked.permit(Operation::Read, ResourceType::Topic, name)?;
        let missing =
            || Refused { status: StatusCode::NOT_FOUND, words: format!("there is no topic '{name}'") };
        self.log.topic(name).ok_or_else(missing)
    }
}

pub(super) fn records(console: &Console, name: &str, asked: &Asked<'_>) -> Answered {
    let topic = console.readable(name, asked)?;
    let max = asked.number("max")?.unwrap_or(RECORDS_DEFAULT).clamp(1, RECORDS_MAX);
    let wanted = partitions(&topic, asked.query)?;
    let position = asked.value("at").map(|text| position(&text)).transpose()?;
    let is_newest_first = asked.value("order").is_none_or(|order| order == "newest");
    let time_ms = asked.number::<i64>("time")?;
    let mut tails = Vec::with_capacity(wanted.len());
    for index in wanted.iter().copied() {
        let partition = topic.partitions[index];
        let bounds = console.log.bounds(partition).map_err(ApiError::from)?;
        let stable = console.log.last_stable_offset(partition).map_err(ApiError::from)?.0;
        let first = bounds.log_start.0;
        let known = position.as_ref().and_then(|position| position.get(&index).copied());
        let (next, end) = match (is_newest_first, known, time_ms) {
            (true, known, _) => (known.unwrap_or(stable).clamp(first, stable.max(first)), first),
            (false, Some(known), _) => (known.clamp(first, stable.max(first)), stable),
            (false, None, Some(time_ms)) => {
                let found = console.log.find_by_time(partition, time_ms).map_err(ApiError::from)?;
                (found.map_or(stable, |batch| batch.base_offset.0).max(first), stable)
            }
            (false, None, None) => (first, stable),
        };
        tails.push(Tail { index, ready: VecDeque::new(), next, end, shown_to: next });
    }
    let mut budget = Budget(BYTES_MAX);
    let share = (BYTES_MAX / tails.len().max(1)).max(SHARE_BYTES_MIN);
    let ahead = (2 * max / tails.len().max(1)).max(4).min(max);
    let mut records = Vec::with_capacity(max);
    let mut is_cut = false;
    while records.len() < max {
        for tail in tails.iter_mut().filter(|tail| tail.ready.is_empty()) {
            is_cut |= match is_newest_first {
                true => !tail.older(console, &topic, (ahead, share), &mut budget)?,
                false => !tail.later(console, &topic, ahead, time_ms, &mut budget)?,
            };
        }
        let time = |tail: &Tail| tail.ready.front().and_then(|record| record["timestamp"].as_i64());
        let candidates = tails.iter_mut().filter(|tail| !tail.ready.is_empty());
        let best = match is_newest_first {
            true => candidates.max_by_key(|tail| (time(tail), std::cmp::Reverse(tail.index))),
            false => candidates.min_by_key(|tail| (time(tail), tail.index)),
        };
        let Some((tail, record)) = best.and_then(|tail| {
            let record = tail.ready.pop_front()?;
            Some((tail, record))
        }) else {
            break;
        };
        let offset = record["offset"].as_i64().unwrap_or_default();
        tail.shown_to = if is_newest_first { offset } else { offset + 1 };
        records.push(record);
    }
    let has_more = tails.iter().any(|tail| !tail.ready.is_empty() || tail.next != tail.end);
    let next = (has_more && tails.len() <= POSITION_PARTITIONS_MAX).then(|| {
        let places = tails.iter().map(|tail| {
            // Nothing was found up to there.
            let place = if tail.ready.is_empty() { tail.next } else { tail.shown_to };
            format!("{}:{place}", tail.index)
        });
        places.collect::<Vec<_>>().join(",")
    });
    Ok(json!({ "records": records, "next": next, "cut": is_cut }))
}

impl Tail {
    /// Reads what is older; false if it had to stop before there was something.
    fn older(
        &mut self,
        console: &Console,
        topic: &Topic,
        (count, share): (usize, usize),
        budget: &mut Budget,
    ) -> Result<bool, Refused> {
        let partition = topic.partitions[self.index];
        let mut window = count as i64;
        while self.ready.is_empty() && self.next > self.end {
            if budget.0 == 0 {
                return Ok(false);
            }
            let from = (self.next - window).max(self.end);
            // A single record is read whatever its size, and a try that failed leaves something for the next one: each
            // page comes further.
            let allowed = match self.next - from {
                1 => usize::MAX,
                _ => share.min(budget.0 / 2),
            };
            let mut found = VecDeque::new();
            let (mut at, mut read, mut is_too_much, mut left_out) = (from, 0usize, false, false);
            while at < self.next && !is_too_much {
                let before = (at, read);
                at = committed::walk(
                    &console.log,
                    partition,
                    (at, self.next),
                    allowed.clamp(1, 1 << 20),
                    &mut |record| {
                        read += crate::events::bytes_of(record);
                        if read > allowed {
                            is_too_much = true;
                            return ControlFlow::Break(());
                        }
                        found.push_front(shown::line(self.index, record));
                        // The page has no place for older ones.
                        left_out |= found.len() > count;
                        found.truncate(count);
                        ControlFlow::Continue(())
                    },
                )?;
                // Nothing can be seen there: what lies behind is open.
                if at <= before.0 {
                    break;
                }
                if read == before.1 {
                    read += HIDDEN_BYTES;
                }
            }
            budget.0 = budget.0.saturating_sub(read.min(allowed));
            if is_too_much {
                window = ((self.next - from) / 8).max(1);
                continue;
            }
            let oldest = found.back().and_then(|record| record["offset"].as_i64());
            self.next = oldest.filter(|_| left_out).unwrap_or(from);
            // Gaps: look further back each time.
            window = window.saturating_mul(4).min(1 << 20);
            self.ready = found;
        }
        Ok(true)
    }

    /// Reads what is later; false if it had to stop before there was something.
    fn later(
        &mut self,
        console: &Console,
        topic: &Topic,
        count: usize,
        time_ms: Option<i64>,
        budget: &mut Budget,
    ) -> Result<bool, Refused> {
        let partition = topic.partitions[self.index];
        while self.ready.is_empty() && self.next < self.end {
            if budget.0 == 0 {
                return Ok(false);
            }
            let (ready, index) = (&mut self.ready, self.index);
            let left = &mut budget.0;
            let at =
                committed::walk(&console.log, partition, (self.next, self.end), 1 << 20, &mut |record| {
                    if ready.len() >= count || *left == 0 {
                        return ControlFlow::Break(());
                    }
                    *left = left.saturating_sub(crate::events::bytes_of(record));
                    if time_ms.is_none_or(|time_ms| record.timestamp >= time_ms) {
                        ready.push_back(shown::line(index, record));
                    }
                    ControlFlow::Continue(())
                })?;
            if at <= self.next {
                self.end = self.next;
            }
            self.next = at;
        }
        Ok(true)
    }
}

/// `0:12,3:4`: an offset by partition.
pub(super) fn position(text: &str) -> Result<BTreeMap<usize, i64>, Refused> {
    let pairs = text.split(',').map(|part| {
        let (partition, offset) = part.split_once(':')?;
        Some((partition.parse().ok()?, offset.parse().ok()?))
    });
    let known = pairs.collect::<Option<BTreeMap<usize, i64>>>();
    known.ok_or_else(|| Refused::bad("'at' is a position such as 0:12,1:5: a partition and an offset in it"))
}

/// One record, whole.
pub(super) fn record(
    console: &Console,
    name: &str,
    (partition, offset): (&str, &str),
    asked: &Asked<'_>,
) -> Answered {
    let topic = console.readable(name, asked)?;
    let index: usize = partition.parse().map_err(|_| Refused::bad("a partition is a number"))?;
    let offset: i64 = offset.parse().map_err(|_| Refused::bad("an offset is a number"))?;
    let missing = || Refused {
        status: StatusCode::NOT_FOUND,
        words: format!(
            "there is no record at {name}-{index}@{offset}: it was deleted or compacted away, is a marker, or has not come yet"
        ),
    };
    let id = *topic.partitions.get(index).ok_or_else(missing)?;
    let mut found = None;
    committed::walk(&console.log, id, (offset, offset.saturating_add(1)), 1, &mut |record| {
        found = (record.offset == offset).then(|| {
            let mut shown = shown::whole(index, record);
            for (name, bytes) in [("key", record.key), ("value", record.value)] {
                if let Some(decoded) = bytes.and_then(|bytes| decoded::decoded(console, asked, bytes)) {
                    shown[name]["decoded"] = decoded;
                }
            }
            shown
        });
        ControlFlow::Continue(())
    })?;
    found.ok_or_else(missing)
}
