//! The options of `clickhouse`, under the names of Flink's connectors.

use super::store;
use crate::flush_policy::WAITING_BYTES_MAX;
use crate::messages::options::{
    CERT_SPEC, KEY_SPEC, PASSWORD_SPEC, ROOT_CAS_SPEC, TIMEOUT_SPEC, tls_problems,
};
use crate::store::{
    Bounds, DEAD_LETTERS, DELIVERY_GUARANTEE, PARALLELISM, Patience, count, partition_problem, urls,
};
use crate::{CONNECTOR, SINK_RATE_LIMIT, option_problem, optional, plain_options};
use auth::https::Url;
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;
use std::time::Duration;

const URL: &str = "url";
pub(super) const DATABASE: &str = "database-name";
pub(super) const TABLE: &str = "table-name";
const BATCH_SIZE: &str = "sink.batch-size";
const INTERVAL: &str = "sink.flush-interval";
const RETRIES: &str = "sink.max-retries";
const SETTINGS: &str = "properties.";
/// The first pause before an INSERT is sent again.
const PAUSE: Duration = Duration::from_millis(100);

/// What goes with each request besides, and is no setting for others to choose.
const OWN: &[&str] = &[
    "query",
    "database",
    "user",
    "password",
    "date_time_input_format",
    "insert_deduplication_token",
    "async_insert",
    "send_progress_in_http_headers",
    "wait_end_of_query",
];

pub(super) const OPTIONS: &[OptionSpec] = &[
    CONNECTOR,
    OptionSpec {
        key: URL,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The servers, as `http://HOST:PORT` (8123 is ClickHouse's port), or `https://…` for TLS, with commas in between. Where \
              one cannot be reached the next one is asked; all of them must have the table.",
        example: "http://clickhouse-1:8123",
    },
    optional(DATABASE, OptionKind::Text, Some("default"), "The database.", "shop"),
    OptionSpec {
        key: TABLE,
        kind: OptionKind::Text,
        required: true,
        default: None,
        doc: "The table. It must exist, with at least the columns that are declared.",
        example: "orders",
    },
    optional("username", OptionKind::Text, None, "The user; `default` of the server without one.", "shop"),
    PASSWORD_SPEC,
    optional(
        BATCH_SIZE,
        OptionKind::Integer { min: 1, max: 1_000_000 },
        Some("1000"),
        "An INSERT is sent as soon as so many rows wait, and has no more. ClickHouse likes few and large ones.",
        "100000",
    ),
    optional(
        INTERVAL,
        OptionKind::Duration,
        Some("1 s"),
        "An INSERT is sent when a row has waited so long; 0 leaves it to the number of rows, and to their size of 8 MB.",
        "10 s",
    ),
    optional(
        RETRIES,
        OptionKind::Integer { min: 0, max: 100 },
        Some("3"),
        "How often an INSERT is sent again at once, after pauses that double, because the server does not take it for now. Then the \
         job's restart strategy decides.",
        "10",
    ),
    optional(
        "properties.*",
        OptionKind::Text,
        None,
        "A setting of the server that goes with each INSERT, such as `properties.insert_quorum`.",
        "2",
    ),
    TIMEOUT_SPEC,
    ROOT_CAS_SPEC,
    CERT_SPEC,
    KEY_SPEC,
    DELIVERY_GUARANTEE,
    DEAD_LETTERS,
    SINK_RATE_LIMIT,
    PARALLELISM,
];

/// What a table says, once it is found to be right.
pub(super) struct Checked {
    pub options: Options,
    pub urls: Vec<Url>,
}

impl Checked {
    pub(super) fn of(table: &TableDefinition) -> Result<Checked, Vec<ConnectorError>> {
        let options = plain_options(table, OPTIONS)?;
        let mut errors = Vec::new();
        let mut problem = |option: &str, message: String| errors.push(option_problem(table, option, message));
        let urls = urls(options.text(URL).unwrap_or_default(), ',', URL);
        if let Err(message) = &urls {
            problem(URL, message.clone());
        }
        let has_path = |url: &Url| url.path != "/";
        if urls.as_ref().is_ok_and(|urls| urls.iter().any(has_path)) {
            let message = format!(
                "'{URL}' ends behind the port: the database is an option of its own, '{DATABASE}', and so are settings, '{SETTINGS}…'"
            );
            problem(URL, message);
        }
        let is_plain = urls.as_ref().is_ok_and(|urls| urls.iter().any(|url| !url.tls));
        for (option, message) in tls_problems(&options, is_plain, "'https://…' in 'url'") {
            problem(option, message);
        }
        if options.text("password").is_some() && options.text("username").is_none() {
            problem("password", "'password' needs 'username'".into());
        }
        for (key, _) in options.with_prefix(SETTINGS) {
            if OWN.contains(&key.trim_start_matches(SETTINGS)) {
                problem(key, format!("'{key}' cannot be set: the connector needs it itself"));
            }
        }
        errors.extend(partition_problem(table));
        errors.extend(store::encoder(table).err());
        match urls {
            Ok(urls) if errors.is_empty() => Ok(Checked { options, urls }),
            _ => Err(errors),
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.options.duration_ms("timeout").unwrap_or(0))
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            rows_max: count(&self.options, BATCH_SIZE),
            bytes_max: WAITING_BYTES_MAX,
            interval_ms: self.options.duration_ms(INTERVAL).unwrap_or(0),
        }
    }

    pub(super) fn patience(&self) -> Patience {
        Patience { tries: count(&self.options, RETRIES) as u32, pause: PAUSE, doubles: true }
    }

    /// Settings of the server and their values.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        let named = self.options.with_prefix(SETTINGS);
        named.map(|(key, value)| (key.trim_start_matches(SETTINGS).to_string(), value.to_string())).collect()
    }
}
