//! The edge: listens, accepts, and serves connections on a runtime of its own.
//!
//! Everything asynchronous of the broker is here; the core below is synchronous. Until there is
//! authentication and TLS, an address that other machines can reach is refused unless the caller
//! says that it knows.

mod connection;
mod frames;
mod wakeups;

use crate::broker::Broker;
use crate::call::{Now, Peer};
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};
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
        "the Kafka address {address} can be reached from other machines, and there is no authentication; \
         listen on 127.0.0.1, or pass --insecure if the network is trusted"
    )]
    NotLoopback { address: SocketAddr },
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
}

/// What the connections share.
struct Shared {
    broker: Arc<Broker>,
    wakeups: Arc<Wakeups>,
    connections: AtomicUsize,
    log: Arc<dyn Fn(&str) + Send + Sync>,
}

/// How long open connections may finish what they have under way when the server stops.
const STOP_MAX: Duration = Duration::from_secs(5);

/// Binds and begins to serve; returns when connections are accepted.
pub fn start(config: ServerConfig, broker: Arc<Broker>) -> Result<ServerHandle, ServerError> {
    let address = config.listen;
    if !address.ip().is_loopback() && !config.insecure {
        return Err(ServerError::NotLoopback { address });
    }
    let failed = |error: std::io::Error| ServerError::Listen { address, reason: error.to_string() };
    let listener = StdListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let local_addr = listener.local_addr().map_err(failed)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = if config.worker_threads == 0 { cores.max(2) } else { config.worker_threads };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("kafka")
        .enable_all()
        .build()
        .map_err(|error| ServerError::Threads(error.to_string()))?;
    let (stop, stopped) = watch::channel(false);
    let shared = Arc::new(Shared {
        wakeups: Wakeups::new(broker.log()),
        broker,
        connections: AtomicUsize::new(0),
        log: config.log,
    });
    let listener = {
        let _in_runtime = runtime.enter();
        TcpListener::from_std(listener).map_err(failed)?
    };
    runtime.spawn(accept(listener, shared.clone(), stopped.clone()));
    runtime.spawn(tick(shared.clone(), stopped));
    Ok(ServerHandle { local_addr, stop, runtime: Some(runtime), shared })
}

impl ServerHandle {
    /// The address with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
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
                while shared.connections.load(Ordering::Relaxed) > 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            // Connections that do not end in time are cut with the runtime.
            let _ = tokio::time::timeout(STOP_MAX, drained).await;
        });
        runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.stop_now();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let connections_max = shared.broker.config().connections_max;
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
        if shared.connections.load(Ordering::Relaxed) >= connections_max {
            (shared.log)(&format!(
                "connection refused: peer={from} max.connections={connections_max} is reached"
            ));
            continue;
        }
        let Some(peer) = peer_of(&stream, from) else { continue };
        let counted = Counted::new(shared.clone());
        let (shared, stop) = (shared.clone(), stop.clone());
        tokio::spawn(async move {
            if let Err(reason) = connection::serve(stream, peer, shared.clone(), stop).await {
                (shared.log)(&format!("connection closed: peer={from}: {reason}"));
            }
            drop(counted);
        });
    }
}

/// Counts a connection for as long as it lives, also if its task panics.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: Arc<Shared>) -> Counted {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        Counted(shared)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The client's way to us is what we advertise: that address has just worked.
fn peer_of(stream: &TcpStream, from: SocketAddr) -> Option<Peer> {
    // Small answers must not wait for the client's acknowledgement of the one before.
    stream.set_nodelay(true).ok()?;
    let local = stream.local_addr().ok()?;
    let text = |ip: IpAddr| ip.to_canonical().to_string();
    Some(Peer { advertised_host: text(local.ip()), advertised_port: local.port(), host: text(from.ip()) })
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
