//! Records of a topic, or changes of a view, as they come: one answer that waits for the first of them, a stream that goes
//! on, or a WebSocket.

use super::feed::{Ended, Feed, Part};
use super::position::{From, Position};
use super::{Events, Rights, Subject, come_again, of_error, shown, socket, stream, text_of};
use crate::body::Body;
use crate::committed;
use crate::desk::NotDone;
use crate::reply::{Reply, json_response};
use crate::router::query_value;
use base::PartitionId;
use broker::errors::ApiError;
use broker::security::Visitor;
use eventlog::Topic;
use hyper::header::{ACCEPT, HeaderName};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use kafka_wire::error_code::ErrorCode;
use kafka_wire::records::Record;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const EVENT_STREAM: &str = "text/event-stream";

pub(super) const RECORDS_MAX: usize = 10_000;
const RECORDS_DEFAULT: usize = 500;
const WAIT_MS_MAX: u64 = 60_000;
/// One answer, or one part of a stream, has not many more bytes of records than this.
const BYTES_MAX: usize = 1 << 20;
/// Rows of a view come in one answer up to this size.
const ROWS_BYTES_MAX: usize = 8 << 20;
/// How a record of a partition is shown: an object of JSON.
pub(crate) type Shape = fn(usize, &Record<'_>) -> String;

/// A record as it is shown, and where it lies.
pub(super) struct Taken {
    pub partition: usize,
    pub offset: i64,
    pub json: String,
}

/// Records, and where those behind them begin.
pub(super) struct Found {
    pub records: Vec<Taken>,
    pub next: Position,
}

/// What an answer that is no stream may have.
struct Limits {
    max: usize,
    wait: Duration,
}

impl Limits {
    fn of(query: &str) -> Result<Limits, String> {
        let number =
            |name: &str, default: u64, max: u64| match query_value(query, name).map(|text| text.parse()) {
                None => Ok(default.min(max)),
                Some(Ok(number)) if number <= max => Ok(number),
                Some(_) => Err(format!("'{name}' is a number of at most {max}")),
            };
        let max = number("max", RECORDS_DEFAULT as u64, RECORDS_MAX as u64)? as usize;
        Ok(Limits { max, wait: Duration::from_millis(number("wait_ms", 0, WAIT_MS_MAX)?) })
    }
}

pub(super) async fn answer(
    events: Arc<Events>,
    head: &Parts,
    subject: Subject,
    rights: Rights,
) -> Response<Body> {
    let Some(place) = events.place() else { return too_many() };
    let query = head.uri.query().unwrap_or_default();
    let is_socket = socket::is_asked(&head.headers);
    let is_stream = !is_socket && text_of(head, &ACCEPT).is_some_and(|accept| accept.contains(EVENT_STREAM));
    // A browser that comes again says so in a header, and keeps the query that it came with first.
    let from = text_of(head, &LAST_EVENT_ID).map(str::to_owned).filter(|from| is_stream && !from.is_empty());
    let from = from.or_else(|| query_value(query, "from"));
    let limits = match Limits::of(query) {
        Ok(limits) => limits,
        Err(message) => {
            return Reply::error(StatusCode::BAD_REQUEST, message).into_response().map(Body::from);
        }
    };
    let feed = match &subject {
        Subject::Topic(name) => {
            let default = if is_stream || is_socket { "latest" } else { "earliest" };
            events.topic_feed(name, from.as_deref().unwrap_or(default), shown::text, rights)
        }
        Subject::View(name) => events.view_feed(name, from.as_deref(), rights),
    };
    let feed = match feed {
        Ok(feed) => feed,
        Err(reply) => return reply.into_response().map(Body::from),
    };
    match (is_socket, is_stream) {
        (true, _) => socket::answer(head, feed, place),
        (_, true) => stream::answer(head, feed, place),
        _ => {
            // One that does not wait is like any other.
            if !limits.wait.is_zero() {
                super::follows(head, place);
            }
            match whole(feed, &subject, &limits).await {
                Ok(text) => json_response(text).map(Body::from),
                Err(reply) => reply.into_response().map(Body::from),
            }
        }
    }
}

/// One answer: what there is, or what comes first within a time.
async fn whole(mut feed: Feed, subject: &Subject, limits: &Limits) -> Result<String, Reply> {
    if feed.rows.is_some() {
        return all_rows(feed).await;
    }
    let (events, end) = (feed.events.clone(), Instant::now() + limits.wait);
    let found = events.await_records(&feed.topic, feed.position.clone(), (limits.max, feed.shape), end).await;
    let found = found.map_err(|error| of_error(&error))?;
    feed.position = found.next;
    let jsons: Vec<String> = found.records.into_iter().map(|taken| taken.json).collect();
    let (list, next) = (jsons.join(","), feed.mark());
    Ok(match subject {
        Subject::Topic(_) => format!("{{\"records\":[{list}],\"next\":\"{next}\"}}"),
        Subject::View(_) => format!("{{\"rows\":null,\"changes\":[{list}],\"next\":\"{next}\"}}"),
    })
}

/// All rows of a view, if one answer can have them.
async fn all_rows(mut feed: Feed) -> Result<String, Reply> {
    let count = feed.rows.as_ref().map_or(0, super::view::RowsLeft::count);
    let too_large = || {
        let words = format!(
            "the view has {count} rows, and one answer at most {RECORDS_MAX} of {} MiB: follow it as a stream \
             (Accept: {EVENT_STREAM}) or by WebSocket, or ask for a part of it in SQL",
            ROWS_BYTES_MAX >> 20
        );
        Reply::error(StatusCode::PAYLOAD_TOO_LARGE, words)
    };
    if count > RECORDS_MAX {
        return Err(too_large());
    }
    let mut list = String::new();
    loop {
        match feed.next().await {
            Part::Rows(_) | Part::Quiet => {}
            Part::Messages(messages) => {
                for message in messages {
                    if !list.is_empty() {
                        list.push(',');
                    }
                    list.push_str(&message.json);
                }
                if list.len() > ROWS_BYTES_MAX {
                    return Err(too_large());
                }
            }
            Part::Place(next) => {
                return Ok(format!("{{\"rows\":{count},\"changes\":[{list}],\"next\":\"{next}\"}}"));
            }
            Part::Ended(Ended::Failed(words)) => {
                return Err(Reply::error(StatusCode::INTERNAL_SERVER_ERROR, words));
            }
            Part::Ended(_) => {
                let words = "the node stops, or the view was changed meanwhile; ask again";
                return Err(Reply::error(StatusCode::SERVICE_UNAVAILABLE, words));
            }
        }
    }
}

fn too_many() -> Response<Body> {
    let message = "too many follow topics and views at the moment; come again";
    come_again(StatusCode::TOO_MANY_REQUESTS, message).map(Body::from)
}

impl Events {
    /// A place among those who follow, if there is one.
    fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.followers.clone().try_acquire_owned().ok()
    }

    /// A stream of what comes to a topic from now on, or from where its reader was, in another shape.
    pub(crate) fn tail(
        self: Arc<Self>,
        head: &Parts,
        name: &str,
        shape: Shape,
        visitor: Visitor,
    ) -> Response<Body> {
        let Some(place) = self.place() else { return too_many() };
        let is_socket = socket::is_asked(&head.headers);
        let given = query_value(head.uri.query().unwrap_or_default(), "from").filter(|_| is_socket);
        let from = given.or_else(|| text_of(head, &LAST_EVENT_ID).map(str::to_owned));
        match self.topic_feed(name, from.as_deref().unwrap_or("latest"), shape, Some(visitor)) {
            Ok(feed) if is_socket => socket::answer(head, feed, place),
            Ok(feed) => stream::answer(head, feed, place),
            Err(reply) => reply.into_response().map(Body::from),
        }
    }

    fn topic_feed(
        self: &Arc<Self>,
        name: &str,
        from: &str,
        shape: Shape,
        rights: Rights,
    ) -> Result<Feed, Reply> {
        let topic = self.topic(name).map_err(|error| of_error(&error))?;
        let from = From::parse(from, topic.partitions.len())
            .map_err(|words| Reply::error(StatusCode::BAD_REQUEST, words))?;
        let position = self.start(&topic, &from).map_err(|error| of_error(&error))?;
        Ok(Feed::new(self.clone(), topic, position, shape, rights))
    }

    fn start(&self, topic: &Topic, from: &From) -> Result<Position, ApiError> {
        let partitions = topic.partitions.iter().enumerate();
        let offsets = partitions.map(|(index, partition)| {
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
            records.push(Taken { partition: index, offset: record.offset, json: shape(index, record) });
            ControlFlow::Continue(())
        })?;
        Ok(*place > from)
    }
}
