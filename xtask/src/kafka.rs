//! Starts a real Apache Kafka: one node, no security, in a folder that goes with it.
//!
//! It is the reference for the client suites and the cluster under Flink when golden rows are made.

use std::net::TcpListener;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::process::{self, Server};
use crate::{peers, versions};

const START_LIMIT: Duration = Duration::from_secs(180);
/// Below those that the system gives outgoing connections.
const LASTING_PORTS: Range<u16> = 20_000..32_000;
const PROPERTIES_FILE: &str = "server.properties";
const LOGGING_FILE: &str = "log4j2.properties";

/// A running broker; stopped and removed when dropped.
pub struct Kafka {
    // Before the folder, so that the broker is gone when its data is removed.
    server: Option<Server>,
    folder: TempDir,
    java_options: Vec<String>,
    pub bootstrap: String,
}

impl Kafka {
    /// Kills the broker as it stands.
    pub fn kill(&mut self) {
        drop(self.server.take());
    }

    /// Starts a broker that was killed on its data.
    pub fn start_again(&mut self) -> Result<()> {
        self.server = Some(serve(self.folder.path(), &self.java_options)?);
        Ok(())
    }

    /// The broker's process.
    pub fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("the broker is not there")
    }

    /// Gives a user another password, which is kept for SCRAM-SHA-512.
    pub fn set_password(&self, user: &str, password: &str) -> Result<()> {
        let mut command = java("kafka.admin.ConfigCommand", &self.folder.path().join(LOGGING_FILE), &[])?;
        command.args(["--bootstrap-server", &self.bootstrap, "--alter", "--entity-type", "users"]);
        command.args([
            "--entity-name",
            user,
            "--add-config",
            &format!("SCRAM-SHA-512=[password={password}]"),
        ]);
        process::output(&mut command, START_LIMIT).map(drop)
    }
}

/// What makes a broker safe; nothing of it by default.
#[derive(Default)]
pub struct Security {
    /// More listeners, each with a comma in front, and what they speak.
    pub listeners: String,
    /// Where clients find them, if elsewhere.
    pub advertised: Option<String>,
    pub protocols: String,
    pub settings: String,
    /// Users that are there from the start, as kafka-storage.sh takes them.
    pub users: Vec<String>,
    /// What the Java of the broker is told.
    pub java_options: Vec<String>,
}

/// Formats a new data folder and starts the broker on a free port.
pub fn start() -> Result<Kafka> {
    start_with(&Security::default())
}

/// Like [`start`], with more listeners and users.
pub fn start_with(security: &Security) -> Result<Kafka> {
    let folder = tempfile::Builder::new().prefix("kafka-").tempdir()?;
    let broker_port = lasting_port()?;
    let controller_port = lasting_port()?;
    let bootstrap = format!("127.0.0.1:{broker_port}");
    let properties = folder.path().join(PROPERTIES_FILE);
    std::fs::write(&properties, server_properties(folder.path(), broker_port, controller_port, security))?;
    let logging = folder.path().join(LOGGING_FILE);
    std::fs::write(&logging, LOGGING)?;
    eprintln!("kafka: starting Apache Kafka {} on {bootstrap}", versions::KAFKA);

    // 16 zero bytes but one, in the base64 that Kafka writes its cluster ids in: any id will do.
    process::output(
        java("kafka.tools.StorageTool", &logging, &[])?
            .args(["format", "--standalone", "--cluster-id", "AAAAAAAAAAAAAAAAAAAAAQ", "--config"])
            .arg(&properties)
            .args(security.users.iter().flat_map(|user| ["--add-scram", user])),
        START_LIMIT,
    )?;
    let server = Some(serve(folder.path(), &security.java_options)?);
    Ok(Kafka { server, folder, java_options: security.java_options.clone(), bootstrap })
}

/// Starts the broker on what its folder holds.
fn serve(folder: &Path, java_options: &[String]) -> Result<Server> {
    let (server, ()) = Server::start(
        java("kafka.Kafka", &folder.join(LOGGING_FILE), java_options)?.arg(folder.join(PROPERTIES_FILE)),
        &folder.join("kafka.log"),
        START_LIMIT,
        |line| line.contains("Kafka Server started").then_some(()),
    )?;
    Ok(server)
}

fn java(class: &str, logging: &Path, options: &[String]) -> Result<Command> {
    let jars = peers::kafka_jars()?;
    let mut command = Command::new("java");
    command
        .arg("-Xmx512m")
        .arg(format!("-Dlog4j2.configurationFile={}", logging.display()))
        .args(options)
        .arg("-cp")
        .arg(format!("{}/*", jars.display()))
        .arg(class);
    Ok(command)
}

/// A port that was free a moment ago and that no outgoing connection is given: a server that goes down and comes back
/// finds it free. It is given once, for nobody may listen there yet.
pub fn lasting_port() -> Result<u16> {
    static LAST: Mutex<Option<u16>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let first = last.map_or(LASTING_PORTS.start + (std::process::id() % 10_000) as u16, |last| last + 1);
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let found = (first..LASTING_PORTS.end).chain(LASTING_PORTS.start..first).find(free);
    *last = found;
    found.with_context(|| format!("no port of 127.0.0.1 in {LASTING_PORTS:?} is free"))
}

/// Several of them.
pub fn lasting_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    for port in &mut ports {
        *port = lasting_port()?;
    }
    Ok(ports)
}

fn server_properties(folder: &Path, broker_port: u16, controller_port: u16, security: &Security) -> String {
    let Security { listeners, protocols, settings, advertised, .. } = security;
    let advertised = advertised.as_ref().unwrap_or(listeners);
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{broker_port},CONTROLLER://127.0.0.1:{controller_port}{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker_port},CONTROLLER://127.0.0.1:{controller_port}{advertised}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT{protocols}
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/data
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# The events of the example are from 2013: no retention may remove them.
log.retention.ms=-1
{settings}",
        folder = folder.display()
    )
}

const LOGGING: &str = "rootLogger.level=WARN
rootLogger.appenderRef.stdout.ref=STDOUT
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=INFO
appender.stdout.type=Console
appender.stdout.name=STDOUT
appender.stdout.layout.type=PatternLayout
appender.stdout.layout.pattern=%d{HH:mm:ss,SSS} %-5p %c{1} - %m%n
";
