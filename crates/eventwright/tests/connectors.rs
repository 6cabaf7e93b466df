//! `eventwright connector`: what there is, what its options are, and whether the tables of a file reach their systems.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_eventwright");

fn run(folder: &Path, arguments: &[&str]) -> (String, String, bool) {
    let mut command = Command::new(BINARY);
    let output =
        command.current_dir(folder).arg("connector").args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.success())
}

fn json(folder: &Path, arguments: &[&str]) -> (Value, bool) {
    let (out, error, succeeded) = run(folder, &[arguments, &["-o", "json"]].concat());
    (serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{error}")), succeeded)
}

const TABLES: &str = "CREATE TABLE orders (id BIGINT) WITH ('connector' = 'filesystem', 'path' = 'in', 'format' = 'json');
CREATE TABLE inside (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 'inside', 'format' = 'json');
CREATE TABLE away (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 'away', 'format' = 'json',
  'properties.bootstrap.servers' = '127.0.0.1:1');
CREATE TABLE metadata (id BIGINT) WITH ('connector' = 'jdbc', 'url' = 'jdbc:postgresql://169.254.169.254/x',
  'table-name' = 'x', 'username' = 'me');
CREATE TABLE written (id BIGINT) WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'json');
CREATE TABLE file (id BIGINT) WITH ('connector' = 'filesystem', 'path' = 'job.sql', 'format' = 'json');
CREATE TABLE lost (id BIGINT) WITH ('connector' = 'jdbc', 'url' = 'jdbc:sqlite:none.db', 'table-name' = 'none');
EXECUTE STATEMENT SET BEGIN
INSERT INTO inside SELECT id FROM orders;
INSERT INTO away SELECT id FROM orders;
INSERT INTO metadata SELECT id FROM orders;
INSERT INTO written SELECT id FROM orders;
INSERT INTO file SELECT id FROM orders;
INSERT INTO lost SELECT id FROM orders;
END;
";

#[test]
fn the_tables_of_a_file_are_tried() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    std::fs::write(folder.path().join("job.sql"), TABLES).unwrap();
    let (found, succeeded) = json(folder.path(), &["test", "job.sql"]);
    assert!(!succeeded);
    assert_eq!(found["failed"], 4);
    let tables = found["tables"].as_array().unwrap();
    let reason = |name: &str| {
        let table = tables.iter().find(|table| table["table"] == name).unwrap();
        let last = table["steps"].as_array().unwrap().last().cloned().unwrap_or_default();
        last["reason"].as_str().unwrap_or_default().to_string()
    };
    for works in ["orders", "inside", "written"] {
        assert_eq!(reason(works), "", "{works}");
    }
    for (name, part) in [
        ("away", "Connection refused"),
        ("metadata", "--allow-link-local"),
        ("file", "name a folder"),
        ("lost", "unable to open database file"),
    ] {
        assert!(reason(name).contains(part), "{name}: {}", reason(name));
    }
    // What was tried left nothing.
    assert!(!folder.path().join("none.db").exists() && !folder.path().join(".eventwright-probe").exists());
    let (text, _, succeeded) = run(folder.path(), &["test", "job.sql", "--table", "orders"]);
    assert!(succeeded && text.contains("a folder that can be read"), "{text}");
    let (_, error, succeeded) = run(folder.path(), &["test", "job.sql", "--table", "other"]);
    assert!(!succeeded && error.contains("orders"), "{error}");
}

#[test]
fn connectors_are_listed_and_described() {
    let folder = tempfile::tempdir().unwrap();
    let (list, _) = json(folder.path(), &["list"]);
    for connector in list.as_array().unwrap() {
        let name = connector["name"].as_str().unwrap();
        let (described, _) = json(folder.path(), &["describe", name]);
        assert_eq!(described["options"]["properties"]["connector"]["const"], name);
        assert_eq!(described["source_guarantee"], connector["source_guarantee"]);
        let (text, _, succeeded) = run(folder.path(), &["describe", name]);
        assert!(succeeded && text.contains("'connector' = "), "{text}");
    }
    let (_, error, succeeded) = run(folder.path(), &["describe", "kafak"]);
    assert!(!succeeded && error.contains("did you mean 'kafka'?"), "{error}");
}
