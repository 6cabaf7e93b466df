//! Events go into the log, each id once, and are answered when they are on the disk.
//!
//! The records of a request and their ids are one frame: after a crash all of it is there or nothing, and who sends it
//! again cannot make it twice. Ids are known for a day, or until five million others have come (`runtime::ids`).

use super::posted::{self, Posted};
use super::{Events, Rights, come_again, of_error};
use crate::desk::NotDone;
use crate::reply::Reply;
use broker::errors::ApiError;
use broker::security::{Operation, ResourceType};
use bytes::Bytes;
use eventlog::{Durability, LogError, Topic};
use http_body_util::Full;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use kafka_wire::error_code::ErrorCode;
use kafka_wire::partitioner::partition_of_key;
use kafka_wire::records::{BatchBuilder, Compression};
use runtime::ids::{Ids, NewIds};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use traces::{Kind, LINKS_MAX, Span, TraceContext, Tracer};

/// The ids of the events of all topics.
const IDS_TOPIC: &str = "__event_ids";

/// What a batch takes before its first record.
const BATCH_BYTES_MORE: usize = 128;

#[derive(Default)]
pub(super) struct Inbox {
    /// Read with the first event that has an id.
    ids: Option<Ids>,
    /// Requests without a key go to the partitions in turn.
    turn: usize,
}

/// Where an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In this batch of the frame, as its record of this number.
    New {
        batch: usize,
        record: i64,
    },
    Known,
}

struct Published {
    places: Vec<Value>,
    /// What must be durable first.
    lsn: Option<base::Lsn>,
    /// The store elsewhere must have it, too.
    is_remote: bool,
}

pub(super) async fn publish(
    events: Arc<Events>,
    head: &Parts,
    body: Bytes,
    topic: String,
    rights: Rights,
) -> Response<Full<Bytes>> {
    let tracer = events.broker.tracer().clone();
    let Some(publishing) = Publishing::begin(&tracer, head, &topic) else {
        return publish_under(events, head, body, topic, (rights, None)).await;
    };
    let response = publish_under(events, head, body, topic, (rights, Some(publishing.shared.clone()))).await;
    publishing.end(&tracer, response.status());
    response
}

/// The span of a request that publishes.
struct Publishing {
    context: TraceContext,
    parent: Option<TraceContext>,
    topic: String,
    begin_ns: u64,
    shared: Arc<OwnTraces>,
}

/// What is known of it where the body is read.
struct OwnTraces {
    context: TraceContext,
    /// The events, and the contexts that they brought themselves.
    events: AtomicUsize,
    own: Mutex<Vec<TraceContext>>,
}

impl Publishing {
    /// None where nobody wants traces.
    fn begin(tracer: &Tracer, head: &Parts, topic: &str) -> Option<Publishing> {
        let parent = posted::trace_of(head);
        let context = tracer.begin(parent.as_ref())?;
        let shared =
            OwnTraces { context: context.clone(), events: AtomicUsize::new(0), own: Mutex::default() };
        let begin_ns = tracer.now_ns();
        Some(Publishing { context, parent, topic: topic.into(), begin_ns, shared: Arc::new(shared) })
    }

    fn end(self, tracer: &Tracer, status: StatusCode) {
        let own = std::mem::take(&mut *self.shared.own.lock().unwrap_or_else(PoisonError::into_inner));
        let events = self.shared.events.load(Ordering::Relaxed) as i64;
        let span = Span::new(self.context, &format!("send {}", self.topic), Kind::Producer)
            .under(self.parent.map(|parent| parent.span))
            .lasting(self.begin_ns, tracer.now_ns())
            .with("messaging.system", "kafka")
            .with("messaging.operation.name", "send")
            .with("messaging.operation.type", "send")
            .with("messaging.destination.name", self.topic.as_str())
            .with("messaging.batch.message_count", events)
            .with("http.request.method", "POST")
            .with("http.response.status_code", i64::from(status.as_u16()))
            .linked(own);
        tracer.record(if status.is_success() { span } else { span.failed(status.as_str()) });
    }
}

async fn publish_under(
    events: Arc<Events>,
    head: &Parts,
    body: Bytes,
    topic: String,
    (rights, span): (Rights, Option<Arc<OwnTraces>>),
) -> Response<Full<Bytes>> {
    let head = head.clone();
    let of_topic = topic.clone();
    let landed = land(events, topic.clone(), rights, move |events, _| {
        let (posted, is_batch) = match events.of_webhook(&of_topic, &head, &body) {
            Some(signed) => {
                let mut signed = signed.map_err(|reason| Reply::error(StatusCode::UNAUTHORIZED, reason))?;
                // Who sends a webhook says nothing of our traces: without a span the record stays as it was.
                if let Some(span) = &span {
                    signed.headers.extend(posted::trace_headers(&head, Some(&span.context)));
                }
                (vec![signed], false)
            }
            None => posted::read(&head, &body, span.as_ref().map(|span| &span.context))
                .map_err(|reason| Reply::error(StatusCode::BAD_REQUEST, reason))?,
        };
        if let Some(span) = &span {
            span.note(&posted);
        }
        Ok((posted, is_batch))
    });
    let (mut places, is_batch) = match landed.await {
        Ok(landed) => landed,
        Err(refusal) => return refusal,
    };
    if is_batch {
        return Reply::ok(json!({ "topic": topic, "events": places })).into_response();
    }
    let mut answer = json!({ "topic": topic });
    if let (Some(answer), Some(Value::Object(place))) = (answer.as_object_mut(), places.pop()) {
        answer.extend(place);
    }
    Reply::ok(answer).into_response()
}

/// Takes records into a topic, and waits until they are on the disk. `read` makes them beside the server's thread, and is
/// told whether the topic may be made; what else it gives comes back with the places.
pub(crate) async fn land<T: Send + 'static>(
    events: Arc<Events>,
    topic: String,
    rights: Rights,
    read: impl FnOnce(&Events, bool) -> Result<(Vec<Posted>, T), Reply> + Send + 'static,
) -> Result<(Vec<Value>, T), Response<Full<Bytes>>> {
    let Ok(_waiting) = events.waiting.clone().try_acquire_owned() else {
        let words = "too many events wait for the disk; send this again";
        return Err(come_again(StatusCode::TOO_MANY_REQUESTS, words));
    };
    let may_create = rights.is_none_or(|visitor| {
        visitor.may(Operation::Create, ResourceType::Topic, &topic)
            || visitor.may_on_cluster(Operation::Create)
    });
    // Reading takes time, and the log may have to wait.
    let taken = events.writers.run({
        let events = events.clone();
        move || {
            let (posted, more) = read(&events, may_create)?;
            let published = events.take(&topic, posted, may_create).map_err(|error| of_error(&error))?;
            Ok::<_, Reply>((published, more))
        }
    });
    let (Published { places, lsn, is_remote }, more) = match taken.await {
        Ok(Ok(taken)) => taken,
        Ok(Err(reply)) if reply.status == StatusCode::SERVICE_UNAVAILABLE => {
            let message = reply.body["errors"][0].as_str().unwrap_or_default();
            return Err(come_again(reply.status, message));
        }
        Ok(Err(reply)) => return Err(reply.into_response()),
        Err(NotDone::Full) => {
            let (status, words) = NotDone::Full.told();
            return Err(come_again(status, words));
        }
        Err(why) => {
            let (status, words) = why.told();
            return Err(Reply::error(status, words).into_response());
        }
    };
    if let Some(lsn) = lsn
        && !events.is_durable(lsn).await
    {
        let message = "the disk has failed: the events may or may not be in the log; send them again when the node \
                       has been started anew";
        return Err(come_again(StatusCode::SERVICE_UNAVAILABLE, message));
    }
    if let Some(lsn) = lsn.filter(|_| is_remote)
        && !events.is_shipped(lsn).await
    {
        let message = "the store of --remote does not answer: the events are in the log of this machine alone; send them again, \
                       with ids if they must not be there twice";
        return Err(come_again(StatusCode::SERVICE_UNAVAILABLE, message));
    }
    Ok((places, more))
}

impl OwnTraces {
    fn note(&self, posted: &[Posted]) {
        self.events.store(posted.len(), Ordering::Relaxed);
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let contexts = posted.iter().filter_map(posted::trace_of_event);
        for context in contexts.filter(|context| *context != self.context) {
            if own.len() > LINKS_MAX {
                break;
            }
            if !own.contains(&context) {
                own.push(context);
            }
        }
    }
}

impl Events {
    fn take(&self, topic: &str, posted: Vec<Posted>, may_create: bool) -> Result<Published, ApiError> {
        let topic = self.broker.topic_for_records(topic, may_create)?;
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let inbox = &mut *inbox;
        let now_ms = self.os.clock.now_ms();
        let mut new_ids = NewIds::default();
        let mut batches = Batches::new(&topic, now_ms);
        inbox.turn = inbox.turn.wrapping_add(1);
        let mut places = Vec::with_capacity(posted.len());
        for posted in &posted {
            places.push(match self.is_new(&mut inbox.ids, &topic, posted, &mut new_ids)? {
                true => batches.append(posted, inbox.turn)?,
                false => Place::Known,
            });
        }
        if batches.done.is_empty() && batches.open.is_empty() {
            // What is known may have come just now, and is no answer before it is on the disk.
            let lsn = Some(self.log.appended());
            let is_remote = topic.config.durability == Durability::Remote;
            return Ok(Published { places: shown(&places, &[], &[]), lsn, is_remote });
        }
        let given = batches.build()?;
        let partitions: Vec<i32> = given.iter().map(|(partition, _)| *partition).collect();
        let ids = &inbox.ids;
        let taken = self.broker.take_in(&topic, given, |frame| match ids {
            Some(ids) if !new_ids.is_empty() => ids.write(&new_ids, frame, now_ms).map(Some),
            _ => Ok::<_, LogError>(None),
        })?;
        if let (Some(ids), Some(at)) = (&mut inbox.ids, taken.also) {
            ids.landed(new_ids, at, now_ms);
        }
        let places = shown(&places, &partitions, &taken.base_offsets);
        Ok(Published { places, lsn: taken.lsn, is_remote: taken.is_remote })
    }

    fn is_new(
        &self,
        ids: &mut Option<Ids>,
        topic: &Topic,
        posted: &Posted,
        new: &mut NewIds,
    ) -> Result<bool, ApiError> {
        let Some(id) = &posted.id else { return Ok(true) };
        let ids = match ids {
            Some(ids) => ids,
            None => ids.insert(Ids::of_topic(&self.log, IDS_TOPIC).map_err(|error| {
                ApiError::new(
                    ErrorCode::KafkaStorageError,
                    format!("the ids of events cannot be read: {error}"),
                )
            })?),
        };
        // A topic that is made anew under its name knows nothing of the earlier one's events.
        Ok(ids.is_new(&[topic.id.0.as_slice(), id].concat(), new))
    }
}

/// The batches of one request: of each partition one that grows, and those that are full.
struct Batches<'a> {
    topic: &'a Topic,
    now_ms: i64,
    open: BTreeMap<usize, (usize, BatchBuilder)>,
    done: Vec<(usize, usize, BatchBuilder)>,
    count: usize,
}

impl<'a> Batches<'a> {
    fn new(topic: &'a Topic, now_ms: i64) -> Batches<'a> {
        Batches { topic, now_ms, open: BTreeMap::new(), done: Vec::new(), count: 0 }
    }

    fn append(&mut self, posted: &Posted, turn: usize) -> Result<Place, ApiError> {
        let partitions = self.topic.partitions.len().max(1);
        let partition = match &posted.key {
            Some(key) => partition_of_key(key, partitions as u32) as usize,
            None => turn % partitions,
        };
        let headers: Vec<(&str, Option<&[u8]>)> =
            posted.headers.iter().map(|(name, value)| (name.as_str(), Some(value.as_slice()))).collect();
        let bytes: usize =
            headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len) + 10).sum();
        let bytes =
            bytes + posted.key.as_ref().map_or(0, Vec::len) + posted.value.as_ref().map_or(0, Vec::len);
        let is_full = |builder: &BatchBuilder| {
            builder.size_bytes() + bytes + BATCH_BYTES_MORE > self.topic.config.max_message_bytes
        };
        if let Some((_, builder)) = self.open.get(&partition)
            && is_full(builder)
            && let Some((number, builder)) = self.open.remove(&partition)
        {
            self.done.push((number, partition, builder));
        }
        let (number, builder) = self.open.entry(partition).or_insert_with(|| {
            self.count += 1;
            (self.count - 1, BatchBuilder::new(Compression::None))
        });
        let place = Place::New { batch: *number, record: builder.count() as i64 };
        builder.append(self.now_ms, posted.key.as_deref(), posted.value.as_deref(), &headers)?;
        Ok(place)
    }

    /// The partitions and the batches, in the order of the batches' numbers.
    fn build(mut self) -> Result<Vec<(i32, Bytes)>, ApiError> {
        let open = self.open.into_iter().map(|(partition, (number, builder))| (number, partition, builder));
        self.done.extend(open);
        self.done.sort_by_key(|(number, ..)| *number);
        let built =
            self.done.into_iter().map(|(_, partition, builder)| Ok((partition as i32, builder.build()?)));
        built.collect()
    }
}

fn shown(places: &[Place], partitions: &[i32], base_offsets: &[i64]) -> Vec<Value> {
    let one = |place: &Place| match *place {
        Place::Known => json!({ "duplicate": true }),
        Place::New { batch, record } => {
            json!({ "partition": partitions[batch], "offset": base_offsets[batch] + record })
        }
    };
    places.iter().map(one).collect()
}
