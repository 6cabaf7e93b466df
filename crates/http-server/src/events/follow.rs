//! Records of a topic, as they come: one answer that waits for the first of them, or a stream that goes on.

use super::position::{From, Position};
use super::{Events, come_again, of_error, shown, stream, text_of};
use crate::body::Body;
use crate::reply::Reply;
use crate::router::query_value;
use broker::errors::ApiError;
use bytes::Bytes;
use eventlog::{AbortedRange, Topic};
use hyper::header::{ACCEPT, HeaderName};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use kafka_wire::records::Batch;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const EVENT_STREAM: &str = "text/event-stream";

pub(super) const RECORDS_MAX: usize = 10_000;
const RECORDS_DEFAULT: usize = 500;
const WAIT_MS_MAX: u64 = 60_000;
/// One answer, or one part of a stream, has not many more bytes of records than this.
const BYTES_MAX: usize = 1 << 20;
/// Bytes of one batch when it is not compressed: as much as the broker takes.
const BATCH_BYTES_MAX: usize = 128 << 20;

/// Records, and where those behind them begin.
pub(super) struct Found {
    pub records: Vec<Value>,
    pub next: Position,
}

pub(super) async fn answer(events: Arc<Events>, head: &Parts, name: String) -> Response<Body> {
    let Ok(place) = events.followers.clone().try_acquire_owned() else {
        let message = "too many follow topics at the moment; come again";
        return come_again(StatusCode::TOO_MANY_REQUESTS, message).map(Body::from);
    };
    let bad =
        |message: String| Reply::error(StatusCode::BAD_REQUEST, message).into_response().map(Body::from);
    let topic = match events.topic(&name) {
        Ok(topic) => topic,
        Err(error) => return of_error(&error).into_response().map(Body::from),
    };
    let query = head.uri.query().unwrap_or_default();
    let is_stream = text_of(head, &ACCEPT).is_some_and(|accept| accept.contains(EVENT_STREAM));
    // A browser that comes again says so in a header, and keeps the query that it came with first.
    let from = text_of(head, &LAST_EVENT_ID).map(str::to_owned).filter(|_| is_stream);
    let from = from.or_else(|| query_value(query, "from"));
    let from = from.unwrap_or_else(|| if is_stream { "latest" } else { "earliest" }.to_owned());
    let number = |name: &str, default: u64, max: u64| match query_value(query, name).map(|text| text.parse())
    {
        None => Ok(default.min(max)),
        Some(Ok(number)) if number <= max => Ok(number),
        Some(_) => Err(format!("'{name}' is a number of at most {max}")),
    };
    let read = From::parse(&from, topic.partitions.len())
        .and_then(|from| Ok((from, number("max", RECORDS_DEFAULT as u64, RECORDS_MAX as u64)?)))
        .and_then(|(from, max)| Ok((from, max as usize, number("wait_ms", 0, WAIT_MS_MAX)?)));
    let (from, max, wait_ms) = match read {
        Ok(read) => read,
        Err(message) => return bad(message),
    };
    let position = match events.start(&topic, &from) {
        Ok(position) => position,
        Err(error) => return of_error(&error).into_response().map(Body::from),
    };
    if is_stream {
        return stream::answer(events, topic, position, place);
    }
    let end = Instant::now() + Duration::from_millis(wait_ms);
    match events.await_records(&topic, position, max, end).await {
        Ok(Found { records, next }) => {
            Reply::ok(json!({ "records": records, "next": next.to_string() })).into_response().map(Body::from)
        }
        Err(error) => of_error(&error).into_response().map(Body::from),
    }
}

impl Events {
    fn start(&self, topic: &Topic, from: &From) -> Result<Position, ApiError> {
        let offsets = topic.partitions.iter().enumerate().map(|(index, partition)| {
            let bounds = self.log.bounds(*partition)?;
            Ok(from.start(index, &bounds))
        });
        Ok(Position(offsets.collect::<Result<_, ApiError>>()?))
    }

    /// Waits until there are records, until the time is up, or the server stops.
    pub(super) async fn await_records(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        mut position: Position,
        max: usize,
        end: Instant,
    ) -> Result<Found, ApiError> {
        let mut durable = self.durable.clone();
        loop {
            durable.borrow_and_update();
            let (events, topic) = (self.clone(), topic.clone());
            // Records may have to come from the disk.
            let read = tokio::task::spawn_blocking(move || events.records(&topic, position, max)).await;
            let found =
                read.unwrap_or_else(|_| Err(kafka_wire::error_code::ErrorCode::UnknownServerError.into()))?;
            if !found.records.is_empty() {
                return Ok(found);
            }
            position = found.next;
            let mut stopping = self.stopping.subscribe();
            let moved = tokio::select! {
                changed = durable.changed() => changed.is_ok(),
                () = tokio::time::sleep_until(end) => false,
                _ = stopping.wait_for(|stopping| *stopping) => false,
            };
            if !moved {
                return Ok(Found { records: Vec::new(), next: position });
            }
        }
    }

    /// Committed records from a position on, partition after partition.
    fn records(&self, topic: &Topic, position: Position, max: usize) -> Result<Found, ApiError> {
        let mut found = Found { records: Vec::new(), next: position };
        let mut bytes_left = BYTES_MAX;
        for (index, partition) in topic.partitions.iter().enumerate() {
            let Some(next) = found.next.0.get_mut(index) else { break };
            let bounds = self.log.bounds(*partition)?;
            *next = (*next).max(bounds.log_start.0);
            let end = self.log.last_stable_offset(*partition)?.0;
            if *next >= end || bytes_left == 0 || found.records.len() >= max {
                continue;
            }
            let slices = self.log.read(*partition, base::Offset(*next), bytes_left)?;
            let aborted = self.log.aborted(*partition, base::Offset(*next), base::Offset(end));
            let mut bytes = Vec::new();
            'slices: for slice in slices.iter().take_while(|slice| slice.base_offset.0 < end) {
                bytes.clear();
                slice.read(&mut bytes)?;
                bytes_left = bytes_left.saturating_sub(bytes.len());
                let batch = Batch::parse(&Bytes::copy_from_slice(&bytes))?;
                if !batch.header.is_control() && !is_aborted(&batch, &aborted) {
                    for record in &batch.records(BATCH_BYTES_MAX)? {
                        let record = record?;
                        if record.offset < *next {
                            continue;
                        }
                        if found.records.len() >= max {
                            break 'slices;
                        }
                        found.records.push(shown::record(index, &record));
                        *next = record.offset + 1;
                    }
                }
                *next = slice.last_offset.0 + 1;
            }
        }
        Ok(found)
    }
}

fn is_aborted(batch: &Batch, aborted: &[AbortedRange]) -> bool {
    let header = &batch.header;
    header.is_transactional()
        && aborted.iter().any(|range| {
            range.producer_id == header.producer_id
                && (range.first_offset.0..=range.last_offset.0).contains(&header.base_offset)
        })
}
