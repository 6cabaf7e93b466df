//! The URLs of database servers, `//HOST:PORT/DATABASE?NAME=VALUE&…`. Nothing of them is shown: they may hold a password.

use crate::percent::percent_decoded;

/// What a URL names, and who asks.
pub(super) struct Place<'a> {
    pub host: &'a str,
    pub port: u16,
    pub database: &'a str,
    pub user: Option<String>,
    pub password: Option<String>,
    /// Those that do not say who asks, names with values.
    pub parameters: Vec<(&'a str, &'a str)>,
}

/// `form` is what a URL must look like, for messages.
pub(super) fn place<'a>(rest: &'a str, port: u16, form: &str) -> Result<Place<'a>, String> {
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, database) = match place.strip_prefix("//") {
        Some(place) => place.split_once('/').ok_or(form)?,
        None => ("localhost", place),
    };
    if host.contains(',') {
        return Err(format!("{form}, with one host"));
    }
    // It may be a password, and the host is shown in messages.
    if host.contains('@') {
        return Err(format!("{form}; who asks stands in 'username' and 'password'"));
    }
    let (host, port) = match host.rsplit_once(':') {
        // An address of IPv6 stands in brackets.
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| form)?),
        _ => (host, port),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { "localhost" } else { host };
    if database.is_empty() || database.contains('\0') {
        return Err(form.into());
    }
    let mut found = Place { host, port, database, user: None, password: None, parameters: Vec::new() };
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let given = match name {
            "user" => &mut found.user,
            "password" => &mut found.password,
            _ => {
                found.parameters.push((name, value));
                continue;
            }
        };
        // The value is not shown: it may be the password.
        let value = percent_decoded(value)
            .ok_or_else(|| format!("the parameter '{name}' of 'url' is no text in percent encoding"))?;
        given.get_or_insert(value);
    }
    Ok(found)
}

pub(super) fn unknown(name: &str, known: &str) -> String {
    format!("the parameter '{name}' of 'url' is not supported; there are {known}")
}
