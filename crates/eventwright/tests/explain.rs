//! What an engineer sees of a plan and of a job at work: EXPLAIN, EXPLAIN ANALYZE, rows that came too late.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const BINARY: &str = env!("CARGO_BIN_EXE_eventwright");

/// Runs the binary in a folder; standard output, standard error, success.
fn run(folder: &Path, arguments: &[&str]) -> (String, String, bool) {
    let output = Command::new(BINARY).current_dir(folder).args(arguments).stdin(Stdio::null()).output();
    let output = output.expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the output is UTF-8");
    (text(output.stdout), text(output.stderr), output.status.success())
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("the file");
    }
    folder
}

const RUN: [&str; 8] =
    ["run", "job.sql", "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", "data"];

const ORDERS: &str =
    "CREATE TABLE orders (id INT, city STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
WITH ('connector' = 'filesystem', 'path' = 'orders.csv', 'format' = 'csv');
CREATE TABLE shown (start_ TIMESTAMP(3), city STRING, n BIGINT) WITH ('connector' = 'print');
";

const COUNTS: &str = "INSERT INTO shown SELECT window_start, city, COUNT(*)
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, city;
";

/// The third and the fifth row come when the first window has fired.
const ROWS: &str = "1,EWR,2013-01-01 00:00:05\n2,EWR,2013-01-01 00:00:20\n3,JFK,2013-01-01 00:00:07\n\
                    4,JFK,2013-01-01 00:00:21\n5,EWR,2013-01-01 00:00:09.999\n";

struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn late_rows_lie_in_a_topic_of_their_own_once() {
    let sql = format!("SET 'eventwright.late-rows.topic' = 'late';\n{ORDERS}{COUNTS}");
    let folder = folder(&[("job.sql", &sql), ("orders.csv", ROWS)]);
    // A crash after the rows were counted, and the rest of the job.
    let mut crashes = RUN.to_vec();
    crashes.extend_from_slice(&["--kill-at", "during-commit:1"]);
    assert!(!run(folder.path(), &crashes).2, "the job is killed");
    let (_, err, success) = run(folder.path(), &RUN);
    assert!(success, "{err}");
    assert!(err.contains("late rows 2"), "{err}");
    let mut node = Command::new(BINARY)
        .current_dir(folder.path())
        .args(["start", "--data", "data", "--kafka", "127.0.0.1:0", "--http", "none"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map(Background)
        .expect("the node starts");
    let mut line = String::new();
    // Kept open to the end: the node writes more.
    let mut out = BufReader::new(node.0.stdout.take().expect("a pipe"));
    out.read_line(&mut line).expect("the node says where it listens");
    let address = line.trim().strip_prefix("kafka listening on ").expect("the line is as documented");
    let (late, err, success) = run(folder.path(), &["topic", "consume", "late", "--bootstrap", address]);
    assert!(success, "{err}");
    let rows: Vec<Value> = late.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(rows.len(), 2, "{late}");
    assert_eq!(rows[0]["job"], "job-1-insert-into-shown");
    assert_eq!(rows[0]["operator"], "WindowAggregate");
    assert_eq!(rows[0]["time"], "2013-01-01 00:00:07");
    assert_eq!(rows[0]["watermark"], "2013-01-01 00:00:19");
    assert_eq!(rows[0]["row"]["city"], "JFK");
    assert_eq!(rows[1]["row"]["ts"], "2013-01-01 00:00:09.999");
    assert_eq!(rows[1]["watermark"], "2013-01-01 00:00:20");
}

#[test]
fn run_shows_at_its_end_what_each_operator_has_done() {
    let folder = folder(&[("job.sql", &format!("{ORDERS}{COUNTS}")), ("orders.csv", ROWS)]);
    let mut arguments = RUN.to_vec();
    arguments.push("--analyze");
    let (_, err, success) = run(folder.path(), &arguments);
    assert!(success, "{err}");
    for part in [
        "OPERATOR",
        "ROWS IN",
        "WindowAggregate(",
        "late rows: 2, dropped",
        "keeps the aggregates of each window by (city)",
    ] {
        assert!(err.contains(part), "{part}\n{err}");
    }
    let (_, err, _) = run(folder.path(), &[&RUN[..], &["--analyze", "-o", "json"]].concat());
    assert!(err.contains("finished-before"), "{err}");
}

#[test]
fn a_running_job_is_analyzed() {
    let sql =
        "CREATE TABLE ticks (k BIGINT, v BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000',
      'fields.k.kind' = 'random', 'fields.k.min' = '1', 'fields.k.max' = '10');
    CREATE TABLE sums (k BIGINT, n BIGINT, PRIMARY KEY (k) NOT ENFORCED)
    WITH ('connector' = 'upsert-kafka', 'topic' = 'sums', 'key.format' = 'json', 'value.format' = 'json');
    SET 'pipeline.name' = 'sums';
    INSERT INTO sums SELECT k, COUNT(*) FROM ticks GROUP BY k;";
    let folder = folder(&[("job.sql", sql)]);
    let _job = Command::new(BINARY)
        .current_dir(folder.path())
        .args(RUN)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Background)
        .expect("the job starts");
    let mut found = None;
    // A bound that is never reached unless it fails.
    for _ in 0..600 {
        let (out, _, success) =
            run(folder.path(), &["explain", "--analyze", "sums", "--data", "data", "-o", "json"]);
        let analysis: Value = serde_json::from_str(&out).unwrap_or_default();
        let aggregate = analysis["operators"].as_array().into_iter().flatten();
        let aggregate = aggregate.into_iter().find(|one| one["keeps"].is_string()).cloned();
        if let Some(aggregate) = aggregate.filter(|one| success && one["state"]["keys"].as_u64() >= Some(1)) {
            found = Some(aggregate);
            break;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let aggregate = found.expect("the job has rows in the end");
    assert!(
        aggregate["rows_in"].as_u64() > Some(0) && aggregate["busy_ns"].as_u64() > Some(0),
        "{aggregate}"
    );
    assert_eq!(aggregate["keeps"], "the aggregates of each group by (k), for ever");
    let (out, err, success) = run(folder.path(), &["explain", "--analyze", "sums", "--data", "data"]);
    assert!(success, "{err}");
    assert!(out.starts_with("job sums: RUNNING, ") && out.contains("GroupAggregate(keys=[k]"), "{out}");
    let (_, err, success) = run(folder.path(), &["explain", "--analyze", "sms", "--data", "data"]);
    assert!(!success && err.contains("did you mean 'sums'?"), "{err}");
}

#[test]
fn a_file_is_explained_as_text_and_as_json() {
    let folder = folder(&[("job.sql", &format!("{ORDERS}{COUNTS}"))]);
    let (out, err, success) = run(folder.path(), &["explain", "job.sql"]);
    assert!(success, "{err}");
    assert!(out.contains("== State ==\n#2 WindowAggregate: the aggregates of each window by (city), until the watermark passes the window's end"), "{out}");
    let (out, _, success) = run(folder.path(), &["explain", "job.sql", "-o", "json"]);
    let plan: Value = serde_json::from_str(&out).expect("JSON");
    let nodes = plan["jobs"][0]["plan"]["nodes"].as_array().expect("nodes");
    assert!(success && nodes.iter().any(|node| node["state"]["by"][0] == "city"), "{out}");
    let (_, err, success) = run(folder.path(), &["explain", "nothing.sql"]);
    assert!(!success && err.contains("a running job is explained by --analyze"), "{err}");
}

#[test]
fn check_says_where_each_mistake_begins_and_ends() {
    let folder = folder(&[("job.sql", &format!("{ORDERS}SELECT idd,\n  UPER(city) FROM orders;"))]);
    let (out, err, success) = run(folder.path(), &["check", "job.sql", "-o", "json"]);
    assert!(!success, "{err}");
    let report: Value = serde_json::from_str(out.lines().next().unwrap_or_default()).expect("JSON");
    assert_eq!(report["errors"], 2, "{out}");
    let second = &report["diagnostics"][1];
    assert_eq!((&second["line"], &second["column"]), (&5.into(), &3.into()), "{second}");
    assert_eq!((&second["end_line"], &second["end_column"]), (&5.into(), &7.into()), "{second}");
    assert_eq!(second["code"], "unknown-name");
    assert_eq!(second["hint"], "did you mean UPPER?");
}
