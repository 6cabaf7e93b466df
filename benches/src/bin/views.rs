//! A view of many rows beside PostgreSQL: point look-ups by its key, and how soon the rows are there after a start.
//!
//! The same client asks both with the same prepared statement, one look-up after the other on each connection, and checks
//! what it gets. Times are the client's, with both ways through the loopback. A materialized table is filled by a job, which
//! ends; then the node is started again on its data, without the job: the time until the first row is answered is that in
//! which a view is there after a restart. PostgreSQL is Debian's, as it comes, with the same rows and a primary key.

#![allow(
    clippy::disallowed_methods,
    reason = "a bench measures real time; nothing here is simulated or replayed"
)]

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use benches::cost::resident_mb;
use benches::latency::Samples;
use benches::machine;
use benches::node::{NodeArguments, listening};
use benches::program::Program;
use benches::report::{self, Form, Table, rounded};
use benches::sql_file::PeerArguments;
use clap::Parser;
use os::Os;
use pg_client::{Address, Connection, OptionNames};
use serde_json::{Value, json};

#[derive(Parser)]
#[command(about = "Point look-ups in a materialized table, beside PostgreSQL")]
struct Arguments {
    #[command(flatten)]
    node: NodeArguments,
    #[command(flatten)]
    peers: PeerArguments,
    /// Rows of the table
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Look-ups of each connection that count; a tenth as many come before them
    #[arg(long, default_value_t = 20_000)]
    lookups: u64,
    /// Connections that ask at once; one table row for each
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4])]
    connections: Vec<u64>,
    /// Measure the node alone
    #[arg(long)]
    without_postgres: bool,
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

const START_LIMIT: Duration = Duration::from_secs(180);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(60);
const STATEMENT: &str = "SELECT name, balance FROM accounts WHERE id = $1";

/// A role of `cargo xtask postgres`, with its name as its password, and its database.
const WHO: &str = "bench";
const DATABASE: &str = "shop";

/// Look-ups of one number of connections.
struct Run {
    latency_ms: Samples,
    per_second: f64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.rows > 0 && arguments.lookups > 0, "--rows and --lookups must be above 0");
    ensure!(!arguments.connections.contains(&0), "--connections must be above 0");
    let load_before = machine::load()?;
    let mut lookups = Table::new(
        format!("{} rows, {} look-ups by key on each connection, ms", arguments.rows, arguments.lookups),
        &["", "p50", "p90", "p99", "max", "look-ups/s"],
    );
    let start = node(&arguments, &mut lookups)?;
    if !arguments.without_postgres {
        postgres(&arguments, &mut lookups)?;
    }
    report::print(arguments.output, &arguments.node.folder(), &load_before, &[lookups, start])
}

/// What both hold under a key.
fn row(id: u64) -> (String, String) {
    (format!("account {id}"), (id * 7 % 100_000).to_string())
}

fn node(arguments: &Arguments, lookups: &mut Table) -> Result<Table> {
    let scratch = arguments.node.scratch()?;
    let data = scratch.path().join("data");
    let binary = arguments.node.binary()?;
    std::fs::write(scratch.path().join("fill.sql"), fill(arguments.rows))?;
    let begun = Instant::now();
    let mut command = Command::new(&binary);
    command.current_dir(scratch.path()).args(["run", "fill.sql", "--data"]).arg(&data);
    command.args(["--kafka", "127.0.0.1:0", "--http", "none", "--pg", "none"]);
    Program::start(&mut command)?.run_to_end(Duration::from_millis(200), |_, _| {})?;
    let fill_seconds = begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    let mut command = Command::new(&binary);
    command.args(["start", "--data"]).arg(&data);
    command.args(["--kafka", "127.0.0.1:0", "--http", "none", "--pg", "127.0.0.1:0"]);
    let program = Program::start(&mut command)?;
    let ours =
        program.wait_for(START_LIMIT, |line| line.starts_with("postgresql ").then(|| listening(line))?)?;
    let listening_ms = begun.elapsed().as_secs_f64() * 1e3;
    let address = address(&ours, "eventwright", "eventwright", None)?;
    let mut connection = prepared(&address)?;
    look_up(&mut connection, arguments.rows - 1)?;
    let first_row_ms = begun.elapsed().as_secs_f64() * 1e3;
    let count = connection.query("SELECT COUNT(*) FROM accounts").map_err(failed)?;
    ensure!(count == [[Some(arguments.rows.to_string())]], "the view has rows={count:?}");
    drop(connection);
    measure(arguments, "node", &address, lookups)?;
    let memory_mb = resident_mb(program.id())?;
    program.stop(STOP_LIMIT)?;
    arguments.node.settle(scratch)?;

    let mut start = Table::new(format!("a view of {} rows", arguments.rows), &["", "value"]);
    start.row("filled by its job, s", vec![rounded(fill_seconds)]);
    start.row("start until it listens, rows in memory, ms", vec![rounded(listening_ms)]);
    start.row("start until the first row is answered, ms", vec![rounded(first_row_ms)]);
    start.row("memory of the node, MB", vec![rounded(memory_mb)]);
    Ok(start)
}

fn fill(rows: u64) -> String {
    format!(
        "CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '{rows}',
           'rows-per-second' = '1000000000', 'fields.id.kind' = 'sequence', 'fields.id.start' = '0',
           'fields.id.end' = '{}');
         CREATE MATERIALIZED TABLE accounts (PRIMARY KEY (id) NOT ENFORCED)
         AS SELECT id, CONCAT('account ', CAST(id AS STRING)) AS name, MOD(id * 7, 100000) AS balance FROM numbers;",
        rows - 1
    )
}

fn postgres(arguments: &Arguments, lookups: &mut Table) -> Result<()> {
    let server = Program::start(arguments.peers.xtask().arg("postgres"))?;
    let theirs = server
        .wait_for(START_LIMIT, |line| line.strip_prefix("postgres listening on ").map(str::to_owned))?;
    let address = address(theirs.trim(), DATABASE, WHO, Some(WHO))?;
    let mut connection = opened(&address)?;
    let rows = arguments.rows;
    for statement in [
        "CREATE TABLE accounts (id BIGINT PRIMARY KEY, name TEXT NOT NULL, balance BIGINT NOT NULL)"
            .to_owned(),
        format!(
            "INSERT INTO accounts SELECT id, 'account ' || id, (id * 7) % 100000 FROM generate_series(0, {}) AS id",
            rows - 1
        ),
        "VACUUM ANALYZE accounts".to_owned(),
    ] {
        connection.query(&statement).map_err(failed)?;
    }
    let version = connection.query("SHOW server_version").map_err(failed)?;
    let version = version.into_iter().flatten().flatten().next().unwrap_or_default();
    let name = format!("PostgreSQL {}", version.split(' ').next().unwrap_or_default());
    drop(connection);
    measure(arguments, &name, &address, lookups)?;
    // It serves until its input ends.
    let _ = server.end_input(STOP_LIMIT);
    Ok(())
}

fn measure(arguments: &Arguments, name: &str, address: &Address, table: &mut Table) -> Result<()> {
    for count in &arguments.connections {
        let run = run(arguments, address, *count)?;
        let quantile = |share| rounded(run.latency_ms.quantile(share));
        let values: Vec<Value> =
            vec![quantile(0.5), quantile(0.9), quantile(0.99), quantile(1.0), json!(run.per_second.round())];
        let connections = if *count == 1 { "1 connection".into() } else { format!("{count} connections") };
        table.row(format!("{name}, {connections}"), values);
    }
    Ok(())
}

fn run(arguments: &Arguments, address: &Address, connections: u64) -> Result<Run> {
    let begun = Instant::now();
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..connections).map(|number| scope.spawn(move || ask(arguments, address, number))).collect();
        let joined = threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread of the bench panicked"))?);
        joined.collect::<Result<Vec<Samples>>>()
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut latency_ms = Samples::default();
    all.iter().for_each(|samples| latency_ms.extend(samples));
    // Those before that count took their time too.
    let asked = arguments.lookups + arguments.lookups / 10;
    Ok(Run { latency_ms, per_second: (asked * connections) as f64 / seconds })
}

/// The look-ups of one connection, in an order without any.
fn ask(arguments: &Arguments, address: &Address, number: u64) -> Result<Samples> {
    let mut connection = prepared(address)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number + 1);
    let mut samples = Samples::default();
    let warm = arguments.lookups / 10;
    for count in 0..warm + arguments.lookups {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let begun = Instant::now();
        look_up(&mut connection, state % arguments.rows)?;
        if count >= warm {
            samples.push_ms(begun.elapsed());
        }
    }
    Ok(samples)
}

fn look_up(connection: &mut Connection, id: u64) -> Result<()> {
    connection.add_run("find", &[Some(id.to_string().as_bytes())]);
    let answers = connection.finish().map_err(|stopped| failed(stopped.error))?;
    let (name, balance) = row(id);
    ensure!(answers.rows == [[Some(name), Some(balance)]], "id={id} is {:?}", answers.rows);
    Ok(())
}

fn prepared(address: &Address) -> Result<Connection> {
    let mut connection = opened(address)?;
    connection.add_statement("find", STATEMENT);
    connection.finish().map_err(|stopped| failed(stopped.error))?;
    Ok(connection)
}

fn opened(address: &Address) -> Result<Connection> {
    Connection::open(&Os::real(), address, TIMEOUT, &[]).map_err(failed)
}

fn address(at: &str, database: &str, user: &str, password: Option<&str>) -> Result<Address> {
    let (host, port) = at.rsplit_once(':').context("no port of the server")?;
    Ok(Address {
        host: host.into(),
        port: port.parse()?,
        database: database.into(),
        user: user.into(),
        password: password.map(str::to_owned),
        authorities: None,
        options: OptionNames { password: "the password", tls: "TLS" },
    })
}

fn failed(error: pg_client::WireError) -> anyhow::Error {
    anyhow::anyhow!("{}", error.message)
}
