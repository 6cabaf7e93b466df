//! A MariaDB of Debian's packages, or a MySQL that a package of npm carries: a plain process on a free port, with its data in
//! a folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::kafka::lasting_ports;
use crate::process::{self, Server};
use crate::{certificates, peers};

const LIMIT: Duration = Duration::from_secs(120);
const MARIADB: &str = "/usr/sbin/mariadbd";
const READY: &str = "ready for connections";

/// Who owns the database, and what they know.
pub const USER: &str = "shop";
pub const PASSWORD: &str = "pencil 'n' paper";
pub const DATABASE: &str = "shop";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brand {
    MariaDb,
    /// An old one, 5.6, without TLS: no younger one was found.
    MySql,
}

/// A running server; stopped when dropped.
pub struct MySql {
    brand: Brand,
    /// What it is told besides.
    settings: Vec<String>,
    server: Option<Server>,
    folder: TempDir,
    log: PathBuf,
    pub port: u16,
}

impl MySql {
    /// `log` gets what the server says.
    pub fn start(brand: Brand, log: &Path) -> Result<MySql> {
        let mysql = MySql::bare(brand, log, vec!["--server-id=1".to_owned()])?;
        mysql.set_up()?;
        Ok(mysql)
    }

    /// Two servers, of which the second has all that the first one has, and its transactions the same numbers.
    pub fn pair(brand: Brand, logs: [&Path; 2]) -> Result<[MySql; 2]> {
        let settings = |id: u8| {
            let mut settings = vec![format!("--server-id={id}"), "--log-slave-updates".to_owned()];
            if brand == Brand::MySql {
                settings.extend(["--gtid-mode=ON", "--enforce-gtid-consistency"].map(str::to_owned));
            }
            settings
        };
        let first = MySql::bare(brand, logs[0], settings(1))?;
        let second = MySql::bare(brand, logs[1], settings(2))?;
        first.set_up()?;
        let by_numbers = match brand {
            Brand::MariaDb => "MASTER_USE_GTID = slave_pos",
            Brand::MySql => "MASTER_AUTO_POSITION = 1",
        };
        second.run(
            "mysql",
            &format!(
                "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}, MASTER_USER = '{USER}', \
                 MASTER_PASSWORD = '{}', MASTER_CONNECT_RETRY = 1, {by_numbers}; START SLAVE",
                first.port,
                PASSWORD.replace('\'', "''")
            ),
        )?;
        // It knows the user then, too.
        let (done, wait) = match brand {
            Brand::MariaDb => ("@@global.gtid_binlog_pos", "MASTER_GTID_WAIT"),
            Brand::MySql => ("@@global.gtid_executed", "WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS"),
        };
        let done = first.run("mysql", &format!("SELECT {done}"))?;
        let waited =
            second.run("mysql", &format!("SELECT {wait}('{}', {})", done.trim(), LIMIT.as_secs()))?;
        let is_done = waited.trim().parse::<i64>().is_ok_and(|waited| waited >= 0);
        ensure!(is_done, "the second server does not follow the first one: {waited}");
        Ok([first, second])
    }

    /// One without a database of ours.
    fn bare(brand: Brand, log: &Path, settings: Vec<String>) -> Result<MySql> {
        let folder = tempfile::Builder::new().prefix("mysql-").tempdir()?;
        certificates::make(folder.path(), "mysql")?;
        let [port] = lasting_ports()?;
        let data = folder.path().join("data");
        match brand {
            Brand::MariaDb => {
                let mut install = Command::new("mariadb-install-db");
                install.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"]);
                install.arg(format!("--datadir={}", data.display())).args(as_root());
                process::output(&mut install, LIMIT)?;
            }
            // The package brings the tables of the server itself.
            Brand::MySql => {
                let given = peers::mysql_folder()?.join("data/mysql");
                process::output(Command::new("cp").arg("-r").arg(given).arg(&data), LIMIT)?;
                // It is the number of one server.
                let _ = std::fs::remove_file(data.join("auto.cnf"));
            }
        }
        let mut mysql = MySql { brand, settings, server: None, folder, log: log.into(), port };
        mysql.serve()?;
        Ok(mysql)
    }

    fn set_up(&self) -> Result<()> {
        let quoted = PASSWORD.replace('\'', "''");
        let sql = format!(
            "CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4; CREATE USER {USER} IDENTIFIED BY '{quoted}'; \
             GRANT ALL ON *.* TO {USER} WITH GRANT OPTION"
        );
        self.run("mysql", &sql).map(drop)
    }

    /// Starts the server on the data that it has.
    pub fn serve(&mut self) -> Result<()> {
        let folder = self.folder.path().display();
        let program = match self.brand {
            Brand::MariaDb => format!(
                "exec {MARIADB} --no-defaults --ssl-ca={folder}/ca.pem --ssl-cert={folder}/server.pem \
                 --ssl-key={folder}/server.key"
            ),
            Brand::MySql => {
                let package = peers::mysql_folder()?;
                let package = package.display();
                format!(
                    "export LD_LIBRARY_PATH={package}; exec {package}/mysqld --no-defaults --basedir={package} \
                     --lc-messages-dir={package}/share"
                )
            }
        };
        let run = format!(
            "{program} --datadir={folder}/data --socket={folder}/socket --port={} --bind-address=127.0.0.1 \
             --skip-name-resolve --log-bin={folder}/data/binlog --relay-log={folder}/data/relay --binlog-format=ROW \
             --innodb-buffer-pool-size=64M {} {} 2>&1",
            self.port,
            self.settings.join(" "),
            as_root().join(" ")
        );
        let ready = |line: &str| line.contains(READY).then_some(());
        let mut command = Command::new("sh");
        let (server, ()) = Server::start(command.args(["-c", &run]), &self.log, LIMIT, ready)?;
        self.server = Some(server);
        Ok(())
    }

    /// Kills the server as it stands.
    pub fn kill(&mut self) {
        drop(self.server.take());
    }

    /// The server's process.
    pub fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("the server is not there")
    }

    /// `MariaDB 10.11.6`
    pub fn version(&self) -> Result<String> {
        let said = self.run("mysql", "SELECT VERSION()")?;
        let number = said.trim().split('-').next().context("it does not say its version")?;
        let name = if self.brand == Brand::MariaDb { "MariaDB" } else { "MySQL" };
        Ok(format!("{name} {number}"))
    }

    /// A file of the server: `ca.pem`, `client.pem`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a user, who may do what is said.
    pub fn add_user(&self, name: &str, password: &str, grants: &[&str]) -> Result<()> {
        let mut sql = format!("CREATE USER {name} IDENTIFIED BY '{password}'");
        grants.iter().for_each(|grant| sql.push_str(&format!("; GRANT {grant} TO {name}")));
        self.run("mysql", &sql).map(drop)
    }

    /// Gives a user another password.
    pub fn set_password(&self, name: &str, password: &str) -> Result<()> {
        self.run("mysql", &format!("SET PASSWORD FOR {name} = PASSWORD('{password}')")).map(drop)
    }

    /// Runs SQL over the socket; answers rows as lines, values parted by tabs.
    pub fn run(&self, database: &str, sql: &str) -> Result<String> {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--batch", "--skip-column-names", "--user=root"]);
        command.arg(format!("--socket={}", self.file("socket").display()));
        command.args(["--default-character-set=utf8mb4", "--database", database, "--execute", sql]);
        process::output(&mut command, LIMIT)
    }
}

/// The server runs as root only where it is told to.
fn as_root() -> &'static [&'static str] {
    if rustix::process::getuid().is_root() { &["--user=root"] } else { &[] }
}
