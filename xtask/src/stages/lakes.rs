//! The stage in which others read what jobs have written to tables of lakes: every type, partitions, bounds and checkpoints; and
//! write to them in between.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::job::{Job, LIMIT};
use crate::counts::Counts;
use crate::lakes::{Catalog, Reader};
use crate::peers;

const SECRET: &str = "first-Secret-1";

/// Columns with every type that both formats have, behind them one that is no partition's.
const COLUMNS: &str = "id INT, t TINYINT, s SMALLINT, f FLOAT, d DOUBLE, flag BOOLEAN, txt STRING, small DECIMAL(7, 2), \
    wide DECIMAL(30, 5), dy DATE, ts TIMESTAMP(3), zoned TIMESTAMP_LTZ(6), bin BYTES, list ARRAY<STRING>, \
    pairs MAP<STRING, INT>, inner_row ROW<x INT, ys ARRAY<ROW<z STRING>>>";

const ROWS: &str = r#"{"id":1,"t":-8,"s":300,"f":1.5,"d":-2.5,"flag":true,"txt":"é","small":"-12.34","wide":"1234567890123456789012345.00001","dy":"1969-12-31","ts":"1960-01-01 00:00:00.001","zoned":"2013-01-31 12:00:00.123456Z","bin":"AP8=","list":["a",null],"pairs":{"k":7},"inner_row":{"x":1,"ys":[{"z":"deep"},null]}}
{"id":2}
"#;

/// The same rows as the libraries give them.
fn expected() -> Value {
    let names = [
        "t",
        "s",
        "f",
        "d",
        "flag",
        "txt",
        "small",
        "wide",
        "dy",
        "ts",
        "zoned",
        "bin",
        "list",
        "pairs",
        "inner_row",
    ];
    let mut empty = json!({"id": 2});
    for name in names {
        empty[name] = Value::Null;
    }
    json!([
        {
            "id": 1, "t": -8, "s": 300, "f": 1.5, "d": -2.5, "flag": true, "txt": "é", "small": "-12.34",
            "wide": "1234567890123456789012345.00001", "dy": "1969-12-31", "ts": "1960-01-01 00:00:00.001000",
            "zoned": "2013-01-31 12:00:00.123456+00:00", "bin": "b'\\x00\\xff'", "list": ["a", null],
            "pairs": [["k", 7]], "inner_row": {"x": 1, "ys": [{"z": "deep"}, null]},
        },
        empty,
    ])
}

/// A table of one of the kinds.
struct Table {
    kind: &'static str,
    /// As the reader finds it.
    place: String,
    library: Value,
    options: String,
}

fn tables(folder: &Path, catalog: &Catalog, name: &str) -> Vec<Table> {
    let folder = folder.display();
    let uri = format!("http://127.0.0.1:{}", catalog.port);
    vec![
        Table {
            kind: "delta",
            place: format!("{folder}/delta/{name}"),
            library: json!({}),
            // Each commit has its checkpoint, so that it is the checkpoint which is read.
            options: format!(
                "'connector' = 'delta', 'table-path' = '{folder}/delta/{name}', 'delta.checkpointInterval' = '1'"
            ),
        },
        Table {
            kind: "iceberg",
            place: format!("file://{folder}/warehouse/shop/{name}"),
            library: json!({}),
            options: format!(
                "'connector' = 'iceberg', 'catalog-type' = 'hadoop', 'warehouse' = '{folder}/warehouse', \
                 'catalog-database' = 'shop', 'catalog-table' = '{name}'"
            ),
        },
        Table {
            kind: "rest",
            place: format!("shop.{name}"),
            library: json!({"uri": uri, "credential": format!("conformance:{SECRET}")}),
            options: format!(
                "'connector' = 'iceberg', 'catalog-type' = 'rest', 'uri' = '{uri}', 'credential' = 'conformance:{SECRET}', \
                 'catalog-database' = 'shop', 'catalog-table' = '{name}', 'rest.local-files' = 'true'"
            ),
        },
    ]
}

pub fn run() -> Result<Counts> {
    peers::install(&["lakes".to_owned()])?;
    let folder = tempfile::tempdir()?;
    let (reader, catalog) = (Reader::start(folder.path())?, Catalog::start(SECRET)?);
    let mut counts = Counts::default();
    for table in tables(folder.path(), &catalog, "types") {
        counts
            .check(&format!("lakes: {} every type", table.kind), every_type(folder.path(), &reader, &table));
    }
    for table in tables(folder.path(), &catalog, "numbers") {
        counts.check(
            &format!("lakes: {} beside others", table.kind),
            beside_others(folder.path(), &reader, &table),
        );
    }
    Ok(counts)
}

/// Runs a job to its end in a folder of its own.
fn job(folder: &Path, name: &str, sql: &str, rows: &str) -> Result<()> {
    let job = Job::make(&folder.join(name), sql)?;
    std::fs::write(job.folder.join("rows.json"), rows)?;
    let status = job.start()?.wait(LIMIT).with_context(|| job.said())?;
    ensure!(status.success(), "the job ended with {status}: {}", job.said());
    Ok(())
}

fn every_type(folder: &Path, reader: &Reader, table: &Table) -> Result<()> {
    let Table { kind, place, library, options } = table;
    // The one format has no TIME.
    let (time, as_read) =
        if *kind == "delta" { ("", None) } else { (", tm TIME(0)", Some(("tm", "23:59:59"))) };
    let sql = format!(
        "CREATE TABLE given ({COLUMNS}{time}) WITH ('connector' = 'filesystem', 'path' = 'rows.json', 'format' = 'json');
         CREATE TABLE written ({COLUMNS}{time}) WITH ({options});
         INSERT INTO written SELECT * FROM given;"
    );
    let with_time = as_read.map(|(name, text)| format!(",\"{name}\":\"{text}\"}}\n{{\"id\":2"));
    let rows = match with_time {
        Some(more) => ROWS.replacen("}\n{\"id\":2", &more, 1),
        None => ROWS.to_owned(),
    };
    job(folder, &format!("types-{kind}"), &sql, &rows)?;
    let mut expected = expected();
    if let Some((name, text)) = as_read {
        expected[0][name] = text.into();
        expected[1][name] = Value::Null;
    }
    let found = reader.ask("rows", kind, place, library)?;
    let mut rows = found["rows"].as_array().context("no rows")?.clone();
    rows.sort_by_key(|row| row["id"].as_i64());
    ensure!(Value::Array(rows.clone()) == expected, "other rows: {}", Value::Array(rows));
    Ok(())
}

/// A job, another writer, and another job add to one table; all of it is there, and bounds pass over no row that is asked for.
fn beside_others(folder: &Path, reader: &Reader, table: &Table) -> Result<()> {
    let Table { kind, place, library, options } = table;
    let sql = format!(
        "CREATE TABLE given (k BIGINT, n BIGINT) WITH ('connector' = 'filesystem', 'path' = 'rows.json', 'format' = 'json');
         CREATE TABLE written (k BIGINT, n BIGINT) PARTITIONED BY (k) WITH ({options});
         INSERT INTO written SELECT k, n FROM given;"
    );
    let rows = |from: u64| -> String {
        (from..from + 25).map(|n| format!("{{\"k\":{},\"n\":{n}}}\n", n % 10)).collect()
    };
    let mut wanted: Vec<u64> = (0..25).collect();
    job(folder, &format!("first-{kind}"), &sql, &rows(0))?;
    // PyIceberg does not write tables of a folder.
    if *kind != "iceberg" {
        let others: Vec<u64> = (100..112).collect();
        reader.ask_with("append", kind, place, library, ("numbers", &json!(others)))?;
        wanted.extend(others);
    }
    job(folder, &format!("second-{kind}"), &sql, &rows(200))?;
    wanted.extend(200..225);
    let mut found = reader.numbers(kind, place, library)?;
    found.sort_unstable();
    ensure!(found == wanted, "other numbers: {found:?}");
    let answer = reader.ask_with("read", kind, place, library, ("least", &json!(20)))?;
    let mut found: Vec<u64> =
        answer.as_array().context("no list")?.iter().filter_map(Value::as_u64).collect();
    found.sort_unstable();
    wanted.retain(|n| *n >= 20);
    ensure!(found == wanted, "other numbers from 20 on: {found:?}");
    Ok(())
}
