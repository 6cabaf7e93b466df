//! PostgreSQL: a server of Debian's packages, which jobs reach through the gate, and the suite over its socket.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, KEYS, Outside, Place, REFUSED, USER, text};
use crate::postgres;
use crate::process::Server;

const DATABASE: &str = "shop";

pub struct Postgres {
    server: postgres::Postgres,
    gate: Gate,
}

impl Postgres {
    pub fn new(folder: &Path) -> Result<Postgres> {
        let server = postgres::Postgres::start(&folder.join("postgres.log"))?;
        server.psql(
            DATABASE,
            &format!(
                "CREATE ROLE {USER} LOGIN PASSWORD '{FIRST_PASSWORD}'; GRANT ALL ON SCHEMA public TO {USER}"
            ),
        )?;
        let gate = Gate::to(server.port)?;
        Ok(Postgres { server, gate })
    }

    fn make(&self, place: &Place, columns: &str) -> Result<()> {
        let name = &place.name;
        let sql = format!("CREATE TABLE {name} ({columns}); GRANT ALL ON {name} TO {USER}");
        self.server.psql(DATABASE, &sql).map(drop)
    }
}

impl Outside for Postgres {
    fn name(&self) -> &'static str {
        "postgresql"
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
        // As a crash leaves it: killed itself, its processes would live on for a while.
        self.server.stop("immediate")
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
                Direction::Source => "id bigserial PRIMARY KEY, k bigint, n bigint",
                Direction::Sink => "k bigint, n bigint",
            },
        )
    }

    fn options(&self, place: &Place, direction: Direction) -> String {
        let more = match direction {
            Direction::Source => "'scan.incrementing.column' = 'id', 'scan.poll-interval' = '100 ms'",
            Direction::Sink => "'sink.buffer-flush.interval' = '100 ms'",
        };
        format!(
            "'connector' = 'jdbc', 'url' = 'jdbc:postgresql://127.0.0.1:{}/{DATABASE}', 'table-name' = '{}', \
             'username' = '{USER}', 'password' = '${{file:{}}}', 'connection.max-retry-timeout' = '2 s', \
             {more}",
            self.gate.port,
            place.name,
            text(&place.password_file()),
        )
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        let rows: Vec<String> = numbers.map(|n| format!("({}, {n})", n % KEYS)).collect();
        let insert = format!("INSERT INTO {} (k, n) VALUES {}", place.name, rows.join(","));
        self.server.psql(DATABASE, &insert).map(drop)
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let rows = self
            .server
            .psql(DATABASE, &format!("COPY (SELECT n FROM {} ORDER BY ctid) TO STDOUT", place.name))?;
        Ok(rows.lines().map(str::parse).collect::<std::result::Result<_, _>>()?)
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.server.psql(DATABASE, &format!("ALTER ROLE {USER} PASSWORD '{password}'")).map(drop)
    }

    fn refuse(&mut self, place: &Place) -> Result<()> {
        let sql = format!("ALTER TABLE {} ADD CHECK (n <> {REFUSED})", place.name);
        self.server.psql(DATABASE, &sql).map(drop)
    }

    fn mismatch(&mut self, place: &Place, _direction: Direction) -> Result<String> {
        self.make(place, "k bigint, n date")?;
        Ok("column 'n'".to_owned())
    }
}
