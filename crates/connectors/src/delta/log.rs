//! The log of a Delta table: which versions there are, and what they say of the table.
//!
//! A version is a file of JSON lines, each an action, named by its number. Now and then somebody writes a checkpoint, the
//! sum of all actions so far as rows of Parquet; `_last_checkpoint` says where one is, so that few names have to be listed.

use super::checkpoint;
use crate::lake::corrupt;
use crate::lake::storage::{Stores, below};
use crate::service::{Done, ServiceError};
use base::ErrorKind;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Bytes of one version: a thousand files with their bounds have a megabyte.
const VERSION_BYTES_MAX: u64 = 256 << 20;
/// What actions of files begin with: all of a line need not be read to pass over it.
const OF_FILES: [&[u8]; 2] = [b"{\"add\":", b"{\"remove\":"];
const HINT_BYTES_MAX: u64 = 1 << 20;
/// Actions that may lie in memory: so many applications, or files where a checkpoint is written.
const ACTIONS_MAX: usize = 500_000;
const STATE_BYTES_MAX: usize = 384 << 20;
/// What a value and the name of a field take besides their letters.
const VALUE_BYTES: usize = 32;
const NAME_BYTES: usize = 56;
const DIGITS: usize = 20;

/// Of the bytes of a version, by which it is told from one of the same number in another table.
pub(super) type Digest = [u8; 32];

pub(super) fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

/// What a table is, after a version.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct State {
    /// -1 where there is no table.
    pub version: i64,
    pub protocol: Value,
    pub metadata: Value,
    /// What the file of the version has, where there is one beside a checkpoint.
    pub digest: Option<Digest>,
    /// The last version of each application.
    pub applications: BTreeMap<String, Value>,
    /// By path, where they were asked for.
    pub files: BTreeMap<String, Value>,
    pub removed: BTreeMap<String, Value>,
    /// About so much of the memory all of that takes.
    pub bytes: usize,
}

/// Which of the log there is.
#[derive(Debug, Default)]
struct Listed {
    /// The version and the names of its parts.
    checkpoint: Option<(i64, Vec<String>)>,
    versions: Vec<i64>,
    /// Whether there is a checkpoint that is not of the first kind.
    has_others: bool,
}

pub(super) fn folder(root: &str) -> String {
    below(root, "_delta_log")
}

pub(super) fn version_address(root: &str, version: i64) -> String {
    below(&folder(root), &format!("{version:0DIGITS$}.json"))
}

pub(super) fn checkpoint_name(version: i64) -> String {
    format!("{version:0DIGITS$}.checkpoint.parquet")
}

pub(super) fn hint_address(root: &str) -> String {
    below(&folder(root), "_last_checkpoint")
}

fn number(text: &str) -> Option<i64> {
    let is_number = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// Part and number of parts of a checkpoint's name behind its version.
fn part(rest: &str) -> Option<(u32, u32)> {
    let rest = rest.strip_prefix("checkpoint.")?.strip_suffix("parquet")?;
    if rest.is_empty() {
        return Some((1, 1));
    }
    let (part, parts) = rest.strip_suffix('.')?.split_once('.')?;
    let number = |text: &str| text.parse::<u32>().ok().filter(|_| text.len() == 10);
    number(part).zip(number(parts))
}

/// Takes the names of a log apart; those that are no part of it are left out.
fn listed(names: &[String]) -> Listed {
    let mut found = Listed::default();
    let mut checkpoints: BTreeMap<(i64, u32), BTreeMap<u32, String>> = BTreeMap::new();
    for name in names {
        let Some((version, rest)) = name.split_once('.') else { continue };
        let Some(version) = number(version) else { continue };
        if rest == "json" {
            found.versions.push(version);
        } else if let Some((part, parts)) = part(rest) {
            checkpoints.entry((version, parts)).or_default().insert(part, name.clone());
        } else if rest.starts_with("checkpoint.") {
            found.has_others = true;
        }
    }
    let whole = checkpoints.into_iter().rev().find(|((_, parts), names)| names.len() == *parts as usize);
    found.checkpoint = whole.map(|((version, _), names)| (version, names.into_values().collect()));
    let from = found.checkpoint.as_ref().map_or(-1, |(version, _)| *version);
    found.versions.retain(|version| *version > from);
    found
}

impl State {
    /// What the log says now. `with_files`: also which files the table has.
    pub(super) fn read(stores: &mut Stores, root: &str, with_files: bool) -> Done<State> {
        State::read_to(stores, root, with_files, i64::MAX)
    }

    /// The same up to a version.
    pub(super) fn read_to(stores: &mut Stores, root: &str, with_files: bool, last: i64) -> Done<State> {
        let hint = stores.read(&hint_address(root), HINT_BYTES_MAX)?;
        let hint: Option<Value> = hint.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let from = hint.and_then(|hint| hint["version"].as_i64()).filter(|from| *from <= last).unwrap_or(0);
        match State::read_from(stores, root, with_files, from, last) {
            // The hint may name what is not whole, and others may clean the log up while it is listed.
            Err(error) if error.kind == ErrorKind::Corrupt => {
                State::read_from(stores, root, with_files, 0, last)
            }
            read => read,
        }
    }

    fn read_from(stores: &mut Stores, root: &str, with_files: bool, from: i64, last: i64) -> Done<State> {
        let behind = if from > 0 { format!("{from:0DIGITS$}") } else { String::new() };
        let names = stores.list(&folder(root), &behind)?;
        let mut names: Vec<String> = names;
        names.retain(|name| name.get(..DIGITS).and_then(number).is_none_or(|version| version <= last));
        let listed = listed(&names);
        let has_others = listed.has_others;
        let mut state = State { version: -1, ..State::default() };
        if let Some((version, parts)) = listed.checkpoint {
            for part in parts {
                let address = below(&folder(root), &part);
                checkpoint::read(stores, &address, with_files, &mut |action| state.fold(action))?;
            }
            state.version = version;
        }
        for version in listed.versions {
            if version != state.version + 1 && has_others && from == 0 {
                return Err(other_checkpoint());
            }
            if version != state.version + 1 {
                return Err(corrupt(format!(
                    "version {} is not in its log, and no checkpoint stands for it",
                    state.version + 1
                )));
            }
            let address = version_address(root, version);
            let bytes = stores.read(&address, VERSION_BYTES_MAX)?;
            let bytes = bytes.ok_or_else(|| ServiceError::unavailable(format!("{address} is gone")))?;
            for line in lines(&bytes, with_files) {
                state.fold_one(action(line, version)?, with_files)?;
            }
            state.version = version;
            state.digest = Some(digest(&bytes));
        }
        // Where something is said to be, there is a table, and none is to be made.
        if state.version < 0 && has_others {
            return Err(other_checkpoint());
        }
        if state.version < 0 && from > 0 {
            return Err(corrupt(format!(
                "version {from} is not in its log, though '_last_checkpoint' names it"
            )));
        }
        if state.version >= 0 && (state.protocol.is_null() || state.metadata.is_null()) {
            return Err(corrupt("its log does not say what the table is"));
        }
        Ok(state)
    }

    fn fold_one(&mut self, action: Value, with_files: bool) -> Done<()> {
        let is_of_files = action.get("add").is_some() || action.get("remove").is_some();
        if is_of_files && !with_files { Ok(()) } else { self.fold(action) }
    }

    /// Takes an action in.
    fn fold(&mut self, action: Value) -> Done<()> {
        let Value::Object(action) = action else { return Err(corrupt("an action is no object")) };
        for (kind, said) in action {
            let weight = weight(&said);
            let text = |key: &str| said[key].as_str().map(str::to_string);
            match kind.as_str() {
                "protocol" => self.protocol = said,
                "metaData" => self.metadata = said,
                "txn" => {
                    let id = text("appId").ok_or_else(|| corrupt("a transaction has no appId"))?;
                    let old = self.applications.insert(id, said);
                    self.weigh(weight, [old, None]);
                }
                "add" => {
                    let path = text("path").ok_or_else(|| corrupt("a file has no path"))?;
                    let removed = self.removed.remove(&path);
                    let old = self.files.insert(path, said);
                    self.weigh(weight, [old, removed]);
                }
                "remove" => {
                    let path = text("path").ok_or_else(|| corrupt("a file has no path"))?;
                    let added = self.files.remove(&path);
                    let old = self.removed.insert(path, said);
                    self.weigh(weight, [old, added]);
                }
                _ => {}
            }
        }
        if self.bytes > STATE_BYTES_MAX {
            return Err(ServiceError::invalid(format!(
                "its log says more of files and applications than {STATE_BYTES_MAX} bytes: have the table compacted"
            )));
        }
        if self.applications.len() + self.files.len() + self.removed.len() > ACTIONS_MAX {
            return Err(ServiceError::invalid(format!(
                "its log has more than {ACTIONS_MAX} files and applications: have the table compacted"
            )));
        }
        Ok(())
    }

    fn weigh(&mut self, new: usize, gone: [Option<Value>; 2]) {
        let gone: usize = gone.iter().flatten().map(weight).sum();
        self.bytes = self.bytes.saturating_add(new).saturating_sub(gone);
    }
}

fn other_checkpoint() -> ServiceError {
    ServiceError::invalid(
        "its log begins with a checkpoint of the table feature 'v2Checkpoint', which cannot be read here",
    )
}

/// About so many bytes a value takes.
fn weight(value: &Value) -> usize {
    let within = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| NAME_BYTES + name.len() + weight(value)).sum()
        }
        _ => 0,
    };
    VALUE_BYTES + within
}

/// The lines of a version; those that say of files what becomes of them may be left out.
fn lines(bytes: &[u8], with_files: bool) -> impl Iterator<Item = &[u8]> {
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(move |line| {
        !line.is_empty() && (with_files || !OF_FILES.iter().any(|begin| line.starts_with(begin)))
    })
}

fn action(line: &[u8], version: i64) -> Done<Value> {
    let action: Result<Value, _> = serde_json::from_slice(line);
    action.map_err(|error| corrupt(format!("version {version} of its log is no JSON: {error}")))
}

/// The actions of a version that may not be there, but for those of files, and its digest.
pub(super) fn version(stores: &mut Stores, root: &str, version: i64) -> Done<Option<(Vec<Value>, Digest)>> {
    let bytes = stores.read(&version_address(root, version), VERSION_BYTES_MAX)?;
    let all = |bytes: Vec<u8>| {
        let actions: Done<Vec<Value>> = lines(&bytes, false).map(|line| action(line, version)).collect();
        Ok((actions?, digest(&bytes)))
    };
    bytes.map(all).transpose()
}

/// Whether a version is the one that was seen before, of the table with this id.
pub(super) fn is_same(
    stores: &mut Stores,
    root: &str,
    version: i64,
    (seen, id): (Option<Digest>, &Value),
) -> Done<bool> {
    let bytes = stores.read(&version_address(root, version), VERSION_BYTES_MAX)?;
    match bytes.map(|bytes| digest(&bytes)).zip(seen) {
        Some((found, seen)) => Ok(found == seen),
        // A checkpoint stands for it, or did.
        None => Ok(State::read_to(stores, root, false, version)?.metadata["id"] == *id),
    }
}

/// The last version that there is beyond one, or that one; none where the log no longer has it.
pub(super) fn last_from(stores: &mut Stores, root: &str, version: i64) -> Done<Option<i64>> {
    let own = format!("{version:0DIGITS$}");
    let names = stores.list(&folder(root), &own)?;
    // Its own file may be cleaned up, where a checkpoint stands for it.
    let rests = names.iter().filter_map(|name| name.strip_prefix(&own)?.strip_prefix('.'));
    if !rests.into_iter().any(|rest| rest == "json" || rest.starts_with("checkpoint.")) {
        return Ok(None);
    }
    let number = |name: &String| name.strip_suffix(".json").and_then(number);
    Ok(names.iter().filter_map(number).max().max(Some(version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Listed {
        listed(&names.iter().map(|name| name.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn the_last_whole_checkpoint_counts() {
        let found = names(&[
            "00000000000000000008.json",
            "00000000000000000009.checkpoint.0000000001.0000000002.parquet",
            "00000000000000000009.checkpoint.0000000002.0000000002.parquet",
            "00000000000000000009.json",
            "00000000000000000010.json",
            "00000000000000000011.checkpoint.0000000001.0000000002.parquet",
            "00000000000000000011.crc",
            "00000000000000000012.checkpoint.5d1e.parquet",
            "_last_checkpoint",
            "x.json",
        ]);
        assert_eq!(found.versions, [10]);
        let (version, parts) = found.checkpoint.unwrap();
        assert_eq!((version, parts.len()), (9, 2));
        let single = names(&["00000000000000000010.checkpoint.parquet", "00000000000000000010.json"]);
        assert_eq!((single.versions.len(), single.checkpoint.unwrap().0), (0, 10));
    }

    #[test]
    fn a_log_with_a_hole_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_str().unwrap().to_string();
        let mut stores = Stores::new(&os::Os::real(), &base::options::Options::default());
        assert_eq!(State::read(&mut stores, &root, true).unwrap().version, -1);
        let first = r#"{"protocol":{"minReaderVersion":1}}
{"metaData":{"id":"x"}}
{"add":{"path":"a"}}
{"txn":{"appId":"me","version":7}}"#;
        std::fs::create_dir(folder.path().join("_delta_log")).unwrap();
        let write = |version: i64, text: &str| {
            std::fs::write(version_address(&root, version), text).unwrap();
        };
        write(0, first);
        write(1, r#"{"remove":{"path":"a"}}"#);
        let state = State::read(&mut stores, &root, true).unwrap();
        assert_eq!((state.version, state.files.len(), state.removed.len()), (1, 0, 1));
        assert_eq!(state.applications["me"]["version"], 7);
        write(3, "{}");
        assert!(State::read(&mut stores, &root, false).unwrap_err().message.contains("version 2 is not"));
        write(2, "no json");
        assert!(State::read(&mut stores, &root, false).unwrap_err().message.contains("version 2 of its log"));
        write(2, "");
        assert_eq!(last_from(&mut stores, &root, 1).unwrap(), Some(3));
        // A hint that names nothing is passed over.
        std::fs::write(hint_address(&root), r#"{"version":2}"#).unwrap();
        assert_eq!(State::read(&mut stores, &root, false).unwrap().version, 3);
        let other = "00000000000000000002.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json";
        std::fs::write(below(&super::folder(&root), other), "{}").unwrap();
        assert_eq!(State::read(&mut stores, &root, false).unwrap().version, 3);
        std::fs::remove_file(version_address(&root, 0)).unwrap();
        let error = State::read(&mut stores, &root, false).unwrap_err();
        assert!(error.message.contains("'v2Checkpoint'"), "{error}");
        std::fs::remove_file(version_address(&root, 1)).unwrap();
        assert_eq!(last_from(&mut stores, &root, 1).unwrap(), None);
        // A log of nothing else is no missing table.
        for version in [2, 3] {
            std::fs::remove_file(version_address(&root, version)).unwrap();
        }
        let error = State::read(&mut stores, &root, false).unwrap_err();
        assert!(error.message.contains("'v2Checkpoint'"), "{error}");
    }

    #[test]
    fn what_a_state_takes_is_counted() {
        let mut state = State::default();
        let mut fold = |text: &str| {
            state.fold(serde_json::from_str(text).unwrap()).unwrap();
            state.bytes
        };
        let one = fold(r#"{"add":{"path":"a","stats":"0123456789"}}"#);
        assert!(one > 2 * NAME_BYTES + 10);
        assert_eq!(fold(r#"{"add":{"path":"a","stats":"0123456789"}}"#), one);
        assert!(fold(r#"{"remove":{"path":"a"}}"#) < one);
        assert_eq!(fold(r#"{"add":{"path":"a","stats":"0123456789"}}"#), one);
        state.bytes = STATE_BYTES_MAX;
        let more = serde_json::json!({"add": {"path": "b"}});
        assert!(state.fold(more).unwrap_err().message.contains("compacted"));
    }
}
