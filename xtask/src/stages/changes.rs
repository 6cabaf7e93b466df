//! `postgres-cdc` at a real PostgreSQL: tables are copied while they change, the node is killed, and the server falls
//! over; and what the tables, the slot and the server may do to a job.

mod told;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kafka_client::{Client, Isolation};
use serde_json::Value;
use verify::Random;

use crate::counts::Counts;
use crate::postgres::{PASSWORD, Postgres, USER};
use crate::process::Group;
use crate::proofs::{self, Proof};
use crate::stages::seed;
use crate::{node, peers, places, process};

const FOLDER: &str = "tests/postgres/cdc";
const EXAMPLE: &str = "examples/cdc";
/// How long a life of the node is before it is killed: from its start into its steady work.
const LIFE_MS: (u64, u64) = (50, 1_200);
const LIMIT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);
const FETCH_BYTES_MAX: i32 = 4 << 20;
/// Transactions of the writer between two looks at whether it should stop.
const ROUNDS: u64 = 50;

/// Rows that two tables do not have in common.
const DIFFERENCES: &str = "SELECT \
     (SELECT count(*) FROM ((TABLE items EXCEPT ALL TABLE copied_items) UNION ALL \
       (TABLE copied_items EXCEPT ALL TABLE items)) d), \
     (SELECT count(*) FROM ((SELECT grp, count(*), sum(n)::bigint FROM items GROUP BY grp EXCEPT ALL TABLE totals) \
       UNION ALL (TABLE totals EXCEPT ALL SELECT grp, count(*), sum(n)::bigint FROM items GROUP BY grp)) d), \
     (SELECT count(*) FROM ((TABLE notes EXCEPT ALL TABLE copied_notes) UNION ALL \
       (TABLE copied_notes EXCEPT ALL TABLE notes)) d)";

/// What befalls the copying.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    pub kills: u64,
    pub restarts: u64,
    pub seed: u64,
}

/// In a run of all tests.
const KILLS: u64 = 15;
const RESTARTS: u64 = 2;

pub fn run() -> Result<Counts> {
    run_with(Faults { kills: KILLS, restarts: RESTARTS, seed: seed() })
}

/// The same with more kills, for the ledger of proofs.
pub fn prove(faults: Faults) -> Result<Counts> {
    let begun = Instant::now();
    let counts = run_with(faults)?;
    let Faults { kills, restarts, seed } = faults;
    proofs::append(&Proof {
        command: format!("changes --kills {kills} --restarts {restarts} --seed {seed}"),
        kills: kills + restarts,
        minutes: begun.elapsed().as_secs_f64() / 60.0,
        failures: counts.failed(),
        ..Proof::default()
    })?;
    Ok(counts)
}

fn run_with(faults: Faults) -> Result<Counts> {
    peers::install(&["debian".to_owned()])?;
    println!("changes: seed={}", faults.seed);
    let scratch = tempfile::tempdir()?;
    let mut postgres = Postgres::start(&scratch.path().join("postgres.log"))?;
    let mut counts = Counts::default();
    let mut check = |name: &str, result: Result<()>| counts.check(&format!("changes: {name}"), result);
    check("example", example(&postgres, scratch.path()));
    told::run(&mut postgres, scratch.path(), &mut check)?;
    check("copied under faults", copied(&mut postgres, scratch.path(), faults));
    Ok(counts)
}

fn variables(postgres: &Postgres) -> Vec<String> {
    let url = format!("jdbc:postgresql://127.0.0.1:{}/shop", postgres.port);
    let port = postgres.port.to_string();
    let all = [("URL", url.as_str()), ("PORT", port.as_str()), ("WHO", USER), ("PASSWORD", PASSWORD)];
    all.iter().flat_map(|(name, value)| ["--var".to_owned(), format!("{name}={value}")]).collect()
}

/// Runs `job.sql` of a folder; what it says goes to `node.log` there.
fn start(postgres: &Postgres, folder: &Path) -> Result<Group> {
    let mut command = node::command()?;
    command.current_dir(folder).args(["run", "job.sql", "--data", "data", "--kafka", "127.0.0.1:0"]);
    command.args(variables(postgres)).stdin(Stdio::null());
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("node.log"))?;
    Group::spawn(command.stdout(log.try_clone()?).stderr(log))
}

fn log_of(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("node.log")).unwrap_or_default()
}

/// A table into topics, as it stands in the documentation.
fn example(postgres: &Postgres, scratch: &Path) -> Result<()> {
    let files = places::root().join(EXAMPLE);
    postgres.script("shop", &files.join("shop.sql"))?;
    let folder = scratch.join("example");
    std::fs::create_dir(&folder)?;
    std::fs::copy(files.join("orders.sql"), folder.join("job.sql"))?;
    let mut explain = node::command()?;
    explain.current_dir(&folder).args(["explain", "job.sql"]).args(variables(postgres));
    let plan = process::output(&mut explain, LIMIT)?;
    let guarantee =
        "(postgres-cdc, unbounded: exactly once (changes land in the log with their place in the server's))";
    ensure!(plan.contains(guarantee), "the plan promises something else:\n{plan}");
    let mut running = start(postgres, &folder)?;
    wait_for(postgres, &folder, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", "1")?;
    postgres.script("shop", &files.join("changes.sql"))?;
    let mut client = client_of(&folder)?;
    let totals: BTreeMap<String, String> = [("Kiel", "1 16.50"), ("Ulm", "2 30.00")]
        .map(|(shop, total)| (shop.to_owned(), total.to_owned()))
        .into();
    let of = |key: &Value| key["shop"].as_str().unwrap_or_default().to_owned();
    let total =
        |value: &Value| format!("{} {:.2}", value["orders"], value["turnover"].as_f64().unwrap_or_default());
    await_latest(&mut client, "totals", &totals, of, total)?;
    let changes = records(&mut client, "orders")?;
    let count = |op: &str, price: f64| {
        let is_it = |value: &&Value| {
            let row = if op == "c" { &value["after"] } else { &value["before"] };
            value["op"] == op && row["price"].as_f64() == Some(price)
        };
        changes.iter().filter_map(|(_, value)| value.as_ref()).filter(is_it).count()
    };
    let counts = [
        count("c", 12.5),
        count("d", 12.5),
        count("c", 8.0),
        count("d", 8.0),
        count("c", 16.5),
        changes.len(),
    ];
    ensure!(counts == [2, 1, 1, 1, 1, 7], "{changes:?}");
    running.stop(LIMIT)?;
    // As the documentation has it.
    postgres.psql("shop", "SELECT pg_drop_replication_slot('orders'); DROP PUBLICATION orders").map(drop)
}

/// Asks until the answer is the one that is wanted.
fn wait_for(postgres: &Postgres, folder: &Path, sql: &str, wanted: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let found = postgres.psql("shop", &format!("COPY ({sql}) TO STDOUT"))?;
        if found.trim() == wanted {
            return Ok(());
        }
        let log = || log_of(folder);
        ensure!(begun.elapsed() < LIMIT, "{sql} is\n{found}and not {wanted}; the node said\n{}", log());
        std::thread::sleep(PAUSE);
    }
}

fn copied(postgres: &mut Postgres, scratch: &Path, faults: Faults) -> Result<()> {
    let begun = Instant::now();
    let folder = scratch.join("copied");
    std::fs::create_dir(&folder)?;
    let files = places::root().join(FOLDER);
    std::fs::copy(files.join("copy.sql"), folder.join("job.sql"))?;
    postgres.script("shop", &files.join("shop.sql"))?;
    let stop = AtomicBool::new(false);
    let (kills, restarts, rounds) = std::thread::scope(|scope| -> Result<(u64, u64, u64)> {
        let (port, stop) = (postgres.port, &stop);
        let writer = scope.spawn(move || write(port, stop));
        let ran = faulted(postgres, &folder, faults);
        stop.store(true, Ordering::Release);
        let rounds = writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        let (kills, restarts) = ran?;
        Ok((kills, restarts, rounds))
    })?;
    let mut last = start(postgres, &folder)?;
    wait_for(postgres, &folder, DIFFERENCES, "0\t0\t0")?;
    // What would come twice would have come before these.
    postgres.psql(
        "shop",
        "INSERT INTO items VALUES (-1, -1, 1, 'last'); INSERT INTO notes VALUES ('Last', -1, 1, NULL)",
    )?;
    let came = "SELECT (SELECT count(*) FROM copied_items WHERE id = -1), (SELECT count(*) FROM totals WHERE grp = -1), \
                (SELECT count(*) FROM copied_notes WHERE id = -1)";
    wait_for(postgres, &folder, came, "1\t1\t1")?;
    wait_for(postgres, &folder, DIFFERENCES, "0\t0\t0")?;
    same_in_topic(postgres, &folder)?;
    moves_while_idle(postgres, &folder)?;
    last.stop(LIMIT)?;
    let count = postgres.psql("shop", "COPY (SELECT count(*) FROM items) TO STDOUT")?;
    println!(
        "changes: {} items and the notes are copied after {rounds} rounds of changes, {kills} kills of the \
         node and {restarts} of the server, in {:.0} s",
        count.trim(),
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Lives of the node, and falls of the server.
fn faulted(postgres: &mut Postgres, folder: &Path, faults: Faults) -> Result<(u64, u64)> {
    let mut random = Random(faults.seed);
    let restart_every = faults.kills.checked_div(faults.restarts).unwrap_or(u64::MAX).max(1);
    let mut restarts = 0;
    for life in 0..faults.kills {
        let running = start(postgres, folder)?;
        std::thread::sleep(Duration::from_millis(LIFE_MS.0 + random.below(LIFE_MS.1 - LIFE_MS.0)));
        if restarts < faults.restarts && life % restart_every == restart_every / 2 {
            restarts += 1;
            postgres.restart(if restarts % 2 == 0 { "fast" } else { "immediate" })?;
            std::thread::sleep(Duration::from_millis(random.below(1_000)));
        }
        // Dropped, it is killed.
        drop(running);
    }
    Ok((faults.kills, restarts))
}

/// Changes the tables until it is told to stop; answers how many rounds were run whole.
fn write(port: u16, stop: &AtomicBool) -> Result<u64> {
    let mut rounds = 0;
    while !stop.load(Ordering::Acquire) {
        let mut command = Command::new("psql");
        let address = format!("host=127.0.0.1 port={port} user={USER} dbname=shop");
        command.env("PGPASSWORD", PASSWORD).args(["-q", "-d", &address]);
        command.args(["-c", &format!("CALL work({ROUNDS})")]).stdin(Stdio::null());
        // The server falls over now and then.
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if status.success() {
            rounds += ROUNDS;
        } else {
            std::thread::sleep(PAUSE);
        }
    }
    ensure!(rounds > 0, "the writer did nothing");
    Ok(rounds)
}

/// The last record of each key in the topic is the row in the table.
fn same_in_topic(postgres: &Postgres, folder: &Path) -> Result<()> {
    let rows = "SELECT shelf, id, version FROM notes";
    let rows = postgres.psql("shop", &format!("COPY ({rows}) TO STDOUT"))?;
    let expected: BTreeMap<String, String> = rows
        .lines()
        .filter_map(|line| line.rsplit_once('\t'))
        .map(|(key, version)| (key.to_owned(), version.to_owned()))
        .collect();
    let of = |key: &Value| format!("{}\t{}", key["shelf"].as_str().unwrap_or_default(), key["id"]);
    await_latest(&mut client_of(folder)?, "latest", &expected, of, |value| value["version"].to_string())
}

/// A client of the node that runs in a folder.
fn client_of(folder: &Path) -> Result<Client> {
    let log = log_of(folder);
    let line = log.lines().rev().find_map(|line| line.strip_prefix("kafka listening on "));
    Ok(Client::connect(line.context("the node does not listen")?.trim(), "reader")?)
}

/// Waits until the last records of all keys of a topic are as expected.
fn await_latest(
    client: &mut Client,
    topic: &str,
    expected: &BTreeMap<String, String>,
    of: impl Fn(&Value) -> String,
    shown: impl Fn(&Value) -> String,
) -> Result<()> {
    let begun = Instant::now();
    loop {
        let mut found = BTreeMap::new();
        for (key, value) in records(client, topic)? {
            match value {
                None => found.remove(&of(&key)),
                Some(value) => found.insert(of(&key), shown(&value)),
            };
        }
        if found == *expected {
            return Ok(());
        }
        let differ = expected.iter().filter(|(key, value)| found.get(*key) != Some(value)).count();
        ensure!(
            begun.elapsed() < LIMIT,
            "the topic {topic} has {} rows and not {}, of which {differ} differ",
            found.len(),
            expected.len()
        );
        std::thread::sleep(PAUSE);
    }
}

/// Keys and values of a topic.
fn records(client: &mut Client, topic: &str) -> Result<Vec<(Value, Option<Value>)>> {
    let mut found = Vec::new();
    let mut next = 0;
    loop {
        let mut fetched = client.fetch_isolated(
            topic,
            0,
            next,
            FETCH_BYTES_MAX,
            Duration::ZERO,
            Isolation::ReadCommitted,
        )?;
        for record in fetched.by_ref() {
            let record = record?;
            let key = record.key.as_deref().map_or(Ok(Value::Null), serde_json::from_slice)?;
            found.push((key, record.value.as_deref().map(serde_json::from_slice).transpose()?));
        }
        if fetched.next_offset() >= fetched.last_stable_offset {
            return Ok(found);
        }
        next = fetched.next_offset();
    }
}

/// While other tables change, the slot moves, so that the server can remove its log.
fn moves_while_idle(postgres: &Postgres, folder: &Path) -> Result<()> {
    postgres.psql("shop", "INSERT INTO others SELECT generate_series(1, 1000)")?;
    let end = postgres.psql("shop", "COPY (SELECT pg_current_wal_lsn()) TO STDOUT")?;
    let moved = format!(
        "SELECT confirmed_flush_lsn >= '{}' FROM pg_replication_slots WHERE slot_name = 'items'",
        end.trim()
    );
    wait_for(postgres, folder, &moved, "t").context("the slot does not move")
}
