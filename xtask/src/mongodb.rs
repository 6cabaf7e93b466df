//! Servers of MongoDB's protocol as plain processes on free ports, with all that they keep in a folder of their own: FerretDB on
//! SQLite, and mongo-java-server with what `tests/mongodb/Server.java` adds to it. The vendor's own server is in no registry.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kafka::lasting_ports;
use crate::process::{self, Server};
use crate::{certificates, peers, places, versions};

const LIMIT: Duration = Duration::from_secs(120);
const PROGRAM: &str = "tests/mongodb/Server.java";
const SCRIPT: &str = "tests/mongodb/client.py";
pub const DATABASE: &str = "shop";
/// Who may do everything.
const USER: &str = "suite";
const PASSWORD: &str = "pencil-and-paper";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One server, without changes; logs users in by SCRAM-SHA-1.
    FerretDb,
    /// A replica set of one, which tells changes; logs users in by SCRAM-SHA-256.
    JavaServer,
}

/// A running server; stopped when dropped.
pub struct MongoDb {
    kind: Kind,
    server: Option<Server>,
    folder: TempDir,
    pub port: u16,
    /// Of FerretDB.
    pub tls_port: u16,
}

impl MongoDb {
    /// With a user besides its own.
    pub fn start(kind: Kind, user: &str, password: &str) -> Result<MongoDb> {
        let folder = tempfile::Builder::new().prefix("mongodb-").tempdir()?;
        let [port, tls_port] = lasting_ports()?;
        let mut mongodb = MongoDb { kind, server: None, folder, port, tls_port };
        match kind {
            Kind::FerretDb => {
                std::fs::create_dir(mongodb.file("data"))?;
                certificates::make(mongodb.folder.path(), "mongodb")?;
            }
            Kind::JavaServer => {
                mongodb.write_users(user, password)?;
                // Once, for a server that is started again and again.
                let mut compiler = Command::new("javac");
                compiler.arg("-cp").arg(MongoDb::jars()?).arg("-d").arg(mongodb.folder.path());
                process::run(compiler.arg(places::root().join(PROGRAM)), LIMIT)?;
            }
        }
        mongodb.serve()?;
        if kind == Kind::FerretDb {
            let user = json!({
                "createUser": user, "pwd": password, "roles": [], "mechanisms": ["SCRAM-SHA-1"],
            });
            mongodb.run("admin", &user)?;
        }
        Ok(mongodb)
    }

    fn jars() -> Result<String> {
        Ok(format!("{}/*", peers::mongo_java_server_jars()?.display()))
    }

    fn write_users(&self, user: &str, password: &str) -> Result<()> {
        // In one step: the server may read it just now.
        let (written, users) = (self.file("users.new"), self.file("users"));
        std::fs::write(&written, format!("{USER}:{PASSWORD}\n{user}:{password}\n"))?;
        Ok(std::fs::rename(written, users)?)
    }

    /// Starts the server on what it has kept.
    pub fn serve(&mut self) -> Result<()> {
        let folder = self.folder.path().display();
        let (mut command, ready) = match self.kind {
            Kind::FerretDb => {
                let mut command = Command::new(peers::ferretdb_program()?);
                command
                    .args(["--handler=sqlite", "--debug-addr=-", "--telemetry=disable"])
                    .args(["--test-enable-new-auth", "--setup-database=admin"])
                    .args([&format!("--setup-username={USER}"), &format!("--setup-password={PASSWORD}")])
                    .arg(format!("--sqlite-url=file:{folder}/data/"))
                    .arg(format!("--state-dir={folder}/data"))
                    .arg(format!("--listen-addr=127.0.0.1:{}", self.port))
                    .arg(format!("--listen-tls=127.0.0.1:{}", self.tls_port))
                    .arg(format!("--listen-tls-cert-file={folder}/server.pem"))
                    .arg(format!("--listen-tls-key-file={folder}/server.key"));
                // It tells of itself on the other stream.
                let mut shell = Command::new("sh");
                shell.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(command.get_program());
                shell.args(command.get_args());
                (shell, "Listening on TCP")
            }
            Kind::JavaServer => {
                let mut command = Command::new("java");
                command
                    // A quick start is worth more than a quick server.
                    .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
                    .arg("-cp")
                    .arg(format!("{}:{folder}", MongoDb::jars()?))
                    .arg("Server")
                    .arg(self.folder.path())
                    .arg(self.port.to_string());
                (command, "the server listens")
            }
        };
        let ready = move |line: &str| line.contains(ready).then_some(());
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

    /// Gives the other user a password; done when the server knows it.
    pub fn set_password(&self, user: &str, password: &str) -> Result<()> {
        match self.kind {
            Kind::JavaServer => self.write_users(user, password)?,
            Kind::FerretDb => {
                let change = json!({ "updateUser": user, "pwd": password, "mechanisms": ["SCRAM-SHA-1"] });
                self.run("admin", &change)?;
            }
        }
        let begun = Instant::now();
        let is_known = || {
            let mut command = self.client_as(user, password, &["check"])?;
            Ok::<bool, anyhow::Error>(process::output(command.stderr(Stdio::null()), LIMIT).is_ok())
        };
        while !is_known()? {
            ensure!(begun.elapsed() < LIMIT, "the server does not take the new password");
        }
        Ok(())
    }

    fn client_as(&self, user: &str, password: &str, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(peers::pymongo_program()?);
        command
            .arg(places::root().join(SCRIPT))
            .args([&self.port.to_string(), user, password])
            .args(arguments);
        Ok(command)
    }

    /// What the vendor's client of Python says: `arguments` are those of `tests/mongodb/client.py`.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        process::output(&mut self.client_as(USER, PASSWORD, arguments)?, LIMIT)
    }

    /// Runs a command of the server.
    pub fn run(&self, database: &str, command: &Value) -> Result<Value> {
        Ok(serde_json::from_str(&self.ask(&["run", database, &command.to_string()])?)?)
    }

    pub fn version(&self) -> String {
        match self.kind {
            Kind::FerretDb => format!("FerretDB {}", versions::FERRETDB),
            Kind::JavaServer => {
                format!("mongo-java-server {}, with log-in and changes of ours", versions::MONGO_JAVA_SERVER)
            }
        }
    }

    /// A file of the server: `ca.pem`, `client.pem`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
