//! A search through a topic, the newest records first: a stream of lines with what was found and how far it has come.
//!
//! It reads portions on the console's threads, so that others come in between, and ends when enough was found or read,
//! when its time is up, or when its client goes away. What it says last is where it would go on.

use super::wanted::{Wanted, partitions};
use super::{Console, Refused, browse, shown};
use crate::body::Body;
use crate::committed;
use crate::events;
use crate::router::query_value;
use broker::errors::ApiError;
use broker::security::{Operation, ResourceType, Visitor};
use bytes::Bytes;
use eventlog::Topic;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde_json::json;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

const FOUND_MAX: usize = 200;
const TIME_MAX: Duration = Duration::from_secs(60);
const READ_BYTES_MAX: u64 = 8 << 30;
/// Read between two looks at the clock and the client.
const PORTION_BYTES: usize = 4 << 20;
/// Of the lines of a portion, unless a single one is longer.
const LINES_BYTES_MAX: usize = 1 << 20;

/// Where a search is in a partition: what lies before `next` has not been looked at.
struct Reach {
    index: usize,
    next: i64,
    first: i64,
    /// Offsets that are looked at in one go.
    window: i64,
}

struct Search {
    console: Arc<Console>,
    topic: Arc<Topic>,
    wanted: Wanted,
    reaches: Vec<Reach>,
    /// Whose turn it is.
    turn: usize,
    records: u64,
    bytes: u64,
    found: usize,
}

pub(super) async fn answer(
    console: Arc<Console>,
    head: &Parts,
    name: &str,
    visitor: &Visitor,
) -> Response<Body> {
    if !visitor.may(Operation::Read, ResourceType::Topic, name) {
        return super::denied(visitor, "Read on the topic").map(Body::from);
    }
    let Ok(place) = console.searches.clone().try_acquire_owned() else {
        let message = "other searches are under way; come again";
        return events::come_again(StatusCode::TOO_MANY_REQUESTS, message).map(Body::from);
    };
    let (name, query) = (name.to_owned(), head.uri.query().unwrap_or_default().to_owned());
    let begun = console.desk.run({
        let console = console.clone();
        move || Search::begin(console, &name, &query)
    });
    let mut search = match begun.await.unwrap_or_else(|why| Err(why.into())) {
        Ok(search) => search,
        Err(refused) => return refused.into_response(),
    };
    let (sender, parts) = mpsc::channel(1);
    tokio::spawn(async move {
        let _place = place;
        let ends = Instant::now() + TIME_MAX;
        loop {
            let mut lost = json!({
                "records": search.records, "bytes": search.bytes, "share": search.share(), "next": search.position(),
            });
            let run = console.desk.run(move || {
                let found = search.portion();
                (search, found)
            });
            let (after, found) = match run.await {
                Ok(run) => run,
                Err(why) => {
                    lost["ended"] = why.told().1.into();
                    let _ = sender.send(Bytes::from(format!("{lost}\n"))).await;
                    return;
                }
            };
            search = after;
            let (mut lines, failure) = match found {
                Ok(lines) => (lines, None),
                Err(refused) => (Vec::new(), Some(refused.words)),
            };
            let is_over = search.is_over();
            let why = match (&failure, is_over, search.found >= FOUND_MAX) {
                (Some(words), ..) => Some(words.as_str()),
                (None, true, _) => Some("end"),
                (None, false, true) => Some("enough"),
                (None, false, false) if search.bytes >= READ_BYTES_MAX || Instant::now() >= ends => {
                    Some("limit")
                }
                (None, false, false) => None,
            };
            let mut progress =
                json!({ "records": search.records, "bytes": search.bytes, "share": search.share() });
            if let Some(why) = why {
                progress["ended"] = why.into();
                progress["next"] = (!is_over).then(|| search.position()).into();
            }
            lines.push(progress.to_string());
            let text: String = lines.into_iter().map(|line| format!("{line}\n")).collect();
            let is_gone = sender.send(Bytes::from(text)).await.is_err();
            if is_gone || why.is_some() {
                return;
            }
        }
    });
    super::lines(parts)
}

impl Search {
    fn begin(console: Arc<Console>, name: &str, query: &str) -> Result<Search, Refused> {
        let missing =
            || Refused { status: StatusCode::NOT_FOUND, words: format!("there is no topic '{name}'") };
        let topic = console.log.topic(name).ok_or_else(missing)?;
        let wanted = Wanted::parse(query)?;
        let known = query_value(query, "at").filter(|text| !text.is_empty());
        let known = known.map(|text| browse::position(&text)).transpose()?;
        let mut reaches = Vec::new();
        for index in partitions(&topic, query)? {
            let partition = topic.partitions[index];
            let mut first = console.log.bounds(partition).map_err(ApiError::from)?.log_start.0;
            let stable = console.log.last_stable_offset(partition).map_err(ApiError::from)?.0;
            if let Some(since_ms) = wanted.since_ms {
                let batch = console.log.find_by_time(partition, since_ms).map_err(ApiError::from)?;
                first = batch.map_or(stable, |batch| batch.base_offset.0.max(first));
            }
            let next = known.as_ref().and_then(|known| known.get(&index).copied()).unwrap_or(stable);
            reaches.push(Reach { index, next: next.clamp(first, stable.max(first)), first, window: 256 });
        }
        Ok(Search { console, topic, wanted, reaches, turn: 0, records: 0, bytes: 0, found: 0 })
    }

    fn is_over(&self) -> bool {
        self.reaches.iter().all(|reach| reach.next <= reach.first)
    }

    /// How much of it is done, as far as offsets tell.
    fn share(&self) -> f64 {
        let left: i64 = self.reaches.iter().map(|reach| reach.next - reach.first).sum();
        let done = self.records as f64;
        if left == 0 { 1.0 } else { done / (done + left as f64) }
    }

    fn position(&self) -> String {
        let places = self.reaches.iter().map(|reach| format!("{}:{}", reach.index, reach.next));
        places.collect::<Vec<_>>().join(",")
    }

    /// Looks at some more, in each partition in turn; the lines of the records that were found.
    fn portion(&mut self) -> Result<Vec<String>, Refused> {
        let mut lines = Vec::new();
        let (mut left, mut room) = (PORTION_BYTES, LINES_BYTES_MAX);
        while left > 0 && room > 0 && self.found < FOUND_MAX && !self.is_over() {
            let turn = self.turn % self.reaches.len();
            self.turn += 1;
            let reach = &mut self.reaches[turn];
            if reach.next <= reach.first {
                continue;
            }
            let from = (reach.next - reach.window).max(reach.first);
            let is_single = reach.next - from == 1;
            let mut kept = Kept::new(FOUND_MAX - self.found, room);
            let (mut at, mut read, mut records, mut is_too_much) = (from, 0usize, 0u64, false);
            while at < reach.next && !is_too_much {
                let before = at;
                let partition = self.topic.partitions[reach.index];
                at = committed::walk(
                    &self.console.log,
                    partition,
                    (at, reach.next),
                    PORTION_BYTES,
                    &mut |record| {
                        read += events::bytes_of(record);
                        if read > PORTION_BYTES && !is_single {
                            is_too_much = true;
                            return ControlFlow::Break(());
                        }
                        records += 1;
                        if self.wanted.fits(record) {
                            let line = json!({ "record": shown::line(reach.index, record) }).to_string();
                            kept.add(record.offset, line);
                        }
                        ControlFlow::Continue(())
                    },
                )?;
                if at <= before {
                    break;
                }
            }
            self.bytes += read as u64;
            // A window without records costs something too.
            left = left.saturating_sub(read.max(4 << 10));
            if is_too_much {
                // Less at once, from the same place.
                reach.window = ((reach.next - from) / 8).max(1);
                continue;
            }
            self.records += records;
            // Small records are looked at in larger windows.
            reach.window = match read {
                0..=500_000 => (reach.window * 2).min(1 << 16),
                500_001..=4_000_000 => reach.window,
                _ => (reach.window / 4).max(1),
            };
            reach.next = match kept.left_out {
                // What had no room is found again, from here on.
                true => {
                    room = 0;
                    kept.lines.front().map_or(from, |(offset, _)| *offset)
                }
                false => from,
            };
            room = room.saturating_sub(kept.bytes);
            self.found += kept.lines.len();
            lines.extend(kept.lines.into_iter().rev().map(|(_, line)| line));
        }
        Ok(lines)
    }
}

/// The newest of the lines of a window for which there is room.
struct Kept {
    lines: VecDeque<(i64, String)>,
    bytes: usize,
    count_max: usize,
    bytes_max: usize,
    left_out: bool,
}

impl Kept {
    fn new(count_max: usize, bytes_max: usize) -> Kept {
        Kept { lines: VecDeque::new(), bytes: 0, count_max, bytes_max, left_out: false }
    }

    /// Takes one that is newer than all before; it stays itself, whatever its length.
    fn add(&mut self, offset: i64, line: String) {
        self.bytes += line.len();
        self.lines.push_back((offset, line));
        while self.lines.len() > 1
            && (self.lines.len() > self.count_max || self.bytes > self.bytes_max)
            && let Some((_, oldest)) = self.lines.pop_front()
        {
            self.bytes -= oldest.len();
            self.left_out = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_stay() {
        let kept = |count_max, bytes_max, lengths: &[usize]| {
            let mut kept = Kept::new(count_max, bytes_max);
            for (offset, length) in (0..).zip(lengths) {
                kept.add(offset, "x".repeat(*length));
            }
            let offsets: Vec<i64> = kept.lines.iter().map(|(offset, _)| *offset).collect();
            (offsets, kept.bytes, kept.left_out)
        };
        assert_eq!(kept(3, 100, &[5, 5, 5]), (vec![0, 1, 2], 15, false));
        assert_eq!(kept(2, 100, &[5, 5, 5]), (vec![1, 2], 10, true));
        assert_eq!(kept(9, 10, &[5, 5, 5, 1]), (vec![2, 3], 6, true));
        assert_eq!(kept(9, 10, &[5, 50]), (vec![1], 50, true));
        assert_eq!(kept(9, 10, &[50]), (vec![0], 50, false));
    }
}
