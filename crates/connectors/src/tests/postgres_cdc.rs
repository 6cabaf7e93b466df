//! What is wrong with the declaration of a table of `postgres-cdc`, before any server is asked.

use super::*;
use dataflow::connector::Role;
use dataflow::plan::Changelog;

const APPEND_ONLY: &str = "scan.read-changelog-as-append-only.enabled";

const GIVEN: &[(&str, &str)] = &[
    ("connector", "postgres-cdc"),
    ("hostname", "localhost"),
    ("username", "me"),
    ("password", "secret"),
    ("database-name", "shop"),
    ("schema-name", "public"),
    ("table-name", "orders_.*"),
    ("slot.name", "orders"),
];

fn declared(key: &[&str], more: &[(&str, &str)]) -> TableDefinition {
    let mut options: BTreeMap<&str, &str> = GIVEN.iter().copied().collect();
    options.extend(more.iter().copied());
    let options: Vec<(&str, &str)> = options.into_iter().collect();
    let mut table =
        table(schema(&[("id", DataType::Int64), ("name", DataType::Utf8)]), &options).as_ref().clone();
    table.primary_key = key.iter().map(|name| name.to_string()).collect();
    table
}

fn messages(key: &[&str], more: &[(&str, &str)]) -> Vec<String> {
    let connectors = crate::table(Connectors { os: Os::real(), log: None });
    let checked = connectors.find("postgres-cdc").unwrap().check(&declared(key, more), Role::Source);
    checked.err().unwrap_or_default().into_iter().map(|error| error.message).collect()
}

#[test]
fn the_mode_says_which_changes_there_are() {
    let connectors = crate::table(Connectors { os: Os::real(), log: None });
    let cdc = connectors.find("postgres-cdc").unwrap();
    assert_eq!(messages(&[], &[]), [""; 0]);
    assert_eq!(cdc.source_changelog(&declared(&[], &[])), Changelog::Retract);
    let upsert = declared(&["id"], &[("changelog-mode", "upsert")]);
    assert_eq!(
        (cdc.source_changelog(&upsert), messages(&["id"], &[("changelog-mode", "upsert")]).len()),
        (Changelog::Upsert, 0)
    );
    assert!(cdc.lands(&upsert) && !cdc.is_bounded(&upsert));
    let rows = [(APPEND_ONLY, "true")];
    assert_eq!(
        (cdc.source_changelog(&declared(&[], &rows)), messages(&[], &rows).len()),
        (Changelog::Insert, 0)
    );
    let both = messages(&["id"], &[rows[0], ("changelog-mode", "upsert")]);
    assert_eq!(
        both,
        [
            "table 't': 'scan.read-changelog-as-append-only.enabled' needs 'changelog-mode' = 'all': with 'upsert' a deletion \
          has nothing but its key"
        ]
    );
    assert!(cdc.check(&upsert, Role::Sink).is_err());
}

#[test]
fn wrong_options_are_named() {
    /// An option, its value, and what is said of it.
    type Case = (&'static str, &'static str, &'static str);
    let cases: &[Case] = &[
        ("slot.name", "Orders", "table 't': 'slot.name' has 1 to 63 small letters, digits and underscores"),
        (
            "decoding.plugin.name",
            "decoderbufs",
            "table 't': 'decoding.plugin.name' must be 'pgoutput', which every PostgreSQL since 10 has",
        ),
        (
            "scan.startup.mode",
            "snapshot",
            "table 't': 'scan.startup.mode' = 'snapshot' is not supported: without the changes that follow, rows that were \
             read at different times would not fit together; use 'initial'",
        ),
        (
            "debezium.slot.drop.on.stop",
            "true",
            "table 't': 'debezium.slot.drop.on.stop' is not supported: there is no Debezium here: 'publication.name', \
             'heartbeat.interval.ms', 'sslmode' and others have options of their own, see the reference",
        ),
        (
            "scan.incremental.snapshot.backfill.skip",
            "true",
            "table 't': 'scan.incremental.snapshot.backfill.skip' is not supported: rows are always read in the order of the \
             primary key; leave it out",
        ),
        ("sslrootcert", "ca.pem", "table 't': 'sslrootcert' wants 'sslmode' = 'verify-full'"),
        ("table-name", "orders(", "table 't': 'table-name' is no regular expression: error: unclosed group"),
        (
            "changelog-mode",
            "upsert",
            "table 't': 'changelog-mode' = 'upsert' needs a PRIMARY KEY (…) NOT ENFORCED, by which rows are known",
        ),
        ("slot.nam", "x", "table 't': unknown option 'slot.nam'; did you mean 'slot.name'?"),
    ];
    for (key, value, message) in cases {
        assert_eq!(messages(&[], &[(key, value)]), [*message], "{key} = {value}");
    }
}
