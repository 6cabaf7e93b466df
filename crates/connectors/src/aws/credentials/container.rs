//! Keys from where the node runs: a container's endpoint (ECS, EKS), or a machine's metadata service (EC2).
//!
//! Both lie at link-local addresses in AWS, to which a node connects only if it is allowed to.

use super::sts::exchange;
use super::{Credentials, Keys, NEAR_TIMEOUT, read, time_ms};
use crate::http_host::host_header;
use crate::service::{Done, ServiceError};
use auth::https::Url;
use base::ErrorKind;
use serde_json::Value;

const OF_ECS: &str = "http://169.254.170.2";
const OF_EC2: &str = "http://169.254.169.254";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
/// Where keys may be asked for without TLS, besides this machine.
const CONTAINER_HOSTS: &[&str] = &["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// None where the environment names no endpoint.
pub(super) fn of_container(credentials: &Credentials) -> Done<Option<Keys>> {
    let relative =
        credentials.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|uri| format!("{OF_ECS}{uri}"));
    let Some(uri) = relative.or_else(|| credentials.env("AWS_CONTAINER_CREDENTIALS_FULL_URI")) else {
        return Ok(None);
    };
    let url = Url::parse(&uri).map_err(|error| ServiceError::invalid(error.to_string()))?;
    if !url.tls && !url.is_loopback() && !CONTAINER_HOSTS.contains(&url.host.as_str()) {
        return Err(ServiceError::invalid(format!(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI names '{}', which is asked for keys over https only",
            url.host
        )));
    }
    let token = match credentials.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(file) => Some(read(&file).map_err(ServiceError::invalid)?),
        None => credentials.env("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    let token = token.map(|token| ("authorization".to_string(), token.trim().to_string()));
    if token.as_ref().is_some_and(|(_, token)| token.contains(['\r', '\n'])) {
        return Err(ServiceError::invalid("the token for the container's endpoint has more than one line"));
    }
    let given = get(credentials, &url, "GET", &url.path, token)?;
    keys_of(&given).map(Some)
}

/// By version 2 of the service, which wants a token for each session.
pub(super) fn of_machine(credentials: &Credentials) -> Done<Keys> {
    if credentials.env("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(ServiceError::new(ErrorKind::NotFound, "it is disabled by AWS_EC2_METADATA_DISABLED"));
    }
    let endpoint = credentials.env("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| OF_EC2.into());
    let url = Url::parse(&endpoint).map_err(|error| ServiceError::invalid(error.to_string()))?;
    let ttl = Some(("x-aws-ec2-metadata-token-ttl-seconds".to_string(), "21600".to_string()));
    let token = get(credentials, &url, "PUT", "/latest/api/token", ttl)?;
    let token = Some(("x-aws-ec2-metadata-token".to_string(), token.trim().to_string()));
    let role = get(credentials, &url, "GET", ROLES, token.clone())?;
    let role = role.lines().next().unwrap_or_default().trim();
    if role.is_empty() {
        return Err(ServiceError::new(ErrorKind::NotFound, "the machine has no role"));
    }
    keys_of(&get(credentials, &url, "GET", &format!("{ROLES}{}", os::http::segment(role)), token)?)
}

fn get(
    credentials: &Credentials,
    url: &Url,
    method: &str,
    path: &str,
    header: Option<(String, String)>,
) -> Done<String> {
    let mut headers = vec![("host".to_string(), host_header(url))];
    headers.extend(header);
    let answer = exchange(credentials, url, method, path, &headers, &[], NEAR_TIMEOUT)?;
    if answer.status != 200 {
        let kind = if answer.status >= 500 { ErrorKind::Unavailable } else { ErrorKind::NotFound };
        return Err(ServiceError::new(
            kind,
            format!("{} answers {path} with status={}", url.address(), answer.status),
        ));
    }
    String::from_utf8(answer.body).map_err(|_| ServiceError::malformed("it is no text"))
}

fn keys_of(given: &str) -> Done<Keys> {
    let malformed = || ServiceError::malformed("there are no keys in it");
    let given: Value = serde_json::from_str(given).map_err(|_| malformed())?;
    let text = |name: &str| given[name].as_str().ok_or_else(malformed);
    Ok(Keys {
        session_token: given["Token"].as_str().map(str::to_string),
        expires_ms: given["Expiration"].as_str().and_then(time_ms),
        ..Keys::new(text("AccessKeyId")?, text("SecretAccessKey")?)
    })
}
