//! What a PostgreSQL server says to a lookup, and to a feed of changes: the log-in, the columns of the prepared
//! statements, rows, and what a replication slot sends.

use crate::script;
use crate::tables::{all_columns, table};
use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use connectors::Connectors;
use dataflow::connector::ConnectorTable;
use dataflow::feed::FeedRequest;
use dataflow::lookup::LookupRequest;
use std::sync::Arc;

/// More rounds of SCRAM than this are run for a real server, not here.
const ROUNDS_DIGITS_MAX: usize = 4;
const HAULS_MAX: usize = 100;

pub fn answers(data: &[u8]) {
    let digits = |rest: &[u8]| rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rounds = data.windows(2).enumerate().filter(|(_, pair)| pair == b"i=");
    if rounds.into_iter().any(|(at, _)| digits(&data[at + 2..]) > ROUNDS_DIGITS_MAX) {
        return;
    }
    let connectors = connectors::table(Connectors { os: script::os(data), log: None });
    look_up(&connectors);
    for mode in ["all", "upsert"] {
        follow(&connectors, mode);
    }
}

/// Reads the tables and the changes that the script has, to its end.
fn follow(connectors: &ConnectorTable, mode: &str) {
    let mut table = table(&[
        ("connector", "postgres-cdc"),
        ("hostname", "database"),
        ("username", "user"),
        ("password", "secret"),
        ("database-name", "d"),
        ("schema-name", "public"),
        ("table-name", "things"),
        ("slot.name", "slot"),
        ("changelog-mode", mode),
        ("truncate.handling.mode", "skip"),
    ]);
    Arc::make_mut(&mut table).primary_key = vec!["id".into()];
    let cdc = connectors.find("postgres-cdc").expect("a connector");
    let request = FeedRequest { table, identity: String::new() };
    let mut feed = cdc.feed(request).expect("a table of a database");
    let (mut position, mut ticket) = (None, 0);
    // The second time it goes on where the first one ended.
    for _ in 0..2 {
        if feed.open(position.as_deref()).is_err() {
            return;
        }
        for _ in 0..HAULS_MAX {
            let Ok(haul) = feed.poll(0) else { break };
            assert!(haul.ticket >= ticket || haul.is_empty(), "what is confirmed was taken back");
            ticket = ticket.max(haul.ticket);
            position = haul.position.or(position);
            if feed.confirm(ticket).is_err() {
                break;
            }
        }
        ticket = 0;
    }
}

fn look_up(connectors: &ConnectorTable) {
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

fn row<const N: usize>(values: [Option<&str>; N]) -> Vec<u8> {
    let mut body = (N as u16).to_be_bytes().to_vec();
    for value in values {
        body.extend(value.map_or(-1, |value| value.len() as i32).to_be_bytes());
        body.extend(value.unwrap_or_default().as_bytes());
    }
    message(b'D', &body)
}

/// A slot that is made, a table that is read, and changes of it.
fn changes() -> Vec<u8> {
    let answer = |rows: &[Vec<u8>]| [rows.concat(), message(b'Z', b"I")].concat();
    let begun = [
        [message(b'R', &0i32.to_be_bytes()), answer(&[])].concat(),
        answer(&[row([Some("logical")])]),
        answer(&[row([Some("77"), Some("1"), Some("0/1"), None])]),
        answer(&[row([Some("public"), Some("things"), Some("f"), Some("16385")])]),
        answer(&[row([Some("id"), Some("bigint"), None])]),
        answer(
            &[("id", "20"), ("name", "25"), ("price", "1700"), ("at_time", "1114")]
                .map(|(name, oid)| row([Some(name), Some(oid)])),
        ),
        answer(&[row([Some("t")])]),
        answer(&[row([Some("public"), Some("things")])]),
        answer(&[]),
        answer(&[]),
        answer(&[row([Some("slot"), Some("0/10"), Some("name"), Some("pgoutput")])]),
        answer(&[row([Some("9:9:")])]),
        answer(&[row([Some("0/10")])]),
        answer(&[row([Some("t")])]),
        answer(&[]),
        answer(&[row([Some("1"), Some("a"), Some("1.20"), None, Some("1")])]),
        answer(&[]),
        answer(&[]),
        answer(&[]),
        message(b'W', &[0, 0, 0]),
    ];
    let data = |message: &[u8]| self::message(b'd', &[&b"w"[..], &[0; 24], message].concat());
    let mut relation = b"R\0\0\x40\x01public\0things\0f\0\x04".to_vec();
    for (name, oid) in [("id", 20u32), ("name", 25), ("price", 1700), ("at_time", 1114)] {
        relation.push(1);
        relation.extend(name.as_bytes());
        relation.push(0);
        relation.extend(oid.to_be_bytes());
        relation.extend([0xff; 4]);
    }
    let transaction = |number: u64, changes: &[&[u8]]| {
        let begin = [&b"B"[..], &(number * 32).to_be_bytes(), &[0; 8], &(number as u32 + 8).to_be_bytes()];
        let commit =
            [&b"C\0"[..], &(number * 32).to_be_bytes(), &(number * 32 + 16).to_be_bytes(), &[0; 8]].concat();
        let changes = changes.iter().map(|change| data(change)).collect::<Vec<_>>().concat();
        [data(&begin.concat()), changes, data(&commit)].concat()
    };
    let one = b"\0\x04t\0\0\0\x011t\0\0\0\x01atn".as_slice();
    let whole = b"\0\x04t\0\0\0\x011t\0\0\0\x01at\0\0\0\x012n".as_slice();
    let unchanged = b"\0\x04t\0\0\0\x012unn".as_slice();
    let of = |kind: &[u8], rows: &[&[u8]]| [kind, b"\0\0\x40\x01", &rows.concat()].concat();
    let changes = [
        transaction(1, &[&relation, &of(b"I", &[b"N", whole]), &of(b"U", &[b"O", whole, b"N", unchanged])]),
        message(b'd', &[&b"k"[..], &100u64.to_be_bytes(), &[0; 8], &[1]].concat()),
        transaction(4, &[&of(b"D", &[b"O", whole]), b"T\0\0\0\x01\0\0\0\x40\x01", &of(b"I", &[b"N", one])]),
    ];
    [begun.concat(), changes.concat()].concat()
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
        changes(),
        [trusted.clone(), prepared.clone(), prepared.clone(), rows].concat(),
        [trusted.clone(), prepared.clone(), prepared, error.clone(), ready.clone()].concat(),
        [trusted, error.clone(), ready.clone()].concat(),
        [code(3, b""), code(5, b"salt"), error].concat(),
        [code(10, b"SCRAM-SHA-256\0\0"), code(11, b"r=x,s=c2FsdA==,i=4096"), code(12, b"v=AA=="), ready]
            .concat(),
    ]
}
