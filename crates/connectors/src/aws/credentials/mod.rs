//! The keys that requests are signed with, looked for as AWS's own tools do.
//!
//! With `aws.credentials.provider` = `AUTO`, from the table's options, the environment, the token of a web identity (EKS), the
//! shared files with their profiles, the container's endpoint (ECS, EKS) and the machine's metadata service (EC2), in this
//! order: the first that has some. Keys that end are fetched anew before they do; keys that AWS refuses are looked for once
//! more, so that they may be rotated while a job runs. They are in no message.

mod container;
mod profiles;
mod sts;

pub(super) use profiles::region;

use super::options::{ACCESS_KEY_ID, PROFILE_NAME, PROVIDER, ROLE_ARN, SECRET_KEY, TOKEN_FILE};
use crate::service::{Done, Ends, Environment, Lasting, ServiceError};
use base::options::Options;
use chrono::DateTime;
use os::Os;
use std::time::Duration;

/// Whoever hands out keys is near.
const NEAR_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Not `Debug`: nobody is shown them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: Option<String>,
    /// None of those that do not end.
    pub expires_ms: Option<i64>,
}

impl Keys {
    pub(crate) fn new(access_key_id: &str, secret_access_key: &str) -> Keys {
        Keys {
            access_key_id: access_key_id.into(),
            secret_access_key: secret_access_key.into(),
            session_token: None,
            expires_ms: None,
        }
    }
}

#[derive(Clone)]
pub(crate) struct Credentials {
    pub os: Os,
    pub options: Options,
    pub environment: Environment,
    pub region: String,
    cached: Lasting<Keys>,
}

impl Ends for Keys {
    fn expires_ms(&self) -> Option<i64> {
        self.expires_ms
    }
}

impl Credentials {
    pub(crate) fn new(os: &Os, options: &Options, environment: Environment, region: &str) -> Credentials {
        Credentials {
            os: os.clone(),
            options: options.clone(),
            environment,
            region: region.to_string(),
            cached: Lasting::default(),
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.options.text(key).filter(|text| !text.is_empty())
    }

    fn env(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    /// The keys that hold now.
    pub(crate) fn get(&mut self) -> Done<Keys> {
        let mut cached = std::mem::take(&mut self.cached);
        let got = cached.get(self.os.clock.now_ms(), || self.find());
        self.cached = cached;
        got
    }

    /// Looks for keys once more; whether there are others than before.
    pub(crate) fn renew(&mut self) -> Done<bool> {
        let mut cached = std::mem::take(&mut self.cached);
        let renewed = cached.renew(self.os.clock.now_ms(), || self.find());
        self.cached = cached;
        renewed
    }

    fn find(&self) -> Done<Keys> {
        match self.text(PROVIDER).unwrap_or("AUTO") {
            "ASSUME_ROLE" => {
                let base = self.find_by(self.text(super::options::ROLE_PROVIDER).unwrap_or("AUTO"))?;
                let role = self.text(ROLE_ARN).ok_or_else(|| missing(ROLE_ARN))?;
                sts::assume_role(self, &base, role)
            }
            provider => self.find_by(provider),
        }
    }

    fn find_by(&self, provider: &str) -> Done<Keys> {
        match provider {
            "BASIC" => self.basic()?.ok_or_else(|| missing(ACCESS_KEY_ID)),
            "ENV_VAR" => self.of_environment().ok_or_else(|| missing_in_environment("AWS_ACCESS_KEY_ID")),
            "WEB_IDENTITY_TOKEN" => {
                self.web_identity()?.ok_or_else(|| missing_in_environment("AWS_WEB_IDENTITY_TOKEN_FILE"))
            }
            "PROFILE" => profiles::keys(self)?.ok_or_else(|| {
                ServiceError::invalid(format!("there is no profile '{}'", profiles::name(self)))
            }),
            _ => self.first(),
        }
    }

    fn first(&self) -> Done<Keys> {
        if let Some(keys) = self.basic()? {
            return Ok(keys);
        }
        // A profile that is named by an option is meant.
        let is_named = self.text(PROFILE_NAME).is_some();
        if !is_named && let Some(keys) = self.of_environment() {
            return Ok(keys);
        }
        if let Some(keys) = self.web_identity()? {
            return Ok(keys);
        }
        if let Some(keys) = profiles::keys(self)? {
            return Ok(keys);
        }
        if let Some(keys) = container::of_container(self)? {
            return Ok(keys);
        }
        container::of_machine(self).map_err(|reason| {
            ServiceError::unavailable(format!(
                "no credentials are found: none in 'aws.credentials.basic.*', in the environment (AWS_ACCESS_KEY_ID), in the \
                 profile '{}' of the shared files, or at a container's endpoint, and the machine's metadata service gives \
                 none: {}",
                profiles::name(self),
                reason.message
            ))
        })
    }

    /// Those in the options, each of which may stand in a file or in the environment.
    fn basic(&self) -> Done<Option<Keys>> {
        let (Some(id), Some(secret)) = (self.text(ACCESS_KEY_ID), self.text(SECRET_KEY)) else {
            return Ok(None);
        };
        let resolved = |key: &str, value: &str| {
            auth::secrets::resolved(value).map_err(|error| ServiceError::invalid(format!("'{key}': {error}")))
        };
        Ok(Some(Keys::new(&resolved(ACCESS_KEY_ID, id)?, &resolved(SECRET_KEY, secret)?)))
    }

    fn of_environment(&self) -> Option<Keys> {
        let keys = Keys::new(&self.env("AWS_ACCESS_KEY_ID")?, &self.env("AWS_SECRET_ACCESS_KEY")?);
        Some(Keys { session_token: self.env("AWS_SESSION_TOKEN"), ..keys })
    }

    fn web_identity(&self) -> Done<Option<Keys>> {
        let file =
            self.text(TOKEN_FILE).map(str::to_string).or_else(|| self.env("AWS_WEB_IDENTITY_TOKEN_FILE"));
        let Some(file) = file else { return Ok(None) };
        let role = self.text(ROLE_ARN).map(str::to_string).or_else(|| self.env("AWS_ROLE_ARN"));
        let role = role.ok_or_else(|| missing(ROLE_ARN))?;
        sts::with_web_identity(self, &file, &role).map(Some)
    }
}

fn missing(option: &str) -> ServiceError {
    ServiceError::invalid(format!("'{option}' is missing, which the chosen provider of credentials needs"))
}

fn missing_in_environment(name: &str) -> ServiceError {
    ServiceError::invalid(format!(
        "the environment has no {name}, which the chosen provider of credentials needs"
    ))
}

/// A file of at most a megabyte.
fn read(path: &str) -> Result<String, String> {
    auth::secrets::resolved(&format!("${{file:{path}}}")).map_err(|error| error.to_string())
}

/// `2015-08-30T12:36:00Z` as milliseconds.
fn time_ms(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
}

#[cfg(test)]
mod tests;
