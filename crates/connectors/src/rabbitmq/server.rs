//! Where a server is and how we log in, from a table's URL and options.

use super::amqp::{Connection, Login};
use super::error::AmqpError;
use super::options::URL;
use crate::percent::percent_decoded;
use crate::socket::{Secured, told};
use auth::tls::{ClientConfig, Identity};
use base::ErrorKind;
use base::options::Options;
use os::Os;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// RabbitMQ's own user for those who have none.
const GUEST: &str = "guest";

/// One node, as a URL names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub host: String,
    pub port: u16,
    pub is_secured: bool,
    pub user: Option<String>,
    pub password: Option<String>,
    pub virtual_host: Option<String>,
}

impl Server {
    /// The nodes in a list of URLs of a scheme (`amqp`), or the same with an `s` for TLS.
    pub(super) fn parse_all(urls: &str, scheme: &str) -> Result<Vec<Server>, String> {
        urls.split(',').map(|url| Server::parse(url.trim(), scheme)).collect()
    }

    /// How a URL begins that wants TLS.
    pub(super) fn secured_scheme(scheme: &str) -> String {
        if scheme == super::SCHEME { format!("{scheme}s") } else { format!("{scheme}+tls") }
    }

    fn parse(url: &str, scheme: &str) -> Result<Server, String> {
        // No part of the URL is shown: what looks like a port may be a password.
        let secured = Server::secured_scheme(scheme);
        let wrong = |reason: &str| {
            format!(
                "'url' has to be {scheme}://USER:PASSWORD@HOST:PORT/VIRTUAL-HOST, or the same with {secured} for TLS: {reason}"
            )
        };
        let (found, rest) = url.split_once("://").ok_or_else(|| wrong("it has no ://"))?;
        let is_secured = found == secured;
        if !is_secured && found != scheme {
            return Err(wrong("it begins with another scheme"));
        }
        if rest.contains(['?', '#']) {
            return Err(wrong(
                "what would stand behind a '?' are options of the table here, such as 'heartbeat'",
            ));
        }
        let (authority, path) = rest.split_once('/').map_or((rest, None), |(left, path)| (left, Some(path)));
        if path.is_some_and(|path| path.contains('@')) {
            return Err(wrong(
                "a '@' stands behind a '/'; write '/', '@' and ',' in names and passwords as %2F, %40 and %2C",
            ));
        }
        let (login, place) =
            authority.rsplit_once('@').map_or((None, authority), |(login, place)| (Some(login), place));
        let default_port = match (scheme, is_secured) {
            ("amqp", false) => 5672,
            ("amqp", true) => 5671,
            (_, false) => 5552,
            (_, true) => 5551,
        };
        let port = |text: &str| text.parse::<u16>().map_err(|_| wrong("the port is no number up to 65535"));
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, behind) = rest.split_once(']').ok_or_else(|| wrong("a '[' without a ']'"))?;
                (host, behind.strip_prefix(':').map_or(Ok(default_port), port)?)
            }
            None => match place.split_once(':') {
                Some((host, text)) => (host, port(text)?),
                None => (place, default_port),
            },
        };
        if host.is_empty() {
            return Err(wrong("it names no host"));
        }
        let decoded =
            |text: &str| percent_decoded(text).ok_or_else(|| wrong("a '%' without two hexadecimal digits"));
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            None => (None, None),
            Some((user, "")) => (Some(decoded(user)?), None),
            Some((user, password)) => (Some(decoded(user)?), Some(decoded(password)?)),
        };
        let virtual_host = path.filter(|path| !path.is_empty()).map(decoded).transpose()?;
        Ok(Server { host: host.into(), port, is_secured, user, password, virtual_host })
    }

    pub(super) fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// How a table's servers are reached.
#[derive(Clone)]
pub(super) struct Access {
    os: Os,
    servers: Vec<Server>,
    /// The files of TLS and the password are read for each connection anew: they change while a job runs.
    options: Options,
    mechanism: String,
    user: Option<String>,
    virtual_host: Option<String>,
    heartbeat: Duration,
    timeout: Duration,
}

/// What logs in to one server.
pub(super) struct Credentials<'a> {
    pub mechanism: &'a str,
    pub user: &'a str,
    pub password: &'a str,
    pub virtual_host: &'a str,
}

impl Access {
    /// From checked options.
    pub(super) fn new(os: &Os, options: &Options, scheme: &str) -> Result<Access, String> {
        let servers = Server::parse_all(options.text(URL).unwrap_or_default(), scheme)?;
        let text = |key: &str| options.text(key).map(str::to_string);
        let time = |key: &str| Duration::from_millis(options.duration_ms(key).unwrap_or(0));
        Ok(Access {
            os: os.clone(),
            servers,
            options: options.clone(),
            mechanism: text("auth-mechanism").unwrap_or_else(|| "PLAIN".into()),
            user: text("username"),
            virtual_host: text("virtual-host"),
            heartbeat: time("heartbeat"),
            timeout: time("timeout").max(Duration::from_millis(1)),
        })
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    pub(super) fn os(&self) -> &Os {
        &self.os
    }

    fn credentials<'a>(&'a self, server: &'a Server, password: Option<&'a str>) -> Credentials<'a> {
        let first = |one: &'a Option<String>, other: Option<&'a str>, default| {
            one.as_deref().or(other).unwrap_or(default)
        };
        Credentials {
            mechanism: &self.mechanism,
            user: first(&server.user, self.user.as_deref(), GUEST),
            password: first(&server.password, password, GUEST),
            virtual_host: first(&server.virtual_host, self.virtual_host.as_deref(), "/"),
        }
    }

    /// Takes the first server that `log_in` succeeds at. One that refuses us for good is the last that is asked.
    pub(super) fn connect<T>(
        &self,
        log_in: &mut dyn FnMut(Secured, &Credentials<'_>) -> Result<T, AmqpError>,
    ) -> Result<T, AmqpError> {
        let mut last = AmqpError::new(ErrorKind::Invalid, "'url' names no server");
        for server in &self.servers {
            let invalid = |message: String| AmqpError::new(ErrorKind::Invalid, message);
            let password = self.options.text("password").map(auth::secrets::resolved).transpose();
            let password = password.map_err(|error| invalid(format!("'password': {error}")))?;
            let tls = match server.is_secured {
                true => Some(Arc::new(tls(&self.options).map_err(invalid)?)),
                false => None,
            };
            let stream = Secured::connect(&self.os, (&server.host, server.port), self.timeout, tls);
            let stream = stream.map_err(|error| {
                let kind = match error.kind() {
                    // Trying again does not make a certificate fit.
                    std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput => ErrorKind::Invalid,
                    // An address that nothing connects to.
                    std::io::ErrorKind::PermissionDenied => ErrorKind::Invalid,
                    _ => ErrorKind::Unavailable,
                };
                AmqpError::new(kind, format!("cannot connect: {}", told(&error)))
            });
            let credentials = self.credentials(server, password.as_deref());
            let connected = stream.and_then(|stream| log_in(stream, &credentials));
            match connected {
                Ok(connected) => return Ok(connected),
                Err(error) => {
                    let is_final = !matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Retry);
                    let hint = match error.message.contains("Login was refused") {
                        true => format!("; look at the user '{}' and the password", credentials.user),
                        false => String::new(),
                    };
                    last = AmqpError {
                        message: format!("{}: {}{hint}", server.place(), error.message),
                        ..error
                    };
                    if is_final {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// A connection that speaks AMQP 0-9-1.
    pub(super) fn open(&self, name: &str) -> Result<Connection, AmqpError> {
        self.connect(&mut |stream, credentials| {
            let login = Login {
                mechanism: credentials.mechanism,
                user: credentials.user,
                password: credentials.password,
                virtual_host: credentials.virtual_host,
                heartbeat: self.heartbeat,
                name,
            };
            Connection::open(stream, self.os.clock.clone(), self.timeout, &login)
        })
    }
}

fn tls(options: &Options) -> Result<ClientConfig, String> {
    let read = |key: &str| {
        let path = options.text(key).unwrap_or_default();
        std::fs::read(path).map_err(|error| format!("cannot read '{key}' = '{path}': {error}"))
    };
    let config = if options.text("tls.cert-file").is_some() {
        let (ca, certificates, key) =
            (read("tls.root-cas-file")?, read("tls.cert-file")?, read("tls.key-file")?);
        auth::tls::client(&ca, Some(Identity { certificates: &certificates, key: &key }))
    } else {
        auth::tls::client_of_web(Path::new(options.text("tls.root-cas-file").unwrap_or_default()))
    };
    config.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, port: u16) -> Server {
        Server { host: host.into(), port, is_secured: false, user: None, password: None, virtual_host: None }
    }

    #[test]
    fn urls_are_read_as_rabbitmq_specifies_them() {
        let one = |url| Server::parse_all(url, "amqp").map(|mut servers| servers.remove(0));
        assert_eq!(one("amqp://mq"), Ok(server("mq", 5672)));
        assert_eq!(one("amqp://mq:7000/"), Ok(server("mq", 7000)));
        assert_eq!(one("amqp://[::1]"), Ok(server("::1", 5672)));
        let all = Server {
            is_secured: true,
            user: Some("us:er".into()),
            password: Some("p@ss/word".into()),
            virtual_host: Some("/".into()),
            ..server("::1", 5671)
        };
        assert_eq!(one("amqps://us%3Aer:p%40ss%2fword@[::1]/%2F"), Ok(all));
        let two = Server::parse_all("amqp://a, amqp://b:1", "amqp").unwrap();
        assert_eq!(two, [server("a", 5672), server("b", 1)]);
        let stream = Server::parse_all("rabbitmq-stream+tls://a", "rabbitmq-stream").unwrap();
        assert_eq!((stream[0].port, stream[0].is_secured), (5551, true));
    }

    #[test]
    fn a_url_that_is_none_is_told_without_its_password() {
        for (url, words) in [
            ("mq:5672", "no ://"),
            ("http://mq", "another scheme"),
            ("amqpx://mq", "another scheme"),
            ("amqp://:5672", "no host"),
            ("amqp://u:secret@mq:port", "the port is no number"),
            ("amqp://u:secret/word@mq", "as %2F"),
            ("amqp://u:secret,word@mq", "the port is no number"),
            ("amqp://u:1,secret://word@mq", "another scheme"),
            ("amqp://u:123/secret@mq", "as %2F"),
            ("amqp://u:secret%zz@mq", "hexadecimal"),
            ("amqp://u:secret@mq/v?heartbeat=5", "options of the table"),
            ("amqp://[::1", "without a ']'"),
        ] {
            let error = Server::parse_all(url, "amqp").unwrap_err();
            assert!(error.contains(words) && !error.contains("secret"), "{url}: {error}");
        }
    }
}
