//! Connections over streams in memory, by tokio's clock, which goes on when nothing else does.

use super::exchange::SEND_MAX;
use super::meter::Metered;
use super::*;
use crate::crowd::{Crowd, Shares};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{DuplexStream, ReadBuf};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Bytes that no buffer on the way takes as a whole.
const BODY_BYTES: usize = 1 << 20;

const WAITS: Waits = Waits { head: Duration::from_secs(30), idle: Duration::from_secs(600) };

const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

/// In which one network has one seat.
fn crowd() -> Arc<Crowd> {
    Crowd::new(Arc::default(), Shares::of(4), || 10)
}

/// What becomes of a connection whose requests are answered so.
fn begun<A>(answer: impl Fn(Request<Incoming>) -> A + Send + Sync + 'static) -> (DuplexStream, JoinHandle<()>)
where
    A: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let (client, server) = tokio::io::duplex(1024);
    (client, begun_in(&crowd(), server, Meter::default(), answer))
}

fn begun_in<S, A>(
    crowd: &Arc<Crowd>,
    server: S,
    meter: Meter,
    answer: impl Fn(Request<Incoming>) -> A + Send + Sync + 'static,
) -> JoinHandle<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let place = crowd.enter(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("there is room");
    tokio::spawn(async move {
        let (_stop, stopped) = watch::channel(false);
        converse(place, server, meter, WAITS, answer, stopped).await;
    })
}

fn whole(body: impl Into<Bytes>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(Full::new(body.into()).into()))
}

/// Answers with the path and the body of each request.
fn echoing() -> (DuplexStream, JoinHandle<()>) {
    begun(echo)
}

async fn echo(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    whole([path.as_bytes(), b" ", &body].concat())
}

/// The body of the next answer, whose head says how long it is.
async fn answered(client: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1).expect("a length").split("\r\n").next();
    let mut body = vec![0; length.and_then(|length| length.parse().ok()).expect("a number")];
    client.read_exact(&mut body).await.expect("a body");
    String::from_utf8(body).unwrap()
}

/// How long it takes until the connection is closed, if the client sends nothing more.
async fn closed_after(client: &mut DuplexStream) -> Duration {
    let begun = Instant::now();
    assert_eq!(client.read(&mut [0]).await.expect("it ends in good order"), 0);
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn requests_may_come_in_pieces_and_in_flocks() {
    let (mut client, _connection) = echoing();
    client.write_all(REQUEST).await.unwrap();
    assert_eq!(answered(&mut client).await, "/a ");
    for byte in b"\r\nPOST /bytes HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" {
        client.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(answered(&mut client).await, "/bytes body");
    // The body comes with the head, and with it all of a request and a part of the next one.
    client.write_all(b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none").await.unwrap();
    assert_eq!(answered(&mut client).await, "/b one");
    let flock =
        [REQUEST, b"POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntwo", REQUEST, b"GET /d HT"];
    client.write_all(&flock.concat()).await.unwrap();
    for expected in ["/a ", "/c two", "/a "] {
        assert_eq!(answered(&mut client).await, expected);
    }
    client.write_all(b"TP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(answered(&mut client).await, "/d ");
    // Longer than what is read at once, and a body that comes later.
    let long = format!("POST /e HTTP/1.1\r\nX: {}\r\nContent-Length: 5\r\n\r\n", "x".repeat(12_000));
    client.write_all(long.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    client.write_all(b"later").await.unwrap();
    assert_eq!(answered(&mut client).await, "/e later");
    client.write_all(b"GET /f HTTP/1.1\r\nConnection: close\r\n\r\n").await.unwrap();
    assert_eq!(answered(&mut client).await, "/f ");
    assert_eq!(closed_after(&mut client).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_head_must_come_in_time_and_an_idle_connection_may_stay_for_longer() {
    // Nothing, and a byte now and then.
    let (mut client, _connection) = echoing();
    assert_eq!(closed_after(&mut client).await, WAITS.head);
    let (mut client, connection) = echoing();
    let opened = Instant::now();
    while client.write_all(b"G").await.is_ok() {
        tokio::time::sleep(Duration::from_secs(7)).await;
    }
    assert!(opened.elapsed() < WAITS.head + Duration::from_secs(8), "{:?}", opened.elapsed());
    connection.await.expect("it has ended");

    // Behind an answer: nothing for long, and then a head that does not end.
    let (mut client, _connection) = echoing();
    for _ in 0..3 {
        client.write_all(REQUEST).await.unwrap();
        assert_eq!(answered(&mut client).await, "/a ");
        tokio::time::sleep(WAITS.idle - Duration::from_secs(1)).await;
    }
    client.write_all(b"GET ").await.unwrap();
    assert_eq!(closed_after(&mut client).await, WAITS.head);
    let (mut client, _connection) = echoing();
    client.write_all(REQUEST).await.unwrap();
    assert_eq!(answered(&mut client).await, "/a ");
    assert_eq!(closed_after(&mut client).await, WAITS.idle);
    // Empty lines are no head, and do not prolong the time.
    let (mut client, _connection) = echoing();
    client.write_all(b"\r\n\r\n\r\n").await.unwrap();
    assert_eq!(closed_after(&mut client).await, WAITS.head);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_a_head_is_answered_at_once() {
    for (sent, status) in [(&b"\x16\x03\x01\x02"[..], "400"), (b"GET / HTTP/1.1\r\n: x\r\n\r\n", "400")] {
        let (mut client, _connection) = echoing();
        client.write_all(sent).await.unwrap();
        let mut head = [0; 12];
        client.read_exact(&mut head).await.unwrap_or_else(|error| panic!("{sent:?}: {error}"));
        assert_eq!(&head[9..], status.as_bytes(), "{sent:?}");
    }
    let (mut client, _connection) = echoing();
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    assert!(closed_after(&mut client).await < WAITS.head);
    let (mut client, _connection) = echoing();
    client.write_all(&[b'x'; 16 << 10]).await.unwrap();
    let mut head = [0; 12];
    client.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 431");
}

/// Asks for a large answer, and takes a byte of it in each of these intervals. How long the server bears it.
async fn borne(takes_every: Duration) -> Duration {
    let (mut client, connection) = begun(|_| async { whole(vec![b'x'; BODY_BYTES]) });
    let begun = Instant::now();
    client.write_all(REQUEST).await.expect("the server reads");
    let read = async {
        loop {
            tokio::time::sleep(takes_every).await;
            if client.read_u8().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        _ = connection => begun.elapsed(),
        () = read => unreachable!("it reads for ever"),
        () = tokio::time::sleep(SEND_MAX * 100) => Duration::MAX,
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_take_its_answer_loses_its_place() {
    assert_eq!(borne(Duration::from_secs(86_400)).await, SEND_MAX);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_a_byte_now_and_then_loses_it_too() {
    let borne = borne(Duration::from_secs(7)).await;
    assert!(borne <= SEND_MAX, "{borne:?}");
}

/// The time is that of one answer: a connection may be used for as long as it likes.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_keeps_its_connection() {
    let (mut client, connection) = begun(|_| async { whole(vec![b'x'; BODY_BYTES]) });
    for _ in 0..5 {
        client.write_all(REQUEST).await.expect("the server reads");
        // The answer is held up for a while, and then taken.
        tokio::time::sleep(SEND_MAX / 3).await;
        assert_eq!(answered(&mut client).await.len(), BODY_BYTES);
    }
    assert!(!connection.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_seat_is_not_kept_by_asking_without_a_pause() {
    let (mut client, connection) = echoing();
    let head = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n";
    let begun = Instant::now();
    client.write_all(head).await.unwrap();
    for _ in 0..2 {
        tokio::time::sleep(WAITS.head - Duration::from_secs(1)).await;
        // The end of one, and with it the next, so that there is no pause.
        client.write_all(&[&b"x"[..], head].concat()).await.unwrap();
        assert_eq!(answered(&mut client).await, "/a x");
    }
    assert_eq!(closed_after(&mut client).await, Duration::ZERO);
    drop(client);
    connection.await.expect("it has ended");
    assert!(begun.elapsed() < 2 * WAITS.head);
}

#[tokio::test(start_paused = true)]
async fn who_follows_gives_its_seat_back() {
    let crowd = crowd();
    let followers = Arc::new(Semaphore::new(1));
    let begin = || {
        let (client, server) = tokio::io::duplex(1024);
        let followers = followers.clone();
        begun_in(&crowd, server, Meter::default(), move |request| {
            let held = request.extensions().get::<Held>().cloned().expect("it has a seat");
            let followers = followers.clone();
            async move {
                match request.uri().path() {
                    "/follow" => held.follows(followers.try_acquire_owned().expect("it is the only one")),
                    "/wait" => std::future::pending::<()>().await,
                    _ => {}
                }
                echo(request).await
            }
        });
        client
    };
    let (mut one, mut other) = (begin(), begin());
    let follow: &[u8] = b"GET /follow HTTP/1.1\r\nHost: a\r\n\r\n";
    // Behind its answer it has a seat again, if there is one, and its place among those who follow ends.
    for _ in 0..2 {
        one.write_all(&[follow, REQUEST].concat()).await.unwrap();
        assert_eq!((answered(&mut one).await, answered(&mut one).await), ("/follow ".into(), "/a ".into()));
        assert_eq!(followers.available_permits(), 1);
    }
    other.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    one.write_all(REQUEST).await.unwrap();
    assert!(answered(&mut one).await.contains("too many"));
    drop(other);
    // And while it follows, another may have the only one.
    let (mut one, mut other) = (begin(), begin());
    one.write_all(b"POST /follow HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    other.write_all(REQUEST).await.unwrap();
    assert_eq!(answered(&mut other).await, "/a ");
    // What it has sent behind that does not wait, for hyper has it.
    other.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    one.write_all(&[&b"x"[..], REQUEST].concat()).await.unwrap();
    assert_eq!(answered(&mut one).await, "/follow x");
    assert!(answered(&mut one).await.contains("too many"));
    assert_eq!(closed_after(&mut one).await, Duration::ZERO);
}

/// Gives out what is in records, each as a whole, as a session of TLS does.
struct Session {
    below: Metered<DuplexStream>,
    come: Vec<u8>,
}

impl AsyncRead for Session {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        loop {
            let length =
                self.come.get(3..5).map(|length| 5 + usize::from(length[0]) * 256 + usize::from(length[1]));
            if let Some(length) = length.filter(|length| self.come.len() >= *length) {
                into.put_slice(&self.come.drain(..length).collect::<Vec<_>>()[5..]);
                return Poll::Ready(Ok(()));
            }
            let mut bytes = [0; 4096];
            let mut bytes = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.below).poll_read(context, &mut bytes))?;
            if bytes.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.come.extend_from_slice(bytes.filled());
        }
    }
}

impl AsyncWrite for Session {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.below).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.below).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.below).poll_shutdown(context)
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_record_is_a_part_of_a_head() {
    let crowd = crowd();
    let begin = || {
        let (client, server) = tokio::io::duplex(64 << 10);
        let (meter, below) = Meter::below(server);
        let session = meter.above(Session { below, come: Vec::new() });
        begun_in(&crowd, session, meter, echo);
        client
    };
    let record = [&b"\x17\x03\x03\x00"[..], &[REQUEST.len() as u8], REQUEST].concat();
    let mut client = begin();
    for _ in 0..2 {
        client.write_all(&record).await.unwrap();
        assert_eq!(answered(&mut client).await, "/a ");
        tokio::time::sleep(WAITS.idle - Duration::from_secs(1)).await;
    }
    client.write_all(&record[..7]).await.unwrap();
    assert_eq!(closed_after(&mut client).await, WAITS.head);
    // With the end of the request before, it has come while hyper was there.
    let mut client = begin();
    client.write_all(&[&record[..], &record[..7]].concat()).await.unwrap();
    assert_eq!(answered(&mut client).await, "/a ");
    assert_eq!(closed_after(&mut client).await, WAITS.head);
    // Its memory is reckoned with, until all of it has come.
    let mut client = begin();
    client.write_all(&[&b"\x17\x03\x03\x20\x00"[..], &[0; 8_000]].concat()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!((16_000..24_000).contains(&crowd.part_bytes()), "{}", crowd.part_bytes());
    drop(client);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(crowd.part_bytes(), 0);
}
