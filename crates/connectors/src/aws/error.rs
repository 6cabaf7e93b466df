//! What an answer of AWS says that is none: its code, its words, and what that means.

use crate::http_answers::{retry_after, set_the_clock, shown, shown_bytes, skew_seconds};
use crate::http_connection::HttpAnswer;
use crate::service::{Cause, ServiceError};
use crate::xml;
use base::ErrorKind;
use serde_json::Value;

/// Beyond this, two clocks differ: a signature holds for 15 minutes, and answers take seconds.
const SKEW_SECONDS_MAX: i64 = 240;

/// Of an answer whose status is no success.
pub(super) fn refusal(answer: &HttpAnswer, now_ms: i64) -> ServiceError {
    let (code, words) = told(answer);
    let cause = cause_of(&code, &words, answer.status);
    let mut kind = match cause {
        Cause::Passing if is_throttled(&code, answer.status) => ErrorKind::Retry,
        Cause::Passing => ErrorKind::Unavailable,
        Cause::Keys => ErrorKind::Invalid,
        Cause::Other if is_missing(&code) => ErrorKind::NotFound,
        Cause::Other => ErrorKind::Invalid,
    };
    let mut message = format!("AWS says: {} (code {})", shown(&words), shown(&code));
    if let Some(skew) = skew_seconds(answer, now_ms, SKEW_SECONDS_MAX)
        && matches!(answer.status, 400 | 403)
        && is_about_time(&code, &words)
    {
        kind = ErrorKind::Unavailable;
        message = set_the_clock(skew, "AWS", &message);
    }
    ServiceError { code, cause, pause: retry_after(answer, now_ms), ..ServiceError::new(kind, message) }
}

/// The code and the words: of JSON, of XML, or the bare status.
fn told(answer: &HttpAnswer) -> (String, String) {
    let short = |code: &str| {
        code.rsplit('#').next().unwrap_or(code).split(':').next().unwrap_or_default().to_string()
    };
    let header = answer.header("x-amzn-errortype").map(short);
    if let Ok(Value::Object(fields)) = serde_json::from_slice(&answer.body) {
        let text = |names: &[&str]| names.iter().find_map(|name| fields.get(*name)?.as_str());
        let code = text(&["__type", "code", "Code"]).map(short).or(header);
        let words = text(&["message", "Message"]).unwrap_or("without a message").to_string();
        return (code.unwrap_or_else(|| answer.status.to_string()), words);
    }
    let root = std::str::from_utf8(&answer.body).ok().and_then(|text| xml::parse(text).ok());
    if let Some(error) =
        root.as_ref().and_then(|root| root.find("Code").is_some().then_some(root).or(root.find_deep("Error")))
    {
        let text = |name| error.find(name).map(|found| found.text.clone());
        return (text("Code").unwrap_or_default(), text("Message").unwrap_or_default());
    }
    (header.unwrap_or_else(|| answer.status.to_string()), shown_bytes(&answer.body))
}

/// Whether there is too much at once: calls, or calls that are about the same.
fn is_throttled(code: &str, status: u16) -> bool {
    const CODES: &[&str] = &[
        "BandwidthLimitExceeded",
        "ConditionalRequestConflict",
        "KMSThrottlingException",
        "KmsThrottled",
        "LimitExceededException",
        "OperationAborted",
        "OverLimit",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    ];
    status == 429 || CODES.contains(&code)
}

/// Whether the same call after a pause may succeed, by a code alone: what is said of single entries of a batch.
pub(crate) fn passes(code: &str) -> bool {
    const CODES: &[&str] = &[
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
    ];
    is_throttled(code, 0) || CODES.contains(&code)
}

fn is_missing(code: &str) -> bool {
    const CODES: &[&str] = &[
        "AWS.SimpleQueueService.NonExistentQueue",
        "NoSuchBucket",
        "NoSuchKey",
        "NotFound",
        "NotFoundException",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
    ];
    CODES.contains(&code)
}

fn cause_of(code: &str, words: &str, status: u16) -> Cause {
    const OF_KEYS: &[&str] = &[
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidSignatureException",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    ];
    if passes(code) || status >= 500 || status == 429 {
        Cause::Passing
    } else if OF_KEYS.contains(&code) && !is_about_time(code, words) {
        Cause::Keys
    } else {
        Cause::Other
    }
}

/// Whether the time of the signature is what is wrong.
fn is_about_time(code: &str, words: &str) -> bool {
    matches!(code, "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture")
        || words.contains("Signature expired")
        || words.contains("Signature not yet current")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> ServiceError {
        let headers = vec![("Date".to_string(), "Sun, 30 Aug 2015 12:36:00 GMT".to_string())];
        refusal(&HttpAnswer { status, headers, body: body.into() }, 1_440_938_160_000 - 600_000)
    }

    #[test]
    fn answers_are_understood_in_json_and_in_xml() {
        let cases = [
            (
                400,
                r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no queue"}"#,
                "QueueDoesNotExist",
                ErrorKind::NotFound,
            ),
            (
                400,
                r#"{"__type":"ProvisionedThroughputExceededException","message":"slow"}"#,
                "ProvisionedThroughputExceededException",
                ErrorKind::Retry,
            ),
            (
                403,
                r#"{"__type":"AccessDeniedException","Message":"not authorized"}"#,
                "AccessDeniedException",
                ErrorKind::Invalid,
            ),
            (500, r#"{"__type":"InternalFailure"}"#, "InternalFailure", ErrorKind::Unavailable),
            (503, "gone", "503", ErrorKind::Unavailable),
            (
                403,
                "<ErrorResponse><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code><Message>no &amp; no</Message></Error></ErrorResponse>",
                "SignatureDoesNotMatch",
                ErrorKind::Invalid,
            ),
            (
                404,
                "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code><Message>x</Message></Error>",
                "NoSuchBucket",
                ErrorKind::NotFound,
            ),
            (503, "<Error><Code>SlowDown</Code><Message>x</Message></Error>", "SlowDown", ErrorKind::Retry),
        ];
        for (status, body, code, kind) in cases {
            let error = of(status, body);
            assert_eq!((error.code.as_str(), error.kind), (code, kind), "{body}");
            assert!(error.message.starts_with("AWS says"), "{}", error.message);
        }
    }

    #[test]
    fn keys_that_are_wrong_are_told_from_a_clock_that_is() {
        let wrong = of(403, r#"{"__type":"InvalidSignatureException","message":"does not match"}"#);
        assert_eq!((wrong.cause, wrong.kind), (Cause::Keys, ErrorKind::Invalid));
        let late = of(
            403,
            r#"{"__type":"InvalidSignatureException","message":"Signature expired: 1 is now earlier"}"#,
        );
        assert_eq!((late.cause, late.kind), (Cause::Other, ErrorKind::Unavailable));
        assert!(late.message.contains("clock is 600 s behind"), "{}", late.message);
    }
}
