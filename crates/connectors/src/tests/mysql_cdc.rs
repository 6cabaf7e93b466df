//! What is wrong with the declaration of a table of `mysql-cdc`, before any server is asked.

use super::*;
use dataflow::connector::Role;
use dataflow::plan::Changelog;

const GIVEN: &[(&str, &str)] = &[
    ("connector", "mysql-cdc"),
    ("hostname", "localhost"),
    ("username", "me"),
    ("password", "secret"),
    ("database-name", "shop"),
    ("table-name", "orders_.*"),
];

fn messages(more: &[(&str, &str)]) -> Vec<String> {
    let mut options: BTreeMap<&str, &str> = GIVEN.iter().copied().collect();
    options.extend(more.iter().copied());
    let options: Vec<(&str, &str)> = options.into_iter().collect();
    let table = table(schema(&[("id", DataType::Int64), ("name", DataType::Utf8)]), &options);
    let connectors = crate::table(Connectors { os: Os::real(), log: None });
    let cdc = connectors.find("mysql-cdc").unwrap();
    assert_eq!(cdc.source_changelog(&table), Changelog::Retract);
    assert!(cdc.check(&table, Role::Sink).is_err() && cdc.lands(&table) && !cdc.is_bounded(&table));
    let checked = cdc.check(&table, Role::Source);
    checked.err().unwrap_or_default().into_iter().map(|error| error.message).collect()
}

#[test]
fn right_options_are_taken() {
    assert_eq!(messages(&[]), [""; 0]);
    let place = [
        ("scan.startup.mode", "specific-offset"),
        ("scan.startup.specific-offset.file", "binlog.000003"),
        ("scan.startup.specific-offset.pos", "120"),
        ("server-id", "5400-5408"),
        ("server-time-zone", "Asia/Tokyo"),
    ];
    assert_eq!(messages(&place), [""; 0]);
    for set in ["0-1-27,1-2-3", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23"] {
        let behind =
            [("scan.startup.mode", "specific-offset"), ("scan.startup.specific-offset.gtid-set", set)];
        assert_eq!(messages(&behind), [""; 0]);
    }
}

#[test]
fn wrong_options_are_named() {
    let cases = [
        ("server-id", "0", "'server-id' is a number from 1 to 4294967295, or a range of them"),
        ("server-id", "9-5", "'server-id' is a number from 1 to 4294967295, or a range of them"),
        ("scan.startup.mode", "timestamp", "'scan.startup.mode' = 'timestamp' is not supported"),
        ("scan.startup.mode", "snapshot", "'scan.startup.mode' = 'snapshot' is not supported"),
        ("scan.startup.mode", "specific-offset", "wants 'scan.startup.specific-offset.file'"),
        ("scan.startup.specific-offset.file", "x.1", "wants 'scan.startup.mode' = 'specific-offset'"),
        ("scan.startup.specific-offset.pos", "120", "wants 'scan.startup.mode' = 'specific-offset'"),
        ("scan.startup.specific-offset.gtid-set", "0-1-2", "wants 'scan.startup.mode' = 'specific-offset'"),
        ("debezium.snapshot.mode", "never", "there is no Debezium here"),
        ("jdbc.properties.useSSL", "true", "TLS is asked for with 'sslmode'"),
        ("sslrootcert", "ca.pem", "'sslrootcert' wants 'sslmode' = 'verify-full'"),
        ("table-name", "orders(", "'table-name' is no regular expression: error: unclosed group"),
    ];
    for (key, value, told) in cases {
        let said = messages(&[(key, value)]);
        assert!(said.len() == 1 && said[0].contains(told), "{key}={value}: {said:?}");
    }
    let specific = |more: &[(&'static str, &'static str)]| {
        messages(&[&[("scan.startup.mode", "specific-offset")][..], more].concat())
    };
    let said = specific(&[("scan.startup.specific-offset.gtid-set", "0-1")]);
    assert!(said.len() == 1 && said[0].contains("is no set of transactions"), "{said:?}");
    let said = specific(&[
        ("scan.startup.specific-offset.gtid-set", "0-1-2"),
        ("scan.startup.specific-offset.file", "binlog.000001"),
    ]);
    assert!(said.len() == 1 && said[0].contains("name two places"), "{said:?}");
}
