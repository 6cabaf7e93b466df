//! The stage at a real Mosquitto: what the conformance suite does not ask of a connector. What the user is told when something
//! is wrong, metadata and topics of rows, sessions that are lost, shared subscriptions, retained messages, QoS 0, TLS.
//!
//! The client beside ours is Eclipse Paho.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::job::{Job, LIMIT, wait_until};
use crate::counts::Counts;
use crate::mqtt::{self, Mosquitto};
use crate::peers;

const PRINT: &str = "CREATE TABLE shown (n BIGINT) WITH ('connector' = 'blackhole');\n";
const NUMBERS: &str =
    "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '5');\n";
const KEPT: &str =
    "CREATE TABLE kept (n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'kept', 'format' = 'json');\n";
/// With no patience an error is the end.
const NO_PATIENCE: &str = "SET 'restart-strategy.type' = 'none';\n";
const GUEST: &str = "guest";
const GUESTS_PASSWORD: &str = "crayon-and-paper";

pub fn run() -> Result<Counts> {
    peers::install(&["debian".to_owned()])?;
    let scratch = tempfile::tempdir()?;
    let mut server = Mosquitto::start(&[(GUEST, GUESTS_PASSWORD)])?;
    server.deny("private/#")?;
    let world = World { server, scratch: scratch.path().into() };
    let mut counts = Counts::default();
    counts.check("mqtt: what is wrong is told", told(&world));
    counts.check("mqtt: metadata, topics of rows, dead letters", metadata(&world));
    counts.check("mqtt: sessions that are kept, changed and lost", sessions(&world));
    counts.check("mqtt: shared subscriptions", shared(&world));
    counts.check("mqtt: retained messages, QoS 0, both versions", retained(&world));
    counts.check("mqtt: TLS", secured(&world));
    Ok(counts)
}

/// The server, and where folders for nodes are made.
struct World {
    server: Mosquitto,
    scratch: PathBuf,
}

impl World {
    fn ask(&self, arguments: &[&str]) -> Result<String> {
        self.server.ask(arguments)
    }

    fn job(&self, name: &str, sql: &str) -> Result<Job> {
        Job::make(&self.scratch.join(name), sql)
    }

    fn table(&self, name: &str, columns: &str, options: &str) -> String {
        let login = format!("'username' = '{}', 'password' = '{}'", mqtt::USER, mqtt::PASSWORD);
        table_at(
            &format!("mqtt://127.0.0.1:{}", self.server.port),
            name,
            columns,
            &format!("{login}, {options}"),
        )
    }

    fn drain(&self, client: &str, filter: &str) -> Result<Vec<Value>> {
        self.ask(&["drain", client, filter])?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Waits until so many messages have come to a session.
    fn wait_drained(&self, job: &Job, client: &str, filter: &str, count: usize) -> Result<Vec<Value>> {
        let mut found = Vec::new();
        wait_until(job, || {
            found.extend(self.drain(client, filter)?);
            Ok(found.len() >= count)
        })?;
        Ok(found)
    }
}

fn table_at(url: &str, name: &str, columns: &str, options: &str) -> String {
    format!(
        "CREATE TABLE {name} ({columns}) WITH ('connector' = 'mqtt', 'url' = '{url}', 'format' = 'json', \
         'timeout' = '10 s', {options});\n"
    )
}

fn told(world: &World) -> Result<()> {
    let read = format!("{PRINT}INSERT INTO shown SELECT n FROM t;\n");
    let write = format!("{NUMBERS}INSERT INTO t SELECT n FROM numbers;\n");
    let plain = format!("mqtt://127.0.0.1:{}", world.server.port);
    let secured = format!("mqtts://127.0.0.1:{}", world.server.tls_port);
    let topics = "'topics' = 'a/#'";
    let wrong = format!("{topics}, 'username' = 'shop', 'password' = 'wrong-Secret-0'");
    let guest = format!("'username' = '{GUEST}', 'password' = '{GUESTS_PASSWORD}'");
    let cases = [
        ("password", table_at(&plain, "t", "n BIGINT", &wrong), &read, "look at user and password"),
        (
            "password-3",
            table_at(&plain, "t", "n BIGINT", &format!("{wrong}, 'protocol-version' = '3.1.1'")),
            &read,
            "look at user and password",
        ),
        ("nobody", table_at(&plain, "t", "n BIGINT", topics), &read, "look at user and password"),
        ("certificate", table_at(&secured, "t", "n BIGINT", topics), &read, "certificate"),
        (
            "write",
            table_at(&plain, "t", "n BIGINT", &format!("{guest}, 'topic' = 'private/a'")),
            &write,
            "the server refuses it: not authorized",
        ),
    ];
    for (name, table, job, words) in cases {
        let job = world.job(name, &format!("{NO_PATIENCE}{table}{job}"))?;
        job.fails_with(words).with_context(|| name.to_string())?;
        ensure!(!job.said().contains("wrong-Secret-0"), "the password was told: {}", job.said());
    }
    Ok(())
}

fn metadata(world: &World) -> Result<()> {
    const COUNT: usize = 4;
    world.ask(&["subscribe", "reader", "taken/#", "1"])?;
    world.ask(&["subscribe", "metadata", "given/+"])?;
    world.ask(&["put", "given", &COUNT.to_string()])?;
    let columns = "n BIGINT, topic STRING METADATA VIRTUAL, q INT METADATA FROM 'qos' VIRTUAL, \
                   r BOOLEAN METADATA FROM 'retained' VIRTUAL, d BOOLEAN METADATA FROM 'duplicate' VIRTUAL, \
                   c STRING METADATA FROM 'content-type' VIRTUAL, h MAP<STRING, BYTES> METADATA FROM 'headers' VIRTUAL";
    let from = world.table("t", columns, "'topics' = 'given/+', 'client-id' = 'metadata', 'qos' = '2'");
    let seen = "CREATE TABLE seen (n BIGINT, topic STRING, q INT, r BOOLEAN, d BOOLEAN, c STRING, h STRING) \
                WITH ('connector' = 'kafka', 'topic' = 'seen', 'format' = 'json');\n";
    let written = "n BIGINT, topic STRING METADATA, `content-type` STRING METADATA, \
                   h MAP<STRING, BYTES> METADATA FROM 'headers'";
    let to = world.table("u", written, "'qos' = '2', 'dead-letter.topic' = 'refused'");
    // Even numbers have a topic that can be published to, and odd ones do not.
    let sql = format!(
        "{from}{seen}{to}EXECUTE STATEMENT SET BEGIN\n\
         INSERT INTO seen SELECT n, topic, q, r, d, c, CAST(h['text'] AS STRING) FROM t;\n\
         INSERT INTO u SELECT n, CASE WHEN MOD(n, 2) = 0 THEN CONCAT('taken/', CAST(n AS STRING)) ELSE 'no/+/topic' END, \
           'text/json', h FROM t;\nEND;\n"
    );
    let job = world.job("metadata", &sql)?;
    let mut running = job.start()?;
    let seen = job.records("seen", COUNT)?;
    let refused = job.records("refused", COUNT / 2)?;
    let taken = world.wait_drained(&job, "reader", "taken/#", COUNT / 2)?;
    running.stop(LIMIT)?;
    for (n, found) in seen.iter().enumerate() {
        let expected = json!({
            "n": n, "topic": format!("given/{n}"), "q": 2, "r": false, "d": false, "c": "application/json",
            "h": format!("number {n}"),
        });
        ensure!(found.json()? == expected, "{} instead of {expected}", found.json()?);
    }
    let odd: Vec<Value> = refused.iter().map(|found| found.json()).collect::<Result<_>>()?;
    ensure!(odd == [json!({"n": 1}), json!({"n": 3})], "refused: {odd:?}");
    ensure!(refused.iter().all(|found| found.headers.contains("reason")), "a dead letter without a reason");
    let second = taken.get(1).context("no second message")?;
    let expected = json!({
        "topic": "taken/2", "body": "{\"n\":2}", "retained": false, "qos": 1, "again": false, "user": {"text": "number 2"},
        "content-type": "text/json",
    });
    ensure!(*second == expected && taken.len() == 2, "{taken:?}");
    Ok(())
}

fn sessions(world: &World) -> Result<()> {
    let job = |options: &str, topics: &str| {
        let table = world.table(
            "t",
            "n BIGINT",
            &format!("'topics' = '{topics}', 'client-id' = 'kept', 'qos' = '1'{options}"),
        );
        format!("{NO_PATIENCE}{table}{KEPT}INSERT INTO kept SELECT n FROM t;\n")
    };
    world.ask(&["subscribe", "kept", "one"])?;
    world.ask(&["put-json", "one", "0", "3"])?;
    let made = world.job("sessions", &job("", "one"))?;
    let mut running = made.start()?;
    made.records("kept", 3)?;
    running.stop(LIMIT)?;
    // What is published while nobody is there comes later.
    world.ask(&["put-json", "one", "3", "5"])?;
    let mut running = made.start()?;
    made.records("kept", 5)?;
    running.stop(LIMIT)?;
    // Another topic in place of the first.
    std::fs::write(made.folder.join("job.sql"), job("", "two"))?;
    let mut running = made.start()?;
    wait_until(&made, || {
        // Until it has subscribed, the topic keeps nothing.
        world.ask(&["put-json", "two", "5", "6"])?;
        Ok(made.read("kept").unwrap_or_default().len() > 5)
    })?;
    running.stop(LIMIT)?;
    world.ask(&["put-json", "one", "90", "92"])?;
    let mut running = made.start()?;
    world.ask(&["put-json", "two", "6", "7"])?;
    wait_until(&made, || {
        let kept = made.read("kept").unwrap_or_default();
        let numbers: Vec<Value> = kept.iter().filter_map(|found| found.json().ok()).collect();
        ensure!(!numbers.contains(&json!({"n": 90})), "the first topic is still subscribed to: {numbers:?}");
        Ok(numbers.contains(&json!({"n": 6})))
    })?;
    running.stop(LIMIT)?;
    world.ask(&["forget", "kept"])?;
    // Also when it comes back: messages are missing as long as nobody has said that they may.
    for _ in 0..2 {
        made.fails_with("does not know the session of the client id 'kept' any more")?;
    }
    std::fs::write(made.folder.join("job.sql"), job(", 'session-lost' = 'continue'", "two"))?;
    let mut running = made.start()?;
    wait_until(&made, || {
        world.ask(&["put-json", "two", "7", "8"])?;
        let kept = made.read("kept").unwrap_or_default();
        Ok(kept.iter().any(|found| found.json().is_ok_and(|row| row == json!({"n": 7}))))
    })?;
    running.stop(LIMIT)?;
    Ok(())
}

fn shared(world: &World) -> Result<()> {
    const COUNT: usize = 40;
    let table = |name: &str| {
        let options = format!("'topics' = '$share/workers/work', 'client-id' = '{name}', 'qos' = '1'");
        world.table(name, "n BIGINT", &options)
    };
    for name in ["a", "b"] {
        world.ask(&["subscribe", name, "$share/workers/work"])?;
    }
    world.ask(&["put-json", "work", "0", &COUNT.to_string()])?;
    let sql = format!(
        "{}{}{KEPT}INSERT INTO kept SELECT n FROM a UNION ALL SELECT n FROM b;\n",
        table("a"),
        table("b")
    );
    let job = world.job("shared", &sql)?;
    let mut running = job.start()?;
    let kept = job.records("kept", COUNT)?;
    running.stop(LIMIT)?;
    let mut numbers: Vec<i64> =
        kept.iter().map(|found| Ok(found.json()?["n"].as_i64().unwrap_or(-1))).collect::<Result<_>>()?;
    numbers.sort_unstable();
    let all: Vec<i64> = (0..COUNT as i64).collect();
    ensure!(numbers == all, "{numbers:?}");
    Ok(())
}

fn retained(world: &World) -> Result<()> {
    for (version, qos) in [("5", "0"), ("3.1.1", "0"), ("3.1.1", "2")] {
        let name = format!("kept_{}_{qos}", version.replace('.', "_"));
        let options = format!(
            "'topic' = '{name}', 'qos' = '{qos}', 'retain' = 'true', 'protocol-version' = '{version}'"
        );
        let to = world.table("u", "n BIGINT", &options);
        let job = world.job(&name, &format!("{NUMBERS}{to}INSERT INTO u SELECT n FROM numbers;\n"))?;
        let status = job.start()?.wait(LIMIT)?;
        ensure!(status.success(), "{}", job.said());
        let found = world.wait_drained(&job, &format!("late_{name}"), &name, 1)?;
        ensure!(found.len() == 1 && found[0]["retained"] == true, "{found:?}");
        // What is retained comes when a subscription is made, and not each time that we come back.
        let options = format!("'topics' = '{name}', 'qos' = '{qos}', 'protocol-version' = '{version}'");
        let columns = "n BIGINT, retained BOOLEAN METADATA VIRTUAL";
        let seen = "CREATE TABLE seen (n BIGINT, r BOOLEAN) \
                    WITH ('connector' = 'kafka', 'topic' = 'seen', 'format' = 'json');\n";
        let from = world.table("t", columns, &options);
        let job = world.job(
            &format!("{name}_back"),
            &format!("{from}{seen}INSERT INTO seen SELECT n, retained FROM t;\n"),
        )?;
        let mut running = job.start()?;
        let seen = job.records("seen", 1)?;
        running.stop(LIMIT)?;
        ensure!(seen[0].json()?["r"] == true, "{}", seen[0].json()?);
        let mut running = job.start()?;
        wait_until(&job, || {
            world.ask(&["put-json", &name, "50", "51"])?;
            Ok(job.read("seen").unwrap_or_default().len() > 1)
        })?;
        running.stop(LIMIT)?;
        let mut running = job.start()?;
        let all: Vec<Value> =
            job.records("seen", 2)?.iter().map(|found| found.json()).collect::<Result<_>>()?;
        running.stop(LIMIT)?;
        let retained = all.iter().filter(|row| row["r"] == true).count();
        ensure!(retained == 1, "retained messages came again: {all:?}");
    }
    Ok(())
}

fn secured(world: &World) -> Result<()> {
    world.ask(&["subscribe", "secret", "secret"])?;
    let url = format!("mqtts://127.0.0.1:{}", world.server.tls_port);
    let options = format!(
        "'username' = '{}', 'password' = '{}', 'tls.root-cas-file' = '{}'",
        mqtt::USER,
        mqtt::PASSWORD,
        world.server.file("ca.pem").display()
    );
    let to = table_at(&url, "u", "n BIGINT", &format!("{options}, 'topic' = 'secret'"));
    let job = world.job("secured", &format!("{NUMBERS}{to}INSERT INTO u SELECT n FROM numbers;\n"))?;
    let status = job.start()?.wait(LIMIT)?;
    ensure!(status.success(), "{}", job.said());
    let from =
        table_at(&url, "t", "n BIGINT", &format!("{options}, 'topics' = 'secret', 'client-id' = 'secret'"));
    let job = world.job("back", &format!("{from}{KEPT}INSERT INTO kept SELECT n FROM t;\n"))?;
    let mut running = job.start()?;
    job.records("kept", 5)?;
    running.stop(LIMIT)?;
    Ok(())
}
