//! The options of `websocket`: the names that Redpanda Connect has, and those that `http` has here.

use crate::http::access;
use crate::json_slices;
use crate::messages::MESSAGE_BYTES_MAX;
use crate::messages::options::{CERT_SPEC, DEAD_LETTERS, KEY_SPEC, ROOT_CAS_SPEC, TIMEOUT_SPEC, URL};
use crate::table_format::{Checked, FORMAT};
use crate::{CONNECTOR, SCAN_RATE_LIMIT, option_problem, optional};
use auth::https::Url;
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;
use std::time::Duration;

pub(super) const OPEN_MESSAGE: &str = "open-message";
pub(super) const OPEN_MESSAGE_TYPE: &str = "open-message-type";
pub(super) const SUBPROTOCOL: &str = "subprotocol";
pub(super) const BYTES_MAX: &str = "max-message-size";
pub(super) const IDLE: &str = "idle-timeout";
pub(super) const ID: &str = "id.pointer";
pub(super) const CURSOR: &str = "cursor.pointer";
pub(super) const CURSOR_PARAMETER: &str = "cursor.parameter";
pub(super) const CURSOR_INITIAL: &str = "cursor.initial";
/// What stands for the cursor in the first message.
pub(super) const PLACE: &str = "{cursor}";

pub(super) const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: URL,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The server, `ws://HOST:PORT/PATH?QUERY`, or the same with `wss` for TLS.",
        example: "wss://ticker.example/v1",
    },
    FORMAT,
    optional(
        OPEN_MESSAGE,
        OptionKind::Text,
        None,
        "What the server is told first, over each connection. `{cursor}` in it is the cursor, as it stands within a string of JSON. \
         `${env:NAME}` and `${file:PATH}` in it keep secrets out of the job's file, in the same way.",
        "{\"op\": \"subscribe\", \"channel\": \"trades\"}",
    ),
    optional(
        OPEN_MESSAGE_TYPE,
        OptionKind::OneOf(&["text", "binary"]),
        Some("text"),
        "What kind of message that is.",
        "binary",
    ),
    optional(
        SUBPROTOCOL,
        OptionKind::Text,
        None,
        "The protocol that is spoken over the connection (`Sec-WebSocket-Protocol`), which the server has to agree to.",
        "graphql-transport-ws",
    ),
    optional(
        CURSOR,
        OptionKind::Text,
        None,
        "Where a message says from where on the server is asked the next time, as a JSON pointer: a string or a number.",
        "/time_us",
    ),
    optional(
        CURSOR_PARAMETER,
        OptionKind::Text,
        None,
        "The parameter in the query of the URL by which a server is told the cursor, where `open-message` does not.",
        "cursor",
    ),
    optional(
        CURSOR_INITIAL,
        OptionKind::Text,
        None,
        "What the cursor is at first. Without it the first connection has none.",
        "0",
    ),
    optional(
        ID,
        OptionKind::Text,
        None,
        "Where the id of a message is, as a JSON pointer: a message whose id has come before, in 24 hours or 5 million messages, is \
         left out.",
        "/id",
    ),
    optional(
        BYTES_MAX,
        OptionKind::Size,
        Some("8 mb"),
        "The length of a message at most; a longer one fails the job.",
        "64 kb",
    ),
    optional(
        IDLE,
        OptionKind::Duration,
        Some("60 s"),
        "After half of it without a message the server is asked for a sign of life (a ping), and after all of it the connection \
         counts as lost. 0 never.",
        "10 s",
    ),
    optional(
        "http.source.header.*",
        OptionKind::Text,
        None,
        "A header of the request that opens the connection, by its name. `${env:NAME}` or `${file:PATH}` keeps a secret out of the \
         job's file, and is read for each connection anew.",
        "${env:SHOP_KEY}",
    ),
    access::USERNAME_SPEC,
    access::PASSWORD_SPEC,
    access::TOKEN_SPEC,
    ROOT_CAS_SPEC,
    CERT_SPEC,
    KEY_SPEC,
    TIMEOUT_SPEC,
    DEAD_LETTERS,
    SCAN_RATE_LIMIT,
];

/// The URL as HTTP has it, by which a connection begins.
pub(super) fn url_of_http(options: &Options) -> Result<String, String> {
    let url = options.text(URL).unwrap_or_default();
    let schemes = [("ws://", "http://"), ("wss://", "https://")];
    let found = schemes.iter().find_map(|(ours, https)| {
        // A prefix that is ASCII ends where a letter does.
        let begin = url.get(..ours.len()).filter(|begin| begin.eq_ignore_ascii_case(ours))?;
        Some(format!("{https}{}", &url[begin.len()..]))
    });
    found.ok_or_else(|| format!("'{URL}' has to be ws://HOST:PORT/PATH, or the same with wss for TLS"))
}

pub(super) fn idle(options: &Options) -> Duration {
    Duration::from_millis(options.duration_ms(IDLE).unwrap_or(0))
}

pub(super) fn bytes_max(options: &Options) -> usize {
    options.bytes(BYTES_MAX).and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(MESSAGE_BYTES_MAX)
}

/// What is wrong with a table beyond what one spec can see.
pub(super) fn problems(table: &TableDefinition, checked: &Checked) -> Vec<ConnectorError> {
    let Checked { options, value, .. } = checked;
    let url =
        url_of_http(options).and_then(|url| Url::parse(&url).map_err(|error| format!("'{URL}': {error}")));
    let is_plain = url.as_ref().is_ok_and(|url| !url.tls);
    let mut errors = access::login_problems(table, options, is_plain, "wss");
    let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
    if let Err(message) = url {
        problem(URL, message);
    }
    let bytes_max = bytes_max(options);
    if !(1..=MESSAGE_BYTES_MAX).contains(&bytes_max) {
        problem(BYTES_MAX, format!("'{BYTES_MAX}' is from 1 byte to {MESSAGE_BYTES_MAX} bytes"));
    }
    if let Some(name) = options.text(SUBPROTOCOL)
        && access::header_problem(name).is_some()
    {
        problem(SUBPROTOCOL, format!("'{SUBPROTOCOL}' is one name without blanks"));
    }
    for key in [ID, CURSOR] {
        let Some(pointer) = options.text(key) else { continue };
        if !json_slices::is_pointer(pointer) {
            problem(key, format!("'{key}': '{}' is no JSON pointer: write /NAME", pointer.escape_debug()));
        }
        if !crate::http::options::is_json(value.kind()) {
            problem(key, format!("'{key}' is for messages of JSON: take a format of JSON"));
        }
    }
    let has = |key: &str| options.text(key).is_some();
    let is_in_message = options.text(OPEN_MESSAGE).is_some_and(|message| message.contains(PLACE));
    if has(CURSOR) && !has(CURSOR_PARAMETER) && !is_in_message {
        let message = format!(
            "the server is not told the cursor: name '{CURSOR_PARAMETER}', or write {PLACE} in '{OPEN_MESSAGE}'"
        );
        problem(CURSOR, message);
    }
    if !has(CURSOR) && (has(CURSOR_PARAMETER) || has(CURSOR_INITIAL) || is_in_message) {
        problem(CURSOR, format!("'{CURSOR}' has to say where a message has the cursor"));
    }
    if is_in_message && !has(CURSOR_INITIAL) {
        let message =
            format!("{PLACE} in '{OPEN_MESSAGE}' needs '{CURSOR_INITIAL}', for the first connection");
        problem(OPEN_MESSAGE, message);
    }
    errors
}
