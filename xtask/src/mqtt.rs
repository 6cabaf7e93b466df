//! A Mosquitto of Debian's package: a plain process on free ports, with all that it keeps in a folder of its own.
//!
//! It has its sessions and messages in memory, and writes them when it ends. So it is ended, and not killed, where others are
//! killed: what a Mosquitto forgets that is killed is nothing a client can do something about.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::kafka::lasting_ports;
use crate::process::{self, Server};
use crate::{certificates, places};

const LIMIT: Duration = Duration::from_secs(60);
const SCRIPT: &str = "tests/mqtt/client.py";
/// Not on everybody's path.
const PROGRAM: &str = "/usr/sbin/mosquitto";

/// Who may do everything.
pub const USER: &str = "shop";
pub const PASSWORD: &str = "pencil-and-paper";

/// A running server; stopped when dropped.
pub struct Mosquitto {
    server: Option<Server>,
    folder: TempDir,
    /// Users besides [`USER`].
    users: Vec<String>,
    /// Topics that nobody but [`USER`] may write.
    denied: Vec<String>,
    pub port: u16,
    pub tls_port: u16,
}

impl Mosquitto {
    pub fn start(users: &[(&str, &str)]) -> Result<Mosquitto> {
        let folder = tempfile::Builder::new().prefix("mosquitto-").tempdir()?;
        certificates::make(folder.path(), "mosquitto")?;
        let [port, tls_port] = lasting_ports()?;
        let known = users.iter().map(|(user, _)| (*user).to_string()).collect();
        let mut server = Mosquitto { server: None, folder, users: known, denied: Vec::new(), port, tls_port };
        std::fs::write(server.file("passwords"), "")?;
        for (user, password) in [&[(USER, PASSWORD)], users].concat() {
            server.write_password(user, password)?;
        }
        server.serve()?;
        Ok(server)
    }

    fn configuration(&self) -> String {
        let Mosquitto { port, tls_port, .. } = self;
        format!(
            "user root
listener {port} 127.0.0.1
listener {tls_port} 127.0.0.1
cafile {folder}/ca.pem
certfile {folder}/server.pem
keyfile {folder}/server.key
allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/rights
persistence true
persistence_location {folder}/
max_queued_messages 0
log_dest stderr
",
            folder = self.folder.path().display()
        )
    }

    /// Everybody may do everything but what is denied. It is said by a pattern: a Mosquitto 2.0 that reads its files anew forgets
    /// what users may who are not there, and drops what is published for their sessions.
    fn rights(&self) -> String {
        let mut rights = "pattern readwrite #\n".to_owned();
        for user in &self.users {
            rights.push_str(&format!("user {user}\n"));
            for topic in &self.denied {
                rights.push_str(&format!("topic deny {topic}\n"));
            }
        }
        rights
    }

    fn write_password(&self, user: &str, password: &str) -> Result<()> {
        let mut command = Command::new("mosquitto_passwd");
        command.arg("-b").arg(self.file("passwords")).args([user, password]);
        process::output(&mut command, LIMIT).map(drop)
    }

    /// Starts the server on what it has kept.
    pub fn serve(&mut self) -> Result<()> {
        let configuration = self.file("mosquitto.conf");
        std::fs::write(&configuration, self.configuration())?;
        std::fs::write(self.file("rights"), self.rights())?;
        let ready =
            |line: &str| (line.contains("mosquitto version") && line.ends_with("running")).then_some(());
        // It keeps back what it says to a pipe, unless that is for its errors.
        let run = format!("exec {PROGRAM} -c {} 2>&1", configuration.display());
        let mut command = Command::new("sh");
        command.args(["-c", &run]);
        let (server, ()) = Server::start(&mut command, &self.file("server.log"), LIMIT, ready)?;
        self.server = Some(server);
        Ok(())
    }

    /// Ends the server, with all connections; it keeps what it has.
    pub fn end(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        server.stop(LIMIT).map(drop)
    }

    pub fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("the server is not there")
    }

    /// Gives a user another password; done when the server knows it.
    pub fn set_password(&mut self, user: &str, password: &str) -> Result<()> {
        self.write_password(user, password)?;
        self.server()?.hang_up()?;
        let begun = Instant::now();
        while process::output(&mut self.client_as(user, password, &["check"]), LIMIT).is_err() {
            if begun.elapsed() > LIMIT {
                bail!("the server does not take the new password");
            }
        }
        Ok(())
    }

    /// Lets nobody but [`USER`] write a topic from now on.
    pub fn deny(&mut self, topic: &str) -> Result<()> {
        self.denied.push(topic.to_string());
        std::fs::write(self.file("rights"), self.rights())?;
        self.server()?.hang_up()
    }

    fn client_as(&self, user: &str, password: &str, arguments: &[&str]) -> Command {
        // Debian's own Python has Debian's packages.
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg(places::root().join(SCRIPT))
            .args([&self.port.to_string(), user, password])
            .args(arguments)
            .stderr(std::process::Stdio::piped());
        command
    }

    /// What a client of Python says, which is none of ours: `arguments` are those of `tests/mqtt/client.py`.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.client_as(USER, PASSWORD, arguments);
        process::output(command.stderr(std::process::Stdio::inherit()), LIMIT)
    }

    pub fn version(&self) -> Result<String> {
        let log = std::fs::read_to_string(self.file("server.log"))?;
        let words = log.lines().find_map(|line| line.split_once("mosquitto version "));
        let number = words.and_then(|(_, rest)| rest.split(' ').next());
        Ok(format!("Mosquitto {}", number.context("it does not say its version")?))
    }

    /// A file of the server: `ca.pem`, `client.pem`, `client.key`, `server.log`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
