//! Flink's exactly-once Kafka sink and its Kafka source of committed records, on our node or on Apache Kafka.
//!
//! One job copies numbers from a topic to a second one, in transactions that its checkpoints commit, and from there,
//! reading committed records, to a third. It is killed once while the numbers come in, and started again from its last
//! checkpoint. In the end each number is in both topics once, as consumers of committed records see it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kafka_client::{Client, Isolation};
use kafka_wire::records::{BatchBuilder, Compression};

use super::command;
use crate::clients::Target;
use crate::counts::Counts;
use crate::process::Group;
use crate::{kafka, node};

const NUMBERS: u64 = 6_000;
const BATCH: u64 = 20;
/// So the numbers come in over many checkpoints.
const BATCH_EVERY: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(240);
const PAUSE: Duration = Duration::from_millis(200);
const SOURCE: &str = "numbers";
const COPIES: [&str; 2] = ["copied", "copied-twice"];
const FETCH_BYTES_MAX: i32 = 4 << 20;

/// Runs it on the target.
pub fn run(target: &Target) -> Result<Counts> {
    match target {
        Target::Address(bootstrap) => on(bootstrap)?,
        Target::Kafka => on(&kafka::start()?.bootstrap)?,
        Target::Node => {
            let folder = tempfile::tempdir()?;
            let node = node::start(&folder.path().join("data"), &folder.path().join("node.log"))?;
            on(&node.bootstrap)?;
            node.stop()?;
        }
    }
    Ok(Counts::one())
}

fn on(bootstrap: &str) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let file = scratch.path().join("job.sql");
    let checkpoints = scratch.path().join("checkpoints");
    std::fs::create_dir(&checkpoints)?;
    std::fs::write(&file, job(&checkpoints))?;
    let mut client = Client::connect(bootstrap, "exactly-once")?;
    for topic in [SOURCE].into_iter().chain(COPIES) {
        client.create_topic(topic, 1, 1, &[])?;
    }
    let writer = {
        let bootstrap = bootstrap.to_owned();
        std::thread::spawn(move || write_numbers(&bootstrap))
    };
    let begun = Instant::now();
    let first = Group::spawn(&mut command(&file, bootstrap, &[], &[], scratch.path())?)?;
    // In the middle of the numbers, with some of them committed.
    until(begun, "a part of the numbers is copied", || {
        Ok(committed(bootstrap, COPIES[0])?.values().sum::<u64>() > NUMBERS / 6)
    })?;
    drop(first);
    let seen = committed(bootstrap, COPIES[0])?.len() as u64;
    ensure!(seen < NUMBERS, "the job was done before it was killed");
    let restored =
        format!("execution.state-recovery.path=file://{}", last_checkpoint(&checkpoints)?.display());
    println!("exactly-once: killed with {seen} of {NUMBERS} committed, goes on from {restored}");
    let second = Group::spawn(&mut command(&file, bootstrap, &[restored], &[], scratch.path())?)?;
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    for topic in COPIES {
        until(begun, "all numbers are copied", || {
            Ok(committed(bootstrap, topic)?.values().sum::<u64>() >= NUMBERS)
        })?;
    }
    drop(second);
    for topic in COPIES {
        let found = committed(bootstrap, topic)?;
        let twice: Vec<_> = found.iter().filter(|(_, count)| **count != 1).take(10).collect();
        ensure!(twice.is_empty(), "topic={topic}: numbers that are there more than once: {twice:?}");
        ensure!(found.keys().copied().eq(0..NUMBERS), "topic={topic}: numbers are missing");
    }
    println!(
        "exactly-once: {NUMBERS} numbers are in both topics, each once, in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

fn job(checkpoints: &Path) -> String {
    let mut text = format!(
        "SET 'execution.checkpointing.interval' = '1s';
SET 'execution.checkpointing.dir' = 'file://{}';
SET 'execution.checkpointing.externalized-checkpoint-retention' = 'RETAIN_ON_CANCELLATION';
",
        checkpoints.display()
    );
    for (table, topic) in [("numbers", SOURCE), ("copied", COPIES[0]), ("copied_twice", COPIES[1])] {
        text += &format!(
            "CREATE TABLE {table} (n BIGINT) WITH (
  'connector' = 'kafka', 'topic' = '{topic}', 'format' = 'csv',
  'scan.startup.mode' = 'earliest-offset', 'properties.group.id' = 'exactly-once-{topic}',
  'properties.isolation.level' = 'read_committed', 'properties.transaction.timeout.ms' = '600000',
  'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'copies-to-{topic}'
);
"
        );
    }
    text + "EXECUTE STATEMENT SET BEGIN
INSERT INTO copied SELECT n FROM numbers;
INSERT INTO copied_twice SELECT n FROM copied;
END;
"
}

fn write_numbers(bootstrap: &str) -> Result<()> {
    let mut client = Client::connect(bootstrap, "exactly-once-writer")?;
    for first in (0..NUMBERS).step_by(BATCH as usize) {
        let mut builder = BatchBuilder::new(Compression::None);
        for number in first..first + BATCH {
            builder.append(now_ms(), None, Some(number.to_string().as_bytes()), &[])?;
        }
        client.produce(SOURCE, 0, builder.build()?, -1)?;
        std::thread::sleep(BATCH_EVERY);
    }
    Ok(())
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |elapsed| elapsed.as_millis() as i64)
}

/// How often each number is in a topic, for a consumer of committed records.
fn committed(bootstrap: &str, topic: &str) -> Result<BTreeMap<u64, u64>> {
    let mut client = Client::connect(bootstrap, "exactly-once-reader")?;
    let mut found = BTreeMap::new();
    let mut offset = 0;
    loop {
        let wait = Duration::ZERO;
        let isolation = Isolation::ReadCommitted;
        let mut fetched = client.fetch_isolated(topic, 0, offset, FETCH_BYTES_MAX, wait, isolation)?;
        for record in &mut fetched {
            let text = String::from_utf8(record?.value.unwrap_or_default().to_vec())?;
            *found.entry(text.trim().parse().context("a foreign record")?).or_default() += 1;
        }
        if fetched.next_offset() == offset {
            return Ok(found);
        }
        offset = fetched.next_offset();
    }
}

/// The newest checkpoint that is complete: `JOB/chk-N/_metadata`.
fn last_checkpoint(folder: &Path) -> Result<PathBuf> {
    let mut complete = Vec::new();
    for job in std::fs::read_dir(folder)? {
        for entry in std::fs::read_dir(job?.path())? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let number: Option<u64> = name.strip_prefix("chk-").and_then(|number| number.parse().ok());
            if let Some(number) = number.filter(|_| path.join("_metadata").is_file()) {
                complete.push((number, path));
            }
        }
    }
    complete.into_iter().max().map(|(_, path)| path).context("the job has made no checkpoint")
}

fn until(begun: Instant, what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    while !done()? {
        if begun.elapsed() > LIMIT {
            bail!("not within {} s: {what}", LIMIT.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
