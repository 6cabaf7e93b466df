//! A gate on loopback between a job and its server, which can be shut, cut and made narrow.
//!
//! A shut gate takes connections and ends them at once, as the proxy before a server that is away does.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
        for (from, to) in [(client_in, server), (server_in, client)] {
            let state = Arc::clone(self);
            std::thread::spawn(move || state.copy(from, to));
        }
        Ok(())
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut piece = vec![0; PIECE_BYTES_MAX];
        loop {
            let rate = self.bytes_per_second.load(Ordering::Acquire);
            let wanted = match rate {
                0 => PIECE_BYTES_MAX,
                rate => (rate / PIECES_PER_SECOND).clamp(1, PIECE_BYTES_MAX as u64) as usize,
            };
            let Ok(read @ 1..) = from.read(&mut piece[..wanted]) else { break };
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
}
