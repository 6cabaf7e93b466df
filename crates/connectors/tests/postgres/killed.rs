//! The process that writes is killed, again and again, wherever it happens to be.
//!
//! The test starts itself as a second process, which applies a batch for each line that it is given, commits every third
//! one, and says so. It is killed while the last commit runs, or while the server waits for a lock in the middle of the
//! transaction, all of which it has been sent: then the next process must find out whether that was committed.

use crate::server::{Row, Server, people, server, sink};
use dataflow::batch::RowKind::Insert;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

/// Only the process that is to be killed has it.
const ROLE: &str = "EVENTWRIGHT_TEST_POSTGRES_KILLED";
const LIVES: i64 = 100;
const BATCH_ROWS: i64 = 10;
const BATCHES: i64 = 3;

fn write(server: &Server) {
    let mut sink = sink(&server.people("killed", &[], &[("sink.buffer-flush.max-rows", "30")]), "killed");
    let mut next = sink.open().unwrap();
    println!("\nopened {next}");
    for line in std::io::stdin().lines() {
        line.unwrap();
        let rows: Vec<Row<'_>> = (next..next + BATCH_ROWS).map(|id| (Insert, id, "x")).collect();
        crate::server::apply(&mut *sink, &people(&rows), next);
        next += BATCH_ROWS;
        println!("\napplied {next}");
        sink.commit(false, 0).unwrap();
        println!("\ncommitted {next}");
    }
}

struct Life {
    child: Child,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Life {
    fn begin() -> Life {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::a_killed_process_leaves_each_row_once", "--nocapture"])
            .env(ROLE, "writer")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        Life { child, lines: Box::new(lines) }
    }

    /// Waits for a line that begins so, and answers its number.
    fn said(&mut self, word: &str) -> i64 {
        let found = self.lines.find_map(|line| line.strip_prefix(word)?.trim().parse().ok());
        found.expect("the writer failed by itself")
    }

    fn feed(&mut self, batches: i64) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all("\n".repeat(batches as usize).as_bytes()).unwrap();
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_killed_process_leaves_each_row_once() {
    let server = server();
    if std::env::var_os(ROLE).is_some() {
        return write(&server);
    }
    server.run("CREATE TABLE killed (id bigint, name text)");
    let (mut expected, mut committed_in_the_end) = (0, 0);
    for life in 0..LIVES {
        let mut writer = Life::begin();
        let from = writer.said("opened ");
        assert!(
            from == expected || from + BATCHES * BATCH_ROWS == expected,
            "life {life}: {from} of {expected}"
        );
        committed_in_the_end += i64::from(life > 0 && from == expected);
        let held = (life % 2 == 0).then(|| server.holding("LOCK TABLE killed"));
        writer.feed(BATCHES);
        expected = from + BATCHES * BATCH_ROWS;
        while writer.said("applied ") < expected {}
        match held {
            Some(held) => {
                server.waiting("killed");
                writer.kill();
                drop(held);
            }
            None => {
                // A little later each time, so that the kills fall on all parts of a commit.
                (0..life * 7 % 40).for_each(|_| std::thread::yield_now());
                writer.kill();
            }
        }
    }
    let mut last = Life::begin();
    let rows = last.said("opened ");
    last.kill();
    let found = server.run(
        "SELECT count(*), count(DISTINCT id), max(id) + 1, \
         (SELECT outbox_offset FROM eventwright_offsets WHERE job = 'killed') FROM killed",
    );
    assert_eq!(found, format!("{rows}|{rows}|{rows}|{rows}"));
    // What the server had been sent whole was committed without the sender.
    assert!(committed_in_the_end >= LIVES / 2, "{committed_in_the_end} of {LIVES}");
}
