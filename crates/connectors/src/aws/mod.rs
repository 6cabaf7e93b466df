//! What the connectors of Amazon's services share: where a service is, who we are, and signed calls over kept connections.
//!
//! The client is our own and blocking, as those of the other systems are: AWS's crates bring an asynchronous runtime, which
//! this floor of the house does not have (ADR 0027).

pub(crate) mod client;
mod credentials;
mod error;
pub(crate) mod options;
mod sign;
pub(crate) mod xml;

pub(crate) use client::{Call, Client};
pub(crate) use error::{AwsError, Cause, Done, passes};

use auth::https::Url;
use auth::tls::ClientConfig;
use base::ErrorKind;
use base::options::Options;
use credentials::{Credentials, Environment};
use dataflow::connector::ConnectorError;
use dataflow::sink::SinkError;
use dataflow::source::SourceError;
use dataflow::table::TableDefinition;
use os::Os;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The region that is said to servers which are not Amazon's where nobody says one.
const REGION_OF_OTHERS: &str = "us-east-1";

/// How a table's service is reached.
#[derive(Clone)]
pub(crate) struct Access {
    os: Os,
    options: Options,
    environment: Environment,
    service: &'static str,
    url: Url,
    region: String,
    timeout: Duration,
}

impl Access {
    /// From checked options. The table's own URL or ARN may say the region, and its URL the host.
    pub(crate) fn new(
        os: &Os,
        options: &Options,
        service: &'static str,
        region: Option<&str>,
        host: Option<&Url>,
    ) -> Result<Access, String> {
        Access::within(os, options, credentials::environment(), service, region, host)
    }

    fn within(
        os: &Os,
        options: &Options,
        environment: Environment,
        service: &'static str,
        region: Option<&str>,
        host: Option<&Url>,
    ) -> Result<Access, String> {
        let given = |key: &str| options.text(key).filter(|text| !text.is_empty()).map(str::to_string);
        let variable = format!("AWS_ENDPOINT_URL_{}", service.to_uppercase());
        let endpoint = given(options::ENDPOINT)
            .or_else(|| environment(&variable))
            .or_else(|| environment("AWS_ENDPOINT_URL"))
            .map(|text| Url::parse(&text).map_err(|error| error.to_string()))
            .transpose()?;
        let endpoint = endpoint.or_else(|| host.cloned());
        let found = given(options::REGION)
            .or_else(|| region.map(str::to_string))
            .or_else(|| environment("AWS_REGION"))
            .or_else(|| environment("AWS_DEFAULT_REGION"))
            .or_else(|| credentials::region(&Credentials::new(os, options, environment.clone(), "")))
            .or_else(|| {
                let is_other = endpoint.as_ref().is_some_and(|url| !url.host.contains("amazonaws."));
                is_other.then(|| REGION_OF_OTHERS.to_string())
            });
        let missing =
            format!("no region is said: give '{}' = 'eu-central-1', or set AWS_REGION", options::REGION);
        let region = found.ok_or(missing)?;
        if !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(format!(
                "'{}' is no region: it has letters, digits and hyphens",
                region.escape_debug()
            ));
        }
        let url = match endpoint {
            Some(url) => url,
            None => Url::parse(&endpoint_of(service, &region)).map_err(|error| error.to_string())?,
        };
        let timeout = Duration::from_millis(options.duration_ms(options::TIMEOUT).unwrap_or(30_000));
        Ok(Access { os: os.clone(), options: options.clone(), environment, service, url, region, timeout })
    }

    /// A client that has so many calls under way at once.
    pub(crate) fn client(&self, lanes: usize) -> Done<Client> {
        let tls = tls(&self.options, &self.environment, &self.url)?;
        let credentials = Credentials::new(&self.os, &self.options, self.environment.clone(), &self.region);
        Ok(Client::new(self, tls, credentials, lanes))
    }

    pub(crate) fn os(&self) -> &Os {
        &self.os
    }

    /// For a probe, which waits no longer than that.
    pub(crate) fn with_timeout(mut self, timeout: Duration) -> Access {
        self.timeout = timeout;
        self
    }
}

/// Where AWS has a service.
fn endpoint_of(service: &str, region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{service}.{region}.{domain}/")
}

/// The host as a request names it, which is signed: without the port that everybody expects.
fn host_of(url: &Url) -> String {
    let expected = if url.tls { 443 } else { 80 };
    let address = url.address();
    match address.strip_suffix(&format!(":{expected}")) {
        Some(host) if url.port == expected => host.to_string(),
        _ => address,
    }
}

fn tls(options: &Options, environment: &Environment, url: &Url) -> Done<Option<Arc<ClientConfig>>> {
    if !url.tls {
        return Ok(None);
    }
    let given = options.text(options::ROOT_CAS).filter(|path| !path.is_empty()).map(PathBuf::from);
    let authorities = given.or_else(|| environment("AWS_CA_BUNDLE").map(PathBuf::from)).unwrap_or_default();
    let config = auth::tls::client_of_web(&authorities);
    config.map(|config| Some(Arc::new(config))).map_err(|error| {
        let message = error.to_string().replace("https.ca.location", options::ROOT_CAS);
        AwsError::invalid(message)
    })
}

/// What an error means for a table: whether another try may help, and the table's name.
fn told(table: &TableDefinition, error: AwsError) -> (ErrorKind, String) {
    let connector = table.options.get("connector").map_or("", String::as_str);
    (error.kind, format!("table '{}': {connector}: {}", table.name, error.message))
}

pub(crate) fn source_error(table: &TableDefinition, error: AwsError) -> SourceError {
    let (kind, message) = told(table, error);
    SourceError { kind, message }
}

pub(crate) fn sink_error(table: &TableDefinition, error: AwsError) -> SinkError {
    let (kind, message) = told(table, error);
    SinkError { kind, message }
}

/// A problem of the options that only the whole of them has.
pub(crate) fn access_problem(table: &TableDefinition, message: String) -> ConnectorError {
    crate::option_problem(table, options::REGION, message)
}

/// The region in a host of AWS: `sqs.eu-central-1.amazonaws.com`.
pub(crate) fn region_of_host(host: &str) -> Option<&str> {
    let before = host.split_once(".amazonaws.").map(|(before, _)| before)?;
    before.rsplit_once('.').map(|(_, region)| region).filter(|region| region.contains('-'))
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
