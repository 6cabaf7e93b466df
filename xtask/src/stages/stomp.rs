//! The stage at real servers of STOMP, Artemis, ActiveMQ Classic and RabbitMQ: what the conformance suite does not ask of a
//! connector. What the user is told when something is wrong, metadata, durable subscriptions, bodies, long messages, TLS.
//!
//! The client beside ours is stomp.py.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::job::{Job, LIMIT, wait_until};
use crate::counts::Counts;
use crate::peers;
use crate::stomp::{Brand, Stomp};

const PRINT: &str = "CREATE TABLE shown (n BIGINT) WITH ('connector' = 'blackhole');\n";
const NUMBERS: &str =
    "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '5');\n";
/// With no patience an error is the end.
const NO_PATIENCE: &str = "SET 'restart-strategy.type' = 'none';\n";

pub fn run() -> Result<Counts> {
    peers::install(&["debian".to_owned(), "amqp".to_owned()])?;
    let scratch = tempfile::tempdir()?;
    let mut counts = Counts::default();
    for brand in [Brand::Artemis, Brand::ActiveMq, Brand::RabbitMq] {
        let folder = scratch.path().join(brand.name());
        std::fs::create_dir(&folder)?;
        let world = World { server: Stomp::start(brand, &[])?, scratch: folder };
        let mut check = |what: &str, result: Result<()>| {
            counts.check(&format!("stomp: {}: {what}", brand.name()), result);
        };
        check("what is wrong is told", told(&world));
        check("metadata", metadata(&world));
        check("durable subscriptions", subscriptions(&world));
        check("texts, and long messages", bodies(&world));
        check("a message that is too long", too_long(&world));
        if brand != Brand::ActiveMq {
            check("TLS", secured(&world));
        }
        if brand != Brand::RabbitMq {
            check("selectors", selectors(&world));
        }
    }
    Ok(counts)
}

/// The server, and where folders for nodes are made.
struct World {
    server: Stomp,
    scratch: PathBuf,
}

impl World {
    fn ask(&self, arguments: &[&str]) -> Result<String> {
        self.server.ask(arguments)
    }

    fn messages(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        self.ask(arguments)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    fn job(&self, name: &str, sql: &str) -> Result<Job> {
        Job::make(&self.scratch.join(name), sql)
    }

    fn brand(&self) -> Brand {
        self.server.brand
    }

    fn url(&self) -> String {
        let (user, password) = self.server.login();
        format!("stomp://{user}:{}@127.0.0.1:{}", password.replace(' ', "%20"), self.server.port())
    }

    /// A table; what follows are more options.
    fn table(&self, name: &str, columns: &str, options: &str) -> String {
        table_at(&self.url(), name, columns, options)
    }
}

fn table_at(url: &str, name: &str, columns: &str, options: &str) -> String {
    let format = if options.contains("'format'") { "" } else { ", 'format' = 'json'" };
    format!(
        "CREATE TABLE {name} ({columns}) WITH ('connector' = 'stomp', 'url' = '{url}', 'timeout' = '10 s'{format}, {options});\n"
    )
}

fn topic(name: &str, columns: &str) -> String {
    format!(
        "CREATE TABLE {name} ({columns}) WITH ('connector' = 'kafka', 'topic' = '{name}', 'format' = 'json');\n"
    )
}

fn told(world: &World) -> Result<()> {
    world.server.make(&["queue:there"])?;
    let port = world.server.port();
    let read = format!("{PRINT}INSERT INTO shown SELECT n FROM t;\n");
    let write = format!("{NUMBERS}INSERT INTO t SELECT n FROM numbers;\n");
    let there = "'queue' = 'there'";
    let user = world.server.login().0;
    let at = |url: &str| table_at(&format!("{url}127.0.0.1:{port}"), "t", "n BIGINT", there);
    let table = |options: &str| world.table("t", "n BIGINT", options);
    let mut cases = vec![
        ("password", at(&format!("stomp://{user}:wrong-Secret-0@")), &read, "look at user and password"),
        ("plain", at("stomps://"), &read, "cannot connect"),
    ];
    match world.brand() {
        Brand::Artemis => cases.extend([
            ("missing", table("'queue' = 'nowhere'"), &read, "create the queue 'nowhere'"),
            ("missing-sink", table("'queue' = 'nowhere'"), &write, "create the queue 'nowhere'"),
            ("missing-topic", table("'topic' = 'nowhere'"), &write, "create the topic 'nowhere'"),
            ("selector", table("'queue' = 'there', 'selector' = 'n = = 1'"), &read, "Invalid selector"),
        ]),
        Brand::ActiveMq => cases.extend([(
            "selector",
            table("'queue' = 'there', 'selector' = 'n = = 1'"),
            &read,
            "InvalidSelectorException",
        )]),
        Brand::RabbitMq => cases.extend([
            (
                "missing",
                table("'destination' = '/amq/queue/nowhere'"),
                &read,
                "create the destination '/amq/queue/nowhere'",
            ),
            ("missing-sink", table("'destination' = '/amq/queue/nowhere'"), &write, "drops them"),
            (
                "missing-exchange",
                table("'destination' = '/exchange/nowhere/a'"),
                &write,
                // A server that has more to do says less: "Processing error".
                "the server says",
            ),
            (
                "selector",
                table("'queue' = 'there', 'selector' = 'n = 1'"),
                &read,
                "RabbitMQ has no selectors",
            ),
            (
                "vhost",
                table_at(&format!("{}/elsewhere", world.url()), "t", "n BIGINT", there),
                &read,
                "Virtual host 'elsewhere'",
            ),
        ]),
    }
    for (name, table, job, words) in cases {
        let job = world.job(name, &format!("{NO_PATIENCE}{table}{job}"))?;
        job.fails_with(words).with_context(|| name.to_string())?;
        ensure!(!job.said().contains("wrong-Secret-0"), "the password was told: {}", job.said());
    }
    Ok(())
}

fn metadata(world: &World) -> Result<()> {
    const COUNT: usize = 4;
    world.server.make(&["queue:given", "queue:taken"])?;
    world.ask(&["put", "queue:given", &COUNT.to_string()])?;
    let columns = "n BIGINT, id STRING METADATA FROM 'message-id' VIRTUAL, c STRING METADATA FROM 'correlation-id' VIRTUAL, \
                   y STRING METADATA FROM 'content-type' VIRTUAL, s STRING METADATA FROM 'type' VIRTUAL, \
                   g STRING METADATA FROM 'group-id' VIRTUAL, t TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, \
                   d BOOLEAN METADATA FROM 'persistent' VIRTUAL, p INT METADATA FROM 'priority' VIRTUAL, \
                   r BOOLEAN METADATA FROM 'redelivered' VIRTUAL, h MAP<STRING, BYTES> METADATA FROM 'headers' VIRTUAL";
    let from = world.table("t", columns, "'queue' = 'given'");
    let seen = topic(
        "seen",
        "n BIGINT, id STRING, c STRING, y STRING, s STRING, g STRING, t STRING, d BOOLEAN, p INT, r BOOLEAN, h STRING, \
         i STRING",
    );
    let written = "n BIGINT, c STRING METADATA FROM 'correlation-id', s STRING METADATA FROM 'type', \
                   g STRING METADATA FROM 'group-id', p INT METADATA FROM 'priority', l BIGINT METADATA FROM 'ttl', \
                   h MAP<STRING, BYTES> METADATA FROM 'headers'";
    let to = world.table("w", written, "'queue' = 'taken', 'content-type' = 'application/json'");
    let sql = format!(
        "SET 'table.local-time-zone' = 'UTC';\n{from}{seen}{to}EXECUTE STATEMENT SET BEGIN\n\
         INSERT INTO seen SELECT n, id, c, y, s, g, CAST(t AS STRING), d, p, r, CAST(h['text'] AS STRING), \
         CAST(h['count'] AS STRING) FROM t;\nINSERT INTO w SELECT n, c, s, g, p, 600000, h FROM t;\nEND;\n"
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
        let mut found = found.json()?;
        // What the server makes itself.
        let id = found["id"].as_str().unwrap_or_default().to_owned();
        let time = found["t"].as_str().unwrap_or_default().to_owned();
        let is_right = match world.brand() {
            Brand::ActiveMq => id.starts_with("ID:") && time == format!("2023-11-14 22:13:2{n}.000"),
            Brand::RabbitMq => id == format!("number-{n}") && time == format!("2023-11-14 22:13:2{n}.000"),
            Brand::Artemis => id == format!("number-{n}") && time.starts_with("20"),
        };
        ensure!(is_right, "{found}");
        let group = if world.brand() == Brand::ActiveMq { Value::Null } else { json!("g") };
        for key in ["id", "t"] {
            found[key].take();
        }
        let expected = json!({
            "n": n, "id": null, "c": format!("c{n}"), "y": "application/json", "s": "new", "g": group, "t": null, "d": true,
            "p": 5, "r": false, "h": format!("number: {n}\n"), "i": n.to_string(),
        });
        ensure!(found == expected, "{found} instead of {expected}");
    }
    for (n, message) in taken.iter().enumerate() {
        let headers = &message["headers"];
        let number =
            |name: &str| headers[name].as_str().and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
        let lives_ms = match world.brand() {
            Brand::RabbitMq => number("expiration"),
            _ => number("expires") - number("timestamp"),
        };
        let is_right = message["body"] == format!("{{\"n\":{n}}}")
            && headers["correlation-id"] == format!("c{n}")
            && (headers["type"] == "new" && headers["priority"] == "5" && headers["persistent"] == "true")
            && headers["content-type"] == "application/json"
            && headers["text"] == format!("number: {n}\n")
            && headers["count"] == format!("{n}")
            && (500_000..=700_000).contains(&lives_ms);
        ensure!(is_right, "{message}");
    }
    Ok(())
}

/// What is published while the job is away comes when it is back.
fn subscriptions(world: &World) -> Result<()> {
    const COUNT: usize = 3;
    world.server.make(&["topic:prices", "topic:seen"])?;
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
    let mut seen = Vec::new();
    // Both subscriptions are there when they bring something.
    wait_until(&job, || {
        world.ask(&["put-json", "topic:prices", "9", "10"])?;
        seen.extend(world.messages(&["read", "topic:seen", "reader", "all"])?);
        Ok(!seen.is_empty() && !job.read("copy").unwrap_or_default().is_empty())
    })?;
    running.stop(LIMIT)?;
    world.ask(&["put", "topic:prices", &COUNT.to_string()])?;
    let has_all = |bodies: &[String]| (0..COUNT).all(|n| bodies.contains(&format!("{{\"n\":{n}}}")));
    let mut running = job.start()?;
    wait_until(&job, || {
        seen.extend(world.messages(&["read", "topic:seen", "reader", "all"])?);
        let seen: Vec<String> =
            seen.iter().filter_map(|message| message["body"].as_str().map(str::to_owned)).collect();
        let copy = job.read("copy").unwrap_or_default();
        let copy: Vec<String> =
            copy.iter().map(|found| String::from_utf8_lossy(&found.value).into_owned()).collect();
        Ok(has_all(&seen) && has_all(&copy))
    })?;
    running.stop(LIMIT)?;
    Ok(())
}

fn bodies(world: &World) -> Result<()> {
    const LONG: usize = 1_000_000;
    world.server.make(&["queue:kinds", "queue:long"])?;
    world.ask(&["put-texts", "queue:kinds"])?;
    world.ask(&["put-long", "queue:kinds", &LONG.to_string()])?;
    let from = world.table("a", "body STRING", "'queue' = 'kinds', 'format' = 'raw'");
    let to = world.table("b", "body STRING", "'queue' = 'long', 'format' = 'raw', 'message-type' = 'text'");
    let job = world.job("bodies", &format!("{from}{to}INSERT INTO b SELECT body FROM a;\n"))?;
    let mut running = job.start()?;
    let mut taken = Vec::new();
    wait_until(&job, || {
        taken.extend(world.messages(&["drain", "queue:long"])?);
        Ok(taken.len() >= 4)
    })?;
    running.stop(LIMIT)?;
    let bodies: Vec<&str> = taken.iter().filter_map(|message| message["body"].as_str()).collect();
    ensure!(bodies[..3] == ["{\"n\":1}", "two\nlines", "ä"], "{:?}", &bodies[..3]);
    ensure!(bodies[3].len() == LONG && bodies[3].bytes().all(|byte| byte == b'x'), "{}", bodies[3].len());
    // Of a text the server says no length.
    let has_length = taken.iter().any(|message| message["headers"]["content-length"].is_string());
    ensure!(world.brand() != Brand::ActiveMq || !has_length, "no texts: {}", taken[0]);
    Ok(())
}

/// Its beginning is a dead letter, and the rest goes on.
fn too_long(world: &World) -> Result<()> {
    const TOO_LONG: usize = 17 << 20;
    world.server.make(&["queue:lengths"])?;
    world.ask(&["put-long", "queue:lengths", &TOO_LONG.to_string()])?;
    world.ask(&["put", "queue:lengths", "2"])?;
    let from = world.table("a", "n BIGINT", "'queue' = 'lengths', 'dead-letter.topic' = 'letters'");
    let sql = format!("{from}{}INSERT INTO b SELECT n FROM a;\n", topic("b", "n BIGINT"));
    let job = world.job("lengths", &sql)?;
    let mut running = job.start()?;
    job.records("b", 2)?;
    let letters = job.records("letters", 1)?;
    running.stop(LIMIT)?;
    ensure!(
        letters[0].headers.contains("limit=") && letters[0].value.len() == 1024,
        "{} bytes, {}",
        letters[0].value.len(),
        letters[0].headers
    );
    Ok(())
}

fn secured(world: &World) -> Result<()> {
    const COUNT: usize = 20;
    world.server.make(&["queue:secret", "queue:opened"])?;
    world.ask(&["put", "queue:secret", &COUNT.to_string()])?;
    let file = |name: &str| world.server.file(name).display().to_string();
    let by_password = format!("'tls.root-cas-file' = '{}'", file("ca.pem"));
    let by_certificate = format!(
        "{by_password}, 'tls.cert-file' = '{}', 'tls.key-file' = '{}'",
        file("client.pem"),
        file("client.key")
    );
    let url = |login: &str| format!("stomps://{login}127.0.0.1:{}", world.server.tls_port());
    let (user, password) = world.server.login();
    let login = format!("{user}:{}@", password.replace(' ', "%20"));
    // RabbitMQ's plugin takes no certificate for a log-in unless it is told to.
    let (first, options) = match world.brand() {
        Brand::Artemis => (url(""), &by_certificate),
        _ => (url(&login), &by_certificate),
    };
    let from = table_at(&first, "a", "n BIGINT", &format!("'queue' = 'secret', {options}"));
    let to = table_at(&url(&login), "b", "n BIGINT", &format!("'queue' = 'opened', {by_password}"));
    let job = world.job("secured", &format!("{from}{to}INSERT INTO b SELECT n FROM a;\n"))?;
    let mut running = job.start()?;
    let mut taken = 0;
    wait_until(&job, || {
        taken += world.messages(&["drain", "queue:opened"])?.len();
        Ok(taken >= COUNT)
    })?;
    running.stop(LIMIT)?;
    // A server that no authority has signed that we know.
    let strange = table_at(&url(&login), "b", "n BIGINT", "'queue' = 'secret'");
    let sql = format!("{strange}{PRINT}INSERT INTO shown SELECT n FROM b;\n");
    world.job("strange", &sql)?.fails_with("certificate")
}

fn selectors(world: &World) -> Result<()> {
    world.server.make(&["queue:chosen"])?;
    world.ask(&["put", "queue:chosen", "4"])?;
    let from =
        world.table("a", "n BIGINT", "'queue' = 'chosen', 'selector' = 'count = ''2'' OR count = ''3'''");
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
