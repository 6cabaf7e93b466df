//! The shared files of AWS's tools, `~/.aws/credentials` and `~/.aws/config`, with their profiles.

use super::super::options::{PROFILE_NAME, PROFILE_PATH};
use super::{Credentials, Keys, read, sts};
use crate::service::{Done, ServiceError};
use std::collections::BTreeMap;

/// Profiles that lead to one another.
const CHAIN_MAX: usize = 8;

type Profile = BTreeMap<String, String>;

/// The profile's name: of the option, of the environment, or the default.
pub(super) fn name(credentials: &Credentials) -> String {
    let given = credentials.text(PROFILE_NAME).map(str::to_string);
    given.or_else(|| credentials.env("AWS_PROFILE")).unwrap_or_else(|| "default".into())
}

/// The region of the profile, if the files have one.
pub(in crate::aws) fn region(credentials: &Credentials) -> Option<String> {
    profile(credentials, &name(credentials)).ok()??.remove("region")
}

pub(super) fn keys(credentials: &Credentials) -> Done<Option<Keys>> {
    keys_of(credentials, &name(credentials), CHAIN_MAX)
}

fn keys_of(credentials: &Credentials, name: &str, chain_max: usize) -> Done<Option<Keys>> {
    let Some(profile) = profile(credentials, name)? else { return Ok(None) };
    let wrong =
        |what: &str| ServiceError::invalid(format!("the profile '{name}' of AWS's shared files {what}"));
    let get = |key: &str| profile.get(key).map(String::as_str);
    if let Some(role) = get("role_arn") {
        if let Some(file) = get("web_identity_token_file") {
            return sts::with_web_identity(credentials, file, role).map(Some);
        }
        let base = match (get("source_profile"), get("credential_source")) {
            (Some(_), _) if chain_max == 0 => return Err(wrong("leads to itself")),
            (Some(source), _) if source == name => own_keys(&profile),
            (Some(source), _) => keys_of(credentials, source, chain_max - 1)?,
            (None, Some("Environment")) => credentials.of_environment(),
            (None, Some("EcsContainer")) => super::container::of_container(credentials)?,
            (None, Some("Ec2InstanceMetadata")) => Some(super::container::of_machine(credentials)?),
            _ => return Err(wrong("has a role_arn, and no source_profile or credential_source")),
        };
        let base = base.ok_or_else(|| wrong("takes a role with keys that are not there"))?;
        return sts::assume_role_as(credentials, &base, role, get("role_session_name"), get("external_id"))
            .map(Some);
    }
    if let Some(keys) = own_keys(&profile) {
        return Ok(Some(keys));
    }
    for unsupported in ["credential_process", "sso_session", "sso_start_url", "login_session"] {
        if get(unsupported).is_some() {
            return Err(wrong(&format!(
                "has {unsupported}, which is not supported: let `aws configure export-credentials --format env` write keys into \
                 the environment"
            )));
        }
    }
    Ok(None)
}

fn own_keys(profile: &Profile) -> Option<Keys> {
    let keys = Keys::new(profile.get("aws_access_key_id")?, profile.get("aws_secret_access_key")?);
    Some(Keys { session_token: profile.get("aws_session_token").cloned(), ..keys })
}

/// A profile of both files; what the credentials' file says goes before.
fn profile(credentials: &Credentials, name: &str) -> Done<Option<Profile>> {
    let home = credentials.env("HOME");
    let at_home = |file: &str| home.as_ref().map(|home| format!("{home}/.aws/{file}"));
    let option = credentials.text(PROFILE_PATH).map(str::to_string);
    let is_given = option.is_some();
    let of_keys =
        option.or_else(|| credentials.env("AWS_SHARED_CREDENTIALS_FILE")).or_else(|| at_home("credentials"));
    let of_config = credentials.env("AWS_CONFIG_FILE").or_else(|| at_home("config"));
    let mut found = None;
    for (path, is_config) in [(of_config, true), (of_keys, false)] {
        let Some(path) = path else { continue };
        let is_there = std::path::Path::new(&path).exists();
        // A file that an option names has to be there.
        let must_be_there = is_given && !is_config;
        if !is_there && !must_be_there {
            continue;
        }
        let text = read(&path).map_err(ServiceError::invalid)?;
        if let Some(profile) = section(&text, name, is_config) {
            found.get_or_insert_with(Profile::new).extend(profile);
        }
    }
    Ok(found)
}

/// A section: `[name]`, or in the configuration's file `[profile name]` but for the default.
fn section(text: &str, name: &str, is_config: bool) -> Option<Profile> {
    let mut found: Option<Profile> = None;
    let mut is_inside = false;
    for line in text.lines() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = bare.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let header = header.trim();
            let profile = header.strip_prefix("profile").map(str::trim).filter(|_| header.contains(' '));
            is_inside = match (is_config, profile) {
                (true, Some(profile)) => profile == name,
                (true, None) => header == "default" && name == "default",
                (false, _) => header == name,
            };
            if is_inside {
                found.get_or_insert_with(Profile::new);
            }
        } else if is_inside
            // What is indented belongs to a setting with parts.
            && !line.starts_with([' ', '\t'])
            && let Some((key, value)) = bare.split_once('=')
            && let Some(profile) = &mut found
        {
            profile.insert(key.trim().to_ascii_lowercase(), value.trim().to_string());
        }
    }
    found
}
