//! Replies: a status and JSON, and errors in the form that Flink's clients read.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use runtime::RuntimeError;
use serde_json::{Value, json};

/// What a route answers; it becomes bytes at the edge.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub status: StatusCode,
    pub body: Value,
}

impl Reply {
    pub(crate) fn ok(body: Value) -> Reply {
        Reply { status: StatusCode::OK, body }
    }

    pub(crate) fn accepted(body: Value) -> Reply {
        Reply { status: StatusCode::ACCEPTED, body }
    }

    pub(crate) fn error(status: StatusCode, message: impl Into<String>) -> Reply {
        Reply { status, body: json!({ "errors": [message.into()] }) }
    }

    pub(crate) fn no_job(name_or_id: &str) -> Reply {
        Reply::error(StatusCode::NOT_FOUND, format!("there is no job '{name_or_id}'; GET /jobs lists them"))
    }

    pub(crate) fn of_error(error: &RuntimeError) -> Reply {
        use base::ErrorKind;
        let status = match error.kind() {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::Conflict | ErrorKind::Fenced => StatusCode::CONFLICT,
            ErrorKind::Retry | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Reply::error(status, error.to_string())
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = json_response(self.body.to_string());
        *response.status_mut() = self.status;
        response
    }
}

/// An answer that is JSON already.
pub(crate) fn json_response(text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Names of topics and jobs are others' words: a browser must not take them for a page.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
