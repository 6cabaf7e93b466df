//! The stage at a real Jaeger: one trace from an HTTP producer through topics, a join, an aggregate, a window and the
//! topics that they write, with a kill of the node between the two sides of the join; and the spans of Kafka's clients.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use os::Os;
use os::http::{Request, exchange};
use serde_json::Value;

use super::job::{Job, LIMIT, wait_until};
use crate::counts::Counts;
use crate::jaeger::{Jaeger, Span};
use crate::peers;
use crate::process::{self, Group};

const PAUSE: Duration = Duration::from_millis(50);
const SERVICE: &str = "shop";

/// Spans of producers of the test's own, which send nothing to Jaeger.
const ORDERED: &str = "00000000000000a1";
const PAID: &str = "00000000000000b1";

const SQL: &str = "
CREATE TABLE orders (id BIGINT, shop STRING, ordered TIMESTAMP(3), WATERMARK FOR ordered AS ordered)
WITH ('connector' = 'kafka', 'topic' = 'orders', 'scan.startup.mode' = 'earliest-offset', 'format' = 'json');
CREATE TABLE payments (id BIGINT, amount INT)
WITH ('connector' = 'kafka', 'topic' = 'payments', 'scan.startup.mode' = 'earliest-offset', 'format' = 'json');
CREATE TABLE paid (id BIGINT, shop STRING, amount INT)
WITH ('connector' = 'kafka', 'topic' = 'paid', 'format' = 'json');
CREATE TABLE turnover (shop STRING, amount BIGINT, PRIMARY KEY (shop) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'turnover', 'key.format' = 'json', 'value.format' = 'json');
CREATE TABLE counted (shop STRING, ends TIMESTAMP(3), orders BIGINT)
WITH ('connector' = 'kafka', 'topic' = 'counted', 'format' = 'json');
CREATE TABLE kept (shop STRING, ends TIMESTAMP(3), orders BIGINT)
WITH ('connector' = 'filesystem', 'path' = 'kept', 'format' = 'json', 'sink.rolling-policy.rollover-interval' = '100 ms');
CREATE TEMPORARY VIEW windows AS
SELECT shop, window_end AS ends, COUNT(*) AS orders
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ordered), INTERVAL '10' SECONDS))
GROUP BY shop, window_start, window_end;
EXECUTE STATEMENT SET
BEGIN
  INSERT INTO paid SELECT o.id, o.shop, p.amount FROM orders o JOIN payments p ON o.id = p.id;
  INSERT INTO turnover
    SELECT o.shop, SUM(p.amount) FROM orders o JOIN payments p ON o.id = p.id GROUP BY o.shop;
  INSERT INTO counted SELECT * FROM windows;
  INSERT INTO kept SELECT * FROM windows;
END;
";

pub fn run() -> Result<Counts> {
    peers::install(&["debian".to_owned(), "jaeger".to_owned()])?;
    let scratch = tempfile::tempdir()?;
    let world = World { jaeger: Jaeger::start()?, scratch: scratch.path().into() };
    let mut counts = Counts::default();
    counts.check(
        "traces: one trace through a join, an aggregate and windows, with a kill",
        one_trace(&world, "1"),
    );
    counts.check("traces: the same from the journal, without a snapshot", one_trace(&world, "1000"));
    counts.check("traces: what Kafka's clients send", of_clients(&world));
    counts.check("traces: what is not sampled", not_sampled(&world));
    Ok(counts)
}

struct World {
    jaeger: Jaeger,
    scratch: PathBuf,
}

impl World {
    fn run(&self, job: &Job, options: &[&str]) -> Result<Group> {
        let mut command = job.command()?;
        command.args(["--trace-endpoint", &self.jaeger.endpoint(), "--trace-service", SERVICE]);
        Group::spawn(command.args(options))
    }

    /// The spans of a trace, once it has one of each of these names.
    fn spans(&self, job: &Job, trace: &str, names: &[&str]) -> Result<Vec<Span>> {
        let begun = Instant::now();
        loop {
            let spans = self.jaeger.trace(trace)?;
            if names.iter().all(|name| spans.iter().any(|span| span.name == *name)) {
                return Ok(spans);
            }
            if begun.elapsed() > LIMIT {
                bail!("not all of {names:?} in {spans:#?}\n{}", job.said());
            }
            std::thread::sleep(PAUSE);
        }
    }
}

fn addresses(job: &Job) -> Result<Value> {
    Ok(serde_json::from_str(&std::fs::read_to_string(job.folder.join("data/node.json"))?)?)
}

/// Publishes an event, once the node is there; `headers` come besides.
fn post(job: &Job, topic: &str, headers: &[(&str, &str)], body: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let posted = addresses(job).and_then(|addresses| {
            let address = addresses["http"].as_str().context("the node serves no HTTP")?;
            let path = format!("/topics/{topic}");
            let request = Request { method: "POST", address, path: &path, headers, body: body.as_bytes() };
            Ok(exchange(&*Os::real().network, &request, LIMIT)?)
        });
        match posted {
            Ok(answer) if answer.status == 200 => return Ok(()),
            Ok(answer) => bail!("status={}: {}", answer.status, String::from_utf8_lossy(&answer.body)),
            Err(error) if begun.elapsed() > LIMIT => return Err(error.context(job.said())),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

fn order(id: u32, at: &str) -> String {
    format!(r#"{{"id":{id},"shop":"Ulm","ordered":"2026-01-01 00:00:{at}"}}"#)
}

/// A trace's id that no other test has.
fn trace_id() -> String {
    let number = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{:032x}", number.as_nanos())
}

fn one<'a>(spans: &'a [Span], name: &str) -> Result<&'a Span> {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    ensure!(found.len() == 1, "{} spans '{name}' in {spans:#?}", found.len());
    Ok(found[0])
}

fn one_trace(world: &World, snapshot_steps: &str) -> Result<()> {
    let job = Job::make(&world.scratch.join(format!("one-{snapshot_steps}")), SQL)?;
    let options = ["--snapshot-steps", snapshot_steps];
    let trace = trace_id();
    let node = world.run(&job, &options)?;
    let parent = format!("00-{trace}-{ORDERED}-01");
    post(&job, "orders", &[("traceparent", &parent), ("tracestate", "vendor=1")], &order(1, "01"))?;
    world.spans(&job, &trace, &["send orders", "process orders"])?;
    // Killed between the two sides of the join, and before the window is over.
    drop(node);
    std::fs::remove_file(job.folder.join("data/node.json"))?;
    let mut node = world.run(&job, &options)?;
    post(&job, "payments", &[("traceparent", &format!("00-{trace}-{PAID}-01"))], r#"{"id":1,"amount":7}"#)?;
    // Not sampled: it moves the watermark, and is nobody's cause.
    let unsampled = format!("00-{}-{PAID}-00", trace_id());
    post(&job, "orders", &[("traceparent", &unsampled)], &order(2, "31"))?;
    let names = [
        "send payments",
        "process payments",
        "send paid",
        "send turnover",
        "send counted",
        "send kept",
        "deliver kept",
    ];
    let spans = world.spans(&job, &trace, &names)?;

    let (sent, processed) = (one(&spans, "send orders")?, one(&spans, "process orders")?);
    let (sent_payment, payment) = (one(&spans, "send payments")?, one(&spans, "process payments")?);
    let parent_of = |span: &Span| span.parent.clone().unwrap_or_default();
    ensure!(parent_of(sent) == ORDERED && parent_of(sent_payment) == PAID, "the producers: {spans:#?}");
    for (child, parent) in [
        (processed, sent),
        (payment, sent_payment),
        (one(&spans, "send paid")?, payment),
        (one(&spans, "send turnover")?, payment),
        (one(&spans, "send counted")?, processed),
        (one(&spans, "send kept")?, processed),
        (one(&spans, "deliver kept")?, one(&spans, "send kept")?),
    ] {
        ensure!(parent_of(child) == parent.id, "{} is no child of {} in {spans:#?}", child.name, parent.name);
    }
    // What waited for the payment, through the kill, is a link.
    for (span, linked) in [(one(&spans, "send paid")?, processed), (one(&spans, "send turnover")?, processed)]
    {
        let place = (trace.trim_start_matches('0').to_owned(), linked.id.clone());
        let is_there =
            span.links.iter().any(|(of, id)| of.trim_start_matches('0') == place.0 && *id == place.1);
        ensure!(is_there, "{} has no link with {} in {spans:#?}", span.name, linked.name);
    }
    let names_it = |span: &Span| span.service == SERVICE;
    ensure!(spans.iter().all(names_it) && spans.len() == 9, "nine spans of one service: {spans:#?}");
    let tag =
        |name: &str| processed.tags.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    ensure!(
        tag("messaging.destination.name") == Some("orders") && tag("span.kind") == Some("consumer"),
        "{processed:?}"
    );

    // Who reads a result goes on from the span that sent it.
    let found = job.records("paid", 1)?.remove(0);
    let going_on = format!("-{}-01", one(&spans, "send paid")?.id);
    ensure!(found.headers.contains("traceparent"), "{}", found.headers);
    let headers = bytes_shown(&found.headers);
    ensure!(headers.contains(&going_on), "no {going_on} in {headers}");
    ensure!(bytes_shown(&job.records("counted", 1)?[0].headers).contains("vendor=1"), "the state is gone");
    let stopped = node.stop(LIMIT)?;
    ensure!(stopped.success(), "the node ended with {stopped}");
    Ok(())
}

/// Headers are shown as lists of numbers or as texts; either way as a text.
fn bytes_shown(headers: &str) -> String {
    let mut shown = String::new();
    for part in headers.split(|letter: char| !letter.is_ascii_digit()) {
        shown.extend(part.parse::<u8>().ok().map(char::from));
    }
    format!("{headers} {shown}")
}

fn of_clients(world: &World) -> Result<()> {
    let job = Job::make(&world.scratch.join("clients"), SQL)?;
    let mut node = world.run(&job, &[])?;
    wait_until(&job, || Ok(addresses(&job).is_ok()))?;
    let bootstrap = addresses(&job)?["kafka"].as_str().unwrap_or_default().to_owned();
    for (number, codec) in (0u32..).zip(["none", "zstd", "lz4"]) {
        let trace = trace_id();
        let file = job.folder.join("order.json");
        std::fs::write(&file, order(number, "01"))?;
        let mut command = Command::new("kcat");
        command.args(["-P", "-b", &bootstrap, "-t", "orders", "-z", codec]);
        command.args(["-H", &format!("traceparent=00-{trace}-{ORDERED}-01")]);
        process::run(command.arg(&file).stderr(Stdio::inherit()), LIMIT)?;
        let spans = world.spans(&job, &trace, &["append orders", "process orders"])?;
        for name in ["append orders", "process orders"] {
            let parent = one(&spans, name)?.parent.as_deref();
            ensure!(parent == Some(ORDERED), "{codec}: {name} has another parent: {spans:#?}");
        }
    }
    ensure!(node.stop(LIMIT)?.success(), "the node did not end well\n{}", job.said());
    Ok(())
}

fn not_sampled(world: &World) -> Result<()> {
    let job = Job::make(&world.scratch.join("unsampled"), SQL)?;
    let mut node = world.run(&job, &["--trace-sample-ratio", "0"])?;
    let (left_out, kept) = (trace_id(), trace_id());
    post(&job, "orders", &[("traceparent", &format!("00-{left_out}-{ORDERED}-00"))], &order(1, "01"))?;
    post(&job, "orders", &[], &order(2, "02"))?;
    post(&job, "orders", &[("traceparent", &format!("00-{kept}-{ORDERED}-01"))], &order(3, "03"))?;
    world.spans(&job, &kept, &["process orders"])?;
    let spans = world.jaeger.trace(&left_out)?;
    ensure!(spans.is_empty(), "it was not to be kept: {spans:#?}");
    // The request that is kept and its step: nothing else was made.
    let page = metrics(&job)?;
    let count =
        |name: &str| page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    ensure!(count("eventwright_traces_spans_total ") == Some(2.0), "other spans were made:\n{page}");
    ensure!(count("eventwright_traces_on ") == Some(1.0), "{page}");
    ensure!(node.stop(LIMIT)?.success(), "the node did not end well\n{}", job.said());
    Ok(())
}

fn metrics(job: &Job) -> Result<String> {
    let addresses = addresses(job)?;
    let address = addresses["http"].as_str().context("the node serves no HTTP")?;
    let request = Request { method: "GET", address, path: "/metrics", headers: &[], body: &[] };
    let answer = exchange(&*Os::real().network, &request, LIMIT)?;
    Ok(String::from_utf8(answer.body)?)
}
