//! MariaDB and MySQL: servers that jobs reach through the gate, and the suite over their sockets.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, KEYS, Outside, Place, REFUSED, USER, text};
use crate::mysql::{self, Brand, DATABASE};
use crate::process::Server;

pub struct MySql {
    brand: Brand,
    server: mysql::MySql,
    gate: Gate,
}

impl MySql {
    pub fn new(brand: Brand, folder: &Path) -> Result<MySql> {
        let server = mysql::MySql::start(brand, &folder.join("mysql.log"))?;
        server.add_user(USER, FIRST_PASSWORD, &[&format!("ALL ON {DATABASE}.*")])?;
        let gate = Gate::to(server.port)?;
        Ok(MySql { brand, server, gate })
    }

    fn make(&self, place: &Place, columns: &str) -> Result<()> {
        self.server.run(DATABASE, &format!("CREATE TABLE {} ({columns})", place.name)).map(drop)
    }
}

impl Outside for MySql {
    fn name(&self) -> &'static str {
        match self.brand {
            Brand::MariaDb => "mariadb",
            Brand::MySql => "mysql",
        }
    }

    fn connector(&self) -> &'static str {
        "jdbc"
    }

    fn version(&self) -> Result<String> {
        self.server.version()
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Source, Direction::Sink]
    }

    fn exempt(&self, direction: Direction, case: &str) -> Option<&'static str> {
        match (direction, case) {
            (Direction::Source, "poison") => {
                Some("a column whose values are not all of the declared type is refused as a whole")
            }
            _ => None,
        }
    }

    fn start(&mut self) -> Result<()> {
        self.server.serve()
    }

    fn kill(&mut self) -> Result<()> {
        self.server.kill();
        Ok(())
    }

    fn server(&self) -> Result<&Server> {
        self.server.server()
    }

    fn gate(&self) -> Result<&Gate> {
        Ok(&self.gate)
    }

    fn prepare(&mut self, place: &Place, direction: Direction) -> Result<()> {
        self.make(
            place,
            match direction {
                Direction::Source => "id BIGINT AUTO_INCREMENT PRIMARY KEY, k BIGINT, n BIGINT",
                Direction::Sink => "k BIGINT, n BIGINT",
            },
        )
    }

    fn options(&self, place: &Place, direction: Direction) -> String {
        let more = match direction {
            Direction::Source => "'scan.incrementing.column' = 'id', 'scan.poll-interval' = '100 ms'",
            Direction::Sink => "'sink.buffer-flush.interval' = '100 ms'",
        };
        format!(
            "'connector' = 'jdbc', 'url' = 'jdbc:mysql://127.0.0.1:{}/{DATABASE}', 'table-name' = '{}', \
             'username' = '{USER}', 'password' = '${{file:{}}}', 'connection.max-retry-timeout' = '2 s', \
             {more}",
            self.gate.port,
            place.name,
            text(&place.password_file()),
        )
    }

    /// A table tells no order in which rows came.
    fn keeps_order(&self, direction: Direction) -> bool {
        direction == Direction::Source
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        let rows: Vec<String> = numbers.map(|n| format!("({}, {n})", n % KEYS)).collect();
        let insert = format!("INSERT INTO {} (k, n) VALUES {}", place.name, rows.join(","));
        self.server.run(DATABASE, &insert).map(drop)
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let rows = self.server.run(DATABASE, &format!("SELECT n FROM {} ORDER BY n", place.name))?;
        Ok(rows.lines().map(str::parse).collect::<std::result::Result<_, _>>()?)
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.server.set_password(USER, password)
    }

    fn refusal(&self) -> &'static str {
        "Access denied"
    }

    fn refuse(&mut self, place: &Place) -> Result<()> {
        // An old MySQL passes over what a table is to check.
        let name = &place.name;
        let sql = format!(
            "ALTER TABLE {name} MODIFY n BIGINT NOT NULL; \
             CREATE TRIGGER {name} BEFORE INSERT ON {name} FOR EACH ROW SET NEW.n = NULLIF(NEW.n, {REFUSED})"
        );
        self.server.run(DATABASE, &sql).map(drop)
    }

    fn mismatch(&mut self, place: &Place, _direction: Direction) -> Result<String> {
        self.make(place, "k BIGINT, n DATE")?;
        Ok("column 'n'".to_owned())
    }
}
