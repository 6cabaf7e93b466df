//! Who asks, with which settings, and what they see.

use crate::error::PgError;
use crate::settings::Settings;
use crate::tables::{Places, Relation, Relations};
use broker::security::{Operation, ResourceType, Visitor};
use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::error::{DataFusionError, Result};
use eventlog::EventLog;
use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What a session has that its queries ask for.
#[derive(Debug, Clone)]
pub struct Session {
    pub user: String,
    pub database: String,
    pub version: String,
    pub process: u32,
    pub settings: Settings,
}

impl Session {
    pub(super) fn setting(&self, name: &str) -> std::result::Result<String, PgError> {
        self.settings.get(name)
    }
}

/// Where each partition ends for those who see one snapshot. An end is found when it is first asked for, and stays.
#[derive(Debug, Default)]
pub struct Ends(Mutex<HashMap<base::PartitionId, i64>>);

impl Ends {
    /// All partitions that there are, as they are now.
    pub fn of_all(log: &EventLog) -> Ends {
        let mut ends = HashMap::new();
        for topic in log.topics() {
            for partition in &topic.partitions {
                if let Ok(end) = log.last_stable_offset(*partition) {
                    ends.insert(*partition, end.0);
                }
            }
        }
        Ends(Mutex::new(ends))
    }

    pub(crate) fn end(
        &self,
        log: &EventLog,
        partition: base::PartitionId,
    ) -> std::result::Result<i64, PgError> {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(end) = ends.get(&partition) {
            return Ok(*end);
        }
        let end = log.last_stable_offset(partition)?.0;
        ends.insert(partition, end);
        Ok(end)
    }
}

/// One query's view of the node; goes along with its plan.
pub struct Scope {
    pub visitor: Visitor,
    pub ends: Arc<Ends>,
    /// All views at one step.
    pub views: Option<views::Snapshot>,
    pub places: Places,
    pub database: String,
}

impl Scope {
    pub fn may_read(&self, topic: &str) -> bool {
        may_read(&self.visitor, topic)
    }
}

pub(super) fn may_read(visitor: &Visitor, topic: &str) -> bool {
    visitor.may(Operation::Read, ResourceType::Topic, topic)
}

/// Who asks, for the functions of a query: they get its options and not its scope.
#[derive(Clone)]
pub(super) struct Asker(pub Visitor);

impl std::fmt::Debug for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asker")
    }
}

impl ConfigExtension for Asker {
    const PREFIX: &'static str = "asker";
}

impl ExtensionOptions for Asker {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _: &str) -> Result<()> {
        Err(DataFusionError::Configuration(format!("{key} cannot be set")))
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

/// The relations that who asks may read; none where nobody is known to ask.
pub(crate) fn readable(options: &ConfigOptions, relations: &Relations) -> Vec<Relation> {
    let Some(Asker(visitor)) = options.extensions.get::<Asker>() else { return Vec::new() };
    let mut all = relations.all();
    all.retain(|relation| may_read(visitor, relation.right()));
    all
}
