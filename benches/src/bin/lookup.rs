//! Lookup joins with a SQLite table: rows per second without a cache, with a warm one, and without the join.
//!
//! Generated rows draw their keys evenly; the results go nowhere. The time is that of the whole program, start included.

#![allow(
    clippy::disallowed_methods,
    reason = "a bench measures real time; nothing here is simulated or replayed"
)]

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use benches::latency::Samples;
use benches::machine;
use benches::node::NodeArguments;
use benches::program::Program;
use benches::report::{self, Form, Table, rounded};
use clap::Parser;

#[derive(Parser)]
#[command(about = "Rows per second of a lookup join with a SQLite table")]
struct Arguments {
    #[command(flatten)]
    node: NodeArguments,
    /// Rows of the stream
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Rows of the table
    #[arg(long, default_value_t = 10_000)]
    keys: u64,
    /// Runs of each kind; the median counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

const PARTIAL: &str = ", 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '1000000'";
const ASYNC: &str = "/*+ LOOKUP('table' = 's', 'async' = 'true', 'capacity' = '1000') */";

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.runs > 0 && arguments.keys > 0, "--runs and --keys must be above 0");
    let load_before = machine::load()?;
    let join = "JOIN shops FOR SYSTEM_TIME AS OF o.proc AS s ON o.shop = s.id";
    let kinds = [
        ("no join", "", String::new(), "o.price"),
        ("no cache", "", format!(" {join}"), "s.rank"),
        ("no cache, 'async' = 'true'", ASYNC, format!(" {join}"), "s.rank"),
        ("cache", "", format!(" {join}"), "s.rank"),
    ];
    let mut table = Table::new(
        format!("{} rows, {} keys, median of {} runs", arguments.rows, arguments.keys, arguments.runs),
        &["", "s", "rows/s"],
    );
    for (name, hint, join, column) in kinds {
        let cache = if name == "cache" { PARTIAL } else { "" };
        let job = format!("INSERT INTO nowhere SELECT {hint} o.id, {column} FROM orders AS o{join};");
        let mut times = Vec::new();
        for _ in 0..arguments.runs {
            times.push(run(&arguments, &(tables(&arguments, cache) + &job))?);
        }
        let median = times.iter().copied().collect::<Samples>().median();
        table.row(name, vec![rounded(median), rounded(arguments.rows as f64 / median)]);
    }
    report::print(arguments.output, &arguments.node.folder(), &load_before, &[table])
}

fn tables(arguments: &Arguments, cache: &str) -> String {
    format!(
        "CREATE TABLE orders (id BIGINT, shop BIGINT, price INT, proc AS PROCTIME()) WITH ('connector' = 'datagen',
           'number-of-rows' = '{}', 'rows-per-second' = '1000000000', 'fields.shop.min' = '0', 'fields.shop.max' = '{}');
         CREATE TABLE shops (id BIGINT, rank INT)
         WITH ('connector' = 'jdbc', 'url' = 'jdbc:sqlite:shop.db', 'table-name' = 'shops'{cache});
         CREATE TABLE nowhere (id BIGINT, price INT) WITH ('connector' = 'blackhole');\n",
        arguments.rows,
        arguments.keys - 1
    )
}

/// Seconds of one job in a folder of its own.
fn run(arguments: &Arguments, job: &str) -> Result<f64> {
    let scratch = arguments.node.scratch()?;
    std::fs::write(scratch.path().join("fill.sql"), fill(arguments.keys))?;
    std::fs::write(scratch.path().join("job.sql"), job)?;
    database(scratch.path())?;
    let binary = arguments.node.binary()?;
    let start = |file: &str| -> Result<f64> {
        let mut command = Command::new(&binary);
        command.current_dir(scratch.path()).args(["run", file, "--data", file]);
        command.args(["--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        let begun = Instant::now();
        Program::start(&mut command)?.run_to_end(Duration::from_secs(1), |_, _| {})?;
        Ok(begun.elapsed().as_secs_f64())
    };
    start("fill.sql")?;
    let seconds = start("job.sql")?;
    arguments.node.settle(scratch)?;
    Ok(seconds)
}

/// The node fills the table itself.
fn fill(keys: u64) -> String {
    let mut sql = String::new();
    let _ = write!(
        sql,
        "CREATE TABLE numbers (id BIGINT, rank INT) WITH ('connector' = 'datagen', 'number-of-rows' = '{keys}',
           'rows-per-second' = '1000000000', 'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '{}');
         CREATE TABLE shops (id BIGINT, rank INT, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'jdbc',
           'url' = 'jdbc:sqlite:shop.db', 'table-name' = 'shops', 'sink.buffer-flush.max-rows' = '100000');
         INSERT INTO shops SELECT id, rank FROM numbers;",
        keys - 1
    );
    sql
}

/// An empty table, made by the bundled SQLite.
fn database(folder: &Path) -> Result<()> {
    let connection = rusqlite::Connection::open(folder.join("shop.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; CREATE TABLE shops (id INTEGER PRIMARY KEY, rank INTEGER)",
    )?;
    Ok(())
}
