//! Azure Blob Storage: where an account's service is, who we are, and how calls are signed.
//!
//! Accounts with a hierarchical namespace (ADLS Gen2) have the same service beside their own, and are used by it: it is what has
//! puts on a condition and blocks.

pub(crate) mod blobs;
mod credentials;
mod error;
mod identity;
pub(crate) mod options;

use crate::service::{Access, Environment, Identity, ROOT_CAS, environment};
use auth::https::Url;
use base::options::Options;
use credentials::Credentials;
use identity::Caller;
use os::Os;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What the hosts of Azure's clouds end with; the first is that of its own.
const SUFFIXES: [&str; 3] = ["core.windows.net", "core.chinacloudapi.cn", "core.usgovcloudapi.net"];

/// A storage account as an address names it, if it does.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Account(Option<Named>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    name: String,
    suffix: String,
}

fn checked(name: &str) -> Result<&str, String> {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    match (3..=24).contains(&name.len()) && name.bytes().all(is_name) {
        true => Ok(name),
        false => {
            let shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();
            Err(format!("'{shown}' is no name of a storage account: it has 3 to 24 small letters and digits"))
        }
    }
}

impl Account {
    /// From the host of an address: `ACCOUNT.dfs.core.windows.net`, or with `blob`.
    pub(crate) fn of_host(host: &str) -> Result<Account, String> {
        let (name, rest) = host.split_once('.').unwrap_or((host, ""));
        let suffix = rest.strip_prefix("dfs.").or_else(|| rest.strip_prefix("blob."));
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        match suffix.filter(|suffix| !suffix.is_empty() && suffix.bytes().all(is_host)) {
            Some(suffix) => {
                let (name, suffix) = (checked(name)?.to_string(), suffix.to_string());
                Ok(Account(Some(Named { name, suffix })))
            }
            None => {
                let shown: String = host.chars().take(80).flat_map(char::escape_debug).collect();
                Err(format!(
                    "'{shown}' is no host of a storage account: write CONTAINER@ACCOUNT.dfs.core.windows.net"
                ))
            }
        }
    }

    /// A container of it, as an address.
    pub(crate) fn root(&self, container: &str) -> String {
        match &self.0 {
            Some(Named { name, suffix }) => format!("abfss://{container}@{name}.dfs.{suffix}"),
            None => format!("az://{container}"),
        }
    }
}

/// How the service of an account is reached, from checked options.
pub(crate) fn access(os: &Os, options: &Options, account: &Account) -> Result<Access, String> {
    access_within(os, options, environment(), account)
}

fn access_within(
    os: &Os,
    options: &Options,
    environment: Environment,
    account: &Account,
) -> Result<Access, String> {
    let (url, name) = found(options, &environment, account)?;
    let authorities = PathBuf::from(options.text(ROOT_CAS).unwrap_or_default());
    let timeout = Duration::from_millis(options.duration_ms(options::TIMEOUT).unwrap_or(30_000));
    let credentials = Credentials::new(os, options, environment, &authorities);
    let clock = os.clock.clone();
    let identities = move || {
        let (name, credentials) = (name.clone(), credentials.clone());
        Box::new(Caller::new(name, credentials, clock.clone())) as Box<dyn Identity>
    };
    Ok(Access::new(os, url, timeout, authorities, Arc::new(identities)))
}

/// Where the service is, and the account's name.
fn found(options: &Options, environment: &Environment, account: &Account) -> Result<(Url, String), String> {
    let given = |key: &str| options.text(key).filter(|text| !text.is_empty()).map(str::to_string);
    let other = given(options::ACCOUNT);
    let (name, suffix) = match (&account.0, other) {
        (Some(named), Some(other)) if named.name != other => {
            return Err(format!(
                "the address names the account '{}', and '{}' another: leave it out",
                named.name,
                options::ACCOUNT
            ));
        }
        (Some(Named { name, suffix }), _) => (name.clone(), suffix.as_str()),
        (None, other) => {
            let missing = || {
                format!(
                    "no storage account is said: give '{}', set AZURE_STORAGE_ACCOUNT, or write \
                     abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER",
                    options::ACCOUNT
                )
            };
            (other.or_else(|| environment("AZURE_STORAGE_ACCOUNT")).ok_or_else(missing)?, SUFFIXES[0])
        }
    };
    let name = checked(&name)?.to_string();
    // Whoever names an account in an address means that one, not that of the environment.
    let of_environment = || environment("AZURE_STORAGE_SERVICE_ENDPOINT").filter(|_| account.0.is_none());
    let (from, text) = match given(options::ENDPOINT) {
        Some(text) => (options::ENDPOINT, text),
        None => match of_environment() {
            Some(text) => ("AZURE_STORAGE_SERVICE_ENDPOINT", text),
            // An address may be a catalog's or a table's, and whoever is there is told our token.
            None if !SUFFIXES.contains(&suffix) => {
                return Err(format!(
                    "the address names a host that is none of Azure's clouds ('{name}.blob.{suffix}'): if it is meant, give '{}'",
                    options::ENDPOINT
                ));
            }
            None => (options::ENDPOINT, format!("https://{name}.blob.{suffix}")),
        },
    };
    let url = Url::parse(&text).map_err(|error| format!("'{from}': {error}"))?;
    Ok((url, name))
}

#[cfg(test)]
mod tests;
