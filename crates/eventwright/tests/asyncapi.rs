//! Exports of a node, of a data directory and of files; imports, and what they refuse.

mod guide;

use guide::{Started, run, shell};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

const SQL: &str = "
CREATE TABLE orders (city STRING, total BIGINT) WITH (
  'connector' = 'kafka', 'topic' = 'orders', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset');
CREATE TABLE totals (city STRING, total BIGINT, PRIMARY KEY (city) NOT ENFORCED) WITH (
  'connector' = 'upsert-kafka', 'topic' = 'totals', 'key.format' = 'json', 'value.format' = 'json');
INSERT INTO totals SELECT city, SUM(total) FROM orders GROUP BY city;
";

struct Node {
    kafka: String,
    http: String,
    _process: Started,
}

/// A node and its addresses; `verb` starts it.
fn node(folder: &Path, verb: &str) -> Node {
    let script = format!("exec eventwright {verb} --kafka 127.0.0.1:0 --http 127.0.0.1:0 --pg none 2>&1");
    let mut child = shell(folder, &script).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (mut kafka, mut http, mut said) = (String::new(), String::new(), String::new());
    while kafka.is_empty() || http.is_empty() {
        let mut line = String::new();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "it ends: {said}");
        for (name, address) in [("kafka listening on ", &mut kafka), ("http listening on ", &mut http)] {
            if let Some((_, rest)) = line.split_once(name) {
                *address = rest.split_whitespace().next().unwrap().trim_end_matches([',', ';']).to_string();
            }
        }
        said += &line;
    }
    // What else it says must find a reader.
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    Node { kafka, http, _process: Started(child) }
}

impl Node {
    fn at(&self) -> String {
        format!("-b {} --http {}", self.kafka, self.http)
    }
}

/// Without where the node listens.
fn without_servers(document: &str) -> String {
    let is_server = |line: &&str| line.starts_with("servers:");
    let (before, after) = document.split_once("channels:").expect("a document");
    let before: Vec<&str> = before.lines().take_while(|line| !is_server(line)).collect();
    format!("{}\nchannels:{after}", before.join("\n"))
}

#[test]
fn what_is_imported_into_an_empty_node_is_exported_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let one = node(path, "start --data one");
    let register = |subject: &str, body: &str| {
        let url = format!("http://{}/subjects/{subject}/versions", one.http);
        run(path, &format!("curl -sSf {url} -H 'Content-Type: application/json' -d '{body}'"));
    };
    run(
        path,
        &format!(
            "eventwright topic create orders --partitions 2 --config cleanup.policy=compact,delete -b {0}
        eventwright topic create totals -b {0}
        eventwright topic create payments --config max.message.bytes=5000 -b {0}",
            one.kafka
        ),
    );
    register(
        "payments-value",
        r#"{"schema": "{\"type\": \"record\", \"name\": \"P\", \"fields\": [{\"name\": \"id\", \"type\": \"long\"}]}"}"#,
    );
    register(
        "money",
        r#"{"schemaType": "PROTOBUF", "schema": "syntax = \"proto3\"; message Money { int64 cents = 1; }"}"#,
    );
    register(
        "prices-value",
        r#"{"schemaType": "PROTOBUF", "schema": "syntax = \"proto3\"; import \"money.proto\"; message Price { Money money = 1; }", "references": [{"name": "money.proto", "subject": "money", "version": 1}]}"#,
    );
    std::fs::write(path.join("tables.sql"), SQL.split("INSERT").next().unwrap()).unwrap();
    let document = run(path, &format!("eventwright export asyncapi tables.sql {}", one.at()));
    std::fs::write(path.join("one.yaml"), &document).unwrap();

    let two = node(path, "start --data two");
    run(path, &format!("eventwright import asyncapi one.yaml --tables again.sql {}", two.at()));
    let again = run(path, &format!("eventwright export asyncapi again.sql {}", two.at()));
    assert_eq!(without_servers(&again), without_servers(&document));
    // What would be made depends on what is there, if a node is named.
    let dry = |of: &str| run(path, &format!("eventwright import asyncapi one.yaml --dry-run {of} 2>&1"));
    let of_two = dry(&two.at());
    assert!(
        of_two.contains("topic orders is there already, with 2 partitions")
            && !of_two.contains("would create"),
        "{of_two}"
    );
    let alone = dry("");
    assert!(
        alone.contains("would create topic orders: 2 partitions") && !alone.contains("there already"),
        "{alone}"
    );
    let refused =
        format!("! eventwright import asyncapi one.yaml --dry-run --tables again.sql {} 2>&1", two.at());
    assert!(run(path, &refused).contains("again.sql is there already"));
    // A log-in without an address is for the usual one, and not passed over.
    std::fs::write(path.join("odd.properties"), "security.protocol=NONSENSE\n").unwrap();
    for verb in ["export asyncapi tables.sql", "import asyncapi one.yaml --dry-run"] {
        let said = run(path, &format!("! eventwright {verb} --command-config odd.properties 2>&1"));
        assert!(said.contains("security.protocol"), "{verb}: {said}");
    }
    // Again it changes nothing, and a file that is there stays.
    let refused = format!("! eventwright import asyncapi one.yaml --tables again.sql {} 2>&1", two.at());
    assert!(run(path, &refused).contains("again.sql is there already"));
    run(path, &format!("eventwright import asyncapi one.yaml {}", two.at()));
    assert_eq!(run(path, &format!("eventwright export asyncapi again.sql {}", two.at())), again);
    // Of the data directory: while its node serves it, and when nobody does.
    assert_eq!(run(path, "eventwright export asyncapi again.sql --data two"), again);
    drop(two);
    let stopped = run(path, "eventwright export asyncapi again.sql --data two");
    assert_eq!(without_servers(&stopped), without_servers(&document));
}

#[test]
fn jobs_are_operations_of_a_node_and_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("job.sql"), SQL).unwrap();
    let of_file = run(path, "eventwright export asyncapi job.sql");
    let node = node(path, "run job.sql --data data --keep-running");
    // The job makes its topics, and says what it does, when it has begun; between the two a document names one of them.
    let of_node = (0..1_000).find_map(|_| {
        let document = run(path, &format!("eventwright export asyncapi {}", node.at()));
        (document.contains("action: send") && document.contains("action: receive")).then_some(document)
    });
    let of_node = of_node.expect("the job runs");
    let operations = |document: &str| {
        let (_, rest) = document.split_once("operations:\n").expect("there are some");
        rest.lines().take_while(|line| line.starts_with(' ')).map(str::to_string).collect::<Vec<_>>()
    };
    assert_eq!(operations(&of_node), operations(&of_file));
    assert_eq!(operations(&of_node).iter().filter(|line| line.contains("action: ")).count(), 2, "{of_node}");
}

#[test]
fn what_cannot_be_imported_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let node = node(path, "start --data data");
    for (document, reason) in [
        ("asyncapi: 2.6.0", "its version is 2.6.0"),
        ("asyncapi: 3.0.0\nchannels:\n\tt: {}", "a tab cannot indent"),
        (
            "{\"asyncapi\": \"3.0.0\", \"channels\": {\"t\": {\"$ref\": \"#/x\"}}}",
            "there is nothing of that name",
        ),
        (
            "asyncapi: 3.0.0\nchannels:\n  t:\n    x-eventwright-tables:\n    - CREATE TABLE t (a INT) WITH ('connector' = \
             'kafka', 'topic' = 't', 'format' = 'nonsense')",
            "nonsense",
        ),
    ] {
        std::fs::write(path.join("wrong.yaml"), document).unwrap();
        let said = run(path, &format!("! eventwright import asyncapi wrong.yaml {} 2>&1", node.at()));
        assert!(said.contains(reason), "{said}");
    }
    let missing = run(path, "! eventwright export asyncapi --data nowhere 2>&1");
    assert!(missing.contains("nowhere is no data directory"), "{missing}");
    let document = run(path, &format!("eventwright export asyncapi {}", node.at()));
    assert!(document.contains("channels: {}"), "{document}");
}
