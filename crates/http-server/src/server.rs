//! The edge: listens, accepts and serves HTTP/1.1 on a thread of its own, within limits.

use crate::SavepointFolders;
use crate::answer::answer;
use crate::connection::{Meter, Waits, converse};
use crate::console::{Console, Given, Queries};
use crate::crowd::{Crowd, Place, Shares};
use crate::door::{Caller, Door};
use crate::events::{Events, Webhooks};
use crate::guard::Names;
use crate::router::Site;
use crate::scrape::{Counters, Sources};
use crate::telemetry::TelemetryTopics;
use crate::triggers::Triggers;
use broker::Broker;
use broker::server::{Tls, TlsError};
use os::Os;
use os::open_files::{self, Division};
use registry::SchemaRegistry;
use runtime::Runtime;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use views::Views;

/// Open connections, those that wait for a request included, if the limit of open files leaves so many.
const CONNECTIONS_MAX: usize = 20_000;

/// Of what that limit keeps for the log and the jobs, a quarter may be ours however many Kafka clients there are, but
/// no more than this.
const CONNECTIONS_ASSURED_MAX: usize = 512;

/// How long a client may take for the head of a request.
const HEAD_MAX: Duration = Duration::from_secs(30);

/// How long a connection without a request stays, where no broker has a setting for it.
const IDLE_MAX: Duration = Duration::from_secs(600);

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
    pub limits: Limits,
}

/// What clients may take of the server without asking for anything.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections; fewer if the limit of open files leaves fewer, when the server starts.
    pub connections: usize,
    /// How long the head of a request may take: the first one from the beginning of its connection. Requests that come
    /// without a pause are answered for as long.
    pub head: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { connections: CONNECTIONS_MAX, head: HEAD_MAX }
    }
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
            limits: Limits::default(),
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
    if let Some(broker) = &served.sources.broker {
        let crowd = Arc::downgrade(&served.crowd);
        broker.watch_connections(move || {
            if let Some(crowd) = crowd.upgrade() {
                crowd.shrink();
            }
        });
    }
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

pub(crate) struct Served {
    pub site: Arc<Site>,
    pub schemas: Option<Arc<SchemaRegistry>>,
    pub events: Option<Arc<Events>>,
    pub console: Option<Arc<Console>>,
    pub sources: Sources,
    pub names: Names,
    pub door: Option<Door>,
    tls: Option<Tls>,
    crowd: Arc<Crowd>,
    waits: Waits,
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
        let (served, caller) = (&self.0, Caller { host: Ipv4Addr::LOCALHOST.into(), certificate: None });
        let Some(place) = served.crowd.enter(caller.host) else { return };
        let answer = |request| answer(request, caller.clone(), served.clone());
        converse(place, stream, Meter::default(), served.waits, answer, stopped).await;
    }
}

/// How many connections there may be in any case, and at the moment: open files are shared with the Kafka port, which comes
/// first.
fn room(most: usize, broker: Option<Arc<Broker>>) -> (usize, impl Fn() -> usize + Send + Sync) {
    let Division { connections, reserved } = Division::of(open_files::limit());
    let assured = (reserved / 4).min(CONNECTIONS_ASSURED_MAX);
    let room = move || {
        let others = broker.as_ref().map_or(0, |broker| broker.connections());
        connections.saturating_sub(others).max(assured).min(most)
    };
    (assured.min(most), room)
}

async fn accept(listener: TcpListener, served: Arc<Served>, mut stop: watch::Receiver<bool>) {
    let crowd = served.crowd.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, from)) => {
                let Some(place) = crowd.enter(from.ip()) else { continue };
                tokio::spawn(serve(place, stream, from.ip(), served.clone(), stop.clone()));
            }
            Err(error) => {
                // Others have taken more descriptors than was reckoned with.
                if open_files::are_used_up(&error) {
                    crowd.push_out();
                }
                // A client may also have gone away at once: go on, but not in a spin.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    if let Some(events) = &served.events {
        events.stop();
    }
    crowd.end();
    // Connections that do not end in time are cut with the runtime.
    let _ = tokio::time::timeout(STOP_MAX, crowd.emptied()).await;
}

async fn serve(
    place: Place,
    stream: TcpStream,
    host: IpAddr,
    served: Arc<Served>,
    stop: watch::Receiver<bool>,
) {
    // Answers are small and must not wait for the client's acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    if served.tls.is_some() {
        // In a box, so that plain connections do not have room for it.
        return Box::pin(serve_tls(place, stream, host, served, stop)).await;
    }
    let caller = Caller { host, certificate: None };
    let answer = |request| answer(request, caller.clone(), served.clone());
    converse(place, stream, Meter::default(), served.waits, answer, stop).await;
}

async fn serve_tls(
    mut place: Place,
    stream: TcpStream,
    host: IpAddr,
    served: Arc<Served>,
    stop: watch::Receiver<bool>,
) {
    let Some(tls) = &served.tls else { return };
    let log = served.log.clone();
    let must_go = place.must_go();
    let handshake = async {
        // A client that says nothing needs no session.
        stream.peek(&mut [0]).await?;
        let (meter, stream) = Meter::below(stream);
        let mut accepting = pin!(tls.acceptor(&*log).accept(stream));
        let accepted = poll_fn(|context| {
            let polled = accepting.as_mut().poll(context);
            // Whether it must go is looked at beside this.
            let _ = place.begins(meter.memory());
            polled
        });
        accepted.await.map(|stream| (meter, stream))
    };
    let handshake = tokio::select! {
        () = must_go => return,
        handshake = tokio::time::timeout(TLS_HANDSHAKE_MAX, handshake) => handshake,
    };
    let (meter, stream) = match handshake {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(error)) => return served.tell(&format!("the TLS handshake failed: peer={host}: {error}")),
        Err(_) => return served.tell(&format!("the TLS handshake did not end: peer={host}")),
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = match certificate.map(|certificate| auth::names::subject_of(certificate)).transpose() {
        Ok(certificate) => certificate,
        Err(error) => return served.tell(&format!("{error}: peer={host}")),
    };
    let caller = Caller { host, certificate };
    let answer = |request| answer(request, caller.clone(), served.clone());
    converse(place, meter.above(stream), meter, served.waits, answer, stop).await;
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
        let (room_min, room) = room(config.limits.connections, config.broker.clone());
        let shares = Shares::of(room_min);
        let (webhooks, telemetry) = (config.webhooks, config.telemetry);
        let events = config.broker.clone().map(|broker| {
            let views = config.views.clone();
            Arc::new(Events::new(broker, os.clone(), webhooks, telemetry, views, shares.followers))
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
        let http = sources.http.clone();
        let idle = security.map_or(IDLE_MAX, |config| Duration::from_millis(config.connection_idle_ms_max));
        Ok(Served {
            names,
            tls,
            crowd: Crowd::new(http, shares, room),
            waits: Waits { head: config.limits.head, idle },
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
