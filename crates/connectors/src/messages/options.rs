//! The options that every table of messages has: where the server is, who logs in, TLS, time-outs.

use super::server::{Scheme, Server};
use crate::{option_problem, optional};
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::{ConnectorError, MetadataSpec, Role};
use dataflow::table::TableDefinition;

pub(crate) const URL: &str = "url";
pub(crate) const DEAD_LETTER_TOPIC: &str = "dead-letter.topic";

pub(crate) const USERNAME_SPEC: OptionSpec =
    optional("username", OptionKind::Text, None, "The user, where the URL names none.", "shop");
pub(crate) const PASSWORD_SPEC: OptionSpec = optional(
    "password",
    OptionKind::Text,
    None,
    "The password, where the URL has none. `${env:NAME}` or `${file:PATH}` keeps it out of the job's file, and is read for \
     each connection anew.",
    "${env:SHOP_PASSWORD}",
);
pub(crate) const ROOT_CAS_SPEC: OptionSpec = optional(
    "tls.root-cas-file",
    OptionKind::Text,
    None,
    "A PEM file with the authorities that sign the server's certificate; those of the system without it.",
    "/etc/shop/ca.pem",
);
pub(crate) const CERT_SPEC: OptionSpec = optional(
    "tls.cert-file",
    OptionKind::Text,
    None,
    "A PEM file with the certificate that is shown to the server. It needs `tls.key-file` and `tls.root-cas-file`.",
    "/etc/shop/client.pem",
);
pub(crate) const KEY_SPEC: OptionSpec = optional(
    "tls.key-file",
    OptionKind::Text,
    None,
    "A PEM file with the key of `tls.cert-file`, without a password.",
    "/etc/shop/client.key",
);
pub(crate) const HEARTBEAT_SPEC: OptionSpec = optional(
    "heartbeat",
    OptionKind::Duration,
    Some("60 s"),
    "A connection on which nothing came for two of these intervals counts as broken; the server may want a shorter one. \
     0 turns them off.",
    "10 s",
);
pub(crate) const TIMEOUT_SPEC: OptionSpec = optional(
    "timeout",
    OptionKind::Duration,
    Some("30 s"),
    "How long the server may take to answer, and to confirm what was sent. Then the connection is made anew by the job's \
     restart strategy.",
    "5 s",
);

pub(crate) const DEAD_LETTERS: OptionSpec = optional(
    DEAD_LETTER_TOPIC,
    OptionKind::Text,
    None,
    "Messages that cannot be read, and those that the server refuses for good, go to this topic of the embedded log with \
     the reason in a header, and the job goes on. Without it they fail the job.",
    "orders-rejected",
);

/// What is wrong with where the server is, and how we log in.
pub(crate) fn login_problems(
    table: &TableDefinition,
    options: &Options,
    scheme: &Scheme,
) -> Vec<ConnectorError> {
    let mut errors = Vec::new();
    let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
    let servers = Server::parse_all(options.text(URL).unwrap_or_default(), scheme);
    // Of a URL that is wrong nothing can be said.
    let is_plain = servers.as_ref().is_ok_and(|servers| servers.iter().any(|server| !server.is_secured));
    if let Err(message) = servers {
        problem(URL, message);
    }
    let where_to = format!("'{}://…' in 'url'", scheme.secured);
    for (option, message) in tls_problems(options, is_plain, &where_to) {
        problem(option, message);
    }
    errors
}

/// What is wrong with the files of TLS; `where_to` says where a secured address is written.
pub(crate) fn tls_problems(options: &Options, is_plain: bool, where_to: &str) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    let has = |key: &str| options.text(key).is_some();
    if has("tls.cert-file") != has("tls.key-file") || (has("tls.cert-file") && !has("tls.root-cas-file")) {
        let message =
            "'tls.cert-file', 'tls.key-file' and 'tls.root-cas-file' belong together: give all three";
        problems.push(("tls.cert-file", message.to_string()));
    }
    for key in ["tls.root-cas-file", "tls.cert-file"] {
        if has(key) && is_plain {
            problems.push((key, format!("'{key}' is for TLS: write {where_to}")));
        }
    }
    problems
}

/// Metadata that a sink cannot write.
pub(crate) fn written_problems(table: &TableDefinition, metadata: &[MetadataSpec]) -> Vec<ConnectorError> {
    let persisted = table.metadata.iter().filter(|column| !column.is_virtual);
    let wrong = persisted
        .filter(|column| !metadata.iter().any(|spec| spec.key == column.key && spec.writable))
        .map(|column| {
            let message = format!("the metadata '{}' cannot be written; declare it VIRTUAL", column.key);
            ConnectorError { option: None, ..option_problem(table, "connector", message) }
        });
    wrong.collect()
}

/// Where messages come from, or go, and who reads them: of the systems that came from JMS.
pub(crate) const QUEUE: &str = "queue";
pub(crate) const TOPIC: &str = "topic";
pub(crate) const SUBSCRIPTION: &str = "subscription";
pub(crate) const CLIENT_ID: &str = "client-id";

/// What is wrong with the place of a table's messages: `places` are the options of which one names it. Those other than a queue
/// may be read by a subscription. `read` are options of tables that are read.
pub(crate) fn place_problems(
    table: &TableDefinition,
    options: &Options,
    role: Role,
    (places, read): (&[&str], &[&str]),
) -> Vec<ConnectorError> {
    let mut errors = Vec::new();
    let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
    let has = |key: &str| options.text(key).is_some();
    let is_named = |key: &&&str| options.text(key).is_some_and(|name| !name.is_empty());
    if places.iter().filter(is_named).count() != 1 {
        let (last, first) = places.split_last().unwrap_or((&QUEUE, &[]));
        let message = format!(
            "a table needs one of '{}' and '{last}'; for example 'queue' = 'orders'",
            first.join("', '")
        );
        problem("connector", message);
    }
    let is_subscribed = role != Role::Sink && places.iter().any(|place| *place != QUEUE && has(place));
    for key in [SUBSCRIPTION, CLIENT_ID] {
        if has(key) && !is_subscribed {
            problem(key, format!("'{key}' is for tables that read a 'topic'"));
        }
        if options.text(key).is_some_and(str::is_empty) {
            problem(key, format!("'{key}' is empty"));
        }
    }
    for key in read {
        if has(key) && role == Role::Sink {
            problem(key, format!("'{key}' is for tables that are read"));
        }
    }
    errors
}
