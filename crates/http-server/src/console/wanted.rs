//! Which records somebody looks for, and in which partitions.

use super::Refused;
use super::path::Condition;
use crate::router::query_value;
use eventlog::Topic;
use kafka_wire::records::Record;
use serde_json::Value;

/// Of a text that is looked for.
const TEXT_BYTES_MAX: usize = 4 << 10;

#[derive(Default)]
pub(super) struct Wanted {
    /// Somewhere in the key, the value or a header, in small or large letters.
    text: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    condition: Option<Condition>,
    pub since_ms: Option<i64>,
    until_ms: Option<i64>,
}

impl Wanted {
    pub(super) fn parse(query: &str) -> Result<Wanted, Refused> {
        let value = |name: &str| query_value(query, name).filter(|value| !value.is_empty());
        let text = |name: &str| match value(name) {
            Some(text) if text.len() > TEXT_BYTES_MAX => {
                Err(Refused::bad(format!("'{name}' has at most {TEXT_BYTES_MAX} bytes")))
            }
            text => Ok(text),
        };
        let time = |name: &str| {
            let time = value(name).map(|text| text.parse::<i64>());
            time.transpose()
                .map_err(|_| Refused::bad(format!("'{name}' is a time in milliseconds since 1970")))
        };
        Ok(Wanted {
            text: text("text")?.map(|text| text.to_lowercase().into_bytes()),
            key: text("key")?.map(String::into_bytes),
            condition: value("where")
                .map(|text| Condition::parse(&text))
                .transpose()
                .map_err(Refused::bad)?,
            since_ms: time("since")?,
            until_ms: time("until")?,
        })
    }

    pub(super) fn fits(&self, record: &Record<'_>) -> bool {
        if self.since_ms.is_some_and(|since| record.timestamp < since)
            || self.until_ms.is_some_and(|until| record.timestamp > until)
            || self.key.as_ref().is_some_and(|key| record.key != Some(key.as_slice()))
        {
            return false;
        }
        if let Some(text) = &self.text {
            let has = |part: Option<&[u8]>| part.is_some_and(|part| contains(part, text));
            if !has(record.key)
                && !has(record.value)
                && !record.headers.into_iter().any(|header| has(Some(header.key)) || has(header.value))
            {
                return false;
            }
        }
        self.condition.as_ref().is_none_or(|condition| {
            let json = record.value.and_then(|value| serde_json::from_slice::<Value>(value).ok());
            json.is_some_and(|json| condition.fits(&json))
        })
    }
}

/// Whether a text, in small letters, is in it. Letters beyond ASCII are found as they are written.
fn contains(bytes: &[u8], text: &[u8]) -> bool {
    let Some((first, rest)) = text.split_first() else { return true };
    let last = match bytes.len().checked_sub(text.len()) {
        Some(last) => last,
        None => return false,
    };
    (0..=last).any(|at| {
        bytes[at].to_ascii_lowercase() == *first && bytes[at + 1..at + text.len()].eq_ignore_ascii_case(rest)
    })
}

/// The partitions that are asked for: one, or all.
pub(super) fn partitions(topic: &Topic, query: &str) -> Result<Vec<usize>, Refused> {
    let count = topic.partitions.len();
    match query_value(query, "partition").filter(|value| !value.is_empty()).map(|text| text.parse::<usize>())
    {
        None => Ok((0..count).collect()),
        Some(Ok(partition)) if partition < count => Ok(vec![partition]),
        Some(_) => {
            Err(Refused::bad(format!("the topic has the partitions from 0 to {}", count.saturating_sub(1))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_in_any_letters() {
        for (bytes, text, is_there) in [
            (&b"AbC"[..], &b"bc"[..], true),
            (b"abc", b"", true),
            (b"ab", b"abc", false),
            (b"xxABx", b"abx", true),
            (b"\xff\xfeA", b"a", true),
            (b"abd", b"abc", false),
        ] {
            assert_eq!(contains(bytes, text), is_there, "{text:?} in {bytes:?}");
        }
    }
}
