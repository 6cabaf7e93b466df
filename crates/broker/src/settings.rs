//! Settings of the node that change while it runs, and the log records they are a fold of (ADR 0013).
//!
//! As in Kafka there are two sets: of this node by its id, and of all nodes, which here is the same one. What is set
//! there goes before what the node was started with; removing it brings that back.

use crate::config::{BROKER_OPTIONS, BrokerConfig};
use crate::sync::lock;
use crate::topic_defaults;
use base::codec::{CodecError, FieldReader, FieldWriter};
use base::options::Options;
use eventlog::{Entry, Fold, Layer};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The name under which the log keeps the checkpoints.
pub const SETTINGS_LAYER: &str = "settings";

/// Those of our settings that Kafka's brokers change while they run, but for the defaults of topics.
const OF_NODE: [&str; 7] = [
    "log.cleaner.backoff.ms",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.io.max.bytes.per.second",
    "log.cleaner.threads",
    "max.connections",
    "max.connections.per.ip",
    "producer.id.expiration.ms",
];

/// Those that are only changed for one node.
const OF_THIS_NODE: [&str; 1] = ["sasl.kerberos.min.time.before.relogin"];

const CHECKPOINT_VERSION: u8 = 1;
const SETTINGS_REPLACED: u8 = 1;
/// Two lengths.
const PAIR_BYTES_MIN: usize = 8;

/// Which set a setting is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    AllNodes,
    ThisNode,
}

impl Scope {
    fn number(self) -> u8 {
        self as u8
    }

    fn from_number(number: u8) -> Option<Scope> {
        [Scope::AllNodes, Scope::ThisNode].into_iter().find(|scope| scope.number() == number)
    }
}

pub type Given = BTreeMap<String, String>;

/// What one log record changes: a whole set is replaced, so that a record may be applied twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsChange {
    pub scope: Scope,
    pub given: Given,
}

impl SettingsChange {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.u8(SETTINGS_REPLACED).u8(self.scope.number());
        put_given(&mut out, &self.given);
        out.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<SettingsChange, CodecError> {
        let mut reader = FieldReader::new(bytes);
        if reader.u8()? != SETTINGS_REPLACED {
            return Err(CodecError { what: "an unknown kind of change to the node's settings" });
        }
        let scope = Scope::from_number(reader.u8()?);
        let scope = scope.ok_or(CodecError { what: "an unknown set of the node's settings" })?;
        let given = given(&mut reader)?;
        reader.finish()?;
        Ok(SettingsChange { scope, given })
    }
}

fn put_given(out: &mut FieldWriter, given: &Given) {
    out.u32(u32::try_from(given.len()).unwrap_or(u32::MAX));
    given.iter().for_each(|(key, value)| {
        out.text(key).text(value);
    });
}

fn given(reader: &mut FieldReader<'_>) -> Result<Given, CodecError> {
    let count = reader.count(PAIR_BYTES_MIN)?;
    (0..count).map(|_| Ok((reader.text()?, reader.text()?))).collect()
}

/// Whether the setting changes while the node runs.
pub fn is_changeable(key: &str) -> bool {
    OF_NODE.contains(&key) || OF_THIS_NODE.contains(&key) || topic_defaults::is_changeable(key)
}

/// Why these settings cannot be in force.
pub fn check(scope: Scope, given: &Given) -> Result<(), String> {
    if let Some(key) = given.keys().find(|key| !is_changeable(key)) {
        let shown = crate::security::shown(key);
        return Err(match BROKER_OPTIONS.iter().any(|spec| spec.key == key) {
            true => format!(
                "Cannot update these configs dynamically: [{shown}]; start the node with --set {shown}=VALUE, or with \
                 the line in the file of --config"
            ),
            false => unknown(key),
        });
    }
    if let Some(key) =
        given.keys().find(|key| scope == Scope::AllNodes && OF_THIS_NODE.contains(&key.as_str()))
    {
        return Err(format!(
            "Cannot update these configs at default cluster level, broker id must be specified: [{key}]"
        ));
    }
    let checked = Options::check(given, BROKER_OPTIONS);
    checked
        .map(|_| ())
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

fn unknown(key: &str) -> String {
    let nearest = base::nearest(key, BROKER_OPTIONS.iter().map(|spec| spec.key));
    let hint = nearest.map(|nearest| format!("; did you mean '{nearest}'?")).unwrap_or_default();
    format!("'{}' is no setting of the node{hint}", crate::security::shown(key))
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    all_nodes: Given,
    this_node: Given,
}

impl Settings {
    /// From the last checkpoint, if there is one.
    pub fn restore(bytes: Option<&[u8]>) -> Result<Settings, CodecError> {
        let Some(bytes) = bytes else { return Ok(Settings::default()) };
        let mut reader = FieldReader::new(bytes);
        if reader.u8()? != CHECKPOINT_VERSION {
            return Err(CodecError { what: "a checkpoint of the node's settings from a newer version" });
        }
        let settings = Settings { all_nodes: given(&mut reader)?, this_node: given(&mut reader)? };
        reader.finish()?;
        Ok(settings)
    }

    fn checkpoint(&self) -> Vec<u8> {
        let mut out = FieldWriter::new();
        out.u8(CHECKPOINT_VERSION);
        put_given(&mut out, &self.all_nodes);
        put_given(&mut out, &self.this_node);
        out.finish()
    }

    pub fn given(&self, scope: Scope) -> &Given {
        match scope {
            Scope::AllNodes => &self.all_nodes,
            Scope::ThisNode => &self.this_node,
        }
    }

    /// What the node was started with, and over it what was changed since. What another version took and this one
    /// does not is left out.
    pub fn in_force(&self, started_with: &BrokerConfig) -> BrokerConfig {
        let mut given = started_with.given.clone();
        for set in [&self.all_nodes, &self.this_node] {
            let known = set.iter().filter(|(key, _)| is_changeable(key));
            given.extend(known.map(|(key, value)| (key.clone(), value.clone())));
        }
        loop {
            let errors = match BrokerConfig::check(&given) {
                Ok(config) => {
                    return BrokerConfig {
                        log_directory: started_with.log_directory.clone(),
                        connections_max: config.connections_max.min(started_with.connections_fit),
                        connections_fit: started_with.connections_fit,
                        ..config
                    };
                }
                Err(errors) => errors,
            };
            for key in errors.iter().map(|error| error.key()) {
                match started_with.given.get(key) {
                    Some(value) => given.insert(key.to_string(), value.clone()),
                    None => given.remove(key),
                };
            }
            if given == started_with.given {
                return started_with.clone();
            }
        }
    }
}

/// The settings as the log and the APIs share them. Lock order: the log's append lock first.
#[derive(Debug, Default)]
pub struct SharedSettings(Mutex<Arc<Settings>>);

impl SharedSettings {
    pub fn new(settings: Settings) -> SharedSettings {
        SharedSettings(Mutex::new(Arc::new(settings)))
    }

    pub fn current(&self) -> Arc<Settings> {
        lock(&self.0).clone()
    }

    pub fn apply(&self, change: SettingsChange) {
        let mut settings = lock(&self.0);
        let settings = Arc::make_mut(&mut settings);
        match change.scope {
            Scope::AllNodes => settings.all_nodes = change.given,
            Scope::ThisNode => settings.this_node = change.given,
        }
    }

    /// Takes an entry of the replay; entries of other layers do nothing.
    pub fn replay(&self, entry: &Entry<'_>) -> Result<(), CodecError> {
        if let Entry::Layer { layer: Layer::SETTINGS, bytes } = entry {
            self.apply(SettingsChange::decode(bytes)?);
        }
        Ok(())
    }
}

impl Fold for SharedSettings {
    fn checkpoint(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.current().checkpoint());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Given {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    #[test]
    fn the_nearest_setting_is_in_force() {
        let config = BrokerConfig::check(&pairs(&[("max.connections", "7")])).unwrap();
        let shared = SharedSettings::default();
        let in_all = |shared: &SharedSettings| shared.current().in_force(&config).connections_max;
        assert_eq!(in_all(&shared), 7);
        for (scope, value, wanted) in [(Scope::AllNodes, "8", 8), (Scope::ThisNode, "9", 9)] {
            shared.apply(SettingsChange { scope, given: pairs(&[("max.connections", value)]) });
            assert_eq!(in_all(&shared), wanted);
        }
        let current = shared.current();
        assert_eq!(Settings::restore(Some(&current.checkpoint())).unwrap(), *current);
        shared.apply(SettingsChange { scope: Scope::ThisNode, given: Given::new() });
        assert_eq!(in_all(&shared), 8);
    }

    #[test]
    fn no_more_connections_are_taken_than_open_files_allow() {
        let mut config = BrokerConfig::default();
        config.fit_open_files(Some(2_000));
        let shared = SharedSettings::default();
        for (value, wanted) in [("1000000", 1_488), ("1488", 1_488), ("9", 9)] {
            let given = pairs(&[("max.connections", value)]);
            shared.apply(SettingsChange { scope: Scope::ThisNode, given });
            assert_eq!(shared.current().in_force(&config).connections_max, wanted);
        }
    }

    #[test]
    fn what_another_version_took_is_left_out() {
        let config = BrokerConfig::check(&pairs(&[("max.connections", "7")])).unwrap();
        let shared = SharedSettings::default();
        let given = pairs(&[
            ("max.connections", "none"),
            ("node.id", "5"),
            ("of.tomorrow", "1"),
            ("max.connections.per.ip", "3"),
        ]);
        shared.apply(SettingsChange { scope: Scope::ThisNode, given });
        let in_force = shared.current().in_force(&config);
        assert_eq!((in_force.connections_max, in_force.node_id), (7, config.node_id));
        assert_eq!(in_force.security.connections_per_address_max, 3);
    }

    #[test]
    fn those_that_change_are_settings() {
        for key in OF_NODE.iter().chain(&OF_THIS_NODE) {
            assert!(BROKER_OPTIONS.iter().any(|spec| spec.key == *key), "{key}");
        }
    }

    #[test]
    fn damaged_records_are_refused() {
        let change = SettingsChange { scope: Scope::ThisNode, given: pairs(&[("max.connections", "9")]) };
        let bytes = change.encode();
        assert_eq!(SettingsChange::decode(&bytes).unwrap(), change);
        for length in 0..bytes.len() {
            assert!(SettingsChange::decode(&bytes[..length]).is_err(), "{length}");
        }
    }
}
