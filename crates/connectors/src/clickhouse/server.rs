//! Queries to a server over HTTP, and what its exceptions mean.

use super::options::{Checked, DATABASE, TABLE};
use super::types;
use crate::http_connection::HttpAnswer;
use crate::messages::{Done, ServerError};
use crate::store::{Ask, Web, words};
use base::ErrorKind;
use dataflow::connector::Probed;
use dataflow::table::TableDefinition;
use os::http::segment;
use std::time::Duration;

/// Settings that a server takes if it knows them.
const WANTED: [(&str, &str); 3] = [
    // Times with a `T` and a zone.
    ("date_time_input_format", "best_effort"),
    // What is confirmed lies in the table.
    ("async_insert", "0"),
    // The status is decided at the end, not with the first word of progress.
    ("send_progress_in_http_headers", "0"),
];
/// A parameter of the interface, no setting: nothing is said before all is done.
const WAIT: (&str, &str) = ("wait_end_of_query", "1");
const TOKEN: &str = "insert_deduplication_token";

/// Numbers of exceptions, as ClickHouse's ErrorCodes has them.
mod code {
    pub const LOG_IN: &[u32] = &[192, 193, 194, 516];
    pub const NOT_THERE: &[u32] = &[60, 81];
    /// Of a row: what it holds cannot be read, or has no place in its column.
    pub const ROW: &[u32] = &[
        6, 25, 26, 27, 33, 34, 38, 41, 53, 69, 70, 72, 117, 130, 131, 190, 321, 349, 376, 407, 441, 467, 469,
        636, 675, 676, 691,
    ];
    /// Another try does not help: columns, rights, settings, the query.
    pub const INVALID: &[u32] = &[8, 10, 16, 36, 44, 47, 48, 62, 73, 115, 164, 291, 497];
}

pub(super) struct Server {
    web: Web,
    database: String,
    table: String,
    settings: Vec<(String, String)>,
    /// Whether an INSERT may have a token.
    has_tokens: bool,
}

/// What is found where a table should be.
pub(super) struct Found {
    pub version: String,
    /// Of each column that is declared, whether it takes no NULL there.
    pub required: Vec<bool>,
}

/// What became of an INSERT.
pub(super) enum Inserted {
    Taken,
    NotNow(String),
    /// For what is in it.
    Refused(String),
}

impl Server {
    pub(super) fn new(web: Web, checked: &Checked) -> Server {
        let text = |key: &str| checked.options.text(key).unwrap_or_default().to_string();
        let (database, table) = (text(DATABASE), text(TABLE));
        Server { web, database, table, settings: checked.settings(), has_tokens: false }
    }

    /// The same with another time-out.
    pub(super) fn within(self, timeout: Duration) -> Server {
        Server { web: self.web.within(timeout), ..self }
    }

    fn post(&mut self, parameters: &[(&str, &str)], body: &[u8]) -> Done<HttpAnswer> {
        let pairs: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{}={}", segment(name), segment(value))).collect();
        let target = format!("/?{}", pairs.join("&"));
        let ask = Ask { method: "POST", target: &target, content_type: "", body };
        self.web.ask(&ask)
    }

    /// The rows of an answer, each a list of texts.
    fn query(&mut self, sql: &str) -> Done<Vec<Vec<String>>> {
        let answer = self.post(&[("default_format", "TabSeparated"), WAIT], sql.as_bytes())?;
        match exception(&answer) {
            Some(number) => Err(self.error(number, &answer)),
            None => {
                let text = String::from_utf8_lossy(&answer.body);
                Ok(text.lines().map(|line| line.split('\t').map(unescaped).collect()).collect())
            }
        }
    }

    fn error(&self, number: u32, answer: &HttpAnswer) -> ServerError {
        let said = said(answer);
        if code::LOG_IN.contains(&number) {
            return self.web.refused(&said);
        }
        if number == 0 && (400..500).contains(&answer.status) && ![408, 429].contains(&answer.status) {
            let message =
                format!("the server answers {}, as no ClickHouse does: {said}; look at 'url'", answer.status);
            return ServerError::new(ErrorKind::NotFound, message);
        }
        let kind = if code::NOT_THERE.contains(&number) {
            ErrorKind::NotFound
        } else if code::INVALID.contains(&number) || code::ROW.contains(&number) {
            ErrorKind::Invalid
        } else {
            ErrorKind::Unavailable
        };
        ServerError::new(kind, format!("ClickHouse says: {said}"))
    }

    /// Sees whether the table is there with the columns that are declared, and what the server knows.
    pub(super) fn look(&mut self, declared: &TableDefinition) -> Done<Found> {
        let version = self.query("SELECT version()")?.concat().concat();
        let (database, table) = (quoted(&self.database), quoted(&self.table));
        let place = format!("database = {database} AND table = {table}");
        let columns = self.query(&format!("SELECT name, type FROM system.columns WHERE {place}"))?;
        if columns.is_empty() {
            let message = format!(
                "ClickHouse has no table {}.{} that this user sees; create it, or look at '{DATABASE}' and '{TABLE}'",
                self.database, self.table
            );
            return Err(ServerError::new(ErrorKind::NotFound, message));
        }
        let columns: Vec<(&str, &str)> =
            columns.iter().filter_map(|row| Some((row.first()?.as_str(), row.get(1)?.as_str()))).collect();
        let required = types::check(declared, &columns).map_err(ServerError::invalid)?;
        let names: Vec<String> = WANTED.iter().map(|(name, _)| *name).chain([TOKEN]).map(quoted).collect();
        let known =
            self.query(&format!("SELECT name FROM system.settings WHERE name IN ({})", names.join(", ")))?;
        let known = |name: &str| known.iter().any(|row| row.first().is_some_and(|known| known == name));
        self.has_tokens = known(TOKEN);
        self.settings.retain(|(name, _)| WANTED.iter().all(|(wanted, _)| wanted != name));
        let wanted = WANTED.iter().filter(|(name, _)| known(name));
        self.settings.extend(wanted.map(|(name, value)| (name.to_string(), value.to_string())));
        Ok(Found { version, required })
    }

    /// Whether the table takes an INSERT with the same token once.
    fn deduplicates(&mut self) -> Done<bool> {
        let (database, table) = (quoted(&self.database), quoted(&self.table));
        let found = self.query(&format!(
            "SELECT engine, create_table_query FROM system.tables WHERE database = {database} AND name = {table}"
        ))?;
        let text = |column: usize| found.first().and_then(|row| row.get(column)).cloned().unwrap_or_default();
        let (engine, statement) = (text(0), text(1));
        let has = |setting: &str| {
            let value = statement.split_once(setting).map(|(_, rest)| rest.trim_start_matches([' ', '=']));
            value.map(|value| !value.starts_with('0'))
        };
        let is_replicated = engine.starts_with("Replicated") || engine.starts_with("Shared");
        Ok(self.has_tokens
            && match is_replicated {
                true => has("replicated_deduplication_window =") != Some(false),
                false => has("non_replicated_deduplication_window =") == Some(true),
            })
    }

    pub(super) fn probe(mut self, declared: &TableDefinition) -> Vec<Probed> {
        let version = match self.look(declared) {
            Ok(Found { version, .. }) => {
                Probed::well("table", format!("{}.{} of ClickHouse {version}", self.database, self.table))
            }
            Err(error) => return vec![Probed::failed("table", error.message)],
        };
        let found = match self.deduplicates() {
            Ok(true) => Probed::well("deduplication", "inserts are deduplicated: exactly once"),
            Ok(false) => Probed::well(
                "deduplication",
                "the table does not deduplicate inserts: at least once; a table of a MergeTree does with SETTINGS \
                 non_replicated_deduplication_window = 1000",
            ),
            Err(error) => Probed::failed("deduplication", error.message),
        };
        vec![version, found]
    }

    /// Adds rows, lines of JSON.
    pub(super) fn insert(&mut self, columns: &[String], rows: &[u8], token: &str) -> Done<Inserted> {
        let columns: Vec<String> = columns.iter().map(|column| identifier(column)).collect();
        let place = format!("{}.{}", identifier(&self.database), identifier(&self.table));
        let query = format!("INSERT INTO {place} ({}) FORMAT JSONEachRow", columns.join(", "));
        let settings = self.settings.clone();
        let mut parameters: Vec<(&str, &str)> = vec![("query", &query), WAIT];
        parameters.extend(settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        if self.has_tokens {
            parameters.push((TOKEN, token));
        }
        let answer = self.post(&parameters, rows)?;
        let Some(number) = exception(&answer) else { return Ok(Inserted::Taken) };
        if code::ROW.contains(&number) {
            return Ok(Inserted::Refused(format!("ClickHouse says: {}", said(&answer))));
        }
        let error = self.error(number, &answer);
        // Who has let us in before may be about to again.
        match error.kind {
            ErrorKind::Unavailable if !code::LOG_IN.contains(&number) => Ok(Inserted::NotNow(error.message)),
            _ => Err(error),
        }
    }
}

/// The number of the exception in an answer; 0 for one that has none. It may come behind a status of 200, also in the body,
/// where the server had begun to answer.
fn exception(answer: &HttpAnswer) -> Option<u32> {
    let header = answer.header("x-clickhouse-exception-code").and_then(|number| number.trim().parse().ok());
    let found = || in_body(&String::from_utf8_lossy(&answer.body)).map(|(_, number)| number);
    match (header, answer.status) {
        (None, 200) => found(),
        (None, _) => Some(found().unwrap_or(0)),
        (said, _) => said,
    }
}

/// Where an exception stands in a text, and its number.
fn in_body(text: &str) -> Option<(usize, u32)> {
    text.match_indices("Code: ").find_map(|(at, code)| {
        let behind = &text[at + code.len()..];
        let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
        // Without this it may be what a row says.
        let is_one = behind[digits..].starts_with(". DB::Exception");
        Some((at, behind[..digits].parse().ok()?)).filter(|_| is_one)
    })
}

/// What the server says of an exception, behind what else it had answered.
fn said(answer: &HttpAnswer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let at = in_body(&text).map_or(0, |(at, _)| at);
    words(&text.as_bytes()[at..])
}

/// A field of TabSeparated.
fn unescaped(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut letters = field.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('t') => text.push('\t'),
                Some('n') => text.push('\n'),
                Some(other) => text.push(other),
                None => {}
            },
            other => text.push(other),
        }
    }
    text
}

/// A text in a query.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A name in a query.
fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}
