//! Keys for a role: asked of AWS's token service, with other keys or with the token of a web identity.

use super::super::authorities;
use super::super::error;
use super::super::options::{EXTERNAL_ID, SESSION_NAME, STS_ENDPOINT};
use super::super::sign::{self, Scope, Signed};
use super::{ANSWER_BYTES_MAX, Credentials, Keys, read, time_ms};
use crate::http_connection::HttpAnswer;
use crate::http_host::host_header;
use crate::service::{Asked, Done, ServiceError, form};
use crate::xml;
use auth::https::Url;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn assume_role(credentials: &Credentials, base: &Keys, role: &str) -> Done<Keys> {
    assume_role_as(credentials, base, role, None, None)
}

pub(super) fn assume_role_as(
    credentials: &Credentials,
    base: &Keys,
    role: &str,
    session: Option<&str>,
    external_id: Option<&str>,
) -> Done<Keys> {
    let session = session.map(str::to_string).unwrap_or_else(|| session_name(credentials));
    let mut parts = vec![
        ("Action", "AssumeRole"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", &session),
    ];
    if let Some(id) = external_id.or(credentials.text(EXTERNAL_ID)) {
        parts.push(("ExternalId", id));
    }
    ask(credentials, &parts, Some(base))
}

pub(super) fn with_web_identity(credentials: &Credentials, file: &str, role: &str) -> Done<Keys> {
    // Kubernetes writes the token anew before it ends.
    let token = read(file).map_err(ServiceError::invalid)?;
    let session = session_name(credentials);
    let parts = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", &session),
        ("WebIdentityToken", token.trim()),
    ];
    ask(credentials, &parts, None)
}

fn session_name(credentials: &Credentials) -> String {
    let given = credentials.text(SESSION_NAME).map(str::to_string);
    given.or_else(|| credentials.env("AWS_ROLE_SESSION_NAME")).unwrap_or_else(|| "eventwright".into())
}

fn ask(credentials: &Credentials, parts: &[(&str, &str)], signer: Option<&Keys>) -> Done<Keys> {
    let region = &credentials.region;
    let endpoint = credentials.text(STS_ENDPOINT).map(str::to_string);
    let endpoint = endpoint.or_else(|| credentials.env("AWS_ENDPOINT_URL_STS"));
    let endpoint = endpoint.unwrap_or_else(|| super::super::endpoint_of("sts", region));
    let url = Url::parse(&endpoint).map_err(|error| ServiceError::invalid(error.to_string()))?;
    let body = form(parts);
    let host = host_header(&url);
    let mut headers = vec![
        ("content-type".to_string(), "application/x-www-form-urlencoded; charset=utf-8".to_string()),
        ("host".to_string(), host),
    ];
    let now_ms = credentials.os.clock.now_ms();
    if let Some(keys) = signer {
        let time = sign::time_text(now_ms);
        headers.push(("x-amz-date".into(), time.clone()));
        if let Some(token) = &keys.session_token {
            headers.push(("x-amz-security-token".into(), token.clone()));
        }
        let payload = sign::hash(body.as_bytes());
        let request =
            Signed { method: "POST", path: "/", query: "", headers: headers.clone(), payload: &payload };
        let scope = Scope { time: &time, region, service: "sts" };
        headers.push(("authorization".into(), sign::authorization(keys, scope, &request)));
    }
    let answer =
        exchange(credentials, &url, "POST", "/", &headers, body.as_bytes(), TIMEOUT).map_err(|error| {
            ServiceError { message: format!("the token service: {}", error.message), ..error }
        })?;
    if answer.status != 200 {
        let error = error::refusal(&answer, now_ms);
        return Err(ServiceError { message: format!("no keys for the role: {}", error.message), ..error });
    }
    let malformed = || ServiceError::malformed("the token service gives no keys");
    let document = std::str::from_utf8(&answer.body).ok().and_then(|text| xml::parse(text).ok());
    let document = document.ok_or_else(malformed)?;
    let given = document.find_deep("Credentials").ok_or_else(malformed)?;
    let text = |name: &str| given.text_of(name).ok_or_else(malformed);
    Ok(Keys {
        session_token: Some(text("SessionToken")?.to_string()),
        expires_ms: Some(time_ms(text("Expiration")?).ok_or_else(malformed)?),
        ..Keys::new(text("AccessKeyId")?, text("SecretAccessKey")?)
    })
}

/// One request over a connection of its own.
pub(super) fn exchange(
    credentials: &Credentials,
    url: &Url,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: &[u8],
    timeout: Duration,
) -> Done<HttpAnswer> {
    let authorities = authorities(&credentials.options, &credentials.environment);
    let (os, answer_bytes_max) = (&credentials.os, ANSWER_BYTES_MAX);
    let asked = Asked { os, url, authorities: &authorities, timeout, answer_bytes_max };
    crate::service::exchange(&asked, method, path, headers, body)
}
