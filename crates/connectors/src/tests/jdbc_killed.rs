//! The process that writes a database is killed, again and again, wherever it happens to be.
//!
//! The test starts itself as a second process, which applies one batch for each line that it is
//! given, commits, and says so. The first process kills it while the last commit runs, or at the very
//! moment at which the rows of that commit can be seen, and looks at what is in the file. The last
//! transaction of all is left in peace.

use super::jdbc::{Insert, changes, outbox, people_at, sink};
use rusqlite::Connection;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Says where the database lies; only the process that is to be killed has it.
const DATABASE: &str = "EVENTWRIGHT_TEST_KILLED_DATABASE";
const ROWS: i64 = 3000;
const BATCH_ROWS: i64 = 10;
/// So many batches make a transaction.
const BATCHES_PER_COMMIT: i64 = 3;

/// Applies from where the database is, a batch for each line.
fn write(path: &Path) {
    let table = people_at(path, &[], &[("sink.buffer-flush.max-rows", "30")]);
    let mut sink = sink(&table);
    let mut next = sink.open().unwrap();
    for line in std::io::stdin().lines() {
        line.unwrap();
        let rows: Vec<_> = (next..next + BATCH_ROWS).map(|id| (Insert, id, "x")).collect();
        sink.apply(&outbox(&table, &changes(&rows), next).bytes).unwrap();
        next += BATCH_ROWS;
        println!("\napplied {next}");
        sink.commit(next >= ROWS, 0).unwrap();
        if next >= ROWS {
            return;
        }
    }
}

#[test]
fn a_killed_process_leaves_each_row_once() {
    if let Some(path) = std::env::var_os(DATABASE) {
        return write(Path::new(&path));
    }
    kill_again_and_again("DELETE", |_, _| true);
    // Others read without delay in this mode, and so see a transaction as soon as it is there.
    kill_again_and_again("WAL", |connection, expected| count_rows(connection) >= expected);
}

fn count_rows(connection: &Connection) -> i64 {
    connection.query_row("SELECT count(*) FROM people", [], |row| row.get(0)).unwrap()
}

/// `is_time` says when to kill a process whose last commit makes so many rows visible.
fn kill_again_and_again(journal_mode: &str, is_time: fn(&Connection, i64) -> bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("killed.db");
    let connection = Connection::open(&path).unwrap();
    let create = "CREATE TABLE people (id INTEGER, name TEXT)";
    connection.execute_batch(&format!("PRAGMA journal_mode = {journal_mode}; {create}")).unwrap();
    let (mut lives, mut rows) = (0, 0);
    while rows < ROWS {
        let wanted = BATCHES_PER_COMMIT * (1 + lives % 3);
        let batches = wanted.min((ROWS - rows) / BATCH_ROWS);
        let expected = rows + batches * BATCH_ROWS;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::jdbc_killed::a_killed_process_leaves_each_row_once", "--nocapture"])
            .env(DATABASE, &path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all("\n".repeat(batches as usize).as_bytes()).unwrap();
        // The pipe stays open until the end: the writer's own last words must not fail.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let last = format!("applied {expected}");
        assert!(lines.any(|line| line == last), "the writer failed by itself");
        if expected == ROWS {
            assert!(child.wait().unwrap().success());
        } else {
            while !is_time(&connection, expected) && child.try_wait().unwrap().is_none() {}
            // A little later each time, so that the kills fall on all parts of a commit.
            (0..lives * 7 % 40 * 30).for_each(|_| std::thread::yield_now());
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let sql = "SELECT count(*), count(DISTINCT id), coalesce(max(id) + 1, 0), \
                   (SELECT outbox_offset FROM eventwright_offsets) FROM people";
        let found: (i64, i64, i64, i64) = connection
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .unwrap();
        rows = found.0;
        assert_eq!(found, (rows, rows, rows, rows), "{journal_mode}, life {lives}");
        assert!(
            rows == expected || rows == expected - BATCHES_PER_COMMIT * BATCH_ROWS,
            "{rows} of {expected}"
        );
        lives += 1;
        assert!(lives < 1000, "{journal_mode}: no progress");
    }
    assert!(lives >= 50, "{journal_mode}: only {lives} lives");
}
