//! Who calls a service of AWS: whoever holds the keys that a request is signed with.

use super::credentials::Credentials;
use super::error;
use super::sign::{self, Scope, Signed};
use crate::http_connection::HttpAnswer;
use crate::http_host::{host_header, written};
use crate::percent::percent_encoded;
use crate::service::{Call, Done, Identity, ServiceError};
use auth::https::Url;

pub(super) struct Signer {
    credentials: Credentials,
    service: &'static str,
}

impl Signer {
    pub(super) fn new(credentials: Credentials, service: &'static str) -> Signer {
        Signer { credentials, service }
    }
}

impl Identity for Signer {
    fn request(&mut self, url: &Url, call: &Call) -> Done<Vec<u8>> {
        let keys = self.credentials.get()?;
        let time = sign::time_text(self.credentials.os.clock.now_ms());
        let payload = sign::hash(&call.body);
        let mut headers = call.headers.clone();
        headers.push(("host".into(), host_header(url)));
        headers.push(("x-amz-date".into(), time.clone()));
        if self.service == "s3" {
            headers.push(("x-amz-content-sha256".into(), payload.clone()));
        }
        if let Some(token) = &keys.session_token {
            headers.push(("x-amz-security-token".into(), token.clone()));
        }
        let path = percent_encoded(&call.path, true);
        let query = sign::query_text(&call.query);
        let scope = Scope { time: &time, region: &self.credentials.region, service: self.service };
        let signed = Signed {
            method: call.method,
            path: &path,
            query: &query,
            headers: headers.clone(),
            payload: &payload,
        };
        headers.push(("authorization".into(), sign::authorization(&keys, scope, &signed)));
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        Ok(written(call.method, &target, &headers, &call.body))
    }

    fn renew(&mut self) -> Done<bool> {
        self.credentials.renew()
    }

    fn refusal(&self, answer: &HttpAnswer) -> ServiceError {
        error::refusal(answer, self.credentials.os.clock.now_ms())
    }
}
