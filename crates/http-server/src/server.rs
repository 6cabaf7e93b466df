//! The edge: listens, accepts and serves HTTP/1.1 on a thread of its own, within limits.
//!
//! Requests to the schema registry, and events, may wait for a sync of the log, so they are answered on threads beside it.

use crate::SavepointFolders;
use crate::body::Body;
use crate::console::{self, Console, Given, Meant, Queries};
use crate::door::{Asked, Caller, Door};
use crate::events::{self, Events, Rights, Upgrades, Webhooks};
use crate::guard::{self, Names};
use crate::patience::Patience;
use crate::reply::Reply;
use crate::router::Site;
use crate::schemas;
use crate::scrape::{self, Counters, Sources};
use crate::telemetry::{self, TelemetryTopics};
use crate::triggers::Triggers;
use broker::Broker;
use broker::security::{Visitor, network_of};
use broker::server::{Tls, TlsError};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::WWW_AUTHENTICATE;
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use os::Os;
use registry::SchemaRegistry;
use runtime::Runtime;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use views::Views;

/// Connections that are served at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 512;

/// Connections of one network; further ones are closed, so that one client cannot keep all others out.
const CONNECTIONS_OF_NETWORK_MAX: usize = 128;

/// Bytes of a request's first line and headers.
const HEAD_BYTES_MAX: usize = 16 << 10;

const HEADERS_MAX: usize = 64;

/// Bytes of a request's body.
const BODY_BYTES_MAX: usize = 64 << 10;

/// How long a client may take for its headers, idle connections included, and for a body.
const READ_MAX: Duration = Duration::from_secs(30);

/// How long a client may hold up its answer: one that does not read must not keep its place.
const SEND_MAX: Duration = Duration::from_secs(60);

/// What a client still sends after its answer is read for so long and so far: closing a socket with unread
/// bytes resets the connection, which takes the answer away from the client.
const LINGER_MAX: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: u64 = 1 << 20;

/// A TLS handshake that takes longer is given up.
const TLS_HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long answers under way may take when the server stops.
const STOP_MAX: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct ServerConfig {
    /// Port 0 picks a free one.
    pub listen: SocketAddr,
    /// Allows an address that other machines can reach, without authentication and TLS.
    pub insecure: bool,
    /// HTTPS, with the certificate of the Kafka port's settings.
    pub tls: bool,
    /// Whose users and rules hold; without one everybody may do everything.
    pub broker: Option<Arc<Broker>>,
    /// Takes a line about each log-in that failed, so many in a second.
    pub log: Arc<dyn Fn(&str) + Send + Sync>,
    /// Where savepoints may go.
    pub savepoints: SavepointFolders,
    /// The version that the answers name.
    pub version: String,
    /// Topics that webhooks write.
    pub webhooks: Webhooks,
    /// Topics of what observability sends.
    pub telemetry: TelemetryTopics,
    /// Answers the paths of a schema registry; none serves none.
    pub schemas: Option<Arc<SchemaRegistry>>,
    /// The materialized tables that the console shows.
    pub views: Option<Views>,
    /// Answers the console's questions in SQL; none answers none.
    pub queries: Option<Arc<dyn Queries>>,
    /// Writes what the node's other ports measure onto the page of metrics.
    pub also_measured: Arc<dyn Fn(&mut metrics::Page) + Send + Sync>,
}

impl ServerConfig {
    /// On the given address, with no place for savepoints.
    pub fn new(listen: SocketAddr) -> ServerConfig {
        let version = env!("CARGO_PKG_VERSION").to_string();
        ServerConfig {
            listen,
            insecure: false,
            tls: false,
            broker: None,
            log: Arc::new(|_| {}),
            savepoints: SavepointFolders::new("/nowhere".into(), Vec::new()),
            version,
            webhooks: Webhooks::default(),
            telemetry: TelemetryTopics::default(),
            schemas: None,
            views: None,
            queries: None,
            also_measured: Arc::new(|_| {}),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error(
        "the HTTP address {address} can be reached from other machines, and {missing}; listen on 127.0.0.1, or have \
         clients log in over TLS: --http https://ADDR with users, where security.protocol asks for a log-in \
         (docs/guide/security.md); pass --insecure-http only if the network is trusted"
    )]
    NotLoopback { address: SocketAddr, missing: &'static str },
    #[error("{0} (HTTPS wants ssl.certificate.location and ssl.key.location)")]
    Tls(#[from] TlsError),
    #[error("cannot listen on {address}: {reason}; choose another port, or stop the process that has it")]
    Listen {
        address: SocketAddr,
        reason: String,
        /// Somebody else listens there.
        in_use: bool,
    },
    #[error("cannot start the HTTP server's thread: {0}")]
    Thread(String),
}

/// A running server; dropping it stops it.
pub struct ServerHandle {
    local_addr: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// Binds and begins to serve; returns when connections are accepted.
pub fn start(config: ServerConfig, runtime: Arc<Runtime>, os: Os) -> Result<ServerHandle, HttpError> {
    let address = config.listen;
    let authenticates = config.broker.as_ref().is_some_and(|broker| broker.config().security.authenticates());
    let missing = match (config.tls, authenticates) {
        (true, true) => None,
        (true, false) => Some("clients do not say who they are"),
        (false, true) => Some("there is no TLS"),
        (false, false) => Some("there is neither TLS nor log-in"),
    };
    match missing {
        Some(missing) if !address.ip().is_loopback() && !config.insecure => {
            return Err(HttpError::NotLoopback { address, missing });
        }
        _ => {}
    }
    let served = Arc::new(Served::new(config, runtime, os)?);
    let failed = |error: std::io::Error| HttpError::Listen {
        address,
        reason: error.to_string(),
        in_use: error.kind() == std::io::ErrorKind::AddrInUse,
    };
    let listener = StdListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let local_addr = listener.local_addr().map_err(failed)?;
    let thread_failed = |error: std::io::Error| HttpError::Thread(error.to_string());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(thread_failed)?;
    let listener = {
        let _in_runtime = runtime.enter();
        TcpListener::from_std(listener).map_err(failed)?
    };
    let (stop, stopped) = watch::channel(false);
    let thread = std::thread::Builder::new()
        .name("http".into())
        .spawn(move || runtime.block_on(accept(listener, served, stopped)))
        .map_err(thread_failed)?;
    Ok(ServerHandle { local_addr, stop, thread: Some(thread) })
}

impl ServerHandle {
    /// The address with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops accepting, lets answers under way go out, and ends.
    pub fn shutdown(mut self) {
        self.stop_now();
    }

    fn stop_now(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed and harms nobody else.
            let _ = thread.join();
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.stop_now();
    }
}

struct Served {
    site: Arc<Site>,
    schemas: Option<Arc<SchemaRegistry>>,
    events: Option<Arc<Events>>,
    console: Option<Arc<Console>>,
    sources: Sources,
    names: Names,
    tls: Option<Tls>,
    door: Option<Door>,
    log: Arc<dyn Fn(&str) + Send + Sync>,
}

/// What a server answers, without its socket: streams of bytes are handed to it.
pub struct Front(Arc<Served>);

impl Front {
    pub fn new(config: ServerConfig, runtime: Arc<Runtime>, os: Os) -> Result<Front, HttpError> {
        Ok(Front(Arc::new(Served::new(config, runtime, os)?)))
    }

    /// Answers the requests of a client of this machine until the stream ends. Needs a tokio runtime with time.
    pub async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (_stop, stopped) = watch::channel(false);
        let caller = Caller { host: std::net::Ipv4Addr::LOCALHOST.into(), certificate: None };
        exchange(stream, |request| answer(request, caller.clone(), self.0.clone()), stopped).await;
    }
}

/// Open connections, by network.
type Networks = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Counts a connection for as long as it lives, also if its task panics.
struct Counted {
    networks: Networks,
    network: IpAddr,
}

impl Counted {
    /// `None` if its network has too many.
    fn new(networks: &Networks, from: IpAddr) -> Option<Counted> {
        let network = network_of(from);
        let mut counts = networks.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(network).or_default();
        if *count >= CONNECTIONS_OF_NETWORK_MAX {
            return None;
        }
        *count += 1;
        Some(Counted { networks: networks.clone(), network })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

/// A connection that is open, for those who count.
struct Open(Arc<Counters>);

impl Open {
    fn new(counters: &Arc<Counters>) -> Open {
        counters.opened();
        Open(counters.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed();
    }
}

async fn accept(listener: TcpListener, served: Arc<Served>, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let networks = Networks::default();
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        // The semaphore is never closed.
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, from)) => {
                let Some(counted) = Counted::new(&networks, from.ip()) else {
                    served.sources.http.refused();
                    continue;
                };
                let (served, stop) = (served.clone(), stop.clone());
                let open = Open::new(&served.sources.http);
                tokio::spawn(async move {
                    serve(stream, from.ip(), served, stop).await;
                    drop((place, counted, open));
                });
            }
            // Out of descriptors, or a client that went away at once: go on, but not in a spin.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    if let Some(events) = &served.events {
        events.stop();
    }
    let all = places.acquire_many(CONNECTIONS_MAX as u32);
    // Connections that do not end in time are cut with the runtime.
    let _ = tokio::time::timeout(STOP_MAX, all).await;
}

async fn serve(stream: TcpStream, host: IpAddr, served: Arc<Served>, stop: watch::Receiver<bool>) {
    // Answers are small and must not wait for the client's acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let Some(tls) = &served.tls else {
        let Ok((stream, twin)) = twins(stream) else { return };
        let caller = Caller { host, certificate: None };
        if exchange(stream, |request| answer(request, caller.clone(), served.clone()), stop).await {
            linger(twin).await;
        }
        return;
    };
    let log = served.log.clone();
    let handshake = tokio::time::timeout(TLS_HANDSHAKE_MAX, tls.acceptor(&*log).accept(stream)).await;
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return served.tell(&format!("the TLS handshake failed: peer={host}: {error}")),
        Err(_) => return served.tell(&format!("the TLS handshake did not end: peer={host}")),
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = match certificate.map(|certificate| auth::names::subject_of(certificate)).transpose() {
        Ok(certificate) => certificate,
        Err(error) => return served.tell(&format!("{error}: peer={host}")),
    };
    let caller = Caller { host, certificate };
    exchange(stream, |request| answer(request, caller.clone(), served.clone()), stop).await;
}

impl Served {
    fn new(config: ServerConfig, runtime: Arc<Runtime>, os: Os) -> Result<Served, TlsError> {
        let tls = match &config.broker {
            Some(broker) if config.tls => Some(Tls::for_http(&broker.config().security)?),
            _ => None,
        };
        let log = config.log;
        let sources = Sources {
            os: os.clone(),
            version: config.version.clone(),
            broker: config.broker.clone(),
            runtime: runtime.clone(),
            http: Arc::new(Counters::default()),
            also_measured: config.also_measured,
        };
        let (webhooks, telemetry) = (config.webhooks, config.telemetry);
        let events = config.broker.clone().map(|broker| {
            Arc::new(Events::new(broker, os.clone(), webhooks, telemetry, config.views.clone()))
        });
        let console = config.broker.clone().zip(events.clone()).map(|(broker, events)| {
            let given =
                Given { schemas: config.schemas.clone(), views: config.views, queries: config.queries };
            Arc::new(Console::new(broker, os.clone(), events, given, tls.is_some()))
        });
        let security = config.broker.as_ref().map(|broker| broker.config());
        let authenticates = security.is_some_and(|config| config.security.authenticates());
        let names = match tls.is_some() || (authenticates && !config.listen.ip().is_loopback()) {
            true => Names::Any,
            false => Names::Own(security.and_then(|config| Some(config.advertised.as_ref()?.host.clone()))),
        };
        Ok(Served {
            names,
            tls,
            events,
            console,
            door: config.broker.map(|broker| Door::new(broker, log.clone())),
            log,
            schemas: config.schemas,
            sources,
            site: Arc::new(Site {
                runtime,
                os,
                version: config.version,
                savepoints: config.savepoints,
                triggers: Triggers::default(),
            }),
        })
    }

    fn tell(&self, line: &str) {
        if let Some(door) = &self.door {
            door.tell(line);
        }
    }
}

/// Requests and answers, until one side ends it, and what goes on behind them; whether the client ended it.
async fn exchange<A: Future<Output = Result<Response<Body>, Infallible>>>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    answer: impl Fn(Request<Incoming>) -> A,
    mut stop: watch::Receiver<bool>,
) -> bool {
    let stream = Patience::new(stream, SEND_MAX);
    let (sender, mut talks) = mpsc::channel(1);
    let answer = |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Upgrades(sender.clone()));
        answer(request)
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    // A connection that breaks is its client's affair: there is nothing to undo and nobody to tell.
    let ended = tokio::select! {
        _ = connection.as_mut() => true,
        _ = stop.wait_for(|stop| *stop) => false,
    };
    if !ended {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
    // It notices the end of the server by itself.
    if let Ok(talk) = talks.try_recv() {
        talk.await;
    }
    ended
}

/// The stream, and the same socket once more, which outlives it.
fn twins(stream: TcpStream) -> std::io::Result<(TcpStream, TcpStream)> {
    let stream = stream.into_std()?;
    let twin = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, TcpStream::from_std(twin)?))
}

/// Lets the client read its answer before the socket is closed.
async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        let mut rest = stream.take(LINGER_BYTES_MAX);
        let _ = tokio::time::timeout(LINGER_MAX, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }
}

async fn answer(
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    /// Bytes that no buffer on the way takes as a whole.
    const BODY_BYTES: usize = 1 << 20;

    /// Asks for a large answer, and takes a byte of it in each of these intervals. How long the server bears it.
    async fn borne(takes_every: Duration) -> Duration {
        let (mut client, server) = tokio::io::duplex(1024);
        let (_stop, stopped) = watch::channel(false);
        let answer = |_| async { Ok(Response::new(Full::new(Bytes::from(vec![b'x'; BODY_BYTES])).into())) };
        let begun = Instant::now();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("the server reads");
        let read = async {
            loop {
                tokio::time::sleep(takes_every).await;
                if client.read_u8().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            _ = exchange(server, answer, stopped) => begun.elapsed(),
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
        let (mut client, server) = tokio::io::duplex(1024);
        let (_stop, stopped) = watch::channel(false);
        let answer = |_| async { Ok(Response::new(Full::new(Bytes::from(vec![b'x'; BODY_BYTES])).into())) };
        let asks = async {
            for _ in 0..5 {
                client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("the server reads");
                // The answer is held up for a while, and then taken.
                tokio::time::sleep(SEND_MAX / 2).await;
                let mut taken = 0;
                let mut buffer = vec![0; 64 << 10];
                while taken < BODY_BYTES {
                    let count = client.read(&mut buffer).await.expect("the answer comes");
                    assert!(count > 0, "the connection was closed");
                    taken += count;
                    if buffer[..count].ends_with(b"x") && taken >= BODY_BYTES {
                        break;
                    }
                }
                // What is left of the answer: its head counted as part of the body.
                while tokio::time::timeout(Duration::from_secs(1), client.read(&mut buffer)).await.is_ok() {}
            }
        };
        tokio::select! {
            _ = exchange(server, answer, stopped) => panic!("the server has ended the connection"),
            () = asks => {}
        }
    }
}
