//! A server of HTTP that takes rows, once for each idempotency key, alone or together, and answers pages of records behind a
//! cursor; jobs reach it through the gate.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::gate::Gate;
use super::outside::{self, Direction, FIRST_PASSWORD, Outside, Place, REFUSED, USER, text};
use crate::http::{HttpServer, Kind};
use crate::process::Server;

pub struct Http {
    /// Whether rows are sent together.
    is_batch: bool,
    server: HttpServer,
    gate: Gate,
}

impl Http {
    pub fn new(folder: &Path, is_batch: bool) -> Result<Http> {
        let server = HttpServer::start(Kind::Rows, folder, FIRST_PASSWORD)?;
        Ok(Http { is_batch, gate: Gate::to(server.port)?, server })
    }
}

impl Outside for Http {
    fn name(&self) -> &'static str {
        if self.is_batch { "http-batch" } else { "http" }
    }

    fn connector(&self) -> &'static str {
        "http"
    }

    fn version(&self) -> Result<String> {
        let what = if self.is_batch {
            "arrays of rows, taken once for each key"
        } else {
            "rows, taken once for each key, and pages"
        };
        Ok(format!("{what}, by {}", Kind::Rows.version()?))
    }

    fn directions(&self) -> &'static [Direction] {
        // Pages are what they are, however rows are sent.
        if self.is_batch { &[Direction::Sink] } else { &[Direction::Source, Direction::Sink] }
    }

    fn start(&mut self) -> Result<()> {
        self.server.serve()
    }

    fn kill(&mut self) -> Result<()> {
        self.server.end();
        Ok(())
    }

    fn server(&self) -> Result<&Server> {
        self.server.server()
    }

    fn gate(&self) -> Result<&Gate> {
        Ok(&self.gate)
    }

    fn prepare(&mut self, place: &Place, _direction: Direction) -> Result<()> {
        self.server.ask("make", &[("name", &place.name)], b"").map(drop)
    }

    fn options(&self, place: &Place, direction: Direction) -> String {
        let (path, of_direction) = match direction {
            Direction::Source => (
                "feed",
                "'http.source.poll.interval' = '100 ms', 'http.source.response.list.pointer' = '/rows', \
                 'http.source.cursor.parameter' = 'after', 'http.source.response.cursor.pointer' = '/next'",
            ),
            Direction::Sink if self.is_batch => ("rows", "'http.sink.writer.request.mode' = 'batch'"),
            Direction::Sink => ("rows", "'http.sink.writer.request.mode' = 'single'"),
        };
        format!(
            "'connector' = 'http', 'url' = 'http://127.0.0.1:{}/{path}/{}', 'format' = 'json', 'username' = '{USER}', \
             'password' = '${{file:{}}}', 'timeout' = '4 s', {of_direction}",
            self.gate.port,
            place.name,
            text(&place.password_file()),
        )
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let numbers = self.server.ask("read", &[("name", &place.name)], b"")?;
        numbers.lines().map(|number| number.parse().context("no number")).collect()
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.server.ask("password", &[], password.as_bytes()).map(drop)
    }

    fn refusal(&self) -> &'static str {
        "the server answers 401"
    }

    fn refuse(&mut self, place: &Place) -> Result<()> {
        let n = REFUSED.to_string();
        self.server.ask("refuse", &[("name", &place.name), ("n", &n)], b"").map(drop)
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        let rows: Vec<String> = numbers.map(outside::json).collect();
        self.server.ask("put", &[("name", &place.name)], rows.join("\n").as_bytes()).map(drop)
    }

    fn put_poison(&mut self, place: &Place) -> Result<Vec<u8>> {
        let poison = "{\"k\":1,\"n\":\"no number\"}";
        self.server.ask("put", &[("name", &place.name)], poison.as_bytes())?;
        Ok(poison.as_bytes().to_vec())
    }

    fn exempt(&self, direction: Direction, case: &str) -> Option<&'static str> {
        match (direction, case) {
            (Direction::Sink, "mismatch") => {
                Some("a URL has no columns, and is asked first with the first row")
            }
            _ => None,
        }
    }

    fn mismatch(&mut self, place: &Place, direction: Direction) -> Result<String> {
        if direction == Direction::Sink {
            bail!("it does not apply");
        }
        self.prepare(place, direction)?;
        self.server.ask("put", &[("name", &place.name)], b"{\"k\":1,\"n\":\"many\"}")?;
        Ok("field 'n': 'many' is no BIGINT".to_owned())
    }
}
