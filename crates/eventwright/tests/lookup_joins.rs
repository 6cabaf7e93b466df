//! Lookup joins through the binary: the example of the repository, and what goes wrong with a database.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_eventwright");

/// The example's folder; what was built in another checkout must not look there.
fn example() -> PathBuf {
    let package: PathBuf =
        std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the crate is").into();
    package.join("../../examples/lookups")
}

/// A copy of the example with its database.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["orders.sql", "orders.csv"] {
        std::fs::copy(example().join(name), folder.path().join(name)).unwrap();
    }
    let connection = rusqlite::Connection::open(folder.path().join("shop.db")).unwrap();
    connection.execute_batch(&std::fs::read_to_string(example().join("shop.sql")).unwrap()).unwrap();
    folder
}

/// Standard output, standard error, success.
fn run(folder: &Path, arguments: &[&str]) -> (String, String, bool) {
    let output =
        Command::new(BINARY).current_dir(folder).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.success())
}

const RUN: [&str; 8] =
    ["run", "orders.sql", "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", "data"];

#[test]
fn the_example_runs() {
    let folder = folder();
    let (out, err, success) = run(folder.path(), &RUN);
    assert!(success, "{err}");
    assert_eq!(
        out,
        "+I[1, Kiel, 3.0, null]\n+I[2, Ulm, 4.5, 2013-01-31T08:00]\n+I[3, null, null, null]\n\
         +I[4, null, null, null]\n+I[5, null, null, null]\n+I[6, Kiel, 3.0, null]\n"
    );
    assert!(err.contains("6 rows in"), "{err}");
    // The answers went with the job.
    let again = run(folder.path(), &RUN);
    assert!(again.2 && again.0.is_empty(), "{}", again.1);
}

#[test]
fn explain_shows_how_the_table_is_asked() {
    let folder = folder();
    let (out, err, success) = run(folder.path(), &["explain", "orders.sql"]);
    assert!(success, "{err}");
    let line = out.lines().find(|line| line.contains("LookupJoin(LEFT")).unwrap();
    for part in [
        "`shops`",
        "stream=[shop]",
        "table=[id]",
        "ORDERED",
        "cache=PARTIAL(max-rows=1000, expire-after-write=10 min)",
        "async(capacity=50, timeout=30 s)",
        "retry(lookup_miss, fixed-delay=10 ms, max-attempts=2)",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

#[test]
fn a_database_that_is_not_what_the_table_says_stops_the_job() {
    let folder = folder();
    let connection = rusqlite::Connection::open(folder.path().join("shop.db")).unwrap();
    connection.execute_batch("ALTER TABLE shops RENAME COLUMN rating TO stars").unwrap();
    let (out, err, success) = run(folder.path(), &RUN);
    assert!(!success && out.is_empty());
    assert!(
        err.contains("table 'shops': the table 'shops' in shop.db has no column 'rating'; it has city, id, opened, stars"),
        "{err}"
    );
}
