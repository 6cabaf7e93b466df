//! Who calls a service of Google: whoever holds a token, or towards an emulator nobody.

use super::credentials::{Credentials, Token};
use super::error;
use crate::http_connection::HttpAnswer;
use crate::http_host::{host_header, written};
use crate::service::{Call, Done, Identity, ServiceError, form};
use auth::https::Url;
use os::Clock;
use std::sync::Arc;

pub(super) struct Nobody(pub Arc<dyn Clock>);

impl Identity for Nobody {
    fn request(&mut self, url: &Url, call: &Call) -> Done<Vec<u8>> {
        Ok(request(url, call, None))
    }

    fn renew(&mut self) -> Done<bool> {
        Ok(false)
    }

    fn refusal(&self, answer: &HttpAnswer) -> ServiceError {
        error::refusal(answer, self.0.now_ms())
    }
}

pub(super) struct Bearer {
    credentials: Credentials,
    clock: Arc<dyn Clock>,
}

impl Bearer {
    pub(super) fn new(credentials: Credentials, clock: Arc<dyn Clock>) -> Bearer {
        Bearer { credentials, clock }
    }
}

impl Identity for Bearer {
    fn request(&mut self, url: &Url, call: &Call) -> Done<Vec<u8>> {
        let token = self.credentials.get(self.clock.now_ms())?;
        Ok(request(url, call, Some(&token)))
    }

    fn renew(&mut self) -> Done<bool> {
        self.credentials.renew(self.clock.now_ms())
    }

    fn refusal(&self, answer: &HttpAnswer) -> ServiceError {
        error::refusal(answer, self.clock.now_ms())
    }
}

fn request(url: &Url, call: &Call, token: Option<&Token>) -> Vec<u8> {
    let mut headers = call.headers.clone();
    headers.push(("host".into(), host_header(url)));
    if let Some(token) = token {
        headers.push(("authorization".into(), format!("Bearer {}", token.text)));
        headers.extend(token.quota_project.iter().map(|it| ("x-goog-user-project".into(), it.clone())));
    }
    let mut target = format!("{}{}", url.path.trim_end_matches('/'), call.path);
    if !call.query.is_empty() {
        let parts: Vec<(&str, &str)> =
            call.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        target = format!("{target}?{}", form(&parts));
    }
    written(call.method, &target, &headers, &call.body)
}
