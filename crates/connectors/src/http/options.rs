//! The options of `http`: the names of Flink's connector (`http-sink` and the lookup `http`), and where that has none, those
//! that the other connectors here have.

use super::access;
use super::codes::Codes;
use super::lookup::{parts_of, url_map};
use crate::messages::options::{CERT_SPEC, KEY_SPEC, ROOT_CAS_SPEC, TIMEOUT_SPEC, URL};
use crate::table_format::{Checked, FORMAT};
use crate::{
    CONNECTOR, SCAN_RATE_LIMIT, SINK_RATE_LIMIT, json_slices, lookup_options, option_problem, optional,
};
use base::options::{OptionKind, OptionSpec};
use dataflow::connector::{ConnectorError, Role};
use dataflow::table::TableDefinition;
use formats::FormatKind;

pub(super) const USERNAME: &str = "username";
pub(super) const PASSWORD: &str = "password";
pub(super) const TOKEN: &str = "token";
pub(crate) const TIMEOUT: &str = "timeout";
pub(super) const METHOD: &str = "insert-method";
pub(super) const MODE: &str = "http.sink.writer.request.mode";
pub(super) const BATCH_SIZE: &str = "http.sink.request.batch.size";
pub(super) const IN_FLIGHT: &str = "sink.requests.max-inflight";
pub(super) const ERROR_CODES: &str = "http.sink.error.code";
pub(super) const TAKEN_CODES: &str = "http.sink.error.code.exclude";
pub(crate) const SINK_HEADERS: &str = "http.sink.header.";
pub(crate) const SOURCE_HEADERS: &str = "http.source.header.";
pub(super) const INTERVAL: &str = "http.source.poll.interval";
pub(super) const RECORDS: &str = "http.source.response.list.pointer";
pub(super) const ID: &str = "http.source.response.record.id.pointer";
pub(super) const CURSOR: &str = "http.source.response.cursor.pointer";
pub(super) const RECORD_CURSOR: &str = "http.source.response.record.cursor.pointer";
pub(super) const CURSOR_PARAMETER: &str = "http.source.cursor.parameter";
pub(super) const CURSOR_INITIAL: &str = "http.source.cursor.initial";
pub(super) const LOOKUP_METHOD: &str = "lookup-method";
pub(super) const LOOKUP_THREADS: &str = "http.source.lookup.request.thread-pool.size";
pub(super) const LOOKUP_HEADERS: &str = "http.source.lookup.header.";
pub(super) const RESULT_TYPE: &str = "http.source.lookup.result-type";
pub(super) const IGNORED_CODES: &str = "http.source.lookup.ignored-response-codes";
pub(super) const RETRY_CODES: &str = "http.source.lookup.retry-codes";
pub(super) const URL_MAP: &str = "http.request.url-map";
pub(super) const QUERY_FIELDS: &str = "http.request.query-param-fields";

/// What the names of options begin with that are headers.
pub(super) const HEADER_PREFIXES: &[&str] = &[SINK_HEADERS, LOOKUP_HEADERS, SOURCE_HEADERS];

pub(super) const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: URL,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "Where requests go, `http://HOST:PORT/PATH?QUERY` or the same with `https`. Redirects are not followed.",
        example: "https://shop.example/hooks/orders",
    },
    FORMAT,
    optional(METHOD, OptionKind::OneOf(&["POST", "PUT", "PATCH"]), Some("POST"), "How rows are sent.", "PUT"),
    optional(
        MODE,
        OptionKind::OneOf(&["single", "batch"]),
        Some("single"),
        "Whether each row is a request, or many rows are one: an array of JSON, or CloudEvents as a batch. Flink's connector has \
         `batch` without this option.",
        "batch",
    ),
    optional(
        BATCH_SIZE,
        OptionKind::Integer { min: 1, max: 10_000 },
        Some("500"),
        "So many rows of a step at most are one request of the mode `batch`.",
        "100",
    ),
    optional(
        IN_FLIGHT,
        OptionKind::Integer { min: 1, max: 50 },
        Some("1"),
        "So many requests are under way at once, each over a connection of its own. With more than one, rows may be taken in \
         another order.",
        "8",
    ),
    optional(
        "http.sink.header.*",
        OptionKind::Text,
        None,
        "A header of each request, by its name. `${env:NAME}` or `${file:PATH}` keeps a secret out of the job's file, and is read \
         for each request anew.",
        "text/plain",
    ),
    optional(
        ERROR_CODES,
        OptionKind::Text,
        None,
        "Statuses by which the server refuses a row for good, besides those that are about it anyway (4XX, but those that say who \
         may do what, that nothing is there, or that it is too much): `404, 5XX, !503`.",
        "404",
    ),
    optional(
        TAKEN_CODES,
        OptionKind::Text,
        None,
        "Statuses by which the server says that it has what was sent, besides 2XX.",
        "409",
    ),
    optional(INTERVAL, OptionKind::Duration, Some("10 s"), "How often the URL is asked by a scan.", "1 min"),
    optional(
        RECORDS,
        OptionKind::Text,
        None,
        "Where the records are in an answer to a scan, as a JSON pointer: an array of them, or one. Without it the answer is that \
         itself.",
        "/data/orders",
    ),
    optional(
        ID,
        OptionKind::Text,
        None,
        "Where the id of a record is in it, as a JSON pointer: a record whose id has come before, in 24 hours or 5 million \
         records, is left out.",
        "/id",
    ),
    optional(
        CURSOR_PARAMETER,
        OptionKind::Text,
        None,
        "The parameter in the query by which the URL is asked for what comes behind an answer.",
        "after",
    ),
    optional(
        CURSOR,
        OptionKind::Text,
        None,
        "Where an answer says what that parameter is next, as a JSON pointer: a string or a number. Where there is none, or null, \
         it stays.",
        "/next",
    ),
    optional(
        RECORD_CURSOR,
        OptionKind::Text,
        None,
        "The same where the last record of an answer says it.",
        "/id",
    ),
    optional(
        CURSOR_INITIAL,
        OptionKind::Text,
        None,
        "What that parameter is at first. Without it the first request has none.",
        "0",
    ),
    optional(
        "http.source.header.*",
        OptionKind::Text,
        None,
        "A header of each request of a scan, like `http.sink.header.*`.",
        "${env:SHOP_KEY}",
    ),
    optional(
        LOOKUP_METHOD,
        OptionKind::OneOf(&["GET", "POST", "PUT"]),
        Some("GET"),
        "How a lookup join asks. With GET the key's columns are in the query of the URL, else in an object of JSON.",
        "POST",
    ),
    optional(
        URL_MAP,
        OptionKind::Text,
        None,
        "Which columns of a lookup's key the names in braces in `url` stand for: `COLUMN:NAME,…`. A name that is not in it is \
         that of the column.",
        "customer_id:customer",
    ),
    optional(
        QUERY_FIELDS,
        OptionKind::Text,
        None,
        "The columns of a lookup's key that are in the query, with another method than GET as well, parted by `;`. Without it all \
         that are not in the URL otherwise, for GET alone.",
        "region;tenant",
    ),
    optional(
        RESULT_TYPE,
        OptionKind::OneOf(&["single-value", "array"]),
        Some("single-value"),
        "Whether a lookup is answered with one row, or with an array of JSON of any number of them.",
        "array",
    ),
    optional(
        IGNORED_CODES,
        OptionKind::Text,
        Some("404"),
        "Statuses by which the server says that there is nothing under a lookup's key.",
        "404,410",
    ),
    optional(
        RETRY_CODES,
        OptionKind::Text,
        None,
        "Statuses after which a lookup is tried again, besides 408, 425, 429 and 5XX.",
        "409",
    ),
    optional(
        LOOKUP_THREADS,
        OptionKind::Integer { min: 1, max: 64 },
        Some("8"),
        "So many requests of a lookup are under way at once, each over a connection of its own.",
        "32",
    ),
    optional(
        "http.source.lookup.header.*",
        OptionKind::Text,
        None,
        "A header of each request of a lookup, like `http.sink.header.*`.",
        "${env:SHOP_KEY}",
    ),
    lookup_options::CACHE,
    lookup_options::MAX_ROWS,
    lookup_options::AFTER_WRITE,
    lookup_options::AFTER_ACCESS,
    lookup_options::MISSING_KEY,
    lookup_options::OLDER_MAX_ROWS,
    lookup_options::OLDER_TTL,
    lookup_options::OLDER_MISSING_KEY,
    lookup_options::RETRIES,
    access::USERNAME_SPEC,
    access::PASSWORD_SPEC,
    access::TOKEN_SPEC,
    ROOT_CAS_SPEC,
    CERT_SPEC,
    KEY_SPEC,
    TIMEOUT_SPEC,
    optional(
        "dead-letter.topic",
        OptionKind::Text,
        None,
        "Records that cannot be read, and rows that the server refuses, go to this topic of the embedded log with the reason in a header, and the job goes on. \
         Without it they fail the job.",
        "orders-rejected",
    ),
    SCAN_RATE_LIMIT,
    SINK_RATE_LIMIT,
];

/// What several values are put together as.
pub(crate) fn is_json(kind: FormatKind) -> bool {
    use FormatKind::{CanalJson, CloudEvents, DebeziumJson, Json, MaxwellJson, OggJson};
    matches!(kind, Json | CloudEvents | DebeziumJson | CanalJson | MaxwellJson | OggJson)
}

/// What is wrong with a table beyond what one spec can see.
pub(super) fn problems(table: &TableDefinition, checked: &Checked, role: Role) -> Vec<ConnectorError> {
    let Checked { options, value, .. } = checked;
    let mut errors = access::problems(table, options);
    let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
    for key in [ERROR_CODES, TAKEN_CODES, IGNORED_CODES, RETRY_CODES] {
        if let Err(reason) = Codes::parse(options.text(key).unwrap_or_default()) {
            problem(key, format!("'{key}': {reason}"));
        }
    }
    if role == Role::Sink && options.text(MODE) == Some("batch") {
        if !is_json(value.kind()) || value.options().text("mode") == Some("binary") {
            let message = format!(
                "several rows are one request where they are JSON: take a format of JSON, 'cloudevents' in its mode \
                 'structured', or '{MODE}' = 'single'"
            );
            problem(MODE, message);
        }
        if table.metadata.iter().any(|column| column.key == crate::landed::HEADERS && !column.is_virtual) {
            problem(
                MODE,
                format!("rows that are one request have no headers of their own: '{MODE}' = 'single'"),
            );
        }
    }
    let parts = parts_of(options.text(URL).unwrap_or_default());
    match parts {
        Err(message) => problem(URL, message),
        Ok(parts) if parts.len() > 1 && role != Role::Lookup => {
            problem(URL, "names in braces stand for the key of a lookup: leave them out".into());
        }
        Ok(_) => {}
    }
    if let Err(message) = url_map(options) {
        problem(URL_MAP, message);
    }
    if role == Role::Source {
        errors.extend(scan_problems(table, checked));
        return errors;
    }
    if role == Role::Lookup {
        if value.kind().has_changes() {
            problem(
                "format",
                "a lookup is answered with rows: take a format without changes, such as 'json'".into(),
            );
        }
        if options.text(RESULT_TYPE) == Some("array") && value.kind() != FormatKind::Json {
            problem(
                RESULT_TYPE,
                format!("an array is one of JSON: 'format' = 'json', or '{RESULT_TYPE}' = 'single-value'"),
            );
        }
    }
    errors
}

fn scan_problems(table: &TableDefinition, checked: &Checked) -> Vec<ConnectorError> {
    let Checked { options, value, .. } = checked;
    let mut errors = Vec::new();
    let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
    for key in [RECORDS, ID, CURSOR, RECORD_CURSOR] {
        let Some(pointer) = options.text(key) else { continue };
        if !json_slices::is_pointer(pointer) {
            problem(key, format!("'{key}': '{}' is no JSON pointer: write /NAME", pointer.escape_debug()));
        }
        if !is_json(value.kind()) {
            problem(key, format!("'{key}' is for answers of JSON: take a format of JSON"));
        }
    }
    let has = |key: &str| options.text(key).is_some();
    match (has(CURSOR_PARAMETER), has(CURSOR), has(RECORD_CURSOR)) {
        (true, true, false) | (true, false, true) => {}
        (false, false, false) if !has(CURSOR_INITIAL) => {}
        _ => {
            let message = format!(
                "'{CURSOR_PARAMETER}' needs one of '{CURSOR}' and '{RECORD_CURSOR}', and these need it"
            );
            problem(CURSOR_PARAMETER, message);
        }
    }
    let reads_headers = table.metadata.iter().any(|column| column.key == crate::landed::HEADERS);
    if reads_headers {
        problem("connector", "a record of an answer has no headers: leave the column out".into());
    }
    errors
}
