//! Signed calls: several at once over connections that are kept, each tried again where that may help, and one long poll.
//!
//! Nothing waits in a thread of its own: calls that are made together are all sent before the first answer is read, and a long
//! poll is looked at whenever somebody has time for it.

use super::credentials::{Credentials, Keys};
use super::error::{AwsError, Cause, Done};
use super::sign::{self, Scope, Signed};
use super::{Access, host_of};
use crate::http_connection::{HttpAnswer, HttpConnection};
use crate::socket::{monotonic, told};
use auth::https::Url;
use auth::tls::ClientConfig;
use base::ErrorKind;
use os::Os;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an answer at most: ten messages of a megabyte each, and what JSON adds to them.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// How often a call is made that is refused because too much is asked for.
const TRIES_MAX: u32 = 5;
/// The pause before the second try; each is twice the one before, less a random part.
const PAUSE_MS: u64 = 100;
/// How often keys are looked for again when they are refused: whoever rotates them may not have written them yet.
const RENEWALS_MAX: u32 = 8;
const RENEWAL_PAUSE_MS: u64 = 250;

/// One request to a service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Call {
    pub method: &'static str,
    /// As it is meant; it is encoded when it is sent.
    pub path: String,
    pub query: Vec<(String, String)>,
    /// Names in small letters; besides those that every request has.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Call {
    /// Of the services that speak JSON: `target` is `SERVICE.Action`.
    pub(crate) fn json(version: &str, target: &str, body: &serde_json::Value) -> Call {
        let header = |name: &str, value: String| (name.to_string(), value);
        Call {
            method: "POST",
            path: "/".into(),
            headers: vec![
                header("content-type", format!("application/x-amz-json-{version}")),
                header("x-amz-target", target.to_string()),
            ],
            body: body.to_string().into_bytes(),
            ..Call::default()
        }
    }
}

/// `name=value&…`
pub(super) fn form(parts: &[(&str, &str)]) -> String {
    let parts: Vec<String> = parts
        .iter()
        .map(|(name, value)| format!("{}={}", sign::encoded(name, false), sign::encoded(value, false)))
        .collect();
    parts.join("&")
}

/// The bytes of a request. Header values come from options too: what would break the head is left out.
pub(super) fn written(method: &str, target: &str, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    for (name, value) in headers {
        let value: String =
            value.chars().filter(|character| !matches!(character, '\r' | '\n' | '\0')).collect();
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    [head.as_bytes(), body].concat()
}

/// A connection that is made when it is needed.
#[derive(Default)]
struct Lane {
    connection: Option<HttpConnection>,
    /// Whether the connection had served a call before the one under way: its server may have given it up meanwhile.
    is_used: bool,
}

/// A call whose answer may be long in coming.
struct Long {
    call: Call,
    /// By the monotonic clock.
    until: Duration,
}

pub(crate) struct Client {
    os: Os,
    url: Url,
    tls: Option<Arc<ClientConfig>>,
    region: String,
    service: &'static str,
    timeout: Duration,
    credentials: Credentials,
    lanes: Vec<Lane>,
    long_lane: Lane,
    long: Option<Long>,
}

impl Client {
    pub(super) fn new(
        access: &Access,
        tls: Option<Arc<ClientConfig>>,
        credentials: Credentials,
        lanes: usize,
    ) -> Client {
        Client {
            os: access.os.clone(),
            url: access.url.clone(),
            tls,
            region: access.region.clone(),
            service: access.service,
            timeout: access.timeout,
            credentials,
            lanes: std::iter::repeat_with(Lane::default).take(lanes.max(1)).collect(),
            long_lane: Lane::default(),
            long: None,
        }
    }

    pub(crate) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    fn now(&self) -> Duration {
        monotonic(&*self.os.clock)
    }

    pub(crate) fn call(&mut self, call: &Call) -> Done<HttpAnswer> {
        let mut answers = self.call_all(std::slice::from_ref(call));
        answers.pop().unwrap_or_else(|| Err(AwsError::unavailable("there is no answer")))
    }

    /// Makes calls together; the answers are in their order.
    pub(crate) fn call_all(&mut self, calls: &[Call]) -> Vec<Done<HttpAnswer>> {
        let mut answers: Vec<Option<Done<HttpAnswer>>> = calls.iter().map(|_| None).collect();
        let mut waiting: Vec<usize> = (0..calls.len()).collect();
        let (mut tries, mut renewals) = (0, 0);
        while !waiting.is_empty() {
            let mut again = Vec::new();
            let mut is_of_keys = false;
            for group in waiting.chunks(self.lanes.len()) {
                let together: Vec<&Call> = group.iter().map(|index| &calls[*index]).collect();
                for (index, answer) in group.iter().zip(self.once(&together)) {
                    match &answer {
                        Err(error) if error.cause == Cause::Passing && tries + 1 < TRIES_MAX => {
                            again.push(*index)
                        }
                        Err(error) if error.cause == Cause::Keys && renewals < RENEWALS_MAX => {
                            is_of_keys = true;
                            again.push(*index);
                        }
                        _ => {}
                    }
                    answers[*index] = Some(answer);
                }
            }
            if again.is_empty() {
                break;
            }
            if is_of_keys {
                renewals += 1;
                if !matches!(self.credentials.renew(), Ok(true)) {
                    std::thread::sleep(Duration::from_millis(RENEWAL_PAUSE_MS));
                }
            } else {
                tries += 1;
                self.pause(tries);
            }
            waiting = again;
        }
        let missing = || Err(AwsError::unavailable("there is no answer"));
        answers.into_iter().map(|answer| answer.unwrap_or_else(missing)).collect()
    }

    /// Waits before another try, the longer the more there were.
    pub(crate) fn pause(&self, tries: u32) {
        let longest_ms = PAUSE_MS << tries.clamp(1, 8);
        let pause_ms = longest_ms / 2 + self.os.random.next_u64() % (longest_ms / 2);
        std::thread::sleep(Duration::from_millis(pause_ms));
    }

    /// Each call over a lane of its own.
    fn once(&mut self, calls: &[&Call]) -> Vec<Done<HttpAnswer>> {
        let keys = match self.credentials.get() {
            Ok(keys) => keys,
            Err(error) => return calls.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut lanes = std::mem::take(&mut self.lanes);
        let requests: Vec<Vec<u8>> = calls.iter().map(|call| self.request(call, &keys)).collect();
        let sent: Vec<io::Result<()>> =
            lanes.iter_mut().zip(&requests).map(|(lane, request)| self.send(lane, request)).collect();
        let mut answers = Vec::with_capacity(calls.len());
        for ((lane, request), sent) in lanes.iter_mut().zip(&requests).zip(sent) {
            let received = sent.and_then(|()| self.receive(lane, request, self.timeout));
            answers.push(match received {
                Ok(Some(answer)) => self.understood(answer),
                Ok(None) => {
                    lane.connection = None;
                    Err(AwsError::unavailable(format!("{} has not answered in time", self.url.address())))
                }
                Err(error) => {
                    lane.connection = None;
                    Err(self.lost(&error))
                }
            });
        }
        self.lanes = lanes;
        answers
    }

    fn understood(&self, answer: HttpAnswer) -> Done<HttpAnswer> {
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(AwsError::of(&answer, self.os.clock.now_ms()))
    }

    fn lost(&self, error: &io::Error) -> AwsError {
        let place = self.url.address();
        match error.kind() {
            // The certificate, or a guarded address.
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied => {
                AwsError::invalid(format!("{place}: {error}"))
            }
            _ => AwsError::unavailable(format!("{place} cannot be asked: {}", told(error))),
        }
    }

    fn request(&self, call: &Call, keys: &Keys) -> Vec<u8> {
        let time = sign::time_text(self.os.clock.now_ms());
        let payload = sign::hash(&call.body);
        let mut headers = call.headers.clone();
        headers.push(("host".into(), host_of(&self.url)));
        headers.push(("x-amz-date".into(), time.clone()));
        if self.service == "s3" {
            headers.push(("x-amz-content-sha256".into(), payload.clone()));
        }
        if let Some(token) = &keys.session_token {
            headers.push(("x-amz-security-token".into(), token.clone()));
        }
        let path = sign::encoded(&call.path, true);
        let query = sign::query_text(&call.query);
        let scope = Scope { time: &time, region: &self.region, service: self.service };
        let signed = Signed {
            method: call.method,
            path: &path,
            query: &query,
            headers: headers.clone(),
            payload: &payload,
        };
        headers.push(("authorization".into(), sign::authorization(keys, scope, &signed)));
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        written(call.method, &target, &headers, &call.body)
    }

    fn connect(&self) -> io::Result<HttpConnection> {
        HttpConnection::connect(&self.os, &self.url, self.tls.clone(), self.timeout, ANSWER_BYTES_MAX)
    }

    fn send(&self, lane: &mut Lane, request: &[u8]) -> io::Result<()> {
        if let Some(connection) = lane.connection.as_mut().filter(|connection| connection.is_free()) {
            lane.is_used = true;
            if connection.send(request).is_ok() {
                return Ok(());
            }
        }
        self.send_anew(lane, request)
    }

    fn send_anew(&self, lane: &mut Lane, request: &[u8]) -> io::Result<()> {
        lane.is_used = false;
        lane.connection = None;
        lane.connection.insert(self.connect()?).send(request)
    }

    /// The answer; where a kept connection ends without a byte of it, the request is sent over a new one.
    fn receive(&self, lane: &mut Lane, request: &[u8], wait: Duration) -> io::Result<Option<HttpAnswer>> {
        let Some(connection) = &mut lane.connection else { return Ok(None) };
        match connection.receive(wait) {
            Err(_) if lane.is_used && !connection.has_begun() => {
                self.send_anew(lane, request)?;
                lane.connection.as_mut().map_or(Ok(None), |connection| connection.receive(wait))
            }
            received => received,
        }
    }

    /// Begins a call that the service may take `longest` to answer, besides the time-out.
    pub(crate) fn begin_long(&mut self, call: Call, longest: Duration) -> Done<()> {
        let keys = self.credentials.get()?;
        let request = self.request(&call, &keys);
        let mut lane = std::mem::take(&mut self.long_lane);
        let sent = self.send(&mut lane, &request);
        self.long_lane = lane;
        sent.map_err(|error| self.lost(&error))?;
        let until = self.now().saturating_add(longest).saturating_add(self.timeout);
        self.long = Some(Long { call, until });
        Ok(())
    }

    pub(crate) fn is_long_under_way(&self) -> bool {
        self.long.is_some()
    }

    /// The answer to the long call, if it comes within `wait`.
    pub(crate) fn end_long(&mut self, wait: Duration) -> Done<Option<HttpAnswer>> {
        let Some(long) = &self.long else { return Ok(None) };
        let (until, keys) = (long.until, self.credentials.get()?);
        let request = self.request(&long.call, &keys);
        let mut lane = std::mem::take(&mut self.long_lane);
        let received = self.receive(&mut lane, &request, wait);
        self.long_lane = lane;
        match received {
            Ok(None) if self.now() > until => {
                self.long = None;
                self.long_lane = Lane::default();
                Err(AwsError::new(
                    ErrorKind::Unavailable,
                    format!("{} has not answered in time", self.url.address()),
                ))
            }
            Ok(None) => Ok(None),
            Ok(Some(answer)) => {
                self.long = None;
                self.understood(answer).map(Some)
            }
            Err(error) => {
                self.long = None;
                self.long_lane = Lane::default();
                Err(self.lost(&error))
            }
        }
    }
}
