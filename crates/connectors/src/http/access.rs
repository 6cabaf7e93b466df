//! Where a table's server is, who we are to it, and the head that every request has.

use super::codes::Meaning;
use super::options::{self, PASSWORD, TOKEN, USERNAME};
use crate::http_answers::{retry_after, words};
use crate::http_connection::HttpAnswer;
use crate::http_host::{self, Host, Lane, Lost, host_header};
use crate::messages::options::{URL, tls_problems};
use crate::messages::{Done, ServerError, tls};
use crate::named_pause::NamedPause;
use crate::{option_problem, optional};
use auth::https::Url;
use base::options::{OptionKind, OptionSpec, Options};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dataflow::connector::{ConnectorError, Probed};
use dataflow::table::TableDefinition;
use os::Os;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// They say how a request is framed, or what becomes of the connection.
const OURS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    // Of a handshake for another protocol, and of a stream that goes on.
    "last-event-id",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
];
const AGENT: &str = concat!("eventwright/", env!("CARGO_PKG_VERSION"));

pub(crate) type Head = Vec<(String, String)>;

pub(crate) const USERNAME_SPEC: OptionSpec = optional(
    USERNAME,
    OptionKind::Text,
    None,
    "Who logs in, by a name and a password (`Authorization: Basic`).",
    "shop",
);
pub(crate) const PASSWORD_SPEC: OptionSpec = optional(
    PASSWORD,
    OptionKind::Text,
    None,
    "The password. `${env:NAME}` or `${file:PATH}` keeps it out of the job's file, and is read for each request anew.",
    "${env:SHOP_PASSWORD}",
);
pub(crate) const TOKEN_SPEC: OptionSpec = optional(
    TOKEN,
    OptionKind::Text,
    None,
    "A token that says who we are (`Authorization: Bearer`), with the same references as `password`.",
    "${file:/run/secrets/shop-token}",
);

pub(crate) struct Access {
    os: Os,
    options: Options,
    url: Url,
    timeout: Duration,
    /// What the names of the options begin with that are headers.
    headers: &'static str,
    pause: NamedPause,
}

impl Access {
    /// From checked options.
    pub(crate) fn new(os: &Os, options: &Options, headers: &'static str) -> Result<Access, String> {
        Access::of(os, options, options.text(URL).unwrap_or_default(), headers)
    }

    /// The same where the table's URL has been written for HTTP.
    pub(crate) fn of(os: &Os, options: &Options, url: &str, headers: &'static str) -> Result<Access, String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        let timeout = Duration::from_millis(options.duration_ms(options::TIMEOUT).unwrap_or(30_000).max(1));
        let pause = NamedPause::default();
        Ok(Access { os: os.clone(), options: options.clone(), url, timeout, headers, pause })
    }

    /// For who waits no longer than that.
    pub(crate) fn within(self, longest: Duration) -> Access {
        Access { timeout: self.timeout.min(longest), ..self }
    }

    pub(crate) fn os(&self) -> &Os {
        &self.os
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// For how long the server wants to be left alone.
    pub(crate) fn pause(&self) -> &NamedPause {
        &self.pause
    }

    /// An answer that it cannot take more now: it may say for how long (`Retry-After`), which is kept.
    pub(crate) fn keep_pause(&self, answer: &HttpAnswer) {
        if let Some(pause) = retry_after(answer, self.os.clock.now_ms()) {
            self.pause.begin(&self.os, pause);
        }
    }

    /// An error while the server wants to be left alone for longer than `longest`, which is waited for.
    pub(crate) fn wait_pause(&self, longest: Duration) -> Done<()> {
        self.pause.wait(&self.os, longest, &self.url.address())
    }

    /// The files of TLS are read each time: they change while a job runs.
    pub(crate) fn host(&self) -> Done<Host> {
        self.host_of_answers(ANSWER_BYTES_MAX)
    }

    /// The same for answers of another length.
    pub(crate) fn host_of_answers(&self, bytes_max: usize) -> Done<Host> {
        let config = match self.url.tls {
            true => Some(Arc::new(tls(&self.options).map_err(ServerError::invalid)?)),
            false => None,
        };
        Ok(Host::new(&self.os, &self.url, config, self.timeout, bytes_max))
    }

    /// An option's value as it is now, where it may stand elsewhere.
    pub(crate) fn secret(&self, key: &str) -> Done<Option<String>> {
        let value = self.options.text(key).map(auth::secrets::resolved).transpose();
        value.map_err(|error| ServerError::invalid(format!("'{key}': {error}")))
    }

    /// The head that all requests have; secrets are as they are now.
    pub(crate) fn head(&self) -> Done<Head> {
        let mut head = vec![("Host".to_string(), host_header(&self.url))];
        for (key, _) in self.options.with_prefix(self.headers) {
            let name = key[self.headers.len()..].to_string();
            let value = self.secret(key)?.unwrap_or_default();
            if value.contains(['\r', '\n', '\0']) {
                return Err(ServerError::invalid(format!(
                    "'{key}' is no header of HTTP: it has several lines"
                )));
            }
            head.push((name, value));
        }
        let authorization = match (self.secret(TOKEN)?, self.secret(PASSWORD)?, self.options.text(USERNAME)) {
            (Some(token), ..) => Some(format!("Bearer {token}")),
            (None, password, Some(user)) => {
                let login = format!("{user}:{}", password.unwrap_or_default());
                Some(format!("Basic {}", STANDARD.encode(login)))
            }
            _ => None,
        };
        head.extend(authorization.map(|value| ("Authorization".to_string(), value)));
        set_unless(&mut head, "User-Agent", AGENT);
        Ok(head)
    }

    /// Connects, and asks what the server takes (`OPTIONS`), which changes nothing there.
    pub(crate) fn probe(&self) -> Vec<Probed> {
        let place = self.url.address();
        let mut lanes = [Lane::default()];
        let reached = self.host().and_then(|host| match host.connect(&mut lanes[0]) {
            Ok(()) => Ok(host),
            Err(lost) => Err(self.lost(&lost)),
        });
        let host = match reached {
            Ok(host) => host,
            Err(error) => return vec![Probed::failed("reached", error.message)],
        };
        let reached =
            Probed::well("reached", if self.url.tls { format!("{place}, over TLS") } else { place });
        let asked = self.head().and_then(|head| {
            let request = request("OPTIONS", &self.url.path, &head, b"");
            match host.exchange(&mut lanes, &[request]).pop() {
                Some(answer) => answer.map_err(|lost| self.lost(&lost)),
                None => Err(self.lost(&Lost::Late)),
            }
        });
        let answered = match asked {
            Err(error) => Probed::failed("answered", error.message),
            Ok(answer) => match Meaning::of(answer.status) {
                Meaning::NotLetIn => Probed::failed("logged in", words(&answer)),
                Meaning::Passing => Probed::failed("answered", words(&answer)),
                // Many servers do not know the method, which says nothing of others.
                _ => Probed::well("answered", format!("OPTIONS with {}", answer.status)),
            },
        };
        vec![reached, answered]
    }

    pub(crate) fn lost(&self, lost: &Lost) -> ServerError {
        lost.told(&self.url)
    }
}

/// The bytes of a request.
pub(crate) fn request(method: &str, target: &str, head: &Head, body: &[u8]) -> Vec<u8> {
    http_host::written(method, target, head, body)
}

/// Sets a header in place of all of its name.
pub(crate) fn set(head: &mut Head, name: &str, value: String) {
    head.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    head.push((name.to_string(), value));
}

/// Sets a header that is not there.
pub(crate) fn set_unless(head: &mut Head, name: &str, value: &str) {
    if !head.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
        head.push((name.to_string(), value.to_string()));
    }
}

/// Why a header cannot be a request's own, if so.
pub(crate) fn header_problem(name: &str) -> Option<&'static str> {
    // A token of RFC 9110, 5.6.2.
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_part) {
        return Some("its name is none of HTTP");
    }
    OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)).then_some("the connector sets it itself")
}

/// What is wrong with where the server is, and who we are.
pub(crate) fn problems(table: &TableDefinition, options: &Options) -> Vec<ConnectorError> {
    let url = Url::parse(options.text(URL).unwrap_or_default());
    let is_plain = url.as_ref().is_ok_and(|url| !url.tls);
    let mut errors = login_problems(table, options, is_plain, "https");
    if let Err(error) = url {
        errors.insert(0, option_problem(table, URL, format!("'{URL}': {error}")));
    }
    errors
}

/// The same but for the URL; `secured` is the scheme of one with TLS.
pub(crate) fn login_problems(
    table: &TableDefinition,
    options: &Options,
    is_plain: bool,
    secured: &str,
) -> Vec<ConnectorError> {
    let mut errors = Vec::new();
    let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
    let has = |key: &str| options.text(key).is_some();
    if has(PASSWORD) && !has(USERNAME) {
        problem(PASSWORD, format!("'{PASSWORD}' needs '{USERNAME}'"));
    }
    if has(TOKEN) && has(USERNAME) {
        problem(TOKEN, format!("'{TOKEN}' and '{USERNAME}' are two ways to log in: give one"));
    }
    for prefix in options::HEADER_PREFIXES {
        for (key, _) in options.with_prefix(prefix) {
            let name = &key[prefix.len()..];
            let is_key = prefix == &options::SINK_HEADERS && name.eq_ignore_ascii_case("idempotency-key");
            let reason = header_problem(name).or(is_key.then_some("each request has one of its own"));
            if let Some(reason) = reason {
                problem(key, format!("'{key}': {reason}"));
            }
            if name.eq_ignore_ascii_case("authorization") && (has(TOKEN) || has(USERNAME)) {
                problem(key, format!("'{key}' says what '{TOKEN}' or '{USERNAME}' says too: give one"));
            }
        }
    }
    let files = tls_problems(options, is_plain, &format!("'{secured}://…' in 'url'"));
    errors.extend(files.into_iter().map(|(option, message)| option_problem(table, option, message)));
    errors
}
