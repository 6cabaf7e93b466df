//! Where a server is and how we log in, from a table's URL and options.

use super::error::{Done, ServerError};
use super::options::URL;
use crate::percent::percent_decoded;
use auth::socket::{Secured, told};
use auth::tls::{ClientConfig, Identity};
use base::ErrorKind;
use base::options::Options;
use os::Os;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the URLs of a system look like.
#[derive(Debug)]
pub(crate) struct Scheme {
    pub plain: &'static str,
    /// With TLS.
    pub secured: &'static str,
    pub port: u16,
    pub secured_port: u16,
    /// What may stand behind host and port, `/VIRTUAL-HOST`; nothing may if this is empty.
    pub path: &'static str,
    /// The server says something in the clear before TLS begins.
    pub greets_in_the_clear: bool,
}

/// One node, as a URL names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub host: String,
    pub port: u16,
    pub is_secured: bool,
    pub user: Option<String>,
    pub password: Option<String>,
    /// What stands behind the place.
    pub path: Option<String>,
}

impl Server {
    /// The nodes in a list of URLs.
    pub(crate) fn parse_all(urls: &str, scheme: &Scheme) -> Result<Vec<Server>, String> {
        urls.split(',').map(|url| Server::parse(url.trim(), scheme)).collect()
    }

    fn parse(url: &str, scheme: &Scheme) -> Result<Server, String> {
        // No part of the URL is shown: what looks like a port may be a password.
        let Scheme { plain, secured, path, .. } = scheme;
        let wrong = |reason: &str| {
            format!(
                "'url' has to be {plain}://USER:PASSWORD@HOST:PORT{path}, or the same with {secured} for TLS: {reason}"
            )
        };
        let (found, rest) = url.split_once("://").ok_or_else(|| wrong("it has no ://"))?;
        let is_secured = found == *secured;
        if !is_secured && found != *plain {
            return Err(wrong("it begins with another scheme"));
        }
        if rest.contains(['?', '#']) {
            return Err(wrong(
                "what would stand behind a '?' are options of the table here, such as 'timeout'",
            ));
        }
        let (authority, behind) =
            rest.split_once('/').map_or((rest, None), |(left, path)| (left, Some(path)));
        if behind.is_some_and(|path| path.contains('@')) {
            return Err(wrong(
                "a '@' stands behind a '/'; write '/', '@' and ',' in names and passwords as %2F, %40 and %2C",
            ));
        }
        let (login, place) =
            authority.rsplit_once('@').map_or((None, authority), |(login, place)| (Some(login), place));
        let default_port = if is_secured { scheme.secured_port } else { scheme.port };
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
        let path = behind.filter(|path| !path.is_empty()).map(decoded).transpose()?;
        if path.is_some() && scheme.path.is_empty() {
            return Err(wrong("nothing may stand behind the port"));
        }
        Ok(Server { host: host.into(), port, is_secured, user, password, path })
    }

    pub(crate) fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// How a table's servers are reached.
#[derive(Clone)]
pub(crate) struct Access {
    os: Os,
    scheme: &'static Scheme,
    servers: Vec<Server>,
    /// The files of TLS and the password are read for each connection anew: they change while a job runs.
    options: Options,
    heartbeat: Duration,
    timeout: Duration,
    was_let_in: Arc<AtomicBool>,
}

/// What logs in to one server.
pub(crate) struct Credentials<'a> {
    /// The server's name, as the URL has it.
    pub host: &'a str,
    pub user: Option<&'a str>,
    pub password: Option<&'a str>,
    /// What the URL has behind the place.
    pub path: Option<&'a str>,
    /// How to go on after a greeting in the clear, and who the server must prove to be.
    pub tls: Option<(Arc<ClientConfig>, &'a str)>,
    /// Servers of the table have let us in before.
    was_let_in: bool,
}

impl Credentials<'_> {
    /// The server does not let us in. Where it did before, a password is being changed, and its file may follow.
    pub(crate) fn refused(&self, words: impl std::fmt::Display) -> ServerError {
        let who = self.user.map_or_else(|| "nobody".to_string(), |user| format!("the user '{user}'"));
        let kind = if self.was_let_in { ErrorKind::Unavailable } else { ErrorKind::Invalid };
        let message = format!("the server refuses the log-in of {who}: {words}; look at user and password");
        ServerError::new(kind, message)
    }
}

impl Access {
    /// From checked options.
    pub(crate) fn new(os: &Os, options: &Options, scheme: &'static Scheme) -> Result<Access, String> {
        let servers = Server::parse_all(options.text(URL).unwrap_or_default(), scheme)?;
        let time = |key: &str| Duration::from_millis(options.duration_ms(key).unwrap_or(0));
        Ok(Access {
            os: os.clone(),
            scheme,
            servers,
            options: options.clone(),
            heartbeat: time("heartbeat"),
            timeout: time("timeout").max(Duration::from_millis(1)),
            was_let_in: Arc::default(),
        })
    }

    /// The same log-in at another place, which a server of the table has named; without a host, on the same one.
    pub(crate) fn at(&self, host: &str, port: u16) -> Access {
        let mut servers = self.servers.clone();
        servers.truncate(1);
        for server in &mut servers {
            server.port = port;
            if !host.is_empty() {
                server.host = host.into();
            }
        }
        Access { servers, ..self.clone() }
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    pub(crate) fn os(&self) -> &Os {
        &self.os
    }

    /// An option that is a secret, as it is now.
    pub(crate) fn secret(&self, key: &str) -> Done<Option<String>> {
        let secret = self.options.text(key).map(auth::secrets::resolved).transpose();
        secret.map_err(|error| ServerError::invalid(format!("'{key}': {error}")))
    }

    /// Takes the first server that `log_in` succeeds at. One that refuses us for good is the last that is asked.
    pub(crate) fn connect<T>(&self, log_in: &mut dyn FnMut(Secured, &Credentials<'_>) -> Done<T>) -> Done<T> {
        let mut last = ServerError::invalid("'url' names no server");
        for server in &self.servers {
            let password = self.secret("password")?;
            let mut tls = match server.is_secured {
                true => Some(Arc::new(tls(&self.options).map_err(ServerError::invalid)?)),
                false => None,
            };
            let mut credentials = Credentials {
                host: &server.host,
                user: server.user.as_deref().or(self.options.text("username")),
                password: server.password.as_deref().or(password.as_deref()),
                path: server.path.as_deref(),
                tls: None,
                was_let_in: self.was_let_in.load(Ordering::Relaxed),
            };
            if self.scheme.greets_in_the_clear {
                credentials.tls = tls.take().map(|tls| (tls, server.host.as_str()));
            }
            let stream = Secured::connect(&self.os, (&server.host, server.port), self.timeout, tls);
            let connected =
                stream.map_err(|error| not_connected(&error)).and_then(|stream| log_in(stream, &credentials));
            match connected {
                Ok(connected) => {
                    self.was_let_in.store(true, Ordering::Relaxed);
                    return Ok(connected);
                }
                Err(error) => {
                    let is_final = !matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Retry);
                    last = ServerError { message: format!("{}: {}", server.place(), error.message), ..error };
                    if is_final {
                        break;
                    }
                }
            }
        }
        Err(last)
    }
}

pub(crate) fn not_connected(error: &std::io::Error) -> ServerError {
    let kind = match error.kind() {
        // Trying again does not make a certificate fit.
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput => ErrorKind::Invalid,
        // An address that nothing connects to.
        std::io::ErrorKind::PermissionDenied => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    ServerError::new(kind, format!("cannot connect: {}", told(error)))
}

/// The authorities that the server is held to, and the certificate that it is shown.
pub(crate) fn tls(options: &Options) -> Result<ClientConfig, String> {
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

    const AMQP: Scheme = Scheme {
        plain: "amqp",
        secured: "amqps",
        port: 5672,
        secured_port: 5671,
        path: "/VIRTUAL-HOST",
        greets_in_the_clear: false,
    };
    const NATS: Scheme = Scheme {
        plain: "nats",
        secured: "tls",
        port: 4222,
        secured_port: 4222,
        path: "",
        greets_in_the_clear: true,
    };

    fn server(host: &str, port: u16) -> Server {
        Server { host: host.into(), port, is_secured: false, user: None, password: None, path: None }
    }

    #[test]
    fn urls_are_read_as_rabbitmq_specifies_them() {
        let one = |url| Server::parse_all(url, &AMQP).map(|mut servers| servers.remove(0));
        assert_eq!(one("amqp://mq"), Ok(server("mq", 5672)));
        assert_eq!(one("amqp://mq:7000/"), Ok(server("mq", 7000)));
        assert_eq!(one("amqp://[::1]"), Ok(server("::1", 5672)));
        let all = Server {
            is_secured: true,
            user: Some("us:er".into()),
            password: Some("p@ss/word".into()),
            path: Some("/".into()),
            ..server("::1", 5671)
        };
        assert_eq!(one("amqps://us%3Aer:p%40ss%2fword@[::1]/%2F"), Ok(all));
        let two = Server::parse_all("amqp://a, amqp://b:1", &AMQP).unwrap();
        assert_eq!(two, [server("a", 5672), server("b", 1)]);
        let secured = Server::parse_all("tls://token@a", &NATS).unwrap().remove(0);
        assert_eq!((secured.port, secured.is_secured, secured.user.as_deref()), (4222, true, Some("token")));
        assert!(Server::parse_all("nats://a/b", &NATS).unwrap_err().contains("nothing may stand behind"));
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
            let error = Server::parse_all(url, &AMQP).unwrap_err();
            assert!(error.contains(words) && !error.contains("secret"), "{url}: {error}");
        }
    }
}
