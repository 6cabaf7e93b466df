//! The examples that move data between systems, at real servers: an outbox as a topic, a queue as a topic, a topic into a
//! warehouse. What lies there in the end is compared with what their pages say.
//!
//! The changes of a table as a topic are an example too, which the stage `changes` runs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::job::{Found, Job, LIMIT, wait_until};
use crate::counts::Counts;
use crate::postgres::{PASSWORD, Postgres, USER};
use crate::process::Group;
use crate::rabbitmq::RabbitMq;
use crate::{peers, places, process};

/// What the page of the warehouse asks DuckDB.
const ARCHIVED: &str = "SELECT concat_ws(' ', day, id, shop, price, ordered) \
                        FROM read_parquet('archive/orders/*/*.parquet') ORDER BY id";
const TURNOVER: &str = "COPY (SELECT * FROM turnover ORDER BY shop, day) TO STDOUT";

pub fn run() -> Result<Counts> {
    peers::install(&["debian".to_owned(), "duckdb".to_owned()])?;
    let scratch = tempfile::tempdir()?;
    let postgres = Postgres::start(&scratch.path().join("postgres.log"))?;
    let mut counts = Counts::default();
    counts.check("patterns: an outbox as a topic", outbox(&postgres, scratch.path()));
    counts.check("patterns: a topic into a warehouse", warehouse(&postgres, scratch.path()));
    drop(postgres);
    counts.check("patterns: a queue as a topic", queue(&RabbitMq::start()?, scratch.path()));
    Ok(counts)
}

/// An example in a folder of its own, and where its files lie.
fn example(name: &str, file: &str, scratch: &Path) -> Result<(Job, PathBuf)> {
    let files = places::root().join("examples").join(name);
    let folder = scratch.join(name);
    std::fs::create_dir(&folder)?;
    std::fs::copy(files.join(file), folder.join("job.sql"))?;
    Ok((Job { folder }, files))
}

fn with_variables(mut command: Command, variables: &[(&str, &str)]) -> Command {
    for (name, value) in variables {
        command.args(["--var", &format!("{name}={value}")]);
    }
    command
}

/// What the page shows.
fn expected(files: &Path) -> Result<String> {
    Ok(std::fs::read_to_string(files.join("expected.txt"))?)
}

fn outbox(postgres: &Postgres, scratch: &Path) -> Result<()> {
    let (job, files) = example("outbox", "events.sql", scratch)?;
    postgres.script("shop", &files.join("shop.sql"))?;
    let port = postgres.port.to_string();
    let variables = [("PORT", port.as_str()), ("WHO", USER), ("PASSWORD", PASSWORD)];
    let start = || Group::spawn(&mut with_variables(job.command()?, &variables));
    let mut running = start()?;
    let streams = "COPY (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming') TO STDOUT";
    wait_until(&job, || Ok(postgres.psql("shop", streams)?.trim() == "1"))?;
    postgres.script("shop", &files.join("day.sql"))?;
    let line = |found: &Found| {
        let kind = found.header("eventType");
        ensure!(!found.header("id").is_empty(), "an event without its id");
        Ok(format!("{} {kind} {}\n", text(&found.key), text(&found.value)))
    };
    let expected = expected(&files)?;
    let events = job.records("outbox.event.order", expected.lines().count())?;
    let events: String = events.iter().map(line).collect::<Result<_>>()?;
    ensure!(events == expected, "found\n{events}instead of\n{expected}");
    // Killed as it stands, it sends nothing again; what comes next is behind what was there.
    drop(running);
    postgres.psql(
        "shop",
        "INSERT INTO outbox (aggregatetype, aggregateid, type, payload) VALUES ('order', '4', 'OrderPlaced', '{}')",
    )?;
    running = start()?;
    let events = job.records("outbox.event.order", expected.lines().count() + 1)?;
    let events: String = events.iter().map(line).collect::<Result<_>>()?;
    ensure!(events == format!("{expected}4 OrderPlaced {{}}\n"), "after a kill there is\n{events}");
    running.stop(LIMIT)?;
    postgres.psql(
        "shop",
        "SELECT pg_drop_replication_slot('outbox'); DROP PUBLICATION outbox; DROP TABLE orders",
    )?;
    Ok(())
}

fn warehouse(postgres: &Postgres, scratch: &Path) -> Result<()> {
    let (job, files) = example("warehouse", "orders.sql", scratch)?;
    postgres.script("shop", &files.join("shop.sql"))?;
    std::fs::copy(files.join("orders.csv"), job.folder.join("orders.csv"))?;
    let url = format!("jdbc:postgresql://127.0.0.1:{}/shop", postgres.port);
    let variables = [("URL", url.as_str()), ("WHO", USER), ("PASSWORD", PASSWORD)];
    let status = Group::spawn(&mut with_variables(job.command()?, &variables))?.wait(LIMIT)?;
    ensure!(status.success(), "it failed: {}", job.said());
    let mut ask = Command::new(peers::duckdb_program()?);
    let script =
        format!("import duckdb\nfor row in duckdb.sql(\"{ARCHIVED}\").fetchall():\n    print(row[0])");
    let archived = process::output(ask.current_dir(&job.folder).args(["-c", &script]), LIMIT)?;
    let expected = expected(&files)?;
    ensure!(archived == expected, "found\n{archived}instead of\n{expected}");
    let mut sums: BTreeMap<(&str, &str), (u64, f64)> = BTreeMap::new();
    for line in expected.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [day, _, shop, price, ..] = words[..] else { continue };
        let (orders, turnover) = sums.entry((shop, day)).or_default();
        *orders += 1;
        *turnover += price.parse::<f64>().context("no price")?;
    }
    let mut wanted = String::new();
    for ((shop, day), (orders, turnover)) in sums {
        writeln!(wanted, "{shop}\t{day}\t{orders}\t{turnover:.2}")?;
    }
    let found = postgres.psql("shop", TURNOVER)?;
    ensure!(found == wanted, "found\n{found}instead of\n{wanted}");
    Ok(())
}

fn queue(server: &RabbitMq, scratch: &Path) -> Result<()> {
    let (job, files) = example("queue-to-topic", "orders.sql", scratch)?;
    server.ask(&["bind", "orders-to-topic", "orders", "orders.#"])?;
    let url = server.url();
    let mut running = Group::spawn(&mut with_variables(job.command()?, &[("URL", &url)]))?;
    let messages = [
        ("orders.ulm", "a1", "{\"id\": 1, \"price\": 10.0}"),
        ("orders.kiel", "a2", "{\"id\": 2, \"price\": 20.0}"),
        ("orders.ulm", "a3", "{\"id\": 3, \"price\": 4.5}"),
        ("orders.ulm", "a3", "{\"id\": 3, \"price\": 4.5}"),
    ];
    for (key, id, body) in messages {
        server.ask(&["publish", "orders", key, id, body])?;
    }
    // Behind the one that came twice, so that it would have come too.
    server.ask(&["publish", "orders", "orders.ulm", "last", "{}"])?;
    let expected = expected(&files)? + "ulm message-id=last,content-type=application/json {}\n";
    let found = job.records("orders", expected.lines().count())?;
    let line = |found: &Found| {
        let headers = ["message-id", "content-type"].map(|name| format!("{name}={}", found.header(name)));
        format!("{} {} {}\n", text(&found.key), headers.join(","), text(&found.value))
    };
    let found: String = found.iter().map(line).collect();
    ensure!(found == expected, "found\n{found}instead of\n{expected}");
    running.stop(LIMIT).map(drop)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use crate::places;

    #[test]
    fn the_pages_say_what_is_compared() {
        for name in ["outbox", "warehouse", "queue-to-topic"] {
            let folder = places::root().join("examples").join(name);
            let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
            let page = read("README.md").replace("id=…,eventType=", "");
            for line in read("expected.txt").lines() {
                assert!(page.contains(&format!("    {line}\n")), "{name}: the page lacks {line}");
            }
        }
    }
}
