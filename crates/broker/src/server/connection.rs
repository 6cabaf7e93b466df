//! One connection: requests are handled as they come, answers are sent in the order of the requests.
//!
//! Reading does not wait for answers, so that produce requests of one connection share syncs. What
//! waits (for the log, for data, for a group) waits in the queue of answers, whose length bounds
//! what a client can have under way.

use super::frames::{FrameError, Frames};
use super::lanes::{self, Lane};
use super::{Counted, Shared, Still};
use crate::budget::Room;
use crate::call::{Now, Outcome, Peer, Resume, Until, Wait, Woken};
use crate::tickets::Awaited;
use bytes::{Buf, Bytes};
use kafka_wire::ApiKey;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{SemaphorePermit, mpsc, oneshot, watch};

/// Requests of one connection that may be under way; Java's and librdkafka's producers use five.
const UNDER_WAY_MAX: usize = 64;
/// Answers are gathered up to so many bytes before they are sent.
const GATHERED_BYTES_MAX: usize = 64 << 10;
/// A request that has begun must go on within this time.
const STALL_MAX: Duration = Duration::from_secs(60);
/// A client that does not take its answer for so long is gone.
const SEND_MAX: Duration = Duration::from_secs(60);
/// Long answers have a second more for each of these.
const SENT_BYTES_MIN: usize = 32 << 10;
/// What was asked before the client (or the server) ended may still be answered for so long.
const DRAIN_MAX: Duration = Duration::from_secs(3);
/// A client that has not logged in after so long makes room for others.
const LOG_IN_MAX: Duration = Duration::from_secs(30);

/// Serves the connection to its end; the reason, unless the client ended it in good order.
pub(super) async fn serve(
    (mut read, mut write): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    peer: Peer,
    counted: &mut Counted,
    mut stop: watch::Receiver<bool>,
) -> Result<(), String> {
    let shared = counted.shared.clone();
    let number = counted.number;
    let (answers, queue) = mpsc::channel(UNDER_WAY_MAX);
    let config = shared.broker.config();
    let idle_max = Duration::from_millis(config.connection_idle_ms_max);
    let first_bytes_max = config.security.first_bytes_max.min(config.request_bytes_max);
    let mut frames = Frames::new(
        first_bytes_max,
        idle_max,
        STALL_MAX,
        shared.broker.buffers.clone(),
        shared.requests.clone(),
    );
    let reader = async {
        // Owned here, so that the queue ends with the reading.
        let answers = answers;
        let log_in_by = tokio::time::Instant::now() + LOG_IN_MAX;
        loop {
            let open = peer.session.is_open();
            if open {
                frames.allow(config.request_bytes_max);
                counted.logged_in();
            }
            let frame = tokio::select! {
                frame = frames.next(&mut read) => frame,
                () = tokio::time::sleep_until(log_in_by), if !counted.is_logged_in() => {
                    return Err(FrameError::NotLoggedIn(LOG_IN_MAX));
                }
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            };
            let Some(frame) = frame? else { return Ok(()) };
            tokio::select! {
                heard = unmuted(&peer, &shared, idle_max) => heard?,
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            }
            let mut asked = Asked::now(&frame, !open && peer.session.takes_bare_token(), &shared);
            let place = tokio::select! {
                place = enter(&shared, &asked) => place,
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            };
            let handle = || shared.broker.handle(frame, &peer, Now::of(&*shared.broker.os.clock));
            // Checking a password takes milliseconds, during which others go on.
            let outcome = if !open && peer.session.checks_password() {
                let place = tokio::select! {
                    place = shared.passwords.acquire() => place,
                    () = tokio::time::sleep_until(log_in_by), if !counted.is_logged_in() => {
                        return Err(FrameError::NotLoggedIn(LOG_IN_MAX));
                    }
                    _ = stop.wait_for(|stop| *stop) => return Ok(()),
                };
                let outcome = tokio::task::block_in_place(handle);
                drop(place);
                outcome
            } else {
                handle()
            };
            drop(place);
            // Before the connection's next request, which may need what this one creates.
            let outcome = match outcome {
                Outcome::Wait(Wait { until: Until::Append, resume, .. }) => {
                    let _place = tokio::select! {
                        place = shared.lanes.enter(Lane::Append) => place,
                        _ = stop.wait_for(|stop| *stop) => return Ok(()),
                    };
                    resume(&shared.broker, monotonic_ms(&shared), Woken::Ready)
                }
                other => other,
            };
            frames.handled();
            asked.room = counted_room(&outcome, &shared);
            if answers.send(Box::new((outcome, asked))).await.is_err() {
                return Ok(());
            }
        }
    };
    let _gone = Gone { shared: &shared, peer: peer.clone() };
    let writer = send_all(&mut write, queue, &shared, number);
    tokio::pin!(reader, writer);
    let ended: Result<(), FrameError> = tokio::select! {
        sent = &mut writer => return sent,
        ended = &mut reader => ended,
    };
    match ended {
        Ok(()) => match tokio::time::timeout(DRAIN_MAX, writer).await {
            Ok(sent) => sent,
            Err(_) => Ok(()),
        },
        Err(error) => Err(error.to_string()),
    }
}

/// A place for the request; one whose answer may be long waits for room first.
async fn enter<'a>(shared: &'a Shared, asked: &Asked) -> Option<SemaphorePermit<'a>> {
    if lanes::may_be_long(asked.api_key) && shared.broker.answers.is_full() {
        shared.others.until(|| !shared.broker.answers.is_full()).await;
    }
    shared.lanes.enter(asked.lane()).await
}

/// The room that an answer takes up which has been made.
fn counted_room(outcome: &Outcome, shared: &Shared) -> Option<Room> {
    let Outcome::Reply(frame) = outcome else { return None };
    Some(shared.broker.answers.count(frame.chunks.iter().map(Bytes::len).sum()))
}

/// Waits for as long as the client was told that it is not served; it holds one request meanwhile, and the socket
/// holds back what follows.
async fn unmuted(peer: &Peer, shared: &Shared, idle_max: Duration) -> Result<(), FrameError> {
    let idle_at = tokio::time::Instant::now() + idle_max;
    while let Some(left_ms) = peer.mute.left_ms(monotonic_ms(shared)) {
        let until = tokio::time::Instant::now() + Duration::from_millis(left_ms);
        if until > idle_at {
            tokio::time::sleep_until(idle_at).await;
            return Err(FrameError::Throttled(idle_max));
        }
        tokio::time::sleep_until(until).await;
    }
    Ok(())
}

/// Has the broker told that the connection has ended, however it did.
struct Gone<'a> {
    shared: &'a Arc<Shared>,
    peer: Peer,
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let farewell = Farewell { still: Still::new(self.shared), peer: self.peer.clone() };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        // What the connection leaves to others is written to the log, which may not have room for it now.
        runtime.spawn(async move {
            let shared = farewell.still.shared.clone();
            let _place = shared.lanes.enter(Lane::Farewell).await;
            drop(farewell);
        });
    }
}

/// Tells the broker when it is dropped, so also if nobody comes to it any more. The peer lives until then: its
/// connection's number belongs to nobody else before.
struct Farewell {
    still: Still,
    peer: Peer,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.still.shared.broker.disconnected(self.peer.connection());
    }
}

/// Which API a request asks, and when it came.
struct Asked {
    api_key: i16,
    begun_ns: u64,
    /// Of an answer that waits to be sent.
    room: Option<Room>,
}

impl Asked {
    /// `is_bare`: what comes is a token and no request, after SaslHandshake 0.
    fn now(frame: &[u8], is_bare: bool, shared: &Shared) -> Asked {
        let api_key = match frame {
            _ if is_bare => ApiKey::SaslAuthenticate as i16,
            [high, low, ..] => i16::from_be_bytes([*high, *low]),
            _ => -1,
        };
        Asked { api_key, begun_ns: shared.broker.os.clock.monotonic_ns(), room: None }
    }

    fn lane(&self) -> Lane {
        Lane::of(self.api_key)
    }
}

/// Boxed in the queue, which has room for half of the requests from the start: also of a connection that is idle.
type Answer = (Outcome, Asked);

/// Sends answer after answer; gathers those that are ready at once.
async fn send_all(
    write: &mut (impl AsyncWrite + Unpin),
    mut queue: mpsc::Receiver<Box<Answer>>,
    shared: &Shared,
    connection: u64,
) -> Result<(), String> {
    let mut gathered = Gathered::default();
    let answered = |asked: &mut Vec<Asked>| {
        if asked.is_empty() {
            return;
        }
        let now_ns = shared.broker.os.clock.monotonic_ns();
        for Asked { api_key, begun_ns, .. } in asked.drain(..) {
            shared.broker.counters.answered(api_key, connection, now_ns.saturating_sub(begun_ns));
        }
    };
    let mut under_way = Vec::new();
    while let Some(outcome) = queue.recv().await {
        let mut next = Some(*outcome);
        while let Some((outcome, asked)) = next {
            next = None;
            match outcome {
                Outcome::Reply(frame) => {
                    under_way.push(asked);
                    gathered.push(frame.chunks);
                }
                Outcome::Silent => under_way.push(asked),
                Outcome::Close(reason) => {
                    gathered.send(write).await?;
                    return Err(reason);
                }
                Outcome::Last(chunks, reason) => {
                    under_way.push(asked);
                    gathered.push(chunks);
                    gathered.send(write).await?;
                    answered(&mut under_way);
                    // Says that the end is meant (with TLS); the client may be gone already.
                    let _ = tokio::time::timeout(DRAIN_MAX, write.shutdown()).await;
                    return Err(reason);
                }
                Outcome::Wait(wait) => {
                    let (wait, woken) = match ready(wait, shared) {
                        Ok(ready) => ready,
                        Err(wait) => {
                            gathered.send(write).await?;
                            answered(&mut under_way);
                            wait_for(wait, shared).await
                        }
                    };
                    let _place = shared.lanes.enter(asked.lane()).await;
                    next = Some((wait(&shared.broker, monotonic_ms(shared), woken), asked));
                    continue;
                }
            }
            if gathered.bytes < GATHERED_BYTES_MAX {
                next = queue.try_recv().ok().map(|answer| *answer);
            }
        }
        gathered.send(write).await?;
        answered(&mut under_way);
    }
    Ok(())
}

fn monotonic_ms(shared: &Shared) -> i64 {
    Now::of(&*shared.broker.os.clock).monotonic_ms
}

/// How to go on with what need not wait any more.
fn ready(wait: Wait, shared: &Shared) -> Result<(Resume, Woken), Wait> {
    let go = |wait: Wait, woken| Ok((wait.resume, woken));
    match wait.until {
        Until::Turn | Until::Append => go(wait, Woken::Ready),
        Until::Durable(lsn) if shared.broker.log().durable() >= lsn => go(wait, Woken::Ready),
        Until::Shipped(lsn) if shared.broker.log().shipped() >= Some(lsn) => go(wait, Woken::Ready),
        Until::Answer(ref awaited) => match awaited.take() {
            Some(reply) => go(wait, Woken::Reply(reply)),
            None => Err(wait),
        },
        _ => Err(wait),
    }
}

async fn wait_for(wait: Wait, shared: &Shared) -> (Resume, Woken) {
    let Wait { until, deadline_ms, resume } = wait;
    let waiting = async {
        match until {
            Until::Turn | Until::Append => Woken::Ready,
            Until::Room(bytes) => {
                shared.records.until(|| shared.broker.answers.has_room(bytes)).await;
                Woken::Ready
            }
            Until::Deadline => std::future::pending().await,
            Until::Durable(lsn) => {
                shared.wakeups.durable(lsn).await;
                Woken::Ready
            }
            Until::Shipped(lsn) => {
                shared.wakeups.shipped(lsn).await;
                Woken::Ready
            }
            Until::Data { seen, partitions } => {
                shared.wakeups.data(seen, partitions).await;
                Woken::Ready
            }
            Until::Ready { seen, partitions, bell, rung } => {
                let (wake, woken) = oneshot::channel();
                let ring = move || {
                    // The other side may have given up.
                    let _ = wake.send(());
                };
                let _listener = bell.listen(rung, Box::new(ring));
                tokio::select! {
                    () = shared.wakeups.data(seen, partitions) => {}
                    _ = woken => {}
                }
                Woken::Ready
            }
            Until::Answer(awaited) => answer_of(awaited).await,
        }
    };
    let woken = match deadline_ms {
        None => waiting.await,
        Some(deadline_ms) => {
            let left = u64::try_from(deadline_ms - monotonic_ms(shared)).unwrap_or(0);
            let left = Duration::from_millis(left);
            tokio::time::timeout(left, waiting).await.unwrap_or(Woken::Deadline)
        }
    };
    (resume, woken)
}

/// The coordinator's answer.
async fn answer_of(awaited: Awaited) -> Woken {
    let (wake, woken) = oneshot::channel();
    awaited.watch(Box::new(move || {
        // The other side may have given up.
        let _ = wake.send(());
    }));
    let _ = woken.await;
    awaited.take().map_or(Woken::Ready, Woken::Reply)
}

/// Answers on their way into the socket.
#[derive(Default)]
struct Gathered {
    chunks: VecDeque<Bytes>,
    bytes: usize,
}

impl Gathered {
    fn push(&mut self, chunks: Vec<Bytes>) {
        self.bytes += chunks.iter().map(Bytes::len).sum::<usize>();
        self.chunks.extend(chunks);
    }

    /// The time runs on whatever the client takes: who takes a byte now and then must not keep memory from others.
    async fn send(&mut self, write: &mut (impl AsyncWrite + Unpin)) -> Result<(), String> {
        let time = SEND_MAX + Duration::from_secs((self.bytes / SENT_BYTES_MIN) as u64);
        match tokio::time::timeout(time, self.send_whole(write)).await {
            Err(_) => Err(format!("the client has not taken its answers in {time:?}")),
            Ok(sent) => sent,
        }
    }

    async fn send_whole(&mut self, write: &mut (impl AsyncWrite + Unpin)) -> Result<(), String> {
        while !self.chunks.is_empty() {
            let mut slices = [IoSlice::new(&[]); 16];
            let mut count = 0;
            for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
                *slice = IoSlice::new(chunk);
                count += 1;
            }
            match write.write_vectored(&slices[..count]).await {
                Err(error) => return Err(format!("cannot send: {error}")),
                Ok(0) => return Err("cannot send: the socket takes nothing".into()),
                Ok(sent) => self.advance(sent),
            }
        }
        self.bytes = 0;
        // TLS may have kept what the socket did not take.
        write.flush().await.map_err(|error| format!("cannot send: {error}"))
    }

    fn advance(&mut self, mut sent: usize) {
        while let Some(first) = self.chunks.front_mut() {
            if sent < first.len() {
                first.advance(sent);
                return;
            }
            sent -= first.len();
            self.chunks.pop_front();
        }
    }
}
