//! A Jaeger: a plain process on free ports that takes spans by OTLP over HTTP and keeps them in memory.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use os::Os;
use os::http::{Request, exchange};
use serde_json::Value;
use tempfile::TempDir;

use crate::kafka::lasting_ports;
use crate::peers;
use crate::process::Server;

const LIMIT: Duration = Duration::from_secs(60);
const READY: &str = "Everything is ready";

/// A running Jaeger; stopped when dropped.
pub struct Jaeger {
    _server: Server,
    folder: TempDir,
    spans_port: u16,
    query_port: u16,
}

/// A span as Jaeger shows it.
#[derive(Debug, Clone)]
pub struct Span {
    pub id: String,
    pub name: String,
    /// The span that it is a child of; none, or one that nobody has sent.
    pub parent: Option<String>,
    /// By trace and span.
    pub links: Vec<(String, String)>,
    pub tags: Vec<(String, String)>,
    pub service: String,
}

impl Jaeger {
    pub fn start() -> Result<Jaeger> {
        let folder = tempfile::Builder::new().prefix("jaeger-").tempdir()?;
        let [spans_port, query_port, grpc_port] = lasting_ports()?;
        let file = folder.path().join("jaeger.yaml");
        std::fs::write(&file, configuration(spans_port, query_port, grpc_port))?;
        // It speaks to its standard error.
        let run = format!("exec {} --config {} 2>&1", program()?.display(), file.display());
        let ready = |line: &str| line.contains(READY).then_some(());
        let log = folder.path().join("jaeger.log");
        let (server, ()) = Server::start(Command::new("sh").args(["-c", &run]), &log, LIMIT, ready)?;
        Ok(Jaeger { _server: server, folder, spans_port, query_port })
    }

    /// Where spans are taken.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.spans_port)
    }

    /// The spans of a trace, each once; none if Jaeger does not know the trace.
    pub fn trace(&self, id: &str) -> Result<Vec<Span>> {
        let address = format!("127.0.0.1:{}", self.query_port);
        let path = format!("/api/traces/{id}");
        let request = Request { method: "GET", address: &address, path: &path, headers: &[], body: &[] };
        let answer = exchange(&*Os::real().network, &request, LIMIT)?;
        if answer.status == 404 {
            return Ok(Vec::new());
        }
        ensure!(answer.status == 200, "status={} from Jaeger, whose log is {:?}", answer.status, self.folder);
        let body: Value = serde_json::from_slice(&answer.body)?;
        let trace = &body["data"][0];
        let mut spans: Vec<Span> = Vec::new();
        for span in trace["spans"].as_array().context("a trace without spans")? {
            let span = read(span, &trace["processes"])?;
            if !spans.iter().any(|known| known.id == span.id) {
                spans.push(span);
            }
        }
        Ok(spans)
    }
}

fn read(span: &Value, processes: &Value) -> Result<Span> {
    let text = |value: &Value| value.as_str().map(str::to_owned).context("a span lacks something");
    let mut read = Span {
        id: text(&span["spanID"])?,
        name: text(&span["operationName"])?,
        parent: None,
        links: Vec::new(),
        tags: Vec::new(),
        service: text(&processes[&text(&span["processID"])?]["serviceName"])?,
    };
    for reference in span["references"].as_array().into_iter().flatten() {
        let place = (text(&reference["traceID"])?, text(&reference["spanID"])?);
        match reference["refType"].as_str() {
            Some("CHILD_OF") if read.parent.is_none() => read.parent = Some(place.1),
            _ => read.links.push(place),
        }
    }
    for tag in span["tags"].as_array().into_iter().flatten() {
        let value = tag["value"].as_str().map_or_else(|| tag["value"].to_string(), str::to_owned);
        read.tags.push((text(&tag["key"])?, value));
    }
    Ok(read)
}

fn configuration(spans_port: u16, query_port: u16, grpc_port: u16) -> String {
    format!(
        "service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {{ receivers: [otlp], processors: [], exporters: [jaeger_storage_exporter] }}
  telemetry:
    metrics: {{ level: none }}
extensions:
  jaeger_query:
    storage: {{ traces: memory }}
    http: {{ endpoint: \"127.0.0.1:{query_port}\" }}
    grpc: {{ endpoint: \"127.0.0.1:{grpc_port}\" }}
  jaeger_storage:
    backends: {{ memory: {{ memory: {{ max_traces: 10000 }} }} }}
receivers:
  otlp: {{ protocols: {{ http: {{ endpoint: \"127.0.0.1:{spans_port}\" }} }} }}
exporters:
  jaeger_storage_exporter: {{ trace_storage: memory }}
"
    )
}

fn program() -> Result<PathBuf> {
    let found = peers::jaeger_folder()?.join("bin").join("jaeger");
    if !found.is_file() {
        bail!("Jaeger is missing; run: cargo xtask peers install jaeger");
    }
    Ok(found)
}
