//! Changes of PostgreSQL: a server whose slots jobs reach through the gate, and the suite over its socket.
//!
//! What is put before the job begins lies in the table then, and what is put later comes as changes.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, KEYS, Outside, Place, USER, text};
use crate::postgres::Postgres;
use crate::process::Server;

const DATABASE: &str = "shop";

pub struct Changes {
    server: Postgres,
    gate: Gate,
}

impl Changes {
    pub fn new(folder: &Path) -> Result<Changes> {
        let server = Postgres::start(&folder.join("postgres.log"))?;
        // A number of a type of its own holds what a BIGINT cannot.
        server.psql(
            DATABASE,
            &format!(
                "CREATE ROLE {USER} LOGIN REPLICATION PASSWORD '{FIRST_PASSWORD}'; \
                 GRANT ALL ON SCHEMA public TO {USER}; GRANT CREATE ON DATABASE {DATABASE} TO {USER}; \
                 CREATE DOMAIN number AS numeric"
            ),
        )?;
        let gate = Gate::to(server.port)?;
        Ok(Changes { server, gate })
    }

    fn make(&self, place: &Place, columns: &str) -> Result<()> {
        let name = &place.name;
        // A server has few slots, and those of earlier trials keep its log.
        let sql = format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active; \
             CREATE TABLE {name} ({columns}, id serial PRIMARY KEY); ALTER TABLE {name} REPLICA IDENTITY FULL; \
             ALTER TABLE {name} OWNER TO {USER}"
        );
        self.server.psql(DATABASE, &sql).map(drop)
    }
}

impl Outside for Changes {
    fn name(&self) -> &'static str {
        "postgresql-changes"
    }

    fn connector(&self) -> &'static str {
        "postgres-cdc"
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
        // As a crash leaves it: killed itself, its processes would live on for a while.
        self.server.stop("immediate")
    }

    fn server(&self) -> Result<&Server> {
        self.server.server()
    }

    fn gate(&self) -> Result<&Gate> {
        Ok(&self.gate)
    }

    fn prepare(&mut self, place: &Place, _direction: Direction) -> Result<()> {
        self.make(place, "k bigint, n number")
    }

    fn options(&self, place: &Place, _direction: Direction) -> String {
        format!(
            "'connector' = 'postgres-cdc', 'hostname' = '127.0.0.1', 'port' = '{}', 'database-name' = '{DATABASE}', \
             'schema-name' = 'public', 'table-name' = '{1}', 'slot.name' = '{1}', 'username' = '{USER}', \
             'password' = '${{file:{2}}}', 'connect.timeout' = '2 s'",
            self.gate.port,
            place.name,
            text(&place.password_file()),
        )
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        let Range { start, end } = numbers;
        let insert = format!(
            "INSERT INTO {} (k, n) SELECT n % {KEYS}, n FROM generate_series({start}, {end} - 1) n",
            place.name
        );
        self.server.psql(DATABASE, &insert).map(drop)
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.server.psql(DATABASE, &format!("ALTER ROLE {USER} PASSWORD '{password}'")).map(drop)
    }

    fn put_poison(&mut self, place: &Place) -> Result<Vec<u8>> {
        let name = &place.name;
        self.server.psql(DATABASE, &format!("INSERT INTO {name} (k, n) VALUES (1, 0.5)"))?;
        let row = "{\"k\":\"1\",\"n\":\"0.5\"}";
        let letter = format!(
            "{{\"kind\":\"+I\",\"schema\":\"public\",\"table\":\"{name}\",\"ts_ms\":0,\"row\":{row}}}"
        );
        Ok(letter.into_bytes())
    }

    fn mismatch(&mut self, place: &Place, _direction: Direction) -> Result<String> {
        self.make(place, "k bigint, n date")?;
        Ok("the column 'n' of the table".to_owned())
    }
}
