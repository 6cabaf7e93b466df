//! The schema registry's paths: requests taken apart for it, its answers put together.
//!
//! Flink's API and the registry's have one path in common: `/config` without a version is the registry's, as its clients
//! ask for it; Flink's clients ask for `/v1/config`.

use crate::reply::Reply;
use crate::router::{parts, query_pairs};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use registry::{Request, SCHEMA_BYTES_MAX, SchemaRegistry};
use std::sync::Arc;

/// Bytes of a request's body: a schema in JSON, whose letters may be escaped, and what belongs to it.
pub(crate) const BODY_BYTES_MAX: usize = 4 * SCHEMA_BYTES_MAX;

/// Whether a path, with its query, is one of the registry's.
pub(crate) fn are_meant(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    registry::serves(&parts)
}

pub(crate) async fn answer(
    registry: Arc<SchemaRegistry>,
    head: &Parts,
    body: Bytes,
) -> Response<Full<Bytes>> {
    let Some(path) = parts(head.uri.path()) else {
        let message = format!("the path '{}' is not well formed", head.uri.path());
        return Reply::error(StatusCode::BAD_REQUEST, message).into_response();
    };
    let header = |name: HeaderName| {
        let values = head.headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        let values: Vec<&str> = values.collect();
        (!values.is_empty()).then(|| values.join(","))
    };
    let request = Request {
        method: head.method.to_string(),
        path,
        query: query_pairs(head.uri.query().unwrap_or_default()),
        content_type: header(CONTENT_TYPE),
        accept: header(ACCEPT),
        body: body.to_vec(),
    };
    // A write waits until it is durable, which the other connections must not.
    let Ok(answer) = tokio::task::spawn_blocking(move || registry.answer(&request)).await else {
        let message = "the request could not be answered";
        return Reply::error(StatusCode::INTERNAL_SERVER_ERROR, message).into_response();
    };
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Names of topics and jobs are others' words: a browser must not take them for a page.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
