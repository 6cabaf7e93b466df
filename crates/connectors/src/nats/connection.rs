//! A connection to a server of NATS: it logs in, asks JetStream, pulls messages and publishes them.
//!
//! Nothing runs in the background: whoever holds it calls it often enough for `PING` and `PONG` to go both ways. Answers
//! come to one inbox, whose last token says what they answer; messages that are pulled come to another, and have the
//! subject that they were published with.

use super::frames::{self, Frame, Message};
use crate::messages::{Credentials, Done, EVENTS_BYTES_MAX, Line, ServerError, not_connected};
use auth::socket::Secured;
use base::ErrorKind;
use os::Os;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;

const ANSWERS: u64 = 1;
const PULLED: u64 = 2;
/// What the replies of a stream's messages begin with.
pub(super) const PLACED: &str = "$JS.ACK.";
/// What is to be sent is sent when it has grown to this size.
const OUTGOING_BYTES: usize = 256 << 10;
/// What a server takes that does not say.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// Who logs in beyond user and password.
pub(super) struct Login<'a> {
    pub token: Option<&'a str>,
    /// The seed of an NKey.
    pub nkey: Option<&'a str>,
    /// The text of a file of credentials.
    pub file: Option<&'a str>,
    pub heartbeat: Duration,
    /// How the connection is called in the server's lists.
    pub name: &'a str,
}

pub(super) struct Connection {
    line: Line,
    inbox: String,
    requests: u64,
    events: VecDeque<Message>,
    events_bytes: usize,
    /// The longest message that the server takes, with its headers.
    pub(super) payload_bytes_max: usize,
    pongs: u64,
    /// What JetStream's subjects begin with.
    prefix: String,
}

impl Connection {
    pub(super) fn open(
        stream: Secured,
        os: &Os,
        timeout: Duration,
        credentials: &Credentials<'_>,
        login: &Login<'_>,
        domain: Option<&str>,
    ) -> Done<Connection> {
        let clock = os.clock.clone();
        let mut line = Line::new(stream, clock.clone(), timeout);
        let info = greeting(&mut line)?;
        if let Some((config, host)) = &credentials.tls {
            if !line.incoming.is_empty() {
                return Err(ServerError::malformed("it says more than a greeting before TLS"));
            }
            let secured = line.into_stream().secured(config.clone(), host);
            line = Line::new(secured.map_err(|error| not_connected(&error))?, clock, timeout);
        } else if info["tls_required"] == true {
            return Err(ServerError::invalid("the server wants TLS: write 'tls://…' in 'url'"));
        }
        line.set_heartbeat(login.heartbeat);
        let max_payload = info["max_payload"].as_u64().and_then(|bytes| usize::try_from(bytes).ok());
        let mut connection = Connection {
            line,
            inbox: format!("_INBOX.{:016x}{:016x}", os.random.next_u64(), os.random.next_u64()),
            requests: 0,
            events: VecDeque::new(),
            events_bytes: 0,
            payload_bytes_max: max_payload.unwrap_or(PAYLOAD_BYTES_MAX),
            pongs: 0,
            prefix: domain.map_or("$JS.API".into(), |domain| format!("$JS.{domain}.API")),
        };
        let hello = hello(&info, credentials, login)?;
        let inbox = connection.inbox.clone();
        let words =
            format!("CONNECT {hello}\r\nPING\r\nSUB {inbox}.a.* {ANSWERS}\r\nSUB {inbox}.p.* {PULLED}\r\n");
        connection.line.outgoing.extend_from_slice(words.as_bytes());
        connection.flush()?;
        let until = connection.line.answer_until();
        // More than the greeting may have come already.
        let mut taken = connection.take_frames();
        loop {
            taken.map_err(|error| match refusal(&error.message) {
                true => credentials.refused(&error.message),
                false => error,
            })?;
            if connection.pongs > 0 {
                break;
            }
            let left = connection.line.left(until)?;
            taken = connection.receive(left);
        }
        Ok(connection)
    }

    /// Where answers come that `token` tells apart.
    pub(super) fn reply_to(&self, token: &str) -> String {
        format!("{}.a.{token}", self.inbox)
    }

    /// Asks JetStream, and waits for the answer.
    pub(super) fn ask(&mut self, what: &str, request: &Value) -> Done<Value> {
        self.requests += 1;
        let token = format!("r{}", self.requests);
        let (subject, reply) = (format!("{}.{what}", self.prefix), self.reply_to(&token));
        let body = if request.is_null() { Vec::new() } else { request.to_string().into_bytes() };
        self.put(&subject, Some(&reply), &[], &body)?;
        self.flush()?;
        let until = self.line.answer_until();
        let before = self.events.len();
        loop {
            let found = self.events.iter().position(|message| message.answered() == Some(&token));
            if let Some(message) = found.and_then(|index| self.events.remove(index)) {
                self.events_bytes -= message.bytes();
                return answer(what, &message);
            }
            // Others' answers are no more than were asked for.
            if self.events.len() > before + ASKED_MEANWHILE_MAX {
                return Err(ServerError::malformed("it answers what nobody asked"));
            }
            let left = self.line.left(until)?;
            self.receive(left)?;
            self.beat()?;
        }
    }

    /// Asks a consumer for its next messages; they come to the token's inbox.
    pub(super) fn pull(&mut self, stream: &str, consumer: &str, token: &str, request: &Value) -> Done<()> {
        let subject = format!("{}.CONSUMER.MSG.NEXT.{stream}.{consumer}", self.prefix);
        let reply = format!("{}.p.{token}", self.inbox);
        self.put(&subject, Some(&reply), &[], request.to_string().as_bytes())?;
        self.flush()
    }

    /// Puts a message on its way. [`Connection::flush`] sends what is left.
    pub(super) fn put(
        &mut self,
        subject: &str,
        reply: Option<&str>,
        headers: &[(String, Vec<u8>)],
        payload: &[u8],
    ) -> Done<()> {
        frames::put(&mut self.line.outgoing, subject, reply, headers, payload);
        if self.line.outgoing.len() >= OUTGOING_BYTES { self.flush() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> Done<()> {
        let Err(error) = self.line.send() else { return Ok(()) };
        // A server that closes the connection has said why.
        self.receive(Duration::ZERO)?;
        Err(error)
    }

    /// The next message, after waiting for it for so long at most.
    pub(super) fn take(&mut self, wait: Duration) -> Done<Option<Message>> {
        if self.events.is_empty() {
            self.wait(wait)?;
        }
        let message = self.events.pop_front();
        self.events_bytes -= message.as_ref().map_or(0, Message::bytes);
        Ok(message)
    }

    /// What has come and was not taken.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Message> {
        self.events.iter()
    }

    pub(super) fn now(&self) -> Duration {
        self.line.now()
    }

    /// Keeps the connection alive.
    pub(super) fn tend(&mut self) -> Done<()> {
        self.wait(Duration::ZERO)
    }

    fn wait(&mut self, wait: Duration) -> Done<()> {
        self.flush()?;
        if self.events_bytes < EVENTS_BYTES_MAX {
            self.receive(wait)?;
        }
        self.beat()
    }

    fn beat(&mut self) -> Done<()> {
        if self.line.beat(self.events_bytes >= EVENTS_BYTES_MAX)? {
            self.line.outgoing.extend_from_slice(b"PING\r\n");
            self.flush()?;
        }
        Ok(())
    }

    /// Reads once, and takes the frames that are whole.
    fn receive(&mut self, wait: Duration) -> Done<()> {
        if self.line.receive(wait)? { self.take_frames() } else { Ok(()) }
    }

    fn take_frames(&mut self) -> Done<()> {
        let incoming = std::mem::take(&mut self.line.incoming);
        let mut start = 0;
        while let Some((frame, length)) = frames::parse(&incoming[start..])? {
            start += length;
            match frame {
                Frame::Message(message) => {
                    self.events_bytes += message.bytes();
                    self.events.push_back(message);
                }
                Frame::Ping => self.line.outgoing.extend_from_slice(b"PONG\r\n"),
                Frame::Pong => self.pongs += 1,
                Frame::Error(words) => return Err(said(&words)),
                Frame::Info(_) | Frame::Ok => {}
            }
        }
        self.line.incoming = incoming;
        self.line.incoming.drain(..start);
        self.line.send()
    }
}

impl Message {
    /// The token of the request that it answers.
    pub(super) fn answered(&self) -> Option<&str> {
        Some(self.token()).filter(|_| self.sid == ANSWERS)
    }

    /// The token of the pull of which the server says something, or nothing of a message that was pulled.
    pub(super) fn pulled(&self) -> Option<&str> {
        Some(if self.is_word() { self.token() } else { "" }).filter(|_| self.sid == PULLED)
    }

    /// Whether the server says it: a publisher may write what looks like a status, into a message with a place of its own.
    pub(super) fn is_word(&self) -> bool {
        self.status.is_some() && !self.reply.as_deref().is_some_and(|reply| reply.starts_with(PLACED))
    }

    fn token(&self) -> &str {
        self.subject.rsplit_once('.').map_or("", |(_, token)| token)
    }
}

/// Messages of a pull and confirms that come before an answer.
const ASKED_MEANWHILE_MAX: usize = 1 << 20;

/// What the server says of itself before anything else.
fn greeting(line: &mut Line) -> Done<Value> {
    let until = line.answer_until();
    loop {
        if let Some((frame, length)) = frames::parse(&line.incoming)? {
            line.incoming.drain(..length);
            return match frame {
                Frame::Info(text) => serde_json::from_slice(&text)
                    .map_err(|error| ServerError::malformed(&format!("its greeting is no JSON: {error}"))),
                Frame::Error(words) => Err(said(&words)),
                _ => Err(ServerError::malformed("it does not begin with INFO")),
            };
        }
        let left = line.left(until)?;
        line.receive(left)?;
    }
}

fn hello(info: &Value, credentials: &Credentials<'_>, login: &Login<'_>) -> Done<Value> {
    let mut hello = json!({
        "verbose": false, "pedantic": false, "headers": true, "no_responders": true, "protocol": 1,
        "tls_required": credentials.tls.is_some(), "name": login.name,
        "lang": "eventwright", "version": env!("CARGO_PKG_VERSION"),
    });
    if info["headers"] != true {
        return Err(ServerError::invalid("the server is too old: it has no headers (NATS 2.2 has them)"));
    }
    let nonce = info["nonce"].as_str().unwrap_or_default();
    let wrong = |what: &str, error: auth::AuthError| ServerError::invalid(format!("'{what}': {error}"));
    if let Some(text) = login.file {
        let found =
            auth::nkeys::Credentials::parse(text).map_err(|error| wrong("credentials-file", error))?;
        hello["jwt"] = found.jwt.into();
        hello["sig"] = found.key.sign(nonce.as_bytes()).into();
    } else if let Some(seed) = login.nkey {
        let key = auth::nkeys::Nkey::from_seed(seed).map_err(|error| wrong("nkey", error))?;
        hello["nkey"] = key.public().into();
        hello["sig"] = key.sign(nonce.as_bytes()).into();
    } else if let Some(token) = login.token {
        hello["auth_token"] = token.into();
    } else {
        match (credentials.user, credentials.password) {
            // In a URL a user without a password is a token.
            (Some(token), None) => hello["auth_token"] = token.into(),
            (Some(user), Some(password)) => {
                hello["user"] = user.into();
                hello["pass"] = password.into();
            }
            (None, _) => {}
        }
    }
    Ok(hello)
}

fn refusal(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["authorization violation", "authentication expired", "authentication revoked"]
        .iter()
        .any(|words| message.contains(words))
}

/// What the server says before it closes the connection, or of a right that we do not have.
fn said(words: &str) -> ServerError {
    let lower = words.to_ascii_lowercase();
    let kind = match () {
        () if lower.contains("permissions violation") || lower.contains("maximum payload") => {
            ErrorKind::Invalid
        }
        () if lower.contains("secure connection") || lower.contains("invalid") => ErrorKind::Invalid,
        // A user whose password has changed logs in anew, which tells.
        () => ErrorKind::Unavailable,
    };
    ServerError::new(kind, format!("the server says: {words}"))
}

/// The answer of JetStream to a request.
fn answer(what: &str, message: &Message) -> Done<Value> {
    if let Some((503, _)) = message.status {
        return Err(ServerError::unavailable("JetStream does not answer: the server may have it turned off"));
    }
    let answer: Value = serde_json::from_slice(&message.payload)
        .map_err(|error| ServerError::malformed(&format!("its answer to {what} is no JSON: {error}")))?;
    match &answer["error"] {
        Value::Null => Ok(answer),
        error => Err(api_error(error)),
    }
}

/// An error of JetStream's API.
pub(super) fn api_error(error: &Value) -> ServerError {
    let kind = match error["code"].as_u64() {
        Some(404) => ErrorKind::NotFound,
        // It has too much to do just now.
        Some(408 | 429) => ErrorKind::Unavailable,
        Some(400..=499) => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    let words = error["description"].as_str().unwrap_or("an error without a description");
    let code = error["err_code"].as_u64().unwrap_or_default();
    ServerError::new(kind, format!("the server says: {words} (code {code})"))
}
