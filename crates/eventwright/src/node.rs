//! A node: one data directory, its log, the broker's front and the job runtime, wired together.

use crate::cli::NodeArguments;
use anyhow::{Context, bail};
use broker::{Broker, BrokerState};
use connectors::Connectors;
use dataflow::connector::ConnectorTable;
use eventlog::{Committer, EventLog, LogOptions, Recovery};
use os::Os;
use runtime::{Journal, Runtime};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub struct Node {
    pub os: Os,
    pub log: EventLog,
    pub runtime: Runtime,
    pub data: PathBuf,
    server: broker::server::ServerHandle,
}

impl Node {
    /// Opens the data directory, recovers, and serves Kafka clients.
    pub fn open(os: &Os, data: &Path, arguments: &NodeArguments) -> anyhow::Result<Node> {
        let address: SocketAddr = arguments.kafka.parse().with_context(|| {
            format!("--kafka '{}' is not an address: write IP:PORT, for example 127.0.0.1:9092", arguments.kafka)
        })?;
        if !address.ip().is_loopback() && !arguments.insecure {
            bail!(
                "--kafka {address} would be open to the network without authentication; \
                 bind to 127.0.0.1, or add --insecure if the network is closed"
            );
        }
        let options = LogOptions { committer: Committer::Thread, ..LogOptions::new(data.join("log")) };
        let mut recovery = Recovery::open(os, options)?;
        for damage in &recovery.report().damaged {
            eprintln!("warning: {damage}");
        }
        let journal = Journal::restore(recovery.checkpoint(runtime::journal::CHECKPOINT))?;
        let state = Arc::new(BrokerState::restore(recovery.checkpoint(broker::CHECKPOINT))?);
        recovery.replay(&mut |lsn, entry| {
            journal.fold(&entry)?;
            state.apply(lsn, &entry)
        })?;
        let folds: Vec<(&'static str, Arc<dyn eventlog::Fold>)> =
            vec![(runtime::journal::CHECKPOINT, journal.clone()), (broker::CHECKPOINT, state.clone())];
        let log = recovery.start(folds)?;
        let broker = Arc::new(Broker::new(log.clone(), state, os.clone()));
        let server = broker::server::start(address, broker)?;
        let runtime = Runtime::new(log.clone(), os.clone(), data.to_path_buf(), journal);
        Ok(Node { os: os.clone(), log, runtime, data: data.to_path_buf(), server })
    }

    pub fn kafka_address(&self) -> SocketAddr {
        self.server.local_address()
    }

    pub fn connectors(&self) -> ConnectorTable {
        connectors::table(Connectors { os: self.os.clone(), log: Some(self.log.clone()) })
    }

    /// Stops serving, syncs the log and gives the data directory back.
    pub fn shutdown(self) {
        self.server.shutdown();
        self.log.shutdown();
    }
}
