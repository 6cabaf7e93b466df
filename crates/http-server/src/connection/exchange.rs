//! Has hyper answer what a client has asked, and takes the stream back when hyper would wait for the next request.
//!
//! hyper keeps buffers for a connection, which is much for one that says nothing. It has no word for "between two
//! requests" but one: the timer that it is given for the next head. It looks at that timer when, and only when, its
//! buffer has no whole head and its stream no more bytes; with everything sent, nothing of the connection is in it then.

use super::head::HEAD_BYTES_MAX;
use crate::body::Body;
use crate::crowd::Held;
use crate::events::Upgrades;
use crate::patience::Patience;
use bytes::{Buf, Bytes};
use hyper::body::Incoming;
use hyper::rt::{Sleep, Timer};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{IoSlice, Result};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::sleep;

const HEADERS_MAX: usize = 64;

/// How long a client may hold up its answer: one that does not read must not keep its place.
pub(super) const SEND_MAX: Duration = Duration::from_secs(60);

/// What becomes of a connection behind an answer.
pub(super) enum After<S> {
    /// The client may ask again, and has sent these bytes already.
    Next(S, Bytes),
    /// It ends, when the client has had time to read its answer.
    Read(S),
    End,
}

/// What hyper is at.
#[derive(Debug, Default)]
struct Signals {
    has_asked: AtomicBool,
    /// It waits for a head.
    awaits: AtomicBool,
    /// It has written what may not be out yet.
    unsent: AtomicBool,
}

impl Signals {
    fn set(flag: &AtomicBool, to: bool) {
        flag.store(to, Ordering::Relaxed);
    }

    fn are(flag: &AtomicBool) -> bool {
        flag.load(Ordering::Relaxed)
    }
}

/// Answers one request, or as many as come without a pause. `come` are the bytes that have been read of the stream; what
/// goes on behind an answer (a WebSocket) belongs to it. Who has had its seat for `seat_max` gets no further answer.
pub(super) async fn exchange<S, A>(
    stream: S,
    come: Vec<u8>,
    answer: impl Fn(Request<Incoming>) -> A,
    held: &Held,
    seat_max: Duration,
    mut stop: watch::Receiver<bool>,
) -> After<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Future<Output = std::result::Result<Response<Body>, Infallible>>,
{
    let signals = Arc::new(Signals::default());
    let stream = Resumed { come: come.into(), stream, signals: signals.clone() };
    let upgrades = Upgrades::default();
    let answer = |mut request: Request<Incoming>| {
        Signals::set(&signals.has_asked, true);
        request.extensions_mut().insert(upgrades.clone());
        request.extensions_mut().insert(held.clone());
        answer(request)
    };
    let mut connection = http1::Builder::new()
        .timer(HeadTimer(signals.clone()))
        // Whatever it is: the timers do not end.
        .header_read_timeout(Duration::ZERO)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Patience::new(stream, SEND_MAX)), service_fn(answer))
        .with_upgrades();
    let mut stopping = pin!(stop.wait_for(|stop| *stop));
    let mut stops = false;
    let mut seat_time = pin!(sleep(seat_max));
    let mut is_last = false;
    // A connection that breaks is its client's affair: there is nothing to undo and nobody to tell.
    let is_over = poll_fn(|context| {
        if !stops && stopping.as_mut().poll(context).is_ready() {
            stops = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        // Whoever asks without a pause would keep it from others for ever.
        let is_long = seat_time.is_elapsed() || seat_time.as_mut().poll(context).is_ready();
        if is_long && !is_last && held.is_seat() {
            is_last = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        match Pin::new(&mut connection).poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if Signals::are(&signals.awaits) && !Signals::are(&signals.unsent) => {
                Poll::Ready(false)
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    let parts = connection.into_parts();
    if let Some(talk) = upgrades.take() {
        // It notices the end of the server by itself.
        talk.await;
    }
    let Some(parts) = parts else { return After::End };
    let stream = parts.io.into_inner().into_inner().stream;
    match is_over {
        false if Signals::are(&signals.has_asked) => After::Next(stream, parts.read_buf),
        true if !stops && !Signals::are(&signals.unsent) => After::Read(stream),
        _ => After::End,
    }
}

/// A stream of which some bytes have been read already.
struct Resumed<S> {
    come: Bytes,
    stream: S,
    signals: Arc<Signals>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Resumed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        if self.come.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let count = self.come.len().min(into.remaining());
        into.put_slice(&self.come[..count]);
        self.come.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Resumed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Signals::set(&self.signals.unsent, true);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Signals::set(&self.signals.unsent, true);
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Comes when all has been written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        if let Poll::Ready(Ok(())) = &polled {
            Signals::set(&self.signals.unsent, false);
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Makes the timers by which hyper tells that it waits for a head. They never end.
struct HeadTimer(Arc<Signals>);

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Awaited(self.0.clone()))
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Awaited(self.0.clone()))
    }
}

struct Awaited(Arc<Signals>);

impl Future for Awaited {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Signals::set(&self.0.awaits, true);
        Poll::Pending
    }
}

impl Sleep for Awaited {}

impl Drop for Awaited {
    fn drop(&mut self) {
        Signals::set(&self.0.awaits, false);
    }
}
