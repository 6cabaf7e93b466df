//! What connectors of Google's services share: where a service is, and who we are (ADR 0033).
//!
//! A service is at its own address, at another that `endpoint` names, or an emulator, which asks for nobody's name.

mod credentials;
mod error;
mod identity;
pub(crate) mod options;
pub(crate) mod storage;

pub(crate) use error::INVALID_ACK_ID;

use crate::percent::percent_encoded;
use crate::service::{Access, Call, Environment, Identity, ROOT_CAS, environment};
use auth::https::Url;
use base::options::Options;
use credentials::Credentials;
use identity::{Bearer, Nobody};
use os::Os;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A service as its reference names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    /// Its host, where nothing else is said.
    pub host: &'static str,
    /// The variable that names its emulator.
    pub emulator: &'static str,
    /// What tokens are asked for.
    pub scope: &'static str,
    /// What its tables call the options.
    pub names: options::Names,
}

/// How a service is reached, from checked options.
pub(crate) fn access(os: &Os, options: &Options, service: Named) -> Result<Access, String> {
    access_within(os, options, environment(), service)
}

fn access_within(
    os: &Os,
    options: &Options,
    environment: Environment,
    service: Named,
) -> Result<Access, String> {
    let (url, is_emulator) = found(options, &environment, service)?;
    if !is_emulator && !url.tls && !url.is_loopback() {
        return Err(format!(
            "'{}': {} would be told our token without TLS: write https://…, or name an emulator as '{}'",
            service.names.endpoint,
            url.address(),
            service.names.emulator
        ));
    }
    let authorities = PathBuf::from(options.text(ROOT_CAS).unwrap_or_default());
    let timeout = Duration::from_millis(options.duration_ms(options::TIMEOUT).unwrap_or(30_000));
    let credentials =
        Credentials::new(os, options, environment, &authorities, (service.names, service.scope));
    let now = os.clock.clone();
    let identities = move || match is_emulator {
        true => Box::new(Nobody(now.clone())) as Box<dyn Identity>,
        false => Box::new(Bearer::new(credentials.clone(), now.clone())),
    };
    Ok(Access::new(os, url, timeout, authorities, Arc::new(identities)))
}

/// Where the service is, and whether that is an emulator.
fn found(options: &Options, environment: &Environment, service: Named) -> Result<(Url, bool), String> {
    let given = |key: &str| options.text(key).filter(|text| !text.is_empty()).map(str::to_string);
    let names = service.names;
    let url = |from: &str, text: &str| Url::parse(text).map_err(|error| format!("'{from}': {error}"));
    // An emulator is named by host and port, also with a scheme.
    let emulator = |from: &str, place: String| {
        let text = if place.contains("://") { place } else { format!("http://{place}") };
        url(from, &text).map(|url| (url, true))
    };
    if let Some(place) = given(names.emulator) {
        return emulator(names.emulator, place);
    }
    if let Some(text) = given(names.endpoint) {
        return url(names.endpoint, &text).map(|url| (url, false));
    }
    match environment(service.emulator) {
        Some(place) => emulator(service.emulator, place),
        None => url(names.endpoint, &format!("https://{}", service.host)).map(|url| (url, false)),
    }
}

/// What a table reads or writes, of a project: `projects/PROJECT/topics/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    pub project: String,
    /// `topics`.
    pub collection: &'static str,
    pub name: String,
}

impl Resource {
    /// From an option that has the name alone, or the whole of it.
    pub(crate) fn of(options: &Options, key: &str, collection: &'static str) -> Result<Resource, String> {
        Resource::within(options, &environment(), key, collection)
    }

    fn within(
        options: &Options,
        environment: &Environment,
        key: &str,
        collection: &'static str,
    ) -> Result<Resource, String> {
        let text = options.text(key).unwrap_or_default();
        let (project, name) = match text.strip_prefix("projects/") {
            Some(rest) => {
                let whole = rest.split_once('/').and_then(|(project, rest)| {
                    Some((project.to_string(), rest.strip_prefix(collection)?.strip_prefix('/')?))
                });
                whole.ok_or_else(|| {
                    format!("'{key}': write its name, or projects/PROJECT/{collection}/NAME")
                })?
            }
            None => {
                let given = options.text(options::PROJECT).filter(|text| !text.is_empty());
                let given = given.map(str::to_string).or_else(|| environment("GOOGLE_CLOUD_PROJECT"));
                let missing = || {
                    format!("no project is said: give '{}', or set GOOGLE_CLOUD_PROJECT", options::PROJECT)
                };
                (given.ok_or_else(missing)?, text)
            }
        };
        let is_project = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':');
        if project.is_empty() || !project.bytes().all(is_project) {
            return Err(format!("'{}' is the id of no project", project.escape_debug()));
        }
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+%".contains(&byte);
        if !(3..=255).contains(&name.len())
            || !name.bytes().all(is_name)
            || !name.starts_with(|first: char| first.is_ascii_alphabetic())
        {
            return Err(format!(
                "'{key}': '{}' is no name: it has 3 to 255 letters, digits and characters of -_.~+%, a letter first",
                name.escape_debug()
            ));
        }
        Ok(Resource { project, collection, name: name.to_string() })
    }

    /// A call about it: of its own method (`pull`), or one that asks what it is.
    pub(crate) fn call(&self, method: Option<&str>, body: Option<&serde_json::Value>) -> Call {
        let Resource { project, collection, name } = self;
        let encoded = |text: &str| percent_encoded(text, false);
        let mut path = format!("/v1/projects/{}/{collection}/{}", encoded(project), encoded(name));
        if let Some(method) = method {
            path.push(':');
            path.push_str(method);
        }
        Call {
            method: if method.is_some() { "POST" } else { "GET" },
            path,
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
            ..Call::default()
        }
    }
}

#[cfg(test)]
mod tests;
