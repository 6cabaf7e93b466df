//! Made-up rows: the same whenever they are asked for, at the rate and in the number asked for.

use super::*;
use arrow_schema::TimeUnit;
use dataflow::connector::SourceRequest;

fn source(options: &[(&str, &str)]) -> Box<dyn Source> {
    let mut all = vec![("connector", "datagen")];
    all.extend_from_slice(options);
    let columns = [
        ("id", DataType::Int64),
        ("price", DataType::Decimal128(10, 2)),
        ("name", DataType::Utf8),
        ("at", DataType::Timestamp(TimeUnit::Millisecond, None)),
        ("flag", DataType::Boolean),
    ];
    let table = table(schema(&columns), &all);
    let connectors = crate::table(Connectors { os: Os::real(), log: None });
    let request = SourceRequest { table, projection: (0..5).collect(), metadata: vec![] };
    connectors.find("datagen").unwrap().source(request).unwrap()
}

#[test]
fn the_same_rows_come_again_and_the_end_is_kept() {
    let options = [
        ("number-of-rows", "1000"),
        ("rows-per-second", "1000000"),
        ("fields.id.kind", "sequence"),
        ("fields.id.start", "5"),
        ("fields.id.end", "904"),
        ("fields.name.length", "8"),
        ("fields.price.max", "10"),
        ("fields.flag.null-rate", "0.5"),
    ];
    let mut first = source(&options);
    let split = first.splits().unwrap().remove(0);
    assert_eq!(split.end, Some(Position(900)), "the shorter of the number of rows and the sequence");
    let whole = first.read(&split, Position(0), Some(Position(900)), limits(usize::MAX)).unwrap().rows;
    assert_eq!(whole.num_rows(), 900);
    let mut second = source(&options);
    let piece = second.read(&split, Position(100), Some(Position(200)), limits(usize::MAX)).unwrap().rows;
    assert_eq!(piece, whole.slice(100, 100));
    let nulls = whole.column(4).null_count();
    assert!((300..600).contains(&nulls), "{nulls} of 900 are NULL at a rate of one half");
}

#[test]
fn the_rate_bounds_what_is_there() {
    let mut source = source(&[("rows-per-second", "100")]);
    let split = source.splits().unwrap().remove(0);
    let at = |clock_ms| ReadLimits { rows_max: 1_000_000, clock_ms };
    let first = source.read(&split, Position(0), None, at(10_000)).unwrap();
    assert_eq!(first.next, Position(1));
    let second = source.read(&split, Position(1), None, at(11_000)).unwrap();
    assert_eq!(second.next, Position(101));
    let third = source.read(&split, Position(101), None, at(11_000)).unwrap();
    assert_eq!(third.next, Position(101));
    assert!(matches!(third.idle, dataflow::source::Idle::Until(ms) if ms > 11_000));
}

#[test]
fn values_stay_within_their_type() {
    let made = |data_type: DataType, options: &[(&str, &str)]| {
        let mut all = vec![("connector", "datagen"), ("number-of-rows", "500")];
        all.extend_from_slice(options);
        let table = table(schema(&[("v", data_type)]), &all);
        let connectors = crate::table(Connectors { os: Os::real(), log: None });
        let request = SourceRequest { table, projection: vec![0], metadata: vec![] };
        let mut source =
            connectors.find("datagen").unwrap().source(request).map_err(|error| error.message)?;
        let split = source.splits().unwrap().remove(0);
        Ok::<_, String>(
            source.read(&split, Position(0), Some(Position(500)), limits(usize::MAX)).unwrap().rows,
        )
    };
    for data_type in [DataType::Decimal128(3, 2), DataType::Decimal128(38, 30)] {
        let rows = made(data_type.clone(), &[]).unwrap();
        let DataType::Decimal128(precision, _) = data_type else { panic!("a decimal") };
        arrow_array::cast::as_primitive_array::<arrow_array::types::Decimal128Type>(rows.column(0))
            .validate_decimal_precision(precision)
            .unwrap();
    }
    let refused = made(DataType::Decimal128(3, 2), &[("fields.v.max", "11")]).unwrap_err();
    assert_eq!(refused, "table 't': 'fields.v.min' to 'fields.v.max' does not fit the type");
    // The longest past there is does not overflow.
    made(DataType::Timestamp(TimeUnit::Millisecond, None), &[("fields.v.max-past", "18446744073709551615")])
        .unwrap();
}
