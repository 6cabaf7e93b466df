//! What the log knows of groups besides their offsets: consumer groups (KIP-848) and the configurations of groups.
//!
//! Every record holds the whole of what it names, so that applying it twice changes nothing.

use super::codec::{DecodeError, Reader, put_count, put_text};
use super::consumer_groups;
use crate::group::consumer::{Change, ConsumerGroup, Owners};
use std::collections::BTreeMap;
use std::ops::Bound;

/// What one log record changes.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupChange {
    /// The whole given configuration of a group; empty = the defaults.
    Config { group: String, given: BTreeMap<String, String> },
    /// Of a consumer group, which is there from its first change on.
    Consumer { group: String, change: Change },
    /// The consumer group is no more, or it has become a classic one.
    ConsumerGone { group: String },
}

const CONFIG: u8 = 1;
const CONSUMER: u8 = 2;
const CONSUMER_GONE: u8 = 3;

impl GroupChange {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            GroupChange::Config { group, given } => {
                out.push(CONFIG);
                put_text(&mut out, group);
                put_config(&mut out, given);
            }
            GroupChange::Consumer { group, change } => {
                out.push(CONSUMER);
                put_text(&mut out, group);
                consumer_groups::put_change(&mut out, change);
            }
            GroupChange::ConsumerGone { group } => {
                out.push(CONSUMER_GONE);
                put_text(&mut out, group);
            }
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<GroupChange, DecodeError> {
        let mut reader = Reader::new(bytes);
        let change = match reader.u8()? {
            CONFIG => GroupChange::Config { group: reader.text()?, given: config(&mut reader)? },
            CONSUMER => {
                let group = reader.text()?;
                GroupChange::Consumer { group, change: consumer_groups::change(&mut reader)? }
            }
            CONSUMER_GONE => GroupChange::ConsumerGone { group: reader.text()? },
            _ => return Err(DecodeError("an unknown kind of group record")),
        };
        reader.end()?;
        Ok(change)
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Groups {
    configs: BTreeMap<String, BTreeMap<String, String>>,
    consumer: BTreeMap<String, KnownGroup>,
}

/// A consumer group with what follows from it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KnownGroup {
    pub group: ConsumerGroup,
    pub owners: Owners,
}

impl Groups {
    pub fn apply(&mut self, change: GroupChange) {
        match change {
            GroupChange::Config { group, given } if given.is_empty() => {
                self.configs.remove(&group);
            }
            GroupChange::Config { group, given } => {
                self.configs.insert(group, given);
            }
            GroupChange::Consumer { group, change } => {
                let known = self.consumer.entry(group).or_default();
                known.owners.follow(&known.group, &change);
                known.group.apply(change);
            }
            GroupChange::ConsumerGone { group } => {
                self.consumer.remove(&group);
            }
        }
    }

    /// What was set for a group; a group need not exist to have a configuration.
    pub fn config(&self, group: &str) -> Option<&BTreeMap<String, String>> {
        self.configs.get(group)
    }

    /// The groups that have a configuration of their own.
    pub fn configured(&self) -> impl Iterator<Item = &str> {
        self.configs.keys().map(String::as_str)
    }

    pub fn consumer(&self, group: &str) -> Option<&KnownGroup> {
        self.consumer.get(group)
    }

    /// The consumer groups, by name.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = (&str, &ConsumerGroup)> {
        self.consumer.iter().map(|(name, known)| (name.as_str(), &known.group))
    }

    /// The names of consumer groups in their order.
    pub fn consumer_names_from(&self, from: Bound<&String>) -> impl Iterator<Item = &str> {
        self.consumer.range::<String, _>((from, Bound::Unbounded)).map(|(name, _)| name.as_str())
    }

    pub(super) fn checkpoint(&self, out: &mut Vec<u8>) {
        put_count(out, self.configs.len());
        for (group, given) in &self.configs {
            put_text(out, group);
            put_config(out, given);
        }
        put_count(out, self.consumer.len());
        for (name, known) in &self.consumer {
            put_text(out, name);
            consumer_groups::put_group(out, &known.group);
        }
    }

    pub(super) fn restore(reader: &mut Reader<'_>) -> Result<Groups, DecodeError> {
        let mut groups = Groups::default();
        for _ in 0..reader.count(8)? {
            groups.configs.insert(reader.text()?, config(reader)?);
        }
        for _ in 0..reader.count(28)? {
            let name = reader.text()?;
            let group = consumer_groups::group(reader)?;
            groups.consumer.insert(name, KnownGroup { owners: Owners::of(&group), group });
        }
        Ok(groups)
    }
}

fn put_config(out: &mut Vec<u8>, given: &BTreeMap<String, String>) {
    put_count(out, given.len());
    for (key, value) in given {
        put_text(out, key);
        put_text(out, value);
    }
}

fn config(reader: &mut Reader<'_>) -> Result<BTreeMap<String, String>, DecodeError> {
    (0..reader.count(8)?).map(|_| Ok((reader.text()?, reader.text()?))).collect()
}
