//! ClickHouse: a table that deduplicates inserts for each trial, which jobs reach through the gate.

use anyhow::Result;

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, Outside, Place, REFUSED, USER, text};
use crate::clickhouse;
use crate::process::Server;

const DATABASE: &str = "shop";

pub struct ClickHouse {
    server: clickhouse::ClickHouse,
    gate: Gate,
}

impl ClickHouse {
    pub fn new() -> Result<ClickHouse> {
        let server = clickhouse::ClickHouse::start(USER, FIRST_PASSWORD)?;
        server.ask(&format!("CREATE DATABASE {DATABASE}"))?;
        let gate = Gate::to(server.port)?;
        Ok(ClickHouse { server, gate })
    }

    fn make(&self, place: &Place, columns: &str) -> Result<()> {
        let name = &place.name;
        let sql = format!(
            "CREATE OR REPLACE TABLE {DATABASE}.{name} ({columns}) ENGINE = MergeTree ORDER BY k \
             SETTINGS non_replicated_deduplication_window = 1000"
        );
        self.server.ask(&sql).map(drop)
    }
}

impl Outside for ClickHouse {
    fn name(&self) -> &'static str {
        "clickhouse"
    }

    fn connector(&self) -> &'static str {
        "clickhouse"
    }

    fn version(&self) -> Result<String> {
        self.server.version()
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Sink]
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
        self.make(place, "k Int64, n Int64")
    }

    fn options(&self, place: &Place, _direction: Direction) -> String {
        format!(
            "'connector' = 'clickhouse', 'url' = 'http://127.0.0.1:{}', 'database-name' = '{DATABASE}', \
             'table-name' = '{}', 'username' = '{USER}', 'password' = '${{file:{}}}', 'timeout' = '4 s', \
             'sink.flush-interval' = '100 ms'",
            self.gate.port,
            place.name,
            text(&place.password_file()),
        )
    }

    /// A table tells no order in which rows came.
    fn keeps_order(&self, _direction: Direction) -> bool {
        false
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let rows = self.server.ask(&format!("SELECT n FROM {DATABASE}.{} ORDER BY n", place.name))?;
        Ok(rows.lines().map(str::parse).collect::<std::result::Result<_, _>>()?)
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.server.set_password(USER, password)
    }

    fn refuse(&mut self, place: &Place) -> Result<()> {
        self.make(place, &format!("k Int64, n Int64, CONSTRAINT no_number CHECK n != {REFUSED}"))
    }

    fn mismatch(&mut self, place: &Place, _direction: Direction) -> Result<String> {
        self.make(place, "k Int64, n Date")?;
        Ok("column 'n'".to_owned())
    }
}
