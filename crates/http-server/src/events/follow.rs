//! Records of a topic, as they come: one answer that waits for the first of them, or a stream that goes on.

use super::position::{From, Position};
use super::{Events, come_again, of_error, shown, stream, text_of};
use crate::body::Body;
use crate::committed;
use crate::desk::NotDone;
use crate::reply::Reply;
use crate::router::query_value;
use base::PartitionId;
use broker::errors::ApiError;
use eventlog::Topic;
use hyper::header::{ACCEPT, HeaderName};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use kafka_wire::error_code::ErrorCode;
use kafka_wire::records::Record;
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const EVENT_STREAM: &str = "text/event-stream";

pub(super) const RECORDS_MAX: usize = 10_000;
const RECORDS_DEFAULT: usize = 500;
const WAIT_MS_MAX: u64 = 60_000;
/// One answer, or one part of a stream, has not many more bytes of records than this.
const BYTES_MAX: usize = 1 << 20;
/// How a record of a partition is shown. What comes of it has the fields `partition` and `offset`.
pub(crate) type Shape = fn(usize, &Record<'_>) -> Value;

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
        return stream::answer(events, topic, (position, shown::record), place);
    }
    let end = Instant::now() + Duration::from_millis(wait_ms);
    match events.await_records(&topic, position, (max, shown::record), end).await {
        Ok(Found { records, next }) => {
            Reply::ok(json!({ "records": records, "next": next.to_string() })).into_response().map(Body::from)
        }
        Err(error) => of_error(&error).into_response().map(Body::from),
    }
}

impl Events {
    /// A stream of what comes to a topic from now on, or from where its reader was, in another shape.
    pub(crate) fn tail(self: Arc<Self>, head: &Parts, name: &str, shape: Shape) -> Response<Body> {
        let Ok(place) = self.followers.clone().try_acquire_owned() else {
            let message = "too many follow topics at the moment; come again";
            return come_again(StatusCode::TOO_MANY_REQUESTS, message).map(Body::from);
        };
        let position = self.topic(name).and_then(|topic| {
            let from = text_of(head, &LAST_EVENT_ID).unwrap_or("latest");
            let from = From::parse(from, topic.partitions.len());
            let from = from.map_err(|words| ApiError::new(ErrorCode::InvalidRequest, words))?;
            Ok((self.start(&topic, &from)?, topic))
        });
        match position {
            Ok((position, topic)) => stream::answer(self, topic, (position, shape), place),
            Err(error) => of_error(&error).into_response().map(Body::from),
        }
    }

    fn start(&self, topic: &Topic, from: &From) -> Result<Position, ApiError> {
        let offsets = topic.partitions.iter().enumerate().map(|(index, partition)| {
            let bounds = self.log.bounds(*partition)?;
            Ok(from.start(index, &bounds))
        });
        Ok(Position(offsets.collect::<Result<_, ApiError>>()?))
    }

    /// Waits until there are records, until the time is up, the topic is another one, or the server stops.
    pub(super) async fn await_records(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        mut position: Position,
        (max, shape): (usize, Shape),
        end: Instant,
    ) -> Result<Found, ApiError> {
        let mut durable = self.durable.clone();
        let mut stopping = self.stopping.subscribe();
        loop {
            durable.borrow_and_update();
            if !self.is_as_it_was(topic) {
                return Ok(Found { records: Vec::new(), next: position });
            }
            if self.has_more(topic, &position)? {
                let (events, topic, before) = (self.clone(), topic.clone(), position.clone());
                // Records may have to come from the disk, and to be unpacked.
                let read = self.readers.run(move || events.records(&topic, position, (max, shape))).await;
                let found = read.unwrap_or_else(|why| {
                    let code = match why {
                        NotDone::Full => ErrorCode::ThrottlingQuotaExceeded,
                        NotDone::Panicked => ErrorCode::UnknownServerError,
                    };
                    Err(ApiError::new(code, why.told().1))
                })?;
                if !found.records.is_empty() {
                    return Ok(found);
                }
                // What was passed over may hide what follows.
                let has_moved = found.next != before;
                position = found.next;
                if has_moved {
                    continue;
                }
            }
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

    /// Whether anything durable lies behind a position.
    fn has_more(&self, topic: &Topic, position: &Position) -> Result<bool, ApiError> {
        for (partition, next) in topic.partitions.iter().zip(&position.0) {
            if self.log.bounds(*partition)?.high_watermark.0 > *next {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Committed records from a position on, partition after partition; each time another one comes first.
    fn records(
        &self,
        topic: &Topic,
        position: Position,
        (max, shape): (usize, Shape),
    ) -> Result<Found, ApiError> {
        let mut found = Found { records: Vec::new(), next: position };
        let mut bytes_left = BYTES_MAX;
        let count = topic.partitions.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        for index in (0..count).map(|number| (first % count + number) % count) {
            while bytes_left > 0 && found.records.len() < max {
                if !self.records_of(
                    topic.partitions[index],
                    index,
                    (max, shape),
                    &mut found,
                    &mut bytes_left,
                )? {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Takes some of a partition; false if it has no more.
    fn records_of(
        &self,
        partition: PartitionId,
        index: usize,
        (max, shape): (usize, Shape),
        found: &mut Found,
        bytes_left: &mut usize,
    ) -> Result<bool, ApiError> {
        let Found { records, next } = found;
        let Some(place) = next.0.get_mut(index) else { return Ok(false) };
        let from = *place;
        *place = committed::walk(&self.log, partition, (from, i64::MAX), *bytes_left, &mut |record| {
            if records.len() >= max || *bytes_left == 0 {
                return ControlFlow::Break(());
            }
            *bytes_left = bytes_left.saturating_sub(shown::bytes(record));
            records.push(shape(index, record));
            ControlFlow::Continue(())
        })?;
        Ok(*place > from)
    }
}
