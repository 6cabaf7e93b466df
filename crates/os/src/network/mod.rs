//! Blocking byte streams: listen, accept, connect, read and write with time-outs.
//!
//! Kept as small as what a protocol server and its tests need; names and addresses are resolved by the real network.

pub mod destinations;
pub mod real;
pub mod sim;

pub use destinations::Destinations;

use std::io;
use std::time::Duration;

/// Where connections come from.
pub trait Network: Send + Sync {
    /// Listens at `address` (`host:port`; port 0 picks a free one).
    fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>>;
    /// Takes datagrams at `address`.
    fn datagrams(&self, _address: &str) -> io::Result<Box<dyn Datagrams>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Connects to `address` (`host:port`) within the time given, however many addresses the host has.
    fn connect(&self, address: &str, timeout: Duration) -> io::Result<Box<dyn Stream>>;
    /// What `connect` refuses, for clients that open their sockets themselves.
    fn destinations(&self) -> Destinations {
        Destinations::default()
    }
}

/// A listening socket.
pub trait Listener: Send + Sync {
    /// Waits for the next connection; `NotConnected` after `close`.
    fn accept(&self) -> io::Result<Box<dyn Stream>>;
    /// The address with the port that was picked.
    fn address(&self) -> String;
    /// Ends waiting and future `accept` calls.
    fn close(&self);
}

/// A socket that datagrams come to.
pub trait Datagrams: Send + Sync {
    /// The next one, cut to `out`, and where it comes from; `WouldBlock` or `TimedOut` after `wait`.
    fn receive(&self, out: &mut [u8], wait: Duration) -> io::Result<(usize, String)>;
    /// The address with the port that was picked.
    fn address(&self) -> String;
}

/// A connection; readers and writers may use clones of it at the same time.
pub trait Stream: Send + Sync {
    /// Reads some bytes, 0 when the peer has ended its side; `WouldBlock` or `TimedOut` after the read time-out.
    fn read(&self, out: &mut [u8]) -> io::Result<usize>;
    fn write_all(&self, bytes: &[u8]) -> io::Result<()>;
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;
    /// How long a write may wait for the peer to read.
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;
    /// Ends both directions; the peer reads the end of the stream, our own reads end too.
    fn shutdown(&self);
    fn peer_address(&self) -> String;
    fn try_clone(&self) -> io::Result<Box<dyn Stream>>;
}
