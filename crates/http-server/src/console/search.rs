//! A search through a topic, the newest records first: a stream of lines with what was found and how far it has come.
//!
//! It reads portions on the console's threads, so that others come in between, and ends when enough was found or read,
//! when its time is up, or when its client goes away. What it says last is where it would go on.

use super::wanted::{Wanted, partitions};
use super::{Console, Refused, browse, shown};
use crate::body::Body;
use crate::committed;
use crate::events;
use crate::reply::Reply;
use crate::router::query_value;
use broker::errors::ApiError;
use broker::security::{Operation, ResourceType, Visitor};
use bytes::Bytes;
use eventlog::Topic;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
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
    let refusal =
        |refused: Refused| Reply::error(refused.status, refused.words).into_response().map(Body::from);
    if !visitor.may(Operation::Read, ResourceType::Topic, name) {
        return super::denied(visitor, "Read on the topic").map(Body::from);
    }
    let Ok(place) = console.searches.clone().try_acquire_owned() else {
        let message = "other searches are under way; come again";
        return events::come_again(StatusCode::TOO_MANY_REQUESTS, message).map(Body::from);
    };
    let begun = Search::begin(console.clone(), name, head.uri.query().unwrap_or_default());
    let mut search = match begun {
        Ok(search) => search,
        Err(refused) => return refusal(refused),
    };
    let (sender, parts) = mpsc::channel(1);
    tokio::spawn(async move {
        let _place = place;
        let ends = Instant::now() + TIME_MAX;
        loop {
            let run = console.desk.run(move || {
                let found = search.portion();
                (search, found)
            });
            let Some((after, found)) = run.await else { return };
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
                progress["next"] = if is_over { Value::Null } else { search.position().into() };
            }
            lines.push(progress);
            let text: String = lines.into_iter().map(|line| format!("{line}\n")).collect();
            let is_gone = sender.send(Bytes::from(text)).await.is_err();
            if is_gone || why.is_some() {
                return;
            }
        }
    });
    let mut response = Response::new(Body::Stream(parts));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
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

    /// Looks at some more, in each partition in turn; the records that were found.
    fn portion(&mut self) -> Result<Vec<Value>, Refused> {
        let mut lines = Vec::new();
        let mut left = PORTION_BYTES;
        while left > 0 && self.found < FOUND_MAX && !self.is_over() {
            let turn = self.turn % self.reaches.len();
            self.turn += 1;
            let reach = &mut self.reaches[turn];
            if reach.next <= reach.first {
                continue;
            }
            let from = (reach.next - reach.window).max(reach.first);
            let (mut at, mut read) = (from, 0usize);
            let mut found = Vec::new();
            while at < reach.next {
                let before = at;
                let partition = self.topic.partitions[reach.index];
                at = committed::walk(
                    &self.console.log,
                    partition,
                    (at, reach.next),
                    PORTION_BYTES,
                    &mut |record| {
                        read += events::bytes_of(record);
                        self.records += 1;
                        if self.wanted.fits(record) {
                            found.push(json!({ "record": shown::line(reach.index, record) }));
                        }
                        ControlFlow::Continue(())
                    },
                )?;
                if at <= before {
                    break;
                }
            }
            reach.next = from;
            // Small records are looked at in larger windows.
            reach.window = match read {
                0..=500_000 => (reach.window * 2).min(1 << 16),
                500_001..=4_000_000 => reach.window,
                _ => (reach.window / 4).max(1),
            };
            self.bytes += read as u64;
            // A window without records costs something too.
            left = left.saturating_sub(read.max(4 << 10));
            self.found += found.len();
            found.reverse();
            lines.append(&mut found);
        }
        Ok(lines)
    }
}
