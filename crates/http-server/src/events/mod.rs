//! Events over HTTP: `POST /topics/{topic}` publishes, `GET /topics/{topic}` and `GET /views/{view}` follow.
//!
//! What is published is CloudEvents 1.0 in any mode of its HTTP binding, or any other body as the value of a record. It is
//! answered when it is on the disk. An event with an id is taken once: `inbox` keeps the ids in the log, in the frame of
//! the records.
//!
//! Whoever follows says where it is by a position, `0:12,1:5`: a partition and the offset that it wants next. It is in
//! every answer, in every id of a stream of Server-Sent Events and in every message of a WebSocket, so that a browser that
//! comes again goes on where it was. `feed` makes what is followed, `stream` and `socket` bring it to a client.
//!
//! A view is followed by the topic of its changes, from the place on that its rows have in memory (ADR 0040).

mod feed;
mod follow;
mod frames;
mod inbox;
mod position;
mod posted;
mod shown;
mod socket;
mod stream;
mod view;
mod webhooks;

use crate::body::Body;
use crate::crowd::Held;
use crate::desk::Desk;
use crate::reply::Reply;
use crate::telemetry::TelemetryTopics;
use broker::Broker;
use broker::errors::ApiError;
use broker::security::{Operation, ResourceType, Visitor};
use bytes::Bytes;
use eventlog::{EventLog, Topic};
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use kafka_wire::error_code::ErrorCode;
use os::Os;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use views::Views;

pub(crate) use inbox::land;
pub(crate) use posted::Posted;
pub(crate) use shown::bytes as bytes_of;
pub(crate) use socket::{Upgrades, take_credential};
pub use webhooks::Webhooks;

/// Bytes of a request: events of a batch are in memory at once.
pub(crate) const BODY_BYTES_MAX: usize = 8 << 20;

/// Bytes of bodies that are in memory at once, of all clients; who comes with more is told to come again. Those who have
/// not said who they are, for the signature is over the body, have an amount of their own.
const BODIES_BYTES_MAX: usize = 64 << 20;
const SIGNED_BODIES_BYTES_MAX: usize = 16 << 20;

/// Requests that wait for their turn or for the disk; who comes then is told to come again.
const WAITING_MAX: usize = 1024;

/// How long a request waits for the store of `--remote`.
const STORE_WAIT_MAX: Duration = Duration::from_secs(30);
pub(crate) struct Events {
    broker: Arc<Broker>,
    log: EventLog,
    os: Os,
    webhooks: Webhooks,
    telemetry: TelemetryTopics,
    views: Option<Views>,
    inbox: Mutex<inbox::Inbox>,
    /// What is on the disk, or that nothing will come to it any more.
    durable: watch::Receiver<Reached>,
    body_bytes: Arc<Semaphore>,
    signed_body_bytes: Arc<Semaphore>,
    writers: Arc<Desk>,
    readers: Arc<Desk>,
    /// Which partition is read first: not always the same.
    turn: AtomicUsize,
    waiting: Arc<Semaphore>,
    /// Streams, WebSockets and long polls; who comes when they are all there is told to come again.
    followers: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
}

#[derive(Debug, Clone, Copy)]
struct Reached {
    lsn: base::Lsn,
    shipped: base::Lsn,
    is_fenced: bool,
}

/// What a request may, as the door has found out; without a broker's rules everything.
pub(crate) type Rights = Option<Visitor>;

impl Events {
    pub(crate) fn new(
        broker: Arc<Broker>,
        os: Os,
        webhooks: Webhooks,
        telemetry: TelemetryTopics,
        views: Option<Views>,
        followers_max: usize,
    ) -> Events {
        let log = broker.log().clone();
        let reached = Reached { lsn: base::Lsn(0), shipped: base::Lsn(0), is_fenced: false };
        let (sender, durable) = watch::channel(reached);
        let sender = Arc::new(sender);
        let of_syncs = sender.clone();
        log.subscribe(Arc::new(move |durable| {
            of_syncs.send_modify(|reached| {
                reached.lsn = reached.lsn.max(durable.lsn);
                reached.shipped = reached.shipped.max(durable.shipped);
                reached.is_fenced |= durable.fenced;
            });
        }));
        let is_fenced = log.fenced().is_some();
        sender.send_modify(|reached| {
            let seen = log.seen();
            reached.lsn = reached.lsn.max(seen.durable);
            reached.shipped = reached.shipped.max(seen.shipped);
            reached.is_fenced |= is_fenced;
        });
        Events {
            broker,
            log,
            os,
            webhooks,
            telemetry,
            views,
            inbox: Mutex::default(),
            durable,
            body_bytes: Arc::new(Semaphore::new(BODIES_BYTES_MAX)),
            signed_body_bytes: Arc::new(Semaphore::new(SIGNED_BODIES_BYTES_MAX)),
            writers: Arc::default(),
            readers: Arc::default(),
            turn: AtomicUsize::new(0),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            followers: Arc::new(Semaphore::new(followers_max)),
            stopping: watch::channel(false).0,
        }
    }

    /// Streams and long polls end.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    pub(crate) async fn answer(self: Arc<Self>, head: &Parts, body: Bytes, rights: Rights) -> Response<Body> {
        let Some(subject) = Subject::of(head.uri.path()) else {
            let message = format!("the path '{}' is not well formed", head.uri.path());
            return Reply::error(StatusCode::BAD_REQUEST, message).into_response().map(Body::from);
        };
        match (&head.method, subject) {
            (&Method::POST, Subject::Topic(topic)) => {
                inbox::publish(self, head, body, topic, rights).await.map(Body::from)
            }
            (&Method::GET, subject) => follow::answer(self, head, subject, rights).await,
            _ => {
                let message = format!("{} is not a method of {}", head.method, head.uri.path());
                Reply::error(StatusCode::METHOD_NOT_ALLOWED, message).into_response().map(Body::from)
            }
        }
    }

    /// Where what observability sends goes.
    pub(crate) fn telemetry(&self) -> &TelemetryTopics {
        &self.telemetry
    }

    /// The topic, which is made if it may be.
    pub(crate) fn topic_for_records(&self, name: &str, may_create: bool) -> Result<Arc<Topic>, ApiError> {
        self.broker.topic_for_records(name, may_create)
    }

    /// What bodies are paid from.
    pub(crate) fn body_bytes(&self, are_signed: bool) -> Arc<Semaphore> {
        if are_signed { self.signed_body_bytes.clone() } else { self.body_bytes.clone() }
    }

    /// Whether a request says who sent it by a signature of its body, and no log-in is to be asked for.
    pub(crate) fn are_signed(&self, method: &Method, path: &str) -> bool {
        method == Method::POST && topic_of(path).is_some_and(|topic| self.webhooks.has(&topic))
    }

    fn of_webhook(&self, topic: &str, head: &Parts, body: &Bytes) -> Option<Result<Posted, &'static str>> {
        let read = || self.webhooks.read(topic, &head.headers, body, self.os.clock.now_ms());
        self.webhooks.has(topic).then(read)
    }

    /// Waits until it is on the disk; false if it never will be.
    async fn is_durable(&self, lsn: base::Lsn) -> bool {
        let mut durable = self.durable.clone();
        let reached = durable.wait_for(|reached| reached.lsn >= lsn || reached.is_fenced).await;
        reached.is_ok_and(|reached| reached.lsn >= lsn)
    }

    /// Waits until the store elsewhere has it, but not for ever; false if it has not.
    async fn is_shipped(&self, lsn: base::Lsn) -> bool {
        let mut durable = self.durable.clone();
        let shipped = durable.wait_for(|reached| reached.shipped >= lsn || reached.is_fenced);
        match tokio::time::timeout(STORE_WAIT_MAX, shipped).await {
            Ok(Ok(reached)) => reached.shipped >= lsn,
            _ => false,
        }
    }

    /// Whether a topic is still the one of its name, with the same partitions.
    fn is_as_it_was(&self, topic: &Topic) -> bool {
        let now = self.log.topic(&topic.name);
        now.is_some_and(|now| now.id == topic.id && now.partitions.len() == topic.partitions.len())
    }

    fn topic(&self, name: &str) -> Result<Arc<Topic>, ApiError> {
        self.log.topic(name).ok_or_else(|| {
            let shown: String = name.chars().take(80).flat_map(char::escape_default).collect();
            ApiError::new(ErrorCode::UnknownTopicOrPartition, format!("topic '{shown}' does not exist"))
        })
    }
}

/// A request waits for what comes, which needs a place among those who follow, and no seat.
fn follows(head: &Parts, place: OwnedSemaphorePermit) {
    if let Some(held) = head.extensions.get::<Held>() {
        held.follows(place);
    }
}

/// The OpenAPI document of what is served here.
pub(crate) fn openapi(version: &str) -> Reply {
    match serde_json::from_str(&include_str!("openapi.json").replace("VERSION", version)) {
        Ok(document) => Reply::ok(document),
        Err(error) => Reply::error(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    Topic(String),
    View(String),
}

impl Subject {
    fn of(path: &str) -> Option<Subject> {
        let mut parts = crate::router::parts(path)?.into_iter();
        match (parts.next()?.as_str(), parts.next(), parts.next()) {
            ("topics", Some(topic), None) => Some(Subject::Topic(topic)),
            ("views", Some(view), None) => Some(Subject::View(view)),
            _ => None,
        }
    }

    /// The topic whose right is needed: of a view one of its own name.
    fn right(&self) -> &str {
        match self {
            Subject::Topic(name) | Subject::View(name) => name,
        }
    }
}

/// Whether a path, with its query, is one of a topic or a view.
pub(crate) fn are_meant(target: &str) -> bool {
    Subject::of(target.split('?').next().unwrap_or_default()).is_some()
}

fn topic_of(path: &str) -> Option<String> {
    match Subject::of(path)? {
        Subject::Topic(topic) => Some(topic),
        Subject::View(_) => None,
    }
}

/// Whether the visitor may do this with the topic or the view, and the words for what it needs.
pub(crate) fn needs(visitor: &Visitor, method: &Method, path: &str) -> (bool, &'static str) {
    let subject = Subject::of(path).unwrap_or(Subject::Topic(String::new()));
    let may = |operation| visitor.may(operation, ResourceType::Topic, subject.right());
    match (method == Method::POST, &subject) {
        (true, _) => (may(Operation::Write), "Write on the topic"),
        (false, Subject::Topic(_)) => (may(Operation::Read), "Read on the topic"),
        (false, Subject::View(_)) => (may(Operation::Read), "Read on the topic of the view's name"),
    }
}

pub(crate) fn of_error(error: &ApiError) -> Reply {
    let status = match error.code {
        ErrorCode::UnknownTopicOrPartition => StatusCode::NOT_FOUND,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::InvalidRecord
        | ErrorCode::InvalidRequest
        | ErrorCode::InvalidTimestamp
        | ErrorCode::CorruptMessage
        | ErrorCode::OffsetOutOfRange
        | ErrorCode::InvalidTopicException => StatusCode::BAD_REQUEST,
        ErrorCode::PolicyViolation => StatusCode::CONFLICT,
        ErrorCode::ThrottlingQuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::NotEnoughReplicas | ErrorCode::KafkaStorageError => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let words = if error.message.is_empty() { error.code.to_string() } else { error.message.clone() };
    Reply::error(status, words)
}

/// The refusal of somebody who shall come again in a second.
pub(crate) fn come_again(status: StatusCode, message: &str) -> Response<http_body_util::Full<Bytes>> {
    let mut response = Reply::error(status, message).into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn text_of<'a>(head: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    head.headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_topics() {
        assert_eq!(topic_of("/topics/a%2eb").as_deref(), Some("a.b"));
        assert_eq!((topic_of("/views/a"), Subject::of("/views/a")), (None, Some(Subject::View("a".into()))));
        assert!(are_meant("/topics/a?from=earliest") && are_meant("/views/a"));
        for other in
            ["/topics", "/topics/", "/topics/a/b", "/subjects/a", "/", "/topics/%ff", "/views", "/views/a/b"]
        {
            assert!(!are_meant(other), "{other}");
        }
    }
}
