//! A server that says what it is told to, whoever listens.

use super::*;
use crate::OptionNames;
use base::ErrorKind;
use os::sim::SimOs;
use os::{Listener, Network, Stream};
use std::sync::Mutex;

struct Script(Vec<u8>, Arc<Mutex<Vec<u8>>>);

struct Says(Mutex<io::Cursor<Vec<u8>>>, Arc<Mutex<Vec<u8>>>);

impl Network for Script {
    fn listen(&self, _: &str) -> io::Result<Box<dyn Listener>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connect(&self, _: &str, _: Duration) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(Says(Mutex::new(io::Cursor::new(self.0.clone())), self.1.clone())))
    }
}

impl Stream for Says {
    fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        self.0.lock().unwrap().read(out)
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.1.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }

    fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&self) {}

    fn peer_address(&self) -> String {
        "server".into()
    }

    fn try_clone(&self) -> io::Result<Box<dyn Stream>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn address() -> Address {
    Address {
        host: "database".into(),
        port: 3306,
        database: Some("shop".into()),
        user: "me".into(),
        password: Some("secret".into()),
        authorities: None,
        options: OptionNames { password: "'password'", tls: "TLS" },
    }
}

fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_le_bytes()[..3], &[sequence], body].concat()
}

fn greeted(plugin: &str) -> Vec<u8> {
    let mut body = b"\x0a8.4.0\0\x07\0\0\0abcdefgh\0".to_vec();
    body.extend([0xff, 0xf7, 45, 2, 0, 0xff, 0x81, 21]);
    body.extend([0; 10]);
    body.extend(b"ijklmnopqrst\0");
    body.extend(plugin.as_bytes());
    body.push(0);
    packet(0, &body)
}

const OK: &[u8] = b"\0\0\0\x02\0\0\0";

/// What comes of a script, and what was said to the server.
fn opened(said: &[Vec<u8>]) -> (Wired<Connection>, Vec<u8>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let network = Arc::new(Script(said.concat(), heard.clone()));
    let os = Os { network, ..SimOs::new(1).os() };
    let connection = Connection::open(&os, &address(), Duration::from_secs(5));
    let heard = heard.lock().unwrap().clone();
    (connection, heard)
}

fn refused(said: &[Vec<u8>]) -> crate::WireError {
    match opened(said) {
        (Err(error), _) => error,
        _ => panic!("it was opened"),
    }
}

#[test]
fn several_ways_to_log_in_end_at_the_settings() {
    let native = [greeted(login::NATIVE), packet(2, OK), packet(1, OK)];
    let switched = [
        greeted("unix_socket"),
        packet(2, b"\xfecaching_sha2_password\0abcdefghijklmnopqrst\0"),
        packet(4, b"\x01\x03"),
        packet(5, OK),
        packet(1, OK),
    ];
    for said in [&native[..], &switched] {
        let (connection, heard) = opened(said);
        assert!(connection.is_ok());
        assert!(!heard.windows(6).any(|part| part == b"secret"), "the password was said in clear");
        assert!(heard.ends_with(SETTINGS.as_bytes()));
    }
}

#[test]
fn what_a_server_may_not_ask_for_is_told() {
    let full = [greeted(login::CACHING), packet(2, b"\x01\x04")];
    assert!(refused(&full).message.contains("does not remember the password of this user"));
    let clear = [greeted(login::NATIVE), packet(2, b"\xfemysql_clear_password\0")];
    assert!(refused(&clear).message.contains("wants the password in clear, which needs TLS"));
    let dialog = [greeted(login::NATIVE), packet(2, b"\xfedialog\0x")];
    assert!(refused(&dialog).message.contains("'dialog'"));
    let denied = [greeted(login::NATIVE), packet(2, b"\xff\x15\x04#28000Access denied")];
    assert_eq!(refused(&denied).message, "Access denied (error 1045, SQLSTATE 28000)");
    let full = [packet(0, b"\xff\x10\x04Too many connections")];
    assert_eq!(refused(&full).kind, ErrorKind::Unavailable);
    assert_eq!(refused(&[b"HTTP/1.1 400".to_vec()]).kind, ErrorKind::Unavailable);
}

#[test]
fn several_statements_have_answers_of_their_own() {
    let column = b"\x03def\0\0\0\x01a\0\x0c\x2d\0\x04\0\0\0\x03\0\0\0\0\0";
    let mut said = vec![greeted(login::NATIVE), packet(2, OK), packet(1, OK)];
    said.extend([
        packet(1, b"\0\x03\0\x0a\0\0\0"),
        packet(2, b"\x01"),
        packet(3, column),
        packet(4, b"\xfe\0\0\x0a\0"),
        packet(5, b"\x017"),
        packet(6, b"\xfb"),
        packet(7, b"\xfe\0\0\x0a\0"),
        packet(8, b"\xff\x7a\x04#42S02Table 'x' doesn't exist"),
    ]);
    let (connection, _) = opened(&said);
    let mut connection = connection.ok().unwrap();
    let mut rows = Vec::new();
    let stopped = connection
        .run_each(b"UPDATE; SELECT; SELECT", &mut |statement, values| {
            rows.push((statement, values.iter().map(|value| value.map(<[u8]>::to_vec)).collect::<Vec<_>>()));
            Ok(())
        })
        .unwrap_err();
    assert_eq!((stopped.statements, stopped.error.kind), (2, ErrorKind::NotFound));
    assert_eq!(rows, [(1, vec![Some(b"7".to_vec())]), (1, vec![None])]);
    assert!(!connection.is_broken());
    assert!(connection.query("SELECT 1").is_err() && connection.is_broken());
}

#[test]
fn what_ends_too_early_is_an_error() {
    let whole = [greeted(login::NATIVE), packet(2, OK), packet(1, OK)].concat();
    for length in 0..whole.len() {
        assert!(opened(&[whole[..length].to_vec()]).0.is_err(), "{length}");
    }
}

#[test]
fn a_message_that_is_too_large_is_not_asked_for_again() {
    let read = |bytes_max: usize| {
        let said = packet(0, b"0123456789");
        receive(&mut io::Cursor::new(said), &mut 0, bytes_max)
    };
    assert_eq!(read(10).as_deref(), Ok(&b"0123456789"[..]));
    let error = read(9).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("more than 9 bytes"), "{}", error.message);
}
