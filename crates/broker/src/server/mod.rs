//! The edge: listens, accepts, and serves connections on a runtime of its own.
//!
//! Everything asynchronous of the broker is here; the core below is synchronous. An address that
//! other machines can reach is refused without TLS and log-in, unless the caller says that it knows.

mod connection;
mod counted;
mod frames;
mod lanes;
mod log_lines;
mod room;
mod tls;
mod token_keys;
mod wakeups;

use crate::broker::Broker;
use crate::call::{Now, Peer};
use crate::metrics::count;
use crate::quotas::connected;
use crate::security::Session;
use counted::{Connections, Counted, Still};
use lanes::Lanes;
pub use log_lines::Lines;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;
pub use tls::{Tls, TlsError};
pub use token_keys::KeysError;
use token_keys::TokenKeys;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_rustls::rustls;
use wakeups::Wakeups;

#[derive(Clone)]
pub struct ServerConfig {
    /// Port 0 picks a free one.
    pub listen: SocketAddr,
    /// Allows an address that other machines can reach, without authentication and TLS.
    pub insecure: bool,
    /// 0 = one for each core, at least two.
    pub worker_threads: usize,
    /// Takes a line about each connection that did not end in good order.
    pub log: Arc<dyn Fn(&str) + Send + Sync>,
}

impl ServerConfig {
    /// On the given address, with one thread for each core, saying nothing.
    pub fn new(listen: SocketAddr) -> ServerConfig {
        ServerConfig { listen, insecure: false, worker_threads: 0, log: Arc::new(|_| {}) }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(
        "the Kafka address {address} can be reached from other machines, and {missing}; listen on 127.0.0.1, \
         or have clients log in over TLS: --set security.protocol=SASL_SSL --set \
         ssl.certificate.location=CERT.pem --set ssl.key.location=KEY.pem, with a user from `eventwright user \
         add` (docs/guide/security.md); pass --insecure only if the network is trusted"
    )]
    NotLoopback { address: SocketAddr, missing: &'static str },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("cannot listen on {address}: {reason}; choose another port, or stop the process that has it")]
    Listen { address: SocketAddr, reason: String },
    #[error("cannot start the server's threads: {0}")]
    Threads(String),
}

/// A running server; dropping it stops it.
pub struct ServerHandle {
    local_addr: SocketAddr,
    stop: watch::Sender<bool>,
    runtime: Option<Runtime>,
    shared: Arc<Shared>,
    token_keys: Option<TokenKeys>,
}

/// What the connections share.
struct Shared {
    broker: Arc<Broker>,
    wakeups: Arc<Wakeups>,
    connections: Connections,
    lanes: Lanes,
    /// For room for records.
    records: room::Queue,
    /// For room for other answers.
    others: room::Queue,
    requests: Arc<room::Requests>,
    tls: Option<Tls>,
    /// About connections that were refused, or ended without a log-in: anybody can cause them.
    strangers: Lines,
    /// Passwords that are checked at once, so that log-ins leave threads to others.
    passwords: Semaphore,
    log: Arc<dyn Fn(&str) + Send + Sync>,
}

/// A TLS handshake that takes longer is given up.
const TLS_HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long open connections may finish what they have under way when the server stops.
const STOP_MAX: Duration = Duration::from_secs(5);

/// Binds and begins to serve; returns when connections are accepted.
pub fn start(config: ServerConfig, broker: Arc<Broker>) -> Result<ServerHandle, ServerError> {
    let address = config.listen;
    let security = &broker.config().security;
    let missing = match (security.tls, security.authenticates()) {
        (true, true) => None,
        (true, false) => Some("clients do not say who they are"),
        (false, true) => Some("there is no TLS"),
        (false, false) => Some("there is neither TLS nor log-in"),
    };
    match missing {
        Some(missing) if !address.ip().is_loopback() && !config.insecure => {
            return Err(ServerError::NotLoopback { address, missing });
        }
        _ => {}
    }
    let tls = Tls::load(security)?;
    let token_keys = token_keys::start(&broker, config.log.clone())?;
    let failed = |error: std::io::Error| ServerError::Listen { address, reason: error.to_string() };
    let listener = StdListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let local_addr = listener.local_addr().map_err(failed)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = if config.worker_threads == 0 { cores.max(2) } else { config.worker_threads };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(lanes::threads_max(workers))
        .on_thread_start(|| os::blocking::serves_others(|work| tokio::task::block_in_place(work)))
        .thread_name("kafka")
        .enable_all()
        .build()
        .map_err(|error| ServerError::Threads(error.to_string()))?;
    let (stop, stopped) = watch::channel(false);
    let requests = room::Requests::new(broker.requests.clone());
    let shared = Arc::new(Shared {
        wakeups: Wakeups::new(broker.log()),
        broker,
        connections: Connections::default(),
        lanes: Lanes::new(),
        records: room::Queue::default(),
        others: room::Queue::default(),
        requests,
        tls,
        strangers: Lines::default(),
        passwords: Semaphore::new((workers / 2).max(1)),
        log: config.log,
    });
    let waiting = Arc::downgrade(&shared);
    shared.broker.answers.watch(move || {
        if let Some(shared) = waiting.upgrade() {
            shared.records.freed();
            shared.others.freed();
        }
    });
    let listener = {
        let _in_runtime = runtime.enter();
        TcpListener::from_std(listener).map_err(failed)?
    };
    runtime.spawn(accept(listener, shared.clone(), stopped.clone()));
    runtime.spawn(tick(shared.clone(), stopped));
    Ok(ServerHandle { local_addr, stop, runtime: Some(runtime), shared, token_keys })
}

impl ServerHandle {
    /// The address with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.count()
    }

    /// Bytes of answers that clients have not taken yet.
    pub fn answer_bytes(&self) -> usize {
        self.shared.broker.answers.used()
    }

    /// Bytes of longer requests that are being received or handled.
    pub fn request_bytes(&self) -> usize {
        self.shared.broker.requests.used()
    }

    /// Stops accepting and reading, lets answers under way go out, and ends. The log stays open.
    pub fn shutdown(mut self) {
        self.stop_now();
    }

    fn stop_now(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let _ = self.stop.send(true);
        let shared = self.shared.clone();
        runtime.block_on(async move {
            let drained = async {
                while !shared.connections.are_over() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            // Connections that do not end in time are cut with the runtime.
            let _ = tokio::time::timeout(STOP_MAX, drained).await;
        });
        runtime.shutdown_timeout(Duration::from_secs(1));
        self.token_keys = None;
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.stop_now();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a client that went away at once: go on, but not in a spin.
                (shared.log)(&format!("cannot accept a Kafka connection: {error}"));
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let mut counted = match Counted::new(&shared, from.ip().to_canonical()) {
            Ok(counted) => counted,
            Err(reason) => {
                count(&shared.broker.counters.connections.refused);
                shared.tell_of_stranger(&format!("connection refused: peer={from} {reason}"));
                continue;
            }
        };
        shared.broker.connected();
        let (shared, mut stop) = (shared.clone(), stop.clone());
        if let Some(throttle_ms) = connected(&shared.broker, &from.ip().to_canonical().to_string()) {
            // As in Kafka it is held for as long, so that a client that comes again at once gains nothing.
            let throttle = Duration::from_millis(u64::try_from(throttle_ms).unwrap_or(0));
            shared.tell_of_stranger(&format!(
                "connection refused: peer={from} connection_creation_rate is used up"
            ));
            tokio::spawn(async move {
                let _ = tokio::time::timeout(throttle, stop.wait_for(|stop| *stop)).await;
                drop((stream, counted));
            });
            continue;
        }
        tokio::spawn(async move {
            if let Err(reason) = serve(stream, from, &mut counted, stop).await {
                count(&counted.shared.broker.counters.connections.failed);
                let line = format!("connection closed: peer={from}: {reason}");
                match counted.is_logged_in() {
                    true => (shared.log)(&line),
                    false => shared.tell_of_stranger(&line),
                }
            }
            drop(counted);
        });
    }
}

impl Shared {
    fn tell_of_stranger(&self, line: &str) {
        let now_ms = Now::of(&*self.broker.os.clock).monotonic_ms;
        if let Some(line) = self.strangers.pass(line, now_ms) {
            (self.log)(&line);
        }
    }
}

/// Serves a connection, over TLS if the listener has it.
async fn serve(
    stream: TcpStream,
    from: SocketAddr,
    counted: &mut Counted,
    mut stop: watch::Receiver<bool>,
) -> Result<(), String> {
    // Small answers must not wait for the client's acknowledgement of the one before.
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let local = stream.local_addr().map_err(|error| error.to_string())?;
    let shared = counted.shared.clone();
    let Some(tls) = &shared.tls else {
        let peer = peer_of(&shared, local, from, None);
        return connection::serve(stream.into_split(), peer, counted, stop).await;
    };
    let log = shared.log.clone();
    let handshake = tls.acceptor(&*log).accept(stream);
    let stream = tokio::select! {
        done = tokio::time::timeout(TLS_HANDSHAKE_MAX, handshake) => match done {
            Ok(Ok(stream)) => stream,
            failed => {
                count(&shared.broker.counters.connections.handshakes_failed);
                return Err(match failed {
                    Ok(Err(error)) => tls_failure(&error),
                    _ => format!("the TLS handshake did not end within {TLS_HANDSHAKE_MAX:?}"),
                });
            }
        },
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let subject = match certificate.map(|certificate| auth::names::subject_of(certificate)) {
        None => None,
        Some(Ok(subject)) => Some(subject),
        Some(Err(error)) => return Err(error.to_string()),
    };
    let peer = peer_of(&shared, local, from, subject.as_deref());
    connection::serve(tokio::io::split(stream), peer, counted, stop).await
}

/// Why a handshake failed, with the next step where it is a usual mistake.
fn tls_failure(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidMessage(_)) => {
            "the client does not speak TLS, and this listener does; set security.protocol=SSL or SASL_SSL in \
             the client"
                .to_string()
        }
        Some(rustls::Error::NoCertificatesPresented) => {
            "the client shows no certificate, and ssl.client.auth=required".to_string()
        }
        _ => format!("the TLS handshake failed: {error}"),
    }
}

/// Where nothing else is set, the client's way to us is what we advertise: that address has just worked.
fn peer_of(shared: &Shared, local: SocketAddr, from: SocketAddr, subject: Option<&str>) -> Peer {
    let text = |ip: IpAddr| ip.to_canonical().to_string();
    let loopback = from.ip().to_canonical().is_loopback();
    let (advertised_host, advertised_port) = match &shared.broker.config().advertised {
        Some(advertised) => (advertised.host.clone(), advertised.port),
        None => (text(local.ip()), local.port()),
    };
    Peer {
        advertised_host,
        advertised_port,
        host: text(from.ip()),
        session: Arc::new(Session::new(&shared.broker.config().security, subject, loopback)),
        mute: Default::default(),
    }
}

/// Lets time pass for the groups: at their next deadline, which a request may bring forward.
async fn tick(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let hastened = Arc::new(Notify::new());
    let notify = hastened.clone();
    shared.broker.watch_deadline(move |_| notify.notify_one());
    loop {
        let now = Now::of(&*shared.broker.os.clock).monotonic_ms;
        let next = shared.broker.tick(now);
        let sleep = async {
            match next {
                Some(at) => {
                    let left = u64::try_from(at.saturating_sub(now)).unwrap_or(0);
                    tokio::time::sleep(Duration::from_millis(left)).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep => {}
            () = hastened.notified() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}
