//! PostgreSQL: the client that we have of our own, and what is done with it.

mod lookup;
mod pipeline;
mod replication;
mod scram;
mod statements;
mod target;
mod texts;
pub(crate) mod types;
pub(crate) mod wire;

use super::sqlite::list;
use crate::percent::percent_decoded;
use base::options::Options;
use std::path::PathBuf;

pub(crate) use super::sqlite::quoted;
pub(super) use lookup::PostgresLookup;
pub(crate) use replication::{TextRows, literal};
pub(super) use target::PostgresTarget;
pub(super) use types::declared;

/// Where the database is, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
    pub password: Option<String>,
    /// Over TLS, by the authorities in this PEM file; an empty path is those of the system.
    pub authorities: Option<PathBuf>,
}

pub(super) const URL: &str = "jdbc:postgresql:";

const PORT: u16 = 5432;

/// What may stand behind the `?` of a URL; what is not known here could change what is read.
const PARAMETERS: &str =
    "user, password, sslmode=disable or verify-full, sslrootcert with sslmode=verify-full, ApplicationName";

/// The place that a URL and the options name. Nothing of it is shown: it may hold a password.
pub(super) fn address(url: &str, options: &Options) -> Result<Address, String> {
    let form = "'url' must be 'jdbc:postgresql://HOST:PORT/DATABASE'";
    let rest = url.strip_prefix(URL).unwrap_or_default();
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
        _ => (host, PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut user = options.text("username").map(str::to_string);
    let mut password = options.text("password").map(str::to_string);
    let (mut is_secured, mut authorities) = (false, None);
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some((name @ ("user" | "password"), value)) => {
                let given = if name == "user" { &mut user } else { &mut password };
                // The value is not shown: it may be the password.
                let value = percent_decoded(value).ok_or_else(|| {
                    format!("the parameter '{name}' of 'url' is no text in percent encoding")
                })?;
                given.get_or_insert(value);
            }
            Some(("sslmode", "disable") | ("ApplicationName", _)) => {}
            Some(("sslmode", "verify-full")) => is_secured = true,
            Some(("sslmode", _)) => {
                return Err("'sslmode' of 'url' is disable or verify-full: the others let anybody answer in place of \
                            the server"
                    .into());
            }
            Some(("sslrootcert", path)) => {
                let path = percent_decoded(path).ok_or("the parameter 'sslrootcert' of 'url' is no path")?;
                authorities = Some(PathBuf::from(path));
            }
            _ => {
                let name = parameter.split('=').next().unwrap_or_default();
                return Err(format!(
                    "the parameter '{name}' of 'url' is not supported; there are {PARAMETERS}"
                ));
            }
        }
    }
    let Some(user) = user else { return Err("a PostgreSQL database needs 'username'".into()) };
    if database.is_empty() || [database, &user].iter().any(|text| text.contains('\0')) {
        return Err(form.into());
    }
    if authorities.is_some() && !is_secured {
        return Err("'sslrootcert' of 'url' wants sslmode=verify-full".into());
    }
    let authorities = is_secured.then(|| authorities.unwrap_or_default());
    let host = if host.is_empty() { "localhost" } else { host };
    Ok(Address { host: host.into(), port, database: database.into(), user, password, authorities })
}

impl Address {
    /// For messages; nobody's name or password is in it.
    pub(crate) fn shown(&self) -> String {
        format!("PostgreSQL {}:{}/{}", self.host, self.port, self.database)
    }
}

/// `schema.table`, as Flink's connector takes it.
fn relation(name: &str) -> String {
    match name.split_once('.') {
        Some((schema, table)) => format!("{}.{}", quoted(schema), quoted(table)),
        None => quoted(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_of_a_url_are_decoded() {
        let options = Options::default();
        let parsed = |parameters: &str| address(&format!("jdbc:postgresql://host/db?{parameters}"), &options);
        let Ok(found) = parsed("user=m%20e&password=p%25%26%3d%C3%BC+") else { panic!("it is right") };
        assert_eq!((found.user.as_str(), found.password.as_deref()), ("m e", Some("p%&=\u{fc}+")));
        for wrong in ["%", "%2", "%+1", "%zz", "%ff", "%\u{fc}"] {
            let Err(message) = parsed(&format!("user=me&password={wrong}")) else { panic!("{wrong}") };
            assert_eq!(message, "the parameter 'password' of 'url' is no text in percent encoding");
        }
    }
}
