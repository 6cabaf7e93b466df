//! The stage in which a real Prometheus sends a node what it scrapes, by remote-write, and OpenTelemetry's SDK logs, metrics
//! and spans, by OTLP. The node's jobs read all of it.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use os::Os;
use os::http::{Request, exchange};
use serde_json::Value;

use super::metrics::{RULES, Site};
use crate::counts::Counts;
use crate::prometheus::Prometheus;
use crate::{peers, places, process};

const SQL: &str = "tests/observability/job.sql";
const SENDER: &str = "tests/observability/send.py";
const SENDER_LIMIT: Duration = Duration::from_secs(120);
/// What it sends, as the jobs find it: a severity, the digits of a trace, a counter's value, a histogram's sum.
const SENT: &[(&str, &str, &str, f64)] = &[
    ("log", "the card of änna was refused", "checkout/7", 13.0),
    ("span", "pay", "checkout", TRACE_ID_DIGITS),
    ("point", "payments", "checkout/7", 3.0),
    ("point", "duration", "checkout/7", 0.25),
];
/// Prometheus scrapes every second; a busy machine takes longer.
const SEEN_LIMIT: Duration = Duration::from_secs(120);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
/// Hexadecimal digits of the id of a trace.
const TRACE_ID_DIGITS: f64 = 32.0;

pub fn run() -> Result<Counts> {
    peers::install(&["debian".to_owned(), "opentelemetry".to_owned()])?;
    let folder = tempfile::tempdir()?;
    let site = Site::start(folder.path(), SQL)?;
    let http = &site.http;
    // Of the thousands of samples one is enough.
    let sends = format!(
        "remote_write:\n\
         \x20 - url: http://{http}/api/v1/write\n\
         \x20   write_relabel_configs: [{{ source_labels: [__name__], regex: up, action: keep }}]\n"
    );
    let prometheus = Prometheus::start_with(folder.path(), http, &places::root().join(RULES), &sends)?;
    let mut counts = Counts::default();
    let is_up = |row: &Value| {
        row["kind"] == "sample"
            && row["name"] == "up"
            && row["source"] == http.as_str()
            && row["amount"] == 1.0
    };
    check(&mut counts, "samples by remote-write", http, &is_up)?;
    let mut sdk = Command::new(peers::opentelemetry_program()?);
    sdk.arg(places::root().join(SENDER)).arg(format!("http://{http}"));
    process::run(&mut sdk, SENDER_LIMIT)?;
    for (kind, name, source, amount) in SENT {
        let is_it = |row: &Value| {
            row["kind"] == *kind
                && row["name"] == *name
                && row["source"] == *source
                && row["amount"] == *amount
        };
        check(&mut counts, &format!("{kind} {name} of OpenTelemetry's SDK"), http, &is_it)?;
    }
    let page = prometheus.page()?;
    for name in ["failed", "retried"] {
        let name = format!("prometheus_remote_storage_samples_{name}_total{{");
        let lines: Vec<&str> = page.lines().filter(|line| line.starts_with(&name)).collect();
        match !lines.is_empty() && lines.iter().all(|line| line.ends_with(" 0")) {
            true => counts.pass(),
            false => counts.fail(format!("observability: Prometheus says {lines:?} of {name}")),
        }
    }
    Ok(counts)
}

/// Waits until the jobs have found such a row.
fn check(counts: &mut Counts, name: &str, http: &str, wanted: &dyn Fn(&Value) -> bool) -> Result<()> {
    let begun = Instant::now();
    loop {
        let rows = rows(http)?;
        if rows.iter().any(wanted) {
            counts.pass();
            return Ok(());
        }
        if begun.elapsed() > SEEN_LIMIT {
            let some = rows.iter().take(10).collect::<Vec<_>>();
            counts.fail(format!("observability: {name}: of {} rows none is it: {some:?}", rows.len()));
            return Ok(());
        }
        std::thread::park_timeout(PAUSE);
    }
}

/// What the jobs have written until now.
fn rows(http: &str) -> Result<Vec<Value>> {
    let path = "/topics/found?from=earliest&max=10000";
    let request = Request { method: "GET", address: http, path, headers: &[], body: &[] };
    let answer = exchange(Os::real().network.as_ref(), &request, ANSWER_LIMIT)?;
    let mut answer: Value = serde_json::from_slice(&answer.body).context("the node answers with JSON")?;
    let records = answer["records"].as_array_mut().map(std::mem::take).unwrap_or_default();
    Ok(records.into_iter().map(|mut record| record["value"].take()).collect())
}
