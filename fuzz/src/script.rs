//! A server that says the same bytes to whoever connects, whatever is asked.

use os::sim::SimOs;
use os::{Listener, Network, Os, Stream};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// An operating system whose network has this server alone. The random numbers are the same every time.
pub fn os(said: &[u8]) -> Os {
    Os { network: Arc::new(Script(said.to_vec())), ..SimOs::new(1).os() }
}

struct Script(Vec<u8>);

/// What is left to say, and how often it may still be silent before it closes the connection.
struct Says(Mutex<(io::Cursor<Vec<u8>>, u32)>);

const SILENCES: u32 = 4;

impl Network for Script {
    fn listen(&self, _: &str) -> io::Result<Box<dyn Listener>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connect(&self, _: &str, _: Duration) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(Says(Mutex::new((io::Cursor::new(self.0.clone()), SILENCES)))))
    }
}

impl Stream for Says {
    fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        let (said, silences) = &mut *self.0.lock().expect("one thread");
        let count = io::Read::read(said, out)?;
        if count == 0 && *silences > 0 {
            *silences -= 1;
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(count)
    }

    fn write_all(&self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&self) {}

    fn peer_address(&self) -> String {
        "server".into()
    }

    fn try_clone(&self) -> io::Result<Box<dyn Stream>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
