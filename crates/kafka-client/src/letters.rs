//! Dead letters: what they say of the record they stand for. Those of share groups (KIP-1191) name it in headers of their
//! own, those of jobs say in `origin` where it came from and in `reason` what was wrong with it. `redrive` sends them back.

use crate::client::{Client, OffsetSpec};
use crate::error::ClientError;
use crate::fetched::FetchedRecord;
use std::ops::ControlFlow;
use std::time::Duration;

/// The topics with this configuration take dead letters.
pub const CONSENTS: &str = "errors.deadletterqueue.group.enable";
const HEADERS: &str = "__dlq.errors.";
/// Headers of the letters that jobs write.
const ORIGIN: &str = "origin";
const REASON: &str = "reason";
/// The topic of a schema registry, whose name is no internal one.
const SCHEMAS: &str = "_schemas";
pub(crate) const FETCH_BYTES_MAX: i32 = 4 << 20;

/// A place of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

/// A dead letter.
#[derive(Debug, Clone)]
pub struct Letter {
    pub partition: i32,
    pub record: FetchedRecord,
    /// Where the record lay, if that is a topic to which it can be sent back.
    pub place: Option<Place>,
    /// The same in words, whatever it was: `orders-0@17`, `orders.csv line=3`.
    pub origin: String,
    /// Empty where a job wrote the letter.
    pub group: String,
    pub deliveries: String,
    pub cause: String,
    /// A job wrote it; those keep a record's key and value, and no headers.
    pub is_of_job: bool,
}

/// Which letters are meant; each condition that is there must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetterFilter {
    pub group: Option<String>,
    /// A text in the cause, the origin, the key or the value.
    pub text: Option<String>,
}

impl LetterFilter {
    pub fn is_empty(&self) -> bool {
        *self == LetterFilter::default()
    }

    pub fn fits(&self, letter: &Letter) -> bool {
        if self.group.as_ref().is_some_and(|group| *group != letter.group) {
            return false;
        }
        let Some(text) = self.text.as_deref() else { return true };
        let has = |bytes: Option<&[u8]>| {
            bytes.is_some_and(|bytes| {
                text.is_empty() || bytes.windows(text.len()).any(|part| part == text.as_bytes())
            })
        };
        has(Some(letter.cause.as_bytes()))
            || has(Some(letter.origin.as_bytes()))
            || has(letter.record.key.as_deref())
            || has(letter.record.value.as_deref())
    }
}

impl Place {
    /// None if a record is not to be sent there. Whoever writes a letter chooses what it says: the topics in which a
    /// cluster keeps its own state are none that somebody with more rights is to be made to write.
    fn checked(topic: &str, partition: &str, offset: &str) -> Option<Place> {
        let is_own = topic.starts_with("__") || topic == SCHEMAS;
        let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
        (!topic.is_empty() && !is_own).then(|| Place { topic: topic.into(), partition, offset })
    }
}

/// `orders partition=0 offset=17`, as sources name the place of a record.
fn place_of(origin: &str) -> Option<Place> {
    let (rest, offset) = origin.rsplit_once(" offset=")?;
    let (topic, partition) = rest.rsplit_once(" partition=")?;
    Place::checked(topic, partition, offset)
}

impl Letter {
    /// Of a record in a dead-letter topic; an error if its headers do not say where it comes from.
    pub fn of(partition: i32, record: FetchedRecord) -> Result<Letter, ClientError> {
        let header = |name: &str| {
            let found = record.headers.iter().find(|(key, _)| key[..] == *name.as_bytes());
            found.and_then(|(_, value)| String::from_utf8(value.as_deref()?.to_vec()).ok())
        };
        let of_group = |name: &str| header(&format!("{HEADERS}{name}"));
        let named = (of_group("topic"), of_group("partition"), of_group("offset"));
        if let (Some(topic), Some(index), Some(offset)) = named {
            let (group, deliveries) = (of_group("group"), of_group("delivery.count"));
            return Ok(Letter {
                partition,
                origin: format!("{topic}-{index}@{offset}"),
                place: Place::checked(&topic, &index, &offset),
                group: group.unwrap_or_default(),
                deliveries: deliveries.unwrap_or_default(),
                cause: of_group("message").unwrap_or_default(),
                is_of_job: false,
                record,
            });
        }
        let (Some(origin), Some(cause)) = (header(ORIGIN), header(REASON)) else {
            return Err(ClientError::NoLetter { partition, offset: record.offset, headers: HEADERS });
        };
        let place = place_of(&origin);
        let named =
            place.as_ref().map(|place| format!("{}-{}@{}", place.topic, place.partition, place.offset));
        Ok(Letter {
            partition,
            origin: named.unwrap_or(origin),
            place,
            group: String::new(),
            deliveries: String::new(),
            cause,
            is_of_job: true,
            record,
        })
    }

    /// It has what the record had, and is not only a note of where it lies.
    pub fn is_copy(&self) -> bool {
        self.is_of_job
            || self.record.key.is_some()
            || self.record.value.is_some()
            || self.record.headers.iter().any(|(key, _)| !key.starts_with(HEADERS.as_bytes()))
    }

    /// Whether a header is the letter's, and none of the record.
    pub(crate) fn is_own(&self, header: &[u8]) -> bool {
        match self.is_of_job {
            true => header == ORIGIN.as_bytes() || header == REASON.as_bytes(),
            false => header.starts_with(HEADERS.as_bytes()),
        }
    }
}

impl Client {
    /// The first letters of a dead-letter topic, partition after partition.
    pub fn letters(
        &mut self,
        topic: &str,
        partitions: &[i32],
        letters_max: usize,
    ) -> Result<Vec<Letter>, ClientError> {
        let mut letters = Vec::new();
        if letters_max > 0 {
            self.each_letter(topic, partitions, &mut |letter| {
                letters.push(letter);
                if letters.len() < letters_max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(letters)
    }

    /// Hands over the letters of a dead-letter topic, partition after partition, until it was enough.
    pub fn each_letter(
        &mut self,
        topic: &str,
        partitions: &[i32],
        take: &mut dyn FnMut(Letter) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        for partition in partitions.iter().copied() {
            let (mut next, end) = self.letter_bounds(topic, partition)?;
            while next < end {
                let mut fetched = self.fetch(topic, partition, next, FETCH_BYTES_MAX, Duration::ZERO)?;
                for record in fetched.by_ref() {
                    let record = record?;
                    if record.offset >= end {
                        break;
                    }
                    if take(Letter::of(partition, record)?).is_break() {
                        return Ok(());
                    }
                }
                let after = fetched.next_offset();
                if after <= next {
                    break;
                }
                next = after;
            }
        }
        Ok(())
    }

    pub(crate) fn letter_bounds(&mut self, topic: &str, partition: i32) -> Result<(i64, i64), ClientError> {
        let first = self.list_offsets(topic, partition, OffsetSpec::Earliest)?.offset;
        let end = self.list_offsets(topic, partition, OffsetSpec::Latest)?.offset;
        Ok((first, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn letter(headers: &[(&str, &str)]) -> Letter {
        let header = |(name, value): &(&str, &str)| {
            (Bytes::from(name.to_string()), Some(Bytes::from(value.to_string())))
        };
        let headers = headers.iter().map(header).collect();
        let record = FetchedRecord { offset: 3, timestamp: 0, key: None, value: None, headers };
        Letter::of(0, record).expect("a letter")
    }

    #[test]
    fn letters_lead_to_topics_of_users_alone() {
        let of_group = |topic: &str, offset: &str| {
            letter(&[
                ("__dlq.errors.topic", topic),
                ("__dlq.errors.partition", "1"),
                ("__dlq.errors.offset", offset),
            ])
        };
        let of_job =
            |topic: &str| letter(&[("origin", &format!("{topic} partition=1 offset=7")), ("reason", "no")]);
        let place = Place { topic: "orders".into(), partition: 1, offset: 7 };
        assert_eq!(
            (of_group("orders", "7").place, of_job("orders").place),
            (Some(place.clone()), Some(place))
        );
        for own in ["__consumer_offsets", "__view.totals", "_schemas", ""] {
            assert_eq!((of_group(own, "7").place, of_job(own).place), (None, None), "{own}");
        }
        // What it says of itself is told all the same.
        assert_eq!(of_group("_schemas", "7").origin, "_schemas-1@7");
        assert_eq!(
            (of_group("orders", "x").place, of_group("orders", "x").origin),
            (None, "orders-1@x".into())
        );
    }
}
