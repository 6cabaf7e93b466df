//! Servers of streams, of Server-Sent Events and of WebSocket, that go on behind what a job has; jobs reach them through the gate.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, Outside, Place, USER, text};
use crate::http::{HttpServer, Kind};
use crate::process::Server;

/// How a server is told behind what it is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// `Last-Event-ID`.
    Header,
    Query,
    /// The first message.
    Message,
}

pub struct Streams {
    told: Told,
    server: HttpServer,
    gate: Gate,
}

impl Streams {
    pub fn new(folder: &Path, told: Told) -> Result<Streams> {
        let kind = if told == Told::Header { Kind::Events } else { Kind::Messages };
        let server = HttpServer::start(kind, folder, FIRST_PASSWORD)?;
        Ok(Streams { told, gate: Gate::to(server.port)?, server })
    }
}

impl Outside for Streams {
    fn name(&self) -> &'static str {
        match self.told {
            Told::Header => "sse",
            Told::Query => "websocket",
            Told::Message => "websocket-subscribed",
        }
    }

    fn connector(&self) -> &'static str {
        if self.told == Told::Header { "sse" } else { "websocket" }
    }

    fn version(&self) -> Result<String> {
        Ok(match self.told {
            Told::Header => {
                format!("events that go on behind `Last-Event-ID`, by {}", Kind::Events.version()?)
            }
            Told::Query => format!("messages behind a cursor in the query, by {}", Kind::Messages.version()?),
            Told::Message => {
                format!("messages behind a cursor in the first message, by {}", Kind::Messages.version()?)
            }
        })
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Source]
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

    fn options(&self, place: &Place, _direction: Direction) -> String {
        let (scheme, of_kind) = match self.told {
            Told::Header => ("http", ""),
            Told::Query => {
                ("ws", ", 'cursor.pointer' = '/seq', 'cursor.parameter' = 'after', 'cursor.initial' = '0'")
            }
            Told::Message => (
                "ws",
                ", 'cursor.pointer' = '/seq', 'cursor.initial' = '0', 'open-message' = '{\"after\":\"{cursor}\"}'",
            ),
        };
        format!(
            "'connector' = '{}', 'url' = '{scheme}://127.0.0.1:{}/feed/{}', 'format' = 'json', 'username' = '{USER}', \
             'password' = '${{file:{}}}', 'timeout' = '4 s', 'idle-timeout' = '4 s'{of_kind}",
            self.connector(),
            self.gate.port,
            place.name,
            text(&place.password_file()),
        )
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.server.ask("password", &[("password", password)], b"").map(drop)
    }

    fn refusal(&self) -> &'static str {
        "the server answers 401"
    }

    fn put(&mut self, place: &Place, numbers: Range<u64>) -> Result<()> {
        let (from, to) = (numbers.start.to_string(), numbers.end.to_string());
        self.server.ask("put", &[("name", &place.name), ("from", &from), ("to", &to)], b"").map(drop)
    }

    fn put_poison(&mut self, place: &Place) -> Result<Vec<u8>> {
        let poison = "{\"k\":1,\"n\":\"no number\"}";
        let shown = self.server.ask("record", &[("name", &place.name), ("record", poison)], b"")?;
        Ok(shown.into_bytes())
    }

    fn mismatch(&mut self, place: &Place, direction: Direction) -> Result<String> {
        self.prepare(place, direction)?;
        let record = "{\"k\":1,\"n\":\"many\"}";
        self.server.ask("record", &[("name", &place.name), ("record", record)], b"")?;
        Ok("field 'n': 'many' is no BIGINT".to_owned())
    }
}
