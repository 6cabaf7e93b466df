//! Lets a client in: its start-up message, and SCRAM-SHA-256 where it has to say who it is.
//!
//! Users and rules are those of the Kafka port. Where that asks nobody to log in, a client that names a user with a
//! password must prove it; anybody else is nobody in particular.

use super::link::{Link, LinkError};
use crate::engine::Session;
use crate::error::{Code, PgError};
use crate::server::{Node, Peer};
use crate::settings::{SERVER_VERSION, Settings};
use crate::wire::{FIRST_BYTES_MAX, Request, Startup, WireError};
use broker::security::{NotAdmitted, Proof, Visitor};
use bytes::Bytes;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

const MECHANISM: &str = "SCRAM-SHA-256";
/// A log-in takes no longer.
const LOGIN_MAX: Duration = Duration::from_secs(30);

pub(super) struct Login {
    pub session: Session,
    pub visitor: Visitor,
    pub secret: u32,
}

/// `None` where the client was refused, or went away.
pub(super) async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    node: &Node,
    peer: &Peer,
) -> Result<Option<Login>, LinkError> {
    match tokio::time::timeout(LOGIN_MAX, admit(link, node, peer)).await {
        Err(_) => Err(LinkError::Gone),
        Ok(Err(error)) => Err(error),
        Ok(Ok(Ok(login))) => Ok(Some(login)),
        Ok(Ok(Err(refusal))) => {
            link.answer().error(&refusal.fatal());
            link.flush().await?;
            Ok(None)
        }
    }
}

async fn admit<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    node: &Node,
    peer: &Peer,
) -> Result<Result<Login, PgError>, LinkError> {
    let Startup::Begin { minor, parameters } = &peer.startup else {
        return Err(WireError::new("a connection begins with a start-up message").into());
    };
    let Some(user) = parameters.get("user").filter(|user| !user.is_empty()) else {
        return Ok(Err(PgError::new(
            Code::INVALID_AUTHORIZATION,
            "no PostgreSQL user name specified in startup packet",
        )));
    };
    if matches!(parameters.get("replication").map(String::as_str), Some(value) if !matches!(value, "false" | "off" | "no" | "0"))
    {
        let error = PgError::new(Code::FEATURE_NOT_SUPPORTED, "replication connections are not served");
        return Ok(Err(error.hint("SUBSCRIBE follows a view")));
    }
    let options: Vec<&str> =
        parameters.keys().map(String::as_str).filter(|name| name.starts_with("_pq_.")).collect();
    if *minor > 0 || !options.is_empty() {
        link.answer().negotiate_version(&options);
    }
    let visitor = match (&peer.certificate, node.must_log_in(user)) {
        (Some(subject), _) => node.broker.admit(&Proof::Certificate(subject.clone()), peer.host),
        (None, true) => match scram(link, node, peer, user).await? {
            Ok(admitted) => admitted,
            Err(refusal) => return Ok(Err(refusal)),
        },
        (None, false) => node.broker.admit(&Proof::Nothing, peer.host),
    };
    let visitor = match visitor {
        Ok(visitor) => visitor,
        Err(NotAdmitted { reason, wait_ms }) => {
            if wait_ms > 0 {
                node.tell(&format!("{reason} peer={}", peer.host));
                link.flush().await?;
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            }
            return Ok(Err(wrong_password(user)));
        }
    };
    let session = match session(node, user, parameters) {
        Ok(session) => session,
        Err(error) => return Ok(Err(error)),
    };
    link.answer().authentication_ok();
    Ok(Ok(Login { session, visitor, secret: node.secret() }))
}

fn wrong_password(user: &str) -> PgError {
    PgError::new(Code::INVALID_PASSWORD, format!("password authentication failed for user \"{user}\""))
}

async fn scram<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    node: &Node,
    peer: &Peer,
    user: &str,
) -> Result<Result<Result<Visitor, NotAdmitted>, PgError>, LinkError> {
    link.answer().authentication_sasl(&[MECHANISM]);
    link.flush().await?;
    let first = match first_message(&answer_of(link).await?) {
        Ok(first) => first,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let refused = |error: auth::AuthError| Ok(Err(PgError::new(Code::INVALID_PASSWORD, error.to_string())));
    let (exchange, challenge) = match node.broker.begin_scram(user, &first) {
        Ok(begun) => begun,
        Err(error) => return refused(error),
    };
    link.answer().authentication_sasl_continue(&challenge);
    link.flush().await?;
    let proof = answer_of(link).await?;
    Ok(Ok(node.broker.finish_scram(&exchange, &proof, peer.host).map(|(visitor, last)| {
        link.answer().authentication_sasl_final(&last);
        visitor
    })))
}

async fn answer_of<S: AsyncRead + AsyncWrite + Unpin>(link: &mut Link<S>) -> Result<Bytes, LinkError> {
    let (kind, message) = link.message(FIRST_BYTES_MAX).await?.ok_or(LinkError::Gone)?;
    match Request::parse(kind, message)? {
        Request::Password(data) => Ok(data),
        _ => Err(WireError::new("an answer to the log-in is expected").into()),
    }
}

/// SASLInitialResponse: the mechanism, and the first message with its length.
fn first_message(data: &Bytes) -> Result<Bytes, PgError> {
    let wrong = || PgError::new(Code::PROTOCOL_VIOLATION, "the first message of the log-in is malformed");
    let end = memchr::memchr(0, data).ok_or_else(wrong)?;
    if &data[..end] != MECHANISM.as_bytes() {
        let error =
            PgError::new(Code::PROTOCOL_VIOLATION, "the client chose another mechanism than SCRAM-SHA-256");
        return Err(error);
    }
    let rest = data.slice(end + 1..);
    let length = rest.get(..4).ok_or_else(wrong)?;
    let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
    if rest.len() - 4 != length {
        return Err(wrong());
    }
    Ok(rest.slice(4..))
}

/// A session with the settings that the start-up message gives.
fn session(
    node: &Node,
    user: &str,
    parameters: &std::collections::BTreeMap<String, String>,
) -> Result<Session, PgError> {
    let mut settings = Settings::new(user);
    for (name, value) in parameters {
        match name.as_str() {
            "user" | "database" | "replication" => {}
            name if name.starts_with("_pq_.") => {}
            "options" => {
                for (name, value) in options(value) {
                    settings.set(&name, Some(&value), false)?;
                }
            }
            name => drop(settings.set(name, Some(value), false)?),
        }
    }
    settings.begin();
    Ok(Session {
        user: user.to_string(),
        database: parameters
            .get("database")
            .filter(|name| !name.is_empty())
            .map_or(user, String::as_str)
            .to_string(),
        version: format!("PostgreSQL {SERVER_VERSION} (Eventwright {})", node.version),
        process: 0,
        settings,
    })
}

/// `-c name=value --other=value`
fn options(text: &str) -> Vec<(String, String)> {
    let mut words = text.split_ascii_whitespace().peekable();
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        let setting = match word {
            "-c" => words.next(),
            word => word.strip_prefix("-c").or_else(|| word.strip_prefix("--")),
        };
        if let Some((name, value)) = setting.and_then(|setting| setting.split_once('=')) {
            found.push((name.replace('-', "_"), value.to_string()));
        }
    }
    found
}
