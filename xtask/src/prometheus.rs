//! A Prometheus of Debian's packages: a plain process on a free port of the loopback, which scrapes one node, or takes what is
//! written to it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use os::Os;
use os::http::{Answer, Request, exchange, segment};
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
        Prometheus::start_with(folder, target, rules, "")
    }

    /// The same with more in its configuration.
    pub fn start_with(folder: &Path, target: &str, rules: &Path, more: &str) -> Result<Prometheus> {
        let config = folder.join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
             rule_files: [\"{}\"]\n\
             scrape_configs:\n\
             \x20 - job_name: {JOB}\n\
             \x20   static_configs: [{{ targets: [\"{target}\"] }}]\n\
             {more}",
            rules.display()
        );
        std::fs::write(&config, text)?;
        let address = format!("127.0.0.1:{}", kafka::lasting_port()?);
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

    /// What it measures of itself.
    pub fn page(&self) -> Result<String> {
        let request =
            Request { method: "GET", address: &self.address, path: "/metrics", headers: &[], body: &[] };
        let answer = exchange(Os::real().network.as_ref(), &request, ANSWER_LIMIT)?;
        String::from_utf8(answer.body).context("Prometheus' page of metrics is a text")
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

/// A Prometheus that scrapes nobody and takes remote-write; it may be ended and started on what it has.
pub struct Receiver {
    server: Option<Server>,
    pub port: u16,
    folder: PathBuf,
}

impl Receiver {
    pub fn start(folder: &Path, user: &str, password: &str) -> Result<Receiver> {
        let mut receiver = Receiver { server: None, port: kafka::lasting_port()?, folder: folder.to_owned() };
        std::fs::write(folder.join("prometheus.yml"), "global: {}\n")?;
        receiver.set_password(user, password)?;
        receiver.serve()?;
        Ok(receiver)
    }

    pub fn serve(&mut self) -> Result<()> {
        let folder = self.folder.display();
        let run = format!(
            "exec prometheus --config.file={folder}/prometheus.yml --web.config.file={folder}/web.yml \
             --storage.tsdb.path={folder}/tsdb --web.listen-address=127.0.0.1:{} --web.enable-remote-write-receiver 2>&1",
            self.port
        );
        let ready = |line: &str| line.contains(READY).then_some(());
        let log = self.folder.join("prometheus.log");
        let (server, ()) = Server::start(Command::new("sh").args(["-c", &run]), &log, START_LIMIT, ready)?;
        self.server = Some(server);
        Ok(())
    }

    /// Kills it.
    pub fn end(&mut self) {
        drop(self.server.take());
    }

    pub fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("Prometheus is not there")
    }

    /// The file is read for each request anew.
    pub fn set_password(&self, user: &str, password: &str) -> Result<()> {
        // Perl's crypt is the C library's, which has bcrypt.
        let hash = "print crypt($ARGV[0], '$2b$04$' . 'a' x 21 . 'u')";
        let hash = process::output(Command::new("perl").args(["-e", hash, password]), ANSWER_LIMIT)?;
        let text = format!("basic_auth_users: {{ {user}: '{}' }}\n", hash.trim());
        let (path, new) = (self.folder.join("web.yml"), self.folder.join("web.yml.new"));
        std::fs::write(&new, text)?;
        Ok(std::fs::rename(new, path)?)
    }

    fn ask(&self, method: &str, path: &str, login: &str, body: &[u8]) -> Result<Answer> {
        let address = format!("127.0.0.1:{}", self.port);
        let authorization = format!("Basic {}", STANDARD.encode(login));
        let headers = [("Authorization", authorization.as_str())];
        let request = Request { method, address: &address, path, headers: &headers, body };
        Ok(exchange(Os::real().network.as_ref(), &request, ANSWER_LIMIT)?)
    }

    /// The samples of all series of a name whose times lie in the first hour of 1970, each series in the order of time.
    pub fn samples(&self, login: &str, name: &str) -> Result<Vec<f64>> {
        let path = format!("/api/v1/query?time=3600&query={}", segment(&format!("{name}[2h]")));
        let answer = self.ask("GET", &path, login, &[])?;
        let said: Value = serde_json::from_slice(&answer.body).context("Prometheus answers with JSON")?;
        let series = said["data"]["result"].as_array().with_context(|| format!("no series in {said}"))?;
        let values = series.iter().flat_map(|one| one["values"].as_array().into_iter().flatten());
        values.map(|pair| pair[1].as_str().and_then(|text| text.parse().ok()).context("no value")).collect()
    }

    /// Writes one sample.
    pub fn write(&self, login: &str, labels: &[(&str, &str)], value: f64, timestamp_ms: u8) -> Result<()> {
        let part = |field: u8, bytes: &[u8]| [&[field << 3 | 2, bytes.len() as u8], bytes].concat();
        let mut series = Vec::new();
        for (name, value) in labels {
            series.extend(part(1, &[part(1, name.as_bytes()), part(2, value.as_bytes())].concat()));
        }
        let sample = [&[1 << 3 | 1], value.to_le_bytes().as_slice(), &[2 << 3, timestamp_ms]].concat();
        series.extend(part(2, &sample));
        let message = part(1, &series);
        // Lengths of one byte, and one literal of snappy.
        ensure!(message.len() < 128 && timestamp_ms < 128, "a sample of more than 127 bytes");
        let packed = [&[message.len() as u8, 60 << 2, message.len() as u8 - 1], message.as_slice()].concat();
        let answer = self.ask("POST", "/api/v1/write", login, &packed)?;
        let words = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status / 100 == 2, "Prometheus takes no sample: {} {words}", answer.status);
        Ok(())
    }
}

pub fn version() -> Result<String> {
    let said = process::output(Command::new("prometheus").arg("--version"), ANSWER_LIMIT)?;
    let version = said.split(' ').nth(2).context("Prometheus does not say its version")?;
    Ok(format!("Prometheus {version}"))
}

/// Runs `promtool`; what it says, and whether it found nothing wrong.
pub fn promtool(arguments: &[&str], input: Option<&Path>) -> Result<(bool, String)> {
    let from = input.map_or(String::new(), |input| format!(" < {}", input.display()));
    let line = format!("exec promtool {}{from} 2>&1", arguments.join(" "));
    let finished = process::capture(Command::new("sh").args(["-c", &line]), ANSWER_LIMIT)?;
    Ok((finished.status.success(), finished.stdout))
}
