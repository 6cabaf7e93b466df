//! What stands in for AWS: moto, which checks signatures, and ElasticMQ, which carries many messages. Plain processes on
//! loopback; neither keeps anything over a restart.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use os::Os;
use os::http::{Request, exchange};

use crate::process::Server;
use crate::{kafka, peers, places, versions};

const LIMIT: Duration = Duration::from_secs(120);
const SCRIPT: &str = "tests/aws/server.py";
/// The access key of moto's only user; of ElasticMQ's, that of anybody.
pub const KEY_ID: &str = "AKIACONFORMANCE00001";
pub const REGION: &str = "eu-central-1";
pub const ACCOUNT: &str = "123456789012";

/// A running moto; stopped when dropped.
pub struct Moto {
    pub server: Server,
    pub port: u16,
}

impl Moto {
    /// Its user has this secret.
    pub fn start(folder: &Path, secret: &str) -> Result<Moto> {
        let port = kafka::lasting_port()?;
        let mut command = Command::new(peers::moto_program()?);
        command.arg(places::root().join(SCRIPT)).args([&port.to_string(), secret]);
        let ready = |line: &str| line.contains("ready").then_some(());
        let (server, ()) = Server::start(&mut command, &folder.join("moto.log"), LIMIT, ready)?;
        Ok(Moto { server, port })
    }

    /// Has the suite's part of the server do something, which it does by AWS's own client.
    pub fn ask(&self, command: &str, arguments: &[(&str, &str)], body: &[u8]) -> Result<String> {
        let parts: Vec<String> =
            arguments.iter().map(|(name, value)| format!("{name}={}", os::http::segment(value))).collect();
        let path = format!("/suite/{command}?{}", parts.join("&"));
        let address = format!("127.0.0.1:{}", self.port);
        let request = Request { method: "POST", address: &address, path: &path, headers: &[], body };
        let answer = exchange(Os::real().network.as_ref(), &request, LIMIT)?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(answer.status == 200, "moto: {command} {arguments:?}: {text}");
        Ok(text)
    }

    pub fn version() -> String {
        format!("moto {}", versions::MOTO[0].1)
    }
}

/// A running ElasticMQ; stopped when dropped.
pub struct ElasticMq {
    pub server: Server,
    pub port: u16,
}

impl ElasticMq {
    pub fn start(folder: &Path) -> Result<ElasticMq> {
        let port = kafka::lasting_port()?;
        let configuration = folder.join("elasticmq.conf");
        let text = format!(
            "include classpath(\"application.conf\")
node-address {{ protocol = http, host = \"127.0.0.1\", port = {port}, context-path = \"\" }}
rest-sqs {{ enabled = true, bind-port = {port}, bind-hostname = \"127.0.0.1\", sqs-limits = strict }}
rest-stats {{ enabled = false }}
aws {{ region = {REGION}, accountId = {ACCOUNT} }}
"
        );
        std::fs::write(&configuration, text)?;
        let mut command = Command::new("java");
        command
            .arg("-Xmx256m")
            .arg(format!("-Dconfig.file={}", configuration.display()))
            .arg("-cp")
            .arg(format!("{}/*", peers::elasticmq_jars()?.display()))
            .arg("org.elasticmq.server.Main");
        let ready = |line: &str| {
            line.contains("ElasticMQ server").then_some(()).filter(|()| line.contains("started"))
        };
        let (server, ()) = Server::start(&mut command, &folder.join("elasticmq.log"), LIMIT, ready)?;
        Ok(ElasticMq { server, port })
    }

    /// Calls an action of the service.
    pub fn call(&self, action: &str, body: &serde_json::Value) -> Result<serde_json::Value> {
        let address = format!("127.0.0.1:{}", self.port);
        let target = format!("AmazonSQS.{action}");
        let body = body.to_string();
        let headers = [("X-Amz-Target", target.as_str()), ("Content-Type", "application/x-amz-json-1.0")];
        let request = Request {
            method: "POST",
            address: &address,
            path: "/",
            headers: &headers,
            body: body.as_bytes(),
        };
        let answer = exchange(Os::real().network.as_ref(), &request, LIMIT)?;
        let text = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status == 200, "ElasticMQ: {action}: {text}");
        Ok(if text.is_empty() { serde_json::Value::Null } else { serde_json::from_str(&text)? })
    }

    pub fn queue_url(&self, name: &str, port: u16) -> String {
        format!("http://127.0.0.1:{port}/{ACCOUNT}/{name}")
    }

    pub fn version() -> String {
        format!("ElasticMQ {}", versions::ELASTICMQ)
    }
}
