//! What stands in for Google Cloud Pub/Sub: Google's own fake behind its REST routes, a plain process on loopback. It keeps
//! nothing over a restart.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use os::Os;
use os::http::{Request, exchange};
use serde_json::{Value, json};

use crate::process::Server;
use crate::{peers, versions};

const LIMIT: Duration = Duration::from_secs(60);
pub const PROJECT: &str = "suite";
/// Messages that one call takes, and brings.
const BATCH: usize = 1000;

/// A running server; stopped when dropped.
pub struct PubSub {
    pub server: Server,
    pub port: u16,
    token: String,
}

impl PubSub {
    /// Takes this token besides those of its service account, whose key file, `key.json` in the folder, has jobs come by
    /// `gate_port`.
    pub fn start(folder: &Path, port: u16, gate_port: u16, token: &str) -> Result<PubSub> {
        let mut command = Command::new(peers::pubsub_program()?);
        command.args([&port.to_string(), token]).arg(folder);
        command.arg(format!("http://127.0.0.1:{gate_port}/token"));
        let ready = |line: &str| line.contains("ready").then_some(());
        let (server, ()) = Server::start(&mut command, &folder.join("pubsub.log"), LIMIT, ready)?;
        Ok(PubSub { server, port, token: token.to_owned() })
    }

    /// Takes another token from now on.
    pub fn set_token(&mut self, token: &str) -> Result<()> {
        self.ask("POST", "/suite/token", token.as_bytes())?;
        token.clone_into(&mut self.token);
        Ok(())
    }

    pub fn make_topic(&self, topic: &str) -> Result<()> {
        self.call("PUT", &format!("topics/{topic}"), &json!({})).map(drop)
    }

    pub fn make_subscription(&self, name: &str, topic: &str, is_ordered: bool) -> Result<()> {
        let body = json!({
            "topic": format!("projects/{PROJECT}/topics/{topic}"),
            "ackDeadlineSeconds": 2,
            "enableMessageOrdering": is_ordered,
        });
        self.call("PUT", &format!("subscriptions/{name}"), &body).map(drop)
    }

    /// Publishes messages as the service's JSON has them; those of a call have one ordering key.
    pub fn publish(&self, topic: &str, messages: &[Value]) -> Result<()> {
        for messages in messages.chunks(BATCH) {
            self.call("POST", &format!("topics/{topic}:publish"), &json!({"messages": messages}))?;
        }
        Ok(())
    }

    /// Takes all messages that a subscription has.
    pub fn take(&self, subscription: &str) -> Result<Vec<Value>> {
        let path = |method: &str| format!("subscriptions/{subscription}:{method}");
        let mut taken = Vec::new();
        loop {
            let body = json!({"maxMessages": BATCH, "returnImmediately": true});
            let answer = self.call("POST", &path("pull"), &body)?;
            let Some(received) = answer["receivedMessages"].as_array().filter(|all| !all.is_empty()) else {
                return Ok(taken);
            };
            let receipts: Vec<&Value> = received.iter().map(|message| &message["ackId"]).collect();
            self.call("POST", &path("acknowledge"), &json!({"ackIds": receipts}))?;
            taken.extend(received.iter().map(|message| message["message"].clone()));
        }
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let answer =
            self.ask(method, &format!("/v1/projects/{PROJECT}/{path}"), body.to_string().as_bytes())?;
        serde_json::from_str(&answer).with_context(|| format!("Pub/Sub: {path}: {answer}"))
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<String> {
        let address = format!("127.0.0.1:{}", self.port);
        let bearer = format!("Bearer {}", self.token);
        let headers = [("Authorization", bearer.as_str())];
        let request = Request { method, address: &address, path, headers: &headers, body };
        let answer = exchange(Os::real().network.as_ref(), &request, LIMIT)?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(answer.status == 200, "Pub/Sub: {method} {path}: {text}");
        Ok(text)
    }

    pub fn version() -> String {
        format!("pstest of cloud.google.com/go/pubsub {}", versions::PUBSUB)
    }
}
