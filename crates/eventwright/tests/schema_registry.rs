//! The node's own schema registry: jobs register with it and read by it, and it outlives a kill.

use os::Os;
use os::http::{Request, exchange};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

const BINARY: &str = env!("CARGO_BIN_EXE_eventwright");

/// Asks the registry; status and body.
fn ask(address: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let headers = [("Content-Type", "application/vnd.schemaregistry.v1+json")];
    let request = Request { method, address, path, headers: &headers, body: &body };
    let answer = exchange(Os::real().network.as_ref(), &request, Duration::from_secs(60)).expect("an answer");
    (answer.status, serde_json::from_slice(&answer.body).expect("JSON"))
}

/// A node and where its HTTP side listens.
struct Node {
    child: Child,
    address: String,
    /// Kept open, for the node still writes to it.
    _out: BufReader<ChildStdout>,
}

impl Node {
    fn start(folder: &Path) -> Node {
        let mut child = Command::new(BINARY)
            .current_dir(folder)
            .args(["start", "--data", "data", "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the node starts");
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        let lines = out.by_ref().lines().map(|line| line.expect("a line"));
        let mut addresses =
            lines.filter_map(|line| line.strip_prefix("http listening on ").map(str::to_string));
        let address = addresses.next().expect("the node says where it listens");
        Node { child, address, _out: out }
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = ask(&self.address, "GET", path, &Value::Null);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    fn kill(mut self) {
        self.child.kill().expect("the node is killed");
        self.child.wait().expect("the node ends");
    }
}

#[test]
fn jobs_use_the_registry_of_their_own_node_and_a_kill_loses_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // The SQL names the port, so it must be known before; it is free until the node takes it.
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    let sql = format!(
        "SET 'table.dml-sync' = 'true';
         CREATE TABLE orders (id BIGINT NOT NULL, note STRING) WITH
           ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'avro-confluent',
            'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
            'avro-confluent.url' = 'http://127.0.0.1:{port}');
         CREATE TABLE messages (id BIGINT, note STRING) WITH
           ('connector' = 'kafka', 'topic' = 'messages', 'format' = 'protobuf-confluent',
            'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
            'protobuf-confluent.url' = 'http://127.0.0.1:{port}');
         CREATE TABLE shown (id BIGINT, note STRING) WITH ('connector' = 'print');
         INSERT INTO orders VALUES (1, 'one'), (2, CAST(NULL AS STRING));
         INSERT INTO messages SELECT * FROM orders;
         INSERT INTO shown SELECT * FROM messages;"
    );
    std::fs::write(folder.path().join("job.sql"), sql).expect("the SQL file");
    let http = format!("127.0.0.1:{port}");
    let run = Command::new(BINARY)
        .current_dir(folder.path())
        .args(["run", "job.sql", "--data", "data", "--kafka", "127.0.0.1:0", "--http", &http])
        .stdin(Stdio::null())
        .output()
        .expect("the job runs");
    let messages = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{messages}");
    assert_eq!(String::from_utf8_lossy(&run.stdout), "+I[1, one]\n+I[2, null]\n", "{messages}");

    let node = Node::start(folder.path());
    assert_eq!(node.get("/subjects"), json!(["messages-value", "orders-value"]));
    let schema = node.get("/subjects/orders-value/versions/1");
    let fields: Value = serde_json::from_str(schema["schema"].as_str().expect("a text")).expect("JSON");
    assert_eq!(fields["fields"][0]["name"], "id");
    assert_eq!(node.get("/subjects/messages-value/versions/1")["schemaType"], "PROTOBUF");
    // An answer means that it is durable: a kill right behind it loses nothing.
    let mut node = node;
    for number in 1..=5 {
        let name = format!("t{number}");
        let path = format!("/subjects/{name}/versions");
        let schema =
            json!({"schema": format!("{{\"type\": \"fixed\", \"name\": \"F\", \"size\": {number}}}")});
        let (status, answer) = ask(&node.address, "POST", &path, &schema);
        assert_eq!(status, 200, "{answer}");
        node.kill();
        node = Node::start(folder.path());
        let kept = node.get(&format!("/schemas/ids/{}/versions", answer["id"]));
        assert_eq!(kept, json!([{"subject": name, "version": 1}]));
    }
    // Flink's API stays where its clients look for it.
    assert_eq!(node.get("/config"), json!({"compatibilityLevel": "BACKWARD"}));
    assert!(node.get("/v1/config")["flink-version"].is_string());
    node.kill();
}
