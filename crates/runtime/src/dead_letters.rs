//! Dead letters: what a sink's target refused, with the reason, in a topic of the user's.

use crate::error::RuntimeError;
use crate::job::Wakeup;
use crate::outputs::{TopicWanted, create_topics};
use crate::{patience, topics};
use base::{ErrorKind, Lsn, PartitionId};
use dataflow::plan::{NodeKind, Plan};
use dataflow::sink::SinkError;
use dataflow::source::Rejected;
use eventlog::{EventLog, Topic};
use kafka_wire::records::{BatchBuilder, Compression};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The option of a table, whatever its connector.
const OPTION: &str = "dead-letter.topic";

/// A batch of several is not larger.
const BATCH_BYTES_WANTED: usize = 768 << 10;

/// The topics to which a plan's tables put aside what they cannot read, or what their targets refuse.
pub(crate) fn topics_of(plan: &Plan) -> BTreeSet<String> {
    let tables = plan.nodes.iter().filter_map(|node| match &node.kind {
        NodeKind::Scan { table, .. } | NodeKind::Sink { table } => table.options.get(OPTION).cloned(),
        _ => None,
    });
    tables.collect()
}

/// What the operator should know of topics that are there and do not keep letters.
pub(crate) fn warnings(log: &EventLog, plan: &Plan) -> Vec<String> {
    let topics = topics_of(plan).into_iter().filter_map(|name| log.topic(&name));
    let warning = |topic: Arc<Topic>| {
        let (name, config) = (&topic.name, &topic.config);
        let (kept, setting) = match config.retention_ms.filter(|_| config.cleanup_delete) {
            Some(ms) => (
                format!(
                    "retention.ms={ms}: letters have the times of their records, so those of older records are gone at once"
                ),
                "retention.ms=-1",
            ),
            None if config.cleanup_compact => (
                "cleanup.policy=compact: of the letters with one key the last one stays".to_string(),
                "cleanup.policy=delete",
            ),
            None => return None,
        };
        Some(format!(
            "topic '{name}' takes dead letters and has {kept}; kafka-configs.sh --alter --entity-type topics --entity-name \
             {name} --add-config {setting} keeps them"
        ))
    };
    topics.filter_map(warning).collect()
}

/// Appends them to the first partitions of their topics, which are created on first use; none if the job stops while
/// the log takes nothing.
pub(crate) fn append(
    log: &EventLog,
    wakeup: &Wakeup,
    stopped: &AtomicBool,
    rejected: &[Rejected],
) -> Result<Option<Lsn>, RuntimeError> {
    let mut by_topic: BTreeMap<&str, Vec<&Rejected>> = BTreeMap::new();
    for one in rejected {
        by_topic.entry(&one.topic).or_default().push(one);
    }
    let mut batches: Vec<(PartitionId, u32, i64, bytes::Bytes)> = Vec::new();
    for (topic, letters) in by_topic {
        create_topics(log, &[TopicWanted::letters(topic.to_string())])?;
        let partition = topics::partitions(log, topic)?[0];
        let mut rest = letters.into_iter().peekable();
        while rest.peek().is_some() {
            let mut builder = BatchBuilder::new(Compression::None);
            let mut latest_ms = i64::MIN;
            while let Some(one) = rest.next_if(|one| {
                let bytes = one.value.as_ref().map_or(0, Vec::len) + one.key.as_ref().map_or(0, Vec::len);
                builder.is_empty() || builder.size_bytes() + bytes <= BATCH_BYTES_WANTED
            }) {
                let headers =
                    [("origin", Some(one.origin.as_bytes())), ("reason", Some(one.reason.as_bytes()))];
                builder
                    .append(one.timestamp_ms, one.key.as_deref(), one.value.as_deref(), &headers)
                    .map_err(|error| invalid(topic, &error))?;
                latest_ms = latest_ms.max(one.timestamp_ms);
            }
            let records = builder.count() as u32;
            batches.push((
                partition,
                records,
                latest_ms,
                builder.build().map_err(|error| invalid(topic, &error))?,
            ));
        }
    }
    patience::append(log, wakeup, stopped, |frame| {
        for (partition, records, latest_ms, bytes) in &batches {
            frame.batch(*partition, *records, *latest_ms, bytes)?;
        }
        Ok(())
    })
}

fn invalid(topic: &str, error: &kafka_wire::records::RecordsError) -> RuntimeError {
    let message = format!("dead letters for topic '{topic}' cannot be kept: {error}");
    RuntimeError::Sink(SinkError { kind: ErrorKind::Invalid, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::{Schema, SchemaRef};
    use dataflow::plan::{Changelog, Node};
    use dataflow::table::TableDefinition;
    use eventlog::{Committer, LogOptions, Recovery};
    use os::sim::SimOs;

    #[test]
    fn topics_that_do_not_keep_letters_are_named() {
        let os = SimOs::new(1).os();
        let options = LogOptions { committer: Committer::Manual, ..LogOptions::new("/log") };
        let log = Recovery::open(&os, options).unwrap().start(Vec::new()).unwrap();
        let topic = |name: &str, configs: &[(&str, &str)]| {
            let configs = configs.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string()));
            log.append(|frame| frame.create_topic(name, 1, configs.collect()).map(drop)).unwrap();
        };
        topic("week", &[("retention.ms", "604800000")]);
        topic("last", &[("cleanup.policy", "compact")]);
        topic("kept", &[("retention.ms", "-1"), ("retention.bytes", "1000000000")]);
        let sink = |name: &str| {
            let schema: SchemaRef = Arc::new(Schema::empty());
            let table = Arc::new(TableDefinition {
                name: name.into(),
                schema: schema.clone(),
                metadata: Vec::new(),
                primary_key: Vec::new(),
                partition_keys: Vec::new(),
                options: BTreeMap::from([(OPTION.to_string(), name.to_string())]),
            });
            let changelog = Changelog::Insert;
            Node {
                kind: NodeKind::Sink { table },
                inputs: vec![],
                schema,
                changelog,
                hinted_ttls_ms: [None; 2],
            }
        };
        let nodes = ["week", "last", "kept", "comes with the first letter"].map(sink).to_vec();
        let plan = Plan { nodes, ..Plan::default() };
        let warnings = warnings(&log, &plan);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].contains("'last'") && warnings[0].contains("the last one stays"), "{warnings:?}");
        assert!(
            warnings[1].contains("'week'") && warnings[1].contains("retention.ms=604800000"),
            "{warnings:?}"
        );
        log.shutdown().unwrap();
    }

    #[test]
    fn letters_of_old_records_outlive_retention() {
        let os = SimOs::new(1).os();
        let options = LogOptions { committer: Committer::Manual, ..LogOptions::new("/log") };
        let log = Recovery::open(&os, options).unwrap().start(Vec::new()).unwrap();
        log.allow_removal();
        let letter = Rejected {
            topic: "letters".into(),
            origin: "outbox".into(),
            key: None,
            value: Some(b"1970".to_vec()),
            timestamp_ms: 0,
            reason: "refused".into(),
        };
        append(&log, &Wakeup::default(), &AtomicBool::new(false), &[letter]).unwrap().unwrap();
        log.commit_pending().unwrap();
        log.enforce_retention(1_800_000_000_000).unwrap();
        let partition = log.topic("letters").unwrap().partitions[0];
        assert_eq!(log.bounds(partition).unwrap().log_start.0, 0);
        log.shutdown().unwrap();
    }
}
