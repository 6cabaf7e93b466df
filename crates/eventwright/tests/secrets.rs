//! Secrets of tables are told nobody: not in logs, errors, plans, metrics, answers over HTTP, nor in the data directory.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const BINARY: &str = env!("CARGO_BIN_EXE_eventwright");
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at what a node says.
const PAUSE: Duration = Duration::from_millis(20);
const LOOKS_MAX: u32 = 3_000;

/// Each stands for another way to give a secret.
const SECRETS: [&str; 6] = [
    "Kafka-5ecret-literal",
    "Jdbc-5ecret-literal",
    "Url-5ecret-parameter",
    "Env-5ecret-value",
    "File-5ecret-value",
    "Registry-5ecret-value",
];

/// Nobody listens at these ports, so that every way to fail is gone.
const JOB: &str = "SET 'pipeline.name' = 'hidden';
CREATE TABLE a (k BIGINT) WITH ('connector' = 'kafka', 'topic' = 'a', 'format' = 'json',
  'properties.bootstrap.servers' = '127.0.0.1:1', 'properties.security.protocol' = 'SASL_PLAINTEXT',
  'properties.sasl.mechanism' = 'PLAIN', 'properties.sasl.username' = 'me',
  'properties.sasl.password' = 'Kafka-5ecret-literal');
CREATE TABLE numbers (k BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '10');
CREATE TABLE b (k BIGINT) WITH ('connector' = 'jdbc', 'url' = 'jdbc:postgresql://127.0.0.1:1/x', 'table-name' = 'b',
  'username' = 'me', 'password' = 'Jdbc-5ecret-literal');
CREATE TABLE c (k BIGINT) WITH ('connector' = 'jdbc', 'table-name' = 'c',
  'url' = 'jdbc:postgresql://127.0.0.1:1/x?user=me&password=Url-5ecret-parameter');
CREATE TABLE d (k BIGINT) WITH ('connector' = 'jdbc', 'url' = 'jdbc:postgresql://127.0.0.1:1/x', 'table-name' = 'd',
  'username' = 'me', 'password' = '${env:PLANTED}');
CREATE TABLE e (k BIGINT) WITH ('connector' = 'kafka', 'topic' = 'e', 'format' = 'json',
  'properties.bootstrap.servers' = '127.0.0.1:1', 'properties.security.protocol' = 'SASL_PLAINTEXT',
  'properties.sasl.mechanism' = 'PLAIN', 'properties.sasl.username' = 'me',
  'properties.sasl.password' = '${file:planted}');
CREATE TABLE f (k BIGINT) WITH ('connector' = 'kafka', 'topic' = 'f', 'format' = 'avro-confluent',
  'avro-confluent.url' = 'http://127.0.0.1:1', 'avro-confluent.basic-auth.credentials-source' = 'USER_INFO',
  'avro-confluent.basic-auth.user-info' = 'me:Registry-5ecret-value');
";

const INSERTS: &str = "EXECUTE STATEMENT SET BEGIN
INSERT INTO b SELECT k FROM a;
INSERT INTO c SELECT k FROM numbers;
INSERT INTO d SELECT k FROM numbers;
INSERT INTO e SELECT k FROM numbers;
INSERT INTO f SELECT k FROM numbers;
END;
";

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.current_dir(folder).env("PLANTED", "Env-5ecret-value").args(arguments).stdin(Stdio::null());
    command
}

/// Fails where a secret stands in it.
fn check(what: &str, bytes: &[u8]) {
    for secret in SECRETS {
        let found = bytes.windows(secret.len()).position(|part| part == secret.as_bytes());
        if let Some(at) = found {
            let around = &bytes[at.saturating_sub(200)..(at + secret.len() + 50).min(bytes.len())];
            panic!("{what} tells '{secret}': …{}…", String::from_utf8_lossy(around));
        }
    }
}

fn said(what: &str, output: std::io::Result<Output>) -> String {
    let output = output.unwrap();
    check(what, &output.stdout);
    check(what, &output.stderr);
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn folder(tail: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("planted"), "File-5ecret-value\n").unwrap();
    std::fs::write(folder.path().join("job.sql"), format!("{JOB}{tail}")).unwrap();
    folder
}

#[test]
fn commands_that_run_nothing_tell_no_secret() {
    let folder = folder(INSERTS);
    for arguments in [
        &["explain", "job.sql"][..],
        &["explain", "job.sql", "-o", "json"],
        &["check", "job.sql"],
        &["check", "job.sql", "-o", "json"],
        &["connector", "test", "job.sql"],
        &["connector", "test", "job.sql", "-o", "json"],
    ] {
        let text = said(&arguments.join(" "), command(folder.path(), arguments).output());
        assert!(text.contains("numbers"), "{arguments:?} says nothing of the tables: {text}");
    }
}

#[test]
fn what_shows_a_table_hides_its_secrets() {
    let shows: String =
        ["a", "b", "c", "d", "e", "f"].map(|table| format!("SHOW CREATE TABLE {table};\n")).concat();
    let folder = folder(&shows);
    let arguments = ["run", "job.sql", "--data", "data", "--kafka", "127.0.0.1:0", "--http", "none"];
    let text = said("SHOW CREATE TABLE", command(folder.path(), &arguments).output());
    assert_eq!(text.matches("******").count(), 4, "{text}");
    assert!(text.contains("${env:PLANTED}") && text.contains("${file:planted}"), "{text}");
}

#[test]
fn messages_about_wrong_options_tell_no_secret() {
    let wrong = JOB.replace("'table-name' = 'b'", "'tabel-name' = 'b'").replace("user=me&", "usr=me&");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("job.sql"), wrong + INSERTS).unwrap();
    let text = said("check", command(folder.path(), &["check", "job.sql"]).output());
    assert!(text.contains("tabel-name") && text.contains("'usr'"), "{text}");
}

fn get(address: &str, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    check(path, &answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_running_job_tells_no_secret() {
    let folder = folder(INSERTS);
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let arguments = ["run", "job.sql", "--data", "data", "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let mut command = command(folder.path(), &arguments);
    let mut running = Running(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap_or_default();
    let mut looks = 0;
    let text = loop {
        let text = String::from_utf8_lossy(&read("log")).into_owned();
        if text.contains("run again") || text.contains("tried again") {
            break text;
        }
        looks += 1;
        assert!(looks < LOOKS_MAX, "nothing fails: {text}");
        assert!(running.0.try_wait().unwrap().is_none(), "it has ended: {text}");
        std::thread::sleep(PAUSE);
    };
    let address = text.lines().find_map(|line| line.strip_prefix("http listening on ")).unwrap().to_string();
    let overview = get(&address, "/jobs/overview");
    let (_, rest) = overview.split_once("\"jid\":\"").unwrap_or_else(|| panic!("no job: {overview}"));
    let job = rest.split('"').next().unwrap();
    for path in ["", "/config", "/plan", "/exceptions", "/checkpoints", "/checkpoints/config", "/metrics"] {
        get(&address, &format!("/jobs/{job}{path}"));
    }
    assert!(get(&address, &format!("/jobs/{job}")).contains("hidden"));
    for path in ["/metrics", "/config", "/jobmanager/config", "/jobs", "/overview"] {
        get(&address, path);
    }
    drop(running);
    check("the log", &read("log"));
    let mut folders = vec![folder.path().join("data")];
    let mut files = 0;
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files += 1;
                check(&path.display().to_string(), &std::fs::read(&path).unwrap());
            }
        }
    }
    assert!(files > 0, "there is no data");
}
