//! What the errors mean that a server ends a connection with. They have words and no codes, so the words of ActiveMQ
//! Classic, Artemis and RabbitMQ are known here; whatever is not known may pass.

use super::frames::Frame;
use crate::messages::{Credentials, ServerError};
use base::ErrorKind;

/// A body may be a trace of the server's stack.
const WORDS_MAX: usize = 400;

/// RabbitMQ's queue is on a node that is starting or stopping, or what it delivered waited too long for us.
const AWAY: &[&str] = &["home node", "process is stopped", "inaccessible", "delivery acknowledgement"];
/// Who asks may not; the words name the destination, in which others of these lists may be found.
const DENIED: &[&str] = &["not authorized", "unauthorized", "access_refused", "access denied"];
/// Our own connection of before may still be there, or the server is short of something.
const PASSING: &[&str] = &[
    "already connected",
    "already in use",
    "in use",
    "already has",
    "is full",
    "resource",
    "limit",
    "blocked",
];
const MISSING: &[&str] = &["does not exist", "not_found", "no queue", "no exchange", "amq339001"];
const LASTING: &[&str] = &[
    "permission",
    "access to",
    "securityexception",
    "security error",
    "amq229032",
    "selector",
    "not supported",
    "supported versions",
    "supported protocol versions",
    "invalid",
    "precondition_failed",
    "unknown destination",
    "maximum",
];
/// Of a log-in that is refused.
const REFUSED: &[&str] = &[
    "password",
    "access refused for user",
    "unable to validate user",
    "bad credentials",
    "authentication failed",
];

/// An ERROR frame.
pub(super) fn said(frame: &Frame) -> ServerError {
    let words = words(frame);
    let lower = words.to_ascii_lowercase();
    let has = |known: &[&str]| known.iter().any(|part| lower.contains(part));
    let kind = if has(AWAY) {
        ErrorKind::Unavailable
    } else if has(DENIED) {
        ErrorKind::Invalid
    } else if has(MISSING) {
        ErrorKind::NotFound
    } else if has(PASSING) {
        ErrorKind::Unavailable
    } else if has(LASTING) {
        ErrorKind::Invalid
    } else {
        ErrorKind::Unavailable
    };
    ServerError::new(kind, format!("the server says: {words}"))
}

/// What the header says, and the first line of the body where that says more.
fn words(frame: &Frame) -> String {
    let header = super::frames::unescaped(frame.header("message").unwrap_or_default());
    let body = String::from_utf8_lossy(&frame.body);
    let body = body.lines().next().unwrap_or_default().trim();
    let header = header.trim();
    let (lower, lower_body) = (header.to_lowercase(), body.to_lowercase());
    let words = match (header.is_empty(), body.is_empty()) {
        (true, true) => "an error without words".to_string(),
        (false, true) => header.to_string(),
        (true, false) => body.to_string(),
        (false, false) if lower.contains(&lower_body) => header.to_string(),
        (false, false) if lower_body.contains(&lower) => body.to_string(),
        (false, false) => format!("{header}: {body}"),
    };
    words.chars().take(WORDS_MAX).collect()
}

/// An error before the log-in was answered.
pub(super) fn on_login(error: ServerError, credentials: &Credentials<'_>) -> ServerError {
    let lower = error.message.to_ascii_lowercase();
    match REFUSED.iter().any(|part| lower.contains(part)) {
        true => credentials.refused(error.message),
        false => error,
    }
}

/// A table's place that the server does not know.
pub(super) fn missing(error: ServerError, what: &str) -> ServerError {
    match error.kind {
        ErrorKind::NotFound => {
            ServerError { message: format!("{}; create the {what}", error.message), ..error }
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_does_not() {
        let cases = [
            ("AMQ339001 Destination does not exist nowhere", "", ErrorKind::NotFound, "exist nowhere"),
            (
                "not_found",
                "NOT_FOUND - no queue 'q' in vhost '/'",
                ErrorKind::NotFound,
                "says: NOT_FOUND - no",
            ),
            ("Invalid selector \"n = = 1\"", "n = = 1", ErrorKind::Invalid, "says: Invalid selector"),
            (
                "n = = 1",
                "jakarta.jms.InvalidSelectorException: n = = 1\n\tat x",
                ErrorKind::Invalid,
                ": n = = 1",
            ),
            ("AMQ229102: Address \"full\" is full.", "", ErrorKind::Unavailable, "is full"),
            (
                "Broker: shop - Client: c already connected from tcp://1",
                "jakarta.jms.InvalidClientIDException: Broker: shop - Client: c already connected from tcp://1",
                ErrorKind::Unavailable,
                "already connected",
            ),
            ("Security Error occurred\\c User name", "", ErrorKind::Invalid, "occurred: User"),
            (
                "not_found",
                "NOT_FOUND - home node 'a' of queue 'q' in vhost '/' is down or inaccessible",
                ErrorKind::Unavailable,
                "home node",
            ),
            (
                "precondition_failed",
                "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out",
                ErrorKind::Unavailable,
                "timed out",
            ),
            (
                "User a is not authorized to read from: queue://credit-limits",
                "",
                ErrorKind::Invalid,
                "limits",
            ),
            ("something new", "", ErrorKind::Unavailable, "something new"),
            ("", "", ErrorKind::Unavailable, "without words"),
            (
                "Bad CONNECT",
                "Virtual host 'v' access denied",
                ErrorKind::Invalid,
                "CONNECT: Virtual host 'v'",
            ),
        ];
        for (message, body, kind, part) in cases {
            let headers = vec![("message".to_string(), message.to_string())];
            let frame = Frame { command: "ERROR".into(), headers, body: body.into(), length: body.len() };
            let error = said(&frame);
            assert_eq!(error.kind, kind, "{error:?}");
            assert!(error.message.contains(part) && !error.message.contains('\n'), "{error:?}");
        }
    }
}
