//! TCP and UDP through std.

use super::{Datagrams, Destinations, Listener, Network, Stream};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(Debug, Clone, Copy, Default)]
pub struct RealNetwork {
    pub destinations: Destinations,
}

struct RealListener {
    listener: TcpListener,
    closed: AtomicBool,
}

struct RealDatagrams(UdpSocket);

struct RealStream(TcpStream);

impl Network for RealNetwork {
    fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(RealListener { listener: TcpListener::bind(address)?, closed: AtomicBool::new(false) }))
    }

    fn datagrams(&self, address: &str) -> io::Result<Box<dyn Datagrams>> {
        Ok(Box::new(RealDatagrams(UdpSocket::bind(address)?)))
    }

    fn connect(&self, address: &str, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        let stream = self.destinations.connect(address, timeout)?;
        stream.set_nodelay(true)?;
        Ok(Box::new(RealStream(stream)))
    }

    fn destinations(&self) -> Destinations {
        self.destinations
    }
}

impl Datagrams for RealDatagrams {
    fn receive(&self, out: &mut [u8], wait: Duration) -> io::Result<(usize, String)> {
        self.0.set_read_timeout(Some(wait))?;
        let (count, from) = self.0.recv_from(out)?;
        Ok((count, from.to_string()))
    }

    fn address(&self) -> String {
        self.0.local_addr().map(|address| address.to_string()).unwrap_or_default()
    }
}

impl Listener for RealListener {
    fn accept(&self) -> io::Result<Box<dyn Stream>> {
        let (stream, _) = self.listener.accept()?;
        if self.closed.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        stream.set_nodelay(true)?;
        Ok(Box::new(RealStream(stream)))
    }

    fn address(&self) -> String {
        self.listener.local_addr().map(|address| address.to_string()).unwrap_or_default()
    }

    fn close(&self) {
        if self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        // On Linux shutting a listening socket down wakes the thread that waits in accept.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
    }
}

impl Stream for RealStream {
    fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(out)
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.0).write_all(bytes)
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_write_timeout(timeout)
    }

    fn shutdown(&self) {
        // The connection may be gone already; then there is nothing left to end.
        let _ = self.0.shutdown(Shutdown::Both);
    }

    fn peer_address(&self) -> String {
        self.0.peer_addr().map(|address| address.to_string()).unwrap_or_default()
    }

    fn try_clone(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(RealStream(self.0.try_clone()?)))
    }
}
