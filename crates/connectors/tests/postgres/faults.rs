//! What befalls a sink: locks, cut connections, a server that hangs, and a second process.

use crate::server::{Row, Server, server, sink, write};
use base::ErrorKind;
use dataflow::batch::RowKind::Insert;
use dataflow::sink::{OutboxSink, SinkError};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

fn signal(pid: &str, signal: &str) {
    assert!(Command::new("kill").args([signal, pid]).status().unwrap().success());
}

/// Commits on another thread while `meanwhile` runs.
fn commit_while(sink: &mut Box<dyn OutboxSink>, meanwhile: impl FnOnce()) -> Result<i64, SinkError> {
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| sink.commit(true, 0));
        meanwhile();
        committing.join().unwrap()
    })
}

fn rows(from: i64, count: i64) -> Vec<Row<'static>> {
    (from..from + count).map(|id| (Insert, id, "x")).collect()
}

fn counts(server: &Server, table: &str) -> String {
    server.run(&format!("SELECT count(*), count(DISTINCT id) FROM {table}"))
}

#[test]
fn a_lock_is_waited_for_and_then_told_and_the_connection_goes_on() {
    let server = server();
    server.run("CREATE TABLE locked (id bigint, name text)");
    let short = [("connection.max-retry-timeout", "4 s"), ("sink.max-retries", "1")];
    let mut hasty = sink(&server.people("locked", &[], &short), "locked");
    hasty.open().unwrap();
    let held = server.holding("LOCK TABLE locked");
    let error = write(&mut *hasty, &rows(0, 3), 0).unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Retry | ErrorKind::Unavailable), "{error:?}");
    drop(held);
    // The connection may have been given up, if the server was too slow to break off first.
    let stored =
        hasty.commit(true, 0).or_else(|_| hasty.open().and_then(|_| write(&mut *hasty, &rows(0, 3), 0)));
    assert_eq!(stored, Ok(3));
    // Who has time waits until the lock is free.
    let mut patient = sink(&server.people("locked", &[], &[]), "patient");
    patient.open().unwrap();
    let held = server.holding("LOCK TABLE locked");
    crate::server::apply(&mut *patient, &crate::server::people(&rows(3, 3)), 0);
    let stored = commit_while(&mut patient, || {
        server.waiting("locked");
        drop(held);
    });
    assert_eq!(stored, Ok(3));
    assert_eq!(counts(&server, "locked"), "6|6");
}

#[test]
fn a_connection_that_is_cut_in_a_transaction_loses_and_repeats_nothing() {
    let server = server();
    server.run("CREATE TABLE cut (id bigint, name text)");
    let mut sink = sink(&server.people("cut", &[], &[]), "cut");
    sink.open().unwrap();
    let mut next = 0;
    for round in 0..20 {
        let held = server.holding("LOCK TABLE cut");
        crate::server::apply(&mut *sink, &crate::server::people(&rows(next, 5)), next);
        let error = commit_while(&mut sink, || {
            let pid = server.waiting("cut");
            server.run(&format!("SELECT pg_terminate_backend({pid})"));
        });
        let error = error.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.message.contains("terminating connection due to administrator command"), "{error}");
        drop(held);
        // Without its connection it writes nothing.
        assert_eq!(sink.commit(true, 0).unwrap_err().kind, ErrorKind::Unavailable);
        assert_eq!(sink.open(), Ok(next), "round {round}");
        next = write(&mut *sink, &rows(next, 5), next).unwrap();
    }
    assert_eq!(counts(&server, "cut"), "100|100");
}

#[test]
fn connections_that_are_cut_at_any_moment_lose_and_repeat_nothing() {
    const ROWS: i64 = 2000;
    let server = server();
    server.run("CREATE TABLE at_random (id bigint, name text)");
    server.add_user("cut_often");
    let mut sink = sink(&server.people("at_random", &[], &[("username", "cut_often")]), "at-random");
    let is_done = AtomicBool::new(false);
    let cuts = std::thread::scope(|scope| {
        let cutting = scope.spawn(|| {
            let sql =
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'cut_often'";
            let mut cuts = 0;
            while !is_done.load(Ordering::Acquire) {
                cuts += server.run(sql).parse::<u64>().unwrap();
            }
            cuts
        });
        let mut next = None;
        while next != Some(ROWS) {
            let from = match next {
                Some(from) => Ok(from),
                None => sink.open(),
            };
            let written = from.and_then(|from| write(&mut *sink, &rows(from, 10.min(ROWS - from)), from));
            if let Err(error) = &written {
                assert!(matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Retry), "{error:?}");
            }
            next = written.ok();
        }
        is_done.store(true, Ordering::Release);
        cutting.join().unwrap()
    });
    assert!(cuts > 0, "no connection was cut");
    assert_eq!(counts(&server, "at_random"), format!("{ROWS}|{ROWS}"));
}

#[test]
fn a_server_that_hangs_is_given_up_and_what_it_does_later_does_not_count() {
    let server = server();
    server.run("CREATE TABLE hanging (id bigint, name text)");
    server.add_user("hanging");
    let options = [("connection.max-retry-timeout", "2 s"), ("username", "hanging")];
    let mut sink = sink(&server.people("hanging", &[], &options), "hanging");
    sink.open().unwrap();
    assert_eq!(write(&mut *sink, &rows(0, 5), 0), Ok(5));
    let pid = server.run("SELECT pid FROM pg_stat_activity WHERE usename = 'hanging'");
    signal(&pid, "-STOP");
    let error = write(&mut *sink, &rows(5, 5), 5).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("it took too long"), "{error}");
    // The process that hangs has the whole transaction before it, and comes too late.
    assert_eq!(sink.open(), Ok(5));
    assert_eq!(write(&mut *sink, &rows(5, 5), 5), Ok(10));
    signal(&pid, "-CONT");
    while !server.run(&format!("SELECT pid FROM pg_stat_activity WHERE pid = {pid}")).is_empty() {}
    assert_eq!((counts(&server, "hanging").as_str(), server.offset("hanging")), ("10|10", 10));
}

#[test]
fn an_old_process_cannot_write_after_a_newer_one_has_come() {
    let server = server();
    server.run("CREATE TABLE fenced (id bigint, name text)");
    let table = server.people("fenced", &[], &[]);
    let (mut old, mut new) = (sink(&table, "fenced"), sink(&table, "fenced"));
    old.open().unwrap();
    new.open().unwrap();
    // The offset is where the old one believes it to be, and yet.
    let error = write(&mut *old, &rows(0, 1), 0).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fenced);
    assert!(
        error.message.contains("outbox_offset=0 expected=0 epoch=2 expected=1; stop the other process"),
        "{error}"
    );
    assert_eq!(write(&mut *new, &rows(0, 1), 0), Ok(1));
    assert_eq!(write(&mut *old, &rows(0, 1), 0).unwrap_err().kind, ErrorKind::Fenced);
    assert_eq!(counts(&server, "fenced"), "1|1");
    // Other jobs have rows of their own.
    let mut other = sink(&table, "another");
    assert_eq!(other.open(), Ok(0));
    assert_eq!(write(&mut *other, &rows(7, 1), 0), Ok(1));
}

#[test]
fn two_sinks_that_make_the_table_of_offsets_at_once_both_open() {
    let server = server();
    server.run("CREATE SCHEMA fresh; CREATE TABLE fresh.a (id bigint, name text)");
    std::thread::scope(|scope| {
        let opening: Vec<_> = (0..4)
            .map(|number| {
                let table = server.people("fresh.a", &[], &[]);
                scope.spawn(move || sink(&table, &format!("fresh-{number}")).open())
            })
            .collect();
        for one in opening {
            assert_eq!(one.join().unwrap(), Ok(0));
        }
    });
}
