//! What is answered to a request: who may ask is settled, the body is read, and the part that is meant answers.
//!
//! Requests to the schema registry, and events, may wait for a sync of the log, so they are answered on threads beside
//! the server's.

use crate::body::Body;
use crate::console::{self, Console, Meant};
use crate::door::{Asked, Caller};
use crate::events::{self, Events, Rights};
use crate::guard;
use crate::reply::Reply;
use crate::schemas;
use crate::scrape;
use crate::server::Served;
use crate::telemetry;
use broker::security::Visitor;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::WWW_AUTHENTICATE;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use registry::SchemaRegistry;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of a request's body.
const BODY_BYTES_MAX: usize = 64 << 10;

/// How long a client may take for a body.
const READ_MAX: Duration = Duration::from_secs(30);

pub(crate) async fn answer(
    request: Request<Incoming>,
    caller: Caller,
    served: Arc<Served>,
) -> Result<Response<Body>, Infallible> {
    let counters = served.sources.http.clone();
    let response = answer_uncounted(request, caller, served).await;
    counters.answered(response.status().as_u16());
    Ok(response)
}

async fn answer_uncounted(request: Request<Incoming>, caller: Caller, served: Arc<Served>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let is_head = head.method == Method::HEAD;
    let mut response = answer_to(head, body, caller, served).await;
    if is_head {
        *response.body_mut() = Full::new(Bytes::new()).into();
    }
    response
}

async fn answer_to(mut head: Parts, body: Incoming, caller: Caller, served: Arc<Served>) -> Response<Body> {
    if let Some(reason) = guard::refusal(&head.headers, &served.names) {
        return Reply::error(StatusCode::FORBIDDEN, reason).into_response().map(Body::from);
    }
    if let Err(reason) = events::take_credential(&mut head) {
        return Reply::error(StatusCode::BAD_REQUEST, reason).into_response().map(Body::from);
    }
    if let Some(console) = &served.console
        && let Some(meant) = console.meant(&head)
    {
        let mut response = answer_of_console(console.clone(), meant, head, body, caller, served).await;
        // The page asks who somebody is, and the browser must not do it as well.
        response.headers_mut().remove(WWW_AUTHENTICATE);
        return response;
    }
    answer_to_visitor(head, body, caller, None, served).await
}

/// What a browser with the console's page asks for. It may have a session instead of a log-in with each request.
async fn answer_of_console(
    console: Arc<Console>,
    meant: Meant,
    mut head: Parts,
    body: Incoming,
    caller: Caller,
    served: Arc<Served>,
) -> Response<Body> {
    if let Meant::Page(page) = meant {
        return page.map(Body::from);
    }
    let refusal = |status, message: &str| Reply::error(status, message).into_response().map(Body::from);
    if let Some(reason) = console::forgery(&head) {
        return refusal(StatusCode::FORBIDDEN, reason);
    }
    let Some(door) = &served.door else { return refusal(StatusCode::NOT_FOUND, "there is no console") };
    let visitor = match &meant {
        Meant::LogOut => return console.log_out(&head.headers).map(Body::from),
        Meant::LogIn => None,
        _ => match console.visitor(&head.headers, &caller) {
            Some(visitor) => Some(visitor),
            None => match door.who(&caller, &head.headers).await {
                Ok(visitor) => Some(visitor),
                Err(words) => return refusal(StatusCode::UNAUTHORIZED, &words),
            },
        },
    };
    let Some(visitor) = visitor else {
        return match read(body, console::LOG_IN_BYTES_MAX, None).await {
            Ok((body, _)) => console.log_in(door, &caller, &body).await.map(Body::from),
            Err(refusal) => refusal.map(Body::from),
        };
    };
    if let Meant::Elsewhere(uri) = meant {
        head.uri = uri;
        return answer_to_visitor(head, body, caller, Some(visitor), served).await;
    }
    match read(body, console::BODY_BYTES_MAX, Some(console.body_bytes())).await {
        Ok((body, _taken)) => console.answer(&head, body, visitor, served.site.clone()).await,
        Err(refusal) => refusal.map(Body::from),
    }
}

/// Answers who has been let in, or whom the door lets in.
async fn answer_to_visitor(
    head: Parts,
    body: Incoming,
    caller: Caller,
    visitor: Option<Visitor>,
    served: Arc<Served>,
) -> Response<Body> {
    if let Some(events) = &served.events
        && let Some(sent) = telemetry::sent(&head)
    {
        let answered = take_telemetry(events.clone(), sent, &head, body, &caller, visitor, &served).await;
        return match answered {
            Ok(response) => response,
            Err(refusal) => telemetry::refusal(sent, &head, refusal).await,
        }
        .map(Body::from);
    }
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let events = served.events.clone().filter(|_| events::are_meant(target));
    let registry = served.schemas.clone().filter(|_| schemas::are_meant(target));
    let (asked, bytes_max) = match (&events, &registry) {
        (Some(_), _) => (Asked::Events, events::BODY_BYTES_MAX),
        (None, Some(_)) => (Asked::Registry, schemas::BODY_BYTES_MAX),
        (None, None) => (Asked::Site, BODY_BYTES_MAX),
    };
    let mut rights = None;
    // What a webhook signs is its body, which is read first.
    let is_signed = events.as_ref().is_some_and(|events| events.are_signed(&head.method, head.uri.path()));
    if !is_signed || visitor.is_some() {
        match admitted(&served, visitor, &caller, &head, asked).await {
            Ok(admitted) => rights = admitted,
            Err(refusal) => return refusal.map(Body::from),
        }
    }
    let budget = events.as_ref().map(|events| events.body_bytes(is_signed));
    let (body, _taken) = match read(body, bytes_max, budget).await {
        Ok(read) => read,
        Err(refusal) => return refusal.map(Body::from),
    };
    if let Some(events) = events {
        return events.answer(&head, body, rights).await;
    }
    answer_whole(&head, body, registry, served).await.map(Body::from)
}

/// The rights of who has been let in, or whom the door lets in.
async fn admitted(
    served: &Served,
    visitor: Option<Visitor>,
    caller: &Caller,
    head: &Parts,
    asked: Asked<'_>,
) -> Result<Rights, Response<Full<Bytes>>> {
    let Some(door) = &served.door else { return Ok(None) };
    let wanted = (&head.method, head.uri.path());
    match visitor {
        Some(visitor) => match door.refusal(&visitor, wanted, asked) {
            None => Ok(Some(visitor)),
            Some(refusal) => Err(refusal),
        },
        None => door.admit(caller, &head.headers, wanted, asked).await.map(Some),
    }
}

async fn take_telemetry(
    events: Arc<Events>,
    sent: telemetry::Sent,
    head: &Parts,
    body: Incoming,
    caller: &Caller,
    visitor: Option<Visitor>,
    served: &Served,
) -> Result<Response<Full<Bytes>>, Response<Full<Bytes>>> {
    let asked = Asked::Telemetry(events.telemetry().of(sent));
    let rights = admitted(served, visitor, caller, head, asked).await?;
    let budget = events.body_bytes(false);
    let (body, _taken) = read(body, telemetry::BODY_BYTES_MAX, Some(budget)).await?;
    telemetry::answer(events, sent, head, body, rights).await
}

/// The body of a request, and what it takes of a budget of bytes that all requests have together.
async fn read(
    body: Incoming,
    bytes_max: usize,
    budget: Option<Arc<Semaphore>>,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Response<Full<Bytes>>> {
    let refusal = |status, message: String| Reply::error(status, message).into_response();
    let mut body = Limited::new(body, bytes_max);
    let (mut bytes, mut taken) = (BytesMut::new(), None::<OwnedSemaphorePermit>);
    // What comes is paid for as it comes: who promises much and sends slowly keeps it from nobody.
    let whole = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|failure| match failure.is::<LengthLimitError>() {
                true => {
                    let message = format!("the body of the request is longer than {bytes_max} bytes");
                    refusal(StatusCode::PAYLOAD_TOO_LARGE, message)
                }
                false => refusal(StatusCode::BAD_REQUEST, format!("the body cannot be read: {failure}")),
            })?;
            let Ok(data) = frame.into_data() else { continue };
            if let Some(budget) = &budget {
                let count = u32::try_from(data.len()).unwrap_or(u32::MAX);
                let message = "too many requests are on their way at the moment; send this again";
                let more = budget.clone().try_acquire_many_owned(count);
                let more = more.map_err(|_| events::come_again(StatusCode::TOO_MANY_REQUESTS, message))?;
                match &mut taken {
                    Some(taken) => taken.merge(more),
                    None => taken = Some(more),
                }
            }
            bytes.extend_from_slice(&data);
        }
        Ok(())
    };
    match tokio::time::timeout(READ_MAX, whole).await {
        Err(_) => Err(refusal(StatusCode::REQUEST_TIMEOUT, "the body of the request took too long".into())),
        Ok(Err(refused)) => Err(refused),
        Ok(Ok(())) => Ok((bytes.freeze(), taken)),
    }
}

async fn answer_whole(
    head: &Parts,
    body: Bytes,
    registry: Option<Arc<SchemaRegistry>>,
    served: Arc<Served>,
) -> Response<Full<Bytes>> {
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    match registry {
        Some(registry) => schemas::answer(registry, head, body).await,
        None if head.method == Method::DELETE => {
            // The end of a job waits for a sync of the log, which must hold up nobody else.
            let (head, served) = (head.clone(), served.clone());
            let answered = tokio::task::spawn_blocking(move || {
                let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
                served.site.reply(&head.method, target, &body).into_response()
            });
            let failed = Reply::error(StatusCode::INTERNAL_SERVER_ERROR, "the request failed");
            answered.await.unwrap_or_else(|_| failed.into_response())
        }
        None if scrape::is_meant(head) => scrape::answer(served.sources.clone(), head).await,
        None => served.site.reply(&head.method, target, &body).into_response(),
    }
}
