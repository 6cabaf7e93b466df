//! The page of metrics of a node, in both formats, after requests over its ports.

use kafka_client::Client;
use kafka_wire::records::{BatchBuilder, Compression};
use os::Os;
use os::http::{Request, exchange};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

const BINARY: &str = env!("CARGO_BIN_EXE_eventwright");

/// A client has one to each node.
const CONNECTIONS: f64 = 1.0;

/// A node and where it listens.
struct Node {
    child: Child,
    kafka: String,
    http: String,
    /// Kept open, for the node still writes to it.
    _out: BufReader<ChildStdout>,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
        let mut address = |name: &str| {
            let begin = format!("{name} listening on ");
            let mut lines = out.by_ref().lines().map(|line| line.expect("a line"));
            lines.find_map(|line| line.strip_prefix(&begin).map(str::to_string)).expect("an address")
        };
        let (kafka, http) = (address("kafka"), address("http"));
        Node { child, kafka, http, _out: out }
    }

    fn ask(&self, method: &str, path: &str, accept: &str) -> (u16, String) {
        let headers = [("Accept", accept)];
        let request = Request { method, address: &self.http, path, headers: &headers, body: &[] };
        let answer =
            exchange(Os::real().network.as_ref(), &request, Duration::from_secs(60)).expect("an answer");
        (answer.status, String::from_utf8(answer.body).expect("a text"))
    }

    /// The page once a series has a value: a request is counted when its answer has been sent, which may have come first.
    fn page_with(&self, series: &str, wanted: f64) -> String {
        let mut page = String::new();
        for _ in 0..2_000 {
            (_, page) = self.ask("GET", "/metrics", "*/*");
            if found(&page, series) == Some(wanted) {
                return page;
            }
        }
        panic!("{series} never was {wanted}:\n{page}");
    }
}

fn found(page: &str, series: &str) -> Option<f64> {
    let mut found = page.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = found.next()?;
    assert_eq!(found.next(), None, "{series} is there twice");
    Some(value.parse().expect("a number"))
}

/// The value of a series.
fn value(page: &str, series: &str) -> f64 {
    found(page, series).unwrap_or_else(|| panic!("there is no {series} in\n{page}"))
}

#[test]
fn a_node_says_what_it_has_done() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let node = Node::start(folder.path());
    let mut client = Client::connect(&node.kafka, "test").expect("the node answers");
    client.create_topic("orders", 1, 1, &[]).expect("the topic is made");
    let mut batch = BatchBuilder::new(Compression::None);
    for value in ["a", "b", "c"] {
        batch.append(1_700_000_000_000, None, Some(value.as_bytes()), &[]).expect("a record");
    }
    client.produce("orders", 0, batch.build().expect("a batch"), -1).expect("it is taken");
    node.page_with("eventwright_kafka_request_seconds_count{api=\"Produce\"}", 1.0);
    let page = node.page_with("eventwright_kafka_connections_opened_total", CONNECTIONS);
    assert_eq!(value(&page, "eventwright_topic_appended_records_total{topic=\"orders\"}"), 3.0);
    assert_eq!(value(&page, "kafka_server_brokertopicmetrics_messagesin_total{topic=\"\"}"), 3.0);
    assert_eq!(value(&page, "eventwright_kafka_request_seconds_count{api=\"Produce\"}"), 1.0);
    assert_eq!(value(&page, "kafka_network_requestmetrics_requests_total{request=\"Produce\"}"), 1.0);
    assert!(value(&page, "eventwright_kafka_request_seconds_sum{api=\"Produce\"}") > 0.0);
    // The record waited for a sync, of which the log knows.
    let synced = value(&page, "eventwright_log_sync_seconds_sum");
    assert!(synced > 0.0 && value(&page, "eventwright_log_last_commit_timestamp_seconds") > 1.7e9);
    assert_eq!(value(&page, "eventwright_log_unsynced_bytes"), 0.0);
    assert!(value(&page, "eventwright_disk_free_bytes") > 0.0);
    assert!(value(&page, "process_resident_memory_bytes") > 1e6);
    assert_eq!(
        value(&page, &format!("eventwright_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))),
        1.0
    );
    assert_eq!(value(&page, "eventwright_http_connections"), 1.0);
    assert_eq!(value(&page, "eventwright_kafka_connections"), CONNECTIONS);
    drop(client);
    node.page_with("eventwright_kafka_connections", 0.0);

    let (status, open) = node.ask("GET", "/metrics", "application/openmetrics-text; version=1.0.0");
    assert_eq!(status, 200);
    assert!(
        open.ends_with("# EOF\n") && open.contains("# TYPE eventwright_topic_appended_records counter\n")
    );
    assert!(value(&open, "eventwright_http_requests_total{code=\"200\"}") >= 3.0);
    assert_eq!(node.ask("POST", "/metrics", "*/*").0, 405);
    assert_eq!(node.ask("HEAD", "/metrics", "*/*"), (200, String::new()));

    // What the page has is in the reference, and no name stands there twice.
    let mut families = http_server::metric_families();
    families.extend(pg_server::metric_families());
    families.extend(views::metric_families());
    let names: BTreeSet<&str> = families.iter().map(|family| family.name).collect();
    assert_eq!(names.len(), families.len());
    for name in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(names.contains(name), "{name}");
    }
}
