//! Rows into PostgreSQL: rows per CPU second of the node, beside those of `psql \copy` with the same rows.
//!
//! Generated rows of six columns are appended, written by key, and written once more; the same job into nowhere shows what
//! making them costs. `psql` copies what was appended, from a file: it reads no rows, but passes on lines as they are, so it
//! is what a client cannot do without. The server's own work is in nobody's number, but in the time.

#![allow(
    clippy::disallowed_methods,
    reason = "a bench measures real time; nothing here is simulated or replayed"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, ensure};
use benches::cost::ended_children_cpu_seconds;
use benches::latency::Samples;
use benches::machine;
use benches::node::NodeArguments;
use benches::report::{self, Form, Table, rounded};
use clap::Parser;

#[derive(Parser)]
#[command(about = "Rows per CPU second into PostgreSQL, beside psql")]
struct Arguments {
    #[command(flatten)]
    node: NodeArguments,
    /// The database, in which two tables `bench_…` are made
    #[arg(long, default_value = "127.0.0.1:5432/postgres")]
    database: String,
    /// Who has the password that PGPASSWORD holds
    #[arg(long, default_value = "postgres")]
    user: String,
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Rows of a transaction at least
    #[arg(long, default_value_t = 5_000)]
    flush: u64,
    /// Runs of each kind; the median counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

const COLUMNS: &str =
    "id bigint, name text, price numeric(12, 2), made timestamp, is_open boolean, score double precision";

/// Seconds of time and of CPU.
#[derive(Default)]
struct Runs {
    seconds: Vec<f64>,
    cpu_seconds: Vec<f64>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.runs > 0 && arguments.rows > 0, "--runs and --rows must be above 0");
    let load_before = machine::load()?;
    let names = ["into nowhere", "appended", "psql \\copy", "new keys", "replaced keys"];
    let mut all: Vec<Runs> = names.iter().map(|_| Runs::default()).collect();
    for _ in 0..arguments.runs {
        round(&arguments, &mut all)?;
    }
    let head = format!("{} rows, median of {} runs", arguments.rows, arguments.runs);
    let mut table = Table::new(head, &["", "s", "rows/s", "CPU s", "rows per CPU s"]);
    for (name, runs) in names.into_iter().zip(all) {
        let median = |values: Vec<f64>| values.into_iter().collect::<Samples>().median();
        let (seconds, cpu_seconds) = (median(runs.seconds), median(runs.cpu_seconds));
        let rows = arguments.rows as f64;
        table.row(
            name,
            vec![
                rounded(seconds),
                rounded(rows / seconds),
                rounded(cpu_seconds),
                rounded(rows / cpu_seconds),
            ],
        );
    }
    report::print(arguments.output, &arguments.node.folder(), &load_before, &[table])
}

/// One run of each kind.
fn round(arguments: &Arguments, all: &mut [Runs]) -> Result<()> {
    let scratch = arguments.node.scratch()?;
    let folder = scratch.path();
    psql(arguments, folder, "DROP TABLE IF EXISTS bench_appended, bench_keyed")?;
    psql(arguments, folder, &format!("CREATE TABLE bench_appended ({COLUMNS})"))?;
    psql(arguments, folder, &format!("CREATE TABLE bench_keyed ({COLUMNS}, PRIMARY KEY (id))"))?;
    let node = |name: &str, target: &str, key: &str| {
        std::fs::write(folder.join(name), job(arguments, target, key))?;
        let mut command = Command::new(arguments.node.binary()?);
        command.current_dir(folder).args(["run", name, "--data", &format!("data-{name}")]);
        measured(command.args(["--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"]))
    };
    add(&mut all[0], node("nowhere", "", "")?);
    add(&mut all[1], node("appended", "bench_appended", "")?);
    psql(arguments, folder, "\\copy bench_appended to rows.txt")?;
    psql(arguments, folder, "TRUNCATE bench_appended")?;
    let copy = psql_command(arguments, folder, "\\copy bench_appended from rows.txt");
    add(&mut all[2], measured(&mut { copy })?);
    let key = ", PRIMARY KEY (id) NOT ENFORCED";
    add(&mut all[3], node("new", "bench_keyed", key)?);
    add(&mut all[4], node("replaced", "bench_keyed", key)?);
    psql(arguments, folder, "DROP TABLE bench_appended, bench_keyed")?;
    arguments.node.settle(scratch)
}

fn add(runs: &mut Runs, (seconds, cpu_seconds): (f64, f64)) {
    runs.seconds.push(seconds);
    runs.cpu_seconds.push(cpu_seconds);
}

/// Seconds of time and of CPU of a program that ends.
fn measured(command: &mut Command) -> Result<(f64, f64)> {
    let (begun, before) = (Instant::now(), ended_children_cpu_seconds()?);
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "it failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok((begun.elapsed().as_secs_f64(), ended_children_cpu_seconds()? - before))
}

fn psql_command(arguments: &Arguments, folder: &Path, sql: &str) -> Command {
    let mut command = Command::new("psql");
    let url = format!("postgresql://{}@{}", arguments.user, arguments.database);
    command.current_dir(folder);
    command.args(["-qX", "-v", "ON_ERROR_STOP=1", "-c", sql]).arg(url);
    command
}

fn psql(arguments: &Arguments, folder: &Path, sql: &str) -> Result<()> {
    measured(&mut psql_command(arguments, folder, sql)).map(drop)
}

fn job(arguments: &Arguments, target: &str, key: &str) -> String {
    let with = match target {
        "" => "'connector' = 'blackhole'".to_owned(),
        target => format!(
            "'connector' = 'jdbc', 'url' = 'jdbc:postgresql://{}', 'table-name' = '{target}', 'username' = '{}', \
             'password' = '{}', 'sink.buffer-flush.max-rows' = '{}'",
            arguments.database,
            arguments.user,
            std::env::var("PGPASSWORD").unwrap_or_default(),
            arguments.flush
        ),
    };
    format!(
        "CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '{}',
           'rows-per-second' = '1000000000', 'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '{}');
         CREATE TABLE target (id BIGINT, name STRING, price DECIMAL(12, 2), made TIMESTAMP(3), is_open BOOLEAN,
           score DOUBLE{key}) WITH ({with});
         INSERT INTO target SELECT id, 'name of ' || CAST(id AS STRING), CAST(id AS DECIMAL(12, 2)),
           CAST(TO_TIMESTAMP_LTZ(id * 1001, 3) AS TIMESTAMP(3)), id % 2 = 0, id * 1.5E0 FROM numbers;",
        arguments.rows,
        arguments.rows - 1
    )
}
