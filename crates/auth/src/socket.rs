//! A blocking socket with or without TLS, whose reads and writes end when the time of a call is over.

use crate::tls::{ClientConfig, ClientStream, ServerConfig, ServerStream};
use os::{Clock, Os, Stream};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// Bytes that are written at once.
const PIECE_BYTES: usize = 4 << 10;
/// The shortest wait: zero would be no limit.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// A stream whose reads and writes end when the call's time is over.
pub struct Limited {
    stream: Box<dyn Stream>,
    clock: Arc<dyn Clock>,
    pub timeout: Duration,
    /// By the monotonic clock.
    until: Duration,
}

/// A stream under TLS or not.
pub enum Secured {
    Plain(Limited),
    Tls(Box<ClientStream<Limited>>),
    /// Under TLS, of a connection that somebody else has made.
    Served(Box<ServerStream<Limited>>),
}

impl Secured {
    /// Connects, and with a configuration of TLS lets the other side prove that it is `host`; where it does not, the
    /// error's kind is `InvalidData` or `InvalidInput`.
    pub fn connect(
        os: &Os,
        (host, port): (&str, u16),
        timeout: Duration,
        tls: Option<Arc<ClientConfig>>,
    ) -> io::Result<Secured> {
        let stream = Limited::connect(os, (host, port), timeout)?;
        Ok(match tls {
            None => Secured::Plain(stream),
            Some(config) => Secured::Tls(Box::new(ClientStream::begin(config, host, stream)?)),
        })
    }

    /// A connection that has come; with a configuration of TLS the hands are shaken.
    pub fn accepted(
        stream: Box<dyn Stream>,
        clock: Arc<dyn Clock>,
        timeout: Duration,
        tls: Option<Arc<ServerConfig>>,
    ) -> io::Result<Secured> {
        let until = monotonic(&*clock).saturating_add(timeout);
        let stream = Limited { stream, clock, timeout, until };
        Ok(match tls {
            None => Secured::Plain(stream),
            Some(config) => Secured::Served(Box::new(ServerStream::begin(config, stream)?)),
        })
    }

    /// Goes on under TLS.
    pub fn secured(self, config: Arc<ClientConfig>, host: &str) -> io::Result<Secured> {
        match self {
            Secured::Plain(mut stream) => {
                stream.begin_call();
                Ok(Secured::Tls(Box::new(ClientStream::begin(config, host, stream)?)))
            }
            Secured::Tls(_) | Secured::Served(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    pub fn limited(&mut self) -> &mut Limited {
        match self {
            Secured::Plain(limited) => limited,
            Secured::Tls(stream) => stream.get_mut(),
            Secured::Served(stream) => stream.get_mut(),
        }
    }

    /// What follows may take the whole timeout.
    pub fn begin_call(&mut self) {
        self.limited().begin_call();
    }

    /// Reads what is there, or comes within `wait`; none if nothing does. 0 bytes are the end of the stream.
    pub fn read_within(&mut self, buffer: &mut [u8], wait: Duration) -> io::Result<Option<usize>> {
        self.limited().begin_wait(wait.max(WAIT_MIN));
        match self.read(buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) if has_timed_out(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Read for Secured {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Secured::Plain(limited) => limited.read(buffer),
            Secured::Tls(stream) => stream.read(buffer),
            Secured::Served(stream) => stream.read(buffer),
        }
    }
}

impl Write for Secured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Secured::Plain(limited) => limited.write(bytes),
            Secured::Tls(stream) => stream.write(bytes),
            Secured::Served(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Secured::Plain(limited) => limited.flush(),
            Secured::Tls(stream) => stream.flush(),
            Secured::Served(stream) => stream.flush(),
        }
    }
}

impl Limited {
    pub fn connect(os: &Os, (host, port): (&str, u16), timeout: Duration) -> io::Result<Limited> {
        let clock = os.clock.clone();
        let until = monotonic(&*clock).saturating_add(timeout);
        let place = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let stream = os.network.connect(&place, timeout)?;
        Ok(Limited { stream, clock, timeout, until })
    }

    fn begin_call(&mut self) {
        self.begin_wait(self.timeout);
    }

    pub fn begin_wait(&mut self, wait: Duration) {
        self.until = monotonic(&*self.clock).saturating_add(wait);
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_sub(monotonic(&*self.clock));
        // Zero would be no limit.
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        // In pieces, so that the time is looked at in between.
        let piece = &bytes[..bytes.len().min(PIECE_BYTES)];
        self.stream.write_all(piece)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub fn monotonic(clock: &dyn Clock) -> Duration {
    Duration::from_nanos(clock.monotonic_ns())
}

/// Systems say of a timeout that it would block.
pub fn has_timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// What an error of a stream means to whoever waits for the other side.
pub fn told(error: &io::Error) -> String {
    match error.kind() {
        _ if has_timed_out(error) => "it took too long".into(),
        io::ErrorKind::UnexpectedEof => "it has closed the connection".into(),
        _ => error.to_string(),
    }
}
