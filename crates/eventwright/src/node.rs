//! A node: one data directory, its log, the broker's front and the job runtime, wired together.

use crate::cli::NodeArguments;
use anyhow::Context;
use broker::server::{ServerConfig, ServerHandle};
use broker::{Broker, BrokerConfig, Recovered};
use connectors::Connectors;
use dataflow::connector::ConnectorTable;
use eventlog::{EventLog, LogError, LogOptions, Recovery};
use os::Os;
use runtime::{Journal, Runtime};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub struct Node {
    pub os: Os,
    pub log: EventLog,
    pub runtime: Runtime,
    pub data: PathBuf,
    server: ServerHandle,
}

impl Node {
    /// Opens the data directory, recovers, and serves Kafka clients.
    pub fn open(os: &Os, data: &Path, arguments: &NodeArguments) -> anyhow::Result<Node> {
        let address: SocketAddr = arguments.kafka.parse().with_context(|| {
            format!(
                "--kafka '{}' is not an address: write IP:PORT, for example 127.0.0.1:9092",
                arguments.kafka
            )
        })?;
        let mut recovery = Recovery::open(os, LogOptions::new(data.join("log")))?;
        for damage in &recovery.report().damaged {
            eprintln!("warning: {damage}");
        }
        let journal = Journal::restore(recovery.checkpoint(runtime::journal::CHECKPOINT))?;
        let recovered = Recovered::from_checkpoint(&recovery)?;
        let damaged =
            |error: &dyn std::fmt::Display| LogError::Invalid(format!("an entry of the log: {error}"));
        recovery.replay(&mut |lsn, entry| {
            journal.fold(&entry)?;
            recovered.apply(lsn, &entry).map_err(|error| damaged(&error))
        })?;
        let log = recovery.start(vec![(runtime::journal::CHECKPOINT, journal.clone()), recovered.fold()])?;
        let config = BrokerConfig::check(&BTreeMap::new()).map_err(|mut errors| errors.remove(0))?;
        let broker = Arc::new(Broker::new(log.clone(), recovered, config, os.clone())?);
        let log_line = Arc::new(|line: &str| eprintln!("{line}"));
        let config =
            ServerConfig { insecure: arguments.insecure, log: log_line, ..ServerConfig::new(address) };
        let server = broker::server::start(config, broker)?;
        let runtime = Runtime::new(log.clone(), os.clone(), data.to_path_buf(), journal);
        Ok(Node { os: os.clone(), log, runtime, data: data.to_path_buf(), server })
    }

    pub fn kafka_address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    pub fn connectors(&self) -> ConnectorTable {
        connectors::table(Connectors { os: self.os.clone(), log: Some(self.log.clone()) })
    }

    /// Stops serving, syncs the log and gives the data directory back.
    pub fn shutdown(self) {
        self.server.shutdown();
        if let Err(error) = self.log.shutdown() {
            eprintln!("warning: the log did not close in good order: {error}");
        }
    }
}
