//! A small blocking HTTP client: one JSON request and its answer per connection, to a node on this machine.

use anyhow::{Context, bail};
use os::http::{self, Request};
use os::network::real::RealNetwork;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

pub use os::http::segment;

/// How long a node may take to connect and to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

pub struct HttpClient {
    address: SocketAddr,
}

impl HttpClient {
    pub fn new(address: &str) -> anyhow::Result<HttpClient> {
        let address = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
        let parsed = address.replace("localhost:", "127.0.0.1:").parse();
        let address = parsed.with_context(|| {
            format!("'{address}' is not an address: write IP:PORT, for example {}", crate::cli::HTTP_ADDRESS)
        })?;
        Ok(HttpClient { address })
    }

    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.request("GET", path, "")
    }

    pub fn patch(&self, path: &str) -> anyhow::Result<Value> {
        self.request("PATCH", path, "")
    }

    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.request("POST", path, &body.to_string())
    }

    fn request(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Value> {
        let address = self.address.to_string();
        let json = "application/json";
        let headers = [("Accept", json), ("Content-Type", json)];
        let request = Request { method, address: &address, path, headers: &headers, body: body.as_bytes() };
        let answer = http::exchange(&RealNetwork, &request, TIMEOUT).with_context(|| {
            format!(
                "cannot ask the node on {}; is it running? --http ADDR or --data DIR says which one is meant",
                self.address
            )
        })?;
        let status = answer.status;
        let text = String::from_utf8_lossy(&answer.body);
        let value: Value = match text.trim() {
            "" => Value::Null,
            text => serde_json::from_str(text)
                .with_context(|| format!("the answer of {} to {method} {path} is not JSON", self.address))?,
        };
        if !(200..300).contains(&status) {
            let reason = value["errors"].as_array().and_then(|errors| errors.first()?.as_str());
            // A stack trace, as Flink sends it, says in its first line what happened.
            match reason.and_then(|reason| reason.lines().next()) {
                Some(reason) => bail!("{reason}"),
                None => bail!("{} answers {method} {path} with status {status}", self.address),
            }
        }
        Ok(value)
    }
}
