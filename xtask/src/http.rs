//! Servers of HTTP for the suites: CPython's own, which takes rows and answers pages, and two of streams. Each is a plain process
//! on loopback that keeps what it has in a folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use os::Os;
use os::http::{Request, exchange, segment};

use crate::process::{self, Server};
use crate::{kafka, peers, places, versions};

const LIMIT: Duration = Duration::from_secs(60);
const ROWS: &str = "tests/http/server.py";
const STREAMS: &str = "tests/http/streams.py";
const PYTHON: &str = "/usr/bin/python3";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// CPython's `http.server`.
    Rows,
    /// Server-Sent Events, by sse-starlette.
    Events,
    /// WebSocket, by websockets.
    Messages,
}

impl Kind {
    /// The program, and what comes before the port in its arguments.
    fn command(self) -> Result<Command> {
        let root = places::root();
        let mut command = match self {
            Kind::Rows => Command::new(PYTHON),
            Kind::Events | Kind::Messages => Command::new(peers::streams_program()?),
        };
        match self {
            Kind::Rows => command.arg(root.join(ROWS)),
            Kind::Events => command.arg(root.join(STREAMS)).arg("sse"),
            Kind::Messages => command.arg(root.join(STREAMS)).arg("websocket"),
        };
        Ok(command)
    }

    pub fn version(self) -> Result<String> {
        let packages = match self {
            Kind::Rows => {
                let said = process::output(Command::new(PYTHON).arg("--version"), LIMIT)?;
                return Ok(format!("http.server of {}", said.trim()));
            }
            Kind::Events => ["sse-starlette", "uvicorn"].as_slice(),
            Kind::Messages => &["websockets"],
        };
        let known = versions::STREAMS.iter().filter(|(name, _)| packages.contains(name));
        let known: Vec<String> = known.map(|(name, version)| format!("{name} {version}")).collect();
        Ok(known.join(" on "))
    }
}

/// Stopped when dropped.
pub struct HttpServer {
    kind: Kind,
    server: Option<Server>,
    pub port: u16,
    folder: PathBuf,
    /// At the first start; then it lies in the folder.
    password: String,
}

impl HttpServer {
    pub fn start(kind: Kind, folder: &Path, password: &str) -> Result<HttpServer> {
        let port = kafka::lasting_port()?;
        let (folder, password) = (folder.to_owned(), password.to_owned());
        let mut server = HttpServer { kind, server: None, port, folder, password };
        server.serve()?;
        Ok(server)
    }

    /// Starts it on what it has.
    pub fn serve(&mut self) -> Result<()> {
        let mut command = self.kind.command()?;
        command.arg(self.port.to_string()).arg(&self.folder).arg(&self.password);
        let ready = |line: &str| line.contains("ready").then_some(());
        let (server, ()) = Server::start(&mut command, &self.folder.join("http.log"), LIMIT, ready)?;
        self.server = Some(server);
        Ok(())
    }

    /// Kills it.
    pub fn end(&mut self) {
        drop(self.server.take());
    }

    pub fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("the server is not there")
    }

    /// Has the suite's part of the server do something.
    pub fn ask(&self, command: &str, arguments: &[(&str, &str)], body: &[u8]) -> Result<String> {
        let parts: Vec<String> =
            arguments.iter().map(|(name, value)| format!("{name}={}", segment(value))).collect();
        let (address, path) =
            (format!("127.0.0.1:{}", self.port), format!("/suite/{command}?{}", parts.join("&")));
        // A server of WebSocket knows no other method.
        let method = if self.kind == Kind::Rows { "POST" } else { "GET" };
        let request = Request { method, address: &address, path: &path, headers: &[], body };
        let answer = exchange(Os::real().network.as_ref(), &request, LIMIT)?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(answer.status == 200, "the server of HTTP: {command} {arguments:?}: {text}");
        Ok(text)
    }
}
