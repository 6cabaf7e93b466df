//! A node without its network: a log, jobs of SQL, and views over a topic of sales.
#![allow(dead_code, reason = "each test file uses its part")]

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use base::{Lsn, PartitionId};
use connectors::Connectors;
use dataflow::connector::ConnectorTable;
use eventlog::{Committer, EventLog, LogError, LogOptions, Recovery};
use kafka_wire::records::{BatchBuilder, Compression};
use os::Os;
use os::sim::SimOs;
use runtime::{JobOptions, JobRequest, JobState, Journal, Patience, Runtime};
use sql::session::{Outcome, Session, groups};
use sql::source::SourceText;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use views::{Fold, Follower, Scan, Snapshot, Standing, ViewDefinition, ViewKey, Views};

const TOPIC: &str = "sales";

/// Three views that must agree, of one job.
pub const SCRIPT: &str = "
CREATE TABLE sales (k STRING, n BIGINT) WITH (
  'connector' = 'kafka', 'topic' = 'sales', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset');
CREATE MATERIALIZED TABLE sums AS SELECT k, SUM(n) AS s, COUNT(*) AS c FROM sales GROUP BY k;
CREATE MATERIALIZED TABLE totals AS SELECT SUM(s) AS s, SUM(c) AS c FROM sums;
CREATE MATERIALIZED TABLE every_sale AS SELECT k, n FROM sales;
";

pub struct Node {
    pub os: Os,
    pub log: EventLog,
    pub runtime: Arc<Runtime>,
    pub views: Views,
    pub partition: PartitionId,
}

struct Standings(Arc<Runtime>);

impl views::Jobs for Standings {
    fn standing(&self, job: &str) -> Option<Standing> {
        let standing = self.0.standing(job)?;
        let stands = (!standing.state.is_active()).then(|| standing.state.name().to_lowercase());
        Some(Standing { finished: standing.state == JobState::Finished, taken: standing.taken, stands })
    }
}

impl Node {
    pub fn open(os: &Os, data: &Path, committer: Committer) -> (Node, Follower) {
        let options = LogOptions {
            file_bytes: 4 << 20,
            first_file_bytes: 64 << 10,
            retention_check_ms: 0,
            committer,
            ..LogOptions::new(data.join("log"))
        };
        let mut recovery = Recovery::open(os, options).unwrap();
        let journal = Journal::restore(recovery.checkpoint(runtime::journal::CHECKPOINT)).unwrap();
        recovery.replay(&mut |_, entry| journal.fold(&entry)).unwrap();
        let log = recovery.start(vec![(runtime::journal::CHECKPOINT, journal.clone())]).unwrap();
        let views = Views::new(os.clone(), Fold::default());
        let follower = Follower::open(log.clone(), views.clone()).unwrap();
        let runtime = match committer {
            Committer::Thread => Runtime::new(log.clone(), os.clone(), data.into(), journal),
            Committer::Manual => {
                let commits = log.clone();
                let patience: Patience = Arc::new(move |_| commits.commit_pending().is_ok());
                Runtime::without_threads(log.clone(), os.clone(), data.into(), journal, patience)
            }
        };
        let runtime = Arc::new(runtime);
        views.surround(log.clone(), Arc::new(Standings(runtime.clone())));
        if log.topic(TOPIC).is_none() {
            log.append::<_, LogError>(|frame| frame.create_topic(TOPIC, 1, BTreeMap::new()).map(drop))
                .unwrap();
        }
        let partition = log.topic(TOPIC).unwrap().partitions[0];
        (Node { os: os.clone(), log, runtime, views, partition }, follower)
    }

    pub fn connectors(&self) -> ConnectorTable {
        connectors::table(Connectors { os: self.os.clone(), log: Some(self.log.clone()) })
    }

    /// The job of a script, whose views are declared if they are not there.
    pub fn job(&self, script: &str) -> JobRequest {
        let source = SourceText::new("test.sql", script.to_string());
        let (statements, diagnostics) = sql::parser::parse_script(&source);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let mut session = Session::new(self.connectors());
        let mut job = None;
        for group in groups(&statements) {
            if let Outcome::Job(planned) = session.execute_group(group).unwrap() {
                job = Some(planned);
            }
        }
        let job = job.unwrap();
        let definition = |view: &sql::session::NewView| ViewDefinition {
            name: view.name.clone(),
            schema: view.schema.clone(),
            types: view.types.clone(),
            key: view.key.clone().map_or(ViewKey::Place, ViewKey::Columns),
            statement: view.statement.clone(),
            comment: None,
            job: job.name.clone(),
            topic: views::topic_of(&view.name).unwrap(),
        };
        let definitions: Vec<ViewDefinition> = job.views.iter().map(definition).collect();
        if self.log.topic(&definitions[0].topic).is_none() {
            views::declare(&self.log, &self.os, &definitions, false).unwrap();
        }
        JobRequest {
            name: job.name,
            plan: job.plan,
            fingerprint: job.fingerprint,
            connectors: self.connectors(),
            options: JobOptions {
                step_rows_max: 50,
                snapshot_steps_max: 7,
                background: false,
                ..JobOptions::default()
            },
            from_savepoint: None,
            late_rows_topic: None,
            observer: None,
        }
    }

    /// Appends sales in one frame; answers its place.
    pub fn sell(&self, sales: &[(String, i64)]) -> Lsn {
        let mut builder = BatchBuilder::new(Compression::None);
        for (key, n) in sales {
            let value = format!("{{\"k\":\"{key}\",\"n\":{n}}}");
            builder.append(1_700_000_000_000, None, Some(value.as_bytes()), &[]).unwrap();
        }
        let batch = builder.build().unwrap();
        let append = |frame: &mut eventlog::Frame<'_>| {
            frame.batch(self.partition, sales.len() as u32, 1_700_000_000_000, &batch)
        };
        self.log.append::<_, LogError>(append).unwrap().1
    }
}

pub fn rows(snapshot: &Snapshot, view: &str) -> Vec<RecordBatch> {
    let view = snapshot.view(view).unwrap();
    view.scan(&Scan::default(), 1000).unwrap().map(Result::unwrap).collect()
}

fn numbers(batch: &RecordBatch, column: usize) -> Vec<i64> {
    batch.column(column).as_primitive::<Int64Type>().iter().map(|value| value.unwrap()).collect()
}

/// Sum and count of the one row of `totals`; zeros before there is one.
pub fn totals(snapshot: &Snapshot) -> (i64, i64) {
    match rows(snapshot, "totals").first() {
        Some(batch) => (numbers(batch, 0)[0], numbers(batch, 1)[0]),
        None => (0, 0),
    }
}

/// By key, sum and count.
pub fn sums(snapshot: &Snapshot) -> BTreeMap<String, (i64, i64)> {
    let mut sums = BTreeMap::new();
    for batch in rows(snapshot, "sums") {
        let keys = batch.column(0).as_string::<i32>();
        for (row, (sum, count)) in numbers(&batch, 1).into_iter().zip(numbers(&batch, 2)).enumerate() {
            sums.insert(keys.value(row).to_string(), (sum, count));
        }
    }
    sums
}

/// The views agree with each other and with the query over the first sales, as many as they count.
pub fn check(snapshot: &Snapshot, sold: &[(String, i64)]) -> usize {
    let (total, count) = totals(snapshot);
    let taken = &sold[..count as usize];
    let mut wanted: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for (key, n) in taken {
        let entry = wanted.entry(key.clone()).or_default();
        *entry = (entry.0 + n, entry.1 + 1);
    }
    assert_eq!(sums(snapshot), wanted, "lsn={}", snapshot.lsn());
    assert_eq!(total, taken.iter().map(|(_, n)| n).sum::<i64>());
    let mut every: Vec<(String, i64)> = Vec::new();
    for batch in rows(snapshot, "every_sale") {
        let keys = batch.column(0).as_string::<i32>();
        every.extend(
            numbers(&batch, 1).into_iter().enumerate().map(|(row, n)| (keys.value(row).to_string(), n)),
        );
    }
    assert_eq!(every, taken);
    count as usize
}

pub fn simulated(seed: u64) -> SimOs {
    SimOs::new(seed)
}
