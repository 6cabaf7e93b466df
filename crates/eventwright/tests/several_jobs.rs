//! Several jobs of one file: one that fails leaves the others alone, and is told of in the end.

use std::path::Path;
use std::process::{Command, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_eventwright");

const SQL: &str = "
CREATE TABLE bad (id INT) WITH ('connector' = 'filesystem', 'path' = 'bad.csv', 'format' = 'csv');
CREATE TABLE paced (id INT) WITH ('connector' = 'datagen', 'rows-per-second' = '20', 'number-of-rows' = '10',
  'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '10');
CREATE TABLE shown (id INT) WITH ('connector' = 'print');
SET 'pipeline.name' = 'bad';
INSERT INTO shown SELECT id FROM bad;
SET 'pipeline.name' = 'paced';
INSERT INTO shown SELECT id FROM paced;
";

fn run(folder: &Path, arguments: &[&str]) -> (String, String, bool) {
    let output = Command::new(BINARY)
        .current_dir(folder)
        .args(["run", "job.sql", "--kafka", "127.0.0.1:0", "--http", "none", "--data", "data"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the output is UTF-8");
    (text(output.stdout), text(output.stderr), output.status.success())
}

#[test]
fn a_job_that_fails_leaves_the_others_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("job.sql"), SQL).expect("the SQL file");
    std::fs::write(folder.path().join("bad.csv"), "1\noops,2,3\n").expect("the data");
    let (out, err, success) = run(folder.path(), &[]);
    assert!(!success, "{err}");
    let rows: Vec<String> = (1..=10).map(|id| format!("+I[{id}]\n")).collect();
    assert_eq!(out, rows.concat(), "{err}");
    assert!(err.contains("job paced: finished in "), "{err}");
    assert!(err.contains("job bad: failed (run it again with --data data to resume) in "), "{err}");
    // Said when it happened, while the other ran, and again as the reason of the exit code.
    assert_eq!(
        err.matches("error: job bad failed; mend the cause and run it again with --data data to resume")
            .count(),
        2,
        "{err}"
    );
    assert!(err.trim_end().lines().last().is_some_and(|line| line.starts_with("error: ")), "{err}");
    // Mended, only what is left is done.
    let lenient =
        SQL.replace("'path' = 'bad.csv',", "'path' = 'bad.csv', 'csv.ignore-parse-errors' = 'true',");
    std::fs::write(folder.path().join("job.sql"), lenient).expect("the SQL file");
    let (_, err, success) = run(folder.path(), &["-o", "json"]);
    assert!(success, "{err}");
    assert!(err.contains("\"job\":\"paced\",\"state\":\"finished-before\""), "{err}");
}

#[test]
fn settings_of_restarts_are_checked_where_they_stand() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (setting, expected) in [
        ("'restart-strategy.type' = 'sometimes'", "expected one of 'exponential-delay'"),
        ("'restart-strategy.exponential-delay.jitter-factor' = '2'", "expected a number from 0 to 1"),
        (
            "'restart-strategy.fixed-delay.dealy' = '1 s'",
            "did you mean 'restart-strategy.fixed-delay.delay'?",
        ),
    ] {
        std::fs::write(folder.path().join("job.sql"), format!("SET {setting};\n{SQL}"))
            .expect("the SQL file");
        let (out, err, success) = run(folder.path(), &[]);
        assert!(!success && out.is_empty(), "{err}");
        assert!(err.contains(expected) && err.contains("--> job.sql:1:"), "{err}");
    }
}
