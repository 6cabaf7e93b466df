//! Pipes in memory that hand bytes over in odd pieces, late, or not at all, as a seed says.

use super::{Listener, Network, Stream};
use crate::random::SplitMix;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How the simulated network misbehaves; by default it only chops.
#[derive(Debug, Clone, Copy, Default)]
pub struct SimNetworkFaults {
    /// One read in so many is answered with a time-out although bytes are there (a delay); 0 = never.
    pub delay_one_in: u64,
    /// One write in so many resets the connection; 0 = never.
    pub reset_one_in: u64,
}

/// Connections between threads of one process.
pub struct SimNetwork {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    random: SplitMix,
    faults: SimNetworkFaults,
    port_next: u16,
    /// Connections that wait to be accepted, by listening address.
    listeners: BTreeMap<String, VecDeque<SimStream>>,
}

/// One direction of a connection.
struct Pipe {
    state: Mutex<PipeState>,
    changed: Condvar,
}

#[derive(Default)]
struct PipeState {
    bytes: VecDeque<u8>,
    ended: bool,
    reset: bool,
}

/// A writer waits beyond this many unread bytes, as a socket buffer makes it wait.
const PIPE_BYTES_MAX: usize = 1 << 20;

#[derive(Clone)]
struct SimStream {
    shared: Arc<Shared>,
    ends: Arc<Ends>,
    peer: String,
    read_timeout: Arc<Mutex<Option<Duration>>>,
    write_timeout: Arc<Mutex<Option<Duration>>>,
}

/// The two pipes at one end of a connection; letting go of the last clone closes it, as with a socket.
struct Ends {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.outgoing.end(false);
        self.incoming.end(false);
    }
}

struct SimListener {
    shared: Arc<Shared>,
    address: String,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimNetwork {
    pub fn new(seed: u64) -> SimNetwork {
        let state = State {
            random: SplitMix(seed),
            faults: SimNetworkFaults::default(),
            port_next: 40_000,
            listeners: BTreeMap::new(),
        };
        SimNetwork { shared: Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }) }
    }

    /// Changes how the network misbehaves from now on.
    pub fn set_faults(&self, faults: SimNetworkFaults) {
        lock(&self.shared.state).faults = faults;
    }
}

impl Network for SimNetwork {
    fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        let mut state = lock(&self.shared.state);
        let address = match address.strip_suffix(":0") {
            Some(host) => {
                state.port_next += 1;
                format!("{host}:{}", state.port_next)
            }
            None => address.to_string(),
        };
        if state.listeners.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.listeners.insert(address.clone(), VecDeque::new());
        Ok(Box::new(SimListener { shared: self.shared.clone(), address }))
    }

    fn connect(&self, address: &str, _timeout: Duration) -> io::Result<Box<dyn Stream>> {
        let mut state = lock(&self.shared.state);
        let waiting = state.listeners.get_mut(address).ok_or(io::ErrorKind::ConnectionRefused)?;
        let (there, back) = (Pipe::new(), Pipe::new());
        let stream = |incoming: &Arc<Pipe>, outgoing: &Arc<Pipe>, peer: &str| SimStream {
            shared: self.shared.clone(),
            ends: Arc::new(Ends { incoming: incoming.clone(), outgoing: outgoing.clone() }),
            peer: peer.to_string(),
            read_timeout: Arc::default(),
            write_timeout: Arc::default(),
        };
        waiting.push_back(stream(&there, &back, "simulated-client:1"));
        self.shared.changed.notify_all();
        Ok(Box::new(stream(&back, &there, address)))
    }
}

impl Listener for SimListener {
    fn accept(&self) -> io::Result<Box<dyn Stream>> {
        let mut state = lock(&self.shared.state);
        loop {
            match state.listeners.get_mut(&self.address) {
                None => return Err(io::ErrorKind::NotConnected.into()),
                Some(waiting) => {
                    if let Some(stream) = waiting.pop_front() {
                        return Ok(Box::new(stream));
                    }
                }
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    fn close(&self) {
        let waiting = lock(&self.shared.state).listeners.remove(&self.address);
        for stream in waiting.into_iter().flatten() {
            stream.shutdown();
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.close();
    }
}

impl Pipe {
    fn new() -> Arc<Pipe> {
        Arc::new(Pipe { state: Mutex::default(), changed: Condvar::new() })
    }

    fn end(&self, reset: bool) {
        let mut state = lock(&self.state);
        state.ended = true;
        state.reset |= reset;
        self.changed.notify_all();
    }
}

impl Stream for SimStream {
    fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let timeout = *lock(&self.read_timeout);
        let (delayed, piece) = {
            let mut state = lock(&self.shared.state);
            let one_in = state.faults.delay_one_in;
            let delayed = one_in > 0 && timeout.is_some() && state.random.one_in(one_in);
            (delayed, 1 + state.random.below(out.len() as u64) as usize)
        };
        if delayed {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut pipe = lock(&self.ends.incoming.state);
        loop {
            if pipe.reset {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            if !pipe.bytes.is_empty() {
                let count = piece.min(pipe.bytes.len());
                for slot in &mut out[..count] {
                    *slot = pipe.bytes.pop_front().unwrap_or_default();
                }
                self.ends.incoming.changed.notify_all();
                return Ok(count);
            }
            if pipe.ended {
                return Ok(0);
            }
            pipe = match timeout {
                None => self.ends.incoming.changed.wait(pipe).unwrap_or_else(PoisonError::into_inner),
                Some(timeout) => {
                    let (pipe, result) = self
                        .ends
                        .incoming
                        .changed
                        .wait_timeout(pipe, timeout)
                        .unwrap_or_else(PoisonError::into_inner);
                    if result.timed_out() && pipe.bytes.is_empty() && !pipe.ended {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    pipe
                }
            };
        }
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let reset = {
            let mut state = lock(&self.shared.state);
            let one_in = state.faults.reset_one_in;
            one_in > 0 && state.random.one_in(one_in)
        };
        if reset {
            self.ends.outgoing.end(true);
            self.ends.incoming.end(true);
        }
        let timeout = *lock(&self.write_timeout);
        let mut rest = bytes;
        let mut pipe = lock(&self.ends.outgoing.state);
        while !rest.is_empty() {
            if pipe.reset {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            if pipe.ended {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let room = PIPE_BYTES_MAX.saturating_sub(pipe.bytes.len()).min(rest.len());
            if room == 0 {
                let changed = &self.ends.outgoing.changed;
                pipe = match timeout {
                    None => changed.wait(pipe).unwrap_or_else(PoisonError::into_inner),
                    Some(timeout) => {
                        let waited = changed.wait_timeout(pipe, timeout);
                        let (pipe, result) = waited.unwrap_or_else(PoisonError::into_inner);
                        if result.timed_out() && pipe.bytes.len() >= PIPE_BYTES_MAX && !pipe.ended {
                            return Err(io::ErrorKind::TimedOut.into());
                        }
                        pipe
                    }
                };
                continue;
            }
            pipe.bytes.extend(&rest[..room]);
            rest = &rest[room..];
            self.ends.outgoing.changed.notify_all();
        }
        Ok(())
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        *lock(&self.write_timeout) = timeout;
        Ok(())
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        *lock(&self.read_timeout) = timeout;
        Ok(())
    }

    fn shutdown(&self) {
        self.ends.outgoing.end(false);
        self.ends.incoming.end(false);
    }

    fn peer_address(&self) -> String {
        self.peer.clone()
    }

    fn try_clone(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.clone()))
    }
}
