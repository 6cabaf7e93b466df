//! One HTTP request over TLS: what the key sets of issuers, and schema registries, are asked by.

use crate::AuthError;
use os::http::{Answer, Request, exchange_over};
use os::{Clock, Network, Os, Stream};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// An `http://` or `https://` address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub tls: bool,
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// Begins with `/`; with its query.
    pub path: String,
}

impl Url {
    pub fn parse(text: &str) -> Result<Url, AuthError> {
        let wrong =
            |what: &str| AuthError::new(format!("'{}' is not an address of the web: {what}", shown(text)));
        if text.chars().any(|character| character.is_control() || character == ' ') {
            return Err(wrong("there are blanks in it"));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("write https://HOST/PATH"))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(wrong("the scheme is https, or http")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(wrong("a user and a password do not belong into it"));
        }
        let path = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(|| wrong("a bracket is open"))?;
                (host, port.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() {
            return Err(wrong("there is no host"));
        }
        let port = match port {
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
            Some(port) => port.parse().map_err(|_| wrong("the port is not a number"))?,
        };
        Ok(Url { tls, host: host.to_string(), port, path })
    }

    /// `host:port`, as a request names it.
    pub fn address(&self) -> String {
        let Url { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Whether it is on this machine, by its address or as `localhost`.
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
    }
}

/// What is no address, as an error shows it: a part of it may be a password, or a proof of who asks.
fn shown(text: &str) -> String {
    const LETTERS_MAX: usize = 200;
    // Where there is a `@` a password may stand before it, with any letters.
    let (hidden, rest) = text.rsplit_once('@').map_or(("", text), |(_, rest)| ("******@", rest));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let rest = rest.chars().take(LETTERS_MAX).flat_map(char::escape_debug);
    hidden.chars().chain(rest).collect()
}

/// Sends a request and reads its answer; each wait may take `timeout`. With `tls` the other side proves `host`.
pub fn exchange(
    network: &dyn Network,
    tls: Option<(&Arc<ClientConfig>, &str)>,
    request: &Request<'_>,
    timeout: Duration,
) -> io::Result<Answer> {
    let stream = network.connect(request.address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    exchange_on(stream, tls, request)
}

/// Like [`exchange`], but all of it may take `whole`, however little the other side reads or sends at a time.
pub fn exchange_within(
    os: &Os,
    tls: Option<(&Arc<ClientConfig>, &str)>,
    request: &Request<'_>,
    whole: Duration,
) -> io::Result<Answer> {
    let until_ns = os.clock.monotonic_ns().saturating_add(whole.as_nanos() as u64);
    let inner = os.network.connect(request.address, whole)?;
    exchange_on(Box::new(Hurried { inner, clock: os.clock.clone(), until_ns }), tls, request)
}

fn exchange_on(
    stream: Box<dyn Stream>,
    tls: Option<(&Arc<ClientConfig>, &str)>,
    request: &Request<'_>,
) -> io::Result<Answer> {
    if is_link_local(&stream.peer_address()) {
        // Where clouds hand out a machine's own secrets.
        let message = "the name leads to a link-local address, which is not asked";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    match tls {
        None => exchange_over(stream.as_ref(), request),
        Some((config, host)) => exchange_over(&TlsStream::new(stream, config, host)?, request),
    }
}

/// A stream on which every wait ends at one moment.
struct Hurried {
    inner: Box<dyn Stream>,
    clock: Arc<dyn Clock>,
    until_ns: u64,
}

impl Hurried {
    /// Bytes that go in one write: the kernel takes them in a few waits, each no longer than what is left before them.
    const WRITE_BYTES_MAX: usize = 4 << 10;

    fn left(&self) -> io::Result<Option<Duration>> {
        match self.until_ns.saturating_sub(self.clock.monotonic_ns()) {
            0 => Err(io::Error::new(io::ErrorKind::TimedOut, "no whole answer in time")),
            // Sockets take no time-out that rounds to 0.
            left => Ok(Some(Duration::from_nanos(left).max(Duration::from_millis(1)))),
        }
    }
}

impl Stream for Hurried {
    fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        self.inner.set_read_timeout(self.left()?)?;
        self.inner.read(out)
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(Hurried::WRITE_BYTES_MAX) {
            self.inner.set_write_timeout(self.left()?)?;
            self.inner.write_all(part)?;
        }
        Ok(())
    }

    fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&self) {
        self.inner.shutdown();
    }

    fn peer_address(&self) -> String {
        self.inner.peer_address()
    }

    fn try_clone(&self) -> io::Result<Box<dyn Stream>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn is_link_local(address: &str) -> bool {
    address.parse::<SocketAddr>().is_ok_and(|address| match address.ip().to_canonical() {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    })
}

/// A stream under TLS, for one user at a time.
struct TlsStream {
    inner: Box<dyn Stream>,
    tls: Mutex<ClientConnection>,
}

/// What rustls reads and writes.
struct Socket<'a>(&'a dyn Stream);

impl Read for Socket<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TlsStream {
    fn new(inner: Box<dyn Stream>, config: &Arc<ClientConfig>, host: &str) -> io::Result<TlsStream> {
        let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidInput, error);
        let name = ServerName::try_from(host.to_string()).map_err(|error| invalid(error.to_string()))?;
        let tls = ClientConnection::new(config.clone(), name).map_err(|error| invalid(error.to_string()))?;
        Ok(TlsStream { inner, tls: Mutex::new(tls) })
    }

    fn with<T>(&self, act: impl FnOnce(&mut rustls::Stream<'_, ClientConnection, Socket<'_>>) -> T) -> T {
        let mut tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut rustls::Stream::new(&mut *tls, &mut Socket(self.inner.as_ref())))
    }
}

impl Stream for TlsStream {
    fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        self.with(|stream| stream.read(out))
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.with(|stream| stream.write_all(bytes).and_then(|()| stream.flush()))
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.set_write_timeout(timeout)
    }

    fn shutdown(&self) {
        self.inner.shutdown();
    }

    fn peer_address(&self) -> String {
        self.inner.peer_address()
    }

    fn try_clone(&self) -> io::Result<Box<dyn Stream>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_web_are_taken_apart() {
        let url = |text: &str| Url::parse(text).unwrap();
        let keys = url("https://issuer.example/realms/a/keys?x=1#part");
        let (host, path) = ("issuer.example".to_string(), "/realms/a/keys?x=1".to_string());
        assert_eq!(keys, Url { tls: true, host, port: 443, path });
        assert_eq!((url("HTTP://a:81").address().as_str(), url("http://a").port), ("a:81", 80));
        assert_eq!(url("https://[::1]:8443/k").address(), "[::1]:8443");
        assert_eq!(url("https://a?x").path, "/?x");
        for here in
            ["http://127.0.0.1:1/", "http://localhost/", "http://[::1]/", "http://[::ffff:127.0.0.1]/"]
        {
            assert!(url(here).is_loopback(), "{here}");
        }
        for there in ["http://10.0.0.1/", "http://localhost.example/", "http://127.0.0.1.example/"] {
            assert!(!url(there).is_loopback(), "{there}");
        }
        for wrong in [
            "",
            "a",
            "ftp://a",
            "https://",
            "https:///x",
            "https://u:p@a/",
            "https://a:b/",
            "https://a b/",
            "https://a/\r\nX: y",
            "https://[::1",
        ] {
            Url::parse(wrong).unwrap_err();
        }
        for secret in ["https://u:pen?cil@a/", "http:/u:pencil@a", "https://a b?sig=pencil", "u:pencil@a/x"] {
            let told = Url::parse(secret).unwrap_err().to_string();
            assert!(!told.contains("pen") && !told.contains("cil"), "{told}");
        }
        // Bad inputs 12 and 16.
        for metadata in ["169.254.169.254:80", "[fe80::1]:80", "[::ffff:169.254.169.254]:80"] {
            assert!(is_link_local(metadata), "{metadata}");
        }
        assert!(!is_link_local("10.0.0.1:80"));
    }
}
