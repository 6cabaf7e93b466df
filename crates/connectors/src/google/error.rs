//! What an answer of Google says that is none: its status, its words, and what that means.

use crate::http_answers::{bounded, retry_after, shown, shown_bytes};
use crate::http_connection::HttpAnswer;
use crate::service::{Cause, ServiceError};
use crate::xml;
use base::ErrorKind;
use serde_json::{Value, json};
use std::time::Duration;

/// What the service says of receipts that hold no more.
pub(crate) const INVALID_ACK_ID: &str = "PERMANENT_FAILURE_INVALID_ACK_ID";

/// What Google Cloud Storage says of the condition of a call, which is not kept. Whatever else answers 412 has other reasons.
pub(super) const CONDITION_NOT_MET: &str = "conditionNotMet";

/// Of an answer whose status is no success.
pub(super) fn refusal(answer: &HttpAnswer, now_ms: i64) -> ServiceError {
    let said: Value = match serde_json::from_slice(&answer.body) {
        Ok(said) => said,
        Err(_) => of_xml(&answer.body).unwrap_or_default(),
    };
    let error = &said["error"];
    let status = error["status"].as_str().map_or_else(|| answer.status.to_string(), str::to_string);
    let words = match error["message"].as_str() {
        Some(words) => shown(words),
        None => shown_bytes(&answer.body),
    };
    let facts = facts(error);
    // Of receipts single ones may fail, of which some may do so for now only.
    let code = match facts.iter().find(|fact| fact.starts_with("TRANSIENT_FAILURE")) {
        Some(_) => "UNAVAILABLE".to_string(),
        None if facts.contains(&INVALID_ACK_ID) => INVALID_ACK_ID.to_string(),
        None if answer.status == 412 && error["errors"][0]["reason"] == CONDITION_NOT_MET => {
            CONDITION_NOT_MET.to_string()
        }
        None => status.clone(),
    };
    let cause = match answer.status {
        401 => Cause::Keys,
        408 | 429 | 499 | 500.. => Cause::Passing,
        _ if is_passing(&code) => Cause::Passing,
        _ if code == "UNAUTHENTICATED" => Cause::Keys,
        _ => Cause::Other,
    };
    let kind = match cause {
        Cause::Passing if answer.status == 429 || code == "RESOURCE_EXHAUSTED" => ErrorKind::Retry,
        Cause::Passing => ErrorKind::Unavailable,
        Cause::Other if answer.status == 404 => ErrorKind::NotFound,
        Cause::Keys | Cause::Other => ErrorKind::Invalid,
    };
    let message = format!("Google says: {words} ({})", shown(&status));
    ServiceError { code, cause, pause: pause(answer, error, now_ms), ..ServiceError::new(kind, message) }
}

/// The same as JSON, where an API speaks XML.
fn of_xml(body: &[u8]) -> Option<Value> {
    let root = xml::parse(std::str::from_utf8(body).ok()?).ok()?;
    let (code, words) = (root.text_of("Code")?, root.text_of("Message").unwrap_or_default());
    Some(json!({"error": {"status": code, "message": words}}))
}

fn is_passing(status: &str) -> bool {
    const STATUSES: &[&str] = &[
        "ABORTED",
        "CANCELLED",
        "DEADLINE_EXCEEDED",
        "INTERNAL",
        "RESOURCE_EXHAUSTED",
        "UNAVAILABLE",
        "UNKNOWN",
    ];
    STATUSES.contains(&status)
}

/// What the details say of single things.
fn facts(error: &Value) -> Vec<&str> {
    let details = error["details"].as_array().into_iter().flatten();
    let metadata = details.filter_map(|detail| detail["metadata"].as_object());
    metadata.flat_map(|metadata| metadata.values()).filter_map(Value::as_str).collect()
}

/// How long it wants to be left alone: by its header, or by its details.
fn pause(answer: &HttpAnswer, error: &Value, now_ms: i64) -> Option<Duration> {
    let details = error["details"].as_array().into_iter().flatten();
    let mut delays =
        details.filter_map(|detail| detail["retryDelay"].as_str()?.strip_suffix('s')?.parse().ok());
    let of_details = delays.next_back().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    retry_after(answer, now_ms).or(of_details).map(bounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, headers: &[(&str, &str)], body: &str) -> ServiceError {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        refusal(&HttpAnswer { status, headers, body: body.into() }, 1_440_938_160_000)
    }

    #[test]
    fn answers_are_understood() {
        let said = |status: &str, words: &str| {
            format!(r#"{{"error":{{"code":0,"message":"{words}","status":"{status}"}}}}"#)
        };
        for (status, body, code, kind, cause) in [
            (401, said("UNAUTHENTICATED", "who"), "UNAUTHENTICATED", ErrorKind::Invalid, Cause::Keys),
            (403, said("PERMISSION_DENIED", "no"), "PERMISSION_DENIED", ErrorKind::Invalid, Cause::Other),
            (404, said("NOT_FOUND", "gone"), "NOT_FOUND", ErrorKind::NotFound, Cause::Other),
            (400, said("INVALID_ARGUMENT", "no"), "INVALID_ARGUMENT", ErrorKind::Invalid, Cause::Other),
            (409, said("ABORTED", "again"), "ABORTED", ErrorKind::Unavailable, Cause::Passing),
            (429, said("RESOURCE_EXHAUSTED", "slow"), "RESOURCE_EXHAUSTED", ErrorKind::Retry, Cause::Passing),
            (502, "<html>bad gateway".into(), "502", ErrorKind::Unavailable, Cause::Passing),
            (503, said("UNAVAILABLE", "later"), "UNAVAILABLE", ErrorKind::Unavailable, Cause::Passing),
        ] {
            let error = of(status, &[], &body);
            assert_eq!((error.code.as_str(), error.kind, error.cause), (code, kind, cause), "{body}");
            assert!(error.message.starts_with("Google says"), "{}", error.message);
        }
        assert!(of(403, &[], &said("PERMISSION_DENIED", "no")).is_denied());
    }

    #[test]
    fn how_long_to_wait_stands_in_the_header_or_in_the_details() {
        let details = r#"{"error":{"details":[{"retryDelay":"1.5s"}]}}"#;
        assert_eq!(of(429, &[], details).pause, Some(Duration::from_millis(1500)));
        assert_eq!(of(503, &[("Retry-After", "3")], details).pause, Some(Duration::from_secs(3)));
        let date = ("Retry-After", "Sun, 30 Aug 2015 12:36:30 GMT");
        assert_eq!(of(503, &[date], details).pause, Some(Duration::from_secs(30)));
        for wrong in ["Wed, 21 Oct", "-1", "1e400", "NaN"] {
            assert_eq!(of(503, &[("Retry-After", wrong)], "{}").pause, None, "{wrong}");
        }
    }

    #[test]
    fn of_receipts_those_that_fail_for_now_are_told_from_those_that_hold_no_more() {
        let said = |facts: &str| {
            let body = format!(
                r#"{{"error":{{"status":"INVALID_ARGUMENT","message":"some","details":[{{"metadata":{{{facts}}}}}]}}}}"#
            );
            of(400, &[], &body)
        };
        let gone = said(r#""a":"PERMANENT_FAILURE_INVALID_ACK_ID""#);
        assert_eq!((gone.code.as_str(), gone.cause), (INVALID_ACK_ID, Cause::Other));
        let both = said(r#""a":"PERMANENT_FAILURE_INVALID_ACK_ID","b":"TRANSIENT_FAILURE_X""#);
        assert_eq!(both.cause, Cause::Passing);
    }
}
