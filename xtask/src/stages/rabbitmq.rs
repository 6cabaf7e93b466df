//! The stage at a real RabbitMQ: what the conformance suite does not ask of a connector. What the user is told when
//! something is wrong, metadata, messages that cannot be routed, TLS, the example.
//!
//! The client beside ours is Python's `pika`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::job::{Job, LIMIT, wait_until};
use crate::counts::Counts;
use crate::hex::hex;
use crate::process::Group;
use crate::rabbitmq::{self, RabbitMq};
use crate::{peers, places};

const EXAMPLE: &str = "examples/rabbitmq";

pub fn run() -> Result<Counts> {
    peers::install(&["debian".to_owned()])?;
    let scratch = tempfile::tempdir()?;
    let world = World { server: RabbitMq::start()?, scratch: scratch.path().into() };
    let mut counts = Counts::default();
    counts.check("rabbitmq: what is wrong is told", told(&world));
    counts.check("rabbitmq: metadata, poison and dead letters", poison(&world));
    counts.check("rabbitmq: TLS, by password and by certificate", secured(&world));
    counts.check("rabbitmq: a queue that is deleted while it is read", deleted(&world));
    counts.check("rabbitmq: streams over TLS, from an offset on, with metadata", streams(&world));
    counts.check("rabbitmq: the example", example(&world));
    Ok(counts)
}

/// The server, and where folders for nodes are made.
struct World {
    server: RabbitMq,
    scratch: PathBuf,
}

impl World {
    fn ask(&self, arguments: &[&str]) -> Result<String> {
        self.server.ask(arguments)
    }

    /// The messages of a queue, which is empty then.
    fn drain(&self, queue: &str) -> Result<Vec<Value>> {
        let lines = self.ask(&["drain", queue])?;
        lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// A table over a queue; what follows are more options.
    fn table(&self, name: &str, columns: &str, options: &str) -> String {
        self.table_at(&self.server.url(), name, columns, options)
    }

    fn table_at(&self, url: &str, name: &str, columns: &str, options: &str) -> String {
        format!(
            "CREATE TABLE {name} ({columns}) WITH ('connector' = 'rabbitmq', 'url' = '{url}', 'format' = 'json', \
             'timeout' = '10 s' {options});\n"
        )
    }

    fn job(&self, name: &str, sql: &str) -> Result<Job> {
        Job::make(&self.scratch.join(name), sql)
    }
}

const PRINT: &str = "CREATE TABLE shown (n BIGINT) WITH ('connector' = 'blackhole');\n";

fn told(world: &World) -> Result<()> {
    world.ask(&["make", "there", "quorum"])?;
    let cases = [
        ("missing", world.server.url(), "nowhere", "", "create the queue, or let 'queue-declare.enabled'"),
        (
            "password",
            format!("amqp://shop:wrong@127.0.0.1:{}", world.server.port),
            "there",
            "",
            "ACCESS_REFUSED",
        ),
        ("host", format!("{}/nobody", world.server.url()), "there", "", "nobody"),
        ("plain", format!("amqps://127.0.0.1:{}", world.server.port), "there", "", "rabbitmq"),
        (
            "type",
            world.server.url(),
            "there",
            ", 'queue-declare.enabled' = 'true', 'queue-declare.type' = 'classic'",
            "inequivalent arg",
        ),
    ];
    for (name, url, queue, options, words) in cases {
        let options = format!(", 'queue' = '{queue}' {options}");
        let table = world.table_at(&url, "t", "n BIGINT", &options);
        // A server that does not speak TLS may do so later: only with no patience is that the end.
        let patience = "SET 'restart-strategy.type' = 'none';\n";
        let sql = format!("{patience}{table}{PRINT}INSERT INTO shown SELECT n FROM t;\n");
        world.job(name, &sql)?.fails_with(words).with_context(|| name.to_string())?;
    }
    let missing = world.table("t", "n BIGINT", ", 'exchange' = 'nowhere'");
    let numbers = "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '5');\n";
    let job = world.job("exchange", &format!("{missing}{numbers}INSERT INTO t SELECT n FROM numbers;\n"))?;
    job.fails_with("no exchange 'nowhere'")?;
    let unroutable = world.table("t", "n BIGINT", ", 'routing-key' = 'nowhere'");
    let job =
        world.job("unroutable", &format!("{unroutable}{numbers}INSERT INTO t SELECT n FROM numbers;\n"))?;
    job.fails_with("leads to no queue")
}

fn poison(world: &World) -> Result<()> {
    const GOOD: usize = 5;
    world.ask(&["make", "poisoned", "quorum"])?;
    world.ask(&["put-raw", "poisoned", &hex(b"no json")])?;
    world.ask(&["put", "poisoned", &GOOD.to_string()])?;
    world.ask(&["put", "poisoned", &GOOD.to_string()])?;
    let columns = "n BIGINT, id STRING METADATA FROM 'message-id' VIRTUAL, `exchange` STRING METADATA VIRTUAL, \
                   k STRING METADATA FROM 'routing-key' VIRTUAL, r BOOLEAN METADATA FROM 'redelivered' VIRTUAL, \
                   m INT METADATA FROM 'delivery-mode' VIRTUAL, t TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, \
                   c STRING METADATA FROM 'content-type' VIRTUAL, p INT METADATA FROM 'priority' VIRTUAL, \
                   h MAP<STRING, BYTES> METADATA FROM 'headers' VIRTUAL";
    let from = world.table("t", columns, ", 'queue' = 'poisoned', 'dead-letter.topic' = 'dead'");
    let topic = "CREATE TABLE good (n BIGINT, id STRING, e STRING, k STRING, r BOOLEAN, m INT, t STRING, c STRING, p INT, \
                 l STRING) WITH ('connector' = 'kafka', 'topic' = 'good', 'format' = 'json');\n";
    // Even numbers find their queue, and odd ones do not.
    let keys = "n BIGINT, k STRING METADATA FROM 'routing-key', id STRING METADATA FROM 'correlation-id', \
                h MAP<STRING, BYTES> METADATA FROM 'headers'";
    let to = world.table("keyed", keys, ", 'exchange' = '', 'dead-letter.topic' = 'refused'");
    world.ask(&["make", "even", "classic"])?;
    let sql = format!(
        "{from}{topic}{to}EXECUTE STATEMENT SET BEGIN\n\
         INSERT INTO good SELECT n, id, `exchange`, k, r, m, CAST(t AS STRING), c, p, CAST(h['list'] AS STRING) FROM t;\n\
         INSERT INTO keyed SELECT n, CASE WHEN MOD(n, 2) = 0 THEN 'even' ELSE 'odd' END, id, h FROM t;\nEND;\n"
    );
    let job = world.job("poison", &format!("SET 'table.local-time-zone' = 'UTC';\n{sql}"))?;
    let mut running = job.start()?;
    let dead = job.records("dead", 1)?;
    ensure!(dead[0].value == b"no json" && dead[0].headers.contains("reason"), "{}", dead[0].headers);
    let good = job.records("good", GOOD)?;
    let refused = job.records("refused", GOOD / 2)?;
    running.stop(LIMIT)?;
    ensure!(good.len() == GOOD, "{} rows of {GOOD}: what came twice has the same ids", good.len());
    for (n, found) in (0_i64..).zip(&good) {
        let expected = serde_json::json!({
            "n": n, "id": format!("number-{n}"), "e": "", "k": "poisoned", "r": false, "m": 2,
            "t": format!("2023-11-14 22:13:2{n}.000"), "c": "application/json", "p": null,
            "l": r#"[1,{"a":"b"}]"#,
        });
        ensure!(found.json()? == expected, "{} instead of {expected}", found.json()?);
    }
    let reasons = refused.iter().all(|found| found.headers.contains("reason"));
    let odd: Vec<Value> = refused.iter().map(|found| found.json()).collect::<Result<_>>()?;
    ensure!(reasons && odd == [1, 3].map(|n| serde_json::json!({"n": n})), "refused: {odd:?}");
    let even = world.drain("even")?;
    let bodies: Vec<&str> = even.iter().filter_map(|message| message["body"].as_str()).collect();
    ensure!(bodies == ["{\"n\":0}", "{\"n\":2}", "{\"n\":4}"], "{bodies:?}");
    ensure!(even[1]["headers"]["text"] == "number 2" && even[1]["mode"] == 2, "{}", even[1]);
    Ok(())
}

fn secured(world: &World) -> Result<()> {
    const COUNT: usize = 20;
    let ca = world.server.file("ca.pem");
    let (certificate, key) = (world.server.file("client.pem"), world.server.file("client.key"));
    let url = |login: &str| format!("amqps://{login}127.0.0.1:{}", world.server.tls_port);
    let by_password = format!(", 'tls.root-cas-file' = '{}'", ca.display());
    let by_certificate = format!(
        "{by_password}, 'tls.cert-file' = '{}', 'tls.key-file' = '{}', 'auth-mechanism' = 'EXTERNAL'",
        certificate.display(),
        key.display()
    );
    world.ask(&["make", "secret", "quorum"])?;
    world.ask(&["make", "opened", "quorum"])?;
    world.ask(&["put", "secret", &COUNT.to_string()])?;
    let from = world.table_at(&url(""), "a", "n BIGINT", &format!("{by_certificate}, 'queue' = 'secret'"));
    let login = format!("{}:{}@", rabbitmq::USER, rabbitmq::PASSWORD.replace(' ', "%20"));
    let to = world.table_at(&url(&login), "b", "n BIGINT", &format!("{by_password}, 'queue' = 'opened'"));
    let job = world.job("secured", &format!("{from}{to}INSERT INTO b SELECT n FROM a;\n"))?;
    let mut running = job.start()?;
    wait_until(&job, || Ok(world.ask(&["waiting", "opened"])?.trim() == COUNT.to_string()))?;
    running.stop(LIMIT)?;
    // A server that another authority has signed, or none that we know.
    let strange = world.table_at(&url(&login), "b", "n BIGINT", ", 'queue' = 'secret'");
    let sql = format!("{strange}{PRINT}INSERT INTO shown SELECT n FROM b;\n");
    world.job("strange", &sql)?.fails_with("certificate")
}

fn streams(world: &World) -> Result<()> {
    const COUNT: u64 = 6;
    const FROM: u64 = 2;
    for stream in ["clicks", "seen"] {
        world.ask(&["make", stream, "stream"])?;
    }
    world.ask(&["put", "clicks", &COUNT.to_string()])?;
    let table = |name: &str, columns: &str, options: &str| {
        format!(
            "CREATE TABLE {name} ({columns}) WITH ('connector' = 'rabbitmq-stream', 'url' = \
             'rabbitmq-stream+tls://127.0.0.1:{}', 'format' = 'json', 'username' = '{}', 'password' = '{}', \
             'tls.root-cas-file' = '{}', 'tls.cert-file' = '{}', 'tls.key-file' = '{}', {options});\n",
            world.server.stream_tls_port,
            rabbitmq::USER,
            rabbitmq::PASSWORD,
            world.server.file("ca.pem").display(),
            world.server.file("client.pem").display(),
            world.server.file("client.key").display(),
        )
    };
    let columns = "n BIGINT, `offset` BIGINT METADATA VIRTUAL, id STRING METADATA FROM 'message-id' VIRTUAL, \
                   h MAP<STRING, BYTES> METADATA FROM 'headers' VIRTUAL";
    let options = format!(
        "'stream' = 'clicks', 'scan.startup.mode' = 'specific-offsets', \
         'scan.startup.specific-offsets' = 'partition:0,offset:{FROM}'"
    );
    let from = table("clicks", columns, &options);
    let written = "n BIGINT, o BIGINT, s STRING METADATA FROM 'subject', h MAP<STRING, BYTES> METADATA FROM 'headers', \
                   c STRING METADATA FROM 'correlation-id'";
    let to = table("seen", written, "'stream' = 'seen', 'content-type' = 'application/json'");
    let sql = format!("{from}{to}INSERT INTO seen SELECT n, `offset`, 'new', h, id FROM clicks;\n");
    let job = world.job("streams", &sql)?;
    let mut running = job.start()?;
    let mut seen = Vec::new();
    wait_until(&job, || {
        let lines = world.ask(&["stream", "seen"])?;
        seen = lines.lines().map(serde_json::from_str).collect::<serde_json::Result<Vec<Value>>>()?;
        Ok(seen.len() as u64 >= COUNT - FROM)
    })?;
    running.stop(LIMIT)?;
    ensure!(seen.len() as u64 == COUNT - FROM, "{} messages", seen.len());
    for (n, message) in (FROM..).zip(&seen) {
        let body = format!("{{\"n\":{n},\"o\":{n}}}");
        let is_right = message["body"] == body.as_str()
            && message["headers"]["text"] == format!("number {n}")
            && message["content_type"] == "application/json"
            && message["correlation_id"] == format!("number-{n}");
        ensure!(is_right, "{message} instead of {body}");
    }
    let missing = table("gone", "n BIGINT", "'stream' = 'gone'");
    let sql = format!("{missing}{PRINT}INSERT INTO shown SELECT n FROM gone;\n");
    world.job("no-stream", &sql)?.fails_with("create the stream 'gone'")
}

fn deleted(world: &World) -> Result<()> {
    world.ask(&["make", "short-lived", "quorum"])?;
    world.ask(&["put", "short-lived", "3"])?;
    let from = world.table("a", "n BIGINT", ", 'queue' = 'short-lived'");
    let topic = "CREATE TABLE b (n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'b', 'format' = 'json');\n";
    let job = world.job("deleted", &format!("{from}{topic}INSERT INTO b SELECT n FROM a;\n"))?;
    let mut running = job.start()?;
    job.records("b", 3)?;
    world.ask(&["delete", "short-lived"])?;
    let status = running.wait(LIMIT)?;
    let said = job.said();
    ensure!(!status.success() && said.contains("create the queue"), "it said\n{said}");
    Ok(())
}

fn example(world: &World) -> Result<()> {
    let folder = world.scratch.join("example");
    std::fs::create_dir(&folder)?;
    let from = places::root().join(EXAMPLE);
    std::fs::copy(from.join("orders.sql"), folder.join("job.sql"))?;
    std::fs::copy(from.join("orders.csv"), folder.join("orders.csv"))?;
    for queue in ["orders", "large-orders"] {
        world.ask(&["make", queue, "quorum"])?;
    }
    let job = Job { folder };
    let mut command = job.command()?;
    let mut running = Group::spawn(command.args(["--var", &format!("URL={}", world.server.url())]))?;
    let expected = std::fs::read_to_string(from.join("expected.txt"))?;
    let mut large = Vec::new();
    let mut found = String::new();
    let came = wait_until(&job, || {
        large.extend(world.drain("large-orders")?);
        // The last row of each shop.
        let mut totals: BTreeMap<String, String> = BTreeMap::new();
        for total in job.read("totals").unwrap_or_default() {
            totals.insert(total.json()?["shop"].to_string(), String::from_utf8(total.value)?);
        }
        let bodies = large.iter().filter_map(|message| message["body"].as_str()).map(str::to_string);
        found = bodies.chain(totals.into_values()).map(|line| line + "\n").collect();
        Ok(found == expected)
    });
    came.with_context(|| format!("found\n{found}instead of\n{expected}"))?;
    running.stop(LIMIT).map(drop)
}
