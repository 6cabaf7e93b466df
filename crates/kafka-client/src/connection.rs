//! One connection to one node: version negotiation, frames out, frames in, in order.
//!
//! A request can be sent before the response to the one before has come (pipelining): [`Connection::send`]
//! returns a ticket that [`Connection::receive`] redeems. A node answers in the order of the requests, so
//! the tickets must be redeemed in that order; any other answer closes the connection, because after a
//! slip no later byte can be trusted.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice, Read, Write};
use std::marker::PhantomData;
use std::net::{TcpStream, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use kafka_wire::header::{decode_response_header, encode_request, frame_size};
use kafka_wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use kafka_wire::{ApiKey, DecodeError, ErrorCode, Message, Reader, Request};

use crate::client::node_address;
use crate::error::{ClientError, check};
use crate::options::ClientOptions;
use crate::security::Stream;
use crate::within::{NodeWithin, WITHIN, Within};

/// The version of the first request; every node since Kafka 2.4 knows it, older ones say so.
const FIRST_API_VERSIONS: i16 = 3;
/// So much is set aside for a response at once; more follows as bytes arrive.
const RESPONSE_STEP_BYTES: usize = 1024 * 1024;

/// A connection whose versions are negotiated.
pub struct Connection {
    stream: Stream,
    address: String,
    options: ClientOptions,
    node_versions: BTreeMap<i16, RangeInclusive<i16>>,
    next_correlation_id: i32,
    /// What has been asked and not yet answered, oldest first.
    in_flight: VecDeque<i32>,
    read_timeout: Duration,
    closed: bool,
}

/// A ticket for a response that is still to come.
#[derive(Debug)]
#[must_use = "the response must be received, or the next one cannot be"]
pub struct Pending<R> {
    correlation_id: i32,
    version: i16,
    request: PhantomData<fn() -> R>,
}

impl<R> Pending<R> {
    /// The version in which the request was sent.
    pub fn version(&self) -> i16 {
        self.version
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({}, closed={})", self.address, self.closed)
    }
}

impl Connection {
    /// Connects to `HOST:PORT` and asks the node for its versions.
    pub fn open(address: &str, options: &ClientOptions) -> Result<Connection, ClientError> {
        let socket = connect(address, options)?;
        let unreachable = |reason| ClientError::Unreachable { address: address.to_owned(), reason };
        socket.set_nodelay(true).map_err(unreachable)?;
        socket.set_write_timeout(Some(nonzero(options.request_timeout))).map_err(unreachable)?;
        let stream = Stream::open(socket, address, options)?;
        Connection::over(stream, address, options)
    }

    /// Speaks to a node of this process, which knows who asks and is its own address.
    pub fn within(node: NodeWithin, options: &ClientOptions) -> Result<Connection, ClientError> {
        Connection::over(Stream::Within(Within::new(node)), &node_address(WITHIN.0, WITHIN.1.into()), options)
    }

    fn over(stream: Stream, address: &str, options: &ClientOptions) -> Result<Connection, ClientError> {
        let mut connection = Connection {
            stream,
            address: address.to_owned(),
            options: options.clone(),
            node_versions: BTreeMap::new(),
            next_correlation_id: 0,
            in_flight: VecDeque::new(),
            read_timeout: Duration::ZERO,
            closed: false,
        };
        connection.negotiate()?;
        connection.log_in()?;
        Ok(connection)
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The versions of an API that the node speaks; none if it does not have the API.
    pub fn node_versions(&self, api_key: i16) -> Option<RangeInclusive<i16>> {
        self.node_versions.get(&api_key).cloned()
    }

    /// The highest version that both sides speak and that is not above `version_max`.
    pub fn version_up_to<R: Request>(&self, version_max: i16) -> Result<i16, ClientError> {
        let client = *R::VERSIONS.start()..=version_max.min(*R::VERSIONS.end());
        let node = self.node_versions.get(&R::API_KEY);
        let common = node.and_then(|node| {
            let highest = *node.end().min(client.end());
            (highest >= *node.start() && highest >= *client.start()).then_some(highest)
        });
        common.ok_or_else(|| ClientError::NoCommonVersion {
            request: R::NAME,
            node: node.map_or("none".to_owned(), |node| format!("{}..{}", node.start(), node.end())),
            client: format!("{}..{}", client.start(), client.end()),
        })
    }

    /// The highest version that both sides speak.
    pub fn version<R: Request>(&self) -> Result<i16, ClientError> {
        self.version_up_to::<R>(i16::MAX)
    }

    /// Sends a request in the highest common version and waits for its response.
    pub fn call<R, S>(&mut self, request: &R) -> Result<S, ClientError>
    where
        R: Request<Response = S>,
        S: Message,
    {
        let pending = self.send(request)?;
        self.receive(pending)
    }

    /// Sends a request in this version and waits for its response.
    pub fn call_version<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, ClientError> {
        let pending = self.send_version(request, version)?;
        self.receive(pending)
    }

    /// Sends a request in the highest common version; its response is still to be received.
    pub fn send<R: Request>(&mut self, request: &R) -> Result<Pending<R>, ClientError> {
        let version = self.version::<R>()?;
        self.send_version(request, version)
    }

    /// Sends a request in this version; its response is still to be received.
    pub fn send_version<R: Request>(&mut self, request: &R, version: i16) -> Result<Pending<R>, ClientError> {
        let correlation_id = self.write_request(request, version)?;
        self.in_flight.push_back(correlation_id);
        Ok(Pending { correlation_id, version, request: PhantomData })
    }

    /// Sends a request that the node does not answer, such as a produce request with acks=0.
    pub fn send_unanswered<R: Request>(&mut self, request: &R, version: i16) -> Result<(), ClientError> {
        self.write_request(request, version).map(|_| ())
    }

    /// Waits for a response; tickets are redeemed in the order in which they were given out.
    pub fn receive<R: Request>(&mut self, pending: Pending<R>) -> Result<R::Response, ClientError> {
        self.receive_within(pending, self.options.request_timeout)
    }

    /// Waits for a response for at most this long between two of its bytes.
    pub fn receive_within<R: Request>(
        &mut self,
        pending: Pending<R>,
        timeout: Duration,
    ) -> Result<R::Response, ClientError> {
        let mut reader = self.read_response::<R>(pending.correlation_id, pending.version, timeout)?;
        let decoded = R::Response::decode(&mut reader, pending.version);
        decoded.and_then(|response| reader.finish().map(|()| response)).map_err(|reason| {
            let (address, request) = (self.address.clone(), R::NAME);
            self.close(ClientError::Malformed { address, request, reason })
        })
    }

    /// Waits for a response's frame and header; the reader then stands at the body.
    fn read_response<R: Request>(
        &mut self,
        correlation_id: i32,
        version: i16,
        timeout: Duration,
    ) -> Result<Reader, ClientError> {
        self.check_open()?;
        if self.in_flight.pop_front() != Some(correlation_id) {
            let reason = "the responses are received in another order than asked for".to_owned();
            return Err(self.protocol(R::NAME, reason));
        }
        let frame = self.read_frame(R::NAME, timeout)?;
        let mut reader = Reader::new(frame);
        let api = ApiKey::from_number(R::API_KEY);
        let header = match api {
            Some(api) => decode_response_header(&mut reader, api, version),
            None => reader.i32(),
        };
        match header {
            Ok(received) if received == correlation_id => Ok(reader),
            Ok(received) => {
                let reason = format!("correlation_id={received} expected={correlation_id}");
                Err(self.protocol(R::NAME, reason))
            }
            Err(reason) => {
                let (address, request) = (self.address.clone(), R::NAME);
                Err(self.close(ClientError::Malformed { address, request, reason }))
            }
        }
    }

    fn negotiate(&mut self) -> Result<(), ClientError> {
        let mut version = FIRST_API_VERSIONS;
        let response = loop {
            let request = ApiVersionsRequest {
                client_software_name: "eventwright".to_owned(),
                client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
                ..Default::default()
            };
            let pending = self.send_version(&request, version)?;
            let timeout = self.options.request_timeout;
            let mut reader =
                self.read_response::<ApiVersionsRequest>(pending.correlation_id, version, timeout)?;
            let body = reader.take_rest();
            let response = decode_api_versions(body, version).map_err(|reason| {
                let (address, request) = (self.address.clone(), ApiVersionsRequest::NAME);
                self.close(ClientError::Malformed { address, request, reason })
            })?;
            if response.error_code == ErrorCode::UnsupportedVersion.number() && version > 0 {
                // A node that does not know the version answers in version 0 and with its ranges (KIP-511).
                version = 0;
                continue;
            }
            break response;
        };
        check(response.error_code, None, || "the request for the node's versions".to_owned())?;
        self.node_versions =
            response.api_keys.iter().map(|api| (api.api_key, api.min_version..=api.max_version)).collect();
        Ok(())
    }

    /// Says who we are, if the options do.
    fn log_in(&mut self) -> Result<(), ClientError> {
        let Some(login) = self.options.security.login.clone() else { return Ok(()) };
        let handshake = SaslHandshakeRequest { mechanism: login.mechanism().to_string() };
        let answer = self.call_version(&handshake, 1)?;
        if answer.error_code != ErrorCode::None.number() {
            let reason = match ErrorCode::from_number(answer.error_code) {
                Some(ErrorCode::IllegalSaslState) => {
                    "it asks nobody who they are; leave the user out".to_string()
                }
                _ => format!("it offers {} and not {}", answer.mechanisms.join(", "), login.mechanism()),
            };
            return Err(self.not_let_in(reason));
        }
        let begun = login.begin();
        let (mut exchange, mut token) = begun.map_err(|error| self.not_let_in(error.to_string()))?;
        loop {
            let request = SaslAuthenticateRequest { auth_bytes: token.into() };
            let answer = self.call_version(&request, 1)?;
            if answer.error_code != ErrorCode::None.number() {
                return Err(self.not_let_in(answer.error_message.unwrap_or_default()));
            }
            match exchange.next(&answer.auth_bytes) {
                Ok(Some(next)) => (exchange, token) = next,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.not_let_in(error.to_string())),
            }
        }
    }

    fn not_let_in(&mut self, reason: String) -> ClientError {
        let address = self.address.clone();
        self.close(ClientError::LogIn { address, reason })
    }

    fn write_request<R: Request>(&mut self, request: &R, version: i16) -> Result<i32, ClientError> {
        self.check_open()?;
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id = self.next_correlation_id.wrapping_add(1);
        let chunks = encode_request(request, version, correlation_id, Some(&self.options.client_id))
            .map_err(|reason| ClientError::Unwritable { request: R::NAME, version, reason })?;
        let timeout = self.options.request_timeout;
        write_chunks(&mut self.stream, &chunks).map_err(|reason| self.failed(R::NAME, timeout, reason))?;
        Ok(correlation_id)
    }

    fn read_frame(&mut self, request: &'static str, timeout: Duration) -> Result<Bytes, ClientError> {
        if timeout != self.read_timeout {
            self.stream
                .set_read_timeout(nonzero(timeout))
                .map_err(|reason| self.failed(request, timeout, reason))?;
            self.read_timeout = timeout;
        }
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix).map_err(|reason| self.failed(request, timeout, reason))?;
        let size = frame_size(prefix, self.options.response_bytes_max).map_err(|reason| {
            let address = self.address.clone();
            self.close(ClientError::Malformed { address, request, reason })
        })?;
        let mut frame = Vec::new();
        while frame.len() < size {
            // Memory grows with what has arrived, not with what was announced.
            let start = frame.len();
            frame.resize(size.min(start + RESPONSE_STEP_BYTES.max(start)), 0);
            self.stream
                .read_exact(&mut frame[start..])
                .map_err(|reason| self.failed(request, timeout, reason))?;
        }
        Ok(Bytes::from(frame))
    }

    fn check_open(&self) -> Result<(), ClientError> {
        match self.closed {
            true => Err(ClientError::AlreadyClosed { address: self.address.clone() }),
            false => Ok(()),
        }
    }

    /// Closes the connection, because after this error its bytes mean nothing any more.
    fn close(&mut self, error: ClientError) -> ClientError {
        self.closed = true;
        self.stream.shutdown();
        error
    }

    fn protocol(&mut self, request: &'static str, reason: String) -> ClientError {
        let address = self.address.clone();
        self.close(ClientError::Protocol { address, request, reason })
    }

    fn failed(&mut self, request: &'static str, timeout: Duration, reason: io::Error) -> ClientError {
        let address = self.address.clone();
        let error = match reason.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                ClientError::Timeout { address, request, timeout_ms: timeout.as_millis() }
            }
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => ClientError::Closed { address, request },
            _ => ClientError::Broken { address, request, reason },
        };
        self.close(error)
    }
}

/// The body of a response in `version`, or in version 0 if that is how the node refuses the version.
fn decode_api_versions(body: Bytes, version: i16) -> Result<ApiVersionsResponse, DecodeError> {
    let refused = body.get(..2) == Some(&ErrorCode::UnsupportedVersion.number().to_be_bytes());
    ApiVersionsResponse::from_bytes(body, if refused { 0 } else { version })
}

/// A time-out of zero would mean none at all.
fn nonzero(timeout: Duration) -> Duration {
    timeout.max(Duration::from_millis(1))
}

fn connect(address: &str, options: &ClientOptions) -> Result<TcpStream, ClientError> {
    let wrong =
        |reason: io::Error| ClientError::Address { address: address.to_owned(), reason: reason.to_string() };
    let candidates = address.to_socket_addrs().map_err(wrong)?;
    let connected = options.destinations.connect_to(address, candidates, nonzero(options.connect_timeout));
    connected.map_err(|reason| match reason.kind() {
        io::ErrorKind::PermissionDenied => {
            ClientError::Guarded { address: address.to_owned(), reason: reason.to_string() }
        }
        io::ErrorKind::NotFound => wrong(reason),
        _ => ClientError::Unreachable { address: address.to_owned(), reason },
    })
}

fn write_chunks(stream: &mut impl Write, chunks: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        match stream.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    stream.flush()
}
