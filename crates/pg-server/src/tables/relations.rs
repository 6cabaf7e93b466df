//! What can be asked: the topics and the views that there are, by name and by number.

use super::topic::topic_schema;
use crate::catalog;
use arrow_schema::SchemaRef;
use eventlog::{EventLog, Topic};
use std::sync::Arc;
use views::{View, ViewDefinition, ViewKey, Views};

/// The schemas; the one of each kind.
pub const PUBLIC: &str = "public";
pub const TOPICS: &str = "topics";

/// Numbers below are PostgreSQL's own.
const FIRST_OID: u32 = 16_384;
/// Those of views are behind those of topics.
const VIEWS_OID: u32 = 0x3000_0000;

#[derive(Clone)]
pub enum RelationKind {
    Topic(Arc<Topic>),
    View(Arc<ViewDefinition>),
}

#[derive(Clone)]
pub struct Relation {
    pub name: String,
    pub oid: u32,
    pub columns: SchemaRef,
    /// Places of the columns of the primary key.
    pub key: Vec<usize>,
    pub kind: RelationKind,
}

impl Relation {
    pub fn schema_name(&self) -> &'static str {
        match self.kind {
            RelationKind::Topic(_) => TOPICS,
            RelationKind::View(_) => PUBLIC,
        }
    }

    /// The name whose READ right it takes.
    pub fn right(&self) -> &str {
        &self.name
    }
}

/// Finds relations as the log has them now.
#[derive(Clone)]
pub struct Relations {
    pub log: EventLog,
    pub views: Option<Views>,
}

impl std::fmt::Debug for Relations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Relations")
    }
}

impl Relations {
    pub fn topic(&self, name: &str) -> Option<Relation> {
        let topic = self.log.topic(name)?;
        (!topic.internal).then(|| of_topic(topic))
    }

    /// By name, in the schema or where a search comes to it first.
    pub fn find(&self, schema: Option<&str>, name: &str) -> Option<Relation> {
        match schema {
            None if catalog::has(name) => None,
            None => self.view(name).or_else(|| self.topic(name)),
            Some(PUBLIC) => self.view(name),
            Some(TOPICS) => self.topic(name),
            Some(_) => None,
        }
    }

    pub fn view(&self, name: &str) -> Option<Relation> {
        let snapshot = self.views.as_ref()?.snapshot();
        snapshot.view(name).ok().map(of_view)
    }

    pub fn all_views(&self) -> Vec<String> {
        let snapshot = self.views.as_ref().map(Views::snapshot);
        snapshot.iter().flat_map(|snapshot| snapshot.views()).map(|view| view.name().to_string()).collect()
    }

    /// Another one whenever a relation has come, gone or got other columns.
    pub fn version(&self) -> (u64, u64) {
        let views = self.views.as_ref().map_or(0, |views| views.snapshot().catalog_version());
        (self.log.topics_version(), views)
    }

    /// All of them, in the order of schemas and names.
    pub fn all(&self) -> Vec<Relation> {
        let mut topics: Vec<Relation> =
            self.log.topics().into_iter().filter(|topic| !topic.internal).map(of_topic).collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        let snapshot = self.views.as_ref().map(Views::snapshot);
        let views = snapshot.iter().flat_map(|snapshot| snapshot.views()).map(of_view);
        views.chain(topics).collect()
    }
}

fn of_view(view: &View) -> Relation {
    let definition = view.definition();
    Relation {
        name: definition.name.clone(),
        oid: VIEWS_OID + number_of(&definition.name),
        columns: definition.schema.clone(),
        key: match &definition.key {
            ViewKey::Columns(columns) => columns.clone(),
            ViewKey::Place => Vec::new(),
        },
        kind: RelationKind::View(definition.clone()),
    }
}

/// Of 28 bits, from the name: a view keeps its number when the node starts again.
fn number_of(name: &str) -> u32 {
    crc32c::crc32c(name.as_bytes()) >> 4
}

fn of_topic(topic: Arc<Topic>) -> Relation {
    // Numbers of partitions are never used twice.
    let first = topic.partitions.first().map_or(0, |partition| partition.0);
    Relation {
        name: topic.name.clone(),
        oid: FIRST_OID.saturating_add(first),
        columns: topic_schema(),
        key: vec![0, 1],
        kind: RelationKind::Topic(topic),
    }
}
