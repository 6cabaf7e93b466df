//! Server-Sent Events: each record is one, its id is the position behind it.

use super::Events;
use super::follow::{RECORDS_MAX, Shape};
use super::position::Position;
use crate::body::Body;
use bytes::Bytes;
use eventlog::Topic;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use serde_json::Value;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// A comment goes out after so long without records, so that nobody on the way takes the connection for dead, and so
/// that a client that is gone is found out.
const BEAT: Duration = Duration::from_secs(15);
/// Then a stream ends, and its client comes again: its rights are those of when it came.
const LIFE_MAX: Duration = Duration::from_secs(600);
const RECORDS_AT_ONCE: usize = 1_000;
const _: () = assert!(RECORDS_AT_ONCE <= RECORDS_MAX);

pub(super) fn answer(
    events: Arc<Events>,
    topic: Arc<Topic>,
    (position, shape): (Position, Shape),
    place: OwnedSemaphorePermit,
) -> Response<Body> {
    // A part is under way while the next one is made; a client that does not read holds up the rest.
    let (sender, parts) = mpsc::channel(1);
    tokio::spawn(async move {
        let _place = place;
        send(&events, &topic, (position, shape), &sender).await;
    });
    let mut response = Response::new(Body::Stream(parts));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn send(
    events: &Arc<Events>,
    topic: &Arc<Topic>,
    (mut position, shape): (Position, Shape),
    parts: &mpsc::Sender<Bytes>,
) {
    // Says where it begins, before anything has come: who is cut off then misses nothing.
    let mut part = format!("id: {position}\ndata:\nevent: begin\n\n");
    let ends = tokio::time::Instant::now() + LIFE_MAX;
    loop {
        if parts.send(Bytes::from(std::mem::take(&mut part))).await.is_err() {
            return;
        }
        // A client that comes again finds the topic as it is now, and its rights.
        let now = tokio::time::Instant::now();
        if now >= ends || !events.is_as_it_was(topic) {
            return;
        }
        let end = now + BEAT;
        let found = tokio::select! {
            found = events.await_records(topic, position.clone(), (RECORDS_AT_ONCE, shape), end) => found,
            () = parts.closed() => return,
        };
        match found {
            Ok(_) if *events.stopping.borrow() => return,
            Ok(found) => {
                for record in &found.records {
                    advance(&mut position, record);
                    let _ = write!(part, "id: {position}\ndata: {record}\n\n");
                }
                if found.records.is_empty() {
                    part.push_str(": nothing new\n\n");
                }
                position = found.next;
            }
            Err(error) => {
                let message = serde_json::json!({ "errors": [error.message] });
                let _ = parts.send(Bytes::from(format!("event: error\ndata: {message}\n\n"))).await;
                return;
            }
        }
    }
}

/// The position behind a record.
fn advance(position: &mut Position, record: &Value) {
    let partition = record["partition"].as_u64().and_then(|partition| usize::try_from(partition).ok());
    let place = partition.and_then(|partition| position.0.get_mut(partition));
    if let (Some(place), Some(offset)) = (place, record["offset"].as_i64()) {
        *place = offset + 1;
    }
}
