//! Materialized tables of a node, read by PostgreSQL's protocol while their job runs, and altered.

mod guide;

use guide::{Started, run, shell};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

const TABLES: &str = "
CREATE TABLE sales (city STRING, amount BIGINT) WITH (
  'connector' = 'kafka', 'topic' = 'sales', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset');
CREATE MATERIALIZED TABLE totals AS SELECT city, SUM(amount) AS total, COUNT(*) AS sales FROM sales GROUP BY city;
";

/// Said of a table that was declared.
const MADE: &str = "each step of job";

struct Node {
    kafka: String,
    pg: String,
    /// What it said up to a line.
    said: String,
    _process: Started,
}

impl Node {
    /// Runs a file in `data`, and goes on when it has said something.
    fn run(folder: &Path, file: &str, until: &str) -> Node {
        let addresses = "--kafka 127.0.0.1:0 --http none --pg 127.0.0.1:0";
        let script = format!("exec eventwright run {file} --data data --keep-running {addresses} 2>&1");
        let mut child = shell(folder, &script).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains(until) {
            assert_ne!(out.read_line(&mut said).unwrap(), 0, "it ends: {said}");
        }
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        let file = std::fs::read_to_string(folder.join("data/node.json")).expect("the node has written it");
        let addresses: serde_json::Value = serde_json::from_str(&file).unwrap();
        let address = |name: &str| addresses[name].as_str().unwrap().to_string();
        Node { kafka: address("kafka"), pg: address("pg"), said, _process: Started(child) }
    }

    /// What statements give, in lines of CSV.
    fn sql(&self, folder: &Path, statements: &[&str]) -> Vec<String> {
        let statements: String = statements.iter().map(|statement| format!(" -c \"{statement}\"")).collect();
        let out = run(folder, &format!("eventwright sql --server {} -o csv{statements}", self.pg));
        out.lines().map(str::to_string).collect()
    }

    /// The last line of the same with all that is in the log by now; a job may still have to be taken up.
    fn last_of_all(&self, folder: &Path, statement: &str) -> String {
        let lsn = self.sql(folder, &["SELECT pg_current_wal_lsn()"]).remove(1);
        let script = format!(
            "eventwright sql --server {} -o csv -c \"SET eventwright.read_after_lsn = '{lsn}'\" \
             -c \"SET eventwright.read_timeout = '60s'\" -c \"{statement}\" 2>&1 || true",
            self.pg
        );
        for _ in 0..1_000 {
            let out = run(folder, &script);
            if !out.contains("does not move") {
                return out.lines().last().unwrap_or_default().to_string();
            }
        }
        panic!("the job is not taken up");
    }
}

fn sell(folder: &Path, node: &Node, from: i64, count: i64) -> Started {
    let sale = |n: i64| format!("{{\"city\": \"city {}\", \"amount\": {n}}}\n", n % 7);
    std::fs::write(folder.join("sales.jsonl"), (from..from + count).map(sale).collect::<String>()).unwrap();
    let produce = format!("exec eventwright topic produce sales --file sales.jsonl -b {}", node.kafka);
    Started(shell(folder, &produce).stderr(Stdio::null()).spawn().unwrap())
}

#[test]
fn a_view_is_its_query_over_the_topic_as_far_as_the_job_has_come() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("job.sql"), TABLES).unwrap();
    let node = Node::run(path, "job.sql", MADE);
    let rounds = 12;
    for round in 0..rounds {
        let mut writer = sell(path, &node, round * 500, 500);
        // While it writes and the job follows. As many records as the view counts are those that it has taken.
        let lines = node.sql(
            path,
            &[
                "BEGIN",
                "SELECT city, total, sales FROM totals ORDER BY city",
                "SELECT value->>'city' AS c, sum((value->>'amount')::bigint) AS t, count(*) AS n FROM topics.sales \
                 WHERE \\\"offset\\\" < (SELECT coalesce(sum(sales), 0) FROM totals) GROUP BY 1 ORDER BY 1",
                "COMMIT",
            ],
        );
        let of_view = lines.iter().position(|line| line == "city,total,sales").expect("rows of the view");
        let of_topic = lines.iter().position(|line| line == "c,t,n").expect("rows of the topic");
        let rows = |lines: &[String]| {
            lines.iter().filter(|line| line.starts_with("city ")).cloned().collect::<Vec<_>>()
        };
        assert_eq!(rows(&lines[of_view..of_topic]), rows(&lines[of_topic..]));
        assert!(writer.0.wait().unwrap().success());
    }
    let all = node.last_of_all(path, "SELECT sum(sales), count(*) FROM totals");
    assert_eq!(all, format!("{},7", rounds * 500));
}

#[test]
fn an_altered_table_says_what_goes_before_it_does_and_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("job.sql"), TABLES).unwrap();
    let node = Node::run(path, "job.sql", MADE);
    assert!(sell(path, &node, 0, 100).0.wait().unwrap().success());
    let total = |node: &Node| node.last_of_all(path, "SELECT total FROM totals WHERE city = 'city 3'");
    let wanted: i64 = (0..100).filter(|n| n % 7 == 3).sum();
    assert_eq!(total(&node), wanted.to_string());
    assert!(!node.said.contains("made anew"), "{}", node.said);
    drop(node);
    // The same file again changes nothing.
    let node = Node::run(path, "job.sql", "kafka listening on");
    assert_eq!(total(&node), wanted.to_string());
    drop(node);
    // What would become of it is said without anything being done.
    let explained = TABLES.replace("CREATE MATERIALIZED", "EXPLAIN CREATE OR ALTER MATERIALIZED");
    let other = "EXPLAIN ALTER MATERIALIZED TABLE totals AS SELECT city, MAX(amount) AS most FROM sales GROUP BY city;";
    for (statements, fate) in [
        (explained.clone(), "kept"),
        (explained.replace("SUM(amount)", "SUM(amount * 2)"), "rebuilt"),
        (explained.replace("OR ALTER ", "").replace("SUM(amount)", "SUM(amount * 2)"), "impossible"),
        (explained.replace("totals", "others"), "new"),
        (TABLES.split("CREATE MATERIALIZED").next().unwrap().to_string() + other, "rebuilt"),
    ] {
        std::fs::write(path.join("explained.sql"), &statements).unwrap();
        let said =
            run(path, "eventwright run explained.sql --data data --kafka 127.0.0.1:0 --http none --pg none");
        let change = said.split("== Change ==").nth(1).unwrap_or_default();
        assert_eq!(change.matches(&format!("  {fate} ")).count(), 3, "{statements}: {said}");
    }
    // Another definition without the word for it is refused, and what is there stays.
    let altered = TABLES.replace("SUM(amount)", "SUM(amount * 2)");
    std::fs::write(path.join("altered.sql"), &altered).unwrap();
    let refused =
        run(path, "! eventwright run altered.sql --data data --kafka 127.0.0.1:0 --http none --pg none 2>&1");
    assert!(refused.contains("CREATE OR ALTER MATERIALIZED TABLE"), "{refused}");
    let altered = altered.replace("CREATE MATERIALIZED", "CREATE OR ALTER MATERIALIZED");
    std::fs::write(path.join("altered.sql"), &altered).unwrap();
    let node = Node::run(path, "altered.sql", MADE);
    let told = "materialized table totals: its definition has changed, so it is made anew: 7 rows go, and its sources are \
                read again from where they begin";
    assert!(node.said.contains(told), "{}", node.said);
    assert_eq!(total(&node), (2 * wanted).to_string());
    drop(node);
    // ALTER … AS is the same.
    let altered = format!(
        "{TABLES}ALTER MATERIALIZED TABLE totals AS SELECT city, SUM(amount * 3) AS total, COUNT(*) AS sales FROM sales \
         GROUP BY city;"
    )
    .replace("CREATE MATERIALIZED TABLE totals", "CREATE MATERIALIZED TABLE IF NOT EXISTS totals");
    std::fs::write(path.join("alter.sql"), &altered).unwrap();
    let node = Node::run(path, "alter.sql", MADE);
    assert!(node.said.contains(told), "{}", node.said);
    assert_eq!(total(&node), (3 * wanted).to_string());
}
