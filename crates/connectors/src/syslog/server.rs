//! Where messages come in: a thread for each address, and one for each connection, which put what they hear into a queue.
//!
//! While the queue is full connections are not read, so that their senders wait; datagrams are lost and counted.

use super::framing::{End, Splitter};
use super::options::{CERT, CLIENT_CA, KEY, Settings, Transport};
use crate::arrivals::{Arrivals, Framed};
use auth::socket::Secured;
use auth::tls::{ClientAuth, Identity, ServerConfig};
use os::{Datagrams, Listener, Os, Stream};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What may wait to be polled.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// After so long a thread looks whether it shall end.
const LOOK: Duration = Duration::from_millis(200);
const READ_BYTES: usize = 64 << 10;

/// A message as it came.
pub(super) struct Came {
    pub framed: Framed,
    pub transport: Transport,
    /// The address of who sent it.
    pub peer: Arc<str>,
    pub at_ms: i64,
}

/// Listens until it is dropped.
pub(super) struct Server {
    pub arrivals: Arc<Arrivals<Came>>,
    /// Where it listens, with the ports that were picked.
    pub addresses: Vec<String>,
    listeners: Vec<Arc<dyn Listener>>,
    handshakes: Arc<Handshakes>,
    threads: Vec<JoinHandle<()>>,
}

/// Connections whose hands are being shaken: whoever waits for the other side there looks at nothing else.
#[derive(Default)]
struct Handshakes {
    under_way: Mutex<BTreeMap<u64, Box<dyn Stream>>>,
    next: AtomicU64,
}

impl Handshakes {
    /// Shakes hands over a stream, unless that is ended meanwhile.
    fn shake<T>(
        &self,
        stream: Box<dyn Stream>,
        shake: impl FnOnce(Box<dyn Stream>) -> io::Result<T>,
    ) -> io::Result<T> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.under_way().insert(number, stream.try_clone()?);
        let shaken = shake(stream);
        self.under_way().remove(&number);
        shaken
    }

    fn end(&self) {
        self.under_way().values().for_each(|stream| stream.shutdown());
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeMap<u64, Box<dyn Stream>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all threads have.
struct Shared {
    os: Os,
    settings: Settings,
    arrivals: Arc<Arrivals<Came>>,
    connections: AtomicUsize,
    handshakes: Arc<Handshakes>,
}

impl Server {
    /// Binds all addresses; an error names the one that could not be.
    pub(super) fn start(os: &Os, settings: &Settings) -> Result<Server, (io::ErrorKind, String)> {
        let arrivals = Arrivals::new(WAITING_BYTES_MAX);
        let mut server = Server {
            arrivals: arrivals.clone(),
            addresses: Vec::new(),
            listeners: Vec::new(),
            handshakes: Arc::default(),
            threads: Vec::new(),
        };
        if settings.places.iter().any(|(transport, _)| *transport == Transport::Tls) {
            tls(settings).map_err(|error| (io::ErrorKind::InvalidInput, error))?;
        }
        let shared = Arc::new(Shared {
            os: os.clone(),
            settings: settings.clone(),
            arrivals,
            connections: AtomicUsize::new(0),
            handshakes: server.handshakes.clone(),
        });
        for (transport, address) in &settings.places {
            let failed = |error: io::Error| {
                let why = match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "; a port below 1024 needs the right to it: take another"
                    }
                    io::ErrorKind::AddrInUse => "; another program, or another job, listens there",
                    _ => "",
                };
                (error.kind(), format!("cannot listen on {}://{address}: {error}{why}", transport.name()))
            };
            let shared = shared.clone();
            if *transport == Transport::Udp {
                let socket = os.network.datagrams(address).map_err(failed)?;
                server.addresses.push(socket.address());
                server.threads.push(spawn(move || hear_datagrams(&shared, &*socket)).map_err(failed)?);
            } else {
                let listener: Arc<dyn Listener> = os.network.listen(address).map_err(failed)?.into();
                server.addresses.push(listener.address());
                server.listeners.push(listener.clone());
                let transport = *transport;
                let accept = move || accept(&shared, &*listener, transport);
                server.threads.push(spawn(accept).map_err(failed)?);
            }
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.arrivals.close();
        self.handshakes.end();
        for listener in &self.listeners {
            listener.close();
        }
        for thread in self.threads.drain(..) {
            // One that has panicked has told so.
            let _ = thread.join();
        }
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("syslog".into()).spawn(work)
}

fn hear_datagrams(shared: &Shared, socket: &dyn Datagrams) {
    let mut buffer = vec![0; READ_BYTES];
    while !shared.arrivals.is_closed() {
        let Ok((count, peer)) = socket.receive(&mut buffer, LOOK) else {
            // Nothing has come, or a sender of before has gone; without a pause no error could keep us busy.
            continue;
        };
        let mut bytes = &buffer[..count];
        while let [rest @ .., b'\n' | b'\r' | 0] = bytes {
            bytes = rest;
        }
        if bytes.is_empty() {
            continue;
        }
        let limit = shared.settings.message_bytes_max;
        let problem = (bytes.len() > limit)
            .then(|| format!("it has bytes={}, and limit={limit}; here are the first {limit}", bytes.len()));
        let framed = Framed { bytes: bytes[..bytes.len().min(limit)].to_vec(), problem };
        let length = framed.bytes.len();
        let came = shared.came(framed, Transport::Udp, &peer.into());
        if !shared.arrivals.push_or_lose(came, length) {
            return;
        }
    }
}

fn accept(shared: &Arc<Shared>, listener: &dyn Listener, transport: Transport) {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    while !shared.arrivals.is_closed() {
        threads.retain(|thread| !thread.is_finished());
        let stream = match listener.accept() {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::NotConnected => break,
            // Too many files are open, say: a moment later there may be fewer.
            Err(_) => {
                shared.arrivals.wait_closed(LOOK);
                continue;
            }
        };
        let place = Place(shared.clone());
        if place.0.connections.fetch_add(1, Ordering::SeqCst) >= shared.settings.connections_max {
            continue;
        }
        // Without another thread the connection is closed.
        threads.extend(spawn(move || serve(&place.0, stream, transport)).ok());
    }
    for thread in threads {
        let _ = thread.join();
    }
}

/// One of the connections that may be open.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Hears one connection to its end; what is wrong with it ends it.
fn serve(shared: &Shared, stream: Box<dyn Stream>, transport: Transport) {
    let settings = &shared.settings;
    let peer: Arc<str> = stream.peer_address().into();
    let timeout = Duration::from_millis(settings.timeout_ms);
    let config = match transport {
        Transport::Tls => match tls(settings) {
            Ok(config) => Some(Arc::new(config)),
            Err(_) => return,
        },
        _ => None,
    };
    let secured = |stream| Secured::accepted(stream, shared.os.clock.clone(), timeout, config);
    let shaken = match transport {
        Transport::Tls => shared.handshakes.shake(stream, |stream| {
            // One that has begun before the server ends is ended by it, and none begins behind that.
            if shared.arrivals.is_closed() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            secured(stream)
        }),
        _ => secured(stream),
    };
    let Ok(mut stream) = shaken else { return };
    let mut splitter = Splitter::new(settings.framing, settings.message_bytes_max);
    let mut hand_over = |framed: Framed| {
        let length = framed.bytes.len();
        shared.arrivals.push(shared.came(framed, transport, &peer), length)
    };
    let mut buffer = vec![0; READ_BYTES];
    let mut heard = shared.now_ms();
    while !shared.arrivals.is_closed() {
        match stream.read_within(&mut buffer, LOOK) {
            Ok(Some(0)) => return splitter.finish(End::Closed, &mut hand_over),
            Err(_) => return splitter.finish(End::Broken, &mut hand_over),
            Ok(Some(count)) => {
                if !splitter.take(&buffer[..count], &mut hand_over) {
                    return;
                }
                heard = shared.now_ms();
            }
            Ok(None) => {
                let limit = if splitter.is_within() { settings.timeout_ms } else { settings.idle_ms };
                if shared.now_ms().saturating_sub(heard) >= limit {
                    return splitter.finish(End::Broken, &mut hand_over);
                }
            }
        }
    }
}

impl Shared {
    fn came(&self, framed: Framed, transport: Transport, peer: &Arc<str>) -> Came {
        Came { framed, transport, peer: peer.clone(), at_ms: self.os.clock.now_ms() }
    }

    fn now_ms(&self) -> u64 {
        self.os.clock.monotonic_ns() / 1_000_000
    }
}

/// What senders are shown, from files as they are now.
fn tls(settings: &Settings) -> Result<ServerConfig, String> {
    let read = |key: &str| {
        let path = settings.options.text(key).unwrap_or_default();
        std::fs::read(path).map_err(|error| format!("cannot read '{key}' = '{path}': {error}"))
    };
    let (certificates, key) = (read(CERT)?, read(KEY)?);
    let ca = settings.options.text(CLIENT_CA).map(|_| read(CLIENT_CA)).transpose()?;
    let client_auth = if ca.is_some() { ClientAuth::Required } else { ClientAuth::None };
    let identity = Identity { certificates: &certificates, key: &key };
    auth::tls::server(identity, client_auth, ca.as_deref()).map_err(|error| error.to_string())
}
