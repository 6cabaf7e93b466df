//! A host that is asked over HTTP/1.1. Requests go over lanes: connections that are made when they are needed, and kept.
//!
//! Nothing waits in a thread of its own: requests that are made together are all sent before the first answer is read, and
//! one time is over for all of them.

use crate::http_connection::{HttpAnswer, HttpConnection};
use crate::messages::{ServerError, not_connected};
use auth::https::Url;
use auth::socket::{has_timed_out, monotonic, told};
use auth::tls::ClientConfig;
use base::ErrorKind;
use os::Os;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Host {
    os: Os,
    url: Url,
    tls: Option<Arc<ClientConfig>>,
    timeout: Duration,
    /// Of an answer.
    body_bytes_max: usize,
}

/// A connection that is made when it is needed.
#[derive(Default)]
pub(crate) struct Lane {
    connection: Option<HttpConnection>,
    /// Whether the connection had served a request before the one under way: its server may have given it up meanwhile.
    is_used: bool,
    /// The request under way was sent over that one first, and may have arrived twice.
    is_repeated: bool,
}

impl Lane {
    pub(crate) fn is_repeated(&self) -> bool {
        self.is_repeated
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Lost {
    /// There is no connection.
    Connecting(io::Error),
    /// The connection, or what came over it, is of no use.
    Asking(io::Error),
    Late,
}

impl Lost {
    pub(crate) fn asking(error: io::Error) -> Lost {
        if has_timed_out(&error) { Lost::Late } else { Lost::Asking(error) }
    }

    /// What it means for whoever has asked.
    pub(crate) fn told(&self, url: &Url) -> ServerError {
        let place = url.address();
        match self {
            Lost::Late => ServerError::unavailable(format!("{place} has not answered in time")),
            Lost::Connecting(error) => {
                let error = not_connected(error);
                ServerError { message: format!("{place}: {}", error.message), ..error }
            }
            Lost::Asking(error) => {
                let kind = match error.kind() {
                    // What TLS refuses, and an answer beyond the limit, are the same the next time.
                    io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge => ErrorKind::Invalid,
                    _ => ErrorKind::Unavailable,
                };
                ServerError::new(kind, format!("{place} cannot be asked: {}", told(error)))
            }
        }
    }
}

impl Host {
    pub(crate) fn new(
        os: &Os,
        url: &Url,
        tls: Option<Arc<ClientConfig>>,
        timeout: Duration,
        body_bytes_max: usize,
    ) -> Host {
        Host { os: os.clone(), url: url.clone(), tls, timeout, body_bytes_max }
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    fn now(&self) -> Duration {
        monotonic(&*self.os.clock)
    }

    fn until(&self) -> Duration {
        self.now().saturating_add(self.timeout)
    }

    /// Makes the lane's connection, so that it is seen whether there is one.
    pub(crate) fn connect(&self, lane: &mut Lane) -> Result<(), Lost> {
        self.connect_until(lane, self.until())
    }

    fn connect_until(&self, lane: &mut Lane, until: Duration) -> Result<(), Lost> {
        lane.is_used = false;
        lane.connection = None;
        lane.connection = Some(self.connection_until(until)?);
        Ok(())
    }

    /// A connection of its own.
    pub(crate) fn connection(&self) -> Result<HttpConnection, Lost> {
        self.connection_until(self.until())
    }

    fn connection_until(&self, until: Duration) -> Result<HttpConnection, Lost> {
        let Host { os, url, tls, body_bytes_max, .. } = self;
        let left = until.saturating_sub(self.now());
        if left.is_zero() {
            return Err(Lost::Late);
        }
        HttpConnection::connect(os, url, tls.clone(), left, *body_bytes_max).map_err(Lost::Connecting)
    }

    pub(crate) fn send(&self, lane: &mut Lane, request: &[u8]) -> Result<(), Lost> {
        self.send_until(lane, request, self.until())
    }

    fn send_until(&self, lane: &mut Lane, request: &[u8], until: Duration) -> Result<(), Lost> {
        lane.is_repeated = false;
        if let Some(connection) = lane.connection.as_mut().filter(|connection| connection.is_free()) {
            lane.is_used = true;
            if connection.send(request, until.saturating_sub(self.now())).is_ok() {
                return Ok(());
            }
            lane.is_repeated = true;
        }
        self.send_anew(lane, request, until)
    }

    fn send_anew(&self, lane: &mut Lane, request: &[u8], until: Duration) -> Result<(), Lost> {
        self.connect_until(lane, until)?;
        let Some(connection) = &mut lane.connection else { return Ok(()) };
        connection.send(request, until.saturating_sub(self.now())).map_err(Lost::asking)
    }

    /// The answer, if it comes within `wait`; where a kept connection ends without a byte of it, the request is sent over a
    /// new one, which has no more time than the request: `until`, by the monotonic clock.
    pub(crate) fn receive(
        &self,
        lane: &mut Lane,
        request: &[u8],
        wait: Duration,
        until: Duration,
    ) -> Result<Option<HttpAnswer>, Lost> {
        let Some(connection) = &mut lane.connection else { return Ok(None) };
        let waits_until = self.now().saturating_add(wait);
        match connection.receive(wait) {
            Err(_) if lane.is_used && !connection.has_begun() => {
                lane.is_repeated = true;
                self.send_anew(lane, request, until)?;
                let Some(connection) = &mut lane.connection else { return Ok(None) };
                connection.receive(waits_until.saturating_sub(self.now())).map_err(Lost::asking)
            }
            received => received.map_err(Lost::asking),
        }
    }

    /// Each request over a lane of its own. All of them together may take the time-out, besides what goes on coming. A lane
    /// that has failed is made anew by the next request.
    pub(crate) fn exchange(&self, lanes: &mut [Lane], requests: &[Vec<u8>]) -> Vec<Result<HttpAnswer, Lost>> {
        self.exchange_within(lanes, requests, self.timeout)
    }

    /// The same within another time.
    pub(crate) fn exchange_within(
        &self,
        lanes: &mut [Lane],
        requests: &[Vec<u8>],
        wait: Duration,
    ) -> Vec<Result<HttpAnswer, Lost>> {
        let until = self.now().saturating_add(wait);
        let sent: Vec<Result<(), Lost>> = lanes
            .iter_mut()
            .zip(requests)
            .map(|(lane, request)| self.send_until(lane, request, until))
            .collect();
        let mut answers = Vec::with_capacity(requests.len());
        for ((lane, request), sent) in lanes.iter_mut().zip(requests).zip(sent) {
            // What has come is read also when the time is over.
            let received = sent.and_then(|()| {
                let left = until.saturating_sub(self.now());
                self.receive(lane, request, left, until)?.ok_or(Lost::Late)
            });
            if received.is_err() {
                lane.connection = None;
            }
            answers.push(received);
        }
        answers
    }
}

/// The host as a request names it: without the port that everybody expects.
pub(crate) fn host_header(url: &Url) -> String {
    let expected = if url.tls { 443 } else { 80 };
    let address = url.address();
    match address.strip_suffix(&format!(":{expected}")) {
        Some(host) if url.port == expected => host.to_string(),
        _ => address,
    }
}

/// The bytes of a request. Header values come from options too: what would break the head is left out.
pub(crate) fn written(method: &str, target: &str, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let length = [("content-length".to_string(), body.len().to_string())];
    [&written_head(method, target, headers.iter().chain(&length)), body].concat()
}

/// The same of a request without a body.
pub(crate) fn written_head<'a>(
    method: &str,
    target: &str,
    headers: impl IntoIterator<Item = &'a (String, String)>,
) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    for (name, value) in headers {
        let value: String =
            value.chars().filter(|character| !matches!(character, '\r' | '\n' | '\0')).collect();
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::script::Script;
    use os::{Listener, Network, Stream};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Two lanes whose server is silent wait no longer together than one would.
    #[test]
    fn one_time_is_over_for_all_requests_together() {
        let (script, os) = Script::new(Some(Vec::new()));
        let url = Url::parse("http://server/").unwrap();
        let host = Host::new(&os, &url, None, Duration::from_secs(30), 100);
        let before = os.clock.monotonic_ns();
        let mut lanes: Vec<Lane> = std::iter::repeat_with(Lane::default).take(8).collect();
        let request = written("GET", "/", &[], b"");
        let answers = host.exchange(&mut lanes, &vec![request; 8]);
        assert!(answers.iter().all(|answer| matches!(answer, Err(Lost::Late))) && answers.len() == 8);
        let taken = Duration::from_nanos(os.clock.monotonic_ns() - before);
        assert!(taken >= Duration::from_secs(30) && taken < Duration::from_secs(31), "{taken:?}");
        assert_eq!(script.heard.lock().unwrap().windows(5).filter(|part| part == b"GET /").count(), 8);
    }

    /// A server whose connections break after a while, each later than the one before.
    #[derive(Clone)]
    struct Breaks {
        clock: Arc<os::sim::SimClock>,
        /// How long each connection might be in the making.
        connections: Arc<Mutex<Vec<Duration>>>,
        has_answered: Arc<AtomicBool>,
        wait: Arc<Mutex<Duration>>,
    }

    impl Network for Breaks {
        fn listen(&self, _: &str) -> io::Result<Box<dyn Listener>> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn connect(&self, _: &str, wait: Duration) -> io::Result<Box<dyn Stream>> {
            self.connections.lock().unwrap().push(wait);
            Ok(Box::new(self.clone()))
        }
    }

    impl Stream for Breaks {
        fn read(&self, out: &mut [u8]) -> io::Result<usize> {
            const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            if !self.has_answered.swap(true, Ordering::SeqCst) {
                out[..ANSWER.len()].copy_from_slice(ANSWER);
                return Ok(ANSWER.len());
            }
            if self.connections.lock().unwrap().len() == 1 {
                self.clock.advance_ms(20_000);
                return Ok(0);
            }
            self.clock.advance_ms(self.wait.lock().unwrap().as_millis() as u64);
            Err(io::ErrorKind::TimedOut.into())
        }

        fn write_all(&self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn set_read_timeout(&self, wait: Option<Duration>) -> io::Result<()> {
            *self.wait.lock().unwrap() = wait.unwrap_or_default();
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

    #[test]
    fn a_request_that_is_sent_again_has_the_time_that_is_left() {
        let sim = os::sim::SimOs::new(1);
        let server = Breaks {
            clock: sim.clock.clone(),
            connections: Arc::default(),
            has_answered: Arc::default(),
            wait: Arc::default(),
        };
        let os = Os { network: Arc::new(server.clone()), ..sim.os() };
        let url = Url::parse("http://server/").unwrap();
        let host = Host::new(&os, &url, None, Duration::from_secs(30), 100);
        let mut lanes = [Lane::default()];
        let requests = [written("GET", "/", &[], b"")];
        assert!(host.exchange(&mut lanes, &requests).remove(0).is_ok());
        let before = os.clock.monotonic_ns();
        let answer = host.exchange(&mut lanes, &requests).remove(0);
        assert!(matches!(answer, Err(Lost::Late)) && lanes[0].is_repeated());
        let taken = Duration::from_nanos(os.clock.monotonic_ns() - before);
        assert!(taken >= Duration::from_secs(30) && taken < Duration::from_secs(31), "{taken:?}");
        let connections = server.connections.lock().unwrap().clone();
        assert_eq!(connections, [Duration::from_secs(30), Duration::from_secs(10)]);
    }

    /// What is lost means the same to all who ask, wherever it was.
    #[test]
    fn why_there_is_no_answer_is_told_in_one_way() {
        let url = Url::parse("https://server/").unwrap();
        let error = |kind| io::Error::new(kind, "why");
        for (lost, kind, words) in [
            (Lost::Late, ErrorKind::Unavailable, "server:443 has not answered in time"),
            (
                Lost::Connecting(error(io::ErrorKind::InvalidData)),
                ErrorKind::Invalid,
                "server:443: cannot connect: why",
            ),
            (
                Lost::Connecting(error(io::ErrorKind::ConnectionRefused)),
                ErrorKind::Unavailable,
                "cannot connect",
            ),
            (Lost::Asking(error(io::ErrorKind::InvalidData)), ErrorKind::Invalid, "cannot be asked: why"),
            (Lost::Asking(error(io::ErrorKind::FileTooLarge)), ErrorKind::Invalid, "cannot be asked: why"),
            (Lost::Asking(error(io::ErrorKind::Other)), ErrorKind::Unavailable, "cannot be asked: why"),
        ] {
            let told = lost.told(&url);
            assert!(told.kind == kind && told.message.contains(words), "{lost:?}: {told:?}");
        }
    }
}
