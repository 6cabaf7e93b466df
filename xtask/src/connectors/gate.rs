//! A gate on loopback between a job and its server, which can be shut, cut, held and made narrow, and has traps.
//!
//! A shut gate takes connections and ends them at once, as the proxy before a server that is away does. A held gate keeps
//! all connections and passes nothing, as a network does that is parted. A trap holds the gate by itself, at a moment that
//! shows on the wire: when a commit comes by, say.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;

const HOST: &str = "127.0.0.1";
/// Pieces that are passed on at once through a narrow gate: so many a second make the rate.
const PIECES_PER_SECOND: u64 = 50;
const PIECE_BYTES_MAX: usize = 64 << 10;

/// A gate that is open at first; its threads end with their connections.
pub struct Gate {
    pub port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_shut: AtomicBool,
    /// In each direction of each connection; 0 is as fast as it goes.
    bytes_per_second: AtomicU64,
    passed_bytes: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
    held: Mutex<Held>,
    released: Condvar,
}

/// What does not pass.
#[derive(Default)]
struct Held {
    to_server: bool,
    to_client: bool,
    trap: Option<Trap>,
    has_sprung: bool,
}

impl Held {
    fn holds(&self, way: Way) -> bool {
        match way {
            Way::ToServer => self.to_server,
            Way::ToClient => self.to_client,
        }
    }
}

/// Where bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToServer,
    ToClient,
}

/// What holds the gate in both directions.
#[derive(Debug, Clone, Copy)]
pub struct Trap {
    pub way: Way,
    /// What must come by in one piece of the stream; with none, any piece will do.
    pub bytes: &'static [u8],
    /// It springs when they come for the so-many-th time.
    pub time: u64,
    /// The piece itself still passes.
    pub passes: bool,
}

impl Trap {
    fn sees(&self, way: Way, piece: &[u8]) -> bool {
        let here = self.bytes.is_empty() || piece.windows(self.bytes.len()).any(|part| part == self.bytes);
        self.way == way && here
    }
}

impl Gate {
    /// Before a server on loopback, which need not be there yet.
    pub fn to(server_port: u16) -> Result<Gate> {
        Gate::between(TcpListener::bind((HOST, 0))?, server_port)
    }

    /// The same where the gate's own port must be known before.
    pub fn between(listener: TcpListener, server_port: u16) -> Result<Gate> {
        let port = listener.local_addr()?.port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(std::result::Result::ok) {
                if !shared.is_shut.load(Ordering::Acquire) {
                    // A server that is gone is the client's to find out: its connection ends.
                    let _ = shared.pass(client, server_port);
                }
            }
        });
        Ok(Gate { port, state })
    }

    /// Ends all connections and lets none through any more.
    pub fn shut(&self) {
        self.state.is_shut.store(true, Ordering::Release);
        self.cut();
    }

    pub fn open(&self) {
        self.state.is_shut.store(false, Ordering::Release);
    }

    /// Ends all connections; new ones pass.
    pub fn cut(&self) {
        for stream in lock(&self.state.open).drain(..) {
            // It may have ended already, which is what is wanted.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Keeps all connections, and passes no answers; and no requests, if they are held too.
    pub fn hold(&self, requests_too: bool) {
        let mut held = lock(&self.state.held);
        (held.to_server, held.to_client) = (requests_too, true);
    }

    /// Sets a trap in the place of the one before.
    pub fn set(&self, trap: Trap) {
        let mut held = lock(&self.state.held);
        (held.trap, held.has_sprung) = (Some(trap), false);
    }

    pub fn has_sprung(&self) -> bool {
        lock(&self.state.held).has_sprung
    }

    /// Passes on what was held, and takes the trap away.
    pub fn release(&self) {
        *lock(&self.state.held) = Held::default();
        self.state.released.notify_all();
    }

    /// Lets so many bytes a second through, in each direction of each connection; 0 is without a limit.
    pub fn narrow(&self, bytes_per_second: u64) {
        self.state.bytes_per_second.store(bytes_per_second, Ordering::Release);
    }

    /// What has passed since the start, in both directions.
    pub fn passed_bytes(&self) -> u64 {
        self.state.passed_bytes.load(Ordering::Acquire)
    }
}

impl State {
    fn pass(self: &Arc<State>, client: TcpStream, server_port: u16) -> Result<()> {
        let server = TcpStream::connect((HOST, server_port))?;
        let (client_in, server_in) = (client.try_clone()?, server.try_clone()?);
        let mut open = lock(&self.open);
        open.retain(|stream| stream.peer_addr().is_ok());
        open.extend([client.try_clone()?, server.try_clone()?]);
        drop(open);
        for (way, from, to) in [(Way::ToServer, client_in, server), (Way::ToClient, server_in, client)] {
            let state = Arc::clone(self);
            std::thread::spawn(move || state.copy(way, from, to));
        }
        Ok(())
    }

    /// Waits while the gate is held. A trap that springs holds it, at once or behind the piece.
    fn wait_released(&self, way: Way, piece: &[u8]) {
        let mut held = lock(&self.held);
        let is_in_time = held.trap.as_mut().filter(|trap| trap.sees(way, piece)).is_some_and(|trap| {
            trap.time = trap.time.saturating_sub(1);
            trap.time == 0
        });
        if is_in_time && let Some(trap) = held.trap.take() {
            (held.to_server, held.to_client, held.has_sprung) = (true, true, true);
            if trap.passes {
                return;
            }
        }
        while held.holds(way) {
            held = self.released.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn copy(&self, way: Way, mut from: TcpStream, mut to: TcpStream) {
        let mut piece = vec![0; PIECE_BYTES_MAX];
        loop {
            let rate = self.bytes_per_second.load(Ordering::Acquire);
            let wanted = match rate {
                0 => PIECE_BYTES_MAX,
                rate => (rate / PIECES_PER_SECOND).clamp(1, PIECE_BYTES_MAX as u64) as usize,
            };
            let Ok(read @ 1..) = from.read(&mut piece[..wanted]) else { break };
            self.wait_released(way, &piece[..read]);
            // Counted before whoever waits for it can look.
            self.passed_bytes.fetch_add(read as u64, Ordering::AcqRel);
            if to.write_all(&piece[..read]).is_err() {
                break;
            }
            if rate > 0 {
                std::thread::sleep(Duration::from_secs(1) / PIECES_PER_SECOND as u32);
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo() -> u16 {
        let listener = TcpListener::bind((HOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(std::result::Result::ok) {
                let mut reader = stream.try_clone().unwrap();
                let mut writer = stream;
                std::thread::spawn(move || std::io::copy(&mut reader, &mut writer));
            }
        });
        port
    }

    fn echoed(port: u16, text: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect((HOST, port))?;
        stream.write_all(text.as_bytes())?;
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    #[test]
    fn a_gate_passes_on_what_comes_unless_it_is_shut() {
        let gate = Gate::to(echo()).unwrap();
        assert_eq!(echoed(gate.port, "before").unwrap(), "before");
        let mut cut = TcpStream::connect((HOST, gate.port)).unwrap();
        cut.write_all(b"x").unwrap();
        cut.read_exact(&mut [0]).unwrap();
        gate.shut();
        // An end or a reset, whichever the system makes of it.
        assert!(matches!(cut.read(&mut [0]), Ok(0) | Err(_)));
        assert!(echoed(gate.port, "shut").is_err());
        gate.open();
        gate.narrow(10_000);
        assert_eq!(echoed(gate.port, "after").unwrap(), "after");
        assert!(gate.passed_bytes() >= 22);
    }

    #[test]
    fn a_trap_holds_the_gate_until_it_is_released() {
        let gate = Gate::to(echo()).unwrap();
        let trap = |way, passes| Trap { way, bytes: b"COMMIT", time: 2, passes };
        for (way, passes) in [(Way::ToServer, true), (Way::ToServer, false), (Way::ToClient, false)] {
            gate.set(trap(way, passes));
            let mut stream = TcpStream::connect((HOST, gate.port)).unwrap();
            stream.write_all(b"the first COMMIT").unwrap();
            stream.read_exact(&mut [0; 16]).unwrap();
            assert!(!gate.has_sprung());
            stream.write_all(b"the second COMMIT").unwrap();
            while !gate.has_sprung() {
                std::thread::yield_now();
            }
            stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            assert!(stream.read(&mut [0]).is_err(), "it is held");
            gate.release();
            stream.set_read_timeout(None).unwrap();
            stream.read_exact(&mut [0; 17]).unwrap();
        }
    }

    #[test]
    fn a_gate_may_hold_the_answers_alone() {
        let gate = Gate::to(echo()).unwrap();
        let mut stream = TcpStream::connect((HOST, gate.port)).unwrap();
        gate.hold(false);
        stream.write_all(b"asked").unwrap();
        while gate.passed_bytes() < 5 {
            std::thread::yield_now();
        }
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(stream.read(&mut [0]).is_err(), "it is held");
        gate.release();
        stream.set_read_timeout(None).unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
    }
}
