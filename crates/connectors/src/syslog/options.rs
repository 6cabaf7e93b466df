//! The options of `syslog`.

use super::framing::Framing;
use super::message::Protocol;
use crate::messages::options::DEAD_LETTER_TOPIC;
use crate::table_format::FORMAT;
use crate::{CONNECTOR, option_problem, optional};
use base::options::{OptionKind, OptionSpec, Options};
use base::zone::Zone;
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;
use std::net::SocketAddr;

const LISTEN: &str = "listen";
const PROTOCOL: &str = "protocol";
const FRAMING: &str = "framing";
const ZONE: &str = "time-zone";
const BYTES_MAX: &str = "max-message-size";
const CONNECTIONS_MAX: &str = "max-connections";
const IDLE: &str = "idle-timeout";
const TIMEOUT: &str = "timeout";
pub(super) const CERT: &str = "tls.cert-file";
pub(super) const KEY: &str = "tls.key-file";
pub(super) const CLIENT_CA: &str = "tls.client-ca-file";

/// The port of each way, where none is said: RFC 5426 and what is used, RFC 5425.
const PORT: u16 = 514;
const TLS_PORT: u16 = 6514;

pub(super) const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    FORMAT,
    OptionSpec {
        key: LISTEN,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "Where messages are taken: `udp://HOST:PORT`, `tcp://HOST:PORT`, `tls://HOST:PORT`, several parted by commas. Without \
              a port 514, and 6514 for TLS. An address that is not loopback has to be `tls` with `tls.client-ca-file`, or the \
              node has to be started with `--insecure-syslog`.",
        example: "udp://127.0.0.1:5514, tcp://127.0.0.1:5514",
    },
    optional(
        PROTOCOL,
        OptionKind::OneOf(&["auto", "rfc5424", "rfc3164"]),
        Some("auto"),
        "How messages are written. `auto` takes what begins with `<34>1 ` for RFC 5424, and all else for RFC 3164.",
        "rfc5424",
    ),
    optional(
        FRAMING,
        OptionKind::OneOf(&["auto", "octet-counting", "non-transparent"]),
        Some("auto"),
        "Where messages end on a connection (RFC 6587): their length stands before them, or a line end behind them. `auto` looks \
         at the first byte of each.",
        "octet-counting",
    ),
    optional(
        ZONE,
        OptionKind::Text,
        Some("UTC"),
        "Where the clocks of RFC 3164 stand, which says neither zone nor year.",
        "Europe/Berlin",
    ),
    optional(
        BYTES_MAX,
        OptionKind::Size,
        Some("64kb"),
        "Of a message that is longer the beginning is a dead letter. 1 MB at most; over UDP no more than 64 KB come.",
        "8kb",
    ),
    optional(
        CONNECTIONS_MAX,
        OptionKind::Integer { min: 1, max: 10_000 },
        Some("200"),
        "So many connections may be open at once; more are closed as they come.",
        "20",
    ),
    optional(
        IDLE,
        OptionKind::Duration,
        Some("1 d"),
        "A connection on which nothing comes for so long is closed. Many senders notice that only with the message after the next, \
         which is lost.",
        "1 h",
    ),
    optional(
        TIMEOUT,
        OptionKind::Duration,
        Some("30 s"),
        "How long a sender may take to shake hands, and to go on with a message that has begun.",
        "5 s",
    ),
    optional(
        CERT,
        OptionKind::Text,
        None,
        "A PEM file with the certificate that senders are shown over TLS. It is read for each connection anew.",
        "/etc/shop/node.pem",
    ),
    optional(
        KEY,
        OptionKind::Text,
        None,
        "A PEM file with the key of `tls.cert-file`.",
        "/etc/shop/node.key",
    ),
    optional(
        CLIENT_CA,
        OptionKind::Text,
        None,
        "A PEM file with the authorities that sign the certificates of senders. With it a sender has to show one.",
        "/etc/shop/senders-ca.pem",
    ),
    optional(
        DEAD_LETTER_TOPIC,
        OptionKind::Text,
        None,
        "What is no message, is too long, or cannot be read by the format goes to this topic of the embedded log, with its bytes \
         and the reason in a header, and the job goes on. Without it such a message fails the job.",
        "syslog-rejected",
    ),
    crate::SCAN_RATE_LIMIT,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    pub(super) fn name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        }
    }
}

/// A table's options, checked.
#[derive(Clone)]
pub(super) struct Settings {
    pub places: Vec<(Transport, String)>,
    pub protocol: Protocol,
    pub framing: Framing,
    pub zone: Zone,
    pub message_bytes_max: usize,
    pub connections_max: usize,
    pub idle_ms: u64,
    pub timeout_ms: u64,
    pub options: Options,
}

impl Settings {
    pub(super) fn new(options: &Options) -> Result<Settings, (&'static str, String)> {
        let places = places(options.text(LISTEN).unwrap_or_default()).map_err(|message| (LISTEN, message))?;
        let zone = options.text(ZONE).unwrap_or("UTC");
        let unknown = || {
            format!(
                "'{zone}' is no time zone; write a name such as 'Europe/Berlin', or an offset such as '+02:00'"
            )
        };
        let number =
            |key: &str| options.integer(key).and_then(|number| usize::try_from(number).ok()).unwrap_or(1);
        let bytes = options.bytes(BYTES_MAX).unwrap_or(0);
        if !(480..=1 << 20).contains(&bytes) {
            return Err((BYTES_MAX, "a message may have from 480 bytes to 1 MB".into()));
        }
        Ok(Settings {
            places,
            protocol: match options.text(PROTOCOL) {
                Some("rfc5424") => Protocol::Rfc5424,
                Some("rfc3164") => Protocol::Rfc3164,
                _ => Protocol::Auto,
            },
            framing: match options.text(FRAMING) {
                Some("octet-counting") => Framing::OctetCounting,
                Some("non-transparent") => Framing::NonTransparent,
                _ => Framing::Auto,
            },
            zone: Zone::parse(zone).ok_or_else(|| (ZONE, unknown()))?,
            message_bytes_max: bytes as usize,
            connections_max: number(CONNECTIONS_MAX),
            idle_ms: options.duration_ms(IDLE).unwrap_or(0).max(1),
            timeout_ms: options.duration_ms(TIMEOUT).unwrap_or(0).max(1),
            options: options.clone(),
        })
    }

    fn has(&self, key: &str) -> bool {
        self.options.text(key).is_some()
    }

    /// What is wrong beyond what one option can see.
    pub(super) fn problems(&self, table: &TableDefinition) -> Vec<ConnectorError> {
        let mut errors = Vec::new();
        let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
        let uses_tls = self.places.iter().any(|(transport, _)| *transport == Transport::Tls);
        if uses_tls && !(self.has(CERT) && self.has(KEY)) {
            problem(CERT, format!("'tls://…' in '{LISTEN}' needs '{CERT}' and '{KEY}'"));
        }
        for key in [CERT, KEY, CLIENT_CA] {
            if self.has(key) && !uses_tls {
                problem(key, format!("'{key}' is for TLS: write 'tls://…' in '{LISTEN}'"));
            }
        }
        errors
    }

    /// An address at which others may send what they like, unknown.
    pub(super) fn exposed(&self, table: &TableDefinition) -> Option<ConnectorError> {
        self.places.iter().find_map(|(transport, address)| {
            let missing = match transport {
                Transport::Tls if self.has(CLIENT_CA) => return None,
                Transport::Tls => "senders do not say who they are (see 'tls.client-ca-file')",
                Transport::Tcp | Transport::Udp => "there is neither TLS nor a log-in",
            };
            (!is_loopback(address)).then(|| {
                let message = format!(
                    "{}://{address} is not a loopback address, and {missing}; if whoever reaches it may send messages, start the \
                     node with --insecure-syslog",
                    transport.name()
                );
                option_problem(table, LISTEN, message)
            })
        })
    }
}

fn places(text: &str) -> Result<Vec<(Transport, String)>, String> {
    let one = |part: &str| {
        let wrong = |reason: &str| {
            format!("'{part}' has to be udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT: {reason}")
        };
        let (scheme, place) = part.split_once("://").ok_or_else(|| wrong("it has no ://"))?;
        let (transport, port) = match scheme {
            "udp" => (Transport::Udp, PORT),
            "tcp" => (Transport::Tcp, PORT),
            "tls" => (Transport::Tls, TLS_PORT),
            _ => return Err(wrong("it begins with another scheme")),
        };
        let (host, behind) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, behind)) => (format!("[{host}]"), behind),
            None => {
                let at = place.find(':').unwrap_or(place.len());
                (place[..at].to_string(), &place[at..])
            }
        };
        let port = match behind.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| wrong("the port is no number up to 65535"))?,
            None if behind.is_empty() => port,
            None => return Err(wrong("nothing may stand behind the port")),
        };
        if host.is_empty() {
            return Err(wrong("it names no host"));
        }
        Ok((transport, format!("{host}:{port}")))
    };
    text.split(',').map(|part| one(part.trim())).collect()
}

/// Names are not looked up here; but for one, they are taken for what others reach.
fn is_loopback(address: &str) -> bool {
    match address.parse::<SocketAddr>() {
        Ok(address) => address.ip().is_loopback(),
        Err(_) => address.starts_with("localhost:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        let read = |text: &str| {
            let found = places(text)?;
            Ok::<_, String>(found.iter().map(|(way, at)| format!("{}:{at}", way.name())).collect::<Vec<_>>())
        };
        assert_eq!(
            read("udp://127.0.0.1, tcp://localhost:5514,tls://[::1]").unwrap(),
            ["udp:127.0.0.1:514", "tcp:localhost:5514", "tls:[::1]:6514"]
        );
        for (wrong, words) in [
            ("127.0.0.1:514", "no ://"),
            ("http://a", "another scheme"),
            ("tcp://", "no host"),
            ("tcp://a:b", "no number"),
            ("tcp://[::1]x", "behind the port"),
            ("tcp://a:1,", "no ://"),
        ] {
            assert!(read(wrong).unwrap_err().contains(words), "{wrong}");
        }
        assert!(is_loopback("127.0.0.1:1") && is_loopback("[::1]:1") && is_loopback("localhost:1"));
        assert!(!is_loopback("0.0.0.0:1") && !is_loopback("[::]:1") && !is_loopback("localhost.example:1"));
    }
}
