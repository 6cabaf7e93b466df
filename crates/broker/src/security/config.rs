//! The settings of the listener's security, under Kafka's and librdkafka's names.

use auth::Mechanism;
use auth::https::Url;
use auth::jwt::Policy;
use auth::tls::ClientAuth;
use base::options::{OptionError, OptionKind, OptionSpec, Options};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// How a client says who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslMechanism {
    Plain,
    Scram(Mechanism),
    OAuthBearer,
}

impl SaslMechanism {
    pub const ALL: [SaslMechanism; 4] = [
        SaslMechanism::Plain,
        SaslMechanism::Scram(Mechanism::Sha256),
        SaslMechanism::Scram(Mechanism::Sha512),
        SaslMechanism::OAuthBearer,
    ];

    pub fn name(self) -> &'static str {
        match self {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::Scram(mechanism) => mechanism.name(),
            SaslMechanism::OAuthBearer => "OAUTHBEARER",
        }
    }

    pub fn from_name(name: &str) -> Option<SaslMechanism> {
        SaslMechanism::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }
}

/// Where the keys are that tokens are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    File(PathBuf),
    Web(Url),
}

impl KeySource {
    /// `file:` and a path, or an address of the web: https, and http on this machine.
    fn parse(text: &str) -> Result<KeySource, String> {
        if let Some(path) = text.strip_prefix("file:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => Err("the path of a file behind 'file:'".into()),
                path => Ok(KeySource::File(path.into())),
            };
        }
        match Url::parse(text) {
            Ok(url) if url.tls || url.is_loopback() => Ok(KeySource::Web(url)),
            Ok(_) => Err("https: over http anybody on the way could bring keys of their own".into()),
            Err(_) => Err("an address such as https://issuer/keys, or file:/etc/keys.json".into()),
        }
    }
}

/// How the tokens of OAUTHBEARER are checked.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    pub policy: Policy,
    pub keys: KeySource,
    /// PEM with the authorities for https; empty for those of the system.
    pub authorities: PathBuf,
    pub refresh_ms: u64,
    /// After a failure, doubled with each further one.
    pub retry_ms: u64,
    pub retry_ms_max: u64,
}

#[derive(Debug, Clone)]
pub struct SecurityConfig {
    pub tls: bool,
    pub sasl: bool,
    pub mechanisms: Vec<SaslMechanism>,
    /// PEM files.
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub client_ca: PathBuf,
    pub client_auth: ClientAuth,
    /// Principals that no rule binds.
    pub super_users: BTreeSet<String>,
    pub allow_where_no_rule: bool,
    /// 0 = a log-in holds as long as its connection.
    pub reauthentication_ms: i64,
    pub failure_delay_ms: i64,
    /// The largest request of a client that has not logged in.
    pub first_bytes_max: usize,
    pub connections_per_address_max: usize,
    /// Only with OAUTHBEARER among the mechanisms.
    pub tokens: Option<TokenConfig>,
}

impl SecurityConfig {
    /// Whether every client has to say who it is.
    pub fn authenticates(&self) -> bool {
        self.sasl || (self.tls && self.client_auth == ClientAuth::Required)
    }
}

const fn option(
    key: &'static str,
    kind: OptionKind,
    default: &'static str,
    doc: &'static str,
    example: &'static str,
) -> OptionSpec {
    OptionSpec { key, kind, required: false, default: Some(default), doc, example }
}

const INT_MAX: i64 = i32::MAX as i64;

/// How many there are.
pub const OPTIONS: usize = 22;

/// What the listener's security can be told; a part of the broker's options.
pub const fn options() -> [OptionSpec; OPTIONS] {
    [
        option(
            "allow.everyone.if.no.acl.found",
            OptionKind::Boolean,
            "false",
            "Whether everybody may use a resource that no access rule speaks of.",
            "true",
        ),
        option(
            "connection.failed.authentication.delay.ms",
            OptionKind::Integer { min: 0, max: 60_000 },
            "100",
            "How long the answer to a failed log-in waits at first; each further failure from an address doubles it.",
            "100",
        ),
        option(
            "connections.max.reauth.ms",
            OptionKind::Integer { min: 0, max: i64::MAX },
            "0",
            "A log-in holds so long, then the client has to log in anew on its connection; 0 is without end.",
            "3600000",
        ),
        option(
            "https.ca.location",
            OptionKind::Text,
            "",
            "PEM file with the authorities that https addresses are checked by; without it, those of the system.",
            "/etc/eventwright/ca.pem",
        ),
        option(
            "max.connections.per.ip",
            OptionKind::Integer { min: 1, max: INT_MAX },
            "2147483647",
            "The most open connections from one address.",
            "100",
        ),
        option(
            "sasl.enabled.mechanisms",
            OptionKind::Text,
            "SCRAM-SHA-256,SCRAM-SHA-512",
            "How clients may log in: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER. PLAIN and OAUTHBEARER are offered over TLS and on loopback only.",
            "SCRAM-SHA-512",
        ),
        option(
            "sasl.oauthbearer.clock.skew.seconds",
            OptionKind::Integer { min: 0, max: 86_400 },
            "30",
            "How far the clock of the issuer of tokens may be from the node's.",
            "10",
        ),
        option(
            "sasl.oauthbearer.expected.audience",
            OptionKind::Text,
            "",
            "Of these, with commas between, a token names one (aud); empty does not look at it.",
            "kafka",
        ),
        option(
            "sasl.oauthbearer.expected.issuer",
            OptionKind::Text,
            "",
            "Who issued a token (iss); empty does not look at it.",
            "https://login.example.org/realms/main",
        ),
        option(
            "sasl.oauthbearer.jwks.endpoint.refresh.ms",
            OptionKind::Integer { min: 1_000, max: INT_MAX },
            "3600000",
            "The keys are fetched again after so long, and soon after a token with a key that is not known.",
            "600000",
        ),
        option(
            "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
            OptionKind::Integer { min: 1, max: INT_MAX },
            "10000",
            "The longest wait before the keys are fetched again after a failure.",
            "60000",
        ),
        option(
            "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms",
            OptionKind::Integer { min: 1, max: INT_MAX },
            "100",
            "The first wait before the keys are fetched again after a failure; each further one is twice as long.",
            "1000",
        ),
        option(
            "sasl.oauthbearer.jwks.endpoint.url",
            OptionKind::Text,
            "",
            "The keys that tokens are signed with, as a JSON Web Key Set: an https address, http on this machine, or file:PATH.",
            "https://login.example.org/realms/main/keys",
        ),
        option(
            "sasl.oauthbearer.scope.claim.name",
            OptionKind::Text,
            "scope",
            "The claim of a token with its scopes.",
            "scp",
        ),
        option(
            "sasl.oauthbearer.sub.claim.name",
            OptionKind::Text,
            "sub",
            "The claim of a token whose value becomes the principal, as User:VALUE.",
            "client_id",
        ),
        option(
            "sasl.server.max.receive.size",
            OptionKind::Integer { min: 1_024, max: INT_MAX },
            "65536",
            "The largest request of a client that has not logged in yet.",
            "65536",
        ),
        option(
            "security.protocol",
            OptionKind::OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]),
            "PLAINTEXT",
            "How clients are served: with SSL over TLS, with SASL after a log-in.",
            "SASL_SSL",
        ),
        option(
            "ssl.ca.location",
            OptionKind::Text,
            "",
            "PEM file with the authorities that sign the certificates of clients.",
            "/etc/eventwright/clients-ca.pem",
        ),
        option(
            "ssl.certificate.location",
            OptionKind::Text,
            "",
            "PEM file with the node's certificate and those that signed it; read again when it changes.",
            "/etc/eventwright/node.pem",
        ),
        option(
            "ssl.client.auth",
            OptionKind::OneOf(&["none", "requested", "required"]),
            "none",
            "Whether clients show a certificate (mTLS); its subject becomes their principal, such as User:CN=alice.",
            "required",
        ),
        option(
            "ssl.key.location",
            OptionKind::Text,
            "",
            "PEM file with the node's private key, without a password.",
            "/etc/eventwright/node.key",
        ),
        option(
            "super.users",
            OptionKind::Text,
            "",
            "Principals that may do everything, separated by semicolons; in a certificate's name a semicolon is written as in the name itself, with a backslash before it.",
            "User:admin;User:CN=ops,O=Example",
        ),
    ]
}

impl SecurityConfig {
    /// From options that passed their specs; what they cannot check is in `errors_of`.
    pub(crate) fn from_checked(options: &Options) -> SecurityConfig {
        let number = |key: &str| options.integer(key).unwrap_or_default();
        let size = |key: &str| usize::try_from(number(key)).unwrap_or(usize::MAX);
        let text = |key: &str| options.text(key).unwrap_or_default();
        let protocol = text("security.protocol");
        SecurityConfig {
            tls: protocol.ends_with("SSL"),
            sasl: protocol.starts_with("SASL"),
            mechanisms: list(text("sasl.enabled.mechanisms"), ',')
                .filter_map(SaslMechanism::from_name)
                .collect(),
            certificate: text("ssl.certificate.location").into(),
            key: text("ssl.key.location").into(),
            client_ca: text("ssl.ca.location").into(),
            client_auth: match text("ssl.client.auth") {
                "required" => ClientAuth::Required,
                "requested" => ClientAuth::Requested,
                _ => ClientAuth::None,
            },
            super_users: principals(text("super.users")).map(str::to_string).collect(),
            allow_where_no_rule: options.boolean("allow.everyone.if.no.acl.found"),
            reauthentication_ms: number("connections.max.reauth.ms"),
            failure_delay_ms: number("connection.failed.authentication.delay.ms"),
            first_bytes_max: size("sasl.server.max.receive.size"),
            connections_per_address_max: size("max.connections.per.ip"),
            tokens: SecurityConfig::tokens_of(options),
        }
    }

    /// How tokens are checked, if clients may log in with them and it is known where the keys are.
    fn tokens_of(options: &Options) -> Option<TokenConfig> {
        let text = |key: &str| options.text(key).unwrap_or_default();
        let time = |key: &str| u64::try_from(options.integer(key).unwrap_or_default()).unwrap_or_default();
        if !list(text("sasl.enabled.mechanisms"), ',').any(|name| name == SaslMechanism::OAuthBearer.name()) {
            return None;
        }
        let issuer = text("sasl.oauthbearer.expected.issuer");
        Some(TokenConfig {
            policy: Policy {
                audiences: list(text("sasl.oauthbearer.expected.audience"), ',')
                    .map(str::to_string)
                    .collect(),
                issuer: (!issuer.is_empty()).then(|| issuer.to_string()),
                scope_claim: text("sasl.oauthbearer.scope.claim.name").to_string(),
                subject_claim: text("sasl.oauthbearer.sub.claim.name").to_string(),
                clock_skew_seconds: options
                    .integer("sasl.oauthbearer.clock.skew.seconds")
                    .unwrap_or_default(),
            },
            keys: KeySource::parse(text("sasl.oauthbearer.jwks.endpoint.url")).ok()?,
            authorities: text("https.ca.location").into(),
            refresh_ms: time("sasl.oauthbearer.jwks.endpoint.refresh.ms"),
            retry_ms: time("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms"),
            retry_ms_max: time("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms"),
        })
    }

    /// What is wrong between the options, and in those whose values are lists.
    pub(crate) fn errors_of(options: &Options) -> Vec<OptionError> {
        let text = |key: &str| options.text(key).unwrap_or_default().to_string();
        let mut errors = Vec::new();
        let mut invalid = |key: &str, expected: &str| {
            errors.push(OptionError::Invalid {
                key: key.into(),
                value: text(key),
                expected: expected.into(),
            });
        };
        let mechanisms = text("sasl.enabled.mechanisms");
        let mut names = list(&mechanisms, ',').peekable();
        if names.peek().is_none() || names.any(|name| SaslMechanism::from_name(name).is_none()) {
            invalid(
                "sasl.enabled.mechanisms",
                "names among PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER, with commas between",
            );
        }
        let takes_tokens = list(&mechanisms, ',').any(|name| name == SaslMechanism::OAuthBearer.name());
        let keys = text("sasl.oauthbearer.jwks.endpoint.url");
        if takes_tokens || !keys.is_empty() {
            if let Err(expected) = KeySource::parse(&keys) {
                invalid("sasl.oauthbearer.jwks.endpoint.url", &expected);
            }
            for key in ["sasl.oauthbearer.scope.claim.name", "sasl.oauthbearer.sub.claim.name"] {
                if text(key).trim().is_empty() {
                    invalid(key, "the name of a claim");
                }
            }
        }
        if principals(&text("super.users")).any(|user| !user.starts_with("User:") || user == "User:") {
            invalid("super.users", "principals such as User:admin, with semicolons between");
        }
        let config = SecurityConfig::from_checked(options);
        if config.tls {
            for key in ["ssl.certificate.location", "ssl.key.location"] {
                if text(key).is_empty() {
                    invalid(key, "the path of a PEM file, because security.protocol asks for TLS");
                }
            }
        }
        if config.client_auth != ClientAuth::None {
            if !config.tls {
                invalid("ssl.client.auth", "none, because security.protocol is without TLS");
            } else if text("ssl.ca.location").is_empty() {
                invalid("ssl.ca.location", "the path of a PEM file, because clients show certificates");
            }
        }
        errors
    }
}

fn list(text: &str, separator: char) -> impl Iterator<Item = &str> {
    text.split(separator).map(str::trim).filter(|item| !item.is_empty())
}

/// Split at semicolons, but not at those that a certificate's name has, with a backslash before them.
fn principals(text: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    let parts = text.split(move |character| {
        let ends = character == ';' && !escaped;
        escaped = character == '\\' && !escaped;
        ends
    });
    parts.map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_within_the_name_of_a_certificate_do_not_end_it() {
        let split = |text| principals(text).collect::<Vec<_>>();
        assert_eq!(split("User:a; User:b;;"), ["User:a", "User:b"]);
        assert_eq!(split(r"User:CN=a\;b,O=x;User:c"), [r"User:CN=a\;b,O=x", "User:c"]);
        assert_eq!(split(r"User:CN=a\\;User:c"), [r"User:CN=a\\", "User:c"]);
        assert!(split("").is_empty());
    }
}
