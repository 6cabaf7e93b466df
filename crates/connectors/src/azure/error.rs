//! What an answer of Azure says that is none: its code, its words, and what that means.

use crate::http_answers::{retry_after, set_the_clock, shown, shown_bytes, skew_seconds};
use crate::http_connection::HttpAnswer;
use crate::service::{Cause, ServiceError};
use crate::xml;
use base::ErrorKind;

/// Beyond this the clock is the reason of a refusal: a request holds for 15 minutes, and answers take seconds.
const SKEW_SECONDS_MAX: i64 = 840;

/// Of an answer whose status is no success.
pub(super) fn refusal(answer: &HttpAnswer, now_ms: i64) -> ServiceError {
    let root = std::str::from_utf8(&answer.body).ok().and_then(|text| xml::parse(text).ok());
    let text = |name: &str| root.as_ref().and_then(|root| root.text_of(name)).map(str::to_string);
    let code = answer.header("x-ms-error-code").map(str::to_string).or_else(|| text("Code"));
    let code = code.unwrap_or_else(|| answer.status.to_string());
    // Behind its first line are the request's id and the time.
    let words = text("Message").map(|words| words.lines().next().unwrap_or_default().to_string());
    let words = words.map_or_else(|| shown_bytes(&answer.body), |words| shown(&words));
    // What Azure says of the time is what it says of a wrong key.
    let skew = skew_seconds(answer, now_ms, SKEW_SECONDS_MAX)
        .filter(|_| (answer.status, code.as_str()) == (403, "AuthenticationFailed"));
    let cause = match (answer.status, code.as_str()) {
        _ if skew.is_some() => Cause::Other,
        (408 | 429 | 500.., _) => Cause::Passing,
        // What has the name goes, or comes.
        (409, "ContainerBeingDeleted" | "AccountBeingCreated") => Cause::Passing,
        // The second is said of a signature that may not do this; another one may.
        (401, _) | (403, "AuthenticationFailed" | "AuthorizationFailure") => Cause::Keys,
        (_, "InvalidAuthenticationInfo") => Cause::Keys,
        _ => Cause::Other,
    };
    let kind = match cause {
        Cause::Passing if answer.status == 429 || code == "ServerBusy" => ErrorKind::Retry,
        Cause::Passing => ErrorKind::Unavailable,
        Cause::Other if skew.is_some() => ErrorKind::Unavailable,
        Cause::Other if answer.status == 404 => ErrorKind::NotFound,
        Cause::Keys | Cause::Other => ErrorKind::Invalid,
    };
    let message = format!("Azure says: {words} (code {})", shown(&code));
    let message = match skew {
        Some(skew) => set_the_clock(skew, "Azure", &message),
        None => message,
    };
    ServiceError { code, cause, pause: retry_after(answer, now_ms), ..ServiceError::new(kind, message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood() {
        let of = |status: u16, code: &str| {
            let body = format!(
                "\u{feff}<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>what it is.\nRequestId:1\nTime:2</Message></Error>"
            );
            refusal(&HttpAnswer { status, headers: Vec::new(), body: body.into() }, 0)
        };
        for (status, code, kind, cause) in [
            (403, "AuthenticationFailed", ErrorKind::Invalid, Cause::Keys),
            (401, "InvalidAuthenticationInfo", ErrorKind::Invalid, Cause::Keys),
            (403, "AuthorizationPermissionMismatch", ErrorKind::Invalid, Cause::Other),
            (404, "ContainerNotFound", ErrorKind::NotFound, Cause::Other),
            (409, "BlobAlreadyExists", ErrorKind::Invalid, Cause::Other),
            (503, "ServerBusy", ErrorKind::Retry, Cause::Passing),
            (500, "OperationTimedOut", ErrorKind::Unavailable, Cause::Passing),
            (409, "ContainerBeingDeleted", ErrorKind::Unavailable, Cause::Passing),
            (409, "AccountBeingCreated", ErrorKind::Unavailable, Cause::Passing),
        ] {
            let error = of(status, code);
            assert_eq!((error.code.as_str(), error.kind, error.cause), (code, kind, cause));
            assert_eq!(error.message, format!("Azure says: what it is. (code {code})"));
        }
        let headers = vec![("x-ms-error-code".to_string(), "BlobNotFound".to_string())];
        let bare = refusal(&HttpAnswer { status: 404, headers, body: Vec::new() }, 0);
        assert_eq!(bare.code, "BlobNotFound");
    }

    #[test]
    fn a_wrong_clock_is_told_from_a_wrong_key() {
        let of = |code: &str, ahead_s: i64| {
            let headers = vec![
                ("Date".to_string(), "Sun, 30 Aug 2015 12:36:00 GMT".to_string()),
                ("x-ms-error-code".to_string(), code.to_string()),
            ];
            refusal(
                &HttpAnswer { status: 403, headers, body: Vec::new() },
                1_440_938_160_000 + ahead_s * 1000,
            )
        };
        let key = of("AuthenticationFailed", 600);
        assert_eq!((key.kind, key.cause), (ErrorKind::Invalid, Cause::Keys));
        for (ahead_s, words) in [(-1200, "clock is 1200 s behind"), (1200, "clock is 1200 s ahead of")] {
            let clock = of("AuthenticationFailed", ahead_s);
            assert_eq!((clock.kind, clock.cause), (ErrorKind::Unavailable, Cause::Other));
            assert!(clock.message.contains(words) && clock.message.contains("set the clock"), "{clock}");
        }
        assert_eq!(of("AuthorizationPermissionMismatch", 1200).kind, ErrorKind::Invalid);
    }
}
