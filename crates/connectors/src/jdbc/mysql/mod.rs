//! MySQL and MariaDB: the client that we have of our own, and what is done with it.

pub(crate) mod keys;
mod literals;
mod lookup;
mod target;
pub(crate) mod types;

use super::url;
use crate::percent::percent_decoded;
use base::options::Options;
use std::path::PathBuf;

pub(super) use lookup::MySqlLookup;
pub(crate) use mysql_client::{self as wire, Address, OptionNames, identifier, literal};
pub(super) use target::MySqlTarget;
pub(super) use types::declared;

const OPTION_NAMES: OptionNames =
    OptionNames { password: "'password'", tls: "sslMode=VERIFY_IDENTITY in 'url'" };

/// Both databases speak the same protocol, and are told apart when one has answered.
const URLS: &[&str] = &["jdbc:mysql:", "jdbc:mariadb:"];

const PORT: u16 = 3306;

/// What may stand behind the `?` of a URL; what is not known here could change what is read.
const PARAMETERS: &str = "user, password, sslMode=DISABLED or VERIFY_IDENTITY (MariaDB's disable and verify-full), \
     serverSslCert with it, and without effect serverTimezone=UTC, useSSL=false, useUnicode, characterEncoding, \
     allowPublicKeyRetrieval, rewriteBatchedStatements, autoReconnect, useServerPrepStmts";

pub(super) fn is_url(address: &str) -> bool {
    URLS.iter().any(|url| address.starts_with(url))
}

/// The place that a URL and the options name. Nothing of it is shown: it may hold a password.
pub(super) fn address(address: &str, options: &Options) -> Result<Address, String> {
    let form = "'url' must be 'jdbc:mysql://HOST:PORT/DATABASE'";
    let rest = URLS.iter().find_map(|url| address.strip_prefix(url)).unwrap_or_default();
    let place = url::place(rest, PORT, form)?;
    let user = options.text("username").map(str::to_string).or(place.user);
    let password = options.text("password").map(str::to_string).or(place.password);
    let (mut is_secured, mut authorities) = (false, None);
    for (name, value) in place.parameters {
        match (name, value) {
            ("sslMode", "DISABLED" | "disable") | ("useSSL", "false") => {}
            ("sslMode", "VERIFY_IDENTITY" | "verify-full") => is_secured = true,
            ("sslMode" | "useSSL", _) => {
                return Err("TLS is asked for in 'url' with sslMode=VERIFY_IDENTITY (sslMode=DISABLED is without): the \
                            other modes let anybody answer in place of the server"
                    .into());
            }
            ("serverSslCert", path) => {
                let path =
                    percent_decoded(path).ok_or("the parameter 'serverSslCert' of 'url' is no path")?;
                authorities = Some(PathBuf::from(path));
            }
            ("serverTimezone" | "connectionTimeZone", "UTC" | "GMT" | "Z")
            | (
                "useUnicode"
                | "characterEncoding"
                | "allowPublicKeyRetrieval"
                | "rewriteBatchedStatements"
                | "autoReconnect"
                | "useServerPrepStmts",
                _,
            ) => {}
            ("serverTimezone" | "connectionTimeZone", _) => {
                return Err(
                    "times are read and written in UTC: leave the parameter 'serverTimezone' of 'url' out"
                        .into(),
                );
            }
            _ => return Err(url::unknown(name, PARAMETERS)),
        }
    }
    let Some(user) = user else { return Err("a MySQL database needs 'username'".into()) };
    if user.contains('\0') {
        return Err(form.into());
    }
    if authorities.is_some() && !is_secured {
        return Err("'serverSslCert' of 'url' wants sslMode=VERIFY_IDENTITY".into());
    }
    let authorities = is_secured.then(|| authorities.unwrap_or_default());
    Ok(Address {
        host: place.host.into(),
        port: place.port,
        database: Some(place.database.into()),
        user,
        password,
        authorities,
        options: OPTION_NAMES,
    })
}

/// Names as SQL has them.
fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(|name| identifier(name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_place_and_says_what_it_does_not_take() {
        let options = Options::default();
        let parsed = |text: &str| address(text, &options);
        let Ok(found) = parsed("jdbc:mariadb://[::1]/shop?user=me&password=p%25&sslMode=verify-full") else {
            panic!("it is right")
        };
        assert_eq!((found.host.as_str(), found.port, found.database.as_deref()), ("::1", 3306, Some("shop")));
        assert_eq!((found.password.as_deref(), found.authorities), (Some("p%"), Some(PathBuf::new())));
        let cases = [
            ("jdbc:mysql://host", "'url' must be 'jdbc:mysql://HOST:PORT/DATABASE'"),
            ("jdbc:mysql://host/db", "a MySQL database needs 'username'"),
            ("jdbc:mysql://a,b/db?user=me", "with one host"),
            ("jdbc:mysql://host/db?user=me&sslMode=REQUIRED", "let anybody answer"),
            ("jdbc:mysql://host/db?user=me&serverSslCert=ca.pem", "wants sslMode=VERIFY_IDENTITY"),
            ("jdbc:mysql://host/db?user=me&serverTimezone=Asia/Tokyo", "in UTC"),
            ("jdbc:mysql://host/db?user=me&allowLoadLocalInfile=true", "'allowLoadLocalInfile'"),
        ];
        for (text, told) in cases {
            let Err(message) = parsed(text) else { panic!("{text}") };
            assert!(message.contains(told), "{text}: {message}");
        }
    }
}
