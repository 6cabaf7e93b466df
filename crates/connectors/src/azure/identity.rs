//! Who calls a storage account: whoever holds its key, a shared access signature, or a token.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key>

use super::credentials::{Credentials, Proof};
use super::error;
use crate::http_connection::HttpAnswer;
use crate::http_host::{host_header, written};
use crate::percent::percent_encoded;
use crate::service::{Call, Done, Identity, ServiceError, form};
use auth::https::Url;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use os::Clock;
use ring::hmac;
use std::sync::Arc;

/// Of the protocol: the first in which a list begins where `startFrom` says.
const VERSION: &str = "2026-02-06";

pub(super) struct Caller {
    account: String,
    credentials: Credentials,
    clock: Arc<dyn Clock>,
}

impl Caller {
    pub(super) fn new(account: String, credentials: Credentials, clock: Arc<dyn Clock>) -> Caller {
        Caller { account, credentials, clock }
    }
}

impl Identity for Caller {
    fn request(&mut self, url: &Url, call: &Call) -> Done<Vec<u8>> {
        let now_ms = self.clock.now_ms();
        let proof = self.credentials.get(now_ms)?;
        if !matches!(proof, Proof::Key(_)) && !url.tls && !url.is_loopback() {
            return Err(ServiceError::invalid(format!(
                "{} would be told our token without TLS: write https://…",
                url.address()
            )));
        }
        let mut headers = call.headers.clone();
        headers.push(("host".into(), host_header(url)));
        headers.push(("x-ms-date".into(), date(now_ms)));
        headers.push(("x-ms-version".into(), VERSION.into()));
        let path = format!("{}{}", url.path.trim_end_matches('/'), percent_encoded(&call.path, true));
        let mut query = call.query.clone();
        match proof {
            Proof::Key(key) => {
                let text = text_to_sign(&self.account, call.method, &path, &query, &headers, call.body.len());
                let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes());
                let signature = BASE64_STANDARD.encode(signature);
                headers.push(("authorization".into(), format!("SharedKey {}:{signature}", self.account)));
            }
            Proof::Signature(parts) => query.extend(parts),
            Proof::Token { text, .. } => headers.push(("authorization".into(), format!("Bearer {text}"))),
        }
        let parts: Vec<(&str, &str)> =
            query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let target = if parts.is_empty() { path } else { format!("{path}?{}", form(&parts)) };
        Ok(written(call.method, &target, &headers, &call.body))
    }

    fn renew(&mut self) -> Done<bool> {
        self.credentials.renew(self.clock.now_ms())
    }

    fn refusal(&self, answer: &HttpAnswer) -> ServiceError {
        error::refusal(answer, self.clock.now_ms())
    }
}

/// `Fri, 26 Jun 2015 23:39:12 GMT`
fn date(now_ms: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(now_ms).unwrap_or_default();
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// What is signed of a request. The path is encoded, as it is sent.
fn text_to_sign(
    account: &str,
    method: &str,
    path: &str,
    query: &[(String, String)],
    headers: &[(String, String)],
    body_bytes: usize,
) -> String {
    let header = |wanted: &str| {
        let mut found = headers.iter().filter(|(name, _)| name == wanted);
        found.next().map_or("", |(_, value)| value.as_str())
    };
    let length = if body_bytes == 0 { String::new() } else { body_bytes.to_string() };
    let mut lines = vec![method, header("content-encoding"), header("content-language"), &length];
    // The date is in a header of Azure's own.
    lines.extend([header("content-md5"), header("content-type"), ""]);
    lines.extend(
        ["if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"].map(header),
    );
    let mut text = lines.join("\n");
    let mut own: Vec<&(String, String)> =
        headers.iter().filter(|(name, _)| name.starts_with("x-ms-")).collect();
    own.sort();
    for (name, value) in own {
        text.push_str(&format!("\n{name}:{value}"));
    }
    text.push_str(&format!("\n/{account}{path}"));
    let mut parts: Vec<(String, &str)> =
        query.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str())).collect();
    parts.sort();
    for (name, value) in parts {
        text.push_str(&format!("\n{name}:{value}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
        given.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    /// The example of the documentation.
    #[test]
    fn what_is_signed_is_as_in_the_published_example() {
        let headers = [("host", "myaccount.blob.core.windows.net"), ("x-ms-version", "2015-02-21")];
        let headers = [&headers[..], &[("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT")]].concat();
        let query = [("comp", "metadata"), ("restype", "container"), ("timeout", "20")];
        let text = text_to_sign("myaccount", "GET", "/mycontainer", &pairs(&query), &pairs(&headers), 0);
        assert_eq!(
            text,
            "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n\
             /myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
        );
    }

    #[test]
    fn lengths_conditions_and_ranges_are_signed_in_their_places() {
        let put = text_to_sign("a", "PUT", "/c/k", &[], &pairs(&[("if-none-match", "*")]), 7);
        assert_eq!(put, "PUT\n\n\n7\n\n\n\n\n\n*\n\n\n/a/c/k");
        let headers = pairs(&[("range", "bytes=0-1"), ("if-match", "\"0x1\"")]);
        let get = text_to_sign("a", "GET", "/c/k", &[], &headers, 0);
        assert_eq!(get, "GET\n\n\n\n\n\n\n\n\"0x1\"\n\n\nbytes=0-1\n/a/c/k");
    }

    #[test]
    fn dates_are_written_as_http_has_them() {
        assert_eq!(date(1_435_361_952_999), "Fri, 26 Jun 2015 23:39:12 GMT");
    }
}
