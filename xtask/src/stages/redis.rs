//! The stage at a real Redis: what the conformance suite does not ask of a connector. What the user is told when something
//! is wrong, fields and headers, entries that were trimmed, what another consumer has left, clusters, TLS and access lists.
//!
//! The client beside ours is Python's redis-py.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::job::{Job, LIMIT, wait_until};
use crate::counts::Counts;
use crate::peers;
use crate::redis::{self, Redis};

const PRINT: &str = "CREATE TABLE shown (n BIGINT) WITH ('connector' = 'blackhole');\n";
const NUMBERS: &str =
    "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '5');\n";
const KEPT: &str =
    "CREATE TABLE kept (n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'kept', 'format' = 'json');\n";
/// With no patience an error is the end.
const NO_PATIENCE: &str = "SET 'restart-strategy.type' = 'none';\n";

pub fn run() -> Result<Counts> {
    peers::install(&["debian".to_owned()])?;
    let scratch = tempfile::tempdir()?;
    let world = World { server: Redis::start(&[])?, scratch: scratch.path().into() };
    let mut counts = Counts::default();
    counts.check("redis: what is wrong is told", told(&world));
    counts.check("redis: fields, headers, dead letters", fields(&world));
    counts.check("redis: entries that were trimmed, and a stream that was made anew", trimmed(&world));
    counts.check("redis: what another consumer has left", left(&world));
    counts.check("redis: a sink that trims", trimming(&world));
    counts.check("redis: a cluster", cluster(&world));
    counts.check("redis: TLS, and users who may not say hello", secured(&world));
    Ok(counts)
}

/// The server, and where folders for nodes are made.
struct World {
    server: Redis,
    scratch: PathBuf,
}

impl World {
    fn ask(&self, arguments: &[&str]) -> Result<String> {
        self.server.ask(arguments)
    }

    fn job(&self, name: &str, sql: &str) -> Result<Job> {
        Job::make(&self.scratch.join(name), sql)
    }

    /// A table over a stream; what follows are more options.
    fn table(&self, name: &str, columns: &str, stream: &str, options: &str) -> String {
        let options = format!("{}{options}", login());
        table_at(&format!("redis://127.0.0.1:{}", self.server.port), name, columns, stream, &options)
    }

    fn entries(&self, stream: &str) -> Result<Vec<Value>> {
        self.ask(&["read", stream])?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

fn login() -> String {
    format!(", 'username' = '{}', 'password' = '{}'", redis::USER, redis::PASSWORD)
}

fn table_at(url: &str, name: &str, columns: &str, stream: &str, options: &str) -> String {
    format!(
        "CREATE TABLE {name} ({columns}) WITH ('connector' = 'redis-streams', 'url' = '{url}', 'stream' = '{stream}', \
         'format' = 'json', 'timeout' = '10 s'{options});\n"
    )
}

fn told(world: &World) -> Result<()> {
    world.ask(&["set", "other", "text"])?;
    let read = format!("{PRINT}INSERT INTO shown SELECT n FROM t;\n");
    let port = world.server.port;
    let wrong = ", 'username' = 'shop', 'password' = 'wrong-Secret-0'";
    let plain = format!("redis://127.0.0.1:{port}");
    let secured = format!("rediss://127.0.0.1:{}", world.server.tls_port);
    let cases = [
        ("kind", world.table("t", "n BIGINT", "other", ""), "holds a string, and no stream"),
        ("password", table_at(&plain, "t", "n BIGINT", "s", wrong), "look at user and password"),
        ("nobody", table_at(&plain, "t", "n BIGINT", "s", ""), "refuses the log-in of nobody"),
        ("certificate", table_at(&secured, "t", "n BIGINT", "s", &login()), "certificate"),
        ("database", table_at(&format!("{plain}/99"), "t", "n BIGINT", "s", &login()), "DB index"),
    ];
    for (name, table, words) in cases {
        let job = world.job(name, &format!("{NO_PATIENCE}{table}{read}"))?;
        job.fails_with(words).with_context(|| name.to_string())?;
        ensure!(!job.said().contains("wrong-Secret-0"), "the password was told: {}", job.said());
    }
    Ok(())
}

fn fields(world: &World) -> Result<()> {
    const COUNT: usize = 3;
    world.ask(&["put", "given", &COUNT.to_string()])?;
    world.ask(&["put-fields", "given", "temperature=20.5"])?;
    world.ask(&["put-fields", "plain", "n=7", "place=Bern"])?;
    let columns = "n BIGINT, id STRING METADATA VIRTUAL, t TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, \
                   h MAP<STRING, BYTES> METADATA FROM 'headers' VIRTUAL";
    let from = world.table("t", columns, "given", ", 'dead-letter.topic' = 'refused'");
    let plain = world.table("p", "n BIGINT, place STRING", "plain", ", 'body-key' = '*'");
    let seen = "CREATE TABLE seen (n BIGINT, id STRING, y BIGINT, h STRING) \
                WITH ('connector' = 'kafka', 'topic' = 'seen', 'format' = 'json');\n";
    let written = "n BIGINT, h MAP<STRING, BYTES> METADATA FROM 'headers'";
    let to = world.table("u", written, "taken", ", 'body-key' = 'row'");
    let spread = world.table("v", "n BIGINT, place STRING, nothing STRING", "spread", ", 'body-key' = '*'");
    let sql = format!(
        "{from}{plain}{seen}{to}{spread}EXECUTE STATEMENT SET BEGIN\n\
         INSERT INTO seen SELECT n, id, EXTRACT(YEAR FROM t), CAST(h['text'] AS STRING) FROM t;\n\
         INSERT INTO u SELECT n, h FROM t;\n\
         INSERT INTO v SELECT n, place, CAST(NULL AS STRING) FROM p;\nEND;\n"
    );
    let job = world.job("fields", &sql)?;
    let mut running = job.start()?;
    let seen = job.records("seen", COUNT)?;
    let refused = job.records("refused", 1)?;
    wait_until(&job, || Ok(world.entries("taken")?.len() >= COUNT && !world.entries("spread")?.is_empty()))?;
    running.stop(LIMIT)?;
    let given = world.entries("given")?;
    for (n, (found, entry)) in seen.iter().zip(&given).enumerate() {
        let row = found.json()?;
        ensure!(row["y"].as_i64().is_some_and(|year| year > 2024), "the time of {row}");
        let expected = json!({"n": n, "id": entry["id"], "y": row["y"], "h": format!("number {n}")});
        ensure!(row == expected, "{row} instead of {expected}");
    }
    let letter = refused.first().context("no dead letter")?;
    ensure!(letter.json()? == json!({"temperature": "20.5"}), "the dead letter is {}", letter.json()?);
    ensure!(letter.headers.contains("reason"), "a dead letter without a reason");
    let second = &world.entries("taken")?[1]["fields"];
    ensure!(*second == json!({"row": "{\"n\":1}", "text": "number 1"}), "{second}");
    let spread = &world.entries("spread")?[0]["fields"];
    ensure!(*spread == json!({"n": "7", "place": "Bern"}), "{spread}");
    Ok(())
}

fn trimmed(world: &World) -> Result<()> {
    world.ask(&["put", "short", "3"])?;
    let job = |options: &str| {
        let table = world.table("t", "n BIGINT", "short", options);
        format!("{NO_PATIENCE}{table}{KEPT}INSERT INTO kept SELECT n FROM t;\n")
    };
    let made = world.job("trimmed", &job(""))?;
    let mut running = made.start()?;
    made.records("kept", 3)?;
    running.stop(LIMIT)?;
    // What was read may be trimmed, and nobody minds.
    world.ask(&["put-json", "short", "3", "5"])?;
    world.ask(&["trim", "short", "2"])?;
    let mut running = made.start()?;
    made.records("kept", 5)?;
    running.stop(LIMIT)?;
    world.ask(&["put-json", "short", "5", "8"])?;
    world.ask(&["trim", "short", "1"])?;
    made.fails_with("entries=2 of stream=short behind id=")?;
    std::fs::write(made.folder.join("job.sql"), job(", 'auto.offset.reset' = 'earliest'"))?;
    let mut running = made.start()?;
    let kept = made.records("kept", 6)?;
    running.stop(LIMIT)?;
    let last = kept.last().context("no record")?.json()?;
    ensure!(kept.len() == 6 && last == json!({"n": 7}), "{} records, the last is {last}", kept.len());
    // Another stream under the same key has more entries than were read.
    world.ask(&["delete", "short"])?;
    world.ask(&["put-json", "short", "100", "120"])?;
    std::fs::write(made.folder.join("job.sql"), job(""))?;
    made.fails_with("was made anew since it was read")
}

fn left(world: &World) -> Result<()> {
    world.ask(&["put", "shared", "2"])?;
    let options = ", 'consumer-group' = 'workers', 'client-id' = 'one', 'claim-min-idle' = '500 ms'";
    let table = world.table("t", "n BIGINT", "shared", options);
    let job = world.job("left", &format!("{table}{KEPT}INSERT INTO kept SELECT n FROM t;\n"))?;
    let mut running = job.start()?;
    job.records("kept", 2)?;
    running.stop(LIMIT)?;
    world.ask(&["put-json", "shared", "2", "6"])?;
    world.ask(&["leave", "shared", "workers", "3"])?;
    let mut running = job.start()?;
    let kept = job.records("kept", 6)?;
    wait_until(&job, || Ok(world.ask(&["pending", "shared", "workers"])?.trim() == "0"))?;
    running.stop(LIMIT)?;
    let mut numbers: Vec<i64> =
        kept.iter().map(|found| Ok(found.json()?["n"].as_i64().unwrap_or(-1))).collect::<Result<_>>()?;
    numbers.sort_unstable();
    ensure!(numbers == [0, 1, 2, 3, 4, 5], "{numbers:?}");
    // What nobody has read, and is trimmed.
    world.ask(&["put-json", "shared", "6", "9"])?;
    world.ask(&["trim", "shared", "1"])?;
    let sql = format!("{NO_PATIENCE}{table}{KEPT}INSERT INTO kept SELECT n FROM t;\n");
    std::fs::write(job.folder.join("job.sql"), sql)?;
    job.fails_with("entries=2 of stream=shared behind id=")
}

fn trimming(world: &World) -> Result<()> {
    let many = "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '2000');\n";
    let to = world.table("u", "n BIGINT", "bounded", ", 'max-length' = '100'");
    let job = world.job("bounded", &format!("{many}{to}INSERT INTO u SELECT n FROM numbers;\n"))?;
    let status = job.start()?.wait(LIMIT)?;
    ensure!(status.success(), "{}", job.said());
    let left = world.entries("bounded")?.len();
    // About so many: whole nodes of its tree are trimmed, of 100 entries.
    ensure!((100..=300).contains(&left), "{left} entries are left");
    Ok(())
}

fn cluster(world: &World) -> Result<()> {
    let (one, other) = (Redis::start_node()?, Redis::start_node()?);
    one.ask(&["meet", &other.bus_address()?])?;
    // One stream of each node.
    let slot = |key: &str| -> Result<u16> { Ok(one.ask(&["slot", key])?.trim().parse()?) };
    let mut streams: Vec<String> = Vec::new();
    for is_first in [true, false] {
        let mut found = None;
        for number in 0..32 {
            let key = format!("stream{number}");
            if (slot(&key)? < 8192) == is_first {
                found = Some(key);
                break;
            }
        }
        streams.push(found.context("no key of the half")?);
    }
    let url = format!("redis://127.0.0.1:{}", one.port);
    for (stream, node) in streams.iter().zip([&one, &other]) {
        let to = table_at(&url, "u", "n BIGINT", stream, &login());
        let job = world
            .job(&format!("to_{stream}"), &format!("{NUMBERS}{to}INSERT INTO u SELECT n FROM numbers;\n"))?;
        let status = job.start()?.wait(LIMIT)?;
        ensure!(status.success(), "{}", job.said());
        let written = node.ask(&["read", stream])?.lines().count();
        ensure!(written == 5, "{written} entries of 5");
        let from = table_at(&url, "t", "n BIGINT", stream, &login());
        let job = world
            .job(&format!("of_{stream}"), &format!("{from}{KEPT}INSERT INTO kept SELECT n FROM t;\n"))?;
        let mut running = job.start()?;
        job.records("kept", 5)?;
        running.stop(LIMIT)?;
    }
    Ok(())
}

fn secured(world: &World) -> Result<()> {
    // Without HELLO there is RESP2 alone.
    world.ask(&["user", "old", redis::PASSWORD, "~*", "+@all", "-hello"])?;
    let url = format!("rediss://127.0.0.1:{}", world.server.tls_port);
    let file = |name: &str| world.server.file(name).display().to_string();
    let certificates = format!(
        ", 'tls.root-cas-file' = '{}', 'tls.cert-file' = '{}', 'tls.key-file' = '{}'",
        file("ca.pem"),
        file("client.pem"),
        file("client.key")
    );
    for (user, group) in [(redis::USER, ""), ("old", ""), ("old", ", 'consumer-group' = 'g'")] {
        let stream = format!("secret_{user}_{}", group.len());
        let options = format!("{certificates}, 'username' = '{user}', 'password' = '{}'", redis::PASSWORD);
        let to = table_at(&url, "u", "n BIGINT", &stream, &options);
        let job = world.job(&stream, &format!("{NUMBERS}{to}INSERT INTO u SELECT n FROM numbers;\n"))?;
        let status = job.start()?.wait(LIMIT)?;
        ensure!(status.success(), "{}", job.said());
        let written = world.entries(&stream)?.len();
        ensure!(written == 5, "{written} entries of 5");
        let from = table_at(&url, "t", "n BIGINT", &stream, &format!("{options}{group}"));
        let back = format!("{stream}_back");
        let job = world.job(&back, &format!("{from}{KEPT}INSERT INTO kept SELECT n FROM t;\n"))?;
        let mut running = job.start()?;
        job.records("kept", 5)?;
        running.stop(LIMIT)?;
    }
    Ok(())
}
