//! A NATS with JetStream: a plain process on a free port, with all that it keeps in a folder of its own.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::kafka::lasting_port;
use crate::process::{self, Server};
use crate::{certificates, peers, places};

const LIMIT: Duration = Duration::from_secs(60);
const SCRIPT: &str = "tests/nats/client.py";
const READY: &str = "Server is ready";

/// Who may do everything.
pub const USER: &str = "shop";
pub const PASSWORD: &str = "pencil-and-paper";
/// An NKey for tests, which opens nothing else: the public key, and its seed.
pub const NKEY: &str = "UBHIKXRZO552TPW23MH4QYP3KGDCPXYB22EPZQZVTEYDP5PKIQBTC2B6";
pub const NKEY_SEED: &str = "SUADD5SSB7TMGNXHG7UKSNIRATOBKZCDVD4LWOPUDTHJUYNFJQEHSVPHVE";

/// A running server; stopped when dropped.
pub struct Nats {
    server: Option<Server>,
    folder: TempDir,
    /// Users besides [`USER`], with their passwords.
    users: Vec<(String, String)>,
    pub port: u16,
}

impl Nats {
    pub fn start(users: &[(&str, &str)]) -> Result<Nats> {
        let folder = tempfile::Builder::new().prefix("nats-").tempdir()?;
        certificates::make(folder.path(), "nats")?;
        let users = users.iter().map(|(user, password)| (user.to_string(), password.to_string())).collect();
        let mut nats = Nats { server: None, folder, users, port: lasting_port()? };
        nats.serve()?;
        Ok(nats)
    }

    fn configuration(&self) -> String {
        let mut users = format!("{{user: {USER}, password: \"{PASSWORD}\"}}, {{nkey: {NKEY}}}");
        for (user, password) in &self.users {
            users.push_str(&format!(", {{user: {user}, password: \"{password}\"}}"));
        }
        format!(
            "listen: \"127.0.0.1:{}\"
jetstream {{ store_dir: \"{folder}/data\" }}
tls {{ cert_file: \"{folder}/server.pem\", key_file: \"{folder}/server.key\" }}
allow_non_tls: true
authorization {{ users: [{users}] }}
",
            self.port,
            folder = self.folder.path().display()
        )
    }

    /// Starts the server on what it has kept.
    pub fn serve(&mut self) -> Result<()> {
        let configuration = self.file("nats.conf");
        std::fs::write(&configuration, self.configuration())?;
        // It speaks to its standard error.
        let run = format!("exec {} -c {} 2>&1", program()?.display(), configuration.display());
        let ready = |line: &str| line.contains(READY).then_some(());
        let mut command = Command::new("sh");
        let (server, ()) = Server::start(command.args(["-c", &run]), &self.file("server.log"), LIMIT, ready)?;
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

    /// Gives a user another password; done when the server knows it.
    pub fn set_password(&mut self, user: &str, password: &str) -> Result<()> {
        let known = self.users.iter_mut().find(|(name, _)| name == user).context("there is no such user")?;
        known.1 = password.to_string();
        std::fs::write(self.file("nats.conf"), self.configuration())?;
        self.server()?.hang_up()?;
        let begun = Instant::now();
        while process::output(&mut self.client_as(user, password, &["check"])?, LIMIT).is_err() {
            if begun.elapsed() > LIMIT {
                bail!("the server does not take the new password");
            }
        }
        Ok(())
    }

    fn client_as(&self, user: &str, password: &str, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(peers::nats_python()?);
        command
            .arg(places::root().join(SCRIPT))
            .args([&self.port.to_string(), user, password])
            .args(arguments)
            .stderr(std::process::Stdio::piped());
        Ok(command)
    }

    /// What a client of Python says, which is none of ours: `arguments` are those of `tests/nats/client.py`.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.client_as(USER, PASSWORD, arguments)?;
        process::output(command.stderr(std::process::Stdio::inherit()), LIMIT)
    }

    pub fn version(&self) -> Result<String> {
        let said = process::output(Command::new(program()?).arg("--version"), LIMIT)?;
        let number = said.trim().rsplit_once('v').map_or(said.trim(), |(_, number)| number);
        Ok(format!("NATS {number}"))
    }

    /// A file of the server: `ca.pem`, `server.log`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn program() -> Result<PathBuf> {
    let folder = peers::folder("nats-server")?.join("bin");
    let found = folder.join("nats-server");
    if !found.is_file() {
        bail!("NATS is missing; run: cargo xtask peers install nats");
    }
    Ok(found)
}
