//! What a PostgreSQL server says to a lookup: the log-in, the columns of the prepared statements, rows.

use crate::tables::{all_columns, table};
use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use connectors::Connectors;
use dataflow::lookup::LookupRequest;
use os::sim::SimOs;
use os::{Listener, Network, Os, Stream};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// More rounds of SCRAM than this are run for a real server, not here.
const ROUNDS_DIGITS_MAX: usize = 4;

/// Every connection gets the same bytes, whatever is asked.
struct Script(Vec<u8>);

struct Says(Mutex<io::Cursor<Vec<u8>>>);

impl Network for Script {
    fn listen(&self, _: &str) -> io::Result<Box<dyn Listener>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connect(&self, _: &str, _: Duration) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(Says(Mutex::new(io::Cursor::new(self.0.clone())))))
    }
}

impl Stream for Says {
    fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut *self.0.lock().expect("one thread"), out)
    }

    fn write_all(&self, _: &[u8]) -> io::Result<()> {
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
        "database".into()
    }

    fn try_clone(&self) -> io::Result<Box<dyn Stream>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

pub fn look_up(data: &[u8]) {
    let digits = |rest: &[u8]| rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rounds = data.windows(2).enumerate().filter(|(_, pair)| pair == b"i=");
    if rounds.into_iter().any(|(at, _)| digits(&data[at + 2..]) > ROUNDS_DIGITS_MAX) {
        return;
    }
    // The nonce of a log-in is the same every time.
    let os = Os { network: Arc::new(Script(data.to_vec())), ..SimOs::new(1).os() };
    let connectors = connectors::table(Connectors { os, log: None });
    let table = table(&[
        ("connector", "jdbc"),
        ("url", "jdbc:postgresql://database/d"),
        ("table-name", "things"),
        ("username", "user"),
        ("password", "secret"),
    ]);
    let projection = all_columns(&table);
    let request = LookupRequest { table, projection, keys: vec![0], timeout_ms: 1000 };
    let jdbc = connectors.find("jdbc").expect("a connector");
    let mut lookup = jdbc.lookup(request).expect("a table of a database");
    let key = Schema::new(vec![Field::new("id", DataType::Int64, false)]);
    let keys = Arc::new(Int64Array::from(vec![1, 2]));
    let keys = RecordBatch::try_new(Arc::new(key), vec![keys]).expect("two keys");
    if let Ok(found) = lookup.find(&keys) {
        let rows: usize = found.counts.iter().map(|count| *count as usize).sum();
        assert_eq!((found.counts.len(), found.rows.num_rows()), (keys.num_rows(), rows));
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as i32 + 4).to_be_bytes()[..], body].concat()
}

fn columns() -> Vec<u8> {
    let mut body = 4u16.to_be_bytes().to_vec();
    for (name, oid) in [("id", 20u32), ("name", 25), ("price", 1700), ("at_time", 1114)] {
        body.extend(name.as_bytes());
        body.extend([0; 7]);
        body.extend(oid.to_be_bytes());
        body.extend([0xff; 8]);
    }
    message(b'T', &body)
}

fn row(values: [Option<&str>; 4]) -> Vec<u8> {
    let mut body = 4u16.to_be_bytes().to_vec();
    for value in values {
        body.extend(value.map_or(-1, |value| value.len() as i32).to_be_bytes());
        body.extend(value.unwrap_or_default().as_bytes());
    }
    message(b'D', &body)
}

pub fn seeds() -> Vec<Vec<u8>> {
    let ready = message(b'Z', b"I");
    let prepared = [columns(), ready.clone()].concat();
    let rows = [
        row([Some("1"), Some("a"), Some("1.20"), Some("2024-01-01 00:00:00.5")]),
        message(b'C', b"SELECT 1\0"),
        row([Some("2"), None, Some("-0.01"), Some("0044-03-15 00:00:00 BC")]),
        message(b'C', b"SELECT 1\0"),
        ready.clone(),
    ]
    .concat();
    let error = message(b'E', b"SERROR\0C22P02\0Minvalid input syntax\0\0");
    let trusted = [message(b'R', &0i32.to_be_bytes()), ready.clone()].concat();
    let code = |code: i32, rest: &[u8]| message(b'R', &[&code.to_be_bytes(), rest].concat());
    vec![
        [trusted.clone(), prepared.clone(), prepared.clone(), rows].concat(),
        [trusted.clone(), prepared.clone(), prepared, error.clone(), ready.clone()].concat(),
        [trusted, error.clone(), ready.clone()].concat(),
        [code(3, b""), code(5, b"salt"), error].concat(),
        [code(10, b"SCRAM-SHA-256\0\0"), code(11, b"r=x,s=c2FsdA==,i=4096"), code(12, b"v=AA=="), ready]
            .concat(),
    ]
}
