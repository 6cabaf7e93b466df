//! A node: one data directory, its log, the broker's front, the job runtime and its HTTP front, wired together.

use crate::cli::{HTTP_ADDRESS, NodeArguments, PG_ADDRESS};
use crate::remotes::RemoteStore;
use anyhow::Context;
use broker::security::Visitor;
use broker::server::{Lines, ServerConfig, ServerHandle};
use broker::{Broker, BrokerConfig, Recovered};
use bytes::Bytes;
use connectors::Connectors;
use dataflow::connector::ConnectorTable;
use eventlog::{EventLog, LogError, LogOptions, Recovery};
use os::Os;
use pg_server::{Question, Wanted};
use registry::SchemaRegistry;
use remote::Shipping;
use runtime::{JobState, JobStatus, Journal, Runtime};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use traces::{Exporter, TraceSettings};
use views::{Fold, Follower, FollowerHandle, Standing, Views};

const HTTPS: &str = "https://";

/// The file in a data directory that says where its node listens.
const ADDRESSES: &str = "node.json";

pub struct Node {
    pub os: Os,
    pub log: EventLog,
    pub runtime: Arc<Runtime>,
    pub data: PathBuf,
    pub views: Views,
    follower: FollowerHandle,
    server: ServerHandle,
    http: Option<http_server::ServerHandle>,
    https: bool,
    pg: Option<pg_server::ServerHandle>,
    traces: Option<Exporter>,
    shipping: Option<Shipping>,
}

/// How long a node that stops waits for the store.
const STORE_WAIT_MAX: Duration = Duration::from_secs(10);

/// The outside world as a node may see it.
pub fn os(arguments: &NodeArguments) -> Os {
    let mut os = Os::real();
    os.permits.exec = arguments.allow_exec;
    os.permits.open_syslog = arguments.insecure_syslog;
    if arguments.allow_link_local { os.with_any_destination() } else { os }
}

/// What a data directory holds, folded from its log.
struct Opened {
    log: EventLog,
    journal: Arc<Journal>,
    recovered: Recovered,
}

fn open_log(os: &Os, data: &Path, config: &BrokerConfig) -> anyhow::Result<Opened> {
    open_log_pinned(os, data, config, None)
}

/// The same, and nothing is given back before whoever pins it says so.
fn open_log_pinned(
    os: &Os,
    data: &Path,
    config: &BrokerConfig,
    pinned_by: Option<&str>,
) -> anyhow::Result<Opened> {
    let options =
        LogOptions { pinned_by: pinned_by.map(str::to_string), ..config.log_options(data.join("log")) };
    let mut recovery = Recovery::open(os, options)?;
    for damage in &recovery.report().damaged {
        eprintln!("warning: {damage}");
    }
    let journal = Journal::restore(recovery.checkpoint(runtime::journal::CHECKPOINT))?;
    let recovered = Recovered::from_checkpoint(&recovery)?;
    let damaged = |error: &dyn std::fmt::Display| LogError::Invalid(format!("an entry of the log: {error}"));
    recovery.replay(&mut |lsn, entry| {
        journal.fold(&entry)?;
        recovered.apply(lsn, &entry).map_err(|error| damaged(&error))
    })?;
    let mut folds = recovered.folds();
    folds.push((runtime::journal::CHECKPOINT, journal.clone()));
    let log = recovery.start(folds)?;
    Ok(Opened { log, journal, recovered })
}

/// The broker's configuration: from the file, then from the arguments.
fn broker_config(arguments: &NodeArguments) -> anyhow::Result<BrokerConfig> {
    let mut given = match &arguments.config {
        Some(file) => kafka_client::read_properties(file)?,
        None => BTreeMap::new(),
    };
    for setting in &arguments.settings {
        let pair = setting.split_once('=');
        let (key, value) = pair.with_context(|| format!("--set '{setting}' has no '=': write KEY=VALUE"))?;
        given.insert(key.trim().to_string(), value.trim().to_string());
    }
    BrokerConfig::check(&given).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", lines.join("\n       "))
    })
}

/// The broker of a data directory that no node serves.
pub fn open_broker(os: &Os, data: &Path) -> anyhow::Result<(EventLog, Broker)> {
    let Opened { log, recovered, .. } = open_log(os, data, &BrokerConfig::default())?;
    let broker = Broker::new(log.clone(), recovered, BrokerConfig::default(), os.clone())?;
    Ok((log, broker))
}

/// The jobs of a data directory that no node serves.
pub fn read_jobs(os: &Os, data: &Path) -> anyhow::Result<Vec<JobStatus>> {
    let directory = Silent::open(os, data)?;
    let jobs = directory.runtime.jobs();
    directory.close()?;
    Ok(jobs)
}

/// A data directory that no node serves, with its jobs, none of which runs.
pub struct Silent {
    os: Os,
    pub log: EventLog,
    pub runtime: Runtime,
}

impl Silent {
    pub fn open(os: &Os, data: &Path) -> anyhow::Result<Silent> {
        let opened = open_log(os, data, &BrokerConfig::default())?;
        let runtime = Runtime::new(opened.log.clone(), os.clone(), data.to_path_buf(), opened.journal);
        Ok(Silent { os: os.clone(), log: opened.log, runtime })
    }

    pub fn connectors(&self) -> ConnectorTable {
        connectors::table(Connectors { os: self.os.with_shared_files(), log: Some(self.log.clone()) })
    }

    /// Gives the directory back.
    pub fn close(self) -> anyhow::Result<()> {
        Ok(self.log.shutdown()?)
    }
}

/// The materialized tables of a data directory that no node serves.
pub fn read_views(os: &Os, data: &Path) -> anyhow::Result<Vec<views::Look>> {
    let opened = open_log(os, data, &BrokerConfig::default())?;
    let views = Views::new(os.clone(), Fold::default());
    let followed = Follower::open(opened.log.clone(), views.clone()).map(drop);
    let looks = views.look();
    opened.log.shutdown()?;
    followed?;
    Ok(looks)
}

/// Prints so many lines in a second: others may cause them.
fn some_lines(os: &Os) -> Arc<dyn Fn(&str) + Send + Sync> {
    let (lines, clock) = (Lines::default(), os.clock.clone());
    Arc::new(move |line: &str| {
        let now_ms = i64::try_from(clock.monotonic_ns() / 1_000_000).unwrap_or(i64::MAX);
        if let Some(line) = lines.pass(line, now_ms) {
            eprintln!("{line}");
        }
    })
}

impl Node {
    /// Opens the data directory, recovers, and serves Kafka clients and those who look at the jobs.
    pub fn open(os: &Os, data: &Path, arguments: &NodeArguments) -> anyhow::Result<Node> {
        Node::open_shipped(os, data, arguments, None)
    }

    /// The same, with a store that its log is shipped to.
    pub fn open_shipped(
        os: &Os,
        data: &Path,
        arguments: &NodeArguments,
        wanted: Option<&RemoteStore>,
    ) -> anyhow::Result<Node> {
        let address = parse_address("--kafka", &arguments.kafka)?;
        // A mistake in the settings is told before the data is touched.
        let mut config = broker_config(arguments)?;
        if let Some(line) = config.fit_open_files(os::open_files::raise_limit()) {
            eprintln!("{line}");
        }
        let traces = export_traces(os, arguments)?;
        let tracer = traces.as_ref().map(Exporter::tracer).unwrap_or_default();
        let kept = wanted.map(|wanted| wanted.disk(os, data)).transpose()?;
        let os = &match &kept {
            Some(kept) => Os { disk: Arc::new(kept.clone()), ..os.clone() },
            None => os.clone(),
        };
        let pinned_by = kept.as_ref().map(|_| remote::PIN);
        let Opened { log, journal, recovered } = open_log_pinned(os, data, &config, pinned_by)?;
        // Before anybody can append: whether this node may write is for the store to say.
        let shipping =
            wanted.zip(kept).map(|(wanted, kept)| wanted.begin(os, (data, kept), &log)).transpose()?;
        // What the views are is folded before anybody can change it.
        let bytes_max = crate::materialized::memory(&arguments.views_memory)?;
        let views =
            Views::telling(os.clone(), Fold::within(bytes_max), Arc::new(|line: &str| eprintln!("{line}")));
        let follower = Follower::open(log.clone(), views.clone())?.run()?;
        let broker = Broker::new(log.clone(), recovered, config, os.clone())?;
        let broker = Arc::new(broker.traced(tracer.clone()));
        if broker.rules().users().next().is_some() {
            warn_of_readers(data);
        }
        let log_line = Arc::new(|line: &str| eprintln!("{line}"));
        let config =
            ServerConfig { insecure: arguments.insecure, log: log_line, ..ServerConfig::new(address) };
        let (id, version) = (broker.cluster_id().to_string(), env!("CARGO_PKG_VERSION").to_string());
        let schemas = SchemaRegistry::new(log.clone(), os.clone(), id, version);
        let schemas = Arc::new(schemas.telling(some_lines(os)));
        let server = broker::server::start(config, broker.clone())?;
        let runtime = Runtime::new(log.clone(), os.clone(), data.to_path_buf(), journal);
        let runtime = Arc::new(runtime.traced(tracer));
        views.surround(log.clone(), Arc::new(Standings(runtime.clone())));
        // The broker answers for transactions, and the runtime has pinned what unfinished jobs need.
        log.allow_removal();
        let measured = Arc::new(pg_server::Counters::default());
        let pg = serve_pg(os, arguments, &broker, &views, &measured)?;
        let asker = pg.as_ref().map(pg_server::ServerHandle::asker);
        let shown = Shown { schemas, views: views.clone(), asker, measured };
        let http = serve_http(os, data, arguments, &broker, &runtime, shown)?;
        let https = arguments.http.as_deref().is_some_and(|address| address.starts_with(HTTPS));
        let data_directory = data.to_path_buf();
        let node = Node {
            os: os.clone(),
            log,
            runtime,
            data: data_directory,
            views,
            follower,
            server,
            http,
            https,
            pg,
            traces,
            shipping,
        };
        let pg = node.pg_address().map(|address| address.to_string());
        let addresses = Addresses { kafka: node.kafka_address().to_string(), http: node.http_address(), pg };
        addresses.write(data)?;
        Ok(node)
    }

    pub fn kafka_address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Where the jobs can be looked at, with `https://` in front where that is needed; none with `--http none`.
    pub fn http_address(&self) -> Option<String> {
        let scheme = if self.https { HTTPS } else { "" };
        self.http.as_ref().map(|http| format!("{scheme}{}", http.local_addr()))
    }

    /// Where PostgreSQL's clients are served; none with `--pg none`.
    pub fn pg_address(&self) -> Option<SocketAddr> {
        self.pg.as_ref().map(pg_server::ServerHandle::local_addr)
    }

    pub fn connectors(&self) -> ConnectorTable {
        connectors::table(Connectors { os: self.os.with_shared_files(), log: Some(self.log.clone()) })
    }

    pub fn is_shipped(&self) -> bool {
        self.shipping.is_some()
    }

    /// Why another node writes into the store, if so.
    pub fn fenced_elsewhere(&self) -> Option<String> {
        self.shipping.as_ref()?.fenced()
    }

    /// Stops serving, syncs the log and gives the data directory back.
    pub fn shutdown(self) {
        // While the lock is still held, so that the next node's file is never removed.
        let _ = std::fs::remove_file(self.data.join(ADDRESSES));
        if let Some(http) = self.http {
            http.shutdown();
        }
        if let Some(pg) = self.pg {
            pg.shutdown();
        }
        self.server.shutdown();
        drop(self.follower);
        if let Some(shipping) = &self.shipping
            && shipping.fenced().is_none()
            && !shipping.finish(STORE_WAIT_MAX)
        {
            eprintln!(
                "warning: the end of the log is not in the store; the next start of this node ships it"
            );
        }
        if let Err(error) = self.log.shutdown() {
            eprintln!("warning: the log did not close in good order: {error}");
        }
        if let Some(shipping) = self.shipping {
            shipping.join();
        }
        // Last: a collector may take its time.
        if let Some(traces) = self.traces {
            traces.stop();
        }
    }
}

/// What the jobs say to those who wait for a view.
struct Standings(Arc<Runtime>);

impl views::Jobs for Standings {
    fn standing(&self, job: &str) -> Option<Standing> {
        let standing = self.0.standing(job)?;
        let finished = standing.state == JobState::Finished;
        let stands = (!finished && !standing.state.is_active())
            .then(|| standing.state.name().to_lowercase().replace("canceled", "stopped"));
        Some(Standing { taken: standing.taken, finished, stands })
    }
}

/// What the HTTP port shows besides the broker and the jobs.
struct Shown {
    schemas: Arc<SchemaRegistry>,
    views: Views,
    /// None where PostgreSQL's clients are not served.
    asker: Option<pg_server::Asker>,
    measured: Arc<pg_server::Counters>,
}

/// What the console asks of the engine of the PostgreSQL port.
struct Questions(pg_server::Asker);

impl http_server::Queries for Questions {
    fn ask(&self, asking: http_server::Asking) -> Receiver<Bytes> {
        let http_server::Asking { visitor, text, at, explains, rows_max } = asking;
        self.0.ask(Question { visitor, text, at, explains, rows_max })
    }

    fn named(&self, visitor: &Visitor, names: Vec<String>, max: usize) -> Value {
        self.0.relations(visitor, &Wanted::Named(names), max)
    }

    fn beginning(&self, visitor: &Visitor, prefix: String, max: usize) -> Value {
        self.0.relations(visitor, &Wanted::Beginning(prefix), max)
    }
}

/// What is kept of passwords lets nobody log in, but it can be guessed at.
fn warn_of_readers(data: &Path) {
    let open: Vec<String> = [data.to_path_buf(), data.join("log")]
        .into_iter()
        .filter(|folder| {
            std::fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
        })
        .map(|folder| folder.display().to_string())
        .collect();
    // One closed folder on the way is enough.
    if open.len() == 2 {
        eprintln!(
            "warning: other users of this machine can open the data directory, which holds users and records: \
             chmod 700 {}",
            data.display()
        );
    }
}

fn parse_address(option: &str, text: &str) -> anyhow::Result<SocketAddr> {
    text.parse().with_context(|| {
        format!("{option} '{text}' is not an address: write IP:PORT, for example 127.0.0.1:9092")
    })
}

/// What sends spans, where somebody wants them.
fn export_traces(os: &Os, arguments: &NodeArguments) -> anyhow::Result<Option<Exporter>> {
    let given = traces::Given {
        endpoint: arguments.trace_endpoint.clone(),
        headers: arguments.trace_headers.as_deref().map(kafka_client::read_properties).transpose()?,
        service: arguments.trace_service.clone(),
        ratio: arguments.trace_sample_ratio.clone(),
    };
    let Some(settings) = TraceSettings::read(given, &|name| std::env::var(name).ok())? else {
        return Ok(None);
    };
    eprintln!("spans go to {}", settings.endpoint());
    let tell = Arc::new(|line: &str| eprintln!("{line}"));
    Ok(Some(Exporter::start(os, settings, env!("CARGO_PKG_VERSION"), tell)?))
}

fn read_webhooks(arguments: &NodeArguments) -> anyhow::Result<http_server::Webhooks> {
    let Some(file) = &arguments.webhooks else { return Ok(http_server::Webhooks::default()) };
    let parsed = http_server::Webhooks::parse(&kafka_client::read_properties(file)?);
    parsed.map_err(|reason| anyhow::anyhow!("file={}: {reason}", file.display()))
}

/// As with HTTP, without an address from the user a free port is as good as the usual one.
fn serve_pg(
    os: &Os,
    arguments: &NodeArguments,
    broker: &Arc<Broker>,
    views: &Views,
    measured: &Arc<pg_server::Counters>,
) -> anyhow::Result<Option<pg_server::ServerHandle>> {
    let memory_bytes =
        base::units::parse_bytes(&arguments.pg_memory).and_then(|bytes| usize::try_from(bytes).ok());
    let memory_bytes = memory_bytes.with_context(|| {
        format!("--pg-memory '{}' is no size: write a number with a unit, such as 512mb", arguments.pg_memory)
    })?;
    let serve = |listen: SocketAddr| {
        let config = pg_server::ServerConfig {
            insecure: arguments.insecure_pg,
            memory_bytes,
            log: Arc::new(|line: &str| eprintln!("{line}")),
            version: env!("CARGO_PKG_VERSION").to_string(),
            views: Some(views.clone()),
            ..pg_server::ServerConfig::new(listen)
        };
        pg_server::start(config, broker.clone(), os.clone(), measured.clone())
    };
    match arguments.pg.as_deref() {
        Some("none") => Ok(None),
        Some(address) => Ok(Some(serve(parse_address("--pg", address)?)?)),
        None => {
            let usual = parse_address("--pg", PG_ADDRESS)?;
            match serve(usual) {
                Err(pg_server::PgServerError::Listen { in_use: true, .. }) => {
                    Ok(Some(serve(SocketAddr::new(usual.ip(), 0))?))
                }
                served => Ok(Some(served?)),
            }
        }
    }
}

/// Without an address from the user, a free port is as good as the usual one: several nodes may run side by side.
fn serve_http(
    os: &Os,
    data: &Path,
    arguments: &NodeArguments,
    broker: &Arc<Broker>,
    runtime: &Arc<Runtime>,
    shown: Shown,
) -> anyhow::Result<Option<http_server::ServerHandle>> {
    let mut folders = vec![std::path::absolute(data.join("savepoints"))?];
    for folder in arguments.savepoints.iter().rev() {
        folders.insert(0, std::path::absolute(folder)?);
    }
    let savepoints = http_server::SavepointFolders::new(folders.remove(0), folders);
    let webhooks = read_webhooks(arguments)?;
    let telemetry = http_server::TelemetryTopics::parse(
        arguments.otlp_topic_prefix.as_deref(),
        arguments.otlp_encoding.as_deref(),
        arguments.prometheus_topic.as_deref(),
    );
    let telemetry = telemetry.map_err(|reason| {
        anyhow::anyhow!("--otlp-topic-prefix, --otlp-encoding, --prometheus-topic: {reason}")
    })?;
    let Shown { schemas, views, asker, measured } = shown;
    let queries = asker.map(|asker| Arc::new(Questions(asker)) as Arc<dyn http_server::Queries>);
    let measured_views = views.clone();
    let also_measured = Arc::new(move |page: &mut metrics::Page| {
        measured.write_metrics(page);
        measured_views.write_metrics(page);
    });
    let serve = |listen: SocketAddr, tls: bool| {
        let config = http_server::ServerConfig {
            listen,
            tls,
            broker: Some(broker.clone()),
            log: Arc::new(|line: &str| eprintln!("{line}")),
            insecure: arguments.insecure_http,
            savepoints: savepoints.clone(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            webhooks: webhooks.clone(),
            telemetry: telemetry.clone(),
            schemas: Some(schemas.clone()),
            views: Some(views.clone()),
            queries: queries.clone(),
            also_measured: also_measured.clone(),
            limits: http_server::Limits::default(),
        };
        http_server::start(config, runtime.clone(), os.clone())
    };
    match arguments.http.as_deref() {
        Some("none") => Ok(None),
        Some(address) => {
            let (tls, bare) = match address.strip_prefix(HTTPS) {
                Some(bare) => (true, bare),
                None => (false, address.strip_prefix("http://").unwrap_or(address)),
            };
            Ok(Some(serve(parse_address("--http", bare)?, tls)?))
        }
        None => {
            let usual = parse_address("--http", HTTP_ADDRESS)?;
            match serve(usual, false) {
                Err(http_server::HttpError::Listen { in_use: true, .. }) => {
                    Ok(Some(serve(SocketAddr::new(usual.ip(), 0), false)?))
                }
                served => Ok(Some(served?)),
            }
        }
    }
}

/// Where the node of a data directory listens.
pub struct Addresses {
    pub kafka: String,
    pub http: Option<String>,
    pub pg: Option<String>,
}

impl Addresses {
    fn write(&self, data: &Path) -> anyhow::Result<()> {
        let path = data.join(ADDRESSES);
        let unfinished = data.join(format!("{ADDRESSES}.unfinished"));
        let text = json!({"kafka": self.kafka, "http": self.http, "pg": self.pg, "version": env!("CARGO_PKG_VERSION")});
        // Whoever looks sees the whole file or none.
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)
            .and_then(|mut file| file.write_all(format!("{text}\n").as_bytes()))
            .and_then(|()| std::fs::rename(&unfinished, &path));
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    /// None where there is no such file or it is not whole.
    pub fn read(data: &Path) -> Option<Addresses> {
        let value: Value = serde_json::from_slice(&std::fs::read(data.join(ADDRESSES)).ok()?).ok()?;
        let text = |key: &str| value[key].as_str().map(str::to_string);
        Some(Addresses { kafka: text("kafka")?, http: text("http"), pg: text("pg") })
    }
}
