//! The edge: listens, accepts, speaks TLS, and serves each connection on a runtime of its own, within limits.

use crate::ask::Asker;
use crate::engine::Engine;
use crate::error::{Code, PgError};
use crate::metrics::Counters;
use crate::session::{self, Gone, Sessions};
use crate::tables::view::of_view;
use crate::tables::{NodePlaces, Relations, THREADS_MAX};
use crate::wire::{Answer, FIRST_BYTES_MAX, Startup, WireError, first_packet};
use auth::Mechanism;
use base::Lsn;
use broker::Broker;
use broker::security::network_of;
use broker::server::{Lines, Tls, TlsError};
use bytes::BytesMut;
use os::Os;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use views::{ViewError, Views};

/// Connections of one network; further ones are refused, so that one client cannot keep all others out.
const CONNECTIONS_OF_NETWORK_MAX: usize = 128;
/// The first packets of a connection, TLS included, must have come by then.
const FIRST_MAX: Duration = Duration::from_secs(15);
/// How often a wait for a view asks whether its job still runs.
const JOBS_LOOKED_AT_EVERY: Duration = Duration::from_millis(50);
/// How long statements under way may take when the server stops.
const STOP_MAX: Duration = Duration::from_secs(2);
/// What plans and runs a query goes down as deep as its expressions nest.
const STACK_BYTES: usize = 64 << 20;

#[derive(Clone)]
pub struct ServerConfig {
    /// Port 0 picks a free one.
    pub listen: SocketAddr,
    /// Allows an address that other machines can reach without log-in and TLS.
    pub insecure: bool,
    /// What all queries may have together.
    pub memory_bytes: usize,
    pub connections_max: usize,
    /// Takes a line about what went wrong, so many in a second.
    pub log: Arc<dyn Fn(&str) + Send + Sync>,
    /// The version that the answers name.
    pub version: String,
    pub views: Option<Views>,
}

impl ServerConfig {
    pub fn new(listen: SocketAddr) -> ServerConfig {
        ServerConfig {
            listen,
            insecure: false,
            memory_bytes: 256 << 20,
            connections_max: 256,
            log: Arc::new(|_| {}),
            version: env!("CARGO_PKG_VERSION").to_string(),
            views: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PgServerError {
    #[error(
        "the PostgreSQL address {address} can be reached from other machines, and {missing}; listen on 127.0.0.1, or \
         have clients log in over TLS: --set security.protocol=SASL_SSL --set ssl.certificate.location=CERT.pem --set \
         ssl.key.location=KEY.pem, with a user from `eventwright user add` (docs/guide/security.md); pass --insecure-pg \
         only if the network is trusted"
    )]
    NotLoopback { address: SocketAddr, missing: &'static str },
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error(
        "cannot listen on {address}: {reason}; choose another port with --pg, or stop the process that has it"
    )]
    Listen {
        address: SocketAddr,
        reason: String,
        /// Somebody else listens there.
        in_use: bool,
    },
    #[error("cannot start the PostgreSQL server: {0}")]
    Start(String),
}

/// What all connections share.
pub(crate) struct Node {
    pub engine: Engine,
    pub places: NodePlaces,
    pub broker: Arc<Broker>,
    pub sessions: Sessions,
    pub counters: Arc<Counters>,
    pub version: String,
    os: Os,
    /// What is on the disk, or that nothing will come to it any more.
    durable: watch::Receiver<Reached>,
    log: Arc<dyn Fn(&str) + Send + Sync>,
    lines: Lines,
}

#[derive(Debug, Clone, Copy, Default)]
struct Reached {
    lsn: Lsn,
    is_fenced: bool,
}

/// On the other end of a connection.
pub(crate) struct Peer {
    pub host: IpAddr,
    /// The subject of its certificate, which was checked.
    pub certificate: Option<String>,
    pub startup: Startup,
    pub gone: Gone,
}

impl Node {
    fn new(
        config: &ServerConfig,
        broker: Arc<Broker>,
        os: Os,
        counters: Arc<Counters>,
    ) -> Result<Node, PgServerError> {
        let relations = Relations { log: broker.log().clone(), views: config.views.clone() };
        let engine = Engine::new(relations, config.memory_bytes);
        let engine = engine.map_err(|error| PgServerError::Start(error.message))?;
        let (sender, durable) = watch::channel(Reached::default());
        let sender = Arc::new(sender);
        let of_syncs = sender.clone();
        broker.log().subscribe(Arc::new(move |durable| {
            of_syncs.send_modify(|reached| {
                reached.lsn = reached.lsn.max(durable.lsn);
                reached.is_fenced |= durable.fenced;
            });
        }));
        let (lsn, is_fenced) = (broker.log().durable(), broker.log().fenced().is_some());
        sender.send_modify(|reached| {
            reached.lsn = reached.lsn.max(lsn);
            reached.is_fenced |= is_fenced;
        });
        Ok(Node {
            engine,
            places: NodePlaces::new(),
            broker,
            sessions: Sessions::default(),
            counters,
            version: config.version.clone(),
            os,
            durable,
            log: config.log.clone(),
            lines: Lines::default(),
        })
    }

    pub(crate) fn tell(&self, line: &str) {
        if let Some(line) = self.lines.pass(line, self.broker.monotonic_ms()) {
            (self.log)(&line);
        }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.os.clock.monotonic_ns()
    }

    /// A number that nobody guesses.
    pub(crate) fn secret(&self) -> u32 {
        let mut bytes = [0; 4];
        self.os.random.fill(&mut bytes);
        u32::from_be_bytes(bytes)
    }

    /// Whether a client that names this user has to prove it.
    pub(crate) fn must_log_in(&self, user: &str) -> bool {
        let has_password = || {
            let rules = self.broker.rules();
            rules.credentials(user).iter().any(|credential| credential.mechanism == Mechanism::Sha256)
        };
        self.broker.config().security.authenticates() || has_password()
    }

    /// Waits until everything up to a place of the log can be read, in these views too; false if the time was over
    /// before. Views whose jobs do not go on are an error if they are `needed`, and are left out otherwise.
    pub(crate) async fn has_come_to(
        &self,
        lsn: Lsn,
        timeout_ms: Option<u64>,
        views: &[String],
        needed: bool,
    ) -> Result<bool, PgError> {
        let come = async {
            let mut durable = self.durable.clone();
            match durable.wait_for(|reached| reached.lsn >= lsn || reached.is_fenced).await {
                Ok(reached) if reached.lsn >= lsn => {}
                _ => {
                    let words = "the log has stopped: nothing further becomes durable";
                    return Err(PgError::new(Code::IO_ERROR, words));
                }
            }
            for view in views {
                self.view_has_come_to(lsn, view, needed).await?;
            }
            Ok(true)
        };
        match timeout_ms {
            None => come.await,
            Some(ms) => tokio::time::timeout(Duration::from_millis(ms), come).await.unwrap_or(Ok(false)),
        }
    }

    async fn view_has_come_to(&self, lsn: Lsn, view: &str, needed: bool) -> Result<(), PgError> {
        let Some(views) = &self.engine.relations().views else { return Ok(()) };
        let mut published = self.engine.published();
        let failed = |error: ViewError| match error {
            ViewError::Stands { .. } | ViewError::Broken { .. } | ViewError::Unknown { .. } if !needed => {
                Ok(())
            }
            error => Err(of_view(&error)),
        };
        let mut wait = match views.wait(lsn, &[view]) {
            Ok(wait) => wait,
            Err(error) => return failed(error),
        };
        loop {
            published.borrow_and_update();
            match wait.look() {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => {}
                Err(error) => return failed(error),
            }
            // A job may come further, or stop, without a new snapshot.
            let _ = tokio::time::timeout(JOBS_LOOKED_AT_EVERY, published.changed()).await;
        }
    }
}

/// A running server; dropping it stops it.
pub struct ServerHandle {
    local_addr: SocketAddr,
    asker: Asker,
    stop: watch::Sender<bool>,
    runtime: Option<tokio::runtime::Runtime>,
    accepting: Option<tokio::task::JoinHandle<()>>,
}

/// Binds and begins to serve; returns when connections are accepted.
pub fn start(
    config: ServerConfig,
    broker: Arc<Broker>,
    os: Os,
    counters: Arc<Counters>,
) -> Result<ServerHandle, PgServerError> {
    let address = config.listen;
    let security = &broker.config().security;
    let has_tls = !security.certificate.as_os_str().is_empty();
    let missing = match (has_tls, security.authenticates()) {
        (true, true) => None,
        (true, false) => Some("clients do not say who they are"),
        (false, true) => Some("there is no TLS"),
        (false, false) => Some("there is neither TLS nor log-in"),
    };
    if let Some(missing) = missing.filter(|_| !address.ip().is_loopback() && !config.insecure) {
        return Err(PgServerError::NotLoopback { address, missing });
    }
    let tls = if has_tls { Some(Tls::for_http(security)?) } else { None };
    let failed = |error: std::io::Error| PgServerError::Listen {
        address,
        reason: error.to_string(),
        in_use: error.kind() == std::io::ErrorKind::AddrInUse,
    };
    let listener = StdListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let local_addr = listener.local_addr().map_err(failed)?;
    let node = Arc::new(Node::new(&config, broker, os, counters)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8)))
        .thread_name("pg")
        .thread_stack_size(STACK_BYTES)
        .max_blocking_threads(THREADS_MAX)
        .enable_all()
        .build()
        .map_err(|error| PgServerError::Start(error.to_string()))?;
    let listener = {
        let _in_runtime = runtime.enter();
        TcpListener::from_std(listener).map_err(failed)?
    };
    let (stop, stopped) = watch::channel(false);
    let asker = Asker::new(node.clone(), runtime.handle().clone());
    let door = Door { node, tls, insecure: config.insecure, connections_max: config.connections_max };
    let accepting = runtime.spawn(accept(listener, Arc::new(door), stopped));
    Ok(ServerHandle { local_addr, asker, stop, runtime: Some(runtime), accepting: Some(accepting) })
}

impl ServerHandle {
    /// The address with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Asks the same without a connection, until the server is shut down.
    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// Stops accepting, lets statements under way end for a moment, and ends.
    pub fn shutdown(mut self) {
        self.stop_now();
    }

    fn stop_now(&mut self) {
        let _ = self.stop.send(true);
        let Some(runtime) = self.runtime.take() else { return };
        if let Some(accepting) = self.accepting.take() {
            // A panic of the task has been printed and harms nobody else.
            let _ = runtime.block_on(accepting);
        }
        runtime.shutdown_timeout(STOP_MAX);
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.stop_now();
    }
}

/// What a connection passes before it is a session.
struct Door {
    node: Arc<Node>,
    tls: Option<Tls>,
    insecure: bool,
    connections_max: usize,
}

/// Open connections, by network.
type Networks = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Counts a connection for as long as it lives, also if its task panics.
struct Counted {
    networks: Networks,
    network: IpAddr,
    counters: Arc<Counters>,
}

impl Counted {
    /// `None` if its network has too many.
    fn new(networks: &Networks, from: IpAddr, counters: &Arc<Counters>) -> Option<Counted> {
        let network = network_of(from);
        let mut counts = networks.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(network).or_default();
        if *count >= CONNECTIONS_OF_NETWORK_MAX {
            return None;
        }
        *count += 1;
        counters.opened();
        Some(Counted { networks: networks.clone(), network, counters: counters.clone() })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counters.closed();
        let mut counts = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

async fn accept(listener: TcpListener, door: Arc<Door>, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(door.connections_max));
    let networks = Networks::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Ok((stream, from)) = accepted else {
            // Out of descriptors, or a client that went away at once: go on, but not in a spin.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let counted = Counted::new(&networks, from.ip(), &door.node.counters);
        let place = places.clone().try_acquire_owned();
        let (Some(counted), Ok(place)) = (counted, place) else {
            door.node.counters.refused();
            tokio::spawn(refuse(stream));
            continue;
        };
        let (door, stop) = (door.clone(), stop.clone());
        tokio::spawn(async move {
            door.serve(stream, from.ip(), stop).await;
            drop((place, counted));
        });
    }
    let all = places.acquire_many(u32::try_from(door.connections_max).unwrap_or(u32::MAX));
    let _ = tokio::time::timeout(STOP_MAX, all).await;
}

/// Tells a client that there are too many.
async fn refuse(mut stream: TcpStream) {
    let error = PgError::new(Code::TOO_MANY_CONNECTIONS, "sorry, too many clients already");
    let mut out = BytesMut::new();
    Answer(&mut out).error(&error.hint("close connections that are not needed, or use a pool").fatal());
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&out)).await;
}

impl Door {
    async fn serve(&self, mut stream: TcpStream, host: IpAddr, stop: watch::Receiver<bool>) {
        // Answers are small and must not wait for the client's acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let gone = Gone::of(&stream);
        let mut read = BytesMut::new();
        let first = tokio::time::timeout(FIRST_MAX, self.plain_start(&mut stream, &mut read)).await;
        match first {
            Err(_) => {}
            Ok(Err(error)) => self.refuse_first(&mut stream, host, &error).await,
            Ok(Ok(None)) => {}
            Ok(Ok(Some(Startup::Ssl))) => self.serve_tls(stream, host, gone, stop).await,
            Ok(Ok(Some(startup))) => {
                let is_private = host.to_canonical().is_loopback() || self.insecure;
                if !is_private && !matches!(startup, Startup::Cancel { .. }) {
                    let error = PgError::new(
                        Code::INVALID_AUTHORIZATION,
                        "connections from other machines must use TLS",
                    );
                    let mut out = BytesMut::new();
                    Answer(&mut out).error(&error.hint("set sslmode=require, better verify-full").fatal());
                    let _ = stream.write_all(&out).await;
                    return;
                }
                self.begin(stream, read, Peer { host, certificate: None, startup, gone }, stop).await;
            }
        }
    }

    /// Up to the first packet that begins a session, or TLS, whose offer is answered.
    async fn plain_start(
        &self,
        stream: &mut TcpStream,
        read: &mut BytesMut,
    ) -> std::io::Result<Option<Startup>> {
        loop {
            match next_packet(stream, read).await? {
                Some(Startup::GssEncryption) => stream.write_all(b"N").await?,
                Some(Startup::Ssl) if self.tls.is_some() => {
                    // What came before the handshake could be from somebody in between.
                    if !read.is_empty() {
                        return Err(protocol(WireError("data came before the TLS handshake".into())));
                    }
                    stream.write_all(b"S").await?;
                    return Ok(Some(Startup::Ssl));
                }
                Some(Startup::Ssl) => stream.write_all(b"N").await?,
                first => return Ok(first),
            }
        }
    }

    async fn serve_tls(&self, stream: TcpStream, host: IpAddr, gone: Gone, stop: watch::Receiver<bool>) {
        let Some(tls) = &self.tls else { return };
        let log = self.node.log.clone();
        let handshake = tokio::time::timeout(FIRST_MAX, tls.acceptor(&*log).accept(stream)).await;
        let mut stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return self.node.tell(&format!("the TLS handshake failed: peer={host}: {error}"));
            }
            Err(_) => return self.node.tell(&format!("the TLS handshake did not end: peer={host}")),
        };
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let certificate =
            match certificate.map(|certificate| auth::names::subject_of(certificate)).transpose() {
                Ok(certificate) => certificate,
                Err(error) => return self.node.tell(&format!("{error}: peer={host}")),
            };
        let mut read = BytesMut::new();
        match tokio::time::timeout(FIRST_MAX, next_packet(&mut stream, &mut read)).await {
            Ok(Ok(Some(startup))) => {
                self.begin(stream, read, Peer { host, certificate, startup, gone }, stop).await
            }
            Ok(Err(error)) => self.refuse_first(&mut stream, host, &error).await,
            Ok(Ok(None)) | Err(_) => {}
        }
    }

    async fn begin<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        read: BytesMut,
        peer: Peer,
        stop: watch::Receiver<bool>,
    ) {
        if let Startup::Cancel { process, secret } = peer.startup {
            return self.node.sessions.cancel(process, secret);
        }
        session::serve(stream, read, self.node.clone(), peer, stop).await;
    }

    async fn refuse_first<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        host: IpAddr,
        error: &std::io::Error,
    ) {
        if error.kind() != std::io::ErrorKind::InvalidData {
            return;
        }
        self.node.tell(&format!("a client broke the protocol: peer={host}: {error}"));
        let mut out = BytesMut::new();
        Answer(&mut out).error(&PgError::new(Code::PROTOCOL_VIOLATION, error.to_string()).fatal());
        let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&out)).await;
    }
}

fn protocol(error: WireError) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, error)
}

/// `None` where the client goes without a word.
async fn next_packet<S: AsyncRead + Unpin>(
    stream: &mut S,
    read: &mut BytesMut,
) -> std::io::Result<Option<Startup>> {
    loop {
        if let Some(packet) = first_packet(read).map_err(protocol)? {
            return Ok(Some(packet));
        }
        // A length beyond this has been refused above.
        let mut some = (&mut *stream).take((FIRST_BYTES_MAX - read.len().min(FIRST_BYTES_MAX - 1)) as u64);
        if some.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
}
