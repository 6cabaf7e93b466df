//! The token that requests show, looked for as Google's own tools do (application default credentials).
//!
//! From the table's options, the file that GOOGLE_APPLICATION_CREDENTIALS names, the file of `gcloud auth application-default
//! login`, and the metadata server of the machine, in this order: the first that has one. A token that ends is fetched anew before
//! it does; one that is refused is looked for once more, so that files may be rotated while a job runs. It is in no message.

use super::options::Names;
use crate::http_answers::shown;
use crate::http_connection::HttpAnswer;
use crate::http_host::host_header;
use crate::service::{Asked, Done, Ends, Environment, Lasting, ServiceError, exchange, form};
use auth::https::Url;
use base::options::Options;
use os::Os;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A token that we sign is of use for so long, the most that Google takes.
const ASSERTION_SECONDS: i64 = 3600;
const TIMEOUT: Duration = Duration::from_secs(10);
/// The metadata server is near.
const NEAR_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Of users' own credentials, whose file names none.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
const METADATA_HOST: &str = "metadata.google.internal";
const METADATA_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

/// Not `Debug`: nobody is shown it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub text: String,
    /// None of one that somebody else keeps fresh.
    pub expires_ms: Option<i64>,
    /// The project that pays for a user's calls.
    pub quota_project: Option<String>,
}

impl Ends for Token {
    fn expires_ms(&self) -> Option<i64> {
        self.expires_ms
    }
}

#[derive(Clone)]
pub(super) struct Credentials {
    os: Os,
    names: Names,
    access_token: Option<String>,
    key_file: Option<String>,
    environment: Environment,
    authorities: PathBuf,
    scope: &'static str,
    cached: Lasting<Token>,
}

impl Credentials {
    pub(super) fn new(
        os: &Os,
        options: &Options,
        environment: Environment,
        authorities: &Path,
        (names, scope): (Names, &'static str),
    ) -> Credentials {
        let given = |key: &str| options.text(key).filter(|text| !text.is_empty()).map(str::to_string);
        Credentials {
            os: os.clone(),
            names,
            access_token: given(names.access_token),
            key_file: given(names.key_file),
            environment,
            authorities: authorities.to_path_buf(),
            scope,
            cached: Lasting::default(),
        }
    }

    /// The token that holds now.
    pub(super) fn get(&mut self, now_ms: i64) -> Done<Token> {
        let mut cached = std::mem::take(&mut self.cached);
        let got = cached.get(now_ms, || self.find(now_ms));
        self.cached = cached;
        got
    }

    /// Looks for a token once more; whether it is another than before.
    pub(super) fn renew(&mut self, now_ms: i64) -> Done<bool> {
        let mut cached = std::mem::take(&mut self.cached);
        let renewed = cached.renew(now_ms, || self.find(now_ms));
        self.cached = cached;
        renewed
    }

    fn find(&self, now_ms: i64) -> Done<Token> {
        let Names { key_file, access_token, .. } = self.names;
        if let Some(given) = &self.access_token {
            let text = auth::secrets::resolved(given)
                .map_err(|error| ServiceError::invalid(format!("'{access_token}': {error}")))?;
            let text = text.trim().to_string();
            if text.is_empty() || text.bytes().any(|byte| !byte.is_ascii_graphic()) {
                return Err(ServiceError::invalid(format!("'{access_token}' is no token: it is one word")));
            }
            return Ok(Token { text, expires_ms: None, quota_project: None });
        }
        if let Some(path) = &self.key_file {
            return self.of_file(key_file, path, now_ms);
        }
        const VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
        if let Some(path) = (self.environment)(VARIABLE) {
            return self.of_file(VARIABLE, &path, now_ms);
        }
        if let Some(path) = self.file_of_tools().filter(|path| Path::new(path).exists()) {
            return self.of_file("the file of gcloud", &path, now_ms);
        }
        self.of_machine(now_ms).map_err(|error| {
            ServiceError::unavailable(format!(
                "no credentials are found: none in '{key_file}' or '{access_token}', {VARIABLE} is not set, there is no file \
                 of `gcloud auth application-default login`, and the metadata server gives none: {}",
                error.message
            ))
        })
    }

    fn file_of_tools(&self) -> Option<String> {
        let folder = (self.environment)("CLOUDSDK_CONFIG");
        let folder = folder.or_else(|| Some(format!("{}/.config/gcloud", (self.environment)("HOME")?)))?;
        Some(format!("{folder}/application_default_credentials.json"))
    }

    /// From a file with credentials; `named` is what names it.
    fn of_file(&self, named: &str, path: &str, now_ms: i64) -> Done<Token> {
        let wrong = |what: String| ServiceError::invalid(format!("{named}: file={path}: {what}"));
        // It is read each time: whoever rotates keys writes another one.
        let text = auth::secrets::resolved(&format!("${{file:{path}}}"))
            .map_err(|error| ServiceError::invalid(format!("{named}: {error}")))?;
        let file: Value = serde_json::from_str(&text).map_err(|_| wrong("it is no JSON".into()))?;
        let field = |name: &str| file[name].as_str().filter(|value| !value.is_empty());
        let needed = |name: &str| field(name).ok_or_else(|| wrong(format!("it has no '{name}'")));
        let mut token = match needed("type")? {
            "service_account" => {
                let url = token_url(needed("token_uri")?).map_err(&wrong)?;
                let now = now_ms / 1000;
                let claims = json!({
                    "iss": needed("client_email")?,
                    "scope": self.scope,
                    "aud": needed("token_uri")?,
                    "iat": now,
                    "exp": now + ASSERTION_SECONDS,
                });
                let assertion =
                    auth::assertion::signed(needed("private_key")?, field("private_key_id"), &claims)
                        .map_err(|error| wrong(error.to_string()))?;
                self.ask(
                    &url,
                    &[
                        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                        ("assertion", &assertion),
                    ],
                    now_ms,
                )?
            }
            "authorized_user" => {
                let url = token_url(field("token_uri").unwrap_or(TOKEN_URI)).map_err(&wrong)?;
                let parts = [
                    ("grant_type", "refresh_token"),
                    ("client_id", needed("client_id")?),
                    ("client_secret", needed("client_secret")?),
                    ("refresh_token", needed("refresh_token")?),
                ];
                self.ask(&url, &parts, now_ms)?
            }
            other => {
                let other: String = other.chars().take(40).flat_map(char::escape_debug).collect();
                return Err(wrong(format!(
                    "credentials of the type '{other}' are not supported: give the key of a service account, or have a token \
                     written to a file for '{}'",
                    self.names.access_token
                )));
            }
        };
        token.quota_project = field("quota_project_id")
            .filter(|project| project.bytes().all(|byte| byte.is_ascii_graphic()))
            .map(str::to_string);
        Ok(token)
    }

    fn ask(&self, url: &Url, parts: &[(&str, &str)], now_ms: i64) -> Done<Token> {
        let headers = [
            ("content-type".to_string(), "application/x-www-form-urlencoded".to_string()),
            ("host".to_string(), host_header(url)),
        ];
        let asked = self.asked(url, TIMEOUT);
        let told = |error: ServiceError| ServiceError {
            message: format!("the token server: {}", error.message),
            ..error
        };
        let answer = exchange(&asked, "POST", &url.path, &headers, form(parts).as_bytes()).map_err(told)?;
        token(&answer, now_ms).map_err(told)
    }

    fn of_machine(&self, now_ms: i64) -> Done<Token> {
        let host = (self.environment)("GCE_METADATA_HOST").unwrap_or_else(|| METADATA_HOST.into());
        let url = Url::parse(&format!("http://{host}"))
            .map_err(|error| ServiceError::invalid(format!("GCE_METADATA_HOST: {error}")))?;
        let headers =
            [("metadata-flavor".to_string(), "Google".to_string()), ("host".to_string(), host_header(&url))];
        let answer = exchange(&self.asked(&url, NEAR_TIMEOUT), "GET", METADATA_PATH, &headers, &[])?;
        token(&answer, now_ms)
    }

    fn asked<'a>(&'a self, url: &'a Url, timeout: Duration) -> Asked<'a> {
        let (os, authorities) = (&self.os, self.authorities.as_path());
        Asked { os, url, authorities, timeout, answer_bytes_max: ANSWER_BYTES_MAX }
    }
}

/// Where tokens are asked for, which is told what proves who we are.
fn token_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("its 'token_uri': {error}"))?;
    if !url.tls && !url.is_loopback() {
        return Err(format!("its 'token_uri' is asked over https only, not at {}", url.address()));
    }
    Ok(url)
}

/// The token in an answer of a token server.
fn token(answer: &HttpAnswer, now_ms: i64) -> Done<Token> {
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status != 200 {
        let words =
            said["error_description"].as_str().or(said["error"].as_str()).unwrap_or("without a reason");
        let message = format!("no token: {} (status {})", shown(words), answer.status);
        return Err(match answer.status {
            429 | 500.. => ServiceError::unavailable(message),
            // Time services set clocks.
            _ if words.contains("reasonable timeframe") => {
                ServiceError::unavailable(format!("this machine's clock is wrong: set it ({message})"))
            }
            _ => ServiceError::invalid(message),
        });
    }
    let malformed = || ServiceError::malformed("there is no token in it");
    let text = said["access_token"].as_str().ok_or_else(malformed)?;
    if text.is_empty() || text.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(malformed());
    }
    let seconds = said["expires_in"].as_i64().filter(|seconds| (0..=i64::from(u32::MAX)).contains(seconds));
    let expires_ms = now_ms.saturating_add(seconds.unwrap_or(ASSERTION_SECONDS) * 1000);
    Ok(Token { text: text.to_string(), expires_ms: Some(expires_ms), quota_project: None })
}
