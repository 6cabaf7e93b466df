//! Requests to a schema registry: where it is, who we are, and what a refusal says.

use auth::AuthError;
use auth::https::{self, Url};
use auth::tls::ClientConfig;
use base::options::Options;
use os::Network;
use os::http::Request;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long a registry may take to connect and to answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How often each address is tried before the caller is told.
const ATTEMPTS_MAX: usize = 2;
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Why a request had no answer, with its status if the registry refused it.
pub(super) struct Failure {
    pub status: Option<u16>,
    pub message: String,
}

pub(super) struct RegistryClient {
    network: Arc<dyn Network>,
    endpoints: Vec<Endpoint>,
    authorization: Option<String>,
    /// PEM with the authorities for https; empty for those of the system.
    authorities: PathBuf,
    /// Made when it is wanted first: the system's authorities are many.
    tls: OnceLock<Arc<ClientConfig>>,
}

struct Endpoint {
    /// `host:port`.
    address: String,
    /// What the other side proves to be, with https.
    name: Option<String>,
    /// What stands before the paths of the protocol.
    base: String,
    /// The URL without name and password.
    shown: String,
    user_info: Option<String>,
}

impl Endpoint {
    fn parse(url: &str) -> Result<Endpoint, String> {
        let url = url.trim().trim_end_matches('/');
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
            _ => return Err("the URL of a registry begins with 'http://' or 'https://'".into()),
        };
        let (authority, base) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (user_info, address) = match authority.rsplit_once('@') {
            Some((user_info, address)) => (Some(user_info.to_string()), address),
            None => (None, authority),
        };
        if address.is_empty() || base.contains(['?', '#']) {
            return Err("the URL of a registry has the form 'http://HOST:PORT/PATH'".into());
        }
        let parsed = Url::parse(&format!("{scheme}://{address}/")).map_err(|error| error.0)?;
        Ok(Endpoint {
            address: parsed.address(),
            name: parsed.tls.then_some(parsed.host),
            base: base.to_string(),
            shown: format!("{scheme}://{address}{base}"),
            user_info,
        })
    }
}

impl RegistryClient {
    pub(super) fn new(options: &Options, network: Arc<dyn Network>) -> Result<RegistryClient, String> {
        let urls = options.text("url").or(options.text("schema-registry.url")).unwrap_or_default();
        let endpoints: Vec<Endpoint> = urls.split(',').map(Endpoint::parse).collect::<Result<_, _>>()?;
        let option = |flink: &str, confluent: &str| {
            options.text(flink).or_else(|| options.text(&format!("properties.{confluent}")))
        };
        for (key, _) in options.with_prefix("properties.") {
            const KNOWN: &[&str] = &[
                "basic.auth.credentials.source",
                "basic.auth.user.info",
                "schema.registry.basic.auth.user.info",
                "bearer.auth.credentials.source",
                "bearer.auth.token",
                "auto.register.schemas",
                "schema.registry.ssl.truststore.location",
            ];
            let name = key.trim_start_matches("properties.");
            if !KNOWN.contains(&name) {
                return Err(format!(
                    "the option '{key}' is not known here; of Confluent's options there are: {}",
                    KNOWN.join(", ")
                ));
            }
        }
        let source = option("basic-auth.credentials-source", "basic.auth.credentials.source");
        let bearer_source = option("bearer-auth.credentials-source", "bearer.auth.credentials.source");
        let authorization = match (source, bearer_source) {
            (Some(_), Some(_)) => {
                return Err(
                    "'basic-auth.credentials-source' and 'bearer-auth.credentials-source' exclude each \
                            other"
                        .into(),
                );
            }
            (Some("USER_INFO"), _) => {
                let given = option("basic-auth.user-info", "basic.auth.user.info")
                    .or_else(|| options.text("properties.schema.registry.basic.auth.user.info"));
                let Some(user_info) = given else {
                    return Err(
                        "'basic-auth.credentials-source' = 'USER_INFO' needs 'basic-auth.user-info'".into()
                    );
                };
                Some(format!("Basic {}", formats::base64_text(user_info.as_bytes())))
            }
            (None, Some("STATIC_TOKEN")) => {
                let Some(token) = option("bearer-auth.token", "bearer.auth.token") else {
                    return Err(
                        "'bearer-auth.credentials-source' = 'STATIC_TOKEN' needs 'bearer-auth.token'".into(),
                    );
                };
                Some(format!("Bearer {token}"))
            }
            (Some("URL") | None, None) => None,
            (Some(other), _) | (_, Some(other)) => {
                return Err(format!(
                    "credentials from '{other}' are not supported; use USER_INFO, URL or STATIC_TOKEN"
                ));
            }
        };
        if authorization.as_ref().is_some_and(|text| text.contains(['\r', '\n', '\0'])) {
            return Err("the credentials hold a line break".into());
        }
        let authorities = option("ssl.truststore.location", "schema.registry.ssl.truststore.location");
        let authorities = authorities.unwrap_or_default().into();
        Ok(RegistryClient { network, endpoints, authorization, authorities, tls: OnceLock::new() })
    }

    /// The URLs without passwords.
    pub(super) fn shown(&self) -> String {
        self.endpoints.iter().map(|endpoint| endpoint.shown.as_str()).collect::<Vec<_>>().join(",")
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.request("GET", path, &[])
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.request("POST", path, body.to_string().as_bytes())
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, AuthError> {
        match self.tls.get() {
            Some(config) => Ok(config.clone()),
            None => {
                let made = Arc::new(auth::tls::client_of_web(&self.authorities)?);
                Ok(self.tls.get_or_init(|| made).clone())
            }
        }
    }

    /// Asks the addresses in turn; a refusal counts, whoever gives it.
    fn request(&self, method: &str, path: &str, body: &[u8]) -> Result<Value, Failure> {
        let mut last = Failure { status: None, message: "no registry is named".into() };
        for endpoint in self.endpoints.iter().cycle().take(self.endpoints.len() * ATTEMPTS_MAX) {
            match self.request_at(endpoint, method, path, body) {
                Err(failure) if failure.status.is_none_or(|status| status >= 500) => last = failure,
                other => return other,
            }
        }
        Err(last)
    }

    fn request_at(
        &self,
        endpoint: &Endpoint,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Value, Failure> {
        let in_url = endpoint.user_info.as_ref();
        let authorization = self.authorization.clone().or_else(|| {
            in_url.map(|user_info| format!("Basic {}", formats::base64_text(user_info.as_bytes())))
        });
        let mut headers = vec![("Accept", MEDIA_TYPE), ("Content-Type", MEDIA_TYPE)];
        if let Some(authorization) = &authorization {
            headers.push(("Authorization", authorization));
        }
        let whole_path = format!("{}{path}", endpoint.base);
        let request =
            Request { method, address: &endpoint.address, path: &whole_path, headers: &headers, body };
        let failed = |error: &dyn std::fmt::Display| Failure {
            status: None,
            message: format!("the schema registry at {} cannot be reached: {error}", endpoint.shown),
        };
        let tls = match &endpoint.name {
            None => None,
            Some(name) => Some((self.tls().map_err(|error| failed(&error))?, name.as_str())),
        };
        let tls = tls.as_ref().map(|(config, name)| (config, *name));
        let answer = https::exchange(self.network.as_ref(), tls, &request, TIMEOUT);
        let answer = answer.map_err(|error| failed(&error))?;
        let value: Option<Value> = serde_json::from_slice(&answer.body).ok();
        match (answer.status, value) {
            (200..=299, Some(value)) => Ok(value),
            (200..=299, None) => Err(Failure {
                status: None,
                message: format!(
                    "the schema registry at {} answers {method} {path} with no JSON",
                    endpoint.shown
                ),
            }),
            (status, value) => {
                let reason = value.as_ref().and_then(|value| value["message"].as_str()).map(|reason| {
                    let shown: String = reason.chars().take(500).collect();
                    format!(": {shown}")
                });
                let hint = match status {
                    401 | 403 => "; are the credentials in the format's options right?",
                    _ => "",
                };
                Err(Failure {
                    status: Some(status),
                    message: format!(
                        "the schema registry at {} answers {method} {path} with status {status}{}{hint}",
                        endpoint.shown,
                        reason.unwrap_or_default()
                    ),
                })
            }
        }
    }
}
