//! A connection: waits for a request where that costs little, has it answered, and waits again.
//!
//! What it keeps while it waits is its task and the bytes of a head that has begun; hyper, which has buffers, is there
//! for the time of a request. How long a client may take is limited where it is waited for, in the plain sense: until
//! then everything must have come, or the connection ends.

mod exchange;
mod head;
mod meter;

use crate::body::Body;
use crate::crowd::{Held, Place, Seat};
use crate::events::come_again;
use bytes::Bytes;
use exchange::{After, exchange};
use head::Head;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Response, StatusCode};
use std::convert::Infallible;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

pub(crate) use meter::Meter;

/// How long a whole head waits for a seat.
const SEAT_WAIT_MAX: Duration = Duration::from_secs(10);

/// What a client still sends after its answer is read for so long and so far: closing a socket with unread
/// bytes resets the connection, which takes the answer away from the client.
const LINGER_MAX: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: u64 = 1 << 20;

/// How long a client may say nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// Until a head is there as a whole: the first one from the beginning of the connection, a TLS handshake included,
    /// others from their first byte. Also how long a seat may be kept by asking without a pause.
    pub head: Duration,
    /// Between its requests.
    pub idle: Duration,
}

/// Requests and answers, until one side ends it, and what goes on behind them.
pub(crate) async fn converse<S, A>(
    mut place: Place,
    mut stream: S,
    meter: Meter,
    waits: Waits,
    answer: impl Fn(Request<Incoming>) -> A,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Future<Output = Result<Response<Body>, Infallible>>,
{
    let mut head = Head::default();
    head.measure(&meter);
    let mut may_stay = place.begins(head.memory());
    let mut first_until = Some(place.since() + waits.head);
    loop {
        if !may_stay || !awaited(&mut head, (&mut stream, &meter), &mut place, first_until, waits).await {
            return end(stream).await;
        }
        let seat = seated(&mut place, &head).await;
        let Some(seat) = seat.filter(|_| place.is_served()) else {
            let refusal = written(busy(&place)).await;
            let _ = timeout(Duration::ZERO, stream.write_all(&refusal)).await;
            return linger(stream, &mut place).await;
        };
        let held = Held::new(seat);
        let answer = |request| {
            let answered = held.sits(&place).then(|| answer(request));
            async {
                match answered {
                    Some(answered) => answered.await,
                    None => Ok(busy(&place).map(Body::from)),
                }
            }
        };
        // In a box, for it is large, and one that waits has none.
        let answered =
            Box::pin(exchange(stream, head.into_bytes(), answer, &held, waits.head, stop.clone())).await;
        drop(held);
        head = Head::default();
        head.measure(&meter);
        match answered {
            After::Next(kept, come) => {
                stream = kept;
                head.add(&come);
            }
            After::Read(stream) => return linger(stream, &mut place).await,
            After::End => return,
        }
        may_stay = match head.is_empty() {
            true => place.idles(),
            false => place.begins(head.memory()),
        };
        first_until = None;
    }
}

/// Whether a whole head has come, rather than the end. The first one has its own time.
async fn awaited(
    head: &mut Head,
    (stream, meter): (&mut (impl AsyncRead + Unpin), &Meter),
    place: &mut Place,
    first_until: Option<Instant>,
    waits: Waits,
) -> bool {
    let mut until =
        first_until.unwrap_or_else(|| Instant::now() + if head.is_empty() { waits.idle } else { waits.head });
    while !head.is_whole() {
        let had = !head.is_empty();
        let received = tokio::select! {
            biased;
            () = place.must_go() => return false,
            received = head.receive(stream, meter) => received,
            () = sleep_until(until) => return false,
        };
        match received {
            Ok(false) | Err(_) => return false,
            Ok(true) if head.is_empty() || head.is_whole() => continue,
            Ok(true) => {}
        }
        if !had && first_until.is_none() {
            until = Instant::now() + waits.head;
        }
        if !place.begins(head.memory()) {
            return false;
        }
    }
    true
}

async fn seated(place: &mut Place, head: &Head) -> Option<Seat> {
    if let Some(seat) = place.try_sit() {
        return Some(seat);
    }
    if !place.begins(head.memory()) {
        return None;
    }
    tokio::select! {
        () = place.must_go() => None,
        seat = timeout(SEAT_WAIT_MAX, place.sit()) => seat.ok().flatten(),
    }
}

/// To a request for which no seat has become free.
fn busy(place: &Place) -> Response<Full<Bytes>> {
    let message = "too many requests are being answered already; send this again";
    let mut response = come_again(StatusCode::SERVICE_UNAVAILABLE, message);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    place.counters().answered(response.status().as_u16());
    response
}

/// The bytes of an answer to whom hyper does not know.
async fn written(response: Response<Full<Bytes>>) -> Vec<u8> {
    let (head, body) = response.into_parts();
    let Ok(body) = body.collect().await;
    let body = body.to_bytes();
    let mut bytes = format!("HTTP/1.1 {}\r\ncontent-length: {}\r\n", head.status, body.len()).into_bytes();
    for (name, value) in &head.headers {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    bytes
}

/// Closes in good order, if that takes no time.
async fn end(mut stream: impl AsyncWrite + Unpin) {
    let _ = timeout(Duration::ZERO, stream.shutdown()).await;
}

/// Lets the client read its answer before the socket is closed.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin, place: &mut Place) {
    if !place.begins(0) {
        return;
    }
    let lingering = async {
        if stream.shutdown().await.is_ok() {
            let mut rest = stream.take(LINGER_BYTES_MAX);
            let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
        }
    };
    tokio::select! {
        () = place.must_go() => {}
        _ = timeout(LINGER_MAX, lingering) => {}
    }
}

#[cfg(test)]
mod tests;
