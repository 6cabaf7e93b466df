//! The node and Apache Kafka, asked by one program over librdkafka, which is built here from its source beside this file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use benches::node::checkout;
use benches::program::Program;
use benches::sql_file::{self, PeerArguments};
use serde_json::Value;
use tempfile::TempDir;

use crate::Run;
use crate::broker::{Broker, Load};

const TOPIC: &str = "load";
/// What is produced there is not counted.
const WARM_TOPIC: &str = "warm";
/// A JVM is slow before it has compiled itself. The node gets the same.
const WARM_SECONDS: u64 = 4;
const SOURCE: &str = "benches/src/bin/peers/rdkafka_load.c";

/// The client program.
pub struct Client {
    folder: TempDir,
}

/// Where xtask has installed something.
pub fn folder_of(peers: &PeerArguments, name: &str) -> Result<PathBuf> {
    let output = peers.xtask().args(["peers", "folder", name]).output().context("cannot run xtask")?;
    ensure!(output.status.success(), "xtask does not know the folder of {name}");
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

impl Client {
    pub fn build(peers: &PeerArguments) -> Result<Client> {
        let folder = tempfile::tempdir()?;
        let library = folder_of(peers, "librdkafka")?.join("src");
        let status = Command::new("cc")
            .args(["-O2", "-Wall", "-o"])
            .arg(program_in(folder.path()))
            .arg(checkout().join(SOURCE))
            .arg("-I")
            .arg(&library)
            .arg(library.join("librdkafka.so.1"))
            .arg(format!("-Wl,-rpath,{}", library.display()))
            .status()
            .context("there is no C compiler `cc`")?;
        ensure!(status.success(), "cannot build {SOURCE}");
        Ok(Client { folder })
    }

    /// Produces as much as the broker takes in the time, up to all records.
    pub fn produce(&self, bootstrap: &str, load: &Load) -> Result<Run> {
        self.run(["produce", bootstrap, TOPIC], load, load.records)
    }

    fn run(&self, what: [&str; 3], load: &Load, records: u64) -> Result<Run> {
        let mut command = Command::new(program_in(self.folder.path()));
        command.args(what);
        let numbers = [load.partitions as u64, load.value_bytes as u64, records, load.seconds];
        command.args(numbers.map(|number| number.to_string()));
        let lines = Program::start(&mut command)?.run_to_end(Duration::from_secs(1), |_, _| {})?;
        let answer = lines.iter().find_map(|line| serde_json::from_str::<Value>(line).ok());
        let answer = answer.context("the client printed no result")?;
        let number = |name: &str| answer[name].as_f64().with_context(|| format!("no {name} in the result"));
        Ok(Run { records: number("records")? as u64, seconds: number("seconds")?, cpu_seconds: None })
    }
}

fn program_in(folder: &Path) -> PathBuf {
    folder.join("rdkafka_load")
}

/// What is produced and consumed by the client program.
struct Served<'a> {
    client: &'a Client,
    address: String,
    process: u32,
    settings: Vec<(&'static str, &'static str)>,
}

impl Served<'_> {
    fn prepare(&self, load: &Load) -> Result<()> {
        let mut client = kafka_client::Client::connect(&self.address, "benches")?;
        for topic in [WARM_TOPIC, TOPIC] {
            client.create_topic(topic, load.partitions as i32, 1, &self.settings)?;
        }
        let warm = Load { seconds: WARM_SECONDS.min(load.seconds), ..*load };
        for what in ["produce", "consume"] {
            self.client.run([what, &self.address, WARM_TOPIC], &warm, load.records)?;
        }
        client.delete_topics(&[WARM_TOPIC])?;
        Ok(())
    }

    fn consume(&self, load: &Load, produced: u64) -> Result<Run> {
        let run = self.client.run(["consume", &self.address, TOPIC], load, produced)?;
        ensure!(run.records > 0, "of records={produced} none was read");
        Ok(run)
    }
}

pub struct Node<'a> {
    _node: benches::node::Node,
    served: Served<'a>,
}

impl<'a> Node<'a> {
    pub fn new(client: &'a Client, node: benches::node::Node) -> Result<Node<'a>> {
        let served = Served { client, address: node.address.clone(), process: node.id(), settings: vec![] };
        Ok(Node { _node: node, served })
    }
}

pub struct Kafka<'a> {
    _kafka: sql_file::Kafka,
    served: Served<'a>,
}

impl<'a> Kafka<'a> {
    /// Flushed, it calls fsync for each batch before it acknowledges it; otherwise it leaves that to the system.
    pub fn start(client: &'a Client, peers: &PeerArguments, flush: bool) -> Result<Kafka<'a>> {
        let kafka = sql_file::Kafka::start(peers)?;
        let settings = if flush { vec![("flush.messages", "1")] } else { vec![] };
        let served = Served { client, address: kafka.address.clone(), process: kafka.process, settings };
        Ok(Kafka { _kafka: kafka, served })
    }
}

macro_rules! served_broker {
    ($name:ident) => {
        impl Broker for $name<'_> {
            fn process(&self) -> u32 {
                self.served.process
            }

            fn prepare(&mut self, load: &Load) -> Result<()> {
                self.served.prepare(load)
            }

            fn produce(&mut self, load: &Load) -> Result<Run> {
                self.served.client.produce(&self.served.address, load)
            }

            fn consume(&mut self, load: &Load, produced: u64) -> Result<Run> {
                self.served.consume(load, produced)
            }
        }
    };
}

served_broker!(Node);
served_broker!(Kafka);
