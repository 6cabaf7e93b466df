//! The settings of a session: PostgreSQL's, as far as clients set or ask for them, and the node's own.

use crate::error::{Code, PgError};
use crate::lsn;
use crate::statement::milliseconds;
use crate::types::Style;
use base::Lsn;
use base::zone::Zone;
use std::collections::BTreeMap;

/// The version of PostgreSQL whose catalog and behaviour clients may expect.
pub const SERVER_VERSION: &str = "17.5";
const SERVER_VERSION_NUMBER: &str = "170005";

/// `SET` makes queries wait until the node has come to this place of the log.
pub const READ_AFTER_LSN: &str = "eventwright.read_after_lsn";
/// How long they wait at most.
pub const READ_TIMEOUT: &str = "eventwright.read_timeout";

/// A transaction that is open holds the rows of its moment; PostgreSQL has no limit unless one is set.
const IDLE_IN_TRANSACTION: &str = "idle_in_transaction_session_timeout";
const IDLE_IN_TRANSACTION_MS: u64 = 3_600_000;

/// Values longer than this are nobody's setting.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// Settings with a dot in their names that are not the node's.
const CUSTOM_MAX: usize = 1_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Cannot be set.
    Fixed,
    /// Taken as it is; changes nothing here.
    Ignored,
    Milliseconds,
    Zone,
    Encoding,
    DateStyle,
    /// One of these.
    OneOf(&'static [&'static str]),
    Lsn,
}

struct Known {
    /// In the case of letters that PostgreSQL shows.
    name: &'static str,
    default: &'static str,
    kind: Kind,
    /// The client is told its value at the start, and when it changes.
    is_reported: bool,
}

const fn known(name: &'static str, default: &'static str, kind: Kind) -> Known {
    Known { name, default, kind, is_reported: false }
}

const fn told(name: &'static str, default: &'static str, kind: Kind) -> Known {
    Known { name, default, kind, is_reported: true }
}

const KNOWN: &[Known] = &[
    told("application_name", "", Kind::Ignored),
    known("backslash_quote", "safe_encoding", Kind::Ignored),
    known("bytea_output", "hex", Kind::OneOf(&["hex", "escape"])),
    told("client_encoding", "UTF8", Kind::Encoding),
    known("client_min_messages", "notice", Kind::Ignored),
    told("DateStyle", "ISO, MDY", Kind::DateStyle),
    known("default_transaction_isolation", "repeatable read", Kind::Ignored),
    told("default_transaction_read_only", "off", Kind::Ignored),
    known(READ_AFTER_LSN, "", Kind::Lsn),
    known(READ_TIMEOUT, "10s", Kind::Milliseconds),
    known("extra_float_digits", "1", Kind::Ignored),
    known(IDLE_IN_TRANSACTION, "1h", Kind::Milliseconds),
    known("idle_session_timeout", "0", Kind::Milliseconds),
    told("in_hot_standby", "off", Kind::Fixed),
    told("integer_datetimes", "on", Kind::Fixed),
    told("IntervalStyle", "postgres", Kind::OneOf(&["postgres"])),
    told("is_superuser", "off", Kind::Fixed),
    known("jit", "off", Kind::Ignored),
    known("lc_collate", "C", Kind::Fixed),
    known("lc_ctype", "C", Kind::Fixed),
    known("lc_messages", "C", Kind::Ignored),
    known("lc_monetary", "C", Kind::Ignored),
    known("lock_timeout", "0", Kind::Milliseconds),
    known("max_identifier_length", "63", Kind::Fixed),
    known("max_index_keys", "32", Kind::Fixed),
    known("quote_all_identifiers", "off", Kind::Ignored),
    known("row_security", "on", Kind::Ignored),
    told("scram_iterations", "8192", Kind::Fixed),
    known("search_path", "\"$user\", public, topics", Kind::Ignored),
    told("server_encoding", "UTF8", Kind::Fixed),
    told("server_version", SERVER_VERSION, Kind::Fixed),
    known("server_version_num", SERVER_VERSION_NUMBER, Kind::Fixed),
    told("session_authorization", "", Kind::Fixed),
    told("standard_conforming_strings", "on", Kind::OneOf(&["on"])),
    known("statement_timeout", "0", Kind::Milliseconds),
    known("synchronous_commit", "on", Kind::Ignored),
    known("synchronize_seqscans", "on", Kind::Ignored),
    told("TimeZone", "UTC", Kind::Zone),
    known("transaction_isolation", "repeatable read", Kind::Ignored),
    known("transaction_read_only", "on", Kind::Ignored),
    known("wal_level", "logical", Kind::Fixed),
    known("work_mem", "4MB", Kind::Ignored),
];

fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(name))
}

#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What differs from the defaults, by name in lower case.
    given: BTreeMap<String, String>,
    /// What RESET goes back to: what the client gave at its start.
    first: BTreeMap<String, String>,
    /// What the end of the transaction goes back to.
    local: BTreeMap<String, Option<String>>,
    style: Style,
    statement_timeout_ms: u64,
    idle_timeout_ms: u64,
    idle_in_transaction_ms: u64,
    read_timeout_ms: u64,
    read_after: Lsn,
}

impl Settings {
    pub fn new(user: &str) -> Settings {
        let mut settings = Settings {
            read_timeout_ms: 10_000,
            idle_in_transaction_ms: IDLE_IN_TRANSACTION_MS,
            ..Settings::default()
        };
        settings.given.insert("session_authorization".into(), user.into());
        settings
    }

    /// From here on RESET goes back to what is set now.
    pub fn begin(&mut self) {
        self.first = self.given.clone();
    }

    pub fn get(&self, name: &str) -> Result<String, PgError> {
        let lower = name.to_ascii_lowercase();
        if let Some(value) = self.given.get(&lower) {
            return Ok(value.clone());
        }
        find(name).map(|known| known.default.to_string()).ok_or_else(|| unknown(name))
    }

    /// All of them, with their values.
    pub fn all(&self) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = KNOWN
            .iter()
            .map(|known| (known.name.to_string(), self.get(known.name).unwrap_or_default()))
            .collect();
        all.extend(
            self.given
                .iter()
                .filter(|(name, _)| find(name).is_none())
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        all
    }

    /// What the client is told at its start.
    pub fn reported(&self) -> impl Iterator<Item = (&'static str, String)> {
        let reported = KNOWN.iter().filter(|known| known.is_reported);
        reported.map(|known| (known.name, self.get(known.name).unwrap_or_default()))
    }

    /// Sets one, or with no value brings it back to its first; what the client is to be told of it.
    pub fn set(
        &mut self,
        name: &str,
        value: Option<&str>,
        is_local: bool,
    ) -> Result<Option<(&'static str, String)>, PgError> {
        let lower = name.to_ascii_lowercase();
        let known = find(name);
        if known.is_none() && !name.contains('.') {
            return Err(unknown(name));
        }
        if known.is_some_and(|known| known.kind == Kind::Fixed) {
            return Err(PgError::new(Code("55P02"), format!("parameter \"{name}\" cannot be changed")));
        }
        let value = match (value, self.first.get(&lower)) {
            (Some(value), _) => Some(value.to_string()),
            (None, first) => first.cloned(),
        };
        if value.as_ref().is_some_and(|value| value.len() > VALUE_BYTES_MAX) {
            return Err(PgError::new(
                Code::INVALID_PARAMETER_VALUE,
                format!("the value of \"{name}\" is too long"),
            ));
        }
        if known.is_none() && !self.given.contains_key(&lower) && self.given.len() >= CUSTOM_MAX {
            return Err(PgError::new(
                Code::LIMIT_EXCEEDED,
                format!("a session has at most {CUSTOM_MAX} settings"),
            ));
        }
        let value = match (known, value) {
            (Some(known), Some(value)) => Some(checked(known, &value)?),
            (_, value) => value,
        };
        let before = match &value {
            Some(value) => self.given.insert(lower.clone(), value.clone()),
            None => self.given.remove(&lower),
        };
        if is_local {
            self.local.entry(lower).or_insert(before);
        }
        self.read_values();
        Ok(known
            .filter(|known| known.is_reported)
            .map(|known| (known.name, self.get(known.name).unwrap_or_default())))
    }

    pub fn reset_all(&mut self) {
        self.given = self.first.clone();
        self.local.clear();
        self.read_values();
    }

    /// The transaction is over: what was set for it alone goes.
    pub fn end_transaction(&mut self) {
        for (name, before) in std::mem::take(&mut self.local) {
            match before {
                Some(value) => self.given.insert(name, value),
                None => self.given.remove(&name),
            };
        }
        self.read_values();
    }

    /// Everything is as it was before the transaction.
    pub fn roll_back(&mut self, before: Settings) {
        *self = before;
    }

    fn read_values(&mut self) {
        let time = |name| self.get(name).ok().and_then(|value| milliseconds(&value));
        let statement_timeout_ms = time("statement_timeout").unwrap_or_default();
        let idle_timeout_ms = time("idle_session_timeout").unwrap_or_default();
        let idle_in_transaction_ms = time(IDLE_IN_TRANSACTION).unwrap_or(IDLE_IN_TRANSACTION_MS);
        let read_timeout_ms = time(READ_TIMEOUT).unwrap_or(10_000);
        let zone = self.get("timezone").ok().and_then(|name| Zone::parse(&name)).unwrap_or(Zone::UTC);
        let is_bytea_escape = self.get("bytea_output").is_ok_and(|value| value == "escape");
        let read_after = self.get(READ_AFTER_LSN).ok().and_then(|text| lsn::parse(&text)).unwrap_or_default();
        self.statement_timeout_ms = statement_timeout_ms;
        self.idle_timeout_ms = idle_timeout_ms;
        self.idle_in_transaction_ms = idle_in_transaction_ms;
        self.read_timeout_ms = read_timeout_ms;
        self.style = Style { zone, is_bytea_escape };
        self.read_after = read_after;
    }

    pub fn style(&self) -> Style {
        self.style
    }

    /// 0 is none.
    pub fn statement_timeout_ms(&self) -> u64 {
        self.statement_timeout_ms
    }

    /// 0 is none.
    pub fn idle_timeout_ms(&self) -> u64 {
        self.idle_timeout_ms
    }

    /// 0 is none.
    pub fn idle_in_transaction_ms(&self) -> u64 {
        self.idle_in_transaction_ms
    }

    pub fn read_timeout_ms(&self) -> u64 {
        self.read_timeout_ms
    }

    /// What queries wait for.
    pub fn read_after(&self) -> Lsn {
        self.read_after
    }
}

fn checked(known: &Known, value: &str) -> Result<String, PgError> {
    let wrong = |hint: &str| {
        let message = format!("invalid value for parameter \"{}\": \"{value}\"", known.name);
        Err(PgError::new(Code::INVALID_PARAMETER_VALUE, message).hint(hint))
    };
    match known.kind {
        Kind::Fixed | Kind::Ignored => {}
        Kind::Milliseconds => {
            if milliseconds(value).is_none() {
                return wrong("milliseconds, or a number with ms, s, min or h behind");
            }
        }
        Kind::Zone => {
            if Zone::parse(value).is_none() {
                return wrong("a zone such as Europe/Berlin, UTC or +02:00");
            }
        }
        Kind::Encoding => {
            let name = value.to_ascii_lowercase().replace(['-', '_'], "");
            if name != "utf8" && name != "unicode" {
                return wrong("the encoding is UTF8");
            }
            return Ok("UTF8".into());
        }
        Kind::DateStyle => {
            let first = value.split(',').next().unwrap_or_default().trim();
            let is_order = ["mdy", "dmy", "ymd"].iter().any(|order| first.eq_ignore_ascii_case(order));
            if !first.eq_ignore_ascii_case("iso") && !is_order {
                return wrong("dates are shown in ISO style");
            }
            return Ok("ISO, MDY".into());
        }
        Kind::OneOf(values) => {
            let Some(found) = values.iter().find(|known| known.eq_ignore_ascii_case(value)) else {
                return wrong(&format!("one of {}", values.join(", ")));
            };
            return Ok((*found).to_string());
        }
        Kind::Lsn => {
            if !value.is_empty() && lsn::parse(value).is_none() {
                return wrong("a position such as 0/16B3748, as pg_current_wal_lsn() gives it");
            }
        }
    }
    Ok(value.to_string())
}

fn unknown(name: &str) -> PgError {
    let shown: String = name.chars().take(63).collect();
    let error =
        PgError::new(Code::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{shown}\""));
    match base::nearest(name, KNOWN.iter().map(|known| known.name)) {
        Some(near) => error.hint(format!("did you mean \"{near}\"?")),
        None => error,
    }
}
