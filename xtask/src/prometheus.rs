//! A Prometheus of Debian's packages: a plain process on a free port of the loopback, which scrapes one node.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use os::Os;
use os::http::{Request, exchange, segment};
use serde_json::Value;

use crate::kafka;
use crate::process::{self, Server};

const START_LIMIT: Duration = Duration::from_secs(60);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
const READY: &str = "Server is ready to receive web requests";

/// The name of the scrape job, which the rules expect.
pub const JOB: &str = "eventwright";

/// A running Prometheus; stopped when dropped.
pub struct Prometheus {
    _server: Server,
    address: String,
}

/// One series of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

impl Prometheus {
    /// Scrapes `target` every second into a folder, and evaluates the rules every second.
    pub fn start(folder: &Path, target: &str, rules: &Path) -> Result<Prometheus> {
        let config = folder.join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
             rule_files: [\"{}\"]\n\
             scrape_configs:\n\
             \x20 - job_name: {JOB}\n\
             \x20   static_configs: [{{ targets: [\"{target}\"] }}]\n",
            rules.display()
        );
        std::fs::write(&config, text)?;
        let address = format!("127.0.0.1:{}", kafka::free_port()?);
        let run = format!(
            "exec prometheus --config.file={} --storage.tsdb.path={} --web.listen-address={address} 2>&1",
            config.display(),
            folder.join("tsdb").display()
        );
        let ready = |line: &str| line.contains(READY).then_some(());
        let mut command = Command::new("sh");
        let log = folder.join("prometheus.log");
        let (server, ()) = Server::start(command.args(["-c", &run]), &log, START_LIMIT, ready)?;
        Ok(Prometheus { _server: server, address })
    }

    fn get(&self, path: &str) -> Result<Value> {
        let headers = [("Accept", "application/json")];
        let request = Request { method: "GET", address: &self.address, path, headers: &headers, body: &[] };
        let answer = exchange(Os::real().network.as_ref(), &request, ANSWER_LIMIT)?;
        let body: Value = serde_json::from_slice(&answer.body).context("Prometheus answers with JSON")?;
        if body["status"] != "success" {
            bail!("Prometheus refuses {path}: {}", body["error"]);
        }
        Ok(body["data"].clone())
    }

    /// What an expression gives now.
    pub fn query(&self, expression: &str) -> Result<Vec<Sample>> {
        let data = self.get(&format!("/api/v1/query?query={}", segment(expression)))?;
        if data["resultType"] != "vector" {
            bail!("'{expression}' gives a {}, not a vector", data["resultType"]);
        }
        let sample = |one: &Value| -> Option<Sample> {
            let labels = one["metric"].as_object()?.iter();
            let labels = labels.map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
            Some(Sample {
                labels: labels.collect::<Option<_>>()?,
                value: one["value"][1].as_str()?.parse().ok()?,
            })
        };
        let samples = data["result"].as_array().context("a list of series")?.iter().map(sample);
        samples.collect::<Option<_>>().context("Prometheus' answer is not as documented")
    }

    /// Each rule with its health and its state.
    pub fn rules(&self) -> Result<Vec<(String, String, String)>> {
        let data = self.get("/api/v1/rules")?;
        let groups = data["groups"].as_array().context("groups of rules")?;
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(rules.map(|rule| (text(&rule["name"]), text(&rule["health"]), text(&rule["state"]))).collect())
    }
}

/// Runs `promtool`; what it says, and whether it found nothing wrong.
pub fn promtool(arguments: &[&str], input: Option<&Path>) -> Result<(bool, String)> {
    let from = input.map_or(String::new(), |input| format!(" < {}", input.display()));
    let line = format!("exec promtool {}{from} 2>&1", arguments.join(" "));
    let finished = process::capture(Command::new("sh").args(["-c", &line]), ANSWER_LIMIT)?;
    Ok((finished.status.success(), finished.stdout))
}
