//! What the codes mean with which a RabbitMQ closes connections and channels.

use crate::messages::ServerError;
use base::ErrorKind;

/// What the server has closed the connection or the channel with.
pub(super) fn closed(code: u16, text: &str) -> ServerError {
    ServerError { kind: kind_of(code, text), message: format!("the server says: {text} (code {code})") }
}

/// Section 1.2 of the specification, and what RabbitMQ adds to it.
fn kind_of(code: u16, text: &str) -> ErrorKind {
    match code {
        // A queue whose node is starting or stopping is not gone.
        404 if ["home node", "process is stopped", "inaccessible", "timeout"]
            .iter()
            .any(|word| text.contains(word)) =>
        {
            ErrorKind::Unavailable
        }
        404 => ErrorKind::NotFound,
        // What was delivered waited too long for its acknowledgement: it is delivered again.
        406 if text.contains("delivery acknowledgement") => ErrorKind::Retry,
        // An exclusive queue or consumer of a connection that may be our own of before.
        405 => ErrorKind::Unavailable,
        403 if text.contains("exclusive") => ErrorKind::Unavailable,
        320 | 506 | 541 => ErrorKind::Unavailable,
        501..=505 => ErrorKind::Internal,
        _ => ErrorKind::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_does_not() {
        let cases = [
            (404, "NOT_FOUND - no queue 'q' in vhost '/'", ErrorKind::NotFound),
            (
                404,
                "NOT_FOUND - home node 'a@b' of durable queue 'q' is down or inaccessible",
                ErrorKind::Unavailable,
            ),
            (406, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out", ErrorKind::Retry),
            (406, "PRECONDITION_FAILED - inequivalent arg 'durable'", ErrorKind::Invalid),
            (403, "ACCESS_REFUSED - Login was refused", ErrorKind::Invalid),
            (403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use", ErrorKind::Unavailable),
            (320, "CONNECTION_FORCED - broker forced connection closure", ErrorKind::Unavailable),
            (530, "NOT_ALLOWED - vhost x not found", ErrorKind::Invalid),
        ];
        for (code, text, kind) in cases {
            assert_eq!(closed(code, text).kind, kind, "{text}");
        }
    }
}
