//! The stage that has a real Prometheus scrape a node while clients and jobs are at work.
//!
//! What was done is known, so that what Prometheus says can be: some queries must give one number, every query of every
//! board must give something, and the rules must be accepted, pass their own tests, and not fire without a cause.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use kafka_client::{Client, OffsetToCommit, TransactionalProducer};
use kafka_wire::records::{BatchBuilder, Compression};
use os::Os;
use os::http::{Request, exchange};

use crate::counts::Counts;
use crate::dashboards::{self, BOARDS};
use crate::process::Server;
use crate::prometheus::{Prometheus, Sample, promtool};
use crate::queue::Queue;
use crate::{node, peers, places};

const SQL: &str = "tests/metrics/job.sql";
pub(super) const RULES: &str = "deploy/prometheus/rules.yml";
const RULES_TEST: &str = "deploy/prometheus/rules_test.yml";
const START_LIMIT: Duration = Duration::from_secs(60);
/// Prometheus scrapes every second; a busy machine takes longer.
const SEEN_LIMIT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(100);
const WAIT: Duration = Duration::from_secs(60);

/// Records of each of the two bursts into `orders`.
const BURST: i64 = 16;

/// What the queries of these panels give may be nothing but zeros when all is well.
const QUIET: &[&str] = &[
    "Log-ins that fail",
    "Members",
    "Records ahead in the sources",
    "Appended and not yet durable",
    "Failures and restarts",
    "Failures of outside targets",
    "Trouble",
    "Retention and compaction",
    "Compaction",
    "Outside targets behind their outbox",
    "Rows that wait for outside targets",
    "Views: behind their topics",
    "Views: reads by queries",
];

/// Alerts for which there is a cause.
const CAUSED: &[&str] = &["EventwrightDeadLetters", "EventwrightJobDropsRecords"];

/// What was done, in Prometheus' words.
const EXPECTED: &[(&str, f64)] = &[
    ("up", 1.0),
    ("eventwright_topic_appended_records_total{topic=\"orders\"}", 34.0),
    ("kafka_server_brokertopicmetrics_messagesin_total{topic=\"orders\"}", 34.0),
    ("kafka_topic_partition_current_offset{topic=\"orders\",partition=\"0\"}", 34.0),
    ("sum(eventwright_group_lag_records{group=\"billing\"})", 14.0),
    ("kafka_consumergroup_lag{consumergroup=\"billing\",topic=\"orders\"}", 14.0),
    ("kafka_consumergroup_current_offset{consumergroup=\"billing\"}", 20.0),
    ("eventwright_group_lag_seconds{group=\"billing\"} > bool 0", 1.0),
    ("eventwright_groups{type=\"classic\",state=\"Empty\"}", 1.0),
    ("eventwright_share_group_delivered_records_total{group=\"queue\"}", 4.0),
    ("eventwright_share_group_accepted_records_total{group=\"queue\"}", 1.0),
    ("eventwright_share_group_released_records_total{group=\"queue\"}", 1.0),
    ("eventwright_share_group_rejected_records_total{group=\"queue\"}", 1.0),
    ("eventwright_share_group_dead_letters_total{group=\"queue\"}", 1.0),
    ("eventwright_share_group_locked_records{group=\"queue\"}", 1.0),
    ("eventwright_share_group_lag_records{group=\"queue\"}", 2.0),
    ("eventwright_topic_appended_records_total{topic=\"dlq.tasks\"}", 1.0),
    ("eventwright_transactions_open", 1.0),
    ("eventwright_transactions_committed_total", 2.0),
    ("eventwright_transactions_oldest_age_seconds > bool 0", 1.0),
    (
        "eventwright_kafka_request_errors_total{api=\"Metadata\",error=\"UNKNOWN_TOPIC_OR_PARTITION\"} > bool 0",
        1.0,
    ),
    ("kafka_network_requestmetrics_requests_total{request=\"EndTxn\"}", 2.0),
    ("eventwright_kafka_connections > bool 0", 1.0),
    ("eventwright_job_state{job_name=\"sums\",state=\"RUNNING\"}", 1.0),
    ("sum(eventwright_jobs{state=\"RUNNING\"})", 3.0),
    ("eventwright_view_stands{view=\"customers\"}", 0.0),
    ("eventwright_view_lag_records{view=\"customers\"}", 0.0),
    ("eventwright_job_rows_in_total{job_name=\"copies\"}", 33.0),
    ("eventwright_job_rows_out_total{job_name=\"copies\"}", 33.0),
    ("eventwright_job_late_rows_total{job_name=\"sums\"}", 1.0),
    ("eventwright_job_dead_letters_total{job_name=\"sums\"}", 1.0),
    ("eventwright_job_restarts_total{job_name=\"sums\"}", 0.0),
    ("max(flink_taskmanager_job_task_operator_numRecordsOut{job_name=\"copies\"})", 33.0),
    ("max(eventwright_job_vertex_rows_in_total{job_name=\"copies\"})", 33.0),
    ("flink_jobmanager_numRunningJobs", 3.0),
    ("eventwright_job_watermark_delay_seconds{job_name=\"sums\"} > bool 0", 1.0),
    ("eventwright_log_fenced", 0.0),
    ("eventwright_log_unsynced_bytes", 0.0),
    ("sum(eventwright_log_sync_seconds_count) > bool 0", 1.0),
    ("eventwright_metrics_left_out_values", 0.0),
];

/// Counts one check for each query, each rule that Prometheus loaded, and each run of promtool.
pub fn run() -> Result<Counts> {
    peers::install(&["debian".to_owned()])?;
    let mut checks = Checks::default();
    let in_checkout = |path: &str| places::root().join(path).display().to_string();
    for arguments in [["check", "rules", &in_checkout(RULES)], ["test", "rules", &in_checkout(RULES_TEST)]] {
        let (well, said) = promtool(&arguments, None)?;
        checks.check(&format!("promtool {} {}", arguments[0], arguments[1]), (!well).then_some(said));
    }
    let folder = tempfile::tempdir()?;
    let site = Site::start(folder.path(), SQL)?;
    let prometheus = Prometheus::start(folder.path(), &site.http, &places::root().join(RULES))?;
    let mut client = Client::connect(&site.kafka, "metrics")?;
    let _open = site.work(&mut client, &prometheus)?;
    for (expression, expected) in EXPECTED {
        let found = await_value(&prometheus, expression, *expected)?;
        checks.check(expression, found.map(|found| format!("gives {found:?} instead of {expected}")));
    }
    check_boards(&prometheus, &mut checks)?;
    for (name, health, state) in prometheus.rules()? {
        let wrong = health == "err" || (state == "firing" && !CAUSED.contains(&name.as_str()));
        checks.check(&format!("rule {name}"), wrong.then(|| format!("health={health} state={state}")));
    }
    checks.check("promtool check metrics", lint(&site, folder.path())?);
    Ok(checks.counts)
}

#[derive(Default)]
struct Checks {
    counts: Counts,
}

impl Checks {
    fn check(&mut self, name: &str, differs: Option<String>) {
        match differs {
            None => self.counts.pass(),
            Some(what) => self.counts.fail(format!("metrics: {name}: {what}")),
        }
    }
}

/// A run of the SQL file, which is a node too.
pub(super) struct Site {
    _server: Server,
    kafka: String,
    pub http: String,
}

impl Site {
    pub fn start(folder: &Path, sql: &str) -> Result<Site> {
        let data = folder.join("data");
        let program = node::command()?.get_program().to_owned();
        let mut command = Command::new("sh");
        // The addresses are told on standard error.
        command.current_dir(folder).args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(program).arg("run");
        command.arg(places::root().join(sql)).args(["--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.args(["--snapshot-steps", "1", "--data"]).arg(&data);
        let address = |line: &str| line.strip_prefix("http listening on ").map(str::to_owned);
        let (server, http) = Server::start(&mut command, &folder.join("node.log"), START_LIMIT, address)?;
        let text = std::fs::read_to_string(data.join("node.json"))?;
        let addresses: serde_json::Value = serde_json::from_str(&text)?;
        let kafka = addresses["kafka"].as_str().context("the node's address")?.to_owned();
        Ok(Site { _server: server, kafka, http })
    }

    /// Everything that [`EXPECTED`] speaks of; what it answers keeps a transaction open.
    fn work(&self, client: &mut Client, prometheus: &Prometheus) -> Result<TransactionalProducer> {
        let topics: [(&str, &[(&str, &str)]); 3] = [
            ("tasks", &[]),
            ("ledger", &[]),
            ("dlq.tasks", &[("errors.deadletterqueue.group.enable", "true")]),
        ];
        for (topic, config) in topics {
            client.create_topic(topic, 1, 1, config)?;
        }
        // The jobs have made their topic when they run.
        seen(prometheus, "sum(eventwright_jobs{state=\"RUNNING\"})", 3.0)?;
        let begun_ms = now_ms() - 60_000;
        let mut committed = TransactionalProducer::new(self.client()?, "done", WAIT)?;
        for burst in 0..2 {
            let order = |number: i64| {
                let id = burst * BURST + number;
                (
                    begun_ms + id * 1_000,
                    format!("{{\"id\": {id}, \"customer\": \"c{}\", \"amount\": {id}}}", id % 3),
                )
            };
            produce(client, "orders", (0..BURST).map(order))?;
            client.fetch("orders", 0, 0, 1 << 20, WAIT)?;
            client.metadata(Some(&["nothing"]))?;
            client.offset_commit("billing", &[offset("orders", 10 + 10 * burst)])?;
            committed.write("ledger", 0, now_ms(), &["x".to_owned()])?;
            committed.commit()?;
            // Prometheus has to have seen a number grow before it gives a rate.
            let records = (burst + 1) * BURST;
            seen(prometheus, "eventwright_topic_appended_records_total{topic=\"orders\"}", records as f64)?;
            seen(prometheus, "eventwright_job_rows_in_total{job_name=\"sums\"}", records as f64)?;
            if burst == 0 {
                self.take_tasks(client, prometheus)?;
            }
        }
        let late = (begun_ms - 3_600_000, "{\"id\": 99, \"customer\": \"c0\", \"amount\": 1}".to_owned());
        produce(client, "orders", [late, (now_ms(), "no JSON".to_owned())].into_iter())?;
        let mut open = TransactionalProducer::new(self.client()?, "open", Duration::from_secs(600))?;
        open.write("ledger", 0, now_ms(), &["y".to_owned()])?;
        Ok(open)
    }

    fn client(&self) -> Result<Client> {
        Ok(Client::connect(&self.kafka, "metrics")?)
    }

    /// Of four records, one is accepted, one given back, one rejected, and one locked.
    fn take_tasks(&self, client: &mut Client, prometheus: &Prometheus) -> Result<()> {
        let queue = Queue { group: "queue", topic: "tasks" };
        let set =
            // One lock must last until it has been seen: the longest that there may be.
            [
                ("share.auto.offset.reset", "earliest"),
                ("errors.deadletterqueue.topic.name", "dlq.tasks"),
                ("share.record.lock.duration.ms", "60000"),
            ];
        queue.configure(client, &set)?;
        produce(client, "tasks", (0..4).map(|number| (now_ms(), format!("task {number}"))))?;
        let delivered = queue.fetch(client)?;
        if delivered != 4 {
            bail!("the share group is given {delivered} records instead of 4");
        }
        seen(prometheus, "eventwright_share_group_locked_records{group=\"queue\"}", 4.0)?;
        // Accepted, given back, rejected.
        queue.acknowledge(client, 1, &[1, 2, 3])
    }
}

fn produce(client: &mut Client, topic: &str, records: impl Iterator<Item = (i64, String)>) -> Result<()> {
    let mut batch = BatchBuilder::new(Compression::None);
    for (timestamp_ms, value) in records {
        batch.append(timestamp_ms, None, Some(value.as_bytes()), &[])?;
    }
    client.produce(topic, 0, batch.build()?, -1)?;
    Ok(())
}

fn offset(topic: &str, offset: i64) -> OffsetToCommit {
    OffsetToCommit { topic: topic.to_owned(), partition: 0, offset }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Asks until the one series has the value; otherwise what it has at the end.
fn await_value(prometheus: &Prometheus, expression: &str, wanted: f64) -> Result<Option<Vec<Sample>>> {
    let begun = Instant::now();
    loop {
        let found = prometheus.query(expression)?;
        if matches!(&found[..], [sample] if sample.value == wanted) {
            return Ok(None);
        }
        if begun.elapsed() > SEEN_LIMIT {
            return Ok(Some(found));
        }
        std::thread::park_timeout(PAUSE);
    }
}

/// The same of what everything after it builds on.
fn seen(prometheus: &Prometheus, expression: &str, wanted: f64) -> Result<()> {
    match await_value(prometheus, expression, wanted)? {
        None => Ok(()),
        Some(found) => bail!("{expression} gives {found:?} instead of {wanted}"),
    }
}

/// What it answers as soon as that is anything: a page that came late once has no series for a second.
fn answered(prometheus: &Prometheus, expression: &str) -> Result<Vec<Sample>> {
    let begun = Instant::now();
    loop {
        let samples = prometheus.query(expression)?;
        if !samples.is_empty() || begun.elapsed() > SEEN_LIMIT {
            return Ok(samples);
        }
        std::thread::park_timeout(PAUSE);
    }
}

/// Every query gives series of numbers that can be drawn, and where something happened, not only zeros.
fn check_boards(prometheus: &Prometheus, checks: &mut Checks) -> Result<()> {
    for board in BOARDS {
        for panel in board.panels {
            let mut greatest = 0.0f64;
            for (query, _) in panel.queries {
                let expression = dashboards::expression(query);
                let expression = expression.replace("$instance", ".*").replace("$__rate_interval", "2m");
                let samples = answered(prometheus, &expression)?;
                let wrong = samples.iter().find(|sample| !sample.value.is_finite() || sample.value < 0.0);
                let differs = match (samples.is_empty(), wrong) {
                    (true, _) => Some("gives nothing".to_owned()),
                    (false, Some(sample)) => Some(format!("gives {sample:?}")),
                    (false, None) => None,
                };
                greatest = samples.iter().map(|sample| sample.value).fold(greatest, f64::max);
                checks.check(&format!("{}/{}: {expression}", board.name, panel.title), differs);
            }
            let is_flat = greatest == 0.0 && !QUIET.contains(&panel.title);
            checks.check(&format!("{}/{}", board.name, panel.title), is_flat.then(|| "is all zeros".into()));
        }
    }
    Ok(())
}

/// What promtool finds wrong with the page, but for names that are others' choice: Flink's camel case, and one of
/// kafka_exporter's.
fn lint(site: &Site, folder: &Path) -> Result<Option<String>> {
    let request = Request { method: "GET", address: &site.http, path: "/metrics", headers: &[], body: &[] };
    let page = exchange(Os::real().network.as_ref(), &request, WAIT)?;
    let file = folder.join("page.txt");
    std::fs::write(&file, &page.body)?;
    let (_, said) = promtool(&["check", "metrics"], Some(&file))?;
    let is_theirs = |line: &str| {
        (line.starts_with("flink_") && line.ends_with("not 'camelCase'"))
            || (line.starts_with("kafka_consumergroup_lag_sum ") && line.ends_with("\"_sum\" suffix"))
    };
    let found: Vec<&str> = said.lines().filter(|line| !line.is_empty() && !is_theirs(line)).collect();
    Ok((!found.is_empty()).then(|| found.join("\n")))
}
