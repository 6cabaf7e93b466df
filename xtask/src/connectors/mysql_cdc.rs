//! Changes of MariaDB and MySQL: servers whose logs jobs read through the gate, and the suite over their sockets.
//!
//! What is put before the job begins lies in the table then, and what is put later comes as changes.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, KEYS, Outside, Place, USER, text};
use crate::mysql::{Brand, DATABASE, MySql};
use crate::process::Server;

pub struct Changes {
    brand: Brand,
    server: MySql,
    gate: Gate,
}

impl Changes {
    pub fn new(brand: Brand, folder: &Path) -> Result<Changes> {
        let server = MySql::start(brand, &folder.join("mysql.log"))?;
        let mut grants = vec!["SELECT ON shop.*", "REPLICATION SLAVE, REPLICATION CLIENT ON *.*"];
        // MariaDB tells the place of a snapshot; a MySQL is locked for it.
        if brand == Brand::MySql {
            grants.push("RELOAD ON *.*");
        }
        server.add_user(USER, FIRST_PASSWORD, &grants)?;
        let gate = Gate::to(server.port)?;
        Ok(Changes { brand, server, gate })
    }

    fn make(&self, place: &Place, columns: &str) -> Result<()> {
        let sql = format!("CREATE TABLE {} ({columns}, id SERIAL PRIMARY KEY)", place.name);
        self.server.run(DATABASE, &sql).map(drop)
    }
}

impl Outside for Changes {
    fn name(&self) -> &'static str {
        match self.brand {
            Brand::MariaDb => "mariadb-changes",
            Brand::MySql => "mysql-changes",
        }
    }

    fn connector(&self) -> &'static str {
        "mysql-cdc"
    }

    fn version(&self) -> Result<String> {
        self.server.version()
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Source]
    }

    fn has_changes(&self) -> bool {
        true
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

    fn prepare(&mut self, place: &Place, _direction: Direction) -> Result<()> {
        // A BIGINT of the job cannot hold all of these.
        self.make(place, "k BIGINT, n BIGINT UNSIGNED")
    }

    fn options(&self, place: &Place, _direction: Direction) -> String {
        format!(
            "'connector' = 'mysql-cdc', 'hostname' = '127.0.0.1', 'port' = '{}', 'database-name' = '{DATABASE}', \
             'table-name' = '{}', 'username' = '{USER}', 'password' = '${{file:{}}}', 'connect.timeout' = '2 s'",
            self.gate.port,
            place.name,
            text(&place.password_file()),
        )
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        let rows: Vec<String> = numbers.map(|n| format!("({}, {n})", n % KEYS)).collect();
        let insert = format!("INSERT INTO {} (k, n) VALUES {}", place.name, rows.join(","));
        self.server.run(DATABASE, &insert).map(drop)
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.server.set_password(USER, password)
    }

    fn refusal(&self) -> &'static str {
        "Access denied"
    }

    fn put_poison(&mut self, place: &Place) -> Result<Vec<u8>> {
        let name = &place.name;
        self.server.run(DATABASE, &format!("INSERT INTO {name} (k, n) VALUES (1, {})", u64::MAX))?;
        let row = format!("{{\"k\":\"1\",\"n\":\"{}\"}}", u64::MAX);
        let letter = format!(
            "{{\"kind\":\"+I\",\"schema\":\"{DATABASE}\",\"table\":\"{name}\",\"ts_ms\":0,\"row\":{row}}}"
        );
        Ok(letter.into_bytes())
    }

    fn mismatch(&mut self, place: &Place, _direction: Direction) -> Result<String> {
        self.make(place, "k BIGINT, n DATE")?;
        Ok("the column 'n' of the table".to_owned())
    }
}
