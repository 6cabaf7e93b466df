//! How a client proves who it is and whom it trusts: from the properties that Kafka's tools read.

use crate::error::ClientError;
use crate::options::ClientOptions;
use crate::within::Within;
use auth::bearer;
use auth::plain::Login as PlainLogin;
use auth::scram::{ClientExchange, fresh_nonce};
use auth::secrets::resolved;
use auth::tls::Identity;
use auth::{AuthError, Mechanism};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::collections::BTreeMap;
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What a connection needs beyond an address. `Debug` shows no secret.
#[derive(Clone, Default)]
pub struct Security {
    pub tls: Option<Arc<ClientConfig>>,
    pub login: Option<Login>,
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Security(tls={}, login={})", self.tls.is_some(), self.login.is_some())
    }
}

/// How a client logs in.
#[derive(Clone)]
pub struct Login(Way);

#[derive(Clone)]
enum Way {
    Plain {
        user: String,
        password: String,
    },
    Scram {
        mechanism: Mechanism,
        user: String,
        password: String,
    },
    /// OAUTHBEARER with the token in this file, which is read for each connection: tokens end.
    Token(PathBuf),
}

/// The properties that are understood; `*` of others are ignored, as by Kafka's tools.
const KEYS: [&str; 10] = [
    "security.protocol",
    "sasl.mechanism",
    "sasl.username",
    "sasl.password",
    "sasl.jaas.config",
    "sasl.oauthbearer.token.endpoint.url",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.endpoint.identification.algorithm",
];

impl Security {
    /// From the properties of a client, librdkafka's names and Kafka's; values may be `${env:NAME}` or
    /// `${file:PATH}`.
    pub fn from_properties(properties: &BTreeMap<String, String>) -> Result<Security, AuthError> {
        let concerns = |key: &&String| key.starts_with("sasl.") || key.starts_with("ssl.");
        if let Some(key) = properties.keys().filter(concerns).find(|key| !KEYS.contains(&key.as_str())) {
            return Err(AuthError(format!(
                "'{key}' is not taken here; the properties are {}",
                KEYS.join(", ")
            )));
        }
        if properties.get("ssl.endpoint.identification.algorithm").is_some_and(|value| value != "https") {
            let reason = "the node's name is always checked: leave ssl.endpoint.identification.algorithm out";
            return Err(AuthError(reason.into()));
        }
        let text = |key: &str| properties.get(key).map(|value| resolved(value)).transpose();
        let protocol = text("security.protocol")?.unwrap_or_else(|| "PLAINTEXT".into()).to_uppercase();
        let (tls, sasl) = match protocol.as_str() {
            "PLAINTEXT" => (false, false),
            "SSL" => (true, false),
            "SASL_PLAINTEXT" => (false, true),
            "SASL_SSL" => (true, true),
            _ => {
                let reason = "security.protocol is PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL";
                return Err(AuthError(reason.into()));
            }
        };
        Ok(Security {
            tls: if tls { Some(Arc::new(tls_of(&text)?)) } else { None },
            login: if sasl { Some(login_of(&text)?) } else { None },
        })
    }

    /// What the `Authorization` header of an HTTP request is; `None` without a log-in.
    pub fn authorization(&self) -> Result<Option<String>, AuthError> {
        let header = match self.login.as_ref().map(|login| &login.0) {
            None => return Ok(None),
            Some(Way::Plain { user, password } | Way::Scram { user, password, .. }) => {
                PlainLogin::basic(user, password)
            }
            Some(Way::Token(file)) => format!("Bearer {}", token_in(file)?),
        };
        Ok(Some(header))
    }

    /// From a file of properties, one `key=value` on a line.
    pub fn from_file(path: &Path) -> Result<Security, AuthError> {
        Security::from_properties(&read_properties(path)?)
    }
}

/// The `key=value` lines of a file; lines that begin with `#` are comments.
pub fn read_properties(path: &Path) -> Result<BTreeMap<String, String>, AuthError> {
    let text = String::from_utf8(read(path)?).map_err(|_| failed(path, "it is not UTF-8"))?;
    parse_properties(&text).map_err(|reason| failed(path, &reason))
}

/// The same from a text; the error says what is wrong in which line.
pub fn parse_properties(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut properties = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || line.starts_with('!') {
            continue;
        }
        let (key, value) = line.split_once('=').ok_or_else(|| format!("line {} has no '='", index + 1))?;
        properties.insert(key.trim().to_string(), value.trim().to_string());
    }
    Ok(properties)
}

fn failed(path: &Path, reason: &str) -> AuthError {
    AuthError(format!("cannot use the file: file={} reason={reason}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, AuthError> {
    std::fs::read(path).map_err(|error| failed(path, &error.to_string()))
}

fn token_in(file: &Path) -> Result<String, AuthError> {
    let token = String::from_utf8(read(file)?).map_err(|_| failed(file, "it is not UTF-8"))?;
    Ok(token.trim().to_string())
}

type Text<'a> = &'a dyn Fn(&str) -> Result<Option<String>, AuthError>;

fn tls_of(text: Text<'_>) -> Result<ClientConfig, AuthError> {
    let ca = text("ssl.ca.location")?.ok_or_else(|| {
        AuthError("TLS needs the authority that signed the node's certificate: set ssl.ca.location".into())
    })?;
    let ca = read(Path::new(&ca))?;
    let files = match (text("ssl.certificate.location")?, text("ssl.key.location")?) {
        (None, None) => None,
        (Some(certificates), Some(key)) => Some((read(Path::new(&certificates))?, read(Path::new(&key))?)),
        _ => {
            let reason = "ssl.certificate.location and ssl.key.location go together";
            return Err(AuthError(reason.into()));
        }
    };
    auth::tls::client(&ca, files.as_ref().map(|(certificates, key)| Identity { certificates, key }))
}

fn login_of(text: Text<'_>) -> Result<Login, AuthError> {
    let jaas = text("sasl.jaas.config")?;
    let quoted = |name: &str| {
        let (_, rest) = jaas.as_deref()?.split_once(&format!("{name}=\""))?;
        rest.split_once('"').map(|(value, _)| value.to_string())
    };
    let mechanism = text("sasl.mechanism")?.unwrap_or_else(|| Mechanism::Sha512.name().into());
    if mechanism == OAUTHBEARER {
        let place = text("sasl.oauthbearer.token.endpoint.url")?.unwrap_or_default();
        let path = place.strip_prefix("file:").ok_or_else(|| {
            AuthError("sasl.oauthbearer.token.endpoint.url names a file with a token: file:PATH".into())
        })?;
        return Ok(Login::with_token(Path::new(path.strip_prefix("//").unwrap_or(path))));
    }
    let missing = |key: &str| AuthError(format!("a log-in needs {key}, or sasl.jaas.config"));
    let user =
        text("sasl.username")?.or_else(|| quoted("username")).ok_or_else(|| missing("sasl.username"))?;
    let password =
        text("sasl.password")?.or_else(|| quoted("password")).ok_or_else(|| missing("sasl.password"))?;
    Login::new(&mechanism, &user, &password)
}

const OAUTHBEARER: &str = "OAUTHBEARER";

impl Login {
    /// By SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN.
    pub fn new(mechanism: &str, user: &str, password: &str) -> Result<Login, AuthError> {
        let (user, password) = (user.to_string(), password.to_string());
        match Mechanism::from_name(mechanism) {
            Some(mechanism) => Ok(Login(Way::Scram { mechanism, user, password })),
            None if mechanism == "PLAIN" => Ok(Login(Way::Plain { user, password })),
            None => {
                let names = "SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or PLAIN";
                Err(AuthError(format!("sasl.mechanism={mechanism} is not {names}")))
            }
        }
    }

    /// By OAUTHBEARER, with the token that is in a file.
    pub fn with_token(file: &Path) -> Login {
        Login(Way::Token(file.to_path_buf()))
    }

    /// The name of its SASL mechanism.
    pub fn mechanism(&self) -> &'static str {
        match &self.0 {
            Way::Plain { .. } => "PLAIN",
            Way::Scram { mechanism, .. } => mechanism.name(),
            Way::Token(_) => OAUTHBEARER,
        }
    }

    /// The exchange and its first token.
    pub(crate) fn begin(&self) -> Result<(Exchange, Vec<u8>), AuthError> {
        match &self.0 {
            Way::Plain { user, password } => Ok((Exchange::Ending, PlainLogin::encode(user, password))),
            Way::Scram { mechanism, user, password } => {
                let nonce = fresh_nonce()?;
                let (exchange, first) = ClientExchange::begin(*mechanism, user, password, &nonce);
                Ok((Exchange::Scram(exchange), first))
            }
            Way::Token(file) => Ok((Exchange::Token, bearer::Login::encode(&token_in(file)?))),
        }
    }
}

/// A log-in on its way.
pub(crate) enum Exchange {
    Scram(ClientExchange),
    Proven(ClientExchange),
    /// A token was sent; an answer that is not empty says why it is refused.
    Token,
    Ending,
}

impl Exchange {
    /// The next token, and what comes then; `None` when the client is in.
    pub(crate) fn next(self, answer: &[u8]) -> Result<Option<(Exchange, Vec<u8>)>, AuthError> {
        match self {
            Exchange::Scram(mut exchange) => {
                let token = exchange.respond(answer)?;
                Ok(Some((Exchange::Proven(exchange), token)))
            }
            Exchange::Proven(exchange) => exchange.verify(answer).map(|()| None),
            Exchange::Token if answer.is_empty() => Ok(None),
            Exchange::Token => Ok(Some((Exchange::Ending, bearer::ACKNOWLEDGEMENT.to_vec()))),
            Exchange::Ending => Ok(None),
        }
    }
}

/// A socket, with or without TLS, or no socket at all.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Within(Within),
}

impl Stream {
    pub(crate) fn open(
        socket: TcpStream,
        address: &str,
        options: &ClientOptions,
    ) -> Result<Stream, ClientError> {
        let Some(config) = &options.security.tls else { return Ok(Stream::Plain(socket)) };
        let failed = |reason: String| ClientError::Tls { address: address.to_owned(), reason };
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_string()).map_err(|error| failed(error.to_string()))?;
        let connection =
            ClientConnection::new(config.clone(), name).map_err(|error| failed(error.to_string()))?;
        socket
            .set_read_timeout(Some(options.connect_timeout.max(Duration::from_millis(1))))
            .map_err(|error| failed(error.to_string()))?;
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|error| failed(error.to_string()))?;
        }
        Ok(Stream::Tls(Box::new(stream)))
    }

    fn socket(&self) -> Option<&TcpStream> {
        match self {
            Stream::Plain(socket) => Some(socket),
            Stream::Tls(stream) => Some(&stream.sock),
            Stream::Within(_) => None,
        }
    }

    pub(crate) fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.socket().map_or(Ok(()), |socket| socket.set_read_timeout(Some(timeout)))
    }

    pub(crate) fn shutdown(&self) {
        if let Some(socket) = self.socket() {
            // It may be closed already; there is nothing more to do about it then.
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
            Stream::Within(node) => node.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
            Stream::Within(node) => node.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write_vectored(slices),
            Stream::Tls(stream) => stream.write_vectored(slices),
            Stream::Within(node) => node.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
            Stream::Within(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Security, String> {
        let properties = pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Security::from_properties(&properties).map_err(|error| error.to_string())
    }

    #[test]
    fn properties_of_both_worlds_are_understood_and_no_secret_is_shown() {
        let rdkafka = [
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", "SCRAM-SHA-256"),
            ("sasl.username", "alice"),
            ("sasl.password", "secret"),
        ];
        let security = of(&rdkafka).unwrap();
        assert_eq!(format!("{security:?}"), "Security(tls=false, login=true)");
        let login = security.login.unwrap();
        let shown = |login: Login| match login.0 {
            Way::Scram { mechanism, user, password } => format!("{} {user} {password}", mechanism.name()),
            Way::Plain { user, password } => format!("PLAIN {user} {password}"),
            Way::Token(file) => format!("token {}", file.display()),
        };
        assert_eq!(shown(login), "SCRAM-SHA-256 alice secret");
        let jaas = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"bob\" password=\"x\";";
        let login = of(&[("security.protocol", "SASL_PLAINTEXT"), ("sasl.jaas.config", jaas)])
            .unwrap()
            .login
            .unwrap();
        assert_eq!(shown(login), "SCRAM-SHA-512 bob x");
        let token = [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "OAUTHBEARER"),
            ("sasl.oauthbearer.token.endpoint.url", "file:///run/token"),
        ];
        assert_eq!(shown(of(&token).unwrap().login.unwrap()), "token /run/token");
        assert!(of(&[]).unwrap().login.is_none());
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_name() {
        for (pairs, words) in [
            (&[("security.protocol", "TLS")][..], "security.protocol"),
            (&[("ssl.keystore.location", "x.jks")], "ssl.keystore.location"),
            (&[("security.protocol", "SSL")], "ssl.ca.location"),
            (&[("security.protocol", "SSL"), ("ssl.ca.location", "/nowhere")], "/nowhere"),
            (&[("security.protocol", "SASL_PLAINTEXT")], "sasl.username"),
            (&[("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "OAUTHBEARER")], "file:PATH"),
            (&[("ssl.endpoint.identification.algorithm", "")], "always checked"),
            (
                &[
                    ("security.protocol", "SASL_PLAINTEXT"),
                    ("sasl.username", "a"),
                    ("sasl.password", "${env:NO_SUCH_NAME}"),
                ],
                "NO_SUCH_NAME",
            ),
        ] {
            let error = of(pairs).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
