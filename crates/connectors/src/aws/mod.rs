//! What the connectors of Amazon's services share: where a service is, who we are, and how calls are signed (ADR 0027).

mod credentials;
mod error;
mod identity;
pub(crate) mod options;
pub(crate) mod s3;
mod sign;

pub(crate) use error::passes;

use crate::service::{Access, Environment, Identity, environment};
use auth::https::Url;
use base::options::Options;
use credentials::Credentials;
use identity::Signer;
use os::Os;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The region that is said to servers which are not Amazon's where nobody says one.
const REGION_OF_OTHERS: &str = "us-east-1";

/// How a table's service is reached, from checked options. The table's own URL or ARN may say the region, and its URL the host.
pub(crate) fn access(
    os: &Os,
    options: &Options,
    service: &'static str,
    region: Option<&str>,
    host: Option<&Url>,
) -> Result<Access, String> {
    access_within(os, options, environment(), service, region, host)
}

fn access_within(
    os: &Os,
    options: &Options,
    environment: Environment,
    service: &'static str,
    region: Option<&str>,
    host: Option<&Url>,
) -> Result<Access, String> {
    let (url, region) = found(os, options, &environment, service, region, host)?;
    let authorities = authorities(options, &environment);
    let (os_of_all, options) = (os.clone(), options.clone());
    let timeout = Duration::from_millis(options.duration_ms(options::TIMEOUT).unwrap_or(30_000));
    let identities = move || {
        let credentials = Credentials::new(&os_of_all, &options, environment.clone(), &region);
        Box::new(Signer::new(credentials, service)) as Box<dyn Identity>
    };
    Ok(Access::new(os, url, timeout, authorities, Arc::new(identities)))
}

/// Where the service is, and its region.
fn found(
    os: &Os,
    options: &Options,
    environment: &Environment,
    service: &str,
    region: Option<&str>,
    host: Option<&Url>,
) -> Result<(Url, String), String> {
    let given = |key: &str| options.text(key).filter(|text| !text.is_empty()).map(str::to_string);
    let variable = format!("AWS_ENDPOINT_URL_{}", service.to_uppercase());
    let endpoint = given(options::ENDPOINT)
        .or_else(|| given(options::S3_ENDPOINT))
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
        return Err(format!("'{}' is no region: it has letters, digits and hyphens", region.escape_debug()));
    }
    let url = match endpoint {
        Some(url) => url,
        None => Url::parse(&endpoint_of(service, &region)).map_err(|error| error.to_string())?,
    };
    Ok((url, region))
}

/// Where AWS has a service.
fn endpoint_of(service: &str, region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{service}.{region}.{domain}/")
}

/// The file with the authorities that sign certificates.
fn authorities(options: &Options, environment: &Environment) -> PathBuf {
    let given = options.text(options::ROOT_CAS).filter(|path| !path.is_empty()).map(PathBuf::from);
    given.or_else(|| environment("AWS_CA_BUNDLE").map(PathBuf::from)).unwrap_or_default()
}

/// The region in a host of AWS: `sqs.eu-central-1.amazonaws.com`.
pub(crate) fn region_of_host(host: &str) -> Option<&str> {
    let before = host.split_once(".amazonaws.").map(|(before, _)| before)?;
    before.rsplit_once('.').map(|(_, region)| region).filter(|region| region.contains('-'))
}

#[cfg(test)]
mod tests;
