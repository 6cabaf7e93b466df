//! Against a server that says what the test wants.

use super::*;
use pg_client::OptionNames;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{JoinHandle, spawn};

/// Nothing takes so long unless it never ends.
const LIMIT: Duration = Duration::from_secs(30);

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut all = vec![kind];
    all.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
    all.extend_from_slice(body);
    all
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// One column, one character.
fn a_row() -> Vec<u8> {
    message(b'D', b"\0\x01\0\0\0\x01x")
}

/// The body of the client's next message, of which the first has no kind.
fn heard(stream: &mut TcpStream, kind_bytes: usize) -> Option<String> {
    let mut head = vec![0; kind_bytes + 4];
    stream.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes(head[kind_bytes..].try_into().unwrap());
    let mut body = vec![0; length as usize - 4];
    stream.read_exact(&mut body).ok()?;
    Some(String::from_utf8_lossy(&body).into_owned())
}

/// A session whose server lets everybody in and then does what `serve` does.
fn session(serve: impl FnOnce(TcpStream) + Send + 'static) -> (Session, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        heard(&mut stream, 0).unwrap();
        stream.write_all(&[message(b'R', &[0; 4]), ready()].concat()).unwrap();
        serve(stream);
    });
    let address = Address {
        host: "127.0.0.1".into(),
        port,
        database: "d".into(),
        user: "u".into(),
        password: None,
        authorities: None,
        options: OptionNames { password: "password", tls: "tls" },
    };
    let os = Os::real().with_any_destination();
    (Session::open(&os, address, Interrupts::default()).unwrap(), server)
}

#[test]
fn rows_of_a_view_that_never_rests_are_shown() {
    let (mut session, server) = session(|mut stream| {
        heard(&mut stream, 1).unwrap();
        // Without a pause until the client has gone.
        while stream.write_all(&a_row()).is_ok() {}
    });
    let clock = session.os.clock.clone();
    let (end_ns, mut rows) = (clock.monotonic_ns() + LIMIT.as_nanos() as u64, 0);
    let ran = session.run("SUBSCRIBE TO v", true, &mut |event| match event {
        Event::Row(_) if clock.monotonic_ns() < end_ns => {
            rows += 1;
            Ok(())
        }
        Event::Due => Err(io::Error::other("shown")),
        _ => Err(io::Error::other("rows came and were not shown")),
    });
    assert_eq!(ran.unwrap_err().to_string(), "shown");
    assert!(rows > 0);
    drop(session);
    server.join().unwrap();
}

#[test]
fn a_question_to_a_server_that_says_nothing_ends() {
    let (mut session, server) = session(|mut stream| while heard(&mut stream, 1).is_some() {});
    let begun = session.os.clock.monotonic_ns();
    assert!(matches!(session.ask_briefly("SELECT 1"), Err(Failure::Lost(_))));
    assert!(session.os.clock.monotonic_ns() - begun < LIMIT.as_nanos() as u64);
    // A late answer must not become the next statement's.
    assert!(session.is_broken());
    let next = session.run("SELECT 2", false, &mut |_| Ok(()));
    assert!(matches!(next, Err(Failure::Lost(_))));
    drop(session);
    server.join().unwrap();
}

#[test]
fn a_question_that_is_answered_leaves_the_session_whole() {
    let (mut session, server) = session(|mut stream| {
        while heard(&mut stream, 1).is_some() {
            stream.write_all(&[a_row(), ready()].concat()).unwrap();
        }
    });
    for _ in 0..2 {
        assert_eq!(session.ask_briefly("SELECT 1").unwrap().unwrap(), [[Some("x".to_string())]]);
    }
    assert!(!session.is_broken());
    assert_eq!(session.ask("SELECT 1").unwrap().unwrap().len(), 1);
    drop(session);
    server.join().unwrap();
}

#[test]
fn what_a_server_says_moves_no_cursor() {
    assert_eq!(Failure::Lost(broken("no \u{1b}[2J")).to_string(), "no \u{fffd}[2J");
}

/// What is said against a statement.
fn failure(session: &mut Session, statement: &str, is_live: bool) -> Option<String> {
    let mut failed = None;
    let ran = session.run(statement, is_live, &mut |event| {
        if let Event::Failed(report) = event {
            failed = Some(report.message);
        }
        Ok(())
    });
    ran.unwrap();
    failed
}

#[test]
fn a_statement_that_is_not_sent_does_not_end_the_session() {
    let (mut session, server) = session(|mut stream| {
        while let Some(asked) = heard(&mut stream, 1) {
            assert_eq!(asked, "SELECT 1\0");
            stream.write_all(&ready()).unwrap();
        }
    });
    let told = failure(&mut session, "SELECT '\0'", false);
    assert_eq!(told.as_deref(), Some("a statement cannot hold a zero byte: leave it out"));
    assert_eq!(failure(&mut session, "SELECT 1", false), None);
    drop(session);
    server.join().unwrap();
}

#[test]
fn an_interrupt_that_ended_a_subscription_is_used_up() {
    let (mut session, server) = session(|mut stream| {
        while let Some(asked) = heard(&mut stream, 1) {
            let row = if asked.starts_with("SUBSCRIBE") { a_row() } else { Vec::new() };
            stream.write_all(&[row, ready()].concat()).unwrap();
        }
    });
    let interrupts = session.interrupts.clone();
    let ran = session.run("SUBSCRIBE TO v", true, &mut |event| {
        if let Event::Row(_) = event {
            // The server has no key to cancel by: it is only noted.
            interrupts.interrupt();
        }
        Ok(())
    });
    ran.unwrap();
    assert_eq!(failure(&mut session, "SELECT 1", false), None);
    drop(session);
    server.join().unwrap();
}
