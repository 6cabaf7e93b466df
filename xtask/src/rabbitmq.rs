//! A RabbitMQ of Debian's package: plain processes on free ports, with all that they keep in a folder of their own.
//!
//! Erlang's nodes find one another through a port mapper, which a node starts as a daemon that outlives it; so one is
//! started first, as a program like any other.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::kafka::lasting_ports;
use crate::process::{self, Group, Server};
use crate::{certificates, places};

const LIMIT: Duration = Duration::from_secs(300);
/// Debian has a folder for each version here.
const VERSIONS: &str = "/usr/lib/rabbitmq/lib";
const SCRIPT: &str = "tests/rabbitmq/client.py";
const READY: &str = "Server startup complete";

/// Who may do everything; also the name in the client's certificate.
pub const USER: &str = "shop";
pub const PASSWORD: &str = "pencil and paper";

/// A running server; stopped when dropped.
pub struct RabbitMq {
    server: Option<Server>,
    mapper: Group,
    folder: TempDir,
    mapper_port: u16,
    distribution_port: u16,
    pub port: u16,
    pub tls_port: u16,
    pub stream_port: u16,
    pub stream_tls_port: u16,
    pub stomp_port: u16,
    pub stomp_tls_port: u16,
}

impl RabbitMq {
    pub fn start() -> Result<RabbitMq> {
        let folder = tempfile::Builder::new().prefix("rabbitmq-").tempdir()?;
        let [
            mapper_port,
            distribution_port,
            port,
            tls_port,
            stream_port,
            stream_tls_port,
            stomp_port,
            stomp_tls_port,
        ] = lasting_ports()?;
        certificates::make(folder.path(), "rabbitmq")?;
        let mut mapper = Command::new("epmd");
        mapper.args(["-port", &mapper_port.to_string(), "-address", "127.0.0.1"]);
        let mapper = Group::spawn(mapper.stdout(Stdio::null()).stderr(Stdio::null()))?;
        wait_for(mapper_port)?;
        let mut server = RabbitMq {
            server: None,
            mapper,
            folder,
            mapper_port,
            distribution_port,
            port,
            tls_port,
            stream_port,
            stream_tls_port,
            stomp_port,
            stomp_tls_port,
        };
        std::fs::create_dir(server.file("home"))?;
        let plugins = "[rabbitmq_stream,rabbitmq_stomp,rabbitmq_auth_mechanism_ssl].\n";
        std::fs::write(server.file("enabled_plugins"), plugins)?;
        std::fs::write(server.file("rabbitmq.conf"), server.configuration())?;
        server.serve()?;
        Ok(server)
    }

    fn configuration(&self) -> String {
        let RabbitMq { port, tls_port, stream_port, stream_tls_port, stomp_port, stomp_tls_port, .. } = self;
        format!(
            "listeners.tcp.1 = 127.0.0.1:{port}
listeners.ssl.1 = 127.0.0.1:{tls_port}
stream.listeners.tcp.1 = 127.0.0.1:{stream_port}
stream.listeners.ssl.1 = 127.0.0.1:{stream_tls_port}
stomp.listeners.tcp.1 = 127.0.0.1:{stomp_port}
stomp.listeners.ssl.1 = 127.0.0.1:{stomp_tls_port}
stream.advertised_host = 127.0.0.1
stream.advertised_port = {stream_port}
ssl_options.cacertfile = {folder}/ca.pem
ssl_options.certfile = {folder}/server.pem
ssl_options.keyfile = {folder}/server.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
ssl_cert_login_from = common_name
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = EXTERNAL
default_user = {USER}
default_pass = {PASSWORD}
log.console = true
log.console.level = info
log.file = false
",
            folder = self.folder.path().display()
        )
    }

    /// Starts the server on what it has kept.
    pub fn serve(&mut self) -> Result<()> {
        let ready = |line: &str| line.contains(READY).then_some(());
        let mut command = self.program("rabbitmq-server")?;
        let (server, ()) = Server::start(&mut command, &self.file("server.log"), LIMIT, ready)?;
        self.server = Some(server);
        Ok(())
    }

    /// One of RabbitMQ's programs, for this server.
    fn program(&self, name: &str) -> Result<Command> {
        let mut command = Command::new(programs()?.join(name));
        command
            // Where it leaves what it has to say of a crash.
            .current_dir(self.folder.path())
            .env("HOME", self.file("home"))
            .env("ERL_EPMD_PORT", self.mapper_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_FLAGS", "-start_epmd false")
            // The script then becomes the server, and is not its parent: killed is who should be.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env("RABBITMQ_DIST_PORT", self.distribution_port.to_string())
            .env("RABBITMQ_NODENAME", format!("eventwright{}@localhost", self.port))
            .env("RABBITMQ_CONFIG_FILE", self.file("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.file("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", self.file("data"))
            .env("RABBITMQ_LOG_BASE", self.file("log"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", self.file("generated"))
            .env("RABBITMQ_PID_FILE", self.file("pid"));
        Ok(command)
    }

    /// Kills the server as it stands.
    pub fn kill(&mut self) {
        drop(self.server.take());
    }

    pub fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("the server is not there")
    }

    /// Asks the server something by its own program.
    pub fn control(&self, arguments: &[&str]) -> Result<String> {
        process::output(self.program("rabbitmqctl")?.arg("--quiet").args(arguments), LIMIT)
    }

    /// A client of Python, which is none of ours: `arguments` are those of `tests/rabbitmq/client.py`.
    pub fn client(&self, arguments: &[&str]) -> Command {
        // Debian's own Python has Debian's packages.
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg(places::root().join(SCRIPT))
            .args([&self.port.to_string(), USER, PASSWORD])
            .args(arguments);
        command
    }

    /// What the client says.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        process::output(&mut self.client(arguments), LIMIT)
    }

    pub fn version(&self) -> Result<String> {
        Ok(format!("RabbitMQ {}", self.control(&["version"])?.trim()))
    }

    /// A file of the server: `ca.pem`, `client.pem`, `client.key`, `server.log`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the server is, for a user who logs in with a password.
    pub fn url(&self) -> String {
        format!("amqp://{USER}:{}@127.0.0.1:{}", PASSWORD.replace(' ', "%20"), self.port)
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        // Before the mapper, which is dropped as a field.
        drop(self.server.take());
        let _ = self.mapper.stop(LIMIT);
    }
}

/// The programs of the newest version; those on the path want to be the user `rabbitmq`.
fn programs() -> Result<PathBuf> {
    let missing = "RabbitMQ is missing; run: cargo xtask peers install debian";
    let mut found: Vec<PathBuf> = std::fs::read_dir(VERSIONS)
        .context(missing)?
        .filter_map(|entry| Some(entry.ok()?.path().join("sbin")))
        .filter(|programs: &PathBuf| programs.join("rabbitmq-server").is_file())
        .collect();
    found.sort();
    found.pop().context(missing)
}

fn wait_for(port: u16) -> Result<()> {
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        ensure!(begun.elapsed() < LIMIT, "nothing listens on port={port} of 127.0.0.1");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
