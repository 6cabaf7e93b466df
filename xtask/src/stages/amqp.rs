//! The stage at real servers of AMQP 1.0, Artemis and ActiveMQ Classic: what the conformance suite does not ask of a connector.
//! What the user is told when something is wrong, metadata, durable subscriptions, bodies, long messages, full queues, TLS.
//!
//! The client beside ours is Qpid Proton.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::job::{Job, LIMIT, wait_until};
use crate::amqp::{self, Amqp, Kind};
use crate::counts::Counts;
use crate::peers;

const PRINT: &str = "CREATE TABLE shown (n BIGINT) WITH ('connector' = 'blackhole');\n";
const NUMBERS: &str =
    "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '5');\n";
/// With no patience an error is the end.
const NO_PATIENCE: &str = "SET 'restart-strategy.type' = 'none';\n";

pub fn run() -> Result<Counts> {
    peers::install(&["debian".to_owned(), "amqp".to_owned()])?;
    let scratch = tempfile::tempdir()?;
    let world = |kind: Kind, name: &str| -> Result<World> {
        let folder = scratch.path().join(name);
        std::fs::create_dir(&folder)?;
        Ok(World { server: Amqp::start(kind, &[])?, kind, scratch: folder })
    };
    let mut counts = Counts::default();
    let artemis = world(Kind::Artemis, "artemis")?;
    counts.check("amqp: what is wrong is told", told(&artemis));
    counts.check("amqp: metadata", metadata(&artemis));
    counts.check("amqp: durable subscriptions of Artemis", subscriptions(&artemis));
    counts.check("amqp: bodies of all kinds, and in many frames", bodies(&artemis));
    counts.check("amqp: a message that is too long", too_long(&artemis));
    counts.check("amqp: a queue that is full", full(&artemis));
    counts.check("amqp: a queue that is deleted while it is read", deleted(&artemis));
    counts.check("amqp: TLS, by password and by certificate", secured(&artemis));
    drop(artemis);
    let activemq = world(Kind::ActiveMq, "activemq")?;
    counts.check("amqp: durable subscriptions of ActiveMQ Classic", subscriptions(&activemq));
    counts.check("amqp: selectors", selectors(&activemq));
    Ok(counts)
}

/// The server, and where folders for nodes are made.
struct World {
    server: Amqp,
    kind: Kind,
    scratch: PathBuf,
}

impl World {
    fn ask(&self, arguments: &[&str]) -> Result<String> {
        self.server.ask(arguments)
    }

    /// Queues and topics that are there.
    fn make(&self, addresses: &[&str]) -> Result<()> {
        // The other makes them when they are used.
        if self.kind == Kind::Artemis {
            for address in addresses {
                self.ask(&["make", address])?;
            }
        }
        Ok(())
    }

    fn messages(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        self.ask(arguments)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    fn job(&self, name: &str, sql: &str) -> Result<Job> {
        Job::make(&self.scratch.join(name), sql)
    }

    /// A table; what follows are more options.
    fn table(&self, name: &str, columns: &str, options: &str) -> String {
        let url = format!("amqp://{}:{}@127.0.0.1:{}", amqp::USER, amqp::PASSWORD, self.server.port);
        table_at(&url, name, columns, options)
    }
}

fn table_at(url: &str, name: &str, columns: &str, options: &str) -> String {
    let format = if options.contains("'format'") { "" } else { ", 'format' = 'json'" };
    format!(
        "CREATE TABLE {name} ({columns}) WITH ('connector' = 'amqp', 'url' = '{url}', 'timeout' = '10 s'{format}, {options});\n"
    )
}

fn topic(name: &str, columns: &str) -> String {
    format!(
        "CREATE TABLE {name} ({columns}) WITH ('connector' = 'kafka', 'topic' = '{name}', 'format' = 'json');\n"
    )
}

fn told(world: &World) -> Result<()> {
    world.make(&["queue:there"])?;
    let port = world.server.port;
    let read = format!("{PRINT}INSERT INTO shown SELECT n FROM t;\n");
    let write = format!("{NUMBERS}INSERT INTO t SELECT n FROM numbers;\n");
    let there = "'queue' = 'there'";
    let at = |url: &str| table_at(&format!("{url}127.0.0.1:{port}"), "t", "n BIGINT", there);
    let nowhere = |kind: &str| world.table("t", "n BIGINT", &format!("'{kind}' = 'nowhere'"));
    let cases = [
        ("missing", nowhere("queue"), &read, "create the queue 'nowhere'"),
        ("missing-sink", nowhere("queue"), &write, "create the queue 'nowhere'"),
        ("missing-topic", nowhere("topic"), &write, "create the topic 'nowhere'"),
        ("password", at("amqp://shop:wrong-Secret-0@"), &read, "look at user and password"),
        ("nobody", at("amqp://"), &read, "it offers PLAIN"),
        ("plain", at("amqps://"), &read, "cannot connect"),
        (
            "selector",
            world.table("t", "n BIGINT", "'queue' = 'there', 'selector' = 'n = = 1'"),
            &read,
            "amqp: ",
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
    world.make(&["queue:given", "queue:taken"])?;
    world.ask(&["put", "queue:given", &COUNT.to_string()])?;
    let columns = "n BIGINT, id STRING METADATA FROM 'message-id' VIRTUAL, c STRING METADATA FROM 'correlation-id' VIRTUAL, \
                   s STRING METADATA FROM 'subject' VIRTUAL, y STRING METADATA FROM 'content-type' VIRTUAL, \
                   g STRING METADATA FROM 'group-id' VIRTUAL, q BIGINT METADATA FROM 'group-sequence' VIRTUAL, \
                   t TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, d BOOLEAN METADATA FROM 'durable' VIRTUAL, \
                   p INT METADATA FROM 'priority' VIRTUAL, r BIGINT METADATA FROM 'delivery-count' VIRTUAL, \
                   h MAP<STRING, BYTES> METADATA FROM 'headers' VIRTUAL";
    let from = world.table("t", columns, "'queue' = 'given'");
    let seen = topic(
        "seen",
        "n BIGINT, id STRING, c STRING, s STRING, y STRING, g STRING, q BIGINT, t STRING, d BOOLEAN, p INT, r BIGINT, \
         h STRING, i STRING, b STRING",
    );
    let written = "n BIGINT, s STRING METADATA FROM 'subject', g STRING METADATA FROM 'group-id', \
                   q BIGINT METADATA FROM 'group-sequence', p INT METADATA FROM 'priority', l BIGINT METADATA FROM 'ttl', \
                   h MAP<STRING, BYTES> METADATA FROM 'headers'";
    let to = world.table("w", written, "'queue' = 'taken', 'content-type' = 'application/json'");
    let text = |name: &str| format!("CAST(h['{name}'] AS STRING)");
    let sql = format!(
        "SET 'table.local-time-zone' = 'UTC';\n{from}{seen}{to}EXECUTE STATEMENT SET BEGIN\n\
         INSERT INTO seen SELECT n, id, c, s, y, g, q, CAST(t AS STRING), d, p, r, {}, {}, {} FROM t;\n\
         INSERT INTO w SELECT n, s, g, q, p, 600000, h FROM t;\nEND;\n",
        text("text"),
        text("count"),
        text("yes")
    );
    let job = world.job("metadata", &sql)?;
    let mut running = job.start()?;
    let seen = job.records("seen", COUNT)?;
    let mut taken = Vec::new();
    wait_until(&job, || {
        taken.extend(world.messages(&["drain", "queue:taken"])?);
        Ok(taken.len() >= COUNT)
    })?;
    running.stop(LIMIT)?;
    for (n, found) in (0_i64..).zip(&seen) {
        let expected = json!({
            "n": n, "id": format!("number-{n}"), "c": format!("c{n}"), "s": "new", "y": "application/json", "g": "g", "q": n,
            "t": format!("2023-11-14 22:13:2{n}.000"), "d": true, "p": 5, "r": 0,
            "h": format!("number {n}"), "i": n.to_string(), "b": "true",
        });
        ensure!(found.json()? == expected, "{} instead of {expected}", found.json()?);
    }
    for (n, message) in taken.iter().enumerate() {
        // Proton tells seconds.
        let is_right = message["body"] == format!("{{\"n\":{n}}}")
            && message["subject"] == "new"
            && (message["group_id"] == "g" && message["group_sequence"] == n)
            && (message["priority"] == 5 && message["durable"] == true && message["ttl"] == 600.0)
            && message["content_type"] == "application/json"
            && message["properties"]["text"] == format!("number {n}")
            && message["properties"]["_AMQ_DUPL_ID"] == message["id"];
        ensure!(is_right, "{message}");
    }
    Ok(())
}

/// What is published while the job is away comes when it is back.
fn subscriptions(world: &World) -> Result<()> {
    const COUNT: usize = 3;
    world.make(&["topic:prices", "topic:seen"])?;
    world.ask(&["subscribe", "topic:seen", "reader", "all"])?;
    let from =
        world.table("a", "n BIGINT", "'topic' = 'prices', 'client-id' = 'shop', 'subscription' = 'reports'");
    let own = world.table("c", "n BIGINT", "'topic' = 'prices'");
    let to = world.table("b", "n BIGINT", "'topic' = 'seen'");
    let copy = topic("copy", "n BIGINT");
    let sql = format!(
        "{from}{own}{to}{copy}EXECUTE STATEMENT SET BEGIN\nINSERT INTO b SELECT n FROM a;\nINSERT INTO copy SELECT n FROM c;\n\
         END;\n"
    );
    let job = world.job("subscriptions", &sql)?;
    let mut running = job.start()?;
    // Both subscriptions are there when they bring something.
    let mut seen = Vec::new();
    let mut put = 0;
    wait_until(&job, || {
        put += 1;
        world.ask(&["put-json", "topic:prices", "0", "1"])?;
        seen.extend(world.messages(&["read", "topic:seen", "reader", "all"])?);
        Ok(!seen.is_empty() && !job.read("copy").unwrap_or_default().is_empty())
    })?;
    running.stop(LIMIT)?;
    world.ask(&["put", "topic:prices", &COUNT.to_string()])?;
    let mut running = job.start()?;
    wait_until(&job, || {
        seen.extend(world.messages(&["read", "topic:seen", "reader", "all"])?);
        Ok(seen.len() > COUNT && job.read("copy").unwrap_or_default().len() > COUNT)
    })?;
    running.stop(LIMIT)?;
    let numbers: Vec<&str> = seen.iter().filter_map(|message| message["body"].as_str()).collect();
    // The first has one id, however often it was put.
    ensure!(
        numbers == ["{\"n\":0}", "{\"n\":0}", "{\"n\":1}", "{\"n\":2}"],
        "{numbers:?} of {put} times the first and {COUNT} more"
    );
    Ok(())
}

fn bodies(world: &World) -> Result<()> {
    const LONG: usize = 1_000_000;
    world.make(&["queue:kinds", "queue:long"])?;
    world.ask(&["put-kinds", "queue:kinds"])?;
    world.ask(&["put-long", "queue:kinds", &LONG.to_string()])?;
    let from = world.table("a", "body STRING", "'queue' = 'kinds', 'format' = 'raw'");
    let to = world.table("b", "body STRING", "'queue' = 'long', 'format' = 'raw'");
    let job = world.job("bodies", &format!("{from}{to}INSERT INTO b SELECT body FROM a;\n"))?;
    let mut running = job.start()?;
    let mut taken = Vec::new();
    wait_until(&job, || {
        taken.extend(world.messages(&["drain", "queue:long"])?);
        Ok(taken.len() >= 4)
    })?;
    running.stop(LIMIT)?;
    let bodies: Vec<&str> = taken.iter().filter_map(|message| message["body"].as_str()).collect();
    ensure!(bodies[..3] == ["{\"n\":1}", "{\"n\":2}", "[\"a\",3]"], "{:?}", &bodies[..3]);
    ensure!(bodies[3].len() == LONG && bodies[3].bytes().all(|byte| byte == b'x'), "{}", bodies[3].len());
    Ok(())
}

/// It goes to the server's dead letters, and the rest goes on.
fn too_long(world: &World) -> Result<()> {
    const TOO_LONG: usize = 17 << 20;
    world.make(&["queue:lengths"])?;
    world.ask(&["put-long", "queue:lengths", &TOO_LONG.to_string()])?;
    world.ask(&["put", "queue:lengths", "2"])?;
    let from = world.table("a", "n BIGINT", "'queue' = 'lengths'");
    let sql = format!("{from}{}INSERT INTO b SELECT n FROM a;\n", topic("b", "n BIGINT"));
    let job = world.job("lengths", &sql)?;
    let mut running = job.start()?;
    job.records("b", 2)?;
    wait_until(&job, || Ok(world.ask(&["count", "DLQ"])?.trim() == "1"))?;
    running.stop(LIMIT)?;
    Ok(())
}

/// The server takes three messages, and no more until somebody takes those.
fn full(world: &World) -> Result<()> {
    world.make(&["queue:full"])?;
    let to = world.table("t", "n BIGINT", "'queue' = 'full'");
    let job = world.job("full", &format!("{to}{NUMBERS}INSERT INTO t SELECT n FROM numbers;\n"))?;
    let mut running = job.start()?;
    wait_until(&job, || Ok(job.said().contains("is full")))?;
    let mut taken = Vec::new();
    wait_until(&job, || {
        taken.extend(world.messages(&["drain", "queue:full"])?);
        Ok(taken.len() >= 5)
    })?;
    let status = running.wait(LIMIT)?;
    ensure!(status.success() && taken.len() == 5, "{} messages, and it said\n{}", taken.len(), job.said());
    Ok(())
}

fn deleted(world: &World) -> Result<()> {
    world.make(&["queue:short-lived"])?;
    world.ask(&["put", "queue:short-lived", "3"])?;
    let from = world.table("a", "n BIGINT", "'queue' = 'short-lived'");
    let sql = format!("{from}{}INSERT INTO b SELECT n FROM a;\n", topic("b", "n BIGINT"));
    let job = world.job("deleted", &sql)?;
    let mut running = job.start()?;
    job.records("b", 3)?;
    world.ask(&["delete", "short-lived"])?;
    let status = running.wait(LIMIT)?;
    let said = job.said();
    ensure!(!status.success() && said.contains("create the queue"), "it said\n{said}");
    Ok(())
}

fn secured(world: &World) -> Result<()> {
    const COUNT: usize = 20;
    world.make(&["queue:secret", "queue:opened"])?;
    world.ask(&["put", "queue:secret", &COUNT.to_string()])?;
    let file = |name: &str| world.server.file(name).display().to_string();
    let by_password = format!("'tls.root-cas-file' = '{}'", file("ca.pem"));
    let by_certificate = format!(
        "{by_password}, 'tls.cert-file' = '{}', 'tls.key-file' = '{}', 'auth-mechanism' = 'EXTERNAL'",
        file("client.pem"),
        file("client.key")
    );
    let url = |login: &str| format!("amqps://{login}127.0.0.1:{}", world.server.tls_port);
    let login = format!("{}:{}@", amqp::USER, amqp::PASSWORD);
    let from = table_at(&url(""), "a", "n BIGINT", &format!("'queue' = 'secret', {by_certificate}"));
    let to = table_at(&url(&login), "b", "n BIGINT", &format!("'queue' = 'opened', {by_password}"));
    let job = world.job("secured", &format!("{from}{to}INSERT INTO b SELECT n FROM a;\n"))?;
    let mut running = job.start()?;
    wait_until(&job, || Ok(world.ask(&["count", "opened"])?.trim() == COUNT.to_string()))?;
    running.stop(LIMIT)?;
    // A server that no authority has signed that we know.
    let strange = table_at(&url(&login), "b", "n BIGINT", "'queue' = 'secret'");
    let sql = format!("{strange}{PRINT}INSERT INTO shown SELECT n FROM b;\n");
    world.job("strange", &sql)?.fails_with("certificate")
}

fn selectors(world: &World) -> Result<()> {
    world.ask(&["put", "queue:chosen", "4"])?;
    let from = world.table("a", "n BIGINT", "'queue' = 'chosen', 'selector' = 'count > 1'");
    let sql = format!("{from}{}INSERT INTO b SELECT n FROM a;\n", topic("b", "n BIGINT"));
    let job = world.job("selectors", &sql)?;
    let mut running = job.start()?;
    let found = job.records("b", 2)?;
    running.stop(LIMIT)?;
    let numbers = found.iter().map(|found| Ok(found.json()?["n"].clone())).collect::<Result<Vec<Value>>>()?;
    ensure!(numbers == [2, 3], "{numbers:?}");
    // The others are there.
    let mut left = 0;
    wait_until(&job, || {
        left += world.messages(&["drain", "queue:chosen"])?.len();
        Ok(left >= 2)
    })?;
    ensure!(left == 2, "{left} messages are left");
    Ok(())
}
