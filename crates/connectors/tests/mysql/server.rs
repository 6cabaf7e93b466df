//! The server that the tests are given, and tables of it.

pub use crate::rows::*;
use arrow_schema::SchemaRef;
use dataflow::table::TableDefinition;
use mysql_client::{Address, Connection, OptionNames};
use os::Os;
use std::sync::Arc;
use std::time::Duration;

/// The types of a text, and of one that may be long.
pub const TEXT: &str = "VARCHAR(20)";
pub const LONG_TEXT: &str = "LONGTEXT";
/// Keys that count up by themselves.
pub const COUNTING: [&str; 2] =
    ["BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY", "BIGINT AUTO_INCREMENT PRIMARY KEY"];
/// Tables that are read in the order of their keys.
pub const SCANNED: &[(&str, &str)] = &[
    ("scan_numbers", "id BIGINT PRIMARY KEY"),
    ("scan_letters", "id VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_german1_ci PRIMARY KEY"),
    ("scan_pairs", "id BIGINT, part VARBINARY(9) DEFAULT 'p', PRIMARY KEY (part, id)"),
    ("scan_dates", "id BIGINT, day DATETIME(6) DEFAULT '2024-01-01 00:00:00.5', PRIMARY KEY (day, id)"),
];

#[derive(Clone)]
pub struct Server {
    pub port: String,
    /// Where another one is, which has all that this one has.
    replica: String,
    pub user: String,
    pub password: String,
}

/// Where the server is.
pub fn server() -> Server {
    let given = std::env::var("EVENTWRIGHT_TEST_MYSQL");
    let given = given.expect("run it with: cargo xtask test mysql");
    let mut parts = given.splitn(4, ' ').map(str::to_string);
    let mut part = || parts.next().expect("PORT REPLICA USER PASSWORD");
    Server { port: part(), replica: part(), user: part(), password: part() }
}

impl Server {
    /// A session of somebody else.
    pub fn session(&self) -> Connection {
        self.session_in(Some("shop"))
    }

    /// One that holds what the statement gives until it is dropped.
    pub fn holding(&self, sql: &str) -> Holder {
        let mut holder = Holder(self.session());
        holder.run(&format!("START TRANSACTION; {sql}"));
        holder
    }

    fn session_in(&self, database: Option<&str>) -> Connection {
        let address = Address {
            host: "127.0.0.1".into(),
            port: self.port.parse().unwrap(),
            database: database.map(str::to_string),
            user: self.user.clone(),
            password: Some(self.password.clone()),
            authorities: None,
            options: OptionNames { password: "PASSWORD", tls: "TLS" },
        };
        Connection::open(&Os::real(), &address, Duration::from_secs(180)).unwrap()
    }

    fn run_in(&self, database: Option<&str>, sql: &str) -> String {
        run(&mut self.session_in(database), sql)
    }

    /// Runs SQL, and answers the rows of the last statement, with `|` between the values.
    pub fn run(&self, sql: &str) -> String {
        run(&mut self.session(), sql)
    }

    /// The other server, when it has all that this one has now, and follows it no more.
    pub fn replica(&self) -> Server {
        let replica = Server { port: self.replica.clone(), ..self.clone() };
        let (done, wait) = match self.is_old() {
            true => ("@@global.gtid_executed", "WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS"),
            false => ("@@global.gtid_binlog_pos", "MASTER_GTID_WAIT"),
        };
        let done = self.run(&format!("SELECT {done}"));
        let waited = replica.run_in(None, &format!("SELECT {wait}('{done}', 120)"));
        assert!(waited.parse::<i64>().is_ok_and(|waited| waited >= 0), "{waited}: it does not follow");
        replica.run("STOP SLAVE");
        replica
    }

    /// Whether it is an old MySQL, which lacks types and variables.
    pub fn is_old(&self) -> bool {
        self.run("SELECT VERSION()").starts_with("5.")
    }

    /// The table `t` over a table of the server.
    pub fn table(
        &self,
        name: &str,
        columns: SchemaRef,
        key: &[&str],
        options: &[(&str, &str)],
    ) -> Arc<TableDefinition> {
        let url = format!("jdbc:mysql://127.0.0.1:{}/shop", self.port);
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

pub struct Holder(Connection);

impl Holder {
    pub fn run(&mut self, sql: &str) {
        run(&mut self.0, sql);
    }
}

/// Runs SQL in a session.
pub fn run(session: &mut Connection, sql: &str) -> String {
    let answers = match session.run(sql.as_bytes()) {
        Ok(answers) => answers,
        Err(stopped) => panic!("{sql}: {}", stopped.error.message),
    };
    let shown = |value: &Option<Vec<u8>>| match value {
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        None => "NULL".into(),
    };
    let row = |row: &Vec<Option<Vec<u8>>>| row.iter().map(shown).collect::<Vec<_>>().join("|");
    answers.last().unwrap().rows.iter().map(row).collect::<Vec<_>>().join("\n")
}
