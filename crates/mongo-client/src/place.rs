//! Where a database is and who asks: connection strings, as all drivers read them.

use formats::bson::Bson;
use std::path::PathBuf;
use std::time::Duration;

const SCHEME: &str = "mongodb://";
const PORT: u16 = 27_017;
/// More servers are a mistake.
const HOSTS_MAX: usize = 50;

/// Where the servers are, and who asks.
#[derive(Clone, PartialEq)]
pub struct Address {
    /// Servers of one replica set, routers of one cluster, or one server.
    pub hosts: Vec<(String, u16)>,
    pub user: Option<String>,
    /// It may say where it stands: `${env:NAME}`, `${file:PATH}`.
    pub password: Option<String>,
    /// Which database knows the user.
    pub auth_database: String,
    /// `SCRAM-SHA-256` or `SCRAM-SHA-1`; what the server proposes if it is left out.
    pub mechanism: Option<String>,
    pub replica_set: Option<String>,
    /// Over TLS, by the authorities in this PEM file; an empty path is those of the system.
    pub authorities: Option<PathBuf>,
    /// The one server is asked whatever it is.
    pub is_direct: bool,
    /// How many servers have a write before it counts: a number, or `majority`.
    pub acknowledged_by: Bson,
    pub options: OptionNames,
}

/// How whoever configures an address calls its parts, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionNames {
    /// Such as `'password'`.
    pub password: &'static str,
    /// What has the address, such as `'uri'`.
    pub address: &'static str,
}

/// What a connection string says.
pub struct Parsed {
    pub address: Address,
    /// How long a server may take, where the string says so.
    pub timeout: Option<Duration>,
}

/// Options of drivers that mean nothing for one connection that asks the primary.
const WITHOUT_EFFECT: &[&str] = &[
    "appname",
    "compressors",
    "heartbeatfrequencyms",
    "journal",
    "localthresholdms",
    "maxconnecting",
    "maxidletimems",
    "maxpoolsize",
    "maxstalenessseconds",
    "minpoolsize",
    "readconcernlevel",
    "readpreferencetags",
    "retryreads",
    "retrywrites",
    "serverselectiontimeoutms",
    "uuidrepresentation",
    "waitqueuetimeoutms",
    "wtimeoutms",
    "zlibcompressionlevel",
];

/// Options that are refused, and what to do.
const REFUSED: &[(&str, &str)] = &[
    ("authmechanismproperties", "SCRAM-SHA-256 and SCRAM-SHA-1 have no properties"),
    ("loadbalanced", "load balancers are not supported; name the servers"),
    ("proxyhost", "proxies are not supported"),
    ("tlsallowinvalidcertificates", "the server must prove who it is; name its authority with 'tlsCAFile'"),
    ("tlsallowinvalidhostnames", "the server must prove who it is; give it a certificate with its name"),
    ("tlscertificatekeyfile", "certificates of clients are not supported; log in with a password"),
    ("tlscertificatekeyfilepassword", "certificates of clients are not supported; log in with a password"),
    ("tlsinsecure", "the server must prove who it is; name its authority with 'tlsCAFile'"),
];

impl Address {
    /// For messages; nobody's name or password is in it.
    pub fn shown(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(|(host, port)| place(host, *port)).collect();
        format!("MongoDB {}", hosts.join(","))
    }

    /// Reads `mongodb://USER:PASSWORD@HOST:PORT,…/DATABASE?OPTIONS`. No part of the text is in a message: what looks like a
    /// host may be a password.
    pub fn parse(uri: &str, options: OptionNames) -> Result<Parsed, String> {
        let rest = uri.strip_prefix(SCHEME).ok_or_else(|| match uri.starts_with("mongodb+srv://") {
            true => "'mongodb+srv' is not supported: name the servers, which `dig +short SRV _mongodb._tcp.HOST` shows, as \
                     mongodb://HOST:PORT,HOST:PORT/?tls=true&replicaSet=NAME"
                .to_string(),
            false => format!("it has to begin with {SCHEME}"),
        })?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        // Names and passwords have their slashes and signs encoded.
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) =
            authority.rsplit_once('@').map_or((None, authority), |(login, hosts)| (Some(login), hosts));
        if database.contains(['@', '/']) || login.is_some_and(|login| login.contains('@')) {
            return Err("write '/', '@' and ':' in names and passwords as %2F, %40 and %3A".into());
        }
        let decoded = |text: &str| {
            percent_decoded(text).ok_or_else(|| "a '%' has no two hexadecimal digits behind it".to_string())
        };
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            None => (None, None),
            Some((user, password)) => {
                (Some(decoded(user)?), Some(decoded(password)?).filter(|password| !password.is_empty()))
            }
        };
        let database = decoded(database)?;
        let address = Address {
            hosts: hosts.split(',').map(host_and_port).collect::<Result<_, _>>()?,
            user,
            password,
            auth_database: if database.is_empty() { "admin".into() } else { database },
            mechanism: None,
            replica_set: None,
            authorities: None,
            is_direct: false,
            acknowledged_by: "majority".into(),
            options,
        };
        if address.hosts.len() > HOSTS_MAX {
            return Err(format!("it names more than {HOSTS_MAX} servers"));
        }
        Parsed { address, timeout: None }.with_options(query)
    }
}

impl Parsed {
    /// The same with what stands behind the `?`.
    pub fn with_options(mut self, query: &str) -> Result<Parsed, String> {
        let mut ca_file = None;
        let mut is_secured = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or("an option has no '='")?;
            let value = percent_decoded(value).ok_or("a '%' has no two hexadecimal digits behind it")?;
            let truth = || match value.as_str() {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err(format!("'{name}' is 'true' or 'false'")),
            };
            let known = name.to_ascii_lowercase();
            if let Some((_, hint)) = REFUSED.iter().find(|(refused, _)| *refused == known) {
                return Err(format!("'{name}' is not supported: {hint}"));
            }
            match known.as_str() {
                "tls" | "ssl" => is_secured = Some(truth()?),
                "tlscafile" => ca_file = Some(PathBuf::from(value)),
                "authsource" => self.address.auth_database = value,
                "authmechanism" if ["SCRAM-SHA-256", "SCRAM-SHA-1"].contains(&value.as_str()) => {
                    self.address.mechanism = Some(value);
                }
                "authmechanism" => return Err("'authMechanism' is SCRAM-SHA-256 or SCRAM-SHA-1".into()),
                "replicaset" => self.address.replica_set = Some(value),
                "directconnection" => self.address.is_direct = truth()?,
                "readpreference" if value == "primary" => {}
                "readpreference" => return Err("'readPreference' can be primary alone".into()),
                "w" if value == "0" => {
                    return Err("'w' = 0 loses what the server does not take; leave it out".into());
                }
                "w" => {
                    self.address.acknowledged_by =
                        value.parse::<i32>().map_or_else(|_| value.into(), Bson::Int32);
                }
                "connecttimeoutms" | "sockettimeoutms" => {
                    let ms: u64 =
                        value.parse().map_err(|_| format!("'{name}' is a number of milliseconds"))?;
                    let timeout = Duration::from_millis(ms);
                    // 0 is without a bound for drivers; a bound there is.
                    if ms > 0 {
                        self.timeout = Some(self.timeout.map_or(timeout, |other| other.max(timeout)));
                    }
                }
                known if WITHOUT_EFFECT.contains(&known) => {}
                _ => return Err(format!("there is no option '{name}' of connections")),
            }
        }
        if ca_file.is_some() && is_secured == Some(false) {
            return Err("'tlsCAFile' and 'tls' = false contradict one another".into());
        }
        if is_secured == Some(true) || ca_file.is_some() {
            self.address.authorities = Some(ca_file.unwrap_or_default());
        }
        if self.address.is_direct && self.address.hosts.len() > 1 {
            return Err("'directConnection' wants one server".into());
        }
        Ok(self)
    }
}

/// `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`.
pub(crate) fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let port = |text: &str| {
        text.parse::<u16>().ok().filter(|port| *port > 0).ok_or("a port is no number up to 65535")
    };
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']').ok_or("a '[' has no ']'")?;
            (host, behind.strip_prefix(':').map_or(Ok(PORT), port)?)
        }
        None => match text.split_once(':') {
            Some((host, text)) => (host, port(text)?),
            None => (text, PORT),
        },
    };
    match host.is_empty() || host.contains(['%', '/']) {
        true => Err("it names no host, or one that is none".into()),
        false => Ok((host.to_string(), port)),
    }
}

pub(crate) fn place(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at_checked(2)?;
        let is_hex = hex.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(hex, 16).ok().filter(|_| is_hex)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: OptionNames = OptionNames { password: "'password'", address: "'uri'" };

    fn parse(uri: &str) -> Result<Parsed, String> {
        Address::parse(uri, NAMES)
    }

    #[test]
    fn connection_strings_are_read_as_drivers_read_them() {
        let parsed = parse(
            "mongodb://me:p%40ss%2F@a,b:27018,[::1]:9/shop?replicaSet=rs&authSource=users&TLS=true&w=2&retryWrites=true\
             &connectTimeoutMS=500&socketTimeoutMS=2000",
        );
        let parsed = parsed.unwrap_or_else(|message| panic!("{message}"));
        let Address {
            hosts, user, password, auth_database, replica_set, authorities, acknowledged_by, ..
        } = parsed.address.clone();
        assert_eq!(hosts, [("a".into(), 27_017), ("b".into(), 27_018), ("::1".to_string(), 9)]);
        assert_eq!((user.as_deref(), password.as_deref()), (Some("me"), Some("p@ss/")));
        assert_eq!((auth_database.as_str(), replica_set.as_deref()), ("users", Some("rs")));
        assert_eq!((authorities, acknowledged_by), (Some(PathBuf::new()), Bson::Int32(2)));
        assert_eq!(parsed.timeout, Some(Duration::from_secs(2)));
        assert_eq!(parsed.address.shown(), "MongoDB a:27017,b:27018,[::1]:9");
        let plain = parse("mongodb://a/shop").map(|parsed| parsed.address);
        let plain = plain.unwrap_or_else(|message| panic!("{message}"));
        assert_eq!((plain.user, plain.auth_database.as_str()), (None, "shop"));
        assert_eq!((plain.authorities, plain.acknowledged_by), (None, "majority".into()));
    }

    #[test]
    fn what_is_wrong_is_said_and_no_password() {
        for (uri, part) in [
            ("mysql://a", "it has to begin with mongodb://"),
            ("mongodb+srv://a", "is not supported"),
            ("mongodb://me:se/cret@a", "write '/', '@'"),
            ("mongodb://me:secret%@a", "hexadecimal"),
            ("mongodb://me:secret@", "names no host"),
            ("mongodb://me:secret@a:x", "a port"),
            ("mongodb://a/?tls=yes", "'tls' is 'true'"),
            ("mongodb://a/?tlsInsecure=true", "must prove"),
            ("mongodb://a/?w=0", "loses"),
            ("mongodb://a/?wombat=1", "no option 'wombat'"),
            ("mongodb://a/?authMechanism=MONGODB-X509", "SCRAM"),
            ("mongodb://a,b/?directConnection=true", "one server"),
            ("mongodb://a/?tls=false&tlsCAFile=x", "contradict"),
        ] {
            let message = parse(uri).err().unwrap_or_default();
            assert!(message.contains(part) && !message.contains("cret"), "{uri}: {message}");
        }
    }
}
