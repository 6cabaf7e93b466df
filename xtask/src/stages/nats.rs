//! The stage at a real NATS: what the conformance suite does not ask of a connector. What the user is told when something
//! is wrong, metadata, subjects of rows, work queues, messages that were lost, TLS and NKeys.
//!
//! The client beside ours is Python's nats-py.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::job::{Job, LIMIT, wait_until};
use crate::counts::Counts;
use crate::nats::{self, Nats};
use crate::peers;

const PRINT: &str = "CREATE TABLE shown (n BIGINT) WITH ('connector' = 'blackhole');\n";
const NUMBERS: &str =
    "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '5');\n";
/// With no patience an error is the end.
const NO_PATIENCE: &str = "SET 'restart-strategy.type' = 'none';\n";

pub fn run() -> Result<Counts> {
    peers::install(&["nats".to_owned()])?;
    let scratch = tempfile::tempdir()?;
    let world = World { server: Nats::start(&[])?, scratch: scratch.path().into() };
    let mut counts = Counts::default();
    counts.check("nats: what is wrong is told", told(&world));
    counts.check("nats: metadata, subjects of rows, dead letters", metadata(&world));
    counts.check("nats: work queues", work_queue(&world));
    counts.check("nats: messages that were lost", lost(&world));
    counts.check("nats: TLS and NKeys", secured(&world));
    Ok(counts)
}

/// The server, and where folders for nodes are made.
struct World {
    server: Nats,
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
        let login = format!(", 'username' = '{}', 'password' = '{}'", nats::USER, nats::PASSWORD);
        self.table_at("nats", name, columns, stream, &format!("{login}{options}"))
    }

    fn table_at(&self, scheme: &str, name: &str, columns: &str, stream: &str, options: &str) -> String {
        format!(
            "CREATE TABLE {name} ({columns}) WITH ('connector' = 'nats', 'url' = '{scheme}://127.0.0.1:{}', \
             'stream' = '{stream}', 'format' = 'json', 'timeout' = '10 s'{options});\n",
            self.server.port
        )
    }

    fn messages(&self, stream: &str) -> Result<Vec<Value>> {
        self.ask(&["read", stream])?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

fn told(world: &World) -> Result<()> {
    world.ask(&["make", "there"])?;
    let read = format!("{PRINT}INSERT INTO shown SELECT n FROM t;\n");
    let write = format!("{NUMBERS}INSERT INTO t SELECT n FROM numbers;\n");
    let wrong = ", 'username' = 'shop', 'password' = 'wrong-Secret-0'";
    let cases = [
        ("missing", world.table("t", "n BIGINT", "nowhere", ""), &read, "create the stream 'nowhere'"),
        (
            "password",
            world.table_at("nats", "t", "n BIGINT", "there", wrong),
            &read,
            "look at user and password",
        ),
        ("nobody", world.table_at("nats", "t", "n BIGINT", "there", ""), &read, "Authorization Violation"),
        ("plain", world.table_at("tls", "t", "n BIGINT", "there", ""), &read, "certificate"),
        (
            "subject",
            world.table("t", "n BIGINT", "there", ", 'subject' = 'else'"),
            &write,
            "is none of stream=there",
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
    for stream in ["given", "taken"] {
        world.ask(&["make", stream])?;
    }
    world.ask(&["put", "given", &COUNT.to_string()])?;
    let columns = "n BIGINT, s STRING METADATA FROM 'subject' VIRTUAL, q BIGINT METADATA FROM 'sequence' VIRTUAL, \
                   d BIGINT METADATA FROM 'delivery-count' VIRTUAL, id STRING METADATA FROM 'message-id' VIRTUAL, \
                   t TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, h MAP<STRING, BYTES> METADATA FROM 'headers' VIRTUAL";
    let from = world.table("t", columns, "given", ", 'subject' = 'given.*'");
    let seen = "CREATE TABLE seen (n BIGINT, s STRING, q BIGINT, d BIGINT, id STRING, y BIGINT, h STRING) \
                WITH ('connector' = 'kafka', 'topic' = 'seen', 'format' = 'json');\n";
    let written = "n BIGINT, s STRING METADATA FROM 'subject', id STRING METADATA FROM 'message-id', \
                   h MAP<STRING, BYTES> METADATA FROM 'headers'";
    let to = world.table("u", written, "taken", ", 'subject' = 'taken', 'dead-letter.topic' = 'refused'");
    // Even numbers have a subject of the stream, and odd ones do not.
    let sql = format!(
        "{from}{seen}{to}EXECUTE STATEMENT SET BEGIN\n\
         INSERT INTO seen SELECT n, s, q, d, id, EXTRACT(YEAR FROM t), CAST(h['text'] AS STRING) FROM t;\n\
         INSERT INTO u SELECT n, CASE WHEN MOD(n, 2) = 0 THEN 'taken.even' ELSE 'odd' END, id, \
           MAP['text', h['text']] FROM t;\nEND;\n"
    );
    let job = world.job("metadata", &sql)?;
    let mut running = job.start()?;
    let seen = job.records("seen", COUNT)?;
    let refused = job.records("refused", COUNT / 2)?;
    wait_until(&job, || Ok(world.messages("taken")?.len() >= COUNT / 2))?;
    running.stop(LIMIT)?;
    for (n, found) in seen.iter().enumerate() {
        let row = found.json()?;
        ensure!(row["y"].as_i64().is_some_and(|year| year > 2024), "the time of {row}");
        let expected = json!({
            "n": n, "s": format!("given.n{n}"), "q": n + 1, "d": 1, "id": format!("number-{n}"), "y": row["y"],
            "h": format!("number {n}"),
        });
        ensure!(row == expected, "{row} instead of {expected}");
    }
    let odd: Vec<Value> = refused.iter().map(|found| found.json()).collect::<Result<_>>()?;
    ensure!(odd == [json!({"n": 1}), json!({"n": 3})], "refused: {odd:?}");
    ensure!(refused.iter().all(|found| found.headers.contains("reason")), "a dead letter without a reason");
    let taken = world.messages("taken")?;
    let bodies: Vec<&str> = taken.iter().filter_map(|message| message["body"].as_str()).collect();
    ensure!(bodies == ["{\"n\":0}", "{\"n\":2}"], "{bodies:?}");
    let second = &taken[1];
    let is_right = second["subject"] == "taken.even"
        && second["headers"]["Nats-Msg-Id"] == "number-2"
        && second["headers"]["text"] == "number 2";
    ensure!(is_right, "{second}");
    Ok(())
}

fn work_queue(world: &World) -> Result<()> {
    world.ask(&["make", "work", "workqueue"])?;
    world.ask(&["put", "work", "3"])?;
    // Somebody else has to be there for it to be refused.
    let durable = world.table("t", "n BIGINT", "work", ", 'durable' = 'workers'");
    let topic =
        "CREATE TABLE done (n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'done', 'format' = 'json');\n";
    let job = world.job("work", &format!("{durable}{topic}INSERT INTO done SELECT n FROM t;\n"))?;
    let mut running = job.start()?;
    job.records("done", 3)?;
    wait_until(&job, || Ok(world.ask(&["pending", "work", "workers"])?.trim() == "0"))?;
    running.stop(LIMIT)?;
    let ordered = world.table("t", "n BIGINT", "work", "");
    let sql = format!("{NO_PATIENCE}{ordered}{PRINT}INSERT INTO shown SELECT n FROM t;\n");
    world.job("ordered", &sql)?.fails_with("is read with 'durable'")
}

fn lost(world: &World) -> Result<()> {
    world.ask(&["make", "short"])?;
    world.ask(&["put", "short", "3"])?;
    let table = |options: &str| world.table("t", "n BIGINT", "short", options);
    let topic =
        "CREATE TABLE kept (n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'kept', 'format' = 'json');\n";
    let sql = format!("{NO_PATIENCE}{}{topic}INSERT INTO kept SELECT n FROM t;\n", table(""));
    let job = world.job("lost", &sql)?;
    let mut running = job.start()?;
    job.records("kept", 3)?;
    running.stop(LIMIT)?;
    world.ask(&["put-json", "short", "3", "6"])?;
    world.ask(&["purge", "short", "6"])?;
    job.fails_with("messages were deleted before they were read")?;
    std::fs::write(
        job.folder.join("job.sql"),
        format!("{}{topic}INSERT INTO kept SELECT n FROM t;\n", table(", 'auto.offset.reset' = 'earliest'")),
    )?;
    let mut running = job.start()?;
    let kept = job.records("kept", 4)?;
    running.stop(LIMIT)?;
    let last = kept.last().context("no record")?.json()?;
    ensure!(kept.len() == 4 && last == json!({"n": 5}), "{} records, the last is {last}", kept.len());
    Ok(())
}

fn secured(world: &World) -> Result<()> {
    world.ask(&["make", "secret"])?;
    let seed = world.scratch.join("user.nk");
    std::fs::write(&seed, format!("{}\n", nats::NKEY_SEED))?;
    let options = format!(
        ", 'nkey' = '${{file:{}}}', 'tls.root-cas-file' = '{}', 'subject' = 'secret.n'",
        seed.display(),
        world.server.file("ca.pem").display()
    );
    let table = world.table_at("tls", "t", "n BIGINT", "secret", &options);
    let sql = format!("{table}{NUMBERS}INSERT INTO t SELECT n FROM numbers;\n");
    let job = world.job("secured", &sql)?;
    let status = job.start()?.wait(LIMIT)?;
    ensure!(status.success(), "{}", job.said());
    let written = world.messages("secret")?.len();
    ensure!(written == 5, "{written} messages of 5");
    let back = world.table_at("tls", "t", "n BIGINT", "secret", &options);
    let topic =
        "CREATE TABLE back (n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'back', 'format' = 'json');\n";
    let job = world.job("back", &format!("{back}{topic}INSERT INTO back SELECT n FROM t;\n"))?;
    let mut running = job.start()?;
    job.records("back", 5)?;
    running.stop(LIMIT)?;
    Ok(())
}
