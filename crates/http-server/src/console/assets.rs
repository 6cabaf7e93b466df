//! The files of the page, with headers under which nothing but they can run.

use crate::reply::Reply;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue,
    IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Method, Response, StatusCode};

/// No script and no style but the page's own, nothing from elsewhere, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

macro_rules! files {
    ($($name:literal $kind:expr;)*) => {
        &[$(File {
            name: $name,
            kind: $kind,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../console/", $name)),
        }),*]
    };
}

const FILES: &[File] = files! {
    "index.html" HTML;
    "console.css" STYLE;
    "icon.svg" "image/svg+xml";
    "app.js" SCRIPT;
    "api.js" SCRIPT;
    "dom.js" SCRIPT;
    "format.js" SCRIPT;
    "keys.js" SCRIPT;
    "parts.js" SCRIPT;
    "graph.js" SCRIPT;
    "record.js" SCRIPT;
    "produce.js" SCRIPT;
    "editor.js" SCRIPT;
    "complete.js" SCRIPT;
    "ask.js" SCRIPT;
    "pages/overview.js" SCRIPT;
    "pages/topics.js" SCRIPT;
    "pages/topic.js" SCRIPT;
    "pages/groups.js" SCRIPT;
    "pages/letters.js" SCRIPT;
    "pages/jobs.js" SCRIPT;
    "pages/schemas.js" SCRIPT;
    "pages/sql.js" SCRIPT;
    "pages/views.js" SCRIPT;
    "pages/way.js" SCRIPT;
    "pages/login.js" SCRIPT;
};

pub(super) fn answer(name: &str, method: &Method, headers: &HeaderMap) -> Response<Full<Bytes>> {
    let name = if name.is_empty() { "index.html" } else { name };
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return Reply::error(StatusCode::NOT_FOUND, "the console has no such file").into_response();
    };
    if method != Method::GET && method != Method::HEAD {
        return Reply::error(StatusCode::METHOD_NOT_ALLOWED, "the console's files are only read")
            .into_response();
    }
    let tag = tag(file.bytes);
    let is_known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let body = if is_known { Bytes::new() } else { Bytes::from_static(file.bytes) };
    let mut response = Response::new(Full::new(body));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let given = response.headers_mut();
    let mut put = |name: HeaderName, value: &'static str| given.insert(name, HeaderValue::from_static(value));
    put(CONTENT_TYPE, file.kind);
    put(CACHE_CONTROL, "no-cache");
    put(CONTENT_SECURITY_POLICY, POLICY);
    put(X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(X_FRAME_OPTIONS, "DENY");
    put(REFERRER_POLICY, "no-referrer");
    put(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    put(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        given.insert(ETAG, tag);
    }
    response
}

/// Another one for other bytes (FNV-1a).
fn tag(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("\"{:x}-{hash:016x}\"", bytes.len())
}
