//! What proves who we are to a storage account, looked for as Azure's own tools do.
//!
//! From the options, the environment, and the managed identity of the machine, in this order: the first that has something. It is
//! an account's key, a shared access signature, or a token of Microsoft Entra, which is fetched anew before it ends. What is refused
//! is looked for once more, so that files may be rotated while a job runs. It is in no message.

use super::options::{ACCOUNT_KEY, CLIENT, CLIENT_SECRET, SAS_TOKEN, TENANT, TOKEN_FILE};
use crate::http_answers::shown;
use crate::http_connection::HttpAnswer;
use crate::http_host::host_header;
use crate::percent::{percent_decoded, percent_encoded};
use crate::service::{Asked, Done, Ends, Environment, Lasting, ServiceError, exchange, form};
use auth::https::Url;
use base::options::Options;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use os::Os;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);
/// The metadata service is near.
const NEAR_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Where tokens are asked for, where the environment says nothing else.
const AUTHORITY: &str = "https://login.microsoftonline.com";
const METADATA: &str = "http://169.254.169.254";
const METADATA_PATH: &str =
    "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fstorage.azure.com%2F";
const SCOPE: &str = "https://storage.azure.com/.default";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How long a token holds that does not say it.
const SECONDS: i64 = 3600;

/// Not `Debug`: nobody is shown it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// An account's key.
    Key(Vec<u8>),
    /// The parts of a query.
    Signature(Vec<(String, String)>),
    Token {
        text: String,
        expires_ms: i64,
    },
}

impl Ends for Proof {
    fn expires_ms(&self) -> Option<i64> {
        match self {
            Proof::Token { expires_ms, .. } => Some(*expires_ms),
            _ => None,
        }
    }
}

#[derive(Clone)]
pub(super) struct Credentials {
    os: Os,
    options: Options,
    environment: Environment,
    authorities: PathBuf,
    cached: Lasting<Proof>,
}

impl Credentials {
    pub(super) fn new(
        os: &Os,
        options: &Options,
        environment: Environment,
        authorities: &Path,
    ) -> Credentials {
        Credentials {
            os: os.clone(),
            options: options.clone(),
            environment,
            authorities: authorities.to_path_buf(),
            cached: Lasting::default(),
        }
    }

    /// What holds now.
    pub(super) fn get(&mut self, now_ms: i64) -> Done<Proof> {
        let mut cached = std::mem::take(&mut self.cached);
        let got = cached.get(now_ms, || self.find(now_ms));
        self.cached = cached;
        got
    }

    /// Looks once more; whether it is another than before.
    pub(super) fn renew(&mut self, now_ms: i64) -> Done<bool> {
        let mut cached = std::mem::take(&mut self.cached);
        let renewed = cached.renew(now_ms, || self.find(now_ms));
        self.cached = cached;
        renewed
    }

    fn given(&self, key: &str) -> Option<&str> {
        self.options.text(key).filter(|text| !text.is_empty())
    }

    fn find(&self, now_ms: i64) -> Done<Proof> {
        for key in [ACCOUNT_KEY, SAS_TOKEN, CLIENT_SECRET, TOKEN_FILE] {
            if let Some(given) = self.given(key) {
                let resolved = match key {
                    TOKEN_FILE => given.to_string(),
                    _ => auth::secrets::resolved(given)
                        .map_err(|error| ServiceError::invalid(format!("'{key}': {error}")))?,
                };
                return self.of(key, key, &resolved, now_ms);
            }
        }
        for (name, key) in [
            ("AZURE_STORAGE_KEY", ACCOUNT_KEY),
            ("AZURE_STORAGE_SAS_TOKEN", SAS_TOKEN),
            ("AZURE_CLIENT_SECRET", CLIENT_SECRET),
            ("AZURE_FEDERATED_TOKEN_FILE", TOKEN_FILE),
        ] {
            if let Some(value) = (self.environment)(name) {
                return self.of(name, key, &value, now_ms);
            }
        }
        self.of_machine(now_ms).map_err(|error| {
            ServiceError::unavailable(format!(
                "no credentials are found: none in '{ACCOUNT_KEY}', '{SAS_TOKEN}', '{CLIENT_SECRET}' or '{TOKEN_FILE}', none in the \
                 environment (AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, AZURE_CLIENT_SECRET, AZURE_FEDERATED_TOKEN_FILE), and \
                 the machine's metadata service gives none: {}",
                error.message
            ))
        })
    }

    /// From a value that stands where `named` says, and is what the option `key` would have.
    fn of(&self, named: &str, key: &str, value: &str, now_ms: i64) -> Done<Proof> {
        let value = value.trim();
        match key {
            ACCOUNT_KEY => match BASE64_STANDARD.decode(value) {
                Ok(bytes) if !bytes.is_empty() => Ok(Proof::Key(bytes)),
                _ => Err(ServiceError::invalid(format!("'{named}' is no key of an account: it is base64"))),
            },
            SAS_TOKEN => signature(value).map(Proof::Signature).ok_or_else(|| {
                ServiceError::invalid(format!("'{named}' is no shared access signature: it is sv=…&sig=…"))
            }),
            CLIENT_SECRET => self.of_application(&[("client_secret", value)], now_ms),
            _ => {
                // It is read each time: it is rotated.
                let token = auth::secrets::resolved(&format!("${{file:{value}}}"))
                    .map_err(|error| ServiceError::invalid(format!("'{named}': {error}")))?;
                let parts = [("client_assertion_type", ASSERTION), ("client_assertion", token.trim())];
                self.of_application(&parts, now_ms)
            }
        }
    }

    /// A token of an application, which these parts of a form are the proof of.
    fn of_application(&self, proof: &[(&str, &str)], now_ms: i64) -> Done<Proof> {
        let needed = |key: &str, name: &str| {
            let found = self.given(key).map(str::to_string).or_else(|| (self.environment)(name));
            found.ok_or_else(|| ServiceError::invalid(format!("'{key}' is missing: give it, or set {name}")))
        };
        let (tenant, client) = (needed(TENANT, "AZURE_TENANT_ID")?, needed(CLIENT, "AZURE_CLIENT_ID")?);
        let authority = (self.environment)("AZURE_AUTHORITY_HOST").unwrap_or_else(|| AUTHORITY.into());
        let url = Url::parse(&authority)
            .map_err(|error| ServiceError::invalid(format!("AZURE_AUTHORITY_HOST: {error}")))?;
        if !url.tls && !url.is_loopback() {
            return Err(ServiceError::invalid(format!(
                "AZURE_AUTHORITY_HOST: tokens are asked for over https only, not at {}",
                url.address()
            )));
        }
        let path = format!(
            "{}/{}/oauth2/v2.0/token",
            url.path.trim_end_matches('/'),
            percent_encoded(&tenant, false)
        );
        let parts =
            [&[("grant_type", "client_credentials"), ("client_id", &client), ("scope", SCOPE)], proof]
                .concat();
        let headers = [
            ("content-type".to_string(), "application/x-www-form-urlencoded".to_string()),
            ("host".to_string(), host_header(&url)),
        ];
        let asked = self.asked(&url, TIMEOUT);
        let told = |error: ServiceError| ServiceError {
            message: format!("the token server: {}", error.message),
            ..error
        };
        let answer = exchange(&asked, "POST", &path, &headers, form(&parts).as_bytes()).map_err(told)?;
        token(&answer, now_ms).map_err(told)
    }

    /// Of the machine's managed identity.
    fn of_machine(&self, now_ms: i64) -> Done<Proof> {
        let host = (self.environment)("AZURE_POD_IDENTITY_AUTHORITY_HOST");
        let url = Url::parse(host.as_deref().unwrap_or(METADATA))
            .map_err(|error| ServiceError::invalid(format!("AZURE_POD_IDENTITY_AUTHORITY_HOST: {error}")))?;
        let headers = [("metadata".to_string(), "true".to_string()), ("host".to_string(), host_header(&url))];
        let client = self.given(CLIENT).map(str::to_string).or_else(|| (self.environment)("AZURE_CLIENT_ID"));
        let client = client.map(|id| format!("&client_id={}", percent_encoded(&id, false)));
        let path = format!("{METADATA_PATH}{}", client.unwrap_or_default());
        let answer = exchange(&self.asked(&url, NEAR_TIMEOUT), "GET", &path, &headers, &[])?;
        token(&answer, now_ms)
    }

    fn asked<'a>(&'a self, url: &'a Url, timeout: Duration) -> Asked<'a> {
        let (os, authorities) = (&self.os, self.authorities.as_path());
        Asked { os, url, authorities, timeout, answer_bytes_max: ANSWER_BYTES_MAX }
    }
}

/// The parts of a shared access signature.
fn signature(text: &str) -> Option<Vec<(String, String)>> {
    let parts = text.trim_start_matches('?').split('&').filter(|part| !part.is_empty());
    let parts: Option<Vec<(String, String)>> = parts
        .map(|part| {
            let (name, value) = part.split_once('=')?;
            Some((percent_decoded(name)?, percent_decoded(value)?))
        })
        .collect();
    parts.filter(|parts| parts.iter().any(|(name, _)| name == "sig"))
}

/// The token in an answer.
fn token(answer: &HttpAnswer, now_ms: i64) -> Done<Proof> {
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status != 200 {
        let words = said["error_description"].as_str().or(said["error"].as_str());
        let words = shown(words.unwrap_or("without a reason"));
        let message = format!("no token: {words} (status {})", answer.status);
        return Err(match answer.status {
            429 | 500.. => ServiceError::unavailable(message),
            _ => ServiceError::invalid(message),
        });
    }
    let malformed = || ServiceError::malformed("there is no token in it");
    let text = said["access_token"].as_str().ok_or_else(malformed)?;
    if text.is_empty() || text.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(malformed());
    }
    // The metadata service writes a number as a text.
    let seconds = &said["expires_in"];
    let seconds = seconds.as_i64().or_else(|| seconds.as_str()?.parse().ok());
    let seconds = seconds.filter(|seconds| (0..=i64::from(u32::MAX)).contains(seconds)).unwrap_or(SECONDS);
    Ok(Proof::Token { text: text.to_string(), expires_ms: now_ms.saturating_add(seconds * 1000) })
}
