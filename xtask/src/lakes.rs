//! Lakes: who reads their tables, and a catalog of Iceberg's; plain processes on loopback.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use os::Os;
use os::http::{Request, exchange};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{self, Server};
use crate::{kafka, peers, places, versions};

const LIMIT: Duration = Duration::from_secs(120);
const READER: &str = "tests/lakes/reader.py";
const CATALOG: &str = "tests/lakes/Catalog.java";

/// The libraries that read tables; stopped when dropped.
pub struct Reader {
    _server: Server,
    port: u16,
}

impl Reader {
    pub fn start(folder: &Path) -> Result<Reader> {
        let port = kafka::lasting_port()?;
        let mut command = Command::new(peers::lakes_program()?);
        command.arg(places::root().join(READER)).arg(port.to_string());
        let ready = |line: &str| line.contains("ready").then_some(());
        let (server, ()) = Server::start(&mut command, &folder.join("reader.log"), LIMIT, ready)?;
        Ok(Reader { _server: server, port })
    }

    /// Has it do something with a table, by the options of its library.
    pub fn ask(&self, what: &str, kind: &str, place: &str, options: &Value) -> Result<Value> {
        self.ask_with(what, kind, place, options, ("", &Value::Null))
    }

    /// The same with something more.
    pub fn ask_with(
        &self,
        what: &str,
        kind: &str,
        place: &str,
        options: &Value,
        (name, more): (&str, &Value),
    ) -> Result<Value> {
        let body =
            json!({"do": what, "kind": kind, "place": place, "options": options, name: more}).to_string();
        let address = format!("127.0.0.1:{}", self.port);
        let request =
            Request { method: "POST", address: &address, path: "/", headers: &[], body: body.as_bytes() };
        let answer = exchange(Os::real().network.as_ref(), &request, LIMIT)?;
        let text = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status == 200, "the reader: {what} {place}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// The numbers in a table's column `n`.
    pub fn numbers(&self, kind: &str, place: &str, options: &Value) -> Result<Vec<u64>> {
        let answer = self.ask("read", kind, place, options)?;
        let numbers = answer.as_array().context("no list of numbers")?;
        numbers.iter().map(|number| number.as_u64().context("no number")).collect()
    }

    pub fn of_delta() -> String {
        format!("deltalake {}", version("deltalake"))
    }

    pub fn of_iceberg() -> String {
        format!("PyIceberg {}", version("pyiceberg"))
    }
}

fn version(package: &str) -> &'static str {
    versions::LAKES.iter().find(|(name, _)| *name == package).map_or("", |(_, version)| version)
}

/// Iceberg's own catalog behind its REST protocol, with all that it keeps in a folder; stopped when dropped.
pub struct Catalog {
    server: Option<Server>,
    folder: TempDir,
    pub port: u16,
}

impl Catalog {
    /// Clients have this secret.
    pub fn start(secret: &str) -> Result<Catalog> {
        let folder = tempfile::Builder::new().prefix("iceberg-").tempdir()?;
        let mut catalog = Catalog { server: None, folder, port: kafka::lasting_port()? };
        catalog.set_secret(secret)?;
        // Once, for a server that is started again and again.
        let mut compiler = Command::new("javac");
        compiler.arg("-cp").arg(Catalog::jars()?).arg("-d").arg(catalog.folder.path().join("classes"));
        process::run(compiler.arg(places::root().join(CATALOG)), LIMIT)?;
        catalog.serve()?;
        Ok(catalog)
    }

    fn jars() -> Result<String> {
        Ok(format!("{}/*", peers::iceberg_jars()?.display()))
    }

    /// Starts the server on what it has kept.
    pub fn serve(&mut self) -> Result<()> {
        let folder = self.folder.path();
        let mut command = Command::new("java");
        command
            // A quick start is worth more than a quick server.
            .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(format!("{}:{}", folder.join("classes").display(), Catalog::jars()?))
            .args(["org.apache.iceberg.rest.Catalog", &self.port.to_string()])
            .arg(folder);
        let ready = |line: &str| line.contains("Catalog listens").then_some(());
        let (server, ()) = Server::start(&mut command, &folder.join("server.log"), LIMIT, ready)?;
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

    /// Gives its clients another secret; tokens for the one before hold no more.
    pub fn set_secret(&self, secret: &str) -> Result<()> {
        // In one step: the server may read it just now.
        let (written, kept) = (self.file("secret.new"), self.file("secret"));
        std::fs::write(&written, secret)?;
        Ok(std::fs::rename(written, kept)?)
    }

    pub fn version() -> String {
        format!("Iceberg's own catalog {} behind its REST protocol", versions::ICEBERG)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
