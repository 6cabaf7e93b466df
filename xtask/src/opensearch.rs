//! OpenSearch: a node as a plain process on a free port, with all that it keeps in a folder of its own.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use os::Os;
use os::http::{Request, exchange};
use serde_json::Value;
use tempfile::TempDir;

use crate::kafka::lasting_ports;
use crate::process::{self, Server};
use crate::{peers, places, versions};

const LIMIT: Duration = Duration::from_secs(300);
const PROGRAM: &str = "tests/opensearch/Server.java";
/// Who may do everything.
const USER: &str = "suite";
const PASSWORD: &str = "pencil-and-paper";
/// Both of them as HTTP's Basic has it.
const AUTHORIZATION: &str = "Basic c3VpdGU6cGVuY2lsLWFuZC1wYXBlcg==";

/// A running node; stopped when dropped.
pub struct OpenSearch {
    server: Option<Server>,
    folder: TempDir,
    pub port: u16,
    transport_port: u16,
}

impl OpenSearch {
    /// With a user besides its own.
    pub fn start(user: &str, password: &str) -> Result<OpenSearch> {
        let folder = tempfile::Builder::new().prefix("opensearch-").tempdir()?;
        let [port, transport_port] = lasting_ports()?;
        let mut node = OpenSearch { server: None, folder, port, transport_port };
        std::fs::create_dir_all(node.file("config"))?;
        std::fs::write(node.file("log4j2.properties"), LOGGING)?;
        node.set_password(user, password)?;
        // Once, for a node that is started again and again.
        let mut compiler = Command::new("javac");
        compiler.arg("-cp").arg(OpenSearch::jars()?).arg("-d").arg(node.folder.path());
        process::run(compiler.arg(places::root().join(PROGRAM)), LIMIT)?;
        node.serve()?;
        Ok(node)
    }

    fn jars() -> Result<String> {
        Ok(format!("{}/*", peers::opensearch_jars()?.display()))
    }

    /// Starts the node on what it has kept.
    pub fn serve(&mut self) -> Result<()> {
        let mut command = Command::new("java");
        command
            // A quick start is worth more than a quick server.
            .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg(format!("-Dlog4j2.configurationFile={}", self.file("log4j2.properties").display()))
            .arg("-Dopensearch.set.netty.runtime.available.processors=false")
            .arg("-cp")
            .arg(format!("{}:{}", OpenSearch::jars()?, self.folder.path().display()))
            .arg("Server")
            .arg(self.folder.path())
            .args([self.port.to_string(), self.transport_port.to_string()]);
        let ready = |line: &str| line.contains("OpenSearch listens").then_some(());
        let (server, ()) = Server::start(&mut command, &self.file("server.log"), LIMIT, ready)?;
        self.server = Some(server);
        Ok(())
    }

    /// Kills the node as it stands.
    pub fn kill(&mut self) {
        drop(self.server.take());
    }

    pub fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("the server is not there")
    }

    /// Gives the other user a password.
    pub fn set_password(&self, user: &str, password: &str) -> Result<()> {
        // In one step: the node may read it just now.
        let (written, users) = (self.file("users.new"), self.file("users"));
        std::fs::write(&written, format!("{USER}:{PASSWORD}\n{user}:{password}\n"))?;
        Ok(std::fs::rename(written, users)?)
    }

    /// What the node answers to its own user.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let address = format!("127.0.0.1:{}", self.port);
        let headers = [("Authorization", AUTHORIZATION), ("Content-Type", "application/json")];
        let request = Request { method, address: &address, path, headers: &headers, body: body.as_bytes() };
        let answer = exchange(Os::real().network.as_ref(), &request, LIMIT)?;
        let text = String::from_utf8_lossy(&answer.body);
        ensure!((200..300).contains(&answer.status), "OpenSearch: {method} {path}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    pub fn version() -> String {
        format!("OpenSearch {}", versions::OPENSEARCH.trim_end_matches(".0"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

const LOGGING: &str = "rootLogger.level=WARN
rootLogger.appenderRef.stdout.ref=STDOUT
appender.stdout.type=Console
appender.stdout.name=STDOUT
appender.stdout.layout.type=PatternLayout
appender.stdout.layout.pattern=%d{HH:mm:ss,SSS} %-5p %c{1} - %m%n
";
