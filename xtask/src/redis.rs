//! A Redis of Debian's package: a plain process on free ports, with all that it keeps in a folder of its own.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::kafka::lasting_ports;
use crate::process::{self, Server};
use crate::{certificates, places};

const LIMIT: Duration = Duration::from_secs(60);
const SCRIPT: &str = "tests/redis/client.py";
const READY: &str = "Ready to accept connections";

/// Of the user whom everybody is at first. Turned off, a Redis 7.0 that restarts refuses the transactions in its own file.
const EVERYBODYS: &str = "nobody-knows-it";

/// Who may do everything.
pub const USER: &str = "shop";
pub const PASSWORD: &str = "pencil-and-paper";

/// A running server; stopped when dropped.
pub struct Redis {
    server: Option<Server>,
    folder: TempDir,
    /// Users besides [`USER`], with their passwords.
    users: Vec<(String, String)>,
    pub port: u16,
    pub tls_port: u16,
    /// The port by which the nodes of a cluster know one another.
    bus_port: Option<u16>,
}

impl Redis {
    pub fn start(users: &[(&str, &str)]) -> Result<Redis> {
        Redis::start_as(users, false)
    }

    /// One that is to be a node of a cluster.
    pub fn start_node() -> Result<Redis> {
        Redis::start_as(&[], true)
    }

    fn start_as(users: &[(&str, &str)], is_node: bool) -> Result<Redis> {
        let folder = tempfile::Builder::new().prefix("redis-").tempdir()?;
        certificates::make(folder.path(), "redis")?;
        let [port, tls_port, bus_port] = lasting_ports()?;
        let users = users.iter().map(|(user, password)| (user.to_string(), password.to_string())).collect();
        let bus_port = is_node.then_some(bus_port);
        let mut redis = Redis { server: None, folder, users, port, tls_port, bus_port };
        redis.serve()?;
        Ok(redis)
    }

    fn configuration(&self) -> String {
        let everybody = std::iter::once((USER, PASSWORD))
            .chain(self.users.iter().map(|(user, password)| (user.as_str(), password.as_str())));
        let users: String =
            everybody.map(|(user, password)| format!("user {user} on >{password} ~* &* +@all\n")).collect();
        let cluster = self.bus_port.map_or(String::new(), |port| {
            format!("cluster-enabled yes\ncluster-port {port}\ncluster-config-file nodes.conf\n")
        });
        let Redis { port, tls_port, .. } = self;
        format!(
            "bind 127.0.0.1
port {port}
tls-port {tls_port}
tls-cert-file {folder}/server.pem
tls-key-file {folder}/server.key
tls-ca-cert-file {folder}/ca.pem
tls-auth-clients optional
dir {folder}
save \"\"
appendonly yes
user default on >{EVERYBODYS} ~* &* +@all
{users}{cluster}",
            folder = self.folder.path().display()
        )
    }

    /// Starts the server on what it has kept.
    pub fn serve(&mut self) -> Result<()> {
        let configuration = self.file("redis.conf");
        std::fs::write(&configuration, self.configuration())?;
        let ready = |line: &str| line.contains(READY).then_some(());
        let mut command = Command::new("redis-server");
        command.arg(&configuration);
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

    /// Gives a user another password.
    pub fn set_password(&mut self, user: &str, password: &str) -> Result<()> {
        let known = self.users.iter_mut().find(|(name, _)| name == user).context("there is no such user")?;
        known.1 = password.to_string();
        self.ask(&["user", user, password, "~*", "&*", "+@all"]).map(drop)
    }

    /// What a client of Python says, which is none of ours: `arguments` are those of `tests/redis/client.py`.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        // Debian's own Python has Debian's packages.
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg(places::root().join(SCRIPT))
            .args([&self.port.to_string(), USER, PASSWORD])
            .args(arguments);
        process::output(&mut command, LIMIT)
    }

    pub fn version(&self) -> Result<String> {
        let said = process::output(Command::new("redis-server").arg("--version"), LIMIT)?;
        let number = said.split_whitespace().find_map(|word| word.strip_prefix("v="));
        Ok(format!("Redis {}", number.context("it does not say its version")?))
    }

    /// Where the nodes of a cluster reach it: `PORT:PORT`, the second one of their own.
    pub fn bus_address(&self) -> Result<String> {
        let bus_port = self.bus_port.context("it is no node of a cluster")?;
        Ok(format!("{}:{bus_port}", self.port))
    }

    /// A file of the server: `ca.pem`, `client.pem`, `client.key`, `server.log`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
