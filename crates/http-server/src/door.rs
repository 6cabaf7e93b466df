//! Who may come in, and do what: users, tokens and certificates are those of the Kafka port, and so are the rules.
//!
//! To look at jobs needs Describe on the cluster, to change them Alter; to publish events, and to send what observability sends, Write
//! on their topic, to follow it Read. Schemas lie in the topic `_schemas`: who may read
//! it may ask for them, who may write it may change them. Where no rule binds anybody, as on a node without users,
//! everybody may.

use crate::events;
use crate::reply::Reply;
use auth::plain::Login;
use broker::Broker;
use broker::security::{NotAdmitted, Operation, Proof, ResourceType, Visitor};
use broker::server::Lines;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Response, StatusCode};
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

const SCHEMAS_TOPIC: &str = "_schemas";

pub(crate) struct Door {
    broker: Arc<Broker>,
    /// Passwords that are checked at once: each takes milliseconds of a core.
    passwords: Arc<Semaphore>,
    lines: Lines,
    log: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Which part of the server a request is for: what it needs, and the form of a refusal, are that part's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    Site,
    Registry,
    Events,
    /// What observability sends, for this topic.
    Telemetry(&'a str),
}

/// On the other end of a connection.
#[derive(Clone)]
pub(crate) struct Caller {
    pub host: IpAddr,
    /// The subject of its certificate, which was checked.
    pub certificate: Option<String>,
}

impl Door {
    pub(crate) fn new(broker: Arc<Broker>, log: Arc<dyn Fn(&str) + Send + Sync>) -> Door {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let passwords = Arc::new(Semaphore::new((cores / 2).max(1)));
        Door { broker, passwords, lines: Lines::default(), log }
    }

    /// Whoever asks, or the refusal if the request is not to be answered.
    pub(crate) async fn admit(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        (method, path): (&Method, &str),
        asked: Asked<'_>,
    ) -> Result<Visitor, Response<Full<Bytes>>> {
        let visitor = self.who(caller, headers).await.map_err(|words| self.unknown(&words, asked))?;
        match self.refusal(&visitor, (method, path), asked) {
            None => Ok(visitor),
            Some(refusal) => Err(refusal),
        }
    }

    /// The refusal, if the request is not for this visitor.
    pub(crate) fn refusal(
        &self,
        visitor: &Visitor,
        (method, path): (&Method, &str),
        asked: Asked<'_>,
    ) -> Option<Response<Full<Bytes>>> {
        let (permitted, needed) = needs(visitor, method, path, asked);
        if permitted {
            return None;
        }
        if visitor.is_anonymous {
            let message = "nobody may do this without a log-in: send a user and a password (Basic), or a token (Bearer)";
            return Some(self.unknown(message, asked));
        }
        let message = format!("{} has no rule for this, which needs {needed}", visitor.shown());
        Some(refused(StatusCode::FORBIDDEN, &message, asked))
    }

    /// Whoever asks, or what to tell them.
    pub(crate) async fn who(&self, caller: &Caller, headers: &HeaderMap) -> Result<Visitor, String> {
        let proof = proof(headers, caller)?;
        let refused = self.checked(proof, caller).await;
        refused.map_err(|_| "log in with a user and a password (Basic), or with a token (Bearer)".to_owned())
    }

    /// The user, if the password is theirs.
    pub(crate) async fn log_in(&self, login: Login, caller: &Caller) -> Result<Visitor, &'static str> {
        let visitor = self.checked(Proof::Password(login), caller).await;
        visitor.map_err(|_| "the user or the password is wrong")
    }

    /// Who fails is told of it in the log, and later than who does not.
    async fn checked(&self, proof: Proof, caller: &Caller) -> Result<Visitor, NotAdmitted> {
        let checked = self.check(proof, caller.host).await;
        if let Err(NotAdmitted { reason, wait_ms }) = &checked
            && *wait_ms > 0
        {
            self.tell(&format!("{reason} peer={}", caller.host));
            tokio::time::sleep(Duration::from_millis(*wait_ms)).await;
        }
        checked
    }

    async fn check(&self, proof: Proof, host: IpAddr) -> Result<Visitor, NotAdmitted> {
        if !matches!(proof, Proof::Password(_)) {
            return self.broker.admit(&proof, host);
        }
        // The semaphore is never closed.
        let place = self.passwords.clone().acquire_owned().await;
        let broker = self.broker.clone();
        // It keeps its place also if the client goes away meanwhile.
        let check = move || {
            let _place = place;
            broker.admit(&proof, host)
        };
        let checked = tokio::task::spawn_blocking(check).await;
        checked.unwrap_or_else(|_| Err(NotAdmitted { reason: "the check did not end".into(), wait_ms: 0 }))
    }

    /// 401, with what the client may send instead.
    fn unknown(&self, message: &str, asked: Asked<'_>) -> Response<Full<Bytes>> {
        let mut response = refused(StatusCode::UNAUTHORIZED, message, asked);
        let headers = response.headers_mut();
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"eventwright\""));
        if self.broker.tokens().is_some() {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"eventwright\""));
        }
        response
    }

    pub(crate) fn tell(&self, line: &str) {
        let now_ms = self.broker.monotonic_ms();
        if let Some(line) = self.lines.pass(line, now_ms) {
            (self.log)(&line);
        }
    }
}

/// Whether the visitor may, and the words for what it needs.
fn needs(visitor: &Visitor, method: &Method, path: &str, asked: Asked<'_>) -> (bool, &'static str) {
    let looks = method == Method::GET || method == Method::HEAD;
    match asked {
        Asked::Registry => {}
        Asked::Events => return events::needs(visitor, method, path),
        Asked::Telemetry(topic) => {
            return (visitor.may(Operation::Write, ResourceType::Topic, topic), "Write on its topic");
        }
        Asked::Site if looks => {
            return (visitor.may_on_cluster(Operation::Describe), "Describe on the cluster");
        }
        Asked::Site => return (visitor.may_on_cluster(Operation::Alter), "Alter on the cluster"),
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    // Questions that are too long for a path.
    let asks = method == Method::POST && matches!(parts[..], ["subjects", _] | ["compatibility", ..]);
    let may = |operation| visitor.may(operation, ResourceType::Topic, SCHEMAS_TOPIC);
    match looks || asks {
        true => (may(Operation::Read), "Read on the topic _schemas"),
        false => (may(Operation::Write), "Write on the topic _schemas"),
    }
}

fn refused(status: StatusCode, message: &str, asked: Asked<'_>) -> Response<Full<Bytes>> {
    if asked != Asked::Registry {
        return Reply::error(status, message).into_response();
    }
    // As Confluent's registry numbers them.
    let code = if status == StatusCode::FORBIDDEN { 40301 } else { i32::from(status.as_u16()) };
    Reply { status, body: json!({"error_code": code, "message": message}) }.into_response()
}

/// What a request says of who sent it.
fn proof(headers: &HeaderMap, caller: &Caller) -> Result<Proof, &'static str> {
    let mut given = headers.get_all(AUTHORIZATION).into_iter();
    let Some(value) = given.next() else {
        return Ok(caller.certificate.clone().map_or(Proof::Nothing, Proof::Certificate));
    };
    if given.next().is_some() {
        return Err("there are two Authorization headers");
    }
    let text = value.to_str().map_err(|_| "the Authorization header is no text")?;
    if let Some(token) = auth::bearer::of_scheme(text) {
        return Ok(Proof::Token(token.to_string()));
    }
    let damaged =
        "the Authorization header is neither 'Basic' with a user and a password nor 'Bearer' with a token";
    Login::of_basic(text).map(Proof::Password).ok_or(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let caller = Caller { host: IpAddr::from([127, 0, 0, 1]), certificate: Some("CN=a".into()) };
        proof(&headers, &caller).map(|proof| match proof {
            Proof::Nothing => "nothing".into(),
            Proof::Password(login) => format!("{} {}", login.user, login.password),
            Proof::Token(token) => format!("token {token}"),
            Proof::Certificate(subject) => subject,
        })
    }

    #[test]
    fn headers_say_who_sent_a_request() {
        assert_eq!(read(&[]).unwrap(), "CN=a");
        assert_eq!(read(&[&Login::basic("älice", "ü")]).unwrap(), "älice ü");
        assert_eq!(read(&["Bearer a.b-c.d_e"]).unwrap(), "token a.b-c.d_e");
        for wrong in ["", "Basic", "Bearer", "Bearer a b", "Digest x"] {
            read(&[wrong]).unwrap_err();
        }
        read(&[&Login::basic("a", "b"), "Bearer a.b.c"]).unwrap_err();
    }
}
