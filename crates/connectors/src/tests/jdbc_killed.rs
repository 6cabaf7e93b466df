//! The process that writes a database is killed, again and again, wherever it happens to be.
//!
//! The test starts itself as a second process, which applies and commits; the first one kills it
//! after a number of calls that differs each time and looks at what is in the file.

use super::jdbc::{Insert, changes, outbox, people_at, sink};
use rusqlite::Connection;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Says where the database lies; only the process that is to be killed has it.
const DATABASE: &str = "EVENTWRIGHT_TEST_KILLED_DATABASE";
const ROWS: i64 = 3000;
const BATCH_ROWS: i64 = 10;

/// Applies from where the database is, with a commit after some batches, and says so each time.
fn write(path: &Path) {
    let table = people_at(path, &[], &[("sink.buffer-flush.max-rows", "30")]);
    let mut sink = sink(&table);
    let mut next = sink.open().unwrap();
    while next < ROWS {
        let rows: Vec<_> = (next..next + BATCH_ROWS).map(|id| (Insert, id, "x")).collect();
        sink.apply(&outbox(&table, &changes(&rows), next).bytes).unwrap();
        next += BATCH_ROWS;
        println!("\napplied {next}");
        sink.commit(next >= ROWS, 0).unwrap();
        println!("\ncommitted {next}");
    }
}

#[test]
fn a_killed_process_leaves_each_row_once() {
    if let Some(path) = std::env::var_os(DATABASE) {
        return write(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("killed.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE people (id INTEGER, name TEXT)").unwrap();
    let mut kills = 0;
    loop {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::jdbc_killed::a_killed_process_leaves_each_row_once", "--nocapture"])
            .env(DATABASE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let calls_before_the_kill = 7 + kills * 13 % 29;
        let output = BufReader::new(child.stdout.take().unwrap());
        let lines = output.lines().map_while(Result::ok);
        let calls = lines
            .filter(|line| line.starts_with("applied") || line.starts_with("committed"))
            .take(calls_before_the_kill)
            .count();
        let has_ended = calls < calls_before_the_kill;
        if !has_ended {
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        // A process that ended by itself has written all.
        assert!(!has_ended || status.success(), "the writer failed by itself: {status}");
        let (rows, distinct, last): (i64, i64, Option<i64>) = connection
            .query_row("SELECT count(*), count(DISTINCT id), max(id) FROM people", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .unwrap();
        assert_eq!((distinct, last.map_or(0, |last| last + 1)), (rows, rows), "after {kills} kills");
        let sql = "SELECT coalesce(max(outbox_offset), 0) FROM eventwright_offsets";
        let offset: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(offset, rows, "after {kills} kills");
        if has_ended {
            assert_eq!(rows, ROWS);
            break;
        }
        kills += 1;
    }
    assert!(kills >= 10, "only {kills} kills");
}
