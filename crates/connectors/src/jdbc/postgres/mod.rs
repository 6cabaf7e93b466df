//! PostgreSQL: the client that we have of our own, and what is done with it.

pub(crate) mod keys;
mod lookup;
mod statements;
mod target;
mod texts;
pub(crate) mod types;

use super::sqlite::list;
use super::url;
use crate::percent::percent_decoded;
use base::options::Options;
use std::path::PathBuf;

pub(crate) use super::sqlite::quoted;
pub(super) use lookup::PostgresLookup;
pub(crate) use pg_client::{self as wire, Address, OptionNames, TextRows, literal};
pub(super) use target::PostgresTarget;
pub(super) use types::declared;

/// How a table sets what an address has.
pub(crate) const OPTION_NAMES: OptionNames =
    OptionNames { password: "'password'", tls: "'url' has sslmode=verify-full" };

pub(super) const URL: &str = "jdbc:postgresql:";

const PORT: u16 = 5432;

/// What may stand behind the `?` of a URL; what is not known here could change what is read.
const PARAMETERS: &str =
    "user, password, sslmode=disable or verify-full, sslrootcert with sslmode=verify-full, ApplicationName";

/// The place that a URL and the options name. Nothing of it is shown: it may hold a password.
pub(super) fn address(address: &str, options: &Options) -> Result<Address, String> {
    let form = "'url' must be 'jdbc:postgresql://HOST:PORT/DATABASE'";
    let place = url::place(address.strip_prefix(URL).unwrap_or_default(), PORT, form)?;
    let user = options.text("username").map(str::to_string).or(place.user);
    let password = options.text("password").map(str::to_string).or(place.password);
    let (mut is_secured, mut authorities) = (false, None);
    for (name, value) in place.parameters {
        match (name, value) {
            ("sslmode", "disable") | ("ApplicationName", _) => {}
            ("sslmode", "verify-full") => is_secured = true,
            ("sslmode", _) => {
                return Err("'sslmode' of 'url' is disable or verify-full: the others let anybody answer in place of \
                            the server"
                    .into());
            }
            ("sslrootcert", path) => {
                let path = percent_decoded(path).ok_or("the parameter 'sslrootcert' of 'url' is no path")?;
                authorities = Some(PathBuf::from(path));
            }
            _ => return Err(url::unknown(name, PARAMETERS)),
        }
    }
    let Some(user) = user else { return Err("a PostgreSQL database needs 'username'".into()) };
    if user.contains('\0') {
        return Err(form.into());
    }
    if authorities.is_some() && !is_secured {
        return Err("'sslrootcert' of 'url' wants sslmode=verify-full".into());
    }
    let authorities = is_secured.then(|| authorities.unwrap_or_default());
    Ok(Address {
        host: place.host.into(),
        port: place.port,
        database: place.database.into(),
        user,
        password,
        authorities,
        options: OPTION_NAMES,
    })
}

/// `schema.table`, as Flink's connector takes it.
pub(crate) fn relation(name: &str) -> String {
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
