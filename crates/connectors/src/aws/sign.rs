//! Signature Version 4: what proves to AWS that a request comes from whoever holds the keys.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use super::credentials::Keys;
use crate::percent::percent_encoded;
use ring::{digest, hmac};
use std::fmt::Write;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A request as it is signed.
#[derive(Debug, Clone, Default)]
pub(super) struct Signed<'a> {
    pub method: &'a str,
    /// Percent-encoded.
    pub path: &'a str,
    /// Percent-encoded, the parts in the order of their bytes.
    pub query: &'a str,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    /// The hash of the body, in hexadecimal.
    pub payload: &'a str,
}

/// What a signature holds for besides the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    /// `20150830T123600Z`.
    pub time: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

/// A time as a signature has it.
pub(super) fn time_text(now_ms: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(now_ms).unwrap_or_default();
    time.format("%Y%m%dT%H%M%SZ").to_string()
}

pub(super) fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The value of the header `Authorization`; the request's headers have the time and the session's token already.
pub(super) fn authorization(keys: &Keys, scope: Scope<'_>, request: &Signed<'_>) -> String {
    let mut headers: Vec<(&str, String)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect();
    headers.sort();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let mut canonical = format!("{}\n{}\n{}\n", request.method, request.path, request.query);
    for (name, value) in &headers {
        let _ = writeln!(canonical, "{name}:{value}");
    }
    let _ = write!(canonical, "\n{names}\n{}", request.payload);
    let Scope { time, region, service } = scope;
    let date = time.get(..8).unwrap_or_default();
    let place = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = format!("{ALGORITHM}\n{time}\n{place}\n{}", hash(canonical.as_bytes()));
    let mut key = hmac_of(format!("AWS4{}", keys.secret_access_key).as_bytes(), date);
    for part in [region, service, "aws4_request"] {
        key = hmac_of(key.as_ref(), part);
    }
    let signature = hex(hmac_of(key.as_ref(), &to_sign).as_ref());
    format!(
        "{ALGORITHM} Credential={}/{place}, SignedHeaders={names}, Signature={signature}",
        keys.access_key_id
    )
}

fn hmac_of(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

/// A query in the order that is signed.
pub(super) fn query_text(parts: &[(String, String)]) -> String {
    let mut parts: Vec<(String, String)> = parts
        .iter()
        .map(|(name, value)| (percent_encoded(name, false), percent_encoded(value, false)))
        .collect();
    parts.sort();
    let parts: Vec<String> = parts.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    parts.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    fn signature(keys: &Keys, scope: Scope<'_>, request: &Signed<'_>) -> String {
        authorization(keys, scope, request).rsplit_once("Signature=").unwrap().1.to_string()
    }

    /// The examples of AWS's test suite and of its documentation of IAM.
    #[test]
    fn requests_are_signed_as_in_the_published_examples() {
        let keys = Keys::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let scope = Scope { time: "20150830T123600Z", region: "us-east-1", service: "service" };
        let common = headers(&[("host", "example.amazonaws.com"), ("x-amz-date", scope.time)]);
        let get = Signed { method: "GET", path: "/", query: "", headers: common, payload: EMPTY };
        assert_eq!(
            authorization(&keys, scope, &get),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
        let post = Signed { method: "POST", ..get.clone() };
        assert_eq!(
            signature(&keys, scope, &post),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
        let query = query_text(&headers(&[("Param2", "value2"), ("Param1", "value1")]));
        let ordered = Signed { query: &query, ..get.clone() };
        assert_eq!(
            signature(&keys, scope, &ordered),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
        );
        let list = Signed {
            query: "Action=ListUsers&Version=2010-05-08",
            headers: headers(&[
                ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
                ("host", "iam.amazonaws.com"),
                ("x-amz-date", scope.time),
            ]),
            ..get
        };
        assert_eq!(
            signature(&keys, Scope { service: "iam", ..scope }, &list),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    /// The examples of the documentation of Amazon S3.
    #[test]
    fn requests_to_s3_are_signed_as_in_the_published_examples() {
        let keys = Keys::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let scope = Scope { time: "20130524T000000Z", region: "us-east-1", service: "s3" };
        let host = "examplebucket.s3.amazonaws.com";
        let all = headers(&[
            ("host", host),
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", EMPTY),
            ("x-amz-date", scope.time),
        ]);
        let get = Signed { method: "GET", path: "/test.txt", query: "", headers: all, payload: EMPTY };
        assert_eq!(
            signature(&keys, scope, &get),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let payload = hash(b"Welcome to Amazon S3.");
        let path = format!("/{}", percent_encoded("test$file.text", true));
        let put = Signed {
            method: "PUT",
            path: &path,
            query: "",
            headers: headers(&[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("host", host),
                ("x-amz-content-sha256", &payload),
                ("x-amz-date", scope.time),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ]),
            payload: &payload,
        };
        assert_eq!(
            signature(&keys, scope, &put),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        );
        let query = query_text(&headers(&[("prefix", "J"), ("max-keys", "2")]));
        let list = Signed {
            path: "/",
            query: &query,
            headers: headers(&[("host", host), ("x-amz-content-sha256", EMPTY), ("x-amz-date", scope.time)]),
            ..get
        };
        assert_eq!(
            signature(&keys, scope, &list),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }

    #[test]
    fn times_are_written_as_signatures_want_them() {
        assert_eq!(time_text(1_440_938_160_999), "20150830T123600Z");
    }
}
