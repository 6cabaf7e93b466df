//! Who asks a REST catalog: whoever shows a token, one that is given, or one that a credential is exchanged for (OAuth 2).

use crate::http_answers::{retry_after, shown};
use crate::http_connection::HttpAnswer;
use crate::http_host::{host_header, written};
use crate::service::{Asked, Call, Cause, Done, Ends, Identity, Lasting, ServiceError, exchange, form};
use auth::https::Url;
use base::ErrorKind;
use os::Os;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Bytes of an answer that are shown where it has no message.
const SHOWN_BYTES_MAX: usize = 200;

/// How we are let in, as the options say it; secrets may stand elsewhere.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub token: Option<String>,
    /// `ID:SECRET`, or a secret alone.
    pub credential: Option<String>,
    pub scope: String,
    /// Where a credential is exchanged, if not at the catalog.
    pub server: Option<Url>,
}

/// Not `Debug`: nobody is shown it.
#[derive(Clone, PartialEq, Eq)]
struct Token {
    text: String,
    expires_ms: Option<i64>,
}

impl Ends for Token {
    fn expires_ms(&self) -> Option<i64> {
        self.expires_ms
    }
}

#[derive(Clone)]
pub(super) struct Caller {
    os: Os,
    url: Url,
    authorities: PathBuf,
    timeout: Duration,
    login: Login,
    cached: Lasting<Token>,
}

impl Caller {
    pub(super) fn new(os: &Os, url: &Url, authorities: &Path, timeout: Duration, login: Login) -> Caller {
        let (os, url, authorities) = (os.clone(), url.clone(), authorities.to_path_buf());
        Caller { os, url, authorities, timeout, login, cached: Lasting::default() }
    }

    fn token(&mut self) -> Done<Option<Token>> {
        if self.login.token.is_none() && self.login.credential.is_none() {
            return Ok(None);
        }
        let now_ms = self.os.clock.now_ms();
        let mut cached = std::mem::take(&mut self.cached);
        let got = cached.get(now_ms, || self.find(now_ms));
        self.cached = cached;
        got.map(Some)
    }

    fn find(&self, now_ms: i64) -> Done<Token> {
        if let Some(token) = &self.login.token {
            let text = resolved("token", token)?;
            return Ok(Token { text, expires_ms: None });
        }
        let credential = resolved("credential", self.login.credential.as_deref().unwrap_or_default())?;
        let mut parts = vec![("grant_type", "client_credentials"), ("scope", self.login.scope.as_str())];
        match credential.split_once(':') {
            Some((id, secret)) => parts.extend([("client_id", id), ("client_secret", secret)]),
            None => parts.push(("client_secret", &credential)),
        }
        let (url, path) = match &self.login.server {
            Some(server) => (server, server.path.clone()),
            None => (&self.url, format!("{}/v1/oauth/tokens", self.url.path.trim_end_matches('/'))),
        };
        let asked = Asked {
            os: &self.os,
            url,
            authorities: &self.authorities,
            timeout: self.timeout,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let headers = [
            ("host".to_string(), host_header(url)),
            ("content-type".to_string(), "application/x-www-form-urlencoded".to_string()),
        ];
        let answer = exchange(&asked, "POST", &path, &headers, form(&parts).as_bytes())?;
        if !(200..300).contains(&answer.status) {
            let refused = refusal(&answer, now_ms);
            let kind = if refused.cause == Cause::Passing { refused.kind } else { ErrorKind::Invalid };
            // It was looked for already: another try shows the same credential.
            return Err(ServiceError {
                kind,
                cause: Cause::Other,
                message: format!("the credential is not taken: {}; look at 'credential'", refused.message),
                ..refused
            });
        }
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = said["access_token"].as_str().filter(|text| is_token(text));
        let text = text.ok_or_else(|| ServiceError::malformed("no access_token"))?.to_string();
        let lasts = said["expires_in"].as_i64().filter(|seconds| *seconds > 0);
        let expires_ms = lasts.map(|seconds| now_ms.saturating_add(seconds.saturating_mul(1000)));
        Ok(Token { text, expires_ms })
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn resolved(key: &str, given: &str) -> Done<String> {
    let text =
        auth::secrets::resolved(given).map_err(|error| ServiceError::invalid(format!("'{key}': {error}")))?;
    let text = text.trim().to_string();
    if is_token(&text) { Ok(text) } else { Err(ServiceError::invalid(format!("'{key}' is no single word"))) }
}

impl Identity for Caller {
    fn request(&mut self, url: &Url, call: &Call) -> Done<Vec<u8>> {
        let token = self.token()?;
        let mut headers = call.headers.clone();
        headers.push(("host".into(), host_header(url)));
        headers.push(("accept".into(), "application/json".into()));
        headers.extend(token.map(|token| ("authorization".to_string(), format!("Bearer {}", token.text))));
        let query: Vec<(&str, &str)> =
            call.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", form(&query)) };
        let path = format!("{}{}{query}", url.path.trim_end_matches('/'), call.path);
        Ok(written(call.method, &path, &headers, &call.body))
    }

    fn renew(&mut self) -> Done<bool> {
        let now_ms = self.os.clock.now_ms();
        let mut cached = std::mem::take(&mut self.cached);
        let renewed = cached.renew(now_ms, || self.find(now_ms));
        self.cached = cached;
        renewed
    }

    fn refusal(&self, answer: &HttpAnswer) -> ServiceError {
        refusal(answer, self.os.clock.now_ms())
    }
}

/// What an answer says that is none; its code is the status.
fn refusal(answer: &HttpAnswer, now_ms: i64) -> ServiceError {
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let words = said["error"]["message"].as_str().or(said["error_description"].as_str());
    let words = words.or(said["error"].as_str()).map(str::to_string).unwrap_or_else(|| {
        let shown = &answer.body[..answer.body.len().min(SHOWN_BYTES_MAX)];
        String::from_utf8_lossy(shown).into_owned()
    });
    let cause = match answer.status {
        401 | 419 => Cause::Keys,
        408 | 429 | 500.. => Cause::Passing,
        _ => Cause::Other,
    };
    // The server itself answers by this object; what stands before it (or another server) has a 404 of its own, which does
    // not say that there is no such table.
    let is_told = said["error"]["type"].is_string() && said["error"]["message"].is_string();
    let hint = if answer.status == 404 && !is_told {
        "; look at 'uri', and whether the catalog is there"
    } else {
        ""
    };
    let kind = match answer.status {
        404 if is_told => ErrorKind::NotFound,
        404 => ErrorKind::Unavailable,
        409 => ErrorKind::Conflict,
        429 => ErrorKind::Retry,
        408 | 500.. => ErrorKind::Unavailable,
        _ => ErrorKind::Invalid,
    };
    let message = format!("the catalog says: {} ({}){hint}", shown(&words), answer.status);
    let pause = retry_after(answer, now_ms).filter(|_| cause == Cause::Passing);
    ServiceError { kind, code: answer.status.to_string(), message, cause, pause, is_silence: false }
}
