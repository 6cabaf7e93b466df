//! Statements that answer at once, and what a job request says.

use crate::connectors::connectors;
use sql::parser::parse_script;
use sql::session::{Outcome, Session};
use sql::source::SourceText;

fn run(session: &mut Session, text: &str) -> Vec<Outcome> {
    let source = SourceText::new("test", text);
    let (statements, diagnostics) = parse_script(&source);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    statements
        .iter()
        .map(|statement| session.execute(statement).unwrap_or_else(|d| panic!("{}", d[0].render(&source))))
        .collect()
}

fn rows(outcome: &Outcome) -> Vec<String> {
    let Outcome::Rows { rows, .. } = outcome else { panic!("no rows: {outcome:?}") };
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "NULL".into());
    rows.iter().map(|row| row.iter().map(text).collect::<Vec<_>>().join(" | ")).collect()
}

const TABLE: &str = "CREATE TABLE t (
  id INT NOT NULL, price DECIMAL(10, 2), ts TIMESTAMP(3), total AS price * 2,
  pos BIGINT METADATA FROM 'offset' VIRTUAL,
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND, PRIMARY KEY (id) NOT ENFORCED
) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json');";

#[test]
fn describe_prints_types_as_flink_does() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    run(&mut session, "CREATE VIEW v AS SELECT ts, CAST(ts AS TIMESTAMP(3)) AS plain, id FROM t;");
    let columns: Vec<String> = rows(&run(&mut session, "DESCRIBE t")[0])
        .iter()
        .map(|row| row.split(" | ").take(4).collect::<Vec<_>>().join(" | "))
        .collect();
    assert_eq!(
        columns,
        [
            "id | INT | FALSE | PRI(id)",
            "price | DECIMAL(10, 2) | TRUE | NULL",
            "ts | TIMESTAMP(3) *ROWTIME* | TRUE | NULL",
            "total | DECIMAL(21, 2) | TRUE | NULL",
            "pos | BIGINT | TRUE | NULL",
        ]
    );
    let view = rows(&run(&mut session, "DESCRIBE v")[0]);
    assert!(view[0].starts_with("ts | TIMESTAMP(3) *ROWTIME* |"), "{view:?}");
    assert!(view[1].starts_with("plain | TIMESTAMP(3) |"), "{view:?}");
}

#[test]
fn show_set_and_drop() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    run(&mut session, "CREATE VIEW v AS SELECT id FROM t;");
    assert_eq!(rows(&run(&mut session, "SHOW TABLES")[0]), ["t", "v"]);
    assert_eq!(rows(&run(&mut session, "SHOW VIEWS")[0]), ["v"]);
    run(&mut session, "DROP VIEW v;");
    assert_eq!(rows(&run(&mut session, "SHOW TABLES")[0]), ["t"]);
    run(&mut session, "SET 'table.dml-sync' = 'true';");
    assert_eq!(session.setting("table.dml-sync"), Some("true"));
    run(&mut session, "RESET;");
    assert_eq!(session.setting("table.dml-sync"), None);
}

#[test]
fn a_job_knows_its_name_its_end_and_its_fingerprint() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    let job = |session: &mut Session, text: &str| match run(session, text).pop() {
        Some(Outcome::Job(job)) => job,
        other => panic!("no job: {other:?}"),
    };
    let first = job(&mut session, "SELECT id FROM t WHERE price > 1;");
    let again = job(&mut session, "SELECT   id FROM t AS x WHERE x.price > 1;");
    let other = job(&mut session, "SELECT id FROM t WHERE price > 2;");
    assert_eq!(first.fingerprint, again.fingerprint);
    assert_ne!(first.fingerprint, other.fingerprint);
    assert!(!first.bounded);
    let bounded =
        job(&mut session, "SELECT id FROM t /*+ OPTIONS('scan.bounded.mode' = 'latest-offset') */;");
    assert!(bounded.bounded);
    run(&mut session, "SET 'pipeline.name' = 'mine';");
    assert_eq!(job(&mut session, "SELECT id FROM t;").name, "mine");
}

/// What SET says of the zone reaches the plan.
#[test]
fn the_zone_is_part_of_the_fingerprint() {
    let mut session = Session::new(connectors());
    run(&mut session, TABLE);
    let fingerprint = |session: &mut Session| match run(session, "SELECT id FROM t;").pop() {
        Some(Outcome::Job(job)) => job.fingerprint,
        other => panic!("no job: {other:?}"),
    };
    let utc = fingerprint(&mut session);
    run(&mut session, "SET 'table.local-time-zone' = '+02:00';");
    assert_ne!(utc, fingerprint(&mut session));
}
