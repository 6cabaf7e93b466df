//! The server that the tests are given, sessions of others, and tables of it.

pub use crate::rows::*;
use arrow_schema::SchemaRef;
use dataflow::table::TableDefinition;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

/// The types of a text, and of one that may be long.
pub const TEXT: &str = "text";
pub const LONG_TEXT: &str = "text";
/// Keys that count up by themselves.
pub const COUNTING: [&str; 2] = ["bigserial PRIMARY KEY", "bigserial PRIMARY KEY"];
/// Tables that are read in the order of their keys.
pub const SCANNED: &[(&str, &str)] = &[
    ("scan_numbers", "id bigint PRIMARY KEY"),
    ("scan_letters", "id text COLLATE \"C\" PRIMARY KEY"),
    ("scan_pairs", "id integer, part bytea DEFAULT 'p', PRIMARY KEY (part, id)"),
    ("scan_dates", "id bigint, day timestamptz DEFAULT '2024-01-01 00:00:00.5', PRIMARY KEY (day, id)"),
];

pub struct Server {
    pub port: String,
    pub user: String,
    pub password: String,
}

/// Where the server is.
pub fn server() -> Server {
    let given = std::env::var("EVENTWRIGHT_TEST_POSTGRES");
    let given = given.expect("run it with: cargo xtask test postgres");
    let mut parts = given.splitn(3, ' ').map(str::to_string);
    let mut part = || parts.next().expect("PORT USER PASSWORD");
    Server { port: part(), user: part(), password: part() }
}

impl Server {
    pub fn url(&self) -> String {
        format!("jdbc:postgresql://127.0.0.1:{}/shop", self.port)
    }

    fn psql(&self) -> Command {
        let mut command = Command::new("psql");
        command.args(["-h", "127.0.0.1", "-p", &self.port, "-U", &self.user, "-d", "shop"]);
        command.args(["-v", "ON_ERROR_STOP=1", "-qAtX"]).env("PGPASSWORD", &self.password);
        command
    }

    /// Runs SQL, and answers its rows with `|` between the values.
    pub fn run(&self, sql: &str) -> String {
        let output = self.psql().args(["-c", sql]).output().unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_string()
    }

    /// Another user who may do everything, with the same password.
    pub fn add_user(&self, name: &str) {
        self.run(&format!(
            "CREATE ROLE {name} LOGIN SUPERUSER PASSWORD '{}'",
            self.password.replace('\'', "''")
        ));
    }

    /// A session of somebody else, who holds what the statement gives until it is dropped.
    pub fn holding(&self, sql: &str) -> Session {
        let mut child = self.psql().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut session = Session { child, output };
        session.run(&format!("BEGIN; {sql}"));
        session
    }

    /// The process of the server that works for a sink and waits for a lock on a table (or for a row of it).
    pub fn waiting(&self, table: &str) -> String {
        let sql = format!(
            "SELECT a.pid FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND l.relation = '{table}'::regclass \
             WHERE a.application_name = 'eventwright' AND a.wait_event_type = 'Lock' LIMIT 1"
        );
        loop {
            let found = self.run(&sql);
            if !found.is_empty() {
                return found;
            }
        }
    }

    /// The table `t` over a table of the server.
    pub fn table(
        &self,
        name: &str,
        columns: SchemaRef,
        key: &[&str],
        options: &[(&str, &str)],
    ) -> Arc<TableDefinition> {
        let url = self.url();
        table_at((&url, &self.user, &self.password), name, columns, key, options)
    }

    /// A table of a number and a name.
    pub fn people(&self, name: &str, key: &[&str], options: &[(&str, &str)]) -> Arc<TableDefinition> {
        self.table(name, people_schema(), key, options)
    }

    pub fn offset(&self, job: &str) -> i64 {
        self.run(&format!("SELECT outbox_offset FROM eventwright_offsets WHERE job = '{job}'"))
            .parse()
            .unwrap()
    }
}

pub struct Session {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Session {
    /// Runs SQL, and waits until it is done.
    pub fn run(&mut self, sql: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(format!("{sql};\n\\echo done\n").as_bytes()).unwrap();
        let mut line = String::new();
        while line.trim_end() != "done" {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "psql ended");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It ends with its input, and with it the transaction.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
