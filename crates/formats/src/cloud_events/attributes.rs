//! The attributes of one event, taken from its headers or from its JSON, and their forms: RFC 3339 times, names.

use super::EXTENSIONS;
use crate::json::{Next, Scanner, SyntaxError, unescape};
use crate::scalar::shorten;
use crate::time_text::{Fraction, TimestampStandard, parse_timestamp, write_date, write_time};
use std::ops::Range;

/// An event has no more of them, in whatever form.
pub(super) const ATTRIBUTES_MAX: usize = 256;

/// Name and value, in the order in which they came; of a name that comes twice, the last counts.
#[derive(Default)]
pub(super) struct Attributes {
    all: Vec<(String, String)>,
}

/// Where the data of a structured event lies.
#[derive(Default)]
pub(super) struct DataPlaces {
    pub data: Option<Range<usize>>,
    pub base64: Option<String>,
}

impl Attributes {
    /// Whether there was room for it.
    pub(super) fn put(&mut self, name: &str, value: String) -> bool {
        let has_room = self.all.len() < ATTRIBUTES_MAX;
        if has_room {
            self.all.push((name.to_owned(), value));
        }
        has_room
    }

    /// Those that count, each once.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_last =
            |index: usize, name: &str| !self.all[index + 1..].iter().any(|(later, _)| later == name);
        let last = self.all.iter().enumerate().filter(move |(index, (name, _))| is_last(*index, name));
        last.map(|(_, (name, value))| (name.as_str(), value.as_str()))
    }

    /// Whether it is an event of a version that is known: all that must be there is.
    pub(super) fn check(&self) -> Result<(), String> {
        for required in super::ATTRIBUTES.iter().filter(|attribute| attribute.is_required) {
            if self.get(required.name).is_none_or(str::is_empty) {
                return Err(format!("it is no event: the attribute '{}' is missing", required.name));
            }
        }
        match self.get("specversion") {
            Some("1.0") => Ok(()),
            other => {
                let shown = shorten(other.unwrap_or_default());
                Err(format!("the version '{shown}' of CloudEvents is not known"))
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Those that the specification does not name.
    pub(super) fn extensions(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_own = |name: &str| name == EXTENSIONS || super::find(name).is_none();
        self.pairs().filter(move |(name, _)| is_own(name))
    }

    /// The headers of a record in the binary mode; none where it is not in that mode.
    pub(super) fn of_headers(headers: &[(&[u8], Option<&[u8]>)]) -> Option<Attributes> {
        let is_binary = headers.iter().any(|(name, _)| *name == b"ce_specversion");
        if !is_binary {
            return None;
        }
        let mut attributes = Attributes::default();
        for (name, value) in headers {
            let name = match name.strip_prefix(b"ce_") {
                Some(name) => String::from_utf8_lossy(name).into_owned(),
                None if name.eq_ignore_ascii_case(b"content-type") => "datacontenttype".to_string(),
                None => continue,
            };
            if let Some(value) = value {
                attributes.put(&name, String::from_utf8_lossy(value).into_owned());
            }
        }
        Some(attributes)
    }

    /// The object of a structured event, and where its data lies.
    pub(super) fn of_json(scanner: &mut Scanner<'_>) -> Result<(Attributes, DataPlaces), SyntaxError> {
        let (mut attributes, mut places) = (Attributes::default(), DataPlaces::default());
        let mut next = scanner.enter(b'{', b'}')?;
        while next == Next::Element {
            let mut name = Vec::new();
            unescape(scanner.name()?, &mut name);
            let name = String::from_utf8_lossy(&name).into_owned();
            if name == "data" {
                scanner.peek();
                let start = scanner.at;
                scanner.skip()?;
                places.data = Some(start..scanner.at);
            } else {
                let value = simple(scanner)?;
                match (name.as_str(), value) {
                    ("data_base64", value) => places.base64 = value,
                    (_, Some(value)) => {
                        if !attributes.put(&name, value) {
                            return scanner.error("an event has at most 256 attributes");
                        }
                    }
                    // At most so many are looked at.
                    (_, None) => attributes.all.retain(|(known, _)| *known != name),
                }
            }
            next = scanner.next(b'}')?;
        }
        Ok((attributes, places))
    }
}

/// A text without its quotes; numbers, words and whatever else as they stand; none for null.
fn simple(scanner: &mut Scanner<'_>) -> Result<Option<String>, SyntaxError> {
    let first = scanner.peek();
    if first == b'"' {
        let mut plain = Vec::new();
        unescape(scanner.text()?, &mut plain);
        return Ok(Some(String::from_utf8_lossy(&plain).into_owned()));
    }
    let start = scanner.at;
    scanner.skip()?;
    let text = String::from_utf8_lossy(&scanner.bytes[start..scanner.at]).into_owned();
    Ok((first != b'n').then_some(text))
}

/// Days and nanoseconds of the day of an RFC 3339 time, in UTC.
pub(super) fn parse_time(text: &str) -> Option<(i64, i64)> {
    const NANOS_PER_MINUTE: i64 = 60_000_000_000;
    const NANOS_PER_DAY: i64 = 1440 * NANOS_PER_MINUTE;
    let text = text.trim().to_ascii_uppercase();
    let (local, offset_minutes) = match text.strip_suffix('Z') {
        Some(local) => (local, 0),
        None => {
            let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
            let sign = match offset.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let part = |text: &str, max: i64| -> Option<i64> {
                let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse().ok().filter(|number| digits && *number <= max)
            };
            (local, sign * (part(hours, 23)? * 60 + part(minutes, 59)?))
        }
    };
    let (days, nanos) = parse_timestamp(local.as_bytes(), TimestampStandard::Iso, false)?;
    let nanos = nanos - offset_minutes * NANOS_PER_MINUTE;
    Some((days + nanos.div_euclid(NANOS_PER_DAY), nanos.rem_euclid(NANOS_PER_DAY)))
}

pub(super) fn time_text(days: i64, nanos: i64) -> String {
    let mut out = Vec::new();
    write_date(days, &mut out);
    out.push(b'T');
    write_time(nanos, Fraction::Shortest, false, &mut out);
    out.push(b'Z');
    out.into_iter().map(char::from).collect()
}

/// Whether an extension may have this name: lower case letters and digits.
pub(super) fn is_extension_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        && super::find(name).is_none_or(|attribute| attribute.name == EXTENSIONS)
        && name != "data"
}

/// Whether a content type is JSON: `application/json`, `text/json`, or ending with `+json`.
pub(super) fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.ends_with("+json") || kind == "application/json" || kind == "text/json"
}
