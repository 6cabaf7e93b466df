//! Where transactions begin and end, and what a file that ends too early means. Rows of real servers are in `tests/mysql`.

use super::super::gtid::Gtids;
use super::super::options;
use super::super::position::{Table, Tables};
use super::*;
use crate::row_changes::pieces::Piece;
use base::ErrorKind;
use dataflow::table::TableDefinition;
use os::Os;

fn changes() -> Changes {
    let options = [
        ("hostname", "localhost"),
        ("username", "me"),
        ("password", "secret"),
        ("database-name", "shop"),
        ("table-name", "orders"),
        ("connector", "mysql-cdc"),
    ];
    let table = Arc::new(TableDefinition {
        name: "t".into(),
        schema: Arc::new(arrow_schema::Schema::empty()),
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
    });
    let settings = options::checked(&table).expect("they are right");
    Changes::new(Arc::new(Wanted { os: Os::real(), table, settings, server_id: 1 }))
}

fn place(number: u64, at: u64) -> Place {
    Place { file: format!("binlog.{number:06}"), at }
}

fn take(
    changes: &mut Changes,
    position: &mut Position,
    (begin, end): (u32, u32),
    event: Event<'_>,
) -> Wired<()> {
    changes.take(Head::between(begin, end), event, position, &mut Vec::new()).map(drop)
}

fn begin(number: u64) -> Event<'static> {
    let gtid = Some(Gtid::MariaDb { domain: 0, server: 1, number });
    Event::Begin { is_alone: false, is_of_two_phases: false, gtid }
}

fn query(sql: &str) -> Event<'static> {
    Event::Query { database: "shop".into(), sql: sql.into() }
}

#[test]
fn a_transaction_begins_with_its_first_event() {
    let (mut changes, mut position) = (changes(), Position { place: place(2, 4), ..Position::default() });
    // What a file begins with is of none.
    take(&mut changes, &mut position, (4, 256), Event::Other).unwrap();
    take(&mut changes, &mut position, (330, 370), begin(5)).unwrap();
    assert_eq!(changes.transaction.as_ref().unwrap().begin, place(2, 330));
    assert_eq!(position.place, place(2, 4));
    take(&mut changes, &mut position, (500, 531), Event::Commit).unwrap();
    assert_eq!(position.place, place(2, 531));
    // So it is without numbers.
    take(&mut changes, &mut position, (531, 600), query("BEGIN")).unwrap();
    assert_eq!(changes.transaction.as_ref().unwrap().begin, place(2, 531));
}

#[test]
fn what_a_server_loses_of_a_transaction_is_told() {
    let part = || Position { place: place(2, 330), rows: 3, ..Position::default() };
    let told = |error: WireError, told: &str| {
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(
            error.message.contains(told) && error.message.contains("sync_binlog = 1"),
            "{}",
            error.message
        );
    };
    let (mut changes, mut position) = (changes(), part());
    take(&mut changes, &mut position, (0, 900), Event::Heartbeat).unwrap();
    assert_eq!(position.place, place(2, 330));
    let next = Event::Rotate { file: "binlog.000003".into(), at: 4 };
    told(
        take(&mut changes, &mut position, (0, 0), next).unwrap_err(),
        "binlog.000002:330 in the binary log has no end",
    );
    let mut position = part();
    take(&mut changes, &mut position, (330, 370), begin(5)).unwrap();
    let error = take(&mut changes, &mut position, (500, 531), Event::Commit).unwrap_err();
    told(error, "has fewer rows than were read of it before");
}

#[test]
fn the_numbers_of_transactions_are_kept() {
    let gtids = Gtids::parse("0-1-4", true);
    let (mut changes, mut position) =
        (changes(), Position { place: place(2, 4), gtids, ..Position::default() });
    let shown = |position: &Position| position.gtids.as_ref().map(Gtids::to_string);
    take(&mut changes, &mut position, (330, 370), begin(5)).unwrap();
    assert_eq!(shown(&position).as_deref(), Some("0-1-4"));
    take(&mut changes, &mut position, (500, 531), Event::Commit).unwrap();
    assert_eq!(shown(&position).as_deref(), Some("0-1-5"));
    // A part of another one has landed.
    (position.rows, position.rows_of, position.is_by_gtid) = (3, Gtid::parse("0-1-7"), true);
    let next = Event::Rotate { file: "binlog.000003".into(), at: 4 };
    take(&mut changes, &mut position, (0, 0), next).unwrap();
    let error = take(&mut changes, &mut position, (330, 370), begin(6)).unwrap_err();
    assert!(
        error.message.contains("a part of the transaction 0-1-7 was read of one server"),
        "{}",
        error.message
    );
    take(&mut changes, &mut position, (330, 370), begin(7)).unwrap();
    // One without a number ends what reads by them, and else makes them unknown.
    (position.rows, position.rows_of) = (0, None);
    changes.transaction = None;
    take(&mut changes, &mut position, (400, 450), query("BEGIN")).unwrap();
    let error = take(&mut changes, &mut position, (500, 531), query("COMMIT")).unwrap_err();
    assert!(error.message.contains("has no number that it keeps on other servers"), "{}", error.message);
    let gtids = Gtids::parse("0-1-4", true);
    let mut position = Position { place: place(2, 4), gtids, ..Position::default() };
    take(&mut changes, &mut position, (400, 450), query("BEGIN")).unwrap();
    take(&mut changes, &mut position, (500, 531), query("COMMIT")).unwrap();
    assert_eq!(position.gtids, None);
    // A file that begins tells them; none at all may mean that there are no numbers.
    position.place = place(3, 4);
    let set = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5";
    for (told, expected) in [("", None), (set, Some(set.to_string()))] {
        take(&mut changes, &mut position, (120, 150), Event::Before(Gtids::parse(told, false))).unwrap();
        assert_eq!(shown(&position), expected);
    }
}

#[test]
fn a_truncation_that_every_snapshot_has_seen_is_none() {
    let piece = |at| Piece { snapshot: place(2, at), until: None };
    let table = Table { pieces: vec![piece(300), piece(600)], ..Table::unread("shop", "orders") };
    let tables = Some(Tables { settled: place(2, 600), tables: vec![table] });
    let (mut changes, mut position) =
        (changes(), Position { place: place(2, 4), tables, ..Position::default() });
    take(&mut changes, &mut position, (200, 250), query("TRUNCATE orders")).unwrap();
    take(&mut changes, &mut position, (350, 400), query("TRUNCATE other.orders")).unwrap();
    take(&mut changes, &mut position, (400, 450), query("TRUNCATE others")).unwrap();
    let error = take(&mut changes, &mut position, (450, 500), query("TRUNCATE shop.orders")).unwrap_err();
    assert!(error.message.contains("(at binlog.000002:450 in the binary log)"), "{}", error.message);
}
