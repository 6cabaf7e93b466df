//! Where spans go and which are kept: by OpenTelemetry's own variables, and by what was given on the command line, which
//! goes before them.

use crate::sampler::Sampler;
use auth::https::Url;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const CERTIFICATES: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
const DEFAULT_TIMEOUT_MS: u64 = 10_000;
const TIMEOUT_MS_MAX: u64 = 600_000;
const DEFAULT_SERVICE: &str = "eventwright";
const SERVICE: &str = "service.name";

/// What was given besides the environment.
#[derive(Default)]
pub struct Given {
    /// `http://HOST:PORT`; the path `/v1/traces` is added.
    pub endpoint: Option<String>,
    /// Headers of each request: they may hold secrets.
    pub headers: Option<BTreeMap<String, String>>,
    pub service: Option<String>,
    pub ratio: Option<String>,
}

pub struct TraceSettings {
    pub(crate) url: Url,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) resource: Vec<(String, String)>,
    pub(crate) authorities: PathBuf,
    pub(crate) timeout: Duration,
    pub(crate) sampler: Sampler,
}

/// What is wrong, and with which variable or option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {reason}")]
pub struct SettingsError {
    pub what: String,
    pub reason: String,
}

fn wrong(what: &str, reason: impl Into<String>) -> SettingsError {
    SettingsError { what: what.into(), reason: reason.into() }
}

impl TraceSettings {
    /// `None` where nobody wants traces: there is no endpoint, or the environment turns them off.
    pub fn read(
        given: Given,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<TraceSettings>, SettingsError> {
        // An empty variable is as good as none, as OpenTelemetry has it.
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| variable(name).map(|value| (name, value)))
        };
        let is_off = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || variable("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
        let endpoint = match &given.endpoint {
            Some(endpoint) => Some(("--trace-endpoint", below(endpoint))),
            None if is_off => None,
            None => match variable(TRACES_ENDPOINT) {
                Some(endpoint) => Some((TRACES_ENDPOINT, endpoint)),
                None => variable(ENDPOINT).map(|endpoint| (ENDPOINT, below(&endpoint))),
            },
        };
        let Some((what, endpoint)) = endpoint else { return Ok(None) };
        let url = Url::parse(&endpoint).map_err(|error| wrong(what, error.0))?;
        if let Some((name, value)) = first(PROTOCOLS).filter(|(_, value)| value != "http/protobuf") {
            let reason = format!("'{value}' is not spoken here: use http/protobuf, most often on port 4318");
            return Err(wrong(name, reason));
        }
        let headers = match given.headers {
            Some(headers) => headers.into_iter().collect(),
            None => match first(HEADERS) {
                Some((name, text)) => {
                    pairs(&text).ok_or_else(|| wrong(name, "write NAME=VALUE,NAME=VALUE"))?
                }
                None => Vec::new(),
            },
        };
        let timeout_ms = match first(TIMEOUTS) {
            Some((name, text)) => {
                let parsed = text.trim().parse::<u64>().ok().filter(|ms| (1..=TIMEOUT_MS_MAX).contains(ms));
                parsed.ok_or_else(|| wrong(name, format!("write milliseconds from 1 to {TIMEOUT_MS_MAX}")))?
            }
            None => DEFAULT_TIMEOUT_MS,
        };
        Ok(Some(TraceSettings {
            url,
            headers,
            resource: resource(given.service, &variable)?,
            authorities: first(CERTIFICATES).map(|(_, file)| PathBuf::from(file)).unwrap_or_default(),
            timeout: Duration::from_millis(timeout_ms),
            sampler: sampler(given.ratio, &variable)?,
        }))
    }

    /// Where spans go, for messages.
    pub fn endpoint(&self) -> String {
        format!("{}://{}{}", if self.url.tls { "https" } else { "http" }, self.url.address(), self.url.path)
    }
}

/// The path of traces below an address.
fn below(endpoint: &str) -> String {
    format!("{}/v1/traces", endpoint.trim_end_matches('/'))
}

fn resource(
    service: Option<String>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, SettingsError> {
    const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
    let mut resource = match variable(ATTRIBUTES) {
        Some(text) => pairs(&text).ok_or_else(|| wrong(ATTRIBUTES, "write NAME=VALUE,NAME=VALUE"))?,
        None => Vec::new(),
    };
    let service = service.or_else(|| variable("OTEL_SERVICE_NAME"));
    if service.is_some() {
        resource.retain(|(name, _)| name != SERVICE);
    }
    if !resource.iter().any(|(name, _)| name == SERVICE) {
        resource.insert(0, (SERVICE.into(), service.unwrap_or_else(|| DEFAULT_SERVICE.into())));
    }
    Ok(resource)
}

fn sampler(
    ratio: Option<String>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Sampler, SettingsError> {
    const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
    if let Some(text) = ratio {
        let ratio = Sampler::ratio_of(&text).map_err(|reason| wrong("--trace-sample-ratio", reason))?;
        return Ok(Sampler { ratio, follows_parent: true });
    }
    let Some(name) = variable(SAMPLER) else { return Ok(Sampler::default()) };
    let argument = variable("OTEL_TRACES_SAMPLER_ARG");
    Sampler::named(&name, argument.as_deref()).map_err(|reason| wrong(SAMPLER, reason))
}

/// `NAME=VALUE,NAME=VALUE`, values with percent signs, as in W3C Baggage.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let name = name.trim();
        (!name.is_empty()).then(|| Some((name.to_string(), decoded(value.trim())?)))?
    };
    text.split(',').filter(|part| !part.trim().is_empty()).map(pair).collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'%' => {
                let digits = rest.split_at_checked(2)?;
                bytes.push(u8::from_str_radix(std::str::from_utf8(digits.0).ok()?, 16).ok()?);
                rest = digits.1;
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}
