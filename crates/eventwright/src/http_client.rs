//! A small blocking HTTP client: one JSON request and its answer per connection, to a node on this machine.

use anyhow::{Context, bail};
use auth::https::Url;
use kafka_client::Security;
use os::http::Request;
use os::network::{Destinations, real::RealNetwork};
use serde_json::Value;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

pub use os::http::segment;

/// How long a node may take to connect and to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What runs steps again takes as long as they take.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Clone)]
pub struct HttpClient {
    url: Url,
    security: Security,
    timeout: Duration,
}

impl HttpClient {
    /// `command_config` says how to log in, with the properties that Kafka's tools take.
    pub fn new(address: &str, command_config: Option<&Path>) -> anyhow::Result<HttpClient> {
        let given = if address.contains("://") { address.to_string() } else { format!("http://{address}") };
        let wrong = || {
            let usual = crate::cli::HTTP_ADDRESS;
            format!("'{address}' is not an address: write IP:PORT, for example {usual}, or https://NAME:PORT")
        };
        let mut url = Url::parse(given.trim_end_matches('/')).with_context(wrong)?;
        // What a node listens on that listens everywhere.
        url.host = match url.host.as_str() {
            "0.0.0.0" => "127.0.0.1".into(),
            "::" => "::1".into(),
            "localhost" if !url.tls => "127.0.0.1".into(),
            _ => url.host,
        };
        if !url.tls && url.host.parse::<IpAddr>().is_err() {
            bail!(wrong());
        }
        let security = command_config.map(Security::from_file).transpose()?.unwrap_or_default();
        if url.tls && security.tls.is_none() {
            bail!(
                "the node speaks HTTPS: name a file with security.protocol=SASL_SSL and ssl.ca.location by \
                 --command-config"
            );
        }
        if security.login.is_some() && !url.tls && !url.is_loopback() {
            bail!(
                "a password or a token goes to another machine over https only: --http https://{}",
                url.address()
            );
        }
        Ok(HttpClient { url, security, timeout: TIMEOUT })
    }

    /// The same for a request that takes long.
    pub fn patiently(&self) -> HttpClient {
        HttpClient { timeout: PATIENCE, ..self.clone() }
    }

    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.request("GET", path, "")
    }

    pub fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.request("DELETE", path, "")
    }

    pub fn patch(&self, path: &str) -> anyhow::Result<Value> {
        self.request("PATCH", path, "")
    }

    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.request("POST", path, &body.to_string())
    }

    fn request(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Value> {
        let address = self.url.address();
        let json = "application/json";
        let authorization = self.security.authorization()?;
        let log_in = authorization.as_deref().map(|value| ("Authorization", value));
        let headers: Vec<_> = [("Accept", json), ("Content-Type", json)].into_iter().chain(log_in).collect();
        let request = Request { method, address: &address, path, headers: &headers, body: body.as_bytes() };
        let tls = self.security.tls.as_ref().filter(|_| self.url.tls);
        let tls = tls.map(|config| (config, self.url.host.as_str()));
        let answer = auth::https::exchange(&RealNetwork { destinations: Destinations::Any }, tls, &request, self.timeout).with_context(|| {
            format!(
                "cannot ask the node on {address}; is it running? --http ADDR or --data DIR says which one is meant"
            )
        })?;
        let status = answer.status;
        let text = String::from_utf8_lossy(&answer.body);
        let value: Value = match text.trim() {
            "" => Value::Null,
            text => serde_json::from_str(text)
                .with_context(|| format!("the answer of {address} to {method} {path} is not JSON"))?,
        };
        if !(200..300).contains(&status) {
            if status == 401 && self.security.login.is_none() {
                bail!("the node wants a log-in: name a file with it by --command-config");
            }
            // The schema registry says it in a field of another name.
            let reason = value["errors"].as_array().and_then(|errors| errors.first()?.as_str());
            let reason = reason.or_else(|| value["message"].as_str());
            // A stack trace, as Flink sends it, says in its first line what happened.
            match reason.and_then(|reason| reason.lines().next()) {
                Some(reason) => bail!("{reason}"),
                None => bail!("{address} answers {method} {path} with status {status}"),
            }
        }
        Ok(value)
    }
}
