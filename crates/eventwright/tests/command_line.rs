//! The binary as a user meets it: results on standard output, messages that say what to do, exit codes.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_eventwright");

/// Runs the binary in a folder; standard output, standard error, success.
fn run(folder: &Path, arguments: &[&str]) -> (String, String, bool) {
    output(Command::new(BINARY).current_dir(folder).args(arguments).stdin(Stdio::null()).output())
}

fn output(output: std::io::Result<Output>) -> (String, String, bool) {
    let output = output.expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the output is UTF-8");
    (text(output.stdout), text(output.stderr), output.status.success())
}

/// A folder with a SQL file and what it needs.
fn folder(sql: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("job.sql"), sql).expect("the SQL file");
    std::fs::write(folder.path().join("orders.csv"), "1,EWR,10\n2,JFK,20\n3,EWR,30\n").expect("the data");
    folder
}

const ORDERS: &str = "CREATE TABLE orders (id INT, city STRING, price INT) WITH
  ('connector' = 'filesystem', 'path' = 'orders.csv', 'format' = 'csv');
CREATE TABLE shown (id INT, city STRING, price INT) WITH ('connector' = 'print');
";

const RUN: [&str; 10] = [
    "run",
    "job.sql",
    "--kafka",
    "127.0.0.1:0",
    "--http",
    "127.0.0.1:0",
    "--data",
    "data",
    "--savepoints",
    "saved",
];

/// A node that serves until it is dropped.
struct Node {
    child: Child,
    address: String,
    out: BufReader<ChildStdout>,
}

impl Node {
    fn start(folder: &Path) -> Node {
        let mut child = Command::new(BINARY)
            .current_dir(folder)
            .args(["start", "--data", "data", "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .args(["--pg", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the node starts");
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        out.read_line(&mut line).expect("the node says where it listens");
        let address =
            line.trim().strip_prefix("kafka listening on ").expect("the line is as documented").to_string();
        Node { child, address, out }
    }

    fn verb(&self, folder: &Path, arguments: &[&str]) -> (String, String, bool) {
        let mut all = arguments.to_vec();
        all.extend_from_slice(&["--bootstrap", &self.address]);
        run(folder, &all)
    }

    fn produce(&self, folder: &Path, arguments: &[&str], lines: &str) -> (String, String, bool) {
        let mut child = Command::new(BINARY)
            .current_dir(folder)
            .args(["topic", "produce"])
            .args(arguments)
            .args(["--bootstrap", &self.address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("produce starts");
        child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("the lines are taken");
        output(child.wait_with_output())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_bounded_job_prints_its_rows_and_is_done_when_run_again() {
    let folder = folder(&format!("{ORDERS}INSERT INTO shown SELECT * FROM orders WHERE price > 10;"));
    let (out, err, success) = run(folder.path(), &RUN);
    assert!(success, "{err}");
    assert_eq!(out, "+I[2, JFK, 20]\n+I[3, EWR, 30]\n");
    assert!(err.contains("job job-1-insert-into-shown: finished in "), "{err}");
    assert!(err.contains("3 rows in"), "{err}");
    let (out, err, success) = run(folder.path(), &RUN);
    assert!(success, "{err}");
    assert_eq!(out, "");
    assert!(err.contains("job job-1-insert-into-shown: had finished before; nothing was emitted"), "{err}");
}

#[test]
fn variables_come_from_the_command_line_and_a_missing_one_is_named() {
    let folder = folder(&format!("{ORDERS}INSERT INTO shown SELECT * FROM orders WHERE city = '${{CITY}}';"));
    let mut arguments = RUN.to_vec();
    arguments.extend_from_slice(&["--var", "CITY=JFK"]);
    assert_eq!(run(folder.path(), &arguments).0, "+I[2, JFK, 20]\n");
    let (out, err, success) = run(folder.path(), &["check", "job.sql"]);
    assert!(!success && out.is_empty());
    assert_eq!(
        err,
        "error: the variable `CITY` is not defined\n --> job.sql:4:54\n  |\n\
         4 | INSERT INTO shown SELECT * FROM orders WHERE city = '${CITY}';\n  |                                                      ^^^^^^^\n\
         \x20 = hint: give it a value with `--var CITY=value` or in the environment\n"
    );
}

#[test]
fn an_init_file_comes_first_and_its_mistakes_are_shown_in_it() {
    let folder = folder("INSERT INTO shown SELECT * FROM orders WHERE id = 2;");
    // Without a semicolon at its end.
    std::fs::write(folder.path().join("tables.sql"), format!("{ORDERS}SET 'parallelism.default' = '1'"))
        .unwrap();
    let mut arguments = RUN.to_vec();
    arguments.extend_from_slice(&["--init", "tables.sql"]);
    assert_eq!(run(folder.path(), &arguments).0, "+I[2, JFK, 20]\n");
    let mistaken = "\nCREATE TABLE shown (id INT) WITH ('connector' = 'prnt');";
    std::fs::write(folder.path().join("tables.sql"), mistaken).unwrap();
    let (_, err, success) = run(folder.path(), &["check", "job.sql", "-i", "tables.sql"]);
    assert!(!success);
    assert!(err.contains("--> tables.sql:2:49"), "{err}");
    // `orders` is declared nowhere now.
    assert!(err.contains("--> job.sql:1:33") && err.ends_with("error: job.sql: 2 errors\n"), "{err}");
}

#[test]
fn mistakes_in_the_file_are_shown_where_they_are_and_nothing_runs() {
    let folder = folder(&format!("{ORDERS}INSERT INTO shown SELECT id, cty, price FROM orders;"));
    for verb in [&RUN[..], &["check", "job.sql"]] {
        let (out, err, success) = run(folder.path(), verb);
        assert!(!success && out.is_empty());
        assert!(err.contains("--> job.sql:4:30"), "{err}");
        assert!(err.contains("did you mean"), "{err}");
    }
    assert!(!folder.path().join("data").exists(), "nothing runs before the whole file is right");
    let (_, err, success) = run(folder.path(), &["run", "nowhere.sql"]);
    assert!(!success);
    assert!(err.starts_with("error: cannot read nowhere.sql: "), "{err}");
}

#[test]
fn a_bad_record_fails_the_job_and_says_how_to_go_on() {
    let folder = folder(&format!("{ORDERS}INSERT INTO shown SELECT * FROM orders;"));
    std::fs::write(folder.path().join("orders.csv"), "1,EWR,10\nx,JFK\n").expect("the data");
    let (_, err, success) = run(folder.path(), &RUN);
    assert!(!success);
    assert!(err.contains("orders.csv byte 9 cannot be read"), "{err}");
    assert!(err.contains("'csv.ignore-parse-errors' = 'true'"), "{err}");
    let lenient = ORDERS.replace("'format' = 'csv'", "'format' = 'csv', 'csv.ignore-parse-errors' = 'true'");
    let folder = self::folder(&format!("{lenient}INSERT INTO shown SELECT * FROM orders;"));
    std::fs::write(folder.path().join("orders.csv"), "1,EWR,10\nx,JFK\n").expect("the data");
    // As in Flink, fields that cannot be read become NULL.
    let (out, err, success) = run(folder.path(), &RUN);
    assert!(success, "{err}");
    assert_eq!(out, "+I[1, EWR, 10]\n+I[null, JFK, null]\n");
}

#[test]
fn ports_and_data_directories_in_use_and_open_binds_say_what_to_do() {
    let folder = folder("");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let (_, err, success) = run(folder.path(), &["start", "--data", "other", "--kafka", &address]);
    assert!(!success);
    assert!(err.contains(&address) && err.contains("choose another port"), "{err}");
    let (_, err, success) = run(folder.path(), &["start", "--data", "other", "--kafka", "0.0.0.0:0"]);
    assert!(!success);
    assert!(err.contains("neither TLS nor log-in") && err.contains("listen on 127.0.0.1"), "{err}");
    assert!(
        err.contains("--set security.protocol=SASL_SSL") && err.contains("eventwright user add"),
        "{err}"
    );
    // A setting that is not understood is told before the data is touched.
    let mistaken = ["start", "--data", "other", "--set", "securty.protocol=SSL"];
    let (_, err, success) = run(folder.path(), &mistaken);
    assert!(!success && err.contains("did you mean 'security.protocol'"), "{err}");
    let node = Node::start(folder.path());
    let (_, err, success) = run(folder.path(), &["start", "--data", "data", "--kafka", "127.0.0.1:0"]);
    assert!(!success);
    assert!(err.contains(&format!("in use by the process pid={}", node.child.id())), "{err}");
}

#[test]
fn a_newer_data_directory_is_refused_and_a_damaged_one_serves_the_rest() {
    let folder = folder("");
    let log = folder.path().join("data/log");
    {
        let node = Node::start(folder.path());
        for number in 0..3 {
            let (_, err, success) = node.produce(folder.path(), &["t"], &format!("record {number}\n"));
            assert!(success, "{err}");
        }
    }
    // Flip a byte of the second record, in the middle of the log.
    let mut damaged = false;
    for entry in std::fs::read_dir(&log).expect("the log").map(|entry| entry.expect("an entry").path()) {
        let mut bytes = std::fs::read(&entry).expect("a file");
        if let Some(at) = bytes.windows(8).position(|window| window == b"record 1") {
            bytes[at] ^= 1;
            std::fs::write(&entry, bytes).expect("the damage is done");
            damaged = true;
        }
    }
    assert!(damaged, "the record lies in a file");
    {
        let node = Node::start(folder.path());
        let (out, _, _) = node.verb(folder.path(), &["topic", "consume", "t", "--offset", "2"]);
        assert_eq!(out, "record 2\n");
        let (_, err, success) = node.verb(folder.path(), &["topic", "consume", "t", "--offset", "1"]);
        assert!(!success, "a damaged record is an error, never other bytes: {err}");
    }
    let format = log.join("format");
    let text = std::fs::read_to_string(&format).expect("the format file");
    std::fs::write(&format, text.replace('1', "999")).expect("a newer format");
    let (_, err, success) = run(folder.path(), &["start", "--data", "data", "--kafka", "127.0.0.1:0"]);
    assert!(!success);
    assert!(err.contains("was written by a newer version"), "{err}");
}

#[test]
fn topics_are_made_filled_read_filtered_and_deleted() {
    let folder = folder("");
    let node = Node::start(folder.path());
    let verb = |arguments: &[&str]| node.verb(folder.path(), arguments);
    assert!(verb(&["topic", "create", "orders", "--partitions", "2", "--config", "retention.ms=86400000"]).2);
    let (_, err, success) = verb(&["topic", "create", "orders"]);
    assert!(!success && err.contains("orders"), "{err}");
    let produced = node.produce(
        folder.path(),
        &["orders", "--key-separator", "|", "--partition", "1", "--compression", "zstd"],
        "a|{\"n\":1}\nb|{\"n\":2}\na|{\"n\":3}\n",
    );
    assert!(produced.2, "{}", produced.1);
    assert!(produced.1.contains("3 records are durable in orders"), "{}", produced.1);
    assert_eq!(verb(&["topic", "consume", "orders", "--key", "a"]).0, "a\t{\"n\":1}\na\t{\"n\":3}\n");
    assert_eq!(verb(&["topic", "consume", "orders", "--contains", "2"]).0, "b\t{\"n\":2}\n");
    assert_eq!(
        verb(&["topic", "consume", "orders", "--max", "1", "--partition", "1", "--offset", "1"]).0,
        "b\t{\"n\":2}\n"
    );
    let json = verb(&["topic", "consume", "orders", "--max", "1", "-o", "json"]).0;
    assert!(json.contains("\"partition\":1,\"offset\":0") && json.contains("\"value\":{\"n\":1}"), "{json}");
    let listed = verb(&["topic", "list"]).0;
    assert_eq!(listed, "TOPIC   PARTITIONS  RECORDS\norders           2        3\n");
    let described = verb(&["topic", "describe", "orders"]).0;
    assert!(described.contains("retention.ms") && described.contains("86400000"), "{described}");
    let (_, err, success) = verb(&["topic", "consume", "oders"]);
    assert!(!success && err.contains("there is no topic 'oders'; did you mean 'orders'?"), "{err}");
    assert!(verb(&["topic", "delete", "orders"]).2);
    assert_eq!(verb(&["topic", "list", "-o", "json"]).0, "[]\n");
}

#[test]
fn a_groups_offsets_are_set_and_shown_with_their_lag() {
    let folder = folder("");
    let node = Node::start(folder.path());
    let verb = |arguments: &[&str]| node.verb(folder.path(), arguments);
    assert!(node.produce(folder.path(), &["t"], "a\nb\nc\n").2);
    let reset = ["group", "reset", "readers", "--topic", "t", "--to", "1"];
    let mut dry = reset.to_vec();
    dry.push("--dry-run");
    let (out, err, success) = verb(&dry);
    assert!(success, "{err}");
    assert_eq!(out, "TOPIC  PARTITION  BEFORE  AFTER\nt              0  none        1\n");
    assert!(err.contains("nothing was changed"), "{err}");
    assert!(!verb(&["group", "describe", "readers"]).2, "the dry run made no group");
    assert!(verb(&reset).2);
    let (out, err, success) = verb(&["group", "describe", "readers", "-o", "json"]);
    assert!(success, "{err}");
    assert!(out.contains("\"offset\":1") && out.contains("\"lag\":2"), "{out}");
    assert!(verb(&["group", "list"]).0.contains("readers"));
}

#[test]
fn members_of_a_consumer_group_are_shown_with_their_epochs_and_guard_its_offsets() {
    use kafka_client::{ClientOptions, Connection};
    use kafka_wire::messages::ConsumerGroupHeartbeatRequest;
    let folder = folder("");
    let node = Node::start(folder.path());
    let verb = |arguments: &[&str]| node.verb(folder.path(), arguments);
    assert!(node.produce(folder.path(), &["t"], "a\nb\nc\n").2);
    let mut member = Connection::open(&node.address, &ClientOptions::new("reader")).expect("a connection");
    let join = ConsumerGroupHeartbeatRequest {
        group_id: "readers".into(),
        member_id: "one".into(),
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec!["t".into()]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    assert_eq!(member.call_version(&join, 1).expect("an answer").error_code, 0);
    assert_eq!(
        verb(&["group", "list"]).0,
        "GROUP    STATE   TYPE      PROTOCOL\nreaders  Stable  consumer  consumer\n"
    );
    let (out, err, success) = verb(&["group", "describe", "readers", "-o", "json"]);
    assert!(success, "{err}");
    assert!(out.contains("\"state\":\"Stable\"") && out.contains("\"epoch\":1"), "{out}");
    let (_, err, success) = verb(&["group", "reset", "readers", "--topic", "t", "--to", "1"]);
    assert!(!success && err.contains("group 'readers' has 1 members; stop its consumers first"), "{err}");
}

#[test]
fn bad_records_are_kept_as_dead_letters_or_skipped_and_counted() {
    let sql = "CREATE TABLE events (id INT) WITH ('connector' = 'kafka', 'topic' = 'events', 'format' = 'json',
      'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset', 'dead-letter.topic' = 'rejected');
    CREATE TABLE shown (id INT) WITH ('connector' = 'print');
    INSERT INTO shown SELECT id FROM events;";
    let folder = folder(sql);
    {
        let node = Node::start(folder.path());
        assert!(node.produce(folder.path(), &["events"], "{\"id\":1}\n{oops\n{\"id\":3}\n").2);
    }
    let (out, err, success) = run(folder.path(), &RUN);
    assert!(success, "{err}");
    assert_eq!(out, "+I[1]\n+I[3]\n");
    assert!(err.contains("dead letters 1"), "{err}");
    let skipping = sql.replace("'dead-letter.topic' = 'rejected'", "'json.ignore-parse-errors' = 'true'");
    std::fs::write(folder.path().join("skip.sql"), skipping).expect("the SQL file");
    let arguments = ["run", "skip.sql", "--kafka", "127.0.0.1:0", "--data", "data", "-o", "json"];
    let (out, err, success) = run(folder.path(), &arguments);
    assert!(success, "{err}");
    assert_eq!(out, "+I[1]\n+I[3]\n");
    assert!(err.contains("\"skipped_records\":1"), "{err}");
    let node = Node::start(folder.path());
    let letter = node.verb(folder.path(), &["topic", "consume", "rejected", "-o", "json"]).0;
    assert!(letter.contains("{oops") && letter.contains("events partition=0 offset=1"), "{letter}");
    assert_eq!(letter.lines().count(), 1);
}

/// Runs an unbounded job until it has printed a row for the record that is sent to it, then interrupts it.
fn one_life_of_a_live_job(folder: &Path, record: &str) -> String {
    let mut child = Command::new(BINARY)
        .current_dir(folder)
        .args(RUN)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the job starts");
    let mut messages = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    messages.read_line(&mut line).expect("the node says where it listens");
    let address =
        line.trim().strip_prefix("kafka listening on ").expect("the line is as documented").to_string();
    let out = child.stdout.take().expect("a pipe");
    let mut node = Node { child, address, out: BufReader::new(out) };
    let (_, err, success) = node.produce(folder, &["events"], record);
    assert!(success, "{err}");
    let mut row = String::new();
    node.out.read_line(&mut row).expect("the row is printed");
    let pid = rustix::process::Pid::from_child(&node.child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("the job runs");
    let status = node.child.wait().expect("the job ends");
    assert!(status.success(), "an interrupted job stops in good order");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut messages, &mut rest).expect("the summary");
    assert!(rest.contains("stopped (run it again with --data "), "{rest}");
    row
}

#[test]
fn a_live_job_answers_stops_when_interrupted_and_goes_on_without_repeating_itself() {
    let folder = folder(
        "CREATE TABLE events (id INT) WITH ('connector' = 'kafka', 'topic' = 'events', 'format' = 'json',
           'scan.startup.mode' = 'earliest-offset');
         CREATE TABLE shown (id INT) WITH ('connector' = 'print');
         INSERT INTO shown SELECT id + 1 FROM events;",
    );
    assert_eq!(one_life_of_a_live_job(folder.path(), "{\"id\":1}\n"), "+I[2]\n");
    assert_eq!(one_life_of_a_live_job(folder.path(), "{\"id\":2}\n"), "+I[3]\n");
}

#[test]
fn a_window_on_processing_time_closes_although_nothing_more_comes() {
    let folder = folder(
        "CREATE TABLE events (id INT, seen AS PROCTIME()) WITH ('connector' = 'kafka', 'topic' = 'events',
           'format' = 'json', 'scan.startup.mode' = 'earliest-offset');
         CREATE TABLE shown (id INT, n BIGINT, ms INT) WITH ('connector' = 'print');
         INSERT INTO shown SELECT id, COUNT(*), CAST(TIMESTAMPDIFF(SECOND, window_start, window_end) AS INT)
         FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(seen), INTERVAL '1' SECOND)) GROUP BY id, window_start, window_end;",
    );
    assert_eq!(one_life_of_a_live_job(folder.path(), "{\"id\":7}\n"), "+I[7, 1, 1]\n");
}

/// Sums over a file that has an end and ticks that have none; the job's state holds what the file said.
const SUMS: &str = "CREATE TABLE orders (id INT, city STRING, price INT) WITH
  ('connector' = 'filesystem', 'path' = 'orders.csv', 'format' = 'csv');
CREATE TABLE ticks (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '50');
CREATE TABLE shown (city STRING, total INT, seen BIGINT) WITH ('connector' = 'print');
SET 'pipeline.name' = 'sums';
INSERT INTO shown SELECT city, SUM(price), COUNT(*) FROM
  (SELECT city, price FROM orders UNION ALL SELECT 'EWR', 0 FROM ticks) GROUP BY city;
";

/// A job that runs until it is told to stop.
struct LiveJob {
    node: Node,
    messages: BufReader<std::process::ChildStderr>,
}

impl LiveJob {
    fn run(folder: &Path, arguments: &[&str]) -> LiveJob {
        let mut child = Command::new(BINARY)
            .current_dir(folder)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the job starts");
        let messages = BufReader::new(child.stderr.take().expect("a pipe"));
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        LiveJob { node: Node { child, address: String::new(), out }, messages }
    }

    /// The first row that is printed and fits.
    fn row(&mut self, fits: impl Fn(&str) -> bool) -> String {
        loop {
            let mut row = String::new();
            assert!(self.node.out.read_line(&mut row).expect("the output is text") > 0, "the job ended");
            if fits(row.trim_end()) {
                return row.trim_end().to_string();
            }
        }
    }

    /// The first message that contains a text.
    fn message(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.messages.read_line(&mut line).expect("the messages are text") > 0, "no '{part}'");
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Waits for the end; the remaining messages and whether it was a good one.
    fn end(mut self) -> (String, bool) {
        // What is printed until the end must go somewhere.
        std::io::copy(&mut self.node.out, &mut std::io::sink()).expect("the output is read");
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.messages, &mut rest).expect("the messages are text");
        (rest, self.node.child.wait().expect("the job ends").success())
    }
}

fn json_of(folder: &Path, arguments: &[&str]) -> serde_json::Value {
    let mut all = arguments.to_vec();
    all.extend_from_slice(&["-o", "json"]);
    let (out, err, success) = run(folder, &all);
    assert!(success, "{arguments:?}: {err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
}

#[test]
fn a_running_job_is_listed_described_saved_and_stopped() {
    let folder = folder(SUMS);
    let folder = folder.path();
    let mut job = LiveJob::run(folder, &RUN);
    job.row(|row| row.contains("[EWR, 40, "));
    let listed = json_of(folder, &["job", "list", "--data", "data"]);
    assert_eq!(listed[0]["job"], "sums");
    assert_eq!(listed[0]["state"], "RUNNING");
    let id = listed[0]["id"].as_str().expect("an id").to_string();
    assert!(id.len() == 32 && listed[0]["started_ms"].as_i64().is_some_and(|ms| ms > 0), "{listed}");
    // By its name and by its id, in the data directory and at the address that stands there.
    let addresses = std::fs::read_to_string(folder.join("data/node.json")).expect("the addresses");
    let addresses: serde_json::Value = serde_json::from_str(&addresses).expect("they are JSON");
    let http = addresses["http"].as_str().expect("an address");
    let described = json_of(folder, &["job", "describe", &id, "--http", http]);
    assert_eq!(described["job"], "sums");
    assert_eq!(described["restarts"], 0);
    assert_eq!(described["rows_in"][0], serde_json::json!({"table": "orders", "rows": 3}));
    assert_eq!(described["failures"], serde_json::json!([]));
    let (out, err, _) = run(folder, &["job", "describe", "sums", "--data", "data"]);
    assert!(out.starts_with("job sums: RUNNING\n") && out.contains(" 3 rows in\n"), "{out}{err}");
    let (_, err, success) = run(folder, &["job", "describe", "smus", "--http", http]);
    assert!(!success);
    assert_eq!(err, "error: there is no job 'smus'; did you mean 'sums'?\n");
    let saved = json_of(folder, &["savepoint", "create", "sums", "--to", "saved", "--data", "data"]);
    let savepoint = saved["savepoint"].as_str().expect("a folder");
    assert!(Path::new(savepoint).starts_with(folder.canonicalize().expect("the folder")), "{savepoint}");
    let elsewhere = ["savepoint", "create", "sums", "--to", "elsewhere", "--data", "data"];
    let (_, err, success) = run(folder, &elsewhere);
    assert!(!success && err.contains("not in a folder for savepoints"), "{err}");
    assert!(!folder.join("elsewhere").exists());
    let listed = json_of(folder, &["savepoint", "list", "saved"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(listed[0]["job"], "sums");
    assert!(listed[0]["rows_in"].as_u64().is_some_and(|rows| rows > 3), "{listed}");
    let (out, err, success) = run(folder, &["job", "stop", "sums", "--http", http]);
    assert!(success && out.contains("job sums stops"), "{out}{err}");
    let (rest, success) = job.end();
    assert!(success && rest.contains("job sums: stopped (run it again with --data "), "{rest}");

    // Nobody serves the directory any more: its journal tells.
    assert!(!folder.join("data/node.json").exists());
    // What a crash leaves behind misleads nobody.
    std::fs::write(folder.join("data/node.json"), addresses.to_string()).expect("a stale file");
    let stopped = json_of(folder, &["job", "describe", "sums", "--data", "data"]);
    assert_eq!(stopped["state"], "SUSPENDED");
    assert_eq!(stopped["id"], id.as_str());
    assert!(stopped["snapshot_step"].as_u64().is_some(), "{stopped}");
    let (_, err, success) = run(folder, &["savepoint", "create", "sums", "--data", "data"]);
    assert!(!success && err.contains("job 'sums' does not run: it is SUSPENDED"), "{err}");
    let (_, err, success) = run(folder, &["job", "list", "--http", http]);
    assert!(!success && err.contains("is it running?"), "{err}");
    let (_, err, success) = run(folder, &["job", "list", "--data", "nowhere"]);
    assert!(!success && err.contains("nowhere is not a data directory"), "{err}");
    assert!(!folder.join("nowhere").exists());
}

/// The count of rows in a printed row such as `+U[EWR, 40, 17]`.
fn seen(row: &str) -> u64 {
    let count = row.trim_end_matches(']').rsplit(", ").next().and_then(|count| count.parse().ok());
    count.unwrap_or_else(|| panic!("no count in {row}"))
}

#[test]
fn a_savepoint_is_restored_into_another_data_directory() {
    let folder = folder(SUMS);
    let folder = folder.path();
    let mut job = LiveJob::run(folder, &RUN);
    // Some ticks more than the file has rows, so that the state is not what a new job would have at its start.
    let before = seen(&job.row(|row| row.starts_with("+U[EWR, 40, ") && seen(row) > 6));
    let saved = json_of(folder, &["savepoint", "create", "sums", "--to", "saved", "--data", "data"]);
    let savepoint = saved["savepoint"].as_str().expect("a folder");
    assert!(run(folder, &["job", "stop", "sums", "--data", "data"]).2);
    assert!(job.end().1);
    std::fs::remove_dir_all(folder.join("data")).expect("the old directory goes");
    let other = ["job.sql", "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", "other"];
    let restore = [&["savepoint", "restore", savepoint], &other[..]].concat();
    let mut job = LiveJob::run(folder, &restore);
    // The file is not read again: no other city comes, and the count goes on where it was.
    let first = job.row(|_| true);
    assert!(first.starts_with("-U[EWR, 40, ") && seen(&first) >= before, "{first}, before {before}");
    assert!(run(folder, &["job", "stop", "sums", "--data", "other"]).2);
    assert!(job.end().1);
    // Run again with the same savepoint, the job goes on where it was, not back to the savepoint.
    let again = [&["run"], &other[..], &["--from-savepoint", savepoint]].concat();
    let mut job = LiveJob::run(folder, &again);
    let next = job.row(|_| true);
    assert!(next.starts_with("-U[EWR, 40, ") && seen(&next) > seen(&first), "{next}, before {first}");
    assert!(run(folder, &["job", "stop", "sums", "--data", "other"]).2);
    assert!(job.end().1);
}

#[test]
fn a_savepoint_is_for_one_job_and_must_be_one() {
    let two =
        format!("{ORDERS}INSERT INTO shown SELECT * FROM orders; INSERT INTO shown SELECT * FROM orders;");
    let folder = folder(&two);
    let from = [&RUN[..], &["--from-savepoint", "saved"]].concat();
    let (_, err, success) = run(folder.path(), &from);
    assert!(!success);
    assert!(err.contains("job.sql makes 2 jobs, and a savepoint is the state of one"), "{err}");
    assert!(!folder.path().join("data").exists(), "nothing was opened");
    std::fs::write(folder.path().join("job.sql"), SUMS).expect("the SQL file");
    let (_, err, success) = run(folder.path(), &from);
    assert!(!success && err.contains("savepoint saved: "), "{err}");
    let (out, err, success) = run(folder.path(), &["savepoint", "list", "saved", "-o", "json"]);
    assert!(success, "{err}");
    assert_eq!(out, "[]\n");
}

#[test]
fn a_job_whose_target_is_away_waits_for_it_and_says_so() {
    let folder = folder(
        "CREATE TABLE orders (id INT, city STRING, price INT) WITH
           ('connector' = 'filesystem', 'path' = 'orders.csv', 'format' = 'csv');
         CREATE TABLE kept (id INT, city STRING, price INT) WITH
           ('connector' = 'filesystem', 'path' = 'kept', 'format' = 'csv');
         SET 'pipeline.name' = 'keeper';
         SET 'restart-strategy.type' = 'fixed-delay';
         SET 'restart-strategy.fixed-delay.attempts' = '1000';
         SET 'restart-strategy.fixed-delay.delay' = '50 ms';
         INSERT INTO kept SELECT * FROM orders WHERE price > 10;",
    );
    let folder = folder.path();
    // Where the folder of the results should be, there is a file.
    std::fs::write(folder.join("kept"), "in the way").expect("the file");
    let mut job = LiveJob::run(folder, &RUN);
    let message = job.message("it is run again in");
    assert!(message.starts_with("job keeper failed after step "), "{message}");
    assert!(message.ends_with("; it is run again in 0.050 s\n"), "{message}");
    let described = json_of(folder, &["job", "describe", "keeper", "--data", "data"]);
    assert!(
        described["failures"][0]["reason"].as_str().is_some_and(|text| text.contains("kept")),
        "{described}"
    );
    std::fs::remove_file(folder.join("kept")).expect("the file goes");
    let (rest, success) = job.end();
    assert!(success, "{rest}");
    assert!(rest.contains("job keeper: finished in ") && rest.contains("  run again after "), "{rest}");
    let mut rows = String::new();
    for entry in std::fs::read_dir(folder.join("kept")).expect("the results").flatten() {
        if entry.file_name().to_string_lossy().starts_with("part-") {
            rows += &std::fs::read_to_string(entry.path()).expect("a result");
        }
    }
    assert_eq!(rows, "2,JFK,20\n3,EWR,30\n");

    // Without a strategy the first failure is the last.
    std::fs::rename(folder.join("kept"), folder.join("elsewhere")).expect("the results go");
    std::fs::write(folder.join("kept"), "in the way").expect("the file");
    let sql = std::fs::read_to_string(folder.join("job.sql")).expect("the SQL file");
    std::fs::write(folder.join("job.sql"), sql.replace("'fixed-delay';", "'none';")).expect("the SQL file");
    let (_, err, success) = run(folder, &[&RUN[..6], &["--data", "new"]].concat());
    assert!(
        !success
            && err.contains("job keeper failed; mend the cause and run it again with --data new to resume"),
        "{err}"
    );
    assert!(!err.contains("it is run again in"), "{err}");
}

#[test]
fn the_memory_of_the_state_is_a_size() {
    let folder = folder(&format!("{ORDERS}INSERT INTO shown SELECT * FROM orders WHERE id = 1;"));
    for size in ["1", "lots", "512kb"] {
        let (_, err, success) = run(folder.path(), &[&RUN[..], &["--memory", size]].concat());
        assert!(!success);
        assert!(err.contains(&format!("--memory '{size}' is not a size of at least 1mb")), "{err}");
    }
    assert!(!folder.path().join("data").exists(), "nothing was opened");
    let (out, err, success) = run(folder.path(), &[&RUN[..], &["--memory", "64mb"]].concat());
    assert!(success, "{err}");
    assert_eq!(out, "+I[1, EWR, 10]\n");
    // The file can say it too, under the name that Flink has for it.
    let sql = std::fs::read_to_string(folder.path().join("job.sql")).expect("the SQL file");
    let with = |size: &str| format!("SET 'taskmanager.memory.managed.size' = '{size}';\n{sql}");
    for (size, success) in [("64mb", true), ("4 kb", false), ("lots", false)] {
        std::fs::write(folder.path().join("job.sql"), with(size)).expect("the SQL file");
        let (_, err, succeeded) = run(folder.path(), &RUN);
        assert_eq!(succeeded, success, "{size}: {err}");
        assert!(!err.contains("without effect"), "{err}");
        assert!(success || err.contains(&format!("'{size}' is not a ")), "{err}");
    }
}

/// The address is taken by the node that the directory belongs to: that is as it should be, unlike any other user of it.
#[test]
fn doctor_knows_the_node_of_its_directory() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let node = Node::start(folder.path());
    // The node has said where it listens, and its file says so too.
    let (out, err, success) = node.verb(folder.path(), &["topic", "list"]);
    assert!(success, "{out}{err}");
    let file = std::fs::read(folder.path().join("data/node.json")).expect("the node's addresses");
    let addresses: serde_json::Value = serde_json::from_slice(&file).expect("JSON");
    let pg = addresses["pg"].as_str().expect("an address");
    let doctor =
        |data: &str| run(folder.path(), &["doctor", "--data", data, "--kafka", &node.address, "--pg", pg]);
    let (out, err, success) = doctor("data");
    let known = format!("the node of data listens on {}", node.address);
    assert!(success && out.contains(&known), "{out}{err}");
    let known = format!("pg address      the node of data answers on {pg}, without TLS");
    assert!(out.contains(&known), "{out}");
    let (out, err, success) = doctor("elsewhere");
    assert!(!success && out.matches("cannot be used").count() == 2, "{out}{err}");
    // The usual address may be taken by anybody: unless somebody has asked for it, the node has another one.
    let (out, ..) = run(folder.path(), &["doctor", "--data", "new", "--kafka", "127.0.0.1:0"]);
    let line = out.lines().find(|line| line.contains("pg address")).unwrap_or_default();
    let taken =
        "warning  pg address      127.0.0.1:5432 is taken, perhaps by PostgreSQL; the node takes a free port";
    assert!(line.starts_with(taken) || line == "ok       pg address      127.0.0.1:5432 is free", "{out}");
    let usual = std::net::TcpListener::bind("127.0.0.1:5432");
    let (out, ..) =
        run(folder.path(), &["doctor", "--data", "new", "--kafka", "127.0.0.1:0", "--pg", "127.0.0.1:5432"]);
    assert!(out.contains("problem  pg address      127.0.0.1:5432 cannot be used"), "{out}");
    drop(usual);
    for (address, finding) in [
        ("none", ""),
        ("127.0.0.1:0", "ok       pg address      127.0.0.1:0 is free"),
        ("nonsense", "problem  pg address      --pg 'nonsense' is no address"),
        ("0.0.0.0:0", "warning  pg address      0.0.0.0:0 is free, and others reach it"),
    ] {
        let (out, ..) =
            run(folder.path(), &["doctor", "--data", "new", "--kafka", "127.0.0.1:0", "--pg", address]);
        let line = out.lines().find(|line| line.contains("pg address")).unwrap_or_default();
        assert!(line.starts_with(finding) && line.is_empty() == finding.is_empty(), "{out}");
    }
}

#[test]
fn times_may_be_written_as_they_are_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let node = Node::start(folder.path());
    let (_, err, success) = node.produce(folder.path(), &["times"], "one\n");
    assert!(success, "{err}");
    let since = |time: &str| node.verb(folder.path(), &["topic", "consume", "times", "--since", time]);
    assert_eq!(since("2013-01-31T12:00:00Z").0, "one\n");
    assert_eq!(since("1359633600000").0, "one\n");
    assert_eq!(since("2999-01-01").0, "");
    let (_, err, success) = since("soon");
    assert!(!success && err.contains("or a time such as 2013-01-31T12:00:00Z"), "{err}");
}
