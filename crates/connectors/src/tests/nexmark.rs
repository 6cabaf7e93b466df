//! The benchmark's events: their proportions, times, sizes and references, and the same again whenever asked for.

use super::*;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, StructArray};
use arrow_schema::{Fields, TimeUnit};
use dataflow::connector::{Role, SourceRequest};
use dataflow::source::Idle;

const TIME: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

fn row(columns: &[(&str, DataType)]) -> DataType {
    let fields: Vec<Field> =
        columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect();
    DataType::Struct(Fields::from(fields))
}

fn columns() -> Vec<(&'static str, DataType)> {
    let (long, text) = (DataType::Int64, DataType::Utf8);
    let person = [
        ("id", long.clone()),
        ("name", text.clone()),
        ("emailAddress", text.clone()),
        ("creditCard", text.clone()),
        ("city", text.clone()),
        ("state", text.clone()),
        ("dateTime", TIME),
        ("extra", text.clone()),
    ];
    let auction = [
        ("id", long.clone()),
        ("itemName", text.clone()),
        ("description", text.clone()),
        ("initialBid", long.clone()),
        ("reserve", long.clone()),
        ("dateTime", TIME),
        ("expires", TIME),
        ("seller", long.clone()),
        ("category", long.clone()),
        ("extra", text.clone()),
    ];
    let bid = [
        ("auction", long.clone()),
        ("bidder", long.clone()),
        ("price", long.clone()),
        ("channel", text.clone()),
        ("url", text.clone()),
        ("dateTime", TIME),
        ("extra", text),
    ];
    vec![
        ("event_type", DataType::Int32),
        ("person", row(&person)),
        ("auction", row(&auction)),
        ("bid", row(&bid)),
    ]
}

fn request(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> SourceRequest {
    let mut all = vec![("connector", "nexmark")];
    all.extend_from_slice(options);
    let projection = (0..columns.len()).collect();
    SourceRequest { table: table(schema(columns), &all), projection, metadata: vec![] }
}

fn source(options: &[(&str, &str)]) -> Box<dyn Source> {
    let connectors = crate::table(Connectors { os: Os::real(), log: None });
    connectors.find("nexmark").unwrap().source(request(&columns(), options)).unwrap()
}

fn events(options: &[(&str, &str)], from: i64, to: i64) -> RecordBatch {
    let mut source = source(options);
    let split = source.splits().unwrap().remove(0);
    source.read(&split, Position(from), Some(Position(to)), limits(usize::MAX)).unwrap().rows
}

fn part<'a>(rows: &'a RecordBatch, column: usize, field: &str) -> &'a dyn Array {
    rows.column(column).as_struct().column_by_name(field).unwrap().as_ref()
}

fn longs(rows: &RecordBatch, column: usize, field: &str) -> Vec<i64> {
    part(rows, column, field).as_primitive::<Int64Type>().iter().flatten().collect()
}

fn text_bytes(row: &StructArray) -> usize {
    let texts = row.columns().iter().filter_map(|column| column.as_string_opt::<i32>());
    texts.map(|texts| texts.value_data().len()).sum()
}

#[test]
fn of_fifty_events_one_is_a_person_three_are_auctions() {
    let rows = events(&[], 0, 5_000);
    let kinds = rows.column(0).as_primitive::<Int32Type>();
    for (row, kind) in kinds.values().iter().enumerate() {
        let expected = match row % 50 {
            0 => 0,
            1..4 => 1,
            _ => 2,
        };
        assert_eq!(*kind, expected, "event {row}");
        for column in 1..4 {
            assert_eq!(rows.column(column).is_valid(row), column as i32 == expected + 1, "event {row}");
        }
    }
}

#[test]
fn an_event_is_the_same_whenever_it_is_asked_for() {
    let whole = events(&[], 0, 3_000);
    assert_eq!(events(&[], 1_111, 2_222), whole.slice(1_111, 1_111));
    assert_ne!(events(&[("seed", "2")], 0, 3_000), whole);
    let mut source = source(&[("events.num", "3000")]);
    let split = source.splits().unwrap().remove(0);
    assert_eq!(split.end, Some(Position(3_000)));
    let first = source.read(&split, Position(0), None, limits(2_000)).unwrap();
    assert_eq!((first.next, first.finished), (Position(2_000), false));
    let second = source.read(&split, first.next, None, limits(2_000)).unwrap();
    assert_eq!((second.rows, second.finished), (whole.slice(2_000, 1_000), true));
}

#[test]
fn who_is_named_is_there_or_comes_soon() {
    let rows = events(&[], 0, 50_000);
    let (persons, auctions) = (longs(&rows, 1, "id"), longs(&rows, 2, "id"));
    assert_eq!(persons, (1_000..2_000).collect::<Vec<_>>());
    assert_eq!(auctions, (1_000..4_000).collect::<Vec<_>>());
    let bids = longs(&rows, 3, "auction");
    for (bid, auction) in bids.iter().enumerate() {
        let last = 1_000 + (bid as i64 / 46) * 3 + 2;
        assert!((last - 110..=last + 10).contains(auction), "bid {bid} is for {auction}, the last is {last}");
    }
    let hot = bids.iter().filter(|auction| *auction % 100 == 0).count();
    assert!((0.48..0.54).contains(&(hot as f64 / bids.len() as f64)), "{hot} of {}", bids.len());
    let hot = longs(&rows, 3, "bidder").iter().filter(|bidder| *bidder % 100 == 1).count();
    assert!((0.73..0.79).contains(&(hot as f64 / bids.len() as f64)), "{hot} of {}", bids.len());
    assert!(longs(&rows, 2, "category").iter().all(|category| (10..15).contains(category)));
    let (initial, reserve) = (longs(&rows, 2, "initialBid"), longs(&rows, 2, "reserve"));
    assert!(initial.iter().zip(&reserve).all(|(initial, reserve)| initial < reserve));
    let times = part(&rows, 2, "dateTime").as_primitive::<TimestampMillisecondType>();
    let ends = part(&rows, 2, "expires").as_primitive::<TimestampMillisecondType>();
    assert!(times.iter().flatten().zip(ends.iter().flatten()).all(|(time, end)| time < end));
}

#[test]
fn times_follow_the_rates() {
    let times = |options: &[(&str, &str)]| {
        let rows = events(options, 0, 100_000);
        let bids = part(&rows, 3, "dateTime").as_primitive::<TimestampMillisecondType>();
        bids.iter().flatten().map(|time| time - 1_436_918_400_000).collect::<Vec<_>>()
    };
    let even = times(&[]);
    assert_eq!((even[0], even[46], *even.last().unwrap()), (0, 5, 9_999));
    for shape in ["SQUARE", "SINE"] {
        let options = [("rate.shape", shape), ("rate.period", "10 s"), ("next-event.rate", "1000")];
        let shaped = times(&options);
        assert!(shaped.windows(2).all(|pair| pair[0] <= pair[1]), "{shape}");
        assert!(shaped.last().unwrap() > even.last().unwrap(), "{shape} is slower");
    }
}

#[test]
fn sizes_are_as_asked_on_average() {
    let rows = events(&[("bid.avg-size", "300 b")], 0, 50_000);
    let (person, auction, bid) =
        (rows.column(1).as_struct(), rows.column(2).as_struct(), rows.column(3).as_struct());
    let average = |row: &StructArray, fixed: usize, without: usize| {
        fixed + (text_bytes(row) - without) / (row.len() - row.null_count())
    };
    assert!((195..=205).contains(&average(person, 16, 0)), "{}", average(person, 16, 0));
    assert!((490..=510).contains(&average(auction, 56, 0)), "{}", average(auction, 56, 0));
    let uncounted: usize = ["channel", "url"]
        .map(|name| bid.column_by_name(name).unwrap().as_string::<i32>().value_data().len())
        .iter()
        .sum();
    assert!((290..=310).contains(&average(bid, 32, uncounted)), "{}", average(bid, 32, uncounted));
    let urls = bid.column_by_name("url").unwrap().as_string::<i32>();
    let with_channel = urls.iter().flatten().filter(|url| url.contains("&channel_id=")).count();
    assert!((0.4..0.5).contains(&(with_channel as f64 / 46_000.0)), "{with_channel}");
    assert!(urls.iter().flatten().all(|url| url.starts_with("https://www.nexmark.com/")
        && url.split('/').count() == 7
        && url.contains("/item.htm?query=1")));
}

#[test]
fn with_a_limited_rate_events_come_when_they_are_due() {
    let mut source =
        source(&[("rate.limited", "true"), ("first-event.rate", "100"), ("next-event.rate", "100")]);
    let split = source.splits().unwrap().remove(0);
    let at = |clock_ms| ReadLimits { rows_max: 10_000, clock_ms };
    let first = source.read(&split, Position(500), None, at(7_000)).unwrap();
    assert_eq!(first.next, Position(501));
    let second = source.read(&split, first.next, None, at(8_000)).unwrap();
    assert_eq!(second.next, Position(601));
    let third = source.read(&split, second.next, None, at(8_000)).unwrap();
    assert_eq!((third.next, third.idle), (Position(601), Idle::Until(8_001)));
}

#[test]
fn what_the_benchmark_does_not_have_is_said() {
    let connectors = crate::table(Connectors { os: Os::real(), log: None });
    let nexmark = connectors.find("nexmark").unwrap();
    let errors = |columns: &[(&str, DataType)], options: &[(&str, &str)]| {
        let errors = nexmark.check(&request(columns, options).table, Role::Source).unwrap_err();
        errors.iter().map(|error| error.message.clone()).collect::<Vec<_>>().join("\n")
    };
    let unknown = errors(&[("bids", DataType::Int32), ("event_type", DataType::Int64)], &[]);
    assert!(unknown.contains("there is no column 'bids'") && unknown.contains("'event_type' must be INT"));
    let part = errors(&[("bid", row(&[("prize", DataType::Int64)]))], &[]);
    assert!(part.contains("no field 'prize'") && part.contains("auction, bidder, price"), "{part}");
    let typed = errors(&[("bid", row(&[("price", DataType::Utf8)]))], &[]);
    assert!(typed.contains("'price' of 'bid' must be BIGINT"), "{typed}");
    let none = [("person.proportion", "0"), ("auction.proportion", "0"), ("bid.proportion", "0")];
    assert!(errors(&columns(), &none).contains("there are no events"));
    assert!(errors(&columns(), &[("events.number", "5")]).contains("events.num"));
    assert!(nexmark.check(&request(&columns(), &[]).table, Role::Sink).is_err());
    for (options, bounded) in [
        (&[("events.num", "5")][..], true),
        (&[("stop-at", "5")], true),
        (&[], false),
        (&[("events.num", "5"), ("keep-alive", "true")], false),
    ] {
        assert_eq!(nexmark.is_bounded(&request(&columns(), options).table), bounded, "{options:?}");
    }
}

#[test]
fn proportions_of_nothing_do_not_divide_by_zero() {
    for nothing in ["person.proportion", "auction.proportion", "bid.proportion"] {
        assert_eq!(events(&[(nothing, "0")], 0, 500).num_rows(), 500);
    }
}
