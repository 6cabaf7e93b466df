//! A connection: waits for a request where that costs little, has it answered, and waits again.
//!
//! What it keeps while it waits is its task and the bytes of a head that has begun; hyper, which has buffers, is there
//! for the time of a request. How long a client may take is limited where it is waited for, in the plain sense: until
//! then everything must have come, or the connection ends.

mod exchange;
mod head;

use crate::body::Body;
use crate::crowd::{Place, Seat};
use exchange::{After, exchange};
use head::Head;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use std::convert::Infallible;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// How long a whole head waits for a seat.
const SEAT_WAIT_MAX: Duration = Duration::from_secs(10);

/// What a client still sends after its answer is read for so long and so far: closing a socket with unread
/// bytes resets the connection, which takes the answer away from the client.
const LINGER_MAX: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: u64 = 1 << 20;

/// How long a client may say nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// Until a head is there as a whole: the first one from the beginning of the connection, others from their first byte.
    pub head: Duration,
    /// Between its requests.
    pub idle: Duration,
}

/// Requests and answers, until one side ends it, and what goes on behind them.
pub(crate) async fn converse<S, A>(
    mut place: Place,
    mut stream: S,
    waits: Waits,
    answer: impl Fn(Request<Incoming>) -> A,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Future<Output = Result<Response<Body>, Infallible>>,
{
    let mut head = Head::default();
    let mut is_first = true;
    loop {
        if !awaited(&mut head, &mut stream, &mut place, is_first, waits).await {
            return end(stream).await;
        }
        let Some(seat) = seated(&mut place, &head).await else {
            let _ = timeout(Duration::ZERO, stream.write_all(busy().as_bytes())).await;
            place.counters().answered(StatusCode::SERVICE_UNAVAILABLE.as_u16());
            return linger(stream, &mut place).await;
        };
        if !place.is_served() {
            return end(stream).await;
        }
        // In a box, for it is large, and one that waits has none.
        let answered = Box::pin(exchange(stream, head.into_bytes(), &answer, stop.clone())).await;
        drop(seat);
        head = Head::default();
        match answered {
            After::Next(kept, come) => {
                stream = kept;
                head.add(&come);
            }
            After::Read(stream) => return linger(stream, &mut place).await,
            After::End => return,
        }
        let may_stay = match head.is_empty() {
            true => place.idles(),
            false => place.begins(head.memory()),
        };
        if !may_stay {
            return end(stream).await;
        }
        is_first = false;
    }
}

/// Whether a whole head has come, rather than the end.
async fn awaited(
    head: &mut Head,
    stream: &mut (impl AsyncRead + Unpin),
    place: &mut Place,
    is_first: bool,
    waits: Waits,
) -> bool {
    let mut until = Instant::now() + if is_first || !head.is_empty() { waits.head } else { waits.idle };
    while !head.is_whole() {
        let had = !head.is_empty();
        let received = tokio::select! {
            biased;
            () = place.must_go() => return false,
            received = head.receive(stream) => received,
            () = sleep_until(until) => return false,
        };
        match received {
            Ok(0) | Err(_) => return false,
            Ok(_) if head.is_empty() || head.is_whole() => continue,
            Ok(_) => {}
        }
        if !had && !is_first {
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
fn busy() -> String {
    let body = r#"{"errors":["too many requests are being answered already; send this again"]}"#;
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
         content-type: application/json; charset=UTF-8\r\ncache-control: no-store\r\n\
         x-content-type-options: nosniff\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
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
