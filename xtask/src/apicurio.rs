//! Starts the schema registry Apicurio: in memory, with its form of Confluent's API.
//!
//! It is what our own registry is compared with: Confluent's is not to be had from Maven Central.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::process::Server;
use crate::{kafka, peers, versions};

const START_LIMIT: Duration = Duration::from_secs(180);

/// A running registry; stopped when dropped.
pub struct Apicurio {
    _server: Server,
    _folder: TempDir,
    pub url: String,
}

/// Starts it on a free port.
pub fn start() -> Result<Apicurio> {
    let folder = tempfile::Builder::new().prefix("apicurio-").tempdir()?;
    let port = kafka::lasting_port()?;
    let program =
        peers::apicurio_folder()?.join(format!("apicurio-registry-app-{}-runner.jar", versions::APICURIO));
    let mut command = Command::new("java");
    command.args(["-Xmx400m", "-XX:TieredStopAtLevel=1", "-jar"]).arg(program).current_dir(folder.path());
    command.env("QUARKUS_HTTP_HOST", "127.0.0.1").env("QUARKUS_HTTP_PORT", port.to_string());
    eprintln!("apicurio: starting Apicurio Registry {} on port {port}", versions::APICURIO);
    let log = folder.path().join("apicurio.log");
    let (server, ()) =
        Server::start(&mut command, &log, START_LIMIT, |line| line.contains("Listening on:").then_some(()))?;
    Ok(Apicurio { _server: server, _folder: folder, url: format!("http://127.0.0.1:{port}/apis/ccompat/v7") })
}
