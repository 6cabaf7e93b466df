//! What the log knows of groups besides their offsets: their configurations.
//!
//! Every record holds the whole of what it names, so that applying it twice changes nothing.

use super::codec::{DecodeError, Reader, put_count, put_text};
use std::collections::BTreeMap;

/// What one log record changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupChange {
    /// The whole given configuration of a group; empty = the defaults.
    Config { group: String, given: BTreeMap<String, String> },
}

const CONFIG: u8 = 1;

impl GroupChange {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            GroupChange::Config { group, given } => {
                out.push(CONFIG);
                put_text(&mut out, group);
                put_config(&mut out, given);
            }
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<GroupChange, DecodeError> {
        let mut reader = Reader::new(bytes);
        let change = match reader.u8()? {
            CONFIG => GroupChange::Config { group: reader.text()?, given: config(&mut reader)? },
            _ => return Err(DecodeError("an unknown kind of group record")),
        };
        reader.end()?;
        Ok(change)
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Groups {
    configs: BTreeMap<String, BTreeMap<String, String>>,
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
        }
    }

    /// What was set for a group; a group need not exist to have a configuration.
    pub fn config(&self, group: &str) -> Option<&BTreeMap<String, String>> {
        self.configs.get(group)
    }

    pub(super) fn checkpoint(&self, out: &mut Vec<u8>) {
        put_count(out, self.configs.len());
        for (group, given) in &self.configs {
            put_text(out, group);
            put_config(out, given);
        }
    }

    pub(super) fn restore(reader: &mut Reader<'_>) -> Result<Groups, DecodeError> {
        let mut configs = BTreeMap::new();
        for _ in 0..reader.count(8)? {
            configs.insert(reader.text()?, config(reader)?);
        }
        Ok(Groups { configs })
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
