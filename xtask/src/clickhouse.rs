//! ClickHouse: the engine of a Python package behind a server of ours, a plain process on a free port, with all that it keeps in
//! a folder of its own.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use os::Os;
use os::http::{Request, exchange};
use tempfile::TempDir;

use crate::process::Server;
use crate::{kafka, peers, places};

const LIMIT: Duration = Duration::from_secs(120);
const SCRIPT: &str = "tests/clickhouse/server.py";
/// Who may do everything.
const USER: &str = "suite";
const PASSWORD: &str = "pencil-and-paper";
/// Both of them as HTTP's Basic has it.
const AUTHORIZATION: &str = "Basic c3VpdGU6cGVuY2lsLWFuZC1wYXBlcg==";

/// A running server; stopped when dropped.
pub struct ClickHouse {
    server: Option<Server>,
    folder: TempDir,
    pub port: u16,
}

impl ClickHouse {
    /// With a user besides its own.
    pub fn start(user: &str, password: &str) -> Result<ClickHouse> {
        let folder = tempfile::Builder::new().prefix("clickhouse-").tempdir()?;
        let mut clickhouse = ClickHouse { server: None, folder, port: kafka::lasting_port()? };
        clickhouse.set_password(user, password)?;
        clickhouse.serve()?;
        Ok(clickhouse)
    }

    /// Starts the server on what it has kept.
    pub fn serve(&mut self) -> Result<()> {
        let mut command = Command::new(peers::chdb_program()?);
        command.arg(places::root().join(SCRIPT)).arg(self.folder.path()).arg(self.port.to_string());
        let ready = |line: &str| line.contains("ready").then_some(());
        let (server, ()) = Server::start(&mut command, &self.file("server.log"), LIMIT, ready)?;
        self.server = Some(server);
        Ok(())
    }

    /// Kills the server as it stands.
    pub fn kill(&mut self) {
        drop(self.server.take());
    }

    pub fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("the server is not there")
    }

    /// Gives the other user a password.
    pub fn set_password(&self, user: &str, password: &str) -> Result<()> {
        // In one step: the server may read it just now.
        let (written, users) = (self.file("users.new"), self.file("users"));
        std::fs::write(&written, format!("{USER}:{PASSWORD}\n{user}:{password}\n"))?;
        Ok(std::fs::rename(written, users)?)
    }

    /// What the server answers to its own user.
    pub fn ask(&self, sql: &str) -> Result<String> {
        let address = format!("127.0.0.1:{}", self.port);
        let headers = [("Authorization", AUTHORIZATION)];
        let request =
            Request { method: "POST", address: &address, path: "/", headers: &headers, body: sql.as_bytes() };
        let answer = exchange(Os::real().network.as_ref(), &request, LIMIT)?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(answer.status == 200, "ClickHouse: {sql}: {text}");
        Ok(text)
    }

    pub fn version(&self) -> Result<String> {
        let version = self.ask("SELECT version()")?;
        Ok(format!("ClickHouse {} (the engine of chdb-core behind a server of the tests)", version.trim()))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
