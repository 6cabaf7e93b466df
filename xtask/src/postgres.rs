//! A PostgreSQL of Debian's packages: a plain process on a free port, with its data in a folder of its own.
//!
//! PostgreSQL refuses to run as root, so root runs it as the user that the package has made.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::kafka::lasting_port;
use crate::process::{self, Server};

const LIMIT: Duration = Duration::from_secs(120);
/// Debian has a folder for each version here.
const VERSIONS: &str = "/usr/lib/postgresql";
const READY: &str = "database system is ready to accept connections";

/// Who owns the database, and what they know. Their password is kept for SCRAM-SHA-256.
pub const USER: &str = "shop";
pub const PASSWORD: &str = "pencil 'n' paper";
/// Somebody whose password is kept in the older way.
pub const OLD_USER: &str = "old";
/// Somebody who is let in over TLS only.
pub const SECURED_USER: &str = "secured";

/// An authority, and the certificate of the server.
const CERTIFICATES: &str = "set -e
key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
openssl req -x509 $key -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
printf 'subjectAltName=IP:127.0.0.1' > server.ext
openssl req $key -subj /CN=postgres -keyout server.key -out server.csr
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.pem";

/// A running server; stopped when dropped.
pub struct Postgres {
    server: Option<Server>,
    folder: PathBuf,
    programs: PathBuf,
    log: PathBuf,
    pub port: u16,
}

impl Postgres {
    /// `log` gets what the server says.
    pub fn start(log: &Path) -> Result<Postgres> {
        let programs = programs()?;
        let template = "/tmp/eventwright-postgres-XXXXXX";
        let made = process::output(as_user("mktemp").args(["-d", template]), LIMIT)?;
        let folder = PathBuf::from(made.trim());
        // Whatever fails from here on, the folder goes.
        let mut postgres = Postgres {
            server: None,
            folder: folder.clone(),
            programs: programs.clone(),
            log: log.into(),
            port: 0,
        };
        let data = folder.join("data");
        let secret = folder.join("secret");
        std::fs::write(&secret, PASSWORD)?;
        let mut init = as_user(&programs.join("initdb").display().to_string());
        init.args(["--auth-local=trust", "--auth-host=md5", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        init.arg(format!("--username={USER}")).arg(format!("--pwfile={}", secret.display()));
        process::output(init.arg("-D").arg(&data), LIMIT)?;
        let make = format!("cd {} && {CERTIFICATES}", folder.display());
        process::output(as_user("bash").args(["-c", &make]), LIMIT)?;
        // Slots that tell of changes need it.
        let settings = data.join("postgresql.conf");
        let given = std::fs::read_to_string(&settings)?;
        std::fs::write(&settings, format!("{given}\nwal_level = logical\n"))?;
        let rules = data.join("pg_hba.conf");
        let known = std::fs::read_to_string(&rules)?;
        std::fs::write(&rules, format!("hostnossl all {SECURED_USER} all reject\n{known}"))?;
        postgres.port = lasting_port()?;
        postgres.serve()?;
        postgres.run(&format!(
            "CREATE DATABASE shop; CREATE ROLE {SECURED_USER} LOGIN SUPERUSER PASSWORD '{0}'; \
             SET password_encryption = 'md5'; CREATE ROLE {OLD_USER} LOGIN SUPERUSER PASSWORD '{0}'",
            PASSWORD.replace('\'', "''")
        ))?;
        Ok(postgres)
    }

    /// Starts the server on the data that it has.
    pub fn serve(&mut self) -> Result<()> {
        let run = format!(
            "cd {0} && exec {1} -D {0}/data -p {2} -k {0} -h 127.0.0.1 -c ssl=on -c ssl_cert_file={0}/server.pem \
             -c ssl_key_file={0}/server.key 2>&1",
            self.folder.display(),
            self.programs.join("postgres").display(),
            self.port
        );
        let ready = |line: &str| line.contains(READY).then_some(());
        let (server, ()) = Server::start(as_user("sh").args(["-c", &run]), &self.log, LIMIT, ready)?;
        self.server = Some(server);
        Ok(())
    }

    /// Stops the server, `fast` or `immediate` (as a crash would), and starts it again.
    pub fn restart(&mut self, mode: &str) -> Result<()> {
        self.stop(mode)?;
        self.serve()
    }

    /// Stops the server, `fast` or `immediate` (as a crash would).
    pub fn stop(&mut self, mode: &str) -> Result<()> {
        let mut stop = as_user(&self.programs.join("pg_ctl").display().to_string());
        process::output(
            stop.args(["stop", "-w", "-t", "100", "-m", mode, "-D"]).arg(self.folder.join("data")),
            LIMIT,
        )?;
        drop(self.server.take());
        Ok(())
    }

    /// The server's process.
    pub fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("the server is not there")
    }

    /// `PostgreSQL 15.8`
    pub fn version(&self) -> Result<String> {
        let said = process::output(Command::new(self.programs.join("postgres")).arg("--version"), LIMIT)?;
        let number = said.split_whitespace().nth(2).context("no version")?;
        Ok(format!("PostgreSQL {number}"))
    }

    /// The file with the authority that signed the server's certificate, and the certificate itself.
    pub fn certificates(&self) -> (PathBuf, PathBuf) {
        (self.folder.join("ca.pem"), self.folder.join("server.pem"))
    }

    /// Runs SQL in the database `postgres`.
    pub fn run(&self, sql: &str) -> Result<String> {
        self.psql("postgres", sql)
    }

    /// Runs a file of SQL in a database.
    pub fn script(&self, database: &str, file: &Path) -> Result<String> {
        process::output(self.client(database).arg("-f").arg(file), LIMIT)
    }

    fn client(&self, database: &str) -> Command {
        let mut command = Command::new("psql");
        command.arg("-h").arg(&self.folder).args(["-p", &self.port.to_string(), "-U", USER, "-d", database]);
        command.args(["-v", "ON_ERROR_STOP=1", "-q"]);
        command
    }

    /// Runs SQL in a database, over the socket.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let mut command = self.client(database);
        // Each `-c` is a transaction of its own.
        for statement in sql.split(';').filter(|statement| !statement.trim().is_empty()) {
            command.args(["-c", statement]);
        }
        process::output(&mut command, LIMIT)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.server.take());
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The programs of the newest version.
fn programs() -> Result<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(VERSIONS)
        .context("PostgreSQL is missing; run: cargo xtask peers install debian")?
        .filter_map(|entry| entry.ok())
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, programs): &(u32, PathBuf)| programs.join("initdb").is_file())
        .collect();
    versions.sort();
    let newest =
        versions.pop().context("PostgreSQL's server is missing; run: cargo xtask peers install debian")?;
    Ok(newest.1)
}

fn as_user(program: &str) -> Command {
    if rustix::process::getuid().is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", program]);
        // The caller's folder may be closed to that user.
        command.current_dir("/tmp");
        return command;
    }
    Command::new(program)
}
