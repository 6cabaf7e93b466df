//! Server-Sent Events: each message is one, its id is the position behind it.

use super::feed::{Ended, Feed, Part};
use crate::body::Body;
use bytes::Bytes;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use std::fmt::Write;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

pub(super) fn answer(head: &Parts, feed: Feed, place: OwnedSemaphorePermit) -> Response<Body> {
    super::follows(head, place);
    // A part is under way while the next one is made; a client that does not read holds up the rest.
    let (sender, parts) = mpsc::channel(1);
    tokio::spawn(async move { send(feed, &sender).await });
    let mut response = Response::new(Body::Stream(parts));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn send(mut feed: Feed, parts: &mpsc::Sender<Bytes>) {
    loop {
        let part = tokio::select! {
            part = feed.next() => part,
            () = parts.closed() => return,
        };
        let mut text = String::new();
        let mut is_last = false;
        match part {
            // An empty id has a browser that is cut off now begin again.
            Part::Rows(count) => {
                let _ = write!(text, "id:\nevent: rows\ndata: {{\"rows\":{count}}}\n\n");
            }
            // Says where it begins, before anything has come: who is cut off then misses nothing.
            Part::Place(next) => {
                let _ = write!(text, "id: {next}\ndata:\nevent: begin\n\n");
            }
            Part::Messages(messages) => {
                for message in messages {
                    if let Some(next) = message.next {
                        let _ = writeln!(text, "id: {next}");
                    }
                    let _ = write!(text, "data: {}\n\n", message.json);
                }
            }
            Part::Quiet => text.push_str(": nothing new\n\n"),
            // A client that comes again finds what it follows as it is now, and its rights.
            Part::Ended(Ended::Failed(words)) => {
                let message = serde_json::json!({ "errors": [words] });
                let _ = write!(text, "event: error\ndata: {message}\n\n");
                is_last = true;
            }
            Part::Ended(_) => return,
        }
        if parts.send(Bytes::from(text)).await.is_err() || is_last {
            return;
        }
    }
}
